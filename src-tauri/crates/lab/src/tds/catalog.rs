//! Views that tell of logins, jobs, and what databases hold, so that they follow what is changed: what `security` writes and
//! what a restore brings is seen in them at once.

use super::data::{Col, Instance, Scope, Table, int, sid, text};
use rusqlite::{
    functions::{Aggregate, Context},
    types::Value as Sql,
};

/// `CHECKSUM_AGG`: two equal values cancel each other out, there as here.
pub(super) struct Xor;

impl Aggregate<Option<i64>, Option<i64>> for Xor {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<i64>> {
        Ok(None)
    }

    fn step(&self, c: &mut Context<'_>, sum: &mut Option<i64>) -> rusqlite::Result<()> {
        *sum = Some(sum.unwrap_or(0) ^ c.get::<i64>(0)?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Option<i64>>) -> rusqlite::Result<Option<i64>> {
        Ok(sum.flatten())
    }
}

const SMALL: &str = "int";

/// Fixed server roles of every version, by their ids.
const ROLES: [(&str, i64); 8] = [
    ("sysadmin", 3),
    ("securityadmin", 4),
    ("serveradmin", 5),
    ("setupadmin", 6),
    ("processadmin", 7),
    ("diskadmin", 8),
    ("dbcreator", 9),
    ("bulkadmin", 10),
];

impl Instance {
    /// Adds a row; columns that this version lacks are left out.
    pub(super) fn add<N: AsRef<str>>(&mut self, table: &str, values: &[(N, Sql)]) {
        let have = |n: &str| {
            let known = self.columns(table).iter().any(|c| c.eq_ignore_ascii_case(n));
            known || n == "#db"
        };
        let kept: Vec<&(N, Sql)> = values.iter().filter(|(n, _)| have(n.as_ref())).collect();
        let names: Vec<String> = kept.iter().map(|(n, _)| format!("\"{}\"", n.as_ref())).collect();
        let marks = vec!["?"; kept.len()].join(",");
        let sql = format!("INSERT INTO \"{table}\" ({}) VALUES ({marks})", names.join(","));
        if let Err(e) = self
            .engine
            .execute(&sql, rusqlite::params_from_iter(kept.iter().map(|(_, v)| v)))
        {
            tracing::warn!(error = %e, table, "the lab's SQL Server lost a row");
        }
    }

    pub(super) fn update(&mut self, table: &str, column: &str, to: Sql, key: &str, is: Sql) {
        let sql = format!("UPDATE \"{table}\" SET \"{column}\" = ?1 WHERE \"{key}\" = ?2");
        if let Err(e) = self.engine.execute(&sql, rusqlite::params![to, is]) {
            tracing::warn!(error = %e, table, "the lab's SQL Server lost a change");
        }
    }

    pub(super) fn has(&self, table: &str, column: &str, value: &str) -> bool {
        let sql = format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"{column}\" = ?1");
        self.engine
            .query_row(&sql, [value], |r| r.get::<_, i64>(0))
            .unwrap_or(0)
            > 0
    }

