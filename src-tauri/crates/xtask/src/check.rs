//! The house rules that a compiler can't prove: who may know whom, licences, host names, headers, words.
//!
//! Each rule reports everything it finds, not only the first, as `path:line: what`.

use crate::{
    bindings,
    run::{cargo, command, files, output},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path};

/// Which crates of ours a crate may depend on (tests may know more). The root package `rehost` is the shell.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("plan", &[]),
    ("secrets", &[]),
    ("trust", &[]),
    ("lab", &[]),
    ("xtask", &[]),
    ("engine", &["plan"]),
    ("report", &["plan"]),
    ("azure", &["plan", "secrets"]),
    ("vsphere", &["plan", "secrets", "trust"]),
    ("sqlserver", &["plan", "secrets", "trust"]),
    ("appconfig", &["sqlserver", "secrets"]),
    (
        "migration",
        &[
            "plan",
            "engine",
            "azure",
            "vsphere",
            "sqlserver",
            "appconfig",
            "secrets",
        ],
    ),
    (
        "api",
        &[
            "plan",
            "engine",
            "azure",
            "vsphere",
            "sqlserver",
            "migration",
            "secrets",
            "report",
            "lab",
        ],
    ),
    ("rehost-cli", &["api", "plan", "secrets"]),
    ("harness", &["api", "plan", "secrets"]),
    ("rehost", &["api", "plan", "secrets"]),
];

/// Only the shell may know the window.
const WINDOW: &[&str] = &["tauri", "tauri-build", "rfd", "wry", "tao"];

const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    // Five crates that Tauri brings; used unmodified.
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
    "0BSD",
    // The window's font, and data and types from npm.
    "OFL-1.1",
    "CC-BY-4.0",
    "Python-2.0",
    "BlueOak-1.0.0",
];

/// Parts of addresses of Microsoft's clouds. They belong into `azure::clouds`; the lab plays Azure and says them too.
const HOSTS: &[&str] = &[
    "management.azure.com",
    "management.usgovcloudapi",
    "management.chinacloudapi",
    "login.microsoftonline",
    "login.chinacloudapi",
    "core.windows.net",
    "database.windows.net",
    "prices.azure.com",
];

/// Files that may name those hosts, and why.
const HOSTS_ALLOWED: &[(&str, &str)] = &[
    ("src-tauri/crates/azure/src/clouds", "the one place"),
    ("src-tauri/crates/lab/", "plays Azure, answers as it does"),
    ("src-tauri/crates/xtask/", "this rule"),
];

/// Left-overs, where they are, and why not. Built from halves, or this list would find itself.
const WORDS: &[(&str, &str, &str)] = &[
    (concat!("TO", "DO"), "", "finish it, or open an issue"),
    (concat!("FIX", "ME"), "", "finish it, or open an issue"),
    (concat!("XX", "X"), "", "finish it, or open an issue"),
    (concat!("to", "do!("), "", "no stubs"),
    (concat!("unimpl", "emented!("), "", "no stubs"),
    (concat!("db", "g!("), "", "left over"),
    (concat!("console", ".log("), "ui/src/", "left over"),
    (concat!("it", ".only("), "", "switches the other tests off"),
    (concat!("/wo", "rk/"), "", "a path of one machine"),
];

/// `helpers.rs` says nothing about what is in it.
const NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "misc", "common_utils"];

/// Runs every rule and the comparison of the generated types.
///
/// # Errors
/// When a rule is broken.
pub(crate) fn check() -> Result<()> {
    rules()?;
    bindings::check()?;
    println!("check: the generated types are up to date");
    Ok(())
}

/// Runs every rule that needs no compilation.
///
/// # Errors
/// When a rule is broken; everything found is printed.
pub(crate) fn rules() -> Result<()> {
    let metadata = metadata()?;
    let rules: [(&str, Vec<String>); 6] = [
        ("dependencies point one way", dependencies(&metadata)?),
        ("every crate says what it is for", headers(&metadata)?),
        ("licences", licences(&metadata)?),
        ("licences of the window's packages", npm_licences()?),
        ("host names only in azure::clouds", hosts()),
        ("words and names", words()),
    ];
    let mut broken = 0;
    for (name, found) in &rules {
        println!(
            "check: {name}: {}",
            if found.is_empty() {
                "ok".to_owned()
            } else {
                format!("{} found", found.len())
            }
        );
        for f in found {
            println!("  {f}");
        }
        broken += found.len();
    }
    if broken > 0 {
        bail!("{broken} places break the house rules");
    }
    Ok(())
}

