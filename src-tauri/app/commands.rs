//! From the page to [`api`] and back. All commands are those of the one table in `api`; Tauri has checked before that
//! the window may call them (`capabilities/main.json`).

use api::{App, wire::UiError};
use serde_json::Value;
use std::{
    collections::HashMap,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tauri::{
    Manager, Runtime,
    ipc::{Channel, Invoke, InvokeBody, InvokeError, InvokeResponseBody, JavaScriptChannelId},
};

/// Ends a stream before its time; the only command that isn't in the table, for it is about the border itself.
pub(crate) const STREAM_STOP: &str = "stream_stop";

/// The running streams by the text of their channel.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<String, Arc<AtomicBool>>>);

impl Streams {
    fn start(&self, channel: &str) -> Arc<AtomicBool> {
        let stopped = Arc::new(AtomicBool::new(false));
        self.lock().insert(channel.to_owned(), stopped.clone());
        stopped
    }

    fn stop(&self, channel: &str) {
        if let Some(stopped) = self.lock().remove(channel) {
            stopped.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<AtomicBool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles one call of the page; false when there is no such command.
pub fn handle<R: Runtime>(invoke: Invoke<R>) -> bool {
    let Invoke { message, resolver, .. } = invoke;
    let command = message.command().to_owned();
    let arguments = match message.payload() {
        InvokeBody::Json(arguments) => arguments.clone(),
        InvokeBody::Raw(_) => Value::Null,
    };
    let webview = message.webview();
    let streams = webview.state::<Streams>();
    let channel = channel_of(&arguments);
    if command == STREAM_STOP {
        if let Some(channel) = channel {
            streams.stop(&channel);
        }
        resolver.resolve(());
        return true;
    }
    let Some(is_stream) = api::is_stream(&command) else {
        return false;
    };
    tracing::debug!(command, "asked");
    let app = webview.state::<Arc<App>>().inner().clone();
    if !is_stream {
        resolver.respond_async_serialized(async move {
            answer(api::dispatch(&app, &command, arguments, Arc::new(|_| false)).await)
        });
        return true;
    }
    let Some((name, id)) = channel.and_then(|c| JavaScriptChannelId::from_str(&c).ok().map(|id| (c, id))) else {
        resolver.invoke_error(InvokeError::from(UiError::invalid(
            format!("`{command}` needs a channel"),
            "The page asked for a stream without saying where it goes.",
            "Reload the window.",
        )));
        return true;
    };
    let stopped = streams.start(&name);
    let to: Channel<InvokeResponseBody> = id.channel_on(webview.clone());
    resolver.respond_async_serialized(async move {
        let sink = Arc::new(move |message: String| {
            !stopped.load(Ordering::Relaxed) && to.send(InvokeResponseBody::Json(message)).is_ok()
        });
        let ended = api::dispatch(&app, &command, arguments, sink).await;
        webview.state::<Streams>().stop(&name);
        answer(ended)
    });
    true
}

fn answer(result: Result<String, UiError>) -> Result<InvokeResponseBody, InvokeError> {
    result.map(InvokeResponseBody::Json).map_err(InvokeError::from)
}

/// The first argument that is a channel, as its text.
fn channel_of(arguments: &Value) -> Option<String> {
    arguments
        .as_object()?
        .values()
        .filter_map(Value::as_str)
        .find(|text| JavaScriptChannelId::from_str(text).is_ok())
        .map(str::to_owned)
}
