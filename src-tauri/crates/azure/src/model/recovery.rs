//! Recovery Services: the vault, and in it Site Recovery with fabrics, appliances, replicated machines (`InMageRcm`) and
//! migrating ones (`VMwareCbt`), policies, recovery plans, jobs and events.
//!
//! Site Recovery has many kinds of source; `providerSpecificDetails.instanceType` says which one a part is of. The parts
//! of the two kinds that Rehost starts are read whole; of all others the kind's name, which is enough to recognise them.

use super::{Flag, Named, Number, Resource, Usage, When, model, parts, words};
use crate::{Arm, AzureError, Operation};
use plan::ResourceId;
use std::collections::BTreeMap;

pub type Vault = Resource<VaultProperties>;
pub type Fabric = Resource<FabricProperties>;
pub type Container = Resource<ContainerProperties>;
pub type Mapping = Resource<MappingProperties>;
pub type Policy = Resource<PolicyProperties>;
pub type Provider = Resource<ProviderProperties>;
/// What the appliances of a vault are.
pub type Appliances = Resource<AppliancesProperties>;
/// A machine that is replicated (`InMageRcm`).
pub type ProtectedItem = Resource<ProtectedItemProperties>;
/// A machine that is migrated (`VMwareCbt`).
pub type MigrationItem = Resource<MigrationItemProperties>;
pub type RecoveryPoint = Resource<RecoveryPointProperties>;
pub type RecoveryPlan = Resource<RecoveryPlanProperties>;
pub type Job = Resource<JobProperties>;
pub type Event = Resource<EventProperties>;
pub type VCenter = Resource<VCenterProperties>;
pub type VaultHealth = Resource<VaultHealthProperties>;

