//! Deploying a template: where it may go, what vCenter makes of its descriptor, and the upload under vCenter's lease.
//!
//! The machine exists from the beginning of the upload, and belongs to whoever holds the lease until that is completed. So it
//! carries a mark in its settings ([`MARKER`]) by which it is recognised after a crash, and whatever ends the upload before its
//! time removes it. Files go from the disk to the host that vCenter names, which is usually an ESXi host and not vCenter: its
//! certificate is the one whose thumbprint vCenter gives, and the session's cookie never goes there.
//!
//! Unverified: whether a real vCenter keeps a lease when the session that has it ends; whether it removes the machine of a lease
//! that is aborted (VMware's simulator doesn't). Both are looked at, not assumed.

use crate::error::VsphereError;
use crate::inventory::{CLUSTER, HOST, Places, encoded};
use crate::ova::{Package, Part};
use crate::ovf::{OvfError, plain_name};
use crate::properties::{Object, Of, Paths, VM};
use crate::session::{VCenter, renewing};
use crate::soap::{Call, Endpoint, Record, failure};
use crate::tasks::{Fault, TaskState};
use crate::xml::{Node, escape, write};
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use plan::appliance::{ComputePlace, DeploymentPlaces, FolderPlace, MARKER, NamedPlace, Placement, Provisioning};
use plan::inventory::{Datastore, Network};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderValue};
use secrets::Secret;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use trust::{Trust, Verifier};
use url::Url;

/// How often a lease is looked at while vCenter prepares it, and how often it hears of progress at least.
const LOOK: SignedDuration = SignedDuration::from_secs(1);
const BEAT: SignedDuration = SignedDuration::from_secs(3);
/// Bytes that are read at once, and how many such pieces wait to be sent.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;
/// A rate is what came through in this time at most, and never of less than a second.
const RATE_WINDOW: SignedDuration = SignedDuration::from_secs(20);
/// How often progress is told.
const TELL: SignedDuration = SignedDuration::from_millis(250);

/// Why a deployment ended before its time.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Vsphere(#[from] VsphereError),
    #[error(transparent)]
    Template(#[from] OvfError),
    /// vCenter can't deploy it as it was chosen.
    #[error("vCenter can't deploy this template there: {}", sentences(.0))]
    Refused(Vec<Fault>),
    /// The lease ended: the session did, or nothing was heard of the upload for too long.
    #[error("vCenter has given up the upload: {0}")]
    LeaseLost(String),
    /// A host didn't take a file.
    #[error("{server} did not take {file}: HTTP status {status}")]
    Upload { server: String, file: String, status: u16 },
    /// A person stopped it.
    #[error("the deployment was stopped")]
    Stopped,
    /// What was done can't be written down, so that it may not go on.
    #[error("{0}")]
    Record(String),
}

fn sentences(faults: &[Fault]) -> String {
    let words = |f: &Fault| match f.message.is_empty() {
        true => f.kind.clone(),
        false => f.message.clone(),
    };
    faults.iter().map(words).collect::<Vec<_>>().join(" ")
}

impl ImportError {
    /// Words for the person who can change it.
    pub fn advice(&self) -> crate::Advice {
        let (title, hint) = match self {
            Self::Vsphere(e) => return e.advice(),
            Self::Template(e) => return e.advice(),
            Self::Refused(_) => (
                "vCenter can't deploy the template",
                "Choose another place or other values, or deploy it in the vSphere Client: right-click the datacenter, Deploy OVF Template.",
            ),
            Self::LeaseLost(_) => (
                "The upload was interrupted",
                "Nothing of it is left in vCenter. Start it again; keep this computer awake and connected meanwhile.",
            ),
            Self::Upload { .. } => (
                "The host refused a disk",
                "Look at the host's own messages (vSphere Client, the host, Monitor, Events), and whether the datastore has free space. Then start again.",
            ),
            Self::Stopped => ("The deployment was stopped", "Start it again whenever you like."),
            Self::Record(_) => (
                "The deployment can't be written down",
                "Free some space on the disk of the project file, then start again.",
            ),
        };
        crate::Advice {
            title: title.into(),
            detail: self.to_string(),
            hint: hint.into(),
        }
    }
}

