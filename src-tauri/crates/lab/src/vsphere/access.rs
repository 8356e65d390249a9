//! Roles, permissions and the directory: who may do what where.
//!
//! A permission counts for its object, propagated for everything below; on the way up the first object that has one for the
//! account decides, its own before those of its groups, which are merged. A datacenter's folders, a cluster's root pool and a
//! stand-alone host always have what their parent has. A machine has two parents, its folder and its pool: what either gives
//! it may. (VMware's API reference, `AuthorizationManager`.)

use super::{
    Context, Outcome, objects,
    wire::{Element, Fault, Val, data, reference},
};
use crate::{
    onprem::{LabPermission, LabRole, LabVm},
    world::World,
};
use std::collections::BTreeSet;

/// Privilege ids, a group per line, as VMware's simulator has recorded them from version 6.5.
const PRIVILEGES: &str = include_str!("privileges.txt");
/// Every role that somebody makes has these.
const SYSTEM: [&str; 3] = ["System.Anonymous", "System.Read", "System.View"];
const ADMIN: i32 = -1;
/// The directory's groups; everybody else in it is a user.
const GROUPS: &[&str] = &["Domain Users", "Administrators"];

fn known() -> impl Iterator<Item = (&'static str, String)> {
    PRIVILEGES
        .lines()
        .filter_map(|l| l.split_once(": "))
        .flat_map(|(group, names)| names.split(' ').map(move |name| (group, format!("{group}.{name}"))))
}

pub(super) fn manager(w: &World) -> Vec<(&'static str, Val)> {
    let privileges = known().map(|(group, id)| {
        data(
            "AuthorizationPrivilege",
            [
                ("privId", Val::text(id.as_str())),
                ("onParent", Val::flag(false)),
                ("name", Val::text(id.rsplit('.').next().unwrap_or_default())),
                ("privGroupName", Val::text(group)),
            ],
        )
    });
    let roles = w.onprem.roles.iter().map(|r| {
        let held: Vec<Val> = match r.id {
            ADMIN => known().map(|(_, id)| Val::text(id)).collect(),
            _ => r.privileges.iter().map(Val::text).collect(),
        };
        data(
            "AuthorizationRole",
            [
                ("roleId", Val::int(r.id)),
                ("system", Val::flag(r.system)),
                ("name", Val::text(r.name.as_str())),
                (
                    "info",
                    data(
                        "Description",
                        [
                            ("label", Val::text(r.label.as_str())),
                            ("summary", Val::text(r.label.as_str())),
                        ],
                    ),
                ),
                ("privilege", Val::List("xsd:string", held)),
            ],
        )
    });
    vec![
        (
            "privilegeList",
            Val::List("AuthorizationPrivilege", privileges.collect()),
        ),
        ("roleList", Val::List("AuthorizationRole", roles.collect())),
    ]
}

pub(super) fn domains(w: &World) -> BTreeSet<&str> {
    w.onprem
        .principals
        .iter()
        .filter_map(|p| p.split_once('\\'))
        .map(|(domain, _)| domain)
        .collect()
}

/// The directory's own spelling of `DOMAIN\name`, `name@domain` or `name`.
fn canonical(w: &World, principal: &str) -> Option<String> {
    let (domain, name) = match (principal.split_once('\\'), principal.rsplit_once('@')) {
        (Some((domain, name)), _) | (None, Some((name, domain))) => (Some(domain), name),
        (None, None) => (None, principal),
    };
    w.onprem
        .principals
        .iter()
        .find(|p| {
            p.split_once('\\')
                .is_some_and(|(d, n)| n.eq_ignore_ascii_case(name) && domain.is_none_or(|asked| same_domain(d, asked)))
        })
        .cloned()
}

/// `CONTOSO` is also called `contoso.com`.
fn same_domain(own: &str, asked: &str) -> bool {
    own.eq_ignore_ascii_case(asked)
        || !own.contains('.')
            && asked
                .split('.')
                .next()
                .is_some_and(|first| own.eq_ignore_ascii_case(first))
}

fn is_group(principal: &str) -> bool {
    principal.rsplit('\\').next().is_some_and(|name| GROUPS.contains(&name))
}

