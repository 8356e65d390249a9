//! The source SQL Server: its connection, tested step by step; its instance and databases, read and kept in the project, and
//! judged by the rule pack.
//!
//! Each database is judged by itself, as if the plan moved it alone, so that a list of them says of each what it would need.
//! Only what is found about the design's own database goes into the plan. What was read stays until it is read again: a
//! plan must not change by itself.

use crate::{
    App, Open, Sink,
    app::lock,
    connections::{self, SecretName, failed, need},
    wire::{ConnectionStep, ConnectionTest, SqlFindings, SqlMessage, SqlView, UiError},
};
use jiff::Timestamp;
use plan::{
    Connections, Finding,
    around::{AroundDesign, AroundObject},
    design::{ManagedSignIn, PinnedCertificate, SqlSignIn},
    rules,
    sql::{SqlInstance, SqlRead},
};
use sqlserver::{
    Client, Options, SqlError, Target,
    around::{self, Around},
    facts::{self, Found},
    quote,
};
use std::{sync::Arc, time::Instant};
use tokio::sync::Notify;

/// Returns what was read last, judged by the design as it is; none when nothing was.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read.
pub async fn sql_get(app: &Arc<App>, project: String) -> Result<Option<SqlView>, UiError> {
    let open = app.opened(&project)?;
    Ok(open.file.sql()?.map(|read| judged(&open, read)))
}

/// Reads instance and databases, and keeps them in the project. Failures are messages, so that the page shows them where the
/// rows would be. Ends early, and keeps nothing, when nobody listens any more.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn sql_read(app: &Arc<App>, project: String, sink: Sink<SqlMessage>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let begun = Instant::now();
    let gone = Arc::new(Notify::new());
    let (left, listener, mut databases) = (gone.clone(), sink.clone(), 0);
    let tell = move |found| {
        let message = match found {
            Found::Instance(instance) => SqlMessage::Instance { instance },
            Found::Database(..) => {
                databases += 1;
                SqlMessage::Looked { databases }
            }
        };
        if !listener(message) {
            left.notify_one();
        }
    };
    let all = async {
        let options = options(app, &open).await?;
        let instance = facts::read(&options, tell).await?;
        let read = SqlRead {
            at: Timestamp::now(),
            instance,
        };
        open.file.save_sql(&read)?;
        Ok::<_, UiError>(judged(&open, read))
    };
    let message = tokio::select! {
        ended = all => match ended {
            Ok(view) => SqlMessage::Done {
                view: Box::new(view),
                millis: u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX),
            },
            Err(error) => SqlMessage::Failed { error },
        },
        () = gone.notified() => return Ok(()),
    };
    sink(message);
    Ok(())
}

/// Reads what stands beside the design's database on the source, and says of each object what this choice makes of it on an
/// empty managed instance. Changes nothing, and shows no hash.
///
/// # Errors
/// Fails when the project isn't open, and when the source can't be read.
pub async fn around_look(app: &Arc<App>, project: String, around: AroundDesign) -> Result<Vec<AroundObject>, UiError> {
    let open = app.opened(&project)?;
    let project = open.project();
    let database = project.design.database;
    let by_entra = project.connections.managed.sign_in == ManagedSignIn::Entra;
    let mut source = Client::connect(&options(app, &open).await?).await?;
    let here = around::read(&mut source, &database).await?;
    // The database arrives with its users.
    let arrived = Around {
        users: here.users.clone(),
        ..Around::default()
    };
    let all = around::compare(&here, &arrived.with_database(&database), &database, &around, by_entra);
    Ok(all.iter().map(|o| o.view(&around)).collect())
}

/// What the plan must tell about the source: nothing while it was not read.
pub(crate) fn findings(open: &Open) -> Result<Vec<Finding>, UiError> {
    let design = open.project().planned();
    let pack = rules::pack(&design.rule_pack).unwrap_or(&rules::CURRENT);
    let read = open.file.sql()?;
    Ok(read.map_or_else(Vec::new, |r| pack.judge_source(&design, &r.instance)))
}

fn judged(open: &Open, read: SqlRead) -> SqlView {
    let design = open.project().planned();
    let pack = rules::pack(&design.rule_pack).unwrap_or(&rules::CURRENT);
    let own = read.instance.databases.iter().filter(|d| !d.is_system());
    let databases = own.map(|database| SqlFindings {
        database: database.name.clone(),
        findings: pack.judge_database(&design, &read.instance, database),
    });
    SqlView {
        read_at: read.at.to_string(),
        databases: databases.collect(),
        instance: read.instance,
    }
}

/// How to connect, with the stored password.
async fn options(app: &App, open: &Open) -> Result<Options, UiError> {
    let connection = open.project().connections.sql;
    if connection.server.is_empty() {
        return Err(UiError::state(
            "There is no connection to SQL Server",
            "Its databases can't be looked into without one.",
            "Enter the server in Connections, and test it.",
        ));
    }
    let password = app.secret(open, SecretName::Sql).await?;
    Ok(Options::of(&connection, password)?)
}

