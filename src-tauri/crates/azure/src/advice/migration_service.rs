//! Database Migration Service: the numbers and names that `migrationFailureError`, the activity log and the portal show.
//!
//! Codes: Microsoft, "Known issues, limitations, and troubleshooting" of the Azure SQL migration
//! (known-issues-azure-sql-migration-azure-data-studio, 21 April 2023).

use super::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row("2007 CutoverFailedOrCancelled", "The cut-over failed or was cancelled", "A backup was still being restored, or the target database was dropped or changed meanwhile.", "Look in the portal at the migration's details. When the target database is gone, retry the task that starts the migration; otherwise cut over again."),
    Row("2009 MigrationRestoreFailed", "The restore failed", "A missing TDE certificate, a source newer than the managed instance, full storage, a broken log chain, backups of several databases in one folder, or a storage firewall.", "Azure's message names the cause. The database administrator corrects it (for TDE: copy the certificate to the managed instance), then retry."),
    Row("2012 TestConnectionFailed", "The source SQL Server cannot be reached", "The integration runtime cannot sign in there.", "Check the server's name, port 1433 and the login in Design; on the integration runtime's computer: sqlcmd -S SERVER -U LOGIN. Then retry."),
    Row("2014 IntegrationRuntimeIsNotOnline", "The integration runtime is not online", "Its computer is off, or cannot reach Azure.", "On its computer, start the service \"Integration Runtime Service\" (DIAHostService) and allow outbound 443; then retry."),
    Row("2030 AzureSQLManagedInstanceNotReady", "The managed instance is not ready", "It is being created, changed or is stopped.", "Wait until the portal shows it Ready, then retry."),
    Row("2033 SqlDataCopyFailed", "The copy of the data failed", "The transfer from the source broke off.", "Check the network between integration runtime, source and Azure, then retry the task that starts the migration."),
    Row("2038 MigrationCompletedDuringCancel", "The migration completed while it was being cancelled", "The cancellation came too late.", "The database is online on the managed instance. Drop it there if you want to go back."),
    Row("2039 MigrationRetryNotAllowed", "The migration cannot be started again in this state", "A migration of this database is still running, or did not end in a state that allows it.", "Cancel it in the portal (the migration service > Migrations), wait until it is Canceled, then retry."),
    Row("2040 MigrationTimeoutWaitingForRetry", "The service has given up waiting", "An error was not corrected within 8 hours.", "Correct the error that the migration's details name, then retry the task that starts it: it begins from the first backup."),
    Row("2043 CreateContainerFailed", "The container for the uploaded backups cannot be created", "The account key is wrong or was rotated, or a firewall or policy of the storage account refuses.", "Portal, storage account > Networking and Configuration: allow access with the account key; then retry."),
    Row("2049 FileShareTestConnectionFailed", "The file share cannot be read", "Wrong path or account, or the integration runtime is on the computer that holds the share.", "Check path and account in Design; on the integration runtime's computer: net use \\\\SERVER\\share /user:ACCOUNT. Then retry."),
    Row("2056 SqlInfoValidationFailed", "Source and target do not fit", "Another collation, a database that is not on the source, or one of this name on the managed instance already.", "Azure's message names it. Correct the design, or drop the database on the managed instance; then retry."),
    Row("Ext_RestoreSettingsError", "The backups cannot be restored as asked", "The container cannot be read (403: key, identity or firewall; or its name is not found), or the named file is not the last backup.", "Check the account's key or the identity's role Storage Blob Data Reader, the storage firewall, and that nothing was put into the container after the last backup; then retry."),
];
