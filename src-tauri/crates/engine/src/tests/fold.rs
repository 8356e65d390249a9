use super::{address, gate, plan, task, world::beginning};
use crate::{Event, Failure, FailureClass, Handle, Outcome, Recorded, RunPhase, RunState, Settled, TaskStatus};
use plan::Plan;
use serde_json::json;

fn fold(plan: &Plan, events: Vec<Event>) -> RunState {
    let journal: Vec<Recorded> = (1..)
        .zip(events)
        .map(|(seq, event)| Recorded {
            seq,
            at: beginning(),
            run: "r".into(),
            event,
            hash: String::new(),
        })
        .collect();
    RunState::replay("r", plan, &journal)
}

fn status(s: &RunState, name: &str) -> TaskStatus {
    s.task(&address(name)).unwrap().status
}

fn attempt(name: &str) -> Event {
    Event::AttemptStarted {
        task: address(name),
        attempt: 1,
    }
}

fn settled(name: &str, outcome: Settled) -> Event {
    Event::Settled {
        task: address(name),
        outcome,
    }
}

fn failed(name: &str, class: FailureClass, again: bool) -> Event {
    let failure = Failure::of(class, "c", "t", "d", "h");
    Event::AttemptFailed {
        task: address(name),
        attempt: 1,
        failure,
        retry_at: again.then(beginning),
        in_a_row: 1,
    }
}

#[test]
fn dependencies_make_ready_and_blocked() {
    let p = plan(vec![
        task("a", &[]),
        task("b", &["a"]),
        gate("g", &["a"]),
        task("c", &["b", "g"]),
    ]);
    let s = RunState::new("r", &p);
    assert_eq!(
        [status(&s, "a"), status(&s, "b")],
        [TaskStatus::Ready, TaskStatus::Blocked]
    );
    assert!(
        s.tasks.iter().all(|t| t.blocked_by.is_empty()),
        "not their turn is not a fault"
    );

    let s = fold(&p, vec![attempt("a"), settled("a", Settled::Adopted)]);
    assert_eq!(
        [status(&s, "b"), status(&s, "g")],
        [TaskStatus::Ready, TaskStatus::Ready]
    );
    assert_eq!(status(&s, "c"), TaskStatus::Blocked);

    let s = fold(
        &p,
        vec![
            settled("a", Settled::Skipped { reason: "x".into() }),
            settled("g", Settled::Rejected),
        ],
    );
    assert_eq!(s.task(&address("c")).unwrap().blocked_by, [address("g")]);
    assert_eq!(s.task(&address("a")).unwrap().reason.as_deref(), Some("x"));
}

#[test]
fn a_failure_blocks_all_that_come_after_until_retried() {
    let p = plan(vec![
        task("c", &["b"]),
        task("b", &["a"]),
        task("a", &[]),
        task("x", &[]),
    ]);
    let mut events = vec![attempt("a"), failed("a", FailureClass::Permanent, false)];
    let s = fold(&p, events.clone());
    assert_eq!(status(&s, "a"), TaskStatus::Failed);
    assert_eq!(s.task(&address("b")).unwrap().blocked_by, [address("a")]);
    assert_eq!(
        s.task(&address("c")).unwrap().blocked_by,
        [address("b")],
        "also where the plan's order is another"
    );
    assert_eq!(status(&s, "x"), TaskStatus::Ready);

    events.push(Event::RetryAsked {
        task: address("a"),
        by: "Ann".into(),
    });
    let s = fold(&p, events);
    assert_eq!(status(&s, "a"), TaskStatus::Ready);
    assert!(s.tasks.iter().all(|t| t.blocked_by.is_empty() && t.failure.is_none()));
}

