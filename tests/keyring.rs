//! A real keyring (gnome-keyring on a D-Bus session of its own) keeps the vCenter password over a restart; a locked one,
//! or none at all, is said, and secrets then last for this start only.

use crate::{
    discovery::{PASSWORD, USER, Vcsim},
    support::{Harness, Home, judge, together, until},
};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

/// A message bus for one test.
struct Bus {
    _daemon: Child,
    address: String,
    folder: PathBuf,
}

impl Bus {
    async fn start(home: &Home) -> Self {
        let folder = home.path("session");
        std::fs::create_dir_all(&folder).unwrap();
        let program = judge("dbus-daemon", "REHOST_DBUS_DAEMON", "Debian package dbus");
        let mut daemon = Command::new(program)
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address=unix:path={}", folder.join("bus").display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = BufReader::new(daemon.stdout.take().unwrap())
            .lines()
            .next_line()
            .await
            .unwrap()
            .unwrap();
        Self {
            _daemon: daemon,
            address,
            folder,
        }
    }

    fn of(&self, command: &mut Command) {
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("XDG_DATA_HOME", self.folder.join("data"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
    }

    /// The keyring: unlocked with its password, or as it is after signing in without one.
    async fn keyring(&self, unlocked: bool) -> Child {
        let program = judge("gnome-keyring-daemon", "REHOST_KEYRING", "Debian package gnome-keyring");
        let mut command = Command::new(program);
        command
            .args(["--foreground", "--components=secrets"])
            .args(unlocked.then_some("--unlock"));
        self.of(&mut command);
        let mut daemon = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        if unlocked {
            let mut stdin = daemon.stdin.take().unwrap();
            stdin.write_all(b"the keyring's own password").await.unwrap();
        }
        until("the keyring is on the bus", async || {
            let mut ask = Command::new("dbus-send");
            ask.args([
                "--session",
                "--print-reply",
                "--dest=org.freedesktop.DBus",
                "/org/freedesktop/DBus",
            ])
            .args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
            self.of(&mut ask);
            let answer = ask.output().await.unwrap();
            String::from_utf8_lossy(&answer.stdout)
                .contains("boolean true")
                .then_some(())
        })
        .await;
        daemon
    }

    async fn harness(&self, home: &Home) -> Harness {
        Harness::start(home, |c| self.of(c)).await
    }
}

async fn kept(harness: &Harness) -> Value {
    until("it is known where secrets are kept", async || {
        let secrets = harness.call("app_info", json!({})).await.unwrap()["secrets"].clone();
        (secrets["kept"] != "opening").then_some(secrets)
    })
    .await
}

async fn save_password(harness: &Harness, view: &Value, vcsim: &Vcsim) -> Value {
    let mut connections = view["connections"]["connections"].clone();
    connections["vcenter"] = json!({"url": vcsim.url, "user": USER, "thumbprint": vcsim.thumbprint});
    let arguments = json!({"project": view["path"], "kind": "vcenter", "connections": connections, "secret": PASSWORD});
    harness.call("connection_save", arguments).await.unwrap()
}

async fn signs_in(harness: &Harness, project: &Value) {
    let test = harness
        .call("connection_test", json!({"project": project, "kind": "vcenter"}))
        .await
        .unwrap();
    // Rights on the machines of the plan are another matter: the simulator does not have them.
    let steps = test["steps"].as_array().unwrap();
    let signed_in = steps.iter().any(|s| s["title"] == "Sign in" && s["ok"] == true);
    assert!(signed_in, "{test}");
}

#[tokio::test]
async fn a_real_keyring_keeps_the_password_over_a_restart() {
    let _machine = together().await;
    let home = Home::new();
    let (bus, vcsim) = (Bus::start(&home).await, Vcsim::start(&home, &["-vm", "1"]).await);
    let _keyring = bus.keyring(true).await;

    let first = bus.harness(&home).await;
    assert_eq!(kept(&first).await["kept"], "keyring");
    let view = first.call("project_new", json!({"name": "Keyring"})).await.unwrap();
    let saved = save_password(&first, &view, &vcsim).await;
    assert_eq!(saved["vcenterPasswordStored"], true, "{saved}");
    drop(first);

    let second = bus.harness(&home).await;
    kept(&second).await;
    let view = second
        .call("project_open", json!({"path": view["path"]}))
        .await
        .unwrap();
    assert_eq!(view["connections"]["vcenterPasswordStored"], true, "{view}");
    signs_in(&second, &view["path"]).await;
    drop(second);
    let file = std::fs::read(view["path"].as_str().unwrap()).unwrap();
    assert!(!contains(&file, PASSWORD), "the password is in the project file");
}

#[tokio::test]
async fn a_locked_keyring_is_said_and_secrets_last_for_this_start() {
    let _machine = together().await;
    let home = Home::new();
    let (bus, vcsim) = (Bus::start(&home).await, Vcsim::start(&home, &["-vm", "1"]).await);
    let mut keyring = bus.keyring(true).await;
    // The first secret makes the keyring's file; the next daemon finds it locked.
    let harness = bus.harness(&home).await;
    kept(&harness).await;
    let view = harness.call("project_new", json!({"name": "First"})).await.unwrap();
    save_password(&harness, &view, &vcsim).await;
    drop(harness);
    keyring.kill().await.unwrap();
    let _locked = bus.keyring(false).await;
    this_start_only(&bus.harness(&home).await, &vcsim, async || bus.harness(&home).await).await;
}

#[tokio::test]
async fn without_a_keyring_secrets_last_for_this_start() {
    let _machine = together().await;
    let home = Home::new();
    let vcsim = Vcsim::start(&home, &["-vm", "1"]).await;
    let start = async || Harness::start(&home, |_| {}).await;
    this_start_only(&start().await, &vcsim, start).await;
}

async fn this_start_only(harness: &Harness, vcsim: &Vcsim, again: impl AsyncFn() -> Harness) {
    let secrets = kept(harness).await;
    assert_eq!(secrets["kept"], "thisStartOnly", "{secrets}");
    for part in ["reason", "hint"] {
        assert!(
            secrets[part].as_str().is_some_and(|t| !t.is_empty()),
            "no {part}: {secrets}"
        );
    }
    let view = harness
        .call("project_new", json!({"name": "This start"}))
        .await
        .unwrap();
    save_password(harness, &view, vcsim).await;
    signs_in(harness, &view["path"]).await;
    harness
        .call("project_close", json!({"project": view["path"]}))
        .await
        .unwrap();

    let next = again().await;
    kept(&next).await;
    let view = next.call("project_open", json!({"path": view["path"]})).await.unwrap();
    assert_eq!(view["connections"]["vcenterPasswordStored"], false, "{view}");
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}
