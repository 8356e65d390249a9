//! Databases of a managed instance and their restore from a container (Log Replay Service).
//!
//! Codes: Microsoft's OpenAPI files ManagedDatabases.json and ManagedDatabaseRestoreDetails.json of 2021-11-01, the
//! lists at ManagedDatabases_CreateOrUpdate, _CompleteRestore, _Delete and ManagedDatabaseRestoreDetails_Get (snapshot of
//! 5 November 2024).

use super::Row;

const LATER: &str = "Nothing to do: Rehost waits and tries again.";

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // The backups.
    Row("BackupSetBroken FullBackupDamaged CorruptedPagesInBackupSet CorruptedPagesListMaintenance", "A backup is damaged", "The file cannot be read to its end, or its pages do not match their checksums.", "The database administrator checks the source with DBCC CHECKDB and the file with RESTORE VERIFYONLY, uploads it again, or takes a new one WITH CHECKSUM."),
    Row("BrokenRestorePlanWrongDiffBackupLSN BrokenRestorePlanWrongDiffBaseGUID", "A differential backup does not belong to the full one", "It is based on another full backup, which some other backup job took.", "The database administrator removes it from the folder, or takes a new full backup and a new differential one."),
    Row("RestoreFromStripedBackupsNotEnabled", "Backups in several files are not restored here", "The backup was written in stripes.", "The database administrator takes it again into one file."),
    Row("BackupsFromMultipleDatabasesDetectedInTheContainerWhileRestoreInProgress", "The folder holds backups of another database", "They came in while the restore ran; each database needs a folder of its own.", "The database administrator removes the files of other databases from the folder."),
    Row("SqlRestoreError", "SQL Server could not restore a backup", "Azure's message holds SQL Server's own number and words.", "The database administrator reads them (3169: the source is newer; 33111: a certificate is missing; 12824: contained databases), corrects the cause and starts the restore again."),
    Row("PartiallyContainedDatabaseUnsupported", "The database is partially contained", "A managed instance does not restore it so.", "The database administrator sets CONTAINMENT = NONE on the source and takes a new full backup."),
    Row("XtpInitializedDuringRestore IncompatiblePhysicalLayoutTooManyXTPFiles", "The database has memory-optimized data", "General Purpose cannot hold memory-optimized tables, and no tier takes several files for them.", "Choose Business Critical in the design, or remove the memory-optimized filegroup on the source."),
    Row("IncompatiblePhysicalLayoutTooFewDataFiles IncompatiblePhysicalLayoutNonOnlineDataFilesExist IncompatiblePhysicalLayoutNonOnlineLogFilesExist", "Some of the database's files are missing or offline", "A managed instance takes only databases whose files are all online.", "The database administrator brings the files online, or removes them, on the source, and takes a new full backup."),
    Row("IncompatiblePhysicalLayoutWrongNumberOfLogFiles IncompatiblePhysicalLayoutTooManyNonDataLogFiles", "The database has too many log files", "A managed instance takes databases with one log file and without FILESTREAM.", "The database administrator removes the other log files (ALTER DATABASE … REMOVE FILE) on the source, and takes a new full backup."),
    Row("CannotFindServerCertificateWithThumbprint SameKeyMaterialNotFoundOnRemoteServer", "The certificate of the encrypted database is missing", "The source database is encrypted (TDE), and its certificate is not on the managed instance.", "The database administrator exports the certificate and uploads it: Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate; then retry."),

    // The container.
    Row("BlobStorageServerFailure", "Azure Storage had an error", "The storage service did not answer as it should.", LATER),
    Row("ManagedIdentityIssueDetectedFromTheStart ManagedIdentityIssueDetectedWhileRestoreInProgress", "The instance's identity may not read the container", "The restore uses the managed identity, and that has no role on the storage account (any more).", "The account's owner gives it one: az role assignment create --assignee INSTANCE_PRINCIPAL_ID --role \"Storage Blob Data Reader\" --scope ACCOUNT_ID; or use a SAS."),

    // The restore itself.
    Row("AutoCompleteMissingLastBackupName InvalidDatabaseCompleteRestoreRequest InvalidDatabaseCompleteRestoreRequestLastBackupName InvalidDatabaseCreateOrUpdateRequest MissingCollation MissingSourceDatabaseId MissingRestorePointInTime InvalidSourceDatabaseId InvalidRestorableDroppedDatabaseId InvalidLongTermRetentionManagedInstanceBackupId RestorableDroppedDatabaseIdGivenForRestoreWithSourceDatabaseId UnsupportedServiceName", "The request for the restore is not complete", "Azure misses a part of it, such as the last backup's name, or does not accept one.", "Check the backup's file name in the task; otherwise report it, with the correlation ID."),
    Row("ExternalBackupRestoreHasNotBeenStarted ManagedDatabaseNotInRestoringState", "The database is not being restored", "The cut-over needs a restore that runs.", "Retry the task that starts the restore."),
    Row("ExternalBackupUpgradeInProgress", "The restored database is being upgraded", "The restore has ended, and Azure makes the database fit the instance's version.", LATER),
    Row("TargetServerDoesNotExist", "The managed instance is not there, or not ready", "A database can only be restored to an instance that is Ready.", "Retry when the instance is Ready (portal > the instance > Overview); check its name in the design."),
    Row("TargetServerRestoreNotAllowed", "The managed instance takes no restore now", "Another operation on it must end first.", LATER),
    Row("RestoreSourceDatabaseNotFound SourceDatabaseNotFound PitrPointInTimeInvalid InvalidBackupRetentionPeriod", "There is no backup of that moment", "Azure keeps backups for the days of the retention, and only of databases that it knows.", "Choose another moment in the portal: the database > Restore."),

    // Room.
    Row("StorageAccountFull NoMoreSpaceInManagedInstance CurrentDatabaseSizeExceedsMaxSize CurrentDatabaseLogSizeExceedsMaxSize", "The managed instance is full", "The database does not fit into the instance's storage.", "Raise the storage in the design (a multiple of 32 GB), or: az sql mi update --storage SIZE."),

    // Names and neighbours.
    Row("CannotUseTrailingWhitespacesInDatabaseName CannotUseReservedDatabaseName", "The database's name is not allowed", "It ends with a space, or is one of SQL Server's own.", "Choose another name in the design."),
    Row("RemoteDatabaseExists", "The database {name} exists already", "One of this name is there, perhaps from an earlier attempt.", "If nobody needs it, delete it: az sql midb delete --name {name}; or choose another name in the design."),
    Row("DatabaseDoesNotExist CannotFindObject", "The database {name} was not found", "It was never created, or somebody deleted it.", "Retry the task that creates it."),
    Row("CannotMoveOrDropJobAccountDatabase CannotMoveOrDropSyncMetadataDatabase LedgerNoDropPrimary", "The database is in use by another service", "Elastic jobs, data sync or ledger uploads keep it from being deleted.", "Its administrator ends that use first: portal > the instance."),
    Row("AkvHostNotResolvingFromNode AkvEndpointNotReachableFromNode", "The instance cannot reach its key vault", "The name cannot be resolved from the subnet, or a firewall is in the way.", "The network's administrator lets the subnet reach the vault (DNS and outbound 443); the vault's owner checks its firewall."),
    Row("ConflictingDatabaseOperation ManagementServiceDatabaseBusy ConflictingSystemOperationInProgress ActivateOrDeactivateWorkflowThrottling DatabaseUnavailable", "The database is busy", "Another operation or Azure's own maintenance works on it.", LATER),
];
