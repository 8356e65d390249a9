//! What a kind of task must be able to do. Implemented in `migration`.

use crate::{clock::Clock, event::{Failure, Handle}};
use jiff::Timestamp;
use plan::{Exchange, Task, Trace};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// What a look at the real world says. Reads only.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Not there: `apply` is needed.
    Absent,
    /// There, as wanted. The task is done without a change of ours (Adopted, or Done after our own Intent, or when
    /// the task only checks).
    Matches,
    /// There, but different; `apply` will change it.
    Differs(String),
    /// Somebody (perhaps an earlier process of ours) has it in progress.
    InFlight(Handle),
    /// Not yet: look again after so long. For checks and waits; a person's task shows as NeedsPerson meanwhile.
    NotYet { text: String, again_secs: u32 },
    /// Not needed; ends as Skipped.
    NotNeeded(String),
}

/// One kind of task. Each method may be called again after a crash.
#[async_trait::async_trait]
pub trait TaskKind: Send + Sync {
    /// True when it changes nothing: no Intent is written and `apply` is never called.
    fn only_checks(&self) -> bool {
        false
    }
    /// Looks. Reads only.
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure>;
    /// Makes the one change. The engine wrote the Intent before. Returns the handle to follow, or none when it is
    /// already finished.
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure>;
    /// Follows to the end. Uses [`Ctx::sleep`] between polls. There is no time limit.
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure>;
    /// Proves that the effect is there; records facts and evidence.
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure>;
    /// Takes it back.
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure>;
    /// What the request will be, in words, for the Intent: `PUT …/virtualNetworks/VNET-SQLMI-EUS2`.
    fn intent(&self, ctx: &Ctx) -> String;
    /// The system whose concurrency limit counts, `azure`, `vcenter`, `person`.
    fn system(&self) -> &'static str {
        "azure"
    }
}

/// Finds the kind for a task.
pub trait Runner: Send + Sync {
    fn kind(&self, task: &Task) -> Arc<dyn TaskKind>;
}

/// What a task kind may use while it runs. Everything it reports goes through the journal.
pub struct Ctx {
    pub task: Arc<Task>,
    pub run: String,
    pub attempt: u32,
    /// When this task's Intent was written, in this process or an earlier one; a marker for `observe`: a job that
    /// started later is ours.
    pub intent_at: Option<Timestamp>,
    pub clock: Arc<dyn Clock>,
    pub(crate) facts: BTreeMap<String, Value>,
    pub(crate) reports: tokio::sync::mpsc::UnboundedSender<Report>,
    pub(crate) stop: tokio_util::sync::CancellationToken,
}

/// What a task reports while it runs.
#[derive(Debug)]
pub enum Report {
    Progress { percent: Option<f64>, text: String },
    Evidence(String),
    Fact { name: String, value: Value },
    Created(String),
    Removed(String),
    Exchange(Box<Exchange>),
}

impl Ctx {
    /// Returns a fact recorded by an earlier task, or by this one in an earlier attempt.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)
    }

    /// All facts so far.
    pub fn facts(&self) -> &BTreeMap<String, Value> {
        &self.facts
    }

    /// Shows a sign of life. `percent` 0 to 100.
    pub fn progress(&self, percent: Option<f64>, text: impl Into<String>) {
        self.report(Report::Progress { percent, text: text.into() });
    }

    /// Records a proof.
    pub fn evidence(&self, text: impl Into<String>) {
        self.report(Report::Evidence(text.into()));
    }

    /// Records a value for later tasks.
    pub fn set_fact(&self, name: impl Into<String>, value: impl Into<Value>) {
        self.report(Report::Fact { name: name.into(), value: value.into() });
    }

    /// Records that something was created.
    pub fn created(&self, resource: impl Into<String>) {
        self.report(Report::Created(resource.into()));
    }

    /// Records that something was removed.
    pub fn removed(&self, resource: impl Into<String>) {
        self.report(Report::Removed(resource.into()));
    }

    /// Sleeps in the clock's time.
    ///
    /// # Errors
    /// Fails (class Transient, code `Interrupted`) when the run is cancelled or the process ends.
    pub async fn sleep(&self, seconds: u64) -> Result<(), Failure> {
        let until = self.clock.now() + jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        tokio::select! {
            () = self.clock.sleep_until(until) => Ok(()),
            () = self.stop.cancelled() => Err(Failure::of(
                crate::event::FailureClass::Transient,
                "Interrupted",
                "The run was stopped",
                "Nothing is lost: what runs in Azure or vCenter goes on, and the run takes it up again.",
                "Continue the run.",
            )),
        }
    }

    /// A trace whose exchanges are kept with this task.
    pub fn trace(&self) -> Arc<dyn Trace> {
        Arc::new(TaskTrace(self.reports.clone()))
    }

    fn report(&self, r: Report) {
        // The engine outlives its tasks; when it is gone, so is the need to report.
        let _ = self.reports.send(r);
    }
}

struct TaskTrace(tokio::sync::mpsc::UnboundedSender<Report>);

impl Trace for TaskTrace {
    fn record(&self, exchange: Exchange) {
        let _ = self.0.send(Report::Exchange(Box::new(exchange)));
    }
}
