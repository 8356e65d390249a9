//! What stands around a database is moved, and the database is proved to have arrived.
//!
//! Decisions: the source is only read (the crate `sqlserver` sends `SELECT` there and nothing else); each object is looked
//! for before it is made, so that a task that is repeated, after a crash too, makes what is missing and nothing twice; a login
//! or user that the managed instance refuses stops the task with its name, after the others were made.

use crate::{Links, checks::Look, managed, words};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{
    Action, ResourceId,
    around::{AroundDesign, AroundKind, MEASURE_FACT, Measure, PROOF_FACT, Proof, ProveDesign},
    design::{MI_SECRET, ManagedSignIn, SQL_DIRECT_SECRET, SqlSignIn},
};
use serde_json::Value;
use sqlserver::{
    Client, Login, SqlError,
    around::{self, Object},
    facts, prove,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Links {
    /// Signs in to the managed instance.
    async fn managed(&self, ctx: &Ctx, instance: &ResourceId, login: Login) -> Result<Client, Failure> {
        let now = self.arm(ctx).get(instance).await.map_err(words::azure)?;
        let address = managed::address(&self.managed, instance, &now)?;
        let options = managed::options(&self.managed, address, login).map_err(|e| words::sql(&e))?;
        let mut client = Client::connect(&options).await.map_err(|e| words::sql(&e))?;
        let about = facts::about(&mut client).await.map_err(|e| words::sql(&e))?;
        managed::must_be_managed(&about, instance)?;
        Ok(client)
    }

    /// Signs in to the managed instance as its administrator, or as its Entra administrator.
    pub(crate) async fn target(&self, ctx: &Ctx, instance: &ResourceId, admin: &str) -> Result<Client, Failure> {
        let login = match (self.managed.sign_in, (self.secrets)(MI_SECRET)) {
            (ManagedSignIn::Entra, _) => Login::Token(self.arm(ctx).sql_token().await.map_err(words::azure)?),
            (ManagedSignIn::Administrator, Some(password)) => Login::Sql {
                user: admin.to_owned(),
                password,
            },
            (ManagedSignIn::Administrator, None) => {
                return Err(words::sql(&SqlError::Config(format!(
                    "No password of {admin} is stored."
                ))));
            }
        };
        self.managed(ctx, instance, login).await
    }

    /// Only an Entra administrator makes Entra logins.
    fn by_entra(&self) -> bool {
        self.managed.sign_in == ManagedSignIn::Entra
    }
}

/// Measures the source, or the target and compares.
pub(crate) struct Prove(pub(crate) Arc<Links>);

impl Prove {
    async fn measure(
        &self,
        ctx: &Ctx,
        client: &mut Client,
        database: &str,
        design: &ProveDesign,
    ) -> Result<Measure, Failure> {
        let told = |table: &str, place: usize, of: usize| {
            let percent = (place - 1) as f64 * 100.0 / of.max(1) as f64;
            ctx.progress(Some(percent), format!("{table} · {place} of {of} tables"));
        };
        let cancel = CancellationToken::new();
        prove::measure(client, database, design, &cancel, told)
            .await
            .map_err(|e| words::sql(&e))
    }
}

#[async_trait::async_trait]
impl Look for Prove {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        match &ctx.task.action {
            Action::CheckServers {
                instance,
                admin,
                database,
                around,
            } => {
                let mut source = self.0.sql().await?;
                let here = around::read(&mut source, database).await.map_err(|e| words::sql(&e))?;
                ctx.evidence(format!("Signed in to {}.", here.server));
                let mut target = self.0.target(ctx, instance, admin).await?;
                let there = around::read(&mut target, database).await.map_err(|e| words::sql(&e))?;
                let who = if self.0.by_entra() {
                    "the Entra administrator"
                } else {
                    admin
                };
                ctx.evidence(format!("Signed in to {} as {who}.", there.server));
                let Some(design) = around else {
                    return Ok(Observed::Matches);
                };
                if design.kinds.contains(&AroundKind::Logins) && !here.sees_hashes() {
                    return Err(Failure::of(
                        FailureClass::NeedsPerson,
                        "HashesUnreadable",
                        format!("The logins of {} can't be moved yet", here.server),
                        "The account that reads the source does not see the hashes of passwords.",
                        format!(
                            "The database administrator adds it to sysadmin for the time of the migration: ALTER SERVER ROLE sysadmin ADD MEMBER {0}, or on 2008: EXEC sp_addsrvrolemember {1}, 'sysadmin'. Then choose Retry.",
                            sqlserver::quote::identifier(&self.0.sql.user).unwrap_or_default(),
                            sqlserver::quote::literal(&self.0.sql.user)
                        ),
                    ));
                }
                let all = around::compare(
                    &here,
                    &there.with_database(database),
                    database,
                    design,
                    self.0.by_entra(),
                );
                let wanted = all.iter().filter(|o| around::chosen(design, o) && !o.there);
                for o in wanted {
                    if let Some(why) = &o.why_not {
                        ctx.evidence(format!("{} ({}) will not be moved. {why}", o.name, o.kind.words()));
                    }
                }
                Ok(Observed::Matches)
            }
            Action::MeasureDatabase { database, prove } => {
                let mut source = self.0.sql().await?;
                let found = self.measure(ctx, &mut source, database, prove).await?;
                ctx.evidence(format!(
                    "{database} on {}: {} in {} tables.",
                    found.server,
                    rows(&found),
                    found.rows.len()
                ));
                ctx.set_fact(format!("{MEASURE_FACT}{database}"), kept(&found)?);
                Ok(Observed::Matches)
            }
            Action::ProveDatabase {
                instance,
                admin,
                database,
                prove,
            } => {
                let before: Measure = ctx
                    .fact(&format!("{MEASURE_FACT}{database}"))
                    .and_then(|f| serde_json::from_value(f.clone()).ok())
                    .ok_or_else(|| {
                        Failure::permanent(
                            "FactMissing",
                            "The source was not measured",
                            "There is nothing to compare the database with.",
                            "Retry the task that measures the source, while it can be read.",
                        )
                    })?;
                let mut target = self.0.target(ctx, instance, admin).await?;
                let after = self.measure(ctx, &mut target, database, prove).await?;
                let mut proof = Proof::of(database, &before, &after);
                if prove.checkdb {
                    ctx.progress(None, "DBCC CHECKDB");
                    prove::check(&mut target, database, &CancellationToken::new())
                        .await
                        .map_err(|e| damaged(&e, database))?;
                    proof
                        .also
                        .push("DBCC CHECKDB found nothing wrong on the managed instance.".into());
                }
                ctx.set_fact(format!("{PROOF_FACT}{database}"), kept(&proof)?);
                let differ = proof.differences();
                if differ.is_empty() {
                    ctx.evidence(format!(
                        "{database} is the same before and after: {} in {} tables, {} checksums, {} kinds of objects.",
                        rows(&after),
                        after.rows.len(),
                        after.checksums.len(),
                        after.objects.len()
                    ));
                    proof.also.iter().for_each(|a| ctx.evidence(a));
                    return Ok(Observed::Matches);
                }
                Err(Failure::of(
                    FailureClass::NeedsPerson,
                    "DatabaseDiffers",
                    format!("{database} on the managed instance differs from the source"),
                    format!("{}.", differ.join("; ")),
                    "The database administrator finds out what wrote to one of the two (on the managed instance: SELECT login_name, program_name FROM sys.dm_exec_sessions), or which backup is missing. The application still uses nothing of it: power its old machine on again to go back. When the cause is gone, choose Retry.",
                ))
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }
}

fn rows(m: &Measure) -> String {
    format!("{} rows", m.rows.values().sum::<i64>())
}

fn kept(what: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(what).map_err(|e| {
        Failure::permanent(
            "Internal",
            "A measure can't be kept",
            e.to_string(),
            "Report it with the support bundle.",
        )
    })
}

fn damaged(e: &SqlError, database: &str) -> Failure {
    match e {
        SqlError::Statement { message, .. } => Failure::of(
            FailureClass::NeedsPerson,
            "DatabaseDamaged",
            format!("DBCC CHECKDB found damage in {database}"),
            message.clone(),
            format!(
                "The database administrator runs DBCC CHECKDB on the source as well: damage that was there came with the backup. Restore from a backup before it, or repair it: DBCC CHECKDB (N'{}', REPAIR_REBUILD) in single-user mode. Then choose Retry.",
                database.replace('\'', "''")
            ),
        ),
        other => words::sql(other),
    }
}

/// Makes what of one kind stands around the database.
pub(crate) struct Move(pub(crate) Arc<Links>);

struct Parts<'a> {
    kind: AroundKind,
    instance: &'a ResourceId,
    admin: &'a str,
    database: &'a str,
    design: &'a AroundDesign,
}

impl Parts<'_> {
    /// Without logins and users the application can't sign in. What else the managed instance refuses is written down, and
    /// does not keep the old server running.
    fn is_needed(&self) -> bool {
        matches!(self.kind, AroundKind::Logins | AroundKind::Users)
    }
}

