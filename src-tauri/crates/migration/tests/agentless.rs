//! The whole SmartHotel plan with Azure Migrate's agentless replication against the lab, over real HTTPS, with the real
//! clients and the real engine. With `LAB_RECORD=FILE` its exchanges are written for Microsoft's validator.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{FailureClass, Observed, RunState, Runner};
use lab::{Lab, Options};
use plan::{Design, ReplicationMethod, smarthotel};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{ctx, evidence, inventory, plan_of, run_whole, runner, skipped, task_of};

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

/// Runs the whole plan against a fresh lab.
async fn rehearse(options: Options, faults: Value) -> (Lab, RunState) {
    let lab = support::lab(Options {
        speed: 10_000,
        ..options
    })
    .await;
    set_faults(&lab.addresses(), &faults).await;
    let design = Design {
        replication: ReplicationMethod::VMwareCbt,
        ..smarthotel::design()
    };
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    let findings = plan.findings.iter().filter(|f| f.rule != "agentless-vddk").count();
    assert_eq!(findings, 0, "the sample must have no findings: {:?}", plan.findings);
    let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
    (lab, state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_scenario_runs_to_the_end_without_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        diary: Some(folder.path().join("lab.diary")),
        record: std::env::var_os("LAB_RECORD").is_some(),
        ..Options::default()
    };
    let (lab, run) = rehearse(options.clone(), json!([])).await;
    if let Some(file) = std::env::var_os("LAB_RECORD") {
        let lines: Vec<String> = lab.exchanges().iter().map(Value::to_string).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
    }
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
    let (lab, run) = rehearse(Options::default(), faults).await;
    assert_eq!(lab.unmet(), Vec::<usize>::new(), "rules that nothing met");
    let again = run.tasks.iter().filter(|t| t.attempts > 1).count();
    assert!(again >= 10, "the answers to {again} tasks were lost");
    lab.stop().await;
}

#[tokio::test]
async fn retired_generations_are_explained_and_never_started() {
    let lab = support::lab(Options::default()).await;
    let runner = runner(&lab);
    let task = task_of("step-3/check-retired/replication");
    let look = async || {
        let (ctx, reports) = ctx(&lab, &task, BTreeMap::new());
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
