//! Storage accounts, their keys and containers. Keys and signatures are [`Secret`].

use super::{Flag, NameAvailability, Resource, Usage, When, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;
use secrets::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub type Account = Resource<AccountProperties>;
pub type Container = Resource<ContainerProperties>;

model! {
    pub struct AccountProperties {
        pub provisioning_state: Option<String>,
        pub primary_location: Option<String>,
        pub primary_endpoints: Option<Endpoints>,
        pub creation_time: When,
        pub status_of_primary: Option<String>,
        pub allow_shared_key_access: Option<Flag>,
        pub allow_blob_public_access: Option<Flag>,
        pub minimum_tls_version: Option<String>,
        pub supports_https_traffic_only: Option<Flag>,
        pub public_network_access: Option<String>,
        pub network_acls: Option<NetworkRules>,
        pub is_hns_enabled: Option<Flag>,
    }

    pub struct Endpoints {
        pub blob: Option<String>,
    }

    pub struct NetworkRules {
        pub default_action: Option<String>,
        pub bypass: Option<String>,
    }

    pub struct ContainerProperties {
        pub public_access: Option<String>,
        pub last_modified_time: When,
        pub lease_state: Option<String>,
        pub lease_status: Option<String>,
        pub has_immutability_policy: Option<Flag>,
        pub has_legal_hold: Option<Flag>,
        pub deleted: Option<Flag>,
    }
}

/// The answer to `listKeys` and `regenerateKey`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Keys {
    pub keys: Vec<Key>,
}

/// One of an account's two keys.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    pub key_name: String,
    #[serde(skip_serializing)]
    pub value: Secret<String>,
    pub permissions: KeyPermissions,
    #[serde(default)]
    pub creation_time: When,
}

/// The answer to `ListServiceSas`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSas {
    #[serde(skip_serializing)]
    pub service_sas_token: Secret<String>,
}

words! {
    pub enum KeyPermissions {
        Read,
        Full,
    }
}

/// Reads a storage account; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn account(arm: &Arm, id: &ResourceId) -> Result<Option<Account>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the keys of an account.
///
/// # Errors
/// Fails as all requests do.
pub async fn keys(arm: &Arm, account: &ResourceId) -> Result<Vec<Key>, AzureError> {
    Ok(arm.ask::<Keys>(account, "listKeys", None).await?.keys)
}

/// Reads a container through the resource manager, without a key; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn container(arm: &Arm, id: &ResourceId) -> Result<Option<Container>, AzureError> {
    arm.read_opt(id).await
}

/// Asks whether a name for an account is free in the world.
///
/// # Errors
/// Fails as all requests do.
pub async fn name_availability(arm: &Arm, name: &str) -> Result<NameAvailability, AzureError> {
    let subscription = &arm.connection().subscription_id;
    let provider = ResourceId::new(format!("/subscriptions/{subscription}/providers/Microsoft.Storage"));
    let body = json!({"name": name, "type": "Microsoft.Storage/storageAccounts"});
    arm.ask(&provider, "checkNameAvailability", Some(&body)).await
}

/// Reads how much of a region's quota is used.
///
/// # Errors
/// Fails as all requests do.
pub async fn usages(arm: &Arm, location: &str) -> Result<Vec<Usage>, AzureError> {
    let subscription = &arm.connection().subscription_id;
    let path = format!("/subscriptions/{subscription}/providers/Microsoft.Storage/locations/{location}/usages");
    arm.read_all(&ResourceId::new(path)).await
}
