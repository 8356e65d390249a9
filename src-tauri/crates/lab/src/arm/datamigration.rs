//! Azure Database Migration Service: migration services with their integration runtime, migrations of a database onto a
//! managed instance, and what is left of the retired kind, which can be read and nothing else.
//!
//! A migration first validates (the long operation of its PUT), then follows the backup files of its container or share:
//! uploads (share only), restores in the order of the log, until someone cuts it over or, offline, until the named file
//! was restored. Errors carry the codes of Microsoft's list of known issues (2024-09); where that list is silent on what
//! provokes one, [`World::dms_trouble`] does. Unverified: 2056 for a database that is missing or exists already, 2039 for a
//! PUT while a migration runs (Microsoft's list speaks of a retry), 2043 for a refused key, and the words of `migrationStatus`,
//! which are those of Azure Data Studio.

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Answer, Refusal, Req, Resp, authorization, last, location, lro, parent, resources, text};
use crate::{
    cloud::Blob,
    people::lies_in,
    tds::certificate,
    world::{World, plus},
};

const SERVICES: &str = "Microsoft.DataMigration/sqlMigrationServices";
const MIGRATIONS: &str = "Microsoft.DataMigration/databaseMigrations";
const CLASSIC: &str = "Microsoft.DataMigration/services";
const DATABASES: &str = "Microsoft.Sql/managedInstances/databases";
const INSTANCES: &str = "Microsoft.Sql/managedInstances";

const SERVICE_SECS: i64 = 60;
const VALIDATE_SECS: i64 = 60;
const CUTOVER_SECS: i64 = 90;
const CANCEL_SECS: i64 = 60;
/// Bytes per second at which the integration runtime uploads.
const UPLOAD: u64 = 20 << 20;
/// After so long without correction an error ends a migration.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(8);

/// The integration runtime of a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtime {
    /// How often each of the two keys was regenerated.
    generations: [u32; 2],
    pub nodes: Vec<String>,
    /// The computers answer.
    pub offline: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Container {
        account: String,
        container: String,
        /// In the container; empty = none.
        folder: String,
        by: Access,
    },
    /// The account and the container into which the share's files are uploaded.
    Share {
        account: String,
        container: String,
        /// Below the share's own path; empty = none.
        folder: String,
        key: Option<(usize, u32)>,
    },
}

/// How a container is read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    /// Which key, and how often it had been regenerated; none = a wrong one.
    Key(Option<(usize, u32)>),
    /// The identity's id.
    Identity(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Provisioning,
    Running,
    /// An error that a person may correct, since then.
    Retriable(Timestamp),
    Completing,
    Succeeded,
    Failed,
    Canceling,
    Canceled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Arrived,
    Uploading(Timestamp, Timestamp),
    Uploaded,
    Restoring,
    Restored,
}

#[derive(Debug, Clone)]
struct File {
    name: String,
    blob: Blob,
    step: Step,
}

impl File {
    fn full(&self) -> bool {
        self.name.to_lowercase().ends_with(".bak")
    }
}

/// A code and what is said with it.
type Trouble = (String, String);

fn trouble(code: &str, message: impl Into<String>) -> Trouble {
    (code.to_owned(), message.into())
}

#[derive(Debug, Clone)]
pub(crate) struct Migration {
    /// The record's id.
    id: String,
    operation: String,
    service: String,
    source_database: String,
    source_server: String,
    collation: Option<String>,
    source: Source,
    /// Offline: the name of the last file.
    offline: Option<String>,
    /// Found when the request came, and told by the validation: wrong passwords.
    refused: Option<Trouble>,
    pub state: State,
    started: Timestamp,
    ended: Option<Timestamp>,
    files: Vec<File>,
    invalid: Vec<String>,
    error: Option<Trouble>,
    provisioning_failed: bool,
    deleting: bool,
    blocked: String,
    upload_errors: Vec<String>,
    /// The operation that cuts it over.
    cutover: String,
}

impl Migration {
    fn status(&self) -> &'static str {
        match self.state {
            State::Provisioning => "Creating",
            State::Retriable(_) => "Retriable",
            State::Completing => "Completing",
            State::Succeeded => "Succeeded",
            State::Failed => "Failed",
            State::Canceling => "Canceling",
            State::Canceled => "Canceled",
            State::Running => {
                let at = |s: fn(&Step) -> bool| self.files.iter().find(|f| s(&f.step));
                if at(|s| *s == Step::Restoring).is_some() {
                    "Restoring"
                } else if let Some(f) = at(|s| matches!(s, Step::Uploading(..))) {
                    if f.full() {
                        "UploadingFullBackup"
                    } else {
                        "UploadingLogBackup"
                    }
                } else if self.offline.is_none() && self.full_restored() && self.pending() == 0 {
                    "ReadyForCutover"
                } else {
                    "InProgress"
                }
            }
        }
    }

    fn active(&self) -> bool {
        !matches!(self.state, State::Succeeded | State::Failed | State::Canceled)
    }

    fn full_restored(&self) -> bool {
        self.files.iter().any(|f| f.full() && f.step == Step::Restored)
    }

    fn pending(&self) -> usize {
        self.files
            .iter()
            .filter(|f| !f.full() && f.step != Step::Restored)
            .count()
    }

    fn last_restored(&self) -> Option<&File> {
        self.files.iter().rev().find(|f| f.step == Step::Restored)
    }

    fn database(&self) -> String {
        format!("{}/databases/{}", parent(&self.id, 4), last(&self.id))
    }
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let rest = &low[low.iter().rposition(|s| *s == "microsoft.datamigration")? + 1..];
    let here = req.id(req.segs.len());
    let scope = |up: usize| parent(&here, up);
    let list = |world: &World, scope: &str, kind: &str| {
        Resp::list(world.cloud.of_type(scope, kind).cloned().collect::<Vec<_>>())
    };
    let stored = |world: &World| {
        world
            .cloud
            .get(&here)
            .cloned()
            .map(Resp::ok)
            .ok_or_else(|| Refusal::not_found(req))
    };
    Some(match (&req.method, rest) {
        (&Method::GET, ["sqlmigrationservices"]) => {
            let shown: Vec<Value> = world
                .cloud
                .of_type(&scope(3), SERVICES)
                .map(|v| service_view(world, v))
                .collect();
            Ok(Resp::list(shown))
        }
        (&Method::GET, ["sqlmigrationservices", _]) => {
            service(world, req, &here).map(|v| Resp::ok(service_view(world, &v)))
        }
        (&Method::PUT, ["sqlmigrationservices", _]) => put_service(world, req, &here),
        (&Method::DELETE, ["sqlmigrationservices", _]) => delete_service(world, req, &here),
        (&Method::GET, ["sqlmigrationservices", _, "listmigrations"]) => {
            let id = scope(1);
            service(world, req, &id).map(|_| {
                let keys: Vec<String> = world
                    .cloud
                    .database_migrations
                    .iter()
                    .filter(|(_, m)| m.service.eq_ignore_ascii_case(&id))
                    .map(|(k, _)| k.clone())
                    .collect();
                Resp::list(keys.iter().filter_map(|k| view(world, k, true)).collect::<Vec<_>>())
            })
        }
        (&Method::POST, ["sqlmigrationservices", _, verb]) => service_action(world, req, &scope(1), verb),
        (method, ["databasemigrations", _]) if low.contains(&"managedinstances") => match *method {
            Method::GET => record(world, req, &here),
            Method::PUT => start(world, req, &here),
            Method::DELETE => delete(world, req, &here),
            _ => return None,
        },
        (&Method::POST, ["databasemigrations", _, verb]) if low.contains(&"managedinstances") => match *verb {
            "cutover" => cutover(world, req, &scope(1)),
            "cancel" => cancel(world, req, &scope(1)),
            _ => return None,
        },
        (&Method::GET, ["services"]) => Ok(list(world, &scope(3), CLASSIC)),
        (&Method::GET, ["services", _]) => stored(world),
        (&Method::GET, ["services", _, "projects"]) => Ok(list(world, &scope(1), &format!("{CLASSIC}/projects"))),
        (&Method::GET, ["services", _, "projects", _] | ["services", _, "projects", _, "tasks", _]) => stored(world),
        (&Method::GET, ["services", _, "projects", _, "tasks"]) => {
            Ok(list(world, &scope(1), &format!("{CLASSIC}/projects/tasks")))
        }
        _ => return None,
    })
}

