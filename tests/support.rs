//! Programs, folders and labs for the tests.

use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// No healthy program of ours keeps a test waiting longer than this.
pub const PATIENCE: Duration = Duration::from_secs(120);

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Other tests may run meanwhile.
pub async fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// No other test runs meanwhile: for measurements.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// The repository.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folder of foreign material: specifications.
pub fn shared() -> PathBuf {
    env::var_os("REHOST_SHARED").map_or_else(|| top().join("../shared"), PathBuf::from)
}

/// A program of ours, built beside the window.
pub fn program(name: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_BIN_EXE_rehost")).with_file_name(name);
    assert!(
        found.is_file(),
        "{} is not built; type `cargo xtask test`, or `cargo build --locked --workspace --all-targets` before `cargo test`",
        found.display()
    );
    found
}

/// A program somebody else wrote.
pub fn judge(name: &str, variable: &str, package: &str) -> PathBuf {
    let given = env::var_os(variable).map(PathBuf::from);
    let on_path = || {
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|d| d.join(name))
            .find(|p| p.is_file())
    };
    let built = || Some(top().join("target").join(name)).filter(|p| p.is_file());
    given.filter(|p| p.is_file()).or_else(built).or_else(on_path).unwrap_or_else(|| {
        panic!("the judge {name} is missing; `cargo xtask test` installs it ({package}), and {variable} can name another one")
    })
}

/// A user's home of its own: settings, projects, logs, and no keyring unless a test gives one.
pub struct Home {
    pub folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of ours in this home.
    pub fn command(&self, name: &str) -> Command {
        let mut c = Command::new(program(name));
        c.env("REHOST_HOME", self.folder.path())
            // An address nobody listens at: the developer's own keyring is none of our business.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .env_remove("REHOST_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        c
    }

    /// `rehost-cli` with `--json`.
    pub fn cli(&self, arguments: &[&str]) -> Command {
        let mut c = self.command("rehost-cli");
        c.args(arguments).arg("--json");
        c
    }

    /// Runs `rehost-cli --json` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.cli(arguments)).await
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    /// Its JSON, null when there is none.
    pub json: Value,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ended {
    pub async fn of(command: &mut Command) -> Self {
        let begun = Instant::now();
        command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let Output { status, stdout, stderr } = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("the program should have ended")
            .unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        let json = serde_json::from_str(&stdout).unwrap_or_default();
        Self {
            code: status.code(),
            json,
            stdout,
            stderr,
            took: begun.elapsed(),
        }
    }

    /// Fails the test with everything the program said.
    #[track_caller]
    pub fn must_end_with(&self, code: i32) -> &Self {
        let tail: String = self
            .stderr
            .lines()
            .rev()
            .take(30)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(self.code, Some(code), "it said:\n{}\n{tail}", self.stdout);
        self
    }

    /// The error with title, detail and hint, which must all be there for a person.
    #[track_caller]
    pub fn error(&self) -> &Value {
        let error = &self.json["error"];
        for part in ["title", "detail", "hint"] {
            assert!(
                error[part].as_str().is_some_and(|t| !t.is_empty()),
                "the error has no {part}: {}\n{}",
                self.stdout,
                self.stderr
            );
        }
        error
    }
}

/// Reads one JSON document, which may span lines, and leaves the rest.
pub async fn first_json(from: impl AsyncRead + Unpin) -> Value {
    let mut lines = BufReader::new(from).lines();
    let mut text = String::new();
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            text.push_str(&line);
            if let Ok(value) = serde_json::from_str(&text) {
                return value;
            }
        }
        panic!("no JSON came, only: {text}");
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("a JSON document should have come")
}

/// Asks a process of somebody else again and again until it says so.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A lab in a process of its own.
pub struct LabProcess {
    _child: Child,
    pub addresses: Value,
    pub ca_file: String,
    http: reqwest::Client,
}

impl LabProcess {
    pub async fn start(home: &Home, arguments: &[&str]) -> Self {
        let ca = home.path("lab-ca.pem");
        let mut all = vec!["lab", "--ca-file", ca.to_str().unwrap()];
        all.extend(arguments);
        let mut child = home.cli(&all).stdout(Stdio::piped()).spawn().unwrap();
        let addresses = first_json(child.stdout.take().unwrap()).await;
        let ca_file = addresses["caFile"]
            .as_str()
            .expect("the lab names its CA file")
            .to_owned();
        let pem = std::fs::read(&ca_file).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .no_proxy()
            .build()
            .unwrap();
        Self {
            _child: child,
            addresses,
            ca_file,
            http,
        }
    }

    pub fn text(&self, key: &str) -> &str {
        self.addresses[key]
            .as_str()
            .unwrap_or_else(|| panic!("the lab has no {key}: {}", self.addresses))
    }

    /// Reads from the control endpoint.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}/{path}", self.text("control"));
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Writes to the control endpoint.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.text("control"));
        self.http
            .post(url)
            .json(body)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// `rehost-cli run` against this lab.
    pub fn run(&self, home: &Home, project: &Path, more: &[&str]) -> Command {
        let project = project.to_str().unwrap();
        let mut all = vec![
            "run",
            "--project",
            project,
            "--lab",
            self.text("control"),
            "--lab-ca",
            &self.ca_file,
        ];
        all.extend(more);
        home.cli(&all)
    }
}

/// A rehearsal's project in which everything that Rehost can do around the database is chosen, and its proof.
pub fn around_and_proved(path: &Path) {
    let mut project = plan::smarthotel::project("around", plan::Connections::default(), 10_000, 2018);
    project.design.around = Some(plan::around::AroundDesign::default());
    project.design.certificate = true;
    project.design.prove = Some(plan::around::ProveDesign {
        checksums: vec!["dbo.Hotels".into(), "dbo.Bookings".into()],
        checkdb: true,
        ..Default::default()
    });
    drop(engine::ProjectFile::create(path, &project).unwrap());
}

/// A rehearsal's project in which Rehost brings the certificate of the encrypted database.
pub fn certificate_brought(path: &Path) {
    let mut project = plan::smarthotel::project("certificate", plan::Connections::default(), 10_000, 2018);
    project.design.certificate = true;
    drop(engine::ProjectFile::create(path, &project).unwrap());
}

/// A rehearsal's project in which Rehost backs the source up.
pub fn backed_up(path: &Path) {
    let mut project = plan::smarthotel::project("backups", plan::Connections::default(), 10_000, 2018);
    project.design.backups = Some(plan::backup::BackupDesign {
        files: 2,
        differential: true,
        ..Default::default()
    });
    drop(engine::ProjectFile::create(path, &project).unwrap());
}

/// A development host of the window's commands.
pub struct Harness {
    _child: Child,
    pub origin: String,
    http: reqwest::Client,
}

impl Harness {
    pub async fn start(home: &Home, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = home.command("harness");
        command
            .args(["--port", "0"])
            .env("REHOST_TEST_DIALOG_DIR", home.path("dialogs"))
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let origin = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .expect("the harness says where it is");
        Self {
            _child: child,
            origin,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Calls a command of the table.
    pub async fn call(&self, command: &str, arguments: Value) -> Result<Value, Value> {
        let url = format!("{}/rpc/{command}", self.origin);
        let mut answer: Value = self
            .http
            .post(url)
            .json(&arguments)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if answer["error"].is_null() {
            Ok(answer["ok"].take())
        } else {
            Err(answer["error"].take())
        }
    }
}
