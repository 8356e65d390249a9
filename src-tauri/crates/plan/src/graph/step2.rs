//! Step 2: storage, container and SAS for Log Replay Service.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step2(&self) -> Step {
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
}
