//! Everything a developer or a CI machine has to run, so that there is one place to read and no shell scripts to keep.
//!
//! `cargo xtask start` shows the product, `cargo xtask test` judges it whole, and both install what they need on a fresh
//! Debian or Ubuntu. Knows no other crate of the workspace: it runs their programs.
//!
//! Begin with [`run`] (how commands are started), then [`suite`] (what `test` does, in order).
#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

mod bench;
mod bindings;
mod check;
mod install;
mod run;
mod start;
mod suite;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{env, path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, shows and judges Rehost.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything and opens the rehearsal of the sample in the window.
    Start {
        /// Runs the rehearsal without a window and writes its report to target/rehearsal.
        #[arg(long)]
        headless: bool,
    },
    /// Runs every test and every judge; the last line says how many passed and failed.
    Test {
        /// Judges that take long to install, and are not counted otherwise.
        #[arg(long, value_enum)]
        with: Vec<suite::Optional>,
    },
    /// Proves the house rules: dependencies between crates, headers, licences, host names, words, generated types.
    Check,
    /// Writes the TypeScript of the wire types to ui/src/host/gen.
    Bindings {
        /// Changes nothing; fails when the committed files are not those that would be written.
        #[arg(long)]
        check: bool,
    },
    /// Measures a rehearsal (the default), calls to the resource manager, inventories of vCenter and SQL Server, or uploads.
    Bench {
        #[command(subcommand)]
        what: Option<Bench>,
    },
    /// Builds the installable packages of this platform.
    Package,
}

#[derive(Subcommand)]
enum Bench {
    /// Time and memory of a whole rehearsal.
    Rehearsal {
        /// How many times.
        #[arg(long, default_value_t = 3)]
        times: u32,
    },
    /// What one call to the resource manager costs our client, beside curl and Microsoft's client for Python.
    Arm {
        /// How many times each of them is measured, in turns.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Calls of a round.
        #[arg(long, default_value_t = 300)]
        calls: usize,
    },
    /// What reading and watching 10,000 machines costs, beside curl and VMware's client for Python.
    Vsphere {
        /// How many times each of the three is measured, in turns.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// What bringing a backup into a container costs, beside curl.
    Backup {
        /// How many times each of the two is measured, in turns.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Size of the file; three of it must fit on the disk for a while.
        #[arg(long, default_value_t = 4096)]
        mib: u64,
    },
    /// How long it takes to know an instance with 1,000 databases.
    Sql {
        /// How many times it is measured.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// What uploading a template costs, beside curl.
    Ovf {
        /// How many times each of the two is measured, in turns.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let done = root().and_then(|root| {
        env::set_current_dir(&root).with_context(|| format!("can't work in {}", root.display()))?;
        match Arguments::parse().command {
            Command::Start { headless } => start::start(headless),
            Command::Test { with } => suite::test(&with),
            Command::Check => check::check(),
            Command::Bindings { check: false } => bindings::write(),
            Command::Bindings { check: true } => bindings::check(),
            Command::Bench { what } => match what.unwrap_or(Bench::Rehearsal { times: 3 }) {
                Bench::Rehearsal { times } => bench::rehearsal::bench(times),
                Bench::Arm { rounds, calls } => bench::arm::bench(rounds, calls),
                Bench::Vsphere { rounds } => bench::vsphere::bench(rounds),
                Bench::Backup { rounds, mib } => bench::backup::bench(rounds, mib),
                Bench::Sql { rounds } => bench::sql::bench(rounds),
                Bench::Ovf { rounds } => bench::ovf::bench(rounds),
            },
            Command::Package => start::package(),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: three folders above this crate, wherever the command was typed.
fn root() -> Result<PathBuf> {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    Ok(here
        .ancestors()
        .nth(3)
        .context("xtask must lie in src-tauri/crates")?
        .to_owned())
}
