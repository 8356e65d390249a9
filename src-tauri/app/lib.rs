//! The window: a thin shell around [`api`]. The only code that knows Tauri.
//!
//! Begin with [`builder`]; then `commands` (the border), `window` (the one window), `dialogs` (what the system is asked).

mod commands;
mod dialogs;
pub mod environment;
mod logging;
mod window;

use api::{
    App,
    settings::Folders,
    wire::{RehearsalOptions, Start},
};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tauri::{Builder, Context, Manager, RunEvent, Runtime};

/// How long the program waits for its runs to come to a safe point when it ends.
const FAREWELL: Duration = Duration::from_secs(10);
const USAGE: &str = "Usage: rehost [--rehearse-sample [--speed N]] [PROJECT.rehost]";

/// What the program was started with.
#[derive(Debug, Clone)]
pub struct Options {
    pub folders: Folders,
    pub start: Start,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// Returns the sentence to print.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut start = Start::Home;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rehearse-sample" => {
                    start = Start::Rehearse {
                        options: RehearsalOptions::default(),
                    }
                }
                "--speed" => {
                    let given = arguments.next().and_then(|n| n.parse().ok());
                    match (&mut start, given) {
                        (Start::Rehearse { options }, Some(n)) => options.speed = n,
                        _ => return Err(format!("--speed takes a number, after --rehearse-sample.\n{USAGE}")),
                    }
                }
                flag if flag.starts_with('-') => return Err(format!("There is no option {flag}.\n{USAGE}")),
                path => start = Start::Project { path: path.to_owned() },
            }
        }
        Ok(Self {
            folders: Folders::of_user(),
            start,
        })
    }
}

/// Completes a Tauri builder of any runtime: the real one, or the mock runtime under test.
pub fn builder<R: Runtime>(builder: Builder<R>, options: Options) -> Builder<R> {
    builder
        .manage(commands::Streams::default())
        .invoke_handler(commands::handle)
        .on_window_event(window::event)
        .setup(move |shell| {
            let host = Arc::new(dialogs::WindowHost::new(shell.handle().clone()));
            let app = App::new(options.folders, host, options.start);
            let theme = app.settings(|s| s.theme.clone());
            shell.manage(app);
            window::open(shell, &theme)?;
            Ok(())
        })
}

/// The configuration, the built user interface and the permissions, compiled in.
pub fn context<R: Runtime>() -> Context<R> {
    tauri::generate_context!()
}

/// Runs the program until its window is closed.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(sentence) => {
            say(&sentence);
            return ExitCode::from(2);
        }
    };
    if let Err(e) = logging::start(&options.folders.logs) {
        say(&format!(
            "No log is written: {} can't be used ({e}).",
            options.folders.logs.display()
        ));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "Rehost starts");
    let shell = match builder(Builder::default(), options).build(context()) {
        Ok(shell) => shell,
        Err(e) => {
            tracing::error!(error = %e, "the window can't be started");
            say(&format!(
                "Rehost can't open its window: {e}. Is there a display, and is WebKitGTK 4.1 installed?"
            ));
            return ExitCode::FAILURE;
        }
    };
    shell.run(|handle, event| {
        if let RunEvent::Exit = event
            && let Some(app) = handle.try_state::<Arc<App>>()
        {
            let closed = tauri::async_runtime::block_on(async {
                // Every step is on disk already: a request that hangs is no reason to keep the program.
                tokio::time::timeout(FAREWELL, app.close()).await
            });
            tracing::info!(in_time = closed.is_ok(), "Rehost ends");
        }
    });
    ExitCode::SUCCESS
}

/// Before there is a window, the standard error is the only place to say something.
fn say(sentence: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_may_call_exactly_the_table() {
        let capability: serde_json::Value =
            serde_json::from_str(include_str!("../capabilities/main.json")).expect("a capability is JSON");
        let mut allowed: Vec<&str> = capability["permissions"]
            .as_array()
            .expect("it lists permissions")
            .iter()
            .filter_map(|p| p.as_str()?.strip_prefix("allow-"))
            .collect();
        let names: Vec<String> = api::COMMANDS
            .iter()
            .chain(&[commands::STREAM_STOP])
            .map(|name| name.replace('_', "-"))
            .collect();
        let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        allowed.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(allowed, wanted);
    }

    #[test]
    fn the_command_line_says_how_to_start() {
        let read = |line: &str| Options::read(line.split_whitespace().map(str::to_owned)).map(|o| o.start);
        assert_eq!(read(""), Ok(Start::Home));
        assert_eq!(
            read("a.rehost"),
            Ok(Start::Project {
                path: "a.rehost".into()
            })
        );
        assert_eq!(
            read("--rehearse-sample"),
            Ok(Start::Rehearse {
                options: RehearsalOptions::default()
            })
        );
        let options = RehearsalOptions {
            speed: 60,
            ..RehearsalOptions::default()
        };
        assert_eq!(read("--rehearse-sample --speed 60"), Ok(Start::Rehearse { options }));
        for wrong in ["--speed 60", "--rehearse-sample --speed fast", "--nonsense"] {
            assert!(read(wrong).is_err_and(|e| e.contains("Usage")), "{wrong}");
        }
    }
}
