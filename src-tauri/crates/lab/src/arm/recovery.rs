//! Recovery Services vaults and Site Recovery with the modernized VMware experience (`InMageRcm`): what an appliance
//! registers, policies, protected items and their way from initial replication over the test failover to the commit,
//! recovery plans, and the job behind every action. Shapes and states follow Microsoft's examples of 2024-04-01.

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, compute, jobs, last, location, lro, network, offazure, parent, text};
use crate::{
    onprem::{LabVm, Power},
    world::{World, plus},
};

pub(crate) const VAULTS: &str = "Microsoft.RecoveryServices/vaults";
const POLICIES: &str = "Microsoft.RecoveryServices/vaults/replicationPolicies";
const MAPPINGS: &str = "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectionContainerMappings";
const ITEMS: &str =
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectedItems";
const PLANS: &str = "Microsoft.RecoveryServices/vaults/replicationRecoveryPlans";
/// "Never" in Site Recovery's answers.
const NEVER: &str = "1753-01-01T01:01:01Z";

// Durations in lab seconds.
const POLICY: i64 = 30;
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

/// A replication appliance that was registered with a vault.
#[derive(Debug, Clone)]
pub(crate) struct Appliance {
    pub vault: String,
    pub name: String,
    pub site: String,
    /// When the machines were discovered.
    pub discovered: Option<Timestamp>,
}

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
    pub id: String,
    pub vault: String,
    pub machine: String,
    /// The machine's reference in vCenter.
    pub moref: String,
    pub vm_name: String,
    pub policy: String,
    /// `providerSpecificDetails` of the request.
    pub input: Value,
    pub phase: Phase,
    pub test: TestState,
    /// The job under way: scenario, name and start.
    pub job: Option<(&'static str, String, Timestamp)>,
    pub protected_since: Option<Timestamp>,
    pub last_test: Option<Timestamp>,
    pub last_failover: Option<Timestamp>,
    /// The virtual machine of the test failover.
    pub test_vm: Option<String>,
}

impl Item {
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

    /// The newest recovery point's time.
    fn point(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.protected_since?;
        // Replication stops at the failover.
        let until = self.last_failover.unwrap_or(now);
        let n = until.duration_since(since).as_secs() / POINTS;
        (n > 0).then(|| plus(since, SignedDuration::from_secs(n * POINTS)))
    }

    fn target(&self, key: &str) -> &str {
        self.input[key].as_str().unwrap_or("")
    }

    fn target_name(&self) -> &str {
        match self.target("targetVmName") {
            "" => &self.vm_name,
            n => n,
        }
    }
}

/// Site Recovery writes its own ids with a capital S.
pub(crate) fn own(id: &str) -> String {
    match id.strip_prefix("/subscriptions/") {
        Some(rest) => format!("/Subscriptions/{rest}"),
        None => id.to_owned(),
    }
}

fn plain(id: &str) -> String {
    match id.strip_prefix("/Subscriptions/") {
        Some(rest) => format!("/subscriptions/{rest}"),
        None => id.to_owned(),
    }
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let start = low.iter().rposition(|s| *s == "microsoft.recoveryservices")? + 1;
    let rest = &low[start..];
    if let ["locations", _, "checknameavailability"] = rest {
        return Some(Ok(Resp::ok(json!({"nameAvailable": true}))));
    }
    let here = req.id(req.segs.len());
    if rest == ["vaults"] && req.method == Method::GET {
        let found: Vec<Value> = world.cloud.of_type(&parent(&here, 3), VAULTS).cloned().collect();
        return Some(Ok(Resp::list(found)));
    }
    let ["vaults", _, inner @ ..] = rest else { return None };
    let vault = req.id(start + 2);
    if inner.is_empty() {
        return match req.method {
            Method::GET => Some(
                world
                    .cloud
                    .get(&vault)
                    .cloned()
                    .map(Resp::ok)
                    .ok_or_else(|| Refusal::not_found(req)),
            ),
            Method::PUT => Some(put_vault(world, req, &vault)),
            Method::DELETE => Some(delete_vault(world, req, &vault)),
            _ => None,
        };
    }
    let ready = match world.cloud.get(&vault) {
        Some(v) => v["properties"]["provisioningState"] == "Succeeded",
        None => {
            return Some(Err(Refusal::new(
                404,
                "ResourceNotFound",
                format!(
                    "The Resource '{VAULTS}/{}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
                    last(&vault),
                    req.group().unwrap_or("")
                ),
            )));
        }
    };
    if !ready {
        return Some(Err(Refusal::conflict(
            "VaultNotReady",
            format!("The vault '{}' is still being created.", last(&vault)),
        )));
    }
    site_recovery(world, req, inner, &vault, &here)
}

