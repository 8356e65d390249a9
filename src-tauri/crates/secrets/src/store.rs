//! What a store must do, how it fails, and which one this machine has.

use crate::{KeyringStore, MemoryStore, Secret};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// A place for secrets. Keys are not secret: they appear in the keyring's own window.
#[async_trait::async_trait]
pub trait SecretStore: Send + Sync {
    /// Returns the secret under a key, none when there is none.
    ///
    /// # Errors
    /// Fails when the store can't be reached, is locked, or the entry is damaged.
    async fn get(&self, key: &str) -> Result<Option<Secret<String>>, SecretError>;

    /// Stores or replaces the secret under a key.
    ///
    /// # Errors
    /// Fails when the store can't be reached or is locked; the earlier value is then still there.
    async fn set(&self, key: &str, value: &Secret<String>) -> Result<(), SecretError>;

    /// Removes the secret under a key. A key that is not there is no failure.
    ///
    /// # Errors
    /// Fails when the store can't be reached or is locked.
    async fn delete(&self, key: &str) -> Result<(), SecretError>;

    /// Says where the secrets are, for the window.
    fn info(&self) -> StoreInfo;
}

/// Where secrets are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StoreInfo {
    /// In the operating system's keyring.
    Keyring { name: String },
    /// In memory, until the program ends. Must be visible to the person.
    ThisStartOnly { reason: String, hint: String },
}

/// Why a store didn't do it. The words are for the person; what the operating system said goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none, or it can't be reached.
    #[error("No keyring answers on this computer.")]
    NoKeyring,
    /// It is there, but locked, or the person dismissed its question.
    #[error("The keyring is locked.")]
    Locked,
    /// It didn't answer in time; most often it is asking for its password behind another window.
    #[error("The keyring did not answer within {seconds} seconds.")]
    NoAnswer { seconds: u64 },
    /// The entry is incomplete or was written by something else.
    #[error("The keyring's entry {key} cannot be read: it is incomplete or was changed by another program.")]
    Damaged { key: String },
    /// Several entries match.
    #[error("The keyring holds more than one entry {key}.")]
    Ambiguous { key: String },
    /// It took a value and gave another back.
    #[error("The keyring did not return what was stored in it.")]
    NotKept,
    /// It refused for a reason of its own.
    #[error("The keyring refused the request.")]
    Refused,
}

impl SecretError {
    /// Says what the person can do.
    pub fn hint(&self) -> String {
        match self {
            Self::NoKeyring if cfg!(target_os = "linux") => {
                "Install and start a keyring (package gnome-keyring or kwalletmanager), sign in to the desktop again, and restart Rehost.".into()
            }
            Self::NoKeyring => "Sign in to the desktop as yourself, and restart Rehost.".into(),
            Self::Locked if cfg!(target_os = "linux") => {
                "Unlock the keyring: open \"Passwords and Keys\" (seahorse), right-click \"Login\", choose Unlock; then restart Rehost.".into()
            }
            Self::Locked => "Unlock the keychain of your account, then restart Rehost.".into(),
            Self::NoAnswer { .. } => {
                "Look for a window that asks for the keyring's password, answer it, and restart Rehost.".into()
            }
            Self::Damaged { key } => format!("Enter the secret again; or delete the entry {key} of service rehost in the keyring first."),
            Self::Ambiguous { key } => format!("Delete the surplus entries {key} of service rehost in the keyring."),
            Self::NotKept | Self::Refused => "Restart the keyring or the computer, then restart Rehost.".into(),
        }
    }
}

/// Longest wait for the probe. A person who is asked for the keyring's password may take longer, and is told so.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Opens the operating system's keyring, and proves by writing, reading and deleting that it works. When it doesn't,
/// returns a [`MemoryStore`] whose [`SecretStore::info`] says why and what to do. Takes 5 seconds at most.
pub async fn open() -> Arc<dyn SecretStore> {
    choose(KeyringStore::new()).await
}

pub(crate) async fn choose(keyring: KeyringStore) -> Arc<dyn SecretStore> {
    let probed = tokio::time::timeout(PROBE_LIMIT, probe(&keyring)).await;
    match probed.unwrap_or(Err(SecretError::NoAnswer {
        seconds: PROBE_LIMIT.as_secs(),
    })) {
        Ok(()) => Arc::new(keyring),
        Err(e) => {
            tracing::warn!(reason = %e, "secrets are kept for this start only");
            Arc::new(MemoryStore::new(e.to_string(), e.hint()))
        }
    }
}

async fn probe(store: &KeyringStore) -> Result<(), SecretError> {
    let key = format!("probe-{}", std::process::id());
    let value = Secret::new(format!("{key} is a test entry and can be deleted"));
    store.set(&key, &value).await?;
    let kept = store.get(&key).await?.is_some_and(|v| v == value);
    store.delete(&key).await?;
    if kept { Ok(()) } else { Err(SecretError::NotKept) }
}
