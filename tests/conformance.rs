//! Microsoft's own validator judges every exchange of whole rehearsals with the resource manager: our requests and the
//! lab's answers, against Microsoft's OpenAPI files, for every combination of methods and under every fault script. What
//! differs on purpose stands in `tests/judges/exceptions.json`.
//!
//! Needs the specifications (`REHOST_SHARED`, see README) and `npm ci` in tests/judges, which `cargo xtask test` does.

use crate::{
    recordings,
    support::{Ended, Home, judge, shared, together, top},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};
use tokio::process::Command;

#[tokio::test]
async fn every_exchange_of_all_rehearsals_fits_microsofts_specifications() {
    let _machine = together().await;
    let specifications = shared().join("azure-rest-api-specs");
    assert!(
        specifications.join("specification").is_dir(),
        "Microsoft's specifications are not in {}; set REHOST_SHARED to the folder that holds azure-rest-api-specs",
        specifications.display()
    );
    assert!(
        top().join("tests/judges/node_modules/oav").is_dir(),
        "Microsoft's oav is not installed; type `npm ci` in tests/judges, or `cargo xtask test`"
    );
    let mut pairs = vec![];
    for recording in recordings::combinations()
        .await
        .iter()
        .chain(recordings::faults().await)
    {
        let pair = |e| as_specified(&recording.name, e);
        pairs.extend(recording.exchanges.iter().map(pair));
    }
    assert!(
        pairs.len() > 200 * recordings::COMBINATIONS.len(),
        "whole rehearsals have more than {} exchanges",
        pairs.len()
    );
    let home = Home::new();
    let file = home.path("pairs.ndjson");
    // Kept for whoever wants to see what was judged.
    let result = top().join("target/conformance.json");
    let lines: String = pairs.iter().map(|p| format!("{p}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let node = judge("node", "REHOST_NODE", "Node 20 from nodejs.org or your distribution");
    let ended =
        Ended::of(
            Command::new(node)
                .arg(top().join("tests/judges/oav.mjs"))
                .args([&specifications, &file, &result]),
        )
        .await;
    ended.must_end_with(0);

    let judged: Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    let operations = judged["operations"].as_object().unwrap();
    println!(
        "{} exchanges, {} requests and {} answers of {} operations judged, {} findings excused",
        judged["pairs"],
        judged["requests"],
        judged["responses"],
        operations.len(),
        judged["excused"]
    );
    let findings = summary(judged["findings"].as_array().unwrap());
    assert!(findings.is_empty(), "Microsoft's validator finds:\n{findings}");
    assert_eq!(
        judged["unusedExceptions"],
        serde_json::json!([]),
        "these exceptions are not needed any more"
    );
    // Each kind of thing that the plan creates must have been judged, or the judge looked elsewhere.
    for operation in [
        "ResourceGroups_CreateOrUpdate",
        "VirtualNetworks_CreateOrUpdate",
        "StorageAccounts_Create",
        "ManagedInstances_CreateOrUpdate",
        "ManagedDatabases_CreateOrUpdate",
        "ManagedInstanceTdeCertificates_Create",
        "Vaults_CreateOrUpdate",
        "ReplicationProtectedItems_Create",
        "ReplicationProtectedItems_TestFailover",
    ] {
        assert!(
            operations.contains_key(operation),
            "no {operation} was judged, only {:?}",
            operations.keys()
        );
    }
}

/// The certificate that Rehost makes of SQL Server's answer is one that others open, and signs what its public key proves.
#[tokio::test]
async fn the_certificate_that_is_uploaded_is_opened_by_a_foreign_program() {
    let _machine = together().await;
    let all = recordings::faults().await;
    let brought = all.iter().find(|r| r.name == "certificate-brought").unwrap();
    let request = |e: &&Value| e["liveRequest"]["url"].as_str().unwrap().contains("/tdeCertificates?");
    let sent: Vec<&Value> = brought.exchanges.iter().filter(request).collect();
    assert_eq!(sent.len(), 1);
    let properties = &sent[0]["liveRequest"]["body"]["properties"];
    let ended = recordings::python("python/pfx.py", &[], &properties.to_string()).await;
    ended.must_end_with(0);
    assert_eq!(ended.json["thumbprint"].as_str().unwrap().len(), 40);
}

/// The same exchange under the api-version whose OpenAPI file we hold.
fn as_specified(recording: &str, exchange: &Value) -> Value {
    let mut pair = exchange.clone();
    pair["recording"] = recording.into();
    let text = pair["liveRequest"]["url"].as_str().unwrap().to_owned();
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let local = path.splitn(4, '/').nth(3).map(|p| format!("/{p}")).unwrap_or_default();
    let version = azure::versions::type_of(&local).and_then(|t| azure::versions::validate_as(&t));
    let query: Vec<String> = query
        .split('&')
        .map(|part| match (part.split_once('='), version) {
            (Some((name, _)), Some(v)) if name.eq_ignore_ascii_case("api-version") => format!("{name}={v}"),
            _ => part.to_owned(),
        })
        .collect();
    pair["liveRequest"]["url"] = format!("{path}?{}", query.join("&")).into();
    pair
}

/// One line for each kind of finding, with how often and one example.
fn summary(findings: &[Value]) -> String {
    let mut kinds: BTreeMap<String, (usize, &Value)> = BTreeMap::new();
    for f in findings {
        let text = |k: &str| f[k].as_str().unwrap_or_default().to_owned();
        let place: String = text("at").chars().filter(|c| !c.is_ascii_digit()).collect();
        // Where no operation was found, the path without its names says what it is about.
        let what = match text("operation") {
            o if o.is_empty() => text("path")
                .split('/')
                .map(|s| if s.len() > 30 { "…" } else { s })
                .collect::<Vec<_>>()
                .join("/"),
            o => o,
        };
        let kind = format!("{} {} {what} {place}", text("code"), text("part"));
        kinds.entry(kind).or_insert((0, f)).0 += 1;
    }
    kinds.into_values().fold(String::new(), |mut out, (n, f)| {
        let _ = writeln!(
            out,
            "{n} x {} {} {} {} {}: {} at {}",
            f["recording"], f["part"], f["status"], f["method"], f["url"], f["message"], f["at"]
        );
        out
    })
}
