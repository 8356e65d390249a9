//! What was discovered on-premises.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// Second pass: the disks' capacities in bytes; empty until read.
    pub disk_bytes: Vec<u64>,
    /// Published by the readiness script through VMware Tools (`guestinfo.rehost.readiness`).
    pub readiness: Option<String>,
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
}

impl Inventory {
    /// Finds a machine by name, ignoring case.
    pub fn vm(&self, name: &str) -> Option<&Vm> {
        self.vms.iter().find(|v| v.name.eq_ignore_ascii_case(name))
    }
}
