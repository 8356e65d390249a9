//! The client against the simulated Azure, over HTTPS: sign-in, a network with its long operation, keys, a SAS.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use azure::{Arm, AzureError, Blobs, ErrorClass, NetworkKind, Operation, Polled, check_connection};
use jiff::{SignedDuration, Timestamp};
use plan::{Exchange, ResourceId, Trace, design::AzureConnection};
use secrets::Secret;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Kept(Mutex<Vec<Exchange>>);

impl Trace for Kept {
    fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }
}

async fn lab() -> lab::Lab {
    lab::Lab::start(lab::Options {
        speed: 10_000,
        people: false,
        ..lab::Options::default()
    })
    .await
    .unwrap()
}

fn connection(lab: &lab::Lab) -> AzureConnection {
    let a = lab.addresses();
    AzureConnection {
        arm_url: a.arm,
        authority_url: a.authority,
        blob_url: a.blob,
        tenant_id: a.tenant_id,
        client_id: a.client_id,
        subscription_id: a.subscription_id,
        ca_pem: a.ca_pem,
        ..AzureConnection::default()
    }
}

fn signed_in(lab: &lab::Lab) -> Arm {
    let c = connection(lab);
    Arm::connect(
        &c,
        azure::auth::client_secret(&c, Secret::new(lab.addresses().client_secret)).unwrap(),
    )
    .unwrap()
}

/// Follows an operation in the lab's time.
async fn settled(lab: &lab::Lab, arm: &Arm, started: azure::Started) -> Option<Value> {
    let Some(mut operation) = started.operation else {
        return started.body;
    };
    loop {
        // Each time as a later process would read it.
        operation = serde_json::from_str::<Operation>(&serde_json::to_string(&operation).unwrap()).unwrap();
        let until = lab.clock().now() + SignedDuration::from_secs(operation.retry_after().cast_signed());
        lab.clock().sleep_until(until).await;
        match arm.poll(&operation).await.unwrap() {
            Polled::Running { operation: newest, .. } => operation = newest,
            Polled::Done { body } => return body,
            Polled::Failed(e) => unreachable!("{e}"),
        }
    }
}

async fn group(arm: &Arm) -> ResourceId {
    let group = ResourceId::group(&arm.connection().subscription_id, "ContosoRG");
    arm.put(&group, &json!({"location": "eastus2"})).await.unwrap();
    group
}

#[tokio::test]
async fn the_connection_is_tested_hop_by_hop() {
    let lab = lab().await;
    let c = connection(&lab);
    let check = async |c: &AzureConnection, secret: &str| {
        let credential = azure::auth::client_secret(c, secret.into()).unwrap();
        let network = azure::Network::of(c, None).unwrap();
        check_connection(c, &network, credential, Arc::new(Kept::default())).await
    };
    let secret = lab.addresses().client_secret;
    let steps = check(&c, &secret).await;
    assert!(
        steps.len() == 7 && steps.iter().all(|s| s.ok && s.hint.is_empty()),
        "{steps:#?}"
    );

    let steps = check(&c, "wrong").await;
    assert!(
        steps.len() == 5 && steps[4].detail.contains("The client secret is wrong"),
        "{steps:#?}"
    );
    let steps = check(
        &AzureConnection {
            client_id: "00000000-0000-0000-0000-00000000dead".into(),
            ..c.clone()
        },
        &secret,
    )
    .await;
    assert!(
        steps.len() == 5 && steps[4].detail.contains("The application was not found"),
        "{steps:#?}"
    );
    let steps = check(
        &AzureConnection {
            tenant_id: "00000000-0000-0000-0000-00000000dead".into(),
            ..c.clone()
        },
        &secret,
    )
    .await;
    assert!(
        steps.len() == 5 && steps[4].detail.contains("The tenant was not found"),
        "{steps:#?}"
    );
    let steps = check(
        &AzureConnection {
            subscription_id: "00000000-0000-0000-0000-00000000dead".into(),
            ..c.clone()
        },
        &secret,
    )
    .await;
    assert!(steps.len() == 6 && !steps[5].ok, "{steps:#?}");
    // Without the lab's authority, its certificate is a stranger's.
    let steps = check(
        &AzureConnection {
            ca_pem: String::new(),
            ..c.clone()
        },
        &secret,
    )
    .await;
    assert!(
        steps.len() == 3 && steps[2].detail.contains("certificate"),
        "{steps:#?}"
    );
    lab.stop().await;
}

#[tokio::test]
async fn an_unknown_authority_is_a_tls_failure() {
    let lab = lab().await;
    let c = AzureConnection {
        ca_pem: String::new(),
        ..connection(&lab)
    };
    let arm = Arm::connect(&c, azure::auth::client_secret(&c, "s".into()).unwrap()).unwrap();
    let e = arm.get_path("/subscriptions").await.unwrap_err();
    assert!(
        matches!(
            e,
            AzureError::Network {
                kind: NetworkKind::Tls,
                ..
            }
        ),
        "{e:?}"
    );
    assert_eq!(e.class(), ErrorClass::Permanent);
}

