//! Roles and rights in vCenter: what Rehost's own account may do for the plan, what the appliance's account needs, and scripts
//! for an administrator who gives both by hand.

use crate::{
    App, Open,
    inventory::session,
    wire::{OwnRights, RightsView, RoleView, UiError},
};
use plan::{
    Action, Address, Plan, Privileges, RightNeed, graph,
    privileges::{self, expand},
    scripts,
};
use std::sync::Arc;

/// Looks at both accounts in vCenter.
///
/// # Errors
/// Fails when no plan can be made of the design, or vCenter refuses.
pub async fn vcenter_rights(app: &Arc<App>, project: String) -> Result<RightsView, UiError> {
    let open = app.opened(&project)?;
    let plan = design_plan(&open)?;
    let design = open.project().design;
    let user = open.project().connections.vcenter.user;
    let needs = needs(&plan);
    let method = Privileges::of(design.replication);
    let vcenter = session(app, &open).await?;
    let rights = vcenter.rights(needs).await?;
    let offered = vcenter.privileges().await?;
    let there = vcenter.roles().await?;
    let principal_known = vcenter.principal_exists(&design.vcenter_principal).await?;
    let roles = plan.tasks().filter_map(|t| match &t.action {
        Action::EnsureRole { role, privileges } => {
            let (ids, unknown) = expand(privileges, &offered);
            let found = there.iter().find(|r| &r.name == role);
            let lacks = |id: &&String| found.is_some_and(|r| !r.privileges.contains(id));
            Some(RoleView {
                place: place(&plan, role),
                exists: found.is_some(),
                missing: ids.iter().filter(lacks).cloned().collect(),
                name: role.clone(),
                privileges: ids,
                unknown,
            })
        }
        _ => None,
    });
    Ok(RightsView {
        lacking: vsphere::lacking(&rights).map(|a| a.hint),
        own: rights
            .into_iter()
            .map(|r| OwnRights {
                step: r.need.task.step(),
                task: r.need.task,
                title: r.need.title,
                on: r.need.on.to_string(),
                seen: r.seen,
                missing: r.missing,
                privileges: r.need.privileges,
            })
            .collect(),
        own_script: scripts::own_role(&user, needs),
        user: user.clone(),
        method: method.name.into(),
        source: method.source.into(),
        principal_known,
        principal: design.vcenter_principal.clone(),
        roles: roles.collect(),
        roles_script: scripts::roles(&plan),
        password_rule: privileges::PASSWORD_RULE.into(),
    })
}

/// Where the plan grants a role, in words.
fn place(plan: &Plan, wanted: &str) -> String {
    let granted = plan.tasks().find_map(|t| match &t.action {
        Action::GrantRole { role, datacenter, .. } if role == wanted => Some(datacenter.clone()),
        _ => None,
    });
    match granted.flatten() {
        Some(datacenter) => format!("datacenter {datacenter}, propagated"),
        None => "the vCenter itself, not propagated".into(),
    }
}

/// What Rehost's own account needs in vCenter for the plan of the design as it is; nothing when none can be made.
pub(crate) fn own_needs(open: &Open) -> Vec<RightNeed> {
    design_plan(open).map(|p| needs(&p).to_vec()).unwrap_or_default()
}

fn needs(plan: &Plan) -> &[RightNeed] {
    match plan
        .task(&Address::new(1, "check-rights", "vcenter"))
        .map(|t| &t.action)
    {
        Some(Action::CheckVCenterRights { needs }) => needs,
        _ => &[],
    }
}

/// The plan of the design, also before there is a subscription: in vCenter it makes no difference.
fn design_plan(open: &Open) -> Result<Plan, UiError> {
    let project = open.project();
    let inventory = open.inventory()?.unwrap_or_default();
    let subscription = match project.connections.azure.subscription_id.as_str() {
        "" => uuid::Uuid::nil().to_string(),
        id => id.to_owned(),
    };
    Ok(graph::plan(&project.design, &subscription, &inventory)?)
}

/// Whether two names, `CONTOSO\\svc` and `svc@contoso.com`, mean one account.
pub(crate) fn same_account(a: &str, b: &str) -> bool {
    let parts = |name: &str| -> (String, String) {
        let (domain, name) = match (name.split_once('\\'), name.rsplit_once('@')) {
            (Some((domain, name)), _) | (None, Some((name, domain))) => (domain, name),
            (None, None) => ("", name),
        };
        let short = domain.split('.').next().unwrap_or_default();
        (short.to_lowercase(), name.to_lowercase())
    };
    parts(a) == parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_two_spellings() {
        assert!(same_account(r"CONTOSO\svc-asr", "svc-asr@contoso.com"));
        assert!(!same_account(r"CONTOSO\svc-asr", "svc-asr@vsphere.local"));
        assert!(!same_account("root", "svc-asr"));
    }
}
