//! Backups of the source, taken by Rehost, and their way into the container.
//!
//! Decisions:
//! * A backup is the server's own long statement. It ends with its connection, so it is begun in `apply` and followed by its
//!   mark: who comes later (a resumed process, a second look) finds it running, finds it taken, or finds that it is gone.
//! * The mark names run and task. So a backup is taken once in a run, however often the task is tried; and only a tail that
//!   was taken back, or a file that is gone, makes it be taken again, under a name of its own.
//! * Proof is msdb (checksum, not damaged), and the file: a blob that the service lists, or on disk one that `RESTORE
//!   VERIFYONLY` reads whole.
//! * Log backups that somebody else takes are part of the chain. Each since the full backup must be in the same place, or
//!   have been copied there; otherwise the restore would stop at the gap, in the change window.
//! * On the source nothing is deleted but the container's credential, if Rehost made it; and nothing is changed but the
//!   recovery model, if it was not full.

use crate::{Links, storage, words};
use azure::{
    Blobs,
    upload::{Destination, UploadError},
};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{
    Action, ResourceId,
    backup::{BackupKind, BackupPlace, SourceAfter, joined},
};
use serde_json::{Value, json};
use sqlserver::{
    Client, SqlError,
    backup::{self, Access, Backup, Kind, Taken},
};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Seconds between looks at a backup that runs.
const AGAIN_SECS: u64 = 15;
/// Name of the fact that is there when Rehost made the container's credential.
const CREDENTIAL: &str = "sql.credential";

/// Takes a backup.
pub(crate) struct BackUp {
    links: Arc<Links>,
    /// The statement, while this process has sent it. It goes on when the run is paused.
    own: Mutex<Option<JoinHandle<Result<(), SqlError>>>>,
}

struct Parts<'a> {
    database: &'a str,
    kind: BackupKind,
    to: &'a BackupPlace,
    files: u8,
    source_after: SourceAfter,
    fact: &'a str,
}

fn parts(ctx: &Ctx) -> Result<Parts<'_>, Failure> {
    match &ctx.task.action {
        Action::BackUp {
            database,
            kind,
            to,
            files,
            source_after,
            fact,
        } => Ok(Parts {
            database,
            kind: *kind,
            to,
            files: *files,
            source_after: *source_after,
            fact,
        }),
        _ => Err(words::misplaced(&ctx.task)),
    }
}

/// Address of a container, or of a folder in it.
fn address(links: &Links, account: &ResourceId, container: &str) -> String {
    let blob = links.arm.connection().blob_url.replace("{account}", account.name());
    format!("{}/{container}", blob.trim_end_matches('/'))
}

/// Address by which SQL Server knows the credential of a container.
fn credential(links: &Links, account: &ResourceId, container: &str) -> String {
    address(links, account, container.split('/').next().unwrap_or(container))
}

fn needs_person(code: &str, title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::of(FailureClass::NeedsPerson, code, title, detail, hint)
}

/// Name of the fact that holds the number of a database's full backup in msdb.
fn full_set(database: &str) -> String {
    format!("db.backupSet.{database}")
}

fn mark(ctx: &Ctx) -> String {
    format!("Rehost {} {}", ctx.run, ctx.task.address)
}

fn sql(e: &SqlError) -> Failure {
    words::sql(e)
}

/// The last part of an address or path.
fn file_name(device: &str) -> &str {
    device.rsplit(['/', '\\']).next().unwrap_or(device)
}