/// What vCenter made of a descriptor: the machine that it would make, and what it has to say about it.
#[derive(Debug)]
pub struct ImportSpec {
    at: Placement,
    pool: String,
    spec: Node,
    items: Vec<Item>,
    pub warnings: Vec<Fault>,
    /// With these it can't be deployed.
    pub errors: Vec<Fault>,
    /// Bytes to upload.
    pub bytes: u64,
}

#[derive(Debug)]
struct Item {
    device: String,
    file: String,
    create: bool,
}

/// What a deployment has come to; each is told before the request that follows it.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportStep {
    /// vCenter has given a lease.
    Leased {
        lease: String,
    },
    /// The machine is there, and files are being sent.
    Sending {
        vm: String,
    },
    Progress(Progress),
    /// All files are there.
    Sent,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The file that is being sent.
    pub file: String,
    pub sent: u64,
    pub total: u64,
    /// Bytes a second and seconds left, once there are samples to compute them from.
    pub rate: Option<u64>,
    pub seconds_left: Option<u64>,
}

/// What an interrupted deployment turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The machine is whole.
    Adopted { vm: String },
    /// It was unfinished, and nothing of it is left.
    Removed,
}

/// Hears what happens; an error ends the deployment.
pub type Listener<'a> = &'a (dyn Fn(ImportStep) -> Result<(), String> + Send + Sync);

const COMPUTE: &str = "ComputeResource";
const RESOURCES: Paths = &[
    ("Datacenter", &["name", "parent", "vmFolder"]),
    ("Folder", &["name", "parent", "childType"]),
    (
        COMPUTE,
        &["name", "parent", "resourcePool", "host", "datastore", "network"],
    ),
    (
        HOST,
        &["name", "parent", "runtime.connectionState", "runtime.inMaintenanceMode"],
    ),
    (
        "Datastore",
        &[
            "name",
            "parent",
            "summary.type",
            "summary.capacity",
            "summary.freeSpace",
            "summary.accessible",
        ],
    ),
    ("Network", &["name", "parent", "summary.accessible"]),
];

impl VCenter {
    /// Where a template can go.
    pub async fn deployment_places(&self) -> Result<DeploymentPlaces, VsphereError> {
        let objects = renewing!(self, self.list(RESOURCES))?;
        let places = Places::of(&objects);
        let by_moref: HashMap<&str, &Object> = objects.iter().map(|o| (o.moref.as_str(), o)).collect();
        let all = |o: &Object, path: &str| -> Vec<&Object> {
            let references = o.node(path).map(|n| n.children.as_slice()).unwrap_or_default();
            references
                .iter()
                .filter_map(|r| by_moref.get(r.text.as_str()).copied())
                .collect()
        };
        let of = |kind: &'static str| objects.iter().filter(move |o| o.kind == kind);
        let usable = |h: &&&Object| {
            h.text("runtime.connectionState") == Some("connected") && h.flag("runtime.inMaintenanceMode") != Some(true)
        };
        let compute = |o: &Object| {
            let mut hosts: Vec<NamedPlace> = all(o, "host")
                .iter()
                .filter(usable)
                .map(|h| NamedPlace {
                    moref: h.moref.clone(),
                    name: places.host(h).name,
                })
                .collect();
            hosts.sort_by(|a, b| a.name.cmp(&b.name));
            let mut datastores: Vec<Datastore> = all(o, "datastore").into_iter().map(|d| places.datastore(d)).collect();
            datastores.retain(|d| d.accessible);
            datastores.sort_by(|a, b| b.free_bytes.cmp(&a.free_bytes).then(a.name.cmp(&b.name)));
            let mut networks: Vec<Network> = all(o, "network").into_iter().map(|n| places.network(n)).collect();
            networks.sort_by(|a, b| a.name.cmp(&b.name));
            let named = places.cluster(o);
            ComputePlace {
                moref: o.moref.clone(),
                name: named.name,
                cluster: o.kind == CLUSTER,
                datacenter: named.datacenter.unwrap_or_default(),
                pool: o.owned("resourcePool").unwrap_or_default(),
                hosts,
                datastores,
                networks,
            }
        };
        let mut computes: Vec<ComputePlace> = of(COMPUTE).chain(of(CLUSTER)).map(compute).collect();
        computes.retain(|c| !c.pool.is_empty() && !c.hosts.is_empty());
        computes.sort_by(|a, b| (&a.datacenter, &a.name).cmp(&(&b.datacenter, &b.name)));
        let roots: HashMap<&str, &Object> = of("Datacenter")
            .filter_map(|d| Some((d.text("vmFolder")?, d)))
            .collect();
        let mut folders: Vec<FolderPlace> = of("Folder")
            .filter_map(|f| {
                let (mut at, mut names) = (f, Vec::new());
                // A hostile loop ends here.
                for _ in 0..64 {
                    if let Some(datacenter) = roots.get(at.moref.as_str()) {
                        names.reverse();
                        return Some(FolderPlace {
                            moref: f.moref.clone(),
                            path: names.join("/"),
                            datacenter: crate::inventory::name(datacenter),
                        });
                    }
                    names.push(crate::inventory::name(at));
                    at = by_moref.get(at.text("parent")?)?;
                }
                None
            })
            .collect();
        folders.sort_by(|a, b| (&a.datacenter, &a.path).cmp(&(&b.datacenter, &b.path)));
        Ok(DeploymentPlaces { computes, folders })
    }

