//! What the admin wants: target names, addresses, sizes, methods. One project is one file.

use crate::{
    around::{AroundDesign, ProveDesign},
    backup::{BackupDesign, folder_of, joined},
};
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

impl ReplicationMethod {
    pub const ALL: [Self; 2] = [Self::InMageRcm, Self::VMwareCbt];

    /// The service's name.
    pub fn service(self) -> &'static str {
        match self {
            Self::InMageRcm => "Site Recovery",
            Self::VMwareCbt => "Azure Migrate",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::InMageRcm => Self::VMwareCbt,
            Self::VMwareCbt => Self::InMageRcm,
        }
    }
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

/// Where Azure Database Migration Service takes the backups from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[ts(export)]
pub enum BackupSource {
    /// The backup account's container, into which SQL Server writes them itself.
    #[default]
    Blob,
    /// An SMB share on-premises, from which a self-hosted integration runtime uploads them.
    Share,
}

/// Under this name the password of [`DmsDesign::sql_user`] lies in the secret store.
pub const SQL_SECRET: &str = "sql-source";
/// Under this name the password of [`SqlConnection::user`] lies in the secret store.
pub const SQL_DIRECT_SECRET: &str = "sql";
/// Under this name the password of [`ManagedInstanceDesign::admin_login`] lies in the secret store.
pub const MI_SECRET: &str = "mi-admin";
/// Under this name the password of [`DmsDesign::share_user`] lies in the secret store.
pub const SHARE_SECRET: &str = "backup-share";

/// What only Azure Database Migration Service needs. Without meaning for Log Replay Service.
///
/// A container is read with the account's key, because that needs nothing prepared and no right to assign roles; the key
/// is rotated in step 8. With [`DmsDesign::identity`] no secret at all leaves this computer, which is better where an
/// owner can prepare it. A share always needs the key: the service's target location takes nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct DmsDesign {
    /// Name of the `sqlMigrationServices` resource.
    pub service: String,
    pub source: BackupSource,
    /// Resource id of a user-assigned identity that reads the container; empty = by the account's key.
    pub identity: String,
    /// Object (principal) id of that identity, to which the right to read is assigned.
    pub identity_principal: String,
    /// `\\SERVER\share\folder`, a folder for this database alone.
    pub share_path: String,
    /// `DOMAIN\user` that reads the share.
    pub share_user: String,
    /// Computer on which the integration runtime is installed; not the one that holds the share.
    pub runtime_host: String,
    /// The source SQL Server as the integration runtime reaches it, and a login in it.
    pub sql_server: String,
    pub sql_user: String,
    /// Accept a certificate of the source SQL Server that no authority signed.
    pub sql_trust_certificate: bool,
}

/// Addresses of the systems and the *names* of their secrets in the secret store; never a secret itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct Connections {
    pub vcenter: VCenterConnection,
    pub azure: AzureConnection,
    pub sql: SqlConnection,
    pub managed: ManagedConnection,
}

/// How Rehost itself reaches the source SQL Server. Optional: without it people run scripts there, and its databases can't
/// be looked into before the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct SqlConnection {
    /// `SQLVM`, `SQLVM\\INSTANCE` or `SQLVM,1433`; empty = no connection.
    pub server: String,
    pub sign_in: SqlSignIn,
    /// A login of SQL Server, or `DOMAIN\\user`; without meaning for [`SqlSignIn::Integrated`].
    pub user: String,
    pub encryption: SqlEncryption,
    /// SHA-256 of the one certificate that is trusted; empty = the platform's trust.
    pub thumbprint: String,
    /// UDP port of SQL Browser; 0 = 1434.
    pub browser_port: u16,
}

/// How Rehost itself reaches the managed instance that the design names, as its administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct ManagedConnection {
    pub sign_in: ManagedSignIn,
    pub reach: ManagedReach,
    /// `HOST,PORT` in place of what Azure says, for a tunnel or a forwarded port; empty = as Azure says.
    pub address: String,
    /// SHA-256 of the one certificate that is trusted; empty = the platform's trust.
    pub thumbprint: String,
}

