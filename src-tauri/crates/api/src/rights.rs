//! Roles and rights in vCenter: what Rehost's own account may do for the plan, what the appliance's account needs, and scripts
//! for an administrator who gives both by hand.

use crate::{
    App, Open,
    host::FileQuestion,
    inventory::session,
    wire::{OwnRights, RightsScript, RightsView, RoleGrant, RoleView, UiError},
};
use plan::{Action, Address, Plan, Privileges, RightNeed, graph, privileges, scripts};
use std::sync::Arc;
use vsphere::{Granted, RoleLook, VCenter};

/// Looks at both accounts in vCenter.
///
/// # Errors
/// Fails when no plan can be made of the design, or vCenter refuses.
pub async fn vcenter_rights(app: &Arc<App>, project: String) -> Result<RightsView, UiError> {
    let open = app.opened(&project)?;
    let plan = design_plan(&open)?;
    let vcenter = session(app, &open).await?;
    view(&open, &plan, &vcenter).await
}

/// Makes or completes the roles of the appliance's account and grants them, exactly as `changes` said that it would, and
/// looks again.
///
/// # Errors
/// Fails when vCenter is no longer as it was shown, during a live run (which does it itself), or when vCenter refuses.
pub async fn vcenter_roles_apply(app: &Arc<App>, project: String, changes: Vec<String>) -> Result<RightsView, UiError> {
    let open = app.opened(&project)?;
    open.not_live("Roles are changed by the run alone")?;
    let plan = design_plan(&open)?;
    let vcenter = session(app, &open).await?;
    let principal = open.project().design.vcenter_principal;
    let looks = look(&vcenter, &plan, &principal).await?;
    if told(&looks, &principal) != changes {
        return Err(UiError::state(
            "vCenter is not as it was shown",
            "Somebody has changed roles, permissions or the design since. Nothing was changed.",
            "Look at the changes again, then repeat.",
        ));
    }
    for look in &looks {
        vcenter.ensure_role(&look.role, &look.asked).await?;
        if let (Some(Granted::Nothing | Granted::NotPropagated), Some((kind, moref))) = (&look.granted, &look.on) {
            let made = vcenter.look_at_role(&look.role, &look.asked).await?.role;
            let id = made.map(|r| r.id).ok_or_else(|| {
                UiError::state(
                    format!("The role {} is gone", look.role),
                    "Somebody has removed it at this moment.",
                    "Look at the changes again, then repeat.",
                )
            })?;
            vcenter
                .grant((kind, moref), &principal, id, look.datacenter.is_some())
                .await?;
        }
    }
    view(&open, &plan, &vcenter).await
}

/// Asks where one of the scripts for a vCenter administrator goes, and writes it there; none when the dialog was closed.
///
/// # Errors
/// Fails when no plan can be made of the design, or the file can't be written.
pub async fn vcenter_script_save(
    app: &Arc<App>,
    project: String,
    script: RightsScript,
) -> Result<Option<String>, UiError> {
    let open = app.opened(&project)?;
    let plan = design_plan(&open)?;
    let (name, script) = match script {
        RightsScript::Own => (
            "Rehost-own-role.ps1",
            scripts::own_role(&open.project().connections.vcenter.user, needs(&plan)),
        ),
        RightsScript::Roles => ("Rehost-roles.ps1", scripts::roles(&plan)),
    };
    let folder = open.path.parent().unwrap_or(std::path::Path::new("."));
    let suggested = folder.join(name);
    let Some(chosen) = app.host().choose(FileQuestion::SaveScript { suggested }).await? else {
        return Ok(None);
    };
    // Without the mark Windows PowerShell 5 reads names that are not ASCII in the computer's old code page.
    let text = format!("\u{feff}{}", script.text.replace('\n', "\r\n"));
    std::fs::write(&chosen, text).map_err(|e| UiError::disk("written", &chosen, &e))?;
    Ok(Some(chosen.display().to_string()))
}

