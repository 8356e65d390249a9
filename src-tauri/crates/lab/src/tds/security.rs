//! What is changed around databases by statements that no reader of queries knows: logins, server roles, rights, linked
//! servers, agent jobs, users; and the consistency check. Each has its effect on the instance's views, and is refused where
//! SQL Server refuses it. What is not known here is left to `statements`.

use super::{
    data::{Instance, Login, int, text},
    statements::{Outcome, Session},
    wire::Message,
};
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use sqlparser::{
    dialect::MsSqlDialect,
    tokenizer::{Token, Tokenizer},
};

/// One word, name, text or sign of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// In capitals, not quoted.
    Word(String),
    Name(String),
    Text(String),
    Bytes(Vec<u8>),
    Number(i64),
    Sign(char),
}

/// The statements of a batch, when all of them are of the kinds above or go with them.
fn read(batch: &str) -> Option<Vec<Vec<Part>>> {
    // A batch that only reads goes to the reader of queries without a second look.
    let first = batch.split_whitespace().next()?.to_ascii_uppercase();
    if first == "SELECT" || (first == "USE" && !batch.to_ascii_uppercase().contains("ALTER USER")) {
        return None;
    }
    let all = split(batch)?;
    let known = all.iter().all(|s| known(s));
    known.then_some(all)
}

/// Whether a batch changes something that stands around the databases.
pub(super) fn changes(batch: &str) -> bool {
    read(batch).is_some_and(|all| all.iter().any(|s| word(s, 0) != "USE" && word(s, 0) != "DBCC"))
}

/// The statements of a batch; none = it can't be read.
pub(super) fn split(batch: &str) -> Option<Vec<Vec<Part>>> {
    let tokens = Tokenizer::new(&MsSqlDialect {}, batch).tokenize().ok()?;
    let mut all = vec![vec![]];
    for token in tokens {
        let part = match token {
            Token::Whitespace(_) => continue,
            Token::SemiColon => {
                all.push(vec![]);
                continue;
            }
            Token::Word(w) if w.quote_style.is_some() => Part::Name(w.value),
            Token::Word(w) if w.value.starts_with('@') => Part::Name(w.value),
            Token::Word(w) => Part::Word(w.value.to_ascii_uppercase()),
            Token::NationalStringLiteral(t) | Token::SingleQuotedString(t) => Part::Text(t),
            Token::HexStringLiteral(h) => Part::Bytes(hex::decode(h).ok()?),
            Token::Number(n, _) => match n.parse() {
                Ok(n) => Part::Number(n),
                Err(_) => return None,
            },
            Token::DoubleColon => Part::Sign(':'),
            other => Part::Sign(other.to_string().chars().next()?),
        };
        all.last_mut()?.push(part);
    }
    all.retain(|s| !s.is_empty());
    Some(all)
}

pub(super) fn word(s: &[Part], at: usize) -> &str {
    match s.get(at) {
        Some(Part::Word(w)) => w,
        _ => "",
    }
}

/// The name at a place, quoted or not.
pub(super) fn name(s: &[Part], at: usize) -> Option<String> {
    match s.get(at)? {
        Part::Name(n) | Part::Word(n) | Part::Text(n) => Some(n.clone()),
        _ => None,
    }
}

fn known(s: &[Part]) -> bool {
    matches!(
        (word(s, 0), word(s, 1)),
        ("CREATE" | "ALTER", "LOGIN" | "SERVER" | "USER" | "AUTHORIZATION")
            | ("GRANT" | "DENY" | "COMMIT", _)
            | ("BEGIN", "TRANSACTION")
            | ("SET", "XACT_ABORT")
            | ("DBCC", "CHECKDB")
            | ("USE", _)
    ) || word(s, 0) == "EXEC" && PROCEDURES.contains(&procedure(s).as_str())
}

const PROCEDURES: [&str; 7] = [
    "sp_addlinkedserver",
    "sp_serveroption",
    "sp_add_job",
    "sp_add_jobstep",
    "sp_update_job",
    "sp_add_jobschedule",
    "sp_add_jobserver",
];

/// The last part of the name of what is called.
pub(super) fn procedure(s: &[Part]) -> String {
    let name = s
        .iter()
        .take_while(|p| !matches!(p, Part::Name(n) if n.starts_with('@')));
    let parts = name.filter_map(|p| match p {
        Part::Word(w) | Part::Name(w) => Some(w.to_lowercase()),
        _ => None,
    });
    parts.last().unwrap_or_default()
}