/// The groups that an account is in: a domain's users, and nothing else in this directory.
fn groups<'a>(w: &'a World, account: &'a str) -> impl Iterator<Item = &'a String> {
    let domain = |name: &'a str| name.split_once('\\').map(|(domain, _)| domain);
    let own = domain(account);
    w.onprem
        .principals
        .iter()
        .filter(move |p| is_group(p) && domain(p) == own)
}

type Object = (String, String);

/// What an object inherits from; more than one for a machine.
fn parents(w: &World, object: &Object) -> Vec<Object> {
    let of_kind = |kind: &str| w.onprem.entities.iter().find(|e| e.kind == kind);
    match object.0.as_str() {
        "VirtualMachine" => {
            let folder = w.onprem.vm(&object.1).map(|v| ("Folder".to_owned(), v.folder.clone()));
            let pool = of_kind("ResourcePool").map(|e| (e.kind.to_owned(), e.moref.clone()));
            folder.into_iter().chain(pool).collect()
        }
        _ => {
            let parent = w.onprem.entity(&object.1).and_then(|e| e.parent.as_deref());
            let parent = parent.and_then(|p| w.onprem.entity(p));
            parent
                .map(|e| (e.kind.to_owned(), e.moref.clone()))
                .into_iter()
                .collect()
        }
    }
}

/// True for a datacenter's own folders, a root pool and a stand-alone host.
fn has_its_parents_permissions(w: &World, object: &Object) -> bool {
    let parent = parents(w, object).into_iter().next().map(|p| p.0).unwrap_or_default();
    matches!(
        (object.0.as_str(), parent.as_str()),
        ("Folder", "Datacenter")
            | ("ResourcePool", "ComputeResource" | "ClusterComputeResource")
            | ("HostSystem", "ComputeResource")
    )
}

fn of_role(w: &World, id: i32) -> BTreeSet<String> {
    match id {
        ADMIN => known().map(|(_, id)| id).collect(),
        _ => w
            .onprem
            .roles
            .iter()
            .find(|r| r.id == id)
            .map(|r| r.privileges.clone())
            .unwrap_or_default(),
    }
}

/// The roles of an account on an object. `below`: only what is propagated counts.
fn roles_on(w: &World, account: &str, object: &Object, below: bool) -> Vec<i32> {
    let set = |principal: &str, group: bool| {
        let permissions = w.onprem.permissions.iter();
        permissions
            .filter(|p| p.entity == object.1 && p.group == group && p.principal == principal && (p.propagate || !below))
            .map(|p| p.role)
            .collect::<Vec<i32>>()
    };
    let mut roles = set(account, false);
    if roles.is_empty() {
        roles = groups(w, account).flat_map(|g| set(g, true)).collect();
    }
    if roles.is_empty() {
        let below = below || !has_its_parents_permissions(w, object);
        roles = parents(w, object)
            .iter()
            .flat_map(|p| roles_on(w, account, p, below))
            .collect();
    }
    roles
}

/// The privileges of an account on an object.
fn held(w: &World, account: &str, object: &Object) -> BTreeSet<String> {
    let roles = roles_on(w, account, &entity_of(w, object), false);
    roles.into_iter().flat_map(|id| of_role(w, id)).collect()
}

/// Whether an object has permissions, its own or those of its machine.
fn is_entity(w: &World, object: &Object) -> bool {
    matches!(object.0.as_str(), "VirtualMachine" | "VirtualMachineSnapshot") || w.onprem.entity(&object.1).is_some()
}

/// The object on which rights for this one are asked: services and tasks belong to the root folder.
fn entity_of(w: &World, object: &Object) -> Object {
    let root = || w.onprem.entities.iter().find(|e| e.parent.is_none());
    match object.0.as_str() {
        "VirtualMachine" => object.clone(),
        "VirtualMachineSnapshot" => w
            .onprem
            .snapshot(&object.1)
            .map(|(v, _): (&LabVm, _)| ("VirtualMachine".to_owned(), v.moref.clone()))
            .unwrap_or_default(),
        _ if w.onprem.entity(&object.1).is_some() => object.clone(),
        _ => root().map(|e| (e.kind.to_owned(), e.moref.clone())).unwrap_or_default(),
    }
}

