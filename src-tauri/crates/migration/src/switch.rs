//! Points the application at the managed instance: reads its configuration in the migrated VM, shows the change, makes it,
//! and takes it back.
//!
//! Decisions:
//! * The configuration holds passwords, and what a command prints stands in Resource Manager, where every reader of the
//!   machine sees it. So the script packs what it reads with a key that is made for that one reading, given as a protected
//!   parameter, and kept nowhere: AES-256-CBC, then HMAC-SHA-256 over part, IV and cipher. An output blob would need another
//!   account, a SAS and its removal, and would lie there in clear. Azure keeps the last 4,096 bytes of an output: it comes in
//!   parts, each by a command with a name of its own, which is deleted when it was read; the next reading deletes what a
//!   killed process has left.
//! * Nothing of a file is kept between tasks or processes: the switch reads again, and goes on only with the bytes whose
//!   change was shown. When they have changed since, the new change is shown and waits for a person's Retry; there is no
//!   gate otherwise, since the application is down already.
//! * What the person sees and what the journal keeps are [`appconfig::Change`]s, with passwords hidden, and SHA-256 of whole
//!   files.
//! * Encrypted sections are decrypted by `aspnet_regiis` in a copy that only administrators of the machine can read; byte
//!   ranges and hashes are about that copy, and it is encrypted again before it takes the file's place.
//! * Done twice it changes nothing the second time: a string that leads to the managed instance already is left alone.

use crate::{
    Links,
    run_command::{follow, part, runs, send, view},
    template, words,
};
use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use appconfig::{Switch, Wanted};
use base64::{Engine, prelude::BASE64_STANDARD};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use hmac::{Hmac, Mac};
use plan::{Action, ResourceId};
use rand::RngCore;
use secrets::Secret;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlserver::{Target, connection::ConnectionString};
use std::{io::Read, sync::Arc};

/// Files of which a change was shown: `path`, `raw` (SHA-256 on the disk), `before` (SHA-256 with sections decrypted).
const SHOWN: &str = "switch.shown";
/// What the script has printed about each file: `PATH BACKUP NOW`, the path in base64, SHA-256 of backup and file.
const SWITCHED: &str = "switch.files";
/// What a script prints when it has written everything.
const DONE: &str = "switched=ok";
const RESTORED: &str = "restored=ok";
/// More than that never is a configuration.
const MAX_PARTS: usize = 256;
const MAX_UNPACKED: u64 = 32 << 20;
/// Characters of the change. Unverified: Azure names no limit; a command line of Windows has 32,767.
const MAX_CHANGE: usize = 24_000;

pub(crate) struct SwitchConfig(pub(crate) Arc<Links>);

/// The action's fields.
struct Job<'a> {
    vm: &'a ResourceId,
    location: &'a str,
    script: &'a str,
    suffix: &'a str,
    path: &'a str,
    connection: &'a str,
    sources: &'a [String],
    databases: &'a [String],
    write: bool,
}

/// A file as the application reads it.
struct File {
    path: String,
    raw: String,
    encrypted: bool,
    bytes: Secret<Vec<u8>>,
}

impl Job<'_> {
    fn command(&self, what: &str) -> ResourceId {
        self.vm.child("runCommands", &format!("rehost-{what}-{}", self.suffix))
    }

    fn writing(&self) -> ResourceId {
        self.command("switch-connection")
    }
}

fn job(ctx: &Ctx) -> Result<Job<'_>, Failure> {
    match &ctx.task.action {
        Action::SwitchConfig {
            vm,
            location,
            script,
            suffix,
            path,
            connection,
            sources,
            databases,
            write,
        } => Ok(Job {
            vm,
            location,
            script,
            suffix,
            path,
            connection,
            sources,
            databases,
            write: *write,
        }),
        _ => Err(words::misplaced(&ctx.task)),
    }
}

fn person(code: &str, title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::of(FailureClass::NeedsPerson, code, title, detail, hint)
}

