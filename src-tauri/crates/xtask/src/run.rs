//! How commands are started: shown before, their failure told with the command that failed.

use anyhow::{Context, Result, bail};
use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

/// A command that is shown as it would be typed.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Command {
    let mut c = Command::new(program);
    c.args(arguments);
    c
}

/// The cargo that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    command(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), arguments)
}

/// `npm` in a folder.
pub(crate) fn npm<S: AsRef<OsStr>>(folder: &str, arguments: &[S]) -> Command {
    let mut c = command(if cfg!(windows) { "npm.cmd" } else { "npm" }, arguments);
    c.current_dir(folder)
        .env("npm_config_fund", "false")
        .env("npm_config_audit", "false");
    c
}

fn shown(c: &Command) -> String {
    let program = Path::new(c.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments = c.get_args().map(|a| a.to_string_lossy().into_owned());
    [program].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Runs to the end.
///
/// # Errors
/// When it can't be started or doesn't end with success.
pub(crate) fn run(c: &mut Command) -> Result<()> {
    let text = shown(c);
    println!("$ {text}");
    let status = c
        .status()
        .with_context(|| format!("`{text}` could not be started; is it installed?"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end, passes every line of its standard output on and to `line`. Returns whether it ended with success.
///
/// # Errors
/// When it can't be started.
pub(crate) fn run_lines(c: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let text = shown(c);
    println!("$ {text}");
    let mut child = c
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{text}` could not be started; is it installed?"))?;
    if let Some(out) = child.stdout.take() {
        for l in BufReader::new(out).split(b'\n') {
            let l = String::from_utf8_lossy(&l?).into_owned();
            println!("{l}");
            line(&l);
        }
    }
    Ok(child.wait()?.success())
}

/// Runs to the end and returns its standard output.
///
/// # Errors
/// When it can't be started or doesn't end with success.
pub(crate) fn output(c: &mut Command) -> Result<String> {
    let text = shown(c);
    let out = c
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{text}` could not be started; is it installed?"))?;
    if !out.status.success() {
        bail!("`{text}` ended with {}", out.status);
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Finds a program on the search path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|d| d.join(program))
        .find(|p| p.is_file())
}

/// The file's time of change; the beginning of time when there is none.
pub(crate) fn changed(path: impl AsRef<Path>) -> SystemTime {
    path.as_ref()
        .metadata()
        .and_then(|m| m.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// All files below a folder whose name ends so, sorted; build products and dependencies left out.
pub(crate) fn files(folder: impl AsRef<Path>, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![folder.as_ref().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            match entry.file_type() {
                Ok(t) if t.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | ".git" | "dist") => {
                    open.push(path)
                }
                Ok(t) if t.is_file() && endings.iter().any(|e| name.ends_with(e)) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}