/// Restricted to this platform: without that, cargo would fetch crates of every other one only to look at them.
fn metadata() -> Result<Value> {
    let version = output(&mut command("rustc", &["-vV"]))?;
    let host = version
        .lines()
        .find_map(|l| l.strip_prefix("host: "))
        .context("rustc names no host")?
        .to_owned();
    let text = output(&mut cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &host,
    ]))?;
    Ok(serde_json::from_str(&text)?)
}

fn list<'a>(v: &'a Value, key: &str) -> &'a [Value] {
    v[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_default()
}

fn ours(metadata: &Value) -> Vec<&Value> {
    list(metadata, "packages")
        .iter()
        .filter(|p| p["source"].is_null())
        .collect()
}

fn dependencies(metadata: &Value) -> Result<Vec<String>> {
    let rules: HashMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut found = vec![];
    let ours = ours(metadata);
    let names: Vec<&str> = ours.iter().map(|p| text(p, "name")).collect();
    for package in &ours {
        let name = text(package, "name");
        let Some(allowed) = rules.get(name) else {
            found.push(format!(
                "{name}: a new crate; say in xtask/src/check.rs what it may know"
            ));
            continue;
        };
        for dependency in list(package, "dependencies")
            .iter()
            .filter(|d| text(d, "kind") != "dev")
        {
            let other = text(dependency, "name");
            if names.contains(&other) && !allowed.contains(&other) {
                found.push(format!("{name} must not depend on {other}"));
            }
            if name != "rehost" && WINDOW.contains(&other) {
                found.push(format!(
                    "{name} must not depend on {other}: only the shell knows the window"
                ));
            }
        }
    }
    Ok(found)
}

fn headers(metadata: &Value) -> Result<Vec<String>> {
    let mut found = vec![];
    for package in ours(metadata) {
        for target in list(package, "targets") {
            let path = text(target, "src_path");
            let kinds: Vec<&str> = list(target, "kind").iter().filter_map(Value::as_str).collect();
            if !kinds.iter().any(|k| matches!(*k, "lib" | "bin")) {
                continue;
            }
            let source = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
            let header = source.lines().take_while(|l| l.starts_with("//!")).count();
            if header < 2 {
                found.push(format!(
                    "{path}:1: begin with //! lines: what it is for, what it may know, where to begin reading"
                ));
            }
        }
    }
    Ok(found)
}

fn licences(metadata: &Value) -> Result<Vec<String>> {
    // Only what is resolved for this platform: the list of packages holds more.
    let used: Vec<&str> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|n| text(n, "id"))
        .collect();
    let packages = list(metadata, "packages")
        .iter()
        .filter(|p| used.contains(&text(p, "id")));
    Ok(packages
        .filter(|p| !allowed(text(p, "license")))
        .map(|p| {
            format!(
                "{} {}: licence `{}` is not in the list",
                text(p, "name"),
                text(p, "version"),
                text(p, "license")
            )
        })
        .collect())
}

fn npm_licences() -> Result<Vec<String>> {
    let lock = Path::new("ui/package-lock.json");
    let lock: Value =
        serde_json::from_str(&fs::read_to_string(lock).with_context(|| format!("reading {}", lock.display()))?)?;
    let packages = lock["packages"]
        .as_object()
        .context("ui/package-lock.json holds no packages")?;
    // What only builds and tests the window is not shipped.
    Ok(packages
        .iter()
        .filter(|(path, p)| !path.is_empty() && p["dev"] != true)
        .filter(|(_, p)| !allowed(text(p, "license")))
        .map(|(path, p)| format!("{path}: licence `{}` is not in the list", text(p, "license")))
        .collect())
}

