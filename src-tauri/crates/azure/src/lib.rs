//! Azure: a thin client of Azure Resource Manager, the sign-in that it needs, and the little of Blob Storage that a
//! migration touches.
//!
//! Why not a library: nothing on offer knows Azure's long-running operations as data that survives a restart, leaves
//! retrying to the caller (the engine writes each attempt into its journal), and says in words what a person can do.
//!
//! Three rules hold everywhere. Nothing here retries: an error names its [`ErrorClass`] and the engine decides. (One
//! exception: a request whose token Azure refused is sent again, once, with a new one that meets what Azure demands; a
//! refused request changed nothing.) What may have to wait is the first sending, for room in Azure's [`limits`]. A token goes to the
//! resource manager's host only. Nothing that leaves this crate, trace, log or error, holds a secret (see [`redact`]).
//!
//! What Azure answers has types, a module for each provider ([`sql`], [`network`], [`recovery`] …), see [`model`].
//!
//! Knows the nouns of `plan` and the type of `secrets`, nothing above. Begin with [`Arm`], then [`Operation`].

pub mod advice;
mod arm;
pub mod auth;
mod blobs;
mod check;
pub mod clouds;
mod error;
pub mod limits;
pub mod model;
mod operation;
pub mod redact;
pub mod rights;
pub mod sas;
mod subscriptions;
mod transport;
pub mod upload;
pub mod versions;

pub use advice::Advice;
pub use arm::{Arm, Started};
pub use auth::Session;
pub use azure_core::credentials::TokenCredential;
pub use blobs::{BlobItem, Blobs};
pub use check::{Hop, Step, check_connection};
pub use error::{ApiError, AzureError, Detail, ErrorClass, NetworkKind};
pub use limits::{Limits, Quota};
pub use model::{
    authorization, compute, datamigration, migrate, network, offazure, prices, recovery, resources, sql, storage,
};
pub use operation::{Operation, Polled};
pub use subscriptions::{Subscription, Tenant, account_scope};
pub use transport::Network;
