//! Typed names: of tasks inside a plan, and of resources inside Azure.

use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt, hash, str::FromStr};

/// The stable name of a task: `step-N/kind/name`, for example `step-1/vnet/VNET-SQLMI-EUS2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ts_rs::TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct Address(String);

/// The reason why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a task address; it must look like step-1/vnet/NAME")]
pub struct AddressError(pub String);

impl Address {
    /// Builds `step-{step}/{kind}/{name}`; `step` is 1 to 8.
    pub fn new(step: u8, kind: &str, name: &str) -> Self {
        Self(format!("step-{step}/{kind}/{name}"))
    }

    /// Returns the whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the step's number, 1 to 8.
    pub fn step(&self) -> u8 {
        self.0.as_bytes().get(5).map_or(0, |b| b.saturating_sub(b'0'))
    }

    /// Returns the kind, the second part.
    pub fn kind(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// Returns the name, everything after the kind.
    pub fn name(&self) -> &str {
        self.0.splitn(3, '/').nth(2).unwrap_or_default()
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut parts = s.splitn(3, '/');
        let step = parts
            .next()
            .and_then(|p| p.strip_prefix("step-"))
            .and_then(|n| n.parse::<u8>().ok());
        match (step, parts.next(), parts.next()) {
            (Some(1..=8), Some(kind), Some(name)) if !kind.is_empty() && !name.is_empty() => Ok(Self(s.to_owned())),
            _ => Err(AddressError(s.to_owned())),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Address> for String {
    fn from(a: Address) -> Self {
        a.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Azure resource id. Azure returns ids in mixed case, so comparison and hashing ignore ASCII case.
///
/// An id in a plan may still hold `${fact}` placeholders, see [`crate::task::Action`].
#[derive(Debug, Clone, Serialize, Deserialize, ts_rs::TS)]
#[serde(transparent)]
#[ts(export, type = "string")]
pub struct ResourceId(String);

impl ResourceId {
    /// Takes an id as text; it must start with `/`.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id of a resource group.
    pub fn group(subscription: &str, group: &str) -> Self {
        Self(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    }

    /// Returns the id of a resource of `provider_type` (`Microsoft.Network/virtualNetworks`) below this group.
    #[must_use]
    pub fn resource(&self, provider_type: &str, name: &str) -> Self {
        Self(format!("{}/providers/{provider_type}/{name}", self.0))
    }

    /// Returns the id of a child resource: `{self}/{kind}/{name}`.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        Self(format!("{}/{kind}/{name}", self.0))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Tells whether the id is `scope`, or lies in it.
    pub fn lies_in(&self, scope: &str) -> bool {
        let (head, rest) = self.0.split_at_checked(scope.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(scope) && !head.is_empty() && (rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns the value after segment `kind` (case-insensitive), such as the group after `resourceGroups`.
    pub fn part(&self, kind: &str) -> Option<&str> {
        let mut it = self.0.split('/');
        it.find(|s| s.eq_ignore_ascii_case(kind))?;
        it.next()
    }

    /// Returns provider namespace and type, `Microsoft.Network/virtualNetworks/subnets`, of the innermost provider.
    pub fn resource_type(&self) -> Option<String> {
        let lower = self.0.to_ascii_lowercase();
        let at = lower.rfind("/providers/")?;
        let mut segments = self.0[at + "/providers/".len()..].split('/');
        let mut out = segments.next()?.to_owned();
        for (i, s) in segments.enumerate() {
            if i % 2 == 0 {
                out.push('/');
                out.push_str(s);
            }
        }
        Some(out)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for ResourceId {}
impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.to_ascii_lowercase().cmp(&other.0.to_ascii_lowercase())
    }
}
impl hash::Hash for ResourceId {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}
impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_itself_and_all_below() {
        let group = ResourceId::group("s", "ContosoRG");
        let inside = ResourceId::new("/subscriptions/s/resourcegroups/contosorg/providers/p/t/n");
        assert!(group.lies_in(group.as_str()) && group.lies_in("/subscriptions/s") && inside.lies_in(group.as_str()));
        assert!(!ResourceId::group("s", "ContosoRG2").lies_in(group.as_str()));
        assert!(!ResourceId::new("/subscriptions/s").lies_in(group.as_str()));
        assert!(!group.lies_in(""));
    }

    #[test]
    fn address_parts() {
        let a = Address::new(1, "vnet", "VNET-SQLMI-EUS2");
        assert_eq!((a.step(), a.kind(), a.name()), (1, "vnet", "VNET-SQLMI-EUS2"));
        assert_eq!("step-1/vnet/VNET-SQLMI-EUS2".parse(), Ok(a));
        for bad in ["", "step-9/a/b", "step-1/a", "step-1//b", "x/a/b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn resource_ids_ignore_case_and_name_their_type() {
        let rg = ResourceId::group("s", "ContosoRG");
        let id = rg
            .resource("Microsoft.Sql/managedInstances", "mi")
            .child("databases", "db");
        assert_eq!(
            id.resource_type().as_deref(),
            Some("Microsoft.Sql/managedInstances/databases")
        );
        assert_eq!(id.part("resourcegroups"), Some("ContosoRG"));
        assert_eq!(id, ResourceId::new(id.as_str().to_uppercase()));
    }
}
