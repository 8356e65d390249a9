//! The whole SmartHotel plan against the lab, over real HTTPS, with the real clients and the real engine.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{Ctx, Failure, FailureClass, Handle, Observed, Runner, TaskKind};
use lab::{Lab, Options};
use migration::Migration;
use plan::{Action, BackupSource, DatabaseMethod, Design, Plan, ReplicationMethod, Task, smarthotel};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};
use support::{ctx, evidence, inventory, plan_of, run_whole, runner, skipped, task_of};

#[tokio::test]
async fn another_machine_of_the_retired_name_is_left_alone() {
    let lab = support::lab(Options::default()).await;
    lab.with_world(|w| {
        let other = w.onprem.vms.iter_mut().find(|v| v.name == "contosodc1").unwrap();
        other.name = "SQLVM-migrated".into();
        other.power = lab::onprem::Power::Off;
    });
    let runner = runner(&lab);
    for address in ["step-8/rename/SQLVM", "step-8/remove-vm/SQLVM"] {
        let task = task_of(address);
        let facts = BTreeMap::from([
            ("vm.SQLVM".into(), "vm-1".into()),
            ("vm.SQLVM-migrated".into(), "vm-1".into()),
        ]);
        let (ctx, _) = ctx(&lab, &task, facts);
        let refused = runner.kind(&task).observe(&ctx).await.unwrap_err();
        assert_eq!(refused.code, "OtherMachine", "{address}: {refused:?}");
        assert_eq!(refused.class, FailureClass::NeedsPerson);
    }
    runner.close().await;
}

#[tokio::test]
async fn a_shutdown_announced_before_a_crash_is_asked_for_and_not_forced() {
    let lab = support::lab(Options::default()).await;
    let runner = runner(&lab);
    let task = task_of("step-7/shutdown/SQLVM");
    let (mut ctx, reports) = ctx(&lab, &task, BTreeMap::new());
    ctx.intent_at = Some(lab.clock().now());
    let kind = runner.kind(&task);
    let Observed::InFlight(handle) = kind.observe(&ctx).await.unwrap() else {
        panic!("it is announced")
    };
    kind.settle(&ctx, &handle).await.unwrap();
    kind.verify(&ctx).await.unwrap();
    let said = evidence(&reports);
    assert!(!said.iter().any(|e| e.contains("powered off")), "{said:?}");
    let changes: Vec<_> = lab.stats().mutations.into_iter().map(|m| m.method).collect();
    assert!(!changes.iter().any(|m| m.starts_with("PowerOff")), "{changes:?}");
    runner.close().await;
}

/// Loses the first answer to each request that changes something: it was carried out, and nobody knows.
struct LosesAnswers {
    inner: Arc<Migration>,
    lost: Arc<Mutex<HashSet<String>>>,
}

struct LosesAnswer {
    inner: Arc<dyn TaskKind>,
    lost: Arc<Mutex<HashSet<String>>>,
}

impl Runner for LosesAnswers {
    fn kind(&self, task: &Task) -> Arc<dyn TaskKind> {
        let inner = self.inner.kind(task);
        // Requests that nobody has made safe to lose: they belong to others than the database's migration.
        let database = matches!(
            task.action,
            Action::StartDms { .. }
                | Action::CutOverDms { .. }
                | Action::RemoveRuntime { .. }
                | Action::RotateKey { .. }
        ) || task.address.as_str().contains("/dms/")
            || task.address.kind() == "migration";
        if database {
            Arc::new(LosesAnswer {
                inner,
                lost: self.lost.clone(),
            })
        } else {
            inner
        }
    }
}

#[async_trait::async_trait]
impl TaskKind for LosesAnswer {
    fn only_checks(&self) -> bool {
        self.inner.only_checks()
    }
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        self.inner.observe(ctx).await
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let answer = self.inner.apply(ctx).await?;
        if self.lost.lock().unwrap().insert(ctx.task.address.to_string()) {
            return Err(Failure::of(
                FailureClass::Transient,
                "Lost",
                "The answer was lost",
                "",
                "",
            ));
        }
        Ok(answer)
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        self.inner.settle(ctx, handle).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        self.inner.verify(ctx).await
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        self.inner.undo(ctx).await
    }
    fn intent(&self, ctx: &Ctx) -> String {
        self.inner.intent(ctx)
    }
    fn system(&self) -> &'static str {
        self.inner.system()
    }
}

