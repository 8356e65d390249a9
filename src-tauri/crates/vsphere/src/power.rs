//! Power, names, notes, snapshots and removal of machines. All of them become tasks of vCenter, except for the guest's shutdown.

use crate::error::VsphereError;
use crate::inventory::encoded;
use crate::session::VCenter;
use crate::soap::Call;
use crate::tasks::TaskRef;
use crate::xml::escape;

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

    /// Replaces the machine's notes.
    pub async fn annotate(&self, moref: &str, notes: &str) -> Result<TaskRef, VsphereError> {
        let spec = format!("<spec><annotation>{}</annotation></spec>", escape(notes));
        self.start(Call::new("ReconfigVM_Task", ("VirtualMachine", moref)).xml(&spec))
            .await
    }

    /// Takes a snapshot of the disks. The task's result is its reference. With `quiesce` VMware Tools bring the guest's file
    /// systems to a consistent state; without running Tools the server ignores it.
    pub async fn create_snapshot(
        &self,
        moref: &str,
        name: &str,
        description: &str,
        quiesce: bool,
    ) -> Result<TaskRef, VsphereError> {
        let call = Call::new("CreateSnapshot_Task", ("VirtualMachine", moref))
            .arg("name", encoded(name))
            .arg("description", description)
            .arg("memory", false)
            .arg("quiesce", quiesce);
        self.start(call).await
    }

    /// Removes one snapshot; what was written since goes on to its parent, and its children stay.
    pub async fn remove_snapshot(&self, snapshot: &str) -> Result<TaskRef, VsphereError> {
        let call = Call::new("RemoveSnapshot_Task", ("VirtualMachineSnapshot", snapshot)).arg("removeChildren", false);
        self.start(call).await
    }

    /// Goes back to a snapshot: what was written since is lost. Of disks alone, it leaves the machine powered off.
    pub async fn revert_snapshot(&self, snapshot: &str) -> Result<TaskRef, VsphereError> {
        self.start(Call::new("RevertToSnapshot_Task", ("VirtualMachineSnapshot", snapshot)))
            .await
    }
}