pub(super) fn refuse(number: u32, state: u8, class: u8, text: impl Into<String>) -> Message {
    Message::error(number, state, class, text)
}

fn denied() -> Message {
    refuse(15247, 1, 16, "User does not have permission to perform this action.")
}

/// The value after `KEY =`.
pub(super) fn value<'a>(s: &'a [Part], key: &str) -> Option<&'a Part> {
    let at = s.iter().position(|p| matches!(p, Part::Word(w) if w == key))?;
    (s.get(at + 1) == Some(&Part::Sign('='))).then(|| s.get(at + 2))?
}

/// `@name = value` pairs of a call, by lower-case names without the sign.
fn arguments(s: &[Part]) -> Vec<(String, Sql)> {
    let mut all = vec![];
    for at in 0..s.len() {
        if let (Some(Part::Name(n) | Part::Word(n)), Some(Part::Sign('=')), Some(v)) =
            (s.get(at), s.get(at + 1), s.get(at + 2))
        {
            let v = match v {
                Part::Text(t) => Sql::Text(t.clone()),
                Part::Number(n) => Sql::Integer(*n),
                Part::Bytes(b) => Sql::Blob(b.clone()),
                _ => continue,
            };
            all.push((n.trim_start_matches('@').to_lowercase(), v));
        }
    }
    all
}

/// SQL Server's hash of a password: version 2, salt, SHA-512. `PWDCOMPARE` computes it anew with the same salt.
pub(super) fn hash(password: &str, salt: [u8; 4]) -> Vec<u8> {
    let mut digest = Sha512::new();
    password.encode_utf16().for_each(|u| digest.update(u.to_le_bytes()));
    digest.update(salt);
    [&[2, 0][..], &salt, &digest.finalize()].concat()
}

fn proves(hashed: &[u8], password: &str) -> bool {
    let Some(salt) = hashed.get(2..6).and_then(|s| s.try_into().ok()) else {
        return false;
    };
    hash(password, salt) == hashed
}

impl Instance {
    /// What stands around the databases: rows in a fixed order, without times.
    pub(crate) fn around(&self) -> Value {
        let views = [
            ("sys.server_principals", "name, type, hex(sid)"),
            ("sys.server_role_members", "role_principal_id, member_principal_id"),
            (
                "sys.server_permissions",
                "grantee_principal_id, permission_name, state_desc",
            ),
            ("sys.database_principals", "\"#db\", name, type, hex(sid)"),
            ("sys.servers", "name, data_source"),
            ("sys.linked_logins", "server_id, remote_name"),
            ("msdb.dbo.sysjobs", "name, enabled"),
        ];
        let rows = |(view, columns): (&str, &str)| -> rusqlite::Result<Vec<String>> {
            let sql = format!("SELECT concat_ws(' ', {columns}) FROM \"{view}\" ORDER BY 1");
            self.engine.prepare(&sql)?.query_map([], |r| r.get(0))?.collect()
        };
        let told = |v: (&str, &str)| match rows(v) {
            Ok(rows) => json!(rows),
            Err(e) => json!(e.to_string()),
        };
        Value::Object(views.iter().map(|v| (v.0.to_owned(), told(*v))).collect())
    }

    /// Whether this is the login's password.
    pub(super) fn admits_password(&self, login: &Login, password: &str) -> bool {
        match self.hashes.get(&login.name.to_lowercase()) {
            Some(hashed) => proves(hashed, password),
            None if login.password == super::managed::ANY => true,
            None => login.password == password,
        }
    }

    /// Carries out a batch of such statements; none = it is something else.
    pub(super) fn administer(&mut self, session: &Session, batch: &str) -> Option<Outcome> {
        let statements = read(batch)?;
        let mut database = session.database.clone();
        let whole = statements.iter().any(|s| word(s, 0) == "BEGIN");
        let began = whole && self.engine.execute_batch("SAVEPOINT batch").is_ok();
        for s in &statements {
            if let Err(refusal) = self.administer_one(session, &mut database, s) {
                if began {
                    let _ = self.engine.execute_batch("ROLLBACK TO batch; RELEASE batch");
                }
                return Some(Outcome::Refused(refusal));
            }
        }
        if began {
            let _ = self.engine.execute_batch("RELEASE batch");
        }
        self.changed = true;
        Some(if database == session.database {
            Outcome::Nothing
        } else {
            Outcome::Database(database)
        })
    }

