//! Power, names, settings and removal of machines. Refusals come where the real server has them: a call on the guest fails at
//! once, everything else becomes a task that fails.

use super::{
    Context, Outcome, objects,
    wire::{Element, Fault, Val, reference},
};
use crate::{
    onprem::{Power, TaskState},
    world::World,
};
use jiff::SignedDuration;

/// How long the guest's operating system takes to shut down, lab seconds.
const SHUTDOWN: i64 = 90;

impl Context<'_> {
    pub(super) fn machine(&mut self, request: &Element, moref: &str) -> Outcome {
        match request.name.as_str() {
            "ShutdownGuest" => self.shutdown_guest(moref),
            "PowerOffVM_Task" => Ok(self.switch(moref, Power::Off, "VirtualMachine.powerOff", 3)),
            "PowerOnVM_Task" => Ok(self.switch(moref, Power::On, "VirtualMachine.powerOn", 5)),
            "Rename_Task" => self.rename(request, moref),
            "Destroy_Task" => Ok(self.destroy(moref)),
            _ => self.reconfigure(request, moref),
        }
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
        let task = self.w.vcenter_task(description, moref, &user, wait, effect);
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
        let wait: SignedDuration = self.w.about(SHUTDOWN, &format!("shutdown {moref}"));
        let moref = moref.to_owned();
        self.w.after(wait, move |w| {
            w.set_power(&moref, Power::Off);
        });
        Ok(String::new())
    }

    fn switch(&mut self, moref: &str, to: Power, description: &str, seconds: i64) -> String {
        let vm = moref.to_owned();
        self.start(moref, description, seconds, move |w| {
            if w.set_power(&vm, to) {
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
            return Err(Fault::argument("newName"));
        }
        let vm = moref.to_owned();
        Ok(self.start(moref, "VirtualMachine.rename", 2, move |w| {
            if w.onprem
                .vms
                .iter()
                .any(|v| v.name.eq_ignore_ascii_case(&name) && v.moref != vm)
            {
                return failed("DuplicateName", &format!("The name '{name}' already exists."));
            }
            let now = w.now();
            match w.onprem.vm_mut(&vm) {
                Some(v) => {
                    let line = format!("{} renamed to {name}", v.name);
                    (v.name, v.changed) = (name, now);
                    w.onprem.log.push((now, line));
                    TaskState::Success
                }
                None => failed("ManagedObjectNotFound", "The object has already been deleted."),
            }
        }))
    }

    fn destroy(&mut self, moref: &str) -> String {
        let vm = moref.to_owned();
        self.start(moref, "VirtualMachine.destroy", 8, move |w| {
            if w.onprem.vm(&vm).is_some_and(|v| v.power == Power::On) {
                return failed("InvalidPowerState", POWER_WORDS);
            }
            let now = w.now();
            let name = w.onprem.vm(&vm).map(|v| v.name.clone()).unwrap_or_default();
            w.onprem.vms.retain(|v| v.moref != vm);
            w.onprem.log.push((now, format!("{name} destroyed")));
            TaskState::Success
        })
    }

    /// `extraConfig` only; an empty value removes the key.
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
        let vm = moref.to_owned();
        Ok(self.start(moref, "VirtualMachine.reconfigure", 2, move |w| {
            let now = w.now();
            let Some(v) = w.onprem.vm_mut(&vm) else {
                return failed("ManagedObjectNotFound", "The object has already been deleted.");
            };
            for (key, value) in pairs {
                match value.is_empty() {
                    true => v.extra_config.remove(&key),
                    false => v.extra_config.insert(key, value),
                };
            }
            v.changed = now;
            TaskState::Success
        }))
    }
}

const POWER_WORDS: &str = "The attempted operation cannot be performed in the current state.";

fn failed(fault: &str, message: &str) -> TaskState {
    TaskState::Error {
        fault: fault.into(),
        message: message.into(),
    }
}
