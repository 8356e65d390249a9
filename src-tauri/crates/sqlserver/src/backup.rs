//! Backups of the source: the statements, their progress, and the proof that the file is there and readable.
//!
//! Decisions:
//! * A backup carries a *mark* in its description, and its session carries the same bytes as `CONTEXT_INFO`. So after a
//!   crash one that was taken is found in msdb, and one that still runs is found among the requests: none is taken twice.
//! * Nothing on the source is deleted or overwritten. Each file gets a name of its own, so that neither INIT nor FORMAT is
//!   needed; without them the server refuses a blob of that name that is there, and appends to a file. The one thing
//!   dropped is the credential that Rehost made for the container.
//! * Microsoft's figures for block blobs (MAXTRANSFERSIZE 4 MiB, BLOCKSIZE 64 KiB) go with every backup to a URL: without
//!   them the blob's 50,000 blocks end at 48 GB.
//! * No statement has a time-out. Progress is read on another connection.

use crate::{Client, SqlError, cells::Cells, quote};
use plan::sql::{SqlBackup, SqlBackupKind};
use secrets::Secret;
use std::fmt::Write;
use tokio_util::sync::CancellationToken;

/// Longest name of a device that `backupmediafamily` takes, in UTF-16 units.
const DEVICE: usize = 259;
/// Most files of one backup set.
const STRIPES: usize = 64;
/// Longest `CONTEXT_INFO`, in bytes.
const CONTEXT: usize = 128;

/// What is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Full,
    Differential,
    Log,
    /// The last log backup; it leaves the database RESTORING, so that nobody writes to it by mistake; or, by
    /// [`Backup::standby`], readable.
    Tail,
}

/// What can be said of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody else is thrown out, what they had begun is rolled back. A tail-log backup needs the database alone.
    Single,
    /// As it was before [`Access::Single`].
    Everybody,
}

/// One backup.
#[derive(Debug, Clone)]
pub struct Backup {
    pub database: String,
    pub kind: Kind,
    /// Addresses of blobs, `https://account/container/name`, or paths; several = striped.
    pub devices: Vec<String>,
    /// Undo file of a tail-log backup that leaves the database readable, in a folder of the server (see [`undo_file`]).
    pub standby: Option<String>,
    /// See [`compresses`].
    pub compression: bool,
    /// Printable ASCII, at most 128 bytes, unique in the world.
    pub mark: String,
}

fn config<T>(what: impl Into<String>) -> Result<T, SqlError> {
    Err(SqlError::Config(what.into()))
}

fn name(name: &str) -> Result<String, SqlError> {
    quote::identifier(name).ok_or_else(|| SqlError::Config(format!("`{name}` can't be a name in SQL Server.")))
}

fn is_url(device: &str) -> bool {
    let scheme = device.get(..8).unwrap_or_default();
    scheme.eq_ignore_ascii_case("https://")
}

/// `URL = N'…', URL = N'…'`
fn listed(devices: &[String]) -> Result<String, SqlError> {
    let urls = devices.iter().filter(|d| is_url(d)).count();
    if devices.is_empty() || devices.len() > STRIPES || (urls != 0 && urls != devices.len()) {
        return config("A backup has 1 to 64 files, all of them in a container or all of them in a folder.");
    }
    let one = |d: &String| {
        if d.encode_utf16().count() > DEVICE || d.contains('\0') {
            return config(format!("The backup's place is longer than {DEVICE} characters: {d}"));
        }
        let of = if is_url(d) { "URL" } else { "DISK" };
        Ok(format!("{of} = {}", quote::literal(d)))
    };
    let all: Result<Vec<String>, SqlError> = devices.iter().map(one).collect();
    Ok(all?.join(", "))
}

fn checked(mark: &str) -> Result<&str, SqlError> {
    let fits = !mark.is_empty() && mark.len() <= CONTEXT && mark.bytes().all(|b| (0x20..0x7F).contains(&b));
    if fits {
        Ok(mark)
    } else {
        config("A backup's mark must be short ASCII.")
    }
}

