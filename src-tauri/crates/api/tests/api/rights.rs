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
            "datacenter contoso-datacenter, propagated",
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
