//! What a fresh machine lacks. On Debian and Ubuntu it is installed; elsewhere the sentence says what to install.

use crate::run::{changed, command, files, npm, output, run, which};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// To build and show the window.
pub(crate) const WINDOW: &[&str] = &[
    "build-essential",
    "pkg-config",
    "libgtk-3-dev",
    "libwebkit2gtk-4.1-dev",
    "librsvg2-dev",
];

/// To build the command-line program only.
pub(crate) const COMMAND_LINE: &[&str] = &["build-essential"];

/// The judges: a display, the window's WebDriver, a keyring and its bus, a browser, VMware's simulator library, Python,
/// FreeTDS.
pub(crate) const JUDGES: &[&str] = &[
    "xvfb",
    "webkit2gtk-driver",
    "dbus",
    "dbus-x11",
    "gnome-keyring",
    "chromium",
    "fonts-dejavu-core",
    "golang-go",
    "golang-github-vmware-govmomi-dev",
    "python3-pip",
    "python3-venv",
    "freetds-bin",
];

/// Installs the Debian packages that are missing.
///
/// # Errors
/// When they can't be installed; the message holds the command to type.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    if which("apt-get").is_none() {
        let libraries = "WebKitGTK 4.1, GTK 3, librsvg and a C compiler with pkg-config, for the tests also Xvfb, WebKitWebDriver, D-Bus, gnome-keyring, Chromium, Python with venv, FreeTDS (tsql), and Go with the govmomi sources";
        println!("note: this is no Debian or Ubuntu, so nothing is installed by itself. Needed are: {libraries}.");
        return Ok(());
    }
    let missing: Vec<&str> = names.iter().copied().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let root = output(&mut command("id", &["-u"]))?.trim() == "0";
    if !root && which("sudo").is_none() {
        bail!("packages are missing, and neither root nor sudo is at hand. As root type: {by_hand}");
    }
    let apt = |arguments: &[&str]| {
        let mut all: Vec<&str> = if root {
            vec![]
        } else {
            vec!["sudo", "--preserve-env=DEBIAN_FRONTEND"]
        };
        all.push("apt-get");
        all.extend(arguments);
        let mut c = command(all[0], &all[1..]);
        c.env("DEBIAN_FRONTEND", "noninteractive");
        c
    };
    // An old package list makes the installation fail, a failing update alone does not: a mirror may be at hand.
    if let Err(e) = run(&mut apt(&["update", "-q"])) {
        println!("note: {e:#}; going on with the package lists that are there");
    }
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(&missing);
    run(&mut apt(&install)).with_context(|| format!("packages could not be installed. As root type: {by_hand}"))
}

fn installed(package: &str) -> bool {
    command("dpkg-query", &["-W", "-f=${Status}", package])
        .output()
        .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("install ok installed"))
}

/// Node is not installed by us: distributions carry too old ones.
///
/// # Errors
/// When there is none, or one below 20.
pub(crate) fn node() -> Result<()> {
    let version = command("node", &["--version"])
        .output()
        .ok()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_default();
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0);
    if major < 20 {
        bail!(
            "Node 20 or newer is needed, and `node --version` says `{version}`. Install Node 20 (nodejs.org, or your distribution) and try again."
        );
    }
    Ok(())
}

/// `npm ci` where the lock file is newer than what is installed.
///
/// # Errors
/// When npm fails.
pub(crate) fn npm_ci(folder: &str) -> Result<()> {
    let folder_path = Path::new(folder);
    // npm writes this file last, so an interrupted installation is repeated.
    if changed(folder_path.join("node_modules/.package-lock.json")) >= changed(folder_path.join("package-lock.json")) {
        return Ok(());
    }
    run(&mut npm(folder, &["ci", "--no-progress"]))?;
    // The inner lock file carries the archive's time when nothing had to be written: mark the moment ourselves.
    let stamp = fs::File::options()
        .append(true)
        .open(folder_path.join("node_modules/.package-lock.json"))?;
    Ok(stamp.set_modified(std::time::SystemTime::now())?)
}

/// Installs a Python environment into a folder below target, with exactly the packages of a requirements file: a file whose
/// hash isn't in it is refused.
///
/// # Errors
/// When there is no Python with venv, or pip fails.
pub(crate) fn python(folder: &str, requirements: &str) -> Result<()> {
    let wanted = fs::read_to_string(requirements).with_context(|| format!("can't read {requirements}"))?;
    // Written last, so an interrupted installation is repeated.
    let stamp = Path::new(folder).join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let interpreter = if cfg!(windows) { "python" } else { "python3" };
    run(&mut command(interpreter, &["-m", "venv", "--clear", folder])).context(
        "a Python environment could not be made; Python 3.10 or newer with venv is needed, the Debian packages python3 and python3-venv",
    )?;
    let pip = in_python(folder, "pip");
    run(&mut command(
        &pip.to_string_lossy(),
        &[
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
            requirements,
        ],
    ))?;
    Ok(fs::write(stamp, wanted)?)
}

/// A program of a Python environment.
pub(crate) fn in_python(folder: &str, program: &str) -> PathBuf {
    let inside = if cfg!(windows) { "Scripts" } else { "bin" };
    Path::new(folder).join(inside).join(program)
}

/// Builds VMware's simulator with our launcher into target/vcsim, from Debian's govmomi sources.
///
/// # Errors
/// When Go fails; the sentence says which packages it needs.
pub(crate) fn vcsim() -> Result<PathBuf> {
    let binary = env::current_dir()?.join("target/vcsim");
    let newest = files("tests/vcsim", &[".go"]).iter().map(changed).max();
    if newest.is_some_and(|n| changed(&binary) > n) {
        return Ok(binary);
    }
    let binary_text = binary.to_string_lossy().into_owned();
    let mut go = command(
        "go",
        &[
            "build",
            "-trimpath",
            "-ldflags=-s -w",
            "-o",
            &binary_text,
            "./tests/vcsim",
        ],
    );
    go.env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "");
    run(&mut go).context(
        "VMware's simulator could not be built; it needs the Debian packages golang-go and golang-github-vmware-govmomi-dev",
    )?;
    Ok(binary)
}