impl Backup {
    /// The statement.
    ///
    /// # Errors
    /// [`SqlError::Config`] for what can't be a name, a place or a mark.
    pub fn statement(&self) -> Result<String, SqlError> {
        let of = match self.kind {
            Kind::Full | Kind::Differential => "DATABASE",
            Kind::Log | Kind::Tail => "LOG",
        };
        let mut sql = format!(
            "BACKUP {of} {} TO {} WITH CHECKSUM, STATS = 5",
            name(&self.database)?,
            listed(&self.devices)?
        );
        match self.kind {
            Kind::Differential => sql.push_str(", DIFFERENTIAL"),
            Kind::Tail => match &self.standby {
                Some(file) => {
                    // Writing into a text can't fail.
                    let _ = write!(sql, ", STANDBY = {}", quote::literal(file));
                }
                None => sql.push_str(", NORECOVERY"),
            },
            Kind::Full | Kind::Log => {}
        }
        sql.push_str(if self.compression {
            ", COMPRESSION"
        } else {
            ", NO_COMPRESSION"
        });
        if self.devices.iter().any(|d| is_url(d)) {
            sql.push_str(", MAXTRANSFERSIZE = 4194304, BLOCKSIZE = 65536");
        }
        let mark = quote::literal(checked(&self.mark)?);
        // Writing into a text can't fail.
        let _ = write!(sql, ", NAME = N'Rehost', DESCRIPTION = {mark}");
        Ok(sql)
    }
}

/// Whether this version and edition can compress: 2008 only as Enterprise, later ones but Express and Web
/// (Microsoft, "Editions and supported features"). `version` as [`Client::version`] says it.
pub fn compresses(version: (u8, u8, u16), edition: &str) -> bool {
    let is = |names: &[&str]| names.iter().any(|n| edition.starts_with(n));
    match version {
        (..10, ..) => false,
        (10, 0, _) => is(&["Enterprise", "Developer"]),
        _ => !is(&["Express", "Web"]),
    }
}

/// Asks the server for its edition, see [`compresses`].
///
/// # Errors
/// When the statement fails.
pub async fn can_compress(client: &mut Client) -> Result<bool, SqlError> {
    let found = client
        .query("SELECT CONVERT(nvarchar(128), SERVERPROPERTY('Edition')) AS edition")
        .await?;
    let edition = found
        .first()
        .and_then(|rows| rows.first())
        .map(|r| Cells(r).word("edition"));
    Ok(compresses(client.version(), &edition.unwrap_or_default()))
}

/// Whether this version writes to a container by a SAS: 2016 and later. Older ones need a share or folder.
pub fn writes_to_containers(version: (u8, u8, u16)) -> bool {
    version.0 >= 13
}

/// A name for a backup's file that fits both into a path and into an address: `SmartHotelDB`, `R_ume`.
pub fn stem(database: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    database.chars().map(safe).take(60).collect()
}

/// The statement that changes who may use a database.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a name.
pub fn set_access(database: &str, access: Access) -> Result<String, SqlError> {
    let to = match access {
        Access::Single => "SINGLE_USER WITH ROLLBACK IMMEDIATE",
        Access::Everybody => "MULTI_USER",
    };
    Ok(format!("ALTER DATABASE {} SET {to}", name(database)?))
}

/// The statement that sets the full recovery model, without which there are no log backups.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a name.
pub fn set_full_recovery(database: &str) -> Result<String, SqlError> {
    Ok(format!("ALTER DATABASE {} SET RECOVERY FULL", name(database)?))
}

/// The statement that brings a database back to life after its tail was backed up.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a name.
pub fn recover(database: &str) -> Result<String, SqlError> {
    Ok(format!("RESTORE DATABASE {} WITH RECOVERY", name(database)?))
}

