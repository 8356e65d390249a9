//! The engine dies at every instruction that matters, and is taken up again by a new process.

use super::{
    gate, open, options, person, plan, project, skipped, task,
    world::{Script, Scripted, World},
};
use crate::{Clock, Engine, Event, FailureClass, Outcome, ProjectFile, RunState};
use plan::{Address, Plan, Task};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{path::Path, sync::Arc};

/// When the process dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    Never,
    /// After so many events were appended, before anybody heard of it.
    Appended(usize),
    /// At the n-th change of the world, before or after it.
    Change(usize, bool),
}

/// One process: starts or resumes, until the end or its death.
fn process(path: &Path, world: &Arc<World>, plan: &Arc<Plan>, death: Death) -> Option<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    world.new_process();
    let file = open(path);
    *file.fuse.left.lock().unwrap() = if let Death::Appended(n) = death { Some(n) } else { None };
    if let Death::Change(n, after) = death {
        world.dies_at(n, after);
    }
    let options = crate::RunOptions {
        auto_accept_gates: true,
        ..options()
    };
    let outcome = runtime.block_on(async {
        let (runner, clock) = (Arc::new(Scripted(world.clone())), world.clock());
        let open_run = file
            .runs()
            .unwrap()
            .pop()
            .filter(|r| r.outcome != Some(Outcome::Cancelled))
            .map(|r| r.run);
        let run = match open_run {
            None => Engine::start(file.clone(), plan.clone(), runner, clock, options).unwrap(),
            Some(run) => Engine::resume(file.clone(), &run, runner, clock, options).unwrap(),
        };
        tokio::select! {
            biased;
            () = file.fuse.burnt.notified() => None,
            () = world.died.notified() => None,
            end = run.finished() => Some(end.unwrap()),
        }
    });
    drop(runtime);
    outcome
}

fn tasks() -> Vec<Task> {
    vec![
        task("a", &[]),
        task("long", &["a"]),
        skipped("skip", &["a"]),
        task("b", &["a", "skip"]),
        task("flaky", &["b"]),
        person("person", &[]),
        gate("gate", &["long", "person"]),
        task("last", &["gate", "flaky"]),
    ]
}

fn world() -> Arc<World> {
    let transient = || [FailureClass::Transient].into();
    Arc::new(World::new(&[
        (
            "long",
            Script {
                takes: 300,
                ..Script::default()
            },
        ),
        (
            "flaky",
            Script {
                takes: 40,
                apply_fails: transient(),
                settle_fails: transient(),
                ..Script::default()
            },
        ),
        (
            "person",
            Script {
                only_checks: true,
                not_before: 600,
                system: Some("person"),
                ..Script::default()
            },
        ),
        (
            "last",
            Script {
                takes: 20,
                verify_fails: transient(),
                ..Script::default()
            },
        ),
    ]))
}

fn fresh(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    drop(ProjectFile::create(&path, &project()).unwrap());
    path
}

/// What must hold at the end however often the process died.
fn check(path: &Path, world: &World, plan: &Plan, wanted: &[Address]) {
    assert_eq!(world.there(), wanted);
    assert_eq!(world.repeated(), [], "no change is made twice");
    let file = ProjectFile::open_read_only(path).unwrap();
    file.verify_chain().unwrap();
    let runs = file.runs().unwrap();
    assert_eq!((runs.len(), runs[0].outcome), (1, Some(Outcome::Done)));
    let journal = file.journal(&runs[0].run).unwrap();
    for n in 0..=journal.len() {
        let state = RunState::replay(&runs[0].run, plan, &journal[..n]);
        assert_eq!(state.seq, u64::try_from(n).unwrap());
    }
    let state = file.run_state(&runs[0].run).unwrap().unwrap();
    assert!(
        state
            .tasks
            .iter()
            .all(|t| t.status.is_settled() && t.in_flight.is_none())
    );
    assert_eq!(
        file.ledger().unwrap().len(),
        wanted.len(),
        "all that was made is accounted for"
    );
}

#[test]
fn dies_after_every_append() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(tasks()));
    let unbroken = world();
    let path = fresh(folder.path(), "unbroken");
    assert_eq!(process(&path, &unbroken, &plan, Death::Never), Some(Outcome::Done));
    let wanted = unbroken.there();
    check(&path, &unbroken, &plan, &wanted);
    let appended = usize::try_from(ProjectFile::open_read_only(&path).unwrap().verify_chain().unwrap().seq).unwrap();

    let mut deaths = 0;
    for k in 1..appended {
        let (world, path) = (world(), fresh(folder.path(), &format!("append-{k}")));
        deaths += usize::from(process(&path, &world, &plan, Death::Appended(k)).is_none());
        process(&path, &world, &plan, Death::Never);
        check(&path, &world, &plan, &wanted);
    }
    assert!(deaths > appended / 2, "{deaths} of {appended}");
}

