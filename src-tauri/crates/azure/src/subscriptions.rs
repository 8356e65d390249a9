//! What an account sees: its tenants, and the subscriptions of all of them.

use crate::{Arm, AzureError, Session};
use plan::ResourceId;
use serde_json::Value;
use std::{cmp::Reverse, sync::Arc};

/// A tenant (directory) of the account.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    pub id: String,
    pub name: String,
    pub domain: String,
    /// Why its subscriptions can't be listed.
    pub problem: Option<AzureError>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub name: String,
    pub tenant_id: String,
    /// Azure's word.
    pub state: String,
    /// Only then can it be chosen.
    pub usable: bool,
    /// Why not, or a warning; empty = nothing to say.
    pub reason: String,
}

/// Lists the account's tenants and the subscriptions of each, the usable ones first. A tenant that wants a second factor
/// or blocks the account keeps its problem and does not hide the others.
///
/// # Errors
/// Fails when there is no sign-in, or when the tenants can't be listed.
pub async fn account_scope(session: &Arc<Session>) -> Result<(Vec<Tenant>, Vec<Subscription>), AzureError> {
    let connect = |credential| Arm::through(session.network(), session.connection(), credential);
    let listed = connect(session.credential())?
        .list(&ResourceId::new("/tenants"))
        .await?;
    let mut tenants = Vec::new();
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for tenant in &listed {
        let mut tenant = Tenant {
            id: text(tenant, "tenantId"),
            name: text(tenant, "displayName"),
            domain: text(tenant, "defaultDomain"),
            problem: None,
        };
        let arm = connect(session.credential_in(&tenant.id))?;
        match arm.list(&ResourceId::new("/subscriptions")).await {
            Ok(found) => subscriptions.extend(found.iter().map(|s| subscription(s, &tenant.id))),
            Err(e) => tenant.problem = Some(e),
        }
        tenants.push(tenant);
    }
    subscriptions.sort_by_cached_key(|s| (Reverse(s.usable), s.name.to_lowercase(), s.id.clone()));
    subscriptions.dedup_by(|a, b| a.id.eq_ignore_ascii_case(&b.id));
    Ok((tenants, subscriptions))
}

fn text(json: &Value, key: &str) -> String {
    json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn subscription(json: &Value, tenant: &str) -> Subscription {
    let state = text(json, "state");
    let (usable, reason) = judged(&state);
    Subscription {
        id: text(json, "subscriptionId"),
        name: text(json, "displayName"),
        // The tenant that was asked is the one whose token works, also for subscriptions that others manage (Lighthouse).
        tenant_id: tenant.to_owned(),
        state,
        usable,
        reason: reason.into(),
    }
}

/// Whether something can be created in a subscription of this state, and what there is to say about it.
pub(crate) fn judged(state: &str) -> (bool, &'static str) {
    match state.to_ascii_lowercase().as_str() {
        "enabled" => (true, ""),
        "warned" => (
            true,
            "Azure will disable this subscription soon. Its owner sees why in the portal: Subscriptions > the subscription > Overview.",
        ),
        "pastdue" => (
            false,
            "A bill is unpaid, and Azure will disable the subscription. Its owner pays it in the portal: Cost Management + Billing > Invoices.",
        ),
        "disabled" => (
            false,
            "It can be read, but nothing can be created in it. Its owner reactivates it in the portal: Subscriptions > the subscription > Overview > Reactivate. Or choose another subscription.",
        ),
        "deleted" => (false, "It was deleted. Choose another subscription."),
        _ => (
            false,
            "Rehost does not know this state. Its owner looks in the portal: Subscriptions > the subscription > Overview.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enabled_and_warned_can_be_chosen() {
        for (state, usable) in [
            ("Enabled", true),
            ("warned", true),
            ("PastDue", false),
            ("Disabled", false),
            ("Deleted", false),
            ("", false),
        ] {
            let (can, reason) = judged(state);
            assert_eq!(can, usable, "{state}");
            assert_eq!(reason.is_empty(), state == "Enabled", "{state}");
        }
    }
}
