//! Durable execution of a plan.
//!
//! The journal in the project file is append-only; state is only ever a fold over its events ([`state`]). The order on
//! disk is `Intent` (fsync), request, `Accepted` (fsync), progress (may be lost), `Settled` (fsync). After a crash at
//! any instruction the run goes on: what already happened is adopted, and nothing is repeated that must not be.
//!
//! Knows `plan`. Knows neither Azure nor vSphere: a [`Runner`] hands it a [`TaskKind`] for each task.
//!
//! Begin with [`event`] (what can happen), then [`state`] (the fold), then [`scheduler`] (who runs when) and the
//! `worker` (the life of one task). [`handle`] is what the outside sees of a run.

pub mod clock;
pub mod event;
pub mod handle;
pub mod kind;
pub mod project;
mod retry;
pub mod scheduler;
pub mod state;
mod worker;

#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use event::{Event, Failure, FailureClass, Handle, Outcome, Recorded, Settled};
pub use handle::{CommandError, EngineError, RunHandle, RunOptions};
pub use kind::{Ctx, Observed, Runner, TaskKind};
pub use project::{ChainHead, ProjectError, ProjectFile, RunInfo};
pub use scheduler::Engine;
pub use state::{RunPhase, RunState, TaskState, TaskStatus};
