//! Azure resources: register, put, post, delete.
//!
//! A thing that was there before and differs from the plan is never overwritten: only what this project created is.
//! And once a managed instance lives in a subnet, its subnet, security group and route table are never written again,
//! because Azure has added rules of its own to them.

use crate::{Links, replication, template, words};
use azure::{
    Arm, Operation, Polled, Started, advice,
    recovery::{self, JobProperties, JobState, JobTask},
    sql,
};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use jiff::{SignedDuration, Timestamp};
use plan::{Action, Condition, Fact, Follow, ResourceId, task::lookup};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Follows an accepted operation to its end, showing signs of life. `handle` is `{"op": …}`, `{"resource": id}`,
/// `{"observe": true}` or `{"job": id}`.
pub(crate) async fn follow(
    links: &Links,
    ctx: &Ctx,
    handle: &Handle,
    how: &Follow,
    watched: Option<&Watched<'_>>,
) -> Result<(), Failure> {
    let arm = links.arm(ctx).following();
    if let Some(op) = handle.0.get("op") {
        let mut op: Operation = serde_json::from_value(op.clone()).map_err(|e| unreadable(ctx, &e.to_string()))?;
        loop {
            match arm.poll(&op).await {
                Ok(Polled::Running {
                    operation,
                    status,
                    percent,
                    retry_after,
                }) => {
                    let (text, more) = detail(links, ctx, how, &operation).await;
                    ctx.progress(more.or(percent), if text.is_empty() { status } else { text });
                    op = operation;
                    ctx.sleep(retry_after.max(1)).await?;
                }
                Ok(Polled::Done { .. }) => return Ok(()),
                Ok(Polled::Failed(e)) => {
                    return Err(job_error(links, ctx, how, &op).await.unwrap_or_else(|| words::ended(e)));
                }
                // Azure forgets finished operations after some time; the resource itself then tells.
                Err(e) if e.is_not_found() => return Ok(()),
                Err(e) => return Err(words::look(e)),
            }
        }
    }
    if let Some(job) = handle.0.get("job").and_then(Value::as_str) {
        let job = ResourceId::new(job);
        loop {
            let now: recovery::Job = arm.read(&job).await.map_err(words::azure)?;
            let now = now.properties;
            let (text, percent) = job_text(&now);
            ctx.progress(percent, text);
            match now.state {
                Some(JobState::Succeeded) => return Ok(()),
                Some(JobState::Failed | JobState::Cancelled | JobState::Suspended) => return Err(job_failure(&now)),
                _ => ctx.sleep(30).await?,
            }
        }
    }
    if let Some(id) = handle.0.get("resource").and_then(Value::as_str) {
        let id = ResourceId::new(id);
        loop {
            let Some(now) = arm.get_opt(&id).await.map_err(words::azure)? else {
                return Ok(());
            };
            let state = state_of(&now).unwrap_or("Succeeded").to_owned();
            if terminal(&state) {
                return Ok(());
            }
            ctx.progress(None, state);
            ctx.sleep(15).await?;
        }
    }
    if let Some(watched) = watched {
        loop {
            match arm.get_opt(&watched.id).await.map_err(words::azure)? {
                None if watched.done.is_empty() => return Ok(()),
                Some(now) if !watched.done.is_empty() && holds(watched.done, &now) => return Ok(()),
                Some(now) if watched.running.is_some_and(|r| !holds(r, &now)) => return Ok(()),
                _ => {}
            }
            ctx.progress(None, "in progress");
            ctx.sleep(30).await?;
        }
    }
    Ok(())
}

/// What to look at when an operation of ours is only visible in a resource.
pub(crate) struct Watched<'a> {
    id: ResourceId,
    done: &'a Condition,
    running: Option<&'a Condition>,
}

pub(crate) fn holds(condition: &Condition, document: &Value) -> bool {
    condition.iter().all(|e| e.holds(document))
}

pub(crate) fn state_of(document: &Value) -> Option<&str> {
    document
        .pointer("/properties/provisioningState")
        .and_then(Value::as_str)
}

