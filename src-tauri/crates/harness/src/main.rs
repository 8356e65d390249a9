//! For development and tests only, never shipped: serves the built user interface and the table of [`api`] over HTTP
//! and WebSocket on the loopback interface, so that the same window runs in an ordinary browser.
//!
//! Anyone on this computer could talk to a loopback port, so a page of another origin is refused.

use anyhow::Context;
use api::{
    App,
    host::FolderHost,
    settings::Folders,
    wire::{Start, UiError},
};
use axum::{
    Router,
    body::Body,
    extract::{
        Path, Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use std::{io::Write, path::PathBuf, sync::Arc};
use tokio::sync::mpsc;

/// Messages that may wait for a slow page before the stream is given up.
const QUEUE: usize = 4096;

struct Harness {
    app: Arc<App>,
    ui: PathBuf,
    origin: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("REHOST_LOG").unwrap_or_else(|_| api::redact::LOG_USUAL.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| api::redact::Scrubbed(std::io::stderr()))
        .init();
    let (mut port, mut ui) = (4747, PathBuf::from("ui/dist"));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--port" => port = value.parse()?,
            "--ui" => ui = value.into(),
            _ => anyhow::bail!("Usage: harness [--port N] [--ui FOLDER]"),
        }
    }
    let folders = Folders::of_user();
    let dialogs = std::env::var_os("REHOST_TEST_DIALOG_DIR").map_or_else(|| folders.projects.clone(), PathBuf::from);
    std::fs::create_dir_all(&dialogs).with_context(|| format!("creating {}", dialogs.display()))?;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .context("taking the port")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let app = App::new(folders, Arc::new(FolderHost(dialogs)), Start::Home);
    let harness = Arc::new(Harness {
        app,
        ui,
        origin: origin.clone(),
    });
    let routes = Router::new()
        .route("/rpc/{command}", post(rpc))
        .route("/stream", any(stream))
        .fallback(get(page))
        .layer(middleware::from_fn_with_state(harness.clone(), same_origin))
        .with_state(harness.clone());
    writeln!(std::io::stdout(), "{origin}")?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    harness.app.close().await;
    Ok(())
}

async fn same_origin(
    State(harness): State<Arc<Harness>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let foreign = headers
        .get(header::ORIGIN)
        .is_some_and(|o| o.as_bytes() != harness.origin.as_bytes() && !o.as_bytes().starts_with(b"http://localhost:"));
    if foreign {
        StatusCode::FORBIDDEN.into_response()
    } else {
        next.run(request).await
    }
}

async fn rpc(State(harness): State<Arc<Harness>>, Path(command): Path<String>, body: String) -> Response {
    let arguments = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_str(&body)
    };
    let result = match arguments {
        Ok(arguments) => api::dispatch(&harness.app, &command, arguments, Arc::new(|_| false)).await,
        Err(e) => Err(UiError::internal(e)),
    };
    let text = match result {
        Ok(text) => format!(r#"{{"ok":{text}}}"#),
        Err(error) => json!({ "error": error }).to_string(),
    };
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn stream(State(harness): State<Arc<Harness>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        if let Err(e) = serve(&harness.app, socket).await {
            tracing::debug!(error = %e, "a stream ended early");
        }
    })
}

async fn serve(app: &Arc<App>, mut socket: WebSocket) -> anyhow::Result<()> {
    #[derive(serde::Deserialize)]
    struct Ask {
        command: String,
        #[serde(default)]
        args: Value,
    }
    let first = socket.recv().await.context("closed before the first message")??;
    let ask: Ask = serde_json::from_str(first.to_text()?)?;
    let (to, mut messages) = mpsc::channel::<String>(QUEUE);
    let sink = Arc::new(move |text: String| to.try_send(text).is_ok());
    let work = api::dispatch(app, &ask.command, ask.args, sink);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(text) = messages.recv() => socket.send(Message::text(text)).await?,
            ended = &mut work => {
                while let Ok(text) = messages.try_recv() {
                    socket.send(Message::text(text)).await?;
                }
                if let Err(error) = ended {
                    socket.send(Message::text(json!({ "error": error }).to_string())).await?;
                }
                socket.send(Message::Close(None)).await?;
                return Ok(());
            }
            // Nothing more is expected from the page: anything else is its goodbye.
            got = socket.recv() => match got {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Ok(()),
            },
        }
    }
}

async fn page(State(harness): State<Arc<Harness>>, request: Request) -> Response {
    let asked = request.uri().path().trim_start_matches('/');
    if asked.split('/').any(|part| part == "..") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let file = harness.ui.join(if asked.is_empty() { "index.html" } else { asked });
    match tokio::fs::read(&file).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, content_type(&file))], Body::from(bytes)).into_response(),
        Err(_) => (
            StatusCode::NOT_FOUND,
            "Build the user interface first: npm run build, in ui.",
        )
            .into_response(),
    }
}

fn content_type(file: &std::path::Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    }
}
