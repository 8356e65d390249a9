//! The people of the scenario. Each of them notices something (a role, a vault, a container, a machine that was powered
//! off, a migration service), takes the time a person takes, and does what only a person can do. Like everything in the lab they act when
//! someone looks.

use jiff::{SignedDuration, Timestamp};

use std::collections::BTreeMap;

use crate::{
    LabDatabase,
    arm::{datamigration, migrate, recovery, resources},
    cloud::Blob,
    onprem::{self, Power},
    tds::{
        backups,
        defects::{Defect, STRANGER},
    },
    world::World,
};

/// The account of the replication appliance in vCenter.
pub(crate) const PRINCIPAL: &str = "CONTOSO\\svc-asr";
const APPLIANCE: &str = "ASR-APPLIANCE";
/// The appliance's name in an Azure Migrate project: letters and digits only.
const APPLIANCE_KEY: &str = "ASRAPPLIANCE";
pub(crate) const WEB: &str = "vm-21";
const SQL: &str = "vm-22";
const BOX: &str = "vm-31";
/// Backups that the DBA takes: one full, six of the log, and the tail.
pub(crate) const DATABASE: &str = "SmartHotelDB";
const LOGS: u32 = 6;

// Minutes until a person has done it.
const READINESS: i64 = 10;
const ACCOUNT: i64 = 6;
const DEPLOY: i64 = 20;
const REGISTER: i64 = 12;
/// With a project key: updates, prerequisites, device code, VDDK.
const REGISTER_KEY: i64 = 20;
const DISCOVER: i64 = 15;
const FULL: i64 = 25;
const LOG: i64 = 15;
const TAIL: i64 = 3;
const INSTALL: i64 = 12;

#[derive(Debug, Default)]
pub(crate) struct People {
    on: bool,
    /// The DBA takes the backups.
    pub backs_up: bool,
    /// The VM admin runs the plan's readiness script soon, or has done so.
    readiness: bool,
    /// The vCenter admin was asked for the account.
    account: bool,
    /// The vault or Azure Migrate project for which an appliance is being deployed, and how far.
    appliance: Option<(String, Step)>,
    /// The databases that are migrated.
    databases: Vec<LabDatabase>,
    /// Where the DBA backs each of them up to, by its name.
    backups: BTreeMap<String, Backup>,
    /// What they get wrong with their backups.
    pub(crate) careless: Option<Defect>,
    /// Backups that were moved away from their place.
    moved: Vec<(String, Blob)>,
    /// The migration service for which an integration runtime is being installed, or was.
    runtime: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Deploying,
    Deployed,
    Registering,
    Registered,
}

#[derive(Debug, Clone)]
struct Backup {
    database: LabDatabase,
    place: Place,
    number: u64,
    full: Option<Timestamp>,
    tail: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Container { account: String, container: String },
    Share,
}

impl People {
    pub fn new(on: bool) -> People {
        People {
            on,
            backs_up: true,
            databases: vec![LabDatabase {
                name: DATABASE.into(),
                folder: String::new(),
            }],
            ..People::default()
        }
    }
}

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// Everybody looks around.
pub(crate) fn look(world: &mut World) {
    write(world);
    crate::arm::sql::look(world);
    datamigration::look(world);
    if !world.people.on {
        return;
    }
    vm_admin(world);
    vcenter_admin(world);
    site_recovery_admin(world);
    windows_admin(world);
    if world.people.backs_up {
        dba(world);
    }
}

impl World {
    /// These databases are migrated; none = SmartHotelDB alone.
    pub(crate) fn migrates(&mut self, databases: &[LabDatabase]) {
        if databases.is_empty() {
            return;
        }
        for one in databases {
            self.onprem.sql.logs.entry(one.name.to_lowercase()).or_default();
        }
        self.people.databases = databases.to_vec();
    }
}

/// The application writes to its databases as long as it runs: a unit of log a second.
fn write(world: &mut World) {
    let now = world.now();
    let runs = world.onprem.vm(WEB).is_some_and(|v| v.power == Power::On);
    let sql = &mut world.onprem.sql;
    let since = sql.written.map_or(SignedDuration::ZERO, |w| now.duration_since(w));
    for log in sql.logs.values_mut().filter(|l| runs && !l.restoring && !l.read_only) {
        log.position += since.as_secs().unsigned_abs();
    }
    // What is less than a second counts the next time.
    if sql.written.is_none() || since.as_secs() > 0 || !runs {
        sql.written = Some(now);
    }
}

