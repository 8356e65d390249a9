//! Giving an account a role: looked at, changed, read again. The plan's tasks and the window go this one way.
//!
//! Decisions: a role is only ever completed, since somebody may have added to it on purpose; whether a permission that is there
//! may be replaced is for the caller to say, who knows who gave it.

use crate::access::{Permission, Role};
use crate::error::VsphereError;
use crate::session::VCenter;
use plan::privileges::expand;

/// A role as it is, beside what it should hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RoleLook {
    /// None: there is none of this name.
    pub role: Option<Role>,
    /// Ids, as this version of vSphere has them.
    pub wanted: Vec<String>,
    /// What of it this version does not have.
    pub unknown: Vec<String>,
    /// What of it the role lacks; all of it without a role.
    pub lacking: Vec<String>,
}

/// What an account has on an object itself, beside the role that it should have there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Granted {
    /// Nothing.
    Nothing,
    /// The role.
    Role,
    /// Another role that holds everything that is in this one.
    Covered { role: String },
    /// The role, but not for what is below.
    NotPropagated,
    /// Another role that does not hold everything, or not for what is below; none: one that is not listed.
    Other { role: Option<String> },
}

impl VCenter {
    /// Compares a role with what it should hold (ids, some as `X.*`).
    pub async fn look_at_role(&self, name: &str, privileges: &[String]) -> Result<RoleLook, VsphereError> {
        let (wanted, unknown) = expand(privileges, &self.privileges().await?);
        let role = self.roles().await?.into_iter().find(|r| r.name == name);
        let held = role.as_ref().map(|r| &*r.privileges).unwrap_or_default();
        let lacking = wanted.iter().filter(|p| !held.contains(p)).cloned().collect();
        Ok(RoleLook {
            role,
            wanted,
            unknown,
            lacking,
        })
    }

    /// Makes the role, or adds what it lacks. True when it was made.
    ///
    /// # Errors
    /// [`VsphereError::NoPermission`] without `Authorization.ModifyRoles`, or for a privilege that the account does not hold
    /// itself; fault `AlreadyExists` when somebody makes one of this name meanwhile.
    pub async fn ensure_role(&self, name: &str, privileges: &[String]) -> Result<bool, VsphereError> {
        let look = self.look_at_role(name, privileges).await?;
        match look.role {
            None => self.add_role(name, &look.wanted).await.map(|_| true),
            Some(_) if look.lacking.is_empty() => Ok(false),
            Some(role) => {
                let mut all = role.privileges;
                all.extend(look.lacking);
                all.sort();
                self.update_role(role.id, name, &all).await.map(|()| false)
            }
        }
    }

    /// Looks at what a principal has on an object itself. `wanted` is what the role should hold, none: what it holds. `far` asks
    /// for propagation, too.
    pub async fn look_at_grant(
        &self,
        (kind, moref): (&str, &str),
        principal: &str,
        (role, wanted): (&str, Option<&[String]>),
        far: bool,
    ) -> Result<Granted, VsphereError> {
        let roles = self.roles().await?;
        let all = self.permissions(kind, moref).await?;
        let Some(found) = all.into_iter().find(|p| p.principal.eq_ignore_ascii_case(principal)) else {
            return Ok(Granted::Nothing);
        };
        let there = roles.iter().find(|r| r.name == role);
        Ok(match wanted.or(there.map(|r| &*r.privileges)) {
            Some(wanted) => granted(&found, (there.map(|r| r.id), wanted), &roles, far),
            None => Granted::Nothing,
        })
    }

    /// Asks vCenter what of a role's privileges the principal may not do there now, its groups and all, and how many there
    /// are. None when this server does not tell, or has no such role.
    pub async fn lacking_of(
        &self,
        (kind, moref): (&str, &str),
        principal: &str,
        role: &str,
    ) -> Result<Option<(usize, Vec<String>)>, VsphereError> {
        let Some(role) = self.roles().await?.into_iter().find(|r| r.name == role) else {
            return Ok(None);
        };
        let held = self.privileges_of(principal, kind, moref).await?;
        Ok(held.map(|held| {
            let count = role.privileges.len();
            (
                count,
                role.privileges.into_iter().filter(|p| !held.contains(p)).collect(),
            )
        }))
    }
}

fn granted(permission: &Permission, (id, wanted): (Option<i32>, &[String]), roles: &[Role], far: bool) -> Granted {
    let far_enough = permission.propagate || !far;
    let has = roles.iter().find(|r| r.id == permission.role_id);
    let holds = |r: &Role| wanted.iter().all(|p| r.privileges.contains(p));
    match has {
        Some(r) if Some(r.id) == id && far_enough => Granted::Role,
        Some(r) if Some(r.id) == id => Granted::NotPropagated,
        Some(r) if far_enough && holds(r) => Granted::Covered { role: r.name.clone() },
        has => Granted::Other {
            role: has.map(|r| r.name.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_told_apart() {
        let role = |id: i32, name: &str, privileges: &[&str]| Role {
            id,
            name: name.into(),
            privileges: privileges.iter().map(|p| (*p).to_owned()).collect(),
        };
        let ours = role(7, "Ours", &["A.B", "A.C"]);
        let roles = [
            ours.clone(),
            role(-1, "Admin", &["A.B", "A.C", "A.D"]),
            role(8, "Less", &["A.B"]),
        ];
        let has = |role_id: i32, propagate: bool, far: bool| {
            let permission = Permission {
                principal: "P".into(),
                role_id,
                propagate,
                group: false,
            };
            granted(&permission, (Some(ours.id), &ours.privileges), &roles, far)
        };
        assert_eq!(has(7, true, true), Granted::Role);
        assert_eq!(has(7, false, false), Granted::Role);
        assert_eq!(has(7, false, true), Granted::NotPropagated);
        assert_eq!(has(-1, true, true), Granted::Covered { role: "Admin".into() });
        let other = |role: Option<&str>| Granted::Other {
            role: role.map(str::to_owned),
        };
        assert_eq!(has(-1, false, true), other(Some("Admin")));
        assert_eq!(has(8, true, true), other(Some("Less")));
        assert_eq!(has(99, true, true), other(None));
        // Before the role is made, whoever has Admin needs nothing more.
        let admin = Permission {
            principal: "P".into(),
            role_id: -1,
            propagate: true,
            group: false,
        };
        assert_eq!(
            granted(&admin, (None, &ours.privileges), &roles, true),
            Granted::Covered { role: "Admin".into() }
        );
    }
}
