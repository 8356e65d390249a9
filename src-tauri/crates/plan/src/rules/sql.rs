//! Rules for a SQL Server and its databases: everything that Database Migration Service and Log Replay Service refuse late, found
//! from facts before the start. A rule speaks only where the answer is known.

use super::{Pack, vm::Source};
use crate::{
    design::{BackupSource, DatabaseMethod, Design},
    sql::{SqlDatabase, SqlInstance, SqlLogin, SqlUnreadReason},
    task::{
        Finding,
        Severity::{self, Blocking, Information, Warning},
    },
};

/// The managed instance as far as it is known; what isn't is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SqlTarget {
    pub business_critical: bool,
    /// Bytes that its databases may have together, and that they have by now.
    pub storage: Option<u64>,
    pub used: u64,
    /// Names of its databases.
    pub databases: Option<Vec<String>>,
    /// Thumbprints of the certificates that are known to be in it, upper-case hex; none = nobody has looked. What was uploaded
    /// for a restore is not shown by the instance itself (`sys.certificates`; learn.microsoft.com: Migrate TDE certificate,
    /// 2023-04-06).
    pub certificates: Option<Vec<String>>,
    /// `sp_configure 'contained database authentication'`.
    pub contained: Option<bool>,
    /// The newest major version whose backups it takes, by its update policy: 16 for *SQL Server 2022*, 17 for *SQL Server
    /// 2025* and *Always-up-to-date*.
    pub newest: Option<u32>,
}

impl SqlTarget {
    /// Learns what a look into the managed instance itself tells: names, certificates, settings, and what its databases take
    /// of the storage.
    pub fn learn(&mut self, instance: &SqlInstance) {
        let own = || instance.databases.iter().filter(|d| !d.is_system());
        self.databases = Some(own().map(|d| d.name.clone()).collect());
        self.used = own().map(|d| d.data_bytes + d.log_bytes).sum();
        // Who may not see a view must not think that it is empty.
        let unread = |what: &str| instance.unread.iter().any(|u| u.what == what);
        if !unread("master.sys.certificates") {
            self.certificates = Some(instance.certificates.iter().map(|c| c.thumbprint.clone()).collect());
        }
        let setting = instance
            .settings
            .iter()
            .find(|s| s.name == "contained database authentication");
        self.contained = setting.map(|s| s.value != 0);
    }
}

/// A backup file in the place from which the service reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    pub path: String,
    /// As the file's header says.
    pub database: String,
}

/// What was tried from the computer that will do it, or read from the place; what wasn't is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SqlWay {
    pub backups: BackupSource,
    /// Existing backups are moved, in place of those that Rehost would make.
    pub existing: bool,
    pub files: Option<Vec<SqlFile>>,
    /// Permissions of the SAS, `rl`.
    pub sas: Option<String>,
    /// Why the storage account's firewall would refuse the managed instance or the service, in words; empty = it would not.
    pub firewall: Option<String>,
    pub share_reachable: Option<bool>,
    pub share_writable: Option<bool>,
    pub port_445: Option<bool>,
    pub port_1433: Option<bool>,
    /// Rehost brings the certificate of an encrypted database to the managed instance before the restore.
    pub certificate: bool,
    /// TCP/IP is on; false = SQL Browser knows the instance, and says no port.
    pub tcp: Option<bool>,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct SqlCase<'a> {
    pub instance: &'a SqlInstance,
    pub target: &'a SqlTarget,
    pub way: &'a SqlWay,
    pub method: DatabaseMethod,
    /// Databases that are moved, with the names that they get.
    pub databases: &'a [(&'a SqlDatabase, &'a str)],
}

/// One rule. `{db}` is the database, `{q}` its name quoted for T-SQL, `{found}` what the judge found.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub id: &'static str,
    pub severity: Severity,
    pub title: &'static str,
    pub cause: &'static str,
    /// Who can cure it.
    pub who: &'static str,
    /// The statement or command, or where to click.
    pub command: &'static str,
    pub source: Source,
    pub judge: Judge,
}

/// What it found, in words; none where all is well or nothing is known.
#[derive(Debug, Clone, Copy)]
pub enum Judge {
    Instance(fn(&SqlCase) -> Option<String>),
    /// With the name that the database gets.
    Database(fn(&SqlCase, &SqlDatabase, &str) -> Option<String>),
}

