"""Ways of a database to the managed instance. All have the same steps: prepare, restore, cut_over, remove."""

from azure.core.exceptions import HttpResponseError
from azure.mgmt.datamigration import models as dms
from azure.mgmt.sql import models as sql
from azure.mgmt.storage import models as storage
from azure.storage.blob import ContainerClient, generate_container_sas

from azure_side import BACKUP, CONTAINER, DATABASE, FAILOVER, HOUR, INSTANCE, LOCATION, TARGET, Azure
from lab import LabTransport


class Backups:
    """The account and the container into which the database administrator backs up."""

    def __init__(self, azure: Azure):
        self.azure, self.lab = azure, azure.lab
        self.address = f"{self.lab.where['blob'].format(account=BACKUP)}/{CONTAINER}"

    def prepare(self) -> None:
        azure = self.azure
        azure.storage_account(BACKUP, "StorageV2", allow_shared_key_access=True)
        empty = storage.BlobContainer(container_properties=storage.ContainerProperties())
        azure.storage.blob_containers.create(FAILOVER, BACKUP, CONTAINER, empty)
        assert [c.name for c in azure.storage.blob_containers.list(FAILOVER, BACKUP)] == [CONTAINER]
        self.seeing = self.container(self.sign("rl"))
        try:
            self.seeing.upload_blob("x", b"x")
            raise AssertionError("a SAS to read and list must not write")
        except HttpResponseError as e:
            assert (e.status_code, e.error_code) == (403, "AuthorizationPermissionMismatch"), e

    def key(self) -> str:
        return self.azure.storage.storage_accounts.list_keys(FAILOVER, BACKUP).keys_property[0].value

    def sign(self, permission: str) -> str:
        """A SAS made by Microsoft's own library."""
        now = self.lab.now()
        return generate_container_sas(
            BACKUP,
            CONTAINER,
            account_key=self.key(),
            permission=permission,
            start=now - HOUR,
            expiry=now + 30 * 24 * HOUR,
        )

    def container(self, sas: str) -> ContainerClient:
        transport = LabTransport(self.lab, connection_verify=self.lab.ca)
        return ContainerClient.from_container_url(
            f"{self.address}?{sas}", transport=transport, connection_verify=self.lab.ca
        )

    def arrived(self, ending: str) -> list[str]:
        return [b.name for b in self.seeing.list_blobs() if b.name.endswith(ending)]

    def remove(self) -> None:
        accounts = self.azure.storage.storage_accounts
        accounts.regenerate_key(FAILOVER, BACKUP, storage.StorageAccountRegenerateKeyParameters(key_name="key1"))
        try:
            self.arrived("")
            raise AssertionError("a rotated key must end its signatures")
        except HttpResponseError as e:
            assert (e.status_code, e.error_code) == (403, "AuthenticationFailed"), e
        self.azure.storage.blob_containers.delete(FAILOVER, BACKUP, CONTAINER)
        accounts.delete(FAILOVER, BACKUP)


class LogReplay:
    """Log Replay Service with a SAS."""

    def __init__(self, azure: Azure):
        self.azure, self.lab, self.backups = azure, azure.lab, Backups(azure)

    def prepare(self) -> None:
        self.backups.prepare()

    def restore(self) -> None:
        self.lab.until("the full backup is there", lambda: self.backups.arrived("_full_01.bak"))
        # A SAS that may do more is refused while the restore runs, so Microsoft's poller must tell it.
        try:
            self.start("rwl").result()
            raise AssertionError("Log Replay Service takes only a SAS to read and list")
        except HttpResponseError as e:
            assert e.error.code == "BlobStorageFailure", e
        self.azure.ended(self.azure.sql.managed_databases.begin_delete(TARGET, INSTANCE, DATABASE))
        self.restoring = self.start("rl")
        self.replayed(".trn")

    def start(self, permission: str):
        properties = sql.ManagedDatabaseProperties(
            create_mode="RestoreExternalBackup",
            storage_container_uri=self.backups.address,
            storage_container_sas_token=self.backups.sign(permission),
        )
        return self.azure.sql.managed_databases.begin_create_or_update(
            TARGET, INSTANCE, DATABASE, sql.ManagedDatabase(location=LOCATION, properties=properties)
        )

    def replayed(self, ending: str) -> None:
        def look():
            read = self.azure.sql.managed_database_restore_details.get(TARGET, INSTANCE, DATABASE, "Default")
            return (read.properties.last_restored_file_name or "").endswith(ending)

        self.lab.until(f"{ending} is replayed", look)

    def cut_over(self) -> None:
        # The tail of the log is the last that is replayed.
        (tail,) = self.lab.until("the tail of the log is there", lambda: self.backups.arrived("_tail.trn"))
        self.replayed("_tail.trn")
        last = sql.CompleteDatabaseRestoreDefinition(last_backup_name=tail)
        databases = self.azure.sql.managed_databases
        self.azure.ended(databases.begin_complete_restore(TARGET, INSTANCE, DATABASE, last))
        assert self.azure.ended(self.restoring).properties.status == "Online"

    def remove(self) -> None:
        self.backups.remove()


