//! Azure Migrate's agentless replication by raw requests: what must be there first, the states a machine goes through, and
//! what is refused on the way. With `LAB_RECORD=FILE` the recorded pairs are written for Microsoft's validator.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lab::{Options, onprem::Power};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Azure, NET, RG};

const GROUP: &str = "{S}/resourceGroups/ContosoFailoverRG";
const PROJECT: &str = "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.Migrate/migrateProjects/ContosoProject";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const BLOB_DATA: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

/// What a registered appliance has made.
struct Site {
    id: String,
    vault: String,
    fabric: String,
    container: String,
    cache: String,
    /// Object ids of the appliance and the vault.
    identities: [String; 2],
}

fn solution(name: &str) -> String {
    format!("{PROJECT}/solutions/{name}")
}

/// The name that Azure Migrate's scripts compute for the cache account.
fn cache_name(fabric: &str) -> String {
    let hash = fabric
        .bytes()
        .fold(0_i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)));
    format!("migratersa{}", hash.unsigned_abs())
}

async fn project(az: &Azure) {
    for namespace in ["Microsoft.Migrate", "Microsoft.OffAzure", "Microsoft.RecoveryServices"] {
        az.register(namespace).await;
    }
    let body = |location: &str| json!({"location": location, "properties": {"publicNetworkAccess": "Enabled"}});
    assert_eq!(
        az.put(PROJECT, body("eastus2")).await.code(),
        "LocationNotAvailableForResourceType"
    );
    assert_eq!(az.put(PROJECT, body("Central US")).await.status, 200);
    let solutions = |tool: &str, purpose: &str| json!({"properties": {"tool": tool, "purpose": purpose, "goal": "Servers", "status": "Active"}});
    let wrong = az
        .put(
            &solution("Servers-Migration-ServerMigration"),
            solutions("ServerDiscovery", "Migration"),
        )
        .await;
    assert_eq!(wrong.code(), "InvalidSolution");
    for (name, tool, purpose) in [
        ("Servers-Discovery-ServerDiscovery", "ServerDiscovery", "Discovery"),
        ("Servers-Assessment-ServerAssessment", "ServerAssessment", "Assessment"),
        ("Servers-Migration-ServerMigration", "ServerMigration", "Migration"),
    ] {
        assert_eq!(az.put(&solution(name), solutions(tool, purpose)).await.status, 201);
    }
}

fn grant_account(az: &Azure) {
    az.lab.with_world(|w| {
        let id = w.number() as i32;
        w.onprem.roles.push(lab::onprem::LabRole {
            id,
            name: "Azure_Migrate".into(),
            label: "Azure_Migrate".into(),
            privileges: ["System.Read".to_owned()].into(),
            system: false,
        });
        w.onprem.permissions.push(lab::onprem::LabPermission {
            entity: "datacenter-2".into(),
            entity_kind: "Datacenter".into(),
            principal: "CONTOSO\\svc-asr".into(),
            group: false,
            role: id,
            propagate: true,
        });
    });
}