const DBA: &str = "database administrator of the source";
const MI_ADMIN: &str = "administrator of the managed instance";
const AZURE_ADMIN: &str = "Azure administrator of the storage account";
const NETWORK_ADMIN: &str = "network administrator";
const WINDOWS_ADMIN: &str = "Windows administrator of the SQL Server";
const SHARE_ADMIN: &str = "administrator of the file server";

const DMS_ISSUES: Source = Source {
    page: "learn.microsoft.com: Known issues, limitations and troubleshooting of Azure SQL migration (DMS)",
    date: "2023-04-21",
};
const LRS: Source = Source {
    page: "learn.microsoft.com: Migrate databases with Log Replay Service; error codes of Microsoft's specification Microsoft.Sql 2025-01-01",
    date: "2026-11",
};
const DIFFERENCES: Source = Source {
    page: "learn.microsoft.com: T-SQL differences between SQL Server and Azure SQL Managed Instance (unverified: of memory)",
    date: "2026-11",
};
const LIMITS: Source = Source {
    page: "learn.microsoft.com: Resource limits of Azure SQL Managed Instance (unverified: of memory)",
    date: "2026-11",
};
const MEMORY: Source = Source {
    page: "github.com/microsoft/azuredatastudio/issues/17332",
    date: "2026-11",
};
const TDE: Source = Source {
    page: "learn.microsoft.com: Migrate a certificate of a TDE-protected database to Azure SQL Managed Instance; CERTPRIVATEKEY (Transact-SQL)",
    date: "2023-04-06",
};
const OURS: Source = Source {
    page: "Rehost's own caution",
    date: "2026-11",
};

/// How many databases one managed instance takes.
const DATABASES: usize = 100;

fn said(yes: bool) -> Option<String> {
    yes.then(String::new)
}

fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Option<String> {
    const SHOWN: usize = 10;
    let all: Vec<String> = names.into_iter().map(|n| n.as_ref().to_owned()).collect();
    let more = all.len().saturating_sub(SHOWN);
    let shown = all[..all.len() - more].join(", ");
    match (all.is_empty(), more) {
        (true, _) => None,
        (_, 0) => Some(shown),
        _ => Some(format!("{shown} and {more} more")),
    }
}

fn is_dms(case: &SqlCase) -> bool {
    case.method != DatabaseMethod::LogReplay
}

fn by_share(case: &SqlCase) -> bool {
    is_dms(case) && case.way.backups == BackupSource::Share
}

fn folder(path: &str) -> &str {
    path.rsplit_once(['/', '\\']).map_or("", |(folder, _)| folder)
}

/// The certificate that encrypts a database, when the managed instance is not known to have it.
fn certificate<'a>(c: &SqlCase, d: &'a SqlDatabase) -> Option<&'a str> {
    let thumbprint = d.certificate.as_deref()?;
    let mut known = c.target.certificates.iter().flatten();
    let there = known.any(|t| t.eq_ignore_ascii_case(thumbprint));
    (!there).then_some(thumbprint)
}

/// Its name and thumbprint for a sentence.
fn named(c: &SqlCase, thumbprint: &str) -> String {
    let known = c.instance.certificates.iter().find(|k| k.thumbprint == *thumbprint);
    let name = known.map_or("a key that master does not show", |k| &k.name);
    format!("It is {name} with the thumbprint {thumbprint}")
}

