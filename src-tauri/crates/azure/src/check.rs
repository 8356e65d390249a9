//! Tests a connection hop by hop, so that a person sees which hop failed.

use crate::{
    Arm, AzureError, TokenCredential, authorization, clouds, rights,
    transport::{self, Call, host_of, http_date},
};
use jiff::Timestamp;
use plan::{ResourceId, Trace, design::AzureConnection};
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;

/// One hop. `hint` is what to do; a hint beside `ok` is a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub title: String,
    pub ok: bool,
    pub detail: String,
    pub hint: String,
}

/// A SAS starts 15 minutes in the past; a clock that is further off makes signatures that are not valid yet.
const CLOCK_TOLERANCE: i64 = 300;

/// Tests a connection: the resource manager answers, Entra gives a token, the subscription is there and usable, the
/// rights can be read. Returns the steps up to and including the first that failed.
pub async fn check_connection(
    c: &AzureConnection,
    credential: Arc<dyn TokenCredential>,
    trace: Arc<dyn Trace>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let arm = match Arm::connect(c, credential) {
        Ok(arm) => arm.traced(trace),
        Err(e) => {
            fail(&mut steps, "Read the connection's settings".into(), &e);
            return steps;
        }
    };
    // Ends at the first hop that failed: the ones after it would only fail for the same reason.
    let _ = hops(&arm, &mut steps).await;
    steps
}

async fn hops(arm: &Arm, steps: &mut Vec<Step>) -> Option<()> {
    let c = arm.connection().clone();

    let base = clouds::address("resource manager address", &c.arm_url).ok()?;
    let title = format!("Reach Azure Resource Manager at {}", host_of(&base));
    let (detail, hint) = kept(steps, &title, reach(arm, &base).await)?;
    steps.push(Step {
        title,
        ok: true,
        detail,
        hint,
    });

    let title = format!(
        "Sign in at {}",
        host_of(&clouds::address("sign-in address", &c.authority_url).ok()?)
    );
    kept(steps, &title, arm.token(None).await)?;
    let detail = format!(
        "Entra gave application {} of tenant {} a token.",
        c.client_id, c.tenant_id
    );
    steps.push(Step {
        title,
        ok: true,
        detail,
        hint: String::new(),
    });

    let title = format!("Find subscription {}", c.subscription_id);
    if c.subscription_id.trim().is_empty() {
        let error = AzureError::Config {
            field: "subscription ID".into(),
            message: "it is empty".into(),
        };
        fail(steps, title, &error);
        return None;
    }
    let id = ResourceId::new(format!("/subscriptions/{}", c.subscription_id));
    let subscription = kept(steps, &title, arm.get(&id).await)?;
    let text = |key: &str| {
        subscription
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned()
    };
    let (name, state) = (text("displayName"), text("state"));
    let usable = ["Enabled", "Warned"].iter().any(|s| state.eq_ignore_ascii_case(s));
    let warned = state.eq_ignore_ascii_case("Warned");
    steps.push(Step {
        title,
        ok: usable,
        detail: format!("{name} is {state}."),
        hint: if usable && !warned {
            String::new()
        } else if warned {
            "Azure will disable this subscription soon. Its owner sees why in the portal: Subscriptions > the subscription > Overview.".into()
        } else {
            "Nothing can be created in it. Its owner reactivates it in the portal: Subscriptions > the subscription > Overview > Reactivate. Or choose another subscription.".into()
        },
    });
    if !usable {
        return None;
    }

    let title = "Read the rights of the application".to_owned();
    let permissions = kept(steps, &title, authorization::permissions(arm, &id).await)?;
    let can = |action: &str| rights::allows(&permissions, action);
    let (read, write) = (
        can("Microsoft.Resources/subscriptions/resourceGroups/read"),
        can("Microsoft.Resources/subscriptions/resourceGroups/write"),
    );
    let (detail, hint) = match (read, write) {
        (_, true) => (
            "It may read the subscription and create resource groups in it.",
            String::new(),
        ),
        (true, false) => (
            "It may read the subscription, but not create resource groups in it. Rights on single groups are checked before a run.",
            grant(&c),
        ),
        (false, false) => (
            "It has no role in this subscription that lets it read resource groups.",
            grant(&c),
        ),
    };
    steps.push(Step {
        title,
        ok: read || write,
        detail: detail.into(),
        hint,
    });
    Some(())
}

fn grant(c: &AzureConnection) -> String {
    format!(
        "An owner of the subscription gives the application a role: az role assignment create --assignee {} --role Contributor --scope /subscriptions/{}",
        c.client_id, c.subscription_id
    )
}

/// Asks for the one thing that the resource manager tells to anybody. Whatever it answers, it was reached.
async fn reach(arm: &Arm, base: &url::Url) -> Result<(String, String), AzureError> {
    let url = base
        .join("/metadata/endpoints?api-version=2022-09-01")
        .map_err(|e| AzureError::Config {
            field: "resource manager address".into(),
            message: e.to_string(),
        })?;
    let call = Call::new("azure", Method::GET, url).header("accept", "application/json");
    let answer = transport::send(arm.http(), call, arm.known(), arm.trace()).await?;
    let reached = format!("{} answered.", host_of(base));
    let off = answer
        .header("date")
        .and_then(http_date)
        .map(|t| Timestamp::now().as_second() - t.as_second());
    Ok(match off {
        Some(off) if off.abs() > CLOCK_TOLERANCE => (
            format!("{reached} This computer's clock is {} {} of Azure's.", minutes(off), if off > 0 { "ahead" } else { "behind" }),
            "Set this computer's clock: access to the backup container is signed with its time, and Azure refuses signatures of another time.".into(),
        ),
        _ => (reached, String::new()),
    })
}

fn minutes(seconds: i64) -> String {
    match seconds.abs() / 60 {
        m if m < 120 => format!("{m} minutes"),
        m if m < 48 * 60 => format!("{} hours", m / 60),
        m => format!("{} days", m / 60 / 24),
    }
}

/// Returns the value, or records the failed step.
fn kept<T>(steps: &mut Vec<Step>, title: &str, result: Result<T, AzureError>) -> Option<T> {
    result.map_err(|e| fail(steps, title.to_owned(), &e)).ok()
}

fn fail(steps: &mut Vec<Step>, title: String, error: &AzureError) {
    let advice = error.advice();
    steps.push(Step {
        title,
        ok: false,
        detail: format!("{}. {}", advice.title.trim_end_matches('.'), advice.detail),
        hint: advice.hint,
    });
}