    fn administer_one(&mut self, session: &Session, database: &mut String, s: &[Part]) -> Result<(), Message> {
        let syntax = || refuse(102, 1, 15, format!("Incorrect syntax near '{}'.", word(s, 0)));
        match (word(s, 0), word(s, 1)) {
            ("USE", _) => {
                let wanted = name(s, 1).ok_or_else(syntax)?;
                *database = self
                    .database(&wanted)
                    .ok_or_else(|| super::statements::no_database(&wanted))?
                    .to_owned();
                return Ok(());
            }
            ("SET" | "BEGIN" | "COMMIT", _) => return Ok(()),
            _ if !session.sysadmin => return Err(denied()),
            ("DBCC", "CHECKDB") => {
                let wanted = s.iter().find_map(|p| match p {
                    Part::Text(n) | Part::Name(n) => Some(n.clone()),
                    _ => None,
                });
                let found = wanted.as_deref().and_then(|w| self.database(w)).map(str::to_owned);
                let Some(found) = found else {
                    return Err(super::statements::no_database(&wanted.unwrap_or_default()));
                };
                if self.damaged.contains(&found) {
                    return Err(refuse(
                        8928,
                        1,
                        16,
                        format!(
                            "Object ID 565577053, index ID 1, partition ID 72057594038779904, alloc unit ID 72057594039894016 (type In-row data): Page (1:1171) could not be processed.  See other errors for details. CHECKDB found 0 allocation errors and 1 consistency errors in database '{found}'."
                        ),
                    ));
                }
            }
            ("CREATE", "LOGIN") => self.create_login(session, s)?,
            ("ALTER", "LOGIN") => {
                let n = name(s, 2).ok_or_else(syntax)?;
                let login = self.spec.logins.iter_mut().find(|l| l.name.eq_ignore_ascii_case(&n));
                let login = login.ok_or_else(|| {
                    refuse(
                        15151,
                        1,
                        16,
                        format!(
                            "Cannot alter the login '{n}', because it does not exist or you do not have permission."
                        ),
                    )
                })?;
                login.disabled = match word(s, 3) {
                    "DISABLE" => true,
                    "ENABLE" => false,
                    _ => return Err(syntax()),
                };
                let disabled = i64::from(login.disabled);
                self.update("sys.server_principals", "is_disabled", int(disabled), "name", text(&n));
            }
            ("CREATE", "SERVER") if word(s, 2) == "ROLE" => {
                if self.spec.year < 2012 {
                    return Err(syntax());
                }
                let n = name(s, 3).ok_or_else(syntax)?;
                self.free(&n)?;
                let id = self.next_principal();
                self.principal(&n, id, Sql::Blob(id.to_be_bytes().to_vec()), "R", None);
            }
            ("ALTER", "SERVER") if word(s, 2) == "ROLE" => {
                if self.spec.year < 2012 {
                    return Err(syntax());
                }
                let (role, member) = (name(s, 3).ok_or_else(syntax)?, name(s, 6).ok_or_else(syntax)?);
                let (of, who) = (self.principal_id(&role)?, self.principal_id(&member)?);
                self.add(
                    "sys.server_role_members",
                    &[("role_principal_id", int(of)), ("member_principal_id", int(who))],
                );
                if role.eq_ignore_ascii_case("sysadmin")
                    && let Some(l) = self
                        .spec
                        .logins
                        .iter_mut()
                        .find(|l| l.name.eq_ignore_ascii_case(&member))
                {
                    l.sysadmin = true;
                }
            }
            ("GRANT" | "DENY", _) => {
                if database != "master" {
                    return Err(refuse(
                        4621,
                        10,
                        16,
                        "Permissions at the server scope can only be granted when the current database is master",
                    ));
                }
                let to = s
                    .iter()
                    .position(|p| *p == Part::Word("TO".into()))
                    .ok_or_else(syntax)?;
                let on = s.iter().position(|p| *p == Part::Word("ON".into()));
                let right: Vec<&str> = (1..on.unwrap_or(to)).map(|i| word(s, i)).collect();
                let grantee = self.principal_id(&name(s, to + 1).ok_or_else(syntax)?)?;
                let object = match on {
                    Some(on) => self.principal_id(&name(s, on + 3).ok_or_else(syntax)?)?,
                    None => 0,
                };
                let state = match (word(s, 0), word(s, to + 2)) {
                    ("DENY", _) => "DENY",
                    (_, "WITH") => "GRANT_WITH_GRANT_OPTION",
                    _ => "GRANT",
                };
                self.add(
                    "sys.server_permissions",
                    &[
                        ("class", int(if on.is_some() { 101 } else { 100 })),
                        (
                            "class_desc",
                            text(if on.is_some() { "SERVER_PRINCIPAL" } else { "SERVER" }),
                        ),
                        ("major_id", int(object)),
                        ("minor_id", int(0)),
                        ("grantee_principal_id", int(grantee)),
                        ("permission_name", text(&right.join(" "))),
                        ("state_desc", text(state)),
                    ],
                );
            }
            ("ALTER", "USER") => {
                let (user, login) = (name(s, 2).ok_or_else(syntax)?, name(s, 6).ok_or_else(syntax)?);
                let sid = self.sid_of(&login)?;
                let changed = self.engine.execute(
                    "UPDATE \"sys.database_principals\" SET sid = ?1 WHERE \"#db\" = ?2 AND name = ?3",
                    rusqlite::params![sid, &*database, user],
                );
                if changed.unwrap_or(0) == 0 {
                    return Err(refuse(
                        15151,
                        1,
                        16,
                        format!(
                            "Cannot alter the user '{user}', because it does not exist or you do not have permission."
                        ),
                    ));
                }
            }
            ("ALTER", "AUTHORIZATION") => {
                // ALTER AUTHORIZATION ON DATABASE::name TO login
                let (of, login) = (name(s, 5).ok_or_else(syntax)?, name(s, 7).ok_or_else(syntax)?);
                let found = self
                    .database(&of)
                    .ok_or_else(|| super::statements::no_database(&of))?
                    .to_owned();
                let sid = self.sid_of(&login)?;
                self.update("sys.databases", "owner_sid", sid.clone(), "name", text(&found));
                let _ = self.engine.execute(
                    "UPDATE \"sys.database_principals\" SET sid = ?1 WHERE \"#db\" = ?2 AND name = 'dbo'",
                    rusqlite::params![sid, found],
                );
            }
            ("EXEC", _) => self.call(s)?,
            _ => return Err(syntax()),
        }
        Ok(())
    }

