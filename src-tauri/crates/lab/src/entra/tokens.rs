//! Tokens: made, signed, and checked as the resource manager checks them.

use super::{Form, refuse};
use crate::{arm::Refusal, world::World};
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Who a token is for.
pub(super) enum Holder {
    Application,
    Person,
    Machine,
}

/// Who sends a request.
pub(super) struct Caller {
    pub tenant: String,
    pub person: bool,
}

/// What a request wants of its access token: a part of OpenID Connect's parameter `claims`; none when it can't be read.
pub(super) fn asked(form: &Form) -> Option<Value> {
    match form.get("claims") {
        None => Some(json!({})),
        Some(text) => serde_json::from_str::<Value>(text).ok()?.get("access_token").cloned(),
    }
}

/// Answers with an access token for the first scope, and with what else the holder gets.
pub(super) fn give(
    world: &mut World,
    tenant: &str,
    client: &str,
    scope: &str,
    holder: &Holder,
    asked: &Value,
    more: Value,
) -> Response {
    let Some(resource) = scope.split_whitespace().find_map(|s| s.strip_suffix("/.default")) else {
        let text =
            format!("The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.");
        return refuse(world, StatusCode::BAD_REQUEST, "invalid_scope", 70011, &text);
    };
    let (token, seconds, _) = access(world, tenant, client, resource, holder, asked);
    let mut answer = json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "scope": scope, "access_token": token,
    });
    if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
        answer.extend(more);
    }
    (
        StatusCode::OK,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(answer),
    )
        .into_response()
}

/// Makes an access token; with its seconds and its end since 1970.
pub(super) fn access(
    world: &mut World,
    tenant: &str,
    client: &str,
    resource: &str,
    holder: &Holder,
    asked: &Value,
) -> (String, i64, i64) {
    let now = world.token_now().as_second();
    // A session may be revoked in the same second: then the token counts as of the next.
    let valid = seconds_of(&asked["nbf"]["value"]).map_or(now, |t| t.max(now));
    let seconds = world.entra.token_secs;
    let id = world.new_guid().simple().to_string();
    let mut claims = json!({
        "aud": resource, "iss": format!("https://sts.windows.net/{tenant}/"), "iat": now, "nbf": valid,
        "exp": now + seconds, "appid": client, "tid": tenant, "ver": "1.0", "uti": id,
    });
    match holder {
        Holder::Application | Holder::Machine => {
            claims["oid"] = world.cloud.principal.as_str().into();
            claims["idtyp"] = "app".into();
        }
        Holder::Person => {
            claims["oid"] = world.guid("person").to_string().into();
            claims["idtyp"] = "user".into();
            claims["upn"] = world.entra.user.as_str().into();
            claims["scp"] = "user_impersonation".into();
        }
    }
    let (capabilities, passed) = (&asked["xms_cc"]["values"], &asked["acrs"]["value"]);
    if capabilities.is_array() {
        claims["xms_cc"] = capabilities.clone();
    }
    if passed.is_string() && matches!(holder, Holder::Person) {
        claims["acrs"] = json!([passed]);
    }
    world.counters.tokens += 1;
    (sign(&world.cloud.token_key, &claims), seconds, now + seconds)
}

impl World {
    /// An access token of the scenario's own application, for tests.
    pub fn token_for(&mut self, resource: &str) -> String {
        let (tenant, client) = (self.cloud.tenant.clone(), self.cloud.client.clone());
        access(self, &tenant, &client, resource, &Holder::Application, &json!({})).0
    }
}

fn seconds_of(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}

/// Whether a token meets what is demanded.
fn meets(demanded: &Value, claims: &Value) -> bool {
    let nbf = seconds_of(&demanded["nbf"]["value"]);
    let acr = &demanded["acrs"]["value"];
    nbf.is_none_or(|nbf| claims["nbf"].as_i64().is_some_and(|t| t >= nbf))
        && (acr.is_null() || claims["acrs"].as_array().is_some_and(|all| all.contains(acr)))
}

