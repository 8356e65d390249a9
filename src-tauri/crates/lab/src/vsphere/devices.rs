//! What is in a machine: its devices, and what VMware Tools tell of the network and the disks inside.

use super::{
    objects::{entity_of, of_kind},
    wire::{Val, data, reference},
};
use crate::{
    onprem::{Backing, LabDisk, LabVm},
    world::World,
};

/// Keys of devices, as vSphere numbers them.
const CONTROLLER: i64 = 1000;
const CARD: i64 = 4000;
const TPM: i64 = 11_000;
const PASSTHROUGH: i64 = 13_000;
/// The unit of a SCSI controller itself.
const OWN_UNIT: i64 = 7;

/// What a machine of this age can do.
const ABILITIES: &[&str] = &[
    "snapshotOperationsSupported",
    "multipleSnapshotsSupported",
    "snapshotConfigSupported",
    "poweredOffSnapshotsSupported",
    "memorySnapshotsSupported",
    "revertToSnapshotSupported",
    "quiescedSnapshotsSupported",
    "disableSnapshotsSupported",
    "toolsSyncTimeSupported",
    "bootOptionsSupported",
    "changeTrackingSupported",
];

pub(super) fn capability() -> Val {
    let all = ABILITIES.iter().map(|name| (*name, Val::flag(true))).collect();
    Val::Data("VirtualMachineCapability".into(), all)
}

pub(super) fn key(id: &str) -> Val {
    data(
        "CryptoKeyId",
        [
            ("keyId", Val::text(id)),
            ("providerId", data("KeyProviderId", [("id", Val::text("contoso-kms"))])),
        ],
    )
}

/// Type and moref of the machine's host.
pub(super) fn host(w: &World, v: &LabVm) -> (String, String) {
    match &v.hardware.host {
        Some(moref) => ("HostSystem".into(), moref.clone()),
        None => first(w, "HostSystem"),
    }
}

/// Types and morefs of the networks that its cards are in.
pub(super) fn networks(w: &World, v: &LabVm) -> Vec<(String, String)> {
    let mut all = vec![first(w, "Network")];
    all.extend(v.hardware.cards.iter().filter_map(|c| entity_of(w, &c.network)));
    all
}

fn first(w: &World, kind: &str) -> (String, String) {
    of_kind(w, kind)
        .next()
        .map(|e| (e.kind.to_owned(), e.moref.to_string()))
        .unwrap_or_default()
}

fn about(label: &str, summary: &str) -> Val {
    data(
        "Description",
        [("label", Val::text(label)), ("summary", Val::text(summary))],
    )
}

pub(super) fn devices(w: &World, v: &LabVm) -> Vec<Val> {
    let h = &v.hardware;
    let kind = h.controller.unwrap_or("VirtualLsiLogicSASController");
    let scsi = kind.contains("Lsi") || kind.contains("SCSI");
    let mut controller = vec![
        ("key", Val::int(CONTROLLER)),
        ("deviceInfo", about("SCSI controller 0", kind)),
        ("busNumber", Val::int(0)),
        (
            "device",
            Val::List("xsd:int", v.disks.iter().map(|d| Val::int(d.key)).collect()),
        ),
    ];
    if scsi {
        controller.extend([
            (
                "sharedBus",
                Val::of("VirtualSCSISharing", h.bus_sharing.unwrap_or("noSharing")),
            ),
            ("scsiCtlrUnitNumber", Val::int(OWN_UNIT)),
        ]);
    }
    let datastore = first(w, "Datastore");
    let unit = |i: usize| {
        let i = i as i64;
        if scsi && i >= OWN_UNIT { i + 1 } else { i }
    };
    let mut all = vec![Val::Data(kind.into(), controller)];
    all.extend(v.disks.iter().enumerate().map(|(i, d)| disk(v, d, unit(i), &datastore)));
    let own = (networks(w, v).swap_remove(0), v.mac.as_str());
    let more = h
        .cards
        .iter()
        .filter_map(|c| Some((entity_of(w, &c.network)?, c.mac.as_str())));
    let cards = [own].into_iter().chain(more).enumerate();
    all.extend(cards.map(|(i, (network, mac))| card(w, i as i64, &network, mac)));
    if h.vtpm {
        all.push(data(
            "VirtualTPM",
            [
                ("key", Val::int(TPM)),
                ("deviceInfo", about("Virtual TPM", "Trusted Platform Module")),
            ],
        ));
    }
    all.extend((0..i64::from(h.passthrough)).map(|i| {
        data(
            "VirtualPCIPassthrough",
            [
                ("key", Val::int(PASSTHROUGH + i)),
                ("deviceInfo", about(&format!("PCI device {i}"), "PCI passthrough")),
            ],
        )
    }));
    all
}

