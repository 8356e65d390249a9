//! Storage accounts, keys and containers; what is inside the containers is in [`crate::blob`].

use axum::http::Method;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, last, location, lro, parent, text};
use crate::{cloud::Account, world::World};

const KIND: &str = "Microsoft.Storage/storageAccounts";

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let rest = &low[low.iter().rposition(|s| *s == "microsoft.storage")? + 1..];
    let here = req.id(req.segs.len());
    let account = |world: &World, up: usize| -> Result<String, Refusal> {
        let id = parent(&here, up);
        match world.cloud.get(&id) {
            Some(v) if v["properties"]["provisioningState"] == "Succeeded" => Ok(id),
            Some(_) => Err(Refusal::conflict(
                "StorageAccountIsNotProvisioned",
                format!(
                    "The storage account provisioning state must be 'Succeeded' before executing the operation ({}).",
                    last(&id)
                ),
            )),
            None => Err(Refusal::new(
                404,
                "ResourceNotFound",
                format!(
                    "The Resource '{KIND}/{}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
                    last(&id),
                    req.group().unwrap_or("")
                ),
            )),
        }
    };
    Some(match (&req.method, rest) {
        (&Method::POST, ["checknameavailability"]) => Ok(Resp::ok(availability(world, text(&req.body, "/name").unwrap_or("")))),
        (&Method::GET, ["storageaccounts"]) => {
            let scope = parent(&here, 3);
            Ok(Resp::list(world.cloud.of_type(&scope, KIND).cloned().collect::<Vec<_>>()))
        }
        (&Method::GET, ["storageaccounts", _]) => world.cloud.get(&here).cloned().map(Resp::ok).ok_or_else(|| Refusal::not_found(req)),
        (&Method::PUT, ["storageaccounts", _]) => put(world, req),
        (&Method::DELETE, ["storageaccounts", _]) => {
            let there = world.cloud.get(&here).is_some();
            super::forget(world, &here);
            Ok(Resp::empty(if there { 200 } else { 204 }))
        }
        (&Method::POST, ["storageaccounts", _, "listkeys"]) => account(world, 1).map(|id| Resp::ok(keys(world, &id))),
        (&Method::POST, ["storageaccounts", _, "regeneratekey"]) => account(world, 1).and_then(|id| regenerate(world, req, &id)),
        (&Method::POST, ["storageaccounts", _, "listservicesas"]) => account(world, 1).and_then(|id| service_sas(world, req, &id)),
        (&Method::GET, ["storageaccounts", _, "blobservices", "default"]) => account(world, 2).map(|id| {
            Resp::ok(json!({
                "id": format!("{id}/blobServices/default"), "name": "default", "type": format!("{KIND}/blobServices"),
                "sku": {"name": "Standard_LRS", "tier": "Standard"}, "properties": {"cors": {"corsRules": []}, "deleteRetentionPolicy": {"enabled": false}},
            }))
        }),
        (&Method::GET, ["storageaccounts", _, "blobservices", "default", "containers"]) => account(world, 3).map(|id| {
            let scope = format!("{id}/blobServices/default");
            Resp::list(world.cloud.of_type(&scope, "Microsoft.Storage/storageAccounts/blobServices/containers").cloned().collect::<Vec<_>>())
        }),
        (&Method::GET, ["storageaccounts", _, "blobservices", "default", "containers", _]) => account(world, 4).and_then(|_| {
            world.cloud.get(&here).cloned().map(Resp::ok).ok_or_else(|| {
                Refusal::new(404, "ContainerNotFound", "The specified container does not exist.")
            })
        }),
        (&Method::PUT, ["storageaccounts", _, "blobservices", "default", "containers", _]) => account(world, 4).and_then(|id| put_container(world, req, &id)),
        (&Method::DELETE, ["storageaccounts", _, "blobservices", "default", "containers", name]) => account(world, 4).map(|id| {
            let there = world.cloud.remove(&here).is_some();
            if let Some(a) = world.cloud.accounts.get_mut(last(&id)) {
                a.containers.remove(*name);
            }
            Resp::empty(if there { 200 } else { 204 })
        }),
        _ => return None,
    })
}