/// A container, if there is one that a person made: then the backups go straight to Azure.
fn container(world: &World) -> Option<Place> {
    let mut accounts = world.cloud.accounts.iter();
    accounts.find_map(|(account, a)| {
        // The migration service gives its own GUIDs as names.
        let container = a.containers.keys().find(|c| uuid::Uuid::parse_str(c).is_err())?;
        Some(Place::Container {
            account: account.clone(),
            container: container.clone(),
        })
    })
}

/// Installs the integration runtime on the computer that the service's tag names.
fn windows_admin(world: &mut World) {
    if let Some(known) = &world.people.runtime {
        if world.cloud.get(known).is_none() {
            world.people.runtime = None;
        }
        return;
    }
    let Some((service, host, false)) = datamigration::with_runtime(world) else {
        return;
    };
    world.people.runtime = Some(service.clone());
    world.after(minutes(INSTALL), move |w| datamigration::register(w, &service, &host));
}

fn vm_admin(world: &mut World) {
    // A run begins by registering providers; before it the machine is as somebody has left it.
    if world.people.readiness || !resources::some_registered(&world.cloud) {
        return;
    }
    world.people.readiness = true;
    world.after(minutes(READINESS), |w| {
        if let Some(vm) = w.onprem.vm_mut(WEB) {
            let line =
                "script=1;rdp=1;firewall=domain,private,public;san=OnlineAll;updates=0;reboot=0;mobility=svc-mobility";
            vm.extra_config.insert("guestinfo.rehost.readiness".into(), line.into());
            vm.guest.made_ready();
        }
    });
}

fn vcenter_admin(world: &mut World) {
    if world.people.account || !world.onprem.roles.iter().any(|r| !r.system) {
        return;
    }
    world.people.account = true;
    world.after(minutes(ACCOUNT), |w| {
        w.onprem.principals.insert(PRINCIPAL.to_owned());
    });
}

/// The appliance's account can see the datacenter.
fn account_works(world: &World) -> bool {
    world.onprem.permissions.iter().any(|p| {
        p.principal.eq_ignore_ascii_case(PRINCIPAL)
            && world
                .onprem
                .roles
                .iter()
                .any(|r| r.id == p.role && !matches!(r.name.as_str(), "NoAccess" | "Anonymous"))
    })
}

fn site_recovery_admin(world: &mut World) {
    match world.people.appliance.clone() {
        None => {
            let scope = format!("/subscriptions/{}", world.cloud.subscription);
            let vault = world
                .cloud
                .of_type(&scope, recovery::VAULTS)
                .filter(|v| v["properties"]["provisioningState"] == "Succeeded")
                .filter_map(|v| v["id"].as_str())
                .find(|id| !world.cloud.classics.contains_key(&id.to_lowercase()))
                .map(str::to_owned);
            let Some(home) = migrate::ready(world).or(vault) else {
                return;
            };
            world.people.appliance = Some((home, Step::Deploying));
            world.after(minutes(DEPLOY), deploy);
        }
        // Somebody else has deployed it.
        Some((_, Step::Deploying)) if is_on(world, APPLIANCE) => step(world, Step::Deployed),
        // It was removed: the next one gets the appliance.
        Some((home, Step::Deployed | Step::Registered)) if world.cloud.get(&home).is_none() => {
            world.people.appliance = None
        }
        Some((home, Step::Deployed)) if account_works(world) => {
            step(world, Step::Registering);
            let project = world.cloud.get(&home).is_some_and(|h| h["type"] == migrate::PROJECTS);
            let wait = if project { REGISTER_KEY } else { REGISTER };
            world.after(minutes(wait), move |w| {
                if w.cloud.get(&home).is_none() {
                    return;
                }
                let vault = if project {
                    recovery::register_with_project(w, &home, APPLIANCE_KEY)
                } else {
                    recovery::register(w, &home, APPLIANCE);
                    home
                };
                step(w, Step::Registered);
                w.after(minutes(DISCOVER), move |w| {
                    let now = w.now();
                    if let Some(a) = w.cloud.appliances.get_mut(&vault.to_lowercase()) {
                        a.discovered = Some(now);
                    }
                });
            });
        }
        Some(_) => {}
    }
}