/// True when somebody, perhaps an earlier process of ours, is removing the resource.
pub(crate) fn leaving(document: &Value) -> bool {
    state_of(document).is_some_and(|s| s.eq_ignore_ascii_case("Deleting"))
        || document
            .pointer("/properties/migrationState")
            .is_some_and(|s| s == "DisableMigrationInProgress")
}

pub(crate) fn terminal(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(state))
}

fn unreadable(ctx: &Ctx, why: &str) -> Failure {
    Failure::of(
        FailureClass::Conflict,
        "HandleUnreadable",
        format!("The saved operation of {} can't be read", ctx.task.address),
        why,
        "Rehost looks at the resource itself and goes on from there.",
    )
}

/// Reads the finer progress that a service offers beside the operation. A failed look shows nothing; the operation
/// itself goes on.
async fn detail(links: &Links, ctx: &Ctx, how: &Follow, op: &Operation) -> (String, Option<f64>) {
    let arm = links.arm(ctx);
    match how {
        Follow::Operation => (String::new(), None),
        Follow::InstanceSteps => {
            let Action::Put { id, .. } = &ctx.task.action else {
                return (String::new(), None);
            };
            instance_steps(&arm, id).await
        }
        Follow::Job { vault } => match job_of(links, ctx, vault, op).await {
            Some(job) => job_text(&job),
            None => (String::new(), None),
        },
        Follow::Resource { .. } | Follow::Gateway => (String::new(), None),
    }
}

/// `step 2 of 3: New SQL Instance Startup`; between steps, what the instance's state means and what to do meanwhile.
async fn instance_steps(arm: &Arm, id: &ResourceId) -> (String, Option<f64>) {
    let all = sql::operations(arm, id).await.unwrap_or_default();
    let running = all
        .iter()
        .map(|o| &o.properties)
        .find(|o| o.state == Some(sql::OperationState::InProgress));
    let percent = running.and_then(|o| o.percent_complete).map(|n| n.0);
    if let Some((at, total, step)) = running.and_then(|o| o.at_work()) {
        return (format!("step {at} of {total}: {}", step.name), percent);
    }
    let instance = sql::instance(arm, id).await.ok().flatten();
    let state = instance.and_then(|i| i.properties.state);
    (state.map(|s| instance_state(&s)).unwrap_or_default(), percent)
}

/// `NoComputeAvailable: Azure has no free machines …`; empty for a state that needs no words.
fn instance_state(name: &str) -> String {
    advice::state(name).map_or_else(String::new, |s| format!("{}: {} {}", s.name, s.means, s.advice))
}

/// `2 of 5: Create virtual machine`, and the share of finished tasks.
fn job_text(job: &JobProperties) -> (String, Option<f64>) {
    let is = |t: &JobTask, states: &[&str]| t.state.as_deref().is_some_and(|s| states.contains(&s));
    let done = job.tasks.iter().filter(|t| is(t, &["Succeeded", "Skipped"])).count();
    let Some(now) = job.tasks.iter().find(|t| is(t, &["InProgress"])) else {
        return (job.state_description.clone().unwrap_or_default(), None);
    };
    let name = now
        .friendly_name
        .as_ref()
        .or(now.name.as_ref())
        .map_or("", String::as_str);
    #[allow(clippy::cast_precision_loss, reason = "a job has a handful of tasks")]
    let percent = 100.0 * done as f64 / job.tasks.len() as f64;
    (format!("{} of {}: {name}", done + 1, job.tasks.len()), Some(percent))
}

/// Reads the Site Recovery job behind an operation.
async fn job_of(links: &Links, ctx: &Ctx, vault: &ResourceId, op: &Operation) -> Option<JobProperties> {
    let vault = template::id(links, ctx, vault).ok()?;
    let job = recovery::job_of(&links.arm(ctx), &vault, op).await.ok()??;
    Some(job.properties)
}