class Dms:
    """Database Migration Service, from the container."""

    SERVICE = "ContosoDMS"

    def __init__(self, azure: Azure):
        self.azure, self.lab, self.backups = azure, azure.lab, Backups(azure)
        self.here = (TARGET, INSTANCE, DATABASE)

    def prepare(self) -> None:
        azure = self.azure
        azure.register("Microsoft.DataMigration")
        services = azure.dms.sql_migration_services
        service = dms.SqlMigrationService(location=LOCATION)
        made = azure.ended(services.begin_create_or_update(FAILOVER, self.SERVICE, service))
        assert made.provisioning_state == "Succeeded"
        assert [s.name for s in services.list_by_resource_group(FAILOVER)] == [self.SERVICE]
        assert not list(azure.dms.services.list()), "no service of the retired generation"
        self.backups.prepare()

    def start(self, offline: dms.OfflineConfiguration | None):
        blob = dms.AzureBlob(
            storage_account_resource_id=self.azure.account(BACKUP),
            account_key=self.backups.key(),
            blob_container_name=CONTAINER,
        )
        properties = dms.DatabaseMigrationPropertiesSqlMi(
            scope=self.azure.id(TARGET, "Microsoft.Sql/managedInstances", INSTANCE),
            migration_service=self.azure.id(FAILOVER, "Microsoft.DataMigration/sqlMigrationServices", self.SERVICE),
            source_database_name=DATABASE,
            source_sql_connection=dms.SqlConnectionInformation(
                data_source="SQLVM",
                authentication="SqlAuthentication",
                user_name="svc-dms",
                password=self.lab.where["sqlPassword"],
                encrypt_connection=True,
                trust_server_certificate=False,
            ),
            backup_configuration=dms.BackupConfiguration(source_location=dms.SourceLocation(azure_blob=blob)),
            offline_configuration=offline,
        )
        return self.azure.dms.database_migrations_sql_mi.begin_create_or_update(
            *self.here, dms.DatabaseMigrationSqlMi(properties=properties)
        )

    def state(self) -> dms.DatabaseMigrationPropertiesSqlMi:
        read = self.azure.dms.database_migrations_sql_mi.get(*self.here, expand="MigrationStatusDetails")
        assert isinstance(read.properties, dms.DatabaseMigrationPropertiesSqlMi), type(read.properties)
        return read.properties

    def restored(self, ending: str) -> bool:
        details = self.state().migration_status_details
        return bool(details) and (details.last_restored_filename or "").endswith(ending)

    def succeeded(self) -> None:
        self.lab.until("the migration has succeeded", lambda: self.state().migration_status == "Succeeded")
        databases = {d.name: d.properties.status for d in self.azure.sql.managed_databases.list_by_instance(*self.here[:2])}
        assert databases == {DATABASE: "Online"}, databases

    def remove(self) -> None:
        azure = self.azure
        azure.ended(azure.dms.database_migrations_sql_mi.begin_delete(*self.here))
        azure.ended(azure.dms.sql_migration_services.begin_delete(FAILOVER, self.SERVICE))
        self.backups.remove()


class DmsOnline(Dms):
    """The log is restored as it comes, until the cutover."""

    def restore(self) -> None:
        self.lab.until("the full backup is there", lambda: self.backups.arrived("_full_01.bak"))
        self.migrating = self.start(None)
        self.lab.until("a log backup is restored", lambda: self.restored(".trn"))

    def cut_over(self) -> None:
        self.lab.until("the tail of the log is there", lambda: self.backups.arrived("_tail.trn"))
        self.lab.until("the tail is restored", lambda: self.restored("_tail.trn"))
        operation = dms.MigrationOperationInput(migration_operation_id=self.state().migration_operation_id)
        self.azure.ended(self.azure.dms.database_migrations_sql_mi.begin_cutover(*self.here, operation))
        self.azure.ended(self.migrating)
        self.succeeded()


class DmsOffline(Dms):
    """Started when the last file is known."""

    def restore(self) -> None:
        self.lab.until("the full backup is there", lambda: self.backups.arrived("_full_01.bak"))

    def cut_over(self) -> None:
        (tail,) = self.lab.until("the tail of the log is there", lambda: self.backups.arrived("_tail.trn"))
        self.azure.ended(self.start(dms.OfflineConfiguration(offline=True, last_backup_name=tail)))
        self.succeeded()