fn valid_name(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Names that someone else in the world has taken.
const TAKEN: [&str; 4] = ["storage", "contoso", "backup", "smarthotel"];

fn availability(world: &World, name: &str) -> Value {
    if !valid_name(name) {
        return json!({
            "nameAvailable": false, "reason": "AccountNameInvalid",
            "message": format!("{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."),
        });
    }
    if TAKEN.contains(&name) || world.cloud.accounts.contains_key(name) {
        return json!({
            "nameAvailable": false, "reason": "AlreadyExists",
            "message": format!("The storage account named {name} is already taken."),
        });
    }
    json!({"nameAvailable": true})
}

fn put(world: &mut World, req: &Req) -> Answer {
    let id = req.id(req.segs.len());
    let name = last(&id).to_owned();
    if !valid_name(&name) {
        return Err(Refusal::bad(
            "AccountNameInvalid",
            format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
            ),
        ));
    }
    let location = location(&req.body)?;
    let Some(sku) = text(&req.body, "/sku/name") else {
        return Err(Refusal::bad("InvalidRequestFormat", "The storage account has no sku."));
    };
    let old = world.cloud.get(&id).cloned();
    if old.is_none() && (TAKEN.contains(&name.as_str()) || world.cloud.accounts.contains_key(&name)) {
        return Err(Refusal::conflict(
            "StorageAccountAlreadyTaken",
            format!("The storage account named {name} is already taken."),
        ));
    }
    let now = world.now().to_string();
    let given = &req.body["properties"];
    let created = old.as_ref().map_or(now.clone(), |o| {
        o["properties"]["creationTime"].as_str().unwrap_or("").to_owned()
    });
    let flag = |k: &str, d: bool| given[k].as_bool().unwrap_or(d);
    let blob = format!("{}/{name}/", world.cloud.blob_url);
    let mut body = json!({
        "id": id, "name": name, "type": KIND, "location": location, "kind": req.body["kind"].as_str().unwrap_or("StorageV2"),
        "sku": {"name": sku, "tier": if sku.starts_with("Premium") { "Premium" } else { "Standard" }},
        "tags": if req.body["tags"].is_object() { req.body["tags"].clone() } else { json!({}) },
        "properties": {
            "provisioningState": "Succeeded", "creationTime": created, "primaryLocation": location, "statusOfPrimary": "available",
            "keyCreationTime": {"key1": created, "key2": created}, "accessTier": "Hot",
            "minimumTlsVersion": given["minimumTlsVersion"].as_str().unwrap_or("TLS1_2"),
            "supportsHttpsTrafficOnly": flag("supportsHttpsTrafficOnly", true),
            "allowBlobPublicAccess": flag("allowBlobPublicAccess", false), "allowSharedKeyAccess": flag("allowSharedKeyAccess", true),
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": []},
            "primaryEndpoints": {"blob": blob},
            "encryption": {"keySource": "Microsoft.Storage", "services": {"blob": {"enabled": true, "keyType": "Account", "lastEnabledTime": created}, "file": {"enabled": true, "keyType": "Account", "lastEnabledTime": created}}},
        },
    });
    if old.is_some() {
        world.cloud.store(body.clone());
        return Ok(Resp::ok(body));
    }
    body["properties"]["provisioningState"] = "Creating".into();
    world.cloud.store(body);
    world.cloud.accounts.insert(name, Account::default());
    let target = id.clone();
    let op = lro::start(
        world,
        lro::Style::Storage,
        &location,
        Some(id.clone()),
        20,
        &id,
        move |w| {
            if let Some(v) = w.cloud.get_mut(&target) {
                v["properties"]["provisioningState"] = "Succeeded".into();
            }
            Ok(())
        },
    );
    Ok(lro::accepted(world, req, &op, None, 202))
}

fn keys(world: &World, id: &str) -> Value {
    let name = last(id);
    let created = world
        .cloud
        .get(id)
        .map(|v| v["properties"]["creationTime"].clone())
        .unwrap_or(Value::Null);
    let keys: Vec<Value> = (0..2)
        .filter_map(|i| Some(json!({"keyName": format!("key{}", i + 1), "value": world.cloud.account_key(name, i)?, "permissions": "Full", "creationTime": created})))
        .collect();
    json!({"keys": keys})
}

fn regenerate(world: &mut World, req: &Req, id: &str) -> Answer {
    let index = match text(&req.body, "/keyName") {
        Some("key1") => 0,
        Some("key2") => 1,
        _ => {
            return Err(Refusal::bad(
                "InvalidRequestPropertyValue",
                "The keyName must be key1 or key2.",
            ));
        }
    };
    if let Some(a) = world.cloud.accounts.get_mut(last(id)) {
        a.generations[index] += 1;
    }
    Ok(Resp::ok(keys(world, id)))
}

fn service_sas(world: &World, req: &Req, id: &str) -> Answer {
    let get = |k: &str| text(&req.body, k).unwrap_or("").to_owned();
    let resource = get("/canonicalizedResource");
    let name = last(id);
    let Some(container) = resource.strip_prefix(&format!("/blob/{name}/")) else {
        return Err(Refusal::bad(
            "InvalidValuesForRequestParameters",
            "canonicalizedResource doesn't belong to this account.",
        ));
    };
    let index = usize::from(get("/keyToSign") == "key2");
    let Some(key) = world
        .cloud
        .account_key(name, index)
        .and_then(|k| STANDARD.decode(k).ok())
    else {
        return Err(Refusal::not_found(req));
    };
    let sas = crate::blob::Sas {
        permissions: get("/signedPermission"),
        start: get("/signedStart"),
        expiry: get("/signedExpiry"),
        ip: get("/signedIp"),
        protocol: get("/signedProtocol"),
        version: "2021-12-02".into(),
        resource: "c".into(),
        identifier: String::new(),
    };
    Ok(Resp::ok(json!({"serviceSasToken": sas.sign(name, container, &key)})))
}

fn put_container(world: &mut World, req: &Req, account: &str) -> Answer {
    let id = req.id(req.segs.len());
    let name = last(&id).to_owned();
    let ok = (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !ok {
        return Err(Refusal::bad(
            "InvalidResourceName",
            "The specified resource name contains invalid characters.",
        ));
    }
    let new = world.cloud.get(&id).is_none();
    let modified = match world.cloud.get(&id) {
        Some(v) => v["properties"]["lastModifiedTime"].clone(),
        None => world.now().to_string().into(),
    };
    let body = json!({
        "id": id, "name": name, "type": format!("{KIND}/blobServices/containers"), "etag": "\"0x8DC0FFEE0000000\"",
        "properties": {
            "publicAccess": "None", "leaseStatus": "Unlocked", "leaseState": "Available", "lastModifiedTime": modified,
            "hasImmutabilityPolicy": false, "hasLegalHold": false, "deleted": false, "remainingRetentionDays": 0,
            "defaultEncryptionScope": "$account-encryption-key", "denyEncryptionScopeOverride": false,
            "immutableStorageWithVersioning": {"enabled": false},
        },
    });
    world.cloud.store(body.clone());
    if let Some(a) = world.cloud.accounts.get_mut(last(account)) {
        a.containers.entry(name).or_default();
    }
    Ok(Resp::created(body, new))
}
