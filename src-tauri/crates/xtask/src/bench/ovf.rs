//! What uploading a template costs our client beside `curl -T`, which only carries the bytes: the same file to the same address
//! of VMware's simulator, which discards it, in turns, in the same run.
//!
//! Ours counts from when the address is known until the last byte was acknowledged, with its reading ahead, its progress and
//! its signs of life to vCenter; curl's figure is its `time_total`. Both make a TLS connection of their own. That memory doesn't
//! grow with the file is seen from a file of a sixteenth of the size.

use super::{
    built,
    vsphere::{Simulator, Verdict, judge, median, number, range},
};
use crate::{
    install,
    run::{cargo, command, output, run},
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

const FOLDER: &str = "target/bench-ovf";
/// Bytes of the disk.
const LARGE: u64 = 1 << 30;
const SMALL: u64 = LARGE / 16;

/// At least 90 % of curl's rate.
const OF_CURL: f64 = 1.0 / 0.9;
const RESIDENT_MB: f64 = 64.0;
/// More memory for the large file than for the small one.
const GROWTH_MB: f64 = 8.0;

/// Measures and judges.
///
/// # Errors
/// When something can't be built or run, and when the figures miss what must be reached.
pub(crate) fn bench(rounds: usize) -> Result<()> {
    fs::create_dir_all(FOLDER)?;
    let folder = fs::canonicalize(FOLDER)?;
    for example in ["inventory", "upload"] {
        run(&mut cargo(&[
            "build",
            "--locked",
            "--release",
            "--package",
            "vsphere",
            "--example",
            example,
        ]))?;
    }
    let program = built("upload");
    let template = |name: &str, bytes: u64| -> Result<_> {
        let own = folder.join(name);
        fs::create_dir_all(&own)?;
        output(&mut command(
            &program,
            &["template", &own.to_string_lossy(), &bytes.to_string()],
        ))?;
        Ok(own)
    };
    let (large, small) = (template("large", LARGE)?, template("small", SMALL)?);
    let simulator = Simulator::start(&install::vcsim()?, &built("inventory"), &folder, &[])?;
    let (little, _) = round(&simulator, &program, &small, "SMALL", false)?;
    let (mut ours, mut curl, mut peak) = (vec![], vec![], 0.0_f64);
    for n in 1..=rounds.max(1) {
        let (told, theirs) = round(&simulator, &program, &large, &format!("LARGE-{n}"), n % 2 == 0)?;
        ours.push(number(&told, "seconds")?);
        curl.push(theirs);
        peak = peak.max(number(&told, "peakKib")?);
        println!("round {n}: ours {:.2} s, curl {theirs:.2} s", ours[n - 1]);
    }
    drop(simulator);
    let little = number(&little, "peakKib")?;
    let megabytes = |kib: f64| kib * 1024.0 / 1e6;
    println!(
        "\n{} MB, {} rounds; load of the computer: {}\n",
        LARGE / 1_000_000,
        rounds.max(1),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    for (who, figures) in [("ours", &ours), ("curl -T", &curl)] {
        let ((least, most), middle) = (range(figures), median(figures));
        println!(
            "{who:<8} {middle:>6.2} s (from {least:.2} to {most:.2})  {:>7.1} MB/s",
            LARGE as f64 / 1e6 / middle
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

/// One deployment by our program, which stops on its way for curl: before its own upload, or after it. What it tells, and
/// curl's seconds.
fn round(simulator: &Simulator, program: &str, template: &Path, name: &str, after: bool) -> Result<(Value, f64)> {
    let mut asked = simulator.server.clone();
    asked["template"] = json!(template.join("appliance.ovf"));
    asked["name"] = json!(name);
    let mut child = Command::new(program)
        .arg("upload")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting our program")?;
    let mut to = child.stdin.take().context("our program has no input")?;
    let mut from = BufReader::new(child.stdout.take().context("our program has no output")?).lines();
    let mut next = || -> Result<Value> {
        let line = from.next().context("our program ended early")??;
        Ok(serde_json::from_str(&line)?)
    };
    writeln!(to, "{asked}")?;
    let mut seconds = f64::NAN;
    for stop in ["sending", "sent"] {
        let told = next()?;
        if (stop == "sent") == after {
            seconds = upload(&told, &template.join("appliance-disk1.vmdk"))?;
        }
        writeln!(to)?;
    }
    let told = next()?;
    let ended = child.wait()?;
    if !ended.success() {
        bail!("our program ended with {ended}");
    }
    Ok((told, seconds))
}

/// Seconds of the same by curl.
fn upload(told: &Value, file: &Path) -> Result<f64> {
    let url = told["url"].as_str().context("no address was told")?;
    let size = fs::metadata(file)?.len();
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--fail",
        "--insecure",
        "--noproxy",
        "*",
        "--request",
        "POST",
    ])
    .args([
        "--header",
        "Content-Type: application/x-vnd.vmware-streamVmdk",
        "--header",
        "Expect:",
    ])
    .args([
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{time_total} %{size_upload}",
    ])
    .arg("--upload-file")
    .arg(file)
    .arg(url);
    let line = output(&mut curl)?;
    let parts: Vec<f64> = line.split_whitespace().filter_map(|p| p.parse().ok()).collect();
    match parts[..] {
        [200.0, seconds, sent] if sent as u64 == size => Ok(seconds),
        _ => bail!("curl got {line}"),
    }
}
