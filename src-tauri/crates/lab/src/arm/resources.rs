//! Subscriptions, regions, resource groups, providers, permissions and locks: what belongs to the resource manager itself.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, location, lro, migrate, migration_items, network, protected};
use crate::{
    cloud::{Cloud, LOCATIONS, Registration},
    entra,
    world::World,
};

pub(crate) struct Provider {
    pub namespace: &'static str,
    pub at_start: Registration,
    types: &'static [&'static str],
}

use Registration::{NotRegistered, Registered};

/// A provider that only has to be registered.
const fn quiet(namespace: &'static str) -> Provider {
    Provider {
        namespace,
        at_start: NotRegistered,
        types: &[],
    }
}

/// Providers the scenario may meet. The ones it needs beyond network and compute aren't registered at the start.
pub(crate) const PROVIDERS: [Provider; 20] = [
    Provider {
        namespace: "Microsoft.Authorization",
        at_start: Registered,
        types: &["locks", "permissions", "roleAssignments"],
    },
    quiet("Microsoft.ApplicationMigration"),
    quiet("Microsoft.AzureArcData"),
    quiet("Microsoft.ContainerInstance"),
    quiet("Microsoft.DataReplication"),
    quiet("Microsoft.DependencyMap"),
    quiet("Microsoft.GuestConfiguration"),
    quiet("Microsoft.HybridConnectivity"),
    quiet("Microsoft.Insights"),
    quiet("Microsoft.MySQLDiscovery"),
    Provider {
        namespace: "Microsoft.Compute",
        at_start: Registered,
        types: &[
            "disks",
            "virtualMachines",
            "virtualMachines/runCommands",
            "locations/usages",
            "skus",
        ],
    },
    Provider {
        namespace: "Microsoft.DataMigration",
        at_start: NotRegistered,
        types: &["sqlMigrationServices", "databaseMigrations", "services"],
    },
    Provider {
        namespace: "Microsoft.KeyVault",
        at_start: NotRegistered,
        types: &["vaults"],
    },
    Provider {
        namespace: "Microsoft.Migrate",
        at_start: NotRegistered,
        types: &["migrateProjects", "migrateProjects/solutions"],
    },
    Provider {
        namespace: "Microsoft.Network",
        at_start: Registered,
        types: &[
            "virtualNetworks",
            "virtualNetworks/subnets",
            "networkSecurityGroups",
            "routeTables",
            "virtualNetworkGateways",
            "networkInterfaces",
            "locations/usages",
        ],
    },
    Provider {
        namespace: "Microsoft.OffAzure",
        at_start: NotRegistered,
        types: &["VMwareSites", "VMwareSites/machines"],
    },
    Provider {
        namespace: "Microsoft.RecoveryServices",
        at_start: NotRegistered,
        types: &["vaults", "vaults/replicationFabrics", "vaults/replicationPolicies"],
    },
    Provider {
        namespace: "Microsoft.Resources",
        at_start: Registered,
        types: &["resourceGroups", "subscriptions"],
    },
    Provider {
        namespace: "Microsoft.Sql",
        at_start: NotRegistered,
        types: &[
            "managedInstances",
            "managedInstances/databases",
            "virtualClusters",
            "locations/capabilities",
        ],
    },
    Provider {
        namespace: "Microsoft.Storage",
        at_start: Registered,
        types: &[
            "storageAccounts",
            "storageAccounts/blobServices/containers",
            "checkNameAvailability",
        ],
    },
];

