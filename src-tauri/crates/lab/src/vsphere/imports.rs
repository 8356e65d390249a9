//! Templates of machines: what a descriptor would become, the machine under its lease, and the uploads.
//!
//! An upload is read as it comes, counted, and looked at: it must be a stream-optimized VMDK of the disk's capacity, whole, with
//! the bytes that the descriptor has announced. Nothing of it is kept. Unverified of a real vCenter: that a lease ends with
//! its session, and that an abort leaves the machine (VMware's simulator does); a timeout removes it.

use super::{
    Context, Outcome, Service,
    objects::{self, decoded},
    wire::{self, Element, Fault, Val, data, reference},
};
use crate::{
    guests::LabGuest,
    onprem::{Backing, Hardware, LabCard, LabDisk, LabLease, LabVm, LeaseFile, LeaseState, Power},
    world::{World, plus},
};
use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use jiff::SignedDuration;
use std::{collections::BTreeMap, sync::Arc};

/// Seconds after which a lease ends of which nothing is heard; at high speed never before a minute of real time.
const TIMEOUT_SECS: i64 = 300;
/// Until vCenter has made the machine.
const MAKING: i64 = 3;
/// The newest virtual hardware of the host.
const HARDWARE: u32 = 19;
const SECTOR: u64 = 512;
const KEY: i32 = 2000;

/// Bytes that an upload has brought; the gate writes them into the diary in place of the upload itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received(pub u64);

/// The parts of a descriptor that matter here.
struct Descriptor {
    root: Element,
}

impl Descriptor {
    fn read(text: &str) -> Result<Descriptor, Fault> {
        let root = wire::document(text)
            .map_err(|why| Fault::new("OvfXmlFormat", &format!("The descriptor is not well-formed: {why}")))?;
        match root.name.as_str() {
            "Envelope" if root.child("VirtualSystem").is_some() => Ok(Descriptor { root }),
            _ => Err(Fault::new("OvfMissingElement", "The element VirtualSystem is missing.")),
        }
    }

    fn system(&self) -> Option<&Element> {
        self.root.child("VirtualSystem")
    }

    fn section<'a>(&'a self, section: &str, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.root.child(section).into_iter().flat_map(move |s| s.all(name))
    }

    /// Hardware items of the chosen configuration.
    fn items<'a>(&'a self, option: &str) -> Vec<&'a Element> {
        let default = || {
            let all: Vec<&Element> = self.section("DeploymentOptionSection", "Configuration").collect();
            let chosen = all
                .iter()
                .find(|c| c.attribute("default") == Some("true"))
                .or(all.first());
            chosen.and_then(|c| c.attribute("id")).unwrap_or_default().to_owned()
        };
        let option = if option.is_empty() {
            default()
        } else {
            option.to_owned()
        };
        let hardware = self.system().and_then(|s| s.child("VirtualHardwareSection"));
        let fits = |i: &&Element| {
            i.attribute("configuration")
                .is_none_or(|c| c.split_whitespace().any(|one| one == option))
        };
        hardware.into_iter().flat_map(|h| h.all("Item")).filter(fits).collect()
    }

    /// Bytes of the disk with this id, and the file that it comes from, if any.
    fn disk(&self, id: &str) -> Option<(i64, Option<(&str, u64)>)> {
        let disk = self
            .section("DiskSection", "Disk")
            .find(|d| d.attribute("diskId") == Some(id))?;
        let unit = disk
            .attribute("capacityAllocationUnits")
            .unwrap_or("byte")
            .replace(' ', "");
        let unit = match unit.strip_prefix("byte*2^") {
            Some(power) => 1_i64.checked_shl(power.parse().ok()?)?,
            None if unit.eq_ignore_ascii_case("GigaBytes") => 1 << 30,
            None if unit.eq_ignore_ascii_case("MegaBytes") => 1 << 20,
            None => 1,
        };
        let bytes = disk.attribute("capacity")?.parse::<i64>().ok()?.checked_mul(unit)?;
        let file = disk.attribute("fileRef").and_then(|id| {
            let file = self
                .section("References", "File")
                .find(|f| f.attribute("id") == Some(id))?;
            let size = file.attribute("size").and_then(|s| s.parse().ok()).unwrap_or_default();
            Some((file.attribute("href")?, size))
        });
        Some((bytes, file))
    }
}

