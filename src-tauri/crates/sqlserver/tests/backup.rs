//! Backups against the lab's SQL Server: taken, followed, recognised, proved; and every way in which they fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use lab::{
    Addresses, Lab,
    tds::data::{Chain, Database, Spec},
};
use secrets::Secret;
use sqlserver::{
    Client, ErrorClass, Login, Options, SqlError, Target,
    backup::{self, Backup, Kind},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use trust::Trust;

const HOTEL: &str = "SmartHotelDB";
const SHARE: &str = r"\\CONTOSOFILE\SmartHotelDB";
const DISK: &str = r"C:\SQLBackup";

async fn lab() -> (Lab, Addresses) {
    let lab = Lab::start(lab::Options {
        people: false,
        ..lab::Options::default()
    })
    .await
    .unwrap();
    let addresses = lab.addresses();
    (lab, addresses)
}

async fn sign_in(a: &Addresses, server: &str) -> Client {
    let login = Login::Sql {
        user: "svc-dms".into(),
        password: Secret::new(a.sql_password.clone()),
    };
    let options = Options {
        trust: Trust::from_pem(&a.ca_pem).unwrap(),
        ..Options::new(Target::parse(server).unwrap(), login)
    };
    Client::connect(&options).await.unwrap()
}

fn of(kind: Kind, place: &str, mark: &str) -> Backup {
    Backup {
        database: HOTEL.into(),
        kind,
        devices: vec![format!("{place}\\{HOTEL}_{mark}.bak")],
        standby: None,
        compression: true,
        mark: mark.into(),
    }
}

async fn number(client: &mut Client, backup: &Backup) -> Option<u32> {
    let error = backup::take(client, backup, &CancellationToken::new()).await.err()?;
    assert!(error.advice().hint.len() > 20);
    error.number()
}

/// Waits, on another connection, until the backup with this mark is seen.
async fn seen(a: &Addresses, mark: &str) -> backup::Running {
    let mut other = sign_in(a, &a.sql).await;
    loop {
        if let Some(running) = backup::running(&mut other, mark).await.unwrap() {
            return running;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn full_differential_log_and_tail_are_taken_recognised_and_proved() {
    let (lab, a) = lab().await;
    lab.clock().set_speed(10_000);
    let mut client = sign_in(&a, &a.sql).await;
    let go = CancellationToken::new();
    let mut last = String::new();
    for (kind, mark) in [
        (Kind::Full, "r1 full"),
        (Kind::Differential, "r1 diff"),
        (Kind::Log, "r1 log"),
        (Kind::Tail, "r1 tail"),
    ] {
        let mut one = of(kind, SHARE, mark);
        one.devices.push(format!("{SHARE}\\{mark} stripe 2"));
        assert_eq!(backup::taken(&mut client, HOTEL, mark).await.unwrap(), None);
        backup::take(&mut client, &one, &go).await.unwrap();
        let taken = backup::taken(&mut client, HOTEL, mark).await.unwrap().unwrap();
        assert_eq!(taken.devices, one.devices);
        assert!(
            taken.checksum && !taken.damaged && taken.compressed < taken.bytes,
            "{taken:?}"
        );
        assert!(backup::running(&mut client, mark).await.unwrap().is_none());
        let header = backup::prove(&mut client, &one.devices, true, &go).await.unwrap();
        assert_eq!((header.database.as_str(), header.description.as_str()), (HOTEL, mark));
        assert_eq!((&header.first, &header.last), (&taken.first, &taken.last));
        assert!(header.checksum);
        if matches!(kind, Kind::Log) {
            last.clone_from(&taken.last);
        } else if matches!(kind, Kind::Tail) {
            assert_eq!(taken.first, last, "no gap between the log and its tail");
        }
    }
    let full = backup::taken(&mut client, HOTEL, "r1 full").await.unwrap().unwrap();
    assert_eq!(backup::logs_after(&mut client, HOTEL, full.id).await.unwrap().len(), 2);
    // Nobody writes any more, and a second tail is refused, until it is brought back.
    let at = lab.log_positions().0;
    assert_eq!(number(&mut client, &of(Kind::Log, SHARE, "late")).await, Some(927));
    lab.clock().advance_to(lab.clock().now() + Duration::from_secs(600));
    assert_eq!(lab.log_positions().0, at);
    client.query(&backup::recover(HOTEL).unwrap()).await.unwrap();
    // Left in STANDBY it can be read, and nobody writes either.
    let state = backup::state(&mut client, HOTEL).await.unwrap().unwrap();
    assert!(!state.closed() && state.recovery == "FULL", "{state:?}");
    let undo = backup::undo_file(&state, HOTEL).unwrap();
    assert_eq!(undo, r"C:\SQLData\SmartHotelDB_rehost_standby.tuf");
    let mut one = of(Kind::Tail, SHARE, "r2 tail");
    one.standby = Some(undo);
    backup::take(&mut client, &one, &go).await.unwrap();
    let state = backup::state(&mut client, HOTEL).await.unwrap().unwrap();
    assert!(state.closed() && state.state == "ONLINE", "{state:?}");
    let at = lab.log_positions().0;
    lab.clock().advance_to(lab.clock().now() + Duration::from_secs(600));
    assert_eq!(lab.log_positions().0, at);
    assert_eq!(number(&mut client, &of(Kind::Log, SHARE, "later")).await, Some(3036));
    client.query(&backup::recover(HOTEL).unwrap()).await.unwrap();
    assert!(!backup::state(&mut client, HOTEL).await.unwrap().unwrap().closed());
    assert_eq!(backup::state(&mut client, "nothing").await.unwrap(), None);
    assert_eq!(number(&mut client, &of(Kind::Log, SHARE, "last")).await, None);
}

#[tokio::test]
async fn a_running_backup_is_followed_and_cancelled_and_leaves_nothing() {
    let (lab, a) = lab().await;
    let stop = CancellationToken::new();
    let mut client = sign_in(&a, &a.sql).await;
    let one = of(Kind::Full, DISK, "r2 full");
    let watch = async {
        let first = seen(&a, "r2 full").await;
        lab.clock().advance_to(lab.clock().now() + Duration::from_secs(100));
        let later = seen(&a, "r2 full").await;
        assert!(
            later.percent > first.percent && later.left_secs < first.left_secs,
            "{first:?} {later:?}"
        );
        // A second one of the same database has to wait.
        let mut other = sign_in(&a, &a.sql).await;
        assert_eq!(number(&mut other, &of(Kind::Full, DISK, "r3")).await, Some(3023));
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(backup::take(&mut client, &one, &stop), watch);
    assert!(matches!(ended, Err(SqlError::Cancelled { .. })), "{ended:?}");
    assert!(backup::running(&mut client, "r2 full").await.unwrap().is_none());
    assert_eq!(backup::taken(&mut client, HOTEL, "r2 full").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_that_goes_away_ends_the_backup() {
    let (lab, a) = lab().await;
    let mut client = sign_in(&a, &a.sql).await;
    let one = of(Kind::Full, DISK, "r4");
    let go = CancellationToken::new();
    let cut = async {
        seen(&a, "r4").await;
        lab.cut_sql(0);
    };
    let (ended, ()) = tokio::join!(backup::take(&mut client, &one, &go), cut);
    assert_eq!(ended.err().unwrap().class(), ErrorClass::Transient);
    let mut again = sign_in(&a, &a.sql).await;
    assert_eq!(backup::taken(&mut again, HOTEL, "r4").await.unwrap(), None);
    assert!(backup::running(&mut again, "r4").await.unwrap().is_none());
}

#[tokio::test]
async fn what_sql_server_refuses_is_refused() {
    let (lab, a) = lab().await;
    lab.clock().set_speed(10_000);
    let mut client = sign_in(&a, &a.sql).await;
    let go = CancellationToken::new();
    // A path that is nowhere, a share that is full or closed, a file that is not there.
    assert_eq!(number(&mut client, &of(Kind::Full, r"X:\no", "m")).await, Some(3201));
    assert_eq!(
        number(&mut client, &of(Kind::Full, r"\\NOWHERE\x", "m")).await,
        Some(3201)
    );
    lab.with_world(|w| w.onprem.sql.share_free = Some(1 << 30));
    assert_eq!(number(&mut client, &of(Kind::Full, SHARE, "m")).await, Some(3202));
    lab.with_world(|w| w.onprem.sql.share_denied = true);
    assert_eq!(number(&mut client, &of(Kind::Full, SHARE, "m")).await, Some(3201));
    let nothing = backup::prove(&mut client, &[format!(r"{DISK}\none.bak")], true, &go).await;
    assert_eq!(nothing.err().unwrap().number(), Some(3201));

    // The tail needs the database alone; when it fails the application goes on.
    assert_eq!(number(&mut client, &of(Kind::Tail, SHARE, "t")).await, Some(3201));
    let tail = of(Kind::Tail, DISK, "t2").statement().unwrap();
    assert_eq!(client.query(&tail).await.err().unwrap().number(), Some(3101));
    let at = lab.log_positions().0;
    lab.clock().advance_to(lab.clock().now() + Duration::from_secs(600));
    // The first look moves the clock, the next one sees what was written until then.
    lab.log_positions();
    assert!(lab.log_positions().0 > at);

    // Damage is found by reading all of it.
    let one = of(Kind::Full, DISK, "good");
    backup::take(&mut client, &one, &go).await.unwrap();
    backup::prove(&mut client, &one.devices, true, &go).await.unwrap();
    lab.with_world(|w| w.onprem.instances[0].bad_media.insert(one.devices[0].clone()));
    let damaged = backup::prove(&mut client, &one.devices, true, &go).await;
    assert_eq!(damaged.err().unwrap().number(), Some(3189));

    let spec = |databases: Vec<Database>, edition, year| {
        let accounts = (
            ("svc-dms", a.sql_password.as_str()),
            (r"CONTOSO\svc-backup", a.share_password.as_str()),
        );
        Spec {
            databases,
            edition,
            year,
            ..Spec::smarthotel(accounts.0, accounts.1, 2018)
        }
    };
    let never = || Database {
        chain: Chain::None,
        ..Database::default()
    };
    let simple = Database {
        recovery: "SIMPLE",
        ..Database::default()
    };
    let standard = "Standard Edition (64-bit)";
    for (spec, kind, wanted) in [
        (spec(vec![simple], standard, 2016), Kind::Log, 4208),
        (spec(vec![never()], standard, 2016), Kind::Log, 4214),
        (spec(vec![never()], standard, 2016), Kind::Differential, 3035),
        (spec(vec![never()], "Express Edition (64-bit)", 2019), Kind::Full, 1844),
        (spec(vec![never()], standard, 2008), Kind::Full, 1844),
        (spec(vec![], standard, 2016), Kind::Full, 911),
    ] {
        assert_eq!(
            backup::compresses((if spec.year == 2008 { 10 } else { 13 }, 0, 0), spec.edition),
            wanted != 1844
        );
        lab.replace_sql(0, spec).unwrap();
        let mut client = sign_in(&a, &a.sql).await;
        assert_eq!(number(&mut client, &of(kind, DISK, "m")).await, Some(wanted));
    }
    let mut plain = spec(vec![Database::default()], standard, 2016);
    plain.logins.iter_mut().for_each(|l| l.sysadmin = false);
    lab.replace_sql(0, plain).unwrap();
    let mut client = sign_in(&a, &a.sql).await;
    assert_eq!(number(&mut client, &of(Kind::Full, DISK, "m")).await, Some(262));
}

#[tokio::test]
async fn a_container_wants_a_sas_that_may_write() {
    let (lab, a) = lab().await;
    lab.clock().set_speed(10_000);
    let mut client = sign_in(&a, &a.sql).await;
    let container = format!("{}/backups", a.blob.replace("{account}", "contosobackups"));
    let one = Backup {
        devices: vec![format!("{container}/{HOTEL}_full_01.bak")],
        ..of(Kind::Full, "", "u")
    };
    // Without a credential, and with one that the account does not know.
    assert_eq!(number(&mut client, &one).await, Some(3201));
    let sas = Secret::new("?sv=2024-11-04&sr=c&sp=rwl&sig=canary'x".to_owned());
    backup::ensure_credential(&mut client, &container, &sas).await.unwrap();
    backup::ensure_credential(&mut client, &container, &sas).await.unwrap();
    assert_eq!(number(&mut client, &one).await, Some(3201));
    // What was heard holds no secret, and the credential goes with the run.
    lab.with_world(|w| assert!(!w.onprem.instances[0].heard.iter().any(|b| b.contains("canary"))));
    backup::forget_credential(&mut client, &container).await.unwrap();
    backup::forget_credential(&mut client, &container).await.unwrap();
    let left = client.query("SELECT name FROM sys.credentials").await.unwrap();
    assert!(left[0].is_empty());
}
