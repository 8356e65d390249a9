//! Entra: two tenants, one person who belongs to both, the service principal of the rehearsals, and the endpoints that
//! give tokens: `authorize`, `devicecode` and `token` with its five grants. Tokens look like JWTs and are signed with the
//! lab's own key, so only its own are accepted.
//!
//! The person plays their part without a page: `authorize` redirects at once, and a code is entered some seconds after it
//! was given, as [`Person`] says. Time is real by default, because the token caches of foreign clients live in real time;
//! with [`TokenTime::Lab`] a token's hour is an hour of lab time, and the lab counts every expired token that it sees.
//!
//! Continuous access evaluation: what [`Directory::challenge`] demands, a token has only when it was asked for with it.
//!
//! Stricter than Entra where that finds mistakes of a client: a refresh token is dead as soon as its successor was used, and
//! whoever asks for a device code's tokens faster than told is told to slow down.

mod grants;
mod person;
mod tokens;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::{
    arm::{Refusal, Req},
    world::{Shared, World, guid},
};

pub use grants::IDENTITY_HEADER;
pub(crate) use tokens::{check, database_caller, revoke};

/// The public client of Microsoft's development tools; every tenant knows it.
const DEVELOPER_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// Whose time tokens live in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenTime {
    #[default]
    Real,
    Lab,
}

/// What the person at the browser does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Person {
    #[default]
    Accepts,
    /// Chooses Cancel.
    Cancels,
    DeclinesConsent,
    /// May not consent; an administrator must.
    NeedsAdministrator,
    /// Is not there.
    Away,
}

/// What a tenant demands of the person beyond being signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    SecondFactor,
    CompliantDevice,
    Blocked,
}

/// A tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: String,
    pub name: &'static str,
    pub domain: &'static str,
    /// Refuses refreshed tokens of the person until it is met.
    pub demand: Option<Demand>,
}

/// A subscription beyond the one that the scenario lives in. It can be seen, and nothing more.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub id: String,
    pub name: &'static str,
    pub tenant: String,
    pub state: &'static str,
}

/// Everything that Entra knows.
pub struct Directory {
    pub tenants: Vec<Tenant>,
    pub subscriptions: Vec<Subscription>,
    pub person: Person,
    /// `admin@contoso.com`
    pub user: String,
    pub account_disabled: bool,
    /// What the resource manager demands of every token: the `access_token` part of a claims challenge.
    demanded: Value,
    /// The service principal's secret is past its end.
    pub secret_expired: bool,
    /// Certificates (DER) that are registered for the service principal.
    pub certificates: Vec<Vec<u8>>,
    pub time: TokenTime,
    /// Seconds that an access token lives.
    pub token_secs: i64,
    /// Seconds after which an unused refresh token is dead: 90 days.
    pub idle_secs: i64,
    /// Seconds after which the person has entered a device code.
    pub entering_secs: i64,
    codes: BTreeMap<String, Code>,
    devices: BTreeMap<String, Device>,
    refreshes: BTreeMap<String, Refresh>,
}

/// An authorization code.
struct Code {
    client: String,
    redirect: String,
    challenge: String,
    tenant: String,
    ends: Timestamp,
    used: bool,
    /// What the page was asked for.
    asked: Value,
}

struct Device {
    client: String,
    tenant: String,
    given: Timestamp,
    ends: Timestamp,
    asked: Option<Timestamp>,
    used: bool,
}

struct Refresh {
    client: String,
    used: Timestamp,
    /// Died when its successor was used, or was revoked.
    dead: bool,
    before: Option<String>,
    /// What the person has passed on the page, such as a second factor.
    passed: Value,
}

