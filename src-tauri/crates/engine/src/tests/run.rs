use super::{
    Bench, address, gate, open, options, person, skipped, task,
    world::{Script, Scripted, World, beginning},
};
use crate::{
    Clock, CommandError, Engine, EngineError, Event, FailureClass, Outcome, ProjectError, RunOptions, RunPhase,
    Settled, TaskStatus,
};
use jiff::{SignedDuration, Timestamp};
use plan::{Action, Task};
use std::{collections::VecDeque, sync::Arc};

fn world(scripts: &[(&str, Script)]) -> World {
    World::new(scripts)
}

fn long(secs: i64) -> Script {
    Script {
        takes: secs,
        ..Script::default()
    }
}

fn times(n: usize, class: &FailureClass) -> VecDeque<FailureClass> {
    std::iter::repeat_n(class.clone(), n).collect()
}

fn count(bench: &Bench, wanted: impl Fn(&Event) -> bool) -> usize {
    bench.events().iter().filter(|e| wanted(e)).count()
}

fn failures(bench: &Bench) -> Vec<(Timestamp, Option<Timestamp>)> {
    let journal = bench.journal();
    let failed = |r: &crate::Recorded| match r.event {
        Event::AttemptFailed { retry_at, .. } => Some((r.at, retry_at)),
        _ => None,
    };
    journal.iter().filter_map(failed).collect()
}

