//! The second pass over a machine: devices, guest, snapshots. The device list is two thirds of all bytes of an inventory, so
//! it is read for machines on screen or chosen only.

use crate::inventory::decoded;
use crate::properties::Object;
use crate::xml::Node;
use plan::inventory::{Disk, GuestAddress, GuestVolume, Nic, Snapshot, VmDetails};
use std::collections::HashMap;

/// Properties of the second pass. Those that an older API does not know are left out by the server.
pub(crate) const PATHS: &[&str] = &[
    "config.hardware.device",
    "config.keyId",
    "config.version",
    "config.annotation",
    "config.changeTrackingEnabled",
    "capability.changeTrackingSupported",
    "runtime.consolidationNeeded",
    "guest.net",
    "guest.disk",
    "guest.toolsVersion",
    "guest.toolsVersionStatus2",
    "guest.guestOperationsReady",
    "snapshot",
];

const PORT_GROUP: &[&str] = &["backing", "port", "portgroupKey"];

/// Snapshots nest; vSphere allows 32 in a chain.
const MAX_DEPTH: usize = 64;

/// References of the distributed port groups that a machine's cards are in.
pub(crate) fn port_groups(o: &Object) -> impl Iterator<Item = &str> {
    children(o, "config.hardware.device")
        .iter()
        .filter_map(|d| d.at(PORT_GROUP))
        .map(|g| g.text.as_str())
}

/// Reads the details of a machine. `network` names port groups by their reference.
pub(crate) fn details(o: &Object, network: impl Fn(&str) -> Option<String>) -> VmDetails {
    let devices = children(o, "config.hardware.device");
    let is = |d: &&Node, kind: &str| d.kind.as_deref() == Some(kind);
    let controllers: HashMap<&str, &Node> = devices
        .iter()
        .filter_map(|d| Some((d.text_of("key")?, d)))
        .filter(|(_, d)| d.child("busNumber").is_some())
        .collect();
    let mut disks: Vec<Disk> = devices
        .iter()
        .filter(|d| is(d, "VirtualDisk"))
        .map(|d| disk(d, &controllers))
        .collect();
    // IDE before SCSI before what came later, as a BIOS looks for a disk to boot; `sort_by_key` keeps the server's order.
    disks.sort_by_key(|d| (rank(&d.controller), d.bus, d.unit));
    let mut snapshots = Vec::new();
    if let Some(tree) = o.node("snapshot") {
        walk(tree.all("rootSnapshotList"), &mut snapshots, MAX_DEPTH);
    }
    VmDetails {
        disks,
        // Every network card has a MAC address, and no other device.
        nics: devices
            .iter()
            .filter(|d| d.child("macAddress").is_some())
            .map(|d| nic(d, &network))
            .collect(),
        addresses: children(o, "guest.net").iter().flat_map(addresses).collect(),
        volumes: children(o, "guest.disk").iter().map(volume).collect(),
        snapshots,
        consolidation_needed: o.flag("runtime.consolidationNeeded"),
        vtpm: devices.iter().any(|d| is(&d, "VirtualTPM")),
        encrypted: o.node("config.keyId").is_some(),
        passthrough: count(devices.iter().filter(|d| is(d, "VirtualPCIPassthrough"))),
        hardware: o.owned("config.version"),
        cbt_supported: o.flag("capability.changeTrackingSupported"),
        cbt_enabled: o.flag("config.changeTrackingEnabled"),
        tools_version: o.owned("guest.toolsVersion"),
        tools_version_status: o.owned("guest.toolsVersionStatus2"),
        guest_operations_ready: o.flag("guest.guestOperationsReady"),
        annotation: o.owned("config.annotation"),
    }
}

fn children<'a>(o: &'a Object, path: &str) -> &'a [Node] {
    o.node(path).map(|n| &*n.children).unwrap_or_default()
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn number<N: std::str::FromStr + Default>(node: &Node, name: &str) -> N {
    node.text_of(name).and_then(|t| t.parse().ok()).unwrap_or_default()
}

