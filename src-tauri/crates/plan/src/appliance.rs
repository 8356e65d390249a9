//! The appliance as a template (OVF or OVA) and where it goes: what its descriptor says, what a person chooses, and what the
//! project remembers of a deployment so that an interrupted one is taken up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an OVF descriptor says of the one machine in it. Sizes in bytes, memory in MiB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Template {
    pub name: String,
    pub product: String,
    pub vendor: String,
    pub version: String,
    pub description: String,
    /// The guest's operating system, in the descriptor's words.
    pub system: String,
    /// Version of the virtual hardware, `vmx-13`.
    pub hardware: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// Files that are uploaded, in the descriptor's order.
    pub files: Vec<TemplateFile>,
    pub disks: Vec<TemplateDisk>,
    pub networks: Vec<TemplateNetwork>,
    /// What the machine is told when it starts.
    pub properties: Vec<TemplateProperty>,
    /// Sizes to choose from; empty = there is one only.
    pub options: Vec<DeploymentOption>,
    /// Licence terms that have to be accepted, as plain text.
    pub eulas: Vec<String>,
}

impl Template {
    /// Bytes of all files.
    pub fn upload_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of all disks when they are full.
    pub fn capacity_bytes(&self) -> u64 {
        self.disks.iter().map(|d| d.capacity_bytes).fold(0, u64::saturating_add)
    }
}

/// A file of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TemplateFile {
    pub id: String,
    /// Its name beside the descriptor.
    pub name: String,
    pub bytes: u64,
}

/// A disk of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TemplateDisk {
    pub id: String,
    /// Id of the file with its content; none = it is empty at first.
    pub file: Option<String>,
    pub capacity_bytes: u64,
}

/// A network that a template's cards are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TemplateNetwork {
    pub name: String,
    pub description: String,
}

/// A value that the machine reads when it starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct TemplateProperty {
    /// With its class and instance: `class.key.instance`.
    pub key: String,
    pub label: String,
    pub description: String,
    /// CIM type: `string`, `boolean`, `uint16`…
    pub kind: String,
    pub value: String,
    /// It is a secret.
    pub password: bool,
    /// A person may change it.
    pub user_configurable: bool,
    /// Fewest and most characters, as far as the descriptor says it.
    pub min_length: Option<u32>,
    pub max_length: Option<u32>,
    /// Values to choose from; empty = any.
    pub values: Vec<String>,
}

/// One of the sizes in which a template can be deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct DeploymentOption {
    pub id: String,
    pub label: String,
    pub description: String,
    pub default: bool,
}

/// How a disk's space is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum Provisioning {
    /// As it is written.
    #[default]
    Thin,
    /// At once, zeroed when it is written first.
    Thick,
    /// At once, zeroed at once.
    EagerZeroedThick,
}

impl Provisioning {
    /// The value of vSphere's `OvfCreateImportSpecParamsDiskProvisioningType`.
    pub fn vim(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::Thick => "thick",
            Self::EagerZeroedThick => "eagerZeroedThick",
        }
    }
}

/// Where a template goes and what it is told. References are those of one vCenter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Placement {
    /// The machine's name.
    pub name: String,
    /// The cluster or stand-alone host, `domain-c8`.
    pub compute: String,
    /// A host in it; none = vCenter chooses.
    pub host: Option<String>,
    pub datastore: String,
    pub folder: String,
    /// By the template's network: the network or port group.
    pub networks: BTreeMap<String, String>,
    /// By the property's key; secrets come apart.
    pub properties: BTreeMap<String, String>,
    pub option: Option<String>,
    pub provisioning: Provisioning,
    /// The person has read and accepted all licence terms.
    pub eulas_accepted: bool,
}

/// What can be chosen for a [`Placement`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct DeploymentPlaces {
    pub computes: Vec<ComputePlace>,
    pub folders: Vec<FolderPlace>,
}

/// A cluster or a stand-alone host, with what its hosts can reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct ComputePlace {
    pub moref: String,
    pub name: String,
    pub cluster: bool,
    pub datacenter: String,
    /// Its root resource pool.
    pub pool: String,
    /// Those that are connected and not in maintenance.
    pub hosts: Vec<NamedPlace>,
    pub datastores: Vec<crate::inventory::Datastore>,
    pub networks: Vec<crate::inventory::Network>,
}

/// Something by its reference and name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct NamedPlace {
    pub moref: String,
    pub name: String,
}

/// A folder for machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct FolderPlace {
    pub moref: String,
    /// Below the datacenter, `Discovered/Appliances`; empty for the datacenter's own.
    pub path: String,
    pub datacenter: String,
}

/// The appliance that Rehost deploys or has deployed from a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Deployment {
    /// The machine's name.
    pub vm: String,
    /// By which the machine is recognised in vCenter: the value of [`MARKER`] in its settings.
    pub marker: String,
    /// Name of the template's file.
    pub file: String,
    pub product: String,
    pub version: String,
    pub begun: Timestamp,
    pub stage: DeploymentStage,
    /// vCenter's lease for the upload, once there is one.
    pub lease: Option<String>,
    /// The machine's reference, once it is known.
    pub moref: Option<String>,
}

/// The key in a machine's `extraConfig` that holds [`Deployment::marker`].
pub const MARKER: &str = "rehost.import";

/// How far a deployment has come. Each is written before the request that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum DeploymentStage {
    /// vCenter is asked to make the machine.
    Asked,
    /// The files are being sent.
    Sending,
    /// vCenter has all files.
    Sent,
    /// The machine is whole.
    Imported,
    /// It was powered on.
    Running,
}

impl DeploymentStage {
    /// Whether vCenter may hold less than a whole machine.
    pub fn is_unfinished(self) -> bool {
        self < Self::Imported
    }
}
