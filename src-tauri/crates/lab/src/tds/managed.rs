//! The managed instance on the wire: it answers when the resource manager says that there is one, knows its administrator,
//! and its databases are those that a restore has brought online, with what the source held then.

use super::data::{Database, Instance, Scope, Spec, Table, int, sid, text};
use crate::world::World;
use rusqlite::types::Value as Sql;
use std::collections::BTreeSet;

/// Place of the managed instance among the instances.
pub(crate) const PLACE: usize = 1;
/// Password of an administrator whom a diary has brought back: it keeps none, so that any is right.
pub(super) const ANY: &str = "Not-kept-in-the-diary-0";

/// What the wire has to know of the managed instance.
#[derive(Debug, Default)]
pub struct Managed {
    /// Password of its administrator.
    pub password: String,
    /// Table of which a row is lost at the restore; for rehearsals of a proof that fails.
    pub lose_row: Option<String>,
    /// Thumbprints of the certificates that were uploaded to it, upper-case hex. `sys.certificates` does not show them.
    pub certificates: BTreeSet<String>,
    /// The files in which they came, with their passwords. For tests.
    pub uploads: Vec<(String, String)>,
    /// Its databases are restored once more: what was missing is there.
    pub(crate) again: bool,
    /// Batches that a diary has brought back and nobody has carried out yet: login, database, text.
    pub(crate) later: Vec<(String, String, String)>,
}

/// A managed instance without databases.
pub(crate) fn spec() -> Spec {
    Spec {
        computer: "managed-instance".into(),
        year: 2022,
        edition: "SQL Azure",
        logins: vec![],
        databases: vec![],
        jobs: vec![],
        ..Spec::smarthotel(("", ""), ("", ""), 0)
    }
}

/// Brings the instance to where the resource manager sees it. False when there is no managed instance that is ready.
pub(crate) fn follow(world: &mut World) -> bool {
    let Some((login, online)) = crate::arm::sql::serving(world) else {
        return false;
    };
    let password = world.managed.password.clone();
    let lost = world.managed.lose_row.clone();
    let [source, target, ..] = &mut world.onprem.instances[..] else {
        return false;
    };
    match target.spec.logins.iter_mut().find(|l| l.name == login) {
        Some(l) => l.password = password,
        None => target.administrator(&login, &password),
    }
    let again = std::mem::take(&mut world.managed.again);
    let there: Vec<String> = target.spec.databases.iter().map(|d| d.name.clone()).collect();
    for name in there.iter().filter(|n| again || !online.contains(n)) {
        target.forget(name);
    }
    for name in online.iter().filter(|n| again || !there.contains(n)) {
        target.receive(source, name, lost.as_deref());
    }
    for (login, database, batch) in std::mem::take(&mut world.managed.later) {
        let session = super::statements::Session {
            login,
            database,
            sysadmin: true,
            federated: true,
            ..super::statements::Session::default()
        };
        if let Some(target) = world.onprem.instances.get_mut(PLACE) {
            target.administer(&session, &batch);
        }
    }
    true
}

impl Instance {
    fn administrator(&mut self, name: &str, password: &str) {
        let id = 259;
        let hashed = super::security::hash(password, [1, 2, 3, 4]);
        self.principal(
            name,
            id,
            sid(&format!("{name} of the managed instance")),
            "S",
            Some((&hashed, true, false)),
        );
        self.add(
            "sys.server_role_members",
            &[("role_principal_id", int(3)), ("member_principal_id", int(id))],
        );
        self.spec.logins.push(super::data::Login {
            name: name.to_owned(),
            password: password.to_owned(),
            windows: false,
            sysadmin: true,
            disabled: false,
            must_change: false,
            default_database: "master".into(),
        });
    }

