//! Site Recovery's protected items with the modernized VMware experience (`InMageRcm`): their way from initial replication
//! over the test failover to the commit, and the recovery plans that hold them.
//!
//! States and the scenarios TestFailover, TestFailoverCleanup, UnplannedFailover, CommitFailover and DeleteRecoveryPlan are
//! those of Microsoft's examples of 2024-04-01. Unverified: the state DisablingProtection, other scenarios, the names of
//! tasks, and all codes and words with which a request is refused; Microsoft publishes none.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use super::{
    Answer, Refusal, Req, Resp, last, offazure,
    recovery::{
        Appliance, NEVER, POLICY, accepted, container_name_of, fabric_id, fabric_name_of, missing, own,
        process_server_id, start,
    },
    replicated::{self, Item as _, Replicated, allowed, check_network, clean_up, on_item, subnet_or_first, wanted},
};
use crate::{
    onprem::Power,
    world::{World, plus},
};

const ITEMS: &str =
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems";
pub(super) const PLANS: &str = "Microsoft.RecoveryServices/vaults/replicationRecoveryPlans";

// Durations in lab seconds.
const ENABLE: i64 = 12 * 60;
const INITIAL: i64 = 95 * 60;
const FINALIZE: i64 = 60;
const TEST: i64 = 9 * 60;
const CLEANUP: i64 = 4 * 60;
const FAILOVER: i64 = 14 * 60;
const SHUTDOWN: i64 = 3 * 60;
const COMMIT: i64 = 2 * 60;
const REMOVE: i64 = 3 * 60;
/// A recovery point every five minutes.
const POINTS: i64 = 5 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Enabling,
    Initial { from: Timestamp, to: Timestamp },
    Protected,
    FailingOver,
    FailedOver,
    Committed,
    Disabling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestState {
    None,
    Waiting,
    Cleaning,
}

/// A protected machine.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    of: Replicated,
    pub phase: Phase,
    pub test: TestState,
    pub protected_since: Option<Timestamp>,
    pub last_failover: Option<Timestamp>,
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
    const OBJECT: &'static str = "ProtectionEntity";
    const NOT_NOW: &'static str = "150097";

    fn all(world: &World) -> &BTreeMap<String, Self> {
        &world.cloud.items
    }

    fn all_mut(world: &mut World) -> &mut BTreeMap<String, Self> {
        &mut world.cloud.items
    }

    fn operations(&self, now: Timestamp) -> Vec<&'static str> {
        if self.job.as_ref().is_some_and(|(s, ..)| *s != "EnableDr") {
            return vec![];
        }
        match (self.phase, self.test) {
            (Phase::Enabling | Phase::Initial { .. }, _) => vec!["DisableProtection"],
            (Phase::Protected, TestState::Waiting) => vec!["TestFailoverCleanup"],
            (Phase::Protected, TestState::None) if self.point(now).is_some() => {
                vec!["UnplannedFailover", "DisableProtection", "TestFailover"]
            }
            (Phase::Protected, _) => vec!["DisableProtection"],
            (Phase::FailedOver, _) => vec!["Commit", "DisableProtection", "ChangePit"],
            (Phase::Committed, _) => vec!["DisableProtection", "ReverseReplicate"],
            (Phase::FailingOver | Phase::Disabling, _) => vec![],
        }
    }
}

impl Item {
    /// The newest recovery point's time.
    fn point(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.protected_since?;
        // Replication stops at the failover.
        let until = self.last_failover.unwrap_or(now);
        let n = until.duration_since(since).as_secs() / POINTS;
        (n > 0).then(|| plus(since, SignedDuration::from_secs(n * POINTS)))
    }
}

// ---------------------------------------------------------------------------------------------------- protected items

pub(super) fn items(world: &World, vault: &str) -> Vec<Value> {
    world
        .cloud
        .items
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(vault))
        .map(|i| show(world, i))
        .collect()
}

/// A protected item as its GET shows it.
pub(crate) fn item_view(world: &World, id: &str) -> Option<Value> {
    world.cloud.items.get(&id.to_lowercase()).map(|i| show(world, i))
}

