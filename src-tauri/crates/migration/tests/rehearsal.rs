//! The whole SmartHotel plan against the lab, over real HTTPS, with the real clients and the real engine.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{
    Ctx, Engine, FailureClass, Observed, ProjectFile, RunOptions, Runner, TaskStatus, event::Outcome, kind::Report,
};
use lab::{Lab, Options};
use plan::{Design, ReplicationMethod, Task, smarthotel};
use secrets::Secret;
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

#[tokio::test]
async fn another_machine_of_the_retired_name_is_left_alone() {
    let lab = full_speed().await;
    lab.with_world(|w| {
        let other = w.onprem.vms.iter_mut().find(|v| v.name == "contosodc1").unwrap();
        other.name = "SQLVM-migrated".into();
        other.power = lab::onprem::Power::Off;
    });
    let runner = runner(&lab.addresses());
    for address in ["step-8/rename/SQLVM", "step-8/remove-vm/SQLVM"] {
        let task = task_of(address);
        let facts = BTreeMap::from([
            ("vm.SQLVM".into(), "vm-1".into()),
            ("vm.SQLVM-migrated".into(), "vm-1".into()),
        ]);
        let (ctx, _) = Ctx::for_test(task.clone(), facts, Arc::new(LabTime(lab.clock())));
        let refused = runner.kind(&task).observe(&ctx).await.unwrap_err();
        assert_eq!(refused.code, "OtherMachine", "{address}: {refused:?}");
        assert_eq!(refused.class, FailureClass::NeedsPerson);
    }
    runner.close().await;
}

#[tokio::test]
async fn a_shutdown_announced_before_a_crash_is_asked_for_and_not_forced() {
    let lab = full_speed().await;
    let runner = runner(&lab.addresses());
    let task = task_of("step-7/shutdown/SQLVM");
    let (mut ctx, reports) = Ctx::for_test(task.clone(), BTreeMap::new(), Arc::new(LabTime(lab.clock())));
    ctx.intent_at = Some(lab.clock().now());
    let kind = runner.kind(&task);
    let Observed::InFlight(handle) = kind.observe(&ctx).await.unwrap() else {
        panic!("it is announced")
    };
    kind.settle(&ctx, &handle).await.unwrap();
    kind.verify(&ctx).await.unwrap();
    let said: Vec<_> = reports
        .take()
        .into_iter()
        .filter_map(|r| match r {
            Report::Evidence(e) => Some(e),
            _ => None,
        })
        .collect();
    assert!(!said.iter().any(|e| e.contains("powered off")), "{said:?}");
    let changes: Vec<_> = lab.stats().mutations.into_iter().map(|m| m.method).collect();
    assert!(!changes.iter().any(|m| m.starts_with("PowerOff")), "{changes:?}");
    runner.close().await;
}

/// Runs the whole plan of a design against a fresh lab; returns the addresses of what was skipped.
async fn rehearse(design: Design) -> (Lab, Vec<String>) {
    let began = std::time::Instant::now();
    let lab = Lab::start(Options {
        speed: 10_000,
        skip_idle_over: Some(Duration::ZERO),
        ..Options::default()
    })
    .await
    .unwrap();
    let a = lab.addresses();
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
    let skipped = state
        .tasks
        .iter()
        .filter(|t| t.status == TaskStatus::Skipped)
        .map(|t| t.address.to_string())
        .collect();
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
    (lab, skipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_scenario_runs_to_the_end() {
    let (lab, skipped) = rehearse(smarthotel::design()).await;
    assert_eq!(
        skipped,
        [
            "step-2/provider/Microsoft.DataMigration",
            "step-2/dms/instance",
            "step-8/dms/instance"
        ],
        "only what the method does not need is skipped"
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_scenario_runs_to_the_end_without_an_agent() {
    let design = Design {
        replication: ReplicationMethod::VMwareCbt,
        ..smarthotel::design()
    };
    let (lab, skipped) = rehearse(design).await;
    assert_eq!(
        skipped,
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
    assert_eq!(state["onPrem"]["roles"], serde_json::json!({}));
    assert!(state["onPrem"]["vms"].get("ASR-APPLIANCE").is_none());
    lab.stop().await;
}
