//! What stands around a database on its instance and does not move with it, and the proof that the database arrived. Nouns
//! only; the crate `sqlserver` reads, writes and measures.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is moved around the databases, in the order in which it must be made: linked servers, jobs and rights name logins,
/// and users are mapped to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum AroundKind {
    Logins,
    /// Server roles with their members, and rights on the server.
    Roles,
    /// Their secrets can't be read: they are only ever listed.
    Credentials,
    /// Without the passwords of remote logins, which can't be read.
    LinkedServers,
    /// Users of the database mapped to their logins, and its owner.
    Users,
    /// Last, because they write.
    Jobs,
}

impl AroundKind {
    pub const ALL: [Self; 6] = [
        Self::Logins,
        Self::Roles,
        Self::Credentials,
        Self::LinkedServers,
        Self::Users,
        Self::Jobs,
    ];

    /// As a part of an address or id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Logins => "logins",
            Self::Roles => "roles",
            Self::Credentials => "credentials",
            Self::LinkedServers => "linked-servers",
            Self::Jobs => "jobs",
            Self::Users => "users",
        }
    }

    /// For a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Logins => "logins",
            Self::Roles => "server roles and rights",
            Self::Credentials => "credentials",
            Self::LinkedServers => "linked servers",
            Self::Jobs => "agent jobs",
            Self::Users => "users and owner of the database",
        }
    }
}

/// What of the instance is moved beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct AroundDesign {
    pub kinds: Vec<AroundKind>,
    /// Ids of objects that are left out, `logins/svc-old`.
    pub leave_out: Vec<String>,
    /// Domain of Windows accounts by the name of it in Entra, `CONTOSO` = `contoso.com`: their logins become Entra logins.
    /// Without it they are listed.
    pub domains: BTreeMap<String, String>,
}

impl Default for AroundDesign {
    fn default() -> Self {
        Self {
            kinds: AroundKind::ALL.to_vec(),
            leave_out: vec![],
            domains: BTreeMap::new(),
        }
    }
}

/// One object as the admin sees it. Password hashes in its statement are taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct AroundObject {
    /// `logins/smarthotel`
    pub id: String,
    pub kind: AroundKind,
    pub name: String,
    /// Whether it is made; false = left out by choice.
    pub chosen: bool,
    /// It is on the managed instance already, as it must be.
    pub there: bool,
    /// What is run, or what a person runs where `why_not` says so; empty = nothing.
    pub statement: String,
    /// Why Rehost does not move it; none = it does.
    pub why_not: Option<String>,
    /// What is worth knowing of it.
    pub remarks: Vec<String>,
}

/// How a table's rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum RowCount {
    /// `COUNT_BIG(*)`: reads every table, so that it takes its time, and is exact.
    #[default]
    Counted,
    /// `sys.partitions`: at once; documented as approximate, and restored with the database, so that it proves less.
    Metadata,
}

/// How it is proved that the database arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct ProveDesign {
    pub rows: RowCount,
    /// Tables whose contents are compared by checksum, `dbo.Hotels`; of several databases in each that has them.
    pub checksums: Vec<String>,
    /// `DBCC CHECKDB` on the managed instance.
    pub checkdb: bool,
}

/// Start of the name of the fact under which the source's [`Measure`] of a database is kept.
pub const MEASURE_FACT: &str = "database.measure.";
/// Start of the name of the fact under which the [`Proof`] of a database is kept.
pub const PROOF_FACT: &str = "database.proof.";

/// What a checksum can and can't say.
pub const CHECKSUM_LIMITS: &str = "Checksums are CHECKSUM_AGG(BINARY_CHECKSUM(*)): different ones prove that the contents differ, equal ones make it very likely that they don't. Columns of the types text, ntext, image and xml are not part of them, and two equal rows cancel each other out.";

/// A database as it was measured at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measure {
    /// The server as it names itself.
    pub server: String,
    /// Rows by table, `dbo.Hotels`.
    pub rows: BTreeMap<String, i64>,
    /// Checksums by table; none = there is no such table, or no column of which one can be computed.
    pub checksums: BTreeMap<String, Option<i64>>,
    /// How many objects of each type, `USER_TABLE`.
    pub objects: BTreeMap<String, i64>,
}