    /// Asks vCenter what machine it would make of a template. Changes nothing.
    ///
    /// # Errors
    /// When the placement names what is not in `places`; what vCenter itself holds against it is in [`ImportSpec::errors`].
    pub async fn import_spec(
        &self,
        package: &Package,
        at: &Placement,
        secrets: &BTreeMap<String, Secret<String>>,
        places: &DeploymentPlaces,
    ) -> Result<ImportSpec, ImportError> {
        let compute = compute(places, at)?;
        let network = |moref: &str| {
            let found = compute.networks.iter().find(|n| n.moref == moref);
            found.map(|n| n.kind.as_str()).ok_or_else(|| gone("network"))
        };
        let mut before = format!(
            "<locale></locale><deploymentOption>{}</deploymentOption><entityName>{}</entityName>",
            escape(at.option.as_deref().unwrap_or_default()),
            escape(&encoded(&at.name)),
        );
        if let Some(host) = &at.host {
            before.push_str(&format!("<hostSystem type=\"{HOST}\">{}</hostSystem>", escape(host)));
        }
        for wanted in &package.template.networks {
            let chosen = at.networks.get(&wanted.name).map(String::as_str).unwrap_or_default();
            before.push_str(&format!(
                "<networkMapping><name>{}</name><network type=\"{}\">{}</network></networkMapping>",
                escape(&wanted.name),
                escape(network(chosen)?),
                escape(chosen)
            ));
        }
        let value = |key: &str, value: &str| {
            format!(
                "<propertyMapping><key>{}</key><value>{}</value></propertyMapping>",
                escape(key),
                escape(value)
            )
        };
        let mapped: String = at.properties.iter().map(|(k, v)| value(k, v)).collect();
        let secret: String = secrets.iter().map(|(k, v)| value(k, v.expose())).collect();
        let after = format!("<diskProvisioning>{}</diskProvisioning>", at.provisioning.vim());
        let call = Call::new("CreateImportSpec", (OVF, &self.content().ovf_manager))
            .arg("ovfDescriptor", &package.descriptor)
            .reference("resourcePool", ("ResourcePool", &compute.pool))
            .reference("datastore", ("Datastore", &at.datastore))
            .hidden(
                &format!("<cisp>{before}{mapped}{secret}{after}</cisp>"),
                &format!("<cisp>{before}{mapped}{after}</cisp>"),
            )
            // It repeats the secrets.
            .record(if secrets.is_empty() {
                Record::Whole
            } else {
                Record::NoAnswer
            });
        let response = self.send_again(&call).await?;
        let result = response
            .child("returnval")
            .ok_or_else(|| self.unreadable("CreateImportSpec", "no result"))?;
        let faults = |name: &str| -> Vec<Fault> { result.all(name).map(Fault::read).collect() };
        let (errors, warnings) = (faults("error"), faults("warning"));
        let spec = match result.child("importSpec") {
            Some(spec) => spec.clone(),
            None if errors.is_empty() => {
                return Err(self
                    .unreadable("CreateImportSpec", "neither a machine nor an error")
                    .into());
            }
            None => Node::default(),
        };
        let items = result.all("fileItem").map(|item| {
            // Both sides read the same reference.
            let file = plain_name(&package.file, item.text_of("path").unwrap_or_default())?;
            package.part(&file).ok_or_else(|| {
                OvfError::damaged(
                    &package.file,
                    format!("vCenter asks for the file {file}, which isn't in it"),
                )
            })?;
            Ok(Item {
                device: item.text_of("deviceId").unwrap_or_default().to_owned(),
                create: item.text_of("create") == Some("true"),
                file,
            })
        });
        let items: Vec<Item> = items.collect::<Result<_, OvfError>>()?;
        let bytes = items
            .iter()
            .filter_map(|i| package.part(&i.file))
            .map(|p| p.bytes)
            .sum();
        Ok(ImportSpec {
            at: at.clone(),
            pool: compute.pool.clone(),
            spec,
            items,
            warnings,
            errors,
            bytes,
        })
    }

