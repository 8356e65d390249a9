"""Microsoft's clients, the scenario's names, and what all parts of it do."""

import datetime

from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.datamigration import DataMigrationManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.sql import SqlManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage import models as storage

from lab import Lab

HOUR = datetime.timedelta(hours=1)
LOCATION = "eastus2"
NETWORKING, TARGET, FAILOVER = "ContosoNetworkingRG", "ContosoRG", "ContosoFailoverRG"
INSTANCE, DATABASE, VM, SIZE = "contoso-sqlmi", "SmartHotelDB", "WEBVM", "Standard_D4s_v5"
CACHE, BACKUP, CONTAINER = "contosovmsacc20180528", "contosobackup20180528", "smarthotel-backup"


class Azure:
    """All clients for one lab."""

    def __init__(self, lab: Lab):
        self.lab = lab
        sub = lab.subscription
        self.subscriptions = lab.client(SubscriptionClient)
        self.resources = lab.client(ResourceManagementClient, sub)
        self.authorization = lab.client(AuthorizationManagementClient, sub)
        self.locks = lab.client(ManagementLockClient, sub)
        self.network = lab.client(NetworkManagementClient, sub)
        self.sql = lab.client(SqlManagementClient, sub)
        self.storage = lab.client(StorageManagementClient, sub)
        self.vaults = lab.client(RecoveryServicesClient, sub)
        self.asr = lab.client(SiteRecoveryManagementClient, sub)
        self.compute = lab.client(ComputeManagementClient, sub)
        self.dms = lab.client(DataMigrationManagementClient, sub)
        self.pollers = 0

    def group(self, name: str) -> str:
        return f"/subscriptions/{self.lab.subscription}/resourceGroups/{name}"

    def id(self, group: str, kind: str, name: str) -> str:
        return f"{self.group(group)}/providers/{kind}/{name}"

    def vnet(self, name: str) -> str:
        return self.id(NETWORKING, "Microsoft.Network/virtualNetworks", name)

    def account(self, name: str) -> str:
        return self.id(FAILOVER, "Microsoft.Storage/storageAccounts", name)

    def ended(self, poller):
        """Lets one of Microsoft's pollers go to its end."""
        result = poller.result()
        assert poller.status() == "Succeeded", poller.status()
        self.pollers += 1
        return result

    def register(self, *namespaces: str) -> None:
        for name in namespaces:
            self.resources.providers.register(name)
        for name in namespaces:
            self.lab.until(
                f"{name} is registered",
                lambda: self.resources.providers.get(name).registration_state == "Registered",
            )

    def storage_account(self, name: str, kind: str, **more) -> None:
        asked = storage.StorageAccountCheckNameAvailabilityParameters(
            name=name, type="Microsoft.Storage/storageAccounts"
        )
        free = self.storage.storage_accounts.check_name_availability(asked)
        assert free.name_available, free.message
        parameters = storage.StorageAccountCreateParameters(
            location=LOCATION,
            kind=kind,
            sku=storage.Sku(name="Standard_LRS"),
            properties=storage.StorageAccountPropertiesCreateParameters(
                minimum_tls_version="TLS1_2", enable_https_traffic_only=True, allow_blob_public_access=False, **more
            ),
        )
        made = self.ended(self.storage.storage_accounts.begin_create(FAILOVER, name, parameters))
        assert made.properties.provisioning_state == "Succeeded"

    def found(self, path: str, key: str, value: str):
        """What no client of Microsoft's on PyPI knows: the appliance's discoveries."""
        listed = self.lab.arm(f"{path}?api-version=2020-01-01")["value"]
        return next((v for v in listed if v["properties"][key] == value), None)
