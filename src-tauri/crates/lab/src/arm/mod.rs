//! Azure Resource Manager: one entry, which checks what the real one checks before any provider sees the request (token,
//! subscription, api-version, throttling, locks, what a fault script refuses), then one module per provider. State is in [`crate::cloud`].

pub(crate) mod app_config;
pub(crate) mod authorization;
pub(crate) mod certificates;
pub(crate) mod compute;
pub(crate) mod datamigration;
pub(crate) mod jobs;
pub(crate) mod leftovers;
pub(crate) mod lro;
pub(crate) mod migrate;
pub(crate) mod migration_items;
pub(crate) mod network;
pub(crate) mod offazure;
pub(crate) mod protected;
pub(crate) mod recovery;
pub(crate) mod replicated;
pub(crate) mod resources;
pub(crate) mod sql;
pub(crate) mod storage;
pub(crate) mod throttle;
mod versions;

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
    routing::get,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    faults::{self, Effect},
    gate::{Gate, Struck},
    world::World,
};

/// A request as providers see it.
pub(crate) struct Req {
    pub method: Method,
    /// Path without the query, as sent.
    pub path: String,
    /// Path segments, decoded, as sent.
    pub segs: Vec<String>,
    /// The same in lower case, to match against.
    pub low: Vec<String>,
    /// Query by lower-case name.
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Req {
    /// The id of what the first `n` segments name, in ARM's own casing of the fixed parts.
    pub fn id(&self, n: usize) -> String {
        let mut id = String::new();
        for (i, s) in self.segs.iter().take(n).enumerate() {
            id.push('/');
            id.push_str(match self.low[i].as_str() {
                "resourcegroups" if i == 2 => "resourceGroups",
                "subscriptions" if i == 0 => "subscriptions",
                "providers" => "providers",
                _ => s,
            });
        }
        id
    }

    pub fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// The resource group's name, when the path has one.
    pub fn group(&self) -> Option<&str> {
        (self.low.get(2).map(String::as_str) == Some("resourcegroups")).then(|| self.segs.get(3).map(String::as_str))?
    }
}

/// An answer. Headers are those beyond what every answer has.
#[derive(Debug)]
pub(crate) struct Resp {
    pub status: u16,
    pub body: Option<Value>,
    pub headers: Vec<(&'static str, String)>,
}

impl Resp {
    pub fn ok(body: Value) -> Resp {
        Resp {
            status: 200,
            body: Some(body),
            headers: vec![],
        }
    }

    pub fn empty(status: u16) -> Resp {
        Resp {
            status,
            body: None,
            headers: vec![],
        }
    }

    pub fn created(body: Value, new: bool) -> Resp {
        Resp {
            status: if new { 201 } else { 200 },
            body: Some(body),
            headers: vec![],
        }
    }

    pub fn list(values: impl IntoIterator<Item = Value>) -> Resp {
        Resp::ok(json!({"value": values.into_iter().collect::<Vec<_>>()}))
    }

    pub fn with(mut self, headers: Vec<(&'static str, String)>) -> Resp {
        self.headers.extend(headers);
        self
    }
}

/// A refusal, with the provider's code.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub headers: Vec<(&'static str, String)>,
    /// `additionalInfo` of the error.
    pub info: Option<Value>,
    /// The whole body instead; a text is a gateway's page.
    pub body: Option<Value>,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code: code.into(),
            message: message.into(),
            headers: vec![],
            info: None,
            body: None,
        }
    }

    pub fn bad(code: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(400, code, message)
    }

    pub fn conflict(code: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(409, code, message)
    }