/// How long a registration takes.
const REGISTER_SECS: i64 = 40;

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let sub = world.cloud.subscription.clone();
    Some(match (&req.method, low) {
        (&Method::GET, ["metadata", "endpoints"]) => Ok(Resp::ok(metadata(world, req))),
        (&Method::GET, ["tenants"]) => Ok(whole(entra::tenants(world, req))),
        (&Method::GET, ["subscriptions"]) => {
            let (own, others) = entra::subscriptions(world, req);
            let own = own.then(|| scenario(world));
            Ok(whole(own.into_iter().chain(others).map(|s| subscription(&s))))
        }
        (&Method::GET, ["subscriptions", id]) => {
            let mut others = world.entra.subscriptions.iter();
            let found = others.find(|s| s.id.eq_ignore_ascii_case(id)).cloned();
            Ok(Resp::ok(subscription(&found.unwrap_or_else(|| scenario(world)))))
        }
        (&Method::GET, ["subscriptions", _, "locations"]) => Ok(Resp::list(LOCATIONS.iter().map(|(name, shown, pair)| {
            json!({
                "id": format!("/subscriptions/{sub}/locations/{name}"), "name": name, "type": "Region", "displayName": shown,
                "regionalDisplayName": format!("({}) {shown}", if name.contains("europe") { "Europe" } else { "US" }),
                "metadata": {
                    "regionType": "Physical", "regionCategory": "Recommended",
                    "geographyGroup": if name.contains("europe") { "Europe" } else { "US" },
                    "longitude": "-78.3889", "latitude": "36.6681", "physicalLocation": shown,
                    "pairedRegion": [{"name": pair, "id": format!("/subscriptions/{sub}/locations/{pair}")}],
                },
            })
        }))),
        (&Method::GET, ["subscriptions", _, "providers"]) => {
            Ok(Resp::list(PROVIDERS.iter().map(|p| provider(world, p)).collect::<Vec<_>>()))
        }
        (&Method::GET, ["subscriptions", _, "providers", ns]) => {
            found(ns).map(|p| Resp::ok(provider(world, p)))
        }
        (&Method::POST, ["subscriptions", _, "providers", ns, "register"]) => found(ns).map(|p| {
            if world.cloud.providers.get(p.namespace) == Some(&NotRegistered) {
                world.cloud.providers.insert(p.namespace, Registration::Registering);
                let wait = world.about(REGISTER_SECS, p.namespace);
                world.after(wait, move |w| {
                    w.cloud.providers.insert(p.namespace, Registered);
                });
            }
            Resp::ok(provider(world, p))
        }),
        (&Method::GET, ["subscriptions", _, "resourcegroups"]) => {
            let scope = format!("/subscriptions/{sub}/resourceGroups");
            Ok(Resp::list(world.cloud.of_type(&scope, "Microsoft.Resources/resourceGroups").cloned().collect::<Vec<_>>()))
        }
        (_, ["subscriptions", _, "resourcegroups", _]) => group(world, req),
        (&Method::GET, ["subscriptions", _, "resources"] | ["subscriptions", _, "resourcegroups", _, "resources"]) => {
            let scope = req.id(req.segs.len() - 1);
            let filter = req.query.get("$filter").map_or("", String::as_str);
            Ok(Resp::list(generic(world, &scope, filter)))
        }
        _ => return None,
    })
}

/// A list whose definition demands a link to the next page even when there is none.
fn whole(values: impl IntoIterator<Item = Value>) -> Resp {
    Resp::ok(json!({"value": values.into_iter().collect::<Vec<_>>(), "nextLink": ""}))
}

/// A resource as its GET shows it, wherever it is kept.
pub(crate) fn view(world: &World, id: &str) -> Option<Value> {
    let low = id.to_lowercase();
    if low.contains("/subnets/") || low.contains("/virtualnetworkpeerings/") {
        return network::part(world, id).cloned();
    }
    if low.contains("/databasemigrations/") {
        return super::datamigration::view(world, &low, false);
    }
    if low.contains("/replicationprotecteditems/") {
        return protected::item_view(world, id);
    }
    if low.contains("/replicationmigrationitems/") {
        return migration_items::view(world, id);
    }
    network::with_references(world, world.cloud.get(id)?)
}

/// Whether a provider is registered that was not at the start.
pub(crate) fn some_registered(cloud: &Cloud) -> bool {
    let mut late = PROVIDERS.iter().filter(|p| p.at_start != Registered);
    late.any(|p| cloud.providers.get(p.namespace) == Some(&Registered))
}

/// Refuses a resource of a provider that isn't registered.
pub(crate) fn needs_provider(world: &World, namespace: &str) -> Result<(), Refusal> {
    match found(&namespace.to_lowercase()) {
        Ok(p) if world.cloud.providers.get(p.namespace) != Some(&Registered) => Err(Refusal::conflict(
            "MissingSubscriptionRegistration",
            format!(
                "The subscription is not registered to use namespace '{}'. See https://aka.ms/rps-not-found for how to register subscriptions.",
                p.namespace
            ),
        )),
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    }
}