fn parts(ctx: &Ctx) -> Result<Parts<'_>, Failure> {
    match &ctx.task.action {
        Action::MoveAround {
            kind,
            instance,
            admin,
            database,
            around,
        } => Ok(Parts {
            kind: *kind,
            instance,
            admin,
            database,
            design: around,
        }),
        _ => Err(words::misplaced(&ctx.task)),
    }
}

impl Move {
    /// The objects of this task's kind as they are now, and the connection to make them through.
    async fn objects(&self, ctx: &Ctx, p: &Parts<'_>) -> Result<(Client, Vec<Object>), Failure> {
        let mut source = self.0.sql().await?;
        let here = around::read(&mut source, p.database)
            .await
            .map_err(|e| words::sql(&e))?;
        let mut target = self.0.target(ctx, p.instance, p.admin).await?;
        let there = around::read(&mut target, p.database)
            .await
            .map_err(|e| words::sql(&e))?;
        let all = around::compare(&here, &there, p.database, p.design, self.0.by_entra());
        Ok((target, all.into_iter().filter(|o| o.kind == p.kind).collect()))
    }

    /// Signs in to the managed instance with the source's own login, whose password is known.
    async fn sign_in(&self, ctx: &Ctx, p: &Parts<'_>, all: &[Object]) -> Result<(), Failure> {
        let user = self.0.sql.user.trim();
        let moved = self.0.sql.sign_in == SqlSignIn::Sql
            && all.iter().any(|o| o.name == user && o.there && o.remarks.is_empty());
        let Some(password) = (self.0.secrets)(SQL_DIRECT_SECRET).filter(|_| moved) else {
            return Ok(());
        };
        let login = Login::Sql {
            user: user.to_owned(),
            password,
        };
        self.0.managed(ctx, p.instance, login).await?;
        ctx.evidence(format!(
            "{user} signs in to the managed instance with the password that it has on the source."
        ));
        Ok(())
    }

