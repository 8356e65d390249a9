//! The one window. It is made in code so that it appears painted: hidden until the page is there, and in the page's
//! own background colour until then.

use api::App;
use std::{sync::Arc, time::Duration};
use tauri::{
    Emitter, Manager, Runtime, Theme, WebviewUrl, WebviewWindow, WebviewWindowBuilder, Window, WindowEvent,
    webview::PageLoadEvent, window::Color,
};

/// The label that the capabilities name.
pub const LABEL: &str = "main";
/// Asks the page to ask the person; its payload is [`api::wire::CloseQuestion`].
const CLOSE_ASKED: &str = "close-asked";
/// When the page has not loaded by then, an empty window is better than none.
const SHOW_ANYWAY: Duration = Duration::from_secs(2);

// The page's own first backgrounds, `ui/public/boot.css`.
const LIGHT: Color = Color(0xff, 0xff, 0xff, 0xff);
const DARK: Color = Color(0x1f, 0x1f, 0x1f, 0xff);

/// Makes the window.
///
/// # Errors
/// Fails when the web view can't be started.
pub fn open<R: Runtime>(app: &tauri::App<R>, theme: &str) -> tauri::Result<()> {
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("Rehost")
        .inner_size(1440.0, 900.0)
        .min_inner_size(1024.0, 680.0)
        .center()
        .visible(false)
        .theme(native(theme))
        .on_page_load(|window, page| {
            if page.event() == PageLoadEvent::Finished {
                show(&window);
            }
        })
        .build()?;
    paint(&window, theme);
    tauri::async_runtime::spawn(async move {
        tokio::time::sleep(SHOW_ANYWAY).await;
        show(&window);
    });
    Ok(())
}

/// Gives the window the theme (`light`, `dark`, `system`) and its background.
pub fn paint<R: Runtime>(window: &WebviewWindow<R>, theme: &str) {
    let done = window.set_theme(native(theme)).and_then(|()| {
        let dark = native(theme).map_or_else(|| window.theme().is_ok_and(|t| t == Theme::Dark), |t| t == Theme::Dark);
        window.set_background_color(Some(if dark { DARK } else { LIGHT }))
    });
    if let Err(e) = done {
        tracing::warn!(error = %e, theme, "the window can't take the theme");
    }
}

/// A close request during a live run becomes a question.
pub fn event<R: Runtime>(window: &Window<R>, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api: request, .. } = event else {
        return;
    };
    let Some(app) = window.try_state::<Arc<App>>() else {
        return;
    };
    let question = app.close_question();
    if question.ask {
        request.prevent_close();
        if let Err(e) = window.emit(CLOSE_ASKED, &question) {
            // The page can't ask: keep the window open, nothing is lost.
            tracing::error!(error = %e, "the page can't be asked about closing");
        }
    }
}

fn show<R: Runtime>(window: &WebviewWindow<R>) {
    if window.is_visible().is_ok_and(|visible| visible) {
        return;
    }
    match window.show().and_then(|()| window.set_focus()) {
        Ok(()) => tracing::info!("the window is shown"),
        Err(e) => tracing::warn!(error = %e, "the window can't be shown"),
    }
}

fn native(theme: &str) -> Option<Theme> {
    match theme {
        "light" => Some(Theme::Light),
        "dark" => Some(Theme::Dark),
        _ => None,
    }
}
