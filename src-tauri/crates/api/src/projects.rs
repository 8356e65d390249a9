//! Projects: the list, creating, opening, closing.

use crate::{
    App, Open, PROJECT_EXTENSION, Typed,
    connections::SecretName,
    host::FileQuestion,
    wire::{InventorySummary, ProjectSummary, ProjectView, RunPhase, RunState, UiError},
};
use engine::ProjectFile;
use plan::{
    Connections, DatabaseMethod, DmsDesign, Project, ReplicationMethod,
    around::{AroundDesign, ProveDesign},
    backup::BackupDesign,
    smarthotel,
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Lists the projects opened on this computer, the newest first, each with where its run stands. One that can't be read
/// says why.
///
/// # Errors
/// None; the type is that of every command.
pub async fn projects_list(app: &Arc<App>) -> Result<Vec<ProjectSummary>, UiError> {
    let app = app.clone();
    // Reading files of many projects takes a while when a network share is slow.
    tokio::task::spawn_blocking(move || {
        let recent = app.settings(|s| s.recent.clone());
        Ok(recent.iter().map(|r| summary(&app, &r.path, r.opened)).collect())
    })
    .await
    .map_err(UiError::internal)?
}

/// Creates a project after asking where it goes.
///
/// # Errors
/// Fails when the name is empty, the dialog was closed, or the file can't be created.
pub async fn project_new(app: &Arc<App>, name: String) -> Result<ProjectView, UiError> {
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Err(UiError::invalid(
            "The project has no name",
            "The field is empty.",
            "Enter a name, for example SmartHotel.",
        ));
    }
    let suggested = app
        .folders
        .projects
        .join(format!("{}.{PROJECT_EXTENSION}", file_name(&name)));
    let chosen = app
        .host()
        .choose(FileQuestion::NewProject { suggested })
        .await?
        .ok_or_else(UiError::cancelled)?;
    let path = with_extension(chosen);
    let open = app.create(&path, &new_project(&name)).await?;
    view(app, &open).await
}

/// Opens a project: the given one, or one that the person chooses.
///
/// # Errors
/// Fails when the dialog was closed or the file can't be opened.
pub async fn project_open(app: &Arc<App>, path: Option<String>) -> Result<ProjectView, UiError> {
    let path = match path {
        Some(path) => PathBuf::from(path),
        None => {
            let folder = app.folders.projects.clone();
            app.host()
                .choose(FileQuestion::OpenProject { folder })
                .await?
                .ok_or_else(UiError::cancelled)?
        }
    };
    open_file(app, &path).await
}

/// Opens a project file.
///
/// # Errors
/// Fails when the file can't be opened.
pub async fn open_file(app: &Arc<App>, path: &Path) -> Result<ProjectView, UiError> {
    let open = app.open(path).await?;
    app.change_settings(|s| s.opened(&open.path));
    if let Err(e) = crate::rehearsal::return_world(app, &open).await {
        // The project itself is fine; whoever wants its lab is told then.
        tracing::warn!(error = %e.detail, "the lab of this rehearsal can't be brought back");
    }
    view(app, &open).await
}

/// Takes a project off the list, closing it when it is open. Its file stays.
///
/// # Errors
/// Fails while its run goes on.
pub async fn project_forget(app: &Arc<App>, path: String) -> Result<(), UiError> {
    let path = PathBuf::from(path);
    if let Some(open) = app.find(&path) {
        open.not_live("The project can't be taken off the list")?;
        app.close_project(&path).await;
    }
    app.change_settings(|s| s.recent.retain(|r| r.path != path));
    Ok(())
}

/// Returns an open project as it is now.
///
/// # Errors
/// Fails when it isn't open.
pub async fn project_get(app: &Arc<App>, project: String) -> Result<ProjectView, UiError> {
    view(app, &*app.opened(&project)?).await
}

/// Closes a project. A live run stops at the next safe point and can be taken up again; what runs in Azure goes on.
///
/// # Errors
/// None; closing what isn't open is no failure.
pub async fn project_close(app: &Arc<App>, project: String) -> Result<(), UiError> {
    app.close_project(Path::new(&project)).await;
    Ok(())
}

