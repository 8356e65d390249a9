//! Everything that must be known of a SQL Server before it is moved: the instance in a handful of statements, then each
//! database by itself, told to the caller as it comes.
//!
//! Views are read whole (`SELECT *`): a column that a version does not have is simply not there, which is noted, and nothing
//! fails for it. Every statement stands for itself, so that a right that is missing hides one thing and not all.

use crate::{
    cells::Cells,
    client::{Client, Options},
    error::SqlError,
    quote,
};
use futures::{TryStreamExt, stream};
use plan::sql::{
    SqlBackup, SqlBackupKind, SqlBackups, SqlCertificate, SqlDatabase, SqlDatabaseDetails, SqlInstance, SqlJob,
    SqlLinkedServer, SqlLogin, SqlSetting, SqlUnread, SqlUnreadReason, SqlUse, SqlUser,
};
use std::{collections::HashMap, sync::Arc};
use tiberius::Row;
use tokio::sync::{Mutex, mpsc};

/// How many databases are looked into at once. More would be noticed on the source, which is in production.
const PARALLEL: usize = 8;

/// What is told while it is read.
#[derive(Debug, Clone)]
pub enum Found {
    /// The instance with all its databases, none of them looked into.
    Instance(Box<SqlInstance>),
    /// A database that was looked into, and what could not be read of it.
    Database(Box<SqlDatabase>, Vec<SqlUnread>),
}

/// Reads everything. `tell` gets the instance first, then each database when it was looked into, in no order.
///
/// Takes one connection for the instance and up to eight for the databases; changes nothing and takes no locks that last.
///
/// # Errors
/// When the server can't be reached or signed in to, or the connection breaks. What a version lacks or an account may not
/// see is no error but a line in [`SqlInstance::unread`].
pub async fn read(options: &Options, mut tell: impl FnMut(Found) + Send) -> Result<SqlInstance, SqlError> {
    let mut first = Client::connect(options).await?;
    let mut instance = instance(&mut first).await?;
    tell(Found::Instance(Box::new(instance.clone())));

    let logins: Arc<HashMap<String, String>> = Arc::new(
        instance
            .logins
            .iter()
            .map(|l| (l.sid.clone(), l.name.clone()))
            .collect(),
    );
    let places: Vec<usize> = (0..instance.databases.len())
        .filter(|i| !instance.databases[*i].is_system() && instance.databases[*i].state == "ONLINE")
        .collect();
    // Owned, not borrowed: a future that borrows across these closures can't be moved to another thread.
    let options = Arc::new(options.clone());
    // Connections are lent: as many as are needed are opened, and each looks into one database after the other.
    let spare = Arc::new(Mutex::new(vec![first]));
    let (send, mut received) = mpsc::unbounded_channel::<(usize, Looked)>();
    let names: Vec<(usize, String)> = places
        .into_iter()
        .map(|i| (i, instance.databases[i].name.clone()))
        .collect();
    let work = stream::iter(names.into_iter().map(Ok)).try_for_each_concurrent(PARALLEL, move |(place, name)| {
        let (spare, send) = (spare.clone(), send.clone());
        let (logins, options) = (logins.clone(), options.clone());
        async move {
            let lent = spare.lock().await.pop();
            let mut client = match lent {
                Some(client) => client,
                None => Client::connect(&options).await?,
            };
            let looked = look_into(&mut client, &name, &logins).await?;
            spare.lock().await.push(client);
            // Nobody listens any more only when the whole reading was dropped.
            let _ = send.send((place, looked));
            Ok::<_, SqlError>(())
        }
    });
    // The channel ends with the work, which owns its other side.
    let telling = async {
        while let Some((place, (details, unread))) = received.recv().await {
            instance.databases[place].details = details;
            tell(Found::Database(
                Box::new(instance.databases[place].clone()),
                unread.clone(),
            ));
            instance.unread.extend(unread);
        }
        Ok(())
    };
    futures::try_join!(work, telling)?;
    Ok(instance)
}

/// Reads the instance, and looks into this one of its databases.
///
/// # Errors
/// When the connection breaks. What can't be read is noted as by [`read`].
pub async fn read_one(client: &mut Client, database: &str) -> Result<SqlInstance, SqlError> {
    let mut found = instance(client).await?;
    let logins = found.logins.iter().map(|l| (l.sid.clone(), l.name.clone())).collect();
    let online = |d: &&mut SqlDatabase| d.name.eq_ignore_ascii_case(database) && d.state == "ONLINE";
    if let Some(of) = found.databases.iter_mut().find(online) {
        let (details, unread) = look_into(client, &of.name, &logins).await?;
        of.details = details;
        found.unread.extend(unread);
    }
    Ok(found)
}