impl Parts<'_> {
    /// Address or path of the place, without a slash at its end.
    fn place(&self, links: &Links) -> String {
        match self.to {
            BackupPlace::Container { account, container } => address(links, account, container),
            BackupPlace::Folder { path, .. } => path.trim_end_matches(['/', '\\']).to_owned(),
        }
    }

    /// Addresses or paths of the files of a backup that begins now.
    fn devices(&self, links: &Links, ctx: &Ctx) -> Vec<String> {
        let place = self.place(links);
        let now = ctx.clock.now().strftime("%Y%m%d%H%M%S").to_string();
        let stem = backup::stem(self.database);
        let name = |n: u8| match self.kind {
            BackupKind::Full | BackupKind::Differential => {
                format!("{stem}_{}_{now}_{n:02}.bak", self.kind.part())
            }
            BackupKind::Log | BackupKind::Tail => format!("{stem}_{}_{now}.trn", self.kind.part()),
        };
        (1..=self.files)
            .map(|n| match self.to {
                BackupPlace::Container { .. } => format!("{place}/{}", name(n)),
                BackupPlace::Folder { .. } => joined(&place, &name(n)),
            })
            .collect()
    }

    fn kind(&self) -> Kind {
        match self.kind {
            BackupKind::Full => Kind::Full,
            BackupKind::Differential => Kind::Differential,
            BackupKind::Log => Kind::Log,
            BackupKind::Tail => Kind::Tail,
        }
    }
}

impl BackUp {
    pub(crate) fn new(links: Arc<Links>) -> Self {
        Self {
            links,
            own: Mutex::new(None),
        }
    }

    /// How our own statement has ended; none while it runs, and when it is not this process's.
    async fn ended(&self) -> Option<Result<(), SqlError>> {
        let done = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            if !own.as_ref().is_some_and(JoinHandle::is_finished) {
                return None;
            }
            own.take()
        };
        // One that fell over leaves what the server says.
        done?.await.ok()
    }

    fn is_ours(&self) -> bool {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Names of files that are not in the place.
    async fn missing(
        &self,
        ctx: &Ctx,
        p: &Parts<'_>,
        source: &mut Client,
        files: &[String],
    ) -> Result<Vec<String>, Failure> {
        let mut missing = vec![];
        match p.to {
            BackupPlace::Container { account, container } => {
                let sas = storage::own_sas(&self.links, ctx, account, container, "rl").await?;
                let blobs = Blobs::new(&self.links.arm).traced(ctx.trace());
                let there = blobs
                    .list(account.name(), container, "", &sas)
                    .await
                    .map_err(words::azure)?;
                missing.extend(files.iter().filter(|f| {
                    let wanted = file_name(f);
                    !there
                        .iter()
                        .any(|b| file_name(&b.name).eq_ignore_ascii_case(wanted) && b.size > 0)
                }));
            }
            BackupPlace::Folder { path, .. } => {
                for file in files {
                    let at = [joined(path, file_name(file))];
                    match backup::prove(source, &at, false, &CancellationToken::new()).await {
                        Ok(_) => {}
                        Err(SqlError::Statement { .. }) => missing.push(file),
                        Err(e) => return Err(sql(&e)),
                    }
                }
            }
        }
        Ok(missing.into_iter().map(|f| file_name(f).to_owned()).collect())
    }

    /// Refuses a chain with a log backup that went somewhere else and was not copied.
    async fn whole_chain(&self, ctx: &Ctx, p: &Parts<'_>, source: &mut Client) -> Result<(), Failure> {
        let Some(full) = ctx.fact(&full_set(p.database)).and_then(Value::as_i64) else {
            return Ok(());
        };
        let logs = backup::logs_after(source, p.database, full)
            .await
            .map_err(|e| sql(&e))?;
        let place = p.place(&self.links).to_lowercase();
        let elsewhere: Vec<String> = logs
            .into_iter()
            .flat_map(|t| t.devices)
            .filter(|d| !d.to_lowercase().starts_with(&place))
            .collect();
        if elsewhere.is_empty() {
            return Ok(());
        }
        let missing = self.missing(ctx, p, source, &elsewhere).await?;
        if missing.is_empty() {
            ctx.evidence(format!(
                "Log backups that somebody else took are there as well: {}.",
                elsewhere.join(", ")
            ));
            return Ok(());
        }
        Err(needs_person(
            "LogChainElsewhere",
            format!("Log backups of {} went somewhere else", p.database),
            format!(
                "Since the full backup somebody else has taken log backups: {}. Without them the restore stops at the gap.",
                elsewhere.join(", ")
            ),
            format!(
                "The database administrator copies {} into {} under the same name, and stops the job that takes them (a second log backup always takes a piece out of the chain). Then choose Retry.",
                missing.join(", "),
                p.place(&self.links)
            ),
        ))
    }
}

