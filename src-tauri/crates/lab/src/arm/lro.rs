//! Long-running operations. One kind of thing for all providers: it ends at a lab time, then its effect is applied; what
//! differs is which headers point where (Microsoft's examples, see the table in each provider's documentation).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp};
use crate::{
    faults::Doom,
    world::{World, plus},
};

/// Where an operation is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Style {
    /// Both headers, `…/locations/{loc}/operations/{id}`.
    Network,
    /// Both headers, `…/managedInstanceAzureAsyncOperation/{id}`.
    ManagedInstance,
    ManagedDatabase,
    /// Location only, `…/managedInstanceTdeCertificateOperationResults/{id}`.
    TdeCertificate,
    /// Location only.
    Storage,
    /// Both headers below the vault.
    Vault(String),
    /// Both headers below the vault; the operation's name is the job's.
    SiteRecovery(String),
    Compute,
    /// `azure-asyncoperation` only, below a discovery site.
    Site(String),
    /// Both headers, `…/locations/{loc}/operationStatuses/{id}`.
    DataMigration,
    /// Location only, `{S}/operationresults/{id}`.
    Group,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Succeeded,
    Failed { code: String, message: String },
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub style: Style,
    pub location: String,
    pub started: Timestamp,
    /// The planned end; none for an operation that ends by someone else's doing.
    pub ends: Option<Timestamp>,
    pub outcome: Outcome,
    /// The id of what it creates or changes; none when the result is empty.
    pub resource: Option<String>,
    pub ended: Option<Timestamp>,
    /// From when and for how long it stands still.
    still: Option<(Timestamp, SignedDuration)>,
    /// Lower-case ids of what nobody else may change meanwhile.
    holds: Vec<String>,
}

/// What an operation does at its end.
pub(crate) type Finish = Box<dyn FnOnce(&mut World) -> Result<(), Refusal> + Send>;

/// Starts an operation of about `secs` lab seconds; returns its id. While it runs, `resource` is busy.
pub(crate) fn start(
    world: &mut World,
    style: Style,
    location: &str,
    resource: Option<String>,
    secs: i64,
    label: &str,
    finish: impl FnOnce(&mut World) -> Result<(), Refusal> + Send + 'static,
) -> String {
    let id = open(world, style, location, resource.clone());
    let wait = world.about(secs, label);
    let doom = world.trouble.doom.take();
    let still = match &doom {
        Some(Doom::StandStill(time)) => Some((plus(world.now(), wait / 2), *time)),
        _ => None,
    };
    let ends = plus(world.now(), wait + still.map_or(SignedDuration::ZERO, |(_, time)| time));
    if let Some(op) = world.cloud.operations.get_mut(&id) {
        (op.ends, op.still) = (Some(ends), still);
    }
    let name = id.clone();
    let finish: Finish = match doom {
        Some(Doom::Fail(fail)) => {
            let operation = id.clone();
            Box::new(move |w| Err(w.fail(&operation, resource.as_deref(), *fail)))
        }
        _ => Box::new(finish),
    };
    world.at(ends, move |w| {
        // An operation may have been ended before its time, for example by deleting what it makes.
        if w.cloud
            .operations
            .get(&name)
            .is_some_and(|o| o.outcome == Outcome::Running)
        {
            let result = finish(w);
            end(w, &name, result);
        }
    });
    id
}

/// An operation that someone ends later with [`end`].
pub(crate) fn open(world: &mut World, style: Style, location: &str, resource: Option<String>) -> String {
    let id = world.new_guid().to_string();
    let held = resource.clone();
    let op = Operation {
        style,
        location: location.to_owned(),
        started: world.now(),
        ends: None,
        outcome: Outcome::Running,
        resource,
        ended: None,
        still: None,
        holds: vec![],
    };
    world.cloud.operations.insert(id.clone(), op);
    if let Some(held) = held {
        hold(world, &id, &held);
    }
    id
}

