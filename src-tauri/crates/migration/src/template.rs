//! Fills `${…}` placeholders: facts of the run, secrets, the application's connection string, blob addresses.
//!
//! A filled text that holds a secret exists only between here and the request; it is never reported.

use crate::Links;
use engine::{Ctx, Failure, FailureClass};
use plan::{Action, Plan, ResourceId};
use secrets::Secret;
use serde_json::Value;
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

fn lookup(links: &Links, ctx: &Ctx, name: &str) -> Result<String, Failure> {
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
    if let Some(database) = name.strip_prefix("connection:") {
        let host = fact(ctx, "mi.fqdn")?;
        let user = fact(ctx, "mi.admin")?;
        let password = Secret::new(lookup(links, ctx, "secret:mi-admin")?);
        return Ok(
            sqlserver::connection::managed_instance(&host, database, &user, &password)
                .expose()
                .clone(),
        );
    }
    if let Some(account) = name.strip_prefix("blob:") {
        return Ok(links.arm.connection().blob_url.replace("{account}", account));
    }
    fact(ctx, name)
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

fn fill(template: &str, mut of: impl FnMut(&str) -> Result<String, Failure>) -> Result<String, Failure> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}') else { break };
        out.push_str(&rest[..at]);
        out.push_str(&of(&rest[at + 2..at + end])?);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
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
            _ => continue,
        };
        for name in text.split("${").skip(1).filter_map(|r| r.split('}').next()) {
            // The account's key is asked for when it is needed.
            if let Some(secret) = name.strip_prefix("secret:").filter(|s| *s != "account-key") {
                names.insert(secret.to_owned());
            } else if name.starts_with("connection:") {
                names.insert("mi-admin".to_owned());
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
