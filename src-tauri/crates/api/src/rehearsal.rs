//! Rehearsals: a lab in this process or in another takes the place of the datacenter and Azure. Everything after the
//! addresses are written into the project is the same as in a real run.
//!
//! A lab lives in memory, and keeps a diary beside the project file. While the program lives, a rehearsal can be closed
//! and opened again; after that the lab is brought back from its diary, at the time of the journal's last event. Time
//! stands still in between: nobody rehearses while the program is closed.

use crate::{
    App, Open, PROJECT_EXTENSION,
    app::lock,
    clocks::{LocalTime, RemoteTime},
    connections::SecretName,
    control::Control,
    guest, projects, run,
    wire::{ErrorCode, FaultScript, ProjectView, RehearsalOptions, UiError},
};
use engine::Clock;
use jiff::Timestamp;
use lab::{Addresses, Lab, LabDatabase, LabError, Options, Ports, faults::With};
use plan::{
    BackupSource, Connections, DatabaseMethod, Design, Project, ReplicationMethod,
    around::ProveDesign,
    backup::{BackupDesign, folder_of},
    design::{AzureConnection, Cloud, ManagedConnection, SqlConnection, VCenterConnection},
    exchange::NoTrace,
    smarthotel,
};
use secrets::Secret;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use vsphere::VCenter;

/// Lab time per real time that the window offers first.
pub const USUAL_SPEED: u32 = 500;
/// The highest speed. Without a window the clock also jumps over idle time then.
pub const FULL_SPEED: u32 = 10_000;
/// The year of the scenario.
pub const USUAL_SEED: u64 = 2018;
/// With a window, only waits longer than this are jumped over (the 30 days before the sources are removed): the person
/// should see the rest happen. Lab time.
const LONG_WAIT: Duration = Duration::from_secs(6 * 3600);

/// How a rehearsal is made.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    pub options: RehearsalOptions,
    pub seed: u64,
    /// The project file to create; none = a new one in the projects folder.
    pub file: Option<PathBuf>,
    /// Jump over all idle time.
    pub full_speed: bool,
    /// Accept every gate at once.
    pub accept_gates: bool,
}

impl Rehearsal {
    /// One that a person follows.
    pub fn followed(options: RehearsalOptions) -> Self {
        Self {
            options,
            seed: USUAL_SEED,
            file: None,
            full_speed: false,
            accept_gates: false,
        }
    }

    /// One that nobody follows: it jumps over all idle time and accepts every gate.
    pub fn unattended(options: RehearsalOptions) -> Self {
        Self {
            full_speed: true,
            accept_gates: true,
            ..Self::followed(RehearsalOptions {
                speed: FULL_SPEED,
                ..options
            })
        }
    }
}

impl Default for RehearsalOptions {
    fn default() -> Self {
        Self {
            speed: USUAL_SPEED,
            replication: ReplicationMethod::default(),
            database_method: DatabaseMethod::default(),
            backups: BackupSource::default(),
            by_rehost: false,
            several: false,
            fault: None,
        }
    }
}

/// How a lab is served alone.
#[derive(Debug, Clone)]
pub struct LabOptions {
    pub speed: u32,
    pub seed: u64,
    pub record: bool,
    /// First of five ports in a row; none = any free ones.
    pub port_base: Option<u16>,
    pub people: bool,
    pub dba_backs_up: bool,
    /// Name of the fault script; none = nothing goes wrong.
    pub fault: Option<String>,
    /// Where the certificate authority is written; none = a file in the temporary folder.
    pub ca_file: Option<PathBuf>,
}

/// The lab that a rehearsal runs against.
pub(crate) struct World {
    addresses: Addresses,
    time: Time,
    /// None when the lab is another process's, or was stopped.
    lab: Mutex<Option<Lab>>,
}

/// Whose clock it is.
enum Time {
    Here(Arc<lab::LabClock>),
    There(Arc<RemoteTime>),
}

