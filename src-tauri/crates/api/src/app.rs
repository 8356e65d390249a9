//! The program's state: open projects, secrets, labs, live runs. One [`App`] for each process.

use crate::{
    connections::SecretName,
    host::Host,
    rehearsal::World,
    run::Live,
    settings::{Folders, Settings},
    wire::{SecretsInfo, Start, UiError},
};
use engine::ProjectFile;
use plan::{GuestState, Inventory, Project, Vm, design::PinnedCertificate};
use secrets::{MemoryStore, Secret, SecretError, SecretStore, StoreInfo};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

/// How long the first screen waits to know whether there is a keyring.
const KEYRING_PATIENCE: Duration = Duration::from_millis(250);

/// Everything a front end works on. Cheap to share.
pub struct App {
    pub(crate) folders: Folders,
    start: Mutex<Start>,
    host: Arc<dyn Host>,
    settings: Mutex<Settings>,
    keyring: OnceCell<Arc<dyn SecretStore>>,
    /// A rehearsal's secrets open nothing but its lab, and go with it: they don't belong into the keyring.
    rehearsal_secrets: Arc<dyn SecretStore>,
    open: Mutex<BTreeMap<PathBuf, Arc<Open>>>,
    /// One project is opened at a time, so that two commands can't open the same one twice.
    opening: tokio::sync::Mutex<()>,
    /// The labs of this process by project id. They outlive the closing of a project, not that of the program.
    pub(crate) worlds: Mutex<BTreeMap<String, Arc<World>>>,
}

/// An open project.
pub struct Open {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<ProjectFile>,
    project: Mutex<Project>,
    live: Mutex<Option<Arc<Live>>>,
    /// The sign-in to Azure, once it was needed.
    pub(crate) azure: tokio::sync::Mutex<Option<Arc<azure::Session>>>,
    /// The vCenter session of whoever watches the inventory: other reads use it, too.
    pub(crate) vcenter: Mutex<Option<vsphere::VCenter>>,
    /// The certificate that the last test of the vCenter connection saw.
    pub(crate) presented: Mutex<Option<PinnedCertificate>>,
    /// The page of the sign-in that goes on.
    pub(crate) page: Mutex<Option<String>>,
    /// The inventory as the file holds it, once it was read: asked for at each scroll.
    inventory: Mutex<Option<Arc<Inventory>>>,
    /// Accounts of guests that have worked since the project was opened, by machine.
    pub(crate) guests: Mutex<BTreeMap<String, vsphere::GuestAccount>>,
    /// What a person looks at before it is imported.
    pub(crate) import: Mutex<Option<crate::import::Pending>>,
    pub(crate) deploying: Mutex<crate::appliance::Deploying>,
    /// Counts what listeners of the run can't see in its events: another run, another speed.
    pub(crate) changed: watch::Sender<u64>,
    /// Cancelled when the project is closed.
    pub(crate) closed: CancellationToken,
}

