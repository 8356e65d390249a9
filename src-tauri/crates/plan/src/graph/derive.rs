//! Rights and calls of an action, derived, so that they can't disagree with what is done.

use crate::{
    address::ResourceId,
    backup::{BackupKind, BackupPlace},
    privileges,
    task::Action,
};

/// Returns the type of what an id addresses; placeholders stand for what they will hold.
fn resource_type(id: &ResourceId) -> String {
    const VAULTS: &str = "/providers/Microsoft.RecoveryServices/vaults/v";
    const SITES: &str = "/providers/Microsoft.OffAzure/VMwareSites";
    let known = [
        (
            "${asr.container}",
            format!("{VAULTS}/replicationFabrics/f/replicationProtectionContainers/c"),
        ),
        ("${asr.fabric}", format!("{VAULTS}/replicationFabrics/f")),
        ("${asr.vault}", VAULTS.to_owned()),
        ("${asr.site}", format!("{SITES}/s")),
        ("${asr.machine}", format!("{SITES}/s/machines/m")),
        ("${asr.vcenter}", format!("{SITES}/s/vCenters/v")),
        ("${asr.runAs}", format!("{SITES}/s/runAsAccounts/a")),
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
    // A provider named alone is asked of the resource manager.
    let of_provider = whole.resource_type().map(|t| {
        if t.contains('/') {
            t
        } else {
            "Microsoft.Resources/subscriptions/providers".to_owned()
        }
    });
    of_provider.unwrap_or_else(|| {
        let group = if whole.part("resourceGroups").is_some() {
            "/resourceGroups"
        } else {
            ""
        };
        format!("Microsoft.Resources/subscriptions{group}")
    })
}

/// Fills rights and calls from the action, so that they can't drift from what is done.
pub(super) fn derive(action: &Action) -> (Vec<String>, Vec<String>) {
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
    let reads = |types: &[&str]| {
        (
            types.iter().map(|t| format!("azure:{t}/read")).collect(),
            types.iter().map(|t| format!("GET {t}")).collect(),
        )
    };
    let vc = |call: &str| {
        let mut rights: Vec<String> = privileges::of_action(action, "")
            .into_iter()
            .flat_map(|(_, ids)| ids)
            .map(|id| format!("vcenter:{id}"))
            .collect();
        rights.dedup();
        (rights, vec![call.to_owned()])
    };
    // It looks into vCenter before it calls.
    let with_power = |right: String, call: String| {
        let (mut rights, calls) = vc(&call);
        rights.insert(0, format!("azure:{right}"));
        (rights, calls)
    };
    let keys = |account: &ResourceId| {
        (
            vec!["azure:Microsoft.Storage/storageAccounts/listKeys/action".to_owned()],
            format!("POST Microsoft.Storage/storageAccounts/{}/listKeys", account.name()),
        )
    };
    match action {
        Action::RegisterProvider { namespace } => one(
            format!("{namespace}/register/action"),
            format!("POST providers/{namespace}/register"),
        ),
        Action::Put { id, .. } => one(format!("{}/write", kind(id)), format!("PUT {}{}", kind(id), name(id))),
        Action::Patch { id, .. } => one(format!("{}/write", kind(id)), format!("PATCH {}{}", kind(id), name(id))),
        Action::Delete { id, .. } => one(
            format!("{}/delete", kind(id)),
            format!("DELETE {}{}", kind(id), name(id)),
        ),
        Action::Post { id, verb, .. } | Action::Call { id, verb, .. } => one(
            format!("{}/{verb}/action", kind(id)),
            format!("POST {}{}/{verb}", kind(id), name(id)),
        ),
        Action::Remove {
            id, verb: Some(verb), ..
        } => one(
            format!("{}/{verb}/action", kind(id)),
            format!("POST {}{}/{verb}", kind(id), name(id)),
        ),
        Action::Remove { id, .. } => one(
            format!("{}/delete", kind(id)),
            format!("DELETE {}{}", kind(id), name(id)),
        ),
        Action::CheckRetired { .. } => reads(&[
            "Microsoft.RecoveryServices/vaults",
            "Microsoft.RecoveryServices/vaults/replicationFabrics",
            "Microsoft.RecoveryServices/vaults/replicationProtectedItems",
            "Microsoft.Migrate/migrateProjects",
            "Microsoft.Migrate/migrateProjects/solutions",
        ]),
        Action::CheckReplication { item, vault } => reads(&[
            &kind(item),
            &format!("{}/replicationEvents", kind(vault)),
            &format!("{}/replicationJobs", kind(vault)),
        ]),
        Action::ListGroup { .. } => reads(&["Microsoft.Resources/subscriptions/resourceGroups/resources"]),
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
        Action::CompleteLogReplay { database, .. } => with_power(
            format!("{}/completeRestore/action", kind(database)),
            format!("POST {}/{}/completeRestore", kind(database), database.name()),
        ),
        Action::CheckLocks { .. } => one(
            "Microsoft.Authorization/locks/read".into(),
            "GET Microsoft.Authorization/locks".into(),
        ),
        Action::CheckClassicDms => one(
            "Microsoft.DataMigration/services/read".into(),
            "GET Microsoft.DataMigration/services".into(),
        ),
        Action::CheckRuntime { service } => (
            vec![
                format!("azure:{}/read", kind(service)),
                format!("azure:{}/listMonitoringData/action", kind(service)),
            ],
            vec![
                format!("GET {}{}", kind(service), name(service)),
                format!("POST {}{}/listMonitoringData", kind(service), name(service)),
            ],
        ),
        Action::RemoveRuntime { service } => one(
            format!("{}/deleteNode/action", kind(service)),
            format!("POST {}{}/deleteNode", kind(service), name(service)),
        ),
        Action::StartDms {
            migration,
            account,
            body,
        } => {
            let (mut rights, mut calls) = one(
                format!("{}/write", kind(migration)),
                format!("PUT {}{}", kind(migration), name(migration)),
            );
            if body.to_string().contains("${secret:account-key}") {
                rights.push(format!("azure:{}/listKeys/action", kind(account)));
                calls.insert(0, format!("POST {}{}/listKeys", kind(account), name(account)));
            }
            (rights, calls)
        }
        Action::FollowDms { migration, .. } => one(
            format!("{}/read", kind(migration)),
            format!("GET {}{}", kind(migration), name(migration)),
        ),
        Action::CutOverDms { migration, .. } => with_power(
            format!("{}/cutover/action", kind(migration)),
            format!("POST {}{}/cutover", kind(migration), name(migration)),
        ),
        Action::RunCommand { vm, name, .. } => one(
            format!("{}/runCommands/write", kind(vm)),
            format!("PUT {}/{}/runCommands/{name}", kind(vm), vm.name()),
        ),
        Action::SwitchConfig { vm, suffix, write, .. } => {
            let call = |method: &str, what: &str| {
                format!("{method} {}/{}/runCommands/rehost-{what}-{suffix}", kind(vm), vm.name())
            };
            let mut calls = vec![call("PUT", "read-config"), call("DELETE", "read-config")];
            calls.extend(write.then(|| call("PUT", "switch-connection")));
            let rights = ["read", "write", "delete"];
            (
                rights.map(|r| format!("azure:{}/runCommands/{r}", kind(vm))).into(),
                calls,
            )
        }
        Action::CheckBoot { vm } => one(
            format!("{}/retrieveBootDiagnosticsData/action", kind(vm)),
            format!("POST {}/{}/retrieveBootDiagnosticsData", kind(vm), vm.name()),
        ),
        Action::BackUp { database, kind, to, .. } => {
            let of = match kind {
                BackupKind::Full | BackupKind::Differential => "DATABASE",
                BackupKind::Log | BackupKind::Tail => "LOG",
            };
            let mut calls = vec![format!("BACKUP {of} {database}")];
            let BackupPlace::Container { account, container } = to else {
                return (vec![], calls);
            };
            let (rights, keys) = keys(account);
            calls.insert(0, keys);
            calls.push(format!("GET {}/{container}?comp=list", account.name()));
            (rights, calls)
        }
        Action::ForgetCredential { account, container } => {
            (vec![], vec![format!("DROP CREDENTIAL {}/{container}", account.name())])
        }
        Action::UploadBackup { account, container, .. } => {
            let (rights, keys) = keys(account);
            (rights, vec![keys, format!("PUT {}/{container}", account.name())])
        }
        // On SQL Server itself `sysadmin`, without which hashes can't be read and logins can't be made.
        Action::MeasureDatabase { database, .. } => (vec![], vec![format!("SELECT {database} (source)")]),
        Action::ProveDatabase { instance, database, .. } => {
            let (rights, mut calls) = one(
                format!("{}/read", kind(instance)),
                format!("GET {}{}", kind(instance), name(instance)),
            );
            calls.push(format!("SELECT {database} (managed instance)"));
            (rights, calls)
        }
        Action::CheckServers { instance, .. } => {
            let (rights, mut calls) = one(
                format!("{}/read", kind(instance)),
                format!("GET {}{}", kind(instance), name(instance)),
            );
            calls.push("SELECT (source and managed instance)".into());
            (rights, calls)
        }
        Action::CheckSource {
            instance,
            account,
            backups,
            ..
        } => {
            let mut rights = vec![];
            let mut calls = vec![];
            for id in [instance, account] {
                rights.push(format!("azure:{}/read", kind(id)));
                calls.push(format!("GET {}{}", kind(id), name(id)));
            }
            rights.push(format!("azure:{}/databases/read", kind(instance)));
            calls.push(format!("GET {}{}/databases", kind(instance), name(instance)));
            if *backups {
                rights.push(format!("azure:{}/listKeys/action", kind(account)));
                calls.push(format!("POST {}{}/listKeys", kind(account), name(account)));
            }
            calls.push("SELECT (source and managed instance)".into());
            (rights, calls)
        }
        // On SQL Server itself CONTROL on the certificate, which members of `sysadmin` have. Unverified: that CONTROL is
        // enough (Microsoft only says "access to the private key"), and the right's name in Azure.
        Action::BringCertificate { instance, database } => {
            let (rights, mut calls) = one(
                format!("{}/tdeCertificates/action", kind(instance)),
                format!("POST {}{}/tdeCertificates", kind(instance), name(instance)),
            );
            calls.insert(0, format!("SELECT CERTENCODED, CERTPRIVATEKEY ({database}, source)"));
            (rights, calls)
        }
        Action::MoveAround { instance, kind: of, .. } => {
            let (rights, mut calls) = one(
                format!("{}/read", kind(instance)),
                format!("GET {}{}", kind(instance), name(instance)),
            );
            calls.push(format!("SELECT {} (source)", of.words()));
            calls.push(format!("CREATE {} (managed instance)", of.words()));
            (rights, calls)
        }
        Action::CheckVCenter { .. }
        | Action::CheckVm { .. }
        | Action::CheckVmRuns { .. }
        | Action::CheckReadiness { .. }
        | Action::NoteReports { .. }
        | Action::CheckReported { .. }
        | Action::CheckPower { .. } => vc("RetrievePropertiesEx"),
        Action::CheckVCenterRights { .. } => vc("HasPrivilegeOnEntities"),
        Action::EnsureRole { .. } => vc("AddAuthorizationRole"),
        Action::RemoveRole { .. } => vc("RemoveAuthorizationRole"),
        Action::CheckPrincipal { .. } => vc("RetrieveUserGroups"),
        Action::GrantRole { .. } => vc("SetEntityPermissions"),
        Action::RevokeRole { .. } => vc("RemoveEntityPermission"),
        Action::ShutDownVm { .. } => vc("ShutdownGuest"),
        Action::RenameVm { .. } => vc("Rename_Task"),
        Action::AnnotateVm { .. } => vc("ReconfigVM_Task"),
        Action::EnsureFolder { .. } => vc("CreateFolder"),
        Action::MoveVm { .. } => vc("MoveIntoFolder_Task"),
        Action::DestroyVm { .. } => vc("Destroy_Task"),
        Action::CheckLedger { .. } | Action::NotNeeded { .. } | Action::Gate { .. } | Action::WaitDays { .. } => {
            (vec![], vec![])
        }
    }
}
