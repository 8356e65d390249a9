use crate::{
    connections::{Bench, last},
    found_below,
};
use api::wire::*;
use serde_json::json;

/// A project that knows the lab's SQL Server, and has not trusted it yet.
async fn bench() -> Bench {
    let mut b = Bench::new().await;
    let a = b.lab.addresses();
    b.connections.sql.server = format!("tcp:{}", a.sql);
    b.connections.sql.user = a.sql_user;
    b
}

#[tokio::test]
async fn a_server_is_reached_trusted_and_signed_in_to() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    let empty = b.test("sql").await;
    assert!(!empty.ok && last(&empty).hint.contains(r"SQLVM\INSTANCE"), "{empty:?}");
    let saved = b.save("sql", json!(a.sql_password)).await.unwrap();
    assert_eq!(saved.connections.sql.server, a.sql, "as it is written everywhere");
    assert!(saved.sql_password_stored && !saved.dms_password_stored);

    let asked = b.test("sql").await;
    let shown = asked.certificate.clone().unwrap();
    assert_eq!(
        (shown.sha256.as_str(), shown.changed_from),
        (a.sql_thumbprint.as_str(), None)
    );
    assert_eq!(asked.steps.iter().map(|s| s.ok).collect::<Vec<_>>(), [true, false]);
    let trust = json!({ "project": b.project, "kind": "sql", "sha256": shown.sha256 });
    let trusted: ConnectionsView = b.desk.call("certificate_trust", trust).await.unwrap();
    b.connections.sql = trusted.connections.sql;
    let test = b.test("sql").await;
    assert!(test.ok, "{:#?}", test.steps);
    assert!(
        test.steps[1].detail.contains("Signed in as svc-dms"),
        "{:?}",
        test.steps
    );

    // A renewed certificate is a question, with the old one beside the new one.
    let other = ["AB"; 32].join(":");
    b.connections.sql.thumbprint = other.clone();
    b.save("sql", json!(null)).await.unwrap();
    let changed = b.test("sql").await.certificate.unwrap();
    assert_eq!(changed.changed_from.unwrap().sha256, other);
    // Another server is not trusted because the first one was.
    b.connections.sql.server = "127.0.0.1,9".into();
    let moved = b.save("sql", json!("wrong-Canary-41")).await.unwrap();
    assert_eq!(moved.connections.sql.thumbprint, "");
    let silent = b.test("sql").await;
    assert!(
        last(&silent).hint.contains("SQL Server Configuration Manager"),
        "{silent:?}"
    );
    assert_eq!(found_below(b.desk.home.path(), "wrong-Canary-41"), None);
}

#[tokio::test]
async fn wrong_passwords_and_small_rights_have_words() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    b.connections.sql.thumbprint = a.sql_thumbprint;
    b.save("sql", json!("Wrong-1")).await.unwrap();
    let refused = b.test("sql").await;
    assert!(!refused.ok && last(&refused).title == "Sign in", "{refused:?}");
    // The application's own login sees only its database.
    let password = b.lab.with_world(|w| {
        let logins = &w.onprem.instances[0].spec.logins;
        logins.iter().find(|l| l.name == "smarthotel").unwrap().password.clone()
    });
    b.connections.sql.user = "smarthotel".into();
    b.save("sql", json!(password)).await.unwrap();
    let small = b.test("sql").await;
    assert!(!small.ok);
    assert!(
        last(&small)
            .hint
            .contains("ALTER SERVER ROLE sysadmin ADD MEMBER [smarthotel]"),
        "{small:?}"
    );
    b.connections.sql.server = "np:SQLVM".into();
    let error = b.save("sql", json!(null)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.detail.contains("named pipes"), "{error:?}");
}

