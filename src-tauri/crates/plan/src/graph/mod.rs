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
//! * What only one replication method does is in one place each: [`migrate`] for Azure Migrate, the functions named after
//!   Site Recovery in the step files for the other. Everything else is the same task, whatever the method.

mod builder;
mod derive;
mod migrate;
mod picture;
mod step1;
mod step2;
mod step3;
mod step4;
mod step5;
mod step6;
mod step7;
mod step8;

pub use picture::diagram;

use crate::{
    address::Address,
    design::{DatabaseMethod, Design},
    inventory::Inventory,
    rules::{self, Pack},
    task::{Finding, Plan, Severity},
};
use builder::Builder;
use petgraph::{algo::toposort, graph::DiGraph};
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
    if design.database_method != DatabaseMethod::LogReplay {
        return Err(PlanError::Database(format!("{:?}", design.database_method)));
    }
    if subscription.trim().is_empty() {
        return Err(PlanError::NoSubscription);
    }
    let b = Builder::new(design, subscription, pack, inventory);
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
            Some(vm) if name == &d.web_vm => out.extend(pack.judge_vm(vm, d.replication)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        design::ReplicationMethod,
        inventory::Vm,
        smarthotel,
        task::{Action, Actor, Task},
    };
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

    fn agentless_design() -> Design {
        Design {
            replication: ReplicationMethod::VMwareCbt,
            ..smarthotel::design()
        }
    }

    fn agentless() -> Plan {
        plan(&agentless_design(), SUB, &inventory()).unwrap()
    }

    #[test]
    fn sample_has_eight_steps_and_enough_tasks() {
        for p in [sample(), agentless()] {
            assert_eq!(
                p.steps.iter().map(|s| s.number).collect::<Vec<_>>(),
                (1..=8).collect::<Vec<_>>()
            );
            assert!(p.tasks().count() >= 60, "only {} tasks", p.tasks().count());
        }
        assert_eq!(sample().findings, vec![]);
        let found: Vec<_> = agentless().findings.into_iter().map(|f| f.rule).collect();
        assert_eq!(found, ["agentless-vddk"], "what no program can look up is said");
    }

    #[test]
    fn agentless_takes_the_fixed_names_and_leaves_nothing_of_the_other_method() {
        let p = agentless();
        let text = serde_json::to_string(&p).unwrap();
        for name in [
            "ContosoMigrateProject",
            "Servers-Discovery-ServerDiscovery",
            "Servers-Assessment-ServerAssessment",
            "Servers-Migration-ServerMigration",
            "applianceNameToSiteIdMapV3/ASRAPPLIANCE/SiteId",
            "applianceNameToSiteIdMapV2/[ApplianceName=ASRAPPLIANCE]/SiteId",
            "migratersa${hash:${asr.fabric}}",
            "migrate${last:${asr.site}}policy",
            "containermapping",
            "ContosoMigrateProjectlock",
            "-cacheSas",
            "replicationMigrationItems",
            "VMwareV2",
            "\"performShutdown\":\"true\"",
            "\"isOSDisk\":\"true\"",
            "testMigrateCleanup",
            "b24988ac-6180-42a0-ab88-20f7382dd24c",
            "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            "VirtualMachine.Config.ChangeTracking",
            "PROD-FE-EUS2",
            "SmartHotelDB",
        ] {
            assert!(text.contains(name), "{name} is missing from the plan");
        }
        for t in p.tasks().filter(|t| !matches!(t.action, Action::NotNeeded { .. })) {
            let action = serde_json::to_string(&t.action).unwrap();
            for other in [
                "InMageRcm\"",
                "replicationProtectedItems",
                "replicationRecoveryPlans",
                "svc-mobility",
                "contosovmsacc20180528",
                "ContosoMigrationVault",
            ] {
                let chosen_against = t.address.name() == "vddk";
                assert!(chosen_against || !action.contains(other), "{} has {other}", t.address);
            }
        }
        let skipped: Vec<_> = p
            .tasks()
            .filter(|t| matches!(t.action, Action::NotNeeded { .. }) && ![2, 8].contains(&t.address.step()))
            .map(|t| t.address.to_string())
            .collect();
        assert_eq!(
            skipped,
            [
                "step-3/storage/contosovmsacc20180528",
                "step-3/vault/ContosoMigrationVault",
                "step-4/mobility-account/none",
                "step-7/recovery-plan/ContosoMigrationPlan",
                "step-7/commit/WEBVM",
            ]
        );
    }

    #[test]
    fn every_disk_of_the_inventory_goes_along() {
        let mut inv = inventory();
        inv.vms[0].disk_count = 3;
        let p = plan(&agentless_design(), SUB, &inv).unwrap();
        let protect = p.task(&Address::new(5, "protect", "WEBVM")).unwrap();
        let Action::Put { body, .. } = &protect.action else {
            panic!()
        };
        let disks = body
            .pointer("/properties/providerSpecificDetails/disksToInclude")
            .unwrap();
        let os: Vec<_> = disks
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["isOSDisk"].clone())
            .collect();
        assert_eq!(os, ["true", "false", "false"]);
        assert!(
            serde_json::to_string(&p).unwrap().contains("/properties/disks/3"),
            "a fourth disk would be noticed"
        );
    }

    #[test]
    fn same_input_gives_the_same_hash_and_other_input_another() {
        assert_eq!(sample().hash(), sample().hash());
        let mut d = smarthotel::design();
        d.mi.vcores = 16;
        assert_ne!(plan(&d, SUB, &inventory()).unwrap().hash(), sample().hash());
        assert_eq!(agentless().hash(), agentless().hash());
        assert_ne!(agentless().hash(), sample().hash());
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
        for p in [sample(), agentless()] {
            says_what_why_and_back(&p);
        }
    }

    fn says_what_why_and_back(p: &Plan) {
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
        for p in [sample(), agentless()] {
            uses_only_what_it_knows(&p);
        }
    }

    fn uses_only_what_it_knows(p: &Plan) {
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
                // Functions; what stands in them is seen on its own.
                if ["secret:", "connection:", "blob:", "hash:", "last:", "guid:"]
                    .iter()
                    .any(|k| used.starts_with(k))
                {
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
        for design in [smarthotel::design(), agentless_design()] {
            draws_what_tasks_name(&design);
        }
    }

    fn draws_what_tasks_name(design: &Design) {
        let d = diagram(design, &inventory());
        let known: HashSet<_> = d
            .nodes
            .iter()
            .map(|n| &n.id)
            .chain(d.edges.iter().map(|e| &e.id))
            .collect();
        for t in plan(design, SUB, &inventory()).unwrap().tasks() {
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
        for t in p.tasks().chain(agentless().tasks()) {
            for text in t.rights.iter().chain(&t.calls) {
                assert!(
                    !text.contains("${") && !text.contains('?') || text.contains("comp=list"),
                    "{}: {text}",
                    t.address
                );
            }
        }
        let rights = |address: &str| agentless().task(&address.parse().unwrap()).unwrap().rights.clone();
        assert_eq!(
            rights("step-5/role-assignment/vault-blob-data"),
            ["azure:Microsoft.Authorization/roleAssignments/write"]
        );
        assert_eq!(
            rights("step-5/lock/migratersa"),
            ["azure:Microsoft.Authorization/locks/write"]
        );
        assert_eq!(
            rights("step-5/refresh/ASR-APPLIANCE"),
            ["azure:Microsoft.OffAzure/VMwareSites/refresh/action"]
        );
        assert_eq!(
            rights("step-5/policy/ContosoMigrateProject"),
            ["azure:Microsoft.RecoveryServices/vaults/replicationPolicies/write"]
        );
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
