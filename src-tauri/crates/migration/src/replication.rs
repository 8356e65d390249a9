//! What Site Recovery says about the machines it replicates: progress of Azure Migrate's gateway, health, events, failed
//! jobs; and the retired generations that may still stand in a subscription. Only looks.

use crate::{Links, checks::Look, template, words};
use azure::AzureError;
use engine::{Ctx, Failure, FailureClass, Observed};
use plan::{
    Action, ResourceId,
    rules::{self, CLASSIC_AGENT_BASED, CLASSIC_SITE_RECOVERY},
    task::{lookup, unfolded},
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// How many of the newest events are kept as evidence.
const EVENTS: usize = 5;

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// True when a migration item stands in a state that doesn't get better by waiting.
pub(crate) fn failed(item: &Value) -> bool {
    text(item, "/properties/migrationState").ends_with("Failed")
}

/// Percentage and words of a migration item while it seeds: state, upload speed, time left, what hinders it.
pub(crate) fn gateway(item: &Value) -> (Option<f64>, String) {
    const DETAILS: &str = "/properties/providerSpecificDetails";
    let number = |p: &str| item.pointer(&format!("{DETAILS}/{p}")).and_then(Value::as_f64);
    let percent = ["initialSeedingProgressPercentage", "deltaSyncProgressPercentage"]
        .into_iter()
        .find_map(number);
    let mut words = Vec::new();
    words.extend(percent.map(|n| format!("{n:.0} %")));
    let state = text(item, "/properties/migrationStateDescription");
    words.push(
        if state.is_empty() {
            text(item, "/properties/migrationState")
        } else {
            state
        }
        .to_owned(),
    );
    if let Some(speed) = number("gatewayOperationDetails/uploadSpeed").filter(|s| *s > 0.0) {
        words.push(format!("{:.1} MB/s", speed / 1e6));
    }
    if let Some(left) = number("gatewayOperationDetails/timeRemaining").filter(|t| *t > 0.0) {
        words.push(format!(
            "the appliance expects {:.0} more minutes",
            (left / 60_000.0).ceil()
        ));
    }
    words.extend(health(item));
    words.retain(|w| !w.is_empty());
    (percent, words.join(" · "))
}

/// The first health error of an item, when its health is not good.
pub(crate) fn health(item: &Value) -> Option<String> {
    let error = item.pointer("/properties/healthErrors/0")?;
    Some(explained(error)).filter(|e| !e.is_empty())
}

/// A health error in its own words: message, causes, recommendation.
fn explained(error: &Value) -> String {
    ["/errorMessage", "/possibleCauses", "/recommendedAction"]
        .map(|p| text(error, p))
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A failure out of an item's first health error.
pub(crate) fn failure(title: &str, item: &Value) -> Failure {
    let error = item.pointer("/properties/healthErrors/0").cloned().unwrap_or_default();
    let or = |p: &str, other: &str| {
        Some(text(&error, p))
            .filter(|s| !s.is_empty())
            .unwrap_or(other)
            .to_owned()
    };
    Failure::of(
        FailureClass::NeedsPerson,
        &or("/errorCode", text(item, "/properties/migrationState")),
        format!("{title}: Azure reports a failure"),
        [
            or("/errorMessage", text(item, "/properties/migrationStateDescription")),
            or("/possibleCauses", ""),
        ]
        .join(" ")
        .trim()
        .to_owned(),
        or(
            "/recommendedAction",
            "Open the machine in the portal, look at its errors and jobs, cure the cause, then choose Retry.",
        ),
    )
}

/// Health, events and failed jobs of one machine.
pub(crate) struct Health(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Health {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::CheckReplication { item, vault } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let arm = self.0.arm(ctx);
        let (item, vault) = (template::id(&self.0, ctx, item)?, template::id(&self.0, ctx, vault)?);
        let now = arm.get(&item).await.map_err(words::azure)?;
        let healths = [
            "/properties/health",
            "/properties/replicationHealth",
            "/properties/failoverHealth",
        ];
        let critical = healths.iter().any(|p| text(&now, p) == "Critical");
        for error in lookup(&now, "/properties/healthErrors/*") {
            ctx.evidence(format!("{}: {}", text(error, "/errorCode"), explained(error)));
        }
        let name = [
            text(&now, "/properties/machineName"),
            text(&now, "/properties/friendlyName"),
        ]
        .into_iter()
        .find(|n| !n.is_empty())
        .unwrap_or_default();
        let list = async |kind: &str| {
            let all = arm.list(&ResourceId::new(format!("{vault}/{kind}"))).await;
            all.map_err(words::azure)
        };
        let mut events = list("replicationEvents").await?;
        events.retain(|e| text(e, "/properties/affectedObjectFriendlyName").eq_ignore_ascii_case(name));
        events.sort_by(|a, b| {
            let at = "/properties/timeOfOccurrence";
            text(b, at).cmp(text(a, at))
        });
        for event in events.iter().take(EVENTS) {
            ctx.evidence(format!(
                "Event {}: {} ({})",
                text(event, "/properties/timeOfOccurrence"),
                text(event, "/properties/description"),
                text(event, "/properties/severity"),
            ));
        }
        for job in list("replicationJobs").await? {
            let ours = text(&job, "/properties/targetObjectName").eq_ignore_ascii_case(name);
            if ours && text(&job, "/properties/state") == "Failed" {
                ctx.evidence(format!(
                    "Failed job {} of {}: {}",
                    text(&job, "/properties/friendlyName"),
                    text(&job, "/properties/startTime"),
                    lookup(&job, "/properties/errors/*/*/message")
                        .into_iter()
                        .chain(lookup(&job, "/properties/errors/*/*/errorMessage"))
                        .filter_map(Value::as_str)
                        .collect::<Vec<_>>()
                        .join(" ")
                ));
            }
        }
        if critical {
            return Err(failure(&ctx.task.title, &now));
        }
        ctx.evidence(format!("Site Recovery reports {name} as healthy enough to move."));
        Ok(Observed::Matches)
    }
}

/// Retired generations in the subscription.
pub(crate) struct Retired(pub(crate) Arc<Links>);

/// A list that may belong to a provider which this subscription has never used.
fn or_none(list: Result<Vec<Value>, AzureError>) -> Result<Vec<Value>, Failure> {
    match list {
        Err(e) if e.is_not_found() || e.code() == "MissingSubscriptionRegistration" => Ok(vec![]),
        other => other.map_err(words::azure),
    }
}

impl Retired {
    /// Vaults that belong to Azure Migrate projects, in lower case.
    async fn project_vaults(&self, ctx: &Ctx, subscription: &str) -> Result<BTreeSet<String>, Failure> {
        let arm = self.0.arm(ctx);
        let projects = ResourceId::new(format!("{subscription}/providers/Microsoft.Migrate/migrateProjects"));
        let mut vaults = BTreeSet::new();
        for project in or_none(arm.list(&projects).await)? {
            let solution =
                ResourceId::new(text(&project, "/id")).child("solutions", "Servers-Migration-ServerMigration");
            if let Some(found) = arm.get_opt(&solution).await.map_err(words::azure)? {
                let vault = text(&unfolded(found), "/properties/details/extendedDetails/vaultId").to_ascii_lowercase();
                vaults.insert(vault);
            }
        }
        Ok(vaults)
    }
}

#[async_trait::async_trait]
impl Look for Retired {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::CheckRetired { vm } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let arm = self.0.arm(ctx);
        let subscription = format!("/subscriptions/{}", arm.connection().subscription_id);
        let list = ResourceId::new(format!("{subscription}/providers/Microsoft.RecoveryServices/vaults"));
        let mut vaults = or_none(arm.list(&list).await)?;
        // One that is being made, by this plan for example, holds nothing yet and can't be asked.
        vaults.retain(|v| text(v, "/properties/provisioningState").eq_ignore_ascii_case("Succeeded"));
        let mut of_projects = None;
        let mut clean = true;
        for vault in &vaults {
            let id = text(vault, "/id");
            let within = |kind: &str| ResourceId::new(format!("{id}/{kind}"));
            let fabrics = or_none(arm.list(&within("replicationFabrics")).await)?;
            let servers: Vec<_> = fabrics
                .iter()
                .filter(|f| text(f, "/properties/customDetails/instanceType") == "VMware")
                .map(|f| text(f, "/properties/friendlyName"))
                .collect();
            let items = or_none(arm.list(&within("replicationProtectedItems")).await)?;
            let machines: Vec<_> = items
                .iter()
                .filter(|i| text(i, "/properties/providerSpecificDetails/instanceType") == "InMageAzureV2")
                .map(|i| text(i, "/properties/friendlyName"))
                .collect();
            if servers.is_empty() && machines.is_empty() {
                continue;
            }
            clean = false;
            if of_projects.is_none() {
                of_projects = Some(self.project_vaults(ctx, &subscription).await?);
            }
            let of_project = of_projects
                .as_ref()
                .is_some_and(|v| v.contains(&id.to_ascii_lowercase()));
            let generation = if of_project {
                CLASSIC_AGENT_BASED
            } else {
                CLASSIC_SITE_RECOVERY
            };
            let name = text(vault, "/name");
            ctx.evidence(explain(&generation, name, &servers, &machines));
            if machines.iter().any(|m| m.eq_ignore_ascii_case(vm)) {
                return Err(Failure::of(
                    FailureClass::NeedsPerson,
                    "ReplicatedByRetired",
                    format!("{vm} is still registered with {}", generation.name),
                    format!("It is a replicated item of the vault {name}. {}", generation.dates),
                    format!("{} Then choose Retry.", generation.advice),
                ));
            }
        }
        if clean {
            ctx.evidence(format!(
                "No retired generation of replication was found in {} vaults, by the rules of {}.",
                vaults.len(),
                rules::CURRENT.date
            ));
        }
        Ok(Observed::Matches)
    }
}

/// What was found, what became of it, what to do.
fn explain(generation: &rules::Retired, vault: &str, servers: &[&str], machines: &[&str]) -> String {
    let list = |what: &str, all: &[&str]| match all {
        [] => String::new(),
        all => format!(" {what}: {}.", all.join(", ")),
    };
    format!(
        "Vault {vault} holds {}.{}{} {} {} Rehost starts nothing there. Source: {}.",
        generation.name,
        list("Configuration servers", servers),
        list("Machines", machines),
        generation.dates,
        generation.advice,
        generation.source
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn seeding_shows_speed_and_time_left() {
        let item = json!({ "properties": { "migrationState": "InitialSeedingInProgress", "migrationStateDescription": "Initial replication in progress",
            "providerSpecificDetails": { "initialSeedingProgressPercentage": 42,
                "gatewayOperationDetails": { "uploadSpeed": 24_600_000, "timeRemaining": 2_230_000 } } } });
        assert!(!failed(&item));
        assert_eq!(
            gateway(&item),
            (
                Some(42.0),
                "42 % · Initial replication in progress · 24.6 MB/s · the appliance expects 38 more minutes".into()
            )
        );
    }

    #[test]
    fn health_errors_become_failures_in_their_own_words() {
        let item = json!({ "properties": { "migrationState": "InitialSeedingFailed", "health": "Critical", "healthErrors": [{
            "errorCode": "1011", "errorMessage": "m", "possibleCauses": "c", "recommendedAction": "r" }] } });
        assert!(failed(&item));
        assert_eq!(health(&item).unwrap(), "m c r");
        let f = failure("Initial replication", &item);
        assert_eq!(
            (f.code.as_str(), f.detail.as_str(), f.hint.as_str()),
            ("1011", "m c", "r")
        );
        let bare = failure("t", &json!({ "properties": { "migrationState": "MigrationFailed" } }));
        assert_eq!(bare.code, "MigrationFailed");
    }
}
