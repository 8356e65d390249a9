//! Logins and what else stands around a database, moved from the lab's SQL Servers of every version to its managed instance;
//! and the proof that the database arrived.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use lab::{
    Addresses, Lab,
    tds::data::{Database, Spec, User},
};
use plan::around::{AroundDesign, AroundKind, Measure, Proof, ProveDesign, RowCount};
use secrets::Secret;
use sqlserver::{
    Client, Login, Options, SqlError, Target,
    around::{self, Around, Object},
    prove,
};
use tokio_util::sync::CancellationToken;
use trust::Trust;

const HOTEL: &str = "SmartHotelDB";
const ADMIN: &str = "Canary-Adm1n-Passw0rd";

async fn lab() -> (Lab, Addresses) {
    let lab = Lab::start(lab::Options::default()).await.unwrap();
    let addresses = lab.addresses();
    (lab, addresses)
}

fn options(a: &Addresses, server: &str, user: &str, password: &str) -> Options {
    let login = Login::Sql {
        user: user.into(),
        password: Secret::from(password),
    };
    Options {
        trust: Trust::from_pem(&a.ca_pem).unwrap(),
        ..Options::new(Target::parse(server).unwrap(), login)
    }
}

async fn admin(a: &Addresses) -> Client {
    Client::connect(&options(a, &a.sql_managed, "contosoadmin", ADMIN))
        .await
        .unwrap()
}

fn awkward(a: &Addresses) -> Spec {
    let spec = Spec::smarthotel(
        ("svc-dms", &a.sql_password),
        (r"CONTOSO\svc-backup", &a.share_password),
        2018,
    );
    let mut logins = spec.logins.clone();
    for (name, password, disabled) in [("o'brien]; --", "p'\"];{}=ß客 ", false), ("Räume 客室", "x", true)] {
        logins.push(lab::tds::data::Login {
            name: name.into(),
            password: password.into(),
            sysadmin: false,
            disabled,
            ..logins[2].clone()
        });
    }
    let user = |name: &str, login: Option<&str>| User {
        name: name.into(),
        login: login.map(str::to_owned),
    };
    Spec {
        logins,
        linked_servers: vec!["PARTNER", "ORACLE"],
        credentials: vec!["agent's"],
        jobs: vec!["Nightly full backup", "Prices; N'it'"],
        databases: vec![Database {
            users: vec![
                user("smarthotel", Some("smarthotel")),
                user("o]", Some("o'brien]; --")),
                user("lost", None),
            ],
            owner: "smarthotel",
            ..Database::default()
        }],
        ..spec
    }
}

/// Carries out what is to be done, and looks again.
async fn move_all(source: &Around, client: &mut Client, design: &AroundDesign) -> (Vec<Object>, Vec<Object>) {
    let mut first = vec![];
    for kind in AroundKind::ALL {
        let target = around::read(client, HOTEL).await.unwrap();
        let all = around::compare(source, &target, HOTEL, design, false);
        for o in all.into_iter().filter(|o| o.kind == kind) {
            around::make(client, &o, &CancellationToken::new()).await.unwrap();
            first.push(o);
        }
    }
    let target = around::read(client, HOTEL).await.unwrap();
    (first, around::compare(source, &target, HOTEL, design, false))
}