#[tokio::test]
async fn databases_are_read_judged_and_kept() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    let project = json!({ "project": b.project });
    let read: Vec<SqlMessage> = b.desk.stream("sql_read", project.clone()).await;
    assert!(
        matches!(&read[..], [SqlMessage::Failed { error }] if error.code == ErrorCode::State),
        "{read:?}"
    );
    assert_eq!(
        b.desk
            .call::<Option<SqlView>>("sql_get", project.clone())
            .await
            .unwrap(),
        None
    );

    b.connections.sql.thumbprint = a.sql_thumbprint;
    b.save("sql", json!(a.sql_password)).await.unwrap();
    let read: Vec<SqlMessage> = b.desk.stream("sql_read", project.clone()).await;
    assert!(matches!(read[0], SqlMessage::Instance { .. }), "{read:?}");
    assert!(matches!(read[1], SqlMessage::Looked { databases: 1 }), "{read:?}");
    let Some(SqlMessage::Done { view, .. }) = read.last() else {
        panic!("{read:?}")
    };
    assert_eq!(view.databases[0].database, "SmartHotelDB");
    assert!(view.instance.databases.iter().any(|d| d.details.is_some()));
    let kept: Option<SqlView> = b.desk.call("sql_get", project.clone()).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&**view), "what was read is kept in the project");
}

#[tokio::test]
async fn further_databases_are_chosen_before_the_first_run() {
    let b = bench().await;
    let path = b.desk.path("further.rehost");
    let mut sample = plan::smarthotel::project("further", b.connections.clone(), 1, 1);
    sample.rehearsal = false;
    drop(engine::ProjectFile::create(&path, &sample).unwrap());
    let open: ProjectView = b.desk.call("project_open", json!({ "path": path })).await.unwrap();
    let save = async |further: &[&str]| {
        let asked = json!({ "project": open.path, "further": further });
        b.desk.call::<ProjectView>("databases_save", asked).await
    };
    for wrong in [
        &["master"][..],
        &["smarthotelDB"],
        &["A", "a"],
        &[" "],
        &[&"x".repeat(129)],
    ] {
        let refused = save(wrong).await.unwrap_err();
        assert_eq!(refused.title, "The database can't be migrated along", "{wrong:?}");
    }
    let view = save(&["Reports", "Old ]Archive"]).await.unwrap();
    assert_eq!(view.design.further_databases, ["Reports", "Old ]Archive"]);
    let view: PlanView = b.desk.call("plan_get", json!({ "project": open.path })).await.unwrap();
    assert!(view.plan.tasks().any(|t| t.title.contains("Old ]Archive")));
    assert_eq!(save(&[]).await.unwrap().design.further_databases, [""; 0]);
}

#[tokio::test]
async fn the_script_that_switches_by_hand_is_filled_when_the_instance_is_known() {
    let b = bench().await;
    let path = b.desk.path("by-hand.rehost");
    let sample = plan::smarthotel::project("by-hand", b.connections.clone(), 1, 1);
    drop(engine::ProjectFile::create(&path, &sample).unwrap());
    let open: ProjectView = b.desk.call("project_open", json!({ "path": path })).await.unwrap();
    let settings = json!({ "project": open.path, "webConfig": r"C:\web.config", "connectionStringName": "", "siteText": "", "byPerson": true });
    let view: ProjectView = b.desk.call("application_save", settings).await.unwrap();
    assert!(view.design.switched_by_person);
    for address in ["step-7/gate/switch-connection", "step-7/gate/site"] {
        let asked = json!({ "project": open.path, "address": address });
        let early = b
            .desk
            .call::<serde_json::Value>("task_script", asked)
            .await
            .unwrap_err();
        assert_eq!(early.title, "There is no run yet", "{early:?}");
    }
}

