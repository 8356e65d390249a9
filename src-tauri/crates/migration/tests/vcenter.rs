//! What goes wrong around vCenter: rights that lack, permissions of others, sessions, tasks and machines that are gone.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Ctx, FailureClass, Handle, Observed, Runner, kind::Report, kind::Reports};
use lab::{
    Lab, Options,
    onprem::{LabPermission, Power},
};
use migration::Migration;
use plan::{Task, smarthotel};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use support::{LabTime, runner};

async fn start() -> (Lab, Arc<Migration>) {
    let lab = Lab::start(Options {
        skip_idle_over: Some(Duration::ZERO),
        people: false,
        ..Options::default()
    })
    .await
    .unwrap();
    lab.with_world(|w| w.onprem.principals.insert(ACCOUNT.into()));
    let runner = runner(&lab);
    (lab, runner)
}

const ACCOUNT: &str = "CONTOSO\\svc-asr";

fn task_of(address: &str) -> Task {
    let plan = plan::graph::plan(&smarthotel::design(), "s", &plan::Inventory::default()).unwrap();
    plan.task(&address.parse().unwrap()).unwrap().clone()
}

fn ctx(lab: &Lab, task: &Task, facts: &[(&str, &str)]) -> (Ctx, Reports) {
    let facts: BTreeMap<String, Value> = facts.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Ctx::for_test(task.clone(), facts, Arc::new(LabTime(lab.clock())))
}

fn evidence(reports: &Reports) -> Vec<String> {
    let said = |r| match r {
        Report::Evidence(e) => Some(e),
        _ => None,
    };
    reports.take().into_iter().filter_map(said).collect()
}

/// Carries a task out as the engine does, and returns what it said.
async fn carry_out(lab: &Lab, runner: &Migration, address: &str, facts: &[(&str, &str)]) -> Vec<String> {
    let task = task_of(address);
    let (ctx, reports) = ctx(lab, &task, facts);
    let kind = runner.kind(&task);
    assert!(
        matches!(
            kind.observe(&ctx).await.unwrap(),
            Observed::Absent | Observed::Differs(_)
        ),
        "{address}"
    );
    if let Some(handle) = kind.apply(&ctx).await.unwrap() {
        kind.settle(&ctx, &handle).await.unwrap();
    }
    kind.verify(&ctx).await.unwrap();
    evidence(&reports)
}

fn give(lab: &Lab, role: i32, propagate: bool) {
    lab.with_world(|w| {
        w.onprem.permissions.push(LabPermission {
            entity: "datacenter-2".into(),
            entity_kind: "Datacenter".into(),
            principal: ACCOUNT.into(),
            group: false,
            role,
            propagate,
        })
    });
}

const PERMISSION: &str = "step-4/permission/contoso-datacenter";
const ROLE: &str = "step-4/role/Azure_Site_Recovery";

#[tokio::test]
async fn rights_are_all_there_or_the_run_does_not_begin() {
    let (lab, runner) = start().await;
    let task = task_of("step-1/check-rights/vcenter");
    let (all, reports) = ctx(&lab, &task, &[]);
    let kind = runner.kind(&task);
    assert!(kind.only_checks());
    assert_eq!(kind.observe(&all).await.unwrap(), Observed::Matches);
    assert!(evidence(&reports)[0].starts_with("The account has all rights for "));

    // Read-only, like an account that was made for discovery.
    lab.with_world(|w| w.onprem.permissions[0].role = -2);
    let failure = kind.observe(&all).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::NeedsPerson, "NoRights")
    );
    for part in [
        "On the vCenter: Authorization.ModifyRoles. Needed for step 4, vCenter role Azure_Site_Recovery; step 8, ",
        "On SQLVM: VirtualMachine.Config.Annotation, VirtualMachine.Config.Rename, VirtualMachine.Interact.PowerOff, VirtualMachine.Inventory.Delete, VirtualMachine.Inventory.Move. Needed for step 7, Shut down SQLVM; step 8, ",
        "On datacenter contoso-datacenter: Authorization.ModifyPermissions, ",
    ] {
        assert!(failure.detail.contains(part), "{part} is missing in {}", failure.detail);
    }
    assert!(!failure.detail.contains("System.Read"));
    runner.close().await;
}