    pub(super) fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM \"{table}\"");
        self.engine.query_row(&sql, [], |r| r.get(0)).unwrap_or(0)
    }

    /// Whether a login has a user in the database: one with its id.
    pub(super) fn mapped(&self, database: &str, login: &str) -> bool {
        let sql = "SELECT COUNT(*) FROM \"sys.database_principals\" AS u JOIN \"sys.server_principals\" AS l ON l.sid = u.sid \
                   WHERE u.\"#db\" = ?1 AND l.name = ?2";
        self.engine
            .query_row(sql, [database, login], |r| r.get::<_, i64>(0))
            .unwrap_or(0)
            > 0
    }

    /// Adds a principal of the server; a SQL login comes with hash, policy and expiration.
    pub(super) fn principal(&mut self, name: &str, id: i64, sid: Sql, kind: &str, login: Option<(&[u8], bool, bool)>) {
        let words = match kind {
            "S" => "SQL_LOGIN",
            "U" => "WINDOWS_LOGIN",
            "E" => "EXTERNAL_LOGIN",
            _ => "SERVER_ROLE",
        };
        let fixed = ROLES.iter().any(|(r, _)| *r == name);
        let own = |v: Sql| if kind == "R" { Sql::Null } else { v };
        self.add(
            "sys.server_principals",
            &[
                ("name", text(name)),
                ("principal_id", int(id)),
                ("sid", sid),
                ("type", text(kind)),
                ("type_desc", text(words)),
                ("is_disabled", int(0)),
                ("default_database_name", own(text("master"))),
                ("default_language_name", own(text("us_english"))),
                ("is_fixed_role", int(i64::from(fixed))),
            ],
        );
        if let Some((hash, policy, expiration)) = login {
            let values = rusqlite::params![name, hash, i64::from(policy), i64::from(expiration)];
            let _ = self
                .engine
                .execute("INSERT INTO \"#hashes\" VALUES (?1, ?2, ?3, ?4)", values);
        }
        if kind != "R" {
            self.add(
                "sys.server_permissions",
                &[
                    ("class", int(100)),
                    ("class_desc", text("SERVER")),
                    ("major_id", int(0)),
                    ("minor_id", int(0)),
                    ("grantee_principal_id", int(id)),
                    ("permission_name", text("CONNECT SQL")),
                    ("state_desc", text("GRANT")),
                ],
            );
        }
    }

    /// Makes a view by a query.
    fn view(&mut self, name: &str, scope: Scope, columns: &[&str], query: &str) -> rusqlite::Result<()> {
        let quoted = name.replace('"', "\"\"");
        self.engine.execute_batch(&format!(
            "DROP VIEW IF EXISTS \"{quoted}\"; CREATE VIEW \"{quoted}\" AS {query}"
        ))?;
        let table = Table {
            source: name.to_owned(),
            scope,
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        };
        self.tables.insert(name.to_lowercase(), table);
        Ok(())
    }

    /// Logins, roles and rights.
    pub(super) fn security_views(&mut self) -> rusqlite::Result<()> {
        use Scope::Server;
        self.make(
            "sys.server_principals",
            Server,
            &[
                ("name", "sysname", 0),
                ("principal_id", "int", 0),
                ("sid", "varbinary(85)", 0),
                ("type", "char(1)", 0),
                ("type_desc", "nvarchar(60)", 0),
                ("is_disabled", "bit", 0),
                ("default_database_name", "sysname", 0),
                ("default_language_name", "sysname", 0),
                ("is_fixed_role", "bit", 2012),
            ],
            vec![],
        )?;
        self.make(
            "sys.server_permissions",
            Server,
            &[
                ("class", "tinyint", 0),
                ("class_desc", "nvarchar(60)", 0),
                ("major_id", "int", 0),
                ("minor_id", "int", 0),
                ("grantee_principal_id", "int", 0),
                ("permission_name", "nvarchar(128)", 0),
                ("state_desc", "nvarchar(60)", 0),
            ],
            vec![],
        )?;
        self.engine.execute_batch(
            "CREATE TABLE \"#hashes\" (name TEXT COLLATE NOCASE, hash BLOB, policy bit, expiration bit)",
        )?;
        // Only administrators see the hashes.
        self.view(
            "sys.sql_logins",
            Server,
            &[
                "name",
                "principal_id",
                "sid",
                "type",
                "type_desc",
                "is_disabled",
                "default_database_name",
                "is_policy_checked",
                "is_expiration_checked",
                "password_hash",
            ],
            "SELECT p.name, p.principal_id, p.sid, p.type, p.type_desc, p.is_disabled, p.default_database_name, \
             h.policy AS is_policy_checked, h.expiration AS is_expiration_checked, \
             CASE WHEN is_srvrolemember('sysadmin') = 1 THEN h.hash END AS password_hash \
             FROM \"sys.server_principals\" AS p JOIN \"#hashes\" AS h ON h.name = p.name",
        )?;
        let spec = self.spec.clone();
        self.principal("sa", 1, Sql::Blob(vec![1]), "S", Some((&[], true, false)));
        self.update("sys.server_principals", "is_disabled", int(1), "name", text("sa"));
        for (role, id) in ROLES {
            self.principal(role, id, Sql::Blob(vec![id as u8]), "R", None);
        }
        let mut members = vec![];
        for (l, id) in spec.logins.iter().zip(260..) {
            let salt = [id as u8, 2, 3, 4];
            let hashed = super::security::hash(&l.password, salt);
            let login = (!l.windows).then_some((hashed.as_slice(), true, false));
            self.principal(&l.name, id, sid(&l.name), if l.windows { "U" } else { "S" }, login);
            self.update(
                "sys.server_principals",
                "is_disabled",
                int(i64::from(l.disabled)),
                "name",
                text(&l.name),
            );
            self.update(
                "sys.server_principals",
                "default_database_name",
                text(&l.default_database),
                "name",
                text(&l.name),
            );
            if l.sysadmin {
                members.push(vec![int(3), int(id)]);
            }
        }
        self.make(
            "sys.server_role_members",
            Server,
            &[("role_principal_id", "int", 0), ("member_principal_id", "int", 0)],
            members,
        )
    }

    /// Agent jobs. The one with a backup writes to the server's own disk.
    pub(super) fn job_views(&mut self) -> rusqlite::Result<()> {
        use Scope::Server;
        let id = |year: u16, n: &str| crate::world::guid(u64::from(year), n).to_string().to_uppercase();
        let jobs: Vec<(String, &str)> = self.spec.jobs.iter().map(|n| (id(self.spec.year, n), *n)).collect();
        let rows = jobs
            .iter()
            .map(|(id, n)| vec![text(id), text(n), int(1), Sql::Blob(vec![1]), Sql::Null, int(1)])
            .collect();
        self.make(
            "msdb.dbo.sysjobs",
            Server,
            &[
                ("job_id", "uniqueidentifier", 0),
                ("name", "sysname", 0),
                ("enabled", "tinyint", 0),
                ("owner_sid", "varbinary(85)", 0),
                ("description", "nvarchar(512)", 0),
                ("start_step_id", "int", 0),
            ],
            rows,
        )?;
        let command = |n: &str| {
            if n.contains("backup") {
                r"BACKUP DATABASE [SmartHotelDB] TO DISK = N'C:\SQLBackup\SmartHotelDB.bak' WITH CHECKSUM"
            } else {
                "EXEC dbo.RefreshPrices"
            }
        };
        let steps = jobs
            .iter()
            .map(|(id, n)| {
                let numbers = [1, 0, 2, 0, 1, 5].map(int);
                [
                    text(id),
                    int(1),
                    text(n),
                    text("TSQL"),
                    text(command(n)),
                    text("SmartHotelDB"),
                    Sql::Null,
                ]
                .into_iter()
                .chain(numbers)
                .collect()
            })
            .collect();
        self.make(
            "msdb.dbo.sysjobsteps",
            Server,
            &[
                ("job_id", "uniqueidentifier", 0),
                ("step_id", "int", 0),
                ("step_name", "sysname", 0),
                ("subsystem", "nvarchar(40)", 0),
                ("command", "nvarchar(max)", 0),
                ("database_name", "sysname", 0),
                ("proxy_id", "int", 0),
                ("on_success_action", "tinyint", 0),
                ("on_success_step_id", "int", 0),
                ("on_fail_action", "tinyint", 0),
                ("on_fail_step_id", "int", 0),
                ("retry_attempts", "int", 0),
                ("retry_interval", "int", 0),
            ],
            steps,
        )?;
        let numbers = [1, 4, 1, 1, 0, 0, 0, 20_180_528, 99_991_231, 20_000, 235_959].map(int);
        let schedules = jobs
            .iter()
            .zip(1..)
            .map(|(_, id)| {
                [int(id), text("Every night")]
                    .into_iter()
                    .chain(numbers.clone())
                    .collect()
            })
            .collect();
        let columns: Vec<Col> = [("schedule_id", "int", 0), ("name", "sysname", 0)]
            .into_iter()
            .chain(
                [
                    "enabled",
                    "freq_type",
                    "freq_interval",
                    "freq_subday_type",
                    "freq_subday_interval",
                    "freq_relative_interval",
                    "freq_recurrence_factor",
                    "active_start_date",
                    "active_end_date",
                    "active_start_time",
                    "active_end_time",
                ]
                .map(|c| (c, SMALL, 0)),
            )
            .collect();
        self.make("msdb.dbo.sysschedules", Server, &columns, schedules)?;
        let of = jobs
            .iter()
            .zip(1..)
            .map(|((job, _), id)| vec![int(id), text(job)])
            .collect();
        self.make(
            "msdb.dbo.sysjobschedules",
            Server,
            &[("schedule_id", "int", 0), ("job_id", "uniqueidentifier", 0)],
            of,
        )
    }

    /// Schema and name of a database's own tables, with what SQLite calls them.
    fn tables_of(&self, database: &str) -> Vec<(String, String, String)> {
        let start = format!("{database}.");
        let own = self
            .tables
            .values()
            .filter(|_| !super::data::SYSTEM.contains(&database));
        own.filter_map(|t| {
            let rest = t.source.strip_prefix(&start)?;
            let (schema, name) = rest.split_once('.')?;
            Some((schema.to_owned(), name.to_owned(), t.source.clone()))
        })
        .collect()
    }

    /// What databases hold: their schemas and objects, and how many rows. To be made again when a table came or went.
    pub(super) fn catalogs(&mut self) -> rusqlite::Result<()> {
        use Scope::Database;
        for table in ["sys.schemas", "sys.objects"] {
            self.engine
                .execute_batch(&format!("DROP TABLE IF EXISTS \"{table}\""))?;
        }
        let (mut schemas, mut objects, mut partitions) = (vec![], vec![], vec![]);
        let databases: Vec<String> = self.databases.values().cloned().collect();
        for d in &databases {
            let tables = self.tables_of(d);
            let mut names: Vec<&str> = tables.iter().map(|t| t.0.as_str()).filter(|s| *s != "dbo").collect();
            names.sort_unstable();
            names.dedup();
            names.insert(0, "dbo");
            schemas.extend(names.iter().zip(1..).map(|(n, id)| vec![text(d), text(n), int(id)]));
            for ((schema, name, source), id) in tables.iter().zip(1000..) {
                let schema = names.iter().position(|n| n == schema).map_or(1, |i| i as i64 + 1);
                objects.push(vec![
                    text(d),
                    text(name),
                    int(id),
                    int(schema),
                    text("U"),
                    text("USER_TABLE"),
                    int(0),
                ]);
                let quoted = |t: &str| t.replace('\'', "''");
                partitions.push(format!(
                    "SELECT '{}' AS \"#db\", {id} AS object_id, 1 AS index_id, (SELECT COUNT(*) FROM \"{}\") AS rows",
                    quoted(d),
                    source.replace('"', "\"\"")
                ));
            }
            let procedure = self
                .spec
                .databases
                .iter()
                .any(|s| s.name == *d && s.procedure.is_some());
            if procedure {
                objects.push(vec![
                    text(d),
                    text("Procedure1"),
                    int(90),
                    int(1),
                    text("P"),
                    text("SQL_STORED_PROCEDURE"),
                    int(0),
                ]);
            }
            objects.push(vec![
                text(d),
                text("sysallocunits"),
                int(7),
                int(4),
                text("S"),
                text("SYSTEM_TABLE"),
                int(1),
            ]);
        }
        self.make(
            "sys.schemas",
            Database,
            &[("name", "sysname", 0), ("schema_id", "int", 0)],
            schemas,
        )?;
        self.make(
            "sys.objects",
            Database,
            &[
                ("name", "sysname", 0),
                ("object_id", "int", 0),
                ("schema_id", "int", 0),
                ("type", "char(2)", 0),
                ("type_desc", "nvarchar(60)", 0),
                ("is_ms_shipped", "bit", 0),
            ],
            objects,
        )?;
        // No database has a table: there is nothing to count.
        let nothing = "SELECT NULL AS \"#db\", 0 AS object_id, 0 AS index_id, 0 AS rows WHERE 0".to_owned();
        let all = if partitions.is_empty() {
            nothing
        } else {
            partitions.join(" UNION ALL ")
        };
        self.view("sys.partitions", Database, &["object_id", "index_id", "rows"], &all)
    }
}