model! {
    pub struct VaultProperties {
        pub provisioning_state: Option<String>,
        pub public_network_access: Option<String>,
        pub move_state: Option<String>,
    }

    pub struct FabricProperties {
        pub friendly_name: Option<String>,
        pub bcdr_state: Option<String>,
        pub health: Option<String>,
        pub health_error_details: Vec<HealthError>,
        pub custom_details: FabricDetails,
    }

    /// The parts that `VMwareV2` (agentless) and `InMageRcm` fabrics have in common.
    pub struct FabricDetails {
        pub instance_type: Option<String>,
        pub vmware_site_id: Option<ResourceId>,
        pub physical_site_id: Option<ResourceId>,
        pub migration_solution_id: Option<ResourceId>,
        pub service_resource_id: Option<String>,
        pub service_container_id: Option<String>,
        pub process_servers: Vec<ProcessServer>,
    }

    /// Receives the changes of replicated machines and sends them to Azure.
    pub struct ProcessServer {
        pub id: Option<String>,
        pub name: Option<String>,
        pub bios_id: Option<String>,
        pub fabric_object_id: Option<String>,
        pub fqdn: Option<String>,
        pub ip_addresses: Vec<String>,
        pub version: Option<String>,
        pub last_heartbeat_utc: When,
        pub health: Option<String>,
        pub health_errors: Vec<HealthError>,
        pub protected_item_count: Option<Number>,
        pub available_space_in_bytes: Option<Number>,
        pub total_space_in_bytes: Option<Number>,
        pub memory_usage_percentage: Option<Number>,
        pub processor_usage_percentage: Option<Number>,
        pub throughput_in_bytes: Option<Number>,
    }

    pub struct ContainerProperties {
        pub friendly_name: Option<String>,
        pub fabric_friendly_name: Option<String>,
        pub fabric_type: Option<String>,
        pub protected_item_count: Option<Number>,
        pub pairing_status: Option<String>,
        pub role: Option<String>,
    }

    pub struct MappingProperties {
        pub target_protection_container_id: Option<String>,
        pub policy_id: Option<ResourceId>,
        pub policy_friendly_name: Option<String>,
        pub state: Option<String>,
        pub health: Option<String>,
        pub health_error_details: Vec<HealthError>,
        pub provider_specific_details: MappingDetails,
    }

    pub struct MappingDetails {
        pub instance_type: Option<String>,
        pub storage_account_id: Option<ResourceId>,
        pub target_location: Option<String>,
    }

    pub struct PolicyProperties {
        pub friendly_name: Option<String>,
        pub provider_specific_details: PolicyDetails,
    }

    /// The parts that `VMwareCbt` and `InMageRcm` policies have in common.
    pub struct PolicyDetails {
        pub instance_type: Option<String>,
        pub recovery_point_history_in_minutes: Option<Number>,
        pub app_consistent_frequency_in_minutes: Option<Number>,
        pub crash_consistent_frequency_in_minutes: Option<Number>,
        pub enable_multi_vm_sync: Option<Flag>,
    }

    pub struct ProviderProperties {
        pub friendly_name: Option<String>,
        pub fabric_type: Option<String>,
        pub connection_status: Option<String>,
        pub provider_version: Option<String>,
        pub provider_version_state: Option<String>,
        pub last_heart_beat: When,
        pub machine_name: Option<String>,
        pub dra_identifier: Option<String>,
        pub protected_item_count: Option<Number>,
        pub allowed_scenarios: Vec<String>,
        pub health_error_details: Vec<HealthError>,
        /// As whom the appliance writes into the cache account.
        pub resource_access_identity_details: Option<ApplianceIdentity>,
        pub authentication_identity_details: Option<ApplianceIdentity>,
    }

    pub struct ApplianceIdentity {
        pub object_id: Option<String>,
        pub application_id: Option<String>,
        pub tenant_id: Option<String>,
    }

    pub struct AppliancesProperties {
        pub provider_specific_details: AppliancesDetails,
    }

    pub struct AppliancesDetails {
        pub instance_type: Option<String>,
        pub appliances: Vec<ReplicationAppliance>,
    }

    pub struct ReplicationAppliance {
        pub id: Option<String>,
        pub name: Option<String>,
        pub fabric_arm_id: Option<ResourceId>,
        pub process_server: Option<ProcessServer>,
    }

    pub struct ProtectedItemProperties {
        pub friendly_name: Option<String>,
        /// `Protected`, `UnplannedFailoverCommitPendingStates` …
        pub protection_state: Option<String>,
        pub protection_state_description: Option<String>,
        pub active_location: Option<String>,
        pub test_failover_state: Option<String>,
        pub test_failover_state_description: Option<String>,
        /// What may be asked for now; buttons follow this.
        pub allowed_operations: Vec<String>,
        pub replication_health: Option<String>,
        pub failover_health: Option<String>,
        pub health_errors: Vec<HealthError>,
        pub policy_id: Option<ResourceId>,
        pub policy_friendly_name: Option<String>,
        pub last_successful_failover_time: When,
        pub last_successful_test_failover_time: When,
        pub current_scenario: Option<Scenario>,
        pub failover_recovery_point_id: Option<String>,
        pub provider_specific_details: Protection,
    }

    pub struct Scenario {
        pub scenario_name: Named,
        pub job_id: Named,
        pub start_time: When,
    }

    /// The part of a machine that is replicated by an appliance with the Mobility service.
    pub struct InMageRcm {
        pub fabric_discovery_machine_id: Option<ResourceId>,
        pub internal_identifier: Option<String>,
        pub process_server_id: Option<String>,
        pub process_server_name: Option<String>,
        pub run_as_account_id: Option<ResourceId>,
        pub os_type: Option<String>,
        pub os_name: Option<String>,
        pub firmware_type: Option<String>,
        pub license_type: Option<String>,
        pub target_vm_name: Option<String>,
        pub target_vm_size: Option<String>,
        pub target_resource_group_id: Option<ResourceId>,
        pub target_network_id: Option<ResourceId>,
        pub test_network_id: Option<ResourceId>,
        pub last_recovery_point_received: When,
        pub last_recovery_point_id: Option<String>,
        pub last_rpo_in_seconds: Option<Number>,
        pub last_rpo_calculated_time: When,
        pub initial_replication_progress_percentage: Option<Number>,
        pub initial_replication_progress_health: Option<String>,
        pub initial_replication_processed_bytes: Option<Number>,
        pub initial_replication_transferred_bytes: Option<Number>,
        pub resync_progress_percentage: Option<Number>,
        pub resync_required: Option<Flag>,
        pub resync_state: Option<String>,
        pub protected_disks: Vec<InMageRcmDisk>,
        pub vm_nics: Vec<Nic>,
    }

    pub struct InMageRcmDisk {
        pub disk_id: Option<String>,
        pub disk_name: Option<String>,
        #[serde(rename = "isOSDisk")]
        pub is_os_disk: Option<Flag>,
        pub capacity_in_bytes: Option<Number>,
        pub disk_state: Option<String>,
        pub disk_type: Option<String>,
        pub log_storage_account_id: Option<ResourceId>,
        pub seed_managed_disk_id: Option<ResourceId>,
        #[serde(rename = "dataPendingInLogDataStoreInMB")]
        pub data_pending_in_log_data_store_in_mb: Option<Number>,
        #[serde(rename = "dataPendingAtSourceAgentInMB")]
        pub data_pending_at_source_agent_in_mb: Option<Number>,
        pub is_initial_replication_complete: Option<Flag>,
        pub ir_details: Option<Sync>,
    }

    /// How a first or repeated copy goes.
    pub struct Sync {
        pub progress_health: Option<String>,
        pub transferred_bytes: Option<Number>,
        pub processed_bytes: Option<Number>,
        pub progress_percentage: Option<Number>,
    }

    pub struct Nic {
        pub nic_id: Option<String>,
        pub is_primary_nic: Option<Flag>,
        #[serde(rename = "sourceIPAddress")]
        pub source_ip_address: Option<String>,
        #[serde(rename = "targetIPAddress")]
        pub target_ip_address: Option<String>,
        pub target_subnet_name: Option<String>,
        pub test_subnet_name: Option<String>,
        /// `VMwareCbt` only.
        pub is_selected_for_migration: Option<Flag>,
        /// `InMageRcm` only.
        pub is_selected_for_failover: Option<Flag>,
    }

    pub struct MigrationItemProperties {
        pub machine_name: Option<String>,
        pub policy_id: Option<ResourceId>,
        pub policy_friendly_name: Option<String>,
        pub migration_state: Option<MigrationState>,
        pub migration_state_description: Option<String>,
        pub last_migration_time: When,
        pub last_migration_status: Option<String>,
        pub test_migrate_state: Option<TestMigrateState>,
        pub test_migrate_state_description: Option<String>,
        pub last_test_migration_time: When,
        pub last_test_migration_status: Option<String>,
        pub health: Option<String>,
        pub health_errors: Vec<HealthError>,
        /// What may be asked for now; buttons follow this.
        pub allowed_operations: Vec<String>,
        pub current_job: Option<CurrentJob>,
        pub replication_status: Option<String>,
        pub provider_specific_details: Migration,
    }

    pub struct CurrentJob {
        pub job_name: Named,
        pub job_id: Named,
        pub start_time: When,
    }

    /// The part of a machine that is migrated without an agent.
    pub struct VMwareCbt {
        pub vmware_machine_id: Option<ResourceId>,
        pub os_type: Option<String>,
        pub os_name: Option<String>,
        pub firmware_type: Option<String>,
        pub license_type: Option<String>,
        pub data_mover_run_as_account_id: Option<ResourceId>,
        pub snapshot_run_as_account_id: Option<ResourceId>,
        pub storage_account_id: Option<ResourceId>,
        pub target_vm_name: Option<String>,
        pub target_vm_size: Option<String>,
        pub target_location: Option<String>,
        pub target_resource_group_id: Option<ResourceId>,
        pub target_network_id: Option<ResourceId>,
        pub test_network_id: Option<ResourceId>,
        pub migration_recovery_point_id: Option<String>,
        pub last_recovery_point_received: When,
        pub last_recovery_point_id: Option<String>,
        pub initial_seeding_progress_percentage: Option<Number>,
        pub delta_sync_progress_percentage: Option<Number>,
        pub migration_progress_percentage: Option<Number>,
        pub resync_progress_percentage: Option<Number>,
        pub resume_progress_percentage: Option<Number>,
        pub initial_seeding_retry_count: Option<Number>,
        pub delta_sync_retry_count: Option<Number>,
        pub resync_required: Option<Flag>,
        pub resync_state: Option<String>,
        pub perform_auto_resync: Option<Flag>,
        pub protected_disks: Vec<VMwareCbtDisk>,
        pub vm_nics: Vec<Nic>,
        pub gateway_operation_details: Option<GatewayOperation>,
        pub appliance_monitoring_details: Option<ApplianceMonitoring>,
        pub operation_name: Option<String>,
    }

    pub struct VMwareCbtDisk {
        pub disk_id: Option<String>,
        pub disk_name: Option<String>,
        pub disk_path: Option<String>,
        pub disk_type: Option<String>,
        #[serde(rename = "isOSDisk")]
        pub is_os_disk: Option<Flag>,
        pub capacity_in_bytes: Option<Number>,
        pub log_storage_account_id: Option<ResourceId>,
        pub seed_managed_disk_id: Option<ResourceId>,
        pub target_managed_disk_id: Option<ResourceId>,
        pub target_disk_name: Option<String>,
        pub gateway_operation_details: Option<GatewayOperation>,
    }

    /// What the appliance's gateway does for a machine or a disk.
    pub struct GatewayOperation {
        pub state: Option<String>,
        pub progress_percentage: Option<Number>,
        /// Seconds.
        pub time_elapsed: Option<Number>,
        /// Seconds, by Azure's own estimate.
        pub time_remaining: Option<Number>,
        /// Bytes a second.
        pub upload_speed: Option<Number>,
        pub host_name: Option<String>,
        pub data_stores: Vec<String>,
        pub vmware_read_throughput: Option<Number>,
    }

    pub struct ApplianceMonitoring {
        pub cpu_details: Option<ApplianceResource>,
        pub ram_details: Option<ApplianceResource>,
        pub disks_replication_details: Option<ApplianceResource>,
        pub esxi_nfc_buffer: Option<ApplianceResource>,
        pub network_bandwidth: Option<ApplianceResource>,
        pub datastore_snapshot: Vec<DatastoreSnapshots>,
    }

    pub struct ApplianceResource {
        pub capacity: Option<Number>,
        pub process_utilization: Option<Number>,
        pub total_utilization: Option<Number>,
        pub status: Option<String>,
    }

    pub struct DatastoreSnapshots {
        pub data_store_name: Option<String>,
        pub total_snapshots_supported: Option<Number>,
        pub total_snapshots_created: Option<Number>,
    }

    pub struct RecoveryPointProperties {
        pub recovery_point_time: When,
        pub recovery_point_type: Option<String>,
    }

    pub struct RecoveryPlanProperties {
        pub friendly_name: Option<String>,
        pub primary_fabric_id: Option<String>,
        pub recovery_fabric_id: Option<String>,
        pub failover_deployment_model: Option<String>,
        pub replication_providers: Vec<String>,
        pub allowed_operations: Vec<String>,
        pub current_scenario: Option<Scenario>,
        pub current_scenario_status: Option<String>,
        pub current_scenario_status_description: Option<String>,
        pub last_test_failover_time: When,
        pub last_unplanned_failover_time: When,
        pub groups: Vec<RecoveryPlanGroup>,
    }

    pub struct RecoveryPlanGroup {
        /// `Shutdown`, `Boot`, `Failover`.
        pub group_type: Option<String>,
        pub replication_protected_items: Vec<RecoveryPlanItem>,
    }

    pub struct RecoveryPlanItem {
        pub id: Option<ResourceId>,
        pub virtual_machine_id: Option<String>,
    }

    pub struct JobProperties {
        pub activity_id: Option<String>,
        pub scenario_name: Option<String>,
        pub friendly_name: Option<String>,
        pub state: Option<JobState>,
        pub state_description: Option<String>,
        pub tasks: Vec<JobTask>,
        pub errors: Vec<JobError>,
        pub start_time: When,
        pub end_time: When,
        /// `Cancel`, `Restart`, `Resume`, as far as allowed now.
        pub allowed_actions: Vec<String>,
        pub target_object_id: Option<String>,
        pub target_object_name: Option<String>,
        pub target_instance_type: Option<String>,
    }

    pub struct JobTask {
        pub task_id: Option<String>,
        pub name: Option<String>,
        pub friendly_name: Option<String>,
        pub state: Option<String>,
        pub state_description: Option<String>,
        pub task_type: Option<String>,
        pub start_time: When,
        pub end_time: When,
        pub allowed_actions: Vec<String>,
        pub errors: Vec<JobError>,
    }

    pub struct JobError {
        pub service_error_details: Option<ServiceError>,
        pub provider_error_details: Option<ProviderError>,
        pub error_level: Option<String>,
        pub creation_time: When,
        pub task_id: Option<String>,
    }

    /// An error of the service in Azure.
    pub struct ServiceError {
        pub code: Option<String>,
        pub message: Option<String>,
        pub possible_causes: Option<String>,
        pub recommended_action: Option<String>,
        pub activity_id: Option<String>,
    }

    /// An error of the appliance.
    pub struct ProviderError {
        pub error_code: Option<Number>,
        pub error_message: Option<String>,
        pub error_id: Option<String>,
        pub possible_causes: Option<String>,
        pub recommended_action: Option<String>,
    }

    pub struct EventProperties {
        pub event_code: Option<String>,
        pub description: Option<String>,
        pub event_type: Option<String>,
        pub severity: Option<String>,
        pub affected_object_friendly_name: Option<String>,
        pub time_of_occurrence: When,
        pub fabric_id: Option<ResourceId>,
        pub health_errors: Vec<HealthError>,
    }

    pub struct HealthError {
        pub error_code: Option<String>,
        pub error_id: Option<String>,
        pub error_level: Option<String>,
        pub error_type: Option<String>,
        pub error_category: Option<String>,
        pub error_source: Option<String>,
        pub summary_message: Option<String>,
        pub error_message: Option<String>,
        pub possible_causes: Option<String>,
        pub recommended_action: Option<String>,
        pub creation_time_utc: When,
        pub entity_id: Option<String>,
        pub inner_health_errors: Vec<HealthError>,
    }

    pub struct VCenterProperties {
        pub friendly_name: Option<String>,
        pub discovery_status: Option<String>,
        pub ip_address: Option<String>,
        pub port: Option<String>,
        pub last_heartbeat: When,
        pub run_as_account_id: Option<String>,
        pub process_server_id: Option<String>,
        pub health_errors: Vec<HealthError>,
    }

    pub struct VaultHealthProperties {
        pub vault_errors: Vec<HealthError>,
        pub protected_items_health: Option<HealthSummary>,
        pub fabrics_health: Option<HealthSummary>,
        pub containers_health: Option<HealthSummary>,
    }

    pub struct HealthSummary {
        pub resource_count: Option<Number>,
        pub categorized_resource_counts: BTreeMap<String, Number>,
    }

    /// How much a vault holds.
    pub struct ReplicationUsage {
        pub protected_item_count: Option<Number>,
        pub recovery_plan_count: Option<Number>,
        pub registered_servers_count: Option<Number>,
        pub jobs_summary: Option<JobsSummary>,
    }

    pub struct JobsSummary {
        pub failed_jobs: Option<Number>,
        pub suspended_jobs: Option<Number>,
        pub in_progress_jobs: Option<Number>,
    }
}