impl World {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.time {
            Time::Here(clock) => Arc::new(LocalTime(clock.clone())),
            Time::There(clock) => clock.clone(),
        }
    }

    /// The time in which Azure's limits refill.
    pub(crate) fn limits(&self) -> azure::Limits {
        match &self.time {
            Time::Here(clock) => azure::Limits::new(Arc::new(LocalTime(clock.clone()))),
            Time::There(clock) => azure::Limits::new(clock.clone()),
        }
    }

    pub(crate) fn speed(&self) -> u32 {
        match &self.time {
            Time::Here(clock) => clock.speed(),
            Time::There(clock) => clock.speed(),
        }
    }

    async fn set_speed(&self, speed: u32) -> Result<(), UiError> {
        match &self.time {
            Time::Here(clock) => {
                clock.set_speed(speed);
                Ok(())
            }
            Time::There(clock) => clock.set_speed(speed).await,
        }
    }

    async fn cure(&self) -> Result<bool, UiError> {
        match &self.time {
            Time::Here(_) => Ok(lock(&self.lab).as_ref().is_some_and(Lab::cure)),
            Time::There(clock) => clock.control().cure().await,
        }
    }

    /// Plays the person's browser, which comes back to whoever waits for it.
    pub(crate) fn visit(&self, page: &str) -> Result<(), UiError> {
        let ca = reqwest::Certificate::from_pem(self.addresses.ca_pem.as_bytes()).map_err(UiError::internal)?;
        let browser = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build();
        let request = browser.map_err(UiError::internal)?.get(page);
        tokio::spawn(async move {
            // What it comes to is the business of who waits.
            let _ = request.send().await;
        });
        Ok(())
    }

    pub(crate) async fn stop(&self) {
        let lab = lock(&self.lab).take();
        if let Some(lab) = lab {
            lab.stop().await;
        }
    }
}

/// A lab served alone.
pub struct ServedLab(Lab);

impl ServedLab {
    /// Where it is, and how to sign in to it.
    pub fn addresses(&self) -> Addresses {
        self.0.addresses()
    }

    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// Lists what can go wrong in a rehearsal by choice.
///
/// # Errors
/// None; the type is that of every command.
pub async fn fault_scripts(_app: &Arc<App>) -> Result<Vec<FaultScript>, UiError> {
    Ok(scripts())
}

/// The fault scripts, in the order in which an admin meets what they are about.
pub fn scripts() -> Vec<FaultScript> {
    let script = |s: &lab::faults::Script| FaultScript {
        id: s.id.clone(),
        title: s.title.clone(),
        happens: s.happens.clone(),
        admin: s.admin.clone(),
        by_itself: !matches!(s.end, lab::faults::End::Person { .. }),
        replication: match s.with {
            With::InMageRcm => Some(ReplicationMethod::InMageRcm),
            With::VMwareCbt => Some(ReplicationMethod::VMwareCbt),
            With::All | With::LogReplay | With::DmsOnline | With::DmsOffline | With::DmsFromShare | With::Proof => None,
        },
        database_methods: match s.with {
            With::LogReplay | With::Proof => vec![DatabaseMethod::LogReplay],
            With::DmsOnline | With::DmsFromShare => vec![DatabaseMethod::DmsOnline],
            With::DmsOffline => vec![DatabaseMethod::DmsOffline],
            With::All | With::InMageRcm | With::VMwareCbt => vec![],
        },
        backups: (s.with == With::DmsFromShare).then_some(BackupSource::Share),
        source: s.source.clone(),
    };
    lab::faults::SCRIPTS.iter().map(script).collect()
}

/// Creates the sample's rehearsal and starts it: lab, project, connections, discovery, plan, approval, run.
///
/// # Errors
/// Fails when the lab can't be started, the project can't be created, or anything else that would fail for real.
pub async fn rehearse_sample(app: &Arc<App>, options: RehearsalOptions) -> Result<ProjectView, UiError> {
    rehearse(app, Rehearsal::followed(options)).await
}

/// The same with all options.
///
/// # Errors
/// See [`rehearse_sample`].
pub async fn rehearse(app: &Arc<App>, rehearsal: Rehearsal) -> Result<ProjectView, UiError> {
    let options = rehearsal.options;
    check_speed(options.speed)?;
    check_fault(&options)?;
    let path = match rehearsal.file {
        Some(path) => path,
        None => free_name(&app.folders.projects)?,
    };
    // Looked at first: the diary beside a project that is there is that project's.
    if path.exists() {
        return Err(engine::ProjectError::Exists { path }.into());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| UiError::disk("created", folder, &e))?;
    }
    let diary = diary(&path);
    // A diary of an earlier file of this name belongs to nobody.
    let _ = std::fs::remove_file(&diary);
    let id = uuid::Uuid::now_v7().to_string();
    let mut project = smarthotel::project(&id, Connections::default(), options.speed, rehearsal.seed);
    (project.design.replication, project.design.database_method) = (options.replication, options.database_method);
    project.design.dms.source = options.backups;
    project.design.backups = options.by_rehost.then(BackupDesign::default);
    if options.several {
        project.design.further_databases = smarthotel::FURTHER_DATABASES.map(str::to_owned).to_vec();
    }
    let proved = lab::faults::SCRIPTS
        .iter()
        .any(|s| Some(&s.id) == options.fault.as_ref() && s.with == With::Proof);
    project.design.prove = proved.then(ProveDesign::default);
    project.rehearsal_fault = options.fault;
    let world = inside(&project, rehearsal.full_speed, diary, None).await?;
    project.connections = connections(&world.addresses);
    project.name = path
        .file_stem()
        .map_or_else(|| project.name.clone(), |n| n.to_string_lossy().into_owned());
    let open = app.create(&path, &project).await?;
    enter(app, &open, world).await?;
    run::start(app, &open, None, rehearsal.accept_gates).await?;
    projects::view(app, &open).await
}

