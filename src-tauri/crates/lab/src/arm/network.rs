//! Virtual networks, peerings, network security groups, route tables, gateways and interfaces, with the rules on which a
//! wrong plan would run aground: overlaps, references, gateways, and the intent policy of a managed instance's subnet.

use axum::http::Method;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, last, location, lro, parent, set_state};
use crate::world::{World, guid};

const NS: &str = "Microsoft.Network";

/// What stands before the migration: the hub with its VPN gateway and the production network, peered.
pub(crate) fn contoso(seed: u64, group: &str) -> Vec<Value> {
    let id = |kind: &str, name: &str| format!("{group}/providers/{NS}/{kind}/{name}");
    let (hub, prod) = (
        id("virtualNetworks", "VNET-HUB-EUS2"),
        id("virtualNetworks", "VNET-PROD-EUS2"),
    );
    let subnet = |net: &str, name: &str, prefix: &str| {
        json!({
            "name": name, "id": format!("{net}/subnets/{name}"), "etag": etag(1), "type": format!("{NS}/virtualNetworks/subnets"),
            "properties": {
                "provisioningState": "Succeeded", "addressPrefix": prefix, "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled", "privateLinkServiceNetworkPolicies": "Enabled",
            },
        })
    };
    let peering = |net: &str, name: &str, remote: &str, space: &str, hub: bool| {
        json!({
            "name": name, "id": format!("{net}/virtualNetworkPeerings/{name}"), "etag": etag(1),
            "type": format!("{NS}/virtualNetworks/virtualNetworkPeerings"),
            "properties": {
                "provisioningState": "Succeeded", "resourceGuid": guid(seed, name).to_string(),
                "peeringState": "Connected", "peeringSyncLevel": "FullyInSync",
                "remoteVirtualNetwork": {"id": remote}, "allowVirtualNetworkAccess": true, "allowForwardedTraffic": true,
                "allowGatewayTransit": hub, "useRemoteGateways": !hub,
                "remoteAddressSpace": {"addressPrefixes": [space]}, "remoteVirtualNetworkAddressSpace": {"addressPrefixes": [space]},
            },
        })
    };
    let network = |net: &str, space: &str, subnets: Vec<Value>, peering: Value| {
        json!({
            "name": last(net), "id": net, "etag": etag(1), "type": format!("{NS}/virtualNetworks"), "location": "eastus2",
            "properties": {
                "provisioningState": "Succeeded", "resourceGuid": guid(seed, net).to_string(),
                "addressSpace": {"addressPrefixes": [space]}, "subnets": subnets, "virtualNetworkPeerings": [peering],
                "enableDdosProtection": false,
            },
        })
    };
    let ip = id("publicIPAddresses", "PIP-VNG-HUB-EUS2");
    let gateway = id("virtualNetworkGateways", "VNG-HUB-EUS2");
    vec![
        network(
            &hub,
            "10.240.0.0/20",
            vec![subnet(&hub, "GatewaySubnet", "10.240.0.0/27")],
            peering(&hub, "VNET-HUB-EUS2-VNET-PROD-EUS2", &prod, "10.245.32.0/20", true),
        ),
        network(
            &prod,
            "10.245.32.0/20",
            vec![
                subnet(&prod, "PROD-FE-EUS2", "10.245.32.0/22"),
                subnet(&prod, "PROD-APP-EUS2", "10.245.36.0/22"),
                subnet(&prod, "PROD-DB-EUS2", "10.245.40.0/23"),
                subnet(&prod, "PROD-DC-EUS2", "10.245.42.0/24"),
            ],
            peering(&prod, "VNET-PROD-EUS2-VNET-HUB-EUS2", &hub, "10.240.0.0/20", false),
        ),
        json!({
            "name": "VNG-HUB-EUS2", "id": gateway, "etag": etag(1), "type": format!("{NS}/virtualNetworkGateways"), "location": "eastus2",
            "properties": {
                "provisioningState": "Succeeded", "resourceGuid": guid(seed, "VNG-HUB-EUS2").to_string(),
                "gatewayType": "Vpn", "vpnType": "RouteBased", "enableBgp": false, "activeActive": false,
                "sku": {"name": "VpnGw2AZ", "tier": "VpnGw2AZ", "capacity": 2},
                "ipConfigurations": [{
                    "name": "default", "id": format!("{gateway}/ipConfigurations/default"), "etag": etag(1),
                    "properties": {
                        "provisioningState": "Succeeded", "privateIPAllocationMethod": "Dynamic",
                        "publicIPAddress": {"id": ip}, "subnet": {"id": format!("{hub}/subnets/GatewaySubnet")},
                    },
                }],
            },
        }),
    ]
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let rest = &low[low.iter().rposition(|s| *s == "microsoft.network")? + 1..];
    let get = req.method == Method::GET;
    let here = req.id(req.segs.len());
    Some(match rest {
        ["locations", loc, "usages"] if get => Ok(Resp::list(usages(world, loc))),
        [
            kind @ ("virtualnetworks"
            | "networksecuritygroups"
            | "routetables"
            | "virtualnetworkgateways"
            | "networkinterfaces"),
        ] if get => {
            let scope = parent(&here, 3);
            let kind = format!("{NS}/{kind}");
            let found: Vec<Value> = world.cloud.of_type(&scope, &kind).cloned().collect();
            Ok(Resp::list(
                found
                    .iter()
                    .filter_map(|v| with_references(world, v))
                    .collect::<Vec<_>>(),
            ))
        }
        ["virtualnetworks", _, "subnets" | "virtualnetworkpeerings"] if get => {
            let net = parent(&here, 1);
            let key = if rest[2] == "subnets" {
                "subnets"
            } else {
                "virtualNetworkPeerings"
            };
            match world.cloud.get(&net) {
                Some(v) => Ok(Resp::list(v["properties"][key].as_array().cloned().unwrap_or_default())),
                None => Err(Refusal::not_found(req)),
            }
        }
        ["virtualnetworks", _, "checkipaddressavailability"] if get => {
            Ok(Resp::ok(json!({"available": true, "availableIPAddresses": []})))
        }
        ["virtualnetworks", _, "subnets", _] | ["virtualnetworks", _, "virtualnetworkpeerings", _] if get => {
            part(world, &here)
                .cloned()
                .map(Resp::ok)
                .ok_or_else(|| Refusal::not_found(req))
        }
        [_, _] if get => {
            let v = world.cloud.get(&here).and_then(|v| with_references(world, v));
            v.map(Resp::ok).ok_or_else(|| Refusal::not_found(req))
        }
        ["virtualnetworks", name] if req.method == Method::PUT => put_network(world, req, name),
        ["virtualnetworks", _, "subnets", _] if req.method == Method::PUT => put_subnet(world, req),
        ["virtualnetworks", _, "virtualnetworkpeerings", _] if req.method == Method::PUT => put_peering(world, req),
        ["networksecuritygroups" | "routetables", _] if req.method == Method::PUT => put_table(world, req, rest[0]),
        [_, _] | ["virtualnetworks", _, "subnets" | "virtualnetworkpeerings", _] if req.method == Method::DELETE => {
            delete(world, req, &here)
        }
        _ => return None,
    })
}