fn show(world: &World, i: &Item) -> Value {
    let now = world.now();
    let vault = &i.vault;
    let policy = world.cloud.get(&i.policy).map_or(Value::Null, |p| p["id"].clone());
    let (state, description, location) = match i.phase {
        Phase::Enabling => ("EnablingProtection", "Enabling protection", "Primary"),
        Phase::Initial { .. } => (
            "InitialReplicationInProgress",
            "Initial replication in progress",
            "Primary",
        ),
        Phase::Protected if i.test == TestState::Waiting => ("Protected", "Cleanup test failover pending", "Primary"),
        Phase::Protected => ("Protected", "Protected", "Primary"),
        Phase::FailingOver => ("UnplannedFailoverInitiated", "Failover in progress", "Primary"),
        Phase::FailedOver => (
            "UnplannedFailoverCommitPendingStatesBegin",
            "Failover completed",
            "Recovery",
        ),
        Phase::Committed => ("UnplannedFailoverCommitted", "Failover committed.", "Recovery"),
        Phase::Disabling => (
            "DisablingProtection",
            "Disabling protection",
            if i.last_failover.is_some() {
                "Recovery"
            } else {
                "Primary"
            },
        ),
    };
    let (test, test_text) = match i.test {
        TestState::None => ("None", "None"),
        TestState::Waiting => ("WaitingForCompletion", "Waiting for user input"),
        TestState::Cleaning => ("MarkedForDeletion", "Cleaning up test environment"),
    };
    let scenario = match &i.job {
        Some((scenario, job, at)) => {
            json!({"scenarioName": scenario, "jobId": own(&format!("{vault}/replicationJobs/{job}")), "startTime": at.to_string()})
        }
        None => {
            json!({"scenarioName": "None", "jobId": own(&format!("{vault}/replicationJobs/None")), "startTime": NEVER})
        }
    };
    let mut p = json!({
        "friendlyName": i.vm_name, "protectedItemType": "", "recoveryServicesProviderId": own(&format!("{}/replicationRecoveryServicesProviders/{}", fabric_id(vault), world.guid("dra"))),
        "primaryFabricFriendlyName": fabric_name_of(vault), "primaryFabricProvider": "InMageRcmFabric",
        "recoveryFabricFriendlyName": "Microsoft Azure", "recoveryFabricId": "Microsoft Azure",
        "primaryProtectionContainerFriendlyName": container_name_of(vault), "recoveryProtectionContainerFriendlyName": "Microsoft Azure",
        "protectionState": state, "protectionStateDescription": description, "activeLocation": location,
        "testFailoverState": test, "testFailoverStateDescription": test_text, "allowedOperations": i.operations(now),
        "replicationHealth": "Normal", "failoverHealth": "Normal", "healthErrors": [], "policyId": policy, "policyFriendlyName": last(&i.policy),
        "currentScenario": scenario, "providerSpecificDetails": details(world, i),
        "recoveryContainerId": own(&format!("{vault}/replicationFabrics/microsoft-azure/replicationProtectionContainers/microsoft-azure")),
        "eventCorrelationId": world.guid(&format!("events {}", i.id)).to_string(),
    });
    if let Some(t) = i.last_failover {
        p["lastSuccessfulFailoverTime"] = t.to_string().into();
        p["failoverRecoveryPointId"] = point_id(i, now).into();
    }
    if let Some(t) = i.last_test {
        p["lastSuccessfulTestFailoverTime"] = t.to_string().into();
    }
    json!({"id": own(&i.id), "name": last(&i.id), "type": ITEMS, "properties": p})
}

fn point_id(i: &Item, now: Timestamp) -> Option<String> {
    i.point(now)
        .map(|t| own(&format!("{}/recoveryPoints/{}", i.id, t.as_second())))
}

