//! What retired generations of replication leave in a subscription: a vault with a configuration server and machines that
//! it once protected (`InMageAzureV2`). It can be read and nothing else.

use serde_json::{Value, json};

use super::{
    last, migrate,
    recovery::{VAULTS, own},
};
use crate::world::World;

/// A configuration server and its machines.
#[derive(Debug, Clone)]
pub(crate) struct Classic {
    vault: String,
    server: String,
    machines: Vec<String>,
}

impl World {
    /// Leaves a vault with a configuration server in the subscription, as somebody did years ago; with `project` it
    /// belongs to an Azure Migrate project of this name. Returns the vault's id.
    pub fn leave_classic(&mut self, name: &str, server: &str, machines: &[&str], project: Option<&str>) -> String {
        let group = format!(
            "/subscriptions/{}/resourceGroups/ContosoNetworkingRG",
            self.cloud.subscription
        );
        let vault = format!("{group}/providers/{VAULTS}/{name}");
        self.cloud.store(json!({
            "id": vault, "name": name, "type": VAULTS, "location": "eastus2", "sku": {"name": "RS0", "tier": "Standard"},
            "properties": {"provisioningState": "Succeeded", "publicNetworkAccess": "Enabled"},
        }));
        if let Some(project) = project {
            let id = format!("{group}/providers/{}/{project}", migrate::PROJECTS);
            self.cloud.store(json!({
                "id": id, "name": project, "type": migrate::PROJECTS, "location": "centralus", "properties": {"registeredTools": []},
            }));
            let solution = format!("{id}/solutions/{}", migrate::MIGRATION);
            self.cloud.store(json!({
                "id": solution, "name": migrate::MIGRATION, "type": format!("{}/solutions", migrate::PROJECTS),
                "properties": {"tool": "ServerMigration", "purpose": "Migration", "goal": "Servers", "status": "Active",
                    "details": {"groupCount": 0, "assessmentCount": 0, "extendedDetails": {"vaultId": vault}}},
            }));
        }
        let classic = Classic {
            vault: vault.clone(),
            server: server.to_owned(),
            machines: machines.iter().map(|m| (*m).to_owned()).collect(),
        };
        self.cloud.classics.insert(vault.to_lowercase(), classic);
        vault
    }
}

fn fabric_id(c: &Classic) -> String {
    format!("{}/replicationFabrics/{}", c.vault, c.server.to_lowercase())
}

pub(crate) fn fabric(c: &Classic) -> Value {
    let id = fabric_id(c);
    json!({
        "id": own(&id), "name": last(&id), "type": format!("{VAULTS}/replicationFabrics"),
        "properties": {
            "friendlyName": c.server, "encryptionDetails": {"kekState": "None"}, "rolloverEncryptionDetails": {"kekState": "None"},
            "bcdrState": "Valid", "health": "Critical", "healthErrorDetails": [],
            "customDetails": {
                "instanceType": "VMware", "hostName": c.server, "agentVersion": "9.61.7105.1", "versionStatus": "UpdateRequired",
                "protectedServers": c.machines.len().to_string(), "processServers": [], "masterTargetServers": [], "runAsAccounts": [],
            },
        },
    })
}

pub(crate) fn items(c: &Classic) -> Vec<Value> {
    let item = |m: &String| {
        let id = format!(
            "{}/replicationProtectionContainers/cloud/replicationProtectedItems/{}",
            fabric_id(c),
            m.to_lowercase()
        );
        json!({
            "id": own(&id), "name": last(&id), "type": format!("{VAULTS}/replicationFabrics/replicationProtectionContainers/replicationProtectedItems"),
            "properties": {
                "friendlyName": m, "primaryFabricFriendlyName": c.server, "primaryFabricProvider": "VMware", "protectionState": "Protected",
                "protectionStateDescription": "Protected", "activeLocation": "Primary", "replicationHealth": "Critical",
                "allowedOperations": ["DisableProtection"], "healthErrors": [], "providerSpecificDetails": {"instanceType": "InMageAzureV2"},
            },
        })
    };
    c.machines.iter().map(item).collect()
}
