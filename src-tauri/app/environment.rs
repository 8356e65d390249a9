//! What must hold before the first window library is loaded.

use std::process::ExitCode;

/// Turns WebKitGTK's DMABUF renderer off unless the user set the variable: it gives blank windows on some graphics
/// drivers. The variable must be there before GTK starts; the safe way to set it is to start over with it.
///
/// Returns nothing when this process already has it.
#[cfg(target_os = "linux")]
pub fn restart_with_safe_rendering() -> Option<ExitCode> {
    use std::os::unix::process::CommandExt;
    const NAME: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if std::env::var_os(NAME).is_some() {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let failed = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(NAME, "1")
        .exec();
    // Only reached when the program could not be started again; then it goes on without.
    tracing::warn!(error = %failed, "could not set {NAME}");
    None
}

#[cfg(not(target_os = "linux"))]
pub fn restart_with_safe_rendering() -> Option<ExitCode> {
    None
}
