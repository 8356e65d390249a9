use crate::{Desk, found_below};
use api::{
    rehearsal::{Rehearsal, USUAL_SEED},
    wire::*,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Longer than any rehearsal at full speed takes on a busy computer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Listens to a run until `enough` says so; all messages up to then.
async fn listen(desk: &Desk, project: &str, mut enough: impl FnMut(&RunMessage) -> bool) -> Vec<RunMessage> {
    let (to, mut messages) = mpsc::unbounded_channel();
    let (app, path) = (desk.app.clone(), project.to_owned());
    let work =
        tokio::spawn(async move { api::run::run_subscribe(&app, path, Arc::new(move |m| to.send(m).is_ok())).await });
    let mut heard = vec![];
    let wait = async {
        while let Some(message) = messages.recv().await {
            let stop = enough(&message);
            heard.push(message);
            if stop {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the run did not get there");
    work.abort();
    // It holds the project open until it is gone.
    let _ = work.await;
    heard
}

fn ended(message: &RunMessage) -> bool {
    match message {
        RunMessage::Snapshot { state, .. } | RunMessage::Run { state, .. } => {
            !matches!(state.phase, RunPhase::Running | RunPhase::Paused)
        }
        RunMessage::Task { .. } => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_rehearsed_to_the_end_and_reported() {
    let desk = Desk::new();
    let view = api::rehearsal::rehearse(&desk.app, Rehearsal::unattended(RehearsalOptions::default()))
        .await
        .unwrap();
    assert!(view.rehearsal && view.live && view.inventory.is_some());
    listen(&desk, &view.path, ended).await;
    let state = api::run::state(&desk.app, &view.path).await.unwrap();
    let open: Vec<_> = state.tasks.iter().filter(|t| !t.status.is_settled()).collect();
    assert!(
        state.phase == RunPhase::Done && open.is_empty(),
        "{:?} {open:#?}",
        state.phase
    );
    assert!(state.tasks.len() >= 60, "{} tasks", state.tasks.len());

    let saved: Option<SavedReport> = desk.call("report_save", json!({ "project": view.path })).await.unwrap();
    let saved = saved.unwrap();
    let html = std::fs::read_to_string(&saved.html).unwrap();
    assert!(html.contains("REHEARSAL") && html.contains(&state.plan_hash));
    let verified = api::projects::verify(std::path::Path::new(&view.path)).await.unwrap();
    assert!(verified.ok && verified.events > 0, "{verified:?}");

    let address = state
        .tasks
        .iter()
        .find(|t| t.address.kind() == "vnet")
        .map(|t| t.address.clone())
        .unwrap();
    let exchanges: Vec<plan::Exchange> = desk
        .call("task_exchanges", json!({ "project": view.path, "address": address }))
        .await
        .unwrap();
    assert!(exchanges.iter().any(|e| e.method == "PUT"), "{exchanges:#?}");

    // What opens the lab must be nowhere on disk.
    let again = lab::Lab::start(lab::Options {
        seed: USUAL_SEED,
        ..lab::Options::default()
    })
    .await
    .unwrap();
    for secret in [
        again.addresses().client_secret,
        again.addresses().vcenter_password,
        "administratorLoginPassword\":\"Lab-".into(),
    ] {
        assert_eq!(found_below(desk.home.path(), &secret), None, "{secret} is on disk");
    }

    // Closed and opened again: all is there.
    desk.call::<()>("project_close", json!({ "project": view.path }))
        .await
        .unwrap();
    let reopened: ProjectView = desk.call("project_open", json!({ "path": view.path })).await.unwrap();
    assert_eq!(reopened.run.map(|r| r.phase), Some(RunPhase::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_wait_for_a_decision_and_closing_asks() {
    let desk = Desk::new();
    let view: ProjectView = desk.call("rehearse_sample", crate::at_full_speed()).await.unwrap();
    let question: CloseQuestion = desk.call("close_question", json!({})).await.unwrap();
    assert!(question.ask && !question.goes_on.is_empty());
    let mut gate = None;
    listen(&desk, &view.path, |message| {
        let tasks = match message {
            RunMessage::Snapshot { state, .. } => state.tasks.iter().collect(),
            RunMessage::Task { task, .. } => vec![task],
            RunMessage::Run { .. } => vec![],
        };
        gate = tasks
            .into_iter()
            .find(|t| t.status == TaskStatus::NeedsPerson && t.address.kind() == "gate")
            .map(|t| t.address.clone());
        gate.is_some()
    })
    .await;
    let gate = gate.unwrap();
    let look = |address: &str| json!({ "project": view.path, "address": address });
    let screen: Screenshot = desk
        .call("vm_screenshot", look("step-7/check-boot/WEBVM-test"))
        .await
        .unwrap();
    assert_eq!(screen.vm, "WEBVM-test");
    assert!(screen.data_url.starts_with("data:image/bmp;base64,Qk"));
    for (no_screen, code) in [
        ("step-7/gate/test", ErrorCode::NotFound),
        ("step-7/check-boot/WEBVM", ErrorCode::NotFound),
    ] {
        let refused = desk
            .call::<Screenshot>("vm_screenshot", look(no_screen))
            .await
            .unwrap_err();
        assert_eq!(refused.code, code, "{refused:?}");
    }
    for command in ["run_pause", "run_continue"] {
        desk.call::<()>(command, json!({ "project": view.path })).await.unwrap();
    }
    let changed = desk
        .call::<ConnectionsView>(
            "connection_save",
            json!({ "project": view.path, "kind": "azure", "connections": view.connections.connections, "secret": null }),
        )
        .await
        .unwrap_err();
    assert_eq!(
        changed.code,
        ErrorCode::State,
        "connections stay as approved during a run"
    );
    let decide = json!({ "project": view.path, "address": gate, "accept": false, "note": "the page is blank" });
    desk.call::<()>("gate_decide", decide.clone()).await.unwrap();
    assert_eq!(
        desk.call::<()>("gate_decide", decide).await.unwrap_err().code,
        ErrorCode::State,
        "decided once"
    );
    // Nothing that does not depend on the gate is left to do: the run stops by itself.
    listen(&desk, &view.path, ended).await;
    let state = api::run::state(&desk.app, &view.path).await.unwrap();
    assert_eq!(state.phase, RunPhase::Stopped);
    let decided = state.task(&gate).and_then(|t| t.decision.clone()).unwrap();
    assert_eq!((decided.accepted, decided.note.as_str()), (false, "the page is blank"));
    desk.app.close().await;

    let other = Desk::new();
    let opened: ProjectView = other.call("project_open", json!({ "path": view.path })).await.unwrap();
    assert!(!opened.live);
    let refused = other
        .call::<()>("task_retry", json!({ "project": view.path, "address": gate }))
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::State, "the lab is gone: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_script_needs_a_person_and_the_run_goes_on_after_it() {
    let desk = Desk::new();
    let scripts: Vec<FaultScript> = desk.call("fault_scripts", json!({})).await.unwrap();
    let script = scripts.iter().find(|s| s.id == "policy-denied").unwrap();
    assert!(!script.by_itself && script.replication.is_none() && script.database_methods.is_empty());
    let options = RehearsalOptions {
        fault: Some(script.id.clone()),
        ..RehearsalOptions::default()
    };
    let view = api::rehearsal::rehearse(&desk.app, Rehearsal::unattended(options))
        .await
        .unwrap();
    assert_eq!(view.rehearsal_fault.as_deref(), Some("policy-denied"));
    listen(&desk, &view.path, ended).await;
    let state = api::run::state(&desk.app, &view.path).await.unwrap();
    let failed: Vec<_> = state.tasks.iter().filter(|t| t.status == TaskStatus::Failed).collect();
    assert_eq!((state.phase, failed.len()), (RunPhase::Stopped, 1), "{failed:#?}");
    let failure = failed[0].failure.as_ref().unwrap();
    assert_eq!(failure.code, "RequestDisallowedByPolicy");
    assert!(
        failure.detail.contains("deny-shared-key"),
        "the policy is named: {failure:?}"
    );
    assert_eq!(
        api::rehearsal::cure(&desk.app, &view.path).await.unwrap(),
        Some(script.admin.clone())
    );
    assert_eq!(api::rehearsal::cure(&desk.app, &view.path).await.unwrap(), None, "once");
    let retry = json!({ "project": view.path, "address": failed[0].address });
    desk.call::<()>("task_retry", retry).await.unwrap();
    listen(&desk, &view.path, |m| {
        matches!(m, RunMessage::Snapshot { state, .. } | RunMessage::Run { state, .. } if state.phase == RunPhase::Done)
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_rehearsed_is_refused_before_anything_is_made() {
    let desk = Desk::new();
    let fault = |id: &str| RehearsalOptions {
        fault: Some(id.to_owned()),
        ..RehearsalOptions::default()
    };
    let wrong = [
        fault("no-such-thing"),
        RehearsalOptions {
            replication: plan::ReplicationMethod::VMwareCbt,
            ..fault("appliance-down")
        },
        // From a container nothing is uploaded.
        RehearsalOptions {
            database_method: plan::DatabaseMethod::DmsOnline,
            ..fault("runtime-offline")
        },
        RehearsalOptions {
            speed: 0,
            ..RehearsalOptions::default()
        },
    ];
    for options in wrong {
        let refused = desk
            .call::<ProjectView>("rehearse_sample", json!({ "options": options }))
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid, "{refused:?}");
    }
    let list: Vec<ProjectSummary> = desk.call("projects_list", json!({})).await.unwrap();
    assert_eq!(list, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_can_be_changed_until_the_first_run() {
    let desk = Desk::new();
    let made = desk.project("methods").await;
    let set =
        |path: &str, database: &str| json!({ "project": path, "replication": "VMwareCbt", "databaseMethod": database });
    let view: ProjectView = desk.call("methods_set", set(&made.path, "DmsOnline")).await.unwrap();
    assert_eq!(
        (view.design.replication, view.design.database_method),
        (plan::ReplicationMethod::VMwareCbt, plan::DatabaseMethod::DmsOnline)
    );
    let view: ProjectView = desk.call("rehearse_sample", crate::at_full_speed()).await.unwrap();
    let refused = desk
        .call::<ProjectView>("methods_set", set(&view.path, "LogReplay"))
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::State, "{refused:?}");
    let same = json!({ "project": view.path, "replication": "InMageRcm", "databaseMethod": "LogReplay" });
    desk.call::<ProjectView>("methods_set", same).await.unwrap();
}

/// The first gate in a message that waits for a person.
fn open_gate(message: &RunMessage) -> Option<plan::Address> {
    let waits = |t: &&TaskState| t.status == TaskStatus::NeedsPerson && t.address.kind() == "gate";
    match message {
        RunMessage::Snapshot { state, .. } => state.tasks.iter().find(waits).map(|t| t.address.clone()),
        RunMessage::Task { task, .. } => Some(task).filter(waits).map(|t| t.address.clone()),
        RunMessage::Run { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_goes_on_in_a_later_process() {
    let desk = Desk::new();
    let view: ProjectView = desk.call("rehearse_sample", crate::at_full_speed()).await.unwrap();
    listen(&desk, &view.path, |m| open_gate(m).is_some()).await;
    let before = api::run::state(&desk.app, &view.path).await.unwrap();
    desk.app.close().await;

    let later = Desk::new();
    let opened: ProjectView = later.call("project_open", json!({ "path": view.path })).await.unwrap();
    assert!(
        !opened.live
            && opened
                .run
                .is_some_and(|r| r.run == before.run && r.phase == RunPhase::Running)
    );
    later
        .call::<RunState>("run_resume", json!({ "project": view.path }))
        .await
        .unwrap();
    let mut decided = vec![];
    loop {
        let heard = listen(&later, &view.path, |m| {
            ended(m) || open_gate(m).is_some_and(|g| !decided.contains(&g))
        })
        .await;
        let last = heard.last().unwrap();
        let Some(gate) = open_gate(last).filter(|_| !ended(last)) else {
            break;
        };
        let decide = json!({ "project": view.path, "address": gate, "accept": true, "note": "" });
        later.call::<()>("gate_decide", decide).await.unwrap();
        decided.push(gate);
    }
    let state = api::run::state(&later.app, &view.path).await.unwrap();
    let open: Vec<_> = state.tasks.iter().filter(|t| !t.status.is_settled()).collect();
    assert!(
        state.phase == RunPhase::Done && open.is_empty(),
        "{:?} {open:#?}",
        state.phase
    );
    let done_before = before.tasks.iter().filter(|t| t.status.is_settled());
    for t in done_before {
        assert_eq!(
            state.task(&t.address).map(|n| n.attempts),
            Some(t.attempts),
            "{} was done already",
            t.address
        );
    }
}
