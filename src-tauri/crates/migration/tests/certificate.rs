//! An encrypted database moves without a person: Rehost brings its certificate, and leaves nothing of its key anywhere.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Observed, Outcome, TaskStatus};
use lab::{Lab, Options};
use plan::{BackupSource, DatabaseMethod, Design, Inventory, backup::BackupDesign, smarthotel};
use std::collections::BTreeMap;
use support::{ctx, end, evidence, inventory, plan_of, run_whole, runner, start, told};

const TASK: &str = "step-6/certificate/SmartHotelDB";

fn design(method: DatabaseMethod, source: BackupSource) -> Design {
    let mut design = Design {
        certificate: true,
        database_method: method,
        ..smarthotel::design()
    };
    design.dms.source = source;
    design
}

async fn encrypted(options: Options) -> Lab {
    support::lab(Options {
        speed: 10_000,
        fault: Some("certificate-missing".into()),
        ..options
    })
    .await
}

/// What was uploaded so far: the file in Base64, and its password.
fn uploads(lab: &Lab) -> Vec<(String, String)> {
    lab.with_world(|w| w.managed.uploads.clone())
}

/// Whether a certificate is there that the source has.
fn there(lab: &Lab) -> bool {
    lab.with_world(|w| w.managed.certificates.len() == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_service_restores_nobody_is_needed() {
    for (method, source, backups) in [
        (
            DatabaseMethod::LogReplay,
            BackupSource::Blob,
            Some(BackupDesign::default()),
        ),
        (DatabaseMethod::LogReplay, BackupSource::Blob, None),
        (DatabaseMethod::DmsOnline, BackupSource::Share, None),
    ] {
        let lab = encrypted(Options {
            dba_backs_up: backups.is_none(),
            ..Options::default()
        })
        .await;
        let design = Design {
            backups,
            ..design(method, source)
        };
        let plan = plan_of(&lab, &design, &inventory(&lab).await);
        let state = run_whole(&lab, plan, runner(&lab), || {
            let [(blob, password)] = &uploads(&lab)[..] else {
                panic!("one upload: {}", uploads(&lab).len());
            };
            vec![blob[40..120].to_owned(), password.clone()]
        })
        .await;
        assert!(there(&lab));
        let task = state.task(&TASK.parse().unwrap()).unwrap();
        assert_eq!(task.status, TaskStatus::Done);
        let said: Vec<&str> = task.evidence.iter().map(|e| e.text.as_str()).collect();
        assert!(said[0].starts_with("SmartHotelCert with the thumbprint"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_encrypted_needs_none() {
    let lab = support::lab(Options {
        speed: 10_000,
        ..Options::default()
    })
    .await;
    let task = task(&lab);
    let (ctx, _) = ctx(&lab, &task, BTreeMap::new());
    let seen = engine::Runner::kind(&*runner(&lab), &task).observe(&ctx).await.unwrap();
    let Observed::NotNeeded(why) = seen else {
        panic!("{seen:?}")
    };
    assert!(why.contains("SmartHotelDB is not encrypted"), "{why}");
}

/// Without the choice a person brings it; and whoever says so by Retry is believed, as the instance does not show it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_choice_the_restore_waits_for_a_person_and_says_what_it_cannot_see() {
    let lab = encrypted(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of(&lab, &smarthotel::design(), &Inventory::default());
    let (_file, run) = start(&lab, &folder.path().join("p.rehost"), plan, runner(&lab));
    assert_eq!(end(&run).await, Outcome::Stopped);
    let check = "step-6/check-backups/SmartHotelDB".parse().unwrap();
    assert_eq!(
        run.state().task(&check).unwrap().failure.as_ref().unwrap().code,
        "sql-tde"
    );
    lab.cure();
    run.retry(&check).await.unwrap();
    assert_eq!(
        end(&run).await,
        Outcome::Done,
        "{:#?}",
        told(&run, |t| t.failure.is_some())
    );
    let state = run.state();
    let said = &state.task(&check).unwrap().evidence;
    assert!(said.iter().any(|e| e.text.contains("chose Retry")), "{said:?}");
}

fn task(lab: &Lab) -> plan::Task {
    let plan = plan_of(
        lab,
        &design(DatabaseMethod::LogReplay, BackupSource::Blob),
        &Inventory::default(),
    );
    plan.task(&TASK.parse().unwrap()).unwrap().clone()
}

/// A crash at any instruction: what was sent is sent again, what Azure has taken is not.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_every_crash() {
    let lab = encrypted(Options::default()).await;
    lab.restore_for_test("contosoadmin", "Canary-Adm1n-Passw0rd", "Other");
    let (task, runner) = (task(&lab), runner(&lab));
    let kind = engine::Runner::kind(&*runner, &task);
    // Nothing was written down between the two: whether the first arrived is not known.
    for sent in 1..=2 {
        let (ctx, _) = ctx(&lab, &task, BTreeMap::new());
        assert_eq!(kind.observe(&ctx).await.unwrap(), Observed::Absent);
        let handle = kind.apply(&ctx).await.unwrap().unwrap();
        assert_eq!(uploads(&lab).len(), sent);
        // The process is killed; the handle was written down.
        let (ctx, _) = support::ctx(&lab, &task, BTreeMap::new());
        kind.settle(&ctx, &handle).await.unwrap();
        kind.settle(&ctx, &handle).await.unwrap();
        assert!(there(&lab));
    }
    let (first, reports) = ctx(&lab, &task, BTreeMap::new());
    kind.verify(&first).await.unwrap();
    let facts: BTreeMap<_, _> = reports
        .take()
        .into_iter()
        .filter_map(|r| match r {
            engine::kind::Report::Fact { name, value } => Some((name, value)),
            _ => None,
        })
        .collect();
    assert_eq!(facts.len(), 1);
    let (ctx, reports) = support::ctx(&lab, &task, facts);
    assert_eq!(kind.observe(&ctx).await.unwrap(), Observed::Matches);
    assert!(evidence(&reports)[0].contains("was brought to contoso-sqlmi before"));
    let passwords: Vec<_> = uploads(&lab).into_iter().map(|u| u.1).collect();
    assert_ne!(passwords[0], passwords[1], "each time another password");
    let undone = kind.undo(&ctx).await.unwrap_err();
    assert!(undone.detail.contains("stays on the managed instance"), "{undone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_the_right_is_told_which_one_it_needs() {
    let lab = encrypted(Options::default()).await;
    let mut spec = lab.with_world(|w| w.onprem.instances[0].spec.clone());
    spec.logins.iter_mut().for_each(|l| l.sysadmin = false);
    lab.replace_sql(0, spec).unwrap();
    let (task, runner) = (task(&lab), runner(&lab));
    let (ctx, _) = ctx(&lab, &task, BTreeMap::new());
    let f = engine::Runner::kind(&*runner, &task).observe(&ctx).await.unwrap_err();
    assert_eq!(f.code, "CertificateHidden", "{f:?}");
    assert!(f.hint.contains("GRANT VIEW SERVER STATE TO [svc-dms]"), "{f:?}");
}

/// Whoever says that it is there, and is wrong, hears it from the restore, by name.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_the_certificate_says_what_is_missing() {
    let lab = encrypted(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of(&lab, &smarthotel::design(), &Inventory::default());
    let (_file, run) = start(&lab, &folder.path().join("p.rehost"), plan, runner(&lab));
    assert_eq!(end(&run).await, Outcome::Stopped);
    run.retry(&"step-6/check-backups/SmartHotelDB".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(end(&run).await, Outcome::Stopped);
    let failed = told(&run, |t| t.failure.is_some());
    let names = |f: &String| f.contains("MissingThumbprint: Cannot find server certificate with thumbprint '0x");
    assert!(failed.iter().any(names), "{failed:#?}");
}
