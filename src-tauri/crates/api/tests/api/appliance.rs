//! The appliance from a template, from the file to the machine in the lab, and what happens when it goes wrong.

use crate::{Desk, connections::Bench, found_below};
use api::{
    rehearsal::{FULL_SPEED, Rehearsal},
    wire::*,
};
use engine::ProjectFile;
use lab::onprem::{LeaseState, Power};
use plan::{DeploymentStage, Placement};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

const CANARY: &str = "Canary-appliance-pw";
const PATIENCE: Duration = Duration::from_secs(120);

async fn bench(bytes: u64) -> Bench {
    let b = Bench::new().await;
    let password = b.lab.addresses().vcenter_password;
    b.save("vcenter", json!(password)).await.unwrap();
    lab::template::write(&b.desk.path("appliance.ova"), bytes).unwrap();
    b
}

async fn call<T: serde::de::DeserializeOwned>(b: &Bench, command: &str, more: Value) -> Result<T, UiError> {
    of(&b.desk, &b.project, command, more).await
}

async fn of<T: serde::de::DeserializeOwned>(
    desk: &Desk,
    project: &str,
    command: &str,
    mut more: Value,
) -> Result<T, UiError> {
    more["project"] = json!(project);
    desk.call(command, more).await
}

async fn read(desk: &Desk, project: &str, sample: bool) -> Vec<ApplianceMessage> {
    desk.stream("appliance_read", json!({ "project": project, "sample": sample }))
        .await
}

/// The first of everything.
async fn placement(desk: &Desk, project: &str) -> Placement {
    let view: PlacesView = of(desk, project, "appliance_places", json!({})).await.unwrap();
    assert_eq!((view.missing.len(), view.lacking), (0, None));
    let name = of::<ApplianceView>(desk, project, "appliance_get", json!({}))
        .await
        .unwrap()
        .name;
    let compute = &view.places.computes[0];
    Placement {
        name,
        compute: compute.moref.clone(),
        datastore: compute.datastores[0].moref.clone(),
        folder: view.places.folders[0].moref.clone(),
        networks: [("Management".to_owned(), compute.networks[0].moref.clone())].into(),
        eulas_accepted: true,
        ..Placement::default()
    }
}

fn with(placement: &Placement) -> Value {
    json!({ "placement": placement, "secrets": { "vami.password.App": CANARY }, "powerOn": true })
}

