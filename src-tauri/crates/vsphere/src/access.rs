//! Roles, permissions and principals: what an account may do where.

use crate::error::VsphereError;
use crate::inventory::decoded;
use crate::properties::Object;
use crate::session::{VCenter, renewing};
use crate::soap::Call;
use crate::xml::{Node, escape};
use plan::privileges::{Place, RightNeed, expand};
use std::collections::{BTreeMap, BTreeSet};

/// A named set of privileges.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Role {
    pub id: i32,
    pub name: String,
    /// Privilege ids, `VirtualMachine.Interact.PowerOff`; the server adds `System.*` itself.
    pub privileges: Vec<String>,
}

/// Who has which role on an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Permission {
    /// As the server writes it, `CONTOSO\svc-asr`.
    pub principal: String,
    pub role_id: i32,
    /// True when it holds for everything below, too.
    pub propagate: bool,
    pub group: bool,
}

/// A need of the plan, looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Right {
    pub need: RightNeed,
    /// False when the object does not exist, or the account does not see it.
    pub seen: bool,
    /// What the account lacks.
    pub missing: Vec<String>,
    /// What this version of vSphere does not have, so that nobody can need it here.
    pub unknown: Vec<String>,
}

/// Type and id of an object.
type Entity = (String, String);

/// The role that holds every privilege, on every server.
const ADMIN: i32 = -1;

impl VCenter {
    /// Ids of all privileges that this server knows; they differ by version.
    pub async fn privileges(&self) -> Result<Vec<String>, VsphereError> {
        let manager = self.authorization().1;
        let paths = &["privilegeList", "roleList"];
        let object = renewing!(self, self.retrieve_one("AuthorizationManager", manager, paths))?;
        let listed = object.node("privilegeList").map(|n| &*n.children).unwrap_or_default();
        let mut ids: Vec<String> = listed
            .iter()
            .filter_map(|p| p.text_of("privId").map(str::to_owned))
            .collect();
        if ids.is_empty() {
            // VMware's simulator leaves the list empty.
            let roles = roles_of(object.node("roleList"));
            ids = roles
                .into_iter()
                .find(|r| r.id == ADMIN)
                .map(|r| r.privileges)
                .unwrap_or_default();
        }
        Ok(ids)
    }

    /// All roles.
    pub async fn roles(&self) -> Result<Vec<Role>, VsphereError> {
        let manager = self.authorization().1;
        let object = renewing!(self, self.retrieve_one("AuthorizationManager", manager, &["roleList"]))?;
        Ok(roles_of(object.node("roleList")))
    }

    /// Adds a role and returns its id, read back by name.
    ///
    /// # Errors
    /// Fault `AlreadyExists`; `InvalidArgument` for a privilege that the server does not know.
    pub async fn add_role(&self, name: &str, privileges: &[String]) -> Result<i32, VsphereError> {
        let call = Call::new("AddAuthorizationRole", self.authorization()).arg("name", name);
        let response = self.change(&with_privileges(call, privileges)).await?;
        let named = self.roles().await?.into_iter().find(|r| r.name == name).map(|r| r.id);
        named
            .or_else(|| response.text_of("returnval")?.parse().ok())
            .ok_or_else(|| VsphereError::Parse {
                server: self.server().to_owned(),
                method: "AddAuthorizationRole".into(),
                detail: format!("the new role {name} is not in the list of roles"),
            })
    }

    /// Replaces a role's name and privileges.
    pub async fn update_role(&self, id: i32, name: &str, privileges: &[String]) -> Result<(), VsphereError> {
        let call = Call::new("UpdateAuthorizationRole", self.authorization())
            .arg("roleId", id)
            .arg("newName", name);
        self.change(&with_privileges(call, privileges)).await.map(drop)
    }

    /// Removes a role that nobody has. Fault `RemoveFailed` when it is in use.
    pub async fn remove_role(&self, id: i32) -> Result<(), VsphereError> {
        let call = Call::new("RemoveAuthorizationRole", self.authorization())
            .arg("roleId", id)
            .arg("failIfUsed", true);
        self.change(&call).await.map(drop)
    }

    /// Permissions set on this object itself, without inherited ones.
    pub async fn permissions(&self, entity_type: &str, moref: &str) -> Result<Vec<Permission>, VsphereError> {
        let call = || {
            Call::new("RetrieveEntityPermissions", self.authorization())
                .reference("entity", (entity_type, moref))
                .arg("inherited", false)
        };
        let response = renewing!(self, self.send(&call()))?;
        let one = |node: &Node| {
            Some(Permission {
                principal: node.text_of("principal")?.to_owned(),
                role_id: node.text_of("roleId")?.parse().ok()?,
                propagate: node.text_of("propagate") == Some("true"),
                group: node.text_of("group") == Some("true"),
            })
        };
        Ok(response.all("returnval").filter_map(one).collect())
    }

