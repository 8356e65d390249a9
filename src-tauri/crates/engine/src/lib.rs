//! Durable execution of a plan.
//!
//! The journal in the project file is append-only; state is only ever a fold over its events ([`state`]). The order on
//! disk is `Intent` (fsync), request, `Accepted` (fsync), progress (may be lost), `Settled` (fsync). After a crash at
//! any instruction the run goes on: what already happened is adopted, and nothing is repeated that must not be.
//!
//! Knows `plan`. Knows neither Azure nor vSphere: a [`Runner`] hands it a [`TaskKind`] for each task.
//!
//! Begin with [`event`] (what can happen), then [`state`] (the fold), then [`scheduler`] (who runs when).

pub mod clock;
pub mod event;
pub mod kind;
pub mod project;
pub mod scheduler;
pub mod state;

pub use clock::{Clock, SystemClock};
pub use event::{Event, Failure, FailureClass, Handle, Recorded};
pub use kind::{Ctx, Observed, Runner, TaskKind};
pub use project::{ProjectError, ProjectFile};
pub use scheduler::{Engine, RunOptions};
pub use state::{RunState, TaskState, TaskStatus};
