use crate::{Desk, found_below, lab};
use api::wire::*;
use plan::Connections;
use serde_json::{Value, json};

const CANARY: &str = "Canary-7f3a-password";

pub(crate) struct Bench {
    pub desk: Desk,
    pub lab: lab::Lab,
    pub project: String,
    pub connections: Connections,
}

impl Bench {
    pub async fn new() -> Self {
        Self::of(lab().await).await
    }

    /// With a lab that plays a fault script.
    pub async fn with_fault(fault: &str) -> Self {
        let options = lab::Options {
            fault: Some(fault.to_owned()),
            ..lab::Options::default()
        };
        Self::of(lab::Lab::start(options).await.unwrap()).await
    }

    async fn of(lab: lab::Lab) -> Self {
        let desk = Desk::new();
        let made = desk.project("contoso").await;
        let a = lab.addresses();
        let mut connections = made.connections.connections;
        connections.vcenter.url = a.vcenter;
        connections.vcenter.user = a.vcenter_user;
        connections.vcenter.thumbprint = a.vcenter_thumbprint;
        connections.azure.arm_url = a.arm;
        connections.azure.authority_url = a.authority;
        connections.azure.blob_url = a.blob;
        connections.azure.tenant_id = a.tenant_id;
        connections.azure.client_id = a.client_id;
        connections.azure.subscription_id = a.subscription_id;
        connections.azure.ca_pem = a.ca_pem;
        Self {
            desk,
            lab,
            project: made.path,
            connections,
        }
    }

    pub async fn save(&self, kind: &str, secret: Value) -> Result<ConnectionsView, UiError> {
        let arguments =
            json!({ "project": self.project, "kind": kind, "connections": self.connections, "secret": secret });
        self.desk.call("connection_save", arguments).await
    }

    pub async fn test(&self, kind: &str) -> ConnectionTest {
        self.desk
            .call("connection_test", json!({ "project": self.project, "kind": kind }))
            .await
            .unwrap()
    }
}

pub(crate) fn last(test: &ConnectionTest) -> &ConnectionStep {
    test.steps.last().unwrap()
}

#[tokio::test]
async fn both_connections_work_and_their_secrets_stay_out_of_the_files() {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    assert!(!last(&b.test("vcenter").await).ok, "nothing is entered yet");
    let saved = b.save("vcenter", json!(a.vcenter_password)).await.unwrap();
    assert!(saved.vcenter_password_stored && !saved.azure_secret_stored);
    assert_eq!(saved.connections.azure.tenant_id, "", "the other kind stays as it was");
    let saved = b.save("azure", json!(a.client_secret)).await.unwrap();
    assert!(saved.azure_secret_stored);
    for kind in ["vcenter", "azure"] {
        let test = b.test(kind).await;
        assert!(test.ok, "{kind}: {:#?}", test.steps);
    }
    b.save("vcenter", json!(CANARY)).await.unwrap();
    assert_eq!(found_below(b.desk.home.path(), CANARY), None);
    b.connections.vcenter.user = "nobody".into();
    let test = {
        b.save("vcenter", json!(null)).await.unwrap();
        b.test("vcenter").await
    };
    assert!(!test.ok && !last(&test).hint.is_empty());
    let gone = b.save("vcenter", json!("")).await.unwrap();
    assert!(!gone.vcenter_password_stored, "an empty secret is forgotten");
}

