//! Log Replay Service. Its long operation lasts until the cutover, so it is not followed as one: the restore details
//! tell what is going on.

use crate::{Links, cutover, storage, words};
use azure::Operation;
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{
    Action, ResourceId,
    backup::restored,
    cutover::{Application, Cutover},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds between looks at the restore.
const AGAIN_SECS: u32 = 30;

pub(crate) struct LogReplay(pub(crate) Arc<Links>);

impl LogReplay {
    async fn details(&self, ctx: &Ctx, database: &ResourceId) -> Result<Option<Value>, Failure> {
        self.0
            .arm(ctx)
            .get_opt(&database.child("restoreDetails", "Default"))
            .await
            .map_err(words::azure)
    }

    async fn status(&self, ctx: &Ctx, database: &ResourceId) -> Result<Option<String>, Failure> {
        let now = self.0.arm(ctx).get_opt(database).await.map_err(words::azure)?;
        Ok(now.map(|d| text(&d, "status")))
    }

    /// A database that is deleted takes its restore with it.
    async fn is_there(&self, ctx: &Ctx, database: &ResourceId) -> Result<(), Failure> {
        if self.status(ctx, database).await?.is_some() {
            return Ok(());
        }
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "DatabaseGone",
            format!("{} is not on the managed instance any more", database.name()),
            "Somebody deleted the database that was being restored.",
            "Choose Retry: the restore begins again from the first backup.",
        )
        .having_lost(database.as_str()))
    }

    async fn follow(&self, ctx: &Ctx, database: &ResourceId, until: &str) -> Result<Observed, Failure> {
        let target = fact(ctx, until)?;
        let Some(now) = self.details(ctx, database).await? else {
            self.is_there(ctx, database).await?;
            return Ok(Observed::NotYet {
                text: "the restore has not begun".into(),
                again_secs: AGAIN_SECS,
            });
        };
        broken(&now, database)?;
        let last = text(&now, "lastRestoredFileName");
        if restored(&last, &target) || text(&now, "status").eq_ignore_ascii_case("Completed") {
            ctx.evidence(format!("{target} is restored."));
            return Ok(Observed::Matches);
        }
        let current = text(&now, "currentRestoringFileName");
        let percent = now.pointer("/properties/percentCompleted").and_then(Value::as_f64);
        let found = now
            .pointer("/properties/numberOfFilesDetected")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        let words = match (current.is_empty(), percent) {
            (false, Some(p)) => format!("{p:.0} % · restoring {current} · {found} files found"),
            (false, None) => format!("restoring {current} · {found} files found"),
            _ => format!(
                "{found} files found · last restored: {}",
                if last.is_empty() { "none" } else { &last }
            ),
        };
        ctx.progress(percent.filter(|_| !current.is_empty()), words.clone());
        Ok(Observed::NotYet {
            text: words,
            again_secs: AGAIN_SECS,
        })
    }
}

fn text(document: &Value, name: &str) -> String {
    document
        .pointer(&format!("/properties/{name}"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn fact(ctx: &Ctx, name: &str) -> Result<String, Failure> {
    ctx.fact(name)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::permanent(
                "FactMissing",
                format!("`{name}` is not known"),
                "The backup's name was not recorded.",
                "Retry the task that waits for the backup.",
            )
        })
}

/// What stands between this restore and its cutover.
fn gate<'a>(last: &'a str, wanted: &'a str, details: &Value, application: Application<'a>) -> Cutover<'a> {
    let number = |name: &str| details.pointer(&format!("/properties/{name}")).and_then(Value::as_u64);
    // Newer versions of the interface count; older ones only name the file that is in work.
    let counted = [number("numberOfFilesQueued"), number("numberOfFilesRestoring")];
    let pending = if counted.iter().any(Option::is_some) {
        counted.into_iter().flatten().sum()
    } else {
        u64::from(!text(details, "currentRestoringFileName").is_empty())
    };
    Cutover {
        full_restored: !last.is_empty(),
        last,
        wanted,
        pending,
        blocked: "",
        application,
    }
}

