//! What the admin wants: target names, addresses, sizes, methods. One project is one file.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// How the virtual machine gets to Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[ts(export)]
pub enum ReplicationMethod {
    /// Azure Site Recovery modernized: replication appliance and Mobility service.
    #[default]
    InMageRcm,
    /// Azure Migrate agentless.
    VMwareCbt,
}

/// How the database gets to the managed instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[ts(export)]
pub enum DatabaseMethod {
    /// Log Replay Service with a SAS URI.
    #[default]
    LogReplay,
    /// Azure Database Migration Service, offline.
    DmsOffline,
    /// Azure Database Migration Service, online.
    DmsOnline,
}

/// Addresses of the systems and the *names* of their secrets in the secret store; never a secret itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Connections {
    pub vcenter: VCenterConnection,
    pub azure: AzureConnection,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct VCenterConnection {
    /// `https://vcenter.contoso.com` (a path `/sdk` is added).
    pub url: String,
    pub user: String,
    /// SHA-256 of the server's certificate, upper-case hex with colons, that the admin trusted; empty = platform trust.
    pub thumbprint: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct AzureConnection {
    /// Resource manager, `https://management.azure.com` in the public cloud.
    pub arm_url: String,
    /// Entra authority, `https://login.microsoftonline.com` in the public cloud.
    pub authority_url: String,
    /// `{account}` is replaced by the storage account's name: `https://{account}.blob.core.windows.net`.
    pub blob_url: String,
    pub tenant_id: String,
    pub client_id: String,
    pub subscription_id: String,
    /// PEM of an additional certificate authority; empty = platform trust only.
    pub ca_pem: String,
}

/// What will stand in Azure and where it comes from. Names are those of the seed in [`crate::smarthotel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Design {
    pub application: String,
    /// Azure region's programmatic name, `eastus2`.
    pub location: String,
    pub location_name: String,
    pub datacenter: String,
    pub networking_group: String,
    pub target_group: String,
    pub failover_group: String,
    pub mi: ManagedInstanceDesign,
    pub hub_network: String,
    pub prod_network: String,
    pub prod_frontend_subnet: String,
    pub prod_dc_subnet: String,
    pub dns: Vec<Ipv4Addr>,
    pub test_network: String,
    pub test_subnet: String,
    #[ts(type = "string")]
    pub test_space: Ipv4Net,
    #[ts(type = "string")]
    pub test_subnet_space: Ipv4Net,
    /// Address spaces in use elsewhere in the enterprise; nothing new may overlap them.
    #[ts(type = "string[]")]
    pub known_spaces: Vec<Ipv4Net>,
    pub cache_account: String,
    pub backup_account: String,
    pub backup_container: String,
    pub vault: String,
    pub policy: String,
    pub recovery_plan: String,
    pub web_vm: String,
    pub web_vm_size: String,
    pub sql_vm: String,
    pub database: String,
    /// Path of the application's web.config inside the VM.
    pub web_config: String,
    pub connection_string_name: String,
    /// vCenter role and the principal that the replication appliance uses.
    pub vcenter_role: String,
    pub vcenter_principal: String,
    /// Account for the push installation of the Mobility service, as it is named in the appliance.
    pub mobility_account: String,
    pub appliance: String,
    /// Azure Migrate project, for [`ReplicationMethod::VMwareCbt`].
    #[serde(default)]
    pub migrate_project: String,
    /// Display name of the region that keeps the project's records (`Central US`); only some regions do. Where the VM
    /// goes is [`Design::location`].
    #[serde(default)]
    pub migrate_location: String,
    pub replication: ReplicationMethod,
    pub database_method: DatabaseMethod,
    /// Days for which the powered-off source VMs are kept.
    pub keep_source_days: u16,
    /// Rule pack's id, `current`.
    pub rule_pack: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ManagedInstanceDesign {
    pub name: String,
    pub network: String,
    #[ts(type = "string")]
    pub network_space: Ipv4Net,
    pub subnet: String,
    #[ts(type = "string")]
    pub subnet_space: Ipv4Net,
    pub workstation_subnet: String,
    #[ts(type = "string")]
    pub workstation_space: Ipv4Net,
    pub nsg: String,
    pub route_table: String,
    pub vcores: u16,
    /// GiB, a multiple of 32.
    pub storage_gib: u32,
    pub admin_login: String,
}

impl Design {
    /// Name of the copy that the test of the replication makes: each service has its own suffix.
    pub fn test_vm(&self) -> String {
        match self.replication {
            ReplicationMethod::InMageRcm => format!("{}-test", self.web_vm),
            ReplicationMethod::VMwareCbt => format!("{}-Test", self.web_vm),
        }
    }

    /// What holds the replication in Azure: the vault of the design, or the project, whose vault Azure names itself.
    pub fn replication_home(&self) -> &str {
        match self.replication {
            ReplicationMethod::InMageRcm => &self.vault,
            ReplicationMethod::VMwareCbt => &self.migrate_project,
        }
    }

    /// The account through which replicated data goes. Azure Migrate looks for its own by a computed name.
    pub fn replication_cache(&self) -> &str {
        match self.replication {
            ReplicationMethod::InMageRcm => &self.cache_account,
            ReplicationMethod::VMwareCbt => "migratersa",
        }
    }
}

/// Everything that one project file holds besides plans, inventory and journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Project {
    /// Stable id; secrets are stored under it.
    #[ts(type = "string")]
    pub id: String,
    pub name: String,
    /// True when the connections point at the lab: every report of it is marked REHEARSAL.
    pub rehearsal: bool,
    /// Lab speed (1 to 10,000) and seed of a rehearsal.
    pub rehearsal_speed: u32,
    #[ts(type = "number")]
    pub rehearsal_seed: u64,
    pub connections: Connections,
    pub design: Design,
}