    /// Makes the machine and uploads its files; returns its reference. Whatever ends it before its time removes the machine
    /// again; `stop` ends it when it becomes true.
    ///
    /// # Errors
    /// See [`ImportError`]. Together with it comes what could not be removed, if anything.
    pub async fn import(
        &self,
        package: &Package,
        spec: ImportSpec,
        marker: &str,
        mut stop: watch::Receiver<bool>,
        each: Listener<'_>,
    ) -> Result<String, (ImportError, Option<VsphereError>)> {
        if !spec.errors.is_empty() {
            return Err((ImportError::Refused(spec.errors), None));
        }
        let (at, pool, machine) = (&spec.at, &spec.pool, marked(spec.spec, marker));
        let begun = async {
            if *stop.borrow() {
                return Err(ImportError::Stopped);
            }
            let mut call = Call::new("ImportVApp", ("ResourcePool", pool));
            let mut xml = String::new();
            write(&machine, "spec", &mut xml);
            // It holds what the machine is told, secrets too.
            call = call.hidden(&xml, "<spec>(what CreateImportSpec gave, with the mark)</spec>");
            call = call.reference("folder", ("Folder", &at.folder));
            if let Some(host) = &at.host {
                call = call.reference("host", (HOST, host));
            }
            let response = self.change(&call).await?;
            let lease = response.text_of("returnval").map(str::to_owned);
            Ok(lease.ok_or_else(|| self.unreadable("ImportVApp", "no lease"))?)
        };
        let lease = match begun.await {
            Ok(lease) => lease,
            // Its answer may have been lost.
            Err(e) => {
                let left = match &e {
                    ImportError::Vsphere(v) if v.class() == crate::ErrorClass::Transient => {
                        self.remove_import(&at.name, marker, None).await.err()
                    }
                    _ => None,
                };
                return Err((e, left));
            }
        };
        let whole = async {
            each(ImportStep::Leased { lease: lease.clone() }).map_err(ImportError::Record)?;
            tokio::select! {
                biased;
                Ok(_) = stop.wait_for(|stop| *stop) => Err(ImportError::Stopped),
                outcome = self.upload_all(package, &spec.items, spec.bytes, &lease, each) => outcome,
            }
        };
        match whole.await {
            Ok(vm) => Ok(vm),
            Err(e) => {
                let left = self.remove_import(&at.name, marker, Some(&lease)).await.err();
                Err((e, left))
            }
        }
    }

    async fn upload_all(
        &self,
        package: &Package,
        items: &[Item],
        total: u64,
        lease: &str,
        each: Listener<'_>,
    ) -> Result<String, ImportError> {
        let info = self.ready_lease(lease).await?;
        let vm = info.text_of("entity").unwrap_or_default().to_owned();
        each(ImportStep::Sending { vm: vm.clone() }).map_err(ImportError::Record)?;
        let timeout = info
            .text_of("leaseTimeout")
            .and_then(|t| t.trim().parse().ok())
            .unwrap_or(300_i64);
        let keeping = Keeping {
            vcenter: self,
            lease,
            beat: BEAT.min(SignedDuration::from_millis(timeout.clamp(1, 86_400) * 250)),
            total,
            sent: Arc::default(),
        };
        let mut meter = Meter::default();
        for item in items {
            let part = package
                .part(&item.file)
                .ok_or_else(|| OvfError::damaged(&item.file, "it is missing"))?;
            let url = info
                .all("deviceUrl")
                .find(|d| d.text_of("importKey") == Some(&item.device))
                .ok_or_else(|| self.unreadable("HttpNfcLease", "no address for a file"))?;
            let tell = |meter: &mut Meter| {
                let sent = keeping.sent.load(Relaxed);
                let (rate, seconds_left) = meter.sample(self.time().now(), sent, total);
                let progress = Progress {
                    file: item.file.clone(),
                    sent,
                    total,
                    rate,
                    seconds_left,
                };
                each(ImportStep::Progress(progress)).map_err(ImportError::Record)
            };
            let target = Target::of(self, url)?;
            let mut sending = std::pin::pin!(self.put(&target, item, part, &keeping.sent));
            let mut kept = std::pin::pin!(keeping.keep());
            tell(&mut meter)?;
            loop {
                tokio::select! {
                    outcome = &mut sending => {
                        outcome?;
                        tell(&mut meter)?;
                        break;
                    }
                    lost = &mut kept => return Err(lost),
                    () = self.pause(TELL) => tell(&mut meter)?,
                }
            }
        }
        each(ImportStep::Sent).map_err(ImportError::Record)?;
        self.complete_lease(lease).await?;
        Ok(vm)
    }

