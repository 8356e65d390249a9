//! What is inside the machines: accounts, files, programs, and as much of Windows and Linux as decides whether a machine can
//! be reached after its move.
//!
//! No program runs here. A guest looks at the text of a script for the commands it knows (values of the registry, services,
//! firewall rules, the policy for new disks; `systemctl`, `ufw`) and carries them out on its state, line by line; at the first
//! line that it does not know it stops with an error, as a shell would. A script that carries the mark `rehost-readiness` in
//! its head is not carried out: the guest prints its own facts in the form that the script's comments describe. So quoting,
//! names, values and their order are judged here; loops, pipes and everything else of a shell's language are not.
//! Windows is taken as Server 2016 in English, with Remote Desktop's three rules.

use crate::{
    onprem::{LabVm, Power},
    world::{World, guid},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const TERMINAL: &str = r"HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server";
const TERMINAL_POLICY: &str = r"HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services";
const RDP_TCP: &str = r"HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp";
const SERVICES: &str = r"HKLM:\SYSTEM\CurrentControlSet\Services";
/// A guest keeps an ended program for this long.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);
/// Lab seconds that a script takes, and one that searches for updates.
const SCRIPT: i64 = 3;
const READINESS: i64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Windows,
    Linux,
}

#[derive(Debug, Clone)]
pub struct LabRule {
    pub name: String,
    pub enabled: bool,
    /// domain 1, private 2, public 4; `i32::MAX` for all.
    pub profiles: u32,
}

#[derive(Debug, Clone)]
pub struct LabProcess {
    pub pid: i64,
    pub name: String,
    pub command: String,
    pub owner: String,
    pub started: Timestamp,
    /// And the exit code.
    pub ended: Option<(Timestamp, i32)>,
}

/// A way to one file of a guest, used once.
#[derive(Debug, Clone)]
pub struct Transfer {
    pub vm: String,
    pub path: String,
    /// Into the guest, so many bytes.
    pub size: Option<u64>,
}

/// The inside of one machine.
#[derive(Debug, Clone)]
pub struct LabGuest {
    pub system: System,
    /// An administrator's account, and its password.
    pub user: String,
    pub password: String,
    /// DWORDs by path and name, joined by a backslash.
    pub registry: BTreeMap<String, u32>,
    /// Services that a security policy keeps as they are.
    pub guarded: BTreeSet<String>,
    pub rules: Vec<LabRule>,
    /// Domain, private and public: on.
    pub firewall: [bool; 3],
    /// `OnlineAll`, `OfflineShared`…
    pub san: String,
    pub updates: u32,
    /// Why a restart is pending.
    pub reboot: BTreeSet<&'static str>,
    /// Drive, state of the conversion, percent.
    pub bitlocker: Vec<(String, u8, u8)>,
    pub dynamic_disks: Vec<u32>,
    pub free_bytes: u64,
    /// Linux: the daemon runs, starts with the machine, and what ufw lets in (none: it is off).
    pub ssh: (bool, bool),
    pub ufw: Option<BTreeSet<String>>,
    pub files: BTreeMap<String, Vec<u8>>,
    pub directories: BTreeSet<String>,
    pub processes: Vec<LabProcess>,
}

/// Services of a Windows guest and how they start: 2 automatically, 3 on demand, 4 never.
const STARTS: &[(&str, u32)] = &[
    ("BFE", 2),
    ("Dhcp", 2),
    ("Dnscache", 2),
    ("IKEEXT", 2),
    ("iphlpsvc", 2),
    ("nsi", 2),
    ("mpssvc", 2),
    ("RemoteRegistry", 2),
    ("Netlogon", 2),
    ("Netman", 3),
    ("TermService", 3),
];