    /// ARM's answer for a resource that isn't there.
    pub fn not_found(req: &Req) -> Refusal {
        let kind = resource_type(&req.low).unwrap_or_default();
        let name = req.segs.last().map_or("", String::as_str);
        let group = req.group().unwrap_or("");
        Refusal::new(
            404,
            "ResourceNotFound",
            format!(
                "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    fn into_resp(self) -> Resp {
        let mut body = json!({"error": {"code": self.code, "message": self.message}});
        if let Some(info) = self.info {
            body["error"]["additionalInfo"] = info;
        }
        Resp {
            status: self.status,
            body: Some(self.body.unwrap_or(body)),
            headers: self.headers,
        }
    }
}

pub(crate) type Answer = Result<Resp, Refusal>;

pub(crate) fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/api/retail/prices", get(crate::prices::list))
        .fallback(handle)
        .with_state(gate)
}

async fn handle(
    State(gate): State<Arc<Gate>>,
    struck: Option<Extension<Struck>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let struck = struck.map(|s| s.0).unwrap_or_default();
    let path = uri.path().to_owned();
    let segs: Vec<String> = path
        .split('/')
        .filter(|s| !s.is_empty())
        .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
        .collect();
    let query = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
        .map(|(k, v)| (k.to_lowercase(), v.into_owned()))
        .collect();
    let parsed = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&body)
    };
    let low = segs.iter().map(|s| s.to_lowercase()).collect();
    let bad_json = parsed.is_err();
    let req = Req {
        method,
        path,
        segs,
        low,
        query,
        headers,
        body: parsed.unwrap_or(Value::Null),
    };

    let (resp, request_id, base) = {
        let mut world = gate.world();
        let request_id = world.answer_id().to_string();
        let answer = if bad_json {
            Err(Refusal::bad(
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized.",
            ))
        } else {
            admit(&mut world, &req)
                .and_then(|()| trouble(&mut world, &req, &struck))
                .and_then(|()| ready(&world, &req))
                .and_then(|()| dispatch(&mut world, &req))
        };
        world.trouble.doom = None;
        let mut resp = answer.unwrap_or_else(Refusal::into_resp);
        for rule in &struck.0 {
            if let (Some(Effect::Show(values)), Some(body)) = (world.trouble.effect(*rule), &mut resp.body) {
                faults::show(body, values);
            }
        }
        (
            throttle::stamp(&mut world, &req, resp),
            request_id,
            world.cloud.arm_url.clone(),
        )
    };
    if gate.record {
        gate.keep(exchange(&req, &uri, &base, &resp));
    }
    respond(&req, resp, request_id)
}

fn content_type(body: &Value) -> &'static str {
    if body.is_string() {
        "text/html"
    } else {
        "application/json; charset=utf-8"
    }
}

fn respond(req: &Req, resp: Resp, request_id: String) -> Response {
    let correlation = req
        .headers
        .get("x-ms-correlation-request-id")
        .and_then(|v| v.to_str().ok());
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(resp.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header("x-ms-correlation-request-id", correlation.unwrap_or(&request_id))
        .header("x-ms-request-id", &request_id)
        .header(header::CACHE_CONTROL, "no-cache");
    for (name, value) in resp.headers {
        builder = builder.header(name, value);
    }
    let body = match resp.body {
        Some(v) if req.method != Method::HEAD => {
            builder = builder.header(header::CONTENT_TYPE, content_type(&v));
            Body::from(v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        }
        _ => Body::empty(),
    };
    builder.body(body).unwrap_or_default()
}

/// One recorded pair, in the words of oav's LiveValidator. The token is left out.
fn exchange(req: &Req, uri: &Uri, base: &str, resp: &Resp) -> Value {
    let headers: serde_json::Map<String, Value> = req
        .headers
        .iter()
        .filter(|(k, _)| *k != header::AUTHORIZATION)
        .map(|(k, v)| (k.to_string(), Value::from(v.to_str().unwrap_or(""))))
        .collect();
    let mut answered: serde_json::Map<String, Value> = resp
        .headers
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str())))
        .collect();
    if let Some(body) = &resp.body {
        answered.insert("content-type".into(), content_type(body).into());
    }
    json!({
        "liveRequest": {"method": req.method.as_str(), "url": format!("{base}{uri}"), "headers": headers, "body": req.body},
        "liveResponse": {"statusCode": resp.status.to_string(), "headers": answered, "body": resp.body},
    })
}

