//! Every fault script: the whole scenario under it ends as the script's data says, and where it ends without the faults.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Failure, Outcome, RunHandle, TaskState, TaskStatus};
use lab::{
    Lab, Options,
    faults::{End, SCRIPTS, With},
};
use plan::{BackupSource, DatabaseMethod, Inventory, ReplicationMethod, around::ProveDesign, smarthotel};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};
use support::{end, plan_of, runner, told};
use tokio::sync::OnceCell;

type Methods = (ReplicationMethod, DatabaseMethod, BackupSource);

async fn lab(fault: Option<&str>) -> Lab {
    support::lab(Options {
        fault: fault.map(str::to_owned),
        ..Options::default()
    })
    .await
}

/// Starts the sample against a lab.
fn start(lab: &Lab, folder: &Path, methods: Methods, with: With) -> RunHandle {
    let mut design = smarthotel::design();
    design.prove = (with == With::Proof).then(ProveDesign::default);
    (design.replication, design.database_method, design.dms.source) = methods;
    let plan = plan_of(lab, &design, &Inventory::default());
    support::start(lab, &folder.join("sample.rehost"), plan, runner(lab)).1
}

fn failed(t: &TaskState) -> bool {
    t.status == TaskStatus::Failed
}

/// Where the scenario ends when nothing goes wrong.
async fn unbroken(methods: Methods) -> &'static Value {
    static ENDS: [OnceCell<Value>; 5] = [const { OnceCell::const_new() }; 5];
    let cell = match methods {
        (_, DatabaseMethod::DmsOffline, _) => &ENDS[4],
        (.., BackupSource::Share) => &ENDS[3],
        (_, DatabaseMethod::DmsOnline, _) => &ENDS[2],
        (ReplicationMethod::VMwareCbt, ..) => &ENDS[1],
        _ => &ENDS[0],
    };
    cell.get_or_init(async || {
        let (lab, folder) = (lab(None).await, tempfile::tempdir().unwrap());
        let run = start(&lab, folder.path(), methods, With::All);
        assert_eq!(end(&run).await, Outcome::Done, "{:#?}", told(&run, failed));
        lab.final_state()
    })
    .await
}

/// What is known to fail late was found before anything was started, with words of its rule.
fn found_before_start(lab: &Lab, f: &Failure) {
    let started = lab.with_world(|w| w.restores());
    assert_eq!(started, 0, "a restore was started");
    let rule = plan::rules::sql::RULES.iter().find(|r| r.id == f.code).unwrap();
    assert_eq!(rule.severity, plan::task::Severity::Blocking);
    let who = f.hint.split(':').next().unwrap();
    assert!(who.eq_ignore_ascii_case(rule.who), "who cures it: {}", f.hint);
    assert!(f.hint.ends_with("Then choose Retry."), "{}", f.hint);
    let unfilled = [&f.title, &f.detail, &f.hint].iter().any(|t| t.contains('{'));
    assert!(!unfilled, "{f:?}");
}