/// As whom Rehost signs in to the managed instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum ManagedSignIn {
    /// [`ManagedInstanceDesign::admin_login`]. Its password is made by Rehost with the instance; of one that was there
    /// before, a person enters it.
    #[default]
    Administrator,
    /// Whoever is signed in to Azure, who must be the instance's Entra administrator. Only he can make Entra logins.
    Entra,
}

/// Which of its addresses a managed instance is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum ManagedReach {
    /// Its own, port 1433: from its network, or one that is connected with it.
    #[default]
    Private,
    /// The public endpoint, port 3342, when it is enabled and its network lets this computer in.
    Public,
}

/// How a connection to SQL Server signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SqlSignIn {
    /// A login of SQL Server itself.
    #[default]
    Sql,
    /// A Windows account with its password, by NTLM.
    Windows,
    /// Whoever is signed in to this Windows computer.
    Integrated,
}

/// How a connection to SQL Server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SqlEncryption {
    /// TLS 1.2 inside of TDS 7.4: every server since 2016, older ones with their updates.
    #[default]
    Mandatory,
    /// TDS 8: TLS first. SQL Server 2022 and later.
    Strict,
    /// None: whoever listens reads all of it, the password too.
    Off,
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
    pub proxy: Proxy,
}

/// What was known of vCenter's certificate when it was trusted, to compare a changed one with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct PinnedCertificate {
    /// Upper-case hex with colons, as in [`VCenterConnection::thumbprint`].
    pub sha256: String,
    pub sha1: String,
    pub subject: String,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
    pub issuer: String,
    /// RFC 3339, as `not_after`.
    pub not_before: String,
    pub not_after: String,
}

/// One of Microsoft's clouds. Its addresses are in the crate `azure`, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum Cloud {
    #[default]
    Public,
    UsGovernment,
    /// Operated by 21Vianet.
    China,
    /// Azure Stack Hub, a sovereign cloud or a rehearsal: all addresses are in the connection.
    Custom,
}

/// How Rehost signs in to Entra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SignIn {
    /// A person, in the browser of this computer.
    Browser,
    /// A person, in a browser anywhere: for jump hosts.
    DeviceCode,
    /// Whoever has signed in with `az login` on this computer.
    AzureCli,
    /// An application (service principal) with a client secret.
    #[default]
    ClientSecret,
    /// An application with a certificate.
    ClientCertificate,
    /// The identity of the Azure machine that Rehost runs on; a client ID names a user-assigned one.
    ManagedIdentity,
}

/// How this computer reaches Azure, or vCenter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "use", rename_all = "camelCase")]
#[ts(export)]
pub enum Proxy {
    /// As the operating system says; environment variables on Linux.
    #[default]
    System,
    /// None.
    Direct,
    /// `http://proxy.contoso.com:8080`. With a user name, the password is in the secret store.
    Explicit { url: String, user: String },
}