fn disk(v: &LabVm, d: &LabDisk, unit: i64, datastore: &(String, String)) -> Val {
    let plain = Backing::default();
    let b = v.hardware.disks.get(&d.key).unwrap_or(&plain);
    let kind = match b.raw {
        Some(_) => "VirtualDiskRawDiskMappingVer1BackingInfo",
        None => "VirtualDiskFlatVer2BackingInfo",
    };
    let mut backing = vec![
        ("fileName", Val::text(d.file_name.as_str())),
        ("datastore", reference(&datastore.0, &datastore.1)),
    ];
    match b.raw {
        Some(raw) => backing.extend([
            ("lunUuid", Val::text(d.uuid.simple().to_string())),
            ("deviceName", Val::text("vml.020000000060003ff44dc75adc")),
            ("compatibilityMode", Val::text(raw)),
            ("diskMode", Val::text(b.mode)),
        ]),
        None => backing.extend([
            ("diskMode", Val::text(b.mode)),
            ("thinProvisioned", Val::flag(!b.thick)),
        ]),
    }
    backing.push(("uuid", Val::text(d.uuid.to_string())));
    backing.push(("sharing", Val::text(b.sharing.unwrap_or("sharingNone"))));
    if b.encrypted {
        backing.push(("keyId", key("disk-key")));
    }
    data(
        "VirtualDisk",
        [
            ("key", Val::int(d.key)),
            ("deviceInfo", about(&d.label, &format!("{} KB", d.bytes / 1024))),
            ("backing", Val::Data(kind.into(), backing)),
            ("controllerKey", Val::int(CONTROLLER)),
            ("unitNumber", Val::int(unit)),
            ("capacityInKB", Val::long(d.bytes / 1024)),
            ("capacityInBytes", Val::long(d.bytes)),
        ],
    )
}

fn card(w: &World, i: i64, network: &(String, String), mac: &str) -> Val {
    let name = w.onprem.entities.iter().find(|e| *e.moref == *network.1);
    let name = name.map(|e| e.name.as_str()).unwrap_or_default();
    let backing = if network.0 == "DistributedVirtualPortgroup" {
        let port = data(
            "DistributedVirtualSwitchPortConnection",
            [
                ("switchUuid", Val::text(w.guid("switch").to_string())),
                ("portgroupKey", Val::text(network.1.as_str())),
            ],
        );
        data("VirtualEthernetCardDistributedVirtualPortBackingInfo", [("port", port)])
    } else {
        data(
            "VirtualEthernetCardNetworkBackingInfo",
            [
                ("deviceName", Val::text(super::objects::encoded(name))),
                ("network", reference(&network.0, &network.1)),
            ],
        )
    };
    let connectable = data(
        "VirtualDeviceConnectInfo",
        [
            ("startConnected", Val::flag(true)),
            ("allowGuestControl", Val::flag(true)),
            ("connected", Val::flag(true)),
        ],
    );
    data(
        "VirtualVmxnet3",
        [
            ("key", Val::int(CARD + i)),
            ("deviceInfo", about(&format!("Network adapter {}", i + 1), name)),
            ("backing", backing),
            ("connectable", connectable),
            ("controllerKey", Val::int(100)),
            ("unitNumber", Val::int(OWN_UNIT + i)),
            ("addressType", Val::text("assigned")),
            ("macAddress", Val::text(mac)),
            ("wakeOnLanEnabled", Val::flag(true)),
        ],
    )
}

/// `guest.net` and `guest.disk`; with running Tools only.
pub(super) fn inside(v: &LabVm) -> [(&'static str, Val); 2] {
    let origin = if v.hardware.dhcp { "dhcp" } else { "manual" };
    let nic = |key: i64, network: &str, mac: &str, ip: &str| {
        let address = data(
            "NetIpConfigInfoIpAddress",
            [
                ("ipAddress", Val::text(ip)),
                ("prefixLength", Val::int(24)),
                ("origin", Val::text(origin)),
                ("state", Val::text("preferred")),
            ],
        );
        data(
            "GuestNicInfo",
            [
                ("network", Val::text(network)),
                ("ipAddress", Val::List("xsd:string", vec![Val::text(ip)])),
                ("macAddress", Val::text(mac)),
                ("connected", Val::flag(true)),
                ("deviceConfigId", Val::int(key)),
                (
                    "ipConfig",
                    data(
                        "NetIpConfigInfo",
                        [("ipAddress", Val::List("NetIpConfigInfoIpAddress", vec![address]))],
                    ),
                ),
            ],
        )
    };
    let mut nics = vec![nic(CARD, "VM Network", &v.mac, &v.ip)];
    let more = v.hardware.cards.iter().zip(CARD + 1..);
    nics.extend(more.map(|(c, key)| nic(key, "", &c.mac, &c.ip)));
    let volumes = v.disks.iter().enumerate().map(|(i, d)| {
        let path = match (v.guest_id.starts_with("win"), i) {
            (true, _) => format!("{}:\\", char::from(b'C' + i as u8)),
            (false, 0) => "/".to_owned(),
            (false, _) => format!("/data{i}"),
        };
        data(
            "GuestDiskInfo",
            [
                ("diskPath", Val::text(path)),
                ("capacity", Val::long(d.bytes)),
                ("freeSpace", Val::long(d.bytes / 2)),
            ],
        )
    });
    [
        ("net", Val::List("GuestNicInfo", nics)),
        ("disk", Val::List("GuestDiskInfo", volumes.collect())),
    ]
}