#[tokio::test]
async fn a_role_is_completed_and_proved() {
    let (lab, runner) = start().await;
    let said = carry_out(&lab, &runner, ROLE, &[]).await;
    assert!(said.iter().any(|e| e.contains("has all 53 privileges")), "{said:?}");
    let said = carry_out(&lab, &runner, PERMISSION, &[]).await;
    assert!(
        said.iter()
            .any(|e| e.contains("vCenter confirms that CONTOSO\\svc-asr has all")),
        "{said:?}"
    );
    lab.with_world(|w| {
        let role = w
            .onprem
            .roles
            .iter_mut()
            .find(|r| r.name == "Azure_Site_Recovery")
            .unwrap();
        role.privileges.remove("Network.Assign");
        role.privileges.insert("Folder.Move".into());
    });
    carry_out(&lab, &runner, ROLE, &[]).await;
    lab.with_world(|w| {
        let role = w.onprem.roles.iter().find(|r| r.name == "Azure_Site_Recovery").unwrap();
        let has = |p: &str| role.privileges.contains(p);
        assert!(has("Network.Assign") && has("Folder.Move"), "what somebody added stays");
    });
    runner.close().await;
}

#[tokio::test]
async fn privileges_of_a_later_version_are_told_and_left_out() {
    let (lab, runner) = start().await;
    let mut task = task_of(ROLE);
    if let plan::Action::EnsureRole { privileges, .. } = &mut task.action {
        *privileges = vec!["Network.Assign".into(), "Future.Thing".into(), "Future.Group.*".into()];
    }
    let (all, reports) = ctx(&lab, &task, &[]);
    let kind = runner.kind(&task);
    assert_eq!(kind.observe(&all).await.unwrap(), Observed::Absent);
    assert_eq!(kind.apply(&all).await.unwrap(), None);
    kind.verify(&all).await.unwrap();
    let said = evidence(&reports);
    assert!(
        said.iter()
            .any(|e| e.contains("has no Future.Thing, Future.Group.*: the role goes without")),
        "{said:?}"
    );
    runner.close().await;
}

#[tokio::test]
async fn a_permission_that_somebody_else_gave_is_not_replaced() {
    let (lab, runner) = start().await;
    carry_out(&lab, &runner, ROLE, &[]).await;
    let task = task_of(PERMISSION);
    let kind = runner.kind(&task);
    let look = async || {
        let (all, reports) = ctx(&lab, &task, &[]);
        (kind.observe(&all).await, evidence(&reports))
    };
    give(&lab, -2, true);
    let refused = look().await.0.unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (FailureClass::NeedsPerson, "OtherRole")
    );
    assert!(refused.detail.contains("ReadOnly"), "{}", refused.detail);
    // An administrator may everything.
    lab.with_world(|w| w.onprem.permissions.pop());
    give(&lab, -1, true);
    let (seen, said) = look().await;
    assert_eq!(seen.unwrap(), Observed::Matches);
    assert!(said[0].contains("has the role Admin there"), "{said:?}");
    // The right one, on the datacenter alone.
    let id = lab.with_world(|w| {
        w.onprem.permissions.pop();
        w.onprem.roles.iter().find(|r| !r.system).unwrap().id
    });
    give(&lab, id, false);
    assert_eq!(
        look().await.0.unwrap(),
        Observed::Differs("it is not propagated".into())
    );
    runner.close().await;
}

#[tokio::test]
async fn a_session_that_ends_during_a_wait_is_opened_anew() {
    let (lab, runner) = start().await;
    let task = task_of("step-8/rename/SQLVM");
    let (all, _) = ctx(&lab, &task, &[("vm.SQLVM", "vm-22"), ("vm.SQLVM-migrated", "vm-22")]);
    let kind = runner.kind(&task);
    let handle = kind.apply(&all).await.unwrap().unwrap();
    lab.with_world(|w| w.onprem.sessions.clear());
    kind.settle(&all, &handle).await.unwrap();
    kind.verify(&all).await.unwrap();

    // vCenter has forgotten the task: what is there tells.
    lab.clock()
        .advance_to(lab.clock().now() + jiff::SignedDuration::from_mins(11));
    kind.settle(&all, &handle).await.unwrap();
    kind.settle(&all, &Handle(json!({ "task": "task-4711" })))
        .await
        .unwrap();
    kind.verify(&all).await.unwrap();
    runner.close().await;
}

