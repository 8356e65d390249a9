//! Reads the facts of an instance with many databases over a slow line, for `cargo xtask bench sql`.
//!
//! Reads from the first line of the standard input how many and how slow, as JSON, and prints after how many seconds the list
//! was there, the first database was looked into, and all of them.

#![allow(clippy::print_stdout, reason = "a command-line program talks on standard output")]

use lab::{
    Lab,
    tds::data::{Database, Spec},
};
use secrets::Secret;
use serde::Deserialize;
use serde_json::json;
use sqlserver::{
    Login, Options, Target,
    facts::{self, Found},
};
use std::{
    error::Error,
    io::stdin,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use trust::Trust;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    databases: usize,
    /// There and back.
    latency_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let asked: Asked = serde_json::from_str(&line)?;
    let lab = Lab::start(lab::Options::default()).await?;
    let a = lab.addresses();
    let mut spec = Spec::smarthotel(
        ("svc-dms", &a.sql_password),
        (r"CONTOSO\svc-backup", &a.share_password),
        2018,
    );
    spec.databases.extend((1..asked.databases).map(|n| Database {
        name: format!("Hotel {n:04}"),
        ..Database::default()
    }));
    let (_, port) = lab.start_sql(spec).await?;
    let port = slow_way(port, Duration::from_micros(asked.latency_ms * 500)).await?;
    let login = Login::Sql {
        user: "svc-dms".into(),
        password: Secret::new(a.sql_password.clone()),
    };
    let options = Options {
        trust: Trust::from_pem(&a.ca_pem)?,
        ..Options::new(Target::parse(&format!("127.0.0.1,{port}"))?, login)
    };
    let begun = Instant::now();
    let seconds = || begun.elapsed().as_secs_f64();
    let (mut list, mut first, mut looked) = (0.0, 0.0, 0);
    facts::read(&options, |found| match found {
        Found::Instance(_) => list = seconds(),
        Found::Database(..) => {
            looked += 1;
            if looked == 1 {
                first = seconds();
            }
        }
    })
    .await?;
    let all = seconds();
    if looked != asked.databases {
        return Err(format!("{looked} of {} databases were looked into", asked.databases).into());
    }
    println!("{}", json!({"list": list, "first": first, "all": all}));
    Ok(())
}

/// A network between client and server that delivers everything, both ways, this much later.
async fn slow_way(to: u16, delay: Duration) -> Result<u16, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else {
                continue;
            };
            // Late by our doing alone, not by TCP's.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let (send, mut held) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(n @ 1..) = from.read(&mut buffer).await {
                        let _ = send.send((Instant::now() + delay, buffer[..n].to_vec()));
                    }
                });
                tokio::spawn(async move {
                    while let Some((at, bytes)) = held.recv().await {
                        tokio::time::sleep_until(at.into()).await;
                        if to.write_all(&bytes).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    Ok(port)
}