/// What a whole rehearsal has left.
struct Rehearsed {
    lab: Lab,
    plan: Plan,
    skipped: Vec<String>,
    evidence: Vec<String>,
    /// Tasks whose first answer was lost.
    lost: HashSet<String>,
}

impl Rehearsed {
    /// Bodies of accepted requests with this method whose path ends so.
    fn sent(&self, method: &str, path: &str) -> Vec<Value> {
        let all = self.lab.exchanges();
        all.iter()
            .map(|e| (&e["liveRequest"], &e["liveResponse"]))
            .filter(|(q, a)| {
                let url = q["url"].as_str().unwrap().split('?').next().unwrap().to_lowercase();
                let accepted = a["statusCode"].as_str().unwrap().starts_with('2');
                q["method"] == method && url.ends_with(&path.to_lowercase()) && accepted
            })
            .map(|(q, _)| q["body"].clone())
            .collect()
    }
}

/// Every value in it under one of these keys.
fn under(document: &Value, keys: &[&str], found: &mut BTreeSet<String>) {
    match document {
        Value::Object(o) => o.iter().for_each(|(k, v)| match v.as_str() {
            Some(secret) if keys.contains(&k.as_str()) => drop(found.insert(secret.to_owned())),
            _ => under(v, keys, found),
        }),
        Value::Array(a) => a.iter().for_each(|v| under(v, keys, found)),
        _ => {}
    }
}

/// Runs the plan of a design to its end, losing answers, and checks that no transaction is lost and that nothing that went
/// over the wire as a secret is in the file.
async fn rehearse(change: impl FnOnce(&mut Design, &lab::Addresses)) -> Rehearsed {
    let lab = support::lab(Options {
        speed: 10_000,
        record: true,
        ..Options::default()
    })
    .await;
    lab.with_world(lab::world::World::leave_classic_dms);
    let mut design = smarthotel::design();
    change(&mut design, &lab.addresses());
    let plan = plan_of(&lab, &design, &inventory(&lab).await);
    let blocking: Vec<_> = plan
        .findings
        .iter()
        .filter(|f| f.severity != plan::Severity::Information && f.rule != "agentless-vddk")
        .collect();
    assert!(blocking.is_empty(), "the sample must have no findings: {blocking:?}");
    let lost = Arc::new(Mutex::new(HashSet::new()));
    let runner = Arc::new(LosesAnswers {
        inner: runner(&lab),
        lost: lost.clone(),
    });
    let state = run_whole(&lab, plan.clone(), runner, || sent_secrets(&lab)).await;
    let (source, target) = lab.log_positions();
    assert_eq!(Some(source), target, "transactions were lost");
    let said = state.tasks.iter().flat_map(|t| &t.evidence);
    let lost = lost.lock().unwrap().clone();
    Rehearsed {
        skipped: skipped(&state),
        evidence: said.map(|e| e.text.clone()).collect(),
        lab,
        plan,
        lost,
    }
}

