//! Backups of the lab's SQL Servers: BACKUP, RESTORE, the credentials of containers, and who may use a database. A backup
//! takes the time of its size, shows its progress, and leaves a file where it went (a blob in the lab's cloud, a file on the
//! share, or one on the server's own disk) and its rows in msdb. The application's databases have one log each, [`DatabaseLog`],
//! whoever backs it up.
//!
//! [`DatabaseLog`]: crate::onprem::DatabaseLog

use super::{
    data::{Instance, civil, int, text},
    security::{Part, name, procedure, refuse, split, value, word},
    statements::{Session, no_database},
    wire::{Column, Message, Type, Value},
};
use crate::{
    blob,
    cloud::Blob,
    onprem::{DatabaseLog, Power},
    people::{DATABASE, WEB},
    world::World,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value as Sql;

/// What a disk or a line takes in a second.
const BYTES_A_SECOND: u64 = 32 << 20;
/// The server's own disk, in this folder.
const DISK: &str = r"C:\SQLBackup\";

/// Sizes of the people's backups of SmartHotelDB, in bytes.
pub(crate) const FULL: u64 = 18 << 30;
pub(crate) const LOG: u64 = 48 << 20;
pub(crate) const TAIL: u64 = 12 << 20;

/// Something that takes its time.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// As `sys.dm_exec_requests` calls it.
    command: &'static str,
    seconds: u64,
    /// It ends with this after half of the time.
    fails: Option<Message>,
    /// The connection breaks after half of the time.
    pub(super) breaks: bool,
    then: Then,
}

