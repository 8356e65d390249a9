//! SQL Managed Instance and Log Replay Service: what creation demands of the network, what it then does to it, and a
//! restore that follows the backup files in a container until someone completes it.

use axum::http::Method;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, last, location, lro, network, parent, text};
use crate::{
    blob::{self, SasError},
    tds::certificate,
    world::{World, plus},
};

const KIND: &str = "Microsoft.Sql/managedInstances";
const DATABASES: &str = "Microsoft.Sql/managedInstances/databases";
const CLUSTERS: &str = "Microsoft.Sql/virtualClusters";
/// Lab seconds; 95 % of creations end within 30 minutes, the last instance takes 90 to go (management-operations-duration, 07/10/2026).
const CREATE_SECS: i64 = 28 * 60;
const DELETE_LAST_SECS: i64 = 90 * 60;
pub(crate) const FULL_SECS: i64 = 35 * 60;
pub(crate) const LOG_SECS: i64 = 90;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Replay {
    /// Nothing to restore yet.
    NotStarted,
    Restoring {
        file: String,
        from: Timestamp,
        to: Timestamp,
    },
    /// Every file that is there has been restored.
    Waiting,
    Completing,
    Completed,
    Failed(String),
}

/// A log replay.
#[derive(Debug, Clone)]
pub(crate) struct Restore {
    /// The database's id.
    id: String,
    operation: String,
    account: String,
    container: String,
    folder: String,
    token: String,
    /// With autocomplete: the backup after which it completes by itself.
    auto: Option<String>,
    pub state: Replay,
    /// Names of restored files, oldest first, with the time.
    pub restored: Vec<(String, Timestamp)>,
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let rest = &low[low.iter().rposition(|s| *s == "microsoft.sql")? + 1..];
    let here = req.id(req.segs.len());
    let get = req.method == Method::GET;
    let list = |world: &World, up: usize, kind: &str| {
        Resp::list(
            world
                .cloud
                .of_type(&parent(&here, up), kind)
                .cloned()
                .collect::<Vec<_>>(),
        )
    };
    Some(match rest {
        ["locations", loc, "capabilities"] if get => Ok(Resp::ok(capabilities(loc))),
        ["locations", loc, "usages"] if get => Ok(Resp::list(usages(world, loc))),
        ["managedinstances"] if get => Ok(list(world, 3, KIND)),
        ["virtualclusters"] if get => Ok(list(world, 3, CLUSTERS)),
        ["managedinstances" | "virtualclusters", _] | ["managedinstances", _, "databases", _] if get => world
            .cloud
            .get(&here)
            .cloned()
            .map(Resp::ok)
            .ok_or_else(|| Refusal::not_found(req)),
        ["managedinstances", _] if req.method == Method::PUT => put_instance(world, req),
        ["managedinstances", _] if req.method == Method::DELETE => delete_instance(world, req, &here),
        ["managedinstances", _, "tdecertificates"] if req.method == Method::POST => {
            super::certificates::upload(world, req, &parent(&here, 1))
        }
        ["managedinstances", _, "operations"] if get => {
            let id = parent(&here, 1);
            if world.cloud.get(&id).is_some() {
                Ok(Resp::list(operations(world, &id)))
            } else {
                Err(Refusal::not_found(req))
            }
        }
        ["managedinstances", _, "operations", name] if get => {
            let found = operations(world, &parent(&here, 2))
                .into_iter()
                .find(|o| o["name"] == *name);
            found.map(Resp::ok).ok_or_else(|| Refusal::not_found(req))
        }
        ["managedinstances", _, "databases"] if get => Ok(list(world, 1, DATABASES)),
        ["managedinstances", _, "databases", _] if req.method == Method::PUT => put_database(world, req),
        ["managedinstances", _, "databases", _] if req.method == Method::DELETE => delete_database(world, req, &here),
        ["managedinstances", _, "databases", _, "restoredetails", _] if get => {
            let id = parent(&here, 2);
            details(world, &id).map(Resp::ok).ok_or_else(|| Refusal::not_found(req))
        }
        ["managedinstances", _, "databases", _, "completerestore"] if req.method == Method::POST => {
            complete(world, req, &parent(&here, 1))
        }
        _ => return None,
    })
}

const VCORES: [i64; 8] = [4, 8, 16, 24, 32, 40, 64, 80];

fn capabilities(loc: &str) -> Value {
    let size = |limit: u32| json!({"limit": limit, "unit": "Gigabytes"});
    let cores: Vec<Value> = VCORES
        .iter()
        .map(|n| {
            json!({
                "name": format!("GP_Gen5_{n}"), "value": n, "includedMaxSize": size(32),
                "supportedStorageSizes": [{
                    "minValue": size(32), "maxValue": size(if *n < 8 { 2048 } else { 16384 }), "scaleSize": size(32), "status": "Available",
                }],
                "instancePoolSupported": true, "standaloneSupported": true, "supportedMaintenanceConfigurations": [],
                "status": if *n == 4 { "Default" } else { "Available" },
            })
        })
        .collect();
    let licenses =
        json!([{"name": "LicenseIncluded", "status": "Default"}, {"name": "BasePrice", "status": "Available"}]);
    json!({
        "name": loc, "status": "Available", "supportedServerVersions": [],
        "supportedManagedInstanceVersions": [{
            "name": "12.0", "status": "Default", "supportedInstancePoolEditions": [],
            "supportedEditions": [{
                "name": "GeneralPurpose", "zoneRedundant": false, "status": "Default",
                "supportedFamilies": [{
                    "name": "Gen5", "sku": "GP_Gen5", "supportedLicenseTypes": licenses, "supportedVcoresValues": cores, "status": "Default",
                }],
                "supportedStorageCapabilities": [{"storageAccountType": "GRS", "status": "Default"}, {"storageAccountType": "LRS", "status": "Available"}],
            }],
        }],
    })
}

