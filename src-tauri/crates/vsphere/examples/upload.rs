//! What uploading a template costs, for `cargo xtask bench ovf`.
//!
//! `template FOLDER BYTES` writes a template whose disk has so many bytes. `upload` reads from the first line of the standard
//! input where the server is, the template, and the machine's name, as JSON, and deploys. When it knows the upload's address,
//! and when all was sent, it prints the address as JSON and waits for another line; at the end it prints how long it took.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use plan::{Exchange, Trace, appliance::Placement, design::VCenterConnection};
use secrets::Secret;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write, stdin},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use vsphere::{ImportStep, Package, VCenter};

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Deserialize)]
struct Asked {
    url: String,
    user: String,
    password: String,
    thumbprint: String,
    template: PathBuf,
    name: String,
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["template", folder, bytes] => template(Path::new(folder), bytes.parse()?),
        ["upload"] => upload().await,
        _ => Err("usage: upload template FOLDER BYTES | upload".into()),
    }
}

/// Without the disk that has no file: VMware's simulator breaks down over it.
fn template(folder: &Path, bytes: u64) -> Outcome {
    let descriptor = lab::template::descriptor(bytes);
    let lines: Vec<&str> = descriptor.lines().filter(|l| !l.contains("vmdisk2")).collect();
    fs::write(folder.join("appliance.ovf"), lines.join("\n"))?;
    let mut out = BufWriter::new(File::create(folder.join("appliance-disk1.vmdk"))?);
    lab::template::disk(bytes, |piece| out.write_all(piece))?;
    out.into_inner()?.sync_all()?;
    Ok(())
}

/// Hears the upload's address.
#[derive(Default)]
struct Address(Mutex<String>);

impl Trace for Address {
    fn record(&self, exchange: Exchange) {
        let body = exchange.response_body.unwrap_or_default();
        let url = body.split_once("<url>").and_then(|(_, rest)| rest.split_once("</url>"));
        if let Some((url, _)) = url {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = url.to_owned();
        }
    }
}

async fn upload() -> Outcome {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let asked: Asked = serde_json::from_str(&line)?;
    let host = asked.url.trim_end_matches("/sdk").to_owned();
    let connection = VCenterConnection {
        url: asked.url,
        user: asked.user,
        thumbprint: asked.thumbprint,
        ..VCenterConnection::default()
    };
    let address = Arc::new(Address::default());
    let vcenter = VCenter::connect(&connection, Secret::new(asked.password), address.clone()).await?;
    let package = Package::open(&asked.template)?;
    let places = vcenter.deployment_places().await?;
    let compute = places.computes.first().ok_or("no host")?;
    let folder = places
        .folders
        .iter()
        .find(|f| f.datacenter == compute.datacenter)
        .ok_or("no folder")?;
    let first = |moref: Option<&String>| moref.cloned().unwrap_or_default();
    let networks = package.template.networks.iter();
    let at = Placement {
        name: asked.name,
        compute: compute.moref.clone(),
        datastore: first(compute.datastores.first().map(|d| &d.moref)),
        folder: folder.moref.clone(),
        networks: networks
            .map(|n| (n.name.clone(), first(compute.networks.first().map(|n| &n.moref))))
            .collect(),
        ..Placement::default()
    };
    let spec = vcenter.import_spec(&package, &at, &BTreeMap::new(), &places).await?;
    let (begun, took) = (Mutex::new(Instant::now()), Mutex::new(Duration::ZERO));
    let pause = || -> Result<(), String> {
        let url = address
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace("https://*", &host);
        println!("{}", json!({ "url": url }));
        stdin()
            .read_line(&mut String::new())
            .map(drop)
            .map_err(|e| e.to_string())
    };
    let hear = |step: ImportStep| {
        match step {
            ImportStep::Sending { .. } => {
                pause()?;
                *begun.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            ImportStep::Sent => {
                let elapsed = begun.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                *took.lock().unwrap_or_else(PoisonError::into_inner) = elapsed;
                pause()?;
            }
            _ => {}
        }
        Ok(())
    };
    let (_going, stop) = watch::channel(false);
    vcenter
        .import(&package, spec, "bench", stop, &hear)
        .await
        .map_err(|(e, _)| e)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let took = *took.lock().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{}",
        json!({ "seconds": took.as_secs_f64(), "peakKib": peak.and_then(|p| p.trim().parse::<f64>().ok()) })
    );
    vcenter.logout().await;
    Ok(())
}
