//! A small WebDriver client: a display of its own, WebKit's driver, and the handful of calls the tests need.
//!
//! Written by hand because a client library brings more than a hundred crates. WebKit's own driver is spoken to without
//! tauri-driver between: that only translates the capabilities, leaves its child behind when it ends, and sometimes
//! answered nothing when a session was asked for on a busy machine.

use crate::support::{Home, judge, until};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use x11rb::{
    connection::Connection,
    protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask},
};

/// A screen that nobody sees.
pub struct Display {
    _server: Child,
    pub name: String,
}

impl Display {
    pub async fn start() -> Self {
        let mut server = Command::new(judge("Xvfb", "REHOST_XVFB", "Debian package xvfb"))
            .args(["-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let number = BufReader::new(server.stdout.take().unwrap())
            .lines()
            .next_line()
            .await
            .unwrap();
        Self {
            _server: server,
            name: format!(":{}", number.expect("the display has a number")),
        }
    }

    /// What a window manager does when the person clicks the cross: asks the window to close.
    pub fn ask_to_close(&self, title: &str) {
        let (connection, screen) = x11rb::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let atom = |name: &[u8]| connection.intern_atom(false, name).unwrap().reply().unwrap().atom;
        let (protocols, delete) = (atom(b"WM_PROTOCOLS"), atom(b"WM_DELETE_WINDOW"));
        let mut asked = 0;
        for window in connection.query_tree(root).unwrap().reply().unwrap().children {
            let name = connection
                .get_property(false, window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 64)
                .unwrap()
                .reply()
                .unwrap();
            if name.value == title.as_bytes() {
                let event = ClientMessageEvent::new(32, window, protocols, [delete, x11rb::CURRENT_TIME, 0, 0, 0]);
                connection
                    .send_event(false, window, EventMask::NO_EVENT, event)
                    .unwrap();
                asked += 1;
            }
        }
        // A question with an answer: after it the server has taken everything before.
        connection.get_input_focus().unwrap().reply().unwrap();
        assert!(asked > 0, "there is no window with the title {title}");
    }
}

/// The program's window under a WebDriver session.
pub struct Window {
    driver: Child,
    http: reqwest::Client,
    session: String,
}

/// A WebDriver element's id.
pub struct Element(String);

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long a thing may take to appear on screen.
const APPEARS: Duration = Duration::from_secs(30);

impl Window {
    /// Starts the program as a user of this home would.
    pub async fn open(display: &Display, home: &Home, arguments: &[&str]) -> Self {
        let driver = judge(
            "WebKitWebDriver",
            "REHOST_WEBKIT_DRIVER",
            "Debian package webkit2gtk-driver",
        );
        let port = free_port();
        let driver = Command::new(driver)
            .args([&format!("--port={port}"), "--host=127.0.0.1"])
            .env("DISPLAY", &display.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("GDK_BACKEND", "x11")
            .env("REHOST_HOME", home.folder.path())
            .env("REHOST_TEST_DIALOG_DIR", home.path("dialogs"))
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .env("NO_AT_BRIDGE", "1")
            // Tauri lets a driver in when it is asked to by this variable.
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            // The program turns this renderer off unless the variable is set; without it WebKit's screenshots wait for a
            // frame that never comes.
            .env("WEBKIT_DISABLE_DMABUF_RENDERER", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        let address = format!("http://127.0.0.1:{port}");
        until("WebKitWebDriver listens", async || {
            http.get(format!("{address}/status")).send().await.ok()
        })
        .await;
        let options = json!({"binary": crate::support::program("rehost"), "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}});
        let answer: Value = http
            .post(format!("{address}/session"))
            .json(&wanted)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {answer}"));
        Self {
            driver,
            session: format!("{address}/session/{id}"),
            http,
        }
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let mut answer: Value = request
            .send()
            .await
            .map_err(|e| e.to_string())?
            .json()
            .await
            .map_err(|e| e.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(self.http.get(format!("{}/{path}", self.session))).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(self.http.post(format!("{}/{path}", self.session)).json(&body))
            .await
    }

    /// The element with a test id, or one that a CSS selector finds; none when it isn't there now.
    pub async fn find(&self, what: &str) -> Option<Element> {
        let found = self
            .post("element", json!({"using": "css selector", "value": selector(what)}))
            .await
            .ok()?;
        found[ELEMENT].as_str().map(|id| Element(id.to_owned()))
    }

    /// Waits until it is on screen.
    pub async fn wait_for(&self, what: &str) -> Element {
        match tokio::time::timeout(APPEARS, until(what, async || self.find(what).await)).await {
            Ok(element) => element,
            Err(_) => panic!("{what} did not appear; the page says:\n{}", self.text().await),
        }
    }

    /// Waits until it is on screen no more.
    pub async fn wait_until_gone(&self, what: &str) {
        let gone = until(what, async || self.find(what).await.is_none().then_some(()));
        if tokio::time::timeout(APPEARS, gone).await.is_err() {
            let html = format!("return document.querySelector({})?.outerHTML", json!(selector(what)));
            let html = self.script(&html).await;
            panic!("{what} stays: {html}; the page says:\n{}", self.text().await);
        }
    }

    /// Waits until an element and all around it stands still. Colours and dialogs fade in: a picture halfway shows
    /// neither state, and a click may fall beside a button that moves. What turns for ever is left out.
    async fn wait_until_still(&self, css: &str) {
        let moving = format!(
            "const wanted = [...document.querySelectorAll({})];
            return document.getAnimations().filter((a) => a.playState === 'running'
                && a.effect.getComputedTiming().iterations !== Infinity
                && wanted.some((w) => a.effect.target.contains(w))).length",
            json!(css)
        );
        until("nothing moves any more", async || {
            (self.script(&moving).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until it is there and takes a click.
    pub async fn click(&self, what: &str) {
        self.wait_for(what).await;
        self.wait_until_still(&selector(what)).await;
        let clicked = until(what, async || {
            let element = self.find(what).await?;
            self.post(&format!("element/{}/click", element.0), json!({})).await.ok()
        });
        if tokio::time::timeout(APPEARS, clicked).await.is_err() {
            let why = match self.find(what).await {
                Some(element) => format!(
                    "{:?}",
                    self.post(&format!("element/{}/click", element.0), json!({})).await
                ),
                None => "it is gone".to_owned(),
            };
            panic!("{what} can't be clicked: {why}; the page says:\n{}", self.text().await);
        }
    }

    /// Clicks something that ends the window: there may be nobody left to answer.
    pub async fn click_and_leave(&self, what: &str) {
        let element = self.wait_for(what).await;
        let _ = self.post(&format!("element/{}/click", element.0), json!({})).await;
    }

    pub async fn write(&self, what: &str, text: &str) {
        let element = self.wait_for(what).await;
        self.post(&format!("element/{}/value", element.0), json!({"text": text}))
            .await
            .unwrap();
    }

    pub async fn attribute(&self, what: &str, name: &str) -> Option<String> {
        let element = self.find(what).await?;
        self.get(&format!("element/{}/attribute/{name}", element.0))
            .await
            .ok()?
            .as_str()
            .map(str::to_owned)
    }

    pub async fn script(&self, body: &str) -> Value {
        self.post("execute/sync", json!({"script": body, "args": []}))
            .await
            .unwrap()
    }

    /// Everything that can be read in the window.
    pub async fn text(&self) -> String {
        self.script("return document.body.innerText")
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub async fn screenshot(&self, file: &Path) {
        self.wait_until_still("*").await;
        let picture = self.get("screenshot").await.unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// True while the window answers.
    pub async fn is_open(&self) -> bool {
        self.get("url").await.is_ok()
    }

    /// Ends the program and its driver; returns when the program has let go of everything.
    pub async fn close(mut self) {
        let _ = self.ask(self.http.delete(&self.session)).await;
        let children = self.driver.id().map(|d| format!("/proc/{d}/task/{d}/children"));
        until("the program has ended", async || {
            let all = std::fs::read_to_string(children.as_deref()?).unwrap_or_default();
            // One that has ended stays in the list until its parent asks, and holds its files until its last thread ended.
            let runs = |pid| {
                let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                threads > 1 || (threads == 1 && !stat.contains(") Z "))
            };
            (!all.split_whitespace().any(runs)).then_some(())
        })
        .await;
        let _ = self.driver.kill().await;
    }
}

/// A CSS selector stays one; a test id becomes one.
fn selector(what: &str) -> String {
    if what.contains('[') {
        what.to_owned()
    } else {
        format!("[data-testid='{what}']")
    }
}

/// A port that was free a moment ago: the driver doesn't say which one it chose.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string()
}
