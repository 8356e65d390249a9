//! A SQL Server as it was found: the instance, its databases, and what could not be read of them. Nouns only; the crate
//! `sqlserver` reads them, [`crate::rules::sql`] judges them.
//!
//! What an old version does not know, or an account may not see, is `None` here and one line in [`SqlInstance::unread`]:
//! never a guess.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An instance as it was when it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqlRead {
    pub at: Timestamp,
    pub instance: SqlInstance,
}

/// An instance. Times are the server's own, without zone, `2026-11-21T19:00:00`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct SqlInstance {
    /// `@@SERVERNAME`, `SQLVM\INSTANCE`.
    pub name: String,
    /// `13.0.6300.2`
    pub version: String,
    /// `Standard Edition (64-bit)`
    pub edition: String,
    /// `SERVERPROPERTY('EngineEdition')`: 2 Standard, 3 Enterprise, 4 Express, 8 managed instance.
    pub engine_edition: Option<u32>,
    pub collation: Option<String>,
    /// Who read it, and whether as a member of `sysadmin`.
    pub login: String,
    pub sysadmin: Option<bool>,
    pub settings: Vec<SqlSetting>,
    pub logins: Vec<SqlLogin>,
    pub jobs: Vec<SqlJob>,
    pub linked_servers: Vec<SqlLinkedServer>,
    /// Names.
    pub credentials: Vec<String>,
    pub certificates: Vec<SqlCertificate>,
    pub databases: Vec<SqlDatabase>,
    pub unread: Vec<SqlUnread>,
}

impl SqlInstance {
    /// Whether it is a managed instance in Azure.
    pub fn is_managed(&self) -> bool {
        self.engine_edition == Some(8)
    }

    /// 10 = 2008, 13 = 2016, 17 = 2025; 0 when the version was not read.
    pub fn major(&self) -> u32 {
        let major = self.version.split('.').next().unwrap_or_default();
        major.parse().unwrap_or(0)
    }
}

/// What could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlUnread {
    /// `sys.databases.containment_desc` or `sys.linked_logins`.
    pub what: String,
    /// Empty = of the instance.
    pub database: String,
    pub reason: SqlUnreadReason,
    /// The server's own words; empty for a column that isn't there.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SqlUnreadReason {
    /// This version does not have it.
    Version,
    /// The account may not see it.
    Denied,
    /// Something else was in the way.
    Failed,
}

/// One line of `sys.configurations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlSetting {
    pub name: String,
    pub value: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlLogin {
    pub name: String,
    /// `SQL_LOGIN`, `WINDOWS_LOGIN`, `WINDOWS_GROUP`…
    pub kind: String,
    /// Upper-case hex.
    pub sid: String,
    pub disabled: bool,
    pub default_database: Option<String>,
}

impl SqlLogin {
    pub fn is_windows(&self) -> bool {
        self.kind.starts_with("WINDOWS")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlJob {
    pub name: String,
    pub enabled: bool,
    /// `TSQL`, `CmdExec`, `SSIS`… of its steps.
    pub subsystems: Vec<String>,
    pub databases: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlLinkedServer {
    pub name: String,
    pub product: Option<String>,
    pub source: Option<String>,
}

/// A certificate in `master`, with which databases may be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlCertificate {
    pub name: String,
    /// Upper-case hex.
    pub thumbprint: String,
    pub expires: Option<String>,
    /// What protects its private key, `pvt_key_encryption_type`: `MK` the master key of `master`, `PW` a password of its own,
    /// `NA` there is none. None = not read.
    #[serde(default)]
    pub key: Option<String>,
    /// When its private key was backed up last; none = never.
    pub key_backed_up: Option<String>,
}

/// A database. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct SqlDatabase {
    pub id: u32,
    pub name: String,
    /// `ONLINE`, `RESTORING`, `SUSPECT`…
    pub state: String,
    /// `FULL`, `BULK_LOGGED` or `SIMPLE`.
    pub recovery: String,
    /// 100 = 2008, 130 = 2016.
    pub compatibility: u32,
    pub collation: Option<String>,
    pub owner: Option<String>,
    pub read_only: bool,
    pub data_bytes: u64,
    pub log_bytes: u64,
    pub encrypted: Option<bool>,
    /// Thumbprint of the certificate that encrypts it, upper-case hex.
    pub certificate: Option<String>,
    pub contained: Option<bool>,
    pub backups: SqlBackups,
    /// Second pass, none until the database was looked into.
    pub details: Option<SqlDatabaseDetails>,
}

impl SqlDatabase {
    /// `master`, `tempdb`, `model` and `msdb` stay where they are.
    pub fn is_system(&self) -> bool {
        self.id <= 4
    }
}

/// What `msdb` remembers of a database's backups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct SqlBackups {
    /// False while they were not read, or can't be.
    pub known: bool,
    /// The last full one that is not a copy.
    pub full: Option<SqlBackup>,
    /// What came after it, oldest first.
    pub after: Vec<SqlBackup>,
}

impl SqlBackups {
    /// Where the log's chain since the last full backup has a gap: the backup that follows it. `first_lsn` must not lie
    /// behind the `last_lsn` of the one before.
    pub fn gap(&self) -> Option<&SqlBackup> {
        let logs: Vec<&SqlBackup> = self.after.iter().filter(|b| b.kind == SqlBackupKind::Log).collect();
        let start = self.full.as_ref()?.last_lsn();
        let first = logs.first().filter(|l| l.first_lsn() > start).copied();
        let later = || {
            logs.windows(2)
                .find(|w| w[1].first_lsn() > w[0].last_lsn())
                .map(|w| w[1])
        };
        first.or_else(later)
    }

    pub fn all(&self) -> impl Iterator<Item = &SqlBackup> {
        self.full.iter().chain(&self.after)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlBackup {
    pub kind: SqlBackupKind,
    pub finished: String,
    /// Log sequence numbers, up to 25 digits: as text, or they would lose some.
    pub first: String,
    pub last: String,
    pub checksum: bool,
    pub damaged: bool,
    pub bytes: u64,
}

impl SqlBackup {
    pub fn first_lsn(&self) -> u128 {
        self.first.parse().unwrap_or(0)
    }

    pub fn last_lsn(&self) -> u128 {
        self.last.parse().unwrap_or(0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SqlBackupKind {
    Full,
    Differential,
    Log,
}

impl SqlBackupKind {
    /// For a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Differential => "differential",
            Self::Log => "log",
        }
    }
}

/// What only a look into the database tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct SqlDatabaseDetails {
    pub users: Vec<SqlUser>,
    pub memory_optimised: bool,
    pub filestream: bool,
    pub uses: Vec<SqlUse>,
}

/// A user that people or applications sign in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlUser {
    pub name: String,
    /// `SQL_USER`, `WINDOWS_USER`, `WINDOWS_GROUP`…
    pub kind: String,
    /// Upper-case hex.
    pub sid: String,
    /// The login of the same id; none = it is an orphan, or signs in to the database itself.
    pub login: Option<String>,
    /// Its password is in the database (contained).
    pub own_password: bool,
}

/// Another database that this one's code uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlUse {
    /// A linked server; none = the same instance.
    pub server: Option<String>,
    pub database: String,
}
