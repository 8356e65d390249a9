//! Entra's token endpoint for one service principal. Tokens look like JWTs and are signed with the lab's own key, so only
//! its own are accepted. Their hour is an hour of *real* time: the clients' token caches live in real time as well.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    arm::Refusal,
    world::{Shared, World},
};

const LIFETIME_SECS: u64 = 3600;

pub(crate) fn router(world: Shared) -> Router {
    Router::new().fallback(handle).with_state(world)
}

async fn handle(State(world): State<Shared>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path().to_lowercase();
    let segs: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut world = world.lock();
    match (&method, segs.as_slice()) {
        (&Method::GET, ["common", "discovery", "instance"]) => {
            axum::Json(json!({
                "tenant_discovery_endpoint": format!("{}/{}/v2.0/.well-known/openid-configuration", world.cloud.authority_url, world.cloud.tenant),
                "api-version": "1.1", "metadata": [],
            }))
            .into_response()
        }
        (&Method::GET, [tenant, .., ".well-known", "openid-configuration"]) => {
            if !known_tenant(&world, tenant) {
                return unknown_tenant(&mut world, tenant);
            }
            let base = format!("{}/{}", world.cloud.authority_url, world.cloud.tenant);
            axum::Json(json!({
                "issuer": format!("{base}/v2.0"), "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
                "jwks_uri": format!("{base}/discovery/v2.0/keys"),
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "response_types_supported": ["code"], "scopes_supported": ["openid"], "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"], "tenant_region_scope": "NA",
            }))
            .into_response()
        }
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"]) => {
            if !known_tenant(&world, tenant) {
                return unknown_tenant(&mut world, tenant);
            }
            let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
            token(&mut world, &form)
        }
        _ => (StatusCode::NOT_FOUND, axum::Json(json!({"error": "not_found"}))).into_response(),
    }
}

fn known_tenant(world: &World, tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(&world.cloud.tenant) || tenant == "contoso.com" || tenant == "contoso.onmicrosoft.com"
}

fn unknown_tenant(world: &mut World, tenant: &str) -> Response {
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    refuse(world, StatusCode::BAD_REQUEST, "invalid_request", 90002, &text)
}

fn token(world: &mut World, form: &BTreeMap<String, String>) -> Response {
    let get = |k: &str| form.get(k).map_or("", String::as_str);
    if get("grant_type") != "client_credentials" {
        return refuse(
            world,
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        );
    }
    if !get("client_id").eq_ignore_ascii_case(&world.cloud.client) {
        let text = format!(
            "Application with identifier '{}' was not found in the directory 'Contoso'.",
            get("client_id")
        );
        return refuse(world, StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, &text);
    }
    if get("client_secret") != world.cloud.client_secret {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
            world.cloud.client
        );
        return refuse(world, StatusCode::UNAUTHORIZED, "invalid_client", 7_000_215, &text);
    }
    let scope = form
        .get("scope")
        .or_else(|| form.get("resource"))
        .map_or("", String::as_str);
    if scope.is_empty() {
        return refuse(
            world,
            StatusCode::BAD_REQUEST,
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'scope'.",
        );
    }
    let audience = scope
        .split_whitespace()
        .next()
        .unwrap_or("")
        .trim_end_matches("/.default")
        .to_owned();
    let now = unix();
    let id = world.new_guid().simple().to_string();
    let claims = json!({
        "aud": audience, "iss": format!("https://sts.windows.net/{}/", world.cloud.tenant), "iat": now, "nbf": now,
        "exp": now + LIFETIME_SECS, "appid": world.cloud.client, "oid": world.cloud.principal, "tid": world.cloud.tenant,
        "idtyp": "app", "ver": "1.0", "uti": id,
    });
    let answer = json!({
        "token_type": "Bearer", "expires_in": LIFETIME_SECS, "ext_expires_in": LIFETIME_SECS,
        "access_token": sign(&world.cloud.token_key, &claims),
    });
    (
        StatusCode::OK,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(answer),
    )
        .into_response()
}

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

fn mac(key: &[u8], text: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn sign(key: &[u8], claims: &Value) -> String {
    let head = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "HS256"}).to_string());
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = mac(key, &text);
    format!("{text}.{signature}")
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Checks a request's bearer token as the resource manager does.
pub(crate) fn check(world: &World, headers: &HeaderMap) -> Result<(), Refusal> {
    if world.replaying {
        return Ok(());
    }
    let refuse = |code: &str, text: &str| {
        let mut r = Refusal::new(401, code, text);
        r.headers.push((
            "www-authenticate",
            format!(
                "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{text}\"",
                world.cloud.authority_url, world.cloud.tenant
            ),
        ));
        r
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    let Some(token) = given else {
        return Err(refuse(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        ));
    };
    let invalid = || refuse("InvalidAuthenticationToken", "The access token is invalid.");
    let (text, signature) = token.rsplit_once('.').ok_or_else(invalid)?;
    if mac(&world.cloud.token_key, text) != signature {
        return Err(invalid());
    }
    let claims: Value = text
        .split_once('.')
        .and_then(|(_, c)| URL_SAFE_NO_PAD.decode(c).ok())
        .and_then(|c| serde_json::from_slice(&c).ok())
        .ok_or_else(invalid)?;
    if claims["exp"].as_u64().is_none_or(|exp| exp <= unix()) {
        return Err(refuse(
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time is earlier than current UTC time.",
        ));
    }
    let audience = claims["aud"].as_str().unwrap_or("").trim_end_matches('/');
    if ![
        world.cloud.arm_url.as_str(),
        "https://management.azure.com",
        "https://management.core.windows.net",
    ]
    .contains(&audience)
    {
        return Err(refuse(
            "InvalidAuthenticationTokenAudience",
            "The access token has been obtained from wrong audience or resource.",
        ));
    }
    Ok(())
}
