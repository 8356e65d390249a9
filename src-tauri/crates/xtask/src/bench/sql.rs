//! What it takes to know an instance with 1,000 databases, over a line on which each answer comes 5 ms later: all facts, as the
//! *Databases* screen reads them, from the lab's SQL Server on TLS. When the list stands there, and when the first of them was
//! looked into, counts as much as the end: the screen fills as they come.

use super::{
    built,
    vsphere::{Verdict, judge, median, number, range, told},
};
use crate::run::{cargo, command, run};
use anyhow::Result;
use serde_json::json;
use std::fs;

const DATABASES: u32 = 1000;
const LATENCY_MS: u32 = 5;
const ALL_SECS: f64 = 10.0;
/// A person takes what comes within a second for the answer to the click.
const FIRST_SECS: f64 = 1.0;

/// Measures and judges.
///
/// # Errors
/// When something can't be built or run, and when the figures miss what must be reached.
pub(crate) fn bench(rounds: usize) -> Result<()> {
    run(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "sqlserver",
        "--example",
        "facts",
    ]))?;
    let program = built("facts");
    let (mut list, mut first, mut all) = (vec![], vec![], vec![]);
    for n in 1..=rounds.max(1) {
        let asked = json!({ "databases": DATABASES, "latencyMs": LATENCY_MS });
        let told = told(&mut command::<&str>(&program, &[]), &asked)?;
        for (figures, key) in [(&mut list, "list"), (&mut first, "first"), (&mut all, "all")] {
            figures.push(number(&told, key)?);
        }
        println!("round {n}: list {:.2} s, all {:.2} s", list[n - 1], all[n - 1]);
    }
    println!(
        "\n{DATABASES} databases, {LATENCY_MS} ms there and back, {} rounds; load of the computer: {}\n",
        rounds.max(1),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    for (what, figures) in [
        ("the list", &list),
        ("the first database", &first),
        ("all of them", &all),
    ] {
        let (least, most) = range(figures);
        println!("{what:<18} {:>6.2} s (from {least:.2} to {most:.2})", median(figures));
    }
    println!();
    judge(
        &[
            Verdict::new("the list is there, s", median(&list), FIRST_SECS),
            Verdict::new("the first was looked into, s", median(&first), FIRST_SECS),
            Verdict::new("all were looked into, s", median(&all), ALL_SECS),
        ],
        "reading the databases takes too long",
    )
}
