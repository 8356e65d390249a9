//! The appliance from a template: a person chooses the file, a place and values; Rehost deploys it and powers it on. What it
//! does then the run notices by itself: its task waits for a machine of this name, the next one for its registration in Azure.
//!
//! The deployment goes on while other pages are shown, and ends with the project. Each of its stages is in the project file
//! before the request that follows it, so that an interrupted one is either adopted or removed ([`appliance_settle`]).

use crate::{
    App, Open, Sink, Typed,
    app::lock,
    host::FileQuestion,
    inventory::session,
    rehearsal,
    wire::{ApplianceMessage, ApplianceView, DeployPhase, DeployState, ImportCheck, PlacesView, TemplateView, UiError},
};
use jiff::Timestamp;
use plan::{
    Deployment, DeploymentStage, Placement,
    appliance::{DeploymentPlaces, Provisioning},
    privileges,
};
use secrets::Secret;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use vsphere::{ImportError, ImportSpec, ImportStep, Package, Settled, TaskState, VCenter, space_needed};

/// Between two messages of a check.
const BREATH: Duration = Duration::from_millis(100);

/// The file that was chosen, and the deployment that goes on.
#[derive(Default)]
pub(crate) struct Deploying {
    chosen: Option<Chosen>,
    going: Option<Going>,
}

struct Chosen {
    package: Arc<Package>,
    /// All checksums were compared, or there are none.
    checked: bool,
}

struct Going {
    stop: watch::Sender<bool>,
    state: watch::Receiver<DeployState>,
    work: JoinHandle<()>,
}

impl Deploying {
    fn goes_on(&self) -> bool {
        // What was told last counts: the task itself ends a moment later.
        let on = |g: &Going| !g.state.borrow().phase.is_over() && !g.work.is_finished();
        self.going.as_ref().is_some_and(on)
    }
}

impl Open {
    /// Stops the deployment that goes on, and waits until nothing of it is left.
    pub(crate) async fn stop_deployment(&self) {
        let going = lock(&self.deploying).going.take();
        if let Some(going) = going {
            going.stop.send_replace(true);
            // Whatever ended it is in the project file.
            let _ = going.work.await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Deployment)) -> Result<(), UiError> {
        self.change(|p| {
            if let Some(deployment) = &mut p.appliance {
                change(deployment);
            }
        })
    }
}

/// What is chosen, deployed or going on.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn appliance_get(app: &Arc<App>, project: String) -> Result<ApplianceView, UiError> {
    view(&*app.opened(&project)?)
}

fn view(open: &Open) -> Result<ApplianceView, UiError> {
    let project = open.project();
    let run_started = !open.file.runs()?.is_empty();
    let deploying = lock(&open.deploying);
    let goes_on = deploying.goes_on();
    Ok(ApplianceView {
        name: project.design.appliance,
        name_fixed: run_started,
        interrupted: !goes_on && project.appliance.as_ref().is_some_and(|d| d.stage.is_unfinished()),
        goes_on,
        template: deploying.chosen.as_ref().map(|c| template(&c.package)),
        checked: deploying.chosen.as_ref().is_some_and(|c| c.checked),
        deployment: project.appliance,
        sample: project.rehearsal,
    })
}

fn template(package: &Package) -> TemplateView {
    TemplateView {
        file: package.file.clone(),
        manifest: package.manifest,
        signed: package.signed,
        upload_bytes: package.template.upload_bytes(),
        thin_bytes: space_needed(&package.template, Provisioning::Thin),
        thick_bytes: space_needed(&package.template, Provisioning::Thick),
        template: package.template.clone(),
    }
}

/// Asks for a template, reads its descriptor and compares all files with its manifest. `sample` takes the rehearsal's own
/// template instead of asking.
///
/// # Errors
/// Fails when the project isn't open, a deployment goes on, or no dialog can be shown. What is wrong with the file is a message.
pub async fn appliance_read(
    app: &Arc<App>,
    project: String,
    sample: bool,
    sink: Sink<ApplianceMessage>,
) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    not_going(&open)?;
    let path = match sample {
        true => rehearsal::sample_template(app, &open).await?,
        false => {
            let folder = app.folders.projects.clone();
            match app.host().choose(FileQuestion::Template { folder }).await? {
                Some(path) => path,
                None => {
                    sink(ApplianceMessage::Closed);
                    return Ok(());
                }
            }
        }
    };
    let tell = sink.clone();
    let keep = open.clone();
    let read = tokio::task::spawn_blocking(move || read(&keep, path, &tell)).await;
    if let Err(error) = read.map_err(UiError::internal)? {
        sink(ApplianceMessage::Failed { error });
    }
    Ok(())
}

