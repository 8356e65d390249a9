//! The life of one attempt at one task: look, announce, change, follow, prove. It tells the scheduler everything over
//! one line, in order; what must be on disk before it goes on, it waits for.

use crate::{
    clock::{Awake, Clock, doze},
    event::{Event, Failure, FailureClass, Handle, Settled},
    kind::{Created, Ctx, INTERRUPTED, Observed, Report, Reporter, TaskKind},
    retry,
    scheduler::{Envelope, Msg},
    state::InFlight,
};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use plan::{Actor, Task};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The places of one system: how many tasks may be busy with it.
pub(crate) struct Places {
    slots: Arc<Semaphore>,
    /// A task found no place: the scheduler wants to know when one is free.
    wanted: AtomicBool,
}

impl Places {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(limit)),
            wanted: AtomicBool::new(false),
        }
    }

    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok().or_else(|| {
            // Announced before the second look, so that no release falls in between.
            self.wanted.store(true, SeqCst);
            self.slots.clone().try_acquire_owned().ok()
        })
    }
}

/// What a worker holds while it is busy, and gives back while it sleeps: its guard of the clock, and its place.
pub(crate) struct Busy {
    clock: Arc<dyn Clock>,
    places: Arc<Places>,
    line: mpsc::UnboundedSender<Envelope>,
    held: Mutex<Option<Held>>,
}

struct Held {
    awake: Awake,
    _place: Option<OwnedSemaphorePermit>,
}

impl Busy {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        places: Arc<Places>,
        line: mpsc::UnboundedSender<Envelope>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let held = Held {
            awake: clock.awake(),
            _place: Some(place),
        };
        Self {
            clock,
            places,
            line,
            held: Mutex::new(Some(held)),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the place back; the guard is returned.
    fn leave(&self) -> Awake {
        let held = self.held().take();
        let awake = match held {
            Some(Held { awake, _place }) => awake,
            // Two sleeps at the same time in one task: the first one gave the place back.
            None => self.clock.awake(),
        };
        if self.places.wanted.swap(false, SeqCst) {
            let _ = self.line.send(Envelope::new(&self.clock, Msg::Place));
        }
        awake
    }

    /// Sleeps in the clock's time; others may use the place meanwhile.
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        if self.clock.now() >= until {
            tokio::task::yield_now().await;
            return;
        }
        let mut back = Back { busy: self, held: None };
        let awake = self.leave();
        let awake = doze(&*self.clock, until, awake).await;
        let place = self.places.slots.clone().acquire_owned().await.ok();
        back.held = Some(Held { awake, _place: place });
    }
}

/// Makes the worker busy again however its sleep ends.
struct Back<'a> {
    busy: &'a Busy,
    held: Option<Held>,
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        let busy = self.busy;
        let held = self.held.take().unwrap_or_else(|| {
            // Interrupted: going on without a place is better than waiting for one.
            Held {
                awake: busy.clock.awake(),
                _place: busy.places.slots.clone().try_acquire_owned().ok(),
            }
        });
        busy.held().get_or_insert(held);
    }
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Do,
    Undo,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Finish {
    Settled(Settled),
    Undone,
    /// `moved`: it got further than to its first look, so earlier failures don't count any more.
    Failed {
        failure: Failure,
        moved: bool,
    },
    /// Stopped at a safe point: no failure.
    Halted,
}

enum Break {
    Failed(Failure),
    Halted,
}

impl From<Failure> for Break {
    fn from(f: Failure) -> Self {
        Self::Failed(f)
    }
}

pub(crate) struct Worker {
    pub(crate) task: Arc<Task>,
    pub(crate) kind: Arc<dyn TaskKind>,
    pub(crate) job: Job,
    pub(crate) run: String,
    pub(crate) attempt: u32,
    pub(crate) in_flight: Option<InFlight>,
    /// When an earlier run announced this change and left it open.
    pub(crate) doubt: Option<Timestamp>,
    pub(crate) facts: Arc<Mutex<BTreeMap<String, Value>>>,
    pub(crate) ledger: Arc<Vec<Created>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) line: mpsc::UnboundedSender<Envelope>,
    pub(crate) stop: CancellationToken,
    pub(crate) busy: Arc<Busy>,
    pub(crate) look: Arc<Notify>,
    pub(crate) moved: bool,
    /// It has waited for a time to look again.
    pub(crate) waited: bool,
}