words! {
    pub enum JobState {
        NotStarted,
        InProgress,
        Succeeded,
        Failed,
        Cancelled,
        Suspended,
    }

    /// As in Microsoft's OpenAPI file of 2024-04-01.
    pub enum MigrationState {
        None,
        EnableMigrationInProgress,
        EnableMigrationFailed,
        DisableMigrationInProgress,
        DisableMigrationFailed,
        InitialSeedingInProgress,
        InitialSeedingFailed,
        Replicating,
        MigrationInProgress,
        MigrationSucceeded,
        MigrationFailed,
        ResumeInProgress,
        ResumeInitiated,
        SuspendingProtection,
        ProtectionSuspended,
        MigrationCompletedWithInformation,
        MigrationPartiallySucceeded,
    }

    pub enum TestMigrateState {
        None,
        TestMigrationInProgress,
        TestMigrationSucceeded,
        TestMigrationFailed,
        TestMigrationCleanupInProgress,
        TestMigrationCompletedWithInformation,
        TestMigrationPartiallySucceeded,
    }
}

fn allowed(operations: &[String], operation: &str) -> bool {
    operations.iter().any(|o| o.eq_ignore_ascii_case(operation))
}

parts! {
    /// How a machine is replicated.
    pub enum Protection { InMageRcm }

    /// How a machine is migrated.
    pub enum Migration { VMwareCbt }
}

