//! The inventory: streamed in pages, with the names of host, cluster and datacenter resolved.
//!
//! The device list is two thirds of all bytes, so the first pass reads counts only, and [`VCenter::find_vm`] reads one machine
//! whole. Pages have the size that real vCenters allow; the first is handed over as it comes, later ones are put together to
//! the size asked for, which spares a window its repaints. The reading goes on in a task of its own: it fetches the next page
//! while the last one is being shown, and when nobody listens any more it gives the rest up properly.

use crate::details;
use crate::error::VsphereError;
use crate::properties::{Object, Of, PAGE, Paths};
use crate::session::{VCenter, renewing};
use crate::soap::Record;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use plan::{Inventory, Vm};
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc;

const VM: &str = "VirtualMachine";

/// First pass. Properties that an older API does not know are left out by the server.
const PATHS: &[&str] = &[
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

/// What machines are in: a small list beside them. A cluster is a `ComputeResource`, too.
const PLACES: Paths = &[
    ("Datacenter", &["name", "parent"]),
    ("Folder", &["name", "parent"]),
    ("ComputeResource", &["name", "parent"]),
    ("HostSystem", &["name", "parent"]),
];

const READINESS: &str = "guestinfo.rehost.readiness";

impl VCenter {
    /// All machines, `page` rows (at least 100) at a time except for the first page, which comes at once.
    /// Ends after the first error. Needs a tokio runtime.
    pub fn vms(&self, page: u32) -> impl Stream<Item = Result<Vec<Vm>, VsphereError>> + Send + use<> {
        let vcenter = self.clone();
        stream::once(async move {
            let (rows, received) = mpsc::channel(2);
            tokio::spawn(vcenter.read_all(page.max(PAGE) as usize, rows));
            stream::unfold(received, async |mut r| r.recv().await.map(|item| (item, r)))
        })
        .flatten()
        .boxed()
    }

    /// The whole inventory, sorted by name.
    pub async fn inventory(&self) -> Result<Inventory, VsphereError> {
        let mut vms = self.vms(PAGE).try_concat().await?;
        vms.sort_by(|a, b| (&a.name, &a.moref).cmp(&(&b.name, &b.moref)));
        Ok(Inventory {
            vcenter_uuid: self.about().instance_uuid.clone(),
            vcenter_name: self.about().full_name.clone(),
            api_version: self.about().api_version.clone(),
            read_at: Some(Timestamp::now()),
            vms,
            ..Inventory::default()
        })
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
        let paths: Vec<&str> = [PATHS, details::PATHS, &["config.extraConfig"]].concat();
        let what = [&[(VM, &paths[..]), ("Network", &["name"])], PLACES].concat();
        let mut objects = self
            .retrieve_all(Of::MachineAndPlaces(moref), &what, Record::NoAnswer)
            .await?;
        let at = objects
            .iter()
            .position(|o| o.moref == moref)
            .ok_or_else(|| self.missing(VM, moref))?;
        let object = objects.swap_remove(at);
        let networks = objects
            .iter()
            .filter_map(|o| Some((o.moref.clone(), decoded(o.text("name")?))))
            .collect();
        let mut vm = Places::of(objects).vm(&object);
        vm.details = Some(details::details(&object, &networks));
        let extra = object
            .node("config.extraConfig")
            .map(|d| &*d.children)
            .unwrap_or_default();
        vm.readiness = extra
            .iter()
            .find(|e| e.text_of("key") == Some(READINESS))
            .and_then(|e| e.text_of("value"))
            .map(str::to_owned);
        Ok(vm)
    }

    /// The datacenter's reference (`datacenter-2`) by name, ignoring case.
    pub async fn datacenter(&self, name: &str) -> Result<Option<String>, VsphereError> {
        let all = renewing!(self, self.list(&[("Datacenter", &["name"])]))?;
        let named = |o: &&Object| decoded(o.text("name").unwrap_or_default()).eq_ignore_ascii_case(name);
        Ok(all.iter().find(named).map(|o| o.moref.clone()))
    }

    async fn read_all(self, page: usize, rows: mpsc::Sender<Result<Vec<Vm>, VsphereError>>) {
        let mut seen = HashSet::new();
        let outcome = async { renewing!(self, self.read_once(page, &rows, &mut seen)) }.await;
        if let Err(e) = outcome {
            let _ = rows.send(Err(e)).await;
        }
    }

    /// Reads from the beginning; machines in `seen` have been handed over before the session ended.
    async fn read_once(
        &self,
        page: usize,
        rows: &mpsc::Sender<Result<Vec<Vm>, VsphereError>>,
        seen: &mut HashSet<String>,
    ) -> Result<(), VsphereError> {
        let (places, view) = tokio::join!(self.places(), self.create_view(&[VM]));
        let view = view?;
        let outcome = match places {
            Ok(places) => self.read_view(&view, &places, page, rows, seen).await,
            Err(e) => Err(e),
        };
        self.destroy_view(&view).await;
        outcome
    }

    async fn read_view(
        &self,
        view: &str,
        places: &Places,
        page: usize,
        rows: &mpsc::Sender<Result<Vec<Vm>, VsphereError>>,
        seen: &mut HashSet<String>,
    ) -> Result<(), VsphereError> {
        let mut answer = self.retrieve(Of::View(view), &[(VM, PATHS)], Record::Whole).await?;
        let mut ready = Vec::new();
        loop {
            let first = seen.is_empty();
            ready.extend(
                answer
                    .objects
                    .iter()
                    .filter(|o| seen.insert(o.moref.clone()))
                    .map(|o| places.vm(o)),
            );
            let enough = first || ready.len() >= page || answer.token.is_none();
            if enough && !ready.is_empty() && rows.send(Ok(std::mem::take(&mut ready))).await.is_err() {
                if let Some(token) = &answer.token {
                    self.cancel(token).await;
                }
                return Ok(());
            }
            match &answer.token {
                Some(token) => answer = self.next_page(token).await?,
                None => return Ok(()),
            }
        }
    }

    async fn places(&self) -> Result<Places, VsphereError> {
        self.list(PLACES).await.map(Places::of)
    }
}

struct Place {
    kind: String,
    name: String,
    parent: Option<String>,
}

struct Places(HashMap<String, Place>);

impl Places {
    fn of(objects: Vec<Object>) -> Places {
        let place = |o: Object| {
            let name = decoded(o.text("name").unwrap_or_default());
            (
                o.moref.clone(),
                Place {
                    name,
                    parent: o.owned("parent"),
                    kind: o.kind,
                },
            )
        };
        Places(objects.into_iter().map(place).collect())
    }

    /// The nearest place of `kind` at or above `from`. Folders don't nest without end; a hostile loop ends at 64.
    fn above(&self, from: Option<&str>, kind: &str) -> Option<String> {
        let mut at = self.0.get(from?);
        for _ in 0..64 {
            let place = at?;
            if place.kind == kind {
                return Some(place.name.clone());
            }
            at = self.0.get(place.parent.as_deref()?);
        }
        None
    }

    fn vm(&self, o: &Object) -> Vm {
        let host = o.text("runtime.host");
        Vm {
            moref: o.moref.clone(),
            name: decoded(o.text("name").unwrap_or_default()),
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
            host: host.and_then(|h| self.0.get(h)).map(|p| p.name.clone()),
            cluster: self.above(host, "ClusterComputeResource"),
            datacenter: self
                .above(host, "Datacenter")
                .or_else(|| self.above(o.text("parent"), "Datacenter")),
            details: None,
            readiness: None,
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
