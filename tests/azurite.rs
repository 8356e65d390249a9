//! Our signatures and our blob client against Azurite, Microsoft's emulator of Blob Storage: what we sign can do exactly what
//! it says, and what was changed, has expired or says too little is refused. Microsoft's Python library makes what is in the
//! container, and reads it with a signature of ours.

use crate::{
    recordings::python,
    support::{Home, PATIENCE, judge, together, top},
};
use azure::{
    Arm, AzureError, Blobs, ErrorClass, sas,
    upload::{Destination, Progress, UploadError},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use plan::design::AzureConnection;
use secrets::Secret;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

const ACCOUNT: &str = "contosobackup";
const CONTAINER: &str = "smarthotel-backup";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A running emulator with one account and a container in it.
struct Azurite {
    _child: Child,
    /// With `{account}`.
    address: String,
    ca: PathBuf,
    key: Secret<String>,
}

impl Azurite {
    async fn start(home: &Home, blobs: &BTreeMap<&str, &str>) -> Self {
        let program = top().join("tests/judges/node_modules/azurite/dist/src/blob/main.js");
        assert!(
            program.is_file(),
            "Microsoft's azurite is not installed; type `npm ci` in tests/judges, or `cargo xtask test`"
        );
        // HTTPS, because our signatures are for HTTPS only.
        let (ca, key) = (home.path("azurite.pem"), home.path("azurite.key"));
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        std::fs::write(&ca, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let account_key = STANDARD.encode([42; 64]);
        let mut child = Command::new(judge(
            "node",
            "REHOST_NODE",
            "Node 20 from nodejs.org or your distribution",
        ))
        .arg(program)
        // It knows no version of the interface newer than itself; the signatures' rules are older.
        .args(["--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"])
        .args([
            "--blobPort",
            "0",
            "--cert",
            ca.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ])
        .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{account_key}"))
        .current_dir(home.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once(" listens on ") {
                    return address.trim_end_matches('/').to_owned();
                }
            }
            panic!("azurite ended before it listened");
        };
        let address = tokio::time::timeout(PATIENCE, listens).await.unwrap();
        // Its log goes nowhere, but it must not stand still because nobody reads it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let azurite = Self {
            _child: child,
            address: format!("{address}/{{account}}"),
            ca,
            key: Secret::new(account_key),
        };
        let make = json!({
            "address": azurite.at(), "account": ACCOUNT, "key": azurite.key.expose(), "container": CONTAINER, "blobs": blobs,
        });
        assert_eq!(azurite.microsofts(json!({ "make": make })).await["made"], blobs.len());
        azurite
    }

    fn at(&self) -> String {
        self.address.replace("{account}", ACCOUNT)
    }

    /// Asks Microsoft's library.
    async fn microsofts(&self, mut ask: Value) -> Value {
        ask["ca"] = self.ca.to_str().unwrap().into();
        python("python/blobs.py", &[], &ask.to_string())
            .await
            .must_end_with(0)
            .json
            .clone()
    }

    fn client(&self) -> Blobs {
        let connection = AzureConnection {
            arm_url: "https://127.0.0.1:1".into(),
            authority_url: "https://127.0.0.1:1".into(),
            blob_url: self.address.clone(),
            tenant_id: "contoso".into(),
            client_id: "nobody".into(),
            ca_pem: std::fs::read_to_string(&self.ca).unwrap(),
            ..AzureConnection::default()
        };
        let nobody = azure::auth::client_secret(&connection, Secret::from("-")).unwrap();
        Blobs::new(&Arm::connect(&connection, nobody).unwrap())
    }

    /// A signature for the container, valid for these hours around now.
    fn sign(&self, permissions: &str, from: i64, to: i64) -> Secret<String> {
        let now = Timestamp::now();
        let (start, expiry) = (
            now + SignedDuration::from_hours(from),
            now + SignedDuration::from_hours(to),
        );
        sas::service_sas(ACCOUNT, CONTAINER, &self.key, permissions, start, expiry).unwrap()
    }
}