/// One of the plan's roles in vCenter as it is.
struct Look {
    role: String,
    /// As the plan asks for them, some as `X.*`.
    asked: Vec<String>,
    /// None: the vCenter itself.
    datacenter: Option<String>,
    now: RoleLook,
    /// Type and id of the object; none when it does not exist, or is not seen.
    on: Option<(&'static str, String)>,
    /// None when nothing can be granted: no such object, or nobody of this name.
    granted: Option<Granted>,
    known: bool,
    /// What vCenter itself says that the account lacks there now; none when it does not tell.
    lacks: Option<Vec<String>>,
}

async fn look(vcenter: &VCenter, plan: &Plan, principal: &str) -> Result<Vec<Look>, UiError> {
    let known = vcenter.principal_exists(principal).await?;
    let mut all = Vec::new();
    for task in plan.tasks() {
        let Action::EnsureRole { role, privileges } = &task.action else {
            continue;
        };
        let datacenter = place(plan, role);
        let on = match &datacenter {
            Some(name) => vcenter.datacenter(name).await?.map(|moref| ("Datacenter", moref)),
            None => Some(("Folder", vcenter.root().1.to_owned())),
        };
        let now = vcenter.look_at_role(role, privileges).await?;
        let (mut granted, mut lacks) = (None, None);
        if let (Some((kind, moref)), true) = (&on, known) {
            let wanted = (role.as_str(), Some(&*now.wanted));
            let far = datacenter.is_some();
            granted = Some(vcenter.look_at_grant((kind, moref), principal, wanted, far).await?);
            lacks = vcenter.lacking_of((kind, moref), principal, role).await?.map(|l| l.1);
        }
        all.push(Look {
            role: role.clone(),
            asked: privileges.clone(),
            datacenter,
            now,
            on,
            granted,
            known,
            lacks,
        });
    }
    Ok(all)
}

/// What would be changed, in words: shown before, and compared at the moment of doing.
fn told(looks: &[Look], principal: &str) -> Vec<String> {
    let mut all = Vec::new();
    for l in looks {
        let lacking = l.now.lacking.join(", ");
        match &l.now.role {
            None => all.push(format!(
                "Make the role {} with {} privileges.",
                l.role,
                l.now.wanted.len()
            )),
            Some(_) if !lacking.is_empty() => all.push(format!("Add to the role {}: {lacking}.", l.role)),
            Some(_) => {}
        }
        let (on, to) = (on(l.datacenter.as_deref()), far(l.datacenter.as_deref()));
        match &l.granted {
            Some(Granted::Nothing) => all.push(format!("Give {principal} the role {} on {on}, {to}.", l.role)),
            Some(Granted::NotPropagated) => all.push(format!(
                "Let the role {} of {principal} on {on} hold for everything in it as well.",
                l.role
            )),
            _ => {}
        }
    }
    all
}

/// Why something stays undone, and who changes that.
fn obstacles(looks: &[Look], principal: &str) -> Vec<String> {
    let mut all = Vec::new();
    if looks.iter().any(|l| !l.known) {
        all.push(format!(
            "vCenter's directory does not know {principal}, so nothing can be granted to it yet. A directory administrator creates it; a vCenter administrator makes sure that its domain is an identity source: vSphere Client > Administration > Single Sign On > Configuration > Identity Sources."
        ));
    }
    for l in looks {
        if let (None, Some(name)) = (&l.on, &l.datacenter) {
            all.push(format!(
                "vCenter has no datacenter {name}, or Rehost's account does not see it. Correct the name in Design, or let a vCenter administrator give Rehost's account the role Read-only on it."
            ));
        }
        if let Some(Granted::Other { role }) = &l.granted {
            all.push(format!(
                "On {} {principal} has {} already, which does not hold everything that is in {}, and an account has one role on an object. Rehost replaces no permission that somebody else has given. A vCenter administrator removes it (vSphere Client: the object > Permissions) or adds the privileges to that role.",
                on(l.datacenter.as_deref()),
                role.as_ref().map_or_else(|| "a role that is not listed".to_owned(), |r| format!("the role {r}")),
                l.role
            ));
        }
    }
    all
}

fn on(datacenter: Option<&str>) -> String {
    datacenter.map_or_else(|| "the vCenter itself".to_owned(), |name| format!("datacenter {name}"))
}

fn far(datacenter: Option<&str>) -> &'static str {
    match datacenter {
        Some(_) => "propagated to everything in it",
        None => "not propagated",
    }
}

async fn view(open: &Open, plan: &Plan, vcenter: &VCenter) -> Result<RightsView, UiError> {
    let project = open.project();
    let user = project.connections.vcenter.user;
    let principal = project.design.vcenter_principal;
    let needs = needs(plan);
    let method = Privileges::of(project.design.replication);
    let rights = vcenter.rights(needs).await?;
    let looks = look(vcenter, plan, &principal).await?;
    let step_title = |number: u8| {
        let step = plan.steps.iter().find(|s| s.number == number);
        step.map(|s| s.title.clone()).unwrap_or_default()
    };
    Ok(RightsView {
        lacking: vsphere::lacking(&rights).map(|a| a.hint),
        own: rights
            .into_iter()
            .map(|r| OwnRights {
                step: r.need.task.step(),
                step_title: step_title(r.need.task.step()),
                task: r.need.task,
                title: r.need.title,
                on: r.need.on.to_string(),
                seen: r.seen,
                missing: r.missing,
                privileges: r.need.privileges,
            })
            .collect(),
        own_script: scripts::own_role(&user, needs),
        user,
        method: method.name.into(),
        source: method.source.into(),
        principal_known: looks.iter().all(|l| l.known),
        changes: told(&looks, &principal),
        obstacles: obstacles(&looks, &principal),
        principal,
        roles: looks
            .into_iter()
            .map(|l| RoleView {
                place: format!("{}, {}", on(l.datacenter.as_deref()), far(l.datacenter.as_deref())),
                exists: l.now.role.is_some(),
                missing: match l.now.role {
                    Some(_) => l.now.lacking,
                    None => vec![],
                },
                granted: match l.granted {
                    None | Some(Granted::Nothing) => RoleGrant::No,
                    Some(Granted::Role) => RoleGrant::Yes,
                    Some(Granted::Covered { role }) => RoleGrant::Covered { role },
                    Some(Granted::NotPropagated) => RoleGrant::NotPropagated,
                    Some(Granted::Other { role }) => RoleGrant::Other { role },
                },
                lacks: l.lacks,
                name: l.role,
                privileges: l.now.wanted,
                unknown: l.now.unknown,
            })
            .collect(),
        roles_script: scripts::roles(plan),
        password_rule: privileges::PASSWORD_RULE.into(),
    })
}

/// On which datacenter the plan grants a role; none: on the vCenter itself.
fn place(plan: &Plan, wanted: &str) -> Option<String> {
    plan.tasks().find_map(|t| match &t.action {
        Action::GrantRole { role, datacenter, .. } if role == wanted => Some(datacenter.clone()),
        _ => None,
    })?
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
    Ok(graph::plan(&project.planned(), &subscription, &inventory)?)
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