impl Context<'_> {
    pub(super) fn parse_descriptor(&mut self, request: &Element) -> Outcome {
        let result = match Descriptor::read(request.text("ovfDescriptor").unwrap_or_default()) {
            Err(fault) => data("OvfParseDescriptorResult", [("error", fault.localized())]),
            Ok(d) => {
                let system = d.system();
                let text = |e: &Element, name: &str| Val::text(e.text(name).unwrap_or_default().trim());
                let eulas = system
                    .into_iter()
                    .flat_map(|s| s.all("EulaSection"))
                    .map(|e| text(e, "License"));
                let networks = d.section("NetworkSection", "Network").map(|n| {
                    let name = n.attribute("name").unwrap_or_default();
                    data(
                        "OvfNetworkInfo",
                        [("name", Val::text(name)), ("description", text(n, "Description"))],
                    )
                });
                let files = d
                    .section("References", "File")
                    .filter_map(|f| f.attribute("size")?.parse::<i64>().ok());
                data(
                    "OvfParseDescriptorResult",
                    [
                        ("eula", Val::List("xsd:string", eulas.collect())),
                        ("network", Val::List("OvfNetworkInfo", networks.collect())),
                        ("approximateDownloadSize", Val::long(files.sum())),
                        ("defaultEntityName", system.map_or(Val::text(""), |s| text(s, "Name"))),
                        ("virtualApp", Val::flag(false)),
                        ("defaultDeploymentOption", Val::text("")),
                    ],
                )
            }
        };
        Ok(result.element("returnval"))
    }

    pub(super) fn create_import_spec(&mut self, request: &Element) -> Outcome {
        let pool = self.given(request, "resourcePool")?;
        let datastore = self.given(request, "datastore")?;
        let cisp = request.child("cisp").ok_or_else(|| Fault::argument("cisp"))?;
        self.need("VApp.Import", &pool)?;
        self.need("Datastore.AllocateSpace", &datastore)?;
        if let Some(host) = cisp.object("hostSystem").filter(|h| !self.exists(h)) {
            return Err(Fault::not_found(&host));
        }
        let result = match self.spec(request.text("ovfDescriptor").unwrap_or_default(), cisp, &datastore) {
            Ok(result) => result,
            Err(fault) => data("OvfCreateImportSpecResult", [("error", fault.localized())]),
        };
        Ok(result.element("returnval"))
    }

    fn given(&self, request: &Element, name: &str) -> Result<(String, String), Fault> {
        let object = request.object(name).ok_or_else(|| Fault::argument(name))?;
        match self.exists(&object) {
            true => Ok(object),
            false => Err(Fault::not_found(&object)),
        }
    }

    fn spec(&self, descriptor: &str, cisp: &Element, datastore: &(String, String)) -> Result<Val, Fault> {
        let d = Descriptor::read(descriptor)?;
        let name = cisp.text("entityName").unwrap_or_default();
        let hardware = d.system().and_then(|s| s.child("VirtualHardwareSection"));
        let version = hardware
            .and_then(|h| h.child("System"))
            .and_then(|s| s.text("VirtualSystemType"))
            .unwrap_or_default()
            .trim();
        let newest = version
            .split_whitespace()
            .filter_map(|v| v.strip_prefix("vmx-")?.parse::<u32>().ok())
            .any(|v| v <= HARDWARE);
        if !newest {
            let words =
                format!("No supported hardware versions among [{version}]; supported: vmx-{HARDWARE} and older.");
            return Err(Fault::new("OvfNoSupportedHardwareFamily", &words).with("version", Val::text(version)));
        }
        let store = self
            .w
            .onprem
            .entity(&datastore.1)
            .map(|e| e.name.clone())
            .unwrap_or_default();
        let thin = cisp.text("diskProvisioning").unwrap_or("thin") == "thin";
        let (mut cpus, mut memory) = (1, 1024);
        let (mut changes, mut files, mut disks, mut warnings) = (vec![], vec![], 0, vec![]);
        let mut controller = "VirtualLsiLogicController";
        let items = d.items(cisp.text("deploymentOption").unwrap_or_default());
        let add = |device: Val, file: bool| {
            let mut fields = vec![("operation", Val::of("VirtualDeviceConfigSpecOperation", "add"))];
            if file {
                fields.push((
                    "fileOperation",
                    Val::of("VirtualDeviceConfigSpecFileOperation", "create"),
                ));
            }
            fields.push(("device", device));
            Val::Data("VirtualDeviceConfigSpec".into(), fields)
        };
        for (at, item) in items.iter().enumerate() {
            let quantity = || {
                item.text("VirtualQuantity")
                    .and_then(|q| q.trim().parse::<i64>().ok())
                    .unwrap_or(1)
            };
            match item.text("ResourceType").unwrap_or_default() {
                "3" => cpus = quantity(),
                "4" => memory = quantity(),
                "6" => {
                    controller = match item.text("ResourceSubType").unwrap_or_default().to_lowercase().as_str() {
                        "lsilogicsas" => "VirtualLsiLogicSASController",
                        "virtualscsi" => "ParaVirtualSCSIController",
                        _ => "VirtualLsiLogicController",
                    };
                    let fields = [
                        ("key", Val::int(1000)),
                        ("busNumber", Val::int(0)),
                        ("sharedBus", Val::text("noSharing")),
                    ];
                    changes.push(add(data(controller, fields), false));
                }
                "10" => {
                    let wanted = item.text("Connection").unwrap_or_default();
                    let mapped = cisp.all("networkMapping").find(|m| m.text("name") == Some(wanted));
                    let Some(network) = mapped.and_then(|m| m.object("network")) else {
                        let words = format!("The network '{wanted}' is not mapped: its adapter is left out.");
                        warnings.push(Fault::new("OvfNoHostNic", &words).localized());
                        continue;
                    };
                    if !self.exists(&network) {
                        return Err(Fault::not_found(&network));
                    }
                    let backing = data(
                        "VirtualEthernetCardNetworkBackingInfo",
                        [
                            ("deviceName", Val::text(network.1.as_str())),
                            ("network", reference(&network.0, &network.1)),
                        ],
                    );
                    changes.push(add(
                        data(
                            "VirtualVmxnet3",
                            [("key", Val::int(-(at as i64) - 1)), ("backing", backing)],
                        ),
                        false,
                    ));
                }
                "17" => {
                    let id = item.text("HostResource").unwrap_or_default().trim();
                    let id = id.rsplit('/').next().unwrap_or_default();
                    let (bytes, file) = d
                        .disk(id)
                        .ok_or_else(|| Fault::new("OvfInvalidValueReference", &format!("There is no disk {id}.")))?;
                    // How many bytes come from a file is told to the import by the label.
                    let label = data(
                        "Description",
                        [
                            ("label", Val::text(format!("disk-{disks}"))),
                            ("summary", Val::text(file.map(|f| f.1.to_string()).unwrap_or_default())),
                        ],
                    );
                    let backing = data(
                        "VirtualDiskFlatVer2BackingInfo",
                        [
                            ("fileName", Val::text(format!("[{store}]"))),
                            ("diskMode", Val::text("persistent")),
                            ("thinProvisioned", Val::flag(thin)),
                        ],
                    );
                    changes.push(add(
                        data(
                            "VirtualDisk",
                            [
                                ("key", Val::int(KEY + disks)),
                                ("deviceInfo", label),
                                ("backing", backing),
                                ("controllerKey", Val::int(1000)),
                                ("unitNumber", Val::int(disks)),
                                ("capacityInKB", Val::long(bytes / 1024)),
                            ],
                        ),
                        true,
                    ));
                    if let Some((href, size)) = file {
                        files.push(data(
                            "OvfFileItem",
                            [
                                ("deviceId", Val::text(import_key(name, controller, disks))),
                                ("path", Val::text(href)),
                                ("size", Val::long(size as i64)),
                                ("cimType", Val::int(17)),
                                ("create", Val::flag(false)),
                            ],
                        ));
                    }
                    disks += 1;
                }
                _ => {}
            }
        }
        let guest = d.system().and_then(|s| s.child("OperatingSystemSection"));
        let annotation = d
            .system()
            .and_then(|s| s.child("AnnotationSection"))
            .and_then(|a| a.text("Annotation"));
        let properties = cisp.all("propertyMapping").enumerate().map(|(i, p)| {
            let info = data(
                "VAppPropertyInfo",
                [
                    ("key", Val::int(i as i64)),
                    ("id", Val::text(p.text("key").unwrap_or_default())),
                    ("value", Val::text(p.text("value").unwrap_or_default())),
                ],
            );
            data(
                "VAppPropertySpec",
                [("operation", Val::of("ArrayUpdateOperation", "add")), ("info", info)],
            )
        });
        let config = data(
            "VirtualMachineConfigSpec",
            [
                ("name", Val::text(name)),
                ("version", Val::text(version)),
                (
                    "guestId",
                    Val::text(guest.and_then(|g| g.attribute("osType")).unwrap_or("otherGuest64")),
                ),
                ("annotation", Val::text(annotation.unwrap_or_default().trim())),
                (
                    "files",
                    data(
                        "VirtualMachineFileInfo",
                        [("vmPathName", Val::text(format!("[{store}]")))],
                    ),
                ),
                ("numCPUs", Val::int(cpus)),
                ("memoryMB", Val::long(memory)),
                ("deviceChange", Val::List("VirtualDeviceConfigSpec", changes)),
                (
                    "vAppConfig",
                    data(
                        "VmConfigSpec",
                        [("property", Val::List("VAppPropertySpec", properties.collect()))],
                    ),
                ),
            ],
        );
        Ok(data(
            "OvfCreateImportSpecResult",
            [
                ("importSpec", data("VirtualMachineImportSpec", [("configSpec", config)])),
                ("fileItem", Val::List("OvfFileItem", files)),
                ("warning", Val::List("LocalizedMethodFault", warnings)),
            ],
        ))
    }

    pub(super) fn import_vapp(&mut self, request: &Element, pool: &(String, String)) -> Outcome {
        let folder = self.given(request, "folder")?;
        self.need("VApp.Import", pool)?;
        self.need("VApp.Import", &folder)?;
        let spec = request.child("spec").ok_or_else(|| Fault::argument("spec"))?;
        let config = spec
            .child("configSpec")
            .ok_or_else(|| Fault::argument("spec.configSpec"))?;
        let name = decoded(config.text("name").unwrap_or_default());
        if name.is_empty() || objects::encoded(&name).len() > 80 {
            return Err(
                Fault::new("InvalidName", &format!("The name '{name}' is invalid.")).with("name", Val::text(name))
            );
        }
        let path = config
            .child("files")
            .and_then(|f| f.text("vmPathName"))
            .unwrap_or_default();
        let store = path.trim_start_matches('[').split(']').next().unwrap_or_default();
        let datastore = objects::of_kind(self.w, "Datastore").find(|e| e.name == store);
        let datastore = datastore.map(|e| ("Datastore".to_owned(), e.moref.clone()));
        let datastore = datastore.ok_or_else(|| Fault::new("InvalidDatastore", "There is no such datastore."))?;
        self.need("Datastore.AllocateSpace", &datastore)?;
        let host_of = request.object("host");
        let devices: Vec<&Element> = config.all("deviceChange").filter_map(|c| c.child("device")).collect();
        let cards: Vec<(String, String)> = devices
            .iter()
            .filter_map(|d| d.child("backing")?.object("network"))
            .collect();
        for network in &cards {
            self.need("Network.Assign", network)?;
        }
        let taken = self
            .w
            .onprem
            .vms
            .iter()
            .find(|v| v.folder == folder.1 && v.name.eq_ignore_ascii_case(&name));
        if let Some(taken) = taken {
            return Err(
                Fault::new("DuplicateName", &format!("The name '{name}' already exists."))
                    .with("name", Val::text(name))
                    .with("object", reference("VirtualMachine", &taken.moref)),
            );
        }
        let number = self.w.number();
        let (moref, lease) = (format!("vm-{number}"), format!("lease-{number}"));
        let controller = devices
            .iter()
            .map(|d| d.kind.as_str())
            .find(|k| k.contains("SCSI") || k.contains("LsiLogic"));
        let controller = match controller {
            Some("VirtualLsiLogicSASController") => "VirtualLsiLogicSASController",
            Some("ParaVirtualSCSIController") => "ParaVirtualSCSIController",
            _ => "VirtualLsiLogicController",
        };
        let (mut disks, mut files, mut backings, mut needed) = (vec![], vec![], BTreeMap::new(), 0_i64);
        for (i, d) in devices.iter().filter(|d| d.kind == "VirtualDisk").enumerate() {
            let (i, key) = (i as i32, KEY + i as i32);
            let bytes = d
                .text("capacityInKB")
                .and_then(|k| k.parse::<i64>().ok())
                .unwrap_or_default()
                .saturating_mul(1024);
            let thick = d.child("backing").and_then(|b| b.text("thinProvisioned")) == Some("false");
            let upload: Option<u64> = d.child("deviceInfo").and_then(|l| l.text("summary")?.parse().ok());
            needed += if thick { bytes } else { upload.map_or(0, |u| u as i64) };
            let backing = Backing {
                thick,
                ..Backing::default()
            };
            backings.insert(key, backing);
            disks.push(LabDisk {
                key,
                label: format!("Hard disk {}", i + 1),
                file_name: format!("[{store}] {name}/disk-{i}.vmdk"),
                bytes,
                uuid: self.w.guid(&format!("{moref}/disk/{i}")),
            });
            files.extend(upload.map(|expected| LeaseFile {
                key: import_key(config.text("name").unwrap_or_default(), controller, i),
                name: format!("disk-{i}.vmdk"),
                capacity: bytes as u64,
                expected,
                received: None,
                with_cookie: false,
            }));
        }
        let extra = config
            .all("extraConfig")
            .filter_map(|e| Some((e.text("key")?.to_owned(), e.text("value")?.to_owned())));
        let id = self.w.guid(&moref);
        let mac = |i: usize| {
            let b = id.as_bytes();
            format!(
                "00:50:56:{:02x}:{:02x}:{:02x}",
                b[0] & 0x3f,
                b[1],
                b[2].wrapping_add(i as u8)
            )
        };
        let more = cards.iter().skip(1).enumerate().map(|(i, n)| LabCard {
            network: n.1.clone(),
            mac: mac(i + 1),
            ip: String::new(),
        });
        let number_of = |name: &str, or: i64| config.text(name).and_then(|t| t.parse().ok()).unwrap_or(or);
        let now = self.w.now();
        let vm = LabVm {
            moref: moref.clone(),
            folder: folder.1,
            annotation: config.text("annotation").unwrap_or_default().to_owned(),
            snapshots: vec![],
            current_snapshot: None,
            power: Power::Off,
            instance_uuid: self.w.guid(&format!("{moref}/instance")),
            bios_uuid: self.w.guid(&format!("{moref}/bios")),
            guest_id: config.text("guestId").unwrap_or_default().to_owned(),
            guest_full_name: "Microsoft Windows Server 2022 (64-bit)".into(),
            host_name: format!("{name}.contoso.com").to_lowercase(),
            ip: format!("10.245.48.{}", 100 + number % 100),
            mac: mac(0),
            cpus: number_of("numCPUs", 1) as i32,
            memory_mib: number_of("memoryMB", 1024),
            disks,
            firmware: "bios",
            tools_running: false,
            extra_config: extra.collect(),
            committed_bytes: needed,
            hardware: Hardware {
                host: host_of.map(|h| h.1),
                controller: Some(controller),
                disks: backings,
                cards: more.collect(),
                ..Hardware::default()
            },
            guest: LabGuest::ready(self.w.seed(), &name, config.text("guestId").unwrap_or_default()),
            changed: now,
            name: name.clone(),
        };
        let full = needed > objects::free_space(self.w);
        self.w.onprem.vms.push(vm);
        self.w
            .vm_event("VmCreatedEvent", &moref, &self.user, "Created virtual machine {}");
        let timeout = TIMEOUT_SECS.max(12 * self.patience.as_secs());
        self.w.onprem.leases.push(LabLease {
            moref: lease.clone(),
            session: self.session.clone().unwrap_or_default(),
            vm: moref,
            state: LeaseState::Initializing,
            files,
            percent: 0,
            timeout,
            deadline: plus(now, SignedDuration::from_secs(timeout)),
        });
        let made = lease.clone();
        self.w.after(self.w.about(MAKING, &lease), move |w| {
            let state = match full {
                true => LeaseState::Error {
                    fault: "NoDiskSpace".into(),
                    message: format!("Insufficient disk space on datastore for {name}."),
                },
                false => LeaseState::Ready,
            };
            if full {
                w.remove_leased(&made);
            }
            if let Some(l) = w
                .onprem
                .lease_mut(&made)
                .filter(|l| l.state == LeaseState::Initializing)
            {
                l.state = state;
            }
        });
        watch_lease(self.w, &lease);
        Ok(reference("HttpNfcLease", &lease).element("returnval"))
    }

    /// A lease hears of the upload, and is ended.
    pub(super) fn lease(&mut self, request: &Element, moref: &str) -> Outcome {
        let now = self.w.now();
        let Some(lease) = self.w.onprem.lease_mut(moref) else {
            return Err(Fault::not_found(&("HttpNfcLease".into(), moref.into())));
        };
        match (&lease.state, request.name.as_str()) {
            (LeaseState::Error { .. }, "HttpNfcLeaseProgress") => {
                return Err(Fault::new("Timedout", "The lease has ended."));
            }
            (LeaseState::Ready | LeaseState::Initializing, _) => {}
            _ => {
                return Err(Fault::new(
                    "InvalidState",
                    "The operation is not allowed in the current state.",
                ));
            }
        }
        match request.name.as_str() {
            "HttpNfcLeaseProgress" => {
                let percent = request
                    .text("percent")
                    .and_then(|p| p.parse().ok())
                    .filter(|p| (0..=100).contains(p));
                lease.percent = percent.ok_or_else(|| Fault::argument("percent"))?;
                lease.deadline = plus(now, SignedDuration::from_secs(lease.timeout));
            }
            "HttpNfcLeaseAbort" => {
                lease.state = LeaseState::Error {
                    fault: "RequestCanceled".into(),
                    message: "The operation was canceled by a user.".into(),
                };
            }
            _ => {
                if lease.files.iter().any(|f| f.received.is_none()) {
                    return Err(Fault::new("InvalidState", "Not all files have been uploaded."));
                }
                lease.state = LeaseState::Done;
                let vm = lease.vm.clone();
                self.w
                    .vm_event("VmDeployedEvent", &vm, &self.user, "Template deployed as {}");
                let name = self.w.onprem.vm(&vm).map(|v| v.name.clone()).unwrap_or_default();
                self.w.onprem.log.push((now, format!("{name} imported")));
            }
        }
        Ok(String::new())
    }
}

