//! Foreign clients judge the lab's SQL Server: FreeTDS' `tsql` and python-tds sign in to instances of every version, in every
//! way of encryption that they have, and read SmartHotel. So the lab speaks the real protocol, and our own client, which
//! `sqlserver`'s tests hold against the lab, does too.
//!
//! Needs FreeTDS (Debian package freetds-bin) and the Python environment in target/judges-python, which `cargo xtask test`
//! installs.

use crate::{
    recordings::python,
    support::{Ended, PATIENCE, judge, together},
};
use lab::{
    Addresses, Lab, Options,
    tds::data::{Encryption, Spec},
};
use std::{io::Write, process::Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

async fn lab() -> (Lab, Addresses) {
    let lab = Lab::start(Options::default()).await.unwrap();
    let addresses = lab.addresses();
    (lab, addresses)
}

fn spec(a: &Addresses) -> Spec {
    Spec::smarthotel(
        ("svc-dms", &a.sql_password),
        (r"CONTOSO\svc-backup", &a.share_password),
        2018,
    )
}

/// Runs statements in `tsql`. `encryption` is FreeTDS' word for it: off, request or require.
async fn tsql(port: u16, encryption: &str, (user, password): (&str, &str), statements: &[&str]) -> Ended {
    let mut settings = tempfile::NamedTempFile::new().unwrap();
    write!(
        settings,
        "[lab]\nhost = 127.0.0.1\nport = {port}\ntds version = 7.4\nclient charset = UTF-8\nencryption = {encryption}\n"
    )
    .unwrap();
    let mut command = Command::new(judge("tsql", "REHOST_TSQL", "Debian package freetds-bin"));
    command
        .args(["-S", "lab", "-U", user, "-P", password, "-o", "q"])
        .env("FREETDSCONF", settings.path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let asked: String = statements.iter().map(|s| format!("{s}\ngo\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    // A program that could not sign in doesn't read its input.
    let _ = stdin.write_all(asked.as_bytes()).await;
    drop(stdin);
    let begun = std::time::Instant::now();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Ended {
        code: output.status.code(),
        json: serde_json::Value::Null,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: begun.elapsed(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn freetds_reads_smarthotel_from_every_version() {
    let _machine = together().await;
    let (lab, a) = lab().await;
    for (year, version) in [
        (2008, "10.0."),
        (2010, "10.50."),
        (2012, "11.0."),
        (2014, "12.0."),
        (2016, "13.0."),
        (2017, "14.0."),
        (2019, "15.0."),
        (2022, "16.0."),
        (2025, "17.0."),
    ] {
        let (_, port) = lab.start_sql(Spec { year, ..spec(&a) }).await.unwrap();
        let statements = [
            "SELECT SERVERPROPERTY('ProductVersion')",
            "SELECT Name, City FROM SmartHotelDB.dbo.Hotels WHERE Rating > 4.7",
            "USE SmartHotelDB\nSELECT COUNT(*) FROM Bookings",
        ];
        let ended = tsql(port, "require", ("svc-dms", &a.sql_password), &statements).await;
        ended.must_end_with(0);
        let lines: Vec<&str> = ended.stdout.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        assert!(lines.iter().any(|l| l.starts_with(version)), "{year}: {lines:?}");
        assert!(lines.contains(&"Hôtel Étoile\tParis"), "{year}: {lines:?}");
        assert!(lines.contains(&"40"), "{year}: {lines:?}");
        // What came later is not there earlier.
        let later = ["SELECT name, containment_desc FROM sys.databases"];
        let ended = tsql(port, "request", ("svc-dms", &a.sql_password), &later).await;
        let unknown = ended.stderr.contains("Invalid column name 'containment_desc'");
        assert_eq!(unknown, year < 2012, "{year}: {} {}", ended.stdout, ended.stderr);
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freetds_encrypts_and_signs_in_as_it_can() {
    let _machine = together().await;
    let (lab, a) = lab().await;
    let ask = ["SELECT SUSER_SNAME()"];
    let dba = ("svc-dms", a.sql_password.as_str());
    for (wish, encryption, reached) in [
        (Encryption::Offered, "off", true),
        (Encryption::Offered, "request", true),
        (Encryption::Offered, "require", true),
        (Encryption::Forced, "require", true),
        // It offers what the server then insists on.
        (Encryption::Forced, "off", true),
        (Encryption::Impossible, "off", true),
        (Encryption::Impossible, "require", false),
        (Encryption::Strict, "require", false),
    ] {
        let (_, port) = lab
            .start_sql(Spec {
                encryption: wish,
                ..spec(&a)
            })
            .await
            .unwrap();
        let ended = tsql(port, encryption, dba, &ask).await;
        assert_eq!(
            ended.stdout.contains("svc-dms"),
            reached,
            "{wish:?} {encryption}: {} {}",
            ended.stdout,
            ended.stderr
        );
    }
    let (_, port) = lab.start_sql(spec(&a)).await.unwrap();
    let windows = r"CONTOSO\svc-backup";
    let ended = tsql(port, "require", (windows, &a.share_password), &ask).await;
    assert!(ended.stdout.contains(windows), "{} {}", ended.stdout, ended.stderr);
    for (user, password) in [(windows, "wrong"), ("svc-dms", "wrong"), ("nobody", "wrong")] {
        let ended = tsql(port, "require", (user, password), &ask).await;
        assert!(
            ended.stderr.contains("Login failed"),
            "{user}: {} {}",
            ended.stdout,
            ended.stderr
        );
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_tds_reads_smarthotel() {
    let _machine = together().await;
    let (lab, a) = lab().await;
    let mut authority = tempfile::NamedTempFile::new().unwrap();
    authority.write_all(a.ca_pem.as_bytes()).unwrap();
    let (_, port) = a.sql.split_once(',').unwrap();
    let arguments = [
        "localhost",
        port,
        "svc-dms",
        &a.sql_password,
        authority.path().to_str().unwrap(),
    ];
    let ended = python("tds/smarthotel.py", &arguments, "").await;
    ended.must_end_with(0);
    let checks = ended.stdout.lines().filter(|l| l.starts_with("ok ")).count();
    assert_eq!(checks, 8, "{}", ended.stdout);
    lab.stop().await;
}
