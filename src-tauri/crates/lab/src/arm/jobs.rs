//! Site Recovery's jobs: every action has one, named like its operation, with tasks that pass one after the other.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Req,
    lro::Outcome,
    recovery::{Method, own},
};
use crate::world::{World, plus};

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub vault: String,
    /// The operation's id.
    pub name: String,
    scenario: &'static str,
    friendly: String,
    target_id: String,
    target_name: String,
    target_type: &'static str,
    tasks: Vec<(&'static str, &'static str)>,
    activity: String,
    /// Causes and recommendation of a failure, when the service knows them.
    pub advice: Option<(&'static str, &'static str)>,
}

impl Job {
    /// Whether the job works on this object.
    pub fn is_on(&self, id: &str) -> bool {
        self.target_id.eq_ignore_ascii_case(id)
    }
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn record(
    world: &mut World,
    vault: &str,
    operation: &str,
    scenario: &'static str,
    friendly: &str,
    target_id: &str,
    target_name: &str,
    target_type: &'static str,
    tasks: &[(&'static str, &'static str)],
) {
    let activity = world.new_guid().to_string();
    world.cloud.jobs.push(Job {
        vault: vault.to_owned(),
        name: operation.to_owned(),
        scenario,
        friendly: friendly.to_owned(),
        target_id: target_id.to_owned(),
        target_name: target_name.to_owned(),
        target_type,
        tasks: tasks.to_vec(),
        activity,
        advice: None,
    });
}

/// One job, or none.
pub(crate) fn view(world: &World, vault: &str, name: &str) -> Option<Value> {
    let job = world
        .cloud
        .jobs
        .iter()
        .find(|j| j.vault.eq_ignore_ascii_case(vault) && j.name.eq_ignore_ascii_case(name))?;
    show(world, job)
}

/// A vault's jobs, newest first. Of `$filter` the lab knows `StartTime`, and `JobName`, `AffectedObjectTypes` and
/// `JobStatus` as far as they compare with one value.
pub(crate) fn list(world: &World, vault: &str, req: &Req) -> Vec<Value> {
    let filter = req.query.get("$filter").map_or("", String::as_str);
    let wanted = |key: &str| -> Option<String> {
        let at = filter.to_lowercase().find(&format!("{} eq ", key.to_lowercase()))?;
        filter[at..].split('\'').nth(1).map(str::to_owned)
    };
    let since: Option<Timestamp> = wanted("StartTime").and_then(|t| t.parse().ok());
    let status = wanted("JobStatus");
    world
        .cloud
        .jobs
        .iter()
        .rev()
        .filter(|j| j.vault.eq_ignore_ascii_case(vault))
        .filter_map(|j| show(world, j))
        .filter(|v| {
            let p = &v["properties"];
            since.is_none_or(|s| {
                p["startTime"]
                    .as_str()
                    .and_then(|t| t.parse::<Timestamp>().ok())
                    .is_some_and(|t| t >= s)
            }) && status.as_ref().is_none_or(|s| p["state"].as_str() == Some(s))
        })
        .collect()
}

fn show(world: &World, job: &Job) -> Option<Value> {
    let op = world.cloud.operations.get(&job.name)?;
    let now = world.now();
    let ends = op.ends.unwrap_or(now);
    let total = ends.duration_since(op.started).as_millis() as i64;
    let running = op.outcome == Outcome::Running;
    let n = job.tasks.len().max(1) as i64;
    let tasks: Vec<Value> = job
        .tasks
        .iter()
        .enumerate()
        .map(|(i, (name, friendly))| {
            let at = |k: i64| plus(op.started, SignedDuration::from_millis(total * k / n));
            let (from, to) = (at(i as i64), at(i as i64 + 1));
            let broken = matches!(op.outcome, Outcome::Failed { .. }) && i + 1 == job.tasks.len();
            let state = if broken { "Failed" } else if !running || to <= now { "Succeeded" } else if from <= now { "InProgress" } else { "NotStarted" };
            let mut t = json!({
                "taskId": world.guid(&format!("{} {name}", job.name)).to_string(), "name": name, "friendlyName": friendly, "state": state,
                "stateDescription": if state == "Succeeded" { "Completed" } else { state }, "taskType": "TaskDetails",
                "customDetails": {"instanceType": "ManualActionTaskDetails"}, "allowedActions": [], "errors": [],
            });
            if state != "NotStarted" {
                t["startTime"] = from.to_string().into();
            }
            if state == "Succeeded" {
                t["endTime"] = to.min(op.ended.unwrap_or(to)).to_string().into();
            }
            t
        })
        .collect();
    let (state, text, errors) = match &op.outcome {
        Outcome::Running => ("InProgress", "InProgress", json!([])),
        Outcome::Succeeded => ("Succeeded", "Completed", json!([])),
        Outcome::Failed { code, message } => {
            let mut error = json!({"code": code, "message": message, "activityId": job.activity});
            if let Some((causes, action)) = job.advice {
                error["possibleCauses"] = causes.into();
                error["recommendedAction"] = action.into();
            }
            (
                "Failed",
                "Failed",
                json!([{"errorLevel": "Error", "serviceErrorDetails": error}]),
            )
        }
    };
    let provider = match world.cloud.appliances.get(&job.vault.to_lowercase()).map(|a| a.method) {
        Some(Method::Cbt) => "VMwareV2",
        _ => "InMageRcmFabric",
    };
    let mut p = json!({
        "activityId": format!("{} ActivityId: {}", job.activity, job.activity), "scenarioName": job.scenario, "friendlyName": job.friendly,
        "state": state, "stateDescription": text, "tasks": tasks, "errors": errors, "startTime": op.started.to_string(), "allowedActions": [],
        "targetObjectId": job.target_id, "targetObjectName": job.target_name, "targetInstanceType": job.target_type,
        "customDetails": {"instanceType": "AsrJobDetails", "affectedObjectDetails": {"PrimaryFabricProviderId": provider, "RecoveryFabricProviderId": "Azure"}},
    });
    if let Some(t) = op.ended {
        p["endTime"] = t.to_string().into();
    }
    Some(json!({
        "id": own(&format!("{}/replicationJobs/{}", job.vault, job.name)), "name": job.name,
        "type": "Microsoft.RecoveryServices/vaults/replicationJobs", "properties": p,
    }))
}

/// A vault's events, newest first: one for each job that has ended.
pub(crate) fn events(world: &World, vault: &str) -> Vec<Value> {
    let jobs = world
        .cloud
        .jobs
        .iter()
        .rev()
        .filter(|j| j.vault.eq_ignore_ascii_case(vault));
    jobs.filter_map(|job| {
        let op = world.cloud.operations.get(&job.name)?;
        let ended = op.ended?;
        let (word, severity, errors) = match &op.outcome {
            Outcome::Failed { code, message } => {
                let (causes, action) = job.advice.unwrap_or_default();
                let error = json!({"errorCode": code, "errorMessage": message, "possibleCauses": causes, "recommendedAction": action});
                ("Failed", "Critical", json!([error]))
            }
            _ => ("Completed", "OK", json!([])),
        };
        let name = format!("JobStatusMonitoringEvent;{}", job.name);
        Some(json!({
            "id": own(&format!("{vault}/replicationEvents/{name}")), "name": name, "type": "Microsoft.RecoveryServices/vaults/replicationEvents",
            "properties": {
                "eventCode": world.guid(job.scenario).to_string(), "description": format!("{} - {word}", job.friendly), "eventType": "JobStatus",
                "affectedObjectFriendlyName": job.target_name, "severity": severity, "timeOfOccurrence": ended.to_string(), "healthErrors": errors,
                "eventSpecificDetails": {"instanceType": "JobStatus", "jobId": own(&format!("{vault}/replicationJobs/{}", job.name)), "jobFriendlyName": job.friendly, "jobStatus": word, "affectedObjectType": job.target_type},
            },
        }))
    })
    .collect()
}
