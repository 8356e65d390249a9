//! Folders: made, renamed, removed, and machines moved into them.

use super::{
    Context, Outcome,
    machines::failed,
    objects,
    wire::{Element, Fault, Val, reference},
};
use crate::onprem::{Entity, TaskState};
use jiff::SignedDuration;

/// Lab seconds.
const MOVE: i64 = 2;

type Object = (String, String);

impl Context<'_> {
    pub(super) fn folder(&mut self, request: &Element, this: &Object) -> Outcome {
        match request.name.as_str() {
            "CreateFolder" => self.create_folder(request, this),
            "MoveIntoFolder_Task" => self.move_into(request, this),
            "Rename_Task" => {
                self.need("Folder.Rename", this)?;
                let name = self.free_child_name(request, "newName", &this.1, true)?;
                let folder = this.1.clone();
                Ok(self.folder_task(this, "Folder.rename", move |w| {
                    if let Some(e) = w.onprem.entities.iter_mut().find(|e| e.moref == folder) {
                        e.name = name;
                    }
                    TaskState::Success
                }))
            }
            _ => self.destroy_folder(this),
        }
    }

    /// What machines may be in: the folder that a datacenter has for them, and all in it.
    fn holds_machines(&self, moref: &str) -> bool {
        objects::below_datacenter(self.w, moref) == Some("vm")
    }

    fn free_child_name(&self, request: &Element, argument: &str, of: &str, beside: bool) -> Result<String, Fault> {
        let name = objects::decoded(request.text(argument).unwrap_or_default());
        if name.is_empty() || objects::encoded(&name).len() > 80 {
            return Err(
                Fault::new("InvalidName", &format!("The name '{name}' is invalid.")).with("name", Val::text(name))
            );
        }
        let parent = match beside {
            true => self
                .w
                .onprem
                .entity(of)
                .and_then(|e| e.parent.clone())
                .unwrap_or_default(),
            false => of.to_owned(),
        };
        let entities = self
            .w
            .onprem
            .entities
            .iter()
            .filter(|e| e.parent.as_ref() == Some(&parent));
        let machines = self.w.onprem.vms.iter().filter(|v| v.folder == parent);
        let names = entities
            .map(|e| (e.kind, &e.moref, &e.name))
            .chain(machines.map(|v| ("VirtualMachine", &v.moref, &v.name)));
        match names.into_iter().find(|(.., n)| n.eq_ignore_ascii_case(&name)) {
            Some((kind, moref, _)) => Err(
                Fault::new("DuplicateName", &format!("The name '{name}' already exists."))
                    .with("name", Val::text(name))
                    .with("object", reference(kind, moref)),
            ),
            None => Ok(name),
        }
    }

    fn create_folder(&mut self, request: &Element, this: &Object) -> Outcome {
        self.need("Folder.Create", this)?;
        let name = self.free_child_name(request, "name", &this.1, false)?;
        let letter = if self.holds_machines(&this.1) { 'v' } else { 'f' };
        let moref = format!("group-{letter}{}", self.w.number());
        self.w.onprem.entities.push(Entity {
            kind: "Folder",
            moref: moref.clone(),
            name,
            parent: Some(this.1.clone()),
        });
        Ok(reference("Folder", &moref).element("returnval"))
    }

    fn move_into(&mut self, request: &Element, this: &Object) -> Outcome {
        let list: Vec<Object> = request.all("list").map(|e| (e.kind.clone(), e.text.clone())).collect();
        for object in &list {
            if !self.exists(object) {
                return Err(Fault::not_found(object));
            }
            self.need("VirtualMachine.Inventory.Move", object)?;
            self.need("VirtualMachine.Inventory.Move", &self.folder_of(&object.1))?;
        }
        self.need("VirtualMachine.Inventory.Move", this)?;
        let fits = self.holds_machines(&this.1) && list.iter().all(|o| o.0 == "VirtualMachine");
        let (folder, user) = (this.1.clone(), self.user.clone());
        Ok(self.folder_task(this, "Folder.moveIntoFolder", move |w| {
            if !fits {
                return failed("NotSupported", "The operation is not supported on the object.");
            }
            for (_, moref) in list {
                let name = w.onprem.vm(&moref).map(|v| v.name.clone()).unwrap_or_default();
                let taken = w
                    .onprem
                    .vms
                    .iter()
                    .any(|v| v.folder == folder && v.moref != moref && v.name == name);
                if taken {
                    return failed("DuplicateName", &format!("The name '{name}' already exists."));
                }
                if let Some(v) = w.onprem.vm_mut(&moref) {
                    v.folder.clone_from(&folder);
                }
                w.vm_event("TaskEvent", &moref, &user, "Task: Move entities");
            }
            TaskState::Success
        }))
    }

    /// Removes the folder with every machine in it, as vCenter does.
    fn destroy_folder(&mut self, this: &Object) -> Outcome {
        let parent = self
            .w
            .onprem
            .entity(&this.1)
            .and_then(|e| e.parent.clone())
            .unwrap_or_default();
        self.need("Folder.Delete", this)?;
        self.need("Folder.Delete", &("Folder".to_owned(), parent.clone()))?;
        let own = self.w.onprem.entity(&parent).is_some_and(|p| p.kind == "Datacenter");
        let folder = this.1.clone();
        Ok(self.folder_task(this, "Folder.destroy", move |w| {
            let inside = |w: &crate::world::World| w.onprem.entities.iter().any(|e| e.parent.as_ref() == Some(&folder));
            if own || inside(w) {
                return failed("NotSupported", "The operation is not supported on the object.");
            }
            let on = w
                .onprem
                .vms
                .iter()
                .any(|v| v.folder == folder && v.power == crate::onprem::Power::On);
            if on {
                return failed("InvalidPowerState", "A machine in the folder is powered on.");
            }
            w.onprem.vms.retain(|v| v.folder != folder);
            w.onprem.entities.retain(|e| e.moref != folder);
            TaskState::Success
        }))
    }

    fn folder_task(
        &mut self,
        this: &Object,
        description: &str,
        effect: impl FnOnce(&mut crate::world::World) -> TaskState + Send + 'static,
    ) -> String {
        let wait: SignedDuration = self.w.about(MOVE, &format!("{description} {}", this.1));
        let user = self.user.clone();
        let task = self
            .w
            .vcenter_task(description, ("Folder", &this.1), &user, wait, effect);
        reference("Task", &task).element("returnval")
    }
}