/// Opens or creates a rehearsal against a lab in another process.
///
/// # Errors
/// Fails when the lab doesn't answer at its control address, or the file can't be used.
pub async fn attach(app: &Arc<App>, file: &Path, control_url: &str, ca_file: &Path) -> Result<ProjectView, UiError> {
    let ca = std::fs::read_to_string(ca_file).map_err(|e| UiError::disk("read", ca_file, &e))?;
    let control = Control::new(control_url, &ca)?;
    let addresses = control.addresses().await?;
    let speed = addresses.clock.speed;
    let open = if file.exists() {
        let open = app.open(file).await?;
        if !open.project().rehearsal {
            return Err(UiError::invalid(
                "This project is not a rehearsal",
                format!(
                    "{} has connections to real systems; a lab must not replace them.",
                    file.display()
                ),
                "Name a new file; it is created for the lab.",
            ));
        }
        open
    } else {
        let id = uuid::Uuid::now_v7().to_string();
        let mut project = smarthotel::project(&id, connections(&addresses), speed, USUAL_SEED);
        project.rehearsal_fault = addresses.fault.clone();
        app.create(file, &project).await?
    };
    let clock = Arc::new(RemoteTime::new(addresses.clock, speed >= FULL_SPEED, control));
    enter(
        app,
        &open,
        World {
            addresses,
            time: Time::There(clock),
            lab: Mutex::default(),
        },
    )
    .await?;
    projects::view(app, &open).await
}

/// Serves a lab alone.
///
/// # Errors
/// Fails when a port is taken or the authority's file can't be written.
pub async fn serve_lab(options: LabOptions) -> Result<ServedLab, UiError> {
    let mut lab = Lab::start(Options {
        seed: options.seed,
        speed: options.speed,
        people: options.people,
        dba_backs_up: options.dba_backs_up,
        ports: options.port_base.map(Ports::from_base).unwrap_or_default(),
        record: options.record,
        fault: options.fault,
        ..Options::default()
    })
    .await?;
    let file = options
        .ca_file
        .unwrap_or_else(|| std::env::temp_dir().join(format!("rehost-lab-{}.pem", std::process::id())));
    lab.write_ca(&file)?;
    Ok(ServedLab(lab))
}