    /// Gives a user the role on the object, with `propagate` on everything below as well. Other principals' permissions stay.
    ///
    /// # Errors
    /// Fault `UserNotFound`; `InvalidArgument` on a datacenter's own folders and a cluster's root pool, where vSphere allows
    /// none; [`VsphereError::NoPermission`] for an account that does not itself hold what is in the role.
    pub async fn grant(
        &self,
        (entity_type, moref): (&str, &str),
        principal: &str,
        role_id: i32,
        propagate: bool,
    ) -> Result<(), VsphereError> {
        let permission = format!(
            "<permission><principal>{}</principal><group>false</group><roleId>{role_id}</roleId>\
             <propagate>{propagate}</propagate></permission>",
            escape(principal)
        );
        let call = Call::new("SetEntityPermissions", self.authorization())
            .reference("entity", (entity_type, moref))
            .xml(&permission);
        self.change(&call).await.map(drop)
    }

    /// Takes a user's permission on the object away; none there is a success.
    pub async fn revoke(&self, entity_type: &str, moref: &str, principal: &str) -> Result<(), VsphereError> {
        let call = Call::new("RemoveEntityPermission", self.authorization())
            .reference("entity", (entity_type, moref))
            .arg("user", principal)
            .arg("isGroup", false);
        match self.change(&call).await {
            Err(e) if e.code() == "NotFound" => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Looks at each need of a plan: which of its privileges the signed-in account lacks on the object.
    ///
    /// A machine that is not there yet has the rights of the datacenter that the plan names. On an object that the account
    /// does not see it has none.
    pub async fn rights(&self, needs: &[RightNeed]) -> Result<Vec<Right>, VsphereError> {
        renewing!(self, self.rights_once(needs))
    }

    async fn rights_once(&self, needs: &[RightNeed]) -> Result<Vec<Right>, VsphereError> {
        let offered = self.privileges().await?;
        let all = self
            .list(&[("Datacenter", &["name"]), ("VirtualMachine", &["name", "parent"])])
            .await?;
        let find = |kind: &str, name: &str| {
            all.iter()
                .find(|o| o.kind == kind && decoded(o.text("name").unwrap_or_default()).eq_ignore_ascii_case(name))
        };
        let datacenter = needs.iter().find_map(|n| match &n.on {
            Place::Datacenter { name } => find("Datacenter", name),
            _ => None,
        });
        let root = &self.content().root_folder;
        let object = |place: &Place| -> Option<Entity> {
            let of = |o: &Object| (o.kind.clone(), o.moref.clone());
            match place {
                Place::Root => Some(("Folder".to_owned(), root.clone())),
                Place::Datacenter { name } => find("Datacenter", name).map(of),
                Place::Vm { name } => find("VirtualMachine", name).or(datacenter).map(of),
                Place::FolderOf { vm } => match find("VirtualMachine", vm) {
                    Some(o) => o.owned("parent").map(|parent| ("Folder".to_owned(), parent)),
                    None => datacenter.map(of),
                },
            }
        };
        let wanted: Vec<(Option<Entity>, Vec<String>, Vec<String>)> = needs
            .iter()
            .map(|need| {
                let (ids, unknown) = expand(&need.privileges, &offered);
                (object(&need.on), ids, unknown)
            })
            .collect();
        let entities: BTreeSet<&Entity> = wanted.iter().filter_map(|(e, ..)| e.as_ref()).collect();
        let ids: BTreeSet<&String> = wanted.iter().flat_map(|(_, ids, _)| ids).collect();
        let granted = self.granted(&entities, &ids).await?;
        Ok(needs
            .iter()
            .zip(&wanted)
            .map(|(need, (entity, ids, unknown))| {
                let held = entity.as_ref().and_then(|e| granted.get(e));
                Right {
                    need: need.clone(),
                    seen: entity.is_some(),
                    missing: ids
                        .iter()
                        .filter(|id| held.is_none_or(|h| !h.contains(*id)))
                        .cloned()
                        .collect(),
                    unknown: unknown.clone(),
                }
            })
            .collect())
    }

    /// Which of these privileges the session holds on each of these objects.
    async fn granted(
        &self,
        entities: &BTreeSet<&Entity>,
        ids: &BTreeSet<&String>,
    ) -> Result<BTreeMap<Entity, BTreeSet<String>>, VsphereError> {
        if !self.about().is_vcenter {
            return self.granted_by_host(entities).await;
        }
        let entities: Vec<&Entity> = entities.iter().copied().collect();
        match self.has_privileges(&entities, ids).await {
            Err(VsphereError::NoPermission { .. }) => {}
            answer => return answer,
        }
        // One that may not even be read refuses the question for all: on it the account holds nothing.
        let mut all = BTreeMap::new();
        for entity in entities {
            match self.has_privileges(&[entity], ids).await {
                Ok(held) => all.extend(held),
                Err(VsphereError::NoPermission { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    async fn has_privileges(
        &self,
        entities: &[&Entity],
        ids: &BTreeSet<&String>,
    ) -> Result<BTreeMap<Entity, BTreeSet<String>>, VsphereError> {
        if entities.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut call = Call::new("HasPrivilegeOnEntities", self.authorization());
        for (kind, moref) in entities {
            call = call.reference("entity", (kind, moref));
        }
        call = call.secret("sessionId", &self.session_key());
        for id in ids {
            call = call.arg("privId", id);
        }
        let response = self.send(&call).await?;
        let one = |answer: &Node| {
            let entity = answer.child("entity")?;
            let held = answer.all("privAvailability");
            let held = held
                .filter(|a| a.text_of("isGranted") == Some("true"))
                .filter_map(|a| a.text_of("privId").map(str::to_owned));
            let entity = (
                entity.reference.clone().unwrap_or_default().into_string(),
                entity.text.to_string(),
            );
            Some((entity, held.collect()))
        };
        Ok(response.all("returnval").filter_map(one).collect())
    }

    /// The same on a stand-alone host, which answers no such question but says which roles the account has on an object.
    async fn granted_by_host(
        &self,
        entities: &BTreeSet<&Entity>,
    ) -> Result<BTreeMap<Entity, BTreeSet<String>>, VsphereError> {
        let roles = self.roles().await?;
        let mut all = BTreeMap::new();
        for entity in entities {
            let object = self.retrieve_one(&entity.0, &entity.1, &["effectiveRole"]).await?;
            let own = object.node("effectiveRole").map(|n| &*n.children).unwrap_or_default();
            let own: Vec<i32> = own.iter().filter_map(|id| id.text.parse().ok()).collect();
            let held = roles.iter().filter(|r| own.contains(&r.id));
            all.insert((*entity).clone(), held.flat_map(|r| r.privileges.clone()).collect());
        }
        Ok(all)
    }

    /// What another account may do on an object, groups and all; none when this server does not tell.
    pub async fn privileges_of(
        &self,
        account: &str,
        entity_type: &str,
        moref: &str,
    ) -> Result<Option<Vec<String>>, VsphereError> {
        let call = || {
            Call::new("FetchUserPrivilegeOnEntities", self.authorization())
                .reference("entities", (entity_type, moref))
                .arg("userName", account)
        };
        match renewing!(self, self.send(&call())) {
            Ok(response) => {
                let result = response.child("returnval");
                let ids = result.map(|r| r.all("privileges").map(|p| p.text.to_string()).collect());
                Ok(Some(ids.unwrap_or_default()))
            }
            // Servers before 6.0, and stand-alone hosts.
            Err(e) if matches!(e.code(), "MethodNotFound" | "NotSupported" | "NotImplemented") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// True when the identity sources know this user or group (`DOMAIN\name`, `name@domain` or `name`).
    pub async fn principal_exists(&self, principal: &str) -> Result<bool, VsphereError> {
        let (domain, name) = match (principal.split_once('\\'), principal.rsplit_once('@')) {
            (Some((domain, name)), _) | (None, Some((name, domain))) => (Some(domain), name),
            (None, None) => (None, principal),
        };
        let call = || {
            let mut call = Call::new("RetrieveUserGroups", ("UserDirectory", &self.content().user_directory));
            if let Some(domain) = domain {
                call = call.arg("domain", domain);
            }
            call.arg("searchStr", name)
                .arg("exactMatch", true)
                .arg("findUsers", true)
                .arg("findGroups", true)
        };
        match renewing!(self, self.send(&call())) {
            Ok(response) => Ok(response.all("returnval").next().is_some()),
            // An unknown domain.
            Err(e) if e.code() == "NotFound" => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn authorization(&self) -> (&str, &str) {
        ("AuthorizationManager", &self.content().authorization_manager)
    }
}

fn with_privileges(call: Call, privileges: &[String]) -> Call {
    privileges.iter().fold(call, |call, p| call.arg("privIds", p))
}

fn roles_of(list: Option<&Node>) -> Vec<Role> {
    let one = |node: &Node| {
        Some(Role {
            id: node.text_of("roleId")?.parse().ok()?,
            name: node.text_of("name")?.to_owned(),
            privileges: node.all("privilege").map(|p| p.text.to_string()).collect(),
        })
    };
    list.map(|l| l.children.iter().filter_map(one).collect())
        .unwrap_or_default()
}
