//! Guest operating systems as vSphere names them, and whether each replication method takes them.
//!
//! The table is by vSphere's guest id without its end (`windows9Server64Guest` is `windows9Server`); where only a name is
//! known, as in a file that was imported, by the longest of the table's names in it. Microsoft's lists name minor versions
//! and kernels that no guest id tells: those are left to an information in [`super::vm`].
//!
//! Sources: Site Recovery's list of 2025-08-29 with its page on Windows Server 2008 (2026-02-27), Azure Migrate's list of
//! 2024-10-16, days of the makers' life-cycle pages as of 2026-11.

use crate::inventory::Vm;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Windows,
    Linux,
    Other,
}

/// Whether a method replicates a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Yes,
    No,
    /// The lists don't name it, or vSphere doesn't say which one it is.
    Unsaid,
}

/// One operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// vSphere's ids without `Guest` and the bits.
    pub ids: &'static [&'static str],
    /// What vCenter's own name of it contains; empty where it has no name of its own.
    pub name: &'static str,
    pub family: Family,
    pub site_recovery: Takes,
    pub migrate: Takes,
    /// Last day of its maker's support without extra pay, where it has come or is near.
    pub ends: Option<&'static str>,
}

use Family::{Linux, Other, Windows};
use Takes::{No, Unsaid, Yes};

const fn guest(
    ids: &'static [&'static str],
    name: &'static str,
    family: Family,
    site_recovery: Takes,
    migrate: Takes,
    ends: Option<&'static str>,
) -> Guest {
    Guest {
        ids,
        name,
        family,
        site_recovery,
        migrate,
        ends,
    }
}

