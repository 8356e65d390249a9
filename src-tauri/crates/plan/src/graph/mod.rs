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

mod builder;
mod derive;
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
    design::{DatabaseMethod, Design, ReplicationMethod},
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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