#[async_trait::async_trait]
impl TaskKind for BackUp {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let p = parts(ctx)?;
        let mut source = self.links.sql().await?;
        let mark = mark(ctx);
        let Some(state) = backup::state(&mut source, p.database).await.map_err(|e| sql(&e))? else {
            return Err(needs_person(
                "DatabaseMissing",
                format!("{} is not on {}", p.database, source.server()),
                "SQL Server knows no database of this name, or the login doesn't see it.",
                "Correct the name in Design, or give the login its rights; then choose Retry.",
            ));
        };
        if backup::running(&mut source, &mark)
            .await
            .map_err(|e| sql(&e))?
            .is_some()
        {
            return Ok(Observed::InFlight(Handle(json!({}))));
        }
        let taken = backup::taken(&mut source, p.database, &mark)
            .await
            .map_err(|e| sql(&e))?;
        let tail = p.kind == BackupKind::Tail;
        let taken = taken.filter(|t| t.checksum && !t.damaged && (!tail || state.closed()));
        if let Some(taken) = taken {
            let missing = self.missing(ctx, &p, &mut source, &taken.devices).await?;
            if missing.is_empty() {
                return Ok(Observed::Matches);
            }
            if tail {
                return Err(needs_person(
                    "TailGone",
                    format!("The tail-log backup of {} is gone", p.database),
                    format!(
                        "{} was taken, and is not where it was written to. It can't be taken twice.",
                        missing.join(", ")
                    ),
                    format!(
                        "Put it back, then choose Retry. If it is lost, the chain ends here: bring the source back ({}; ALTER DATABASE … SET MULTI_USER), and start a new run, which begins with a new full backup.",
                        backup::recover(p.database).unwrap_or_default()
                    ),
                ));
            }
            return Ok(Observed::Differs(format!("{} is gone", missing.join(", "))));
        }
        if state.closed() {
            let what = if state.read_only { "read-only" } else { "restoring" };
            return Err(needs_person(
                "SourceClosed",
                format!("{} on {} is {what} already", p.database, source.server()),
                "Somebody else has taken its tail-log backup, or has closed it.",
                format!(
                    "When that was by mistake, the database administrator opens it: {}; then choose Retry.",
                    backup::recover(p.database).unwrap_or_default()
                ),
            ));
        }
        Ok(Observed::Absent)
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let p = parts(ctx)?;
        let mut source = self.links.sql().await?;
        let state = backup::state(&mut source, p.database).await.map_err(|e| sql(&e))?;
        let state = state.unwrap_or_default();
        if p.kind == BackupKind::Full && !state.recovery.eq_ignore_ascii_case("FULL") {
            let statement = backup::set_full_recovery(p.database).map_err(|e| sql(&e))?;
            source.query(&statement).await.map_err(|e| sql(&e))?;
            ctx.evidence(format!(
                "The recovery model was {} and is FULL now: without it there are no log backups.",
                state.recovery
            ));
        }
        if let BackupPlace::Folder { path, make: true } = p.to
            && p.kind == BackupKind::Full
        {
            source.query(&backup::make_folder(path)).await.map_err(|e| sql(&e))?;
        }
        if let BackupPlace::Container { account, container } = p.to {
            if !backup::writes_to_containers(source.version()) {
                return Err(needs_person(
                    "TooOldForContainers",
                    format!("{} can't write into a container", source.server()),
                    "SQL Server does so by a SAS from 2016 on.",
                    "Name a folder or share in Backups of the plan: SQL Server writes there, and Rehost uploads.",
                ));
            }
            let sas = storage::recorded_sas(&self.links, ctx, "backup", account, container).await?;
            self.links.arm.protect(&sas);
            let name = credential(&self.links, account, container);
            // Noted before it is made: who comes after a crash in between must know whose it is.
            if !backup::has_credential(&mut source, &name).await.map_err(|e| sql(&e))? {
                ctx.set_fact(CREDENTIAL, true);
            }
            backup::ensure_credential(&mut source, &name, &sas)
                .await
                .map_err(|e| sql(&e))?;
        }
        let standby = match (p.kind, p.source_after) {
            (BackupKind::Tail, SourceAfter::ReadOnly) => backup::undo_file(&state, p.database),
            _ => None,
        };
        let compression = backup::can_compress(&mut source).await.map_err(|e| sql(&e))?;
        let one = Backup {
            database: p.database.to_owned(),
            kind: p.kind(),
            devices: p.devices(&self.links, ctx),
            standby,
            compression,
            mark: mark(ctx),
        };
        one.statement().map_err(|e| sql(&e))?;
        let statement = async move { backup::take(&mut source, &one, &CancellationToken::new()).await };
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(statement));
        Ok(Some(Handle(json!({}))))
    }

    async fn settle(&self, ctx: &Ctx, _: &Handle) -> Result<(), Failure> {
        let p = parts(ctx)?;
        let mark = mark(ctx);
        let mut source = self.links.sql().await?;
        loop {
            if let Some(ended) = self.ended().await {
                match ended {
                    Ok(()) => return Ok(()),
                    // What the server says next decides: the backup may have ended well.
                    Err(e) if e.class() == sqlserver::ErrorClass::Transient => {}
                    Err(e) => {
                        let mut f = sql(&e);
                        f.class = FailureClass::NeedsPerson;
                        return Err(f);
                    }
                }
            }
            let running = backup::running(&mut source, &mark).await.map_err(|e| sql(&e))?;
            match running {
                Some(now) => {
                    let left = now.left_secs.div_ceil(60);
                    ctx.progress(
                        Some(now.percent),
                        format!("{:.0} % · about {left} min left", now.percent),
                    );
                }
                None if self.is_ours() => ctx.progress(None, "SQL Server begins"),
                None => {
                    if backup::taken(&mut source, p.database, &mark)
                        .await
                        .map_err(|e| sql(&e))?
                        .is_some()
                    {
                        return Ok(());
                    }
                    return Err(Failure::of(
                        FailureClass::Conflict,
                        "BackupInterrupted",
                        format!("The {} was interrupted", p.kind.words()),
                        "A backup ends with its connection: the network, SQL Server or Rehost was away meanwhile.",
                        "Rehost takes it again, under another name.",
                    ));
                }
            }
            ctx.sleep(if running.is_some() { AGAIN_SECS } else { 1 }).await?;
        }
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let p = parts(ctx)?;
        let mut source = self.links.sql().await?;
        let taken = backup::taken(&mut source, p.database, &mark(ctx))
            .await
            .map_err(|e| sql(&e))?
            .ok_or_else(|| {
                Failure::of(
                    FailureClass::Conflict,
                    "BackupNotSeen",
                    format!("SQL Server remembers no {} of this run", p.kind.words()),
                    "msdb has no row of it.",
                    "Rehost looks again, and takes it again when it isn't there.",
                )
            })?;
        if taken.damaged || !taken.checksum {
            return Err(needs_person(
                "BackupDamaged",
                format!("The {} of {} is not good", p.kind.words(), p.database),
                "SQL Server found damaged pages, or wrote no checksums.",
                format!(
                    "The database administrator runs DBCC CHECKDB ({}) on the source and repairs what it finds; then choose Retry, and it is taken again.",
                    sqlserver::quote::literal(p.database)
                ),
            ));
        }
        match p.to {
            BackupPlace::Container { .. } => {
                let missing = self.missing(ctx, &p, &mut source, &taken.devices).await?;
                if !missing.is_empty() {
                    return Err(Failure::of(
                        FailureClass::Conflict,
                        "BackupNotThere",
                        format!("{} is not in the container", missing.join(", ")),
                        "SQL Server has written it, and the storage service doesn't list it.",
                        "Rehost looks again, and takes it again when it isn't there.",
                    ));
                }
            }
            BackupPlace::Folder { .. } => {
                ctx.progress(None, "RESTORE VERIFYONLY");
                let header = backup::prove(&mut source, &taken.devices, true, &CancellationToken::new())
                    .await
                    .map_err(|e| sql(&e))?;
                ctx.evidence(format!("RESTORE VERIFYONLY has read it whole: {}.", header.database));
            }
        }
        match p.kind {
            BackupKind::Full => ctx.set_fact(full_set(p.database), taken.id),
            BackupKind::Differential => {}
            BackupKind::Log | BackupKind::Tail => self.whole_chain(ctx, &p, &mut source).await?,
        }
        let names: Vec<&str> = taken.devices.iter().map(|d| file_name(d)).collect();
        if let Some(last) = names.last() {
            ctx.set_fact(p.fact, *last);
        }
        ctx.set_fact(files_fact(p.fact), names.clone());
        ctx.evidence(told(&p, &taken, &names));
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let p = parts(ctx)?;
        if p.kind != BackupKind::Tail {
            ctx.evidence("The backup's files stay; the source is as it was.");
            return Ok(());
        }
        let mut source = self.links.sql().await?;
        let state = backup::state(&mut source, p.database).await.map_err(|e| sql(&e))?;
        if state.is_some_and(|s| s.closed()) {
            let statement = backup::recover(p.database).map_err(|e| sql(&e))?;
            source.query(&statement).await.map_err(|e| sql(&e))?;
        }
        let statement = backup::set_access(p.database, Access::Everybody).map_err(|e| sql(&e))?;
        source.query(&statement).await.map_err(|e| sql(&e))?;
        ctx.evidence(format!("{} on the source can be used again.", p.database));
        Ok(())
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }

    fn system(&self) -> &'static str {
        "sqlserver"
    }
}

