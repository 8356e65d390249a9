//! Which api-version goes over the wire for which type, and which one Microsoft's OpenAPI files describe.
//!
//! Pinned on 23 Nov 2026: the newest stable version whose bodies were compared with machine-readable data. A version
//! moves here, in one table, after its differences were read. The most specific prefix wins.

struct Row {
    /// Type or a prefix of it; lower case.
    prefix: &'static str,
    wire: &'static str,
    validate_as: &'static str,
}

const fn row(prefix: &'static str, wire: &'static str, validate_as: &'static str) -> Row {
    Row {
        prefix,
        wire,
        validate_as,
    }
}

const TABLE: &[Row] = &[
    row("microsoft.resources/subscriptions", "2022-12-01", "2022-12-01"),
    row(
        "microsoft.resources/subscriptions/resourcegroups",
        "2024-07-01",
        "2024-07-01",
    ),
    row("microsoft.resources/tenants", "2022-12-01", "2022-12-01"),
    row("microsoft.resources", "2024-07-01", "2024-07-01"),
    row("microsoft.authorization", "2022-04-01", "2022-04-01"),
    row("microsoft.authorization/locks", "2020-05-01", "2020-05-01"),
    row("microsoft.network", "2024-03-01", "2024-03-01"),
    row("microsoft.sql", "2025-01-01", "2021-11-01"),
    row("microsoft.storage", "2023-05-01", "2023-05-01"),
    row("microsoft.datamigration", "2025-06-30", "2023-07-15-preview"),
    row("microsoft.datamigration/services", "2025-06-30", "2021-06-30"),
    row("microsoft.recoveryservices", "2024-04-01", "2024-04-01"),
    // Site Recovery lives below the vault's type, under names that all start so …
    row(
        "microsoft.recoveryservices/vaults/replication",
        "2025-08-01",
        "2024-04-01",
    ),
    // … except this one, which belongs to the vault itself.
    row(
        "microsoft.recoveryservices/vaults/replicationusages",
        "2024-04-01",
        "2024-04-01",
    ),
    row("microsoft.offazure", "2020-01-01", "2020-01-01"),
    row("microsoft.migrate", "2020-05-01", "2020-05-01"),
    row(
        "microsoft.migrate/migrateprojects/solutions",
        "2018-09-01-preview",
        "2018-09-01-preview",
    ),
    row("microsoft.compute", "2024-07-01", "2024-07-01"),
    row("microsoft.compute/skus", "2021-07-01", "2021-07-01"),
];

fn find(resource_type: &str) -> Option<&'static Row> {
    let wanted = resource_type.to_ascii_lowercase();
    TABLE
        .iter()
        .filter(|row| {
            // A prefix ends where a segment ends, except Site Recovery's.
            wanted
                .strip_prefix(row.prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || row.prefix.ends_with("/replication"))
        })
        .max_by_key(|row| row.prefix.len())
}

/// Returns the api-version that goes over the wire for a type such as `Microsoft.Network/virtualNetworks`.
pub fn for_type(resource_type: &str) -> Option<&'static str> {
    find(resource_type).map(|row| row.wire)
}

/// Returns the api-version of Microsoft's OpenAPI files that describe the type; what is recorded is judged as this.
pub fn validate_as(resource_type: &str) -> Option<&'static str> {
    find(resource_type).map(|row| row.validate_as)
}

/// Returns the type that a path (without query) addresses, of a resource, a collection, or a provider itself.
pub fn type_of(path: &str) -> Option<String> {
    if let Some(found) = plan::ResourceId::new(path.trim_end_matches('/')).resource_type() {
        return Some(if found.contains('/') {
            found
        } else {
            "Microsoft.Resources/providers".into()
        });
    }
    let mut segments = path.split('/').filter(|s| !s.is_empty()).map(str::to_ascii_lowercase);
    let name = match (segments.next()?.as_str(), segments.next(), segments.next().as_deref()) {
        ("tenants", None, _) => "tenants",
        ("subscriptions", _, None | Some("locations")) => "subscriptions",
        ("subscriptions", _, Some("resourcegroups")) => match segments.nth(1).as_deref() {
            None => "subscriptions/resourceGroups",
            Some(_) => "resources",
        },
        ("subscriptions", _, Some("resources")) => "resources",
        ("subscriptions", _, Some("providers")) | ("providers", ..) => "providers",
        _ => return None,
    };
    Some(format!("Microsoft.Resources/{name}"))
}