fn details(world: &World, i: &Item) -> Value {
    let now = world.now();
    let mut d = json!({
        "instanceType": "InMageRcm", "internalIdentifier": world.guid(&format!("item {}", i.id)).to_string(), "fabricDiscoveryMachineId": i.machine,
        "multiVmGroupName": "", "discoveryType": "VMware", "processServerId": i.input["processServerId"], "runAsAccountId": i.target("runAsAccountId"),
        "osType": "Windows", "firmwareType": "BIOS", "targetGeneration": "V1", "licenseType": i.input["licenseType"].as_str().unwrap_or("NoLicenseType"),
        "targetVmName": i.target_name(), "targetVmSize": i.target("targetVmSize"), "targetResourceGroupId": i.target("targetResourceGroupId"),
        "targetLocation": world.cloud.get(&i.vault).map(|v| v["location"].clone()), "targetNetworkId": i.target("targetNetworkId"),
        "testNetworkId": i.target("testNetworkId"), "resyncRequired": "false", "resyncState": "None", "resyncProgressHealth": "None",
        "agentUpgradeState": "None", "isLastUpgradeSuccessful": "True", "unprotectedDisks": [], "lastAgentUpgradeErrorDetails": [],
        "agentUpgradeBlockingErrorDetails": [], "osName": "Microsoft Windows Server 2016 (64-bit)",
    });
    let Some(vm) = i.source(world) else { return d };
    let (percent, bytes) = match i.phase {
        Phase::Enabling => (0, 0),
        Phase::Initial { from, to } => {
            let f = now.duration_since(from).as_secs_f64() / to.duration_since(from).as_secs_f64().max(1.0);
            (
                (f * 100.0).floor().clamp(0.0, 99.0) as i64,
                (vm.committed_bytes as f64 * f.clamp(0.0, 1.0)) as i64,
            )
        }
        _ => (100, vm.committed_bytes),
    };
    let initial = matches!(i.phase, Phase::Initial { .. });
    let protected = i.protected_since.is_some();
    d["processorCoreCount"] = vm.cpus.into();
    d["allocatedMemoryInMB"] = (vm.memory_mib as f64).into();
    d["processServerName"] = world
        .cloud
        .appliances
        .get(&i.vault.to_lowercase())
        .map_or("", |a| a.name.as_str())
        .into();
    d["primaryNicIpAddress"] = vm.ip.as_str().into();
    if i.phase != Phase::Enabling {
        d["initialReplicationProgressPercentage"] = percent.into();
        d["initialReplicationProcessedBytes"] = bytes.into();
        d["initialReplicationTransferredBytes"] = (bytes / 2).into();
        d["initialReplicationProgressHealth"] = if initial { "InProgress" } else { "None" }.into();
        d["mobilityAgentDetails"] = json!({
            "version": "9.62.7172.1", "latestVersion": "9.62.7172.1", "driverVersion": "9.62.7172.1",
            "lastHeartbeatUtc": plus(now, SignedDuration::from_secs(-20)).to_string(), "reasonsBlockingUpgrade": ["AlreadyOnLatestVersion"], "isUpgradeable": "false",
        });
    }
    if let Some(t) = i.point(now) {
        d["lastRecoveryPointReceived"] = t.to_string().into();
        d["lastRecoveryPointId"] = point_id(i, now).into();
        d["lastRpoInSeconds"] = now.duration_since(t).as_secs().clamp(0, POINTS).into();
        d["lastRpoCalculatedTime"] = now.to_string().into();
    }
    let disks: Vec<Value> = vm
        .disks
        .iter()
        .enumerate()
        .map(|(n, disk)| {
            let share = percent;
            let mut v = json!({
                "diskId": disk.uuid.to_string(), "diskName": disk.label, "isOSDisk": if n == 0 { "true" } else { "false" }, "capacityInBytes": disk.bytes,
                "diskState": if protected { "Protected" } else { "InitialReplicationPending" },
                "logStorageAccountId": log_account(&i.input), "diskType": disk_type(&i.input),
                "isInitialReplicationComplete": if protected { "true" } else { "false" }, "dataPendingInLogDataStoreInMB": 0.0, "dataPendingAtSourceAgentInMB": 0.0,
            });
            if i.phase != Phase::Enabling {
                v["irDetails"] = json!({
                    "progressHealth": if initial { "InProgress" } else { "None" }, "progressPercentage": share,
                    "processedBytes": disk.bytes / 100 * share, "transferredBytes": disk.bytes / 200 * share, "last15MinutesTransferredBytes": 0,
                });
            }
            v
        })
        .collect();
    d["protectedDisks"] = disks.into();
    d["vmNics"] = json!([{
        "nicId": "4000", "isPrimaryNic": "true", "isSelectedForFailover": "true", "sourceIPAddress": vm.ip, "sourceIPAddressType": "Static",
        "targetSubnetName": i.target("targetSubnetName"), "testSubnetName": i.target("testSubnetName"),
    }]);
    d["discoveredVmDetails"] = json!({
        "vCenterFqdn": "vcenter.contoso.com", "datastores": ["contoso-ds1"], "ipAddresses": [vm.ip], "vmwareToolsStatus": if vm.tools_running { "OK" } else { "NotRunning" },
        "powerStatus": if vm.power == Power::On { "ON" } else { "OFF" }, "vmFqdn": vm.host_name, "osName": vm.guest_full_name, "isDeleted": false,
    });
    d
}

