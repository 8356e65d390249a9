use crate::connections::{Bench, last};
use api::wire::*;
use lab::onprem::{LabPermission, Power};
use serde_json::json;

async fn bench() -> Bench {
    let b = Bench::new().await;
    let password = b.lab.addresses().vcenter_password;
    b.save("vcenter", json!(password)).await.unwrap();
    b
}

async fn rights(b: &Bench) -> RightsView {
    b.desk
        .call("vcenter_rights", json!({ "project": b.project }))
        .await
        .unwrap()
}

#[tokio::test]
async fn both_accounts_are_looked_at_before_there_is_a_subscription() {
    let b = bench().await;
    let r = rights(&b).await;
    assert_eq!((r.user.as_str(), r.lacking), ("administrator@vsphere.local", None));
    assert!(
        r.own.len() > 20 && r.own.iter().all(|o| o.missing.is_empty() && o.seen),
        "{:#?}",
        r.own
    );
    assert_eq!((r.principal.as_str(), r.principal_known), ("CONTOSO\\svc-asr", false));
    let role = &r.roles[0];
    assert_eq!(
        (
            role.name.as_str(),
            role.place.as_str(),
            role.privileges.len(),
            role.exists
        ),
        (
            "Azure_Site_Recovery",
            "datacenter contoso-datacenter, propagated to everything in it",
            53,
            false
        )
    );
    for (script, part) in [
        (
            &r.roles_script,
            "Set-Permission (Find-Datacenter 'contoso-datacenter') 'CONTOSO\\svc-asr'",
        ),
        (
            &r.own_script,
            "Set-Permission (Get-Root) 'administrator@vsphere.local' 'Rehost' $true",
        ),
    ] {
        assert!(script.text.contains(part), "{part} is missing in {}", script.text);
    }
    let task = json!({ "project": b.project, "address": "step-4/role/Azure_Site_Recovery" });
    let refused = b
        .desk
        .call::<FilledScript>("task_script", task.clone())
        .await
        .unwrap_err();
    assert_eq!(
        refused.code,
        ErrorCode::Plan,
        "a plan needs a subscription: {refused:?}"
    );
    let azure = b.save("azure", json!(b.lab.addresses().client_secret)).await;
    azure.unwrap();
    let script: FilledScript = b.desk.call("task_script", task).await.unwrap();
    assert!(script.language == "powershell" && script.text.contains("New-VIRole"));
    // The check's own script gives Rehost's account what the plan needs.
    let task = json!({ "project": b.project, "address": "step-1/check-rights/vcenter" });
    let own: FilledScript = b.desk.call("task_script", task).await.unwrap();
    let account = &b.connections.vcenter.user;
    assert!(own.text.contains(account) && own.text.contains("VirtualMachine.Interact.PowerOff"));
}

/// As if a directory administrator had made the appliance's account.
fn account_there(b: &Bench) {
    b.lab
        .with_world(|w| w.onprem.principals.insert("CONTOSO\\svc-asr".into()));
}

async fn apply(b: &Bench, changes: &[String]) -> Result<RightsView, UiError> {
    b.desk
        .call(
            "vcenter_roles_apply",
            json!({ "project": b.project, "changes": changes }),
        )
        .await
}

