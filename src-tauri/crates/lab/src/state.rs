//! What stands in the datacenter and in Azure, in a form that two runs can be compared by: no times, no ids that depend on
//! the order of requests, no secrets.

use serde_json::{Map, Value, json};

use crate::{
    arm::{app_config, last},
    cloud::Registration,
    tds::managed,
    world::World,
};

impl World {
    /// The canonical state. The managed instance is brought to it first, whether anybody has signed in to it or not.
    pub fn final_state(&mut self) -> Value {
        managed::follow(self);
        json!({"onPrem": onprem(self), "azure": azure(self), "sql": sql(self)})
    }
}

/// What stands around the databases of each SQL Server.
fn sql(world: &World) -> Value {
    let all = world
        .onprem
        .instances
        .iter()
        .map(|i| (i.spec.computer.clone(), i.around()));
    Value::Object(all.collect())
}

fn onprem(world: &World) -> Value {
    let o = &world.onprem;
    let vms: Map<String, Value> = o
        .vms
        .iter()
        .map(|v| {
            let readiness = v.extra_config.get("guestinfo.rehost.readiness");
            (v.name.clone(), json!({"power": v.power.vim(), "readiness": readiness}))
        })
        .collect();
    let roles: Map<String, Value> = o
        .roles
        .iter()
        .filter(|r| !r.system)
        .map(|r| (r.name.clone(), json!(r.privileges)))
        .collect();
    let mut permissions: Vec<String> = o
        .permissions
        .iter()
        .map(|p| {
            let role = o.roles.iter().find(|r| r.id == p.role).map_or("?", |r| r.name.as_str());
            format!(
                "{} {} {role}{}",
                p.entity,
                p.principal,
                if p.propagate { " propagated" } else { "" }
            )
        })
        .collect();
    permissions.sort();
    json!({"vms": vms, "roles": roles, "permissions": permissions, "principals": o.principals})
}

fn azure(world: &World) -> Value {
    let c = &world.cloud;
    let providers: Map<String, Value> = c
        .providers
        .iter()
        .map(|(n, s)| ((*n).to_owned(), json!(*s == Registration::Registered)))
        .collect();
    let prefix = format!("/subscriptions/{}", c.subscription);
    let short = |id: &str| id.to_lowercase().replace(&prefix.to_lowercase(), "");
    let mut resources = Map::new();
    for (id, v) in &c.resources {
        if let Some(shown) = resource(world, v) {
            resources.insert(short(id), shown);
        }
    }
    for (id, i) in &c.items {
        resources.insert(
            short(id),
            json!({"machine": i.vm_name, "phase": phase(i.phase), "test": i.test_vm.as_deref().map(last)}),
        );
    }
    for (id, i) in &c.migrations {
        resources.insert(
            short(id),
            json!({"machine": i.vm_name, "stage": stage(i.stage), "test": i.test_vm.as_deref().map(last)}),
        );
    }
    let restores: Map<String, Value> = c
        .restores
        .iter()
        .map(|(id, r)| {
            (
                short(id),
                json!({"state": replay(&r.state), "last": r.restored.last().map(|(n, _)| n)}),
            )
        })
        .collect();
    let appliances: Vec<&str> = c.appliances.values().map(|a| a.name.as_str()).collect();
    let migrations: Map<String, Value> = c
        .database_migrations
        .keys()
        .filter_map(|id| {
            let shown = crate::arm::datamigration::view(world, id, false)?;
            Some((short(id), shown["properties"]["migrationStatus"].clone()))
        })
        .collect();
    // Transactions of the source that a database on a managed instance lacks.
    let lost: Map<String, Value> = c
        .positions
        .iter()
        .map(|(id, at)| (short(id), json!(world.onprem.sql.position(last(id)) > *at)))
        .collect();
    json!({
        "providers": providers, "resources": resources, "restores": restores, "migrations": migrations, "lost": lost,
        "appliances": appliances,
    })
}

/// States without the times in them.
fn phase(p: crate::arm::protected::Phase) -> &'static str {
    use crate::arm::protected::Phase::*;
    match p {
        Enabling => "Enabling",
        Initial { .. } => "Initial",
        Protected => "Protected",
        FailingOver => "FailingOver",
        FailedOver => "FailedOver",
        Committed => "Committed",
        Disabling => "Disabling",
    }
}

fn stage(s: crate::arm::migration_items::Stage) -> &'static str {
    use crate::arm::migration_items::Stage::*;
    match s {
        Enabling => "Enabling",
        EnableFailed => "EnableFailed",
        Seeding { .. } => "Seeding",
        Replicating => "Replicating",
        Migrating => "Migrating",
        Migrated => "Migrated",
        Disabling => "Disabling",
    }
}

