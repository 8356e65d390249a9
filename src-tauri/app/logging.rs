//! Log files: one a day, fourteen kept, in the user's log folder. Records pass through [`api::redact`] last.

use api::redact::Scrubbed;
use std::{io, path::Path, sync::Mutex};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

const FILES_KEPT: usize = 14;

/// Starts logging. Written through at once, so that the last lines before a crash are there.
///
/// # Errors
/// Fails when the folder can't be created; the program then goes on without a log.
pub fn start(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("rehost")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(folder)
        .map_err(io::Error::other)?;
    let filter = EnvFilter::try_from_env("REHOST_LOG").unwrap_or_else(|_| EnvFilter::new(api::redact::LOG_USUAL));
    let set = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(filter)
        .with_writer(Mutex::new(Scrubbed(file)))
        .try_init();
    if set.is_err() {
        // A test in the same process was first.
        return Ok(());
    }
    log_panics();
    Ok(())
}

/// A panic is a bug: it goes into the log with its place, and to the standard error as usual.
fn log_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(backtrace = %std::backtrace::Backtrace::force_capture(), "{panic}");
        usual(panic);
    }));
}