#[tokio::test]
async fn the_role_is_made_and_granted_as_it_was_shown_and_read_again() {
    let b = bench().await;
    let without = rights(&b).await;
    assert!(
        without.changes == ["Make the role Azure_Site_Recovery with 53 privileges."]
            && without.obstacles.iter().any(|o| o.contains("directory administrator")),
        "{without:#?}"
    );
    account_there(&b);
    let shown = rights(&b).await;
    assert_eq!(
        shown.changes,
        [
            "Make the role Azure_Site_Recovery with 53 privileges.",
            "Give CONTOSO\\svc-asr the role Azure_Site_Recovery on datacenter contoso-datacenter, propagated to everything in it.",
        ]
    );
    assert_eq!((shown.obstacles.len(), &shown.roles[0].granted), (0, &RoleGrant::No));
    // What is done is what was shown, or nothing.
    let stale = apply(&b, &without.changes).await.unwrap_err();
    assert_eq!(stale.code, ErrorCode::State);
    assert!(!rights(&b).await.roles[0].exists);

    let done = apply(&b, &shown.changes).await.unwrap();
    let role = &done.roles[0];
    assert_eq!((done.changes.len(), &role.granted), (0, &RoleGrant::Yes));
    assert_eq!(role.lacks.as_deref(), Some(&[][..]), "vCenter itself says so");
    assert_eq!(apply(&b, &[]).await.unwrap(), done, "again is nothing");

    // Somebody takes something away.
    b.lab.with_world(|w| {
        let role = w.onprem.roles.iter_mut().find(|r| r.name == "Azure_Site_Recovery");
        role.unwrap().privileges.retain(|p| p != "Network.Assign");
        let granted = w
            .onprem
            .permissions
            .iter_mut()
            .find(|p| p.principal == "CONTOSO\\svc-asr");
        granted.unwrap().propagate = false;
    });
    let less = rights(&b).await;
    assert_eq!(
        less.changes,
        [
            "Add to the role Azure_Site_Recovery: Network.Assign.",
            "Let the role Azure_Site_Recovery of CONTOSO\\svc-asr on datacenter contoso-datacenter hold for everything in it as well.",
        ]
    );
    assert_eq!(less.roles[0].granted, RoleGrant::NotPropagated);
    assert_eq!(apply(&b, &less.changes).await.unwrap(), done);
}

#[tokio::test]
async fn what_somebody_else_has_granted_is_not_replaced() {
    let b = bench().await;
    account_there(&b);
    let give = |role: i32| {
        b.lab.with_world(|w| {
            w.onprem.permissions.retain(|p| p.principal != "CONTOSO\\svc-asr");
            w.onprem.permissions.push(LabPermission {
                entity: "datacenter-2".into(),
                entity_kind: "Datacenter".into(),
                principal: "CONTOSO\\svc-asr".into(),
                group: false,
                role,
                propagate: true,
            });
        });
    };
    give(-2);
    let shown = rights(&b).await;
    let other = RoleGrant::Other {
        role: Some("ReadOnly".into()),
    };
    assert_eq!((shown.changes.len(), &shown.roles[0].granted), (1, &other));
    assert!(shown.obstacles[0].contains("ReadOnly") && shown.obstacles[0].contains("vCenter administrator"));
    let done = apply(&b, &shown.changes).await.unwrap();
    assert!(done.roles[0].exists && done.changes.is_empty() && done.roles[0].granted == other);
    assert!(done.roles[0].lacks.as_ref().is_some_and(|l| !l.is_empty()));
    give(-1);
    let admin = rights(&b).await;
    assert_eq!(admin.roles[0].granted, RoleGrant::Covered { role: "Admin".into() });
    assert_eq!((admin.changes.len(), admin.obstacles.len()), (0, 0));
}

#[tokio::test]
async fn an_account_that_may_not_make_roles_is_told_so_and_the_script_is_saved_for_one_that_may() {
    let b = bench().await;
    account_there(&b);
    let shown = rights(&b).await;
    b.lab.with_world(|w| w.onprem.permissions[0].role = -2);
    let refused = apply(&b, &shown.changes).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Refused);
    assert!(
        refused.detail.contains("Authorization.ModifyRoles") && refused.hint.contains("vCenter administrator"),
        "{refused:?}"
    );
    for (script, part) in [
        ("roles", "'CONTOSO\\svc-asr'"),
        ("own", "'administrator@vsphere.local' 'Rehost' $true"),
    ] {
        let arguments = json!({ "project": b.project, "script": script });
        let saved: Option<String> = b.desk.call("vcenter_script_save", arguments).await.unwrap();
        let text = std::fs::read_to_string(saved.unwrap()).unwrap();
        assert!(text.starts_with('\u{feff}') && text.contains(part), "{text}");
        assert!(text.lines().count() > 10 && text.matches('\n').count() == text.matches("\r\n").count());
    }
}

