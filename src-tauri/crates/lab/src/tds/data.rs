//! The instances of SQL Server in the lab, as data: their versions, logins and databases, and the system views and tables
//! that tell of them. A view has the columns that its version has, no more: a client that asks an old server for a new one is
//! refused as there.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rusqlite::{Connection, functions::FunctionFlags, types::Value as Sql};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{certificate, statements::Session};
use crate::{LabDatabase, LabError, world::guid};

/// How an instance wants its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// As the client wants: the login alone, or everything.
    #[default]
    Offered,
    /// Everything (*Force Encryption* of the configuration manager).
    Forced,
    /// TDS 8: TLS before the first packet.
    Strict,
    /// None: a server without TLS that is still secure.
    Impossible,
}

/// State of the log's backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chain {
    /// A full backup, and the logs after it without a gap.
    #[default]
    Whole,
    /// A log backup is missing between two.
    Broken,
    /// Never backed up.
    None,
}

/// A user of a database.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    /// The login that it is mapped to; none = the login is gone, or never was.
    pub login: Option<String>,
}

/// A database with what distinguishes it. The default can be moved without a finding.
#[derive(Debug, Clone)]
pub struct Database {
    pub name: String,
    /// `FULL`, `BULK_LOGGED` or `SIMPLE`.
    pub recovery: &'static str,
    pub compatibility: u16,
    pub collation: &'static str,
    pub data_mib: u32,
    pub log_mib: u32,
    /// `ONLINE`, `RESTORING`, `SUSPECT`, `OFFLINE`…
    pub state: &'static str,
    pub read_only: bool,
    /// Partially contained, with a user of its own.
    pub contained: bool,
    /// Encrypted by the certificate of this name; empty = not.
    pub certificate: &'static str,
    pub memory_optimised: bool,
    pub filestream: bool,
    pub chain: Chain,
    pub checksum: bool,
    pub users: Vec<User>,
    /// Databases, or `SERVER.database`, that its procedures use.
    pub uses: Vec<String>,
    /// Text of a procedure of its own.
    pub procedure: Option<String>,
    /// The owner's login.
    pub owner: &'static str,
    /// Rows of its table `dbo.Entries`; 0 = it has none.
    pub entries: u8,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            name: "SmartHotelDB".into(),
            recovery: "FULL",
            compatibility: 100,
            collation: COLLATION,
            data_mib: 512,
            log_mib: 128,
            state: "ONLINE",
            read_only: false,
            contained: false,
            certificate: "",
            memory_optimised: false,
            filestream: false,
            chain: Chain::Whole,
            checksum: true,
            users: vec![User {
                name: "smarthotel".into(),
                login: Some("smarthotel".into()),
            }],
            uses: vec![],
            procedure: None,
            owner: "sa",
            entries: 0,
        }
    }
}

/// A login of an instance.
#[derive(Debug, Clone)]
pub struct Login {
    pub name: String,
    /// Of SQL Server itself, or of the domain's account.
    pub password: String,
    /// `DOMAIN\account`: proved by NTLM.
    pub windows: bool,
    pub sysadmin: bool,
    pub disabled: bool,
    pub must_change: bool,
    pub default_database: String,
}

/// An instance as it is started.
#[derive(Debug, Clone)]
pub struct Spec {
    pub computer: String,
    /// Empty = the default instance.
    pub instance: String,
    /// 2008, 2012, 2014, 2016, 2017, 2019, 2022 or 2025.
    pub year: u16,
    /// `Enterprise Edition (64-bit)`, `Express Edition (64-bit)`… or `SQL Azure` for a managed instance.
    pub edition: &'static str,
    pub encryption: Encryption,
    pub logins: Vec<Login>,
    pub databases: Vec<Database>,
    pub linked_servers: Vec<&'static str>,
    pub credentials: Vec<&'static str>,
    pub jobs: Vec<&'static str>,
    /// It lets contained databases sign people in.
    pub contained: bool,
    /// Where the instance sends whoever signs in, as a managed instance's gateway does.
    pub redirect: Option<(String, u16)>,
    /// TCP/IP is on; off = the instance is known to SQL Browser and can't be reached.
    pub tcp: bool,
}

pub(crate) const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

impl Spec {
    /// The scenario's SQL Server on SQLVM, with `svc-dms` (administrator) and the application's login.
    pub fn smarthotel(dms: (&str, &str), windows: (&str, &str), seed: u64) -> Spec {
        let login = |name: &str, password: &str| Login {
            name: name.into(),
            password: password.into(),
            windows: name.contains('\\'),
            sysadmin: true,
            disabled: false,
            must_change: false,
            default_database: "master".into(),
        };
        Spec {
            computer: "SQLVM".into(),
            instance: String::new(),
            year: 2016,
            edition: "Standard Edition (64-bit)",
            encryption: Encryption::Offered,
            logins: vec![
                login(dms.0, dms.1),
                login(windows.0, windows.1),
                Login {
                    sysadmin: false,
                    default_database: "SmartHotelDB".into(),
                    ..login(
                        "smarthotel",
                        &format!("Lab-{}-9", guid(seed, "application's login").simple()),
                    )
                },
            ],
            databases: vec![Database::default()],
            linked_servers: vec![],
            credentials: vec![],
            jobs: vec!["Nightly full backup"],
            contained: false,
            redirect: None,
            tcp: true,
        }
    }
}