#[tokio::test]
async fn the_plan_tells_what_stands_against_its_database() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    b.connections.sql.server = a.sql.clone();
    let path = b.desk.path("sample.rehost");
    let mut sample = plan::smarthotel::project("sample", b.connections.clone(), 1, 1);
    sample.rehearsal = false;
    sample.connections.sql.thumbprint = a.sql_thumbprint;
    drop(engine::ProjectFile::create(&path, &sample).unwrap());
    let open: ProjectView = b.desk.call("project_open", json!({ "path": path })).await.unwrap();
    let b = Bench {
        project: open.path,
        connections: sample.connections,
        ..b
    };
    b.save("sql", json!(a.sql_password)).await.unwrap();
    let project = json!({ "project": b.project });
    let plan = async || {
        let view: PlanView = b.desk.call("plan_get", project.clone()).await.unwrap();
        view.plan.findings
    };
    let before = plan().await;
    let read: Vec<SqlMessage> = b.desk.stream("sql_read", project.clone()).await;
    let Some(SqlMessage::Done { view, .. }) = read.last() else {
        panic!("{read:?}")
    };
    let found = &view.databases[0].findings;
    assert!(found.iter().any(|f| f.rule == "sql-jobs"), "{found:?}");
    assert_eq!(
        &plan().await[before.len()..],
        found,
        "the design's database is the sample's only one"
    );

    let mut other = b.lab.with_world(|w| w.onprem.instances[0].spec.clone());
    other.databases[0].name = "Other".into();
    b.lab.replace_sql(0, other).unwrap();
    b.desk.stream::<SqlMessage>("sql_read", project.clone()).await;
    let missing = plan().await.pop().unwrap();
    assert_eq!(
        (missing.rule.as_str(), missing.severity),
        ("sql-database-missing", plan::Severity::Blocking)
    );
    assert!(missing.title.contains("no database SmartHotelDB"), "{missing:?}");
}

#[tokio::test]
async fn what_is_moved_beside_the_database_is_chosen_and_needs_a_connection() {
    let mut b = bench().await;
    let choice = json!({ "project": b.project, "around": { "kinds": ["logins", "users"], "leaveOut": [], "domains": {} },
        "prove": { "rows": "counted", "checksums": [], "checkdb": false }, "certificate": true });
    let kinds = |plan: &PlanView| -> Vec<String> {
        let tasks = plan
            .plan
            .tasks()
            .filter(|t| matches!(t.address.kind(), "around" | "measure" | "prove" | "certificate"));
        tasks.map(|t| t.address.to_string()).collect()
    };
    let project: ProjectView = b.desk.call("around_save", choice).await.unwrap();
    assert!(project.design.around.is_some() && project.design.prove.is_some());
    b.connections.azure.subscription_id = "00000000-0000-0000-0000-000000000001".into();
    b.save("azure", json!("secret")).await.unwrap();
    let without: PlanView = b.desk.call("plan_get", json!({ "project": b.project })).await.unwrap();
    assert_eq!(kinds(&without), [""; 0]);
    b.save("sql", json!("x")).await.unwrap();
    let with: PlanView = b.desk.call("plan_get", json!({ "project": b.project })).await.unwrap();
    let want = [
        "step-6/certificate/SmartHotelDB",
        "step-6/measure/source",
        "step-7/prove/database",
        "step-7/around/logins",
        "step-7/around/users",
    ];
    assert_eq!(kinds(&with), want);
}

#[tokio::test]
async fn what_stands_beside_the_database_is_seen_before_it_is_chosen() {
    let mut b = bench().await;
    let a = b.lab.addresses();
    b.connections.sql.thumbprint = a.sql_thumbprint;
    b.save("sql", json!(a.sql_password)).await.unwrap();
    let look = json!({ "project": b.project, "around": { "kinds": ["logins", "jobs"], "leaveOut": ["logins/svc-dms"], "domains": {} } });
    let found: Vec<plan::around::AroundObject> = b.desk.call("around_look", look).await.unwrap();
    let of = |id: &str| found.iter().find(|o| o.id == id).unwrap();
    let app = of("logins/smarthotel");
    assert!(
        app.chosen && app.why_not.is_none() && app.statement.contains("PASSWORD = 0x… HASHED, SID = 0x"),
        "{app:?}"
    );
    assert!(!of("logins/svc-dms").chosen && of("users/smarthotel").there);
    assert!(of("jobs/Nightly full backup").why_not.is_some());
    assert!(!found.iter().any(|o| o.statement.contains("0x0200")));
}

