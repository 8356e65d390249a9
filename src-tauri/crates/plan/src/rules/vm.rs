//! The rules for one machine, as data: what is judged, by which method's list, how bad it is, who cures it and how.
//!
//! A rule speaks only where the answer is known: what the second pass has not read yet is no finding, but one information
//! says that it was not read. What no inventory can tell (kernels, sectors, writes per second) is said once as
//! information where the method asks for it, or was read in the guest ([`crate::guest`]).
//! A rule that blocks one method and not the other says that the other would do.

use super::{
    Pack,
    guests::{Family, Guest, Takes},
    sizes::{self, Size},
    table::{DESIGNER, RULES, gib},
    version_at_least,
};
use crate::{
    design::ReplicationMethod::{self, InMageRcm, VMwareCbt},
    guest::{GuestFacts, Item},
    inventory::{Disk, Inventory, Vm, VmDetails},
    task::{
        Finding,
        Severity::{self, Blocking},
    },
};

/// Where a rule comes from, and of which day what was read there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub page: &'static str,
    pub date: &'static str,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The same for a matter in both methods' lists.
    pub id: &'static str,
    pub methods: &'static [ReplicationMethod],
    pub severity: Severity,
    pub title: &'static str,
    pub cause: &'static str,
    /// Who can cure it.
    pub who: &'static str,
    /// The command, or where to click.
    pub command: &'static str,
    pub source: Source,
    /// What it found, in words; none where all is well or nothing is known.
    pub judge: fn(&Case) -> Option<String>,
}

/// What is judged: a machine with what stands around it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub vm: &'a Vm,
    /// Its vCenter's version, its host, and the machines that may share its disks.
    pub inventory: &'a Inventory,
    pub method: ReplicationMethod,
    /// Size of the Azure VM, `Standard_D4s_v5`; empty while none is chosen.
    pub size: &'a str,
    pub pack: &'a Pack,
}

