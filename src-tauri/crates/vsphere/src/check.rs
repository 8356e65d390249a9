//! The Test button: is this connection good, and if not, what exactly is missing?

use crate::access::Right;
use crate::error::{Advice, VsphereError};
use crate::network::Credentials;
use crate::session::VCenter;
use plan::design::VCenterConnection;
use plan::{Place, RightNeed, Trace};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One line of a connection test.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    pub title: String,
    pub ok: bool,
    pub detail: String,
    /// What to do when it is not ok; empty otherwise.
    pub hint: String,
}

/// Tests a connection from reaching the server to the rights for `needs`; stops at the first failure. Logs out again.
pub async fn check_connection(
    connection: &VCenterConnection,
    credentials: impl Into<Credentials>,
    needs: &[RightNeed],
    trace: Arc<dyn Trace>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let vcenter = match VCenter::connect(connection, credentials, trace).await {
        Ok(vcenter) => vcenter,
        Err(e) => {
            let reached = |steps: &mut Vec<Step>| steps.push(good("Reach the server", connection.url.clone()));
            match &e {
                VsphereError::Certificate { .. } | VsphereError::WeakCertificate { .. } => {
                    reached(&mut steps);
                    steps.push(bad("Trust its certificate", &e));
                }
                VsphereError::InvalidLogin { .. } | VsphereError::NoPermission { .. } => {
                    reached(&mut steps);
                    steps.push(good("Trust its certificate", trust(connection)));
                    steps.push(bad("Sign in", &e));
                }
                _ => steps.push(bad("Reach the server", &e)),
            }
            return steps;
        }
    };
    let about = vcenter.about();
    steps.push(good(
        "Reach the server",
        format!("{}, API {}", about.full_name, about.api_version),
    ));
    steps.push(good("Trust its certificate", trust(connection)));
    steps.push(good("Sign in", format!("Signed in as {}.", vcenter.user())));
    rest(&vcenter, needs, &mut steps).await;
    vcenter.logout().await;
    steps
}

async fn rest(vcenter: &VCenter, needs: &[RightNeed], steps: &mut Vec<Step>) {
    match vcenter.list(&[("Datacenter", &["name"])]).await {
        Ok(found) if found.is_empty() => steps.push(Step {
            title: "Read the inventory".into(),
            ok: false,
            detail: "No datacenter is visible for this account.".into(),
            hint: "A vCenter administrator gives the account at least the role Read-only on the datacenter, propagated to children.".into(),
        }),
        Ok(found) => {
            let names: Vec<&str> = found.iter().filter_map(|o| o.text("name")).collect();
            steps.push(good("Read the inventory", format!("Datacenters: {}.", names.join(", "))));
        }
        Err(e) => return steps.push(bad("Read the inventory", &e)),
    }
    if needs.is_empty() {
        return;
    }
    match vcenter.rights(needs).await {
        Ok(rights) => steps.push(match lacking(&rights) {
            None => good(
                "Rights",
                format!(
                    "The account has all rights for the {} things that the plan does in vCenter.",
                    rights.len()
                ),
            ),
            Some(advice) => Step {
                title: "Rights".into(),
                ok: false,
                detail: format!("{}\n{}", advice.title, advice.detail),
                hint: format!("{} Discovery works without them.", advice.hint),
            },
        }),
        Err(e) => steps.push(bad("Rights", &e)),
    }
}

/// Says which rights lack, one line per object with the tasks that need them, and what a vCenter administrator does; none
/// when nothing lacks.
pub fn lacking(rights: &[Right]) -> Option<Advice> {
    let mut objects: Vec<(&Place, Vec<&Right>)> = Vec::new();
    for right in rights.iter().filter(|r| !r.missing.is_empty()) {
        match objects.iter_mut().find(|(on, _)| *on == &right.need.on) {
            Some((_, all)) => all.push(right),
            None => objects.push((&right.need.on, vec![right])),
        }
    }
    let line = |(on, all): &(&Place, Vec<&Right>)| {
        let ids: BTreeSet<&str> = all.iter().flat_map(|r| &r.missing).map(String::as_str).collect();
        let mut tasks: Vec<String> = all
            .iter()
            .map(|r| format!("step {}, {}", r.need.task.step(), r.need.title))
            .collect();
        tasks.dedup();
        let unseen = match all.iter().all(|r| r.seen) {
            true => "",
            false => ", which the account does not see",
        };
        let ids: Vec<&str> = ids.into_iter().collect();
        format!("On {on}{unseen}: {}. Needed for {}.", ids.join(", "), tasks.join("; "))
    };
    (!objects.is_empty()).then(|| Advice {
        title: "The account lacks rights in vCenter".into(),
        detail: objects.iter().map(line).collect::<Vec<_>>().join("\n"),
        hint: "A vCenter administrator adds them to the role that the account has there (vSphere Client: Administration > Access Control > Roles).".into(),
    })
}

fn trust(connection: &VCenterConnection) -> String {
    match connection.thumbprint.trim() {
        "" => "This computer trusts its authority.".into(),
        pin => format!("SHA-256 {pin}, as trusted."),
    }
}

fn good(title: &str, detail: String) -> Step {
    Step {
        title: title.into(),
        ok: true,
        detail,
        hint: String::new(),
    }
}

fn bad(title: &str, error: &VsphereError) -> Step {
    let advice = error.advice();
    Step {
        title: title.into(),
        ok: false,
        detail: format!("{}. {}", advice.title, advice.detail),
        hint: advice.hint,
    }
}
