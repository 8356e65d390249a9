//! What the tests against a lab share: a lab that jumps over idle time, the clients of a run bound to it, and a run of the
//! sample from its first task to its end.
#![allow(dead_code, reason = "not every test binary uses all of it")]
#![allow(clippy::unwrap_used, clippy::panic)]

use azure::{Arm, Limits, auth};
use engine::{
    Clock, Ctx, Engine, Outcome, ProjectFile, RunHandle, RunOptions, RunState, Runner, TaskState, TaskStatus,
    kind::{Report, Reports},
};
use jiff::Timestamp;
use lab::{Lab, LabClock, Options};
use migration::{Migration, Systems};
use plan::{
    Connections, Design, Inventory, Plan, Task,
    design::{AzureConnection, ManagedConnection, ManagedSignIn, SqlConnection, VCenterConnection},
    smarthotel,
};
use secrets::Secret;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Real time that one run may take on a busy computer.
const PATIENCE: Duration = Duration::from_secs(240);

/// The lab's time as the engine's.
pub struct LabTime(pub Arc<LabClock>);

#[async_trait::async_trait]
impl Clock for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }
    fn awake(&self) -> engine::clock::Awake {
        let guard = self.0.awake();
        engine::clock::Awake(Some(Box::new(move || drop(guard))))
    }
}

pub fn connections(a: &lab::Addresses) -> Connections {
    Connections {
        vcenter: VCenterConnection {
            url: a.vcenter.clone(),
            user: a.vcenter_user.clone(),
            thumbprint: a.vcenter_thumbprint.clone(),
            ..VCenterConnection::default()
        },
        azure: AzureConnection {
            arm_url: a.arm.clone(),
            authority_url: a.authority.clone(),
            blob_url: a.blob.clone(),
            sql_suffix: a.sql_suffix.clone(),
            tenant_id: a.tenant_id.clone(),
            client_id: a.client_id.clone(),
            subscription_id: a.subscription_id.clone(),
            ca_pem: a.ca_pem.clone(),
            ..AzureConnection::default()
        },
        sql: SqlConnection {
            server: a.sql.clone(),
            user: a.sql_user.clone(),
            thumbprint: a.sql_thumbprint.clone(),
            browser_port: a.sql_browser,
            ..SqlConnection::default()
        },
        managed: ManagedConnection {
            address: a.sql_managed.clone(),
            thumbprint: a.sql_thumbprint.clone(),
            ..ManagedConnection::default()
        },
    }
}

#[async_trait::async_trait]
impl azure::limits::Time for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep_until(&self, until: Timestamp) {
        self.0.wait_until(until).await;
    }
}

/// The tasks' kinds bound to a lab, as a run has them.
pub fn runner(lab: &Lab) -> Arc<Migration> {
    runner_as(lab, ManagedSignIn::Administrator)
}

/// The same, signed in to the managed instance so.
pub fn runner_as(lab: &Lab, sign_in: ManagedSignIn) -> Arc<Migration> {
    let a = lab.addresses();
    let c = connections(&a);
    let credential = auth::client_secret(&c.azure, Secret::new(a.client_secret.clone())).unwrap();
    Arc::new(Migration::new(Systems {
        arm: Arm::connect(&c.azure, credential)
            .unwrap()
            .limited(Limits::new(Arc::new(LabTime(lab.clock())))),
        vcenter: c.vcenter,
        vcenter_credentials: Secret::new(a.vcenter_password.clone()).into(),
        sql: c.sql,
        managed: ManagedConnection { sign_in, ..c.managed },
        secrets: {
            let (sql, share) = (a.sql_password.clone(), a.share_password.clone());
            Arc::new(move |name| {
                let found = match name {
                    "mi-admin" => "Canary-Adm1n-Passw0rd",
                    "sql" | "sql-source" => sql.as_str(),
                    "backup-share" => share.as_str(),
                    _ => return None,
                };
                Some(Secret::from(found))
            })
        },
    }))
}

/// A lab that jumps over idle time.
pub async fn lab(options: Options) -> Lab {
    let skip_idle_over = Some(Duration::ZERO);
    Lab::start(Options {
        skip_idle_over,
        ..options
    })
    .await
    .unwrap()
}

/// The databases of a design, as a lab migrates them.
pub fn databases(design: &Design) -> Vec<lab::LabDatabase> {
    let all = design.databases().map(|name| lab::LabDatabase {
        name: name.to_owned(),
        folder: plan::backup::folder_of(name),
    });
    all.collect()
}