fn import_key(name: &str, controller: &str, unit: i32) -> String {
    format!("/{name}/{controller}0:{unit}")
}

/// Ends a lease whose time is over when nothing was heard of it, and its machine with it.
fn watch_lease(w: &mut World, moref: &str) {
    let Some(deadline) = w.onprem.lease(moref).map(|l| l.deadline) else {
        return;
    };
    let moref = moref.to_owned();
    w.at(deadline, move |w| {
        let (now, replaying) = (w.now(), w.replaying);
        let Some(lease) = w.onprem.lease_mut(&moref).filter(|l| l.is_held()) else {
            return;
        };
        // What was heard of it is not in the diary.
        if replaying {
            lease.deadline = plus(now, SignedDuration::from_secs(lease.timeout));
        }
        if lease.deadline > now {
            return watch_lease(w, &moref);
        }
        lease.state = LeaseState::Error {
            fault: "Timedout".into(),
            message: "The lease has timed out.".into(),
        };
        w.remove_leased(&moref);
    });
}

impl World {
    /// Removes the machine of a lease that ends before its time.
    fn remove_leased(&mut self, lease: &str) {
        let now = self.now();
        let vm = self.onprem.lease(lease).map(|l| l.vm.clone()).unwrap_or_default();
        let name = self.onprem.vm(&vm).map(|v| v.name.clone()).unwrap_or_default();
        self.vm_event("VmRemovedEvent", &vm, "", "Removed {}");
        self.onprem.vms.retain(|v| v.moref != vm);
        self.onprem.log.push((now, format!("{name} given up")));
    }

