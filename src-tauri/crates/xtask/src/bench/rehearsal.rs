//! Figures of a rehearsal, each from a process of its own: time from start to exit, and the most memory it ever held.

use crate::run::{cargo, command, run};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// Runs the rehearsal a few times and prints the figures.
///
/// # Errors
/// When it can't be built or a rehearsal fails.
pub(crate) fn bench(times: u32) -> Result<()> {
    run(&mut cargo(&["build", "--locked", "--package", "rehost-cli"]))?;
    let mut figures = vec![];
    for i in 1..=times.max(1) {
        let started = Instant::now();
        let mut child = command("target/debug/rehost-cli", &["rehearse", "--report", "target/bench"])
            .env("REHOST_HOME", "target/bench")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting rehost-cli")?;
        let mut kib = 0;
        let status = loop {
            // The kernel keeps the maximum itself, and only while the process lives.
            kib = peak(child.id()).unwrap_or(kib);
            if let Some(status) = child.try_wait()? {
                break status;
            }
            thread::sleep(Duration::from_millis(20));
        };
        if !status.success() {
            bail!("rehearsal {i} ended with {status}; run `target/debug/rehost-cli rehearse` to see why");
        }
        println!(
            "rehearsal {i}: {:.2} s, {} MiB",
            started.elapsed().as_secs_f64(),
            kib / 1024
        );
        figures.push(started.elapsed());
    }
    figures.sort();
    println!(
        "median {:.2} s of {} (debug build, lab included)",
        figures[figures.len() / 2].as_secs_f64(),
        figures.len()
    );
    Ok(())
}

fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}
