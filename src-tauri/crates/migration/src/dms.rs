//! Azure Database Migration Service: the record of a migration is an extension of the managed instance, and all that is
//! known of it stands in that record.
//!
//! Start and cutover must not be repeated. A start that has left before a crash is recognised by the record's
//! `startedOn`, which is not before the Intent; a cutover by the state Completing. Where the record does not show it yet,
//! a while passes before the request is made again. Every later task holds on to the `migrationOperationId` of the start,
//! so that another person's migration of the same name is never followed or cut over.
//!
//! A migration that has failed is started again only after a person chose Retry: the failed operation's id is kept as a
//! fact the first time it is seen, by whichever task. Retry on a later task begins again at the start ([`Failure::lost`]).
//!
//! The keys of the integration runtime are never asked for here: only a person's script holds one, filled on request.

use crate::{Links, checks::Look, cutover, storage, template, words};
use azure::{Operation, Polled, advice};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use jiff::{SignedDuration, Timestamp};
use plan::{
    Action, DmsUntil, ResourceId,
    cutover::{Application, Cutover},
    task::lookup,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds between looks at a migration.
const AGAIN_SECS: u32 = 30;
/// Seconds after an Intent within which the record may not show the request yet.
const ARRIVES_SECS: i64 = 120;
/// Clocks of two machines differ.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Start of the name of the fact that holds the operation of a database's migration.
const OPERATION: &str = "dms.operation";
/// Start of the name of the fact that holds the operation whose failure a person has been told of.
const FAILED: &str = "dms.failed";
/// What Retry does when the migration is lost.
const BEGINS_AGAIN: &str = "Choose Retry: the migration begins again from the first backup.";
const ACCOUNT_KEY: &str = "${secret:account-key}";

/// The record of a migration with its details.
struct Record(Value);

impl Record {
    fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(&format!("/properties/{pointer}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn detail(&self, name: &str) -> &str {
        self.text(&format!("migrationStatusDetails/{name}"))
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        lookup(&self.0, &format!("/properties/migrationStatusDetails/{name}/*"))
            .into_iter()
            .filter_map(Value::as_str)
            .collect()
    }

    fn is(&self, status: &str) -> bool {
        self.text("migrationStatus").eq_ignore_ascii_case(status)
    }

    fn operation(&self) -> &str {
        self.text("migrationOperationId")
    }

    fn over(&self) -> bool {
        ["Succeeded", "Failed", "Canceled"].iter().any(|s| self.is(s))
    }

    fn started_since(&self, intent: Timestamp) -> bool {
        self.text("startedOn")
            .parse::<Timestamp>()
            .is_ok_and(|t| t >= intent - SKEW)
    }

    fn full_restored(&self) -> bool {
        self.0
            .pointer("/properties/migrationStatusDetails/isFullBackupRestored")
            == Some(&Value::Bool(true))
    }

    fn pending_logs(&self) -> u64 {
        self.0
            .pointer("/properties/migrationStatusDetails/pendingLogBackupsCount")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }

    /// Files of the sets that are in work, and of the full backup.
    fn files(&self, of: &str) -> Vec<&Value> {
        lookup(
            &self.0,
            &format!("/properties/migrationStatusDetails/{of}/listOfBackupFiles/*"),
        )
    }

    fn reached(&self, until: &DmsUntil) -> bool {
        if self.is("Succeeded") {
            return true;
        }
        let last = file_name(self.detail("lastRestoredFilename"));
        match until {
            DmsUntil::Succeeded => false,
            DmsUntil::FullBackup => self.full_restored(),
            DmsUntil::LogBackup => {
                let full = self.files("fullBackupSetInfo");
                self.full_restored()
                    && !last.is_empty()
                    && !full
                        .iter()
                        .any(|f| file_name(part(f, "fileName")).eq_ignore_ascii_case(last))
            }
            DmsUntil::File { name } => {
                self.full_restored() && self.pending_logs() == 0 && last.eq_ignore_ascii_case(file_name(name))
            }
        }
    }

    /// What stands between this migration and its cutover.
    fn gate<'a>(&'a self, wanted: &'a str, application: Application<'a>) -> Cutover<'a> {
        Cutover {
            full_restored: self.full_restored(),
            last: self.detail("lastRestoredFilename"),
            wanted,
            pending: self.pending_logs(),
            blocked: self.detail("restoreBlockingReason"),
            application,
        }
    }

    /// What goes on, in words, and how far an upload is.
    fn progress(&self) -> (String, Option<f64>) {
        let sets = self.files("activeBackupSets/*");
        let number = |f: &Value, name: &str| f.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        if let Some(f) = sets.iter().find(|f| part(f, "status") == "Uploading") {
            let percent = 100.0 * number(f, "dataRead") / number(f, "totalSize").max(1.0);
            let text = format!(
                "uploading {} at {:.0} MB/s",
                part(f, "fileName"),
                number(f, "copyThroughput") / 1024.0
            );
            return (text, Some(percent.min(100.0)));
        }
        let (current, last) = (
            self.detail("currentRestoringFilename"),
            self.detail("lastRestoredFilename"),
        );
        let waiting = self.pending_logs();
        let text = match (current.is_empty(), last.is_empty()) {
            (false, _) => format!("restoring {current} · {waiting} log backups wait"),
            (true, false) => format!("last restored: {last} · {waiting} log backups wait"),
            (true, true) => "the service looks for the full backup".to_owned(),
        };
        (text, None)
    }

    /// Why it has ended without success; none while it runs, and when it has succeeded. From then on a person is told.
    fn lost(&self, ctx: &Ctx, migration: &ResourceId) -> Option<Failure> {
        let lost = (self.over() && !self.is("Succeeded")) || self.is("Canceling");
        let why = if lost { self.stopped() } else { None }?;
        ctx.set_fact(own(FAILED, migration), self.operation());
        Some(why.having_lost(migration.as_str()))
    }

    /// Why it can't go on without a person; none while it can.
    fn stopped(&self) -> Option<Failure> {
        let code = self.text("migrationFailureError/code");
        let said = [
            self.text("migrationFailureError/message"),
            self.text("provisioningError"),
            self.detail("completeRestoreErrorMessage"),
        ]
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
        if self.is("Failed") {
            let told = advice::of_code(code, &said);
            return Some(needs_person(code, told.title, told.detail, &told.hint));
        }
        if self.is("Canceled") || self.is("Canceling") {
            return Some(needs_person(
                "MigrationCanceled",
                "The migration was cancelled",
                "Somebody cancelled it in the portal or with a command.",
                BEGINS_AGAIN,
            ));
        }
        let upload = self.texts("fileUploadBlockingErrors").join(" ");
        if self.is("Retriable") || !upload.is_empty() {
            let told = advice::of_code(code, &[said, upload].join(" "));
            return Some(needs_person(
                if code.is_empty() { "UploadBlocked" } else { code },
                "The integration runtime can't upload the backups",
                told.detail,
                "Check the share, its account and the integration runtime's computer. The service goes on by itself when the cause is gone, and gives up 8 hours after the error (2040); then choose Retry.",
            ));
        }
        let blocked = self.detail("restoreBlockingReason");
        if !blocked.is_empty() {
            let told = advice::of_code(code, blocked);
            return Some(needs_person(
                "RestoreBlocked",
                "The restore can't go on",
                told.detail,
                "Put the backup that is missing or wrong into its place (CHECKSUM, unbroken log chain, one database only), then choose Retry.",
            ));
        }
        let invalid = self.texts("invalidFiles").join(", ");
        if !invalid.is_empty() {
            return Some(needs_person(
                "InvalidFiles",
                "Files among the backups are no valid backups",
                format!("The service can't use: {invalid}."),
                "Take them away when they are something else; take the backup again when they are damaged. Then choose Retry.",
            ));
        }
        None
    }
}

