use crate::{Desk, connections::Bench, found_below};
use api::wire::*;
use plan::{
    Inventory, ReplicationMethod,
    guest::{Item, System},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WEBVM: &str = "vm-21";

async fn bench() -> Bench {
    let b = Bench::new().await;
    b.save("vcenter", json!(b.lab.addresses().vcenter_password))
        .await
        .unwrap();
    read(&b).await;
    b
}

async fn read(b: &Bench) {
    let heard: Vec<InventoryMessage> = b.desk.stream("inventory_read", json!({ "project": b.project })).await;
    assert!(matches!(heard.last(), Some(InventoryMessage::Done { .. })), "{heard:?}");
}

async fn of<T: serde::de::DeserializeOwned>(b: &Bench, command: &str, more: Value) -> Result<T, UiError> {
    let mut arguments = json!({ "project": b.project, "moref": WEBVM });
    for (key, value) in more.as_object().unwrap() {
        arguments[key] = value.clone();
    }
    b.desk.call(command, arguments).await
}

async fn check(b: &Bench, remember: bool) -> Result<GuestView, UiError> {
    let login = b.lab.addresses().guests.into_iter().find(|g| g.moref == WEBVM).unwrap();
    let account = json!({ "user": login.user, "password": login.password, "remember": remember });
    of(b, "guest_check", account).await
}

fn states(view: &GuestView) -> BTreeMap<String, GuestItemState> {
    view.items.iter().map(|i| (i.rule.clone(), i.state)).collect()
}

fn wrong(view: &GuestView) -> Vec<Item> {
    let wrong = view.items.iter().filter(|i| i.state == GuestItemState::Wrong);
    wrong.map(|i| i.item).collect()
}

async fn findings(b: &Bench) -> Vec<String> {
    let arguments = json!({ "project": b.project, "morefs": [WEBVM] });
    let judged: Vec<VmFindings> = b.desk.call("inventory_findings", arguments).await.unwrap();
    let of = judged[0]
        .methods
        .iter()
        .find(|m| m.method == ReplicationMethod::InMageRcm)
        .unwrap();
    let rules = of.findings.iter().map(|f| f.rule.clone());
    rules.filter(|r| r.starts_with("guest-")).collect()
}

#[tokio::test]
async fn readiness_is_checked_fixed_and_taken_back_after_a_restart() {
    let b = bench().await;
    let view: GuestView = of(&b, "guest_get", json!({})).await.unwrap();
    assert_eq!((view.system, view.read_at.as_ref()), (Some(System::Windows), None));
    assert!(
        view.items
            .iter()
            .all(|i| i.state == GuestItemState::Unknown && !i.fixable)
    );
    assert!(view.script.unwrap().text.contains("rehost-readiness"));
    let early: UiError = of::<GuestFixPreview>(&b, "guest_fix_preview", json!({ "item": "rdp" }))
        .await
        .unwrap_err();
    assert_eq!(early.code, ErrorCode::State);
    let none = of::<GuestView>(&b, "guest_check", json!({ "remember": false }))
        .await
        .unwrap_err();
    assert!(
        none.code == ErrorCode::Invalid && none.hint.contains("Check now"),
        "{none:?}"
    );

    let view = check(&b, true).await.unwrap();
    assert!(view.read_at.is_some() && view.remembered && view.account.as_deref() == Some("Administrator"));
    let all = [
        Item::Rdp,
        Item::Firewall,
        Item::San,
        Item::Updates,
        Item::Reboot,
        Item::Services,
    ];
    assert_eq!(wrong(&view), all);
    assert_eq!(findings(&b).await.len(), 6);
    let updates = view.items.iter().find(|i| i.item == Item::Updates).unwrap();
    assert!(!updates.fixable && updates.person.as_ref().unwrap().who == "Windows administrator");

    let preview: GuestFixPreview = of(&b, "guest_fix_preview", json!({ "item": "rdp" })).await.unwrap();
    assert!(
        preview.changes[0].ends_with("fDenyTSConnections: from 1 to 0"),
        "{preview:?}"
    );
    assert!(preview.undo.text.contains("-Value 1 "));
    let person = of::<GuestFixPreview>(&b, "guest_fix_preview", json!({ "item": "updates" }))
        .await
        .unwrap_err();
    assert_eq!(person.code, ErrorCode::State);
    for item in ["rdp", "firewall", "san", "services"] {
        let view: GuestView = of(&b, "guest_fix", json!({ "item": item })).await.unwrap();
        let row = view.items.iter().find(|i| json!(i.item) == item).unwrap();
        assert!(
            row.state == GuestItemState::Right && row.undoable_since.is_some(),
            "{row:?}"
        );
    }
    assert_eq!(findings(&b).await, ["guest-updates", "guest-reboot"]);

    // A new discovery, and a new look at the machine, know nothing of its inside: what was known stays.
    read(&b).await;
    let _: Vec<plan::Vm> = b
        .desk
        .call("inventory_details", json!({ "project": b.project, "morefs": [WEBVM] }))
        .await
        .unwrap();
    assert_eq!(findings(&b).await.len(), 2);

    // The program is started again.
    b.desk
        .call::<()>("project_close", json!({ "project": b.project }))
        .await
        .unwrap();
    b.desk
        .call::<ProjectView>("project_open", json!({ "path": b.project }))
        .await
        .unwrap();
    let view: GuestView = of(&b, "guest_undo", json!({ "item": "firewall" })).await.unwrap();
    assert_eq!(wrong(&view), [Item::Firewall, Item::Updates, Item::Reboot]);
    b.lab.with_world(|w| {
        let guest = &w.onprem.vm(WEBVM).unwrap().guest;
        assert!(
            guest.rules.iter().all(|r| !r.enabled && r.profiles == 3),
            "{:?}",
            guest.rules
        );
        assert!(guest.files.is_empty() && guest.directories.is_empty());
    });
    let twice = of::<GuestView>(&b, "guest_undo", json!({ "item": "firewall" }))
        .await
        .unwrap_err();
    assert_eq!(twice.code, ErrorCode::State);

    let password = &b.lab.addresses().guests[0].password;
    assert_eq!(found_below(b.desk.home.path(), password), None);
}

#[tokio::test]
async fn refusals_of_the_guest_are_told_and_change_nothing() {
    let b = bench().await;
    let wrong_password = json!({ "user": "Administrator", "password": "canary-no", "remember": true });
    let e = of::<GuestView>(&b, "guest_check", wrong_password).await.unwrap_err();
    assert!(
        e.title.contains("The guest refused") && !format!("{e:?}").contains("canary-no"),
        "{e:?}"
    );
    let view: GuestView = of(&b, "guest_get", json!({})).await.unwrap();
    assert!(!view.account_ready, "what has not worked is not remembered");
    check(&b, false).await.unwrap();
    b.lab
        .with_world(|w| w.onprem.vm_mut(WEBVM).unwrap().tools_running = false);
    let e = of::<GuestView>(&b, "guest_fix", json!({ "item": "rdp" }))
        .await
        .unwrap_err();
    assert!(e.hint.contains("paste its output"), "{e:?}");
    let view: GuestView = of(&b, "guest_get", json!({})).await.unwrap();
    assert!(
        view.items.iter().all(|i| i.undoable_since.is_none()),
        "nothing was begun"
    );
    assert!(!view.remembered && view.account_ready);

    // A script that fails in the middle: what it may have changed is on record, and can be taken back.
    b.lab.with_world(|w| {
        let vm = w.onprem.vm_mut(WEBVM).unwrap();
        vm.tools_running = true;
        vm.guest.guarded.insert("RemoteRegistry".into());
    });
    let e = of::<GuestView>(&b, "guest_fix", json!({ "item": "services" }))
        .await
        .unwrap_err();
    assert!(e.detail.contains("Access is denied"), "{e:?}");
    let view: GuestView = of(&b, "guest_get", json!({})).await.unwrap();
    let row = view.items.iter().find(|i| i.item == Item::Services).unwrap();
    assert!(row.undoable_since.is_some());
}

#[tokio::test]
async fn what_was_changed_since_it_was_read_is_shown_before_it_is_fixed() {
    let b = bench().await;
    check(&b, false).await.unwrap();
    let policy = |to: &str| {
        b.lab
            .with_world(|w| w.onprem.vm_mut(WEBVM).unwrap().guest.san = to.into())
    };
    policy("OfflineAll");
    let fix = json!({ "item": "san" });
    let e = of::<GuestView>(&b, "guest_fix", fix.clone()).await.unwrap_err();
    assert!(
        e.code == ErrorCode::State && e.title.contains("not as it was shown"),
        "{e:?}"
    );
    let view: GuestView = of(&b, "guest_get", json!({})).await.unwrap();
    let row = view.items.iter().find(|i| i.item == Item::San).unwrap();
    assert!(row.undoable_since.is_none() && row.found.as_ref().unwrap().contains("OfflineAll"));

    // Shown anew, it is fixed, and the way back leads to what was there.
    let _: GuestView = of(&b, "guest_fix", fix.clone()).await.unwrap();
    let _: GuestView = of(&b, "guest_undo", fix).await.unwrap();
    b.lab
        .with_world(|w| assert_eq!(w.onprem.vm(WEBVM).unwrap().guest.san, "OfflineAll"));
}

#[tokio::test]
async fn what_a_person_pastes_is_read_and_what_is_none_is_said() {
    let b = bench().await;
    for (output, why) in [
        ("", "readiness=1"),
        ("readiness=1\nos=windows\nrdp.deny=1", "end=1"),
        (
            "readiness=1\nos=windows\nrdp.deny=maybe\nend=1",
            "Line 3, rdp.deny=maybe",
        ),
        ("readiness=1\nos=linux\nssh.running=1\nend=1", "runs Microsoft Windows"),
    ] {
        let e = of::<GuestView>(&b, "guest_paste", json!({ "output": output }))
            .await
            .unwrap_err();
        assert!(e.code == ErrorCode::Invalid && e.detail.contains(why), "{e:?}");
    }
    let output = "PS C:\\> .\\readiness.ps1\nreadiness=1\nos=windows\nrdp.deny=0\nrdp.port=3389\nsan=OfflineAll\nend=1\nPS C:\\>";
    let view: GuestView = of(&b, "guest_paste", json!({ "output": output })).await.unwrap();
    assert!(view.pasted && wrong(&view) == [Item::San]);
    assert_eq!(states(&view)["guest-updates"], GuestItemState::Unknown);
    assert_eq!(findings(&b).await, ["guest-san"]);
}

#[tokio::test]
async fn a_rehearsal_knows_the_accounts_of_its_machines_and_comes_back_to_what_was_fixed() {
    let desk = Desk::new();
    let view: ProjectView = desk.call("rehearse_sample", crate::at_full_speed()).await.unwrap();
    let of = |more: Value| {
        let mut arguments = json!({ "project": view.path, "moref": WEBVM });
        for (key, value) in more.as_object().unwrap() {
            arguments[key] = value.clone();
        }
        arguments
    };
    let found: Option<Inventory> = desk
        .call("inventory_get", json!({ "project": view.path }))
        .await
        .unwrap();
    assert!(found.unwrap().vm("WEBVM").is_some_and(|v| v.moref == WEBVM));
    let checked: GuestView = desk
        .call("guest_check", of(json!({ "remember": false })))
        .await
        .unwrap();
    assert!(checked.remembered && checked.read_at.is_some());
    desk.app.close().await;
}
