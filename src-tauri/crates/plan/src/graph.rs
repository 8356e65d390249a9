//! Design + inventory -> [`Plan`]. A pure function: the eight steps of the scenario with its own names, each task with
//! why, rights, duration, way back and calls, and edges that let run at the same time what can.
//!
//! Decisions where the scenario is silent or outdated:
//! * The screen keeps the scenario's step order; the graph starts the managed instance and the replication early.
//! * The database is backed up into its own storage account, so that its key can be rotated and the account removed
//!   without touching replication.
//! * The test failover goes into a network of its own without peerings: a test copy of WEBVM can't answer for the real
//!   one.
//! * The tail-log backup waits for the source WEBVM to be off, which the failover does itself (shutdown first, so that
//!   Site Recovery can send the last changes); so failover and database cutover overlap.
//! * Commit comes after the site has answered from Azure, because before commit another recovery point can be chosen.
//! * Site Recovery's replication is stopped in step 8, when nothing needs it any more.

use crate::{
    address::{Address, ResourceId},
    design::{DatabaseMethod, Design, ReplicationMethod},
    diagram::{Diagram, Edge, EdgeKind, Node, NodeKind},
    inventory::Inventory,
    rules::{self, Pack},
    scripts,
    task::{
        Action, Actor, Condition, Duration, Expect, Fact, Finding, Follow, Is, Parameter, Plan, Script, Severity, Step,
        Task,
    },
};
use petgraph::{algo::toposort, graph::DiGraph};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Version of the plan's structure.
pub const FORMAT: u32 = 1;

/// Why no plan can be computed. Findings that a person can cure are part of the plan instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("rule pack `{0}` is not known; this version of Rehost knows `current`")]
    UnknownRules(String),
    #[error("rule pack `{0}` only judges a design for comparison; choose `current` in Design to run")]
    RulesNotRunnable(String),
    #[error("replication method {0} is not available in this version; choose InMageRcm in Design")]
    Replication(String),
    #[error("database method {0} is not available in this version; choose Log Replay Service in Design")]
    Database(String),
    #[error("the subscription id is missing; choose a subscription in Connections")]
    NoSubscription,
    #[error("task {task} waits for {after}, which is not in the plan")]
    UnknownDependency { task: Address, after: Address },
    #[error("the plan's tasks wait for each other in a circle at {0}")]
    Circle(Address),
    #[error("two tasks have the address {0}")]
    Twice(Address),
}

/// Computes the plan for a design. `subscription` is the target's id; `inventory` is what discovery found.
///
/// # Errors
/// See [`PlanError`]; none of them depends on Azure or vCenter.
pub fn plan(design: &Design, subscription: &str, inventory: &Inventory) -> Result<Plan, PlanError> {
    let pack = rules::pack(&design.rule_pack).ok_or_else(|| PlanError::UnknownRules(design.rule_pack.clone()))?;
    if !pack.mi_delegation {
        return Err(PlanError::RulesNotRunnable(design.rule_pack.clone()));
    }
    if design.replication != ReplicationMethod::InMageRcm {
        return Err(PlanError::Replication(format!("{:?}", design.replication)));
    }
    if design.database_method != DatabaseMethod::LogReplay {
        return Err(PlanError::Database(format!("{:?}", design.database_method)));
    }
    if subscription.trim().is_empty() {
        return Err(PlanError::NoSubscription);
    }
    let b = Builder::new(design, subscription, pack);
    let plan = Plan {
        format: FORMAT,
        application: design.application.clone(),
        rules: format!("{} {}", pack.id, pack.date),
        steps: vec![
            b.step1(),
            b.step2(),
            b.step3(),
            b.step4(),
            b.step5(),
            b.step6(),
            b.step7(),
            b.step8(),
        ],
        findings: findings(design, pack, inventory),
    };
    check(&plan)?;
    Ok(plan)
}

/// Proves that addresses are unique, dependencies exist and form no circle.
///
/// # Errors
/// Names the first task that breaks a rule.
pub fn check(plan: &Plan) -> Result<(), PlanError> {
    let mut graph = DiGraph::<&Address, ()>::new();
    let mut at = HashMap::new();
    for t in plan.tasks() {
        if at.insert(&t.address, graph.add_node(&t.address)).is_some() {
            return Err(PlanError::Twice(t.address.clone()));
        }
    }
    for t in plan.tasks() {
        for a in &t.after {
            let from = at.get(a).ok_or_else(|| PlanError::UnknownDependency {
                task: t.address.clone(),
                after: a.clone(),
            })?;
            graph.add_edge(*from, at[&t.address], ());
        }
    }
    toposort(&graph, None)
        .map(|_| ())
        .map_err(|c| PlanError::Circle(graph[c.node_id()].clone()))
}

fn findings(d: &Design, pack: &Pack, inventory: &Inventory) -> Vec<Finding> {
    let mut out = pack.judge_design(d);
    for name in [&d.web_vm, &d.sql_vm] {
        let namesakes = inventory
            .vms
            .iter()
            .filter(|v| v.name.eq_ignore_ascii_case(name))
            .count();
        if namesakes > 1 {
            out.push(Finding {
                rule: "vm-ambiguous".into(),
                severity: Severity::Blocking,
                about: name.clone(),
                title: format!("{namesakes} machines are called {name}"),
                detail: "Rehost shuts down, renames and removes machines by name. Rename the others in vCenter, then read the inventory again.".into(),
                source: "inventory".into(),
            });
        }
        match inventory.vm(name) {
            Some(vm) if name == &d.web_vm => out.extend(pack.judge_vm(vm)),
            Some(_) => {}
            None => out.push(Finding {
                rule: "vm-missing".into(),
                severity: Severity::Blocking,
                about: name.clone(),
                title: format!("{name} was not found in vCenter"),
                detail: "Read the inventory again, or correct the machine's name in Design.".into(),
                source: "inventory".into(),
            }),
        }
    }
    out
}

const NOT_PUBLISHED: &str = "assumed, Microsoft publishes no figure";
const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const VAULT: &str = "Microsoft.RecoveryServices/vaults";

/// A task while it is being written down.
struct T(Task);

impl T {
    fn why(mut self, why: &str) -> Self {
        self.0.why = why.into();
        self
    }
    fn after(mut self, on: &[&str]) -> Self {
        self.0.after.extend(on.iter().map(|a| {
            let mut parts = a.splitn(3, '/');
            let step = parts.next().and_then(|s| s.parse().ok()).unwrap_or(0);
            Address::new(step, parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        }));
        self
    }
    fn secs(mut self, p50: u32, p95: u32, source: &str) -> Self {
        self.0.duration = Duration {
            p50,
            p95,
            source: source.into(),
        };
        self
    }
    fn cost(mut self, cost: &str) -> Self {
        self.0.cost = Some(cost.into());
        self
    }
    fn back(mut self, back: &str) -> Self {
        self.0.way_back = back.into();
        self
    }
    fn no_return(mut self) -> Self {
        self.0.no_return = true;
        self
    }
    fn nodes(mut self, nodes: &[String]) -> Self {
        self.0.nodes = nodes.to_vec();
        self
    }
    fn person(mut self, role: &str, instructions: &[String], script: Option<Script>) -> Self {
        self.0.actor = Actor::Person {
            role: role.into(),
            instructions: instructions.to_vec(),
            script,
        };
        self
    }
}

struct Builder<'a> {
    d: &'a Design,
    pack: &'a Pack,
    subscription: &'a str,
    networking: ResourceId,
    target: ResourceId,
    failover: ResourceId,
}

/// Returns the type of what an id addresses; placeholders stand for what they will hold.
fn resource_type(id: &ResourceId) -> String {
    const VAULTS: &str = "/providers/Microsoft.RecoveryServices/vaults/v";
    let known = [
        (
            "${asr.container}",
            format!("{VAULTS}/replicationFabrics/f/replicationProtectionContainers/c"),
        ),
        ("${asr.fabric}", format!("{VAULTS}/replicationFabrics/f")),
        ("${asr.site}", "/providers/Microsoft.OffAzure/VMwareSites/s".to_owned()),
        ("${nic.", "/providers/Microsoft.Network/networkInterfaces/n".to_owned()),
    ];
    let text = id.as_str();
    let whole = known.iter().find_map(|(start, stands_for)| {
        let rest = text.strip_prefix(start)?;
        // A fact whose name goes on ends with its brace.
        let rest = if start.ends_with('}') {
            rest
        } else {
            rest.split_once('}').map_or("", |(_, r)| r)
        };
        Some(format!("{stands_for}{rest}"))
    });
    let whole = ResourceId::new(whole.unwrap_or_else(|| text.to_owned()));
    whole.resource_type().unwrap_or_else(|| {
        let group = if whole.part("resourceGroups").is_some() {
            "/resourceGroups"
        } else {
            ""
        };
        format!("Microsoft.Resources/subscriptions{group}")
    })
}

/// Fills rights and calls from the action, so that they can't drift from what is done.
fn derive(action: &Action) -> (Vec<String>, Vec<String>) {
    let kind = resource_type;
    let name = |id: &ResourceId| {
        let name = id.name().split('?').next().unwrap_or_default().to_owned();
        if name.contains("${") {
            String::new()
        } else {
            format!("/{name}")
        }
    };
    let one = |right: String, call: String| (vec![format!("azure:{right}")], vec![call]);
    let vc = |rights: &[&str], call: &str| {
        (
            rights.iter().map(|r| format!("vcenter:{r}")).collect(),
            vec![call.to_owned()],
        )
    };
    match action {
        Action::RegisterProvider { namespace } => one(
            format!("{namespace}/register/action"),
            format!("POST providers/{namespace}/register"),
        ),
        Action::Put { id, .. } => one(format!("{}/write", kind(id)), format!("PUT {}{}", kind(id), name(id))),
        Action::Delete { id, .. } => one(
            format!("{}/delete", kind(id)),
            format!("DELETE {}{}", kind(id), name(id)),
        ),
        Action::Post { id, verb, .. } => one(
            format!("{}/{verb}/action", kind(id)),
            format!("POST {}{}/{verb}", kind(id), name(id)),
        ),
        Action::Check { id, .. } => one(format!("{}/read", kind(id)), format!("GET {}{}", kind(id), name(id))),
        Action::Find { list, .. } => {
            let of = kind(&ResourceId::new(format!("{list}/x")));
            one(format!("{of}/read"), format!("GET {of}"))
        }
        Action::CheckName { id } => {
            let ns = kind(id);
            let ns = ns.split('/').next().unwrap_or_default();
            one(
                format!("{ns}/checkNameAvailability/read"),
                format!("POST {ns}/checkNameAvailability"),
            )
        }
        Action::CheckSize { location, .. } => (
            vec![
                "azure:Microsoft.Compute/skus/read".into(),
                "azure:Microsoft.Compute/locations/usages/read".into(),
            ],
            vec![
                "GET Microsoft.Compute/skus".into(),
                format!("GET Microsoft.Compute/locations/{location}/usages"),
            ],
        ),
        Action::CheckSqlCapability { location, .. } => one(
            "Microsoft.Sql/locations/capabilities/read".into(),
            format!("GET Microsoft.Sql/locations/{location}/capabilities"),
        ),
        Action::IssueSas { account, .. } => one(
            "Microsoft.Storage/storageAccounts/listKeys/action".into(),
            format!("POST Microsoft.Storage/storageAccounts/{}/listKeys", account.name()),
        ),
        Action::RotateKey { account, .. } => one(
            "Microsoft.Storage/storageAccounts/regenerateKey/action".into(),
            format!(
                "POST Microsoft.Storage/storageAccounts/{}/regenerateKey",
                account.name()
            ),
        ),
        Action::CheckBlobs { account, container, .. } => one(
            "Microsoft.Storage/storageAccounts/listKeys/action".into(),
            format!("GET {}/{container}?comp=list", account.name()),
        ),
        Action::StartLogReplay { database, .. } => one(
            format!("{}/write", kind(database)),
            format!("PUT {}/{}", kind(database), database.name()),
        ),
        Action::FollowLogReplay { database, .. } => {
            let of = kind(&database.child("restoreDetails", "Default"));
            one(format!("{of}/read"), format!("GET {of}/Default"))
        }
        Action::CompleteLogReplay { database, .. } => one(
            format!("{}/completeRestore/action", kind(database)),
            format!("POST {}/{}/completeRestore", kind(database), database.name()),
        ),
        Action::RunCommand { vm, name, .. } => one(
            format!("{}/runCommands/write", kind(vm)),
            format!("PUT {}/{}/runCommands/{name}", kind(vm), vm.name()),
        ),
        Action::CheckBoot { vm } => one(
            format!("{}/retrieveBootDiagnosticsData/action", kind(vm)),
            format!("POST {}/{}/retrieveBootDiagnosticsData", kind(vm), vm.name()),
        ),
        Action::CheckVCenter { .. } | Action::CheckVm { .. } | Action::CheckVmRuns { .. } => {
            vc(&["System.Read"], "RetrievePropertiesEx")
        }
        Action::CheckReadiness { .. } | Action::CheckPower { .. } => vc(&["System.Read"], "RetrievePropertiesEx"),
        Action::EnsureRole { .. } => vc(&["Authorization.ModifyRoles"], "AddAuthorizationRole"),
        Action::RemoveRole { .. } => vc(&["Authorization.ModifyRoles"], "RemoveAuthorizationRole"),
        Action::CheckPrincipal { .. } => vc(&["System.View"], "RetrieveUserGroups"),
        Action::GrantRole { .. } => vc(&["Authorization.ModifyPermissions"], "SetEntityPermissions"),
        Action::RevokeRole { .. } => vc(&["Authorization.ModifyPermissions"], "RemoveEntityPermission"),
        Action::ShutDownVm { .. } => vc(&["VirtualMachine.Interact.PowerOff"], "ShutdownGuest"),
        Action::RenameVm { .. } => vc(&["VirtualMachine.Config.Rename"], "Rename_Task"),
        Action::DestroyVm { .. } => vc(&["VirtualMachine.Inventory.Delete"], "Destroy_Task"),
        Action::CheckLedger { .. } | Action::NotNeeded { .. } | Action::Gate { .. } | Action::WaitDays { .. } => {
            (vec![], vec![])
        }
    }
}

