//! Azure Migrate's migration items (`VMwareCbt`): a machine's way from initial seeding over delta cycles and test migration
//! to the migration, with what the appliance's gateway tells on the way.
//!
//! Booleans are texts here, as in the service. States and allowed operations are those of Microsoft's OpenAPI file of
//! 2024-04-01. Unverified: scenarios (named as the operations are) and tasks of jobs, and all codes and words with which a
//! request is refused; Microsoft publishes none.

use axum::http::Method as Verb;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use super::{
    Answer, Refusal, Req, Resp,
    authorization::{BLOB_DATA_CONTRIBUTOR, CONTRIBUTOR, has_role},
    last, offazure, parent,
    recovery::{Appliance, MAPPINGS, Method, NEVER, accepted, appliance_identity, missing, own},
    replicated::{self, Item as _, Replicated, allowed, check_network, clean_up, on_item, subnet_or_first, wanted},
};
use crate::{
    onprem::{LabVm, Power},
    world::{World, plus},
};

const ITEMS: &str =
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationMigrationItems";
const DISKS: &str = "Microsoft.Compute/disks";

// Durations in lab seconds.
const ENABLE: i64 = 5 * 60;
const SEED: i64 = 95 * 60;
/// A cycle of changes, once it runs.
const DELTA: i64 = 6 * 60;
const TEST: i64 = 11 * 60;
const CLEANUP: i64 = 4 * 60;
const MIGRATE: i64 = 22 * 60;
const SHUTDOWN: i64 = 3 * 60;
const COMPLETE: i64 = 3 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Enabling,
    EnableFailed,
    Seeding { from: Timestamp, to: Timestamp },
    Replicating,
    Migrating,
    Migrated,
    Disabling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    None,
    Running,
    Succeeded,
    Cleaning,
}

/// Something that hinders an item, in the service's words.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub code: &'static str,
    pub message: String,
    pub causes: &'static str,
    pub action: &'static str,
    pub at: Timestamp,
}

impl Trouble {
    fn health_error(&self) -> Value {
        json!({
            "errorSource": "SiteRecovery", "errorType": "ProtectionHealth", "errorLevel": "Error", "errorCategory": "Replication", "errorCode": self.code,
            "errorMessage": self.message, "possibleCauses": self.causes, "recommendedAction": self.action,
            "creationTimeUtc": self.at.to_string(), "errorId": self.code, "customerResolvability": "Allowed", "innerHealthErrors": [],
        })
    }
}

/// A machine that Azure Migrate replicates.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    of: Replicated,
    pub stage: Stage,
    pub test: Test,
    /// When the initial seeding ran.
    pub seeded: Option<(Timestamp, Timestamp)>,
    /// Cycles end here: the machine is being migrated.
    pub stopped: Option<Timestamp>,
    /// The recovery point of the last, demanded cycle.
    pub last_sync: Option<Timestamp>,
    pub last_migration: Option<Timestamp>,
    /// Managed disks into which the machine is replicated.
    pub seeds: Vec<String>,
    pub trouble: Option<Trouble>,
}

/// Where the cycles of changes stand.
#[derive(Debug, PartialEq, Eq)]
struct Cycles {
    /// The newest recovery point.
    point: Timestamp,
    /// Begin and end of the cycle under way.
    running: Option<(Timestamp, Timestamp)>,
}

/// Cycles after a seeding `from`–`to`, looked at `now`: the next one starts after half the time of the last, at least one
/// hour and at most twelve.
fn cycles(from: Timestamp, to: Timestamp, now: Timestamp) -> Cycles {
    let (mut last, mut end) = (to.duration_since(from), to);
    loop {
        let wait = (last / 2).clamp(SignedDuration::from_hours(1), SignedDuration::from_hours(12));
        let begin = plus(end, wait);
        let finish = plus(begin, SignedDuration::from_secs(DELTA));
        if finish > now {
            let running = (begin <= now).then_some((begin, finish));
            return Cycles { point: end, running };
        }
        (last, end) = (SignedDuration::from_secs(DELTA), finish);
    }
}

impl Deref for Item {
    type Target = Replicated;
    fn deref(&self) -> &Replicated {
        &self.of
    }
}

impl DerefMut for Item {
    fn deref_mut(&mut self) -> &mut Replicated {
        &mut self.of
    }
}

impl replicated::Item for Item {
    const OBJECT: &'static str = "MigrationItem";
    const NOT_NOW: &'static str = "OperationNotAllowed";