fn disk_input(input: &Value) -> &Value {
    match &input["disksToInclude"][0] {
        Value::Null => &input["disksDefault"],
        first => first,
    }
}

fn log_account(input: &Value) -> &str {
    disk_input(input)["logStorageAccountId"].as_str().unwrap_or("")
}

fn disk_type(input: &Value) -> &str {
    disk_input(input)["diskType"].as_str().unwrap_or("StandardSSD_LRS")
}

pub(super) fn points(world: &World, id: &str) -> Option<Vec<Value>> {
    let i = world.cloud.items.get(&id.to_lowercase())?;
    let newest = i.point(world.now());
    Some(
        newest
            .iter()
            .map(|t| {
                let name = t.as_second().to_string();
                json!({
                    "id": own(&format!("{}/recoveryPoints/{name}", i.id)), "name": name, "type": format!("{ITEMS}/recoveryPoints"),
                    "properties": {
                        "recoveryPointTime": t.to_string(), "recoveryPointType": "CrashConsistent",
                        "providerSpecificDetails": {"instanceType": "InMageRcm", "isMultiVmSyncPoint": "False"},
                    },
                })
            })
            .collect(),
    )
}

pub(super) fn enable(world: &mut World, req: &Req, vault: &str, id: &str, a: &Appliance) -> Answer {
    if world.cloud.items.contains_key(&id.to_lowercase()) {
        return Err(Refusal::conflict(
            "ProtectedItemAlreadyExists",
            format!("'{}' is protected already.", last(id)),
        ));
    }
    let p = &req.body["properties"];
    let input = &p["providerSpecificDetails"];
    let bad = |code: &str, message: String| Err(Refusal::bad(code, message));
    if input["instanceType"] != "InMageRcm" {
        return bad(
            "InvalidParameter",
            "This fabric protects machines with the provider InMageRcm.".into(),
        );
    }
    let (of, vm) = wanted(world, a, vault, id, p, "fabricDiscoveryMachineId")?;
    if input["processServerId"].as_str() != Some(process_server_id(world, &a.name).as_str()) {
        return bad(
            "ProcessServerNotFound",
            "processServerId isn't a process server of this fabric.".into(),
        );
    }
    let account = of.target("runAsAccountId");
    if !account.is_empty() && !offazure::is_account(world, a, account) {
        return bad(
            "RunAsAccountNotFound",
            format!("The account '{account}' isn't known to the appliance."),
        );
    }
    let log = log_account(input);
    let region = world.cloud.get(vault).map_or(Value::Null, |v| v["location"].clone());
    match world.cloud.get(log) {
        Some(s) if s["location"] == region && s["properties"]["provisioningState"] == "Succeeded" => {}
        Some(_) => {
            return bad(
                "CacheStorageAccountInvalid",
                format!(
                    "The cache storage account '{}' must be in the vault's region and ready.",
                    last(log)
                ),
            );
        }
        None => {
            return bad(
                "CacheStorageAccountNotFound",
                format!("The cache storage account '{log}' doesn't exist."),
            );
        }
    }
    if vm.power != Power::On || !vm.tools_running {
        return bad(
            "MachineNotReady",
            format!(
                "The Mobility service can't be installed on '{}': it is powered off or VMware Tools don't run.",
                vm.name
            ),
        );
    }
    let item = Item {
        of,
        phase: Phase::Enabling,
        test: TestState::None,
        protected_since: None,
        last_failover: None,
    };
    world.cloud.items.insert(id.to_lowercase(), item);
    let key = id.to_lowercase();
    let op = on_item::<Item>(
        world,
        &key,
        "EnableDr",
        "Enable replication",
        ENABLE,
        &[
            ("PrerequisitesCheckTask", "Prerequisites check for enabling protection"),
            (
                "InstallMobilityServiceTask",
                "Installing Mobility Service and preparing target",
            ),
            ("EnableProtectionTask", "Enable replication"),
            ("StartInitialReplicationTask", "Starting initial replication"),
            ("UpdateProviderStatesTask", "Updating the provider states"),
        ],
        begin_initial,
    );
    accepted(world, req, &op)
}