#[tokio::test]
async fn the_order_on_disk() {
    let bench = Bench::start(world(&[("a", long(100))]), vec![task("a", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let names: Vec<&str> = bench
        .events()
        .iter()
        .filter_map(|e| match e {
            Event::RunStarted { .. } => Some("start"),
            Event::AttemptStarted { .. } => Some("attempt"),
            Event::Intent { .. } => Some("intent"),
            Event::Accepted { .. } => Some("accepted"),
            Event::Fact { .. } => Some("fact"),
            Event::Evidence { .. } => Some("evidence"),
            Event::Settled { .. } => Some("settled"),
            Event::RunEnded { .. } => Some("end"),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        [
            "start", "attempt", "intent", "accepted", "fact", "evidence", "settled", "end"
        ]
    );
    assert_eq!(bench.run.state().facts["a.id"], "a");
    let (a, task) = (address("a"), bench.task("a"));
    assert_eq!((task.created, task.attempts), (vec!["thing:a".to_owned()], 1));
    assert_eq!(bench.file.exchanges(bench.run.run(), &a).unwrap().len(), 1);
    assert_eq!(
        bench.run.state(),
        bench.file.run_state(bench.run.run()).unwrap().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_many_threads() {
    let names: Vec<String> = (0..40).map(|i| format!("n{i}")).collect();
    let scripts: Vec<(&str, Script)> = names.iter().map(|n| (n.as_str(), long(500))).collect();
    let tasks = names.iter().map(|n| task(n, &[])).collect();
    let bench = Bench::start(world(&scripts), tasks);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    assert!(bench.world.most_busy("azure") <= 8);
    // All operations went on at the same time: a place is held only while something is done.
    assert!(bench.world.clock().now() < beginning() + SignedDuration::from_secs(1000));
}

#[tokio::test]
async fn what_is_there_is_adopted_and_what_is_not_needed_skipped() {
    let w = world(&[
        ("there", Script::default()),
        (
            "check",
            Script {
                only_checks: true,
                ..Script::default()
            },
        ),
        (
            "no",
            Script {
                not_needed: true,
                ..Script::default()
            },
        ),
        (
            "bad",
            Script {
                only_checks: true,
                ..Script::default()
            },
        ),
    ]);
    w.put("there");
    w.put("check");
    let tasks = vec![
        task("there", &[]),
        task("check", &[]),
        task("no", &[]),
        skipped("plan-says", &[]),
        task("bad", &[]),
    ];
    let bench = Bench::start(w, tasks);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(bench.status("there"), TaskStatus::Adopted);
    assert_eq!(bench.status("check"), TaskStatus::Done);
    assert_eq!(bench.task("no").reason.as_deref(), Some("found out"));
    assert_eq!(bench.task("plan-says").reason.as_deref(), Some("not today"));
    assert_eq!(bench.task("bad").failure.unwrap().code, "CheckFailed");
    assert_eq!(bench.world.changes(), 0);
    assert_eq!(count(&bench, |e| matches!(e, Event::Intent { .. })), 0);
}

#[tokio::test]
async fn a_gate_waits_without_holding_up_the_others() {
    let bench = Bench::start(
        world(&[("long", long(100_000))]),
        vec![gate("g", &[]), task("after", &["g"]), task("long", &[])],
    );
    bench.until_status("long", TaskStatus::Done).await;
    assert_eq!(bench.status("g"), TaskStatus::NeedsPerson);
    assert_eq!(bench.status("after"), TaskStatus::Blocked);
    let wrong = bench.run.decide(&address("after"), true, "Bob", "").await;
    assert!(matches!(wrong, Err(CommandError::NotNow { .. })));
    assert!(matches!(
        bench.run.retry(&address("zz")).await,
        Err(CommandError::NoTask(_))
    ));
    bench
        .run
        .decide(&address("g"), true, "Bob", "looks good")
        .await
        .unwrap();
    assert!(
        bench.run.decide(&address("g"), false, "Eve", "").await.is_err(),
        "decided once"
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let decision = bench.task("g").decision.unwrap();
    assert_eq!(
        (decision.by.as_str(), decision.note.as_str(), decision.accepted),
        ("Bob", "looks good", true)
    );
}

#[tokio::test]
async fn a_rejected_gate_stops_what_follows_and_can_be_asked_again() {
    let bench = Bench::start(
        world(&[]),
        vec![gate("g", &[]), task("after", &["g"]), task("other", &[])],
    );
    bench.until_status("g", TaskStatus::NeedsPerson).await;
    bench.run.decide(&address("g"), false, "Bob", "no").await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(bench.task("after").blocked_by, [address("g")]);
    assert_eq!(bench.status("other"), TaskStatus::Done);
    bench.run.retry(&address("g")).await.unwrap();
    bench.until_status("g", TaskStatus::NeedsPerson).await;
    bench.run.decide(&address("g"), true, "Bob", "yes").await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn gates_can_be_accepted_beforehand() {
    let options = RunOptions {
        auto_accept_gates: true,
        ..options()
    };
    let bench = Bench::with(world(&[]), vec![gate("g", &[]), task("after", &["g"])], options);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    assert_eq!(bench.task("g").decision.unwrap().by, "Ann");
}

#[tokio::test]
async fn a_person_is_asked_once_and_the_rest_goes_on() {
    let script = Script {
        only_checks: true,
        not_before: 7200,
        system: Some("person"),
        ..Script::default()
    };
    let bench = Bench::start(world(&[("p", script)]), vec![person("p", &[]), task("other", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    assert_eq!(count(&bench, |e| matches!(e, Event::PersonNeeded { .. })), 1);
    assert_eq!(count(&bench, |e| matches!(e, Event::Overdue { .. })), 1, "said once");
    let p = bench.task("p");
    assert!(p.ended.unwrap() >= beginning() + SignedDuration::from_secs(7200));
    assert!(p.overdue);
}

#[tokio::test]
async fn transient_failures_are_retried_with_growing_pauses() {
    let script = Script {
        apply_fails: times(7, &FailureClass::Transient),
        ..Script::default()
    };
    let bench = Bench::start(world(&[("a", script)]), vec![task("a", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let pauses: Vec<f64> = failures(&bench)
        .iter()
        .map(|(at, again)| again.unwrap().duration_since(*at).as_secs_f64())
        .collect();
    assert_eq!(pauses.len(), 7);
    for (n, pause) in (1..).zip(&pauses) {
        let usual = 2f64.powi(n);
        assert!((usual * 0.74..=(usual * 1.26).min(120.0)).contains(pause), "{pauses:?}");
    }
    assert_eq!(bench.task("a").attempts, 8);
    let at = |r: &crate::Recorded| matches!(r.event, Event::AttemptStarted { .. }).then_some(r.at);
    let attempts: Vec<Timestamp> = bench.journal().iter().filter_map(at).collect();
    let announced: Vec<Timestamp> = failures(&bench).iter().map(|(_, again)| again.unwrap()).collect();
    assert_eq!(attempts[1..], announced, "tried again exactly when announced");
}

#[tokio::test]
async fn each_class_has_its_patience() {
    let fails = |n, class| Script {
        apply_fails: times(n, &class),
        ..Script::default()
    };
    let bench = Bench::start(
        world(&[
            ("transient", fails(8, FailureClass::Transient)),
            ("auth", fails(3, FailureClass::Auth)),
            ("conflict", fails(10, FailureClass::Conflict)),
            ("permanent", fails(1, FailureClass::Permanent)),
            ("person", fails(1, FailureClass::NeedsPerson)),
            ("throttled", fails(30, FailureClass::Throttled { after_secs: 77 })),
        ]),
        ["transient", "auth", "conflict", "permanent", "person", "throttled"]
            .map(|n| task(n, &[]))
            .into(),
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    let attempts = |n| bench.task(n).attempts;
    assert_eq!(
        (attempts("transient"), attempts("auth"), attempts("conflict")),
        (8, 3, 10)
    );
    assert_eq!(
        (attempts("permanent"), attempts("person"), attempts("throttled")),
        (1, 1, 31)
    );
    assert_eq!(bench.status("throttled"), TaskStatus::Done);
    for name in ["transient", "auth", "conflict", "permanent", "person"] {
        assert_eq!(bench.status(name), TaskStatus::Failed, "{name}");
    }
    let waited = |name: &str| -> Vec<f64> {
        let of = |r: &crate::Recorded| match &r.event {
            Event::AttemptFailed {
                task,
                retry_at: Some(again),
                ..
            } if task.name() == name => Some(again.duration_since(r.at).as_secs_f64()),
            _ => None,
        };
        bench.journal().iter().filter_map(of).collect()
    };
    assert!(waited("throttled").iter().all(|s| (s - 77.0).abs() < 0.001));
    assert!(waited("conflict").iter().all(|s| (s - 30.0).abs() < 0.001));
}

#[tokio::test]
async fn following_never_gives_up() {
    let mut fails = times(200, &FailureClass::Transient);
    fails.extend(times(50, &FailureClass::Throttled { after_secs: 5 }));
    let bench = Bench::start(
        world(&[(
            "a",
            Script {
                settle_fails: fails,
                ..long(60)
            },
        )]),
        vec![task("a", &[])],
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    assert_eq!(failures(&bench), []);
    assert_eq!(bench.task("a").attempts, 1);
}

#[tokio::test]
async fn a_failure_stops_only_what_depends_on_it_until_retried() {
    let script = Script {
        apply_fails: times(1, &FailureClass::Permanent),
        ..Script::default()
    };
    let bench = Bench::start(
        world(&[("bad", script), ("long", long(5000))]),
        vec![
            task("bad", &[]),
            task("next", &["bad"]),
            task("last", &["next"]),
            task("long", &[]),
            task("ok", &["long"]),
        ],
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(
        [bench.status("long"), bench.status("ok")],
        [TaskStatus::Done, TaskStatus::Done]
    );
    assert_eq!(bench.task("last").blocked_by, [address("next")]);
    assert!(matches!(bench.run.pause().await, Err(CommandError::Ended)));
    assert!(matches!(
        bench.run.retry(&address("ok")).await,
        Err(CommandError::NotNow { .. })
    ));
    bench.run.retry(&address("bad")).await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    assert_eq!(count(&bench, |e| matches!(e, Event::RunReopened { .. })), 1);
    assert_eq!(bench.run.state().phase, RunPhase::Done);
}

#[tokio::test]
async fn an_operation_that_failed_is_not_followed_again() {
    let script = Script {
        settle_fails: times(1, &FailureClass::Conflict),
        ..long(200)
    };
    let bench = Bench::start(world(&[("a", script)]), vec![task("a", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    // It was seen in progress by the second attempt's first look.
    assert_eq!(count(&bench, |e| matches!(e, Event::Intent { .. })), 1);
    assert_eq!(count(&bench, |e| matches!(e, Event::Accepted { .. })), 2);
}

#[tokio::test]
async fn an_operation_that_fails_each_time_needs_a_person() {
    let script = Script {
        settle_fails: times(30, &FailureClass::Conflict),
        ..long(100_000)
    };
    let bench = Bench::start(world(&[("a", script)]), vec![task("a", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!((bench.status("a"), bench.task("a").attempts), (TaskStatus::Failed, 10));
}

#[tokio::test]
async fn a_pause_starts_nothing_new_and_follows_on() {
    let bench = Bench::start(world(&[("a", long(300))]), vec![task("a", &[]), task("b", &["a"])]);
    // Nobody jumps until this test lets go.
    let hold = bench.world.clock().awake();
    bench
        .until(|s| {
            s.task(&address("a"))
                .unwrap()
                .in_flight
                .as_ref()
                .is_some_and(|f| f.handle.is_some())
        })
        .await;
    bench.run.pause().await.unwrap();
    bench.run.pause().await.unwrap();
    drop(hold);
    bench.until_status("a", TaskStatus::Done).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.status("b"), TaskStatus::Ready);
    assert_eq!(bench.run.state().phase, RunPhase::Paused);
    bench.run.cont().await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let seq = |wanted: &dyn Fn(&Event) -> bool| bench.events().iter().position(wanted).unwrap();
    let continued = seq(&|e| matches!(e, Event::RunContinued { .. }));
    let started = seq(&|e| matches!(e, Event::AttemptStarted { task, .. } if task.name() == "b"));
    assert!(continued < started);
    assert_eq!(count(&bench, |e| matches!(e, Event::RunPaused { .. })), 1, "one pause");
}

#[tokio::test]
async fn cancelling_leaves_what_runs_and_a_new_run_adopts_it() {
    let bench = Bench::start(world(&[("a", long(300))]), vec![task("a", &[]), task("b", &["a"])]);
    let hold = bench.world.clock().awake();
    bench
        .until(|s| {
            s.task(&address("a"))
                .unwrap()
                .in_flight
                .as_ref()
                .is_some_and(|f| f.handle.is_some())
        })
        .await;
    bench.run.cancel().await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Cancelled);
    drop(hold);
    let events = bench.events();
    let end = &events[events.len() - 2..];
    assert!(
        matches!(
            end,
            [
                Event::RunCancelled { .. },
                Event::RunEnded {
                    outcome: Outcome::Cancelled
                }
            ]
        ),
        "{end:?}"
    );
    assert!(
        bench.task("a").in_flight.unwrap().handle.is_some(),
        "it says what still runs"
    );
    assert_eq!(failures(&bench), []);
    assert_eq!(bench.run.cancel().await, Err(CommandError::Ended));
    assert_eq!(bench.run.retry(&address("a")).await, Err(CommandError::Ended));

    let runner = Arc::new(Scripted(bench.world.clone()));
    let again = Engine::start(
        bench.file.clone(),
        bench.run.plan().clone(),
        runner.clone(),
        bench.world.clock(),
        options(),
    );
    assert!(matches!(again, Err(EngineError::Live)), "one engine at a time");
    bench.run.stop().await;
    let again = Engine::start(
        bench.file.clone(),
        bench.run.plan().clone(),
        runner,
        bench.world.clock(),
        options(),
    )
    .unwrap();
    assert_eq!(again.finished().await.unwrap(), Outcome::Done);
    assert_eq!(again.state().tasks[0].status, TaskStatus::Adopted);
    assert_eq!(bench.world.applied("a"), 1);
    assert_eq!(bench.file.runs().unwrap().len(), 2);
    assert_eq!(bench.file.ledger().unwrap().len(), 2);
}

#[tokio::test]
async fn stopping_to_follow_is_no_end() {
    let bench = Bench::start(
        world(&[
            ("a", long(300)),
            (
                "p",
                Script {
                    only_checks: true,
                    not_before: 900,
                    ..Script::default()
                },
            ),
        ]),
        vec![task("a", &[]), person("p", &[]), gate("g", &[])],
    );
    let hold = bench.world.clock().awake();
    bench
        .until(|s| {
            s.task(&address("a")).unwrap().status == TaskStatus::Waiting
                && s.task(&address("p")).unwrap().status == TaskStatus::NeedsPerson
        })
        .await;
    bench.run.stop().await;
    drop(hold);
    assert!(matches!(bench.run.finished().await, Err(EngineError::Left)));
    assert!(matches!(bench.run.pause().await, Err(CommandError::Left)));
    assert_eq!(bench.file.runs().unwrap()[0].outcome, None);

    let runner = || Arc::new(Scripted(bench.world.clone()));
    let start = Engine::start(
        bench.file.clone(),
        bench.run.plan().clone(),
        runner(),
        bench.world.clock(),
        options(),
    );
    assert!(matches!(start, Err(EngineError::Unfinished { .. })));
    let none = Engine::resume(bench.file.clone(), "none", runner(), bench.world.clock(), options());
    assert!(matches!(none, Err(EngineError::NoRun(_))));
    let run = Engine::resume(
        bench.file.clone(),
        bench.run.run(),
        runner(),
        bench.world.clock(),
        options(),
    )
    .unwrap();
    run.decide(&address("g"), true, "Ann", "").await.unwrap();
    assert_eq!(run.finished().await.unwrap(), Outcome::Done);
    assert_eq!(run.state().tasks[0].status, TaskStatus::Done, "ours, not adopted");
    assert_eq!(bench.world.applied("a"), 1);
    assert_eq!(count(&bench, |e| matches!(e, Event::Intent { .. })), 1);
}

#[tokio::test]
async fn a_stopped_run_is_retried_after_reopening() {
    let script = Script {
        apply_fails: times(1, &FailureClass::NeedsPerson),
        ..Script::default()
    };
    let bench = Bench::start(world(&[("a", script)]), vec![task("a", &[])]);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    bench.run.stop().await;
    let runner = Arc::new(Scripted(bench.world.clone()));
    let run = Engine::resume(
        bench.file.clone(),
        bench.run.run(),
        runner,
        bench.world.clock(),
        options(),
    )
    .unwrap();
    assert_eq!(run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(
        bench.file.runs().unwrap()[0].outcome,
        Some(Outcome::Stopped),
        "looking at it changes nothing"
    );
    run.retry(&address("a")).await.unwrap();
    assert_eq!(run.finished().await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn what_was_lost_is_made_again_before_the_task_that_needs_it_goes_on() {
    let look = |not_before, needs| Script {
        only_checks: true,
        not_before,
        needs,
        ..Script::default()
    };
    let needs_a = Script {
        needs: Some("a"),
        ..Script::default()
    };
    let bench = Bench::start(
        world(&[
            ("a", long(100)),
            ("early", look(10, Some("a"))),
            ("late", look(900, Some("a"))),
            ("too", needs_a),
        ]),
        vec![
            task("a", &[]),
            task("early", &["a"]),
            task("other", &["early"]),
            gate("g", &["early"]),
            task("late", &["other", "g"]),
            task("too", &["other", "g"]),
        ],
    );
    bench.until_status("g", TaskStatus::NeedsPerson).await;
    bench.world.lose("a");
    bench.run.decide(&address("g"), true, "Ann", "").await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(bench.status("late"), TaskStatus::Failed);

    // Both have lost the same; it is made again once.
    bench.run.retry(&address("late")).await.unwrap();
    bench.run.retry(&address("too")).await.unwrap();
    let end = bench.run.finished().await.unwrap();
    assert_eq!(end, Outcome::Done, "{:#?}", bench.run.state().tasks);
    assert_eq!((bench.world.applied("a"), bench.world.applied("other")), (2, 1));
    let asked = |e: &Event| matches!(e, Event::RetryAsked { task, .. } if *task == address("a"));
    assert_eq!(count(&bench, asked), 1, "not while it is under way");
    assert_eq!(bench.task("early").attempts, 2);
    assert_eq!(
        count(&bench, |e| matches!(e, Event::Decided { .. })),
        1,
        "a decision stays"
    );
}

#[tokio::test]
async fn an_abandoned_run_makes_room() {
    let bench = Bench::start(world(&[]), vec![gate("g", &[])]);
    bench.until_status("g", TaskStatus::NeedsPerson).await;
    bench.run.stop().await;
    Engine::abandon(bench.file.clone(), bench.run.run(), "Ann", beginning()).unwrap();
    Engine::abandon(bench.file.clone(), bench.run.run(), "Ann", beginning()).unwrap();
    assert_eq!(bench.file.runs().unwrap()[0].outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn waits_for_days_in_the_clock() {
    let wait = Action::WaitDays {
        since: address("a"),
        days: 30,
    };
    let bench = Bench::start(
        world(&[("a", long(100))]),
        vec![
            task("a", &[]),
            Task {
                action: wait,
                ..task("w", &["a"])
            },
            task("b", &["w"]),
        ],
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let (a, w) = (bench.task("a"), bench.task("w"));
    assert_eq!(w.ended.unwrap(), a.ended.unwrap() + SignedDuration::from_hours(24 * 30));
    assert!(w.text.contains("2026-12-21"), "{}", w.text);
    assert!(!w.overdue);
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_loses_nothing() {
    let names: Vec<String> = (0..60).map(|i| format!("n{i}")).collect();
    let mut tasks: Vec<Task> = vec![];
    for (i, n) in names.iter().enumerate() {
        let before: Vec<&str> = i.checked_sub(1).map(|j| names[j].as_str()).into_iter().collect();
        tasks.push(task(n, &before));
    }
    let bench = Bench::start(world(&[]), tasks);
    bench.until_status("n1", TaskStatus::Done).await;
    bench.file.limit_to_present_size();
    match bench.run.finished().await {
        Err(EngineError::Project(e)) => assert!(matches!(*e, ProjectError::DiskFull { .. }), "{e}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        bench.run.state(),
        bench.file.run_state(bench.run.run()).unwrap().unwrap()
    );
    bench.file.unlimit();
    let runner = Arc::new(Scripted(bench.world.clone()));
    let run = Engine::resume(
        bench.file.clone(),
        bench.run.run(),
        runner,
        bench.world.clock(),
        options(),
    )
    .unwrap();
    assert_eq!(run.finished().await.unwrap(), Outcome::Done);
    assert_eq!((bench.world.there().len(), bench.world.repeated().len()), (60, 0));
    bench.file.verify_chain().unwrap();
}

#[tokio::test]
async fn a_fault_in_a_task_is_a_failure_with_words() {
    let bench = Bench::start(
        world(&[(
            "a",
            Script {
                panics: true,
                ..Script::default()
            },
        )]),
        vec![task("a", &[])],
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Stopped);
    assert_eq!(bench.task("a").failure.unwrap().code, "Internal");
}

#[tokio::test]
async fn takes_back_in_reverse_order() {
    let bench = Bench::start(world(&[]), vec![task("a", &[]), gate("g", &["a"]), task("b", &["g"])]);
    bench.until_status("g", TaskStatus::NeedsPerson).await;
    bench.run.decide(&address("g"), true, "Ann", "").await.unwrap();
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    match bench.run.undo(&address("a")).await {
        Err(CommandError::NotNow { task, .. }) => assert_eq!(task, address("b"), "it stands on it"),
        other => panic!("{other:?}"),
    }
    assert!(bench.run.undo(&address("g")).await.is_err());
    bench
        .world
        .change("b", |s| s.undo_fails = times(2, &FailureClass::Transient));
    for name in ["b", "a"] {
        bench.run.undo(&address(name)).await.unwrap();
        bench.until_status(name, TaskStatus::Undone).await;
    }
    assert_eq!(bench.world.there(), []);
    assert_eq!(bench.file.ledger().unwrap(), []);
    assert_eq!(
        bench.run.finished().await.unwrap(),
        Outcome::Done,
        "the run's end stays as it was"
    );
    assert_eq!(count(&bench, |e| matches!(e, Event::Undone { .. })), 2);
}

#[tokio::test]
async fn chatter_does_not_fill_the_journal() {
    let bench = Bench::start(
        world(&[(
            "a",
            Script {
                chatter: 5000,
                ..Script::default()
            },
        )]),
        vec![task("a", &[])],
    );
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
    let written = count(&bench, |e| matches!(e, Event::Progress { .. }));
    assert!(written <= 50, "{written}");
    let settled = bench.events().iter().position(|e| {
        matches!(
            e,
            Event::Settled {
                outcome: Settled::Done,
                ..
            }
        )
    });
    let last = bench.events().iter().rposition(|e| matches!(e, Event::Progress { .. }));
    assert!(last < settled, "no sign of life after the end");
}

#[tokio::test]
async fn a_person_can_say_that_it_is_done() {
    let script = Script {
        only_checks: true,
        not_before: 3000,
        ..Script::default()
    };
    let bench = Bench::start(world(&[("p", script)]), vec![person("p", &[])]);
    let hold = bench.world.clock().awake();
    bench.until_status("p", TaskStatus::NeedsPerson).await;
    bench.world.put("p");
    bench.world.change("p", |s| s.not_before = 0);
    bench.run.look(&address("p")).await.unwrap();
    drop(hold);
    assert_eq!(bench.run.finished().await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn handles_that_are_gone_do_not_keep_the_file() {
    let bench = Bench::start(world(&[]), vec![task("a", &[])]);
    bench.run.finished().await.unwrap();
    let path = bench.file.path().to_owned();
    let Bench { _folder, file, run, .. } = bench;
    let weak = Arc::downgrade(&file);
    drop((run, file));
    while weak.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
    open(&path);
}
