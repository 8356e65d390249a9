//! The Test button: is this connection good, and if not, what exactly is missing?

use crate::error::VsphereError;
use crate::network::Credentials;
use crate::session::VCenter;
use plan::Trace;
use plan::design::VCenterConnection;
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

/// Without these on the root folder a migration's preparation can't be carried out (vSphere API reference, required
/// privileges of the methods used).
const NEEDED: &[&str] = &[
    "System.View",
    "Authorization.ModifyRoles",
    "Authorization.ModifyPermissions",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Config.Rename",
];

/// Tests a connection from reaching the server to rights; stops at the first failure. Logs out again.
pub async fn check_connection(
    connection: &VCenterConnection,
    credentials: impl Into<Credentials>,
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
    rest(&vcenter, &mut steps).await;
    vcenter.logout().await;
    steps
}

async fn rest(vcenter: &VCenter, steps: &mut Vec<Step>) {
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
    let needed: Vec<String> = NEEDED.iter().map(|p| (*p).to_owned()).collect();
    match vcenter.missing_privileges("Folder", &vcenter.content().root_folder, &needed).await {
        Ok(missing) if missing.is_empty() => {
            steps.push(good("Rights", "The account may manage roles and permissions, power and names.".into()));
        }
        Ok(missing) => steps.push(Step {
            title: "Rights".into(),
            ok: false,
            detail: format!("The account lacks {} on the vCenter.", missing.join(", ")),
            hint: "A vCenter administrator adds them to the account's role: vSphere Client > Administration > Access Control > Roles. Discovery works without them.".into(),
        }),
        Err(e) => steps.push(bad("Rights", &e)),
    }
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
