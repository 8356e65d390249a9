//! SAS, backups in the container, key rotation.
//!
//! A SAS is never stored. What is recorded is how it was made (permissions, start, expiry, a hash of the key), so that
//! the same SAS can be signed again whenever it is needed, in this process or a later one. The hash of a key that has
//! signed a SAS or was handed to a service is kept as well: it must be another one at the end.

use crate::{Links, source, words};
use azure::Blobs;
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use jiff::{SignedDuration, Timestamp};
use plan::{Action, ResourceId};
use secrets::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Start lies in the past, because clocks of two machines differ.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Seconds between looks for a person's backup.
const AGAIN_SECS: u32 = 60;

pub(crate) struct Storage {
    links: Arc<Links>,
    /// A SAS signed with the key before it was rotated, to prove that it is refused.
    old: Mutex<Option<Secret<String>>>,
}

impl Storage {
    pub(crate) fn new(links: Arc<Links>) -> Self {
        Self {
            links,
            old: Mutex::new(None),
        }
    }

    fn take_old(&self) -> Option<Secret<String>> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn issue(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::IssueSas {
            name,
            account,
            container,
            permissions,
            days,
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        let key = key(&self.links, ctx, account, "key1").await?;
        let made = Made::recorded(ctx, name).unwrap_or_else(|| {
            let now = ctx.clock.now();
            Made {
                permissions: permissions.clone(),
                start: second(now - SKEW),
                expiry: second(now + SignedDuration::from_hours(24 * i64::from(*days))),
                key_hash: hash(&key),
            }
        });
        note_key(ctx, account, "key1", &key);
        let sas = made.sign(account, container, &key)?;
        let blobs = Blobs::new(&self.links.arm).traced(ctx.trace());
        let granted = granted(&blobs, account.name(), container, permissions, &sas).await?;
        if granted != *permissions {
            return Err(wrong_sas(name, permissions, &granted));
        }
        ctx.set_fact(format!("sas.{name}"), made.to_value());
        let can = if permissions == "rl" {
            "exactly read and list"
        } else {
            "exactly create and write"
        };
        ctx.evidence(format!("SAS checked: {can}. It expires {}.", made.expiry));
        Ok(Observed::Matches)
    }

    async fn blobs(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::CheckBlobs {
            account,
            container,
            suffix,
            min,
            fact,
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        let key = key(&self.links, ctx, account, "key1").await?;
        let sas = for_an_hour(ctx, account, container, &key)?;
        let blobs = Blobs::new(&self.links.arm).traced(ctx.trace());
        let mut found = blobs
            .list(account.name(), container, "", &sas)
            .await
            .map_err(words::azure)?;
        found.retain(|b| b.name.ends_with(suffix.as_str()));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        match found.first() {
            Some(first) if found.len() >= *min as usize => {
                ctx.set_fact(fact.clone(), first.name.clone());
                ctx.evidence(format!("{} has arrived, {} bytes.", first.name, first.size));
                Ok(Observed::Matches)
            }
            _ => Ok(Observed::NotYet {
                text: format!("waits for a file *{suffix} in {container}"),
                again_secs: AGAIN_SECS,
            }),
        }
    }

    async fn rotated(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::RotateKey {
            account,
            key: name,
            container,
        } = &ctx.task.action
        else {
            return Err(words::misplaced(&ctx.task));
        };
        let key = key(&self.links, ctx, account, name).await?;
        let Some(used) = ctx.fact(&key_fact(account, name)) else {
            return Ok(Observed::NotNeeded(
                "Nothing was signed with this key, and nobody was given it.".into(),
            ));
        };
        if used != &hash(&key) {
            return Ok(Observed::Matches);
        }
        *self.old.lock().unwrap_or_else(PoisonError::into_inner) = Some(for_an_hour(ctx, account, container, &key)?);
        Ok(Observed::Differs("the key that was used is still valid".into()))
    }
}

#[async_trait::async_trait]
impl TaskKind for Storage {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        match &ctx.task.action {
            Action::IssueSas { .. } => self.issue(ctx).await,
            Action::CheckBlobs { .. } => self.blobs(ctx).await,
            _ => self.rotated(ctx).await,
        }
    }
    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let Action::RotateKey { account, key, .. } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let body = json!({ "keyName": key });
        self.links
            .arm(ctx)
            .post(account, "regenerateKey", Some(&body))
            .await
            .map_err(words::azure)?;
        Ok(None)
    }
    async fn settle(&self, _: &Ctx, _: &Handle) -> Result<(), Failure> {
        Ok(())
    }
    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let Action::RotateKey {
            account,
            key: name,
            container,
        } = &ctx.task.action
        else {
            return Ok(());
        };
        let now = key(&self.links, ctx, account, name).await?;
        if ctx
            .fact(&key_fact(account, name))
            .is_some_and(|used| used == &hash(&now))
        {
            return Err(Failure::of(
                FailureClass::Conflict,
                "KeyNotRotated",
                "The key is still the old one",
                "Azure accepted the rotation, but returns the same key.",
                "Rehost tries again.",
            ));
        }
        if let Some(old) = self.take_old() {
            let blobs = Blobs::new(&self.links.arm).traced(ctx.trace());
            if !refused(blobs.list(account.name(), container, "", &old).await)? {
                return Err(Failure::of(
                    FailureClass::Conflict,
                    "KeyStillValid",
                    "The old key is still accepted",
                    "A rotated key can take a moment until all front ends know it.",
                    "Rehost tries again.",
                ));
            }
            ctx.evidence("A SAS that is signed with the old key is refused.");
        }
        ctx.evidence(format!("{name} of {} was rotated.", account.name()));
        Ok(())
    }
    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        ctx.evidence("A SAS ends when its key is rotated or it expires; nothing else is there to take back.");
        Ok(())
    }
    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// How a SAS was made.
