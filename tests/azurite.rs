//! Our signatures and our blob client against Azurite, Microsoft's emulator of Blob Storage: what we sign can do exactly what
//! it says, and what was changed, has expired or says too little is refused. Microsoft's Python library makes what is in the
//! container, and reads it with a signature of ours.

use crate::{
    recordings::python,
    support::{Home, PATIENCE, judge, together, top},
};
use azure::{Arm, AzureError, Blobs, ErrorClass, sas};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use plan::design::AzureConnection;
use secrets::Secret;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
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
