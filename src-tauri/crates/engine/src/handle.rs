//! What the outside sees of a run: how to start it ([`RunOptions`]), watch it and tell it what to do ([`RunHandle`]).
//! Commands are what is asked; what happens then is in the journal as events.

use crate::{
    clock::Clock,
    event::{Outcome, Recorded},
    project::{ProjectError, ProjectFile},
    scheduler::{Envelope, Msg},
    state::{RunState, TaskStatus},
};
use plan::{Address, Plan};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Who gives the commands; goes into the journal and the report.
    pub by: String,
    /// On which computer.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// True when the connections point at a rehearsal's systems. Only told to the journal.
    pub rehearsal: bool,
    /// How many tasks may be busy with a system at the same time; a task that sleeps does not count. A system that is
    /// not named has no limit.
    pub limits: BTreeMap<String, usize>,
    /// Accept every gate at once, in the name of `by`.
    pub auto_accept_gates: bool,
}

impl RunOptions {
    /// Options with the usual limits, a real run, gates asked.
    pub fn new(by: impl Into<String>, host: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            host: host.into(),
            version: version.into(),
            ..Self::default()
        }
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            by: crate::project::user(),
            host: crate::project::host(),
            version: env!("CARGO_PKG_VERSION").into(),
            rehearsal: false,
            limits: BTreeMap::from([("azure".into(), 8), ("vcenter".into(), 4)]),
            auto_accept_gates: false,
        }
    }
}

/// Why a run can't start or go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Project(Arc<ProjectError>),
    #[error("The plan can't be run: {0}.")]
    Plan(String),
    #[error("The run {run} has not ended. Resume or abandon it first.")]
    Unfinished { run: String },
    #[error("A run of this project is going on in this program already.")]
    Live,
    #[error("There is no run {0} in this project.")]
    NoRun(String),
    /// By [`RunHandle::stop`], or because the program ends. The run can be resumed.
    #[error("The program stopped following the run. Nothing is lost; resume it.")]
    Left,
}

impl From<ProjectError> for EngineError {
    fn from(e: ProjectError) -> Self {
        Self::Project(Arc::new(e))
    }
}

/// Why a command was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("There is no task {0} in this plan.")]
    NoTask(Address),
    #[error("{task} is {status:?}; {needed}.")]
    NotNow {
        task: Address,
        status: TaskStatus,
        needed: &'static str,
    },
    #[error("The run has ended.")]
    Ended,
    #[error("The program does not follow this run any more. Resume it first.")]
    Left,
}

/// What a person asks of a run.
#[derive(Debug)]
pub(crate) enum Command {
    Pause,
    Continue,
    Cancel,
    Stop,
    Retry(Address),
    Decide {
        task: Address,
        accept: bool,
        by: String,
        note: String,
    },
    Undo(Address),
    Look(Address),
}

/// Where the scheduler is.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Going,
    Ended(Outcome),
    Left(EngineError),
}

/// A live run. Cheap to clone. When the last one is dropped the run still goes on to its end in the background; use
/// [`RunHandle::stop`] to stop following it.
#[derive(Clone)]
pub struct RunHandle(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) run: String,
    pub(crate) plan: Arc<Plan>,
    pub(crate) file: Arc<ProjectFile>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Arc<RwLock<RunState>>,
    pub(crate) events: broadcast::Sender<Recorded>,
    pub(crate) line: mpsc::UnboundedSender<Envelope>,
    pub(crate) stage: watch::Receiver<Stage>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.line.send(Envelope::new(&self.clock, Msg::Detached));
    }
}

impl RunHandle {
    /// Id of the run.
    pub fn run(&self) -> &str {
        &self.0.run
    }

