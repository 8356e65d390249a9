//! The fold: events in, [`RunState`] out. Nothing else changes state.

use crate::event::{Event, Failure, FailureClass, Handle, Outcome, Recorded, Settled};
use jiff::Timestamp;
use plan::{Address, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum TaskStatus {
    /// Something it waits for isn't done yet, or has failed.
    Blocked,
    Ready,
    /// Observing, applying, verifying.
    Running,
    /// Accepted by the other side, or waiting for a time or a retry.
    Waiting,
    /// A person must do or decide something.
    NeedsPerson,
    Done,
    Adopted,
    Skipped,
    Failed,
    /// A gate was rejected.
    Rejected,
    Undoing,
    Undone,
}

impl TaskStatus {
    /// True when dependents may start.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Adopted | Self::Skipped)
    }
}

/// Everything known about one task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TaskState {
    pub address: Address,
    pub status: TaskStatus,
    /// Which tasks it waits for that failed, were rejected or are themselves blocked by such; empty = it just isn't its turn.
    pub blocked_by: Vec<Address>,
    pub overdue: bool,
    pub attempts: u32,
    #[ts(type = "string | null")]
    pub started: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub ended: Option<Timestamp>,
    /// 0 to 100.
    pub percent: Option<f64>,
    /// Progress in words, or what it waits for.
    pub text: String,
    #[ts(type = "string | null")]
    pub last_sign: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub retry_at: Option<Timestamp>,
    pub failure: Option<Failure>,
    pub evidence: Vec<Evidence>,
    /// Why it was skipped.
    pub reason: Option<String>,
    pub decision: Option<Decision>,
    /// Set between Intent and Settled.
    pub in_flight: Option<InFlight>,
    /// What this task created and has not removed.
    pub created: Vec<String>,
    /// The class of the last failures, and how many of it there were in a row.
    #[serde(skip)]
    #[ts(skip)]
    pub(crate) row: Option<(FailureClass, u32)>,
}

