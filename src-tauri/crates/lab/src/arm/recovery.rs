//! Recovery Services vaults and Site Recovery's infrastructure: what an appliance registers (`InMageRcm` modernized, `VMwareV2`
//! of Azure Migrate), policies and their mappings, and the routes to everything else of a vault. What is replicated is in
//! [`super::protected`] and [`super::migration_items`]. Shapes and states follow Microsoft's examples of 2024-04-01.
//! Unverified: the names of jobs and tasks, and the codes and words of refusals.
//!
//! Azure Migrate's fixed names are demanded, not only expected: the portal finds nothing under others.

use axum::http::Method as Verb;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Answer, Refusal, Req, Resp, jobs, last, leftovers, location, lro, migrate, migration_items, offazure, parent,
    protected, text,
};
use crate::world::{World, plus};

pub(crate) const VAULTS: &str = "Microsoft.RecoveryServices/vaults";
const POLICIES: &str = "Microsoft.RecoveryServices/vaults/replicationPolicies";
pub(super) const MAPPINGS: &str = "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectionContainerMappings";
/// "Never" in Site Recovery's answers.
pub(super) const NEVER: &str = "1753-01-01T01:01:01Z";

/// Lab seconds that a change of policy or mapping takes.
pub(super) const POLICY: i64 = 30;

/// What an appliance replicates by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Site Recovery modernized.
    Rcm,
    /// Azure Migrate agentless.
    Cbt,
}

impl Method {
    fn fabric(self) -> &'static str {
        match self {
            Method::Rcm => "InMageRcmFabric",
            Method::Cbt => "VMwareV2",
        }
    }
}

/// A replication appliance that was registered with a vault.
#[derive(Debug, Clone)]
pub(crate) struct Appliance {
    pub method: Method,
    pub vault: String,
    pub name: String,
    pub site: String,
    /// When the machines were discovered.
    pub discovered: Option<Timestamp>,
}

/// Site Recovery writes its own ids with a capital S.
pub(crate) fn own(id: &str) -> String {
    match id.strip_prefix("/subscriptions/") {
        Some(rest) => format!("/Subscriptions/{rest}"),
        None => id.to_owned(),
    }
}