/// The provider type that a path names, `Microsoft.Network/virtualNetworks/subnets`.
pub(crate) fn resource_type(segs: &[String]) -> Option<String> {
    let at = segs.iter().rposition(|s| s.eq_ignore_ascii_case("providers"))?;
    let mut kind = segs.get(at + 1)?.clone();
    for s in segs.iter().skip(at + 2).step_by(2) {
        kind.push('/');
        kind.push_str(s);
    }
    Some(kind)
}

/// What holds for every request.
fn admit(world: &mut World, req: &Req) -> Result<(), Refusal> {
    if req.low.iter().map(String::as_str).eq(["metadata", "endpoints"]) {
        return Ok(());
    }
    crate::entra::check(world, &req.headers)?;
    if world.trouble.expired.is_some() && world.trouble.expired.as_deref() == token(req) {
        return Err(expired(world));
    }
    crate::entra::admit(world, req)?;
    versions::check(req)?;
    throttle::take(world, req)
}

fn token(req: &Req) -> Option<&str> {
    req.headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn expired(world: &World) -> Refusal {
    let text = "The access token expiry UTC time is earlier than current UTC time.";
    let mut refusal = Refusal::new(401, "ExpiredAuthenticationToken", text);
    let challenge = format!(
        "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"The access token has expired.\"",
        world.cloud.authority_url, world.cloud.tenant
    );
    refusal.headers.push(("www-authenticate", challenge));
    refusal
}

/// What the fault script does to the request.
fn trouble(world: &mut World, req: &Req, struck: &Struck) -> Result<(), Refusal> {
    for rule in &struck.0 {
        match world.trouble.effect(*rule).cloned() {
            Some(Effect::Refuse {
                status,
                code,
                message,
                retry_after,
                info,
                body,
            }) => {
                let fill = |text: &str| faults::fill(world, req.method.as_str(), &req.path, text);
                let mut refusal = Refusal::new(status, &code, fill(&message));
                refusal
                    .headers
                    .extend(retry_after.map(|s| ("retry-after", s.to_string())));
                refusal.info = info.and_then(|i| serde_json::from_str(&fill(&i.to_string())).ok());
                refusal.body = body;
                return Err(refusal);
            }
            Some(Effect::Throttle { seconds }) => return Err(throttle::close(world, req, seconds)),
            Some(Effect::ExpireToken) => {
                world.trouble.expired = token(req).map(str::to_owned);
                return Err(expired(world));
            }
            Some(Effect::RevokeSession) => return Err(crate::entra::revoke(world, &req.headers)),
            Some(_) => world.foredoom(*rule),
            None => {}
        }
    }
    Ok(())
}

/// What a change needs: no lock in its way, its resource group, a registered provider.
fn ready(world: &World, req: &Req) -> Result<(), Refusal> {
    authorization::not_locked(world, req)?;
    // Everything inside a resource group needs the group, and a registered provider.
    if let Some(group) = req.group()
        && req.low.len() > 4
    {
        let id = format!("/subscriptions/{}/resourceGroups/{group}", world.cloud.subscription);
        if world.cloud.get(&id).is_none() {
            return Err(Refusal::new(
                404,
                "ResourceGroupNotFound",
                format!("Resource group '{group}' could not be found."),
            ));
        }
        if req.method == Method::PUT && req.low.get(4).map(String::as_str) == Some("providers") {
            resources::needs_provider(world, &req.segs[5.min(req.segs.len() - 1)])?;
        }
    }
    Ok(())
}

fn dispatch(world: &mut World, req: &Req) -> Answer {
    let low: Vec<&str> = req.low.iter().map(String::as_str).collect();
    if let Some(answer) = lro::poll(world, req, &low) {
        return answer;
    }
    // The last `providers` decides: extension resources hang below others.
    let provider = low
        .iter()
        .rposition(|s| *s == "providers")
        .and_then(|i| low.get(i + 1).copied());
    match provider {
        Some("microsoft.authorization") => authorization::handle(world, req, &low),
        Some("microsoft.network") => network::handle(world, req, &low),
        Some("microsoft.storage") => storage::handle(world, req, &low),
        Some("microsoft.sql") => sql::handle(world, req, &low),
        Some("microsoft.recoveryservices") => recovery::handle(world, req, &low),
        Some("microsoft.migrate") => migrate::handle(world, req, &low),
        Some("microsoft.offazure") => offazure::handle(world, req, &low),
        Some("microsoft.compute") => compute::handle(world, req, &low),
        Some("microsoft.datamigration") => datamigration::handle(world, req, &low),
        _ => None,
    }
    .or_else(|| resources::handle(world, req, &low))
    .unwrap_or_else(|| Err(unknown(req, provider)))
}

fn unknown(req: &Req, provider: Option<&str>) -> Refusal {
    match provider {
        Some(p) if !resources::PROVIDERS.iter().any(|k| k.namespace.eq_ignore_ascii_case(p)) => Refusal::new(
            404,
            "InvalidResourceNamespace",
            format!("The resource namespace '{p}' is invalid."),
        ),
        _ if req.method == Method::GET => Refusal::not_found(req),
        _ => Refusal::new(
            405,
            "MethodNotAllowed",
            format!("The lab doesn't offer {} {}.", req.method, req.path),
        ),
    }
}

/// A field of the body that must be there.
pub(crate) fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str().filter(|s| !s.is_empty())
}