fn begin_initial(world: &mut World, key: &str) -> Result<(), Refusal> {
    let now = world.now();
    let Some(name) = world.cloud.items.get(key).map(|i| i.vm_name.clone()) else {
        return Ok(());
    };
    let to = plus(now, world.about(INITIAL, &format!("initial {name}")));
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.phase = Phase::Initial { from: now, to };
    }
    let k = key.to_owned();
    world.at(to, move |w| {
        // Protection may have been disabled meanwhile.
        if !w
            .cloud
            .items
            .get(&k)
            .is_some_and(|i| i.phase == Phase::Initial { from: now, to })
        {
            return;
        }
        on_item::<Item>(
            w,
            &k,
            "IrCompletion",
            "Finalize protection on the recovery virtual machine",
            FINALIZE,
            &[("FinalizeProtectionTask", "Finalize protection")],
            |w, key| {
                let now = w.now();
                if let Some(i) = w.cloud.items.get_mut(key) {
                    i.phase = Phase::Protected;
                    i.protected_since = Some(now);
                }
                Ok(())
            },
        );
    });
    Ok(())
}

pub(super) fn item_action(world: &mut World, req: &Req, vault: &str, id: &str, action: &str) -> Answer {
    let key = id.to_lowercase();
    let p = &req.body["properties"];
    let op = match action {
        "testfailover" => {
            let i = allowed::<Item>(world, &key, "TestFailover")?;
            let net = [
                p["networkId"].as_str(),
                p["providerSpecificDetails"]["networkId"].as_str(),
                i.input["testNetworkId"].as_str(),
            ]
            .into_iter()
            .flatten()
            .find(|n| !n.is_empty())
            .unwrap_or("")
            .to_owned();
            check_network(world, &net, "", "test")?;
            on_item::<Item>(
                world,
                &key,
                "TestFailover",
                "Test failover",
                TEST,
                &[
                    ("PrerequisitesCheckTask", "Prerequisites check for test failover"),
                    ("CreateTestEnvironmentTask", "Create test environment"),
                    ("CreateTestVirtualMachineTask", "Create the test virtual machine"),
                    ("PrepareVirtualMachineTask", "Preparing the virtual machine"),
                    ("StartTestVirtualMachineTask", "Start the virtual machine"),
                ],
                move |w, key| test_done(w, key, &net),
            )
        }
        "testfailovercleanup" => {
            allowed::<Item>(world, &key, "TestFailoverCleanup")?;
            if let Some(i) = world.cloud.items.get_mut(&key) {
                i.test = TestState::Cleaning;
            }
            clean_up(
                world,
                &key,
                "TestFailoverCleanup",
                "Test failover cleanup",
                CLEANUP,
                |i: &mut Item| i.test = TestState::None,
            )
        }
        "unplannedfailover" => {
            allowed::<Item>(world, &key, "UnplannedFailover")?;
            if p["failoverDirection"] != "PrimaryToRecovery" {
                return Err(Refusal::bad(
                    "InvalidParameter",
                    "failoverDirection must be PrimaryToRecovery.",
                ));
            }
            let off = p["providerSpecificDetails"]["performShutdown"]
                .as_str()
                .is_some_and(|s| s.eq_ignore_ascii_case("true"));
            begin_failover(world, &key, off);
            on_item::<Item>(
                world,
                &key,
                "UnplannedFailover",
                "Failover",
                FAILOVER,
                failover_tasks(off),
                failover_done,
            )
        }
        "failovercommit" => {
            allowed::<Item>(world, &key, "Commit")?;
            on_item::<Item>(
                world,
                &key,
                "CommitFailover",
                "Commit",
                COMMIT,
                COMMIT_TASKS,
                commit_done,
            )
        }
        _ => {
            return Err(Refusal::new(
                405,
                "MethodNotAllowed",
                format!("The lab doesn't offer the action '{action}' on a protected item."),
            ));
        }
    };
    let _ = vault;
    accepted(world, req, &op)
}