fn usages(world: &World, loc: &str) -> Vec<Value> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    [
        ("VirtualNetworks", "Virtual Networks", "virtualNetworks", 1000),
        (
            "NetworkSecurityGroups",
            "Network Security Groups",
            "networkSecurityGroups",
            5000,
        ),
        ("RouteTables", "Route Tables", "routeTables", 200),
    ]
    .into_iter()
    .map(|(value, shown, kind, limit)| {
        json!({
            "id": format!("{scope}/providers/{NS}/locations/{loc}/usages/{value}"), "unit": "Count",
            "currentValue": world.cloud.of_type(&scope, &format!("{NS}/{kind}")).count(), "limit": limit,
            "name": {"value": value, "localizedValue": shown},
        })
    })
    .collect()
}

/// A subnet or peering inside its network.
pub(crate) fn part<'a>(world: &'a World, id: &str) -> Option<&'a Value> {
    let net = world.cloud.get(&parent(id, 2))?;
    let key = if id.to_lowercase().contains("/subnets/") {
        "subnets"
    } else {
        "virtualNetworkPeerings"
    };
    net["properties"][key]
        .as_array()?
        .iter()
        .find(|p| same(p["id"].as_str(), id))
}

fn part_mut<'a>(world: &'a mut World, id: &str) -> Option<&'a mut Value> {
    let net = world.cloud.get_mut(&parent(id, 2))?;
    let key = if id.to_lowercase().contains("/subnets/") {
        "subnets"
    } else {
        "virtualNetworkPeerings"
    };
    net["properties"][key]
        .as_array_mut()?
        .iter_mut()
        .find(|p| same(p["id"].as_str(), id))
}

fn same(a: Option<&str>, b: &str) -> bool {
    a.is_some_and(|a| a.eq_ignore_ascii_case(b))
}

fn networks(world: &World) -> impl Iterator<Item = &Value> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    world
        .cloud
        .resources
        .range(scope..)
        .map(|(_, v)| v)
        .filter(|v| v["type"] == "Microsoft.Network/virtualNetworks")
}

fn parts<'a>(net: &'a Value, key: &str) -> &'a [Value] {
    net["properties"][key].as_array().map_or(&[], Vec::as_slice)
}

/// A resource with the back references that the service computes: a table's or group's subnets.
pub(crate) fn with_references(world: &World, v: &Value) -> Option<Value> {
    let mut v = v.clone();
    let key = match v["type"].as_str()? {
        "Microsoft.Network/networkSecurityGroups" => "networkSecurityGroup",
        "Microsoft.Network/routeTables" => "routeTable",
        _ => return Some(v),
    };
    let id = v["id"].as_str()?.to_owned();
    let users: Vec<Value> = networks(world)
        .flat_map(|n| parts(n, "subnets"))
        .filter(|s| same(s["properties"][key]["id"].as_str(), &id))
        .map(|s| json!({"id": s["id"]}))
        .collect();
    if !users.is_empty() {
        v["properties"]["subnets"] = users.into();
    }
    Some(v)
}

/// A resource outside of a group that uses a network in it.
pub(crate) fn used_from_outside(world: &World, group: &str) -> Option<String> {
    let inside = format!("{}/", group.to_lowercase());
    world.cloud.resources.values().find_map(|v| {
        let id = v["id"].as_str()?;
        if id.to_lowercase().starts_with(&inside) {
            return None;
        }
        let used = v["properties"]["subnetId"]
            .as_str()
            .or_else(|| v["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str())?;
        used.to_lowercase().starts_with(&inside).then(|| id.to_owned())
    })
}

/// The managed instance (or its remains) in a subnet.
fn instance_in<'a>(world: &'a World, subnet: &str) -> Option<&'a str> {
    world
        .cloud
        .resources
        .values()
        .find(|v| {
            matches!(
                v["type"].as_str(),
                Some("Microsoft.Sql/managedInstances" | "Microsoft.Sql/virtualClusters")
            ) && same(v["properties"]["subnetId"].as_str(), subnet)
        })
        .and_then(|v| v["id"].as_str())
}

fn interface_in<'a>(world: &'a World, subnet: &str) -> Option<&'a str> {
    world
        .cloud
        .resources
        .values()
        .filter(|v| v["type"] == "Microsoft.Network/networkInterfaces")
        .find(|v| {
            same(
                v["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str(),
                subnet,
            )
        })
        .and_then(|v| v["id"].as_str())
}