#[tokio::test]
async fn every_version_is_moved_and_a_second_time_nothing_is_done() {
    for year in [2008, 2010, 2012, 2014, 2016, 2017, 2019, 2022, 2025] {
        let (lab, a) = lab().await;
        let (place, port) = lab.start_sql(Spec { year, ..awkward(&a) }).await.unwrap();
        lab.with_world(|w| w.onprem.instances.swap(0, place));
        // The port leads to the place, where the scenario's own instance is now.
        let _ = port;
        lab.restore_for_test("contosoadmin", ADMIN, HOTEL);
        let mut source = Client::connect(&options(&a, &a.sql, "svc-dms", &a.sql_password))
            .await
            .unwrap();
        let read = around::read(&mut source, HOTEL).await.unwrap();
        let lacks: Vec<&str> = read.unread.iter().map(|u| u.what.as_str()).collect();
        let want: &[&str] = if year < 2012 {
            &["sys.server_principals.is_fixed_role"]
        } else {
            &[]
        };
        assert_eq!(lacks, want, "{year}");

        let mut target = admin(&a).await;
        let design = AroundDesign::default();
        let (made, again) = move_all(&read, &mut target, &design).await;
        let of = |all: &[Object], id: &str| {
            all.iter()
                .find(|o| o.id == id)
                .unwrap_or_else(|| panic!("{year}: {id}"))
                .clone()
        };
        for id in [
            "logins/o'brien]; --",
            "logins/Räume 客室",
            "logins/smarthotel",
            "roles/svc-dms in sysadmin",
            "linked-servers/PARTNER",
            "jobs/Prices; N'it'",
            "users/owner smarthotel",
        ] {
            assert!(of(&made, id).statement.is_some(), "{year}: {id}: {:?}", of(&made, id));
            assert!(of(&again, id).there, "{year}: {id}: {:?}", of(&again, id));
        }
        for id in [
            r"logins/CONTOSO\svc-backup",
            "credentials/agent's",
            "linked-servers/ORACLE",
            "jobs/Nightly full backup",
            "users/lost",
        ] {
            assert!(of(&again, id).why_not.is_some(), "{year}: {id}");
        }
        assert!(again.iter().all(|o| o.statement.is_none()), "{year}: {again:?}");
        // The passwords came with the hashes, the users with the ids, and who was disabled still is.
        let mut app = Client::connect(&Options {
            database: Some(HOTEL.into()),
            ..options(&a, &a.sql_managed, "o'brien]; --", "p'\"];{}=ß客 ")
        })
        .await
        .unwrap();
        app.query("SELECT Name FROM Hotels").await.unwrap();
        let wrong = Client::connect(&options(&a, &a.sql_managed, "o'brien]; --", "p"))
            .await
            .unwrap_err();
        assert_eq!(wrong.number(), Some(18456));
        let off = Client::connect(&options(&a, &a.sql_managed, "Räume 客室", "x"))
            .await
            .unwrap_err();
        assert_eq!(off.number(), Some(18470));
        // The source heard nothing but SELECT.
        let heard = lab.with_world(|w| w.onprem.instances[0].heard.clone());
        assert!(
            !heard.is_empty() && heard.iter().all(|b| b.starts_with("SELECT ")),
            "{year}: {heard:?}"
        );
        for o in &made {
            assert!(!format!("{o:?}").contains("0x0200"), "{o:?}");
        }
    }
}

#[tokio::test]
async fn who_may_not_see_hashes_learns_it_before_anything_is_made() {
    let (_lab, a) = lab().await;
    let app = {
        let mut dba = Client::connect(&options(&a, &a.sql, "svc-dms", &a.sql_password))
            .await
            .unwrap();
        around::read(&mut dba, HOTEL).await.unwrap()
    };
    assert!(app.logins.iter().any(|l| l.hash.is_some()));
    let spec = Spec::smarthotel(("reader", "secret"), (r"C\x", "y"), 7);
    let logins = spec.logins.iter().map(|l| lab::tds::data::Login {
        sysadmin: false,
        ..l.clone()
    });
    let spec = Spec {
        logins: logins.collect(),
        ..spec
    };
    let (_, port) = _lab.start_sql(spec).await.unwrap();
    let mut reader = Client::connect(&options(&a, &format!("127.0.0.1,{port}"), "reader", "secret"))
        .await
        .unwrap();
    let read = around::read(&mut reader, HOTEL).await.unwrap();
    assert!(app.sees_hashes() && !read.sees_hashes());
    assert!(read.unread.iter().any(|u| u.what.starts_with("msdb.dbo.")));
    let all = around::compare(&read, &Around::default(), HOTEL, &AroundDesign::default(), false);
    let own = all.iter().find(|o| o.id == "logins/smarthotel").unwrap();
    assert!(own.why_not.as_ref().unwrap().contains("sysadmin") && own.statement.is_none());
}

