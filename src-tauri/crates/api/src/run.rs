//! The plan and its run: compute, approve, start, follow, steer.

use crate::{
    App, Open, Sink,
    connections::SecretName,
    projects::newest_run,
    rehearsal::{self, World},
    sign_in,
    wire::{
        ClockView, CloseQuestion, FilledScript, PlanView, QuotaView, RunMessage, RunPhase, RunState, TaskState, UiError,
    },
};
use azure::Arm;
use engine::{Clock, CommandError, Engine, EngineError, RunHandle, RunOptions, SystemClock, project as on_disk};
use futures::FutureExt;
use jiff::Timestamp;
use migration::{Migration, Systems};
use plan::{Action, Actor, Address, Exchange, Inventory, Plan, graph, graph::PlanError};
use secrets::{Secret, SecretStore};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast::error::RecvError, watch};
use vsphere::Credentials;

/// Between two looks at what changed: at most ten messages a second for each task.
const BREATH: Duration = Duration::from_millis(100);

/// A run that this process follows. A run that has stopped stays here, for a retry takes it up again.
pub(crate) struct Live {
    handle: RunHandle,
    pub(crate) plan: Arc<PlanView>,
    world: Option<Arc<World>>,
    migration: Arc<Migration>,
    /// The run's client of Azure: whatever else asks Azure during the run stays within the same limits.
    pub(crate) arm: Arm,
}

impl Live {
    pub(crate) fn state(&self) -> RunState {
        self.handle.state()
    }

    /// False when the run has ended, and when the engine had to let go of it: its journal can't be written.
    pub(crate) fn goes_on(&self) -> bool {
        self.handle.finished().now_or_never().is_none()
    }

    /// Stops at the next safe point, so that the run can be taken up again.
    pub(crate) async fn end(&self) {
        self.handle.stop().await;
        self.migration.close().await;
    }

    fn clock(&self) -> ClockView {
        let speed = self.world.as_ref().map_or(1, |w| w.speed());
        ClockView {
            now: self.handle.clock().now().to_string(),
            speed,
        }
    }
}

/// Returns the plan: that of the run while one can go on, otherwise computed from design and inventory as they are.
///
/// # Errors
/// Fails when no plan can be computed.
pub async fn plan_get(app: &Arc<App>, project: String) -> Result<PlanView, UiError> {
    let open = app.opened(&project)?;
    if let Some(live) = open.live() {
        return Ok((*live.plan).clone());
    }
    if let Some(run) = newest_run(&open.file)?
        && !run.has_ended()
    {
        return approved(&open, &run);
    }
    compute(&open)
}

/// Approves the plan with this hash and starts it.
///
/// # Errors
/// Fails when the plan has changed or has blocking findings, a secret is missing, or a run goes on already.
pub async fn run_start(app: &Arc<App>, project: String, plan_hash: String) -> Result<RunState, UiError> {
    let open = app.opened(&project)?;
    if rehearsal::ensure_world(app, &open).await?
        && let Some(run) = newest_run(&open.file)?
        && !run.has_ended()
    {
        // Its lab is gone, so nobody can take it up again.
        let at = open.file.runs()?.last().map_or_else(Timestamp::now, |r| r.last);
        Engine::abandon(open.file.clone(), &run.run, &on_disk::user(), at)?;
    }
    start(app, &open, Some(&plan_hash), false).await
}

/// Takes up the newest run, which an earlier process or window left.
///
/// # Errors
/// Fails when there is none, it has ended, or a rehearsal's lab is gone.
pub async fn run_resume(app: &Arc<App>, project: String) -> Result<RunState, UiError> {
    let open = app.opened(&project)?;
    if let Some(live) = open.live() {
        return Ok(live.state());
    }
    let run = newest_run(&open.file)?.filter(|r| !r.has_ended()).ok_or_else(|| {
        UiError::state(
            "There is no run to take up",
            "The newest run has ended, or none was started.",
            "Start a new run in Plan.",
        )
    })?;
    let plan = approved(&open, &run)?;
    go(app, &open, plan, Some(run.run), false).await
}

/// Starts a run, or takes the newest up when it hasn't ended. A run that is done stays as it is.
///
/// # Errors
/// See [`run_start`] and [`run_resume`].
pub async fn start_or_resume(app: &Arc<App>, project: &str, accept_gates: bool) -> Result<(), UiError> {
    let open = app.opened(project)?;
    match newest_run(&open.file)? {
        Some(run) if !run.has_ended() => {
            let plan = approved(&open, &run)?;
            go(app, &open, plan, Some(run.run), accept_gates).await.map(drop)
        }
        Some(run) if run.phase == RunPhase::Done => Ok(()),
        _ => start(app, &open, None, accept_gates).await.map(drop),
    }
}