fn is_on(world: &World, name: &str) -> bool {
    world.onprem.named(name).is_some_and(|v| v.power == Power::On)
}

/// Deploys the appliance, unless somebody else is at it.
fn deploy(w: &mut World) {
    let (seed, now) = (w.seed(), w.now());
    match &w.people.appliance {
        Some((_, Step::Deploying)) => {}
        _ => return,
    }
    let other = |v: &onprem::LabVm| v.moref != BOX && v.power == Power::Off;
    if w.onprem.named(APPLIANCE).is_some_and(other) {
        return w.after(minutes(DEPLOY), deploy);
    }
    if w.onprem.named(APPLIANCE).is_none() {
        let windows = ("windows2019srvNext_64Guest", "Microsoft Windows Server 2022 (64-bit)");
        w.onprem.vms.push(onprem::vm(
            seed,
            now,
            BOX,
            APPLIANCE,
            windows,
            "10.245.48.20",
            8,
            16,
            &[80, 620],
        ));
    }
    step(w, Step::Deployed);
}

fn step(world: &mut World, to: Step) {
    if let Some((_, step)) = &mut world.people.appliance {
        *step = to;
    }
}

fn dba(world: &mut World) {
    for database in world.people.databases.clone() {
        back_up(world, &database);
    }
}

fn back_up(world: &mut World, database: &LabDatabase) {
    let there = |w: &World, b: &Backup| match &b.place {
        Place::Container { account, container } => w
            .cloud
            .accounts
            .get(account)
            .is_some_and(|a| a.containers.contains_key(container)),
        Place::Share => datamigration::with_runtime(w).is_some(),
    };
    match world.people.backups.get(&database.name).cloned() {
        Some(b) if !there(world, &b) => {
            world.people.backups.remove(&database.name);
        }
        None => {
            let share = matches!(datamigration::with_runtime(world), Some((.., true))).then_some(Place::Share);
            let Some(place) = share.or_else(|| container(world)) else {
                return;
            };
            let number = world.number();
            if place == Place::Share {
                world
                    .onprem
                    .sql
                    .share
                    .retain(|file, _| !lies_in(file, '\\', &database.folder));
            }
            if let Some(log) = world.onprem.sql.logs.get_mut(&database.name.to_lowercase()) {
                log.restoring = false;
            }
            let begun = Backup {
                database: database.clone(),
                place,
                number,
                full: None,
                tail: false,
            };
            world.people.backups.insert(database.name.clone(), begun);
            let name = database.name.clone();
            world.after(minutes(FULL), move |w| {
                let now = w.now();
                put(
                    w,
                    (&name, number),
                    &format!("{name}_full_01.bak"),
                    "full",
                    backups::FULL,
                    |b| b.full = Some(now),
                );
                for n in 1..=LOGS {
                    let name = name.clone();
                    w.after(minutes(LOG * i64::from(n)), move |w| {
                        // After the tail the database is offline: no more log backups.
                        let goes_on = w
                            .people
                            .backups
                            .get(&name)
                            .is_some_and(|b| b.number == number && !b.tail);
                        if goes_on {
                            put(
                                w,
                                (&name, number),
                                &format!("{name}_log_{n:03}.trn"),
                                "log",
                                backups::LOG,
                                |_| {},
                            );
                        }
                    });
                }
            });
        }
        Some(b) if !b.tail && b.full.is_some() => {
            if world.onprem.vm(WEB).is_none_or(|v| v.power == Power::On) {
                return;
            }
            if let Some(b) = world.people.backups.get_mut(&database.name) {
                b.tail = true;
            }
            let name = database.name.clone();
            world.after(minutes(TAIL), move |w| {
                put(
                    w,
                    (&name, b.number),
                    &format!("{name}_tail.trn"),
                    "tail",
                    backups::TAIL,
                    |_| {},
                );
                if let Some(log) = w.onprem.sql.logs.get_mut(&name.to_lowercase()) {
                    log.restoring = true;
                }
            });
        }
        Some(_) => {}
    }
}

