//! What every request passes on its way in: the clock advances the world, requests are counted, faults and the trap apply.
//! The trap holds one chosen request that changes something, before or after it is carried out, so that a test can kill
//! the client at exactly that moment.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::LabClock,
    diary::{Diary, Entry},
    tls::Conn,
    world::{Shared, World, plus},
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
    #[serde(skip_deserializing, default)]
    pub held: Option<String>,
}

/// Something that goes wrong, for the next `count` requests that fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    pub service: Service,
    /// Only requests with this HTTP method; all when absent.
    pub method: Option<String>,
    /// Only requests whose path contains this, ignoring case.
    #[serde(default)]
    pub path: String,
    #[serde(default = "one")]
    pub count: u32,
    pub kind: FaultKind,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum FaultKind {
    /// 429 with `Retry-After`; requests that come earlier are refused as well.
    Throttle { retry_after: u64 },
    /// An error answer; the request isn't carried out.
    Error { status: u16, code: String, message: String },
    /// The request is carried out, then the gateway answers 504.
    LostAnswer,
    /// The request is carried out, then the connection breaks.
    CutAfter,
    /// The connection breaks before the request is carried out.
    CutBefore,
}

#[derive(Default)]
struct Traffic {
    trap: Option<Trap>,
    faults: Vec<Fault>,
    throttled: Vec<(Fault, jiff::Timestamp)>,
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

    pub fn set_faults(&self, faults: Vec<Fault>) {
        let mut t = self.traffic();
        t.faults = faults;
        t.throttled.clear();
    }

    pub fn keep(&self, exchange: Value) {
        self.traffic().exchanges.push(exchange);
    }

    pub fn exchanges(&self) -> Vec<Value> {
        self.traffic().exchanges.clone()
    }

    /// Counts a changing request against the trap; true when this is the one.
    fn trips(&self, label: &str, phase: Phase) -> bool {
        let mut t = self.traffic();
        let Some(trap) = t.trap.as_mut().filter(|t| t.phase == phase && t.held.is_none()) else {
            return false;
        };
        trap.after_mutations = trap.after_mutations.saturating_sub(1);
        if trap.after_mutations > 0 {
            return false;
        }
        trap.held = Some(label.to_owned());
        true
    }

