//! Readiness inside a machine: what was read there, what is wrong with it, and how it is put right and back again.
//!
//! A script reads the guest ([`script`]); its lines are read by [`read`], which trusts nothing; [`Item`]s are what people see
//! of it, one row each. What a script can change is a list of [`Change`]s computed from what was read *before*: applied it is
//! the fix, reverted it is the way back. What no script should do (updates, restarts, decryption, converting a disk) says who
//! does it and how.
//!
//! Sources: Microsoft's "Prepare a Windows VHD to upload to Azure" (2022-08-04), "Prepare on-premises VMware servers for
//! disaster recovery" (2019-05-30), both matrices. No Windows was at hand: that the scripts read what they should on each
//! version is unverified; their syntax is checked by a PowerShell grammar, the one for Linux is run by the tests.

mod fix;
mod output;

pub use fix::{ByPerson, Change, by_person, changes, fix, undo};
pub use output::{ReadError, read};

use crate::{
    inventory::Vm,
    rules::guests::{Family, Guest},
    task::Script,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Readiness of one machine, as the project keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct GuestState {
    /// None while only a change is on record.
    pub facts: Option<GuestFacts>,
    #[ts(type = "string | null")]
    pub read_at: Option<Timestamp>,
    /// A person has run the script and pasted its output.
    pub pasted: bool,
    /// What Rehost has changed and not taken back, oldest first.
    pub changes: Vec<GuestChange>,
}

/// A change on record, written down before it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct GuestChange {
    pub item: Item,
    #[ts(type = "string")]
    pub at: Timestamp,
    /// As it was before: the way back leads there.
    pub before: GuestFacts,
}

impl GuestState {
    /// The newest change of an item.
    pub fn last(&self, item: Item) -> Option<&GuestChange> {
        self.changes.iter().rev().find(|c| c.item == item)
    }

    /// Takes the newest change of an item off the record.
    pub fn forget(&mut self, item: Item) {
        if let Some(at) = self.changes.iter().rposition(|c| c.item == item) {
            self.changes.remove(at);
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "GuestSystem")]
pub enum System {
    #[default]
    Windows,
    Linux,
}

impl System {
    /// The system of a machine by what was read in it, or as vCenter says it; none for other systems.
    pub fn of(vm: &Vm) -> Option<System> {
        let read = vm.guest.as_ref().and_then(|g| g.facts.as_ref()).map(|f| f.system);
        read.or_else(|| match Guest::of(vm)?.family {
            Family::Windows => Some(System::Windows),
            Family::Linux => Some(System::Linux),
            Family::Other => None,
        })
    }

    /// Its items in the order people read them.
    pub fn items(self) -> &'static [Item] {
        use Item::*;
        match self {
            System::Windows => &[
                Rdp,
                Firewall,
                San,
                Updates,
                Reboot,
                Bitlocker,
                DynamicDisk,
                Services,
                Space,
            ],
            System::Linux => &[Ssh, SshFirewall, Drivers, Space],
        }
    }
}

/// One row of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "GuestItem")]
pub enum Item {
    Rdp,
    Firewall,
    San,
    Updates,
    Reboot,
    Bitlocker,
    DynamicDisk,
    Services,
    Space,
    Ssh,
    SshFirewall,
    Drivers,
}

/// What was read in a guest. What the script could not tell is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct GuestFacts {
    pub system: System,
    /// `10.0.14393.0`, `ubuntu 22.04`.
    pub version: String,
    /// Linux: `uname -r`.
    pub kernel: String,
    /// The script ran with an administrator's rights.
    pub admin: Option<bool>,
    pub rdp: Option<Rdp>,
    pub firewall: Vec<FirewallProfile>,
    /// Rules of Remote Desktop that let in.
    pub rules: Vec<FirewallRule>,
    pub san: Option<SanPolicy>,
    pub updates: Option<u32>,
    /// Why the system waits for a restart; empty: it does not.
    pub reboot: Option<Vec<String>>,
    pub bitlocker: Option<Vec<EncryptedVolume>>,
    /// Numbers of the disks that it boots from, and of the dynamic ones.
    pub boot_disks: Vec<u32>,
    pub dynamic_disks: Option<Vec<u32>>,
    pub services: Vec<Service>,
    pub space: Option<Space>,
    pub ssh: Option<Ssh>,
    /// Linux: which firewall, and whether it lets SSH in.
    pub ssh_firewall: Option<SshFirewall>,
    pub drivers: Vec<Driver>,
    /// The list of what the boot image holds could be read.
    pub image_read: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestRdp")]
