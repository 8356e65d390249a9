//! Rule packs: facts about Azure, Site Recovery and vSphere that age. Each has a date and a source, and a plan says by
//! which pack it was judged. `tutorial-2018` judges a design as the 2018 tutorial would, for comparison; it never runs.

use crate::{
    design::{DatabaseMethod, Design, ReplicationMethod},
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
    /// What is different when Azure Migrate replicates without an agent.
    pub agentless: Agentless,
    pub source: &'static str,
}

/// Limits of Azure Migrate's agentless replication.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agentless {
    /// Bytes: largest operating system disk, whatever the firmware.
    pub os_disk: u64,
    pub data_disks: u32,
    /// Guest ids that it replicates beside those of Site Recovery, by prefix.
    pub more_guests: &'static [&'static str],
    pub source: &'static str,
}

/// A generation of replication that Microsoft has retired: recognised and explained, never started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    pub name: &'static str,
    /// What ended when, in words.
    pub dates: &'static str,
    /// What to do with what is still there.
    pub advice: &'static str,
    pub source: &'static str,
}

/// Site Recovery with a configuration server, `InMageAzureV2`.
pub const CLASSIC_SITE_RECOVERY: Retired = Retired {
    name: "Site Recovery classic (configuration server, InMageAzureV2)",
    dates: "Enabling replication has been blocked since 31 January 2026, Microsoft has not supported it since 15 March 2026, and machines can't stay on it after 30 March 2026 (Microsoft's page names both 15 and 30 March).",
    advice: "Move these machines to the modernized experience (vault, Replicated items, Upgrade), or disable their replication and remove the configuration server from the vault.",
    source: "learn.microsoft.com: vmware-physical-azure-classic-deprecation (2026-08-26)",
};

/// Azure Migrate's agent-based replication by the same configuration server.
pub const CLASSIC_AGENT_BASED: Retired = Retired {
    name: "Azure Migrate agent-based classic (InMageAzureV2)",
    dates: "Enabling replication was blocked on 31 March 2026, replication ended on 31 May 2026, and it was fully retired on 30 September 2026.",
    advice: "Nothing is replicated any more. Stop the replication of these machines in the Azure Migrate project and replicate them anew, without an agent or with the simplified agent-based experience.",
    source: "learn.microsoft.com: simplified-experience-for-azure-migrate (2025-11-11)",
};

const GIB: u64 = 1 << 30;

