"""Two ways of a machine to Azure. Both have the same steps: prepare, replicate, test, fail_over, commit, remove."""

import json
import uuid

from azure.core.exceptions import HttpResponseError
from azure.mgmt.authorization.v2022_04_01 import models as authorization
from azure.mgmt.compute import models as compute
from azure.mgmt.recoveryservices import models as vaults
from azure.mgmt.recoveryservicessiterecovery import models as asr
from azure.mgmt.resource.locks import models as locks
from azure.mgmt.resource.resources import models as resources

import vcenter
from azure_side import CACHE, FAILOVER, LOCATION, SIZE, TARGET, VM, Azure

PROD, TEST = ("VNET-PROD-EUS2", "PROD-FE-EUS2"), ("VNET-TEST-EUS2", "PROD-FE-EUS2-test")


class InMageRcm:
    """Site Recovery with replication appliance and Mobility service."""

    VAULT, POLICY, PLAN = "ContosoMigrationVault", "ContosoMigrationPolicy", "ContosoMigrationPlan"
    at = (FAILOVER, VAULT)

    def __init__(self, azure: Azure):
        self.azure, self.asr, self.lab = azure, azure.asr, azure.lab

    def prepare(self) -> None:
        azure = self.azure
        azure.storage_account(CACHE, "StorageV2", allow_shared_key_access=True)
        vault = vaults.Vault(
            location=LOCATION,
            sku=vaults.Sku(name="RS0", tier="Standard"),
            identity=vaults.IdentityData(type="SystemAssigned"),
            properties=vaults.VaultProperties(public_network_access="Enabled"),
        )
        made = azure.ended(azure.vaults.vaults.begin_create_or_update(*self.at, vault))
        assert made.identity.principal_id
        assert [v.name for v in azure.vaults.vaults.list_by_resource_group(FAILOVER)] == [self.VAULT]
        with vcenter.VCenter(self.lab) as v:
            v.let_the_appliance_in()

    def fabrics(self):
        listed = self.asr.replication_fabrics.list(*self.at)
        return [f for f in listed if isinstance(f.properties.custom_details, asr.InMageRcmFabricSpecificDetails)]

    def replicate(self) -> None:
        azure, at = self.azure, self.at
        (self.fabric,) = self.lab.until("the appliance is registered", self.fabrics)
        details = self.fabric.properties.custom_details
        (appliances,) = self.asr.replication_appliances.list(*at)
        healthy = appliances.properties.provider_specific_details.appliances[0].process_server.health
        assert healthy == "Normal", healthy
        (container,) = self.asr.replication_protection_containers.list_by_replication_fabrics(*at, self.fabric.name)
        self.container = (*at, self.fabric.name, container.name)
        site = details.vmware_site_id
        machine = self.lab.until(f"{VM} is discovered", lambda: azure.found(f"{site}/machines", "displayName", VM))
        account = azure.found(f"{site}/runAsAccounts", "displayName", "svc-mobility")
        self.item = (*self.container, machine["name"])

        policy_id = f"{azure.id(FAILOVER, 'Microsoft.RecoveryServices/vaults', self.VAULT)}/replicationPolicies/{self.POLICY}"
        policy = asr.InMageRcmPolicyCreationInput(
            recovery_point_history_in_minutes=1440,
            crash_consistent_frequency_in_minutes=5,
            app_consistent_frequency_in_minutes=60,
            enable_multi_vm_sync="false",
        )
        wrapped = asr.CreatePolicyInput(properties=asr.CreatePolicyInputProperties(provider_specific_input=policy))
        made = azure.ended(self.asr.replication_policies.begin_create(*at, self.POLICY, wrapped))
        assert isinstance(made.properties.provider_specific_details, asr.InMageRcmPolicyDetails)
        mapping = asr.CreateProtectionContainerMappingInputProperties(
            target_protection_container_id="Microsoft Azure",
            policy_id=policy_id,
            provider_specific_input=asr.ReplicationProviderSpecificContainerMappingInput(
                instance_type="ReplicationProviderSpecificContainerMappingInput"
            ),
        )
        azure.ended(
            self.asr.replication_protection_container_mappings.begin_create(
                *self.container,
                f"{self.POLICY}-mapping",
                asr.CreateProtectionContainerMappingInput(properties=mapping),
            )
        )
        enable = asr.InMageRcmEnableProtectionInput(
            fabric_discovery_machine_id=machine["id"],
            process_server_id=details.process_servers[0].id,
            run_as_account_id=account["id"],
            target_resource_group_id=azure.group(TARGET),
            target_network_id=azure.vnet(PROD[0]),
            target_subnet_name=PROD[1],
            test_network_id=azure.vnet(TEST[0]),
            test_subnet_name=TEST[1],
            target_vm_name=VM,
            target_vm_size=SIZE,
            license_type="NoLicenseType",
            disks_default=asr.InMageRcmDisksDefaultInput(
                disk_type="Premium_LRS", log_storage_account_id=azure.account(CACHE)
            ),
        )
        azure.ended(
            self.asr.replication_protected_items.begin_create(
                *self.item,
                asr.EnableProtectionInput(
                    properties=asr.EnableProtectionInputProperties(
                        policy_id=policy_id, provider_specific_details=enable
                    )
                ),
            )
        )
        self.lab.until("the first recovery point is there", lambda: "TestFailover" in self.state().allowed_operations)
        assert [i.name for i in self.asr.replication_protected_items.list(*at)] == [machine["name"]]
        assert list(self.asr.recovery_points.list_by_replication_protected_items(*self.item))
        jobs = list(self.asr.replication_jobs.list(*at))
        assert {j.properties.state for j in jobs} == {"Succeeded"} and all(j.properties.tasks for j in jobs)

    def state(self) -> asr.ReplicationProtectedItemProperties:
        return self.asr.replication_protected_items.get(*self.item).properties

    def test(self) -> str:
        network = self.azure.vnet(TEST[0])
        test = asr.TestFailoverInputProperties(
            failover_direction="PrimaryToRecovery",
            network_type="VmNetworkAsInput",
            network_id=network,
            provider_specific_details=asr.InMageRcmTestFailoverInput(
                network_id=network,
                recovery_point_id=self.state().provider_specific_details.last_recovery_point_id,
            ),
        )
        self.azure.ended(
            self.asr.replication_protected_items.begin_test_failover(
                *self.item, asr.TestFailoverInput(properties=test)
            )
        )
        return f"{VM}-test"

    def clean_up_test(self) -> None:
        comments = asr.TestFailoverCleanupInputProperties(comments="Accepted in Rehost.")
        self.azure.ended(
            self.asr.replication_protected_items.begin_test_failover_cleanup(
                *self.item, asr.TestFailoverCleanupInput(properties=comments)
            )
        )

    def fail_over(self) -> None:
        item = self.asr.replication_protected_items.get(*self.item)
        group = asr.RecoveryPlanGroup(
            group_type="Boot",
            replication_protected_items=[
                asr.RecoveryPlanProtectedItem(id=item.id, virtual_machine_id=self.item[-1])
            ],
            start_group_actions=[],
            end_group_actions=[],
        )
        plan = asr.CreateRecoveryPlanInputProperties(
            primary_fabric_id=self.fabric.id,
            recovery_fabric_id="Microsoft Azure",
            failover_deployment_model="ResourceManager",
            groups=[group],
        )
        plans = self.asr.replication_recovery_plans
        made = self.azure.ended(
            plans.begin_create(*self.at, self.PLAN, asr.CreateRecoveryPlanInput(properties=plan))
        )
        assert {g.group_type for g in made.properties.groups} >= {"Boot"}
        failover = asr.RecoveryPlanUnplannedFailoverInputProperties(
            failover_direction="PrimaryToRecovery",
            source_site_operations="Required",
            provider_specific_details=[asr.RecoveryPlanInMageRcmFailoverInput(recovery_point_type="Latest")],
        )
        self.azure.ended(
            plans.begin_unplanned_failover(
                *self.at, self.PLAN, asr.RecoveryPlanUnplannedFailoverInput(properties=failover)
            )
        )
        assert self.state().active_location == "Recovery"

    def commit(self) -> None:
        self.azure.ended(self.asr.replication_recovery_plans.begin_failover_commit(*self.at, self.PLAN))
        assert self.state().protection_state == "UnplannedFailoverCommitted"

    def remove(self) -> None:
        azure = self.azure
        azure.ended(self.asr.replication_recovery_plans.begin_delete(*self.at, self.PLAN))
        disable = asr.DisableProtectionInputProperties(
            disable_protection_reason="MigrationComplete",
            replication_provider_input=asr.DisableProtectionProviderSpecificInput(
                instance_type="DisableProtectionProviderSpecificInput"
            ),
        )
        azure.ended(
            self.asr.replication_protected_items.begin_delete(
                *self.item, asr.DisableProtectionInput(properties=disable)
            )
        )
        unmap(azure, (*self.container, f"{self.POLICY}-mapping"), "InMageRcm")
        azure.ended(self.asr.replication_policies.begin_delete(*self.at, self.POLICY))
        azure.ended(self.asr.replication_fabrics.begin_remove_infra(*self.at, self.fabric.name))
        azure.ended(azure.vaults.vaults.begin_delete(*self.at))
        azure.storage.storage_accounts.delete(FAILOVER, CACHE)


