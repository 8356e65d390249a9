//! What a front end does for the use cases: ask for files, close its window. The handful and nothing more.

use crate::wire::UiError;
use std::path::{Path, PathBuf};

/// How files with a certificate and its key end.
pub const CERTIFICATE_EXTENSIONS: &[&str] = &["pfx", "p12", "pem"];

/// How files end from which an inventory is imported.
pub const INVENTORY_EXTENSIONS: &[&str] = &["xlsx", "csv"];

/// How templates of machines end.
pub const TEMPLATE_EXTENSIONS: &[&str] = &["ova", "ovf"];

/// A question for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileQuestion {
    /// Where a new project goes.
    NewProject {
        suggested: PathBuf,
    },
    OpenProject {
        folder: PathBuf,
    },
    /// PEM or PFX.
    ClientCertificate {
        folder: PathBuf,
    },
    /// An export of RVTools, or another table of machines.
    Inventory {
        folder: PathBuf,
    },
    /// The appliance's template.
    Template {
        folder: PathBuf,
    },
    /// Where the report's HTML goes; the JSON goes beside it.
    SaveReport {
        suggested: PathBuf,
    },
    /// A script of PowerShell.
    SaveScript {
        suggested: PathBuf,
    },
}

/// The front end that the use cases run behind.
#[async_trait::async_trait]
pub trait Host: Send + Sync {
    /// Asks the person for a file; none when the dialog was closed.
    ///
    /// # Errors
    /// Fails when no dialog can be shown.
    async fn choose(&self, question: FileQuestion) -> Result<Option<PathBuf>, UiError>;
    /// Opens a web page in the person's browser.
    ///
    /// # Errors
    /// Fails when there is no browser, or none that this front end could open.
    async fn open_page(&self, _url: &str) -> Result<(), UiError> {
        Err(UiError::no_browser("This front end opens no browser."))
    }
    /// Closes the window without asking again.
    fn close_window(&self) {}
    /// The person chose `light`, `dark` or `system`.
    fn theme_changed(&self, _theme: &str) {}
}

/// A host without dialogs: questions are answered from a folder. For the command line, the development host and tests.
///
/// A file `next` in the folder answers the next question with the path it holds, and is removed (empty = the dialog
/// was closed). Without it, a save question gets its suggested name inside the folder, and an open question the newest
/// file of its kind there.
#[derive(Debug, Clone)]
pub struct FolderHost(pub PathBuf);

impl FolderHost {
    fn answer(&self, question: FileQuestion) -> Option<PathBuf> {
        let next = self.0.join("next");
        if let Ok(text) = std::fs::read_to_string(&next) {
            let _ = std::fs::remove_file(&next);
            let text = text.trim();
            return (!text.is_empty()).then(|| PathBuf::from(text));
        }
        match question {
            FileQuestion::NewProject { suggested }
            | FileQuestion::SaveReport { suggested }
            | FileQuestion::SaveScript { suggested } => suggested.file_name().map(|name| self.0.join(name)),
            FileQuestion::OpenProject { .. } => newest(&self.0, &[crate::PROJECT_EXTENSION]),
            FileQuestion::ClientCertificate { .. } => newest(&self.0, CERTIFICATE_EXTENSIONS),
            FileQuestion::Inventory { .. } => newest(&self.0, INVENTORY_EXTENSIONS),
            FileQuestion::Template { .. } => newest(&self.0, TEMPLATE_EXTENSIONS),
        }
    }
}

#[async_trait::async_trait]
impl Host for FolderHost {
    async fn choose(&self, question: FileQuestion) -> Result<Option<PathBuf>, UiError> {
        Ok(self.answer(question))
    }
}

fn newest(folder: &Path, extensions: &[&str]) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)))
        .max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok())
}
