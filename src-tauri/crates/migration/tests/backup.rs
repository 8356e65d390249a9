//! Rehost backs the source up itself, and cuts over only what is whole: whichever service restores, no row that was written
//! before the stop is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Outcome, RunState, TaskStatus};
use lab::{Lab, Options};
use plan::{
    BackupSource, DatabaseMethod, Design,
    backup::{BackupDesign, SourceAfter},
    smarthotel,
};
use support::{end, inventory, lab as start_lab, plan_of, run_whole, runner, start, told};

fn design(method: DatabaseMethod, source: BackupSource, backups: BackupDesign) -> Design {
    let mut design = Design {
        database_method: method,
        backups: Some(backups),
        ..smarthotel::design()
    };
    design.dms.source = source;
    design
}

async fn new_lab() -> Lab {
    start_lab(Options {
        speed: 10_000,
        dba_backs_up: false,
        ..Options::default()
    })
    .await
}

fn evidence(state: &RunState, address: &str) -> String {
    let t = state.tasks.iter().find(|t| t.address.to_string() == address).unwrap();
    assert_eq!(t.status, TaskStatus::Done, "{address}: {:?}", t.failure);
    t.evidence.iter().map(|e| e.text.clone()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_way_the_backups_go_no_row_is_lost() {
    let striped = BackupDesign {
        files: 2,
        differential: true,
        ..BackupDesign::default()
    };
    let readable = BackupDesign {
        source_after: SourceAfter::ReadOnly,
        ..BackupDesign::default()
    };
    for (method, source, backups) in [
        (DatabaseMethod::LogReplay, BackupSource::Blob, striped),
        (DatabaseMethod::DmsOnline, BackupSource::Share, readable.clone()),
        (DatabaseMethod::DmsOnline, BackupSource::Blob, BackupDesign::default()),
        (DatabaseMethod::DmsOffline, BackupSource::Blob, readable),
    ] {
        let which = format!("{method:?} {source:?} {backups:?}");
        let lab = new_lab().await;
        let design = design(method, source, backups.clone());
        let plan = plan_of(&lab, &design, &inventory(&lab).await);
        let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
        let (written, arrived) = lab.log_positions();
        assert!(written > 3600, "the application wrote until it was stopped: {which}");
        assert_eq!(arrived, Some(written), "{which}");

        let full = evidence(&state, "step-6/backup/full");
        assert!(full.contains("is taken with CHECKSUM: SmartHotelDB_full_"), "{full}");
        assert_eq!(
            full.contains("VERIFYONLY has read it whole"),
            source == BackupSource::Share
        );
        evidence(&state, "step-6/backup/tail");
        if source == BackupSource::Blob {
            let dropped = evidence(&state, "step-6/forget-credential/smarthotel-backup");
            assert!(
                dropped.contains("credential that Rehost made for the container is dropped"),
                "{dropped}"
            );
        }
        evidence(&state, "step-6/backup/last-log");
        let files = state.facts["db.fullBackup.files"].as_array().unwrap().len();
        assert_eq!(files, usize::from(backups.files));
        if backups.differential {
            evidence(&state, "step-6/backup/differential");
        }
        // Nobody was needed for any of it.
        assert!(
            !state
                .tasks
                .iter()
                .any(|t| t.address.to_string().starts_with("step-6/person/"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_folder_is_uploaded() {
    let folder = tempfile::tempdir().unwrap();
    let lab = start_lab(Options {
        speed: 10_000,
        dba_backs_up: false,
        sql_folder: Some(folder.path().to_owned()),
        ..Options::default()
    })
    .await;
    let backups = BackupDesign {
        files: 3,
        folder: folder.path().display().to_string(),
        ..BackupDesign::default()
    };
    let design = design(DatabaseMethod::LogReplay, BackupSource::Blob, backups);
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
    let (written, arrived) = lab.log_positions();
    assert_eq!(arrived, Some(written));
    let full = evidence(&state, "step-6/upload/full");
    assert!(
        full.contains("_03.bak in smarthotel-backup, each block checked"),
        "{full}"
    );
    evidence(&state, "step-6/upload/tail");
    // Three files of the full backup, two logs and the tail; none is taken away.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
}

/// A run that stops at a task with a failure, until somebody removes the cause.
async fn stops(
    design: Design,
    before: impl FnOnce(&mut lab::world::World),
    (address, code, hint): (&str, &str, &str),
    repair: impl FnOnce(&Lab),
) {
    let lab = new_lab().await;
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    let folder = tempfile::tempdir().unwrap();
    lab.with_world(before);
    let (_file, run) = start(&lab, &folder.path().join("p.rehost"), plan, runner(&lab));
    assert_eq!(end(&run).await, Outcome::Stopped);
    let task = address.parse().unwrap();
    let open = told(&run, |t| !t.status.is_settled());
    let f = run.state().task(&task).unwrap().failure.clone();
    let f = f.unwrap_or_else(|| panic!("{address} has not failed: {open:#?}"));
    assert_eq!(f.code, code, "{f:?}");
    assert!(f.hint.contains(hint), "{f:?}");
    repair(&lab);
    run.retry(&task).await.unwrap();
    assert_eq!(
        end(&run).await,
        Outcome::Done,
        "{:#?}",
        told(&run, |t| t.failure.is_some())
    );
    let (written, arrived) = lab.log_positions();
    assert_eq!(arrived, Some(written));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_backup_that_went_elsewhere_is_named_and_copied() {
    let design = design(DatabaseMethod::LogReplay, BackupSource::Blob, BackupDesign::default());
    // A job takes a log backup between Rehost's full one and its first log.
    stops(
        design,
        |w| w.onprem.sql.nightly_log = true,
        ("step-6/backup/log", "LogChainElsewhere", "copies Nightly_log.trn into"),
        |lab| lab.copy_backup("Nightly_log.trn"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_takes_no_backup_stops_the_run_until_it_does() {
    let to_container = design(DatabaseMethod::LogReplay, BackupSource::Blob, BackupDesign::default());
    let to_share = design(DatabaseMethod::DmsOnline, BackupSource::Share, BackupDesign::default());
    stops(
        to_container,
        |w| w.onprem.sql.containers_denied = true,
        (
            "step-6/backup/full",
            "Sql3201",
            "for a URL look at the credential's SAS",
        ),
        |lab| lab.with_world(|w| w.onprem.sql.containers_denied = false),
    )
    .await;
    stops(
        to_share.clone(),
        |w| w.onprem.sql.share_denied = true,
        (
            "step-6/backup/full",
            "Sql3201",
            "Its service account, not yours, needs the right to write there",
        ),
        |lab| lab.with_world(|w| w.onprem.sql.share_denied = false),
    )
    .await;
    stops(
        to_share,
        |w| w.onprem.sql.share_free = Some(1 << 30),
        ("step-6/backup/full", "Sql3202", "112 disk full"),
        |lab| lab.with_world(|w| w.onprem.sql.share_free = None),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_cut_off_is_taken_again_and_leaves_no_gap() {
    let lab = new_lab().await;
    let design = design(DatabaseMethod::DmsOnline, BackupSource::Share, BackupDesign::default());
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    lab.with_world(|w| w.onprem.sql.cut_backups = 2);
    let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
    let (written, arrived) = lab.log_positions();
    assert_eq!(arrived, Some(written));
    let full = state.task(&"step-6/backup/full".parse().unwrap()).unwrap();
    assert!(full.attempts >= 3, "{}", full.attempts);
}
