//! `cargo xtask test`: installs, builds, tests and judges everything, and counts.
//!
//! A part that can't run is a failure with a sentence, never silence. The order is: what is quick to fail first, then what
//! is expensive, so that a typing error doesn't cost an hour. Every crate is compiled once for the tests and once for
//! clippy; nothing is built with other features or flags in between.

use crate::{
    bindings, check, install,
    run::{cargo, npm, output, run, run_lines},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// Tests that need Microsoft's specifications, which are not part of this repository.
const CONFORMANCE: &str = "conformance::";

/// A judge that takes long to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Optional {
    /// Microsoft's Azure CLI.
    Az,
}

/// Tests of the Azure CLI.
const AZ: &str = "az_cli::";

#[derive(Default, Clone, Copy)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
}

struct Suite {
    lines: Vec<(String, Count, Duration, Option<String>)>,
}

impl Suite {
    /// Runs one part. An error counts as one failure, and the next part goes on.
    fn part(&mut self, name: &str, work: impl FnOnce() -> Result<Count>) -> bool {
        println!("\n== {name}");
        let started = Instant::now();
        let (count, problem) = match work() {
            Ok(count) => (count, (count.failed > 0).then(|| "see above".to_owned())),
            Err(e) => {
                println!("failed: {e:#}");
                (
                    Count {
                        failed: 1,
                        ..Count::default()
                    },
                    Some(format!("{e:#}")),
                )
            }
        };
        self.lines.push((name.to_owned(), count, started.elapsed(), problem));
        count.failed == 0
    }

    /// Runs one command that passes or fails as a whole.
    fn one(&mut self, name: &str, command: &mut Command) -> bool {
        self.part(name, || run(command).map(|()| Count::PASSED))
    }
}

/// Runs everything.
///
/// # Errors
/// When anything failed.
pub(crate) fn test(with: &[Optional]) -> Result<()> {
    let mut s = Suite { lines: vec![] };
    s.part("Debian packages", || {
        let all: Vec<&str> = [install::WINDOW, install::JUDGES].concat();
        install::packages(&all).map(|()| Count::PASSED)
    });
    s.one("formatting", &mut cargo(&["fmt", "--all", "--check"]));
    s.part("house rules", || check::rules().map(|()| Count::PASSED));
    s.part("Node and the window's packages", || {
        install::node()?;
        install::npm_ci("ui").map(|()| Count::PASSED)
    });
    s.part("Microsoft's oav and Azurite", || {
        install::npm_ci("tests/judges").map(|()| Count::PASSED)
    });
    s.part("Microsoft's Python clients", || {
        install::python("target/judges-python", "tests/judges/python/requirements.txt").map(|()| Count::PASSED)
    });
    let az = with.contains(&Optional::Az);
    if az {
        s.part("Microsoft's Azure CLI", || {
            install::python("target/judges-az", "tests/judges/python/az.txt").map(|()| Count::PASSED)
        });
    }
    s.part("VMware's vcsim", || install::vcsim().map(|_| Count::PASSED));
    s.one("window: types", &mut npm("ui", &["run", "typecheck"]));
    s.one("window: lint", &mut npm("ui", &["run", "lint"]));
    s.part("window: tests", ui_tests);
    s.one("window: 10,000 rows in Chromium", &mut npm("ui", &["run", "large"]));
    // The shell embeds the built UI, so it comes before everything that compiles the shell.
    let built = s.one("window: build", &mut npm("ui", &["run", "build"]));
    let built = built
        && s.one(
            "build",
            &mut cargo(&["build", "--locked", "--workspace", "--all-targets"]),
        );
    if built {
        s.part("tests", || rust_tests(az));
        s.part("generated types", || bindings::compare().map(|()| Count::PASSED));
    } else {
        s.part("tests", || bail!("not run, because the build failed"));
    }
    let clippy = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    s.one("clippy", &mut cargo(&clippy));
    finish(&s)
}

