use crate::{Desk, found_below, lab};
use api::{dispatch, wire::*};
use plan::design::{AzureConnection, Cloud, SignIn};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const PEM: &str = include_str!("../../../azure/tests/data/client.pem");
const PFX: &[u8] = include_bytes!("../../../azure/tests/data/client-aes256.pfx");
const PASSWORD: &str = "Canary-7f3a-pfx";

struct Bench {
    desk: Desk,
    lab: lab::Lab,
    project: String,
}

impl Bench {
    /// A project whose connection is for a person, and names neither tenant nor application.
    async fn new(sign_in: SignIn) -> Self {
        let (desk, lab) = (Desk::new(), lab().await);
        let project = desk.project("contoso").await.path;
        let b = Self { desk, lab, project };
        b.save(sign_in).await;
        b
    }

    async fn save(&self, sign_in: SignIn) -> ConnectionsView {
        let a = self.lab.addresses();
        let application = !matches!(sign_in, SignIn::Browser | SignIn::DeviceCode);
        let view: ProjectView = self.call("project_get", json!({})).await.unwrap();
        let mut connections = view.connections.connections;
        connections.azure = AzureConnection {
            arm_url: a.arm,
            authority_url: a.authority,
            blob_url: a.blob,
            subscription_id: a.subscription_id,
            tenant_id: if application { a.tenant_id } else { String::new() },
            client_id: if application { a.client_id } else { String::new() },
            ca_pem: a.ca_pem,
            sign_in,
            ..AzureConnection::default()
        };
        self.call(
            "connection_save",
            json!({"kind": "azure", "connections": connections, "secret": null}),
        )
        .await
        .unwrap()
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, command: &str, mut arguments: Value) -> Result<T, UiError> {
        arguments["project"] = self.project.as_str().into();
        self.desk.call(command, arguments).await
    }