/// Completes and checks what was typed; an empty server means no connection.
pub(crate) fn check(mut connections: Connections) -> Result<Connections, UiError> {
    let c = &mut connections.sql;
    c.user = c.user.trim().to_owned();
    c.server = c.server.trim().to_owned();
    if !c.server.is_empty() {
        let target = Target::parse(&c.server).map_err(|e| {
            UiError::invalid(
                "The server can't be used",
                e.to_string(),
                r"Enter it like SQLVM, SQLVM\INSTANCE or SQLVM,1433.",
            )
        })?;
        c.server = target.to_string();
    }
    Ok(connections)
}

/// Tests the connection as saved: reach it, trust it, sign in, be allowed to see.
pub(crate) async fn test(app: &App, open: &Open) -> ConnectionTest {
    let mut test = ConnectionTest::default();
    let project = open.project();
    let connection = &project.connections.sql;
    if connection.server.is_empty() {
        test.steps.push(failed(
            "Read the connection",
            "The server is empty.",
            "Enter it as SQLVM, SQLVM\\INSTANCE or SQLVM,1433; choose Save, and test again.",
        ));
        return test;
    }
    let password = match connection.sign_in {
        SqlSignIn::Integrated => None,
        _ => match need(
            app.secret(open, SecretName::Sql).await,
            "SQL Server password",
            "Password",
        ) {
            Ok(password) => Some(password),
            Err(step) => {
                test.steps.push(step);
                return test;
            }
        },
    };
    let options = match Options::of(connection, password) {
        Ok(options) => options,
        Err(e) => {
            test.steps.push(refused("Read the connection", &e));
            return test;
        }
    };
    let trusted = (connection.thumbprint.as_str(), project.sql_certificate.clone());
    if let Some(about) = look(open, &mut test, &connection.server, &options, trusted).await {
        test.steps.extend(seen(&about));
    }
    test.ok = test.steps.iter().all(|s| s.ok);
    test
}

/// A step that SQL Server, or the way to it, refused.
pub(crate) fn refused(title: &str, e: &SqlError) -> ConnectionStep {
    let advice = e.advice();
    let detail = format!("{}. {}.", advice.title, advice.detail.trim_end_matches('.'));
    failed(title, detail, advice.hint)
}

/// Reaches a server, trusts it and signs in; what became of each goes into the test. Returns who the server is, if it got so
/// far. `trusted` = the pin and the certificate behind it.
pub(crate) async fn look(
    open: &Open,
    test: &mut ConnectionTest,
    server: &str,
    options: &Options,
    trusted: (&str, Option<PinnedCertificate>),
) -> Option<SqlInstance> {
    let reach = format!("Reach {server}");
    let mut client = match Client::connect(options).await {
        Ok(client) => client,
        Err(e) => {
            let title = match &e {
                SqlError::Certificate { presented, .. } => {
                    test.steps.push(passed(&reach, "It answers."));
                    let presented = connections::pinnable(presented);
                    *lock(&open.presented) = Some(presented.clone());
                    test.certificate = Some(connections::question(presented, trusted.0, trusted.1));
                    "Check the certificate"
                }
                SqlError::Login { .. } => {
                    test.steps.push(passed(&reach, "It answers."));
                    "Sign in"
                }
                _ => &reach,
            };
            test.steps.push(refused(title, &e));
            return None;
        }
    };
    test.steps
        .push(passed(&reach, &format!("Connected to {}.", client.server())));
    let about = facts::about(&mut client)
        .await
        .map_err(|e| test.steps.push(refused("Sign in", &e)));
    if let Err(e) = client.close().await {
        tracing::debug!(error = %e, "the connection could not be closed");
    }
    about.ok()
}

pub(crate) fn passed(title: &str, detail: &str) -> ConnectionStep {
    ConnectionStep {
        ok: true,
        ..failed(title, detail, "")
    }
}

/// Who the server is, and whether the login may see all that must be known.
fn seen(about: &SqlInstance) -> [ConnectionStep; 2] {
    let version = format!("{} {}, {}.", about.name, about.version, about.edition);
    let rights = "Rights of the login";
    [
        passed("Sign in", &format!("{version} Signed in as {}.", about.login)),
        if about.sysadmin == Some(true) {
            passed(rights, "It is a member of sysadmin.")
        } else {
            failed(
                rights,
                format!(
                    "{} is no member of sysadmin: logins, jobs and backups stay hidden from it.",
                    about.login
                ),
                format!(
                    "The database administrator runs: ALTER SERVER ROLE sysadmin ADD MEMBER {}; on SQL Server 2008: EXEC sp_addsrvrolemember {}, 'sysadmin'.",
                    quote::identifier(&about.login).unwrap_or_default(),
                    quote::literal(&about.login),
                ),
            )
        },
    ]
}