fn nets(prefixes: &Value, what: &str) -> Result<Vec<Ipv4Net>, Refusal> {
    let list = prefixes.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|p| {
            let text = p.as_str().unwrap_or("");
            match text.parse::<Ipv4Net>() {
                Ok(net) if net.addr() == net.network() => Ok(net),
                _ => Err(Refusal::bad(
                    "InvalidCIDRNotation",
                    format!("The address prefix {text} in resource {what} has an invalid CIDR notation."),
                )),
            }
        })
        .collect()
}

fn overlap(a: &[Ipv4Net], b: &[Ipv4Net]) -> Option<(Ipv4Net, Ipv4Net)> {
    a.iter()
        .flat_map(|x| b.iter().map(move |y| (*x, *y)))
        .find(|(x, y)| x.contains(y) || y.contains(x))
}

fn etag(n: u64) -> String {
    format!("W/\"00000000-0000-4000-8000-{n:012x}\"")
}

fn put_network(world: &mut World, req: &Req, _name: &str) -> Answer {
    let id = req.id(req.segs.len());
    let name = last(&id).to_owned();
    let location = location(&req.body)?;
    lro::not_busy(world, &id)?;
    let props = &req.body["properties"];
    let space = nets(&props["addressSpace"]["addressPrefixes"], &id)?;
    if space.is_empty() {
        return Err(Refusal::bad(
            "InvalidRequestFormat",
            "Address space of the virtual network must have a prefix.",
        ));
    }
    let old = world.cloud.get(&id).cloned();
    // A changed address space must not meet that of a peer.
    for peering in old.iter().flat_map(|o| parts(o, "virtualNetworkPeerings")) {
        let remote = nets(&peering["properties"]["remoteAddressSpace"]["addressPrefixes"], &id)?;
        if let Some((a, b)) = overlap(&space, &remote) {
            return Err(Refusal::bad(
                "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
                format!(
                    "Address space {a} of virtual network {id} overlaps with {b} of an already peered virtual network."
                ),
            ));
        }
    }
    let given = props["subnets"].as_array().cloned().unwrap_or_default();
    let mut subnets: Vec<Value> = vec![];
    let mut taken: Vec<Ipv4Net> = vec![];
    for s in &given {
        let sub_id = format!("{id}/subnets/{}", s["name"].as_str().unwrap_or(""));
        let before = old
            .as_ref()
            .and_then(|o| parts(o, "subnets").iter().find(|p| same(p["id"].as_str(), &sub_id)));
        let built = build_subnet(world, &sub_id, s, before, &space, &location)?;
        let prefix = nets(&json!([built["properties"]["addressPrefix"]]), &sub_id)?;
        if let Some((a, b)) = overlap(&prefix, &taken) {
            return Err(Refusal::bad(
                "NetcfgSubnetRangesOverlap",
                format!(
                    "Subnet '{}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '{name}' ({a}, {b}).",
                    last(&sub_id)
                ),
            ));
        }
        taken.extend(prefix);
        subnets.push(built);
    }
    // A PUT without a subnet deletes it, if it may be deleted.
    for gone in old.iter().flat_map(|o| parts(o, "subnets")) {
        let gid = gone["id"].as_str().unwrap_or("");
        if !subnets.iter().any(|s| same(s["id"].as_str(), gid)) {
            deletable(world, gid)?;
        }
    }
    let mut body = json!({
        "name": name, "id": id, "etag": etag(world.number()), "type": format!("{NS}/virtualNetworks"), "location": location,
        "properties": {
            "provisioningState": "Updating", "resourceGuid": world.guid(&id).to_string(),
            "addressSpace": {"addressPrefixes": props["addressSpace"]["addressPrefixes"]},
            "subnets": subnets,
            "virtualNetworkPeerings": old.as_ref().map_or(json!([]), |o| o["properties"]["virtualNetworkPeerings"].clone()),
            "enableDdosProtection": false,
        },
    });
    if props["dhcpOptions"].is_object() {
        body["properties"]["dhcpOptions"] = props["dhcpOptions"].clone();
    }
    keep_tags(req, &mut body);
    world.cloud.store(body.clone());
    Ok(settle(world, req, &id, &location, 10, body, old.is_none()))
}

fn keep_tags(req: &Req, body: &mut Value) {
    if req.body["tags"].is_object() {
        body["tags"] = req.body["tags"].clone();
    }
}

/// Answers a PUT and lets the resource become Succeeded.
fn settle(world: &mut World, req: &Req, id: &str, location: &str, secs: i64, body: Value, new: bool) -> Resp {
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::Network,
        location,
        Some(id.to_owned()),
        secs,
        id,
        move |w| {
            match part_mut(w, &target) {
                Some(part) => set_state(part, "Succeeded"),
                None => {
                    if let Some(v) = w.cloud.get_mut(&target) {
                        set_state(v, "Succeeded");
                    }
                }
            }
            Ok(())
        },
    );
    lro::accepted(world, req, &op, Some(body), if new { 201 } else { 200 })
}