struct Made {
    permissions: String,
    start: Timestamp,
    expiry: Timestamp,
    key_hash: String,
}

impl Made {
    fn recorded(ctx: &Ctx, name: &str) -> Option<Self> {
        let v = ctx.fact(&format!("sas.{name}"))?;
        let text = |k: &str| v.get(k).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            permissions: text("permissions")?,
            start: text("start")?.parse().ok()?,
            expiry: text("expiry")?.parse().ok()?,
            key_hash: text("keyHash")?,
        })
    }

    fn to_value(&self) -> Value {
        json!({ "permissions": self.permissions, "start": self.start, "expiry": self.expiry, "keyHash": self.key_hash })
    }

    fn sign(&self, account: &ResourceId, container: &str, key: &Secret<String>) -> Result<Secret<String>, Failure> {
        azure::sas::service_sas(
            account.name(),
            container,
            key,
            &self.permissions,
            self.start,
            self.expiry,
        )
        .map_err(words::azure)
    }
}

/// Signs the SAS `name` again as it was recorded; none before it was issued.
pub(crate) async fn recorded_sas(
    links: &Links,
    ctx: &Ctx,
    name: &str,
    account: &ResourceId,
    container: &str,
) -> Result<Secret<String>, Failure> {
    let key = key(links, ctx, account, "key1").await?;
    let made = Made::recorded(ctx, name).ok_or_else(|| {
        Failure::permanent(
            "SasMissing",
            "The SAS was not issued yet",
            "Step 2 issues it.",
            "Retry the task in step 2.",
        )
    })?;
    made.sign(account, container, &key)
}

/// Name of the fact that holds the hash of the key when it was first used.
fn key_fact(account: &ResourceId, key: &str) -> String {
    format!("key.{}.{key}", account.name())
}

/// Keeps in mind which key was used, so that its rotation can be proved.
pub(crate) fn note_key(ctx: &Ctx, account: &ResourceId, name: &str, key: &Secret<String>) {
    let fact = key_fact(account, name);
    if ctx.fact(&fact).is_none() {
        ctx.set_fact(fact, hash(key));
    }
}

/// A SAS for Rehost's own use. One that uploads lasts as long as a large file on a slow line may.
pub(crate) async fn own_sas(
    links: &Links,
    ctx: &Ctx,
    account: &ResourceId,
    container: &str,
    permissions: &str,
) -> Result<Secret<String>, Failure> {
    let key = key(links, ctx, account, "key1").await?;
    note_key(ctx, account, "key1", &key);
    let hours = if permissions.contains('w') { 24 * 7 } else { 1 };
    signed(ctx, account, container, &key, permissions, hours)
}

