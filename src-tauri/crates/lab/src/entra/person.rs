//! What a person sees: the page behind `authorize`, and the code for a device. The lab's person answers by themselves.

use super::{Code, DEVELOPER_CLIENT, Device, Form, Person, field, refuse, tokens::asked, unknown_tenant};
use crate::world::{World, plus};
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use jiff::SignedDuration;
use serde_json::json;
use url::Url;

/// Entra's codes live ten minutes, device codes fifteen.
const CODE_SECS: i64 = 600;
const DEVICE_SECS: i64 = 900;
/// Seconds between questions.
pub(super) const INTERVAL: i64 = 5;

/// Whether a client may sign persons in: the developers' one, and the lab's application.
pub(super) fn is_known(world: &World, client: &str) -> bool {
    client == DEVELOPER_CLIENT || client.eq_ignore_ascii_case(&world.cloud.client)
}

/// Entra's page for what it can't send back to the application.
fn error_page(code: u32, text: &str) -> Response {
    let page = format!("<!doctype html><title>Sign in to your account</title><p>AADSTS{code}: {text}</p>");
    (StatusCode::BAD_REQUEST, Html(page)).into_response()
}

pub(super) fn authorize(world: &mut World, tenant: &str, query: &Form) -> Response {
    let Some(tenant) = world.entra.tenant(tenant).map(|t| t.id.clone()) else {
        return unknown_tenant(world, tenant);
    };
    let (client, redirect) = (field(query, "client_id"), field(query, "redirect_uri"));
    if !is_known(world, client) {
        return error_page(700_016, "Application was not found in the directory.");
    }
    // Native applications come back to this computer; the port doesn't matter.
    let Some(mut back) = Url::parse(redirect)
        .ok()
        .filter(|u| u.scheme() == "http" && u.host_str() == Some("localhost"))
    else {
        return error_page(
            50011,
            "The redirect URI does not match the redirect URIs configured for the application.",
        );
    };
    let challenge = field(query, "code_challenge");
    let answer: Vec<(&str, String)> = if field(query, "response_type") != "code" {
        denied(
            "unsupported_response_type",
            70005,
            "The app returned an unsupported response type.",
        )
    } else if field(query, "code_challenge_method") != "S256" || challenge.len() != 43 {
        denied(
            "invalid_request",
            50147,
            "The size of the code challenge parameter is not valid.",
        )
    } else if world.entra.account_disabled {
        denied("access_denied", 50057, "The user account is disabled.")
    } else {
        match world.entra.person {
            Person::Accepts => {
                let code = world.unguessable(900);
                let ends = plus(world.token_now(), SignedDuration::from_secs(CODE_SECS));
                world.entra.codes.insert(
                    code.clone(),
                    Code {
                        client: client.to_lowercase(),
                        redirect: redirect.to_owned(),
                        challenge: challenge.to_owned(),
                        tenant,
                        ends,
                        used: false,
                        asked: asked(query).unwrap_or_default(),
                    },
                );
                vec![("code", code), ("session_state", world.new_guid().to_string())]
            }
            Person::Cancels => vec![
                ("error", "access_denied".into()),
                ("error_subcode", "cancel".into()),
                ("error_description", "the user canceled the authentication".into()),
            ],
            Person::DeclinesConsent => denied("access_denied", 65004, "User declined to consent to access the app."),
            Person::NeedsAdministrator => denied("access_denied", 90094, "Administrator consent is required."),
            Person::Away => return Html("<!doctype html><title>Sign in to your account</title>").into_response(),
        }
    };
    back.query_pairs_mut().extend_pairs(answer);
    back.query_pairs_mut().append_pair("state", field(query, "state"));
    (StatusCode::FOUND, [(header::LOCATION, String::from(back))]).into_response()
}

fn denied(error: &str, code: u32, text: &str) -> Vec<(&'static str, String)> {
    vec![
        ("error", error.to_owned()),
        ("error_description", format!("AADSTS{code}: {text}")),
    ]
}

pub(super) fn device_code(world: &mut World, tenant: &str, form: &Form) -> Response {
    let Some(tenant) = world.entra.tenant(tenant).map(|t| t.id.clone()) else {
        return unknown_tenant(world, tenant);
    };
    let client = field(form, "client_id").to_lowercase();
    if !is_known(world, &client) {
        let text = "Application was not found in the directory.";
        return refuse(world, StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, text);
    }
    let code = world.unguessable(200);
    let user_code: String = world
        .new_guid()
        .simple()
        .to_string()
        .to_uppercase()
        .chars()
        .take(9)
        .collect();
    let given = world.token_now();
    world.entra.devices.insert(
        code.clone(),
        Device {
            client,
            tenant,
            given,
            ends: plus(given, SignedDuration::from_secs(DEVICE_SECS)),
            asked: None,
            used: false,
        },
    );
    let page = format!("{}/common/oauth2/deviceauth", world.cloud.authority_url);
    axum::Json(json!({
        "device_code": code, "user_code": user_code, "verification_uri": page, "expires_in": DEVICE_SECS, "interval": INTERVAL,
        "message": format!("To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."),
    }))
    .into_response()
}
