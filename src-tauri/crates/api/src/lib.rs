//! Every use case as a plain async function, for a window, a browser under test, and the command line alike.
//!
//! A function takes the [`App`], does one thing with the crates below, and returns a value or a [`wire::UiError`]. The
//! table in `table.rs` lists those that a window may ask for; [`dispatch`] runs them by name. A real run and a rehearsal
//! take the same way; only [`rehearsal`] knows that a lab exists.
//!
//! Knows every crate below and no front end. Begin with `table.rs`, then [`App`], then [`run`].

mod app;
pub mod appliance;
mod clocks;
pub mod connections;
mod control;
pub mod costs;
mod error;
pub mod guest;
pub mod host;
pub mod import;
pub mod inventory;
mod managed;
pub mod projects;
pub mod redact;
pub mod rehearsal;
pub mod rights;
mod router;
pub mod run;
pub mod saved;
pub mod screenshot;
pub mod settings;
pub mod sign_in;
pub mod sql;
pub mod support;
mod table;
pub mod wire;

pub use app::{App, Open};
pub use router::{COMMANDS, Sink, dispatch, is_stream};

/// Project files end so.
pub const PROJECT_EXTENSION: &str = "rehost";

/// A secret as a front end sends it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(transparent)]
pub struct Typed(pub secrets::Secret<String>);
