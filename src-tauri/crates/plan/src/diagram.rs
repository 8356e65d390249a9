//! The architecture as nodes and edges: one picture for Design, Plan and Run. The UI lays it out; states come from the
//! tasks that name a node in [`crate::Task::nodes`].

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Diagram {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// A thing or a group of things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Node {
    /// `vm/WEBVM`, `mi/contoso-sqlmi`, `net/VNET-HUB-EUS2`…; what [`crate::Task::nodes`] refers to.
    pub id: String,
    pub kind: NodeKind,
    pub label: String,
    /// One short line: `Server 2016 · 4 CPU`.
    pub detail: String,
    /// The group it lies in.
    pub parent: Option<String>,
    /// Whether it is there before, after, or both.
    pub before: bool,
    pub after: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum NodeKind {
    /// Groups.
    Site,
    Host,
    Network,
    /// Things.
    VCenter,
    Vm,
    Appliance,
    DomainController,
    VpnDevice,
    Gateway,
    Subnet,
    ManagedInstance,
    Storage,
    MigrationService,
    Vault,
    Dns,
}

/// A flow or a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Edge {
    pub id: String,
    pub from: String,
    pub to: String,
    pub kind: EdgeKind,
    pub label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum EdgeKind {
    /// Data flows (replication, backups).
    Flow,
    /// A network link (peering, tunnel).
    Link,
}
