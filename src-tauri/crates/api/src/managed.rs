//! The connection to the managed instance, tested as a run uses it. The run makes the instance: while it isn't there, that is
//! said, and is no error.

use crate::{
    App, Open,
    connections::{SecretName, failed, need},
    sign_in, sql,
    wire::{ConnectionStep, ConnectionTest, UiError},
};
use azure::{Arm, AzureError};
use engine::Failure;
use migration::managed;
use plan::{Connections, Project, ResourceId, design::ManagedSignIn, sql::SqlInstance};
use serde_json::Value;
use sqlserver::{Login, Target, quote};

/// Completes and checks what was typed; an empty address means the one that Azure says.
pub(crate) fn check(mut connections: Connections) -> Result<Connections, UiError> {
    let c = &mut connections.managed;
    c.address = c.address.trim().to_owned();
    if !c.address.is_empty() {
        let target = Target::parse(&c.address).map_err(|e| {
            UiError::invalid(
                "The address can't be used",
                e.to_string(),
                "Enter it like 127.0.0.1,14330, or leave it empty: then Azure is asked for it.",
            )
        })?;
        c.address = target.to_string();
    }
    Ok(connections)
}

/// Tests the connection as saved: is the instance there, where, reach it, trust it, sign in, be allowed to make.
pub(crate) async fn test(app: &App, open: &Open) -> ConnectionTest {
    let mut test = ConnectionTest::default();
    match steps(app, open, &mut test).await {
        Ok(()) => test.ok = test.steps.iter().all(|s| s.ok),
        Err(step) => test.steps.push(step),
    }
    test
}

async fn steps(app: &App, open: &Open, test: &mut ConnectionTest) -> Result<(), ConnectionStep> {
    let project = open.project();
    let connection = &project.connections.managed;
    let admin = project.design.mi.admin_login.as_str();
    let id = plan::graph::managed_instance(&project.design, &project.connections.azure.subscription_id);
    let ask = format!("Ask Azure for {}", id.name());
    let arm = arm(app, open)
        .await
        .map_err(|e| failed(&ask, format!("{}. {}", e.title, e.detail), e.hint))?;
    let now = arm.get_opt(&id).await.map_err(|e| by_azure(&ask, &e))?;
    let state = now
        .as_ref()
        .and_then(|n| n.pointer("/properties/state"))
        .and_then(Value::as_str);
    let now = match (&now, state) {
        (Some(now), None | Some("Ready" | "Updating")) => now,
        (found, _) => {
            let (detail, hint) = match found {
                None => (
                    format!("{} does not exist yet: the run makes it in step 1.", id.name()),
                    "Nothing is to be done. Test again when it is there; the run does so by itself, before the change window.",
                ),
                Some(_) => (
                    format!("{} is not ready: Azure says {}.", id.name(), state.unwrap_or_default()),
                    "Nothing is to be done while it is being made, which takes hours. Test again later.",
                ),
            };
            test.not_yet = true;
            test.steps.push(ConnectionStep {
                hint: hint.into(),
                ..sql::passed(&ask, &detail)
            });
            return Ok(());
        }
    };
    let address = managed::address(connection, &id, now).map_err(|f| by_run(&ask, f))?;
    test.steps
        .push(sql::passed(&ask, &format!("It is there, and is reached at {address}.")));
    let login = match connection.sign_in {
        ManagedSignIn::Entra => Login::Token(arm.sql_token().await.map_err(|e| by_azure("Sign in to Entra", &e))?),
        ManagedSignIn::Administrator => Login::Sql {
            user: admin.to_owned(),
            password: password(app, open, &project, &id, now).await?,
        },
    };
    let options = managed::options(connection, address.clone(), login);
    let options = options.map_err(|e| sql::refused("Read the connection", &e))?;
    let trusted = (connection.thumbprint.as_str(), project.managed_certificate.clone());
    let Some(about) = sql::look(open, test, &address, &options, trusted).await else {
        return Ok(());
    };
    managed::must_be_managed(&about, &id).map_err(|f| by_run("Look who answers", f))?;
    test.steps.extend(seen(&about));
    Ok(())
}

/// The stored password of the administrator, who must be the one of the design.
async fn password(
    app: &App,
    open: &Open,
    project: &Project,
    id: &ResourceId,
    now: &Value,
) -> Result<secrets::Secret<String>, ConnectionStep> {
    let admin = project.design.mi.admin_login.as_str();
    let known = now.pointer("/properties/administratorLogin").and_then(Value::as_str);
    if let Some(other) = known.filter(|k| !k.eq_ignore_ascii_case(admin)) {
        return Err(failed(
            "Read the connection",
            format!(
                "The administrator of {} is {other}; the design says {admin}.",
                id.name()
            ),
            "Name the administrator in the design as Azure does, or sign in as the Entra administrator.",
        ));
    }
    need(
        app.secret(open, SecretName::MiAdmin).await,
        &format!("password of {admin}"),
        "Password of the administrator",
    )
    .map_err(|step| ConnectionStep {
        hint: format!(
            "{} Who has forgotten it sets another one: az sql mi update --name {} --resource-group {} --admin-password",
            step.hint,
            id.name(),
            id.part("resourceGroups").unwrap_or_default()
        ),
        ..step
    })
}

async fn arm(app: &App, open: &Open) -> Result<Arm, UiError> {
    let session = sign_in::session(app, open).await?;
    Ok(Arm::through(
        session.network(),
        session.connection(),
        session.credential(),
    )?)
}

fn by_azure(title: &str, e: &AzureError) -> ConnectionStep {
    let advice = e.advice();
    let detail = format!("{}. {}", advice.title.trim_end_matches('.'), advice.detail);
    failed(title, detail, advice.hint)
}

/// The run's own words.
fn by_run(title: &str, f: Failure) -> ConnectionStep {
    failed(
        title,
        format!("{}. {}", f.title, f.detail),
        f.hint.replace("Then choose Retry.", "Then test again."),
    )
}

/// Who the server is, and whether what stands beside the database can be made there.
fn seen(about: &SqlInstance) -> [ConnectionStep; 2] {
    let rights = "Rights of the login";
    [
        sql::passed(
            "Sign in",
            &format!(
                "{} {}, {}. Signed in as {}.",
                about.name, about.version, about.edition, about.login
            ),
        ),
        if about.sysadmin == Some(true) {
            sql::passed(rights, "It is a member of sysadmin.")
        } else {
            failed(
                rights,
                format!(
                    "{} is no member of sysadmin: it can't make logins and jobs.",
                    about.login
                ),
                format!(
                    "An administrator of the managed instance runs: ALTER SERVER ROLE sysadmin ADD MEMBER {}",
                    quote::identifier(&about.login).unwrap_or_default()
                ),
            )
        },
    ]
}