/// Starts the plan as it is computed now; with a hash, only when it is that of the plan that was approved.
pub(crate) async fn start(
    app: &Arc<App>,
    open: &Open,
    approved: Option<&str>,
    accept_gates: bool,
) -> Result<RunState, UiError> {
    if open.live().is_some() {
        return Err(UiError::state(
            "A run of this project goes on already",
            "One project has one run at a time.",
            "Open Run to see it.",
        ));
    }
    let view = compute(open)?;
    if approved.is_some_and(|hash| hash != view.hash) {
        return Err(UiError::plan(
            "The plan has changed since it was shown",
            "The design, the connections or the inventory were changed meanwhile.",
            "Read the plan again, then approve it.",
        ));
    }
    let blocking: Vec<&str> = view
        .plan
        .findings
        .iter()
        .filter(|f| f.severity == plan::task::Severity::Blocking)
        .map(|f| f.title.as_str())
        .collect();
    if !blocking.is_empty() {
        return Err(UiError::plan(
            "The plan can't be started",
            blocking.join(" "),
            "Correct what the findings in Plan name, then approve it again.",
        ));
    }
    go(app, open, view, None, accept_gates).await
}

/// Binds the plan to the systems and sets the engine going.
async fn go(
    app: &Arc<App>,
    open: &Open,
    view: PlanView,
    resume: Option<String>,
    accept_gates: bool,
) -> Result<RunState, UiError> {
    open.let_go().await;
    let project = open.project();
    let world = rehearsal::world_of(app, open)?;
    let store = app.store_of(open).await;
    let key = |name: SecretName| name.key(&project.id);
    let need = async |name: SecretName, what: &str| match store.get(&key(name)).await? {
        Some(secret) => Ok(secret),
        None => Err(sign_in::missing(what)),
    };
    let vcenter_credentials = Credentials {
        password: need(SecretName::Vcenter, "vCenter password").await?,
        proxy_password: store.get(&key(SecretName::VcenterProxy)).await?,
    };
    let session = sign_in::ready(app, open).await?;
    let mut known: HashMap<String, Secret<String>> = HashMap::new();
    for name in migration::secret_names(&view.plan) {
        let secret = match name.as_str() {
            plan::design::MI_SECRET => mi_admin(&*store, &key(SecretName::MiAdmin)).await?,
            plan::design::SQL_SECRET => need(SecretName::SqlSource, "password for the source SQL Server").await?,
            plan::design::SHARE_SECRET => need(SecretName::BackupShare, "password for the backup share").await?,
            _ => continue,
        };
        known.insert(name, secret);
    }
    if let Some(password) = store.get(&key(SecretName::Sql)).await? {
        known.insert(plan::design::SQL_DIRECT_SECRET.to_owned(), password);
    }
    let clock = world
        .as_ref()
        .map_or_else(|| Arc::new(SystemClock) as Arc<dyn Clock>, |w| w.clock());
    let limits = world.as_ref().map_or_else(azure::Limits::default, |w| w.limits());
    let arm = Arm::through(session.network(), session.connection(), session.credential())?.limited(limits);
    let migration = Arc::new(Migration::new(Systems {
        arm: arm.clone(),
        vcenter: project.connections.vcenter.clone(),
        vcenter_credentials,
        sql: project.connections.sql.clone(),
        managed: project.connections.managed.clone(),
        secrets: Arc::new(move |name: &str| known.get(name).cloned()),
    }));
    let options = RunOptions {
        version: env!("CARGO_PKG_VERSION").into(),
        rehearsal: project.rehearsal,
        auto_accept_gates: accept_gates,
        ..RunOptions::default()
    };
    let handle = match resume {
        Some(run) => Engine::resume(open.file.clone(), &run, migration.clone(), clock, options),
        None => Engine::start(
            open.file.clone(),
            Arc::new(view.plan.clone()),
            migration.clone(),
            clock,
            options,
        ),
    }?;
    let live = Arc::new(Live {
        handle,
        plan: Arc::new(view),
        world,
        migration,
        arm,
    });
    let state = live.state();
    open.set_live(live);
    Ok(state)
}

