//! Figures, so that nobody has to believe in speed: of a whole rehearsal, of one call to the resource manager, of a large
//! vCenter's inventory, of an instance with many databases, and of the uploads of a template and of a backup.

pub(crate) mod arm;
pub(crate) mod backup;
pub(crate) mod ovf;
pub(crate) mod rehearsal;
pub(crate) mod sql;
pub(crate) mod vsphere;

use crate::run::{command, run};
use anyhow::{Context, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An example built for release.
fn built(example: &str) -> String {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let path = target.join("release/examples").join(example);
    path.to_string_lossy().into_owned()
}

/// A Python with these packages, in an environment of its own below the folder.
fn python(folder: &Path, requirements: &[&str]) -> Result<PathBuf> {
    let environment = folder.join("python");
    let interpreter = environment.join("bin/python");
    let ready = environment.join(".ready");
    let wanted = requirements.join(" ");
    if fs::read_to_string(&ready).is_ok_and(|r| r == wanted) {
        return Ok(interpreter);
    }
    let path = environment.to_string_lossy().into_owned();
    run(&mut command("python3", &["-m", "venv", "--clear", &path])).context("Python 3 with venv is needed")?;
    let mut install = Command::new(&interpreter);
    install.args(["-m", "pip", "install", "--quiet"]).args(requirements);
    run(&mut install)?;
    fs::write(ready, wanted)?;
    Ok(interpreter)
}