/// Bytes: largest managed disk. Source: VMware to Azure support matrix (2023-09).
const MANAGED_DISK: u64 = 32_767 * GIB;

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
    agentless: Agentless {
        os_disk: 2048 * GIB,
        data_disks: 59,
        more_guests: &["winNet", "winLonghorn"],
        source: "learn.microsoft.com: support matrix for VMware migration (2024-05-15; disks per VM 2022-11)",
    },
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
        let agentless = d.replication == ReplicationMethod::VMwareCbt;
        if agentless {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if d.migrate_project.is_empty() || !d.migrate_project.bytes().all(plain) {
                block(
                    "migrate-project",
                    &d.migrate_project,
                    "The Azure Migrate project has no valid name".into(),
                    "A name has letters, digits and hyphens. Enter one in Design.".into(),
                );
            }
            if d.migrate_location.is_empty() {
                block(
                    "migrate-location",
                    &d.migrate_project,
                    "The Azure Migrate project has no region".into(),
                    "Enter the region that keeps the project's records in Design, such as Central US. It need not be the VM's.".into(),
                );
            }
        }
        let cache = (!agentless).then_some(&d.cache_account);
        for account in cache.into_iter().chain([&d.backup_account]) {
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
        if agentless {
            out.push(Finding {
                source: "Broadcom's download pages, September 2026".into(),
                ..self.finding(
                    "agentless-vddk",
                    Severity::Warning,
                    &d.appliance,
                    "The appliance needs VMware's Virtual Disk Development Kit".into(),
                    "Broadcom has ended its public download. Make sure that you hold a copy before the run; without one, choose InMageRcm in Design.".into(),
                )
            });
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

    /// Judges one machine against the support rules of a replication method. Sizes come from the inventory's second pass
    /// when it was read.
    pub fn judge_vm(&self, vm: &Vm, method: ReplicationMethod) -> Vec<Finding> {
        let agentless = method == ReplicationMethod::VMwareCbt;
        let service = if agentless { "Azure Migrate" } else { "Site Recovery" };
        let source = if agentless { self.agentless.source } else { self.source };
        let mut out = Vec::new();
        let mut add = |rule: &str, severity, title: String, detail: String| {
            out.push(Finding {
                source: source.into(),
                ..self.finding(rule, severity, &vm.name, title, detail)
            });
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
        if agentless && !vm.name.is_ascii() {
            add(
                "vm-ascii",
                Severity::Warning,
                format!("`{}` has characters outside ASCII", vm.name),
                "Azure Migrate doesn't replicate disks whose files have such names, and files usually bear the machine's. Look at them in the datastore; a Storage vMotion after a rename gives them new names.".into(),
            );
        }
        if vm.ip_address.as_deref().is_some_and(|a| a.contains(':')) {
            add(
                "vm-ipv6",
                Severity::Warning,
                format!("{} uses IPv6", vm.name),
                format!("{service} doesn't carry IPv6 addresses over. Make sure that the machine is reached by IPv4."),
            );
        }
        let more = if agentless { self.agentless.more_guests } else { &[] };
        if let Some(guest) = &vm.guest_id
            && !self
                .guests
                .iter()
                .chain(more)
                .any(|g| guest.to_ascii_lowercase().starts_with(&g.to_ascii_lowercase()))
        {
            add(
                "vm-guest",
                Severity::Blocking,
                format!("{} runs an operating system that {service} doesn't replicate", vm.name),
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
        if vm.secure_boot == Some(true) && agentless {
            add(
                "vm-secure-boot",
                Severity::Warning,
                format!("{} has Secure Boot enabled", vm.name),
                "It comes up in Azure without it. Turn on Trusted Launch after the migration.".into(),
            );
        } else if vm.secure_boot == Some(true) {
            add(
                "vm-secure-boot",
                Severity::Blocking,
                format!("{} has Secure Boot enabled", vm.name),
                "Site Recovery supports UEFI only with Secure Boot off. Azure Migrate agentless would do.".into(),
            );
        }
        let data_disks = if agentless {
            self.agentless.data_disks
        } else {
            self.data_disks
        };
        if vm.disk_count > data_disks + 1 {
            add(
                "vm-disks",
                Severity::Blocking,
                format!("{} has {} disks", vm.name, vm.disk_count),
                format!("At most {data_disks} data disks are replicated."),
            );
        }
        let limit = if agentless {
            self.agentless.os_disk
        } else if vm.firmware.as_deref() == Some("efi") {
            self.os_disk_efi
        } else {
            self.os_disk_bios
        };
        if let Some(os) = vm.disk_bytes().next().filter(|b| *b > limit) {
            add(
                "vm-os-disk",
                Severity::Blocking,
                format!("The OS disk of {} is too large", vm.name),
                format!("{} GiB; the limit for this firmware is {} GiB.", os / GIB, limit / GIB),
            );
        }
        if let Some(data) = vm.disk_bytes().skip(1).find(|b| *b > MANAGED_DISK) {
            add(
                "vm-data-disk",
                Severity::Blocking,
                format!("A data disk of {} is too large", vm.name),
                format!(
                    "{} GiB; a managed disk has at most {} GiB.",
                    data / GIB,
                    MANAGED_DISK / GIB
                ),
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
    use crate::inventory::{Disk, VmDetails};
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
    fn agentless_needs_a_project_and_says_what_else() {
        let mut d = smarthotel::design();
        d.replication = ReplicationMethod::VMwareCbt;
        d.cache_account = "Not used".into();
        let rules = |d: &Design| CURRENT.judge_design(d).into_iter().map(|f| f.rule).collect::<Vec<_>>();
        assert_eq!(rules(&d), ["agentless-vddk"]);
        (d.migrate_project, d.migrate_location) = Default::default();
        assert_eq!(rules(&d), ["migrate-project", "migrate-location", "agentless-vddk"]);
    }

    #[test]
    fn tutorial_pack_accepts_what_today_refuses() {
        let mut d = smarthotel::design();
        d.mi.subnet_space = "10.235.0.0/28".parse().unwrap();
        assert!(TUTORIAL_2018.judge_design(&d).is_empty());
        assert!(!CURRENT.judge_design(&d).is_empty());
    }

    fn disks(gib: &[u64]) -> Option<VmDetails> {
        let disk = |g: &u64| Disk {
            capacity_bytes: g * GIB,
            ..Disk::default()
        };
        Some(VmDetails {
            disks: gib.iter().map(disk).collect(),
            ..VmDetails::default()
        })
    }

    #[test]
    fn each_vm_rule_finds_its_fault() {
        let good = Vm {
            name: "WEBVM".into(),
            guest_id: Some("windows9Server64Guest".into()),
            disk_count: 1,
            tools_status: Some("guestToolsRunning".into()),
            firmware: Some("bios".into()),
            details: disks(&[60]),
            ..Vm::default()
        };
        use ReplicationMethod::{InMageRcm, VMwareCbt};
        for method in [InMageRcm, VMwareCbt] {
            assert_eq!(CURRENT.judge_vm(&good, method), vec![]);
        }
        type Fault = fn(&mut Vm);
        let cases: [(&str, Fault); 9] = [
            ("vm-ipv6", |v| v.ip_address = Some("fd00::10".into())),
            ("vm-data-disk", |v| v.details = disks(&[60, 33_000])),
            ("vm-name", |v| v.name = "web_vm".into()),
            ("vm-guest", |v| v.guest_id = Some("freebsd12Guest".into())),
            ("vm-template", |v| v.template = true),
            ("vm-secure-boot", |v| v.secure_boot = Some(true)),
            ("vm-disks", |v| v.disk_count = 66),
            ("vm-os-disk", |v| v.details = disks(&[3000])),
            ("vm-tools", |v| v.tools_status = Some("guestToolsNotRunning".into())),
        ];
        for (rule, fault) in cases {
            let mut v = good.clone();
            fault(&mut v);
            for method in [InMageRcm, VMwareCbt] {
                assert!(CURRENT.judge_vm(&v, method).iter().any(|f| f.rule == rule), "{rule}");
            }
        }
        // Where the methods disagree.
        let severity = |fault: Fault, method| {
            let mut v = good.clone();
            fault(&mut v);
            CURRENT.judge_vm(&v, method).first().map(|f| f.severity)
        };
        let (warning, blocking) = (Some(Severity::Warning), Some(Severity::Blocking));
        let differ: [(Fault, _, _); 4] = [
            (|v| v.secure_boot = Some(true), blocking, warning),
            (
                |v| (v.firmware, v.details) = (Some("efi".into()), disks(&[3000])),
                None,
                blocking,
            ),
            (|v| v.disk_count = 62, None, blocking),
            (|v| v.guest_id = Some("winLonghorn64Guest".into()), blocking, None),
        ];
        for (fault, rcm, cbt) in differ {
            assert_eq!((severity(fault, InMageRcm), severity(fault, VMwareCbt)), (rcm, cbt));
        }
        let mut v = good;
        v.name = "WÄBVM".into();
        assert!(CURRENT.judge_vm(&v, VMwareCbt).iter().any(|f| f.rule == "vm-ascii"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_at_least("7.0.3", "6.5"));
        assert!(version_at_least("6.5", "6.5.0"));
        assert!(!version_at_least("6.0", "6.5"));
        assert!(version_at_least("10.0", "8.0"));
    }
}