/// Where Azure is and how Rehost signs in. An empty address is the cloud's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct AzureConnection {
    pub cloud: Cloud,
    /// Resource manager, `https://management.azure.com` in the public cloud.
    pub arm_url: String,
    /// What a token is asked for, when that is not the resource manager's address (Azure Stack Hub).
    pub audience: String,
    /// Entra authority, `https://login.microsoftonline.com` in the public cloud.
    pub authority_url: String,
    /// `{account}` is replaced by the storage account's name: `https://{account}.blob.core.windows.net`.
    pub blob_url: String,
    /// End of the host names of SQL servers, `database.windows.net` in the public cloud.
    pub sql_suffix: String,
    /// The portal, for links.
    pub portal_url: String,
    /// The retail price list, `https://prices.azure.com` in the public cloud; empty = none is known.
    pub price_url: String,
    pub sign_in: SignIn,
    /// Empty for a person: the account's home tenant.
    pub tenant_id: String,
    /// The application. Empty for a person: the public client that Microsoft's own development tools use.
    pub client_id: String,
    pub subscription_id: String,
    pub proxy: Proxy,
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
    /// Further databases of the same SQL Server that are migrated in the same run. With any, each database has a folder of its
    /// own among the backups, see [`Design::of_database`].
    #[serde(default)]
    pub further_databases: Vec<String>,
    /// Path of the application's web.config inside the VM.
    pub web_config: String,
    /// The connection string that must be among those that are switched; empty = any that leads to the database.
    pub connection_string_name: String,
    /// A person switches the application, signed in to the migrated machine, with a script; otherwise Rehost does, by managed
    /// run commands.
    #[serde(default)]
    pub switched_by_person: bool,
    /// A text that the site shows when it works; empty = any.
    #[serde(default)]
    pub site_text: String,
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
    #[serde(default)]
    pub dms: DmsDesign,
    /// How Rehost backs the source up, through [`Connections::sql`]; none = a person does, with scripts.
    #[serde(default)]
    pub backups: Option<BackupDesign>,
    /// What Rehost moves beside the database, through [`Connections::sql`]; none = nothing.
    #[serde(default)]
    pub around: Option<AroundDesign>,
    /// How Rehost proves that the database arrived, through [`Connections::sql`]; none = not at all.
    #[serde(default)]
    pub prove: Option<ProveDesign>,
    /// Rehost brings the certificate that encrypts the database (TDE) to the managed instance, through [`Connections::sql`].
    #[serde(default)]
    pub certificate: bool,
    /// Days for which the powered-off source VMs are kept.
    pub keep_source_days: u16,
    /// Folder of the datacenter into which the retired source VMs are moved; empty = they stay where they are.
    #[serde(default)]
    pub retired_folder: String,
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

    /// Names of the databases that are migrated, the application's first.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.database)
            .chain(&self.further_databases)
            .map(String::as_str)
    }

    /// The design as it is for one of its databases. Of several each has its own folder in the container, on the share and in
    /// the folder from which Rehost uploads: both services restore whatever lies in a folder, and look into no deeper one.
    /// Sources: learn.microsoft.com, Log Replay Service, migrating several databases; Unverified: that Database Migration
    /// Service takes `container/folder` as a container's name.
    #[must_use]
    pub fn of_database(&self, name: &str) -> Self {
        let mut one = Self {
            database: name.to_owned(),
            further_databases: vec![],
            ..self.clone()
        };
        if self.further_databases.is_empty() {
            return one;
        }
        let folder = folder_of(name);
        let below = |place: &mut String| {
            if !place.trim().is_empty() {
                *place = joined(place, &folder);
            }
        };
        one.backup_container = format!("{}/{folder}", one.backup_container);
        below(&mut one.dms.share_path);
        if let Some(backups) = &mut one.backups {
            below(&mut backups.folder);
        }
        one
    }

    /// Whether Azure Database Migration Service restores the database.
    pub fn uses_dms(&self) -> bool {
        self.database_method != DatabaseMethod::LogReplay
    }

    /// Whether the backups go over an SMB share and an integration runtime.
    pub fn from_share(&self) -> bool {
        self.uses_dms() && self.dms.source == BackupSource::Share
    }

    /// Whether Rehost itself brings the backups from a folder into the container.
    pub fn uploads_backups(&self) -> bool {
        let folder = self.backups.as_ref().map(|b| b.folder.trim());
        !self.from_share() && folder.is_some_and(|f| !f.is_empty())
    }

    /// Id of the identity that reads the container instead of the account's key.
    pub fn reading_identity(&self) -> Option<&str> {
        Some(self.dms.identity.as_str()).filter(|i| self.uses_dms() && !self.from_share() && !i.is_empty())
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
    /// Name of the fault script that a rehearsal plays; none = nothing goes wrong.
    #[serde(default)]
    pub rehearsal_fault: Option<String>,
    pub connections: Connections,
    /// The certificate behind [`VCenterConnection::thumbprint`], once it was seen.
    #[serde(default)]
    pub vcenter_certificate: Option<PinnedCertificate>,
    /// The same of the source SQL Server.
    #[serde(default)]
    pub sql_certificate: Option<PinnedCertificate>,
    /// The same of the managed instance.
    #[serde(default)]
    pub managed_certificate: Option<PinnedCertificate>,
    pub design: Design,
    /// The appliance, when Rehost deploys it.
    #[serde(default)]
    pub appliance: Option<crate::Deployment>,
}

impl Project {
    /// The design as it can be carried out: what Rehost itself does on the source SQL Server is left out of it while there
    /// is no connection to it.
    pub fn planned(&self) -> Design {
        let mut design = self.design.clone();
        if self.connections.sql.server.trim().is_empty() {
            (design.backups, design.around, design.prove, design.certificate) = (None, None, None, false);
        }
        design
    }
}
