//! Reads what the scripts print. It comes out of somebody's machine, or out of somebody's clipboard: bounded, every value
//! checked, unknown keys left out, lines that are none of the script's (a prompt, a warning) passed over.

use super::{
    Driver, EncryptedVolume, FirewallProfile, FirewallRule, GuestFacts, Rdp, SanPolicy, Service, Space, Ssh,
    SshFirewall, System,
};
use std::str::FromStr;

/// Bytes; a real output has two thousand.
pub const MAX_OUTPUT: usize = 64 << 10;
const MAX_VALUE: usize = 300;
/// Of each repeated key.
const MAX_LIST: usize = 64;

/// Why an output can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("It is longer than 64 KiB; the script prints about two.")]
    TooLong,
    #[error("It has no line `readiness=1`, with which the script's output begins.")]
    NotOutput,
    #[error("It has no line `end=1` after the beginning: the script was stopped, or a part was not copied.")]
    CutOff,
    #[error("It was printed by another version of the script, readiness={0}.")]
    Version(String),
    #[error("Line {line}, {key}={value}, is not what the script prints there.")]
    Value { line: usize, key: String, value: String },
    #[error("There is no line {0}=, which the script always prints.")]
    Missing(&'static str),
}

/// Reads an output. Of several in one text, the last counts.
///
/// # Errors
/// See [`ReadError`].
pub fn read(output: &str) -> Result<GuestFacts, ReadError> {
    if output.len() > MAX_OUTPUT {
        return Err(ReadError::TooLong);
    }
    let lines: Vec<(usize, &str, &str)> = (1..)
        .zip(output.lines())
        .filter_map(|(n, line)| {
            let (key, value) = line.trim().trim_start_matches('\u{feff}').split_once('=')?;
            let good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
            key.chars().all(good).then_some((n, key, value.trim()))
        })
        .collect();
    let begin = lines.iter().rposition(|(_, key, _)| *key == "readiness");
    let begin = begin.ok_or(ReadError::NotOutput)?;
    if lines[begin].2 != "1" {
        return Err(ReadError::Version(shown(lines[begin].2)));
    }
    let lines = &lines[begin..];
    let end = lines.iter().position(|(_, key, value)| (*key, *value) == ("end", "1"));
    let lines = &lines[..end.ok_or(ReadError::CutOff)?];
    let mut facts = GuestFacts::default();
    let (mut system, mut rdp, mut ssh, mut wall) = (None, RdpLines::default(), SshLines::default(), Wall::default());
    let (mut volumes, mut bitlocker_read) = (vec![], false);
    for (line, key, value) in lines {
        let wrong = || ReadError::Value {
            line: *line,
            key: shown(key),
            value: shown(value),
        };
        if value.len() > MAX_VALUE {
            return Err(wrong());
        }
        one(
            &mut facts,
            (&mut system, &mut rdp, &mut ssh, &mut wall),
            (&mut volumes, &mut bitlocker_read),
            key,
            value,
        )
        .ok_or_else(wrong)?;
    }
    facts.system = system.ok_or(ReadError::Missing("os"))?;
    facts.rdp = rdp.denied.map(|denied| Rdp {
        denied,
        policy: rdp.policy,
        port: rdp.port.unwrap_or(super::RDP_PORT),
    });
    facts.ssh = ssh.running.map(|running| Ssh {
        unit: ssh.unit,
        running,
        at_boot: ssh.at_boot,
        port: ssh.port.unwrap_or(22),
    });
    facts.ssh_firewall = match (wall.kind, wall.open) {
        (Some(kind), Some(open)) if kind != "unknown" => Some(SshFirewall { kind, open }),
        _ => None,
    };
    facts.bitlocker = bitlocker_read.then_some(volumes);
    Ok(facts)
}

#[derive(Default)]
struct RdpLines {
    denied: Option<bool>,
    policy: Option<bool>,
    port: Option<u16>,
}

#[derive(Default)]
struct SshLines {
    unit: Option<String>,
    running: Option<bool>,
    at_boot: Option<bool>,
    port: Option<u16>,
}

#[derive(Default)]
struct Wall {
    kind: Option<String>,
    open: Option<bool>,
}

type Parts<'a> = (&'a mut Option<System>, &'a mut RdpLines, &'a mut SshLines, &'a mut Wall);