fn build_subnet(
    world: &mut World,
    id: &str,
    given: &Value,
    before: Option<&Value>,
    space: &[Ipv4Net],
    location: &str,
) -> Result<Value, Refusal> {
    let name = last(id);
    let props = &given["properties"];
    let prefix = props["addressPrefix"]
        .as_str()
        .or_else(|| props["addressPrefixes"][0].as_str())
        .unwrap_or("");
    let net = nets(&json!([prefix]), id)?;
    if !net.iter().all(|n| space.iter().any(|s| s.contains(n))) {
        return Err(Refusal::bad(
            "NetcfgSubnetRangeOutsideVnet",
            format!(
                "Subnet '{name}' is not valid because its IP address range is outside the IP address range of virtual network '{}'.",
                last(&parent(id, 2))
            ),
        ));
    }
    let mut out = json!({
        "name": name, "id": id, "etag": etag(world.number()), "type": format!("{NS}/virtualNetworks/subnets"),
        "properties": {
            "provisioningState": "Updating", "addressPrefix": prefix,
            "privateEndpointNetworkPolicies": props["privateEndpointNetworkPolicies"].as_str().unwrap_or("Disabled"),
            "privateLinkServiceNetworkPolicies": props["privateLinkServiceNetworkPolicies"].as_str().unwrap_or("Enabled"),
        },
    });
    for (key, kind) in [
        ("networkSecurityGroup", "networkSecurityGroups"),
        ("routeTable", "routeTables"),
    ] {
        let Some(reference) = props[key]["id"].as_str() else {
            continue;
        };
        let target = world
            .cloud
            .get(reference)
            .filter(|v| same(v["type"].as_str(), &format!("{NS}/{kind}")));
        let Some(target) = target else {
            return Err(reference_missing(reference, id));
        };
        if target["location"] != location {
            return Err(Refusal::bad(
                "InvalidResourceReferenceLocation",
                format!("Resource {reference} is in another region than {id}."),
            ));
        }
        if target["properties"]["provisioningState"] != "Succeeded" {
            return Err(not_provisioned(reference, id));
        }
        out["properties"][key] = json!({"id": target["id"]});
    }
    let delegations: Vec<Value> = props["delegations"].as_array().map_or(&[][..], Vec::as_slice).iter().map(|d| {
        let n = d["name"].as_str().unwrap_or("0");
        json!({
            "name": n, "id": format!("{id}/delegations/{n}"), "etag": out["etag"], "type": format!("{NS}/virtualNetworks/subnets/delegations"),
            "properties": {
                "provisioningState": "Updating", "serviceName": d["properties"]["serviceName"],
                "actions": ["Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.Network/virtualNetworks/subnets/prepareNetworkPolicies/action", "Microsoft.Network/virtualNetworks/subnets/unprepareNetworkPolicies/action"],
            },
        })
    }).collect();
    out["properties"]["delegations"] = delegations.into();
    if let Some(endpoints) = props["serviceEndpoints"].as_array().filter(|e| !e.is_empty()) {
        out["properties"]["serviceEndpoints"] = endpoints
            .iter()
            .map(|e| json!({"provisioningState": "Updating", "service": e["service"], "locations": e.get("locations").cloned().unwrap_or_else(|| json!([location]))}))
            .collect::<Vec<_>>()
            .into();
    }
    if let Some(before) = before {
        keep_intent(world, id, before, &mut out)?;
        if before["properties"]["addressPrefix"] != out["properties"]["addressPrefix"]
            && interface_in(world, id).is_some()
        {
            return Err(Refusal::bad(
                "InUseSubnetCannotBeUpdated",
                format!("Subnet {name} is in use and cannot be updated."),
            ));
        }
    }
    Ok(out)
}

fn reference_missing(reference: &str, by: &str) -> Refusal {
    Refusal::bad(
        "InvalidResourceReference",
        format!(
            "Resource {reference} referenced by resource {by} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
        ),
    )
}

fn not_provisioned(reference: &str, by: &str) -> Refusal {
    let mut refusal = Refusal::new(
        429,
        "ReferencedResourceNotProvisioned",
        format!(
            "Cannot proceed with operation because resource {reference} used by resource {by} is not in Succeeded state. Resource is in Updating state and the last operation that updated/is updating the resource is PutOperation."
        ),
    );
    refusal.headers.push(("retry-after", "10".into()));
    refusal
}

/// With a managed instance in a subnet, its network intent policy allows no change of what it relies on.
fn keep_intent(world: &World, id: &str, before: &Value, after: &mut Value) -> Result<(), Refusal> {
    let Some(instance) = instance_in(world, id) else {
        return Ok(());
    };
    for key in ["addressPrefix", "networkSecurityGroup", "routeTable"] {
        if before["properties"][key] != after["properties"][key] {
            return Err(intent(id, instance));
        }
    }
    let services = |v: &Value| -> Vec<Value> {
        v["properties"]["delegations"].as_array().map_or(vec![], |d| {
            d.iter().map(|d| d["properties"]["serviceName"].clone()).collect()
        })
    };
    if services(before) != services(after) {
        return Err(intent(id, instance));
    }
    after["properties"]["serviceAssociationLinks"] = before["properties"]["serviceAssociationLinks"].clone();
    Ok(())
}

fn intent(id: &str, instance: &str) -> Refusal {
    Refusal::conflict(
        "ConflictWithNetworkIntentPolicy",
        format!(
            "Found conflicts with NetworkIntentPolicy. Details: {id} is used by {instance}; its required rules, routes, delegation and address range can't be removed or changed."
        ),
    )
}

fn put_subnet(world: &mut World, req: &Req) -> Answer {
    let id = req.id(req.segs.len());
    let net_id = parent(&id, 2);
    let Some(net) = world.cloud.get(&net_id).cloned() else {
        return Err(Refusal::not_found(req));
    };
    lro::not_busy(world, &net_id)?;
    lro::not_busy(world, &id)?;
    let location = net["location"].as_str().unwrap_or("").to_owned();
    let space = nets(&net["properties"]["addressSpace"]["addressPrefixes"], &net_id)?;
    let before = parts(&net, "subnets")
        .iter()
        .find(|s| same(s["id"].as_str(), &id))
        .cloned();
    let built = build_subnet(world, &id, &req.body, before.as_ref(), &space, &location)?;
    let prefix = nets(&json!([built["properties"]["addressPrefix"]]), &id)?;
    for other in parts(&net, "subnets").iter().filter(|s| !same(s["id"].as_str(), &id)) {
        if overlap(&prefix, &nets(&json!([other["properties"]["addressPrefix"]]), &id)?).is_some() {
            return Err(Refusal::bad(
                "NetcfgSubnetRangesOverlap",
                format!(
                    "Subnet '{}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '{}'.",
                    last(&id),
                    last(&net_id)
                ),
            ));
        }
    }
    if let Some(list) = world
        .cloud
        .get_mut(&net_id)
        .and_then(|n| n["properties"]["subnets"].as_array_mut())
    {
        match list.iter_mut().find(|s| same(s["id"].as_str(), &id)) {
            Some(old) => *old = built.clone(),
            None => list.push(built.clone()),
        }
    }
    Ok(settle(world, req, &id, &location, 5, built, before.is_none()))
}

