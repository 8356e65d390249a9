//! Roles, permissions and the directory.

use super::{
    Context, Outcome, objects,
    wire::{Element, Fault, Val, data, reference},
};
use crate::{
    onprem::{LabPermission, LabRole},
    world::World,
};
use std::collections::BTreeSet;

/// Privilege ids, a group per line, as VMware's simulator has recorded them from version 6.5.
const PRIVILEGES: &str = include_str!("privileges.txt");
/// Every role has these.
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

fn number(request: &Element, name: &str) -> Result<i32, Fault> {
    request
        .text(name)
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| Fault::argument(name))
}

impl Context<'_> {
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
            None if name.trim().is_empty() => Err(Fault::argument("name")),
            None => Ok(()),
        }
    }

    pub(super) fn add_role(&mut self, request: &Element) -> Outcome {
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
        let id = number(request, "roleId")?;
        let name = request.text("newName").unwrap_or_default().to_owned();
        let privileges = self.privileges(request)?;
        self.free_name(&name, Some(id))?;
        let role = self
            .w
            .onprem
            .roles
            .iter_mut()
            .find(|r| r.id == id)
            .ok_or_else(not_found)?;
        if role.system {
            return Err(Fault::argument("roleId"));
        }
        (role.label, role.name, role.privileges) = (name.clone(), name, privileges);
        Ok(String::new())
    }

    pub(super) fn remove_role(&mut self, request: &Element) -> Outcome {
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
        let own = self.w.onprem.entities.iter().find(|e| e.moref == entity.1);
        let parent = own.and_then(|e| self.w.onprem.entities.iter().find(|x| Some(x.moref) == e.parent));
        let refused = matches!(
            (entity.0.as_str(), parent.map(|p| p.kind)),
            ("Folder", Some("Datacenter")) | ("ResourcePool", Some("ComputeResource"))
        );
        if refused {
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
            self.w
                .onprem
                .permissions
                .retain(|old| (&old.entity, &old.principal, old.group) != (&p.entity, &p.principal, p.group));
            self.w.onprem.permissions.push(p);
        }
        Ok(String::new())
    }

    pub(super) fn entity_permissions(&mut self, request: &Element) -> Outcome {
        let entity = self.entity(request)?;
        let mut path = vec![entity.1.clone()];
        if request.flag("inherited") {
            let mut at = (entity.0, entity.1);
            while let Some((kind, moref)) = objects::properties(self.w, self.open, None, &at)
                .and_then(|all| all.at("parent").and_then(|p| p.references().into_iter().next()))
            {
                path.push(moref.clone());
                at = (kind, moref);
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
        Ok(self
            .w
            .onprem
            .permissions
            .iter()
            .map(|p| permission(p).element("returnval"))
            .collect())
    }

    pub(super) fn role_permissions(&mut self, request: &Element) -> Outcome {
        let id = number(request, "roleId")?;
        let own = self.w.onprem.permissions.iter().filter(|p| p.role == id);
        Ok(own.map(|p| permission(p).element("returnval")).collect())
    }

    pub(super) fn remove_permission(&mut self, request: &Element) -> Outcome {
        let entity = self.entity(request)?;
        let named = request.text("user").unwrap_or_default();
        let principal = canonical(self.w, named).unwrap_or_else(|| named.to_owned());
        let group = request.flag("isGroup");
        let before = self.w.onprem.permissions.len();
        self.w
            .onprem
            .permissions
            .retain(|p| !(p.entity == entity.1 && p.principal == principal && p.group == group));
        if self.w.onprem.permissions.len() == before {
            Err(not_found())
        } else {
            Ok(String::new())
        }
    }

    /// The lab's only account is an administrator: it has every privilege that exists.
    pub(super) fn has_privileges(&mut self, request: &Element) -> Outcome {
        let all: BTreeSet<String> = known().map(|(_, id)| id).collect();
        let asked = request.texts("privId");
        let one = |entity: &Element| {
            let each = asked.iter().map(|p| {
                data(
                    "PrivilegeAvailability",
                    [
                        ("privId", Val::text(p.as_str())),
                        ("isGranted", Val::flag(all.contains(p))),
                    ],
                )
            });
            data(
                "EntityPrivilege",
                [
                    ("entity", reference(&entity.kind, &entity.text)),
                    ("privAvailability", Val::List("PrivilegeAvailability", each.collect())),
                ],
            )
            .element("returnval")
        };
        Ok(request.all("entity").map(one).collect())
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