    /// Signs in while a browser opens the page that the front end was told, and comes back from it.
    async fn with_browser(&self) -> Vec<SignInMessage> {
        let ca = reqwest::Certificate::from_pem(self.lab.addresses().ca_pem.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        let heard = Arc::new(Mutex::new(vec![]));
        let ear = heard.clone();
        let sink = Arc::new(move |text: String| {
            let message: SignInMessage = serde_json::from_str(&text).unwrap();
            if let SignInMessage::Browser { url, opened } = &message {
                assert!(!opened, "this front end has no browser");
                tokio::spawn(http.get(url).send());
            }
            ear.lock().unwrap().push(message);
            true
        });
        dispatch(&self.desk.app, "sign_in", json!({"project": self.project}), sink)
            .await
            .unwrap();
        let heard = heard.lock().unwrap();
        heard.clone()
    }
}

#[tokio::test]
async fn a_person_signs_in_chooses_and_signs_out() {
    let b = Bench::new(SignIn::Browser).await;
    let before = b.call::<AccountScope>("account_scope", json!({})).await.unwrap_err();
    assert_eq!(before.code, ErrorCode::SignIn, "{before:?}");
    let messages = b.with_browser().await;
    let Some(SignInMessage::SignedIn { connections: view }) = messages.last() else {
        panic!("{messages:?}");
    };
    let a = b.lab.addresses();
    assert_eq!(view.azure_account.as_ref().unwrap().user, "admin@contoso.com");
    assert_eq!(view.connections.azure.cloud, Cloud::Custom);
    assert_eq!(
        view.connections.azure.tenant_id, a.tenant_id,
        "the account's tenant is filled in"
    );
    let scope: AccountScope = b.call("account_scope", json!({})).await.unwrap();
    assert_eq!(scope.tenants.len(), 2);
    assert!(scope.subscriptions[0].usable && !scope.subscriptions[4].usable);
    assert!(!scope.subscriptions[4].reason.is_empty());
    let test: ConnectionTest = b.call("connection_test", json!({"kind": "azure"})).await.unwrap();
    assert!(test.ok && test.steps.iter().all(|s| s.hop.is_some()), "{test:#?}");
    let view: ConnectionsView = b.call("sign_out", json!({})).await.unwrap();
    assert_eq!(view.azure_account, None);
    let test: ConnectionTest = b.call("connection_test", json!({"kind": "azure"})).await.unwrap();
    assert_eq!(test.steps.last().unwrap().hop, Some(Hop::SignIn), "{test:#?}");
}

/// The lab plays the person of a rehearsal: nobody else could sign in at its Entra.
#[tokio::test]
async fn a_rehearsal_signs_in_by_itself() {
    let (desk, mut lab) = (Desk::new(), lab().await);
    lab.write_ca(&desk.path("ca.pem")).unwrap();
    let file = desk.path("rehearsal.rehost");
    let view = api::rehearsal::attach(&desk.app, &file, &lab.addresses().control, &desk.path("ca.pem"))
        .await
        .unwrap();
    let mut connections = view.connections.connections;
    for tenant in [String::new(), lab.addresses().tenant_id] {
        connections.azure.sign_in = SignIn::Browser;
        connections.azure.tenant_id = tenant;
        let save = json!({"project": view.path, "kind": "azure", "connections": connections, "secret": null});
        desk.call::<ConnectionsView>("connection_save", save).await.unwrap();
        let messages: Vec<SignInMessage> = desk.stream("sign_in", json!({"project": view.path})).await;
        assert!(
            matches!(messages.first(), Some(SignInMessage::Browser { opened: true, .. })),
            "{messages:?}"
        );
        assert!(
            matches!(messages.last(), Some(SignInMessage::SignedIn { .. })),
            "{messages:?}"
        );
    }
    // Without a sign-in a run is refused before it starts.
    desk.call::<ConnectionsView>("sign_out", json!({"project": view.path}))
        .await
        .unwrap();
    let plan: PlanView = desk.call("plan_get", json!({"project": view.path})).await.unwrap();
    let start = json!({"project": view.path, "planHash": plan.hash});
    let error = desk.call::<RunState>("run_start", start).await.unwrap_err();
    assert_eq!(
        (error.code, error.title.as_str()),
        (ErrorCode::SignIn, "Nobody is signed in to Azure")
    );
}

#[tokio::test]
async fn a_declined_sign_in_says_who_can_change_that() {
    let b = Bench::new(SignIn::Browser).await;
    b.lab
        .with_world(|w| w.entra.person = lab::entra::Person::NeedsAdministrator);
    let messages = b.with_browser().await;
    let Some(SignInMessage::Failed { error }) = messages.last() else {
        panic!("{messages:?}");
    };
    assert_eq!(error.code, ErrorCode::SignIn);
    assert!(error.hint.contains("Grant admin consent"), "{error:?}");
}

#[tokio::test]
async fn a_cancelled_sign_in_ends_within_a_second_and_leaves_nothing() {
    let b = Bench::new(SignIn::DeviceCode).await;
    b.lab.with_world(|w| w.entra.person = lab::entra::Person::Away);
    let heard = Arc::new(Mutex::new(vec![]));
    let ear = heard.clone();
    // The front end leaves when it is told that the person is waited for.
    let sink = Arc::new(move |text: String| {
        let message: SignInMessage = serde_json::from_str(&text).unwrap();
        let goes_on = !matches!(message, SignInMessage::Waiting { .. });
        ear.lock().unwrap().push(message);
        goes_on
    });
    dispatch(&b.desk.app, "sign_in", json!({"project": b.project}), sink)
        .await
        .unwrap();
    let heard = heard.lock().unwrap();
    assert!(
        matches!(&heard[..], [SignInMessage::DeviceCode { code, .. }, SignInMessage::Waiting { seconds_left }] if code.len() == 9 && *seconds_left > 800),
        "{heard:?}"
    );
    let error = b.call::<()>("sign_in_page", json!({})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::State);
}

#[tokio::test]
async fn a_certificate_is_chosen_shown_and_forgotten() {
    let b = Bench::new(SignIn::ClientCertificate).await;
    let choose = async |file: &str, bytes: &[u8], password: Value| {
        std::fs::write(b.desk.path(file), bytes).unwrap();
        std::fs::write(b.desk.path("next"), b.desk.path(file).display().to_string()).unwrap();
        b.call::<Option<ConnectionsView>>("client_certificate_choose", json!({"password": password}))
            .await
    };
    let wrong = choose("a.pfx", PFX, json!("wrong")).await.unwrap_err();
    assert!(
        wrong.code == ErrorCode::Invalid && wrong.detail.contains("password"),
        "{wrong:?}"
    );
    let nothing = choose("a.pem", b"nothing", json!(null)).await.unwrap_err();
    assert_eq!(nothing.code, ErrorCode::Invalid);
    let view = choose("b.pfx", PFX, json!(PASSWORD)).await.unwrap().unwrap();
    let shown = view.azure_certificate.unwrap();
    assert_eq!((shown.subject.as_str(), shown.thumbprint.len()), ("CN=rehost-test", 40));
    std::fs::write(b.desk.path("next"), "").unwrap();
    let closed: Option<ConnectionsView> = b
        .call("client_certificate_choose", json!({"password": null}))
        .await
        .unwrap();
    assert_eq!(closed, None);
    let messages: Vec<SignInMessage> = b.desk.stream("sign_in", json!({"project": b.project})).await;
    let [SignInMessage::Failed { error }] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert!(error.hint.contains("thumbprint"), "it is not registered yet: {error:?}");
    let view: ConnectionsView = b.call("sign_out", json!({})).await.unwrap();
    assert_eq!(view.azure_certificate, None);
}

#[tokio::test]
async fn clouds_are_offered_and_a_custom_one_describes_itself() {
    let b = Bench::new(SignIn::Browser).await;
    let clouds: Vec<CloudView> = b.desk.call("clouds_list", json!({})).await.unwrap();
    assert_eq!(clouds.len(), 4);
    let a = b.lab.addresses();
    let asked = AzureConnection {
        cloud: Cloud::Custom,
        arm_url: a.arm,
        ca_pem: a.ca_pem,
        ..AzureConnection::default()
    };
    let read: AzureConnection = b.call("cloud_read", json!({"connection": asked})).await.unwrap();
    assert_eq!((read.cloud, read.authority_url), (Cloud::Custom, a.authority));
    // Another cloud is chosen: its addresses come with it, whatever stood in the fields.
    let view: ProjectView = b.call("project_get", json!({})).await.unwrap();
    let mut connections = view.connections.connections;
    connections.azure = AzureConnection {
        cloud: Cloud::UsGovernment,
        ..clouds[0].addresses.clone()
    };
    let save =
        json!({"kind": "azure", "connections": connections, "secret": null, "proxyPassword": "Canary-7f3a-proxy"});
    let saved: ConnectionsView = b.call("connection_save", save).await.unwrap();
    assert_eq!(saved.connections.azure, clouds[1].addresses);
    assert!(saved.azure_proxy_password_stored);
}

/// Everything with which somebody could sign in is in the secret store and in no file.
#[tokio::test]
async fn no_file_holds_what_signs_in() {
    let b = Bench::new(SignIn::Browser).await;
    b.with_browser().await;
    let key = PEM.lines().rev().nth(3).unwrap();
    b.save(SignIn::ClientCertificate).await;
    std::fs::write(
        b.desk.path("next"),
        b.desk.home.path().join("outside.pem").display().to_string(),
    )
    .unwrap();
    std::fs::write(b.desk.home.path().join("outside.pem"), PEM).unwrap();
    b.call::<Option<ConnectionsView>>("client_certificate_choose", json!({"password": null}))
        .await
        .unwrap();
    std::fs::remove_file(b.desk.home.path().join("outside.pem")).unwrap();
    // Entra's refresh tokens and codes of the lab begin so.
    for secret in [key, "0.A", "eyJ"] {
        assert_eq!(found_below(b.desk.home.path(), secret), None, "{secret}");
    }
}