const COMMIT_TASKS: &[(&str, &str)] = &[("CommitFailoverTask", "Commit the failover")];

fn failover_tasks(shutdown: bool) -> &'static [(&'static str, &'static str)] {
    if shutdown {
        &[
            ("PrerequisitesCheckTask", "Prerequisites check for failover"),
            ("ShutdownSourceTask", "Shut down the virtual machine"),
            ("SynchronizeTask", "Synchronizing the latest changes"),
            ("StartFailoverTask", "Start failover"),
            ("StartVirtualMachineTask", "Start the virtual machine"),
        ]
    } else {
        &[
            ("PrerequisitesCheckTask", "Prerequisites check for failover"),
            ("StartFailoverTask", "Start failover"),
            ("StartVirtualMachineTask", "Start the virtual machine"),
        ]
    }
}

fn begin_failover(world: &mut World, key: &str, shutdown: bool) {
    let Some(i) = world.cloud.items.get_mut(key) else {
        return;
    };
    i.phase = Phase::FailingOver;
    let moref = i.moref.clone();
    if shutdown {
        world.after(SignedDuration::from_secs(SHUTDOWN), move |w| {
            w.set_power(&moref, Power::Off);
        });
    }
}

fn test_done(world: &mut World, key: &str, network_id: &str) -> Result<(), Refusal> {
    let Some(i) = world.cloud.items.get(key).cloned() else {
        return Ok(());
    };
    let subnet = subnet_or_first(world, network_id, i.target("testSubnetName"));
    let name = format!("{}-test", i.target_name());
    let vm = make_vm(world, &i, &name, &subnet);
    let now = world.now();
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.test = TestState::Waiting;
        i.last_test = Some(now);
        i.test_vm = vm;
    }
    Ok(())
}

fn make_vm(world: &mut World, i: &Item, name: &str, subnet: &str) -> Option<String> {
    let region = world.cloud.get(&i.vault)?["location"].as_str()?.to_owned();
    i.make_vm(world, &region, name, subnet)
}

fn failover_done(world: &mut World, key: &str) -> Result<(), Refusal> {
    let Some(i) = world.cloud.items.get(key).cloned() else {
        return Ok(());
    };
    let subnet = subnet_or_first(world, i.target("targetNetworkId"), i.target("targetSubnetName"));
    let name = i.target_name().to_owned();
    make_vm(world, &i, &name, &subnet);
    let now = world.now();
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.phase = Phase::FailedOver;
        i.last_failover = Some(now);
    }
    Ok(())
}

fn commit_done(world: &mut World, key: &str) -> Result<(), Refusal> {
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.phase = Phase::Committed;
    }
    Ok(())
}

