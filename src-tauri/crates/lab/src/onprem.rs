//! Contoso's datacenter: one vCenter, one host, the machines of the SmartHotel application. The vSphere service reads and
//! changes it; Site Recovery's appliance sees the same machines, and a failover with shutdown powers one off here.

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use crate::{
    guests::{LabGuest, Transfer},
    world::{World, guid, plus},
};

/// A managed entity that isn't a machine.
#[derive(Debug, Clone)]
pub struct Entity {
    /// vim25 type, `Datacenter`.
    pub kind: &'static str,
    pub moref: String,
    pub name: String,
    /// Moref of the parent, none for the root folder.
    pub parent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    On,
    Off,
}

impl Power {
    pub fn vim(self) -> &'static str {
        match self {
            Power::On => "poweredOn",
            Power::Off => "poweredOff",
        }
    }
}

#[derive(Debug, Clone)]
pub struct LabDisk {
    pub key: i32,
    pub label: String,
    /// `[contoso-ds1] WEBVM/WEBVM.vmdk`
    pub file_name: String,
    pub bytes: i64,
    pub uuid: Uuid,
}

/// What a machine has that the scenario's own machines don't have.
#[derive(Debug, Clone, Default)]
pub struct Hardware {
    /// Moref of its host; none = the first.
    pub host: Option<String>,
    /// vim25 type of the disks' controller, and how it shares its bus.
    pub controller: Option<&'static str>,
    pub bus_sharing: Option<&'static str>,
    /// By the disk's key: what is not a thin, persistent file of its own.
    pub disks: BTreeMap<i32, Backing>,
    /// Further cards.
    pub cards: Vec<LabCard>,
    /// Its addresses are not fixed.
    pub dhcp: bool,
    pub vtpm: bool,
    pub passthrough: u32,
    /// Key of VM encryption.
    pub key_id: Option<String>,
    pub change_tracking: bool,
    pub secure_boot: bool,
    pub consolidation_needed: bool,
}

#[derive(Debug, Clone)]
pub struct Backing {
    pub mode: &'static str,
    pub sharing: Option<&'static str>,
    /// Compatibility of a raw device mapping.
    pub raw: Option<&'static str>,
    pub thick: bool,
    pub encrypted: bool,
}

