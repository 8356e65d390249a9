//! SQL Managed Instance: the instance, its operations with their steps, databases, restores, what a region offers.

use super::{Flag, Number, Resource, When, model, words};
use crate::{Advice, Arm, AzureError, advice};
use plan::ResourceId;
use serde::Deserialize;

/// A managed instance.
pub type Instance = Resource<InstanceProperties>;
/// A management operation of an instance: create, scale, delete.
pub type InstanceOperation = Resource<InstanceOperationProperties>;
/// A database of an instance.
pub type Database = Resource<DatabaseProperties>;
/// How a restore from a container goes.
pub type Restore = Resource<RestoreProperties>;
/// How much of a region's quota is used.
pub type SqlUsage = Resource<SqlUsageProperties>;
/// What the instances of a subnet share; goes away with the last of them.
pub type VirtualCluster = Resource<VirtualClusterProperties>;

model! {
    pub struct InstanceProperties {
        pub provisioning_state: Option<String>,
        /// What the instance does: `Ready`, `Creating` … While it is being created, a finer state: see
        /// [`crate::advice::state`].
        pub state: Option<String>,
        pub fully_qualified_domain_name: Option<String>,
        pub administrator_login: Option<String>,
        pub subnet_id: Option<ResourceId>,
        pub license_type: Option<String>,
        pub v_cores: Option<u32>,
        /// GB, a multiple of 32.
        #[serde(rename = "storageSizeInGB")]
        pub storage_size_in_gb: Option<u32>,
        pub collation: Option<String>,
        pub dns_zone: Option<String>,
        pub public_data_endpoint_enabled: Option<Flag>,
        pub proxy_override: Option<String>,
        pub timezone_id: Option<String>,
        pub minimal_tls_version: Option<String>,
        pub maintenance_configuration_id: Option<ResourceId>,
        pub zone_redundant: Option<Flag>,
        pub requested_backup_storage_redundancy: Option<String>,
        pub current_backup_storage_redundancy: Option<String>,
        pub administrators: Option<Administrator>,
        pub virtual_cluster_id: Option<ResourceId>,
        pub database_format: Option<String>,
        pub is_general_purpose_v2: Option<Flag>,
    }

    /// The Entra administrator of an instance.
    pub struct Administrator {
        pub administrator_type: Option<String>,
        pub principal_type: Option<String>,
        pub login: Option<String>,
        pub sid: Option<String>,
        pub tenant_id: Option<String>,
        #[serde(rename = "azureADOnlyAuthentication")]
        pub azure_ad_only_authentication: Option<Flag>,
    }

    pub struct InstanceOperationProperties {
        pub managed_instance_name: Option<String>,
        pub operation: Option<String>,
        pub operation_friendly_name: Option<String>,
        pub percent_complete: Option<Number>,
        pub start_time: When,
        pub state: Option<OperationState>,
        pub error_code: Option<Number>,
        pub error_description: Option<String>,
        pub error_severity: Option<Number>,
        pub is_user_error: Option<Flag>,
        pub estimated_completion_time: When,
        pub is_cancellable: Option<Flag>,
        pub operation_steps: Option<Steps>,
    }

    pub struct Steps {
        /// A number, written as a text.
        pub total_steps: Option<Number>,
        /// From 1.
        pub current_step: Option<Number>,
        pub steps_list: Vec<Step>,
    }

    /// One step of an operation, such as "Virtual Cluster resize/creation".
    pub struct Step {
        pub order: Option<Number>,
        pub name: String,
        pub status: Option<StepStatus>,
        pub step_start_time: When,
        pub step_end_time: When,
        /// As `0:10:00.0000000`.
        pub time_elapsed: Option<String>,
    }

    pub struct DatabaseProperties {
        pub status: Option<DatabaseStatus>,
        pub collation: Option<String>,
        pub creation_date: When,
        pub earliest_restore_point: When,
        pub create_mode: Option<String>,
        pub storage_container_uri: Option<String>,
        pub auto_complete_restore: Option<Flag>,
        pub last_backup_name: Option<String>,
    }

    pub struct RestoreProperties {
        /// `Restoring`, `Completed` …
        pub status: Option<String>,
        pub current_restoring_file_name: Option<String>,
        pub last_restored_file_name: Option<String>,
        pub last_restored_file_time: When,
        pub percent_completed: Option<Number>,
        pub unrestorable_files: Vec<UnrestorableFile>,
        pub number_of_files_detected: Option<Number>,
        pub last_uploaded_file_name: Option<String>,
        pub last_uploaded_file_time: When,
        /// Why it does not go on; empty while it does.
        pub block_reason: Option<String>,
        pub number_of_files_found: Option<Number>,
        pub number_of_files_queued: Option<Number>,
        pub number_of_files_restored: Option<Number>,
        pub number_of_files_restoring: Option<Number>,
        pub number_of_files_skipped: Option<Number>,
        pub number_of_files_unrestorable: Option<Number>,
    }

    pub struct SqlUsageProperties {
        pub display_name: Option<String>,
        pub current_value: Option<Number>,
        pub limit: Option<Number>,
        pub unit: Option<String>,
    }

    pub struct VirtualClusterProperties {
        pub subnet_id: Option<ResourceId>,
        pub child_resources: Vec<ResourceId>,
        pub maintenance_configuration_id: Option<ResourceId>,
    }

    /// What a region offers.
    pub struct Capabilities {
        pub name: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
        pub supported_managed_instance_versions: Vec<VersionCapability>,
    }

    pub struct VersionCapability {
        pub name: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
        pub supported_editions: Vec<EditionCapability>,
    }

    pub struct EditionCapability {
        /// `GeneralPurpose`, `BusinessCritical`.
        pub name: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
        pub zone_redundant: Option<Flag>,
        pub supported_families: Vec<FamilyCapability>,
        pub supported_storage_capabilities: Vec<StorageCapability>,
    }

    pub struct FamilyCapability {
        pub name: Option<String>,
        /// As in the request: `GP_Gen5`.
        pub sku: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
        pub supported_license_types: Vec<NamedCapability>,
        pub supported_vcores_values: Vec<VcoresCapability>,
    }

    pub struct VcoresCapability {
        pub name: Option<String>,
        pub value: Option<u32>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
        pub included_max_size: Option<Size>,
        pub supported_storage_sizes: Vec<SizeRange>,
        pub standalone_supported: Option<Flag>,
        pub supported_maintenance_configurations: Vec<NamedCapability>,
    }

    pub struct NamedCapability {
        pub name: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
    }

    pub struct StorageCapability {
        pub storage_account_type: Option<String>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
    }

    pub struct SizeRange {
        pub min_value: Option<Size>,
        pub max_value: Option<Size>,
        pub scale_size: Option<Size>,
        pub status: Option<Offer>,
        pub reason: Option<String>,
    }

    pub struct Size {
        pub limit: Option<Number>,
        /// `Gigabytes` …
        pub unit: Option<String>,
    }
}