/// Name of the fact that holds the names of all files of a backup.
fn files_fact(fact: &str) -> String {
    format!("{fact}.files")
}

fn told(p: &Parts<'_>, taken: &Taken, names: &[&str]) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    format!(
        "The {} of {} is taken with CHECKSUM: {}, {} MiB ({} MiB before compression), log {} to {}.",
        p.kind.words(),
        p.database,
        names.join(", "),
        mib(taken.compressed),
        mib(taken.bytes),
        taken.first,
        taken.last
    )
}

/// Drops the container's credential.
pub(crate) struct Forget(pub(crate) Arc<Links>);

impl Forget {
    /// The connection, and whether the credential is there.
    async fn look(&self, ctx: &Ctx) -> Result<(Client, String, bool), Failure> {
        let Action::ForgetCredential { account, container } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let name = credential(&self.0, account, container);
        let mut source = self.0.sql().await?;
        let there = backup::has_credential(&mut source, &name).await.map_err(|e| sql(&e))?;
        Ok((source, name, there))
    }
}

#[async_trait::async_trait]
impl TaskKind for Forget {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        if ctx.fact(CREDENTIAL).is_none() {
            return Ok(Observed::NotNeeded(
                "The credential was there before Rehost, and stays.".into(),
            ));
        }
        let (_, name, there) = self.look(ctx).await?;
        Ok(if there {
            Observed::Differs(format!("the credential {name} is there"))
        } else {
            Observed::Matches
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (mut source, name, _) = self.look(ctx).await?;
        backup::forget_credential(&mut source, &name)
            .await
            .map_err(|e| sql(&e))?;
        Ok(None)
    }

    async fn settle(&self, _: &Ctx, _: &Handle) -> Result<(), Failure> {
        Ok(())
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (_, name, there) = self.look(ctx).await?;
        if there {
            return Err(Failure::of(
                FailureClass::Conflict,
                "CredentialStays",
                format!("The credential {name} is still there"),
                "Somebody has made it again.",
                "Rehost drops it again.",
            ));
        }
        ctx.evidence("The credential that Rehost made for the container is dropped.");
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence("A new run makes the credential again.");
        Ok(())
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }

    fn system(&self) -> &'static str {
        "sqlserver"
    }
}

