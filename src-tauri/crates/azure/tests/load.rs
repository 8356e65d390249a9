//! Five thousand long operations polled at once, with new work beside them: inside Azure's documented buckets, without
//! anybody starving, in little memory. The server below is a judge of its own: it knows the figures of Microsoft's page
//! and nothing of `azure::limits`, and counts what it would have refused.
//!
//! A test binary of its own, so that the process's memory is that of this test.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use azure::{Arm, Limits, Operation, Polled, TokenCredential, limits};
use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    time::{Duration as Span, OffsetDateTime},
};
use jiff::{SignedDuration, Timestamp};
use plan::{ResourceId, design::AzureConnection};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const OPERATIONS: usize = 5_000;
/// How often each operation says that it still runs.
const POLLS: u32 = 1;
const NEW_WORK: usize = 200;
/// Seconds of the test's clock in a second.
const SPEED: i32 = 30;

#[derive(Debug)]
struct Fixed;

#[async_trait::async_trait]
impl TokenCredential for Fixed {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        // As long as a real one.
        Ok(AccessToken::new(
            "t".repeat(1_500),
            OffsetDateTime::now_utc() + Span::hours(1),
        ))
    }
}

/// A clock that runs [`SPEED`] times as fast.
struct Fast(Instant);

impl Fast {
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * f64::from(SPEED)
    }
}

#[async_trait::async_trait]
impl limits::Time for Fast {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs_f64(self.seconds())
    }

    async fn sleep_until(&self, until: Timestamp) {
        let left = until.duration_since(self.now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default() / SPEED.unsigned_abs()).await;
    }
}

/// What the server saw.
#[derive(Default)]
struct Seen {
    /// Microsoft's bucket of reads: 250, refilled by 25 a second.
    left: f64,
    at: f64,
    lowest: f64,
    refused: u32,
    /// Of each path, when it was asked for.
    asked: HashMap<String, Vec<f64>>,
}

/// Answers requests until the client goes.
async fn serve(mut stream: TcpStream, clock: Arc<Fast>, seen: Arc<Mutex<Seen>>) {
    let mut buffer = vec![];
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&buffer);
        let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
        buffer.clear();
        let (status, body) = {
            let mut seen = seen.lock().unwrap();
            let now = clock.seconds();
            seen.left = (seen.left + (now - seen.at) * 25.0).min(250.0);
            seen.at = now;
            if seen.left < 1.0 {
                seen.refused += 1;
                ("429 Too Many Requests\r\nRetry-After: 1", "{}".to_owned())
            } else {
                seen.left -= 1.0;
                seen.lowest = seen.lowest.min(seen.left);
                let times = seen.asked.entry(path).or_default();
                times.push(now);
                let status = if times.len() > POLLS as usize {
                    "Succeeded"
                } else {
                    "InProgress"
                };
                ("200 OK\r\nRetry-After: 10", json!({"status": status}).to_string())
            }
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The most memory that this process ever held, in MiB; none where the system doesn't say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_operations_stay_within_the_limits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = AzureConnection {
        arm_url: format!("http://{}", listener.local_addr().unwrap()),
        subscription_id: "s".into(),
        ..AzureConnection::default()
    };
    let clock = Arc::new(Fast(Instant::now()));
    let seen = Arc::new(Mutex::new(Seen {
        left: 250.0,
        lowest: 250.0,
        ..Seen::default()
    }));
    let connections = Arc::new(Mutex::new(0));
    let counted = connections.clone();
    let (time, judge) = (clock.clone(), seen.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            tokio::spawn(serve(stream, time.clone(), judge.clone()));
        }
    });
    let arm = Arm::connect(&connection, Arc::new(Fixed))
        .unwrap()
        .limited(Limits::new(clock.clone()));

    let mut operations = JoinSet::new();
    for i in 0..OPERATIONS {
        let (arm, clock) = (arm.clone(), clock.clone());
        operations.spawn(async move {
            let mut operation: Operation = serde_json::from_value(json!({
                "method": "DELETE", "phase": "status", "pollUrl": format!("/subscriptions/s/providers/Microsoft.Sql/operations/{i}?api-version=1"),
                "finalUrl": null, "resourceUrl": "/x", "name": null, "retryAfter": 1,
            }))
            .unwrap();
            loop {
                match arm.poll(&operation).await.unwrap() {
                    Polled::Running {
                        operation: newest,
                        retry_after,
                        ..
                    } => {
                        operation = newest;
                        let until = limits::Time::now(&*clock) + SignedDuration::from_secs(retry_after.cast_signed());
                        limits::Time::sleep_until(&*clock, until).await;
                    }
                    Polled::Done { .. } => return,
                    Polled::Failed(e) => unreachable!("{e}"),
                }
            }
        });
    }
    let mut work = JoinSet::new();
    for i in 0..NEW_WORK {
        let (arm, clock) = (arm.clone(), clock.clone());
        work.spawn(async move {
            let id = ResourceId::new(format!("/subscriptions/s/providers/Microsoft.Sql/managedInstances/{i}"));
            arm.get(&id).await.unwrap();
            clock.seconds()
        });
    }
    let mut work_done = vec![];
    while let Some(done) = work.join_next().await {
        work_done.push(done.unwrap());
    }
    while let Some(done) = operations.join_next().await {
        done.unwrap();
    }
    let took = clock.seconds();

    let seen = seen.lock().unwrap();
    let requests: usize = seen.asked.values().map(Vec::len).sum();
    let mut gaps: Vec<f64> = seen
        .asked
        .values()
        .flat_map(|t| t.windows(2).map(|w| w[1] - w[0]))
        .collect();
    gaps.sort_by(f64::total_cmp);
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    let last_work = work_done.iter().copied().fold(0.0, f64::max);
    println!(
        "{requests} requests in {took:.0} s of the clock ({:.0} s real), {:.1} a second; bucket at its lowest {:.0} of 250, {} refused",
        took / f64::from(SPEED),
        requests as f64 / took,
        seen.lowest,
        seen.refused,
    );
    println!(
        "polls of one operation: median {median:.0} s apart, at most {longest:.0} s; new work done after {last_work:.0} s; {} connections, {:?} MiB at most",
        connections.lock().unwrap(),
        peak(),
    );
    assert_eq!(requests, OPERATIONS * (POLLS as usize + 1) + NEW_WORK);
    assert_eq!(seen.refused, 0, "Azure would have refused");
    // A round of all operations takes 200 s at 25 a second, and a quarter longer while new work takes its share.
    assert!(longest < 3.0 * median.max(200.0), "somebody starved: {longest} s");
    assert!(last_work < took / 2.0, "new work starved: {last_work} s");
    // A request opens a connection when all are busy at that moment, so there may be some more than requests at once.
    assert!(*connections.lock().unwrap() <= 128);
    if let Some(mib) = peak() {
        assert!(mib < 100, "{mib} MiB");
    }
}