    /// Leases end with their session.
    pub(super) fn end_leases(&mut self, session: &str) {
        let own = |l: &&LabLease| l.session == session;
        let held: Vec<String> = self
            .onprem
            .leases
            .iter()
            .filter(own)
            .filter(|l| l.is_held())
            .map(|l| l.moref.clone())
            .collect();
        for lease in held {
            self.remove_leased(&lease);
        }
        self.onprem.leases.retain(|l| l.session != session);
    }
}

/// What a lease says of itself.
pub(super) fn properties(w: &World, moref: &str) -> Option<Vec<(&'static str, Val)>> {
    let l = w.onprem.lease(moref)?;
    let (state, error) = match &l.state {
        LeaseState::Initializing => ("initializing", None),
        LeaseState::Ready => ("ready", None),
        LeaseState::Done => ("done", None),
        LeaseState::Error { fault, message } => ("error", Some(Fault::new(fault, message).localized())),
    };
    let mut fields = vec![
        ("state", Val::of("HttpNfcLeaseState", state)),
        (
            "initializeProgress",
            Val::int(if state == "initializing" { 0 } else { 100 }),
        ),
        ("transferProgress", Val::int(l.percent)),
    ];
    fields.extend(error.map(|e| ("error", e)));
    if state == "ready" {
        let (base, thumbprint) = w
            .onprem
            .upload_host
            .clone()
            .unwrap_or_else(|| ("https://*".into(), String::new()));
        let urls = l.files.iter().enumerate().map(|(i, f)| {
            data(
                "HttpNfcLeaseDeviceUrl",
                [
                    ("key", Val::text(format!("/{}/disk-{i}", l.vm))),
                    ("importKey", Val::text(f.key.as_str())),
                    ("url", Val::text(format!("{base}/nfc/{}/{}", l.moref, f.name))),
                    ("sslThumbprint", Val::text(thumbprint.as_str())),
                    ("disk", Val::flag(true)),
                    ("targetId", Val::text(f.name.as_str())),
                ],
            )
        });
        let capacity: u64 = l.files.iter().map(|f| f.capacity / 1024).sum();
        fields.push((
            "info",
            data(
                "HttpNfcLeaseInfo",
                [
                    ("lease", reference("HttpNfcLease", moref)),
                    ("entity", reference("VirtualMachine", &l.vm)),
                    ("deviceUrl", Val::List("HttpNfcLeaseDeviceUrl", urls.collect())),
                    ("totalDiskCapacityInKB", Val::long(capacity as i64)),
                    ("leaseTimeout", Val::int(l.timeout)),
                ],
            ),
        ));
    }
    Some(fields)
}