impl LabGuest {
    /// A guest that is ready for its move.
    pub fn ready(seed: u64, name: &str, guest_id: &str) -> Self {
        let windows = guest_id.to_ascii_lowercase().starts_with("win");
        let rule = |name: &str| LabRule {
            name: name.into(),
            enabled: true,
            profiles: i32::MAX.cast_unsigned(),
        };
        let services = STARTS
            .iter()
            .map(|(s, start)| (format!(r"{SERVICES}\{s}\Start"), *start));
        let values = [
            (format!(r"{TERMINAL}\fDenyTSConnections"), 0),
            (format!(r"{RDP_TCP}\PortNumber"), 3389),
        ];
        Self {
            system: if windows { System::Windows } else { System::Linux },
            user: if windows { "Administrator" } else { "root" }.into(),
            password: format!(
                "Guest-{}",
                &guid(seed, &format!("{name}/guest")).simple().to_string()[..16]
            ),
            registry: values.into_iter().chain(services).collect(),
            guarded: BTreeSet::new(),
            rules: [
                "Remote Desktop - User Mode (TCP-In)",
                "Remote Desktop - User Mode (UDP-In)",
                "Remote Desktop - Shadow (TCP-In)",
            ]
            .map(rule)
            .into(),
            firewall: [true; 3],
            san: "OnlineAll".into(),
            updates: 0,
            reboot: BTreeSet::new(),
            bitlocker: vec![("C:".into(), 0, 0)],
            dynamic_disks: vec![],
            free_bytes: 30 << 30,
            ssh: (true, true),
            ufw: None,
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
            processes: vec![],
        }
    }

    /// The web server as its administrator has left it: nobody gets in from elsewhere, and updates wait.
    pub fn neglected(mut self) -> Self {
        self.set(TERMINAL, "fDenyTSConnections", 1);
        for rule in &mut self.rules {
            (rule.enabled, rule.profiles) = (false, 3);
        }
        self.set(&format!(r"{SERVICES}\RemoteRegistry"), "Start", 4);
        self.san = "OfflineShared".into();
        self.updates = 2;
        self.reboot.insert("updates");
        self
    }

    /// What a restart ends.
    pub fn restarted(&mut self) {
        self.processes.clear();
        self.reboot.clear();
    }

    /// What its administrator does who runs the script of the plan and follows it.
    pub fn made_ready(&mut self) {
        self.set(TERMINAL, "fDenyTSConnections", 0);
        for rule in &mut self.rules {
            (rule.enabled, rule.profiles) = (true, i32::MAX.cast_unsigned());
        }
        self.san = "OnlineAll".into();
        self.updates = 0;
        self.reboot.clear();
    }

    /// A DWORD of the registry.
    pub fn value(&self, path: &str, name: &str) -> Option<u32> {
        self.registry.get(&self.key(path, name)).copied()
    }

    fn set(&mut self, path: &str, name: &str, to: u32) {
        let key = self.key(path, name);
        self.registry.insert(key, to);
    }

    /// The key's own spelling: Windows compares without case.
    fn key(&self, path: &str, name: &str) -> String {
        let asked = format!(r"{path}\{name}");
        let known = self.registry.keys().find(|k| k.eq_ignore_ascii_case(&asked));
        known.cloned().unwrap_or(asked)
    }

    /// Whether an account signs in. Windows takes the machine's name before it, and asks for no case.
    pub fn accepts(&self, user: &str, password: &str, machine: &str) -> bool {
        let user = match (self.system, user.split_once('\\')) {
            (System::Windows, Some((domain, name))) if domain == "." || domain.eq_ignore_ascii_case(machine) => name,
            _ => user,
        };
        let same = match self.system {
            System::Windows => user.eq_ignore_ascii_case(&self.user),
            System::Linux => user == self.user,
        };
        same && password == self.password
    }

