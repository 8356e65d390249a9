//! What every request passes on its way in: the clock advances the world, requests are counted, the fault script and the
//! trap apply.
//! The trap holds one chosen request that changes something, before or after it is carried out, so that a test can kill
//! the client at exactly that moment.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::LabClock,
    diary::{Diary, Entry},
    faults::{self, Effect},
    tls::Conn,
    vsphere::imports::Received,
    world::{Shared, World},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Service {
    Arm,
    Entra,
    Blob,
    VCenter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    Before,
    After,
}

/// Holds the `after_mutations`-th changing request from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trap {
    pub after_mutations: u64,
    pub phase: Phase,
    /// Only requests that begin so count: `TDS` = statements on the managed instance.
    #[serde(default)]
    pub only: String,
    #[serde(skip_deserializing, default)]
    pub held: Option<String>,
}

/// What a fault script does to the request at hand; the resource manager finds it in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Struck(pub Vec<usize>);

#[derive(Default)]
struct Traffic {
    trap: Option<Trap>,
    exchanges: Vec<Value>,
}

pub(crate) struct Gate {
    shared: Shared,
    pub clock: Arc<LabClock>,
    traffic: Mutex<Traffic>,
    release: watch::Sender<u64>,
    stop: CancellationToken,
    pub record: bool,
    diary: Option<Diary>,
    /// Whose turn it is to change something that the diary keeps.
    turns: tokio::sync::Mutex<()>,
}

impl Gate {
    pub fn new(
        shared: Shared,
        clock: Arc<LabClock>,
        stop: CancellationToken,
        record: bool,
        diary: Option<Diary>,
    ) -> Gate {
        Gate {
            shared,
            clock,
            traffic: Mutex::default(),
            release: watch::Sender::new(0),
            stop,
            record,
            diary,
            turns: tokio::sync::Mutex::default(),
        }
    }

    /// The world, advanced to now.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.shared.lock();
        world.advance(self.clock.now());
        world
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_trap(&self, trap: Trap) {
        self.traffic().trap = Some(trap);
    }

    pub fn trap(&self) -> Value {
        let t = self.traffic();
        let held = t.trap.as_ref().and_then(|t| t.held.clone());
        json!({"set": t.trap.is_some(), "held": held.is_some(), "request": held})
    }

    /// Cuts the held connection, if any, and forgets the trap.
    pub fn release(&self) {
        self.traffic().trap = None;
        self.release.send_modify(|n| *n += 1);
    }

    /// People remove the cause of what goes wrong. False when there is none, or none any more.
    pub fn cure(&self) -> bool {
        let mut world = self.world();
        let cured = world.cure();
        self.note(&world);
        cured
    }

    /// Keeps a batch that changed something on the managed instance.
    pub fn keep_statement(&self, login: &str, database: &str, batch: &str) {
        if let Some(diary) = &self.diary {
            diary.state(&crate::diary::Statement {
                login: login.to_owned(),
                database: database.to_owned(),
                batch: batch.to_owned(),
            });
        }
    }

    /// Keeps a statement on a SQL Server of the datacenter that had its effect at this time.
    pub fn keep_on_premises(&self, at: Timestamp, place: usize, sql: String) {
        if let Some(diary) = &self.diary {
            diary.backed_up(&crate::diary::OnPremises { at, place, sql });
        }
    }

    /// Notes in the diary how the fault script goes.
    fn note(&self, world: &World) {
        if let Some(diary) = &self.diary {
            diary.note(&world.trouble.progress);
        }
    }

    pub fn keep(&self, exchange: Value) {
        self.traffic().exchanges.push(exchange);
    }

    pub fn exchanges(&self) -> Vec<Value> {
        self.traffic().exchanges.clone()
    }

    /// Counts a changing request against the trap; true when this is the one.
    pub fn trips(&self, label: &str, phase: Phase) -> bool {
        let mut t = self.traffic();
        let Some(trap) = t
            .trap
            .as_mut()
            .filter(|t| t.phase == phase && t.held.is_none() && label.starts_with(&t.only))
        else {
            return false;
        };
        trap.after_mutations = trap.after_mutations.saturating_sub(1);
        if trap.after_mutations > 0 {
            return false;
        }
        trap.held = Some(label.to_owned());
        true
    }