    fn all(world: &World) -> &BTreeMap<String, Self> {
        &world.cloud.migrations
    }

    fn all_mut(world: &mut World) -> &mut BTreeMap<String, Self> {
        &mut world.cloud.migrations
    }

    fn operations(&self, _now: Timestamp) -> Vec<&'static str> {
        if self.job.is_some() && self.stage != Stage::Enabling {
            return vec![];
        }
        match (self.stage, self.test) {
            (Stage::Enabling | Stage::EnableFailed | Stage::Seeding { .. } | Stage::Migrated, _) => {
                vec!["DisableMigration"]
            }
            (Stage::Replicating, Test::None) => vec!["DisableMigration", "TestMigrate", "Migrate"],
            (Stage::Replicating, Test::Succeeded) => vec!["TestMigrateCleanup"],
            _ => vec![],
        }
    }
}

impl Item {
    fn cycles(&self, now: Timestamp) -> Option<Cycles> {
        let (from, to) = self.seeded?;
        let mut found = cycles(from, to, self.stopped.unwrap_or(now));
        if let Some(sync) = self.last_sync {
            found.point = sync;
        }
        if self.stopped.is_some() {
            found.running = None;
        }
        Some(found)
    }

    fn point_id(&self, now: Timestamp) -> Option<String> {
        let point = self.cycles(now)?.point;
        Some(own(&format!(
            "{}/migrationRecoveryPoints/{}",
            self.id,
            point.as_second()
        )))
    }

    /// The request's word for a disk.
    fn disk(&self, uuid: &str) -> Option<&Value> {
        let disks = self.input["disksToInclude"].as_array()?;
        disks
            .iter()
            .find(|d| d["diskId"].as_str().is_some_and(|i| i.eq_ignore_ascii_case(uuid)))
    }
}

pub(super) fn handle(
    world: &mut World,
    req: &Req,
    more: &[&str],
    vault: &str,
    here: &str,
    a: &Appliance,
) -> Option<Answer> {
    let of = |up: usize| parent(here, up);
    Some(match (&req.method, more) {
        (&Verb::GET, [_]) => Ok(Resp::list(items(world, vault))),
        (&Verb::GET, [_, _]) => view(world, here).map(Resp::ok).ok_or_else(|| missing(req)),
        (&Verb::PUT, [_, _]) => enable(world, req, vault, here, a),
        (&Verb::DELETE, [_, _]) => complete(world, req, here),
        (&Verb::GET, [_, _, "migrationrecoverypoints"]) => {
            points(world, &of(1)).map(Resp::list).ok_or_else(|| missing(req))
        }
        (&Verb::GET, [_, _, "migrationrecoverypoints", name]) => points(world, &of(2))
            .and_then(|all| all.into_iter().find(|p| p["name"] == *name))
            .map(Resp::ok)
            .ok_or_else(|| missing(req)),
        (&Verb::POST, [_, _, "testmigrate"]) => test(world, req, &of(1)),
        (&Verb::POST, [_, _, "testmigratecleanup"]) => clean_up_test(world, req, &of(1)),
        (&Verb::POST, [_, _, "migrate"]) => migrate(world, req, &of(1)),
        _ => return None,
    })
}

pub(super) fn items(world: &World, vault: &str) -> Vec<Value> {
    let all = world.cloud.migrations.values();
    all.filter(|i| i.vault.eq_ignore_ascii_case(vault))
        .map(|i| show(world, i))
        .collect()
}

/// A migration item as its GET shows it.
pub(crate) fn view(world: &World, id: &str) -> Option<Value> {
    world.cloud.migrations.get(&id.to_lowercase()).map(|i| show(world, i))
}

fn points(world: &World, id: &str) -> Option<Vec<Value>> {
    let i = world.cloud.migrations.get(&id.to_lowercase())?;
    let point = i.cycles(world.now()).map(|c| c.point);
    let shown = |t: &Timestamp| {
        let name = t.as_second().to_string();
        json!({
            "id": own(&format!("{}/migrationRecoveryPoints/{name}", i.id)), "name": name, "type": format!("{ITEMS}/migrationRecoveryPoints"),
            "properties": {"recoveryPointTime": t.to_string(), "recoveryPointType": "CrashConsistent"},
        })
    };
    Some(point.iter().map(shown).collect())
}