impl Directory {
    pub fn contoso(seed: u64, tenant: &str) -> Directory {
        let id = |label: &str| guid(seed, label).to_string();
        let fabrikam = id("tenant fabrikam");
        let of = |name: &'static str, tenant: &str, state| Subscription {
            id: id(name),
            name,
            tenant: tenant.to_owned(),
            state,
        };
        Directory {
            subscriptions: vec![
                of("Contoso Test", tenant, "Warned"),
                of("Contoso Archive", tenant, "Disabled"),
                of("Fabrikam Production", &fabrikam, "Enabled"),
                of("Fabrikam Sandbox", &fabrikam, "PastDue"),
            ],
            tenants: vec![
                Tenant {
                    id: tenant.to_owned(),
                    name: "Contoso",
                    domain: "contoso.com",
                    demand: None,
                },
                Tenant {
                    id: fabrikam,
                    name: "Fabrikam",
                    domain: "fabrikam.com",
                    demand: None,
                },
            ],
            person: Person::default(),
            user: "admin@contoso.com".into(),
            account_disabled: false,
            demanded: json!({}),
            secret_expired: false,
            certificates: vec![],
            time: TokenTime::default(),
            token_secs: 3600,
            idle_secs: 90 * 86_400,
            entering_secs: 12,
            codes: BTreeMap::new(),
            devices: BTreeMap::new(),
            refreshes: BTreeMap::new(),
        }
    }

    /// Ends every sign-in of the person, as a reset of the password does.
    pub fn revoke(&mut self) {
        self.refreshes.values_mut().for_each(|r| r.dead = true);
    }

    /// Demands a claim of every token from now on, as a revocation (`nbf`, seconds since 1970) and a policy (`acrs`) do.
    pub fn challenge(&mut self, claim: &str, value: &str) {
        self.demanded[claim] = json!({"essential": true, "value": value});
    }

    fn tenant(&self, named: &str) -> Option<&Tenant> {
        let home = matches!(named, "organizations" | "common");
        self.tenants.iter().find(|t| {
            home || t.id.eq_ignore_ascii_case(named) || t.domain == named || named == "contoso.onmicrosoft.com"
        })
    }
}

impl World {
    /// The time that tokens live in.
    fn token_now(&self) -> Timestamp {
        match self.entra.time {
            TokenTime::Real => Timestamp::now(),
            TokenTime::Lab => self.now(),
        }
    }

    /// Something that nobody can guess, for codes and tokens; as long as Entra's refresh tokens are at most.
    fn unguessable(&mut self, length: usize) -> String {
        let mut text = String::from("0.A");
        while text.len() < length {
            text += &self.new_guid().simple().to_string();
        }
        text.truncate(length);
        text
    }
}

pub(crate) fn router(world: Shared) -> Router {
    Router::new().fallback(handle).with_state(world)
}

async fn handle(State(world): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_lowercase();
    let segs: Vec<&str> = path.trim_matches('/').split('/').collect();
    let fields = |text: &[u8]| -> Form { url::form_urlencoded::parse(text).into_owned().collect() };
    let query = fields(uri.query().unwrap_or_default().as_bytes());
    let mut world = world.lock();
    match (&method, segs.as_slice()) {
        (&Method::GET, ["common", "discovery", "instance"]) => {
            axum::Json(json!({
                "tenant_discovery_endpoint": format!("{}/{}/v2.0/.well-known/openid-configuration", world.cloud.authority_url, world.cloud.tenant),
                "api-version": "1.1", "metadata": [],
            }))
            .into_response()
        }
        // App Service's way to a managed identity: the address and the header are in the environment of who asks.
        (&Method::GET, ["msi", "token"]) => grants::managed_identity(&mut world, &headers, &query),
        (&Method::GET, [tenant, .., ".well-known", "openid-configuration"]) => {
            let Some(id) = world.entra.tenant(tenant).map(|t| t.id.clone()) else {
                return unknown_tenant(&mut world, tenant);
            };
            let base = format!("{}/{id}", world.cloud.authority_url);
            axum::Json(json!({
                "issuer": format!("{base}/v2.0"), "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
                "jwks_uri": format!("{base}/discovery/v2.0/keys"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code"], "scopes_supported": ["openid"], "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"], "tenant_region_scope": "NA",
            }))
            .into_response()
        }
        (&Method::GET, [tenant, "oauth2", "v2.0", "authorize"]) => person::authorize(&mut world, tenant, &query),
        (&Method::POST, [tenant, "oauth2", "v2.0", "devicecode"]) => {
            person::device_code(&mut world, tenant, &fields(&body))
        }
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"]) => {
            grants::token(&mut world, tenant, &fields(&body))
        }
        _ => (StatusCode::NOT_FOUND, axum::Json(json!({"error": "not_found"}))).into_response(),
    }
}