#[tokio::test]
async fn a_machine_that_goes_away_meanwhile_is_told() {
    let (lab, runner) = start().await;
    let task = task_of("step-8/rename/SQLVM");
    let (all, _) = ctx(&lab, &task, &[("vm.SQLVM", "vm-22")]);
    let kind = runner.kind(&task);
    let handle = kind.apply(&all).await.unwrap().unwrap();
    lab.with_world(|w| w.onprem.vms.retain(|v| v.moref != "vm-22"));
    let failure = kind.settle(&all, &handle).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Permanent, "ManagedObjectNotFound")
    );
    assert_eq!(kind.observe(&all).await.unwrap_err().code, "NoVm");

    // Another task works on it: Rehost looks and tries again.
    let task = task_of("step-8/rename/WEBVM");
    let (all, _) = ctx(&lab, &task, &[("vm.WEBVM", "vm-21")]);
    let (first, second) = (
        kind.apply(&all).await.unwrap().unwrap(),
        kind.apply(&all).await.unwrap().unwrap(),
    );
    let failure = kind.settle(&all, &second).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Conflict, "TaskInProgress")
    );
    kind.settle(&all, &first).await.unwrap();
    runner.close().await;
}

#[tokio::test]
async fn a_retired_machine_says_where_it_went_and_goes_into_its_folder() {
    let (lab, runner) = start().await;
    lab.with_world(|w| {
        let vm = w.onprem.vm_mut("vm-21").unwrap();
        (vm.name, vm.annotation) = ("WEBVM-migrated".into(), "Owner: Anna\n".into());
    });
    let facts = [("vm.WEBVM-migrated", "vm-21"), ("folder.WEBVM-migrated", "group-v3")];
    let address = [
        "step-8/annotate/WEBVM",
        "step-8/folder/Migrated to Azure",
        "step-8/move/WEBVM",
    ];
    for address in address {
        carry_out(&lab, &runner, address, &facts).await;
    }
    lab.with_world(|w| {
        let vm = w.onprem.vm("vm-21").unwrap();
        assert_eq!(
            vm.annotation,
            "Owner: Anna\nMigrated to Azure: VM WEBVM in ContosoRG. Don't power it on. It is kept 30 days, then removed. Application SmartHotel. (2026-11-21)"
        );
        assert_eq!(w.onprem.entity(&vm.folder).unwrap().name, "Migrated to Azure");
    });
    // Everything is there: nothing is done twice.
    for address in address {
        let task = task_of(address);
        let (all, _) = ctx(&lab, &task, &facts);
        assert_eq!(
            runner.kind(&task).observe(&all).await.unwrap(),
            Observed::Matches,
            "{address}"
        );
    }
    // The way back.
    for address in ["step-8/move/WEBVM", "step-8/annotate/WEBVM"] {
        let task = task_of(address);
        let (all, _) = ctx(&lab, &task, &facts);
        runner.kind(&task).undo(&all).await.unwrap();
        all.sleep(10).await.unwrap();
    }
    lab.with_world(|w| {
        let vm = w.onprem.vm("vm-21").unwrap();
        assert_eq!(
            (vm.annotation.as_str(), vm.folder.as_str()),
            ("Owner: Anna", "group-v3")
        );
    });
    runner.close().await;
}

#[tokio::test]
async fn a_guest_that_can_not_be_asked_is_powered_off() {
    let (lab, runner) = start().await;
    lab.with_world(|w| w.onprem.vm_mut("vm-22").unwrap().tools_running = false);
    let said = carry_out(&lab, &runner, "step-7/shutdown/SQLVM", &[]).await;
    assert!(said[0].contains("VMware Tools are not running"), "{said:?}");
    lab.with_world(|w| {
        assert_eq!(w.onprem.vm("vm-22").unwrap().power, Power::Off);
        let vm = w.onprem.vm_mut("vm-22").unwrap();
        (vm.power, vm.tools_running) = (Power::On, false);
    });

    // Announced before a crash, and Tools have stopped since.
    let task = task_of("step-7/shutdown/SQLVM");
    let (mut all, reports) = ctx(&lab, &task, &[]);
    all.intent_at = Some(lab.clock().now());
    let kind = runner.kind(&task);
    let Observed::InFlight(handle) = kind.observe(&all).await.unwrap() else {
        panic!("it is announced")
    };
    kind.settle(&all, &handle).await.unwrap();
    assert!(evidence(&reports)[0].contains("VMware Tools are not running"));
    runner.close().await;
}