/// A SAS to read and list, for Rehost's own looks.
pub(crate) fn for_an_hour(
    ctx: &Ctx,
    account: &ResourceId,
    container: &str,
    key: &Secret<String>,
) -> Result<Secret<String>, Failure> {
    signed(ctx, account, container, key, "rl", 1)
}

fn signed(
    ctx: &Ctx,
    account: &ResourceId,
    container: &str,
    key: &Secret<String>,
    permissions: &str,
    hours: i64,
) -> Result<Secret<String>, Failure> {
    let now = ctx.clock.now();
    let (start, end) = (second(now - SKEW), second(now + SignedDuration::from_hours(hours)));
    azure::sas::service_sas(account.name(), container, key, permissions, start, end).map_err(words::azure)
}

pub(crate) async fn key(links: &Links, ctx: &Ctx, account: &ResourceId, name: &str) -> Result<Secret<String>, Failure> {
    let answer = links
        .arm(ctx)
        .post(account, "listKeys", None)
        .await
        .map_err(words::azure)?;
    let body = answer.body.unwrap_or_default();
    let keys = body.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.iter()
        .find(|k| {
            k.get("keyName")
                .and_then(Value::as_str)
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
        })
        .and_then(|k| k.get("value").and_then(Value::as_str))
        .map(|v| Secret::new(v.to_owned()))
        .ok_or_else(|| {
            Failure::of(
                FailureClass::NeedsPerson,
                "NoKey",
                format!("{} gives no key {name}", account.name()),
                "Shared key access may be disabled by policy.",
                "Portal, storage account, Configuration: allow storage account key access; then choose Retry.",
            )
        })
}

fn hash(key: &Secret<String>) -> String {
    Sha256::digest(key.expose().as_bytes())
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// SAS times have whole seconds.
fn second(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t)
}

/// What a SAS that was signed with these permissions grants in truth: to list and to write are tried.
async fn granted(
    blobs: &Blobs,
    account: &str,
    container: &str,
    permissions: &str,
    sas: &Secret<String>,
) -> Result<String, Failure> {
    let mut granted = permissions.replace('l', "");
    if !lacks(blobs.list(account, container, "", sas).await)? {
        granted.push('l');
    }
    if !permissions.contains(['w', 'c']) {
        let wrote = blobs
            .try_put(account, container, "rehost-must-not-be-written", vec![], sas)
            .await;
        if !lacks(wrote)? {
            granted.push('w');
        }
    }
    Ok(granted)
}

/// The same of the SAS `name` as it was recorded; none before it was issued.
pub(crate) async fn recorded_rights(
    links: &Links,
    ctx: &Ctx,
    name: &str,
    account: &ResourceId,
    container: &str,
) -> Result<Option<String>, Failure> {
    let Some(made) = Made::recorded(ctx, name) else {
        return Ok(None);
    };
    let sas = made.sign(account, container, &key(links, ctx, account, "key1").await?)?;
    let blobs = Blobs::new(&links.arm).traced(ctx.trace());
    granted(&blobs, account.name(), container, &made.permissions, &sas)
        .await
        .map(Some)
}

/// True when the storage service took the SAS, and refused what it does not permit. A signature that it does not take
/// at all (a clock that is ahead, a firewall) proves nothing, and stays a failure.
fn lacks<T>(r: Result<T, azure::AzureError>) -> Result<bool, Failure> {
    match r {
        Ok(_) => Ok(false),
        Err(e) if e.code() == "AuthorizationPermissionMismatch" => Ok(true),
        Err(e) => Err(words::azure(e)),
    }
}

/// True when the storage service refused the SAS; another failure stays one.
fn refused<T>(r: Result<T, azure::AzureError>) -> Result<bool, Failure> {
    match r {
        Ok(_) => Ok(false),
        Err(e) if e.status() == Some(403) => Ok(true),
        Err(e) => Err(words::azure(e)),
    }
}

fn wrong_sas(name: &str, wanted: &str, granted: &str) -> Failure {
    if wanted == "rl"
        && let Some(finding) = source::of_sas(granted)
    {
        return source::blocked(&[finding]);
    }
    Failure::of(
        FailureClass::NeedsPerson,
        "SasWrong",
        format!("The SAS `{name}` does not do what it must"),
        format!(
            "It was signed with {wanted} and grants {granted}; the storage account may have a firewall or a policy."
        ),
        "Portal, storage account, Networking: allow this computer and the managed instance; then choose Retry.",
    )
}
