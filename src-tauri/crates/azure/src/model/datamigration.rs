//! Database Migration Service: the current generation, and of the classic one what it takes to recognise left-overs.

use super::{Flag, Number, Problem, Resource, When, model, words};
use crate::{Advice, Arm, AzureError, advice};
use plan::ResourceId;
use secrets::Secret;
use serde::{Deserialize, Serialize};

/// A service of the current generation.
pub type Service = Resource<ServiceProperties>;
/// A migration of one database to a managed instance.
pub type DatabaseMigration = Resource<DatabaseMigrationProperties>;
/// A service of the classic generation, retired on 15 March 2026.
pub type ClassicService = Resource<ClassicServiceProperties>;
pub type ClassicProject = Resource<ClassicProjectProperties>;
pub type ClassicTask = Resource<ClassicTaskProperties>;

model! {
    pub struct ServiceProperties {
        pub provisioning_state: Option<String>,
        pub integration_runtime_state: Option<RuntimeState>,
    }

    /// What the computers of a self-hosted integration runtime do.
    pub struct Monitoring {
        /// The integration runtime's name.
        pub name: Option<String>,
        pub nodes: Vec<Node>,
    }

    pub struct Node {
        pub node_name: Option<String>,
        #[serde(rename = "availableMemoryInMB")]
        pub available_memory_in_mb: Option<Number>,
        /// Percent.
        pub cpu_utilization: Option<Number>,
        pub concurrent_jobs_limit: Option<Number>,
        pub concurrent_jobs_running: Option<Number>,
        pub max_concurrent_jobs: Option<Number>,
        pub sent_bytes: Option<Number>,
        pub received_bytes: Option<Number>,
    }

    pub struct DatabaseMigrationProperties {
        /// `SqlMi`, `SqlVm`, `SqlDb`.
        pub kind: Option<String>,
        pub scope: Option<ResourceId>,
        /// Of the migration's record, not of the migration.
        pub provisioning_state: Option<String>,
        pub provisioning_error: Option<String>,
        pub migration_status: Option<MigrationState>,
        pub migration_service: Option<ResourceId>,
        pub migration_operation_id: Option<String>,
        pub migration_failure_error: Option<Problem>,
        pub started_on: When,
        pub ended_on: When,
        pub source_database_name: Option<String>,
        pub source_server_name: Option<String>,
        pub target_database_collation: Option<String>,
        pub offline_configuration: Option<OfflineConfiguration>,
        /// With `?$expand=MigrationStatusDetails` only.
        pub migration_status_details: Option<MigrationDetails>,
    }

    pub struct OfflineConfiguration {
        pub offline: Option<Flag>,
        pub last_backup_name: Option<String>,
    }

    pub struct MigrationDetails {
        pub migration_state: Option<String>,
        pub is_full_backup_restored: Option<Flag>,
        pub full_backup_set_info: Option<BackupSet>,
        pub last_restored_backup_set_info: Option<BackupSet>,
        pub active_backup_sets: Vec<BackupSet>,
        pub blob_container_name: Option<String>,
        pub current_restoring_filename: Option<String>,
        pub last_restored_filename: Option<String>,
        pub pending_log_backups_count: Option<Number>,
        pub invalid_files: Vec<String>,
        pub restore_blocking_reason: Option<String>,
        pub complete_restore_error_message: Option<String>,
        pub file_upload_blocking_errors: Vec<String>,
    }

    pub struct BackupSet {
        pub backup_set_id: Option<String>,
        #[serde(rename = "firstLSN")]
        pub first_lsn: Option<String>,
        #[serde(rename = "lastLSN")]
        pub last_lsn: Option<String>,
        pub backup_type: Option<String>,
        pub backup_start_date: When,
        pub backup_finish_date: When,
        pub is_backup_restored: Option<Flag>,
        pub has_backup_checksums: Option<Flag>,
        pub list_of_backup_files: Vec<BackupFile>,
        pub ignore_reasons: Vec<String>,
    }

    pub struct BackupFile {
        pub file_name: String,
        pub status: Option<FileStatus>,
        /// Bytes.
        pub total_size: Option<Number>,
        pub data_read: Option<Number>,
        pub data_written: Option<Number>,
        /// KB a second.
        pub copy_throughput: Option<Number>,
        /// Seconds.
        pub copy_duration: Option<Number>,
    }

    pub struct ClassicServiceProperties {
        pub provisioning_state: Option<String>,
        pub virtual_subnet_id: Option<ResourceId>,
    }

    pub struct ClassicProjectProperties {
        pub provisioning_state: Option<String>,
        pub source_platform: Option<String>,
        pub target_platform: Option<String>,
        pub creation_time: When,
    }

    pub struct ClassicTaskProperties {
        /// `Migrate.SqlServer.AzureSqlDbMI` …
        pub task_type: Option<String>,
        pub state: Option<String>,
        pub errors: Vec<Problem>,
    }
}

/// What a computer needs to register as an integration runtime of a service.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthKeys {
    #[serde(skip_serializing)]
    pub auth_key1: Option<Secret<String>>,
    #[serde(skip_serializing)]
    pub auth_key2: Option<Secret<String>>,
}

