//! Step 6: backup, Log Replay Service, database cutover.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step6(&self) -> Step {
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
}
