//! SQL Server: what a client or an application needs to reach a database, and what Rehost must know of it.
//!
//! * [`target`], [`connection`]: where a server is, and connection strings in every style;
//! * [`client`]: signed in over TLS that the admin trusts, redirects followed, statements without a time-out, cancel;
//! * [`error`]: what can go wrong, in words for who can change it;
//! * [`quote`]: names and texts inside of statements;
//! * [`backup`]: backups with their progress and proof;
//! * [`certificate`]: the certificate of an encrypted database with its private key, read without a file;
//! * [`facts`]: what is known of an instance and its databases before anything is moved.
//! * [`around`]: logins, jobs and what else stands beside a database, read on one instance and made on another;
//! * [`prove`]: what a database holds, measured before and after.
//!
//! Knows `plan`'s nouns, `secrets` and `trust`, nothing above. Begin with [`client`].

pub mod around;
pub mod backup;
mod cells;
pub mod certificate;
pub mod client;
pub mod connection;
pub mod error;
pub mod facts;
mod prelogin;
pub mod prove;
pub mod quote;
pub mod target;

pub use client::{Client, Encryption, Login, Options};
pub use error::{Advice, ErrorClass, SqlError};
pub use target::Target;
pub use tiberius::Row;