/// Why SQL Server gives the private key of a certificate to nobody who asks by a statement; none = it does.
fn key_kept(c: &SqlCase, thumbprint: &str) -> Option<String> {
    if (1..11).contains(&c.instance.major()) {
        let version = &c.instance.version;
        return Some(format!(
            "SQL Server {version} writes private keys to files only; 2012 was the first to give them to a statement"
        ));
    }
    let Some(known) = c.instance.certificates.iter().find(|k| k.thumbprint == *thumbprint) else {
        return Some(format!(
            "master shows no certificate with the thumbprint {thumbprint}: it is the key of a provider (EKM), or the login may not see it"
        ));
    };
    match known.key.as_deref() {
        None | Some("MK") => None,
        Some("NA") => Some(format!("{} has no private key on this server", known.name)),
        Some("PW") => Some(format!(
            "The private key of {} is protected by a password of its own",
            known.name
        )),
        Some(other) => Some(format!("The private key of {} is protected by {other}", known.name)),
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Every rule: those of the way first, then of the instance, then of one database.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // ---- the way
    Rule {
        id: "sql-tcp", severity: Blocking,
        title: "The instance does not listen on TCP/IP",
        cause: "SQL Browser knows the instance, and names no port: Express and Developer are installed so.",
        who: WINDOWS_ADMIN,
        command: "SQL Server Configuration Manager > SQL Server Network Configuration > Protocols > TCP/IP > Enable; then restart the service: Restart-Service 'MSSQL$SQLEXPRESS'",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| said(c.way.tcp == Some(false))),
    },
    Rule {
        id: "sql-port-1433", severity: Blocking,
        title: "SQL Server's port is closed",
        cause: "Its TCP port, 1433 by default, does not answer: the service is stopped, or something on the way closes the port. Rehost can't read or back up anything; Database Migration Service would report 2012 TestConnectionFailed after the start.",
        who: NETWORK_ADMIN,
        command: "On the SQL Server's computer: Get-Service 'MSSQL*'; New-NetFirewallRule -DisplayName 'SQL Server' -Direction Inbound -Protocol TCP -LocalPort 1433 -Action Allow",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| said(c.way.port_1433 == Some(false))),
    },
    Rule {
        id: "sql-port-445", severity: Blocking,
        title: "The file server of the backups is not reached",
        cause: "TCP port 445 is closed on the way to it, or its name is wrong; Windows says the same of both. Backups would end with error 3201, and the service would report 2049 FileShareTestConnectionFailed after the start.",
        who: NETWORK_ADMIN,
        command: "On the SQL Server and on the integration runtime's computer: Test-NetConnection SERVER -Port 445; on the file server: New-NetFirewallRule -DisplayName 'SMB' -Direction Inbound -Protocol TCP -LocalPort 445 -Action Allow",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| said(by_share(c) && c.way.port_445 == Some(false))),
    },
    Rule {
        id: "sql-share", severity: Blocking,
        title: "The share for the backups can't be opened",
        cause: "Name, user or password is wrong, or the share is gone. The service would report 2049 FileShareTestConnectionFailed after the start.",
        who: SHARE_ADMIN,
        command: "On the integration runtime's computer: net use \\\\SERVER\\share /user:DOMAIN\\user",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| said(by_share(c) && c.way.share_reachable == Some(false) && c.way.port_445 != Some(false))),
    },
    Rule {
        id: "sql-share-write", severity: Blocking,
        title: "SQL Server can't write to the share",
        cause: "Its service account lacks the right: backups would end with error 3201, operating system error 5.",
        who: SHARE_ADMIN,
        command: "Grant-SmbShareAccess -Name share -AccountName 'DOMAIN\\SQLVM$' -AccessRight Change; and the same right on the folder (icacls)",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| said(by_share(c) && c.way.share_writable == Some(false) && c.way.share_reachable != Some(false))),
    },
    Rule {
        id: "sql-firewall", severity: Blocking,
        title: "The storage account's firewall refuses the restore",
        cause: "{found}. The restore would fail with 2009 MigrationRestoreFailed or BlobStorageFailure.",
        who: AZURE_ADMIN,
        command: "az storage account network-rule add --account-name ACCOUNT --vnet-name VNET --subnet SUBNET (the managed instance's subnet, with the service endpoint Microsoft.Storage)",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| c.way.firewall.clone().filter(|f| !f.is_empty())),
    },
    Rule {
        id: "sql-sas", severity: Blocking,
        title: "The SAS has other permissions than read and list",
        cause: "It has {found}; Log Replay Service takes exactly rl, no more and no less.",
        who: AZURE_ADMIN,
        command: "az storage container generate-sas --account-name ACCOUNT --name CONTAINER --permissions rl --expiry DATE --https-only --auth-mode key",
        source: LRS,
        judge: Judge::Instance(|c| {
            let sas = c.way.sas.as_ref().filter(|_| !is_dms(c))?;
            let mut letters: Vec<char> = sas.chars().collect();
            letters.sort_unstable();
            (letters != ['l', 'r']).then(|| if sas.is_empty() { "none".into() } else { sas.clone() })
        }),
    },
    Rule {
        id: "sql-folder", severity: Blocking,
        title: "Backups of several databases lie in one folder",
        cause: "{found}. The services read everything in a folder as one database's chain, and would end with BackupsFromMultipleDatabasesDetected.",
        who: DBA,
        command: "Move each database's backups to a folder of its own, without folders in it.",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| {
            let files = c.way.files.as_deref()?;
            files.iter().find_map(|f| {
                let here = files.iter().filter(|o| folder(&o.path) == folder(&f.path));
                let other = here.into_iter().find(|o| !o.database.eq_ignore_ascii_case(&f.database))?;
                Some(format!("{} is of {}, {} of {}", f.path, f.database, other.path, other.database))
            })
        }),
    },
    // ---- the instance
    Rule {
        id: "sql-newer", severity: Blocking,
        title: "SQL Server is newer than the managed instance takes",
        cause: "{found}; the restore would end with error 3169.",
        who: MI_ADMIN,
        command: "az sql mi update --resource-group GROUP --name INSTANCE --database-format AlwaysUpToDate, or the policy of the source's version (it can't be changed back); or move the database to SQL Server on an Azure VM.",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| {
            let (have, newest) = (c.instance.major(), c.target.newest?);
            (have > newest).then(|| format!("It has version {}, and the newest that is taken is {newest}", c.instance.version))
        }),
    },
    Rule {
        id: "sql-newer-later", severity: Warning,
        title: "SQL Server is newer than a managed instance takes by default",
        cause: "It has version {found}. The update policy of the managed instance is not known yet; SQL Server 2022 is the default, and the restore would end with error 3169. The run looks before it starts the restore.",
        who: MI_ADMIN,
        command: "Once the managed instance is there: az sql mi update --resource-group GROUP --name INSTANCE --database-format AlwaysUpToDate (it can't be changed back)",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| (c.instance.major() > 16 && c.target.newest.is_none()).then(|| c.instance.version.clone())),
    },
    Rule {
        id: "sql-older", severity: Blocking,
        title: "SQL Server is too old",
        cause: "It has version {found}; both services take 2008 (10.0) and later.",
        who: DBA,
        command: "Restore the databases on a newer SQL Server first, and move them from there.",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| (1..10).contains(&c.instance.major()).then(|| c.instance.version.clone())),
    },
    Rule {
        id: "sql-to-url", severity: Information,
        title: "This version can't back up to a container with a SAS",
        cause: "It has version {found}; BACKUP TO URL with a SAS came with 2016. Rehost backs up to a share and uploads the files.",
        who: DBA,
        command: "Name a share in Design that the service account of SQL Server can write to.",
        source: LRS,
        judge: Judge::Instance(|c| (10..13).contains(&c.instance.major()).then(|| c.instance.version.clone())),
    },
    Rule {
        id: "sql-sysadmin", severity: Blocking,
        title: "The login is not a member of sysadmin",
        cause: "{found} can't back up every database, read the logins or see all of these facts.",
        who: DBA,
        command: "ALTER SERVER ROLE sysadmin ADD MEMBER [login]; on 2008 and 2008 R2: EXEC sp_addsrvrolemember 'login', 'sysadmin'",
        source: OURS,
        judge: Judge::Instance(|c| (c.instance.sysadmin == Some(false)).then(|| c.instance.login.clone())),
    },
    Rule {
        id: "sql-storage", severity: Blocking,
        title: "The managed instance has too little storage",
        cause: "{found}. The restore would end with ManagedInstanceStorageLimitHit.",
        who: MI_ADMIN,
        command: "az sql mi update --resource-group GROUP --name INSTANCE --storage SIZE (GiB, in steps of 32)",
        source: DMS_ISSUES,
        judge: Judge::Instance(|c| {
            let room = c.target.storage?.saturating_sub(c.target.used);
            let needed: u64 = c.databases.iter().map(|(d, _)| d.data_bytes + d.log_bytes).sum();
            (needed > room).then(|| format!("The databases need {}, and {} are free", gib(needed), gib(room)))
        }),
    },
    Rule {
        id: "sql-count", severity: Blocking,
        title: "The managed instance would have too many databases",
        cause: "{found}. The restore would end with DatabaseNumberLimitReached.",
        who: MI_ADMIN,
        command: "Spread the databases over several managed instances.",
        source: LIMITS,
        judge: Judge::Instance(|c| {
            let all = c.target.databases.as_ref()?.len() + c.databases.len();
            (all > DATABASES).then(|| format!("With these it would have {all}, and {DATABASES} are the limit"))
        }),
    },
    Rule {
        id: "sql-windows-logins", severity: Warning,
        title: "Windows accounts can't sign in to the managed instance as they are",
        cause: "{found}. Applications that sign in as these fail after the move.",
        who: MI_ADMIN,
        command: "Synchronise the accounts to Entra and make logins for them: CREATE LOGIN [user@domain] FROM EXTERNAL PROVIDER; or use Windows authentication for Entra principals (Kerberos); or give the application a SQL login.",
        source: Source { page: "github.com/MicrosoftDocs/azure-docs/issues/88465", date: "2026-11" },
        judge: Judge::Instance(|c| {
            let own = |l: &&SqlLogin| l.is_windows() && !l.disabled && !l.name.starts_with("NT ") && !l.name.starts_with("BUILTIN");
            list(c.instance.logins.iter().filter(own).map(|l| &l.name))
        }),
    },
    Rule {
        id: "sql-jobs", severity: Information,
        title: "Agent jobs are not moved by the service",
        cause: "{found}. Rehost writes them as a script, to be run after the move by choice; steps of CmdExec, PowerShell and SSIS must be looked at by hand.",
        who: DBA, command: "SELECT name FROM msdb.dbo.sysjobs", source: DMS_ISSUES,
        judge: Judge::Instance(|c| list(c.instance.jobs.iter().map(|j| &j.name))),
    },
    Rule {
        id: "sql-linked", severity: Warning,
        title: "Linked servers are not moved by the service",
        cause: "{found}. The managed instance must reach each of them by TCP, and only SQL Server and Azure SQL can be linked from it.",
        who: DBA, command: "SELECT name, product, data_source FROM sys.servers WHERE is_linked = 1", source: DIFFERENCES,
        judge: Judge::Instance(|c| list(c.instance.linked_servers.iter().map(|s| &s.name))),
    },
    Rule {
        id: "sql-credentials", severity: Information,
        title: "Credentials are not moved by the service",
        cause: "{found}. SQL Server gives their secrets to nobody: they must be typed again.",
        who: DBA, command: "SELECT name, credential_identity FROM sys.credentials", source: DMS_ISSUES,
        judge: Judge::Instance(|c| list(&c.instance.credentials)),
    },
    Rule {
        id: "sql-denied", severity: Warning,
        title: "The login may not see everything",
        cause: "{found}. What is not seen can fail late.",
        who: DBA, command: "GRANT VIEW SERVER STATE TO [login]; GRANT VIEW ANY DEFINITION TO [login]; or membership in sysadmin", source: OURS,
        judge: Judge::Instance(|c| list(c.instance.unread.iter().filter(|u| u.reason != SqlUnreadReason::Version).map(|u| match u.database.as_str() {
            "" => u.what.clone(),
            database => format!("{} in {database}", u.what),
        }))),
    },
    Rule {
        id: "sql-version-unread", severity: Information,
        title: "This version of SQL Server does not know all that was asked",
        cause: "{found}. What came with later versions can't be in use here.",
        who: DBA, command: "SELECT @@VERSION", source: Source { page: "github.com/microsoft/azuredatastudio/issues/21360", date: "2026-11" },
        judge: Judge::Instance(|c| list(c.instance.unread.iter().filter(|u| u.reason == SqlUnreadReason::Version && u.database.is_empty()).map(|u| &u.what))),
    },
    // ---- one database
    Rule {
        id: "sql-state", severity: Blocking,
        title: "{db} is not online",
        cause: "Its state is {found}: it can't be backed up.",
        who: DBA, command: "ALTER DATABASE {q} SET ONLINE; or RESTORE DATABASE {q} WITH RECOVERY when its restore is over", source: OURS,
        judge: Judge::Database(|_, d, _| (d.state != "ONLINE").then(|| d.state.clone())),
    },
    Rule {
        id: "sql-name", severity: Blocking,
        title: "The name for {db} is taken",
        cause: "The managed instance has a database {found}, and neither service overwrites one (ManagedDatabaseNameInUse).",
        who: MI_ADMIN, command: "az sql midb delete --resource-group GROUP --managed-instance INSTANCE --name DATABASE when it is left from an attempt; else rename it there: ALTER DATABASE {q} MODIFY NAME = [other]", source: LRS,
        judge: Judge::Database(|c, _, name| {
            let there = c.target.databases.as_deref()?;
            there.iter().find(|t| t.eq_ignore_ascii_case(name)).cloned()
        }),
    },
    Rule {
        id: "sql-memory-optimised", severity: Blocking,
        title: "{db} has memory-optimised tables, which General Purpose can't hold",
        cause: "It has a memory-optimised file group. The restore would end with an internal error, again and again.",
        who: "database administrator of the source, or administrator of the managed instance",
        command: "SELECT name FROM {q}.sys.filegroups WHERE type = 'FX' shows the file group. It can't be removed from a database: move its tables to others on disk, and the data into a new database. Or make the managed instance Business Critical: az sql mi update --resource-group GROUP --name INSTANCE --edition BusinessCritical",
        source: MEMORY,
        judge: Judge::Database(|c, d, _| said(!c.target.business_critical && d.details.as_ref()?.memory_optimised)),
    },
    Rule {
        id: "sql-filestream", severity: Blocking,
        title: "{db} uses FILESTREAM, which no managed instance has",
        cause: "It has a file group of that kind (FileTable included): the backup can't be restored.",
        who: DBA,
        command: "Move the data into varbinary(max) columns or blobs, then remove the file group: ALTER DATABASE {q} REMOVE FILEGROUP …; or move the database to SQL Server on an Azure VM.",
        source: DIFFERENCES,
        judge: Judge::Database(|_, d, _| said(d.details.as_ref()?.filestream)),
    },
    Rule {
        id: "sql-contained", severity: Blocking,
        title: "{db} is contained, and the managed instance does not allow it",
        cause: "The restore would end with error 12824.",
        who: MI_ADMIN, command: "EXEC sp_configure 'contained database authentication', 1; RECONFIGURE", source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| said(d.contained == Some(true) && c.target.contained == Some(false))),
    },
    Rule {
        id: "sql-contained-later", severity: Warning,
        title: "{db} is contained: the managed instance must allow it",
        cause: "Its settings are not known yet. Without this one the restore would end with error 12824; the run looks before it starts the restore.",
        who: MI_ADMIN, command: "On the managed instance, once it is there: EXEC sp_configure 'contained database authentication', 1; RECONFIGURE", source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| said(d.contained == Some(true) && c.target.contained.is_none())),
    },
    Rule {
        id: "sql-tde", severity: Blocking,
        title: "{db} is encrypted by a certificate that the managed instance does not have",
        cause: "{found}. The restore would end with MissingThumbprint or error 33111. A managed instance does not show what was uploaded to it: whoever has done it chooses Retry, and is believed.",
        who: DBA,
        command: "BACKUP CERTIFICATE … TO FILE = '…' WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…'); make a .pfx of it; then Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate",
        source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| {
            let thumbprint = certificate(c, d).filter(|_| c.target.certificates.is_some() && !c.way.certificate)?;
            Some(named(c, thumbprint))
        }),
    },
    Rule {
        id: "sql-tde-later", severity: Warning,
        title: "{db} is encrypted: the managed instance needs its certificate",
        cause: "{found}. Which certificates the managed instance has is not known yet; without this one the restore would end with MissingThumbprint or error 33111. The run looks before it starts the restore.",
        who: DBA,
        command: "BACKUP CERTIFICATE … TO FILE = '…' WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…'); make a .pfx of it; once the managed instance is there: Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate",
        source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| {
            let thumbprint = certificate(c, d).filter(|_| c.target.certificates.is_none() && !c.way.certificate)?;
            Some(format!("The certificate has the thumbprint {thumbprint}"))
        }),
    },
    Rule {
        id: "sql-tde-brought", severity: Information,
        title: "{db} is encrypted: the run brings its certificate to the managed instance",
        cause: "{found}. Rehost reads it with its private key from the source, without any file, and hands both to Azure before the restore is started.",
        who: DBA,
        command: "Nothing to do. To do it by hand, take the choice away in Plan, Beside the database.",
        source: TDE,
        judge: Judge::Database(|c, d, _| {
            let thumbprint = certificate(c, d).filter(|t| c.way.certificate && key_kept(c, t).is_none())?;
            Some(named(c, thumbprint))
        }),
    },
    Rule {
        id: "sql-tde-key", severity: Blocking,
        title: "Rehost can't bring the certificate of {db} to the managed instance",
        cause: "{found}.",
        who: DBA,
        command: "BACKUP CERTIFICATE … TO FILE = '…' WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…'), with DECRYPTION BY PASSWORD where it has one of its own; make a .pfx of it; Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate; and take the choice away in Plan, Beside the database",
        source: TDE,
        judge: Judge::Database(|c, d, _| key_kept(c, certificate(c, d).filter(|_| c.way.certificate)?)),
    },
    Rule {
        id: "sql-tde-backup", severity: Warning,
        title: "The certificate that encrypts {db} was never backed up",
        cause: "The private key of {found} exists on this server alone: if it is lost, so is the database.",
        who: DBA, command: "BACKUP CERTIFICATE … TO FILE = '…' WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…')", source: OURS,
        judge: Judge::Database(|c, d, _| {
            let thumbprint = d.certificate.as_ref()?;
            let key = c.instance.certificates.iter().find(|k| k.thumbprint == *thumbprint)?;
            key.key_backed_up.is_none().then(|| key.name.clone())
        }),
    },
    Rule {
        id: "sql-recovery", severity: Blocking,
        title: "{db} keeps no log to follow",
        cause: "Its recovery model is {found}; Database Migration Service and a move with little downtime need FULL, and a full backup after the change.",
        who: DBA, command: "ALTER DATABASE {q} SET RECOVERY FULL; BACKUP DATABASE {q} TO … WITH CHECKSUM, COMPRESSION", source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| (is_dms(c) && d.recovery != "FULL").then(|| d.recovery.clone())),
    },
    Rule {
        id: "sql-no-backup", severity: Blocking,
        title: "{db} has no full backup to move",
        cause: "Existing backups were chosen, and msdb remembers no full one. The restore would wait, or end with FullBackupNotFound.",
        who: DBA, command: "BACKUP DATABASE {q} TO … WITH CHECKSUM, COMPRESSION, INIT", source: LRS,
        judge: Judge::Database(|c, d, _| said(c.way.existing && d.backups.known && d.backups.full.is_none())),
    },
    Rule {
        id: "sql-checksum", severity: Blocking,
        title: "{db} has backups without checksum",
        cause: "{found}. The services take only backups that were made WITH CHECKSUM (FullBackupMissingChecksum).",
        who: DBA, command: "BACKUP DATABASE {q} TO … WITH CHECKSUM, COMPRESSION, INIT; and WITH CHECKSUM in every log backup from then on", source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| {
            let without = d.backups.all().filter(|b| !b.checksum);
            list(without.map(|b| format!("the {} backup of {}", b.kind.word(), b.finished))).filter(|_| c.way.existing)
        }),
    },
    Rule {
        id: "sql-damaged", severity: Blocking,
        title: "{db} has a damaged backup",
        cause: "SQL Server marked {found} as damaged when it was written.",
        who: DBA, command: "DBCC CHECKDB ({q}); then BACKUP DATABASE {q} TO … WITH CHECKSUM, COMPRESSION, INIT", source: OURS,
        judge: Judge::Database(|_, d, _| list(d.backups.all().filter(|b| b.damaged).map(|b| format!("the {} backup of {}", b.kind.word(), b.finished)))),
    },
    Rule {
        id: "sql-chain", severity: Blocking,
        title: "The chain of {db}'s log backups is broken",
        cause: "{found}. A log backup between is missing, or somebody else took it; the restore would end with BrokenRestorePlan or wait for ever.",
        who: DBA, command: "Find the missing file (SELECT physical_device_name FROM msdb.dbo.backupmediafamily), or begin anew: BACKUP DATABASE {q} TO … WITH CHECKSUM, COMPRESSION, INIT", source: DMS_ISSUES,
        judge: Judge::Database(|c, d, _| {
            let after = d.backups.gap().filter(|_| c.way.existing)?;
            Some(format!("The log backup of {} begins at {} and not where the one before it ends", after.finished, after.first))
        }),
    },
    Rule {
        id: "sql-orphans", severity: Warning,
        title: "{db} has users without a login",
        cause: "{found}. They could not sign in before, and will not after the move.",
        who: DBA, command: "USE {q}; ALTER USER [user] WITH LOGIN = [login]; or DROP USER [user]", source: Source { page: "github.com/dataplat/dbatools/issues/5181", date: "2026-11" },
        judge: Judge::Database(|_, d, _| {
            let orphan = |u: &&crate::sql::SqlUser| u.login.is_none() && !u.own_password && u.kind == "SQL_USER";
            list(d.details.as_ref()?.users.iter().filter(orphan).map(|u| &u.name))
        }),
    },
    Rule {
        id: "sql-uses", severity: Warning,
        title: "{db} uses other databases",
        cause: "{found}. They must be moved with it to the same managed instance, or be linked from there.",
        who: DBA, command: "SELECT DISTINCT referenced_server_name, referenced_database_name FROM {q}.sys.sql_expression_dependencies WHERE referenced_database_name IS NOT NULL", source: DIFFERENCES,
        judge: Judge::Database(|c, d, _| {
            let moved = |name: &str| c.databases.iter().any(|(m, _)| m.name.eq_ignore_ascii_case(name));
            let away = d.details.as_ref()?.uses.iter().filter(|u| u.server.is_some() || !moved(&u.database));
            list(away.map(|u| match &u.server {
                Some(server) => format!("{} on {server}", u.database),
                None => u.database.clone(),
            }))
        }),
    },
];

