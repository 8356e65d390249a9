//! Checks that change nothing: one resource, a list, names, locks, sizes, SKUs, quota.

use crate::{
    Links,
    arm::{holds, record},
    replication, template, words,
};
use azure::{
    authorization::{self, LockLevel},
    sql,
};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{Action, Actor, Fact, Follow, ResourceId, task::unfolded};
use serde_json::{Value, json};
use std::sync::Arc;

/// A look at something that this task never changes.
#[async_trait::async_trait]
pub(crate) trait Look: Send + Sync {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure>;
}

/// The kind of a task that only looks: everything is said by what it sees.
pub(crate) struct Check<T>(pub(crate) T);

#[async_trait::async_trait]
impl<T: Look> TaskKind for Check<T> {
    fn only_checks(&self) -> bool {
        true
    }
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        self.0.look(ctx).await
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        Err(words::misplaced(&ctx.task))
    }
    async fn settle(&self, _: &Ctx, _: &Handle) -> Result<(), Failure> {
        Ok(())
    }
    async fn verify(&self, _: &Ctx) -> Result<(), Failure> {
        Ok(())
    }
    async fn undo(&self, _: &Ctx) -> Result<(), Failure> {
        Ok(())
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// How often a condition that has not come true yet is looked at, in seconds.
const AGAIN_SECS: u32 = 60;

/// Judges one resource or finds one in a list.
pub(crate) struct Judge(pub(crate) Arc<Links>);

enum Verdict {
    Holds(Value),
    Not { seen: Option<Value> },
}

impl Judge {
    async fn judge(&self, ctx: &Ctx) -> Result<Verdict, Failure> {
        let arm = self.0.arm(ctx);
        match &ctx.task.action {
            Action::Check {
                id, condition, absent, ..
            } => {
                let id = template::id(&self.0, ctx, id)?;
                let condition = &template::condition(&self.0, ctx, condition)?;
                let now = if id.as_str().contains('?') {
                    match arm.get_path(id.as_str()).await {
                        Ok(v) => Some(v),
                        Err(e) if e.is_not_found() => None,
                        Err(e) => return Err(words::azure(e)),
                    }
                } else {
                    arm.get_opt(&id).await.map_err(words::azure)?
                };
                Ok(match now.map(unfolded) {
                    None if *absent => Verdict::Holds(Value::Null),
                    Some(v) if !absent && holds(condition, &v) => Verdict::Holds(v),
                    seen => Verdict::Not { seen },
                })
            }
            Action::Find { list, condition, .. } => {
                let list = template::id(&self.0, ctx, list)?;
                let condition = &template::condition(&self.0, ctx, condition)?;
                let all = match arm.list(&list).await {
                    Ok(all) => all,
                    Err(e) if e.is_not_found() => vec![],
                    Err(e) => return Err(words::azure(e)),
                };
                Ok(match all.into_iter().map(unfolded).find(|v| holds(condition, v)) {
                    Some(v) => Verdict::Holds(v),
                    None => Verdict::Not { seen: None },
                })
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    fn facts<'a>(&self, ctx: &'a Ctx) -> &'a [Fact] {
        match &ctx.task.action {
            Action::Check { facts, .. } | Action::Find { facts, .. } => facts,
            _ => &[],
        }
    }
}

#[async_trait::async_trait]
impl Look for Judge {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (wait, otherwise, follow) = match &ctx.task.action {
            Action::Check {
                wait,
                otherwise,
                follow,
                ..
            } => (*wait, otherwise, follow.clone()),
            Action::Find { wait, otherwise, .. } => (*wait, otherwise, Follow::Operation),
            _ => return Err(words::misplaced(&ctx.task)),
        };
        match self.judge(ctx).await? {
            Verdict::Holds(document) => {
                if record(ctx, self.facts(ctx), &document).is_some() {
                    return Ok(Observed::NotYet {
                        text: otherwise.clone(),
                        again_secs: AGAIN_SECS,
                    });
                }
                // Not everything in a list has a name of its own.
                let name = document
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or(ctx.task.address.name());
                ctx.evidence(format!("{name}: as expected."));
                Ok(Observed::Matches)
            }
            Verdict::Not { seen: Some(seen) } if follow == Follow::Gateway && replication::failed(&seen) => {
                Err(replication::failure(&ctx.task.title, &seen))
            }
            Verdict::Not { seen } if wait || matches!(ctx.task.actor, Actor::Person { .. }) => {
                let text = progress(ctx, &follow, seen.as_ref()).unwrap_or_else(|| otherwise.clone());
                Ok(Observed::NotYet {
                    text,
                    again_secs: AGAIN_SECS,
                })
            }
            Verdict::Not { seen } => Err(Failure::of(
                FailureClass::NeedsPerson,
                if seen.is_some() { "NotAsExpected" } else { "NotFound" },
                format!("{}: not as it must be", ctx.task.title),
                if seen.is_some() {
                    "It is there, but differs from what the plan expects."
                } else {
                    "It was not found."
                },
                otherwise.clone(),
            )),
        }
    }
}

/// Reads percentage and words out of the resource itself.
fn progress(ctx: &Ctx, follow: &Follow, seen: Option<&Value>) -> Option<String> {
    let (percent, text) = match follow {
        Follow::Resource { percent, text } => (percent, text),
        Follow::Gateway => {
            let (number, text) = replication::gateway(seen?);
            ctx.progress(number, text.clone());
            return Some(text);
        }
        _ => return None,
    };
    let seen = seen?;
    let number = seen
        .pointer(percent)
        .filter(|_| !percent.is_empty())
        .and_then(Value::as_f64);
    let mut words: Vec<String> = text
        .iter()
        .filter_map(|p| seen.pointer(p))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    words.extend(replication::health(seen));
    let all = match number {
        Some(n) => format!("{n:.0} % · {}", words.join(" · ")),
        None if words.is_empty() => return None,
        None => words.join(" · "),
    };
    ctx.progress(number, all.clone());
    Some(all)
}

/// Asks what Azure offers and forbids: names, locks, VM sizes, managed instance SKUs.
pub(crate) struct Offer(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Offer {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        match &ctx.task.action {
            Action::CheckName { id } => self.name(ctx, id).await,
            Action::CheckLocks { changes } => self.locks(ctx, changes).await,
            Action::CheckSize { location, size, vcpus } => self.size(ctx, location, size, *vcpus).await,
            Action::CheckSqlCapability {
                location,
                sku,
                vcores,
                storage_gib,
                instance,
            } => {
                self.sql(ctx, location, sku, *vcores, *storage_gib).await?;
                self.sql_quota(ctx, location, *vcores, instance.as_ref()).await
            }
            _ => Err(words::misplaced(&ctx.task)),
        }
    }
}

impl Offer {
    fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.0.arm.connection().subscription_id)
    }

    async fn locks(&self, ctx: &Ctx, changes: &[ResourceId]) -> Result<Observed, Failure> {
        let scope = self.subscription();
        let all = match authorization::locks(&self.0.arm(ctx), &ResourceId::new(scope.clone())).await {
            Ok(all) => all,
            // Who may change resources need not be allowed to see their locks: that is no reason to change nothing.
            Err(e) if e.code().eq_ignore_ascii_case("AuthorizationFailed") => {
                return Ok(Observed::NotNeeded(format!(
                    "Not checked: the sign-in lacks the right Microsoft.Authorization/locks/read at {scope}. The run goes on; a read-only lock, if there is one, stops it at the first change that the lock forbids. To know before: an owner looks in the portal, the subscription, Settings, Resource locks; or, before the next run, gives the right: `az role assignment create --assignee CLIENT_ID --role Reader --scope {scope}`."
                )));
            }
            Err(e) => return Err(words::azure(e)),
        };
        let (mut forbidden, mut ids) = (vec![], vec![]);
        for lock in &all {
            let id = lock.id.as_ref().map_or("", ResourceId::as_str);
            let Some(scope) = locked(id) else { continue };
            if !changes.iter().any(|c| c.lies_in(scope)) {
                continue;
            }
            let name = &lock.name;
            let note = lock.properties.notes.as_deref().filter(|n| !n.is_empty());
            let note = note.map_or_else(String::new, |n| format!(" (“{n}”)"));
            if lock.properties.level == Some(LockLevel::ReadOnly) {
                forbidden.push(format!("{name} on {scope}{note}"));
                ids.push(format!("\"{id}\""));
            } else {
                ctx.evidence(format!(
                    "The lock {name} on {scope}{note} forbids deleting. It does not stop the migration; what is cleaned up there stays until the lock is removed."
                ));
            }
        }
        if forbidden.is_empty() {
            ctx.evidence(format!(
                "No read-only lock covers what the plan changes; {} locks read.",
                all.len()
            ));
            return Ok(Observed::Matches);
        }
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "ScopeLocked",
            "A read-only lock forbids what the plan changes",
            forbidden.join("; "),
            format!(
                "Ask whoever set it. An owner of the scope removes it for the change window: portal, the resource or group, Settings, Locks, Delete; or `az lock delete --ids {}`. Then choose Retry.",
                ids.join(" ")
            ),
        ))
    }

    async fn name(&self, ctx: &Ctx, id: &ResourceId) -> Result<Observed, Failure> {
        let arm = self.0.arm(ctx);
        let id = &template::id(&self.0, ctx, id)?;
        if arm.get_opt(id).await.map_err(words::azure)?.is_some() {
            ctx.evidence(format!(
                "{} exists in this resource group; it is judged when it is used.",
                id.name()
            ));
            return Ok(Observed::Matches);
        }
        let provider = ResourceId::new(format!("{}/providers/Microsoft.Storage", self.subscription()));
        let body = json!({ "name": id.name(), "type": "Microsoft.Storage/storageAccounts" });
        let answer = arm
            .post(&provider, "checkNameAvailability", Some(&body))
            .await
            .map_err(words::azure)?;
        let answer = answer.body.unwrap_or_default();
        if answer.get("nameAvailable").and_then(Value::as_bool) == Some(true) {
            ctx.evidence(format!("{} is free.", id.name()));
            return Ok(Observed::Matches);
        }
        let text = |k: &str| answer.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(Failure::of(
            FailureClass::NeedsPerson,
            &text("reason"),
            format!("The name {} can't be used", id.name()),
            text("message"),
            "Choose another storage account name in Design and compute the plan again.",
        ))
    }

    async fn size(&self, ctx: &Ctx, location: &str, size: &str, vcpus: u32) -> Result<Observed, Failure> {
        let arm = self.0.arm(ctx);
        let path = format!(
            "{}/providers/Microsoft.Compute/skus?$filter=location eq '{location}'",
            self.subscription()
        );
        let skus = arm.get_path(&path).await.map_err(words::azure)?;
        let none = vec![];
        let all = skus.get("value").and_then(Value::as_array).unwrap_or(&none);
        let sku = all.iter().find(|s| {
            s.get("name")
                .and_then(Value::as_str)
                .is_some_and(|n| n.eq_ignore_ascii_case(size))
        });
        let restricted = sku.is_some_and(|s| {
            s.get("restrictions")
                .and_then(Value::as_array)
                .is_some_and(|r| !r.is_empty())
        });
        let Some(sku) = sku.filter(|_| !restricted) else {
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                if restricted { "SizeRestricted" } else { "SizeNotOffered" },
                format!("{size} can't be had in {location}"),
                if restricted {
                    "Your subscription is restricted for this size here."
                } else {
                    "The region does not offer this size."
                },
                "Choose another size in Design, or ask Microsoft to lift the restriction (portal: Help + support, Service and subscription limits).",
            ));
        };
        let family = sku.get("family").and_then(Value::as_str).unwrap_or_default();
        let usages = arm
            .list(&ResourceId::new(format!(
                "{}/providers/Microsoft.Compute/locations/{location}/usages",
                self.subscription()
            )))
            .await
            .map_err(words::azure)?;
        for name in [family, "cores"] {
            let usage = usages.iter().find(|u| {
                u.pointer("/name/value")
                    .and_then(Value::as_str)
                    .is_some_and(|v| v.eq_ignore_ascii_case(name))
            });
            let number = |k: &str| usage.and_then(|u| u.get(k)).and_then(Value::as_f64);
            if let (Some(used), Some(limit)) = (number("currentValue"), number("limit"))
                && used + f64::from(vcpus) > limit
            {
                return Err(Failure::of(
                    FailureClass::NeedsPerson,
                    "QuotaExceeded",
                    format!("The quota for {size} is too small"),
                    format!("{used} of {limit} vCPUs of `{name}` are used; test and migration need {vcpus} more."),
                    "Ask for more quota: portal, Subscriptions, Usage + quotas, Compute. Small raises are granted in minutes.",
                ));
            }
        }
        ctx.evidence(format!(
            "{size} is offered in {location} without restriction, and the quota suffices."
        ));
        Ok(Observed::Matches)
    }

    async fn sql(&self, ctx: &Ctx, location: &str, sku: &str, vcores: u16, storage_gib: u32) -> Result<(), Failure> {
        let path = format!(
            "{}/providers/Microsoft.Sql/locations/{location}/capabilities?include=supportedManagedInstanceVersions",
            self.subscription()
        );
        let answer = self.0.arm(ctx).get_path(&path).await.map_err(words::azure)?;
        let families = plan::task::lookup(
            &answer,
            "/supportedManagedInstanceVersions/*/supportedEditions/*/supportedFamilies/*",
        );
        let family = families
            .into_iter()
            .find(|f| f.get("sku").and_then(Value::as_str) == Some(sku));
        let cores = family
            .map(|f| plan::task::lookup(f, "/supportedVcoresValues/*"))
            .unwrap_or_default();
        let size = cores
            .into_iter()
            .find(|c| c.get("value").and_then(Value::as_f64) == Some(f64::from(vcores)));
        let Some(size) = size else {
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                "SkuNotOffered",
                format!("{location} does not offer {sku} with {vcores} vCores to this subscription"),
                "The region's capabilities don't list it.",
                "Choose other cores or another region in Design, or ask Microsoft for access (portal: Help + support).",
            ));
        };
        let range = size
            .get("supportedStorageSizes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let gib = |v: Option<&Value>| -> Option<f64> {
            let v = v?;
            let n = v.get("limit").and_then(Value::as_f64)?;
            Some(if v.get("unit").and_then(Value::as_str) == Some("Terabytes") {
                n * 1024.0
            } else {
                n
            })
        };
        let fits = range.is_empty()
            || range.iter().any(|r| {
                gib(r.get("minValue")).is_none_or(|n| f64::from(storage_gib) >= n)
                    && gib(r.get("maxValue")).is_none_or(|n| f64::from(storage_gib) <= n)
            });
        if !fits {
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                "StorageNotOffered",
                format!("{storage_gib} GiB is not offered with {vcores} vCores"),
                "The region's capabilities list other storage sizes.",
                "Choose another storage size in Design.",
            ));
        }
        ctx.evidence(format!(
            "{location} offers {sku} with {vcores} vCores and {storage_gib} GiB."
        ));
        Ok(())
    }

    /// Whether the region's quota has room. Which names Azure gives to its rows is not documented: they are known by
    /// what they say. An instance that is there has its share already.
    async fn sql_quota(
        &self,
        ctx: &Ctx,
        location: &str,
        vcores: u16,
        instance: Option<&ResourceId>,
    ) -> Result<Observed, Failure> {
        let arm = self.0.arm(ctx);
        if let Some(id) = instance
            && arm.get_opt(id).await.map_err(words::azure)?.is_some()
        {
            return Ok(Observed::Matches);
        }
        let mut told = false;
        for row in sql::usages(&arm, location).await.map_err(words::azure)? {
            let said = row.properties.display_name.unwrap_or_default().to_lowercase();
            let (Some(used), Some(limit)) = (row.properties.current_value, row.properties.limit) else {
                continue;
            };
            let (used, limit) = (used.0, limit.0);
            if !said.contains("managed instance") || !said.contains("vcore") {
                continue;
            }
            if used + f64::from(vcores) > limit {
                return Err(Failure::of(
                    FailureClass::NeedsPerson,
                    "QuotaExceeded",
                    "The quota for SQL Managed Instance is too small",
                    format!("{used} of {limit} vCores are used in {location}; the instance needs {vcores} more."),
                    "Ask for more quota: portal, Help + support, Create a support request, Service and subscription limits, SQL Managed Instance. Or choose fewer vCores or another region in Design.",
                ));
            }
            told = true;
            ctx.evidence(format!(
                "{used} of {limit} vCores for managed instances are used in {location}."
            ));
        }
        if !told {
            ctx.evidence(format!(
                "Azure tells no quota of vCores for managed instances in {location}: whether there is room shows when the instance is created."
            ));
        }
        Ok(Observed::Matches)
    }
}

/// The scope that a lock is on; none when the id is no lock's.
fn locked(id: &str) -> Option<&str> {
    let at = id
        .to_ascii_lowercase()
        .rfind("/providers/microsoft.authorization/locks/")?;
    id.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_of_a_lock_is_what_stands_before_it() {
        let group = "/subscriptions/s/resourceGroups/ContosoRG";
        let lock = format!("{group}/providers/microsoft.authorization/locks/keep");
        assert_eq!(locked(&lock), Some(group));
        assert_eq!(locked(group), None);
    }
}