    pub fn temporary_root(&self) -> &'static str {
        match self.system {
            System::Windows => r"C:\Users\Administrator\AppData\Local\Temp",
            System::Linux => "/tmp",
        }
    }

    pub fn separator(&self) -> char {
        match self.system {
            System::Windows => '\\',
            System::Linux => '/',
        }
    }

    fn file(&self, path: &str) -> Option<String> {
        let found = self.files.get(path)?;
        Some(String::from_utf8_lossy(found).into_owned())
    }

    /// How long a command takes, in lab seconds.
    pub fn takes(&self, command: &str) -> i64 {
        let reads = scripts(self, command).iter().any(|text| mark(text).is_some());
        if reads { READINESS } else { SCRIPT }
    }

    /// Carries a command line out; its exit code. What it prints goes where it says.
    pub fn run(&mut self, command: &str) -> i32 {
        let (mut printed, mut code) = (String::new(), 0);
        let texts = scripts(self, command);
        let to = output(command).or_else(|| texts.iter().find_map(|t| output(t)));
        'all: for text in &texts {
            match mark(text) {
                Some(system) if system == self.system => printed.push_str(&self.facts()),
                Some(_) => {
                    (printed, code) = ("The script is for another system.\n".into(), 1);
                    break;
                }
                None => {
                    for line in text.lines() {
                        match self.line(line.trim()) {
                            Ok(said) => printed.push_str(&said),
                            Err(why) => {
                                printed.push_str(&format!("{why}: {line}\n"));
                                code = 1;
                                break 'all;
                            }
                        }
                    }
                }
            }
        }
        if let Some(to) = to {
            self.files.insert(to, printed.into_bytes());
        }
        code
    }

    fn line(&mut self, line: &str) -> Result<String, &'static str> {
        match self.system {
            System::Windows => self.powershell(line),
            System::Linux => self.sh(line),
        }
    }

    fn powershell(&mut self, line: &str) -> Result<String, &'static str> {
        const UNKNOWN: &str = "The term is not recognized";
        let inert = ["#", "$ErrorActionPreference", "$rules ="];
        if line.is_empty() || inert.iter().any(|i| line.starts_with(i)) {
            return Ok(String::new());
        }
        let words = words(line);
        let after = |option: &str| {
            let at = words.iter().position(|w| w.eq_ignore_ascii_case(option))?;
            words.get(at + 1).map(String::as_str)
        };
        let first = words.first().map(String::as_str).unwrap_or_default();
        let target = || after("-Path").or(words.get(1).map(String::as_str)).unwrap_or_default();
        if first.eq_ignore_ascii_case("Set-ItemProperty") {
            let value = after("-Value").and_then(|v| v.parse().ok()).ok_or("No DWORD")?;
            self.set(target(), after("-Name").ok_or(UNKNOWN)?, value);
        } else if first.eq_ignore_ascii_case("Remove-ItemProperty") {
            let key = self.key(target(), after("-Name").ok_or(UNKNOWN)?);
            self.registry.remove(&key).ok_or("Property does not exist")?;
        } else if first.eq_ignore_ascii_case("Set-Service") {
            let name = after("-Name").or(words.get(1).map(String::as_str)).unwrap_or_default();
            let path = format!(r"{SERVICES}\{name}");
            let start = match after("-StartupType").unwrap_or_default().to_ascii_lowercase().as_str() {
                "automatic" => 2,
                "manual" => 3,
                "disabled" => 4,
                _ => return Err(UNKNOWN),
            };
            self.value(&path, "Start")
                .ok_or("Cannot find any service with this name")?;
            if self.guarded.contains(name) {
                return Err("Access is denied");
            }
            self.set(&path, "Start", start);
        } else if line.contains("Set-StorageSetting") {
            let policy = after("-NewDiskPolicy").ok_or(UNKNOWN)?;
            let known = ["OnlineAll", "OfflineShared", "OfflineAll", "OfflineInternal"];
            let known = known.iter().find(|k| k.eq_ignore_ascii_case(policy));
            self.san = (*known.ok_or("Cannot convert the policy")?).to_owned();
        } else if line.starts_with("$rules") && line.contains("$_.Enabled =") {
            let name = after("-eq").ok_or(UNKNOWN)?;
            let number = |of: &str| after(of).and_then(|_| assigned(&words, of));
            let profiles = number("$_.Profiles")
                .and_then(|p| p.parse().ok())
                .ok_or("No profiles")?;
            let enabled = number("$_.Enabled").ok_or(UNKNOWN)?.eq_ignore_ascii_case("$true");
            // As with a real pipe, a name that nothing has changes nothing.
            for rule in self.rules.iter_mut().filter(|r| r.name.eq_ignore_ascii_case(name)) {
                (rule.enabled, rule.profiles) = (enabled, profiles);
            }
        } else if line.starts_with('\'') && line.ends_with('\'') && words.len() == 1 {
            return Ok(format!("{first}\n"));
        } else {
            return Err(UNKNOWN);
        }
        Ok(String::new())
    }

    fn sh(&mut self, line: &str) -> Result<String, &'static str> {
        const UNKNOWN: &str = "not found";
        let inert = ["#", "PATH=", "set -e", "exec >", "if [ \"$(id -u)\" != 0 ]"];
        if line.is_empty() || inert.iter().any(|i| line.starts_with(i)) {
            return Ok(String::new());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["systemctl", verb, "ssh.service" | "sshd.service"] => match verb {
                "enable" => self.ssh.1 = true,
                "disable" => self.ssh.1 = false,
                "start" => self.ssh.0 = true,
                "stop" => self.ssh.0 = false,
                _ => return Err(UNKNOWN),
            },
            ["ufw", "allow", port] => drop(self.ufw.as_mut().ok_or(UNKNOWN)?.insert(port.to_owned())),
            ["ufw", "delete", "allow", port] => drop(self.ufw.as_mut().ok_or(UNKNOWN)?.remove(port)),
            ["echo", said] => return Ok(format!("{said}\n")),
            _ => return Err(UNKNOWN),
        }
        Ok(String::new())
    }

    /// The facts as a readiness script prints them.
    fn facts(&self) -> String {
        let mut lines: Vec<String> = vec!["readiness=1".into()];
        let flag = |yes: bool| u8::from(yes);
        let mut say = |key: &str, value: String| lines.push(format!("{key}={value}"));
        let optional = |v: Option<u32>| v.map(|v| v.to_string()).unwrap_or_default();
        let join = |all: Vec<String>| all.join(",");
        match self.system {
            System::Windows => {
                say("os", "windows".into());
                say("build", "10.0.14393.0".into());
                say("admin", "1".into());
                say("rdp.deny", optional(self.value(TERMINAL, "fDenyTSConnections")));
                say(
                    "rdp.policy",
                    optional(self.value(TERMINAL_POLICY, "fDenyTSConnections")),
                );
                say("rdp.port", optional(self.value(RDP_TCP, "PortNumber")));
                for (name, on) in ["domain", "private", "public"].iter().zip(self.firewall) {
                    say(&format!("firewall.{name}"), format!("{},0", flag(on)));
                }
                for r in &self.rules {
                    say("rule", format!("{},{},{}", flag(r.enabled), r.profiles & 7, r.name));
                }
                say("san", self.san.clone());
                say("updates", self.updates.to_string());
                say("reboot", join(self.reboot.iter().map(|w| (*w).to_owned()).collect()));
                for (drive, state, percent) in &self.bitlocker {
                    say("bitlocker", format!("{drive},{state},{percent}"));
                }
                say("bitlocker.read", "1".into());
                say("disk.boot", "0".into());
                say(
                    "disk.dynamic",
                    join(self.dynamic_disks.iter().map(u32::to_string).collect()),
                );
                for (name, _) in STARTS {
                    if let Some(start) = self.value(&format!(r"{SERVICES}\{name}"), "Start") {
                        say(&format!("service.{name}"), start.to_string());
                    }
                }
                say("space", format!("C:,{}", self.free_bytes));
            }
            System::Linux => {
                say("os", "linux".into());
                say("kernel", "4.19.0-photon".into());
                say("system", "photon 3.0".into());
                say("admin", "1".into());
                say("ssh.unit", "sshd".into());
                say("ssh.running", flag(self.ssh.0).to_string());
                say("ssh.boot", flag(self.ssh.1).to_string());
                say("ssh.port", "22".into());
                for driver in ["hv_vmbus", "hv_storvsc", "hv_netvsc"] {
                    say(&format!("driver.{driver}"), "builtin".into());
                }
                say("image.read", "0".into());
                say("firewall", if self.ufw.is_some() { "ufw" } else { "none" }.into());
                let open = self.ufw.as_ref().is_none_or(|u| u.contains("22/tcp"));
                say("firewall.ssh", flag(open).to_string());
                say("space", format!("/,{}", self.free_bytes));
            }
        }
        say("end", "1".into());
        lines.join("\r\n") + "\r\n"
    }
}