    /// Says what became of each object.
    fn tell(ctx: &Ctx, p: &Parts<'_>, all: &[Object]) {
        for o in all {
            let what = match (&o.why_not, o.there) {
                (_, true) => "is on the managed instance.".to_owned(),
                (Some(why), _) => format!("is not moved. {why}"),
                _ if !around::chosen(p.design, o) => "is left out by choice.".to_owned(),
                _ => continue,
            };
            let remarks: String = o.remarks.iter().map(|r| format!(" {r}")).collect();
            ctx.evidence(format!("{} {what}{remarks}", o.name));
        }
    }

    fn open<'a>(p: &Parts<'_>, all: &'a [Object]) -> Vec<&'a Object> {
        all.iter()
            .filter(|o| o.statement.is_some() && around::chosen(p.design, o))
            .collect()
    }
}

#[async_trait::async_trait]
impl TaskKind for Move {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let p = parts(ctx)?;
        let (_, all) = self.objects(ctx, &p).await?;
        let open = Self::open(&p, &all);
        if open.is_empty() {
            Self::tell(ctx, &p, &all);
            if !all.iter().any(|o| o.there) {
                return Ok(Observed::NotNeeded(match all.len() {
                    0 => format!("The source has no {}.", p.kind.words()),
                    n => format!("None of {n} can be moved or was chosen; the evidence says why."),
                }));
            }
            if p.kind == AroundKind::Logins {
                self.sign_in(ctx, &p, &all).await?;
            }
            return Ok(Observed::Matches);
        }
        let names: Vec<&str> = open.iter().map(|o| o.name.as_str()).collect();
        Ok(Observed::Differs(format!(
            "{} are missing: {}",
            p.kind.words(),
            names.join(", ")
        )))
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let p = parts(ctx)?;
        let (mut target, all) = self.objects(ctx, &p).await?;
        let mut refused = None;
        for o in Self::open(&p, &all) {
            match around::make(&mut target, o, &CancellationToken::new()).await {
                Ok(()) => ctx.evidence(format!("{}: made.", o.name)),
                // The others can be made all the same.
                Err(e @ SqlError::Statement { .. }) if p.is_needed() => {
                    refused.get_or_insert_with(|| {
                        let f = words::sql(&e);
                        Failure {
                            title: format!("{} can't be moved", o.name),
                            hint: format!("{} Or the database administrator makes it by hand on the managed instance, where it is found and left alone: {}. Then choose Retry.", f.hint, o.shown),
                            class: FailureClass::NeedsPerson,
                            ..f
                        }
                    });
                }
                // Not the statement: the command of a job's step may hold a password, and this goes into the report.
                Err(e @ SqlError::Statement { .. }) => ctx.evidence(format!(
                    "{} is not moved, the managed instance refused it: {e} If it is needed, make it by hand: its statement stands beside the database method, in Beside the database.",
                    o.name
                )),
                Err(e) => return Err(words::sql(&e)),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    async fn settle(&self, _: &Ctx, _: &Handle) -> Result<(), Failure> {
        Ok(())
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let p = parts(ctx)?;
        let (_, all) = self.objects(ctx, &p).await?;
        let open = Self::open(&p, &all);
        if let Some(first) = open.first().filter(|_| p.is_needed()) {
            return Err(Failure::of(
                FailureClass::Conflict,
                "NotAsPlanned",
                format!("{} is not on the managed instance", first.name),
                "It was made, and is missing or different all the same: somebody changes the managed instance at the same time.",
                "Rehost tries again.",
            ));
        }
        Self::tell(ctx, &p, &all);
        if p.kind == AroundKind::Logins {
            self.sign_in(ctx, &p, &all).await?;
        }
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "NoWayBack",
            format!("{} can't be taken back by Rehost", ctx.task.title),
            ctx.task.way_back.clone(),
            "Follow the way back by hand.",
        ))
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }

    fn system(&self) -> &'static str {
        "sqlserver"
    }
}
