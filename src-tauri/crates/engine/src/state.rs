//! The fold: events in, [`RunState`] out. Nothing else changes state.

use crate::event::{Event, Failure, Handle, Outcome, Recorded};
use jiff::Timestamp;
use plan::{Address, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

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
#[allow(unused_imports)]
use {Event as _E, Outcome as _O, Recorded as _R, Plan as _P};