async fn job_error(links: &Links, ctx: &Ctx, how: &Follow, op: &Operation) -> Option<Failure> {
    let Follow::Job { vault } = how else { return None };
    let job = job_of(links, ctx, vault, op).await?;
    job.cause()?;
    Some(job_failure(&job))
}

/// Puts a failed Site Recovery job into its own words: message, causes, recommendation.
fn job_failure(job: &JobProperties) -> Failure {
    let name = job.friendly_name.as_deref().unwrap_or("The Site Recovery job");
    let cause = job.cause().unwrap_or_default();
    let hint = if cause.recommended_action.is_empty() {
        "Open the job in the vault, Site Recovery jobs, correct the cause and choose Retry.".into()
    } else {
        cause.recommended_action
    };
    let why = format!("{} {}", cause.message, cause.possible_causes).trim().to_owned();
    let mut f = Failure::permanent(&cause.code, format!("{name} failed"), why, hint);
    f.correlation_id = cause.activity_id;
    f
}

/// Turns an accepted request into a handle.
pub(crate) fn handle(started: &Started) -> Option<Handle> {
    started.operation.as_ref().map(|op| Handle(json!({ "op": op })))
}

/// Records the facts that the document has, and returns the first name that it lacks.
pub(crate) fn record<'a>(ctx: &Ctx, facts: &'a [Fact], document: &Value) -> Option<&'a str> {
    let mut known = BTreeSet::new();
    for f in facts {
        let value = lookup(document, &f.pointer).into_iter().find(|v| !v.is_null());
        if let Some(v) = value
            && known.insert(f.name.as_str())
        {
            ctx.set_fact(f.name.clone(), v.clone());
        }
    }
    facts.iter().map(|f| f.name.as_str()).find(|n| !known.contains(n))
}

/// Registers a resource provider.
pub(crate) struct Register(pub(crate) Arc<Links>);

impl Register {
    fn id(&self, ctx: &Ctx) -> Result<ResourceId, Failure> {
        let Action::RegisterProvider { namespace } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let subscription = &self.0.arm.connection().subscription_id;
        Ok(ResourceId::new(format!(
            "/subscriptions/{subscription}/providers/{namespace}"
        )))
    }