/// Reads only who the server is and who we are to it: name, version, edition, collation, login, `sysadmin`.
///
/// # Errors
/// When the statement fails.
pub async fn about(client: &mut Client) -> Result<SqlInstance, SqlError> {
    let mut found = SqlInstance::default();
    let about = client.query(ABOUT).await?;
    if let Some(row) = about.first().and_then(|r| r.first()) {
        let c = Cells(row);
        found.name = c.word("name");
        found.version = c.word("version");
        found.edition = c.word("edition");
        found.engine_edition = c.number("engine").and_then(|n| n.try_into().ok());
        found.collation = c.text("collation");
        found.login = c.word("login");
        found.sysadmin = c.flag("sysadmin");
    }
    Ok(found)
}

/// Notes what could not be read, and lets only a broken connection through.
pub(crate) fn note<T>(
    unread: &mut Vec<SqlUnread>,
    what: &str,
    database: &str,
    answer: Result<T, SqlError>,
) -> Result<Option<T>, SqlError> {
    let error = match answer {
        Ok(value) => return Ok(Some(value)),
        Err(error) => error,
    };
    let reason = match &error {
        e if e.is_unknown_here() => SqlUnreadReason::Version,
        e if e.is_denied() => SqlUnreadReason::Denied,
        SqlError::Statement { .. } => SqlUnreadReason::Failed,
        _ => return Err(error),
    };
    unread.push(SqlUnread {
        what: what.to_owned(),
        database: database.to_owned(),
        reason,
        detail: error.to_string(),
    });
    Ok(None)
}

/// Reads a view whole, and notes which of the columns that came with later versions it lacks.
pub(crate) async fn view(
    client: &mut Client,
    unread: &mut Vec<SqlUnread>,
    name: &str,
    later: &[&str],
) -> Result<Vec<Row>, SqlError> {
    let answer = client.query(&format!("SELECT * FROM {name}")).await;
    let rows = note(unread, name, "", answer)?
        .and_then(|mut r| r.pop())
        .unwrap_or_default();
    let missing = rows.first().map(|r| Cells(r).missing(later)).unwrap_or_default();
    unread.extend(missing.into_iter().map(|column| SqlUnread {
        what: format!("{name}.{column}"),
        database: String::new(),
        reason: SqlUnreadReason::Version,
        detail: String::new(),
    }));
    Ok(rows)
}

const ABOUT: &str = "SELECT @@SERVERNAME AS name, \
    CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')) AS version, \
    CONVERT(nvarchar(128), SERVERPROPERTY('Edition')) AS edition, \
    CONVERT(int, SERVERPROPERTY('EngineEdition')) AS engine, \
    CONVERT(nvarchar(128), SERVERPROPERTY('Collation')) AS collation, \
    SUSER_SNAME() AS login, IS_SRVROLEMEMBER('sysadmin') AS sysadmin";

/// The last full backup of each database that is no copy, and what came after it.
const BACKUPS: &str = "SELECT b.database_name, b.type, b.backup_finish_date, b.first_lsn, b.last_lsn, \
    b.has_backup_checksums, b.is_damaged, b.backup_size FROM msdb.dbo.backupset AS b JOIN \
    (SELECT database_name, MAX(backup_set_id) AS id FROM msdb.dbo.backupset \
    WHERE type = 'D' AND is_copy_only = 0 GROUP BY database_name) AS f \
    ON f.database_name = b.database_name AND b.backup_set_id >= f.id WHERE b.is_copy_only = 0 \
    ORDER BY b.backup_set_id";

const JOBS: &str = "SELECT j.name, j.enabled, s.subsystem, s.database_name FROM msdb.dbo.sysjobs AS j \
    LEFT JOIN msdb.dbo.sysjobsteps AS s ON s.job_id = j.job_id ORDER BY j.name, s.step_id";

