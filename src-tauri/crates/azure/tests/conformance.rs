//! Microsoft's own example answers, read by our types.
//!
//! For each operation that Rehost uses, the examples beside Microsoft's OpenAPI file (of the api-version that
//! `azure::versions` judges by) go through the type with which the client reads the answer. Reading alone would prove
//! little, because the types are lenient: so what was read is also compared with what was there, and every field of the
//! types must be a property of Microsoft's schema, where a misspelt one would for ever read as "missing".
//!
//! Needs the specifications: `REHOST_SHARED` names the folder that holds `azure-rest-api-specs`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod conformance {
    use azure::{
        authorization as auth, compute, datamigration as dms, migrate, model,
        model::{Page, Resource},
        network, offazure, recovery, resources, sql, storage, versions,
    };
    use jiff::{Timestamp, civil, tz::TimeZone};
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
        rc::Rc,
    };

    type Read = fn(Value) -> Result<Value, String>;

    /// Reads a document as a type and writes it again.
    fn one<T: DeserializeOwned + Serialize>(document: Value) -> Result<Value, String> {
        let read: T = serde_path_to_error::deserialize(document).map_err(|e| e.to_string())?;
        serde_json::to_value(read).map_err(|e| e.to_string())
    }

    fn page<T: DeserializeOwned + Serialize>(document: Value) -> Result<Value, String> {
        one::<Page<T>>(document)
    }

    /// A file of Microsoft's, and how its operations' answers are read.
    struct Specification {
        /// Below `specification/`, without `stable` or `preview`.
        folder: &'static str,
        /// The type whose api-version it is.
        of: &'static str,
        file: &'static str,
        operations: Vec<(&'static str, Read)>,
    }

    fn specification(
        folder: &'static str,
        of: &'static str,
        file: &'static str,
        operations: &[(&'static str, Read)],
    ) -> Specification {
        Specification {
            folder,
            of,
            file,
            operations: operations.to_vec(),
        }
    }

    const RECOVERY: &str = "recoveryservices/resource-manager/Microsoft.RecoveryServices";
    const VAULT: &str = "Microsoft.RecoveryServices/vaults";
    const SQL: &str = "sql/resource-manager/Microsoft.Sql";
    const MI: &str = "Microsoft.Sql/managedInstances";
    const NETWORK: &str = "network/resource-manager/Microsoft.Network";
    const VNET: &str = "Microsoft.Network/virtualNetworks";
    const COMPUTE: &str = "compute/resource-manager/Microsoft.Compute/ComputeRP";
    const VM: &str = "Microsoft.Compute/virtualMachines";
    const STORAGE: &str = "storage/resource-manager/Microsoft.Storage";
    const ACCOUNT: &str = "Microsoft.Storage/storageAccounts";
    const RIGHTS: &str = "authorization/resource-manager/Microsoft.Authorization";
    const CLASSIC: &str = "Microsoft.DataMigration/services";

    #[rustfmt::skip]
    fn used() -> Vec<Specification> {
        vec![
            specification("resources/resource-manager/Microsoft.Resources", "Microsoft.Resources/subscriptions", "subscriptions.json", &[
                ("Subscriptions_ListLocations", page::<resources::Location>),
                ("Subscriptions_Get", one::<resources::Subscription>),
                ("Subscriptions_List", page::<resources::Subscription>),
                ("Tenants_List", page::<resources::Tenant>),
            ]),
            specification("resources/resource-manager/Microsoft.Resources", "Microsoft.Resources/providers", "resources.json", &[
                ("Providers_Register", one::<resources::Provider>),
                ("Providers_Get", one::<resources::Provider>),
                ("Providers_List", page::<resources::Provider>),
                ("ResourceGroups_CreateOrUpdate", one::<resources::ResourceGroup>),
                ("ResourceGroups_Get", one::<resources::ResourceGroup>),
                ("ResourceGroups_List", page::<resources::ResourceGroup>),
                ("Resources_ListByResourceGroup", page::<resources::ListedResource>),
            ]),
            specification(RIGHTS, "Microsoft.Authorization/roleAssignments", "authorization-RoleDefinitionsCalls.json", &[
                ("Permissions_ListForResourceGroup", page::<auth::Permission>),
                ("Permissions_ListForResource", page::<auth::Permission>),
                ("RoleDefinitions_Get", one::<auth::RoleDefinition>),
                ("RoleDefinitions_List", page::<auth::RoleDefinition>),
            ]),
            specification(RIGHTS, "Microsoft.Authorization/roleAssignments", "authorization-RoleAssignmentsCalls.json", &[
                ("RoleAssignments_Create", one::<auth::RoleAssignment>),
                ("RoleAssignments_Delete", one::<auth::RoleAssignment>),
                ("RoleAssignments_ListForResourceGroup", page::<auth::RoleAssignment>),
                ("RoleAssignments_ListForScope", page::<auth::RoleAssignment>),
            ]),
            specification("resources/resource-manager/Microsoft.Authorization", "Microsoft.Authorization/locks", "locks.json", &[
                ("ManagementLocks_CreateOrUpdateByScope", one::<auth::Lock>),
                ("ManagementLocks_GetByScope", one::<auth::Lock>),
                ("ManagementLocks_ListByScope", page::<auth::Lock>),
                ("ManagementLocks_ListAtResourceGroupLevel", page::<auth::Lock>),
            ]),
            specification(NETWORK, VNET, "virtualNetwork.json", &[
                ("VirtualNetworks_Get", one::<network::Network>),
                ("VirtualNetworks_CreateOrUpdate", one::<network::Network>),
                ("VirtualNetworks_List", page::<network::Network>),
                ("VirtualNetworks_ListAll", page::<network::Network>),
                ("VirtualNetworks_CheckIPAddressAvailability", one::<network::AddressAvailability>),
                ("Subnets_Get", one::<network::Subnet>),
                ("Subnets_CreateOrUpdate", one::<network::Subnet>),
                ("Subnets_List", page::<network::Subnet>),
                ("VirtualNetworkPeerings_Get", one::<network::Peering>),
                ("VirtualNetworkPeerings_CreateOrUpdate", one::<network::Peering>),
                ("VirtualNetworkPeerings_List", page::<network::Peering>),
            ]),
            specification(NETWORK, VNET, "routeTable.json", &[
                ("RouteTables_Get", one::<network::RouteTable>),
                ("RouteTables_CreateOrUpdate", one::<network::RouteTable>),
                ("RouteTables_List", page::<network::RouteTable>),
                ("Routes_Get", one::<network::Route>),
                ("Routes_CreateOrUpdate", one::<network::Route>),
                ("Routes_List", page::<network::Route>),
            ]),
            specification(NETWORK, VNET, "networkSecurityGroup.json", &[
                ("NetworkSecurityGroups_Get", one::<network::SecurityGroup>),
                ("NetworkSecurityGroups_CreateOrUpdate", one::<network::SecurityGroup>),
                ("NetworkSecurityGroups_List", page::<network::SecurityGroup>),
                ("SecurityRules_Get", one::<network::SecurityRule>),
                ("SecurityRules_CreateOrUpdate", one::<network::SecurityRule>),
                ("SecurityRules_List", page::<network::SecurityRule>),
            ]),
            specification(NETWORK, VNET, "virtualNetworkGateway.json", &[
                ("VirtualNetworkGateways_Get", one::<network::Gateway>),
                ("VirtualNetworkGateways_List", page::<network::Gateway>),
            ]),
            specification(NETWORK, VNET, "networkInterface.json", &[
                ("NetworkInterfaces_Get", one::<network::Card>),
                ("NetworkInterfaces_List", page::<network::Card>),
            ]),
            specification(NETWORK, VNET, "usage.json", &[("Usages_List", page::<model::Usage>)]),
            specification(SQL, MI, "ManagedInstances.json", &[
                ("ManagedInstances_Get", one::<sql::Instance>),
                ("ManagedInstances_CreateOrUpdate", one::<sql::Instance>),
                ("ManagedInstances_Update", one::<sql::Instance>),
                ("ManagedInstances_List", page::<sql::Instance>),
                ("ManagedInstances_ListByResourceGroup", page::<sql::Instance>),
            ]),
            specification(SQL, MI, "ManagedInstanceOperations.json", &[
                ("ManagedInstanceOperations_Get", one::<sql::InstanceOperation>),
                ("ManagedInstanceOperations_ListByManagedInstance", page::<sql::InstanceOperation>),
            ]),
            specification(SQL, MI, "ManagedDatabases.json", &[
                ("ManagedDatabases_Get", one::<sql::Database>),
                ("ManagedDatabases_CreateOrUpdate", one::<sql::Database>),
                ("ManagedDatabases_ListByInstance", page::<sql::Database>),
            ]),
            specification(SQL, MI, "ManagedDatabaseRestoreDetails.json", &[("ManagedDatabaseRestoreDetails_Get", one::<sql::Restore>)]),
            specification(SQL, MI, "LocationCapabilities.json", &[("Capabilities_ListByLocation", one::<sql::Capabilities>)]),
            specification(SQL, MI, "SubscriptionUsages.json", &[
                ("SubscriptionUsages_Get", one::<sql::SqlUsage>),
                ("SubscriptionUsages_ListByLocation", page::<sql::SqlUsage>),
            ]),
            specification(SQL, MI, "VirtualClusters.json", &[
                ("VirtualClusters_Get", one::<sql::VirtualCluster>),
                ("VirtualClusters_List", page::<sql::VirtualCluster>),
                ("VirtualClusters_ListByResourceGroup", page::<sql::VirtualCluster>),
            ]),
            specification(STORAGE, ACCOUNT, "storage.json", &[
                ("StorageAccounts_CheckNameAvailability", one::<model::NameAvailability>),
                ("StorageAccounts_Create", one::<storage::Account>),
                ("StorageAccounts_GetProperties", one::<storage::Account>),
                ("StorageAccounts_List", page::<storage::Account>),
                ("StorageAccounts_ListByResourceGroup", page::<storage::Account>),
                ("StorageAccounts_ListKeys", one::<storage::Keys>),
                ("StorageAccounts_RegenerateKey", one::<storage::Keys>),
                ("StorageAccounts_ListServiceSAS", one::<storage::ServiceSas>),
                ("Usages_ListByLocation", page::<model::Usage>),
            ]),
            specification(STORAGE, ACCOUNT, "blob.json", &[
                ("BlobContainers_Create", one::<storage::Container>),
                ("BlobContainers_Get", one::<storage::Container>),
                ("BlobContainers_List", page::<storage::Container>),
            ]),
            specification("datamigration/resource-manager/Microsoft.DataMigration", "Microsoft.DataMigration/sqlMigrationServices", "sqlmigration.json", &[
                ("DatabaseMigrationsSqlMi_Get", one::<dms::DatabaseMigration>),
                ("DatabaseMigrationsSqlMi_CreateOrUpdate", one::<dms::DatabaseMigration>),
                ("SqlMigrationServices_Get", one::<dms::Service>),
                ("SqlMigrationServices_CreateOrUpdate", one::<dms::Service>),
                ("SqlMigrationServices_Update", one::<dms::Service>),
                ("SqlMigrationServices_ListByResourceGroup", page::<dms::Service>),
                ("SqlMigrationServices_ListBySubscription", page::<dms::Service>),
                ("SqlMigrationServices_listAuthKeys", one::<dms::AuthKeys>),
                ("SqlMigrationServices_regenerateAuthKeys", one::<dms::AuthKeys>),
                ("SqlMigrationServices_listMonitoringData", one::<dms::Monitoring>),
                ("SqlMigrationServices_listMigrations", page::<dms::DatabaseMigration>),
            ]),
            specification("datamigration/resource-manager/Microsoft.DataMigration", CLASSIC, "datamigration.json", &[
                ("Services_Get", one::<dms::ClassicService>),
                ("Services_List", page::<dms::ClassicService>),
                ("Services_ListByResourceGroup", page::<dms::ClassicService>),
                ("Projects_Get", one::<dms::ClassicProject>),
                ("Projects_List", page::<dms::ClassicProject>),
                ("Tasks_Get", one::<dms::ClassicTask>),
                ("Tasks_List", page::<dms::ClassicTask>),
            ]),
            specification(RECOVERY, VAULT, "vaults.json", &[
                ("RecoveryServices_CheckNameAvailability", one::<model::NameAvailability>),
                ("Vaults_Get", one::<recovery::Vault>),
                ("Vaults_CreateOrUpdate", one::<recovery::Vault>),
                ("Vaults_ListByResourceGroup", page::<recovery::Vault>),
                ("Vaults_ListBySubscriptionId", page::<recovery::Vault>),
            ]),
            specification(RECOVERY, VAULT, "vaultusages.json", &[("Usages_ListByVaults", page::<model::Usage>)]),
            specification(RECOVERY, "Microsoft.RecoveryServices/vaults/replicationUsages", "replicationusages.json", &[("ReplicationUsages_List", page::<recovery::ReplicationUsage>)]),
            specification("recoveryservicessiterecovery/resource-manager/Microsoft.RecoveryServices", "Microsoft.RecoveryServices/vaults/replicationFabrics", "service.json", &[
                ("ReplicationAppliances_List", page::<recovery::Appliances>),
                ("ReplicationEvents_List", page::<recovery::Event>),
                ("ReplicationEvents_Get", one::<recovery::Event>),
                ("ReplicationFabrics_List", page::<recovery::Fabric>),
                ("ReplicationFabrics_Get", one::<recovery::Fabric>),
                ("ReplicationFabrics_Create", one::<recovery::Fabric>),
                ("ReplicationFabrics_CheckConsistency", one::<recovery::Fabric>),
                ("ReplicationProtectionContainers_ListByReplicationFabrics", page::<recovery::Container>),
                ("ReplicationProtectionContainers_List", page::<recovery::Container>),
                ("ReplicationProtectionContainers_Get", one::<recovery::Container>),
                ("ReplicationMigrationItems_List", page::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_ListByReplicationProtectionContainers", page::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_Get", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_Create", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_Update", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_Migrate", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_TestMigrate", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_TestMigrateCleanup", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_PauseReplication", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_ResumeReplication", one::<recovery::MigrationItem>),
                ("ReplicationMigrationItems_Resync", one::<recovery::MigrationItem>),
                ("MigrationRecoveryPoints_ListByReplicationMigrationItems", page::<recovery::RecoveryPoint>),
                ("MigrationRecoveryPoints_Get", one::<recovery::RecoveryPoint>),
                ("ReplicationProtectedItems_List", page::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_ListByReplicationProtectionContainers", page::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_Get", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_Create", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_Update", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_TestFailover", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_TestFailoverCleanup", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_UnplannedFailover", one::<recovery::ProtectedItem>),
                ("ReplicationProtectedItems_FailoverCommit", one::<recovery::ProtectedItem>),
                ("RecoveryPoints_ListByReplicationProtectedItems", page::<recovery::RecoveryPoint>),
                ("RecoveryPoints_Get", one::<recovery::RecoveryPoint>),
                ("ReplicationProtectionContainerMappings_List", page::<recovery::Mapping>),
                ("ReplicationProtectionContainerMappings_ListByReplicationProtectionContainers", page::<recovery::Mapping>),
                ("ReplicationProtectionContainerMappings_Get", one::<recovery::Mapping>),
                ("ReplicationProtectionContainerMappings_Create", one::<recovery::Mapping>),
                ("ReplicationRecoveryServicesProviders_List", page::<recovery::Provider>),
                ("ReplicationRecoveryServicesProviders_ListByReplicationFabrics", page::<recovery::Provider>),
                ("ReplicationRecoveryServicesProviders_Get", one::<recovery::Provider>),
                ("ReplicationJobs_List", page::<recovery::Job>),
                ("ReplicationJobs_Get", one::<recovery::Job>),
                ("ReplicationJobs_Cancel", one::<recovery::Job>),
                ("ReplicationJobs_Restart", one::<recovery::Job>),
                ("ReplicationJobs_Resume", one::<recovery::Job>),
                ("ReplicationPolicies_List", page::<recovery::Policy>),
                ("ReplicationPolicies_Get", one::<recovery::Policy>),
                ("ReplicationPolicies_Create", one::<recovery::Policy>),
                ("ReplicationRecoveryPlans_List", page::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_Get", one::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_Create", one::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_UnplannedFailover", one::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_FailoverCommit", one::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_TestFailover", one::<recovery::RecoveryPlan>),
                ("ReplicationRecoveryPlans_TestFailoverCleanup", one::<recovery::RecoveryPlan>),
                ("ReplicationvCenters_List", page::<recovery::VCenter>),
                ("ReplicationvCenters_Get", one::<recovery::VCenter>),
                ("ReplicationVaultHealth_Get", one::<recovery::VaultHealth>),
                ("ReplicationVaultHealth_Refresh", one::<recovery::VaultHealth>),
            ]),
            specification("migrateprojects/resource-manager/Microsoft.Migrate", "Microsoft.Migrate/migrateProjects/solutions", "migrate.json", &[
                ("Solutions_GetSolution", one::<migrate::Solution>),
                ("Solutions_PutSolution", one::<migrate::Solution>),
                ("Solutions_PatchSolution", one::<migrate::Solution>),
                ("Solutions_EnumerateSolutions", page::<migrate::Solution>),
            ]),
            specification("migrate/resource-manager/Microsoft.Migrate/MigrateProjects", "Microsoft.Migrate/migrateProjects", "hubmigrate.json", &[
                ("MigrateProjectsController_GetMigrateProject", one::<migrate::Project>),
                ("MigrateProjectsController_PutMigrateProject", one::<migrate::Project>),
            ]),
            specification("migrate/resource-manager/Microsoft.OffAzure", "Microsoft.OffAzure/VMwareSites", "migrate.json", &[
                ("Sites_GetSite", one::<offazure::Site>),
                ("Sites_PutSite", one::<offazure::Site>),
                ("VCenter_GetVCenter", one::<offazure::VCenter>),
                ("VCenter_GetAllVCentersInSite", page::<offazure::VCenter>),
                ("RunAsAccounts_GetRunAsAccount", one::<offazure::RunAsAccount>),
                ("RunAsAccounts_GetAllRunAsAccountsInSite", page::<offazure::RunAsAccount>),
                ("Machines_GetMachine", one::<offazure::Machine>),
                ("Machines_GetAllMachinesInSite", page::<offazure::Machine>),
                ("Jobs_GetJob", one::<offazure::SiteJob>),
                ("Jobs_GetAllJobsInSite", page::<offazure::SiteJob>),
            ]),
            specification(COMPUTE, VM, "virtualMachine.json", &[
                ("VirtualMachines_Get", one::<compute::Machine>),
                ("VirtualMachines_List", page::<compute::Machine>),
                ("VirtualMachines_InstanceView", one::<compute::InstanceView>),
                ("VirtualMachines_RetrieveBootDiagnosticsData", one::<compute::BootDiagnosticsData>),
            ]),
            specification(COMPUTE, VM, "runCommand.json", &[
                ("VirtualMachines_RunCommand", one::<compute::RunCommandResult>),
                ("VirtualMachineRunCommands_CreateOrUpdate", one::<compute::RunCommand>),
                ("VirtualMachineRunCommands_GetByVirtualMachine", one::<compute::RunCommand>),
                ("VirtualMachineRunCommands_ListByVirtualMachine", page::<compute::RunCommand>),
            ]),
            specification(COMPUTE, VM, "computeRPCommon.json", &[("Usage_List", page::<model::Usage>)]),
            specification("compute/resource-manager/Microsoft.Compute/Skus", "Microsoft.Compute/skus", "skus.json", &[("ResourceSkus_List", page::<compute::ResourceSku>)]),
        ]
    }

    /// Fields of ours that the judged versions do not have yet. `type/field`.
    const NEWER: &[(&str, &str)] = &[
        ("databaseFormat", "managed instance, since 2023-08-01"),
        ("isGeneralPurposeV2", "managed instance, since 2023-08-01"),
        ("virtualClusterId", "managed instance, since 2023-08-01"),
        ("numberOfFilesFound", "restoreDetails, since 2023-05-01"),
        ("numberOfFilesQueued", "restoreDetails, since 2023-05-01"),
        ("numberOfFilesRestored", "restoreDetails, since 2023-05-01"),
        ("numberOfFilesRestoring", "restoreDetails, since 2023-05-01"),
        ("numberOfFilesSkipped", "restoreDetails, since 2023-05-01"),
        ("numberOfFilesUnrestorable", "restoreDetails, since 2023-05-01"),
        ("nextLink", "of every page, though some lists have only one"),
    ];

    fn shared() -> PathBuf {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
        std::env::var_os("REHOST_SHARED").map_or_else(|| top.join("../shared"), PathBuf::from)
    }

    fn json(path: &Path) -> Value {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Microsoft's files, read once.
    #[derive(Default)]
    struct Files {
        documents: RefCell<BTreeMap<PathBuf, Rc<Value>>>,
        properties: RefCell<BTreeMap<(PathBuf, String), Rc<Properties>>>,
    }

    /// Of each property its schemas, with the file that they are in: kinds of one thing may differ.
    type Properties = BTreeMap<String, Vec<(PathBuf, Value)>>;

    impl Files {
        fn read(&self, path: &Path) -> Rc<Value> {
            if let Some(known) = self.documents.borrow().get(path) {
                return known.clone();
            }
            let document = Rc::new(json(path));
            self.documents.borrow_mut().insert(path.to_owned(), document.clone());
            document
        }

        /// Follows `$ref`, within the file and to other files.
        fn resolved(&self, file: &Path, schema: &Value) -> (PathBuf, Value) {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                return (file.to_owned(), schema.clone());
            };
            let (other, pointer) = reference.split_once('#').unwrap();
            let file = match other {
                "" => file.to_owned(),
                other => {
                    let other = file.parent().unwrap().join(other);
                    other
                        .canonicalize()
                        .unwrap_or_else(|e| panic!("{}: {e}", other.display()))
                }
            };
            let found = self.read(&file).pointer(pointer).cloned();
            let found = found.unwrap_or_else(|| panic!("{}: {reference}", file.display()));
            self.resolved(&file, &found)
        }

        /// The properties of a schema, those it inherits, and those of the kinds that a discriminator tells apart.
        fn properties(&self, file: &Path, schema: &Value) -> Rc<Properties> {
            let key = (file.to_owned(), schema.to_string());
            if let Some(known) = self.properties.borrow().get(&key) {
                return known.clone();
            }
            let found = Rc::new(self.find_properties(file, schema));
            self.properties.borrow_mut().insert(key, found.clone());
            found
        }

        fn find_properties(&self, file: &Path, schema: &Value) -> Properties {
            let mut all = Properties::new();
            let mut seen = BTreeSet::new();
            let mut open = vec![(file.to_owned(), schema.clone())];
            while let Some((file, schema)) = open.pop() {
                let (file, schema) = self.resolved(&file, &schema);
                if !seen.insert((file.clone(), schema.to_string())) {
                    continue;
                }
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    all.entry(name.clone())
                        .or_default()
                        .push((file.clone(), property.clone()));
                }
                for base in schema["allOf"].as_array().into_iter().flatten() {
                    open.push((file.clone(), base.clone()));
                }
                if schema.get("discriminator").is_some() {
                    for derived in self.read(&file)["definitions"]
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|d| d.1)
                    {
                        let extends = derived["allOf"].as_array().into_iter().flatten();
                        if extends.map(|b| self.resolved(&file, b).1).any(|b| b == schema) {
                            open.push((file.clone(), derived.clone()));
                        }
                    }
                }
            }
            all
        }

        /// Collects the fields of ours that the schema does not know.
        fn unknown(&self, file: &Path, schema: &Value, ours: &Value, at: &str, found: &mut BTreeSet<String>) {
            match ours {
                Value::Array(items) => {
                    let (file, schema) = self.resolved(file, schema);
                    for item in items {
                        self.unknown(&file, &schema["items"], item, at, found);
                    }
                }
                Value::Object(object) => {
                    let properties = self.properties(file, schema);
                    if properties.is_empty() {
                        // A map, or anything at all.
                        return;
                    }
                    // What all resources may have, this one need not.
                    let resource = object.contains_key("properties") && object.contains_key("tags");
                    for (name, value) in object {
                        let here = format!("{at}/{name}");
                        match properties.get(name) {
                            Some(schemas) => {
                                let mut fewest: Option<BTreeSet<String>> = None;
                                for (file, schema) in schemas {
                                    let mut inner = BTreeSet::new();
                                    self.unknown(file, schema, value, &here, &mut inner);
                                    if fewest.as_ref().is_none_or(|f| inner.len() < f.len()) {
                                        fewest = Some(inner);
                                    }
                                }
                                found.extend(fewest.unwrap_or_default());
                            }
                            None if resource && is_empty(value) => {}
                            None if NEWER.iter().any(|(newer, _)| newer == name) => {}
                            None => {
                                found.insert(here);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.values().all(is_empty),
            _ => false,
        }
    }

    fn time(text: &str) -> Option<Timestamp> {
        let local = || text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
        text.parse().ok().or_else(|| local().map(|t| t.timestamp()))
    }

    /// Compares what was read with what was there, and counts. What we do not read may be anything.
    fn same(ours: &Value, theirs: &Value, at: &str, fields: &mut usize) -> Result<(), String> {
        if is_empty(ours) {
            return Ok(());
        }
        let differs = || Err(format!("{at}: read as {ours}, but it is {theirs}"));
        match (ours, theirs) {
            (Value::Object(o), Value::Object(t)) => {
                for (name, value) in o.iter().filter(|(_, v)| !is_empty(v)) {
                    let found = t
                        .get(name)
                        .or_else(|| t.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|e| e.1));
                    match found {
                        Some(theirs) => same(value, theirs, &format!("{at}/{name}"), fields)?,
                        None => return Err(format!("{at}/{name}: read as {value}, but it is not there")),
                    }
                }
                return Ok(());
            }
            (Value::Array(o), Value::Array(t)) => {
                if o.len() != t.len() {
                    return differs();
                }
                for (i, (o, t)) in o.iter().zip(t).enumerate() {
                    same(o, t, &format!("{at}/{i}"), fields)?;
                }
                return Ok(());
            }
            // A file that can't be restored, by name alone.
            (Value::Object(o), Value::String(_)) if o.len() == 1 => {
                return same(o.values().next().unwrap(), theirs, at, fields);
            }
            _ => {}
        }
        *fields += 1;
        let equal = match (ours, theirs) {
            (Value::Number(o), Value::Number(t)) => o.as_f64() == t.as_f64(),
            (Value::Number(o), Value::String(t)) => o.as_f64() == t.parse().ok(),
            (Value::Bool(o), Value::String(t)) => o.to_string().eq_ignore_ascii_case(t),
            (Value::String(o), Value::String(t)) => {
                o.eq_ignore_ascii_case(t) || time(o).is_some_and(|o| Some(o) == time(t))
            }
            (o, t) => o == t,
        };
        if equal { Ok(()) } else { differs() }
    }

    fn file_of(s: &Specification) -> PathBuf {
        let version = versions::validate_as(s.of).unwrap();
        let folder = shared().join("azure-rest-api-specs/specification").join(s.folder);
        let level = if version.ends_with("preview") {
            "preview"
        } else {
            "stable"
        };
        folder.join(level).join(version).join(s.file)
    }

    /// The same file in the folders of other api-versions.
    fn versions_beside(file: &Path) -> Vec<PathBuf> {
        let versions = file.ancestors().nth(3).unwrap();
        let name = file.file_name().unwrap();
        let mut found: Vec<_> = ["stable", "preview"]
            .iter()
            .filter_map(|level| fs::read_dir(versions.join(level)).ok())
            .flat_map(|folders| folders.map(|f| f.unwrap().path().join(name)))
            .filter(|f| f.is_file() && f != file)
            .collect();
        found.sort();
        found
    }

    /// The operations of a file by id.
    fn operations(specification: &Value) -> BTreeMap<&str, &Value> {
        let methods = specification["paths"].as_object().into_iter().flatten().map(|p| p.1);
        methods
            .flat_map(|p| p.as_object().into_iter().flatten().map(|m| m.1))
            .filter_map(|o| Some((o["operationId"].as_str()?, o)))
            .collect()
    }

    /// What the judged files were good for.
    #[derive(Default)]
    struct Tally {
        answers: usize,
        values: usize,
        unknown: BTreeSet<String>,
    }

    /// Reads the examples of one operation.
    fn read_examples(files: &Files, file: &Path, id: &str, operation: &Value, read: Read, tally: &mut Tally) {
        for example in operation["x-ms-examples"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|e| e.1)
        {
            let at = file.parent().unwrap().join(example["$ref"].as_str().unwrap());
            for (status, answer) in json(&at)["responses"].as_object().into_iter().flatten() {
                let Some(body) = answer.get("body").filter(|b| status.starts_with('2') && b.is_object()) else {
                    continue;
                };
                let place = format!("{} ({id}, {status})", at.display());
                let ours = read(body.clone()).unwrap_or_else(|e| panic!("{place}: {e}"));
                same(&ours, body, "", &mut tally.values).unwrap_or_else(|e| panic!("{place}: {e}"));
                let schema = &operation["responses"][status]["schema"];
                files.unknown(file, schema, &ours, id, &mut tally.unknown);
                tally.answers += 1;
            }
        }
    }

    #[test]
    fn every_example_answer_of_microsoft_is_read_whole() {
        let files = Files::default();
        let (mut judged, mut others, mut count) = (Tally::default(), Tally::default(), 0);
        let mut silent = vec![];
        for s in used() {
            let path = file_of(&s);
            let document = files.read(&path);
            let all = operations(&document);
            for (id, read) in &s.operations {
                let operation = all
                    .get(id)
                    .unwrap_or_else(|| panic!("{}: no operation {id}", path.display()));
                count += 1;
                let before = judged.answers;
                read_examples(&files, &path, id, operation, *read, &mut judged);
                if judged.answers == before {
                    silent.push(*id);
                }
            }
            // The same operations in the other versions that are there, older and newer, must be readable too.
            for other in versions_beside(&path) {
                let document = files.read(&other);
                let all = operations(&document);
                for (id, read) in &s.operations {
                    if let Some(operation) = all.get(id) {
                        read_examples(&files, &other, id, operation, *read, &mut others);
                    }
                }
            }
        }
        // Of the version that goes over the wire, two examples are known.
        let newer = shared().join(
            "azure-rest-api-specs/specification/datamigration/resource-manager/Microsoft.DataMigration/DataMigration/stable",
        );
        let newer = newer
            .join(versions::for_type("Microsoft.DataMigration/databaseMigrations").unwrap())
            .join("examples");
        for entry in fs::read_dir(&newer).unwrap_or_else(|e| panic!("{}: {e}", newer.display())) {
            let at = entry.unwrap().path();
            for (status, answer) in json(&at)["responses"].as_object().into_iter().flatten() {
                if let Some(body) = answer.get("body").filter(|_| status.starts_with('2')) {
                    let ours =
                        one::<dms::DatabaseMigration>(body.clone()).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
                    same(&ours, body, "", &mut others.values).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
                    others.answers += 1;
                }
            }
        }
        println!(
            "{} example answers of {count} operations read, {} values compared; {} answers of other api-versions, {} values",
            judged.answers, judged.values, others.answers, others.values
        );
        println!(
            "{} operations have no example answer with a body: {silent:?}",
            silent.len()
        );
        assert!(
            judged.unknown.is_empty(),
            "fields that Microsoft's schemas do not have: {:#?}",
            judged.unknown
        );
        assert!(judged.answers > 300 && judged.values > 5_000);
    }

    /// The codes that Microsoft lists at the operations of managed instances and restores all have their sentence.
    #[test]
    fn every_code_in_microsofts_descriptions_has_a_sentence() {
        let files = Files::default();
        let judged = [
            (
                "ManagedInstances.json",
                &["ManagedInstances_CreateOrUpdate", "ManagedInstances_Delete"][..],
            ),
            (
                "ManagedDatabases.json",
                &[
                    "ManagedDatabases_CreateOrUpdate",
                    "ManagedDatabases_CompleteRestore",
                    "ManagedDatabases_Delete",
                ],
            ),
            (
                "ManagedDatabaseRestoreDetails.json",
                &["ManagedDatabaseRestoreDetails_Get"],
            ),
            ("ManagedInstanceOperations.json", &["ManagedInstanceOperations_Cancel"]),
        ];
        let (mut codes, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for (file, ids) in judged {
            let path = file_of(&specification(SQL, MI, file, &[]));
            let document = files.read(&path);
            let all = operations(&document);
            for id in ids {
                let text = all[id]["responses"]["default"]["description"].as_str().unwrap();
                for line in text.lines() {
                    // ` * 400 NameAlreadyExists - The provided name already exists.`
                    let mut parts = line.trim().trim_start_matches("* ").split(' ');
                    let (status, code, dash) = (parts.next(), parts.next(), parts.next());
                    if let (Some(Ok(_)), Some(code), Some("-")) = (status.map(str::parse::<u16>), code, dash) {
                        codes.insert(code.to_owned());
                        if azure::advice::known(code, "").is_none() {
                            missing.insert(code.to_owned());
                        }
                    }
                }
            }
        }
        println!(
            "{} codes of Microsoft's descriptions have a sentence",
            codes.len() - missing.len()
        );
        assert!(missing.is_empty(), "{missing:#?}");
        assert!(codes.len() > 200, "{}", codes.len());
    }

    /// The judge must be able to say no.
    #[test]
    fn another_shape_or_value_is_noticed() {
        let mut fields = 0;
        let ours = one::<sql::Instance>(serde_json::json!({"name": "mi", "properties": {"vCores": 8}})).unwrap();
        assert!(
            same(
                &ours,
                &serde_json::json!({"name": "mi", "properties": {"vCores": 8, "other": 1}}),
                "",
                &mut fields
            )
            .is_ok()
        );
        assert!(
            same(
                &ours,
                &serde_json::json!({"name": "mi", "properties": {"vCores": 4}}),
                "",
                &mut fields
            )
            .is_err()
        );
        assert!(
            same(
                &ours,
                &serde_json::json!({"name": "mi", "properties": {"vcore": 8}}),
                "",
                &mut fields
            )
            .is_err()
        );
        let wrong = one::<sql::Instance>(serde_json::json!({"properties": {"vCores": "eight"}})).unwrap_err();
        assert!(wrong.starts_with("properties.vCores"), "{wrong}");
        let _: Resource<sql::InstanceProperties> = Resource::default();
        let files = Files::default();
        let path = file_of(&used().remove(11));
        let schema = files.read(&path)["definitions"]["ManagedInstance"].clone();
        let mut unknown = BTreeSet::new();
        let misspelt = serde_json::json!({"name": "mi", "properties": {"vCore": null, "vCores": 8}});
        files.unknown(&path, &schema, &misspelt, "", &mut unknown);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["/properties/vCore"]);
    }
}