/// A file that can't be restored: a name alone until 2021, later with the reason.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct UnrestorableFile {
    pub name: String,
}

impl<'de> Deserialize<'de> for UnrestorableFile {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Name(String),
            Whole { name: String },
        }
        let (Spelling::Name(name) | Spelling::Whole { name }) = Spelling::deserialize(d)?;
        Ok(Self { name })
    }
}

words! {
    pub enum OperationState {
        Pending,
        InProgress,
        Succeeded,
        Failed,
        CancelInProgress,
        Cancelled,
    }

    pub enum StepStatus {
        NotStarted,
        InProgress,
        SlowedDown,
        Completed,
        Failed,
        Canceled,
    }

    pub enum DatabaseStatus {
        Online,
        Offline,
        Shutdown,
        Creating,
        Inaccessible,
        Restoring,
        Updating,
    }

    /// Whether something is offered.
    pub enum Offer {
        Visible,
        Available,
        Default,
        Disabled,
    }
}

impl InstanceOperationProperties {
    /// The step at work: its number from 1, how many there are, and the step.
    pub fn at_work(&self) -> Option<(usize, usize, &Step)> {
        let steps = &self.operation_steps.as_ref()?.steps_list;
        let at = steps
            .iter()
            .position(|s| matches!(s.status, Some(StepStatus::InProgress | StepStatus::SlowedDown)))?;
        Some((at + 1, steps.len(), &steps[at]))
    }
}