fn service(world: &World, req: &Req, id: &str) -> Result<Value, Refusal> {
    world.cloud.get(id).cloned().ok_or_else(|| {
        Refusal::new(
            404,
            "ResourceNotFound",
            format!(
                "The Resource '{SERVICES}/{}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
                last(id),
                req.group().unwrap_or("")
            ),
        )
    })
}

fn runtime<'a>(world: &'a World, service: &str) -> Option<&'a Runtime> {
    world.cloud.runtimes.get(&service.to_lowercase())
}

fn online(world: &World, service: &str) -> bool {
    runtime(world, service).is_some_and(|r| !r.nodes.is_empty() && !r.offline)
}

fn service_view(world: &World, v: &Value) -> Value {
    let mut shown = v.clone();
    let state = match runtime(world, v["id"].as_str().unwrap_or("")) {
        Some(r) if r.nodes.is_empty() => "NeedRegistration",
        Some(r) if r.offline => "Offline",
        Some(_) => "Online",
        None => "NeedRegistration",
    };
    shown["properties"]["integrationRuntimeState"] = state.into();
    shown
}

fn put_service(world: &mut World, req: &Req, id: &str) -> Answer {
    let region = location(&req.body)?;
    let name = last(id);
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() < 2 || name.len() > 63 || !name.chars().all(valid) {
        return Err(Refusal::bad(
            "InvalidResourceName",
            format!("The resource name '{name}' is not valid."),
        ));
    }
    if let Some(old) = world.cloud.get(id) {
        if old["location"] != region.as_str() {
            return Err(Refusal::conflict(
                "InvalidResourceLocation",
                format!(
                    "The resource '{name}' already exists in location '{}'.",
                    old["location"].as_str().unwrap_or("")
                ),
            ));
        }
        let shown = service_view(world, old);
        return Ok(Resp::ok(shown));
    }
    let body = json!({
        "id": id, "name": name, "type": SERVICES, "location": region,
        "tags": if req.body["tags"].is_object() { req.body["tags"].clone() } else { json!({}) },
        "properties": {"provisioningState": "Provisioning"},
    });
    world.cloud.store(body.clone());
    world.cloud.runtimes.insert(id.to_lowercase(), Runtime::default());
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        Some(id.to_owned()),
        SERVICE_SECS,
        id,
        move |w| {
            if let Some(v) = w.cloud.get_mut(&target) {
                v["properties"]["provisioningState"] = "Succeeded".into();
            }
            Ok(())
        },
    );
    Ok(lro::accepted(world, req, &op, Some(body), 201))
}