impl Spec {
    /// With these databases as well, small ones that can be moved without a finding.
    #[must_use]
    pub fn with_databases(mut self, all: &[LabDatabase]) -> Spec {
        for one in all {
            if !self.databases.iter().any(|d| d.name.eq_ignore_ascii_case(&one.name)) {
                self.databases.push(Database {
                    name: one.name.clone(),
                    data_mib: 96,
                    log_mib: 16,
                    entries: 12,
                    ..Database::default()
                });
            }
        }
        self
    }
}

/// Whether a table tells of the whole instance or of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Server,
    Database,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    /// As SQLite knows it.
    pub source: String,
    pub scope: Scope,
    pub columns: Vec<String>,
}

/// A running instance.
pub struct Instance {
    pub spec: Spec,
    pub engine: Connection,
    /// Where it listens.
    pub port: u16,
    /// Ends all connections that there are.
    pub cut: CancellationToken,
    /// Tells the one who listens with what, or that the port is closed; none = nobody ever listens.
    pub(super) listener: Option<mpsc::UnboundedSender<Option<std::net::TcpListener>>>,
    /// How many were opened so far.
    pub sessions: u16,
    context: Arc<Mutex<Session>>,
    /// By lower-case `sys.name` or `database.schema.name`.
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) databases: BTreeMap<String, String>,
    /// Password hashes of logins that came with one, by lower-case name.
    pub(super) hashes: BTreeMap<String, Vec<u8>>,
    /// Databases in which `DBCC CHECKDB` finds something.
    pub damaged: BTreeSet<String>,
    /// Every batch that came, without its values. For tests.
    pub heard: Vec<String>,
    /// The batch at hand changed something that the diary keeps.
    pub(super) changed: bool,
    /// Backups that run.
    pub(super) requests: Vec<super::backups::Request>,
    /// SAS of containers by their lower-case addresses.
    pub(super) container_keys: BTreeMap<String, String>,
    /// Databases that one session has for itself.
    pub(super) single: BTreeSet<String>,
    /// Databases whose tail was backed up and that can be read.
    pub(super) standby: BTreeSet<String>,
    /// Backups on the server's own disk, by lower-case paths.
    pub disk: BTreeMap<String, crate::cloud::Blob>,
    /// Devices whose backup is damaged.
    pub bad_media: BTreeSet<String>,
    /// How many backups were taken since the start.
    pub(super) logged: u64,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// A column, its type, and the version that brought it (0 = they all have it).
pub(super) type Col = (&'static str, &'static str, u16);

const OLD: &str = "datetime";
pub(super) const SYSTEM: [&str; 4] = ["master", "tempdb", "model", "msdb"];

impl Instance {
    /// Makes the instance with its views; `now` is when its backups end.
    pub fn new(spec: Spec, now: Timestamp) -> Result<Instance, LabError> {
        let broken = |source| LabError::Sql { source };
        let engine = Connection::open_in_memory().map_err(broken)?;
        let databases = SYSTEM
            .iter()
            .map(|s| (*s).to_owned())
            .chain(spec.databases.iter().map(|d| d.name.clone()))
            .map(|n| (n.to_lowercase(), n))
            .collect();
        let mut instance = Instance {
            spec,
            engine,
            port: 0,
            cut: CancellationToken::new(),
            listener: None,
            sessions: 0,
            context: Arc::default(),
            tables: BTreeMap::new(),
            databases,
            hashes: BTreeMap::new(),
            damaged: BTreeSet::new(),
            heard: vec![],
            changed: false,
            requests: vec![],
            container_keys: BTreeMap::new(),
            single: BTreeSet::new(),
            standby: BTreeSet::new(),
            disk: BTreeMap::new(),
            bad_media: BTreeSet::new(),
            logged: 0,
        };
        instance.functions(now).map_err(broken)?;
        instance.engine.execute_batch("BEGIN").map_err(broken)?;
        instance.fill(now).map_err(broken)?;
        instance.engine.execute_batch("COMMIT").map_err(broken)?;
        Ok(instance)
    }

    /// Another one takes its place at the same address; its connections are cut.
    pub(crate) fn become_other(&mut self, mut other: Instance) {
        other.port = self.port;
        other.listener = self.listener.take();
        std::mem::replace(self, other).cut.cancel();
    }

    /// Major, minor, and the build's two bytes.
    pub fn version(&self) -> [u8; 4] {
        let (major, minor, build, _) = self.numbers();
        let [high, low] = build.to_be_bytes();
        [major, minor, high, low]
    }