words! {
    /// Whether a computer works for the service.
    pub enum RuntimeState {
        Initial,
        NeedRegistration,
        Starting,
        Started,
        Online,
        Limited,
        Stopping,
        Stopped,
        Offline,
        AccessDenied,
    }

    /// How a migration goes. Unverified: Microsoft's OpenAPI file gives no list; the words are those of its own client
    /// (Azure Data Studio, "mirrors MigrationState as defined in RP"). Examples of 2023-07-15-preview show in
    /// `migrationStatusDetails.migrationState` other words (`WaitForFullBackupUploadOperation`), which nothing reads.
    pub enum MigrationState {
        Creating,
        InProgress,
        UploadingFullBackup,
        UploadingLogBackup,
        Restoring,
        ReadyForCutover,
        Completing,
        Succeeded,
        Failed,
        Canceling,
        Canceled,
        Retriable,
    }

    pub enum FileStatus {
        Arrived,
        Queued,
        Uploading,
        Uploaded,
        Restoring,
        Restored,
        Canceled,
        Ignored,
    }
}

impl MigrationState {
    /// Tells whether Azure accepts a cancellation now (as Azure Data Studio does).
    pub fn can_cancel(&self) -> bool {
        matches!(
            self,
            Self::Creating
                | Self::InProgress
                | Self::UploadingFullBackup
                | Self::UploadingLogBackup
                | Self::Restoring
                | Self::ReadyForCutover
                | Self::Retriable
        )
    }

    /// Tells whether the record can be deleted now.
    pub fn can_delete(&self) -> bool {
        matches!(self, Self::Canceled | Self::Failed | Self::Retriable | Self::Succeeded)
    }

    /// Tells whether nothing more will happen by itself.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

impl DatabaseMigrationProperties {
    /// What made the migration fail, or keeps it from going on, in words; none while all is well.
    pub fn problem(&self) -> Option<Advice> {
        let details = self.migration_status_details.clone().unwrap_or_default();
        let failure = self.migration_failure_error.clone().unwrap_or_default();
        let texts = [
            (failure.code, failure.message),
            (None, self.provisioning_error.clone()),
            (None, details.complete_restore_error_message),
            (None, details.restore_blocking_reason),
            (None, details.file_upload_blocking_errors.into_iter().next()),
        ];
        let full = |t: Option<String>| t.filter(|t| !t.trim().is_empty());
        let (code, said) = texts
            .into_iter()
            .map(|(code, said)| (full(code), full(said)))
            .find(|(code, said)| code.is_some() || said.is_some())?;
        let (code, said) = (code.unwrap_or_default(), said.unwrap_or_else(|| "nothing more".into()));
        Some(advice::known(&code, &said).unwrap_or_else(|| Advice {
            title: "The database migration does not go on".into(),
            detail: format!("Azure says: {said}{}", if code.is_empty() { String::new() } else { format!(" [{code}]") }),
            hint: "The database administrator corrects what Azure's message names. If the migration has failed, start it again; the portal shows its files: the managed instance > Data management > Migrations (unverified).".into(),
        }))
    }
}

/// Reads a service; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn service(arm: &Arm, id: &ResourceId) -> Result<Option<Service>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the keys with which a computer registers as integration runtime.
///
/// # Errors
/// Fails as all requests do.
pub async fn auth_keys(arm: &Arm, service: &ResourceId) -> Result<AuthKeys, AzureError> {
    arm.ask(service, "listAuthKeys", None).await
}

/// Reads what the computers of the integration runtime do.
///
/// # Errors
/// Fails as all requests do.
pub async fn monitoring(arm: &Arm, service: &ResourceId) -> Result<Monitoring, AzureError> {
    arm.ask(service, "listMonitoringData", None).await
}

/// Reads all migrations of a service.
///
/// # Errors
/// Fails as all requests do.
pub async fn migrations(arm: &Arm, service: &ResourceId) -> Result<Vec<DatabaseMigration>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{service}/listMigrations")))
        .await
}

/// Reads a database migration with its backup files; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn migration(arm: &Arm, id: &ResourceId) -> Result<Option<DatabaseMigration>, AzureError> {
    arm.read_opt(&ResourceId::new(format!("{id}?$expand=MigrationStatusDetails")))
        .await
}

/// Reads the services of the classic generation that a resource group still holds.
///
/// # Errors
/// Fails as all requests do.
pub async fn classic_services(arm: &Arm, group: &ResourceId) -> Result<Vec<ClassicService>, AzureError> {
    let id = ResourceId::new(format!("{group}/providers/Microsoft.DataMigration/services"));
    arm.read_all(&id).await
}

/// Reads the projects of a classic service.
///
/// # Errors
/// Fails as all requests do.
pub async fn classic_projects(arm: &Arm, service: &ResourceId) -> Result<Vec<ClassicProject>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{service}/projects"))).await
}

/// Reads the tasks of a classic project.
///
/// # Errors
/// Fails as all requests do.
pub async fn classic_tasks(arm: &Arm, project: &ResourceId) -> Result<Vec<ClassicTask>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{project}/tasks"))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(properties: serde_json::Value) -> Option<Advice> {
        serde_json::from_value::<DatabaseMigrationProperties>(properties)
            .unwrap()
            .problem()
    }

    #[test]
    fn a_migrations_problem_has_words() {
        assert_eq!(
            problem(json!({"migrationStatus": "InProgress", "migrationFailureError": null})),
            None
        );
        let known = problem(json!({"migrationFailureError": {"code": "2009", "message": "chain"}})).unwrap();
        assert!(
            known.title == "The restore failed" && known.detail.contains("chain"),
            "{known:?}"
        );
        let named =
            problem(json!({"migrationFailureError": {"code": "Ext_RestoreSettingsError", "message": "m"}})).unwrap();
        assert_eq!(named.title, "The backups cannot be restored as asked");
        let blocked = problem(
            json!({"migrationStatusDetails": {"restoreBlockingReason": "no full backup", "fileUploadBlockingErrors": ["other"]}}),
        );
        assert!(blocked.unwrap().detail.contains("no full backup"));
    }
}