    /// Waits until vCenter has made the machine; returns the lease's `info`.
    async fn ready_lease(&self, lease: &str) -> Result<Node, ImportError> {
        loop {
            let object = renewing!(self, self.retrieve_one(LEASE, lease, &["state", "error", "info"]))?;
            match object.text("state") {
                Some("ready") => {
                    let info = object.node("info").cloned();
                    return info.ok_or_else(|| self.unreadable(LEASE, "a ready lease without info").into());
                }
                Some("initializing") => {
                    self.pause(LOOK).await;
                }
                _ => {
                    let fault = object.node("error").map(Fault::read);
                    return Err(match fault {
                        Some(fault) => VsphereError::Fault {
                            method: "ImportVApp".into(),
                            kind: fault.kind,
                            message: fault.message,
                        }
                        .into(),
                        None => ImportError::LeaseLost("its lease ended before the upload began".into()),
                    });
                }
            }
        }
    }

    async fn complete_lease(&self, lease: &str) -> Result<(), ImportError> {
        match self.change(&Call::new("HttpNfcLeaseComplete", (LEASE, lease))).await {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Err(ImportError::LeaseLost(
                "the lease was gone when all files were there".into(),
            )),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends one file.
    async fn put(&self, target: &Target, item: &Item, part: &Part, sent: &Arc<AtomicU64>) -> Result<(), ImportError> {
        let problem: Arc<Mutex<Option<OvfError>>> = Arc::default();
        let body = reqwest::Body::wrap_stream(pieces(&item.file, part, sent, &problem));
        let request = match item.create {
            true => target.http.put(target.endpoint.url.clone()).header("Overwrite", "t"),
            false => target.http.post(target.endpoint.url.clone()),
        };
        let request = match &target.cookie {
            Some(cookie) => request.header(COOKIE, cookie.clone()),
            None => request,
        };
        let outcome = request
            .header(CONTENT_TYPE, "application/x-vnd.vmware-streamVmdk")
            .header(CONTENT_LENGTH, part.bytes)
            .body(body)
            .send()
            .await;
        if let Some(e) = problem.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(e.into());
        }
        let response = match outcome {
            Ok(response) => response,
            Err(e) => {
                let method = format!("the upload of {}", item.file);
                return Err(failure(&target.endpoint, &target.verifier, &method, &e).await.into());
            }
        };
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(ImportError::Upload {
                server: target.endpoint.server.clone(),
                file: item.file.clone(),
                status,
            }),
        }
    }

    /// Decides about a deployment that was interrupted: the machine is adopted when all files had been sent, and removed
    /// otherwise.
    ///
    /// # Errors
    /// When vCenter can't be asked, or the machine can't be removed.
    pub async fn settle_import(
        &self,
        name: &str,
        marker: &str,
        lease: Option<&str>,
        all_sent: bool,
    ) -> Result<Settled, VsphereError> {
        if all_sent && let Some(vm) = self.marked_vm(name, marker).await? {
            let state = match lease {
                Some(lease) => self.lease_state(lease).await?,
                None => None,
            };
            match (state.as_deref(), lease) {
                // It was not heard before.
                (Some("ready"), Some(lease)) => {
                    self.change(&Call::new("HttpNfcLeaseComplete", (LEASE, lease))).await?;
                    return Ok(Settled::Adopted { vm });
                }
                (Some("error"), _) => {}
                _ => return Ok(Settled::Adopted { vm }),
            }
        }
        self.remove_import(name, marker, lease).await?;
        Ok(Settled::Removed)
    }