impl Pack {
    /// Judges what a design moves from a SQL Server, and that it is there at all.
    pub fn judge_source(&self, design: &Design, instance: &SqlInstance) -> Vec<Finding> {
        let (mut there, mut out) = (vec![], vec![]);
        for name in design.databases() {
            match instance.databases.iter().find(|d| d.name.eq_ignore_ascii_case(name)) {
                Some(database) => there.push(database),
                None => out.extend(self.source_missing(instance, name)),
            }
        }
        if !there.is_empty() {
            out.extend(self.judge_moved(design, instance, &there));
        }
        out
    }

    /// What is said when the instance has no database of this name; none when it has one.
    pub fn source_missing(&self, instance: &SqlInstance, database: &str) -> Option<Finding> {
        let there = instance.databases.iter().any(|d| d.name.eq_ignore_ascii_case(database));
        (!there).then(|| Finding {
            rule: "sql-database-missing".into(),
            severity: Blocking,
            about: instance.name.clone(),
            title: format!("{} has no database {database}", instance.name),
            detail:
                "The plan moves a database of this name. It may be on another instance, or the login may not see it."
                    .into(),
            who: DBA.into(),
            command: "SELECT name FROM sys.databases; GRANT VIEW ANY DATABASE TO [login]".into(),
            source: format!("{} ({})", OURS.page, OURS.date),
        })
    }

