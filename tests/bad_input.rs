//! What can be wrong from outside: each gives a sentence with a way out and an exit code, and loses nothing.

use crate::support::{Ended, Harness, Home, LabProcess, program, together};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

/// A finished rehearsal to spoil.
async fn rehearsed(home: &Home) -> PathBuf {
    let project = home.path("good.rehost");
    home.run(&["rehearse", "--project", text(&project)])
        .await
        .must_end_with(0);
    project
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The file must be refused with this code, in words, and stay as it is.
async fn refused(home: &Home, file: &Path, code: &str) -> Value {
    let before = fs::read(file).unwrap();
    let mut error = Value::Null;
    for arguments in [
        &["verify", text(file)][..],
        &["report", text(file), "--report", text(&home.path("out"))],
    ] {
        let ended = home.run(arguments).await;
        error = ended.must_end_with(4).error().clone();
        assert_eq!(error["code"], code, "{error}");
    }
    assert_eq!(
        fs::read(file).unwrap(),
        before,
        "a file that can't be used must not be changed"
    );
    error
}

#[tokio::test]
async fn files_that_are_no_project_are_refused_and_left_alone() {
    let _machine = together().await;
    let home = Home::new();
    let good = fs::read(rehearsed(&home).await).unwrap();

    let not_sqlite = home.path("text.rehost");
    fs::write(
        &not_sqlite,
        "This is not a database, only a text that is long enough to look like a file of some use.",
    )
    .unwrap();
    refused(&home, &not_sqlite, "projectFile").await;

    let foreign = home.path("foreign.rehost");
    let database = rusqlite::Connection::open(&foreign).unwrap();
    database.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(database);
    refused(&home, &foreign, "projectFile").await;

    let empty = home.path("empty.rehost");
    fs::write(&empty, "").unwrap();
    refused(&home, &empty, "projectFile").await;

    let truncated = home.path("truncated.rehost");
    fs::write(&truncated, &good[..good.len() / 2]).unwrap();
    refused(&home, &truncated, "projectFile").await;

    let newer = home.path("newer.rehost");
    fs::write(&newer, &good).unwrap();
    let database = rusqlite::Connection::open(&newer).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let error = refused(&home, &newer, "projectFile").await;
    assert!(error["detail"].as_str().unwrap().contains("999"), "{error}");

    let nothing = home.run(&["verify", text(&home.path("nothing.rehost"))]).await;
    assert_eq!(nothing.must_end_with(2).error()["code"], "notFound");
}

#[tokio::test]
async fn a_changed_journal_is_noticed() {
    let _machine = together().await;
    let home = Home::new();
    let project = rehearsed(&home).await;
    let database = rusqlite::Connection::open(&project).unwrap();
    let (table, column): (String, String) = database
        .query_row(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.name IN ('journal','events') AND c.name IN ('event','content','body','line')",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .unwrap();
    // Append-only by trigger, perhaps: whoever forges removes that first.
    let triggers: Vec<String> = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for t in triggers {
        database.execute_batch(&format!("DROP TRIGGER {t}")).unwrap();
    }
    let changed = database
        .execute(
            &format!("UPDATE {table} SET {column} = replace({column}, 'accepted\":true', 'accepted\":false') WHERE {column} LIKE '%accepted\":true%'"),
            [],
        )
        .unwrap();
    assert!(changed > 0, "there was no decision to forge");
    drop(database);
    let ended = home.run(&["verify", text(&project)]).await;
    assert_eq!(ended.must_end_with(5).json["ok"], false, "{}", ended.stdout);
}

#[tokio::test]
async fn a_project_that_is_open_elsewhere_is_refused_and_the_other_goes_on() {
    let _machine = together().await;
    let (labs, home) = (Home::new(), Home::new());
    let lab = LabProcess::start(&labs, &[]).await;
    let project = home.path("p.rehost");
    // The first process is held in the middle of its run.
    lab.post("trap", &json!({"afterMutations": 5, "phase": "before"})).await;
    let mut first = lab
        .run(&home, &project, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    crate::support::until("the first process is in its run", async || {
        (lab.get("trap").await["held"] == true).then_some(())
    })
    .await;
    let second = Ended::of(&mut lab.run(&home, &project, &[])).await;
    assert_eq!(second.must_end_with(4).error()["code"], "openElsewhere");
    assert!(first.try_wait().unwrap().is_none(), "the first process must go on");
    first.kill().await.unwrap();
    lab.post("release", &json!({})).await;
    Ended::of(&mut lab.run(&home, &project, &[])).await.must_end_with(0);
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_said() {
    let _machine = together().await;
    let home = Home::new();
    // A file in place of a folder refuses root as well.
    let file = home.path("file");
    fs::write(&file, "x").unwrap();
    let ended = home.run(&["rehearse", "--project", text(&file.join("p.rehost"))]).await;
    assert_eq!(ended.must_end_with(4).error()["code"], "disk");
    let project = rehearsed(&home).await;
    let ended = home.run(&["report", text(&project), "--report", text(&file)]).await;
    assert_eq!(ended.must_end_with(4).error()["code"], "disk");
}

#[tokio::test]
async fn a_rehearsal_never_takes_the_place_of_a_project() {
    let _machine = together().await;
    let home = Home::new();
    let project = rehearsed(&home).await;
    let files = |folder: &Path| {
        let mut all: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.is_file())
            .map(|p| (p.clone(), fs::read(p).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = files(home.folder.path());
    let ended = home.run(&["rehearse", "--project", text(&project)]).await;
    assert_eq!(ended.must_end_with(2).error()["code"], "invalid");
    assert!(
        before == files(home.folder.path()),
        "the project and what lies beside it must stay as they are"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_stops_the_run_and_loses_nothing() {
    let _machine = together().await;
    let (labs, home) = (Home::new(), Home::new());
    let lab = LabProcess::start(&labs, &[]).await;
    let project = home.path("p.rehost");
    // The kernel refuses to let any file grow beyond this, as a full disk does; the signal that goes with it is ignored.
    let run = lab.run(&home, &project, &[]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"])
        .arg(program("rehost-cli"))
        .args(run.as_std().get_args());
    for (key, value) in run.as_std().get_envs().filter_map(|(k, v)| Some((k, v?))) {
        limited.env(key, value);
    }
    let full = Ended::of(limited.stdin(Stdio::null())).await;
    assert_ne!(full.code, Some(0), "the disk was full: {}", full.stdout);
    let error = full.error();
    assert_eq!(error["code"], "disk", "{error}");
    // With room again the same run goes on.
    let ended = Ended::of(&mut lab.run(&home, &project, &[])).await;
    assert_eq!(ended.must_end_with(0).json["outcome"], "done", "{}", ended.stdout);
    home.run(&["verify", text(&project)]).await.must_end_with(0);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let _machine = together().await;
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = home.run(&["lab", "--port-base", &port]).await;
    assert_ne!(ended.code, Some(0));
    let error = ended.error();
    assert!(error.to_string().contains(&port), "{error}");
}

#[tokio::test]
async fn wrong_usage_ends_with_two() {
    let _machine = together().await;
    let home = Home::new();
    for arguments in [&["rehearse", "--speed", "0"][..], &["nonsense"], &["run"], &["verify"]] {
        assert_eq!(home.run(arguments).await.code, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_lab_that_is_not_there_is_said() {
    let _machine = together().await;
    let (labs, home) = (Home::new(), Home::new());
    let lab = LabProcess::start(&labs, &[]).await;
    let project = home.path("p.rehost");
    let arguments = [
        "run",
        "--project",
        text(&project),
        "--lab",
        "https://127.0.0.1:9",
        "--lab-ca",
        &lab.ca_file,
    ];
    assert_eq!(
        home.run(&arguments).await.must_end_with(3).error()["code"],
        "unreachable"
    );
}

/// What the Test button says about Azure when something is wrong with the connection.
#[tokio::test]
async fn azure_connections_that_can_not_work_are_explained() {
    let _machine = together().await;
    let (labs, home) = (Home::new(), Home::new());
    let lab = LabProcess::start(&labs, &[]).await;
    let harness = Harness::start(&home, |_| {}).await;
    let view = harness.call("project_new", json!({"name": "Azure"})).await.unwrap();
    let good = json!({
        "armUrl": lab.text("arm"), "authorityUrl": lab.text("authority"), "blobUrl": lab.text("blob"),
        "tenantId": lab.text("tenantId"), "clientId": lab.text("clientId"),
        "subscriptionId": lab.text("subscriptionId"), "caPem": lab.text("caPem"),
    });
    let nobody = "11111111-2222-3333-4444-555555555555";
    let cases: [(&str, &str, &str, bool); 7] = [
        ("as it should be", "", "", true),
        ("wrong secret", "secret", "wrong-secret", false),
        ("unknown client", "clientId", nobody, false),
        ("unknown tenant", "tenantId", nobody, false),
        ("unknown subscription", "subscriptionId", nobody, false),
        ("unknown authority", "caPem", "", false),
        ("nobody there", "armUrl", "https://127.0.0.1:9", false),
    ];
    for (what, key, value, works) in cases {
        let mut connections = view["connections"]["connections"].clone();
        connections["azure"] = good.clone();
        let mut secret = lab.text("clientSecret");
        match key {
            "" => {}
            "secret" => secret = value,
            key => connections["azure"][key] = value.into(),
        }
        let save = json!({"project": view["path"], "kind": "azure", "connections": connections, "secret": secret});
        harness.call("connection_save", save).await.unwrap();
        let test = harness
            .call("connection_test", json!({"project": view["path"], "kind": "azure"}))
            .await
            .unwrap();
        assert_eq!(test["ok"], works, "{what}: {test}");
        let steps = test["steps"].as_array().unwrap();
        let failed: Vec<&Value> = steps.iter().filter(|s| s["ok"] == false).collect();
        assert_eq!(failed.len(), usize::from(!works), "{what}: {test}");
        for step in failed {
            assert!(
                step["detail"].as_str().is_some_and(|t| !t.is_empty()),
                "{what}: no detail: {step}"
            );
            assert!(
                step["hint"].as_str().is_some_and(|t| !t.is_empty()),
                "{what}: no hint: {step}"
            );
            assert!(
                !step.to_string().contains(lab.text("clientSecret")),
                "{what}: the secret is in the answer"
            );
        }
    }
}