/// Brings the files of a backup into the container.
pub(crate) struct Upload(pub(crate) Arc<Links>);

struct Way<'a> {
    folder: &'a Path,
    account: &'a ResourceId,
    container: &'a str,
    files: Vec<String>,
}

fn way(ctx: &Ctx) -> Result<Way<'_>, Failure> {
    let Action::UploadBackup {
        folder,
        account,
        container,
        fact,
    } = &ctx.task.action
    else {
        return Err(words::misplaced(&ctx.task));
    };
    let files: Vec<String> = ctx
        .fact(&files_fact(fact))
        .and_then(|f| serde_json::from_value(f.clone()).ok())
        .ok_or_else(|| {
            Failure::permanent(
                "FactMissing",
                "The backup's files are not known",
                "The task that takes the backup records their names.",
                "Retry that task.",
            )
        })?;
    Ok(Way {
        folder: Path::new(folder),
        account,
        container,
        files,
    })
}

fn failed(e: UploadError) -> Failure {
    let (hint, detail) = (e.hint(), e.to_string());
    match e {
        UploadError::Azure(e) => words::azure(e),
        UploadError::File { .. } => needs_person("FileUnreadable", "Rehost can't read the backup", detail, hint),
        UploadError::Changed { .. } => needs_person(
            "FileChanged",
            "The backup was changed while it was uploaded",
            detail,
            hint,
        ),
        UploadError::Taken { .. } => needs_person("BlobTaken", "The name is taken in the container", detail, hint),
        UploadError::NotWhole { .. } => needs_person("BlobNotWhole", "The upload is not whole", detail, hint),
    }
}