    /// The plan it executes.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.0.plan
    }

    /// The file it is recorded in.
    pub fn file(&self) -> &Arc<ProjectFile> {
        &self.0.file
    }

    /// The clock it lives by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The state now. Everything in it is on disk.
    pub fn state(&self) -> RunState {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the state without copying it. `f` must be short: the run waits meanwhile.
    pub fn with_state<T>(&self, f: impl FnOnce(&RunState) -> T) -> T {
        f(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every event from now on, after it was written. A receiver that lags takes a new [`RunHandle::follow`].
    pub fn subscribe(&self) -> broadcast::Receiver<Recorded> {
        self.0.events.subscribe()
    }

    /// The state now, and every event after it. Events with a `seq` not above the state's are in it already.
    pub fn follow(&self) -> (RunState, broadcast::Receiver<Recorded>) {
        let receiver = self.0.events.subscribe();
        (self.state(), receiver)
    }

    /// Starts no new task or attempt, and no new change. What was accepted is followed on.
    ///
    /// # Errors
    /// `Ended`, `Left`.
    pub async fn pause(&self) -> Result<(), CommandError> {
        self.ask(Command::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// `Ended`, `Left`.
    pub async fn cont(&self) -> Result<(), CommandError> {
        self.ask(Command::Continue).await
    }

    /// Ends the run at the next safe point. Returns when the wish is recorded; see [`RunHandle::finished`] for the end.
    /// What runs in Azure or vCenter then goes on: the tasks whose `in_flight` is set.
    ///
    /// # Errors
    /// `Ended`, `Left`.
    pub async fn cancel(&self) -> Result<(), CommandError> {
        self.ask(Command::Cancel).await
    }

    /// Tries again: a failed task, a rejected gate, one that was undone, or one that waits for its next attempt. Takes a
    /// run up again that had Stopped.
    ///
    /// # Errors
    /// `NoTask`, `NotNow`, `Ended`, `Left`.
    pub async fn retry(&self, task: &Address) -> Result<(), CommandError> {
        self.ask(Command::Retry(task.clone())).await
    }

    /// Decides at a gate.
    ///
    /// # Errors
    /// `NoTask`, `NotNow`, `Ended`, `Left`.
    pub async fn decide(
        &self,
        task: &Address,
        accept: bool,
        by: impl Into<String>,
        note: impl Into<String>,
    ) -> Result<(), CommandError> {
        self.ask(Command::Decide {
            task: task.clone(),
            accept,
            by: by.into(),
            note: note.into(),
        })
        .await
    }

    /// Takes a task's change back. Also after the run has ended.
    ///
    /// # Errors
    /// `NoTask`, `NotNow` (it changed nothing, or something that depends on it is there), `Left`.
    pub async fn undo(&self, task: &Address) -> Result<(), CommandError> {
        self.ask(Command::Undo(task.clone())).await
    }

    /// Lets a task that waits look again now: a person says that it is done.
    ///
    /// # Errors
    /// `NoTask`, `NotNow`, `Left`.
    pub async fn look(&self, task: &Address) -> Result<(), CommandError> {
        self.ask(Command::Look(task.clone())).await
    }

    /// Stops following the run, at the next safe point, without ending it. Returns when nothing of it runs here any
    /// more; it can be resumed then, here or by another process.
    pub async fn stop(&self) {
        if self.ask(Command::Stop).await.is_ok() {
            let mut stage = self.0.stage.clone();
            // An error means that the scheduler is gone, which is what was asked.
            let _ = stage.wait_for(|s| matches!(s, Stage::Left(_))).await;
        }
    }

    /// Waits for the end of the run. After `Stopped`, a retry takes it up again and this can be awaited anew.
    ///
    /// # Errors
    /// `Project` when the journal could not be written, `Left` when the program stopped following the run.
    pub async fn finished(&self) -> Result<Outcome, EngineError> {
        let mut stage = self.0.stage.clone();
        let end = stage.wait_for(|s| !matches!(s, Stage::Going)).await.map(|s| s.clone());
        match end {
            Ok(Stage::Ended(outcome)) => Ok(outcome),
            Ok(Stage::Left(e)) => Err(e),
            Ok(Stage::Going) | Err(_) => Err(EngineError::Left),
        }
    }

    async fn ask(&self, command: Command) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        let envelope = Envelope::new(&self.0.clock, Msg::Command(command, answer));
        self.0.line.send(envelope).map_err(|_| CommandError::Left)?;
        answered.await.unwrap_or(Err(CommandError::Left))
    }
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunHandle")
            .field("run", &self.0.run)
            .finish_non_exhaustive()
    }
}