impl Work {
    /// What tells a backup from all others: its database and description.
    pub(super) fn backup(&self) -> Option<String> {
        match &self.then {
            Then::Backup(b) => Some(format!("{} {}", b.database, b.description)),
            Then::Nothing => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Then {
    Backup(Backup),
    /// Only looked.
    Nothing,
}

#[derive(Debug, Clone)]
struct Backup {
    database: String,
    /// `D`, `I` or `L`, as in msdb.
    kind: &'static str,
    tail: bool,
    /// The tail leaves it readable.
    standby: bool,
    devices: Vec<Device>,
    size: u64,
    checksum: bool,
    compressed: bool,
    name: String,
    description: String,
    begun: Timestamp,
}

#[derive(Debug, Clone)]
struct Device {
    /// As the statement has it.
    name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Container {
        account: String,
        container: String,
        blob: String,
    },
    Share(String),
    Disk,
}

/// A request that runs, for `sys.dm_exec_requests`.
#[derive(Debug)]
pub(super) struct Request {
    session: u16,
    command: &'static str,
    database: String,
    context: Vec<u8>,
    begun: Timestamp,
    seconds: u64,
}

/// What a statement leads to.
pub(super) enum Step {
    Now,
    Context(Vec<u8>),
    Rows(Vec<Column>, Vec<Vec<Value>>),
    Later(Work),
}

/// The procedure that makes a folder.
const MAKE_FOLDER: &str = "xp_create_subdir";

/// Whether the statement is one of these.
pub(super) fn known(s: &[Part]) -> bool {
    match (word(s, 0), word(s, 1)) {
        ("BACKUP", "DATABASE" | "LOG" | "CERTIFICATE") | ("RESTORE", _) | ("SET", "CONTEXT_INFO") => true,
        ("CREATE" | "ALTER" | "DROP", "CREDENTIAL") => true,
        ("ALTER", "DATABASE") => word(s, 3) == "SET",
        ("EXEC", _) => procedure(s) == MAKE_FOLDER,
        _ => false,
    }
}

fn syntax(s: &[Part]) -> Message {
    refuse(102, 1, 15, format!("Incorrect syntax near '{}'.", word(s, 0)))
}

fn has(s: &[Part], option: &str) -> bool {
    s.iter().any(|p| matches!(p, Part::Word(w) if w == option))
}

fn written(s: &[Part], key: &str) -> String {
    match value(s, key) {
        Some(Part::Text(t)) => t.clone(),
        _ => String::new(),
    }
}

fn cannot_open(device: &str, system: &str) -> Message {
    refuse(
        3201,
        1,
        16,
        format!("Cannot open backup device '{device}'. Operating system error {system}."),
    )
}

/// Whether the path lies in the folder of this computer.
fn in_folder(world: &World, device: &str) -> bool {
    let folder = &world.onprem.sql.folder;
    !folder.as_os_str().is_empty() && std::path::Path::new(device).starts_with(folder)
}

impl Device {
    fn read(world: &World, of: &str, device: &str) -> Result<Device, Message> {
        let place = if of == "URL" {
            let url = url::Url::parse(device).ok();
            let url = url.as_ref().filter(|u| u.scheme() == "https");
            let found = url.and_then(|u| {
                let mut path: Vec<String> = u.path_segments()?.map(str::to_owned).collect();
                // Either the account is the host's first label, or, as the lab has it, the first part of the path.
                if let Some(url::Host::Domain(host)) = u.host()
                    && let Some((account, _)) = host.split_once('.')
                {
                    path.insert(0, account.to_owned());
                }
                let [account, container, blob @ ..] = path.as_slice() else {
                    return None;
                };
                Some(Place::Container {
                    account: account.clone(),
                    container: container.clone(),
                    blob: blob.join("/"),
                })
            });
            found.ok_or_else(|| {
                cannot_open(
                    device,
                    "123(The filename, directory name, or volume label syntax is incorrect.)",
                )
            })?
        } else {
            let share = format!(r"{}\", world.onprem.sql.share_path.to_lowercase());
            let lower = device.to_lowercase();
            if lower.starts_with(&share) {
                Place::Share(device.get(share.len()..).unwrap_or_default().to_owned())
            } else if lower.starts_with(&DISK.to_lowercase()) || in_folder(world, device) {
                Place::Disk
            } else if lower.starts_with(r"\\") {
                return Err(cannot_open(device, "53(The network path was not found.)"));
            } else {
                return Err(cannot_open(device, "3(The system cannot find the path specified.)"));
            }
        };
        Ok(Device {
            name: device.to_owned(),
            place,
        })
    }

    /// All devices of a statement.
    fn all(world: &World, s: &[Part]) -> Result<Vec<Device>, Message> {
        let mut all = vec![];
        for at in 0..s.len() {
            if let (of @ ("URL" | "DISK"), Some(Part::Sign('=')), Some(Part::Text(device))) =
                (word(s, at), s.get(at + 1), s.get(at + 2))
            {
                all.push(Device::read(world, of, device)?);
            }
        }
        if all.is_empty() { Err(syntax(s)) } else { Ok(all) }
    }

    /// The name under which a container's credential is kept.
    fn container(&self) -> &str {
        let Place::Container { blob, .. } = &self.place else {
            return "";
        };
        let deep = blob.split('/').count() + 1;
        self.name.rsplitn(deep, '/').last().unwrap_or_default()
    }

    fn find<'a>(&self, world: &'a World, instance: &'a Instance) -> Option<&'a Blob> {
        match &self.place {
            Place::Container {
                account,
                container,
                blob,
            } => world.cloud.accounts.get(account)?.containers.get(container)?.get(blob),
            Place::Share(file) => world.onprem.sql.share.get(file),
            Place::Disk => instance.disk.get(&self.name.to_lowercase()),
        }
    }

    /// Whether the server may open it, for reading (`r`) or writing (`w`).
    fn opens(&self, world: &World, instance: &Instance, need: char) -> Result<(), Message> {
        match &self.place {
            Place::Container { account, container, .. } => {
                if world.onprem.sql.containers_denied {
                    return Err(cannot_open(&self.name, "5(Access is denied.)"));
                }
                if instance.spec.year < 2016 {
                    // 2012 SP1 and 2014 know only a key of the account.
                    return Err(refuse(
                        3225,
                        1,
                        16,
                        "Use of WITH CREDENTIAL syntax is mandatory for the URL device in this version.",
                    ));
                }
                let Some(sas) = instance.container_keys.get(&self.container().to_lowercase()) else {
                    return Err(cannot_open(&self.name, "50(The request is not supported.)"));
                };
                // A lab that repeats its diary has no SAS; then it was good.
                if !sas.is_empty() && blob::check(world, account, container, sas, need).is_err() {
                    return Err(cannot_open(&self.name, "5(Access is denied.)"));
                }
                let there = world.cloud.accounts.get(account);
                if there.is_none_or(|a| !a.containers.contains_key(container)) {
                    return Err(cannot_open(&self.name, "2(The system cannot find the file specified.)"));
                }
                Ok(())
            }
            Place::Share(_) if world.onprem.sql.share_gone.is_some() => {
                Err(cannot_open(&self.name, world.onprem.sql.share_gone.unwrap_or_default()))
            }
            Place::Share(_) if need == 'w' && world.onprem.sql.share_denied => {
                Err(cannot_open(&self.name, "5(Access is denied.)"))
            }
            Place::Share(_) | Place::Disk => Ok(()),
        }
    }
}

/// Whether it is a database of the application.
fn is_applications(world: &World, place: usize, database: &str) -> bool {
    place == 0 && world.onprem.sql.logs.contains_key(&database.to_lowercase())
}

/// The log of a database of the application; none of another one.
fn log_of<'a>(world: &'a mut World, place: usize, database: &str) -> Option<&'a mut DatabaseLog> {
    let logs = &mut world.onprem.sql.logs;
    logs.get_mut(&database.to_lowercase()).filter(|_| place == 0)
}

/// Whether the application is at work in its database.
fn in_use(world: &World, place: usize, database: &str) -> bool {
    is_applications(world, place, database) && world.onprem.vm(WEB).is_some_and(|v| v.power == Power::On)
}

/// Reads a statement and checks whether it can be; what needs no time is done.
pub(super) fn begin(world: &mut World, place: usize, session: &Session, s: &[Part]) -> Result<Step, Message> {
    match (word(s, 0), word(s, 1)) {
        ("SET", _) => match s.get(2) {
            Some(Part::Bytes(context)) if context.len() <= 128 => Ok(Step::Context(context.clone())),
            _ => Err(syntax(s)),
        },
        ("BACKUP", "DATABASE" | "LOG") => backup(world, place, session, s).map(Step::Later),
        ("RESTORE", "VERIFYONLY" | "HEADERONLY") => read(world, place, session, s),
        _ if !session.sysadmin => Err(refuse(
            15247,
            1,
            16,
            "User does not have permission to perform this action.",
        )),
        ("BACKUP", _) => {
            let instance = &world.onprem.instances[place];
            let n = name(s, 2).ok_or_else(|| syntax(s))?;
            if !instance.has("sys.certificates", "name", &n) {
                return Err(refuse(
                    15151,
                    1,
                    16,
                    format!(
                        "Cannot find the certificate '{n}', because it does not exist or you do not have permission."
                    ),
                ));
            }
            for at in 0..s.len() {
                if let (true, Some(Part::Text(file))) = (word(s, at) == "FILE", s.get(at + 2)) {
                    Device::read(world, "DISK", file)?;
                }
            }
            Ok(Step::Now)
        }
        ("RESTORE", "DATABASE") => {
            let n = name(s, 2).ok_or_else(|| syntax(s))?;
            let database = existing(world, place, &n)?;
            if !has(s, "RECOVERY") || has(s, "FROM") {
                return Err(syntax(s));
            }
            let instance = &mut world.onprem.instances[place];
            if instance.state(&database) != "RESTORING" && !instance.standby.contains(&database) {
                return Err(refuse(
                    3101,
                    1,
                    16,
                    "Exclusive access could not be obtained because the database is in use.",
                ));
            }
            instance.set_state(&database, "ONLINE");
            instance.set_standby(&database, false);
            if let Some(log) = log_of(world, place, &database) {
                log.restoring = false;
            }
            Ok(Step::Now)
        }
        ("EXEC", _) => {
            let Some(Part::Text(path)) = s.last() else {
                return Err(syntax(s));
            };
            // Anything in it is a device that can be.
            let device = Device::read(world, "DISK", &format!("{path}\\x"));
            if !in_folder(world, path) {
                device?.opens(world, &world.onprem.instances[place], 'w')?;
            } else if std::fs::create_dir_all(path).is_err() {
                return Err(refuse(
                    22048,
                    1,
                    16,
                    "xp_create_subdir() returned error 3, 'The system cannot find the path specified.'",
                ));
            }
            Ok(Step::Now)
        }
        (verb, "CREDENTIAL") => credential(world, place, verb, s),
        ("ALTER", _) => alter(world, place, s),
        _ => Err(syntax(s)),
    }
}

fn existing(world: &World, place: usize, n: &str) -> Result<String, Message> {
    let instance = &world.onprem.instances[place];
    instance.database(n).map(str::to_owned).ok_or_else(|| no_database(n))
}

fn credential(world: &mut World, place: usize, verb: &str, s: &[Part]) -> Result<Step, Message> {
    let n = name(s, 2).ok_or_else(|| syntax(s))?;
    let instance = &mut world.onprem.instances[place];
    let there = instance.has("sys.credentials", "name", &n);
    match (verb, there) {
        ("CREATE", true) => {
            return Err(refuse(
                15028,
                1,
                16,
                format!("The server principal '{n}' already exists."),
            ));
        }
        ("CREATE", false) => {
            let id = 65_600 + instance.count("sys.credentials");
            let identity = written(s, "IDENTITY");
            instance.add(
                "sys.credentials",
                &[
                    ("credential_id", int(id)),
                    ("name", text(&n)),
                    ("credential_identity", text(&identity)),
                ],
            );
        }
        (_, false) => {
            return Err(refuse(
                15151,
                1,
                16,
                format!(
                    "Cannot {} the credential '{n}', because it does not exist or you do not have permission.",
                    verb.to_lowercase()
                ),
            ));
        }
        ("DROP", true) => {
            let _ = instance
                .engine
                .execute("DELETE FROM \"sys.credentials\" WHERE name = ?1", [&n]);
            instance.container_keys.remove(&n.to_lowercase());
            return Ok(Step::Now);
        }
        _ => {}
    }
    instance.container_keys.insert(n.to_lowercase(), written(s, "SECRET"));
    Ok(Step::Now)
}

fn alter(world: &mut World, place: usize, s: &[Part]) -> Result<Step, Message> {
    let n = name(s, 2).ok_or_else(|| syntax(s))?;
    let database = existing(world, place, &n)?;
    let instance = &mut world.onprem.instances[place];
    if instance.state(&database) == "RESTORING" {
        return Err(refuse(
            5052,
            1,
            16,
            format!("ALTER DATABASE is not permitted while a database is in the Restoring state. ({database})"),
        ));
    }
    let key = text(&database);
    match word(s, 4) {
        "SINGLE_USER" => {
            instance.single.insert(database);
        }
        "MULTI_USER" => {
            instance.single.remove(&database);
        }
        "RECOVERY" => {
            let (model, number) = match word(s, 5) {
                "FULL" => ("FULL", 1),
                "BULK_LOGGED" => ("BULK_LOGGED", 2),
                "SIMPLE" => ("SIMPLE", 3),
                _ => return Err(syntax(s)),
            };
            instance.update("sys.databases", "recovery_model_desc", text(model), "name", key.clone());
            instance.update("sys.databases", "recovery_model", int(number), "name", key);
            if let Some(d) = instance.spec.databases.iter_mut().find(|d| d.name == database) {
                d.recovery = model;
            }
        }
        to @ ("READ_ONLY" | "READ_WRITE") => {
            let only = to == "READ_ONLY";
            instance.update("sys.databases", "is_read_only", int(i64::from(only)), "name", key);
            if let Some(d) = instance.spec.databases.iter_mut().find(|d| d.name == database) {
                d.read_only = only;
            }
            if let Some(log) = log_of(world, place, &database) {
                log.read_only = only;
            }
        }
        _ => return Err(syntax(s)),
    }
    Ok(Step::Now)
}

fn backup(world: &World, place: usize, session: &Session, s: &[Part]) -> Result<Work, Message> {
    let log = word(s, 1) == "LOG";
    let verb = if log { "BACKUP LOG" } else { "BACKUP DATABASE" };
    let n = name(s, 2).ok_or_else(|| syntax(s))?;
    let database = existing(world, place, &n)?;
    let instance = &world.onprem.instances[place];
    if !session.sysadmin {
        return Err(refuse(
            262,
            1,
            14,
            format!("{verb} permission denied in database '{database}'."),
        ));
    }
    if instance.state(&database) == "RESTORING" {
        return Err(refuse(
            927,
            2,
            14,
            format!("Database '{database}' cannot be opened. It is in the middle of a restore."),
        ));
    }
    let compressed = has(s, "COMPRESSION");
    let small = ["Express", "Web"].iter().any(|e| instance.spec.edition.starts_with(e));
    if compressed && (small || instance.spec.year < 2010 && !instance.spec.edition.starts_with("Enterprise")) {
        return Err(refuse(
            1844,
            1,
            16,
            format!("{verb} WITH COMPRESSION is not supported on {}.", instance.spec.edition),
        ));
    }
    if instance.standby.contains(&database) {
        return Err(refuse(
            3036,
            1,
            16,
            format!(
                "The database \"{database}\" is in warm-standby state (set by executing RESTORE WITH STANDBY) and cannot be backed up until the entire restore sequence is completed."
            ),
        ));
    }
    let standby = value(s, "STANDBY").is_some();
    let tail = log && (has(s, "NORECOVERY") || standby);
    let differential = has(s, "DIFFERENTIAL");
    let of = instance.spec.databases.iter().find(|d| d.name == database);
    if log && of.is_none_or(|d| d.recovery == "SIMPLE") {
        return Err(refuse(
            4208,
            1,
            16,
            "The statement BACKUP LOG is not allowed while the recovery model is SIMPLE. Use BACKUP DATABASE or change the recovery model using ALTER DATABASE.",
        ));
    }
    let full = instance.engine.query_row(
        "SELECT COUNT(*) FROM \"msdb.dbo.backupset\" WHERE database_name = ?1 AND type = 'D'",
        [&database],
        |r| r.get::<_, i64>(0),
    );
    if full.unwrap_or(0) == 0 && (log || differential) {
        return Err(if log {
            refuse(
                4214,
                1,
                16,
                "BACKUP LOG cannot be performed because there is no current database backup.",
            )
        } else {
            refuse(
                3035,
                1,
                16,
                format!(
                    "Cannot perform a differential backup for database \"{database}\", because a current database backup does not exist."
                ),
            )
        });
    }
    if tail && !instance.single.contains(&database) && in_use(world, place, &database) {
        return Err(refuse(
            3101,
            1,
            16,
            "Exclusive access could not be obtained because the database is in use.",
        ));
    }
    let command = verb;
    if instance
        .requests
        .iter()
        .any(|r| r.command == command && r.database == database)
    {
        return Err(refuse(
            3023,
            2,
            16,
            "Backup, file manipulation operations (such as ALTER DATABASE ADD FILE) and encryption changes on a database must be serialized. Reissue the statement after the current backup or file manipulation operation is completed.",
        ));
    }
    let devices = Device::all(world, s)?;
    for device in &devices {
        device.opens(world, instance, 'w')?;
        if matches!(device.place, Place::Container { .. }) && device.find(world, instance).is_some() {
            return Err(refuse(
                3271,
                1,
                16,
                format!(
                    "A nonrecoverable I/O error occurred on file \"{}:\" The file exists on the remote endpoint, and WITH FORMAT was not specified.",
                    device.name
                ),
            ));
        }
    }
    let size = match (database == DATABASE && place == 0, log, tail) {
        (true, true, true) => TAIL,
        (true, true, false) => LOG,
        (true, false, _) => FULL,
        (false, true, _) => of.map_or(1 << 20, |d| u64::from(d.log_mib) << 18),
        (false, false, _) => of.map_or(1 << 20, |d| u64::from(d.data_mib) << 19),
    };
    let size = if differential { size / 8 } else { size };
    let first = devices.first().map(|d| d.name.clone()).unwrap_or_default();
    let full = devices.iter().any(|d| matches!(d.place, Place::Share(_)))
        && world.onprem.sql.share_free.is_some_and(|free| free < size);
    let fails = full.then(|| {
        refuse(
            3202,
            1,
            16,
            format!("Write on \"{first}\" failed: 112(There is not enough space on the disk.)"),
        )
    });
    Ok(Work {
        command,
        seconds: 2 + size / BYTES_A_SECOND,
        fails,
        breaks: world.onprem.sql.cut_backups > 0,
        then: Then::Backup(Backup {
            kind: match (log, differential) {
                (true, _) => "L",
                (_, true) => "I",
                _ => "D",
            },
            tail,
            standby,
            devices,
            size,
            checksum: has(s, "CHECKSUM"),
            compressed,
            name: written(s, "NAME"),
            description: written(s, "DESCRIPTION"),
            begun: world.now(),
            database,
        }),
    })
}

/// Somebody copies a file of the server's disk into each container, and to the share.
pub(crate) fn copy(world: &mut World, name: &str) {
    let key = format!("{DISK}{name}").to_lowercase();
    let file = world.onprem.instances.first().and_then(|i| i.disk.get(&key).cloned());
    let Some(file) = file else { return };
    world.onprem.sql.share.insert(name.to_owned(), file.clone());
    for container in world
        .cloud
        .accounts
        .values_mut()
        .flat_map(|a| a.containers.values_mut())
    {
        container.insert(name.to_owned(), file.clone());
    }
}

/// The statement as the diary keeps it; none when nothing of it lasts. A credential's secret is left out.
pub(super) fn kept(s: &[Part]) -> Option<String> {
    match (word(s, 0), word(s, 1)) {
        ("SET", _) | ("BACKUP", "CERTIFICATE") | ("RESTORE", "VERIFYONLY" | "HEADERONLY") => return None,
        _ => {}
    }
    let secret = s.iter().position(|p| matches!(p, Part::Word(w) if w == "SECRET"));
    let words = s.iter().enumerate().map(|(at, p)| match p {
        Part::Text(_) if secret.is_some_and(|k| at == k + 2) => "N''".to_owned(),
        Part::Text(t) => format!("N'{}'", t.replace('\'', "''")),
        Part::Name(n) => format!("[{}]", n.replace(']', "]]")),
        Part::Word(w) => w.clone(),
        Part::Bytes(b) => format!("0x{}", hex::encode(b)),
        Part::Number(n) => n.to_string(),
        Part::Sign(c) => c.to_string(),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// Lets a statement of the diary have its effect again, now.
pub(crate) fn repeat(world: &mut World, place: usize, sql: &str) {
    let session = Session {
        sysadmin: true,
        ..Session::default()
    };
    crate::people::look(world);
    for s in split(sql).unwrap_or_default() {
        // What was possible then is possible now.
        if let Ok(Step::Later(work)) = begin(world, place, &session, &s) {
            let _ = finish(world, place, work);
        }
    }
}

/// A row of msdb for each set on the first device, for HEADERONLY.
fn header(instance: &Instance, device: &str) -> Vec<Vec<Value>> {
    let read = || -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut prepared = instance.engine.prepare(
            "SELECT s.name, s.description, CASE s.type WHEN 'D' THEN 1 WHEN 'L' THEN 2 ELSE 5 END, s.database_name, \
             s.backup_size, CAST(s.first_lsn AS TEXT), CAST(s.last_lsn AS TEXT), s.has_backup_checksums \
             FROM \"msdb.dbo.backupset\" AS s JOIN \"msdb.dbo.backupmediafamily\" AS m ON m.media_set_id = s.media_set_id \
             WHERE m.physical_device_name = ?1 ORDER BY s.backup_set_id",
        )?;
        let rows = prepared.query_map([device], |r| {
            let text = |i| {
                r.get::<_, Option<String>>(i)
                    .map(|t| t.map_or(Value::Null, Value::Text))
            };
            let number = |i| r.get::<_, i64>(i).map(Value::Int);
            Ok(vec![
                text(0)?,
                text(1)?,
                number(2)?,
                text(3)?,
                number(4)?,
                text(5)?,
                text(6)?,
                number(7)?,
            ])
        })?;
        rows.collect()
    };
    read().unwrap_or_default()
}

fn read(world: &World, place: usize, session: &Session, s: &[Part]) -> Result<Step, Message> {
    let verify = word(s, 1) == "VERIFYONLY";
    if !session.sysadmin {
        return Err(refuse(
            262,
            1,
            14,
            "CREATE DATABASE permission denied in database 'master'.",
        ));
    }
    let instance = &world.onprem.instances[place];
    let devices = Device::all(world, s)?;
    let mut size = 0;
    for device in &devices {
        device.opens(world, instance, 'r')?;
        let file = device
            .find(world, instance)
            .ok_or_else(|| cannot_open(&device.name, "2(The system cannot find the file specified.)"))?;
        size += file.size;
        if !file.bytes.is_empty() {
            return Err(refuse(
                3241,
                7,
                16,
                format!(
                    "The media family on device '{}' is incorrectly formed. SQL Server cannot process this media family.",
                    device.name
                ),
            ));
        }
        if instance.bad_media.contains(&device.name) && verify {
            return Err(refuse(3189, 1, 16, "Damage to the backup set was detected."));
        }
    }
    let rows = devices.first().map(|d| header(instance, &d.name)).unwrap_or_default();
    if verify {
        let unchecked = rows.iter().any(|r| r.last() == Some(&Value::Int(0)));
        if unchecked && has(s, "CHECKSUM") {
            return Err(refuse(
                3187,
                1,
                16,
                "RESTORE WITH CHECKSUM cannot be specified because the backup set does not contain checksum information.",
            ));
        }
        return Ok(Step::Later(Work {
            command: "RESTORE VERIFYON",
            seconds: 1 + size / BYTES_A_SECOND,
            fails: None,
            breaks: false,
            then: Then::Nothing,
        }));
    }
    let column = |name: &str, of| Column {
        name: name.to_owned(),
        of,
    };
    let columns = vec![
        column("BackupName", Type::NVarChar(Some(128))),
        column("BackupDescription", Type::NVarChar(Some(255))),
        column("BackupType", Type::SmallInt),
        column("DatabaseName", Type::NVarChar(Some(128))),
        column("BackupSize", Type::Numeric(20, 0)),
        column("FirstLSN", Type::Numeric(25, 0)),
        column("LastLSN", Type::Numeric(25, 0)),
        column("HasBackupChecksums", Type::Bit),
    ];
    Ok(Step::Rows(columns, rows))
}

/// The work begins, and is seen.
pub(super) fn enter(world: &mut World, place: usize, session: &Session, work: &Work) -> Timestamp {
    let now = world.now();
    let seconds = if work.fails.is_some() || work.breaks {
        work.seconds / 2
    } else {
        work.seconds
    };
    world.onprem.instances[place].requests.push(Request {
        session: session.id,
        command: work.command,
        database: match &work.then {
            Then::Backup(b) => b.database.clone(),
            Then::Nothing => "master".to_owned(),
        },
        context: session.context.clone(),
        begun: now,
        seconds: work.seconds,
    });
    now + SignedDuration::from_secs(seconds.cast_signed())
}

/// It is over, for whatever reason.
pub(super) fn leave(world: &mut World, place: usize, session: u16) {
    world.onprem.instances[place].requests.retain(|r| r.session != session);
}

/// It came to its end.
pub(super) fn finish(world: &mut World, place: usize, work: Work) -> Result<(), Message> {
    if let Some(why) = work.fails {
        return Err(why);
    }
    let Then::Backup(b) = work.then else {
        return Ok(());
    };
    let now = world.now();
    let smarthotel = place == 0 && b.database == DATABASE;
    // What went away meanwhile.
    for device in &b.devices {
        device.opens(world, &world.onprem.instances[place], 'w')?;
    }
    let log = if let Some(log) = log_of(world, place, &b.database) {
        log.back_up(b.kind == "D")
    } else {
        let instance = &mut world.onprem.instances[place];
        let from = instance.logged;
        instance.logged += 1;
        (from, instance.logged)
    };
    let size = if b.compressed { b.size } else { b.size * 2 };
    let each = size / b.devices.len().max(1) as u64;
    for device in &b.devices {
        let before = device.find(world, &world.onprem.instances[place]);
        let blob = Blob {
            size: each + before.map_or(0, |f| f.size),
            modified: now,
            log: (before.map_or(log.0, |f| f.log.0), log.1),
            bytes: vec![],
        };
        match &device.place {
            Place::Container {
                account,
                container,
                blob: name,
            } => {
                let account = world.cloud.accounts.get_mut(account);
                if let Some(blobs) = account.and_then(|a| a.containers.get_mut(container)) {
                    blobs.insert(name.clone(), blob);
                }
            }
            Place::Share(name) => {
                world.onprem.sql.share.insert(name.clone(), blob);
            }
            Place::Disk => {
                if in_folder(world, &device.name) {
                    // What can't be written is missed by who uploads it.
                    let _ = std::fs::write(&device.name, blob::backup_file(blob.log));
                }
                let key = device.name.to_lowercase();
                world.onprem.instances[place].disk.insert(key, blob);
            }
        }
    }
    let instance = &mut world.onprem.instances[place];
    instance.remember(&b, now, log, size);
    if smarthotel && b.kind == "D" && std::mem::take(&mut world.onprem.sql.nightly_log) {
        world.after(SignedDuration::from_mins(2), move |w| {
            let sql = format!("BACKUP LOG [{DATABASE}] TO DISK = N'{DISK}Nightly_log.trn' WITH CHECKSUM");
            repeat(w, place, &sql);
        });
    }
    let instance = &mut world.onprem.instances[place];
    if b.tail {
        if b.standby {
            instance.single.remove(&b.database);
            instance.set_standby(&b.database, true);
        } else {
            instance.set_state(&b.database, "RESTORING");
        }
        if let Some(log) = log_of(world, place, &b.database) {
            log.restoring = true;
        }
    }
    Ok(())
}

impl Instance {
    fn state(&self, database: &str) -> &'static str {
        let of = self.spec.databases.iter().find(|d| d.name == database);
        of.map_or("ONLINE", |d| d.state)
    }

    fn set_state(&mut self, database: &str, state: &'static str) {
        if let Some(d) = self.spec.databases.iter_mut().find(|d| d.name == database) {
            d.state = state;
        }
        let number = i64::from(state == "RESTORING");
        self.update("sys.databases", "state_desc", text(state), "name", text(database));
        self.update("sys.databases", "state", int(number), "name", text(database));
        self.single.remove(database);
    }

    fn set_standby(&mut self, database: &str, on: bool) {
        if on {
            self.standby.insert(database.to_owned());
        } else {
            self.standby.remove(database);
        }
        for column in ["is_in_standby", "is_read_only"] {
            self.update("sys.databases", column, int(i64::from(on)), "name", text(database));
        }
    }

    fn remember(&mut self, b: &Backup, now: Timestamp, log: (u64, u64), size: u64) {
        let id = self.count("msdb.dbo.backupset") + 1;
        // Behind those that were there at the start.
        let lsn = |n: u64| text(&format!("{}", 34_000_001_000_000_000_u64 + n * 1_000));
        self.add(
            "msdb.dbo.backupset",
            &[
                ("backup_set_id", int(id)),
                ("media_set_id", int(id)),
                ("database_name", text(&b.database)),
                ("type", text(b.kind)),
                ("name", text(&b.name)),
                ("description", text(&b.description)),
                ("backup_start_date", text(&civil(b.begun).to_string())),
                ("backup_finish_date", text(&civil(now).to_string())),
                ("first_lsn", lsn(log.0)),
                ("last_lsn", lsn(log.1)),
                ("database_backup_lsn", lsn(0)),
                ("has_backup_checksums", int(i64::from(b.checksum))),
                ("is_copy_only", int(0)),
                ("is_damaged", int(0)),
                ("recovery_model", text("FULL")),
                ("backup_size", int((b.size * 2).cast_signed())),
                ("compressed_backup_size", int(size.cast_signed())),
            ],
        );
        for (n, device) in (1..).zip(&b.devices) {
            let kind = if matches!(device.place, Place::Container { .. }) {
                9
            } else {
                2
            };
            self.add(
                "msdb.dbo.backupmediafamily",
                &[
                    ("media_set_id", int(id)),
                    ("family_sequence_number", int(n)),
                    ("physical_device_name", text(&device.name)),
                    ("device_type", int(kind)),
                ],
            );
        }
    }

    /// Writes what runs into `sys.dm_exec_requests`.
    pub(super) fn show_requests(&mut self, now: Timestamp) {
        let _ = self.engine.execute("DELETE FROM \"sys.dm_exec_requests\"", []);
        let rows: Vec<_> = self
            .requests
            .iter()
            .map(|r| {
                let gone = now.duration_since(r.begun).as_secs_f64();
                let percent = (100.0 * gone / r.seconds.max(1) as f64).clamp(0.0, 99.9);
                let left = (r.seconds as f64 - gone).max(0.0) * 1000.0;
                [
                    ("session_id", int(i64::from(r.session))),
                    ("command", text(r.command)),
                    ("percent_complete", Sql::Real(percent)),
                    ("estimated_completion_time", int(left as i64)),
                    ("context_info", Sql::Blob(r.context.clone())),
                ]
            })
            .collect();
        for row in rows {
            self.add("sys.dm_exec_requests", &row);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::tds::data::Spec;
    use base64::{Engine, engine::general_purpose::STANDARD};

    const URL: &str = "https://contoso.blob.core.windows.net/backups";

    fn world() -> World {
        let mut world = World::new(1, "2026-11-21T19:00:00Z".parse().unwrap(), false);
        let spec = Spec::smarthotel(("svc-dms", "x"), ("CONTOSO\\b", "x"), 1);
        let instance = Instance::new(spec, world.now()).unwrap();
        world.onprem.instances.push(instance);
        let account = world.cloud.accounts.entry("contoso".into()).or_default();
        account.containers.insert("backups".into(), Default::default());
        world
    }

    fn run(world: &mut World, sql: &str) -> Result<(), u32> {
        let session = Session {
            sysadmin: true,
            ..Session::default()
        };
        for s in split(sql).unwrap() {
            match begin(world, 0, &session, &s).map_err(|m| m.number)? {
                Step::Later(work) => finish(world, 0, work).map_err(|m| m.number)?,
                _ => continue,
            }
        }
        Ok(())
    }

    #[test]
    fn a_container_takes_a_backup_by_a_sas_that_may_write_and_only_once() {
        let mut world = world();
        let key = STANDARD.decode(world.cloud.account_key("contoso", 0).unwrap()).unwrap();
        let sas = |permissions: &str, expiry: &str| {
            let sas = blob::Sas {
                permissions: permissions.into(),
                expiry: expiry.into(),
                version: "2024-11-04".into(),
                resource: "c".into(),
                ..blob::Sas::default()
            };
            sas.sign("contoso", "backups", &key)
        };
        let (soon, past) = ("2026-12-01T00:00:00Z", "2026-11-20T00:00:00Z");
        let full = format!(
            "BACKUP DATABASE SmartHotelDB TO URL = N'{URL}/SmartHotelDB_full_01.bak' WITH CHECKSUM, COMPRESSION"
        );
        let mut verb = "CREATE";
        for (sas, wanted) in [
            (sas("rl", soon), Err(3201)),
            (sas("rlw", past), Err(3201)),
            (sas("rlw", soon), Ok(())),
            (sas("rlw", soon), Err(3271)),
        ] {
            let credential =
                format!("{verb} CREDENTIAL [{URL}] WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = N'{sas}'");
            run(&mut world, &credential).unwrap();
            assert_eq!(run(&mut world, &full), wanted, "{sas}");
            verb = "ALTER";
        }
        let blob = &world.cloud.accounts["contoso"].containers["backups"]["SmartHotelDB_full_01.bak"];
        assert_eq!((blob.size, blob.log), (FULL, (0, world.onprem.sql.position(DATABASE))));
    }

    #[test]
    fn people_and_statements_share_one_log() {
        let mut world = world();
        run(
            &mut world,
            r"BACKUP DATABASE SmartHotelDB TO DISK = 'C:\SQLBackup\f.bak'",
        )
        .unwrap();
        let after_full = world.onprem.sql.position(DATABASE);
        let log = log_of(&mut world, 0, DATABASE).unwrap();
        log.position += 10;
        // A person's backup takes what is between.
        assert_eq!(log.back_up(false), (after_full, after_full + 10));
        log.position += 5;
        run(&mut world, r"BACKUP LOG SmartHotelDB TO DISK = 'C:\SQLBackup\l.trn'").unwrap();
        let log = world.onprem.instances[0].disk[r"c:\sqlbackup\l.trn"].log;
        assert_eq!(log, (after_full + 10, after_full + 15));
    }
}
