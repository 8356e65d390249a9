//! The words in which the steps are written down: a task with its reasons, and the ids that all steps share.

use super::derive::derive;
use crate::backup::{BackupKind, folder_of};
pub(super) use crate::{
    address::{Address, ResourceId},
    design::{DatabaseMethod, Design, ReplicationMethod, SHARE_SECRET, SQL_SECRET},
    inventory::Inventory,
    privileges::{PASSWORD_RULE, Privileges},
    rules::Pack,
    scripts,
    task::{Action, Actor, Condition, DmsUntil, Duration, Expect, Fact, Follow, Is, Parameter, Script, Step, Task},
};
pub(super) use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(super) const NOT_PUBLISHED: &str = "assumed, Microsoft publishes no figure";
pub(super) const NETWORK: &str = "Microsoft.Network/virtualNetworks";
pub(super) const VAULT: &str = "Microsoft.RecoveryServices/vaults";

/// A task while it is being written down.
pub(super) struct T(pub(super) Task);

impl T {
    pub(super) fn why(mut self, why: &str) -> Self {
        self.0.why = why.into();
        self
    }
    pub(super) fn after(mut self, on: &[&str]) -> Self {
        self.0.after.extend(on.iter().map(|a| {
            let mut parts = a.splitn(3, '/');
            let step = parts.next().and_then(|s| s.parse().ok()).unwrap_or(0);
            Address::new(step, parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        }));
        self
    }
    pub(super) fn after_task(mut self, on: Address) -> Self {
        self.0.after.push(on);
        self
    }
    pub(super) fn secs(mut self, p50: u32, p95: u32, source: &str) -> Self {
        self.0.duration = Duration {
            p50,
            p95,
            source: source.into(),
        };
        self
    }
    pub(super) fn cost(mut self, cost: &str) -> Self {
        self.0.cost = Some(cost.into());
        self
    }
    pub(super) fn back(mut self, back: &str) -> Self {
        self.0.way_back = back.into();
        self
    }
    pub(super) fn no_return(mut self) -> Self {
        self.0.no_return = true;
        self
    }
    pub(super) fn nodes(mut self, nodes: &[String]) -> Self {
        self.0.nodes = nodes.to_vec();
        self
    }
    pub(super) fn person(mut self, role: &str, instructions: &[String], script: Option<Script>) -> Self {
        self.0.actor = Actor::Person {
            role: role.into(),
            instructions: instructions.to_vec(),
            script,
        };
        self
    }
}

pub(super) struct Builder<'a> {
    pub(super) d: &'a Design,
    /// The design of the whole plan.
    pub(super) whole: &'a Design,
    /// The design for each of its databases, see [`Design::of_database`]; the application's comes first.
    pub(super) each: &'a [Design],
    /// What tells the tasks and facts of a further database from those of the first; empty for that one.
    pub(super) further: String,
    pub(super) pack: &'a Pack,
    pub(super) inventory: &'a Inventory,
    pub(super) subscription: &'a str,
    pub(super) networking: ResourceId,
    pub(super) target: ResourceId,
    pub(super) failover: ResourceId,
}

pub(super) fn task(step: u8, kind: &str, name: &str, title: &str, what: &str, action: Action) -> T {
    let (rights, calls) = derive(&action);
    T(Task {
        address: Address::new(step, kind, name),
        title: title.into(),
        what: what.into(),
        why: String::new(),
        actor: Actor::Rehost,
        action,
        after: vec![],
        rights,
        duration: Duration {
            p50: 2,
            p95: 10,
            source: "one request".into(),
        },
        cost: None,
        way_back: "Nothing to take back: it only reads.".into(),
        no_return: false,
        calls,
        nodes: vec![],
    })
}

pub(super) fn step(number: u8, title: &str, tasks: Vec<T>) -> Step {
    Step {
        number,
        title: title.into(),
        tasks: tasks.into_iter().map(|t| t.0).collect(),
    }
}