async fn deploy(b: &Bench) -> Vec<DeployState> {
    let placement = placement(&b.desk, &b.project).await;
    call::<()>(b, "appliance_deploy", with(&placement)).await.unwrap();
    b.desk
        .stream("appliance_progress", json!({ "project": b.project }))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_template_is_checked_deployed_and_powered_on() {
    let b = bench(3 << 20).await;
    let early = call::<ImportCheck>(&b, "appliance_check", with(&Placement::default())).await;
    assert_eq!(early.unwrap_err().code, ErrorCode::State, "no file was chosen");
    let messages = read(&b.desk, &b.project, false).await;
    let (ApplianceMessage::Read { template }, Some(ApplianceMessage::Checked)) = (&messages[0], messages.last()) else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (template.file.as_str(), template.manifest, template.upload_bytes),
        ("appliance.ova", true, 3 << 20)
    );
    assert!(template.thick_bytes > template.thin_bytes);

    let good = placement(&b.desk, &b.project).await;
    let check: ImportCheck = call(&b, "appliance_check", with(&good)).await.unwrap();
    assert_eq!((check.errors.len(), check.bytes), (0, 3 << 20));
    // What a person may get wrong, each in words and before anything is changed.
    let mut terms = with(&good);
    terms["placement"]["eulasAccepted"] = json!(false);
    let mut short = with(&good);
    short["secrets"]["vami.password.App"] = json!("short");
    let mut unknown = with(&good);
    unknown["placement"]["properties"]["x"] = json!("1");
    let mut nameless = with(&good);
    nameless["placement"]["name"] = json!(" ");
    let mut nowhere = with(&good);
    nowhere["placement"]["datastore"] = json!("datastore-99");
    for (wrong, word) in [
        (terms, "licence"),
        (short, "Password"),
        (unknown, "value"),
        (nameless, "name"),
        (nowhere, "connection"),
    ] {
        let e = call::<ImportCheck>(&b, "appliance_check", wrong.clone())
            .await
            .unwrap_err();
        assert!(
            e.code == ErrorCode::Invalid && e.title.contains(word) && !e.hint.is_empty(),
            "{word}: {e:?}"
        );
    }
    b.lab.with_world(|w| assert!(w.onprem.leases.is_empty()));

    let states = deploy(&b).await;
    let last = states.last().unwrap();
    assert_eq!(
        (&last.phase, last.sent, last.total),
        (&DeployPhase::Done, 3 << 20, 3 << 20),
        "{last:?}"
    );
    let view: ApplianceView = call(&b, "appliance_get", json!({})).await.unwrap();
    let deployed = view.deployment.unwrap();
    assert_eq!(
        (deployed.stage, view.interrupted, view.goes_on),
        (DeploymentStage::Running, false, false)
    );
    b.lab.with_world(|w| {
        let vm = w.onprem.named("ASR-APPLIANCE").unwrap();
        assert_eq!((Some(&vm.moref), vm.power), (deployed.moref.as_ref(), Power::On));
    });
    assert_eq!(found_below(b.desk.home.path(), CANARY), None);

    // Again: the name is taken, and what is there stays.
    let states = deploy(&b).await;
    let DeployPhase::Failed { error } = &states.last().unwrap().phase else {
        panic!("{states:?}")
    };
    assert!(error.title.contains("DuplicateName"), "{error:?}");
    b.lab.with_world(|w| assert!(w.onprem.named("ASR-APPLIANCE").is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_or_a_closed_dialog_changes_nothing() {
    let b = bench(4096).await;
    let next = |text: &str| std::fs::write(b.desk.path("next"), text).unwrap();
    next("");
    assert_eq!(read(&b.desk, &b.project, false).await, [ApplianceMessage::Closed]);
    let path = b.desk.path("appliance.ova");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 2500;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let messages = read(&b.desk, &b.project, false).await;
    let Some(ApplianceMessage::Failed { error }) = messages.last() else {
        panic!("{messages:?}")
    };
    assert!(
        error.detail.contains("appliance-disk1.vmdk") && error.detail.contains("manifest"),
        "{error:?}"
    );
    let view: ApplianceView = call(&b, "appliance_get", json!({})).await.unwrap();
    assert_eq!((view.template, view.sample), (None, false));
    let sample = json!({ "project": b.project, "sample": true });
    let refused = api::dispatch(&b.desk.app, "appliance_read", sample, std::sync::Arc::new(|_| true)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::State);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_stopped_by_a_person_and_by_closing_the_project() {
    let b = bench(512 << 20).await;
    read(&b.desk, &b.project, false).await;
    for close in [false, true] {
        let placement = placement(&b.desk, &b.project).await;
        call::<()>(&b, "appliance_deploy", with(&placement)).await.unwrap();
        let again = call::<()>(&b, "appliance_deploy", with(&placement)).await.unwrap_err();
        assert_eq!(again.code, ErrorCode::State);
        let begun = async {
            while b
                .lab
                .with_world(|w| !w.onprem.leases.iter().any(|l| l.state == LeaseState::Ready))
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
        if close {
            call::<()>(&b, "project_close", json!({})).await.unwrap();
        } else {
            let view: ApplianceView = call(&b, "appliance_abort", json!({})).await.unwrap();
            assert_eq!((view.deployment, view.goes_on), (None, false));
        }
        b.lab
            .with_world(|w| assert!(w.onprem.named("ASR-APPLIANCE").is_none(), "close: {close}"));
    }
    let file = ProjectFile::open(Path::new(&b.project)).unwrap();
    assert_eq!(file.project().unwrap().appliance, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_whole_machine_is_adopted_and_the_rest_of_another_removed() {
    let b = bench(4096).await;
    read(&b.desk, &b.project, false).await;
    deploy(&b).await;
    for (stage, stays) in [(DeploymentStage::Sent, true), (DeploymentStage::Sending, false)] {
        call::<()>(&b, "project_close", json!({})).await.unwrap();
        {
            let file = ProjectFile::open(Path::new(&b.project)).unwrap();
            let mut project = file.project().unwrap();
            project.appliance.as_mut().unwrap().stage = stage;
            file.save_project(&project).unwrap();
        }
        b.lab.with_world(|w| {
            let moref = w.onprem.named("ASR-APPLIANCE").unwrap().moref.clone();
            w.onprem.vm_mut(&moref).unwrap().power = Power::Off;
        });
        b.desk
            .call::<ProjectView>("project_open", json!({ "path": b.project }))
            .await
            .unwrap();
        let view: ApplianceView = call(&b, "appliance_get", json!({})).await.unwrap();
        assert!(view.interrupted);
        read(&b.desk, &b.project, false).await;
        let at = placement(&b.desk, &b.project).await;
        let refused = call::<()>(&b, "appliance_deploy", with(&at)).await.unwrap_err();
        assert!(refused.title.contains("interrupted"), "{refused:?}");
        let view: ApplianceView = call(&b, "appliance_settle", json!({})).await.unwrap();
        assert!(!view.interrupted);
        let there = b.lab.with_world(|w| w.onprem.named("ASR-APPLIANCE").is_some());
        assert_eq!((view.deployment.is_some(), there), (stays, stays), "{stage:?}");
        if stays {
            let view: ApplianceView = call(&b, "appliance_power_on", json!({})).await.unwrap();
            assert_eq!(view.deployment.unwrap().stage, DeploymentStage::Running);
        }
    }
    let nothing = call::<ApplianceView>(&b, "appliance_power_on", json!({})).await;
    assert_eq!(nothing.unwrap_err().code, ErrorCode::State);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_adopts_what_was_deployed() {
    let desk = Desk::new();
    let options = RehearsalOptions {
        speed: 20,
        ..RehearsalOptions::default()
    };
    let rehearsal = Rehearsal {
        accept_gates: true,
        ..Rehearsal::followed(options)
    };
    let project = api::rehearsal::rehearse(&desk.app, rehearsal).await.unwrap().path;
    assert_eq!(
        read(&desk, &project, true).await.last(),
        Some(&ApplianceMessage::Checked)
    );
    let at = placement(&desk, &project).await;
    let mut other = with(&at);
    other["placement"]["name"] = json!("ANOTHER");
    let fixed = of::<()>(&desk, &project, "appliance_deploy", other).await.unwrap_err();
    assert!(fixed.detail.contains("waits for"), "{fixed:?}");
    of::<()>(&desk, &project, "appliance_deploy", with(&at)).await.unwrap();
    let states: Vec<DeployState> = desk.stream("appliance_progress", json!({ "project": project })).await;
    assert_eq!(states.last().unwrap().phase, DeployPhase::Done, "{states:?}");
    let view: ApplianceView = of(&desk, &project, "appliance_get", json!({})).await.unwrap();
    let moref = view.deployment.unwrap().moref.unwrap();
    of::<()>(&desk, &project, "set_speed", json!({ "speed": FULL_SPEED }))
        .await
        .unwrap();
    let adopted = async {
        loop {
            let state = api::run::state(&desk.app, &project).await.unwrap();
            let registered = state
                .tasks
                .iter()
                .find(|t| t.address.as_str().contains("register-appliance"))
                .unwrap();
            if registered.status.is_settled() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, adopted).await.unwrap();
    let events: Vec<VmEventView> = of(&desk, &project, "vm_events", json!({ "moref": moref }))
        .await
        .unwrap();
    assert!(events.iter().any(|e| e.kind == "VmDeployedEvent"), "{events:?}");
    // Nobody has deployed another one.
    let inventory: Vec<plan::Vm> = of(
        &desk,
        &project,
        "inventory_details",
        json!({ "morefs": ["vm-31", moref] }),
    )
    .await
    .unwrap();
    assert_eq!(inventory.iter().map(|v| &v.moref).collect::<Vec<_>>(), [&moref]);
    desk.app.close().await;
}
