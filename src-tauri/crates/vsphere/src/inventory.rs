//! The inventory: streamed in pages, with the names of host, cluster and datacenter resolved.
//!
//! The device list is two thirds of all bytes, so the first pass reads counts only, and [`VCenter::details`] reads chosen
//! machines whole. Pages have the size that real vCenters allow; the first is handed over as it comes, later ones are put
//! together to the size asked for, which spares a window its repaints. The reading goes on in a task of its own: it fetches
//! the next page while the last one is being shown, and when nobody listens any more it gives the rest up properly.
//!
//! What is removed while it is being read is left out. A machine is known by [`VCenter::identity`] and its reference.

use crate::details;
use crate::error::VsphereError;
use crate::properties::{Object, Of, PAGE, Paths, Reading, Reference, VM};
use crate::session::{VCenter, renewing};
use crate::soap::Record;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use plan::inventory::{Cluster, Datastore, Host, Network};
use plan::{Inventory, Vm};
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc;

/// First pass. Properties that an older API does not know are left out.
pub(crate) const PATHS: &[&str] = &[
    "name",
    "parent",
    "config.instanceUuid",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.host",
    "guest.guestId",
    "guest.guestFullName",
    "config.guestId",
    "config.guestFullName",
    "guest.hostName",
    "guest.ipAddress",
    "guest.toolsRunningStatus",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "summary.config.numVirtualDisks",
    "summary.config.numEthernetCards",
    "summary.storage.committed",
    "config.firmware",
    "config.bootOptions.efiSecureBootEnabled",
    "summary.config.template",
];

