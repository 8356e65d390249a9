//! What stands around a database on its instance: logins with their ids and password hashes, server roles and rights,
//! credentials, linked servers, agent jobs, and the users that are mapped to logins.
//!
//! * [`read`] sends `SELECT` and nothing else, so that the source can't be changed, and nobody locked out of it, from here.
//! * [`compare`] is pure: from what is on the source and what is on the target it says for each object what is to be done.
//!   What is there already and as it must be is left alone, so that all of it can be run again.
//! * Hashes are secrets: [`Object::statement`] holds them, [`Object::shown`] does not.
//!
//! Decisions, from Microsoft's list of T-SQL differences of managed instances: Windows logins don't exist there and become
//! Entra logins where the name of the domain in Entra is known; job steps other than T-SQL and SSIS, proxies, and schedules
//! for an idle CPU don't exist there; linked servers lead to SQL Server only.

use crate::{
    cells::Cells,
    client::Client,
    error::SqlError,
    facts::{note, view},
    quote::{identifier, literal},
};
use plan::{
    around::{AroundDesign, AroundKind, AroundObject},
    sql::SqlUnread,
};
use secrets::Secret;
use std::collections::{BTreeMap, BTreeSet};
use tiberius::Row;
use tokio_util::sync::CancellationToken;

/// Stands for a hash in what is shown.
const HIDDEN: &str = "0x…";

/// A login.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub name: String,
    /// `S` SQL, `U` Windows user, `G` Windows group, `E` and `X` Entra user and group.
    pub kind: String,
    /// Upper-case hex.
    pub sid: String,
    /// Upper-case hex, of SQL logins, when it may be seen.
    pub hash: Option<Secret<String>>,
    pub disabled: bool,
    pub default_database: Option<String>,
    pub language: Option<String>,
    /// `CHECK_POLICY` and `CHECK_EXPIRATION`.
    pub policy: bool,
    pub expiration: bool,
}

impl Login {
    fn is_windows(&self) -> bool {
        matches!(self.kind.as_str(), "U" | "G")
    }

    /// Made by SQL Server or Windows for itself.
    fn is_internal(&self) -> bool {
        let upper = self.name.to_uppercase();
        self.sid == "01"
            || self.name.starts_with("##")
            || upper.starts_with("NT SERVICE\\")
            || upper.starts_with("NT AUTHORITY\\")
    }
}

