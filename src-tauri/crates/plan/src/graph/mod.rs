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
//! * What only one replication method does is in one place each: [`migrate`] and [`migrated`] for Azure Migrate, the functions named after
//!   Site Recovery in the step files for the other. Everything else is the same task, whatever the method.

mod appliance;
mod around;
mod builder;
mod certificate;
mod derive;
mod migrate;
mod migrated;
mod picture;
mod source;
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
    address::{Address, ResourceId},
    design::Design,
    inventory::Inventory,
    privileges,
    rules::{self, Case, Pack},
    task::{Action, Finding, Plan, Severity, Task},
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
    #[error("the subscription id is missing; choose a subscription in Connections")]
    NoSubscription,
    #[error("task {task} waits for {after}, which is not in the plan")]
    UnknownDependency { task: Address, after: Address },
    #[error("the plan's tasks wait for each other in a circle at {0}")]
    Circle(Address),
    #[error("two tasks have the address {0}")]
    Twice(Address),
}

/// The managed instance of a design.
pub fn managed_instance(design: &Design, subscription: &str) -> ResourceId {
    ResourceId::group(subscription, &design.target_group).resource("Microsoft.Sql/managedInstances", &design.mi.name)
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
    if subscription.trim().is_empty() {
        return Err(PlanError::NoSubscription);
    }
    let each: Vec<Design> = design.databases().map(|name| design.of_database(name)).collect();
    let b = Builder::new(design, &each, subscription, pack, inventory);
    let mut plan = Plan {
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
    b.around(&mut plan.steps);
    b.source(&mut plan.steps);
    b.certificate(&mut plan.steps);
    look_first(&mut plan, design);
    check(&plan)?;
    Ok(plan)
}

/// Tells the check of locks what the plan puts and the check of rights what it needs in vCenter, and lets every PUT that waits
/// for nothing else wait for both. What Azure's services make themselves (VM, database) lies in what is put.
fn look_first(plan: &mut Plan, design: &Design) {
    let put = |t: &Task| match &t.action {
        Action::Put { id, .. } => Some(id.clone()),
        _ => None,
    };
    // Of an id with a part that is not known yet, the parent.
    let known = |id: ResourceId| match id.as_str().split_once("${") {
        Some((before, _)) => ResourceId::new(before.rsplit_once('/').map_or(before, |(parent, _)| parent)),
        None => id,
    };
    let all: Vec<ResourceId> = plan.tasks().filter_map(put).map(known).collect();
    let first = [
        Address::new(1, "check-locks", "subscription"),
        Address::new(1, "check-rights", "vcenter"),
    ];
    let rights = privileges::needs(plan, &design.datacenter);
    for t in plan.steps.iter_mut().flat_map(|s| &mut s.tasks) {
        if let Action::CheckLocks { changes } = &mut t.action {
            changes.clone_from(&all);
        } else if let Action::CheckVCenterRights { needs } = &mut t.action {
            needs.clone_from(&rights);
        } else if t.after.is_empty() && put(t).is_some() {
            t.after.extend(first.clone());
        }
    }
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
    let replicated = [&d.web_vm];
    out.extend(pack.judge_wave(d.replication, replicated.len()));
    // What is only to be known about a machine is shown with it in Inventory, not for approval.
    let judge = |vm| {
        let found = pack.judge_vm(&Case {
            vm,
            inventory,
            method: d.replication,
            size: &d.web_vm_size,
            pack,
        });
        found.into_iter().filter(|f| f.severity > Severity::Information)
    };
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
                detail: "Rehost shuts down, renames and removes machines by name.".into(),
                who: "vCenter administrator".into(),
                command: "Rename the others in vCenter, then read the inventory again.".into(),
                source: "inventory".into(),
            });
        }
        match inventory.vm(name) {
            Some(vm) if replicated.contains(&name) => out.extend(judge(vm)),
            Some(_) => {}
            None => out.push(Finding {
                rule: "vm-missing".into(),
                severity: Severity::Blocking,
                about: name.clone(),
                title: format!("{name} was not found in vCenter"),
                detail: "The inventory as it was read last has no machine of this name.".into(),
                who: "you".into(),
                command: "Read the inventory again, or correct the machine's name in Design.".into(),
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
        design::{BackupSource, DatabaseMethod, DmsDesign, ReplicationMethod},
        inventory::Vm,
        scripts, smarthotel,
        task::Actor,
    };
    use std::collections::HashSet;

    const SUB: &str = "11111111-2222-3333-4444-555555555555";

    fn inventory() -> Inventory {
        let vm = |name: &str, cpus| Vm {
            name: name.into(),
            guest_id: Some("windows9Server64Guest".into()),
            guest_full_name: Some("Microsoft Windows Server 2016 (64-bit)".into()),
            host: Some("contosohost1.contoso.com".into()),
            cpus,
            tools_status: Some("guestToolsRunning".into()),
            disk_count: 1,
            ..Vm::default()
        };
        Inventory {
            vcenter_name: "VMware vCenter Server 7.0.3".into(),
            vms: vec![vm("WEBVM", 4), vm("SQLVM", 8)],
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

    /// The sample with each way in which machine and database can go.
    fn designs() -> Vec<Design> {
        let ways = [smarthotel::design(), agentless_design()];
        let mut all: Vec<Design> = ways.into_iter().flat_map(|d| of_database(&d)).collect();
        // Rehost backs up: into the container itself (or to the share), and by way of a folder.
        for (folder, differential) in [("", true), (r"\\FILES01\sql", false)] {
            let backups = crate::backup::BackupDesign {
                files: 2,
                differential,
                folder: folder.into(),
                ..Default::default()
            };
            let by_rehost = |d| Design {
                backups: Some(backups.clone()),
                ..d
            };
            all.extend(of_database(&smarthotel::design()).into_iter().map(by_rehost));
        }
        all
    }

    /// Address of the last step by which a backup arrives.
    fn arrived(d: &Design, name: &str) -> String {
        match &d.backups {
            None => format!("step-6/person/{name}-backup"),
            Some(b) if b.folder.is_empty() || d.from_share() => format!("step-6/backup/{name}"),
            Some(_) => format!("step-6/upload/{name}"),
        }
    }

    fn of_database(sample: &Design) -> Vec<Design> {
        let mut all = vec![sample.clone()];
        for database_method in [DatabaseMethod::DmsOffline, DatabaseMethod::DmsOnline] {
            for (source, identity) in [
                (BackupSource::Blob, ""),
                (
                    BackupSource::Blob,
                    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader",
                ),
                (BackupSource::Share, ""),
            ] {
                let mut d = sample.clone();
                d.database_method = database_method;
                d.dms.source = source;
                d.dms.identity = identity.into();
                d.dms.identity_principal = if identity.is_empty() {
                    ""
                } else {
                    "22222222-0000-0000-0000-000000000000"
                }
                .into();
                all.push(d);
            }
        }
        all
    }

    fn plans() -> Vec<(Design, Plan)> {
        designs()
            .into_iter()
            .map(|d| (d.clone(), plan(&d, SUB, &inventory()).unwrap()))
            .collect()
    }

    fn body(p: &Plan) -> &serde_json::Value {
        p.tasks()
            .find_map(|t| match &t.action {
                Action::StartDms { body, .. } => Some(&body["properties"]),
                _ => None,
            })
            .unwrap()
    }

    /// Whether `later` can start only after `earlier` is done.
    fn behind(p: &Plan, later: &str, earlier: &str) -> bool {
        let mut open = vec![later.parse::<Address>().unwrap()];
        let mut seen = HashSet::new();
        while let Some(a) = open.pop() {
            if a.as_str() == earlier {
                return true;
            }
            if seen.insert(a.clone()) {
                open.extend(p.task(&a).unwrap().after.iter().cloned());
            }
        }
        false
    }

    #[test]
    fn a_registration_makes_nothing_that_is_drawn() {
        for (_, p) in plans() {
            for t in p.tasks().filter(|t| t.address.as_str().contains("/provider/")) {
                assert!(t.nodes.is_empty(), "{} would show {:?} as done", t.address, t.nodes);
            }
        }
    }

    #[test]
    fn no_resource_is_put_before_the_locks_are_read() {
        for (_, p) in plans() {
            let changes = p.tasks().find_map(|t| match &t.action {
                Action::CheckLocks { changes } => Some(changes.clone()),
                _ => None,
            });
            let changes = changes.unwrap();
            for t in p.tasks() {
                if let Action::Put { id, .. } = &t.action {
                    assert!(
                        behind(&p, t.address.as_str(), "step-1/check-locks/subscription"),
                        "{}",
                        t.address
                    );
                    assert!(changes.iter().any(|c| id.as_str().starts_with(c.as_str())), "{id}");
                }
            }
        }
    }

    #[test]
    fn nothing_in_vcenter_is_changed_before_the_rights_for_all_of_it_are_known() {
        let rights = Address::new(1, "check-rights", "vcenter");
        for (d, p) in plans() {
            let Action::CheckVCenterRights { needs } = &p.task(&rights).unwrap().action else {
                panic!()
            };
            for t in p.tasks().filter(|t| t.address != rights) {
                let ours = t.rights.iter().any(|r| r.starts_with("vcenter:"));
                assert_eq!(needs.iter().any(|n| n.task == t.address), ours, "{}", t.address);
                let reads = t.calls.iter().all(|c| c.starts_with("Retrieve"));
                assert!(
                    !ours || reads || behind(&p, t.address.as_str(), rights.as_str()),
                    "{}",
                    t.address
                );
            }
            let on = |address: &str| -> Vec<(String, usize)> {
                let of = needs.iter().filter(|n| n.task.as_str() == address);
                of.map(|n| (n.on.to_string(), n.privileges.len())).collect()
            };
            // The name that the machine has today, its folder too.
            assert_eq!(
                on("step-8/remove-vm/WEBVM"),
                [("WEBVM".to_owned(), 1), ("the folder of WEBVM".to_owned(), 1)]
            );
            // Whoever grants a role must hold what is in it.
            let held = 1 + crate::Privileges::of(d.replication).ids().len();
            assert_eq!(
                on("step-4/permission/contoso-datacenter"),
                [("datacenter contoso-datacenter".to_owned(), held)]
            );
        }
    }

    #[test]
    fn agentless_replication_gets_its_second_role_on_the_vcenter_alone() {
        let p = agentless();
        let Action::GrantRole { role, datacenter, .. } =
            &p.task(&Address::new(4, "permission", "vCenter")).unwrap().action
        else {
            panic!()
        };
        assert_eq!((role.as_str(), datacenter), ("Azure_Site_Recovery_vCenter", &None));
        assert!(behind(
            &p,
            "step-8/ledger/all",
            "step-8/role/Azure_Site_Recovery_vCenter"
        ));
        assert!(sample().task(&Address::new(4, "permission", "vCenter")).is_none());
        let text = scripts::roles(&p).text;
        for part in [
            "Set-Role 'Azure_Site_Recovery' @(",
            "(Get-Root) 'CONTOSO\\svc-asr' 'Azure_Site_Recovery_vCenter' $false",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn retired_machines_are_put_away_before_the_days_are_counted() {
        let mut d = smarthotel::design();
        let moves = |p: &Plan| {
            p.tasks()
                .filter(|t| matches!(t.action, Action::MoveVm { .. } | Action::EnsureFolder { .. }))
                .count()
        };
        let p = sample();
        assert_eq!(moves(&p), 3);
        assert!(behind(&p, "step-8/keep/source", "step-8/move/SQLVM"));
        d.retired_folder = String::new();
        let p = plan(&d, SUB, &inventory()).unwrap();
        assert_eq!(moves(&p), 0);
        assert!(behind(&p, "step-8/keep/source", "step-8/annotate/WEBVM"));
    }

    #[test]
    fn no_way_lets_the_source_change_after_its_last_backup() {
        for (d, p) in plans() {
            let start = if d.uses_dms() {
                "step-6/migration/SmartHotelDB"
            } else {
                "step-6/log-replay/SmartHotelDB"
            };
            let offline = d.database_method == DatabaseMethod::DmsOffline;
            let (log, tail) = (arrived(&d, "log"), arrived(&d, "tail"));
            let end = if offline {
                "step-6/restore/all"
            } else {
                "step-6/complete/SmartHotelDB"
            };
            for (later, earlier) in [
                (tail.as_str(), "step-6/check-stopped/WEBVM"),
                ("step-6/check-stopped/WEBVM", "step-7/gate/cutover"),
                (end, tail.as_str()),
                ("step-6/check-database/SmartHotelDB", end),
                ("step-7/gate/cutover", "step-1/managed-instance/contoso-sqlmi"),
                ("step-7/gate/cutover", log.as_str()),
            ] {
                assert!(
                    behind(&p, later, earlier),
                    "{later} must wait for {earlier}: {:?}",
                    d.database_method
                );
            }
            assert_eq!(behind(&p, start, &tail), offline);
            if let Some(b) = &d.backups {
                // The tail is short, and nothing of the chain is left behind.
                let last = arrived(&d, "last-log");
                assert!(behind(&p, &tail, &last) && behind(&p, &last, "step-7/gate/cutover"));
                assert!(behind(&p, &log, &arrived(&d, "full")));
                assert_eq!(
                    p.task(&Address::new(6, "backup", "differential")).is_some(),
                    b.differential
                );
                assert!(
                    !p.tasks()
                        .any(|t| t.address.step() == 6 && matches!(t.actor, Actor::Person { .. }))
                );
            }
            assert_eq!(behind(&p, "step-7/gate/cutover", start), !offline);
            if d.uses_dms() {
                assert!(behind(&p, "step-7/gate/cutover", "step-2/dms/ContosoDMS"));
            }
            assert_eq!(
                d.from_share(),
                p.task(&Address::new(2, "person", "integration-runtime")).is_some()
            );
        }
    }

    #[test]
    fn a_migration_is_started_with_the_body_of_the_reference() {
        for (d, p) in plans().into_iter().filter(|(d, _)| d.uses_dms()) {
            let b = body(&p);
            assert_eq!(
                (b["kind"].as_str(), b["sourceDatabaseName"].as_str()),
                (Some("SqlMi"), Some("SmartHotelDB"))
            );
            let last = if d.from_share() && d.backups.is_none() {
                "SmartHotelDB_tail.trn"
            } else {
                "${db.tailBackup}"
            };
            let offline = serde_json::json!({ "offline": true, "lastBackupName": last });
            assert_eq!(
                b.get("offlineConfiguration"),
                (d.database_method == DatabaseMethod::DmsOffline).then_some(&offline)
            );
            let text = b.to_string();
            assert_eq!(text.contains("${secret:account-key}"), d.reading_identity().is_none());
            assert_eq!(text.contains("${secret:sql-source}"), d.reading_identity().is_none());
            assert_eq!(text.contains("${secret:backup-share}"), d.from_share());
            assert_eq!(
                b.pointer("/backupConfiguration/targetLocation/accountKey").is_some(),
                d.from_share()
            );
            assert_eq!(
                b.pointer("/backupConfiguration/sourceLocation/azureBlob/authType")
                    .and_then(|v| v.as_str()),
                d.reading_identity().map(|_| "ManagedIdentity")
            );
        }
    }

    #[test]
    fn several_databases_go_side_by_side_and_the_application_starts_with_the_last() {
        let mut d = smarthotel::design();
        d.further_databases = vec!["Reports".into(), "Old ]Archive".into()];
        d.prove = Some(crate::around::ProveDesign::default());
        d.around = Some(crate::around::AroundDesign::default());
        let methods = [
            DatabaseMethod::LogReplay,
            DatabaseMethod::DmsOnline,
            DatabaseMethod::DmsOffline,
        ];
        let sources = [BackupSource::Blob, BackupSource::Share];
        for (method, source, by_rehost) in itertools(methods, sources) {
            d.database_method = method;
            d.dms.source = source;
            d.backups = by_rehost.then(crate::backup::BackupDesign::default);
            let plan = plan(&d, "s", &inventory()).unwrap();
            let of = |a: String| plan.task(&a.parse().unwrap()).unwrap_or_else(|| panic!("{a}")).clone();
            let starts: Vec<&Task> = plan
                .tasks()
                .filter(|t| matches!(t.action, Action::StartLogReplay { .. } | Action::StartDms { .. }))
                .collect();
            assert_eq!(starts.len(), 3);
            let switch = of("step-7/run-command/read-config".into());
            let prepare = of("step-7/run-command/switch-connection".into());
            for name in d.databases() {
                let folder = crate::backup::folder_of(name);
                let own = match name == d.database {
                    true => String::new(),
                    false => format!("-{folder}"),
                };
                let online: Address = format!("step-6/check-database/{name}").parse().unwrap();
                assert!(switch.after.contains(&online), "the application waits for {name}");
                let proved: Address = format!("step-7/prove/database{own}").parse().unwrap();
                assert!(prepare.after.contains(&proved));
                let tail = match by_rehost {
                    true => of(format!("step-6/backup/tail{own}")),
                    false => of(format!("step-6/person/tail-backup{own}")),
                };
                let stopped = Address::new(6, "check-stopped", &d.web_vm);
                assert!(
                    tail.after.contains(&stopped),
                    "nothing may write to {name} after its tail"
                );
                // Its own folder, and nothing of another's.
                let text = serde_json::to_string(&plan.task(&format!("step-6/check-backups/{name}").parse().unwrap()))
                    .unwrap();
                assert!(text.contains(&folder), "{text}");
                let start = starts.iter().find(|t| t.address.name() == name).unwrap();
                let text = serde_json::to_string(&start).unwrap();
                assert!(text.contains(&folder), "{text}");
            }
            // Titles tell them apart.
            let six = &plan.steps[5];
            let titles: std::collections::BTreeSet<&str> = six.tasks.iter().map(|t| t.title.as_str()).collect();
            assert_eq!(titles.len(), six.tasks.len());
        }
    }

    fn itertools(
        methods: [DatabaseMethod; 3],
        sources: [BackupSource; 2],
    ) -> impl Iterator<Item = (DatabaseMethod, BackupSource, bool)> {
        methods
            .into_iter()
            .flat_map(move |m| sources.into_iter().map(move |s| (m, s)))
            .flat_map(|(m, s)| [false, true].map(|b| (m, s, b)))
    }

    #[test]
    fn a_person_can_switch_the_application_in_its_machine() {
        for mut d in designs() {
            d.switched_by_person = true;
            d.prove = Some(crate::around::ProveDesign::default());
            let plan = plan(&d, "s", &inventory()).unwrap();
            assert!(!plan.tasks().any(|t| t.address.kind() == "run-command"));
            let of = |a: &str| plan.task(&a.parse().unwrap()).unwrap();
            let (switch, site) = (of("step-7/gate/switch-connection"), of("step-7/gate/site"));
            assert!(switch.after.contains(&Address::new(7, "prove", "database")));
            assert!(site.after.contains(&switch.address));
            // What can't be taken back waits for the site.
            let last = match d.replication {
                ReplicationMethod::InMageRcm => "commit",
                ReplicationMethod::VMwareCbt => "complete",
            };
            assert!(of(&format!("step-7/{last}/WEBVM")).after.contains(&site.address));
            for t in [switch, site] {
                let Actor::Person {
                    script: Some(script), ..
                } = &t.actor
                else {
                    panic!("{t:?}")
                };
                assert_eq!(script.run_on, "WEBVM");
            }
        }
    }

    #[test]
    fn more_databases_than_the_services_take_at_once_are_refused() {
        let with = |n: usize, method, source| {
            let mut d = smarthotel::design();
            d.further_databases = (1..n).map(|n| format!("D{n}")).collect();
            (d.database_method, d.dms.source) = (method, source);
            let plan = plan(&d, "s", &inventory()).unwrap();
            let found = plan.findings.into_iter().find(|f| f.rule.starts_with("databases-"));
            found.map(|f| (f.rule, f.severity))
        };
        let said = |rule: &str, severity| Some((rule.to_owned(), severity));
        let (lrs, share) = ("databases-lrs-limit", "databases-runtime-limit");
        for (n, method, source, wanted) in [
            (100, DatabaseMethod::LogReplay, BackupSource::Blob, None),
            (
                101,
                DatabaseMethod::LogReplay,
                BackupSource::Blob,
                said(lrs, Severity::Blocking),
            ),
            (
                101,
                DatabaseMethod::DmsOnline,
                BackupSource::Blob,
                said("databases-dms-folder", Severity::Warning),
            ),
            (10, DatabaseMethod::DmsOnline, BackupSource::Share, None),
            (
                11,
                DatabaseMethod::DmsOnline,
                BackupSource::Share,
                said(share, Severity::Warning),
            ),
            (
                41,
                DatabaseMethod::DmsOffline,
                BackupSource::Share,
                said(share, Severity::Blocking),
            ),
        ] {
            assert_eq!(with(n, method, source), wanted, "{n} {method:?} {source:?}");
        }
        let mut d = smarthotel::design();
        d.further_databases = vec!["SMARTHOTELDB".into()];
        let twice = plan(&d, "s", &inventory()).unwrap().findings;
        assert!(
            twice
                .iter()
                .any(|f| f.rule == "databases-twice" && f.severity == Severity::Blocking)
        );
    }

    /// Named as ts-rs names its tests, so that `cargo xtask bindings` writes the sample, too: the window's recorded data.
    #[test]
    fn export_bindings_sample() {
        let (design, plan) = (smarthotel::design(), sample());
        let sample = serde_json::json!({ "hash": plan.hash(), "plan": plan, "diagram": diagram(&design, &inventory()), "design": design });
        let folder = std::path::PathBuf::from(std::env::var_os("TS_RS_EXPORT_DIR").unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("sample.json"),
            serde_json::to_string_pretty(&sample).unwrap() + "\n",
        )
        .unwrap();
    }

    #[test]
    fn each_way_is_another_plan() {
        let hashes: HashSet<_> = plans().into_iter().map(|(_, p)| p.hash()).collect();
        assert_eq!(hashes.len(), designs().len());
    }

    #[test]
    fn a_file_without_settings_for_dms_opens_and_is_told_what_lacks() {
        let mut old = serde_json::to_value(smarthotel::design()).unwrap();
        old.as_object_mut().unwrap().remove("dms");
        let mut d: Design = serde_json::from_value(old).unwrap();
        assert_eq!(d.dms, DmsDesign::default());
        assert_eq!(plan(&d, SUB, &inventory()).unwrap().findings, vec![]);
        d.database_method = DatabaseMethod::DmsOnline;
        d.dms.source = BackupSource::Share;
        let p = plan(&d, SUB, &inventory()).unwrap();
        assert!(
            p.findings
                .iter()
                .any(|f| f.rule == "dms-incomplete" && f.severity == Severity::Blocking)
        );
    }

    #[test]
    fn what_dms_refuses_late_is_found_early() {
        let rules = |change: &dyn Fn(&mut DmsDesign)| -> Vec<String> {
            let mut d = smarthotel::design();
            d.database_method = DatabaseMethod::DmsOnline;
            d.dms.source = BackupSource::Share;
            change(&mut d.dms);
            plan(&d, SUB, &inventory())
                .unwrap()
                .findings
                .into_iter()
                .map(|f| f.rule)
                .collect()
        };
        assert_eq!(rules(&|_| {}), Vec::<String>::new());
        assert_eq!(
            rules(&|d| d.runtime_host = "contosofile.contoso.com".into()),
            ["dms-runtime-host"]
        );
        assert_eq!(rules(&|d| d.share_path = r"C:\backup".into()), ["dms-share-path"]);
        assert_eq!(rules(&|d| d.sql_user = " ".into()), ["dms-incomplete"]);
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
        for t in plans().iter().flat_map(|(_, p)| p.tasks()) {
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
        assert!(plans().iter().all(|(_, p)| p.tasks().any(|t| t.no_return)));
    }

    #[test]
    fn every_fact_used_is_recorded_by_an_earlier_task() {
        for (_, p) in plans() {
            facts_come_first(&p);
        }
    }

    fn facts_come_first(p: &Plan) {
        let mut before: HashMap<&Address, HashSet<&Address>> = HashMap::new();
        // Until nothing is added any more.
        let mut grows = true;
        while grows {
            grows = false;
            for t in p.tasks() {
                let mut all: HashSet<&Address> = t.after.iter().collect();
                for a in &t.after {
                    all.extend(before.get(a).into_iter().flatten().copied());
                }
                grows |= before.insert(&t.address, all.clone()) != Some(all);
            }
        }
        let records = |t: &Task| -> Vec<String> {
            match &t.action {
                Action::Put { facts, .. }
                | Action::Post { facts, .. }
                | Action::Check { facts, .. }
                | Action::Find { facts, .. } => facts.iter().map(|f| f.name.clone()).collect(),
                Action::CheckBlobs { fact, .. } | Action::BackUp { fact, .. } => vec![fact.clone()],
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
        for (d, p) in plans() {
            nodes_are_drawn(&d, &p);
        }
    }

    fn nodes_are_drawn(design: &Design, p: &Plan) {
        let d = diagram(design, &inventory());
        let known: HashSet<_> = d
            .nodes
            .iter()
            .map(|n| &n.id)
            .chain(d.edges.iter().map(|e| &e.id))
            .collect();
        for t in p.tasks() {
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
        for t in plans().iter().flat_map(|(_, p)| p.tasks()) {
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
        let p = sample();
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
