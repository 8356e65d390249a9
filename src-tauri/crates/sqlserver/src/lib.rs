//! SQL Server: what a client or an application needs to reach a database.
//!
//! So far the connection string with which the migrated application finds its database on the managed instance; the
//! TDS client comes with the issue that needs it. Knows `plan`'s nouns and `secrets`, nothing above.
//!
//! Begin with [`connection`].

pub mod connection;