fn finish(s: &Suite) -> Result<()> {
    println!(
        "\n{:<34} {:>7} {:>7} {:>8} {:>8}",
        "part", "passed", "failed", "skipped", "seconds"
    );
    let mut sum = Count::default();
    for (name, c, took, problem) in &s.lines {
        println!(
            "{name:<34} {:>7} {:>7} {:>8} {:>8.1}",
            c.passed,
            c.failed,
            c.skipped,
            took.as_secs_f64()
        );
        if let Some(p) = problem {
            println!("    {}", p.lines().next().unwrap_or_default());
        }
        sum.passed += c.passed;
        sum.failed += c.failed;
        sum.skipped += c.skipped;
    }
    let skipped = if sum.skipped > 0 {
        format!(", {} skipped", sum.skipped)
    } else {
        String::new()
    };
    println!("\n{} passed, {} failed{skipped}", sum.passed, sum.failed);
    // The last line is the count, for people and scripts: the exit code says the rest.
    std::process::exit(i32::from(sum.failed > 0));
}

/// Vitest counts for itself.
fn ui_tests() -> Result<Count> {
    let file = env::current_dir()?.join("target/vitest.json");
    let _ = fs::remove_file(&file);
    let out = format!("--outputFile.json={}", file.display());
    let ended = run(&mut npm(
        "ui",
        &["run", "test", "--", "--reporter=default", "--reporter=json", &out],
    ));
    let result: Value = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => return Err(ended.err().context("vitest wrote no result")?),
    };
    let number = |key: &str| result[key].as_u64().unwrap_or(0);
    let count = Count {
        passed: number("numPassedTests"),
        failed: number("numFailedTests"),
        skipped: number("numPendingTests") + number("numTodoTests"),
    };
    if count.failed == 0 {
        // A file that can't be loaded has no failed test, only a failed run.
        ended?;
    }
    Ok(count)
}

fn rust_tests(az: bool) -> Result<Count> {
    let top = env::current_dir()?;
    let fresh = top.join(bindings::FRESH);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let shared = env::var_os("REHOST_SHARED").map_or_else(|| top.join("../shared"), PathBuf::from);
    let specifications = shared.join("azure-rest-api-specs/specification").is_dir();
    let prepared = |arguments: &[&str]| {
        let mut c = cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]);
        c.args(arguments)
            .env("TS_RS_EXPORT_DIR", &fresh)
            .env("REHOST_SHARED", &shared)
            .env("REHOST_VCSIM", top.join("target/vcsim"))
            .env("REHOST_AZ", top.join(install::in_python("target/judges-az", "az")))
            .env_remove("REHOST_HOME");
        c
    };
    let mut count = Count::default();
    let mut skip = vec!["--"];
    if !az {
        skip.extend(["--skip", AZ]);
    }
    if !specifications {
        let list = output(&mut prepared(&[
            "--test",
            "integration",
            "--test",
            "conformance",
            "--",
            "--list",
            CONFORMANCE,
        ]))?;
        for name in list.lines().filter_map(|l| l.strip_suffix(": test")) {
            println!(
                "skipped: {name}: Microsoft's specifications are not in {}; set REHOST_SHARED to the folder that holds azure-rest-api-specs",
                shared.display()
            );
            count.skipped += 1;
        }
        skip.extend(["--skip", CONFORMANCE]);
    }
    let mut halves = 0;
    let ended = run_lines(&mut prepared(&skip), |line| {
        // Half of another test, which runs it in a process with an environment of its own.
        if line.contains(" ... ignored, run by ") {
            halves += 1;
        }
        if let Some(c) = result_line(line) {
            count.passed += c.passed;
            count.failed += c.failed;
            count.skipped += c.skipped;
        }
    })?;
    count.skipped -= halves;
    if !ended && count.failed == 0 {
        bail!("cargo test failed without a failing test; its output above says why");
    }
    Ok(count)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn result_line(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        rest.split([';', '.'])
            .find_map(|p| p.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    Some(Count {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_result_lines_are_counted() {
        let c = result_line(
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.1s",
        );
        let c = c.unwrap();
        assert_eq!((c.passed, c.failed, c.skipped), (12, 3, 1));
        assert!(result_line("test foo ... ok").is_none());
    }
}