/// The statement that makes a folder where SQL Server sees it; one that is there stays as it is.
pub fn make_folder(path: &str) -> String {
    format!("EXEC master.dbo.xp_create_subdir {}", quote::literal(path))
}

/// Statements that read a backup: its header, and (`whole`) all of it with its checksums.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a place.
pub fn read(devices: &[String], whole: bool) -> Result<String, SqlError> {
    let from = listed(devices)?;
    Ok(if whole {
        format!("RESTORE VERIFYONLY FROM {from} WITH CHECKSUM")
    } else {
        format!("RESTORE HEADERONLY FROM {from}")
    })
}

/// The statement that makes the credential of a container (its address without a slash at the end), or renews one that
/// is there. `sas` without its question mark.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a name.
pub fn credential(container: &str, sas: &Secret<String>, there: bool) -> Result<Secret<String>, SqlError> {
    let verb = if there { "ALTER" } else { "CREATE" };
    Ok(Secret::new(format!(
        "{verb} CREDENTIAL {} WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = {}",
        name(container)?,
        quote::literal(sas.expose().trim_start_matches('?'))
    )))
}

/// The statement that drops it.
///
/// # Errors
/// [`SqlError::Config`] for what can't be a name.
pub fn drop_credential(container: &str) -> Result<String, SqlError> {
    if !is_url(container) {
        return config(format!("`{container}` is not the address of a container."));
    }
    Ok(format!("DROP CREDENTIAL {}", name(container)?))
}

/// A backup as msdb remembers it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// `backup_set_id`, which only grows.
    pub id: i64,
    /// Log sequence numbers, digits only.
    pub first: String,
    pub last: String,
    pub checksum: bool,
    pub damaged: bool,
    /// In bytes, as it was before and after compression.
    pub bytes: u64,
    pub compressed: u64,
    /// Server's local time.
    pub finished: String,
    pub devices: Vec<String>,
}

/// A backup that runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Running {
    /// 0 to 100.
    pub percent: f64,
    /// As the server estimates.
    pub left_secs: u64,
}

const TAKEN: &str = "SELECT s.backup_set_id, s.first_lsn, s.last_lsn, s.has_backup_checksums, s.is_damaged, \
    s.backup_size, s.compressed_backup_size, s.backup_finish_date, m.physical_device_name \
    FROM msdb.dbo.backupset AS s JOIN msdb.dbo.backupmediafamily AS m ON m.media_set_id = s.media_set_id";

fn taken_of(rows: &[tiberius::Row]) -> Vec<Taken> {
    let mut all: Vec<Taken> = vec![];
    for c in rows.iter().map(Cells) {
        let id = c.number("backup_set_id").unwrap_or_default();
        let bytes = |column| c.number(column).and_then(|n| n.try_into().ok()).unwrap_or_default();
        if all.last().is_none_or(|t| t.id != id) {
            all.push(Taken {
                id,
                first: c.word("first_lsn"),
                last: c.word("last_lsn"),
                checksum: c.flag("has_backup_checksums").unwrap_or_default(),
                damaged: c.flag("is_damaged").unwrap_or_default(),
                bytes: bytes("backup_size"),
                compressed: bytes("compressed_backup_size"),
                finished: c.word("backup_finish_date"),
                devices: vec![],
            });
        }
        if let Some(last) = all.last_mut() {
            last.devices.push(c.word("physical_device_name"));
        }
    }
    all
}

/// Looks in msdb for the newest backup with this mark.
///
/// # Errors
/// When the statement fails.
pub async fn taken(client: &mut Client, database: &str, mark: &str) -> Result<Option<Taken>, SqlError> {
    let sql = format!(
        "{TAKEN} WHERE s.database_name = @P1 AND s.description = @P2 ORDER BY s.backup_set_id, m.family_sequence_number"
    );
    let rows = client.query_with(&sql, &[database, mark]).await?;
    Ok(taken_of(&rows).pop())
}

