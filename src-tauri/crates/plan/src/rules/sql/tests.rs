use super::{super::CURRENT, *};
use crate::sql::{
    SqlBackup, SqlBackupKind, SqlBackups, SqlCertificate, SqlDatabaseDetails, SqlJob, SqlLinkedServer, SqlUnread,
    SqlUse, SqlUser,
};
use std::collections::BTreeSet;

/// Everything that a rule may look at.
struct Fixture {
    instance: SqlInstance,
    database: SqlDatabase,
    other: SqlDatabase,
    target: SqlTarget,
    way: SqlWay,
    method: DatabaseMethod,
    name: &'static str,
}

fn backup(kind: SqlBackupKind, first: u64, last: u64) -> SqlBackup {
    SqlBackup {
        kind,
        finished: "2026-11-21T13:00:00".into(),
        first: first.to_string(),
        last: last.to_string(),
        checksum: true,
        damaged: false,
        bytes: 1 << 30,
    }
}

/// Everything known, and nothing to be said of it.
fn good() -> Fixture {
    let database = |id, name: &str| SqlDatabase {
        id,
        name: name.into(),
        state: "ONLINE".into(),
        recovery: "FULL".into(),
        compatibility: 130,
        data_bytes: 4 << 30,
        log_bytes: 1 << 30,
        encrypted: Some(true),
        certificate: Some("AB12".into()),
        contained: Some(false),
        backups: SqlBackups {
            known: true,
            full: Some(backup(SqlBackupKind::Full, 10, 20)),
            after: vec![
                backup(SqlBackupKind::Log, 10, 30),
                backup(SqlBackupKind::Differential, 31, 32),
                backup(SqlBackupKind::Log, 30, 40),
            ],
        },
        details: Some(SqlDatabaseDetails {
            users: vec![SqlUser {
                name: "smarthotel".into(),
                kind: "SQL_USER".into(),
                sid: "01".into(),
                login: Some("smarthotel".into()),
                own_password: false,
            }],
            uses: vec![SqlUse {
                server: None,
                database: "Prices".into(),
            }],
            ..SqlDatabaseDetails::default()
        }),
        ..SqlDatabase::default()
    };
    Fixture {
        instance: SqlInstance {
            name: "SQLVM".into(),
            version: "13.0.6300.2".into(),
            edition: "Standard Edition (64-bit)".into(),
            login: "svc-dms".into(),
            sysadmin: Some(true),
            certificates: vec![SqlCertificate {
                name: "Hotel".into(),
                thumbprint: "AB12".into(),
                expires: None,
                key: Some("MK".into()),
                key_backed_up: Some("2026-01-01T00:00:00".into()),
            }],
            ..SqlInstance::default()
        },
        database: database(5, "Smart]Hotel"),
        other: database(6, "Prices"),
        target: SqlTarget {
            storage: Some(32 << 30),
            databases: Some(vec!["Billing".into()]),
            certificates: Some(vec!["ab12".into()]),
            contained: Some(false),
            newest: Some(16),
            ..SqlTarget::default()
        },
        way: SqlWay {
            backups: BackupSource::Share,
            existing: true,
            files: Some(vec![
                SqlFile {
                    path: "hotel/full.bak".into(),
                    database: "Smart]Hotel".into(),
                },
                SqlFile {
                    path: "prices/full.bak".into(),
                    database: "Prices".into(),
                },
            ]),
            sas: Some("rl".into()),
            firewall: Some(String::new()),
            share_reachable: Some(true),
            share_writable: Some(true),
            port_445: Some(true),
            port_1433: Some(true),
            certificate: false,
            tcp: Some(true),
        },
        method: DatabaseMethod::DmsOnline,
        name: "SmartHotelDB",
    }
}

impl Fixture {
    fn judged(&self) -> Vec<Finding> {
        CURRENT.judge_sql(&SqlCase {
            instance: &self.instance,
            target: &self.target,
            way: &self.way,
            method: self.method,
            databases: &[(&self.database, self.name), (&self.other, "Prices")],
        })
    }