/// Lets nobody else change `held` while the operation runs.
pub(crate) fn hold(world: &mut World, id: &str, held: &str) {
    let held = held.to_lowercase();
    if let Some(op) = world.cloud.operations.get_mut(id) {
        op.holds.push(held.clone());
        world.cloud.busy.insert(held, id.to_owned());
    }
}

pub(crate) fn end(world: &mut World, id: &str, result: Result<(), Refusal>) {
    let now = world.now();
    let Some(op) = world.cloud.operations.get_mut(id) else {
        return;
    };
    if op.outcome != Outcome::Running {
        return;
    }
    op.outcome = match result {
        Ok(()) => Outcome::Succeeded,
        Err(r) => Outcome::Failed {
            code: r.code,
            message: r.message,
        },
    };
    op.ended = Some(now);
    for held in std::mem::take(&mut op.holds) {
        if world.cloud.busy.get(&held).map(String::as_str) == Some(id) {
            world.cloud.busy.remove(&held);
        }
    }
}

/// The headers by which a client follows an operation.
pub(crate) fn headers(world: &World, req: &Req, id: &str) -> Vec<(&'static str, String)> {
    let Some(op) = world.cloud.operations.get(id) else {
        return vec![];
    };
    let (base, sub, loc) = (&world.cloud.arm_url, &world.cloud.subscription, &op.location);
    let v = req.api_version();
    let provider = |ns: &str, kind: &str| {
        format!("{base}/subscriptions/{sub}/providers/{ns}/locations/{loc}/{kind}/{id}?api-version={v}")
    };
    let vault = |vault: &str, kind: &str| format!("{base}{vault}/{kind}/{id}?api-version={v}");
    let (status, location, retry) = match &op.style {
        Style::Network => (
            Some(provider("Microsoft.Network", "operations")),
            provider("Microsoft.Network", "operationResults"),
            10,
        ),
        Style::ManagedInstance => (
            Some(provider("Microsoft.Sql", "managedInstanceAzureAsyncOperation")),
            provider("Microsoft.Sql", "managedInstanceOperationResults"),
            15,
        ),
        Style::ManagedDatabase => (
            Some(provider("Microsoft.Sql", "managedDatabaseAzureAsyncOperation")),
            provider("Microsoft.Sql", "managedDatabaseOperationResults"),
            15,
        ),
        Style::TdeCertificate => (
            None,
            provider("Microsoft.Sql", "managedInstanceTdeCertificateOperationResults"),
            15,
        ),
        Style::Storage => (
            None,
            format!("{}&monitor=true", provider("Microsoft.Storage", "asyncoperations")),
            17,
        ),
        Style::Vault(id) => (Some(vault(id, "operationStatus")), vault(id, "operationResults"), 10),
        Style::SiteRecovery(id) => (
            Some(vault(id, "replicationOperationStatus")),
            vault(id, "replicationOperationResults"),
            30,
        ),
        Style::Compute => (
            Some(provider("Microsoft.Compute", "operations")),
            format!("{}&monitor=true", provider("Microsoft.Compute", "operations")),
            10,
        ),
        Style::Site(site) => {
            let status = format!("{base}{site}/operationsStatus/{id}?api-version={v}");
            return vec![("azure-asyncoperation", status), ("retry-after", "30".into())];
        }
        Style::DataMigration => (
            Some(provider("Microsoft.DataMigration", "operationStatuses")),
            provider("Microsoft.DataMigration", "operationResults"),
            15,
        ),
        Style::Group => (
            None,
            format!("{base}/subscriptions/{sub}/operationresults/{id}?api-version={v}"),
            15,
        ),
    };
    let mut headers = vec![("location", location), ("retry-after", retry.to_string())];
    if let Some(status) = status {
        headers.push(("azure-asyncoperation", status));
    }
    headers
}

/// Refuses a change of something that is being changed, as the network provider does.
pub(crate) fn not_busy(world: &World, id: &str) -> Result<(), Refusal> {
    if !world.cloud.busy.contains_key(&id.to_lowercase()) {
        return Ok(());
    }
    let mut refusal = Refusal::new(
        429,
        "RetryableErrorDueToAnotherOperation",
        format!("Operation on resource {id} can't start because another operation on it is in progress."),
    );
    refusal.headers.push(("retry-after", "10".into()));
    Err(refusal)
}