async fn registered(az: &Azure) -> Site {
    az.network().await;
    project(az).await;
    let details = async |name: &str| az.get(&solution(name)).await["properties"]["details"]["extendedDetails"].clone();
    assert!(details("Servers-Migration-ServerMigration").await["vaultId"].is_null());
    az.pass(25);
    grant_account(az);
    let _ = az.get(PROJECT).await;
    az.pass(25);
    let found = details("Servers-Discovery-ServerDiscovery").await;
    let v3: Value = serde_json::from_str(found["applianceNameToSiteIdMapV3"].as_str().unwrap()).unwrap();
    let v2: Value = serde_json::from_str(found["applianceNameToSiteIdMapV2"].as_str().unwrap()).unwrap();
    let id = v3["ASRAPPLIANCE"]["SiteId"].as_str().unwrap().to_owned();
    assert_eq!(v2[0]["SiteId"], v3["ASRAPPLIANCE"]["SiteId"]);
    let vault = details("Servers-Migration-ServerMigration").await["vaultId"]
        .as_str()
        .unwrap()
        .to_owned();
    let fabric = az.get(&format!("{vault}/replicationFabrics")).await["value"][0].clone();
    assert_eq!(fabric["properties"]["customDetails"]["instanceType"], "VMwareV2");
    assert_eq!(fabric["properties"]["customDetails"]["vmwareSiteId"], json!(id));
    let fabric = fabric["id"].as_str().unwrap().to_owned();
    let container = az.get(&format!("{fabric}/replicationProtectionContainers")).await["value"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let provider = az.get(&format!("{fabric}/replicationRecoveryServicesProviders")).await["value"][0].clone();
    let identities = [
        provider["properties"]["resourceAccessIdentityDetails"]["objectId"].clone(),
        az.get(&vault).await["identity"]["principalId"].clone(),
    ];
    let cache = format!(
        "{GROUP}/providers/Microsoft.Storage/storageAccounts/{}",
        cache_name(&fabric)
    );
    // Discovery is asked to look again; the machines come after their quarter of an hour.
    let refresh = az.post(&format!("{id}/refresh"), Value::Null).await;
    assert_eq!((refresh.status, refresh.header("location")), (202, None));
    az.done(refresh).await;
    az.pass(15);
    Site {
        id,
        vault,
        fabric,
        container,
        cache,
        identities: identities.map(|i| i.as_str().unwrap().to_owned()),
    }
}

impl Site {
    fn policy(&self) -> String {
        format!(
            "{}/replicationPolicies/migrate{}policy",
            self.vault,
            self.id.rsplit('/').next().unwrap()
        )
    }

    fn mapping(&self) -> String {
        format!(
            "{}/replicationProtectionContainerMappings/containermapping",
            self.container
        )
    }

    async fn machine(&self, az: &Azure) -> Value {
        let all = az.get(&format!("{}/machines", self.id)).await;
        let all = all["value"].as_array().unwrap().clone();
        all.into_iter()
            .find(|m| m["properties"]["displayName"] == "WEBVM")
            .unwrap()
    }

    async fn account(&self, az: &Azure) {
        let body = json!({"location": "eastus2", "kind": "Storage", "sku": {"name": "Standard_LRS"}});
        az.done(az.put(&self.cache, body).await).await;
    }

    fn mapping_body(&self) -> Value {
        json!({"properties": {"targetProtectionContainerId": "Microsoft Azure", "policyId": self.policy(),
            "providerSpecificInput": {"instanceType": "VMwareCbt", "targetLocation": "eastus2", "storageAccountId": self.cache}}})
    }

    async fn prepare(&self, az: &Azure) {
        self.account(az).await;
        az.done(az.put(&self.policy(), policy_body()).await).await;
        az.done(az.put(&self.mapping(), self.mapping_body()).await).await;
        assert_eq!(az.get(&self.mapping()).await["properties"]["state"], "Paired");
    }

    async fn assign(&self, az: &Azure) {
        for (n, principal) in self.identities.iter().enumerate() {
            for (m, role) in [CONTRIBUTOR, BLOB_DATA].iter().enumerate() {
                let got = az.put(&self.assignment(n * 2 + m), assignment(role, principal)).await;
                assert_eq!(got.status, 201, "{}", got.body);
            }
        }
        az.pass(1);
    }

    fn assignment(&self, n: usize) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-00000000000{n}",
            self.cache
        )
    }

    async fn item(&self, az: &Azure) -> (String, Value) {
        let machine = self.machine(az).await;
        let vcenter = az.get(machine["properties"]["vCenterId"].as_str().unwrap()).await;
        let account = vcenter["properties"]["runAsAccountId"].clone();
        assert_eq!(
            az.get(account.as_str().unwrap()).await["properties"]["credentialType"],
            "VMwareFabric"
        );
        let name = self.cache.rsplit('/').next().unwrap();
        let body = json!({"properties": {"policyId": self.policy(), "providerSpecificDetails": {
            "instanceType": "VMwareCbt", "vmwareMachineId": machine["id"], "dataMoverRunAsAccountId": account, "snapshotRunAsAccountId": account,
            "targetResourceGroupId": RG, "targetNetworkId": format!("{NET}/virtualNetworks/VNET-PROD-EUS2"), "targetSubnetName": "PROD-FE-EUS2",
            "testNetworkId": format!("{NET}/virtualNetworks/VNET-TEST-EUS2"), "testSubnetName": "TEST-FE", "targetVmName": "WEBVM",
            "targetVmSize": "Standard_D4s_v5", "licenseType": "NoLicenseType", "performAutoResync": "true",
            "disksToInclude": [{"diskId": machine["properties"]["disks"][0]["uuid"], "isOSDisk": "true", "diskType": "Premium_LRS",
                "logStorageAccountId": self.cache, "logStorageAccountSasSecretName": format!("{name}-cacheSas")}],
        }}});
        let item = format!(
            "{}/replicationMigrationItems/{}",
            self.container,
            machine["name"].as_str().unwrap()
        );
        (item, body)
    }
}

