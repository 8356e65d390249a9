use crate::Desk;
use api::wire::*;
use serde_json::json;

#[tokio::test]
async fn a_project_is_made_listed_closed_opened_and_forgotten() {
    let desk = Desk::new();
    let made = desk.project("Smart/Hotel").await;
    assert_eq!(
        (made.name.as_str(), made.rehearsal, made.live),
        ("Smart/Hotel", false, false)
    );
    assert!(made.path.ends_with("Smart-Hotel.rehost"), "{}", made.path);

    desk.call::<()>("project_close", json!({ "project": made.path }))
        .await
        .unwrap();
    let closed = desk
        .call::<ProjectView>("project_get", json!({ "project": made.path }))
        .await
        .unwrap_err();
    assert_eq!(closed.code, ErrorCode::NotFound);

    // The dialog of this desk answers with the newest project.
    let opened: ProjectView = desk.call("project_open", json!({ "path": null })).await.unwrap();
    assert_eq!(opened.id, made.id);
    let list: Vec<ProjectSummary> = desk.call("projects_list", json!({})).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].state.as_deref(), list[0].problem.as_deref()),
        (Some("no run yet"), None)
    );

    desk.call::<()>("project_forget", json!({ "path": made.path }))
        .await
        .unwrap();
    assert!(
        desk.call::<Vec<ProjectSummary>>("projects_list", json!({}))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        std::path::Path::new(&made.path).exists(),
        "forgetting must leave the file"
    );
}

#[tokio::test]
async fn a_closed_dialog_and_an_empty_name_change_nothing() {
    let desk = Desk::new();
    std::fs::write(desk.path("next"), "").unwrap();
    let error = desk
        .call::<ProjectView>("project_new", json!({ "name": "x" }))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
    let error = desk
        .call::<ProjectView>("project_new", json!({ "name": "  " }))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
}

#[tokio::test]
async fn an_existing_file_is_never_overwritten() {
    let desk = Desk::new();
    std::fs::write(desk.path("a.rehost"), "precious").unwrap();
    let error = desk
        .call::<ProjectView>("project_new", json!({ "name": "a" }))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert_eq!(std::fs::read_to_string(desk.path("a.rehost")).unwrap(), "precious");
}

#[tokio::test]
async fn unusable_files_say_what_to_do() {
    let desk = Desk::new();
    let made = desk.project("good").await;
    desk.call::<()>("project_close", json!({ "project": made.path }))
        .await
        .unwrap();
    let good = std::fs::read(&made.path).unwrap();
    std::fs::write(
        desk.path("text.rehost"),
        "this is a text, and rather a long one at that, to look like something",
    )
    .unwrap();
    std::fs::write(desk.path("cut.rehost"), &good[..good.len() / 2]).unwrap();
    std::fs::write(desk.path("empty.rehost"), "").unwrap();
    let other = rusqlite::Connection::open(desk.path("other.rehost")).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    let newer = desk.path("newer.rehost");
    std::fs::copy(&made.path, &newer).unwrap();
    rusqlite::Connection::open(&newer)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();

    for name in ["text", "cut", "empty", "other", "newer"] {
        let path = desk.path(&format!("{name}.rehost"));
        let error = desk
            .call::<ProjectView>("project_open", json!({ "path": path }))
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::ProjectFile, "{name}: {error:?}");
        assert!(
            !error.hint.is_empty() && error.detail.contains(name),
            "{name}: {error:?}"
        );
    }
    let error = desk
        .call::<ProjectView>("project_open", json!({ "path": desk.path("none.rehost") }))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_project_that_is_open_elsewhere_is_refused_and_still_listed() {
    let (desk, other) = (Desk::new(), Desk::new());
    let made = desk.project("shared").await;
    let error = other
        .call::<ProjectView>("project_open", json!({ "path": made.path }))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::OpenElsewhere, true),
        "{error:?}"
    );
    let again: ProjectView = desk.call("project_open", json!({ "path": made.path })).await.unwrap();
    assert_eq!(again.id, made.id, "the same window may open it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_changed_afterwards_is_found() {
    let desk = Desk::new();
    let view: ProjectView = desk.call("rehearse_sample", crate::at_full_speed()).await.unwrap();
    desk.call::<()>("project_close", json!({ "project": view.path }))
        .await
        .unwrap();
    let path = std::path::Path::new(&view.path);
    assert!(api::projects::verify(path).await.unwrap().ok);
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "DROP TRIGGER journal_keeps_words; UPDATE journal SET at = '2020-01-01T00:00:00Z' WHERE seq = 2",
    )
    .unwrap();
    let verified = api::projects::verify(path).await.unwrap();
    assert!(!verified.ok && verified.problem.is_some_and(|p| p.contains("line 2")));
}

#[tokio::test]
async fn settings_survive_and_broken_ones_do_no_harm() {
    let desk = Desk::new();
    desk.call::<()>("set_theme", json!({ "theme": "dark" })).await.unwrap();
    assert_eq!(
        desk.call::<()>("set_theme", json!({ "theme": "pink" }))
            .await
            .unwrap_err()
            .code,
        ErrorCode::Invalid
    );
    let again = || {
        api::App::new(
            api::settings::Folders::below(desk.home.path()),
            std::sync::Arc::new(api::host::FolderHost(desk.home.path().to_owned())),
            Start::Home,
        )
    };
    assert_eq!(again().settings(|s| s.theme.clone()), "dark");
    std::fs::write(desk.path("config/settings.json"), "{").unwrap();
    assert_eq!(again().settings(|s| s.theme.clone()), "system");
}

#[tokio::test]
async fn without_a_keyring_secrets_last_for_this_start_and_that_is_said() {
    let desk = Desk::new();
    let info: AppInfo = desk.call("app_info", json!({})).await.unwrap();
    assert!(
        matches!(info.secrets, SecretsInfo::ThisStartOnly { ref reason, ref hint } if !reason.is_empty() && !hint.is_empty())
    );
    assert_eq!(info.start, Start::Home);
}