/// A change that was announced and isn't settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct InFlight {
    #[ts(type = "string")]
    pub intent_at: Timestamp,
    pub handle: Option<Handle>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Evidence {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Decision {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub accepted: bool,
    pub by: String,
    pub note: String,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum RunPhase {
    Running,
    /// No new task starts; what runs in Azure goes on.
    Paused,
    Done,
    Stopped,
    Cancelled,
}

/// A whole run, folded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RunState {
    pub run: String,
    pub plan_hash: String,
    pub rehearsal: bool,
    pub by: String,
    pub host: String,
    pub phase: RunPhase,
    #[ts(type = "string | null")]
    pub started: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub ended: Option<Timestamp>,
    /// In plan order.
    pub tasks: Vec<TaskState>,
    #[ts(type = "Record<string, unknown>")]
    pub facts: BTreeMap<String, Value>,
    /// Sequence number of the last event folded in.
    #[ts(type = "number")]
    pub seq: u64,
}

impl RunState {
    /// The state before the first event.
    pub fn new(run: impl Into<String>, plan: &Plan) -> Self {
        let mut state = Self {
            run: run.into(),
            plan_hash: plan.hash(),
            rehearsal: false,
            by: String::new(),
            host: String::new(),
            phase: RunPhase::Running,
            started: None,
            ended: None,
            tasks: plan.tasks().map(|t| TaskState::new(t.address.clone())).collect(),
            facts: BTreeMap::new(),
            seq: 0,
        };
        state.derive(plan);
        state
    }

    /// Folds a whole journal.
    pub fn replay(run: impl Into<String>, plan: &Plan, journal: &[Recorded]) -> Self {
        let mut state = Self::new(run, plan);
        for recorded in journal {
            state.apply(recorded, plan);
        }
        state
    }

    /// Finds a task by address.
    pub fn task(&self, address: &Address) -> Option<&TaskState> {
        self.tasks.iter().find(|t| &t.address == address)
    }

    /// True when nothing more happens by itself.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Folds one event in. Events of other runs and of unknown tasks change nothing.
    pub fn apply(&mut self, recorded: &Recorded, plan: &Plan) {
        if recorded.run != self.run {
            return;
        }
        self.seq = recorded.seq;
        let at = recorded.at;
        match &recorded.event {
            Event::RunStarted {
                plan_hash,
                by,
                host,
                rehearsal,
                version: _,
            } => {
                self.plan_hash.clone_from(plan_hash);
                self.by.clone_from(by);
                self.host.clone_from(host);
                self.rehearsal = *rehearsal;
                self.started = Some(at);
            }
            Event::RunReopened { .. } => {
                // A pause is a person's wish and outlives the process; so does a cancellation that has not ended.
                if self.ended.take().is_some() {
                    self.phase = RunPhase::Running;
                }
            }
            Event::RunPaused { .. } => self.phase = RunPhase::Paused,
            Event::RunContinued { .. } => self.phase = RunPhase::Running,
            Event::RunCancelled { .. } => self.phase = RunPhase::Cancelled,
            Event::RunEnded { outcome } => {
                self.phase = match outcome {
                    Outcome::Done => RunPhase::Done,
                    Outcome::Stopped => RunPhase::Stopped,
                    Outcome::Cancelled => RunPhase::Cancelled,
                };
                self.ended = Some(at);
            }
            Event::Fact { name, value, .. } => {
                self.facts.insert(name.clone(), value.clone());
            }
            Event::Removed { task: _, resource } => {
                for t in &mut self.tasks {
                    t.created.retain(|c| !c.eq_ignore_ascii_case(resource));
                }
            }
            Event::AttemptStarted { task, .. }
            | Event::Observed { task, .. }
            | Event::Intent { task, .. }
            | Event::Accepted { task, .. }
            | Event::Progress { task, .. }
            | Event::Evidence { task, .. }
            | Event::Created { task, .. }
            | Event::AttemptFailed { task, .. }
            | Event::PersonNeeded { task, .. }
            | Event::Decided { task, .. }
            | Event::Settled { task, .. }
            | Event::RetryAsked { task, .. }
            | Event::Overdue { task }
            | Event::UndoStarted { task, .. }
            | Event::Undone { task } => {
                let Some(t) = self.tasks.iter_mut().find(|t| &t.address == task) else {
                    return;
                };
                let before = t.status;
                t.apply(at, &recorded.event);
                if t.status != before {
                    self.derive(plan);
                }
            }
        }
    }

    /// Tells Blocked from Ready, and who blocks. A task waits for all before it, however far: one of them may have been
    /// reopened after those in between were done.
    fn derive(&mut self, plan: &Plan) {
        let under_way = |s: TaskStatus| !s.is_settled() && !matches!(s, TaskStatus::Blocked | TaskStatus::Ready);
        let moving: HashSet<&Address> = self
            .tasks
            .iter()
            .filter(|t| under_way(t.status))
            .map(|t| &t.address)
            .collect();
        // These, and then all that wait for them.
        let spread = |from: fn(TaskStatus) -> bool| {
            let those = self.tasks.iter().filter(|t| from(t.status));
            let mut all: HashSet<Address> = those.map(|t| t.address.clone()).collect();
            loop {
                let more = plan.tasks().filter(|t| {
                    let on = !all.contains(&t.address) && !moving.contains(&t.address);
                    on && t.after.iter().any(|a| all.contains(a))
                });
                let more: Vec<Address> = more.map(|t| t.address.clone()).collect();
                if more.is_empty() {
                    return all;
                }
                all.extend(more);
            }
        };
        let open = spread(|s| !s.is_settled());
        let stuck = spread(|s| matches!(s, TaskStatus::Failed | TaskStatus::Rejected | TaskStatus::Undone));
        let derived: Vec<(TaskStatus, Vec<Address>)> = plan
            .tasks()
            .map(|t| {
                let ready = !t.after.iter().any(|a| open.contains(a));
                let by = t.after.iter().filter(|a| stuck.contains(a)).cloned().collect();
                (if ready { TaskStatus::Ready } else { TaskStatus::Blocked }, by)
            })
            .collect();
        for (t, (status, by)) in self.tasks.iter_mut().zip(derived) {
            if matches!(t.status, TaskStatus::Blocked | TaskStatus::Ready) {
                (t.status, t.blocked_by) = (status, by);
            } else {
                t.blocked_by.clear();
            }
        }
    }
}

impl TaskState {
    fn new(address: Address) -> Self {
        Self {
            address,
            status: TaskStatus::Blocked,
            blocked_by: vec![],
            overdue: false,
            attempts: 0,
            started: None,
            ended: None,
            percent: None,
            text: String::new(),
            last_sign: None,
            retry_at: None,
            failure: None,
            evidence: vec![],
            reason: None,
            decision: None,
            in_flight: None,
            created: vec![],
            row: None,
        }
    }

    fn apply(&mut self, at: Timestamp, event: &Event) {
        self.last_sign = Some(at);
        match event {
            Event::AttemptStarted { attempt, .. } => {
                self.status = TaskStatus::Running;
                self.attempts = *attempt;
                self.started.get_or_insert(at);
                self.ended = None;
                self.retry_at = None;
                self.failure = None;
                self.percent = None;
                self.text.clear();
            }
            Event::Observed { what, .. } => self.text.clone_from(what),
            Event::Intent { what, .. } => {
                self.status = TaskStatus::Running;
                self.text.clone_from(what);
                // The first one counts: whatever happened since may be ours.
                self.in_flight.get_or_insert(InFlight {
                    intent_at: at,
                    handle: None,
                });
            }
            Event::Accepted { handle, .. } => {
                self.status = TaskStatus::Waiting;
                // Without an Intent it is somebody else's operation: followed, but not ours.
                if let Some(f) = &mut self.in_flight {
                    f.handle = Some(handle.clone());
                }
            }
            Event::Progress { percent, text, .. } => {
                if self.status == TaskStatus::Running && self.in_flight.is_none() {
                    self.status = TaskStatus::Waiting;
                }
                self.percent = *percent;
                self.text.clone_from(text);
            }
            Event::Evidence { text, .. } => {
                if !self.evidence.iter().any(|e| &e.text == text) {
                    self.evidence.push(Evidence { at, text: text.clone() });
                }
            }
            Event::Created { resource, .. } => {
                if !self.created.iter().any(|c| c.eq_ignore_ascii_case(resource)) {
                    self.created.push(resource.clone());
                }
            }
            Event::AttemptFailed {
                failure,
                retry_at,
                in_a_row,
                ..
            } => {
                self.row = Some((failure.class.clone(), *in_a_row));
                let undoing = self.status == TaskStatus::Undoing && retry_at.is_some();
                self.status = match retry_at {
                    _ if undoing => TaskStatus::Undoing,
                    Some(_) => TaskStatus::Waiting,
                    None => TaskStatus::Failed,
                };
                if retry_at.is_none() {
                    self.ended = Some(at);
                }
                self.retry_at = *retry_at;
                // Only an operation that may still run is worth following again.
                if let Some(f) = &mut self.in_flight
                    && !may_still_run(&failure.class)
                {
                    f.handle = None;
                }
                self.failure = Some(failure.clone());
            }
            Event::PersonNeeded { what, .. } => {
                self.status = TaskStatus::NeedsPerson;
                self.text.clone_from(what);
            }
            Event::Decided { accepted, by, note, .. } => {
                self.decision = Some(Decision {
                    at,
                    accepted: *accepted,
                    by: by.clone(),
                    note: note.clone(),
                });
            }
            Event::Settled { outcome, .. } => {
                self.status = match outcome {
                    Settled::Done => TaskStatus::Done,
                    Settled::Adopted => TaskStatus::Adopted,
                    Settled::Skipped { .. } => TaskStatus::Skipped,
                    Settled::Rejected => TaskStatus::Rejected,
                };
                self.row = None;
                if let Settled::Skipped { reason } = outcome {
                    self.reason = Some(reason.clone());
                }
                self.started.get_or_insert(at);
                self.ended = Some(at);
                self.in_flight = None;
                self.failure = None;
                self.retry_at = None;
                self.percent = None;
            }
            Event::RetryAsked { .. } => {
                // Ready or Blocked is derived.
                self.status = TaskStatus::Blocked;
                self.row = None;
                self.ended = None;
                self.failure = None;
                self.retry_at = None;
                self.decision = None;
                self.text.clear();
            }
            Event::Overdue { .. } => self.overdue = true,
            Event::UndoStarted { .. } => {
                self.status = TaskStatus::Undoing;
                self.row = None;
                self.ended = None;
                self.failure = None;
                self.retry_at = None;
                self.text.clear();
            }
            Event::Undone { .. } => {
                self.status = TaskStatus::Undone;
                self.row = None;
                self.ended = Some(at);
                self.in_flight = None;
                self.failure = None;
                self.retry_at = None;
                self.percent = None;
            }
            // About the run or its ledger, folded in RunState::apply.
            Event::RunStarted { .. }
            | Event::RunReopened { .. }
            | Event::RunPaused { .. }
            | Event::RunContinued { .. }
            | Event::RunCancelled { .. }
            | Event::RunEnded { .. }
            | Event::Fact { .. }
            | Event::Removed { .. } => {}
        }
    }
}

/// Whether an operation may go on at the other side after an attempt failed so.
fn may_still_run(class: &FailureClass) -> bool {
    match class {
        FailureClass::Throttled { .. } | FailureClass::Transient | FailureClass::Auth => true,
        FailureClass::Conflict | FailureClass::Permanent | FailureClass::NeedsPerson => false,
    }
}
