//! What happened. Commands (what is asked) are other types, in [`crate::scheduler`].

use jiff::Timestamp;
use plan::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Recorded {
    /// 1, 2, 3… over the whole project file.
    #[ts(type = "number")]
    pub seq: u64,
    #[ts(type = "string")]
    pub at: Timestamp,
    /// Id of the run.
    pub run: String,
    pub event: Event,
    /// SHA-256 of the previous line's hash and this line's content, lower-case hex.
    pub hash: String,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Event {
    RunStarted {
        plan_hash: String,
        by: String,
        host: String,
        rehearsal: bool,
        version: String,
    },
    /// A process took the run up again after the last one ended.
    RunReopened {
        by: String,
        host: String,
        version: String,
    },
    RunPaused {
        by: String,
    },
    RunContinued {
        by: String,
    },
    RunCancelled {
        by: String,
    },
    RunEnded {
        outcome: Outcome,
    },

    AttemptStarted {
        task: Address,
        attempt: u32,
    },
    /// What a look at the real world said before anything was done.
    Observed {
        task: Address,
        what: String,
    },
    /// A request that changes something is about to leave. On disk before it leaves.
    Intent {
        task: Address,
        attempt: u32,
        what: String,
    },
    /// The other side accepted it; the handle lets a later process follow it.
    Accepted {
        task: Address,
        handle: Handle,
    },
    /// Sign of life. May be lost in a crash.
    Progress {
        task: Address,
        percent: Option<f64>,
        text: String,
    },
    /// A proof worth keeping in the report.
    Evidence {
        task: Address,
        text: String,
    },
    /// A value for later tasks; never a secret.
    Fact {
        task: Address,
        name: String,
        #[ts(type = "unknown")]
        value: Value,
    },
    /// Something was created (`resource id` or `vcenter:…`) and must be accounted for at the end.
    Created {
        task: Address,
        resource: String,
    },
    Removed {
        task: Address,
        resource: String,
    },
    AttemptFailed {
        task: Address,
        attempt: u32,
        failure: Failure,
        /// When it is tried again; none = not by itself.
        #[ts(type = "string | null")]
        retry_at: Option<Timestamp>,
        /// How many failures of this class there were in a row, this one included; it decides how often it is tried
        /// again, also in a later process.
        #[serde(default = "first")]
        in_a_row: u32,
    },
    /// A person must do or decide something.
    PersonNeeded {
        task: Address,
        what: String,
    },
    Decided {
        task: Address,
        accepted: bool,
        by: String,
        note: String,
    },
    Settled {
        task: Address,
        outcome: Settled,
    },
    /// A person asked to try a failed task again.
    RetryAsked {
        task: Address,
        by: String,
    },
    /// Taking longer than usual (P95 passed).
    Overdue {
        task: Address,
    },
    UndoStarted {
        task: Address,
        by: String,
    },
    Undone {
        task: Address,
    },
}

/// Journals of earlier versions don't tell.
fn first() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum Outcome {
    Done,
    /// Some task failed or a gate was rejected, and nothing else can go on.
    Stopped,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "as", rename_all = "camelCase")]
#[ts(export)]
pub enum Settled {
    Done,
    /// It was there already, as wanted.
    Adopted,
    Skipped {
        reason: String,
    },
    /// A gate was rejected.
    Rejected,
}

/// What the other side gave us to follow an operation: a poll URL, a vCenter task, a job name. Never a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[ts(export)]
pub struct Handle(#[ts(type = "unknown")] pub Value);

/// Why an attempt failed, in words for people and a class for the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Failure {
    pub class: FailureClass,
    /// The other side's error code, or ours.
    pub code: String,
    /// What happened, to what.
    pub title: String,
    /// Why, as far as known; the other side's message.
    pub detail: String,
    /// Who can fix it and how: the exact command or click.
    pub hint: String,
    /// To quote to support.
    pub correlation_id: Option<String>,
    /// What an earlier task made and is lost, as the ledger names it: trying again begins at the task that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub lost: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum FailureClass {
    /// Try again after so many seconds.
    Throttled {
        #[ts(type = "number")]
        after_secs: u64,
    },
    Transient,
    Auth,
    Conflict,
    Permanent,
    NeedsPerson,
}

impl Failure {
    /// Makes a failure that retrying can't cure.
    pub fn permanent(code: &str, title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(FailureClass::Permanent, code, title, detail, hint)
    }

    /// Makes a failure of a given class.
    pub fn of(
        class: FailureClass,
        code: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            class,
            code: code.into(),
            title: title.into(),
            detail: detail.into(),
            hint: hint.into(),
            correlation_id: None,
            lost: None,
        }
    }

    /// Says that something an earlier task made is lost, and has to be made again first.
    #[must_use]
    pub fn having_lost(mut self, resource: impl Into<String>) -> Self {
        self.lost = Some(resource.into());
        self
    }
}
