//! Who may do what, and what nobody may delete: effective permissions, role assignments and locks. The service principal is
//! an owner; identities of vaults and appliances have the roles that somebody assigned to them.

use axum::http::Method as Verb;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, last, text};
use crate::world::{World, plus};

const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
const LOCKS: &str = "Microsoft.Authorization/locks";

/// Built-in roles by their id; the same in every tenant.
pub(crate) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub(crate) const BLOB_DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const ROLES: [&str; 6] = [
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", // Owner
    "acdd72a7-3385-48ef-bd42-f606fba81ae7", // Reader
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", // Storage Blob Data Reader
    "17d1049b-9a84-46fb-8f53-869881c3d3ab", // Storage Account Contributor
    CONTRIBUTOR,
    BLOB_DATA_CONTRIBUTOR,
];

/// An assignment takes this long until it counts and is listed.
const SPREAD: i64 = 20;
/// When an assignment counts; the lab's own note, never shown.
const SINCE: &str = "labSince";

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let at = low.iter().rposition(|s| *s == "microsoft.authorization")?;
    let scope = req.id(at - 1);
    let here = req.id(req.segs.len());
    let one = |world: &World| {
        world
            .cloud
            .get(&here)
            .map(shown)
            .map(Resp::ok)
            .ok_or_else(|| Refusal::not_found(req))
    };
    Some(match (&req.method, &low[at + 1..]) {
        (&Verb::GET, ["permissions"]) => Ok(Resp::list([
            json!({"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}),
        ])),
        (&Verb::GET, ["denyassignments"]) => Ok(Resp::list([])),
        (&Verb::GET, ["locks"]) => {
            let filter = req.query.get("$filter");
            let at_scope = filter.is_some_and(|f| f.eq_ignore_ascii_case("atScope()"));
            let seen = |l: &&Value| {
                let locked = locked_scope(l);
                lies_in(&scope, locked) || (!at_scope && lies_in(locked, &scope))
            };
            Ok(Resp::list(locks(world).filter(seen).cloned().collect::<Vec<_>>()))
        }
        (&Verb::GET, ["locks", name]) => world
            .cloud
            .get(&here)
            .cloned()
            .map(Resp::ok)
            .ok_or_else(|| Refusal::new(404, "LockNotFound", format!("The lock '{name}' could not be found."))),
        (&Verb::PUT, ["locks", _]) => put_lock(world, req, &scope, &here),
        (&Verb::DELETE, ["locks", _]) => {
            let there = world.cloud.remove(&here).is_some();
            Ok(Resp::empty(if there { 200 } else { 204 }))
        }
        (&Verb::GET, ["roleassignments"]) => Ok(Resp::list(within(world, &scope, ASSIGNMENTS))),
        (&Verb::GET, ["roleassignments", _]) => one(world),
        (&Verb::PUT, ["roleassignments", _]) => put_assignment(world, req, &scope, &here),
        (&Verb::DELETE, ["roleassignments", _]) => Ok(match world.cloud.remove(&here) {
            Some(gone) => Resp::ok(shown(&gone)),
            None => Resp::empty(204),
        }),
        _ => return None,
    })
}

fn shown(v: &Value) -> Value {
    let mut v = v.clone();
    if let Some(m) = v.as_object_mut() {
        m.remove(SINCE);
    }
    v
}

fn spread(world: &World, v: &Value) -> bool {
    let since: Option<Timestamp> = v[SINCE].as_str().and_then(|s| s.parse().ok());
    since.is_none_or(|s| s <= world.now())
}

/// What hangs at a scope or below it.
fn within(world: &World, scope: &str, kind: &str) -> Vec<Value> {
    let found = world.cloud.of_type(scope, kind).filter(|v| spread(world, v));
    found.map(shown).collect()
}

fn exists(world: &World, scope: &str) -> Result<(), Refusal> {
    if scope.matches('/').count() <= 2 || world.cloud.get(scope).is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        404,
        "ResourceNotFound",
        format!("The resource '{}' was not found.", last(scope)),
    ))
}

