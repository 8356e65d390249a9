//! What the Azure Migrate appliance found: sites, vCenters, run-as accounts, machines with disks and network cards.

use super::{Flag, Number, Resource, When, model};
use crate::{Arm, AzureError};
use plan::ResourceId;

pub type Site = Resource<SiteProperties>;
pub type VCenter = Resource<VCenterProperties>;
pub type RunAsAccount = Resource<RunAsAccountProperties>;
pub type Machine = Resource<MachineProperties>;
pub type SiteJob = Resource<SiteJobProperties>;

model! {
    pub struct SiteProperties {
        pub appliance_name: Option<String>,
        pub discovery_solution_id: Option<ResourceId>,
        pub agent_details: Option<SiteAgent>,
        pub service_endpoint: Option<String>,
    }

    /// The appliance's agent.
    pub struct SiteAgent {
        pub id: Option<String>,
        pub version: Option<String>,
        pub last_heart_beat_utc: When,
    }

    pub struct VCenterProperties {
        pub fqdn: Option<String>,
        pub port: Option<String>,
        pub run_as_account_id: Option<ResourceId>,
        pub version: Option<String>,
        pub instance_uuid: Option<String>,
        pub errors: Vec<Problem>,
    }

    pub struct RunAsAccountProperties {
        pub display_name: Option<String>,
        /// `VMwareFabric`, `WindowsGuest` …
        pub credential_type: Option<String>,
    }

    pub struct MachineProperties {
        pub display_name: Option<String>,
        pub vm_fqdn: Option<String>,
        pub instance_uuid: Option<String>,
        pub v_center_id: Option<ResourceId>,
        #[serde(rename = "vCenterFQDN")]
        pub v_center_fqdn: Option<String>,
        pub power_status: Option<String>,
        pub firmware: Option<String>,
        pub is_deleted: Option<Flag>,
        pub number_of_processor_core: Option<Number>,
        #[serde(rename = "allocatedMemoryInMB")]
        pub allocated_memory_in_mb: Option<Number>,
        pub operating_system_details: Option<OperatingSystem>,
        pub v_mware_tools_status: Option<String>,
        /// Whether changed blocks can be, and are, tracked: agentless replication needs both.
        pub change_tracking_supported: Option<Flag>,
        pub change_tracking_enabled: Option<Flag>,
        pub max_snapshots: Option<Number>,
        pub disks: Vec<Disk>,
        pub network_adapters: Vec<NetworkAdapter>,
        pub errors: Vec<Problem>,
    }

    pub struct OperatingSystem {
        pub os_type: Option<String>,
        pub os_name: Option<String>,
        pub os_version: Option<String>,
    }

    pub struct Disk {
        /// What a replication names the disk by.
        pub uuid: Option<String>,
        pub label: Option<String>,
        /// `persistent`, or one of the independent modes, which can't be replicated.
        pub disk_mode: Option<String>,
        pub disk_provisioning_policy: Option<String>,
        pub disk_type: Option<String>,
        pub max_size_in_bytes: Option<Number>,
        pub lun: Option<Number>,
        pub name: Option<String>,
        pub path: Option<String>,
    }

    pub struct NetworkAdapter {
        pub nic_id: Option<String>,
        pub label: Option<String>,
        pub mac_address: Option<String>,
        pub network_name: Option<String>,
        pub ip_address_list: Vec<String>,
        pub ip_address_type: Option<String>,
    }

    /// What the appliance could not do.
    pub struct Problem {
        pub id: Option<Number>,
        pub code: Option<String>,
        pub message: Option<String>,
        pub summary_message: Option<String>,
        pub possible_causes: Option<String>,
        pub recommended_action: Option<String>,
        pub severity: Option<String>,
    }

    pub struct SiteJobProperties {
        pub status: Option<String>,
        pub display_name: Option<String>,
        pub activity_id: Option<String>,
        pub start_time: When,
        pub end_time: When,
        pub errors: Vec<Problem>,
    }
}

fn below(site: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{site}/{what}"))
}

/// Reads a site; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn site(arm: &Arm, id: &ResourceId) -> Result<Option<Site>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the vCenters that the appliance of a site looks at.
///
/// # Errors
/// Fails as all requests do.
pub async fn vcenters(arm: &Arm, site: &ResourceId) -> Result<Vec<VCenter>, AzureError> {
    arm.read_all(&below(site, "vCenters")).await
}

/// Reads the accounts that the appliance of a site signs in with; names only, no passwords.
///
/// # Errors
/// Fails as all requests do.
pub async fn run_as_accounts(arm: &Arm, site: &ResourceId) -> Result<Vec<RunAsAccount>, AzureError> {
    arm.read_all(&below(site, "runAsAccounts")).await
}

/// Reads all machines that the appliance found.
///
/// # Errors
/// Fails as all requests do.
pub async fn machines(arm: &Arm, site: &ResourceId) -> Result<Vec<Machine>, AzureError> {
    arm.read_all(&below(site, "machines")).await
}