pub(super) fn plain(id: &str) -> String {
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
    if rest == ["vaults"] && req.method == Verb::GET {
        let found: Vec<Value> = world.cloud.of_type(&parent(&here, 3), VAULTS).cloned().collect();
        return Some(Ok(Resp::list(found)));
    }
    let ["vaults", _, inner @ ..] = rest else { return None };
    let vault = req.id(start + 2);
    if inner.is_empty() {
        return match req.method {
            Verb::GET => Some(
                world
                    .cloud
                    .get(&vault)
                    .cloned()
                    .map(Resp::ok)
                    .ok_or_else(|| Refusal::not_found(req)),
            ),
            Verb::PUT => Some(put_vault(world, req, &vault)),
            Verb::DELETE => Some(delete_vault(world, req, &vault)),
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
    let items = replicated(world, id);
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
        req.method == Verb::GET,
        req.method == Verb::PUT,
        req.method == Verb::POST,
        req.method == Verb::DELETE,
    );
    let stored = |world: &World, kind: &str| {
        let found: Vec<Value> = world.cloud.of_type(vault, kind).cloned().collect();
        Resp::list(found)
    };
    let one = |world: &World| world.cloud.get(here).cloned().map(Resp::ok).ok_or_else(|| missing(req));
    let appliance = world.cloud.appliances.get(&vault.to_lowercase()).cloned();
    let classic = world.cloud.classics.get(&vault.to_lowercase()).cloned();
    Some(match inner {
        ["replicationpolicies"] if get => Ok(stored(world, POLICIES)),
        ["replicationpolicies", _] if get => one(world),
        ["replicationpolicies", _] if put => put_policy(world, req, vault, here, appliance.as_ref()),
        ["replicationpolicies", _] if delete => delete_policy(world, req, vault, here),
        ["replicationrecoveryplans"] if get => Ok(Resp::list(protected::plans(world, vault))),
        ["replicationrecoveryplans", _] if get => world
            .cloud
            .get(here)
            .map(|p| Resp::ok(protected::plan_view(world, p)))
            .ok_or_else(|| missing(req)),
        ["replicationrecoveryplans", _] if put => protected::put_plan(world, req, vault, here),
        ["replicationrecoveryplans", _] if delete => protected::delete_plan(world, req, vault, here),
        ["replicationrecoveryplans", _, action] if post => {
            protected::plan_action(world, req, vault, &parent(here, 1), action)
        }
        ["replicationjobs"] if get => Ok(Resp::list(jobs::list(world, vault, req))),
        ["replicationjobs", name] if get => jobs::view(world, vault, name).map(Resp::ok).ok_or_else(|| missing(req)),
        ["replicationappliances"] if get => Ok(Resp::list([appliances(world, appliance.as_ref())])),
        ["replicationvaulthealth"] if get => Ok(Resp::ok(json!({
            "id": own(&format!("{vault}/replicationVaultHealth/default")), "name": "default", "type": format!("{VAULTS}/replicationVaultHealth"),
            "properties": {"vaultErrors": []},
        }))),
        ["replicationevents"] if get => Ok(Resp::list(jobs::events(world, vault))),
        ["usages" | "replicationusages"] if get => Ok(Resp::list([])),
        ["replicationfabrics"] if get => {
            let old = classic.iter().map(leftovers::fabric);
            Ok(Resp::list(appliance.iter().map(|a| fabric(world, a)).chain(old)))
        }
        ["replicationprotectioncontainers"] if get => Ok(Resp::list(appliance.iter().map(|a| container(world, a)))),
        ["replicationprotecteditems"] if get => Ok(Resp::list(
            protected::items(world, vault)
                .into_iter()
                .chain(classic.iter().flat_map(leftovers::items)),
        )),
        ["replicationmigrationitems"] if get => Ok(Resp::list(migration_items::items(world, vault))),
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
        req.method == Verb::GET,
        req.method == Verb::PUT,
        req.method == Verb::POST,
        req.method == Verb::DELETE,
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
        ["replicationmigrationitems", ..] => return migration_items::handle(world, req, more, vault, here, a),
        ["replicationprotecteditems"] if get => Ok(Resp::list(protected::items(world, vault))),
        ["replicationprotecteditems", _] if get => protected::item_view(world, here)
            .map(Resp::ok)
            .ok_or_else(|| missing(req)),
        ["replicationprotecteditems", _] if put => protected::enable(world, req, vault, here, a),
        ["replicationprotecteditems", _] if delete => protected::remove_item(world, req, vault, here),
        ["replicationprotecteditems", _, "remove"] if post => {
            protected::remove_item(world, req, vault, &parent(here, 1))
        }
        ["replicationprotecteditems", _, "recoverypoints"] if get => {
            let id = parent(here, 1);
            protected::points(world, &id)
                .map(Resp::list)
                .ok_or_else(|| missing(req))
        }
        ["replicationprotecteditems", _, action] if post => {
            protected::item_action(world, req, vault, &parent(here, 1), action)
        }
        _ => return None,
    })
}

pub(super) fn missing(req: &Req) -> Refusal {
    Refusal::new(
        404,
        "ResourceNotFound",
        format!("The resource '{}' was not found.", req.path),
    )
}

pub(super) fn accepted(world: &World, req: &Req, op: &str) -> Answer {
    Ok(Resp::empty(202).with(lro::headers(world, req, op)))
}

// ---------------------------------------------------------------------------------------------------- infrastructure

pub(super) fn fabric_name_of(vault: &str) -> String {
    format!("{}replicationfabric", last(vault))
}

pub(super) fn container_name_of(vault: &str) -> String {
    format!("{}replicationcontainer", last(vault))
}

pub(super) fn fabric_id(vault: &str) -> String {
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
    if a.method == Method::Cbt {
        return json!({
            "id": own(&fabric_id(vault)), "name": fabric_name_of(vault), "type": format!("{VAULTS}/replicationFabrics"),
            "properties": {
                "friendlyName": fabric_name_of(vault), "encryptionDetails": {"kekState": "None"}, "rolloverEncryptionDetails": {"kekState": "None"},
                "internalIdentifier": world.guid(&format!("fabric {vault}")).to_string(), "bcdrState": "Valid",
                "customDetails": {
                    "instanceType": "VMwareV2", "vmwareSiteId": a.site, "physicalSiteId": "", "migrationSolutionId": "",
                    "serviceEndpoint": "https://gateway.lab.invalid", "serviceResourceId": world.guid("gateway service").to_string(),
                    "serviceContainerId": world.guid("gateway container").to_string(), "processServers": [],
                },
                "healthErrorDetails": [], "health": "Normal",
            },
        });
    }
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
        .filter(|a| a.method == Method::Rcm)
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
    let count = replicated(world, vault);
    json!({
        "id": own(&container_id(vault)), "name": container_name_of(vault), "type": format!("{VAULTS}/replicationFabrics/replicationProtectionContainers"),
        "properties": {
            "fabricFriendlyName": fabric_name_of(vault), "friendlyName": container_name_of(vault), "fabricType": a.method.fabric(),
            "protectedItemCount": count, "pairingStatus": if paired { "Paired" } else { "NotPaired" }, "role": "",
        },
    })
}

fn provider(world: &World, a: &Appliance) -> Value {
    let name = world.guid(&format!("dra {}", a.name)).to_string();
    let identity = |app: String, object: String| {
        json!({
            "tenantId": world.cloud.tenant, "applicationId": app, "objectId": object,
            "audience": "https://appliance.lab.invalid", "aadAuthority": world.cloud.authority_url,
        })
    };
    let mut v = json!({
        "id": own(&format!("{}/replicationRecoveryServicesProviders/{name}", fabric_id(&a.vault))), "name": name,
        "type": format!("{VAULTS}/replicationFabrics/replicationRecoveryServicesProviders"),
        "properties": {
            "fabricType": a.method.fabric(), "friendlyName": a.name, "providerVersion": "5.24.0703.1", "providerVersionState": "UpToDate",
            "fabricFriendlyName": fabric_name_of(&a.vault), "lastHeartBeat": plus(world.now(), SignedDuration::from_secs(-30)).to_string(),
            "connectionStatus": "Connected", "protectedItemCount": 0, "allowedScenarios": ["Refresh", "DisconnectProvider"], "healthErrorDetails": [],
        },
    });
    if a.method == Method::Cbt {
        let guid = |label: &str| world.guid(&format!("{label} {}", a.name)).to_string();
        v["properties"]["authenticationIdentityDetails"] = identity(guid("appliance app"), guid("appliance login"));
        v["properties"]["resourceAccessIdentityDetails"] =
            identity(guid("appliance access app"), appliance_identity(world, a));
    }
    v
}

/// Object id of the identity by which an appliance reaches storage.
pub(crate) fn appliance_identity(world: &World, a: &Appliance) -> String {
    world
        .guid(&format!("appliance access {} {}", a.vault.to_lowercase(), a.name))
        .to_string()
}

/// An appliance was registered in its own web page: fabric, container, site and accounts appear.
pub(crate) fn register(world: &mut World, vault: &str, name: &str) {
    let site = offazure::create_site(world, &parent(vault, 4), name);
    let a = Appliance {
        method: Method::Rcm,
        vault: vault.to_owned(),
        name: name.to_owned(),
        site,
        discovered: None,
    };
    world.cloud.appliances.insert(vault.to_lowercase(), a);
}

/// An Azure Migrate appliance was registered with a project's key: site and vault appear, and the project knows them.
/// Returns the vault's id.
pub(crate) fn register_with_project(world: &mut World, project: &str, name: &str) -> String {
    let group = parent(project, 4);
    let tail = world.guid(&format!("vault of {project}")).simple().to_string();
    let vault = format!(
        "{group}/providers/{VAULTS}/{}-MigrateVault-{}",
        last(project),
        &tail[..8]
    );
    // The vault stands where its resource group does, which may be another region than the project's.
    let region = world.cloud.get(&group).map_or(Value::Null, |g| g["location"].clone());
    let identity = world.guid(&format!("identity {vault}")).to_string();
    world.cloud.store(json!({
        "id": vault, "name": last(&vault), "type": VAULTS, "location": region, "sku": {"name": "RS0", "tier": "Standard"},
        "identity": {"type": "SystemAssigned", "tenantId": world.cloud.tenant, "principalId": identity},
        "properties": {"provisioningState": "Succeeded", "publicNetworkAccess": "Enabled"},
    }));
    let site = offazure::create_site(world, &group, name);
    migrate::registered(world, project, name, &site, &vault);
    let a = Appliance {
        method: Method::Cbt,
        vault: vault.clone(),
        name: name.to_owned(),
        site,
        discovered: None,
    };
    world.cloud.appliances.insert(vault.to_lowercase(), a);
    vault
}

/// Name of the cache account that Azure Migrate's scripts look for: Java's hash of the fabric's id, without its sign.
fn cache_name(vault: &str) -> String {
    let hash = own(&fabric_id(vault))
        .encode_utf16()
        .fold(0_i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)));
    format!("migratersa{}", hash.unsigned_abs())
}

