//! The window's page in Chromium, through the development host: axe-core finds nothing, the console says nothing, nothing
//! jumps, and the first screen can be used at once.

use crate::support::{Ended, Harness, Home, alone, judge, top};
use serde_json::Value;
use std::time::Duration;
use tokio::process::Command;

/// From the request of the page to a button that can be clicked.
const USABLE: Duration = Duration::from_millis(1500);
/// What web.dev calls good for a whole page; here it holds for each single jump.
const JUMP: f64 = 0.02;

#[tokio::test]
async fn every_screen_is_accessible_quiet_and_still() {
    let _machine = alone().await;
    let home = Home::new();
    let ui = top().join("ui/dist");
    let harness = Harness::start(&home, |c| {
        c.arg("--ui").arg(&ui);
    })
    .await;
    let result = top().join("target/page.json");
    let _ = std::fs::remove_file(&result);
    let node = judge("node", "REHOST_NODE", "Node 20 from nodejs.org or your distribution");
    let chromium = judge("chromium", "REHOST_CHROMIUM", "Debian package chromium");
    let script = top().join("tests/judges/page.mjs");
    let ended = Ended::of(
        Command::new(node)
            .arg(script)
            .arg(&harness.origin)
            .arg(chromium)
            .arg(&result),
    )
    .await;
    ended.must_end_with(0);
    let judged: Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    let usable = Duration::from_millis(judged["usableMillis"].as_u64().unwrap());
    println!(
        "{} screens judged; the first could be used after {usable:?}",
        judged["screens"].as_array().unwrap().len()
    );
    for key in ["violations", "console", "sideways"] {
        assert_eq!(judged[key], serde_json::json!([]), "{key}");
    }
    let jumps: Vec<&Value> = judged["jumps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|j| j["value"].as_f64().unwrap() > JUMP)
        .collect();
    assert!(jumps.is_empty(), "the layout jumps: {jumps:#?}");
    assert!(usable < USABLE, "the first screen can be used only after {usable:?}");
}
