//! Random plans in random worlds: what must hold always.

use super::{
    Bench, gate, person, skipped, task,
    world::{Script, World},
};
use crate::{Event, FailureClass, Outcome, RunOptions, RunState, Settled, TaskStatus};
use plan::{Address, Plan, Task};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, HashSet};

#[derive(Debug, Clone)]
enum What {
    Simple,
    Long(i64),
    Skip,
    NotNeeded,
    Gate(bool),
    Person(i64),
    Fails(Vec<FailureClass>, u8),
    AlreadyThere,
}

fn class() -> impl Strategy<Value = FailureClass> {
    prop_oneof![
        4 => Just(FailureClass::Transient),
        2 => (0..90u64).prop_map(|after_secs| FailureClass::Throttled { after_secs }),
        1 => Just(FailureClass::Auth),
        2 => Just(FailureClass::Conflict),
        1 => Just(FailureClass::Permanent),
        1 => Just(FailureClass::NeedsPerson),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        3 => Just(What::Simple),
        3 => (1..5000i64).prop_map(What::Long),
        1 => Just(What::Skip),
        1 => Just(What::NotNeeded),
        2 => any::<bool>().prop_map(What::Gate),
        2 => (1..9000i64).prop_map(What::Person),
        4 => (vec(class(), 1..10), 0..4u8).prop_map(|(c, at)| What::Fails(c, at)),
        1 => Just(What::AlreadyThere),
    ]
}

/// Tasks, each with a bit mask of earlier ones that it waits for.
fn plans() -> impl Strategy<Value = Vec<(What, u16)>> {
    vec((what(), any::<u16>().prop_map(|m| m & (m >> 3))), 1..11)
}

fn build(parts: &[(What, u16)]) -> (Vec<Task>, World) {
    let names: Vec<String> = (0..parts.len()).map(|i| format!("t{i}")).collect();
    let mut tasks = vec![];
    let mut scripts = vec![];
    let mut there = vec![];
    for (i, (what, mask)) in parts.iter().enumerate() {
        let name = names[i].as_str();
        let after: Vec<&str> = (0..i)
            .filter(|j| mask & (1 << j) != 0)
            .map(|j| names[j].as_str())
            .collect();
        let mut script = Script::default();
        tasks.push(match what {
            What::Skip => skipped(name, &after),
            What::Gate(_) => gate(name, &after),
            What::Person(secs) => {
                script = Script {
                    only_checks: true,
                    not_before: *secs,
                    system: Some("person"),
                    ..script
                };
                person(name, &after)
            }
            _ => task(name, &after),
        });
        match what {
            What::Long(secs) => script.takes = *secs,
            What::NotNeeded => script.not_needed = true,
            What::AlreadyThere => there.push(name),
            What::Fails(classes, at) => {
                script.takes = i64::from(*at) * 20;
                let list = match at {
                    0 => &mut script.observe_fails,
                    1 => &mut script.apply_fails,
                    2 => &mut script.settle_fails,
                    _ => &mut script.verify_fails,
                };
                list.extend(classes.iter().cloned());
            }
            _ => {}
        }
        scripts.push((name, script));
    }
    let world = World::new(&scripts);
    there.into_iter().for_each(|n| world.put(n));
    (tasks, world)
}

fn check(bench: &Bench, plan: &Plan, outcome: Outcome) {
    let journal = bench.journal();
    let after: BTreeMap<Address, Vec<Address>> = plan.tasks().map(|t| (t.address.clone(), t.after.clone())).collect();
    let mut settled: HashSet<Address> = HashSet::new();
    let mut intents: HashSet<Address> = HashSet::new();
    let mut state = RunState::new(bench.run.run(), plan);
    for (i, r) in journal.iter().enumerate() {
        match &r.event {
            Event::AttemptStarted { task, .. } => {
                assert!(
                    after[task].iter().all(|a| settled.contains(a)),
                    "{task} started before its turn"
                );
                assert!(!settled.contains(task), "{task} started after its end");
            }
            Event::Intent { task, .. } => {
                intents.insert(task.clone());
            }
            Event::Settled { task, outcome } => {
                assert!(
                    after[task].iter().all(|a| settled.contains(a)),
                    "{task} ended before its turn"
                );
                let made = bench.world.applied(task.name()) > 0;
                assert!(!made || intents.contains(task), "{task} was changed without an Intent");
                if *outcome != Settled::Rejected {
                    assert!(settled.insert(task.clone()), "{task} settled twice");
                }
            }
            _ => {}
        }
        assert_eq!(r.seq, u64::try_from(i).unwrap() + 1);
        state.apply(r, plan);
        for t in &state.tasks {
            let in_flight = t.in_flight.is_some();
            assert!(
                !in_flight || !t.status.is_settled(),
                "{} is settled and in flight",
                t.address
            );
            assert!(t.blocked_by.is_empty() || t.status == TaskStatus::Blocked);
        }
    }
    assert_eq!(state, bench.run.state(), "the state is the fold of the journal");
    bench.file.verify_chain().unwrap();
    assert_eq!(
        outcome == Outcome::Done,
        state.tasks.iter().all(|t| t.status.is_settled())
    );
    for t in &state.tasks {
        assert!(
            t.status.is_settled()
                || matches!(t.status, TaskStatus::Failed | TaskStatus::Rejected)
                || (t.status == TaskStatus::Blocked && !t.blocked_by.is_empty()),
            "{} is {:?} at the end",
            t.address,
            t.status
        );
    }
    assert_eq!(bench.world.repeated(), []);
    assert!(bench.world.most_busy("azure") <= 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_plan_ends_and_keeps_the_rules(parts in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (tasks, world) = build(&parts);
        let plan = super::plan(tasks.clone());
        runtime.block_on(async {
            let options = RunOptions { limits: [("azure".to_owned(), 2)].into(), ..super::options() };
            let bench = Bench::with(world, tasks, options);
            // The person decides at each gate as it asks.
            let (state, mut events) = bench.run.follow();
            let mut asked: Vec<Address> = state
                .tasks
                .iter()
                .filter(|t| t.status == TaskStatus::NeedsPerson)
                .map(|t| t.address.clone())
                .collect();
            let outcome = loop {
                for gate in asked.drain(..) {
                    let i: usize = gate.name()[1..].parse().unwrap();
                    if let What::Gate(accept) = parts[i].0 {
                        bench.run.decide(&gate, accept, "Ann", "").await.unwrap();
                    }
                }
                tokio::select! {
                    biased;
                    event = events.recv() => {
                        if let Event::PersonNeeded { task, .. } = event.unwrap().event {
                            asked.push(task);
                        }
                    }
                    end = bench.run.finished() => break end.unwrap(),
                }
            };
            check(&bench, &plan, outcome);
        });
    }
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().unwrap();
    let file =
        std::sync::Arc::new(crate::ProjectFile::create(&folder.path().join("a.rehost"), &super::project()).unwrap());
    let world = std::sync::Arc::new(World::new(&[]));
    for tasks in [
        vec![task("a", &["b"]), task("b", &["a"])],
        vec![task("a", &["nobody"])],
        vec![task("a", &[]), task("a", &[])],
    ] {
        let runner = std::sync::Arc::new(super::Scripted(world.clone()));
        let started = crate::Engine::start(
            file.clone(),
            std::sync::Arc::new(super::plan(tasks)),
            runner,
            world.clock(),
            super::options(),
        );
        assert!(matches!(started, Err(crate::EngineError::Plan(_))), "{started:?}");
    }
    assert_eq!(file.runs().unwrap(), []);
}
