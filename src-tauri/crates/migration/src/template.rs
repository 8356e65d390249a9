//! Fills `${…}` placeholders: facts of the run, secrets, the application's connection string, blob addresses, and names
//! computed from them.
//!
//! A filled text that holds a secret exists only between here and the request; it is never reported.

use crate::Links;
use engine::{Ctx, Failure, FailureClass};
use plan::{Action, Condition, Expect, Plan, ResourceId, task::Is};
use secrets::Secret;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Fills a text.
pub(crate) fn text(links: &Links, ctx: &Ctx, template: &str) -> Result<String, Failure> {
    fill(template, |name| lookup(links, ctx, name))
}

/// Fills an id.
pub(crate) fn id(links: &Links, ctx: &Ctx, template: &ResourceId) -> Result<ResourceId, Failure> {
    text(links, ctx, template.as_str()).map(ResourceId::new)
}

/// Fills every text in a JSON value.
pub(crate) fn json(links: &Links, ctx: &Ctx, value: &Value) -> Result<Value, Failure> {
    Ok(match value {
        Value::String(s) => Value::String(text(links, ctx, s)?),
        Value::Array(a) => Value::Array(a.iter().map(|v| json(links, ctx, v)).collect::<Result<_, _>>()?),
        Value::Object(o) => Value::Object(
            o.iter()
                .map(|(k, v)| Ok((k.clone(), json(links, ctx, v)?)))
                .collect::<Result<_, Failure>>()?,
        ),
        other => other.clone(),
    })
}

/// Fills what a condition compares with.
pub(crate) fn condition(links: &Links, ctx: &Ctx, template: &Condition) -> Result<Condition, Failure> {
    template
        .iter()
        .map(|e| {
            let is = match &e.is {
                Is::Equal(v) => Is::Equal(json(links, ctx, v)?),
                Is::OneOf(all) => Is::OneOf(all.iter().map(|v| json(links, ctx, v)).collect::<Result<_, _>>()?),
                Is::StartsWith(s) => Is::StartsWith(text(links, ctx, s)?),
                Is::EndsWith(s) => Is::EndsWith(text(links, ctx, s)?),
                Is::AtLeast(_) | Is::Present | Is::Absent => e.is.clone(),
            };
            Ok(Expect { at: e.at.clone(), is })
        })
        .collect()
}

/// Names that are computed; none when `name` is no function.
fn computed(name: &str) -> Option<String> {
    let (function, of) = name.split_once(':')?;
    Some(match function {
        "last" => of.rsplit('/').next().unwrap_or_default().to_owned(),
        "hash" => java_hash(of).to_string(),
        "guid" => stable_guid(of),
        _ => return None,
    })
}

/// Java's hash of a string without its sign: what Azure Migrate's scripts put into the cache account's name.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16()
        .fold(0_i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)))
        .unsigned_abs()
}

/// A UUID (version 8) that is always the same for the same text.
fn stable_guid(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut b = [0_u8; 16];
    b.copy_from_slice(&digest[..16]);
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn lookup(links: &Links, ctx: &Ctx, name: &str) -> Result<String, Failure> {
    if let Some(value) = computed(name) {
        return Ok(value);
    }
    if let Some(secret) = name.strip_prefix("secret:") {
        let found = (links.secrets)(secret).inspect(|s| links.arm.protect(s));
        return found.map(|s| s.expose().clone()).ok_or_else(|| {
            Failure::of(
                FailureClass::NeedsPerson,
                "SecretMissing",
                format!("The secret `{secret}` is not stored on this computer"),
                "Secrets stay in the keyring of the computer and user that entered them.",
                "Enter it again in Connections, then choose Retry.",
            )
        });
    }
    if let Some(account) = name.strip_prefix("blob:") {
        return Ok(links.arm.connection().blob_url.replace("{account}", account));
    }
    fact(ctx, name)
}

/// The application's new connection string to a database on the managed instance.
pub(crate) fn connection(links: &Links, ctx: &Ctx, database: &str) -> Result<Secret<String>, Failure> {
    let (host, user) = (fact(ctx, "mi.fqdn")?, fact(ctx, "mi.admin")?);
    let password = Secret::new(lookup(links, ctx, "secret:mi-admin")?);
    Ok(sqlserver::connection::managed_instance(
        &host, database, &user, &password,
    ))
}

fn fact(ctx: &Ctx, name: &str) -> Result<String, Failure> {
    match ctx.fact(name) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(Value::Null) | None => Err(Failure::permanent(
            "FactMissing",
            format!("`{name}` is not known"),
            "An earlier task should have recorded it, and the service did not return it.",
            "Look at the earlier tasks' evidence. When the cause is cured, choose Retry on them.",
        )),
        Some(other) => Ok(other.to_string()),
    }
}

