//! What happened, as handed in by whoever ran the plan. Plain values: no journal, no engine.

use jiff::Timestamp;
use plan::{Address, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything a report is made from.
#[derive(Debug, Clone)]
pub struct Input {
    pub project_id: String,
    pub project_name: String,
    /// True when the addresses were those of the lab: the report is marked on every page.
    pub rehearsal: bool,
    pub plan: Plan,
    /// SHA-256 of the plan that was approved, as the run recorded it.
    pub plan_hash: String,
    pub run: Run,
    /// In any order; a task of the plan without an entry counts as not started.
    pub tasks: Vec<TaskFacts>,
    /// In the order in which things happened.
    pub ledger: Vec<LedgerEntry>,
    /// Values that tasks recorded; never a secret.
    pub facts: BTreeMap<String, Value>,
    pub chain: Chain,
    /// Program and version that makes this report.
    pub made_by: String,
    /// When it is made, in the run's own time.
    pub made_at: Timestamp,
}

/// One run of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportRun")]
pub struct Run {
    pub id: String,
    pub outcome: Outcome,
    /// Who approved and started it, and on which computer.
    pub by: String,
    pub host: String,
    pub version: String,
    #[ts(type = "string | null")]
    pub started: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub ended: Option<Timestamp>,
    /// Started, reopened, paused, continued, cancelled: in order.
    pub moments: Vec<Moment>,
}

/// Something that happened to the run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportMoment")]
pub struct Moment {
    #[ts(type = "string")]
    pub at: Timestamp,
    /// For example `Reopened after the program had ended`.
    pub what: String,
    pub by: String,
}

/// How the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportOutcome")]
pub enum Outcome {
    Running,
    Paused,
    Done,
    Stopped,
    Cancelled,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportStatus")]
pub enum Status {
    NotStarted,
    Blocked,
    Running,
    Waiting,
    NeedsPerson,
    Done,
    Adopted,
    Skipped,
    Failed,
    Rejected,
    Undoing,
    Undone,
}

/// What is known about one task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFacts {
    pub address: Address,
    pub status: Status,
    pub overdue: bool,
    pub attempts: u32,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub evidence: Vec<Evidence>,
    pub decision: Option<Decision>,
    /// Why it was skipped, or what it waits for.
    pub reason: Option<String>,
    /// Every failed attempt, in order.
    pub failures: Vec<Failure>,
    /// Failed or rejected tasks it waits for.
    pub blocked_by: Vec<Address>,
}

impl TaskFacts {
    /// A task nothing is known of yet.
    pub fn not_started(address: Address) -> Self {
        Self {
            address,
            status: Status::NotStarted,
            overdue: false,
            attempts: 0,
            started: None,
            ended: None,
            evidence: vec![],
            decision: None,
            reason: None,
            failures: vec![],
            blocked_by: vec![],
        }
    }
}

/// A proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportEvidence")]
pub struct Evidence {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub text: String,
}

/// What a person decided at a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportDecision")]
pub struct Decision {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub accepted: bool,
    pub by: String,
    pub note: String,
}

/// A failed attempt, in the words the person saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportFailure")]
pub struct Failure {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub attempt: u32,
    /// `throttled`, `transient`, `auth`, `conflict`, `permanent`, `needs person`.
    pub class: String,
    pub code: String,
    pub title: String,
    pub detail: String,
    pub hint: String,
    pub correlation_id: Option<String>,
}

/// Something that came into being or went away by this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportLedgerEntry")]
pub struct LedgerEntry {
    #[ts(type = "string")]
    pub at: Timestamp,
    pub task: Address,
    /// An Azure resource id, or `vcenter:…`.
    pub resource: String,
    /// False = removed.
    pub created: bool,
}

/// The journal's hash chain at the time of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportChain")]
pub struct Chain {
    #[ts(type = "number")]
    pub events: u64,
    /// Hash of the last line, lower-case hex.
    pub head: String,
    /// Whether every line's hash was recomputed and fits.
    pub valid: bool,
}
