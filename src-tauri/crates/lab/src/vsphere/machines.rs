//! Power, names, notes, snapshots and removal of machines. Refusals come where the real server has them: a missing right and a
//! call on the guest fail at once, everything else becomes a task that fails.

use super::{
    Context, Outcome, objects,
    wire::{Element, Fault, Val, reference},
};
use crate::{
    onprem::{LabSnapshot, LabVm, Power, TaskState},
    world::World,
};
use jiff::SignedDuration;

/// How long the guest's operating system takes to shut down, lab seconds.
const SHUTDOWN: i64 = 90;
/// Lab seconds for a snapshot, and for one with memory.
const SNAPSHOT: i64 = 8;
const SNAPSHOT_MEMORY: i64 = 90;

/// Methods of a machine.
pub(super) const METHODS: &[&str] = &[
    "ShutdownGuest",
    "PowerOffVM_Task",
    "PowerOnVM_Task",
    "Rename_Task",
    "Destroy_Task",
    "ReconfigVM_Task",
    "CreateSnapshot_Task",
    "RemoveAllSnapshots_Task",
];

impl Context<'_> {
    pub(super) fn machine(&mut self, request: &Element, moref: &str) -> Outcome {
        let vm = ("VirtualMachine".to_owned(), moref.to_owned());
        let need = |privilege| self.need(privilege, &vm);
        match request.name.as_str() {
            "ShutdownGuest" => {
                need("VirtualMachine.Interact.PowerOff")?;
                self.shutdown_guest(moref)
            }
            "PowerOffVM_Task" => {
                need("VirtualMachine.Interact.PowerOff")?;
                Ok(self.switch(moref, Power::Off, "VirtualMachine.powerOff", 3))
            }
            "PowerOnVM_Task" => {
                need("VirtualMachine.Interact.PowerOn")?;
                Ok(self.switch(moref, Power::On, "VirtualMachine.powerOn", 5))
            }
            "Rename_Task" => {
                need("VirtualMachine.Config.Rename")?;
                self.rename(request, moref)
            }
            "Destroy_Task" => {
                need("VirtualMachine.Inventory.Delete")?;
                self.need("VirtualMachine.Inventory.Delete", &self.folder_of(moref))?;
                Ok(self.destroy(moref))
            }
            "CreateSnapshot_Task" => {
                need("VirtualMachine.State.CreateSnapshot")?;
                self.create_snapshot(request, moref)
            }
            "RemoveAllSnapshots_Task" => {
                need("VirtualMachine.State.RemoveSnapshot")?;
                let vm = moref.to_owned();
                Ok(
                    self.start(moref, "VirtualMachine.removeAllSnapshots", SNAPSHOT, move |w| {
                        if let Some(v) = w.onprem.vm_mut(&vm) {
                            (v.snapshots, v.current_snapshot) = (vec![], None);
                        }
                        TaskState::Success
                    }),
                )
            }
            _ => self.reconfigure(request, moref),
        }
    }

    pub(super) fn folder_of(&self, moref: &str) -> (String, String) {
        let folder = self.w.onprem.vm(moref).map(|v| v.folder.clone());
        ("Folder".to_owned(), folder.unwrap_or_default())
    }

    fn start(
        &mut self,
        moref: &str,
        description: &str,
        seconds: i64,
        effect: impl FnOnce(&mut World) -> TaskState + Send + 'static,
    ) -> String {
        let wait = self.w.about(seconds, &format!("{description} {moref}"));
        let user = self.user.clone();
        let busy = self
            .w
            .onprem
            .tasks
            .iter()
            .any(|t| t.entity.1 == moref && t.state == TaskState::Running)
            || self.w.onprem.leases.iter().any(|l| l.vm == moref && l.is_held());
        let gone = moref.to_owned();
        let entity = ("VirtualMachine", moref);
        let task = match busy {
            true => self
                .w
                .vcenter_task(description, entity, &user, SignedDuration::ZERO, |_| {
                    failed("TaskInProgress", "Another task is already in progress.")
                }),
            false => self
                .w
                .vcenter_task(description, entity, &user, wait, move |w| match w.onprem.vm(&gone) {
                    Some(_) => effect(w),
                    None => failed(
                        "ManagedObjectNotFound",
                        "The object has already been deleted or has not been completely created.",
                    ),
                }),
        };
        reference("Task", &task).element("returnval")
    }

    fn shutdown_guest(&mut self, moref: &str) -> Outcome {
        let vm = self
            .w
            .onprem
            .vm(moref)
            .ok_or_else(|| Fault::not_found(&("VirtualMachine".into(), moref.into())))?;
        if vm.power == Power::Off {
            return Err(Fault::new("InvalidPowerState", POWER_WORDS)
                .with("requestedState", Val::of("VirtualMachinePowerState", Power::On.vim()))
                .with("existingState", Val::of("VirtualMachinePowerState", Power::Off.vim())));
        }
        if !vm.tools_running {
            let words = "Cannot complete operation because VMware Tools is not running in this virtual machine.";
            return Err(Fault::new("ToolsUnavailable", words));
        }
        self.w
            .vm_event("VmGuestShutdownEvent", moref, &self.user, "Guest OS shut down for {}");
        let wait: SignedDuration = self.w.about(SHUTDOWN, &format!("shutdown {moref}"));
        let moref = moref.to_owned();
        self.w.after(wait, move |w| {
            w.set_power(&moref, Power::Off);
        });
        Ok(String::new())
    }

    fn switch(&mut self, moref: &str, to: Power, description: &str, seconds: i64) -> String {
        let (vm, user) = (moref.to_owned(), self.user.clone());
        self.start(moref, description, seconds, move |w| {
            if w.set_power_by(&vm, to, &user) {
                TaskState::Success
            } else {
                failed("InvalidPowerState", POWER_WORDS)
            }
        })
    }

    fn rename(&mut self, request: &Element, moref: &str) -> Outcome {
        let name = objects::decoded(request.text("newName").unwrap_or_default());
        // The folder's limit counts the encoded name.
        if name.is_empty() || objects::encoded(&name).len() > 80 {
            return Err(
                Fault::new("InvalidName", &format!("The name '{name}' is invalid.")).with("name", Val::text(name))
            );
        }
        let (vm, user) = (moref.to_owned(), self.user.clone());
        Ok(self.start(moref, "VirtualMachine.rename", 2, move |w| {
            let taken = |v: &LabVm| v.name.eq_ignore_ascii_case(&name) && v.moref != vm;
            if w.onprem.vms.iter().any(taken) {
                return failed("DuplicateName", &format!("The name '{name}' already exists."));
            }
            let now = w.now();
            if let Some(v) = w.onprem.vm_mut(&vm) {
                let line = format!("{} renamed to {name}", v.name);
                w.vm_event("VmRenamedEvent", &vm, &user, &format!("Renamed {{}} to {name}"));
                if let Some(v) = w.onprem.vm_mut(&vm) {
                    (v.name, v.changed) = (name, now);
                }
                w.onprem.log.push((now, line));
            }
            TaskState::Success
        }))
    }

    fn destroy(&mut self, moref: &str) -> String {
        let (vm, user) = (moref.to_owned(), self.user.clone());
        self.start(moref, "VirtualMachine.destroy", 8, move |w| {
            if w.onprem.vm(&vm).is_some_and(|v| v.power == Power::On) {
                return failed("InvalidPowerState", POWER_WORDS);
            }
            let now = w.now();
            let name = w.onprem.vm(&vm).map(|v| v.name.clone()).unwrap_or_default();
            w.vm_event("VmRemovedEvent", &vm, &user, "Removed {}");
            w.onprem.vms.retain(|v| v.moref != vm);
            w.onprem.log.push((now, format!("{name} destroyed")));
            TaskState::Success
        })
    }

    /// Notes and `extraConfig` only; an empty value removes the key.
    fn reconfigure(&mut self, request: &Element, moref: &str) -> Outcome {
        let spec = request.child("spec").ok_or_else(|| Fault::argument("spec"))?;
        let pairs: Vec<(String, String)> = spec
            .all("extraConfig")
            .map(|e| {
                (
                    e.text("key").unwrap_or_default().to_owned(),
                    e.text("value").unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let annotation = spec.text("annotation").map(str::to_owned);
        let object = ("VirtualMachine".to_owned(), moref.to_owned());
        if annotation.is_some() {
            self.need("VirtualMachine.Config.Annotation", &object)?;
        }
        if !pairs.is_empty() {
            self.need("VirtualMachine.Config.AdvancedConfig", &object)?;
        }
        let (vm, user) = (moref.to_owned(), self.user.clone());
        Ok(self.start(moref, "VirtualMachine.reconfigure", 2, move |w| {
            let now = w.now();
            if let Some(v) = w.onprem.vm_mut(&vm) {
                for (key, value) in pairs {
                    match value.is_empty() {
                        true => v.extra_config.remove(&key),
                        false => v.extra_config.insert(key, value),
                    };
                }
                v.annotation = annotation.unwrap_or_else(|| std::mem::take(&mut v.annotation));
                v.changed = now;
            }
            w.vm_event("VmReconfiguredEvent", &vm, &user, "Reconfigured {}");
            TaskState::Success
        }))
    }

    fn create_snapshot(&mut self, request: &Element, moref: &str) -> Outcome {
        let name = objects::decoded(request.text("name").unwrap_or_default());
        if name.is_empty() || name.len() > 80 {
            return Err(
                Fault::new("InvalidName", &format!("The name '{name}' is invalid.")).with("name", Val::text(name))
            );
        }
        let description = request.text("description").unwrap_or_default().to_owned();
        let (memory, quiesce) = (request.flag("memory"), request.flag("quiesce"));
        let snapshot = format!("snapshot-{}", self.w.number());
        let (vm, made) = (moref.to_owned(), snapshot.clone());
        let seconds = if memory { SNAPSHOT_MEMORY } else { SNAPSHOT };
        let started = self.start(moref, "VirtualMachine.createSnapshot", seconds, move |w| {
            let now = w.now();
            if let Some(v) = w.onprem.vm_mut(&vm) {
                v.snapshots.push(LabSnapshot {
                    moref: made.clone(),
                    name,
                    description,
                    created: now,
                    parent: v.current_snapshot.replace(made),
                    quiesced: quiesce && v.tools_running,
                    power: if memory { v.power } else { Power::Off },
                    annotation: v.annotation.clone(),
                    extra_config: v.extra_config.clone(),
                });
            }
            TaskState::Success
        });
        // Its memory can take long to write.
        if let Some(task) = self.w.onprem.tasks.last_mut() {
            task.cancelable = true;
            task.result = Some(("VirtualMachineSnapshot", snapshot));
        }
        Ok(started)
    }

    pub(super) fn snapshot(&mut self, request: &Element, moref: &str) -> Outcome {
        let object = ("VirtualMachineSnapshot".to_owned(), moref.to_owned());
        let Some(vm) = self.w.onprem.snapshot(moref).map(|(v, _)| v.moref.clone()) else {
            return Err(Fault::not_found(&object));
        };
        let (of, snapshot, user) = (vm.clone(), moref.to_owned(), self.user.clone());
        match request.name.as_str() {
            "RemoveSnapshot_Task" => {
                self.need("VirtualMachine.State.RemoveSnapshot", &object)?;
                let whole = request.flag("removeChildren");
                Ok(self.start(&vm, "VirtualMachine.removeSnapshot", SNAPSHOT, move |w| {
                    if let Some(v) = w.onprem.vm_mut(&of) {
                        remove_snapshot(v, &snapshot, whole);
                    }
                    TaskState::Success
                }))
            }
            _ => {
                self.need("VirtualMachine.State.RevertToSnapshot", &object)?;
                Ok(self.start(&vm, "VirtualMachine.revertToSnapshot", SNAPSHOT, move |w| {
                    let Some(s) = w.onprem.snapshot(&snapshot).map(|(_, s)| s.clone()) else {
                        return failed("ManagedObjectNotFound", "The snapshot has already been deleted.");
                    };
                    w.set_power_by(&of, s.power, &user);
                    if let Some(v) = w.onprem.vm_mut(&of) {
                        v.current_snapshot = Some(s.moref);
                        (v.annotation, v.extra_config) = (s.annotation, s.extra_config);
                    }
                    TaskState::Success
                }))
            }
        }
    }

    /// A task is cancelled by who has started it, or who may cancel everybody's.
    pub(super) fn cancel_task(&mut self, moref: &str) -> Outcome {
        let object = ("Task".to_owned(), moref.to_owned());
        let found = self
            .w
            .onprem
            .task_mut(moref)
            .map(|t| (t.user.clone(), t.cancelable, t.cancelled, t.state.clone()));
        let (user, cancelable, cancelled, state) = found.ok_or_else(|| Fault::not_found(&object))?;
        if user != self.user {
            self.need("Global.CancelTask", &object)?;
        }
        if cancelled || state != TaskState::Running {
            return Err(Fault::new(
                "InvalidState",
                "The operation is not allowed in the current state.",
            ));
        }
        if !cancelable {
            return Err(Fault::new(
                "NotSupported",
                "The operation is not supported on the object.",
            ));
        }
        if let Some(t) = self.w.onprem.task_mut(moref) {
            t.cancelled = true;
        }
        let task = moref.to_owned();
        self.w.after(SignedDuration::from_secs(2), move |w| {
            if w.onprem.task_mut(&task).is_some_and(|t| t.state == TaskState::Running) {
                w.end_task(&task, failed("RequestCanceled", "The task was canceled by a user."));
            }
        });
        Ok(String::new())
    }
}

/// Takes a snapshot out of the tree; its children go to its parent, or with it.
fn remove_snapshot(v: &mut LabVm, snapshot: &str, whole: bool) {
    let Some(parent) = v.snapshot(snapshot).map(|s| s.parent.clone()) else {
        return;
    };
    let mut gone = vec![snapshot.to_owned()];
    if whole {
        // A child is younger than its parent.
        for s in &v.snapshots {
            if s.parent.as_ref().is_some_and(|p| gone.contains(p)) {
                gone.push(s.moref.clone());
            }
        }
    }
    v.snapshots.retain(|s| !gone.contains(&s.moref));
    let lost = |at: &Option<String>| at.as_ref().is_some_and(|p| gone.contains(p));
    for s in &mut v.snapshots {
        if lost(&s.parent) {
            s.parent.clone_from(&parent);
        }
    }
    if lost(&v.current_snapshot) {
        v.current_snapshot = parent;
    }
}

const POWER_WORDS: &str = "The attempted operation cannot be performed in the current state.";

pub(super) fn failed(fault: &str, message: &str) -> TaskState {
    TaskState::Error {
        fault: fault.into(),
        message: message.into(),
    }
}