fn needs_person(code: &str, title: impl Into<String>, detail: impl Into<String>, hint: &str) -> Failure {
    Failure::of(FailureClass::NeedsPerson, code, title, detail, hint)
}

fn part<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The last part of a path in a container or on a share.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn own(fact: &str, migration: &ResourceId) -> String {
    format!("{fact}.{}", migration.name())
}

/// Id of the database that the migration makes: the record's name on the same managed instance.
fn database_of(migration: &ResourceId) -> ResourceId {
    let instance = migration.as_str().rsplit_once("/providers/").map_or("", |(i, _)| i);
    ResourceId::new(instance).child("databases", migration.name())
}

async fn record(links: &Links, ctx: &Ctx, migration: &ResourceId) -> Result<Option<Record>, Failure> {
    let with_details = ResourceId::new(format!("{migration}?$expand=MigrationStatusDetails"));
    let now = links.arm(ctx).get_opt(&with_details).await.map_err(words::azure)?;
    Ok(now.map(Record))
}

/// The record of the migration that this run has started.
async fn our_record(links: &Links, ctx: &Ctx, migration: &ResourceId) -> Result<Record, Failure> {
    let Some(now) = record(links, ctx, migration).await? else {
        return Err(needs_person(
            "MigrationGone",
            format!("The migration of {} is not there any more", migration.name()),
            "Somebody deleted its record, and with it the unfinished database.",
            BEGINS_AGAIN,
        )
        .having_lost(migration.as_str()));
    };
    let ours = ctx.fact(&own(OPERATION, migration)).and_then(Value::as_str);
    if ours.is_some_and(|o| !o.eq_ignore_ascii_case(now.operation())) {
        return Err(needs_person(
            "OtherMigration",
            format!(
                "Another migration of {} has taken the place of this one",
                migration.name()
            ),
            "Its operation is not the one that this run has started. It is left alone.",
            "Ask who started it. When it is cancelled, choose Retry: the migration begins again from the first backup.",
        )
        .having_lost(migration.as_str()));
    }
    Ok(now)
}

