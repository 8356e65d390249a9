//! Database Migration Service: the numbers and names that `migrationFailureError`, the activity log and the portal show.
//!
//! Codes: Microsoft, "Known issues, limitations, and troubleshooting" of the Azure SQL migration
//! (known-issues-azure-sql-migration-azure-data-studio, 21 April 2023).

use super::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row("2007 CutoverFailedOrCancelled", "The cut-over failed or was cancelled", "The last backup could not be restored, or somebody cancelled the migration.", "Look at the migration's details, correct the cause and start the cut-over again."),
    Row("2009 MigrationRestoreFailed", "The restore failed", "Most often the TDE certificate is missing on the instance, the source is newer than the instance (3169), its storage is full, the chain of log backups is broken, the storage account's firewall keeps the instance out, or the folder holds backups of several databases.", "Azure's message names the cause: the database administrator corrects it (certificate: Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate; firewall: portal > the account > Networking) and starts the migration again."),
    Row("2012 TestConnectionFailed", "The source cannot be reached", "The integration runtime got no connection to the SQL Server: name, port, firewall or login are wrong.", "On the integration runtime's computer: Test-NetConnection SERVER -Port 1433; then check the login in Connections > SQL Server."),
    Row("2014 IntegrationRuntimeIsNotOnline", "The integration runtime is not online", "Its computer is off, has no way to Azure, or its service is stopped.", "On its computer, start the service \"Integration Runtime\" (Start-Service DIAHostService) and allow outbound 443."),
    Row("2030 AzureSQLManagedInstanceNotReady", "The managed instance is not ready", "It is being created or changed, or it is stopped.", "Nothing to do while it is being changed: Rehost waits. A stopped one: az sql mi start."),
    Row("2033 SqlDataCopyFailed", "Data could not be copied", "The source or the target refused or broke the connection.", "Azure's message names table and cause; correct it and start the migration again."),
    Row("2038 MigrationCompletedDuringCancel", "The migration was done before it could be cancelled", "Completion and cancellation crossed.", "The database is on the instance: delete it there if it is not wanted (az sql midb delete)."),
    Row("2039 MigrationRetryNotAllowed", "The migration cannot be resumed", "Only a migration in state Retriable can be.", "Delete its record and start it again."),
    Row("2040 MigrationTimeoutWaitingForRetry", "The migration waited too long for a retry", "One that can be resumed waits 8 hours.", "Start it again."),
    Row("2043 CreateContainerFailed", "The service could not create its container", "The storage account's key is wrong, or its firewall keeps the service out.", "Check portal > the account > Networking and Configuration (Allow storage account key access); then retry."),
    Row("2049 FileShareTestConnectionFailed", "The file share cannot be read", "Path or account are wrong, port 445 is blocked, or the integration runtime is on the share's own computer.", "On the integration runtime's computer, as that account: dir \\\\SERVER\\SHARE. Put the runtime on another computer than the share."),
    Row("2056 SqlInfoValidationFailed", "Source and target do not fit together", "Most often their collations differ, or the database exists on the instance.", "Azure's message names what differs; correct it in the design."),
    Row("Ext_RestoreSettingsError", "The restore's settings are not right", "The container cannot be read (403, or its name is not resolved from the instance), or the last backup's name is not that of the last file.", "Check portal > the account > Networking, and enter the file name of the newest backup, exactly as it is in the container."),
];
