//! Azure Database Migration Service of the lab by raw requests: services and integration runtime, migrations from
//! container and share, each documented error code, what is left of the retired kind.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lab::{Options, onprem::Power};
use serde_json::{Value, json};
use support::{Azure, Got};

const GROUP: &str = "{S}/resourceGroups/ContosoFailoverRG/providers";
const ACCOUNT: &str =
    "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.Storage/storageAccounts/contosobackup2018";
const SERVICE: &str =
    "{S}/resourceGroups/ContosoFailoverRG/providers/Microsoft.DataMigration/sqlMigrationServices/ContosoDMS";
const MI: &str = "{S}/resourceGroups/ContosoRG/providers/Microsoft.Sql/managedInstances/sqlmi-smarthotel";
const DETAILS: &str = "?$expand=MigrationStatusDetails";

fn migration() -> String {
    format!("{MI}/providers/Microsoft.DataMigration/databaseMigrations/SmartHotelDB")
}

fn database() -> String {
    format!("{MI}/databases/SmartHotelDB")
}

/// Instance, account and service stand; with a container the DBA backs up into it, without one to the share.
async fn prepared(container: bool) -> Azure {
    let az = Azure::start(Options::default()).await;
    let subnet = az.network().await;
    for namespace in ["Microsoft.Sql", "Microsoft.DataMigration"] {
        az.register(namespace).await;
    }
    let instance = az.instance(&subnet);
    az.done(az.put(MI, instance).await).await;
    let account = json!({"location": "eastus2", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}});
    az.done(az.put(ACCOUNT, account).await).await;
    if container {
        let got = az
            .put(&format!("{ACCOUNT}/blobServices/default/containers/backups"), json!({}))
            .await;
        assert_eq!(got.status, 201);
    }
    // The people know from the tag that an integration runtime is wanted.
    let tags = if container {
        json!({})
    } else {
        json!({"integrationRuntime": "CONTOSOIR"})
    };
    let made = az.put(SERVICE, json!({"location": "eastus2", "tags": tags})).await;
    assert_eq!(
        (made.status, made.header("azure-asyncoperation").is_some()),
        (201, true)
    );
    assert!(
        made.header("azure-asyncoperation")
            .unwrap()
            .contains("/Microsoft.DataMigration/locations/eastus2/operationStatuses/")
    );
    az.done(made).await;
    az
}