fn usages(world: &World, loc: &str) -> Vec<Value> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let instances: Vec<&Value> = world
        .cloud
        .of_type(&scope, KIND)
        .filter(|v| v["location"] == loc)
        .collect();
    let cores: i64 = instances
        .iter()
        .filter_map(|v| v["properties"]["vCores"].as_i64())
        .sum();
    let clusters = world.cloud.of_type(&scope, CLUSTERS).count();
    [("SubnetQuota", "Regional subnet quota for SQL Managed Instance", clusters as i64, 4), ("VCoreQuota", "Regional vCore quota for SQL Managed Instance", cores, 320)]
        .into_iter()
        .map(|(name, shown, now, limit)| {
            json!({
                "id": format!("{scope}/providers/Microsoft.Sql/locations/{loc}/usages/{name}"), "name": name, "type": "Microsoft.Sql/locations/usages",
                "properties": {"displayName": format!("{shown} in {loc}"), "currentValue": now as f64, "limit": f64::from(limit), "unit": "Count"},
            })
        })
        .collect()
}

/// Names of instances elsewhere in the world.
const TAKEN: [&str; 3] = ["sqlmi", "contosomi", "smarthotelmi"];

/// What creation demands; in the order in which the service looks.
fn check_instance(world: &World, id: &str, body: &Value, region: &str) -> Result<String, Refusal> {
    let name = last(id);
    let p = &body["properties"];
    let bad = |code: &str, text: String| Err(Refusal::bad(code, text));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) || name.starts_with('-') || name.ends_with('-') {
        return bad(
            "InvalidServerName",
            format!(
                "Invalid server name '{name}': lower-case letters, digits and hyphens, not at the ends, at most 63."
            ),
        );
    }
    if TAKEN.contains(&name) {
        return bad(
            "NameAlreadyExists",
            format!("The provided name '{name}' already exists."),
        );
    }
    let sku = text(body, "/sku/name").unwrap_or("GP_Gen5");
    if !matches!(
        sku,
        "GP_Gen5" | "BC_Gen5" | "GP_G8IM" | "GP_G8IH" | "BC_G8IM" | "BC_G8IH"
    ) {
        return bad(
            "ManagedInstanceInvalidEditionForSku",
            format!("The SKU '{sku}' is not valid."),
        );
    }
    if let Some(tier) = text(body, "/sku/tier")
        && (tier == "GeneralPurpose") != sku.starts_with("GP_")
    {
        return bad(
            "ManagedInstanceInvalidEditionForSku",
            format!("The specified edition {tier} is not consistent with the specified SKU {sku}."),
        );
    }
    let cores = p["vCores"].as_i64().unwrap_or(0);
    if !VCORES.contains(&cores) {
        return bad(
            "InvalidParameterValue",
            format!("Invalid value given for parameter VCores: {cores}. Specify a valid parameter value."),
        );
    }
    let storage = p["storageSizeInGB"].as_i64().unwrap_or(0);
    if storage < 32 || storage % 32 != 0 || storage > if cores < 8 { 2048 } else { 16384 } {
        return bad(
            "InvalidParameterValue",
            format!(
                "Invalid value given for parameter StorageSizeInGB: {storage}. Specify a multiple of 32 from 32 on."
            ),
        );
    }
    if let Some(license) = p["licenseType"].as_str()
        && !matches!(license, "LicenseIncluded" | "BasePrice")
    {
        return bad(
            "ManagedInstanceInvalidLicenseType",
            format!("The specified license type {license} is not valid."),
        );
    }
    if let Some(c) = p["collation"].as_str()
        && !(c.starts_with("SQL_") || c.contains("_CI_") || c.contains("_CS_") || c.contains("_BIN"))
    {
        return bad("InvalidCollation", format!("Invalid collation: {c}."));
    }
    if let Some(tz) = p["timezoneId"].as_str()
        && !(tz == "UTC" || tz.ends_with("Time") || tz.starts_with("UTC"))
    {
        return bad("InvalidTimezone", format!("Invalid timezone: {tz}."));
    }
    if let Some(tls) = p["minimalTlsVersion"].as_str()
        && !matches!(tls, "1.0" | "1.1" | "1.2" | "1.3" | "None")
    {
        return bad(
            "InvalidMinimalTlsVersion",
            format!("Invalid minimal TLS version: {tls}."),
        );
    }
    let login = p["administratorLogin"].as_str().unwrap_or("");
    if login.is_empty()
        || [
            "admin",
            "administrator",
            "sa",
            "root",
            "dbmanager",
            "loginmanager",
            "guest",
            "public",
        ]
        .contains(&login.to_lowercase().as_str())
    {
        return bad("InvalidLoginName", "The provided login name is invalid.".into());
    }
    check_password(p["administratorLoginPassword"].as_str().unwrap_or(""), login)?;
    check_subnet(world, p["subnetId"].as_str().unwrap_or(""), region)
}