type Form = BTreeMap<String, String>;

fn field<'a>(form: &'a Form, key: &str) -> &'a str {
    form.get(key).map_or("", String::as_str)
}

fn unknown_tenant(world: &mut World, tenant: &str) -> Response {
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    refuse(world, StatusCode::BAD_REQUEST, "invalid_request", 90002, &text)
}

/// Entra's way to refuse: a word, a number, and a text that begins with the number and ends with ids.
fn refuse(world: &mut World, status: StatusCode, error: &str, code: u32, text: &str) -> Response {
    let (trace, correlation) = (world.new_guid(), world.new_guid());
    let now = world.now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let answer = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"),
        "error_codes": [code], "timestamp": now, "trace_id": trace.to_string(), "correlation_id": correlation.to_string(),
    });
    (status, axum::Json(answer)).into_response()
}

/// The tenants that the caller sees.
pub(crate) fn tenants(world: &World, req: &Req) -> Vec<Value> {
    let caller = tokens::caller(world, &req.headers);
    world
        .entra
        .tenants
        .iter()
        .filter(|t| caller.person || t.id == caller.tenant)
        .map(|t| {
            json!({
                "id": format!("/tenants/{}", t.id), "tenantId": t.id, "countryCode": "US",
                "displayName": t.name, "domains": [t.domain],
                "tenantCategory": "Home", "defaultDomain": t.domain, "tenantType": "AAD",
            })
        })
        .collect()
}

/// The subscriptions that the caller sees beyond the scenario's own, and whether that is among them.
pub(crate) fn subscriptions(world: &World, req: &Req) -> (bool, Vec<Subscription>) {
    let caller = tokens::caller(world, &req.headers);
    let others = world.entra.subscriptions.iter();
    (
        caller.tenant == world.cloud.tenant,
        others
            .filter(|s| caller.person && s.tenant == caller.tenant)
            .cloned()
            .collect(),
    )
}

/// Lets a request to a subscription pass, if the caller's tenant is the subscription's.
pub(crate) fn admit(world: &World, req: &Req) -> Result<(), Refusal> {
    let (Some("subscriptions"), Some(sub)) = (req.low.first().map(String::as_str), req.segs.get(1)) else {
        return Ok(());
    };
    let caller = tokens::caller(world, &req.headers);
    let main = sub.eq_ignore_ascii_case(&world.cloud.subscription);
    let other = world
        .entra
        .subscriptions
        .iter()
        .find(|s| s.id.eq_ignore_ascii_case(sub));
    let home = match other {
        _ if main => &world.cloud.tenant,
        Some(other) if caller.person => &other.tenant,
        _ => {
            return Err(Refusal::new(
                404,
                "SubscriptionNotFound",
                format!("The subscription '{sub}' could not be found."),
            ));
        }
    };
    if caller.tenant != *home {
        let (issuer, wanted) = (&caller.tenant, home);
        return Err(Refusal::new(
            401,
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer 'https://sts.windows.net/{issuer}/'. It must match the tenant 'https://sts.windows.net/{wanted}/' associated with this subscription."
            ),
        ));
    }
    if !main && (req.low.len() > 2 || req.method != Method::GET) {
        return Err(Refusal::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{}' does not have authorization to perform this action over scope '{}' or the scope is invalid.",
                world.entra.user, req.path
            ),
        ));
    }
    Ok(())
}
