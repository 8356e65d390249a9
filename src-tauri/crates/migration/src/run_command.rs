//! Managed run commands and boot diagnostics of an Azure VM.
//!
//! The managed form is used because only it has protected parameters. Scripts are idempotent and print `key=value`
//! lines, by which the result is judged; a command of the same name that has run with that result is not run again.

use crate::{Links, checks::Look, template, words};
use azure::{Operation, Polled};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{Action, ResourceId};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds after which Azure ends a script.
const TIMEOUT_SECS: u32 = 600;

pub(crate) struct RunCommand(pub(crate) Arc<Links>);

impl RunCommand {
    fn id(&self, ctx: &Ctx) -> Result<(ResourceId, Vec<String>), Failure> {
        match &ctx.task.action {
            Action::RunCommand { vm, name, expect, .. } => Ok((vm.child("runCommands", name), expect.clone())),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    /// What a script prints is not ours: PowerShell's errors may quote a parameter.
    fn without_secrets(&self, ctx: &Ctx, mut text: String) -> String {
        let Action::RunCommand { parameters, .. } = &ctx.task.action else {
            return text;
        };
        let values = parameters.iter().filter(|p| p.protected);
        let values = values.filter_map(|p| template::text(&self.0, ctx, &p.value).ok());
        let administrator = (self.0.secrets)("mi-admin").map(|s| s.expose().clone());
        for value in values.chain(administrator).filter(|v| !v.is_empty()) {
            text = text.replace(&value, "<redacted>");
        }
        text
    }

    async fn view(&self, ctx: &Ctx) -> Result<Option<Value>, Failure> {
        view(&self.0, ctx, &self.id(ctx)?.0).await
    }
}

/// Reads a command with what it has printed; none when it is not there.
pub(crate) async fn view(links: &Links, ctx: &Ctx, id: &ResourceId) -> Result<Option<Value>, Failure> {
    match links.arm(ctx).get_path(&format!("{id}?$expand=instanceView")).await {
        Ok(v) => Ok(Some(v)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(words::azure(e)),
    }
}

/// Starts a command. Parameters are `{name, value}`.
pub(crate) async fn send(
    links: &Links,
    ctx: &Ctx,
    id: &ResourceId,
    location: &str,
    script: &str,
    parameters: &Value,
    protected: &Value,
) -> Result<Handle, Failure> {
    let body = json!({ "location": location, "properties": {
        "source": { "script": script }, "parameters": parameters, "protectedParameters": protected,
        "timeoutInSeconds": TIMEOUT_SECS, "asyncExecution": false, "treatFailureAsDeploymentFailure": false } });
    let started = links.arm(ctx).put(id, &body).await.map_err(|e| {
        let busy = e.status() == Some(409);
        let mut failure = words::azure(e);
        if busy {
            // The VM agent is not ready, or runs another command: it is asked again.
            failure.class = FailureClass::Conflict;
        }
        failure
    })?;
    ctx.created(id.as_str());
    Ok(Handle(
        started
            .operation
            .map_or_else(|| json!({ "view": true }), |op| json!({ "op": op })),
    ))
}

/// Follows a command to its end.
pub(crate) async fn follow(links: &Links, ctx: &Ctx, id: &ResourceId, handle: &Handle) -> Result<(), Failure> {
    let mut op: Option<Operation> = handle.0.get("op").and_then(|o| serde_json::from_value(o.clone()).ok());
    loop {
        match &op {
            Some(now) => match links.arm(ctx).poll(now).await {
                Ok(Polled::Running {
                    operation,
                    status,
                    percent,
                    retry_after,
                }) => {
                    ctx.progress(percent, status);
                    op = Some(operation);
                    ctx.sleep(retry_after.max(1)).await?;
                }
                Ok(Polled::Done { .. }) => op = None,
                Ok(Polled::Failed(e)) => return Err(words::ended(e)),
                Err(e) if e.is_not_found() => op = None,
                Err(e) => return Err(words::look(e)),
            },
            None => match view(links, ctx, id).await? {
                Some(v) if runs(&v) => {
                    ctx.progress(None, "the script runs in the VM");
                    ctx.sleep(10).await?;
                }
                _ => return Ok(()),
            },
        }
    }
}

/// Whether the script has not ended yet.
pub(crate) fn runs(view: &Value) -> bool {
    matches!(part(view, "executionState").as_str(), "Pending" | "Running")
}

/// One text of the instance view: `output`, `executionState` …
pub(crate) fn part(view: &Value, name: &str) -> String {
    let v = view.pointer(&format!("/properties/instanceView/{name}"));
    v.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        .unwrap_or_default()
}

/// Which expected lines the output lacks.
fn missing(view: &Value, expect: &[String]) -> Vec<String> {
    let output = part(view, "output");
    let lines: Vec<_> = output.lines().map(str::trim).collect();
    expect
        .iter()
        .filter(|e| !lines.contains(&e.as_str()))
        .cloned()
        .collect()
}

#[async_trait::async_trait]
impl TaskKind for RunCommand {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (id, expect) = self.id(ctx)?;
        // Only an announced command of ours may be taken for done: an older one of that name proves nothing about now.
        let Some(view) = self.view(ctx).await? else {
            return Ok(Observed::Absent);
        };
        if ctx.intent_at.is_none() {
            return Ok(Observed::Differs("an older command of this name is there".into()));
        }
        ctx.created(id.as_str());
        Ok(match part(&view, "executionState").as_str() {
            "Pending" | "Running" => Observed::InFlight(Handle(json!({ "view": true }))),
            "Succeeded" if missing(&view, &expect).is_empty() => Observed::Matches,
            state => Observed::Differs(format!("its last run ended {state}")),
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let Action::RunCommand {
            location,
            script,
            parameters,
            ..
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        let (id, _) = self.id(ctx)?;
        let list = |protected: bool| -> Result<Vec<Value>, Failure> {
            parameters
                .iter()
                .filter(|p| p.protected == protected)
                .map(|p| Ok(json!({ "name": p.name, "value": template::text(&self.0, ctx, &p.value)? })))
                .collect()
        };
        send(
            &self.0,
            ctx,
            &id,
            location,
            script,
            &json!(list(false)?),
            &json!(list(true)?),
        )
        .await
        .map(Some)
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, &self.id(ctx)?.0, handle).await
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (_, expect) = self.id(ctx)?;
        let view = self.view(ctx).await?.unwrap_or_default();
        let lacking = missing(&view, &expect);
        if part(&view, "executionState") == "Succeeded" && lacking.is_empty() {
            ctx.evidence(format!("The script printed {}.", expect.join(", ")));
            return Ok(());
        }
        let why = [
            part(&view, "executionMessage"),
            part(&view, "error"),
            part(&view, "output"),
        ]
        .join(" ");
        let why = self.without_secrets(ctx, why);
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "ScriptFailed",
            format!("{} did not succeed in the VM", ctx.task.title),
            format!(
                "Expected {}. It ended {} with: {}",
                expect.join(", "),
                part(&view, "executionState"),
                why.trim()
            ),
            "Read the output, correct the cause in the VM, and choose Retry: the script can be run again.",
        ))
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "ByHand",
            format!("{} is taken back by hand", ctx.task.title),
            ctx.task.way_back.clone(),
            "Follow the way back inside the VM.",
        ))
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Looks whether the VM has a screenshot and a serial log.
pub(crate) struct Boot(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Boot {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::CheckBoot { vm } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        match self.0.arm(ctx).post(vm, "retrieveBootDiagnosticsData", None).await {
            Ok(started) => {
                let body = started.body.unwrap_or_default();
                if body
                    .get("consoleScreenshotBlobUri")
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
                {
                    return Ok(Observed::NotYet {
                        text: "no screenshot yet".into(),
                        again_secs: 60,
                    });
                }
                ctx.evidence("Boot diagnostics hold a screenshot and a serial log.");
                Ok(Observed::Matches)
            }
            Err(e) if e.status() == Some(409) => Ok(Observed::NotYet {
                text: "no screenshot yet".into(),
                again_secs: 60,
            }),
            Err(e) => Err(words::azure(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_judged_by_whole_lines() {
        let view = json!({ "properties": { "instanceView": { "output": "backup=ok\r\nchanged=10\n" } } });
        assert_eq!(
            missing(&view, &["backup=ok".into(), "changed=1".into()]),
            vec!["changed=1"]
        );
    }
}
