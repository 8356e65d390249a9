//! Power, names and removal of machines, and the tasks that vCenter makes of them.

use crate::error::VsphereError;
use crate::inventory::encoded;
use crate::session::{VCenter, renewing};
use crate::soap::Call;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: String,
    pub message: String,
}

/// One look at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    pub state: TaskState,
    /// Percent, when the server tells.
    pub progress: Option<u8>,
    /// Set when the state is `Error`.
    pub error: Option<Fault>,
}

impl VCenter {
    /// Asks the guest's operating system to shut down; returns when it has been asked, not when it is off.
    ///
    /// # Errors
    /// Fault `ToolsUnavailable` without running VMware Tools; `InvalidPowerState` when the machine is not on.
    pub async fn shutdown_guest(&self, moref: &str) -> Result<(), VsphereError> {
        self.change(&Call::new("ShutdownGuest", ("VirtualMachine", moref)))
            .await
            .map(drop)
    }

    /// Switches the machine off, like pulling its plug.
    pub async fn power_off(&self, moref: &str) -> Result<TaskRef, VsphereError> {
        self.start(Call::new("PowerOffVM_Task", ("VirtualMachine", moref)))
            .await
    }

    /// Switches the machine on.
    pub async fn power_on(&self, moref: &str) -> Result<TaskRef, VsphereError> {
        self.start(Call::new("PowerOnVM_Task", ("VirtualMachine", moref))).await
    }

    /// Gives the machine another name in the inventory; its files keep theirs.
    pub async fn rename(&self, moref: &str, to: &str) -> Result<TaskRef, VsphereError> {
        self.start(Call::new("Rename_Task", ("VirtualMachine", moref)).arg("newName", encoded(to)))
            .await
    }

    /// Removes the machine with its disks. There is no way back.
    pub async fn destroy(&self, moref: &str) -> Result<TaskRef, VsphereError> {
        self.start(Call::new("Destroy_Task", ("VirtualMachine", moref))).await
    }

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
        let error = object.node("info.error").map(|e| Fault {
            kind: e
                .child("fault")
                .and_then(|f| f.kind.clone())
                .unwrap_or_else(|| "SystemError".into()),
            message: e.text_of("localizedMessage").unwrap_or_default().to_owned(),
        });
        Ok(TaskInfo {
            state,
            progress: object.number("info.progress"),
            error,
        })
    }

    async fn start(&self, call: Call) -> Result<TaskRef, VsphereError> {
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

const TASK: &[&str] = &["info.state", "info.progress", "info.error"];