#[tokio::test]
async fn azure_migrate_needs_a_second_role_on_the_vcenter_itself() {
    let b = bench().await;
    account_there(&b);
    let method = json!({ "project": b.project, "replication": "VMwareCbt", "databaseMethod": "LogReplay" });
    b.desk.call::<ProjectView>("methods_set", method).await.unwrap();
    let shown = rights(&b).await;
    assert_eq!((shown.roles.len(), shown.changes.len()), (2, 4), "{:#?}", shown.changes);
    assert_eq!(shown.roles[1].place, "the vCenter itself, not propagated");
    let done = apply(&b, &shown.changes).await.unwrap();
    assert!(done.changes.is_empty() && done.roles.iter().all(|r| r.granted == RoleGrant::Yes));
    assert!(
        done.roles.iter().all(|r| r.lacks.as_ref().is_some_and(Vec::is_empty)),
        "{:#?}",
        done.roles
    );
}

#[tokio::test]
async fn what_lacks_is_told_by_step_and_object() {
    let b = bench().await;
    // Read-only: enough for discovery.
    b.lab.with_world(|w| w.onprem.permissions[0].role = -2);
    let r = rights(&b).await;
    assert!(r.lacking.is_some_and(|hint| hint.contains("vCenter administrator")));
    let shutdown = r
        .own
        .iter()
        .find(|o| o.task.as_str() == "step-7/shutdown/SQLVM")
        .unwrap();
    assert_eq!(
        (shutdown.step, shutdown.on.as_str(), &*shutdown.missing),
        (7, "SQLVM", &["VirtualMachine.Interact.PowerOff".to_owned()][..])
    );
    let test = b.test("vcenter").await;
    let step = last(&test);
    assert!(
        !test.ok && step.title == "Rights" && step.detail.contains("step 7, Shut down SQLVM"),
        "{step:#?}"
    );
}

#[tokio::test]
async fn a_password_that_the_appliance_refuses_is_told_where_rehost_sees_it() {
    let mut b = bench().await;
    for (password, accepted) in [("semi;colon", false), ("Correct-horse-1", true)] {
        b.lab.with_world(|w| {
            w.onprem.principals.insert("CONTOSO\\svc-asr".into());
            w.onprem.accounts.insert("CONTOSO\\svc-asr".into(), password.into());
            w.onprem.permissions.push(LabPermission {
                entity: "group-d1".into(),
                entity_kind: "Folder".into(),
                principal: "CONTOSO\\svc-asr".into(),
                group: false,
                role: -1,
                propagate: true,
            });
        });
        b.connections.vcenter.user = "svc-asr@contoso.com".into();
        b.save("vcenter", json!(password)).await.unwrap();
        let test = b.test("vcenter").await;
        assert_eq!(test.ok, accepted, "{:#?}", test.steps);
        assert!(accepted || last(&test).title == "Password for the appliance");
        assert!(!format!("{test:?}").contains("semi;"), "{test:#?}");
    }
}

#[tokio::test]
async fn a_machines_history_is_read() {
    let b = bench().await;
    b.lab.with_world(|w| w.set_power("vm-21", Power::Off));
    let of = |moref: &str| json!({ "project": b.project, "moref": moref });
    let events: Vec<VmEventView> = b.desk.call("vm_events", of("vm-21")).await.unwrap();
    assert_eq!((events.len(), events[0].kind.as_str()), (1, "VmPoweredOffEvent"));
    assert!(events[0].message.contains("WEBVM") && events[0].at.starts_with("2026-"));
    let none: Vec<VmEventView> = b.desk.call("vm_events", of("vm-22")).await.unwrap();
    assert_eq!(none, []);
    assert!(b.desk.call::<Vec<VmEventView>>("vm_events", of("vm-99")).await.is_err());
}