/// Nothing but a look inside tells what is inside: machines that come without it keep what was known.
fn keep_guests(before: &[Vm], now: &mut [Vm]) {
    let known: HashMap<&str, &GuestState> = before
        .iter()
        .filter_map(|v| Some((v.moref.as_str(), v.guest.as_ref()?)))
        .collect();
    for vm in now.iter_mut().filter(|v| v.guest.is_none()) {
        vm.guest = known.get(vm.moref.as_str()).map(|g| (*g).clone());
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // All values here are replaced whole: a panic elsewhere leaves no half of one behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    /// Makes the program's state. Nothing is opened yet; the keyring is asked in the background.
    pub fn new(folders: Folders, host: Arc<dyn Host>, start: Start) -> Arc<Self> {
        let settings = Settings::load(&folders);
        Arc::new(Self {
            folders,
            start: Mutex::new(start),
            host,
            settings: Mutex::new(settings),
            keyring: OnceCell::new(),
            rehearsal_secrets: Arc::new(MemoryStore::new("A rehearsal's secrets go with its lab.", "")),
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            worlds: Mutex::default(),
        })
    }

    /// Uses this store instead of looking for a keyring, when none was looked for yet.
    pub fn use_store(&self, store: Arc<dyn SecretStore>) {
        // A store that is in use already stays.
        let _ = self.keyring.set(store);
    }

    /// What the program was started for; told once, so that a reload of the page doesn't start it again.
    pub(crate) fn take_start(&self) -> Start {
        std::mem::replace(&mut lock(&self.start), Start::Home)
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// Reads from the settings.
    pub fn settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&lock(&self.settings))
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = lock(&self.settings);
        change(&mut settings);
        settings.store(&self.folders);
    }

    async fn keyring(&self) -> &Arc<dyn SecretStore> {
        self.keyring.get_or_init(secrets::open).await
    }

    /// Where secrets are kept, or that it isn't known yet.
    pub(crate) async fn secrets_info(self: &Arc<Self>) -> SecretsInfo {
        // Asked on a task of its own, so that it goes on when patience ends.
        let app = self.clone();
        let asked = tokio::spawn(async move { app.keyring().await.info() });
        match tokio::time::timeout(KEYRING_PATIENCE, asked).await {
            Ok(Ok(StoreInfo::Keyring { name })) => SecretsInfo::Keyring { name },
            Ok(Ok(StoreInfo::ThisStartOnly { reason, hint })) => SecretsInfo::ThisStartOnly { reason, hint },
            Ok(Err(_)) | Err(_) => SecretsInfo::Opening,
        }
    }

    /// The store of a project's secrets.
    pub(crate) async fn store_of(&self, open: &Open) -> Arc<dyn SecretStore> {
        if open.project().rehearsal {
            self.rehearsal_secrets.clone()
        } else {
            self.keyring().await.clone()
        }
    }

    pub(crate) async fn secret(&self, open: &Open, name: SecretName) -> Result<Option<Secret<String>>, SecretError> {
        self.store_of(open).await.get(&name.key(&open.project().id)).await
    }

    /// Opens a project file, or returns it when it is open here already.
    pub(crate) async fn open(&self, path: &Path) -> Result<Arc<Open>, UiError> {
        let _one_at_a_time = self.opening.lock().await;
        // One name for one file, however it was written.
        let path = std::path::absolute(path).map_err(|e| UiError::disk("found", path, &e))?;
        let path = path.canonicalize().unwrap_or(path);
        if let Some(open) = lock(&self.open).get(&path) {
            return Ok(open.clone());
        }
        let file = ProjectFile::open(&path)?;
        self.keep(file)
    }

    /// Creates a project file and opens it.
    pub(crate) async fn create(&self, path: &Path, project: &Project) -> Result<Arc<Open>, UiError> {
        let _one_at_a_time = self.opening.lock().await;
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| UiError::disk("created", folder, &e))?;
        }
        let file = ProjectFile::create(path, project)?;
        drop(file);
        let path = path.canonicalize().map_err(|e| UiError::disk("found", path, &e))?;
        self.keep(ProjectFile::open(&path)?)
    }

    fn keep(&self, file: ProjectFile) -> Result<Arc<Open>, UiError> {
        let project = file.project()?;
        let path = file.path().to_owned();
        let open = Arc::new(Open {
            path: path.clone(),
            file: Arc::new(file),
            project: Mutex::new(project),
            live: Mutex::default(),
            azure: tokio::sync::Mutex::default(),
            vcenter: Mutex::default(),
            presented: Mutex::default(),
            page: Mutex::default(),
            inventory: Mutex::default(),
            guests: Mutex::default(),
            import: Mutex::default(),
            deploying: Mutex::default(),
            changed: watch::Sender::new(0),
            closed: CancellationToken::new(),
        });
        lock(&self.open).insert(path.clone(), open.clone());
        self.change_settings(|s| s.opened(&path));
        Ok(open)
    }

    /// The open project at a path.
    pub(crate) fn opened(&self, path: &str) -> Result<Arc<Open>, UiError> {
        lock(&self.open).get(Path::new(path)).cloned().ok_or_else(|| {
            UiError::not_found(
                "The project is not open",
                format!("{path} is not, or no longer, open in this window."),
                "Open it again from Projects.",
            )
        })
    }

    pub(crate) fn find(&self, path: &Path) -> Option<Arc<Open>> {
        lock(&self.open).get(path).cloned()
    }

    pub(crate) fn all_open(&self) -> Vec<Arc<Open>> {
        lock(&self.open).values().cloned().collect()
    }

    /// Closes one project: its run stops at the next safe point and can be taken up again.
    pub(crate) async fn close_project(&self, path: &Path) {
        let open = lock(&self.open).remove(path);
        if let Some(open) = open {
            open.end().await;
        }
    }

    /// Closes everything. What runs in Azure and vCenter goes on.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *lock(&self.open));
        for open in all.into_values() {
            open.end().await;
        }
        let worlds = std::mem::take(&mut *lock(&self.worlds));
        for world in worlds.into_values() {
            world.stop().await;
        }
    }
}