fn owned(node: &Node, name: &str) -> Option<String> {
    node.text_of(name).map(str::to_owned)
}

fn rank(controller: &str) -> u8 {
    match controller {
        "VirtualIDEController" => 0,
        "VirtualAHCIController" => 2,
        "VirtualNVMEController" => 3,
        _ => 1,
    }
}

fn disk(d: &Node, controllers: &HashMap<&str, &Node>) -> Disk {
    let controller = d.text_of("controllerKey").and_then(|key| controllers.get(key));
    let backing = d.child("backing");
    let of = |name| backing.and_then(|b| owned(b, name));
    Disk {
        key: number(d, "key"),
        label: label(d),
        capacity_bytes: capacity(d),
        controller: controller
            .and_then(|c| c.kind.as_deref())
            .map(str::to_owned)
            .unwrap_or_default(),
        bus: controller.map(|c| number(c, "busNumber")).unwrap_or_default(),
        unit: number(d, "unitNumber"),
        file: of("fileName"),
        mode: of("diskMode"),
        sharing: of("sharing"),
        bus_sharing: controller.and_then(|c| owned(c, "sharedBus")),
        raw: of("compatibilityMode"),
        thin: of("thinProvisioned").map(|t| t == "true"),
        encrypted: backing.is_some_and(|b| b.child("keyId").is_some()),
    }
}

/// Bytes of a `VirtualDisk`; `capacityInBytes` exists since 5.5.
fn capacity(disk: &Node) -> u64 {
    match number(disk, "capacityInBytes") {
        0 => number::<u64>(disk, "capacityInKB").saturating_mul(1024),
        bytes => bytes,
    }
}

fn label(device: &Node) -> String {
    device
        .at(&["deviceInfo", "label"])
        .map(|l| l.text.to_string())
        .unwrap_or_default()
}

fn nic(d: &Node, network: &impl Fn(&str) -> Option<String>) -> Nic {
    Nic {
        key: number(d, "key"),
        label: label(d),
        kind: d.kind.as_deref().unwrap_or_default().to_owned(),
        mac: owned(d, "macAddress"),
        network: match d.at(PORT_GROUP) {
            Some(group) => network(&group.text),
            None => d.at(&["backing", "deviceName"]).map(|n| decoded(&n.text)),
        },
        connected: d.at(&["connectable", "connected"]).map(|c| c.text == "true"),
    }
}

fn addresses(net: &Node) -> Vec<GuestAddress> {
    let mac = owned(net, "macAddress");
    let one = |ip: String, prefix, origin| GuestAddress {
        ip,
        prefix,
        origin,
        mac: mac.clone(),
    };
    match net.child("ipConfig") {
        Some(config) => config
            .all("ipAddress")
            .filter_map(|a| {
                Some(one(
                    owned(a, "ipAddress")?,
                    a.text_of("prefixLength").and_then(|p| p.parse().ok()),
                    owned(a, "origin"),
                ))
            })
            .collect(),
        // Tools of old versions tell the addresses only.
        None => net
            .all("ipAddress")
            .map(|a| one(a.text.to_string(), None, None))
            .collect(),
    }
}

fn volume(d: &Node) -> GuestVolume {
    GuestVolume {
        path: owned(d, "diskPath").unwrap_or_default(),
        capacity_bytes: number(d, "capacity"),
        free_bytes: number(d, "freeSpace"),
    }
}

fn walk<'a>(list: impl Iterator<Item = &'a Node>, into: &mut Vec<Snapshot>, depth: usize) {
    for node in list {
        into.push(Snapshot {
            moref: owned(node, "snapshot").unwrap_or_default(),
            name: node.text_of("name").map(decoded).unwrap_or_default(),
            created: node.text_of("createTime").and_then(|t| t.parse().ok()),
        });
        if depth > 0 {
            walk(node.all("childSnapshotList"), into, depth - 1);
        }
    }
}