#[tokio::test]
async fn a_network_is_created_found_and_deleted() {
    let lab = lab().await;
    let arm = signed_in(&lab);
    let group = group(&arm).await;
    let vnet = group.resource("Microsoft.Network/virtualNetworks", "VNET-PROD-EUS2");
    assert_eq!(arm.get_opt(&vnet).await, Ok(None));
    let body = json!({"location": "eastus2", "properties": {
        "addressSpace": {"addressPrefixes": ["10.245.40.0/23"]},
        "subnets": [{"name": "PROD-FE-EUS2", "properties": {"addressPrefix": "10.245.40.0/24"}}]}});
    let started = arm.put(&vnet, &body).await.unwrap();
    assert!(started.operation.is_some(), "a network takes a while: {started:?}");
    let made = settled(&lab, &arm, started).await.unwrap();
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    let all = arm
        .list(&group.resource("Microsoft.Network", "virtualNetworks"))
        .await
        .unwrap();
    assert_eq!(all.len(), 1);

    let overlapping = json!({"location": "eastus2", "properties": {
        "addressSpace": {"addressPrefixes": ["10.1.0.0/24"]},
        "subnets": [{"name": "a", "properties": {"addressPrefix": "10.2.0.0/24"}}]}});
    let e = arm
        .put(
            &group.resource("Microsoft.Network/virtualNetworks", "bad"),
            &overlapping,
        )
        .await
        .unwrap_err();
    assert_eq!((e.status(), e.class()), (Some(400), ErrorClass::Permanent), "{e}");
    assert!(!e.advice().hint.is_empty());

    let started = arm.delete(&vnet).await.unwrap();
    assert_eq!(settled(&lab, &arm, started).await, None);
    assert_eq!(arm.get_opt(&vnet).await, Ok(None));
    assert_eq!(arm.delete(&vnet).await.unwrap().operation, None);
    lab.stop().await;
}

#[tokio::test]
async fn a_sas_made_here_does_what_it_says_and_shows_nothing() {
    let lab = lab().await;
    let kept = Arc::new(Kept::default());
    let arm = signed_in(&lab).traced(kept.clone());
    let group = group(&arm).await;
    let account = group.resource("Microsoft.Storage/storageAccounts", "contosobackup01");
    let body = json!({"location": "eastus2", "kind": "StorageV2", "sku": {"name": "Standard_LRS"},
        "properties": {"minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true, "allowBlobPublicAccess": false, "allowSharedKeyAccess": true}});
    let started = arm.put(&account, &body).await.unwrap();
    settled(&lab, &arm, started).await;
    let container = account
        .child("blobServices", "default")
        .child("containers", "smarthotel");
    arm.put(&container, &json!({"properties": {}})).await.unwrap();
    let keys = arm.post(&account, "listKeys", None).await.unwrap().body.unwrap();
    let key = Secret::from(keys["keys"][0]["value"].as_str().unwrap());

    let now: Timestamp = lab.clock().now();
    let (start, end) = (
        now - SignedDuration::from_mins(15),
        now + SignedDuration::from_hours(24 * 30),
    );
    let sas =
        |permissions| azure::sas::service_sas("contosobackup01", "smarthotel", &key, permissions, start, end).unwrap();
    let (read, write) = (sas("rl"), sas("rcw"));
    let blobs = Blobs::new(&arm).traced(kept.clone());
    assert_eq!(blobs.list("contosobackup01", "smarthotel", "", &read).await, Ok(vec![]));
    let e = blobs
        .try_put("contosobackup01", "smarthotel", "probe", &b"x"[..], &read)
        .await
        .unwrap_err();
    assert_eq!((e.status(), e.code()), (Some(403), "AuthorizationPermissionMismatch"));
    blobs
        .try_put("contosobackup01", "smarthotel", "full 1.bak", vec![7; 512], &write)
        .await
        .unwrap();
    let found = blobs
        .list("contosobackup01", "smarthotel", "full", &read)
        .await
        .unwrap();
    assert_eq!(
        (found.len(), found[0].name.as_str(), found[0].size),
        (1, "full 1.bak", 512)
    );
    let one = blobs
        .head("contosobackup01", "smarthotel", "full 1.bak", &read)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(one.size, 512);
    assert_eq!(
        blobs.head("contosobackup01", "smarthotel", "none", &read).await,
        Ok(None)
    );
    assert_eq!(
        blobs
            .list("contosobackup01", "smarthotel", "", &write)
            .await
            .unwrap_err()
            .status(),
        Some(403)
    );
    let tampered = Secret::new(read.expose().replace("sp=rl", "sp=rwl"));
    assert_eq!(
        blobs
            .list("contosobackup01", "smarthotel", "", &tampered)
            .await
            .unwrap_err()
            .status(),
        Some(403)
    );

    let shown = format!("{:?}", kept.0.lock().unwrap());
    let signature = read.expose().split("sig=").nth(1).unwrap().to_owned();
    for secret in [key.expose(), &signature, &lab.addresses().client_secret] {
        assert!(!shown.contains(secret.as_str()));
    }
    for system in ["entra", "azure", "blob"] {
        assert!(
            kept.0
                .lock()
                .unwrap()
                .iter()
                .any(|e| e.system == system && e.status.is_some()),
            "{system}"
        );
    }
    lab.stop().await;
}

/// At 10,000 times the speed a token that lasts an hour is over in 0.4 s, long before this process thinks so.
#[tokio::test]
async fn a_token_that_ended_early_is_replaced() {
    let lab = lab().await;
    let arm = signed_in(&lab);
    let subscription = ResourceId::new(format!("/subscriptions/{}", arm.connection().subscription_id));
    arm.get(&subscription).await.unwrap();
    let later = lab.clock().now() + SignedDuration::from_hours(3);
    lab.clock().sleep_until(later).await;
    arm.get(&subscription).await.unwrap();
    lab.stop().await;
}
