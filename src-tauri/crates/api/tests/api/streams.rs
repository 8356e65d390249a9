use crate::Desk;
use api::wire::*;
use serde_json::json;

#[tokio::test]
async fn the_router_knows_its_table_and_refuses_the_rest() {
    let desk = Desk::new();
    assert!(api::COMMANDS.contains(&"run_subscribe") && api::is_stream("run_subscribe") == Some(true));
    assert_eq!(
        (api::is_stream("app_info"), api::is_stream("format_disk")),
        (Some(false), None)
    );
    for (command, arguments) in [
        ("format_disk", json!({})),
        ("project_get", json!({})),
        ("project_get", json!({ "project": 1 })),
        ("task_retry", json!({ "project": "x", "address": "not an address" })),
    ] {
        let error = desk.call::<serde_json::Value>(command, arguments).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{command}");
    }
}

#[tokio::test]
async fn a_refused_argument_is_not_repeated() {
    let desk = Desk::new();
    let arguments = json!({ "project": "p", "kind": "nonsense", "connections": {}, "secret": "Canary-91" });
    let error = desk
        .call::<ConnectionsView>("connection_save", arguments)
        .await
        .unwrap_err();
    assert!(!format!("{error:?}").contains("Canary-91"));
}