/// The system for which a text reads readiness, if it does.
fn mark(text: &str) -> Option<System> {
    let line = text
        .lines()
        .take(4)
        .find_map(|l| l.strip_prefix("# rehost-readiness 1 "))?;
    match line.trim() {
        "windows" => Some(System::Windows),
        "linux" => Some(System::Linux),
        _ => None,
    }
}

/// What a command line carries out: the files of the guest that it names, or else itself.
fn scripts(guest: &LabGuest, command: &str) -> Vec<String> {
    let command = decoded(command);
    // Quoted as a whole for `-Command`, a path stands in quotes of its own inside.
    let inside = command.replace('"', " ");
    let paths: BTreeSet<String> = texts(&command).into_iter().chain(texts(&inside)).collect();
    let named: Vec<String> = paths.iter().filter_map(|t| guest.file(t)).collect();
    if !named.is_empty() {
        return named;
    }
    let option = |name: &str| {
        let at = command.to_ascii_lowercase().find(name)?;
        Some(command[at + name.len()..].trim())
    };
    let own = option("-command ").unwrap_or(&command);
    vec![own.trim_matches('"').to_owned()]
}

/// `-EncodedCommand` in plain.
fn decoded(command: &str) -> String {
    let mut words = command.split_whitespace();
    let encoded = words
        .by_ref()
        .find(|w| w.eq_ignore_ascii_case("-EncodedCommand"))
        .and_then(|_| words.next())
        .and_then(|w| STANDARD.decode(w).ok());
    match encoded {
        Some(bytes) => {
            let units = bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]]));
            char::decode_utf16(units).filter_map(Result::ok).collect()
        }
        None => command.to_owned(),
    }
}