pub(super) fn put(id: ResourceId, body: Value) -> Action {
    Action::Put {
        id,
        body,
        facts: vec![],
        follow: Follow::Operation,
    }
}

pub(super) fn exists(id: ResourceId, condition: Condition, otherwise: &str) -> Action {
    Action::Check {
        id,
        condition,
        absent: false,
        wait: false,
        facts: vec![],
        follow: Follow::Operation,
        otherwise: otherwise.into(),
    }
}

/// Waits until one resource is as it must be, and records facts of it.
pub(super) fn await_one(id: ResourceId, condition: Condition, facts: Vec<Fact>, otherwise: &str) -> Action {
    Action::Check {
        id,
        condition,
        absent: false,
        wait: true,
        facts,
        follow: Follow::Operation,
        otherwise: otherwise.into(),
    }
}

/// Waits until a list has a fitting element, and records facts of it.
pub(super) fn await_some(list: &str, condition: Condition, facts: Vec<Fact>, otherwise: &str) -> Action {
    Action::Find {
        list: ResourceId::new(list),
        condition,
        wait: true,
        facts,
        otherwise: otherwise.into(),
    }
}

/// A task that the scenario names and the chosen way does not need.
pub(super) fn not_needed(step: u8, kind: &str, name: &str, title: &str, reason: &str) -> T {
    task(
        step,
        kind,
        name,
        title,
        "Is part of the 2018 scenario.",
        Action::NotNeeded { reason: reason.into() },
    )
    .why("The scenario did it; today's method does not need it.")
    .secs(0, 0, "nothing is done")
}

pub(super) fn gate(question: &str, accept: &str, reject: &str, safe: &str) -> Action {
    Action::Gate {
        question: question.into(),
        accept: accept.into(),
        reject: reject.into(),
        safe_because: safe.into(),
    }
}

pub(super) fn fact(name: &str, pointer: &str) -> Fact {
    Fact {
        name: name.into(),
        pointer: pointer.into(),
    }
}

pub(super) fn register(step: u8, namespace: &str, why: &str) -> T {
    task(
        step,
        "provider",
        namespace,
        &format!("Register {namespace}"),
        &format!("Registers the resource provider {namespace} for the subscription."),
        Action::RegisterProvider {
            namespace: namespace.into(),
        },
    )
    .why(why)
    .secs(40, 180, NOT_PUBLISHED)
    .back("Stays registered: it costs nothing and other resources may use it.")
}

impl<'a> Builder<'a> {
    /// `each` is the design for each of its databases.
    pub(super) fn new(
        d: &'a Design,
        each: &'a [Design],
        subscription: &'a str,
        pack: &'a Pack,
        inventory: &'a Inventory,
    ) -> Self {
        Self {
            d,
            whole: d,
            each,
            further: String::new(),
            pack,
            inventory,
            subscription,
            networking: ResourceId::group(subscription, &d.networking_group),
            target: ResourceId::group(subscription, &d.target_group),
            failover: ResourceId::group(subscription, &d.failover_group),
        }
    }

    /// A builder for each database, the application's first.
    pub(super) fn databases(&self) -> impl Iterator<Item = Builder<'a>> + use<'a> {
        let (whole, all) = (self.whole, self.each);
        let (subscription, pack, inventory) = (self.subscription, self.pack, self.inventory);
        all.iter().enumerate().map(move |(n, d)| Builder {
            whole,
            further: match n {
                0 => String::new(),
                _ => folder_of(&d.database),
            },
            ..Builder::new(d, all, subscription, pack, inventory)
        })
    }
    /// The name of a task or of its fact that each database has.
    pub(super) fn own(&self, name: &str) -> String {
        match self.further.as_str() {
            "" => name.to_owned(),
            further => format!("{name}-{further}"),
        }
    }
    /// The title of a task that each database has: with several it says whose it is.
    pub(super) fn own_title(&self, title: &str) -> String {
        let name = &self.d.database;
        if self.each.len() == 1 || title.contains(name.as_str()) {
            return title.to_owned();
        }
        format!("{title}: {name}")
    }
    /// Addresses of the tasks that see the databases online.
    pub(super) fn all_online(&self) -> Vec<String> {
        self.each
            .iter()
            .map(|d| format!("6/check-database/{}", d.database))
            .collect()
    }