fn show(world: &World, i: &Item) -> Value {
    let now = world.now();
    let (state, text) = match i.stage {
        Stage::Enabling => ("EnableMigrationInProgress", "Enabling replication"),
        Stage::EnableFailed => ("EnableMigrationFailed", "Enabling replication failed"),
        Stage::Seeding { .. } => ("InitialSeedingInProgress", "Initial replication in progress"),
        Stage::Replicating => ("Replicating", "Ready to migrate"),
        Stage::Migrating => ("MigrationInProgress", "Migration in progress"),
        Stage::Migrated => ("MigrationSucceeded", "Migration succeeded"),
        Stage::Disabling => ("DisableMigrationInProgress", "Completing migration"),
    };
    let (test, test_text) = match i.test {
        Test::None => ("None", "None"),
        Test::Running => ("TestMigrationInProgress", "Test migration in progress"),
        Test::Succeeded => ("TestMigrationSucceeded", "Test migration succeeded"),
        Test::Cleaning => ("TestMigrationCleanupInProgress", "Cleaning up test migration"),
    };
    let (scenario, job, at) = match &i.job {
        Some((scenario, name, at)) => (*scenario, name.as_str(), at.to_string()),
        None => ("None", "None", NEVER.to_owned()),
    };
    let job =
        json!({"jobName": scenario, "jobId": own(&format!("{}/replicationJobs/{job}", i.vault)), "startTime": at});
    let errors: Vec<Value> = i.trouble.iter().map(Trouble::health_error).collect();
    let mut p = json!({
        "machineName": i.vm_name, "policyId": world.cloud.get(&i.policy).map_or(Value::Null, |p| p["id"].clone()), "policyFriendlyName": last(&i.policy),
        "migrationState": state, "migrationStateDescription": text, "testMigrateState": test, "testMigrateStateDescription": test_text,
        "health": if errors.is_empty() { "Normal" } else { "Critical" }, "healthErrors": errors, "allowedOperations": i.operations(now), "currentJob": job,
        "criticalJobHistory": [], "eventCorrelationId": world.guid(&format!("events {}", i.id)).to_string(), "providerSpecificDetails": details(world, i, now),
    });
    if let Some(t) = i.last_test {
        p["lastTestMigrationTime"] = t.to_string().into();
        p["lastTestMigrationStatus"] = "Succeeded".into();
    }
    if let Some(t) = i.last_migration {
        p["lastMigrationTime"] = t.to_string().into();
        p["lastMigrationStatus"] = "Succeeded".into();
    }
    json!({"id": own(&i.id), "name": last(&i.id), "type": ITEMS, "properties": p})
}

/// Share and times of something that runs `from`–`to`.
fn progress(from: Timestamp, to: Timestamp, now: Timestamp) -> (i64, i64, i64) {
    let (all, done) = (to.duration_since(from), now.duration_since(from));
    let percent = (done.as_secs_f64() / all.as_secs_f64().max(1.0) * 100.0)
        .floor()
        .clamp(0.0, 99.0);
    #[allow(clippy::cast_possible_truncation, reason = "0 to 99, and milliseconds of hours")]
    (
        percent as i64,
        done.as_millis() as i64,
        (all - done).as_millis().max(0) as i64,
    )
}

