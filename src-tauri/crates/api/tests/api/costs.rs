use crate::{Desk, lab};
use api::wire::*;
use serde_json::{Value, json};

async fn costs(desk: &Desk, project: &str, currency: Value) -> Result<CostsView, UiError> {
    desk.call("plan_costs", json!({ "project": project, "currency": currency }))
        .await
}

#[tokio::test]
async fn a_plan_is_priced_by_the_list_of_its_cloud() {
    let (desk, lab) = (Desk::new(), lab().await);
    let made = desk.project("contoso").await;
    let a = lab.addresses();
    let mut connections = made.connections.connections;
    connections.vcenter = plan::design::VCenterConnection {
        url: a.vcenter,
        user: a.vcenter_user,
        thumbprint: a.vcenter_thumbprint,
        ..Default::default()
    };
    connections.azure.arm_url = a.arm.clone();
    connections.azure.authority_url = a.authority;
    connections.azure.blob_url = a.blob;
    connections.azure.price_url = a.prices;
    connections.azure.subscription_id = a.subscription_id;
    connections.azure.ca_pem = a.ca_pem;
    let save = async |kind: &str, connections: &plan::Connections, secret: Value| {
        let arguments = json!({ "project": made.path, "kind": kind, "connections": connections, "secret": secret });
        desk.call::<ConnectionsView>("connection_save", arguments)
            .await
            .unwrap()
    };
    save("vcenter", &connections, json!(a.vcenter_password)).await;
    save("azure", &connections, Value::Null).await;
    let project = made.path.as_str();

    // Before discovery nothing is known of the machine, and nobody has signed in to Azure.
    let early = costs(&desk, project, Value::Null).await.unwrap();
    assert_eq!(early.costs.missing, ["WEBVM: disks"]);
    desk.stream::<Value>("inventory_read", json!({ "project": project }))
        .await;

    let dollars = costs(&desk, project, Value::Null).await.unwrap();
    assert_eq!(
        (dollars.currency.as_str(), dollars.costs.missing.as_slice()),
        ("USD", &[][..])
    );
    assert!(dollars.read_at.is_some() && dollars.source.is_some(), "{dollars:#?}");
    let amounts: Vec<_> = dollars.costs.lines.iter().map(|l| l.price.as_ref().unwrap()).collect();
    // 730 hours of 8 vCores at 0.13, of 8 licences at 0.11, 96 GB at 0.12, 4 vCPUs with Windows at 0.38, a P6, and Site
    // Recovery, which ends with the migration.
    let monthly: Vec<_> = amounts.iter().map(|p| p.per_month).collect();
    assert_eq!(
        monthly,
        [759.2, 642.4, 11.52, 277.4, 10.24, 24.0],
        "{:#?}",
        dollars.costs.lines
    );
    assert_eq!(dollars.costs.per_month, Some(1700.76));
    assert_eq!(amounts[3].per_hour, Some(0.38));

    let euros = costs(&desk, project, json!("EUR")).await.unwrap();
    assert_eq!(
        (
            euros.currency.as_str(),
            euros.costs.lines[5].price.as_ref().unwrap().per_month
        ),
        ("EUR", 21.0)
    );
    assert_eq!(
        costs(&desk, project, Value::Null).await.unwrap().currency,
        "EUR",
        "it is remembered"
    );
    let unknown = costs(&desk, project, json!("ABC")).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::Invalid);

    // Another cloud has no list: nothing fails, and nothing is guessed.
    connections.azure.price_url = String::new();
    save("azure", &connections, Value::Null).await;
    let none = costs(&desk, project, Value::Null).await.unwrap();
    assert_eq!(
        (none.source, none.costs.per_month, none.costs.missing.len()),
        (None, None, 5)
    );

    connections.azure.price_url = a.arm;
    save("azure", &connections, Value::Null).await;
    lab.stop().await;
    let offline = costs(&desk, project, Value::Null).await.unwrap_err();
    assert!(
        offline.code == ErrorCode::Unreachable && offline.retryable && !offline.hint.is_empty(),
        "{offline:?}"
    );
    desk.call::<PlanView>("plan_get", json!({ "project": project }))
        .await
        .unwrap();
}