impl ProtectedItemProperties {
    /// Tells whether Azure accepts an operation now, such as `TestFailover`.
    pub fn allows(&self, operation: &str) -> bool {
        allowed(&self.allowed_operations, operation)
    }
}

impl MigrationItemProperties {
    /// Tells whether Azure accepts an operation now, such as `TestMigrate`.
    pub fn allows(&self, operation: &str) -> bool {
        allowed(&self.allowed_operations, operation)
    }
}

/// Why a job or a task failed, in Azure's words; from the service, or else from the appliance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    pub code: String,
    pub message: String,
    pub possible_causes: String,
    pub recommended_action: String,
    /// The id to quote to Microsoft's support.
    pub activity_id: Option<String>,
}

impl JobError {
    /// The error in one shape.
    pub fn cause(&self) -> Cause {
        let service = self.service_error_details.clone().unwrap_or_default();
        let provider = self.provider_error_details.clone().unwrap_or_default();
        let either = |a: Option<String>, b: Option<String>| a.filter(|t| !t.is_empty()).or(b).unwrap_or_default();
        let number = provider.error_code.map(|n| n.0.to_string());
        Cause {
            code: either(service.code, number.or(provider.error_id)),
            message: either(service.message, provider.error_message),
            possible_causes: either(service.possible_causes, provider.possible_causes),
            recommended_action: either(service.recommended_action, provider.recommended_action),
            activity_id: service.activity_id.filter(|t| !t.is_empty()),
        }
    }
}