/// Whether a request announced a moment ago may still be on its way into the record.
fn arriving(ctx: &Ctx) -> Option<Observed> {
    let since = ctx.clock.now().duration_since(ctx.intent_at?);
    (since < SignedDuration::from_secs(ARRIVES_SECS)).then(|| Observed::NotYet {
        text: "looks whether the earlier request has arrived".into(),
        again_secs: AGAIN_SECS,
    })
}

/// Polls an accepted operation to its end. One that Azure has forgotten has ended; the record tells how.
async fn follow(links: &Links, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
    let mut op: Option<Operation> = handle.0.get("op").and_then(|o| serde_json::from_value(o.clone()).ok());
    while let Some(now) = op.take() {
        match links.arm(ctx).poll(&now).await {
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
            Ok(Polled::Done { .. }) => {}
            Ok(Polled::Failed(e)) => return Err(words::ended(e)),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(words::azure(e)),
        }
    }
    Ok(())
}

/// Puts the account's key where the body wants it.
fn with_key(body: &Value, key: &str) -> Value {
    match body {
        Value::String(s) if s == ACCOUNT_KEY => Value::from(key),
        Value::Array(a) => a.iter().map(|v| with_key(v, key)).collect(),
        Value::Object(o) => o.iter().map(|(k, v)| (k.clone(), with_key(v, key))).collect(),
        other => other.clone(),
    }
}

/// Starts a migration.
pub(crate) struct Start(pub(crate) Arc<Links>);

