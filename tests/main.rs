//! The product from outside: its programs, its window, its files, judged as far as possible by programs that nobody here
//! wrote. One binary, because linking Tauri once is enough.
//!
//! The programs themselves must be built first: `cargo xtask test` does that, and installs every judge. Tests that measure
//! have the machine for themselves, see [`support::alone`].
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod recordings;
mod support;

mod az_cli;
mod azurite;
mod bad_input;
mod canary;
mod conformance;
mod discovery;
mod ipc;
mod rehearsal;
mod resume;
mod sdk;
mod tds;
mod vsphere;

#[cfg(target_os = "linux")]
mod desktop;
#[cfg(target_os = "linux")]
mod keyring;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod webdriver;