impl JobProperties {
    /// The first error of the job, or else of its tasks.
    pub fn cause(&self) -> Option<Cause> {
        let of_tasks = self.tasks.iter().flat_map(|t| &t.errors);
        self.errors.iter().chain(of_tasks).next().map(JobError::cause)
    }

    /// Tells whether nothing more will happen by itself; a suspended job waits for a person.
    pub fn is_ended(&self) -> bool {
        use JobState::{Cancelled, Failed, Succeeded, Suspended};
        matches!(self.state, Some(Succeeded | Failed | Cancelled | Suspended))
    }
}

fn list_id(vault: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{vault}/{what}"))
}

/// Reads a vault; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn vault(arm: &Arm, id: &ResourceId) -> Result<Option<Vault>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the fabrics of a vault.
///
/// # Errors
/// Fails as all requests do.
pub async fn fabrics(arm: &Arm, vault: &ResourceId) -> Result<Vec<Fabric>, AzureError> {
    arm.read_all(&list_id(vault, "replicationFabrics")).await
}

/// Reads the containers of a fabric.
///
/// # Errors
/// Fails as all requests do.
pub async fn containers(arm: &Arm, fabric: &ResourceId) -> Result<Vec<Container>, AzureError> {
    arm.read_all(&list_id(fabric, "replicationProtectionContainers")).await
}

