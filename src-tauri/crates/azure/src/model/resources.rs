//! Tenants, subscriptions, regions, providers, resource groups.

use super::{Resource, When, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;
use std::collections::BTreeMap;

pub type ResourceGroup = Resource<ResourceGroupProperties>;

model! {
    pub struct Tenant {
        pub tenant_id: String,
        pub display_name: Option<String>,
        pub default_domain: Option<String>,
        pub tenant_category: Option<String>,
    }

    pub struct Subscription {
        pub id: Option<ResourceId>,
        pub subscription_id: String,
        pub display_name: Option<String>,
        pub tenant_id: Option<String>,
        pub state: Option<SubscriptionState>,
        pub subscription_policies: Option<SubscriptionPolicies>,
    }

    pub struct SubscriptionPolicies {
        /// The offer, such as `PayAsYouGo_2014-09-01` or `FreeTrial_2014-09-01`.
        pub quota_id: Option<String>,
        pub spending_limit: Option<String>,
    }

    /// A region.
    pub struct Location {
        pub name: String,
        pub display_name: Option<String>,
        pub regional_display_name: Option<String>,
        pub metadata: Option<LocationMetadata>,
        pub availability_zone_mappings: Vec<ZoneMapping>,
    }

    pub struct LocationMetadata {
        /// `Physical`, or `Logical`: a group of regions in which nothing can be created.
        pub region_type: Option<String>,
        pub region_category: Option<String>,
        pub geography_group: Option<String>,
        pub physical_location: Option<String>,
        pub paired_region: Vec<PairedRegion>,
    }

    pub struct PairedRegion {
        pub name: Option<String>,
    }

    pub struct ZoneMapping {
        pub logical_zone: Option<String>,
        pub physical_zone: Option<String>,
    }

    /// A resource provider and whether the subscription may use it.
    pub struct Provider {
        pub namespace: String,
        pub registration_state: Option<Registration>,
        pub resource_types: Vec<ProviderType>,
    }

    pub struct ProviderType {
        pub resource_type: String,
        /// Display names of regions.
        pub locations: Vec<String>,
        pub api_versions: Vec<String>,
        pub default_api_version: Option<String>,
    }

    pub struct ResourceGroupProperties {
        pub provisioning_state: Option<String>,
    }

    /// A resource as the list of a group shows it, without its properties.
    pub struct ListedResource {
        pub id: Option<ResourceId>,
        pub name: String,
        #[serde(rename = "type")]
        pub kind: String,
        pub location: Option<String>,
        pub tags: BTreeMap<String, String>,
        pub managed_by: Option<String>,
        pub created_time: When,
        pub changed_time: When,
        pub provisioning_state: Option<String>,
    }
}

words! {
    pub enum SubscriptionState {
        Enabled,
        /// Works, and will be disabled soon.
        Warned,
        PastDue,
        Disabled,
        Deleted,
    }

    pub enum Registration {
        NotRegistered,
        Registering,
        Registered,
        Unregistering,
    }
}

impl SubscriptionState {
    /// Tells whether anything can be created.
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Enabled | Self::Warned)
    }
}

/// Reads all tenants that the account can see.
///
/// # Errors
/// Fails as all requests do.
pub async fn tenants(arm: &Arm) -> Result<Vec<Tenant>, AzureError> {
    arm.read_all(&ResourceId::new("/tenants")).await
}

/// Reads all subscriptions that the account can see in its tenant.
///
/// # Errors
/// Fails as all requests do.
pub async fn subscriptions(arm: &Arm) -> Result<Vec<Subscription>, AzureError> {
    arm.read_all(&ResourceId::new("/subscriptions")).await
}

/// Reads the connection's subscription.
///
/// # Errors
/// Fails as all requests do.
pub async fn subscription(arm: &Arm) -> Result<Subscription, AzureError> {
    arm.read(&ResourceId::new(of(arm, ""))).await
}

/// Reads the regions of the subscription.
///
/// # Errors
/// Fails as all requests do.
pub async fn locations(arm: &Arm) -> Result<Vec<Location>, AzureError> {
    arm.read_all(&ResourceId::new(of(arm, "/locations"))).await
}

/// Reads a provider's registration, regions and api-versions.
///
/// # Errors
/// Fails as all requests do.
pub async fn provider(arm: &Arm, namespace: &str) -> Result<Provider, AzureError> {
    arm.read(&ResourceId::new(of(arm, &format!("/providers/{namespace}"))))
        .await
}

/// Reads a resource group; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn group(arm: &Arm, name: &str) -> Result<Option<ResourceGroup>, AzureError> {
    arm.read_opt(&ResourceId::group(&arm.connection().subscription_id, name))
        .await
}

/// Reads what a resource group holds.
///
/// # Errors
/// Fails as all requests do.
pub async fn resources(arm: &Arm, group: &ResourceId) -> Result<Vec<ListedResource>, AzureError> {
    arm.read_all(&ResourceId::new(format!("{group}/resources"))).await
}

fn of(arm: &Arm, what: &str) -> String {
    format!("/subscriptions/{}{what}", arm.connection().subscription_id)
}