/// Whatever went over the wire as a secret.
fn sent_secrets(lab: &Lab) -> Vec<String> {
    let mut secrets = BTreeSet::new();
    for e in lab.exchanges() {
        under(
            &e,
            &[
                "accountKey",
                "password",
                "storageContainerSasToken",
                "authKey1",
                "authKey2",
            ],
            &mut secrets,
        );
        if e["liveRequest"]["url"]
            .as_str()
            .is_some_and(|u| u.to_lowercase().contains("/listkeys"))
        {
            under(&e["liveResponse"], &["value"], &mut secrets);
        }
    }
    assert!(secrets.len() >= 2, "account keys were asked for");
    secrets.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_replay_runs_to_the_end() {
    let r = rehearse(|_, _| {}).await;
    assert_eq!(
        r.skipped,
        [
            "step-2/provider/Microsoft.DataMigration",
            "step-2/dms/instance",
            "step-8/dms/instance"
        ],
        "only what the method does not need is skipped"
    );
    let classic = r.evidence.iter().find(|e| e.contains("contoso-dms")).unwrap();
    for part in [
        "(classic)",
        "retired on 15 March 2026",
        "migrate-smarthotel (Succeeded)",
        "neither starts nor changes it",
    ] {
        assert!(classic.contains(part), "{classic}");
    }
    let touched: Vec<_> = r
        .lab
        .stats()
        .mutations
        .into_iter()
        .filter(|m| m.path.contains("contoso-dms"))
        .collect();
    assert_eq!(touched, vec![], "the retired service was left alone");
    r.lab.stop().await;
}

const RECORD: &str = "/providers/Microsoft.DataMigration/databaseMigrations/SmartHotelDB";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dms_offline_from_a_container_runs_to_the_end() {
    let r = rehearse(|d, _| d.database_method = DatabaseMethod::DmsOffline).await;
    assert_eq!(r.skipped, Vec::<String>::new());
    let started = r.sent("PUT", RECORD);
    assert_eq!(started.len(), 1);
    let p = &started[0]["properties"];
    assert_eq!(
        p["offlineConfiguration"],
        serde_json::json!({ "offline": true, "lastBackupName": "SmartHotelDB_tail.trn" })
    );
    assert!(
        p["backupConfiguration"]["sourceLocation"]["azureBlob"]["accountKey"]
            .as_str()
            .unwrap()
            .len()
            > 80
    );
    assert_eq!(r.sent("POST", &format!("{RECORD}/cutover")), Vec::<Value>::new());
    assert!(r.lost.contains("step-6/migration/SmartHotelDB") && r.lost.contains("step-8/migration/SmartHotelDB"));
    r.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dms_online_by_an_identity_runs_to_the_end_without_a_secret() {
    let r = rehearse(|d, a| {
        d.database_method = DatabaseMethod::DmsOnline;
        d.dms.identity = a.identity.clone();
        d.dms.identity_principal = a.identity_principal.clone();
    })
    .await;
    let started = r.sent("PUT", RECORD);
    assert_eq!(started.len(), 1);
    let text = started[0].to_string();
    assert!(
        text.contains("ManagedIdentity") && !text.contains("accountKey") && !text.contains("assword"),
        "{text}"
    );
    assert_eq!(r.sent("POST", &format!("{RECORD}/cutover")).len(), 1);
    assert!(r.lost.contains("step-6/complete/SmartHotelDB"));
    r.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dms_online_from_a_share_runs_to_the_end() {
    let r = rehearse(|d, _| {
        d.database_method = DatabaseMethod::DmsOnline;
        d.dms.source = BackupSource::Share;
    })
    .await;
    assert_eq!(r.skipped, Vec::<String>::new());
    assert_eq!(r.sent("PUT", RECORD).len(), 1);
    assert_eq!(r.sent("POST", &format!("{RECORD}/cutover")).len(), 1);
    assert_eq!(r.sent("POST", "/ContosoDMS/deleteNode").len(), 1);
    assert_eq!(
        r.sent("POST", "/ContosoDMS/listAuthKeys").len(),
        0,
        "only a person asks for the key"
    );
    assert!(r.evidence.iter().any(|e| e.contains("online on CONTOSOIR")));
    assert!(
        r.plan
            .tasks()
            .any(|t| t.address.as_str() == "step-8/gate/integration-runtime")
    );
    r.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dms_offline_from_a_share_runs_to_the_end() {
    let r = rehearse(|d, _| {
        d.database_method = DatabaseMethod::DmsOffline;
        d.dms.source = BackupSource::Share;
    })
    .await;
    let started = r.sent("PUT", RECORD);
    assert_eq!(started.len(), 1);
    assert_eq!(
        started[0]["properties"]["offlineConfiguration"]["lastBackupName"],
        "SmartHotelDB_tail.trn"
    );
    r.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dms_runs_to_the_end_beside_a_replication_without_an_agent() {
    for database_method in [DatabaseMethod::DmsOffline, DatabaseMethod::DmsOnline] {
        let r = rehearse(|d, _| {
            d.replication = ReplicationMethod::VMwareCbt;
            d.database_method = database_method;
        })
        .await;
        assert_eq!(r.sent("PUT", RECORD).len(), 1);
        let cutovers = usize::from(database_method == DatabaseMethod::DmsOnline);
        assert_eq!(r.sent("POST", &format!("{RECORD}/cutover")).len(), cutovers);
        r.lab.stop().await;
    }
}
