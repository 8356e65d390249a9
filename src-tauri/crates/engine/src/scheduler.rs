//! Who runs when.

/// Runs a plan.
pub struct Engine {}
/// Options of a run.
pub struct RunOptions {}