async fn measured(client: &mut Client, design: &ProveDesign) -> Result<Measure, SqlError> {
    let mut told = 0;
    let cancel = CancellationToken::new();
    let measure = prove::measure(client, HOTEL, design, &cancel, |_, place, of| {
        told += 1;
        assert_eq!((place, of), (told, 2));
    });
    measure.await
}

#[tokio::test]
async fn what_arrived_is_proved_and_what_is_missing_is_named() {
    for rows in [RowCount::Counted, RowCount::Metadata] {
        let design = ProveDesign {
            rows,
            checksums: vec!["dbo.hotels".into(), "dbo.Bookings".into()],
            checkdb: true,
        };
        for lost in [None, Some("dbo.Bookings")] {
            let (lab, a) = lab().await;
            lab.with_world(|w| w.managed.lose_row = lost.map(str::to_owned));
            lab.restore_for_test("contosoadmin", ADMIN, HOTEL);
            let mut source = Client::connect(&options(&a, &a.sql, "svc-dms", &a.sql_password))
                .await
                .unwrap();
            let mut target = admin(&a).await;
            let before = measured(&mut source, &design).await.unwrap();
            let after = measured(&mut target, &design).await.unwrap();
            assert_eq!(before.rows["dbo.Bookings"], 40);
            assert!(before.checksums.values().all(Option::is_some) && before.checksums.len() == 2);
            assert_eq!(before.objects, [("USER_TABLE".to_owned(), 2)].into());
            let proof = Proof::of(HOTEL, &before, &after);
            let differ = proof.differences();
            match lost {
                None => assert!(differ.is_empty(), "{differ:?}"),
                Some(_) => {
                    assert_eq!(differ[0], "dbo.Bookings: 40 rows before, 39 after");
                    assert!(differ[1].starts_with("dbo.Bookings: the contents differ"), "{differ:?}");
                    assert_eq!(differ.len(), 2);
                }
            }
            prove::check(&mut target, HOTEL, &CancellationToken::new())
                .await
                .unwrap();
            lab.with_world(|w| w.onprem.instances[1].damaged.insert(HOTEL.into()));
            let damaged = prove::check(&mut target, HOTEL, &CancellationToken::new())
                .await
                .unwrap_err();
            assert_eq!(damaged.number(), Some(8928));
            let missing = ProveDesign {
                checksums: vec!["dbo.Nothing".into()],
                ..design.clone()
            };
            let found = measured(&mut source, &missing).await.unwrap();
            assert_eq!(found.checksums["dbo.Nothing"], None);
            assert!(
                Proof::of(HOTEL, &found, &found)
                    .limits
                    .iter()
                    .any(|l| l.starts_with("dbo.Nothing has no checksum"))
            );
        }
    }
}

#[tokio::test]
async fn what_was_made_is_there_after_the_lab_was_closed() {
    let folder = std::env::temp_dir().join(format!("rehost-around-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let start = || {
        Lab::start(lab::Options {
            diary: Some(folder.join("diary")),
            ..lab::Options::default()
        })
    };
    for again in [false, true] {
        let lab = start().await.unwrap();
        let a = lab.addresses();
        lab.restore_for_test("contosoadmin", ADMIN, HOTEL);
        let mut source = Client::connect(&options(&a, &a.sql, "svc-dms", &a.sql_password))
            .await
            .unwrap();
        let here = around::read(&mut source, HOTEL).await.unwrap();
        let mut target = admin(&a).await;
        let (made, _) = move_all(&here, &mut target, &AroundDesign::default()).await;
        let login = made.iter().find(|o| o.id == "logins/smarthotel").unwrap();
        assert_eq!((login.there, login.statement.is_some()), (again, !again));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
