//! A migration by Database Migration Service, or by Log Replay Service, that does not go as planned: somebody else's, a lost
//! start, a lost database, a way back.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Ctx, FailureClass, Observed, Runner, kind::Created, kind::Report};
use jiff::SignedDuration;
use lab::{Lab, Options};
use migration::Migration;
use plan::{Address, DatabaseMethod, Inventory, Plan, Task, smarthotel};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use support::{end_well, plan_of, runner, start};

const START: &str = "step-6/migration/SmartHotelDB";

/// A lab in which a migration has restored the full backup.
struct Started {
    lab: Lab,
    plan: Plan,
    runner: Arc<Migration>,
}

/// Keeps of a plan what must be done before one task, and that task.
fn up_to(plan: &mut Plan, last: &str) {
    let mut keep = HashSet::new();
    let mut open: Vec<Address> = vec![last.parse().unwrap()];
    while let Some(a) = open.pop() {
        open.extend(
            plan.task(&a)
                .unwrap()
                .after
                .iter()
                .filter(|b| !keep.contains(*b))
                .cloned(),
        );
        keep.insert(a);
    }
    for step in &mut plan.steps {
        step.tasks.retain(|t| keep.contains(&t.address));
    }
}

async fn started() -> Started {
    started_by(DatabaseMethod::DmsOnline).await
}

async fn started_by(method: DatabaseMethod) -> Started {
    let lab = support::lab(Options::default()).await;
    let mut design = smarthotel::design();
    design.database_method = method;
    let mut plan = plan_of(&lab, &design, &Inventory::default());
    up_to(&mut plan, "step-6/restore/full");
    let (runner, folder) = (runner(&lab), tempfile::tempdir().unwrap());
    let (_, run) = start(&lab, &folder.path().join("p.rehost"), plan.clone(), runner.clone());
    end_well(&run).await;
    Started { lab, plan, runner }
}

impl Started {
    fn task(&self, address: &str) -> Task {
        self.plan.task(&address.parse().unwrap()).unwrap().clone()
    }

    fn ctx(&self, task: &Task) -> (Ctx, engine::kind::Reports) {
        support::ctx(&self.lab, task, BTreeMap::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_start_is_adopted_another_ones_migration_is_not_and_the_way_back_leaves_nothing() {
    let s = started().await;
    let start = s.task(START);
    let kind = s.runner.kind(&start);

    // Whoever has not announced it did not start it.
    let (ctx, _) = s.ctx(&start);
    let refused = kind.observe(&ctx).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), &refused.class),
        ("MigrationExists", &FailureClass::NeedsPerson)
    );
    // Nor did one who announces it only now, when the earlier request would have arrived.
    let (mut ctx, _) = s.ctx(&start);
    ctx.intent_at = Some(s.lab.clock().now());
    assert!(matches!(kind.observe(&ctx).await.unwrap(), Observed::NotYet { .. }));

    // Announced before it began: the request had left, so it is ours, and is not made again.
    let (mut ctx, reports) = s.ctx(&start);
    ctx.intent_at = Some(s.lab.clock().now() - SignedDuration::from_hours(24));
    assert_eq!(kind.observe(&ctx).await.unwrap(), Observed::Matches);
    kind.verify(&ctx).await.unwrap();
    let reported = reports.take();
    let operation = reported
        .iter()
        .find_map(|r| match r {
            Report::Fact { name, value } if name == "dms.operation.SmartHotelDB" => Some(value.clone()),
            _ => None,
        })
        .unwrap();
    let created: Vec<_> = reported
        .iter()
        .filter_map(|r| match r {
            Report::Created(c) => Some(c.clone()),
            _ => None,
        })
        .collect();
    assert!(
        created.iter().any(|c| c.ends_with("/databaseMigrations/SmartHotelDB")),
        "{created:?}"
    );

