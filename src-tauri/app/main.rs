//! The program `rehost`: it opens the window.
//!
//! Everything is in `lib.rs`, where tests can reach it; begin there. Here is only what must happen before the window's
//! libraries are loaded.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = rehost_app::environment::restart_with_safe_rendering() {
        return code;
    }
    rehost_app::run(std::env::args().skip(1))
}
