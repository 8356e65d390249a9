//! What bringing a backup into a container costs our client beside `curl -T`, which only carries the bytes: the same file to
//! the same Azurite, Microsoft's emulator of Blob Storage, in turns, in the same run.
//!
//! curl sends the file as one blob, in one request: Put Blob takes up to 5,000 MiB, and nothing is faster to ask for. Ours
//! sends blocks, each with its MD5, from when it is called until it has read back what the blob consists of. Both make
//! TLS connections of their own. Azurite is started anew for each upload, so that none writes into what another has left. It
//! keeps blobs on the disk, is one thread of JavaScript, and is what both wait for.
//!
//! That memory doesn't grow with the file is seen from a file of a sixteenth of the size. The limit is that of the blocks
//! under way: four of 4 MiB, read before their turn and kept until they are acknowledged, with what TLS holds of each, on
//! top of a client that does nothing.

use super::{
    built,
    vsphere::{Verdict, judge, median, number, range},
};
use crate::{
    install,
    run::{cargo, output, run},
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const FOLDER: &str = "target/bench-backup";
const SCRIPT: &str = include_str!("backup_store.py");
const ACCOUNT: &str = "contosobackup";
const CONTAINER: &str = "backups";
/// 64 bytes of which all are 42, as Base64.
const KEY: &str = "KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKg==";

/// At least 90 % of curl's rate.
const OF_CURL: f64 = 1.0 / 0.9;
const RESIDENT_MB: f64 = 64.0;
/// More memory for the large file than for the small one.
const GROWTH_MB: f64 = 8.0;

/// Measures and judges.
///
/// # Errors
/// When something can't be built or run, and when the figures miss what must be reached.
pub(crate) fn bench(rounds: usize, mib: u64) -> Result<()> {
    install::npm_ci("tests/judges")?;
    install::python("target/judges-python", "tests/judges/python/requirements.txt")?;
    fs::create_dir_all(FOLDER)?;
    let folder = fs::canonicalize(FOLDER)?;
    let done = measured(&folder, rounds.max(1), mib.max(16));
    // Gigabytes are not left behind, however it ended.
    fs::remove_dir_all(&folder)?;
    done
}

fn measured(folder: &Path, rounds: usize, mib: u64) -> Result<()> {
    run(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "azure",
        "--example",
        "blob_upload",
    ]))?;
    let program = built("blob_upload");
    let script = folder.join("store.py");
    fs::write(&script, SCRIPT)?;
    output(python().arg(&script).arg("cert").arg(folder))?;
    let (large, small) = (file(folder, "large.bak", mib)?, file(folder, "small.bak", mib / 16)?);
    let little = number(&Azurite::start(folder)?.ours(&program, &small)?, "peakKib")?;
    let (mut ours, mut curl, mut peak) = (vec![], vec![], 0.0_f64);
    for n in 0..rounds {
        for ours_now in [n % 2 == 0, n % 2 != 0] {
            let azurite = Azurite::start(folder)?;
            if ours_now {
                let told = azurite.ours(&program, &large)?;
                ours.push(number(&told, "seconds")?);
                peak = peak.max(number(&told, "peakKib")?);
            } else {
                curl.push(azurite.curl(&large)?);
            }
        }
        println!("round {}: ours {:.2} s, curl {:.2} s", n + 1, ours[n], curl[n]);
    }
    let megabytes = |kib: f64| kib * 1024.0 / 1e6;
    println!(
        "\n{mib} MiB, {rounds} rounds; load of the computer: {}\n",
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    for (who, figures) in [("ours", &ours), ("curl -T", &curl)] {
        let ((least, most), middle) = (range(figures), median(figures));
        println!(
            "{who:<8} {middle:>6.2} s (from {least:.2} to {most:.2})  {:>7.1} MB/s",
            (mib << 20) as f64 / 1e6 / middle
        );
    }
    println!();
    judge(
        &[
            Verdict::new("time of the upload / curl", median(&ours) / median(&curl), OF_CURL),
            Verdict::new("most memory held, MB", megabytes(peak), RESIDENT_MB),
            Verdict::new(
                "more of it for 16 times the file, MB",
                megabytes(peak - little),
                GROWTH_MB,
            ),
        ],
        "uploading costs too much",
    )
}