/// How many machines a vault replicates, by whatever method.
fn replicated(world: &World, vault: &str) -> usize {
    let protected = world
        .cloud
        .items
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(vault));
    let migrating = world
        .cloud
        .migrations
        .values()
        .filter(|i| i.vault.eq_ignore_ascii_case(vault));
    protected.count() + migrating.count()
}

fn remove_infrastructure(world: &mut World, req: &Req, a: &Appliance) -> Answer {
    if replicated(world, &a.vault) > 0 {
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
            // The site of Azure Migrate belongs to the project, and outlives the vault.
            if a.method == Method::Rcm {
                offazure::remove_site(w, &a.site);
            }
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
pub(super) fn start(
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

fn put_policy(world: &mut World, req: &Req, vault: &str, id: &str, a: Option<&Appliance>) -> Answer {
    let input = &req.body["properties"]["providerSpecificInput"];
    let migrating = a.filter(|a| a.method == Method::Cbt);
    let kind = if migrating.is_some() { "VMwareCbt" } else { "InMageRcm" };
    if input["instanceType"] != kind {
        return Err(Refusal::bad(
            "InvalidParameter",
            format!("This vault takes replication policies of {kind} only."),
        ));
    }
    if let Some(a) = migrating {
        let name = format!("migrate{}policy", last(&a.site));
        if !last(id).eq_ignore_ascii_case(&name) {
            return Err(Refusal::bad(
                "InvalidParameter",
                format!("Azure Migrate finds the policy of this site under the name '{name}' only."),
            ));
        }
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
    if migrating.is_some() {
        details = json!({
            "instanceType": "VMwareCbt", "recoveryPointHistoryInMinutes": history, "appConsistentFrequencyInMinutes": app,
            "crashConsistentFrequencyInMinutes": crash,
        });
    } else if crash == 0 {
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
    let details = match a.method {
        Method::Rcm => json!({"instanceType": "InMageRcm", "enableAgentAutoUpgrade": "Enabled"}),
        Method::Cbt => mapped_by_migrate(world, &p["providerSpecificInput"], vault, id)?,
    };
    let body = json!({
        "id": own(id), "name": last(id), "type": MAPPINGS,
        "properties": {
            "targetProtectionContainerId": "Microsoft Azure", "targetProtectionContainerFriendlyName": "Microsoft Azure",
            "providerSpecificDetails": details,
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

/// Judges a mapping of Azure Migrate and returns its details.
fn mapped_by_migrate(world: &World, input: &Value, vault: &str, id: &str) -> Result<Value, Refusal> {
    let bad = |message: String| Err(Refusal::bad("InvalidParameter", message));
    if last(id) != "containermapping" {
        return bad("Azure Migrate finds the mapping under the name 'containermapping' only.".into());
    }
    if input["instanceType"] != "VMwareCbt" {
        return bad("This fabric's mappings are of the provider VMwareCbt.".into());
    }
    let (Some(region), Some(account)) = (text(input, "/targetLocation"), text(input, "/storageAccountId")) else {
        return bad("targetLocation and storageAccountId are required.".into());
    };
    let name = cache_name(vault);
    if last(account) != name {
        return bad(format!(
            "The cache account of this fabric is called '{name}'; '{}' is another.",
            last(account)
        ));
    }
    let ready = world.cloud.get(account).is_some_and(|s| {
        s["location"].as_str().is_some_and(|l| l.eq_ignore_ascii_case(region))
            && s["properties"]["provisioningState"] == "Succeeded"
    });
    if !ready {
        return bad(format!(
            "The cache account '{name}' doesn't exist in the target region '{region}', or isn't ready."
        ));
    }
    if let Some(old) = world.cloud.get(id) {
        let d = &old["properties"]["providerSpecificDetails"];
        let same = |k: &str, v: &str| d[k].as_str().is_some_and(|o| o.eq_ignore_ascii_case(v));
        if !same("storageAccountId", account) || !same("targetLocation", region) {
            return Err(Refusal::bad(
                "StorageAccountCannotBeModified",
                "Storage account and target region can't be modified once configured.",
            ));
        }
    }
    Ok(
        json!({"instanceType": "VMwareCbt", "storageAccountId": account, "targetLocation": region, "roleSizeToNicCountMap": {}, "excludedSkus": []}),
    )
}

fn delete_mapping(world: &mut World, req: &Req, vault: &str, id: &str) -> Answer {
    let Some(m) = world.cloud.get(id) else {
        return Ok(Resp::empty(204));
    };
    let policy = m["properties"]["policyId"].as_str().unwrap_or("").to_lowercase();
    let used = world.cloud.items.values().map(|i| &i.policy);
    if used
        .chain(world.cloud.migrations.values().map(|i| &i.policy))
        .any(|p| p.eq_ignore_ascii_case(&policy))
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