/// Whether the path of a file is that of one in this folder, not deeper; an empty folder is the place itself.
pub(crate) fn lies_in(path: &str, slash: char, folder: &str) -> bool {
    let (of, _) = path.rsplit_once(slash).unwrap_or(("", path));
    of.eq_ignore_ascii_case(folder)
}

/// Puts a backup file into its place, if that is still the same one. A script that writes to the share reports `key`.
fn put(
    world: &mut World,
    (database, number): (&str, u64),
    name: &str,
    key: &str,
    size: u64,
    note: impl FnOnce(&mut Backup),
) {
    let modified = world.now();
    let mut backups = world.people.backups.values_mut();
    let Some(b) = backups.find(|b| b.database.name == database && b.number == number) else {
        return;
    };
    note(b);
    let (place, folder) = (b.place.clone(), b.database.folder.clone());
    let Some(log) = world.onprem.sql.logs.get_mut(&database.to_lowercase()) else {
        return;
    };
    let log = log.back_up(key == "full");
    let slash = if place == Place::Share { '\\' } else { '/' };
    let below = |name: &str| match folder.as_str() {
        "" => name.to_owned(),
        folder => format!("{folder}{slash}{name}"),
    };
    let first = database == DATABASE;
    let file = Blob {
        size,
        modified,
        log,
        bytes: vec![],
    };
    // What they get wrong, they get wrong with the application's own.
    let careless = world.people.careless.filter(|_| first);
    let kind = if key == "full" { "D" } else { "L" };
    note_in_msdb(world, &place, database, kind, &below(name), &file);
    if careless == Some(Defect::MovedAway) && name.ends_with("_log_002.trn") {
        world.people.moved.push((below(name), file));
        return;
    }
    store(world, &place, &below(name), file.clone());
    if careless == Some(Defect::Stranger) && key == "full" {
        note_in_msdb(world, &place, "Payroll", "D", &below(STRANGER), &file);
        store(world, &place, &below(STRANGER), file);
    }
    if place == Place::Share
        && let Some(vm) = world.onprem.vm_mut(SQL)
    {
        let key = if first {
            key.to_owned()
        } else {
            format!("{key}-{folder}")
        };
        let line = vm.extra_config.entry("guestinfo.rehost.readiness".into()).or_default();
        let others = line
            .split(';')
            .filter(|p| !p.is_empty() && p.split('=').next() != Some(key.as_str()));
        let mut all: Vec<String> = others.map(str::to_owned).collect();
        all.push(format!("{key}={}", modified.strftime("%Y%m%d%H%M%S")));
        *line = all.join(";");
    }
}

/// SQL Server remembers what it has backed up.
fn note_in_msdb(world: &mut World, place: &Place, database: &str, kind: &str, name: &str, file: &Blob) {
    let device = match place {
        Place::Share => format!(r"{}\{name}", world.onprem.sql.share_path),
        Place::Container { account, container } => format!("{}/{account}/{container}/{name}", world.cloud.blob_url),
    };
    let checksum = world.people.careless != Some(Defect::Unchecked) || database != DATABASE;
    // While a diary is repeated there is none yet.
    if let Some(source) = world.onprem.instances.first_mut() {
        source.note_backup(database, kind, &device, file.modified, file, checksum);
    }
}

/// The files of a place.
fn files<'a>(world: &'a mut World, place: &Place) -> Option<&'a mut std::collections::BTreeMap<String, Blob>> {
    match place {
        Place::Share => Some(&mut world.onprem.sql.share),
        Place::Container { account, container } => {
            let account = world.cloud.accounts.get_mut(account)?;
            account.containers.get_mut(container)
        }
    }
}

fn store(world: &mut World, place: &Place, name: &str, file: Blob) {
    if let Some(files) = files(world, place) {
        files.insert(name.to_owned(), file);
    }
}

/// They make good what they got wrong.
pub(crate) fn correct(world: &mut World) {
    world.people.careless = None;
    if let Some(source) = world.onprem.instances.first_mut() {
        source.check_backups();
    }
    let Some(place) = world.people.backups.get(DATABASE).map(|b| b.place.clone()) else {
        return;
    };
    for (name, file) in std::mem::take(&mut world.people.moved) {
        store(world, &place, &name, file);
    }
    if let Some(files) = files(world, &place) {
        files.remove(STRANGER);
    }
}
