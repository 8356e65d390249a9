//! Step 6: backup, restore, database cutover.
//!
//! The order is the same whatever restores: the source is backed up while the application runs; the failover of the web
//! machine shuts the application down; only then the tail of the log is backed up, with NORECOVERY, so that nothing can
//! be written to the source after it; and the target opens only after exactly that file was restored. So no transaction
//! can be lost between source and target.
//!
//! * Log Replay Service and Database Migration Service *online* restore full and log backups before the window; in it
//!   only the tail is left. The cutover is refused unless the tail was restored and nothing waits.
//! * Database Migration Service *offline* must be told the last file's name at its start, and takes no file that comes
//!   later. So it starts after the tail-log backup, inside the window: longer downtime (a finding says so), no loss.
//!
//! Several databases go this way side by side, each with its own folder and its own tasks, and each is cut over by itself
//! when nothing stands against it. The tail of each waits for the application to stop; the application starts only when the
//! last of them is online.
//!
//! The backups are taken by a person with scripts, or by Rehost ([`BackupDesign`]). Rehost takes no log backups without end:
//! one proves the chain, a second begins with the change window, while the machine is being shut down, so that the tail is
//! short. Whoever keeps the log short in the weeks between goes on doing so; where those files went is checked.

use super::builder::*;
use crate::backup::{BackupDesign, BackupKind, BackupPlace, SourceAfter};