fn read(open: &Open, path: PathBuf, sink: &Sink<ApplianceMessage>) -> Result<(), UiError> {
    lock(&open.deploying).chosen = None;
    let package = Arc::new(Package::open(&path)?);
    lock(&open.deploying).chosen = Some(Chosen {
        package: package.clone(),
        checked: !package.manifest,
    });
    sink(ApplianceMessage::Read {
        template: Box::new(template(&package)),
    });
    if package.manifest {
        let total = package.checked_bytes();
        let mut told = Instant::now();
        let whole = package.verify(|done| {
            if told.elapsed() < BREATH {
                return !open.closed.is_cancelled();
            }
            told = Instant::now();
            sink(ApplianceMessage::Checking { done, total }) && !open.closed.is_cancelled()
        });
        match whole {
            Ok(true) => {}
            // Nobody listens any more.
            Ok(false) => return Ok(()),
            Err(e) => {
                lock(&open.deploying).chosen = None;
                return Err(e.into());
            }
        }
        if let Some(chosen) = &mut lock(&open.deploying).chosen
            && Arc::ptr_eq(&chosen.package, &package)
        {
            chosen.checked = true;
        }
    }
    sink(ApplianceMessage::Checked);
    Ok(())
}

fn not_going(open: &Open) -> Result<(), UiError> {
    match lock(&open.deploying).goes_on() {
        false => Ok(()),
        true => Err(UiError::state(
            "A deployment goes on",
            "The appliance is being deployed from this project.",
            "Wait for its end, or choose Stop in the deployment.",
        )),
    }
}

fn chosen(open: &Open) -> Result<Arc<Package>, UiError> {
    let deploying = lock(&open.deploying);
    match &deploying.chosen {
        Some(Chosen { package, checked: true }) => Ok(package.clone()),
        Some(_) => Err(UiError::state(
            "The template was not compared with its manifest",
            "The comparison was not finished.",
            "Choose the file again, and wait until it was checked.",
        )),
        None => Err(UiError::state(
            "There is no template",
            "No file was chosen since the project was opened.",
            "Choose the file first.",
        )),
    }
}

/// Where the template can go, and what Rehost's account lacks for it.
///
/// # Errors
/// Fails when the project isn't open, or vCenter refuses.
pub async fn appliance_places(app: &Arc<App>, project: String) -> Result<PlacesView, UiError> {
    let open = app.opened(&project)?;
    let vcenter = session(app, &open).await?;
    let places = vcenter.deployment_places().await?;
    let needs = privileges::deployment_needs(&open.project().design.datacenter);
    let rights = vcenter.rights(&needs).await?;
    Ok(PlacesView {
        places,
        missing: rights.iter().flat_map(|r| r.missing.clone()).collect(),
        lacking: vsphere::lacking(&rights).map(|a| a.hint),
    })
}

/// Asks vCenter what it would make of the template there. Changes nothing.
///
/// # Errors
/// Fails when no template is chosen, a value is not one that it takes, or vCenter refuses.
pub async fn appliance_check(
    app: &Arc<App>,
    project: String,
    placement: Placement,
    secrets: BTreeMap<String, Typed>,
) -> Result<ImportCheck, UiError> {
    let open = app.opened(&project)?;
    let package = chosen(&open)?;
    check(&open, &package, &placement, &secrets)?;
    let vcenter = session(app, &open).await?;
    let spec = asked(&vcenter, &package, &placement, &typed(secrets)).await?;
    let words = |faults: &[vsphere::Fault]| faults.iter().map(sentence).collect();
    Ok(ImportCheck {
        warnings: words(&spec.warnings),
        errors: words(&spec.errors),
        bytes: spec.bytes,
    })
}

