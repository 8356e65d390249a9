//! What outlives a start: the theme, the currency of prices, the list of projects. One small JSON file; when it is unreadable the defaults
//! hold, for nothing in it is precious.

use crate::{
    App,
    wire::{AppInfo, UiError},
};
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Longest list of known projects.
const RECENT: usize = 50;

/// The folders of this user.
#[derive(Debug, Clone)]
pub struct Folders {
    pub config: PathBuf,
    pub projects: PathBuf,
    pub logs: PathBuf,
}

impl Folders {
    /// Returns the system's folders, or those below `REHOST_HOME` when it is set.
    pub fn of_user() -> Self {
        if let Some(home) = std::env::var_os("REHOST_HOME").filter(|h| !h.is_empty()) {
            return Self::below(Path::new(&home));
        }
        let dirs = directories::ProjectDirs::from("app", "", "rehost");
        let documents =
            directories::UserDirs::new().map(|u| u.document_dir().unwrap_or_else(|| u.home_dir()).join("Rehost"));
        match (dirs, documents) {
            (Some(dirs), Some(projects)) => Self {
                config: dirs.config_dir().to_owned(),
                projects,
                logs: dirs.data_local_dir().join("logs"),
            },
            // A user without a home: everything goes beside the working folder.
            _ => Self::below(Path::new("rehost-home")),
        }
    }

    /// Returns folders below one.
    pub fn below(home: &Path) -> Self {
        Self {
            config: home.join("config"),
            projects: home.join("projects"),
            logs: home.join("logs"),
        }
    }
}

/// A project that was opened on this computer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    pub path: PathBuf,
    pub opened: jiff::Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    version: u32,
    /// `light`, `dark` or `system`.
    pub theme: String,
    /// In which prices are shown, `USD`.
    pub currency: String,
    /// Newest first.
    pub recent: Vec<Recent>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: 1,
            theme: "system".into(),
            currency: "USD".into(),
            recent: vec![],
        }
    }
}

impl Settings {
    pub fn load(folders: &Folders) -> Self {
        let file = folders.config.join("settings.json");
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| {
                tracing::warn!(file = %file.display(), error = %e, "settings can't be read; the defaults hold");
                Self::default()
            }),
            Err(_) => Self::default(),
        }
    }

    /// Writes a new file and renames it, so that a crash leaves the old or the new one.
    pub(crate) fn store(&self, folders: &Folders) {
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&folders.config)?;
            let new = folders.config.join("settings.json.new");
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            std::fs::rename(new, folders.config.join("settings.json"))
        };
        if let Err(e) = write() {
            tracing::warn!(folder = %folders.config.display(), error = %e, "settings can't be saved");
        }
    }

    pub(crate) fn opened(&mut self, path: &Path) {
        self.recent.retain(|r| r.path != path);
        self.recent.insert(
            0,
            Recent {
                path: path.to_owned(),
                opened: jiff::Timestamp::now(),
            },
        );
        self.recent.truncate(RECENT);
    }
}

/// Returns what the window needs first.
///
/// # Errors
/// None; the type is that of every command.
pub async fn app_info(app: &Arc<App>) -> Result<AppInfo, UiError> {
    Ok(AppInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        secrets: app.secrets_info().await,
        projects_folder: app.folders.projects.display().to_string(),
        theme: app.settings(|s| s.theme.clone()),
        start: app.take_start(),
    })
}

/// Remembers the theme and hands it to the host.
///
/// # Errors
/// Fails for a word that is no theme.
pub async fn set_theme(app: &Arc<App>, theme: String) -> Result<(), UiError> {
    if !matches!(theme.as_str(), "light" | "dark" | "system") {
        return Err(UiError::invalid(
            format!("`{theme}` is no theme"),
            "It is light, dark or system.",
            "Choose one of them.",
        ));
    }
    app.change_settings(|s| s.theme.clone_from(&theme));
    app.host().theme_changed(&theme);
    Ok(())
}