async fn instance(client: &mut Client) -> Result<SqlInstance, SqlError> {
    let mut unread = vec![];
    // Without this nothing else makes sense.
    let mut found = about(client).await?;
    let unread_ref = &mut unread;
    let rows = view(client, unread_ref, "sys.configurations", &[]).await?;
    found.settings = rows
        .iter()
        .map(Cells)
        .filter_map(|c| {
            let value = c.number("value_in_use")?;
            Some(SqlSetting {
                name: c.text("name")?,
                value,
            })
        })
        .collect();
    let rows = view(client, unread_ref, "sys.server_principals", &[]).await?;
    let principals = rows
        .iter()
        .map(Cells)
        .filter(|c| matches!(c.word("type").as_str(), "S" | "U" | "G" | "E" | "X"));
    found.logins = principals
        .map(|c| SqlLogin {
            name: c.word("name"),
            kind: c.word("type_desc"),
            sid: c.bytes("sid").unwrap_or_default(),
            disabled: c.flag("is_disabled").unwrap_or(false),
            default_database: c.text("default_database_name"),
        })
        .collect();
    let rows = view(client, unread_ref, "sys.servers", &[]).await?;
    let linked = rows.iter().map(Cells).filter(|c| c.flag("is_linked") == Some(true));
    found.linked_servers = linked
        .map(|c| SqlLinkedServer {
            name: c.word("name"),
            product: c.text("product"),
            source: c.text("data_source"),
        })
        .collect();
    let rows = view(client, unread_ref, "sys.credentials", &[]).await?;
    found.credentials = rows.iter().map(|r| Cells(r).word("name")).collect();
    let rows = view(client, unread_ref, "master.sys.certificates", &[]).await?;
    let own = rows.iter().map(Cells).filter(|c| !c.word("name").starts_with("##"));
    found.certificates = own
        .map(|c| SqlCertificate {
            name: c.word("name"),
            thumbprint: c.bytes("thumbprint").unwrap_or_default(),
            expires: c.text("expiry_date"),
            key: c.text("pvt_key_encryption_type"),
            key_backed_up: c.text("pvt_key_last_backup_date"),
        })
        .collect();
    let answer = client.query(JOBS).await;
    let rows = note(unread_ref, "msdb.dbo.sysjobs", "", answer)?.and_then(|mut r| r.pop());
    found.jobs = jobs(&rows.unwrap_or_default());
    found.databases = databases(client, unread_ref, &found.logins).await?;
    found.unread = unread;
    Ok(found)
}

fn jobs(steps: &[Row]) -> Vec<SqlJob> {
    let mut all: Vec<SqlJob> = vec![];
    for step in steps.iter().map(Cells) {
        let name = step.word("name");
        if all.last().is_none_or(|j| j.name != name) {
            all.push(SqlJob {
                name,
                enabled: step.flag("enabled").unwrap_or(false),
                subsystems: vec![],
                databases: vec![],
            });
        }
        if let Some(job) = all.last_mut() {
            let once = |list: &mut Vec<String>, value: Option<String>| {
                list.extend(value.filter(|v| !list.contains(v)));
            };
            once(&mut job.subsystems, step.text("subsystem"));
            once(&mut job.databases, step.text("database_name"));
        }
    }
    all
}