/// Chooses how the machine and the database get to Azure. The plan follows from it the next time it is asked for.
///
/// # Errors
/// Fails when a run of this project was started: its plan was approved with the methods as they are.
pub async fn methods_set(
    app: &Arc<App>,
    project: String,
    replication: ReplicationMethod,
    database_method: DatabaseMethod,
) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    let (now, chosen) = (open.project().design, (replication, database_method));
    if (now.replication, now.database_method) != chosen && !open.file.runs()?.is_empty() {
        return Err(UiError::state(
            "The methods can't be changed any more",
            "A run was started with them; what it made in Azure belongs to them.",
            "Choose New in Projects, and the methods before its first run.",
        ));
    }
    open.change(|p| (p.design.replication, p.design.database_method) = chosen)?;
    view(app, &open).await
}

/// Saves what Database Migration Service needs. A password: none = leave as stored, empty = forget.
///
/// # Errors
/// Fails when the settings change after a run of this project was started, and when the file or the keyring refuses.
pub async fn dms_save(
    app: &Arc<App>,
    project: String,
    dms: DmsDesign,
    sql_password: Option<Typed>,
    share_password: Option<Typed>,
) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    if open.project().design.dms != dms && !open.file.runs()?.is_empty() {
        return Err(UiError::state(
            "These settings can't be changed any more",
            "A run was started with them; what it made in Azure belongs to them.",
            "Choose New in Projects, and the settings before its first run.",
        ));
    }
    open.change(|p| p.design.dms = dms)?;
    let store = app.store_of(&open).await;
    for (name, typed) in [
        (SecretName::SqlSource, sql_password),
        (SecretName::BackupShare, share_password),
    ] {
        let key = name.key(&open.project().id);
        match typed {
            None => {}
            Some(Typed(secret)) if secret.expose().is_empty() => store.delete(&key).await?,
            Some(Typed(secret)) => store.set(&key, &secret).await?,
        }
    }
    view(app, &open).await
}

/// Saves what is moved beside the database and how it is proved that it arrived, none = neither; and whether Rehost brings the
/// certificate of an encrypted one.
///
/// # Errors
/// Fails when they change after a run of this project was started, and when the file refuses.
pub async fn around_save(
    app: &Arc<App>,
    project: String,
    around: Option<AroundDesign>,
    prove: Option<ProveDesign>,
    certificate: bool,
) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    let now = open.project().design;
    let before = (now.around, now.prove, now.certificate);
    if before != (around.clone(), prove.clone(), certificate) && !open.file.runs()?.is_empty() {
        return Err(UiError::state(
            "These settings can't be changed any more",
            "A run was started with them; what it made on the managed instance belongs to them.",
            "Choose New in Projects, and the settings before its first run.",
        ));
    }
    open.change(|p| (p.design.around, p.design.prove, p.design.certificate) = (around, prove, certificate))?;
    view(app, &open).await
}

/// Saves where the application's configuration is, which connection string must be in it (empty = any), and which text the
/// site shows when it works (empty = any), and whether a person switches it instead of Rehost.
///
/// # Errors
/// Fails when the path is not that of a file on a drive, when they change after a run of this project was started, and when
/// the file refuses.
pub async fn application_save(
    app: &Arc<App>,
    project: String,
    web_config: String,
    connection_string_name: String,
    site_text: String,
    by_person: bool,
) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    let [web_config, connection_string_name, site_text] =
        [web_config, connection_string_name, site_text].map(|t| t.trim().to_owned());
    let full = matches!(web_config.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic());
    if !full || !web_config.to_ascii_lowercase().ends_with(".config") {
        return Err(UiError::invalid(
            "This is no path of a configuration",
            format!("{web_config} is not the full path of a .config file inside the virtual machine."),
            r"Enter it as C:\inetpub\YOUR-SITE\web.config.",
        ));
    }
    let now = open.project().design;
    let same = now.web_config == web_config
        && now.connection_string_name == connection_string_name
        && now.site_text == site_text
        && now.switched_by_person == by_person;
    if !same && !open.file.runs()?.is_empty() {
        return Err(UiError::state(
            "These settings can't be changed any more",
            "A run was started with them, and its approved plan names them.",
            "Choose New in Projects, and the settings before its first run.",
        ));
    }
    open.change(|p| {
        p.design.web_config = web_config;
        p.design.connection_string_name = connection_string_name;
        p.design.site_text = site_text;
        p.design.switched_by_person = by_person;
    })?;
    view(app, &open).await
}

