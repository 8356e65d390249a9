//! Several databases are migrated in one run: each by its own folder, backups, restore and cutover, and no row of any is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lab::Options;
use plan::{
    BackupSource, DatabaseMethod, Design,
    around::{AroundDesign, PROOF_FACT, Proof, ProveDesign},
    backup::{BackupDesign, folder_of},
    smarthotel,
};
use support::{databases, inventory, lab as start_lab, plan_of, run_whole, runner};

/// Names that a file, an address and a statement each have something against.
const FURTHER: [&str; 3] = ["SmartHotelReports", "My ]odd[ Archive", "Архив-2019"];

fn design(method: DatabaseMethod, source: BackupSource) -> Design {
    let mut design = Design {
        database_method: method,
        further_databases: FURTHER.map(str::to_owned).to_vec(),
        around: Some(AroundDesign::default()),
        prove: Some(ProveDesign::default()),
        ..smarthotel::design()
    };
    design.dms.source = source;
    design
}

/// Runs the design to its end, and proves of each database that all of it arrived.
async fn arrives(design: Design, options: Options) {
    let which = format!(
        "{:?} {:?} {:?}",
        design.database_method, design.dms.source, design.backups
    );
    let lab = start_lab(Options {
        databases: databases(&design),
        speed: 10_000,
        ..options
    })
    .await;
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
    for name in design.databases() {
        let (written, arrived) = lab.log_positions_of(name);
        assert!(written > 3600, "the application wrote until it was stopped: {which}");
        assert_eq!(arrived, Some(written), "{name}: {which}");
        let proof: Proof = serde_json::from_value(state.facts[&format!("{PROOF_FACT}{name}")].clone()).unwrap();
        assert!(proof.differences().is_empty() && !proof.rows.is_empty(), "{proof:?}");
    }
    let end = lab.final_state();
    assert!(
        end["azure"]["lost"]
            .as_object()
            .unwrap()
            .values()
            .all(|lost| lost == false),
        "{end:#}"
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_arrives_whole_whoever_backs_up_and_whatever_restores() {
    for (method, source) in [
        (DatabaseMethod::LogReplay, BackupSource::Blob),
        (DatabaseMethod::DmsOnline, BackupSource::Blob),
        (DatabaseMethod::DmsOnline, BackupSource::Share),
        (DatabaseMethod::DmsOffline, BackupSource::Share),
    ] {
        arrives(design(method, source), Options::default()).await;
        let by_rehost = Design {
            backups: Some(BackupDesign::default()),
            ..design(method, source)
        };
        let options = Options {
            dba_backs_up: false,
            ..Options::default()
        };
        arrives(by_rehost, options).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_uploaded_from_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design {
        backups: Some(BackupDesign {
            folder: folder.path().display().to_string(),
            ..BackupDesign::default()
        }),
        ..design(DatabaseMethod::LogReplay, BackupSource::Blob)
    };
    let options = Options {
        dba_backs_up: false,
        sql_folder: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let names: Vec<String> = design.databases().map(str::to_owned).collect();
    arrives(design, options).await;
    for name in names {
        let files = std::fs::read_dir(folder.path().join(folder_of(&name))).unwrap().count();
        assert_eq!(files, 4, "full, two logs and the tail of {name}");
    }
}
