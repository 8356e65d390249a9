//! What stands around the database is moved and the database is proved, from the first task of the plan to the last.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Outcome, TaskStatus};
use lab::{Lab, Options};
use plan::{
    BackupSource, DatabaseMethod, Design,
    around::{AroundDesign, MEASURE_FACT, PROOF_FACT, Proof, ProveDesign},
    design::ManagedSignIn,
    smarthotel,
};
use support::{end, inventory, lab as start_lab, plan_of, run_whole, runner, runner_as, start, told};

fn design() -> Design {
    Design {
        around: Some(AroundDesign::default()),
        prove: Some(ProveDesign {
            checksums: vec!["dbo.Hotels".into(), "dbo.Bookings".into()],
            checkdb: true,
            ..ProveDesign::default()
        }),
        ..smarthotel::design()
    }
}

async fn new_lab() -> Lab {
    start_lab(Options {
        speed: 10_000,
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_moved_and_the_proof_is_equal() {
    for (method, sign_in) in [
        (DatabaseMethod::LogReplay, ManagedSignIn::Administrator),
        (DatabaseMethod::DmsOffline, ManagedSignIn::Entra),
    ] {
        let by_entra = sign_in == ManagedSignIn::Entra;
        let lab = new_lab().await;
        let mut design = Design {
            database_method: method,
            ..design()
        };
        design.dms.source = BackupSource::Blob;
        // Who is known in Entra can be moved there, by an Entra administrator.
        if let Some(around) = design.around.as_mut().filter(|_| by_entra) {
            around.domains.insert("CONTOSO".into(), "contoso.com".into());
        }
        let plan = plan_of(&lab, &design, &inventory(&lab).await);
        let state = run_whole(&lab, plan, runner_as(&lab, sign_in), Vec::new).await;

        let proof: Proof = serde_json::from_value(state.facts[&format!("{PROOF_FACT}SmartHotelDB")].clone()).unwrap();
        assert_eq!(
            (proof.source.as_str(), proof.target.as_str()),
            ("SQLVM", "managed-instance")
        );
        assert_eq!(proof.rows.len(), 5, "{proof:?}");
        assert!(proof.rows.iter().all(|r| r.equal) && proof.also.len() == 1, "{proof:?}");
        let of = |address: &str| {
            let t = state.tasks.iter().find(|t| t.address.to_string() == address).unwrap();
            let want = match address {
                "step-7/around/jobs" => TaskStatus::Skipped,
                _ => TaskStatus::Done,
            };
            assert_eq!(t.status, want, "{address}");
            t.evidence.iter().map(|e| e.text.clone()).collect::<Vec<_>>().join("\n")
        };
        let logins = of("step-7/around/logins");
        assert!(
            logins.contains("smarthotel: made.") && logins.contains("svc-dms signs in"),
            "{logins}"
        );
        let backup = if by_entra { ": made." } else { " is not moved." };
        assert!(logins.contains(&format!(r"CONTOSO\svc-backup{backup}")), "{logins}");
        let ahead = of("step-6/check-servers/contoso-sqlmi");
        assert!(ahead.contains("Signed in to managed-instance as"), "{ahead}");
        assert!(
            ahead.contains("Nightly full backup (agent jobs) will not be moved."),
            "{ahead}"
        );
        assert!(of("step-7/around/jobs").contains("Nightly full backup is not moved."));
        assert!(of("step-7/around/roles").contains("svc-dms in sysadmin: made."));
        assert!(of("step-7/prove/database").contains("43 rows in 2 tables"));
        let heard = lab.with_world(|w| w.onprem.instances[0].heard.clone());
        assert!(
            !heard.is_empty() && heard.iter().all(|b| b.starts_with("SELECT ")),
            "{heard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_stops_the_run_before_the_application_is_switched() {
    let lab = new_lab().await;
    lab.with_world(|w| w.managed.lose_row = Some("dbo.Bookings".into()));
    let plan = plan_of(&lab, &design(), &inventory(&lab).await);
    let folder = tempfile::tempdir().unwrap();
    let (_file, run) = start(&lab, &folder.path().join("p.rehost"), plan, runner(&lab));
    assert_eq!(end(&run).await, Outcome::Stopped);
    let state = run.state();
    let of = |address: &str| state.tasks.iter().find(|t| t.address.to_string() == address).unwrap();
    let failed = of("step-7/prove/database").failure.clone().unwrap();
    assert_eq!(failed.code, "DatabaseDiffers");
    assert!(
        failed
            .detail
            .starts_with("dbo.Bookings: 40 rows before, 39 after; dbo.Bookings: the contents differ"),
        "{}",
        failed.detail
    );
    for waits in [
        "step-7/run-command/switch-connection",
        "step-7/around/jobs",
        "step-7/shutdown/SQLVM",
    ] {
        assert_eq!(
            of(waits).status,
            TaskStatus::Blocked,
            "{waits}: {:#?}",
            told(&run, |t| t.address.to_string() == waits)
        );
    }
    assert!(
        [MEASURE_FACT, PROOF_FACT]
            .iter()
            .all(|f| state.facts.contains_key(&format!("{f}SmartHotelDB")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_no_hashes_is_told_before_the_change_window() {
    let lab = new_lab().await;
    lab.with_world(|w| w.onprem.instances[0].spec.logins[0].sysadmin = false);
    let plan = plan_of(&lab, &design(), &inventory(&lab).await);
    let folder = tempfile::tempdir().unwrap();
    let (_file, run) = start(&lab, &folder.path().join("p.rehost"), plan, runner(&lab));
    assert_eq!(end(&run).await, Outcome::Stopped);
    let state = run.state();
    let of = |address: &str| state.tasks.iter().find(|t| t.address.to_string() == address).unwrap();
    let failed = of("step-6/check-servers/contoso-sqlmi").failure.clone().unwrap();
    assert_eq!(failed.code, "HashesUnreadable");
    assert!(failed.hint.contains("ADD MEMBER [svc-dms]"), "{}", failed.hint);
    assert_eq!(of("step-7/gate/cutover").status, TaskStatus::Blocked);
}