/// Adds the api-version to a path, unless it names one itself. None for an unknown type.
pub(crate) fn versioned(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    if query
        .split('&')
        .any(|pair| pair.to_ascii_lowercase().starts_with("api-version="))
    {
        return Some(path_and_query.to_owned());
    }
    let version = for_type(&type_of(path)?)?;
    let separator = if query.is_empty() { "" } else { "&" };
    Some(format!("{path}?{query}{separator}api-version={version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_specific_prefix_wins() {
        for (t, wire, judged) in [
            ("Microsoft.Network/virtualNetworks/subnets", "2024-03-01", "2024-03-01"),
            ("microsoft.SQL/managedInstances/databases", "2025-01-01", "2021-11-01"),
            ("Microsoft.RecoveryServices/vaults", "2024-04-01", "2024-04-01"),
            (
                "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers",
                "2025-08-01",
                "2024-04-01",
            ),
            (
                "Microsoft.RecoveryServices/vaults/replicationUsages",
                "2024-04-01",
                "2024-04-01",
            ),
            (
                "Microsoft.RecoveryServices/vaults/operationStatus",
                "2024-04-01",
                "2024-04-01",
            ),
            ("Microsoft.Compute/skus", "2021-07-01", "2021-07-01"),
            ("Microsoft.Compute/locations/usages", "2024-07-01", "2024-07-01"),
            ("Microsoft.Authorization/locks", "2020-05-01", "2020-05-01"),
            (
                "Microsoft.Resources/subscriptions/resourceGroups",
                "2024-07-01",
                "2024-07-01",
            ),
        ] {
            assert_eq!((for_type(t), validate_as(t)), (Some(wire), Some(judged)), "{t}");
        }
        assert_eq!(for_type("Microsoft.Unknown/things"), None);
        assert_eq!(for_type("Microsoft.SqlVirtualMachine/x"), None);
    }

    #[test]
    fn paths_get_their_version() {
        for (path, wanted) in [
            ("/subscriptions/s", "/subscriptions/s?api-version=2022-12-01"),
            (
                "/subscriptions/s/locations",
                "/subscriptions/s/locations?api-version=2022-12-01",
            ),
            ("/tenants", "/tenants?api-version=2022-12-01"),
            (
                "/subscriptions/s/resourceGroups/g",
                "/subscriptions/s/resourceGroups/g?api-version=2024-07-01",
            ),
            (
                "/subscriptions/s/resourceGroups/g/resources",
                "/subscriptions/s/resourceGroups/g/resources?api-version=2024-07-01",
            ),
            (
                "/subscriptions/s/providers/Microsoft.Sql",
                "/subscriptions/s/providers/Microsoft.Sql?api-version=2024-07-01",
            ),
            (
                "/subscriptions/s/providers/Microsoft.Sql/locations/eastus2/capabilities?include=x",
                "/subscriptions/s/providers/Microsoft.Sql/locations/eastus2/capabilities?include=x&api-version=2025-01-01",
            ),
            (
                "/subscriptions/s/providers/Microsoft.Compute/skus",
                "/subscriptions/s/providers/Microsoft.Compute/skus?api-version=2021-07-01",
            ),
            ("/x?API-version=1", "/x?API-version=1"),
        ] {
            assert_eq!(versioned(path).as_deref(), Some(wanted));
        }
        assert_eq!(versioned("/x"), None);
    }
}