/// Reads the appliances of a vault, all together.
///
/// # Errors
/// Fails as all requests do.
pub async fn appliances(arm: &Arm, vault: &ResourceId) -> Result<Vec<ReplicationAppliance>, AzureError> {
    let all: Vec<Appliances> = arm.read_all(&list_id(vault, "replicationAppliances")).await?;
    Ok(all
        .into_iter()
        .flat_map(|a| a.properties.provider_specific_details.appliances)
        .collect())
}

/// Reads the providers of a vault, one for each appliance.
///
/// # Errors
/// Fails as all requests do.
pub async fn providers(arm: &Arm, vault: &ResourceId) -> Result<Vec<Provider>, AzureError> {
    arm.read_all(&list_id(vault, "replicationRecoveryServicesProviders"))
        .await
}

/// Reads all replicated machines of a vault, of any kind.
///
/// # Errors
/// Fails as all requests do.
pub async fn protected_items(arm: &Arm, vault: &ResourceId) -> Result<Vec<ProtectedItem>, AzureError> {
    arm.read_all(&list_id(vault, "replicationProtectedItems")).await
}

/// Reads a replicated machine; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn protected_item(arm: &Arm, id: &ResourceId) -> Result<Option<ProtectedItem>, AzureError> {
    arm.read_opt(id).await
}