/// Refuses what does not meet the demand, in the two shapes that the resource manager's challenges have.
fn challenged(world: &World) -> Refusal {
    let demanded = &world.entra.demanded;
    let (error, text) = if demanded["acrs"].is_null() {
        ("invalid_token", "User session has been revoked")
    } else {
        (
            "insufficient_claims",
            "The presented access token does not have sufficient claims",
        )
    };
    let mut refusal = Refusal::new(401, "InvalidAuthenticationToken", format!("{text}."));
    refusal.headers.push((
        "www-authenticate",
        format!(
            "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", error=\"{error}\", error_description=\"{text}\", claims=\"{}\"",
            world.cloud.authority_url,
            STANDARD.encode(json!({"access_token": demanded}).to_string())
        ),
    ));
    refusal
}

/// Revokes the session of who sends a request: its token, and all that are as old, are refused from now on.
pub(crate) fn revoke(world: &mut World, headers: &HeaderMap) -> Refusal {
    let nbf = bearer(headers).and_then(claims).and_then(|c| c["nbf"].as_i64());
    world.entra.challenge("nbf", &(nbf.unwrap_or(0) + 1).to_string());
    challenged(world)
}

/// Says who has signed in.
pub(super) fn id_token(world: &World, tenant: &str, client: &str) -> String {
    let now = world.token_now().as_second();
    let claims = json!({
        "aud": client, "iss": format!("{}/{tenant}/v2.0", world.cloud.authority_url), "iat": now, "nbf": now,
        "exp": now + world.entra.token_secs, "tid": tenant, "oid": world.guid("person").to_string(),
        "preferred_username": world.entra.user, "name": "Contoso Admin", "ver": "2.0",
    });
    sign(&world.cloud.token_key, &claims)
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn claims(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// Who signs in to a database with a token; the reason when it is not valid there.
pub(crate) fn database_caller(world: &World, token: &str) -> Result<String, &'static str> {
    let signed = token.rsplit_once('.');
    let claims = signed
        .filter(|(text, signature)| mac(&world.cloud.token_key, text) == *signature)
        .and_then(|_| claims(token))
        .ok_or(" The token is invalid.")?;
    let audience = claims["aud"].as_str().unwrap_or_default().trim_end_matches('/');
    if audience != "https://database.windows.net" {
        return Err(" The token was obtained for another audience.");
    }
    if claims["exp"]
        .as_i64()
        .is_none_or(|exp| exp <= world.token_now().as_second())
    {
        return Err(" Token is expired.");
    }
    let name = claims["upn"].as_str().or(claims["appid"].as_str());
    Ok(name.unwrap_or_default().to_owned())
}

/// Who sends a request whose token was checked. While the diary is repeated, nobody signs in: it is the scenario's own.
pub(super) fn caller(world: &World, headers: &HeaderMap) -> Caller {
    let claims = bearer(headers).and_then(claims).unwrap_or_default();
    Caller {
        tenant: claims["tid"].as_str().unwrap_or(&world.cloud.tenant).to_owned(),
        person: claims["idtyp"] == "user",
    }
}

/// Checks a request's bearer token as the resource manager does.
pub(crate) fn check(world: &mut World, headers: &HeaderMap) -> Result<(), Refusal> {
    if world.replaying {
        return Ok(());
    }
    let challenge = format!("{}/{}", world.cloud.authority_url, world.cloud.tenant);
    let refuse = |code: &str, text: &str| {
        let mut r = Refusal::new(401, code, text);
        r.headers.push((
            "www-authenticate",
            format!("Bearer authorization_uri=\"{challenge}\", error=\"invalid_token\", error_description=\"{text}\""),
        ));
        r
    };
    let Some(token) = bearer(headers) else {
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
    let claims = claims(token).ok_or_else(invalid)?;
    let now = world.token_now().as_second();
    if claims["exp"].as_i64().is_none_or(|exp| exp <= now) {
        world.counters.expired_tokens += 1;
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
    if !meets(&world.entra.demanded, &claims) {
        return Err(challenged(world));
    }
    Ok(())
}