fn sentence(fault: &vsphere::Fault) -> String {
    match fault.message.is_empty() {
        true => fault.kind.clone(),
        false => fault.message.clone(),
    }
}

fn typed(secrets: BTreeMap<String, Typed>) -> BTreeMap<String, Secret<String>> {
    secrets.into_iter().map(|(key, Typed(secret))| (key, secret)).collect()
}

async fn asked(
    vcenter: &VCenter,
    package: &Package,
    placement: &Placement,
    secrets: &BTreeMap<String, Secret<String>>,
) -> Result<ImportSpec, UiError> {
    let places = vcenter.deployment_places().await?;
    enough_space(package, placement, &places)?;
    Ok(vcenter.import_spec(package, placement, secrets, &places).await?)
}

fn enough_space(package: &Package, placement: &Placement, places: &DeploymentPlaces) -> Result<(), UiError> {
    let needed = space_needed(&package.template, placement.provisioning);
    let mut stores = places.computes.iter().flat_map(|c| &c.datastores);
    match stores.find(|d| d.moref == placement.datastore) {
        Some(store) if store.free_bytes < needed => Err(UiError::invalid(
            "There is not enough space",
            format!(
                "{} has {} free, and the appliance needs {} at once.",
                store.name,
                gib(store.free_bytes),
                gib(needed)
            ),
            "Choose another datastore, or Thin for the disks.",
        )),
        _ => Ok(()),
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// What vCenter doesn't check, or says less well.
fn check(
    open: &Open,
    package: &Package,
    placement: &Placement,
    secrets: &BTreeMap<String, Typed>,
) -> Result<(), UiError> {
    let template = &package.template;
    let invalid = |title: &str, detail: String, hint: &str| Err(UiError::invalid(title, detail, hint));
    let project = open.project();
    let name = placement.name.trim();
    if name.is_empty() || name.len() > 80 || name != placement.name {
        let detail = "It must have 1 to 80 characters, and no space at its ends.".to_owned();
        return invalid("The machine needs another name", detail, "Correct the name.");
    }
    if name != project.design.appliance && !open.file.runs()?.is_empty() {
        let detail = format!("The run waits for a machine named {}.", project.design.appliance);
        return invalid(
            "The machine needs another name",
            detail,
            "Take the name that the run waits for.",
        );
    }
    if !template.eulas.is_empty() && !placement.eulas_accepted {
        let detail = format!("{} comes with licence terms.", template.product);
        return invalid(
            "The licence terms are not accepted",
            detail,
            "Read and accept them in Review.",
        );
    }
    for property in template.properties.iter().filter(|p| p.user_configurable) {
        let value = match property.password {
            true => secrets.get(&property.key).map(|Typed(s)| s.expose().as_str()),
            false => placement.properties.get(&property.key).map(String::as_str),
        };
        let length = value.unwrap_or(&property.value).chars().count();
        let (min, max) = (
            property.min_length.unwrap_or(0),
            property.max_length.unwrap_or(u32::MAX),
        );
        if length < min as usize || length > max as usize {
            let detail = match property.max_length {
                Some(max) => format!("It must have {min} to {max} characters."),
                None => format!("It must have at least {min} characters."),
            };
            return invalid(
                &format!("{} is too short or too long", property.label),
                detail,
                "Correct it in Values.",
            );
        }
    }
    let known = |key: &String, password: bool| {
        let found = template.properties.iter().find(|p| p.key == *key);
        found.is_some_and(|p| p.user_configurable && p.password == password)
    };
    let wrong = placement.properties.keys().find(|k| !known(k, false));
    if let Some(key) = wrong.or_else(|| secrets.keys().find(|k| !known(k, true))) {
        let detail = format!("The template has no value {key:.80} to be set.");
        return invalid(
            "A value doesn't belong to this template",
            detail,
            "Choose the file again.",
        );
    }
    Ok(())
}

/// Deploys the template; returns when it has begun. [`appliance_progress`] tells the rest.
///
/// # Errors
/// As [`appliance_check`], and when a deployment goes on or an interrupted one is not settled.
pub async fn appliance_deploy(
    app: &Arc<App>,
    project: String,
    placement: Placement,
    secrets: BTreeMap<String, Typed>,
    power_on: bool,
) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let package = chosen(&open)?;
    check(&open, &package, &placement, &secrets)?;
    if open.project().appliance.is_some_and(|d| d.stage.is_unfinished()) {
        not_going(&open)?;
        return Err(UiError::state(
            "An earlier deployment was interrupted",
            "It may have left a machine in vCenter.",
            "Open the deployment again: it looks in vCenter and tidies up.",
        ));
    }
    let (stop, stopped) = watch::channel(false);
    let (told, state) = watch::channel(DeployState::begun(&placement.name, package.template.upload_bytes()));
    let mut deploying = lock(&open.deploying);
    if deploying.goes_on() {
        drop(deploying);
        return not_going(&open);
    }
    let deployment = Deployment {
        vm: placement.name.clone(),
        marker: uuid::Uuid::new_v4().to_string(),
        file: package.file.clone(),
        product: package.template.product.clone(),
        version: package.template.version.clone(),
        begun: Timestamp::now(),
        stage: DeploymentStage::Asked,
        lease: None,
        moref: None,
    };
    let work = Work {
        app: app.clone(),
        open: open.clone(),
        package,
        placement,
        secrets: typed(secrets),
        power_on,
        deployment,
        told,
    };
    deploying.going = Some(Going {
        stop,
        state,
        work: tokio::spawn(work.run(stopped)),
    });
    Ok(())
}

struct Work {
    app: Arc<App>,
    open: Arc<Open>,
    package: Arc<Package>,
    placement: Placement,
    secrets: BTreeMap<String, Secret<String>>,
    power_on: bool,
    deployment: Deployment,
    told: watch::Sender<DeployState>,
}

impl Work {
    async fn run(self, stop: watch::Receiver<bool>) {
        let phase = match self.deploy(stop).await {
            Ok(()) => DeployPhase::Done,
            Err(end) => end,
        };
        self.told.send_modify(|s| s.phase = phase);
    }

    async fn deploy(&self, mut stop: watch::Receiver<bool>) -> Result<(), DeployPhase> {
        let failed = |error: UiError| DeployPhase::Failed { error };
        let vcenter = session(&self.app, &self.open).await.map_err(failed)?;
        let spec = asked(&vcenter, &self.package, &self.placement, &self.secrets)
            .await
            .map_err(failed)?;
        if !spec.errors.is_empty() {
            return Err(failed(ImportError::Refused(spec.errors).into()));
        }
        let deployment = self.deployment.clone();
        let marker = deployment.marker.clone();
        self.open
            .change(|p| {
                p.design.appliance = deployment.vm.clone();
                p.appliance = Some(deployment);
            })
            .map_err(failed)?;
        let listen = |step: ImportStep| self.hear(step).map_err(|e| e.detail);
        let imported = vcenter
            .import(&self.package, spec, &marker, stop.clone(), &listen)
            .await;
        let vm = match imported {
            Ok(vm) => vm,
            Err((e, None)) => {
                // Nothing is left, so nothing has to be remembered.
                self.open.change(|p| p.appliance = None).map_err(failed)?;
                return Err(match e {
                    ImportError::Stopped => DeployPhase::Stopped,
                    e => failed(e.into()),
                });
            }
            Err((e, Some(left))) => {
                let mut error = UiError::from(e);
                error.detail = format!(
                    "{} What was begun could not be removed: {left}.",
                    sentence_end(&error.detail)
                );
                error.hint = format!(
                    "{} Open the deployment again when vCenter can be reached: it removes the rest of {}.",
                    error.hint, self.placement.name
                );
                return Err(failed(error));
            }
        };
        self.open
            .note(|d| (d.stage, d.moref) = (DeploymentStage::Imported, Some(vm.clone())))
            .map_err(failed)?;
        if self.power_on && !*stop.borrow_and_update() {
            self.told.send_modify(|s| s.phase = DeployPhase::PoweringOn);
            power_on(&vcenter, &vm).await.map_err(failed)?;
            self.open.note(|d| d.stage = DeploymentStage::Running).map_err(failed)?;
        }
        Ok(())
    }

    fn hear(&self, step: ImportStep) -> Result<(), UiError> {
        match step {
            ImportStep::Leased { lease } => self.open.note(|d| d.lease = Some(lease))?,
            ImportStep::Sending { vm } => {
                self.open
                    .note(|d| (d.stage, d.moref) = (DeploymentStage::Sending, Some(vm)))?;
                self.told.send_modify(|s| s.phase = DeployPhase::Sending);
            }
            ImportStep::Progress(p) => self.told.send_modify(|s| {
                (s.file, s.sent, s.total) = (p.file, p.sent, p.total);
                (s.rate, s.seconds_left) = (p.rate, p.seconds_left);
            }),
            ImportStep::Sent => {
                self.open.note(|d| d.stage = DeploymentStage::Sent)?;
                self.told.send_modify(|s| s.phase = DeployPhase::Finishing);
            }
        }
        Ok(())
    }
}

fn sentence_end(text: &str) -> String {
    match text.ends_with('.') {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

async fn power_on(vcenter: &VCenter, vm: &str) -> Result<(), UiError> {
    let task = vcenter.power_on(vm).await?;
    let info = vcenter.ended(&task).await?;
    let fault = info.error.unwrap_or_default();
    // Somebody else was faster.
    if info.state != TaskState::Error || fault.kind == "InvalidPowerState" {
        return Ok(());
    }
    Err(UiError::refused(
        "The appliance was deployed, but not powered on",
        sentence(&fault),
        "Power it on in the vSphere Client, or correct the cause and do it there.",
    ))
}

/// Tells how the deployment goes on: as it is now, then each change, until its end.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn appliance_progress(app: &Arc<App>, project: String, sink: Sink<DeployState>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let Some(mut state) = lock(&open.deploying).going.as_ref().map(|g| g.state.clone()) else {
        return Ok(());
    };
    loop {
        let now = state.borrow_and_update().clone();
        let over = now.phase.is_over();
        if !sink(now) || over {
            return Ok(());
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return Ok(()) },
            () = open.closed.cancelled() => return Ok(()),
        }
    }
}