/// Plays a script to its end.
async fn play(id: &str) {
    let script = lab::faults::script(id).unwrap();
    let (lab, folder) = (lab(Some(id)).await, tempfile::tempdir().unwrap());
    let usual = Methods::default();
    let methods = match script.with {
        With::VMwareCbt => (ReplicationMethod::VMwareCbt, usual.1, usual.2),
        With::DmsOnline => (usual.0, DatabaseMethod::DmsOnline, usual.2),
        With::DmsOffline => (usual.0, DatabaseMethod::DmsOffline, usual.2),
        With::DmsFromShare => (usual.0, DatabaseMethod::DmsOnline, BackupSource::Share),
        With::All | With::InMageRcm | With::LogReplay | With::Proof => usual,
    };
    let run = start(&lab, folder.path(), methods, script.with);
    let first = end(&run).await;
    assert!(lab.unmet().is_empty(), "rules that met nothing: {:?}", lab.unmet());
    match &script.end {
        End::ByItself => assert_eq!(first, Outcome::Done, "{:#?}", told(&run, failed)),
        End::Skips { task, reason } => {
            assert_eq!(first, Outcome::Done, "{:#?}", told(&run, failed));
            let state = run.state();
            let t = state.task(&task.parse().unwrap()).unwrap();
            assert_eq!(t.status, TaskStatus::Skipped);
            assert!(t.reason.as_deref().unwrap().contains(reason.as_str()), "{:?}", t.reason);
        }
        End::Person { task, code, hint } => {
            assert_eq!(first, Outcome::Stopped, "nobody was needed");
            let state = run.state();
            let all = told(&run, failed);
            let t = state.task(&task.parse().unwrap()).unwrap();
            let f = t
                .failure
                .as_ref()
                .unwrap_or_else(|| panic!("{task} has not failed: {all:#?}"));
            assert_eq!(&f.code, code, "{all:#?}");
            assert!(f.hint.contains(hint.as_str()), "{hint}: {all:#?}");
            assert!(!f.title.is_empty() && !f.detail.is_empty());
            if f.code.starts_with("sql-") {
                found_before_start(&lab, f);
            }
            lab.cure();
            for t in state.tasks.iter().filter(|t| failed(t)) {
                run.retry(&t.address).await.unwrap();
            }
            assert_eq!(end(&run).await, Outcome::Done, "{:#?}", told(&run, failed));
        }
    }
    // What must not be done twice was done once, but for a cutover that has failed.
    let twice: Vec<_> = lab
        .stats()
        .repeated
        .into_iter()
        .filter(|m| {
            !(id == "dms-cutover-fails" && m.path.ends_with("/cutover"))
                && [
                    "/testFailover",
                    "/failoverCommit",
                    "/completeRestore",
                    "/testMigrate",
                    "/cutover",
                ]
                .iter()
                .any(|v| m.path.ends_with(v))
        })
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    let (mut wanted, mut have) = (unbroken(methods).await.clone(), lab.final_state());
    // Cured on the target: their source stays another one than the usual.
    if matches!(id, "database-contained" | "tcp-disabled") {
        for end in [&mut wanted, &mut have] {
            end.as_object_mut().unwrap().remove("sql");
        }
    }
    similar(&wanted, &have);
    lab.stop().await;
}

/// The first place where two states differ, in words.
fn similar(wanted: &Value, have: &Value) {
    fn differ(at: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
        match (a, b) {
            (Value::Object(x), Value::Object(y)) => {
                for k in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                    let none = Value::Null;
                    differ(
                        &format!("{at}/{k}"),
                        x.get(k).unwrap_or(&none),
                        y.get(k).unwrap_or(&none),
                        out,
                    );
                }
            }
            (a, b) if a == b => {}
            (a, b) => out.push(format!("{at}: {a} != {b}")),
        }
    }
    let mut out = vec![];
    differ("", wanted, have, &mut out);
    assert!(out.is_empty(), "the end is another one: {out:#?}");
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                play(&stringify!($name).replace('_', "-")).await;
            }
        )*

        #[test]
        fn every_script_is_played() {
            let played: BTreeSet<_> = [$(stringify!($name).replace('_', "-")),*].into();
            let all: BTreeSet<_> = SCRIPTS.iter().map(|s| s.id.clone()).collect();
            assert_eq!(played, all);
        }
    };
}

scripts! {
    sign_in_lost
    token_expired
    sign_in_challenged
    subscription_disabled
    right_missing
    registration_denied
    provider_unregistered
    policy_denied
    azure_throttled
    polls_throttled
    sql_throttled
    network_busy
    lost_answers
    outage_while_polling
    clock_skew
    storage_name_taken
    instance_name_taken
    vault_name_taken
    cores_used_up
    instance_quota_used_up
    network_quota_used_up
    size_not_available
    instance_create_fails
    instance_create_stuck
    network_left_failed
    mobility_push_fails
    tools_not_running
    vcenter_session_lost
    vcenter_down
    appliance_down
    replication_critical
    restore_blocked
    dms_restore_blocked
    runtime_offline
    dms_upload_blocked
    dms_copy_breaks
    dms_cutover_fails
    dms_answers_lost
    no_capacity_at_failover
    no_capacity_at_migration
    agentless_critical
    agent_not_ready config_changed config_encrypted config_name_missing
    instance_cores_used_up
    locked_before
    locks_unreadable
    network_read_only
    row_lost
    group_locked
    memory_optimised
    database_outgrown
    source_newer
    certificate_missing
    database_contained
    backup_without_checksum
    backups_of_two_databases
    log_backup_missing
    target_name_taken
    storage_firewall
    sas_without_list
    file_server_silent
    share_gone
    share_denied
    port_closed
    tcp_disabled
}