    /// Takes a database over as it is on the source.
    fn receive(&mut self, source: &Instance, name: &str, lost: Option<&str>) {
        let of = source.spec.databases.iter().find(|d| d.name.eq_ignore_ascii_case(name));
        let database = Database {
            name: name.to_owned(),
            state: "ONLINE",
            owner: "sa",
            ..of.cloned().unwrap_or_default()
        };
        let id = self.count("sys.databases") + 1;
        self.databases.insert(name.to_lowercase(), name.to_owned());
        self.add(
            "sys.databases",
            &[
                ("name", text(name)),
                ("database_id", int(id)),
                ("owner_sid", sid("sa")),
                ("compatibility_level", int(i64::from(database.compatibility))),
                ("collation_name", text(database.collation)),
                ("is_read_only", int(0)),
                ("state", int(0)),
                ("state_desc", text("ONLINE")),
                ("recovery_model", int(1)),
                ("recovery_model_desc", text("FULL")),
                ("is_encrypted", int(1)),
                ("containment", int(i64::from(database.contained))),
            ],
        );
        self.spec.databases.push(database);
        for view in [
            "sys.database_principals",
            "sys.filegroups",
            "sys.sql_modules",
            "sys.sql_expression_dependencies",
        ] {
            self.copy_rows(source, view, name);
        }
        let start = format!("{}.", name.to_lowercase());
        let tables: Vec<(String, Table)> = source
            .tables
            .iter()
            .filter(|(key, t)| key.starts_with(&start) && t.scope == Scope::Server)
            .map(|(k, t)| (k.clone(), t.clone()))
            .collect();
        for (key, table) in tables {
            self.copy_table(source, &table.source);
            if lost.is_some_and(|l| key == format!("{start}{}", l.to_lowercase())) {
                let q = table.source.replace('"', "\"\"");
                let _ = self.engine.execute_batch(&format!(
                    "DELETE FROM \"{q}\" WHERE rowid = (SELECT MAX(rowid) FROM \"{q}\")"
                ));
            }
            self.tables.insert(key, table);
        }
        if let Err(e) = self.catalogs() {
            tracing::warn!(error = %e, "the lab's managed instance has no catalogue");
        }
    }

    fn copy_rows(&mut self, source: &Instance, view: &str, database: &str) {
        let columns: Vec<String> = source.columns(view).to_vec();
        let list = columns.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(",");
        let sql = format!("SELECT {list} FROM \"{view}\" WHERE \"#db\" = ?1");
        let rows = read(source, &sql, [database].as_slice(), columns.len());
        for row in rows {
            let mut values = vec![("#db".to_owned(), text(database))];
            values.extend(columns.iter().cloned().zip(row));
            self.add(view, &values);
        }
    }

    fn copy_table(&mut self, source: &Instance, table: &str) {
        let made = source.engine.query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?1",
            [table],
            |r| r.get::<_, String>(0),
        );
        let q = table.replace('"', "\"\"");
        let Ok(made) = made else { return };
        let _ = self
            .engine
            .execute_batch(&format!("DROP TABLE IF EXISTS \"{q}\"; {made}"));
        let width = source.columns(table).len();
        let marks = vec!["?"; width].join(",");
        for row in read(source, &format!("SELECT * FROM \"{q}\""), &[], width) {
            let _ = self.engine.execute(
                &format!("INSERT INTO \"{q}\" VALUES ({marks})"),
                rusqlite::params_from_iter(row),
            );
        }
    }

    /// The database was deleted.
    fn forget(&mut self, name: &str) {
        self.spec.databases.retain(|d| d.name != name);
        self.databases.remove(&name.to_lowercase());
        let start = format!("{}.", name.to_lowercase());
        self.tables.retain(|key, _| !key.starts_with(&start));
        let _ = self
            .engine
            .execute("DELETE FROM \"sys.databases\" WHERE name = ?1", [name]);
        for view in [
            "sys.database_principals",
            "sys.filegroups",
            "sys.sql_modules",
            "sys.sql_expression_dependencies",
        ] {
            let _ = self
                .engine
                .execute(&format!("DELETE FROM \"{view}\" WHERE \"#db\" = ?1"), [name]);
        }
        let _ = self.catalogs();
    }
}

fn read(from: &Instance, sql: &str, parameters: &[&str], width: usize) -> Vec<Vec<Sql>> {
    let read = || -> rusqlite::Result<Vec<Vec<Sql>>> {
        let mut prepared = from.engine.prepare(sql)?;
        let rows = prepared.query_map(rusqlite::params_from_iter(parameters), |r| {
            (0..width).map(|i| r.get(i)).collect()
        })?;
        rows.collect()
    };
    read().unwrap_or_default()
}
