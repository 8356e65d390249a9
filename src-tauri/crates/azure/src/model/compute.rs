//! Virtual machines, what runs in them, and the sizes that a region offers.

use super::{Flag, Number, Reference, Resource, Usage, When, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;
use secrets::Secret;
use serde::{Deserialize, Serialize};

pub type Machine = Resource<MachineProperties>;
/// A managed run command.
pub type RunCommand = Resource<RunCommandProperties>;

model! {
    pub struct MachineProperties {
        pub provisioning_state: Option<String>,
        pub vm_id: Option<String>,
        pub hardware_profile: HardwareProfile,
        pub network_profile: NetworkProfile,
        pub storage_profile: StorageProfile,
        pub license_type: Option<String>,
        pub time_created: When,
        /// With `?$expand=instanceView` only.
        pub instance_view: Option<InstanceView>,
    }

    pub struct HardwareProfile {
        pub vm_size: Option<String>,
    }

    pub struct NetworkProfile {
        pub network_interfaces: Vec<Reference>,
    }

    pub struct StorageProfile {
        pub os_disk: Option<OsDisk>,
        pub data_disks: Vec<DataDisk>,
    }

    pub struct OsDisk {
        pub name: Option<String>,
        pub os_type: Option<String>,
        #[serde(rename = "diskSizeGB")]
        pub disk_size_gb: Option<Number>,
        pub managed_disk: Option<Reference>,
    }

    pub struct DataDisk {
        pub name: Option<String>,
        pub lun: Option<Number>,
        #[serde(rename = "diskSizeGB")]
        pub disk_size_gb: Option<Number>,
        pub managed_disk: Option<Reference>,
    }

    pub struct InstanceView {
        pub computer_name: Option<String>,
        pub os_name: Option<String>,
        pub os_version: Option<String>,
        pub vm_agent: Option<Agent>,
        pub boot_diagnostics: Option<BootDiagnostics>,
        pub statuses: Vec<Status>,
    }

    /// The Azure VM agent inside the machine.
    pub struct Agent {
        pub vm_agent_version: Option<String>,
        pub statuses: Vec<Status>,
    }

    pub struct BootDiagnostics {
        pub status: Option<Status>,
    }

    /// One word about a machine or a command: `PowerState/running`, `ComponentStatus/StdOut/succeeded`.
    pub struct Status {
        pub code: Option<String>,
        pub level: Option<String>,
        pub display_status: Option<String>,
        pub message: Option<String>,
        pub time: When,
    }

    /// What the action form of run command answers.
    pub struct RunCommandResult {
        pub value: Vec<Status>,
    }

    pub struct RunCommandProperties {
        pub provisioning_state: Option<String>,
        pub async_execution: Option<Flag>,
        pub timeout_in_seconds: Option<Number>,
        pub treat_failure_as_deployment_failure: Option<Flag>,
        /// With `?$expand=instanceView` only.
        pub instance_view: Option<RunCommandView>,
    }

    pub struct RunCommandView {
        pub execution_state: Option<ExecutionState>,
        pub execution_message: Option<String>,
        pub exit_code: Option<Number>,
        /// The last 4,096 bytes.
        pub output: Option<String>,
        pub error: Option<String>,
        pub start_time: When,
        pub end_time: When,
    }

    /// A size, disk type or other thing that a region offers.
    pub struct ResourceSku {
        pub resource_type: Option<String>,
        pub name: Option<String>,
        pub tier: Option<String>,
        pub size: Option<String>,
        pub family: Option<String>,
        pub locations: Vec<String>,
        pub location_info: Vec<SkuLocation>,
        pub capabilities: Vec<SkuCapability>,
        pub restrictions: Vec<SkuRestriction>,
    }

    pub struct SkuLocation {
        pub location: Option<String>,
        pub zones: Vec<String>,
    }

    pub struct SkuCapability {
        pub name: String,
        pub value: Option<String>,
    }

    /// Why a subscription can't have it.
    pub struct SkuRestriction {
        #[serde(rename = "type")]
        pub kind: Option<String>,
        pub values: Vec<String>,
        pub reason_code: Option<String>,
        pub restriction_info: Option<SkuRestrictionInfo>,
    }

    pub struct SkuRestrictionInfo {
        pub locations: Vec<String>,
        pub zones: Vec<String>,
    }
}

/// Where the picture of a machine's screen and its serial log can be read; the addresses carry a signature.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BootDiagnosticsData {
    #[serde(skip_serializing)]
    pub console_screenshot_blob_uri: Option<Secret<String>>,
    #[serde(skip_serializing)]
    pub serial_console_log_blob_uri: Option<Secret<String>>,
}

words! {
    pub enum ExecutionState {
        Unknown,
        Pending,
        Running,
        Failed,
        Succeeded,
        TimedOut,
        Canceled,
    }
}

impl InstanceView {
    /// What follows `PowerState/`: `running`, `deallocated` …
    pub fn power(&self) -> Option<&str> {
        let codes = self.statuses.iter().filter_map(|s| s.code.as_deref());
        codes.filter_map(|c| c.strip_prefix("PowerState/")).next_back()
    }
}

impl ResourceSku {
    /// A capability by name, such as `vCPUs` or `MemoryGB`.
    pub fn capability(&self, name: &str) -> Option<&str> {
        let found = self.capabilities.iter().find(|c| c.name.eq_ignore_ascii_case(name))?;
        found.value.as_deref()
    }
}

fn in_subscription(arm: &Arm, what: &str) -> ResourceId {
    let subscription = &arm.connection().subscription_id;
    ResourceId::new(format!(
        "/subscriptions/{subscription}/providers/Microsoft.Compute/{what}"
    ))
}

/// Reads a machine with what runs in it; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn machine(arm: &Arm, id: &ResourceId) -> Result<Option<Machine>, AzureError> {
    arm.read_opt(&ResourceId::new(format!("{id}?$expand=instanceView")))
        .await
}

/// Reads a managed run command with its result; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn run_command(arm: &Arm, id: &ResourceId) -> Result<Option<RunCommand>, AzureError> {
    arm.read_opt(&ResourceId::new(format!("{id}?$expand=instanceView")))
        .await
}

/// Asks for addresses of a machine's screenshot and serial log, valid for an hour.
///
/// # Errors
/// Fails as all requests do.
pub async fn boot_diagnostics(arm: &Arm, machine: &ResourceId) -> Result<BootDiagnosticsData, AzureError> {
    let id = ResourceId::new(format!("{machine}?sasUriExpirationTimeInMinutes=60"));
    arm.ask(&id, "retrieveBootDiagnosticsData", None).await
}

/// Reads what a region offers.
///
/// # Errors
/// Fails as all requests do.
pub async fn skus(arm: &Arm, location: &str) -> Result<Vec<ResourceSku>, AzureError> {
    arm.read_all(&in_subscription(arm, &format!("skus?$filter=location eq '{location}'")))
        .await
}

/// Reads how much of a region's quota of cores is used.
///
/// # Errors
/// Fails as all requests do.
pub async fn usages(arm: &Arm, location: &str) -> Result<Vec<Usage>, AzureError> {
    arm.read_all(&in_subscription(arm, &format!("locations/{location}/usages")))
        .await
}
