//! vCenter: version, rights, machine, role, permission, readiness, power, rename, notes, folder, removal.
//!
//! Decisions: a permission that somebody else has given is never replaced, since it may be more than ours or for something
//! else; a folder is never removed, since vCenter would remove every machine in it as well.

use crate::{Links, words};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{
    Action, Actor, Inventory, Severity, Vm,
    rules::{self, Case},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use vsphere::{Granted, Permission, Role, TaskRef, VCenter, VsphereError};

/// Seconds between looks at something that a person or the guest does.
const AGAIN_SECS: u32 = 60;

/// Seconds after which a shutdown that was announced before a crash is asked for again.
const ASK_AGAIN_SECS: i64 = 180;

/// Seconds after which a guest that does not shut down is powered off.
const SHUTDOWN_SECS: i64 = 600;

pub(crate) struct OnPremises(pub(crate) Arc<Links>, pub(crate) Does);

/// Whether a task changes something in vCenter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    Look,
    Change,
}

impl OnPremises {
    async fn vm(&self, vc: &VCenter, name: &str) -> Result<Option<Vm>, Failure> {
        vc.find_vm(name).await.map_err(words::vsphere)
    }

    async fn required(&self, vc: &VCenter, name: &str) -> Result<Vm, Failure> {
        self.vm(vc, name).await?.ok_or_else(|| no_vm(name))
    }

    /// Type and id of what a permission is set on: a datacenter, or the vCenter itself.
    async fn entity(&self, vc: &VCenter, datacenter: Option<&str>) -> Result<(&'static str, String), Failure> {
        Ok(match datacenter {
            Some(name) => ("Datacenter", self.datacenter(vc, name).await?),
            None => ("Folder", vc.root().1.to_owned()),
        })
    }

    /// The permission that a principal has there itself, and all roles.
    async fn permission(
        &self,
        vc: &VCenter,
        (kind, moref): (&str, &str),
        principal: &str,
    ) -> Result<(Option<Permission>, Vec<Role>), Failure> {
        let roles = vc.roles().await.map_err(words::vsphere)?;
        let all = vc.permissions(kind, moref).await.map_err(words::vsphere)?;
        let own = all.into_iter().find(|p| p.principal.eq_ignore_ascii_case(principal));
        Ok((own, roles))
    }

    /// The folder for retired machines.
    async fn folder(&self, vc: &VCenter, datacenter: &str, name: &str) -> Result<(String, Option<String>), Failure> {
        let datacenter = self.datacenter(vc, datacenter).await?;
        let top = vc.vm_folder(&datacenter).await.map_err(words::vsphere)?;
        let folder = vc.folder(&top, name).await.map_err(words::vsphere)?;
        Ok((top, folder))
    }

    /// Asks vCenter itself what the account may do now, its groups and all. Some servers don't tell.
    async fn prove(&self, ctx: &Ctx, role: &str, principal: &str, datacenter: Option<&str>) -> Result<(), Failure> {
        let vc = self.0.vcenter(ctx).await?;
        let (kind, moref) = self.entity(&vc, datacenter).await?;
        let told = vc.lacking_of((kind, &moref), principal, role).await;
        let Some((count, lacking)) = told.map_err(words::vsphere)? else {
            return Ok(());
        };
        if lacking.is_empty() {
            ctx.evidence(format!("vCenter confirms that {principal} has all {count} privileges."));
            return Ok(());
        }
        // New permissions take a moment to count.
        Err(Failure::of(
            FailureClass::Conflict,
            "NoEffect",
            format!("{principal} does not have the role's privileges yet"),
            format!("vCenter says that it lacks {}.", lacking.join(", ")),
            "Rehost looks again. If it stays so, look for another permission of this account: vSphere Client, the object > Permissions.",
        ))
    }

    async fn datacenter(&self, vc: &VCenter, name: &str) -> Result<String, Failure> {
        vc.datacenter(name).await.map_err(words::vsphere)?.ok_or_else(|| {
            Failure::of(
                FailureClass::NeedsPerson,
                "NoDatacenter",
                format!("vCenter has no datacenter {name}"),
                "Its name may have changed, or the account does not see it.",
                "Correct the name in Design, or give the account the Read-only role on it.",
            )
        })
    }
}

