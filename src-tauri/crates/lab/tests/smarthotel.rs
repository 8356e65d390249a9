//! The whole scenario against the lab by raw requests: networks, managed instance, log replay, Site Recovery, run
//! commands, clean-up. With `LAB_RECORD=FILE` the recorded pairs are written for Microsoft's validator.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lab::Options;
use serde_json::{Value, json};
use support::{Azure, NET, RG};

const VAULT: &str =
    "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.RecoveryServices/vaults/ContosoMigrationVault";
const ACCOUNT: &str =
    "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.Storage/storageAccounts/contosovmsacc20180528";
const MI: &str = "{S}/resourceGroups/ContosoRG/providers/Microsoft.Sql/managedInstances/sqlmi-smarthotel";

async fn storage_and_vault(az: &Azure) {
    for name in ["contosovmsacc20180528", "contosobackup2018"] {
        let free = az
            .post(
                "{S}/providers/Microsoft.Storage/checkNameAvailability",
                json!({"name": name, "type": "Microsoft.Storage/storageAccounts"}),
            )
            .await;
        assert_eq!(free.body["nameAvailable"], true);
        let path = format!("{{S}}/resourceGroups/ContosoFailoverRG/providers/Microsoft.Storage/storageAccounts/{name}");
        let got = az.put(&path, json!({"location": "East US 2", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {"minimumTlsVersion": "TLS1_2"}})).await;
        assert_eq!((got.status, got.header("retry-after")), (202, Some("17")));
        az.done(got).await;
    }
    az.register("Microsoft.RecoveryServices").await;
    let got = az.put(VAULT, json!({"location": "eastus2", "sku": {"name": "RS0", "tier": "Standard"}, "identity": {"type": "SystemAssigned"}, "properties": {"publicNetworkAccess": "Enabled"}})).await;
    assert_eq!(got.status, 201);
    az.done(got).await;
}