/// All log backups of a database that ended after the one with this id, oldest first, whoever took them.
///
/// # Errors
/// When the statement fails.
pub async fn logs_after(client: &mut Client, database: &str, id: i64) -> Result<Vec<Taken>, SqlError> {
    let sql = format!(
        "{TAKEN} WHERE s.database_name = @P1 AND s.type = 'L' AND s.backup_set_id > CAST(@P2 AS int) \
         ORDER BY s.backup_set_id, m.family_sequence_number"
    );
    let rows = client.query_with(&sql, &[database, &id.to_string()]).await?;
    Ok(taken_of(&rows))
}

/// Looks among what the server does for a session that carries this mark.
///
/// # Errors
/// When the statement fails.
pub async fn running(client: &mut Client, mark: &str) -> Result<Option<Running>, SqlError> {
    let mark = checked(mark)?;
    let sql = format!(
        "SELECT percent_complete, estimated_completion_time FROM sys.dm_exec_requests \
         WHERE SUBSTRING(context_info, 1, {}) = {} AND percent_complete IS NOT NULL AND session_id <> @@SPID",
        mark.len(),
        quote::binary(mark.as_bytes())
    );
    let found = client.query(&sql).await?;
    Ok(found.first().and_then(|rows| rows.first()).map(|row| {
        let c = Cells(row);
        Running {
            percent: c.real("percent_complete").unwrap_or_default().clamp(0.0, 100.0),
            left_secs: c.number("estimated_completion_time").unwrap_or_default().max(0) as u64 / 1000,
        }
    }))
}

/// What is known of a database before it is backed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// `ONLINE`, `RESTORING`…
    pub state: String,
    pub read_only: bool,
    /// `FULL`, `BULK_LOGGED` or `SIMPLE`.
    pub recovery: String,
    /// Path of its first file.
    pub file: String,
}

impl State {
    /// Whether nobody can write to it.
    pub fn closed(&self) -> bool {
        self.read_only || self.state.eq_ignore_ascii_case("RESTORING")
    }
}

/// Reads the state of a database; none when there is none of this name.
///
/// # Errors
/// When the statement fails.
pub async fn state(client: &mut Client, database: &str) -> Result<Option<State>, SqlError> {
    let sql = "SELECT d.state_desc, d.is_read_only, d.is_in_standby, d.recovery_model_desc, f.physical_name \
        FROM sys.databases AS d JOIN sys.master_files AS f ON f.database_id = d.database_id \
        WHERE d.name = @P1 AND f.file_id = 1";
    let rows = client.query_with(sql, &[database]).await?;
    Ok(rows.first().map(|row| {
        let c = Cells(row);
        State {
            state: c.word("state_desc"),
            read_only: c.flag("is_read_only").unwrap_or_default() || c.flag("is_in_standby").unwrap_or_default(),
            recovery: c.word("recovery_model_desc"),
            file: c.word("physical_name"),
        }
    }))
}

/// A path beside the database's own file for the undo file of [`Backup::standby`].
pub fn undo_file(state: &State, database: &str) -> Option<String> {
    let (folder, _) = state.file.rsplit_once(['\\', '/'])?;
    let slash = if state.file.contains('\\') { '\\' } else { '/' };
    Some(format!("{folder}{slash}{}_rehost_standby.tuf", stem(database)))
}

/// Takes the backup, for as long as it lasts. A tail-log backup first gets the database for itself, and gives it back
/// when it fails.
///
/// # Errors
/// [`SqlError::Cancelled`] when `cancel` came first, and all of statements.
pub async fn take(client: &mut Client, backup: &Backup, cancel: &CancellationToken) -> Result<(), SqlError> {
    let statement = backup.statement()?;
    let context = quote::binary(backup.mark.as_bytes());
    client.query(&format!("SET CONTEXT_INFO {context}")).await?;
    if backup.kind != Kind::Tail {
        return client.run(&statement, cancel).await.map(drop);
    }
    client.query(&set_access(&backup.database, Access::Single)?).await?;
    let ended = client.run(&statement, cancel).await;
    if ended.is_err() {
        // The way back is the database administrator's too when even this fails; the first error says more.
        let _ = client.query(&set_access(&backup.database, Access::Everybody)?).await;
    }
    ended.map(drop)
}