    fn numbers(&self) -> (u8, u8, u16, u16) {
        match self.spec.year {
            ..=2009 => (10, 0, 6000, 29),
            2010..=2011 => (10, 50, 6000, 34),
            2012..=2013 => (11, 0, 7001, 0),
            2014..=2015 => (12, 0, 6024, 0),
            2016 => (13, 0, 6300, 2),
            2017..=2018 => (14, 0, 3465, 1),
            2019..=2021 => (15, 0, 4322, 2),
            2022..=2024 => (16, 0, 4085, 2),
            _ => (17, 0, 1000, 7),
        }
    }

    fn product_version(&self) -> String {
        let (major, minor, build, revision) = self.numbers();
        format!("{major}.{minor}.{build}.{revision}")
    }

    /// `@@VERSION`
    pub fn banner(&self) -> String {
        format!(
            "Microsoft SQL Server {} - {} (X64) \n\tCopyright (c) Microsoft Corporation\n\t{} on Windows Server 2016 Standard 10.0 <X64> (Build 14393: ) (Hypervisor)\n",
            self.spec.year,
            self.product_version(),
            self.spec.edition
        )
    }

    /// A managed instance, which knows no Windows and no disk.
    pub fn is_managed(&self) -> bool {
        self.spec.edition == "SQL Azure"
    }

    /// `SQLVM` or `SQLVM\INSTANCE`.
    pub fn full_name(&self) -> String {
        match self.spec.instance.as_str() {
            "" => self.spec.computer.clone(),
            named => format!(r"{}\{named}", self.spec.computer),
        }
    }

    pub fn service(&self) -> &str {
        match self.spec.instance.as_str() {
            "" => "MSSQLSERVER",
            named => named,
        }
    }

    /// A database's name as it is spelt.
    pub fn database(&self, name: &str) -> Option<&str> {
        self.databases.get(&name.to_lowercase()).map(String::as_str)
    }

    pub fn login(&self, name: &str) -> Option<&Login> {
        self.spec.logins.iter().find(|l| l.name.eq_ignore_ascii_case(name))
    }

    /// The table of SQLite behind a name.
    pub fn table(&self, database: &str, schema: &str, object: &str) -> Option<(&str, Scope)> {
        let key = if schema.eq_ignore_ascii_case("sys") {
            format!("sys.{object}")
        } else {
            format!("{database}.{schema}.{object}")
        };
        self.tables
            .get(&key.to_lowercase())
            .map(|t| (t.source.as_str(), t.scope))
    }

    pub fn columns(&self, source: &str) -> &[String] {
        self.tables
            .values()
            .find(|t| t.source == source)
            .map(|t| t.columns.as_slice())
            .unwrap_or_default()
    }

    /// Tells the functions who asks.
    pub fn context(&self, session: &Session) {
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = session.clone();
    }