/// The location of a body, normalized (`East US 2` = `eastus2`), known and required.
pub(crate) fn location(body: &Value) -> Result<String, Refusal> {
    let Some(given) = text(body, "/location") else {
        return Err(Refusal::bad(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    let plain: String = given
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase();
    if crate::cloud::LOCATIONS.iter().any(|(n, ..)| *n == plain) {
        Ok(plain)
    } else {
        Err(Refusal::bad(
            "LocationNotAvailableForResourceType",
            format!("The provided location '{given}' is not available for this resource type."),
        ))
    }
}

/// The last segment of an id.
pub(crate) fn last(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

/// An id without its last `n` segments.
pub(crate) fn parent(id: &str, n: usize) -> String {
    let mut parts: Vec<&str> = id.split('/').collect();
    parts.truncate(parts.len().saturating_sub(n));
    parts.join("/")
}

/// Removes a resource with what hangs on it.
pub(crate) fn forget(world: &mut World, id: &str) {
    let Some(gone) = world.cloud.remove(id) else { return };
    let low = id.to_lowercase();
    match gone["type"].as_str().unwrap_or("") {
        "Microsoft.Network/virtualNetworks" => network::forgotten(world, &gone),
        "Microsoft.Storage/storageAccounts" => {
            world.cloud.accounts.remove(last(id));
            // Containers, and the assignments on the account, go with it.
            world.cloud.resources.retain(|k, _| !k.starts_with(&format!("{low}/")));
        }
        "Microsoft.Compute/virtualMachines" => {
            world.cloud.guests.remove(&low);
        }
        "Microsoft.Sql/managedInstances/databases" => sql::forgotten(world, &low),
        _ => {}
    }
    world.cloud.busy.remove(&low);
}

/// Sets every `provisioningState` in a resource and its parts.
pub(crate) fn set_state(v: &mut Value, state: &str) {
    match v {
        Value::Object(map) => {
            for (k, v) in map.iter_mut() {
                if k == "provisioningState" {
                    *v = Value::from(state);
                } else {
                    set_state(v, state);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| set_state(v, state)),
        _ => {}
    }
}
