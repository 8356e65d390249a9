//! Microsoft's own Python clients drive the lab through the whole scenario, and what they send for an operation is compared
//! with what Rehost sends for it.
//!
//! Needs the Python environment in target/judges-python, which `cargo xtask test` installs.

use crate::{recordings, recordings::Recording, support::together, support::top};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// A known difference between a body of ours and Microsoft's, from `tests/judges/golden.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    method: String,
    /// The end of the operation's path, names in it replaced by `*`.
    path: String,
    /// JSON pointer of what differs; without it the operation is one that Microsoft's clients can't send.
    at: Option<String>,
    reason: String,
}

#[tokio::test]
async fn microsofts_clients_carry_out_the_scenario() {
    let _machine = together().await;
    for recording in recordings::microsofts().await {
        // The script checks what it gets; this makes sure that it went all the way, and with this lab.
        let said = |key: &str| recording.said[key].as_u64().unwrap();
        println!(
            "{}: {} requests, {} pollers",
            recording.name,
            said("requests"),
            said("pollers")
        );
        let recorded = recording.exchanges.len();
        assert!(
            said("pollers") > 30 && recorded > 300,
            "{}: {}",
            recording.name,
            recording.said
        );
    }
}

#[tokio::test]
async fn request_bodies_equal_those_of_microsofts_clients() {
    let _machine = together().await;
    let allowed = std::fs::read_to_string(top().join("tests/judges/golden.json")).unwrap();
    let allowed: Vec<Allowed> = serde_json::from_str(&allowed).unwrap();
    let mut used = BTreeSet::new();
    let mut excused = |method: &str, path: &str, at: Option<&str>| {
        let found = allowed
            .iter()
            .position(|a| a.method == method && ends_like(path, &a.path) && a.at.as_deref() == at);
        found.is_some_and(|index| {
            used.insert(index);
            true
        })
    };
    let theirs = writes(recordings::microsofts().await);
    let ours = writes(recordings::combinations().await);
    let (mut compared, mut bodies, mut problems) = (0, 0, String::new());
    for ((method, path), sent) in &ours {
        let Some(golden) = theirs.get(&(method.clone(), path.clone())) else {
            if !excused(method, path, None) {
                let _ = writeln!(
                    problems,
                    "{method} {path}: Microsoft's clients were not asked to send this"
                );
            }
            continue;
        };
        compared += 1;
        for body in sent {
            bodies += 1;
            // An operation may be sent more than once, with different bodies: the most similar one counts.
            let closest = golden
                .iter()
                .map(|g| differences(body, g))
                .min_by_key(Vec::len)
                .unwrap_or_default();
            for (at, what) in closest {
                if !excused(method, path, Some(&at)) {
                    let _ = writeln!(problems, "{method} {path} {at}: {what}");
                }
            }
        }
    }
    println!(
        "{bodies} bodies of {compared} operations compared, {} differences and operations excused",
        used.len()
    );
    assert!(
        problems.is_empty(),
        "our bodies differ from those of Microsoft's clients:\n{problems}"
    );
    assert!(compared > 40, "only {compared} operations were compared");
    for (index, a) in allowed.iter().enumerate() {
        assert!(used.contains(&index), "this difference is not there any more: {a:?}");
        assert!(a.reason.len() > 20, "a difference needs a reason: {a:?}");
    }
}

/// Bodies by operation: what was sent to change something, without repetitions.
fn writes(recordings: &[Recording]) -> BTreeMap<(String, String), Vec<Value>> {
    let mut found: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for exchange in recordings.iter().flat_map(|r| &r.exchanges) {
        let request = &exchange["liveRequest"];
        let method = request["method"].as_str().unwrap();
        if matches!(method, "PUT" | "POST" | "PATCH" | "DELETE") {
            let url = url::Url::parse(request["url"].as_str().unwrap()).unwrap();
            let bodies = found.entry((method.to_owned(), operation(url.path()))).or_default();
            if !bodies.contains(&request["body"]) {
                bodies.push(request["body"].clone());
            }
        }
    }
    found
}

/// A path without what each side chooses for itself: case, and the random names of role assignments and of commands that
/// read. Microsoft's clients leave a place empty where nothing stands above a locked resource.
fn operation(path: &str) -> String {
    let path = path.to_lowercase().replace("//", "/");
    for random in ["/roleassignments/", "/runcommands/rehost-read-config-"] {
        if let Some((scope, _)) = path.rsplit_once(random) {
            return format!("{scope}{random}*");
        }
    }
    path
}

fn ends_like(path: &str, pattern: &str) -> bool {
    let mut segments = path.rsplit('/');
    pattern.rsplit('/').all(|wanted| {
        segments
            .next()
            .is_some_and(|s| wanted == "*" || s.eq_ignore_ascii_case(wanted))
    })
}

/// JSON pointers of all that is not equal, with both sides.
fn differences(ours: &Value, theirs: &Value) -> Vec<(String, String)> {
    fn go(at: String, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<(String, String)>) {
        match (a, b) {
            (Some(Value::Object(x)), Some(Value::Object(y))) => {
                for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                    go(format!("{at}/{key}"), x.get(key), y.get(key), found);
                }
            }
            (Some(Value::Array(x)), Some(Value::Array(y))) => {
                for i in 0..x.len().max(y.len()) {
                    go(format!("{at}/{i}"), x.get(i), y.get(i), found);
                }
            }
            (a, b) if a == b => {}
            (a, b) => {
                let shown = |v: Option<&Value>| v.map_or("nothing".into(), ToString::to_string);
                found.push((at, format!("we send {}, they send {}", shown(a), shown(b))));
            }
        }
    }
    let mut found = vec![];
    go(String::new(), Some(ours), Some(theirs), &mut found);
    found
}

#[test]
fn differences_are_found() {
    let (a, b) = (
        serde_json::json!({ "p": { "n": 1, "l": [1, 2], "gone": null } }),
        serde_json::json!({ "p": { "n": "1", "l": [1] } }),
    );
    let at: Vec<String> = differences(&a, &b).into_iter().map(|d| d.0).collect();
    assert_eq!(at, ["/p/gone", "/p/l/1", "/p/n"]);
    assert!(ends_like("/subscriptions/s/vms/w/runcommands/x", "runCommands/*"));
    assert!(!ends_like("/subscriptions/s/vms/w/runcommands/x", "vms/*"));
}
