//! What one call to the resource manager costs the client, for `cargo xtask bench arm`.
//!
//! `serve CA_FILE` runs the simulated Azure until the standard input ends, and prints where it is. `measure CALLS` reads
//! that from the standard input, makes so many calls on one connection, and prints how long each took in microseconds,
//! from before the request is built until its answer is a value.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use azure::{Arm, Limits, auth, limits, resources};
use jiff::Timestamp;
use plan::{ResourceId, design::AzureConnection};
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

type Outcome = Result<(), Box<dyn Error>>;

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

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", ca] => Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve(Path::new(ca))),
        // One call after the other on one thread, as curl and Microsoft's client make them: what is measured is the
        // client, not the waking of a second thread.
        ["measure", calls] => Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(measure(calls.parse()?)),
        _ => Err("usage: arm_calls serve CA_FILE | measure CALLS".into()),
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

async fn measure(calls: usize) -> Outcome {
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
    let arm = Arm::connect(&connection, credential)?.limited(Limits::new(Arc::new(time)));
    let group = ResourceId::group(&connection.subscription_id, "bench");
    arm.put(&group, &json!({"location": "eastus2", "tags": {"purpose": "bench"}}))
        .await?;
    for _ in 0..calls {
        let started = Instant::now();
        let group = resources::group(&arm, "bench").await?;
        let took = started.elapsed();
        if group.is_none_or(|g| g.location.as_deref() != Some("eastus2")) {
            return Err("the answer is not the group that was asked for".into());
        }
        println!("{}", took.as_nanos() as f64 / 1_000.0);
    }
    Ok(())
}