/// The file to which the text writes what is printed.
fn output(command: &str) -> Option<String> {
    let command = decoded(command);
    ["WriteAllText(", "exec >", "Out-File ", "> "]
        .iter()
        .find_map(|before| command.split_once(before))
        .and_then(|(_, rest)| words(rest).into_iter().next())
}

/// Quoted texts of a command, and words as they stand.
fn texts(command: &str) -> Vec<String> {
    let spaced: String = command
        .chars()
        .map(|c| if matches!(c, '(' | ')' | ',') { ' ' } else { c })
        .collect();
    words(&spaced)
}

/// What is assigned to a name: the word after `=`, without a semicolon.
fn assigned(words: &[String], name: &str) -> Option<String> {
    let at = words.iter().position(|w| w == name)?;
    let value = words.get(at + 2).filter(|_| words[at + 1] == "=")?;
    Some(value.trim_end_matches(';').to_owned())
}

/// Words of a line as PowerShell takes them: quotes hold a text together, two of them in a text are one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    if inner != c {
                        word.push(inner);
                    } else if chars.peek() == Some(&c) {
                        chars.next();
                        word.push(c);
                    } else {
                        break;
                    }
                }
            }
            // The end of a call's argument ends it, too.
            c if c.is_whitespace() || c == ',' || c == ')' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl World {
    /// Starts a program in a guest; its process id.
    pub(crate) fn start_program(&mut self, moref: &str, program: &str, arguments: &str, owner: &str) -> Option<i64> {
        let pid = 1000 + 4 * i64::try_from(self.number()).unwrap_or_default();
        let started = self.now();
        let command = format!("\"{program}\" {arguments}");
        let guest = &mut self.onprem.vm_mut(moref)?.guest;
        let seconds = guest.takes(&command);
        guest.processes.push(LabProcess {
            pid,
            name: program.rsplit(['\\', '/']).next().unwrap_or_default().to_owned(),
            command,
            owner: owner.to_owned(),
            started,
            ended: None,
        });
        let wait = self.about(seconds, &format!("program in {moref}"));
        let vm = moref.to_owned();
        self.after(wait, move |w| {
            let now = w.now();
            let Some(v) = w.onprem.vm_mut(&vm).filter(|v| v.power == Power::On) else {
                return;
            };
            let process = v.guest.processes.iter().find(|p| p.pid == pid);
            let Some(command) = process.map(|p| p.command.clone()) else {
                return;
            };
            let code = v.guest.run(&command);
            if let Some(p) = v.guest.processes.iter_mut().find(|p| p.pid == pid) {
                p.ended = Some((now, code));
            }
        });
        Some(pid)
    }

    /// An address of a file, good for one use.
    pub(crate) fn transfer(&mut self, to: Transfer) -> String {
        let n = self.number();
        let token: Uuid = self.guid(&format!("guest file {n}"));
        self.onprem.transfers.insert(token.to_string(), to);
        format!("https://*:443/guestFile?id={n}&token={token}")
    }
}