/// Changes the lab's speed and remembers it in the project.
///
/// # Errors
/// Fails outside 1 to 10,000, in a real project, and when the lab is gone.
pub async fn set_speed(app: &Arc<App>, project: String, speed: u32) -> Result<(), UiError> {
    check_speed(speed)?;
    let open = app.opened(&project)?;
    let world = world_of(app, &open)?.ok_or_else(|| {
        UiError::state(
            "Real time has one speed",
            "Only a rehearsal's clock can be changed.",
            "Rehearse the sample to see it faster.",
        )
    })?;
    world.set_speed(speed).await?;
    open.change(|p| p.rehearsal_speed = speed)?;
    open.changed.send_modify(|n| *n += 1);
    Ok(())
}

/// Lets the rehearsal's people do at once what its fault script asks of them; they would do it some lab minutes later
/// anyway. Returns what they did, in the script's words; nothing when nobody is needed (any more).
///
/// # Errors
/// Fails when the project isn't open or its lab is gone.
pub async fn cure(app: &Arc<App>, project: &str) -> Result<Option<String>, UiError> {
    let open = app.opened(project)?;
    let fault = open.project().rehearsal_fault;
    let script = scripts()
        .into_iter()
        .find(|s| Some(&s.id) == fault.as_ref() && !s.by_itself);
    let (Some(script), Some(world)) = (script, world_of(app, &open)?) else {
        return Ok(None);
    };
    Ok(world.cure().await?.then_some(script.admin))
}

/// Writes the template that a rehearsal deploys in place of Microsoft's, beside the project; returns where.
///
/// # Errors
/// Fails when the project is no rehearsal, or the file can't be written.
pub(crate) async fn sample_template(app: &App, open: &Open) -> Result<PathBuf, UiError> {
    if !open.project().rehearsal {
        return Err(UiError::state(
            "Only a rehearsal has a template of its own",
            "This project works with real systems.",
            "Download the appliance from the Azure portal, and choose the file.",
        ));
    }
    let path = app.folders.config.join("rehearsal-appliance.ova");
    let write = move || {
        let failed = |e| UiError::disk("written", &path, &e);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        lab::template::write(&path, TEMPLATE_BYTES).map_err(failed)?;
        Ok(path)
    };
    tokio::task::spawn_blocking(write).await.map_err(UiError::internal)?
}

/// Bytes of its disk: enough to see it being sent.
const TEMPLATE_BYTES: u64 = 64 << 20;

/// The lab of a rehearsal; none for a real project.
pub(crate) fn world_of(app: &App, open: &Open) -> Result<Option<Arc<World>>, UiError> {
    let project = open.project();
    if !project.rehearsal {
        return Ok(None);
    }
    lock(&app.worlds).get(&project.id).cloned().map(Some).ok_or_else(|| {
        UiError::state(
            "The lab of this rehearsal is gone",
            "Its diary beside the project file is missing or unreadable. What was rehearsed is kept in this project.",
            "Open Plan and choose Approve and start: that makes a new lab and a new run.",
        )
    })
}

/// Makes sure that a rehearsal has a lab before a new run. True when it needed a new one.
pub(crate) async fn ensure_world(app: &Arc<App>, open: &Open) -> Result<bool, UiError> {
    let project = open.project();
    if !project.rehearsal || lock(&app.worlds).contains_key(&project.id) {
        return Ok(false);
    }
    let diary = diary(&open.path);
    let _ = std::fs::remove_file(&diary);
    let world = inside(&project, false, diary, None).await?;
    enter(app, open, world).await?;
    Ok(true)
}

/// Brings the lab of an unfinished rehearsal back, which an earlier process left: from its diary, at the time of the
/// journal's last event. Does nothing for a real project, and when there is no diary.
///
/// # Errors
/// Fails when the diary can't be read or repeated.
pub(crate) async fn return_world(app: &Arc<App>, open: &Open) -> Result<(), UiError> {
    let project = open.project();
    let diary = diary(&open.path);
    let known = lock(&app.worlds).contains_key(&project.id);
    if !project.rehearsal || known || !diary.exists() {
        return Ok(());
    }
    let Some(run) = open.file.runs()?.into_iter().last().filter(|r| r.outcome.is_none()) else {
        return Ok(());
    };
    let world = inside(&project, false, diary, Some(run.last)).await?;
    enter(app, open, world).await
}

