//! Who runs when. One task of the runtime, the scheduler, owns the run: it alone writes the journal and folds it, and
//! decides from the folded state what to start. Workers, and people through [`RunHandle`], send it messages; what came
//! in together is written in one transaction, and only then acknowledged.
//!
//! So the state in memory is never ahead of the disk, and after a crash it is exactly the fold of what is there. A task
//! that was under way then has no worker: it is started like any other, and its first look tells what happened.
//!
//! When the journal can't be written, the run can't go on: workers stop at their next safe point, nothing new is
//! changed, and [`RunHandle::finished`] returns the error. The run can be resumed when the cause is gone.

use crate::{
    clock::{Awake, Clock, doze},
    event::{Event, Failure, FailureClass, Outcome, Settled},
    handle::{Command, CommandError, EngineError, RunHandle, RunOptions, Shared, Stage},
    kind::{Created, Report, Runner},
    project::{ProjectError, ProjectFile, note},
    retry,
    state::{RunPhase, RunState, TaskState, TaskStatus},
    worker::{Busy, Finish, Job, Places, Worker, later},
};
use jiff::{SignedDuration, Timestamp};
use plan::{Action, Address, Exchange, Plan, Task};
use std::{
    collections::{HashMap, HashSet},
    future::pending,
    mem,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A task's progress is written at most so often, in real time.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Progress and exchanges wait at most so long for something that must be written, in real time.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How many messages are written in one transaction.
const BATCH: usize = 256;
/// How many events a subscriber may lag behind.
const LAG: usize = 4096;

/// Runs a plan.
pub struct Engine;

impl Engine {
    /// Starts a new run of the plan. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `Plan` when the plan's dependencies make no sense, `Unfinished`, `Live`, `Project`.
    pub fn start(
        file: Arc<ProjectFile>,
        plan: Arc<Plan>,
        runner: Arc<dyn Runner>,
        clock: Arc<dyn Clock>,
        options: RunOptions,
    ) -> Result<RunHandle, EngineError> {
        check_plan(&plan)?;
        let claim = Claim::take(file)?;
        if let Some(open) = claim.0.runs()?.into_iter().find(|r| r.outcome.is_none()) {
            return Err(EngineError::Unfinished { run: open.run });
        }
        let (past, plan_hash) = (Past::read(&claim.0, None)?, claim.0.save_plan(&plan)?);
        let run = Uuid::new_v4().to_string();
        let RunOptions {
            by,
            host,
            version,
            rehearsal,
            ..
        } = options.clone();
        let started = Event::RunStarted {
            plan_hash,
            by,
            host,
            rehearsal,
            version,
        };
        let recorded = claim.0.append(&run, clock.now(), started)?;
        let mut state = RunState::new(run, &plan);
        state.apply(&recorded, &plan);
        Ok(Scheduler::spawn(claim, plan, runner, clock, options, state, past))
    }

    /// Takes a run up again that has not ended. A run that has ended is opened without starting anything: a task of a
    /// Stopped one can be retried, and of any one undone. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `NoRun`, `Live`, `Project` (also when the journal was tampered with).
    pub fn resume(
        file: Arc<ProjectFile>,
        run: &str,
        runner: Arc<dyn Runner>,
        clock: Arc<dyn Clock>,
        options: RunOptions,
    ) -> Result<RunHandle, EngineError> {
        let claim = Claim::take(file)?;
        claim.0.verify_chain()?;
        let Some(mut state) = claim.0.run_state(run)? else {
            return Err(EngineError::NoRun(run.into()));
        };
        let Some(plan) = claim.0.plan(&state.plan_hash)? else {
            return Err(EngineError::NoRun(run.into()));
        };
        let past = Past::read(&claim.0, Some(run))?;
        if !state.has_ended() {
            let RunOptions { by, host, version, .. } = options.clone();
            let recorded = claim
                .0
                .append(run, clock.now(), Event::RunReopened { by, host, version })?;
            state.apply(&recorded, &plan);
        }
        Ok(Scheduler::spawn(
            claim,
            Arc::new(plan),
            runner,
            clock,
            options,
            state,
            past,
        ))
    }

    /// Ends a run as Cancelled that nobody will resume: its systems are gone.
    ///
    /// # Errors
    /// `NoRun`, `Live`, `Project`.
    pub fn abandon(file: Arc<ProjectFile>, run: &str, by: &str, at: Timestamp) -> Result<(), EngineError> {
        let claim = Claim::take(file)?;
        match claim.0.runs()?.into_iter().find(|r| r.run == run) {
            None => Err(EngineError::NoRun(run.into())),
            Some(r) if r.outcome.is_some() => Ok(()),
            Some(_) => {
                let cancelled = Event::RunCancelled { by: by.into() };
                let ended = Event::RunEnded {
                    outcome: Outcome::Cancelled,
                };
                claim.0.append_all(run, vec![(at, cancelled), (at, ended)])?;
                Ok(())
            }
        }
    }
}

/// The right to run on a file; one at a time in a process.
struct Claim(Arc<ProjectFile>);

impl Claim {
    fn take(file: Arc<ProjectFile>) -> Result<Self, EngineError> {
        if file.claim() {
            Ok(Self(file))
        } else {
            Err(EngineError::Live)
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.unclaim();
    }
}

/// Every dependency exists, and none leads back to itself.
fn check_plan(plan: &Plan) -> Result<(), EngineError> {
    let mut left: HashMap<&Address, &Task> = HashMap::new();
    for task in plan.tasks() {
        if left.insert(&task.address, task).is_some() {
            return Err(EngineError::Plan(format!("it has two tasks {}", task.address)));
        }
    }
    for task in plan.tasks() {
        if let Some(unknown) = task.after.iter().find(|a| !left.contains_key(a)) {
            return Err(EngineError::Plan(format!(
                "{} waits for {unknown}, which it does not have",
                task.address
            )));
        }
    }
    while !left.is_empty() {
        let free: Vec<&Address> = left
            .values()
            .filter(|t| !t.after.iter().any(|a| left.contains_key(a)))
            .map(|t| &t.address)
            .collect();
        if free.is_empty() {
            let mut ring: Vec<String> = left.keys().map(ToString::to_string).collect();
            ring.sort();
            return Err(EngineError::Plan(format!(
                "these tasks wait for each other: {}",
                ring.join(", ")
            )));
        }
        for a in free {
            left.remove(a);
        }
    }
    Ok(())
}

/// What earlier runs of the project left.
struct Past {
    ledger: Vec<Created>,
    /// Changes that they announced and left open, and when: by a crash between the request and its answer, or by an
    /// answer that was lost. Whoever finds such a thing later must take it for ours, or it would be in no ledger. What
    /// the other side refused was not made.
    doubts: HashMap<Address, Timestamp>,
}

impl Past {
    /// Reads what the runs before this one left; none = before a new one.
    fn read(file: &ProjectFile, before: Option<&str>) -> Result<Self, ProjectError> {
        let mut doubts = HashMap::new();
        let earlier = file.runs()?.into_iter().take_while(|r| Some(r.run.as_str()) != before);
        for run in earlier {
            for t in file.run_state(&run.run)?.map(|s| s.tasks).unwrap_or_default() {
                let unknown = t.failure.as_ref().is_none_or(|f| f.class == FailureClass::Transient);
                match t.in_flight {
                    Some(f) if unknown => doubts.insert(t.address, f.intent_at),
                    None if t.attempts == 0 => None,
                    _ => doubts.remove(&t.address),
                };
            }
        }
        let ledger = file.ledger()?;
        Ok(Self { ledger, doubts })
    }
}

/// A message to the scheduler. It keeps the clock awake until it is handled.
pub(crate) struct Envelope {
    pub(crate) at: Timestamp,
    pub(crate) msg: Msg,
    _awake: Awake,
}

impl Envelope {
    pub(crate) fn new(clock: &Arc<dyn Clock>, msg: Msg) -> Self {
        Self {
            at: clock.now(),
            msg,
            _awake: clock.awake(),
        }
    }
}

pub(crate) enum Msg {
    Report(Address, Report),
    /// To be written; acknowledged when it is on disk. A dropped acknowledgement means: not written, stop.
    Record(Event, Option<oneshot::Sender<()>>),
    Ended(Address, Finish),
    /// A place became free that a task wanted.
    Place,
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    /// The last handle was dropped.
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Going,
    Cancelling,
    Leaving,
}

struct Live {
    look: Arc<Notify>,
}

struct Progress {
    at: Timestamp,
    percent: Option<f64>,
    text: String,
}

#[derive(Default)]
struct Batch {
    events: Vec<(Timestamp, Event)>,
    acks: Vec<oneshot::Sender<()>>,
}

struct Scheduler {
    claim: Claim,
    plan: Arc<Plan>,
    tasks: HashMap<Address, Arc<Task>>,
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    options: RunOptions,
    run: String,
    state: Arc<RwLock<RunState>>,
    ledger: Arc<Vec<Created>>,
    line: mpsc::UnboundedSender<Envelope>,
    inbox: mpsc::UnboundedReceiver<Envelope>,
    events: broadcast::Sender<crate::event::Recorded>,
    stage: watch::Sender<Stage>,
    workers: JoinSet<()>,
    live: HashMap<Address, Live>,
    places: HashMap<&'static str, Arc<Places>>,
    /// See [`Past::doubts`].
    doubts: HashMap<Address, Timestamp>,
    progress: HashMap<Address, Progress>,
    progress_written: HashMap<Address, Instant>,
    exchanges: Vec<(Address, Exchange)>,
    unwritten_since: Option<Instant>,
    mode: Mode,
    detached: bool,
    stop: CancellationToken,
    /// Held while anything but waiting goes on here.
    awake: Option<Awake>,
}

impl Scheduler {
    fn spawn(
        claim: Claim,
        plan: Arc<Plan>,
        runner: Arc<dyn Runner>,
        clock: Arc<dyn Clock>,
        options: RunOptions,
        state: RunState,
        past: Past,
    ) -> RunHandle {
        let (line, inbox) = mpsc::unbounded_channel();
        let (stage, stage_seen) = watch::channel(stage_of(&state));
        let cancelling = state.phase == RunPhase::Cancelled && !state.has_ended();
        let mode = if cancelling { Mode::Cancelling } else { Mode::Going };
        let (events, _) = broadcast::channel(LAG);
        let run = state.run.clone();
        let state = Arc::new(RwLock::new(state));
        let shared = Shared {
            run: run.clone(),
            plan: plan.clone(),
            file: claim.0.clone(),
            clock: clock.clone(),
            state: state.clone(),
            events: events.clone(),
            line: line.clone(),
            stage: stage_seen,
        };
        let scheduler = Self {
            claim,
            tasks: plan.tasks().map(|t| (t.address.clone(), Arc::new(t.clone()))).collect(),
            plan,
            runner,
            awake: Some(clock.awake()),
            clock,
            options,
            run,
            state,
            ledger: Arc::new(past.ledger),
            line,
            inbox,
            events,
            stage,
            workers: JoinSet::new(),
            live: HashMap::new(),
            places: HashMap::new(),
            doubts: past.doubts,
            progress: HashMap::new(),
            progress_written: HashMap::new(),
            exchanges: vec![],
            unwritten_since: None,
            mode,
            detached: false,
            stop: CancellationToken::new(),
        };
        tokio::spawn(scheduler.live());
        RunHandle(Arc::new(shared))
    }

    async fn live(mut self) {
        let why = match self.go().await {
            Ok(()) => EngineError::Left,
            Err(e) => {
                tracing::error!(run = %self.run, error = %e, "the run can't go on");
                e
            }
        };
        // Workers finish what they have begun, and hear that nothing more is written.
        self.stop.cancel();
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {}
        while self.workers.join_next().await.is_some() {}
        let Self {
            claim, stage, awake, ..
        } = self;
        drop((claim, awake));
        if matches!(&*stage.borrow(), Stage::Ended(_)) && matches!(why, EngineError::Left) {
            return;
        }
        stage.send_replace(Stage::Left(why));
    }

    /// Returns when the run is left: it may have ended or not.
    async fn go(&mut self) -> Result<(), EngineError> {
        loop {
            self.advance().await?;
            let ended = self.state().has_ended();
            let idle = self.live.is_empty();
            if idle && (self.mode == Mode::Leaving || (self.detached && ended)) {
                return self.flush().await;
            }
            match self.next().await {
                Some(envelope) => self.handle(envelope).await?,
                None if self.unwritten_since.is_some_and(|t| t.elapsed() >= FLUSH_AFTER) => self.flush().await?,
                None => {}
            }
            while self.workers.try_join_next().is_some() {}
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, RunState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a message, a deadline of the clock, or the time to write progress.
    async fn next(&mut self) -> Option<Envelope> {
        let clock = self.clock.clone();
        let guard = self.awake.take().unwrap_or_else(|| clock.awake());
        let deadline = self.deadline();
        let timer = async {
            match deadline {
                Some(at) => doze(&*clock, at, guard).await,
                None => {
                    drop(guard);
                    pending().await
                }
            }
        };
        let flush = self.unwritten_since.map(|t| t + FLUSH_AFTER);
        let flush = async {
            match flush {
                Some(at) => tokio::time::sleep_until(at).await,
                None => pending().await,
            }
        };
        let (envelope, guard) = tokio::select! {
            biased;
            envelope = self.inbox.recv() => (envelope, None),
            guard = timer => (None, Some(guard)),
            () = flush => (None, None),
        };
        self.awake = Some(guard.unwrap_or_else(|| clock.awake()));
        envelope
    }

    /// The next time at which something happens by itself.
    fn deadline(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let state = self.state();
        let mut next: Option<Timestamp> = None;
        for t in &state.tasks {
            let Some(task) = self.tasks.get(&t.address) else {
                continue;
            };
            let retry = t
                .retry_at
                .filter(|_| !self.live.contains_key(&t.address) && may_start(&state, t, self.mode));
            let waited = waits_until(&state, task, t).filter(|_| state.phase == RunPhase::Running);
            let overdue = overdue_at(task, t).filter(|_| !state.has_ended());
            for at in [retry, waited, overdue].into_iter().flatten().filter(|at| *at > now) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        next
    }

    /// Does everything that can be done now without a message: settles what needs no worker, starts what can start,
    /// ends what has ended.
    async fn advance(&mut self) -> Result<(), EngineError> {
        loop {
            let now = self.clock.now();
            let mut events = self.due(now);
            let starts = if events.is_empty() { self.startable(now) } else { vec![] };
            let attempts = starts.iter().filter(|(_, job, _)| *job == Job::Do);
            events.extend(attempts.map(|(t, _, _)| {
                let attempt = self.state().task(&t.address).map_or(0, |s| s.attempts) + 1;
                Event::AttemptStarted {
                    task: t.address.clone(),
                    attempt,
                }
            }));
            if events.is_empty() && starts.is_empty() {
                return Ok(());
            }
            self.write(Batch {
                events: events.into_iter().map(|e| (now, e)).collect(),
                acks: vec![],
            })
            .await?;
            for (task, job, place) in starts {
                self.start(task, job, place);
            }
        }
    }

    /// What happens now by itself and needs no worker.
    fn due(&self, now: Timestamp) -> Vec<Event> {
        let state = self.state();
        let mut events = vec![];
        if self.mode == Mode::Cancelling && self.live.is_empty() && !state.has_ended() {
            events.push(Event::RunEnded {
                outcome: Outcome::Cancelled,
            });
        }
        if self.mode != Mode::Going || state.has_ended() {
            return events;
        }
        for t in &state.tasks {
            let Some(task) = self.tasks.get(&t.address) else {
                continue;
            };
            let address = || t.address.clone();
            if overdue_at(task, t).is_some_and(|at| at <= now) {
                events.push(Event::Overdue { task: address() });
            }
            if state.phase != RunPhase::Running {
                continue;
            }
            let started = Event::AttemptStarted {
                task: address(),
                attempt: t.attempts + 1,
            };
            match (&task.action, t.status) {
                (Action::NotNeeded { reason }, TaskStatus::Ready) => {
                    let outcome = Settled::Skipped { reason: reason.clone() };
                    events.push(Event::Settled {
                        task: address(),
                        outcome,
                    });
                }
                (Action::Gate { question, .. }, TaskStatus::Ready) => {
                    events.push(started);
                    events.push(Event::PersonNeeded {
                        task: address(),
                        what: question.clone(),
                    });
                }
                (Action::Gate { .. }, TaskStatus::NeedsPerson) if self.options.auto_accept_gates => {
                    let (by, note) = (self.options.by.clone(), "Accepted by the run's options".to_owned());
                    events.push(Event::Decided {
                        task: address(),
                        accepted: true,
                        by,
                        note,
                    });
                    events.push(Event::Settled {
                        task: address(),
                        outcome: Settled::Done,
                    });
                }
                (Action::WaitDays { .. }, TaskStatus::Ready) => {
                    events.push(started);
                    let text = match wait_end(&state, task) {
                        Some(at) => format!("Waits until {}", at.strftime("%Y-%m-%d %H:%M UTC")),
                        None => "Waits".to_owned(),
                    };
                    events.push(Event::Progress {
                        task: address(),
                        percent: None,
                        text,
                    });
                }
                (Action::WaitDays { .. }, _) if waits_until(&state, task, t).is_some_and(|at| at <= now) => {
                    events.push(Event::Settled {
                        task: address(),
                        outcome: Settled::Done,
                    });
                }
                _ => {}
            }
        }
        if events.is_empty() && self.live.is_empty() {
            if state.tasks.iter().all(|t| t.status.is_settled()) {
                events.push(Event::RunEnded { outcome: Outcome::Done });
            } else if state.tasks.iter().all(|t| t.status.is_settled() || is_stuck(t)) {
                events.push(Event::RunEnded {
                    outcome: Outcome::Stopped,
                });
            }
        }
        events
    }

    /// Tasks for which a worker can start now, each with its place.
    fn startable(&mut self, now: Timestamp) -> Vec<(Arc<Task>, Job, OwnedSemaphorePermit)> {
        let ready: Vec<(Arc<Task>, Job)> = {
            let state = self.state();
            let can = |t: &&TaskState| {
                !self.live.contains_key(&t.address)
                    && may_start(&state, t, self.mode)
                    && t.retry_at.is_none_or(|at| at <= now)
            };
            let with_task = |t: &TaskState| {
                let job = if t.status == TaskStatus::Undoing {
                    Job::Undo
                } else {
                    Job::Do
                };
                let task = self.tasks.get(&t.address)?;
                (job == Job::Undo || !by_engine(task)).then(|| (task.clone(), job))
            };
            state.tasks.iter().filter(can).filter_map(with_task).collect()
        };
        let mut starts = vec![];
        for (task, job) in ready {
            let system = self.runner.kind(&task).system();
            if let Some(place) = self.places(system).take() {
                starts.push((task, job, place));
            }
        }
        starts
    }

    fn places(&mut self, system: &'static str) -> Arc<Places> {
        let limit = self.options.limits.get(system).copied();
        self.places
            .entry(system)
            .or_insert_with(|| Arc::new(Places::new(limit)))
            .clone()
    }

    fn start(&mut self, task: Arc<Task>, job: Job, place: OwnedSemaphorePermit) {
        let kind = self.runner.kind(&task);
        let places = self.places(kind.system());
        let (attempt, in_flight, facts) = {
            let state = self.state();
            let t = state.task(&task.address);
            (
                t.map_or(1, |t| t.attempts),
                t.and_then(|t| t.in_flight.clone()),
                state.facts.clone(),
            )
        };
        let look = Arc::new(Notify::new());
        self.live.insert(task.address.clone(), Live { look: look.clone() });
        let doubt = self.doubts.get(&task.address).copied();
        let worker = Worker {
            task,
            kind,
            job,
            run: self.run.clone(),
            attempt,
            in_flight,
            doubt,
            facts: Arc::new(Mutex::new(facts)),
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            line: self.line.clone(),
            stop: self.stop.child_token(),
            busy: Arc::new(Busy::new(self.clock.clone(), places, self.line.clone(), place)),
            look,
            moved: false,
            waited: false,
        };
        self.workers.spawn(worker.run());
    }

    /// Handles a message and those that came with it, in one transaction where possible.
    async fn handle(&mut self, first: Envelope) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        let mut envelope = Some(first);
        while let Some(Envelope { at, msg, _awake }) = envelope {
            match msg {
                Msg::Report(task, report) => self.report(&mut batch, at, task, report),
                Msg::Record(event, ack) => {
                    // No new change once the run is to stop; an acknowledgement that is dropped tells the worker.
                    let change = matches!(event, Event::Intent { .. });
                    if !change || (self.mode == Mode::Going && self.state().phase == RunPhase::Running) {
                        batch.events.push((at, event));
                        batch.acks.extend(ack);
                    }
                }
                Msg::Ended(task, finish) => self.ended(&mut batch, at, task, finish),
                Msg::Place => {}
                Msg::Command(command, answer) => {
                    self.write(mem::take(&mut batch)).await?;
                    let result = match self.command(at, command) {
                        Ok(events) => {
                            self.write(Batch { events, acks: vec![] }).await?;
                            Ok(())
                        }
                        Err(e) => Err(e),
                    };
                    // Nobody may be waiting for the answer any more.
                    let _ = answer.send(result);
                }
                Msg::Detached => self.detached = true,
            }
            envelope = if batch.events.len() < BATCH {
                self.inbox.try_recv().ok()
            } else {
                None
            };
        }
        self.write(batch).await
    }

    fn report(&mut self, batch: &mut Batch, at: Timestamp, task: Address, report: Report) {
        let event = match report {
            Report::Progress { percent, text } => {
                // One decimal is enough for a bar, and reads back from the journal as the same number.
                let percent = percent
                    .filter(|p| p.is_finite())
                    .map(|p| (p.clamp(0.0, 100.0) * 10.0).round() / 10.0);
                if self.live.contains_key(&task) {
                    self.progress.insert(task, Progress { at, percent, text });
                    self.unwritten_since.get_or_insert_with(Instant::now);
                }
                return;
            }
            Report::Exchange(exchange) => {
                self.exchanges.push((task, *exchange));
                self.unwritten_since.get_or_insert_with(Instant::now);
                return;
            }
            Report::Evidence(text) => Event::Evidence { task, text },
            Report::Fact { name, value } => Event::Fact { task, name, value },
            Report::Created(resource) => Event::Created { task, resource },
            Report::Removed(resource) => Event::Removed { task, resource },
        };
        batch.events.push((at, event));
    }

    fn ended(&mut self, batch: &mut Batch, at: Timestamp, task: Address, finish: Finish) {
        self.live.remove(&task);
        // What it was doing last no longer matters.
        self.progress.remove(&task);
        let event = match finish {
            Finish::Halted => return,
            Finish::Settled(outcome) => Event::Settled { task, outcome },
            Finish::Undone => Event::Undone { task },
            Finish::Failed { failure, moved } => self.failed(at, task, failure, moved),
        };
        batch.events.push((at, event));
    }

    fn failed(&self, at: Timestamp, task: Address, failure: Failure, moved: bool) -> Event {
        let state = self.state();
        let t = state.task(&task);
        let same = |c: &FailureClass| mem::discriminant(c) == mem::discriminant(&failure.class);
        let in_a_row = match t.and_then(|t| t.row.as_ref()) {
            Some((class, n)) if same(class) && !moved => n + 1,
            _ => 1,
        };
        let attempt = t.map_or(1, |t| t.attempts);
        drop(state);
        let retry_at = retry::after(&failure.class, in_a_row, &self.run, &task).map(|d| later(at, d));
        Event::AttemptFailed {
            task,
            attempt,
            failure,
            retry_at,
            in_a_row,
        }
    }

    /// What a command makes happen.
    fn command(&mut self, at: Timestamp, command: Command) -> Result<Vec<(Timestamp, Event)>, CommandError> {
        let by = self.options.by.clone();
        let state = self.state();
        let (phase, ended) = (state.phase, state.has_ended());
        let find = |a: &Address| match (self.tasks.get(a), state.task(a)) {
            (Some(task), Some(t)) => Ok((task.clone(), t.clone())),
            _ => Err(CommandError::NoTask(a.clone())),
        };
        let not_now = |t: &TaskState, needed| CommandError::NotNow {
            task: t.address.clone(),
            status: t.status,
            needed,
        };
        let events = match command {
            Command::Stop => {
                drop(state);
                self.mode = Mode::Leaving;
                self.stop.cancel();
                vec![]
            }
            Command::Pause | Command::Continue | Command::Cancel if ended => return Err(CommandError::Ended),
            Command::Pause if phase == RunPhase::Running => vec![Event::RunPaused { by }],
            Command::Continue if phase == RunPhase::Paused => vec![Event::RunContinued { by }],
            Command::Pause | Command::Continue => vec![],
            Command::Cancel if self.mode != Mode::Going => vec![],
            Command::Cancel => {
                drop(state);
                self.mode = Mode::Cancelling;
                self.stop.cancel();
                vec![Event::RunCancelled { by }]
            }
            Command::Retry(task) => {
                let (_, t) = find(&task)?;
                if self.mode != Mode::Going || (ended && phase != RunPhase::Stopped) {
                    return Err(CommandError::Ended);
                }
                let waits = t.retry_at.is_some() && t.status == TaskStatus::Waiting;
                if !waits && !matches!(t.status, TaskStatus::Failed | TaskStatus::Rejected | TaskStatus::Undone) {
                    return Err(not_now(
                        &t,
                        "only what failed, was rejected or was undone can be tried again",
                    ));
                }
                let RunOptions { host, version, .. } = self.options.clone();
                let mut again = self.to_be_made_again(&state, &t);
                again.push(task);
                drop(state);
                let reopened = ended.then(|| Event::RunReopened {
                    by: by.clone(),
                    host,
                    version,
                });
                let asked = again.into_iter().map(|task| Event::RetryAsked { task, by: by.clone() });
                reopened.into_iter().chain(asked).collect()
            }
            Command::Decide { task, accept, by, note } => {
                let (plan_task, t) = find(&task)?;
                if self.mode != Mode::Going || ended {
                    return Err(CommandError::Ended);
                }
                if !matches!(plan_task.action, Action::Gate { .. }) || t.status != TaskStatus::NeedsPerson {
                    return Err(not_now(&t, "only a gate that asks can be decided"));
                }
                let outcome = if accept { Settled::Done } else { Settled::Rejected };
                vec![
                    Event::Decided {
                        task: task.clone(),
                        accepted: accept,
                        by,
                        note,
                    },
                    Event::Settled { task, outcome },
                ]
            }
            Command::Undo(task) => {
                let (plan_task, t) = find(&task)?;
                if self.mode == Mode::Leaving || (self.mode == Mode::Cancelling && !ended) {
                    return Err(CommandError::Ended);
                }
                // What a cancelled run left under way can be taken back too.
                let left = ended && t.in_flight.is_some() && !self.live.contains_key(&task);
                if by_engine(&plan_task) || !(left || matches!(t.status, TaskStatus::Done | TaskStatus::Failed)) {
                    return Err(not_now(&t, "only a change that Rehost made can be taken back"));
                }
                let on_it = self.standing_on(&task);
                if let Some(other) = state
                    .tasks
                    .iter()
                    .find(|s| on_it.contains(&s.address) && may_have_changed(s))
                {
                    return Err(not_now(
                        other,
                        "it was built on what is to be taken back: take it back first",
                    ));
                }
                drop(state);
                vec![Event::UndoStarted { task, by }]
            }
            Command::Look(task) => {
                let (_, t) = find(&task)?;
                let live = self
                    .live
                    .get(&task)
                    .ok_or_else(|| not_now(&t, "only a task that waits can look again"))?;
                live.look.notify_one();
                vec![]
            }
        };
        Ok(events.into_iter().map(|e| (at, e)).collect())
    }

    /// What has to be done again before a task that has lost something can go on: the task that made it, and every look at
    /// it since. Decisions and other changes in between stay.
    fn to_be_made_again(&self, state: &RunState, t: &TaskState) -> Vec<Address> {
        let made = |s: &&TaskState| {
            let lost = t.failure.as_ref().and_then(|f| f.lost.as_ref());
            lost.is_some_and(|l| s.created.iter().any(|c| c.eq_ignore_ascii_case(l)))
        };
        // One that was opened again already is under way.
        let over = |s: &TaskState| s.address != t.address && (s.status.is_settled() || s.status == TaskStatus::Failed);
        let Some(maker) = state.tasks.iter().find(made).filter(|m| over(m)) else {
            return vec![];
        };
        let after = self.all_after(&maker.address);
        let looked = |s: &&TaskState| {
            let look = self.tasks.get(&s.address).is_some_and(|k| self.only_looks(k));
            over(s) && look && after.contains(&s.address)
        };
        let looks = state.tasks.iter().filter(looked);
        [maker].into_iter().chain(looks).map(|s| s.address.clone()).collect()
    }

    fn only_looks(&self, task: &Task) -> bool {
        !by_engine(task) && self.runner.kind(task).only_checks()
    }

    /// Tasks that change something and come after this one, however far.
    fn standing_on(&self, task: &Address) -> HashSet<Address> {
        let mut after = self.all_after(task);
        after.retain(|a| {
            self.tasks
                .get(a)
                .is_some_and(|t| !by_engine(t) && !self.runner.kind(t).only_checks())
        });
        after
    }

    /// Tasks that come after this one, however far.
    fn all_after(&self, task: &Address) -> HashSet<Address> {
        let mut after = HashSet::from([task.clone()]);
        let mut known = 0;
        while known < after.len() {
            known = after.len();
            let more = self.plan.tasks().filter(|t| t.after.iter().any(|a| after.contains(a)));
            let more: Vec<Address> = more.map(|t| t.address.clone()).collect();
            after.extend(more);
        }
        after.remove(task);
        after
    }

    /// Writes what is left over: progress and exchanges.
    async fn flush(&mut self) -> Result<(), EngineError> {
        let progress = self.due_progress(Duration::ZERO);
        self.commit(progress).await
    }

    fn due_progress(&mut self, at_least: Duration) -> Vec<(Timestamp, Event)> {
        let mut due: Vec<(Address, Progress)> = {
            let written = &self.progress_written;
            let is_due = |a: &Address| written.get(a).is_none_or(|t| t.elapsed() >= at_least);
            self.progress.extract_if(|a, _| is_due(a)).collect()
        };
        due.sort_by(|(a, p), (b, q)| (p.at, a).cmp(&(q.at, b)));
        let now = Instant::now();
        due.into_iter()
            .map(|(task, Progress { at, percent, text })| {
                self.progress_written.insert(task.clone(), now);
                (at, Event::Progress { task, percent, text })
            })
            .collect()
    }

    /// Writes a batch, with the progress that may go with it, and acknowledges.
    async fn write(&mut self, batch: Batch) -> Result<(), EngineError> {
        if batch.events.is_empty() {
            return Ok(());
        }
        let mut events = self.due_progress(PROGRESS_EVERY);
        events.extend(batch.events);
        self.commit(events).await?;
        for ack in batch.acks {
            // A worker that is gone needs none.
            let _ = ack.send(());
        }
        Ok(())
    }

    /// One transaction; then the fold; then everybody hears of it.
    async fn commit(&mut self, events: Vec<(Timestamp, Event)>) -> Result<(), EngineError> {
        let exchanges = mem::take(&mut self.exchanges);
        self.unwritten_since = (!self.progress.is_empty()).then(Instant::now);
        if events.is_empty() && exchanges.is_empty() {
            return Ok(());
        }
        let (file, run) = (self.claim.0.clone(), self.run.clone());
        let written = tokio::task::spawn_blocking(move || file.commit(&run, events, &exchanges)).await;
        // The runtime is shutting down.
        let recorded = written.map_err(|_| EngineError::Left)??;
        #[cfg(test)]
        self.claim.0.fuse.burn(recorded.len()).await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for r in &recorded {
            state.apply(r, &self.plan);
            if matches!(r.event, Event::Created { .. } | Event::Removed { .. }) {
                note(Arc::make_mut(&mut self.ledger), &r.event);
            }
        }
        let stage = stage_of(&state);
        drop(state);
        if matches!(stage, Stage::Ended(_)) && self.mode == Mode::Cancelling {
            // What was cancelled has stopped; taking back is still possible.
            self.mode = Mode::Going;
            self.stop = CancellationToken::new();
        }
        for r in recorded {
            // Nobody may be listening.
            let _ = self.events.send(r);
        }
        self.stage.send_if_modified(|s| {
            let changed = mem::discriminant(s) != mem::discriminant(&stage);
            *s = stage;
            changed
        });
        Ok(())
    }
}

fn stage_of(state: &RunState) -> Stage {
    match (state.has_ended(), state.phase) {
        (true, RunPhase::Done) => Stage::Ended(Outcome::Done),
        (true, RunPhase::Cancelled) => Stage::Ended(Outcome::Cancelled),
        (true, _) => Stage::Ended(Outcome::Stopped),
        (false, _) => Stage::Going,
    }
}

/// Whether a worker may start for this task as far as the run and the task's status go.
fn may_start(state: &RunState, t: &TaskState, mode: Mode) -> bool {
    let under_way = match t.status {
        TaskStatus::Undoing => return mode == Mode::Going,
        TaskStatus::Ready => true,
        // Its worker is gone, or it waits for its next attempt.
        TaskStatus::Running | TaskStatus::Waiting | TaskStatus::NeedsPerson => true,
        TaskStatus::Blocked
        | TaskStatus::Done
        | TaskStatus::Adopted
        | TaskStatus::Skipped
        | TaskStatus::Failed
        | TaskStatus::Rejected
        | TaskStatus::Undone => false,
    };
    under_way && mode == Mode::Going && state.phase == RunPhase::Running
}

/// Whether the engine does it itself, without a worker.
fn by_engine(task: &Task) -> bool {
    matches!(
        task.action,
        Action::NotNeeded { .. } | Action::Gate { .. } | Action::WaitDays { .. }
    )
}

/// Whether a task that changes something may have done so.
fn may_have_changed(t: &TaskState) -> bool {
    let nothing = matches!(
        t.status,
        TaskStatus::Blocked | TaskStatus::Ready | TaskStatus::Adopted | TaskStatus::Skipped | TaskStatus::Undone
    );
    !nothing
}

/// Whether it can't go on without a person who asks for it.
fn is_stuck(t: &TaskState) -> bool {
    match t.status {
        TaskStatus::Failed | TaskStatus::Rejected | TaskStatus::Undone => true,
        TaskStatus::Blocked => !t.blocked_by.is_empty(),
        _ => false,
    }
}

/// When a task under way has taken longer than usual; none when that was said already or can't be told. A decision is
/// never overdue: it takes the time that a person takes.
fn overdue_at(task: &Task, t: &TaskState) -> Option<Timestamp> {
    let under_way = matches!(
        t.status,
        TaskStatus::Running | TaskStatus::Waiting | TaskStatus::NeedsPerson
    );
    let timed = !matches!(task.action, Action::WaitDays { .. } | Action::Gate { .. }) && task.duration.p95 > 0;
    let usual = SignedDuration::from_secs(i64::from(task.duration.p95));
    t.started
        .filter(|_| under_way && timed && !t.overdue)
        .map(|at| later(at, usual))
}

/// When a started wait ends.
fn waits_until(state: &RunState, task: &Task, t: &TaskState) -> Option<Timestamp> {
    let waits = matches!(task.action, Action::WaitDays { .. });
    if waits && matches!(t.status, TaskStatus::Running | TaskStatus::Waiting) {
        wait_end(state, task).or(t.started)
    } else {
        None
    }
}

fn wait_end(state: &RunState, task: &Task) -> Option<Timestamp> {
    let Action::WaitDays { since, days } = &task.action else {
        return None;
    };
    let since = state.task(since).and_then(|s| s.ended)?;
    Some(later(since, SignedDuration::from_hours(24 * i64::from(*days))))
}
