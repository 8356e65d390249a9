//! The border between the page and the program, without a display: Tauri's mock runtime enforces the same permissions.

use crate::support::Home;
use api::{settings::Folders, wire::Start};
use serde_json::{Value, json};
use std::{thread, time::Duration};
use tauri::{
    AppHandle, Manager, WebviewWindowBuilder,
    ipc::{CallbackFn, InvokeBody},
    test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder},
    webview::InvokeRequest,
};

fn call(app: &AppHandle<MockRuntime>, window: &str, command: &str, arguments: Value) -> Result<Value, Value> {
    let window = app.get_webview_window(window).expect("the window is there");
    let request = InvokeRequest {
        cmd: command.into(),
        callback: CallbackFn(0),
        error: CallbackFn(1),
        url: if cfg!(windows) {
            "http://tauri.localhost"
        } else {
            "tauri://localhost"
        }
        .parse()
        .unwrap(),
        body: InvokeBody::Json(arguments),
        headers: Default::default(),
        invoke_key: INVOKE_KEY.into(),
    };
    get_ipc_response(&window, request).map(|body| body.deserialize().unwrap())
}

/// Runs the shell and asks it from another thread, as the page would.
fn in_the_shell(check: impl FnOnce(&AppHandle<MockRuntime>) + Send + 'static) {
    let home = Home::new();
    let options = rehost_app::Options {
        folders: Folders::below(home.folder.path()),
        start: Start::Home,
    };
    let app = rehost_app::builder(mock_builder(), options)
        .build(rehost_app::context())
        .unwrap();
    let stranger = WebviewWindowBuilder::new(&app, "stranger", Default::default())
        .build()
        .unwrap();
    let handle = app.handle().clone();
    let asker = thread::spawn(move || {
        while handle.get_webview_window("main").is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&handle)));
        // The mock runtime ends with its last window.
        stranger.destroy().unwrap();
        handle.get_webview_window("main").unwrap().destroy().unwrap();
        result
    });
    app.run(|_, _| {});
    if let Err(failed) = asker.join().unwrap() {
        std::panic::resume_unwind(failed);
    }
}

#[test]
fn the_window_gets_answers_and_typed_errors() {
    in_the_shell(|app| {
        let info = call(app, "main", "app_info", json!({})).unwrap();
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(call(app, "main", "projects_list", json!({})).unwrap(), json!([]));
        let error = call(app, "main", "project_get", json!({"project": "/nowhere.rehost"})).unwrap_err();
        for part in ["code", "title", "detail", "hint"] {
            assert!(
                error[part].as_str().is_some_and(|t| !t.is_empty()),
                "no {part}: {error}"
            );
        }
        let theme = call(app, "main", "set_theme", json!({"theme": "pink"})).unwrap_err();
        assert_eq!(theme["code"], "invalid");
        call(app, "main", "set_theme", json!({"theme": "dark"})).unwrap();
        assert_eq!(call(app, "main", "app_info", json!({})).unwrap()["theme"], "dark");
    });
}

#[test]
fn only_the_main_window_may_call_and_only_what_is_listed() {
    in_the_shell(|app| {
        let refused = call(app, "stranger", "app_info", json!({})).unwrap_err().to_string();
        assert!(refused.contains("not allowed"), "{refused}");
        for command in [
            "plugin:window|destroy",
            "plugin:path|resolve_directory",
            "plugin:shell|execute",
            "no_such_command",
        ] {
            let refused = call(app, "main", command, json!({})).unwrap_err().to_string();
            assert!(
                refused.contains("not allowed") || refused.contains("not found"),
                "{command}: {refused}"
            );
        }
    });
}

/// The permissions name exactly the commands of the table.
#[test]
fn the_permissions_are_those_of_the_table() {
    let file = include_str!("../src-tauri/capabilities/main.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let mut allowed: Vec<String> = file["permissions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p.as_str()?.strip_prefix("allow-").map(|c| c.replace('-', "_")))
        .collect();
    allowed.sort();
    let mut table: Vec<String> = api::COMMANDS
        .iter()
        .map(|c| (*c).to_owned())
        .chain(["stream_stop".to_owned()])
        .collect();
    table.sort();
    assert_eq!(allowed, table);
}