/// The password of the managed instance's administrator, made when there is none.
async fn mi_admin(store: &dyn SecretStore, key: &str) -> Result<Secret<String>, UiError> {
    if let Some(stored) = store.get(key).await? {
        return Ok(stored);
    }
    // 122 random bits each; upper and lower case, digits and a sign, as the service demands.
    let made = Secret::new(format!(
        "Rh1-{}-{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    ));
    store.set(key, &made).await?;
    Ok(made)
}

/// Follows the project's newest run: a snapshot, then what changed. Goes on until the project is closed or nobody
/// listens; another run begins with another snapshot.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read, and when the run had to stop because its journal can't be
/// written.
pub async fn run_subscribe(app: &Arc<App>, project: String, sink: Sink<RunMessage>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let mut changed = open.changed.subscribe();
    let closed = open.closed.clone();
    loop {
        changed.mark_unchanged();
        let listens = match open.followed() {
            Some(live) => {
                tokio::select! {
                    listens = follow(&open, &live, &mut changed, &sink) => listens?,
                    () = closed.cancelled() => return Ok(()),
                }
            }
            None => {
                let listens = match newest_run(&open.file)? {
                    Some(state) => sink(RunMessage::Snapshot {
                        plan: approved(&open, &state)?,
                        clock: last_known(&open, &state),
                        state,
                    }),
                    None => true,
                };
                tokio::select! {
                    // The sender lives as long as the project that is held here.
                    _ = changed.changed() => listens,
                    () = closed.cancelled() => return Ok(()),
                }
            }
        };
        if !listens {
            return Ok(());
        }
    }
}

/// Sends what happens in one run until another takes its place (true) or nobody listens (false).
async fn follow(
    open: &Open,
    live: &Arc<Live>,
    changed: &mut watch::Receiver<u64>,
    sink: &Sink<RunMessage>,
) -> Result<bool, UiError> {
    let (state, mut events) = live.handle.follow();
    let mut seen = Seen::new(&state);
    if !sink(RunMessage::Snapshot {
        plan: (*live.plan).clone(),
        state,
        clock: live.clock(),
    }) {
        return Ok(false);
    }
    // A run that stopped may go on after a retry, so its end is looked for again whenever it runs.
    let (mut events_end, mut left, mut runs) = (false, false, true);
    loop {
        let mut tell_clock = false;
        tokio::select! {
            event = events.recv(), if !events_end => events_end = matches!(event, Err(RecvError::Closed)),
            _ = changed.changed() => {
                if !open.followed().is_some_and(|now| Arc::ptr_eq(&now, live)) {
                    return Ok(true);
                }
                tell_clock = true;
            }
            end = live.handle.finished(), if runs && !left => match end {
                Ok(_) => {}
                // Somebody closes the project: that is told elsewhere.
                Err(EngineError::Left) => left = true,
                Err(e) => return Err(e.into()),
            }
        }
        // What came in together is told together; a lag only means that more came in.
        while events.try_recv().is_ok() {}
        let messages = live
            .handle
            .with_state(|state| seen.look(state, &live.clock(), tell_clock));
        for message in messages {
            if !sink(message) {
                return Ok(false);
            }
        }
        runs = matches!(seen.phase, RunPhase::Running | RunPhase::Paused);
        tokio::time::sleep(BREATH).await;
    }
}

/// What a listener knows already.
struct Seen {
    tasks: BTreeMap<Address, TaskState>,
    phase: RunPhase,
    facts: usize,
}

impl Seen {
    fn new(state: &RunState) -> Self {
        let tasks = state.tasks.iter().map(|t| (t.address.clone(), t.clone())).collect();
        Self {
            tasks,
            phase: state.phase,
            facts: state.facts.len(),
        }
    }

    fn look(&mut self, state: &RunState, clock: &ClockView, tell_clock: bool) -> Vec<RunMessage> {
        let mut messages = vec![];
        for task in &state.tasks {
            if self.tasks.get(&task.address) != Some(task) {
                self.tasks.insert(task.address.clone(), task.clone());
                messages.push(RunMessage::Task {
                    seq: state.seq,
                    task: task.clone(),
                    clock: clock.clone(),
                });
            }
        }
        if tell_clock || self.phase != state.phase || self.facts != state.facts.len() {
            (self.phase, self.facts) = (state.phase, state.facts.len());
            let state = RunState {
                tasks: vec![],
                ..state.clone()
            };
            messages.push(RunMessage::Run {
                seq: state.seq,
                state,
                clock: clock.clone(),
            });
        }
        messages
    }
}

/// The time of the last thing that happened: a run that nobody executes has no other.
fn last_known(open: &Open, state: &RunState) -> ClockView {
    let last = open
        .file
        .runs()
        .ok()
        .and_then(|runs| runs.into_iter().find(|r| r.run == state.run))
        .map(|r| r.last);
    ClockView {
        now: last.or(state.ended).unwrap_or_else(Timestamp::now).to_string(),
        speed: 1,
    }
}

/// The newest run's state.
///
/// # Errors
/// Fails when the project isn't open or has no run.
pub async fn state(app: &Arc<App>, project: &str) -> Result<RunState, UiError> {
    let open = app.opened(project)?;
    match open.followed() {
        Some(live) => Ok(live.state()),
        None => newest_run(&open.file)?.ok_or_else(no_run),
    }
}

/// Starts no new task; what runs in Azure and vCenter goes on and is followed.
///
/// # Errors
/// Fails when no run goes on.
pub async fn run_pause(app: &Arc<App>, project: String) -> Result<(), UiError> {
    Ok(live(app, &project)?.handle.pause().await?)
}

/// Goes on after a pause.
///
/// # Errors
/// Fails when no run goes on.
pub async fn run_continue(app: &Arc<App>, project: String) -> Result<(), UiError> {
    Ok(live(app, &project)?.handle.cont().await?)
}

/// Ends the run at the next safe point. What runs in Azure and vCenter then goes on.
///
/// # Errors
/// Fails when no run goes on.
pub async fn run_cancel(app: &Arc<App>, project: String) -> Result<(), UiError> {
    Ok(live(app, &project)?.handle.cancel().await?)
}

/// Tries a failed task, or a rejected gate, again; also in a run that has stopped.
///
/// # Errors
/// Fails when the task has not failed.
pub async fn task_retry(app: &Arc<App>, project: String, address: Address) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    if open.followed().is_none()
        && let Some(run) = newest_run(&open.file)?
    {
        let plan = approved(&open, &run)?;
        go(app, &open, plan, Some(run.run), false).await?;
    }
    let live = live(app, &project)?;
    live.handle
        .retry(&address)
        .await
        .map_err(|e| UiError::from(e).about(&address))
}

/// Decides at a gate, in the name of the signed-in user.
///
/// # Errors
/// Fails when the gate doesn't wait for a decision.
pub async fn gate_decide(
    app: &Arc<App>,
    project: String,
    address: Address,
    accept: bool,
    note: String,
) -> Result<(), UiError> {
    let live = live(app, &project)?;
    let decided = live.handle.decide(&address, accept, on_disk::user(), note.trim()).await;
    decided.map_err(|e| UiError::from(e).about(&address))
}

/// The newest exchanges of a task with Azure and vCenter, secrets removed.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read.
pub async fn task_exchanges(app: &Arc<App>, project: String, address: Address) -> Result<Vec<Exchange>, UiError> {
    let open = app.opened(&project)?;
    let run = match open.followed() {
        Some(live) => live.handle.run().to_owned(),
        None => newest_run(&open.file)?.ok_or_else(no_run)?.run,
    };
    Ok(open.file.exchanges(&run, &address)?)
}

/// What is left of Azure's limits on requests, as the run sees them; empty while nothing was run.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn azure_quota(app: &Arc<App>, project: String) -> Result<Vec<QuotaView>, UiError> {
    let open = app.opened(&project)?;
    let quota = open.followed().map(|live| live.arm.quota()).unwrap_or_default();
    Ok(quota.into_iter().map(QuotaView::from).collect())
}