/// One line of the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ProofRow {
    /// `dbo.Hotels` or `USER_TABLE`.
    pub name: String,
    /// `rows`, `checksum` or `objects`.
    pub what: String,
    pub before: String,
    pub after: String,
    pub equal: bool,
}

/// Source and target, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Proof {
    pub database: String,
    pub source: String,
    pub target: String,
    /// What differs first.
    pub rows: Vec<ProofRow>,
    /// What else was proved: `DBCC CHECKDB`, sign-ins, users.
    pub also: Vec<String>,
    /// What it can't say.
    pub limits: Vec<String>,
}

impl Proof {
    /// Compares two measures. What only one of them has differs.
    pub fn of(database: &str, before: &Measure, after: &Measure) -> Proof {
        let mut rows = vec![];
        let number = |n: Option<&i64>| n.map_or_else(|| "none".to_owned(), ToString::to_string);
        let mut compare = |what: &str, a: &BTreeMap<String, i64>, b: &BTreeMap<String, i64>| {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            rows.extend(names.into_iter().map(|name| ProofRow {
                name: name.clone(),
                what: what.to_owned(),
                before: number(a.get(name)),
                after: number(b.get(name)),
                equal: a.get(name) == b.get(name),
            }));
        };
        compare("rows", &before.rows, &after.rows);
        let known = |m: &Measure| -> BTreeMap<String, i64> {
            let all = m.checksums.iter();
            all.filter_map(|(t, c)| Some((t.clone(), (*c)?))).collect()
        };
        compare("checksum", &known(before), &known(after));
        compare("objects", &before.objects, &after.objects);
        rows.sort_by_key(|r| r.equal);
        let mut limits = vec![];
        if !before.checksums.is_empty() {
            limits.push(CHECKSUM_LIMITS.to_owned());
        }
        let without = before.checksums.iter().filter(|(_, c)| c.is_none());
        limits.extend(without.map(|(t, _)| {
            format!("{t} has no checksum: there is no such table, or no column of which one can be computed.")
        }));
        Proof {
            database: database.to_owned(),
            source: before.server.clone(),
            target: after.server.clone(),
            rows,
            also: vec![],
            limits,
        }
    }

    /// What differs, `dbo.Bookings: 40 rows before, 39 after`.
    pub fn differences(&self) -> Vec<String> {
        let differ = self.rows.iter().filter(|r| !r.equal);
        differ
            .map(|r| match r.what.as_str() {
                "checksum" => format!(
                    "{}: the contents differ (checksum {} before, {} after)",
                    r.name, r.before, r.after
                ),
                what => format!("{}: {} {what} before, {} after", r.name, r.before, r.after),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_table_and_a_checksum_that_differ_are_named_first() {
        let measure = |bookings: i64, sum: i64| Measure {
            rows: [("dbo.Bookings".to_owned(), bookings), ("dbo.Hotels".to_owned(), 3)].into(),
            checksums: [("dbo.Hotels".to_owned(), Some(sum)), ("dbo.Pictures".to_owned(), None)].into(),
            ..Measure::default()
        };
        let equal = Proof::of("db", &measure(40, 7), &measure(40, 7));
        assert!(equal.differences().is_empty() && equal.rows.iter().all(|r| r.equal));
        assert_eq!(equal.limits.len(), 2);
        let mut after = measure(39, 8);
        after.rows.remove("dbo.Hotels");
        after.rows.insert("dbo.New".into(), 1);
        let differ = Proof::of("db", &measure(40, 7), &after);
        assert_eq!(
            differ.differences(),
            [
                "dbo.Bookings: 40 rows before, 39 after",
                "dbo.Hotels: 3 rows before, none after",
                "dbo.New: none rows before, 1 after",
                "dbo.Hotels: the contents differ (checksum 7 before, 8 after)",
            ]
        );
        assert!(!differ.rows[0].equal);
    }
}
