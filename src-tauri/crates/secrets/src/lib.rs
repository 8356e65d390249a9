//! Secrets: the type that never shows its value, and the places where values are kept between starts.
//!
//! A password, key, token or SAS is a [`Secret`] from the moment it enters the process. It can't be printed or
//! serialized, and its memory is wiped when it is dropped. A [`SecretStore`] keeps secrets under a key (`project id/name`);
//! [`open`] finds the best store of this machine and says in words when it is only this start's memory.
//!
//! Knows no other crate of the workspace. Begin with [`Secret`], then [`open`].

mod keyring_store;
mod memory;
mod secret;
mod store;

pub use keyring_store::KeyringStore;
pub use memory::MemoryStore;
pub use secret::Secret;
pub use store::{SecretError, SecretStore, StoreInfo, open};
