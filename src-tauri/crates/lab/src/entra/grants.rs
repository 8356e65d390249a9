//! The token endpoint.

use super::{
    Demand, Form, Person, Refresh, field,
    person::{INTERVAL, is_known},
    refuse,
    tokens::{Holder, access, asked, give, id_token},
    unknown_tenant,
};
use crate::world::{World, plus};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use axum::{
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Longer than one entry of Windows' keyring can be, as Entra's sometimes are.
const REFRESH_LENGTH: usize = 3_000;
/// What App Service puts into the environment beside the address.
pub const IDENTITY_HEADER: &str = "lab-identity-header";

const BAD: StatusCode = StatusCode::BAD_REQUEST;

pub(super) fn token(world: &mut World, tenant: &str, form: &Form) -> Response {
    let Some(tenant) = world.entra.tenant(tenant).map(|t| t.id.clone()) else {
        return unknown_tenant(world, tenant);
    };
    let Some(asked) = asked(form) else {
        let text = "Invalid request. Request is malformed or invalid.";
        return refuse(world, BAD, "invalid_request", 9_002_313, text);
    };
    match field(form, "grant_type") {
        "client_credentials" => application(world, &tenant, form, &asked),
        "authorization_code" => code(world, &tenant, form, asked),
        "refresh_token" => refresh(world, &tenant, form, asked),
        "urn:ietf:params:oauth:grant-type:device_code" => device(world, form, asked),
        _ => refuse(
            world,
            BAD,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        ),
    }
}

fn application(world: &mut World, tenant: &str, form: &Form, asked: &Value) -> Response {
    let client = field(form, "client_id").to_owned();
    if !client.eq_ignore_ascii_case(&world.cloud.client) || tenant != world.cloud.tenant {
        let text = format!("Application with identifier '{client}' was not found in the directory 'Contoso'.");
        return refuse(world, BAD, "unauthorized_client", 700_016, &text);
    }
    let refused = if form.contains_key("client_assertion") {
        assertion(world, tenant, form)
    } else if field(form, "client_secret") != world.cloud.client_secret {
        Err((
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
            ),
        ))
    } else if world.entra.secret_expired {
        Err((
            7_000_222,
            format!("The provided client secret keys for app '{client}' are expired."),
        ))
    } else {
        Ok(())
    };
    if let Err((code, text)) = refused {
        return refuse(world, StatusCode::UNAUTHORIZED, "invalid_client", code, &text);
    }
    // Older clients name a resource.
    let scope = match (field(form, "scope"), field(form, "resource")) {
        ("", "") => {
            let text = "The request body must contain the following parameter: 'scope'.";
            return refuse(world, BAD, "invalid_request", 900_144, text);
        }
        ("", resource) => format!("{resource}/.default"),
        (scope, _) => scope.to_owned(),
    };
    give(world, tenant, &client, &scope, &Holder::Application, asked, json!({}))
}

/// Checks a signed assertion: its certificate is registered, the signature is that certificate's, time and audience fit.
fn assertion(world: &World, tenant: &str, form: &Form) -> Result<(), (u32, String)> {
    let bad = |code: u32, text: &str| (code, text.to_owned());
    let malformed = || bad(50027, "JWT token is invalid or malformed.");
    if field(form, "client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
        return Err(bad(50013, "Assertion type is not supported."));
    }
    let jwt = field(form, "client_assertion");
    let (text, signature) = jwt.rsplit_once('.').ok_or_else(malformed)?;
    let (head, claims) = text.split_once('.').ok_or_else(malformed)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let json = |part: &str| decoded(part).and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    let (Some(head), Some(claims), Some(signature)) = (json(head), json(claims), decoded(signature)) else {
        return Err(malformed());
    };
    let named = head["x5t#S256"].as_str().unwrap_or_default();
    let mut registered = world.entra.certificates.iter();
    let Some(der) = registered.find(|der| URL_SAFE_NO_PAD.encode(Sha256::digest(der)) == named) else {
        return Err(bad(
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        ));
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
        return Err(malformed());
    };
    let key = certificate.public_key().subject_public_key.data.as_ref();
    if head["alg"] != "PS256"
        || UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
            .verify(text.as_bytes(), &signature)
            .is_err()
    {
        return Err(bad(700_027, "Client assertion failed signature validation."));
    }
    let now = world.token_now().as_second();
    let within =
        claims["nbf"].as_i64().is_some_and(|t| t <= now + 300) && claims["exp"].as_i64().is_some_and(|t| t > now - 300);
    if !within {
        return Err(bad(700_024, "Client assertion is not within its valid time range."));
    }
    let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", world.cloud.authority_url);
    if claims["aud"].as_str() != Some(&endpoint) {
        return Err(bad(50013, "Assertion audience claim does not match the endpoint."));
    }
    let client = field(form, "client_id");
    let same = |claim: &str| claims[claim].as_str().is_some_and(|c| c.eq_ignore_ascii_case(client));
    if !same("iss") || !same("sub") {
        return Err(bad(50048, "Subject mismatches Issuer claim in the client assertion."));
    }
    Ok(())
}