/// Saves which further databases are migrated in the same run.
///
/// # Errors
/// Fails when a name can't be or stands twice, when they change after a run of this project was started, in a rehearsal,
/// whose databases are those that it began with, and when the file refuses.
pub async fn databases_save(app: &Arc<App>, project: String, further: Vec<String>) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    let now = open.project();
    let mut names = vec![now.design.database.to_lowercase()];
    for name in &further {
        let lower = name.to_lowercase();
        let why = if name.trim().is_empty() || name.chars().count() > 128 {
            Some("A name has 1 to 128 characters.".to_owned())
        } else if ["master", "model", "msdb", "tempdb"].contains(&lower.as_str()) {
            Some(format!(
                "{name} belongs to SQL Server itself, and the managed instance has its own."
            ))
        } else if names.contains(&lower) {
            Some(format!(
                "{name} is in the plan already; SQL Server ignores case in names."
            ))
        } else {
            None
        };
        if let Some(why) = why {
            return Err(UiError::invalid(
                "The database can't be migrated along",
                why,
                "Choose a database from the list in Inventory, Databases.",
            ));
        }
        names.push(lower);
    }
    if now.design.further_databases != further {
        if !open.file.runs()?.is_empty() {
            return Err(UiError::state(
                "The databases can't be changed any more",
                "A run was started with them; its backups and restores belong to them.",
                "Choose New in Projects, and the databases before its first run.",
            ));
        }
        if now.rehearsal {
            return Err(UiError::state(
                "A rehearsal migrates the databases that it began with",
                "Its database administrator has prepared these.",
                "Begin another rehearsal from Projects, with options, and choose several databases there.",
            ));
        }
    }
    open.change(|p| p.design.further_databases = further)?;
    view(app, &open).await
}

