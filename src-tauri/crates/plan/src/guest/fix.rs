//! What puts an item right, and the way back. Both come from one list of changes, each of which knows the value before it and
//! the value after it; the value before is the one that was read. One line of script for each change, and every name that
//! came out of the guest is quoted.

use super::{GuestFacts, Item, RDP_PORT, SanPolicy, System, start_word, weak_services};
use crate::{scripts::ps, task::Script};

const TERMINAL_SERVER: &str = r"HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server";
const TERMINAL_POLICY: &str = r"HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services";
const RDP_TCP: &str = r"HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp";
/// `NET_FW_PROFILE2_ALL`
const ALL_PROFILES: u32 = i32::MAX.cast_unsigned();

/// One change in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A DWORD of the registry.
    Value {
        path: &'static str,
        name: &'static str,
        before: u32,
        after: u32,
    },
    /// A rule of the firewall, by its name: whether it is enabled, and for which profiles.
    Rule {
        name: String,
        before: (bool, u8),
        after: (bool, u8),
    },
    San {
        before: SanPolicy,
        after: SanPolicy,
    },
    Service {
        name: String,
        before: u8,
        after: u8,
    },
    /// Two commands of a Linux shell that undo each other, and the first one in words.
    Command {
        words: String,
        apply: String,
        revert: String,
    },
}

fn profile_words(bits: u8) -> String {
    let all: Vec<&str> = [(1, "domain"), (2, "private"), (4, "public")]
        .into_iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| name)
        .collect();
    match all.len() {
        3 => "all profiles".into(),
        _ => all.join(", "),
    }
}

fn rule_words((enabled, profiles): (bool, u8)) -> String {
    let word = if enabled { "on" } else { "off" };
    format!("{word} for {}", profile_words(profiles))
}

fn start_type(start: u8) -> &'static str {
    match start {
        2 => "Automatic",
        3 => "Manual",
        _ => "Disabled",
    }
}

impl Change {
    /// What it changes, for a person.
    pub fn words(&self) -> String {
        match self {
            Change::Value {
                path,
                name,
                before,
                after,
            } => format!(r"{path}\{name}: from {before} to {after}"),
            Change::Rule { name, before, after } => {
                format!(
                    "Firewall rule {name}: from {} to {}",
                    rule_words(*before),
                    rule_words(*after)
                )
            }
            Change::San { before, after } => {
                format!("Policy for new disks: from {} to {}", before.name(), after.name())
            }
            Change::Service { name, before, after } => {
                format!(
                    "Service {name}: starts {}, before {}",
                    start_word(*after),
                    start_word(*before)
                )
            }
            Change::Command { words, .. } => words.clone(),
        }
    }

    fn line(&self, back: bool) -> String {
        let pick = |before: u32, after: u32| if back { before } else { after };
        match self {
            Change::Value {
                path,
                name,
                before,
                after,
            } => format!(
                "Set-ItemProperty {} -Name {} -Value {} -Type DWord -Force",
                ps(path),
                ps(name),
                pick(*before, *after)
            ),
            Change::Rule { name, before, after } => {
                let (enabled, profiles) = if back { *before } else { *after };
                let profiles = if profiles == 7 { ALL_PROFILES } else { profiles.into() };
                format!(
                    "$rules | Where-Object {{ $_.Name -eq {} }} | ForEach-Object {{ $_.Profiles = {profiles}; $_.Enabled = ${enabled} }}",
                    ps(name)
                )
            }
            Change::San { before, after } => {
                let policy = if back { before } else { after }.name();
                format!(
                    "if (Get-Command Set-StorageSetting -ErrorAction SilentlyContinue) {{ Set-StorageSetting -NewDiskPolicy {policy} }} else {{ 'san policy={policy}' | diskpart }}"
                )
            }
            Change::Service { name, before, after } => {
                let start = if back { before } else { after };
                format!("Set-Service -Name {} -StartupType {}", ps(name), start_type(*start))
            }
            Change::Command { apply, revert, .. } => if back { revert } else { apply }.clone(),
        }
    }
}