/// What the lab's vCenter holds.
pub async fn inventory(lab: &Lab) -> Inventory {
    let a = lab.addresses();
    let password = Secret::new(a.vcenter_password.clone());
    let vc = vsphere::VCenter::connect(&connections(&a).vcenter, &password, Arc::new(plan::exchange::NoTrace))
        .await
        .unwrap();
    let inventory = vc.inventory().await.unwrap();
    vc.logout().await;
    inventory
}

/// The design's plan for a lab.
pub fn plan_of(lab: &Lab, design: &Design, inventory: &Inventory) -> Plan {
    plan::graph::plan(design, &lab.addresses().subscription_id, inventory).unwrap()
}

/// A task of the sample.
pub fn task_of(address: &str) -> Task {
    let plan = plan::graph::plan(&smarthotel::design(), "s", &Inventory::default()).unwrap();
    plan.task(&address.parse().unwrap()).unwrap().clone()
}

/// What a task's kind works with in the lab's time.
pub fn ctx(lab: &Lab, task: &Task, facts: BTreeMap<String, Value>) -> (Ctx, Reports) {
    Ctx::for_test(task.clone(), facts, Arc::new(LabTime(lab.clock())))
}

/// What a task's evidence says.
pub fn evidence(reports: &Reports) -> Vec<String> {
    let said = reports.take().into_iter().filter_map(|r| match r {
        Report::Evidence(e) => Some(e),
        _ => None,
    });
    said.collect()
}

/// Starts a plan in a new project file, as a rehearsal does. Every gate is accepted.
pub fn start(lab: &Lab, file: &Path, plan: Plan, runner: Arc<dyn Runner>) -> (Arc<ProjectFile>, RunHandle) {
    let project = smarthotel::project("p", connections(&lab.addresses()), 10_000, 1);
    let file = Arc::new(ProjectFile::create(file, &project).unwrap());
    let mut options = RunOptions::new("test", "test", "0");
    (options.rehearsal, options.auto_accept_gates) = (true, true);
    let time = Arc::new(LabTime(lab.clock()));
    let run = Engine::start(file.clone(), Arc::new(plan), runner, time, options).unwrap();
    (file, run)
}

/// Waits for the end of a run.
pub async fn end(run: &RunHandle) -> Outcome {
    match tokio::time::timeout(PATIENCE, run.finished()).await {
        Ok(outcome) => outcome.unwrap(),
        Err(_) => panic!("it hangs: {:#?}", told(run, |t| !t.status.is_settled())),
    }
}

/// Waits for the end of a run that must come to a good one: every task is settled.
pub async fn end_well(run: &RunHandle) {
    assert_eq!(
        end(run).await,
        Outcome::Done,
        "{:#?}",
        told(run, |t| !t.status.is_settled())
    );
}

/// Some tasks in words.
pub fn told(run: &RunHandle, which: impl Fn(&TaskState) -> bool) -> Vec<String> {
    let words = |t: &TaskState| {
        let failure = t
            .failure
            .as_ref()
            .map(|f| format!("{} {} | {} | {}", f.code, f.title, f.detail, f.hint));
        format!("{} {:?} {} {failure:?}", t.address, t.status, t.text)
    };
    run.state().tasks.iter().filter(|t| which(t)).map(words).collect()
}

/// Runs a plan in a new project file from the first task to the last, and checks what must hold for each: all tasks
/// settle, nothing that changes something is asked for twice, the journal is unbroken, and no secret is in the file.
pub async fn run_whole(
    lab: &Lab,
    plan: Plan,
    runner: Arc<dyn Runner>,
    more_secrets: impl FnOnce() -> Vec<String>,
) -> RunState {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.rehost");
    let (file, run) = start(lab, &path, plan, runner);
    end_well(&run).await;
    let state = run.state();
    assert!(state.tasks.len() >= 60);
    assert_eq!(
        lab.stats().repeated,
        vec![],
        "nothing that changes something is asked for twice"
    );
    file.verify_chain().unwrap();
    drop((file, run));
    let bytes = std::fs::read(&path).unwrap();
    let a = lab.addresses();
    let mut secrets = more_secrets();
    secrets.extend([
        "Canary-Adm1n-Passw0rd".into(),
        a.vcenter_password,
        a.client_secret,
        a.sql_password,
        a.share_password,
    ]);
    for secret in secrets {
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
            "a secret is in the project file: {}…",
            &secret[..4]
        );
    }
    state
}

/// Addresses of what was not needed.
pub fn skipped(state: &RunState) -> Vec<String> {
    let skipped = state.tasks.iter().filter(|t| t.status == TaskStatus::Skipped);
    skipped.map(|t| t.address.to_string()).collect()
}