    // Another operation than that of the start is never followed.
    let follow = s.task("step-6/restore/full");
    let other = BTreeMap::from([(
        "dms.operation.SmartHotelDB".to_owned(),
        "858ba109-5ab7-4fa1-8aea-bea487cacdcd".into(),
    )]);
    let (ctx, _) = support::ctx(&s.lab, &follow, other);
    assert_eq!(
        s.runner.kind(&follow).observe(&ctx).await.unwrap_err().code,
        "OtherMigration"
    );

    // The way back.
    let ledger = created
        .into_iter()
        .map(|resource| Created {
            task: start.address.clone(),
            resource,
        })
        .collect();
    let (ctx, reports) = s.ctx(&start);
    let ctx = ctx.with_ledger(ledger);
    kind.undo(&ctx).await.unwrap();
    let removed = reports
        .take()
        .iter()
        .filter(|r| matches!(r, Report::Removed(_)))
        .count();
    assert_eq!(removed, 2, "record and database");
    let state = s.lab.final_state().to_string().to_lowercase();
    assert!(
        !state.contains("databasemigrations") && !state.contains("/databases/smarthoteldb"),
        "{state}"
    );
    let facts = BTreeMap::from([("dms.operation.SmartHotelDB".to_owned(), operation)]);
    let (ctx, _) = support::ctx(&s.lab, &follow, facts);
    assert_eq!(
        s.runner.kind(&follow).observe(&ctx).await.unwrap_err().code,
        "MigrationGone"
    );
    s.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_migration_is_told_once_and_started_again_when_a_person_says_so() {
    let s = started().await;
    let start = s.task(START);
    let kind = s.runner.kind(&start);
    s.lab.with_world(|w| w.dms_trouble = Some(2033));
    let clock = s.lab.clock();
    let follow = s.task("step-6/restore/full");
    let mut failure = None;
    for _ in 0..200 {
        clock.advance_to(clock.now() + SignedDuration::from_mins(1));
        let (ctx, _) = s.ctx(&follow);
        if let Err(f) = s.runner.kind(&follow).observe(&ctx).await {
            failure = Some(f);
            break;
        }
    }
    let failure = failure.unwrap();
    assert_eq!(
        (failure.code.as_str(), &failure.class),
        ("2033", &FailureClass::NeedsPerson)
    );

    let since = clock.now() - SignedDuration::from_hours(24);
    let (mut ctx, reports) = s.ctx(&start);
    ctx.intent_at = Some(since);
    assert_eq!(kind.observe(&ctx).await.unwrap_err().code, "2033");
    let told: BTreeMap<_, _> = reports
        .take()
        .into_iter()
        .filter_map(|r| match r {
            Report::Fact { name, value } => Some((name, value)),
            _ => None,
        })
        .collect();
    let (mut ctx, _) = support::ctx(&s.lab, &start, told);
    ctx.intent_at = Some(since);
    assert!(matches!(kind.observe(&ctx).await.unwrap(), Observed::Differs(_)));
    let handle = kind.apply(&ctx).await.unwrap().unwrap();
    kind.settle(&ctx, &handle).await.unwrap();
    kind.verify(&ctx).await.unwrap();
    s.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_whose_database_is_deleted_begins_again() {
    let s = started_by(DatabaseMethod::LogReplay).await;
    let start = s.task("step-6/log-replay/SmartHotelDB");
    let (ctx, reports) = s.ctx(&start);
    s.runner.kind(&start).undo(&ctx).await.unwrap();
    let Some(Report::Removed(database)) = reports.take().pop() else {
        panic!("nothing was removed");
    };

    let follow = s.task("step-6/restore/full");
    let facts = BTreeMap::from([("db.fullBackup".to_owned(), "SmartHotelDB_full_01.bak".into())]);
    let (ctx, _) = support::ctx(&s.lab, &follow, facts);
    let failure = s.runner.kind(&follow).observe(&ctx).await.unwrap_err();
    assert_eq!(failure.code, "DatabaseGone");
    assert_eq!(failure.lost, Some(database));
    let (ctx, _) = s.ctx(&start);
    assert_eq!(s.runner.kind(&start).observe(&ctx).await.unwrap(), Observed::Absent);
    s.lab.stop().await;
}
