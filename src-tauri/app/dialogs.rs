//! The window's side of [`api::host::Host`]: native file dialogs (rfd), the browser (`open`), closing, theme.

use api::{
    host::{CERTIFICATE_EXTENSIONS, FileQuestion, FolderHost, Host, INVENTORY_EXTENSIONS, TEMPLATE_EXTENSIONS},
    wire::UiError,
};
use rfd::AsyncFileDialog;
use std::path::PathBuf;
use tauri::{AppHandle, Manager, Runtime, WebviewWindow};

/// Native dialogs can't be driven by WebDriver: tests name a folder that answers instead, see [`FolderHost`].
const TEST_FOLDER: &str = "REHOST_TEST_DIALOG_DIR";

/// The main window as a host.
pub struct WindowHost<R: Runtime> {
    handle: AppHandle<R>,
    test: Option<FolderHost>,
}

impl<R: Runtime> WindowHost<R> {
    pub fn new(handle: AppHandle<R>) -> Self {
        Self {
            handle,
            test: std::env::var_os(TEST_FOLDER).map(|folder| FolderHost(PathBuf::from(folder))),
        }
    }

    fn window(&self) -> Option<WebviewWindow<R>> {
        self.handle.get_webview_window(crate::window::LABEL)
    }
}

#[async_trait::async_trait]
impl<R: Runtime> Host for WindowHost<R> {
    async fn choose(&self, question: FileQuestion) -> Result<Option<PathBuf>, UiError> {
        if let Some(test) = &self.test {
            return test.choose(question).await;
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let window = self.window();
        // GTK and AppKit want the dialog built on the main thread; its future may be awaited on any other.
        self.handle
            .run_on_main_thread(move || {
                let future = dialog(&question, window.as_ref());
                tauri::async_runtime::spawn(async move {
                    // The receiver is gone only when the command was dropped with the window.
                    let _ = answer.send(future.await);
                });
            })
            .map_err(UiError::internal)?;
        answered.await.map_err(UiError::internal)
    }

    async fn open_page(&self, url: &str) -> Result<(), UiError> {
        if let Some(test) = &self.test {
            return test.open_page(url).await;
        }
        open::that_detached(url).map_err(UiError::no_browser)
    }

    fn close_window(&self) {
        if let Some(window) = self.window()
            && let Err(e) = window.destroy()
        {
            tracing::error!(error = %e, "the window can't be closed");
        }
    }

    fn theme_changed(&self, theme: &str) {
        if let Some(window) = self.window() {
            crate::window::paint(&window, theme);
        }
    }
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>>;

fn dialog<R: Runtime>(question: &FileQuestion, window: Option<&WebviewWindow<R>>) -> Answer {
    let mut dialog = AsyncFileDialog::new();
    if let Some(window) = window {
        dialog = dialog.set_parent(window);
    }
    let save = |dialog: AsyncFileDialog, suggested: &PathBuf| {
        let mut dialog = dialog;
        if let Some(folder) = suggested.parent() {
            dialog = dialog.set_directory(folder);
        }
        let name = suggested
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let chosen = dialog.set_file_name(name).save_file();
        Box::pin(async move { chosen.await.map(|f| f.path().to_owned()) }) as Answer
    };
    match question {
        FileQuestion::NewProject { suggested } => save(
            dialog
                .set_title("New project")
                .add_filter("Rehost project", &[api::PROJECT_EXTENSION]),
            suggested,
        ),
        FileQuestion::SaveReport { suggested } => save(
            dialog.set_title("Save the report").add_filter("Web page", &["html"]),
            suggested,
        ),
        FileQuestion::SaveScript { suggested } => save(
            dialog
                .set_title("Save the script")
                .add_filter("PowerShell script", &["ps1"]),
            suggested,
        ),
        FileQuestion::ClientCertificate { folder } => {
            let chosen = dialog
                .set_title("Choose the certificate with its private key")
                .add_filter("PFX or PEM", CERTIFICATE_EXTENSIONS)
                .set_directory(folder)
                .pick_file();
            Box::pin(async move { chosen.await.map(|f| f.path().to_owned()) })
        }
        FileQuestion::Inventory { folder } => {
            let chosen = dialog
                .set_title("Choose an export of RVTools, or a table of machines")
                .add_filter("Excel or CSV", INVENTORY_EXTENSIONS)
                .set_directory(folder)
                .pick_file();
            Box::pin(async move { chosen.await.map(|f| f.path().to_owned()) })
        }
        FileQuestion::Template { folder } => {
            let chosen = dialog
                .set_title("Choose the appliance's template")
                .add_filter("OVA or OVF", TEMPLATE_EXTENSIONS)
                .set_directory(folder)
                .pick_file();
            Box::pin(async move { chosen.await.map(|f| f.path().to_owned()) })
        }
        FileQuestion::OpenProject { folder } => {
            let chosen = dialog
                .set_title("Open a project")
                .add_filter("Rehost project", &[api::PROJECT_EXTENSION])
                .set_directory(folder)
                .pick_file();
            Box::pin(async move { chosen.await.map(|f| f.path().to_owned()) })
        }
    }
}
