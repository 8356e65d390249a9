//! The Azure Migrate project and its solutions, through which vault, site and appliance are found.

use super::{Resource, When, model, words};
use crate::{Arm, AzureError};
use plan::ResourceId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub type Project = Resource<ProjectProperties>;
pub type Solution = Resource<SolutionProperties>;

model! {
    pub struct ProjectProperties {
        pub registered_tools: Vec<String>,
        pub last_summary_refreshed_time: When,
        pub refresh_summary_state: Option<String>,
    }

    pub struct SolutionProperties {
        /// `ServerDiscovery`, `ServerAssessment`, `ServerMigration` …
        pub tool: Option<String>,
        pub purpose: Option<String>,
        pub goal: Option<String>,
        pub status: Option<SolutionStatus>,
        pub cleanup_state: Option<String>,
        pub details: SolutionDetails,
    }

    pub struct SolutionDetails {
        pub group_count: Option<super::Number>,
        pub assessment_count: Option<super::Number>,
        /// What the tool noted about itself; texts, some of them JSON.
        pub extended_details: BTreeMap<String, Value>,
    }
}

words! {
    pub enum SolutionStatus {
        Inactive,
        Active,
    }
}

/// An appliance that has registered itself, and the site in which it found machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    pub name: String,
    pub site: ResourceId,
}

impl SolutionDetails {
    fn text(&self, key: &str) -> Option<&str> {
        let found = self
            .extended_details
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))?;
        found.1.as_str().filter(|t| !t.is_empty())
    }

    /// The project's vault, noted by the migration solution; none until an appliance is configured.
    pub fn vault(&self) -> Option<ResourceId> {
        self.text("vaultId").map(ResourceId::new)
    }

    /// The appliances with their sites, noted by the discovery solution. The newer map (V3: by name) goes before the
    /// older one (V2: a list).
    pub fn appliances(&self) -> Vec<Appliance> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed {
            appliance_name: String,
            site_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Site {
            site_id: String,
        }
        let mut found: BTreeMap<String, Appliance> = BTreeMap::new();
        let mut add = |name: String, site: String| {
            let site = ResourceId::new(site);
            found.insert(name.to_ascii_lowercase(), Appliance { name, site });
        };
        if let Some(text) = self.text("applianceNameToSiteIdMapV2") {
            for a in serde_json::from_str::<Vec<Listed>>(text).unwrap_or_default() {
                add(a.appliance_name, a.site_id);
            }
        }
        if let Some(text) = self.text("applianceNameToSiteIdMapV3") {
            // An object, or a list of objects with one name each.
            let maps: Vec<BTreeMap<String, Site>> = serde_json::from_str(text)
                .or_else(|_| serde_json::from_str(text).map(|m| vec![m]))
                .unwrap_or_default();
            for (name, site) in maps.into_iter().flatten() {
                add(name, site.site_id);
            }
        }
        found.into_values().collect()
    }
}

/// Reads a project; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn project(arm: &Arm, id: &ResourceId) -> Result<Option<Project>, AzureError> {
    arm.read_opt(id).await
}

/// Reads a solution of a project, such as `Servers-Migration-ServerMigration`; none when it is not there.
///
/// # Errors
/// Fails as all requests do.
pub async fn solution(arm: &Arm, project: &ResourceId, name: &str) -> Result<Option<Solution>, AzureError> {
    arm.read_opt(&project.child("solutions", name)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn appliances_are_found_in_both_maps() {
        let details: SolutionDetails = serde_json::from_value(json!({"extendedDetails": {
            "vaultId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v",
            "applianceNameToSiteIdMapV2": "[{\"ApplianceName\":\"a1\",\"SiteId\":\"/old\"},{\"ApplianceName\":\"b\",\"SiteId\":\"/b\"}]",
            "applianceNameToSiteIdMapV3": "{\"A1\":{\"SiteId\":\"/new\"}}",
        }}))
        .unwrap();
        assert_eq!(details.vault().unwrap().name(), "v");
        let found: Vec<_> = details
            .appliances()
            .into_iter()
            .map(|a| (a.name, a.site.as_str().to_owned()))
            .collect();
        assert_eq!(found, [("A1".into(), "/new".into()), ("b".into(), "/b".into())]);
        assert_eq!(SolutionDetails::default().vault(), None);
        let broken: SolutionDetails =
            serde_json::from_value(json!({"extendedDetails": {"applianceNameToSiteIdMapV3": "not JSON"}})).unwrap();
        assert!(broken.appliances().is_empty());
    }
}