fn gateway_of<'a>(world: &'a World, net: &str) -> Option<&'a Value> {
    let subnet = format!("{net}/subnets/GatewaySubnet");
    world.cloud.resources.values().find(|v| {
        v["type"] == "Microsoft.Network/virtualNetworkGateways"
            && same(
                v["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str(),
                &subnet,
            )
            && v["properties"]["provisioningState"] == "Succeeded"
    })
}

fn put_peering(world: &mut World, req: &Req) -> Answer {
    let id = req.id(req.segs.len());
    let net_id = parent(&id, 2);
    let Some(net) = world.cloud.get(&net_id).cloned() else {
        return Err(Refusal::not_found(req));
    };
    let props = &req.body["properties"];
    let Some(remote_id) = props["remoteVirtualNetwork"]["id"].as_str().map(str::to_owned) else {
        return Err(Refusal::bad(
            "InvalidRequestFormat",
            "The peering has no remoteVirtualNetwork.",
        ));
    };
    let Some(remote) = world.cloud.get(&remote_id).cloned() else {
        return Err(reference_missing(&remote_id, &id));
    };
    lro::not_busy(world, &net_id)?;
    for v in [&net, &remote] {
        if v["properties"]["provisioningState"] != "Succeeded" {
            return Err(not_provisioned(v["id"].as_str().unwrap_or(""), &id));
        }
    }
    let (mine, theirs) = (
        &net["properties"]["addressSpace"]["addressPrefixes"],
        &remote["properties"]["addressSpace"]["addressPrefixes"],
    );
    if let Some((a, b)) = overlap(&nets(mine, &id)?, &nets(theirs, &id)?) {
        return Err(Refusal::bad(
            "VnetAddressSpacesOverlap",
            format!(
                "Cannot create or update peering {id}. Virtual networks {net_id} and {remote_id} cannot be peered because their address spaces overlap ({a}, {b})."
            ),
        ));
    }
    for other in parts(&net, "virtualNetworkPeerings")
        .iter()
        .filter(|p| !same(p["id"].as_str(), &id))
    {
        if same(other["properties"]["remoteVirtualNetwork"]["id"].as_str(), &remote_id) {
            return Err(Refusal::bad(
                "AnotherPeeringAlreadyReferencesRemoteVnet",
                format!(
                    "Peering {} already references remote virtual network {remote_id}.",
                    other["id"].as_str().unwrap_or("")
                ),
            ));
        }
        if props["useRemoteGateways"] == true && other["properties"]["useRemoteGateways"] == true {
            return Err(Refusal::bad(
                "MultipleRemoteGatewaysAreNotAllowed",
                format!(
                    "Peering {id} can't use remote gateways: {} already does.",
                    other["id"].as_str().unwrap_or("")
                ),
            ));
        }
    }
    if props["useRemoteGateways"] == true && gateway_of(world, &remote_id).is_none() {
        return Err(Refusal::bad(
            "RemoteVnetHasNoGateways",
            format!(
                "Peering {id} cannot have UseRemoteGateways flag set to true because remote virtual network {remote_id} referenced by the peering does not have any gateways."
            ),
        ));
    }
    let new = part(world, &id).is_none();
    let flag = |name: &str, default: bool| props[name].as_bool().unwrap_or(default);
    let body = json!({
        "name": last(&id), "id": id, "etag": etag(world.number()), "type": format!("{NS}/virtualNetworks/virtualNetworkPeerings"),
        "properties": {
            "provisioningState": "Updating", "resourceGuid": world.guid(&id).to_string(),
            "peeringState": "Initiated", "peeringSyncLevel": "LocalNotInSync",
            "remoteVirtualNetwork": {"id": remote["id"]},
            "allowVirtualNetworkAccess": flag("allowVirtualNetworkAccess", true),
            "allowForwardedTraffic": flag("allowForwardedTraffic", false),
            "allowGatewayTransit": flag("allowGatewayTransit", false),
            "useRemoteGateways": flag("useRemoteGateways", false),
            "remoteAddressSpace": {"addressPrefixes": theirs}, "remoteVirtualNetworkAddressSpace": {"addressPrefixes": theirs},
        },
    });
    if let Some(list) = world
        .cloud
        .get_mut(&net_id)
        .and_then(|n| n["properties"]["virtualNetworkPeerings"].as_array_mut())
    {
        match list.iter_mut().find(|p| same(p["id"].as_str(), &id)) {
            Some(old) => *old = body.clone(),
            None => list.push(body.clone()),
        }
    }
    let location = net["location"].as_str().unwrap_or("").to_owned();
    let (a, target) = (net_id.clone(), id.clone());
    let op = lro::start(
        world,
        lro::Style::Network,
        &location,
        Some(id.clone()),
        10,
        &id,
        move |w| {
            if let Some(p) = part_mut(w, &target) {
                set_state(p, "Succeeded");
            }
            connect(w, &a, &remote_id);
            Ok(())
        },
    );
    // The network can't be changed while a peering of it is made.
    lro::hold(world, &op, &net_id);
    Ok(lro::accepted(world, req, &op, Some(body), if new { 201 } else { 200 }))
}

/// The peering in `net` that leads to `remote`.
fn towards<'a>(world: &'a mut World, net: &str, remote: &str) -> Option<&'a mut Value> {
    world.cloud.get_mut(net)?["properties"]["virtualNetworkPeerings"]
        .as_array_mut()?
        .iter_mut()
        .find(|p| same(p["properties"]["remoteVirtualNetwork"]["id"].as_str(), remote))
}