    /// Judges one database as if the design moved it.
    pub fn judge_database(&self, design: &Design, instance: &SqlInstance, database: &SqlDatabase) -> Vec<Finding> {
        let along = instance.databases.iter().filter(|d| {
            let moved = design.databases().any(|n| n.eq_ignore_ascii_case(&d.name));
            moved && d.name != database.name
        });
        let all: Vec<&SqlDatabase> = std::iter::once(database).chain(along).collect();
        let mut found = self.judge_moved(design, instance, &all);
        let another = |f: &Finding| all.iter().skip(1).any(|d| d.name == f.about);
        found.retain(|f| !another(f));
        found
    }

    fn judge_moved(&self, design: &Design, instance: &SqlInstance, databases: &[&SqlDatabase]) -> Vec<Finding> {
        let target = SqlTarget {
            storage: Some(u64::from(design.mi.storage_gib) << 30),
            ..SqlTarget::default()
        };
        let way = SqlWay {
            backups: design.dms.source,
            certificate: design.certificate,
            ..SqlWay::default()
        };
        self.judge_sql(&SqlCase {
            instance,
            target: &target,
            way: &way,
            method: design.database_method,
            databases: &databases.iter().map(|d| (*d, d.name.as_str())).collect::<Vec<_>>(),
        })
    }

