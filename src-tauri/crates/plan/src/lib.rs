//! The plan: what will be done, to what, in which order, why, and how to get back.
//!
//! Pure: no network, no clock, no files. Given the same design, inventory and rule pack it computes the same
//! [`Plan`], byte for byte, and therefore the same hash. It knows no other crate of the workspace.
//!
//! Begin with [`task`] (what a plan is made of), then [`graph`] (how the eight steps are computed).

pub mod address;
pub mod appliance;
pub mod around;
pub mod backup;
pub mod changes;
pub mod cost;
pub mod cutover;
pub mod design;
pub mod diagram;
pub mod exchange;
pub mod graph;
pub mod guest;
pub mod import;
pub mod inventory;
pub mod privileges;
pub mod rules;
pub mod scripts;
pub mod smarthotel;
pub mod sql;
pub mod task;

pub use address::{Address, ResourceId};
pub use appliance::{Deployment, DeploymentStage, Placement, Template};
pub use design::{BackupSource, Connections, DatabaseMethod, Design, DmsDesign, Project, ReplicationMethod};
pub use exchange::{Exchange, Trace};
pub use guest::{GuestFacts, GuestState};
pub use inventory::{Inventory, Vm};
pub use privileges::{Place, Privileges, RightNeed};
pub use task::{
    Action, Actor, Condition, DmsUntil, Duration, Expect, Fact, Finding, Follow, Plan, Script, Severity, Step, Task,
};