#[test]
fn what_is_in_flight_is_known_from_intent_to_settled() {
    let p = plan(vec![task("a", &[])]);
    let handle = Handle(json!("op"));
    let mut events = vec![attempt("a")];
    let in_flight = |e: &Vec<Event>| fold(&p, e.clone()).tasks[0].in_flight.clone();
    assert_eq!(in_flight(&events), None);
    events.push(Event::Intent {
        task: address("a"),
        attempt: 1,
        what: "PUT".into(),
    });
    assert_eq!(in_flight(&events).unwrap().handle, None);
    events.push(Event::Accepted {
        task: address("a"),
        handle: handle.clone(),
    });
    assert_eq!(in_flight(&events).unwrap().handle, Some(handle.clone()));
    assert_eq!(fold(&p, events.clone()).tasks[0].status, TaskStatus::Waiting);
    // An operation that can't be seen may still run; one that failed does not.
    let mut unseen = events.clone();
    unseen.push(failed("a", FailureClass::Auth, true));
    assert_eq!(in_flight(&unseen).unwrap().handle, Some(handle));
    let mut bad = events.clone();
    bad.push(failed("a", FailureClass::Permanent, false));
    assert_eq!(in_flight(&bad).unwrap().handle, None);
    events.push(settled("a", Settled::Done));
    assert_eq!(in_flight(&events), None);
}

#[test]
fn the_ledger_knows_what_is_left() {
    let p = plan(vec![task("a", &[]), task("z", &["a"])]);
    let created = |r: &str| Event::Created {
        task: address("a"),
        resource: r.into(),
    };
    let removed = |r: &str| Event::Removed {
        task: address("z"),
        resource: r.into(),
    };
    let s = fold(
        &p,
        vec![created("/x/Y"), created("/x/y"), created("/b"), removed("/X/y")],
    );
    assert_eq!(s.task(&address("a")).unwrap().created, ["/b"]);
}

#[test]
fn phases_follow_the_wishes_and_the_end() {
    let p = plan(vec![task("a", &[])]);
    let by = || "Ann".to_owned();
    let reopened = || Event::RunReopened {
        by: by(),
        host: by(),
        version: by(),
    };
    let phase = |e: Vec<Event>| fold(&p, e).phase;
    assert_eq!(phase(vec![Event::RunPaused { by: by() }, reopened()]), RunPhase::Paused);
    assert_eq!(
        phase(vec![Event::RunPaused { by: by() }, Event::RunContinued { by: by() }]),
        RunPhase::Running
    );
    assert_eq!(
        phase(vec![Event::RunCancelled { by: by() }, reopened()]),
        RunPhase::Cancelled
    );
    assert_eq!(
        phase(vec![
            Event::RunEnded {
                outcome: Outcome::Stopped
            },
            reopened()
        ]),
        RunPhase::Running
    );
    let s = fold(&p, vec![Event::RunEnded { outcome: Outcome::Done }]);
    assert!(s.has_ended() && s.phase == RunPhase::Done);
}

#[test]
fn foreign_runs_and_unknown_tasks_change_nothing() {
    let p = plan(vec![task("a", &[])]);
    let mut s = fold(&p, vec![attempt("nobody")]);
    let before = s.clone();
    s.apply(
        &Recorded {
            seq: 9,
            at: beginning(),
            run: "other".into(),
            event: attempt("a"),
            hash: String::new(),
        },
        &p,
    );
    assert_eq!(s, before);
    assert_eq!(s.seq, 1);
}

#[test]
fn waiting_persons_and_undo_show() {
    let p = plan(vec![task("a", &[]), task("b", &["a"])]);
    let progress = || Event::Progress {
        task: address("a"),
        percent: Some(5.0),
        text: "looks".into(),
    };
    let s = fold(&p, vec![attempt("a"), progress()]);
    assert_eq!(status(&s, "a"), TaskStatus::Waiting);
    let s = fold(
        &p,
        vec![
            attempt("a"),
            Event::PersonNeeded {
                task: address("a"),
                what: "w".into(),
            },
            progress(),
        ],
    );
    assert_eq!(status(&s, "a"), TaskStatus::NeedsPerson);
    let undo = || Event::UndoStarted {
        task: address("a"),
        by: "Ann".into(),
    };
    let s = fold(
        &p,
        vec![
            attempt("a"),
            settled("a", Settled::Done),
            undo(),
            failed("a", FailureClass::Transient, true),
        ],
    );
    assert_eq!(status(&s, "a"), TaskStatus::Undoing);
    let s = fold(
        &p,
        vec![
            attempt("a"),
            settled("a", Settled::Done),
            undo(),
            Event::Undone { task: address("a") },
        ],
    );
    assert_eq!(status(&s, "a"), TaskStatus::Undone);
    assert_eq!(s.task(&address("b")).unwrap().blocked_by, [address("a")]);
}