/// Takes one line; none when its value can't be. Empty and `unknown` mean that the script could not tell.
fn one(
    facts: &mut GuestFacts,
    (system, rdp, ssh, wall): Parts,
    (volumes, bitlocker_read): (&mut Vec<EncryptedVolume>, &mut bool),
    key: &str,
    value: &str,
) -> Option<()> {
    let untold = matches!(value, "" | "unknown");
    match key {
        "os" => {
            *system = Some(match value {
                "windows" => System::Windows,
                "linux" => System::Linux,
                _ => return None,
            });
        }
        "build" | "system" => facts.version = plain(value)?,
        "kernel" => facts.kernel = plain(value)?,
        "admin" => facts.admin = told(value)?,
        "rdp.deny" => rdp.denied = told(value)?,
        "rdp.policy" => rdp.policy = told(value)?,
        "rdp.port" => rdp.port = optional(value)?,
        "rule" => push(
            &mut facts.rules,
            match value.splitn(3, ',').collect::<Vec<_>>()[..] {
                [enabled, profiles, name] => FirewallRule {
                    enabled: flag(enabled)?,
                    profiles: profiles.parse().ok().filter(|p| *p <= 7)?,
                    name: text(name)?,
                },
                _ => return None,
            },
        )?,
        "san" => {
            facts.san = match untold {
                true => None,
                false => Some(SanPolicy::ALL.into_iter().find(|p| p.name() == value)?),
            }
        }
        "updates" => facts.updates = optional(value)?,
        "reboot" => {
            let known = ["servicing", "updates", "files", "installer"];
            let why: Vec<&str> = value.split(',').filter(|w| !w.is_empty()).collect();
            if why.iter().any(|w| !known.contains(w)) || why.len() > known.len() {
                return None;
            }
            facts.reboot = Some(why.into_iter().map(str::to_owned).collect());
        }
        "bitlocker" => match value.split(',').collect::<Vec<_>>()[..] {
            [drive, state, percent] => push(
                volumes,
                EncryptedVolume {
                    drive: text(drive)?,
                    state: state.parse().ok().filter(|s| *s <= 5)?,
                    percent: percent.parse().ok().filter(|p| *p <= 100)?,
                },
            )?,
            _ => return None,
        },
        "bitlocker.read" => *bitlocker_read = flag(value)?,
        "disk.boot" => facts.boot_disks = numbers(value)?,
        "disk.dynamic" => facts.dynamic_disks = Some(numbers(value)?),
        "space" => {
            let (path, free) = value.split_once(',')?;
            facts.space = match free.is_empty() {
                true => None,
                false => Some(Space {
                    path: plain(path)?,
                    free_bytes: free.parse().ok()?,
                }),
            }
        }
        "ssh.unit" => {
            ssh.unit = match value {
                "" => None,
                "ssh" | "sshd" => Some(value.into()),
                _ => return None,
            }
        }
        "ssh.running" => ssh.running = told(value)?,
        "ssh.boot" => ssh.at_boot = told(value)?,
        "ssh.port" => ssh.port = optional(value)?,
        "firewall" => {
            let known = ["none", "ufw", "firewalld", "other", "unknown"];
            wall.kind = Some((*known.iter().find(|k| **k == value)?).to_owned());
        }
        "firewall.ssh" => wall.open = told(value)?,
        "image.read" => facts.image_read = flag(value)?,
        _ => {
            if let Some(name) = key.strip_prefix("firewall.")
                && ["domain", "private", "public"].contains(&name)
            {
                let (on, closed) = value.split_once(',')?;
                facts.firewall.retain(|p| p.name != name);
                facts.firewall.push(FirewallProfile {
                    name: name.into(),
                    on: flag(on)?,
                    closed: flag(closed)?,
                });
            } else if let Some(name) = key.strip_prefix("service.")
                && super::SERVICES.iter().any(|(n, _)| *n == name)
            {
                facts.services.retain(|s| s.name != name);
                facts.services.push(Service {
                    name: name.into(),
                    start: value.parse().ok().filter(|s| *s <= 4)?,
                });
            } else if let Some(name) = key.strip_prefix("driver.")
                && ["hv_vmbus", "hv_storvsc", "hv_netvsc"].contains(&name)
            {
                let known = ["builtin", "image", "module", "missing", "unknown"];
                let state = *known.iter().find(|k| **k == value)?;
                facts.drivers.retain(|d| d.name != name);
                if state != "unknown" {
                    facts.drivers.push(Driver {
                        name: name.into(),
                        state: state.into(),
                    });
                }
            }
        }
    }
    Some(())
}

fn push<T>(list: &mut Vec<T>, value: T) -> Option<()> {
    (list.len() < MAX_LIST).then(|| list.push(value))
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// The outer none is a value that can't be, the inner one that nothing was told.
fn told(value: &str) -> Option<Option<bool>> {
    match value {
        "" | "unknown" => Some(None),
        _ => flag(value).map(Some),
    }
}

fn optional<N: FromStr>(value: &str) -> Option<Option<N>> {
    match value {
        "" | "unknown" => Some(None),
        _ => value.parse().ok().map(Some),
    }
}

fn numbers(value: &str) -> Option<Vec<u32>> {
    let all: Option<Vec<u32>> = value
        .split(',')
        .filter(|n| !n.is_empty())
        .map(|n| n.parse().ok())
        .collect();
    all.filter(|n| n.len() <= MAX_LIST)
}

/// Any text of one line that says something.
fn text(value: &str) -> Option<String> {
    (!value.is_empty() && !value.chars().any(char::is_control)).then(|| value.to_owned())
}

/// A version, a kernel, a path: no more than these need.
fn plain(value: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || " ._+-~:/\\()#".contains(c);
    value.chars().all(good).then(|| value.to_owned())
}

/// A part of hostile text as an error may repeat it.
fn shown(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(60).collect()
}