fn details(world: &World, i: &Item, now: Timestamp) -> Value {
    let mut d = json!({
        "instanceType": "VMwareCbt", "vmwareMachineId": i.machine, "osType": "Windows", "osName": "Microsoft Windows Server 2016 (64-bit)",
        "firmwareType": "BIOS", "targetGeneration": "V1", "licenseType": i.input["licenseType"].as_str().unwrap_or("NoLicenseType"),
        "dataMoverRunAsAccountId": i.target("dataMoverRunAsAccountId"), "snapshotRunAsAccountId": i.target("snapshotRunAsAccountId"),
        "targetVmName": i.target_name(), "targetVmSize": i.target("targetVmSize"), "targetLocation": mapping(world, &i.vault).map(|m| m["targetLocation"].clone()),
        "targetResourceGroupId": i.target("targetResourceGroupId"), "targetNetworkId": i.target("targetNetworkId"), "testNetworkId": i.target("testNetworkId"),
        "performAutoResync": i.input["performAutoResync"].as_str().unwrap_or("false"), "resyncRequired": "false", "resyncState": "None",
        "isCheckSumResyncCycle": "false", "initialSeedingRetryCount": 0, "resyncRetryCount": 0, "deltaSyncRetryCount": 0, "resumeRetryCount": 0,
    });
    let Some(vm) = i.source(world) else { return d };
    let mut running = None;
    match i.stage {
        Stage::Seeding { from, to } => {
            d["initialSeedingProgressPercentage"] = progress(from, to, now).0.into();
            running = Some((from, to, vm.committed_bytes, "InitialReplication"));
        }
        Stage::Migrating => {
            if let Some((_, name, _)) = &i.job
                && let Some(op) = world.cloud.operations.get(name)
                && let Some(ends) = op.ends
            {
                d["migrationProgressPercentage"] = progress(op.started, ends, now).0.into();
            }
        }
        _ => {}
    }
    if let Some(c) = i.cycles(now) {
        d["lastRecoveryPointReceived"] = c.point.to_string().into();
        d["lastRecoveryPointId"] = i.point_id(now).into();
        if let Some((from, to)) = c.running {
            d["deltaSyncProgressPercentage"] = progress(from, to, now).0.into();
            running = Some((from, to, vm.committed_bytes / 50, "DeltaReplication"));
        }
    }
    let gateway = running.map(|(from, to, bytes, state)| {
        let (percent, elapsed, left) = progress(from, to, now);
        let speed = bytes / to.duration_since(from).as_secs().max(1);
        json!({
            "state": state, "progressPercentage": percent, "timeElapsed": elapsed, "timeRemaining": left, "uploadSpeed": speed,
            "hostName": "contosohost1.contoso.com", "dataStores": ["contoso-ds1"], "vmwareReadThroughput": speed * 5 / 4,
        })
    });
    let busy = gateway.is_some();
    if let Some(g) = &gateway {
        d["gatewayOperationDetails"] = g.clone();
        d["operationName"] = g["state"].clone();
    }
    let load = |capacity: i64, used: f64| json!({"capacity": capacity, "processUtilization": used / 2.0, "totalUtilization": used, "status": "Healthy"});
    d["applianceMonitoringDetails"] = json!({
        "cpuDetails": load(8, if busy { 38.0 } else { 6.0 }), "ramDetails": load(32_768, if busy { 41.0 } else { 30.0 }),
        "datastoreSnapshot": [{"totalSnapshotsSupported": 15, "totalSnapshotsCreated": i64::from(busy), "dataStoreName": "contoso-ds1"}],
        "disksReplicationDetails": load(52, if busy { vm.disks.len() as f64 / 52.0 * 100.0 } else { 0.0 }), "esxiNfcBuffer": load(32, if busy { 12.0 } else { 0.0 }),
        "networkBandwidth": load(1_000_000_000, if busy { 20.0 } else { 0.0 }),
    });
    let disks = vm.disks.iter().enumerate().filter_map(|(n, disk)| {
        let asked = i.disk(&disk.uuid.to_string())?;
        let mut v = json!({
            "diskId": disk.uuid.to_string(), "diskName": disk.label, "diskType": asked["diskType"].as_str().unwrap_or("Standard_LRS"), "diskPath": disk.file_name,
            "isOSDisk": asked["isOSDisk"], "capacityInBytes": disk.bytes, "logStorageAccountId": asked["logStorageAccountId"],
            "logStorageAccountSasSecretName": asked["logStorageAccountSasSecretName"],
        });
        if let Some(seed) = i.seeds.get(n) {
            v["seedManagedDiskId"] = seed.as_str().into();
        }
        if let Some(g) = &gateway {
            v["gatewayOperationDetails"] = g.clone();
        }
        Some(v)
    });
    d["protectedDisks"] = disks.collect::<Vec<_>>().into();
    d["vmNics"] = json!([{
        "nicId": "4000", "isPrimaryNic": "true", "isSelectedForMigration": "true", "sourceIPAddress": vm.ip, "sourceIPAddressType": "Static", "sourceNetworkId": "VM Network",
        "targetIPAddressType": "Dynamic", "targetSubnetName": i.target("targetSubnetName"), "testIPAddressType": "Dynamic", "testSubnetName": i.target("testSubnetName"),
    }]);
    d
}

/// Details of the vault's mapping.
fn mapping<'a>(world: &'a World, vault: &str) -> Option<&'a Value> {
    let found = world.cloud.of_type(vault, MAPPINGS).next()?;
    Some(&found["properties"]["providerSpecificDetails"])
}

const TEXTS: [&str; 5] = [
    "vmwareMachineId",
    "dataMoverRunAsAccountId",
    "snapshotRunAsAccountId",
    "targetResourceGroupId",
    "targetNetworkId",
];

