//! What is known to fail late, looked for anew before the backups and before the restore, and judged by the same rules as in
//! the plan.
//!
//! Decisions:
//! * Nothing is written to the place of the backups, because the services read everything that lies there. SQL Server is
//!   asked to open a file there that does not exist: it answers with the operating system's code, and *not found* says that
//!   the folder can be opened. Whether it may write there is told by the first backup, still before the restore is started.
//! * Which database a file is of is what msdb remembers; of files that it does not know, their name says it when it is one
//!   that Rehost's scripts give. On a share the file's own header has the last word.
//! * A managed instance does not show the certificates that were uploaded to it. The one that encrypts the database is taken to
//!   be there when the run has brought it, or when a person chose Retry after this check asked for it.
//! * A managed instance that Rehost does not reach keeps nobody from moving: what only it could tell is said to be unknown.

use crate::{Links, certificate, checks::Look, storage, words};
use azure::Blobs;
use engine::{Ctx, Failure, FailureClass, Observed};
use plan::{
    Action, BackupSource, DatabaseMethod, Finding, ResourceId, rules,
    rules::sql::{SqlCase, SqlFile, SqlTarget, SqlWay},
    sql::{SqlBackupKind, SqlBackups, SqlDatabase, SqlInstance},
    task::Severity,
};
use serde_json::Value;
use sqlserver::{
    Client, SqlError,
    backup::{self, Remembered},
    facts,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A file that nobody has written.
const PROBE: &str = "rehost-looks-whether-this-folder-opens";
/// So many files of other databases are opened on a share; more would say the same.
const OPENED: usize = 10;

pub(crate) struct Source(pub(crate) Arc<Links>);

/// What the task looks at.
struct Parts<'a> {
    instance: &'a ResourceId,
    admin: &'a str,
    storage_gib: u32,
    account: &'a ResourceId,
    container: &'a str,
    subnet: &'a ResourceId,
    share: &'a str,
    database: &'a str,
    along: &'a [String],
    method: DatabaseMethod,
    pack: &'a str,
    backups: bool,
    /// The run brings the certificate before the restore.
    certificate: bool,
}