/// Answers a GET on an operation's URL; none for any other request.
pub(crate) fn poll(world: &World, req: &Req, low: &[&str]) -> Option<Answer> {
    let [.., kind, id] = low else { return None };
    let status = match *kind {
        "managedinstanceazureasyncoperation"
        | "manageddatabaseazureasyncoperation"
        | "operationstatus"
        | "operationsstatus"
        | "operationstatuses"
        | "replicationoperationstatus" => true,
        "operations" if low.contains(&"locations") => !req.query.contains_key("monitor"),
        "managedinstanceoperationresults"
        | "manageddatabaseoperationresults"
        | "managedinstancetdecertificateoperationresults"
        | "operationresults"
        | "asyncoperations"
        | "replicationoperationresults" => false,
        _ => return None,
    };
    if req.method != axum::http::Method::GET {
        return None;
    }
    let Some(op) = world.cloud.operations.get(*id) else {
        return Some(Err(Refusal::new(
            404,
            "OperationNotFound",
            format!("The operation '{id}' was not found."),
        )));
    };
    Some(if status {
        Ok(show(world, req, op, id))
    } else {
        result(world, req, op, id)
    })
}

fn show(world: &World, req: &Req, op: &Operation, id: &str) -> Resp {
    let mut body = json!({"name": id, "startTime": op.started.to_string()});
    match &op.outcome {
        Outcome::Running => {
            body["status"] = "InProgress".into();
            // The vault's and the site's own operations tell no percentage.
            if let Some(percent) = percent(world, op)
                && !matches!(op.style, Style::Vault(_) | Style::Site(_))
            {
                body["percentComplete"] = percent.into();
            }
        }
        Outcome::Succeeded => body["status"] = "Succeeded".into(),
        Outcome::Failed { code, message } => {
            body["status"] = "Failed".into();
            body["error"] = json!({"code": code, "message": message});
        }
    }
    if let Style::SiteRecovery(vault) | Style::Vault(vault) = &op.style {
        body["id"] = format!("{vault}/replicationOperationStatus/{id}").into();
    }
    if let Some(t) = op.ended {
        body["endTime"] = t.to_string().into();
    }
    let resp = Resp::ok(body);
    if op.outcome == Outcome::Running {
        resp.with(only(headers(world, req, id), &["retry-after"]))
    } else {
        resp
    }
}

fn result(world: &World, req: &Req, op: &Operation, id: &str) -> Answer {
    match &op.outcome {
        Outcome::Running => Ok(Resp::empty(202).with(only(headers(world, req, id), &["location", "retry-after"]))),
        Outcome::Failed { code, message } => Err(Refusal::new(409, code, message.clone())),
        Outcome::Succeeded => Ok(
            match op.resource.as_deref().and_then(|r| super::resources::view(world, r)) {
                Some(body) => Resp::ok(body),
                None => Resp::empty(204),
            },
        ),
    }
}

fn only(headers: Vec<(&'static str, String)>, names: &[&str]) -> Vec<(&'static str, String)> {
    headers.into_iter().filter(|(k, _)| names.contains(k)).collect()
}

fn percent(world: &World, op: &Operation) -> Option<f64> {
    let (mut total, mut done) = (
        op.ends?.duration_since(op.started),
        world.now().duration_since(op.started),
    );
    if let Some((from, time)) = op.still {
        let stood = world.now().duration_since(from).clamp(SignedDuration::ZERO, time);
        (total, done) = (total - time, done - stood);
    }
    (total > SignedDuration::ZERO).then(|| {
        (done.as_secs_f64() / total.as_secs_f64() * 100.0)
            .floor()
            .clamp(0.0, 99.0)
    })
}

/// The answer to a PUT that started an operation: 201 or 200 with the resource as it is now.
pub(crate) fn accepted(world: &World, req: &Req, op: &str, body: Option<Value>, status: u16) -> Resp {
    Resp {
        status,
        body,
        headers: headers(world, req, op),
    }
}