impl Builder<'_> {
    pub(super) fn step6(&self) -> Step {
        let mut tasks = vec![];
        for one in self.databases() {
            tasks.extend(one.database_tasks().into_iter().map(|mut t| {
                if t.0.address.kind() != "check-stopped" {
                    t.0.title = one.own_title(&t.0.title);
                }
                t
            }));
        }
        tasks.extend(self.forget_credential());
        let title = if self.each.len() > 1 {
            "Migrate the databases"
        } else {
            "Migrate the database"
        };
        step(6, title, tasks)
    }

    fn database_tasks(&self) -> Vec<T> {
        let d = self.d;
        let mi_node = format!("mi/{}", d.mi.name);
        let mut flow = vec![
            format!("storage/{}", d.backup_account),
            mi_node.clone(),
            "flow/restore".to_owned(),
        ];
        if d.uses_dms() {
            flow.push(format!("dms/{}", d.dms.service));
        }
        let offline = d.database_method == DatabaseMethod::DmsOffline;
        let restore = |name: &str, title: &str, what: &str, action: Action| {
            task(6, "restore", &self.own(name), title, what, action).nodes(&flow)
        };

        let mut tasks = self.full_backup();
        if !offline {
            tasks.push(self.start().after(&[&self.backed(BackupKind::Full)]).nodes(&flow));
            tasks.push(
                restore(
                    "full",
                    "Restore the full backup",
                    "Follows the restore until the full backup is on the managed instance.",
                    self.follow(DmsUntil::FullBackup),
                )
                .after(&[&self.start_address()])
                .why("The long part is done before the change window.")
                .secs(2100, 3600, "depends on the database's size; assumed for 42 GB")
                .back("Stop the restore and delete the database on the managed instance."),
            );
        }
        tasks.extend(self.log_backup(offline));
        if !offline {
            tasks.push(
                restore(
                    "logs",
                    "Replay the log backups",
                    "Follows the restore until the first log backup is replayed.",
                    self.follow(DmsUntil::LogBackup),
                )
                .after(&[&self.restore("full"), &self.backed(BackupKind::Log)])
                .why("It proves that the log chain is unbroken before the change window.")
                .secs(120, 900, NOT_PUBLISHED),
            );
        }
        if self.further.is_empty() {
            tasks.push(self.stopped());
        }
        let log = self.backed(BackupKind::Log);
        let mut before = vec![
            format!("6/check-stopped/{}", d.web_vm),
            if offline { log } else { self.restore("logs") },
        ];
        if d.backups.is_some() {
            before.push(format!("6/{}/{}", self.brought(), self.own("last-log")));
        }
        tasks.extend(self.tail_backup(&before));
        let tail = self.backed(BackupKind::Tail);
        let online = "Changes made on the managed instance from now on are lost when going back to the source.";
        let last = if offline {
            tasks.push(self.start().after(&[&tail]).nodes(&flow));
            tasks.push(
                restore(
                    "all",
                    "Restore all backups",
                    "Follows the migration to its end: the database comes online on the managed instance.",
                    self.follow(DmsUntil::Succeeded),
                )
                .after(&[&self.start_address()])
                .why("An offline migration restores full backup, logs and tail in one go, and ends by itself.")
                .secs(2700, 5400, "depends on the database's size; assumed for 42 GB")
                .back(online)
                .no_return(),
            );
            self.restore("all")
        } else {
            tasks.push(
                restore(
                    "tail",
                    "Replay the tail-log backup",
                    "Follows the restore until the last file is replayed.",
                    self.follow(DmsUntil::File { name: self.tail() }),
                )
                .after(&[&tail])
                .why("The cutover is refused before the last backup is restored.")
                .secs(120, 900, NOT_PUBLISHED),
            );
            let (what, action) = if d.uses_dms() {
                (
                    "Tells the service that the last file was restored; the database comes online on the managed instance.",
                    Action::CutOverDms {
                        migration: self.migration(),
                        last_file: self.tail(),
                        application: d.web_vm.clone(),
                    },
                )
            } else {
                (
                    "Ends Log Replay Service; the database comes online on the managed instance.",
                    Action::CompleteLogReplay {
                        database: self.database(),
                        last_file_fact: self.own("db.tailBackup"),
                        application: d.web_vm.clone(),
                    },
                )
            };
            tasks.push(
                task(6, "complete", &d.database, "Cut over the database", what, action)
                    .after(&[&self.restore("tail")])
                    .why("Until then the database can't be read or written.")
                    .secs(120, 600, NOT_PUBLISHED)
                    .back(online)
                    .no_return()
                    .nodes(&flow),
            );
            format!("6/complete/{}", d.database)
        };
        tasks.push(
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
            .after(&[&last])
            .why("The scenario verifies that the target database exists on the instance.")
            .nodes(&[mi_node]),
        );
        tasks
    }

    /// Only Rehost's own backups into the container need its credential, and the tails are the last of them.
    fn forget_credential(&self) -> Option<T> {
        let d = self.d;
        let needed = d.backups.is_some() && !d.from_share() && !d.uploads_backups();
        let tails: Vec<String> = self.databases().map(|one| one.backed(BackupKind::Tail)).collect();
        needed.then(|| {
            task(
                6,
                "forget-credential",
                &d.backup_container,
                "Drop the container's credential",
                "Drops the credential on the source SQL Server that held the SAS for the backups, if Rehost made it.",
                Action::ForgetCredential {
                    account: self.account(&d.backup_account),
                    container: d.backup_container.clone(),
                },
            )
            .after(&tails.iter().map(String::as_str).collect::<Vec<_>>())
            .why("A SAS that writes must not stay on a server longer than it is needed.")
            .back("A new run makes it again.")
            .nodes(&[format!("vm/{}", d.sql_vm)])
        })
    }

    /// The application has stopped, and with it whatever writes.
    fn stopped(&self) -> T {
        let d = self.d;
        task(
            6,
            "check-stopped",
            &d.web_vm,
            "The web site on-premises is stopped",
            &format!("Waits until the failover has shut down {} in vCenter.", d.web_vm),
            Action::CheckPower {
                vm: d.web_vm.clone(),
                state: "poweredOff".into(),
            },
        )
        .after(&["7/gate/cutover"])
        .why("Nothing may write to the database after the last backup.")
        .secs(240, 900, "shutdown is the failover's first part")
        .nodes(&[format!("vm/{}", d.web_vm)])
    }

    fn restore(&self, name: &str) -> String {
        format!("6/restore/{}", self.own(name))
    }

    /// Kind of the task with which a backup of Rehost's has arrived.
    fn brought(&self) -> &'static str {
        if self.d.uploads_backups() { "upload" } else { "backup" }
    }

    /// File name of the tail-log backup: what arrived in the container, what Rehost has taken, or what the script writes to the
    /// share.
    fn tail(&self) -> String {
        if self.d.from_share() && self.d.backups.is_none() {
            scripts::tail_name(&self.d.database)
        } else {
            format!("${{{}}}", self.own("db.tailBackup"))
        }
    }

    fn follow(&self, until: DmsUntil) -> Action {
        if self.d.uses_dms() {
            return Action::FollowDms {
                migration: self.migration(),
                until,
            };
        }
        let until_fact = match until {
            DmsUntil::FullBackup => "db.fullBackup",
            DmsUntil::LogBackup => "db.logBackup",
            DmsUntil::File { .. } | DmsUntil::Succeeded => "db.tailBackup",
        };
        Action::FollowLogReplay {
            database: self.database(),
            until_fact: self.own(until_fact),
        }
    }

    fn start_address(&self) -> String {
        let kind = if self.d.uses_dms() { "migration" } else { "log-replay" };
        format!("6/{kind}/{}", self.d.database)
    }

    /// The task that starts the restore.
    fn start(&self) -> T {
        let d = self.d;
        let instance = format!("1/managed-instance/{}", d.mi.name);
        let started = if d.uses_dms() {
            let started = task(
                6,
                "migration",
                &d.database,
                "Start the database migration",
                &format!("Tells {} to restore {} onto {}.", d.dms.service, d.database, d.mi.name),
                Action::StartDms {
                    migration: self.migration(),
                    account: self.account(&d.backup_account),
                    body: self.migration_body(),
                },
            )
            .after(&[
                &instance,
                &format!("2/dms/{}", d.dms.service),
                &format!("2/storage/{}", d.backup_account),
            ])
            .back("Cancel the migration and delete its record; the half-restored database goes with it. The source is untouched.");
            let started = if d.from_share() {
                started.after(&["2/person/integration-runtime"])
            } else {
                started
            };
            match d.reading_identity() {
                Some(_) => started.after(&[&format!("2/role-assignment/{}", self.reading_right().name())]),
                None => started,
            }
        } else {
            task(
                6,
                "log-replay",
                &d.database,
                "Start Log Replay Service",
                &format!("Starts restoring {} from the container onto {}.", d.database, d.mi.name),
                Action::StartLogReplay {
                    database: self.database(),
                    location: d.location.clone(),
                    account: self.account(&d.backup_account),
                    container: d.backup_container.clone(),
                    sas: "restore".into(),
                },
            )
            .after(&["2/sas/restore", &instance])
            .back("Stop the restore and delete the database on the managed instance. The source is untouched.")
        };
        let why = if d.database_method == DatabaseMethod::DmsOffline {
            "It must be told the last file's name, and takes no file that comes later."
        } else {
            "It replays full and log backups as they arrive, until the cutover."
        };
        started.why(why).secs(30, 300, NOT_PUBLISHED)
    }

    /// What starts the migration; the same as in Microsoft's examples of 2023-07-15-preview (share) and 2025-06-30
    /// (container and identity).
    fn migration_body(&self) -> Value {
        let d = self.d;
        let account = self.account(&d.backup_account);
        let key = "${secret:account-key}";
        let backups = if d.from_share() {
            json!({ "sourceLocation": { "fileShare": { "path": d.dms.share_path, "username": d.dms.share_user,
                    "password": format!("${{secret:{SHARE_SECRET}}}") } },
                "targetLocation": { "storageAccountResourceId": account, "accountKey": key } })
        } else {
            let mut blob = json!({ "storageAccountResourceId": account, "blobContainerName": d.backup_container });
            match d.reading_identity() {
                Some(identity) => {
                    blob["authType"] = json!("ManagedIdentity");
                    blob["identity"] = json!({ "type": "UserAssigned", "userAssignedIdentities": { identity: {} } });
                }
                None => blob["accountKey"] = json!(key),
            }
            json!({ "sourceLocation": { "azureBlob": blob } })
        };
        let mut properties = json!({ "kind": "SqlMi", "scope": self.mi(), "migrationService": self.dms(),
            "sourceDatabaseName": d.database, "backupConfiguration": backups });
        // With an identity Microsoft's example names no source connection; the fewer secrets travel, the better.
        if d.reading_identity().is_none() {
            properties["sourceSqlConnection"] = json!({ "dataSource": d.dms.sql_server, "authentication": "SqlAuthentication",
                "userName": d.dms.sql_user, "password": format!("${{secret:{SQL_SECRET}}}"),
                "encryptConnection": true, "trustServerCertificate": d.dms.sql_trust_certificate });
        }
        if d.database_method == DatabaseMethod::DmsOffline {
            properties["offlineConfiguration"] = json!({ "offline": true, "lastBackupName": self.tail() });
        }
        json!({ "properties": properties })
    }

    /// A backup that the database administrator takes: into the container, where it is seen to arrive, or to the share,
    /// whence the script reports it.
    fn backup(&self, name: &str, title: &str, which: &str, [suffix, fact, key]: [&str; 3]) -> T {
        let d = self.d;
        let (what, action) = if d.from_share() {
            (
                format!("Waits until the script reports {which}."),
                Action::CheckReported {
                    vm: d.sql_vm.clone(),
                    key: self.own(key),
                },
            )
        } else {
            (
                format!("Waits until {which} has arrived in the container."),
                Action::CheckBlobs {
                    account: self.account(&d.backup_account),
                    container: d.backup_container.clone(),
                    suffix: suffix.into(),
                    min: 1,
                    fact: self.own(fact),
                },
            )
        };
        let place = if d.from_share() {
            "share/backups".to_owned()
        } else {
            format!("storage/{}", d.backup_account)
        };
        task(6, "person", &self.own(name), title, &what, action).nodes(&[
            format!("vm/{}", d.sql_vm),
            place,
            "flow/backup".into(),
        ])
    }

    /// The script for SQL Server itself, or the one that writes to the share.
    fn script(
        &self,
        container: impl Fn(&str, &str, &str) -> String,
        share: impl Fn(&str, &str, &str) -> String,
        key: &str,
    ) -> Option<Script> {
        let d = self.d;
        let (language, text) = if d.from_share() {
            ("powershell", share(&d.database, &d.dms.share_path, &self.own(key)))
        } else {
            ("sql", container(&d.database, &d.backup_account, &d.backup_container))
        };
        Some(Script {
            language: language.into(),
            run_on: d.sql_vm.clone(),
            text,
        })
    }

    /// Where a backup of this kind has arrived.
    pub(super) fn backed(&self, kind: BackupKind) -> String {
        match &self.d.backups {
            Some(_) => format!("6/{}/{}", self.brought(), self.own(kind.id())),
            None => format!("6/person/{}", self.own(&format!("{}-backup", kind.id()))),
        }
    }

    fn full_backup(&self) -> Vec<T> {
        let Some(b) = &self.d.backups else {
            return vec![self.full_by_person()];
        };
        let first = if self.d.from_share() {
            "2/person/integration-runtime".to_owned()
        } else if self.d.uploads_backups() {
            format!("2/container/{}", self.whole.backup_container)
        } else {
            "2/sas/backup".to_owned()
        };
        self.back_up(b, BackupKind::Full, BackupKind::Full.id(), "db.fullBackup", &[first])
    }

    /// The first log backup, before it the differential one, and with Rehost the one with which the change window begins.
    fn log_backup(&self, offline: bool) -> Vec<T> {
        let Some(b) = &self.d.backups else {
            return vec![self.log_by_person()];
        };
        let full = if offline {
            self.backed(BackupKind::Full)
        } else {
            self.restore("full")
        };
        let mut tasks = vec![];
        let mut before = vec![full];
        if b.differential {
            let kind = BackupKind::Differential;
            tasks.extend(self.back_up(b, kind, kind.id(), "db.differentialBackup", &before));
            before = vec![self.backed(kind)];
        }
        let kind = BackupKind::Log;
        tasks.extend(self.back_up(b, kind, kind.id(), "db.logBackup", &before));
        let before = ["7/gate/cutover".to_owned(), self.backed(kind)];
        tasks.extend(self.back_up(b, kind, "last-log", "db.lastLogBackup", &before));
        tasks
    }

    fn tail_backup(&self, before: &[String]) -> Vec<T> {
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        match &self.d.backups {
            Some(b) => {
                let before: Vec<String> = before.into_iter().map(str::to_owned).collect();
                self.back_up(b, BackupKind::Tail, BackupKind::Tail.id(), "db.tailBackup", &before)
            }
            None => vec![self.tail_by_person().after(&before)],
        }
    }

    /// One backup that Rehost takes, and its upload.
    fn back_up(&self, b: &BackupDesign, kind: BackupKind, name: &str, fact: &str, before: &[String]) -> Vec<T> {
        let d = self.d;
        let uploads = d.uploads_backups();
        let folder = |path: &str| BackupPlace::Folder {
            path: path.to_owned(),
            make: self.each.len() > 1,
        };
        let to = if d.from_share() {
            folder(&d.dms.share_path)
        } else if uploads {
            folder(&b.folder)
        } else {
            BackupPlace::Container {
                account: self.account(&d.backup_account),
                container: d.backup_container.clone(),
            }
        };
        let place = match &to {
            BackupPlace::Container { .. } => format!("storage/{}", d.backup_account),
            BackupPlace::Folder { .. } => "share/backups".to_owned(),
        };
        let nodes = [format!("vm/{}", d.sql_vm), place, "flow/backup".to_owned()];
        let striped = matches!(kind, BackupKind::Full | BackupKind::Differential);
        let title = match (kind, name) {
            (BackupKind::Full, _) => format!("Back up {}", d.database),
            (BackupKind::Differential, _) => "Take the differential backup".to_owned(),
            (BackupKind::Log, "last-log") => "Take the log backup of the change window".to_owned(),
            (BackupKind::Log, _) => "Take the first log backup".to_owned(),
            (BackupKind::Tail, _) => "Take the tail-log backup".to_owned(),
        };
        let what = match kind {
            BackupKind::Full => "SQL Server writes the full backup with CHECKSUM; where it can, with COMPRESSION.",
            BackupKind::Differential => "SQL Server writes what has changed since the full backup.",
            BackupKind::Log => "SQL Server writes the log since the last backup of it.",
            BackupKind::Tail => "SQL Server throws everybody out, and writes the last of the log.",
        };
        let why = match (kind, name) {
            (BackupKind::Full, _) => "The restore takes backups that are there; no service takes one itself.",
            (BackupKind::Differential, _) => "The restore replays it in place of all log backups before it.",
            (BackupKind::Log, "last-log") => {
                "Taken while the machine is being shut down, it leaves little for the tail, and so for the downtime."
            }
            (BackupKind::Log, _) => "It proves that the log chain is unbroken before the change window.",
            (BackupKind::Tail, _) => match b.source_after {
                SourceAfter::Restoring => {
                    "It holds the last transactions and leaves the source in RESTORING, so that nobody writes to it by mistake."
                }
                SourceAfter::ReadOnly => {
                    "It holds the last transactions and leaves the source readable in STANDBY, so that nobody writes to it by mistake."
                }
            },
        };
        let back = match kind {
            BackupKind::Tail => {
                "RESTORE DATABASE … WITH RECOVERY and ALTER DATABASE … SET MULTI_USER bring the source back to life; Undo does both."
            }
            _ => "Delete the backup's files when nobody needs them; the source is unchanged.",
        };
        let (p50, p95, source) = match kind {
            BackupKind::Full => (1200, 7200, "depends on the database's size; assumed for 42 GB"),
            BackupKind::Differential => (300, 1800, "depends on what has changed"),
            BackupKind::Log | BackupKind::Tail => (20, 300, "depends on what was written since"),
        };
        let taken = task(
            6,
            "backup",
            &self.own(name),
            &title,
            what,
            Action::BackUp {
                database: d.database.clone(),
                kind,
                to,
                files: if striped { b.files.clamp(1, 64) } else { 1 },
                source_after: b.source_after,
                fact: self.own(fact),
            },
        )
        .why(why)
        .secs(p50, p95, source)
        .back(back)
        .nodes(&nodes)
        .after(&before.iter().map(String::as_str).collect::<Vec<_>>());
        if !uploads {
            return vec![taken];
        }
        let (p50, p95, source) = match kind {
            BackupKind::Full | BackupKind::Differential => {
                (2400, 14_400, "depends on size and line; assumed for 18 GB at 60 Mbit/s")
            }
            BackupKind::Log | BackupKind::Tail => (30, 300, "depends on what was written since"),
        };
        let uploaded = task(
            6,
            "upload",
            &self.own(name),
            &format!("Upload the {}", kind.words()),
            "Reads the files from the folder and brings them into the container in blocks, each checked by the service.",
            Action::UploadBackup {
                folder: b.folder.clone(),
                account: self.account(&d.backup_account),
                container: d.backup_container.clone(),
                fact: self.own(fact),
            },
        )
        .after(&[&format!("6/backup/{}", self.own(name))])
        .why("The restore reads from the container. What was uploaded is not uploaded again after an interruption.")
        .secs(p50, p95, source)
        .back("Delete the files in the container.")
        .nodes(&[
            "share/backups".to_owned(),
            format!("storage/{}", d.backup_account),
            "flow/backup".to_owned(),
        ]);
        vec![taken, uploaded]
    }

    fn full_by_person(&self) -> T {
        let d = self.d;
        let (sign_in, copy) = if d.from_share() {
            (
                format!(
                    "Sign in to {} as a member of sysadmin who may write to {}, and open PowerShell as administrator.",
                    d.sql_vm, d.dms.share_path
                ),
                format!(
                    "Make sure that the folder {} is empty, and that SQL Server's service account may write to it.",
                    d.dms.share_path
                ),
            )
        } else {
            (
                format!(
                    "Sign in to {} with SQL Server Management Studio as a member of sysadmin.",
                    d.sql_vm
                ),
                "Copy the script: it holds a SAS, handle it as a password.".to_owned(),
            )
        };
        self.backup(
            "full-backup",
            &format!("Back up {}", d.database),
            "the full backup",
            ["_full_01.bak", "db.fullBackup", "full"],
        )
        .after(&[if d.from_share() {
            "2/person/integration-runtime"
        } else {
            "2/sas/backup"
        }])
        .why("The restore takes backups that are there; no service takes one itself.")
        .secs(2280, 86_400, "depends on the database's size; assumed for 42 GB")
        .back("Delete the backups; the source is unchanged.")
        .person(
            "database administrator",
            &[
                sign_in,
                format!("Make sure that {} uses the FULL recovery model.", d.database),
                copy,
                "Run the script. CHECKSUM and COMPRESSION are required.".into(),
                "Schedule the script of the next task every 15 minutes until the cutover.".into(),
            ],
            self.script(scripts::full_backup, scripts::full_backup_to_share, "full"),
        )
    }

    fn log_by_person(&self) -> T {
        self.backup(
            "log-backup",
            "Log backups arrive",
            "the first log backup",
            [".trn", "db.logBackup", "log"],
        )
        .after(&[&self.backed(BackupKind::Full)])
        .why("With logs shipped continuously, the cutover needs only the tail.")
        .secs(900, 3600, "a log backup every 15 minutes")
        .person(
            "database administrator",
            &[
                "Let the log backup of the script run every 15 minutes (SQL Server Agent job).".into(),
                "Don't run other log backups of this database: they would break the chain.".into(),
            ],
            self.script(scripts::log_backup, scripts::log_backup_to_share, "log"),
        )
    }

    fn tail_by_person(&self) -> T {
        self.backup(
            "tail-backup",
            "Take the tail-log backup",
            "the last log backup",
            ["_tail.trn", "db.tailBackup", "tail"],
        )
        .why("It holds the last transactions and leaves the source in RESTORING, so that nobody writes to it by mistake.")
        .secs(180, 3600, "a person's time")
        .back(&format!(
            "RESTORE DATABASE {0} WITH RECOVERY; ALTER DATABASE {0} SET MULTI_USER; brings the source back to life.",
            scripts::name(&self.d.database)
        ))
        .person(
            "database administrator",
            &[
                "Stop the scheduled log backups.".into(),
                "Copy the script and run it now: it backs up the tail of the log WITH NORECOVERY.".into(),
            ],
            self.script(scripts::tail_backup, scripts::tail_backup_to_share, "tail"),
        )
    }
}
