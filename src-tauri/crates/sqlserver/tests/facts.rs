//! Facts of the lab's SQL Servers: of every version, with every defect that the lab can have, and of a thousand databases
//! behind a network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use lab::{
    Addresses, Lab,
    tds::data::{Chain, Database, Spec, User},
};
use plan::{
    BackupSource, DatabaseMethod, Severity,
    rules::{
        CURRENT,
        sql::{SqlCase, SqlTarget, SqlWay},
    },
    sql::{SqlDatabase, SqlInstance, SqlUnreadReason},
};
use secrets::Secret;
use sqlserver::{
    Login, Options, Target,
    facts::{self, Found},
};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use trust::Trust;

async fn lab() -> (Lab, Addresses) {
    let lab = Lab::start(lab::Options::default()).await.unwrap();
    let addresses = lab.addresses();
    (lab, addresses)
}

fn spec(a: &Addresses) -> Spec {
    Spec::smarthotel(
        ("svc-dms", &a.sql_password),
        (r"CONTOSO\svc-backup", &a.share_password),
        2018,
    )
}

fn dba(a: &Addresses, port: u16) -> Options {
    let login = Login::Sql {
        user: "svc-dms".into(),
        password: Secret::new(a.sql_password.clone()),
    };
    Options {
        trust: Trust::from_pem(&a.ca_pem).unwrap(),
        ..Options::new(Target::parse(&format!("127.0.0.1,{port}")).unwrap(), login)
    }
}

async fn read(lab: &Lab, a: &Addresses, spec: Spec) -> SqlInstance {
    let (_, port) = lab.start_sql(spec).await.unwrap();
    facts::read(&dba(a, port), |_| {}).await.unwrap()
}

fn database<'a>(of: &'a SqlInstance, name: &str) -> &'a SqlDatabase {
    of.databases.iter().find(|d| d.name == name).unwrap()
}

#[tokio::test]
async fn every_version_is_read_and_what_it_lacks_is_said() {
    let (lab, a) = lab().await;
    for (year, version, lacks) in [
        (2008, "10.0.", true),
        (2010, "10.50.", true),
        (2012, "11.0.", false),
        (2014, "12.0.", false),
        (2016, "13.0.", false),
        (2017, "14.0.", false),
        (2019, "15.0.", false),
        (2022, "16.0.", false),
        (2025, "17.0.", false),
    ] {
        let found = read(&lab, &a, Spec { year, ..spec(&a) }).await;
        assert!(found.version.starts_with(version), "{}", found.version);
        assert_eq!((found.name.as_str(), found.sysadmin), ("SQLVM", Some(true)));
        let unread: Vec<&str> = found.unread.iter().map(|u| u.what.as_str()).collect();
        let want: &[&str] = if lacks { &["sys.databases.containment"] } else { &[] };
        assert_eq!(unread, want, "{year}");
        assert!(found.unread.iter().all(|u| u.reason == SqlUnreadReason::Version));
        let hotel = database(&found, "SmartHotelDB");
        assert_eq!(hotel.contained.is_none(), lacks);
        assert_eq!((hotel.data_bytes, hotel.log_bytes), (512 << 20, 128 << 20));
        assert_eq!(
            (hotel.recovery.as_str(), hotel.state.as_str(), hotel.compatibility),
            ("FULL", "ONLINE", 100)
        );
        // Six hours before the lab's clock, which runs already.
        let finished = &hotel.backups.full.as_ref().unwrap().finished;
        assert!(finished.starts_with("2026-11-21T13:0"), "{finished}");
        assert_eq!((hotel.backups.after.len(), hotel.backups.gap()), (3, None));
        let users = &hotel.details.as_ref().unwrap().users;
        assert_eq!((users.len(), users[0].login.as_deref()), (1, Some("smarthotel")));
        assert_eq!(found.databases.iter().filter(|d| d.is_system()).count(), 4);
        assert_eq!(found.jobs[0].name, "Nightly full backup");
        assert!(
            found
                .logins
                .iter()
                .any(|l| l.is_windows() && l.name == r"CONTOSO\svc-backup")
        );
        assert!(
            found
                .settings
                .iter()
                .any(|s| s.name == "max server memory (MB)" && s.value == 4096)
        );
    }
}

