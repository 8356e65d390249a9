//! A thin client for the vSphere web services (SOAP, `/sdk`), as far as a migration needs them.
//!
//! Own client instead of a generated one: about fifteen methods are used, the wire is the same from 5.5 to 9.1 on vCenter and
//! ESXi alike, and a generated client costs twenty minutes of compiling. What it takes care of:
//!
//! * trust ([`probe`], `tls`): a certificate pinned by its SHA-256, or the platform's trust; never "accept anything";
//! * the way (`network`): the proxy of the connection;
//! * the session (`session`): one sign-in, kept alive, one new sign-in under a lock when it expires, always a logout;
//! * the inventory (`inventory`): streamed in pages, the first as soon as it is there, never left open on the server;
//! * changes (`watch`): told as they happen, over lost connections;
//! * templates of machines (`ovf`, `ova`): read, checked, and uploaded under a lease (`import`);
//! * hostile answers (`xml`): no document types, no own entities, limits on depth and size;
//! * work in guests (`guest`): scripts in, output out, files only by hosts that vCenter knows;
//! * the record: each call goes to a [`plan::Trace`] without the password or the session.
//!
//! The crate knows `plan`'s nouns and nothing above; it never repeats a change, and waits by the clock that it is given
//! ([`Time`]). Begin with [`VCenter`].

mod access;
mod check;
mod details;
mod error;
mod events;
mod folders;
#[cfg(test)]
mod fuzz;
mod guest;
mod import;
mod inventory;
mod network;
mod ova;
mod ovf;
mod power;
mod properties;
mod roles;
mod session;
mod soap;
mod tasks;
mod time;
mod tls;
mod watch;
mod xml;

pub use access::{Permission, Right, Role};
pub use check::{Step, check_connection, lacking};
pub use error::{Advice, ErrorClass, UnreachableKind, VsphereError};
pub use events::VmEvent;
pub use guest::{GuestAccount, GuestRun, Shell};
pub use import::{ImportError, ImportSpec, ImportStep, Progress, Settled, space_needed};
pub use inventory::Part;
pub use network::Credentials;
pub use ova::Package;
pub use ovf::OvfError;
pub use roles::{Granted, RoleLook};
pub use session::{About, VCenter};
pub use tasks::{Fault, TaskInfo, TaskRef, TaskState};
pub use time::{SystemTime, Time};
pub use tls::{Certificate, probe};
pub use watch::Change;
