//! Azure Migrate's projects and their solutions, in which an appliance's registration leaves word of its site and vault.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, last, location, parent, text};
use crate::world::World;

pub(crate) const PROJECTS: &str = "Microsoft.Migrate/migrateProjects";
const SOLUTIONS: &str = "Microsoft.Migrate/migrateProjects/solutions";

pub(crate) const DISCOVERY: &str = "Servers-Discovery-ServerDiscovery";
const ASSESSMENT: &str = "Servers-Assessment-ServerAssessment";
pub(crate) const MIGRATION: &str = "Servers-Migration-ServerMigration";

/// Regions that keep projects, by name; not every region does. Unverified as a list: Rehost reads it from the provider.
pub(crate) const LOCATIONS: [&str; 4] = ["centralus", "westus2", "westeurope", "northeurope"];

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let start = low.iter().rposition(|s| *s == "microsoft.migrate")? + 1;
    let here = req.id(req.segs.len());
    let one = |world: &World| {
        world
            .cloud
            .get(&here)
            .cloned()
            .map(Resp::ok)
            .ok_or_else(|| Refusal::not_found(req))
    };
    Some(match (&req.method, &low[start..]) {
        (&Method::GET, ["migrateprojects"]) => Ok(Resp::list(
            world
                .cloud
                .of_type(&parent(&here, 3), PROJECTS)
                .cloned()
                .collect::<Vec<_>>(),
        )),
        (&Method::GET, ["migrateprojects", _]) => one(world),
        (&Method::PUT, ["migrateprojects", _]) => put_project(world, req, &here),
        (&Method::DELETE, ["migrateprojects", _]) => {
            let there = world.cloud.get(&here).is_some();
            let prefix = format!("{}/", here.to_lowercase());
            world.cloud.resources.retain(|k, _| !k.starts_with(&prefix));
            world.cloud.remove(&here);
            Ok(Resp::empty(if there { 200 } else { 204 }))
        }
        (&Method::GET, ["migrateprojects", _, "solutions"]) => Ok(Resp::list(
            world
                .cloud
                .of_type(&parent(&here, 1), SOLUTIONS)
                .cloned()
                .collect::<Vec<_>>(),
        )),
        (&Method::GET, ["migrateprojects", _, "solutions", _]) => one(world),
        (&Method::PUT, ["migrateprojects", _, "solutions", _]) => put_solution(world, req, &here),
        (&Method::DELETE, ["migrateprojects", _, "solutions", _]) => {
            world.cloud.remove(&here);
            Ok(Resp::empty(200))
        }
        _ => return None,
    })
}

fn put_project(world: &mut World, req: &Req, id: &str) -> Answer {
    let region = location(&req.body)?;
    if !LOCATIONS.contains(&region.as_str()) {
        return Err(Refusal::bad(
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{region}' is not available for resource type '{PROJECTS}'. List of available regions for the resource type is '{}'.",
                LOCATIONS.join(",")
            ),
        ));
    }
    let old = world.cloud.get(id).cloned();
    let access = text(&req.body, "/properties/publicNetworkAccess").unwrap_or("Enabled");
    let body = json!({
        "id": id, "name": last(id), "type": PROJECTS, "location": region, "eTag": format!("\"{}\"", world.guid(id)),
        "properties": {
            "registeredTools": [], "publicNetworkAccess": access, "privateEndpointConnections": [],
            "summary": {}, "lastSummaryRefreshedTime": world.now().to_string(), "refreshSummaryState": "Completed",
        },
    });
    world.cloud.store(body.clone());
    Ok(Resp::created(
        body,
        old.is_none() && req.api_version() == "2018-09-01-preview",
    ))
}

fn put_solution(world: &mut World, req: &Req, id: &str) -> Answer {
    if world.cloud.get(&parent(id, 2)).is_none() {
        return Err(Refusal::new(
            404,
            "ParentResourceNotFound",
            format!("The project '{}' was not found.", last(&parent(id, 2))),
        ));
    }
    let p = &req.body["properties"];
    let fits = |tool: &str, purpose: &str| p["tool"] == tool && p["purpose"] == purpose && p["goal"] == "Servers";
    let ok = match last(id) {
        DISCOVERY => fits("ServerDiscovery", "Discovery"),
        ASSESSMENT => fits("ServerAssessment", "Assessment"),
        MIGRATION => fits("ServerMigration", "Migration"),
        _ => false,
    };
    if !ok {
        return Err(Refusal::bad(
            "InvalidSolution",
            format!("Tool, purpose and goal don't belong to the solution '{}'.", last(id)),
        ));
    }
    let old = world.cloud.get(id).map(|o| o["properties"]["details"].clone());
    let new = old.is_none();
    let body = json!({
        "id": id, "name": last(id), "type": SOLUTIONS, "etag": format!("\"{}\"", world.guid(id)),
        "properties": {
            "tool": p["tool"], "purpose": p["purpose"], "goal": "Servers", "status": p["status"].as_str().unwrap_or("Inactive"), "cleanupState": "None",
            "details": old.unwrap_or_else(|| json!({"groupCount": 0, "assessmentCount": 0, "extendedDetails": {}})),
        },
    });
    world.cloud.store(body.clone());
    Ok(Resp::created(body, new))
}

/// A project that waits for an appliance: all three solutions are active.
pub(crate) fn ready(world: &World) -> Option<String> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let active = |project: &str, name: &str| {
        let solution = world.cloud.get(&format!("{project}/solutions/{name}"));
        solution.is_some_and(|s| s["properties"]["status"] == "Active")
    };
    let mut projects = world.cloud.of_type(&scope, PROJECTS).filter_map(|p| p["id"].as_str());
    projects
        .find(|p| [DISCOVERY, ASSESSMENT, MIGRATION].iter().all(|s| active(p, s)))
        .map(str::to_owned)
}

/// Writes what a registration knows into the project's solutions. The lists are JSON in texts, as Azure Migrate has them.
pub(crate) fn registered(world: &mut World, project: &str, appliance: &str, site: &str, vault: &str) {
    let mut set = |name: &str, more: Value| {
        let solution = world.cloud.get_mut(&format!("{project}/solutions/{name}"));
        let details = solution.and_then(|s| s["properties"]["details"]["extendedDetails"].as_object_mut());
        if let (Some(details), Some(more)) = (details, more.as_object()) {
            details.extend(more.clone());
        }
    };
    let v2 = json!([{"ApplianceName": appliance, "SiteId": site}]).to_string();
    let v3 = json!({ appliance: {"SiteId": site, "KeyVaultId": ""} }).to_string();
    set(
        DISCOVERY,
        json!({"applianceNameToSiteIdMapV2": v2, "applianceNameToSiteIdMapV3": v3}),
    );
    set(MIGRATION, json!({"vaultId": vault}));
}