    fn create_login(&mut self, session: &Session, s: &[Part]) -> Result<(), Message> {
        let syntax = || refuse(102, 1, 15, "Incorrect syntax near 'LOGIN'.");
        let n = name(s, 2).ok_or_else(syntax)?;
        self.free(&n)?;
        let managed = self.is_managed();
        if word(s, 3) == "FROM" {
            return match word(s, 4) {
                "EXTERNAL" if !managed => Err(refuse(
                    33134,
                    1,
                    16,
                    format!("Principal '{n}' could not be found or this principal type is not supported."),
                )),
                "EXTERNAL" if !session.federated => Err(refuse(
                    33159,
                    1,
                    16,
                    format!(
                        "Principal '{n}' could not be created. Only connections established with Active Directory accounts can create other Active Directory users."
                    ),
                )),
                "EXTERNAL" => {
                    let id = self.next_principal();
                    let sid = Sql::Blob(format!("entra {n}").into_bytes());
                    self.principal(&n, id, sid, "E", None);
                    self.spec.logins.push(new_login(&n));
                    self.hashes.insert(n.to_lowercase(), vec![]);
                    Ok(())
                }
                _ => Err(refuse(
                    40517,
                    1,
                    16,
                    "Keyword or statement option 'windows' is not supported in this version of SQL Server.",
                )),
            };
        }
        let hashed = match value(s, "PASSWORD") {
            Some(Part::Bytes(b)) if s.contains(&Part::Word("HASHED".into())) => {
                // Version 1 is of 2000 to 2008 R2: SHA-1 twice or once.
                let fits = matches!(
                    (b.first(), b.get(1), b.len()),
                    (Some(2), Some(0), 70) | (Some(1), Some(0), 26 | 46)
                );
                if !fits {
                    return Err(refuse(
                        15021,
                        2,
                        16,
                        "Invalid value given for parameter PASSWORD. Specify a valid parameter value.",
                    ));
                }
                b.clone()
            }
            Some(Part::Text(p)) => hash(p, [1, 2, 3, 4]),
            _ => return Err(syntax()),
        };
        let sid = match value(s, "SID") {
            Some(Part::Bytes(b)) => b.clone(),
            None => format!("{n:16.16}").into_bytes(),
            _ => return Err(syntax()),
        };
        let taken = self.engine.query_row(
            "SELECT COUNT(*) FROM \"sys.server_principals\" WHERE sid = ?1",
            [&sid],
            |r| r.get::<_, i64>(0),
        );
        if taken.unwrap_or(0) > 0 {
            return Err(refuse(15433, 1, 16, "Supplied parameter sid is in use."));
        }
        let default = match value(s, "DEFAULT_DATABASE") {
            Some(Part::Name(d) | Part::Word(d)) => self
                .database(d)
                .ok_or_else(|| super::statements::no_database(d))?
                .to_owned(),
            _ => "master".to_owned(),
        };
        let on = |key: &str, usual: bool| match value(s, key) {
            Some(Part::Word(w)) => w == "ON",
            _ => usual,
        };
        let (policy, expiration) = (on("CHECK_POLICY", true), on("CHECK_EXPIRATION", false));
        let id = self.next_principal();
        self.principal(&n, id, Sql::Blob(sid), "S", Some((&hashed, policy, expiration)));
        self.update(
            "sys.server_principals",
            "default_database_name",
            text(&default),
            "name",
            text(&n),
        );
        self.hashes.insert(n.to_lowercase(), hashed);
        self.spec.logins.push(Login {
            default_database: default,
            ..new_login(&n)
        });
        Ok(())
    }

