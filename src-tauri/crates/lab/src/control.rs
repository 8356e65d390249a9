//! The lab's own endpoint for tests and for `rehost-cli`: state, counters, clock, trap, fault script, recorded exchanges.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::{
    Addresses,
    faults::{Rule, Trouble},
    gate::{Gate, Trap},
};

type Ctl = State<Arc<Gate>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    advance_to: Option<Timestamp>,
    speed: Option<u32>,
}

pub(crate) fn router(gate: Arc<Gate>, addresses: Addresses) -> Router {
    let here = move |State(g): Ctl| {
        let here = Addresses {
            clock: g.clock.anchor(),
            ..addresses.clone()
        };
        async { Json(here) }
    };
    Router::new()
        .route("/addresses", get(here))
        .route("/state", get(async |State(g): Ctl| Json(g.world().final_state())))
        .route("/stats", get(async |State(g): Ctl| Json(g.world().counters.stats())))
        .route("/exchanges", get(async |State(g): Ctl| Json(g.exchanges())))
        .route(
            "/clock",
            get(async |State(g): Ctl| Json(g.clock.anchor())).post(set_clock),
        )
        .route("/trap", get(async |State(g): Ctl| Json(g.trap())).post(set_trap))
        .route("/release", post(release))
        .route("/faults", post(set_faults))
        .route("/cure", post(cure))
        .with_state(gate)
}

async fn set_clock(State(gate): Ctl, body: String) -> Response {
    match serde_json::from_str::<ClockChange>(&body) {
        Ok(change) => {
            if let Some(speed) = change.speed {
                gate.clock.set_speed(speed);
            }
            if let Some(to) = change.advance_to {
                gate.clock.advance_to(to);
            }
            drop(gate.world());
            Json(gate.clock.anchor()).into_response()
        }
        Err(e) => bad(&e),
    }
}

async fn set_trap(State(gate): Ctl, body: String) -> Response {
    match serde_json::from_str::<Trap>(&body) {
        Ok(trap) => {
            gate.set_trap(trap);
            Json(gate.trap()).into_response()
        }
        Err(e) => bad(&e),
    }
}

async fn release(State(gate): Ctl) -> Json<Value> {
    gate.release();
    Json(gate.trap())
}

async fn set_faults(State(gate): Ctl, body: String) -> Response {
    match serde_json::from_str::<Vec<Rule>>(&body) {
        Ok(rules) => {
            let n = rules.len();
            gate.world().trouble = Trouble::play(rules);
            Json(json!({"faults": n})).into_response()
        }
        Err(e) => bad(&e),
    }
}

async fn cure(State(gate): Ctl) -> Json<Value> {
    Json(json!({"cured": gate.cure()}))
}

fn bad(e: &serde_json::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": e.to_string()}))).into_response()
}
