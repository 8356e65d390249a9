//! The machine's way by Azure Migrate without an agent (`VMwareCbt`), steps 3 and 5: project, appliance, replication by
//! snapshots. Steps 7 and 8 are in [`super::migrated`].
//!
//! Decisions:
//! * The portal and Azure's own scripts find policy, mapping, cache account and lock by fixed names, so they have those
//!   names here too: what Rehost makes can be seen and gone on with there.
//! * The project may serve other applications. What was there before stays, and what Azure made for a project of somebody
//!   else's is never removed.
//! * Every disk of the machine goes along; the first one, on the lowest unit, is the operating system's.
//!
//! What people do on the appliance: MicrosoftDocs/azure-docs, `tutorial-discover-vmware` (2023-10), `migrate-appliance`
//! (2025-02) and `prepare-azure-accounts` (2025-11). What stands in none of them says "(unverified)".

use super::builder::*;

/// Providers that Azure Migrate's appliance registration needs beside those of the VM. Source: learn.microsoft.com,
/// Azure Migrate, required resource providers (2025-10-28).
const PROVIDERS: [&str; 12] = [
    "Microsoft.OffAzure",
    "Microsoft.Migrate",
    "Microsoft.KeyVault",
    "Microsoft.Insights",
    "Microsoft.GuestConfiguration",
    "Microsoft.HybridConnectivity",
    "Microsoft.DataReplication",
    "Microsoft.MySQLDiscovery",
    "Microsoft.DependencyMap",
    "Microsoft.ApplicationMigration",
    "Microsoft.AzureArcData",
    "Microsoft.ContainerInstance",
];

/// Tool and purpose of the project's solutions, by name.
const SOLUTIONS: [(&str, &str, &str); 3] = [
    ("Servers-Discovery-ServerDiscovery", "ServerDiscovery", "Discovery"),
    ("Servers-Assessment-ServerAssessment", "ServerAssessment", "Assessment"),
    ("Servers-Migration-ServerMigration", "ServerMigration", "Migration"),
];

/// Built-in roles that appliance and vault need on the cache account: address, id, name.
pub(super) const ROLES: [(&str, &str, &str); 2] = [
    ("contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    (
        "blob-data",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "Storage Blob Data Contributor",
    ),
];

/// Who needs them: address, fact with the object id, words.
pub(super) const IDENTITIES: [(&str, &str, &str); 2] = [
    ("appliance", "asr.applianceIdentity", "the appliance"),
    ("vault", "asr.vaultIdentity", "the vault"),
];

pub(super) const AUTHORIZATION: &str = "Microsoft.Authorization";
const CACHE: &str = "migratersa${hash:${asr.fabric}}";