pub(super) fn remove_item(world: &mut World, req: &Req, _vault: &str, id: &str) -> Answer {
    let key = id.to_lowercase();
    if !world.cloud.items.contains_key(&key) {
        return Ok(Resp::empty(204));
    }
    allowed::<Item>(world, &key, "DisableProtection")?;
    if let Some(i) = world.cloud.items.get_mut(&key) {
        i.phase = Phase::Disabling;
    }
    let op = on_item::<Item>(
        world,
        &key,
        "DisableDr",
        "Disable replication",
        REMOVE,
        &[("DisableProtectionTask", "Disabling protection")],
        |w, key| {
            w.cloud.items.remove(key);
            // The item leaves the recovery plans it was in.
            for plan in w.cloud.resources.values_mut().filter(|v| v["type"] == PLANS) {
                for group in plan["properties"]["groups"].as_array_mut().into_iter().flatten() {
                    if let Some(list) = group["replicationProtectedItems"].as_array_mut() {
                        list.retain(|i| !i["id"].as_str().is_some_and(|i| i.eq_ignore_ascii_case(key)));
                    }
                }
            }
            Ok(())
        },
    );
    accepted(world, req, &op)
}

// ---------------------------------------------------------------------------------------------------- recovery plans

fn plan_items(plan: &Value) -> Vec<String> {
    plan["properties"]["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|g| g["replicationProtectedItems"].as_array())
        .flatten()
        .filter_map(|i| i["id"].as_str().map(str::to_lowercase))
        .collect()
}

pub(super) fn plan_view(world: &World, plan: &Value) -> Value {
    let mut v = plan.clone();
    let now = world.now();
    let members: Vec<&Item> = plan_items(plan)
        .iter()
        .filter_map(|k| world.cloud.items.get(k))
        .collect();
    // What every member allows; what is allowed on some only isn't offered on the plan.
    let mut operations: Vec<&str> = members.first().map(|i| i.operations(now)).unwrap_or_default();
    operations.retain(|o| members.iter().all(|i| i.operations(now).contains(o)) && *o != "DisableProtection");
    v["properties"]["allowedOperations"] = operations.into();
    v
}

pub(super) fn plans(world: &World, vault: &str) -> Vec<Value> {
    world.cloud.of_type(vault, PLANS).map(|p| plan_view(world, p)).collect()
}

pub(super) fn put_plan(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    let p = &req.body["properties"];
    let fabric_there = world.cloud.appliances.get(&vault.to_lowercase()).is_some_and(|a| {
        p["primaryFabricId"]
            .as_str()
            .is_some_and(|f| f.eq_ignore_ascii_case(&fabric_id(&a.vault)))
    });
    if !fabric_there {
        return Err(Refusal::bad(
            "FabricNotFound",
            "primaryFabricId isn't a fabric of this vault.",
        ));
    }
    let mut groups = vec![];
    for kind in ["Shutdown", "Failover"] {
        groups.push(
            json!({"groupType": kind, "replicationProtectedItems": [], "startGroupActions": [], "endGroupActions": []}),
        );
    }
    for g in p["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|g| g["groupType"] == "Boot")
    {
        for i in g["replicationProtectedItems"].as_array().into_iter().flatten() {
            let key = i["id"].as_str().unwrap_or("").to_lowercase();
            match world.cloud.items.get(&key) {
                Some(item) if item.protected_since.is_some() => {}
                Some(item) => {
                    return Err(Refusal::bad(
                        "ProtectedItemNotReady",
                        format!(
                            "'{}' isn't protected yet: its initial replication must end first.",
                            item.vm_name
                        ),
                    ));
                }
                None => {
                    return Err(Refusal::bad(
                        "ProtectedItemNotFound",
                        format!("The protected item '{key}' doesn't exist."),
                    ));
                }
            }
        }
        groups.push(g.clone());
    }
    let name = last(id).to_owned();
    let body = json!({
        "id": own(id), "name": name, "type": PLANS,
        "properties": {
            "friendlyName": name, "primaryFabricId": own(&fabric_id(vault)), "primaryFabricFriendlyName": fabric_name_of(vault),
            "recoveryFabricId": "Microsoft Azure", "recoveryFabricFriendlyName": "Microsoft Azure", "failoverDeploymentModel": "ResourceManager",
            "replicationProviders": ["InMageRcm"], "allowedOperations": [], "groups": groups, "providerSpecificDetails": [],
            "currentScenario": {"scenarioName": "None", "jobId": own(&format!("{vault}/replicationJobs/None")), "startTime": NEVER},
            "currentScenarioStatus": "None", "currentScenarioStatusDescription": "None",
        },
    });
    let op = start(
        world,
        vault,
        ("CreateRecoveryPlan", "Create recovery plan"),
        (id, &name, "RecoveryPlan"),
        POLICY,
        &[("CreateRecoveryPlanTask", "Creating the recovery plan")],
        move |w| {
            w.cloud.store(body);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

pub(super) fn delete_plan(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    if world.cloud.get(id).is_none() {
        return Ok(Resp::empty(204));
    }
    let target = id.to_owned();
    let op = start(
        world,
        vault,
        ("DeleteRecoveryPlan", "Delete a recovery plan"),
        (id, last(id), "RecoveryPlan"),
        POLICY,
        &[("DeleteRecoveryPlanTask", "Delete a recovery plan task")],
        move |w| {
            w.cloud.remove(&target);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

pub(super) fn plan_action(world: &mut World, req: &Req, vault: &str, id: &str, action: &str) -> Answer {
    let Some(plan) = world.cloud.get(id).cloned() else {
        return Err(missing(req));
    };
    let keys = plan_items(&plan);
    if keys.is_empty() {
        return Err(Refusal::bad(
            "RecoveryPlanEmpty",
            format!("The recovery plan '{}' has no machines.", last(id)),
        ));
    }
    let p = &req.body["properties"];
    let (operation, scenario, friendly, secs) = match action {
        "unplannedfailover" => ("UnplannedFailover", "UnplannedFailover", "Failover", FAILOVER),
        "failovercommit" => ("Commit", "CommitFailover", "Commit", COMMIT),
        _ => {
            return Err(Refusal::new(
                405,
                "MethodNotAllowed",
                format!("The lab doesn't offer the action '{action}' on a recovery plan."),
            ));
        }
    };
    for key in &keys {
        allowed::<Item>(world, key, operation)?;
    }
    let failover = action == "unplannedfailover";
    let shutdown = p["sourceSiteOperations"] == "Required";
    if failover && p["failoverDirection"] != "PrimaryToRecovery" {
        return Err(Refusal::bad(
            "InvalidParameter",
            "failoverDirection must be PrimaryToRecovery.",
        ));
    }
    if failover {
        for key in &keys {
            begin_failover(world, key, shutdown);
        }
    }
    let (members, plan_id) = (keys.clone(), id.to_owned());
    let tasks = if failover {
        failover_tasks(shutdown)
    } else {
        COMMIT_TASKS
    };
    let op = start(
        world,
        vault,
        (scenario, friendly),
        (id, last(id), "RecoveryPlan"),
        secs,
        tasks,
        move |w| {
            for key in &members {
                if let Some(i) = w.cloud.items.get_mut(key) {
                    i.job = None;
                }
                if failover {
                    failover_done(w, key)?;
                } else {
                    commit_done(w, key)?;
                }
            }
            let now = w.now().to_string();
            if let Some(v) = w.cloud.get_mut(&plan_id) {
                v["properties"]["currentScenarioStatus"] = "Succeeded".into();
                v["properties"]["currentScenarioStatusDescription"] = "Completed".into();
                if failover {
                    v["properties"]["lastUnplannedFailoverTime"] = now.into();
                }
            }
            Ok(())
        },
    );
    let now = world.now();
    for key in &keys {
        if let Some(i) = world.cloud.items.get_mut(key) {
            i.job = Some((scenario, op.clone(), now));
        }
    }
    if let Some(v) = world.cloud.get_mut(id) {
        v["properties"]["currentScenario"] = json!({"scenarioName": scenario, "jobId": own(&format!("{vault}/replicationJobs/{op}")), "startTime": now.to_string()});
        v["properties"]["currentScenarioStatus"] = "InProgress".into();
        v["properties"]["currentScenarioStatusDescription"] = "InProgress".into();
    }
    accepted(world, req, &op)
}
