//! Step 2: where the backups go, and what the restore on the other side needs: SAS for Log Replay Service; service and,
//! for a share, integration runtime for Azure Database Migration Service.

use super::builder::*;

/// Storage Blob Data Reader. Source: learn.microsoft.com, built-in roles (2026-11).
const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

impl Builder<'_> {
    pub(super) fn step2(&self) -> Step {
        let d = self.d;
        let mut tasks = vec![
            task(
                2,
                "check-retired",
                "dms-classic",
                "No retired migration service is taken for a working one",
                "Looks for instances of Azure Database Migration Service (classic) in the subscription and names them.",
                Action::CheckClassicDms,
            )
            .why("The scenario of 2018 used it; it was retired on 15 March 2026, and what is left over must not be started."),
        ];
        if d.uses_dms() {
            tasks.push(register(
                2,
                "Microsoft.DataMigration",
                "Database Migration Service belongs to this provider.",
            ));
            tasks.push(self.service());
            if d.from_share() {
                tasks.push(
                    task(
                        2,
                        "note-reports",
                        &d.sql_vm,
                        &format!("What {} has reported so far", d.sql_vm),
                        "Reads what scripts on the machine have published in vCenter.",
                        Action::NoteReports { vm: d.sql_vm.clone() },
                    )
                    .why("A backup that was reported in an earlier run must not be taken for one of this run.")
                    .nodes(&[format!("vm/{}", d.sql_vm)]),
                );
                tasks.push(self.runtime());
            }
        } else {
            tasks.push(not_needed(
                2,
                "provider",
                "Microsoft.DataMigration",
                "Register Microsoft.DataMigration",
                "Log Replay Service is part of SQL Managed Instance; no Database Migration Service is used.",
            ));
            tasks.push(not_needed(
                2,
                "dms",
                "instance",
                "Create a DMS instance",
                "DMS classic with its instances in a subnet was retired on 15 March 2026; Log Replay Service replaces it here.",
            ));
        }
        let [free, account] = self.storage_account(
            2,
            &d.backup_account,
            "Creates the account that receives the database backups.",
        );
        tasks.extend([
            register(2, "Microsoft.Storage", "The backups go through a storage account."),
            self.group(
                2,
                &d.failover_group,
                "Storage accounts and vault of the migration live in this group, apart from what stays.",
            ),
            free,
            account
                .why("An own account lets its key be rotated and the account be removed without touching replication.")
                .cost("Storage and transactions while the backups are kept.")
                .back("Delete the account with all backups in it."),
        ]);
        // From a share the service makes its own container.
        if !d.from_share() {
            tasks.extend(self.container());
        }
        if let Some(identity) = d.reading_identity() {
            tasks.push(self.right_to_read(identity));
        }
        step(2, "Prepare database migration", tasks)
    }

    fn container(&self) -> Vec<T> {
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
        let mut tasks = vec![
            task(
                2,
                "container",
                &d.backup_container,
                &format!("Container {}", d.backup_container),
                "Creates the container for the backups of this one database.",
                put(container, json!({ "properties": {} })),
            )
            .after(&[&format!("2/storage/{}", d.backup_account)])
            .why("Restoring wants one container or folder per database.")
            .secs(3, 15, "one request")
            .back("Delete the container.")
            .nodes(std::slice::from_ref(&node)),
        ];
        if !d.uses_dms() {
            tasks.push(sas(
                "restore",
                "rl",
                "SAS for Log Replay Service",
                "Signs a SAS that may read and list, for 30 days, and proves that it can do just that.",
                "Log Replay Service refuses a SAS with any other permission than read and list.",
            ));
        }
        tasks.push(sas(
            "backup",
            "cw",
            "SAS for SQL Server",
            "Signs a SAS that may create and write, for 30 days, for BACKUP TO URL.",
            "SQL Server writes the backups straight into the container.",
        ));
        tasks
    }

    fn service(&self) -> T {
        let d = self.d;
        let mut body = json!({ "location": d.location });
        if d.from_share() {
            // Whoever sees the service in the portal sees which computer belongs to it.
            body["tags"] = json!({ "integrationRuntime": d.dms.runtime_host });
        }
        task(
            2,
            "dms",
            &d.dms.service,
            &format!("Database Migration Service {}", d.dms.service),
            "Creates the service that restores the backups onto the managed instance.",
            put(self.dms(), body),
        )
        .after(&[
            "2/provider/Microsoft.DataMigration",
            &format!("2/group/{}", d.failover_group),
        ])
        .why("It steers the restore and keeps the record of it; it lies in the storage account's region.")
        .secs(60, 300, NOT_PUBLISHED)
        .back("Delete the service (step 8 does).")
        .nodes(&[format!("dms/{}", d.dms.service)])
    }

    fn runtime(&self) -> T {
        let d = self.d;
        task(
            2,
            "person",
            "integration-runtime",
            &format!("Install the integration runtime on {}", d.dms.runtime_host),
            "Waits until the integration runtime is online in the service.",
            Action::CheckRuntime { service: self.dms() },
        )
        .after(&[
            &format!("2/dms/{}", d.dms.service),
            &format!("2/note-reports/{}", d.sql_vm),
        ])
        .why("Azure can't reach the share; the integration runtime reads it and uploads the backups.")
        .secs(1800, 86_400, "a person's time")
        .back("Uninstall it; it serves only this migration.")
        .person(
            "Windows administrator",
            &[
                format!("Choose a computer that is not the one of the share; the plan expects {}.", d.dms.runtime_host),
                "Install Microsoft Integration Runtime from https://www.microsoft.com/download/details.aspx?id=39717 on it.".into(),
                format!("Make sure that it reaches {}, {} on port 1433, and Azure on port 443.", d.dms.share_path, d.dms.sql_server),
                "Copy the script (it holds the service's key, handle it as a password) and run it there as administrator.".into(),
            ],
            Some(Script {
                language: "powershell".into(),
                run_on: d.dms.runtime_host.clone(),
                text: scripts::register_runtime(),
            }),
        )
        .nodes(&[format!("runtime/{}", d.dms.runtime_host), format!("dms/{}", d.dms.service)])
    }

    fn right_to_read(&self, identity: &str) -> T {
        let d = self.d;
        let right = self.reading_right();
        let name = right.name().to_owned();
        let role = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_READER}",
            self.subscription
        );
        task(
            2,
            "role-assignment",
            &name,
            &format!("{} may read the backups", ResourceId::new(identity).name()),
            "Assigns the role Storage Blob Data Reader on the account to the identity.",
            put(
                right,
                json!({ "properties": { "roleDefinitionId": role, "principalId": d.dms.identity_principal,
                    "principalType": "ServicePrincipal" } }),
            ),
        )
        .after(&[&format!("2/storage/{}", d.backup_account)])
        .why("With an identity the service needs no key of the account.")
        .secs(60, 600, "a new role takes up to 5 minutes to apply")
        .back("Remove the role assignment (step 8 does).")
        .nodes(&[format!("storage/{}", d.backup_account)])
    }
}