fn delete_service(world: &mut World, req: &Req, id: &str) -> Answer {
    let Some(v) = world.cloud.get(id) else {
        return Ok(Resp::empty(204));
    };
    let region = v["location"].as_str().unwrap_or("").to_owned();
    if world
        .cloud
        .database_migrations
        .values()
        .any(|m| m.service.eq_ignore_ascii_case(id))
    {
        return Err(Refusal::conflict(
            "Conflict",
            format!("The service '{}' has migrations. Delete them first.", last(id)),
        ));
    }
    if runtime(world, id).is_some_and(|r| !r.nodes.is_empty()) {
        return Err(Refusal::conflict(
            "Conflict",
            format!(
                "The service '{}' has registered integration runtime nodes. Delete them first.",
                last(id)
            ),
        ));
    }
    if let Some(v) = world.cloud.get_mut(id) {
        v["properties"]["provisioningState"] = "Deleting".into();
    }
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        None,
        SERVICE_SECS,
        id,
        move |w| {
            w.cloud.runtimes.remove(&target.to_lowercase());
            super::forget(w, &target);
            Ok(())
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

fn auth_key(world: &World, service: &str, index: usize) -> String {
    let generation = runtime(world, service).map_or(0, |r| r.generations[index]);
    let secret = world.guid(&format!("{}/runtime key {index}/{generation}", service.to_lowercase()));
    format!(
        "IR@{}@{}@ServiceEndpoint=eastus2.svc.datafactory.lab.invalid@{}",
        world.guid(&format!("{}/runtime", service.to_lowercase())),
        last(service).to_lowercase(),
        secret.simple()
    )
}

fn service_action(world: &mut World, req: &Req, id: &str, verb: &str) -> Answer {
    service(world, req, id)?;
    let key = id.to_lowercase();
    match verb {
        "listauthkeys" => Ok(Resp::ok(
            json!({"authKey1": auth_key(world, id, 0), "authKey2": auth_key(world, id, 1)}),
        )),
        "regenerateauthkeys" => {
            let (index, name) = match text(&req.body, "/keyName") {
                Some(n) if n.eq_ignore_ascii_case("authKey1") => (0, "authKey1"),
                Some(n) if n.eq_ignore_ascii_case("authKey2") => (1, "authKey2"),
                _ => {
                    return Err(Refusal::bad(
                        "InvalidParameterValue",
                        "The keyName must be authKey1 or authKey2.",
                    ));
                }
            };
            if let Some(r) = world.cloud.runtimes.get_mut(&key) {
                r.generations[index] += 1;
            }
            Ok(Resp::ok(json!({"keyName": name, name: auth_key(world, id, index)})))
        }
        "listmonitoringdata" => {
            let jobs = world
                .cloud
                .database_migrations
                .values()
                .filter(|m| {
                    m.service.eq_ignore_ascii_case(id) && m.active() && matches!(m.source, Source::Share { .. })
                })
                .count();
            let nodes: Vec<Value> = runtime(world, id)
                .into_iter()
                .flat_map(|r| &r.nodes)
                .map(|n| {
                    json!({
                        "nodeName": n, "availableMemoryInMB": 11_240, "cpuUtilization": 6 + 20 * jobs.min(4), "concurrentJobsLimit": 10,
                        "concurrentJobsRunning": jobs, "maxConcurrentJobs": 10, "sentBytes": 0.25, "receivedBytes": 0.15,
                    })
                })
                .collect();
            Ok(Resp::ok(json!({"name": runtime_name(id), "nodes": nodes})))
        }
        "deletenode" => {
            let node = text(&req.body, "/nodeName").unwrap_or("").to_owned();
            let named = text(&req.body, "/integrationRuntimeName").unwrap_or("").to_owned();
            let found = world
                .cloud
                .runtimes
                .get_mut(&key)
                .filter(|_| named.eq_ignore_ascii_case(&runtime_name(id)));
            let Some(at) = found
                .as_ref()
                .and_then(|r| r.nodes.iter().position(|n| n.eq_ignore_ascii_case(&node)))
            else {
                return Err(Refusal::bad(
                    "InvalidParameterValue",
                    format!("The integration runtime has no node '{node}'."),
                ));
            };
            if let Some(r) = found {
                r.nodes.remove(at);
            }
            Ok(Resp::ok(json!({"nodeName": node, "integrationRuntimeName": named})))
        }
        _ => Err(Refusal::new(
            405,
            "MethodNotAllowed",
            format!("The action '{verb}' is not offered."),
        )),
    }
}

fn runtime_name(service: &str) -> String {
    format!("{}-IR", last(service))
}

/// A person registers a computer with the service.
pub(crate) fn register(world: &mut World, service: &str, node: &str) {
    if let Some(r) = world.cloud.runtimes.get_mut(&service.to_lowercase()) {
        r.nodes.push(node.to_owned());
    }
}

/// A service that is ready and whose tag names the computer of its integration runtime, and whether that is registered.
pub(crate) fn with_runtime(world: &World) -> Option<(String, String, bool)> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let service = world
        .cloud
        .of_type(&scope, SERVICES)
        .find(|v| v["properties"]["provisioningState"] == "Succeeded" && v["tags"]["integrationRuntime"].is_string())?;
    let (id, host) = (service["id"].as_str()?, service["tags"]["integrationRuntime"].as_str()?);
    let registered = runtime(world, id).is_some_and(|r| !r.nodes.is_empty());
    Some((id.to_owned(), host.to_owned(), registered))
}

fn record(world: &World, req: &Req, id: &str) -> Answer {
    let expand = req
        .query
        .get("$expand")
        .is_some_and(|e| e.eq_ignore_ascii_case("MigrationStatusDetails"));
    let shown = view(world, &id.to_lowercase(), expand).ok_or_else(|| Refusal::not_found(req))?;
    match req.query.get("migrationoperationid") {
        Some(wanted) if shown["properties"]["migrationOperationId"] != wanted.as_str() => Err(Refusal::not_found(req)),
        _ => Ok(Resp::ok(shown)),
    }
}

fn which_key(world: &World, account: &str, key: &str) -> Option<(usize, u32)> {
    let a = world.cloud.accounts.get(account)?;
    // The diary keeps no keys.
    let index = if world.replaying {
        Some(0)
    } else {
        (0..2).find(|i| world.cloud.account_key(account, *i).as_deref() == Some(key))
    };
    index.map(|i| (i, a.generations[i]))
}

fn start(world: &mut World, req: &Req, id: &str) -> Answer {
    resources::needs_provider(world, "Microsoft.DataMigration")?;
    let missing = |what: &str| {
        Refusal::bad(
            "InvalidRequestContent",
            format!("The property '{what}' is missing or not valid."),
        )
    };
    let p = &req.body["properties"];
    let instance = parent(id, 4);
    let Some(mi) = world.cloud.get(&instance) else {
        return Err(Refusal::new(
            404,
            "ParentResourceNotFound",
            format!("The managed instance '{}' was not found.", last(&instance)),
        ));
    };
    let region = mi["location"].as_str().unwrap_or("").to_owned();
    if p["kind"] != "SqlMi" {
        return Err(missing("kind"));
    }
    if !p["scope"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(&instance)) {
        return Err(missing("scope"));
    }
    let source_database = text(p, "/sourceDatabaseName")
        .ok_or_else(|| missing("sourceDatabaseName"))?
        .to_owned();
    let service_id = text(p, "/migrationService")
        .ok_or_else(|| missing("migrationService"))?
        .to_owned();
    let service = service(world, req, &service_id)?;
    if service["properties"]["provisioningState"] != "Succeeded" {
        return Err(Refusal::conflict(
            "Conflict",
            format!("The service '{}' is not ready.", last(&service_id)),
        ));
    }
    let key = id.to_lowercase();
    if let Some(old) = world.cloud.database_migrations.get(&key).filter(|m| m.active()) {
        return Err(Refusal::conflict(
            "2039",
            format!(
                "MigrationRetryNotAllowed: the migration {} of this database is {}.",
                old.operation,
                old.status()
            ),
        ));
    }
    let source = source_of(world, id, p)?;
    let (Source::Container { account, .. } | Source::Share { account, .. }) = &source;
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let stored = world
        .cloud
        .of_type(&scope, "Microsoft.Storage/storageAccounts")
        .find(|v| v["name"] == account.as_str());
    if stored.is_some_and(|v| v["location"] != service["location"]) {
        return Err(Refusal::bad(
            "InvalidParameterValue",
            format!(
                "The storage account '{account}' and the service '{}' must be in the same region.",
                last(&service_id)
            ),
        ));
    }
    let offline = &p["offlineConfiguration"];
    let operation = world.new_guid().to_string();
    let migration = Migration {
        id: id.to_owned(),
        operation,
        service: service_id,
        source_database,
        source_server: text(p, "/sourceSqlConnection/dataSource").unwrap_or("").to_owned(),
        collation: text(p, "/targetDatabaseCollation").map(str::to_owned),
        refused: refused(world, p, &source),
        source,
        offline: (offline["offline"] == true).then(|| text(offline, "/lastBackupName").unwrap_or("").to_owned()),
        state: State::Provisioning,
        started: world.now(),
        ended: None,
        files: vec![],
        invalid: vec![],
        error: None,
        provisioning_failed: false,
        deleting: false,
        blocked: String::new(),
        upload_errors: vec![],
        cutover: String::new(),
    };
    let new = !world.cloud.database_migrations.contains_key(&key);
    let operation = migration.operation.clone();
    world.cloud.database_migrations.insert(key.clone(), migration);
    let target = key.clone();
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        Some(id.to_owned()),
        VALIDATE_SECS,
        &operation.clone(),
        move |w| validated(w, &target, &operation),
    );
    Ok(lro::accepted(
        world,
        req,
        &op,
        view(world, &key, false),
        if new { 201 } else { 200 },
    ))
}

