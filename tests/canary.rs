//! No secret of a whole rehearsal is found anywhere it doesn't belong: not in the project file, the report, the output or
//! the logs, not even in a copy encoded for a URL or as Base64.
//!
//! Which secrets there are is not taken from our own code: the lab has recorded what really went over the wire.

use crate::support::{Ended, Home, LabProcess, around_and_proved, together};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

#[tokio::test]
async fn no_secret_of_a_rehearsal_is_left_anywhere() {
    nothing_is_left(&[], false).await;
}

#[tokio::test]
async fn no_secret_of_the_other_methods_is_left_anywhere() {
    nothing_is_left(&["--replication", "vmware-cbt", "--database", "dms-online"], false).await;
}

#[tokio::test]
async fn no_password_hash_of_a_moved_login_is_left_anywhere() {
    nothing_is_left(&[], true).await;
}

async fn nothing_is_left(methods: &[&str], around: bool) {
    let _machine = together().await;
    let (labs, home) = (Home::new(), Home::new());
    // What stands around a database that is encrypted: its certificate, too.
    let fault = if around {
        &["--fault", "certificate-missing"][..]
    } else {
        &[]
    };
    let lab = LabProcess::start(&labs, &[&["--record"], fault].concat()).await;
    let report = home.path("report");
    let arguments = [&["--report", report.to_str().unwrap()], methods].concat();
    if around {
        around_and_proved(&home.path("p.rehost"));
    }
    let mut command = lab.run(&home, &home.path("p.rehost"), &arguments);
    let ended = Ended::of(command.env("REHOST_LOG", "trace")).await;
    ended.must_end_with(0);

    // The same with the lab inside, which has the same seed and so the same secrets, and keeps a diary beside the project.
    if !around {
        let inside = home.path("inside.rehost");
        home.run(&[&["rehearse", "--project", inside.to_str().unwrap()], methods].concat())
            .await
            .must_end_with(0);
    }

    let secrets = secrets(&lab).await;
    // Client secret, vCenter's password, the instance's administrator, two storage keys, tokens: or the search is blind.
    assert!(secrets.len() >= 5, "only {} secrets are known", secrets.len());
    assert!(
        !around || secrets.iter().any(|(what, _)| what == "hash"),
        "no login was moved with its hash"
    );
    assert!(
        !around || secrets.iter().any(|(what, _)| what == "privateBlob"),
        "no certificate was brought"
    );
    let mut places = vec![
        ("standard output".to_owned(), ended.stdout.into_bytes()),
        ("log".to_owned(), ended.stderr.into_bytes()),
    ];
    collect(home.folder.path(), &mut places);
    assert!(
        places.iter().any(|(name, _)| name.ends_with("p.rehost")),
        "the project file must be among the places"
    );
    assert!(
        places.iter().any(|(name, bytes)| name == "log" && !bytes.is_empty()),
        "the log must hold something"
    );
    for (name, bytes) in &places {
        for (what, secret) in &secrets {
            for form in forms(secret) {
                assert!(
                    !bytes.windows(form.len()).any(|w| w == form.as_bytes()),
                    "{what} is in {name}"
                );
            }
        }
        // The lab's own diary repeats what was sent to it, to be that lab again; its SAS opens nothing but the lab.
        if name.ends_with(".rehost-lab") {
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        for at in text.match_indices("sig=").map(|(i, _)| i + 4) {
            let value: String = text[at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || "%+/".contains(*c))
                .collect();
            assert!(value.len() < 20, "a SAS signature is in {name}");
        }
    }
}

/// As it is, in a URL, and in Base64.
fn forms(secret: &str) -> Vec<String> {
    let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![secret.to_owned(), url, BASE64_STANDARD.encode(secret)]
}

async fn secrets(lab: &LabProcess) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for key in ["clientSecret", "vcenterPassword", "sqlPassword", "sharePassword"] {
        found.insert((key.to_owned(), lab.text(key).to_owned()));
    }
    for exchange in lab.get("exchanges").await.as_array().unwrap() {
        search(exchange, "", &mut found);
    }
    // It stands in a machine's files, and comes out encrypted only.
    found.insert(("password in web.config".into(), lab::OLD_PASSWORD.to_owned()));
    // Statements on the managed instance: passwords travel as hashes.
    for change in lab.get("stats").await["mutations"].as_array().unwrap() {
        let statement = change["path"].as_str().unwrap();
        for hash in statement.split("PASSWORD = 0x").skip(1) {
            let digits: String = hash.chars().take_while(char::is_ascii_hexdigit).collect();
            // The salt alone says nothing; what follows is the hash.
            found.insert(("hash".to_owned(), digits.to_lowercase()));
            found.insert(("hash".to_owned(), digits.to_uppercase()));
        }
    }
    found
}

/// Values whose name says what they are, and keys of storage accounts.
fn search(value: &Value, name: &str, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(o) => {
            let is_key = o.contains_key("keyName");
            let protected = name == "protectedParameters";
            for (k, v) in o {
                let k = if (is_key || protected) && k == "value" {
                    "password"
                } else {
                    k
                };
                search(v, k, found);
            }
        }
        Value::Array(a) => a.iter().for_each(|v| search(v, name, found)),
        Value::String(s) => {
            let lower = name.to_ascii_lowercase();
            let named = [
                "password",
                "secret",
                "sastoken",
                "accountkey",
                "authkey1",
                "authkey2",
                "privateblob",
            ]
            .iter()
            .any(|w| lower.ends_with(w));
            // Names of secrets are no secrets, and short values would be found by chance.
            if named && s.len() >= 12 {
                found.insert((name.to_owned(), s.clone()));
            }
        }
        _ => {}
    }
}

fn collect(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, places);
        } else {
            places.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}