#[tokio::test]
async fn what_we_sign_lists_reads_and_writes() {
    let _machine = together().await;
    let home = Home::new();
    let content = BTreeMap::from([
        ("SmartHotelDB_full_01.bak", "full"),
        ("folder/SmartHotelDB log 001.trn", "first log"),
        ("folder/ümlaut & <co>.trn", "odd"),
    ]);
    let azurite = Azurite::start(&home, &content).await;
    let (blobs, rl) = (azurite.client(), azurite.sign("rl", -1, 1));

    let listed = blobs.list(ACCOUNT, CONTAINER, "", &rl).await.unwrap();
    let sizes: BTreeMap<&str, u64> = listed.iter().map(|b| (b.name.as_str(), b.size)).collect();
    let expected = content.iter().map(|(name, text)| (*name, text.len() as u64)).collect();
    assert_eq!(sizes, expected);
    let age = Timestamp::now().duration_since(listed[0].last_modified);
    assert!(age.abs() < HOUR, "{age}");
    let inside = blobs.list(ACCOUNT, CONTAINER, "folder/", &rl).await.unwrap();
    assert_eq!(inside.len(), 2);
    for item in &listed {
        let seen = blobs.head(ACCOUNT, CONTAINER, &item.name, &rl).await.unwrap();
        assert_eq!(seen.as_ref(), Some(item));
    }
    assert_eq!(blobs.head(ACCOUNT, CONTAINER, "not there", &rl).await.unwrap(), None);

    // The other reader, with the same signature.
    let read = azurite
        .microsofts(json!({ "read": format!("{}/{CONTAINER}?{}", azurite.at(), rl.expose()) }))
        .await;
    assert_eq!(read, json!(content));

    // The signature for SQL Server's backups writes, and sees nothing.
    let cw = azurite.sign("cw", -1, 1);
    let name = "SmartHotelDB_tail.trn";
    blobs.try_put(ACCOUNT, CONTAINER, name, "tail", &cw).await.unwrap();
    refused(blobs.list(ACCOUNT, CONTAINER, "", &cw).await, MISMATCH);
    let written = blobs.head(ACCOUNT, CONTAINER, name, &rl).await.unwrap().unwrap();
    assert_eq!(written.size, 4);
}

/// The signature is good, but not for this.
const MISMATCH: &[&str] = &["AuthorizationPermissionMismatch"];
/// The signature is not good: Azure says the second, Azurite the first.
const NOT_SIGNED: &[&str] = &["AuthorizationFailure", "AuthenticationFailed"];

#[tokio::test]
async fn anything_else_is_refused() {
    let _machine = together().await;
    let home = Home::new();
    let azurite = Azurite::start(&home, &BTreeMap::from([("x.bak", "x")])).await;
    let blobs = azurite.client();
    let list = async |sas: &Secret<String>| blobs.list(ACCOUNT, CONTAINER, "", sas).await;
    let put = async |sas: &Secret<String>| blobs.try_put(ACCOUNT, CONTAINER, "y.bak", "y", sas).await;
    let good = azurite.sign("rl", -1, 1);
    assert_eq!(
        list(&good).await.unwrap().len(),
        1,
        "what is changed below works unchanged"
    );

    // Changed: more permissions, more time, another signature, another kind of resource.
    let changed = |from: &str, to: &str| {
        let text = good.expose().replace(from, to);
        assert_ne!(&text, good.expose(), "{from} is not in it");
        Secret::new(text)
    };
    let signature = good.expose().split_once("sig=").unwrap().1;
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let expiry = good.expose().split_once("&se=").unwrap().1.split_once('&').unwrap().0;
    for tampered in [
        changed("sp=rl", "sp=rwl"),
        changed(&format!("se={expiry}"), "se=2099-01-01T00%3A00%3A00Z"),
        changed(&format!("sig={signature}"), &format!("sig={other}{}", &signature[1..])),
        changed("&spr=https", ""),
    ] {
        refused(list(&tampered).await, NOT_SIGNED);
        refused(put(&tampered).await, NOT_SIGNED);
    }
    // The wrong time.
    refused(list(&azurite.sign("rl", -2, -1)).await, NOT_SIGNED);
    refused(list(&azurite.sign("rl", 1, 2)).await, NOT_SIGNED);
    // Too little.
    refused(list(&azurite.sign("r", -1, 1)).await, MISMATCH);
    refused(
        blobs.head(ACCOUNT, CONTAINER, "x.bak", &azurite.sign("l", -1, 1)).await,
        MISMATCH,
    );
    refused(put(&good).await, MISMATCH);
    // Another key, as after a rotation, and another container.
    let now = Timestamp::now();
    let rotated = Secret::new(STANDARD.encode([43; 64]));
    let sign = |container, key| sas::service_sas(ACCOUNT, container, key, "rl", now - HOUR, now + HOUR).unwrap();
    refused(list(&sign(CONTAINER, &rotated)).await, NOT_SIGNED);
    refused(list(&sign("another", &azurite.key)).await, NOT_SIGNED);
}

/// A refusal that no repetition changes, with one of these codes.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, AzureError>, codes: &[&str]) {
    let error = answer.expect_err("it must be refused");
    assert_eq!(error.status(), Some(403), "{error}");
    assert!(
        codes.contains(&error.code()),
        "{} is none of {codes:?}: {error}",
        error.code()
    );
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
}

const MIB: u64 = 1 << 20;

/// A backup of so many MiB, the same each time, in which no two blocks are alike.
fn backup(home: &Home, mib: u64) -> PathBuf {
    let path = home.path("SmartHotelDB_full_01.bak");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = words.take((mib * MIB / 8) as usize).flatten().collect();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The program that uploads, begun.
async fn uploading(azurite: &Azurite, sas: &Secret<String>, file: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("examples/blob_upload");
    assert!(
        program.is_file(),
        "{} is not built; type `cargo build --package azure --example blob_upload`, or `cargo xtask test`",
        program.display()
    );
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ask = json!({ "address": azurite.address, "ca": azurite.ca, "account": ACCOUNT, "container": CONTAINER,
        "name": "SmartHotelDB_full_01.bak", "sas": sas.expose(), "file": file });
    let mut to = child.stdin.take().unwrap();
    to.write_all(format!("{ask}\n").as_bytes()).await.unwrap();
    child
}

/// What it tells until `enough`, or until its end; the last line.
async fn told(child: &mut Child, enough: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = vec![];
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push(serde_json::from_str(&line).unwrap());
        if enough(&told[told.len() - 1]) {
            break;
        }
    }
    told
}

