//! Connection strings in an application's configuration: found in the bytes of `web.config` and `app.config`, pointed at
//! another server, and back, with nothing else changed.
//!
//! Pure. Knows `sqlserver`'s connection strings and `secrets`; how a file is fetched and written is `migration`'s business.
//!
//! Decisions: a file is never written anew from a tree; a [`Switch`] is a list of byte ranges, bound to the SHA-256 of the
//! file before and after, so that encoding, line ends, comments and formatting stay. Only what certainly is a string of the
//! source server and database is switched; what might be one is a [`Finding`] that stops the switch until a person has
//! looked. A document type, another entity than the five of XML, and a file whose bytes don't survive reading are refused.
//!
//! Begin with [`read`], then [`Switch::compute`].

mod bytes;
mod finding;
mod read;
mod switch;

pub use finding::Finding;
pub use read::{BadConfig, Config, ConnectionText, External, MAX_BYTES, Place, Protected, read};
pub use switch::{Change, Edit, Mismatch, Switch, Wanted, lacking, parameter};