fn enable(world: &mut World, req: &Req, vault: &str, id: &str, a: &Appliance) -> Answer {
    let bad = |code: &str, message: String| Err(Refusal::bad(code, message));
    if a.method != Method::Cbt {
        return bad(
            "InvalidParameter",
            "This fabric has no migration items: its provider is InMageRcm.".into(),
        );
    }
    if world.cloud.migrations.contains_key(&id.to_lowercase()) {
        return Err(Refusal::conflict(
            "MigrationItemAlreadyExists",
            format!(
                "'{}' is a migration item already. Disable its replication first.",
                last(id)
            ),
        ));
    }
    let p = &req.body["properties"];
    let input = &p["providerSpecificDetails"];
    if input["instanceType"] != "VMwareCbt" {
        return bad(
            "InvalidParameter",
            "This fabric replicates machines with the provider VMwareCbt.".into(),
        );
    }
    if let Some(k) = TEXTS.iter().find(|k| input[**k].as_str().is_none_or(str::is_empty)) {
        return bad("InvalidParameter", format!("{k} is required."));
    }
    for flag in ["performAutoResync", "performSqlBulkRegistration"] {
        text_flag(&input[flag], flag)?;
    }
    let (of, vm) = wanted(world, a, vault, id, p, "vmwareMachineId")?;
    if last(id) != last(&of.machine) {
        return bad(
            "InvalidParameter",
            "The migration item is named like the discovered machine.".into(),
        );
    }
    for key in ["dataMoverRunAsAccountId", "snapshotRunAsAccountId"] {
        if !offazure::is_fabric_account(world, a, input[key].as_str().unwrap_or("")) {
            return bad(
                "RunAsAccountNotFound",
                format!("{key} isn't the account of the machine's vCenter."),
            );
        }
    }
    let cache = mapping(world, vault).map_or("", |m| m["storageAccountId"].as_str().unwrap_or(""));
    check_disks(input, &vm, cache)?;
    let (group, name) = (of.target("targetResourceGroupId"), of.target("targetVmName"));
    let valid = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !name.is_empty() && !valid {
        return bad(
            "InvalidTargetVmName",
            format!("'{name}' isn't a valid name of a virtual machine."),
        );
    }
    let wanted = format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}");
    if world.cloud.get(&wanted).is_some() {
        return bad(
            "TargetVmNameInUse",
            format!("The target resource group has a virtual machine '{name}' already."),
        );
    }
    let item = Item {
        of,
        stage: Stage::Enabling,
        test: Test::None,
        seeded: None,
        stopped: None,
        last_sync: None,
        last_migration: None,
        seeds: vec![],
        trouble: None,
    };
    world.cloud.migrations.insert(id.to_lowercase(), item);
    let op = on_item::<Item>(
        world,
        &id.to_lowercase(),
        "EnableMigration",
        "Enable replication",
        ENABLE,
        &[
            ("PrerequisitesCheckTask", "Prerequisites check for enabling replication"),
            (
                "EnableChangeTrackingTask",
                "Enabling changed block tracking on the virtual machine",
            ),
            ("CreateSeedDisksTask", "Creating seed disks"),
            ("StartInitialSeedingTask", "Starting initial replication"),
        ],
        begin_seeding,
    );
    accepted(world, req, &op)
}

fn text_flag(v: &Value, name: &str) -> Result<(), Refusal> {
    let ok = v.is_null()
        || v.as_str()
            .is_some_and(|s| ["true", "false"].contains(&s.to_lowercase().as_str()));
    if ok {
        return Ok(());
    }
    Err(Refusal::bad(
        "InvalidParameter",
        format!("{name} must be the text 'true' or 'false'."),
    ))
}