/// Saves how Rehost backs the source up; none = a person does.
///
/// # Errors
/// Fails when it changes after a run of this project was started, when a value can't be, and when the file refuses.
pub async fn backups_save(
    app: &Arc<App>,
    project: String,
    backups: Option<BackupDesign>,
) -> Result<ProjectView, UiError> {
    let open = app.opened(&project)?;
    let mut backups = backups;
    if let Some(b) = &mut backups {
        b.folder = b.folder.trim().to_owned();
        let whole =
            b.folder.starts_with(r"\\") || Path::new(&b.folder).is_absolute() || b.folder.get(1..3) == Some(r":\");
        if !b.folder.is_empty() && !whole {
            return Err(UiError::invalid(
                "The folder can't be used",
                format!("{} does not begin with a share or a drive.", b.folder),
                r"Enter it like \\SERVER\share\folder: SQL Server writes there, and this computer reads.",
            ));
        }
        if !(1..=64).contains(&b.files) {
            return Err(UiError::invalid(
                "The number of files can't be used",
                "SQL Server stripes a backup over 1 to 64 files.",
                "Enter a number from 1 to 64.",
            ));
        }
    }
    if open.project().design.backups != backups && !open.file.runs()?.is_empty() {
        return Err(UiError::state(
            "These settings can't be changed any more",
            "A run was started with them; its backups belong to them.",
            "Choose New in Projects, and the settings before its first run.",
        ));
    }
    open.change(|p| p.design.backups = backups)?;
    view(app, &open).await
}

/// What a check of the journal's hash chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    pub file: String,
    pub ok: bool,
    pub events: u64,
    /// Hash of the last line.
    pub head: String,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

impl Verified {
    /// The result for people.
    pub fn sentence(&self) -> String {
        match &self.problem {
            None => format!("{}: {} events, unbroken. Head {}", self.file, self.events, self.head),
            Some(problem) => problem.clone(),
        }
    }
}

/// Checks the hash chain of a project file, also while another process works on it.
///
/// # Errors
/// Fails when the file can't be read; a broken chain is a result.
pub async fn verify(path: &Path) -> Result<Verified, UiError> {
    let file = path.display().to_string();
    match ProjectFile::open_read_only(path)?.verify_chain() {
        Ok(head) => Ok(Verified {
            file,
            ok: true,
            events: head.seq,
            head: head.hash,
            problem: None,
        }),
        Err(e @ engine::ProjectError::ChainBroken { .. }) => {
            let problem = Some(format!("{e} {}", e.hint()));
            Ok(Verified {
                file,
                ok: false,
                events: 0,
                head: String::new(),
                problem,
            })
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn view(app: &Arc<App>, open: &Open) -> Result<ProjectView, UiError> {
    let project = open.project();
    let live = open.live();
    let run = match &live {
        Some(live) => Some(live.state()),
        None => newest_run(&open.file)?,
    };
    let machines = open.file.machine_count()?;
    let inventory = open.file.places()?.map(|i| InventorySummary {
        vms: u32::try_from(machines).unwrap_or(u32::MAX),
        vcenter_name: i.vcenter_name,
        read_at: i.read_at.map(|at| at.to_string()).unwrap_or_default(),
    });
    Ok(ProjectView {
        path: open.path.display().to_string(),
        id: project.id.clone(),
        name: project.name.clone(),
        rehearsal: project.rehearsal,
        rehearsal_speed: project.rehearsal_speed,
        rehearsal_fault: project.rehearsal_fault.clone(),
        connections: crate::connections::view(app, open).await?,
        design: project.design,
        inventory,
        run,
        live: live.is_some(),
    })
}

/// The state of the run that was started last.
pub(crate) fn newest_run(file: &ProjectFile) -> Result<Option<RunState>, UiError> {
    match file.runs()?.last() {
        Some(run) => Ok(file.run_state(&run.run)?),
        None => Ok(None),
    }
}

/// A new project: the sample's design to begin with, and the public cloud's addresses.
pub(crate) fn new_project(name: &str) -> Project {
    let connections = Connections {
        azure: azure::clouds::public(),
        ..Connections::default()
    };
    let mut project = smarthotel::project(&uuid::Uuid::now_v7().to_string(), connections, 1, 0);
    project.name = name.into();
    project.rehearsal = false;
    project
}

fn summary(app: &App, path: &Path, opened: jiff::Timestamp) -> ProjectSummary {
    let mut summary = ProjectSummary {
        path: path.display().to_string(),
        name: path
            .file_stem()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default(),
        application: String::new(),
        rehearsal: false,
        opened: opened.to_string(),
        state: None,
        percent: None,
        problem: None,
    };
    let read = || -> Result<(Project, Option<RunState>, bool), UiError> {
        if let Some(open) = app.find(path) {
            let live = open.live();
            let run = match &live {
                Some(live) => Some(live.state()),
                None => newest_run(&open.file)?,
            };
            return Ok((open.project(), run, live.is_some()));
        }
        let file = ProjectFile::open_read_only(path)?;
        Ok((file.project()?, newest_run(&file)?, false))
    };
    match read() {
        Err(e) => summary.problem = Some(format!("{} {}", e.detail, e.hint)),
        Ok((project, run, live)) => {
            summary.name = project.name;
            summary.application = project.design.application;
            summary.rehearsal = project.rehearsal;
            let (state, percent) = words(run.as_ref(), live);
            summary.state = Some(state);
            summary.percent = percent;
        }
    }
    summary
}

fn words(run: Option<&RunState>, live: bool) -> (String, Option<f64>) {
    let Some(run) = run else {
        return ("no run yet".into(), None);
    };
    let settled = run.tasks.iter().filter(|t| t.status.is_settled()).count();
    let all = run.tasks.len();
    let of = format!("{settled} of {all} tasks");
    let words = match run.phase {
        RunPhase::Running if live => format!("running, {of}"),
        RunPhase::Running => format!("interrupted, {of}"),
        RunPhase::Paused => format!("paused, {of}"),
        RunPhase::Done => format!("done, {of}"),
        RunPhase::Stopped => format!("stopped, {of}"),
        RunPhase::Cancelled => format!("cancelled, {of}"),
    };
    // Whole percents below 2^53: exact.
    (words, (all > 0).then(|| (settled * 100 / all) as f64))
}

/// A name as a file name: what no file system takes becomes a dash.
pub(crate) fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_control() || r#"/\:*?"<>|"#.contains(c) {
                '-'
            } else {
                c
            }
        })
        .take(80)
        .collect();
    let safe = safe.trim_matches(['.', ' ']).to_owned();
    if safe.is_empty() { "project".into() } else { safe }
}

fn with_extension(path: PathBuf) -> PathBuf {
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(PROJECT_EXTENSION))
    {
        return path;
    }
    let mut name = path.into_os_string();
    name.push(".");
    name.push(PROJECT_EXTENSION);
    PathBuf::from(name)
}