#[test]
fn dies_around_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(tasks()));
    let unbroken = world();
    process(&fresh(folder.path(), "unbroken"), &unbroken, &plan, Death::Never);
    for n in 1..=unbroken.changes() {
        for after in [false, true] {
            let (world, path) = (world(), fresh(folder.path(), &format!("change-{n}-{after}")));
            assert_eq!(process(&path, &world, &plan, Death::Change(n, after)), None);
            assert_eq!(process(&path, &world, &plan, Death::Never), Some(Outcome::Done));
            check(&path, &world, &plan, &unbroken.there());
        }
    }
}

#[test]
fn dies_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(tasks()));
    for seed in 1..=12u64 {
        let (world, path) = (world(), fresh(folder.path(), &format!("seed-{seed}")));
        let mut random = StdRng::seed_from_u64(seed);
        let mut lives = 1;
        while process(&path, &world, &plan, Death::Appended(random.random_range(1..12))).is_none() {
            lives += 1;
            assert!(lives < 500, "no way forward");
        }
        assert!(lives > 3, "{lives}");
        let file = ProjectFile::open_read_only(&path).unwrap();
        let journal = file.journal(&file.runs().unwrap()[0].run).unwrap();
        let reopened = journal
            .iter()
            .filter(|r| matches!(r.event, Event::RunReopened { .. }))
            .count();
        // The last death may have been just after the end.
        assert!(lives - 1 - reopened <= 1, "{lives} {reopened}");
        assert_eq!(world.there().len(), 5);
        check(&path, &world, &plan, &world.there());
    }
}

#[test]
fn patience_is_no_longer_in_a_process_that_dies_often() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(vec![task("a", &[])]));
    let script = Script {
        apply_fails: std::iter::repeat_n(FailureClass::Transient, 100).collect(),
        ..Script::default()
    };
    let (world, path) = (Arc::new(World::new(&[("a", script)])), fresh(folder.path(), "patience"));
    let mut lives = 1;
    while process(&path, &world, &plan, Death::Appended(5)).is_none() {
        lives += 1;
        assert!(lives < 50, "no end");
    }
    assert!(lives > 3, "{lives}");
    let file = ProjectFile::open_read_only(&path).unwrap();
    let journal = file.journal(&file.runs().unwrap()[0].run).unwrap();
    let failures = journal
        .iter()
        .filter(|r| matches!(r.event, Event::AttemptFailed { .. }));
    assert_eq!(failures.count(), 8);
}

#[test]
fn what_a_cancelled_run_left_in_doubt_belongs_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(vec![task("a", &[]), task("b", &["a"])]));
    for after in [false, true] {
        let (world, path) = (
            Arc::new(World::new(&[])),
            fresh(folder.path(), &format!("doubt-{after}")),
        );
        assert_eq!(process(&path, &world, &plan, Death::Change(1, after)), None);
        let file = open(&path);
        let first = file.runs().unwrap()[0].run.clone();
        Engine::abandon(file.clone(), &first, "Ann", world.clock().now()).unwrap();
        drop(file);
        assert_eq!(process(&path, &world, &plan, Death::Never), Some(Outcome::Done));
        assert_eq!(world.repeated(), []);
        let file = ProjectFile::open_read_only(&path).unwrap();
        assert_eq!(file.runs().unwrap().len(), 2);
        assert_eq!(
            file.ledger().unwrap().len(),
            2,
            "all that was made is accounted for ({after})"
        );
    }
}

#[test]
fn what_was_refused_in_a_cancelled_run_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(vec![task("a", &[])]));
    let script = Script {
        apply_fails: [FailureClass::Permanent].into(),
        ..Script::default()
    };
    let (world, path) = (Arc::new(World::new(&[("a", script)])), fresh(folder.path(), "refused"));
    assert_eq!(process(&path, &world, &plan, Death::Never), Some(Outcome::Stopped));
    // Somebody else makes it before the next run.
    world.put("a");
    let file = open(&path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    world.new_process();
    let outcome = runtime.block_on(async {
        let run = Engine::start(
            file.clone(),
            plan,
            Arc::new(Scripted(world.clone())),
            world.clock(),
            options(),
        )
        .unwrap();
        run.finished().await.unwrap()
    });
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(file.ledger().unwrap(), vec![]);
}