#[tokio::test]
async fn an_unknown_certificate_is_shown_and_trusted_and_a_changed_one_is_told_apart() {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    b.connections.vcenter.thumbprint = String::new();
    b.save("vcenter", json!(a.vcenter_password)).await.unwrap();
    let shown = b.test("vcenter").await.certificate.unwrap();
    assert_eq!(
        (shown.sha256.as_str(), shown.changed_from),
        (a.vcenter_thumbprint.as_str(), None)
    );
    assert!(shown.names.contains(&"127.0.0.1".to_owned()), "{:?}", shown.names);
    b.desk
        .call::<ConnectionsView>(
            "certificate_trust",
            json!({ "project": b.project, "kind": "vcenter", "sha256": shown.sha256 }),
        )
        .await
        .unwrap();
    assert!(b.test("vcenter").await.ok);

    let other = ["AB"; 32].join(":");
    b.desk
        .call::<ConnectionsView>(
            "certificate_trust",
            json!({ "project": b.project, "kind": "vcenter", "sha256": other }),
        )
        .await
        .unwrap();
    let test = b.test("vcenter").await;
    assert!(!test.ok);
    let before = test.certificate.unwrap().changed_from.unwrap();
    assert_eq!(
        (before.sha256, before.issuer.as_str()),
        (other, ""),
        "nothing else was known of it"
    );
    let error = b
        .desk
        .call::<ConnectionsView>(
            "certificate_trust",
            json!({ "project": b.project, "kind": "vcenter", "sha256": "AB:CD" }),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
}

/// As if the address had come to mean another server: by its name, by a proxy, or by somebody in between.
fn readdressed(project: &str, url: &str) {
    let file = engine::ProjectFile::open(std::path::Path::new(project)).unwrap();
    let mut changed = file.project().unwrap();
    changed.connections.vcenter.url = url.into();
    file.save_project(&changed).unwrap();
}

#[tokio::test]
async fn a_changed_certificate_is_shown_beside_the_one_before_and_another_server_is_unknown() {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    b.save("vcenter", json!(a.vcenter_password)).await.unwrap();
    assert!(b.test("vcenter").await.ok);
    // Another address is another server.
    let other = Bench::new().await;
    let before = a.vcenter_thumbprint;
    b.connections.vcenter.url = other.lab.addresses().vcenter;
    let unknown = b.save("vcenter", json!(null)).await.unwrap();
    assert_eq!(
        unknown.connections.vcenter.thumbprint, "",
        "what was trusted of another server is no pin here"
    );
    let shown = b.test("vcenter").await.certificate.unwrap();
    assert!(shown.changed_from.is_none() && shown.sha256 != before);

    // Trusted, and then it changes.
    b.desk
        .call::<ConnectionsView>(
            "certificate_trust",
            json!({ "project": b.project, "kind": "vcenter", "sha256": shown.sha256 }),
        )
        .await
        .unwrap();
    let third = Bench::new().await;
    b.desk
        .call::<()>("project_close", json!({ "project": b.project }))
        .await
        .unwrap();
    readdressed(&b.project, &third.lab.addresses().vcenter);
    b.desk
        .call::<ProjectView>("project_open", json!({ "path": b.project }))
        .await
        .unwrap();
    let changed = b.test("vcenter").await.certificate.unwrap();
    let before = changed.changed_from.unwrap();
    assert_eq!((&before.sha256, &before.sha1), (&shown.sha256, &shown.sha1));
    assert_eq!((&before.issuer, &before.not_after), (&shown.issuer, &shown.not_after));
    assert_eq!(changed.sha256, third.lab.addresses().vcenter_thumbprint);
}

#[tokio::test]
async fn each_wrong_answer_has_words_and_a_way_out() {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    b.save("vcenter", json!(CANARY)).await.unwrap();
    let wrong_password = b.test("vcenter").await;
    b.save("azure", json!(CANARY)).await.unwrap();
    let refused_token = b.test("azure").await;
    b.connections.azure.subscription_id = "00000000-0000-0000-0000-00000000dead".into();
    b.save("azure", json!(a.client_secret)).await.unwrap();
    let no_subscription = b.test("azure").await;
    b.connections.vcenter.url = "https://127.0.0.1:1".into();
    b.save("vcenter", json!(null)).await.unwrap();
    let unreachable = b.test("vcenter").await;
    for test in [wrong_password, refused_token, no_subscription, unreachable] {
        let step = last(&test);
        assert!(
            !test.ok && !step.ok && !step.detail.is_empty() && !step.hint.is_empty(),
            "{test:#?}"
        );
        assert!(!format!("{test:?}").contains(CANARY), "{test:#?}");
    }
}

#[tokio::test]
async fn addresses_are_completed_or_refused() {
    let mut b = Bench::new().await;
    b.connections.vcenter.url = " vcenter.contoso.com/ ".into();
    assert_eq!(
        b.save("vcenter", json!(null)).await.unwrap().connections.vcenter.url,
        "https://vcenter.contoso.com"
    );
    for bad in ["http://vcenter", "https://", "https://user:pw@vcenter", "ftp://x"] {
        b.connections.vcenter.url = bad.into();
        let error = b.save("vcenter", json!(null)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{bad}");
    }
    b.connections.azure.tenant_id = "contoso".into();
    assert_eq!(b.save("azure", json!(null)).await.unwrap_err().code, ErrorCode::Invalid);
}

#[tokio::test]
async fn discovery_streams_and_keeps_what_it_found() {
    let b = Bench::new().await;
    let failed: Vec<InventoryMessage> = b.desk.stream("inventory_read", json!({ "project": b.project })).await;
    assert!(
        matches!(&failed[..], [InventoryMessage::Failed { .. }]),
        "there is no password yet: {failed:?}"
    );
    b.save("vcenter", json!(b.lab.addresses().vcenter_password))
        .await
        .unwrap();
    let heard: Vec<InventoryMessage> = b.desk.stream("inventory_read", json!({ "project": b.project })).await;
    assert!(
        matches!(heard.first(), Some(InventoryMessage::Connected { .. })),
        "{heard:?}"
    );
    assert!(
        matches!(heard.last(), Some(InventoryMessage::Done { vms, .. }) if *vms >= 3),
        "{heard:?}"
    );
    let kept: Option<plan::Inventory> = b
        .desk
        .call("inventory_get", json!({ "project": b.project }))
        .await
        .unwrap();
    assert!(kept.unwrap().vm("WEBVM").is_some());
    let early = b
        .desk
        .call::<PlanView>("plan_get", json!({ "project": b.project }))
        .await
        .unwrap_err();
    assert_eq!(early.code, ErrorCode::Plan, "there is no subscription yet: {early:?}");
    b.save("azure", json!(null)).await.unwrap();
    let view: PlanView = b.desk.call("plan_get", json!({ "project": b.project })).await.unwrap();
    assert_eq!((view.plan.steps.len(), view.hash), (8, view.plan.hash()));
}