    async fn lease_state(&self, lease: &str) -> Result<Option<String>, VsphereError> {
        match renewing!(self, self.retrieve_one(LEASE, lease, &["state"])) {
            Ok(object) => Ok(object.owned("state")),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Gives up the lease and removes the machine that bears the mark, if there is one (still).
    async fn remove_import(&self, name: &str, marker: &str, lease: Option<&str>) -> Result<(), VsphereError> {
        if let Some(lease) = lease {
            let call = Call::new("HttpNfcLeaseAbort", (LEASE, lease));
            if let Err(e) = self.send_again(&call).await {
                // Gone, ended or refused: what counts is the machine.
                tracing::debug!(error = %e, "a lease could not be aborted");
            }
        }
        // While vCenter itself removes it, another removal is refused.
        for _ in 0..30 {
            let Some(vm) = self.marked_vm(name, marker).await? else {
                return Ok(());
            };
            let task = match self.destroy(&vm).await {
                Ok(task) => task,
                Err(e) if e.is_not_found() => return Ok(()),
                Err(e) => return Err(e),
            };
            let fault = match self.ended(&task).await {
                Ok(info) if info.state == TaskState::Success => return Ok(()),
                Ok(info) => info.error.unwrap_or_default(),
                Err(e) if e.is_not_found() => return Ok(()),
                Err(e) => return Err(e),
            };
            if !matches!(
                fault.kind.as_str(),
                "TaskInProgress" | "InvalidState" | "ManagedObjectNotFound"
            ) {
                return Err(VsphereError::Fault {
                    method: "Destroy_Task".into(),
                    kind: fault.kind,
                    message: fault.message,
                });
            }
            self.pause(BEAT).await;
        }
        Err(VsphereError::Fault {
            method: "Destroy_Task".into(),
            kind: "TaskInProgress".into(),
            message: format!("{name} is still in use"),
        })
    }

    /// The machine of this name that bears the mark.
    async fn marked_vm(&self, name: &str, marker: &str) -> Result<Option<String>, VsphereError> {
        renewing!(self, self.marked_vm_once(name, marker))
    }

    async fn marked_vm_once(&self, name: &str, marker: &str) -> Result<Option<String>, VsphereError> {
        let wanted = encoded(name);
        let all = self.list(&[(VM, &["name"])]).await?;
        let named: Vec<_> = all
            .iter()
            .filter(|o| o.text("name").is_some_and(|n| n.eq_ignore_ascii_case(&wanted)))
            .map(|o| (VM.to_owned(), o.moref.clone()))
            .collect();
        if named.is_empty() {
            return Ok(None);
        }
        let what: Paths = &[(VM, &["config.extraConfig"])];
        let objects = self.retrieve_all(Of::Each(&named), what, Record::NoAnswer).await?;
        let bears = |o: &&Object| {
            let extra = o
                .node("config.extraConfig")
                .map(|n| n.children.as_slice())
                .unwrap_or_default();
            extra
                .iter()
                .any(|e| e.text_of("key") == Some(MARKER) && e.text_of("value") == Some(marker))
        };
        Ok(objects.iter().find(bears).map(|o| o.moref.clone()))
    }

    /// A call that may be repeated in a new session.
    async fn send_again(&self, call: &Call) -> Result<Node, VsphereError> {
        renewing!(self, self.send(call))
    }

    fn unreadable(&self, method: &str, detail: &str) -> VsphereError {
        VsphereError::Parse {
            server: self.server().to_owned(),
            method: method.into(),
            detail: detail.into(),
        }
    }
}

const OVF: &str = "OvfManager";
const LEASE: &str = "HttpNfcLease";

fn gone(what: &str) -> ImportError {
    VsphereError::Config(format!(
        "The {what} that was chosen is not, or no longer, there. Choose again."
    ))
    .into()
}

fn compute<'a>(places: &'a DeploymentPlaces, at: &Placement) -> Result<&'a ComputePlace, ImportError> {
    let compute = places
        .computes
        .iter()
        .find(|c| c.moref == at.compute)
        .ok_or_else(|| gone("cluster or host"))?;
    if !compute.datastores.iter().any(|d| d.moref == at.datastore) {
        return Err(gone("datastore"));
    }
    if let Some(host) = &at.host
        && !compute.hosts.iter().any(|h| h.moref == *host)
    {
        return Err(gone("host"));
    }
    let folder = places.folders.iter().find(|f| f.moref == at.folder);
    if folder.is_none_or(|f| f.datacenter != compute.datacenter) {
        return Err(gone("folder"));
    }
    Ok(compute)
}