/// The script of a person's task with its secrets filled in, or the one with which somebody does a task of Rehost's by hand;
/// to be shown or copied on request.
///
/// # Errors
/// Fails when the task has none, or a secret can't be had.
pub async fn task_script(app: &Arc<App>, project: String, address: Address) -> Result<FilledScript, UiError> {
    let open = app.opened(&project)?;
    let view = match open.followed() {
        Some(live) => (*live.plan).clone(),
        None => compute(&open)?,
    };
    let none =
        || UiError::not_found("This task has no script", "Its instructions are all there is.", "").about(&address);
    let task = view.plan.task(&address).ok_or_else(none)?;
    let script = match &task.actor {
        Actor::Person { script, .. } => script.clone(),
        Actor::Rehost => match &task.action {
            plan::Action::CheckVCenterRights { needs } => {
                Some(plan::scripts::own_role(&open.project().connections.vcenter.user, needs))
            }
            action => plan::scripts::by_hand(action),
        },
    };
    let script = script.ok_or_else(none)?;
    let text = filled(app, &open, &view.plan, &script.text)
        .await
        .map_err(|e| e.about(&address))?;
    Ok(FilledScript {
        address,
        language: script.language,
        text,
    })
}

/// What closing the window would mean now.
///
/// # Errors
/// None; the type is that of every command.
pub async fn close_question(app: &Arc<App>) -> Result<CloseQuestion, UiError> {
    Ok(app.close_question())
}