#[async_trait::async_trait]
impl TaskKind for Upload {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let w = way(ctx)?;
        let sas = storage::own_sas(&self.0, ctx, w.account, w.container, "rl").await?;
        let blobs = Blobs::new(&self.0.arm).traced(ctx.trace());
        let there = blobs
            .list(w.account.name(), w.container, "", &sas)
            .await
            .map_err(words::azure)?;
        let lacks = w.files.iter().filter(|f| !there.iter().any(|b| b.name == **f));
        Ok(match lacks.count() {
            0 => Observed::Matches,
            n => Observed::Differs(format!("{n} of {} files are missing", w.files.len())),
        })
    }

    async fn apply(&self, _: &Ctx) -> Result<Option<Handle>, Failure> {
        Ok(Some(Handle(json!({}))))
    }

    async fn settle(&self, ctx: &Ctx, _: &Handle) -> Result<(), Failure> {
        let w = way(ctx)?;
        let blobs = Blobs::new(&self.0.arm);
        for (n, name) in w.files.iter().enumerate() {
            let sas = storage::own_sas(&self.0, ctx, w.account, w.container, "rcw").await?;
            self.0.arm.protect(&sas);
            let to = Destination {
                account: w.account.name(),
                container: w.container,
                name,
                sas: &sas,
            };
            let path = w.folder.join(name);
            let mut shown = 0;
            let told = |p: azure::upload::Progress| {
                let percent = 100 * p.done / p.total.max(1);
                if percent != shown {
                    shown = percent;
                    let text = format!(
                        "{name} · {} of {} MiB · file {} of {}",
                        p.done >> 20,
                        p.total >> 20,
                        n + 1,
                        w.files.len()
                    );
                    ctx.progress(Some(percent as f64), text);
                }
            };
            tokio::select! {
                biased;
                () = ctx.stopped() => ctx.sleep(0).await?,
                sent = blobs.upload(&to, &path, told) => sent.map_err(failed)?,
            }
        }
        Ok(())
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let w = way(ctx)?;
        match self.observe(ctx).await? {
            Observed::Matches => {
                ctx.evidence(format!(
                    "{} in {}, each block checked by the service.",
                    w.files.join(", "),
                    w.container
                ));
                Ok(())
            }
            _ => Err(Failure::of(
                FailureClass::Conflict,
                "BackupNotThere",
                "The backup is not in the container",
                "It was uploaded, and the storage service doesn't list it.",
                "Rehost uploads it again.",
            )),
        }
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence("The files in the container stay; they go with the account in step 8.");
        Ok(())
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}
