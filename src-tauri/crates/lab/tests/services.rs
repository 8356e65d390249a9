//! Each service of the lab by itself: what it refuses and how, and the control endpoint that tests of other crates rely on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lab::{Lab, LabError, Options, Ports};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Azure, NET, client, nsg, token};

async fn azure() -> Azure {
    Azure::start(Options::default()).await
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_entra_refuses() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let a = lab.addresses();
    let http = client(&a);
    for (tenant, id, secret, status, code) in [
        (a.tenant_id.as_str(), a.client_id.as_str(), "wrong", 401, 7_000_215),
        (
            &a.tenant_id,
            "00000000-0000-0000-0000-000000000000",
            &a.client_secret,
            400,
            700_016,
        ),
        (
            "00000000-0000-0000-0000-000000000000",
            &a.client_id,
            &a.client_secret,
            400,
            90002,
        ),
    ] {
        let answer = token(&http, &a, tenant, id, secret).await;
        assert_eq!(answer.status(), status);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error_codes"], json!([code]));
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{code}: "))
        );
    }
    let none = http
        .get(format!("{}/subscriptions?api-version=2022-12-01", a.arm))
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), 401);
    assert!(
        none.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer authorization_uri=")
    );
    let forged = http
        .get(format!("{}/subscriptions?api-version=2022-12-01", a.arm))
        .bearer_auth("a.b.c")
        .send()
        .await
        .unwrap();
    assert_eq!(
        forged.json::<Value>().await.unwrap()["error"]["code"],
        "InvalidAuthenticationToken"
    );
}