    /// Takes a name that no principal has.
    fn free(&self, n: &str) -> Result<(), Message> {
        match self.principal_id(n) {
            Ok(_) => Err(refuse(
                15025,
                1,
                16,
                format!("The server principal '{n}' already exists."),
            )),
            Err(_) => Ok(()),
        }
    }

    fn principal_id(&self, n: &str) -> Result<i64, Message> {
        let found = self.engine.query_row(
            "SELECT principal_id FROM \"sys.server_principals\" WHERE name = ?1",
            [n],
            |r| r.get(0),
        );
        found.map_err(|_| {
            refuse(
                15151,
                1,
                16,
                format!("Cannot find the login '{n}', because it does not exist or you do not have permission."),
            )
        })
    }

    fn sid_of(&self, n: &str) -> Result<Sql, Message> {
        let found = self
            .engine
            .query_row("SELECT sid FROM \"sys.server_principals\" WHERE name = ?1", [n], |r| {
                r.get(0)
            });
        found.map_err(|_| {
            refuse(
                15007,
                1,
                16,
                format!("'{n}' is not a valid login or you do not have permission."),
            )
        })
    }

    fn next_principal(&self) -> i64 {
        let last = self
            .engine
            .query_row("SELECT MAX(principal_id) FROM \"sys.server_principals\"", [], |r| {
                r.get::<_, i64>(0)
            });
        last.unwrap_or(0).max(260) + 1
    }