fn connect(world: &mut World, a: &str, b: &str) {
    let both = towards(world, a, b).is_some() && towards(world, b, a).is_some();
    if !both {
        return;
    }
    for (x, y) in [(a, b), (b, a)] {
        if let Some(p) = towards(world, x, y) {
            p["properties"]["peeringState"] = "Connected".into();
            p["properties"]["peeringSyncLevel"] = "FullyInSync".into();
        }
    }
}

/// Whether two networks are peered and connected.
pub(crate) fn connected(world: &World, a: &str, b: &str) -> bool {
    world.cloud.get(a).is_some_and(|n| {
        parts(n, "virtualNetworkPeerings").iter().any(|p| {
            same(p["properties"]["remoteVirtualNetwork"]["id"].as_str(), b)
                && p["properties"]["peeringState"] == "Connected"
        })
    })
}

/// The other side of a peering that is gone.
fn disconnect(world: &mut World, from: &str, to: &str) {
    if let Some(p) = towards(world, to, from) {
        p["properties"]["peeringState"] = "Disconnected".into();
        p["properties"]["peeringSyncLevel"] = "RemoteNotInSync".into();
    }
}

/// Called when a network disappears.
pub(crate) fn forgotten(world: &mut World, network: &Value) {
    let id = network["id"].as_str().unwrap_or("").to_owned();
    for p in parts(network, "virtualNetworkPeerings") {
        if let Some(remote) = p["properties"]["remoteVirtualNetwork"]["id"].as_str() {
            disconnect(world, &id, remote);
        }
    }
}

fn put_table(world: &mut World, req: &Req, kind: &str) -> Answer {
    let id = req.id(req.segs.len());
    let location = location(&req.body)?;
    lro::not_busy(world, &id)?;
    let nsg = kind == "networksecuritygroups";
    let (list, item) = if nsg {
        ("securityRules", "networkSecurityGroups/securityRules")
    } else {
        ("routes", "routeTables/routes")
    };
    let old = world.cloud.get(&id).cloned();
    let mut entries = vec![];
    for e in req.body["properties"][list].as_array().map_or(&[][..], Vec::as_slice) {
        let name = e["name"].as_str().unwrap_or("");
        let mut props = e["properties"].clone();
        props["provisioningState"] = "Updating".into();
        let rule = json!({
            "name": name, "id": format!("{id}/{list}/{name}"), "etag": etag(world.number()),
            "type": format!("{NS}/{item}"), "properties": props,
        });
        check_entry(nsg, &rule, &entries)?;
        entries.push(rule);
    }
    // What a managed instance has added must stay.
    if let Some(old) = &old {
        let users = with_references(world, old);
        let subnets = users
            .as_ref()
            .and_then(|u| u["properties"]["subnets"].as_array())
            .cloned()
            .unwrap_or_default();
        let instance = subnets.iter().find_map(|s| instance_in(world, s["id"].as_str()?));
        if let Some(instance) = instance {
            let kept = |e: &Value| entries.iter().any(|n| n["name"] == e["name"] && same_rule(n, e));
            let required = old["properties"][list].as_array().map_or(&[][..], Vec::as_slice);
            if required
                .iter()
                .any(|e| e["name"].as_str().is_some_and(|n| n.starts_with(INTENT)) && !kept(e))
            {
                return Err(intent(&id, instance));
            }
        }
    }
    let type_name = if nsg { "networkSecurityGroups" } else { "routeTables" };
    let mut props = json!({"provisioningState": "Updating", "resourceGuid": world.guid(&id).to_string()});
    props[list] = entries.into();
    if nsg {
        props["defaultSecurityRules"] = default_rules(&id);
    } else {
        props["disableBgpRoutePropagation"] = req.body["properties"]["disableBgpRoutePropagation"]
            .as_bool()
            .unwrap_or(false)
            .into();
    }
    let mut body = json!({
        "name": last(&id), "id": id, "etag": etag(world.number()), "type": format!("{NS}/{type_name}"), "location": location, "properties": props,
    });
    keep_tags(req, &mut body);
    world.cloud.store(body.clone());
    Ok(settle(world, req, &id, &location, 5, body, old.is_none()))
}

fn same_rule(a: &Value, b: &Value) -> bool {
    let plain = |v: &Value| {
        let mut p = v["properties"].clone();
        if let Some(m) = p.as_object_mut() {
            m.remove("provisioningState");
        }
        p
    };
    plain(a) == plain(b)
}

fn check_entry(nsg: bool, e: &Value, others: &[Value]) -> Result<(), Refusal> {
    let p = &e["properties"];
    let name = e["name"].as_str().unwrap_or("");
    if nsg {
        let priority = p["priority"].as_i64().unwrap_or(0);
        if !(100..=4096).contains(&priority) {
            return Err(Refusal::bad(
                "SecurityRuleInvalidPriority",
                format!("Security rule has invalid Priority. Value provided: {priority}. Allowed range 100-4096."),
            ));
        }
        if let Some(other) = others
            .iter()
            .find(|o| o["properties"]["priority"] == p["priority"] && o["properties"]["direction"] == p["direction"])
        {
            return Err(Refusal::bad(
                "SecurityRuleConflict",
                format!(
                    "Security rule {name} conflicts with rule {}. Rules cannot have the same Priority and Direction.",
                    other["name"].as_str().unwrap_or("")
                ),
            ));
        }
    } else if p["addressPrefix"].as_str().is_none_or(str::is_empty)
        || p["nextHopType"].as_str().is_none_or(str::is_empty)
    {
        return Err(Refusal::bad(
            "InvalidRequestFormat",
            format!("Route {name} needs addressPrefix and nextHopType."),
        ));
    }
    Ok(())
}

