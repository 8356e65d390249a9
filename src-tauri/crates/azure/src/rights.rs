//! Reads the answer of `Microsoft.Authorization/permissions`, and names the right that a request needs.

use crate::authorization::Permission;

/// Tells whether an action, such as `Microsoft.Network/virtualNetworks/write`, is allowed: some entry has a matching
/// action and, in the same entry, no matching notAction. Wildcards match across segments; case is ignored.
pub fn allows(permissions: &[Permission], action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let listed = |patterns: &[String]| patterns.iter().any(|p| matches(&p.to_ascii_lowercase(), &action));
    permissions
        .iter()
        .any(|entry| listed(&entry.actions) && !listed(&entry.not_actions))
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|i| rest.is_char_boundary(i) && matches(tail, &rest[i..]))),
    }
}

/// Returns the right that a request needs, computed from its method and path (without query), and the type it is for.
pub fn needed(method: &str, path: &str) -> Option<String> {
    let (path, verb) = match method {
        "POST" => path.rsplit_once('/')?,
        _ => (path, ""),
    };
    let kind = crate::versions::type_of(path)?;
    if kind == "Microsoft.Resources/providers" && method == "POST" {
        return Some(format!("{}/{verb}/action", path.rsplit('/').next()?));
    }
    Some(match method {
        "GET" | "HEAD" => format!("{kind}/read"),
        "DELETE" => format!("{kind}/delete"),
        "POST" => format!("{kind}/{verb}/action"),
        _ => format!("{kind}/write"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(actions: &[&str], not_actions: &[&str]) -> Permission {
        let texts = |t: &[&str]| t.iter().map(|&t| t.to_owned()).collect();
        Permission {
            actions: texts(actions),
            not_actions: texts(not_actions),
            ..Permission::default()
        }
    }

    #[test]
    fn wildcards_and_not_actions() {
        let contributor = [permission(&["*"], &["Microsoft.Authorization/*/Write"])];
        let network = [permission(&["Microsoft.Network/*", "*/read"], &[])];
        let both = [
            contributor[0].clone(),
            permission(&["microsoft.authorization/roleAssignments/write"], &[]),
        ];
        for (p, action, allowed) in [
            (&contributor[..], "Microsoft.Sql/managedInstances/write", true),
            (&contributor[..], "Microsoft.Authorization/roleAssignments/write", false),
            (&both[..], "Microsoft.Authorization/roleAssignments/write", true),
            (&network[..], "Microsoft.Network/virtualNetworks/write", true),
            (&network[..], "Microsoft.Sql/managedInstances/read", true),
            (&network[..], "Microsoft.Sql/managedInstances/write", false),
            (&[][..], "x/read", false),
        ] {
            assert_eq!(allows(p, action), allowed, "{action}");
        }
    }

    #[test]
    fn the_right_follows_from_the_request() {
        let vnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
        for (method, path, right) in [
            ("PUT", vnet.to_owned(), "Microsoft.Network/virtualNetworks/write"),
            (
                "DELETE",
                format!("{vnet}/subnets/a"),
                "Microsoft.Network/virtualNetworks/subnets/delete",
            ),
            (
                "POST",
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/listKeys".into(),
                "Microsoft.Storage/storageAccounts/listKeys/action",
            ),
            (
                "POST",
                "/subscriptions/s/providers/Microsoft.Sql/register".into(),
                "Microsoft.Sql/register/action",
            ),
            (
                "PUT",
                "/subscriptions/s/resourceGroups/g".into(),
                "Microsoft.Resources/subscriptions/resourceGroups/write",
            ),
        ] {
            assert_eq!(needed(method, &path).as_deref(), Some(right));
        }
    }
}