/// Findings of the rules that stop a run, as the failure of a task: the first with its words, the others by their titles.
pub(crate) fn blocked(findings: &[Finding]) -> Failure {
    let Some((first, others)) = findings.split_first() else {
        return Failure::permanent(
            "Internal",
            "Nothing blocks",
            "A check has failed without a finding.",
            "Report it with the support bundle.",
        );
    };
    let more: String = others.iter().map(|f| format!(" Also: {}.", f.title)).collect();
    Failure::of(
        FailureClass::NeedsPerson,
        &first.rule,
        first.title.clone(),
        format!("{}{more}", first.detail),
        format!(
            "{}: {}. Then choose Retry.",
            capital(&first.who),
            first.command.trim_end_matches('.')
        ),
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}

/// What the rules say of a SAS with these permissions for Log Replay Service.
pub(crate) fn of_sas(granted: &str) -> Option<Finding> {
    let way = SqlWay {
        sas: Some(granted.to_owned()),
        ..SqlWay::default()
    };
    let case = SqlCase {
        instance: &SqlInstance::default(),
        target: &SqlTarget::default(),
        way: &way,
        method: DatabaseMethod::LogReplay,
        databases: &[],
    };
    rules::CURRENT.judge_sql(&case).into_iter().next()
}

/// Why the account's firewall would refuse the managed instance; empty = it would not, none = a private endpoint decides.
fn firewall(account: &Value, subnet: &ResourceId) -> Option<String> {
    let p = &account["properties"];
    let private = p["privateEndpointConnections"]
        .as_array()
        .is_some_and(|c| !c.is_empty());
    let name = account["name"].as_str().unwrap_or_default();
    let is = |v: &Value, word: &str| v.as_str().is_some_and(|t| t.eq_ignore_ascii_case(word));
    if is(&p["publicNetworkAccess"], "Disabled") {
        return (!private)
            .then(|| format!("{name} takes no connection from any public network, and has no private endpoint"));
    }
    let admitted = plan::task::lookup(p, "/networkAcls/virtualNetworkRules/*/id")
        .iter()
        .any(|id| id.as_str().is_some_and(|id| id.eq_ignore_ascii_case(subnet.as_str())));
    if !is(&p["networkAcls"]["defaultAction"], "Deny") || admitted {
        return Some(String::new());
    }
    (!private).then(|| {
        format!(
            "{name} admits selected networks only, and {} of {} is not among them",
            subnet.name(),
            subnet.part("virtualNetworks").unwrap_or_default()
        )
    })
}

/// The newest major version whose backups an instance with this update policy takes.
fn newest(format: &str) -> Option<u32> {
    match format {
        "SQLServer2022" => Some(16),
        "SQLServer2025" | "AlwaysUpToDate" => Some(17),
        _ => None,
    }
}

/// The database that a file is of by its name, when it is one of those that Rehost's scripts give.
fn named(file: &str) -> Option<&str> {
    let name = file_name(file);
    let ends = ["_full_", "_diff_", "_log_", "_tail."];
    ends.iter().find_map(|e| name.rfind(e)).map(|at| &name[..at])
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

impl Source {
    fn parts<'a>(ctx: &'a Ctx) -> Result<Parts<'a>, Failure> {
        match &ctx.task.action {
            Action::CheckSource {
                instance,
                admin,
                storage_gib,
                account,
                container,
                subnet,
                share,
                database,
                along,
                method,
                pack,
                backups,
                certificate,
            } => Ok(Parts {
                instance,
                admin,
                storage_gib: *storage_gib,
                account,
                container,
                subnet,
                share,
                database,
                along,
                method: *method,
                pack,
                backups: *backups,
                certificate: *certificate,
            }),
            _ => Err(words::misplaced(&ctx.task)),
        }
    }

    /// The managed instance as Azure sees it, and as it sees itself when it lets us in.
    async fn target(&self, ctx: &Ctx, p: &Parts<'_>) -> Result<SqlTarget, Failure> {
        let arm = self.0.arm(ctx);
        let mut target = SqlTarget {
            storage: Some(u64::from(p.storage_gib) << 30),
            ..SqlTarget::default()
        };
        let Some(now) = arm.get_opt(p.instance).await.map_err(words::azure)? else {
            return Ok(target);
        };
        let text = |at: &str| now.pointer(at).and_then(Value::as_str).unwrap_or_default();
        target.business_critical = text("/sku/tier").eq_ignore_ascii_case("BusinessCritical");
        if let Some(gb) = now.pointer("/properties/storageSizeInGB").and_then(Value::as_u64) {
            target.storage = Some(gb << 30);
        }
        target.newest = newest(text("/properties/databaseFormat"));
        if text("/properties/state") == "Ready" {
            let looked = match self.0.target(ctx, p.instance, p.admin).await {
                Ok(mut client) => facts::read_one(&mut client, p.database)
                    .await
                    .map_err(|e| words::sql(&e)),
                Err(e) => Err(e),
            };
            match looked {
                Ok(own) => {
                    target.learn(&own);
                    target.certificates.iter_mut().for_each(|c| c.extend(certificate::known(ctx)));
                }
                Err(e) => ctx.evidence(format!(
                    "The managed instance itself could not be looked into, so that its certificates, its settings and the space \
                     in use are not judged: {} {}",
                    e.title, e.detail
                )),
            }
        }
        let all = arm
            .list(&ResourceId::new(format!("{}/databases", p.instance)))
            .await
            .map_err(words::azure)?;
        let ours = p.instance.child("databases", p.database);
        let named = |d: &Value| d["name"].as_str().map(str::to_owned);
        let others = all.iter().filter_map(named).filter(|n| {
            let own = n.eq_ignore_ascii_case(p.database) && ctx.is_ours(ours.as_str());
            !own
        });
        target.databases = Some(others.collect());
        Ok(target)
    }

    /// Whether SQL Server opens the folder on the share.
    async fn share(client: &mut Client, share: &str, way: &mut SqlWay) -> Result<(), Failure> {
        let probe = format!(r"{}\{PROBE}", share.trim_end_matches('\\'));
        match backup::prove(client, &[probe], false, &CancellationToken::new()).await {
            Ok(_) => {}
            Err(e) => match e.system_code() {
                Some(_) => e.tells(way),
                None => return Err(words::sql(&e)),
            },
        }
        Ok(())
    }

    /// The backups that lie in their place, by their names.
    async fn files(&self, ctx: &Ctx, p: &Parts<'_>) -> Result<Vec<String>, Failure> {
        let key = storage::key(&self.0, ctx, p.account, "key1").await?;
        let sas = storage::for_an_hour(ctx, p.account, p.container, &key)?;
        let blobs = Blobs::new(&self.0.arm).traced(ctx.trace());
        let found = blobs
            .list(p.account.name(), p.container, "", &sas)
            .await
            .map_err(words::azure)?;
        Ok(found.into_iter().map(|b| b.name).collect())
    }

    /// Fills in what lies in the place of the backups, and what msdb remembers of it.
    async fn backups(
        &self,
        ctx: &Ctx,
        p: &Parts<'_>,
        client: Option<&mut Client>,
        way: &mut SqlWay,
        database: &mut SqlDatabase,
    ) -> Result<(), Failure> {
        let (place, there) = if p.share.is_empty() {
            let blob_url = &self.0.arm.connection().blob_url;
            let url = blob_url.replace("{account}", p.account.name());
            (format!("{url}/{}/", p.container), Some(self.files(ctx, p).await?))
        } else {
            (format!(r"{}\", p.share.trim_end_matches('\\')), None)
        };
        let mut client = client;
        let mut known = match client.as_deref_mut() {
            Some(client) => backup::remembered(client, &place).await.map_err(|e| words::sql(&e))?,
            None => vec![],
        };
        match (&there, client) {
            (Some(there), _) => known.retain(|r| there.iter().any(|t| place_of(r, &place).eq_ignore_ascii_case(t))),
            (None, Some(client)) => {
                known = still_there(client, known, p.database)
                    .await
                    .map_err(|e| words::sql(&e))?
            }
            (None, None) => {}
        }
        let of_known = |path: &str| {
            known
                .iter()
                .rev()
                .find(|r| place_of(r, &place).eq_ignore_ascii_case(path))
        };
        let paths: Vec<String> =
            there.unwrap_or_else(|| known.iter().map(|r| place_of(r, &place).to_owned()).collect());
        let stem = backup::stem(p.database);
        let mut unknown = 0;
        let files = paths.iter().filter_map(|path| {
            let of_name = || named(path).map(|n| if n.eq_ignore_ascii_case(&stem) { p.database } else { n });
            let of = of_known(path).map(|r| r.database.as_str()).or_else(of_name);
            unknown += usize::from(of.is_none());
            Some(SqlFile {
                path: path.clone(),
                database: of?.to_owned(),
            })
        });
        way.files = Some(files.collect());
        if unknown > 0 {
            ctx.evidence(format!(
                "{unknown} of {} files are of a database that neither msdb nor their name tells (unverified).",
                paths.len()
            ));
        }
        let mut own = SqlBackups::default();
        for r in known.iter().filter(|r| r.database.eq_ignore_ascii_case(p.database)) {
            own.known = true;
            match r.backup.kind {
                SqlBackupKind::Full => (own.full, own.after) = (Some(r.backup.clone()), vec![]),
                // A striped backup comes with each of its files.
                _ if own.after.last() == Some(&r.backup) => {}
                _ => own.after.push(r.backup.clone()),
            }
        }
        way.existing = true;
        database.backups = own;
        Ok(())
    }
}

/// The file's path below the place.
fn place_of<'a>(r: &'a Remembered, place: &str) -> &'a str {
    r.device.get(place.len()..).unwrap_or_default()
}