fn policy_body() -> Value {
    json!({"properties": {"providerSpecificInput": {"instanceType": "VMwareCbt", "recoveryPointHistoryInMinutes": 360,
        "crashConsistentFrequencyInMinutes": 60, "appConsistentFrequencyInMinutes": 240}}})
}

fn assignment(role: &str, principal: &str) -> Value {
    json!({"properties": {"roleDefinitionId": format!("{{S}}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal, "principalType": "ServicePrincipal"}})
}

/// Name of the job behind an accepted request.
fn job_of(got: &support::Got) -> String {
    let url = got.header("azure-asyncoperation").unwrap();
    assert!(url.contains("/replicationOperationStatus/"), "{url}");
    url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_is_carried_over_without_an_agent() {
    let az = Azure::start(Options {
        record: true,
        ..Options::default()
    })
    .await;
    let s = registered(&az).await;
    s.prepare(&az).await;
    s.assign(&az).await;
    let lock = format!("{}/providers/Microsoft.Authorization/locks/ContosoProjectlock", s.cache);
    let got = az.put(&lock, json!({"properties": {"level": "CanNotDelete"}})).await;
    assert_eq!(got.status, 201, "{}", got.body);

    let (item, body) = s.item(&az).await;
    let got = az.put(&item, body).await;
    assert_eq!(
        (got.status, got.header("retry-after")),
        (202, Some("30")),
        "{}",
        got.body
    );
    let job = format!("{}/replicationJobs/{}", s.vault, job_of(&got));
    let state = async |key: &str| az.get(&item).await["properties"][key].clone();
    assert_eq!(state("migrationState").await, "EnableMigrationInProgress");
    assert_eq!(state("currentJob").await["jobName"], "EnableMigration");
    assert_eq!(state("allowedOperations").await, json!(["DisableMigration"]));
    assert_eq!(az.get(&job).await["properties"]["tasks"].as_array().unwrap().len(), 4);
    az.done(got).await;
    assert_eq!(az.get(&job).await["properties"]["state"], "Succeeded");

    // The first copy, as the gateway tells it; seed disks are there from the beginning.
    az.pass(40);
    let p = az.get(&item).await["properties"].clone();
    let d = &p["providerSpecificDetails"];
    assert_eq!(p["migrationState"], "InitialSeedingInProgress");
    assert!(
        (30..=60).contains(&d["initialSeedingProgressPercentage"].as_i64().unwrap()),
        "{d}"
    );
    let g = &d["gatewayOperationDetails"];
    assert!(
        g["uploadSpeed"].as_i64().unwrap() > 0 && g["timeRemaining"].as_i64().unwrap() > 0,
        "{g}"
    );
    assert_eq!(d["protectedDisks"][0]["isOSDisk"], "true");
    let seed = d["protectedDisks"][0]["seedManagedDiskId"].as_str().unwrap().to_owned();
    assert_eq!(az.get(&seed).await["properties"]["diskState"], "Unattached");
    assert!(d["lastRecoveryPointId"].is_null());
    az.pass(70);
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(
        (
            p["migrationState"].as_str(),
            p["migrationStateDescription"].as_str(),
            p["health"].as_str()
        ),
        (Some("Replicating"), Some("Ready to migrate"), Some("Normal"))
    );
    assert_eq!(
        p["allowedOperations"],
        json!(["DisableMigration", "TestMigrate", "Migrate"])
    );
    let point = p["providerSpecificDetails"]["lastRecoveryPointId"]
        .as_str()
        .unwrap()
        .to_owned();
    // A cycle of changes brings another point; the old one can still be tested.
    az.pass(75);
    let newer = az.get(&item).await["properties"]["providerSpecificDetails"]["lastRecoveryPointId"].clone();
    assert_ne!(newer, json!(point));
    let points = az.get(&format!("{item}/migrationRecoveryPoints")).await;
    assert_eq!(points["value"][0]["id"], newer);

    // Test migration into the isolated network.
    let test = |point: &str, kind: &str| {
        json!({"properties": {"providerSpecificDetails": {"instanceType": kind, "recoveryPointId": point,
            "networkId": format!("{NET}/virtualNetworks/VNET-TEST-EUS2")}}})
    };
    let path = format!("{item}/testMigrate");
    assert_eq!(
        az.post(&path, test("/other/point", "VMwareCbt")).await.code(),
        "InvalidRecoveryPoint"
    );
    assert_eq!(
        az.post(&path, test(&point, "InMageRcm")).await.code(),
        "InvalidParameter"
    );
    let got = az.post(&path, test(&point, "VMwareCbt")).await;
    assert_eq!(state("testMigrateState").await, "TestMigrationInProgress");
    assert_eq!(state("allowedOperations").await, json!([]));
    assert_eq!(
        az.post(&path, test(&point, "VMwareCbt")).await.code(),
        "OperationNotAllowed"
    );
    az.done(got).await;
    assert_eq!(state("testMigrateState").await, "TestMigrationSucceeded");
    assert_eq!(state("allowedOperations").await, json!(["TestMigrateCleanup"]));
    let vm = |name: &str| format!("{RG}/providers/Microsoft.Compute/virtualMachines/{name}");
    // Without an account for them, boot diagnostics are off until somebody turns them on.
    let screenshot = format!("{}/retrieveBootDiagnosticsData", vm("WEBVM-Test"));
    assert_eq!(az.post(&screenshot, Value::Null).await.status, 409);
    let on = json!({"properties": {"diagnosticsProfile": {"bootDiagnostics": {"enabled": true}}}});
    az.done(az.call(Method::PATCH, &vm("WEBVM-Test"), Some(&on)).await)
        .await;
    assert_eq!(az.post(&screenshot, Value::Null).await.status, 200);
    let migrate =
        json!({"properties": {"providerSpecificDetails": {"instanceType": "VMwareCbt", "performShutdown": "true"}}});
    assert_eq!(
        az.post(&format!("{item}/migrate"), migrate.clone()).await.code(),
        "OperationNotAllowed"
    );
    let comments = json!({"properties": {"comments": "fine"}});
    let got = az.post(&format!("{item}/testMigrateCleanup"), comments).await;
    assert_eq!(state("testMigrateState").await, "TestMigrationCleanupInProgress");
    az.done(got).await;
    assert_eq!(az.call(Method::GET, &vm("WEBVM-Test"), None).await.status, 404);
    assert_eq!(state("testMigrateState").await, "None");

    // Migration with shutdown.
    let boolean =
        json!({"properties": {"providerSpecificDetails": {"instanceType": "VMwareCbt", "performShutdown": true}}});
    assert_eq!(
        az.post(&format!("{item}/migrate"), boolean).await.code(),
        "InvalidParameter"
    );
    let got = az.post(&format!("{item}/migrate"), migrate).await;
    let job = format!("{}/replicationJobs/{}", s.vault, job_of(&got));
    assert_eq!(state("migrationState").await, "MigrationInProgress");
    az.pass(5);
    az.lab
        .with_world(|w| assert_eq!(w.onprem.named("WEBVM").unwrap().power, Power::Off));
    let names: Vec<_> = az.get(&job).await["properties"]["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            (
                t["name"].as_str().unwrap().to_owned(),
                t["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(names[1], ("ShutdownSourceTask".into(), "InProgress".into()));
    az.done(got).await;
    assert_eq!(state("migrationState").await, "MigrationSucceeded");
    assert_eq!(state("allowedOperations").await, json!(["DisableMigration"]));
    assert_eq!(
        az.get(&vm("WEBVM")).await["properties"]["provisioningState"],
        "Succeeded"
    );
    let events = az.get(&format!("{}/replicationEvents", s.vault)).await;
    let said: Vec<_> = events["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["properties"]["description"].clone())
        .collect();
    assert_eq!(said[0], "Migrate - Completed");

    // Completion and the order of the clean-up.
    assert_eq!(az.delete(&s.policy()).await.code(), "PolicyInUse");
    assert_eq!(az.delete(&s.mapping()).await.code(), "ProtectedItemsExist");
    assert_eq!(
        az.post(&format!("{}/removeInfra", s.fabric), Value::Null).await.code(),
        "ProtectedItemsExist"
    );
    az.done(az.delete(&item).await).await;
    assert_eq!(az.call(Method::GET, &item, None).await.status, 404);
    assert_eq!(
        az.call(Method::GET, &seed, None).await.status,
        404,
        "seed disks go with the item"
    );
    assert_eq!(az.get(&vm("WEBVM")).await["name"], "WEBVM", "the new machine stays");
    assert_eq!(az.delete(&item).await.status, 204);
    let unmap = json!({"properties": {"providerSpecificInput": {"instanceType": "VMwareCbt"}}});
    az.done(az.post(&format!("{}/remove", s.mapping()), unmap).await).await;
    az.done(az.delete(&s.policy()).await).await;
    assert_eq!(az.delete(&s.cache).await.code(), "ScopeLocked");
    assert_eq!(az.delete(&s.assignment(0)).await.code(), "ScopeLocked");
    assert_eq!(az.delete(GROUP).await.code(), "ScopeLocked");
    assert_eq!(az.delete(&lock).await.status, 200);
    assert_eq!(az.delete(&s.assignment(0)).await.status, 200);
    assert_eq!(az.delete(&s.cache).await.status, 200);
    assert_eq!(az.call(Method::GET, &s.assignment(1), None).await.status, 404);
    az.done(az.post(&format!("{}/removeInfra", s.fabric), Value::Null).await)
        .await;
    az.done(az.delete(&s.vault).await).await;
    assert_eq!(az.delete(&s.id).await.status, 200);
    assert_eq!(az.delete(PROJECT).await.status, 200);
    let left = az.get(&format!("{GROUP}/resources")).await;
    assert_eq!(left["value"], json!([]));
    if let Ok(file) = std::env::var("LAB_RECORD") {
        let lines: Vec<String> = az.lab.exchanges().iter().map(Value::to_string).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
    }
    az.lab.stop().await;
}

#[tokio::test]
async fn names_and_bodies_are_demanded_as_the_service_has_them() {
    let az = Azure::start(Options::default()).await;
    let s = registered(&az).await;
    // Policy, mapping and account have fixed names.
    let other = format!("{}/replicationPolicies/ContosoMigrationPolicy", s.vault);
    assert_eq!(az.put(&other, policy_body()).await.code(), "InvalidParameter");
    let mut rcm = policy_body();
    rcm["properties"]["providerSpecificInput"]["instanceType"] = "InMageRcm".into();
    assert_eq!(az.put(&s.policy(), rcm).await.code(), "InvalidParameter");
    az.done(az.put(&s.policy(), policy_body()).await).await;
    assert_eq!(
        az.put(&s.mapping(), s.mapping_body()).await.code(),
        "InvalidParameter",
        "no account yet"
    );
    s.account(&az).await;
    let mut elsewhere = s.mapping_body();
    let account = s.cache.replace("migratersa", "contoso");
    elsewhere["properties"]["providerSpecificInput"]["storageAccountId"] = account.into();
    assert_eq!(az.put(&s.mapping(), elsewhere).await.code(), "InvalidParameter");
    let named = s.mapping().replace("containermapping", "mine");
    assert_eq!(az.put(&named, s.mapping_body()).await.code(), "InvalidParameter");
    let (item, good) = s.item(&az).await;
    assert_eq!(az.put(&item, good.clone()).await.code(), "PolicyNotAssociated");
    az.done(az.put(&s.mapping(), s.mapping_body()).await).await;
    let mut moved = s.mapping_body();
    moved["properties"]["providerSpecificInput"]["targetLocation"] = "westus2".into();
    assert_eq!(az.put(&s.mapping(), moved).await.code(), "InvalidParameter");

    let details = "/properties/providerSpecificDetails";
    let cases: [(&str, Value, &str); 14] = [
        ("/vmwareMachineId", Value::Null, "InvalidParameter"),
        ("/dataMoverRunAsAccountId", Value::Null, "InvalidParameter"),
        ("/snapshotRunAsAccountId", json!("/other"), "RunAsAccountNotFound"),
        (
            "/targetResourceGroupId",
            json!(format!("{RG}x")),
            "TargetResourceGroupNotFound",
        ),
        ("/targetNetworkId", Value::Null, "InvalidParameter"),
        ("/targetSubnetName", json!("none"), "TargetSubnetNotFound"),
        ("/targetVmName", json!("-web"), "InvalidTargetVmName"),
        ("/targetVmSize", json!("Standard_Z9"), "TargetVmSizeInvalid"),
        ("/performAutoResync", json!(true), "InvalidParameter"),
        ("/disksToInclude", json!([]), "InvalidParameter"),
        ("/disksToInclude/0/isOSDisk", json!(true), "InvalidParameter"),
        ("/disksToInclude/0/isOSDisk", json!("false"), "InvalidParameter"),
        ("/disksToInclude/0/diskId", json!("none"), "InvalidParameter"),
        (
            "/disksToInclude/0/logStorageAccountSasSecretName",
            json!("sas"),
            "InvalidParameter",
        ),
    ];
    for (at, value, code) in cases {
        let mut body = good.clone();
        *body.pointer_mut(&format!("{details}{at}")).unwrap() = value;
        let got = az.put(&item, body).await;
        assert_eq!((got.status, got.code()), (400, code), "{at}: {}", got.body);
    }
    let renamed = format!("{item}x");
    assert_eq!(az.put(&renamed, good.clone()).await.code(), "InvalidParameter");
    az.lab.stop().await;
}

#[tokio::test]
async fn without_the_four_roles_enabling_fails_in_clear_words() {
    let az = Azure::start(Options::default()).await;
    let s = registered(&az).await;
    s.prepare(&az).await;
    let (item, body) = s.item(&az).await;
    let got = az.put(&item, body.clone()).await;
    let job = format!("{}/replicationJobs/{}", s.vault, job_of(&got));
    assert_eq!(az.settle(got).await["status"], "Failed");
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(
        (p["migrationState"].as_str(), p["health"].as_str()),
        (Some("EnableMigrationFailed"), Some("Critical"))
    );
    let error = &p["healthErrors"][0];
    let message = error["errorMessage"].as_str().unwrap();
    for who in [
        "Contributor for the appliance",
        "Storage Blob Data Contributor for the appliance",
        "Contributor for the vault",
    ] {
        assert!(message.contains(who), "{message}");
    }
    assert!(
        error["recommendedAction"]
            .as_str()
            .unwrap()
            .starts_with("Assign the missing roles")
    );
    let failed = az.get(&job).await["properties"].clone();
    assert_eq!(failed["state"], "Failed");
    assert_eq!(failed["tasks"][3]["state"], "Failed");
    assert_eq!(
        failed["errors"][0]["serviceErrorDetails"]["recommendedAction"],
        error["recommendedAction"]
    );
    let events = az.get(&format!("{}/replicationEvents", s.vault)).await;
    assert_eq!(events["value"][0]["properties"]["severity"], "Critical");
    // Writing it again doesn't cure it: it goes first, then the roles are there.
    assert_eq!(az.put(&item, body.clone()).await.code(), "MigrationItemAlreadyExists");
    az.done(az.delete(&item).await).await;
    s.assign(&az).await;
    az.done(az.put(&item, body).await).await;
    assert_eq!(
        az.get(&item).await["properties"]["migrationState"],
        "InitialSeedingInProgress"
    );
    az.lab.stop().await;
}

#[tokio::test]
async fn role_assignments_have_rules_and_need_time() {
    let az = Azure::start(Options::default()).await;
    let s = registered(&az).await;
    s.account(&az).await;
    let path = s.assignment(0);
    let who = s.identities[0].as_str();
    let roles = format!("{}/providers/Microsoft.Authorization/roleAssignments", s.cache);
    for (path, body, code) in [
        (
            format!("{roles}/no-guid"),
            assignment(CONTRIBUTOR, who),
            "InvalidRoleAssignmentId",
        ),
        (
            path.clone(),
            assignment("00000000-0000-0000-0000-000000000000", who),
            "RoleDefinitionDoesNotExist",
        ),
        (
            path.clone(),
            assignment(CONTRIBUTOR, "11111111-0000-0000-0000-000000000000"),
            "PrincipalNotFound",
        ),
        (
            path.replace("migratersa", "nothing"),
            assignment(CONTRIBUTOR, who),
            "ResourceNotFound",
        ),
    ] {
        assert_eq!(az.put(&path, body).await.code(), code);
    }
    let got = az.put(&path, assignment(CONTRIBUTOR, who)).await;
    assert_eq!(got.status, 201);
    assert!(!got.body.to_string().contains("labSince"), "{}", got.body);
    assert_eq!(
        az.put(&path, assignment(CONTRIBUTOR, who)).await.status,
        200,
        "a repetition finds its own"
    );
    assert_eq!(
        az.put(&path, assignment(BLOB_DATA, who)).await.code(),
        "RoleAssignmentUpdateNotPermitted"
    );
    assert_eq!(
        az.put(&s.assignment(1), assignment(CONTRIBUTOR, who)).await.code(),
        "RoleAssignmentExists"
    );
    assert_eq!(az.get(&roles).await["value"], json!([]), "not spread yet");
    az.pass(1);
    assert_eq!(az.get(&roles).await["value"].as_array().unwrap().len(), 1);
    az.lab.stop().await;
}

#[tokio::test]
async fn leftovers_of_a_configuration_server_can_be_read_and_nothing_else() {
    let az = Azure::start(Options::default()).await;
    let vault = az
        .lab
        .with_world(|w| w.leave_classic("OldVault", "CS01", &["OLDVM"], Some("OldProject")));
    let fabric = az.get(&format!("{vault}/replicationFabrics")).await["value"][0].clone();
    assert_eq!(fabric["properties"]["customDetails"]["instanceType"], "VMware");
    let items = az.get(&format!("{vault}/replicationProtectedItems")).await;
    assert_eq!(
        items["value"][0]["properties"]["providerSpecificDetails"]["instanceType"],
        "InMageAzureV2"
    );
    let id = fabric["id"].as_str().unwrap();
    assert_eq!(az.delete(id).await.status, 404);
    // Nobody registers an appliance there.
    az.pass(120);
    assert_eq!(
        az.get(&format!("{vault}/replicationFabrics")).await["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    az.lab.stop().await;
}