#[tokio::test]
async fn the_price_list_has_filters_pages_and_currencies_and_wants_no_token() {
    let lab = Lab::start(Options::default()).await.unwrap();
    let a = lab.addresses();
    let http = client(&a);
    let read = async |query: &[(&str, &str)]| {
        let url = url::Url::parse_with_params(&format!("{}/api/retail/prices", a.prices), query).unwrap();
        let answer = http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let filter = "serviceName eq 'Virtual Machines' and armSkuName eq 'Standard_D4s_v5' and armRegionName eq 'eastus2' and priceType eq 'Consumption'";
    let (_, first) = read(&[("currencyCode", "'USD'"), ("$filter", filter)]).await;
    assert_eq!(first["Items"].as_array().unwrap().len(), 5);
    let next = http.get(first["NextPageLink"].as_str().unwrap()).send().await.unwrap();
    let next: Value = next.json().await.unwrap();
    assert_eq!(
        (next["Items"].as_array().unwrap().len(), &next["NextPageLink"]),
        (2, &Value::Null)
    );
    let names: Vec<_> = [&first, &next]
        .iter()
        .flat_map(|page| page["Items"].as_array().unwrap())
        .map(|i| (i["productName"].as_str().unwrap(), i["skuName"].as_str().unwrap()))
        .collect();
    assert!(
        names.contains(&("Virtual Machines Dsv5 Series Windows", "D4s v5")),
        "{names:?}"
    );
    assert!(names.contains(&("Dsv5 Series Cloud Services", "D4s v5")), "{names:?}");

    let (_, euros) = read(&[("currencyCode", "'EUR'"), ("$filter", filter)]).await;
    let price = |page: &Value| page["Items"][0]["retailPrice"].as_f64().unwrap();
    assert!(
        euros["BillingCurrency"] == "EUR" && price(&euros) < price(&first),
        "{euros}"
    );
    let (_, none) = read(&[("$filter", "serviceName eq 'virtual machines'")]).await;
    assert_eq!(none["Count"], 0, "the case counts");
    for wrong in [
        ("currencyCode", "'ABC'"),
        ("$filter", "colour eq 'red'"),
        ("$filter", "skuName eq 'x"),
    ] {
        assert_eq!(read(&[wrong]).await.0, 400, "{wrong:?}");
    }
    let token = http.get(format!("{}/api/retail/prices", a.prices)).bearer_auth("x");
    assert_eq!(token.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_resource_manager_checks_before_any_provider() {
    let az = azure().await;
    let get = async |path: &str| az.call(Method::GET, path, None).await;
    assert_eq!(
        get("/subscriptions/4d1bd9a8-0000-4000-8000-000000000000/resourcegroups?api-version=2024-07-01")
            .await
            .code(),
        "SubscriptionNotFound"
    );
    assert_eq!(
        get("{S}/resourcegroups?api-version=1999-01-01").await.code(),
        "InvalidApiVersionParameter"
    );
    assert_eq!(
        get("{S}/resourcegroups?api-version=").await.code(),
        "MissingApiVersionParameter"
    );
    assert_eq!(get("{S}/resourceGroups/Nowhere").await.code(), "ResourceGroupNotFound");
    assert_eq!(
        get("{S}/resourceGroups/Nowhere/providers/Microsoft.Network/virtualNetworks/v")
            .await
            .code(),
        "ResourceGroupNotFound"
    );
    assert_eq!(
        get(&format!("{NET}/virtualNetworks/v")).await.code(),
        "ResourceNotFound"
    );
    assert_eq!(
        az.call(Method::HEAD, "{S}/resourcegroups/Nowhere", None).await.status,
        404
    );
    assert_eq!(
        az.call(Method::HEAD, "{S}/resourcegroups/contosonetworkingrg", None)
            .await
            .status,
        204
    );
    // Ids are compared without case.
    assert_eq!(
        get("{S}/RESOURCEGROUPS/contosoNETWORKINGrg/providers/microsoft.network/VIRTUALNETWORKS/vnet-hub-eus2")
            .await
            .status,
        200
    );
    let storage = az
        .put(
            "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Storage/storageAccounts/Not-Valid",
            json!({"location": "eastus2", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}),
        )
        .await;
    assert_eq!(storage.code(), "AccountNameInvalid");
    // Reads run dry after 250 at one moment, and come back with time.
    let mut refused = 0;
    for _ in 0..300 {
        let got = get("{S}/resourcegroups").await;
        if got.status == 429 {
            assert_eq!(got.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!(refused > 0);
    az.pass_secs(2);
    assert_eq!(get("{S}/resourcegroups").await.status, 200);
}

#[tokio::test]
async fn the_network_has_rules() {
    let az = azure().await;
    let vnet = |space: &str, subnets: Value| json!({"location": "eastus2", "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": subnets}});
    let subnet = |name: &str, prefix: &str| json!({"name": name, "properties": {"addressPrefix": prefix}});
    let a = format!("{NET}/virtualNetworks/A");
    assert_eq!(
        az.put(&a, vnet("10.1.0.1/24", json!([]))).await.code(),
        "InvalidCIDRNotation"
    );
    assert_eq!(
        az.put(&a, vnet("10.1.0.0/24", json!([subnet("s", "10.2.0.0/25")])))
            .await
            .code(),
        "NetcfgSubnetRangeOutsideVnet"
    );
    assert_eq!(
        az.put(
            &a,
            vnet(
                "10.1.0.0/24",
                json!([subnet("s", "10.1.0.0/25"), subnet("t", "10.1.0.0/26")])
            )
        )
        .await
        .code(),
        "NetcfgSubnetRangesOverlap"
    );
    let missing = json!([{"name": "s", "properties": {"addressPrefix": "10.1.0.0/25", "routeTable": {"id": format!("{NET}/routeTables/none")}}}]);
    assert_eq!(
        az.put(&a, vnet("10.1.0.0/24", missing)).await.code(),
        "InvalidResourceReference"
    );
    let made = az
        .put(&a, vnet("10.1.0.0/24", json!([subnet("s", "10.1.0.0/25")])))
        .await;
    assert_eq!(
        (made.status, made.body["properties"]["provisioningState"].as_str()),
        (201, Some("Updating"))
    );
    let again = az.put(&a, vnet("10.1.0.0/24", json!([]))).await;
    assert_eq!(
        (again.status, again.code(), again.header("retry-after")),
        (429, "RetryableErrorDueToAnotherOperation", Some("10"))
    );
    az.done(made).await;
    // Overlapping networks can't be peered; gateways must exist; a peering needs both sides.
    az.done(
        az.put(&format!("{NET}/virtualNetworks/B"), vnet("10.1.0.0/16", json!([])))
            .await,
    )
    .await;
    az.done(
        az.put(&format!("{NET}/virtualNetworks/C"), vnet("10.3.0.0/16", json!([])))
            .await,
    )
    .await;
    let peering = |to: &str, gateways: bool| json!({"properties": {"remoteVirtualNetwork": {"id": format!("{NET}/virtualNetworks/{to}")}, "useRemoteGateways": gateways}});
    let path = |a: &str, b: &str| format!("{NET}/virtualNetworks/{a}/virtualNetworkPeerings/{a}-{b}");
    assert_eq!(
        az.put(&path("A", "B"), peering("B", false)).await.code(),
        "VnetAddressSpacesOverlap"
    );
    assert_eq!(
        az.put(&path("A", "C"), peering("C", true)).await.code(),
        "RemoteVnetHasNoGateways"
    );
    az.done(az.put(&path("A", "C"), peering("C", false)).await).await;
    assert_eq!(az.get(&path("A", "C")).await["properties"]["peeringState"], "Initiated");
    az.done(az.put(&path("C", "A"), peering("A", false)).await).await;
    assert_eq!(az.get(&path("A", "C")).await["properties"]["peeringState"], "Connected");
    az.done(az.delete(&path("C", "A")).await).await;
    assert_eq!(
        az.get(&path("A", "C")).await["properties"]["peeringState"],
        "Disconnected"
    );
    // The gateway's subnet can't go, and what is used can't either.
    assert_eq!(
        az.delete(&format!("{NET}/virtualNetworks/VNET-HUB-EUS2")).await.code(),
        "InUseSubnetCannotBeDeleted"
    );
    assert_eq!(az.delete(&format!("{NET}/virtualNetworks/nothing")).await.status, 204);
}

#[tokio::test]
async fn a_managed_instance_demands_its_network() {
    let az = azure().await;
    let subnet = az.network().await;
    az.register("Microsoft.Sql").await;
    let mi = "{S}/resourceGroups/ContosoRG/providers/Microsoft.Sql/managedInstances/mi-1";
    let with = |pointer: &str, value: Value| {
        let mut body = az.instance(&subnet);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let net = az.path(&format!("{NET}/virtualNetworks"));
    for (body, code) in [
        (with("/properties/vCores", json!(5)), "InvalidParameterValue"),
        (with("/properties/storageSizeInGB", json!(100)), "InvalidParameterValue"),
        (
            with("/sku/tier", json!("BusinessCritical")),
            "ManagedInstanceInvalidEditionForSku",
        ),
        (
            with("/properties/licenseType", json!("Free")),
            "ManagedInstanceInvalidLicenseType",
        ),
        (with("/properties/administratorLogin", json!("sa")), "InvalidLoginName"),
        (
            with("/properties/administratorLoginPassword", json!("Short-1")),
            "PasswordTooShort",
        ),
        (
            with("/properties/administratorLoginPassword", json!("onlylowercaseletters")),
            "PasswordNotComplex",
        ),
        (
            with("/properties/subnetId", json!("nonsense")),
            "InvalidSubnetResourceId",
        ),
        (
            with("/properties/subnetId", json!(format!("{net}/NONE/subnets/s"))),
            "VnetResourceNotFound",
        ),
        (
            with(
                "/properties/subnetId",
                json!(format!("{net}/VNET-SQLMI-EUS2/subnets/none")),
            ),
            "VnetSubnetIsUnknown",
        ),
        (
            with(
                "/properties/subnetId",
                json!(format!("{net}/VNET-HUB-EUS2/subnets/GatewaySubnet")),
            ),
            "VnetSubnetIsGateway",
        ),
        (
            with(
                "/properties/subnetId",
                json!(format!("{net}/VNET-SQLMI-EUS2/subnets/SQLMI-SAW-EUS2")),
            ),
            "CreateManagedInstanceInvalidSubnetSize",
        ),
        (
            with(
                "/properties/subnetId",
                json!(format!("{net}/VNET-PROD-EUS2/subnets/PROD-DB-EUS2")),
            ),
            "MiCreateFailedNonDelegatedSubnet",
        ),
        (with("/location", json!("westeurope")), "VnetInWrongRegion"),
    ] {
        let got = az.put(mi, body).await;
        assert_eq!(got.code(), code, "{}", got.body);
    }
    assert_eq!(
        az.put(&mi.replace("mi-1", "sqlmi"), az.instance(&subnet)).await.code(),
        "NameAlreadyExists"
    );
    assert_eq!(
        az.put(&mi.replace("mi-1", "-mi"), az.instance(&subnet)).await.code(),
        "InvalidServerName"
    );
    // Delegated, but without a route table.
    let bare = json!({"properties": {
        "addressPrefix": "10.235.0.160/27", "networkSecurityGroup": {"id": format!("{NET}/networkSecurityGroups/NSG-SQLMI-EUS2")},
        "delegations": [{"name": "mi", "properties": {"serviceName": "Microsoft.Sql/managedInstances"}}],
    }});
    az.done(
        az.put(&format!("{NET}/virtualNetworks/VNET-SQLMI-EUS2/subnets/BARE"), bare)
            .await,
    )
    .await;
    assert_eq!(
        az.put(
            mi,
            with(
                "/properties/subnetId",
                json!(format!("{net}/VNET-SQLMI-EUS2/subnets/BARE"))
            )
        )
        .await
        .code(),
        "VnetConfigHasNoUdr"
    );
    // It works, it can be deleted, and its subnet is only free afterwards.
    az.done(az.put(mi, az.instance(&subnet)).await).await;
    assert_eq!(az.delete(&subnet).await.code(), "InUseSubnetCannotBeDeleted");
    let rules = az.get(&format!("{NET}/networkSecurityGroups/NSG-SQLMI-EUS2")).await["properties"]["securityRules"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(rules, 7);
    assert_eq!(
        az.put(&format!("{NET}/networkSecurityGroups/NSG-SQLMI-EUS2"), nsg())
            .await
            .code(),
        "ConflictWithNetworkIntentPolicy"
    );
    az.done(az.delete(mi).await).await;
    assert_eq!(az.call(Method::GET, mi, None).await.status, 404);
    az.done(az.delete(&subnet).await).await;
}

const ACCOUNT: &str = "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Storage/storageAccounts/contosotest1";

async fn container(az: &Azure) -> String {
    az.done(
        az.put(
            ACCOUNT,
            json!({"location": "eastus2", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}),
        )
        .await,
    )
    .await;
    az.put(
        &format!("{ACCOUNT}/blobServices/default/containers/files"),
        json!({"properties": {}}),
    )
    .await;
    format!("{}/files", az.a.blob.replace("{account}", "contosotest1"))
}

async fn sas(az: &Azure, permissions: &str, expiry: &str) -> String {
    let body = json!({
        "canonicalizedResource": "/blob/contosotest1/files", "signedResource": "c", "signedPermission": permissions, "signedProtocol": "https",
        "signedStart": "2026-11-20T00:00:00Z", "signedExpiry": expiry, "keyToSign": "key1",
    });
    az.post(&format!("{ACCOUNT}/ListServiceSas"), body).await.body["serviceSasToken"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn blob_storage_checks_each_signature() {
    let az = azure().await;
    let url = container(&az).await;
    let far = "2027-01-01T00:00:00Z";
    let (all, read) = (sas(&az, "rwdl", far).await, sas(&az, "rl", far).await);
    let put = async |name: &str, token: &str| {
        let answer = az
            .http
            .put(format!("{url}/{name}?{token}"))
            .header("x-ms-blob-type", "BlockBlob")
            .body("content")
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer
                .headers()
                .get("x-ms-error-code")
                .map(|v| v.to_str().unwrap().to_owned()),
        )
    };
    let get = async |path: &str, token: &str| {
        let answer = az.http.get(format!("{url}{path}{token}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(put("a%20b.bak", &all).await, (201, None));
    assert_eq!(
        put("c", &read).await,
        (403, Some("AuthorizationPermissionMismatch".into()))
    );
    let (status, xml) = get("?restype=container&comp=list&prefix=a&", &read).await;
    assert_eq!(status, 200);
    assert!(
        xml.contains("<Name>a b.bak</Name>") && xml.contains("<Content-Length>7</Content-Length>"),
        "{xml}"
    );
    assert_eq!(get("/a%20b.bak?", &read).await, (200, "content".into()));
    for bad in [
        read.replace("sp=rl", "sp=rwl"),
        read.replace("sig=", "sig=x"),
        sas(&az, "rl", "2026-11-21T18:00:00Z").await,
    ] {
        let (status, text) = get("?restype=container&comp=list&", &bad).await;
        assert_eq!(status, 403);
        assert!(text.contains("<Code>AuthenticationFailed</Code>"), "{text}");
    }
    assert!(
        get("?restype=container&comp=list", "")
            .await
            .1
            .contains("NoAuthenticationInformation")
    );
    // A regenerated key ends what was signed with it.
    az.post(&format!("{ACCOUNT}/regenerateKey"), json!({"keyName": "key1"}))
        .await;
    assert_eq!(get("?restype=container&comp=list&", &read).await.0, 403);
    let fresh = sas(&az, "rdl", far).await;
    assert_eq!(
        az.http
            .delete(format!("{url}/a%20b.bak?{fresh}"))
            .send()
            .await
            .unwrap()
            .status(),
        202
    );
    assert!(get("/a%20b.bak?", &fresh).await.1.contains("BlobNotFound"));
    assert_eq!(
        az.delete(&format!("{ACCOUNT}/blobServices/default/containers/files"))
            .await
            .status,
        200
    );
    assert!(
        get("?restype=container&comp=list&", &fresh)
            .await
            .1
            .contains("ContainerNotFound")
    );
}

#[tokio::test]
async fn log_replay_takes_a_sas_of_read_and_list_only() {
    let az = azure().await;
    let subnet = az.network().await;
    az.register("Microsoft.Sql").await;
    let mi = "{S}/resourceGroups/ContosoRG/providers/Microsoft.Sql/managedInstances/mi-1";
    let url = container(&az).await;
    let database = |sas: &str| json!({"location": "eastus2", "properties": {"createMode": "RestoreExternalBackup", "storageContainerUri": url, "storageContainerSasToken": sas}});
    let db = format!("{mi}/databases/SmartHotelDB");
    assert_eq!(az.put(&db, database("x")).await.code(), "ParentResourceNotFound");
    let making = az.put(mi, az.instance(&subnet)).await;
    assert_eq!(
        az.put(&db, database("x")).await.code(),
        "ConflictingManagedInstanceOperation"
    );
    az.done(making).await;
    assert_eq!(az.put(&db, json!({"location": "eastus2", "properties": {"createMode": "RestoreExternalBackup", "storageContainerUri": url}})).await.code(), "MissingStorageContainerSasToken");
    let far = "2027-01-01T00:00:00Z";
    let wide = az.put(&db, database(&sas(&az, "rwl", far).await)).await;
    let end = az.settle(wide).await;
    assert_eq!(end["error"]["code"], "BlobStorageFailure", "{end}");
    let details = az.get(&format!("{db}/restoreDetails/Default")).await["properties"].clone();
    assert_eq!(details["status"], "Failed");
    assert!(
        details["blockReason"]
            .as_str()
            .unwrap()
            .contains("exactly Read and List")
    );
    let good = sas(&az, "rl", far).await;
    assert_eq!(az.put(&db, database(&good)).await.code(), "ManagedDatabaseNameInUse");
    az.done(az.delete(&db).await).await;
    assert_eq!(az.put(&db, database(&good)).await.status, 201);
    // The full backup has been there for a while; its restore takes its time, and completion must name the last file.
    az.pass(10);
    let details = az.get(&format!("{db}/restoreDetails/Default")).await["properties"].clone();
    assert_eq!(
        (details["status"].as_str(), details["currentRestoringFileName"].as_str()),
        (Some("Restoring"), Some("SmartHotelDB_full_01.bak"))
    );
    assert_eq!(
        az.post(
            &format!("{db}/completeRestore"),
            json!({"lastBackupName": "SmartHotelDB_full_01.bak"})
        )
        .await
        .code(),
        "RequiredBackupIsNotLastRestored"
    );
}

#[tokio::test]
async fn the_trap_holds_a_request_before_or_after_it_is_carried_out() {
    let az = azure().await;
    let http = az.http.clone();
    let control = az.a.control.clone();
    let post = async |path: &str, body: Value| -> Value {
        http.post(format!("{control}{path}"))
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let get = async |path: &str| -> Value {
        http.get(format!("{control}{path}"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    for (phase, name, there) in [("before", "G1", false), ("after", "G2", true)] {
        post("/trap", json!({"afterMutations": 1, "phase": phase})).await;
        let url = az.path(&format!(
            "{}{{S}}/resourcegroups/{name}?api-version=2024-07-01",
            az.a.arm
        ));
        let token = {
            let got: Value = token(&http, &az.a, &az.a.tenant_id, &az.a.client_id, &az.a.client_secret)
                .await
                .json()
                .await
                .unwrap();
            got["access_token"].as_str().unwrap().to_owned()
        };
        let sender = client(&az.a);
        let held = tokio::spawn(async move {
            sender
                .put(url)
                .bearer_auth(token)
                .json(&json!({"location": "eastus2"}))
                .send()
                .await
        });
        // The lab says when it holds the request; others are served meanwhile.
        while get("/trap").await["held"] != true {
            tokio::task::yield_now().await;
        }
        assert!(
            get("/trap").await["request"]
                .as_str()
                .unwrap()
                .starts_with("PUT /subscriptions/")
        );
        let exists = az
            .call(Method::GET, &format!("{{S}}/resourcegroups/{name}"), None)
            .await
            .status
            == 200;
        assert_eq!(exists, there, "{phase}");
        post("/release", Value::Null).await;
        assert!(held.await.unwrap().is_err(), "the held request must not be answered");
        assert_eq!(get("/trap").await["set"], false);
    }
    let stats: lab::Stats = serde_json::from_value(get("/stats").await).unwrap();
    assert_eq!(
        stats
            .mutations
            .iter()
            .filter(|m| m.path.ends_with("/G2"))
            .map(|m| m.count)
            .sum::<u64>(),
        1
    );
    assert!(!stats.mutations.iter().any(|m| m.path.ends_with("/G1")));
    // A run has begun, and its people with it.
    let registered = az
        .call(Method::POST, "{S}/providers/Microsoft.Sql/register", None)
        .await;
    assert_eq!(registered.status, 200);
    // The clock can be moved and watched from outside.
    let before: lab::ClockAnchor = serde_json::from_value(get("/clock").await).unwrap();
    let after: lab::ClockAnchor =
        serde_json::from_value(post("/clock", json!({"advanceTo": "2026-11-22T08:00:00Z", "speed": 100})).await)
            .unwrap();
    assert!(after.lab > before.lab && after.speed == 100);
    let readiness = get("/state").await["onPrem"]["vms"]["WEBVM"]["readiness"].clone();
    assert!(readiness.as_str().unwrap().contains("san=OnlineAll"), "{readiness}");
}

#[tokio::test]
async fn faults_happen_as_often_as_they_are_asked_for() {
    let az = azure().await;
    let set = async |faults: Value| {
        let answer = az
            .http
            .post(format!("{}/faults", az.a.control))
            .json(&faults)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    set(json!([{"service": "arm", "method": "PUT", "path": "/resourcegroups/", "ends": {"hits": 1}, "effect": {"throttle": {"seconds": 7}}}])).await;
    let group = json!({"location": "eastus2"});
    let got = az.put("{S}/resourcegroups/G", group.clone()).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
    assert_eq!(az.put("{S}/resourcegroups/G", group.clone()).await.status, 429);
    az.pass_secs(8);
    assert_eq!(az.put("{S}/resourcegroups/G", group.clone()).await.status, 201);
    set(json!([{"service": "arm", "method": "PUT", "ends": {"hits": 1}, "effect": "lostAnswer"}])).await;
    assert_eq!(az.put("{S}/resourcegroups/H", group.clone()).await.status, 504);
    assert_eq!(
        az.put("{S}/resourcegroups/H", group).await.status,
        200,
        "the first one was carried out"
    );
    set(json!([{"service": "arm", "path": "/tenants", "ends": {"hits": 1}, "effect": {"refuse": {"status": 503, "code": "ServiceUnavailable", "message": "later"}}}])).await;
    assert_eq!(
        az.call(Method::GET, "/tenants", None).await.code(),
        "ServiceUnavailable"
    );
    assert_eq!(az.call(Method::GET, "/tenants", None).await.status, 200);
}

#[tokio::test]
async fn a_fault_script_goes_on_where_an_earlier_lab_left_it() {
    let diary = std::env::temp_dir().join(format!("fault-script-{}.rehost-lab", std::process::id()));
    let _ = std::fs::remove_file(&diary);
    let start = async || {
        Azure::start(Options {
            fault: Some("azure-throttled".into()),
            diary: Some(diary.clone()),
            ..Options::default()
        })
        .await
    };
    let group = json!({"location": "eastus2"});
    let mut refused = 0;
    for life in 0..2 {
        let az = start().await;
        for n in 0..4 {
            refused += u32::from(
                az.put(&format!("{{S}}/resourcegroups/G{life}{n}"), group.clone())
                    .await
                    .status
                    == 429,
            );
            az.pass_secs(61);
        }
        az.lab.stop().await;
    }
    std::fs::remove_file(&diary).unwrap();
    assert_eq!(refused, 5, "five in all");
}

#[tokio::test]
async fn requests_are_limited_as_documented() {
    let az = azure().await;
    let group = json!({"location": "eastus2"});
    let got = az.put("{S}/resourcegroups/G", group.clone()).await;
    let left = |got: &support::Got, what: &str| -> u32 {
        got.header(&format!("x-ms-ratelimit-remaining-{what}"))
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(left(&got, "subscription-writes"), 199);
    assert_eq!(left(&got, "subscription-global-writes"), 2999);
    let read = az.call(Method::GET, "{S}/resourcegroups/G", None).await;
    assert_eq!(
        (
            left(&read, "subscription-reads"),
            left(&read, "subscription-global-reads")
        ),
        (249, 3749)
    );
    let tenant = az.call(Method::GET, "/subscriptions", None).await;
    assert_eq!(left(&tenant, "tenant-reads"), 249);
    let mut taken = 1;
    let refused = loop {
        let got = az.put("{S}/resourcegroups/G", group.clone()).await;
        if got.status != 200 {
            break got;
        }
        taken += 1;
    };
    // The bucket is refilled meanwhile.
    assert!((200..2000).contains(&taken), "{taken}");
    let told = (refused.status, refused.code(), refused.header("retry-after"));
    assert_eq!(told, (429, "SubscriptionRequestsThrottled", Some("1")));
    // Who comes too early isn't heard, and told again when; other kinds of requests are.
    assert_eq!(
        az.put("{S}/resourcegroups/G", group.clone())
            .await
            .header("retry-after"),
        Some("1")
    );
    assert_eq!(az.call(Method::GET, "{S}/resourcegroups/G", None).await.status, 200);
    az.pass_secs(2);
    assert_eq!(az.put("{S}/resourcegroups/G", group).await.status, 200);
}

#[tokio::test]
async fn the_network_provider_has_limits_of_its_own() {
    let az = azure().await;
    let mut refused = None;
    for _ in 0..1200 {
        let got = az
            .delete("{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/routeTables/none")
            .await;
        if got.status == 429 {
            refused = Some(got);
            break;
        }
        az.pass_secs(0);
        if got.header("x-ms-ratelimit-remaining-subscription-deletes") == Some("0") {
            az.pass_secs(20);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), "TooManyRequests");
    let seconds: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn locks_hold_at_every_scope() {
    let az = azure().await;
    az.put("{S}/resourcegroups/G", json!({"location": "eastus2"})).await;
    let lock = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01");
    let body = |level: &str| json!({"properties": {"level": level, "notes": "n"}});
    assert_eq!(
        az.put(&lock("{S}/resourceGroups/G"), body("Nonsense")).await.status,
        400
    );
    assert_eq!(
        az.put(&lock("{S}/resourceGroups/G"), body("CanNotDelete")).await.status,
        201
    );
    let table = "{S}/resourceGroups/G/providers/Microsoft.Network/routeTables/T";
    let made = az
        .put(table, json!({"location": "eastus2", "properties": {"routes": []}}))
        .await;
    assert_eq!(made.status, 201, "it may be created: {}", made.body);
    az.pass(5);
    for what in [table, "{S}/resourceGroups/G"] {
        let refused = az.delete(what).await;
        assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"), "{what}");
        let text = refused.body["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            text.contains("cannot perform delete operation") && text.contains("resourceGroups/G'"),
            "{text}"
        );
    }
    let listed = az
        .get(&format!(
            "{table}/providers/Microsoft.Authorization/locks?api-version=2020-05-01"
        ))
        .await;
    assert_eq!(listed["value"][0]["properties"]["level"], "CanNotDelete");
    assert_eq!(az.put(&lock("{S}"), body("ReadOnly")).await.status, 201);
    assert_eq!(
        az.put(table, json!({"location": "eastus2"})).await.code(),
        "ScopeLocked"
    );
    for scope in ["{S}", "{S}/resourceGroups/G"] {
        assert_eq!(az.delete(&lock(scope)).await.status, 200);
    }
    assert_eq!(az.delete(table).await.status, 202);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_world() {
    let run = async |seed: u64| {
        let az = Azure::start(Options {
            seed,
            ..Options::default()
        })
        .await;
        az.network().await;
        (
            az.a.subscription_id.clone(),
            az.a.vcenter_password.clone(),
            az.lab.final_state(),
        )
    };
    let (a, b, c) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(a, b);
    assert_ne!((&a.0, &a.1), (&c.0, &c.1));
}

#[tokio::test]
async fn a_port_in_use_is_said_clearly() {
    let first = Lab::start(Options::default()).await.unwrap();
    let port = first.addresses().arm.rsplit(':').next().unwrap().parse().unwrap();
    let second = Lab::start(Options {
        ports: Ports {
            arm: port,
            ..Ports::default()
        },
        ..Options::default()
    })
    .await;
    match second {
        Err(LabError::PortInUse { port: p, .. }) => assert_eq!(p, port),
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("two labs on one port"),
    }
    first.stop().await;
}
