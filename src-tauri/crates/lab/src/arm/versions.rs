//! Which api-versions are offered: the ones a client of November 2026 can be expected to send.

use super::{Refusal, Req};

/// By prefix of the lower-case resource type; the longest prefix decides.
const OFFERED: [(&str, &[&str]); 14] = [
    ("microsoft.authorization/locks", &["2016-09-01", "2020-05-01"]),
    ("microsoft.authorization", &["2015-07-01", "2018-07-01", "2022-04-01"]),
    ("microsoft.compute/skus", &["2019-04-01", "2021-07-01"]),
    (
        "microsoft.compute",
        &[
            "2021-07-01",
            "2023-03-01",
            "2024-03-01",
            "2024-07-01",
            "2024-11-01",
            "2025-04-01",
            "2026-03-01",
            "2026-04-01",
        ],
    ),
    ("microsoft.migrate/migrateprojects/solutions", &["2018-09-01-preview"]),
    ("microsoft.migrate", &["2018-09-01-preview", "2020-05-01", "2023-01-01"]),
    (
        "microsoft.network",
        &[
            "2023-09-01",
            "2024-03-01",
            "2024-05-01",
            "2025-07-01",
            "2025-09-01",
            "2026-03-01",
        ],
    ),
    ("microsoft.offazure", &["2020-01-01", "2020-07-07", "2023-06-06"]),
    (
        "microsoft.recoveryservices/vaults/replication",
        &["2023-06-01", "2024-04-01", "2025-08-01", "2026-07-01"],
    ),
    (
        "microsoft.recoveryservices",
        &["2023-06-01", "2024-04-01", "2025-08-01", "2026-07-01", "2026-11-01"],
    ),
    (
        "microsoft.sql",
        &[
            "2021-11-01",
            "2023-08-01-preview",
            "2023-08-01",
            "2024-11-01-preview",
            "2025-01-01",
        ],
    ),
    (
        "microsoft.storage",
        &["2023-05-01", "2025-06-01", "2026-04-01", "2026-09-01"],
    ),
    (
        "microsoft.resources",
        &[
            "2021-04-01",
            "2022-09-01",
            "2022-12-01",
            "2024-03-01",
            "2024-07-01",
            "2024-11-01",
            "2025-04-01",
        ],
    ),
    ("microsoft.datamigration", &["2023-07-15-preview", "2025-06-30"]),
];

pub(crate) fn check(req: &Req) -> Result<(), Refusal> {
    // The URL of an operation carries the version of the request that started it, of whatever provider.
    if req.low.get(2).map(String::as_str) == Some("operationresults") {
        return Ok(());
    }
    let kind = super::resource_type(&req.low).unwrap_or_default();
    // A provider named alone, and its registration, is asked of the resource manager itself.
    let own = kind
        .split_once('/')
        .is_some_and(|(_, rest)| !matches!(rest, "register" | "unregister"));
    let kind = if own { kind } else { "microsoft.resources".to_owned() };
    let version = req.api_version().to_lowercase();
    if version.is_empty() {
        return Err(Refusal::bad(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    let offered = OFFERED
        .iter()
        .filter(|(prefix, _)| kind.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, versions)| *versions);
    match offered {
        Some(list) if !list.contains(&version.as_str()) => Err(Refusal::bad(
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{version}' is invalid. The supported versions are '{}'.",
                list.iter().rev().copied().collect::<Vec<_>>().join(",")
            ),
        )),
        _ => Ok(()),
    }
}

/// The versions of a namespace, newest first, for the list of providers.
pub(crate) fn of_namespace(namespace: &str) -> Vec<&'static str> {
    let namespace = namespace.to_lowercase();
    OFFERED
        .iter()
        .find(|(p, _)| *p == namespace)
        .map_or(vec![], |(_, v)| v.iter().rev().copied().collect())
}