async fn key(az: &Azure) -> String {
    az.post(&format!("{ACCOUNT}/listKeys"), Value::Null).await.body["keys"][0]["value"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn body(az: &Azure, share: bool) -> Value {
    let key = key(az).await;
    let backups = if share {
        json!({"sourceLocation": {"fileShare": {"path": r"\\CONTOSOFILE\SmartHotelDB", "username": r"CONTOSO\svc-backup", "password": az.a.share_password}},
               "targetLocation": {"storageAccountResourceId": ACCOUNT, "accountKey": key}})
    } else {
        json!({"sourceLocation": {"azureBlob": {"storageAccountResourceId": ACCOUNT, "blobContainerName": "backups", "accountKey": key}}})
    };
    json!({"properties": {
        "kind": "SqlMi", "scope": MI, "migrationService": SERVICE, "sourceDatabaseName": "SmartHotelDB", "backupConfiguration": backups,
        "sourceSqlConnection": {"dataSource": "SQLVM", "authentication": "SqlAuthentication", "userName": "svc-dms", "password": az.a.sql_password,
            "encryptConnection": true, "trustServerCertificate": false},
    }})
}

fn offline(mut body: Value, last: &str) -> Value {
    body["properties"]["offlineConfiguration"] = json!({"offline": true, "lastBackupName": last});
    body
}

async fn start(az: &Azure, body: Value) -> Got {
    let got = az.put(&migration(), body).await;
    assert!(got.status < 300, "{}", got.body);
    got
}

async fn now(az: &Azure) -> Value {
    az.get(&format!("{}{DETAILS}", migration())).await["properties"].clone()
}

/// Waits, in steps of half a minute, until the migration's status is one of these.
async fn until(az: &Azure, status: &str) -> Value {
    let mut seen = vec![];
    for _ in 0..2000 {
        let p = now(az).await;
        let is = p["migrationStatus"].as_str().unwrap().to_owned();
        if is == status {
            return p;
        }
        if seen.last() != Some(&is) {
            seen.push(is);
        }
        az.pass_secs(30);
    }
    panic!("never {status}: {seen:?} {}", now(az).await);
}

fn operation(p: &Value) -> Value {
    json!({"migrationOperationId": p["migrationOperationId"]})
}

fn stop_site(az: &Azure) {
    az.lab
        .with_world(|w| w.onprem.vms.iter_mut().find(|v| v.name == "WEBVM").unwrap().power = Power::Off);
}

/// The code with which a start ends.
async fn refused(az: &Azure, body: Value) -> String {
    let got = az.put(&migration(), body).await;
    if got.status >= 300 {
        return got.code().to_owned();
    }
    let end = az.settle(got).await;
    assert_eq!(end["status"], "Failed", "{end}");
    let p = now(az).await;
    assert_eq!(
        (p["migrationStatus"].as_str(), p["provisioningState"].as_str()),
        (Some("Failed"), Some("Failed"))
    );
    assert_eq!(p["migrationFailureError"]["code"], end["error"]["code"]);
    end["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_has_keys_a_runtime_and_an_end() {
    let az = prepared(false).await;
    let keys = az.post(&format!("{SERVICE}/listAuthKeys"), Value::Null).await.body;
    assert!(keys["authKey1"].as_str().unwrap().starts_with("IR@"));
    let new = az
        .post(&format!("{SERVICE}/regenerateAuthKeys"), json!({"keyName": "authKey1"}))
        .await;
    assert_ne!(new.body["authKey1"], keys["authKey1"]);
    let again = az.post(&format!("{SERVICE}/listAuthKeys"), Value::Null).await.body;
    assert_eq!(
        (&again["authKey1"], &again["authKey2"]),
        (&new.body["authKey1"], &keys["authKey2"])
    );
    assert_eq!(
        az.get(SERVICE).await["properties"]["integrationRuntimeState"],
        "NeedRegistration"
    );
    az.pass(15);
    assert_eq!(az.get(SERVICE).await["properties"]["integrationRuntimeState"], "Online");
    let data = az
        .post(&format!("{SERVICE}/listMonitoringData"), Value::Null)
        .await
        .body;
    assert_eq!(data["nodes"][0]["nodeName"], "CONTOSOIR");
    az.lab.with_world(|w| w.runtimes_offline(true));
    assert_eq!(
        az.get(SERVICE).await["properties"]["integrationRuntimeState"],
        "Offline"
    );
    assert_eq!(az.delete(SERVICE).await.status, 409, "it has a node");
    let wrong = json!({"nodeName": "OTHER", "integrationRuntimeName": data["name"]});
    assert_eq!(az.post(&format!("{SERVICE}/deleteNode"), wrong).await.status, 400);
    let node = json!({"nodeName": "CONTOSOIR", "integrationRuntimeName": data["name"]});
    assert_eq!(az.post(&format!("{SERVICE}/deleteNode"), node).await.status, 200);
    az.done(az.delete(SERVICE).await).await;
    assert_eq!(az.call(reqwest::Method::GET, SERVICE, None).await.status, 404);
}

#[tokio::test]
async fn offline_from_a_container_ends_by_itself_with_the_last_file() {
    let az = prepared(true).await;
    az.pass(45);
    assert_eq!(
        refused(&az, offline(body(&az, false).await, "SmartHotelDB_tail.trn")).await,
        "Ext_RestoreSettingsError"
    );
    stop_site(&az);
    az.pass(10);
    start(&az, offline(body(&az, false).await, "SmartHotelDB_tail.trn")).await;
    let p = until(&az, "Succeeded").await;
    let d = &p["migrationStatusDetails"];
    assert_eq!(
        (d["lastRestoredFilename"].as_str(), d["pendingLogBackupsCount"].as_u64()),
        (Some("SmartHotelDB_tail.trn"), Some(0))
    );
    assert_eq!(az.get(&database()).await["properties"]["status"], "Online");
    let (source, target) = az.lab.log_positions();
    assert_eq!(Some(source), target, "nothing is lost");
    let all = az.get(&format!("{SERVICE}/listMigrations")).await;
    assert_eq!(all["value"][0]["properties"]["migrationStatus"], "Succeeded");
}

#[tokio::test]
async fn online_from_a_share_shows_uploads_and_waits_for_the_cutover() {
    let az = prepared(false).await;
    az.pass(20);
    start(&az, body(&az, true).await).await;
    let p = until(&az, "UploadingFullBackup").await;
    let file = &p["migrationStatusDetails"]["activeBackupSets"][0]["listOfBackupFiles"][0];
    assert_eq!(
        (file["fileName"].as_str(), file["status"].as_str()),
        (Some("SmartHotelDB_full_01.bak"), Some("Uploading"))
    );
    assert!(file["copyThroughput"].as_f64().unwrap() > 0.0);
    let early = az.post(&format!("{}/cutover", migration()), operation(&p)).await;
    assert_eq!((early.status, early.code()), (400, "2007"));
    until(&az, "Restoring").await;
    until(&az, "ReadyForCutover").await;
    stop_site(&az);
    az.pass(10);
    let p = loop {
        let p = until(&az, "ReadyForCutover").await;
        if p["migrationStatusDetails"]["lastRestoredFilename"] == "SmartHotelDB_tail.trn" {
            break p;
        }
        az.pass(1);
    };
    let other = json!({"migrationOperationId": "858ba109-5ab7-4fa1-8aea-bea487cacdcd"});
    assert_eq!(az.post(&format!("{}/cutover", migration()), other).await.status, 400);
    let cut = az.post(&format!("{}/cutover", migration()), operation(&p)).await;
    assert_eq!(cut.status, 202);
    assert_eq!(now(&az).await["migrationStatus"], "Completing");
    let twice = az.post(&format!("{}/cutover", migration()), operation(&p)).await;
    assert_eq!((twice.status, twice.code()), (400, "2007"));
    az.done(cut).await;
    until(&az, "Succeeded").await;
    let (source, target) = az.lab.log_positions();
    assert_eq!(Some(source), target);
    az.done(az.delete(&migration()).await).await;
    assert_eq!(az.call(reqwest::Method::GET, &migration(), None).await.status, 404);
    assert_eq!(
        az.get(&database()).await["properties"]["status"],
        "Online",
        "the database stays"
    );
}

#[tokio::test]
async fn a_cutover_without_the_tail_loses_what_was_written_since() {
    let az = prepared(true).await;
    az.pass(45);
    start(&az, body(&az, false).await).await;
    let p = until(&az, "ReadyForCutover").await;
    az.done(az.post(&format!("{}/cutover", migration()), operation(&p)).await)
        .await;
    az.pass(5);
    let (source, target) = az.lab.log_positions();
    assert!(target.unwrap() < source, "the lab must notice a loss");
}

#[tokio::test]
async fn each_documented_code_can_be_provoked() {
    // From a share.
    let az = prepared(false).await;
    let with = |pointer: &'static str, value: Value| {
        let az = &az;
        async move {
            let mut b = body(az, true).await;
            match b["properties"].pointer_mut(pointer) {
                Some(v) => *v = value,
                None => b["properties"][pointer.trim_start_matches('/')] = value,
            }
            refused(az, b).await
        }
    };
    assert_eq!(
        refused(&az, body(&az, true).await).await,
        "2014",
        "nobody has registered"
    );
    az.pass(60);
    for (code, pointer, value) in [
        ("2012", "/sourceSqlConnection/password", json!("wrong")),
        (
            "2049",
            "/backupConfiguration/sourceLocation/fileShare/password",
            json!("wrong"),
        ),
        (
            "2049",
            "/backupConfiguration/sourceLocation/fileShare/path",
            json!(r"\\OTHER\share"),
        ),
        (
            "2043",
            "/backupConfiguration/targetLocation/accountKey",
            json!("d3Jvbmc="),
        ),
        ("2056", "/sourceDatabaseName", json!("OtherDB")),
        ("2056", "/targetDatabaseCollation", json!("Latin1_General_BIN2")),
    ] {
        assert_eq!(with(pointer, value).await, code, "{pointer}");
    }
    az.lab.with_world(|w| w.dms_trouble = Some(2030));
    assert_eq!(refused(&az, body(&az, true).await).await, "2030");
    az.done(start(&az, body(&az, true).await).await).await;
    assert_eq!(
        refused(&az, body(&az, true).await).await,
        "2039",
        "one migration at a time"
    );

    // The runtime goes away: the service waits eight hours.
    az.lab.with_world(|w| w.runtimes_offline(true));
    let p = until(&az, "Retriable").await;
    assert_eq!(p["migrationFailureError"]["code"], "2014");
    assert!(
        !p["migrationStatusDetails"]["fileUploadBlockingErrors"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    az.pass(8 * 60 + 1);
    assert_eq!(until(&az, "Failed").await["migrationFailureError"]["code"], "2040");
    az.lab.with_world(|w| w.runtimes_offline(false));

    // While it runs.
    az.lab.with_world(|w| w.dms_trouble = Some(2033));
    az.done(start(&az, body(&az, true).await).await).await;
    assert_eq!(until(&az, "Failed").await["migrationFailureError"]["code"], "2033");
    let at = az.lab.clock().now();
    az.lab
        .with_world(|w| w.onprem.sql.put_file("Payroll_full_01.bak", 1 << 30, at, (0, 9)));
    az.done(start(&az, body(&az, true).await).await).await;
    assert_eq!(until(&az, "Failed").await["migrationFailureError"]["code"], "2009");
    assert_eq!(
        az.call(reqwest::Method::GET, &database(), None).await.status,
        404,
        "what failed leaves nothing"
    );
    az.lab.with_world(|w| w.onprem.sql.share.remove("Payroll_full_01.bak"));

    // The cutover itself, and a cancellation that comes too late.
    az.done(start(&az, body(&az, true).await).await).await;
    let p = until(&az, "ReadyForCutover").await;
    az.lab.with_world(|w| w.dms_trouble = Some(2007));
    let end = az
        .settle(az.post(&format!("{}/cutover", migration()), operation(&p)).await)
        .await;
    assert_eq!(end["error"]["code"], "2007");
    az.done(start(&az, body(&az, true).await).await).await;
    let p = until(&az, "ReadyForCutover").await;
    assert_eq!(
        az.post(&format!("{}/cutover", migration()), operation(&p)).await.status,
        202
    );
    let end = az
        .settle(az.post(&format!("{}/cancel", migration()), operation(&p)).await)
        .await;
    assert_eq!(end["error"]["code"], "2038");
    az.done(az.delete(&migration()).await).await;
    assert_eq!(refused(&az, body(&az, true).await).await, "2056", "the database exists");
}

#[tokio::test]
async fn a_container_is_read_with_the_right_key_or_identity_only() {
    let az = prepared(true).await;
    az.pass(45);
    let blob = "/properties/backupConfiguration/sourceLocation/azureBlob";
    let mut wrong = body(&az, false).await;
    *wrong.pointer_mut(&format!("{blob}/accountKey")).unwrap() = json!("d3Jvbmc=");
    assert_eq!(refused(&az, wrong).await, "Ext_RestoreSettingsError");
    let mut none = body(&az, false).await;
    *none.pointer_mut(&format!("{blob}/blobContainerName")).unwrap() = json!("other");
    assert_eq!(refused(&az, none).await, "Ext_RestoreSettingsError");
    let mut identity = body(&az, false).await;
    identity["properties"]
        .as_object_mut()
        .unwrap()
        .remove("sourceSqlConnection");
    *identity.pointer_mut(blob).unwrap() = json!({"storageAccountResourceId": ACCOUNT, "blobContainerName": "backups", "authType": "ManagedIdentity",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {az.a.identity.clone(): {}}}});
    assert_eq!(
        refused(&az, identity.clone()).await,
        "Ext_RestoreSettingsError",
        "no role yet"
    );
    let right =
        format!("{ACCOUNT}/providers/Microsoft.Authorization/roleAssignments/5a1f9f6e-6b0e-4f5e-9c3f-0d8f2a1b7c11");
    let role = "{S}/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
    let assigned = az
        .put(&right, json!({"properties": {"roleDefinitionId": role, "principalId": az.a.identity_principal, "principalType": "ServicePrincipal"}}))
        .await;
    assert_eq!(assigned.status, 201, "{}", assigned.body);
    az.done(start(&az, identity).await).await;
    until(&az, "ReadyForCutover").await;
    // The right ends, and with it the migration.
    assert_eq!(az.delete(&right).await.status, 200);
    az.pass(20);
    assert_eq!(
        until(&az, "Failed").await["migrationFailureError"]["code"],
        "Ext_RestoreSettingsError"
    );
}

#[tokio::test]
async fn a_gap_in_the_log_blocks_until_the_missing_file_comes() {
    let az = prepared(false).await;
    az.pass(60);
    let at = az.lab.clock().now();
    let missing = az.lab.with_world(|w| {
        w.onprem.sql.put_file("notes.txt", 10, at, (0, 0));
        w.onprem.sql.share.remove("SmartHotelDB_log_001.trn")
    });
    let missing = missing.unwrap();
    az.pass(10);
    az.done(start(&az, body(&az, true).await).await).await;
    let mut p = now(&az).await;
    for _ in 0..400 {
        if p["migrationStatusDetails"]["restoreBlockingReason"].is_string() {
            break;
        }
        az.pass_secs(30);
        p = now(&az).await;
    }
    let d = &p["migrationStatusDetails"];
    assert!(
        d["restoreBlockingReason"].as_str().unwrap().contains("log chain"),
        "{d}"
    );
    assert_eq!(d["invalidFiles"], json!(["notes.txt"]));
    az.lab.with_world(|w| {
        w.onprem
            .sql
            .put_file("SmartHotelDB_log_001.trn", missing.size, missing.modified, missing.log)
    });
    let p = until(&az, "ReadyForCutover").await;
    assert!(p["migrationStatusDetails"]["restoreBlockingReason"].is_null());
}

#[tokio::test]
async fn a_migration_is_cancelled_and_deleted_in_that_order() {
    let az = prepared(true).await;
    az.pass(45);
    az.done(start(&az, body(&az, false).await).await).await;
    let p = until(&az, "Restoring").await;
    assert_eq!(az.delete(&migration()).await.status, 409);
    assert_eq!(az.delete(SERVICE).await.status, 409);
    let cancel = az.post(&format!("{}/cancel", migration()), operation(&p)).await;
    assert_eq!(now(&az).await["migrationStatus"], "Canceling");
    az.done(cancel).await;
    assert_eq!(now(&az).await["migrationStatus"], "Canceled");
    assert_eq!(az.call(reqwest::Method::GET, &database(), None).await.status, 404);
    assert_eq!(
        az.post(&format!("{}/cancel", migration()), operation(&p)).await.status,
        400
    );
    az.done(az.delete(&migration()).await).await;
    assert_eq!(az.delete(&migration()).await.status, 204);
    az.done(az.delete(SERVICE).await).await;
}

#[tokio::test]
async fn bad_requests_are_refused_at_once() {
    let az = prepared(true).await;
    for (pointer, value, code) in [
        ("/properties/kind", json!("SqlVm"), "InvalidRequestContent"),
        ("/properties/scope", json!("/subscriptions/x"), "InvalidRequestContent"),
        ("/properties/sourceDatabaseName", json!(""), "InvalidRequestContent"),
        (
            "/properties/migrationService",
            json!(format!("{SERVICE}x")),
            "ResourceNotFound",
        ),
        ("/properties/backupConfiguration", json!({}), "InvalidRequestContent"),
    ] {
        let mut b = body(&az, false).await;
        *b.pointer_mut(pointer).unwrap() = value;
        assert_eq!(refused(&az, b).await, code, "{pointer}");
    }
    let there = format!("{GROUP}/Microsoft.DataMigration/sqlMigrationServices/Elsewhere");
    az.done(az.put(&there, json!({"location": "westus2"})).await).await;
    let mut b = body(&az, false).await;
    b["properties"]["migrationService"] = json!(there);
    assert_eq!(
        refused(&az, b).await,
        "InvalidParameterValue",
        "the account is in another region"
    );
    assert_eq!(
        az.put(&there, json!({"location": "eastus2"})).await.code(),
        "InvalidResourceLocation"
    );
    assert_eq!(
        az.put(&format!("{there}%20x"), json!({"location": "eastus2"}))
            .await
            .code(),
        "InvalidResourceName"
    );
}

#[tokio::test]
async fn the_retired_service_can_be_read_and_not_made() {
    let az = Azure::start(Options::default()).await;
    let all = "{S}/providers/Microsoft.DataMigration/services";
    assert_eq!(az.get(all).await["value"], json!([]));
    az.lab.with_world(lab::world::World::leave_classic_dms);
    let service = az.get(all).await["value"][0]["id"].as_str().unwrap().to_owned();
    let project = az.get(&format!("{service}/projects")).await["value"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let task = az.get(&format!("{project}/tasks")).await["value"][0].clone();
    assert_eq!(task["properties"]["taskType"], "Migrate.SqlServer.AzureSqlDbMI");
    az.register("Microsoft.DataMigration").await;
    let made = az
        .put(
            &format!("{service}2"),
            json!({"location": "eastus2", "sku": {"name": "Basic_1vCore"}}),
        )
        .await;
    assert_eq!(made.status, 405);
}
