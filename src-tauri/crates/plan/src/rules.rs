//! Rule packs: facts about Azure, Site Recovery and vSphere that age. Each has a date and a source, and a plan says by
//! which pack it was judged. `tutorial-2018` judges a design as the 2018 tutorial would, for comparison; it never runs.

use crate::{
    design::{DatabaseMethod, Design},
    inventory::Vm,
    task::{Finding, Severity},
};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Azure's virtual resolver, which must stay in the DNS list of a managed instance's network.
pub const AZURE_RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// A dated set of limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pack {
    pub id: &'static str,
    /// Year and month for which it was checked.
    pub date: &'static str,
    /// Smallest subnet for a managed instance, as prefix length.
    pub mi_subnet_prefix: u8,
    /// The subnet must be delegated, with network security group and route table; in 2018 a group was forbidden.
    pub mi_delegation: bool,
    /// Cores that General Purpose offers.
    pub mi_vcores: &'static [u16],
    /// GiB; storage comes in steps of this.
    pub mi_storage_step: u32,
    /// Oldest vCenter that Site Recovery supports.
    pub vcenter: &'static str,
    /// Bytes: largest operating system disk by firmware.
    pub os_disk_bios: u64,
    pub os_disk_efi: u64,
    pub data_disks: u32,
    /// Guest ids that Site Recovery replicates, by prefix.
    pub guests: &'static [&'static str],
    pub source: &'static str,
}

const GIB: u64 = 1 << 30;

/// The rules of today.
pub const CURRENT: Pack = Pack {
    id: "current",
    date: "2026-11",
    mi_subnet_prefix: 27,
    mi_delegation: true,
    mi_vcores: &[4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 128],
    mi_storage_step: 32,
    vcenter: "6.5",
    os_disk_bios: 2048 * GIB,
    os_disk_efi: 4095 * GIB,
    data_disks: 64,
    guests: &[
        "windows7Server64",
        "windows8Server64",
        "windows9Server64",
        "windows2019srv",
        "windows2022srv",
        "windows7_64",
        "windows8_64",
        "windows9_64",
        "rhel",
        "centos",
        "ubuntu",
        "debian",
        "sles",
        "oracleLinux",
    ],
    source: "learn.microsoft.com: SQL MI connectivity architecture (2023-08), VMware to Azure support matrix (2023-09)",
};

/// The rules as the tutorial of May 2018 states them.
pub const TUTORIAL_2018: Pack = Pack {
    id: "tutorial-2018",
    date: "2018-05",
    mi_subnet_prefix: 28,
    mi_delegation: false,
    mi_vcores: &[8, 16, 24],
    vcenter: "5.5",
    source: "Contoso rehost tutorial, 2018-05-28",
    ..CURRENT
};

/// Finds a pack by id.
pub fn pack(id: &str) -> Option<&'static Pack> {
    [&CURRENT, &TUTORIAL_2018].into_iter().find(|p| p.id == id)
}

impl Pack {
    fn finding(&self, rule: &str, severity: Severity, about: &str, title: String, detail: String) -> Finding {
        Finding {
            rule: rule.into(),
            severity,
            about: about.into(),
            title,
            detail,
            source: self.source.into(),
        }
    }

