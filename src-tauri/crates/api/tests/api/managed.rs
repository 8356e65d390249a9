use crate::{
    connections::{Bench, last},
    found_below,
};
use api::wire::*;
use plan::design::{ManagedReach, ManagedSignIn};
use serde_json::json;

const PASSWORD: &str = "Canary-managed-Passw0rd";

/// A project that knows the lab's Azure and SQL Servers.
async fn bench() -> Bench {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    let path = b.desk.path("sample.rehost");
    b.connections.azure.sql_suffix = a.sql_suffix;
    b.connections.managed.address = a.sql_managed;
    let mut sample = plan::smarthotel::project("sample", b.connections.clone(), 1, 1);
    sample.rehearsal = false;
    drop(engine::ProjectFile::create(&path, &sample).unwrap());
    let open: ProjectView = b.desk.call("project_open", json!({ "path": path })).await.unwrap();
    b.project = open.path;
    b.save("azure", json!(a.client_secret)).await.unwrap();
    b
}

/// The managed instance as step 1 of a run leaves it.
fn made(b: &Bench, state: &str) {
    let design = plan::smarthotel::design();
    let id = plan::graph::managed_instance(&design, &b.connections.azure.subscription_id).to_string();
    b.lab.with_world(|w| {
        w.managed.password = PASSWORD.into();
        let instance = json!({
            "id": id, "name": design.mi.name, "type": "Microsoft.Sql/managedInstances", "location": design.location,
            "properties": {
                "state": state, "administratorLogin": design.mi.admin_login,
                "fullyQualifiedDomainName": "contoso-sqlmi.0123456789ab.example", "publicDataEndpointEnabled": false,
            },
        });
        let group = plan::ResourceId::group(&b.connections.azure.subscription_id, &design.target_group).to_string();
        w.place(json!({ "id": group, "name": design.target_group, "type": "Microsoft.Resources/resourceGroups", "location": design.location }));
        w.place(instance);
    });
}

#[tokio::test]
async fn an_instance_that_the_run_will_make_is_no_error() {
    let b = bench().await;
    let test = b.test("managed").await;
    assert!(test.ok && test.not_yet, "{test:?}");
    assert!(last(&test).detail.contains("the run makes it in step 1"), "{test:?}");
    made(&b, "Creating");
    let test = b.test("managed").await;
    assert!(
        test.ok && test.not_yet && last(&test).detail.contains("Creating"),
        "{test:?}"
    );
}

#[tokio::test]
async fn an_instance_is_reached_trusted_and_signed_in_to_in_both_ways() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    made(&b, "Ready");
    let unknown = b.test("managed").await;
    assert!(!unknown.ok && !unknown.not_yet);
    assert!(
        last(&unknown).hint.contains("az sql mi update --name contoso-sqlmi"),
        "{unknown:?}"
    );
    let saved = b.save("managed", json!(PASSWORD)).await.unwrap();
    assert!(saved.managed_password_stored && !saved.sql_password_stored);

    let asked = b.test("managed").await;
    let shown = asked.certificate.clone().unwrap();
    assert_eq!(shown.sha256, a.sql_thumbprint);
    let trust = json!({ "project": b.project, "kind": "managed", "sha256": shown.sha256 });
    let trusted: ConnectionsView = b.desk.call("certificate_trust", trust).await.unwrap();
    b.connections.managed = trusted.connections.managed;
    let test = b.test("managed").await;
    assert!(test.ok && !test.not_yet, "{:#?}", test.steps);
    assert!(
        test.steps[2].detail.contains("Signed in as contosoadmin"),
        "{:#?}",
        test.steps
    );

    b.save("managed", json!("Wrong-password-Canary-1")).await.unwrap();
    let refused = b.test("managed").await;
    assert!(!refused.ok && last(&refused).title == "Sign in", "{refused:?}");
    // With Entra no password is needed at all.
    b.connections.managed.sign_in = ManagedSignIn::Entra;
    let saved = b.save("managed", json!("")).await.unwrap();
    assert!(!saved.managed_password_stored);
    let test = b.test("managed").await;
    assert!(test.ok, "{:#?}", test.steps);
    for secret in [PASSWORD, "Wrong-password-Canary-1"] {
        assert_eq!(found_below(b.desk.home.path(), secret), None);
    }
}

#[tokio::test]
async fn a_wrong_way_to_the_instance_has_words() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    made(&b, "Ready");
    b.connections.managed.thumbprint = a.sql_thumbprint;
    b.connections.managed.sign_in = ManagedSignIn::Entra;
    // An address that leads back to the source must not be written to.
    b.connections.managed.address = a.sql;
    b.save("managed", json!(null)).await.unwrap();
    b.desk
        .call::<ConnectionsView>(
            "certificate_trust",
            json!({ "project": b.project, "kind": "managed", "sha256": b.connections.managed.thumbprint }),
        )
        .await
        .unwrap();
    let source = b.test("managed").await;
    assert!(!source.ok, "{source:?}");
    assert!(last(&source).detail.contains("is no managed instance"), "{source:?}");
    b.connections.managed.address = String::new();
    b.connections.managed.reach = ManagedReach::Public;
    let moved = b.save("managed", json!(null)).await.unwrap();
    assert_eq!(moved.connections.managed.thumbprint, "", "another server");
    let closed = b.test("managed").await;
    assert!(
        last(&closed).hint.contains("--public-data-endpoint-enabled true")
            && last(&closed).hint.ends_with("Then test again."),
        "{closed:?}"
    );
    b.connections.managed.address = "np:MI".into();
    let error = b.save("managed", json!(null)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    // Without a sign-in to Azure nobody knows where it is.
    b.connections.managed.address = String::new();
    b.save("azure", json!("")).await.unwrap();
    let blind = b.test("managed").await;
    assert!(
        !blind.ok && !blind.not_yet && last(&blind).title == "Ask Azure for contoso-sqlmi",
        "{blind:?}"
    );
}