    pub(super) fn vnet(&self, name: &str) -> ResourceId {
        self.networking.resource(NETWORK, name)
    }
    pub(super) fn mi(&self) -> ResourceId {
        super::managed_instance(self.d, self.subscription)
    }
    pub(super) fn database(&self) -> ResourceId {
        self.mi().child("databases", &self.d.database)
    }
    pub(super) fn dms(&self) -> ResourceId {
        self.failover
            .resource("Microsoft.DataMigration/sqlMigrationServices", &self.d.dms.service)
    }
    /// The migration of the database: an extension of the managed instance.
    pub(super) fn migration(&self) -> ResourceId {
        self.mi()
            .resource("Microsoft.DataMigration/databaseMigrations", &self.d.database)
    }
    /// The right of the reading identity on the backups. Its name is a GUID that follows from what it is for.
    pub(super) fn reading_right(&self) -> ResourceId {
        let account = self.account(&self.d.backup_account);
        let digest = Sha256::digest(format!("{account}|{}", self.d.dms.identity_principal).to_ascii_lowercase());
        let hex = hex::encode(&digest[..16]);
        let guid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        account.resource("Microsoft.Authorization/roleAssignments", &guid)
    }
    /// Tasks after which the databases wait for nothing but the change window.
    pub(super) fn databases_ready(&self) -> Vec<String> {
        let d = self.d;
        match d.database_method {
            DatabaseMethod::LogReplay | DatabaseMethod::DmsOnline => self
                .databases()
                .map(|one| format!("6/restore/{}", one.own("logs")))
                .collect(),
            DatabaseMethod::DmsOffline => {
                let mut all: Vec<String> = self.databases().map(|one| one.backed(BackupKind::Log)).collect();
                all.extend([
                    format!("1/managed-instance/{}", d.mi.name),
                    format!("2/dms/{}", d.dms.service),
                ]);
                if d.from_share() {
                    all.push("2/person/integration-runtime".into());
                }
                if d.reading_identity().is_some() {
                    all.push(format!("2/role-assignment/{}", self.reading_right().name()));
                }
                all
            }
        }
    }
    /// The vault of the design; with Azure Migrate the one that the appliance's registration made.
    pub(super) fn vault(&self) -> ResourceId {
        match self.d.replication {
            ReplicationMethod::InMageRcm => self.failover.resource(VAULT, &self.d.vault),
            ReplicationMethod::VMwareCbt => ResourceId::new("${asr.vault}"),
        }
    }
    pub(super) fn account(&self, name: &str) -> ResourceId {
        self.failover.resource("Microsoft.Storage/storageAccounts", name)
    }
    pub(super) fn azure_vm(&self, name: &str) -> ResourceId {
        self.target.resource("Microsoft.Compute/virtualMachines", name)
    }
    pub(super) fn item(&self) -> ResourceId {
        let kind = match self.d.replication {
            ReplicationMethod::InMageRcm => "replicationProtectedItems",
            ReplicationMethod::VMwareCbt => "replicationMigrationItems",
        };
        ResourceId::new("${asr.container}").child(kind, "${asr.machineName}")
    }
    /// Address of the task that moves the machine for good.
    pub(super) fn moved(&self) -> String {
        match self.d.replication {
            ReplicationMethod::InMageRcm => format!("7/failover/{}", self.d.web_vm),
            ReplicationMethod::VMwareCbt => format!("7/migrate/{}", self.d.web_vm),
        }
    }
    /// Address of the task after which the machine's migration is final.
    pub(super) fn completed(&self) -> String {
        match self.d.replication {
            ReplicationMethod::InMageRcm => format!("7/commit/{}", self.d.web_vm),
            ReplicationMethod::VMwareCbt => format!("7/complete/{}", self.d.web_vm),
        }
    }
    pub(super) fn recovery_plan(&self) -> ResourceId {
        self.vault().child("replicationRecoveryPlans", &self.d.recovery_plan)
    }
    pub(super) fn job(&self) -> Follow {
        Follow::Job { vault: self.vault() }
    }