    fn details(&mut self) -> &mut SqlDatabaseDetails {
        self.database.details.as_mut().unwrap()
    }

    fn finding(&self, rule: &str) -> Option<Finding> {
        self.judged().into_iter().find(|f| f.rule == rule)
    }
}

fn login(kind: &str, name: &str) -> SqlLogin {
    SqlLogin {
        name: name.into(),
        kind: kind.into(),
        sid: "02".into(),
        disabled: false,
        default_database: None,
    }
}

fn unread(reason: SqlUnreadReason) -> SqlUnread {
    SqlUnread {
        what: "sys.databases.containment_desc".into(),
        database: String::new(),
        reason,
        detail: String::new(),
    }
}

type Change = fn(&mut Fixture);

/// A rule, how the good fixture is changed so that it still passes, and so that it fails.
#[rustfmt::skip]
const ROWS: &[(&str, Change, Change)] = &[
    ("sql-tcp", |f| f.way.tcp = None, |f| f.way.tcp = Some(false)),
    ("sql-port-1433", |f| f.way.port_1433 = None, |f| f.way.port_1433 = Some(false)),
    ("sql-port-445", |f| { f.way.backups = BackupSource::Blob; f.way.port_445 = Some(false) }, |f| f.way.port_445 = Some(false)),
    ("sql-share", |f| { f.way.port_445 = Some(false); f.way.share_reachable = Some(false) }, |f| f.way.share_reachable = Some(false)),
    ("sql-share-write", |f| f.way.share_writable = None, |f| f.way.share_writable = Some(false)),
    ("sql-firewall", |f| f.way.firewall = None, |f| f.way.firewall = Some("It admits no network".into())),
    ("sql-sas", |f| { f.method = DatabaseMethod::LogReplay; f.way.sas = Some("lr".into()) }, |f| { f.method = DatabaseMethod::LogReplay; f.way.sas = Some("rwl".into()) }),
    ("sql-folder", |f| f.way.files = None, |f| f.way.files.as_mut().unwrap()[1].path = "hotel/prices.bak".into()),
    ("sql-newer", |f| f.instance.version = "16.0.4085.2".into(), |f| f.instance.version = "17.0.1000.7".into()),
    ("sql-newer-later", |f| f.target.newest = None, |f| { f.target.newest = None; f.instance.version = "17.0.1000.7".into() }),
    ("sql-older", |f| f.instance.version = "10.0.6000.29".into(), |f| f.instance.version = "9.0.5000.0".into()),
    ("sql-to-url", |f| f.instance.version = "13.0.1601.5".into(), |f| f.instance.version = "12.0.6024.0".into()),
    ("sql-sysadmin", |f| f.instance.sysadmin = None, |f| f.instance.sysadmin = Some(false)),
    ("sql-storage", |f| f.target.used = 22 << 30, |f| f.target.used = 23 << 30),
    ("sql-count", |f| f.target.databases = Some(vec!["x".into(); 98]), |f| f.target.databases = Some(vec!["x".into(); 99])),
    ("sql-windows-logins", |f| f.instance.logins = vec![login("SQL_LOGIN", "a"), login("WINDOWS_LOGIN", r"NT SERVICE\x")], |f| f.instance.logins = vec![login("WINDOWS_GROUP", r"CONTOSO\Web")]),
    ("sql-jobs", |_| {}, |f| f.instance.jobs = vec![SqlJob { name: "Nightly".into(), enabled: true, subsystems: vec![], databases: vec![] }]),
    ("sql-linked", |_| {}, |f| f.instance.linked_servers = vec![SqlLinkedServer { name: "ERP".into(), product: None, source: None }]),
    ("sql-credentials", |_| {}, |f| f.instance.credentials = vec!["Share".into()]),
    ("sql-denied", |f| f.instance.unread = vec![unread(SqlUnreadReason::Version)], |f| f.instance.unread = vec![unread(SqlUnreadReason::Denied)]),
    ("sql-version-unread", |f| f.instance.unread = vec![unread(SqlUnreadReason::Denied)], |f| f.instance.unread = vec![unread(SqlUnreadReason::Version)]),
    ("sql-state", |_| {}, |f| f.database.state = "RESTORING".into()),
    ("sql-name", |f| f.target.databases = None, |f| f.target.databases = Some(vec!["smarthoteldb".into()])),
    ("sql-memory-optimised", |f| { f.target.business_critical = true; f.details().memory_optimised = true }, |f| f.details().memory_optimised = true),
    ("sql-filestream", |f| f.database.details = None, |f| f.details().filestream = true),
    ("sql-contained", |f| { f.target.contained = Some(true); f.database.contained = Some(true) }, |f| f.database.contained = Some(true)),
    ("sql-contained-later", |f| f.database.contained = Some(true), |f| { f.target.contained = None; f.database.contained = Some(true) }),
    ("sql-tde", |f| { f.target.certificates = Some(vec![]); f.database.certificate = None; f.other.certificate = None }, |f| f.target.certificates = Some(vec![])),
    ("sql-tde-later", |f| { f.target.certificates = None; f.way.certificate = true }, |f| f.target.certificates = None),
    ("sql-tde-brought", |f| f.way.certificate = true, |f| { f.target.certificates = None; f.way.certificate = true }),
    ("sql-tde-key", |f| { f.target.certificates = None; f.instance.certificates[0].key = Some("PW".into()) }, |f| { f.target.certificates = None; f.way.certificate = true; f.instance.certificates[0].key = Some("PW".into()) }),
    ("sql-tde-backup", |f| f.instance.certificates.clear(), |f| f.instance.certificates[0].key_backed_up = None),
    ("sql-recovery", |f| { f.method = DatabaseMethod::LogReplay; f.database.recovery = "SIMPLE".into() }, |f| f.database.recovery = "SIMPLE".into()),
    ("sql-no-backup", |f| f.database.backups = SqlBackups::default(), |f| f.database.backups = SqlBackups { known: true, ..SqlBackups::default() }),
    ("sql-checksum", |f| { f.way.existing = false; f.database.backups.after[0].checksum = false }, |f| f.database.backups.after[0].checksum = false),
    ("sql-damaged", |_| {}, |f| f.database.backups.after[0].damaged = true),
    ("sql-chain", |f| f.database.backups.after[2].first = "29".into(), |f| f.database.backups.after[2].first = "31".into()),
    ("sql-orphans", |f| { f.details().users[0].login = None; f.details().users[0].own_password = true }, |f| f.details().users[0].login = None),
    ("sql-uses", |f| f.details().uses.clear(), |f| f.details().uses[0].server = Some("ERP".into())),
];