fn code(world: &mut World, tenant: &str, form: &Form, mut asked: Value) -> Response {
    let now = world.token_now();
    let (client, redirect) = (field(form, "client_id").to_lowercase(), field(form, "redirect_uri"));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field(form, "code_verifier")));
    let refused = match world.entra.codes.get_mut(field(form, "code")) {
        None => Some((70000, "The provided value for the 'code' parameter is not valid.")),
        Some(code) if code.used => Some((
            54005,
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
        )),
        Some(code) if now >= code.ends => {
            Some((70008, "The provided authorization code or refresh token has expired."))
        }
        Some(code) if code.client != client || code.redirect != redirect => Some((
            70000,
            "The provided authorization code was issued to another application or redirect URI.",
        )),
        Some(code) if code.tenant != tenant => Some((
            700_005,
            "Provided Authorization Code is intended to use against other tenant, thus rejected.",
        )),
        Some(code) => {
            // One attempt, right or wrong.
            code.used = true;
            // Only the page can ask the person for more.
            asked["acrs"] = code.asked["acrs"].clone();
            (code.challenge != challenge).then_some((
                501_481,
                "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
            ))
        }
    };
    match refused {
        Some((number, text)) => refuse(world, BAD, "invalid_grant", number, text),
        None => person(world, tenant, &client, field(form, "scope"), asked, None),
    }
}

fn device(world: &mut World, form: &Form, asked: Value) -> Response {
    let now = world.token_now();
    let (who, entering) = (world.entra.person, SignedDuration::from_secs(world.entra.entering_secs));
    let client = field(form, "client_id").to_lowercase();
    let Some(device) = world
        .entra
        .devices
        .get_mut(field(form, "device_code"))
        .filter(|d| d.client == client && !d.used)
    else {
        let text = "Invalid verification code. Authorization isn't approved.";
        return refuse(world, BAD, "bad_verification_code", 70018, text);
    };
    let too_soon = device
        .asked
        .replace(now)
        .is_some_and(|asked| now.duration_since(asked) < SignedDuration::from_secs(INTERVAL));
    let entered = now >= plus(device.given, entering);
    let tenant = device.tenant.clone();
    let (word, number, text) = if now >= device.ends {
        ("expired_token", 70019, "Verification code expired.")
    } else if too_soon {
        ("slow_down", 70016, "Asked too soon.")
    } else if !entered || who == Person::Away {
        (
            "authorization_pending",
            70016,
            "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
        )
    } else if who != Person::Accepts {
        (
            "authorization_declined",
            70020,
            "The user declined the authorization request.",
        )
    } else {
        device.used = true;
        let scope = format!("{}/.default offline_access openid profile", world.cloud.arm_url);
        return person(world, &tenant, &client, &scope, asked, None);
    };
    refuse(world, BAD, word, number, text)
}