/// What a script refused, in words; none when it did not.
fn refused(job: &Job, view: &Value) -> Option<Failure> {
    let output = part(view, "output");
    let line = output.lines().rev().find_map(|l| l.trim().strip_prefix("refused="))?;
    let (code, why) = line.split_once(' ').unwrap_or((line, ""));
    let vm = job.vm.name();
    Some(match code {
        "missing" => person(
            "ConfigMissing",
            format!("The configuration is not there on {vm}"),
            why,
            "Correct the path of web.config in Design, or put the file there, then choose Retry.",
        ),
        "changed" => person(
            "ConfigChanged",
            format!("The configuration on {vm} is another one than was read"),
            why,
            "Find out who changes it. Choose Retry: the file is read again, and nothing that was not shown is written.",
        ),
        "encrypted" => person(
            "ConfigEncrypted",
            format!("An encrypted section on {vm} can't be read or written"),
            why,
            format!(
                "On {vm}, see whether aspnet_regiis.exe -pdf connectionStrings decrypts it. When the key container lacks, import it with -pi, then choose Retry."
            ),
        ),
        _ => person(
            "ConfigRefused",
            format!("The configuration on {vm} can't be read or written"),
            why,
            format!(
                "See on {vm} whether SYSTEM may read and write {} and its folder and whether another program holds it open, then choose Retry.",
                job.path
            ),
        ),
    })
}

impl SwitchConfig {
    /// Runs one command to its end and returns what it printed.
    async fn run(
        &self,
        ctx: &Ctx,
        job: &Job<'_>,
        id: &ResourceId,
        plain: Value,
        protected: Value,
    ) -> Result<String, Failure> {
        let handle = send(&self.0, ctx, id, job.location, job.script, &plain, &protected).await?;
        follow(&self.0, ctx, id, &handle).await?;
        let view = view(&self.0, ctx, id).await?.unwrap_or_default();
        match refused(job, &view) {
            Some(failure) => Err(failure),
            None => Ok(part(&view, "output")),
        }
    }

    /// Reads the configuration and the files that hold sections of it.
    async fn read(&self, ctx: &Ctx, job: &Job<'_>) -> Result<Vec<File>, Failure> {
        self.remove_left(ctx, job).await?;
        let mut key = [0_u8; 64];
        rand::rng().fill_bytes(&mut key);
        let text = Secret::new(BASE64_STANDARD.encode(key));
        self.0.arm.protect(&text);
        let mut packed = vec![];
        let mut parts = 1;
        let mut at = 0;
        while at < parts {
            let plain = json!([
                named("Does", "read"),
                named("Path", job.path),
                named("Part", &at.to_string())
            ]);
            let protected = json!([named("Key", text.expose())]);
            let id = job.command("read-config");
            let id = ResourceId::new(format!("{id}-{}", hex::encode(rand::random::<[u8; 4]>())));
            let output = self.run(ctx, job, &id, plain, protected).await?;
            self.remove(ctx, &id).await?;
            let (n, bytes) = open_part(&output, at, &key).ok_or_else(|| unread(job))?;
            if n == 0 || n > MAX_PARTS || (at > 0 && n != parts) {
                return Err(unread(job));
            }
            parts = n;
            at += 1;
            packed.extend(bytes);
            if parts > 1 {
                ctx.progress(None, format!("read part {at} of {parts}"));
            }
        }
        unpack(&packed).ok_or_else(|| unread(job))
    }

    fn wanted(&self, ctx: &Ctx, job: &Job) -> Result<Wanted, Failure> {
        let to = |database: &String| {
            let to = template::connection(&self.0, ctx, database)?;
            let to = ConnectionString::parse(to.expose()).map_err(|e| {
                Failure::permanent(
                    "Internal",
                    "The new connection string is none",
                    e.to_string(),
                    "Report this to the makers of Rehost.",
                )
            })?;
            Ok((database.clone(), to))
        };
        let databases = job.databases.iter().map(to).collect::<Result<_, Failure>>()?;
        let known = std::iter::once(&self.0.sql.server).filter(|s| !s.trim().is_empty());
        let names = job.sources.iter().chain(known);
        Ok(Wanted {
            sources: names.filter_map(|n| Target::parse(n).ok()).collect(),
            databases,
            name: job.connection.to_owned(),
        })
    }