impl Open {
    /// A copy of the project as it is now.
    pub(crate) fn project(&self) -> Project {
        lock(&self.project).clone()
    }

    /// Changes the project, on disk first.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Project)) -> Result<(), UiError> {
        let mut project = lock(&self.project);
        let mut changed = project.clone();
        change(&mut changed);
        self.file.save_project(&changed)?;
        *project = changed;
        Ok(())
    }

    /// Lets the next sign-in begin with the connection and the secrets as they are then.
    pub(crate) async fn forget_session(&self) {
        self.azure.lock().await.take();
    }

    pub(crate) fn inventory(&self) -> Result<Option<Arc<Inventory>>, UiError> {
        let mut known = lock(&self.inventory);
        if known.is_none() {
            *known = self.file.inventory()?.map(Arc::new);
        }
        Ok(known.clone())
    }

    /// Replaces the inventory, on disk first. What was read and changed inside machines of the same vCenter stays with them.
    pub(crate) fn keep_inventory(&self, mut inventory: Inventory) -> Result<(), UiError> {
        self.inventory()?;
        let mut known = lock(&self.inventory);
        if let Some(before) = known.as_ref().filter(|b| b.vcenter_uuid == inventory.vcenter_uuid) {
            keep_guests(&before.vms, &mut inventory.vms);
        }
        self.file.save_inventory(&inventory)?;
        *known = Some(Arc::new(inventory));
        Ok(())
    }

    /// Changes some machines of the inventory, on disk first: those that are new or not as they were, and those that are gone.
    pub(crate) fn change_machines(&self, upserted: &[Vm], removed: &[String]) -> Result<(), UiError> {
        self.inventory()?;
        let mut known = lock(&self.inventory);
        let mut upserted = upserted.to_vec();
        keep_guests(known.as_ref().map(|i| &*i.vms).unwrap_or_default(), &mut upserted);
        self.put_machines(&mut known, &upserted, removed)
    }

    fn put_machines(
        &self,
        known: &mut Option<Arc<Inventory>>,
        upserted: &[Vm],
        removed: &[String],
    ) -> Result<(), UiError> {
        self.file.change_machines(upserted, removed)?;
        if let Some(inventory) = known.as_mut() {
            Arc::make_mut(inventory).change(upserted, removed);
        }
        Ok(())
    }

    /// Changes what is known of a machine's inside, on disk first.
    pub(crate) fn change_guest(&self, moref: &str, change: impl FnOnce(&mut GuestState)) -> Result<(), UiError> {
        self.inventory()?;
        let mut known = lock(&self.inventory);
        let machine = known.iter().flat_map(|i| &i.vms).find(|v| v.moref == moref);
        let Some(mut machine) = machine.cloned() else {
            return Err(UiError::not_found(
                "The machine is not in the inventory any more",
                format!("{moref} was removed from it meanwhile, so nothing could be written down."),
                "Choose Read in Inventory.",
            ));
        };
        change(machine.guest.get_or_insert_default());
        self.put_machines(&mut known, &[machine], &[])
    }

    /// The run that this process executes now.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.followed().filter(|live| live.goes_on())
    }

    /// The run that this process executes, or executed last and can still retry.
    pub(crate) fn followed(&self) -> Option<Arc<Live>> {
        lock(&self.live).clone()
    }

    pub(crate) fn set_live(&self, live: Arc<Live>) {
        *lock(&self.live) = Some(live);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Lets go of a run that has ended, so that another can take its place.
    pub(crate) async fn let_go(&self) {
        let ended = lock(&self.live).take_if(|live| !live.goes_on());
        if let Some(live) = ended {
            live.end().await;
        }
    }

    pub(crate) fn not_live(&self, what: &str) -> Result<(), UiError> {
        match self.live() {
            None => Ok(()),
            Some(_) => Err(UiError::state(
                format!("{what} while the run goes on"),
                "The run works with what was approved.",
                "Wait for the run's end, or cancel it in Run.",
            )),
        }
    }

    async fn end(&self) {
        self.closed.cancel();
        self.stop_deployment().await;
        let live = lock(&self.live).take();
        if let Some(live) = live {
            live.end().await;
        }
    }
}