impl Start {
    fn parts<'a>(&self, ctx: &'a Ctx) -> Result<(&'a ResourceId, &'a ResourceId, &'a Value), Failure> {
        match &ctx.task.action {
            Action::StartDms {
                migration,
                account,
                body,
            } => Ok((migration, account, body)),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    /// Keeps in mind that a person is told of this failure.
    fn told(ctx: &Ctx, migration: &ResourceId, now: &Record) {
        ctx.set_fact(own(FAILED, migration), now.operation());
    }
}

#[async_trait::async_trait]
impl TaskKind for Start {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (migration, _, _) = self.parts(ctx)?;
        let database = database_of(migration);
        let Some(now) = record(&self.0, ctx, migration).await? else {
            if let Some(wait) = arriving(ctx) {
                return Ok(wait);
            }
            if self
                .0
                .arm(ctx)
                .get_opt(&database)
                .await
                .map_err(words::azure)?
                .is_some()
            {
                return Err(needs_person(
                    "ManagedDatabaseNameInUse",
                    format!("A database {} is on the managed instance already", database.name()),
                    "The service restores only into a new database, and never overwrites one.",
                    "Drop or rename it on the managed instance, then choose Retry.",
                ));
            }
            return Ok(Observed::Absent);
        };
        if !ctx.is_ours(migration.as_str()) && !ctx.intent_at.is_some_and(|i| now.started_since(i)) {
            if let Some(wait) = arriving(ctx) {
                return Ok(wait);
            }
            return Err(needs_person(
                "MigrationExists",
                format!("A migration of {} is there already", migration.name()),
                format!(
                    "Its state is {}, it was started {}, and not by this project. It is left alone.",
                    now.text("migrationStatus"),
                    now.text("startedOn")
                ),
                &format!(
                    "When nobody needs it: portal, {}, Migrations: cancel and delete it. Then choose Retry.",
                    file_name(now.text("migrationService"))
                ),
            ));
        }
        ctx.created(migration.as_str());
        ctx.created(database.as_str());
        if now.is("Canceling") {
            return Ok(Observed::NotYet {
                text: "the earlier migration is being cancelled".into(),
                again_secs: AGAIN_SECS,
            });
        }
        if !now.is("Failed") && !now.is("Canceled") {
            return Ok(Observed::Matches);
        }
        if ctx.fact(&own(FAILED, migration)).and_then(Value::as_str) == Some(now.operation()) {
            return Ok(Observed::Differs(format!(
                "the last migration ended {}",
                now.text("migrationStatus")
            )));
        }
        Self::told(ctx, migration, &now);
        Err(now.stopped().unwrap_or_else(|| words::misplaced(&ctx.task)))
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (migration, account, body) = self.parts(ctx)?;
        let wants_key = body.to_string().contains(ACCOUNT_KEY);
        let mut body = body.clone();
        if wants_key {
            let key = storage::key(&self.0, ctx, account, "key1").await?;
            self.0.arm.protect(&key);
            storage::note_key(ctx, account, "key1", &key);
            body = with_key(&body, key.expose());
        }
        let body = template::json(&self.0, ctx, &body)?;
        let started = self.0.arm(ctx).put(migration, &body).await.map_err(words::azure)?;
        ctx.created(migration.as_str());
        ctx.created(database_of(migration).as_str());
        Ok(started.operation.map(|op| Handle(json!({ "op": op }))))
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let (migration, _, _) = self.parts(ctx)?;
        let ended = follow(&self.0, ctx, handle).await;
        if ended
            .as_ref()
            .is_err_and(|f| matches!(f.class, FailureClass::Permanent | FailureClass::Conflict))
            && let Some(now) = record(&self.0, ctx, migration).await?
            && let Some(why) = now.stopped()
        {
            Self::told(ctx, migration, &now);
            return Err(why);
        }
        ended
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (migration, _, _) = self.parts(ctx)?;
        for _ in 0..20 {
            if let Some(now) = record(&self.0, ctx, migration).await? {
                if now.over() && !now.is("Succeeded") {
                    Self::told(ctx, migration, &now);
                }
                if let Some(why) = now.stopped() {
                    return Err(why);
                }
                if !now.operation().is_empty() && now.text("provisioningState").eq_ignore_ascii_case("Succeeded") {
                    ctx.set_fact(own(OPERATION, migration), now.operation());
                    ctx.evidence(format!(
                        "The service has accepted the migration: {}.",
                        now.text("migrationStatus")
                    ));
                    return Ok(());
                }
                ctx.progress(None, now.text("provisioningState"));
            }
            ctx.sleep(u64::from(AGAIN_SECS)).await?;
        }
        Err(Failure::of(
            FailureClass::Conflict,
            "NoMigration",
            "The service shows no running migration",
            "Azure accepted the start, but the migration has not begun.",
            "Rehost looks again. Look at the migration service in the portal, Migrations.",
        ))
    }

    /// Cancels, and takes the record away.
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (migration, _, _) = self.parts(ctx)?;
        let arm = self.0.arm(ctx);
        if let Some(now) = record(&self.0, ctx, migration).await? {
            if now.is("Succeeded") || now.is("Completing") {
                return Err(needs_person(
                    "MigrationCompleted",
                    "The migration has succeeded and can't be cancelled",
                    format!("{} is online on the managed instance.", migration.name()),
                    "To go back, drop the database on the managed instance, and bring the source back: RESTORE DATABASE … WITH RECOVERY.",
                ));
            }
            if !now.over() && !now.is("Canceling") {
                let body = json!({ "migrationOperationId": now.operation() });
                let started = arm.post(migration, "cancel", Some(&body)).await.map_err(words::azure)?;
                if let Some(op) = started.operation {
                    follow(&self.0, ctx, &Handle(json!({ "op": op }))).await?;
                }
            }
            while record(&self.0, ctx, migration).await?.is_some_and(|r| !r.over()) {
                ctx.progress(None, "the migration is being cancelled");
                ctx.sleep(u64::from(AGAIN_SECS)).await?;
            }
            arm.delete(migration).await.map_err(words::azure)?;
            while record(&self.0, ctx, migration).await?.is_some() {
                ctx.sleep(u64::from(AGAIN_SECS)).await?;
            }
        }
        ctx.removed(migration.as_str());
        let database = database_of(migration);
        if arm.get_opt(&database).await.map_err(words::azure)?.is_none() {
            ctx.removed(database.as_str());
        }
        ctx.evidence("The migration is cancelled and its record deleted.");
        Ok(())
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Cuts an online migration over.
pub(crate) struct CutOver(pub(crate) Arc<Links>);

impl CutOver {
    fn migration<'a>(&self, ctx: &'a Ctx) -> Result<(&'a ResourceId, &'a str, &'a str), Failure> {
        match &ctx.task.action {
            Action::CutOverDms {
                migration,
                last_file,
                application,
            } => Ok((migration, last_file, application)),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    async fn look(&self, ctx: &Ctx) -> Result<Record, Failure> {
        our_record(&self.0, ctx, self.migration(ctx)?.0).await
    }
}

#[async_trait::async_trait]
impl TaskKind for CutOver {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (migration, last_file, application) = self.migration(ctx)?;
        let now = self.look(ctx).await?;
        if now.is("Succeeded") {
            return Ok(Observed::Matches);
        }
        if now.is("Completing") {
            return Ok(Observed::InFlight(Handle(json!({ "completing": true }))));
        }
        if let Some(why) = now.lost(ctx, migration) {
            return Err(why);
        }
        if let Some(wait) = arriving(ctx) {
            return Ok(wait);
        }
        if let Some(why) = now.stopped() {
            return Err(why);
        }
        let wanted = template::text(&self.0, ctx, last_file)?;
        let gate = now.gate(
            &wanted,
            cutover::application(&self.0, ctx, application, migration.name()).await?,
        );
        Ok(match gate.closed() {
            None => Observed::Absent,
            Some(text) => Observed::NotYet {
                text,
                again_secs: AGAIN_SECS,
            },
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (migration, ..) = self.migration(ctx)?;
        let body = json!({ "migrationOperationId": template::text(&self.0, ctx, &format!("${{{}}}", own(OPERATION, migration)))? });
        let started = self
            .0
            .arm(ctx)
            .post(migration, "cutover", Some(&body))
            .await
            .map_err(words::azure)?;
        Ok(Some(Handle(match started.operation {
            Some(op) => json!({ "op": op }),
            None => json!({ "completing": true }),
        })))
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, handle).await?;
        loop {
            let now = self.look(ctx).await?;
            if now.is("Succeeded") {
                return Ok(());
            }
            if let Some(why) = now.lost(ctx, self.migration(ctx)?.0).or_else(|| now.stopped()) {
                return Err(why);
            }
            if !now.is("Completing") {
                return Ok(());
            }
            ctx.progress(None, "the database is coming online");
            ctx.sleep(u64::from(AGAIN_SECS)).await?;
        }
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let now = self.look(ctx).await?;
        if now.is("Succeeded") {
            ctx.evidence("The migration has succeeded; the database is online.");
            return Ok(());
        }
        Err(now.stopped().unwrap_or_else(|| {
            Failure::of(
                FailureClass::Conflict,
                "NotCutOver",
                "The cutover has not taken effect",
                format!("The migration's state is {}.", now.text("migrationStatus")),
                "Rehost looks again before it does anything.",
            )
        }))
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(needs_person(
            "NoWayBack",
            "The database cutover can't be taken back",
            ctx.task.way_back.clone(),
            "Follow the way back by hand.",
        ))
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Looks at a migration, at the integration runtime, and for what is left of the retired service.
pub(crate) struct Watch(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Watch {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        match &ctx.task.action {
            Action::FollowDms { migration, until } => self.migration(ctx, migration, until).await,
            Action::CheckRuntime { service } => self.runtime(ctx, service).await,
            Action::CheckClassicDms => self.classic(ctx).await,
            _ => Err(words::misplaced(&ctx.task)),
        }
    }
}

impl Watch {
    async fn migration(&self, ctx: &Ctx, migration: &ResourceId, until: &DmsUntil) -> Result<Observed, Failure> {
        let until = match until {
            DmsUntil::File { name } => DmsUntil::File {
                name: template::text(&self.0, ctx, name)?,
            },
            other => other.clone(),
        };
        let now = our_record(&self.0, ctx, migration).await?;
        if let Some(why) = now.lost(ctx, migration) {
            return Err(why);
        }
        if now.reached(&until) {
            ctx.evidence(match &until {
                DmsUntil::Succeeded => "The migration has succeeded.".into(),
                _ => format!("{} is restored.", now.detail("lastRestoredFilename")),
            });
            return Ok(Observed::Matches);
        }
        if let Some(why) = now.stopped() {
            return Err(why);
        }
        let (text, percent) = now.progress();
        ctx.progress(percent, text.clone());
        Ok(Observed::NotYet {
            text,
            again_secs: AGAIN_SECS,
        })
    }

    async fn runtime(&self, ctx: &Ctx, service: &ResourceId) -> Result<Observed, Failure> {
        let now = self.0.arm(ctx).get(service).await.map_err(words::azure)?;
        let state = now
            .pointer("/properties/integrationRuntimeState")
            .and_then(Value::as_str)
            .unwrap_or("NeedRegistration");
        let text = match state {
            "Online" => {
                let (_, nodes) = nodes(&self.0, ctx, service).await?;
                if !nodes.is_empty() {
                    ctx.evidence(format!("The integration runtime is online on {}.", nodes.join(", ")));
                    return Ok(Observed::Matches);
                }
                "the integration runtime has no computer yet".to_owned()
            }
            "NeedRegistration" => "no integration runtime is registered yet".to_owned(),
            other => format!("the integration runtime is {other}"),
        };
        Ok(Observed::NotYet {
            text,
            again_secs: AGAIN_SECS,
        })
    }

    async fn classic(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let arm = self.0.arm(ctx);
        let all = ResourceId::new(format!(
            "/subscriptions/{}/providers/Microsoft.DataMigration/services",
            arm.connection().subscription_id
        ));
        let left = match arm.list(&all).await {
            Ok(left) => left,
            // Without the provider there can be none.
            Err(e) if e.is_not_found() || e.code() == "MissingSubscriptionRegistration" => vec![],
            Err(e) => return Err(words::azure(e)),
        };
        if left.is_empty() {
            ctx.evidence("The subscription holds no instance of Database Migration Service (classic).");
        }
        for service in &left {
            let id = ResourceId::new(part(service, "id"));
            let mut tasks = Vec::new();
            let projects = arm
                .list(&ResourceId::new(format!("{id}/projects")))
                .await
                .map_err(words::azure)?;
            for project in &projects {
                let of = ResourceId::new(format!("{}/tasks", part(project, "id")));
                for task in arm.list(&of).await.map_err(words::azure)? {
                    let state = task
                        .pointer("/properties/state")
                        .and_then(Value::as_str)
                        .unwrap_or("Unknown");
                    tasks.push(format!("{} ({state})", part(&task, "name")));
                }
            }
            ctx.evidence(classic_sentence(
                id.name(),
                part(service, "location"),
                projects.len(),
                &tasks,
            ));
        }
        Ok(Observed::Matches)
    }
}

/// What is told of an instance of the retired service. Dates: Microsoft's deprecation announcement (2023-09-14).
fn classic_sentence(name: &str, location: &str, projects: usize, tasks: &[String]) -> String {
    let tasks = if tasks.is_empty() {
        "no tasks".to_owned()
    } else {
        format!("the tasks {}", tasks.join(", "))
    };
    format!(
        "{name} in {location} is an instance of Azure Database Migration Service (classic), with {projects} projects and {tasks}. \
         New ones can't be created in the portal since 1 August 2023, and the service was retired on 15 March 2026. \
         Rehost neither starts nor changes it. When nobody needs its history, its owner deletes it: portal, {name}, Delete."
    )
}

/// Name of the integration runtime and of its computers.
async fn nodes(links: &Links, ctx: &Ctx, service: &ResourceId) -> Result<(String, Vec<String>), Failure> {
    let answer = links
        .arm(ctx)
        .post(service, "listMonitoringData", None)
        .await
        .map_err(words::azure)?;
    let data = answer.body.unwrap_or_default();
    let nodes = lookup(&data, "/nodes/*/nodeName")
        .into_iter()
        .filter_map(|n| n.as_str().map(str::to_owned))
        .collect();
    Ok((part(&data, "name").to_owned(), nodes))
}

/// Takes the integration runtime's computers out of a service that this project created.
pub(crate) struct RemoveRuntime(pub(crate) Arc<Links>);

impl RemoveRuntime {
    fn service<'a>(&self, ctx: &'a Ctx) -> Result<&'a ResourceId, Failure> {
        match &ctx.task.action {
            Action::RemoveRuntime { service } => Ok(service),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }
}

#[async_trait::async_trait]
impl TaskKind for RemoveRuntime {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let service = self.service(ctx)?;
        if !ctx.is_ours(service.as_str()) {
            return Ok(Observed::NotNeeded(format!(
                "Rehost did not create {}, so its integration runtime stays.",
                service.name()
            )));
        }
        let (_, nodes) = nodes(&self.0, ctx, service).await?;
        Ok(if nodes.is_empty() {
            Observed::Matches
        } else {
            Observed::Differs(format!("{} registered", nodes.join(", ")))
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let service = self.service(ctx)?;
        let (runtime, nodes) = nodes(&self.0, ctx, service).await?;
        for node in nodes {
            let body = json!({ "nodeName": node, "integrationRuntimeName": runtime });
            let arm = self.0.arm(ctx);
            arm.post(service, "deleteNode", Some(&body))
                .await
                .map_err(words::azure)?;
        }
        Ok(None)
    }

    async fn settle(&self, _: &Ctx, _: &Handle) -> Result<(), Failure> {
        Ok(())
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (_, nodes) = nodes(&self.0, ctx, self.service(ctx)?).await?;
        if nodes.is_empty() {
            ctx.evidence("The service has no integration runtime any more.");
            return Ok(());
        }
        Err(Failure::of(
            FailureClass::Conflict,
            "RuntimeStays",
            "The integration runtime is still registered",
            nodes.join(", "),
            "Rehost tries again.",
        ))
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(needs_person(
            "ByHand",
            "The integration runtime is registered again by hand",
            ctx.task.way_back.clone(),
            "Run the script of step 2 on its computer.",
        ))
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: &str, details: Value) -> Record {
        Record(json!({ "properties": { "migrationStatus": status, "migrationStatusDetails": details } }))
    }

    fn file(name: &str) -> DmsUntil {
        DmsUntil::File { name: name.into() }
    }

    #[test]
    fn only_the_last_file_opens_the_cutover() {
        let full = json!({ "listOfBackupFiles": [{ "fileName": "db_full_01.bak" }] });
        let at = |last: &str, pending: u64| {
            record(
                "ReadyForCutover",
                json!({ "isFullBackupRestored": true, "lastRestoredFilename": last, "pendingLogBackupsCount": pending, "fullBackupSetInfo": full }),
            )
        };
        assert!(at("db_full_01.bak", 0).reached(&DmsUntil::FullBackup));
        assert!(!at("db_full_01.bak", 0).reached(&DmsUntil::LogBackup));
        assert!(at("db_log_001.trn", 2).reached(&DmsUntil::LogBackup));
        assert!(!at("db_log_001.trn", 0).reached(&file("db_tail.trn")));
        assert!(!at("db_tail.trn", 1).reached(&file("db_tail.trn")));
        assert!(at("folder/DB_tail.trn", 0).reached(&file("db_tail.trn")));
        assert!(!at("db_tail.trn", 0).reached(&DmsUntil::Succeeded));
        assert!(record("Succeeded", json!({})).reached(&DmsUntil::Succeeded));
        assert!(!record("InProgress", json!({})).reached(&DmsUntil::FullBackup));
    }

    #[test]
    fn what_stops_a_migration_is_put_into_words() {
        for (details, code, part) in [
            (
                json!({ "restoreBlockingReason": "Gap in the log chain." }),
                "RestoreBlocked",
                "Gap in the log chain.",
            ),
            (
                json!({ "fileUploadBlockingErrors": ["Access to the path is denied."] }),
                "UploadBlocked",
                "Access to the path is denied.",
            ),
            (json!({ "invalidFiles": ["notes.txt"] }), "InvalidFiles", "notes.txt"),
        ] {
            let f = record("InProgress", details).stopped().unwrap();
            assert_eq!((f.code.as_str(), f.class.clone()), (code, FailureClass::NeedsPerson));
            assert!(f.detail.contains(part), "{}", f.detail);
        }
        assert_eq!(
            record(
                "InProgress",
                json!({ "invalidFiles": [], "fileUploadBlockingErrors": null })
            )
            .stopped(),
            None
        );
        for code in [
            "2007",
            "2009",
            "2012",
            "2014",
            "2030",
            "2033",
            "2038",
            "2039",
            "2040",
            "2043",
            "2049",
            "2056",
            "Ext_RestoreSettingsError",
        ] {
            let failed = Record(
                json!({ "properties": { "migrationStatus": "Failed", "migrationFailureError": { "code": code, "message": "Said so." } } }),
            );
            let f = failed.stopped().unwrap();
            assert_eq!(f.code, code);
            assert!(
                f.detail.contains("Said so.") && f.detail.len() > "Said so.".len() + 30,
                "{code}: {}",
                f.detail
            );
            assert!(
                !f.hint.contains("Quote the correlation ID"),
                "{code} has no advice of its own"
            );
        }
    }

    #[test]
    fn an_upload_shows_how_far_it_is() {
        let sets = json!({ "activeBackupSets": [{ "listOfBackupFiles": [{ "fileName": "a.bak", "status": "Uploading", "totalSize": 200, "dataRead": 50, "copyThroughput": 20480.0 }] }] });
        assert_eq!(
            record("UploadingFullBackup", sets).progress(),
            ("uploading a.bak at 20 MB/s".into(), Some(25.0))
        );
    }

    #[test]
    fn what_is_left_of_the_retired_service_is_explained_with_dates() {
        let text = classic_sentence("contoso-dms", "eastus2", 1, &["migrate-db (Running)".into()]);
        for part in [
            "contoso-dms in eastus2",
            "(classic)",
            "1 August 2023",
            "15 March 2026",
            "migrate-db (Running)",
            "neither starts nor changes",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }

    #[test]
    fn the_key_goes_only_where_it_is_wanted() {
        let body = json!({ "a": [ACCOUNT_KEY, "x"], "b": { "c": ACCOUNT_KEY, "d": true } });
        assert_eq!(
            with_key(&body, "K"),
            json!({ "a": ["K", "x"], "b": { "c": "K", "d": true } })
        );
    }

    #[test]
    fn the_database_lies_beside_its_record() {
        let id = ResourceId::new(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/managedInstances/mi/providers/Microsoft.DataMigration/databaseMigrations/db",
        );
        assert_eq!(
            database_of(&id).as_str(),
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/managedInstances/mi/databases/db"
        );
    }
}