/// Reads all migrating machines of a vault.
///
/// # Errors
/// Fails as all requests do.
pub async fn migration_items(arm: &Arm, vault: &ResourceId) -> Result<Vec<MigrationItem>, AzureError> {
    arm.read_all(&list_id(vault, "replicationMigrationItems")).await
}

/// Reads a migrating machine; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn migration_item(arm: &Arm, id: &ResourceId) -> Result<Option<MigrationItem>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the policies of a vault.
///
/// # Errors
/// Fails as all requests do.
pub async fn policies(arm: &Arm, vault: &ResourceId) -> Result<Vec<Policy>, AzureError> {
    arm.read_all(&list_id(vault, "replicationPolicies")).await
}

/// Reads the policy mappings of a container.
///
/// # Errors
/// Fails as all requests do.
pub async fn mappings(arm: &Arm, container: &ResourceId) -> Result<Vec<Mapping>, AzureError> {
    arm.read_all(&list_id(container, "replicationProtectionContainerMappings"))
        .await
}

/// Reads a recovery plan; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn recovery_plan(arm: &Arm, id: &ResourceId) -> Result<Option<RecoveryPlan>, AzureError> {
    arm.read_opt(id).await
}

/// Reads a job by name; none when the vault does not know it (any more).
///
/// # Errors
/// Fails as all requests do.
pub async fn job(arm: &Arm, vault: &ResourceId, name: &str) -> Result<Option<Job>, AzureError> {
    arm.read_opt(&vault.child("replicationJobs", name)).await
}

/// Reads the job that an operation of Site Recovery is: its name is the operation's.
///
/// # Errors
/// Fails as all requests do.
pub async fn job_of(arm: &Arm, vault: &ResourceId, operation: &Operation) -> Result<Option<Job>, AzureError> {
    match operation.name() {
        Some(name) => job(arm, vault, name).await,
        None => Ok(None),
    }
}

/// Reads the events of a vault that a filter names; all with an empty one.
///
/// # Errors
/// Fails as all requests do.
pub async fn events(arm: &Arm, vault: &ResourceId, filter: &str) -> Result<Vec<Event>, AzureError> {
    let what = match filter {
        "" => "replicationEvents".to_owned(),
        filter => format!("replicationEvents?$filter={filter}"),
    };
    arm.read_all(&list_id(vault, &what)).await
}

/// Reads how much of a vault's limits is used.
///
/// # Errors
/// Fails as all requests do.
pub async fn usages(arm: &Arm, vault: &ResourceId) -> Result<Vec<Usage>, AzureError> {
    arm.read_all(&list_id(vault, "usages")).await
}