fn found(ns: &str) -> Result<&'static Provider, Refusal> {
    PROVIDERS
        .iter()
        .find(|p| p.namespace.eq_ignore_ascii_case(ns))
        .ok_or_else(|| {
            Refusal::new(
                404,
                "InvalidResourceNamespace",
                format!("The resource namespace '{ns}' is invalid."),
            )
        })
}

fn provider(world: &World, p: &Provider) -> Value {
    let state = match world.cloud.providers.get(p.namespace) {
        Some(Registration::Registered) => "Registered",
        Some(Registration::Registering) => "Registering",
        _ => "NotRegistered",
    };
    let versions = super::versions::of_namespace(p.namespace);
    let types: Vec<Value> = p
        .types
        .iter()
        .map(|t| {
            json!({
                "resourceType": t,
                "locations": LOCATIONS
                    .iter()
                    .filter(|l| *t != "migrateProjects" || migrate::LOCATIONS.contains(&l.0))
                    .map(|l| l.1)
                    .collect::<Vec<_>>(),
                "apiVersions": versions,
                "defaultApiVersion": versions.first(),
                "capabilities": "None",
            })
        })
        .collect();
    json!({
        "id": format!("/subscriptions/{}/providers/{}", world.cloud.subscription, p.namespace),
        "namespace": p.namespace, "registrationPolicy": "RegistrationRequired",
        "resourceTypes": types, "registrationState": state,
    })
}

/// The subscription that the scenario lives in.
fn scenario(world: &World) -> entra::Subscription {
    entra::Subscription {
        id: world.cloud.subscription.clone(),
        name: "Contoso Production",
        tenant: world.cloud.tenant.clone(),
        state: "Enabled",
    }
}

fn subscription(s: &entra::Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", s.id), "subscriptionId": s.id, "tenantId": s.tenant,
        "displayName": s.name, "state": s.state, "authorizationSource": "RoleBased",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "EnterpriseAgreement_2014-09-01", "spendingLimit": "Off",
        },
        "managedByTenants": [],
    })
}

fn group(world: &mut World, req: &Req) -> Answer {
    let id = req.id(4);
    let name = req.segs[3].clone();
    let missing = || {
        Refusal::new(
            404,
            "ResourceGroupNotFound",
            format!("Resource group '{name}' could not be found."),
        )
    };
    match req.method {
        Method::HEAD => Ok(Resp::empty(if world.cloud.get(&id).is_some() { 204 } else { 404 })),
        Method::GET => world.cloud.get(&id).cloned().map(Resp::ok).ok_or_else(missing),
        Method::PUT => {
            let location = location(&req.body)?;
            let valid = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
            if name.chars().count() > 90 || name.ends_with('.') || !name.chars().all(valid) {
                return Err(Refusal::bad(
                    "InvalidResourceGroupName",
                    format!("The provided resource group name '{name}' is not valid."),
                ));
            }
            let old = world.cloud.get(&id).cloned();
            if let Some(old) = &old
                && old["location"] != location
            {
                return Err(Refusal::conflict(
                    "InvalidResourceGroupLocation",
                    format!(
                        "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
                        old["location"].as_str().unwrap_or("")
                    ),
                ));
            }
            let mut body = json!({
                "id": id, "name": name, "type": "Microsoft.Resources/resourceGroups", "location": location,
                "properties": {"provisioningState": "Succeeded"},
            });
            if req.body["tags"].is_object() {
                body["tags"] = req.body["tags"].clone();
            }
            world.cloud.store(body.clone());
            Ok(Resp::created(body, old.is_none()))
        }
        Method::DELETE => delete_group(world, req, &id).unwrap_or_else(|| Err(missing())),
        _ => Err(Refusal::new(
            405,
            "MethodNotAllowed",
            "The method isn't allowed on a resource group.",
        )),
    }
}