fn refresh(world: &mut World, tenant: &str, form: &Form, asked: Value) -> Response {
    let now = world.token_now();
    let idle = SignedDuration::from_secs(world.entra.idle_secs);
    let (client, given) = (
        field(form, "client_id").to_lowercase(),
        field(form, "refresh_token").to_owned(),
    );
    let refused = match world.entra.refreshes.get_mut(&given) {
        Some(r) if r.client != client => Some((70000, "The refresh token was issued to another application.")),
        None => Some((70000, "The provided refresh token is not valid.")),
        Some(r) if r.dead => Some((
            50173,
            "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
        )),
        Some(r) if now.duration_since(r.used) > idle => {
            Some((700_082, "The refresh token has expired due to inactivity."))
        }
        Some(r) => {
            r.used = now;
            None
        }
    };
    if let Some((number, text)) = refused {
        return refuse(world, BAD, "invalid_grant", number, text);
    }
    // Who uses a token has received it: the one before is done with.
    let before = world.entra.refreshes.get(&given).and_then(|r| r.before.clone());
    if let Some(before) = before.and_then(|b| world.entra.refreshes.get_mut(&b)) {
        before.dead = true;
    }
    person(world, tenant, &client, field(form, "scope"), asked, Some(given))
}

/// Gives a person's tokens, if account and tenant allow it.
fn person(
    world: &mut World,
    tenant: &str,
    client: &str,
    scope: &str,
    asked: Value,
    before: Option<String>,
) -> Response {
    if !is_known(world, client) {
        let text = "Application was not found in the directory.";
        return refuse(world, BAD, "unauthorized_client", 700_016, text);
    }
    if world.entra.account_disabled {
        return refuse(world, BAD, "invalid_grant", 50057, "The user account is disabled.");
    }
    // The page was passed with everything that it asked for; a refresh brings nothing new.
    let demand = world
        .entra
        .tenant(tenant)
        .and_then(|t| t.demand)
        .filter(|_| before.is_some());
    let passed = match before.as_ref().and_then(|b| world.entra.refreshes.get(b)) {
        Some(refresh) => refresh.passed.clone(),
        None => asked["acrs"]["value"].clone(),
    };
    let acr = &asked["acrs"]["value"];
    let demand = demand.or_else(|| (!acr.is_null() && *acr != passed).then_some(Demand::SecondFactor));
    if let Some(demand) = demand {
        let (word, number, text) = match demand {
            Demand::SecondFactor => (
                "interaction_required",
                50076,
                "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource.",
            ),
            Demand::CompliantDevice => (
                "interaction_required",
                53000,
                "Device is not in required device state: compliant.",
            ),
            Demand::Blocked => (
                "access_denied",
                53003,
                "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
            ),
        };
        return refuse(world, BAD, word, number, text);
    }
    let mut more = json!({});
    let wants = |word: &str| scope.split_whitespace().any(|s| s == word);
    if wants("openid") {
        more["id_token"] = id_token(world, tenant, client).into();
    }
    if wants("offline_access") {
        let token = world.unguessable(REFRESH_LENGTH);
        let used = world.token_now();
        world.entra.refreshes.insert(
            token.clone(),
            Refresh {
                client: client.to_owned(),
                used,
                dead: false,
                before,
                passed,
            },
        );
        more["refresh_token"] = token.into();
    }
    give(world, tenant, client, scope, &Holder::Person, &asked, more)
}

/// App Service's endpoint: a header that only the machine's own programs know takes the place of a secret.
pub(super) fn managed_identity(world: &mut World, headers: &HeaderMap, query: &Form) -> Response {
    let known = headers.get("x-identity-header").is_some_and(|v| v == IDENTITY_HEADER);
    let client = world.cloud.client.clone();
    let named = field(query, "client_id");
    if !known || !(named.is_empty() || named.eq_ignore_ascii_case(&client)) {
        let text = json!({"statusCode": 400, "message": "No managed identity was found for the given parameters."});
        return (BAD, axum::Json(text)).into_response();
    }
    let tenant = world.cloud.tenant.clone();
    let resource = field(query, "resource").trim_end_matches('/').to_owned();
    let (token, _, ends) = access(world, &tenant, &client, &resource, &Holder::Machine, &Value::Null);
    axum::Json(json!({
        "access_token": token, "expires_on": ends.to_string(), "resource": resource, "token_type": "Bearer",
        "client_id": client,
    }))
    .into_response()
}