impl Case<'_> {
    pub(super) fn details(&self) -> Option<&VmDetails> {
        self.vm.details.as_ref()
    }

    pub(super) fn guest(&self) -> Option<&'static Guest> {
        Guest::of(self.vm)
    }

    pub(super) fn takes(&self) -> Option<Takes> {
        self.guest().map(|g| match self.method {
            InMageRcm => g.site_recovery,
            VMwareCbt => g.migrate,
        })
    }

    pub(super) fn family(&self) -> Option<Family> {
        self.guest().map(|g| g.family)
    }

    pub(super) fn size(&self) -> Option<&'static Size> {
        sizes::find(self.size)
    }

    pub(super) fn running(&self) -> bool {
        self.vm.power_state == "poweredOn"
    }

    /// The system in words.
    pub(super) fn system(&self) -> String {
        let vm = self.vm;
        let name = vm.guest_full_name.as_ref().or(vm.guest_id.as_ref());
        name.cloned().unwrap_or_default()
    }

    /// Labels of the disks that are so, `Hard disk 2, Hard disk 3`.
    pub(super) fn disks(&self, so: impl Fn(&Disk) -> bool) -> Option<String> {
        let labels: Vec<&str> = self
            .details()?
            .disks
            .iter()
            .filter(|d| so(d))
            .map(|d| d.label.as_str())
            .collect();
        (!labels.is_empty()).then(|| labels.join(", "))
    }

    /// Sizes of data disks that are so.
    pub(super) fn data_disks(&self, so: impl Fn(u64) -> bool) -> Option<String> {
        let sizes: Vec<String> = self
            .details()?
            .disks
            .iter()
            .skip(1)
            .filter(|d| so(d.capacity_bytes))
            .map(|d| format!("{} has {}", d.label, gib(d.capacity_bytes)))
            .collect();
        (!sizes.is_empty()).then(|| sizes.join(", "))
    }

    pub(super) fn os_disk_limit(&self) -> u64 {
        match (self.method, self.vm.firmware.as_deref()) {
            (VMwareCbt, _) => self.pack.agentless.os_disk,
            (_, Some("efi")) => self.pack.os_disk_efi,
            _ => self.pack.os_disk_bios,
        }
    }

    /// Addresses of the guest, without those that only reach the next machine.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        let told = self.details().into_iter().flat_map(|d| &d.addresses).map(|a| &a.ip);
        let mut all: Vec<&str> = told.chain(&self.vm.ip_address).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter(|a| !a.to_ascii_lowercase().starts_with("fe80:"))
    }

    /// What the readiness script has published under a key.
    fn readiness(&self, key: &str) -> Option<&str> {
        self.vm
            .readiness
            .as_deref()?
            .split(';')
            .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    }

    /// What is wrong with an item of readiness, as it was read in the guest.
    pub(super) fn guest_problem(&self, item: Item) -> Option<String> {
        item.problem(self.guest_facts()?)
    }

    pub(super) fn guest_facts(&self) -> Option<&GuestFacts> {
        self.vm.guest.as_ref()?.facts.as_ref()
    }

    /// The same, or else by what the script of step 4 has published.
    pub(super) fn not_ready(&self, item: Item, key: &str, want: &str) -> Option<String> {
        if self.guest_facts().is_some() {
            return self.guest_problem(item);
        }
        self.readiness(key)
            .filter(|found| *found != want)
            .map(|found| format!("The script of step 4 found {key}={found}"))
    }

    /// A version that is too old for the lists.
    pub(super) fn too_old(&self, version: Option<&str>) -> Option<String> {
        let (version, oldest) = (version.filter(|v| !v.is_empty())?, self.pack.vcenter);
        (!version_at_least(version, oldest)).then(|| format!("{version}; the oldest that is supported is {oldest}"))
    }

    /// A version that is newer than the lists. `8.0.3` is an update of 8.0, 8.1 would not be.
    pub(super) fn too_new(&self, version: Option<&str>) -> Option<String> {
        let (version, newest) = (version?, self.pack.vcenter_newest);
        let main: Vec<&str> = version.split('.').take(2).collect();
        (!version_at_least(newest, &main.join(".")))
            .then(|| format!("{version}; the lists end with {newest} and its updates"))
    }

    pub(super) fn host_version(&self) -> Option<&str> {
        let name = self.vm.host.as_deref()?;
        let host = self.inventory.hosts.iter().find(|h| h.name == name)?;
        Some(&host.version)
    }

    /// The other machines that have a disk in the same file.
    pub(super) fn sharing(&self) -> Option<String> {
        let mine: Vec<&str> = self.details()?.disks.iter().filter_map(|d| d.file.as_deref()).collect();
        let names: Vec<&str> = self
            .inventory
            .vms
            .iter()
            .filter(|other| other.moref != self.vm.moref)
            .filter(|other| {
                let disks = other.details.iter().flat_map(|d| &d.disks);
                disks.filter_map(|d| d.file.as_deref()).any(|f| mine.contains(&f))
            })
            .map(|other| other.name.as_str())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

impl Pack {
    /// Judges one machine by every rule of its method.
    pub fn judge_vm(&self, case: &Case) -> Vec<Finding> {
        let of = |method: ReplicationMethod| RULES.iter().filter(move |r| r.methods.contains(&method));
        let blocks = |id: &str, case: &Case| {
            of(case.method).any(|r| r.id == id && r.severity == Blocking && (r.judge)(case).is_some())
        };
        let name = &case.vm.name;
        let quoted = format!("'{}'", name.replace('\'', "''"));
        of(case.method)
            .filter_map(|rule| {
                let found = (rule.judge)(case)?;
                let fill = |text: &str| {
                    text.replace("{vm}", name)
                        .replace("{ps}", &quoted)
                        .replace("{found}", &found)
                };
                let other = case.method.other();
                let instead = rule.severity == Blocking && !blocks(rule.id, &Case { method: other, ..*case });
                Some(Finding {
                    rule: rule.id.into(),
                    severity: rule.severity,
                    about: name.clone(),
                    title: fill(rule.title),
                    detail: match instead {
                        true => format!("{} {} would do.", fill(rule.cause), other.service()),
                        false => fill(rule.cause),
                    },
                    who: rule.who.into(),
                    command: fill(rule.command),
                    source: format!("{} ({})", rule.source.page, rule.source.date),
                })
            })
            .collect()
    }

    /// Judges how many machines replicate at once.
    pub fn judge_wave(&self, method: ReplicationMethod, machines: usize) -> Option<Finding> {
        let (limit, of, source) = match method {
            InMageRcm => (self.machines, "for one replication appliance", self.source),
            VMwareCbt => (
                self.agentless.machines,
                "for one vCenter and appliance",
                self.agentless.source,
            ),
        };
        (machines > limit as usize).then(|| Finding {
            rule: "wave-size".into(),
            severity: Blocking,
            about: method.service().into(),
            title: format!("{machines} machines are too many at once"),
            detail: format!("{limit} are supported {of}."),
            who: DESIGNER.into(),
            command: "Make two waves of it, or set up another appliance.".into(),
            source: source.into(),
        })
    }
}