fn check_password(password: &str, login: &str) -> Result<(), Refusal> {
    if password.chars().count() < 16 {
        return Err(Refusal::bad(
            "PasswordTooShort",
            "The provided password is too short: at least 16 characters.",
        ));
    }
    if password.chars().count() > 128 {
        return Err(Refusal::bad("PasswordTooLong", "The provided password is too long."));
    }
    let kinds = [
        password.chars().any(|c| c.is_ascii_lowercase()),
        password.chars().any(|c| c.is_ascii_uppercase()),
        password.chars().any(|c| c.is_ascii_digit()),
        password.chars().any(|c| !c.is_ascii_alphanumeric()),
    ];
    if kinds.iter().filter(|k| **k).count() < 3 || password.to_lowercase().contains(&login.to_lowercase()) {
        return Err(Refusal::bad(
            "PasswordNotComplex",
            "The provided password is not complex enough.",
        ));
    }
    Ok(())
}

fn check_subnet(world: &World, id: &str, region: &str) -> Result<String, Refusal> {
    let bad = |code: &str, text: String| Err(Refusal::bad(code, text));
    let parts: Vec<&str> = id.trim_start_matches('/').split('/').collect();
    if parts.len() != 10 || !parts[8].eq_ignore_ascii_case("subnets") || !parts[7].is_ascii() {
        return bad(
            "InvalidSubnetResourceId",
            format!("The provided subnet resource ID '{id}' is invalid."),
        );
    }
    let Some(net) = world.cloud.get(&parent(id, 2)) else {
        return bad(
            "VnetResourceNotFound",
            format!("Resource not found: '{}'.", parent(id, 2)),
        );
    };
    let Some(subnet) = network::part(world, id) else {
        return bad("VnetSubnetIsUnknown", format!("Subnet '{id}' does not exist."));
    };
    if net["location"] != region {
        return bad(
            "VnetInWrongRegion",
            format!(
                "Virtual network '{}' is in {}, the managed instance would be in {region}.",
                last(&parent(id, 2)),
                net["location"].as_str().unwrap_or("")
            ),
        );
    }
    let p = &subnet["properties"];
    if last(id).eq_ignore_ascii_case("GatewaySubnet") {
        return bad(
            "VnetSubnetIsGateway",
            "The gateway's subnet can't hold a managed instance.".into(),
        );
    }
    let bits = p["addressPrefix"]
        .as_str()
        .and_then(|a| a.parse::<Ipv4Net>().ok())
        .map_or(32, |n| n.prefix_len());
    if bits > 27 {
        return bad(
            "CreateManagedInstanceInvalidSubnetSize",
            format!(
                "Subnet '{}' is too small (/{bits}): a managed instance needs at least 32 addresses (/27).",
                last(id)
            ),
        );
    }
    let delegated = p["delegations"].as_array().is_some_and(|d| {
        d.iter().any(|d| {
            d["properties"]["serviceName"]
                .as_str()
                .is_some_and(|s| s.eq_ignore_ascii_case(KIND))
        })
    });
    if !delegated {
        return Err(Refusal::conflict(
            "MiCreateFailedNonDelegatedSubnet",
            format!(
                "Failed to create Managed Instance with subnet '{}'. Subnet must be delegated to {KIND}.",
                last(id)
            ),
        ));
    }
    if p["networkSecurityGroup"]["id"].is_null() {
        return bad(
            "VnetConfigIsNotAllowed",
            format!("Subnet '{}' has no network security group.", last(id)),
        );
    }
    let Some(table) = p["routeTable"]["id"].as_str().and_then(|t| world.cloud.get(t)) else {
        return bad(
            "VnetConfigHasNoUdr",
            format!("Subnet '{}' has no route table.", last(id)),
        );
    };
    let routes = table["properties"]["routes"].as_array().map_or(&[][..], Vec::as_slice);
    if routes.iter().any(|r| r["properties"]["nextHopType"] == "None") {
        return bad(
            "VnetConfigHasInvalidUdr",
            format!(
                "Route table '{}' of subnet '{}' drops traffic that the managed instance needs.",
                table["name"].as_str().unwrap_or(""),
                last(id)
            ),
        );
    }
    let denied = p["networkSecurityGroup"]["id"]
        .as_str()
        .and_then(|n| world.cloud.get(n))
        .is_some_and(|n| {
            n["properties"]["securityRules"].as_array().is_some_and(|r| {
                r.iter().any(|r| {
                    let p = &r["properties"];
                    p["access"] == "Deny"
                        && p["destinationPortRange"] == "*"
                        && p["priority"].as_i64().unwrap_or(4096) < 200
                })
            })
        });
    if denied {
        return bad(
            "VnetSubnetConflictWithIntendedPolicy",
            format!(
                "A rule of the network security group of subnet '{}' conflicts with the intended policy.",
                last(id)
            ),
        );
    }
    let used = world.cloud.resources.values().any(|v| {
        v["type"] == "Microsoft.Network/networkInterfaces"
            && v["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
                .as_str()
                .is_some_and(|s| s.eq_ignore_ascii_case(id))
    });
    if used {
        return bad(
            "SubnetHasResourcesOfDifferentType",
            format!("Subnet '{}' has resources of different type.", last(id)),
        );
    }
    if p["provisioningState"] != "Succeeded" || net["properties"]["provisioningState"] != "Succeeded" {
        return Err(Refusal::conflict(
            "ReferencedResourceNotProvisioned",
            format!("Subnet '{id}' is being changed."),
        ));
    }
    Ok(subnet["id"].as_str().unwrap_or(id).to_owned())
}

fn put_instance(world: &mut World, req: &Req) -> Answer {
    let id = req.id(req.segs.len());
    let region = location(&req.body)?;
    if world.cloud.busy.contains_key(&id.to_lowercase()) {
        return Err(Refusal::conflict(
            "ManagedInstanceOperationInProgress",
            format!(
                "The operation could not be completed because another operation is in progress on managed instance '{}'. Please wait for the operation in progress to complete and try again.",
                last(&id)
            ),
        ));
    }
    if let Some(old) = world.cloud.get(&id) {
        // A repeated request with the same content changes nothing.
        return Ok(Resp::ok(old.clone()));
    }
    let subnet = check_instance(world, &id, &req.body, &region)?;
    let zone = world
        .cloud
        .resources
        .values()
        .find(|v| v["type"] == CLUSTERS && v["properties"]["subnetId"] == subnet.as_str())
        .and_then(|v| {
            v["name"]
                .as_str()
                .map(|n| n.rsplit('-').next().unwrap_or("").to_owned())
        })
        .unwrap_or_else(|| world.guid(&format!("dns {subnet}")).simple().to_string()[..12].to_owned());
    let name = last(&id).to_owned();
    let p = &req.body["properties"];
    let sku = text(&req.body, "/sku/name").unwrap_or("GP_Gen5").to_owned();
    let family = sku.split('_').nth(1).unwrap_or("Gen5").to_owned();
    let or = |k: &str, d: &str| p[k].as_str().unwrap_or(d).to_owned();
    world.managed.password = or("administratorLoginPassword", "");
    let mut body = json!({
        "id": id, "name": name, "type": KIND, "location": region,
        "tags": if req.body["tags"].is_object() { req.body["tags"].clone() } else { json!({}) },
        "sku": {"name": sku, "tier": if sku.starts_with("GP") { "GeneralPurpose" } else { "BusinessCritical" }, "family": family, "capacity": p["vCores"]},
        "properties": {
            "provisioningState": "Creating", "state": "Creating",
            "fullyQualifiedDomainName": format!("{name}.{zone}.database.windows.net"), "dnsZone": zone,
            "administratorLogin": p["administratorLogin"], "subnetId": subnet, "vCores": p["vCores"], "storageSizeInGB": p["storageSizeInGB"],
            "databaseFormat": p["databaseFormat"].as_str().unwrap_or("SQLServer2022"),
            "licenseType": or("licenseType", "LicenseIncluded"), "collation": or("collation", "SQL_Latin1_General_CP1_CI_AS"),
            "publicDataEndpointEnabled": p["publicDataEndpointEnabled"].as_bool().unwrap_or(false),
            "proxyOverride": or("proxyOverride", "Default"), "timezoneId": or("timezoneId", "UTC"), "minimalTlsVersion": or("minimalTlsVersion", "1.2"),
            "currentBackupStorageRedundancy": or("requestedBackupStorageRedundancy", "Geo"),
            "requestedBackupStorageRedundancy": or("requestedBackupStorageRedundancy", "Geo"),
            "zoneRedundant": p["zoneRedundant"].as_bool().unwrap_or(false), "privateEndpointConnections": [],
            "maintenanceConfigurationId": format!("/subscriptions/{}/providers/Microsoft.Maintenance/publicMaintenanceConfigurations/SQL_Default", world.cloud.subscription),
        },
    });
    if req.body["identity"].is_object() {
        body["identity"] = json!({"type": req.body["identity"]["type"], "principalId": world.guid(&format!("identity {id}")).to_string(), "tenantId": world.cloud.tenant});
    }
    world.cloud.store(body.clone());
    network::add_intent(world, &subnet);
    let target = id.clone();
    let op = lro::start(
        world,
        lro::Style::ManagedInstance,
        &region,
        Some(id.clone()),
        CREATE_SECS,
        &id,
        move |w| {
            if let Some(v) = w.cloud.get_mut(&target) {
                v["properties"]["state"] = "Ready".into();
                v["properties"]["provisioningState"] = "Succeeded".into();
            }
            cluster(w, &target);
            Ok(())
        },
    );
    Ok(lro::accepted(world, req, &op, Some(body), 201))
}

/// The virtual cluster of a new instance's subnet.
fn cluster(world: &mut World, instance: &str) {
    let Some(mi) = world.cloud.get(instance).cloned() else {
        return;
    };
    let subnet = mi["properties"]["subnetId"].as_str().unwrap_or("").to_owned();
    let zone = mi["properties"]["dnsZone"].as_str().unwrap_or("");
    let name = format!("VirtualCluster{}-{zone}", world.guid(&format!("cluster {subnet}")));
    let id = format!("{}/providers/{CLUSTERS}/{name}", parent(instance, 4));
    let mut body = world.cloud.get(&id).cloned().unwrap_or_else(|| {
        json!({
            "id": id, "name": name, "type": CLUSTERS, "location": mi["location"], "tags": {},
            "properties": {"subnetId": subnet, "family": mi["sku"]["family"], "childResources": []},
        })
    });
    if let Some(children) = body["properties"]["childResources"].as_array_mut() {
        children.push(mi["id"].clone());
    }
    world.cloud.store(body);
}

fn delete_instance(world: &mut World, req: &Req, id: &str) -> Answer {
    let Some(mi) = world.cloud.get(id).cloned() else {
        return Ok(Resp::empty(204));
    };
    if world.cloud.busy.contains_key(&id.to_lowercase()) {
        return Err(Refusal::conflict(
            "ManagedInstanceOperationInProgress",
            format!(
                "The operation could not be completed because another operation is in progress on managed instance '{}'.",
                last(id)
            ),
        ));
    }
    if let Some(v) = world.cloud.get_mut(id) {
        v["properties"]["state"] = "Deleting".into();
        v["properties"]["provisioningState"] = "Deleting".into();
    }
    let region = mi["location"].as_str().unwrap_or("").to_owned();
    let subnet = mi["properties"]["subnetId"].as_str().unwrap_or("").to_owned();
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::ManagedInstance,
        &region,
        Some(id.to_owned()),
        DELETE_LAST_SECS,
        id,
        move |w| {
            let databases: Vec<String> = w
                .cloud
                .of_type(&target, DATABASES)
                .filter_map(|d| d["id"].as_str().map(str::to_owned))
                .collect();
            for d in databases {
                super::forget(w, &d);
            }
            super::forget(w, &target);
            let clusters: Vec<String> = w
                .cloud
                .resources
                .values()
                .filter(|v| v["type"] == CLUSTERS && v["properties"]["subnetId"] == subnet.as_str())
                .filter_map(|v| v["id"].as_str().map(str::to_owned))
                .collect();
            for c in clusters {
                w.cloud.remove(&c);
            }
            network::remove_intent(w, &subnet);
            Ok(())
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

fn operations(world: &World, instance: &str) -> Vec<Value> {
    let steps = [
        "Request validation",
        "Virtual Cluster resize/creation",
        "New SQL Instance Startup",
    ];
    let mut found: Vec<Value> = world
        .cloud
        .operations
        .iter()
        .filter(|(_, o)| o.style == lro::Style::ManagedInstance && o.resource.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(instance)))
        .map(|(name, o)| {
            let running = o.outcome == lro::Outcome::Running;
            let (ends, now) = (o.ends.unwrap_or(o.started), world.now());
            let total = ends.duration_since(o.started).as_secs_f64().max(1.0);
            let done = if running { (now.duration_since(o.started).as_secs_f64() / total).clamp(0.0, 0.99) } else { 1.0 };
            // Validation is quick, the cluster takes most of the time, then the instance starts.
            let bounds = [0.0, 0.01, 0.8, 1.0];
            let at = |f: f64| plus(o.started, jiff::SignedDuration::from_secs((total * f) as i64)).to_string();
            let list: Vec<Value> = steps
                .iter()
                .enumerate()
                .map(|(i, step)| {
                    let (from, to) = (bounds[i], bounds[i + 1]);
                    let status = if done >= to { "Completed" } else if done >= from { "InProgress" } else { "NotStarted" };
                    let mut v = json!({"order": i + 1, "name": step, "status": status});
                    if done >= from {
                        v["stepStartTime"] = at(from).into();
                    }
                    if done >= to {
                        v["stepEndTime"] = at(to).into();
                        v["timeElapsed"] = format!("{}", ((to - from) * total / 60.0) as i64).into();
                    }
                    v
                })
                .collect();
            let current = list.iter().filter(|s| s["status"] != "NotStarted").count();
            let deleting = world.cloud.get(instance).is_some_and(|v| v["properties"]["state"] == "Deleting");
            json!({
                "id": format!("{instance}/operations/{name}"), "name": name, "type": "Microsoft.Sql/managedInstances/operations",
                "properties": {
                    "managedInstanceName": last(instance),
                    "operation": if deleting && running { "DropManagedServer" } else { "CreateManagedServer" },
                    "operationFriendlyName": if deleting && running { "DROP MANAGED SERVER" } else { "CREATE MANAGED SERVER" },
                    "percentComplete": (done * 100.0) as i64, "startTime": o.started.to_string(), "estimatedCompletionTime": ends.to_string(),
                    "state": if running { "InProgress" } else { "Succeeded" }, "isCancellable": false,
                    "operationSteps": {"totalSteps": "3", "currentStep": current, "stepsList": list},
                },
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b["properties"]["startTime"]
            .as_str()
            .cmp(&a["properties"]["startTime"].as_str())
    });
    found
}

fn put_database(world: &mut World, req: &Req) -> Answer {
    let id = req.id(req.segs.len());
    let name = last(&id).to_owned();
    let instance = parent(&id, 2);
    let region = location(&req.body)?;
    let Some(mi) = world.cloud.get(&instance) else {
        return Err(Refusal::new(
            404,
            "ParentResourceNotFound",
            format!(
                "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
                last(&instance)
            ),
        ));
    };
    if mi["properties"]["state"] != "Ready" {
        return Err(Refusal::conflict(
            "ConflictingManagedInstanceOperation",
            format!(
                "An operation is currently in progress for the managed instance '{}'.",
                last(&instance)
            ),
        ));
    }
    if ["master", "model", "msdb", "tempdb"].contains(&name.to_lowercase().as_str()) {
        return Err(Refusal::bad(
            "CannotUseReservedDatabaseName",
            format!("Cannot use reserved database name '{name}' in this operation."),
        ));
    }
    let p = &req.body["properties"];
    let mode = p["createMode"].as_str().unwrap_or("Default");
    if world.cloud.get(&id).is_some() {
        if mode == "RestoreExternalBackup" {
            return Err(Refusal::bad(
                "ManagedDatabaseNameInUse",
                format!("Database '{name}' already exists. Choose a different database name."),
            ));
        }
        return Ok(Resp::ok(world.cloud.get(&id).cloned().unwrap_or_default()));
    }
    let created = world.now().to_string();
    let mut body = json!({
        "id": id, "name": name, "type": DATABASES, "location": region, "tags": {},
        "properties": {
            "collation": p["collation"].as_str().unwrap_or("SQL_Latin1_General_CP1_CI_AS"), "status": "Creating", "creationDate": created,
            "defaultSecondaryLocation": "centralus",
        },
    });
    if mode != "RestoreExternalBackup" {
        world.cloud.store(body.clone());
        let target = id.clone();
        let op = lro::start(
            world,
            lro::Style::ManagedDatabase,
            &region,
            Some(id.clone()),
            60,
            &id,
            move |w| {
                set_status(w, &target, "Online");
                Ok(())
            },
        );
        return Ok(lro::accepted(world, req, &op, Some(body), 201));
    }
    let Some(uri) = text(p, "/storageContainerUri") else {
        return Err(Refusal::bad(
            "MissingStorageContainerUri",
            "Missing storage container URI.",
        ));
    };
    let Some(token) = text(p, "/storageContainerSasToken") else {
        return Err(Refusal::bad(
            "MissingStorageContainerSasToken",
            "Missing storage container SAS token.",
        ));
    };
    let auto = if p["autoCompleteRestore"] == true {
        match text(p, "/lastBackupName") {
            Some(n) => Some(n.to_owned()),
            None => {
                return Err(Refusal::bad(
                    "AutoCompleteMissingLastBackupName",
                    "Auto complete restore request must have lastBackupName parameter provided.",
                ));
            }
        }
    } else {
        None
    };
    let Some((account, container, folder)) = container_of(world, uri) else {
        return Err(Refusal::bad(
            "BlobStorageFailure",
            format!("The storage container URI '{uri}' is not valid."),
        ));
    };
    body["properties"]["status"] = "Restoring".into();
    world.cloud.store(body.clone());
    let operation = lro::open(world, lro::Style::ManagedDatabase, &region, Some(id.clone()));
    let restore = Restore {
        id: id.clone(),
        operation: operation.clone(),
        account,
        container,
        folder,
        token: token.to_owned(),
        auto,
        state: Replay::NotStarted,
        restored: vec![],
    };
    world.cloud.restores.insert(id.to_lowercase(), restore);
    next_file(world, &id.to_lowercase());
    Ok(lro::accepted(world, req, &operation, Some(body), 201))
}

/// Account, container and folder of a container's URI, in the lab's path style or the public cloud's.
fn container_of(world: &World, uri: &str) -> Option<(String, String, String)> {
    let url = url::Url::parse(uri).ok()?;
    let host = url.host_str()?;
    let mut path = url.path_segments()?.map(str::to_owned).collect::<Vec<_>>();
    path.retain(|s| !s.is_empty());
    let lab = url::Url::parse(&world.cloud.blob_url).ok()?;
    if host != lab.host_str()? {
        path.insert(0, host.split('.').next()?.to_owned());
    }
    let mut it = path.into_iter();
    Some((it.next()?, it.next()?, it.collect::<Vec<_>>().join("/")))
}

/// Somebody changes the update policy of the managed instances.
pub(crate) fn set_update_policy(world: &mut World, format: &str) {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let ids: Vec<String> = world
        .cloud
        .of_type(&scope, KIND)
        .filter_map(|v| v["id"].as_str().map(str::to_owned))
        .collect();
    for id in ids {
        if let Some(v) = world.cloud.get_mut(&id) {
            v["properties"]["databaseFormat"] = format.into();
        }
    }
}

fn set_status(world: &mut World, id: &str, status: &str) {
    if let Some(v) = world.cloud.get_mut(id) {
        v["properties"]["status"] = status.into();
    }
}

/// Files of a restore's folder, oldest first: full backups before what follows them.
fn files<'a>(world: &'a World, r: &Restore) -> Vec<(&'a str, Timestamp)> {
    let Some(blobs) = world
        .cloud
        .accounts
        .get(&r.account)
        .and_then(|a| a.containers.get(&r.container))
    else {
        return vec![];
    };
    let prefix = if r.folder.is_empty() {
        String::new()
    } else {
        format!("{}/", r.folder)
    };
    let mut files: Vec<(&str, Timestamp, u64)> = blobs
        .iter()
        .filter_map(|(n, b)| Some((n.strip_prefix(&prefix)?, b.modified, b.log.1)))
        .filter(|(n, ..)| {
            !n.contains('/')
                && [".bak", ".trn", ".dif", ".diff"]
                    .iter()
                    .any(|e| n.to_lowercase().ends_with(e))
        })
        .collect();
    // The log's order is the order, whatever the names.
    files.sort_by_key(|(n, t, end)| (!full(n), *end, *t));
    files.into_iter().map(|(n, t, _)| (n, t)).collect()
}

/// Where a file of the container begins in the log.
fn begins(world: &World, r: &Restore, file: &str) -> u64 {
    let path = if r.folder.is_empty() {
        file.to_owned()
    } else {
        format!("{}/{file}", r.folder)
    };
    let account = world.cloud.accounts.get(&r.account);
    let blob = account.and_then(|a| a.containers.get(&r.container)?.get(&path));
    blob.map_or(0, |b| b.log.0)
}

fn full(name: &str) -> bool {
    name.to_lowercase().ends_with(".bak")
}

/// Lets every log replay that waits see whether there is something to do. The people's round calls this at each request,
/// so it only counts files; the SAS is checked when there is a file to read.
pub(crate) fn look(world: &mut World) {
    let waiting: Vec<String> = world
        .cloud
        .restores
        .iter()
        .filter(|(_, r)| {
            matches!(r.state, Replay::NotStarted | Replay::Waiting) && files(world, r).len() > r.restored.len()
        })
        .map(|(k, _)| k.clone())
        .collect();
    for key in waiting {
        next_file(world, &key);
    }
}

fn next_file(world: &mut World, key: &str) {
    let Some(r) = world.cloud.restores.get(key).cloned() else {
        return;
    };
    if let Err(why) = readable(world, &r) {
        return fail(world, key, &why);
    }
    let next = files(world, &r)
        .into_iter()
        .map(|(n, _)| n.to_owned())
        .find(|n| !r.restored.iter().any(|(d, _)| d == n));
    let Some(file) = next else {
        let state = if r.restored.is_empty() {
            Replay::NotStarted
        } else {
            Replay::Waiting
        };
        let auto = r
            .auto
            .as_ref()
            .is_some_and(|a| r.restored.last().is_some_and(|(n, _)| n == a));
        if let Some(r) = world.cloud.restores.get_mut(key) {
            r.state = state;
        }
        if auto {
            finish(world, key);
        }
        return;
    };
    if r.restored.is_empty() && !full(&file) {
        return fail(
            world,
            key,
            "FullBackupNotFound: the container has log backups but no full backup.",
        );
    }
    if full(&file)
        && let Some(why) = certificate::missing(world, last(&r.id))
    {
        return fail(world, key, &format!("MissingThumbprint: {why}"));
    }
    // What lies behind a gap waits for the file that is missing.
    let reached = world.cloud.positions.get(key).copied();
    if !full(&file) && reached.is_some_and(|p| begins(world, &r, &file) > p) {
        if let Some(r) = world.cloud.restores.get_mut(key) {
            r.state = Replay::Waiting;
        }
        return;
    }
    let secs = if full(&file) { FULL_SECS } else { LOG_SECS };
    let from = world.now();
    let to = plus(from, world.about(secs, &file));
    if let Some(r) = world.cloud.restores.get_mut(key) {
        r.state = Replay::Restoring {
            file: file.clone(),
            from,
            to,
        };
    }
    let (k, operation) = (key.to_owned(), r.operation.clone());
    world.at(to, move |w| {
        let now = w.now();
        // The database may have been deleted meanwhile, and even restored again.
        let Some(r) = w.cloud.restores.get_mut(&k).filter(|r| r.operation == operation) else {
            return;
        };
        let path = if r.folder.is_empty() {
            file.clone()
        } else {
            format!("{}/{file}", r.folder)
        };
        let (account, container) = (r.account.clone(), r.container.clone());
        r.restored.push((file, now));
        r.state = Replay::Waiting;
        let blobs = w
            .cloud
            .accounts
            .get(&account)
            .and_then(|a| a.containers.get(&container));
        if let Some(log) = blobs.and_then(|b| b.get(&path)).map(|b| b.log.1) {
            // One that lies before what is restored adds nothing.
            let reached = w.cloud.positions.entry(k.clone()).or_default();
            *reached = log.max(*reached);
        }
        next_file(w, &k);
    });
}

/// Whether the container can be read with exactly the permissions read and list.
fn readable(world: &World, r: &Restore) -> Result<(), String> {
    let there = world
        .cloud
        .accounts
        .get(&r.account)
        .is_some_and(|a| a.containers.contains_key(&r.container));
    if !there {
        return Err(format!(
            "BlobStorageFailure: container '{}' was not found in storage account '{}'.",
            r.container, r.account
        ));
    }
    let why = match blob::check(world, &r.account, &r.container, &r.token, 'r') {
        Ok(sas) if sas.permissions == "rl" || sas.permissions == "lr" => return Ok(()),
        Ok(sas) => {
            return Err(format!(
                "BlobStorageFailure: the SAS token must grant exactly Read and List, it grants '{}'.",
                sas.permissions
            ));
        }
        Err(SasError::Missing) => "it has no signature",
        Err(SasError::Signature) => "its signature doesn't match",
        Err(SasError::NotYetValid) => "it isn't valid yet",
        Err(SasError::Expired) => "it has expired",
        Err(SasError::Permission) => "it doesn't grant Read",
        Err(SasError::Protocol) => "it forbids HTTPS",
    };
    Err(format!("BlobStorageFailure: the SAS token is refused: {why}."))
}

fn fail(world: &mut World, key: &str, why: &str) {
    let Some(r) = world.cloud.restores.get_mut(key) else {
        return;
    };
    r.state = Replay::Failed(why.to_owned());
    let (id, operation) = (r.id.clone(), r.operation.clone());
    set_status(world, &id, "RecoveryPending");
    let (code, message) = why.split_once(": ").unwrap_or(("SqlRestoreError", why));
    lro::end(world, &operation, Err(Refusal::bad(code, message)));
}

fn finish(world: &mut World, key: &str) -> Option<String> {
    let r = world.cloud.restores.get_mut(key)?;
    r.state = Replay::Completing;
    let (id, restore_op) = (r.id.clone(), r.operation.clone());
    let region = world.cloud.get(&id)?["location"].as_str()?.to_owned();
    let (k, database) = (key.to_owned(), id.clone());
    Some(lro::start(
        world,
        lro::Style::ManagedDatabase,
        &region,
        Some(id.clone()),
        LOG_SECS,
        &id,
        move |w| {
            set_status(w, &database, "Online");
            if let Some(r) = w.cloud.restores.get_mut(&k) {
                r.state = Replay::Completed;
            }
            lro::end(w, &restore_op, Ok(()));
            Ok(())
        },
    ))
}

fn complete(world: &mut World, req: &Req, id: &str) -> Answer {
    let key = id.to_lowercase();
    let Some(r) = world.cloud.restores.get(&key) else {
        return Err(Refusal::bad(
            "ExternalBackupRestoreHasNotBeenStarted",
            "The restore request can only be completed once the restore has started.",
        ));
    };
    match &r.state {
        Replay::Completing | Replay::Completed => {
            return Err(Refusal::bad(
                "ExternalBackupAlreadySignaledToComplete",
                "The restore request has already been signaled to complete.",
            ));
        }
        Replay::NotStarted | Replay::Failed(_) => {
            return Err(Refusal::bad(
                "ExternalBackupRestoreHasNotBeenStarted",
                "The restore request can only be completed once the restore has started.",
            ));
        }
        Replay::Restoring { .. } | Replay::Waiting => {}
    }
    let wanted = text(&req.body, "/lastBackupName").unwrap_or("");
    let newest = r.restored.last().map_or("", |(n, _)| n.as_str());
    if wanted != newest || r.state != Replay::Waiting {
        return Err(Refusal::bad(
            "RequiredBackupIsNotLastRestored",
            format!(
                "Migration cannot be completed because provided backup file name '{wanted}' is not the name of the last backup file that is restored ('{newest}')."
            ),
        ));
    }
    match finish(world, &key) {
        Some(op) => Ok(Resp::empty(202).with(lro::headers(world, req, &op))),
        None => Err(Refusal::not_found(req)),
    }
}

fn delete_database(world: &mut World, req: &Req, id: &str) -> Answer {
    let Some(db) = world.cloud.get(id).cloned() else {
        return Ok(Resp::empty(204));
    };
    let region = db["location"].as_str().unwrap_or("").to_owned();
    if let Some(r) = world.cloud.restores.remove(&id.to_lowercase()) {
        lro::end(
            world,
            &r.operation,
            Err(Refusal::conflict(
                "OperationCancelled",
                "The operation was cancelled because the database was deleted.",
            )),
        );
    }
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::ManagedDatabase,
        &region,
        Some(id.to_owned()),
        60,
        id,
        move |w| {
            super::forget(w, &target);
            Ok(())
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

/// When a database disappears.
pub(crate) fn forgotten(world: &mut World, key: &str) {
    world.cloud.restores.remove(key);
    world.cloud.positions.remove(key);
}

fn details(world: &World, id: &str) -> Option<Value> {
    let r = world.cloud.restores.get(&id.to_lowercase())?;
    let found = files(world, r);
    let mut p = json!({"unrestorableFiles": [], "numberOfFilesDetected": found.len()});
    let (status, percent) = match &r.state {
        Replay::NotStarted => ("NotStarted", 0.0),
        Replay::Restoring { file, from, to } => {
            p["currentRestoringFileName"] = file.as_str().into();
            let total = to.duration_since(*from).as_secs_f64().max(1.0);
            (
                "Restoring",
                (world.now().duration_since(*from).as_secs_f64() / total * 100.0)
                    .floor()
                    .clamp(0.0, 99.0),
            )
        }
        Replay::Waiting => ("Waiting", 100.0),
        Replay::Completing => ("Completing", 100.0),
        Replay::Completed => ("Completed", 100.0),
        Replay::Failed(why) => {
            p["blockReason"] = why.as_str().into();
            ("Failed", 0.0)
        }
    };
    p["status"] = status.into();
    p["percentCompleted"] = percent.into();
    if let Some((name, at)) = r.restored.last() {
        p["lastRestoredFileName"] = name.as_str().into();
        p["lastRestoredFileTime"] = at.to_string().into();
    }
    if let Some((name, at)) = found.iter().max_by_key(|(_, t)| *t) {
        p["lastUploadedFileName"] = (*name).into();
        p["lastUploadedFileTime"] = at.to_string().into();
    }
    Some(json!({
        "id": format!("{id}/restoreDetails/Default"), "name": "Default", "type": "Microsoft.Sql/managedInstances/databases/restoreDetails", "properties": p,
    }))
}

impl World {
    /// Puts a managed instance with one database there, without the hours that it takes.
    pub(crate) fn put_managed_instance(&mut self, admin: &str, password: &str, database: &str) {
        let group = format!("/subscriptions/{}/resourceGroups/ContosoRG", self.cloud.subscription);
        let id = format!("{group}/providers/{KIND}/contoso-sqlmi");
        self.cloud.store(
            json!({ "id": group, "name": "ContosoRG", "type": "Microsoft.Resources/resourceGroups", "location": "eastus2",
            "properties": { "provisioningState": "Succeeded" } }),
        );
        let properties = json!({ "state": "Ready", "administratorLogin": admin });
        self.cloud.store(
            json!({ "id": id, "name": "contoso-sqlmi", "type": KIND, "location": "eastus2", "properties": properties }),
        );
        self.cloud.store(
            json!({ "id": format!("{id}/databases/{database}"), "name": database, "type": DATABASES,
            "properties": { "status": "Online" } }),
        );
        password.clone_into(&mut self.managed.password);
    }
}

/// The administrator's login of the instance that is ready, and its databases that are online.
pub(crate) fn serving(world: &World) -> Option<(String, Vec<String>)> {
    let mut all = world.cloud.resources.values();
    let mi = all.find(|r| r["type"] == KIND && r["properties"]["state"] == "Ready")?;
    let login = mi["properties"]["administratorLogin"].as_str()?.to_owned();
    let databases = world.cloud.of_type(mi["id"].as_str()?, DATABASES);
    let online = databases
        .filter(|d| d["properties"]["status"] == "Online")
        .filter_map(|d| d["name"].as_str().map(str::to_owned));
    Some((login, online.collect()))
}

/// Whether an instance with this name serves this database.
pub(crate) fn online(world: &World, fqdn: &str, database: &str) -> bool {
    world.cloud.resources.values().any(|mi| {
        mi["type"] == KIND
            && mi["properties"]["state"] == "Ready"
            && mi["properties"]["fullyQualifiedDomainName"]
                .as_str()
                .is_some_and(|f| f.eq_ignore_ascii_case(fqdn))
            && world
                .cloud
                .of_type(mi["id"].as_str().unwrap_or(""), DATABASES)
                .any(|d| {
                    d["properties"]["status"] == "Online"
                        && d["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(database))
                })
    })
}