impl Worker {
    /// Runs the attempt. Its last message is [`Msg::Ended`].
    pub(crate) async fn run(mut self) {
        let work = async {
            match self.job {
                Job::Do => self.perform().await.map(Finish::Settled),
                Job::Undo => self.take_back().await.map(|()| Finish::Undone),
            }
        };
        let done = AssertUnwindSafe(work)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Break::Failed(broken(&self.task))));
        let finish = match done {
            Ok(finish) => finish,
            Err(Break::Halted) => Finish::Halted,
            Err(Break::Failed(f)) if self.interrupted(&f) => Finish::Halted,
            Err(Break::Failed(failure)) => Finish::Failed {
                // An operation that ends badly each time it is started gets nowhere.
                moved: if failure.class == FailureClass::Conflict {
                    self.waited
                } else {
                    self.moved
                },
                failure,
            },
        };
        // The place first, so that the scheduler finds it free; the guard only after the message is under way.
        let awake = self.busy.leave();
        self.send(Msg::Ended(self.task.address.clone(), finish));
        drop(awake);
    }

    async fn perform(&mut self) -> Result<Settled, Break> {
        let mut handle = self.in_flight.as_mut().and_then(|f| f.handle.take());
        let settled = loop {
            if let Some(h) = handle.take() {
                self.follow(&h).await?;
                break if self.in_flight.is_some() {
                    Settled::Done
                } else {
                    Settled::Adopted
                };
            }
            let ctx = self.ctx();
            match self.unless_stopped(self.kind.observe(&ctx)).await? {
                Observed::Matches if self.in_flight.is_some() || self.kind.only_checks() => break Settled::Done,
                Observed::Matches => break Settled::Adopted,
                Observed::NotNeeded(reason) => return Ok(Settled::Skipped { reason }),
                Observed::NotYet { text, again_secs } => self.wait(&ctx, text, again_secs).await?,
                Observed::InFlight(h) => {
                    let task = self.task.address.clone();
                    self.record(Event::Accepted {
                        task,
                        handle: h.clone(),
                    })
                    .await?;
                    self.moved = true;
                    handle = Some(h);
                }
                found @ (Observed::Absent | Observed::Differs(_)) => {
                    let found = match found {
                        Observed::Differs(how) => format!("There, but different: {how}"),
                        _ => "Not there yet".to_owned(),
                    };
                    if self.kind.only_checks() {
                        return Err(Failure::permanent(
                            "CheckFailed",
                            format!("{}: not as it must be", self.task.title),
                            found,
                            "Put it right, then choose Retry.",
                        )
                        .into());
                    }
                    match self.change(found).await? {
                        Some(h) => handle = Some(h),
                        None => break Settled::Done,
                    }
                }
            }
        };
        let ctx = self.ctx();
        self.unless_stopped(self.kind.verify(&ctx)).await?;
        Ok(settled)
    }

    /// Announces the change, makes it, and records what the other side gave to follow it.
    async fn change(&mut self, found: String) -> Result<Option<Handle>, Break> {
        let task = self.task.address.clone();
        self.send(Msg::Record(
            Event::Observed {
                task: task.clone(),
                what: found,
            },
            None,
        ));
        let what = self.kind.intent(&self.ctx());
        let at = self
            .record(Event::Intent {
                task: task.clone(),
                attempt: self.attempt,
                what,
            })
            .await?;
        self.in_flight.get_or_insert(InFlight {
            intent_at: at,
            handle: None,
        });
        let ctx = self.ctx();
        let handle = self.kind.apply(&ctx).await?;
        self.moved = true;
        if let Some(h) = &handle {
            self.record(Event::Accepted {
                task,
                handle: h.clone(),
            })
            .await?;
        }
        Ok(handle)
    }

    /// Follows an operation to its end, however often a look fails.
    async fn follow(&mut self, handle: &Handle) -> Result<(), Break> {
        let mut failures = 0;
        loop {
            self.check_stop()?;
            let ctx = self.ctx();
            let began = self.clock.now();
            let Err(f) = self.kind.settle(&ctx, handle).await else {
                return Ok(());
            };
            if self.interrupted(&f) {
                return Err(Break::Halted);
            }
            if self.clock.now().duration_since(began) > SignedDuration::from_mins(2) {
                failures = 0;
            }
            failures += 1;
            let pause = match f.class {
                FailureClass::Transient => retry::backoff(failures, &self.run, &self.task.address),
                FailureClass::Throttled { .. } => {
                    retry::after(&f.class, failures, &self.run, &self.task.address).unwrap_or_default()
                }
                _ => return Err(f.into()),
            };
            ctx.progress(
                None,
                format!(
                    "Can't be followed just now ({}). It goes on, and so does looking.",
                    f.title
                ),
            );
            ctx.sleep_until(later(self.clock.now(), pause)).await?;
        }
    }

    /// Nothing to do but to look again later.
    async fn wait(&mut self, ctx: &Ctx, text: String, again_secs: u32) -> Result<(), Break> {
        if matches!(self.task.actor, Actor::Person { .. }) && !self.moved {
            let task = self.task.address.clone();
            self.record(Event::PersonNeeded {
                task,
                what: text.clone(),
            })
            .await?;
        }
        (self.moved, self.waited) = (true, true);
        ctx.progress(None, text);
        tokio::select! {
            biased;
            slept = ctx.sleep(u64::from(again_secs.max(1))) => slept?,
            () = self.look.notified() => {}
        }
        Ok(())
    }

    async fn take_back(&mut self) -> Result<(), Break> {
        self.check_stop()?;
        Ok(self.kind.undo(&self.ctx()).await?)
    }

    /// Runs something that only reads; it is dropped when the run stops.
    async fn unless_stopped<T>(&self, reads: impl Future<Output = Result<T, Failure>>) -> Result<T, Break> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Break::Halted),
            read = reads => Ok(read?),
        }
    }

    fn check_stop(&self) -> Result<(), Break> {
        if self.stop.is_cancelled() {
            Err(Break::Halted)
        } else {
            Ok(())
        }
    }

    fn interrupted(&self, f: &Failure) -> bool {
        f.code == INTERRUPTED && self.stop.is_cancelled()
    }

    fn send(&self, msg: Msg) {
        // When the scheduler is gone, so is the need to tell.
        let _ = self.line.send(Envelope::new(&self.clock, msg));
    }

    /// Returns when the event is on disk, with its time.
    async fn record(&self, event: Event) -> Result<Timestamp, Break> {
        let (ack, written) = oneshot::channel();
        let envelope = Envelope::new(&self.clock, Msg::Record(event, Some(ack)));
        let at = envelope.at;
        self.line.send(envelope).map_err(|_| Break::Halted)?;
        written.await.map_err(|_| Break::Halted)?;
        Ok(at)
    }

    fn ctx(&self) -> Ctx {
        Ctx {
            task: self.task.clone(),
            run: self.run.clone(),
            attempt: self.attempt,
            intent_at: self.in_flight.as_ref().map(|f| f.intent_at).or(self.doubt),
            clock: self.clock.clone(),
            facts: self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ledger: self.ledger.clone(),
            reports: self.reporter(),
            stop: self.stop.clone(),
            busy: Some(self.busy.clone()),
        }
    }

    fn reporter(&self) -> Reporter {
        let (line, clock, task, facts) = (
            self.line.clone(),
            self.clock.clone(),
            self.task.address.clone(),
            self.facts.clone(),
        );
        Arc::new(move |report| {
            if let Report::Fact { name, value } = &report {
                facts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.clone(), value.clone());
            }
            let _ = line.send(Envelope::new(&clock, Msg::Report(task.clone(), report)));
        })
    }
}

/// The time so much later.
pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn broken(task: &Task) -> Failure {
    Failure::permanent(
        "Internal",
        format!("{}: a fault in Rehost", task.title),
        "The program met a state it was not written for. What was recorded is safe.",
        "Choose Retry. If it happens again, save the report and the log and send them to Rehost's makers.",
    )
}
