//! What reading and watching an inventory costs, for `cargo xtask bench vsphere`.
//!
//! `certificate FOLDER` makes a certificate for the simulator and prints its SHA-256. The rest reads where the server is from
//! the standard input, as JSON, and prints JSON: `first` reads all machines by the first pass, `whole` by both, `requests`
//! tells what was sent for both, and `watch` how soon a change is seen, and what waiting costs.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use futures::{StreamExt, TryStreamExt};
use plan::{Exchange, Trace, design::VCenterConnection, exchange::NoTrace};
use secrets::Secret;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    error::Error,
    fs,
    io::{Read, stdin},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use vsphere::{Change, Part, VCenter};

type Outcome = Result<(), Box<dyn Error>>;

/// How long waiting is looked at.
const IDLE: Duration = Duration::from_secs(10);
const CHANGES: usize = 4;

#[derive(Deserialize)]
struct Server {
    url: String,
    user: String,
    password: String,
    thumbprint: String,
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["certificate", folder] => certificate(Path::new(folder)),
        ["first"] => first(&sign_in(Arc::new(NoTrace)).await?).await,
        ["whole"] => whole(&sign_in(Arc::new(NoTrace)).await?).await,
        ["requests"] => requests().await,
        ["watch"] => watch(&sign_in(Arc::new(NoTrace)).await?).await,
        _ => Err("usage: inventory certificate FOLDER | first | whole | requests | watch".into()),
    }
}

fn certificate(folder: &Path) -> Outcome {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()])?;
    fs::write(folder.join("cert.pem"), made.cert.pem())?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    println!("{}", hex::encode_upper(Sha256::digest(made.cert.der())));
    Ok(())
}

async fn sign_in(trace: Arc<dyn Trace>) -> Result<VCenter, Box<dyn Error>> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let server: Server = serde_json::from_str(&text)?;
    let connection = VCenterConnection {
        url: server.url,
        user: server.user,
        thumbprint: server.thumbprint,
        ..VCenterConnection::default()
    };
    Ok(VCenter::connect(&connection, Secret::new(server.password), trace).await?)
}

/// Pages as a window gets them.
const PAGE: u32 = 200;

async fn first(vcenter: &VCenter) -> Outcome {
    let begun = Instant::now();
    let mut parts = vcenter.discover(PAGE);
    let (mut rows, mut vms) = (None, Vec::new());
    while let Some(part) = parts.try_next().await? {
        if let Part::Machines(mut page) = part {
            rows.get_or_insert_with(|| begun.elapsed());
            vms.append(&mut page);
        }
    }
    let all = begun.elapsed();
    let rows = rows.unwrap_or_default();
    println!(
        "{}",
        json!({"machines": vms.len(), "seconds": all.as_secs_f64(), "firstPage": rows.as_secs_f64(), "peakKib": status("VmHWM")})
    );
    vcenter.logout().await;
    Ok(())
}

async fn whole(vcenter: &VCenter) -> Outcome {
    let morefs: Vec<String> = vcenter.inventory().await?.vms.into_iter().map(|v| v.moref).collect();
    let begun = Instant::now();
    let vms = vcenter.details(&morefs).await?;
    println!(
        "{}",
        json!({"machines": vms.len(), "seconds": begun.elapsed().as_secs_f64(), "peakKib": status("VmHWM")})
    );
    vcenter.logout().await;
    Ok(())
}

/// Keeps what was sent.
#[derive(Default)]
struct Sent(Mutex<Vec<(String, String)>>);

impl Trace for Sent {
    fn record(&self, exchange: Exchange) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push((exchange.method, exchange.request_body.unwrap_or_default()));
    }
}

async fn requests() -> Outcome {
    let sent = Arc::new(Sent::default());
    let vcenter = sign_in(sent.clone()).await?;
    let morefs: Vec<String> = vcenter.inventory().await?.vms.into_iter().map(|v| v.moref).collect();
    vcenter.details(&morefs).await?;
    vcenter.logout().await;
    let sent = sent.0.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", json!(*sent));
    Ok(())
}

async fn watch(vcenter: &VCenter) -> Outcome {
    let known = vcenter.inventory().await?.vms;
    let (machines, moref) = (known.len(), known.first().ok_or("no machines")?.moref.clone());
    let begun = Instant::now();
    let mut changes = vcenter.watch(known);
    let mut next = async |wanted: Option<&str>| loop {
        match (changes.next().await, wanted) {
            (Some(Change::Quiet), None) => return Ok(()),
            (Some(Change::Quiet), _) => {}
            (Some(Change::Upserted(vms)), Some(power)) => {
                if vms.iter().any(|v| v.moref == moref && v.power_state == power) {
                    return Ok(());
                }
            }
            (other, _) => return Err(format!("unexpected: {other:?}")),
        }
    };
    next(None).await?;
    let ready = begun.elapsed().as_secs_f64();
    let mut seen = Vec::new();
    for i in 0..CHANGES {
        let begun = Instant::now();
        let off = i % 2 == 0;
        if off {
            vcenter.power_off(&moref).await?;
        } else {
            vcenter.power_on(&moref).await?;
        }
        next(Some(if off { "poweredOff" } else { "poweredOn" })).await?;
        seen.push(begun.elapsed().as_secs_f64());
    }
    let before = ticks();
    tokio::time::sleep(IDLE).await;
    // The kernel counts hundredths of a second.
    let idle = ticks().saturating_sub(before) as f64 / IDLE.as_secs_f64();
    println!(
        "{}",
        json!({"machines": machines, "ready": ready, "seen": seen, "idleCpuPercent": idle, "residentKib": status("VmRSS"), "peakKib": status("VmHWM")})
    );
    vcenter.logout().await;
    Ok(())
}

/// A figure of this process in KiB, where the kernel tells.
fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|l| {
            l.strip_prefix(key)?
                .strip_prefix(':')?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or_default()
}

/// CPU time of this process, in and outside of the kernel.
fn ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum()
}