/// The lab's diary stands beside the project file.
fn diary(project: &Path) -> PathBuf {
    project.with_extension("rehost-lab")
}

async fn inside(
    project: &Project,
    full_speed: bool,
    diary: PathBuf,
    resume_at: Option<Timestamp>,
) -> Result<World, UiError> {
    // At full speed only jumps move the clock: running as well, it would count this computer's milliseconds as minutes,
    // and every duration in the report would be wrong.
    let (speed, skip_idle_over) = if full_speed {
        (1, Duration::ZERO)
    } else {
        (project.rehearsal_speed.clamp(1, FULL_SPEED), LONG_WAIT)
    };
    let lab = Lab::start(Options {
        seed: project.rehearsal_seed,
        speed,
        skip_idle_over: Some(skip_idle_over),
        fault: project.rehearsal_fault.clone(),
        diary: Some(diary),
        dba_backs_up: project.design.backups.is_none(),
        databases: databases(&project.design),
        resume_at,
        ..Options::default()
    })
    .await?;
    let (addresses, clock) = (lab.addresses(), lab.clock());
    Ok(World {
        addresses,
        time: Time::Here(clock),
        lab: Mutex::new(Some(lab)),
    })
}

/// The databases that a lab migrates for a design.
fn databases(design: &Design) -> Vec<LabDatabase> {
    if design.further_databases.is_empty() {
        return vec![];
    }
    let all = design.databases().map(|name| LabDatabase {
        name: name.to_owned(),
        folder: folder_of(name),
    });
    all.collect()
}

/// Points the project at the lab: connections, secrets, inventory.
async fn enter(app: &Arc<App>, open: &Open, world: World) -> Result<(), UiError> {
    let addresses = world.addresses.clone();
    let mut connections = connections(&addresses);
    connections.managed.sign_in = open.project().connections.managed.sign_in;
    if open.project().connections != connections {
        open.change(|p| p.connections = connections.clone())?;
    }
    let id = open.project().id;
    let store = app.store_of(open).await;
    let vcenter_password = Secret::new(addresses.vcenter_password);
    store.set(&SecretName::Vcenter.key(&id), &vcenter_password).await?;
    store
        .set(&SecretName::Azure.key(&id), &Secret::new(addresses.client_secret))
        .await?;
    for (name, password) in [
        (SecretName::Sql, addresses.sql_password.clone()),
        (SecretName::SqlSource, addresses.sql_password),
        (SecretName::BackupShare, addresses.share_password),
    ] {
        store.set(&name.key(&id), &Secret::new(password)).await?;
    }
    for login in addresses.guests {
        let secret = guest::stored(&login.user, &login.password)?;
        store.set(&guest::account_key(&id, &login.moref), &secret).await?;
    }
    // Opens a pretended instance only; the same in each process, so that a resumed rehearsal goes on with it.
    let mi = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, addresses.subscription_id.as_bytes());
    store
        .set(&SecretName::MiAdmin.key(&id), &Secret::new(format!("Lab-{mi}")))
        .await?;
    lock(&app.worlds).insert(id, Arc::new(world));
    if open.file.places()?.is_none() {
        let vcenter = VCenter::connect(&connections.vcenter, &vcenter_password, Arc::new(NoTrace)).await?;
        let found = vcenter.inventory().await?;
        vcenter.logout().await;
        open.keep_inventory(found)?;
    }
    Ok(())
}