fn source_of(world: &World, id: &str, p: &Value) -> Result<Source, Refusal> {
    let bad = |what: &str| Refusal::bad("InvalidRequestContent", format!("backupConfiguration: {what}."));
    let config = &p["backupConfiguration"];
    let (blob, share) = (
        &config["sourceLocation"]["azureBlob"],
        &config["sourceLocation"]["fileShare"],
    );
    match (blob.is_object(), share.is_object()) {
        (true, false) => {
            let account =
                last(text(blob, "/storageAccountResourceId").ok_or_else(|| bad("no storage account is named"))?);
            let container = text(blob, "/blobContainerName").ok_or_else(|| bad("no container is named"))?;
            let by = match text(blob, "/authType").unwrap_or("AccountKey") {
                "AccountKey" => {
                    let key = text(blob, "/accountKey").ok_or_else(|| bad("the account key is missing"))?;
                    Access::Key(which_key(world, account, key))
                }
                "ManagedIdentity" => {
                    let identities = blob["identity"]["userAssignedIdentities"].as_object();
                    let identity = identities
                        .and_then(|i| i.keys().next())
                        .ok_or_else(|| bad("no identity is named"))?;
                    Access::Identity(identity.clone())
                }
                _ => return Err(bad("authType must be AccountKey or ManagedIdentity")),
            };
            let (container, folder) = container.split_once('/').unwrap_or((container, ""));
            Ok(Source::Container {
                account: account.to_owned(),
                container: container.to_owned(),
                folder: folder.to_owned(),
                by,
            })
        }
        (false, true) => {
            let target = &config["targetLocation"];
            let account = last(
                text(target, "/storageAccountResourceId").ok_or_else(|| bad("no target storage account is named"))?,
            );
            let key = text(target, "/accountKey").ok_or_else(|| bad("the account key is missing"))?;
            for field in ["path", "username", "password"] {
                text(share, &format!("/{field}")).ok_or_else(|| bad(&format!("the share's {field} is missing")))?;
            }
            let path = text(share, "/path")
                .unwrap_or_default()
                .trim_end_matches('\\')
                .to_lowercase();
            let own = world.onprem.sql.share_path.to_lowercase();
            Ok(Source::Share {
                folder: path.strip_prefix(&format!("{own}\\")).unwrap_or_default().to_owned(),
                account: account.to_owned(),
                container: world.guid(&format!("container of {}", id.to_lowercase())).to_string(),
                key: which_key(world, account, key),
            })
        }
        _ => Err(bad("exactly one of azureBlob and fileShare must be given")),
    }
}

/// What the integration runtime finds wrong with the connections; only it ever uses them.
fn refused(world: &World, p: &Value, source: &Source) -> Option<Trouble> {
    if !matches!(source, Source::Share { .. }) {
        return None;
    }
    let sql = &world.onprem.sql;
    let is = |pointer: &str, wanted: &str| {
        text(p, pointer).is_some_and(|t| t.eq_ignore_ascii_case(wanted))
            || (world.replaying && pointer.ends_with("assword"))
    };
    let share = "/backupConfiguration/sourceLocation/fileShare";
    let path = text(p, &format!("{share}/path"))
        .unwrap_or("")
        .trim_end_matches('\\')
        .to_owned();
    let folder = match source {
        Source::Share { folder, .. } => folder.as_str(),
        Source::Container { .. } => "",
    };
    let there = folder.is_empty() || sql.share.keys().any(|f| lies_in(f, '\\', folder));
    let wanted = match folder {
        "" => sql.share_path.clone(),
        folder => format!(r"{}\{folder}", sql.share_path),
    };
    if !there || !path.eq_ignore_ascii_case(&wanted) {
        return Some(trouble(
            "2049",
            format!("FileShareTestConnectionFailed: the network path '{path}' was not found."),
        ));
    }
    if !is(&format!("{share}/username"), &sql.share_user) || !is(&format!("{share}/password"), &sql.share_password) {
        return Some(trouble(
            "2049",
            format!(
                "FileShareTestConnectionFailed: access to '{path}' is denied. The user name or password is incorrect."
            ),
        ));
    }
    let connection = "/sourceSqlConnection";
    if !is(&format!("{connection}/userName"), &sql.user) || !is(&format!("{connection}/password"), &sql.password) {
        let user = text(p, "/sourceSqlConnection/userName").unwrap_or("").to_owned();
        return Some(trouble(
            "2012",
            format!("TestConnectionFailed: login failed for user '{user}'."),
        ));
    }
    None
}

/// The end of the validation.
fn validated(world: &mut World, key: &str, operation: &str) -> Result<(), Refusal> {
    let Some(m) = world
        .cloud
        .database_migrations
        .get(key)
        .filter(|m| m.operation == operation)
        .cloned()
    else {
        return Ok(());
    };
    if m.state != State::Provisioning {
        return Ok(());
    }
    if let Err((code, message)) = validate(world, &m) {
        if let Some(m) = world.cloud.database_migrations.get_mut(key) {
            m.provisioning_failed = true;
        }
        end(world, key, State::Failed, Some((code.clone(), message.clone())));
        return Err(Refusal::bad(&code, message));
    }
    let (id, now) = (m.database(), world.now().to_string());
    let region = world
        .cloud
        .get(&parent(&m.id, 4))
        .map(|v| v["location"].clone())
        .unwrap_or_default();
    world.cloud.store(json!({
        "id": id, "name": last(&id), "type": DATABASES, "location": region, "tags": {},
        "properties": {"collation": COLLATION, "status": "Restoring", "creationDate": now, "defaultSecondaryLocation": "centralus"},
    }));
    if let Source::Share { account, container, .. } = &m.source
        && let Some(a) = world.cloud.accounts.get_mut(account)
    {
        a.containers.entry(container.clone()).or_default();
    }
    if let Some(m) = world.cloud.database_migrations.get_mut(key) {
        m.state = State::Running;
    }
    go_on(world, key);
    Ok(())
}

