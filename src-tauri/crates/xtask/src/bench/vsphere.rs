//! What reading and watching a large vCenter costs our client, beside `curl`, which only carries the bytes, and VMware's own
//! client for Python: 10,000 machines of VMware's simulator, the same requests, in turns, in the same run.
//!
//! Two readings are measured as the product makes them: the first pass over all machines (21 properties, with what they
//! stand on), and the second over all of them (devices, network cards, guest and the rest). curl sends the requests for the
//! machines that our client was heard to send, on one connection, and its figure is the sum of `time_total`; pages beside
//! them (places) count for our client only. Python reads the same properties through a view. A figure counts from the first
//! request of a reading, signed in, until its last value is there. The figure of a program is the median of its rounds.
//!
//! Everything runs on one computer, the simulator included: what it costs to serve is in every figure.

use super::{built, python};
use crate::{
    install,
    run::{cargo, command, output, run},
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const FOLDER: &str = "target/bench-vsphere";
const SCRIPT: &str = include_str!("vsphere_inventory.py");
/// VMware's client for Python, Apache-2.0.
const REQUIREMENTS: [&str; 1] = ["pyvmomi==9.1.1.0"];
const USER: &str = "administrator@vsphere.local";
const PASSWORD: &str = "Bench-4711";
const MACHINES: usize = 10_000;
const SIZE: &[&str] = &[
    "-dc", "2", "-cluster", "10", "-host", "12", "-vm", "500", "-ds", "6", "-pg", "6",
];
/// Objects that a server puts into one answer.
const PAGE: usize = 100;

/// What must be reached, per reading: at most so many times curl's, and at most this share of Python's.
const FIRST: (f64, f64) = (1.5, 1.0 / 3.0);
const WHOLE: (f64, f64) = (1.7, 1.0 / 5.0);
const FIRST_PAGE_SECS: f64 = 0.3;
const RESIDENT_MB: f64 = 150.0;
const CHANGE_SECS: f64 = 2.0;
const IDLE_PERCENT: f64 = 2.0;

/// The simulator; ends with this.
pub(super) struct Simulator {
    child: Child,
    /// Where it is and how to sign in, as our program reads it.
    pub(super) server: Value,
    folder: PathBuf,
}

impl Drop for Simulator {
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
pub(crate) fn bench(rounds: usize) -> Result<()> {
    fs::create_dir_all(FOLDER)?;
    let folder = fs::canonicalize(FOLDER)?;
    run(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "vsphere",
        "--example",
        "inventory",
    ]))?;
    fs::write(folder.join("inventory.py"), SCRIPT)?;
    let python = python(&folder, &REQUIREMENTS)?;
    let program = built("inventory");
    let simulator = Simulator::start(&install::vcsim()?, &program, &folder, SIZE)?;

    let sent = simulator.ours(&program, "requests")?;
    let requests = Requests::of(&sent)?;
    let (mut first, mut whole) = (Reading::default(), Reading::default());
    let (mut pages, mut peak) = (vec![], 0.0_f64);
    for round in 1..=rounds.max(1) {
        for (reading, what) in [(&mut first, "first"), (&mut whole, "whole")] {
            let ours = simulator.ours(&program, what)?;
            must_be_all(&ours)?;
            reading.ours.push(number(&ours, "seconds")?);
            peak = peak.max(number(&ours, "peakKib")?);
            if what == "first" {
                pages.push(number(&ours, "firstPage")?);
            }
            let (seconds, bytes) = simulator.curl(&requests, what)?;
            reading.curl.push(seconds);
            reading.bytes = bytes;
            let paths = if what == "first" {
                &requests.first_paths
            } else {
                &requests.whole_paths
            };
            let theirs = simulator.theirs(&python, paths)?;
            must_be_all(&theirs)?;
            reading.python.push(number(&theirs, "seconds")?);
            println!(
                "round {round}, {what} pass: ours {:.2} s, curl {:.2} s, pyvmomi {:.2} s",
                reading.ours[round - 1],
                reading.curl[round - 1],
                reading.python[round - 1]
            );
        }
    }
    let watch = simulator.ours(&program, "watch")?;
    must_be_all(&watch)?;
    peak = peak.max(number(&watch, "peakKib")?);
    drop(simulator);

    let seen: Vec<f64> = watch["seen"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect();
    let latest = seen.iter().copied().fold(f64::NAN, f64::max);
    println!(
        "\n{MACHINES} machines of VMware's simulator, {} rounds; load of the computer: {}\n",
        rounds.max(1),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    println!("{:<34} {:>8} {:>8} {:>8} {:>9}", "", "ours", "curl", "pyvmomi", "MB");
    for (name, reading, properties) in [
        ("first pass", &first, requests.first_paths.len()),
        ("second pass", &whole, requests.whole_paths.len()),
    ] {
        println!(
            "{:<34} {:>6.2} s {:>6.2} s {:>6.2} s {:>9.1}",
            format!("{name}, {properties} properties"),
            median(&reading.ours),
            median(&reading.curl),
            median(&reading.python),
            reading.bytes / 1e6
        );
        for (who, figures) in [
            ("ours", &reading.ours),
            ("curl", &reading.curl),
            ("pyvmomi", &reading.python),
        ] {
            let (least, most) = range(figures);
            println!("    {who}: from {least:.2} to {most:.2} s");
        }
    }
    println!(
        "watch: ready after {:.2} s, changes seen after {seen:.2?} s\n",
        number(&watch, "ready")?
    );
    let verdicts = [
        Verdict::new("first pass / curl", first.of_curl(), FIRST.0),
        Verdict::new("first pass / pyvmomi", first.of_python(), FIRST.1),
        Verdict::new("second pass / curl", whole.of_curl(), WHOLE.0),
        Verdict::new("second pass / pyvmomi", whole.of_python(), WHOLE.1),
        Verdict::new("first page, s", median(&pages), FIRST_PAGE_SECS),
        Verdict::new("most memory held, MB", peak * 1024.0 / 1e6, RESIDENT_MB),
        Verdict::new("a change seen after, s (the latest)", latest, CHANGE_SECS),
        Verdict::new(
            "CPU while nothing happens, %",
            number(&watch, "idleCpuPercent")?,
            IDLE_PERCENT,
        ),
    ];
    judge(&verdicts, "reading or watching costs too much")
}

/// Prints the verdicts, and fails with these words when one is missed.
pub(super) fn judge(verdicts: &[Verdict], missed: &str) -> Result<()> {
    for v in verdicts {
        let word = if v.passes() { "pass" } else { "FAIL" };
        println!("{word}  {:<36} {:>8.3}  at most {:.3}", v.what, v.figure, v.limit);
    }
    match verdicts.iter().all(Verdict::passes) {
        true => Ok(()),
        false => bail!("{missed}"),
    }
}

pub(super) struct Verdict {
    what: &'static str,
    figure: f64,
    limit: f64,
}

impl Verdict {
    pub(super) fn new(what: &'static str, figure: f64, limit: f64) -> Self {
        Self { what, figure, limit }
    }

    pub(super) fn passes(&self) -> bool {
        self.figure <= self.limit
    }
}

/// Seconds of each round.
#[derive(Default)]
struct Reading {
    ours: Vec<f64>,
    curl: Vec<f64>,
    python: Vec<f64>,
    bytes: f64,
}

impl Reading {
    fn of_curl(&self) -> f64 {
        median(&self.ours) / median(&self.curl)
    }

    fn of_python(&self) -> f64 {
        median(&self.ours) / median(&self.python)
    }
}

pub(super) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn range(figures: &[f64]) -> (f64, f64) {
    let fold = |start: f64, f: fn(f64, f64) -> f64| figures.iter().copied().fold(start, f);
    (fold(f64::INFINITY, f64::min), fold(0.0, f64::max))
}

pub(super) fn number(of: &Value, key: &str) -> Result<f64> {
    of[key].as_f64().with_context(|| format!("{key} was not told: {of}"))
}

fn must_be_all(told: &Value) -> Result<()> {
    if told["machines"] != json!(MACHINES) {
        bail!("{MACHINES} machines were expected: {told}");
    }
    Ok(())
}

/// What our client sends for the machines, and the properties in it.
struct Requests {
    view: String,
    first: String,
    next: String,
    whole: Vec<String>,
    first_paths: Vec<String>,
    whole_paths: Vec<String>,
}

impl Requests {
    fn of(sent: &Value) -> Result<Requests> {
        let all = sent.as_array().context("no requests were told")?;
        let of = |method: &str, holds: &str| -> Vec<String> {
            all.iter()
                .filter(|r| r[0] == method)
                .filter_map(|r| r[1].as_str())
                .filter(|body| body.contains(holds))
                .map(str::to_owned)
                .collect()
        };
        let one = |method: &str, holds: &str| {
            let found = of(method, holds).into_iter().next();
            found.with_context(|| format!("our client sends no {method}"))
        };
        let machines = "<type>VirtualMachine</type>";
        let first = one(
            "RetrievePropertiesEx",
            "<type>VirtualMachine</type><all>false</all><pathSet>name<",
        )?;
        let whole = of("RetrievePropertiesEx", "<pathSet>config.hardware.device<");
        if whole.len() != MACHINES / PAGE {
            bail!(
                "{} pages of the second pass were expected, not {}",
                MACHINES / PAGE,
                whole.len()
            );
        }
        Ok(Requests {
            view: one("CreateContainerView", machines)?,
            next: one("ContinueRetrievePropertiesEx", "<token>")?,
            first_paths: parts(&first, "pathSet").map(str::to_owned).collect(),
            whole_paths: parts(&whole[0], "pathSet").map(str::to_owned).collect(),
            first,
            whole,
        })
    }
}

/// The texts of all elements of this name.
fn parts<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split_inclusive(&*close.clone())
        .filter_map(move |part| part.strip_suffix(&*close)?.rsplit_once(&*open))
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The document with another text between `open` and the next tag.
fn replaced(xml: &str, open: &str, text: &str) -> Result<String> {
    let at = xml.find(open).with_context(|| format!("{open} is missing"))? + open.len();
    let end = xml[at..].find('<').context("an element that does not end")?;
    Ok(format!("{}{text}{}", &xml[..at], &xml[at + end..]))
}

impl Simulator {
    /// One of this size; `program` is ours that makes its certificate.
    pub(super) fn start(vcsim: &Path, program: &str, folder: &Path, size: &[&str]) -> Result<Simulator> {
        let path = folder.to_string_lossy();
        let thumbprint = output(&mut command(program, &["certificate", &path]))?;
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let mut child = Command::new(vcsim)
            .arg("-tlscert")
            .arg(&cert)
            .arg("-tlskey")
            .arg(&key)
            .args(["-username", USER, "-password", PASSWORD])
            .args(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting VMware's simulator")?;
        let out = child.stdout.take().context("the simulator has no output")?;
        let url = BufReader::new(out)
            .lines()
            .find_map(|l| l.ok()?.strip_prefix("ready ").map(str::to_owned))
            .context("the simulator did not say where it is")?;
        Ok(Simulator {
            child,
            server: json!({"url": url, "user": USER, "password": PASSWORD, "thumbprint": thumbprint.trim()}),
            folder: folder.to_owned(),
        })
    }

    /// Runs our program; what it tells.
    fn ours(&self, program: &str, what: &str) -> Result<Value> {
        told(&mut command(program, &[what]), &self.server)
    }

    fn theirs(&self, python: &Path, paths: &[String]) -> Result<Value> {
        let mut asked = self.server.clone();
        asked["paths"] = json!(paths);
        let mut c = Command::new(python);
        c.arg(self.folder.join("inventory.py")).env("NO_PROXY", "127.0.0.1");
        told(&mut c, &asked)
    }

    /// Seconds and bytes of all pages of a reading by curl.
    fn curl(&self, requests: &Requests, what: &str) -> Result<(f64, f64)> {
        let session = self.folder.join("session");
        let _ = fs::remove_file(&session);
        let login = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><Login xmlns=\"urn:vim25\"><_this \
             type=\"SessionManager\">SessionManager</_this><userName>{USER}</userName><password>{PASSWORD}</password>\
             </Login></e:Body></e:Envelope>"
        );
        self.post(&[login])?;
        let bodies = match what {
            "first" => {
                let (_, _, answer) = self.post(std::slice::from_ref(&requests.view))?;
                let view = parts(
                    &answer.replace("<returnval type=\"ContainerView\">", "<returnval>"),
                    "returnval",
                )
                .next()
                .context("curl got no view")?
                .to_owned();
                let mut all = vec![replaced(&requests.first, "<obj type=\"ContainerView\">", &view)?];
                // The simulator's tokens count from 0 in each session.
                for token in 0..MACHINES / PAGE - 1 {
                    all.push(replaced(&requests.next, "<token>", &token.to_string())?);
                }
                all
            }
            _ => requests.whole.clone(),
        };
        let (seconds, bytes, _) = self.post(&bodies)?;
        Ok((seconds, bytes))
    }

    /// Posts these documents one after the other on one connection: seconds, bytes, the last answer.
    fn post(&self, bodies: &[String]) -> Result<(f64, f64, String)> {
        let session = self.folder.join("session");
        let answer = self.folder.join("answer.xml");
        let url = self.server["url"].as_str().unwrap_or_default();
        let kept = answer.to_string_lossy();
        let mut text = String::new();
        for (i, body) in bodies.iter().enumerate() {
            let file = self.folder.join(format!("request-{i}.xml"));
            fs::write(&file, body)?;
            if i > 0 {
                text.push_str("next\n");
            }
            write!(
                text,
                "url = \"{url}\"\nsilent\nfail\ninsecure\nnoproxy = \"*\"\ncookie = \"{0}\"\ncookie-jar = \"{0}\"\n\
                 header = \"Content-Type: text/xml; charset=utf-8\"\nheader = \"SOAPAction: urn:vim25/6.5\"\n\
                 data-binary = \"@{1}\"\noutput = \"{2}\"\nwrite-out = \"%{{http_code}} %{{time_total}} %{{size_download}}\\n\"\n",
                session.display(),
                file.display(),
                // Many are measured: nothing is written then.
                if bodies.len() > 1 { "/dev/null" } else { &*kept }
            )?;
        }
        let transfers = self.folder.join("curl.conf");
        fs::write(&transfers, text)?;
        let mut curl = Command::new("curl");
        curl.arg("--config").arg(&transfers);
        let (mut seconds, mut bytes, mut count) = (0.0, 0.0, 0);
        for line in output(&mut curl)?.lines() {
            let parts: Vec<f64> = line.split(' ').filter_map(|p| p.parse().ok()).collect();
            let [200.0, time, size] = parts[..] else {
                bail!("curl got {line}");
            };
            (seconds, bytes, count) = (seconds + time, bytes + size, count + 1);
        }
        if count != bodies.len() {
            bail!("curl made {count} of {} transfers", bodies.len());
        }
        Ok((seconds, bytes, fs::read_to_string(answer).unwrap_or_default()))
    }
}

/// Gives a program JSON, and reads the JSON that it prints.
pub(super) fn told(c: &mut Command, input: &Value) -> Result<Value> {
    let mut child = c
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {:?}", c.get_program()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.to_string().as_bytes())?;
    }
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        bail!("{:?} ended with {}", c.get_program(), ended.status);
    }
    Ok(serde_json::from_slice(&ended.stdout)?)
}