fn replay(r: &crate::arm::sql::Replay) -> &'static str {
    use crate::arm::sql::Replay::*;
    match r {
        NotStarted => "NotStarted",
        Restoring { .. } => "Restoring",
        Waiting => "Waiting",
        Completing => "Completing",
        Completed => "Completed",
        Failed(_) => "Failed",
    }
}

/// What matters of a resource; none = left out.
fn resource(world: &World, v: &Value) -> Option<Value> {
    let p = &v["properties"];
    let id = v["id"].as_str().unwrap_or("");
    Some(match v["type"].as_str()? {
        "Microsoft.Network/virtualNetworks" => json!({
            "space": p["addressSpace"]["addressPrefixes"], "dns": p["dhcpOptions"]["dnsServers"],
            "subnets": named(&p["subnets"], |s| {
                let s = &s["properties"];
                json!({
                    "prefix": s["addressPrefix"], "nsg": tail(&s["networkSecurityGroup"]["id"]), "routes": tail(&s["routeTable"]["id"]),
                    "delegations": s["delegations"].as_array().map(|d| d.iter().map(|d| d["properties"]["serviceName"].clone()).collect::<Vec<_>>()),
                })
            }),
            "peerings": named(&p["virtualNetworkPeerings"], |q| {
                let q = &q["properties"];
                json!({
                    "to": tail(&q["remoteVirtualNetwork"]["id"]), "state": q["peeringState"], "transit": q["allowGatewayTransit"], "useRemote": q["useRemoteGateways"],
                })
            }),
        }),
        "Microsoft.Network/networkSecurityGroups" => json!({"rules": named(&p["securityRules"], rule)}),
        "Microsoft.Network/routeTables" => json!({"routes": named(&p["routes"], rule)}),
        "Microsoft.Network/networkInterfaces" => {
            json!({"address": p["ipConfigurations"][0]["properties"]["privateIPAddress"]})
        }
        "Microsoft.Storage/storageAccounts" => json!({
            "state": p["provisioningState"], "sku": v["sku"]["name"],
            "keys": world.cloud.accounts.get(last(id)).map(|a| a.generations),
        }),
        "Microsoft.Storage/storageAccounts/blobServices/containers" => {
            let account = id.split('/').nth(8).unwrap_or("");
            let blobs = world
                .cloud
                .accounts
                .get(account)
                .and_then(|a| a.containers.get(last(id)));
            // How many log backups there are depends on the hour at which one looks.
            let names: Vec<&String> = blobs
                .into_iter()
                .flat_map(|b| b.keys())
                .filter(|n| !n.contains("_log_"))
                .collect();
            json!({"blobs": names})
        }
        "Microsoft.Sql/managedInstances" => json!({
            "state": p["state"], "subnet": tail(&p["subnetId"]), "vCores": p["vCores"], "storage": p["storageSizeInGB"],
        }),
        "Microsoft.Sql/managedInstances/databases" => json!({"status": p["status"]}),
        "Microsoft.Compute/virtualMachines" => {
            let guest = world.cloud.guests.get(&id.to_lowercase());
            let server = guest.map(|g| {
                app_config::connection(&g.files, "DefaultConnection")
                    .split(';')
                    .filter(|f| {
                        let k = f.split('=').next().unwrap_or("").trim().to_lowercase();
                        matches!(k.as_str(), "server" | "data source" | "initial catalog" | "database")
                    })
                    .collect::<Vec<_>>()
                    .join(";")
            });
            json!({"size": p["hardwareProfile"]["vmSize"], "connection": server, "files": guest.map(|g| g.files.keys().collect::<Vec<_>>()), "reset": guest.map(|g| g.iis_resets > 0)})
        }
        "Microsoft.Compute/virtualMachines/runCommands" => json!({"state": p["provisioningState"]}),
        "Microsoft.RecoveryServices/vaults/replicationRecoveryPlans" => {
            json!({"groups": p["groups"].as_array().map(Vec::len)})
        }
        _ => json!({"state": p["provisioningState"]}),
    })
}

fn rule(r: &Value) -> Value {
    let p = &r["properties"];
    json!({
        "to": p["destinationPortRange"], "ports": p["destinationPortRanges"], "from": p["sourceAddressPrefix"], "access": p["access"], "priority": p["priority"],
        "prefix": p["addressPrefix"], "hop": p["nextHopType"],
    })
}

fn named(list: &Value, show: impl Fn(&Value) -> Value) -> Value {
    let map: Map<String, Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| Some((v["name"].as_str()?.to_owned(), show(v))))
        .collect();
    Value::Object(map)
}

fn tail(id: &Value) -> Option<&str> {
    id.as_str().map(last)
}
