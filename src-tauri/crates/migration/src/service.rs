//! What services make by themselves for this project: changed in part, asked to look again, removed with what it was
//! made for.

use crate::{
    Links,
    arm::{differences, follow, gone, handle, leaving, state_of, terminal},
    template, words,
};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use jiff::{SignedDuration, Timestamp};
use plan::{Action, Follow, ResourceId};
use serde_json::{Value, json};
use std::sync::Arc;

/// Changes parts of a resource.
pub(crate) struct Patch(pub(crate) Arc<Links>);

impl Patch {
    fn parts(&self, ctx: &Ctx) -> Result<(ResourceId, Value), Failure> {
        let Action::Patch { id, body } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        Ok((template::id(&self.0, ctx, id)?, template::json(&self.0, ctx, body)?))
    }
}

#[async_trait::async_trait]
impl TaskKind for Patch {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (id, body) = self.parts(ctx)?;
        let now = self.0.arm(ctx).get(&id).await.map_err(words::azure)?;
        if state_of(&now).is_some_and(|s| !terminal(s)) {
            return Ok(Observed::InFlight(Handle(json!({ "resource": id }))));
        }
        let differ = differences(&body, &now, "");
        Ok(if differ.is_empty() {
            Observed::Matches
        } else {
            Observed::Differs(differ.join(", "))
        })
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (id, body) = self.parts(ctx)?;
        let started = self.0.arm(ctx).patch(&id, &body).await.map_err(words::azure)?;
        Ok(handle(&started))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, handle, &Follow::Operation, None).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (id, body) = self.parts(ctx)?;
        let now = self.0.arm(ctx).get(&id).await.map_err(words::azure)?;
        let differ = differences(&body, &now, "");
        if differ.is_empty() {
            ctx.evidence(format!("{} is as planned.", id.name()));
            return Ok(());
        }
        Err(Failure::of(
            FailureClass::Conflict,
            "NotAsPlanned",
            format!("{} is not as planned", id.name()),
            format!("It differs at {}.", differ.join(", ")),
            "Rehost tries again. If it stays so, look at the resource's activity log in the portal.",
        ))
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(by_hand(ctx))
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Calls an action that does no harm when it is repeated.
pub(crate) struct Call(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl TaskKind for Call {
    async fn observe(&self, _: &Ctx) -> Result<Observed, Failure> {
        // Nothing tells what it did; after a crash it is simply called again.
        Ok(Observed::Absent)
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let Action::Call { id, verb, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let id = template::id(&self.0, ctx, id)?;
        let started = self.0.arm(ctx).post(&id, verb, None).await.map_err(words::azure)?;
        Ok(handle(&started))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let Action::Call { follow: how, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        follow(&self.0, ctx, handle, how, None).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence(format!("{}: the service reports it as finished.", ctx.task.title));
        Ok(())
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence("There is nothing to take back.");
        Ok(())
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Removes what was made for a resource of this project.
pub(crate) struct Remove(pub(crate) Arc<Links>);

struct Removal<'a> {
    id: ResourceId,
    verb: Option<&'a str>,
    body: Option<Value>,
    made_for: ResourceId,
    follow: &'a Follow,
}

impl Remove {
    fn parts<'a>(&self, ctx: &'a Ctx) -> Result<Removal<'a>, Failure> {
        let Action::Remove {
            id,
            verb,
            body,
            made_for,
            follow,
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        Ok(Removal {
            id: template::id(&self.0, ctx, id)?,
            verb: verb.as_deref(),
            body: body.as_ref().map(|b| template::json(&self.0, ctx, b)).transpose()?,
            made_for: template::id(&self.0, ctx, made_for)?,
            follow,
        })
    }

    /// Finds a running job on the resource that started after our Intent: the request had left before a crash.
    async fn running_job(&self, ctx: &Ctx, removal: &Removal<'_>, since: Timestamp) -> Result<Option<Handle>, Failure> {
        let Follow::Job { vault } = removal.follow else {
            return Ok(None);
        };
        let jobs = template::id(&self.0, ctx, vault)?;
        let jobs = self
            .0
            .arm(ctx)
            .list(&ResourceId::new(format!("{jobs}/replicationJobs")))
            .await
            .map_err(words::azure)?;
        Ok(jobs.into_iter().find_map(|j| {
            let text = |p: &str| j.pointer(p).and_then(Value::as_str).unwrap_or_default();
            let started: Option<Timestamp> = text("/properties/startTime").parse().ok();
            let ours = ResourceId::new(text("/properties/targetObjectId")) == removal.id
                && matches!(text("/properties/state"), "InProgress" | "NotStarted")
                && started.is_some_and(|s| s >= since - SignedDuration::from_secs(60));
            ours.then(|| Handle(json!({ "job": text("/id") })))
        }))
    }
}

#[async_trait::async_trait]
impl TaskKind for Remove {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let removal = self.parts(ctx)?;
        if ctx.intent_at.is_none() && !ctx.is_ours(removal.made_for.as_str()) {
            return Ok(Observed::NotNeeded(format!(
                "Rehost did not create {}, so what belongs to it stays.",
                removal.made_for.name()
            )));
        }
        let Some(now) = self.0.arm(ctx).get_opt(&removal.id).await.map_err(words::azure)? else {
            return Ok(Observed::Matches);
        };
        if leaving(&now) {
            return Ok(Observed::InFlight(Handle(json!({ "resource": removal.id }))));
        }
        if let Some(since) = ctx.intent_at
            && let Some(job) = self.running_job(ctx, &removal, since).await?
        {
            return Ok(Observed::InFlight(job));
        }
        Ok(Observed::Differs("it is there".into()))
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let removal = self.parts(ctx)?;
        let arm = self.0.arm(ctx);
        let started = match removal.verb {
            Some(verb) => arm.post(&removal.id, verb, removal.body.as_ref()).await,
            None => arm.delete(&removal.id).await,
        };
        Ok(handle(&started.map_err(words::azure)?))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, handle, self.parts(ctx)?.follow, None).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        gone(&self.0, ctx, &self.parts(ctx)?.id).await
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(by_hand(ctx))
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

fn by_hand(ctx: &Ctx) -> Failure {
    Failure::of(
        FailureClass::NeedsPerson,
        "NoWayBack",
        format!("{} can't be taken back by Rehost", ctx.task.title),
        ctx.task.way_back.clone(),
        "Follow the way back by hand.",
    )
}