fn put_vault(world: &mut World, req: &Req, id: &str) -> Answer {
    let region = location(&req.body)?;
    let Some(sku) = text(&req.body, "/sku/name") else {
        return Err(Refusal::bad("InvalidRequestContent", "The vault has no sku."));
    };
    let name = last(id).to_owned();
    let ok = (2..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !ok {
        return Err(Refusal::bad(
            "InvalidResourceName",
            format!("The vault name '{name}' is invalid: 2-50 letters, digits and hyphens, beginning with a letter."),
        ));
    }
    let old = world.cloud.get(id).cloned();
    let mut body = json!({
        "id": id, "name": name, "type": VAULTS, "location": region, "etag": format!("W/\"datetime'{}'\"", world.now()),
        "sku": {"name": if sku == "Standard" { "RS0" } else { sku }, "tier": "Standard"},
        "properties": {
            "provisioningState": if old.is_some() { "Succeeded" } else { "Creating" },
            "publicNetworkAccess": req.body["properties"]["publicNetworkAccess"].as_str().unwrap_or("Enabled"),
            "privateEndpointStateForBackup": "None", "privateEndpointStateForSiteRecovery": "None",
        },
    });
    if req.body["identity"]["type"]
        .as_str()
        .is_some_and(|t| t.contains("SystemAssigned"))
    {
        body["identity"] = json!({"type": "SystemAssigned", "tenantId": world.cloud.tenant, "principalId": world.guid(&format!("identity {id}")).to_string()});
    }
    if req.body["tags"].is_object() {
        body["tags"] = req.body["tags"].clone();
    }
    world.cloud.store(body.clone());
    if old.is_some() {
        return Ok(Resp::ok(body));
    }
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::Vault(id.to_owned()),
        &region,
        Some(id.to_owned()),
        15,
        id,
        move |w| {
            if let Some(v) = w.cloud.get_mut(&target) {
                v["properties"]["provisioningState"] = "Succeeded".into();
            }
            Ok(())
        },
    );
    Ok(lro::accepted(world, req, &op, Some(body), 201))
}

fn delete_vault(world: &mut World, req: &Req, id: &str) -> Answer {
    let Some(vault) = world.cloud.get(id).cloned() else {
        return Ok(Resp::empty(204));
    };
    let key = id.to_lowercase();
    let items = world
        .cloud
        .items
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(id))
        .count();
    if items > 0 || world.cloud.appliances.contains_key(&key) {
        return Err(Refusal::conflict(
            "ServiceResourceNotEmptyWithContainerDetails",
            format!(
                "Recovery Services vault cannot be deleted as there are existing resources within the vault: {items} replicated items, {} Site Recovery infrastructure. Disable replication, remove the infrastructure and try again.",
                usize::from(world.cloud.appliances.contains_key(&key))
            ),
        ));
    }
    let region = vault["location"].as_str().unwrap_or("").to_owned();
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::Vault(id.to_owned()),
        &region,
        Some(id.to_owned()),
        15,
        id,
        move |w| {
            let prefix = format!("{}/", target.to_lowercase());
            w.cloud.resources.retain(|k, _| !k.starts_with(&prefix));
            w.cloud.jobs.retain(|j| !j.vault.eq_ignore_ascii_case(&target));
            w.cloud.remove(&target);
            Ok(())
        },
    );
    // The operation lives below the vault, which will be gone: it is asked for at the subscription instead.
    if let Some(o) = world.cloud.operations.get_mut(&op) {
        o.style = lro::Style::Group;
    }
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