fn task(step: u8, kind: &str, name: &str, title: &str, what: &str, action: Action) -> T {
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

fn step(number: u8, title: &str, tasks: Vec<T>) -> Step {
    Step {
        number,
        title: title.into(),
        tasks: tasks.into_iter().map(|t| t.0).collect(),
    }
}

fn put(id: ResourceId, body: Value) -> Action {
    Action::Put {
        id,
        body,
        facts: vec![],
        follow: Follow::Operation,
    }
}

fn exists(id: ResourceId, condition: Condition, otherwise: &str) -> Action {
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

fn gate(question: &str, accept: &str, reject: &str, safe: &str) -> Action {
    Action::Gate {
        question: question.into(),
        accept: accept.into(),
        reject: reject.into(),
        safe_because: safe.into(),
    }
}

fn fact(name: &str, pointer: &str) -> Fact {
    Fact {
        name: name.into(),
        pointer: pointer.into(),
    }
}

fn register(step: u8, namespace: &str, why: &str) -> T {
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
    fn new(d: &'a Design, subscription: &'a str, pack: &'a Pack) -> Self {
        Self {
            d,
            pack,
            subscription,
            networking: ResourceId::group(subscription, &d.networking_group),
            target: ResourceId::group(subscription, &d.target_group),
            failover: ResourceId::group(subscription, &d.failover_group),
        }
    }

    fn vnet(&self, name: &str) -> ResourceId {
        self.networking.resource(NETWORK, name)
    }
    fn mi(&self) -> ResourceId {
        self.target.resource("Microsoft.Sql/managedInstances", &self.d.mi.name)
    }
    fn database(&self) -> ResourceId {
        self.mi().child("databases", &self.d.database)
    }
    fn vault(&self) -> ResourceId {
        self.failover.resource(VAULT, &self.d.vault)
    }
    fn account(&self, name: &str) -> ResourceId {
        self.failover.resource("Microsoft.Storage/storageAccounts", name)
    }
    fn azure_vm(&self, name: &str) -> ResourceId {
        self.target.resource("Microsoft.Compute/virtualMachines", name)
    }
    fn item(&self) -> ResourceId {
        ResourceId::new("${asr.container}").child("replicationProtectedItems", "${asr.machineName}")
    }
    fn recovery_plan(&self) -> ResourceId {
        self.vault().child("replicationRecoveryPlans", &self.d.recovery_plan)
    }
    fn job(&self) -> Follow {
        Follow::Job { vault: self.vault() }
    }

    fn group(&self, step: u8, name: &str, why: &str) -> T {
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

    fn check_network(&self, step: u8, name: &str, subnets: &[&str], why: &str, otherwise: &str) -> T {
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

    fn peering(&self, from: &str, to: &str, body: Value) -> T {
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

    /// Step 1 of the scenario: network, routing and managed instance.
    fn step1(&self) -> Step {
        let d = self.d;
        let mi = &d.mi;
        let subnet = self.vnet(&mi.network).child("subnets", &mi.subnet);
        let nsg = self
            .networking
            .resource("Microsoft.Network/networkSecurityGroups", &mi.nsg);
        let routes = self
            .networking
            .resource("Microsoft.Network/routeTables", &mi.route_table);
        let sql_rule = |name: &str, ports: &str, priority: u16| {
            json!({ "name": name, "properties": {
                "protocol": "Tcp", "sourceAddressPrefix": "VirtualNetwork", "sourcePortRange": "*",
                "destinationAddressPrefix": mi.subnet_space.to_string(), "destinationPortRange": ports,
                "access": "Allow", "priority": priority, "direction": "Inbound" } })
        };
        let net_node = format!("net/{}", mi.network);
        let mi_node = format!("mi/{}", mi.name);
        step(
            1,
            "Prepare SQL Managed Instance",
            vec![
                register(1, "Microsoft.Network", "Networks, route tables and security groups belong to this provider."),
                register(1, "Microsoft.Sql", "Managed instances belong to this provider.").nodes(std::slice::from_ref(&mi_node)),
                self.check_network(
                    1,
                    &d.hub_network,
                    &["GatewaySubnet"],
                    "The managed instance is reached from the datacenter through the hub's gateway.",
                    "Ask the network team to deploy the hub network first.",
                ),
                task(
                    1,
                    "check-gateway",
                    &d.hub_network,
                    "The hub's VPN gateway is running",
                    "Looks for a provisioned virtual network gateway in the networking resource group.",
                    Action::Find {
                        list: ResourceId::new(format!("{}/providers/Microsoft.Network/virtualNetworkGateways", self.networking)),
                        condition: vec![Expect::equal("/properties/provisioningState", "Succeeded")],
                        wait: false,
                        facts: vec![fact("hub.gateway", "/id")],
                        otherwise: "A peering can't use remote gateways before the hub's gateway is provisioned. Ask the network team.".into(),
                    },
                )
                .why("Peerings that use the hub's gateway are refused until it is provisioned.")
                .nodes(&["gateway/hub".into(), "vpn/onprem".into()]),
                self.check_network(
                    1,
                    &d.prod_network,
                    &[&d.prod_frontend_subnet, &d.prod_dc_subnet],
                    "WEBVM will run there, and the domain controllers that resolve names are there.",
                    "Ask the network team to deploy the production network with these subnets.",
                ),
                task(
                    1,
                    "check-sku",
                    &mi.name,
                    "The region offers the managed instance",
                    &format!("Asks {} for General Purpose with {} vCores and {} GiB.", d.location_name, mi.vcores, mi.storage_gib),
                    Action::CheckSqlCapability {
                        location: d.location.clone(),
                        sku: "GP_Gen5".into(),
                        vcores: mi.vcores,
                        storage_gib: mi.storage_gib,
                    },
                )
                .after(&["1/provider/Microsoft.Sql"])
                .why("A create that the region refuses would fail only after minutes.")
                .nodes(std::slice::from_ref(&mi_node)),
                task(
                    1,
                    "group",
                    &d.networking_group,
                    &format!("Resource group {}", d.networking_group),
                    &format!("Creates the resource group {}, or uses the one that is there.", d.networking_group),
                    put(self.networking.clone(), json!({ "location": d.location })),
                )
                .why("All networks of the scenario live in this group.")
                .secs(3, 15, NOT_PUBLISHED)
                .back("It existed before; Rehost never deletes it."),
                self.group(1, &d.target_group, "The managed instance and the migrated VM live in this group."),
                task(
                    1,
                    "nsg",
                    &mi.nsg,
                    &format!("Network security group {}", mi.nsg),
                    "Creates the group that lets SQL traffic of the networks in; the instance adds its own mandatory rules.",
                    put(
                        nsg.clone(),
                        json!({ "location": d.location, "properties": { "securityRules": [
                            sql_rule("allow-tds-inbound", "1433", 1000),
                            sql_rule("allow-redirect-inbound", "11000-11999", 1100),
                        ] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("Today a managed instance requires a network security group on its subnet; the 2018 tutorial forbade one.")
                .secs(6, 30, NOT_PUBLISHED)
                .back("Delete the group after the managed instance is gone.")
                .nodes(&[format!("subnet/{}", mi.subnet)]),
                task(
                    1,
                    "route-table",
                    &mi.route_table,
                    &format!("Route table {}", mi.route_table),
                    "Creates the route table with the scenario's default route to the Internet; the instance adds its own routes.",
                    put(
                        routes.clone(),
                        json!({ "location": d.location, "properties": { "disableBgpRoutePropagation": false, "routes": [
                            { "name": "default", "properties": { "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet" } }
                        ] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("The instance must reach the service that manages it; without a route table the create is refused.")
                .secs(6, 30, NOT_PUBLISHED)
                .back("Delete the route table after the managed instance is gone.")
                .nodes(&[format!("subnet/{}", mi.subnet)]),
                task(
                    1,
                    "vnet",
                    &mi.network,
                    &format!("Network {}", mi.network),
                    &format!("Creates {} with a subnet delegated to managed instances, one for workstations, and the DNS servers.", mi.network_space),
                    put(
                        self.vnet(&mi.network),
                        json!({ "location": d.location, "properties": {
                            "addressSpace": { "addressPrefixes": [mi.network_space.to_string()] },
                            "dhcpOptions": { "dnsServers": d.dns.iter().map(ToString::to_string).collect::<Vec<_>>() },
                            "subnets": [
                                { "name": mi.subnet, "properties": {
                                    "addressPrefix": mi.subnet_space.to_string(),
                                    "networkSecurityGroup": { "id": nsg },
                                    "routeTable": { "id": routes },
                                    "delegations": [{ "name": "managedInstances", "properties": { "serviceName": "Microsoft.Sql/managedInstances" } }] } },
                                { "name": mi.workstation_subnet, "properties": { "addressPrefix": mi.workstation_space.to_string() } }
                            ] } }),
                    ),
                )
                .after(&[&format!("1/nsg/{}", mi.nsg), &format!("1/route-table/{}", mi.route_table)])
                .why("A managed instance needs a dedicated, delegated subnet of at least 32 addresses.")
                .secs(8, 40, NOT_PUBLISHED)
                .back("Delete the network once the virtual cluster is gone (up to 90 minutes after the last instance).")
                .nodes(&[net_node.clone(), format!("subnet/{}", mi.subnet), format!("subnet/{}", mi.workstation_subnet), "dns/contoso".into()]),
                self.peering(&mi.network, &d.hub_network, json!({ "useRemoteGateways": true }))
                    .after(&[
                        &format!("1/vnet/{}", mi.network),
                        &format!("1/check-gateway/{}", d.hub_network),
                        &format!("1/check-network/{}", d.hub_network),
                        &format!("1/peering/{}-to-{}", d.hub_network, mi.network),
                    ])
                    .why("The datacenter reaches the managed instance through the hub's gateway."),
                self.peering(&d.hub_network, &mi.network, json!({ "allowGatewayTransit": true }))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-gateway/{}", d.hub_network), &format!("1/check-network/{}", d.hub_network)])
                    .why("A peering works only when both sides exist; the hub's side lends its gateway."),
                self.peering(&mi.network, &d.prod_network, json!({}))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-network/{}", d.prod_network), &format!("1/peering/{}-to-{}", mi.network, d.hub_network)])
                    .why("WEBVM in the production network must reach the database."),
                self.peering(&d.prod_network, &mi.network, json!({}))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-network/{}", d.prod_network)])
                    .why("A peering works only when both sides exist."),
                task(
                    1,
                    "check-peering",
                    &mi.network,
                    "All peerings are connected",
                    "Reads the network and checks that no peering is left half-made.",
                    Action::Check {
                        id: self.vnet(&mi.network).child("virtualNetworkPeerings", &format!("{}-to-{}", mi.network, d.prod_network)),
                        condition: vec![Expect::equal("/properties/peeringState", "Connected")],
                        absent: false,
                        wait: true,
                        facts: vec![],
                        follow: Follow::Operation,
                        otherwise: "Both sides must exist. Open both networks in the portal, Peerings, and delete the side that shows Disconnected.".into(),
                    },
                )
                .after(&[
                    &format!("1/peering/{}-to-{}", mi.network, d.prod_network),
                    &format!("1/peering/{}-to-{}", d.prod_network, mi.network),
                    &format!("1/peering/{}-to-{}", d.hub_network, mi.network),
                ])
                .why("A peering with one side only passes no traffic.")
                .nodes(std::slice::from_ref(&net_node)),
                task(
                    1,
                    "managed-instance",
                    &mi.name,
                    &format!("Managed instance {}", mi.name),
                    &format!("Creates a General Purpose instance with {} vCores and {} GiB in {}.", mi.vcores, mi.storage_gib, mi.subnet),
                    Action::Put {
                        id: self.mi(),
                        body: json!({ "location": d.location, "sku": { "name": "GP_Gen5", "tier": "GeneralPurpose" }, "properties": {
                            "subnetId": subnet, "vCores": mi.vcores, "storageSizeInGB": mi.storage_gib,
                            "licenseType": "LicenseIncluded", "administratorLogin": mi.admin_login,
                            "administratorLoginPassword": "${secret:mi-admin}",
                            "collation": "SQL_Latin1_General_CP1_CI_AS", "timezoneId": "UTC", "proxyOverride": "Proxy",
                            "minimalTlsVersion": "1.2", "publicDataEndpointEnabled": false,
                            "requestedBackupStorageRedundancy": "Local" } }),
                        facts: vec![fact("mi.fqdn", "/properties/fullyQualifiedDomainName"), fact("mi.dnsZone", "/properties/dnsZone")],
                        follow: Follow::InstanceSteps,
                    },
                )
                .after(&[
                    &format!("1/vnet/{}", mi.network),
                    &format!("1/check-sku/{}", mi.name),
                    &format!("1/group/{}", d.target_group),
                ])
                .why("It is the target of the database. It takes longest, so it starts as early as possible.")
                .secs(1500, 1800, "learn.microsoft.com: 95 % of creates finish in 30 minutes (2026-07-10)")
                .cost("Charged by vCore and storage from the moment it is created.")
                .back("Delete the instance (the last one in a subnet takes up to 90 minutes); billing stops at once.")
                .nodes(std::slice::from_ref(&mi_node)),
                task(
                    1,
                    "check-cluster",
                    &mi.name,
                    "The virtual cluster has appeared",
                    "Looks for the virtual cluster that Azure made for the subnet.",
                    Action::Find {
                        list: ResourceId::new(format!("{}/providers/Microsoft.Sql/virtualClusters", self.target)),
                        condition: vec![Expect::equal("/properties/subnetId", subnet.as_str())],
                        wait: false,
                        facts: vec![],
                        otherwise: "The instance is there without its virtual cluster. Open a support request with the correlation id.".into(),
                    },
                )
                .after(&[&format!("1/managed-instance/{}", mi.name)])
                .why("The scenario expects two new resources: instance and virtual cluster.")
                .nodes(&[mi_node]),
            ],
        )
    }

    /// Step 2: storage, container and SAS for Log Replay Service.
    fn step2(&self) -> Step {
        let d = self.d;
        let account = self.account(&d.backup_account);
        let container = account
            .child("blobServices", "default")
            .child("containers", &d.backup_container);
        let node = format!("storage/{}", d.backup_account);
        let sas = |name: &str, permissions: &str, title: &str, what: &str, why: &str| {
            task(
                2,
                "sas",
                name,
                title,
                what,
                Action::IssueSas {
                    name: name.into(),
                    account: account.clone(),
                    container: d.backup_container.clone(),
                    permissions: permissions.into(),
                    days: 30,
                },
            )
            .after(&[&format!("2/container/{}", d.backup_container)])
            .why(why)
            .secs(3, 15, "two requests")
            .back("Rotating the account's key ends it at once (step 8 does).")
            .nodes(std::slice::from_ref(&node))
        };
        let not_needed = |kind: &str, name: &str, title: &str, reason: &str| {
            task(
                2,
                kind,
                name,
                title,
                "Is part of the 2018 scenario.",
                Action::NotNeeded { reason: reason.into() },
            )
            .why("The scenario did it; today's method does not need it.")
            .secs(0, 0, "nothing is done")
        };
        step(
            2,
            "Prepare database migration",
            vec![
                not_needed(
                    "provider",
                    "Microsoft.DataMigration",
                    "Register Microsoft.DataMigration",
                    "Log Replay Service is part of SQL Managed Instance; no Database Migration Service is used.",
                ),
                not_needed(
                    "dms",
                    "instance",
                    "Create a DMS instance",
                    "DMS classic with its instances in a subnet was retired on 15 March 2026; Log Replay Service replaces it here.",
                ),
                register(2, "Microsoft.Storage", "The backups go through a storage account."),
                self.group(2, &d.failover_group, "Storage accounts and vault of the migration live in this group, apart from what stays."),
                task(
                    2,
                    "check-name",
                    &d.backup_account,
                    &format!("The name {} is free", d.backup_account),
                    "Asks Azure whether the storage account's name is free or ours.",
                    Action::CheckName { id: account.clone() },
                )
                .after(&["2/provider/Microsoft.Storage"])
                .why("Storage account names are unique in the whole world."),
                task(
                    2,
                    "storage",
                    &d.backup_account,
                    &format!("Storage account {}", d.backup_account),
                    "Creates the account that receives the database backups.",
                    put(
                        account.clone(),
                        json!({ "location": d.location, "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {
                            "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true,
                            "allowBlobPublicAccess": false, "allowSharedKeyAccess": true } }),
                    ),
                )
                .after(&[&format!("2/check-name/{}", d.backup_account), &format!("2/group/{}", d.failover_group)])
                .why("An own account lets its key be rotated and the account be removed without touching replication.")
                .secs(20, 60, NOT_PUBLISHED)
                .cost("Storage and transactions while the backups are kept.")
                .back("Delete the account with all backups in it.")
                .nodes(std::slice::from_ref(&node)),
                task(
                    2,
                    "container",
                    &d.backup_container,
                    &format!("Container {}", d.backup_container),
                    "Creates the container for the backups of this one database.",
                    put(container, json!({ "properties": {} })),
                )
                .after(&[&format!("2/storage/{}", d.backup_account)])
                .why("Log Replay Service wants one container or folder per database.")
                .secs(3, 15, "one request")
                .back("Delete the container.")
                .nodes(std::slice::from_ref(&node)),
                sas(
                    "restore",
                    "rl",
                    "SAS for Log Replay Service",
                    "Signs a SAS that may read and list, for 30 days, and proves that it can do just that.",
                    "Log Replay Service refuses a SAS with any other permission than read and list.",
                ),
                sas(
                    "backup",
                    "cw",
                    "SAS for SQL Server",
                    "Signs a SAS that may create and write, for 30 days, for BACKUP TO URL.",
                    "SQL Server writes the backups straight into the container.",
                ),
            ],
        )
    }

    /// Step 3: storage, networks and vault for Site Recovery.
    fn step3(&self) -> Step {
        let d = self.d;
        let account = self.account(&d.cache_account);
        let node = format!("storage/{}", d.cache_account);
        step(
            3,
            "Prepare Azure for Site Recovery",
            vec![
                register(3, "Microsoft.RecoveryServices", "The vault belongs to this provider."),
                register(3, "Microsoft.Compute", "The migrated VM belongs to this provider."),
                task(
                    3,
                    "check-size",
                    &d.web_vm_size,
                    &format!("{} can be had in {}", d.web_vm_size, d.location_name),
                    "Checks that the VM size is offered without restriction and that the quota suffices for test and migration.",
                    Action::CheckSize { location: d.location.clone(), size: d.web_vm_size.clone(), vcpus: 8 },
                )
                .after(&["3/provider/Microsoft.Compute"])
                .why("Without quota the failover would fail in the change window.")
                .nodes(&[format!("azvm/{}", d.web_vm)]),
                task(
                    3,
                    "check-subnet",
                    &d.prod_frontend_subnet,
                    &format!("Subnet {} can take WEBVM", d.prod_frontend_subnet),
                    "Reads the subnet in which the VM will be placed.",
                    exists(
                        self.vnet(&d.prod_network).child("subnets", &d.prod_frontend_subnet),
                        vec![Expect::equal("/properties/provisioningState", "Succeeded")],
                        "Ask the network team to create the subnet.",
                    ),
                )
                .after(&[&format!("1/check-network/{}", d.prod_network)])
                .why("Site Recovery needs an existing network to fail over into.")
                .nodes(&[format!("subnet/{}", d.prod_frontend_subnet)]),
                task(
                    3,
                    "vnet",
                    &d.test_network,
                    &format!("Test network {}", d.test_network),
                    &format!("Creates {} without any peering, for the test failover.", d.test_space),
                    put(
                        self.vnet(&d.test_network),
                        json!({ "location": d.location, "properties": {
                            "addressSpace": { "addressPrefixes": [d.test_space.to_string()] },
                            "subnets": [{ "name": d.test_subnet, "properties": { "addressPrefix": d.test_subnet_space.to_string() } }] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("A test copy in an isolated network can't answer for the real WEBVM.")
                .secs(8, 40, NOT_PUBLISHED)
                .back("Delete the network after the test clean-up (step 8 does).")
                .nodes(&[format!("net/{}", d.test_network), format!("subnet/{}", d.test_subnet)]),
                task(
                    3,
                    "check-name",
                    &d.cache_account,
                    &format!("The name {} is free", d.cache_account),
                    "Asks Azure whether the storage account's name is free or ours.",
                    Action::CheckName { id: account.clone() },
                )
                .after(&["2/provider/Microsoft.Storage"])
                .why("Storage account names are unique in the whole world."),
                task(
                    3,
                    "storage",
                    &d.cache_account,
                    &format!("Storage account {}", d.cache_account),
                    "Creates the general-purpose LRS account through which replicated data goes.",
                    put(
                        account,
                        json!({ "location": d.location, "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {
                            "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true,
                            "allowBlobPublicAccess": false, "allowSharedKeyAccess": true } }),
                    ),
                )
                .after(&[&format!("3/check-name/{}", d.cache_account), &format!("2/group/{}", d.failover_group)])
                .why("Site Recovery caches replicated data in it before it writes managed disks.")
                .secs(20, 60, NOT_PUBLISHED)
                .cost("Storage and transactions while the VM replicates.")
                .back("Delete the account after replication was stopped (step 8 does).")
                .nodes(&[node]),
                task(
                    3,
                    "vault",
                    &d.vault,
                    &format!("Recovery Services vault {}", d.vault),
                    "Creates the vault that holds policy, replicated items, jobs and recovery plan.",
                    put(
                        self.vault(),
                        json!({ "location": d.location, "sku": { "name": "RS0", "tier": "Standard" },
                            "identity": { "type": "SystemAssigned" }, "properties": { "publicNetworkAccess": "Enabled" } }),
                    ),
                )
                .after(&["3/provider/Microsoft.RecoveryServices", &format!("2/group/{}", d.failover_group)])
                .why("Today's replication appliance needs a new vault of its own.")
                .secs(15, 90, NOT_PUBLISHED)
                .cost("Site Recovery charges per protected instance after 31 days.")
                .back("Delete the vault once it is empty (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
            ],
        )
    }

    /// Step 4: accounts, roles and readiness on-premises.
    fn step4(&self) -> Step {
        let d = self.d;
        let vm_node = format!("vm/{}", d.web_vm);
        let readiness = |key: &str, value: &str, title: &str, what: &str, why: &str| {
            task(
                4,
                "readiness",
                key,
                title,
                what,
                Action::CheckReadiness {
                    vm: d.web_vm.clone(),
                    key: key.into(),
                    value: value.into(),
                },
            )
            .after(&["4/person/readiness"])
            .why(why)
            .nodes(std::slice::from_ref(&vm_node))
        };
        step(
            4,
            "Prepare VMware and WEBVM",
            vec![
                task(
                    4,
                    "check-vcenter",
                    "vcenter",
                    "vCenter is supported",
                    &format!("Signs in and checks that the version is {} or later.", self.pack.vcenter),
                    Action::CheckVCenter { min_version: self.pack.vcenter.into() },
                )
                .why("Site Recovery supports only these versions.")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "check-vm",
                    &d.web_vm,
                    &format!("{} can be replicated", d.web_vm),
                    "Judges operating system, firmware, disks, name and VMware Tools by the rule pack.",
                    Action::CheckVm { vm: d.web_vm.clone() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("What is not supported would fail hours later, after the initial replication.")
                .nodes(std::slice::from_ref(&vm_node)),
                task(
                    4,
                    "role",
                    &d.vcenter_role,
                    &format!("vCenter role {}", d.vcenter_role),
                    "Creates the role with the privileges that the replication appliance needs, or adds what is missing.",
                    Action::EnsureRole {
                        role: d.vcenter_role.clone(),
                        privileges: scripts::SITE_RECOVERY_PRIVILEGES.iter().map(|p| (*p).to_owned()).collect(),
                    },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("Discovery and failover need these rights, and no others.")
                .secs(2, 10, "one request")
                .back("Remove the role (step 8 does).")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "person",
                    "discovery-account",
                    &format!("Account {} exists", d.vcenter_principal),
                    "Waits until vCenter's directory knows the account for discovery.",
                    Action::CheckPrincipal { principal: d.vcenter_principal.clone() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("The appliance signs in to vCenter with it. Only a directory administrator can create it.")
                .secs(360, 86_400, "a person's time")
                .back("Disable the account after the migration.")
                .person(
                    "directory administrator",
                    &[
                        format!("Create the account {} in Active Directory, with a password that never expires during the migration.", d.vcenter_principal),
                        "Avoid these characters in its password: & ; \" ' ^ \\ % < > # £ and anything outside ASCII.".into(),
                        "Make sure that the domain is an identity source of vCenter (Administration, Single Sign On, Configuration).".into(),
                        "Rehost sees the account by itself within a minute.".into(),
                    ],
                    None,
                )
                .nodes(&["vcenter/vcenter".into(), "dc/contosodc1".into()]),
                task(
                    4,
                    "permission",
                    &d.datacenter,
                    &format!("Grant the role on {}", d.datacenter),
                    &format!("Gives {} the role on the datacenter, propagated to everything in it.", d.vcenter_principal),
                    Action::GrantRole {
                        role: d.vcenter_role.clone(),
                        principal: d.vcenter_principal.clone(),
                        datacenter: d.datacenter.clone(),
                    },
                )
                .after(&[&format!("4/role/{}", d.vcenter_role), "4/person/discovery-account"])
                .why("A role without a permission gives no rights.")
                .secs(2, 10, "one request")
                .back("Remove the permission (step 8 does).")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "person",
                    "readiness",
                    &format!("Prepare {} for Azure", d.web_vm),
                    "Waits until the readiness script has run in the VM and published its result through VMware Tools.",
                    Action::CheckReadiness { vm: d.web_vm.clone(), key: "script".into(), value: "1".into() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("After failover only Remote Desktop leads into the VM; it must be open before.")
                .secs(600, 86_400, "a person's time")
                .back("The script prints what it changed; its way back is printed beside each line.")
                .person(
                    "administrator of WEBVM",
                    &[
                        format!("Sign in to {} as a local administrator.", d.web_vm),
                        "Open PowerShell as administrator, paste the script and run it.".into(),
                        "Read what it prints: each line says what it found and what it changed.".into(),
                        "Rehost reads the result through VMware Tools within a minute.".into(),
                    ],
                    Some(Script { language: "powershell".into(), run_on: d.web_vm.clone(), text: scripts::readiness() }),
                )
                .nodes(std::slice::from_ref(&vm_node)),
                readiness("rdp", "1", "Remote Desktop is enabled", "Reads what the readiness script found.", "Without it nobody gets into the VM after failover."),
                readiness(
                    "firewall",
                    "domain,private,public",
                    "The firewall lets Remote Desktop in",
                    "Reads for which profiles the rule is enabled.",
                    "In Azure the network may be detected as public; over the VPN it is domain or private.",
                ),
                readiness("san", "OnlineAll", "SAN policy is OnlineAll", "Reads the policy for new disks.", "Otherwise data disks stay offline in Azure."),
                readiness("updates", "0", "No Windows update is pending", "Reads the number of pending updates.", "With pending updates nobody can sign in until they finish."),
                readiness("reboot", "0", "No restart is pending", "Reads whether Windows waits for a restart.", "A pending restart would run during the failover."),
                task(
                    4,
                    "person",
                    "mobility-account",
                    "Account for the Mobility service",
                    "Waits until the readiness script has proved that the account is a local administrator of the VM.",
                    Action::CheckReadiness { vm: d.web_vm.clone(), key: "mobility".into(), value: d.mobility_account.clone() },
                )
                .after(&["4/person/readiness"])
                .why("Site Recovery installs the Mobility service with it.")
                .secs(60, 86_400, "a person's time")
                .back("Remove the account from the administrators (step 8 reminds).")
                .person(
                    "administrator of WEBVM",
                    &[
                        format!("Create the local account {} on {} and make it a member of Administrators.", d.mobility_account, d.web_vm),
                        "Run the readiness script again: it tells vCenter that the account is there, and sets LocalAccountTokenFilterPolicy.".into(),
                        "Keep the password ready: the appliance asks for it in step 5.".into(),
                    ],
                    Some(Script { language: "powershell".into(), run_on: d.web_vm.clone(), text: scripts::mobility_account(&d.mobility_account) }),
                )
                .nodes(&[vm_node]),
            ],
        )
    }

    /// Step 5: appliance, policy, replication.
    fn step5(&self) -> Step {
        let d = self.d;
        let vault = self.vault();
        let policy = vault.child("replicationPolicies", &d.policy);
        let appliance = format!("appliance/{}", d.appliance);
        let flow = [
            format!("vm/{}", d.web_vm),
            appliance.clone(),
            format!("vault/{}", d.vault),
            "flow/replication".to_owned(),
        ];
        step(
            5,
            "Replicate WEBVM",
            vec![
                task(
                    5,
                    "check-capacity",
                    &d.vault,
                    "Deployment planning is done",
                    "Checks the source machine once more against the limits of one replication appliance (200 machines).",
                    Action::CheckVm { vm: d.web_vm.clone() },
                )
                .after(&[&format!("4/check-vm/{}", d.web_vm)])
                .why("The scenario asks to confirm that deployment planning was completed.")
                .nodes(&[format!("vm/{}", d.web_vm)]),
                task(
                    5,
                    "person",
                    "deploy-appliance",
                    &format!("Deploy the replication appliance {}", d.appliance),
                    &format!("Waits until a VM named {} runs in vCenter.", d.appliance),
                    Action::CheckVmRuns { vm: d.appliance.clone() },
                )
                .after(&[&format!("3/vault/{}", d.vault), &format!("4/permission/{}", d.datacenter)])
                .why("The appliance discovers VMs, receives their changes and sends them to Azure. It replaces the configuration server.")
                .secs(1200, 86_400, "a person's time")
                .back("Delete the appliance VM in vCenter.")
                .person(
                    "vCenter administrator",
                    &[
                        format!("Azure portal, vault {}, Site Recovery, VMware machines to Azure, Prepare infrastructure, Deploy replication appliance: download the OVA.", d.vault),
                        format!("vSphere Client, {}, Deploy OVF Template: name it {}, 8 CPU, 16 GB, disks 80 GB and 620 GB, on the management network.", d.datacenter, d.appliance),
                        "Power it on, accept the licence, set the administrator's password.".into(),
                        "It needs ports 443 (out) and 9443 (from the VMs), and a fixed name in DNS.".into(),
                    ],
                    None,
                )
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "person",
                    "register-appliance",
                    "Register the appliance in the vault",
                    "Waits until the vault lists the appliance's fabric.",
                    Action::Find {
                        list: ResourceId::new(format!("{vault}/replicationFabrics")),
                        condition: vec![Expect::equal("/properties/customDetails/instanceType", "InMageRcm")],
                        wait: true,
                        facts: vec![
                            fact("asr.fabric", "/id"),
                            fact("asr.site", "/properties/customDetails/vmwareSiteId"),
                            fact("asr.processServer", "/properties/customDetails/processServers/0/id"),
                        ],
                        otherwise: "The vault lists no replication appliance yet.".into(),
                    },
                )
                .after(&["5/person/deploy-appliance"])
                .why("Only the appliance's own configuration manager can register it; there is no documented call for it.")
                .secs(720, 86_400, "a person's time")
                .back("Unregister in the vault, Site Recovery infrastructure.")
                .person(
                    "vCenter administrator",
                    &[
                        "On the appliance, open the Microsoft Azure Appliance Configuration Manager (desktop shortcut).".into(),
                        format!("Sign in to Azure; choose subscription, {} and vault {}; paste the vault's appliance key.", d.failover_group, d.vault),
                        format!("Choose the network card for replication traffic: it can't be changed later. Enter vCenter and the account {}.", d.vcenter_principal),
                        format!("Add the account {} for the installation of the Mobility service, and finish.", d.mobility_account),
                    ],
                    None,
                )
                .nodes(&[appliance.clone(), format!("vault/{}", d.vault)]),
                task(
                    5,
                    "check-appliance",
                    &d.appliance,
                    "The appliance is healthy",
                    "Reads the vault's list of replication appliances.",
                    Action::Find {
                        list: ResourceId::new(format!("{vault}/replicationAppliances")),
                        condition: vec![Expect::equal(
                            "/properties/providerSpecificDetails/appliances/*/processServer/health",
                            "Normal",
                        )],
                        wait: true,
                        facts: vec![],
                        otherwise: "Open the vault, Site Recovery infrastructure, and look at the appliance's components.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("An unhealthy appliance lets replication start and then lag.")
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "check-container",
                    &d.vault,
                    "The protection container is there",
                    "Reads the container that the registration made.",
                    Action::Find {
                        list: ResourceId::new("${asr.fabric}/replicationProtectionContainers"),
                        condition: vec![Expect::present("/id")],
                        wait: true,
                        facts: vec![fact("asr.container", "/id")],
                        otherwise: "The registration isn't finished yet.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("Replicated items live in it."),
                task(
                    5,
                    "check-machine",
                    &d.web_vm,
                    &format!("{} was discovered", d.web_vm),
                    "Waits until the appliance has discovered the VM through vCenter.",
                    Action::Find {
                        list: ResourceId::new("${asr.site}/machines"),
                        condition: vec![Expect::equal("/properties/displayName", d.web_vm.as_str())],
                        wait: true,
                        facts: vec![fact("asr.machine", "/id"), fact("asr.machineName", "/name")],
                        otherwise: "Discovery takes 15 minutes or more. If it stays empty, check vCenter address and account in the appliance.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("Only discovered machines can be replicated.")
                .secs(900, 1800, "scenario: 15 minutes or more")
                .nodes(&[format!("vm/{}", d.web_vm), appliance.clone()]),
                task(
                    5,
                    "check-account",
                    &d.mobility_account,
                    "The appliance knows the Mobility account",
                    "Looks for the account among those entered in the appliance.",
                    Action::Find {
                        list: ResourceId::new("${asr.site}/runAsAccounts"),
                        condition: vec![Expect::equal("/properties/displayName", d.mobility_account.as_str())],
                        wait: true,
                        facts: vec![fact("asr.mobilityAccount", "/id")],
                        otherwise: format!("Add the account {} in the appliance's configuration manager.", d.mobility_account),
                    },
                )
                .after(&["5/person/register-appliance", "4/person/mobility-account"])
                .why("Without it the Mobility service can't be installed by push.")
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "policy",
                    &d.policy,
                    &format!("Replication policy {}", d.policy),
                    "Creates the policy: recovery points kept 24 hours, application-consistent snapshots every 60 minutes.",
                    put(
                        policy.clone(),
                        json!({ "properties": { "providerSpecificInput": {
                            "instanceType": "InMageRcm", "recoveryPointHistoryInMinutes": 1440,
                            "crashConsistentFrequencyInMinutes": 5, "appConsistentFrequencyInMinutes": 60,
                            "enableMultiVmSync": "false" } } }),
                    ),
                )
                .after(&[&format!("3/vault/{}", d.vault)])
                .why("It says how often recovery points are made and how long they are kept; these are the scenario's defaults.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Delete the policy (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
                task(
                    5,
                    "mapping",
                    &d.policy,
                    "Associate the policy with the appliance",
                    "Maps the protection container of the appliance to Azure with this policy.",
                    put(
                        ResourceId::new("${asr.container}").child("replicationProtectionContainerMappings", &format!("{}-mapping", d.policy)),
                        // InMageRcm has no input of its own here: the base type's name, as in Microsoft's example.
                        json!({ "properties": { "targetProtectionContainerId": "Microsoft Azure", "policyId": policy,
                            "providerSpecificInput": { "instanceType": "ReplicationProviderSpecificContainerMappingInput" } } }),
                    ),
                )
                .after(&[&format!("5/policy/{}", d.policy), &format!("5/check-container/{}", d.vault)])
                .why("A policy works only where it is mapped.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Remove the mapping (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault), appliance]),
                task(
                    5,
                    "protect",
                    &d.web_vm,
                    &format!("Enable replication of {}", d.web_vm),
                    "Installs the Mobility service by push and starts replicating the VM's disks.",
                    Action::Put {
                        id: self.item(),
                        body: json!({ "properties": { "policyId": policy, "providerSpecificDetails": {
                            "instanceType": "InMageRcm", "fabricDiscoveryMachineId": "${asr.machine}",
                            "processServerId": "${asr.processServer}", "runAsAccountId": "${asr.mobilityAccount}",
                            "targetResourceGroupId": self.target, "targetNetworkId": self.vnet(&d.prod_network),
                            "targetSubnetName": d.prod_frontend_subnet, "testNetworkId": self.vnet(&d.test_network),
                            "testSubnetName": d.test_subnet, "targetVmName": d.web_vm, "targetVmSize": d.web_vm_size,
                            "licenseType": "NoLicenseType",
                            "disksDefault": { "diskType": "Premium_LRS", "logStorageAccountId": self.account(&d.cache_account) } } } }),
                        facts: vec![fact("asr.item", "/id")],
                        follow: self.job(),
                    },
                )
                .after(&[
                    &format!("5/mapping/{}", d.policy),
                    &format!("5/check-machine/{}", d.web_vm),
                    &format!("5/check-account/{}", d.mobility_account),
                    &format!("5/check-appliance/{}", d.appliance),
                    &format!("5/check-capacity/{}", d.vault),
                    &format!("3/storage/{}", d.cache_account),
                    &format!("3/check-subnet/{}", d.prod_frontend_subnet),
                    &format!("3/vnet/{}", d.test_network),
                    &format!("3/check-size/{}", d.web_vm_size),
                    &format!("1/group/{}", d.target_group),
                    "4/readiness/san",
                ])
                .why("From here on every change on WEBVM is sent to Azure; the VM goes on working.")
                .secs(720, 1800, NOT_PUBLISHED)
                .cost("Site Recovery per instance, plus storage of the replica disks.")
                .back("Disable replication; the Mobility service can be uninstalled.")
                .nodes(&flow),
                task(
                    5,
                    "replicate",
                    &d.web_vm,
                    &format!("Initial replication of {}", d.web_vm),
                    "Follows the first copy of the disks until the item is protected.",
                    Action::Check {
                        id: self.item(),
                        condition: vec![Expect::equal("/properties/protectionState", "Protected")],
                        absent: false,
                        wait: true,
                        facts: vec![],
                        follow: Follow::Resource {
                            percent: "/properties/providerSpecificDetails/initialReplicationProgressPercentage".into(),
                            text: vec!["/properties/protectionStateDescription".into(), "/properties/replicationHealth".into()],
                        },
                        otherwise: "Initial replication goes on.".into(),
                    },
                )
                .after(&[&format!("5/protect/{}", d.web_vm)])
                .why("A test or failover needs a complete first copy.")
                .secs(5700, 14_400, "depends on disk size and bandwidth; assumed for 60 GB")
                .back("Disable replication.")
                .nodes(&flow),
                task(
                    5,
                    "recovery-point",
                    &d.web_vm,
                    "Finalize protection: first recovery point",
                    "Waits for the first recovery point.",
                    Action::Check {
                        id: self.item(),
                        condition: vec![
                            Expect::equal("/properties/allowedOperations/*", "TestFailover"),
                            Expect::present("/properties/providerSpecificDetails/lastRecoveryPointId"),
                        ],
                        absent: false,
                        wait: true,
                        facts: vec![fact("asr.recoveryPoint", "/properties/providerSpecificDetails/lastRecoveryPointId")],
                        follow: Follow::Resource {
                            percent: String::new(),
                            text: vec!["/properties/providerSpecificDetails/lastRecoveryPointReceived".into()],
                        },
                        otherwise: "The first recovery point comes within the policy's frequency.".into(),
                    },
                )
                .after(&[&format!("5/replicate/{}", d.web_vm)])
                .why("After it the machine is ready for failover.")
                .secs(300, 900, "policy: crash-consistent points every 5 minutes")
                .nodes(&flow),
            ],
        )
    }

    /// Step 6: backup, Log Replay Service, database cutover.
    fn step6(&self) -> Step {
        let d = self.d;
        let account = self.account(&d.backup_account);
        let sql_node = format!("vm/{}", d.sql_vm);
        let store = format!("storage/{}", d.backup_account);
        let mi_node = format!("mi/{}", d.mi.name);
        let flow = [store.clone(), mi_node.clone(), "flow/restore".to_owned()];
        let blobs = |suffix: &str, fact: &str| Action::CheckBlobs {
            account: account.clone(),
            container: d.backup_container.clone(),
            suffix: suffix.into(),
            min: 1,
            fact: fact.into(),
        };
        let follow = |until: &str| Action::FollowLogReplay {
            database: self.database(),
            until_fact: until.into(),
        };
        step(
            6,
            "Migrate the database",
            vec![
                task(
                    6,
                    "person",
                    "full-backup",
                    &format!("Back up {} to Azure", d.database),
                    "Waits until a full backup has arrived in the container.",
                    blobs("_full_01.bak", "db.fullBackup"),
                )
                .after(&["2/sas/backup"])
                .why("Log Replay Service restores backups; it never takes one itself.")
                .secs(2280, 86_400, "depends on the database's size; assumed for 42 GB")
                .back("Delete the backups in the container; the source is unchanged.")
                .person(
                    "database administrator",
                    &[
                        format!("Sign in to {} with SQL Server Management Studio as a member of sysadmin.", d.sql_vm),
                        format!("Make sure that {} uses the FULL recovery model.", d.database),
                        "Copy the script (it holds a SAS, handle it as a password) and run it. CHECKSUM and COMPRESSION are required.".into(),
                        "Schedule the log backup of the script every 15 minutes until the cutover.".into(),
                    ],
                    Some(Script {
                        language: "sql".into(),
                        run_on: d.sql_vm.clone(),
                        text: scripts::full_backup(&d.database, &d.backup_account, &d.backup_container),
                    }),
                )
                .nodes(&[sql_node.clone(), store.clone(), "flow/backup".into()]),
                task(
                    6,
                    "log-replay",
                    &d.database,
                    "Start Log Replay Service",
                    &format!("Starts restoring {} from the container onto {}.", d.database, d.mi.name),
                    Action::StartLogReplay {
                        database: self.database(),
                        location: d.location.clone(),
                        account: account.clone(),
                        container: d.backup_container.clone(),
                        sas: "restore".into(),
                    },
                )
                .after(&["6/person/full-backup", "2/sas/restore", &format!("1/managed-instance/{}", d.mi.name)])
                .why("It replays full and log backups as they arrive, until the cutover.")
                .secs(30, 300, NOT_PUBLISHED)
                .back("Stop the restore and delete the database on the managed instance. The source is untouched.")
                .nodes(&flow),
                task(
                    6,
                    "restore",
                    "full",
                    "Restore the full backup",
                    "Follows the restore until the full backup is on the managed instance.",
                    follow("db.fullBackup"),
                )
                .after(&[&format!("6/log-replay/{}", d.database)])
                .why("The long part is done before the change window.")
                .secs(2100, 3600, "depends on the database's size; assumed for 42 GB")
                .back("Stop the restore and delete the database on the managed instance.")
                .nodes(&flow),
                task(
                    6,
                    "person",
                    "log-backup",
                    "Log backups arrive",
                    "Waits for the first log backup in the container.",
                    blobs(".trn", "db.logBackup"),
                )
                .after(&["6/person/full-backup"])
                .why("With logs shipped continuously, the cutover needs only the tail.")
                .secs(900, 3600, "a log backup every 15 minutes")
                .person(
                    "database administrator",
                    &[
                        "Let the log backup of the script run every 15 minutes (SQL Server Agent job).".into(),
                        "Don't run other log backups of this database: they would break the chain.".into(),
                    ],
                    Some(Script {
                        language: "sql".into(),
                        run_on: d.sql_vm.clone(),
                        text: scripts::log_backup(&d.database, &d.backup_account, &d.backup_container),
                    }),
                )
                .nodes(&[sql_node.clone(), store.clone(), "flow/backup".into()]),
                task(6, "restore", "logs", "Replay the log backups", "Follows the restore until the first log backup is replayed.", follow("db.logBackup"))
                    .after(&["6/restore/full", "6/person/log-backup"])
                    .why("It proves that the log chain is unbroken before the change window.")
                    .secs(120, 900, NOT_PUBLISHED)
                    .nodes(&flow),
                task(
                    6,
                    "check-stopped",
                    &d.web_vm,
                    "The web site on-premises is stopped",
                    &format!("Waits until the failover has shut down {} in vCenter.", d.web_vm),
                    Action::CheckPower { vm: d.web_vm.clone(), state: "poweredOff".into() },
                )
                .after(&["7/gate/cutover"])
                .why("Nothing may write to the database after the last backup.")
                .secs(240, 900, "shutdown is the failover's first part")
                .nodes(&[format!("vm/{}", d.web_vm)]),
                task(
                    6,
                    "person",
                    "tail-backup",
                    "Take the tail-log backup",
                    "Waits until the last log backup has arrived in the container.",
                    blobs("_tail.trn", "db.tailBackup"),
                )
                .after(&[&format!("6/check-stopped/{}", d.web_vm), "6/restore/logs"])
                .why("It holds the last transactions and leaves the source in RESTORING, so that nobody writes to it by mistake.")
                .secs(180, 3600, "a person's time")
                .back(&format!("RESTORE DATABASE [{}] WITH RECOVERY brings the source back to life.", d.database))
                .person(
                    "database administrator",
                    &[
                        "Stop the scheduled log backups.".into(),
                        "Copy the script and run it now: it backs up the tail of the log WITH NORECOVERY.".into(),
                    ],
                    Some(Script {
                        language: "sql".into(),
                        run_on: d.sql_vm.clone(),
                        text: scripts::tail_backup(&d.database, &d.backup_account, &d.backup_container),
                    }),
                )
                .nodes(&[sql_node, store, "flow/backup".into()]),
                task(6, "restore", "tail", "Replay the tail-log backup", "Follows the restore until the last file is replayed.", follow("db.tailBackup"))
                    .after(&["6/person/tail-backup"])
                    .why("The cutover is refused before the last backup is restored.")
                    .secs(120, 900, NOT_PUBLISHED)
                    .nodes(&flow),
                task(
                    6,
                    "complete",
                    &d.database,
                    "Cut over the database",
                    "Ends Log Replay Service; the database comes online on the managed instance.",
                    Action::CompleteLogReplay { database: self.database(), last_file_fact: "db.tailBackup".into() },
                )
                .after(&["6/restore/tail"])
                .why("Until then the database can't be read or written.")
                .secs(120, 600, NOT_PUBLISHED)
                .back("Changes made on the managed instance from now on are lost when going back to the source.")
                .no_return()
                .nodes(&flow),
                task(
                    6,
                    "check-database",
                    &d.database,
                    &format!("{} is online", d.database),
                    "Reads the database on the managed instance.",
                    Action::Check {
                        id: self.database(),
                        condition: vec![Expect::equal("/properties/status", "Online")],
                        absent: false,
                        wait: true,
                        facts: vec![],
                        follow: Follow::Operation,
                        otherwise: "The database is not online yet.".into(),
                    },
                )
                .after(&[&format!("6/complete/{}", d.database)])
                .why("The scenario verifies that the target database exists on the instance.")
                .nodes(&[mi_node]),
            ],
        )
    }

    /// Step 7: test failover, failover, connection string, commit.
    fn step7(&self) -> Step {
        let d = self.d;
        let item = self.item();
        let plan = self.recovery_plan();
        let test_vm = format!("{}-test", d.web_vm);
        let azure_node = format!("azvm/{}", d.web_vm);
        let test_node = format!("azvm/{test_vm}");
        let runs = |name: &str, otherwise: &str| {
            let id = self.azure_vm(name);
            Action::Check {
                id: ResourceId::new(format!("{id}?$expand=instanceView")),
                condition: vec![
                    Expect::equal("/properties/provisioningState", "Succeeded"),
                    Expect::equal("/properties/instanceView/statuses/*/code", "PowerState/running"),
                    Expect::equal("/properties/hardwareProfile/vmSize", d.web_vm_size.as_str()),
                    Expect::equal("/properties/instanceView/vmAgent/statuses/*/displayStatus", "Ready"),
                    // Comes minutes after the start, and run commands are refused before.
                    Expect::equal(
                        "/properties/instanceView/vmAgent/statuses/*/code",
                        "ProvisioningState/succeeded",
                    ),
                ],
                absent: false,
                wait: true,
                facts: vec![fact(
                    &format!("nic.{name}"),
                    "/properties/networkProfile/networkInterfaces/0/id",
                )],
                follow: Follow::Operation,
                otherwise: otherwise.into(),
            }
        };
        let nic = |name: &str, network: &str, subnet: &str| {
            exists(
                ResourceId::new(format!("${{nic.{name}}}")),
                vec![Expect {
                    at: "/properties/ipConfigurations/*/properties/subnet/id".into(),
                    is: Is::Equal(json!(self.vnet(network).child("subnets", subnet))),
                }],
                "The VM is connected to another subnet. Correct the target network of the replicated item and fail over again.",
            )
        };
        let command =
            |name: &str, title: &str, what: &str, script: String, parameters: Vec<Parameter>, expect: &[&str]| {
                task(
                    7,
                    "run-command",
                    name,
                    title,
                    what,
                    Action::RunCommand {
                        vm: self.azure_vm(&d.web_vm),
                        name: format!("rehost-{name}-{}", d.application.to_ascii_lowercase()),
                        location: d.location.clone(),
                        script,
                        parameters,
                        expect: expect.iter().map(|e| (*e).to_owned()).collect(),
                    },
                )
                .secs(30, 300, "learn.microsoft.com: at least 20 seconds")
                .nodes(std::slice::from_ref(&azure_node))
            };
        let plain = |name: &str, value: &str| Parameter {
            name: name.into(),
            value: value.into(),
            protected: false,
        };
        step(
            7,
            "Migrate the VM",
            vec![
                task(
                    7,
                    "test-failover",
                    &d.web_vm,
                    "Run the test failover",
                    &format!("Creates {test_vm} from the latest recovery point in {}.", d.test_network),
                    Action::Post {
                        id: item.clone(),
                        verb: "testFailover".into(),
                        body: Some(json!({ "properties": { "failoverDirection": "PrimaryToRecovery", "networkType": "VmNetworkAsInput",
                            "networkId": self.vnet(&d.test_network),
                            "providerSpecificDetails": { "instanceType": "InMageRcm", "networkId": self.vnet(&d.test_network), "recoveryPointId": "${asr.recoveryPoint}" } } })),
                        observe: item.clone(),
                        done: vec![Expect::one_of("/properties/testFailoverState", &["WaitingForCompletion", "WaitingForCleanup"])],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "TestFailover")]),
                        allowed: Some(vec![Expect::equal("/properties/allowedOperations/*", "TestFailover")]),
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&format!("5/recovery-point/{}", d.web_vm)])
                .why("It proves that the VM boots in Azure, without touching the one on-premises.")
                .secs(540, 1200, NOT_PUBLISHED)
                .cost("A VM of the target size while the test runs.")
                .back("Clean up the test failover.")
                .nodes(std::slice::from_ref(&test_node)),
                task(7, "check-vm", &test_vm, "The test VM runs", "Reads size, state and agent of the test VM.", runs(&test_vm, "The test VM is not running yet."))
                    .after(&[&format!("7/test-failover/{}", d.web_vm)])
                    .why("The scenario checks that the VM has the right size and runs.")
                    .secs(150, 600, NOT_PUBLISHED)
                    .nodes(std::slice::from_ref(&test_node)),
                task(7, "check-nic", &test_vm, "The test VM is in the test network", "Reads the VM's network interface.", nic(&test_vm, &d.test_network, &d.test_subnet))
                    .after(&[&format!("7/check-vm/{test_vm}")])
                    .why("In any other network the copy could answer for the real WEBVM.")
                    .nodes(std::slice::from_ref(&test_node)),
                task(7, "check-boot", &test_vm, "The test VM shows its sign-in screen", "Reads the boot diagnostics: screenshot and serial log.", Action::CheckBoot { vm: self.azure_vm(&test_vm) })
                    .after(&[&format!("7/check-vm/{test_vm}")])
                    .why("The screenshot shows whether Windows came up.")
                    .nodes(std::slice::from_ref(&test_node)),
                task(
                    7,
                    "gate",
                    "test",
                    &format!("Is the test failover of {} good?", d.web_vm),
                    "A person looks at the test VM and decides.",
                    gate(
                        &format!("Is the test failover of {} good?", d.web_vm),
                        "The test VM is deleted, and the cutover may be started.",
                        "The run stops before the cutover; the test VM stays for a look.",
                        "The test VM runs in an isolated network. Nothing on-premises has changed.",
                    ),
                )
                .after(&[&format!("7/check-nic/{test_vm}"), &format!("7/check-boot/{test_vm}")])
                .why("Only a person can say that the application behaves.")
                .secs(600, 86_400, "a person's time")
                .nodes(std::slice::from_ref(&test_node)),
                task(
                    7,
                    "test-cleanup",
                    &d.web_vm,
                    "Clean up the test failover",
                    "Deletes the test VM and records the observations.",
                    Action::Post {
                        id: item.clone(),
                        verb: "testFailoverCleanup".into(),
                        body: Some(json!({ "properties": { "comments": "Accepted in Rehost." } })),
                        observe: item.clone(),
                        done: vec![Expect::equal("/properties/testFailoverState", "None")],
                        running: Some(vec![Expect::equal("/properties/testFailoverState", "MarkedForDeletion")]),
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&["7/gate/test"])
                .why("A failover is refused while a test is open, and the test VM costs money.")
                .secs(240, 900, NOT_PUBLISHED)
                .back("Run another test failover.")
                .nodes(std::slice::from_ref(&test_node)),
                task(
                    7,
                    "recovery-plan",
                    &d.recovery_plan,
                    &format!("Recovery plan {}", d.recovery_plan),
                    &format!("Creates the recovery plan with {} in its boot group.", d.web_vm),
                    put(
                        plan.clone(),
                        json!({ "properties": { "primaryFabricId": "${asr.fabric}", "recoveryFabricId": "Microsoft Azure", "failoverDeploymentModel": "ResourceManager",
                            "groups": [{ "groupType": "Boot", "replicationProtectedItems": [{ "id": "${asr.item}", "virtualMachineId": "${asr.machineName}" }], "startGroupActions": [], "endGroupActions": [] }] } }),
                    ),
                )
                .after(&[&format!("5/recovery-point/{}", d.web_vm)])
                .why("The failover runs on the plan, so that more VMs can be added in order.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Delete the plan (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
                task(
                    7,
                    "gate",
                    "cutover",
                    "Cut over now?",
                    "A person starts the change window.",
                    gate(
                        "Cut over now?",
                        "WEBVM is shut down on-premises and started in Azure.",
                        "Nothing changes, replication goes on; choose Retry when the window opens.",
                        "Replication and database are up to date. From here the application is down until the site answers from Azure.",
                    ),
                )
                .after(&[
                    &format!("7/test-cleanup/{}", d.web_vm),
                    &format!("7/recovery-plan/{}", d.recovery_plan),
                    "6/restore/logs",
                    &format!("1/check-peering/{}", d.mi.network),
                    "4/readiness/rdp",
                    "4/readiness/firewall",
                    "4/readiness/updates",
                    "4/readiness/reboot",
                ])
                .why("The application stops; that moment belongs to a person.")
                .secs(600, 604_800, "a person's time")
                .nodes(&[format!("vm/{}", d.web_vm), azure_node.clone()]),
                task(
                    7,
                    "failover",
                    &d.web_vm,
                    &format!("Fail over {}", d.web_vm),
                    "Shuts the VM down on-premises, sends the last changes and starts it in Azure from the latest recovery point.",
                    Action::Post {
                        id: plan.clone(),
                        verb: "unplannedFailover".into(),
                        body: Some(json!({ "properties": { "failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "Required",
                            "providerSpecificDetails": [{ "instanceType": "InMageRcm", "recoveryPointType": "Latest" }] } })),
                        observe: item.clone(),
                        done: vec![Expect::equal("/properties/activeLocation", "Recovery")],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "UnplannedFailover")]),
                        allowed: Some(vec![Expect::equal("/properties/allowedOperations/*", "UnplannedFailover")]),
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&["7/gate/cutover"])
                .why("This is the migration of the web tier.")
                .secs(840, 1800, NOT_PUBLISHED)
                .cost("The VM in Azure is charged from now on.")
                .back("Power WEBVM on again in vCenter and delete the Azure VM; until commit another recovery point can be chosen.")
                .no_return()
                .nodes(&[format!("vm/{}", d.web_vm), azure_node.clone(), "flow/replication".into()]),
                task(7, "check-vm", &d.web_vm, &format!("{} runs in Azure", d.web_vm), "Reads size, state and agent of the Azure VM.", runs(&d.web_vm, "The VM is not running yet."))
                    .after(&[&format!("7/failover/{}", d.web_vm)])
                    .why("The scenario checks that the VM appears as expected.")
                    .secs(150, 600, NOT_PUBLISHED)
                    .nodes(std::slice::from_ref(&azure_node)),
                task(7, "check-nic", &d.web_vm, &format!("{} is in {}", d.web_vm, d.prod_frontend_subnet), "Reads the VM's network interface.", nic(&d.web_vm, &d.prod_network, &d.prod_frontend_subnet))
                    .after(&[&format!("7/check-vm/{}", d.web_vm)])
                    .why("Only there it reaches the database and is reached by its users.")
                    .nodes(&[azure_node.clone(), format!("subnet/{}", d.prod_frontend_subnet)]),
                task(7, "check-boot", &d.web_vm, &format!("{} shows its sign-in screen", d.web_vm), "Reads the boot diagnostics: screenshot and serial log.", Action::CheckBoot { vm: self.azure_vm(&d.web_vm) })
                    .after(&[&format!("7/check-vm/{}", d.web_vm)])
                    .why("The screenshot shows whether Windows came up.")
                    .nodes(std::slice::from_ref(&azure_node)),
                command(
                    "switch-connection",
                    "Switch the connection string",
                    "Backs up web.config and points it at the managed instance.",
                    scripts::switch_connection(),
                    vec![
                        plain("Path", &d.web_config),
                        plain("Name", &d.connection_string_name),
                        Parameter { name: "ConnectionString".into(), value: format!("${{connection:{}}}", d.database), protected: true },
                    ],
                    &["backup=ok", "changed=1"],
                )
                .after(&[&format!("7/check-nic/{}", d.web_vm), &format!("6/check-database/{}", d.database)])
                .why("The application must use the migrated database.")
                .back("Copy web.config.rehost-backup back over web.config and run IISRESET."),
                command("iisreset", "IISRESET /RESTART", "Restarts IIS in the VM.", scripts::iisreset(), vec![], &["iisreset=ok"])
                    .after(&["7/run-command/switch-connection"])
                    .why("IIS reads the new connection string when it restarts.")
                    .back("Nothing to take back."),
                command("probe", "The site answers from Azure", "Asks the site from inside the VM and expects status 200.", scripts::probe(), vec![], &["http=200"])
                    .after(&["7/run-command/iisreset", &format!("7/check-boot/{}", d.web_vm)])
                    .why("It proves VM, network, IIS and database together."),
                task(
                    7,
                    "commit",
                    &d.web_vm,
                    "Commit the failover",
                    "Commits the failover on the recovery plan; other recovery points are given up.",
                    Action::Post {
                        id: plan,
                        verb: "failoverCommit".into(),
                        body: None,
                        observe: item,
                        done: vec![Expect::equal("/properties/protectionState", "UnplannedFailoverCommitted")],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "CommitFailover")]),
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&["7/run-command/probe"])
                .why("It completes the migration of the VM.")
                .secs(120, 600, NOT_PUBLISHED)
                .back("None: WEBVM on-premises can still be powered on, but Site Recovery can't go to another recovery point.")
                .no_return()
                .nodes(&[azure_node, format!("vault/{}", d.vault)]),
                task(
                    7,
                    "shutdown",
                    &d.sql_vm,
                    &format!("Shut down {}", d.sql_vm),
                    "Shuts the guest down through VMware Tools.",
                    Action::ShutDownVm { vm: d.sql_vm.clone() },
                )
                .after(&[&format!("7/commit/{}", d.web_vm)])
                .why("The application uses the managed instance; the old server must not be used by mistake.")
                .secs(90, 300, NOT_PUBLISHED)
                .back("Power it on again in vCenter.")
                .nodes(&[format!("vm/{}", d.sql_vm)]),
                task(7, "check-power", &d.web_vm, &format!("{} on-premises is off", d.web_vm), "Reads the power state in vCenter.", Action::CheckPower { vm: d.web_vm.clone(), state: "poweredOff".into() })
                    .after(&[&format!("7/commit/{}", d.web_vm)])
                    .why("Two machines with one name must never run at the same time.")
                    .nodes(&[format!("vm/{}", d.web_vm)]),
            ],
        )
    }

    /// Step 8, which the scenario leaves open: everything temporary goes, and the ledger proves it.
    fn step8(&self) -> Step {
        let d = self.d;
        let vault = self.vault();
        let account = self.account(&d.backup_account);
        let end = format!("7/shutdown/{}", d.sql_vm);
        let end_web = format!("7/check-power/{}", d.web_vm);
        let delete = |kind: &str, id: ResourceId, title: &str, what: &str, why: &str| {
            let name = id.name().to_owned();
            task(8, kind, &name, title, what, Action::Delete { id, always: false })
                .why(why)
                .secs(10, 60, NOT_PUBLISHED)
                .back("Run the task of the earlier step again.")
        };
        let retired = |vm: &str| format!("{vm}-migrated");
        let rename = |vm: &str| {
            task(
                8,
                "rename",
                vm,
                &format!("Rename {vm} to {}", retired(vm)),
                "Marks the powered-off source VM as retired.",
                Action::RenameVm {
                    vm: vm.into(),
                    to: retired(vm),
                },
            )
            .after(&[&end, &end_web])
            .why("Nobody powers on a VM by mistake whose name says that it was migrated.")
            .secs(3, 15, "one vCenter task")
            .back("Rename it back.")
            .nodes(&[format!("vm/{vm}")])
        };
        let destroy = |vm: &str| {
            task(
                8,
                "remove-vm",
                vm,
                &format!("Remove {} from vCenter", retired(vm)),
                "Deletes the source VM with its disks.",
                Action::DestroyVm { vm: retired(vm) },
            )
            .after(&["8/gate/remove-source"])
            .why("The scenario ends with decommissioned VMs.")
            .secs(30, 300, "one vCenter task")
            .back("None: restore it from a backup.")
            .no_return()
            .nodes(&[format!("vm/{vm}")])
        };
        let command = |name: &str| {
            let id = self.azure_vm(&d.web_vm).child(
                "runCommands",
                &format!("rehost-{name}-{}", d.application.to_ascii_lowercase()),
            );
            let full = id.name().to_owned();
            task(
                8,
                "run-command",
                &full,
                &format!("Delete run command {name}"),
                "Deletes the finished run command from the VM.",
                Action::Delete { id, always: false },
            )
            .after(&[&end])
            .why("A VM keeps finished run commands until they are deleted.")
            .secs(15, 60, NOT_PUBLISHED)
            .nodes(&[format!("azvm/{}", d.web_vm)])
        };
        let vault_node = [format!("vault/{}", d.vault)];
        step(
            8,
            "Clean up",
            vec![
                task(
                    8,
                    "stop-replication",
                    &d.web_vm,
                    &format!("Stop replication of {}", d.web_vm),
                    "Removes the replicated item with the reason Migration complete.",
                    Action::Post {
                        id: self.item(),
                        verb: "remove".into(),
                        body: Some(json!({ "properties": { "disableProtectionReason": "MigrationComplete",
                            "replicationProviderInput": { "instanceType": "DisableProtectionProviderSpecificInput" } } })),
                        observe: self.item(),
                        done: vec![],
                        running: Some(vec![Expect::equal("/properties/protectionState", "DisablingProtection")]),
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&end, &end_web, &format!("8/recovery-plan/{}", d.recovery_plan)])
                .why("It ends Site Recovery's billing for the VM.")
                .secs(180, 900, NOT_PUBLISHED)
                .back("Enable replication again; it starts from the beginning.")
                .nodes(&vault_node),
                delete("recovery-plan", self.recovery_plan(), "Delete the recovery plan", "Deletes the plan; its item stays.", "An item in a recovery plan can't be removed.")
                    .after(&[&end, &end_web])
                    .nodes(&vault_node),
                task(
                    8,
                    "mapping",
                    &d.policy,
                    "Remove the policy's mapping",
                    "Removes the association of policy and appliance.",
                    Action::Post {
                        id: ResourceId::new("${asr.container}").child("replicationProtectionContainerMappings", &format!("{}-mapping", d.policy)),
                        verb: "remove".into(),
                        body: Some(json!({ "properties": { "providerSpecificInput": { "instanceType": "InMageRcm" } } })),
                        observe: ResourceId::new("${asr.container}").child("replicationProtectionContainerMappings", &format!("{}-mapping", d.policy)),
                        done: vec![],
                        running: None,
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&format!("8/stop-replication/{}", d.web_vm)])
                .why("A mapped policy can't be deleted.")
                .secs(30, 120, NOT_PUBLISHED)
                .nodes(&vault_node),
                delete("policy", vault.child("replicationPolicies", &d.policy), "Delete the replication policy", "Deletes the policy.", "Nothing uses it any more.")
                    .after(&[&format!("8/mapping/{}", d.policy)])
                    .nodes(&vault_node),
                task(
                    8,
                    "remove-fabric",
                    &d.appliance,
                    "Unregister the replication appliance",
                    "Removes the appliance's infrastructure from the vault.",
                    Action::Post {
                        id: ResourceId::new("${asr.fabric}"),
                        verb: "removeInfra".into(),
                        body: None,
                        observe: ResourceId::new("${asr.fabric}"),
                        done: vec![],
                        running: None,
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&format!("8/policy/{}", d.policy)])
                .why("A vault with a registered appliance can't be deleted.")
                .secs(60, 600, NOT_PUBLISHED)
                .back("Register the appliance again.")
                .nodes(&[format!("appliance/{}", d.appliance)]),
                task(
                    8,
                    "vault",
                    &d.vault,
                    &format!("Delete the vault {}", d.vault),
                    "Deletes the empty vault.",
                    Action::Delete { id: vault.clone(), always: false },
                )
                .after(&[&format!("8/remove-fabric/{}", d.appliance)])
                .why("It was made for this migration only.")
                .secs(30, 300, NOT_PUBLISHED)
                .nodes(&vault_node),
                delete("cache", self.account(&d.cache_account), &format!("Delete {}", d.cache_account), "Deletes the cache account.", "Only replication used it.")
                    .after(&[&format!("8/vault/{}", d.vault)])
                    .nodes(&[format!("storage/{}", d.cache_account)]),
                task(
                    8,
                    "rotate-key",
                    &d.backup_account,
                    "End both SAS",
                    "Rotates the key that signed them and proves that they are refused.",
                    Action::RotateKey { account: account.clone(), container: d.backup_container.clone(), key: "key1".into(), sas: "restore".into() },
                )
                .after(&[&format!("6/check-database/{}", d.database), &end])
                .why("A SAS can't be recalled in any other way.")
                .secs(5, 30, "three requests")
                .back("Sign a new SAS.")
                .nodes(&[format!("storage/{}", d.backup_account)]),
                delete(
                    "container",
                    account.child("blobServices", "default").child("containers", &d.backup_container),
                    "Delete the backups",
                    "Deletes the container with all backups.",
                    "They hold all data of the database.",
                )
                .after(&[&format!("8/rotate-key/{}", d.backup_account)])
                .nodes(&[format!("storage/{}", d.backup_account)]),
                delete("backup-account", account, &format!("Delete {}", d.backup_account), "Deletes the account that received the backups.", "Nothing uses it any more.")
                    .after(&[&format!("8/container/{}", d.backup_container)])
                    .nodes(&[format!("storage/{}", d.backup_account)]),
                delete("test-network", self.vnet(&d.test_network), &format!("Delete {}", d.test_network), "Deletes the network of the test failover.", "Only the test used it.")
                    .after(&[&end])
                    .nodes(&[format!("net/{}", d.test_network)]),
                command("switch-connection"),
                command("iisreset"),
                command("probe"),
                task(8, "dms", "instance", "Remove the DMS instance", "Is part of a migration with DMS.", Action::NotNeeded { reason: "Log Replay Service was used; there is no DMS to remove.".into() })
                    .secs(0, 0, "nothing is done"),
                task(
                    8,
                    "permission",
                    &d.datacenter,
                    "Take the role from the discovery account",
                    &format!("Removes the permission of {} on {}.", d.vcenter_principal, d.datacenter),
                    Action::RevokeRole { principal: d.vcenter_principal.clone(), datacenter: d.datacenter.clone() },
                )
                .after(&[&format!("8/remove-fabric/{}", d.appliance)])
                .why("Temporary rights must not stay.")
                .nodes(&["vcenter/vcenter".into()]),
                task(8, "role", &d.vcenter_role, &format!("Remove the role {}", d.vcenter_role), "Removes the role from vCenter.", Action::RemoveRole { role: d.vcenter_role.clone() })
                    .after(&[&format!("8/permission/{}", d.datacenter)])
                    .why("Temporary rights must not stay.")
                    .nodes(&["vcenter/vcenter".into()]),
                rename(&d.web_vm),
                rename(&d.sql_vm),
                task(
                    8,
                    "gate",
                    "inventories",
                    "Are inventories and documents updated?",
                    "A person confirms that the records are true again.",
                    gate(
                        "Are inventories and documents updated?",
                        "Inventories and documents name the new machines.",
                        "The source VMs are kept; choose Retry when it is done.",
                        "CMDB, monitoring, backup jobs, DNS records and run books should name the Azure VM and the managed instance.",
                    ),
                )
                .after(&[&format!("8/rename/{}", d.web_vm), &format!("8/rename/{}", d.sql_vm)])
                .why("Only people know every list in which the old machines stand.")
                .secs(3600, 604_800, "a person's time"),
                task(
                    8,
                    "keep",
                    "source",
                    &format!("Keep the source VMs {} days", d.keep_source_days),
                    "Waits until the agreed time after the rename has passed.",
                    Action::WaitDays { since: Address::new(8, "rename", &d.sql_vm), days: d.keep_source_days },
                )
                .after(&[&format!("8/rename/{}", d.web_vm), &format!("8/rename/{}", d.sql_vm)])
                .why("Until then going back to the old machines stays possible.")
                .secs(u32::from(d.keep_source_days) * 86_400, u32::from(d.keep_source_days) * 86_400, "design")
                .nodes(&[format!("vm/{}", d.web_vm), format!("vm/{}", d.sql_vm)]),
                task(
                    8,
                    "gate",
                    "remove-source",
                    "Remove the source VMs for good?",
                    "The second approval: after it the machines on-premises are gone.",
                    gate(
                        "Remove the source VMs for good?",
                        "Both source VMs are deleted with their disks.",
                        "The source VMs stay, powered off and renamed.",
                        "The application has run in Azure all this time. Make sure that a backup of both machines exists.",
                    ),
                )
                .after(&["8/keep/source", "8/gate/inventories"])
                .why("Deleting machines needs a second approval.")
                .secs(600, 604_800, "a person's time")
                .nodes(&[format!("vm/{}", d.web_vm), format!("vm/{}", d.sql_vm)]),
                destroy(&d.web_vm),
                destroy(&d.sql_vm),
                task(
                    8,
                    "ledger",
                    "all",
                    "The ledger is balanced",
                    "Compares everything that this project created with what is still there.",
                    Action::CheckLedger {
                        keep: vec![
                            self.networking.clone(),
                            self.target.clone(),
                            self.failover.clone(),
                            self.networking.resource("Microsoft.Network/networkSecurityGroups", &d.mi.nsg),
                            self.networking.resource("Microsoft.Network/routeTables", &d.mi.route_table),
                            self.vnet(&d.mi.network),
                            self.mi(),
                            self.database(),
                            self.azure_vm(&d.web_vm),
                        ],
                    },
                )
                .after(&[
                    &format!("8/cache/{}", d.cache_account),
                    &format!("8/backup-account/{}", d.backup_account),
                    &format!("8/test-network/{}", d.test_network),
                    &format!("8/role/{}", d.vcenter_role),
                    &format!("8/remove-vm/{}", d.web_vm),
                    &format!("8/remove-vm/{}", d.sql_vm),
                    &format!("8/run-command/rehost-switch-connection-{}", d.application.to_ascii_lowercase()),
                    &format!("8/run-command/rehost-iisreset-{}", d.application.to_ascii_lowercase()),
                    &format!("8/run-command/rehost-probe-{}", d.application.to_ascii_lowercase()),
                ])
                .why("It proves to the change board that nothing temporary was left behind."),
            ],
        )
    }
}

/// Draws the design: what is there before, what will be there after, and what flows between.
pub fn diagram(d: &Design, inventory: &Inventory) -> Diagram {
    let mut nodes = Vec::new();
    let mut node =
        |id: String, kind: NodeKind, label: &str, detail: String, parent: Option<String>, before: bool, after: bool| {
            nodes.push(Node {
                id,
                kind,
                label: label.into(),
                detail,
                parent,
                before,
                after,
            });
        };
    let on = Some("site/onprem".to_owned());
    let az = Some("site/azure".to_owned());
    let vm_detail = |name: &str| {
        inventory.vm(name).map_or(String::new(), |v| {
            let system = v.guest_full_name.as_deref().unwrap_or_default();
            let system = system
                .split('(')
                .next()
                .unwrap_or_default()
                .replace("Microsoft Windows ", "")
                .replace(" or later", "")
                .trim()
                .to_owned();
            if system.is_empty() {
                format!("{} CPU", v.cpus)
            } else {
                format!("{system} · {} CPU", v.cpus)
            }
        })
    };
    let host = inventory
        .vm(&d.web_vm)
        .and_then(|v| v.host.clone())
        .unwrap_or_else(|| "ESXi".into());
    let host_id = format!("host/{host}");
    let net = |name: &str| format!("net/{name}");
    node(
        "site/onprem".into(),
        NodeKind::Site,
        "On-premises",
        d.datacenter.clone(),
        None,
        true,
        true,
    );
    node(
        "site/azure".into(),
        NodeKind::Site,
        "Azure",
        d.location_name.clone(),
        None,
        true,
        true,
    );
    node(
        "vcenter/vcenter".into(),
        NodeKind::VCenter,
        "vCenter Server",
        inventory.vcenter_name.clone(),
        on.clone(),
        true,
        true,
    );
    node(
        host_id.clone(),
        NodeKind::Host,
        host.split('.').next().unwrap_or(&host),
        "ESXi".into(),
        on.clone(),
        true,
        true,
    );
    for vm in [&d.web_vm, &d.sql_vm] {
        node(
            format!("vm/{vm}"),
            NodeKind::Vm,
            vm,
            vm_detail(vm),
            Some(host_id.clone()),
            true,
            false,
        );
    }
    node(
        format!("appliance/{}", d.appliance),
        NodeKind::Appliance,
        "Replication appliance",
        d.appliance.clone(),
        on.clone(),
        false,
        false,
    );
    node(
        "dc/contosodc1".into(),
        NodeKind::DomainController,
        "contosodc1",
        "domain controller".into(),
        on.clone(),
        true,
        true,
    );
    node(
        "vpn/onprem".into(),
        NodeKind::VpnDevice,
        "VPN device",
        "site-to-site tunnel".into(),
        on,
        true,
        true,
    );

    node(
        net(&d.prod_network),
        NodeKind::Network,
        &d.prod_network,
        String::new(),
        az.clone(),
        true,
        true,
    );
    node(
        format!("subnet/{}", d.prod_frontend_subnet),
        NodeKind::Subnet,
        &d.prod_frontend_subnet,
        "front end".into(),
        Some(net(&d.prod_network)),
        true,
        true,
    );
    node(
        format!("azvm/{}", d.web_vm),
        NodeKind::Vm,
        &d.web_vm,
        d.web_vm_size.clone(),
        Some(net(&d.prod_network)),
        false,
        true,
    );
    node(
        net(&d.test_network),
        NodeKind::Network,
        &d.test_network,
        d.test_space.to_string(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("azvm/{}-test", d.web_vm),
        NodeKind::Vm,
        &format!("{} · test copy", d.web_vm),
        d.test_subnet.clone(),
        Some(net(&d.test_network)),
        false,
        false,
    );
    node(
        net(&d.hub_network),
        NodeKind::Network,
        &d.hub_network,
        String::new(),
        az.clone(),
        true,
        true,
    );
    node(
        "gateway/hub".into(),
        NodeKind::Gateway,
        "VPN gateway",
        "gateway transit".into(),
        Some(net(&d.hub_network)),
        true,
        true,
    );
    node(
        net(&d.mi.network),
        NodeKind::Network,
        &d.mi.network,
        d.mi.network_space.to_string(),
        az.clone(),
        false,
        true,
    );
    node(
        format!("subnet/{}", d.mi.subnet),
        NodeKind::Subnet,
        &d.mi.subnet,
        format!("/{} · delegated · NSG · routes", d.mi.subnet_space.prefix_len()),
        Some(net(&d.mi.network)),
        false,
        true,
    );
    node(
        format!("mi/{}", d.mi.name),
        NodeKind::ManagedInstance,
        &d.mi.name,
        format!("GP {} vCores · {}", d.mi.vcores, d.database),
        Some(net(&d.mi.network)),
        false,
        true,
    );
    node(
        format!("vault/{}", d.vault),
        NodeKind::Vault,
        "Vault",
        d.vault.clone(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("storage/{}", d.cache_account),
        NodeKind::Storage,
        "Replication cache",
        d.cache_account.clone(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("storage/{}", d.backup_account),
        NodeKind::Storage,
        "Backups",
        d.backup_container.clone(),
        az.clone(),
        false,
        false,
    );
    let servers = d
        .dns
        .iter()
        .filter(|a| **a != rules::AZURE_RESOLVER)
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    node(
        "dns/contoso".into(),
        NodeKind::Dns,
        "DNS · CONTOSODC3 and 4",
        servers.join(" · "),
        az,
        true,
        true,
    );

    let edge = |id: &str, from: String, to: String, kind: EdgeKind, label: &str| Edge {
        id: id.into(),
        from,
        to,
        kind,
        label: label.into(),
    };
    let mi_net = net(&d.mi.network);
    Diagram {
        nodes,
        edges: vec![
            edge(
                "flow/replication",
                format!("vm/{}", d.web_vm),
                format!("appliance/{}", d.appliance),
                EdgeKind::Flow,
                "changes",
            ),
            edge(
                "flow/vault",
                format!("appliance/{}", d.appliance),
                format!("vault/{}", d.vault),
                EdgeKind::Flow,
                "replication",
            ),
            edge(
                "flow/backup",
                format!("vm/{}", d.sql_vm),
                format!("storage/{}", d.backup_account),
                EdgeKind::Flow,
                "backups",
            ),
            edge(
                "flow/restore",
                format!("storage/{}", d.backup_account),
                format!("mi/{}", d.mi.name),
                EdgeKind::Flow,
                "restore",
            ),
            edge(
                "link/vpn",
                "vpn/onprem".into(),
                "gateway/hub".into(),
                EdgeKind::Link,
                "site-to-site VPN",
            ),
            edge(
                "link/hub-prod",
                net(&d.hub_network),
                net(&d.prod_network),
                EdgeKind::Link,
                "peering",
            ),
            edge(
                &format!("link/{}-{}", d.mi.network, d.hub_network),
                mi_net.clone(),
                net(&d.hub_network),
                EdgeKind::Link,
                "peering",
            ),
            edge(
                &format!("link/{}-{}", d.mi.network, d.prod_network),
                mi_net,
                net(&d.prod_network),
                EdgeKind::Link,
                "peering",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inventory::Vm, smarthotel};
    use std::collections::HashSet;

    const SUB: &str = "11111111-2222-3333-4444-555555555555";

    fn inventory() -> Inventory {
        let vm = |name: &str| Vm {
            name: name.into(),
            guest_id: Some("windows9Server64Guest".into()),
            tools_status: Some("guestToolsRunning".into()),
            disk_count: 1,
            ..Vm::default()
        };
        Inventory {
            vms: vec![vm("WEBVM"), vm("SQLVM")],
            ..Inventory::default()
        }
    }

    fn sample() -> Plan {
        plan(&smarthotel::design(), SUB, &inventory()).unwrap()
    }

    #[test]
    fn sample_has_eight_steps_and_enough_tasks() {
        let p = sample();
        assert_eq!(
            p.steps.iter().map(|s| s.number).collect::<Vec<_>>(),
            (1..=8).collect::<Vec<_>>()
        );
        assert!(p.tasks().count() >= 60, "only {} tasks", p.tasks().count());
        assert_eq!(p.findings, vec![]);
    }

    #[test]
    fn same_input_gives_the_same_hash_and_other_input_another() {
        assert_eq!(sample().hash(), sample().hash());
        let mut d = smarthotel::design();
        d.mi.vcores = 16;
        assert_ne!(plan(&d, SUB, &inventory()).unwrap().hash(), sample().hash());
    }

    #[test]
    fn every_name_of_the_scenario_is_in_the_plan() {
        let text = serde_json::to_string(&sample()).unwrap();
        for name in [
            "VNET-SQLMI-EUS2",
            "SQLMI-DS-EUS2",
            "SQLMI-SAW-EUS2",
            "VNET-HUB-EUS2",
            "VNET-PROD-EUS2",
            "PROD-DC-EUS2",
            "PROD-FE-EUS2",
            "MIRouteTable",
            "ContosoNetworkingRG",
            "ContosoRG",
            "ContosoFailoverRG",
            "ContosoMigrationVault",
            "ContosoMigrationPolicy",
            "contosovmsacc20180528",
            "10.245.42.4",
            "10.245.42.5",
            "168.63.129.16",
            "10.235.0.0/24",
            "WEBVM",
            "SQLVM",
            "SmartHotelDB",
            "contoso-datacenter",
            "IISRESET",
            "OnlineAll",
            "InMageRcm",
            "Microsoft.Sql/managedInstances",
        ] {
            assert!(text.contains(name), "{name} is missing from the plan");
        }
    }

    #[test]
    fn every_task_says_what_why_and_how_to_get_back() {
        let p = sample();
        for t in p.tasks() {
            for (what, text) in [
                ("title", &t.title),
                ("what", &t.what),
                ("way back", &t.way_back),
                ("source", &t.duration.source),
            ] {
                assert!(!text.is_empty(), "{} has no {what}", t.address);
            }
            assert!(
                !t.why.is_empty() || matches!(t.action, Action::NotNeeded { .. }),
                "{} has no why",
                t.address
            );
            assert!(t.duration.p50 <= t.duration.p95, "{}", t.address);
            if let Actor::Person { instructions, .. } = &t.actor {
                assert!(!instructions.is_empty(), "{} tells the person nothing", t.address);
            }
        }
        assert!(p.tasks().any(|t| t.no_return));
    }

    #[test]
    fn every_fact_used_is_recorded_by_an_earlier_task() {
        let p = sample();
        let mut before: HashMap<&Address, HashSet<&Address>> = HashMap::new();
        for _ in 0..p.tasks().count() {
            for t in p.tasks() {
                let mut all: HashSet<&Address> = t.after.iter().collect();
                for a in &t.after {
                    all.extend(before.get(a).into_iter().flatten().copied());
                }
                before.insert(&t.address, all);
            }
        }
        let records = |t: &Task| -> Vec<String> {
            match &t.action {
                Action::Put { facts, .. }
                | Action::Post { facts, .. }
                | Action::Check { facts, .. }
                | Action::Find { facts, .. } => facts.iter().map(|f| f.name.clone()).collect(),
                Action::CheckBlobs { fact, .. } => vec![fact.clone()],
                _ => vec![],
            }
        };
        for t in p.tasks() {
            let text = serde_json::to_string(&t.action).unwrap();
            for used in text.split("${").skip(1).map(|r| r.split('}').next().unwrap()) {
                if ["secret:", "connection:", "blob:"].iter().any(|k| used.starts_with(k)) {
                    continue;
                }
                let ok = before[&t.address]
                    .iter()
                    .any(|a| records(p.task(a).unwrap()).iter().any(|f| f == used));
                assert!(ok, "{} uses ${{{used}}}, which no earlier task records", t.address);
            }
        }
    }

    #[test]
    fn nodes_of_tasks_are_in_the_diagram() {
        let d = diagram(&smarthotel::design(), &inventory());
        let known: HashSet<_> = d
            .nodes
            .iter()
            .map(|n| &n.id)
            .chain(d.edges.iter().map(|e| &e.id))
            .collect();
        for t in sample().tasks() {
            for n in &t.nodes {
                let quiet = n.starts_with("subnet/");
                assert!(
                    quiet || known.contains(n),
                    "{} names {n}, which is not drawn",
                    t.address
                );
            }
        }
        for e in &d.edges {
            assert!(
                known.contains(&e.from) && known.contains(&e.to),
                "{} leads nowhere",
                e.id
            );
        }
    }

    #[test]
    fn rights_and_calls_name_real_types() {
        let p = sample();
        for t in p.tasks() {
            for text in t.rights.iter().chain(&t.calls) {
                assert!(
                    !text.contains("${") && !text.contains('?') || text.contains("comp=list"),
                    "{}: {text}",
                    t.address
                );
            }
        }
        let protect = p.task(&Address::new(5, "protect", "WEBVM")).unwrap();
        let item = "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems";
        assert_eq!(protect.rights, [format!("azure:{item}/write")]);
        let nic = p.task(&Address::new(7, "check-nic", "WEBVM")).unwrap();
        assert_eq!(nic.calls, ["GET Microsoft.Network/networkInterfaces"]);
    }

    #[test]
    fn missing_machine_is_a_finding_not_an_error() {
        let p = plan(&smarthotel::design(), SUB, &Inventory::default()).unwrap();
        assert_eq!(p.findings.iter().filter(|f| f.rule == "vm-missing").count(), 2);
    }

    #[test]
    fn machines_of_one_name_block_the_plan() {
        let mut inv = inventory();
        inv.vms.push(Vm {
            name: "sqlvm".into(),
            ..Vm::default()
        });
        let p = plan(&smarthotel::design(), SUB, &inv).unwrap();
        assert!(
            p.findings
                .iter()
                .any(|f| f.rule == "vm-ambiguous" && f.severity == Severity::Blocking)
        );
    }

    #[test]
    fn what_cannot_be_planned_is_said() {
        let inv = inventory();
        let mut d = smarthotel::design();
        d.rule_pack = "tutorial-2018".into();
        assert!(matches!(plan(&d, SUB, &inv), Err(PlanError::RulesNotRunnable(_))));
        d.rule_pack = "x".into();
        assert!(matches!(plan(&d, SUB, &inv), Err(PlanError::UnknownRules(_))));
        assert_eq!(plan(&smarthotel::design(), " ", &inv), Err(PlanError::NoSubscription));
    }

    #[test]
    fn circles_and_doubles_are_refused() {
        let mut p = sample();
        let (a, b) = (p.steps[0].tasks[0].address.clone(), p.steps[0].tasks[1].address.clone());
        p.steps[0].tasks[0].after.push(b);
        p.steps[0].tasks[1].after.push(a.clone());
        assert!(matches!(check(&p), Err(PlanError::Circle(_))));
        let mut p = sample();
        p.steps[0].tasks[1].address = a.clone();
        assert_eq!(check(&p), Err(PlanError::Twice(a)));
    }
}