fn default_rules(id: &str) -> Value {
    let rule = |name: &str,
                text: &str,
                source: &str,
                destination: &str,
                access: &str,
                priority: u32,
                direction: &str| {
        json!({
            "name": name, "id": format!("{id}/defaultSecurityRules/{name}"), "etag": etag(1),
            "type": format!("{NS}/networkSecurityGroups/defaultSecurityRules"),
            "properties": {
                "provisioningState": "Succeeded", "description": text, "protocol": "*",
                "sourcePortRange": "*", "destinationPortRange": "*", "sourceAddressPrefix": source, "destinationAddressPrefix": destination,
                "access": access, "priority": priority, "direction": direction,
            },
        })
    };
    json!([
        rule(
            "AllowVnetInBound",
            "Allow inbound traffic from all VMs in VNET",
            "VirtualNetwork",
            "VirtualNetwork",
            "Allow",
            65000,
            "Inbound"
        ),
        rule(
            "AllowAzureLoadBalancerInBound",
            "Allow inbound traffic from azure load balancer",
            "AzureLoadBalancer",
            "*",
            "Allow",
            65001,
            "Inbound"
        ),
        rule(
            "DenyAllInBound",
            "Deny all inbound traffic",
            "*",
            "*",
            "Deny",
            65500,
            "Inbound"
        ),
        rule(
            "AllowVnetOutBound",
            "Allow outbound traffic from all VMs to all VMs in VNET",
            "VirtualNetwork",
            "VirtualNetwork",
            "Allow",
            65000,
            "Outbound"
        ),
        rule(
            "AllowInternetOutBound",
            "Allow outbound traffic from all VMs to Internet",
            "*",
            "Internet",
            "Allow",
            65001,
            "Outbound"
        ),
        rule(
            "DenyAllOutBound",
            "Deny all outbound traffic",
            "*",
            "*",
            "Deny",
            65500,
            "Outbound"
        ),
    ])
}

/// Names of what a managed instance writes into its network start so.
const INTENT: &str = "Microsoft.Sql-managedInstances_UseOnly_";

/// What the creation of a managed instance does to its subnet, security group and route table.
pub(crate) fn add_intent(world: &mut World, subnet_id: &str) {
    let Some(subnet) = part(world, subnet_id).cloned() else {
        return;
    };
    let prefix = subnet["properties"]["addressPrefix"].as_str().unwrap_or("").to_owned();
    let tag = prefix.replace(['.', '/'], "-");
    if let Some(s) = part_mut(world, subnet_id) {
        s["properties"]["serviceAssociationLinks"] = json!([{
            "name": "MI", "id": format!("{subnet_id}/serviceAssociationLinks/MI"), "etag": etag(1),
            "type": "Microsoft.Network/virtualNetworks/subnets/serviceAssociationLinks",
            "properties": {
                "provisioningState": "Succeeded", "linkedResourceType": "Microsoft.Sql/managedInstances",
                "allowDelete": false, "locations": [],
            },
        }]);
    }
    let rule = |name: &str, direction: &str, from: &str, to: &str, port: &str, priority: u32| {
        (
            name.to_owned(),
            json!({
                "provisioningState": "Succeeded", "description": "Required by Azure SQL Managed Instance",
                "protocol": if port == "*" { "*" } else { "Tcp" }, "sourcePortRange": "*", "destinationPortRange": port,
                "sourceAddressPrefix": from, "destinationAddressPrefix": to, "access": "Allow", "priority": priority, "direction": direction,
            }),
        )
    };
    let rules = [
        rule("healthprobe-in", "Inbound", "AzureLoadBalancer", &prefix, "*", 100),
        rule("internal-in", "Inbound", &prefix, &prefix, "*", 101),
        rule("aad-out", "Outbound", &prefix, "AzureActiveDirectory", "443", 100),
        rule("onedsc-out", "Outbound", &prefix, "OneDsCollector", "443", 101),
        rule("internal-out", "Outbound", &prefix, &prefix, "*", 102),
        rule("strg-p-out", "Outbound", &prefix, "Storage.eastus2", "443", 103),
        rule("strg-s-out", "Outbound", &prefix, "Storage.centralus", "443", 104),
    ];
    let route = |name: &str, prefix: &str, hop: &str| {
        (
            name.to_owned(),
            json!({"provisioningState": "Succeeded", "addressPrefix": prefix, "nextHopType": hop, "hasBgpOverride": false}),
        )
    };
    let routes = [
        route("subnet-to-vnetlocal", &prefix, "VnetLocal"),
        route("AzureActiveDirectory", "AzureActiveDirectory", "Internet"),
        route("OneDsCollector", "OneDsCollector", "Internet"),
        route("Storage.eastus2", "Storage.eastus2", "Internet"),
        route("Storage.centralus", "Storage.centralus", "Internet"),
    ];
    for (key, list, item, entries) in [
        (
            "networkSecurityGroup",
            "securityRules",
            "networkSecurityGroups/securityRules",
            &rules[..],
        ),
        ("routeTable", "routes", "routeTables/routes", &routes[..]),
    ] {
        let Some(id) = subnet["properties"][key]["id"].as_str() else {
            continue;
        };
        let Some(list_now) = world
            .cloud
            .get_mut(id)
            .and_then(|v| v["properties"][list].as_array_mut())
        else {
            continue;
        };
        for (name, props) in entries {
            let name = format!("{INTENT}{name}-{tag}-v11");
            if list_now.iter().any(|e| e["name"] == name.as_str()) {
                continue;
            }
            let mut props = props.clone();
            // Never in the way of an admin's own rules.
            while props["priority"].as_u64().is_some_and(|p| {
                list_now
                    .iter()
                    .any(|e| e["properties"]["priority"] == p && e["properties"]["direction"] == props["direction"])
            }) {
                props["priority"] = (props["priority"].as_u64().unwrap_or(100) + 1).into();
            }
            list_now.push(json!({"name": name, "id": format!("{id}/{list}/{name}"), "etag": etag(1), "type": format!("{NS}/{item}"), "properties": props}));
        }
    }
}