fn grant_account(az: &Azure) {
    // What the vCenter helper's requests do in a real rehearsal.
    az.lab.with_world(|w| {
        let id = w.number() as i32;
        w.onprem.roles.push(lab::onprem::LabRole {
            id,
            name: "Azure_Site_Recovery".into(),
            label: "Azure_Site_Recovery".into(),
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

/// Returns the protected item's path and the machine's body.
async fn protect(az: &Azure) -> String {
    assert_eq!(az.get(&format!("{VAULT}/replicationFabrics")).await["value"], json!([]));
    az.pass(20);
    grant_account(az);
    az.pass(1);
    let _ = az.get(VAULT).await;
    az.pass(30);
    let fabric = az.get(&format!("{VAULT}/replicationFabrics")).await["value"][0].clone();
    assert_eq!(fabric["properties"]["customDetails"]["instanceType"], "InMageRcm");
    let fabric_id = fabric["id"].as_str().unwrap().to_owned();
    assert!(fabric_id.starts_with("/Subscriptions/"));
    let site = fabric["properties"]["customDetails"]["vmwareSiteId"]
        .as_str()
        .unwrap()
        .to_owned();
    let container = az.get(&format!("{fabric_id}/replicationProtectionContainers")).await["value"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let appliance = az.get(&format!("{VAULT}/replicationAppliances")).await;
    assert_eq!(
        appliance
            .pointer("/value/0/properties/providerSpecificDetails/appliances/0/name")
            .unwrap(),
        "ASR-APPLIANCE"
    );
    let machines = az.get(&format!("{site}/machines")).await;
    let web = machines["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["properties"]["displayName"] == "WEBVM")
        .unwrap()
        .clone();
    let accounts = az.get(&format!("{site}/runAsAccounts")).await;
    let mobility = accounts["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| a["properties"]["displayName"] == "svc-mobility")
        .unwrap()["id"]
        .clone();
    let _ = az.get(&format!("{site}/vCenters")).await;

    let policy = format!("{VAULT}/replicationPolicies/ContosoMigrationPolicy");
    let input = json!({"properties": {"providerSpecificInput": {"instanceType": "InMageRcm", "recoveryPointHistoryInMinutes": 1440, "crashConsistentFrequencyInMinutes": 5, "appConsistentFrequencyInMinutes": 60, "enableMultiVmSync": "false"}}});
    az.done(az.put(&policy, input).await).await;
    let _ = az.get(&policy).await;
    let mapping = format!("{container}/replicationProtectionContainerMappings/contoso-mapping");
    let input = json!({"properties": {"targetProtectionContainerId": "Microsoft Azure", "policyId": policy, "providerSpecificInput": {"instanceType": "ReplicationProviderSpecificContainerMappingInput"}}});
    az.done(az.put(&mapping, input).await).await;
    assert_eq!(az.get(&mapping).await["properties"]["state"], "Paired");

    let item = format!("{container}/replicationProtectedItems/webvm");
    let server = fabric["properties"]["customDetails"]["processServers"][0]["id"].clone();
    let input = json!({"properties": {"policyId": policy, "providerSpecificDetails": {
        "instanceType": "InMageRcm", "fabricDiscoveryMachineId": web["id"], "processServerId": server, "runAsAccountId": mobility,
        "targetResourceGroupId": RG, "targetNetworkId": format!("{NET}/virtualNetworks/VNET-PROD-EUS2"), "targetSubnetName": "PROD-FE-EUS2",
        "testNetworkId": format!("{NET}/virtualNetworks/VNET-TEST-EUS2"), "testSubnetName": "TEST-FE",
        "targetVmName": "WEBVM", "targetVmSize": "Standard_D4s_v5", "licenseType": "NoLicenseType",
        "disksToInclude": [{"diskId": web["properties"]["disks"][0]["uuid"], "diskType": "StandardSSD_LRS", "logStorageAccountId": ACCOUNT}],
    }}});
    let got = az.put(&item, input).await;
    assert_eq!(
        (got.status, got.header("retry-after")),
        (202, Some("30")),
        "{}",
        got.body
    );
    let job = got
        .header("azure-asyncoperation")
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(
        (p["protectionState"].as_str(), p["allowedOperations"].clone()),
        (Some("EnablingProtection"), json!(["DisableProtection"]))
    );
    let j = az.get(&format!("{VAULT}/replicationJobs/{job}")).await["properties"].clone();
    assert_eq!(
        (j["scenarioName"].as_str(), j["state"].as_str()),
        (Some("EnableDr"), Some("InProgress"))
    );
    az.done(got).await;
    az.pass(40);
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(p["protectionState"], "InitialReplicationInProgress");
    let percent = p["providerSpecificDetails"]["initialReplicationProgressPercentage"]
        .as_i64()
        .unwrap();
    assert!((20..=60).contains(&percent), "{percent}");
    az.pass(70);
    item
}

#[tokio::test]
async fn the_whole_scenario() {
    let az = Azure::start(Options {
        record: true,
        speed: 1,
        ..Options::default()
    })
    .await;
    let subnet = az.network().await;
    storage_and_vault(&az).await;

    // The provider isn't registered, then the instance takes its half an hour.
    assert_eq!(
        az.put(MI, az.instance(&subnet)).await.code(),
        "MissingSubscriptionRegistration"
    );
    az.register("Microsoft.Sql").await;
    let created = az.put(MI, az.instance(&subnet)).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(
        az.put(
            &format!("{NET}/routeTables/MIRouteTable"),
            json!({"location": "eastus2", "properties": {"routes": []}})
        )
        .await
        .code(),
        "ConflictWithNetworkIntentPolicy"
    );
    let steps = az.get(&format!("{MI}/operations")).await;
    assert_eq!(steps["value"][0]["properties"]["state"], "InProgress");
    az.done(created).await;
    let mi = az.get(MI).await;
    assert_eq!(mi["properties"]["state"], "Ready");
    assert_eq!(
        az.get(&format!("{RG}/providers/Microsoft.Sql/virtualClusters")).await["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let _ = az.get(&format!("{MI}/operations")).await;

    // Backups arrive, log replay follows them.
    let backup = "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.Storage/storageAccounts/contosobackup2018";
    assert_eq!(
        az.put(
            &format!("{backup}/blobServices/default/containers/backups"),
            json!({"properties": {}})
        )
        .await
        .status,
        201
    );
    let sas = az.post(&format!("{backup}/ListServiceSas"), json!({
        "canonicalizedResource": "/blob/contosobackup2018/backups", "signedResource": "c", "signedPermission": "rl", "signedProtocol": "https",
        "signedStart": "2026-11-20T00:00:00Z", "signedExpiry": "2026-12-20T00:00:00Z", "keyToSign": "key1",
    })).await.body["serviceSasToken"].as_str().unwrap().to_owned();
    let db = format!("{MI}/databases/SmartHotelDB");
    let uri = format!("{}/backups", az.a.blob.replace("{account}", "contosobackup2018"));
    let replay = json!({"location": "eastus2", "properties": {"createMode": "RestoreExternalBackup", "storageContainerUri": uri, "storageContainerSasToken": sas}});
    let started = az.put(&db, replay).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let details = format!("{db}/restoreDetails/Default");
    assert_eq!(az.get(&details).await["properties"]["status"], "NotStarted");

    let item = protect(&az).await;
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(p["protectionState"], "Protected", "{p}");
    assert_eq!(
        p["allowedOperations"],
        json!(["UnplannedFailover", "DisableProtection", "TestFailover"])
    );
    assert_eq!(
        az.get(&details).await["properties"]["lastRestoredFileName"],
        "SmartHotelDB_log_006.trn"
    );

    // Test failover and clean-up.
    let point = p["providerSpecificDetails"]["lastRecoveryPointId"].clone();
    let test_net = az.path(&format!("{NET}/virtualNetworks/VNET-TEST-EUS2"));
    let test = json!({"properties": {"failoverDirection": "PrimaryToRecovery", "networkType": "VmNetworkAsInput", "networkId": test_net, "providerSpecificDetails": {"instanceType": "InMageRcm", "networkId": test_net, "recoveryPointId": point}}});
    az.done(az.post(&format!("{item}/testFailover"), test).await).await;
    assert_eq!(
        az.get(&item).await["properties"]["testFailoverState"],
        "WaitingForCompletion"
    );
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines");
    assert_eq!(
        az.get(&format!("{vm}/WEBVM-test")).await["properties"]["provisioningState"],
        "Succeeded"
    );
    assert_eq!(
        az.post(&format!("{item}/failoverCommit"), Value::Null).await.code(),
        "150097"
    );
    az.done(
        az.post(
            &format!("{item}/testFailoverCleanup"),
            json!({"properties": {"comments": "fine"}}),
        )
        .await,
    )
    .await;
    assert_eq!(
        az.call(reqwest::Method::GET, &format!("{vm}/WEBVM-test"), None)
            .await
            .status,
        404
    );

    // Recovery plan, failover with shutdown, commit.
    let plan = format!("{VAULT}/replicationRecoveryPlans/ContosoMigrationPlan");
    let fabric = format!("{VAULT}/replicationFabrics/ContosoMigrationVaultreplicationfabric");
    let input = json!({"properties": {"primaryFabricId": fabric, "recoveryFabricId": "Microsoft Azure", "failoverDeploymentModel": "ResourceManager", "groups": [{"groupType": "Boot", "replicationProtectedItems": [{"id": item, "virtualMachineId": "webvm"}], "startGroupActions": [], "endGroupActions": []}]}});
    az.done(az.put(&plan, input).await).await;
    assert_eq!(az.get(&plan).await["properties"]["groups"].as_array().unwrap().len(), 3);
    let failover = json!({"properties": {"failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "Required", "providerSpecificDetails": [{"instanceType": "InMageRcm", "recoveryPointType": "Latest"}]}});
    az.done(az.post(&format!("{plan}/unplannedFailover"), failover).await)
        .await;
    let p = az.get(&item).await["properties"].clone();
    assert_eq!(
        (p["activeLocation"].as_str(), p["protectionState"].as_str()),
        (Some("Recovery"), Some("UnplannedFailoverCommitPendingStatesBegin"))
    );
    az.lab
        .with_world(|w| assert_eq!(w.onprem.named("WEBVM").unwrap().power, lab::onprem::Power::Off));
    az.done(az.post(&format!("{plan}/failoverCommit"), Value::Null).await)
        .await;

    // Cutover of the database: the tail, then completion.
    az.pass(15);
    let d = az.get(&details).await["properties"].clone();
    assert_eq!(
        (d["lastRestoredFileName"].as_str(), d["status"].as_str()),
        (Some("SmartHotelDB_tail.trn"), Some("Waiting"))
    );
    assert_eq!(
        az.post(&format!("{db}/completeRestore"), json!({"lastBackupName": "nope.trn"}))
            .await
            .code(),
        "RequiredBackupIsNotLastRestored"
    );
    az.done(
        az.post(
            &format!("{db}/completeRestore"),
            json!({"lastBackupName": "SmartHotelDB_tail.trn"}),
        )
        .await,
    )
    .await;
    assert_eq!(az.get(&db).await["properties"]["status"], "Online");
    az.done(started).await;

    // The application.
    let fqdn = mi["properties"]["fullyQualifiedDomainName"].as_str().unwrap();
    let command = |name: &str, secret: Option<String>| {
        let mut props = json!({"source": {"script": "Write-Output ok"}, "timeoutInSeconds": 600, "asyncExecution": false, "treatFailureAsDeploymentFailure": true});
        if let Some(s) = secret {
            props["protectedParameters"] = json!([{"name": "ConnectionString", "value": s}]);
        }
        (
            format!("{vm}/WEBVM/runCommands/{name}"),
            json!({"location": "eastus2", "properties": props}),
        )
    };
    let output = async |name: &str, secret: Option<String>| {
        let (path, body) = command(name, secret);
        az.done(az.put(&path, body).await).await;
        az.get(&format!("{path}?$expand=instanceView")).await["properties"]["instanceView"]["output"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(output("rehost-probe-0", None).await.contains("http=500\n"));
    let connection = format!(
        "Server=tcp:{fqdn},1433;Initial Catalog=SmartHotelDB;User ID=contosoadmin;Password=canary-4711;Encrypt=True"
    );
    assert_eq!(
        output("rehost-switch-connection-1", Some(connection)).await,
        "backup=ok\nchanged=1\n"
    );
    assert_eq!(output("rehost-iisreset-1", None).await, "iisreset=ok\n");
    assert_eq!(
        output("rehost-probe-1", None).await,
        "tcp=ok\nsql=ok\nhttp=200\ntext=ok\n"
    );
    for name in [
        "rehost-probe-0",
        "rehost-switch-connection-1",
        "rehost-iisreset-1",
        "rehost-probe-1",
    ] {
        az.done(az.delete(&format!("{vm}/WEBVM/runCommands/{name}")).await)
            .await;
    }
    let state = az.lab.final_state();
    assert!(!state.to_string().contains("canary-4711"));

    // Clean-up in the order that the service demands.
    assert_eq!(az.delete(VAULT).await.status, 409);
    az.done(az.post(&format!("{item}/remove"), json!({"properties": {"disableProtectionReason": "MigrationComplete", "replicationProviderInput": {"instanceType": "DisableProtectionProviderSpecificInput"}}})).await).await;
    let container = item.split("/replicationProtectedItems/").next().unwrap();
    az.done(
        az.post(
            &format!("{container}/replicationProtectionContainerMappings/contoso-mapping/remove"),
            json!({"properties": {"providerSpecificInput": {"instanceType": "InMageRcm"}}}),
        )
        .await,
    )
    .await;
    az.done(az.delete(&plan).await).await;
    az.done(
        az.delete(&format!("{VAULT}/replicationPolicies/ContosoMigrationPolicy"))
            .await,
    )
    .await;
    az.done(az.post(&format!("{fabric}/removeInfra"), Value::Null).await)
        .await;
    az.done(az.delete(VAULT).await).await;
    assert_eq!(az.call(reqwest::Method::GET, VAULT, None).await.status, 404);
    assert_eq!(az.delete(ACCOUNT).await.status, 200);
    assert_eq!(
        az.get(&format!("{vm}/WEBVM?$expand=instanceView")).await["properties"]["instanceView"]["vmAgent"]["statuses"]
            [0]["displayStatus"],
        "Ready"
    );
    assert!(az.lab.stats().repeated.len() <= 2, "{:?}", az.lab.stats().repeated);

    for path in [
        "/tenants",
        "/subscriptions",
        "{S}",
        "{S}/locations",
        "{S}/providers",
        "{S}/resourcegroups",
        "{S}/providers/Microsoft.Compute/locations/eastus2/usages",
        "{S}/providers/Microsoft.Network/locations/eastus2/usages",
        "{S}/providers/Microsoft.Sql/locations/eastus2/usages",
        "{S}/providers/Microsoft.Sql/locations/eastus2/capabilities",
        "{S}/providers/Microsoft.Compute/skus?$filter=location eq 'eastus2'",
        "{S}/resourceGroups/ContosoRG/providers/Microsoft.Authorization/permissions",
        "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Authorization/locks",
        "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/virtualNetworks",
        "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/virtualNetworkGateways",
        "{S}/resourceGroups/ContosoRG/providers/Microsoft.Network/networkInterfaces/WEBVM-nic-0",
        "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/networkSecurityGroups/NSG-SQLMI-EUS2",
        "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/routeTables/MIRouteTable",
        "{S}/resourceGroups/ContosoRG/resources",
    ] {
        let _ = az.get(path).await;
    }
    if let Ok(file) = std::env::var("LAB_RECORD") {
        let lines: Vec<String> = az.lab.exchanges().iter().map(Value::to_string).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
    }
    az.lab.stop().await;
}