#[test]
fn every_rule_has_a_fixture_that_passes_and_one_that_fails() {
    let tested: Vec<&str> = ROWS.iter().map(|r| r.0).collect();
    let rules: Vec<&str> = RULES.iter().map(|r| r.id).collect();
    assert_eq!(tested, rules, "each rule once, in the table's order");
    for (rule, pass, fail) in ROWS {
        let mut f = good();
        pass(&mut f);
        assert_eq!(f.finding(rule), None, "{rule} must pass");
        let mut f = good();
        fail(&mut f);
        let found = f.finding(rule).unwrap_or_else(|| panic!("{rule} must be found"));
        for text in [&found.title, &found.detail, &found.command, &found.source, &found.who] {
            assert!(
                !text.is_empty() && !text.contains('{') && !text.starts_with(['.', ';']),
                "{rule}: {text}"
            );
        }
        assert!(
            !found.command.contains("Smart]Hotel"),
            "{rule} quotes the name: {}",
            found.command
        );
    }
}

#[test]
fn a_database_that_can_be_moved_has_no_findings() {
    assert_eq!(good().judged(), vec![]);
}

#[test]
fn nothing_is_said_of_what_nobody_knows() {
    let unknown = Fixture {
        instance: SqlInstance::default(),
        database: SqlDatabase {
            state: "ONLINE".into(),
            recovery: "FULL".into(),
            ..SqlDatabase::default()
        },
        other: SqlDatabase {
            state: "ONLINE".into(),
            recovery: "FULL".into(),
            ..SqlDatabase::default()
        },
        target: SqlTarget::default(),
        way: SqlWay {
            existing: true,
            ..SqlWay::default()
        },
        method: DatabaseMethod::DmsOnline,
        name: "x",
    };
    assert_eq!(unknown.judged(), vec![]);
}

