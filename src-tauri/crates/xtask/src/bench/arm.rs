//! What one call to the resource manager costs our client, beside `curl` and Microsoft's client for Python: the same
//! GET of a resource group, on one connection each, against the same simulated Azure, in turns, in the same run.
//!
//! A call counts from before the request is built until its answer is a value; for curl it is `time_total` of a transfer
//! on a connection that is open. Everything is built for release. The first calls of each round, which open the
//! connection and sign in, do not count. The figure of a program is the median of its rounds' medians; their spread is
//! the machine's noise, and is printed.
//!
//! Our client is measured on one thread, as curl and Python run, and in a task of the runtime that the program has, as
//! the engine makes its calls. Beside it the bare HTTP library makes the same GET in both: what it pays there for a second
//! thread is the runtime's cost and not the client's, and is taken off. A run also writes a trace; that is shown, and not
//! judged, because neither curl nor Python writes one.

use super::{built, python};
use crate::run::{cargo, command, output, run};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

const FOLDER: &str = "target/bench-arm";
const SCRIPT: &str = include_str!("arm_calls.py");
/// Of Microsoft's client for Python, MIT.
const REQUIREMENTS: [&str; 2] = ["azure-mgmt-resource==26.0.0", "azure-core==1.41.0"];
/// Calls at the beginning of a round that don't count.
const WARM: usize = 20;
/// What must be reached: at most so many times curl's, and at most this share of Python's.
const OF_CURL: f64 = 1.5;
const OF_PYTHON: f64 = 0.2;

/// The simulated Azure in a process of its own; ends with it.
struct Azure {
    child: Child,
    addresses: Value,
    ca: String,
}

impl Drop for Azure {
    fn drop(&mut self) {
        // Its standard input closes, and it ends by itself.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Measures and judges.
///
/// # Errors
/// When something can't be built or run, and when the figures miss what must be reached.
pub(crate) fn bench(rounds: usize, calls: usize) -> Result<()> {
    fs::create_dir_all(FOLDER)?;
    let folder = fs::canonicalize(FOLDER)?;
    run(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "azure",
        "--example",
        "arm_calls",
    ]))?;
    fs::write(folder.join("arm_calls.py"), SCRIPT)?;
    let python = python(&folder, &REQUIREMENTS)?;
    let program = built("arm_calls");
    let azure = serve(&program, &folder)?;
    let (address, subscription) = (azure.text("arm")?, azure.text("subscriptionId")?);
    let url = format!("{address}/subscriptions/{subscription}/resourceGroups/bench?api-version=2024-07-01");
    let token = azure.token(&folder)?;
    let mut with_token = azure.addresses.clone();
    with_token["token"] = token.clone().into();

    let transfers = folder.join("curl.conf");
    let mut text = format!(
        "silent\nfail\nnoproxy = \"*\"\ncacert = \"{}\"\nheader = \"Authorization: Bearer {token}\"\nheader = \"Accept: application/json\"\nwrite-out = \"%{{time_total}}\\n\"\n",
        azure.ca
    );
    for _ in 0..calls + WARM {
        write!(text, "url = \"{url}\"\noutput = \"/dev/null\"\n")?;
    }
    fs::write(&transfers, text)?;
    let number = (calls + WARM).to_string();

    let ours = |who: &'static str, at: &'static str| {
        let (program, number, addresses) = (&program, &number, azure.addresses.to_string());
        move || median_of(&mut command(program, &["measure", who, at, number]), &addresses, 1.0)
    };
    let curl = || {
        let mut measure = Command::new("curl");
        median_of(measure.arg("--config").arg(&transfers), "", 1e6)
    };
    let microsoft = || {
        let mut measure = Command::new(&python);
        measure.arg(folder.join("arm_calls.py")).arg(&number).arg(&azure.ca);
        measure.env("NO_PROXY", "127.0.0.1");
        median_of(&mut measure, &with_token.to_string(), 1.0)
    };
    let programs: [(&str, &dyn Fn() -> Result<f64>); 7] = [
        ("ours, one thread", &ours("ours", "one")),
        ("ours, the program's runtime", &ours("ours", "program")),
        ("the same with a trace", &ours("traced", "program")),
        ("bare GET, one thread", &ours("bare", "one")),
        ("bare GET, the program's runtime", &ours("bare", "program")),
        ("curl", &curl),
        ("Microsoft's Python", &microsoft),
    ];
    let mut medians = programs.map(|_| vec![]);
    println!("{} processors, load of the machine: {}", processors(), load());
    for round in 1..=rounds.max(1) {
        print!("round {round}:");
        for ((name, measure), medians) in programs.iter().zip(&mut medians) {
            let median = measure()?;
            print!(" {name} {median:.0};");
            medians.push(median);
        }
        println!(" µs");
    }
    println!("load of the machine: {}", load());
    let names = programs.map(|(name, _)| name);
    drop(azure);

