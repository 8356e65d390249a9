//! Networks, subnets, security groups, route tables, peerings, gateways, network cards.

use super::{Flag, Number, Reference, Resource, Usage, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;
use std::net::IpAddr;

pub type Network = Resource<NetworkProperties>;
pub type Subnet = Resource<SubnetProperties>;
pub type Peering = Resource<PeeringProperties>;
pub type SecurityGroup = Resource<SecurityGroupProperties>;
pub type SecurityRule = Resource<SecurityRuleProperties>;
pub type RouteTable = Resource<RouteTableProperties>;
pub type Route = Resource<RouteProperties>;
pub type Gateway = Resource<GatewayProperties>;
pub type Card = Resource<CardProperties>;

model! {
    pub struct NetworkProperties {
        pub provisioning_state: Option<String>,
        pub address_space: AddressSpace,
        pub dhcp_options: DhcpOptions,
        pub subnets: Vec<Subnet>,
        pub virtual_network_peerings: Vec<Peering>,
    }

    pub struct AddressSpace {
        pub address_prefixes: Vec<String>,
    }

    pub struct DhcpOptions {
        pub dns_servers: Vec<String>,
    }

    pub struct SubnetProperties {
        pub provisioning_state: Option<String>,
        pub address_prefix: Option<String>,
        /// Instead of the one above, when there are several.
        pub address_prefixes: Vec<String>,
        pub network_security_group: Option<Reference>,
        pub route_table: Option<Reference>,
        pub nat_gateway: Option<Reference>,
        pub delegations: Vec<Resource<DelegationProperties>>,
        pub service_endpoints: Vec<ServiceEndpoint>,
        pub service_association_links: Vec<Resource<ServiceLinkProperties>>,
        pub ip_configurations: Vec<Reference>,
        pub private_endpoints: Vec<Reference>,
        pub purpose: Option<String>,
    }

    pub struct DelegationProperties {
        /// `Microsoft.Sql/managedInstances`.
        pub service_name: Option<String>,
    }

    pub struct ServiceEndpoint {
        pub service: Option<String>,
        pub locations: Vec<String>,
    }

    /// What a service has bound to a subnet; a managed instance does.
    pub struct ServiceLinkProperties {
        pub linked_resource_type: Option<String>,
        pub link: Option<String>,
        pub allow_delete: Option<Flag>,
    }

    pub struct PeeringProperties {
        pub provisioning_state: Option<String>,
        pub peering_state: Option<PeeringState>,
        pub peering_sync_level: Option<String>,
        pub remote_virtual_network: Option<Reference>,
        pub allow_virtual_network_access: Option<Flag>,
        pub allow_forwarded_traffic: Option<Flag>,
        pub allow_gateway_transit: Option<Flag>,
        pub use_remote_gateways: Option<Flag>,
        pub remote_address_space: Option<AddressSpace>,
    }

    pub struct SecurityGroupProperties {
        pub provisioning_state: Option<String>,
        pub security_rules: Vec<SecurityRule>,
        pub default_security_rules: Vec<SecurityRule>,
        pub subnets: Vec<Reference>,
        pub network_interfaces: Vec<Reference>,
    }

    pub struct SecurityRuleProperties {
        pub protocol: Option<String>,
        pub source_port_range: Option<String>,
        pub destination_port_range: Option<String>,
        pub destination_port_ranges: Vec<String>,
        pub source_address_prefix: Option<String>,
        pub destination_address_prefix: Option<String>,
        pub access: Option<String>,
        pub priority: Option<Number>,
        pub direction: Option<String>,
    }

    pub struct RouteTableProperties {
        pub provisioning_state: Option<String>,
        pub routes: Vec<Route>,
        pub subnets: Vec<Reference>,
        pub disable_bgp_route_propagation: Option<Flag>,
    }

    pub struct RouteProperties {
        pub address_prefix: Option<String>,
        pub next_hop_type: Option<String>,
        pub next_hop_ip_address: Option<String>,
    }

    pub struct GatewayProperties {
        pub provisioning_state: Option<String>,
        pub gateway_type: Option<String>,
        pub vpn_type: Option<String>,
        pub active_active: Option<Flag>,
        pub enable_bgp: Option<Flag>,
    }

    pub struct CardProperties {
        pub provisioning_state: Option<String>,
        pub virtual_machine: Option<Reference>,
        pub network_security_group: Option<Reference>,
        pub mac_address: Option<String>,
        pub primary: Option<Flag>,
        pub ip_configurations: Vec<Resource<IpConfigurationProperties>>,
    }

    pub struct IpConfigurationProperties {
        #[serde(rename = "privateIPAddress")]
        pub private_ip_address: Option<String>,
        #[serde(rename = "privateIPAllocationMethod")]
        pub private_ip_allocation_method: Option<String>,
        #[serde(rename = "publicIPAddress")]
        pub public_ip_address: Option<Reference>,
        pub subnet: Option<Reference>,
        pub primary: Option<Flag>,
    }

    /// Whether an address of a network is free.
    pub struct AddressAvailability {
        pub available: Option<Flag>,
        #[serde(rename = "availableIPAddresses")]
        pub available_ip_addresses: Vec<String>,
        pub is_platform_reserved: Option<Flag>,
    }
}

words! {
    pub enum PeeringState {
        /// The other half is not there yet.
        Initiated,
        Connected,
        /// The other half was deleted.
        Disconnected,
    }
}

impl SubnetProperties {
    /// Tells whether the subnet is given to a service, such as `Microsoft.Sql/managedInstances`.
    pub fn delegated_to(&self, service: &str) -> bool {
        self.delegations
            .iter()
            .filter_map(|d| d.properties.service_name.as_deref())
            .any(|s| s.eq_ignore_ascii_case(service))
    }
}

/// Reads a network with its subnets and peerings; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn network(arm: &Arm, id: &ResourceId) -> Result<Option<Network>, AzureError> {
    arm.read_opt(id).await
}

/// Reads a subnet; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn subnet(arm: &Arm, id: &ResourceId) -> Result<Option<Subnet>, AzureError> {
    arm.read_opt(id).await
}

/// Reads a peering; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn peering(arm: &Arm, id: &ResourceId) -> Result<Option<Peering>, AzureError> {
    arm.read_opt(id).await
}

/// Reads the gateways of a resource group.
///
/// # Errors
/// Fails as all requests do.
pub async fn gateways(arm: &Arm, group: &ResourceId) -> Result<Vec<Gateway>, AzureError> {
    let id = ResourceId::new(format!("{group}/providers/Microsoft.Network/virtualNetworkGateways"));
    arm.read_all(&id).await
}

/// Reads a network card; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn card(arm: &Arm, id: &ResourceId) -> Result<Option<Card>, AzureError> {
    arm.read_opt(id).await
}

/// Asks whether an address of a network is free.
///
/// # Errors
/// Fails as all requests do.
pub async fn address_availability(
    arm: &Arm,
    network: &ResourceId,
    address: IpAddr,
) -> Result<AddressAvailability, AzureError> {
    arm.read_path(&format!("{network}/CheckIPAddressAvailability?ipAddress={address}"))
        .await
}

/// Reads how much of a region's quota is used.
///
/// # Errors
/// Fails as all requests do.
pub async fn usages(arm: &Arm, location: &str) -> Result<Vec<Usage>, AzureError> {
    let subscription = &arm.connection().subscription_id;
    let path = format!("/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages");
    arm.read_all(&ResourceId::new(path)).await
}