/// When the last managed instance of a subnet is gone.
pub(crate) fn remove_intent(world: &mut World, subnet_id: &str) {
    let Some(subnet) = part(world, subnet_id).cloned() else {
        return;
    };
    if let Some(p) = part_mut(world, subnet_id).and_then(|s| s["properties"].as_object_mut()) {
        p.remove("serviceAssociationLinks");
    }
    for (key, list) in [("networkSecurityGroup", "securityRules"), ("routeTable", "routes")] {
        if let Some(id) = subnet["properties"][key]["id"].as_str()
            && let Some(entries) = world
                .cloud
                .get_mut(id)
                .and_then(|v| v["properties"][list].as_array_mut())
        {
            entries.retain(|e| !e["name"].as_str().is_some_and(|n| n.starts_with(INTENT)));
        }
    }
}

/// Whether a subnet may go.
fn deletable(world: &World, subnet: &str) -> Result<(), Refusal> {
    let used = instance_in(world, subnet)
        .or_else(|| interface_in(world, subnet))
        .or_else(|| {
            let net = parent(subnet, 2);
            last(subnet)
                .eq_ignore_ascii_case("GatewaySubnet")
                .then(|| gateway_of(world, &net).and_then(|g| g["id"].as_str()))?
        });
    match used {
        Some(by) => Err(Refusal::bad(
            "InUseSubnetCannotBeDeleted",
            format!(
                "Subnet {} is in use by {by} and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
                last(subnet)
            ),
        )),
        None => Ok(()),
    }
}

fn delete(world: &mut World, req: &Req, id: &str) -> Answer {
    let low = id.to_lowercase();
    let inner = low.contains("/subnets/") || low.contains("/virtualnetworkpeerings/");
    let owner = if inner { parent(id, 2) } else { id.to_owned() };
    let found = if inner {
        part(world, id).cloned()
    } else {
        world.cloud.get(id).cloned()
    };
    let Some(found) = found else {
        return Ok(Resp::empty(204));
    };
    lro::not_busy(world, &owner)?;
    if low.contains("/subnets/") {
        deletable(world, id)?;
    } else if !inner {
        for s in parts(&found, "subnets") {
            // A network's subnets are bodies, a table's are references to users.
            if found["type"] == "Microsoft.Network/virtualNetworks" {
                deletable(world, s["id"].as_str().unwrap_or(""))?;
            }
        }
        let users = with_references(world, &found);
        if found["type"] != "Microsoft.Network/virtualNetworks"
            && let Some(user) = users
                .as_ref()
                .and_then(|u| u["properties"]["subnets"][0]["id"].as_str())
        {
            let code = if low.contains("/routetables/") {
                "InUseRouteTableCannotBeDeleted"
            } else {
                "InUseNetworkSecurityGroupCannotBeDeleted"
            };
            return Err(Refusal::bad(
                code,
                format!(
                    "{} cannot be deleted because it is in use by the following resources: {user}.",
                    last(id)
                ),
            ));
        }
        if let Some(vm) = found["properties"]["virtualMachine"]["id"].as_str() {
            return Err(Refusal::bad(
                "NicInUse",
                format!("Network Interface {id} is used by existing resource {vm}."),
            ));
        }
    }
    let location = world
        .cloud
        .get(&owner)
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned();
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::Network,
        &location,
        Some(id.to_owned()),
        8,
        id,
        move |w| {
            if inner {
                let key = if target.to_lowercase().contains("/subnets/") {
                    "subnets"
                } else {
                    "virtualNetworkPeerings"
                };
                let remote = part(w, &target)
                    .and_then(|p| p["properties"]["remoteVirtualNetwork"]["id"].as_str())
                    .map(str::to_owned);
                let net = parent(&target, 2);
                if let Some(remote) = remote {
                    disconnect(w, &net, &remote);
                }
                if let Some(list) = w.cloud.get_mut(&net).and_then(|n| n["properties"][key].as_array_mut()) {
                    list.retain(|p| !same(p["id"].as_str(), &target));
                }
            } else {
                super::forget(w, &target);
            }
            Ok(())
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

/// A network interface for a machine, with the first free address of its subnet.
pub(crate) fn make_interface(
    world: &mut World,
    group: &str,
    vm_id: &str,
    name: &str,
    subnet_id: &str,
    location: &str,
) -> String {
    let id = format!("{group}/providers/{NS}/networkInterfaces/{name}");
    let prefix =
        part(world, subnet_id).and_then(|s| s["properties"]["addressPrefix"].as_str()?.parse::<Ipv4Net>().ok());
    let used: Vec<String> = world
        .cloud
        .resources
        .values()
        .filter_map(|v| {
            v["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    // Azure keeps the first three usable addresses of a subnet for itself.
    let address = prefix
        .and_then(|p| p.hosts().skip(3).map(|a| a.to_string()).find(|a| !used.contains(a)))
        .unwrap_or_default();
    let subnet = part(world, subnet_id)
        .and_then(|s| s["id"].as_str())
        .unwrap_or(subnet_id)
        .to_owned();
    world.cloud.store(json!({
        "name": name, "id": id, "etag": etag(1), "type": format!("{NS}/networkInterfaces"), "location": location,
        "properties": {
            "provisioningState": "Succeeded", "resourceGuid": world.guid(&id).to_string(),
            "ipConfigurations": [{
                "name": "ipconfig1", "id": format!("{id}/ipConfigurations/ipconfig1"), "etag": etag(1), "type": format!("{NS}/networkInterfaces/ipConfigurations"),
                "properties": {
                    "provisioningState": "Succeeded", "privateIPAddress": address, "privateIPAllocationMethod": "Dynamic",
                    "subnet": {"id": subnet}, "primary": true, "privateIPAddressVersion": "IPv4",
                },
            }],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []}, "macAddress": "00-0D-3A-00-00-01",
            "enableAcceleratedNetworking": false, "enableIPForwarding": false, "primary": true,
            "virtualMachine": {"id": vm_id}, "hostedWorkloads": [], "tapConfigurations": [], "nicType": "Standard",
        },
    }));
    id
}