    /// Judges the target design: subnet sizes, overlaps, DNS, sizes, names.
    pub fn judge_design(&self, d: &Design) -> Vec<Finding> {
        let mut out = Vec::new();
        let mut block = |rule: &str, about: &str, title: String, detail: String| {
            out.push(self.finding(rule, Severity::Blocking, about, title, detail));
        };
        let mi = &d.mi;
        if mi.subnet_space.prefix_len() > self.mi_subnet_prefix {
            block(
                "mi-subnet-size",
                &mi.subnet,
                format!("Subnet {} is too small for a managed instance", mi.subnet),
                format!(
                    "{} has {} addresses; a managed instance needs a /{} or larger. Choose a larger address range in Design.",
                    mi.subnet_space,
                    addresses(mi.subnet_space),
                    self.mi_subnet_prefix
                ),
            );
        }
        for (name, space) in [
            (&mi.subnet, mi.subnet_space),
            (&mi.workstation_subnet, mi.workstation_space),
        ] {
            if !mi.network_space.contains(&space) {
                block(
                    "subnet-outside",
                    name,
                    format!("Subnet {name} lies outside {}", mi.network),
                    format!(
                        "{space} is not part of {}. Correct the address range in Design.",
                        mi.network_space
                    ),
                );
            }
        }
        if overlap(mi.subnet_space, mi.workstation_space) {
            block(
                "subnet-overlap",
                &mi.workstation_subnet,
                format!("Subnets {} and {} overlap", mi.subnet, mi.workstation_subnet),
                format!(
                    "{} and {} share addresses. Correct one of them in Design.",
                    mi.subnet_space, mi.workstation_space
                ),
            );
        }
        for (name, space) in [(&mi.network, mi.network_space), (&d.test_network, d.test_space)] {
            for known in d.known_spaces.iter().filter(|k| overlap(**k, space)) {
                block(
                    "space-overlap",
                    name,
                    format!("Network {name} overlaps an existing network"),
                    format!(
                        "{space} and {known} share addresses, so they can't be peered or routed. Choose another range in Design."
                    ),
                );
            }
        }
        if !d.dns.is_empty() && !d.dns.contains(&AZURE_RESOLVER) {
            block(
                "mi-dns",
                &mi.network,
                "The DNS list lacks Azure's resolver".into(),
                format!(
                    "A managed instance must reach Azure's own names: add {AZURE_RESOLVER} as the last DNS server in Design."
                ),
            );
        }
        if !self.mi_vcores.contains(&mi.vcores) {
            block(
                "mi-vcores",
                &mi.name,
                format!("{} vCores are not offered", mi.vcores),
                format!(
                    "General Purpose offers {:?} vCores. Choose one of them in Design.",
                    self.mi_vcores
                ),
            );
        }
        if mi.storage_gib == 0 || !mi.storage_gib.is_multiple_of(self.mi_storage_step) {
            block(
                "mi-storage",
                &mi.name,
                format!("{} GiB is not a valid storage size", mi.storage_gib),
                format!("Storage comes in steps of {} GiB.", self.mi_storage_step),
            );
        }
        for account in [&d.cache_account, &d.backup_account] {
            let ok = (3..=24).contains(&account.len())
                && account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !ok {
                block(
                    "storage-name",
                    account,
                    format!("`{account}` is not a valid storage account name"),
                    "A name has 3 to 24 lower-case letters and digits. Correct it in Design.".into(),
                );
            }
        }
        self.judge_dms(d, &mut out);
        out
    }

    /// Judges what Azure Database Migration Service would refuse late. Numbers are the service's error codes.
    /// Source: learn.microsoft.com, known issues of the Azure SQL migration extension (2023-04).
    fn judge_dms(&self, d: &Design, out: &mut Vec<Finding>) {
        if !d.uses_dms() {
            return;
        }
        let dms = &d.dms;
        let mut needed = vec![("the name of the service", &dms.service)];
        if d.from_share() {
            needed.extend([
                ("the path of the share", &dms.share_path),
                ("the account that reads the share", &dms.share_user),
                ("the computer of the integration runtime", &dms.runtime_host),
            ]);
        }
        if d.reading_identity().is_some() {
            needed.push(("the object id of the identity", &dms.identity_principal));
        } else {
            needed.extend([
                ("the name of the source SQL Server", &dms.sql_server),
                ("the login in the source SQL Server", &dms.sql_user),
            ]);
        }
        let missing: Vec<&str> = needed
            .iter()
            .filter(|(_, value)| value.trim().is_empty())
            .map(|(what, _)| *what)
            .collect();
        if !missing.is_empty() {
            out.push(self.finding(
                "dms-incomplete",
                Severity::Blocking,
                &d.database,
                "Database Migration Service lacks settings".into(),
                format!("Enter {} in Design.", missing.join(", ")),
            ));
        }
        let mut unc = dms.share_path.strip_prefix(r"\\").unwrap_or_default().split('\\');
        let (server, share) = (unc.next().unwrap_or_default(), unc.next().unwrap_or_default());
        if d.from_share() && !dms.share_path.is_empty() && (server.is_empty() || share.is_empty()) {
            out.push(self.finding(
                "dms-share-path",
                Severity::Blocking,
                &dms.share_path,
                "The share's path is not one of the network".into(),
                r"The integration runtime reaches it as \\SERVER\share\folder. Correct it in Design.".into(),
            ));
        }
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        if d.from_share() && !server.is_empty() && short(server) == short(&dms.runtime_host) {
            out.push(self.finding(
                "dms-runtime-host",
                Severity::Blocking,
                &dms.runtime_host,
                "The integration runtime is on the computer that holds the share".into(),
                "The service refuses that (error 2049). Install the integration runtime on another computer and name it in Design.".into(),
            ));
        }
        if d.database_method == DatabaseMethod::DmsOffline {
            out.push(self.finding(
                "dms-offline-downtime",
                Severity::Information,
                &d.database,
                "The whole restore lies in the change window".into(),
                "An offline migration begins when the last backup is there, so the application is down until full backup and logs are restored. With DMS online or Log Replay Service only the tail of the log is left to restore in the window.".into(),
            ));
        }
    }