    let mut figures = [0.0; 7];
    for ((figure, name), medians) in figures.iter_mut().zip(names).zip(medians) {
        *figure = told(name, medians);
    }
    let [one, many, _, bare_one, bare_many, curl, python] = figures;
    let second = (bare_many - bare_one).max(0.0);
    println!("the second thread costs the bare GET {second:.0} µs a call");
    let mut good = true;
    for (at, ours) in [
        ("one thread", one),
        ("the program's runtime, without that", many - second),
    ] {
        let kept = ours <= OF_CURL * curl && ours <= OF_PYTHON * python;
        good &= kept;
        println!(
            "{}: on {at} a call of ours is {:.2} of curl's (at most {OF_CURL}) and {:.3} of Python's (at most {OF_PYTHON})",
            if kept { "passed" } else { "FAILED" },
            ours / curl,
            ours / python,
        );
    }
    if !good {
        bail!("a call costs too much");
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Of the last minute, and what runs now. Below the number of processors, the figures are the programs' own.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = load.split(' ').collect();
    match words[..] {
        [minute, _, _, running, _] => format!("{minute} ({running} running)"),
        _ => "not known".into(),
    }
}

/// Prints the figure of a program with its noise, and returns it.
fn told(who: &str, mut medians: Vec<f64>) -> f64 {
    medians.sort_by(f64::total_cmp);
    let median = medians[medians.len() / 2];
    println!(
        "{who}: median {median:.0} µs a call; rounds from {:.0} to {:.0} µs",
        medians[0],
        medians[medians.len() - 1]
    );
    median
}

/// Runs a program that prints a duration a line; the median in microseconds, without the first ones.
fn median_of(measure: &mut Command, input: &str, unit: f64) -> Result<f64> {
    let mut child = measure
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {:?}", measure.get_program()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        bail!("{:?} ended with {}", measure.get_program(), ended.status);
    }
    let text = String::from_utf8(ended.stdout)?;
    let mut times = text
        .lines()
        .skip(WARM)
        .map(|l| Ok(l.trim().parse::<f64>()? * unit))
        .collect::<Result<Vec<f64>>>()?;
    if times.is_empty() {
        bail!("{:?} measured nothing", measure.get_program());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn serve(program: &str, folder: &Path) -> Result<Azure> {
    let ca = folder.join("ca.pem").to_string_lossy().into_owned();
    let mut child = command(program, &["serve", &ca])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the simulated Azure")?;
    let mut line = String::new();
    let out = child.stdout.take().context("the simulated Azure has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let mut azure = Azure {
        child,
        addresses: Value::Null,
        ca,
    };
    azure.addresses = serde_json::from_str(&line).context("the simulated Azure did not say where it is")?;
    Ok(azure)
}

impl Azure {
    fn text(&self, key: &str) -> Result<&str> {
        self.addresses[key]
            .as_str()
            .with_context(|| format!("the simulated Azure names no {key}"))
    }

    /// Signs in as the simulated application.
    fn token(&self, folder: &Path) -> Result<String> {
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.text("authority")?,
            self.text("tenantId")?
        );
        let form = folder.join("form");
        fs::write(
            &form,
            format!(
                "grant_type=client_credentials&client_id={}&client_secret={}&scope={}/.default",
                self.text("clientId")?,
                self.text("clientSecret")?,
                self.text("arm")?
            ),
        )?;
        let data = format!("@{}", form.display());
        let answer = output(&mut command(
            "curl",
            &[
                "--silent",
                "--fail",
                "--noproxy",
                "*",
                "--cacert",
                &self.ca,
                "--data",
                &data,
                &url,
            ],
        ))?;
        let answer: Value = serde_json::from_str(&answer)?;
        Ok(answer["access_token"]
            .as_str()
            .context("the simulated Entra gave no token")?
            .to_owned())
    }
}
