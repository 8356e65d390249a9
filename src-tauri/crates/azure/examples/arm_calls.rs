//! What one call to the resource manager costs the client, for `cargo xtask bench arm`.
//!
//! `serve CA_FILE` runs the simulated Azure until the standard input ends, and prints where it is. `measure WHO WHERE
//! CALLS` reads that from the standard input, makes so many calls on one connection, and prints how long each took in
//! microseconds. WHO is `ours`, from before the request is built until its answer is a value; `traced`, the same with the
//! exchange shown to a trace, as a run's are; or `bare`, the same GET by the HTTP library alone, until the answer's bytes
//! are there. WHERE is `one`, a runtime of one thread, or `program`, the
//! runtime that the program has, in a task of it, as the engine's tasks make their calls.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use azure::{Arm, Limits, auth, clouds, limits, resources};
use jiff::Timestamp;
use plan::{Exchange, ResourceId, Trace, design::AzureConnection};
use secrets::Secret;
use serde_json::json;
use std::{
    error::Error,
    io::{Read, stdin},
    path::Path,
    sync::Arc,
    time::Instant,
};
use tokio::runtime::Builder;

type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

/// The lab's time: the bench measures the client, not Azure's limits.
struct LabTime(lab::LabClock);

#[async_trait::async_trait]
impl limits::Time for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }
}

/// A trace that keeps nothing.
struct Seen;

impl Trace for Seen {
    fn record(&self, _: Exchange) {}
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", ca] => Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve(Path::new(ca))),
        [
            "measure",
            who @ ("ours" | "traced" | "bare"),
            at @ ("one" | "program"),
            calls,
        ] => {
            let (who, calls) = (who.to_owned(), calls.parse()?);
            let runtime = match at {
                "one" => Builder::new_current_thread().enable_all().build()?,
                _ => Builder::new_multi_thread().enable_all().build()?,
            };
            let measured = runtime.block_on(async move { tokio::spawn(measure(who, calls)).await })?;
            for took in measured? {
                println!("{took}");
            }
            Ok(())
        }
        _ => Err("usage: arm_calls serve CA_FILE | measure ours|traced|bare one|program CALLS".into()),
    }
}

async fn serve(ca: &Path) -> Outcome {
    let options = lab::Options {
        speed: 10_000,
        people: false,
        ..lab::Options::default()
    };
    let mut lab = lab::Lab::start(options).await?;
    lab.write_ca(ca)?;
    println!("{}", serde_json::to_string(&lab.addresses())?);
    tokio::task::spawn_blocking(|| stdin().read_to_end(&mut vec![])).await??;
    lab.stop().await;
    Ok(())
}

/// Makes the calls; what each took, in microseconds.
async fn measure(who: String, calls: usize) -> Result<Vec<f64>, Failure> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let lab: lab::Addresses = serde_json::from_str(&text)?;
    let connection = AzureConnection {
        arm_url: lab.arm,
        authority_url: lab.authority,
        blob_url: lab.blob,
        tenant_id: lab.tenant_id,
        client_id: lab.client_id,
        subscription_id: lab.subscription_id,
        ca_pem: lab.ca_pem,
        ..AzureConnection::default()
    };
    let credential = auth::client_secret(&connection, Secret::new(lab.client_secret))?;
    let time = LabTime(lab::LabClock::remote(lab.clock));
    let arm = Arm::connect(&connection, credential.clone())?.limited(Limits::new(Arc::new(time)));
    let group = ResourceId::group(&connection.subscription_id, "bench");
    arm.put(&group, &json!({"location": "eastus2", "tags": {"purpose": "bench"}}))
        .await?;
    let mut took = Vec::with_capacity(calls);
    if who != "bare" {
        let arm = if who == "traced" {
            arm.traced(Arc::new(Seen))
        } else {
            arm
        };
        for _ in 0..calls {
            let started = Instant::now();
            let group = resources::group(&arm, "bench").await?;
            took.push(started.elapsed());
            if group.is_none_or(|g| g.location.as_deref() != Some("eastus2")) {
                return Err("the answer is not the group that was asked for".into());
            }
        }
    } else {
        let scope = clouds::scope(&connection);
        let token = credential.get_token(&[&scope], None).await?;
        let ca = reqwest::Certificate::from_pem(connection.ca_pem.as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build()?;
        let url = format!("{}{group}?api-version=2024-07-01", connection.arm_url);
        let authorization = format!("Bearer {}", token.token.secret());
        for _ in 0..calls {
            let started = Instant::now();
            let request = http.get(&url).header("authorization", &authorization);
            let answer = request.header("accept", "application/json").send().await?;
            let (status, body) = (answer.status(), answer.bytes().await?);
            took.push(started.elapsed());
            if !status.is_success() || body.is_empty() {
                return Err("the answer is not the group that was asked for".into());
            }
        }
    }
    Ok(took.iter().map(|t| t.as_nanos() as f64 / 1_000.0).collect())
}
