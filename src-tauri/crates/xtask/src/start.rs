//! Shows the product: `start` and `package`.

use crate::{
    install,
    run::{cargo, command, npm, run},
};
use anyhow::{Result, bail};
use std::{env, path::Path};

/// Builds everything and opens the sample's rehearsal, or runs it without a window.
///
/// # Errors
/// When something can't be installed, built or started.
pub(crate) fn start(headless: bool) -> Result<()> {
    if headless {
        install::packages(install::COMMAND_LINE)?;
        run(&mut cargo(&["build", "--locked", "--package", "rehost-cli"]))?;
        // Each time from the beginning: the project of the last time is no use to anybody.
        if Path::new("target/rehearsal").exists() {
            std::fs::remove_dir_all("target/rehearsal")?;
        }
        let arguments = [
            "--project",
            "target/rehearsal/SmartHotel.rehost",
            "--report",
            "target/rehearsal",
        ];
        run(command("target/debug/rehost-cli", &["rehearse"]).args(arguments))?;
        println!("Report and project lie in target/rehearsal.");
        return Ok(());
    }
    if cfg!(target_os = "linux") && env::var_os("DISPLAY").is_none() && env::var_os("WAYLAND_DISPLAY").is_none() {
        bail!(
            "there is no display to open the window on. Type `cargo xtask start --headless` to rehearse without a window, or start this on a desktop (or below `xvfb-run`)"
        );
    }
    install::packages(install::WINDOW)?;
    ui()?;
    run(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "rehost",
        "--bin",
        "rehost",
    ]))?;
    run(&mut command("target/debug/rehost", &["--rehearse-sample"]))
}

/// Builds the UI when its sources are newer than what was built.
///
/// # Errors
/// When npm fails.
pub(crate) fn ui() -> Result<()> {
    use crate::run::{changed, files};
    install::node()?;
    install::npm_ci("ui")?;
    let newest = files("ui", &[".ts", ".tsx", ".css", ".html", ".json"])
        .iter()
        .map(changed)
        .max();
    if newest.is_some_and(|n| changed("ui/dist/index.html") > n) && Path::new("ui/dist/assets").is_dir() {
        return Ok(());
    }
    run(&mut npm("ui", &["run", "build"]))
}

/// Builds this platform's packages.
///
/// # Errors
/// When something can't be installed or built.
pub(crate) fn package() -> Result<()> {
    install::packages(install::WINDOW)?;
    install::node()?;
    install::npm_ci("ui")?;
    // Only needed here, so it is no dependency of the window. It looks for package.json in the folders by name, and
    // tests/judges would be as good to it: the variable says which.
    let mut tauri = command("npx", &["--yes", "@tauri-apps/cli@2.12.5", "build"]);
    run(tauri.env("TAURI_FRONTEND_PATH", "ui"))?;
    println!("The packages lie in target/release/bundle.");
    Ok(())
}