fn last_administrator() -> Fault {
    let words = "The operation would leave the system with no Administrator permission on the root node.";
    Fault::new("AuthMinimumAdminPermission", words)
}

fn permission(p: &LabPermission) -> Val {
    data(
        "Permission",
        [
            ("entity", reference(&p.entity_kind, &p.entity)),
            ("principal", Val::text(p.principal.as_str())),
            ("group", Val::flag(p.group)),
            ("roleId", Val::int(p.role)),
            ("propagate", Val::flag(p.propagate)),
        ],
    )
}

/// The role that a permission would replace.
fn role_of(w: &World, p: &LabPermission) -> Option<i32> {
    let same = |old: &&LabPermission| (&old.entity, &old.principal, old.group) == (&p.entity, &p.principal, p.group);
    w.onprem.permissions.iter().find(same).map(|p| p.role)
}

fn number(request: &Element, name: &str) -> Result<i32, Fault> {
    request
        .text(name)
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| Fault::argument(name))
}

impl Context<'_> {
    /// Whether the caller holds the privilege on the object.
    pub(super) fn may(&self, privilege: &str, object: &Object) -> bool {
        // Services have no permissions: whoever is signed in reads them.
        if privilege.starts_with("System.") && !is_entity(self.w, object) {
            return true;
        }
        let grants = |role: i32| match role {
            ADMIN => true,
            _ => self
                .w
                .onprem
                .roles
                .iter()
                .any(|r| r.id == role && r.privileges.contains(privilege)),
        };
        // Whoever has one permission, on everything, needs no walk through the tree: an inventory can be long.
        let mut own = self
            .w
            .onprem
            .permissions
            .iter()
            .filter(|p| p.group || p.principal == self.user);
        if let (Some(p), None) = (own.next(), own.next())
            && p.propagate
            && !p.group
            && self.w.onprem.entity(&p.entity).is_some_and(|e| e.parent.is_none())
        {
            return grants(p.role);
        }
        roles_on(self.w, &self.user, &entity_of(self.w, object), false)
            .into_iter()
            .any(grants)
    }

    /// Refuses a caller without the privilege.
    pub(super) fn need(&self, privilege: &str, object: &Object) -> Result<(), Fault> {
        match self.may(privilege, object) {
            true => Ok(()),
            false => Err(self.no_permission(object, privilege)),
        }
    }

    pub(super) fn no_permission(&self, object: &Object, privilege: &str) -> Fault {
        let object = entity_of(self.w, object);
        Fault::new("NoPermission", "Permission to perform this operation was denied.")
            .with("object", reference(&object.0, &object.1))
            .with("privilegeId", Val::text(privilege))
    }

    fn need_on_root(&self, privilege: &str) -> Result<(), Fault> {
        self.need(privilege, &("ServiceInstance".into(), "ServiceInstance".into()))
    }

    /// Nobody gives or takes what they don't have themselves.
    fn need_role(&self, id: i32, entity: &Object) -> Result<(), Fault> {
        let own = held(self.w, &self.user, entity);
        let lacking = of_role(self.w, id).into_iter().find(|p| !own.contains(p));
        lacking.map_or(Ok(()), |p| Err(self.no_permission(entity, &p)))
    }

    /// The account with this name and password.
    pub(super) fn account(&self, user: &str, password: &str) -> Option<String> {
        let account = canonical(self.w, user)?;
        let own = match user.eq_ignore_ascii_case(&self.w.onprem.user) {
            true => Some(&self.w.onprem.password),
            false => self.w.onprem.accounts.get(&account),
        };
        (own.map(String::as_str) == Some(password)).then_some(account)
    }

    /// A session is given only to who has a right anywhere.
    pub(super) fn has_any_right(&self, account: &str) -> Result<(), Fault> {
        let all = &self.w.onprem.permissions;
        let own = |p: &&LabPermission| match p.group {
            true => groups(self.w, account).any(|g| *g == p.principal),
            false => p.principal == account,
        };
        match all
            .iter()
            .filter(own)
            .any(|p| of_role(self.w, p.role).contains("System.View"))
        {
            true => Ok(()),
            false => Err(self.no_permission(&Object::default(), "System.View")),
        }
    }

    fn privileges(&self, request: &Element) -> Result<BTreeSet<String>, Fault> {
        let all: BTreeSet<String> = known().map(|(_, id)| id).collect();
        let asked = request.texts("privIds");
        if asked.iter().any(|p| !all.contains(p)) {
            return Err(Fault::argument("privIds"));
        }
        Ok(asked.into_iter().chain(SYSTEM.map(str::to_owned)).collect())
    }

    fn free_name(&self, name: &str, own: Option<i32>) -> Result<(), Fault> {
        match self.w.onprem.roles.iter().find(|r| r.name == name && Some(r.id) != own) {
            Some(_) => Err(Fault::new(
                "AlreadyExists",
                "The specified key, name, or identifier already exists.",
            )
            .with("name", Val::text(name))),
            None if name.trim().is_empty() => {
                Err(Fault::new("InvalidName", "The name '' is invalid.").with("name", Val::text(name)))
            }
            None => Ok(()),
        }
    }

    pub(super) fn add_role(&mut self, request: &Element) -> Outcome {
        self.need_on_root("Authorization.ModifyRoles")?;
        let name = request.text("name").unwrap_or_default().to_owned();
        self.free_name(&name, None)?;
        let privileges = self.privileges(request)?;
        let id = self.w.onprem.roles.iter().map(|r| r.id).max().unwrap_or(0).max(1000) + 1;
        self.w.onprem.roles.push(LabRole {
            id,
            label: name.clone(),
            name,
            privileges,
            system: false,
        });
        Ok(Val::int(id).element("returnval"))
    }

    pub(super) fn update_role(&mut self, request: &Element) -> Outcome {
        self.need_on_root("Authorization.ModifyRoles")?;
        let id = number(request, "roleId")?;
        let name = request.text("newName").unwrap_or_default().to_owned();
        let privileges = self.privileges(request)?;
        self.free_name(&name, Some(id))?;
        let role = self.w.onprem.roles.iter().find(|r| r.id == id).ok_or_else(not_found)?;
        if role.system {
            return Err(Fault::argument("roleId"));
        }
        let changed: Vec<String> = privileges.symmetric_difference(&role.privileges).cloned().collect();
        for privilege in changed {
            self.need_on_root(&privilege)?;
        }
        if let Some(role) = self.w.onprem.roles.iter_mut().find(|r| r.id == id) {
            (role.label, role.name, role.privileges) = (name.clone(), name, privileges);
        }
        Ok(String::new())
    }

    pub(super) fn remove_role(&mut self, request: &Element) -> Outcome {
        self.need_on_root("Authorization.ModifyRoles")?;
        let id = number(request, "roleId")?;
        let role = self.w.onprem.roles.iter().find(|r| r.id == id).ok_or_else(not_found)?;
        if role.system {
            return Err(Fault::argument("roleId"));
        }
        if request.flag("failIfUsed") && self.w.onprem.permissions.iter().any(|p| p.role == id) {
            return Err(Fault::new("RemoveFailed", "The role is in use."));
        }
        self.w.onprem.permissions.retain(|p| p.role != id);
        self.w.onprem.roles.retain(|r| r.id != id);
        Ok(String::new())
    }

    fn entity(&self, request: &Element) -> Result<(String, String), Fault> {
        let entity = request.object("entity").ok_or_else(|| Fault::argument("entity"))?;
        if self.exists(&entity) {
            Ok(entity)
        } else {
            Err(Fault::not_found(&entity))
        }
    }

    /// Adds or replaces one permission per principal; those of other principals stay.
    pub(super) fn set_permissions(&mut self, request: &Element) -> Outcome {
        let entity = self.entity(request)?;
        self.need("Authorization.ModifyPermissions", &entity)?;
        if has_its_parents_permissions(self.w, &entity) {
            return Err(Fault::argument("entity"));
        }
        let mut new = Vec::new();
        for asked in request.all("permission") {
            let named = asked.text("principal").unwrap_or_default();
            let group = asked.flag("group");
            let principal = canonical(self.w, named)
                .filter(|p| is_group(p) == group)
                .ok_or_else(|| {
                    Fault::new(
                        "UserNotFound",
                        &format!("The user or group named '{named}' does not exist."),
                    )
                    .with("principal", Val::text(named))
                    .with("unresolved", Val::flag(false))
                })?;
            let role = number(asked, "roleId")?;
            if !self.w.onprem.roles.iter().any(|r| r.id == role) {
                return Err(not_found());
            }
            // View and Anonymous can't be given.
            if matches!(role, -3 | -4) {
                return Err(Fault::argument("permission.roleId"));
            }
            self.need_role(role, &entity)?;
            let propagate = asked.flag("propagate");
            new.push(LabPermission {
                entity: entity.1.clone(),
                entity_kind: entity.0.clone(),
                principal,
                group,
                role,
                propagate,
            });
        }
        for p in new {
            if role_of(self.w, &p) == Some(ADMIN)
                && self.is_last_administrator(&p.entity, &p.principal)
                && p.role != ADMIN
            {
                return Err(last_administrator());
            }
            self.w
                .onprem
                .permissions
                .retain(|old| (&old.entity, &old.principal, old.group) != (&p.entity, &p.principal, p.group));
            self.w.onprem.permissions.push(p);
        }
        Ok(String::new())
    }

    /// Whether nobody else is an administrator of everything.
    fn is_last_administrator(&self, entity: &str, principal: &str) -> bool {
        let root = |moref: &str| self.w.onprem.entity(moref).is_some_and(|e| e.parent.is_none());
        let all = self.w.onprem.permissions.iter();
        root(entity)
            && !all
                .clone()
                .any(|p| root(&p.entity) && p.role == ADMIN && p.principal != principal)
    }

    pub(super) fn entity_permissions(&mut self, request: &Element) -> Outcome {
        let entity = self.entity(request)?;
        self.need("System.Read", &entity)?;
        let mut path = vec![entity.1.clone()];
        if request.flag("inherited") {
            let mut at = parents(self.w, &entity);
            while let Some(up) = at.into_iter().next() {
                path.push(up.1.clone());
                at = parents(self.w, &up);
            }
        }
        let own = |p: &&LabPermission| path.first() == Some(&p.entity) || p.propagate && path.contains(&p.entity);
        Ok(self
            .w
            .onprem
            .permissions
            .iter()
            .filter(own)
            .map(|p| permission(p).element("returnval"))
            .collect())
    }

    pub(super) fn all_permissions(&mut self) -> Outcome {
        let seen = |p: &&LabPermission| self.may("System.View", &(p.entity_kind.clone(), p.entity.clone()));
        Ok(self
            .w
            .onprem
            .permissions
            .iter()
            .filter(seen)
            .map(|p| permission(p).element("returnval"))
            .collect())
    }

    pub(super) fn role_permissions(&mut self, request: &Element) -> Outcome {
        let id = number(request, "roleId")?;
        if !self.w.onprem.roles.iter().any(|r| r.id == id) {
            return Err(not_found());
        }
        let seen = |p: &&LabPermission| self.may("System.View", &(p.entity_kind.clone(), p.entity.clone()));
        let own = self.w.onprem.permissions.iter().filter(|p| p.role == id).filter(seen);
        Ok(own.map(|p| permission(p).element("returnval")).collect())
    }

    pub(super) fn remove_permission(&mut self, request: &Element) -> Outcome {
        let entity = self.entity(request)?;
        self.need("Authorization.ModifyPermissions", &entity)?;
        if has_its_parents_permissions(self.w, &entity) {
            return Err(Fault::argument("entity"));
        }
        let named = request.text("user").unwrap_or_default();
        let principal = canonical(self.w, named).unwrap_or_else(|| named.to_owned());
        let group = request.flag("isGroup");
        let same = |p: &LabPermission| p.entity == entity.1 && p.principal == principal && p.group == group;
        let role = self.w.onprem.permissions.iter().find(|p| same(p)).map(|p| p.role);
        let role = role.ok_or_else(not_found)?;
        self.need_role(role, &entity)?;
        if role == ADMIN && self.is_last_administrator(&entity.1, &principal) {
            return Err(last_administrator());
        }
        self.w.onprem.permissions.retain(|p| !same(p));
        Ok(String::new())
    }

    /// Of the caller's or another session.
    pub(super) fn has_privileges(&mut self, request: &Element) -> Outcome {
        let session = request.text("sessionId").unwrap_or_default();
        let sessions = self.w.onprem.sessions.iter();
        let account = sessions
            .filter(|(key, _)| objects::shown_key(self.w, key) == session)
            .map(|(_, s)| s.user.clone())
            .next();
        let entities = self.seen_entities(request, "entity", "System.Read")?;
        self.answers(request, account.as_deref(), &entities)
    }

    /// Of an account by its name.
    pub(super) fn user_has_privileges(&mut self, request: &Element) -> Outcome {
        let account = canonical(self.w, request.text("userName").unwrap_or_default());
        let entities = self.seen_entities(request, "entities", "System.View")?;
        self.answers(request, account.as_deref(), &entities)
    }

    fn seen_entities(&self, request: &Element, name: &str, privilege: &str) -> Result<Vec<Object>, Fault> {
        let seen = |e: &Element| {
            let entity = (e.kind.clone(), e.text.clone());
            if !self.exists(&entity) {
                return Err(Fault::not_found(&entity));
            }
            self.need(privilege, &entity).map(|()| entity)
        };
        request.all(name).map(seen).collect()
    }

    fn answers(&self, request: &Element, account: Option<&str>, entities: &[Object]) -> Outcome {
        let asked = request.texts("privId");
        let one = |entity: &Object| {
            let own = account.map(|a| held(self.w, a, entity)).unwrap_or_default();
            let each = asked.iter().map(|p| {
                data(
                    "PrivilegeAvailability",
                    [
                        ("privId", Val::text(p.as_str())),
                        ("isGranted", Val::flag(own.contains(p))),
                    ],
                )
            });
            data(
                "EntityPrivilege",
                [
                    ("entity", reference(&entity.0, &entity.1)),
                    ("privAvailability", Val::List("PrivilegeAvailability", each.collect())),
                ],
            )
            .element("returnval")
        };
        Ok(entities.iter().map(one).collect())
    }

    pub(super) fn fetch_privileges(&mut self, request: &Element) -> Outcome {
        let account = canonical(self.w, request.text("userName").unwrap_or_default()).unwrap_or_default();
        let mut all = String::new();
        for entity in &self.seen_entities(request, "entities", "System.View")? {
            let own = held(self.w, &account, entity);
            let result = data(
                "UserPrivilegeResult",
                [
                    ("entity", reference(&entity.0, &entity.1)),
                    (
                        "privileges",
                        Val::List("xsd:string", own.into_iter().map(Val::text).collect()),
                    ),
                ],
            );
            all.push_str(&result.element("returnval"));
        }
        Ok(all)
    }

    pub(super) fn user_groups(&mut self, request: &Element) -> Outcome {
        let domain = request.text("domain").filter(|d| !d.is_empty());
        if domain.is_some_and(|d| !domains(self.w).iter().any(|own| same_domain(own, d))) {
            return Err(not_found());
        }
        let wanted = request.text("searchStr").unwrap_or_default().to_lowercase();
        let exact = request.flag("exactMatch");
        let (users, groups) = (request.flag("findUsers"), request.flag("findGroups"));
        let fits = |p: &&String| {
            let (own, name) = p.split_once('\\').unwrap_or(("", p.as_str()));
            let name = name.to_lowercase();
            domain.is_none_or(|d| same_domain(own, d))
                && (if exact { name == wanted } else { name.contains(&wanted) })
                && (if is_group(p) { groups } else { users })
        };
        let found = self.w.onprem.principals.iter().filter(fits).map(|p| {
            let name = p.rsplit('\\').next().unwrap_or_default();
            data(
                "UserSearchResult",
                [
                    ("principal", Val::text(name)),
                    ("fullName", Val::text(name)),
                    ("group", Val::flag(is_group(p))),
                ],
            )
            .element("returnval")
        });
        Ok(found.collect())
    }
}

fn not_found() -> Fault {
    Fault::new("NotFound", "The object or item referred to could not be found.")
}