/// Takes a file as a host does: the address alone gives the right, as long as the lease is held.
pub(super) async fn upload(
    State(service): State<Arc<Service>>,
    Path((lease, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if method != Method::POST && method != Method::PUT {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let wanted = {
        let mut w = service.world.lock();
        w.advance(service.clock.now());
        let replaying = w.replaying;
        let cookie = headers.contains_key(header::COOKIE);
        let held = w.onprem.lease_mut(&lease).filter(|l| l.state == LeaseState::Ready);
        let Some(file) = held.and_then(|l| l.files.iter_mut().find(|f| f.name == name)) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        // The diary keeps how much came, not what.
        let noted = query.and_then(|q| q.strip_prefix("received=")?.parse().ok());
        if let (true, Some(bytes)) = (replaying, noted) {
            file.received = Some(bytes);
            return StatusCode::OK.into_response();
        }
        (file.with_cookie, file.received) = (cookie, None);
        (file.expected, file.capacity)
    };
    let refused = |why: String| (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    let mut look = Look::default();
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => look.see(&piece),
            Err(e) => return refused(format!("the upload broke off: {e}")),
        }
    }
    if let Err(why) = look.judge(wanted) {
        return refused(why);
    }
    let mut w = service.world.lock();
    w.advance(service.clock.now());
    let held = w.onprem.lease_mut(&lease).filter(|l| l.state == LeaseState::Ready);
    let Some(file) = held.and_then(|l| l.files.iter_mut().find(|f| f.name == name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    file.received = Some(look.bytes);
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(Received(look.bytes));
    response
}

/// What is remembered of an upload: its first and last sectors, and how much it was.
#[derive(Default)]
struct Look {
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Look {
    fn see(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let room = (SECTOR as usize).saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..room.min(piece.len())]);
        let last = &piece[piece.len().saturating_sub(2 * SECTOR as usize)..];
        self.tail.extend_from_slice(last);
        let over = self.tail.len().saturating_sub(2 * SECTOR as usize);
        self.tail.drain(..over);
    }

    /// A stream-optimized VMDK begins with a header and ends with the same as a footer, and with an empty sector.
    fn judge(&self, (expected, capacity): (u64, u64)) -> Result<(), String> {
        if self.bytes != expected {
            return Err(format!("{} bytes came of {expected}", self.bytes));
        }
        let sectors = self
            .head
            .get(12..20)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes);
        if !self.head.starts_with(b"KDMV") || sectors.and_then(|s| s.checked_mul(SECTOR)) != Some(capacity) {
            return Err("this is no VMDK of the disk's capacity".into());
        }
        let (footer, end) = self.tail.split_at(self.tail.len().min(SECTOR as usize));
        match footer.starts_with(b"KDMV") && end.len() as u64 == SECTOR && end.iter().all(|b| *b == 0) {
            true => Ok(()),
            false => Err("the VMDK ends in its middle".into()),
        }
    }
}
