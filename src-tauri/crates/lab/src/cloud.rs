//! Contoso's Azure subscription as data: resources as the JSON that a GET shows, long-running operations, storage keys and
//! blobs. The rules are in `arm` and `blob`.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::{
    arm::{
        app_config::Files,
        datamigration::{Migration, Runtime},
        jobs::Job,
        leftovers::Classic,
        lro::Operation,
        migration_items,
        protected::Item,
        recovery::Appliance,
        sql::Restore,
    },
    world::guid,
};

/// The region the scenario lives in; resources can be made in the others as well.
pub(crate) const LOCATIONS: [(&str, &str, &str); 6] = [
    ("eastus", "East US", "westus"),
    ("eastus2", "East US 2", "centralus"),
    ("centralus", "Central US", "eastus2"),
    ("westus2", "West US 2", "westcentralus"),
    ("westeurope", "West Europe", "northeurope"),
    ("northeurope", "North Europe", "westeurope"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    NotRegistered,
    Registering,
    Registered,
}

#[derive(Debug, Clone)]
pub struct Blob {
    pub size: u64,
    pub modified: Timestamp,
    /// Where a backup begins and ends in the source database's log.
    pub log: (u64, u64),
    /// Content of what a client has put; the people's backups have none.
    pub bytes: Vec<u8>,
}

/// Blocks of which a blob was made, and those that wait to be.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Name and length.
    pub committed: Vec<(String, usize)>,
    pub waiting: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    /// How often each of the two keys was regenerated.
    pub generations: [u32; 2],
    /// Containers with their blobs.
    pub containers: BTreeMap<String, BTreeMap<String, Blob>>,
    /// By container and blob.
    pub blocks: BTreeMap<(String, String), Blocks>,
}

/// What the lab's virtual machine in Azure is like inside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guest {
    /// The application's configuration.
    pub files: Files,
    pub iis_resets: u32,
    pub ready_at: Timestamp,
}

pub(crate) struct Cloud {
    pub tenant: String,
    pub client: String,
    pub client_secret: String,
    pub subscription: String,
    /// Object id of the service principal.
    pub principal: String,
    pub arm_url: String,
    pub authority_url: String,
    pub blob_url: String,
    /// Key under which tokens are made, so that only the lab's own are accepted.
    pub token_key: Vec<u8>,
    /// By lower-case id.
    pub resources: BTreeMap<String, Value>,
    pub providers: BTreeMap<&'static str, Registration>,
    pub operations: BTreeMap<String, Operation>,
    /// Resources with an operation under way, by lower-case id.
    pub busy: BTreeMap<String, String>,
    pub accounts: BTreeMap<String, Account>,
    /// Running and finished log replays, by the database's lower-case id.
    pub restores: BTreeMap<String, Restore>,
    /// Running and finished migrations by Database Migration Service, by the record's lower-case id.
    pub database_migrations: BTreeMap<String, Migration>,
    /// Integration runtimes, by the service's lower-case id.
    pub runtimes: BTreeMap<String, Runtime>,
    /// How far a database has come in the source's log, by its lower-case id.
    pub positions: BTreeMap<String, u64>,
    /// Site Recovery's protected items, by lower-case id.
    pub items: BTreeMap<String, Item>,
    /// Azure Migrate's migration items, by lower-case id.
    pub migrations: BTreeMap<String, migration_items::Item>,
    /// What retired generations left, by the vault's lower-case id.
    pub classics: BTreeMap<String, Classic>,
    /// Registered replication appliances, by the vault's lower-case id.
    pub appliances: BTreeMap<String, Appliance>,
    /// Site Recovery's jobs, oldest first.
    pub jobs: Vec<Job>,
    /// Inside of virtual machines, by lower-case id.
    pub guests: BTreeMap<String, Guest>,
    pub buckets: crate::arm::throttle::Buckets,
}

impl Cloud {
    /// The subscription before the migration: hub and production network, nothing else.
    pub fn contoso(seed: u64) -> Cloud {
        let id = |label: &str| guid(seed, label).to_string();
        let mut cloud = Cloud {
            tenant: id("tenant"),
            client: id("client"),
            client_secret: format!("Lab~{}", guid(seed, "client secret").simple()),
            subscription: id("subscription"),
            principal: id("principal"),
            arm_url: String::new(),
            authority_url: String::new(),
            blob_url: String::new(),
            token_key: guid(seed, "token key").as_bytes().to_vec(),
            resources: BTreeMap::new(),
            providers: crate::arm::resources::PROVIDERS
                .iter()
                .map(|p| (p.namespace, p.at_start))
                .collect(),
            operations: BTreeMap::new(),
            busy: BTreeMap::new(),
            accounts: BTreeMap::new(),
            restores: BTreeMap::new(),
            database_migrations: BTreeMap::new(),
            runtimes: BTreeMap::new(),
            positions: BTreeMap::new(),
            items: BTreeMap::new(),
            migrations: BTreeMap::new(),
            classics: BTreeMap::new(),
            appliances: BTreeMap::new(),
            jobs: vec![],
            guests: BTreeMap::new(),
            buckets: crate::arm::throttle::Buckets::default(),
        };
        let group = format!(
            "/subscriptions/{}/resourceGroups/ContosoNetworkingRG",
            cloud.subscription
        );
        cloud.store(json!({
            "id": group, "name": "ContosoNetworkingRG", "type": "Microsoft.Resources/resourceGroups",
            "location": "eastus2", "properties": {"provisioningState": "Succeeded"},
        }));
        for resource in crate::arm::network::contoso(seed, &group) {
            cloud.store(resource);
        }
        cloud
    }

    /// Id and object id of the identity that may be given the right to read backups.
    pub fn reader_identity(&self, seed: u64) -> (String, String) {
        let group = format!(
            "/subscriptions/{}/resourceGroups/ContosoNetworkingRG",
            self.subscription
        );
        (
            format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/contoso-backup-reader"),
            guid(seed, "backup reader").to_string(),
        )
    }

    pub fn get(&self, id: &str) -> Option<&Value> {
        self.resources.get(&id.to_lowercase())
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.resources.get_mut(&id.to_lowercase())
    }

    /// Stores a resource under its own id.
    pub fn store(&mut self, resource: Value) {
        if let Some(id) = resource["id"].as_str() {
            self.resources.insert(id.to_lowercase(), resource);
        }
    }

    pub fn remove(&mut self, id: &str) -> Option<Value> {
        self.resources.remove(&id.to_lowercase())
    }

    /// Resources of a type (ignoring case) whose id starts with `scope`.
    pub fn of_type<'a>(&'a self, scope: &str, kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
        let prefix = format!("{}/", scope.trim_end_matches('/').to_lowercase());
        self.resources
            .range(prefix.clone()..)
            .take_while(move |(k, _)| k.starts_with(&prefix))
            .map(|(_, v)| v)
            .filter(move |v| v["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(kind)))
    }

    /// The account's key, base64, `index` 0 or 1.
    pub fn account_key(&self, account: &str, index: usize) -> Option<String> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        use sha2::{Digest, Sha512};
        let generation = self.accounts.get(account)?.generations[index];
        let secret = hex::encode(&self.token_key);
        Some(STANDARD.encode(Sha512::digest(format!("{secret}/{account}/{index}/{generation}"))))
    }
}