/// A right on the server, or on a login.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub grantee: String,
    /// `GRANT`, `GRANT_WITH_GRANT_OPTION` or `DENY`.
    pub state: String,
    /// `VIEW SERVER STATE`
    pub right: String,
    /// `SERVER`, `SERVER_PRINCIPAL`, `ENDPOINT`…
    pub class: String,
    /// The login that it is a right on.
    pub on: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct LinkedServer {
    pub name: String,
    pub product: String,
    pub provider: String,
    pub source: Option<String>,
    pub catalog: Option<String>,
    pub rpc_out: bool,
    /// Names of the other side's logins, whose passwords can't be read.
    pub remote_logins: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Job {
    pub name: String,
    pub enabled: bool,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub start_step: i64,
    pub steps: Vec<JobStep>,
    pub schedules: Vec<JobSchedule>,
}

#[derive(Debug, Clone, Default)]
pub struct JobStep {
    pub name: String,
    pub subsystem: String,
    pub command: String,
    pub database: Option<String>,
    pub proxy: bool,
    /// Numbers that are handed on as they are, by the parameter of `sp_add_jobstep` that takes them.
    pub numbers: Vec<(&'static str, i64)>,
}

#[derive(Debug, Clone, Default)]
pub struct JobSchedule {
    pub name: String,
    /// As [`JobStep::numbers`], of `sp_add_jobschedule`.
    pub numbers: Vec<(&'static str, i64)>,
}

/// A user of the database that should have a login.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub name: String,
    /// `S`, `U` or `G`.
    pub kind: String,
    pub sid: String,
}

/// What stands around the databases of one instance.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// As the instance names itself.
    pub server: String,
    pub logins: Vec<Login>,
    /// User-defined server roles.
    pub roles: Vec<String>,
    /// Role and member.
    pub members: BTreeSet<(String, String)>,
    pub rights: BTreeSet<Right>,
    /// Name and identity.
    pub credentials: Vec<(String, String)>,
    pub linked_servers: Vec<LinkedServer>,
    pub jobs: Vec<Job>,
    /// Lower-case names with the owners' ids.
    pub databases: BTreeMap<String, String>,
    /// Of the database that was asked for; empty when it can't be read (restoring).
    pub users: Vec<User>,
    pub unread: Vec<SqlUnread>,
}

impl Around {
    /// Whether the account that read it sees the hashes of passwords, without which SQL logins can't be moved.
    pub fn sees_hashes(&self) -> bool {
        let mut own = self.logins.iter().filter(|l| l.kind == "S" && !l.is_internal());
        own.all(|l| l.hash.is_some())
    }

    /// As it will be with this database, for a look ahead.
    #[must_use]
    pub fn with_database(mut self, name: &str) -> Around {
        self.databases.entry(name.to_lowercase()).or_default();
        self
    }

    fn login(&self, name: &str) -> Option<&Login> {
        self.logins.iter().find(|l| l.name.eq_ignore_ascii_case(name))
    }

    fn by_sid(&self, sid: &str) -> Option<&Login> {
        self.logins.iter().find(|l| l.sid == sid)
    }

    fn has_database(&self, name: &str) -> bool {
        self.databases.contains_key(&name.to_lowercase())
    }
}

const SERVER: &str = "SELECT @@SERVERNAME AS name";

/// The statements of [`read`], each with the columns that came with later versions.
const VIEWS: [(&str, &[&str]); 10] = [
    ("sys.server_principals", &["is_fixed_role"]),
    ("sys.sql_logins", &[]),
    ("sys.server_role_members", &[]),
    ("sys.server_permissions", &[]),
    ("sys.credentials", &[]),
    ("sys.servers", &[]),
    ("sys.linked_logins", &[]),
    ("msdb.dbo.sysjobs", &[]),
    ("sys.databases", &[]),
    ("msdb.dbo.sysjobsteps", &[]),
];

const SCHEDULES: &str = "SELECT j.job_id, s.* FROM msdb.dbo.sysjobschedules AS j \
    JOIN msdb.dbo.sysschedules AS s ON s.schedule_id = j.schedule_id";

fn users(database: &str) -> Option<String> {
    Some(format!(
        "SELECT * FROM {}.sys.database_principals",
        identifier(database)?
    ))
}

/// Everything that [`read`] sends.
pub fn statements(database: &str) -> Vec<String> {
    let views = VIEWS.iter().map(|(v, _)| format!("SELECT * FROM {v}"));
    [SERVER.to_owned(), SCHEDULES.to_owned()]
        .into_iter()
        .chain(views)
        .chain(users(database))
        .collect()
}

/// Reads what stands around `database`. Changes nothing. What a version lacks or an account may not see is a line in
/// [`Around::unread`].
///
/// # Errors
/// When the connection breaks.
pub async fn read(client: &mut Client, database: &str) -> Result<Around, SqlError> {
    let mut unread = vec![];
    let mut found = Around::default();
    let about = client.query(SERVER).await?;
    if let Some(row) = about.first().and_then(|r| r.first()) {
        found.server = Cells(row).word("name");
    }
    let mut read: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for (name, later) in VIEWS {
        read.insert(name, view(client, &mut unread, name, later).await?);
    }
    let rows = |name: &str| read.get(name).map(Vec::as_slice).unwrap_or_default().iter().map(Cells);

    let mut names: BTreeMap<i64, String> = BTreeMap::new();
    let mut fixed: BTreeMap<i64, bool> = BTreeMap::new();
    for c in rows("sys.server_principals") {
        let (Some(id), name) = (c.number("principal_id"), c.word("name")) else {
            continue;
        };
        match c.word("type").as_str() {
            kind @ ("S" | "U" | "G" | "E" | "X") => found.logins.push(Login {
                kind: kind.to_owned(),
                sid: c.bytes("sid").unwrap_or_default(),
                disabled: c.flag("is_disabled").unwrap_or(false),
                default_database: c.text("default_database_name"),
                language: c.text("default_language_name"),
                name: name.clone(),
                ..Login::default()
            }),
            "R" => {
                // 2 is public; 3 to 10 are what versions before 2012 have, all fixed.
                let is_fixed = c.flag("is_fixed_role").unwrap_or(true) || id == 2;
                fixed.insert(id, is_fixed);
                if !is_fixed {
                    found.roles.push(name.clone());
                }
            }
            _ => continue,
        }
        names.insert(id, name);
    }
    for c in rows("sys.sql_logins") {
        let name = c.word("name");
        if let Some(login) = found.logins.iter_mut().find(|l| l.name == name) {
            login.hash = c.bytes("password_hash").map(Secret::new);
            login.policy = c.flag("is_policy_checked").unwrap_or(false);
            login.expiration = c.flag("is_expiration_checked").unwrap_or(false);
        }
    }
    let named = |c: &Cells, column: &str| names.get(&c.number(column)?).cloned();
    found.members = rows("sys.server_role_members")
        .filter_map(|c| Some((named(&c, "role_principal_id")?, named(&c, "member_principal_id")?)))
        .collect();
    found.rights = rows("sys.server_permissions")
        .filter_map(|c| {
            let class = c.word("class_desc");
            Some(Right {
                grantee: named(&c, "grantee_principal_id")?,
                state: c.word("state_desc"),
                right: c.word("permission_name"),
                on: if class == "SERVER_PRINCIPAL" {
                    named(&c, "major_id")
                } else {
                    None
                },
                class,
            })
        })
        .collect();
    found.credentials = rows("sys.credentials")
        .map(|c| (c.word("name"), c.word("credential_identity")))
        .collect();
    found.linked_servers = rows("sys.servers")
        .filter(|c| c.flag("is_linked") == Some(true))
        .map(|c| {
            let id = c.number("server_id");
            let remote = rows("sys.linked_logins").filter(|l| l.number("server_id") == id);
            LinkedServer {
                name: c.word("name"),
                product: c.word("product"),
                provider: c.word("provider"),
                source: c.text("data_source"),
                catalog: c.text("catalog"),
                rpc_out: c.flag("is_rpc_out_enabled").unwrap_or(false),
                remote_logins: remote.filter_map(|l| l.text("remote_name")).collect(),
            }
        })
        .collect();
    found.databases = rows("sys.databases")
        .map(|c| (c.word("name").to_lowercase(), c.bytes("owner_sid").unwrap_or_default()))
        .collect();
    let mut jobs: Vec<(String, Job)> = rows("msdb.dbo.sysjobs")
        .map(|c| {
            let owner = c
                .bytes("owner_sid")
                .and_then(|sid| found.by_sid(&sid).map(|l| l.name.clone()));
            let job = Job {
                name: c.word("name"),
                enabled: c.flag("enabled").unwrap_or(false),
                description: c.text("description"),
                owner,
                start_step: c.number("start_step_id").unwrap_or(1),
                ..Job::default()
            };
            (c.word("job_id").to_uppercase(), job)
        })
        .collect();
    let mut steps: Vec<Cells> = rows("msdb.dbo.sysjobsteps").collect();
    steps.sort_by_key(|c| c.number("step_id"));
    for c in steps {
        let id = c.word("job_id").to_uppercase();
        if let Some((_, job)) = jobs.iter_mut().find(|(j, _)| *j == id) {
            job.steps.push(JobStep {
                name: c.word("step_name"),
                subsystem: c.word("subsystem"),
                command: c.word("command"),
                database: c.text("database_name"),
                proxy: c.number("proxy_id").is_some(),
                numbers: numbers(&c, &STEP),
            });
        }
    }
    let answer = client.query(SCHEDULES).await;
    let schedules = note(&mut unread, "msdb.dbo.sysschedules", "", answer)?.and_then(|mut r| r.pop());
    for c in schedules.as_deref().unwrap_or_default().iter().map(Cells) {
        let id = c.word("job_id").to_uppercase();
        if let Some((_, job)) = jobs.iter_mut().find(|(j, _)| *j == id) {
            job.schedules.push(JobSchedule {
                name: c.word("name"),
                numbers: numbers(&c, &SCHEDULE),
            });
        }
    }
    found.jobs = jobs.into_iter().map(|(_, j)| j).collect();
    if let Some(users) = users(database).filter(|_| found.has_database(database)) {
        let answer = client.query(&users).await;
        let rows = note(&mut unread, "sys.database_principals", database, answer)?.and_then(|mut r| r.pop());
        found.users = rows
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(Cells)
            .filter(|c| {
                let proof = c.word("authentication_type_desc");
                // Below 5 are dbo, guest, sys and INFORMATION_SCHEMA; without a login there is nothing to map.
                matches!(c.word("type").as_str(), "S" | "U" | "G")
                    && c.number("principal_id").is_some_and(|n| n > 4)
                    && proof != "DATABASE"
                    && proof != "NONE"
            })
            .map(|c| User {
                name: c.word("name"),
                kind: c.word("type"),
                sid: c.bytes("sid").unwrap_or_default(),
            })
            .collect();
    }
    found.unread = unread;
    Ok(found)
}

/// Columns of `sysjobsteps` by the parameters of `sp_add_jobstep`.
const STEP: [(&str, &str); 6] = [
    ("@on_success_action", "on_success_action"),
    ("@on_success_step_id", "on_success_step_id"),
    ("@on_fail_action", "on_fail_action"),
    ("@on_fail_step_id", "on_fail_step_id"),
    ("@retry_attempts", "retry_attempts"),
    ("@retry_interval", "retry_interval"),
];

/// Columns of `sysschedules` by the parameters of `sp_add_jobschedule`.
const SCHEDULE: [(&str, &str); 11] = [
    ("@enabled", "enabled"),
    ("@freq_type", "freq_type"),
    ("@freq_interval", "freq_interval"),
    ("@freq_subday_type", "freq_subday_type"),
    ("@freq_subday_interval", "freq_subday_interval"),
    ("@freq_relative_interval", "freq_relative_interval"),
    ("@freq_recurrence_factor", "freq_recurrence_factor"),
    ("@active_start_date", "active_start_date"),
    ("@active_end_date", "active_end_date"),
    ("@active_start_time", "active_start_time"),
    ("@active_end_time", "active_end_time"),
];

fn numbers(c: &Cells, of: &[(&'static str, &str)]) -> Vec<(&'static str, i64)> {
    of.iter()
        .filter_map(|(p, column)| Some((*p, c.number(column)?)))
        .collect()
}

/// Carries out on the target what is to be done with an object; nothing when nothing is.
///
/// # Errors
/// [`SqlError::Statement`] in the server's words, [`SqlError::Cancelled`], and a broken connection.
pub async fn make(client: &mut Client, object: &Object, cancel: &CancellationToken) -> Result<(), SqlError> {
    if let Some(statement) = &object.statement {
        client.run(statement.expose(), cancel).await?;
    }
    Ok(())
}

/// One object, and what is to be done with it on the target.
#[derive(Debug, Clone)]
pub struct Object {
    /// `logins/smarthotel`
    pub id: String,
    pub kind: AroundKind,
    pub name: String,
    pub there: bool,
    /// What is run on the target, in this database; none = nothing is to be done, or a person does it.
    pub statement: Option<Secret<String>>,
    /// The same for people's eyes: no hash.
    pub shown: String,
    pub why_not: Option<String>,
    pub remarks: Vec<String>,
}

impl Object {
    fn new(kind: AroundKind, name: &str) -> Object {
        Object {
            id: format!("{}/{name}", kind.id()),
            kind,
            name: name.to_owned(),
            there: false,
            statement: None,
            shown: String::new(),
            why_not: None,
            remarks: vec![],
        }
    }

    fn there(mut self) -> Object {
        self.there = true;
        self
    }

    fn make(mut self, statement: Option<String>) -> Object {
        let Some(statement) = statement else {
            return self.not("Its name can't be written in a statement.");
        };
        self.shown.clone_from(&statement);
        self.statement = Some(Secret::new(statement));
        self
    }

    fn not(mut self, why: impl Into<String>) -> Object {
        self.why_not = Some(why.into());
        self
    }

    fn remark(mut self, remark: impl Into<String>) -> Object {
        self.remarks.push(remark.into());
        self
    }

    /// As the admin sees it.
    pub fn view(&self, design: &AroundDesign) -> AroundObject {
        AroundObject {
            id: self.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            chosen: chosen(design, self),
            there: self.there,
            statement: self.shown.clone(),
            why_not: self.why_not.clone(),
            remarks: self.remarks.clone(),
        }
    }
}

/// Whether the design has Rehost make it.
pub fn chosen(design: &AroundDesign, object: &Object) -> bool {
    design.kinds.contains(&object.kind) && !design.leave_out.contains(&object.id)
}

/// All objects as one script for people's eyes, in sections and in the order in which they are made. Hashes are taken out,
/// and what is not made is a comment.
pub fn script(objects: &[Object], design: &AroundDesign) -> String {
    let mut text = String::new();
    for kind in AroundKind::ALL {
        let mut of = objects.iter().filter(|o| o.kind == kind).peekable();
        if of.peek().is_some() {
            text += &format!("-- {}\n", kind.words());
        }
        for o in of {
            // A name may hold a line break, which would end the comment.
            let name: String = o.name.split_whitespace().collect::<Vec<_>>().join(" ");
            let note = match (&o.why_not, o.there) {
                (_, true) => Some("is there already".to_owned()),
                (Some(why), _) => Some(why.split_whitespace().collect::<Vec<_>>().join(" ")),
                _ if !chosen(design, o) => Some("is left out by choice".to_owned()),
                _ => None,
            };
            match note {
                Some(note) => text += &format!("-- {name}: {note}\n"),
                None => text += &format!("{}\nGO\n", o.shown),
            }
        }
        text += "\n";
    }
    text.trim().to_owned() + "\n"
}

/// Says for each object of the source what is to be done with it on the target. `database` is the one that is moved;
/// `entra` = the target is signed in to by Entra, which alone can make Entra logins.
pub fn compare(source: &Around, target: &Around, database: &str, design: &AroundDesign, entra: bool) -> Vec<Object> {
    let mut all: Vec<Object> = vec![];
    let movable = source.logins.iter().filter(|l| !l.is_internal());
    all.extend(movable.map(|l| login(l, target, design, entra)));
    // Who is on the target, or will be, under which name there.
    let arrives = |name: &str| -> Option<String> {
        let l = source.login(name)?;
        let there = if l.is_windows() {
            entra_name(&l.name, &l.kind, design)?
        } else {
            l.name.clone()
        };
        let made = all
            .iter()
            .any(|o| o.kind == AroundKind::Logins && o.name == l.name && o.statement.is_some() && chosen(design, o));
        (made || target.login(&there).is_some()).then_some(there)
    };
    let mut later = roles(source, target, &arrives);
    later.extend(source.credentials.iter().map(|(name, identity)| {
        let o = Object::new(AroundKind::Credentials, name);
        if target.credentials.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return o.there();
        }
        let statement = identifier(name).map(|q| format!("CREATE CREDENTIAL {q} WITH IDENTITY = {}, SECRET = N'…'", literal(identity)));
        Object { shown: statement.unwrap_or_default(), ..o }
            .not("Its secret can't be read. A database administrator makes it on the managed instance with the secret, if it is still needed there.")
    }));
    later.extend(source.linked_servers.iter().map(|s| linked_server(s, target)));
    later.extend(
        target
            .users
            .iter()
            .map(|u| user(u, source, target, database, design, &arrives)),
    );
    later.extend(owner(source, target, database, &arrives));
    later.extend(source.jobs.iter().map(|j| job(j, target, &arrives)));
    all.extend(later);
    all
}

/// `CONTOSO\anna` as it is in Entra: `anna@contoso.com`; groups by their bare name.
fn entra_name(name: &str, kind: &str, design: &AroundDesign) -> Option<String> {
    let (domain, account) = name.split_once('\\')?;
    let (_, entra) = design.domains.iter().find(|(d, _)| d.eq_ignore_ascii_case(domain))?;
    Some(if kind == "G" {
        account.to_owned()
    } else {
        format!("{account}@{entra}")
    })
}

fn login(l: &Login, target: &Around, design: &AroundDesign, entra: bool) -> Object {
    let o = Object::new(AroundKind::Logins, &l.name);
    if l.is_windows() {
        let Some(name) = entra_name(&l.name, &l.kind, design) else {
            return o.not(format!(
                "A managed instance has no Windows logins. Name the domain of {} as it is in Entra (Design > around the database > domains), or a database administrator makes an Entra login for the person.",
                l.name
            ));
        };
        if target.login(&name).is_some() {
            return o.there();
        }
        let statement = identifier(&name).map(|q| format!("CREATE LOGIN {q} FROM EXTERNAL PROVIDER"));
        return if entra {
            o.make(statement)
        } else {
            Object { shown: statement.unwrap_or_default(), ..o }
                .not("Only an Entra administrator of the managed instance can make an Entra login. He runs the statement, or signs Rehost in with Entra.")
        };
    }
    if l.kind != "S" {
        return o.not("It is an Entra login already: the Entra administrator of the managed instance makes it there.");
    }
    if let Some(there) = target.login(&l.name) {
        if there.sid != l.sid {
            return o.there().remark(format!(
                "A login {} of another id (0x{}, on the source 0x{}) is on the managed instance already, with its own password. It is left alone, and users of the database are mapped to it.",
                l.name, there.sid, l.sid
            ));
        }
        return if l.disabled && !there.disabled {
            o.make(identifier(&l.name).map(|q| format!("ALTER LOGIN {q} DISABLE")))
        } else {
            o.there()
        };
    }
    if let Some(other) = target.by_sid(&l.sid) {
        return o.not(format!(
            "Its id 0x{} belongs to the login {} on the managed instance. A database administrator decides which of them stays.",
            l.sid, other.name
        ));
    }
    let Some(hash) = &l.hash else {
        return o
            .not("Its password hash can't be read: the account that reads the source must be a member of sysadmin.");
    };
    let default = l.default_database.as_deref().filter(|d| target.has_database(d));
    let on = |yes: bool| if yes { "ON" } else { "OFF" };
    let text = |hash: &str| {
        let q = identifier(&l.name)?;
        let mut s = format!(
            "CREATE LOGIN {q} WITH PASSWORD = {hash} HASHED, SID = 0x{}, DEFAULT_DATABASE = {}",
            l.sid,
            identifier(default.unwrap_or("master"))?
        );
        if let Some(language) = l.language.as_deref().and_then(identifier) {
            s += &format!(", DEFAULT_LANGUAGE = {language}");
        }
        s += &format!(
            ", CHECK_POLICY = {}, CHECK_EXPIRATION = {}",
            on(l.policy),
            on(l.expiration && l.policy)
        );
        if l.disabled {
            s += &format!("; ALTER LOGIN {q} DISABLE");
        }
        Some(s)
    };
    let mut o = o.make(text(&format!("0x{}", hash.expose())));
    if o.statement.is_some() {
        o.shown = text(HIDDEN).unwrap_or_default();
    }
    match (&l.default_database, default) {
        (Some(d), None) => o.remark(format!(
            "Its default database {d} is not on the managed instance; it gets master."
        )),
        _ => o,
    }
}

fn roles(source: &Around, target: &Around, arrives: &impl Fn(&str) -> Option<String>) -> Vec<Object> {
    let mut all = vec![];
    for role in &source.roles {
        let o = Object::new(AroundKind::Roles, role);
        let there = target.roles.iter().any(|r| r.eq_ignore_ascii_case(role));
        all.push(if there {
            o.there()
        } else {
            o.make(identifier(role).map(|q| format!("CREATE SERVER ROLE {q}")))
        });
    }
    let internal = |name: &str| source.login(name).is_some_and(Login::is_internal);
    let role = |name: &str| source.roles.iter().any(|r| r == name).then(|| name.to_owned());
    for (of, member) in source.members.iter().filter(|(_, m)| !internal(m)) {
        let o = Object::new(AroundKind::Roles, &format!("{member} in {of}"));
        all.push(match arrives(member).or_else(|| role(member)) {
            None => o.not(format!("{member} is not on the managed instance.")),
            Some(m) if target.members.contains(&(of.clone(), m.clone())) => o.there(),
            Some(m) => o.make(
                identifier(of)
                    .zip(identifier(&m))
                    .map(|(of, m)| format!("ALTER SERVER ROLE {of} ADD MEMBER {m}")),
            ),
        });
    }
    for r in source.rights.iter().filter(|r| !internal(&r.grantee)) {
        // Every login has the right to connect from the start.
        let usual = r.right == "CONNECT SQL" && r.state != "DENY";
        let Some(grantee) = arrives(&r.grantee).or_else(|| role(&r.grantee)) else {
            if !usual && r.grantee != "public" {
                let o = Object::new(AroundKind::Roles, &words(r));
                all.push(o.not(format!("{} is not on the managed instance.", r.grantee)));
            }
            continue;
        };
        if usual {
            continue;
        }
        let o = Object::new(AroundKind::Roles, &words(r));
        let on = r.on.as_deref().map(arrives);
        all.push(match (r.class.as_str(), &on) {
            ("SERVER", _) | ("SERVER_PRINCIPAL", Some(Some(_))) => {
                let same = Right {
                    grantee: grantee.clone(),
                    on: on.clone().flatten(),
                    ..r.clone()
                };
                if target.rights.contains(&same) {
                    o.there()
                } else {
                    o.make(right(&same))
                }
            }
            ("SERVER_PRINCIPAL", _) => o.not("The login that it is a right on is not on the managed instance."),
            (class, _) => o.not(format!(
                "A managed instance has no such object to have rights on ({class})."
            )),
        });
    }
    all
}

fn words(r: &Right) -> String {
    let on = r.on.as_deref().map(|on| format!(" ON {on}")).unwrap_or_default();
    format!(
        "{} {}{on} TO {}",
        if r.state == "DENY" { "DENY" } else { "GRANT" },
        r.right,
        r.grantee
    )
}

fn right(r: &Right) -> Option<String> {
    // The name of a right comes from the server, and stands in the statement as it is.
    let plain = !r.right.is_empty() && r.right.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
    plain.then_some(())?;
    let on = match &r.on {
        Some(on) => format!(" ON LOGIN::{}", identifier(on)?),
        None => String::new(),
    };
    let (verb, option) = match r.state.as_str() {
        "DENY" => ("DENY", ""),
        "GRANT_WITH_GRANT_OPTION" => ("GRANT", " WITH GRANT OPTION"),
        _ => ("GRANT", ""),
    };
    Some(format!("{verb} {}{on} TO {}{option}", r.right, identifier(&r.grantee)?))
}

fn linked_server(s: &LinkedServer, target: &Around) -> Object {
    let o = Object::new(AroundKind::LinkedServers, &s.name);
    if target
        .linked_servers
        .iter()
        .any(|t| t.name.eq_ignore_ascii_case(&s.name))
    {
        return o.there();
    }
    let upper = s.provider.to_uppercase();
    if !["SQLNCLI", "MSOLEDBSQL", "SQLOLEDB"]
        .iter()
        .any(|p| upper.starts_with(p))
    {
        return o.not(format!(
            "It leads to {} through {}; linked servers of a managed instance lead to SQL Server only.",
            if s.product.is_empty() {
                "something else"
            } else {
                &s.product
            },
            s.provider
        ));
    }
    let mut of = vec![format!("@server = {}", literal(&s.name))];
    if s.product.eq_ignore_ascii_case("SQL Server") {
        of.push("@srvproduct = N'SQL Server'".into());
    } else {
        of.push("@srvproduct = N''".into());
        // The older ones are not on a managed instance under a version of their own.
        of.push("@provider = N'MSOLEDBSQL'".into());
        of.extend(s.source.as_deref().map(|d| format!("@datasrc = {}", literal(d))));
        of.extend(s.catalog.as_deref().map(|c| format!("@catalog = {}", literal(c))));
    }
    let mut calls = vec![format!("EXEC master.dbo.sp_addlinkedserver {}", of.join(", "))];
    if s.rpc_out {
        calls.push(format!(
            "EXEC master.dbo.sp_serveroption @server = {}, @optname = N'rpc out', @optvalue = N'true'",
            literal(&s.name)
        ));
    }
    let mut o = o.make(Some(transaction(&calls))).remark(format!(
        "The managed instance must reach {} over the network.",
        s.source.as_deref().unwrap_or(&s.name)
    ));
    for remote in &s.remote_logins {
        o = o.remark(format!(
            "The password of its remote login can't be read: EXEC master.dbo.sp_addlinkedsrvlogin @rmtsrvname = {}, @useself = N'False', @rmtuser = {}, @rmtpassword = N'…'",
            literal(&s.name),
            literal(remote)
        ));
    }
    o
}

/// All of it, or nothing.
fn transaction(calls: &[String]) -> String {
    if let [one] = calls {
        return one.clone();
    }
    format!(
        "SET XACT_ABORT ON; BEGIN TRANSACTION; {}; COMMIT TRANSACTION",
        calls.join("; ")
    )
}

fn job(j: &Job, target: &Around, arrives: &impl Fn(&str) -> Option<String>) -> Object {
    let o = Object::new(AroundKind::Jobs, &j.name);
    if target.jobs.iter().any(|t| t.name.eq_ignore_ascii_case(&j.name)) {
        return o.there();
    }
    for s in &j.steps {
        let step = &s.name;
        let command = s.command.to_uppercase();
        let local = ["TO DISK", "TO TAPE", "XP_CMDSHELL"]
            .into_iter()
            .find(|w| command.split_whitespace().collect::<Vec<_>>().join(" ").contains(w));
        if !matches!(s.subsystem.to_uppercase().as_str(), "TSQL" | "SSIS") {
            return o.not(format!(
                "Its step {step} is of the kind {}; a managed instance runs T-SQL and SSIS only.",
                s.subsystem
            ));
        } else if s.proxy {
            return o.not(format!(
                "Its step {step} runs through a proxy, which a managed instance does not have."
            ));
        } else if let Some(local) = local {
            return o.not(format!("Its step {step} says {local}: a managed instance has no disk of its own, and backs its databases up by itself."));
        } else if let Some(database) = s.database.as_deref().filter(|d| !target.has_database(d)) {
            return o.not(format!(
                "Its step {step} runs in {database}, which is not on the managed instance."
            ));
        }
    }
    let name = literal(&j.name);
    let mut add = vec![
        format!("@job_name = {name}"),
        format!("@enabled = {}", i32::from(j.enabled)),
    ];
    add.extend(
        j.description
            .as_deref()
            .map(|d| format!("@description = {}", literal(d))),
    );
    let owner = j.owner.as_deref().and_then(arrives);
    add.extend(owner.as_deref().map(|o| format!("@owner_login_name = {}", literal(o))));
    let mut calls = vec![format!("EXEC msdb.dbo.sp_add_job {}", add.join(", "))];
    for (s, id) in j.steps.iter().zip(1..) {
        let mut add = vec![
            format!("@job_name = {name}"),
            format!("@step_id = {id}"),
            format!("@step_name = {}", literal(&s.name)),
            format!("@subsystem = {}", literal(&s.subsystem)),
            format!("@command = {}", literal(&s.command)),
        ];
        add.extend(
            s.database
                .as_deref()
                .map(|d| format!("@database_name = {}", literal(d))),
        );
        add.extend(s.numbers.iter().map(|(p, n)| format!("{p} = {n}")));
        calls.push(format!("EXEC msdb.dbo.sp_add_jobstep {}", add.join(", ")));
    }
    if !j.steps.is_empty() {
        calls.push(format!(
            "EXEC msdb.dbo.sp_update_job @job_name = {name}, @start_step_id = {}",
            j.start_step.max(1)
        ));
    }
    let mut o = o;
    for s in &j.schedules {
        if s.numbers.contains(&("@freq_type", 128)) {
            o = o.remark(format!("Its schedule {} starts it when the CPU is idle, which a managed instance does not know: give it another one.", s.name));
            continue;
        }
        let of: Vec<String> = s.numbers.iter().map(|(p, n)| format!("{p} = {n}")).collect();
        calls.push(format!(
            "EXEC msdb.dbo.sp_add_jobschedule @job_name = {name}, @name = {}, {}",
            literal(&s.name),
            of.join(", ")
        ));
    }
    calls.push(format!(
        "EXEC msdb.dbo.sp_add_jobserver @job_name = {name}, @server_name = N'(local)'"
    ));
    if let (Some(was), None) = (&j.owner, &owner) {
        o = o.remark(format!(
            "Its owner {was} is not on the managed instance; it belongs to whoever makes it."
        ));
    }
    o.make(Some(transaction(&calls)))
        .remark("Its category and whom it notifies are not moved.")
}

fn user(
    u: &User,
    source: &Around,
    target: &Around,
    database: &str,
    design: &AroundDesign,
    arrives: &impl Fn(&str) -> Option<String>,
) -> Object {
    let o = Object::new(AroundKind::Users, &u.name);
    if target.by_sid(&u.sid).is_some() {
        return o.there();
    }
    let windows = matches!(u.kind.as_str(), "U" | "G");
    let login = match source.by_sid(&u.sid) {
        // A login that is moved with its id needs no mapping.
        Some(l) if !windows && target.login(&l.name).is_none() && arrives(&l.name).is_some() => {
            return o
                .remark("It is mapped by its id as soon as its login is there.")
                .there();
        }
        Some(l) => arrives(&l.name),
        None if windows => entra_name(&u.name, &u.kind, design).filter(|n| target.login(n).is_some()),
        None => return o.not("It had no login on the source either: nobody can sign in as this user there or here."),
    };
    match login {
        Some(login) => o.make(
            identifier(database)
                .zip(identifier(&u.name))
                .zip(identifier(&login))
                .map(|((d, u), l)| format!("USE {d}; ALTER USER {u} WITH LOGIN = {l}")),
        ),
        None => o.not("Its login is not on the managed instance."),
    }
}

/// The owner is the database's dbo: without it a login that was dbo can't do what it did.
fn owner(
    source: &Around,
    target: &Around,
    database: &str,
    arrives: &impl Fn(&str) -> Option<String>,
) -> Option<Object> {
    let sid = source.databases.get(&database.to_lowercase())?;
    let there = target.databases.get(&database.to_lowercase())?;
    let owner = source.by_sid(sid)?;
    if owner.is_internal() {
        return None;
    }
    let o = Object::new(AroundKind::Users, &format!("owner {}", owner.name));
    Some(if sid == there {
        o.there()
    } else if let Some(login) = arrives(&owner.name).filter(|_| owner.kind != "G") {
        if target.login(&login).is_some_and(|l| l.sid == *there) {
            o.there()
        } else {
            o.make(
                identifier(database)
                    .zip(identifier(&login))
                    .map(|(d, l)| format!("ALTER AUTHORIZATION ON DATABASE::{d} TO {l}")),
            )
        }
    } else {
        o.not(format!("{} is not on the managed instance.", owner.name))
    })
}

#[cfg(test)]
#[path = "around_tests.rs"]
mod tests;