/// What a script would change to put an item right. Empty: it is right, or no script can.
pub fn changes(item: Item, f: &GuestFacts) -> Vec<Change> {
    if item.problem(f).is_none() {
        return vec![];
    }
    match item {
        Item::Rdp => rdp(f),
        Item::Firewall => f
            .rules
            .iter()
            .filter(|r| !r.enabled || r.profiles != 7)
            .map(|r| Change::Rule {
                name: r.name.clone(),
                before: (r.enabled, r.profiles),
                after: (true, 7),
            })
            .collect(),
        Item::San => f
            .san
            .map(|before| Change::San {
                before,
                after: SanPolicy::OnlineAll,
            })
            .into_iter()
            .collect(),
        Item::Services => weak_services(f)
            .map(|(s, after)| Change::Service {
                name: s.name.clone(),
                before: s.start,
                after,
            })
            .collect(),
        Item::Ssh => ssh(f),
        Item::SshFirewall => ssh_firewall(f),
        Item::Updates | Item::Reboot | Item::Bitlocker | Item::DynamicDisk | Item::Space | Item::Drivers => vec![],
    }
}

fn rdp(f: &GuestFacts) -> Vec<Change> {
    let Some(r) = &f.rdp else { return vec![] };
    let off = |path, wrong: bool| {
        wrong.then_some(Change::Value {
            path,
            name: "fDenyTSConnections",
            before: 1,
            after: 0,
        })
    };
    let port = (r.port != RDP_PORT).then(|| Change::Value {
        path: RDP_TCP,
        name: "PortNumber",
        before: r.port.into(),
        after: RDP_PORT.into(),
    });
    [
        off(TERMINAL_SERVER, r.denied),
        off(TERMINAL_POLICY, r.policy == Some(true)),
        port,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ssh(f: &GuestFacts) -> Vec<Change> {
    let Some(s) = &f.ssh else { return vec![] };
    let Some(unit) = &s.unit else { return vec![] };
    let enable = (s.at_boot == Some(false)).then(|| Change::Command {
        words: format!("{unit}.service: starts with the machine"),
        apply: format!("systemctl enable {unit}.service"),
        revert: format!("systemctl disable {unit}.service"),
    });
    let start = (!s.running).then(|| Change::Command {
        words: format!("{unit}.service: started now"),
        apply: format!("systemctl start {unit}.service"),
        revert: format!("systemctl stop {unit}.service"),
    });
    enable.into_iter().chain(start).collect()
}

fn ssh_firewall(f: &GuestFacts) -> Vec<Change> {
    let port = f.ssh.as_ref().map_or(22, |s| s.port);
    match f.ssh_firewall.as_ref().map(|w| w.kind.as_str()) {
        Some("ufw") => vec![Change::Command {
            words: format!("ufw lets port {port}/tcp in"),
            apply: format!("ufw allow {port}/tcp"),
            revert: format!("ufw delete allow {port}/tcp"),
        }],
        Some("firewalld") => vec![Change::Command {
            words: format!("firewalld lets port {port}/tcp in, now and after a restart"),
            apply: format!("firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --add-port={port}/tcp"),
            revert: format!(
                "firewall-cmd --permanent --remove-port={port}/tcp && firewall-cmd --remove-port={port}/tcp"
            ),
        }],
        _ => vec![],
    }
}

/// The script that puts an item right; none where a script can't, or nothing is wrong.
pub fn fix(item: Item, before: &GuestFacts) -> Option<Script> {
    written(item, before, false)
}

/// The script that takes the fix back, computed from what was read before it.
pub fn undo(item: Item, before: &GuestFacts) -> Option<Script> {
    written(item, before, true)
}

fn written(item: Item, before: &GuestFacts, back: bool) -> Option<Script> {
    let mut changes = changes(item, before);
    if changes.is_empty() {
        return None;
    }
    if back {
        changes.reverse();
    }
    let lines: String = changes.iter().map(|c| c.line(back) + "\n").collect();
    let rules = match changes[0] {
        Change::Rule { .. } => {
            "$rules = @((New-Object -ComObject HNetCfg.FwPolicy2).Rules | Where-Object { $_.Grouping -eq '@FirewallAPI.dll,-28752' -and $_.Direction -eq 1 })\n"
        }
        _ => "",
    };
    let (language, text) = match before.system {
        System::Windows => (
            "powershell",
            format!("$ErrorActionPreference = 'Stop'\n{rules}{lines}'done=1'\n"),
        ),
        System::Linux => (
            "sh",
            format!(
                "#!/bin/sh\nPATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin\nif [ \"$(id -u)\" != 0 ]; then echo 'Run this as root: sudo sh FILE' >&2; exit 1; fi\nset -e\n{lines}echo done=1\n"
            ),
        ),
    };
    Some(Script {
        language: language.into(),
        run_on: "the machine itself".into(),
        text,
    })
}

/// Who does what by hand, and what to know about a script's fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByPerson {
    pub who: &'static str,
    pub steps: Vec<String>,
}

/// What a person does about an item: instead of a script, or after it. None where nothing is wrong, or the script is all.
pub fn by_person(item: Item, f: &GuestFacts) -> Option<ByPerson> {
    item.problem(f)?;
    let (windows, linux) = ("Windows administrator", "Linux administrator");
    let (who, steps): (&str, Vec<String>) = match item {
        Item::Rdp => {
            let r = f.rdp.as_ref()?;
            let mut steps = vec![];
            if r.policy == Some(true) {
                steps.push("A policy of the domain comes back with its next refresh, within two hours. Its administrator allows it: Computer Configuration > Administrative Templates > Windows Components > Remote Desktop Services > Remote Desktop Session Host > Connections > Allow users to connect remotely.".into());
            }
            if r.port != RDP_PORT {
                steps.push(format!(
                    "The port counts from the next restart of the machine on. To keep port {}, open it in the network security group in Azure instead.",
                    r.port
                ));
            }
            (windows, steps)
        }
        Item::Firewall => {
            let mut steps = vec![];
            if f.firewall.iter().any(|p| p.on && p.closed) {
                steps.push("A profile lets nothing in, whatever the rules say: in wf.msc, Properties, the profile's tab, set Inbound connections to Block (default).".into());
            }
            if f.rules.is_empty() {
                steps.push("There is no rule of Remote Desktop's group. Add one: netsh advfirewall firewall add rule name=\"Remote Desktop\" dir=in action=allow protocol=TCP localport=3389 profile=any".into());
            }
            (windows, steps)
        }
        Item::San => (
            windows,
            vec!["Not on a server that shares disks with others outside a cluster: two systems would write to them.".into()],
        ),
        Item::Updates => (
            windows,
            vec![
                "Install them in a change window before the move: Settings > Windows Update, or sconfig on Server Core.".into(),
                "Restart, then check again. After a failover with pending updates nobody can sign in until they are done.".into(),
            ],
        ),
        Item::Reboot => (
            windows,
            vec![
                "Agree on a time with those who use the machine: shutdown /r /t 0".into(),
                "Check again when it is up. Some restarts leave another one pending.".into(),
            ],
        ),
        Item::Bitlocker => (
            windows,
            f.bitlocker
                .iter()
                .flatten()
                .filter(|v| v.state != 0)
                .map(|v| match v.state {
                    3 => format!("{} is being decrypted, which can take hours. Look with: manage-bde -status {}", v.drive, v.drive),
                    _ => format!("Decrypt it, which can take hours: manage-bde -off {}", v.drive),
                })
                .chain(["Encrypted volumes can't be replicated. After the move, Azure encrypts the disks at rest; BitLocker can be switched on again there.".into()])
                .collect(),
        ),
        Item::DynamicDisk => (
            windows,
            vec![
                "Windows has no way from a dynamic disk back to a basic one that keeps its volumes.".into(),
                "Restore a backup of the machine onto a basic disk, or move the application to a new machine.".into(),
            ],
        ),
        Item::Services => return None,
        Item::Space => match f.system {
            System::Windows => (windows, vec!["Free space with cleanmgr, or enlarge the disk in vCenter and the volume in diskmgmt.msc.".into()]),
            System::Linux => (linux, vec!["Free space, or enlarge the disk in vCenter and the file system in the machine.".into()]),
        },
        Item::Ssh => {
            let steps = match f.ssh.as_ref()?.unit {
                Some(_) => return None,
                None => vec!["Install the SSH daemon and let it start with the machine: apt-get install openssh-server, or yum install openssh-server && systemctl enable --now sshd.".into()],
            };
            (linux, steps)
        }
        Item::SshFirewall => {
            let port = f.ssh.as_ref().map_or(22, |s| s.port);
            match f.ssh_firewall.as_ref()?.kind.as_str() {
                "other" => (linux, vec![format!("Let it in where the firewall's rules are kept, in the form: iptables -I INPUT -p tcp --dport {port} -j ACCEPT")]),
                _ => return None,
            }
        }
        Item::Drivers => (
            linux,
            vec![
                "Debian, Ubuntu: printf 'hv_vmbus\\nhv_storvsc\\nhv_netvsc\\n' | sudo tee -a /etc/initramfs-tools/modules && sudo update-initramfs -u".into(),
                "Red Hat, SUSE, Oracle: sudo dracut -f --add-drivers \"hv_vmbus hv_storvsc hv_netvsc\"".into(),
                "Where they are missing altogether, install the distribution's own kernel.".into(),
            ],
        ),
    };
    (!steps.is_empty()).then_some(ByPerson { who, steps })
}