    async fn state(&self, ctx: &Ctx) -> Result<String, Failure> {
        let now = self.0.arm(ctx).get(&self.id(ctx)?).await.map_err(words::azure)?;
        Ok(now
            .get("registrationState")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }
}

#[async_trait::async_trait]
impl TaskKind for Register {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        Ok(match self.state(ctx).await?.as_str() {
            "Registered" => Observed::Matches,
            "Registering" => Observed::InFlight(Handle(json!({ "registering": true }))),
            _ => Observed::Absent,
        })
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        self.0
            .arm(ctx)
            .post(&self.id(ctx)?, "register", None)
            .await
            .map_err(words::azure)?;
        Ok(Some(Handle(json!({ "registering": true }))))
    }
    async fn settle(&self, ctx: &Ctx, _: &Handle) -> Result<(), Failure> {
        loop {
            match self.state(ctx).await?.as_str() {
                "Registering" => ctx.progress(None, "registering"),
                _ => return Ok(()),
            }
            ctx.sleep(10).await?;
        }
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        match self.state(ctx).await?.as_str() {
            "Registered" => {
                ctx.evidence("The provider is registered.");
                Ok(())
            }
            state => Err(Failure::of(
                FailureClass::Conflict,
                "NotRegistered",
                "The provider is not registered",
                format!("Azure reports `{state}`."),
                "Open the subscription in the portal, Resource providers, and choose Register.",
            )),
        }
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence("Left registered: it costs nothing, and other resources may use it.");
        Ok(())
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Creates or adopts a resource.
pub(crate) struct Put(pub(crate) Arc<Links>);

/// What a service takes but does not give back, or gives back under another name.
const WRITE_ONLY: &[&str] = &[
    "administratorLoginPassword",
    "providerSpecificInput",
    "providerSpecificDetails",
    "createMode",
];

/// Lists the places where `actual` lacks something of `wanted`. Extra things in `actual` are fine; elements of arrays
/// are found by `name` or by equality.
pub(crate) fn differences(wanted: &Value, actual: &Value, at: &str) -> Vec<String> {
    match (wanted, actual) {
        (Value::Object(w), Value::Object(a)) => w
            .iter()
            .filter(|(k, _)| !WRITE_ONLY.contains(&k.as_str()))
            .flat_map(|(k, v)| match a.iter().find(|(n, _)| n.eq_ignore_ascii_case(k)) {
                Some((_, have)) => differences(v, have, &format!("{at}/{k}")),
                None if empty(v) => vec![],
                None => vec![format!("{at}/{k}")],
            })
            .collect(),
        (Value::Array(w), Value::Array(a)) => w
            .iter()
            .enumerate()
            .flat_map(|(i, v)| {
                let name = v.get("name");
                match a.iter().find(|have| name.is_some() && have.get("name") == name) {
                    Some(have) => differences(v, have, &format!("{at}/{i}")),
                    None if a.iter().any(|have| differences(v, have, "").is_empty()) => vec![],
                    None => vec![format!("{at}/{i}")],
                }
            })
            .collect(),
        (Value::String(w), Value::String(a)) if plain(w).eq_ignore_ascii_case(&plain(a)) => vec![],
        (Value::Number(w), Value::Number(a)) if w.as_f64() == a.as_f64() => vec![],
        (w, a) if w == a => vec![],
        _ => vec![at.to_owned()],
    }
}

/// Azure writes regions as `East US 2` and `eastus2`, and ids of role definitions with and without the subscription.
fn plain(s: &str) -> String {
    if let Some((_, role)) = s.split_once("/roleDefinitions/") {
        role.to_owned()
    } else if s.contains('/') {
        s.to_owned()
    } else {
        s.replace(' ', "")
    }
}

fn empty(v: &Value) -> bool {
    v.as_array().is_some_and(Vec::is_empty) || v.as_object().is_some_and(serde_json::Map::is_empty) || v.is_null()
}

/// True when a managed instance has taken possession of the network object.
fn owned_by_instance(actual: &Value) -> bool {
    lookup(actual, "/properties/subnets/*/properties/serviceAssociationLinks/*")
        .iter()
        .any(|v| !v.is_null())
        || ["/properties/routes/*/name", "/properties/securityRules/*/name"]
            .iter()
            .flat_map(|p| lookup(actual, p))
            .any(|n| {
                n.as_str()
                    .is_some_and(|s| s.contains("Microsoft.Sql-managedInstances_UseOnly"))
            })
}

impl Put {
    fn parts<'a>(&self, ctx: &'a Ctx) -> Result<(ResourceId, Value, &'a [Fact], &'a Follow), Failure> {
        let Action::Put {
            id,
            body,
            facts,
            follow,
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        Ok((
            template::id(&self.0, ctx, id)?,
            template::json(&self.0, ctx, body)?,
            facts,
            follow,
        ))
    }
}

#[async_trait::async_trait]
impl TaskKind for Put {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (id, body, _, _) = self.parts(ctx)?;
        let Some(now) = self.0.arm(ctx).get_opt(&id).await.map_err(words::azure)? else {
            return Ok(Observed::Absent);
        };
        let ours = ctx.intent_at.is_some() || ctx.is_ours(id.as_str());
        if ours {
            ctx.created(id.as_str());
        }
        match state_of(&now) {
            Some(s) if !terminal(s) => return Ok(Observed::InFlight(Handle(json!({ "resource": id })))),
            Some(s) if !s.eq_ignore_ascii_case("Succeeded") && ours => {
                return Ok(Observed::Differs(format!("its state is {s}")));
            }
            _ => {}
        }
        if replication::failed(&now) {
            // Writing it again doesn't cure it: Azure wants it removed first.
            return Err(replication::failure(&ctx.task.title, &now));
        }
        let differ = differences(&body, &now, "");
        if differ.is_empty() {
            return Ok(Observed::Matches);
        }
        let what = differ.join(", ");
        if owned_by_instance(&now) {
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                "OwnedByManagedInstance",
                format!(
                    "{} differs from the plan and is in use by a managed instance",
                    id.name()
                ),
                format!("It differs at {what}. Azure has added rules of its own; writing it again would be refused."),
                "Change it by hand in the portal, leaving the rules named Microsoft.Sql-managedInstances_UseOnly, then choose Retry.",
            ));
        }
        if ours {
            return Ok(Observed::Differs(what));
        }
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "ExistsDifferently",
            format!("{} exists with other settings", id.name()),
            format!("It differs from the plan at {what}. Rehost never overwrites what it did not create."),
            "Change it to the plan, delete it, or choose another name in Design; then choose Retry.",
        ))
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (id, body, _, _) = self.parts(ctx)?;
        let started = self.0.arm(ctx).put(&id, &body).await.map_err(words::azure)?;
        ctx.created(id.as_str());
        Ok(handle(&started))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let Action::Put { follow: how, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        follow(&self.0, ctx, handle, how, None).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (id, body, facts, _) = self.parts(ctx)?;
        let now = self.0.arm(ctx).get(&id).await.map_err(words::azure)?;
        let state = state_of(&now).unwrap_or("Succeeded");
        let differ = differences(&body, &now, "");
        if !state.eq_ignore_ascii_case("Succeeded") || !differ.is_empty() {
            return Err(Failure::of(
                FailureClass::Conflict,
                "NotAsPlanned",
                format!("{} is not as planned", id.name()),
                if differ.is_empty() {
                    format!("Its state is {state}.")
                } else {
                    format!("It differs at {}.", differ.join(", "))
                },
                "Rehost tries again. If it stays so, look at the resource's activity log in the portal.",
            ));
        }
        record(ctx, facts, &now);
        if let Some(login) = now.pointer("/properties/administratorLogin") {
            ctx.set_fact("mi.admin", login.clone());
        }
        ctx.evidence(format!("{} is there, as planned.", id.name()));
        Ok(())
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (id, _, _, _) = self.parts(ctx)?;
        if !ctx.is_ours(id.as_str()) {
            ctx.evidence(format!("{} was there before and stays.", id.name()));
            return Ok(());
        }
        remove(&self.0, ctx, &id).await
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// Deletes and waits until the resource is gone.
async fn remove(links: &Links, ctx: &Ctx, id: &ResourceId) -> Result<(), Failure> {
    let started = links.arm(ctx).delete(id).await.map_err(words::azure)?;
    if let Some(h) = handle(&started) {
        follow(links, ctx, &h, &Follow::Operation, None).await?;
    }
    gone(links, ctx, id).await
}

pub(crate) async fn gone(links: &Links, ctx: &Ctx, id: &ResourceId) -> Result<(), Failure> {
    for _ in 0..20 {
        if links.arm(ctx).get_opt(id).await.map_err(words::azure)?.is_none() {
            ctx.removed(id.as_str());
            ctx.evidence(format!("{} is gone.", id.name()));
            return Ok(());
        }
        ctx.sleep(15).await?;
    }
    Err(Failure::of(
        FailureClass::Conflict,
        "StillThere",
        format!("{} is still there", id.name()),
        "Azure accepted the removal, but the resource still answers.",
        "Rehost tries again. Look at the resource's activity log and locks in the portal.",
    ))
}

/// Calls an action once.
pub(crate) struct Post(pub(crate) Arc<Links>);

/// Site Recovery's name of the job that an action starts, as in Microsoft's examples of 2024-04-01.
fn scenario(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "testFailover" => "TestFailover",
        "testFailoverCleanup" => "TestFailoverCleanup",
        "unplannedFailover" => "UnplannedFailover",
        "failoverCommit" => "CommitFailover",
        // Unverified: Microsoft's examples show no job of Azure Migrate, so these are named as the operations are. A
        // migration in progress is first recognised by the item's state, which is documented.
        "testMigrate" => "TestMigrate",
        "testMigrateCleanup" => "TestMigrateCleanup",
        "migrate" => "Migrate",
        _ => return None,
    })
}

