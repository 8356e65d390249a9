//! The use cases against the lab and against bad input, without a window.

#![allow(clippy::unwrap_used, clippy::panic)]

mod appliance;
mod connections;
mod costs;
mod guest;
mod import;
mod managed;
mod projects;
mod rehearsal;
mod rights;
mod sign_in;
mod sql;
mod streams;

use api::{App, dispatch, host::FolderHost, settings::Folders, wire::*};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

/// An application whose folders, dialogs and secrets are all its own.
pub(crate) struct Desk {
    pub(crate) app: Arc<App>,
    pub(crate) home: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let app = App::new(
            Folders::below(home.path()),
            Arc::new(FolderHost(home.path().to_owned())),
            Start::Home,
        );
        app.use_store(Arc::new(secrets::MemoryStore::new(
            "No keyring answers on this computer.",
            "Start one.",
        )));
        Self { app, home }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// Calls a command by name, as a window does.
    pub(crate) async fn call<T: DeserializeOwned>(&self, command: &str, arguments: Value) -> Result<T, UiError> {
        let text = dispatch(&self.app, command, arguments, Arc::new(|_| false)).await?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// Runs a stream to its end; its messages.
    pub(crate) async fn stream<T: DeserializeOwned>(&self, command: &str, arguments: Value) -> Vec<T> {
        let heard = Arc::new(Mutex::new(vec![]));
        let ear = heard.clone();
        let sink = Arc::new(move |text: String| {
            ear.lock().unwrap().push(text);
            true
        });
        dispatch(&self.app, command, arguments, sink).await.unwrap();
        let heard = heard.lock().unwrap();
        heard.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// A new project, `{name}.rehost` in this desk's folder.
    pub(crate) async fn project(&self, name: &str) -> ProjectView {
        self.call("project_new", json!({ "name": name })).await.unwrap()
    }
}

pub(crate) async fn lab() -> lab::Lab {
    lab::Lab::start(lab::Options {
        speed: 10_000,
        ..lab::Options::default()
    })
    .await
    .unwrap()
}

/// Arguments of `rehearse_sample`.
pub(crate) fn at_full_speed() -> Value {
    let options = RehearsalOptions {
        speed: api::rehearsal::FULL_SPEED,
        ..RehearsalOptions::default()
    };
    json!({ "options": options })
}

/// True when the text is in any file below the folder.
pub(crate) fn found_below(folder: &Path, text: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find_map(|path| {
            if path.is_dir() {
                return found_below(&path, text);
            }
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(text.len()).any(|w| w == text.as_bytes()).then_some(path)
        })
}
