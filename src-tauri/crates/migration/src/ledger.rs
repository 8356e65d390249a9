//! The last tasks: everything that this project created is either gone or meant to stay; what others left is listed.

use crate::{Links, checks::Look, words};
use engine::{Ctx, Failure, FailureClass, Observed};
use plan::{Action, ResourceId};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Ledger(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Ledger {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::CheckLedger { keep } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let mut kept = Vec::new();
        let mut left = Vec::new();
        for entry in ctx.ledger() {
            let id = ResourceId::new(entry.resource.clone());
            // What lies inside something that stays, stays with it; but not what another provider has hung onto it.
            let stays = keep.iter().any(|k| {
                let (k, e) = (k.as_str().to_ascii_lowercase(), id.as_str().to_ascii_lowercase());
                let inside = e.strip_prefix(&format!("{k}/"));
                e == k
                    || (k.contains("/providers/")
                        && inside.is_some_and(|rest| !rest.starts_with("providers/") && !rest.contains("runcommands/")))
            }) || is_provider_link(&id);
            if stays {
                kept.push(id.name().to_owned());
            } else if entry.resource.starts_with('/') {
                match self.0.arm(ctx).get_opt(&id).await.map_err(words::azure)? {
                    None => ctx.removed(entry.resource.clone()),
                    Some(_) => left.push(entry.resource.clone()),
                }
            } else {
                left.push(entry.resource.clone());
            }
        }
        if left.is_empty() {
            ctx.evidence(format!("Kept on purpose: {}.", kept.join(", ")));
            ctx.evidence("Everything else that this project created is gone.");
            return Ok(Observed::Matches);
        }
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "LeftBehind",
            format!("{} things that this project created are still there", left.len()),
            left.join(", "),
            "Delete them in the portal or vCenter when nothing needs them, then choose Retry.",
        ))
    }
}

/// Says what is still in a resource group.
pub(crate) struct Left(pub(crate) Arc<Links>);

#[async_trait::async_trait]
impl Look for Left {
    async fn look(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let Action::ListGroup { group } = &ctx.task.action else {
            return Err(words::misplaced(&ctx.task));
        };
        let list = self
            .0
            .arm(ctx)
            .list(&ResourceId::new(format!("{group}/resources")))
            .await;
        let all = match list {
            Err(e) if e.is_not_found() => vec![],
            other => other.map_err(words::azure)?,
        };
        if all.is_empty() {
            ctx.evidence(format!("Nothing is left in {}.", group.name()));
        }
        for left in all {
            let text = |k: &str| left.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
            ctx.evidence(format!(
                "Still in {}: {} ({}).",
                group.name(),
                text("name"),
                text("type")
            ));
        }
        Ok(Observed::Matches)
    }
}

/// The other side of a peering with a network that stays.
fn is_provider_link(id: &ResourceId) -> bool {
    id.resource_type()
        .is_some_and(|t| t.ends_with("/virtualNetworkPeerings"))
}