impl Post {
    fn watched<'a>(&self, ctx: &'a Ctx) -> Result<Watched<'a>, Failure> {
        let Action::Post {
            observe, done, running, ..
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        Ok(Watched {
            id: template::id(&self.0, ctx, observe)?,
            done,
            running: running.as_ref(),
        })
    }

    /// Finds a running job of this action that started after our Intent: the request had left before a crash.
    async fn running_job(&self, ctx: &Ctx, since: Timestamp) -> Result<Option<Handle>, Failure> {
        let Action::Post {
            verb,
            follow: Follow::Job { vault },
            ..
        } = &ctx.task.action
        else {
            return Ok(None);
        };
        let Some(scenario) = scenario(verb) else {
            return Ok(None);
        };
        let vault = template::id(&self.0, ctx, vault)?;
        let jobs = self
            .0
            .arm(ctx)
            .list(&ResourceId::new(format!("{vault}/replicationJobs")))
            .await
            .map_err(words::azure)?;
        let ours = jobs.into_iter().find(|j| {
            let text = |p: &str| j.pointer(p).and_then(Value::as_str).unwrap_or_default().to_owned();
            let started: Option<Timestamp> = text("/properties/startTime").parse().ok();
            text("/properties/scenarioName") == scenario
                && matches!(text("/properties/state").as_str(), "InProgress" | "NotStarted")
                && started.is_some_and(|s| s >= since - SignedDuration::from_secs(60))
        });
        Ok(ours
            .and_then(|j| j.get("id").cloned())
            .map(|id| Handle(json!({ "job": id }))))
    }
}