/// Asks the guest to shut down. False when it can't be asked: VMware Tools don't run.
async fn ask(vc: &VCenter, moref: &str) -> Result<bool, Failure> {
    match vc.shutdown_guest(moref).await {
        Ok(()) => Ok(true),
        Err(e) if e.code() == "ToolsUnavailable" => Ok(false),
        // It is off already.
        Err(e) if e.code() == "InvalidPowerState" => Ok(true),
        Err(e) => Err(words::vsphere(e)),
    }
}

fn no_vm(name: &str) -> Failure {
    Failure::of(
        FailureClass::NeedsPerson,
        "NoVm",
        format!("{name} was not found in vCenter"),
        "It may have been renamed, or the account does not see it.",
        "Correct its name in vCenter or Design, then choose Retry.",
    )
}

/// Name of the fact that holds a machine's identity in this vCenter: names are not unique there, and change.
fn identity(vm: &str) -> String {
    format!("vm.{vm}")
}

/// Fails unless the machine is the one that this run has known under `known_as`.
fn same(ctx: &Ctx, known_as: &str, found: &Vm) -> Result<(), Failure> {
    if ctx.fact(&identity(known_as)).and_then(Value::as_str) == Some(found.moref.as_str()) {
        return Ok(());
    }
    Err(Failure::of(
        FailureClass::NeedsPerson,
        "OtherMachine",
        format!("{} in vCenter is another machine", found.name),
        format!(
            "{} has this name, and it is not the one that this run has migrated. It is left alone.",
            found.moref
        ),
        "Rename the other machine in vCenter, then choose Retry.",
    ))
}

/// Name of the fact that holds the folder that a machine was in.
fn former_folder(vm: &str) -> String {
    format!("folder.{vm}")
}

/// Name of the fact that holds what scripts on a machine had published before the run.
fn reports(vm: &str) -> String {
    format!("reports.{vm}")
}

fn role_entry(role: &str) -> String {
    format!("vcenter:role/{role}")
}

fn permission_entry(principal: &str, datacenter: Option<&str>) -> String {
    format!("vcenter:permission/{principal}@{}", datacenter.unwrap_or_default())
}

/// Reads `key=value;…` of the readiness script.
fn readiness<'a>(published: &'a str, key: &str) -> Option<&'a str> {
    published.split(';').find_map(|p| {
        p.split_once('=')
            .filter(|(k, _)| k.trim() == key)
            .map(|(_, v)| v.trim())
    })
}

/// The line that says where a machine went, in its notes.
fn has_note(notes: Option<&str>, text: &str) -> bool {
    notes.is_some_and(|n| n.lines().any(|line| line.starts_with(text)))
}