const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

fn validate(world: &mut World, m: &Migration) -> Result<(), Trouble> {
    let mi = parent(&m.id, 4);
    let ready = world
        .cloud
        .get(&mi)
        .is_some_and(|v| v["type"] == INSTANCES && v["properties"]["state"] == "Ready");
    if !ready {
        return Err(trouble(
            "2030",
            format!(
                "AzureSQLManagedInstanceNotReady: the managed instance '{}' is not ready.",
                last(&mi)
            ),
        ));
    }
    if let Source::Share { .. } = m.source {
        if !online(world, &m.service) {
            return Err(trouble(
                "2014",
                "IntegrationRuntimeIsNotOnline: no node of the integration runtime is online.",
            ));
        }
        let host = world
            .onprem
            .sql
            .share_path
            .trim_start_matches('\\')
            .split('\\')
            .next()
            .unwrap_or("")
            .to_lowercase();
        if runtime(world, &m.service).is_some_and(|r| r.nodes.iter().any(|n| n.to_lowercase() == host)) {
            return Err(trouble(
                "2049",
                "FileShareTestConnectionFailed: the integration runtime is on the computer that holds the share.",
            ));
        }
    }
    if let Some(why) = &m.refused {
        return Err(why.clone());
    }
    if world.onprem.sql.position(&m.source_database) == 0 {
        return Err(trouble(
            "2056",
            format!(
                "SqlInfoValidationFailed: the source has no database '{}'.",
                m.source_database
            ),
        ));
    }
    if m.collation.as_ref().is_some_and(|c| !c.eq_ignore_ascii_case(COLLATION)) {
        return Err(trouble(
            "2056",
            format!("SqlInfoValidationFailed: CollationMismatch: the source database's collation is {COLLATION}."),
        ));
    }
    if world.cloud.get(&m.database()).is_some() {
        return Err(trouble(
            "2056",
            format!(
                "SqlInfoValidationFailed: a database '{}' is on the managed instance already.",
                last(&m.id)
            ),
        ));
    }
    readable(world, m)?;
    if let Some(wanted) = &m.offline {
        let newest = source_files(world, m)
            .max_by_key(|(n, b)| (b.modified, *n))
            .map(|(n, _)| n);
        // From a share the name may be left out: then the newest file is the last.
        let unnamed = wanted.is_empty() && matches!(m.source, Source::Share { .. });
        if !unnamed && newest.as_ref().is_none_or(|n| !n.eq_ignore_ascii_case(wanted)) {
            return Err(trouble(
                "Ext_RestoreSettingsError",
                format!(
                    "Migration for database '{}' failed: '{}' should be the last restore backup file.",
                    last(&m.id),
                    wanted
                ),
            ));
        }
    }
    match world.dms_trouble.take() {
        Some(code @ (2012 | 2030 | 2043 | 2049 | 2056)) => {
            Err(trouble(&code.to_string(), "The lab was told to fail here."))
        }
        other => {
            world.dms_trouble = other;
            Ok(())
        }
    }
}

/// Whether the storage can be used as the migration was told.
fn readable(world: &World, m: &Migration) -> Result<(), Trouble> {
    let valid = |account: &str, key: &Option<(usize, u32)>| {
        key.is_some_and(|(i, g)| world.cloud.accounts.get(account).is_some_and(|a| a.generations[i] == g))
    };
    match &m.source {
        Source::Share { account, key, .. } if !valid(account, key) => Err(trouble(
            "2043",
            format!(
                "CreateContainerFailed: the storage account '{account}' refused the request (403 AuthenticationFailed)."
            ),
        )),
        Source::Share { .. } => Ok(()),
        Source::Container {
            account, container, by, ..
        } => {
            let error = |why: String| Err(trouble("Ext_RestoreSettingsError", why));
            let allowed = match by {
                Access::Key(key) => valid(account, key),
                Access::Identity(id) => may_read(world, account, id),
            };
            if !allowed {
                return error(format!(
                    "RestoreSettingsError: the container '{container}' of '{account}' can't be read (403 Forbidden)."
                ));
            }
            if !world
                .cloud
                .accounts
                .get(account)
                .is_some_and(|a| a.containers.contains_key(container))
            {
                return error(format!(
                    "RestoreSettingsError: the container '{container}' was not found in '{account}'."
                ));
            }
            Ok(())
        }
    }
}

/// Whether the identity has the role to read the account's blobs.
fn may_read(world: &World, account: &str, identity: &str) -> bool {
    let (id, principal) = world.cloud.reader_identity(world.seed());
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let account = world
        .cloud
        .of_type(&scope, "Microsoft.Storage/storageAccounts")
        .find(|v| v["name"] == account)
        .and_then(|v| v["id"].as_str());
    identity.eq_ignore_ascii_case(&id)
        && account.is_some_and(|a| authorization::has_role(world, &principal, authorization::BLOB_DATA_READER, a))
}

/// The files at the migration's source.
fn source_files<'a>(world: &'a World, m: &'a Migration) -> impl Iterator<Item = (&'a str, &'a Blob)> {
    let (files, slash, folder) = match &m.source {
        Source::Share { folder, .. } => (Some(&world.onprem.sql.share), '\\', folder),
        Source::Container {
            account,
            container,
            folder,
            ..
        } => {
            let account = world.cloud.accounts.get(account);
            (account.and_then(|a| a.containers.get(container)), '/', folder)
        }
    };
    let all = files.into_iter().flatten();
    all.filter(move |(n, _)| lies_in(n, slash, folder))
        .map(move |(n, b)| (n.rsplit_once(slash).map_or(n.as_str(), |(_, file)| file), b))
}

