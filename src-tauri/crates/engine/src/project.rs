//! The project file, `NAME.rehost`: one SQLite database with project, inventory, plans, journal and exchanges.

use crate::event::Recorded;
use plan::{Exchange, Inventory, Plan, Project};
use std::path::Path;

/// Why a project file can't be used, in words a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("{0}")]
    Placeholder(String),
}

/// An open, locked project file.
pub struct ProjectFile {}
#[allow(unused)]
fn _p(_: &Path, _: Recorded, _: Exchange, _: Inventory, _: Plan, _: Project) {}