#[test]
fn every_rule_says_what_to_do() {
    assert_eq!(RULES.iter().map(|r| r.id).collect::<BTreeSet<_>>().len(), RULES.len());
    for rule in RULES {
        assert!(
            !rule.title.ends_with('.') && rule.cause.ends_with(['.', ')']),
            "{}",
            rule.id
        );
        assert!(
            matches!(rule.judge, Judge::Instance(_)) || rule.title.contains("{db}"),
            "{} says of which database",
            rule.id
        );
    }
}

#[test]
fn a_gap_is_found_at_either_end() {
    let mut b = good().database.backups;
    assert_eq!(b.gap(), None);
    b.after[0].first = "21".into();
    assert_eq!(b.gap().unwrap().first, "21");
    // 25 digits, of which the last one counts.
    b.full.as_mut().unwrap().last = "9999999999999999999999998".into();
    b.after[0].first = "9999999999999999999999999".into();
    assert_eq!(b.gap().unwrap().first_lsn() - b.full.as_ref().unwrap().last_lsn(), 1);
    b.after.clear();
    assert_eq!(b.gap(), None);
}

#[test]
fn a_target_is_learned_from_its_own_facts() {
    let mut f = good();
    f.instance.databases = vec![
        f.database.clone(),
        SqlDatabase {
            id: 1,
            name: "master".into(),
            ..SqlDatabase::default()
        },
    ];
    f.instance.settings = vec![crate::sql::SqlSetting {
        name: "contained database authentication".into(),
        value: 1,
    }];
    let mut target = SqlTarget::default();
    target.learn(&f.instance);
    assert_eq!(target.databases.as_deref(), Some(&["Smart]Hotel".to_owned()][..]));
    assert_eq!(target.certificates.as_deref(), Some(&["AB12".to_owned()][..]));
    assert_eq!(
        (target.used, target.contained, target.storage),
        (5 << 30, Some(true), None)
    );
    f.instance.unread = vec![SqlUnread {
        what: "master.sys.certificates".into(),
        ..unread(SqlUnreadReason::Denied)
    }];
    let mut blind = SqlTarget::default();
    blind.learn(&f.instance);
    assert_eq!(blind.certificates, None);
}

#[test]
fn what_is_brought_by_the_run_is_said_and_what_cannot_be_read_stops_it() {
    let mut f = good();
    f.target.certificates = Some(vec![]);
    f.way.certificate = true;
    assert_eq!(f.finding("sql-tde"), None);
    let said = f.finding("sql-tde-brought").unwrap();
    assert!(said.detail.contains("Hotel with the thumbprint AB12"), "{said:?}");
    let stops: [(Change, &str); 4] = [
        (|f| f.instance.version = "10.50.6000.34".into(), "files only"),
        (|f| f.instance.certificates.clear(), "master shows no certificate"),
        (|f| f.instance.certificates[0].key = Some("NA".into()), "no private key"),
        (
            |f| f.instance.certificates[0].key = Some("PW".into()),
            "a password of its own",
        ),
    ];
    for (change, words) in stops {
        let mut f = good();
        f.target.certificates = None;
        f.way.certificate = true;
        change(&mut f);
        assert_eq!(f.finding("sql-tde-brought"), None);
        let found = f.finding("sql-tde-key").unwrap();
        assert!(found.detail.contains(words), "{found:?}");
        // Whoever has brought it by hand needs none of that.
        f.target.certificates = Some(vec!["ab12".into()]);
        assert_eq!(f.finding("sql-tde-key"), None);
    }
    let mut f = good();
    f.target.certificates = None;
    f.instance.certificates[0].key = None;
    f.way.certificate = true;
    assert_eq!(f.finding("sql-tde-key"), None, "nobody has read what protects it");
}