/// Closes the window; the person has said yes.
///
/// # Errors
/// None; the type is that of every command.
pub async fn close_window(app: &Arc<App>) -> Result<(), UiError> {
    app.host().close_window();
    Ok(())
}

impl App {
    /// What closing the window would mean now.
    pub fn close_question(&self) -> CloseQuestion {
        let mut question = CloseQuestion {
            ask: false,
            goes_on: vec![],
        };
        for open in self.all_open() {
            let Some(live) = open.live() else { continue };
            question.ask = true;
            let name = open.project().name;
            if live.world.is_some() {
                question.goes_on.push(format!(
                    "{name} is a rehearsal: its lab stands still until the project is opened again, and goes on there."
                ));
                continue;
            }
            let state = live.state();
            for task in state.tasks.iter().filter(|t| t.in_flight.is_some()) {
                let title = live
                    .plan
                    .plan
                    .task(&task.address)
                    .map_or(task.address.as_str(), |t| t.title.as_str());
                question
                    .goes_on
                    .push(format!("{name}: \u{201c}{title}\u{201d} goes on without Rehost."));
            }
            question.goes_on.push(format!(
                "{name}: nothing new is started until the project is opened again and the run taken up."
            ));
        }
        question
    }
}

fn live(app: &App, project: &str) -> Result<Arc<Live>, UiError> {
    app.opened(project)?.followed().ok_or_else(|| {
        UiError::state(
            "No run goes on",
            "The run was not taken up in this window, or none was started.",
            "Choose Resume, or start a run in Plan.",
        )
    })
}

fn no_run() -> UiError {
    UiError::not_found(
        "There is no run yet",
        "None of this project was started.",
        "Start one in Plan.",
    )
}

/// Computes the plan from design and inventory as they are.
fn compute(open: &Open) -> Result<PlanView, UiError> {
    let project = open.project();
    let inventory = open.inventory()?.unwrap_or_default();
    let mut plan = graph::plan(
        &project.planned(),
        &project.connections.azure.subscription_id,
        &inventory,
    )?;
    plan.findings.extend(crate::sql::findings(open)?);
    Ok(shown(open, plan, &inventory))
}

/// The plan that was approved for a run.
fn approved(open: &Open, run: &RunState) -> Result<PlanView, UiError> {
    let plan = open.file.plan(&run.plan_hash)?.ok_or_else(|| {
        UiError::plan(
            "The approved plan is missing",
            "The project file doesn't hold the plan of its run.",
            "Start a new run in Plan.",
        )
    })?;
    Ok(shown(open, plan, &open.inventory()?.unwrap_or_default()))
}

fn shown(open: &Open, plan: Plan, inventory: &Inventory) -> PlanView {
    let diagram = graph::diagram(&open.project().design, inventory);
    PlanView {
        hash: plan.hash(),
        plan,
        diagram,
    }
}