    /// Waits until the trap is released or the lab stops, then the answer goes nowhere.
    async fn hold(&self, conn: &Conn) -> Response {
        let mut released = self.release.subscribe();
        tokio::select! {
            _ = released.changed() => {}
            () = self.stop.cancelled() => {}
        }
        conn.cut();
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn fault(&self, service: Service, method: &Method, path: &str) -> Option<FaultKind> {
        let mut t = self.traffic();
        if t.faults.is_empty() && t.throttled.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let path = path.to_lowercase();
        let fits = |f: &Fault| {
            f.service == service
                && f.method
                    .as_ref()
                    .is_none_or(|m| m.eq_ignore_ascii_case(method.as_str()))
                && path.contains(&f.path.to_lowercase())
        };
        t.throttled.retain(|(_, until)| *until > now);
        if let Some((f, until)) = t.throttled.iter().find(|(f, _)| fits(f)) {
            let _ = f;
            let left = until.duration_since(now).as_secs().max(1).unsigned_abs();
            return Some(FaultKind::Throttle { retry_after: left });
        }
        let i = t.faults.iter().position(fits)?;
        let fault = t.faults[i].clone();
        if fault.count <= 1 {
            t.faults.remove(i);
        } else {
            t.faults[i].count -= 1;
        }
        if let FaultKind::Throttle { retry_after } = fault.kind {
            let until = plus(now, SignedDuration::from_secs(retry_after.min(3600) as i64));
            t.throttled.push((fault.clone(), until));
        }
        Some(fault.kind)
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
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, 64 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let change = change(service, &method, &path, &bytes);
    gate.world().counters.requests += 1;

    let fault = gate.fault(service, &method, &path);
    match &fault {
        Some(FaultKind::Throttle { retry_after }) => {
            let text = format!("Too many requests. Please retry after {retry_after} seconds.");
            let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", &text);
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            return answer;
        }
        Some(FaultKind::Error { status, code, message }) => {
            return error(
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST),
                code,
                message,
            );
        }
        Some(FaultKind::CutBefore) => {
            conn.cut();
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Some(FaultKind::LostAnswer | FaultKind::CutAfter) | None => {}
    }
    if let Some((verb, object)) = &change
        && gate.trips(&format!("{verb} {object}"), Phase::Before)
    {
        return gate.hold(&conn).await;
    }
    let note = change.as_ref().and(gate.diary.as_ref()).map(|diary| {
        let world = gate.world();
        let (at, next) = (world.now(), world.last_number());
        (
            diary,
            Entry::new(at, next, service, &method, &parts.uri, &parts.headers, &bytes),
        )
    });
    let answer = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if let Some((verb, object)) = &change
        && answer.status().is_success()
    {
        if let Some((diary, entry)) = &note {
            diary.write(entry);
        }
        gate.world().counters.mutation(verb, object);
        if gate.trips(&format!("{verb} {object}"), Phase::After) {
            return gate.hold(&conn).await;
        }
    }
    match fault {
        Some(FaultKind::LostAnswer) => error(
            StatusCode::GATEWAY_TIMEOUT,
            "GatewayTimeout",
            "The gateway did not receive a response from the service within the specified time period.",
        ),
        Some(FaultKind::CutAfter) => {
            conn.cut();
            answer
        }
        _ => answer,
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

/// Whether a request changes something, and what: a verb and an object.
fn change(service: Service, method: &Method, path: &str, body: &[u8]) -> Option<(String, String)> {
    match service {
        Service::Entra => None,
        Service::VCenter => soap_change(body),
        Service::Blob => {
            (method != Method::GET && method != Method::HEAD).then(|| (method.to_string(), path.to_owned()))
        }
        Service::Arm => {
            const READS: [&str; 8] = [
                "listkeys",
                "listauthkeys",
                "listmonitoringdata",
                "checknameavailability",
                "retrievebootdiagnosticsdata",
                "listservicesas",
                "listaccountsas",
                "refresh",
            ];
            let last = path.rsplit('/').next().unwrap_or("").to_lowercase();
            let reads = *method == Method::GET
                || *method == Method::HEAD
                || (*method == Method::POST && READS.contains(&last.as_str()));
            (!reads).then(|| (method.to_string(), path.to_owned()))
        }
    }
}

fn soap_change(body: &[u8]) -> Option<(String, String)> {
    use quick_xml::events::Event;
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut in_body, mut method, mut in_this, mut this) = (false, None::<String>, false, String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(e) | Event::Empty(e) => {
                let name = e.local_name();
                let name = name.as_ref();
                if !in_body {
                    in_body = name == "Body";
                } else if method.is_none() {
                    method = Some(name.to_owned());
                } else if name == "_this" {
                    in_this = true;
                } else {
                    break;
                }
            }
            Event::Text(t) if in_this => this.push_str(&t.xml10_content()),
            Event::End(_) if in_this => break,
            Event::Eof => break,
            _ => {}
        }
    }
    let method = method?;
    const READS: [&str; 19] = [
        "Retrieve",
        "Continue",
        "Cancel",
        "Query",
        "Current",
        "Login",
        "Logout",
        "CreateContainerView",
        "CreatePropertyCollector",
        "CreateFilter",
        "CreateCollector",
        "DestroyView",
        "DestroyPropertyCollector",
        "DestroyPropertyFilter",
        "SessionIsActive",
        "WaitForUpdates",
        "Has",
        "Fetch",
        "Find",
    ];
    (!READS.iter().any(|r| method.starts_with(r))).then_some((method, this))
}