    pub(super) fn group(&self, step: u8, name: &str, why: &str) -> T {
        task(
            step,
            "group",
            name,
            &format!("Resource group {name}"),
            &format!(
                "Creates the resource group {name} in {}, or uses the one that is there.",
                self.d.location_name
            ),
            put(
                ResourceId::group(self.subscription, name),
                json!({ "location": self.d.location }),
            ),
        )
        .why(why)
        .secs(3, 15, NOT_PUBLISHED)
        .back("An empty group that Rehost created can be deleted; one that was there is never touched.")
    }

    /// A general-purpose account of the migration, after the check that its name is free. Its keys sign SAS.
    pub(super) fn storage_account(&self, step: u8, name: &str, what: &str) -> [T; 2] {
        let account = self.account(name);
        let free = task(
            step,
            "check-name",
            name,
            &format!("The name {name} is free"),
            "Asks Azure whether the storage account's name is free or ours.",
            Action::CheckName { id: account.clone() },
        )
        .after(&["2/provider/Microsoft.Storage"])
        .why("Storage account names are unique in the whole world.");
        let made = task(
            step,
            "storage",
            name,
            &format!("Storage account {name}"),
            what,
            put(
                account,
                json!({ "location": self.d.location, "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {
                    "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true,
                    "allowBlobPublicAccess": false, "allowSharedKeyAccess": true } }),
            ),
        )
        .after_task(free.0.address.clone())
        .after(&[&format!("2/group/{}", self.d.failover_group)])
        .secs(20, 60, NOT_PUBLISHED)
        .nodes(&[format!("storage/{name}")]);
        [free, made]
    }

    pub(super) fn check_network(&self, step: u8, name: &str, subnets: &[&str], why: &str, otherwise: &str) -> T {
        let mut condition = vec![
            Expect::equal("/properties/provisioningState", "Succeeded"),
            Expect::equal("/location", self.d.location.as_str()),
        ];
        condition.extend(subnets.iter().map(|s| Expect::equal("/properties/subnets/*/name", *s)));
        task(
            step,
            "check-network",
            name,
            &format!("{name} is there"),
            &format!("Reads {name} and checks its region and subnets."),
            exists(self.vnet(name), condition, otherwise),
        )
        .why(why)
        .nodes(&[format!("net/{name}")])
    }

    pub(super) fn peering(&self, from: &str, to: &str, body: Value) -> T {
        let name = format!("{from}-to-{to}");
        let mut properties = body;
        properties["remoteVirtualNetwork"] = json!({ "id": self.vnet(to) });
        properties["allowVirtualNetworkAccess"] = json!(true);
        properties["allowForwardedTraffic"] = json!(true);
        task(
            1,
            "peering",
            &name,
            &format!("Peer {from} with {to}"),
            &format!("Creates one of the two sides of the peering between {from} and {to}."),
            put(
                self.vnet(from).child("virtualNetworkPeerings", &name),
                json!({ "properties": properties }),
            ),
        )
        .secs(10, 60, NOT_PUBLISHED)
        .cost("Traffic over a peering is charged by the GB in both directions.")
        .back("Delete the peering; the other side then shows Disconnected.")
        .nodes(&[format!(
            "link/{}-{}",
            self.d.mi.network,
            if from == self.d.mi.network { to } else { from }
        )])
    }
}
