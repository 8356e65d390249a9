//! Roles, permissions and principals: what an account may do where.

use crate::error::VsphereError;
use crate::session::{VCenter, renewing};
use crate::soap::Call;
use crate::xml::{Node, escape};

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

    /// Gives a user the role on the object and everything below. Other principals' permissions stay.
    ///
    /// # Errors
    /// Fault `UserNotFound`; `InvalidArgument` on a datacenter's own folders, where vSphere allows none.
    pub async fn grant(
        &self,
        entity_type: &str,
        moref: &str,
        principal: &str,
        role_id: i32,
    ) -> Result<(), VsphereError> {
        let permission = format!(
            "<permission><principal>{}</principal><group>false</group><roleId>{role_id}</roleId>\
             <propagate>true</propagate></permission>",
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

    /// Those of `privileges` that the signed-in account does not have on the object.
    pub async fn missing_privileges(
        &self,
        entity_type: &str,
        moref: &str,
        privileges: &[String],
    ) -> Result<Vec<String>, VsphereError> {
        let call = || {
            let call = Call::new("HasPrivilegeOnEntities", self.authorization())
                .reference("entity", (entity_type, moref))
                .secret("sessionId", &self.session_key());
            with_privileges(call, privileges)
        };
        let response = renewing!(self, self.send(&call()))?;
        let answers = response.all("returnval").flat_map(|e| e.all("privAvailability"));
        let granted: Vec<&str> = answers
            .filter(|a| a.text_of("isGranted") == Some("true"))
            .filter_map(|a| a.text_of("privId"))
            .collect();
        Ok(privileges
            .iter()
            .filter(|p| !granted.contains(&p.as_str()))
            .cloned()
            .collect())
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
    let name = if call.method == "HasPrivilegeOnEntities" {
        "privId"
    } else {
        "privIds"
    };
    privileges.iter().fold(call, |call, p| call.arg(name, p))
}

fn roles_of(list: Option<&Node>) -> Vec<Role> {
    let one = |node: &Node| {
        Some(Role {
            id: node.text_of("roleId")?.parse().ok()?,
            name: node.text_of("name")?.to_owned(),
            privileges: node.all("privilege").map(|p| p.text.clone()).collect(),
        })
    };
    list.map(|l| l.children.iter().filter_map(one).collect())
        .unwrap_or_default()
}