class VMwareCbt:
    """Azure Migrate without an agent. Microsoft has no client for projects and sites on PyPI; its general one takes them."""

    PROJECT, REGION, APPLIANCE = "ContosoMigrateProject", "Central US", "ASRAPPLIANCE"
    SOLUTIONS = {
        "Servers-Discovery-ServerDiscovery": ("ServerDiscovery", "Discovery"),
        "Servers-Assessment-ServerAssessment": ("ServerAssessment", "Assessment"),
        "Servers-Migration-ServerMigration": ("ServerMigration", "Migration"),
    }
    PREVIEW = "2018-09-01-preview"
    CONTRIBUTOR, BLOB_CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

    def __init__(self, azure: Azure):
        self.azure, self.asr, self.lab = azure, azure.asr, azure.lab
        self.project = azure.id(FAILOVER, "Microsoft.Migrate/migrateProjects", self.PROJECT)

    def prepare(self) -> None:
        azure = self.azure
        names = ["OffAzure", "Migrate", "KeyVault", "Insights", "GuestConfiguration", "HybridConnectivity"]
        names += ["DataReplication", "MySQLDiscovery", "DependencyMap", "ApplicationMigration", "AzureArcData"]
        azure.register(*(f"Microsoft.{n}" for n in [*names, "ContainerInstance"]))
        self.put(
            self.project,
            "2020-05-01",
            resources.GenericResource(location=self.REGION, properties={"publicNetworkAccess": "Enabled"}),
        )
        for name, (tool, purpose) in self.SOLUTIONS.items():
            properties = {"tool": tool, "purpose": purpose, "goal": "Servers", "status": "Active"}
            self.put(self.solution(name), self.PREVIEW, resources.GenericResource(properties=properties))
        with vcenter.VCenter(self.lab) as v:
            v.let_the_appliance_in()

    def solution(self, name: str) -> str:
        return f"{self.project}/solutions/{name}"

    def put(self, id: str, version: str, resource: resources.GenericResource) -> None:
        self.azure.ended(self.azure.resources.resources.begin_create_or_update_by_id(id, resource, api_version=version))

    def details(self, name: str) -> dict:
        solution = self.azure.resources.resources.get_by_id(self.solution(name), api_version=self.PREVIEW)
        return (solution.properties.get("details") or {}).get("extendedDetails") or {}

    def site(self) -> str | None:
        known = json.loads(self.details("Servers-Discovery-ServerDiscovery").get("applianceNameToSiteIdMapV2") or "[]")
        return next((a["SiteId"] for a in known if a["ApplianceName"] == self.APPLIANCE), None)

    def fabrics(self):
        listed = self.asr.replication_fabrics.list(*self.at)
        return [f for f in listed if isinstance(f.properties.custom_details, asr.VMwareV2FabricSpecificDetails)]

    def replicate(self) -> None:
        azure = self.azure
        site = self.site_id = self.lab.until("the appliance is registered", self.site)
        migration = "Servers-Migration-ServerMigration"
        vault_id = self.lab.until("the project has a vault", lambda: self.details(migration).get("vaultId"))
        self.at = (FAILOVER, vault_id.rsplit("/", 1)[1])
        vault = azure.vaults.vaults.get(*self.at)
        (self.fabric,) = self.lab.until("the fabric is there", self.fabrics)
        inside = (*self.at, self.fabric.name)
        (container,) = self.asr.replication_protection_containers.list_by_replication_fabrics(*inside)
        (provider,) = self.asr.replication_recovery_services_providers.list_by_replication_fabrics(*inside)
        assert provider.properties.connection_status == "Connected"
        identities = [provider.properties.resource_access_identity_details.object_id, vault.identity.principal_id]
        self.container = (*inside, container.name)
        machine = self.lab.until(f"{VM} is discovered", lambda: azure.found(f"{site}/machines", "displayName", VM))
        account = self.lab.arm(f"{machine['properties']['vCenterId']}?api-version=2020-01-01")
        account = account["properties"]["runAsAccountId"]
        self.item = (*self.container, machine["name"])

        self.cache = f"migratersa{java_hash(self.fabric.id)}"
        azure.storage_account(self.cache, "Storage")
        scope = azure.account(self.cache)
        roles = f"/subscriptions/{self.lab.subscription}/providers/Microsoft.Authorization/roleDefinitions"
        self.assigned = []
        for identity in identities:
            for role in [self.CONTRIBUTOR, self.BLOB_CONTRIBUTOR]:
                assignment = authorization.RoleAssignmentCreateParameters(
                    role_definition_id=f"{roles}/{role}", principal_id=identity, principal_type="ServicePrincipal"
                )
                name = str(uuid.uuid4())
                azure.authorization.role_assignments.create(scope, name, assignment)
                self.assigned.append(name)
        listed = lambda: {a.name for a in azure.authorization.role_assignments.list_for_scope(scope)}
        self.lab.until("the rights have spread", lambda: listed() >= set(self.assigned))
        # The client for locks by scope would send the scope's slashes encoded.
        self.lock = (FAILOVER, "Microsoft.Storage", "", "storageAccounts", self.cache, f"{self.PROJECT}lock")
        azure.locks.management_locks.create_or_update_at_resource_level(
            *self.lock,
            locks.ManagementLockObject(
                level="CanNotDelete", notes="Azure Migrate replicates through this account."
            ),
        )
        try:
            azure.storage.storage_accounts.delete(FAILOVER, self.cache)
            raise AssertionError("a lock must protect the account")
        except HttpResponseError as e:
            assert e.error.code == "ScopeLocked", e

        self.policy = f"migrate{site.rsplit('/', 1)[1]}policy"
        policy = asr.VMwareCbtPolicyCreationInput(
            recovery_point_history_in_minutes=360,
            crash_consistent_frequency_in_minutes=60,
            app_consistent_frequency_in_minutes=240,
        )
        wrapped = asr.CreatePolicyInput(properties=asr.CreatePolicyInputProperties(provider_specific_input=policy))
        made = azure.ended(self.asr.replication_policies.begin_create(*self.at, self.policy, wrapped))
        assert isinstance(made.properties.provider_specific_details, asr.VmwareCbtPolicyDetails)
        policy_id = f"{vault_id}/replicationPolicies/{self.policy}"
        mapping = asr.CreateProtectionContainerMappingInputProperties(
            target_protection_container_id="Microsoft Azure",
            policy_id=policy_id,
            provider_specific_input=asr.VMwareCbtContainerMappingInput(
                target_location=LOCATION, storage_account_id=scope
            ),
        )
        azure.ended(
            self.asr.replication_protection_container_mappings.begin_create(
                *self.container,
                "containermapping",
                asr.CreateProtectionContainerMappingInput(properties=mapping),
            )
        )
        disks = [
            asr.VMwareCbtDiskInput(
                disk_id=disk["uuid"],
                is_os_disk="true" if number == 0 else "false",
                disk_type="Premium_LRS",
                log_storage_account_id=scope,
                log_storage_account_sas_secret_name=f"{self.cache}-cacheSas",
            )
            for number, disk in enumerate(machine["properties"]["disks"])
        ]
        enable = asr.VMwareCbtEnableMigrationInput(
            vmware_machine_id=machine["id"],
            data_mover_run_as_account_id=account,
            snapshot_run_as_account_id=account,
            target_resource_group_id=azure.group(TARGET),
            target_network_id=azure.vnet(PROD[0]),
            target_subnet_name=PROD[1],
            test_network_id=azure.vnet(TEST[0]),
            test_subnet_name=TEST[1],
            target_vm_name=VM,
            target_vm_size=SIZE,
            license_type="NoLicenseType",
            perform_auto_resync="true",
            disks_to_include=disks,
        )
        azure.ended(
            self.asr.replication_migration_items.begin_create(
                *self.item,
                asr.EnableMigrationInput(
                    properties=asr.EnableMigrationInputProperties(
                        policy_id=policy_id, provider_specific_details=enable
                    )
                ),
            )
        )
        self.lab.until("a test may be run", lambda: "TestMigrate" in self.state().allowed_operations)
        assert [i.name for i in self.asr.replication_migration_items.list(*self.at)] == [machine["name"]]
        jobs = list(self.asr.replication_jobs.list(*self.at))
        assert {j.properties.state for j in jobs} == {"Succeeded"} and all(j.properties.tasks for j in jobs)

    def state(self) -> asr.MigrationItemProperties:
        return self.asr.replication_migration_items.get(*self.item).properties

    def test(self) -> str:
        test = asr.VMwareCbtTestMigrateInput(
            recovery_point_id=self.state().provider_specific_details.last_recovery_point_id,
            network_id=self.azure.vnet(TEST[0]),
        )
        self.azure.ended(
            self.asr.replication_migration_items.begin_test_migrate(
                *self.item,
                asr.TestMigrateInput(properties=asr.TestMigrateInputProperties(provider_specific_details=test)),
            )
        )
        assert self.state().test_migrate_state == "TestMigrationSucceeded"
        self.diagnose(f"{VM}-Test")
        return f"{VM}-Test"

    def diagnose(self, name: str) -> None:
        """Azure Migrate leaves boot diagnostics off."""
        on = compute.DiagnosticsProfile(boot_diagnostics=compute.BootDiagnostics(enabled=True))
        machines = self.azure.compute.virtual_machines
        self.azure.ended(machines.begin_update(TARGET, name, compute.VirtualMachineUpdate(diagnostics_profile=on)))

    def clean_up_test(self) -> None:
        comments = asr.TestMigrateCleanupInputProperties(comments="Accepted in Rehost.")
        self.azure.ended(
            self.asr.replication_migration_items.begin_test_migrate_cleanup(
                *self.item, asr.TestMigrateCleanupInput(properties=comments)
            )
        )
        assert self.state().test_migrate_state == "None"

    def fail_over(self) -> None:
        migrate = asr.VMwareCbtMigrateInput(perform_shutdown="true")
        self.azure.ended(
            self.asr.replication_migration_items.begin_migrate(
                *self.item,
                asr.MigrateInput(properties=asr.MigrateInputProperties(provider_specific_details=migrate)),
            )
        )
        assert self.state().migration_state == "MigrationSucceeded"
        self.diagnose(VM)

    def commit(self) -> None:
        # Completing the migration is deleting its item.
        self.azure.ended(self.asr.replication_migration_items.begin_delete(*self.item))
        assert not list(self.asr.replication_migration_items.list(*self.at))

    def remove(self) -> None:
        azure = self.azure
        unmap(azure, (*self.container, "containermapping"), "VMwareCbt")
        azure.ended(self.asr.replication_policies.begin_delete(*self.at, self.policy))
        azure.ended(self.asr.replication_fabrics.begin_remove_infra(*self.at, self.fabric.name))
        scope = azure.account(self.cache)
        azure.locks.management_locks.delete_at_resource_level(*self.lock)
        for name in self.assigned:
            azure.authorization.role_assignments.delete(scope, name)
        azure.storage.storage_accounts.delete(FAILOVER, self.cache)
        azure.ended(azure.vaults.vaults.begin_delete(*self.at))
        for id, version in [(self.site_id, "2020-01-01"), (self.project, "2020-05-01")]:
            azure.ended(azure.resources.resources.begin_delete_by_id(id, api_version=version))


def java_hash(text: str) -> int:
    """Java's hash of a string, without its sign: the portal names the cache account by it."""
    value = 0
    for unit in text:
        value = (31 * value + ord(unit)) & 0xFFFFFFFF
    return abs(value - (1 << 32) if value >= 1 << 31 else value)


def unmap(azure: Azure, mapping: tuple[str, ...], kind: str) -> None:
    properties = asr.RemoveProtectionContainerMappingInputProperties(
        provider_specific_input=asr.ReplicationProviderContainerUnmappingInput(instance_type=kind)
    )
    azure.ended(
        azure.asr.replication_protection_container_mappings.begin_delete(
            *mapping, asr.RemoveProtectionContainerMappingInput(properties=properties)
        )
    )