/// Replaces each placeholder by what `of` says; one in another is filled first.
fn fill(template: &str, mut of: impl FnMut(&str) -> Result<String, Failure>) -> Result<String, Failure> {
    fill_in(template, &mut of)
}

fn fill_in(template: &str, of: &mut dyn FnMut(&str) -> Result<String, Failure>) -> Result<String, Failure> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let Some(end) = closing(&rest[at + 2..]) else { break };
        let name = &rest[at + 2..at + 2 + end];
        out.push_str(&rest[..at]);
        let name = if name.contains("${") {
            fill_in(name, of)?
        } else {
            name.to_owned()
        };
        out.push_str(&of(&name)?);
        rest = &rest[at + 3 + end..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the placeholder that has just been opened is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(i);
        }
        before = c;
    }
    None
}

/// Fills the placeholders of a person's script. `of` answers `secret:…` and `blob:…`; unknown ones stay as they are.
pub fn fill_script(template: &str, of: impl Fn(&str) -> Option<String>) -> String {
    fill(template, |name| Ok(of(name).unwrap_or_else(|| format!("${{{name}}}"))))
        .unwrap_or_else(|_| template.to_owned())
}

/// Names of the secrets that a plan's actions use, such as `mi-admin`.
pub fn secret_names(plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for task in plan.tasks() {
        // Scripts for people are filled on request and need nothing stored.
        let text = match &task.action {
            Action::Put { body, .. } | Action::StartDms { body, .. } => body.to_string(),
            Action::RunCommand { parameters, .. } => parameters.iter().map(|p| p.value.as_str()).collect(),
            Action::SwitchConfig { .. } => "${secret:mi-admin}".to_owned(),
            _ => continue,
        };
        for name in text.split("${").skip(1).filter_map(|r| r.split('}').next()) {
            // The account's key is asked for when it is needed.
            if let Some(secret) = name.strip_prefix("secret:").filter(|s| *s != "account-key") {
                names.insert(secret.to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_and_leaves_the_rest() {
        let of = |n: &str| (n == "a.b").then(|| "X".to_owned());
        assert_eq!(fill_script("1 ${a.b} 2 ${c} $3", of), "1 X 2 ${c} $3");
        assert_eq!(fill_script("open ${a", of), "open ${a");
    }

    #[test]
    fn functions_take_what_stands_in_them() {
        let of = |n: &str| {
            Ok(computed(n).unwrap_or_else(|| {
                if n == "site" {
                    "/a/VMwareSites/site1".into()
                } else {
                    n.into()
                }
            }))
        };
        assert_eq!(fill("migrate${last:${site}}policy", of).unwrap(), "migratesite1policy");
        // As Java computes it: "ab" = 31 * 97 + 98, and a negative one without its sign.
        assert_eq!(fill("${hash:ab}", of).unwrap(), "3105");
        assert_eq!(java_hash("polygenelubricants"), 2_147_483_648);
        let guid = fill("${guid:${hash:${site}}|x}", of).unwrap();
        assert_eq!((guid.len(), &guid[14..15]), (36, "8"), "{guid}");
        assert_eq!(guid, stable_guid(&format!("{}|x", java_hash("/a/VMwareSites/site1"))));
        assert_ne!(guid, stable_guid("other"));
    }

    #[test]
    fn sample_needs_only_the_administrator() {
        let plan = plan::graph::plan(&plan::smarthotel::design(), "s", &plan::Inventory::default()).unwrap();
        assert_eq!(secret_names(&plan).into_iter().collect::<Vec<_>>(), vec!["mi-admin"]);
        let mut design = plan::smarthotel::design();
        design.database_method = plan::DatabaseMethod::DmsOnline;
        design.dms.source = plan::BackupSource::Share;
        let plan = plan::graph::plan(&design, "s", &plan::Inventory::default()).unwrap();
        assert_eq!(
            secret_names(&plan).into_iter().collect::<Vec<_>>(),
            vec!["backup-share", "mi-admin", "sql-source"]
        );
    }
}