/// A restore that has stopped, in the service's words. When the database is deleted meanwhile, trying again restores it anew.
fn broken(details: &Value, database: &ResourceId) -> Result<(), Failure> {
    let status = text(details, "status");
    if !["Failed", "Blocked"].iter().any(|s| s.eq_ignore_ascii_case(&status)) {
        return Ok(());
    }
    let reason = text(details, "blockReason");
    let unrestorable = plan::task::lookup(details, "/properties/unrestorableFiles/*");
    let files = unrestorable
        .iter()
        .filter_map(|f| f.as_str().or_else(|| f.get("name").and_then(Value::as_str)))
        .collect::<Vec<_>>()
        .join(", ");
    Err(Failure::of(
        FailureClass::NeedsPerson,
        "RestoreBlocked",
        "Log Replay Service can't go on",
        [
            reason,
            if files.is_empty() {
                String::new()
            } else {
                format!("Files that can't be restored: {files}.")
            },
        ]
        .join(" ")
        .trim()
        .to_owned(),
        "Put the right backup files into the container (CHECKSUM, unbroken log chain, one database only), delete the database on the managed instance if it stays blocked (the restore then begins again from the first backup), then choose Retry.",
    )
    .having_lost(database.as_str()))
}

#[async_trait::async_trait]
impl TaskKind for LogReplay {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        match &ctx.task.action {
            Action::StartLogReplay { database, .. } => match self.status(ctx, database).await? {
                None => Ok(Observed::Absent),
                Some(_) if ctx.intent_at.is_some() || ctx.is_ours(database.as_str()) => {
                    ctx.created(database.as_str());
                    Ok(Observed::Matches)
                }
                Some(status) => Err(Failure::of(
                    FailureClass::NeedsPerson,
                    "ManagedDatabaseNameInUse",
                    format!("A database {} is on the managed instance already", database.name()),
                    format!("Its status is {status}. Log Replay Service restores only into a new database."),
                    "Drop or rename it on the managed instance, then choose Retry.",
                )),
            },
            Action::FollowLogReplay { database, until_fact } => self.follow(ctx, database, until_fact).await,
            Action::CompleteLogReplay {
                database,
                last_file_fact,
                application,
            } => {
                if self
                    .status(ctx, database)
                    .await?
                    .is_some_and(|s| s.eq_ignore_ascii_case("Online"))
                {
                    return Ok(Observed::Matches);
                }
                let Some(details) = self.details(ctx, database).await? else {
                    self.is_there(ctx, database).await?;
                    return Ok(Observed::NotYet {
                        text: "the cutover waits: the restore has not begun".into(),
                        again_secs: AGAIN_SECS,
                    });
                };
                broken(&details, database)?;
                let status = text(&details, "status");
                if ["Completing", "Completed"]
                    .iter()
                    .any(|s| s.eq_ignore_ascii_case(&status))
                {
                    return Ok(Observed::InFlight(Handle(json!({ "completing": true }))));
                }
                let (last, wanted) = (text(&details, "lastRestoredFileName"), fact(ctx, last_file_fact)?);
                let application = cutover::application(&self.0, ctx, application, database.name()).await?;
                Ok(match gate(&last, &wanted, &details, application).closed() {
                    None => Observed::Absent,
                    Some(text) => Observed::NotYet {
                        text,
                        again_secs: AGAIN_SECS,
                    },
                })
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let arm = self.0.arm(ctx);
        match &ctx.task.action {
            Action::StartLogReplay {
                database,
                location,
                account,
                container,
                sas,
            } => {
                let token = storage::recorded_sas(&self.0, ctx, sas, account, container).await?;
                let url = format!(
                    "{}/{container}",
                    arm.connection().blob_url.replace("{account}", account.name())
                );
                let body = json!({ "location": location, "properties": {
                    "createMode": "RestoreExternalBackup", "storageContainerUri": url,
                    "storageContainerSasToken": token.expose() } });
                arm.put(database, &body).await.map_err(words::azure)?;
                ctx.created(database.as_str());
                Ok(None)
            }
            Action::CompleteLogReplay {
                database,
                last_file_fact,
                ..
            } => {
                let body = json!({ "lastBackupName": fact(ctx, last_file_fact)? });
                match arm.post(database, "completeRestore", Some(&body)).await {
                    Ok(started) => Ok(started.operation.map(|op| Handle(json!({ "op": op })))),
                    // Our own earlier request had arrived before a crash.
                    Err(e) if e.code() == "ExternalBackupAlreadySignaledToComplete" => {
                        Ok(Some(Handle(json!({ "completing": true }))))
                    }
                    Err(e) => Err(words::azure(e)),
                }
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let Action::CompleteLogReplay { database, .. } = &ctx.task.action else {
            return Ok(());
        };
        let arm = self.0.arm(ctx);
        let mut op: Option<Operation> = handle.0.get("op").and_then(|o| serde_json::from_value(o.clone()).ok());
        loop {
            match &op {
                Some(now) => match arm.poll(now).await {
                    Ok(azure::Polled::Running {
                        operation,
                        status,
                        percent,
                        retry_after,
                    }) => {
                        ctx.progress(percent, status);
                        op = Some(operation);
                        ctx.sleep(retry_after.max(1)).await?;
                    }
                    Ok(azure::Polled::Done { .. }) => return Ok(()),
                    Ok(azure::Polled::Failed(e)) => return Err(words::ended(e)),
                    Err(e) if e.is_not_found() => op = None,
                    Err(e) => return Err(words::look(e)),
                },
                None => {
                    if self
                        .status(ctx, database)
                        .await?
                        .is_some_and(|s| s.eq_ignore_ascii_case("Online"))
                    {
                        return Ok(());
                    }
                    ctx.progress(None, "the database is coming online");
                    ctx.sleep(u64::from(AGAIN_SECS)).await?;
                }
            }
        }
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        match &ctx.task.action {
            Action::StartLogReplay { database, .. } => {
                for _ in 0..20 {
                    if let Some(now) = self.details(ctx, database).await? {
                        broken(&now, database)?;
                        ctx.evidence(format!("Log Replay Service runs: {}.", text(&now, "status")));
                        return Ok(());
                    }
                    ctx.sleep(u64::from(AGAIN_SECS)).await?;
                }
                Err(Failure::of(
                    FailureClass::Conflict,
                    "NoRestoreDetails",
                    "Log Replay Service shows no restore",
                    "Azure accepted the start, but no restore details have appeared.",
                    "Rehost tries again. Look at the managed instance's activity log in the portal.",
                ))
            }
            Action::CompleteLogReplay { .. } => {
                ctx.evidence("Log Replay Service has ended; the database is coming online.");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let Action::StartLogReplay { database, .. } = &ctx.task.action else {
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                "NoWayBack",
                "The database cutover can't be taken back",
                ctx.task.way_back.clone(),
                "Follow the way back by hand.",
            ));
        };
        self.0.arm(ctx).delete(database).await.map_err(words::azure)?;
        while self.status(ctx, database).await?.is_some() {
            ctx.sleep(u64::from(AGAIN_SECS)).await?;
        }
        ctx.removed(database.as_str());
        Ok(())
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_what_the_interface_tells() {
        let of = |details: Value| {
            let details = json!({ "properties": details });
            let now = gate("db_tail.trn", "db_tail.trn", &details, Application::Stopped);
            now.pending
        };
        assert_eq!(of(json!({})), 0);
        assert_eq!(of(json!({ "currentRestoringFileName": "x.trn" })), 1);
        assert_eq!(of(json!({ "numberOfFilesQueued": 2, "numberOfFilesRestoring": 1 })), 3);
        assert_eq!(
            of(json!({ "numberOfFilesQueued": 0, "currentRestoringFileName": "x" })),
            0
        );
        assert!(!gate("", "db_tail.trn", &json!({}), Application::Stopped).full_restored);
    }

    #[test]
    fn blocked_restore_says_why() {
        let database = ResourceId::new("/subscriptions/s/managedInstances/i/databases/d");
        let d = json!({ "properties": { "status": "Blocked", "blockReason": "Gap in log backups.", "unrestorableFiles": [{ "name": "x.trn" }] } });
        let f = broken(&d, &database).unwrap_err();
        assert!(
            f.detail.contains("Gap in log backups.") && f.detail.contains("x.trn"),
            "{}",
            f.detail
        );
        assert!(broken(&json!({ "properties": { "status": "Restoring" } }), &database).is_ok());
    }
}