    /// Judges one machine against the support rules for replication. Sizes come from the inventory's second pass when
    /// it was read.
    pub fn judge_vm(&self, vm: &Vm) -> Vec<Finding> {
        let mut out = Vec::new();
        let mut add = |rule: &str, severity, title: String, detail: String| {
            out.push(self.finding(rule, severity, &vm.name, title, detail));
        };
        let valid = !vm.name.is_empty()
            && vm.name.len() <= 63
            && vm.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !vm.name.starts_with('-')
            && !vm.name.ends_with('-');
        if !valid {
            add(
                "vm-name",
                Severity::Warning,
                format!("`{}` can't be the name of an Azure VM", vm.name),
                "Names have 1 to 63 letters, digits and hyphens. Give the Azure VM another name in Design.".into(),
            );
        }
        if let Some(guest) = &vm.guest_id
            && !self
                .guests
                .iter()
                .any(|g| guest.to_ascii_lowercase().starts_with(&g.to_ascii_lowercase()))
        {
            add(
                "vm-guest",
                Severity::Blocking,
                format!(
                    "{} runs an operating system that Site Recovery doesn't replicate",
                    vm.name
                ),
                format!(
                    "vCenter reports `{guest}`. Check the support matrix, or correct the guest OS in the VM's settings."
                ),
            );
        }
        if vm.template {
            add(
                "vm-template",
                Severity::Blocking,
                format!("{} is a template", vm.name),
                "Convert it to a VM first.".into(),
            );
        }
        if vm.secure_boot == Some(true) {
            add(
                "vm-secure-boot",
                Severity::Blocking,
                format!("{} has Secure Boot enabled", vm.name),
                "Site Recovery supports UEFI only with Secure Boot off. Azure Migrate agentless would do.".into(),
            );
        }
        if vm.disk_count > self.data_disks + 1 {
            add(
                "vm-disks",
                Severity::Blocking,
                format!("{} has {} disks", vm.name, vm.disk_count),
                format!("At most {} data disks are replicated.", self.data_disks),
            );
        }
        let limit = if vm.firmware.as_deref() == Some("efi") {
            self.os_disk_efi
        } else {
            self.os_disk_bios
        };
        if let Some(os) = vm.disk_bytes.first().filter(|b| **b > limit) {
            add(
                "vm-os-disk",
                Severity::Blocking,
                format!("The OS disk of {} is too large", vm.name),
                format!("{} GiB; the limit for this firmware is {} GiB.", os / GIB, limit / GIB),
            );
        }
        if vm.tools_status.as_deref().is_some_and(|s| s != "guestToolsRunning") {
            add(
                "vm-tools",
                Severity::Warning,
                format!("VMware Tools are not running in {}", vm.name),
                "Readiness can't be read and the guest can't be shut down cleanly. Install or start VMware Tools."
                    .into(),
            );
        }
        out
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn addresses(net: Ipv4Net) -> u64 {
    1u64 << (32 - net.prefix_len())
}

/// Compares dotted versions, `6.7` with `7.0.3`; missing parts count as 0, other text as 0.
pub fn version_at_least(have: &str, want: &str) -> bool {
    let parts = |s: &str| -> Vec<u32> { s.split('.').map(|p| p.parse().unwrap_or(0)).collect() };
    let (mut h, mut w) = (parts(have), parts(want));
    let len = h.len().max(w.len());
    h.resize(len, 0);
    w.resize(len, 0);
    h >= w
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smarthotel;

    #[test]
    fn sample_design_has_no_findings() {
        assert_eq!(CURRENT.judge_design(&smarthotel::design()), vec![]);
    }

    #[test]
    fn each_design_rule_finds_its_fault() {
        type Fault = fn(&mut Design);
        let cases: [(&str, Fault); 8] = [
            ("mi-subnet-size", |d| {
                d.mi.subnet_space = "10.235.0.0/28".parse().unwrap()
            }),
            ("subnet-outside", |d| {
                d.mi.subnet_space = "10.99.0.0/25".parse().unwrap()
            }),
            ("subnet-overlap", |d| {
                d.mi.workstation_space = "10.235.0.0/26".parse().unwrap()
            }),
            ("space-overlap", |d| {
                d.known_spaces.push("10.235.0.128/25".parse().unwrap())
            }),
            ("mi-dns", |d| d.dns.retain(|a| *a != AZURE_RESOLVER)),
            ("mi-vcores", |d| d.mi.vcores = 5),
            ("mi-storage", |d| d.mi.storage_gib = 33),
            ("storage-name", |d| d.cache_account = "Contoso_1".into()),
        ];
        for (rule, fault) in cases {
            let mut d = smarthotel::design();
            fault(&mut d);
            let found = CURRENT.judge_design(&d);
            assert!(
                found.iter().any(|f| f.rule == rule),
                "{rule} must be found, got {found:?}"
            );
        }
    }

    #[test]
    fn tutorial_pack_accepts_what_today_refuses() {
        let mut d = smarthotel::design();
        d.mi.subnet_space = "10.235.0.0/28".parse().unwrap();
        assert!(TUTORIAL_2018.judge_design(&d).is_empty());
        assert!(!CURRENT.judge_design(&d).is_empty());
    }

    #[test]
    fn each_vm_rule_finds_its_fault() {
        let good = Vm {
            name: "WEBVM".into(),
            guest_id: Some("windows9Server64Guest".into()),
            disk_count: 1,
            tools_status: Some("guestToolsRunning".into()),
            firmware: Some("bios".into()),
            disk_bytes: vec![60 * GIB],
            ..Vm::default()
        };
        assert_eq!(CURRENT.judge_vm(&good), vec![]);
        type Fault = fn(&mut Vm);
        let cases: [(&str, Fault); 7] = [
            ("vm-name", |v| v.name = "web_vm".into()),
            ("vm-guest", |v| v.guest_id = Some("freebsd12Guest".into())),
            ("vm-template", |v| v.template = true),
            ("vm-secure-boot", |v| v.secure_boot = Some(true)),
            ("vm-disks", |v| v.disk_count = 66),
            ("vm-os-disk", |v| v.disk_bytes = vec![3000 * GIB]),
            ("vm-tools", |v| v.tools_status = Some("guestToolsNotRunning".into())),
        ];
        for (rule, fault) in cases {
            let mut v = good.clone();
            fault(&mut v);
            assert!(CURRENT.judge_vm(&v).iter().any(|f| f.rule == rule), "{rule}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_at_least("7.0.3", "6.5"));
        assert!(version_at_least("6.5", "6.5.0"));
        assert!(!version_at_least("6.0", "6.5"));
        assert!(version_at_least("10.0", "8.0"));
    }
}
