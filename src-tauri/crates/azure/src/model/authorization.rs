//! Rights, roles and locks.

use super::{Resource, When, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;

pub type RoleAssignment = Resource<RoleAssignmentProperties>;
pub type RoleDefinition = Resource<RoleDefinitionProperties>;
pub type Lock = Resource<LockProperties>;

model! {
    /// What one of the caller's roles allows.
    pub struct Permission {
        pub actions: Vec<String>,
        pub not_actions: Vec<String>,
        pub data_actions: Vec<String>,
        pub not_data_actions: Vec<String>,
    }

    pub struct RoleAssignmentProperties {
        pub role_definition_id: Option<ResourceId>,
        pub principal_id: Option<String>,
        pub principal_type: Option<String>,
        pub scope: Option<String>,
        pub description: Option<String>,
        pub condition: Option<String>,
        pub created_on: When,
    }

    pub struct RoleDefinitionProperties {
        pub role_name: Option<String>,
        pub description: Option<String>,
        #[serde(rename = "type")]
        pub kind: Option<String>,
        pub permissions: Vec<Permission>,
        pub assignable_scopes: Vec<String>,
    }

    pub struct LockProperties {
        pub level: Option<LockLevel>,
        pub notes: Option<String>,
    }
}

words! {
    pub enum LockLevel {
        NotSpecified,
        CanNotDelete,
        ReadOnly,
    }
}

fn below(scope: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{scope}/providers/Microsoft.Authorization/{what}"))
}

/// Reads what the caller may do at a scope; judged by [`crate::rights::allows`].
///
/// # Errors
/// Fails as all requests do.
pub async fn permissions(arm: &Arm, scope: &ResourceId) -> Result<Vec<Permission>, AzureError> {
    arm.read_all(&below(scope, "permissions")).await
}

/// Reads the role assignments at a scope and above that concern a principal.
///
/// # Errors
/// Fails as all requests do.
pub async fn role_assignments(
    arm: &Arm,
    scope: &ResourceId,
    principal: &str,
) -> Result<Vec<RoleAssignment>, AzureError> {
    let what = format!("roleAssignments?$filter=principalId eq '{principal}'");
    arm.read_all(&below(scope, &what)).await
}

/// Reads the locks that act at a scope: its own, and those above it.
///
/// # Errors
/// Fails as all requests do.
pub async fn locks(arm: &Arm, scope: &ResourceId) -> Result<Vec<Lock>, AzureError> {
    arm.read_all(&below(scope, "locks")).await
}