    fn call(&mut self, s: &[Part]) -> Result<(), Message> {
        let of = arguments(s);
        let find = |n: &str| of.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone());
        let word = |n: &str| match find(n) {
            Some(Sql::Text(t)) => t,
            _ => String::new(),
        };
        // What the table has under the parameter's own name.
        let columns = |other: &[(&'static str, Sql)]| -> Vec<(String, Sql)> {
            let given = of.iter().filter(|(k, _)| {
                !matches!(
                    k.as_str(),
                    "job_name" | "name" | "step_name" | "owner_login_name" | "server"
                )
            });
            other
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .chain(given.cloned())
                .collect()
        };
        let job = |me: &Self| -> Result<Sql, Message> {
            let found = me.engine.query_row(
                "SELECT job_id FROM \"msdb.dbo.sysjobs\" WHERE name = ?1",
                [word("job_name")],
                |r| r.get(0),
            );
            found.map_err(|_| {
                refuse(
                    14262,
                    1,
                    16,
                    format!("The specified @job_name ('{}') does not exist.", word("job_name")),
                )
            })
        };
        match procedure(s).as_str() {
            "sp_addlinkedserver" => {
                let n = word("server");
                if self.has("sys.servers", "name", &n) {
                    return Err(refuse(15028, 1, 16, format!("The server '{n}' already exists.")));
                }
                let id = self.count("sys.servers");
                let or = |k: &str, d: &str| Some(word(k)).filter(|w| !w.is_empty()).unwrap_or_else(|| d.to_owned());
                self.add(
                    "sys.servers",
                    &[
                        ("server_id", int(id)),
                        ("name", text(&n)),
                        ("product", text(&word("srvproduct"))),
                        ("provider", text(&or("provider", "SQLNCLI"))),
                        ("data_source", text(&or("datasrc", &n))),
                        ("catalog", find("catalog").unwrap_or(Sql::Null)),
                        ("is_linked", int(1)),
                        ("is_rpc_out_enabled", int(0)),
                    ],
                );
                self.add(
                    "sys.linked_logins",
                    &[
                        ("server_id", int(id)),
                        ("local_principal_id", int(0)),
                        ("uses_self_credential", int(1)),
                    ],
                );
            }
            "sp_serveroption" => {
                let n = word("server");
                if word("optname") == "rpc out" {
                    self.update(
                        "sys.servers",
                        "is_rpc_out_enabled",
                        int(i64::from(word("optvalue") == "true")),
                        "name",
                        text(&n),
                    );
                }
            }
            "sp_add_job" => {
                let n = word("job_name");
                if self.has("msdb.dbo.sysjobs", "name", &n) {
                    return Err(refuse(
                        14261,
                        1,
                        16,
                        format!("The specified @name ('{n}') already exists."),
                    ));
                }
                let owner = match word("owner_login_name") {
                    w if w.is_empty() => Sql::Blob(vec![1]),
                    w => self.sid_of(&w)?,
                };
                let id = crate::world::guid(u64::from(self.spec.year), &n)
                    .to_string()
                    .to_uppercase();
                let all = columns(&[
                    ("job_id", text(&id)),
                    ("name", text(&n)),
                    ("owner_sid", owner),
                    ("start_step_id", int(1)),
                ]);
                self.add("msdb.dbo.sysjobs", &all);
            }
            "sp_add_jobstep" => {
                if self.is_managed() && !matches!(word("subsystem").to_uppercase().as_str(), "TSQL" | "SSIS") {
                    return Err(refuse(
                        14234,
                        1,
                        16,
                        format!("The specified '@subsystem' is invalid ('{}').", word("subsystem")),
                    ));
                }
                let all = columns(&[("job_id", job(self)?), ("step_name", text(&word("step_name")))]);
                self.add("msdb.dbo.sysjobsteps", &all);
            }
            "sp_update_job" => {
                let id = job(self)?;
                self.update(
                    "msdb.dbo.sysjobs",
                    "start_step_id",
                    find("start_step_id").unwrap_or(int(1)),
                    "job_id",
                    id,
                );
            }
            "sp_add_jobschedule" => {
                let id = int(self.count("msdb.dbo.sysschedules") + 1);
                let job = job(self)?;
                let all = columns(&[("schedule_id", id.clone()), ("name", text(&word("name")))]);
                self.add("msdb.dbo.sysschedules", &all);
                self.add("msdb.dbo.sysjobschedules", &[("schedule_id", id), ("job_id", job)]);
            }
            "sp_add_jobserver" => drop(job(self)?),
            other => {
                return Err(refuse(
                    2812,
                    62,
                    16,
                    format!("Could not find stored procedure '{other}'."),
                ));
            }
        }
        Ok(())
    }
}

fn new_login(n: &str) -> Login {
    Login {
        name: n.to_owned(),
        password: String::new(),
        windows: false,
        sysadmin: false,
        disabled: false,
        must_change: false,
        default_database: "master".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_with_their_names_and_texts() {
        let read =
            read("EXEC msdb.dbo.sp_add_job @job_name = N'a;''b]', @enabled = 1; ALTER USER [x]];y] WITH LOGIN = [z]")
                .unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            arguments(&read[0]),
            [("job_name".to_owned(), text("a;'b]")), ("enabled".to_owned(), int(1))]
        );
        assert_eq!(name(&read[1], 2).as_deref(), Some("x];y"));
        assert!(super::read("SELECT 1").is_none() && super::read("BACKUP DATABASE x").is_none());
    }

    #[test]
    fn a_hash_proves_its_password_alone() {
        let hashed = hash("p'ß客", [9, 8, 7, 6]);
        assert_eq!((hashed.len(), &hashed[..6]), (70, &[2, 0, 9, 8, 7, 6][..]));
        assert!(proves(&hashed, "p'ß客") && !proves(&hashed, "p'ß") && !proves(&[], ""));
    }
}