impl LabVm {
    /// Programs that it still remembers, the ended ones at least for `patience`.
    pub(crate) fn processes(&self, now: Timestamp, patience: SignedDuration) -> impl Iterator<Item = &LabProcess> {
        let kept = REMEMBERED.max(patience);
        let known = move |p: &&LabProcess| p.ended.is_none_or(|(at, _)| now.duration_since(at) <= kept);
        self.guest.processes.iter().filter(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> LabGuest {
        LabGuest::ready(1, "WEBVM", "windows9Server64Guest").neglected()
    }

    #[test]
    fn known_commands_are_carried_out_and_unknown_ones_stop_the_script() {
        let mut g = web();
        g.rules[0].name = "it's, \"the\" rule".into();
        let script = "$ErrorActionPreference = 'Stop'\n\
            Set-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server' -Name 'fDenyTSConnections' -Value 0 -Type DWord -Force\n\
            $rules | Where-Object { $_.Name -eq 'it''s, \"the\" rule' } | ForEach-Object { $_.Profiles = 5; $_.Enabled = $true }\n\
            Set-Service -Name 'RemoteRegistry' -StartupType Automatic\n\
            'done=1'\n\
            Format-Volume C\n\
            Set-Service -Name 'Dhcp' -StartupType Disabled\n";
        g.files.insert("C:\\s.ps1".into(), script.into());
        let code = g.run("powershell.exe -File 'C:\\s.ps1' > 'C:\\o.txt'");
        assert_eq!(code, 1);
        let said = g.file("C:\\o.txt").unwrap();
        assert!(said.starts_with("done=1\n") && said.contains("Format-Volume"), "{said}");
        let again = "powershell.exe -Command \"& 'C:\\s.ps1' | Out-File 'C:\\p.txt'\"";
        assert_eq!((g.run(again), g.file("C:\\p.txt")), (1, Some(said)));
        assert_eq!(g.value(TERMINAL, "fdenytsconnections"), Some(0));
        assert_eq!(
            (g.rules[0].enabled, g.rules[0].profiles, g.rules[1].enabled),
            (true, 5, false)
        );
        assert_eq!(g.value(&format!(r"{SERVICES}\Dhcp"), "Start"), Some(2));
    }

    #[test]
    fn a_readiness_script_prints_facts_of_its_own_system_only() {
        let mut g = web();
        g.files
            .insert("C:\\r.ps1".into(), b"# rehost-readiness 1 windows\nanything".to_vec());
        g.files
            .insert("C:\\l.sh".into(), b"#!/bin/sh\n# rehost-readiness 1 linux\n".to_vec());
        assert_eq!(g.run("powershell -File C:\\r.ps1 > C:\\o"), 0);
        let said = g.file("C:\\o").unwrap();
        assert!(said.contains("rdp.deny=1\r\n") && said.ends_with("end=1\r\n"), "{said}");
        assert_eq!(g.run("powershell -File C:\\l.sh > C:\\o"), 1);
    }

    #[test]
    fn accounts_are_those_of_the_machine() {
        let g = web();
        let password = g.password.clone();
        for user in [
            "Administrator",
            "administrator",
            r".\Administrator",
            r"webvm\ADMINISTRATOR",
        ] {
            assert!(g.accepts(user, &password, "WEBVM"), "{user}");
        }
        assert!(!g.accepts(r"CONTOSO\Administrator", &password, "WEBVM"));
        assert!(!g.accepts("Administrator", "wrong", "WEBVM"));
    }
}