fn site_recovery(world: &mut World, req: &Req, inner: &[&str], vault: &str, here: &str) -> Option<Answer> {
    let (get, put, post, delete) = (
        req.method == Method::GET,
        req.method == Method::PUT,
        req.method == Method::POST,
        req.method == Method::DELETE,
    );
    let stored = |world: &World, kind: &str| {
        let found: Vec<Value> = world.cloud.of_type(vault, kind).cloned().collect();
        Resp::list(found)
    };
    let one = |world: &World| world.cloud.get(here).cloned().map(Resp::ok).ok_or_else(|| missing(req));
    let appliance = world.cloud.appliances.get(&vault.to_lowercase()).cloned();
    Some(match inner {
        ["replicationpolicies"] if get => Ok(stored(world, POLICIES)),
        ["replicationpolicies", _] if get => one(world),
        ["replicationpolicies", _] if put => put_policy(world, req, vault, here),
        ["replicationpolicies", _] if delete => delete_policy(world, req, vault, here),
        ["replicationrecoveryplans"] if get => {
            let plans: Vec<Value> = world.cloud.of_type(vault, PLANS).map(|p| plan_view(world, p)).collect();
            Ok(Resp::list(plans))
        }
        ["replicationrecoveryplans", _] if get => world
            .cloud
            .get(here)
            .map(|p| Resp::ok(plan_view(world, p)))
            .ok_or_else(|| missing(req)),
        ["replicationrecoveryplans", _] if put => put_plan(world, req, vault, here),
        ["replicationrecoveryplans", _] if delete => delete_plan(world, req, vault, here),
        ["replicationrecoveryplans", _, action] if post => plan_action(world, req, vault, &parent(here, 1), action),
        ["replicationjobs"] if get => Ok(Resp::list(jobs::list(world, vault, req))),
        ["replicationjobs", name] if get => jobs::view(world, vault, name).map(Resp::ok).ok_or_else(|| missing(req)),
        ["replicationappliances"] if get => Ok(Resp::list([appliances(world, appliance.as_ref())])),
        ["replicationvaulthealth"] if get => Ok(Resp::ok(json!({
            "id": own(&format!("{vault}/replicationVaultHealth/default")), "name": "default", "type": format!("{VAULTS}/replicationVaultHealth"),
            "properties": {"vaultErrors": []},
        }))),
        ["replicationevents"] if get => Ok(Resp::list([])),
        ["usages" | "replicationusages"] if get => Ok(Resp::list([])),
        ["replicationfabrics"] if get => Ok(Resp::list(appliance.iter().map(|a| fabric(world, a)))),
        ["replicationprotectioncontainers"] if get => Ok(Resp::list(appliance.iter().map(|a| container(world, a)))),
        ["replicationprotecteditems"] if get => Ok(Resp::list(items(world, vault))),
        ["replicationprotectioncontainermappings"] if get => Ok(stored(world, MAPPINGS)),
        ["replicationrecoveryservicesproviders"] if get => Ok(Resp::list(appliance.iter().map(|a| provider(world, a)))),
        ["replicationfabrics", fabric_name, more @ ..] => {
            let appliance = match appliance {
                Some(a) if fabric_name.eq_ignore_ascii_case(&fabric_name_of(&a.vault)) => a,
                _ => return Some(Err(missing(req))),
            };
            match more {
                [] if get => Ok(Resp::ok(fabric(world, &appliance))),
                [] if delete => remove_infrastructure(world, req, &appliance),
                ["removeinfra"] if post => remove_infrastructure(world, req, &appliance),
                ["replicationrecoveryservicesproviders"] if get => Ok(Resp::list([provider(world, &appliance)])),
                ["replicationprotectioncontainers"] if get => Ok(Resp::list([container(world, &appliance)])),
                ["replicationprotectioncontainers", c, more @ ..] => {
                    if !c.eq_ignore_ascii_case(&container_name_of(&appliance.vault)) {
                        return Some(Err(missing(req)));
                    }
                    return in_container(world, req, more, vault, here, &appliance);
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn in_container(world: &mut World, req: &Req, more: &[&str], vault: &str, here: &str, a: &Appliance) -> Option<Answer> {
    let (get, put, post, delete) = (
        req.method == Method::GET,
        req.method == Method::PUT,
        req.method == Method::POST,
        req.method == Method::DELETE,
    );
    Some(match more {
        [] if get => Ok(Resp::ok(container(world, a))),
        ["replicationprotectioncontainermappings"] if get => Ok(Resp::list(
            world.cloud.of_type(vault, MAPPINGS).cloned().collect::<Vec<_>>(),
        )),
        ["replicationprotectioncontainermappings", _] if get => {
            world.cloud.get(here).cloned().map(Resp::ok).ok_or_else(|| missing(req))
        }
        ["replicationprotectioncontainermappings", _] if put => put_mapping(world, req, vault, here, a),
        ["replicationprotectioncontainermappings", _] if delete => delete_mapping(world, req, vault, here),
        ["replicationprotectioncontainermappings", _, "remove"] if post => {
            delete_mapping(world, req, vault, &parent(here, 1))
        }
        ["replicationprotecteditems"] if get => Ok(Resp::list(items(world, vault))),
        ["replicationprotecteditems", _] if get => item_view(world, here).map(Resp::ok).ok_or_else(|| missing(req)),
        ["replicationprotecteditems", _] if put => enable(world, req, vault, here, a),
        ["replicationprotecteditems", _] if delete => remove_item(world, req, vault, here),
        ["replicationprotecteditems", _, "remove"] if post => remove_item(world, req, vault, &parent(here, 1)),
        ["replicationprotecteditems", _, "recoverypoints"] if get => {
            let id = parent(here, 1);
            points(world, &id).map(Resp::list).ok_or_else(|| missing(req))
        }
        ["replicationprotecteditems", _, action] if post => item_action(world, req, vault, &parent(here, 1), action),
        _ => return None,
    })
}

fn missing(req: &Req) -> Refusal {
    Refusal::new(
        404,
        "ResourceNotFound",
        format!("The resource '{}' was not found.", req.path),
    )
}

fn accepted(world: &World, req: &Req, op: &str) -> Answer {
    Ok(Resp::empty(202).with(lro::headers(world, req, op)))
}

// ---------------------------------------------------------------------------------------------------- infrastructure

fn fabric_name_of(vault: &str) -> String {
    format!("{}replicationfabric", last(vault))
}

fn container_name_of(vault: &str) -> String {
    format!("{}replicationcontainer", last(vault))
}

fn fabric_id(vault: &str) -> String {
    format!("{vault}/replicationFabrics/{}", fabric_name_of(vault))
}

fn container_id(vault: &str) -> String {
    format!(
        "{}/replicationProtectionContainers/{}",
        fabric_id(vault),
        container_name_of(vault)
    )
}

/// What an appliance is made of, as Site Recovery lists it.
fn component(world: &World, a: &Appliance, part: &str, version: &str) -> Value {
    let id = world.guid(&format!("{part} {}", a.name)).to_string();
    json!({
        "id": id, "name": a.name, "biosId": world.guid(&format!("{}/bios", a.name)).to_string(), "fabricObjectId": world.guid(&format!("object {}", a.name)).to_string(),
        "fqdn": format!("{}.contoso.com", a.name.to_lowercase()), "version": version,
        "lastHeartbeatUtc": plus(world.now(), SignedDuration::from_secs(-30)).to_string(), "health": "Normal", "healthErrors": [],
    })
}

fn process_server(world: &World, a: &Appliance) -> Value {
    let mut v = component(world, a, "process server", "9.62.7172.1");
    let count = world
        .cloud
        .items
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(&a.vault))
        .count();
    let gib = 1_073_741_824_i64;
    let more = json!({
        "ipAddresses": ["10.245.48.20"], "totalMemoryInBytes": 16 * gib, "availableMemoryInBytes": 9 * gib, "usedMemoryInBytes": 7 * gib,
        "memoryUsagePercentage": 43.75, "totalSpaceInBytes": 620 * gib, "availableSpaceInBytes": 590 * gib, "usedSpaceInBytes": 30 * gib,
        "freeSpacePercentage": 95.16, "throughputUploadPendingDataInBytes": 0, "throughputInBytes": 12_582_912, "processorUsagePercentage": 18.0,
        "throughputStatus": "Healthy", "systemLoad": 2, "systemLoadStatus": "Healthy", "diskUsageStatus": "Healthy", "memoryUsageStatus": "Healthy",
        "processorUsageStatus": "Healthy", "protectedItemCount": count, "historicHealth": "Normal",
    });
    if let (Some(v), Some(more)) = (v.as_object_mut(), more.as_object()) {
        v.extend(more.clone());
    }
    v
}

/// The id that a client gives as `processServerId`.
pub(crate) fn process_server_id(world: &World, appliance: &str) -> String {
    world.guid(&format!("process server {appliance}")).to_string()
}

fn dra(world: &World, a: &Appliance) -> Value {
    let mut v = component(world, a, "dra", "5.24.0703.1");
    if let Some(m) = v.as_object_mut() {
        m.remove("fabricObjectId");
        m.remove("fqdn");
        m.insert("forwardProtectedItemCount".into(), 0.into());
        m.insert("reverseProtectedItemCount".into(), 0.into());
    }
    v
}

fn fabric(world: &World, a: &Appliance) -> Value {
    let vault = &a.vault;
    json!({
        "id": own(&fabric_id(vault)), "name": fabric_name_of(vault), "type": format!("{VAULTS}/replicationFabrics"),
        "properties": {
            "friendlyName": fabric_name_of(vault), "encryptionDetails": {"kekState": "None"}, "rolloverEncryptionDetails": {"kekState": "None"},
            "internalIdentifier": world.guid(&format!("fabric {vault}")).to_string(), "bcdrState": "Valid",
            "customDetails": {
                "instanceType": "InMageRcm", "vmwareSiteId": a.site, "physicalSiteId": "",
                "serviceEndpoint": "", "serviceResourceId": world.guid("rcm service").to_string(), "serviceContainerId": world.guid("rcm container").to_string(),
                "dataPlaneUri": "https://rcm.lab.invalid", "controlPlaneUri": "https://rcm.lab.invalid",
                "sourceAgentIdentityDetails": {
                    "tenantId": world.cloud.tenant, "applicationId": world.guid("agent app").to_string(), "objectId": world.guid("agent object").to_string(),
                    "audience": "https://rcm.lab.invalid", "aadAuthority": world.cloud.authority_url,
                },
                "processServers": [process_server(world, a)],
                "rcmProxies": [component(world, a, "rcm proxy", "1.37.8978.1")],
                "pushInstallers": [component(world, a, "push installer", "9.62.7172.1")],
                "replicationAgents": [component(world, a, "replication agent", "1.39.8963.1")],
                "reprotectAgents": [], "marsAgents": [component(world, a, "mars agent", "2.0.9938.0")],
                "dras": [dra(world, a)], "agentDetails": [],
            },
            "healthErrorDetails": [], "health": "Normal",
        },
    })
}

fn appliances(world: &World, a: Option<&Appliance>) -> Value {
    let list: Vec<Value> = a
        .iter()
        .map(|a| {
            json!({
                "id": world.guid(&format!("object {}", a.name)).to_string(), "name": a.name, "fabricArmId": own(&fabric_id(&a.vault)),
                "processServer": process_server(world, a), "rcmProxy": component(world, a, "rcm proxy", "1.37.8978.1"),
                "pushInstaller": component(world, a, "push installer", "9.62.7172.1"),
                "replicationAgent": component(world, a, "replication agent", "1.39.8963.1"),
                "marsAgent": component(world, a, "mars agent", "2.0.9938.0"), "dra": dra(world, a), "switchProviderBlockingErrorDetails": [],
            })
        })
        .collect();
    json!({"properties": {"providerSpecificDetails": {"instanceType": "InMageRcm", "appliances": list}}})
}

fn container(world: &World, a: &Appliance) -> Value {
    let vault = &a.vault;
    let paired = world.cloud.of_type(vault, MAPPINGS).next().is_some();
    let count = world
        .cloud
        .items
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(vault))
        .count();
    json!({
        "id": own(&container_id(vault)), "name": container_name_of(vault), "type": format!("{VAULTS}/replicationFabrics/replicationProtectionContainers"),
        "properties": {
            "fabricFriendlyName": fabric_name_of(vault), "friendlyName": container_name_of(vault), "fabricType": "InMageRcmFabric",
            "protectedItemCount": count, "pairingStatus": if paired { "Paired" } else { "NotPaired" }, "role": "",
        },
    })
}

fn provider(world: &World, a: &Appliance) -> Value {
    let name = world.guid(&format!("dra {}", a.name)).to_string();
    json!({
        "id": own(&format!("{}/replicationRecoveryServicesProviders/{name}", fabric_id(&a.vault))), "name": name,
        "type": format!("{VAULTS}/replicationFabrics/replicationRecoveryServicesProviders"),
        "properties": {
            "fabricType": "InMageRcmFabric", "friendlyName": a.name, "providerVersion": "5.24.0703.1", "providerVersionState": "UpToDate",
            "fabricFriendlyName": fabric_name_of(&a.vault), "lastHeartBeat": plus(world.now(), SignedDuration::from_secs(-30)).to_string(),
            "connectionStatus": "Connected", "protectedItemCount": 0, "allowedScenarios": ["Refresh", "DisconnectProvider"], "healthErrorDetails": [],
        },
    })
}

/// An appliance was registered in its own web page: fabric, container, site and accounts appear.
pub(crate) fn register(world: &mut World, vault: &str, name: &str) {
    let site = offazure::create_site(world, &parent(vault, 4), name);
    let a = Appliance {
        vault: vault.to_owned(),
        name: name.to_owned(),
        site,
        discovered: None,
    };
    world.cloud.appliances.insert(vault.to_lowercase(), a);
}

fn remove_infrastructure(world: &mut World, req: &Req, a: &Appliance) -> Answer {
    if world
        .cloud
        .items
        .values()
        .any(|i| i.vault.eq_ignore_ascii_case(&a.vault))
    {
        return Err(Refusal::conflict(
            "ProtectedItemsExist",
            format!(
                "The infrastructure of vault '{}' can't be removed while machines are protected.",
                last(&a.vault)
            ),
        ));
    }
    let a = a.clone();
    let vault = a.vault.clone();
    let region = world
        .cloud
        .get(&vault)
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned();
    let op = lro::start(
        world,
        lro::Style::SiteRecovery(vault.clone()),
        &region,
        Some(fabric_id(&vault)),
        60,
        &vault,
        move |w| {
            w.cloud.appliances.remove(&a.vault.to_lowercase());
            let prefix = format!("{}/", fabric_id(&a.vault).to_lowercase());
            w.cloud.resources.retain(|k, _| !k.starts_with(&prefix));
            offazure::remove_site(w, &a.site);
            Ok(())
        },
    );
    jobs::record(
        world,
        &vault,
        &op,
        "DeleteSite",
        "Delete infrastructure",
        &fabric_id(&vault),
        &fabric_name_of(&vault),
        "Fabric",
        &[],
    );
    accepted(world, req, &op)
}

// ---------------------------------------------------------------------------------------------------- policy, mapping

/// Starts an operation of Site Recovery with its job.
fn start(
    world: &mut World,
    vault: &str,
    (scenario, friendly): (&'static str, &str),
    target: (&str, &str, &'static str),
    secs: i64,
    tasks: &[(&'static str, &'static str)],
    finish: impl FnOnce(&mut World) -> Result<(), Refusal> + Send + 'static,
) -> String {
    let region = world
        .cloud
        .get(vault)
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned();
    let label = format!("{scenario} {}", target.1);
    let op = lro::start(
        world,
        lro::Style::SiteRecovery(vault.to_owned()),
        &region,
        Some(target.0.to_owned()),
        secs,
        &label,
        finish,
    );
    jobs::record(
        world, vault, &op, scenario, friendly, target.0, target.1, target.2, tasks,
    );
    op
}

fn put_policy(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    let input = &req.body["properties"]["providerSpecificInput"];
    if input["instanceType"] != "InMageRcm" {
        return Err(Refusal::bad(
            "InvalidParameter",
            "The lab's vault takes replication policies of InMageRcm only.",
        ));
    }
    let minutes = |k: &str| input[k].as_i64().unwrap_or(0);
    let (history, app, crash) = (
        minutes("recoveryPointHistoryInMinutes"),
        minutes("appConsistentFrequencyInMinutes"),
        minutes("crashConsistentFrequencyInMinutes"),
    );
    if !(0..=15 * 1440).contains(&history)
        || !(0..=720).contains(&app)
        || crash > 60
        || (app > 0 && history > 0 && app > history)
    {
        return Err(Refusal::bad(
            "InvalidParameter",
            "recoveryPointHistoryInMinutes is at most 21600, appConsistentFrequencyInMinutes at most 720 and not above the history.",
        ));
    }
    let mut details = json!({
        "instanceType": "InMageRcm", "recoveryPointHistoryInMinutes": history, "appConsistentFrequencyInMinutes": app,
        "crashConsistentFrequencyInMinutes": crash, "enableMultiVmSync": input["enableMultiVmSync"].as_str().unwrap_or("False"),
    });
    if crash == 0 {
        details["crashConsistentFrequencyInMinutes"] = 5.into();
    }
    let name = last(id).to_owned();
    let body = json!({
        "id": own(id), "name": name, "type": POLICIES, "properties": {"friendlyName": name, "providerSpecificDetails": details},
    });
    let op = start(
        world,
        vault,
        ("AddProtectionProfile", "Create replication policy"),
        (id, &name, "ProtectionProfile"),
        POLICY,
        &[("AddProtectionProfileTask", "Creating the replication policy")],
        move |w| {
            w.cloud.store(body);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

fn delete_policy(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    if world.cloud.get(id).is_none() {
        return Ok(Resp::empty(204));
    }
    let used = world.cloud.of_type(vault, MAPPINGS).any(|m| {
        m["properties"]["policyId"]
            .as_str()
            .is_some_and(|p| p.eq_ignore_ascii_case(id))
    });
    if used {
        return Err(Refusal::conflict(
            "PolicyInUse",
            format!(
                "The replication policy '{}' is associated with a protection container.",
                last(id)
            ),
        ));
    }
    let target = id.to_owned();
    let op = start(
        world,
        vault,
        ("RemoveProtectionProfile", "Delete replication policy"),
        (id, last(id), "ProtectionProfile"),
        POLICY,
        &[("RemoveProtectionProfileTask", "Deleting the replication policy")],
        move |w| {
            w.cloud.remove(&target);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

fn put_mapping(world: &mut World, req: &Req, vault: &str, id: &str, a: &Appliance) -> Answer {
    let p = &req.body["properties"];
    let policy = plain(p["policyId"].as_str().unwrap_or(""));
    let Some(found) = world.cloud.get(&policy) else {
        return Err(Refusal::bad(
            "PolicyNotFound",
            format!("The replication policy '{policy}' doesn't exist."),
        ));
    };
    if p["targetProtectionContainerId"] != "Microsoft Azure" {
        return Err(Refusal::bad(
            "InvalidParameter",
            "targetProtectionContainerId must be 'Microsoft Azure'.",
        ));
    }
    let body = json!({
        "id": own(id), "name": last(id), "type": MAPPINGS,
        "properties": {
            "targetProtectionContainerId": "Microsoft Azure", "targetProtectionContainerFriendlyName": "Microsoft Azure",
            "providerSpecificDetails": {"instanceType": "InMageRcm", "enableAgentAutoUpgrade": "Enabled"},
            "health": "Normal", "healthErrorDetails": [], "policyId": found["id"], "state": "Paired",
            "sourceProtectionContainerFriendlyName": container_name_of(&a.vault), "sourceFabricFriendlyName": fabric_name_of(&a.vault),
            "targetFabricFriendlyName": "Microsoft Azure", "policyFriendlyName": found["name"],
        },
    });
    let op = start(
        world,
        vault,
        ("PairClouds", "Associate replication policy"),
        (id, last(id), "ProtectionContainer"),
        POLICY,
        &[("PairCloudsTask", "Associating the replication policy")],
        move |w| {
            w.cloud.store(body);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

fn delete_mapping(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    let Some(m) = world.cloud.get(id) else {
        return Ok(Resp::empty(204));
    };
    let policy = m["properties"]["policyId"].as_str().unwrap_or("").to_lowercase();
    if world
        .cloud
        .items
        .values()
        .any(|i| i.policy.eq_ignore_ascii_case(&policy))
    {
        return Err(Refusal::conflict(
            "ProtectedItemsExist",
            "The policy can't be dissociated while it protects machines.",
        ));
    }
    let target = id.to_owned();
    let op = start(
        world,
        vault,
        ("UnpairClouds", "Dissociate replication policy"),
        (id, last(id), "ProtectionContainer"),
        POLICY,
        &[("UnpairCloudsTask", "Dissociating the replication policy")],
        move |w| {
            w.cloud.remove(&target);
            Ok(())
        },
    );
    accepted(world, req, &op)
}

// ---------------------------------------------------------------------------------------------------- protected items

fn items(world: &World, vault: &str) -> Vec<Value> {
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

fn source<'a>(world: &'a World, i: &Item) -> Option<&'a LabVm> {
    world.onprem.vm(&i.moref)
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
    let Some(vm) = source(world, i) else { return d };
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

fn points(world: &World, id: &str) -> Option<Vec<Value>> {
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

/// Whether a network of the design exists, with its subnet.
fn check_network(world: &World, id: &str, subnet: &str, what: &str) -> Result<(), Refusal> {
    let Some(net) = world
        .cloud
        .get(id)
        .filter(|v| v["type"] == "Microsoft.Network/virtualNetworks")
    else {
        return Err(Refusal::bad(
            "TargetNetworkNotFound",
            format!("The {what} network '{id}' doesn't exist."),
        ));
    };
    let there = net["properties"]["subnets"].as_array().is_some_and(|s| {
        s.iter()
            .any(|s| s["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(subnet)))
    });
    if !subnet.is_empty() && !there {
        return Err(Refusal::bad(
            "TargetSubnetNotFound",
            format!("The {what} network '{}' has no subnet '{subnet}'.", last(id)),
        ));
    }
    Ok(())
}

fn enable(world: &mut World, req: &Req, vault: &str, id: &str, a: &Appliance) -> Answer {
    if world.cloud.items.contains_key(&id.to_lowercase()) {
        return Err(Refusal::conflict(
            "ProtectedItemAlreadyExists",
            format!("'{}' is protected already.", last(id)),
        ));
    }
    let p = &req.body["properties"];
    let input = p["providerSpecificDetails"].clone();
    let bad = |code: &str, message: String| Err(Refusal::bad(code, message));
    if input["instanceType"] != "InMageRcm" {
        return bad(
            "InvalidParameter",
            "This fabric protects machines with the provider InMageRcm.".into(),
        );
    }
    let policy = plain(p["policyId"].as_str().unwrap_or(""));
    let mapped = world.cloud.of_type(vault, MAPPINGS).any(|m| {
        m["properties"]["policyId"]
            .as_str()
            .is_some_and(|x| x.eq_ignore_ascii_case(&policy))
    });
    if !mapped {
        return bad(
            "PolicyNotAssociated",
            format!(
                "The replication policy '{}' isn't associated with the container.",
                last(&policy)
            ),
        );
    }
    let machine = input["fabricDiscoveryMachineId"].as_str().unwrap_or("").to_owned();
    let Some(vm) = offazure::machine(world, a, &machine).cloned() else {
        return bad(
            "MachineNotFound",
            format!("The machine '{machine}' wasn't discovered by the appliance."),
        );
    };
    if world.cloud.items.values().any(|i| i.moref == vm.moref) {
        return Err(Refusal::conflict(
            "ProtectedItemAlreadyExists",
            format!("The machine '{}' is protected already.", vm.name),
        ));
    }
    if input["processServerId"].as_str() != Some(process_server_id(world, &a.name).as_str()) {
        return bad(
            "ProcessServerNotFound",
            "processServerId isn't a process server of this fabric.".into(),
        );
    }
    let get = |k: &str| input[k].as_str().unwrap_or("").to_owned();
    let account = get("runAsAccountId");
    if !account.is_empty() && !offazure::is_account(world, a, &account) {
        return bad(
            "RunAsAccountNotFound",
            format!("The account '{account}' isn't known to the appliance."),
        );
    }
    let group = get("targetResourceGroupId");
    if world.cloud.get(&group).is_none() {
        return bad(
            "TargetResourceGroupNotFound",
            format!("The target resource group '{group}' doesn't exist."),
        );
    }
    check_network(world, &get("targetNetworkId"), &get("targetSubnetName"), "target")?;
    if !get("testNetworkId").is_empty() {
        check_network(world, &get("testNetworkId"), &get("testSubnetName"), "test")?;
    }
    let log = log_account(&input).to_owned();
    let region = world.cloud.get(vault).map_or(Value::Null, |v| v["location"].clone());
    match world.cloud.get(&log) {
        Some(s) if s["location"] == region && s["properties"]["provisioningState"] == "Succeeded" => {}
        Some(_) => {
            return bad(
                "CacheStorageAccountInvalid",
                format!(
                    "The cache storage account '{}' must be in the vault's region and ready.",
                    last(&log)
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
    let size = get("targetVmSize");
    if !size.is_empty() && !compute::is_size(&size) {
        return bad(
            "TargetVmSizeInvalid",
            format!("The size '{size}' isn't offered in this region."),
        );
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
        id: id.to_owned(),
        vault: vault.to_owned(),
        machine,
        moref: vm.moref.clone(),
        vm_name: vm.name.clone(),
        policy,
        input,
        phase: Phase::Enabling,
        test: TestState::None,
        job: None,
        protected_since: None,
        last_test: None,
        last_failover: None,
        test_vm: None,
    };
    world.cloud.items.insert(id.to_lowercase(), item);
    let key = id.to_lowercase();
    let op = on_item(
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

/// Starts a job on an item; while it runs it is the item's current scenario.
fn on_item(
    world: &mut World,
    key: &str,
    scenario: &'static str,
    friendly: &str,
    secs: i64,
    tasks: &[(&'static str, &'static str)],
    finish: impl FnOnce(&mut World, &str) + Send + 'static,
) -> String {
    let (vault, id, name) = world
        .cloud
        .items
        .get(key)
        .map(|i| (i.vault.clone(), i.id.clone(), i.vm_name.clone()))
        .unwrap_or_default();
    let k = key.to_owned();
    let op = start(
        world,
        &vault,
        (scenario, friendly),
        (&id, &name, "ProtectionEntity"),
        secs,
        tasks,
        move |w| {
            if let Some(i) = w.cloud.items.get_mut(&k) {
                i.job = None;
            }
            finish(w, &k);
            Ok(())
        },
    );
    let now = world.now();
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.job = Some((scenario, op.clone(), now));
    }
    op
}

fn begin_initial(world: &mut World, key: &str) {
    let now = world.now();
    let Some(name) = world.cloud.items.get(key).map(|i| i.vm_name.clone()) else {
        return;
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
        on_item(
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
            },
        );
    });
}

fn allowed(world: &World, key: &str, operation: &str) -> Result<Item, Refusal> {
    let Some(i) = world.cloud.items.get(key) else {
        return Err(Refusal::new(
            404,
            "ResourceNotFound",
            "The protected item was not found.",
        ));
    };
    let now = world.now();
    if i.operations(now).contains(&operation) {
        return Ok(i.clone());
    }
    let why = match &i.job {
        Some((scenario, ..)) => format!("the job {scenario} is running"),
        None => format!("allowed are {}", i.operations(now).join(", ")),
    };
    Err(Refusal::bad(
        "150097",
        format!(
            "The operation {operation} can't be performed on '{}' now: {why}.",
            i.vm_name
        ),
    ))
}

fn item_action(world: &mut World, req: &Req, vault: &str, id: &str, action: &str) -> Answer {
    let key = id.to_lowercase();
    let p = &req.body["properties"];
    let op = match action {
        "testfailover" => {
            let i = allowed(world, &key, "TestFailover")?;
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
            on_item(
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
            allowed(world, &key, "TestFailoverCleanup")?;
            if let Some(i) = world.cloud.items.get_mut(&key) {
                i.test = TestState::Cleaning;
            }
            on_item(
                world,
                &key,
                "TestFailoverCleanup",
                "Test failover cleanup",
                CLEANUP,
                &[
                    ("CleanupTestVirtualMachineTask", "Cleaning up the test virtual machine"),
                    ("CleanupTestEnvironmentTask", "Cleaning up the test environment"),
                ],
                |w, key| {
                    let vm = w.cloud.items.get_mut(key).and_then(|i| {
                        i.test = TestState::None;
                        i.test_vm.take()
                    });
                    if let Some(vm) = vm {
                        compute::remove(w, &vm);
                    }
                },
            )
        }
        "unplannedfailover" => {
            allowed(world, &key, "UnplannedFailover")?;
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
            on_item(
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
            allowed(world, &key, "Commit")?;
            on_item(
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

fn test_done(world: &mut World, key: &str, network_id: &str) {
    let Some(i) = world.cloud.items.get(key).cloned() else {
        return;
    };
    let subnets = world
        .cloud
        .get(network_id)
        .map_or(Value::Null, |n| n["properties"]["subnets"].clone());
    let wanted = i.target("testSubnetName").to_owned();
    let subnet = subnets
        .as_array()
        .and_then(|s| {
            s.iter()
                .find(|s| s["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(&wanted)))
                .or_else(|| s.first())
        })
        .and_then(|s| s["id"].as_str())
        .unwrap_or("")
        .to_owned();
    let name = format!("{}-test", i.target_name());
    let vm = make_vm(world, &i, &name, &subnet);
    let now = world.now();
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.test = TestState::Waiting;
        i.last_test = Some(now);
        i.test_vm = vm;
    }
}

fn make_vm(world: &mut World, i: &Item, name: &str, subnet: &str) -> Option<String> {
    let source = source(world, i)?.clone();
    let size = match i.target("targetVmSize") {
        "" => "Standard_D4s_v5",
        s => s,
    };
    let region = world.cloud.get(&i.vault)?["location"].as_str()?.to_owned();
    let group = i.target("targetResourceGroupId").trim_end_matches('/').to_owned();
    let group = world
        .cloud
        .get(&group)
        .and_then(|g| g["id"].as_str())
        .map_or(group.clone(), str::to_owned);
    Some(compute::create(world, &group, name, size, subnet, &region, &source))
}

fn failover_done(world: &mut World, key: &str) {
    let Some(i) = world.cloud.items.get(key).cloned() else {
        return;
    };
    let subnet = format!(
        "{}/subnets/{}",
        i.target("targetNetworkId"),
        i.target("targetSubnetName")
    );
    let subnet = network::part(world, &subnet)
        .and_then(|s| s["id"].as_str())
        .map_or(subnet.clone(), str::to_owned);
    let name = i.target_name().to_owned();
    make_vm(world, &i, &name, &subnet);
    let now = world.now();
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.phase = Phase::FailedOver;
        i.last_failover = Some(now);
    }
}

fn commit_done(world: &mut World, key: &str) {
    if let Some(i) = world.cloud.items.get_mut(key) {
        i.phase = Phase::Committed;
    }
}

fn remove_item(world: &mut World, req: &Req, _vault: &str, id: &str) -> Answer {
    let key = id.to_lowercase();
    if !world.cloud.items.contains_key(&key) {
        return Ok(Resp::empty(204));
    }
    allowed(world, &key, "DisableProtection")?;
    if let Some(i) = world.cloud.items.get_mut(&key) {
        i.phase = Phase::Disabling;
    }
    let op = on_item(
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

fn plan_view(world: &World, plan: &Value) -> Value {
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

fn put_plan(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
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

fn delete_plan(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
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

fn plan_action(world: &mut World, req: &Req, vault: &str, id: &str, action: &str) -> Answer {
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
        allowed(world, key, operation)?;
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
                    failover_done(w, key)
                } else {
                    commit_done(w, key)
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