/// What goes wrong late today, in the source's own facts: how the lab has it, the rule that finds it, and what is repaired.
type Defect = (&'static str, fn(&mut Spec), fn(&mut Spec));

fn hotel(spec: &mut Spec) -> &mut Database {
    &mut spec.databases[0]
}

#[rustfmt::skip]
const DEFECTS: &[Defect] = &[
    ("sql-memory-optimised", |s| hotel(s).memory_optimised = true, |s| hotel(s).memory_optimised = false),
    ("sql-filestream", |s| hotel(s).filestream = true, |s| hotel(s).filestream = false),
    ("sql-checksum", |s| hotel(s).checksum = false, |s| hotel(s).checksum = true),
    ("sql-chain", |s| hotel(s).chain = Chain::Broken, |s| hotel(s).chain = Chain::Whole),
    ("sql-no-backup", |s| hotel(s).chain = Chain::None, |s| hotel(s).chain = Chain::Whole),
    ("sql-contained", |s| hotel(s).contained = true, |s| hotel(s).contained = false),
    ("sql-tde", |s| hotel(s).certificate = "HotelKey", |s| hotel(s).certificate = ""),
    ("sql-tde-backup", |s| hotel(s).certificate = "HotelKey", |s| hotel(s).certificate = ""),
    ("sql-recovery", |s| hotel(s).recovery = "SIMPLE", |s| hotel(s).recovery = "FULL"),
    ("sql-state", |s| hotel(s).state = "RESTORING", |s| hotel(s).state = "ONLINE"),
    ("sql-newer", |s| s.year = 2025, |s| s.year = 2022),
    ("sql-to-url", |s| s.year = 2014, |s| s.year = 2016),
    ("sql-version-unread", |s| s.year = 2008, |s| s.year = 2012),
    ("sql-orphans", |s| hotel(s).users[0].login = None, |s| hotel(s).users[0].login = Some("smarthotel".into())),
    ("sql-uses", |s| hotel(s).uses = vec!["ERP.Prices".into(), "Rates".into()], |s| hotel(s).uses.clear()),
    ("sql-linked", |s| s.linked_servers = vec!["ERP"], |s| s.linked_servers.clear()),
    ("sql-credentials", |s| s.credentials = vec!["Share"], |s| s.credentials.clear()),
    ("sql-storage", |s| hotel(s).data_mib = 40 << 10, |s| hotel(s).data_mib = 512),
    ("sql-sysadmin", |s| s.logins[0].sysadmin = false, |s| s.logins[0].sysadmin = true),
];

#[tokio::test]
async fn every_late_failure_is_found_before_the_start_and_gone_when_repaired() {
    let (lab, a) = lab().await;
    let (place, port) = lab.start_sql(spec(&a)).await.unwrap();
    let judged = async |spec: Spec| {
        lab.replace_sql(place, spec).unwrap();
        let found = facts::read(&dba(&a, port), |_| {}).await.unwrap();
        let moved: Vec<(&SqlDatabase, &str)> = found
            .databases
            .iter()
            .filter(|d| !d.is_system())
            .map(|d| (d, d.name.as_str()))
            .collect();
        let findings = CURRENT.judge_sql(&SqlCase {
            instance: &found,
            target: &SqlTarget {
                storage: Some(32 << 30),
                databases: Some(vec![]),
                certificates: Some(vec![]),
                contained: Some(false),
                newest: Some(16),
                ..SqlTarget::default()
            },
            way: &SqlWay {
                existing: true,
                backups: BackupSource::Share,
                ..SqlWay::default()
            },
            method: DatabaseMethod::DmsOnline,
            databases: &moved,
        });
        findings.into_iter().map(|f| (f.rule, f.severity)).collect::<Vec<_>>()
    };
    let blocking = |all: &[(String, Severity)]| all.iter().filter(|f| f.1 == Severity::Blocking).count();
    for (rule, break_it, repair) in DEFECTS {
        let mut it = spec(&a);
        break_it(&mut it);
        let found = judged(it.clone()).await;
        assert!(
            found.iter().any(|f| f.0 == *rule),
            "{rule} must be found, got {found:?}"
        );
        repair(&mut it);
        let found = judged(it).await;
        assert!(found.iter().all(|f| f.0 != *rule), "{rule} must be gone, got {found:?}");
        assert_eq!(blocking(&found), 0, "{rule}: {found:?}");
    }
}

#[tokio::test]
async fn odd_names_are_read_and_databases_without_access_are_said() {
    let (lab, a) = lab().await;
    let mut it = spec(&a);
    for name in ["a]b", "Räume 客室", "it's; DROP DATABASE x --", "123"] {
        it.databases.push(Database {
            name: name.into(),
            users: vec![User {
                name: format!("user of {name}"),
                login: None,
            }],
            ..Database::default()
        });
    }
    let found = read(&lab, &a, it).await;
    for name in ["a]b", "Räume 客室", "it's; DROP DATABASE x --", "123"] {
        let details = database(&found, name).details.as_ref().unwrap();
        assert_eq!(details.users[0].name, format!("user of {name}"));
        assert_eq!(details.users[0].login, None);
    }
    assert_eq!(found.unread, vec![]);
}

#[tokio::test]
async fn what_an_account_may_not_see_is_said_and_the_rest_is_read() {
    let (lab, a) = lab().await;
    let mut it = spec(&a);
    it.logins[0].sysadmin = false;
    it.databases[0].users.push(User {
        name: "dms".into(),
        login: Some("svc-dms".into()),
    });
    it.databases.push(Database {
        name: "Payroll".into(),
        ..Database::default()
    });
    let found = read(&lab, &a, it).await;
    assert_eq!(found.sysadmin, Some(false));
    assert!(
        found
            .unread
            .iter()
            .all(|u| u.reason == SqlUnreadReason::Denied && !u.detail.is_empty())
    );
    let unread: Vec<(&str, &str)> = found
        .unread
        .iter()
        .map(|u| (u.what.as_str(), u.database.as_str()))
        .collect();
    assert_eq!(
        unread,
        [
            ("msdb.dbo.sysjobs", ""),
            ("sys.dm_database_encryption_keys", ""),
            ("msdb.dbo.backupset", ""),
            ("users, file groups and dependencies", "Payroll"),
        ]
    );
    let hotel = database(&found, "SmartHotelDB");
    assert!(hotel.details.is_some() && !hotel.backups.known);
    assert!(database(&found, "Payroll").details.is_none());
}

#[tokio::test]
async fn an_instance_that_cannot_be_reached_is_judged_as_well() {
    let (lab, a) = lab().await;
    let express = Spec {
        instance: "SQLEXPRESS".into(),
        edition: "Express Edition (64-bit)",
        tcp: false,
        ..spec(&a)
    };
    lab.start_sql(express).await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let named = Options {
        target: Target::parse(r"127.0.0.1\SQLEXPRESS").unwrap(),
        browser_port: a.sql_browser,
        ..dba(&a, 1)
    };
    for (options, rule) in [(named, "sql-tcp"), (dba(&a, closed), "sql-port-1433")] {
        let mut way = SqlWay::default();
        facts::read(&options, |_| {}).await.unwrap_err().tells(&mut way);
        let findings = CURRENT.judge_sql(&SqlCase {
            instance: &SqlInstance::default(),
            target: &SqlTarget::default(),
            way: &way,
            method: DatabaseMethod::DmsOffline,
            databases: &[],
        });
        let found: Vec<_> = findings.iter().map(|f| (f.rule.as_str(), f.severity)).collect();
        assert_eq!(found, [(rule, Severity::Blocking)]);
    }
}

#[tokio::test]
async fn a_managed_instance_tells_of_itself_as_a_target() {
    let (lab, a) = lab().await;
    let it = Spec {
        year: 2022,
        edition: "SQL Azure",
        contained: true,
        databases: vec![Database {
            certificate: "HotelKey",
            ..Database::default()
        }],
        ..spec(&a)
    };
    let found = read(&lab, &a, it).await;
    assert_eq!(found.engine_edition, Some(8));
    let mut target = SqlTarget::default();
    target.learn(&found);
    assert_eq!(target.databases, Some(vec!["SmartHotelDB".to_owned()]));
    assert_eq!((target.contained, target.used), (Some(true), 640 << 20));
    assert_eq!(
        target.certificates.unwrap(),
        [database(&found, "SmartHotelDB").certificate.clone().unwrap()]
    );
}

#[tokio::test]
async fn the_reading_can_be_moved_to_another_thread() {
    fn is_send(_: &impl Send) {}
    let (_lab, a) = lab().await;
    let (_, port) = a.sql.split_once(',').unwrap();
    let options = dba(&a, port.parse().unwrap());
    let reading = facts::read(&options, |_| {});
    is_send(&reading);
    assert_eq!(reading.await.unwrap().databases.len(), 5);
}

#[tokio::test]
async fn a_server_that_goes_away_while_it_is_read_ends_the_reading() {
    let (lab, a) = lab().await;
    let (place, port) = lab.start_sql(spec(&a)).await.unwrap();
    let error = facts::read(&dba(&a, port), |found| {
        if matches!(found, Found::Instance(_)) {
            lab.cut_sql(place);
        }
    })
    .await
    .unwrap_err();
    assert_eq!(error.class(), sqlserver::ErrorClass::Transient, "{error}");
}

/// A network between client and server that delivers everything, both ways, this much later.
async fn slow_way(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let (send, mut held) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(n @ 1..) = from.read(&mut buffer).await {
                        let _ = send.send((Instant::now() + delay, buffer[..n].to_vec()));
                    }
                });
                tokio::spawn(async move {
                    while let Some((at, bytes)) = held.recv().await {
                        tokio::time::sleep_until(at.into()).await;
                        if to.write_all(&bytes).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_databases_are_read_within_ten_seconds() {
    let (lab, a) = lab().await;
    let mut it = spec(&a);
    it.databases.extend((1..1000).map(|n| Database {
        name: format!("Hotel {n:04}"),
        memory_optimised: n % 100 == 0,
        ..Database::default()
    }));
    let (_, port) = lab.start_sql(it).await.unwrap();
    // There and back: 5 ms.
    let port = slow_way(port, Duration::from_micros(2500)).await;
    let begun = Instant::now();
    let (mut first, mut told) = (None, 0);
    let found = facts::read(&dba(&a, port), |found| match found {
        Found::Instance(i) => {
            assert_eq!(i.databases.len(), 1004);
            first = Some(begun.elapsed());
        }
        Found::Database(d, unread) => {
            assert!(d.details.is_some() && unread.is_empty());
            told += 1;
        }
    })
    .await
    .unwrap();
    let took = begun.elapsed();
    println!("1,000 databases: list after {first:?}, all after {took:?}");
    assert_eq!(told, 1000);
    assert_eq!(
        found
            .databases
            .iter()
            .filter(|d| d.details.as_ref().is_some_and(|d| d.memory_optimised))
            .count(),
        9
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// The one certificate of the lab that is a real one.
#[tokio::test]
async fn a_certificate_is_read_with_its_private_key_where_the_version_gives_it() {
    let (lab, a) = lab().await;
    let password = secrets::Secret::from("Canary-Pvk-'1");
    let of = |year: u16, certificate: &'static str| Spec {
        year,
        databases: vec![Database {
            certificate,
            ..Database::default()
        }],
        ..spec(&a)
    };
    let (place, port) = lab.start_sql(of(2012, "SmartHotelCert")).await.unwrap();
    let options = dba(&a, port);
    for (year, gives) in [(2012, true), (2025, true), (2008, false)] {
        lab.replace_sql(place, of(year, "SmartHotelCert")).unwrap();
        let mut client = sqlserver::Client::connect(&options).await.unwrap();
        let found = facts::read_one(&mut client, "SmartHotelDB").await.unwrap();
        assert_eq!(found.certificates[0].key.as_deref(), Some("MK"));
        let thumbprint = database(&found, "SmartHotelDB").certificate.clone().unwrap();
        let read = sqlserver::certificate::read(&mut client, &thumbprint, &password).await;
        if !gives {
            let e = read.unwrap_err();
            assert!(e.is_unknown_here() && !e.to_string().contains("Canary"), "{e}");
            continue;
        }
        let read = read.unwrap();
        assert_eq!((read.name.as_str(), &read.thumbprint), ("SmartHotelCert", &thumbprint));
        assert!(read.pfx(&password).unwrap().expose().len() > 2000);
        let other = sqlserver::certificate::read(&mut client, &"AB".repeat(20), &password).await;
        assert!(
            other
                .unwrap_err()
                .to_string()
                .contains("no certificate with this thumbprint")
        );
    }
    // One whose key nobody gives.
    lab.replace_sql(place, of(2016, "HotelKey")).unwrap();
    let mut client = sqlserver::Client::connect(&options).await.unwrap();
    let found = facts::read_one(&mut client, "SmartHotelDB").await.unwrap();
    let thumbprint = database(&found, "SmartHotelDB").certificate.clone().unwrap();
    let e = sqlserver::certificate::read(&mut client, &thumbprint, &password)
        .await
        .unwrap_err();
    assert!(
        e.advice().hint.contains("GRANT CONTROL ON CERTIFICATE::[HotelKey]"),
        "{e:?}"
    );
}