/// What an import takes of a datastore at once.
pub fn space_needed(template: &plan::Template, provisioning: Provisioning) -> u64 {
    match provisioning {
        // As much as is in the files, at least.
        Provisioning::Thin => template.upload_bytes(),
        Provisioning::Thick | Provisioning::EagerZeroedThick => template.capacity_bytes(),
    }
}

/// Fields of a `VirtualMachineConfigSpec` that come after `extraConfig`: a sequence has an order.
const AFTER_EXTRA: &[&str] = &[
    "swapPlacement",
    "bootOptions",
    "vAppConfig",
    "ftInfo",
    "repConfigSpec",
    "vAppConfigRemoved",
    "vAssertsEnabled",
    "changeTrackingEnabled",
    "firmware",
    "maxMksConnections",
    "guestAutoLockEnabled",
    "managedBy",
    "memoryReservationLockedToMax",
    "nestedHVEnabled",
    "vPMCEnabled",
    "scheduledHardwareUpgradeInfo",
    "vmProfile",
    "messageBusTunnelEnabled",
    "crypto",
    "migrateEncryption",
];

/// The machine's specification with the mark by which it is recognised.
fn marked(mut spec: Node, marker: &str) -> Node {
    let leaf = |name: &str, kind: Option<&str>, text: &str| Node {
        name: name.into(),
        kind: kind.map(Into::into),
        text: text.into(),
        ..Node::default()
    };
    if let Some(config) = spec.children.iter_mut().find(|c| c.name == "configSpec") {
        let mark = Node {
            name: "extraConfig".into(),
            kind: Some("OptionValue".into()),
            children: vec![leaf("key", None, MARKER), leaf("value", Some("string"), marker)],
            ..Node::default()
        };
        let at = config
            .children
            .iter()
            .position(|c| AFTER_EXTRA.contains(&c.name.as_str()));
        config.children.insert(at.unwrap_or(config.children.len()), mark);
    }
    spec
}

/// Where one file goes.
struct Target {
    endpoint: Endpoint,
    verifier: Arc<Verifier>,
    http: reqwest::Client,
    cookie: Option<HeaderValue>,
}

impl Target {
    fn of(vcenter: &VCenter, device: &Node) -> Result<Target, ImportError> {
        let wrong = |why: &str| vcenter.unreadable(LEASE, why);
        let own = vcenter.endpoint();
        let text = device
            .text_of("url")
            .ok_or_else(|| wrong("a file without an address"))?;
        // A star stands for the host that was asked, with its port.
        let text = match text.strip_prefix("https://*") {
            Some(rest) => format!("https://{}{rest}", own.server),
            None => text.to_owned(),
        };
        let url = Url::parse(&text).ok().filter(|u| u.scheme() == "https" && u.has_host());
        let url = url.ok_or_else(|| wrong("the address of a file is none of https://"))?;
        let same = url.origin() == own.url.origin();
        let endpoint = own.beside(url);
        let verifier = match (same, device.text_of("sslThumbprint")) {
            (true, _) => vcenter.verifier().clone(),
            (false, Some(thumbprint)) => {
                endpoint.verifier(Trust::from_thumbprint(thumbprint).ok_or_else(|| wrong("a thumbprint that is none"))?)
            }
            (false, None) => endpoint.verifier(Trust::Platform),
        };
        Ok(Target {
            http: endpoint.upload_client(&verifier)?,
            cookie: if same { vcenter.cookie() } else { None },
            endpoint,
            verifier,
        })
    }
}