    /// Judges a SQL Server with the databases that are moved from it: first the way and the instance, then each database.
    pub fn judge_sql(&self, case: &SqlCase) -> Vec<Finding> {
        let finding = |rule: &Rule, about: &str, found: &str| {
            let quoted = format!("[{}]", about.replace(']', "]]"));
            let fill = |text: &str| {
                text.replace("{found}", found)
                    .replace("{q}", &quoted)
                    .replace("{db}", about)
            };
            Finding {
                rule: rule.id.into(),
                severity: rule.severity,
                about: about.into(),
                title: fill(rule.title),
                detail: fill(rule.cause),
                who: rule.who.into(),
                command: fill(rule.command),
                source: format!("{} ({})", rule.source.page, rule.source.date),
            }
        };
        let instance = RULES.iter().filter_map(|rule| match rule.judge {
            Judge::Instance(judge) => Some(finding(rule, &case.instance.name, &judge(case)?)),
            Judge::Database(_) => None,
        });
        let databases = case.databases.iter().flat_map(|(database, name)| {
            RULES.iter().filter_map(|rule| match rule.judge {
                Judge::Database(judge) => Some(finding(rule, &database.name, &judge(case, database, name)?)),
                Judge::Instance(_) => None,
            })
        });
        instance.chain(databases).collect()
    }
}

#[cfg(test)]
mod tests;