/// Lets every migration that waits see whether there is something to do. Called at each request, so it only counts.
pub(crate) fn look(world: &mut World) {
    let now = world.now();
    let due: Vec<String> = world
        .cloud
        .database_migrations
        .iter()
        .filter(|(_, m)| match m.state {
            State::Running => {
                !m.files
                    .iter()
                    .any(|f| matches!(f.step, Step::Uploading(..) | Step::Restoring))
                    && (source_files(world, m).count() != m.files.len() + m.invalid.len()
                        || (m.blocked.is_empty() && m.files.iter().any(|f| f.step != Step::Restored)))
            }
            State::Retriable(_) => true,
            _ => false,
        })
        .map(|(k, _)| k.clone())
        .collect();
    for key in due {
        let since = match world.cloud.database_migrations.get(&key).map(|m| m.state.clone()) {
            Some(State::Retriable(since)) => Some(since),
            _ => None,
        };
        if since.is_some_and(|s| now >= plus(s, GIVE_UP)) {
            let why = trouble(
                "2040",
                "MigrationTimeoutWaitingForRetry: the error was not corrected within 8 hours.",
            );
            end(world, &key, State::Failed, Some(why));
        } else {
            go_on(world, &key);
        }
    }
}

/// Takes the next step: notices files, uploads one, restores one, or completes.
fn go_on(world: &mut World, key: &str) {
    let Some(mut m) = world.cloud.database_migrations.get(key).cloned() else {
        return;
    };
    if !matches!(m.state, State::Running | State::Retriable(_)) {
        return;
    }
    let now = world.now();
    if matches!(m.source, Source::Share { .. }) && !online(world, &m.service) {
        if m.state == State::Running {
            m.state = State::Retriable(now);
            m.error = Some(trouble(
                "2014",
                "IntegrationRuntimeIsNotOnline: no node of the integration runtime is online.",
            ));
            m.upload_errors = vec!["The integration runtime is offline.".into()];
            // The world moves only when asked, so the end of the patience is an event of its own.
            world.at(plus(now, GIVE_UP), |_| {});
        }
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return;
    }
    if let Err(why) = readable(world, &m) {
        return end(world, key, State::Failed, Some(why));
    }
    m.state = State::Running;
    m.error = None;
    m.upload_errors.clear();
    m.blocked.clear();
    notice(world, &mut m);
    // The service reads headers; here the name tells, whole or with `_` for what a path does not take.
    let own = m.source_database.to_lowercase();
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let stem: String = m.source_database.chars().map(safe).collect::<String>().to_lowercase();
    let foreign = m.files.iter().find(|f| {
        let name = f.name.to_lowercase();
        ![&own, &stem].iter().any(|own| name.starts_with(&format!("{own}_")))
    });
    if let Some(f) = foreign {
        let why = trouble(
            "2009",
            format!(
                "MigrationRestoreFailed: backups of several databases are in one folder: '{}'.",
                f.name
            ),
        );
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return end(world, key, State::Failed, Some(why));
    }
    let some_restored = m.files.iter().any(|f| f.step == Step::Restored);
    if let Some(code @ (2009 | 2033)) = world.dms_trouble
        && (code == 2009 || some_restored)
    {
        world.dms_trouble = None;
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return end(
            world,
            key,
            State::Failed,
            Some(trouble(&code.to_string(), "The lab was told to fail here.")),
        );
    }
    let share = matches!(m.source, Source::Share { .. });
    if share && let Some(f) = m.files.iter_mut().find(|f| f.step == Step::Arrived) {
        let secs = i64::try_from(f.blob.size / UPLOAD).unwrap_or(0).max(5);
        let to = plus(now, world.about(secs, &f.name));
        f.step = Step::Uploading(now, to);
        let (name, operation) = (f.name.clone(), m.operation.clone());
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return later(world, to, key, operation, move |w, key| uploaded(w, key, &name));
    }
    let next = m.files.iter().position(|f| f.step != Step::Restored);
    let Some(at) = next else {
        let done = m.offline.is_some() && m.full_restored();
        world.cloud.database_migrations.insert(key.to_owned(), m);
        if done {
            complete(world, key);
        }
        return;
    };
    if m.files[at].full()
        && let Some(why) = certificate::missing(world, &m.source_database)
    {
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return end(
            world,
            key,
            State::Failed,
            Some(trouble("2009", format!("MigrationRestoreFailed: {why}"))),
        );
    }
    let position = m.last_restored().map(|f| f.blob.log.1);
    let f = &mut m.files[at];
    let gap = match position {
        None if !f.full() => Some("The full backup is missing.".to_owned()),
        Some(p) if !f.full() && f.blob.log.0 > p => Some(format!(
            "The log chain is broken: '{}' begins at {}, and the last restored backup ends at {p}.",
            f.name, f.blob.log.0
        )),
        _ => None,
    };
    if let Some(why) = gap {
        m.blocked = why;
        world.cloud.database_migrations.insert(key.to_owned(), m);
        return;
    }
    f.step = Step::Restoring;
    let secs = if f.full() {
        super::sql::FULL_SECS
    } else {
        super::sql::LOG_SECS
    };
    let to = plus(now, world.about(secs, &f.name));
    let (name, operation) = (f.name.clone(), m.operation.clone());
    world.cloud.database_migrations.insert(key.to_owned(), m);
    later(world, to, key, operation, move |w, key| {
        let Some(m) = w.cloud.database_migrations.get_mut(key) else {
            return;
        };
        let database = m.database().to_lowercase();
        if let Some(f) = m.files.iter_mut().find(|f| f.name == name) {
            f.step = Step::Restored;
            let log = f.blob.log.1;
            w.cloud.positions.insert(database, log);
        }
        go_on(w, key);
    });
}

/// Does something at a later time, if the same migration still runs then.
fn later(
    world: &mut World,
    at: Timestamp,
    key: &str,
    operation: String,
    what: impl FnOnce(&mut World, &str) + Send + 'static,
) {
    let key = key.to_owned();
    world.at(at, move |w| {
        let same = w
            .cloud
            .database_migrations
            .get(&key)
            .is_some_and(|m| m.operation == operation && matches!(m.state, State::Running | State::Retriable(_)));
        if same {
            what(w, &key);
        }
    });
}

/// Puts files that are new into the list; the log's order is the order.
fn notice(world: &World, m: &mut Migration) {
    m.invalid.clear();
    let found: Vec<(String, Blob)> = source_files(world, m).map(|(n, b)| (n.to_owned(), b.clone())).collect();
    for (name, blob) in found {
        let ends = |e: &[&str]| e.iter().any(|e| name.to_lowercase().ends_with(e));
        if !ends(&[".bak", ".trn", ".dif", ".diff"]) {
            m.invalid.push(name);
        } else if !m.files.iter().any(|f| f.name == name) {
            m.files.push(File {
                name,
                blob,
                step: Step::Arrived,
            });
        }
    }
    m.files.sort_by_key(|f| (!f.full(), f.blob.log.1, f.blob.modified));
}