/// Every system that has a row in a list, or an answer of its own.
#[rustfmt::skip]
pub const GUESTS: &[Guest] = &[
    guest(&["windows2022srvNext"], "Windows Server 2025", Windows, Yes, Yes, None),
    guest(&["windows2019srvNext", "windows2022srv"], "Windows Server 2022", Windows, Yes, Yes, None),
    guest(&["windows2019srv"], "Windows Server 2019", Windows, Yes, Yes, None),
    guest(&["windows9Server"], "Windows Server 2016", Windows, Yes, Yes, Some("2027-01-12")),
    guest(&["windows8Server"], "Windows Server 2012", Windows, Yes, Yes, Some("2023-10-10")),
    guest(&["windows7Server"], "Windows Server 2008 R2", Windows, Yes, Yes, Some("2020-01-14")),
    guest(&["winLonghorn"], "Windows Server 2008", Windows, Yes, Yes, Some("2020-01-14")),
    guest(&["winNetEnterprise", "winNetStandard", "winNetDatacenter", "winNetWeb", "winNetBusiness"],
        "Windows Server 2003", Windows, No, Yes, Some("2015-07-14")),
    guest(&["windows11"], "Windows 11", Windows, No, Unsaid, None),
    guest(&["windows9"], "Windows 10", Windows, Yes, Unsaid, Some("2025-10-14")),
    guest(&["windows8"], "Windows 8", Windows, Yes, Unsaid, Some("2023-01-10")),
    guest(&["windows7"], "Windows 7", Windows, Yes, Unsaid, Some("2020-01-14")),
    guest(&["winVista"], "Windows Vista", Windows, No, No, Some("2017-04-11")),
    guest(&["winXPPro", "winXPHome"], "Windows XP", Windows, No, No, Some("2014-04-08")),
    guest(&["win2000Serv", "win2000AdvServ", "win2000Pro"], "Windows 2000", Windows, No, No, Some("2010-07-13")),
    guest(&["winNT", "winMe", "win98", "win95", "win31", "dos"], "Windows NT", Windows, No, No, None),
    guest(&["windowsHyperV"], "Hyper-V", Windows, No, No, None),

    guest(&["rhel10"], "Red Hat Enterprise Linux 10", Linux, No, Unsaid, None),
    guest(&["rhel9"], "Red Hat Enterprise Linux 9", Linux, Yes, Yes, None),
    guest(&["rhel8"], "Red Hat Enterprise Linux 8", Linux, Yes, Yes, None),
    guest(&["rhel7"], "Red Hat Enterprise Linux 7", Linux, Yes, Yes, Some("2024-06-30")),
    guest(&["rhel6"], "Red Hat Enterprise Linux 6", Linux, Yes, Yes, Some("2020-11-30")),
    guest(&["rhel5"], "Red Hat Enterprise Linux 5", Linux, Yes, Unsaid, Some("2017-03-31")),
    guest(&["rhel4", "rhel3", "rhel2", "redhat"], "Red Hat Enterprise Linux 4", Linux, No, No, Some("2012-02-29")),
    guest(&["centos9"], "CentOS 9", Linux, Unsaid, Yes, Some("2027-05-31")),
    guest(&["centos8"], "CentOS 8", Linux, Unsaid, Yes, Some("2024-05-31")),
    guest(&["centos7"], "CentOS 7", Linux, Unsaid, Unsaid, Some("2024-06-30")),
    guest(&["centos6"], "CentOS 6", Linux, Unsaid, Unsaid, Some("2020-11-30")),
    guest(&["centos"], "CentOS", Linux, Unsaid, Unsaid, None),
    guest(&["ubuntu"], "Ubuntu", Linux, Yes, Yes, None),
    guest(&["debian13"], "Debian GNU/Linux 13", Linux, No, Unsaid, None),
    guest(&["debian12"], "Debian GNU/Linux 12", Linux, Yes, Unsaid, None),
    guest(&["debian11"], "Debian GNU/Linux 11", Linux, Yes, Yes, Some("2026-08-31")),
    guest(&["debian10"], "Debian GNU/Linux 10", Linux, Yes, Yes, Some("2024-06-30")),
    guest(&["debian9"], "Debian GNU/Linux 9", Linux, Yes, Yes, Some("2022-06-30")),
    guest(&["debian8"], "Debian GNU/Linux 8", Linux, Yes, Yes, Some("2020-06-30")),
    guest(&["debian7"], "Debian GNU/Linux 7", Linux, Yes, Yes, Some("2018-05-31")),
    guest(&["debian6", "debian5", "debian4"], "Debian GNU/Linux 6", Linux, No, No, Some("2016-02-29")),
    guest(&["sles16"], "SUSE Linux Enterprise 16", Linux, No, Unsaid, None),
    guest(&["sles15"], "SUSE Linux Enterprise 15", Linux, Yes, Yes, None),
    guest(&["sles12"], "SUSE Linux Enterprise 12", Linux, Yes, Yes, Some("2024-10-31")),
    guest(&["sles11"], "SUSE Linux Enterprise 11", Linux, Yes, Yes, Some("2019-03-31")),
    guest(&["sles10", "sles"], "SUSE Linux Enterprise 10", Linux, No, No, Some("2013-07-31")),
    guest(&["oracleLinux10"], "Oracle Linux 10", Linux, No, Unsaid, None),
    guest(&["oracleLinux9"], "Oracle Linux 9", Linux, Yes, Yes, None),
    guest(&["oracleLinux8"], "Oracle Linux 8", Linux, Yes, Yes, None),
    guest(&["oracleLinux7"], "Oracle Linux 7", Linux, Yes, Yes, Some("2024-12-31")),
    guest(&["oracleLinux6"], "Oracle Linux 6", Linux, Yes, Yes, Some("2021-03-31")),
    guest(&["oracleLinux"], "Oracle Linux", Linux, Unsaid, Unsaid, None),
    guest(&["rockylinux"], "Rocky Linux", Linux, Yes, Unsaid, None),
    guest(&["almalinux"], "AlmaLinux", Linux, Yes, Unsaid, None),
    guest(&["amazonlinux2", "amazonlinux3"], "Amazon Linux", Linux, No, Unsaid, None),
    guest(&["fedora"], "Fedora", Linux, No, Unsaid, None),
    guest(&["opensuse", "suse"], "openSUSE", Linux, No, Unsaid, None),
    guest(&["vmwarePhoton"], "Photon", Linux, No, Unsaid, None),
    guest(&["asianux3", "asianux4", "asianux5", "asianux7", "asianux8", "asianux9", "coreos", "crxPod1", "crxSys1",
        "fusionos", "kylinlinux", "mandrake", "mandriva", "miraclelinux", "pardus", "prolinux", "turboLinux"],
        "", Linux, No, Unsaid, None),
    guest(&["linux", "genericLinux", "otherLinux", "other24xLinux", "other26xLinux", "other3xLinux", "other4xLinux",
        "other5xLinux", "other6xLinux", "other7xLinux"], "", Linux, Unsaid, Unsaid, None),

    guest(&["other", "otherGuest"], "", Other, Unsaid, Unsaid, None),
    guest(&["freebsd", "freebsd11", "freebsd12", "freebsd13", "freebsd14", "freebsd15"], "FreeBSD", Other, No, No, None),
    guest(&["darwin", "darwin10", "darwin11", "darwin12", "darwin13", "darwin14", "darwin15", "darwin16", "darwin17",
        "darwin18", "darwin19", "darwin20", "darwin21", "darwin22", "darwin23"], "macOS", Other, No, No, None),
    guest(&["solaris", "solaris6", "solaris7", "solaris8", "solaris9", "solaris10", "solaris11"],
        "Solaris", Other, No, No, None),
    guest(&["vmkernel", "vmkernel5", "vmkernel6", "vmkernel65", "vmkernel7", "vmkernel8", "vmkernel9"],
        "ESXi", Other, No, No, None),
    guest(&["netware", "netware4", "netware5", "netware6", "nld9", "oes", "sjds", "os2", "eComStation", "eComStation2",
        "openServer5", "openServer6", "unixWare7"], "NetWare", Other, No, No, None),
];