#[tokio::test]
async fn a_killed_upload_goes_on_where_it_stopped_and_the_blob_is_the_file() {
    let _machine = together().await;
    let home = Home::new();
    let azurite = Azurite::start(&home, &BTreeMap::new()).await;
    let (blobs, rcw) = (azurite.client(), azurite.sign("rcw", -1, 1));
    let file = backup(&home, 30);

    let mut first = uploading(&azurite, &rcw, &file).await;
    let before = told(&mut first, |line| line["done"].as_u64() >= Some(8 * MIB)).await;
    // SIGKILL.
    first.kill().await.unwrap();
    let acknowledged = before.last().unwrap()["done"].as_u64().unwrap();
    assert!(acknowledged < 30 * MIB, "it was killed on its way: {before:?}");
    let name = "SmartHotelDB_full_01.bak";
    assert_eq!(
        blobs.head(ACCOUNT, CONTAINER, name, &rcw).await.unwrap(),
        None,
        "half a backup is no backup"
    );

    let mut second = uploading(&azurite, &rcw, &file).await;
    let after = told(&mut second, |_| false).await;
    assert!(second.wait().await.unwrap().success());
    let kept = after[after.len() - 2]["kept"].as_u64().unwrap();
    println!("{acknowledged} bytes were acknowledged before the kill, {kept} were not sent again");
    assert!(kept >= acknowledged, "what was acknowledged is never sent twice");
    let address = Secret::new(format!("{}/{CONTAINER}/{name}?{}", azurite.at(), rcw.expose()));
    let arrived = blobs.read(&address).await.unwrap();
    assert!(arrived == std::fs::read(&file).unwrap(), "byte by byte");

    // Once more: nothing is sent, and nothing of it changes.
    let mut third = uploading(&azurite, &rcw, &file).await;
    let again = told(&mut third, |_| false).await;
    assert!(third.wait().await.unwrap().success());
    assert_eq!(again[again.len() - 2]["kept"], 30 * MIB);
}

#[tokio::test]
async fn an_upload_overwrites_nothing_and_says_what_is_in_its_way() {
    let _machine = together().await;
    let home = Home::new();
    let taken = "SmartHotelDB_log_001.trn";
    let azurite = Azurite::start(&home, &BTreeMap::from([(taken, "another")])).await;
    let (blobs, rcw, rl) = (azurite.client(), azurite.sign("rcw", -1, 1), azurite.sign("rl", -1, 1));
    let file = backup(&home, 9);
    let to = |name: &'static str, sas| Destination {
        account: ACCOUNT,
        container: CONTAINER,
        name,
        sas,
    };
    let quiet = |_: Progress| {};

    let refused = blobs.upload(&to("x.bak", &rl), &file, quiet).await.unwrap_err();
    assert!(
        matches!(&refused, UploadError::Azure(e) if e.status() == Some(403)),
        "a signature that can't write: {refused:?}"
    );
    let other = blobs.upload(&to(taken, &rcw), &file, quiet).await.unwrap_err();
    assert!(
        matches!(other, UploadError::Taken { .. }) && other.hint().contains(taken),
        "{other:?}"
    );
    let there = blobs.head(ACCOUNT, CONTAINER, taken, &rcw).await.unwrap().unwrap();
    assert_eq!(there.size, "another".len() as u64);

    // Somebody is still writing to the file.
    let mut grows = false;
    let growing = |p: Progress| {
        if p.done > 0 && !std::mem::replace(&mut grows, true) {
            use std::io::Write;
            let mut open = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
            open.write_all(b"more").unwrap();
        }
    };
    let changed = blobs.upload(&to("y.bak", &rcw), &file, growing).await.unwrap_err();
    assert!(matches!(changed, UploadError::Changed { .. }), "{changed:?}");
    assert_eq!(blobs.head(ACCOUNT, CONTAINER, "y.bak", &rcw).await.unwrap(), None);
    blobs.upload(&to("y.bak", &rcw), &file, quiet).await.unwrap();
    let whole = blobs.head(ACCOUNT, CONTAINER, "y.bak", &rcw).await.unwrap().unwrap();
    assert_eq!(whole.size, 9 * MIB + 4);

    let missing = blobs.upload(&to("z.bak", &rcw), &home.path("nothing.bak"), quiet).await;
    assert!(matches!(missing, Err(UploadError::File { .. })));
    let empty = home.path("empty.bak");
    std::fs::write(&empty, "").unwrap();
    blobs.upload(&to("empty.bak", &rcw), &empty, quiet).await.unwrap();
    assert_eq!(
        blobs
            .head(ACCOUNT, CONTAINER, "empty.bak", &rcw)
            .await
            .unwrap()
            .unwrap()
            .size,
        0
    );
}
