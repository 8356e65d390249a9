//! Whole rehearsals with every exchange with the resource manager kept: one for each combination of methods, and one for
//! each fault script. Made once, for whoever asks first; foreign programs judge them.

use crate::support::{Ended, Home, LabProcess, PATIENCE, certificate_brought, top};
use serde_json::Value;
use std::{
    io::{Seek, Write},
    path::Path,
    sync::Arc,
};
use tokio::{
    process::Command,
    sync::{OnceCell, Semaphore},
    task::JoinSet,
};

/// Every way to get a machine and a database to Azure.
pub const COMBINATIONS: &[(&str, &str)] = &[
    ("inmage-rcm", "log-replay"),
    ("inmage-rcm", "dms-offline"),
    ("inmage-rcm", "dms-online"),
    ("vmware-cbt", "log-replay"),
    ("vmware-cbt", "dms-offline"),
    ("vmware-cbt", "dms-online"),
];

/// Enough of them to have every method once.
const EACH_METHOD: &[(&str, &str)] = &[
    ("inmage-rcm", "log-replay"),
    ("vmware-cbt", "dms-offline"),
    ("inmage-rcm", "dms-online"),
];

/// What went over the wire.
#[derive(Debug, Clone)]
pub struct Recording {
    pub name: String,
    /// What the program that sent the requests printed at its end.
    pub said: Value,
    /// Pairs in the words of oav's validator, oldest first.
    pub exchanges: Vec<Value>,
}

/// Rehearsals of all combinations of methods.
pub async fn combinations() -> &'static [Recording] {
    static MADE: OnceCell<Vec<Recording>> = OnceCell::const_new();
    MADE.get_or_init(|| {
        side_by_side(COMBINATIONS.iter().map(|(replication, database)| async move {
            let methods = ["--replication", replication, "--database", database];
            rehearsed(format!("{replication} {database}"), &[], &methods, None).await
        }))
    })
    .await
}

/// Rehearsals under all fault scripts, each with methods that it can be played with; and one in which Rehost brings the
/// certificate that a script lets be missing.
pub async fn faults() -> &'static [Recording] {
    static MADE: OnceCell<Vec<Recording>> = OnceCell::const_new();
    MADE.get_or_init(async || {
        let scripts = Home::new().run(&["faults"]).await.must_end_with(0).json.clone();
        let scripts = scripts.as_array().unwrap().clone();
        let brought = scripts.iter().find(|s| s["id"] == "certificate-missing").cloned();
        let all = scripts.into_iter().map(|s| (s, false));
        let all = all.chain(brought.map(|s| (s, true)));
        side_by_side(all.map(|(script, brought)| async move {
            let id = script["id"].as_str().unwrap();
            let fits = |(replication, database): &&(&str, &str)| {
                let wire = |v: &Value| v.as_str().unwrap_or_default().replace('-', "").to_lowercase();
                let plain = |name: &str| name.replace('-', "");
                let databases = script["databaseMethods"].as_array().unwrap();
                (script["replication"].is_null() || wire(&script["replication"]) == plain(replication))
                    && (databases.is_empty() || databases.iter().any(|d| wire(d) == plain(database)))
            };
            let (replication, database) = COMBINATIONS
                .iter()
                .find(fits)
                .unwrap_or_else(|| panic!("the script {id} can be played with no methods: {script}"));
            let backups = if script["backups"] == "Share" {
                "share"
            } else {
                "container"
            };
            let methods = [
                "--replication",
                replication,
                "--database",
                database,
                "--backups",
                backups,
            ];
            let (name, project) = if brought {
                ("certificate-brought", Some(certificate_brought as fn(&Path)))
            } else {
                (id, None)
            };
            rehearsed(name.to_owned(), &["--fault", id], &methods, project).await
        }))
        .await
    })
    .await
}

/// A whole rehearsal with a lab of its own, of the sample or the project that is made; the command line plays the people who
/// remove what is in its way.
async fn rehearsed(name: String, lab: &[&str], run: &[&str], project: Option<fn(&Path)>) -> Recording {
    let home = Home::new();
    if let Some(make) = project {
        make(&home.path("p.rehost"));
    }
    let lab = LabProcess::start(&home, &[&["--record"], lab].concat()).await;
    let ended = Ended::of(&mut lab.run(&home, &home.path("p.rehost"), run)).await;
    ended.must_end_with(0);
    kept(name, &ended, &lab).await
}

/// The scenario as Microsoft's clients carry it out, once for each method of each kind.
pub async fn microsofts() -> &'static [Recording] {
    static MADE: OnceCell<Vec<Recording>> = OnceCell::const_new();
    MADE.get_or_init(|| {
        side_by_side(EACH_METHOD.iter().map(|(replication, database)| async move {
            let home = Home::new();
            // Time goes on when the clients wait, and not otherwise: each run is like the one before.
            let lab = LabProcess::start(&home, &["--record", "--speed", "1"]).await;
            let arguments = [lab.text("control"), &lab.ca_file, replication, database];
            let ended = python("python/scenario.py", &arguments, "").await;
            ended.must_end_with(0);
            kept(format!("{replication} {database}"), &ended, &lab).await
        }))
    })
    .await
}

/// A script below tests/judges that uses Microsoft's or VMware's clients for Python, in the environment that `cargo xtask test` installs.
pub async fn python(script: &str, arguments: &[&str], input: &str) -> Ended {
    let python = top().join(if cfg!(windows) {
        "target/judges-python/Scripts/python.exe"
    } else {
        "target/judges-python/bin/python"
    });
    assert!(
        python.is_file(),
        "Microsoft's Python clients are not installed; `cargo xtask test` does it, from tests/judges/python/requirements.txt"
    );
    let script = top().join("tests/judges").join(script);
    let mut asked = tempfile::tempfile().unwrap();
    asked.write_all(input.as_bytes()).unwrap();
    asked.rewind().unwrap();
    // -B: no byte code is written beside the scripts.
    Ended::of(Command::new(python).arg("-B").arg(script).args(arguments).stdin(asked)).await
}

async fn kept(name: String, ended: &Ended, lab: &LabProcess) -> Recording {
    // The lab's own port is all that differs between two recordings of the same thing.
    let (here, _) = lab.text("blob").split_once("/{account}").unwrap();
    let text = lab
        .get("exchanges")
        .await
        .to_string()
        .replace(here, "https://blob.invalid");
    let exchanges = serde_json::from_str(&text).unwrap();
    Recording {
        name,
        exchanges,
        said: ended.json.clone(),
    }
}

/// Two at a time, in the order given: a rehearsal keeps more than one processor busy, and patience has an end.
async fn side_by_side<F>(work: impl Iterator<Item = F>) -> Vec<Recording>
where
    F: Future<Output = Recording> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(2));
    let mut running = JoinSet::new();
    for (number, one) in work.enumerate() {
        let free = free.clone();
        running.spawn(async move {
            let _turn = free.acquire_owned().await.unwrap();
            (
                number,
                tokio::time::timeout(PATIENCE, one)
                    .await
                    .expect("a rehearsal should have ended"),
            )
        });
    }
    let mut made: Vec<_> = running.join_all().await;
    made.sort_by_key(|(number, _)| *number);
    made.into_iter().map(|(_, recording)| recording).collect()
}