impl Guest {
    /// The row of a machine: by its guest id, without one by the system's name. None where neither is known.
    pub fn of(vm: &Vm) -> Option<&'static Guest> {
        match (&vm.guest_id, &vm.guest_full_name) {
            (Some(id), _) => {
                let id = stem(id);
                GUESTS
                    .iter()
                    .find(|g| g.ids.iter().any(|known| known.eq_ignore_ascii_case(id)))
            }
            (None, Some(name)) => Self::named(name),
            (None, None) => None,
        }
    }

    /// The row whose name is the longest in a system's name. A digit behind it would be another version.
    pub fn named(name: &str) -> Option<&'static Guest> {
        let name = name.to_ascii_lowercase();
        GUESTS
            .iter()
            .filter(|g| !g.name.is_empty())
            .filter(|g| {
                name.split_once(&g.name.to_ascii_lowercase())
                    .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .max_by_key(|g| g.name.len())
    }

    /// Whether this is the system with the id.
    pub fn is(&self, id: &str) -> bool {
        self.ids.contains(&id)
    }
}

/// Whether the system is a 64-bit one, as far as its id or name tells.
pub fn is_64_bit(vm: &Vm) -> Option<bool> {
    match (&vm.guest_id, &vm.guest_full_name) {
        (Some(id), _) if stem(id) != id.as_str() => Some(id.ends_with("64Guest") || id.ends_with("Guest64")),
        (_, Some(name)) if name.contains("64-bit") => Some(true),
        (_, Some(name)) if name.contains("32-bit") => Some(false),
        _ => None,
    }
}

/// `windows9Server64Guest` and `rhel8_64Guest` without their ends. `centos64Guest` is 64-bit CentOS, not CentOS 64.
fn stem(id: &str) -> &str {
    let id = id.strip_suffix("Guest").unwrap_or(id);
    let id = id.strip_suffix("64").unwrap_or(id);
    id.strip_suffix('_').unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn of(id: &str) -> Option<&'static str> {
        Guest::of(&Vm {
            guest_id: Some(id.into()),
            ..Vm::default()
        })
        .map(|g| g.name)
    }

    #[test]
    fn ids_of_vsphere_find_their_row() {
        for (id, name) in [
            ("windows9Server64Guest", "Windows Server 2016"),
            ("windows9_64Guest", "Windows 10"),
            ("windows2019srvNext_64Guest", "Windows Server 2022"),
            ("windows7Server64Guest", "Windows Server 2008 R2"),
            ("winNetEnterprise64Guest", "Windows Server 2003"),
            ("centos64Guest", "CentOS"),
            ("centos7_64Guest", "CentOS 7"),
            ("ubuntu64Guest", "Ubuntu"),
            ("rhel6Guest", "Red Hat Enterprise Linux 6"),
        ] {
            assert_eq!(of(id), Some(name), "{id}");
        }
        assert_eq!(of("other3xLinux64Guest"), Some(""));
        assert_eq!(of("plan9Guest"), None);
    }

    #[test]
    fn names_find_the_same_rows() {
        for (name, id) in [
            ("Microsoft Windows Server 2016 or later (64-bit)", "windows9Server"),
            ("Microsoft Windows Server 2008 R2 (64-bit)", "windows7Server"),
            ("Microsoft Windows Server 2008 (32-bit)", "winLonghorn"),
            ("Red Hat Enterprise Linux 10 (64-bit)", "rhel10"),
            ("CentOS 4/5 or later (64-bit)", "centos"),
            ("CentOS 7 (64-bit)", "centos7"),
            ("Debian GNU/Linux 12 (64-bit)", "debian12"),
            ("Oracle Linux 8 (64-bit)", "oracleLinux8"),
        ] {
            assert!(Guest::named(name).is_some_and(|g| g.is(id)), "{name}");
        }
        assert_eq!(Guest::named("Windows 2020"), None);
        assert_eq!(Guest::named("Debian GNU/Linux 99"), None);
    }

    #[test]
    fn bits_are_told_by_id_or_name() {
        let bits = |id: Option<&str>, name: Option<&str>| {
            is_64_bit(&Vm {
                guest_id: id.map(Into::into),
                guest_full_name: name.map(Into::into),
                ..Vm::default()
            })
        };
        assert_eq!(bits(Some("rhel6_64Guest"), None), Some(true));
        assert_eq!(bits(Some("rhel6Guest"), None), Some(false));
        assert_eq!(bits(None, Some("CentOS 6 (32-bit)")), Some(false));
        assert_eq!(bits(None, Some("Ubuntu Linux")), None);
    }

    #[test]
    fn no_id_stands_twice() {
        let mut seen = HashSet::new();
        for id in GUESTS.iter().flat_map(|g| g.ids) {
            assert!(seen.insert(id.to_ascii_lowercase()), "{id}");
        }
    }
}
