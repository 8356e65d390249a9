//! The machine's way by Azure Migrate without an agent (`VMwareCbt`), steps 7 and 8: test migration, migration, completion,
//! clean-up. Project, appliance and replication are in [`super::migrate`].
//!
//! Decisions:
//! * Boot diagnostics go to Azure's own storage: in the cache account they would die with it, and with them the VM's start.
//! * Completing the migration ends replication and can't be taken back, so it waits until the site has answered.

use super::{
    builder::*,
    migrate::{AUTHORIZATION, IDENTITIES, ROLES},
    step7::Moves,
    step8::delete,
};

impl Builder<'_> {
    /// Step 7.
    pub(super) fn moves_by_migrate(&self) -> Moves {
        let d = self.d;
        let item = self.item();
        let azure_node = format!("azvm/{}", d.web_vm);
        let test_node = [format!("azvm/{}", d.test_vm())];
        let state = |is: &[&str]| vec![Expect::one_of("/properties/migrationState", is)];
        let test_state = |is: &[&str]| vec![Expect::one_of("/properties/testMigrateState", is)];
        let allowed = |operation: &str| Some(vec![Expect::equal("/properties/allowedOperations/*", operation)]);
        Moves {
            test: task(
                7,
                "test-migrate",
                &d.web_vm,
                "Run the test migration",
                &format!("Creates {} from the latest recovery point in {}.", d.test_vm(), d.test_network),
                Action::Post {
                    id: item.clone(),
                    verb: "testMigrate".into(),
                    body: Some(json!({ "properties": { "providerSpecificDetails": { "instanceType": "VMwareCbt",
                        "recoveryPointId": "${asr.recoveryPoint}", "networkId": self.vnet(&d.test_network) } } })),
                    observe: item.clone(),
                    done: test_state(&["TestMigrationSucceeded", "TestMigrationCompletedWithInformation"]),
                    running: Some(test_state(&["TestMigrationInProgress"])),
                    allowed: allowed("TestMigrate"),
                    facts: vec![],
                    follow: self.job(),
                },
            )
            .after(&[&format!("5/recovery-point/{}", d.web_vm)])
            .why("It proves that the VM boots in Azure, without touching the one on-premises.")
            .secs(540, 1800, NOT_PUBLISHED)
            .cost("A VM of the target size while the test runs.")
            .back("Clean up the test migration.")
            .nodes(&test_node),
            cleanup: task(
                7,
                "test-cleanup",
                &d.web_vm,
                "Clean up the test migration",
                "Deletes the test VM and records the observations.",
                Action::Post {
                    id: item.clone(),
                    verb: "testMigrateCleanup".into(),
                    body: Some(json!({ "properties": { "comments": "Accepted in Rehost." } })),
                    observe: item.clone(),
                    done: test_state(&["None"]),
                    running: Some(test_state(&["TestMigrationCleanupInProgress"])),
                    allowed: allowed("TestMigrateCleanup"),
                    facts: vec![],
                    follow: self.job(),
                },
            )
            .after(&["7/gate/test"])
            .why("The test VM costs money, and a migration belongs to a clean machine.")
            .secs(240, 900, NOT_PUBLISHED)
            .back("Run another test migration.")
            .nodes(&test_node),
            recovery_plan: not_needed(
                7,
                "recovery-plan",
                &d.recovery_plan,
                &format!("Recovery plan {}", d.recovery_plan),
                "Azure Migrate has no recovery plans: they hold only machines that Site Recovery protects. Rehost itself keeps the order of the steps.",
            ),
            cutover: task(
                7,
                "migrate",
                &d.web_vm,
                &format!("Migrate {}", d.web_vm),
                "Shuts the VM down on-premises, sends the last changes and starts it in Azure.",
                Action::Post {
                    id: item.clone(),
                    verb: "migrate".into(),
                    body: Some(json!({ "properties": { "providerSpecificDetails": { "instanceType": "VMwareCbt", "performShutdown": "true" } } })),
                    observe: item.clone(),
                    done: state(&["MigrationSucceeded", "MigrationCompletedWithInformation"]),
                    running: Some(state(&["MigrationInProgress"])),
                    allowed: allowed("Migrate"),
                    facts: vec![],
                    follow: self.job(),
                },
            )
            .after(&["7/gate/cutover"])
            .why("This is the migration of the web tier. With the shutdown first, no change is lost.")
            .secs(1200, 3600, NOT_PUBLISHED)
            .cost("The VM in Azure is charged from now on.")
            .back("Power WEBVM on again in vCenter and delete the Azure VM. A migration can't be taken back in Azure; replication must be enabled anew.")
            .no_return()
            .nodes(&[format!("vm/{}", d.web_vm), azure_node.clone(), "flow/replication".into()]),
            end: vec![
                not_needed(
                    7,
                    "commit",
                    &d.web_vm,
                    "Commit the failover",
                    "Azure Migrate has no commit: completing the migration ends it.",
                ),
                task(
                    7,
                    "complete",
                    &d.web_vm,
                    "Complete the migration",
                    "Stops replication and deletes the seed disks; the new VM stays.",
                    Action::Delete { id: item, always: false },
                )
                .after(&[&self.answers()])
                .why("It ends the replication and its cost; the site has answered from Azure.")
                .secs(180, 900, NOT_PUBLISHED)
                .back("None: WEBVM on-premises can still be powered on, but would have to be replicated anew.")
                .no_return()
                .nodes(&[azure_node, self.home()]),
            ],
        }
    }

    /// Before each look at a screenshot: none is kept for a VM that Azure Migrate has made without diagnostics.
    pub(super) fn turn_boot_diagnostics_on(&self, tasks: &mut Vec<T>) {
        for vm in [self.d.test_vm(), self.d.web_vm.clone()] {
            let look = Address::new(7, "check-boot", &vm);
            if let Some(at) = tasks.iter().position(|t| t.0.address == look) {
                let on = self.boot_diagnostics(&vm);
                tasks[at].0.after.push(on.0.address.clone());
                tasks.insert(at, on);
            }
        }
    }

    fn boot_diagnostics(&self, vm: &str) -> T {
        task(
            7,
            "boot-diagnostics",
            vm,
            &format!("Boot diagnostics of {vm}"),
            "Turns them on with Azure's own storage, where they are off.",
            Action::Patch {
                id: self.azure_vm(vm),
                body: json!({ "properties": { "diagnosticsProfile": { "bootDiagnostics": { "enabled": true } } } }),
            },
        )
        .after(&[&format!("7/check-vm/{vm}")])
        .why("The screenshot comes from them. The cache account can't keep them: it is deleted in step 8.")
        .secs(30, 120, NOT_PUBLISHED)
        .back("Turn them off in the portal.")
        .nodes(&[format!("azvm/{vm}")])
    }

    /// Step 8: everything of the replication goes, in the order that the services demand.
    pub(super) fn leave_migrate(&self) -> Vec<T> {
        let d = self.d;
        let [end, end_web] = self.moved_for_good();
        let label = d.replication_cache();
        let home = [self.home()];
        let cache = [self.cache_node()];
        let project = self.migrate_project();
        let remove = |kind: &str,
                      name: &str,
                      title: &str,
                      what: &str,
                      id: ResourceId,
                      post: Option<(&str, Option<Value>)>,
                      made_for: ResourceId| {
            let follow = if id.as_str().contains("/replication") || id.as_str() == "${asr.fabric}" {
                self.job()
            } else {
                Follow::Operation
            };
            let (verb, body) = post.unzip();
            task(
                8,
                kind,
                name,
                title,
                what,
                Action::Remove {
                    id,
                    verb: verb.map(Into::into),
                    body: body.flatten(),
                    made_for,
                    follow,
                },
            )
            .secs(60, 600, NOT_PUBLISHED)
            .back("Run the task of the earlier step again.")
        };
        let mut tasks = vec![
            remove(
                "mapping",
                d.replication_home(),
                "Remove the policy's mapping",
                "Removes the association of policy, cache and appliance.",
                self.migrate_mapping(),
                Some((
                    "remove",
                    Some(json!({ "properties": { "providerSpecificInput": { "instanceType": "VMwareCbt" } } })),
                )),
                self.migrate_mapping(),
            )
            .after(&[&end, &end_web])
            .why("A mapped policy can't be deleted. One that other machines use was there before and stays.")
            .nodes(&home),
            task(
                8,
                "policy",
                d.replication_home(),
                "Delete the replication policy",
                "Deletes the policy.",
                Action::Delete {
                    id: self.migrate_policy(),
                    always: false,
                },
            )
            .after(&[&format!("8/mapping/{}", d.replication_home())])
            .why("Nothing uses it any more.")
            .secs(30, 120, NOT_PUBLISHED)
            .nodes(&home),
            remove(
                "remove-fabric",
                &d.appliance,
                "Unregister the appliance",
                "Removes the appliance's infrastructure from the vault.",
                ResourceId::new("${asr.fabric}"),
                Some(("removeInfra", None)),
                project.clone(),
            )
            .after(&[&format!("8/policy/{}", d.replication_home())])
            .why("A vault with a registered appliance can't be deleted.")
            .nodes(&[format!("appliance/{}", d.appliance)]),
            task(
                8,
                "lock",
                label,
                "Take the lock from the cache account",
                "Deletes the lock.",
                Action::Delete {
                    id: self.cache_lock(),
                    always: false,
                },
            )
            .after(&[&format!("8/mapping/{}", d.replication_home())])
            .why("While it stands, neither the account nor the rights on it can be deleted.")
            .secs(5, 30, NOT_PUBLISHED)
            .back("Put the lock on again.")
            .nodes(&cache),
        ];
        let mut revoked = Vec::new();
        for (who, of, words) in IDENTITIES {
            for (kind, role, role_name) in ROLES {
                let name = format!("{who}-{kind}");
                revoked.push(format!("8/role-assignment/{name}"));
                tasks.push(
                    task(
                        8,
                        "role-assignment",
                        &name,
                        &format!("Take {role_name} from {words}"),
                        "Deletes the role assignment.",
                        Action::Delete {
                            id: self
                                .cache()
                                .resource(&format!("{AUTHORIZATION}/roleAssignments"), &Self::assignment(of, role)),
                            always: false,
                        },
                    )
                    .after(&[&format!("8/lock/{label}")])
                    .why("Temporary rights must not stay.")
                    .secs(5, 30, NOT_PUBLISHED)
                    .back("Assign the role again.")
                    .nodes(&cache),
                );
            }
        }
        let mut before_cache: Vec<&str> = revoked.iter().map(String::as_str).collect();
        let lock = format!("8/lock/{label}");
        before_cache.push(&lock);
        tasks.extend([
            task(
                8,
                "cache",
                label,
                "Delete the cache account",
                "Deletes the account.",
                Action::Delete {
                    id: self.cache(),
                    always: false,
                },
            )
            .after(&before_cache)
            .why("Only replication used it.")
            .secs(10, 60, NOT_PUBLISHED)
            .back("Nothing to take back: it held copies of blocks only.")
            .nodes(&cache),
            remove(
                "vault",
                d.replication_home(),
                "Delete the project's vault",
                "Deletes the empty vault that the registration made.",
                self.vault(),
                None,
                project.clone(),
            )
            .after(&[&format!("8/remove-fabric/{}", d.appliance)])
            .why("It was made for this project only.")
            .nodes(&home),
            remove(
                "site",
                &d.appliance,
                "Delete the appliance's site",
                "Deletes what discovery has recorded.",
                ResourceId::new("${asr.site}"),
                None,
                project.clone(),
            )
            .after(&[&format!("8/remove-fabric/{}", d.appliance)])
            .why("It holds a list of every machine in the datacenter.")
            .nodes(&[format!("appliance/{}", d.appliance)]),
            delete(
                "project",
                project,
                &format!("Delete the project {}", d.migrate_project),
                "Deletes the project with its solutions.",
                "It was made for this migration only.",
            )
            .after(&[
                &format!("8/vault/{}", d.replication_home()),
                &format!("8/site/{}", d.appliance),
                &format!("8/cache/{label}"),
                &format!("8/appliance-off/{}", d.appliance),
            ])
            .nodes(&home),
            task(
                8,
                "left-overs",
                &d.failover_group,
                &format!("What is left in {}", d.failover_group),
                "Lists everything that is still in the resource group, for the report.",
                Action::ListGroup {
                    group: self.failover.clone(),
                },
            )
            .after(&[
                &format!("8/project/{}", d.migrate_project),
                &format!("8/backup-account/{}", d.backup_account),
            ])
            .why("The appliance's registration makes things of its own, such as a key vault; somebody must know that they are there.")
            .nodes(&home),
        ]);
        tasks
    }
}