fn python() -> Command {
    Command::new(install::in_python("target/judges-python", "python"))
}

/// Bytes that no compression makes fewer, the same in each run.
fn file(folder: &Path, name: &str, mib: u64) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..(mib << 20) / 8 {
        // Xorshift: random enough for a file.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.write_all(&x.to_le_bytes())?;
    }
    out.into_inner()?.sync_all()?;
    Ok(path)
}

/// A running emulator with an empty container. It ends, and its blobs go, with this value.
struct Azurite {
    child: Child,
    blobs: PathBuf,
    ca: PathBuf,
    /// With the account.
    address: String,
    sas: String,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // Ended or not: nothing can be done about it here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.blobs);
    }
}

impl Azurite {
    fn start(folder: &Path) -> Result<Azurite> {
        let program = fs::canonicalize("tests/judges/node_modules/azurite/dist/src/blob/main.js")
            .context("Microsoft's azurite is not installed in tests/judges")?;
        let (blobs, ca) = (folder.join("blobs"), folder.join("ca.pem"));
        fs::create_dir_all(&blobs)?;
        let mut child = Command::new("node")
            .arg(program)
            .args([
                "--disableTelemetry",
                "--skipApiVersionCheck",
                "--silent",
                "--blobPort",
                "0",
            ])
            .arg("--location")
            .arg(&blobs)
            .arg("--cert")
            .arg(&ca)
            .arg("--key")
            .arg(folder.join("key.pem"))
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("Node is needed")?;
        let mut lines = BufReader::new(child.stdout.take().context("azurite has no output")?).lines();
        let listens = lines.by_ref().map_while(Result::ok).find_map(|l| {
            l.split_once(" listens on ")
                .map(|(_, a)| a.trim_end_matches('/').to_owned())
        });
        let mut azurite = Azurite {
            child,
            blobs,
            ca,
            address: format!("{}/{ACCOUNT}", listens.context("azurite ended before it listened")?),
            sas: String::new(),
        };
        // It must not stand still because nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let made = output(
            python()
                .arg(folder.join("store.py"))
                .args(["container", &azurite.address, ACCOUNT, KEY, CONTAINER])
                .arg(&azurite.ca),
        )?;
        azurite.sas = made.trim().to_owned();
        Ok(azurite)
    }

    fn ours(&self, program: &str, file: &Path) -> Result<Value> {
        let asked = json!({
            "address": self.address.replace(ACCOUNT, "{account}"), "ca": self.ca, "account": ACCOUNT,
            "container": CONTAINER, "name": "ours.bak", "sas": self.sas, "file": file,
        });
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting our program")?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{asked}")?;
        }
        let ended = child.wait_with_output()?;
        if !ended.status.success() {
            bail!("our program ended with {}", ended.status);
        }
        let told = String::from_utf8_lossy(&ended.stdout);
        let last = told.lines().last().context("our program told nothing")?;
        Ok(serde_json::from_str(last)?)
    }

    /// Seconds of the same by curl.
    fn curl(&self, file: &Path) -> Result<f64> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "--cacert"])
            .arg(&self.ca)
            .args([
                "--header",
                "x-ms-blob-type: BlockBlob",
                "--header",
                "x-ms-version: 2021-12-02",
                "--header",
                "Content-Type: application/octet-stream",
                "--header",
                "Expect:",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code} %{time_total} %{size_upload}",
            ]);
        curl.arg("--upload-file")
            .arg(file)
            .arg(format!("{}/{CONTAINER}/curl.bak?{}", self.address, self.sas));
        let line = output(&mut curl)?;
        let parts: Vec<f64> = line.split_whitespace().filter_map(|p| p.parse().ok()).collect();
        match parts[..] {
            [201.0, seconds, sent] if sent as u64 == fs::metadata(file)?.len() => Ok(seconds),
            _ => bail!("curl got {line}"),
        }
    }
}