fn uploaded(world: &mut World, key: &str, name: &str) {
    let Some(m) = world.cloud.database_migrations.get_mut(key) else {
        return;
    };
    let Some(f) = m.files.iter_mut().find(|f| f.name == name) else {
        return;
    };
    f.step = Step::Uploaded;
    let blob = f.blob.clone();
    if let Source::Share { account, container, .. } = m.source.clone()
        && let Some(files) = world
            .cloud
            .accounts
            .get_mut(&account)
            .and_then(|a| a.containers.get_mut(&container))
    {
        files.insert(name.to_owned(), blob);
    }
    go_on(world, key);
}

/// Brings the database online; returns the operation that does it.
fn complete(world: &mut World, key: &str) -> Option<String> {
    let m = world.cloud.database_migrations.get_mut(key)?;
    m.state = State::Completing;
    let (id, operation, database) = (m.id.clone(), m.operation.clone(), m.database());
    let region = world.cloud.get(&parent(&id, 4))?["location"].as_str()?.to_owned();
    let (k, label) = (key.to_owned(), format!("cutover {operation}"));
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        None,
        CUTOVER_SECS,
        &label,
        move |w| {
            let same = w
                .cloud
                .database_migrations
                .get(&k)
                .is_some_and(|m| m.operation == operation);
            if !same {
                return Ok(());
            }
            let broken = w.dms_trouble == Some(2007) || w.cloud.get(&database).is_none();
            if broken {
                w.dms_trouble = None;
                let why = trouble(
                    "2007",
                    "CutoverFailedOrCancelled: the target database was changed during the cutover.",
                );
                end(w, &k, State::Failed, Some(why.clone()));
                return Err(Refusal::bad(&why.0, why.1));
            }
            if let Some(v) = w.cloud.get_mut(&database) {
                v["properties"]["status"] = "Online".into();
            }
            end(w, &k, State::Succeeded, None);
            Ok(())
        },
    );
    world.cloud.database_migrations.get_mut(key)?.cutover.clone_from(&op);
    Some(op)
}

/// A cutover that a fault script lets fail has changed nothing: the migration is ready for another one.
pub(crate) fn cutover_failed(world: &mut World, operation: &str) {
    let mut all = world.cloud.database_migrations.values_mut();
    if let Some(m) = all.find(|m| m.state == State::Completing && m.cutover == operation) {
        m.state = State::Running;
    }
}

/// Ends a migration. A database that was not finished goes with it.
fn end(world: &mut World, key: &str, state: State, error: Option<Trouble>) {
    let now = world.now();
    let Some(m) = world.cloud.database_migrations.get_mut(key) else {
        return;
    };
    let unfinished = state != State::Succeeded && !m.provisioning_failed;
    m.state = state;
    m.ended = Some(now);
    m.error = error;
    m.upload_errors.clear();
    let database = m.database();
    if unfinished {
        super::forget(world, &database);
    }
}

fn named(world: &World, req: &Req, id: &str) -> Result<Migration, Refusal> {
    let m = world
        .cloud
        .database_migrations
        .get(&id.to_lowercase())
        .ok_or_else(|| Refusal::not_found(req))?;
    if text(&req.body, "/migrationOperationId").is_none_or(|o| !o.eq_ignore_ascii_case(&m.operation)) {
        return Err(Refusal::bad(
            "InvalidParameterValue",
            "The migrationOperationId is not that of the present migration of this database.",
        ));
    }
    Ok(m.clone())
}

fn cutover(world: &mut World, req: &Req, id: &str) -> Answer {
    let m = named(world, req, id)?;
    if m.offline.is_some() || m.status() != "ReadyForCutover" {
        return Err(Refusal::bad(
            "2007",
            format!(
                "CutoverFailedOrCancelled: the migration is {}, it must be ReadyForCutover.",
                m.status()
            ),
        ));
    }
    match complete(world, &id.to_lowercase()) {
        Some(op) => Ok(Resp::empty(202).with(lro::headers(world, req, &op))),
        None => Err(Refusal::not_found(req)),
    }
}