/// What stands against a move on the source is read before the run, keeps the plan from being approved, and is gone when it
/// was cured and read again. The run's own looks, with those defects too that only it can see, are played in `migration`.
#[tokio::test]
async fn what_fails_late_is_read_before_the_run_and_gone_when_it_is_cured() {
    let cases = [
        ("memory-optimised", "sql-memory-optimised", plan::Severity::Blocking),
        ("database-outgrown", "sql-storage", plan::Severity::Blocking),
        ("certificate-missing", "sql-tde-later", plan::Severity::Warning),
        ("database-contained", "sql-contained-later", plan::Severity::Warning),
        ("source-newer", "sql-newer-later", plan::Severity::Warning),
    ];
    for (fault, rule, severity) in cases {
        let mut b = Bench::with_fault(fault).await;
        let a = b.lab.addresses();
        b.connections.sql.server = a.sql.clone();
        b.connections.sql.user = a.sql_user.clone();
        b.connections.sql.thumbprint = a.sql_thumbprint.clone();
        let path = b.desk.path("sample.rehost");
        let mut sample = plan::smarthotel::project("sample", b.connections.clone(), 1, 1);
        sample.rehearsal = false;
        drop(engine::ProjectFile::create(&path, &sample).unwrap());
        let open: ProjectView = b.desk.call("project_open", json!({ "path": path })).await.unwrap();
        let b = Bench {
            project: open.path,
            connections: sample.connections,
            ..b
        };
        b.save("sql", json!(a.sql_password)).await.unwrap();
        let project = json!({ "project": b.project });
        let plan = async || -> PlanView { b.desk.call("plan_get", project.clone()).await.unwrap() };
        b.desk.stream::<SqlMessage>("sql_read", project.clone()).await;
        let view = plan().await;
        let found = view.plan.findings.iter().find(|f| f.rule == rule).unwrap();
        assert_eq!(found.severity, severity, "{fault}");
        assert!(!found.who.is_empty() && !found.command.is_empty(), "{found:?}");
        if fault == "certificate-missing" {
            // What the run brings is told, and warned of no more.
            for (certificate, rules) in [(true, ["sql-tde-brought"]), (false, ["sql-tde-later"])] {
                let choice = json!({ "project": b.project, "around": null, "prove": null, "certificate": certificate });
                b.desk.call::<ProjectView>("around_save", choice).await.unwrap();
                let findings = plan().await.plan.findings;
                let of_tde = findings.iter().map(|f| f.rule.as_str());
                let said: Vec<&str> = of_tde
                    .filter(|r| r.starts_with("sql-tde") && *r != "sql-tde-backup")
                    .collect();
                assert_eq!(said, rules);
            }
        }
        let start = json!({ "project": b.project, "planHash": view.hash });
        let refused = b.desk.call::<RunState>("run_start", start).await.unwrap_err();
        let says = refused.detail.contains(found.title.as_str());
        assert_eq!(says, severity == plan::Severity::Blocking, "{refused:?}");
        assert!(b.lab.cure());
        b.desk.stream::<SqlMessage>("sql_read", project.clone()).await;
        let still = plan().await.plan.findings.iter().any(|f| f.rule == rule);
        // What the target must have is known when the target is there.
        assert_eq!(still, severity == plan::Severity::Warning, "{fault}");
    }
    // Nothing is read through a closed port, or of an instance without TCP/IP; both say what to do.
    for (fault, words) in [("port-closed", "nothing listens"), ("tcp-disabled", "enables TCP/IP")] {
        let mut b = Bench::with_fault(fault).await;
        let a = b.lab.addresses();
        b.connections.sql.server = a.sql.clone();
        b.connections.sql.user = a.sql_user.clone();
        b.connections.sql.thumbprint = a.sql_thumbprint.clone();
        b.connections.sql.browser_port = a.sql_browser;
        b.save("sql", json!(a.sql_password)).await.unwrap();
        let project = json!({ "project": b.project });
        let read: Vec<SqlMessage> = b.desk.stream("sql_read", project.clone()).await;
        let Some(SqlMessage::Failed { error }) = read.last() else {
            panic!("{fault}: {read:?}")
        };
        assert!(error.hint.contains(words), "{fault}: {error:?}");
        assert!(b.lab.cure());
        let read: Vec<SqlMessage> = b.desk.stream("sql_read", project).await;
        assert!(
            matches!(read.last(), Some(SqlMessage::Done { .. })),
            "{fault}: {read:?}"
        );
    }
}