/// Stops the deployment and removes what it has begun; returns when nothing is left.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn appliance_abort(app: &Arc<App>, project: String) -> Result<ApplianceView, UiError> {
    let open = app.opened(&project)?;
    let state = {
        let deploying = lock(&open.deploying);
        deploying.going.as_ref().map(|going| {
            going.stop.send_replace(true);
            going.state.clone()
        })
    };
    if let Some(mut state) = state {
        // An error means that its work has ended, too.
        let _ = state.wait_for(|s| s.phase.is_over()).await;
    }
    view(&open)
}

/// Looks in vCenter what an interrupted deployment has left: a whole machine is adopted, anything less removed.
///
/// # Errors
/// Fails when the project isn't open, a deployment goes on, or vCenter refuses.
pub async fn appliance_settle(app: &Arc<App>, project: String) -> Result<ApplianceView, UiError> {
    let open = app.opened(&project)?;
    not_going(&open)?;
    if let Some(d) = open.project().appliance.filter(|d| d.stage.is_unfinished()) {
        let vcenter = session(app, &open).await?;
        let all_sent = d.stage == DeploymentStage::Sent;
        match vcenter
            .settle_import(&d.vm, &d.marker, d.lease.as_deref(), all_sent)
            .await?
        {
            Settled::Adopted { vm } => {
                open.note(|d| (d.stage, d.moref) = (DeploymentStage::Imported, Some(vm)))?;
            }
            Settled::Removed => open.change(|p| p.appliance = None)?,
        }
    }
    view(&open)
}

/// Powers a deployed appliance on that isn't yet.
///
/// # Errors
/// Fails when the project isn't open, there is no such machine, or vCenter refuses.
pub async fn appliance_power_on(app: &Arc<App>, project: String) -> Result<ApplianceView, UiError> {
    let open = app.opened(&project)?;
    not_going(&open)?;
    let moref = open
        .project()
        .appliance
        .filter(|d| !d.stage.is_unfinished())
        .and_then(|d| d.moref);
    let vm = moref.ok_or_else(|| {
        UiError::state(
            "There is no appliance to power on",
            "Rehost has not deployed one from this project.",
            "Deploy it first.",
        )
    })?;
    power_on(&session(app, &open).await?, &vm).await?;
    open.note(|d| d.stage = DeploymentStage::Running)?;
    view(&open)
}