async fn databases(
    client: &mut Client,
    unread: &mut Vec<SqlUnread>,
    logins: &[SqlLogin],
) -> Result<Vec<SqlDatabase>, SqlError> {
    let rows = view(client, unread, "sys.databases", &["is_encrypted", "containment"]).await?;
    let owners: HashMap<&str, &str> = logins.iter().map(|l| (l.sid.as_str(), l.name.as_str())).collect();
    let mut all: Vec<SqlDatabase> = rows
        .iter()
        .map(Cells)
        .map(|c| SqlDatabase {
            id: c.number("database_id").and_then(|n| n.try_into().ok()).unwrap_or(0),
            name: c.word("name"),
            state: c.word("state_desc"),
            recovery: c.word("recovery_model_desc"),
            compatibility: c
                .number("compatibility_level")
                .and_then(|n| n.try_into().ok())
                .unwrap_or(0),
            collation: c.text("collation_name"),
            owner: c
                .bytes("owner_sid")
                .and_then(|sid| owners.get(sid.as_str()).map(|o| (*o).to_owned())),
            read_only: c.flag("is_read_only").unwrap_or(false),
            encrypted: c.flag("is_encrypted"),
            contained: c.flag("containment"),
            ..SqlDatabase::default()
        })
        .collect();
    let place: HashMap<u32, usize> = all.iter().enumerate().map(|(i, d)| (d.id, i)).collect();
    let at = |c: &Cells| {
        let id = c.number("database_id").and_then(|n| u32::try_from(n).ok())?;
        place.get(&id).copied()
    };
    for row in view(client, unread, "sys.master_files", &[]).await? {
        let c = Cells(&row);
        if let Some(i) = at(&c) {
            // In pages of 8 KiB.
            let bytes = c.number("size").and_then(|n| u64::try_from(n).ok()).unwrap_or(0) * 8192;
            match c.number("type") {
                Some(1) => all[i].log_bytes += bytes,
                _ => all[i].data_bytes += bytes,
            }
        }
    }
    for row in view(client, unread, "sys.dm_database_encryption_keys", &[]).await? {
        let c = Cells(&row);
        // tempdb is encrypted when any other is, by no certificate of its own.
        if let Some(i) = at(&c).filter(|i| !all[*i].is_system()) {
            all[i].certificate = c.bytes("encryptor_thumbprint");
        }
    }
    let answer = client.query(BACKUPS).await;
    if let Some(rows) = note(unread, "msdb.dbo.backupset", "", answer)?.and_then(|mut r| r.pop()) {
        let mut by_name: HashMap<String, SqlBackups> = HashMap::new();
        for c in rows.iter().map(Cells) {
            let kind = match c.word("type").as_str() {
                "D" => SqlBackupKind::Full,
                "I" => SqlBackupKind::Differential,
                "L" => SqlBackupKind::Log,
                // Single files and file groups are no part of a chain that the services take.
                _ => continue,
            };
            let backup = SqlBackup {
                kind,
                finished: c.word("backup_finish_date"),
                first: c.word("first_lsn"),
                last: c.word("last_lsn"),
                checksum: c.flag("has_backup_checksums").unwrap_or(false),
                damaged: c.flag("is_damaged").unwrap_or(false),
                bytes: c.number("backup_size").and_then(|n| n.try_into().ok()).unwrap_or(0),
            };
            let of = by_name.entry(c.word("database_name").to_lowercase()).or_default();
            match kind {
                SqlBackupKind::Full => of.full = Some(backup),
                _ => of.after.push(backup),
            }
        }
        for d in &mut all {
            d.backups = by_name.remove(&d.name.to_lowercase()).unwrap_or_default();
            d.backups.known = true;
        }
    }
    Ok(all)
}

type Looked = (Option<SqlDatabaseDetails>, Vec<SqlUnread>);

/// Looks into one database, in one round trip.
async fn look_into(client: &mut Client, name: &str, logins: &HashMap<String, String>) -> Result<Looked, SqlError> {
    let mut unread = vec![];
    let Some(q) = quote::identifier(name) else {
        return Ok((None, unread));
    };
    let batch = format!(
        "SELECT * FROM {q}.sys.database_principals; SELECT type FROM {q}.sys.filegroups; \
         SELECT DISTINCT referenced_server_name, referenced_database_name FROM {q}.sys.sql_expression_dependencies \
         WHERE referenced_database_name IS NOT NULL"
    );
    let answer = client.query(&batch).await;
    let Some(results) = note(&mut unread, "users, file groups and dependencies", name, answer)? else {
        return Ok((None, unread));
    };
    let [principals, groups, uses] = &results[..] else {
        return Err(SqlError::Protocol {
            server: client.server().to_owned(),
            detail: format!("{} results came for three statements", results.len()),
        });
    };
    let users = principals
        .iter()
        .map(Cells)
        .filter(|c| {
            let people = matches!(c.word("type").as_str(), "S" | "U" | "G" | "E" | "X");
            // Below 5 are dbo, guest, sys and INFORMATION_SCHEMA.
            people && c.number("principal_id").is_some_and(|n| n > 4)
        })
        .map(|c| {
            let sid = c.bytes("sid").unwrap_or_default();
            let proof = c.word("authentication_type_desc");
            SqlUser {
                name: c.word("name"),
                kind: c.word("type_desc"),
                login: logins.get(&sid).cloned(),
                // A user WITHOUT LOGIN signs in nowhere: it is no orphan either.
                own_password: proof == "DATABASE" || proof == "NONE",
                sid,
            }
        })
        .collect();
    let has = |kind: &str| groups.iter().any(|r| Cells(r).word("type") == kind);
    let details = SqlDatabaseDetails {
        users,
        memory_optimised: has("FX"),
        filestream: has("FD"),
        uses: uses
            .iter()
            .map(Cells)
            .map(|c| SqlUse {
                server: c.text("referenced_server_name"),
                database: c.word("referenced_database_name"),
            })
            .filter(|u| u.server.is_some() || !u.database.eq_ignore_ascii_case(name))
            .collect(),
    };
    Ok((Some(details), unread))
}