/// Of files of other databases on a share only those that are still there, with what their own headers say.
async fn still_there(client: &mut Client, known: Vec<Remembered>, database: &str) -> Result<Vec<Remembered>, SqlError> {
    let mut kept = vec![];
    let mut opened = 0;
    for mut r in known {
        if !r.database.eq_ignore_ascii_case(database) {
            if opened == OPENED {
                continue;
            }
            opened += 1;
            let header = backup::prove(
                client,
                std::slice::from_ref(&r.device),
                false,
                &CancellationToken::new(),
            )
            .await;
            match header {
                Ok(header) => r.database = header.database,
                Err(SqlError::Statement { .. }) => continue,
                Err(e) => return Err(e),
            }
        }
        kept.push(r);
    }
    Ok(kept)
}

#[async_trait::async_trait]
impl Look for Source {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let p = Self::parts(ctx)?;
        let pack = rules::pack(p.pack).unwrap_or(&rules::CURRENT);
        let mut way = SqlWay {
            backups: if p.share.is_empty() {
                BackupSource::Blob
            } else {
                BackupSource::Share
            },
            certificate: p.certificate && !p.backups,
            ..SqlWay::default()
        };
        let account = self.0.arm(ctx).get(p.account).await.map_err(words::azure)?;
        way.firewall = firewall(&account, p.subnet);
        let target = self.target(ctx, &p).await?;
        // What nobody has read is taken for good.
        let mut instance = SqlInstance::default();
        let mut database = SqlDatabase {
            name: p.database.to_owned(),
            state: "ONLINE".into(),
            recovery: "FULL".into(),
            ..SqlDatabase::default()
        };
        let mut client = None;
        if self.0.sql.server.trim().is_empty() {
            ctx.evidence("There is no connection to the source SQL Server: it is not judged.");
        } else {
            match self.0.connect().await {
                Ok(open) => client = Some(open),
                Err(e) => {
                    e.tells(&mut way);
                    if way.tcp.is_none() && way.port_1433.is_none() {
                        return Err(words::sql(&e));
                    }
                }
            }
        }
        let mut missing = None;
        if let Some(client) = &mut client {
            way.port_1433 = Some(true);
            instance = facts::read_one(client, p.database).await.map_err(|e| words::sql(&e))?;
            match instance
                .databases
                .iter()
                .find(|d| d.name.eq_ignore_ascii_case(p.database))
            {
                Some(found) => database = found.clone(),
                None => missing = pack.source_missing(&instance, p.database),
            }
            if !p.share.is_empty() {
                Self::share(client, p.share, &mut way).await?;
            }
        }
        if p.backups {
            self.backups(ctx, &p, client.as_mut(), &mut way, &mut database).await?;
            // Its tail was backed up: it is where it must be.
            if p.method == DatabaseMethod::DmsOffline && database.state == "RESTORING" {
                database.state = "ONLINE".into();
            }
            if p.method == DatabaseMethod::LogReplay {
                way.sas = storage::recorded_rights(&self.0, ctx, "restore", p.account, p.container).await?;
            }
        }
        // What is being restored already has its room.
        let restored = target.databases.clone().unwrap_or_default();
        let along = p
            .along
            .iter()
            .filter(|n| !restored.iter().any(|r| r.eq_ignore_ascii_case(n)));
        let along = along.filter_map(|n| instance.databases.iter().find(|d| d.name.eq_ignore_ascii_case(n)));
        let databases: Vec<(&SqlDatabase, &str)> = std::iter::once((&database, p.database))
            .chain(along.map(|d| (d, d.name.as_str())))
            .collect();
        let case = SqlCase {
            instance: &instance,
            target: &target,
            way: &way,
            method: p.method,
            databases: &databases,
        };
        let mut found: Vec<Finding> = missing.into_iter().chain(pack.judge_sql(&case)).collect();
        // Each is judged by a task of its own.
        let of_another = |f: &Finding| p.along.iter().any(|n| n.eq_ignore_ascii_case(&f.about));
        found.retain(|f| f.severity == Severity::Blocking && !of_another(f));
        if let Some(thumbprint) = &database.certificate {
            if found.iter().any(|f| f.rule == "sql-tde") {
                certificate::asked(ctx, thumbprint);
            } else if certificate::was_asked(ctx, thumbprint) {
                ctx.evidence(format!(
                    "A person was asked for the certificate {thumbprint} and chose Retry. Whether it is there shows when the restore begins: a managed instance does not show it."
                ));
            }
        }
        if !found.is_empty() {
            return Err(blocked(&found));
        }
        let read = if instance.name.is_empty() {
            String::new()
        } else {
            format!("{} {}: ", instance.name, instance.version)
        };
        ctx.evidence(format!(
            "{read}nothing that is known to fail late stands against the move."
        ));
        Ok(Observed::Matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn account(properties: Value) -> Value {
        json!({ "name": "contosobackup", "properties": properties })
    }

    #[test]
    fn a_firewall_that_refuses_the_managed_instance_is_seen() {
        let subnet = ResourceId::new(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/V/subnets/MI",
        );
        let of = |p: Value| firewall(&account(p), &subnet);
        let open = Some(String::new());
        assert_eq!(of(json!({})), open);
        assert_eq!(of(json!({ "networkAcls": { "defaultAction": "Allow" } })), open);
        let deny = |rules: Value| json!({ "networkAcls": { "defaultAction": "Deny", "virtualNetworkRules": rules } });
        let said = of(deny(json!([{ "id": "/other" }]))).unwrap();
        assert_eq!(
            said,
            "contosobackup admits selected networks only, and MI of V is not among them"
        );
        assert_eq!(of(deny(json!([{ "id": subnet.as_str().to_uppercase() }]))), open);
        assert!(
            of(json!({ "publicNetworkAccess": "Disabled" }))
                .unwrap()
                .contains("no private endpoint")
        );
        let private = json!({ "publicNetworkAccess": "Disabled", "privateEndpointConnections": [{}] });
        assert_eq!(of(private), None);
    }

    #[test]
    fn files_tell_their_database_by_the_names_of_the_scripts() {
        assert_eq!(named("a/SmartHotelDB_full_01.bak"), Some("SmartHotelDB"));
        assert_eq!(named("My_log_DB_log_20261121190000.trn"), Some("My_log_DB"));
        assert_eq!(named("SmartHotelDB_tail.trn"), Some("SmartHotelDB"));
        assert_eq!(named("backup.bak"), None);
        assert_eq!(of_sas("rl"), None);
        assert!(of_sas("rwl").unwrap().detail.contains("rwl"));
    }
}