    /// Computes the change, shows it, and stops at what is doubtful.
    fn compute(&self, ctx: &Ctx, job: &Job, files: &[File]) -> Result<Vec<Switch>, Failure> {
        let wanted = self.wanted(ctx, job)?;
        let mut switches = vec![];
        let mut doubts: Vec<(String, &'static str)> = vec![];
        for file in files {
            let bad = |why: appconfig::BadConfig| {
                person(
                    "ConfigUnreadable",
                    format!("{} can't be switched", file.path),
                    why.to_string(),
                    "Correct the file on the machine, then choose Retry.",
                )
            };
            let config = appconfig::read(file.bytes.expose()).map_err(bad)?;
            for other in &config.external {
                let name = other.path.rsplit(['\\', '/']).next().unwrap_or_default().to_lowercase();
                if !files.iter().any(|f| f.path.to_lowercase().ends_with(&name)) {
                    ctx.evidence(format!(
                        "{}: {} names {}, which is not there.",
                        file.path, other.section, other.path
                    ));
                }
            }
            let switch = Switch::compute(&config, &wanted).map_err(bad)?;
            let still = if file.encrypted {
                " (encrypted; it will be again)"
            } else {
                ""
            };
            for change in &switch.changes {
                ctx.evidence(format!("{}{still}, {change}", file.path));
            }
            for name in &switch.already {
                ctx.evidence(format!("{}: {name} leads to the managed instance already.", file.path));
            }
            for finding in &switch.findings {
                match finding.blocks() {
                    true => doubts.push((format!("{}: {finding}", file.path), finding.cure())),
                    false => ctx.evidence(format!("{}: {finding} {}", file.path, finding.cure())),
                }
            }
            switches.push(switch);
        }
        if doubts.is_empty()
            && let Some(finding) = appconfig::lacking(&switches, job.connection)
        {
            doubts.push((format!("{}: {finding}", job.path), finding.cure()));
        }
        if doubts.is_empty() {
            return Ok(switches);
        }
        let (what, cures): (Vec<_>, Vec<_>) = doubts.into_iter().unzip();
        let mut cures = cures;
        cures.dedup();
        Err(person(
            "ConfigDoubtful",
            format!(
                "The configuration on {} needs a look before it is changed",
                job.vm.name()
            ),
            format!("{} Nothing was changed.", what.join(" ")),
            format!("{} Then choose Retry.", cures.join(" ")),
        ))
    }

    async fn remove(&self, ctx: &Ctx, id: &ResourceId) -> Result<(), Failure> {
        let gone = self.0.arm(ctx).delete(id).await.map_err(words::azure)?;
        if let Some(op) = gone.operation {
            follow(&self.0, ctx, id, &Handle(json!({ "op": op }))).await?;
        }
        ctx.removed(id.as_str());
        Ok(())
    }

    /// Deletes readings of a process that was killed.
    async fn remove_left(&self, ctx: &Ctx, job: &Job<'_>) -> Result<(), Failure> {
        let all = self.0.arm(ctx).get_path(&format!("{}/runCommands", job.vm)).await;
        let all = all.map_err(words::azure)?;
        let ours = job.command("read-config").to_string().to_lowercase();
        let ids = all.get("value").and_then(Value::as_array).into_iter().flatten();
        for id in ids.filter_map(|c| c.get("id").and_then(Value::as_str)) {
            if id.to_lowercase().starts_with(&ours) {
                self.remove(ctx, &ResourceId::new(id)).await?;
            }
        }
        Ok(())
    }
}

/// A file by which it is known whether it is still the one of which the change was shown.
fn shown(files: &[File], switches: &[Switch]) -> Value {
    let of = |(f, s): (&File, &Switch)| json!({ "path": f.path, "raw": f.raw, "before": s.before });
    files.iter().zip(switches).map(of).collect()
}

fn named(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn unread(job: &Job) -> Failure {
    person(
        "ConfigUnread",
        format!("What {} sent of its configuration can't be read", job.vm.name()),
        "The output of the run command was cut off or is not by Rehost's script.",
        "Look whether somebody else runs a command of the same name, then choose Retry.",
    )
}

/// One part: how many there are, and what is in it; none when it is not what was sealed with this key.
fn open_part(output: &str, at: usize, key: &[u8; 64]) -> Option<(usize, Vec<u8>)> {
    let line = output.lines().find_map(|l| l.trim().strip_prefix("part="))?;
    let (place, sealed) = line.split_once(' ')?;
    let (now, parts) = place.split_once('/')?;
    if now.parse() != Ok(at) {
        return None;
    }
    let sealed = BASE64_STANDARD.decode(sealed.trim()).ok()?;
    let (body, tag) = sealed.split_at_checked(sealed.len().checked_sub(32)?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.get(32..)?).ok()?;
    mac.update(place.as_bytes());
    mac.update(body);
    mac.verify_slice(tag).ok()?;
    let (iv, cipher) = body.split_at_checked(16)?;
    let open = cbc::Decryptor::<aes::Aes256>::new_from_slices(key.get(..32)?, iv).ok()?;
    let bytes = open.decrypt_padded_vec::<Pkcs7>(cipher).ok()?;
    Some((parts.parse().ok()?, bytes))
}

/// The files in what was sent: a line `PATH RAW LENGTH -SECTIONS` for each, an empty line, and their bytes.
fn unpack(packed: &[u8]) -> Option<Vec<File>> {
    let mut all = vec![];
    let mut inflate = flate2::read::DeflateDecoder::new(packed).take(MAX_UNPACKED);
    inflate.read_to_end(&mut all).ok()?;
    let end = all.windows(2).position(|w| w == b"\n\n")?;
    let head = std::str::from_utf8(all.get(..end)?).ok()?;
    let mut rest = all.get(end + 2..)?;
    let mut files = vec![];
    for line in head.lines() {
        let mut words = line.split(' ');
        let path = String::from_utf8(BASE64_STANDARD.decode(words.next()?).ok()?).ok()?;
        let raw = words.next()?.to_owned();
        let (bytes, more) = rest.split_at_checked(words.next()?.parse().ok()?)?;
        rest = more;
        files.push(File {
            path,
            raw,
            encrypted: words.next()? != "-",
            bytes: Secret::new(bytes.to_vec()),
        });
    }
    (rest.is_empty() && !files.is_empty()).then_some(files)
}

#[async_trait::async_trait]
impl TaskKind for SwitchConfig {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let job = job(ctx)?;
        // Only an announced command of ours may be taken for done: an older one of that name proves nothing about now.
        if !job.write || ctx.intent_at.is_none() {
            return Ok(Observed::Absent);
        }
        let id = job.writing();
        let Some(view) = view(&self.0, ctx, &id).await? else {
            return Ok(Observed::Absent);
        };
        ctx.created(id.as_str());
        Ok(match part(&view, "executionState").as_str() {
            _ if runs(&view) => Observed::InFlight(Handle(json!({ "view": true }))),
            "Succeeded" if part(&view, "output").contains(DONE) => Observed::Matches,
            state => Observed::Differs(format!("its last run ended {state}")),
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let job = job(ctx)?;
        let files = self.read(ctx, &job).await?;
        let switches = self.compute(ctx, &job, &files)?;
        let now = shown(&files, &switches);
        let edits = switches.iter().any(|s| !s.edits.is_empty());
        if !job.write {
            ctx.set_fact(SHOWN, now);
            if !edits {
                ctx.evidence("There is nothing to change.");
            }
            return Ok(None);
        }
        if edits && ctx.fact(SHOWN) != Some(&now) {
            ctx.set_fact(SHOWN, now);
            return Err(person(
                "ConfigChanged",
                format!(
                    "The configuration on {} has changed since its change was shown",
                    job.vm.name()
                ),
                "Nothing was written. The change to what stands there now is among the evidence.",
                "Look at the change that is shown now. When it is right, choose Retry.",
            ));
        }
        let changed = files.iter().zip(&switches).filter(|(_, s)| !s.edits.is_empty());
        let change = appconfig::parameter(changed.map(|(f, s)| (f.path.as_str(), s)));
        if change.expose().len() > MAX_CHANGE {
            return Err(person(
                "ConfigTooLarge",
                "The change is too large for a run command",
                format!(
                    "It has {} characters, {MAX_CHANGE} are sent at most.",
                    change.expose().len()
                ),
                "Change some of the connection strings on the machine by hand, as the evidence shows, then choose Retry.",
            ));
        }
        self.0.arm.protect(&change);
        let plain = json!([named("Does", "switch"), named("Path", job.path)]);
        let protected = json!([named("Change", change.expose())]);
        let id = job.writing();
        send(&self.0, ctx, &id, job.location, job.script, &plain, &protected)
            .await
            .map(Some)
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, &job(ctx)?.writing(), handle).await
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let job = job(ctx)?;
        if !job.write {
            return Ok(());
        }
        let view = view(&self.0, ctx, &job.writing()).await?.unwrap_or_default();
        let output = part(&view, "output");
        if !output.lines().any(|l| l.trim() == DONE) {
            return Err(refused(&job, &view).unwrap_or_else(|| {
                person(
                    "ScriptFailed",
                    format!("{} did not succeed in the VM", ctx.task.title),
                    format!(
                        "It ended {} without saying that it is done. {}",
                        part(&view, "executionState"),
                        part(&view, "executionMessage")
                    ),
                    "Choose Retry: what is written already is left alone.",
                )
            }));
        }
        let lines: Vec<&str> = output.lines().filter_map(|l| l.trim().strip_prefix("file=")).collect();
        for line in &lines {
            let path = line.split(' ').next().and_then(|p| BASE64_STANDARD.decode(p).ok());
            if let Some(path) = path.and_then(|p| String::from_utf8(p).ok()) {
                ctx.evidence(format!(
                    "Written and read again; the file as it was is {path}.rehost-backup."
                ));
            }
        }
        ctx.set_fact(SWITCHED, json!(lines));
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        let job = job(ctx)?;
        if !job.write {
            return Ok(());
        }
        let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let lines: Vec<String> = match (ctx.fact(SWITCHED), ctx.fact(SHOWN)) {
            (Some(Value::Array(lines)), _) => lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            // The answer was lost: what was there is known, what is there now is not.
            (_, Some(Value::Array(files))) => files
                .iter()
                .map(|f| format!("{} {} -", BASE64_STANDARD.encode(text(f, "path")), text(f, "raw")))
                .collect(),
            _ => vec![],
        };
        let id = job.command("restore-connection");
        let change = BASE64_STANDARD.encode(lines.join("\n"));
        let plain = json!([
            named("Does", "restore"),
            named("Path", job.path),
            named("Change", &change)
        ]);
        let output = self.run(ctx, &job, &id, plain, json!([])).await?;
        if !output.lines().any(|l| l.trim() == RESTORED) {
            return Err(person(
                "ByHand",
                format!("{} could not be taken back by Rehost", ctx.task.title),
                format!("The script did not say that it is done: {}", output.trim()),
                "In the VM, copy each .rehost-backup back over its file and run IISRESET /RESTART.",
            ));
        }
        ctx.evidence(format!("{} files are as they were, byte for byte.", lines.len()));
        self.remove(ctx, &id).await?;
        // Left there it would look as if the switch were done.
        self.remove(ctx, &job.writing()).await
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}