    fn property(&self, name: &str) -> Option<Sql> {
        let text = |t: &str| Some(Sql::Text(t.to_owned()));
        let since = |year: u16, value: Option<Sql>| value.filter(|_| self.spec.year >= year);
        let managed = self.is_managed();
        match name.to_lowercase().as_str() {
            "productversion" => text(&self.product_version()),
            "productlevel" => text("RTM"),
            "productmajorversion" => since(2012, text(&self.numbers().0.to_string())),
            "edition" => text(self.spec.edition),
            "engineedition" => Some(Sql::Integer(match self.spec.edition {
                _ if managed => 8,
                e if e.starts_with("Express") => 4,
                e if e.starts_with("Enterprise") || e.starts_with("Developer") => 3,
                _ => 2,
            })),
            "servername" => text(&self.full_name()),
            "machinename" | "computernamephysicalnetbios" => text(&self.spec.computer),
            "instancename" if self.spec.instance.is_empty() => None,
            "instancename" => text(&self.spec.instance),
            "collation" => text(COLLATION),
            "isclustered" | "isintegratedsecurityonly" => Some(Sql::Integer(0)),
            "ishadrenabled" => since(2012, Some(Sql::Integer(0))),
            "isxtpsupported" => since(2014, Some(Sql::Integer(1))),
            "filestreamconfiguredlevel" => Some(Sql::Integer(i64::from(
                self.spec.databases.iter().any(|d| d.filestream),
            ))),
            "instancedefaultdatapath" => since(2012, text(r"C:\SQLData\")),
            "instancedefaultbackuppath" => since(2019, text(r"C:\SQLBackup\")),
            _ => None,
        }
    }

    /// The built-in functions that ask about the session or the instance.
    fn functions(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        const NAMES: [&str; 18] = [
            "productversion",
            "productlevel",
            "productmajorversion",
            "edition",
            "engineedition",
            "servername",
            "machinename",
            "computernamephysicalnetbios",
            "instancename",
            "collation",
            "isclustered",
            "isintegratedsecurityonly",
            "ishadrenabled",
            "isxtpsupported",
            "filestreamconfiguredlevel",
            "instancedefaultdatapath",
            "instancedefaultbackuppath",
            "productupdatelevel",
        ];
        let properties: BTreeMap<String, Option<Sql>> =
            NAMES.iter().map(|n| ((*n).to_owned(), self.property(n))).collect();
        let flags = FunctionFlags::SQLITE_UTF8;
        self.engine
            .create_scalar_function("serverproperty", 1, flags, move |c| {
                let name: String = c.get(0)?;
                Ok(properties
                    .get(&name.to_lowercase())
                    .cloned()
                    .flatten()
                    .unwrap_or(Sql::Null))
            })?;
        let session = |context: &Arc<Mutex<Session>>| context.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in ["suser_sname", "suser_name", "original_login", "user_name"] {
            let context = self.context.clone();
            self.engine
                .create_scalar_function(name, 0, flags, move |_| Ok(session(&context).login))?;
        }
        let context = self.context.clone();
        self.engine
            .create_scalar_function("db_name", 0, flags, move |_| Ok(session(&context).database))?;
        for (name, arguments) in [("is_srvrolemember", 1), ("has_perms_by_name", 3)] {
            let context = self.context.clone();
            self.engine.create_scalar_function(name, arguments, flags, move |_| {
                Ok(i64::from(session(&context).sysadmin))
            })?;
        }
        if self.spec.year >= 2012 {
            // Of the lab's certificates one is real; of the others there is nothing to give.
            let real = certificates(&self.spec)
                .into_iter()
                .find(|(name, _)| *name == certificate::NAME);
            let real = real.map_or(0, |(_, id)| id);
            self.engine.create_scalar_function("certencoded", 1, flags, move |c| {
                Ok((Some(real) == c.get::<Option<i64>>(0)?).then(|| certificate::DER.to_vec()))
            })?;
            let context = self.context.clone();
            self.engine
                .create_scalar_function("certprivatekey", 2, flags, move |c| {
                    let password: String = c.get(1)?;
                    let given = session(&context).sysadmin && Some(real) == c.get::<Option<i64>>(0)?;
                    Ok(given.then(|| certificate::sealed(&password)))
                })?;
        }
        self.engine.create_scalar_function("binary_checksum", -1, flags, |c| {
            let mut sum: u32 = 0x811c_9dc5;
            for i in 0..c.len() {
                for byte in format!("{:?}", c.get_raw(i)).bytes() {
                    sum = (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
                }
            }
            Ok(i64::from(sum.cast_signed()))
        })?;
        self.engine
            .create_aggregate_function("checksum_agg", 1, flags, super::catalog::Xor)?;
        let day = civil(now).to_string();
        for name in ["getdate", "sysdatetime", "getutcdate", "sysutcdatetime"] {
            let day = day.clone();
            self.engine
                .create_scalar_function(name, 0, flags, move |_| Ok(day.clone()))?;
        }
        Ok(())
    }

    /// Makes a table and fills it. A row that begins with its database belongs to a view of that database.
    pub(super) fn make(
        &mut self,
        name: &str,
        scope: Scope,
        columns: &[Col],
        rows: Vec<Vec<Sql>>,
    ) -> rusqlite::Result<()> {
        let year = self.spec.year;
        let kept: Vec<usize> = (0..columns.len()).filter(|i| columns[*i].2 <= year).collect();
        let own = usize::from(scope == Scope::Database);
        // A name must stay a text, whatever it looks like: SQLite goes by the letters of a type.
        let of = |t: &str| t.replace("sysname", "nvarchar(128)").replace("(max)", " max");
        let declared = kept
            .iter()
            .map(|i| format!("\"{}\" {} COLLATE NOCASE", columns[*i].0, of(columns[*i].1)));
        let hidden = (own == 1).then(|| "\"#db\" TEXT COLLATE NOCASE".to_owned());
        let declared: Vec<String> = hidden.into_iter().chain(declared).collect();
        let marks = vec!["?"; kept.len() + own].join(",");
        let quoted = name.replace('"', "\"\"");
        self.engine
            .execute_batch(&format!("CREATE TABLE \"{quoted}\" ({})", declared.join(", ")))?;
        let mut insert = self
            .engine
            .prepare(&format!("INSERT INTO \"{quoted}\" VALUES ({marks})"))?;
        for row in rows {
            let values = row[..own].iter().chain(kept.iter().map(|i| &row[i + own]));
            insert.execute(rusqlite::params_from_iter(values))?;
        }
        drop(insert);
        if own == 1 {
            self.engine
                .execute_batch(&format!("CREATE INDEX \"{quoted}#\" ON \"{quoted}\" (\"#db\")"))?;
        }
        let table = Table {
            source: name.to_owned(),
            scope,
            columns: kept.iter().map(|i| columns[*i].0.to_owned()).collect(),
        };
        self.tables.insert(name.to_lowercase(), table);
        Ok(())
    }

    fn fill(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        self.instance_views()?;
        self.database_views()?;
        self.backups(now)?;
        self.smarthotel()?;
        self.further()?;
        self.catalogs()
    }

    fn instance_views(&mut self) -> rusqlite::Result<()> {
        use Scope::Server;
        let spec = self.spec.clone();
        let mut settings: Vec<(i64, &str, i64)> = vec![
            (1544, "max server memory (MB)", 4096),
            (1539, "max degree of parallelism", 0),
            (1562, "clr enabled", 0),
            (1579, "backup compression default", 0),
            (
                1580,
                "filestream access level",
                i64::from(spec.databases.iter().any(|d| d.filestream)) * 2,
            ),
            (16390, "xp_cmdshell", 0),
            (16391, "Ad Hoc Distributed Queries", 0),
        ];
        if spec.year >= 2012 {
            settings.push((16393, "contained database authentication", i64::from(spec.contained)));
        }
        let rows = settings
            .iter()
            .map(|(id, n, v)| vec![int(*id), text(n), int(*v), int(*v)])
            .collect();
        self.make(
            "sys.configurations",
            Server,
            &[
                ("configuration_id", "int", 0),
                ("name", "nvarchar(35)", 0),
                ("value", "int", 0),
                ("value_in_use", "int", 0),
            ],
            rows,
        )?;
        self.security_views()?;
        let own = vec![
            int(0),
            text(&self.full_name()),
            text("SQL Server"),
            text("SQLNCLI"),
            text(&self.full_name()),
            Sql::Null,
            int(0),
            int(0),
        ];
        let rows = [own]
            .into_iter()
            .chain(spec.linked_servers.iter().zip(1..).map(|(name, id)| {
                vec![
                    int(id),
                    text(name),
                    text("SQL Server"),
                    text(if *name == "ORACLE" {
                        "OraOLEDB.Oracle"
                    } else {
                        "SQLNCLI"
                    }),
                    text(name),
                    Sql::Null,
                    int(1),
                    int(0),
                ]
            }))
            .collect();
        self.make(
            "sys.servers",
            Server,
            &[
                ("server_id", "int", 0),
                ("name", "sysname", 0),
                ("product", "sysname", 0),
                ("provider", "sysname", 0),
                ("data_source", "nvarchar(4000)", 0),
                ("catalog", "sysname", 0),
                ("is_linked", "bit", 0),
                ("is_rpc_out_enabled", "bit", 0),
            ],
            rows,
        )?;
        // Whoever uses a linked server signs in there as this.
        let rows = spec
            .linked_servers
            .iter()
            .zip(1..)
            .map(|(_, id)| vec![int(id), int(0), int(0), text("reader")])
            .collect();
        self.make(
            "sys.linked_logins",
            Server,
            &[
                ("server_id", "int", 0),
                ("local_principal_id", "int", 0),
                ("uses_self_credential", "bit", 0),
                ("remote_name", "sysname", 0),
            ],
            rows,
        )?;
        let rows = spec
            .credentials
            .iter()
            .zip(65536..)
            .map(|(n, id)| vec![int(id), text(n), text(r"CONTOSO\svc-agent")])
            .collect();
        self.make(
            "sys.credentials",
            Server,
            &[
                ("credential_id", "int", 0),
                ("name", "sysname", 0),
                ("credential_identity", "nvarchar(4000)", 0),
            ],
            rows,
        )?;
        self.job_views()?;
        self.make(
            "sys.dm_exec_requests",
            Server,
            &[
                ("session_id", "smallint", 0),
                ("command", "nvarchar(32)", 0),
                ("percent_complete", "real", 0),
                ("estimated_completion_time", "bigint", 0),
                ("database_id", "smallint", 0),
                ("context_info", "varbinary(128)", 0),
            ],
            vec![],
        )
    }

    fn database_views(&mut self) -> rusqlite::Result<()> {
        let spec = self.spec.clone();
        let major = i64::from(self.numbers().0);
        let system: Vec<Database> = SYSTEM
            .iter()
            .map(|name| Database {
                name: (*name).into(),
                recovery: if *name == "model" { "FULL" } else { "SIMPLE" },
                compatibility: (major * 10) as u16,
                data_mib: 16,
                log_mib: 4,
                users: vec![],
                ..Database::default()
            })
            .collect();
        let all: Vec<(i64, &Database)> = (1..).zip(system.iter().chain(&spec.databases)).collect();
        let certificates = certificates(&spec);

        let rows = all
            .iter()
            .map(|(id, d)| {
                let (state, word) = match d.state {
                    "ONLINE" => (0, d.state),
                    "RESTORING" => (1, d.state),
                    "SUSPECT" => (4, d.state),
                    _ => (6, d.state),
                };
                let recovery = match d.recovery {
                    "FULL" => 1,
                    "BULK_LOGGED" => 2,
                    _ => 3,
                };
                vec![
                    text(&d.name),
                    int(*id),
                    sid(d.owner),
                    int(i64::from(d.compatibility)),
                    text(d.collation),
                    int(i64::from(d.read_only)),
                    int(0),
                    int(state),
                    text(word),
                    int(recovery),
                    text(d.recovery),
                    int(i64::from(!d.certificate.is_empty())),
                    int(0),
                    int(i64::from(d.contained)),
                    text(if d.contained { "PARTIAL" } else { "NONE" }),
                    int(0),
                    int(0),
                    text(&format!("{:08x}", id * 7919)),
                ]
            })
            .collect();
        self.make(
            "sys.databases",
            Scope::Server,
            &[
                ("name", "sysname", 0),
                ("database_id", "int", 0),
                ("owner_sid", "varbinary(85)", 0),
                ("compatibility_level", "tinyint", 0),
                ("collation_name", "sysname", 0),
                ("is_read_only", "bit", 0),
                ("is_in_standby", "bit", 0),
                ("state", "tinyint", 0),
                ("state_desc", "nvarchar(60)", 0),
                ("recovery_model", "tinyint", 0),
                ("recovery_model_desc", "nvarchar(60)", 0),
                ("is_encrypted", "bit", 0),
                ("is_published", "bit", 0),
                ("containment", "tinyint", 2012),
                ("containment_desc", "nvarchar(60)", 2012),
                ("delayed_durability", "int", 2014),
                ("is_remote_data_archive_enabled", "bit", 2016),
                ("physical_database_name", "nvarchar(128)", 2019),
            ],
            rows,
        )?;
        let mut files = vec![];
        let mut keys = vec![];
        for (id, d) in &all {
            let mut file = |n: i64, kind: i64, words: &str, name: String, path: String, mib: u32| {
                files.push(vec![
                    int(*id),
                    int(n),
                    int(kind),
                    text(words),
                    text(&name),
                    text(&path),
                    int(i64::from(mib) * 128),
                ]);
            };
            let folder = r"C:\SQLData";
            file(
                1,
                0,
                "ROWS",
                d.name.clone(),
                format!(r"{folder}\{}.mdf", d.name),
                d.data_mib,
            );
            file(
                2,
                1,
                "LOG",
                format!("{}_log", d.name),
                format!(r"{folder}\{}_log.ldf", d.name),
                d.log_mib,
            );
            if d.memory_optimised || d.filestream {
                file(
                    3,
                    2,
                    "FILESTREAM",
                    format!("{}_fs", d.name),
                    format!(r"{folder}\{}_fs", d.name),
                    64,
                );
            }
            if !d.certificate.is_empty() {
                keys.push(vec![int(*id), int(3), thumbprint(d.certificate), text("CERTIFICATE")]);
            }
        }
        self.make(
            "sys.master_files",
            Scope::Server,
            &[
                ("database_id", "int", 0),
                ("file_id", "int", 0),
                ("type", "tinyint", 0),
                ("type_desc", "nvarchar(60)", 0),
                ("name", "sysname", 0),
                ("physical_name", "nvarchar(260)", 0),
                ("size", "int", 0),
            ],
            files,
        )?;
        self.make(
            "sys.dm_database_encryption_keys",
            Scope::Server,
            &[
                ("database_id", "int", 0),
                ("encryption_state", "int", 0),
                ("encryptor_thumbprint", "varbinary(20)", 0),
                ("encryptor_type", "nvarchar(32)", 2012),
            ],
            keys,
        )?;
        let rows = certificates
            .iter()
            .map(|(name, id)| {
                let expiry = text("2030-01-01T00:00:00");
                vec![
                    text("master"),
                    text(name),
                    int(*id),
                    text("MK"),
                    expiry,
                    thumbprint(name),
                    Sql::Null,
                ]
            })
            .collect();
        self.make(
            "sys.certificates",
            Scope::Database,
            &[
                ("name", "sysname", 0),
                ("certificate_id", "int", 0),
                ("pvt_key_encryption_type", "char(2)", 0),
                ("expiry_date", OLD, 0),
                ("thumbprint", "varbinary(32)", 0),
                ("pvt_key_last_backup_date", OLD, 2008),
            ],
            rows,
        )?;

        let (mut principals, mut groups, mut uses, mut modules) = (vec![], vec![], vec![], vec![]);
        for (_, d) in &all {
            let db = text(&d.name);
            let mut principal = |name: &str, id: i64, sid: Sql, kind: &str, words: &str, proof: &str| {
                let row = [
                    text(name),
                    int(id),
                    text(kind),
                    text(words),
                    sid,
                    text("dbo"),
                    text(proof),
                ];
                principals.push([db.clone()].into_iter().chain(row).collect());
            };
            principal("dbo", 1, sid(d.owner), "S", "SQL_USER", "INSTANCE");
            principal("guest", 2, Sql::Blob(vec![0]), "S", "SQL_USER", "NONE");
            for (user, id) in d.users.iter().zip(5..) {
                let windows = user.login.as_ref().is_some_and(|l| l.contains('\\'));
                let (kind, words) = if windows {
                    ("U", "WINDOWS_USER")
                } else {
                    ("S", "SQL_USER")
                };
                let whose = user
                    .login
                    .clone()
                    .unwrap_or_else(|| format!("{} of another server", user.name));
                principal(
                    &user.name,
                    id,
                    sid(&whose),
                    kind,
                    words,
                    if windows { "WINDOWS" } else { "INSTANCE" },
                );
            }
            if d.contained {
                principal(
                    "own-user",
                    50,
                    sid(&format!("{} own", d.name)),
                    "S",
                    "SQL_USER",
                    "DATABASE",
                );
            }
            let group = |name: &str, id: i64, kind: &str, words: &str| {
                vec![db.clone(), text(name), int(id), text(kind), text(words)]
            };
            groups.push(group("PRIMARY", 1, "FG", "ROWS_FILEGROUP"));
            if d.memory_optimised && spec.year >= 2014 {
                groups.push(group("MEMORY", 2, "FX", "MEMORY_OPTIMIZED_DATA_FILEGROUP"));
            }
            if d.filestream {
                groups.push(group("STREAMS", 3, "FD", "FILESTREAM_DATA_FILEGROUP"));
            }
            for (used, id) in d.uses.iter().zip(100..) {
                let (server, database) = match used.split_once('.') {
                    Some((server, database)) => (text(server), database),
                    None => (Sql::Null, used.as_str()),
                };
                uses.push(vec![
                    db.clone(),
                    int(id),
                    server,
                    text(database),
                    text("dbo"),
                    text("Prices"),
                ]);
            }
            if let Some(procedure) = &d.procedure {
                modules.push(vec![db.clone(), int(90), text(procedure)]);
            }
        }
        self.make(
            "sys.database_principals",
            Scope::Database,
            &[
                ("name", "sysname", 0),
                ("principal_id", "int", 0),
                ("type", "char(1)", 0),
                ("type_desc", "nvarchar(60)", 0),
                ("sid", "varbinary(85)", 0),
                ("default_schema_name", "sysname", 0),
                ("authentication_type_desc", "nvarchar(60)", 2012),
            ],
            principals,
        )?;
        self.make(
            "sys.filegroups",
            Scope::Database,
            &[
                ("name", "sysname", 0),
                ("data_space_id", "int", 0),
                ("type", "char(2)", 0),
                ("type_desc", "nvarchar(60)", 0),
            ],
            groups,
        )?;
        self.make(
            "sys.sql_expression_dependencies",
            Scope::Database,
            &[
                ("referencing_id", "int", 0),
                ("referenced_server_name", "sysname", 0),
                ("referenced_database_name", "sysname", 0),
                ("referenced_schema_name", "sysname", 0),
                ("referenced_entity_name", "sysname", 0),
            ],
            uses,
        )?;
        self.make(
            "sys.sql_modules",
            Scope::Database,
            &[("object_id", "int", 0), ("definition", "nvarchar(max)", 0)],
            modules,
        )
    }

    /// The history in msdb: a full backup a day, a log backup each hour since.
    fn backups(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let (mut sets, mut media) = (vec![], vec![]);
        let mut id = 0;
        let databases = self.spec.databases.clone();
        for d in databases.iter().filter(|d| d.chain != Chain::None) {
            let lsn = |n: i64| text(&format!("{}", 34_000_000_000_000_000_i64 + n * 1_000));
            let mut add = |kind: &str, hours: i64, first: i64, last: i64| {
                id += 1;
                let end = civil(now - SignedDuration::from_hours(hours));
                let begin = civil(now - SignedDuration::from_hours(hours) - SignedDuration::from_mins(2));
                let ending = if kind == "L" { "trn" } else { "bak" };
                sets.push(vec![
                    int(id),
                    int(id),
                    text(&d.name),
                    text(kind),
                    text(&begin.to_string()),
                    text(&end.to_string()),
                    lsn(first),
                    lsn(last),
                    lsn(10),
                    int(i64::from(d.checksum)),
                    int(0),
                    int(0),
                    text(d.recovery),
                    int(i64::from(d.data_mib) << 19),
                    int(i64::from(d.data_mib) << 18),
                    Sql::Null,
                    Sql::Null,
                    Sql::Null,
                ]);
                let path = format!(r"C:\SQLBackup\{}_{id}.{ending}", d.name);
                media.push(vec![int(id), int(1), text(&path), int(2)]);
            };
            add("D", 6, 10, 20);
            if d.recovery != "SIMPLE" {
                add("L", 5, 10, 30);
                add("L", 4, 30, 40);
                // Somebody's backup took 40 to 50 away, and nobody knows where it is.
                let gap = if d.chain == Chain::Broken { 10 } else { 0 };
                add("L", 3, 40 + gap, 60);
            }
        }
        self.make(
            "msdb.dbo.backupset",
            Scope::Server,
            &[
                ("backup_set_id", "int", 0),
                ("media_set_id", "int", 0),
                ("database_name", "nvarchar(128)", 0),
                ("type", "char(1)", 0),
                ("backup_start_date", OLD, 0),
                ("backup_finish_date", OLD, 0),
                ("first_lsn", "numeric(25,0)", 0),
                ("last_lsn", "numeric(25,0)", 0),
                ("database_backup_lsn", "numeric(25,0)", 0),
                ("has_backup_checksums", "bit", 0),
                ("is_copy_only", "bit", 0),
                ("is_damaged", "bit", 0),
                ("recovery_model", "nvarchar(60)", 0),
                ("backup_size", "numeric(20,0)", 0),
                ("compressed_backup_size", "numeric(20,0)", 2008),
                ("key_algorithm", "nvarchar(32)", 2014),
                ("name", "nvarchar(128)", 0),
                ("description", "nvarchar(255)", 0),
            ],
            sets,
        )?;
        self.make(
            "msdb.dbo.backupmediafamily",
            Scope::Server,
            &[
                ("media_set_id", "int", 0),
                ("family_sequence_number", "tinyint", 0),
                ("physical_device_name", "nvarchar(260)", 0),
                ("device_type", "tinyint", 0),
            ],
            media,
        )
    }

    /// A table of the further databases, so that there is something to count.
    fn further(&mut self) -> rusqlite::Result<()> {
        let others = self.spec.databases.iter().filter(|d| d.entries > 0);
        let names: Vec<(String, i64)> = others.map(|d| (d.name.clone(), d.entries.into())).collect();
        for (name, rows) in names {
            let rows = (1..=rows)
                .map(|id| vec![int(id), text(&format!("{name} {id}"))])
                .collect();
            let columns = [("Id", "int", 0), ("Title", "nvarchar(200)", 0)];
            self.make(&format!("{name}.dbo.Entries"), Scope::Server, &columns, rows)?;
        }
        Ok(())
    }

    /// The application's own tables.
    fn smarthotel(&mut self) -> rusqlite::Result<()> {
        let Some(database) = self.database("SmartHotelDB").map(str::to_owned) else {
            return Ok(());
        };
        let hotels = [
            (1, "Secret Camp", "Seattle", 4.5),
            (2, "Grand Plaza", "New York", 4.1),
            (3, "Hôtel Étoile", "Paris", 4.8),
        ];
        let rows = hotels
            .iter()
            .map(|(id, n, c, r)| vec![int(*id), text(n), text(c), Sql::Real(*r)])
            .collect();
        self.make(
            &format!("{database}.dbo.Hotels"),
            Scope::Server,
            &[
                ("Id", "int", 0),
                ("Name", "nvarchar(100)", 0),
                ("City", "nvarchar(60)", 0),
                ("Rating", "float", 0),
            ],
            rows,
        )?;
        let rows = (1..=40)
            .map(|n| {
                let guest = format!("guest{n}@contoso.com");
                let day = format!("2026-11-{:02}T14:30:00", n % 28 + 1);
                let note = if n % 5 == 0 {
                    Sql::Null
                } else {
                    text("ruhiges Zimmer, 客室")
                };
                vec![
                    int(n),
                    int(n % 3 + 1),
                    text(&guest),
                    text(&day),
                    int(i64::from(n % 2 == 0)),
                    note,
                ]
            })
            .collect();
        self.make(
            &format!("{database}.dbo.Bookings"),
            Scope::Server,
            &[
                ("Id", "int", 0),
                ("HotelId", "int", 0),
                ("Guest", "nvarchar(256)", 0),
                ("CheckIn", OLD, 0),
                ("Paid", "bit", 0),
                ("Note", "nvarchar(max)", 0),
            ],
            rows,
        )
    }
}

pub(super) fn int(n: i64) -> Sql {
    Sql::Integer(n)
}

pub(super) fn text(t: &str) -> Sql {
    Sql::Text(t.to_owned())
}

/// The certificates by which databases are encrypted, with their ids.
fn certificates(spec: &Spec) -> Vec<(&'static str, i64)> {
    let all = spec.databases.iter().map(|d| d.certificate);
    let names: BTreeSet<&str> = all.filter(|c| !c.is_empty()).collect();
    names.into_iter().zip(260..).collect()
}

/// A certificate's thumbprint, always the same for a name.
pub(super) fn thumbprint(name: &str) -> Sql {
    if name == certificate::NAME {
        return Sql::Blob(hex::decode(certificate::thumbprint()).unwrap_or_default());
    }
    Sql::Blob(guid(7, name).as_bytes().repeat(2)[..20].to_vec())
}

/// A security id, always the same for a name.
pub(super) fn sid(name: &str) -> Sql {
    match name {
        "sa" => Sql::Blob(vec![1]),
        _ => Sql::Blob(guid(1, &name.to_lowercase()).as_bytes().to_vec()),
    }
}

/// Server's local time, which is UTC.
pub(super) fn civil(at: Timestamp) -> DateTime {
    at.to_zoned(TimeZone::UTC)
        .datetime()
        .round(jiff::Unit::Second)
        .unwrap_or_default()
}