impl Default for Backing {
    fn default() -> Self {
        Self {
            mode: "persistent",
            sharing: None,
            raw: None,
            thick: false,
            encrypted: false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct LabCard {
    /// Moref of the network or port group.
    pub network: String,
    pub mac: String,
    pub ip: String,
}

/// A machine's state at some time: what a revert brings back.
#[derive(Debug, Clone)]
pub struct LabSnapshot {
    pub moref: String,
    pub name: String,
    pub description: String,
    pub created: Timestamp,
    /// Moref of the snapshot that was current then.
    pub parent: Option<String>,
    pub quiesced: bool,
    /// Off unless the memory is part of it.
    pub power: Power,
    pub annotation: String,
    pub extra_config: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct LabVm {
    pub moref: String,
    /// Moref of the folder that it is in.
    pub folder: String,
    pub annotation: String,
    /// Oldest first.
    pub snapshots: Vec<LabSnapshot>,
    /// Moref of the snapshot that it has been running on since.
    pub current_snapshot: Option<String>,
    /// Decoded, as people see it.
    pub name: String,
    pub power: Power,
    pub instance_uuid: Uuid,
    pub bios_uuid: Uuid,
    pub guest_id: String,
    pub guest_full_name: String,
    /// Guest's own name, from VMware Tools.
    pub host_name: String,
    pub ip: String,
    pub mac: String,
    pub cpus: i32,
    pub memory_mib: i64,
    pub disks: Vec<LabDisk>,
    /// `bios` or `efi`.
    pub firmware: &'static str,
    pub tools_running: bool,
    /// `config.extraConfig`, with what guests publish as `guestinfo.…`.
    pub extra_config: BTreeMap<String, String>,
    pub committed_bytes: i64,
    pub hardware: Hardware,
    /// What is inside.
    pub guest: LabGuest,
    pub changed: Timestamp,
}

#[derive(Debug, Clone)]
pub struct LabRole {
    pub id: i32,
    pub name: String,
    pub label: String,
    pub privileges: BTreeSet<String>,
    /// Roles of the product itself can't be changed.
    pub system: bool,
}

#[derive(Debug, Clone)]
pub struct LabPermission {
    pub entity: String,
    pub entity_kind: String,
    pub principal: String,
    pub group: bool,
    pub role: i32,
    pub propagate: bool,
}

#[derive(Debug, Clone)]
pub struct LabSession {
    pub user: String,
    pub login: Timestamp,
    pub last_active: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    Running,
    Success,
    Error { fault: String, message: String },
}

#[derive(Debug, Clone)]
pub struct LabTask {
    pub moref: String,
    /// `VirtualMachine.powerOff`
    pub description: String,
    /// Type and moref.
    pub entity: (&'static str, String),
    pub entity_name: String,
    pub user: String,
    pub started: Timestamp,
    pub ends: Timestamp,
    pub state: TaskState,
    pub cancelable: bool,
    pub cancelled: bool,
    /// Type and moref of what it made.
    pub result: Option<(&'static str, String)>,
}

/// The upload of a machine's files, under which the machine is made.
#[derive(Debug, Clone)]
pub struct LabLease {
    pub moref: String,
    /// Key of the session that has it.
    pub session: String,
    pub vm: String,
    pub state: LeaseState,
    pub files: Vec<LeaseFile>,
    /// As the client says it.
    pub percent: i32,
    /// Seconds; it ends at the deadline unless it hears of the upload.
    pub timeout: i64,
    pub deadline: Timestamp,
}

impl LabLease {
    /// Nobody else may do anything to the machine.
    pub fn is_held(&self) -> bool {
        matches!(self.state, LeaseState::Initializing | LeaseState::Ready)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseState {
    Initializing,
    Ready,
    Done,
    Error { fault: String, message: String },
}

#[derive(Debug, Clone)]
pub struct LeaseFile {
    /// `importKey` of the device.
    pub key: String,
    pub name: String,
    /// Of the disk, in bytes.
    pub capacity: u64,
    /// Bytes that the descriptor has announced.
    pub expected: u64,
    /// Bytes that have come, once all have.
    pub received: Option<u64>,
    /// A cookie came with it.
    pub with_cookie: bool,
}

/// vCenter forgets a task this long after its end.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

impl LabTask {
    pub fn is_known(&self, now: Timestamp) -> bool {
        self.state == TaskState::Running || now.duration_since(self.ends) <= REMEMBERED
    }
}

/// A line of vCenter's history.
#[derive(Debug, Clone)]
pub struct LabEvent {
    pub key: i32,
    pub at: Timestamp,
    /// vim25 type, `VmPoweredOffEvent`.
    pub kind: &'static str,
    /// Moref and name, decoded, of the machine at that time.
    pub vm: (String, String),
    /// `DOMAIN\name`; empty for what vCenter does by itself.
    pub user: String,
    pub message: String,
    /// Moref of the task that a `TaskEvent` tells of.
    pub task: Option<String>,
}

#[derive(Debug)]
pub struct OnPrem {
    pub about: About,
    pub user: String,
    pub password: String,
    /// Passwords of further accounts, by the directory's spelling.
    pub accounts: BTreeMap<String, String>,
    pub entities: Vec<Entity>,
    pub vms: Vec<LabVm>,
    pub roles: Vec<LabRole>,
    pub permissions: Vec<LabPermission>,
    /// Users and groups the directory knows, `DOMAIN\name`; compare ignoring case.
    pub principals: BTreeSet<String>,
    /// By the value of the session cookie.
    pub sessions: BTreeMap<String, LabSession>,
    pub tasks: Vec<LabTask>,
    /// Addresses of guests' files that nobody has used yet, by their tickets.
    pub transfers: BTreeMap<String, Transfer>,
    pub leases: Vec<LabLease>,
    /// Address and thumbprint of the host that takes uploads, in place of vCenter's own. For tests.
    pub upload_host: Option<(String, String)>,
    pub events: Vec<LabEvent>,
    /// What was done to a machine and when: `WEBVM powerOff`. For people's reactions and for tests.
    pub log: Vec<(Timestamp, String)>,
    pub sql: SqlServer,
    /// SQL Servers that can be signed in to; the first is the scenario's own.
    pub instances: Vec<crate::tds::data::Instance>,
}

/// The SQL Server on SQLVM, and the share for its backups.
#[derive(Debug)]
pub struct SqlServer {
    pub user: String,
    pub password: String,
    pub share_path: String,
    pub share_user: String,
    pub share_password: String,
    /// Files on the share, by their paths below it.
    pub share: BTreeMap<String, crate::cloud::Blob>,
    /// Logs of the application's databases, by lower-case names.
    pub logs: BTreeMap<String, DatabaseLog>,
    /// Lab time up to which the logs were written.
    pub written: Option<Timestamp>,
    /// Bytes left on the share; none = enough.
    pub share_free: Option<u64>,
    /// SQL Server's service account may not write to the share.
    pub share_denied: bool,
    /// The network between SQL Server and the containers is closed.
    pub containers_denied: bool,
    /// The connection breaks in the middle of so many backups.
    pub cut_backups: u32,
    /// After a full backup by statements, somebody else's job takes a log backup to the server's own disk.
    pub nightly_log: bool,
    /// A folder of this computer into which SQL Server writes; empty = none.
    pub folder: std::path::PathBuf,
    /// What Windows says when anything on the share is opened, `53(The network path was not found.)`; none = it opens.
    pub share_gone: Option<&'static str>,
}

/// The log of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLog {
    /// Its end: it grows while the web site runs.
    pub position: u64,
    /// The tail was backed up WITH NORECOVERY: nobody can write any more.
    pub restoring: bool,
    /// The database was set READ_ONLY.
    pub read_only: bool,
    /// End of the last backup in the log.
    pub logged: u64,
}

impl Default for DatabaseLog {
    fn default() -> Self {
        Self {
            position: 1,
            restoring: false,
            read_only: false,
            logged: 0,
        }
    }
}

impl DatabaseLog {
    /// Where a backup begins and ends in the log, whoever takes it. A full one holds all of it.
    pub fn back_up(&mut self, full: bool) -> (u64, u64) {
        let from = if full { 0 } else { self.logged };
        self.logged = self.position;
        (from, self.position)
    }
}

impl SqlServer {
    fn new(seed: u64) -> Self {
        let password = |label: &str| format!("Lab-{}-9", guid(seed, label).simple());
        Self {
            user: "svc-dms".into(),
            password: password("SQL login"),
            share_path: r"\\CONTOSOFILE\SmartHotelDB".into(),
            share_user: r"CONTOSO\svc-backup".into(),
            share_password: password("share account"),
            share: BTreeMap::new(),
            logs: BTreeMap::from([("smarthoteldb".into(), DatabaseLog::default())]),
            written: None,
            share_free: None,
            share_denied: false,
            containers_denied: false,
            cut_backups: 0,
            nightly_log: false,
            folder: std::path::PathBuf::new(),
            share_gone: None,
        }
    }

    /// End of a database's log; 0 when the application has none of this name.
    pub fn position(&self, database: &str) -> u64 {
        self.logs.get(&database.to_lowercase()).map_or(0, |l| l.position)
    }

    /// Puts a file on the share that holds the log from `from` to `to`.
    pub fn put_file(&mut self, name: &str, size: u64, modified: Timestamp, (from, to): (u64, u64)) {
        let blob = crate::cloud::Blob {
            size,
            modified,
            log: (from, to),
            bytes: vec![],
        };
        self.share.insert(name.to_owned(), blob);
    }
}

#[derive(Debug)]
pub struct About {
    pub full_name: String,
    pub version: String,
    pub build: String,
    pub api_version: String,
    pub instance_uuid: Uuid,
}

impl LabVm {
    pub fn snapshot(&self, moref: &str) -> Option<&LabSnapshot> {
        self.snapshots.iter().find(|s| s.moref == moref)
    }
}

const GIB: i64 = 1 << 30;

impl OnPrem {
    /// The datacenter of the seed scenario.
    pub fn smarthotel(seed: u64) -> OnPrem {
        let entity = |kind, moref: &str, name: &str, parent: Option<&str>| Entity {
            kind,
            moref: moref.into(),
            name: name.into(),
            parent: parent.map(str::to_owned),
        };
        let entities = vec![
            entity("Folder", "group-d1", "Datacenters", None),
            entity("Datacenter", "datacenter-2", "contoso-datacenter", Some("group-d1")),
            entity("Folder", "group-v3", "vm", Some("datacenter-2")),
            entity("Folder", "group-h4", "host", Some("datacenter-2")),
            entity("Folder", "group-s5", "datastore", Some("datacenter-2")),
            entity("Folder", "group-n6", "network", Some("datacenter-2")),
            entity(
                "ComputeResource",
                "domain-s8",
                "contosohost1.contoso.com",
                Some("group-h4"),
            ),
            entity("HostSystem", "host-9", "contosohost1.contoso.com", Some("domain-s8")),
            entity("ResourcePool", "resgroup-10", "Resources", Some("domain-s8")),
            entity("Datastore", "datastore-11", "contoso-ds1", Some("group-s5")),
            entity("Network", "network-12", "VM Network", Some("group-n6")),
        ];
        let at = Timestamp::UNIX_EPOCH;
        let windows = (
            "windows9Server64Guest",
            "Microsoft Windows Server 2016 or later (64-bit)",
        );
        let photon = ("other3xLinux64Guest", "Other 3.x or later Linux (64-bit)");
        let mut vms = vec![
            vm(seed, at, "vm-21", "WEBVM", windows, "10.245.48.10", 4, 8, &[60]),
            vm(seed, at, "vm-22", "SQLVM", windows, "10.245.48.11", 4, 16, &[60, 200]),
            vm(seed, at, "vm-23", "contosodc1", windows, "10.245.48.4", 2, 4, &[60]),
            vm(seed, at, "vm-24", "vcenter", photon, "10.245.48.5", 4, 16, &[50, 100]),
        ];
        vms[0].guest = vms[0].guest.clone().neglected();
        vms[1].guest.san = "OfflineShared".into();
        vms[3].guest.ssh = (false, false);
        let read: &[&str] = &["System.Anonymous", "System.Read", "System.View"];
        let role = |id, name: &str, label: &str, p: &[&str]| LabRole {
            id,
            name: name.into(),
            label: label.into(),
            privileges: p.iter().map(|s| (*s).to_owned()).collect(),
            system: true,
        };
        let user = "administrator@vsphere.local";
        OnPrem {
            about: About {
                full_name: "VMware vCenter Server 7.0.3 build-19480866".into(),
                version: "7.0.3".into(),
                build: "19480866".into(),
                api_version: "7.0.3.0".into(),
                instance_uuid: guid(seed, "vcenter"),
            },
            user: user.into(),
            password: format!("Vc-{}", &guid(seed, "vcenter password").simple().to_string()[..16]),
            accounts: BTreeMap::new(),
            entities,
            vms,
            // The administrator's privileges are all there are: the vSphere service fills them in.
            roles: vec![
                role(-1, "Admin", "Administrator", &[]),
                role(-2, "ReadOnly", "Read-only", read),
                role(-3, "View", "View", &["System.Anonymous", "System.View"]),
                role(-4, "Anonymous", "Anonymous", &["System.Anonymous"]),
                role(-5, "NoAccess", "No access", &[]),
            ],
            permissions: vec![LabPermission {
                entity: "group-d1".into(),
                entity_kind: "Folder".into(),
                principal: "VSPHERE.LOCAL\\Administrator".into(),
                group: false,
                role: -1,
                propagate: true,
            }],
            principals: [
                "VSPHERE.LOCAL\\Administrator",
                "CONTOSO\\ContosoAdmin",
                "CONTOSO\\Domain Users",
            ]
            .map(str::to_owned)
            .into(),
            sessions: BTreeMap::new(),
            tasks: vec![],
            transfers: BTreeMap::new(),
            leases: vec![],
            upload_host: None,
            events: vec![],
            log: vec![],
            sql: SqlServer::new(seed),
            instances: vec![],
        }
    }

    /// A machine by its reference.
    pub fn vm(&self, moref: &str) -> Option<&LabVm> {
        self.vms.iter().find(|v| v.moref == moref)
    }

    pub fn vm_mut(&mut self, moref: &str) -> Option<&mut LabVm> {
        self.vms.iter_mut().find(|v| v.moref == moref)
    }

    /// What is no machine, by its reference.
    pub fn entity(&self, moref: &str) -> Option<&Entity> {
        self.entities.iter().find(|e| e.moref == moref)
    }

    pub fn task_mut(&mut self, moref: &str) -> Option<&mut LabTask> {
        self.tasks.iter_mut().find(|t| t.moref == moref)
    }

    pub fn lease(&self, moref: &str) -> Option<&LabLease> {
        self.leases.iter().find(|l| l.moref == moref)
    }

    pub fn lease_mut(&mut self, moref: &str) -> Option<&mut LabLease> {
        self.leases.iter_mut().find(|l| l.moref == moref)
    }

    /// The machine that has this snapshot.
    pub fn snapshot(&self, moref: &str) -> Option<(&LabVm, &LabSnapshot)> {
        let of = |v| Some((v, LabVm::snapshot(v, moref)?));
        self.vms.iter().find_map(of)
    }

    /// A machine by its name, ignoring case.
    pub fn named(&self, name: &str) -> Option<&LabVm> {
        self.vms.iter().find(|v| v.name.eq_ignore_ascii_case(name))
    }

    pub fn has_principal(&self, name: &str) -> bool {
        self.principals.iter().any(|p| p.eq_ignore_ascii_case(name))
    }
}

impl World {
    /// Starts a vCenter task that ends after `wait`, when `effect` decides how. Returns the task's reference.
    pub fn vcenter_task(
        &mut self,
        description: &str,
        entity: (&'static str, &str),
        user: &str,
        wait: SignedDuration,
        effect: impl FnOnce(&mut World) -> TaskState + Send + 'static,
    ) -> String {
        let moref = format!("task-{}", 100 + self.onprem.tasks.len());
        let (started, ends) = (self.now(), plus(self.now(), wait));
        let entity_name = match entity.0 {
            "VirtualMachine" => self.onprem.vm(entity.1).map(|v| v.name.clone()),
            _ => self.onprem.entity(entity.1).map(|e| e.name.clone()),
        };
        self.onprem.tasks.push(LabTask {
            moref: moref.clone(),
            description: description.into(),
            entity: (entity.0, entity.1.to_owned()),
            entity_name: entity_name.unwrap_or_default(),
            user: user.into(),
            started,
            ends,
            state: TaskState::Running,
            cancelable: false,
            cancelled: false,
            result: None,
        });
        let task = moref.clone();
        self.at(ends, move |w| {
            // Cancelled before its end, it has no effect.
            if w.onprem.task_mut(&task).is_some_and(|t| t.state == TaskState::Running) {
                let state = effect(w);
                w.end_task(&task, state);
            }
        });
        moref
    }

    /// Ends a task now.
    pub fn end_task(&mut self, moref: &str, state: TaskState) {
        let now = self.now();
        if let Some(t) = self.onprem.task_mut(moref) {
            (t.state, t.ends) = (state, now);
        }
    }

    /// Writes an event of a machine into vCenter's history. In `message`, `{}` stands for the machine and where it runs.
    pub fn vm_event(&mut self, kind: &'static str, moref: &str, user: &str, message: &str) {
        let Some(name) = self.onprem.vm(moref).map(|v| v.name.clone()) else {
            return;
        };
        let place = |kind: &str| {
            let found = self.onprem.entities.iter().find(|e| e.kind == kind);
            found.map(|e| e.name.clone()).unwrap_or_default()
        };
        let on = format!("{name} on {} in {}", place("HostSystem"), place("Datacenter"));
        let event = LabEvent {
            key: 1000 + i32::try_from(self.onprem.events.len()).unwrap_or_default(),
            at: self.now(),
            kind,
            message: message.replace("{}", &on),
            vm: (moref.to_owned(), name),
            user: user.to_owned(),
            task: None,
        };
        self.onprem.events.push(event);
    }

    /// Sets a machine's power state and notes it. False when the machine is gone or already so.
    pub fn set_power(&mut self, moref: &str, power: Power) -> bool {
        self.set_power_by(moref, power, "")
    }

    /// The same, for a user.
    pub fn set_power_by(&mut self, moref: &str, power: Power, user: &str) -> bool {
        let now = self.now();
        let Some(vm) = self.onprem.vm_mut(moref).filter(|v| v.power != power) else {
            return false;
        };
        vm.power = power;
        vm.tools_running = power == Power::On;
        vm.guest.restarted();
        vm.changed = now;
        let line = format!("{} {}", vm.name, power.vim());
        self.onprem.log.push((now, line));
        match power {
            Power::On => self.vm_event("VmPoweredOnEvent", moref, user, "{} is powered on"),
            Power::Off => self.vm_event("VmPoweredOffEvent", moref, user, "{} is powered off"),
        }
        true
    }
}

#[allow(clippy::too_many_arguments)]
pub fn vm(
    seed: u64,
    changed: Timestamp,
    moref: &str,
    name: &str,
    (guest_id, guest_full_name): (&str, &str),
    ip: &str,
    cpus: i32,
    memory_gib: i64,
    disks_gib: &[i64],
) -> LabVm {
    let disks: Vec<LabDisk> = disks_gib
        .iter()
        .enumerate()
        .map(|(i, gib)| LabDisk {
            key: 2000 + i as i32,
            label: format!("Hard disk {}", i + 1),
            file_name: format!(
                "[contoso-ds1] {name}/{name}{}.vmdk",
                if i == 0 { String::new() } else { format!("_{i}") }
            ),
            bytes: gib * GIB,
            uuid: guid(seed, &format!("{name}/disk/{i}")),
        })
        .collect();
    let id = guid(seed, &format!("{name}/mac"));
    let b = id.as_bytes();
    LabVm {
        moref: moref.into(),
        folder: "group-v3".into(),
        annotation: String::new(),
        snapshots: vec![],
        current_snapshot: None,
        name: name.into(),
        power: Power::On,
        instance_uuid: guid(seed, &format!("{name}/instance")),
        bios_uuid: guid(seed, &format!("{name}/bios")),
        guest_id: guest_id.into(),
        guest_full_name: guest_full_name.into(),
        host_name: format!("{name}.contoso.com").to_lowercase(),
        ip: ip.into(),
        mac: format!("00:50:56:{:02x}:{:02x}:{:02x}", b[0] & 0x3f, b[1], b[2]),
        cpus,
        memory_mib: memory_gib * 1024,
        committed_bytes: disks.iter().map(|d| d.bytes).sum::<i64>() / 2,
        disks,
        firmware: "bios",
        tools_running: true,
        extra_config: BTreeMap::new(),
        hardware: Hardware::default(),
        guest: LabGuest::ready(seed, name, guest_id),
        changed,
    }
}
