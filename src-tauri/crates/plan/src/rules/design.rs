//! Rules for the target design: sizes and overlaps of networks, names, what the services would refuse late.

use super::{AZURE_RESOLVER, Pack};
use crate::{
    design::{DatabaseMethod, Design, ReplicationMethod},
    task::{Finding, Severity},
};
use ipnet::Ipv4Net;

impl Pack {
    fn finding(&self, rule: &str, severity: Severity, about: &str, title: String, detail: String) -> Finding {
        Finding {
            rule: rule.into(),
            severity,
            about: about.into(),
            title,
            detail,
            who: String::new(),
            command: String::new(),
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
        self.judge_several(d, &mut out);
        out
    }

    /// Judges the databases that are moved together. Sources: learn.microsoft.com, Log Replay Service, limitations (100
    /// restores at once on an instance); self-hosted integration runtime (10 migrations at once on a node, 4 nodes).
    fn judge_several(&self, d: &Design, out: &mut Vec<Finding>) {
        let names: Vec<String> = d.databases().map(str::to_lowercase).collect();
        let twice = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name));
        if let Some((n, _)) = twice {
            let name = d.databases().nth(n).unwrap_or_default();
            out.push(self.finding(
                "databases-twice",
                Severity::Blocking,
                name,
                format!("{name} is to be moved twice"),
                "A database is moved once, and SQL Server ignores case in names. Leave it out in Inventory, Databases.".into(),
            ));
        }
        let all = names.len();
        if !d.uses_dms() && all > LRS_AT_ONCE {
            out.push(self.finding(
                "databases-lrs-limit",
                Severity::Blocking,
                &d.mi.name,
                format!(
                    "{all} databases are restored at once, and Log Replay Service restores {LRS_AT_ONCE} on an instance"
                ),
                "Leave databases out in Inventory, Databases, and move them by another project.".into(),
            ));
        }
        if all > 1 && d.uses_dms() && !d.from_share() {
            out.push(self.finding(
                "databases-dms-folder",
                Severity::Warning,
                &d.dms.service,
                "Database Migration Service is told a folder of the container for each database".into(),
                "Microsoft documents a folder for each database, but not how the service is told of it: that CONTAINER/FOLDER is taken as the container's name is unverified. If the start is refused, nothing is lost; use Log Replay Service or a share instead.".into(),
            ));
        }
        if d.from_share() && all > RUNTIME_AT_ONCE {
            let nodes = all.div_ceil(RUNTIME_AT_ONCE);
            let (severity, what) = if nodes > RUNTIME_NODES {
                (
                    Severity::Blocking,
                    format!(
                        "has {RUNTIME_NODES} nodes at most. Leave databases out in Inventory, Databases, and move them by another project."
                    ),
                )
            } else {
                (
                    Severity::Warning,
                    format!(
                        "needs {nodes} nodes: install it on as many computers and register each with the same key."
                    ),
                )
            };
            out.push(self.finding(
                "databases-runtime-limit",
                severity,
                &d.dms.runtime_host,
                format!(
                    "A node of the integration runtime brings {RUNTIME_AT_ONCE} databases at once, and {all} are moved"
                ),
                format!("The integration runtime {what}"),
            ));
        }
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
}

/// Restores of Log Replay Service at once on one managed instance.
const LRS_AT_ONCE: usize = 100;
/// Migrations at once on one node of an integration runtime, and the nodes that one has.
const RUNTIME_AT_ONCE: usize = 10;
const RUNTIME_NODES: usize = 4;

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn addresses(net: Ipv4Net) -> u64 {
    1u64 << (32 - net.prefix_len())
}
