//! Tasks of vCenter: started by a call, looked at until they end, sometimes cancelled.

use crate::error::VsphereError;
use crate::session::{VCenter, renewing};
use crate::soap::Call;
use crate::xml::Node;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A vCenter task's reference; it survives a restart of this program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskRef(pub String);

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    Queued,
    Running,
    Success,
    Error,
}

/// Why a task failed: the fault's type and the server's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: String,
    pub message: String,
}

impl Fault {
    /// Reads a `LocalizedMethodFault`.
    pub(crate) fn read(node: &Node) -> Fault {
        Fault {
            kind: node
                .child("fault")
                .and_then(|f| f.kind.as_deref())
                .unwrap_or("SystemError")
                .to_owned(),
            message: node.text_of("localizedMessage").unwrap_or_default().to_owned(),
        }
    }
}

/// One look at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    pub state: TaskState,
    /// Percent, when the server tells.
    pub progress: Option<u8>,
    /// Whether [`VCenter::cancel_task`] can have an effect.
    pub cancelable: bool,
    /// What the task is at, in the server's words, for those that say it.
    pub description: Option<String>,
    /// Reference of what it made, for those that make something.
    pub result: Option<String>,
    /// Set when the state is `Error`.
    pub error: Option<Fault>,
}

impl VCenter {
    /// Looks at a task once. vCenter forgets tasks some minutes after their end: fault `ManagedObjectNotFound`.
    pub async fn task(&self, task: &TaskRef) -> Result<TaskInfo, VsphereError> {
        let object = renewing!(self, self.retrieve_one("Task", &task.0, TASK))?;
        let state = match object.text("info.state") {
            Some("queued") => TaskState::Queued,
            Some("running") => TaskState::Running,
            Some("success") => TaskState::Success,
            Some("error") => TaskState::Error,
            other => {
                return Err(VsphereError::Parse {
                    server: self.server().to_owned(),
                    method: "RetrievePropertiesEx".into(),
                    detail: format!("task {} has the state {other:?}", task.0),
                });
            }
        };
        let error = object.node("info.error").map(Fault::read);
        Ok(TaskInfo {
            state,
            progress: object.number("info.progress"),
            cancelable: object.flag("info.cancelable").unwrap_or_default(),
            description: object
                .node("info.description")
                .and_then(|d| d.text_of("message"))
                .map(str::to_owned),
            result: object.owned("info.result"),
            error,
        })
    }

    /// Waits until a task has ended.
    ///
    /// # Errors
    /// As [`VCenter::task`].
    pub async fn ended(&self, task: &TaskRef) -> Result<TaskInfo, VsphereError> {
        loop {
            let info = self.task(task).await?;
            if matches!(info.state, TaskState::Success | TaskState::Error) {
                return Ok(info);
            }
            self.pause(SignedDuration::from_secs(1)).await;
        }
    }

    pub(crate) async fn pause(&self, wait: SignedDuration) {
        let until = self.time().now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.time().sleep_until(until).await;
    }

    /// Asks a task to end; it then ends in the state `Error` with the fault `RequestCanceled`, some time later.
    ///
    /// # Errors
    /// Fault `NotSupported` when it can't be cancelled, `InvalidState` when it has ended.
    pub async fn cancel_task(&self, task: &TaskRef) -> Result<(), VsphereError> {
        self.change(&Call::new("CancelTask", ("Task", &task.0))).await.map(drop)
    }

    /// Makes a call that starts a task.
    pub(crate) async fn start(&self, call: Call) -> Result<TaskRef, VsphereError> {
        let response = self.change(&call).await?;
        response
            .text_of("returnval")
            .map(|t| TaskRef(t.to_owned()))
            .ok_or_else(|| VsphereError::Parse {
                server: self.server().to_owned(),
                method: call.method.into(),
                detail: "no task came back".into(),
            })
    }
}

const TASK: &[&str] = &[
    "info.state",
    "info.progress",
    "info.error",
    "info.cancelable",
    "info.description",
    "info.result",
];