/// An SPDX expression is fine when one of its alternatives consists of allowed licences only.
fn allowed(expression: &str) -> bool {
    // The old notation `MIT/Apache-2.0` means OR.
    let expression = expression.replace('/', " OR ");
    let mut depth = 0;
    let mut split = |separator: &str| -> Vec<String> {
        let mut parts = vec![String::new()];
        for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
            match word {
                "(" => depth += 1,
                ")" => depth -= 1,
                w if w == separator && depth == 0 => {
                    parts.push(String::new());
                    continue;
                }
                _ => {}
            }
            if let Some(last) = parts.last_mut() {
                last.push_str(if last.is_empty() { "" } else { " " });
                last.push_str(word);
            }
        }
        parts
    };
    let alternatives = split("OR");
    if alternatives.len() > 1 {
        return alternatives.iter().any(|a| allowed(a));
    }
    let all = split("AND");
    if all.len() > 1 {
        return all.iter().all(|a| allowed(a));
    }
    match expression
        .trim()
        .strip_prefix('(')
        .and_then(|e| e.trim_end().strip_suffix(')'))
    {
        Some(inner) => allowed(inner),
        None => LICENCES.contains(&expression.trim()),
    }
}

fn sources() -> Vec<String> {
    let endings = [".rs", ".ts", ".tsx", ".mjs", ".go", ".html", ".css", ".md"];
    ["src-tauri", "ui", "tests"]
        .iter()
        .flat_map(|f| files(f, &endings))
        .map(|p| p.to_string_lossy().replace('\\', "/"))
        .filter(|p| !p.contains("/gen/"))
        .collect()
}

/// Lines that are code: comments may name a host to explain something, and tests may use any.
fn code(path: &str) -> Vec<(usize, String)> {
    let source = fs::read_to_string(path).unwrap_or_default();
    let end = source.find("\n#[cfg(test)]\nmod tests").unwrap_or(source.len());
    source[..end]
        .lines()
        .enumerate()
        .filter(|(_, l)| !matches!(l.trim_start().get(..2), Some("//" | "/*" | "* ")))
        .map(|(i, l)| (i + 1, l.to_owned()))
        .collect()
}

fn hosts() -> Vec<String> {
    let mut found = vec![];
    let exempt = |p: &str| {
        p.contains("/tests/")
            || p.starts_with("tests/")
            || p.contains(".test.")
            || p.contains("fixture")
            || p.ends_with(".md")
            || HOSTS_ALLOWED.iter().any(|(a, _)| p.starts_with(a))
    };
    for path in sources().into_iter().filter(|p| !exempt(p)) {
        for (n, line) in code(&path) {
            if let Some(host) = HOSTS.iter().find(|h| line.contains(*h)) {
                found.push(format!("{path}:{n}: names {host}"));
            }
        }
    }
    found
}

fn words() -> Vec<String> {
    let mut found = vec![];
    for path in sources() {
        let stem = Path::new(&path)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let folder = Path::new(&path)
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if NAMES.contains(&stem.as_str()) || NAMES.contains(&folder.as_str()) {
            found.push(format!("{path}: name it by what is in it"));
        }
        for (n, line) in fs::read_to_string(&path).unwrap_or_default().lines().enumerate() {
            for (word, _, why) in WORDS
                .iter()
                .filter(|(w, below, _)| path.starts_with(below) && line.contains(w))
            {
                // Placeholders of formats and masks (`XXXX`) are no left-overs: the word must stand alone.
                let alone = line.split(|c: char| !c.is_alphanumeric()).any(|w| w == *word)
                    || !word.chars().all(char::is_alphabetic);
                if alone {
                    found.push(format!("{path}:{}: `{word}`: {why}", n + 1));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "GPL-3.0 OR (ISC AND MIT)",
        ] {
            assert!(allowed(good), "{good} must be allowed");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT AND AGPL-3.0) OR LGPL-2.1",
            "EPL-2.0",
        ] {
            assert!(!allowed(bad), "{bad} must be refused");
        }
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR MIT"));
    }

    #[test]
    fn a_crate_that_knows_too_much_is_found() {
        let metadata = serde_json::json!({"packages": [
            {"name": "plan", "source": null, "dependencies": [
                {"name": "engine", "kind": null}, {"name": "lab", "kind": "dev"}, {"name": "tauri", "kind": null}]},
            {"name": "engine", "source": null, "dependencies": [{"name": "plan", "kind": null}]},
            {"name": "lab", "source": null, "dependencies": []},
            {"name": "novel", "source": null, "dependencies": []},
        ]});
        let found = dependencies(&metadata).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].contains("must not depend on engine") && found[1].contains("tauri") && found[2].contains("novel")
        );
    }
}