impl Builder<'_> {
    pub(super) fn migrate_project(&self) -> ResourceId {
        self.failover
            .resource("Microsoft.Migrate/migrateProjects", &self.d.migrate_project)
    }

    fn solution(&self, name: &str) -> ResourceId {
        self.migrate_project().child("solutions", name)
    }

    pub(super) fn cache(&self) -> ResourceId {
        self.account(CACHE)
    }

    pub(super) fn cache_lock(&self) -> ResourceId {
        self.cache().resource(
            &format!("{AUTHORIZATION}/locks"),
            &format!("{}lock", self.d.migrate_project),
        )
    }

    /// Name of the assignment of a role to an identity: a repetition finds its own again.
    pub(super) fn assignment(fact: &str, role: &str) -> String {
        format!("${{guid:{CACHE}|${{{fact}}}|{role}}}")
    }

    pub(super) fn migrate_policy(&self) -> ResourceId {
        self.vault()
            .child("replicationPolicies", "migrate${last:${asr.site}}policy")
    }

    pub(super) fn migrate_mapping(&self) -> ResourceId {
        ResourceId::new("${asr.container}").child("replicationProtectionContainerMappings", "containermapping")
    }

    /// The appliance's name in the project: up to 14 letters and digits.
    fn appliance_key(&self) -> String {
        self.d
            .appliance
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(14)
            .collect()
    }

    /// Disks of the machine, as many as the inventory knows.
    fn disks(&self) -> u32 {
        self.inventory.vm(&self.d.web_vm).map_or(1, |v| v.disk_count.max(1))
    }

    pub(super) fn home(&self) -> String {
        format!("vault/{}", self.d.replication_home())
    }

    pub(super) fn cache_node(&self) -> String {
        format!("storage/{}", self.d.replication_cache())
    }

    /// Step 3: providers and project.
    pub(super) fn project_tasks(&self) -> Vec<T> {
        let d = self.d;
        let home = [self.home()];
        let project = self.migrate_project();
        let mut tasks: Vec<T> = PROVIDERS
            .iter()
            .map(|p| register(3, p, "Azure Migrate's appliance registers itself through it."))
            .collect();
        tasks.push(
            task(
                3,
                "check-region",
                &d.migrate_location,
                &format!("{} keeps Azure Migrate projects", d.migrate_location),
                "Reads where the provider offers projects.",
                exists(
                    ResourceId::new(format!("/subscriptions/{}/providers/Microsoft.Migrate", self.subscription)),
                    vec![Expect::equal(
                        "/resourceTypes/[resourceType=migrateProjects]/locations/*",
                        d.migrate_location.as_str(),
                    )],
                    "Azure Migrate keeps the records of a project in some regions only. Choose another region for the project in Design; the VM's own region stays.",
                ),
            )
            .after(&["3/provider/Microsoft.Migrate"])
            .why("In another region the project would be refused.")
            .nodes(&home),
        );
        tasks.push(
            task(
                3,
                "project",
                &d.migrate_project,
                &format!("Azure Migrate project {}", d.migrate_project),
                "Creates the project to which discovery, appliance and replication belong, or uses the one that is there.",
                put(
                    project,
                    json!({ "location": d.migrate_location, "properties": { "publicNetworkAccess": "Enabled" } }),
                ),
            )
            .after(&[
                &format!("3/check-region/{}", d.migrate_location),
                &format!("2/group/{}", d.failover_group),
            ])
            .why("It replaces the configuration server's vault; the appliance is registered in it.")
            .secs(10, 60, NOT_PUBLISHED)
            .cost("The replica's storage is charged, see the replication itself.")
            .back("Delete the project once nothing replicates (step 8 does).")
            .nodes(&home),
        );
        tasks.extend(SOLUTIONS.map(|(name, tool, purpose)| {
            task(
                3,
                "solution",
                name,
                &format!("Solution {tool}"),
                &format!("Adds the project's part for {}.", purpose.to_ascii_lowercase()),
                put(
                    self.solution(name),
                    json!({ "properties": { "tool": tool, "purpose": purpose, "goal": "Servers", "status": "Active" } }),
                ),
            )
            .after(&[&format!("3/project/{}", d.migrate_project)])
            .why("The appliance writes into the solutions where its site and vault are; portal and Rehost read it there.")
            .secs(5, 30, NOT_PUBLISHED)
            .back("Goes with the project.")
            .nodes(&home)
        }));
        tasks.extend([
            not_needed(
                3,
                "storage",
                &d.cache_account,
                &format!("Storage account {}", d.cache_account),
                "Azure Migrate looks for a cache account with a name of its own; it is made in step 5, when the name is known.",
            ),
            not_needed(
                3,
                "vault",
                &d.vault,
                &format!("Recovery Services vault {}", d.vault),
                "Azure Migrate makes its own vault when the appliance is registered; Rehost finds it through the project.",
            ),
            task(
                3,
                "gate",
                "vddk",
                "Do you hold VMware's Virtual Disk Development Kit?",
                "A person makes sure that the appliance can be completed.",
                gate(
                    "Do you hold VMware's Virtual Disk Development Kit (VDDK) for Windows?",
                    "The appliance is deployed; it asks for the kit when it is configured.",
                    "Nothing was deployed. Choose InMageRcm in Design, which needs no kit, and compute the plan again.",
                    "Broadcom ended the public download in September 2026. Without the kit the appliance can discover machines, but not replicate them.",
                ),
            )
            .why("Otherwise it would come out after the appliance was deployed.")
            .secs(300, 86_400, "a person's time")
            .nodes(&[self.appliance_node()]),
        ]);
        tasks
    }

    /// Step 5: appliance, cache with its rights, policy, replication.
    pub(super) fn replicate_by_migrate(&self) -> Vec<T> {
        let mut tasks = vec![
            self.capacity("300 machines per vCenter, 52 disks at a time, 8 per ESXi host, 15 snapshots per datastore"),
        ];
        tasks.extend(self.appliance_tasks());
        tasks.extend(self.discovery_tasks());
        tasks.extend(self.cache_tasks());
        tasks.extend(self.item_tasks());
        tasks
    }

    fn appliance_tasks(&self) -> Vec<T> {
        let d = self.d;
        let both = [self.appliance_node(), self.home()];
        let key = self.appliance_key();
        let details = "/properties/details/extendedDetails";
        vec![
            self.deploy_appliance(
                "Azure Migrate",
                &[
                    "3/gate/vddk",
                    "3/solution/Servers-Migration-ServerMigration",
                    "3/solution/Servers-Discovery-ServerDiscovery",
                ],
                "The appliance discovers VMs and copies their disks to Azure through VMware's snapshots.",
                &[
                    format!("Azure portal, Azure Migrate, All projects, {}, Start discovery, Using appliance, For Azure (menu unverified): answer that the machines are virtualized with VMware vSphere, name the appliance exactly {key}, choose Generate key and keep the project key.", d.migrate_project),
                    "Download the OVA there.".into(),
                    format!("Choose Deploy with Rehost on this page and the downloaded file; or, in the vSphere Client, {}, Deploy OVF Template: name the VM {}, 8 CPU, 32 GB, 80 GB, on the management network.", d.datacenter, d.appliance),
                    "Power it on, accept the licence, set the administrator's password.".into(),
                    "It needs port 443 to Azure and vCenter, and port 902 to every ESXi host.".into(),
                ],
            ),
            self.register_appliance(
                "Register the appliance with the project key",
                "Waits until the project's discovery solution names the appliance's site.",
                await_one(
                    self.solution(SOLUTIONS[0].0),
                    vec![Expect::equal("/properties/status", "Active")],
                    // The newer list overrides the older one.
                    vec![
                        fact("asr.site", &format!("{details}/applianceNameToSiteIdMapV3/{key}/SiteId")),
                        fact("asr.site", &format!("{details}/applianceNameToSiteIdMapV2/[ApplianceName={key}]/SiteId")),
                    ],
                    &format!("The project knows no appliance {key} yet."),
                ),
                &[
                    format!("Browse to https://{}:44368 (Appliance Configuration Manager) and paste the project key.", d.appliance),
                    "Choose Login, enter the device code, and sign in as a user with the Entra role Application Developer and the Azure role Azure Migrate Owner, or Azure Migrate Decide and Plan Expert, on the project's resource group.".into(),
                    "Extract the VDDK for Windows into the folder that the page names, and let it check the prerequisites again.".into(),
                    format!("Enter vCenter and the account {}; then choose Start discovery. {PASSWORD_RULE}", d.vcenter_principal),
                    "Rehost sees the registration by itself within a minute.".into(),
                ],
            )
            .secs(1200, 86_400, "a person's time")
            .back("Remove the appliance in the project, Manage, Appliances (menu unverified)."),
            task(
                5,
                "find-vault",
                &d.migrate_project,
                "Find the project's vault",
                "Reads from the migration solution which vault the registration made.",
                await_one(
                    self.solution(SOLUTIONS[2].0),
                    vec![Expect::equal("/properties/status", "Active")],
                    vec![fact("asr.vault", &format!("{details}/vaultId"))],
                    "The project has no vault yet: the appliance isn't configured for replication. In its configuration manager, verify the VDDK and start discovery.",
                ),
            )
            .after(&["5/person/register-appliance"])
            .why("Policy, replicated machines and jobs live in it.")
            .secs(60, 1800, NOT_PUBLISHED)
            .nodes(&both),
            task(
                5,
                "vault-identity",
                &d.migrate_project,
                "The vault has an identity",
                "Reads the vault's managed identity.",
                Action::Check {
                    id: self.vault(),
                    condition: vec![Expect::present("/identity/principalId")],
                    absent: false,
                    wait: false,
                    facts: vec![fact("asr.vaultIdentity", "/identity/principalId")],
                    follow: Follow::Operation,
                    otherwise: "Turn it on: Azure portal, the vault, Identity, System assigned, On. Then choose Retry.".into(),
                },
            )
            .after(&[&format!("5/find-vault/{}", d.migrate_project)])
            .why("The vault writes replicated data with it; without one Azure says that SPN or MSI isn't enabled.")
            .nodes(&both[1..]),
            task(
                5,
                "find-fabric",
                &d.migrate_project,
                "Find the appliance's fabric",
                "Looks in the vault for the fabric of this site.",
                await_some(
                    "${asr.vault}/replicationFabrics",
                    vec![
                        Expect::equal("/properties/customDetails/instanceType", "VMwareV2"),
                        Expect {
                            at: "/properties/customDetails/vmwareSiteId".into(),
                            is: Is::EndsWith("/${last:${asr.site}}".into()),
                        },
                    ],
                    vec![fact("asr.fabric", "/id")],
                    "The vault lists no fabric of this appliance yet.",
                ),
            )
            .after(&[&format!("5/find-vault/{}", d.migrate_project)])
            .why("The names of cache account and rights follow from it.")
            .secs(60, 1800, NOT_PUBLISHED)
            .nodes(&both),
            self.check_container(&format!("5/find-fabric/{}", d.migrate_project))
                .why("Replicated machines live in it.")
                .nodes(&both[1..]),
            task(
                5,
                "check-appliance",
                &d.appliance,
                "The appliance is connected",
                "Reads the appliance's replication provider and its identity.",
                await_some(
                    "${asr.fabric}/replicationRecoveryServicesProviders",
                    vec![
                        Expect::equal("/properties/connectionStatus", "Connected"),
                        Expect::present("/properties/resourceAccessIdentityDetails/objectId"),
                    ],
                    vec![fact("asr.applianceIdentity", "/properties/resourceAccessIdentityDetails/objectId")],
                    "The appliance isn't connected to the vault, or has no identity. Open its configuration manager and look at its checks; the VM must be on and reach Azure on port 443.",
                ),
            )
            .after(&[&format!("5/find-fabric/{}", d.migrate_project)])
            .why("An appliance that is away for more than 90 minutes starts a running copy from the beginning.")
            .nodes(&both),
        ]
    }

    fn discovery_tasks(&self) -> Vec<T> {
        let d = self.d;
        let appliance = [self.appliance_node()];
        let both = [format!("vm/{}", d.web_vm), appliance[0].clone()];
        let disks = self.disks();
        let mut whole = vec![
            Expect::equal("/properties/changeTrackingSupported", true),
            Expect::equal("/properties/isDeleted", false),
            Expect::equal("/properties/disks/0/lun", 0),
            // As many as the plan takes along, and no more.
            Expect {
                at: format!("/properties/disks/{disks}"),
                is: Is::Absent,
            },
        ];
        whole.extend((0..disks).map(|n| Expect::equal(&format!("/properties/disks/{n}/diskMode"), "persistent")));
        vec![
            task(
                5,
                "check-vcenter",
                &d.appliance,
                "The appliance has reached vCenter",
                "Looks for vCenter in the appliance's site.",
                await_some(
                    "${asr.site}/vCenters",
                    vec![Expect::present("/properties/runAsAccountId"), Expect::present("/properties/fqdn")],
                    vec![],
                    "The appliance has no vCenter yet. Enter its address and account in the configuration manager.",
                ),
            )
            .after(&["5/person/register-appliance"])
            .why("Without vCenter nothing is discovered.")
            .nodes(&[appliance[0].clone(), "vcenter/vcenter".into()]),
            task(
                5,
                "refresh",
                &d.appliance,
                "Refresh the discovery",
                "Asks the appliance to read vCenter again.",
                Action::Call {
                    id: ResourceId::new("${asr.site}"),
                    verb: "refresh".into(),
                    follow: Follow::Operation,
                },
            )
            .after(&[&format!("5/check-vcenter/{}", d.appliance)])
            .why("What Azure knows of the machine's disks must be of today.")
            .secs(900, 1800, "scenario: 15 minutes or more")
            .nodes(&appliance),
            self.check_machine(
                &format!("5/refresh/{}", d.appliance),
                vec![Expect::equal("/properties/isDeleted", false)],
                vec![fact("asr.vcenter", "/properties/vCenterId")],
            ),
            task(
                5,
                "check-disks",
                &d.web_vm,
                &format!("The disks of {} can be replicated", d.web_vm),
                &format!("Checks that the machine has {disks} disk(s) as in the inventory, none of them independent, and that changed block tracking is possible."),
                Action::Check {
                    id: ResourceId::new("${asr.machine}"),
                    condition: whole,
                    absent: false,
                    wait: false,
                    facts: (0..disks)
                        .map(|n| fact(&format!("asr.disk.{n}"), &format!("/properties/disks/{n}/uuid")))
                        .collect(),
                    follow: Follow::Operation,
                    otherwise: format!(
                        "In vSphere Client, Edit Settings of {}: no disk may be independent, shared or raw (RDM), and changed block tracking can't be turned on while snapshots exist. When disks were added or removed, read the inventory again and compute the plan again. Otherwise choose InMageRcm in Design.",
                        d.web_vm
                    ),
                },
            )
            .after(&[&format!("5/check-machine/{}", d.web_vm)])
            .why("Independent disks, raw mappings and disks that the plan doesn't know would not be in Azure after the migration.")
            .nodes(&both),
            task(
                5,
                "check-account",
                &d.vcenter_principal,
                "The appliance's account for vCenter",
                "Reads which account the appliance uses at the machine's vCenter.",
                await_one(
                    ResourceId::new("${asr.vcenter}"),
                    vec![Expect::present("/properties/runAsAccountId")],
                    vec![fact("asr.runAs", "/properties/runAsAccountId")],
                    "Enter the account for vCenter in the appliance's configuration manager.",
                ),
            )
            .after(&[&format!("5/check-machine/{}", d.web_vm)])
            .why("Snapshots and disks are read with it.")
            .nodes(&appliance),
            task(
                5,
                "check-run-as",
                &d.vcenter_principal,
                "The account is one for vCenter",
                "Reads the account's kind.",
                await_one(
                    ResourceId::new("${asr.runAs}"),
                    vec![Expect::equal("/properties/credentialType", "VMwareFabric")],
                    vec![],
                    "The account entered for vCenter is of another kind. Enter it anew in the appliance's configuration manager.",
                ),
            )
            .after(&[&format!("5/check-account/{}", d.vcenter_principal)])
            .why("An account of guests can't take snapshots.")
            .nodes(&appliance),
        ]
    }

    fn cache_tasks(&self) -> Vec<T> {
        let d = self.d;
        let node = [self.cache_node()];
        let label = d.replication_cache();
        let fabric = format!("5/find-fabric/{}", d.migrate_project);
        let storage = format!("5/storage/{label}");
        let mut tasks = vec![
            task(
                5,
                "check-name",
                label,
                "The cache account's name is free",
                "Asks Azure whether the name that Azure Migrate expects is free or ours.",
                Action::CheckName { id: self.cache() },
            )
            .after(&[&fabric, "2/provider/Microsoft.Storage"])
            .why("Storage account names are unique in the whole world."),
            task(
                5,
                "storage",
                label,
                "Cache storage account",
                "Creates the account through which replicated data goes, with the name by which Azure Migrate finds it: migratersa and a hash of the fabric's id.",
                put(
                    self.cache(),
                    // The kind of accounts that Azure's own scripts make, so that one of theirs is adopted.
                    json!({ "location": d.location, "kind": "Storage", "sku": { "name": "Standard_LRS" }, "properties": {
                        "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true, "allowBlobPublicAccess": false } }),
                ),
            )
            .after(&[&format!("5/check-name/{label}"), &format!("2/group/{}", d.failover_group)])
            .why("The appliance sends the disks' blocks into it. It can't be changed once replication is set up; there is one target region per project.")
            .secs(20, 60, NOT_PUBLISHED)
            .cost("Storage and transactions while the VM replicates.")
            .back("Delete the account after the migration was completed (step 8 does).")
            .nodes(&node),
        ];
        let mut names = Vec::new();
        let mut assigned = Vec::new();
        for (who, of, words) in IDENTITIES {
            for (kind, role, role_name) in ROLES {
                let name = format!("{who}-{kind}");
                assigned.push(format!("5/role-assignment/{name}"));
                names.push(Self::assignment(of, role));
                let identity = match who {
                    "vault" => format!("5/vault-identity/{}", d.migrate_project),
                    _ => format!("5/check-appliance/{}", d.appliance),
                };
                tasks.push(
                    task(
                        5,
                        "role-assignment",
                        &name,
                        &format!("{role_name} for {words}"),
                        &format!("Gives {words} the role {role_name} on the cache account, and nowhere else."),
                        put(
                            self.cache()
                                .resource(&format!("{AUTHORIZATION}/roleAssignments"), &Self::assignment(of, role)),
                            json!({ "properties": {
                                "roleDefinitionId": format!("/subscriptions/{}/providers/{AUTHORIZATION}/roleDefinitions/{role}", self.subscription),
                                "principalId": format!("${{{of}}}"), "principalType": "ServicePrincipal" } }),
                        ),
                    )
                    .after(&[&storage, &identity])
                    .why("Without it enabling replication fails: neither side could write into the cache.")
                    .secs(5, 30, NOT_PUBLISHED)
                    .back("Delete the assignment (step 8 does).")
                    .nodes(&node),
                );
            }
        }
        let assigned: Vec<&str> = assigned.iter().map(String::as_str).collect();
        tasks.push(
            task(
                5,
                "check-roles",
                label,
                "The rights have spread",
                "Waits until the account lists all four assignments.",
                await_one(
                    ResourceId::new(format!("{}/providers/{AUTHORIZATION}/roleAssignments", self.cache())),
                    names
                        .iter()
                        .map(|n| Expect::equal("/value/*/name", n.as_str()))
                        .collect(),
                    vec![],
                    "Azure spreads role assignments; that takes up to some minutes.",
                ),
            )
            .after(&assigned)
            .why("A right that hasn't spread yet is one that enabling replication doesn't see.")
            .secs(60, 180, "Az.Migrate waits up to 180 seconds")
            .nodes(&node),
        );
        tasks.push(
            task(
                5,
                "lock",
                label,
                "Lock the cache account against deletion",
                &format!("Puts the lock {}lock on the account.", d.migrate_project),
                put(
                    self.cache_lock(),
                    json!({ "properties": { "level": "CanNotDelete", "notes": "Azure Migrate replicates through this account." } }),
                ),
            )
            .after(&assigned)
            .why("Whoever deletes the cache ends the replication of every machine in the project.")
            .secs(5, 30, NOT_PUBLISHED)
            .back("Delete the lock (step 8 does).")
            .nodes(&node),
        );
        tasks
    }

    fn item_tasks(&self) -> Vec<T> {
        let d = self.d;
        let label = d.replication_cache();
        let home = [self.home()];
        let flow = [
            format!("vm/{}", d.web_vm),
            self.appliance_node(),
            home[0].clone(),
            "flow/replication".to_owned(),
        ];
        let disks: Vec<Value> = (0..self.disks())
            .map(|n| {
                json!({ "diskId": format!("${{asr.disk.{n}}}"), "isOSDisk": if n == 0 { "true" } else { "false" }, "diskType": "Premium_LRS",
                    "logStorageAccountId": self.cache(), "logStorageAccountSasSecretName": format!("{CACHE}-cacheSas") })
            })
            .collect();
        vec![
            task(
                5,
                "policy",
                d.replication_home(),
                "Replication policy",
                "Creates the policy under the name by which Azure Migrate finds it: recovery points kept 6 hours, one an hour, application-consistent every 4 hours.",
                put(
                    self.migrate_policy(),
                    json!({ "properties": { "providerSpecificInput": { "instanceType": "VMwareCbt", "recoveryPointHistoryInMinutes": 360,
                        "crashConsistentFrequencyInMinutes": 60, "appConsistentFrequencyInMinutes": 240 } } }),
                ),
            )
            .after(&[&format!("5/find-vault/{}", d.migrate_project)])
            .why("It says how often recovery points are made and how long they are kept; these are Azure Migrate's defaults.")
            .secs(30, 120, NOT_PUBLISHED)
            .back("Delete the policy (step 8 does).")
            .nodes(&home),
            task(
                5,
                "mapping",
                d.replication_home(),
                "Associate policy and cache with the appliance",
                "Maps the protection container of the appliance to Azure, with policy, target region and cache account.",
                put(
                    self.migrate_mapping(),
                    json!({ "properties": { "targetProtectionContainerId": "Microsoft Azure", "policyId": self.migrate_policy(),
                        "providerSpecificInput": { "instanceType": "VMwareCbt", "targetLocation": d.location, "storageAccountId": self.cache() } } }),
                ),
            )
            .after(&[
                &format!("5/policy/{}", d.replication_home()),
                &format!("5/check-container/{}", d.migrate_project),
                &format!("5/storage/{label}"),
            ])
            .why("A policy works only where it is mapped; target region and cache are fixed from here on.")
            .secs(30, 120, NOT_PUBLISHED)
            .back("Remove the mapping (step 8 does).")
            .nodes(&home),
            task(
                5,
                "protect",
                &d.web_vm,
                &format!("Enable replication of {}", d.web_vm),
                "Turns on changed block tracking and starts copying the VM's disks from a snapshot.",
                Action::Put {
                    id: self.item(),
                    body: json!({ "properties": { "policyId": self.migrate_policy(), "providerSpecificDetails": {
                        "instanceType": "VMwareCbt", "vmwareMachineId": "${asr.machine}",
                        "dataMoverRunAsAccountId": "${asr.runAs}", "snapshotRunAsAccountId": "${asr.runAs}",
                        "targetResourceGroupId": self.target, "targetNetworkId": self.vnet(&d.prod_network),
                        "targetSubnetName": d.prod_frontend_subnet, "testNetworkId": self.vnet(&d.test_network),
                        "testSubnetName": d.test_subnet, "targetVmName": d.web_vm, "targetVmSize": d.web_vm_size,
                        "licenseType": "NoLicenseType", "performAutoResync": "true", "disksToInclude": disks } } }),
                    facts: vec![],
                    follow: self.job(),
                },
            )
            .after(&[
                &format!("5/mapping/{}", d.replication_home()),
                &format!("5/check-disks/{}", d.web_vm),
                &format!("5/check-run-as/{}", d.vcenter_principal),
                &format!("5/check-appliance/{}", d.appliance),
                &format!("5/check-capacity/{}", d.replication_home()),
                &format!("5/check-roles/{label}"),
                &format!("5/lock/{label}"),
                &format!("3/check-subnet/{}", d.prod_frontend_subnet),
                &format!("3/vnet/{}", d.test_network),
                &format!("3/check-size/{}", d.web_vm_size),
                "3/check-retired/replication",
                &format!("1/group/{}", d.target_group),
                "4/readiness/san",
            ])
            .why("From here on every change on WEBVM is sent to Azure; the VM goes on working.")
            .secs(300, 1800, NOT_PUBLISHED)
            .cost("Storage of the seed disks and the cache until the migration is completed.")
            .back("Disable replication; nothing is installed in the VM. Changed block tracking stays on, which does no harm.")
            .nodes(&flow),
            task(
                5,
                "replicate",
                &d.web_vm,
                &format!("Initial replication of {}", d.web_vm),
                "Follows the first copy of the disks until the machine replicates.",
                Action::Check {
                    id: self.item(),
                    condition: vec![Expect::equal("/properties/migrationState", "Replicating")],
                    absent: false,
                    wait: true,
                    facts: vec![],
                    follow: Follow::Gateway,
                    otherwise: "Initial replication goes on.".into(),
                },
            )
            .after(&[&format!("5/protect/{}", d.web_vm)])
            .why("A test or migration needs a complete first copy.")
            .secs(5700, 14_400, "depends on disk size and bandwidth; assumed for 60 GB")
            .back("Disable replication.")
            .nodes(&flow),
            task(
                5,
                "recovery-point",
                &d.web_vm,
                "Finalize protection: first recovery point",
                "Waits until a recovery point is there and a test may be run.",
                Action::Check {
                    id: self.item(),
                    condition: vec![
                        Expect::equal("/properties/allowedOperations/*", "TestMigrate"),
                        Expect::present("/properties/providerSpecificDetails/lastRecoveryPointId"),
                    ],
                    absent: false,
                    wait: true,
                    facts: vec![fact("asr.recoveryPoint", "/properties/providerSpecificDetails/lastRecoveryPointId")],
                    follow: Follow::Gateway,
                    otherwise: "The first recovery point comes with the end of the first copy.".into(),
                },
            )
            .after(&[&format!("5/replicate/{}", d.web_vm)])
            .why("After it the machine is ready to migrate. From here on a cycle of changes runs after the greater of one hour and half the time of the last one, 12 hours at most.")
            .secs(60, 900, NOT_PUBLISHED)
            .nodes(&flow),
        ]
    }
}