    /// Waits until the trap is released or the lab stops.
    pub async fn held(&self) {
        let mut released = self.release.subscribe();
        tokio::select! {
            _ = released.changed() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// The same, then the answer goes nowhere.
    async fn hold(&self, conn: &Conn) -> Response {
        self.held().await;
        conn.cut();
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

/// Puts the gate in front of a service.
pub(crate) fn layer(router: Router, service: Service, gate: Arc<Gate>) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let gate = gate.clone();
        async move { pass(gate, service, request, next).await }
    }))
}

async fn pass(gate: Arc<Gate>, service: Service, request: Request, next: Next) -> Response {
    let conn = request
        .extensions()
        .get::<ConnectInfo<Conn>>()
        .map(|c| c.0.clone())
        .unwrap_or_default();
    if service == Service::VCenter && request.uri().path().starts_with("/nfc/") {
        return upload(gate, conn, request, next).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, 64 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    // Each block of a blob is a thing of its own.
    let block = parts
        .uri
        .query()
        .and_then(|q| q.split('&').find(|p| p.starts_with("blockid=")));
    let object = block.map_or_else(|| path.clone(), |b| format!("{path}?{b}"));
    let change = change(service, &method, &object, &bytes);
    let verb = match service {
        Service::VCenter => soap(&bytes).map(|(method, _)| method).unwrap_or_default(),
        _ => method.to_string(),
    };
    let (struck, effects) = {
        let mut world = gate.world();
        world.counters.requests += 1;
        let struck = world.strike(service, &verb, &path);
        if !struck.is_empty() {
            gate.note(&world);
        }
        let effects: Vec<Effect> = struck
            .iter()
            .filter_map(|i| world.trouble.effect(*i).cloned())
            .collect();
        (struck, effects)
    };
    for effect in &effects {
        match effect {
            Effect::CutBefore => {
                conn.cut();
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            // The resource manager refuses by itself, when it has admitted the request.
            Effect::Refuse { .. } if service != Service::Arm => return refusal(&gate, &method, &path, effect),
            _ => {}
        }
    }
    if let Some((verb, object)) = &change
        && gate.trips(&format!("{verb} {object}"), Phase::Before)
    {
        return gate.hold(&conn).await;
    }
    // Changes that the diary keeps come one after the other: repeated in its order, each makes the same ids again.
    let turn = match change.as_ref().and(gate.diary.as_ref()) {
        Some(_) => Some(gate.turns.lock().await),
        None => None,
    };
    let note = change.as_ref().and(gate.diary.as_ref()).map(|diary| {
        let mut world = gate.world();
        let (at, next) = (world.now(), world.begin_change());
        (
            diary,
            Entry::new(at, next, service, &method, &parts.uri, &parts.headers, &bytes, &struck),
        )
    });
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(Struck(struck));
    let answer = next.run(request).await;
    if let Some((verb, object)) = &change
        && answer.status().is_success()
    {
        if let Some((diary, entry)) = &note {
            diary.write(entry);
        }
        drop(turn);
        {
            let mut world = gate.world();
            world.counters.mutation(verb, object);
            world.touch();
        }
        if gate.trips(&format!("{verb} {object}"), Phase::After) {
            return gate.hold(&conn).await;
        }
    }
    if effects.contains(&Effect::LostAnswer) {
        let text = "The gateway did not receive a response from the service within the specified time period.";
        return error(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", text);
    }
    if effects.contains(&Effect::CutAfter) {
        conn.cut();
    }
    answer
}

/// Lets a file through as it comes: it can be of any size. The diary keeps how much it was.
async fn upload(gate: Arc<Gate>, conn: Conn, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let effects: Vec<Effect> = {
        let mut world = gate.world();
        world.counters.requests += 1;
        let struck = world.strike(Service::VCenter, method.as_str(), &path);
        if !struck.is_empty() {
            gate.note(&world);
        }
        struck
            .iter()
            .filter_map(|i| world.trouble.effect(*i).cloned())
            .collect()
    };
    for effect in &effects {
        match effect {
            Effect::CutBefore => {
                conn.cut();
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            Effect::Refuse { .. } => return refusal(&gate, &method, &path, effect),
            _ => {}
        }
    }
    let headers = request.headers().clone();
    let answer = next.run(request).await;
    let received = answer.extensions().get::<Received>().copied();
    if let (true, Some(Received(bytes))) = (answer.status().is_success(), received) {
        let noted = format!("{path}?received={bytes}").parse();
        if let (Some(diary), Ok(uri)) = (&gate.diary, noted) {
            let _turn = gate.turns.lock().await;
            let (at, next) = {
                let mut world = gate.world();
                (world.now(), world.begin_change())
            };
            let entry = Entry::new(at, next, Service::VCenter, &method, &uri, &headers, &Bytes::new(), &[]);
            diary.write(&entry);
        }
        let mut world = gate.world();
        world.counters.mutation(method.as_str(), &path);
        world.touch();
    }
    if effects.contains(&Effect::CutAfter) {
        conn.cut();
    }
    answer
}

/// A refusal of the other services: of Entra and blob storage with their own bodies, of vCenter as its web server says it.
fn refusal(gate: &Gate, method: &Method, path: &str, effect: &Effect) -> Response {
    let Effect::Refuse {
        status,
        code,
        message,
        retry_after,
        body,
        ..
    } = effect
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let message = faults::fill(&gate.world(), method.as_str(), path, message);
    let mut answer = match body {
        Some(Value::String(text)) => (status, text.clone()).into_response(),
        Some(json) => (status, axum::Json(json.clone())).into_response(),
        None if path.contains('/') && !code.is_empty() => (
            status,
            [
                (header::CONTENT_TYPE.as_str(), "application/xml"),
                ("x-ms-error-code", code.as_str()),
            ],
            format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        )
            .into_response(),
        None => status.into_response(),
    };
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    answer
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

/// Whether a request changes something, and what: a verb and an object.
fn change(service: Service, method: &Method, path: &str, body: &[u8]) -> Option<(String, String)> {
    match service {
        Service::Entra => None,
        // Files of guests; their scripts hold no passwords.
        Service::VCenter if method == Method::PUT => Some((method.to_string(), path.to_owned())),
        Service::VCenter => soap_change(body),
        Service::Blob => {
            (method != Method::GET && method != Method::HEAD).then(|| (method.to_string(), path.to_owned()))
        }
        Service::Arm => {
            const READS: [&str; 7] = [
                "listkeys",
                "listauthkeys",
                "listmonitoringdata",
                "checknameavailability",
                "retrievebootdiagnosticsdata",
                "listservicesas",
                "listaccountsas",
            ];
            let last = path.rsplit('/').next().unwrap_or("").to_lowercase();
            let reads = *method == Method::GET
                || *method == Method::HEAD
                || (*method == Method::POST && READS.contains(&last.as_str()));
            (!reads).then(|| (method.to_string(), path.to_owned()))
        }
    }
}

/// Method and object of a SOAP request, and the text of the first argument: one service makes many roles.
fn soap(body: &[u8]) -> Option<(String, String)> {
    use quick_xml::events::Event;
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut in_body, mut method, mut path) = (false, None::<String>, vec![]);
    loop {
        match reader.read_event().ok()? {
            Event::Start(e) | Event::Empty(e) => {
                let name = e.local_name();
                let name = name.as_ref();
                if !in_body {
                    in_body = name == "Body";
                } else if method.is_none() {
                    method = Some(name.to_owned());
                }
            }
            Event::Text(t) if method.is_some() => {
                path.extend(Some(t.xml10_content().trim().to_owned()).filter(|t| !t.is_empty()))
            }
            Event::Eof => break,
            _ => {}
        }
        if path.len() == 2 {
            break;
        }
    }
    Some((method?, path.join("/")))
}

fn soap_change(body: &[u8]) -> Option<(String, String)> {
    let (method, path) = soap(body)?;
    const READS: &[&str] = &[
        "Retrieve",
        "Continue",
        "CancelRetrieve",
        "CancelWait",
        "Query",
        "Current",
        "Login",
        "Logout",
        "CreateContainerView",
        "CreateImportSpec",
        "ParseDescriptor",
        "HttpNfcLeaseProgress",
        "CreatePropertyCollector",
        "CreateFilter",
        "CreateCollector",
        "SetCollector",
        "ReadNext",
        "ReadPrevious",
        "ResetCollector",
        "RewindCollector",
        "DestroyCollector",
        "DestroyView",
        "DestroyPropertyCollector",
        "DestroyPropertyFilter",
        "SessionIsActive",
        "WaitForUpdates",
        "Has",
        "Fetch",
        "Find",
        "InitiateFileTransferFromGuest",
        "ListProcessesInGuest",
        "ValidateCredentialsInGuest",
    ];
    (!READS.iter().any(|r| method.starts_with(r))).then_some((method, path))
}