pub struct Rdp {
    /// `fDenyTSConnections`
    pub denied: bool,
    /// The same as a group policy; none = there is none.
    pub policy: Option<bool>,
    pub port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestFirewallProfile")]
pub struct FirewallProfile {
    /// `domain`, `private` or `public`.
    pub name: String,
    pub on: bool,
    /// Nothing may come in, whatever the rules say.
    pub closed: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestFirewallRule")]
pub struct FirewallRule {
    /// In the language of the guest.
    pub name: String,
    pub enabled: bool,
    /// domain 1, private 2, public 4.
    pub profiles: u8,
}

/// What Windows does with disks that are new to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[ts(export)]
pub enum SanPolicy {
    OnlineAll,
    OfflineShared,
    OfflineAll,
    OfflineInternal,
}

impl SanPolicy {
    pub(crate) const ALL: [SanPolicy; 4] = [
        SanPolicy::OnlineAll,
        SanPolicy::OfflineShared,
        SanPolicy::OfflineAll,
        SanPolicy::OfflineInternal,
    ];

    /// As Windows names it.
    pub fn name(self) -> &'static str {
        match self {
            SanPolicy::OnlineAll => "OnlineAll",
            SanPolicy::OfflineShared => "OfflineShared",
            SanPolicy::OfflineAll => "OfflineAll",
            SanPolicy::OfflineInternal => "OfflineInternal",
        }
    }
}

/// A volume that BitLocker can encrypt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestEncryptedVolume")]
pub struct EncryptedVolume {
    /// `C:`
    pub drive: String,
    /// `ConversionStatus`: 0 decrypted, 1 encrypted, 2 being encrypted, 3 being decrypted, 4 and 5 paused (unverified).
    pub state: u8,
    pub percent: u8,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestService")]
pub struct Service {
    pub name: String,
    /// `Start`: 2 automatically, 3 on demand, 4 never.
    pub start: u8,
}

/// Free bytes of the system's volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestSpace")]
pub struct Space {
    /// `C:` or `/`.
    pub path: String,
    #[ts(type = "number")]
    pub free_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestSsh")]
pub struct Ssh {
    /// `ssh` or `sshd`; none where systemd knows neither.
    pub unit: Option<String>,
    pub running: bool,
    /// None where it can't be told.
    pub at_boot: Option<bool>,
    pub port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestSshFirewall")]
pub struct SshFirewall {
    /// `none`, `ufw`, `firewalld` or `other`.
    pub kind: String,
    pub open: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export, rename = "GuestDriver")]
pub struct Driver {
    pub name: String,
    /// `builtin`, `image` (in the boot image), `module` (on disk only) or `missing`.
    pub state: String,
}

/// The script that reads a system.
pub fn script(system: System) -> Script {
    let (language, text) = match system {
        System::Windows => ("powershell", include_str!("windows.ps1")),
        System::Linux => ("sh", include_str!("linux.sh")),
    };
    Script {
        language: language.into(),
        run_on: "the machine itself".into(),
        text: text.into(),
    }
}

/// The port that Azure's rules and people expect.
pub(crate) const RDP_PORT: u16 = 3389;
/// Services and how they start at least (2 automatically, 3 on demand), by "Prepare a Windows VHD".
const SERVICES: &[(&str, u8)] = &[
    ("BFE", 2),
    ("Dhcp", 2),
    ("Dnscache", 2),
    ("IKEEXT", 2),
    ("iphlpsvc", 2),
    ("nsi", 2),
    ("mpssvc", 2),
    ("RemoteRegistry", 2),
    ("Netlogon", 3),
    ("Netman", 3),
    ("TermService", 3),
];
/// Bytes that replication's agent needs: 500 MB on Windows, 2 GB on Linux.
const SPACE_WINDOWS: u64 = 500 << 20;
const SPACE_LINUX: u64 = 2 << 30;

/// How a service starts, in words.
pub(crate) fn start_word(start: u8) -> &'static str {
    match start {
        2 => "automatically",
        3 => "on demand",
        4 => "never",
        _ => "as a driver",
    }
}

/// Services that start later than they should, and how they should.
pub(crate) fn weak_services(f: &GuestFacts) -> impl Iterator<Item = (&Service, u8)> {
    let needed = |s: &Service| SERVICES.iter().find(|(n, _)| *n == s.name).map(|(_, start)| *start);
    f.services
        .iter()
        .filter_map(move |s| Some((s, needed(s)?)))
        .filter(|(s, needed)| s.start > *needed)
}

/// Profiles for which the firewall keeps Remote Desktop out, and why.
fn closed_profiles(f: &GuestFacts) -> Vec<String> {
    let bit = |name: &str| match name {
        "domain" => 1,
        "private" => 2,
        _ => 4,
    };
    f.firewall
        .iter()
        .filter(|p| p.on)
        .filter_map(|p| {
            let ruled = f.rules.iter().any(|r| r.enabled && r.profiles & bit(&p.name) != 0);
            match (p.closed, ruled) {
                (true, _) => Some(format!("{} (lets nothing in)", p.name)),
                (false, false) => Some(p.name.clone()),
                _ => None,
            }
        })
        .collect()
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

impl Item {
    /// The rule that judges it.
    pub fn rule(self) -> &'static str {
        match self {
            Item::Rdp => "guest-rdp",
            Item::Firewall => "guest-firewall",
            Item::San => "guest-san",
            Item::Updates => "guest-updates",
            Item::Reboot => "guest-reboot",
            Item::Bitlocker => "guest-bitlocker",
            Item::DynamicDisk => "guest-dynamic",
            Item::Services => "guest-services",
            Item::Space => "guest-space",
            Item::Ssh => "guest-ssh",
            Item::SshFirewall => "guest-ssh-firewall",
            Item::Drivers => "guest-drivers",
        }
    }

    /// What was read about it, in a few words; none where the script could not tell.
    pub fn found(self, f: &GuestFacts) -> Option<String> {
        let list = |all: Vec<String>, none: &str| match all.is_empty() {
            true => none.to_owned(),
            false => all.join(", "),
        };
        if let Some(problem) = self.problem(f) {
            return Some(problem);
        }
        Some(match self {
            Item::Rdp => format!("On, port {}", f.rdp.as_ref()?.port),
            Item::Firewall => match f.firewall.is_empty() {
                true => return None,
                false => "Remote Desktop is let in for all profiles".into(),
            },
            Item::San => f.san?.name().into(),
            Item::Updates => match f.updates? {
                0 => "None is pending".into(),
                n => format!("{n} are pending"),
            },
            Item::Reboot => list(f.reboot.clone()?, "None is pending"),
            Item::Bitlocker => match f.bitlocker {
                Some(_) => "No volume is encrypted".into(),
                None => return None,
            },
            Item::DynamicDisk => match f.dynamic_disks.as_ref()?.is_empty() {
                true => "All disks are basic".into(),
                false => "The disk that it boots from is basic".into(),
            },
            Item::Services => match f.services.is_empty() {
                true => return None,
                false => "All start as they should".into(),
            },
            Item::Space => {
                let s = f.space.as_ref()?;
                format!("{} free on {}", mib(s.free_bytes), s.path)
            }
            Item::Ssh => {
                let s = f.ssh.as_ref()?;
                match s.at_boot {
                    Some(_) => format!("Runs on port {} and starts with the machine", s.port),
                    None => format!(
                        "Runs on port {}; whether it starts with the machine can't be told",
                        s.port
                    ),
                }
            }
            Item::SshFirewall => match f.ssh_firewall.as_ref()?.kind.as_str() {
                "none" => "There is none".into(),
                kind => format!("{kind} lets SSH in"),
            },
            Item::Drivers => match f.drivers.is_empty() {
                true => return None,
                false => "All are there".into(),
            },
        })
    }

    /// What is wrong with it, as the rule's `{found}`.
    pub fn problem(self, f: &GuestFacts) -> Option<String> {
        match self {
            Item::Rdp => {
                let r = f.rdp.as_ref()?;
                match (r.policy, r.denied) {
                    (Some(true), _) => Some("A group policy switches it off".into()),
                    // A policy that allows it stands over the setting.
                    (None, true) => Some("It is switched off".into()),
                    _ => (r.port != RDP_PORT).then(|| format!("It listens on port {}, not {RDP_PORT}", r.port)),
                }
            }
            Item::Firewall => {
                let closed = closed_profiles(f);
                (!closed.is_empty()).then(|| format!("It is kept out for: {}", closed.join(", ")))
            }
            Item::San => {
                let policy = f.san.filter(|p| *p != SanPolicy::OnlineAll)?;
                Some(format!("The policy for new disks is {}", policy.name()))
            }
            Item::Updates => match f.updates? {
                0 => None,
                1 => Some("One is pending".into()),
                n => Some(format!("{n} are pending")),
            },
            Item::Reboot => {
                let words = |why: &String| match why.as_str() {
                    "servicing" => "Windows components",
                    "updates" => "updates",
                    "files" => "files to be replaced",
                    _ => "an installer",
                };
                let why: Vec<&str> = f.reboot.as_ref()?.iter().map(words).collect();
                (!why.is_empty()).then(|| format!("Pending because of {}", why.join(", ")))
            }
            Item::Bitlocker => {
                let all: Vec<String> = f
                    .bitlocker
                    .as_ref()?
                    .iter()
                    .filter(|v| v.state != 0)
                    .map(|v| match v.state {
                        3 => format!("{} is being decrypted, {} % are left", v.drive, v.percent),
                        _ => format!("{} is encrypted ({} %)", v.drive, v.percent),
                    })
                    .collect();
                (!all.is_empty()).then(|| all.join(", "))
            }
            Item::DynamicDisk => {
                let dynamic = f.dynamic_disks.as_ref()?;
                let disk = f.boot_disks.iter().find(|d| dynamic.contains(d))?;
                Some(format!("Disk {disk}, from which it boots, is dynamic"))
            }
            Item::Services => {
                let all: Vec<String> = weak_services(f)
                    .map(|(s, needed)| {
                        let (is, should) = (start_word(s.start), start_word(needed));
                        format!("{} starts {is}, not {should}", s.name)
                    })
                    .collect();
                (!all.is_empty()).then(|| all.join("; "))
            }
            Item::Space => {
                let s = f.space.as_ref()?;
                let need = match f.system {
                    System::Windows => SPACE_WINDOWS,
                    System::Linux => SPACE_LINUX,
                };
                (s.free_bytes < need).then(|| {
                    let (free, need) = (mib(s.free_bytes), mib(need));
                    format!("{} has {free} free; it needs {need}", s.path)
                })
            }
            Item::Ssh => {
                let s = f.ssh.as_ref()?;
                match (s.running, s.at_boot) {
                    (false, _) => Some("It does not run".into()),
                    (true, Some(false)) => Some("It runs, but does not start with the machine".into()),
                    _ => None,
                }
            }
            Item::SshFirewall => {
                let w = f.ssh_firewall.as_ref().filter(|w| !w.open)?;
                Some(match w.kind.as_str() {
                    "other" => "A rule of the firewall keeps it out".into(),
                    kind => format!("{kind} keeps it out"),
                })
            }
            Item::Drivers => {
                let lacks = |d: &&Driver| d.state == "missing" || f.image_read && d.state == "module";
                let all: Vec<String> = f
                    .drivers
                    .iter()
                    .filter(lacks)
                    .map(|d| match d.state.as_str() {
                        "module" => format!("{} is not in the boot image", d.name),
                        _ => format!("{} is missing", d.name),
                    })
                    .collect();
                (!all.is_empty()).then(|| all.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