fn delete_group(world: &mut World, req: &Req, id: &str) -> Option<Answer> {
    let location = world.cloud.get(id)?["location"].as_str()?.to_owned();
    if let Some(other) = network::used_from_outside(world, id) {
        return Some(Err(Refusal::conflict(
            "ResourceGroupDeletionBlocked",
            format!(
                "The resource group '{}' can't be deleted because '{other}' uses resources in it.",
                super::last(id)
            ),
        )));
    }
    if let Some(group) = world.cloud.get_mut(id) {
        group["properties"]["provisioningState"] = "Deleting".into();
    }
    // The last managed instance of a subnet takes 90 minutes to go, everything else seconds.
    let instances = world.cloud.of_type(id, "Microsoft.Sql/managedInstances").count();
    let secs = if instances > 0 { 90 * 60 } else { 60 };
    let group = id.to_owned();
    let op = lro::start(world, lro::Style::Group, &location, None, secs, id, move |w| {
        let prefix = format!("{}/", group.to_lowercase());
        let inside: Vec<String> = w
            .cloud
            .resources
            .range(prefix.clone()..)
            .take_while(|(k, _)| k.starts_with(&prefix))
            .map(|(k, _)| k.clone())
            .collect();
        for id in inside {
            super::forget(w, &id);
        }
        w.cloud.items.retain(|k, _| !k.starts_with(&prefix));
        w.cloud.migrations.retain(|k, _| !k.starts_with(&prefix));
        w.cloud.remove(&group);
        Ok(())
    });
    Some(Ok(Resp::empty(202).with(lro::headers(world, req, &op))))
}

/// Tracked resources in a scope, as the generic list shows them: those inside others with the others' names.
fn generic(world: &World, scope: &str, filter: &str) -> Vec<Value> {
    // Equalities joined by `and`, as the Azure CLI asks.
    let wanted = |v: &Value| {
        filter
            .split(" and ")
            .filter_map(|part| part.split_once(" eq "))
            .all(|(field, value)| {
                let id = v["id"].as_str().unwrap_or("");
                let have = match field.trim().to_lowercase().as_str() {
                    "resourcegroup" => id.split('/').nth(4).unwrap_or(""),
                    "resourcetype" => v["type"].as_str().unwrap_or(""),
                    other => v[other].as_str().unwrap_or(""),
                };
                have.eq_ignore_ascii_case(value.trim().trim_matches('\''))
            })
    };
    let name = |v: &Value| -> String {
        let below = v["id"]
            .as_str()
            .and_then(|id| id.rsplit_once("/providers/"))
            .map_or("", |(_, b)| b);
        below.split('/').skip(2).step_by(2).collect::<Vec<_>>().join("/")
    };
    let prefix = format!("{}/", scope.to_lowercase());
    world
        .cloud
        .resources
        .range(prefix.clone()..)
        .take_while(|(k, _)| k.starts_with(&prefix))
        .map(|(_, v)| v)
        .filter(|v| v["location"].is_string() && v["type"] != "Microsoft.Resources/resourceGroups" && wanted(v))
        .map(|v| {
            let mut shown = json!({"id": v["id"], "name": name(v), "type": v["type"], "location": v["location"]});
            for k in ["sku", "kind", "tags"] {
                if !v[k].is_null() {
                    shown[k] = v[k].clone();
                }
            }
            shown
        })
        .collect()
}

/// What foreign clients ask first to find the other endpoints.
fn metadata(world: &World, req: &Req) -> Value {
    let (arm, login) = (&world.cloud.arm_url, &world.cloud.authority_url);
    let here = json!({
        "portal": "https://portal.lab.invalid", "name": "RehostLab",
        "authentication": {
            "loginEndpoint": login, "audiences": [arm, format!("{arm}/")], "tenant": "common", "identityProvider": "AAD",
        },
        "graph": "https://graph.lab.invalid", "graphAudience": "https://graph.lab.invalid/",
        "microsoftGraphResourceId": "https://graph.lab.invalid/",
        "resourceManager": arm, "batch": "https://batch.lab.invalid/", "media": "https://media.lab.invalid",
        "gallery": "https://gallery.lab.invalid", "sqlManagement": "https://sql.lab.invalid",
        "vmImageAliasDoc": "https://alias.lab.invalid", "activeDirectoryDataLake": "https://datalake.lab.invalid",
        "suffixes": {
            "storage": "core.windows.net", "keyVaultDns": "vault.azure.net",
            "sqlServerHostname": "database.windows.net", "acrLoginServer": "azurecr.io",
        },
    });
    // A list of clouds before this version, the one that is asked since: the Azure CLI reads it so.
    if req.api_version() < "2022-09-01" {
        json!([here])
    } else {
        here
    }
}