fn put_assignment(world: &mut World, req: &Req, scope: &str, id: &str) -> Answer {
    exists(world, scope)?;
    let name = last(id).to_owned();
    if uuid::Uuid::parse_str(&name).is_err() {
        return Err(Refusal::bad(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        ));
    }
    let field = |k: &str| text(&req.body, &format!("/properties/{k}")).unwrap_or("").to_owned();
    let (role, principal) = (last(&field("roleDefinitionId")).to_lowercase(), field("principalId"));
    if !ROLES.contains(&role.as_str()) {
        return Err(Refusal::new(
            404,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{role}' does not exist."),
        ));
    }
    if !principals(world).iter().any(|p| p.eq_ignore_ascii_case(&principal)) {
        return Err(Refusal::bad(
            "PrincipalNotFound",
            format!(
                "Principal {principal} does not exist in the directory {}. Check that you have the correct principal ID.",
                world.cloud.tenant
            ),
        ));
    }
    let same = |v: &Value| {
        let p = &v["properties"];
        last(p["roleDefinitionId"].as_str().unwrap_or("")) == role
            && p["principalId"]
                .as_str()
                .is_some_and(|x| x.eq_ignore_ascii_case(&principal))
    };
    let found = world.cloud.of_type(scope, ASSIGNMENTS).find(|v| {
        same(v)
            && v["properties"]["scope"]
                .as_str()
                .is_some_and(|s| s.eq_ignore_ascii_case(scope))
    });
    if let Some(found) = found
        && !found["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(&name))
    {
        return Err(Refusal::conflict(
            "RoleAssignmentExists",
            "The role assignment already exists.",
        ));
    }
    match world.cloud.get(id) {
        Some(old) if same(old) => return Ok(Resp::ok(shown(old))),
        Some(_) => {
            return Err(Refusal::bad(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
        None => {}
    }
    let now = world.now();
    let since = plus(now, world.about(SPREAD, id));
    let body = json!({
        "id": id, "name": name, "type": ASSIGNMENTS, SINCE: since.to_string(),
        "properties": {
            // Without the subscription, as in Microsoft's examples.
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "principalId": principal, "principalType": "ServicePrincipal", "scope": scope,
            "createdOn": now.to_string(), "updatedOn": now.to_string(), "createdBy": world.cloud.principal, "updatedBy": world.cloud.principal,
        },
    });
    world.cloud.store(body.clone());
    Ok(Resp::created(shown(&body), true))
}

/// Everyone whom the directory knows.
fn principals(world: &World) -> Vec<String> {
    let vaults = world
        .cloud
        .resources
        .values()
        .filter_map(|v| v["identity"]["principalId"].as_str());
    let appliances = world
        .cloud
        .appliances
        .values()
        .map(|a| super::recovery::appliance_identity(world, a));
    vaults
        .map(str::to_owned)
        .chain(appliances)
        .chain([
            world.cloud.principal.clone(),
            world.cloud.reader_identity(world.seed()).1,
        ])
        .collect()
}

/// Whether an identity has a role on a resource, by an assignment there or above.
pub(crate) fn has_role(world: &World, principal: &str, role: &str, on: &str) -> bool {
    world.cloud.resources.values().any(|v| {
        let p = &v["properties"];
        v["type"] == ASSIGNMENTS
            && spread(world, v)
            && p["principalId"]
                .as_str()
                .is_some_and(|x| x.eq_ignore_ascii_case(principal))
            && last(p["roleDefinitionId"].as_str().unwrap_or("")) == role
            && p["scope"]
                .as_str()
                .is_some_and(|s| on.to_lowercase().starts_with(&s.to_lowercase()))
    })
}

// ------------------------------------------------------------------------------------------------------------- locks

pub(crate) fn lock_id(scope: &str, name: &str) -> String {
    format!("{}/providers/{LOCKS}/{name}", scope.trim_end_matches('/'))
}

/// A lock as its GET shows it.
pub(crate) fn lock(scope: &str, name: &str, level: &str, notes: &str) -> Value {
    json!({
        "id": lock_id(scope, name), "name": name, "type": LOCKS, "properties": {"level": level, "notes": notes},
    })
}

fn locks(world: &World) -> impl Iterator<Item = &Value> {
    world.cloud.resources.values().filter(|v| v["type"] == LOCKS)
}

/// What a lock protects.
fn locked_scope(lock: &Value) -> &str {
    let id = lock["id"].as_str().unwrap_or("");
    id.rfind("/providers/").map_or(id, |i| &id[..i])
}

/// Whether `id` is `scope` or lies in it.
fn lies_in(id: &str, scope: &str) -> bool {
    let (id, scope) = (id.to_lowercase(), scope.to_lowercase());
    id == scope || id.strip_prefix(&scope).is_some_and(|rest| rest.starts_with('/'))
}

/// Refuses what a lock on the resource, on something that holds it, or (for a deletion) on something in it forbids.
pub(crate) fn not_locked(world: &World, req: &Req) -> Result<(), Refusal> {
    let reads = req.method == Verb::GET || req.method == Verb::HEAD;
    // Assignments on what is locked are protected with it; the lock itself is not.
    let of_lock = req.low.windows(2).any(|w| w == ["microsoft.authorization", "locks"]);
    if reads || of_lock || req.low.len() < 4 {
        return Ok(());
    }
    let deletes = req.method == Verb::DELETE;
    let id = req.id(req.segs.len());
    let in_the_way: Vec<&str> = locks(world)
        .filter(|l| {
            let scope = locked_scope(l);
            let forbids = deletes || l["properties"]["level"] == "ReadOnly";
            forbids && (lies_in(&id, scope) || (deletes && lies_in(scope, &id)))
        })
        .map(locked_scope)
        .collect();
    if in_the_way.is_empty() {
        return Ok(());
    }
    Err(Refusal::conflict(
        "ScopeLocked",
        format!(
            "The scope '{id}' cannot perform {} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
            if deletes { "delete" } else { "write" },
            in_the_way.join("','")
        ),
    ))
}

fn put_lock(world: &mut World, req: &Req, scope: &str, id: &str) -> Answer {
    exists(world, scope)?;
    let p = &req.body["properties"];
    let level = p["level"].as_str().unwrap_or("");
    if !["CanNotDelete", "ReadOnly"].contains(&level) {
        return Err(Refusal::bad(
            "InvalidLockLevel",
            format!("The lock level '{level}' is invalid."),
        ));
    }
    let new = world.cloud.get(id).is_none();
    let body = lock(scope, last(id), level, p["notes"].as_str().unwrap_or(""));
    world.cloud.store(body.clone());
    Ok(Resp::created(body, new))
}
