//! Uploads one file, for `cargo xtask bench backup` and for the test that kills it.
//!
//! Reads from the first line of the standard input where to, as JSON, and prints how far it is after each block and, at the
//! end, how long it took and how much memory it held.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use azure::{
    Arm, Blobs, auth,
    upload::{Destination, Progress},
};
use plan::design::AzureConnection;
use secrets::Secret;
use serde::Deserialize;
use serde_json::json;
use std::{error::Error, io::stdin, path::PathBuf, time::Instant};

#[derive(Deserialize)]
struct Asked {
    /// With `{account}`.
    address: String,
    ca: PathBuf,
    account: String,
    container: String,
    name: String,
    sas: String,
    file: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let asked: Asked = serde_json::from_str(&line)?;
    let connection = AzureConnection {
        arm_url: "https://127.0.0.1:1".into(),
        authority_url: "https://127.0.0.1:1".into(),
        blob_url: asked.address,
        tenant_id: "contoso".into(),
        client_id: "nobody".into(),
        ca_pem: std::fs::read_to_string(&asked.ca)?,
        ..AzureConnection::default()
    };
    let nobody = auth::client_secret(&connection, Secret::from("-"))?;
    let blobs = Blobs::new(&Arm::connect(&connection, nobody)?);
    let sas = Secret::new(asked.sas);
    let to = Destination {
        account: &asked.account,
        container: &asked.container,
        name: &asked.name,
        sas: &sas,
    };
    let begun = Instant::now();
    let tell = |p: Progress| println!("{}", json!({"done": p.done, "kept": p.kept, "total": p.total}));
    blobs.upload(&to, &asked.file, tell).await?;
    println!(
        "{}",
        json!({"seconds": begun.elapsed().as_secs_f64(), "peakKib": peak()})
    );
    Ok(())
}

/// Most memory that this process has held, KiB; 0 where the system doesn't tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