fn cancel(world: &mut World, req: &Req, id: &str) -> Answer {
    let m = named(world, req, id)?;
    if !m.active() || matches!(m.state, State::Canceling) {
        return Err(Refusal::bad(
            "InvalidParameterValue",
            format!("A migration that is {} can't be cancelled.", m.status()),
        ));
    }
    let completing = m.state == State::Completing;
    let region = world
        .cloud
        .get(&parent(id, 4))
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned();
    let key = id.to_lowercase();
    if !completing && let Some(m) = world.cloud.database_migrations.get_mut(&key) {
        m.state = State::Canceling;
    }
    // A cutover that is under way is faster than its cancellation.
    let secs = if completing { 2 * CUTOVER_SECS } else { CANCEL_SECS };
    let operation = m.operation;
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        None,
        secs,
        &format!("cancel {operation}"),
        move |w| match w
            .cloud
            .database_migrations
            .get(&key)
            .filter(|m| m.operation == operation)
            .map(|m| m.state.clone())
        {
            Some(State::Succeeded) => Err(Refusal::bad(
                "2038",
                "MigrationCompletedDuringCancel: the migration completed before it was cancelled.",
            )),
            Some(State::Canceling) => {
                end(w, &key, State::Canceled, None);
                Ok(())
            }
            _ => Ok(()),
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

fn delete(world: &mut World, req: &Req, id: &str) -> Answer {
    let key = id.to_lowercase();
    let Some(m) = world.cloud.database_migrations.get(&key) else {
        return Ok(Resp::empty(204));
    };
    let forced = req.query.get("force").is_some_and(|f| f.eq_ignore_ascii_case("true"));
    if m.active() && !matches!(m.state, State::Retriable(_)) && !forced {
        return Err(Refusal::conflict(
            "Conflict",
            format!("A migration that is {} can't be deleted. Cancel it first.", m.status()),
        ));
    }
    if m.active() {
        end(world, &key, State::Canceled, None);
    }
    let region = world
        .cloud
        .get(&parent(id, 4))
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned();
    if let Some(m) = world.cloud.database_migrations.get_mut(&key) {
        m.deleting = true;
    }
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::DataMigration,
        &region,
        None,
        15,
        &format!("delete {target}"),
        move |w| {
            w.cloud.database_migrations.remove(&target.to_lowercase());
            Ok(())
        },
    );
    Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
}

/// The record as GET shows it.
pub(crate) fn view(world: &World, key: &str, details: bool) -> Option<Value> {
    let m = world.cloud.database_migrations.get(key)?;
    let provisioning = match m.state {
        _ if m.deleting => "Deleting",
        State::Provisioning => "Provisioning",
        State::Failed if m.provisioning_failed => "Failed",
        _ => "Succeeded",
    };
    let kind = if matches!(m.source, Source::Share { .. }) {
        "FileShare"
    } else {
        "AzureBlob"
    };
    let mut p = json!({
        "kind": "SqlMi", "scope": parent(&m.id, 4), "migrationService": m.service, "provisioningState": provisioning,
        "migrationStatus": m.status(), "startedOn": m.started.to_string(), "sourceDatabaseName": m.source_database,
        "sourceServerName": m.source_server, "migrationOperationId": m.operation,
        "backupConfiguration": {"sourceLocation": {"fileStorageType": kind}},
    });
    if let Some(t) = m.ended {
        p["endedOn"] = t.to_string().into();
    }
    if let Some(name) = &m.offline {
        p["offlineConfiguration"] = json!({"offline": true, "lastBackupName": name});
    }
    if let Some((code, message)) = &m.error {
        p["migrationFailureError"] = json!({"code": code, "message": message});
        if m.provisioning_failed {
            p["provisioningError"] = message.as_str().into();
        }
    }
    if details {
        p["migrationStatusDetails"] = status_details(world, m);
    }
    Some(json!({"id": m.id, "name": last(&m.id), "type": MIGRATIONS, "properties": p}))
}

fn status_details(world: &World, m: &Migration) -> Value {
    let set = |f: &File| backup_set(world, m, f);
    let active: Vec<Value> = m.files.iter().filter(|f| f.step != Step::Restored).map(set).collect();
    let full = m.files.iter().find(|f| f.full());
    let restoring = m.files.iter().find(|f| f.step == Step::Restoring);
    let uploaded = full.is_some_and(|f| !matches!(f.step, Step::Arrived | Step::Uploading(..)));
    let mut d = json!({
        "migrationState": if uploaded { "MonitorMigration" } else { "WaitForFullBackupUploadOperation" },
        "activeBackupSets": active, "isFullBackupRestored": m.full_restored(), "pendingLogBackupsCount": m.pending(),
        "invalidFiles": m.invalid, "fileUploadBlockingErrors": m.upload_errors,
    });
    let (Source::Share { container, .. } | Source::Container { container, .. }) = &m.source;
    d["blobContainerName"] = container.as_str().into();
    if let Some(f) = full {
        d["fullBackupSetInfo"] = set(f);
    }
    if let Some(f) = m.last_restored() {
        d["lastRestoredBackupSetInfo"] = set(f);
        d["lastRestoredFilename"] = f.name.as_str().into();
    }
    if let Some(f) = restoring {
        d["currentRestoringFilename"] = f.name.as_str().into();
    }
    if !m.blocked.is_empty() {
        d["restoreBlockingReason"] = m.blocked.as_str().into();
    }
    d
}

fn backup_set(world: &World, m: &Migration, f: &File) -> Value {
    let share = matches!(m.source, Source::Share { .. });
    let (status, read) = match &f.step {
        Step::Arrived => ("Arrived", 0),
        Step::Uploading(from, to) => {
            let share =
                world.now().duration_since(*from).as_secs_f64() / to.duration_since(*from).as_secs_f64().max(1.0);
            ("Uploading", (f.blob.size as f64 * share.clamp(0.0, 1.0)) as u64)
        }
        Step::Uploaded => ("Uploaded", f.blob.size),
        Step::Restoring => ("Restoring", f.blob.size),
        Step::Restored => ("Restored", f.blob.size),
    };
    let mut file = json!({"fileName": f.name, "status": status, "totalSize": f.blob.size, "familySequenceNumber": 1});
    if share {
        file["dataRead"] = read.into();
        file["dataWritten"] = read.into();
        file["copyThroughput"] = ((UPLOAD >> 10) as f64).into();
        file["copyDuration"] = (read / UPLOAD).into();
    }
    let at = f.blob.modified.to_string();
    json!({
        "backupSetId": world.guid(&format!("backup {} {}", f.name, f.blob.log.1)).to_string(),
        "firstLSN": format!("{:08}000000100001", f.blob.log.0), "lastLSN": format!("{:08}000000100001", f.blob.log.1),
        "backupType": if f.full() { "Database" } else { "TransactionLog" }, "listOfBackupFiles": [file],
        "backupStartDate": at, "backupFinishDate": at, "isBackupRestored": f.step == Step::Restored, "hasBackupChecksums": true,
        "familyCount": 1, "ignoreReasons": [],
    })
}

impl World {
    /// An instance of the retired service with a project and an old task stands in the subscription, for tests.
    pub fn leave_classic_dms(&mut self) {
        let group = format!(
            "/subscriptions/{}/resourceGroups/ContosoNetworkingRG",
            self.cloud.subscription
        );
        let service = format!("{group}/providers/{CLASSIC}/contoso-dms");
        let project = format!("{service}/projects/SmartHotel");
        let subnet = format!("{group}/providers/Microsoft.Network/virtualNetworks/VNET-PROD-EUS2/subnets/PROD-DC-EUS2");
        self.cloud.store(json!({
            "id": service, "name": "contoso-dms", "type": CLASSIC, "location": "eastus2", "tags": {},
            "sku": {"name": "Standard_1vCores", "tier": "Standard", "size": "1 vCores"},
            "properties": {"provisioningState": "Stopped", "virtualSubnetId": subnet},
        }));
        self.cloud.store(json!({
            "id": project, "name": "SmartHotel", "type": format!("{CLASSIC}/projects"), "location": "eastus2", "tags": {},
            "properties": {"sourcePlatform": "SQL", "targetPlatform": "SQLMI", "provisioningState": "Succeeded", "creationTime": "2023-06-01T08:00:00Z"},
        }));
        self.cloud.store(json!({
            "id": format!("{project}/tasks/migrate-smarthotel"), "name": "migrate-smarthotel", "type": format!("{CLASSIC}/projects/tasks"),
            "properties": {"taskType": "Migrate.SqlServer.AzureSqlDbMI", "state": "Succeeded", "errors": [], "commands": []},
        }));
    }

    /// The computers of every integration runtime go away or come back.
    pub fn runtimes_offline(&mut self, offline: bool) {
        for r in self.cloud.runtimes.values_mut() {
            r.offline = offline;
        }
    }
}