fn connections(lab: &Addresses) -> Connections {
    Connections {
        vcenter: VCenterConnection {
            url: lab.vcenter.clone(),
            user: lab.vcenter_user.clone(),
            thumbprint: lab.vcenter_thumbprint.clone(),
            ..VCenterConnection::default()
        },
        azure: AzureConnection {
            cloud: Cloud::Custom,
            arm_url: lab.arm.clone(),
            authority_url: lab.authority.clone(),
            blob_url: lab.blob.clone(),
            sql_suffix: lab.sql_suffix.clone(),
            price_url: lab.prices.clone(),
            tenant_id: lab.tenant_id.clone(),
            client_id: lab.client_id.clone(),
            subscription_id: lab.subscription_id.clone(),
            ca_pem: lab.ca_pem.clone(),
            ..AzureConnection::default()
        },
        sql: SqlConnection {
            server: lab.sql.clone(),
            user: lab.sql_user.clone(),
            thumbprint: lab.sql_thumbprint.clone(),
            browser_port: lab.sql_browser,
            ..SqlConnection::default()
        },
        managed: ManagedConnection {
            address: lab.sql_managed.clone(),
            thumbprint: lab.sql_thumbprint.clone(),
            ..ManagedConnection::default()
        },
    }
}

/// Refuses a fault script that there isn't, or that can't happen with these methods.
fn check_fault(options: &RehearsalOptions) -> Result<(), UiError> {
    let Some(id) = &options.fault else { return Ok(()) };
    let script = scripts()
        .into_iter()
        .find(|s| s.id == *id)
        .ok_or_else(|| unknown_fault(id))?;
    let fits = script.replication.is_none_or(|m| m == options.replication)
        && (script.database_methods.is_empty() || script.database_methods.contains(&options.database_method))
        && script.backups.is_none_or(|b| b == options.backups);
    if fits {
        return Ok(());
    }
    Err(UiError::invalid(
        format!("{id} can't be rehearsed with these methods"),
        format!(
            "{}: that doesn't happen with {:?}, {:?} and backups from {:?}.",
            script.title, options.replication, options.database_method, options.backups
        ),
        "Choose other methods or another fault script.",
    ))
}

fn unknown_fault(id: &str) -> UiError {
    let known: Vec<_> = lab::faults::SCRIPTS.iter().map(|s| s.id.as_str()).collect();
    UiError::invalid(
        format!("There is no fault script {id}"),
        format!("This version knows: {}.", known.join(", ")),
        "Choose one of them; `rehost-cli faults` says what each does.",
    )
}

fn check_speed(speed: u32) -> Result<(), UiError> {
    if (1..=FULL_SPEED).contains(&speed) {
        return Ok(());
    }
    Err(UiError::invalid(
        format!("{speed} is no speed for a rehearsal"),
        format!("Lab time runs 1 to {FULL_SPEED} times as fast as real time."),
        "Choose one of the offered speeds.",
    ))
}

/// `SmartHotel rehearsal.rehost`, `SmartHotel rehearsal 2.rehost`…
fn free_name(folder: &Path) -> Result<PathBuf, UiError> {
    std::fs::create_dir_all(folder).map_err(|e| UiError::disk("created", folder, &e))?;
    let name = |n: u32| match n {
        1 => folder.join(format!("SmartHotel rehearsal.{PROJECT_EXTENSION}")),
        n => folder.join(format!("SmartHotel rehearsal {n}.{PROJECT_EXTENSION}")),
    };
    (1..=u32::MAX)
        .map(name)
        .find(|path| !path.exists())
        .ok_or_else(|| UiError::internal("no free project name"))
}

impl From<LabError> for UiError {
    fn from(e: LabError) -> Self {
        let hint = match &e {
            LabError::Fault(id) => return unknown_fault(id),
            LabError::PortInUse { .. } => {
                "Close the other program, or choose other ports: rehost-cli lab --port-base N."
            }
            LabError::Bind { .. } => "Check that this computer lets programs listen on 127.0.0.1.",
            LabError::Diary { .. } | LabError::Replay { .. } => {
                "Open Plan and choose Approve and start: that makes a new lab and a new run."
            }
            LabError::CaFile { .. } => "Choose another file: rehost-cli lab --ca-file FILE.",
            LabError::Certificate(_) | LabError::Tls(_) | LabError::Sql { .. } => {
                "Report it with the newest file of the log folder."
            }
        };
        let mut error = UiError::invalid("The lab can't be started", e.to_string(), hint);
        if !matches!(e, LabError::PortInUse { .. } | LabError::CaFile { .. }) {
            error.code = ErrorCode::Internal;
        }
        error
    }
}