/// Fills a person's script: blob addresses, shared access signatures signed again as they were issued, the key with
/// which an integration runtime registers.
async fn filled(app: &Arc<App>, open: &Open, plan: &Plan, template: &str) -> Result<String, UiError> {
    let project = open.project();
    let signatures: Vec<_> = plan
        .tasks()
        .filter_map(|t| match &t.action {
            Action::IssueSas {
                name,
                account,
                container,
                ..
            } if template.contains(&format!("${{secret:sas/{name}}}")) => Some((name, account, container)),
            _ => None,
        })
        .collect();
    let runtime = plan.tasks().find_map(|t| match &t.action {
        Action::CheckRuntime { service } if template.contains("${secret:runtime-key}") => Some(service),
        _ => None,
    });
    let mut known = HashMap::new();
    if template.contains("${secret:connection/") || template.contains("${mi.fqdn}") {
        let facts = state(app, &open.path.display().to_string()).await?.facts;
        let fact = |name: &str| facts.get(name).and_then(|v| v.as_str()).ok_or_else(not_issued);
        let (host, user) = (fact("mi.fqdn")?, fact("mi.admin")?);
        known.insert("mi.fqdn".into(), Secret::from(host));
        if template.contains("${secret:connection/") {
            let password = app.secret(open, SecretName::MiAdmin).await?.ok_or_else(not_issued)?;
            for (n, database) in project.design.databases().enumerate() {
                let string = sqlserver::connection::managed_instance(host, database, user, &password);
                known.insert(format!("secret:connection/{n}"), string);
            }
        }
    }
    if !signatures.is_empty() || runtime.is_some() {
        let facts = state(app, &open.path.display().to_string()).await?.facts;
        let arm = match open.followed() {
            Some(live) => live.arm.clone(),
            None => {
                let session = sign_in::session(app, open).await?;
                Arm::through(session.network(), session.connection(), session.credential())?
            }
        };
        for (name, account, container) in signatures {
            let issued = facts.get(&format!("sas.{name}")).ok_or_else(not_issued)?;
            let text = |key: &str| issued.get(key).and_then(|v| v.as_str()).ok_or_else(not_issued);
            let time = |key: &str| text(key)?.parse::<Timestamp>().map_err(UiError::internal);
            let keys = arm.post(account, "listKeys", None).await?.body.unwrap_or_default();
            let key = keys
                .pointer("/keys/0/value")
                .and_then(|v| v.as_str())
                .map(Secret::from)
                .ok_or_else(|| {
                    UiError::refused(
                        format!("{} gives no key", account.name()),
                        "Shared key access may be disabled by policy.",
                        "In the Azure portal, storage account, Configuration: allow storage account key access.",
                    )
                })?;
            let sas = azure::sas::service_sas(
                account.name(),
                container,
                &key,
                text("permissions")?,
                time("start")?,
                time("expiry")?,
            )?;
            known.insert(format!("secret:sas/{name}"), sas);
        }
        if let Some(service) = runtime {
            let keys = arm.post(service, "listAuthKeys", None).await?.body.unwrap_or_default();
            let key = keys.pointer("/authKey1").and_then(|v| v.as_str()).map(Secret::from);
            known.insert("secret:runtime-key".into(), key.ok_or_else(not_issued)?);
        }
    }
    Ok(migration::fill_script(template, |name| {
        match name.strip_prefix("blob:") {
            Some(account) => Some(
                azure::clouds::complete(&project.connections.azure)
                    .blob_url
                    .replace("{account}", account),
            ),
            None => known.get(name).map(|s| s.expose().clone()),
        }
    }))
}

fn not_issued() -> UiError {
    UiError::state(
        "The script can't be filled yet",
        "It needs a shared access signature or a key that an earlier task makes.",
        "Wait until the tasks before this one are done, then copy it again.",
    )
}

impl From<PlanError> for UiError {
    fn from(e: PlanError) -> Self {
        let detail = sentence(&e.to_string());
        match e {
            PlanError::NoSubscription => Self::plan(
                "No plan can be made yet",
                detail,
                "Open Connect, enter the subscription ID, and choose Save.",
            ),
            PlanError::UnknownDependency { .. } | PlanError::Circle(_) | PlanError::Twice(_) => Self::internal(detail),
            _ => Self::plan("No plan can be made", detail, "Change the design as the message says."),
        }
    }
}

impl From<EngineError> for UiError {
    fn from(e: EngineError) -> Self {
        let detail = e.to_string();
        match e {
            EngineError::Project(e) => Self::from_project(&e),
            EngineError::Plan(_) => Self::plan(
                "The plan can't be run",
                detail,
                "Report it with the newest file of the log folder.",
            ),
            EngineError::Unfinished { .. } => Self::state(
                "An earlier run has not ended",
                detail,
                "Choose Resume to take it up, or cancel it.",
            ),
            EngineError::Live => Self::state("The run goes on already", detail, "Open Run to see it."),
            EngineError::NoRun(_) => {
                Self::not_found("The run is not in this project", detail, "Start a new run in Plan.")
            }
            EngineError::Left => Self::state("The run is not followed any more", detail, "Choose Resume."),
        }
    }
}

impl From<CommandError> for UiError {
    fn from(e: CommandError) -> Self {
        let detail = e.to_string();
        match e {
            CommandError::NoTask(_) => Self::not_found("There is no such task", detail, "Reload the window."),
            CommandError::NotNow { .. } => {
                Self::state("That is not possible now", detail, "Look at the task's present state.")
            }
            CommandError::Ended => Self::state("The run has ended", detail, "Start a new run in Plan."),
            CommandError::Left => Self::state("The run is not followed here", detail, "Choose Resume."),
        }
    }
}

/// A library's message as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