#[async_trait::async_trait]
impl TaskKind for OnPremises {
    fn system(&self) -> &'static str {
        "vcenter"
    }

    fn only_checks(&self) -> bool {
        self.1 == Does::Look
    }

    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let vc = self.0.vcenter(ctx).await?;
        let person = matches!(ctx.task.actor, Actor::Person { .. });
        let not_yet = |text: String| {
            Ok(Observed::NotYet {
                text,
                again_secs: AGAIN_SECS,
            })
        };
        match &ctx.task.action {
            Action::CheckVCenter { min_version } => {
                let about = vc.about();
                if !rules::version_at_least(&about.version, min_version) {
                    return Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "VCenterTooOld",
                        format!("{} is too old", about.full_name),
                        format!("Replication is supported with {min_version} and later."),
                        "Update vCenter, then choose Retry.",
                    ));
                }
                ctx.evidence(format!("{} is supported.", about.full_name));
                Ok(Observed::Matches)
            }
            Action::CheckVCenterRights { needs } => {
                let rights = vc.rights(needs).await.map_err(words::vsphere)?;
                if let Some(a) = vsphere::lacking(&rights) {
                    let hint = format!("{} Then choose Retry.", a.hint);
                    return Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "NoRights",
                        a.title,
                        a.detail,
                        hint,
                    ));
                }
                let unknown: BTreeSet<&str> = rights.iter().flat_map(|r| &r.unknown).map(String::as_str).collect();
                if !unknown.is_empty() {
                    let unknown: Vec<&str> = unknown.into_iter().collect();
                    ctx.evidence(format!(
                        "{} does not know {}.",
                        vc.about().full_name,
                        unknown.join(", ")
                    ));
                }
                let objects: BTreeSet<_> = rights.iter().map(|r| &r.need.on).collect();
                ctx.evidence(format!(
                    "The account has all rights for {} tasks on {} objects.",
                    rights.iter().map(|r| &r.need.task).collect::<BTreeSet<_>>().len(),
                    objects.len()
                ));
                Ok(Observed::Matches)
            }
            Action::CheckVm { vm, method, size } => {
                let found = self.required(&vc, vm).await?;
                ctx.set_fact(identity(vm), found.moref.as_str());
                let findings = rules::CURRENT.judge_vm(&Case {
                    vm: &found,
                    inventory: &Inventory {
                        api_version: vc.about().api_version.clone(),
                        ..Inventory::default()
                    },
                    method: *method,
                    size,
                    pack: &rules::CURRENT,
                });
                if let Some(f) = findings.iter().find(|f| f.severity == Severity::Blocking) {
                    return Err(Failure::of(
                        FailureClass::NeedsPerson,
                        &f.rule,
                        f.title.clone(),
                        f.detail.clone(),
                        format!("{}: {} Then choose Retry. Source: {}.", f.who, f.command, f.source),
                    ));
                }
                for f in &findings {
                    ctx.evidence(format!("Note: {}. {}", f.title, f.detail));
                }
                ctx.evidence(format!("{vm} meets the support rules of {}.", rules::CURRENT.date));
                Ok(Observed::Matches)
            }
            Action::EnsureRole { role, privileges } => {
                let look = vc.look_at_role(role, privileges).await.map_err(words::vsphere)?;
                if look.role.is_none() {
                    return Ok(Observed::Absent);
                }
                if ctx.intent_at.is_some() || ctx.is_ours(&role_entry(role)) {
                    ctx.created(role_entry(role));
                }
                if !look.unknown.is_empty() {
                    ctx.evidence(format!(
                        "{} has no {}: the role goes without.",
                        vc.about().full_name,
                        look.unknown.join(", ")
                    ));
                }
                let lacking = look.lacking.len();
                if lacking > 0 {
                    return Ok(Observed::Differs(format!("{lacking} privileges are missing")));
                }
                ctx.evidence(format!("The role {role} has all {} privileges.", look.wanted.len()));
                Ok(Observed::Matches)
            }
            Action::RemoveRole { role } => {
                if !ctx.is_ours(&role_entry(role)) && ctx.intent_at.is_none() {
                    return Ok(Observed::NotNeeded(format!(
                        "Rehost did not create the role {role}, so it stays."
                    )));
                }
                let roles = vc.roles().await.map_err(words::vsphere)?;
                Ok(if roles.iter().any(|r| &r.name == role) {
                    Observed::Differs("it is there".into())
                } else {
                    Observed::Matches
                })
            }
            Action::CheckPrincipal { principal } => {
                if vc.principal_exists(principal).await.map_err(words::vsphere)? {
                    ctx.evidence(format!("vCenter's directory knows {principal}."));
                    return Ok(Observed::Matches);
                }
                not_yet(format!("vCenter's directory does not know {principal} yet"))
            }
            Action::GrantRole {
                role,
                principal,
                datacenter,
            } => {
                let (kind, moref) = self.entity(&vc, datacenter.as_deref()).await?;
                let granted = vc.look_at_grant((kind, &moref), principal, (role, None), datacenter.is_some());
                let granted = granted.await.map_err(words::vsphere)?;
                let entry = permission_entry(principal, datacenter.as_deref());
                let ours = ctx.intent_at.is_some() || ctx.is_ours(&entry);
                if ours && granted != Granted::Nothing {
                    ctx.created(entry);
                }
                match granted {
                    Granted::Nothing => Ok(Observed::Absent),
                    Granted::Role => Ok(Observed::Matches),
                    Granted::Covered { role: held } => {
                        ctx.evidence(format!(
                            "{principal} has the role {held} there, which holds everything that is in {role}."
                        ));
                        Ok(Observed::Matches)
                    }
                    Granted::NotPropagated => Ok(Observed::Differs("it is not propagated".into())),
                    Granted::Other { .. } if ours => Ok(Observed::Differs("another role is granted".into())),
                    Granted::Other { role: held } => Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "OtherRole",
                        format!("{principal} already has another role on {}", ctx.task.address.name()),
                        format!(
                            "It is {}, which does not hold everything that is in {role}, and an account has one role on an object. Rehost has not given it, and does not replace it.",
                            held.as_deref().unwrap_or("one that is not listed")
                        ),
                        "A vCenter administrator removes that permission (vSphere Client: the object > Permissions), adds the privileges to the role, or names another account in Design. Then choose Retry.",
                    )),
                }
            }
            Action::RevokeRole {
                role,
                principal,
                datacenter,
            } => {
                let entry = permission_entry(principal, datacenter.as_deref());
                if !ctx.is_ours(&entry) && ctx.intent_at.is_none() {
                    return Ok(Observed::NotNeeded("Rehost did not grant it, so it stays.".into()));
                }
                let entity = self.entity(&vc, datacenter.as_deref()).await?;
                let (found, roles) = self.permission(&vc, (entity.0, &entity.1), principal).await?;
                let named = |id: i32| roles.iter().find(|r| r.id == id).map(|r| r.name.as_str());
                Ok(match found {
                    None => Observed::Matches,
                    Some(p) if named(p.role_id) == Some(role) || role.is_empty() => {
                        Observed::Differs("it is granted".into())
                    }
                    Some(_) => Observed::NotNeeded(format!(
                        "Somebody has given {principal} another role than {role} since, so it stays."
                    )),
                })
            }
            Action::CheckVmRuns { vm } => match self.vm(&vc, vm).await? {
                Some(v) if v.power_state == "poweredOn" => {
                    ctx.evidence(format!("{vm} runs on {}.", v.host.unwrap_or_else(|| "its host".into())));
                    Ok(Observed::Matches)
                }
                Some(_) => not_yet(format!("{vm} is there, but not powered on")),
                None => not_yet(format!("no VM named {vm} yet")),
            },
            Action::CheckReadiness { vm, key, value } => {
                let published = self.required(&vc, vm).await?.readiness.unwrap_or_default();
                match readiness(&published, key) {
                    Some(v) if v.eq_ignore_ascii_case(value) => {
                        ctx.evidence(format!("{vm} reports {key}={v}."));
                        Ok(Observed::Matches)
                    }
                    seen if person => not_yet(match seen {
                        Some(v) => format!("{vm} reports {key}={v}"),
                        None => format!("{vm} has not reported yet"),
                    }),
                    seen => Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "NotReady",
                        format!("{}: not yet", ctx.task.title),
                        format!(
                            "{vm} reports {key}={}, and it must be {value}.",
                            seen.unwrap_or("nothing")
                        ),
                        format!("Cure it in {vm}, run the readiness script again, then choose Retry."),
                    )),
                }
            }
            Action::NoteReports { vm } => {
                let published = self.required(&vc, vm).await?.readiness.unwrap_or_default();
                if ctx.fact(&reports(vm)).is_none() {
                    ctx.set_fact(reports(vm), published);
                }
                Ok(Observed::Matches)
            }
            Action::CheckReported { vm, key } => {
                let published = self.required(&vc, vm).await?.readiness.unwrap_or_default();
                let noted = ctx.fact(&reports(vm)).and_then(Value::as_str).unwrap_or_default();
                match readiness(&published, key) {
                    Some(v) if readiness(noted, key) != Some(v) => {
                        ctx.evidence(format!("{vm} reports {key}={v}."));
                        Ok(Observed::Matches)
                    }
                    _ => not_yet(format!("{vm} has not reported yet")),
                }
            }
            Action::ShutDownVm { vm, made_for } => {
                // After a crash in the middle of it, what it was made for may be gone from the ledger already.
                let begun = ctx.intent_at.is_some() || ctx.fact(&identity(vm)).is_some();
                if let Some(whole) = made_for.as_ref().filter(|m| !begun && !ctx.is_ours(m.as_str())) {
                    return Ok(Observed::NotNeeded(format!(
                        "{} was there before, so what belongs to it stays.",
                        whole.name()
                    )));
                }
                let now = self.required(&vc, vm).await?;
                ctx.set_fact(identity(vm), now.moref.as_str());
                Ok(match now.power_state.as_str() {
                    "poweredOff" => Observed::Matches,
                    // Announced before a crash; whether it was also asked for, only waiting tells.
                    _ if ctx.intent_at.is_some() => {
                        let wait = json!({ "vm": now.moref, "since": ctx.clock.now(), "asked": false });
                        Observed::InFlight(Handle(wait))
                    }
                    _ => Observed::Differs("it is on".into()),
                })
            }
            Action::CheckPower { vm, state } => match self.vm(&vc, vm).await? {
                Some(v) if v.power_state.eq_ignore_ascii_case(state) => {
                    ctx.evidence(format!("{vm} is {state} in vCenter."));
                    Ok(Observed::Matches)
                }
                Some(v) => not_yet(format!("{vm} is {}", v.power_state)),
                None => Err(no_vm(vm)),
            },
            Action::RenameVm { vm, to } => {
                if let Some(renamed) = self.vm(&vc, to).await? {
                    same(ctx, vm, &renamed)?;
                    ctx.set_fact(identity(to), renamed.moref);
                    return Ok(Observed::Matches);
                }
                same(ctx, vm, &self.required(&vc, vm).await?)?;
                Ok(Observed::Differs(format!("it is called {vm}")))
            }
            Action::AnnotateVm { vm, text } => {
                let found = self.required(&vc, vm).await?;
                same(ctx, vm, &found)?;
                let notes = found.details.and_then(|d| d.annotation);
                Ok(match has_note(notes.as_deref(), text) {
                    true => Observed::Matches,
                    false => Observed::Differs("the notes don't say it".into()),
                })
            }
            Action::EnsureFolder { folder, datacenter } => Ok(match self.folder(&vc, datacenter, folder).await?.1 {
                Some(_) => Observed::Matches,
                None => Observed::Absent,
            }),
            Action::MoveVm { vm, folder, datacenter } => {
                let found = self.required(&vc, vm).await?;
                same(ctx, vm, &found)?;
                let to = self.folder(&vc, datacenter, folder).await?.1;
                let now = vc.folder_of(&found.moref).await.map_err(words::vsphere)?;
                if to.is_some() && now == to {
                    return Ok(Observed::Matches);
                }
                if ctx.fact(&former_folder(vm)).is_none() {
                    ctx.set_fact(former_folder(vm), now);
                }
                Ok(Observed::Differs("it is in another folder".into()))
            }
            Action::DestroyVm { vm, made_for } => Ok(match self.vm(&vc, vm).await? {
                None => Observed::Matches,
                Some(_) if made_for.is_some() && ctx.fact(&identity(vm)).is_none() => {
                    Observed::NotNeeded(format!("This run has not shut {vm} down, so it stays."))
                }
                Some(v) if v.power_state != "poweredOff" => {
                    return Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "StillOn",
                        format!("{vm} is powered on"),
                        "Somebody has powered it on again; it is not removed while it runs.",
                        "Find out who uses it. Power it off, then choose Retry, or leave it.",
                    ));
                }
                Some(v) => {
                    same(ctx, vm, &v)?;
                    Observed::Differs("it is there".into())
                }
            }),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let vc = self.0.vcenter(ctx).await?;
        let task = |t: TaskRef| Some(Handle(json!({ "task": t })));
        match &ctx.task.action {
            Action::EnsureRole { role, privileges } => {
                if vc.ensure_role(role, privileges).await.map_err(words::vsphere)? {
                    ctx.created(role_entry(role));
                }
                Ok(None)
            }
            Action::RemoveRole { role } => {
                let roles = vc.roles().await.map_err(words::vsphere)?;
                if let Some(r) = roles.iter().find(|r| &r.name == role) {
                    vc.remove_role(r.id).await.map_err(words::vsphere)?;
                }
                Ok(None)
            }
            Action::GrantRole {
                role,
                principal,
                datacenter,
            } => {
                let (kind, moref) = self.entity(&vc, datacenter.as_deref()).await?;
                let roles = vc.roles().await.map_err(words::vsphere)?;
                let id = roles.iter().find(|r| &r.name == role).map(|r| r.id).ok_or_else(|| {
                    Failure::permanent(
                        "NoRole",
                        format!("The role {role} is gone"),
                        "Somebody removed it.",
                        "Retry the task that creates it.",
                    )
                })?;
                vc.grant((kind, &moref), principal, id, datacenter.is_some())
                    .await
                    .map_err(words::vsphere)?;
                ctx.created(permission_entry(principal, datacenter.as_deref()));
                Ok(None)
            }
            Action::RevokeRole {
                principal, datacenter, ..
            } => {
                let (kind, moref) = self.entity(&vc, datacenter.as_deref()).await?;
                vc.revoke(kind, &moref, principal).await.map_err(words::vsphere)?;
                Ok(None)
            }
            Action::ShutDownVm { vm, .. } => {
                let now = self.required(&vc, vm).await?;
                if now.tools_status.as_deref() == Some("guestToolsRunning") && ask(&vc, &now.moref).await? {
                    let wait = json!({ "vm": now.moref, "since": ctx.clock.now(), "asked": true });
                    return Ok(Some(Handle(wait)));
                }
                ctx.evidence("VMware Tools are not running, so the machine is powered off.");
                Ok(task(vc.power_off(&now.moref).await.map_err(words::vsphere)?))
            }
            Action::AnnotateVm { vm, text } => {
                let now = self.required(&vc, vm).await?;
                let before = now.details.and_then(|d| d.annotation).unwrap_or_default();
                let line = format!("{text} ({})", ctx.clock.now().strftime("%Y-%m-%d"));
                let notes = [before.trim_end(), &line].join("\n");
                let started = vc.annotate(&now.moref, notes.trim_start()).await;
                Ok(task(started.map_err(words::vsphere)?))
            }
            Action::EnsureFolder { folder, datacenter } => {
                let (top, _) = self.folder(&vc, datacenter, folder).await?;
                vc.create_folder(&top, folder).await.map_err(words::vsphere)?;
                Ok(None)
            }
            Action::MoveVm { vm, folder, datacenter } => {
                let now = self.required(&vc, vm).await?;
                let to = self.folder(&vc, datacenter, folder).await?.1.ok_or_else(|| {
                    Failure::permanent(
                        "NoFolder",
                        format!("The folder {folder} is gone"),
                        "Somebody removed or renamed it.",
                        "Retry the task that creates it.",
                    )
                })?;
                Ok(task(vc.move_vm(&now.moref, &to).await.map_err(words::vsphere)?))
            }
            Action::RenameVm { vm, to } => {
                let now = self.required(&vc, vm).await?;
                Ok(task(vc.rename(&now.moref, to).await.map_err(words::vsphere)?))
            }
            Action::DestroyVm { vm, .. } => {
                let now = self.required(&vc, vm).await?;
                Ok(task(vc.destroy(&now.moref).await.map_err(words::vsphere)?))
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let vc = self.0.vcenter(ctx).await?;
        if let Some(task) = handle
            .0
            .get("task")
            .and_then(|t| serde_json::from_value::<TaskRef>(t.clone()).ok())
        {
            loop {
                // vCenter forgets finished tasks after minutes; the machine itself then tells.
                let info = match vc.task(&task).await {
                    Ok(info) => info,
                    Err(e) if e.is_not_found() => return Ok(()),
                    Err(e) => return Err(words::vsphere(e)),
                };
                match info.state {
                    vsphere::TaskState::Success => return Ok(()),
                    vsphere::TaskState::Error => {
                        let fault = info.error.unwrap_or_default();
                        return Err(words::vcenter_task(VsphereError::Fault {
                            method: ctx.task.calls.join(", "),
                            kind: fault.kind,
                            message: fault.message,
                        }));
                    }
                    _ => {
                        let text = info.description.unwrap_or_else(|| "vCenter is working".into());
                        ctx.progress(info.progress.map(f64::from), text);
                    }
                }
                ctx.sleep(5).await?;
            }
        }
        let (Some(moref), Action::ShutDownVm { vm, .. }) =
            (handle.0.get("vm").and_then(Value::as_str), &ctx.task.action)
        else {
            return Ok(());
        };
        let since = handle
            .0
            .get("since")
            .and_then(Value::as_str)
            .and_then(|s| s.parse().ok())
            .unwrap_or(ctx.clock.now());
        let mut asked = handle.0.get("asked").and_then(Value::as_bool).unwrap_or(false);
        let mut forced = false;
        loop {
            if self.required(&vc, vm).await?.power_state == "poweredOff" {
                return Ok(());
            }
            let waited = ctx.clock.now().duration_since(since).as_secs();
            if !asked && waited > ASK_AGAIN_SECS {
                // The request had not left before the crash. Asking twice is harmless, pulling the plug is not.
                asked = ask(&vc, moref).await?;
            }
            if !forced && waited > if asked { SHUTDOWN_SECS } else { ASK_AGAIN_SECS } {
                ctx.evidence(match asked {
                    true => "The guest did not shut down in ten minutes and was powered off.",
                    false => "VMware Tools are not running, so the machine is powered off.",
                });
                vc.power_off(moref).await.map_err(words::vsphere)?;
                forced = true;
            }
            ctx.progress(None, "the guest is shutting down");
            ctx.sleep(15).await?;
        }
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        // The same look as before, which must now match; it records the evidence.
        match &ctx.task.action {
            Action::RemoveRole { role } => ctx.removed(role_entry(role)),
            Action::RevokeRole {
                principal, datacenter, ..
            } => ctx.removed(permission_entry(principal, datacenter.as_deref())),
            Action::GrantRole {
                role,
                principal,
                datacenter,
            } => self.prove(ctx, role, principal, datacenter.as_deref()).await?,
            Action::EnsureRole { .. }
            | Action::ShutDownVm { .. }
            | Action::RenameVm { .. }
            | Action::AnnotateVm { .. }
            | Action::EnsureFolder { .. }
            | Action::MoveVm { .. }
            | Action::DestroyVm { .. } => {}
            _ => return Ok(()),
        }
        match self.observe(ctx).await? {
            Observed::Matches | Observed::NotNeeded(_) => {
                ctx.evidence(format!("{}: done, read back from vCenter.", ctx.task.title));
                Ok(())
            }
            _ => Err(Failure::of(
                FailureClass::Conflict,
                "NoEffect",
                format!("{}: vCenter does not show it", ctx.task.title),
                "The call succeeded, but reading back shows the old state.",
                "Rehost tries again.",
            )),
        }
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let vc = self.0.vcenter(ctx).await?;
        match &ctx.task.action {
            Action::EnsureRole { role, .. } if ctx.is_ours(&role_entry(role)) => {
                let roles = vc.roles().await.map_err(words::vsphere)?;
                if let Some(r) = roles.iter().find(|r| &r.name == role) {
                    vc.remove_role(r.id).await.map_err(words::vsphere)?;
                }
                ctx.removed(role_entry(role));
                Ok(())
            }
            Action::GrantRole {
                principal, datacenter, ..
            } if ctx.is_ours(&permission_entry(principal, datacenter.as_deref())) => {
                let (kind, moref) = self.entity(&vc, datacenter.as_deref()).await?;
                vc.revoke(kind, &moref, principal).await.map_err(words::vsphere)?;
                ctx.removed(permission_entry(principal, datacenter.as_deref()));
                Ok(())
            }
            Action::AnnotateVm { vm, text } => {
                let now = self.required(&vc, vm).await?;
                let notes = now.details.and_then(|d| d.annotation).unwrap_or_default();
                let kept: Vec<&str> = notes.lines().filter(|line| !line.starts_with(text.as_str())).collect();
                vc.annotate(&now.moref, &kept.join("\n"))
                    .await
                    .map_err(words::vsphere)?;
                Ok(())
            }
            Action::MoveVm { vm, .. } => {
                let now = self.required(&vc, vm).await?;
                if let Some(folder) = ctx.fact(&former_folder(vm)).and_then(Value::as_str) {
                    vc.move_vm(&now.moref, folder).await.map_err(words::vsphere)?;
                }
                Ok(())
            }
            Action::ShutDownVm { vm, .. } => {
                let now = self.required(&vc, vm).await?;
                vc.power_on(&now.moref).await.map_err(words::vsphere)?;
                Ok(())
            }
            Action::RenameVm { vm, to } => {
                let now = self.required(&vc, to).await?;
                vc.rename(&now.moref, vm).await.map_err(words::vsphere)?;
                Ok(())
            }
            Action::DestroyVm { .. } => Err(Failure::of(
                FailureClass::NeedsPerson,
                "NoWayBack",
                "A removed machine can't be brought back",
                ctx.task.way_back.clone(),
                "Restore it from a backup.",
            )),
            _ => Ok(()),
        }
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_read_by_key() {
        let s = "script=1;rdp=1;firewall=domain,private,public;san=OnlineAll";
        assert_eq!(readiness(s, "firewall"), Some("domain,private,public"));
        assert_eq!(readiness(s, "updates"), None);
    }

    #[test]
    fn a_note_is_found_by_its_line_whatever_the_date() {
        let notes = "Owner: Anna\nMigrated to Azure: VM WEBVM. (2026-11-24)";
        assert!(has_note(Some(notes), "Migrated to Azure: VM WEBVM."));
        assert!(!has_note(Some(notes), "Migrated to Azure: VM SQLVM."));
        assert!(!has_note(None, "Migrated"));
    }
}