#[async_trait::async_trait]
impl TaskKind for Post {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::Post { allowed, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let watched = self.watched(ctx)?;
        let Some(now) = self.0.arm(ctx).get_opt(&watched.id).await.map_err(words::azure)? else {
            if watched.done.is_empty() {
                return Ok(Observed::Matches);
            }
            return Err(Failure::permanent(
                "NotFound",
                format!("{} does not exist", watched.id.name()),
                "The action needs it.",
                "Look at the earlier tasks; when it is there again, choose Retry.",
            ));
        };
        if !watched.done.is_empty() && holds(watched.done, &now) {
            return Ok(Observed::Matches);
        }
        if watched.running.is_some_and(|r| holds(r, &now)) {
            return Ok(Observed::InFlight(Handle(json!({ "observe": true }))));
        }
        if let Some(since) = ctx.intent_at
            && let Some(job) = self.running_job(ctx, since).await?
        {
            return Ok(Observed::InFlight(job));
        }
        if let Some(allowed) = allowed
            && !holds(allowed, &now)
        {
            return Ok(Observed::NotYet {
                text: "waits until Azure allows it".into(),
                again_secs: 60,
            });
        }
        Ok(Observed::Absent)
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let Action::Post { id, verb, body, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let id = template::id(&self.0, ctx, id)?;
        let body = body.as_ref().map(|b| template::json(&self.0, ctx, b)).transpose()?;
        let started = self
            .0
            .arm(ctx)
            .post(&id, verb, body.as_ref())
            .await
            .map_err(words::azure)?;
        Ok(handle(&started))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        let Action::Post { follow: how, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        follow(&self.0, ctx, handle, how, Some(&self.watched(ctx)?)).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let Action::Post { verb, facts, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let watched = self.watched(ctx)?;
        if watched.done.is_empty() {
            return gone(&self.0, ctx, &watched.id).await;
        }
        for _ in 0..20 {
            let now = self.0.arm(ctx).get(&watched.id).await.map_err(words::azure)?;
            if holds(watched.done, &now) {
                record(ctx, facts, &now);
                ctx.evidence(format!("{}: {verb} has taken effect.", watched.id.name()));
                return Ok(());
            }
            ctx.sleep(30).await?;
        }
        Err(Failure::permanent(
            "NoEffect",
            format!("{verb} ended, but {} does not show it", watched.id.name()),
            "The operation was reported as finished.",
            "Look at the item and its jobs in the vault. When it is right, choose Retry: Rehost looks again before it does anything.",
        ))
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
}

/// Deletes what this project created.
pub(crate) struct Delete(pub(crate) Arc<Links>);

impl Delete {
    fn id(&self, ctx: &Ctx) -> Result<(ResourceId, bool), Failure> {
        let Action::Delete { id, always } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        Ok((template::id(&self.0, ctx, id)?, *always))
    }
}

#[async_trait::async_trait]
impl TaskKind for Delete {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (id, always) = self.id(ctx)?;
        if !always && !ctx.is_ours(id.as_str()) && ctx.intent_at.is_none() {
            return Ok(Observed::NotNeeded(format!(
                "Rehost did not create {}, so it stays.",
                id.name()
            )));
        }
        Ok(match self.0.arm(ctx).get_opt(&id).await.map_err(words::azure)? {
            None => Observed::Matches,
            Some(now) if leaving(&now) => Observed::InFlight(Handle(json!({ "resource": id }))),
            Some(_) => Observed::Differs("it is there".into()),
        })
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (id, _) = self.id(ctx)?;
        let started = self.0.arm(ctx).delete(&id).await.map_err(words::azure)?;
        Ok(handle(&started))
    }
    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, handle, &Follow::Operation, None).await
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (id, _) = self.id(ctx)?;
        gone(&self.0, ctx, &id).await
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "NoWayBack",
            "A deleted resource can't be brought back",
            ctx.task.way_back.clone(),
            "Run the task of the earlier step again.",
        ))
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_is_fine_missing_is_not() {
        let have = json!({ "location": "East US 2", "properties": { "a": 1, "list": [{ "name": "x", "p": { "q": "Z" } }, { "name": "own" }] } });
        let same = json!({ "location": "eastus2", "properties": { "a": 1.0, "list": [{ "name": "x", "p": { "q": "z" } }], "none": [] } });
        assert_eq!(differences(&same, &have, ""), Vec::<String>::new());
        let other =
            json!({ "properties": { "a": 2, "b": 1, "list": [{ "name": "y" }], "administratorLoginPassword": "s" } });
        assert_eq!(
            differences(&other, &have, ""),
            vec!["/properties/a", "/properties/b", "/properties/list/0"]
        );
    }

