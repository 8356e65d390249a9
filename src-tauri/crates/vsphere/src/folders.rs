//! Folders for machines.

use crate::error::VsphereError;
use crate::inventory::{decoded, encoded};
use crate::session::{VCenter, renewing};
use crate::soap::Call;
use crate::tasks::TaskRef;

impl VCenter {
    /// The folder in which a datacenter keeps its machines.
    pub async fn vm_folder(&self, datacenter: &str) -> Result<String, VsphereError> {
        let object = renewing!(self, self.retrieve_one("Datacenter", datacenter, &["vmFolder"]))?;
        object
            .owned("vmFolder")
            .ok_or_else(|| self.missing("Folder", "vmFolder"))
    }

    /// The folder that is directly in another and has this name, ignoring case as vCenter does.
    pub async fn folder(&self, parent: &str, name: &str) -> Result<Option<String>, VsphereError> {
        let all = renewing!(self, self.list(&[("Folder", &["name", "parent"])]))?;
        let found = all.iter().find(|f| {
            f.text("parent") == Some(parent) && decoded(f.text("name").unwrap_or_default()).eq_ignore_ascii_case(name)
        });
        Ok(found.map(|f| f.moref.clone()))
    }

    /// The folder that a machine is in; none for one in a vApp.
    pub async fn folder_of(&self, vm: &str) -> Result<Option<String>, VsphereError> {
        let object = renewing!(self, self.retrieve_one("VirtualMachine", vm, &["parent"]))?;
        Ok(object.owned("parent"))
    }

    /// Creates a folder in another and returns its reference.
    ///
    /// # Errors
    /// Fault `DuplicateName` when something there has this name, `InvalidName` for a name that can't be.
    pub async fn create_folder(&self, parent: &str, name: &str) -> Result<String, VsphereError> {
        let call = Call::new("CreateFolder", ("Folder", parent)).arg("name", encoded(name));
        let response = self.change(&call).await?;
        response
            .text_of("returnval")
            .map(str::to_owned)
            .ok_or_else(|| self.missing("Folder", name))
    }

    /// Moves a machine into a folder of its datacenter; its files stay where they are.
    pub async fn move_vm(&self, vm: &str, folder: &str) -> Result<TaskRef, VsphereError> {
        let call = Call::new("MoveIntoFolder_Task", ("Folder", folder)).reference("list", ("VirtualMachine", vm));
        self.start(call).await
    }
}
