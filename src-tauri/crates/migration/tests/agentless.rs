//! Azure Migrate's agentless replication against the lab: to the end, with lost answers, and what it does not touch.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{
    Ctx, Engine, FailureClass, Observed, ProjectFile, RunOptions, RunState, Runner, TaskStatus, event::Outcome,
    kind::Report,
};
use lab::{Lab, Options};
use plan::{Design, ReplicationMethod, Task, smarthotel};
use secrets::Secret;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use support::{LabTime, connections, runner};

async fn full_speed() -> Lab {
    let options = Options {
        skip_idle_over: Some(Duration::ZERO),
        ..Options::default()
    };
    Lab::start(options).await.unwrap()
}

fn task_of(address: &str) -> Task {
    let plan = plan::graph::plan(&smarthotel::design(), "s", &plan::Inventory::default()).unwrap();
    plan.task(&address.parse().unwrap()).unwrap().clone()
}

/// Sets what goes wrong in the lab, as its control endpoint takes it.
async fn set_faults(a: &lab::Addresses, faults: &Value) {
    let ca = reqwest::Certificate::from_pem(a.ca_pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .build()
        .unwrap();
    let answer = http
        .post(format!("{}/faults", a.control))
        .json(faults)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// Runs the whole plan of a design against a fresh lab.
async fn rehearse(design: Design, options: Options, faults: Value) -> (Lab, RunState) {
    let began = std::time::Instant::now();
    let lab = Lab::start(Options {
        speed: 10_000,
        skip_idle_over: Some(Duration::ZERO),
        ..options
    })
    .await
    .unwrap();
    let a = lab.addresses();
    set_faults(&a, &faults).await;
    let c = connections(&a);
    let password = Secret::new(a.vcenter_password.clone());
    let vc = vsphere::VCenter::connect(&c.vcenter, &password, Arc::new(plan::exchange::NoTrace))
        .await
        .unwrap();
    let inventory = vc.inventory().await.unwrap();
    vc.logout().await;
    let plan = plan::graph::plan(&design, &a.subscription_id, &inventory).unwrap();
    let findings = plan.findings.iter().filter(|f| f.rule != "agentless-vddk").count();
    assert_eq!(findings, 0, "the sample must have no findings: {:?}", plan.findings);
    let runner = runner(&a);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.rehost");
    let mut project = smarthotel::project("p", c, 10_000, 1);
    project.design = design;
    let file = Arc::new(ProjectFile::create(&path, &project).unwrap());
    let mut options = RunOptions::new("test", "test", "0");
    options.rehearsal = true;
    options.auto_accept_gates = true;
    let handle = Engine::start(
        file.clone(),
        Arc::new(plan),
        runner,
        Arc::new(LabTime(lab.clock())),
        options,
    )
    .unwrap();
    let finished = tokio::time::timeout(Duration::from_secs(90), handle.finished()).await;
    let state = handle.state();
    let open: Vec<_> = state
        .tasks
        .iter()
        .filter(|t| !t.status.is_settled())
        .map(|t| format!("{} {:?} {} {:?}", t.address, t.status, t.text, t.failure))
        .collect();
    println!("{} tasks, {:?}", state.tasks.len(), began.elapsed());
    assert!(open.is_empty(), "not settled:\n{}\n{:#?}", open.join("\n"), lab.stats());
    assert!(matches!(finished, Ok(Ok(Outcome::Done))));
    assert!(state.tasks.len() >= 60);
    assert_eq!(
        lab.stats().repeated,
        vec![],
        "nothing that changes something is asked for twice"
    );
    file.verify_chain().unwrap();
    drop(handle);
    drop(file);
    let bytes = std::fs::read(&path).unwrap();
    for canary in [
        "Canary-Adm1n-Passw0rd",
        a.vcenter_password.as_str(),
        a.client_secret.as_str(),
    ] {
        assert!(
            !bytes.windows(canary.len()).any(|w| w == canary.as_bytes()),
            "a secret is in the project file"
        );
    }
    (lab, state)
}

/// Addresses of what was not needed.
fn skipped(state: &RunState) -> Vec<String> {
    let skipped = state.tasks.iter().filter(|t| t.status == TaskStatus::Skipped);
    skipped.map(|t| t.address.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_scenario_runs_to_the_end_without_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        diary: Some(folder.path().join("lab.diary")),
        ..Options::default()
    };
    let (lab, run) = rehearse(agentless(), options.clone(), json!([])).await;
    assert_eq!(
        skipped(&run),
        [
            "step-2/provider/Microsoft.DataMigration",
            "step-2/dms/instance",
            "step-3/storage/contosovmsacc20180528",
            "step-3/vault/ContosoMigrationVault",
            "step-4/mobility-account/none",
            "step-7/recovery-plan/ContosoMigrationPlan",
            "step-7/commit/WEBVM",
            "step-8/dms/instance"
        ],
        "only what the method does not need is skipped"
    );
    let state = lab.final_state();
    let left: Vec<_> = state["azure"]["resources"].as_object().unwrap().keys().collect();
    for gone in [
        "microsoft.migrate",
        "microsoft.offazure",
        "microsoft.recoveryservices",
        "microsoft.authorization",
        "microsoft.storage",
        "microsoft.compute/disks",
        "webvm-test",
    ] {
        assert!(
            !left.iter().any(|id| id.contains(gone)),
            "{gone} is left behind: {left:?}"
        );
    }
    assert!(left.iter().any(|id| id.ends_with("/virtualmachines/webvm")), "{left:?}");
    assert_eq!(state["onPrem"]["roles"], json!({}));
    assert!(state["onPrem"]["vms"].get("ASR-APPLIANCE").is_none());
    // The lab comes back from its diary to the same end.
    let now = lab.clock().now();
    lab.stop().await;
    let again = Lab::start(Options {
        resume_at: Some(now),
        ..options
    })
    .await
    .unwrap();
    let back = again.final_state();
    assert!(back == state, "after the diary:\n{back:#}\nbefore:\n{state:#}");
    again.stop().await;
}

/// Each of these is carried out, and its answer lost: the run must see what happened, and go on without asking again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_repeat_nothing_without_an_agent() {
    let lost = |method: &str, path: &str| json!({"service": "arm", "method": method, "path": path, "ends": {"hits": 1}, "effect": "cutAfter"});
    let faults = json!([
        lost("PUT", "solutions/*"),
        lost("PUT", "roleAssignments/*"),
        lost("PUT", "replicationPolicies/*"),
        lost("PUT", "containermapping"),
        lost("PUT", "replicationMigrationItems/*"),
        lost("POST", "testMigrate"),
        lost("POST", "testMigrateCleanup"),
        lost("POST", "migrate"),
        lost("PATCH", "virtualMachines/*"),
        lost("DELETE", "replicationMigrationItems/*"),
        lost("POST", "containermapping/remove"),
        lost("POST", "removeInfra"),
        lost("DELETE", "locks/*"),
    ]);
    let (lab, run) = rehearse(agentless(), Options::default(), faults).await;
    assert_eq!(lab.unmet(), Vec::<usize>::new(), "rules that struck nothing");
    assert!(run.tasks.iter().any(|t| t.attempts > 1));
    lab.stop().await;
}

fn agentless() -> Design {
    Design {
        replication: ReplicationMethod::VMwareCbt,
        ..smarthotel::design()
    }
}

/// What a task's evidence says.
fn evidence(reports: &engine::kind::Reports) -> Vec<String> {
    let said = reports.take().into_iter().filter_map(|r| match r {
        Report::Evidence(e) => Some(e),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn retired_generations_are_explained_and_never_started() {
    let lab = full_speed().await;
    let runner = runner(&lab.addresses());
    let task = task_of("step-3/check-retired/replication");
    let look = async || {
        let (ctx, reports) = Ctx::for_test(task.clone(), BTreeMap::new(), Arc::new(LabTime(lab.clock())));
        let seen = runner.kind(&task).observe(&ctx).await;
        (seen, evidence(&reports))
    };
    let (seen, said) = look().await;
    assert_eq!(seen, Ok(Observed::Matches));
    assert_eq!(
        said,
        ["No retired generation of replication was found in 0 vaults, by the rules of 2026-11."]
    );
    lab.with_world(|w| {
        w.leave_classic("OldVault", "CS01", &["OLDVM", "OLDER"], None);
        w.leave_classic("OldMigrate", "CS02", &[], Some("OldProject"));
    });
    let (seen, mut said) = look().await;
    said.sort();
    assert_eq!(seen, Ok(Observed::Matches), "what others left doesn't stop this plan");
    for (sentence, parts) in said.iter().zip([
        [
            "Vault OldMigrate holds Azure Migrate agent-based classic",
            "CS02",
            "30 September 2026",
        ],
        [
            "Vault OldVault holds Site Recovery classic",
            "Machines: OLDVM, OLDER",
            "15 March 2026",
        ],
    ]) {
        for part in parts {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        assert!(
            sentence.contains("Rehost starts nothing there. Source: learn.microsoft.com"),
            "{sentence}"
        );
    }
    assert_eq!(said.len(), 2);
    assert_eq!(lab.stats().mutations, vec![]);
    // The machine of this plan is another matter.
    lab.with_world(|w| w.leave_classic("OldVault", "CS01", &["webvm"], None));
    let refused = look().await.0.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.class),
        ("ReplicatedByRetired", FailureClass::NeedsPerson)
    );
    assert!(refused.hint.contains("disable their replication"), "{}", refused.hint);
    runner.close().await;
}