/// The file in pieces, read by a thread of its own that is never more than some pieces ahead.
fn pieces(
    name: &str,
    part: &Part,
    sent: &Arc<AtomicU64>,
    problem: &Arc<Mutex<Option<OvfError>>>,
) -> impl Stream<Item = std::io::Result<Vec<u8>>> + Send + use<> {
    let (filled, pieces) = mpsc::channel::<std::io::Result<Vec<u8>>>(PIECES);
    let (name, part, problem) = (name.to_owned(), part.clone(), problem.clone());
    tokio::task::spawn_blocking(move || {
        let read = || -> Result<(), OvfError> {
            let mut file = part.open().map_err(|e| OvfError::disk(&name, &e))?;
            let mut left = part.bytes;
            while left > 0 {
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                file.read_exact(&mut piece).map_err(|e| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        OvfError::damaged(&name, "it has become shorter since it was opened")
                    }
                    _ => OvfError::disk(&name, &e),
                })?;
                left -= piece.len() as u64;
                if filled.blocking_send(Ok(piece)).is_err() {
                    break;
                }
            }
            Ok(())
        };
        if let Err(e) = read() {
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            let _ = filled.blocking_send(Err(std::io::ErrorKind::InvalidData.into()));
        }
    });
    let sent = sent.clone();
    futures::stream::unfold((pieces, sent), async |(mut pieces, sent)| {
        let piece = pieces.recv().await?;
        if let Ok(piece) = &piece {
            sent.fetch_add(piece.len() as u64, Relaxed);
        }
        Some((piece, (pieces, sent)))
    })
}

/// Tells vCenter that the upload goes on, or its lease would time out.
struct Keeping<'a> {
    vcenter: &'a VCenter,
    lease: &'a str,
    beat: SignedDuration,
    total: u64,
    sent: Arc<AtomicU64>,
}

impl Keeping<'_> {
    /// Returns when the lease is lost.
    async fn keep(&self) -> ImportError {
        loop {
            self.vcenter.pause(self.beat).await;
            let percent = self.sent.load(Relaxed).saturating_mul(100) / self.total.max(1);
            let call = Call::new("HttpNfcLeaseProgress", (LEASE, self.lease)).arg("percent", percent.min(99));
            // After a new sign-in the lease may still be there.
            match self.vcenter.send_again(&call).await {
                Ok(_) => {}
                // The upload may go another way, and go on: the next beat tries again.
                Err(e) if e.class() == crate::ErrorClass::Transient => {
                    tracing::debug!(error = %e, "vCenter could not be told of the upload's progress");
                }
                Err(e) if e.is_not_found() || matches!(e.code(), "Timedout" | "InvalidState") => {
                    return ImportError::LeaseLost("its lease has ended, with the session or by its timeout".into());
                }
                Err(e) => return e.into(),
            }
        }
    }
}

/// Rate and time left, from samples of the last while.
#[derive(Debug, Default)]
struct Meter(VecDeque<(Timestamp, u64)>);

impl Meter {
    fn sample(&mut self, now: Timestamp, sent: u64, total: u64) -> (Option<u64>, Option<u64>) {
        self.0.push_back((now, sent));
        while self.0.len() > 2
            && self
                .0
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > RATE_WINDOW)
        {
            self.0.pop_front();
        }
        let rate = self.0.front().and_then(|(at, before)| {
            let millis = u64::try_from(now.duration_since(*at).as_millis())
                .ok()
                .filter(|m| *m >= 1000)?;
            Some((sent - before).saturating_mul(1000) / millis)
        });
        let left = rate.filter(|r| *r > 0).map(|r| total.saturating_sub(sent).div_ceil(r));
        (rate, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_where_the_sequence_wants_it() {
        let node = |name: &str| Node {
            name: name.into(),
            ..Node::default()
        };
        let config = Node {
            children: vec![node("name"), node("deviceChange"), node("vAppConfig"), node("firmware")],
            ..node("configSpec")
        };
        let spec = Node {
            children: vec![config],
            ..node("importSpec")
        };
        let names: Vec<_> = marked(spec, "m")
            .children
            .remove(0)
            .children
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert_eq!(names, ["name", "deviceChange", "extraConfig", "vAppConfig", "firmware"]);
    }

    #[test]
    fn a_rate_is_told_once_there_are_samples() {
        let at = |millis: i64| Timestamp::from_millisecond(millis).unwrap();
        let mut meter = Meter::default();
        assert_eq!(meter.sample(at(0), 0, 1000), (None, None));
        assert_eq!(meter.sample(at(500), 50, 1000), (None, None));
        assert_eq!(meter.sample(at(1000), 100, 1000), (Some(100), Some(9)));
        // Only the last while counts.
        assert_eq!(meter.sample(at(60_000), 700, 1000), (Some(10), Some(30)));
        assert_eq!(meter.sample(at(120_000), 700, 1000).1, None);
    }
}
