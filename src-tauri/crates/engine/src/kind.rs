//! What a kind of task must be able to do. Implemented in `migration`.

use crate::{
    clock::{Clock, doze},
    event::{Failure, FailureClass, Handle},
    worker::Busy,
};
use jiff::{SignedDuration, Timestamp};
use plan::{Address, Exchange, Task, Trace};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Code of the failure that [`Ctx::sleep`] gives when the run is cancelled or the process ends. Passed on, it ends the
/// attempt without a failure in the journal.
pub const INTERRUPTED: &str = "Interrupted";

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
    /// Not needed, or a look that is not allowed and can be left out; ends as Skipped, with these words.
    NotNeeded(String),
}

/// One kind of task. Each method may be called again after a crash.
#[async_trait::async_trait]
pub trait TaskKind: Send + Sync {
    /// True when it changes nothing: no Intent is written and `apply` is never called.
    fn only_checks(&self) -> bool {
        false
    }
    /// Looks. Reads only; may be dropped at any await when the run stops.
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure>;
    /// Makes the one change. The engine wrote the Intent before. Returns the handle to follow, or none when it is
    /// already finished. Never dropped halfway by the engine.
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure>;
    /// Follows to the end. Uses [`Ctx::sleep`] between polls. There is no time limit. May be called again with the
    /// same handle after the operation has ended.
    ///
    /// # Errors
    /// `Transient` and `Throttled` mean that the *look* failed: the engine calls again, without end. An operation that
    /// itself ended badly must come back as another class: `Conflict` (observed and applied again after a while),
    /// `Permanent` or `NeedsPerson`.
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure>;
    /// Proves that the effect is there; records facts and evidence. Reads only; may be dropped like `observe`.
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
    /// When this task's Intent was written, in this process or an earlier one, also in an earlier run that left open
    /// whether the change was made; a marker for `observe`: a job that started later is ours.
    pub intent_at: Option<Timestamp>,
    pub clock: Arc<dyn Clock>,
    pub(crate) facts: BTreeMap<String, Value>,
    pub(crate) ledger: Arc<Vec<Created>>,
    pub(crate) reports: Reporter,
    pub(crate) stop: CancellationToken,
    pub(crate) busy: Option<Arc<Busy>>,
}

/// Where reports go. Must not block.
pub(crate) type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

/// Something that this project created and has not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub task: Address,
    /// A resource id or `vcenter:…`.
    pub resource: String,
}

/// What a task reported, for tests of task kinds.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<Vec<Report>>>);

impl Reports {
    /// Takes everything reported since the last call.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    /// Makes a context outside a run, attempt 1 without an earlier Intent, for tests of task kinds.
    pub fn for_test(task: Task, facts: BTreeMap<String, Value>, clock: Arc<dyn Clock>) -> (Self, Reports) {
        let reports = Reports::default();
        let sink = reports.clone();
        let ctx = Self {
            task: Arc::new(task),
            run: "test".into(),
            attempt: 1,
            intent_at: None,
            clock,
            facts,
            ledger: Arc::default(),
            reports: Arc::new(move |r| sink.0.lock().unwrap_or_else(PoisonError::into_inner).push(r)),
            stop: CancellationToken::new(),
            busy: None,
        };
        (ctx, reports)
    }

    /// Sets the ledger, for tests of task kinds.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Vec<Created>) -> Self {
        self.ledger = Arc::new(ledger);
        self
    }

    /// Everything that this project (not only this run) had created and not removed when this attempt started.
    pub fn ledger(&self) -> &[Created] {
        &self.ledger
    }

    /// Whether this project created the resource and has not removed it. Ignores ASCII case, as Azure does.
    pub fn is_ours(&self, resource: &str) -> bool {
        self.ledger.iter().any(|c| c.resource.eq_ignore_ascii_case(resource))
    }

    /// True when the run is being cancelled or the process ends: stop at the next safe point.
    pub fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when the run is being cancelled or the process ends, for waits that aren't the clock's.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

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
        self.report(Report::Progress {
            percent,
            text: text.into(),
        });
    }

    /// Records a proof.
    pub fn evidence(&self, text: impl Into<String>) {
        self.report(Report::Evidence(text.into()));
    }

    /// Records a value for later tasks.
    pub fn set_fact(&self, name: impl Into<String>, value: impl Into<Value>) {
        self.report(Report::Fact {
            name: name.into(),
            value: value.into(),
        });
    }

    /// Records that something was created. To be called in `apply`, and in `verify` whenever [`Ctx::intent_at`] is set:
    /// after a cancellation only `apply` was reached, after a crash between the change and its report only `verify` is.
    /// Saying it twice does no harm.
    pub fn created(&self, resource: impl Into<String>) {
        self.report(Report::Created(resource.into()));
    }

    /// Records that something was removed.
    pub fn removed(&self, resource: impl Into<String>) {
        self.report(Report::Removed(resource.into()));
    }

    /// Sleeps in the clock's time. Other tasks may use this one's place meanwhile.
    ///
    /// # Errors
    /// Fails (class Transient, code [`INTERRUPTED`]) when the run is cancelled or the process ends.
    pub async fn sleep(&self, seconds: u64) -> Result<(), Failure> {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let until = self
            .clock
            .now()
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX);
        self.sleep_until(until).await
    }

    /// Sleeps until a time of the clock.
    ///
    /// # Errors
    /// Like [`Ctx::sleep`].
    pub async fn sleep_until(&self, until: Timestamp) -> Result<(), Failure> {
        let slept = async {
            match &self.busy {
                Some(busy) => busy.sleep_until(until).await,
                None => drop(doze(&*self.clock, until, self.clock.awake()).await),
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Failure::of(
                FailureClass::Transient,
                INTERRUPTED,
                "The run was stopped",
                "Nothing is lost: what runs in Azure or vCenter goes on, and the run takes it up again.",
                "Continue the run.",
            )),
            () = slept => Ok(()),
        }
    }

    /// A trace whose exchanges are kept with this task, in the run's own time.
    pub fn trace(&self) -> Arc<dyn Trace> {
        Arc::new(TaskTrace {
            reports: self.reports.clone(),
            clock: self.clock.clone(),
        })
    }

    fn report(&self, r: Report) {
        (self.reports)(r);
    }
}

struct TaskTrace {
    reports: Reporter,
    clock: Arc<dyn Clock>,
}

impl Trace for TaskTrace {
    fn record(&self, mut exchange: Exchange) {
        // Clients know the computer's time only; beside the run's events that of a rehearsal would make no sense.
        let took = SignedDuration::from_millis(i64::try_from(exchange.millis).unwrap_or_default());
        exchange.at = self.clock.now().saturating_sub(took).unwrap_or(exchange.at);
        (self.reports)(Report::Exchange(Box::new(exchange)));
    }
}
