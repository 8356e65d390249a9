//! What was discovered on-premises.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One virtual machine as vCenter describes it. Sizes: memory in MiB, disks in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Vm {
    /// Managed object reference, `vm-42`; unique within one vCenter.
    pub moref: String,
    /// Name, percent-decoded.
    pub name: String,
    pub instance_uuid: Option<String>,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// `connected`, `disconnected`, `inaccessible`, `orphaned` or `invalid`.
    pub connection_state: Option<String>,
    pub guest_id: Option<String>,
    pub guest_full_name: Option<String>,
    pub host_name: Option<String>,
    pub ip_address: Option<String>,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_count: u32,
    pub nic_count: u32,
    /// Bytes committed in the datastores.
    pub storage_bytes: u64,
    /// `bios` or `efi`.
    pub firmware: Option<String>,
    pub secure_boot: Option<bool>,
    /// `guestToolsRunning`, `guestToolsNotRunning`…
    pub tools_status: Option<String>,
    pub template: bool,
    /// The ESXi host's name.
    pub host: Option<String>,
    pub cluster: Option<String>,
    pub datacenter: Option<String>,
    /// Second pass, none until it was read: first for what is on screen or chosen.
    pub details: Option<VmDetails>,
    /// Published by the readiness script through VMware Tools (`guestinfo.rehost.readiness`).
    pub readiness: Option<String>,
    /// What was read inside the machine, and what Rehost has changed there; none until somebody asked for it.
    pub guest: Option<crate::guest::GuestState>,
}

impl Vm {
    /// Capacities in bytes, the disk of the operating system first; empty until the second pass was read.
    pub fn disk_bytes(&self) -> impl Iterator<Item = u64> + '_ {
        self.details.iter().flat_map(|d| &d.disks).map(|d| d.capacity_bytes)
    }
}

/// Second pass of one machine: its devices, what VMware Tools tell of the guest, its snapshots. What the server doesn't
/// tell, or an older API doesn't know, is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct VmDetails {
    /// By controller and unit: the first one boots.
    pub disks: Vec<Disk>,
    pub nics: Vec<Nic>,
    pub addresses: Vec<GuestAddress>,
    pub volumes: Vec<GuestVolume>,
    pub snapshots: Vec<Snapshot>,
    pub consolidation_needed: Option<bool>,
    /// A virtual TPM is there.
    pub vtpm: bool,
    /// Key of VM encryption, `config.keyId`.
    pub encrypted: bool,
    /// Passed-through PCI devices.
    pub passthrough: u32,
    /// Version of the virtual hardware, `vmx-13`.
    pub hardware: Option<String>,
    /// Changed block tracking: whether the machine can, and whether it is on.
    pub cbt_supported: Option<bool>,
    pub cbt_enabled: Option<bool>,
    /// As a number, `11297`; `guestToolsCurrent`, `guestToolsNeedUpgrade`…
    pub tools_version: Option<String>,
    pub tools_version_status: Option<String>,
    pub guest_operations_ready: Option<bool>,
    pub annotation: Option<String>,
}

/// A virtual disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Disk {
    /// Unique within the machine.
    pub key: i32,
    /// `Hard disk 1`
    pub label: String,
    pub capacity_bytes: u64,
    /// Type of the controller, `VirtualLsiLogicSASController`, its bus and the unit on it.
    pub controller: String,
    pub bus: i32,
    pub unit: i32,
    /// `[datastore1] WEBVM/WEBVM.vmdk`
    pub file: Option<String>,
    /// `persistent`, `independent_persistent`, `independent_nonpersistent`…
    pub mode: Option<String>,
    /// `sharingNone` or `sharingMultiWriter`.
    pub sharing: Option<String>,
    /// Of the controller: `noSharing`, `virtualSharing` or `physicalSharing`.
    pub bus_sharing: Option<String>,
    /// Compatibility of a raw device mapping, `virtualMode` or `physicalMode`; none for a file.
    pub raw: Option<String>,
    pub thin: Option<bool>,
    pub encrypted: bool,
}

/// A network card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Nic {
    pub key: i32,
    /// `Network adapter 1`
    pub label: String,
    /// Type of the device, `VirtualVmxnet3`.
    pub kind: String,
    pub mac: Option<String>,
    /// Name of the network or port group.
    pub network: Option<String>,
    pub connected: Option<bool>,
}

/// An address that the guest uses, as VMware Tools tell it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct GuestAddress {
    pub ip: String,
    pub prefix: Option<u8>,
    /// `manual`, `dhcp`, `linklayer`, `random` or `other`.
    pub origin: Option<String>,
    pub mac: Option<String>,
}

/// A file system of the guest. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct GuestVolume {
    /// `C:\\` or `/`.
    pub path: String,
    pub capacity_bytes: u64,
    pub free_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Snapshot {
    pub moref: String,
    pub name: String,
    #[ts(type = "string | null")]
    pub created: Option<Timestamp>,
}

/// What machines stand on, as far as a wizard or a rule asks for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Host {
    pub moref: String,
    pub name: String,
    /// `VMware ESXi 7.0.3 build-21313628`
    pub product: String,
    /// `7.0.3`
    pub version: String,
    pub connection_state: Option<String>,
    pub maintenance: bool,
    pub cluster: Option<String>,
    pub datacenter: Option<String>,
    pub cores: u32,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Cluster {
    pub moref: String,
    pub name: String,
    pub datacenter: Option<String>,
    pub hosts: u32,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Datastore {
    pub moref: String,
    pub name: String,
    /// `VMFS`, `NFS`, `vsan`…
    pub kind: String,
    pub capacity_bytes: u64,
    pub free_bytes: u64,
    pub accessible: bool,
    pub datacenter: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Network {
    pub moref: String,
    pub name: String,
    /// `Network` or `DistributedVirtualPortgroup`.
    pub kind: String,
    pub accessible: bool,
    pub datacenter: Option<String>,
}

/// What a discovery found, with when and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Inventory {
    /// The vCenter's own unique id (`about.instanceUuid`).
    pub vcenter_uuid: String,
    /// For example `VMware vCenter Server 7.0.3 build-19480866`.
    pub vcenter_name: String,
    pub api_version: String,
    #[ts(type = "string | null")]
    pub read_at: Option<Timestamp>,
    pub vms: Vec<Vm>,
    pub datacenters: Vec<String>,
    pub clusters: Vec<Cluster>,
    pub hosts: Vec<Host>,
    pub datastores: Vec<Datastore>,
    pub networks: Vec<Network>,
}

impl Inventory {
    /// Changes machines by their references: those that are new come last, those that are gone go.
    pub fn change(&mut self, upserted: &[Vm], removed: &[String]) {
        let at: HashMap<String, usize> = (0..).zip(&self.vms).map(|(at, vm)| (vm.moref.clone(), at)).collect();
        for vm in upserted {
            match at.get(&vm.moref) {
                Some(at) => self.vms[*at] = vm.clone(),
                None => self.vms.push(vm.clone()),
            }
        }
        self.vms.retain(|vm| !removed.contains(&vm.moref));
    }

    /// Finds a machine by name, ignoring case.
    pub fn vm(&self, name: &str) -> Option<&Vm> {
        self.vms.iter().find(|v| v.name.eq_ignore_ascii_case(name))
    }
}