    #[test]
    fn network_objects_of_an_instance_are_recognised() {
        assert!(owned_by_instance(
            &json!({ "properties": { "routes": [{ "name": "Microsoft.Sql-managedInstances_UseOnly_mi-x" }] } })
        ));
        assert!(owned_by_instance(
            &json!({ "properties": { "subnets": [{ "properties": { "serviceAssociationLinks": [{}] } }] } })
        ));
        assert!(!owned_by_instance(
            &json!({ "properties": { "routes": [{ "name": "default" }] } })
        ));
    }

    #[test]
    fn a_state_in_which_an_instance_stays_is_explained() {
        let words = instance_state("NoComputeAvailable");
        assert!(
            words.starts_with("NoComputeAvailable: ") && words.contains("another region"),
            "{words}"
        );
        assert_eq!(instance_state("Ready"), "");
    }

    #[test]
    fn jobs_are_put_into_words() {
        let read = |job: Value| serde_json::from_value::<JobProperties>(job).unwrap();
        let job = read(
            json!({ "tasks": [{ "state": "Succeeded" }, { "state": "InProgress", "friendlyName": "Create VM" }, { "state": "NotStarted" }] }),
        );
        let (text, percent) = job_text(&job);
        assert_eq!(
            (text.as_str(), percent.map(f64::round)),
            ("2 of 3: Create VM", Some(33.0))
        );
        let failed = read(
            json!({ "friendlyName": "Failover", "errors": [{ "providerErrorDetails": { "errorCode": 95, "errorMessage": "m", "recommendedAction": "r" } }] }),
        );
        let f = job_failure(&failed);
        assert_eq!(
            (f.title.as_str(), f.detail.as_str(), f.hint.as_str()),
            ("Failover failed", "m", "r")
        );
    }
}