/// What machines stand on: a small list beside them. A cluster is a `ComputeResource`, too, and a port group a `Network`.
const PLACES: Paths = &[
    ("Datacenter", &["name", "parent"]),
    ("Folder", &["name", "parent"]),
    ("ComputeResource", &["name", "parent", "summary.numHosts"]),
    (
        HOST,
        &[
            "name",
            "parent",
            "runtime.connectionState",
            "runtime.inMaintenanceMode",
            "summary.config.product.fullName",
            "summary.config.product.version",
            "summary.hardware.numCpuCores",
            "summary.hardware.memorySize",
            UUID,
        ],
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

/// Of them only what names a machine's place.
const NAMES: Paths = &[
    ("Datacenter", &["name", "parent"]),
    ("Folder", &["name", "parent"]),
    ("ComputeResource", &["name", "parent"]),
    (HOST, &["name", "parent"]),
    ("Network", &["name"]),
];

pub(crate) const HOST: &str = "HostSystem";
pub(crate) const CLUSTER: &str = "ClusterComputeResource";
const UUID: &str = "summary.hardware.uuid";
const READINESS: &str = "guestinfo.rehost.readiness";

/// What comes while an inventory is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// What machines stand on, once, before them.
    Places(Box<Inventory>),
    Machines(Vec<Vm>),
}

impl VCenter {
    /// Reads all that there is, machines `page` at a time (at least 100) except for the first page, which comes at once.
    /// Ends after the first error. Needs a tokio runtime.
    pub fn discover(&self, page: u32) -> impl Stream<Item = Result<Part, VsphereError>> + Send + use<> {
        let vcenter = self.clone();
        stream::once(async move {
            let (parts, received) = mpsc::channel(2);
            tokio::spawn(vcenter.read_all(page.max(PAGE) as usize, parts));
            stream::unfold(received, async |mut r| r.recv().await.map(|item| (item, r)))
        })
        .flatten()
        .boxed()
    }

    /// The whole inventory, machines sorted by name.
    pub async fn inventory(&self) -> Result<Inventory, VsphereError> {
        let mut parts = self.discover(PAGE);
        let mut found = Inventory::default();
        while let Some(part) = parts.try_next().await? {
            match part {
                Part::Places(places) => found = *places,
                Part::Machines(mut vms) => found.vms.append(&mut vms),
            }
        }
        found.vms.sort_by(|a, b| (&a.name, &a.moref).cmp(&(&b.name, &b.moref)));
        Ok(found)
    }

    /// The unique id of this vCenter, or of a stand-alone host; the references of machines mean something only with it.
    pub async fn identity(&self) -> Result<String, VsphereError> {
        match self.about().instance_uuid.as_str() {
            "" => {
                let hosts = renewing!(self, self.list(&[(HOST, &[UUID])]))?;
                Ok(hosts.first().and_then(|h| h.owned(UUID)).unwrap_or_default())
            }
            uuid => Ok(uuid.to_owned()),
        }
    }

    /// These machines whole: with devices, guest, snapshots, and what the readiness script has published. Those that don't
    /// exist are left out.
    pub async fn details(&self, morefs: &[String]) -> Result<Vec<Vm>, VsphereError> {
        renewing!(self, self.details_once(morefs))
    }

    async fn details_once(&self, morefs: &[String]) -> Result<Vec<Vm>, VsphereError> {
        let paths = whole();
        let what: Paths = &[(VM, &paths)];
        let machine = |moref: &String| (VM.to_owned(), moref.clone());
        let parts: Vec<Vec<Reference>> = morefs
            .chunks(PAGE as usize)
            .map(|some| some.iter().map(machine).collect())
            .collect();
        let (mut vms, mut places) = (Vec::with_capacity(morefs.len()), Places::default());
        // One page is fetched while another is looked at.
        let mut pages = stream::iter(parts)
            .map(async |some| self.retrieve_all(Of::Each(&some), what, Record::NoAnswer).await)
            .buffered(2);
        while let Some(objects) = pages.try_next().await? {
            self.learn_places(&mut places, &objects).await?;
            vms.extend(objects.iter().map(|o| places.whole_vm(o)));
        }
        Ok(vms)
    }

    /// One machine by name, ignoring case, with its disks and what the readiness script has published.
    /// Of several machines with the same name a template comes last.
    pub async fn find_vm(&self, name: &str) -> Result<Option<Vm>, VsphereError> {
        renewing!(self, self.find_vm_once(name))
    }

    async fn find_vm_once(&self, name: &str) -> Result<Option<Vm>, VsphereError> {
        if let Some(moref) = self.known(name) {
            match self.whole_vm(&moref).await {
                Ok(vm) if vm.name.eq_ignore_ascii_case(name) => return Ok(Some(vm)),
                Ok(_) => {}
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
            self.learn(name, None);
        }
        let all = self.list(&[(VM, &["name", "summary.config.template"])]).await?;
        let found = all
            .iter()
            .filter(|o| decoded(o.text("name").unwrap_or_default()).eq_ignore_ascii_case(name))
            .min_by_key(|o| (o.flag("summary.config.template") == Some(true), &o.moref));
        match found {
            Some(object) => {
                self.learn(name, Some(&object.moref));
                self.whole_vm(&object.moref).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn whole_vm(&self, moref: &str) -> Result<Vm, VsphereError> {
        let paths = whole();
        let mut objects = self
            .retrieve_all(
                Of::MachineAndPlaces(moref),
                &[&[(VM, &paths[..])], NAMES].concat(),
                Record::NoAnswer,
            )
            .await?;
        let at = objects
            .iter()
            .position(|o| o.moref == moref)
            .ok_or_else(|| self.missing(VM, moref))?;
        let object = objects.swap_remove(at);
        Ok(Places::of(&objects).whole_vm(&object))
    }

    /// The datacenter's reference (`datacenter-2`) by name, ignoring case.
    pub async fn datacenter(&self, name: &str) -> Result<Option<String>, VsphereError> {
        let all = renewing!(self, self.list(&[("Datacenter", &["name"])]))?;
        let named = |o: &&Object| decoded(o.text("name").unwrap_or_default()).eq_ignore_ascii_case(name);
        Ok(all.iter().find(named).map(|o| o.moref.clone()))
    }

    async fn read_all(self, page: usize, parts: mpsc::Sender<Result<Part, VsphereError>>) {
        let mut seen = HashSet::new();
        let outcome = async { renewing!(self, self.read_once(page, &parts, &mut seen)) }.await;
        if let Err(e) = outcome {
            let _ = parts.send(Err(e)).await;
        }
    }

    /// Reads from the beginning; machines in `seen` have been handed over before the session ended.
    async fn read_once(
        &self,
        page: usize,
        parts: &mpsc::Sender<Result<Part, VsphereError>>,
        seen: &mut HashSet<String>,
    ) -> Result<(), VsphereError> {
        let view = self.create_view(&[VM]).await?;
        let outcome = async {
            // One after the other: two reads that a server has cut into pages at once lose each other's place.
            let objects = self.list(PLACES).await?;
            let reading = self.read(Of::View(&view), &[(VM, PATHS)], Record::Whole).await?;
            self.hand_over(reading, &objects, page, parts, seen).await
        }
        .await;
        self.destroy_view(&view).await;
        outcome
    }

    async fn hand_over(
        &self,
        mut reading: Reading,
        objects: &[Object],
        page: usize,
        parts: &mpsc::Sender<Result<Part, VsphereError>>,
        seen: &mut HashSet<String>,
    ) -> Result<(), VsphereError> {
        let places = Places::of(objects);
        if seen.is_empty() {
            let found = Box::new(self.found(objects, &places));
            if parts.send(Ok(Part::Places(found))).await.is_err() {
                reading.give_up().await;
                return Ok(());
            }
        }
        let mut ready = Vec::new();
        while let Some(objects) = reading.next().await? {
            let first = seen.is_empty();
            let new = objects.iter().filter(|o| seen.insert(o.moref.clone()));
            ready.extend(new.map(|o| places.vm(o)));
            let enough = first || ready.len() >= page || reading.is_over();
            if enough && !ready.is_empty() {
                let rows = Part::Machines(std::mem::take(&mut ready));
                if parts.send(Ok(rows)).await.is_err() {
                    reading.give_up().await;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn found(&self, objects: &[Object], places: &Places) -> Inventory {
        let of = |kind| objects.iter().filter(move |o| o.kind == kind);
        let hosts: Vec<Host> = of(HOST).map(|o| places.host(o)).collect();
        let uuid = match self.about().instance_uuid.as_str() {
            "" => of(HOST).find_map(|o| o.owned(UUID)).unwrap_or_default(),
            uuid => uuid.to_owned(),
        };
        let mut found = Inventory {
            vcenter_uuid: uuid,
            vcenter_name: self.about().full_name.clone(),
            api_version: self.about().api_version.clone(),
            read_at: Some(Timestamp::now()),
            vms: Vec::new(),
            datacenters: of("Datacenter").map(name).collect(),
            clusters: of(CLUSTER).map(|o| places.cluster(o)).collect(),
            hosts,
            datastores: of("Datastore").map(|o| places.datastore(o)).collect(),
            // A network is of several types.
            networks: objects
                .iter()
                .filter(|o| o.kind == "Network" || o.kind.ends_with("Portgroup") || o.kind == "OpaqueNetwork")
                .map(|o| places.network(o))
                .collect(),
        };
        found.datacenters.sort();
        found.clusters.sort_by(|a, b| a.name.cmp(&b.name));
        found.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        found.datastores.sort_by(|a, b| a.name.cmp(&b.name));
        found.networks.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// All places.
    pub(crate) async fn places(&self) -> Result<Places, VsphereError> {
        self.list(PLACES).await.map(|objects| Places::of(&objects))
    }

    /// Reads the places of these machines that are not known yet.
    pub(crate) async fn learn_places(&self, places: &mut Places, machines: &[Object]) -> Result<(), VsphereError> {
        let mut new: Vec<Reference> = Vec::new();
        for machine in machines {
            let host = machine.text("runtime.host").map(|m| (HOST, m));
            let folder = machine.text("parent").map(|m| ("Folder", m));
            let groups = details::port_groups(machine).map(|m| ("DistributedVirtualPortgroup", m));
            for (kind, moref) in host.into_iter().chain(folder).chain(groups) {
                if places.asked.insert(moref.to_owned()) {
                    new.push((kind.to_owned(), moref.to_owned()));
                }
            }
        }
        for some in new.chunks(PAGE as usize) {
            let objects = self.retrieve_all(Of::EachAndPlaces(some), NAMES, Record::Whole).await?;
            places.add(&objects);
        }
        Ok(())
    }
}

/// All properties of both passes.
fn whole() -> Vec<&'static str> {
    [PATHS, details::PATHS, &["config.extraConfig"]].concat()
}

pub(crate) fn name(o: &Object) -> String {
    decoded(o.text("name").unwrap_or_default())
}

#[derive(Debug)]
struct Place {
    kind: String,
    name: String,
    parent: Option<String>,
}

/// What machines are in, by reference.
#[derive(Debug, Default)]
pub(crate) struct Places {
    known: HashMap<String, Place>,
    /// Also those that this account may not see.
    asked: HashSet<String>,
}

impl Places {
    pub(crate) fn of(objects: &[Object]) -> Places {
        let mut places = Places::default();
        places.add(objects);
        places
    }

    pub(crate) fn add(&mut self, objects: &[Object]) {
        for o in objects {
            self.asked.insert(o.moref.clone());
            let place = Place {
                kind: o.kind.clone(),
                name: name(o),
                parent: o.owned("parent"),
            };
            self.known.insert(o.moref.clone(), place);
        }
    }

    fn name(&self, moref: &str) -> Option<String> {
        self.known.get(moref).map(|p| p.name.clone())
    }

    /// The nearest place of `kind` at or above `from`. Folders don't nest without end; a hostile loop ends at 64.
    fn above(&self, from: Option<&str>, kind: &str) -> Option<String> {
        let mut at = self.known.get(from?);
        for _ in 0..64 {
            let place = at?;
            if place.kind == kind {
                return Some(place.name.clone());
            }
            at = self.known.get(place.parent.as_deref()?);
        }
        None
    }

    fn datacenter(&self, o: &Object) -> Option<String> {
        self.above(o.text("parent"), "Datacenter")
    }

    pub(crate) fn host(&self, o: &Object) -> Host {
        Host {
            moref: o.moref.clone(),
            name: name(o),
            product: o.owned("summary.config.product.fullName").unwrap_or_default(),
            version: o.owned("summary.config.product.version").unwrap_or_default(),
            connection_state: o.owned("runtime.connectionState"),
            maintenance: o.flag("runtime.inMaintenanceMode").unwrap_or_default(),
            cluster: self.above(o.text("parent"), CLUSTER),
            datacenter: self.datacenter(o),
            cores: o.number("summary.hardware.numCpuCores").unwrap_or_default(),
            memory_bytes: o.number("summary.hardware.memorySize").unwrap_or_default(),
        }
    }

    pub(crate) fn cluster(&self, o: &Object) -> Cluster {
        Cluster {
            moref: o.moref.clone(),
            name: name(o),
            datacenter: self.datacenter(o),
            hosts: o.number("summary.numHosts").unwrap_or_default(),
        }
    }

    pub(crate) fn datastore(&self, o: &Object) -> Datastore {
        Datastore {
            moref: o.moref.clone(),
            name: name(o),
            kind: o.owned("summary.type").unwrap_or_default(),
            capacity_bytes: o.number("summary.capacity").unwrap_or_default(),
            free_bytes: o.number("summary.freeSpace").unwrap_or_default(),
            accessible: o.flag("summary.accessible").unwrap_or_default(),
            datacenter: self.datacenter(o),
        }
    }

    pub(crate) fn network(&self, o: &Object) -> Network {
        Network {
            moref: o.moref.clone(),
            name: name(o),
            kind: o.kind.clone(),
            accessible: o.flag("summary.accessible").unwrap_or_default(),
            datacenter: self.datacenter(o),
        }
    }

    /// A machine after the second pass.
    pub(crate) fn whole_vm(&self, o: &Object) -> Vm {
        let extra = o.node("config.extraConfig").map(|d| &*d.children).unwrap_or_default();
        Vm {
            details: Some(details::details(o, |moref| self.name(moref))),
            readiness: extra
                .iter()
                .find(|e| e.text_of("key") == Some(READINESS))
                .and_then(|e| e.text_of("value"))
                .map(str::to_owned),
            ..self.vm(o)
        }
    }

    /// A machine after the first pass.
    pub(crate) fn vm(&self, o: &Object) -> Vm {
        let host = o.text("runtime.host");
        Vm {
            moref: o.moref.clone(),
            name: name(o),
            instance_uuid: o.owned("config.instanceUuid"),
            power_state: o.owned("runtime.powerState").unwrap_or_default(),
            connection_state: o.owned("runtime.connectionState"),
            // What the guest says is true; the configured system is what somebody chose once.
            guest_id: o.owned("guest.guestId").or_else(|| o.owned("config.guestId")),
            guest_full_name: o
                .owned("guest.guestFullName")
                .or_else(|| o.owned("config.guestFullName")),
            host_name: o.owned("guest.hostName"),
            ip_address: o.owned("guest.ipAddress"),
            cpus: o.number("config.hardware.numCPU").unwrap_or_default(),
            memory_mib: o.number("config.hardware.memoryMB").unwrap_or_default(),
            disk_count: o.number("summary.config.numVirtualDisks").unwrap_or_default(),
            nic_count: o.number("summary.config.numEthernetCards").unwrap_or_default(),
            storage_bytes: o.number("summary.storage.committed").unwrap_or_default(),
            firmware: o.owned("config.firmware"),
            secure_boot: o.flag("config.bootOptions.efiSecureBootEnabled"),
            tools_status: o.owned("guest.toolsRunningStatus"),
            template: o.flag("summary.config.template").unwrap_or_default(),
            host: host.and_then(|h| self.name(h)),
            cluster: self.above(host, CLUSTER),
            datacenter: self.above(host, "Datacenter").or_else(|| self.datacenter(o)),
            details: None,
            readiness: None,
            guest: None,
        }
    }
}

/// vSphere writes `/`, `\` and `%` in names as `%2f`, `%5c` and `%25`, and nothing else.
pub(crate) fn decoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (character, length) = match rest.get(at + 1..at + 3) {
            Some("2f" | "2F") => ('/', 3),
            Some("5c" | "5C") => ('\\', 3),
            Some("25") => ('%', 3),
            _ => ('%', 1),
        };
        out.push(character);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// The other direction, for names in requests.
pub(crate) fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(decoded("a%2fb%5Cc%2541 100% %é"), "a/b\\c%41 100% %é");
        assert_eq!(decoded(&encoded("a/b\\c%2f")), "a/b\\c%2f");
    }
}