impl RestoreProperties {
    /// What keeps the restore from going on, in words; none while all is well.
    pub fn problem(&self) -> Option<Advice> {
        let reason = self.block_reason.as_deref().map(str::trim).filter(|r| !r.is_empty())?;
        // A code, or a sentence that begins with one.
        let code = reason.split([' ', ':', '.']).next().unwrap_or_default();
        Some(advice::known(code, reason).unwrap_or_else(|| Advice {
            title: "The restore does not go on".into(),
            detail: format!("Azure says: {reason}"),
            hint: "The database administrator corrects what Azure's message names, in the container or on the source; the restore then goes on by itself.".into(),
        }))
    }
}

fn region(arm: &Arm, location: &str, what: &str) -> String {
    format!(
        "/subscriptions/{}/providers/Microsoft.Sql/locations/{location}/{what}",
        arm.connection().subscription_id
    )
}

/// Reads an instance; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn instance(arm: &Arm, id: &ResourceId) -> Result<Option<Instance>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the operations of an instance, running and past, with their steps.
///
/// # Errors
/// Fails as all requests do.
pub async fn operations(arm: &Arm, instance: &ResourceId) -> Result<Vec<InstanceOperation>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{instance}/operations"))).await
}

/// Reads the databases of an instance.
///
/// # Errors
/// Fails as all requests do.
pub async fn databases(arm: &Arm, instance: &ResourceId) -> Result<Vec<Database>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{instance}/databases"))).await
}

/// Reads a database; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn database(arm: &Arm, id: &ResourceId) -> Result<Option<Database>, AzureError> {
    arm.read_opt(id).await
}

/// Reads how the restore of a database from a container goes.
///
/// # Errors
/// Fails as all requests do.
pub async fn restore(arm: &Arm, database: &ResourceId) -> Result<Option<Restore>, AzureError> {
    arm.read_opt(&database.child("restoreDetails", "Default")).await
}

/// Reads what a region offers for managed instances.
///
/// # Errors
/// Fails as all requests do.
pub async fn capabilities(arm: &Arm, location: &str) -> Result<Capabilities, AzureError> {
    let path = region(arm, location, "capabilities?include=supportedManagedInstanceVersions");
    arm.read_path(&path).await
}

/// Reads how much of a region's quota is used.
///
/// # Errors
/// Fails as all requests do.
pub async fn usages(arm: &Arm, location: &str) -> Result<Vec<SqlUsage>, AzureError> {
    arm.read_all(&ResourceId::new(region(arm, location, "usages"))).await
}

/// Reads the virtual clusters of a resource group.
///
/// # Errors
/// Fails as all requests do.
pub async fn virtual_clusters(arm: &Arm, group: &ResourceId) -> Result<Vec<VirtualCluster>, AzureError> {
    let id = ResourceId::new(format!("{group}/providers/Microsoft.Sql/virtualClusters"));
    arm.read_all(&id).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_step_at_work_is_found() {
        let operation: InstanceOperationProperties =
            serde_json::from_value(json!({"state": "InProgress", "operationSteps": {
            "totalSteps": "3", "currentStep": 2, "stepsList": [
                {"order": 1, "name": "Request validation", "status": "Completed"},
                {"order": 2, "name": "Virtual Cluster resize/creation", "status": "SlowedDown"},
                {"order": 3, "name": "New SQL Instance Startup", "status": "NotStarted"}]}}))
            .unwrap();
        let (number, of, step) = operation.at_work().unwrap();
        assert_eq!(
            (number, of, step.name.as_str()),
            (2, 3, "Virtual Cluster resize/creation")
        );
    }

    #[test]
    fn a_blocked_restore_has_words() {
        let blocked = |reason: &str| {
            let restore: RestoreProperties = serde_json::from_value(json!({"blockReason": reason})).unwrap();
            restore.problem()
        };
        assert_eq!(blocked(""), None);
        assert_eq!(
            blocked("FullBackupMissingChecksum").unwrap().title,
            "The full backup has no checksum"
        );
        assert!(
            blocked("FullBackupNotFound: x")
                .unwrap()
                .hint
                .contains("BACKUP DATABASE")
        );
        assert!(blocked("Something else.").unwrap().detail.contains("Something else."));
    }
}