fn check_disks(input: &Value, vm: &LabVm, cache: &str) -> Result<(), Refusal> {
    let bad = |message: String| Err(Refusal::bad("InvalidParameter", message));
    let disks = input["disksToInclude"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if disks.is_empty() {
        return bad("disksToInclude is required.".into());
    }
    let mut systems = 0;
    for disk in disks {
        let get = |k: &str| disk[k].as_str().unwrap_or("");
        for k in [
            "diskId",
            "isOSDisk",
            "logStorageAccountId",
            "logStorageAccountSasSecretName",
        ] {
            if disk[k].is_null() {
                return bad(format!("disksToInclude: {k} is required."));
            }
        }
        text_flag(&disk["isOSDisk"], "isOSDisk")?;
        systems += usize::from(get("isOSDisk").eq_ignore_ascii_case("true"));
        if !vm
            .disks
            .iter()
            .any(|d| d.uuid.to_string().eq_ignore_ascii_case(get("diskId")))
        {
            return bad(format!("The machine '{}' has no disk '{}'.", vm.name, get("diskId")));
        }
        if !get("logStorageAccountId").eq_ignore_ascii_case(cache) {
            return bad(format!(
                "logStorageAccountId must be the mapping's account '{}'.",
                last(cache)
            ));
        }
        let secret = format!("{}-cacheSas", last(cache));
        if get("logStorageAccountSasSecretName") != secret {
            return bad(format!("logStorageAccountSasSecretName must be '{secret}'."));
        }
        let kinds = ["", "Standard_LRS", "StandardSSD_LRS", "Premium_LRS"];
        if !kinds.contains(&get("diskType")) {
            return bad(format!("The disk type '{}' isn't offered.", get("diskType")));
        }
    }
    if systems != 1 {
        return bad(format!("Exactly one disk must be the OS disk; {systems} are."));
    }
    Ok(())
}

/// The end of enabling: rights on the cache are used for the first time.
fn begin_seeding(world: &mut World, key: &str) -> Result<(), Refusal> {
    let now = world.now();
    let Some(i) = world.cloud.migrations.get(key).cloned() else {
        return Ok(());
    };
    let cache = mapping(world, &i.vault)
        .and_then(|m| m["storageAccountId"].as_str())
        .unwrap_or("")
        .to_owned();
    let vault_identity = world
        .cloud
        .get(&i.vault)
        .and_then(|v| v["identity"]["principalId"].as_str())
        .unwrap_or("")
        .to_owned();
    let appliance = world
        .cloud
        .appliances
        .get(&i.vault.to_lowercase())
        .map(|a| appliance_identity(world, a))
        .unwrap_or_default();
    let lacking: Vec<String> = [("the appliance", &appliance), ("the vault", &vault_identity)]
        .iter()
        .flat_map(|(who, principal)| {
            [
                (CONTRIBUTOR, "Contributor"),
                (BLOB_DATA_CONTRIBUTOR, "Storage Blob Data Contributor"),
            ]
            .into_iter()
            .filter(|(role, _)| !has_role(world, principal, role, &cache))
            .map(move |(_, name)| format!("{name} for {who}"))
        })
        .collect();
    if !lacking.is_empty() {
        let trouble = Trouble {
            code: "CacheStorageAccountAccessDenied",
            message: format!(
                "Replication can't write into the cache storage account '{}': {} {} missing.",
                last(&cache),
                lacking.join(", "),
                if lacking.len() == 1 { "is" } else { "are" }
            ),
            causes: "Appliance and vault need the roles Contributor and Storage Blob Data Contributor on the cache storage account.",
            action: "Assign the missing roles on the account, disable the replication of this machine, and enable it again.",
            at: now,
        };
        let refusal = Refusal::conflict(trouble.code, trouble.message.clone());
        if let Some(job) = world.cloud.jobs.iter_mut().rev().find(|j| j.is_on(&i.id)) {
            job.advice = Some((trouble.causes.into(), trouble.action.into()));
        }
        if let Some(i) = world.cloud.migrations.get_mut(key) {
            (i.stage, i.trouble) = (Stage::EnableFailed, Some(trouble));
        }
        return Err(refusal);
    }
    let seeds = make_seeds(world, &i);
    let to = plus(now, world.about(SEED, &format!("seeding {}", i.vm_name)));
    if let Some(i) = world.cloud.migrations.get_mut(key) {
        (i.stage, i.seeds) = (Stage::Seeding { from: now, to }, seeds);
    }
    let k = key.to_owned();
    world.at(to, move |w| {
        // Replication may have been disabled meanwhile.
        if let Some(i) = w.cloud.migrations.get_mut(&k)
            && i.stage == (Stage::Seeding { from: now, to })
        {
            (i.stage, i.seeded) = (Stage::Replicating, Some((now, to)));
        }
    });
    Ok(())
}

/// Managed disks in the target group, one for each of the machine's.
fn make_seeds(world: &mut World, i: &Item) -> Vec<String> {
    let group = i.target("targetResourceGroupId").trim_end_matches('/').to_owned();
    let region = mapping(world, &i.vault).map_or(Value::Null, |m| m["targetLocation"].clone());
    let disks = i.source(world).map(|v| v.disks.clone()).unwrap_or_default();
    let mut made = vec![];
    for disk in disks.iter().filter(|d| i.disk(&d.uuid.to_string()).is_some()) {
        let name = format!(
            "asrseeddisk-{}-{}",
            i.vm_name,
            &world.guid(&format!("seed {}", disk.uuid)).simple().to_string()[..12]
        );
        let id = format!("{group}/providers/{DISKS}/{name}");
        world.cloud.store(json!({
            "id": id, "name": name, "type": DISKS, "location": region, "sku": {"name": "Premium_LRS", "tier": "Premium"},
            "properties": {"provisioningState": "Succeeded", "diskState": "Unattached", "diskSizeGB": disk.bytes >> 30, "creationData": {"createOption": "Empty"}},
        }));
        made.push(id);
    }
    made
}

fn cbt(details: &Value) -> Result<(), Refusal> {
    if details["instanceType"] == "VMwareCbt" {
        return Ok(());
    }
    Err(Refusal::bad(
        "InvalidParameter",
        "providerSpecificDetails must be of the instanceType VMwareCbt.",
    ))
}

fn test(world: &mut World, req: &Req, id: &str) -> Answer {
    let i = allowed::<Item>(world, id, "TestMigrate")?;
    let d = &req.body["properties"]["providerSpecificDetails"];
    cbt(d)?;
    let known = i.point_id(world.now());
    let point = d["recoveryPointId"].as_str().unwrap_or("");
    // A point of an earlier cycle is kept as long as the policy says.
    let prefix = own(&format!("{}/migrationRecoveryPoints/", i.id)).to_lowercase();
    if known.is_none() || !point.to_lowercase().starts_with(&prefix) {
        return Err(Refusal::bad(
            "InvalidRecoveryPoint",
            format!("The recovery point '{point}' isn't one of this machine's."),
        ));
    }
    let network = d["networkId"].as_str().unwrap_or("").to_owned();
    check_network(world, &network, i.target("testSubnetName"), "test")?;
    let key = id.to_lowercase();
    if let Some(i) = world.cloud.migrations.get_mut(&key) {
        i.test = Test::Running;
    }
    let op = on_item::<Item>(
        world,
        &key,
        "TestMigrate",
        "Test migration",
        TEST,
        &[
            ("PrerequisitesCheckTask", "Prerequisites check for test migration"),
            ("PrepareDisksTask", "Preparing the disks of the test virtual machine"),
            ("CreateTestVirtualMachineTask", "Create the test virtual machine"),
            ("StartTestVirtualMachineTask", "Start the test virtual machine"),
        ],
        move |w, key| {
            let Some(i) = w.cloud.migrations.get(key).cloned() else {
                return Ok(());
            };
            let subnet = subnet_or_first(w, &network, i.target("testSubnetName"));
            let vm = make_vm(w, &i, &format!("{}-Test", i.target_name()), &subnet);
            let now = w.now();
            if let Some(i) = w.cloud.migrations.get_mut(key) {
                (i.test, i.test_vm, i.last_test) = (Test::Succeeded, vm, Some(now));
            }
            Ok(())
        },
    );
    accepted(world, req, &op)
}

fn clean_up_test(world: &mut World, req: &Req, id: &str) -> Answer {
    allowed::<Item>(world, id, "TestMigrateCleanup")?;
    let key = id.to_lowercase();
    if let Some(i) = world.cloud.migrations.get_mut(&key) {
        i.test = Test::Cleaning;
    }
    let op = clean_up(
        world,
        &key,
        "TestMigrateCleanup",
        "Clean up test migration",
        CLEANUP,
        |i: &mut Item| i.test = Test::None,
    );
    accepted(world, req, &op)
}

fn migrate(world: &mut World, req: &Req, id: &str) -> Answer {
    let i = allowed::<Item>(world, id, "Migrate")?;
    let d = &req.body["properties"]["providerSpecificDetails"];
    cbt(d)?;
    if d["performShutdown"].is_null() {
        return Err(Refusal::bad("InvalidParameter", "performShutdown is required."));
    }
    text_flag(&d["performShutdown"], "performShutdown")?;
    let off = d["performShutdown"]
        .as_str()
        .is_some_and(|s| s.eq_ignore_ascii_case("true"));
    let key = id.to_lowercase();
    let now = world.now();
    if let Some(i) = world.cloud.migrations.get_mut(&key) {
        (i.stage, i.stopped) = (Stage::Migrating, Some(now));
    }
    if off {
        let moref = i.moref.clone();
        world.after(SignedDuration::from_secs(SHUTDOWN), move |w| {
            w.set_power(&moref, Power::Off);
        });
        // A cycle on demand takes the last changes along.
        let (k, sync) = (key.clone(), plus(now, SignedDuration::from_secs(SHUTDOWN + DELTA)));
        world.at(sync, move |w| {
            if let Some(i) = w.cloud.migrations.get_mut(&k) {
                i.last_sync = Some(sync);
            }
        });
    }
    let with = [
        ("PrerequisitesCheckTask", "Prerequisites check for migration"),
        ("ShutdownSourceTask", "Shut down the virtual machine"),
        ("OnDemandReplicationTask", "Replicating the latest changes"),
        ("CreateVirtualMachineTask", "Create the virtual machine"),
        ("StartVirtualMachineTask", "Start the virtual machine"),
    ];
    let without = [with[0], with[3], with[4]];
    let tasks: &[_] = if off { &with } else { &without };
    let op = on_item::<Item>(world, &key, "Migrate", "Migrate", MIGRATE, tasks, |w, key| {
        let Some(i) = w.cloud.migrations.get(key).cloned() else {
            return Ok(());
        };
        let subnet = subnet_or_first(w, i.target("targetNetworkId"), i.target("targetSubnetName"));
        make_vm(w, &i, i.target_name(), &subnet);
        let now = w.now();
        if let Some(i) = w.cloud.migrations.get_mut(key) {
            (i.stage, i.last_migration) = (Stage::Migrated, Some(now));
        }
        Ok(())
    });
    accepted(world, req, &op)
}

fn make_vm(world: &mut World, i: &Item, name: &str, subnet: &str) -> Option<String> {
    let region = mapping(world, &i.vault)?["targetLocation"].as_str()?.to_owned();
    let id = i.make_vm(world, &region, name, subnet)?;
    // No account for boot diagnostics was named, so they are off.
    if i.target("targetBootDiagnosticsStorageAccountId").is_empty()
        && let Some(vm) = world.cloud.get_mut(&id)
    {
        vm["properties"]["diagnosticsProfile"] = json!({"bootDiagnostics": {"enabled": false}});
    }
    Some(id)
}

/// Disables replication; after a migration that completes it. Seed disks go, the new machine stays.
fn complete(world: &mut World, req: &Req, id: &str) -> Answer {
    let key = id.to_lowercase();
    if !world.cloud.migrations.contains_key(&key) {
        return Ok(Resp::empty(204));
    }
    allowed::<Item>(world, id, "DisableMigration")?;
    if let Some(i) = world.cloud.migrations.get_mut(&key) {
        i.stage = Stage::Disabling;
    }
    let op = on_item::<Item>(
        world,
        &key,
        "DisableMigration",
        "Complete migration",
        COMPLETE,
        &[
            ("DisableMigrationTask", "Stopping replication"),
            ("DeleteSeedDisksTask", "Deleting seed disks"),
        ],
        |w, key| {
            if let Some(i) = w.cloud.migrations.remove(key) {
                for seed in &i.seeds {
                    w.cloud.remove(seed);
                }
            }
            Ok(())
        },
    );
    accepted(world, req, &op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_cycle_waits_half_as_long_as_the_last_one_took() {
        let at = |minutes: i64| plus(Timestamp::UNIX_EPOCH, SignedDuration::from_mins(minutes));
        let after = |seeding: i64, minutes: i64| cycles(at(-seeding), at(0), at(minutes));
        // An hour at least.
        assert_eq!(
            after(95, 59),
            Cycles {
                point: at(0),
                running: None
            }
        );
        assert_eq!(
            after(95, 62),
            Cycles {
                point: at(0),
                running: Some((at(60), at(66)))
            }
        );
        assert_eq!(
            after(95, 66),
            Cycles {
                point: at(66),
                running: None
            }
        );
        // Half of ten hours; then the short cycles come every hour.
        assert_eq!(after(600, 299).running, None);
        assert_eq!(after(600, 301).running, Some((at(300), at(306))));
        assert_eq!(after(600, 366).running, Some((at(366), at(372))));
        // Twelve hours at most.
        assert_eq!(after(6000, 721).running, Some((at(720), at(726))));
    }
}
