//! A small WebDriver client: a display of its own, tauri-driver, and the handful of calls the tests need.
//!
//! Written by hand because a client library brings more than a hundred crates, and its capabilities confuse tauri-driver,
//! which passes on `tauri:options` and nothing else.

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
        let driver = judge("tauri-driver", "REHOST_TAURI_DRIVER", "cargo install tauri-driver");
        let native = judge(
            "WebKitWebDriver",
            "REHOST_WEBKIT_DRIVER",
            "Debian package webkit2gtk-driver",
        );
        let (port, native_port) = (free_port(), free_port());
        let driver = Command::new(driver)
            .args(["--port", &port, "--native-port", &native_port, "--native-driver"])
            .arg(native)
            .env("DISPLAY", &display.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("GDK_BACKEND", "x11")
            .env("REHOST_HOME", home.folder.path())
            .env("REHOST_TEST_DIALOG_DIR", home.path("dialogs"))
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .env("NO_AT_BRIDGE", "1")
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
        until("tauri-driver listens", async || {
            http.get(format!("{address}/status")).send().await.ok()
        })
        .await;
        let options = json!({"application": crate::support::program("rehost"), "args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"tauri:options": options}}});
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
        let css = if what.contains('[') {
            what.to_owned()
        } else {
            format!("[data-testid='{what}']")
        };
        let found = self
            .post("element", json!({"using": "css selector", "value": css}))
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

    /// Waits until it is there and takes a click.
    pub async fn click(&self, what: &str) {
        let clicked = until(what, async || {
            let element = self.find(what).await?;
            self.post(&format!("element/{}/click", element.0), json!({})).await.ok()
        });
        if tokio::time::timeout(APPEARS, clicked).await.is_err() {
            panic!("{what} can't be clicked; the page says:\n{}", self.text().await);
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
        // Colours and dialogs fade in; a picture halfway would show neither state. What turns for ever is left out.
        until("nothing moves any more", async || {
            let moving = "return document.getAnimations().filter((a) => a.playState === 'running'
                && a.effect.getComputedTiming().iterations !== Infinity).length";
            (self.script(moving).await == 0).then_some(())
        })
        .await;
        let picture = self.get("screenshot").await.unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// True while the window answers.
    pub async fn is_open(&self) -> bool {
        self.get("url").await.is_ok()
    }

    /// Ends the program and its driver.
    pub async fn close(mut self) {
        let _ = self.ask(self.http.delete(&self.session)).await;
        let _ = self.driver.kill().await;
    }
}

/// A port that was free a moment ago: tauri-driver can't choose one itself.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string()
}