/// Makes the container's credential, or renews it; true when it was not there.
///
/// # Errors
/// When a statement fails.
pub async fn ensure_credential(client: &mut Client, container: &str, sas: &Secret<String>) -> Result<bool, SqlError> {
    let there = has_credential(client, container).await?;
    let statement = credential(container, sas, there)?;
    match client.query(statement.expose()).await {
        Ok(_) => Ok(!there),
        // A backup of another database has made it meanwhile.
        Err(SqlError::Statement { number: EXISTS, .. }) if !there => {
            client.query(credential(container, sas, true)?.expose()).await?;
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

/// What is to be created is there.
const EXISTS: u32 = 15028;

/// Drops the container's credential, if it is there.
///
/// # Errors
/// When a statement fails.
pub async fn forget_credential(client: &mut Client, container: &str) -> Result<(), SqlError> {
    if has_credential(client, container).await? {
        client.query(&drop_credential(container)?).await?;
    }
    Ok(())
}

/// Whether there is a credential of this name.
///
/// # Errors
/// When the statement fails.
pub async fn has_credential(client: &mut Client, container: &str) -> Result<bool, SqlError> {
    let sql = "SELECT name FROM sys.credentials WHERE name = @P1";
    Ok(!client.query_with(sql, &[container]).await?.is_empty())
}

/// What a backup's own header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    pub database: String,
    pub description: String,
    pub first: String,
    pub last: String,
    pub checksum: bool,
}

/// What msdb remembers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub database: String,
    /// As the statement named it.
    pub device: String,
    pub backup: SqlBackup,
}

/// Looks in msdb for everything that was backed up into this place (a container's address or a folder), oldest first,
/// whatever the database. A striped backup comes once for each of its files.
///
/// # Errors
/// When the statement fails.
pub async fn remembered(client: &mut Client, place: &str) -> Result<Vec<Remembered>, SqlError> {
    let sql = format!(
        "SELECT s.database_name, s.type, s.first_lsn, s.last_lsn, s.has_backup_checksums, s.is_damaged, s.backup_size, \
         s.backup_finish_date, m.physical_device_name \
         FROM msdb.dbo.backupset AS s JOIN msdb.dbo.backupmediafamily AS m ON m.media_set_id = s.media_set_id \
         WHERE SUBSTRING(m.physical_device_name, 1, {}) = @P1 ORDER BY s.backup_set_id, m.family_sequence_number",
        place.encode_utf16().count()
    );
    let rows = client.query_with(&sql, &[place]).await?;
    let kind = |c: &Cells| match c.word("type").as_str() {
        "D" => Some(SqlBackupKind::Full),
        "I" => Some(SqlBackupKind::Differential),
        "L" => Some(SqlBackupKind::Log),
        _ => None,
    };
    let all = rows.iter().map(Cells).filter_map(|c| {
        Some(Remembered {
            database: c.word("database_name"),
            device: c.word("physical_device_name"),
            backup: SqlBackup {
                kind: kind(&c)?,
                finished: c.word("backup_finish_date"),
                first: c.word("first_lsn"),
                last: c.word("last_lsn"),
                checksum: c.flag("has_backup_checksums").unwrap_or_default(),
                damaged: c.flag("is_damaged").unwrap_or_default(),
                bytes: c
                    .number("backup_size")
                    .and_then(|n| n.try_into().ok())
                    .unwrap_or_default(),
            },
        })
    });
    Ok(all.collect())
}

/// Reads the header of a backup, and with `whole` all of it with its checksums.
///
/// # Errors
/// When a file is missing, is no backup, is damaged, or can't be read.
pub async fn prove(
    client: &mut Client,
    devices: &[String],
    whole: bool,
    cancel: &CancellationToken,
) -> Result<Header, SqlError> {
    let header = client.query(&read(devices, false)?).await?;
    let header = header.first().and_then(|rows| rows.last()).map(Cells);
    let header = header.map(|c| Header {
        database: c.word("DatabaseName"),
        description: c.word("BackupDescription"),
        first: c.word("FirstLSN"),
        last: c.word("LastLSN"),
        checksum: c.flag("HasBackupChecksums").unwrap_or_default(),
    });
    if whole {
        client.run(&read(devices, true)?, cancel).await?;
    }
    header.ok_or_else(|| SqlError::Protocol {
        server: client.server().to_owned(),
        detail: "RESTORE HEADERONLY returned no row".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sqlparser::{
        dialect::MsSqlDialect,
        tokenizer::{Token, Tokenizer},
    };

    const KINDS: [Kind; 4] = [Kind::Full, Kind::Differential, Kind::Log, Kind::Tail];
    const CONTAINER: &str = "https://account.blob.core.windows.net/backups";

    /// Every statement that this module can make from these words.
    fn all(database: &str, file: &str, secret: &str) -> Vec<String> {
        let secret = Secret::new(secret.to_owned());
        let mut out = vec![];
        for devices in [
            vec![format!(r"\\SERVER\share\{file}")],
            vec![format!("{CONTAINER}/{file}"), format!("{CONTAINER}/{file}2")],
        ] {
            for (kind, compression) in KINDS.into_iter().flat_map(|k| [(k, true), (k, false)]) {
                let (database, devices, mark) = (database.to_owned(), devices.clone(), "run 1 full".to_owned());
                out.push(
                    Backup {
                        database,
                        kind,
                        devices,
                        standby: (kind == Kind::Tail && !compression).then(|| file.to_owned()),
                        compression,
                        mark,
                    }
                    .statement(),
                );
            }
            out.extend([read(&devices, true), read(&devices, false)]);
        }
        for access in [Access::Single, Access::Everybody] {
            out.push(set_access(database, access));
        }
        out.extend([
            set_full_recovery(database),
            recover(database),
            drop_credential(CONTAINER),
        ]);
        let shown = |s: Result<Secret<String>, SqlError>| s.map(|s| s.expose().clone());
        for there in [true, false] {
            out.push(shown(credential(CONTAINER, &secret, there)));
        }
        out.into_iter().map(|s| s.unwrap()).collect()
    }

    fn tokens(sql: &str) -> Vec<Token> {
        let all = Tokenizer::new(&MsSqlDialect {}, sql).tokenize().unwrap();
        all.into_iter().filter(|t| !matches!(t, Token::Whitespace(_))).collect()
    }

    /// What a statement is when its names and texts are taken away.
    fn shape(sql: &str) -> Vec<String> {
        let blank = |t: Token| match t {
            Token::Word(w) if w.quote_style.is_some() => "[]".to_owned(),
            Token::NationalStringLiteral(_) | Token::SingleQuotedString(_) => "''".to_owned(),
            other => other.to_string(),
        };
        tokens(sql).into_iter().map(blank).collect()
    }

    proptest! {
        #[test]
        fn no_name_changes_what_a_statement_does(
            database in "[^\\x00]{1,100}",
            file in "[^\\x00]{0,80}",
            secret in "[^\\x00]{0,80}",
        ) {
            prop_assume!(database.encode_utf16().count() <= 128 && file.encode_utf16().count() <= 120);
            let (odd, plain) = (all(&database, &file, &secret), all("db", "file", "secret"));
            for (odd, plain) in odd.iter().zip(&plain) {
                prop_assert_eq!(shape(odd), shape(plain));
            }
            for t in tokens(&odd[0]).into_iter() {
                if let Token::Word(w) = t && w.quote_style.is_some() {
                    prop_assert_eq!(&w.value, &database);
                }
            }
        }
    }

    #[test]
    fn nothing_is_deleted_or_overwritten_on_the_source() {
        const NEVER: [&str; 14] = [
            "DELETE",
            "TRUNCATE",
            "DROP",
            "KILL",
            "SHUTDOWN",
            "FORMAT",
            "INIT",
            "REPLACE",
            "SKIP",
            "OFFLINE",
            "EMERGENCY",
            "REVOKE",
            "DENY",
            "EXEC",
        ];
        for sql in all("db", "file", "secret") {
            let words = shape(&sql);
            if words == ["DROP", "CREDENTIAL", "[]"] {
                assert!(sql.contains("[https://"), "only a container's credential: {sql}");
                continue;
            }
            for never in NEVER {
                assert!(!words.iter().any(|w| w.eq_ignore_ascii_case(never)), "{never} in {sql}");
            }
        }
        assert!(drop_credential("payroll").is_err());
    }

    #[test]
    fn statements_say_what_microsoft_asks_for() {
        let of = |kind, device: &str, compression| {
            let backup = Backup {
                database: "Odd]'name".into(),
                kind,
                devices: vec![device.into()],
                standby: None,
                compression,
                mark: "Rehost r step-6/backup/full".into(),
            };
            backup.statement().unwrap()
        };
        assert_eq!(
            of(Kind::Full, "https://a/c/f_01.bak", true),
            "BACKUP DATABASE [Odd]]'name] TO URL = N'https://a/c/f_01.bak' WITH CHECKSUM, STATS = 5, COMPRESSION, \
             MAXTRANSFERSIZE = 4194304, BLOCKSIZE = 65536, NAME = N'Rehost', DESCRIPTION = N'Rehost r step-6/backup/full'"
        );
        let tail = of(Kind::Tail, r"\\F\it's\t.trn", false);
        assert!(tail.starts_with("BACKUP LOG [Odd]]'name] TO DISK = N'\\\\F\\it''s\\t.trn' WITH CHECKSUM"));
        assert!(tail.contains(", NORECOVERY, NO_COMPRESSION, NAME"), "{tail}");
        assert!(of(Kind::Differential, "x", true).contains(", DIFFERENTIAL, COMPRESSION"));
        let sas = Secret::new("?sv=1&sig=a'b".to_owned());
        assert_eq!(
            credential(CONTAINER, &sas, false).unwrap().expose(),
            &format!(
                "CREATE CREDENTIAL [{CONTAINER}] WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = N'sv=1&sig=a''b'"
            )
        );
        assert_eq!(stem("Räume: a/b"), "R_ume__a_b");
        for (version, edition, can) in [
            ((10, 0, 6000), "Standard Edition (64-bit)", false),
            ((10, 0, 6000), "Enterprise Edition (64-bit)", true),
            ((10, 50, 6000), "Standard Edition (64-bit)", true),
            ((16, 0, 1), "Express Edition (64-bit)", false),
            ((13, 0, 1), "Web Edition (64-bit)", false),
        ] {
            assert_eq!(compresses(version, edition), can, "{version:?} {edition}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let backup = |database: &str, devices: Vec<String>, mark: &str| {
            let (database, mark) = (database.to_owned(), mark.to_owned());
            let (kind, compression) = (Kind::Full, true);
            Backup {
                database,
                kind,
                devices,
                standby: None,
                compression,
                mark,
            }
            .statement()
        };
        let disk = || vec!["x.bak".to_owned()];
        for bad in [
            backup("", disk(), "m"),
            backup("d", vec![], "m"),
            backup("d", vec!["x".to_owned(); 65], "m"),
            backup("d", vec!["x".repeat(260)], "m"),
            backup("d", vec!["x".into(), "https://a/b/c".into()], "m"),
            backup("d", disk(), ""),
            backup("d", disk(), &"m".repeat(129)),
            backup("d", disk(), "Ä"),
        ] {
            assert!(matches!(bad, Err(SqlError::Config(_))), "{bad:?}");
        }
    }
}
