//! Secrets for this start only.

use crate::{Secret, SecretError, SecretStore, StoreInfo};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Keeps secrets in this process's memory. Says why it had to.
#[derive(Debug)]
pub struct MemoryStore {
    reason: String,
    hint: String,
    values: Mutex<HashMap<String, Secret<String>>>,
}

impl MemoryStore {
    /// Makes an empty store. `reason` says why no keyring is used, `hint` what the person can do about it.
    pub fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
            values: Mutex::default(),
        }
    }

    fn values(&self) -> std::sync::MutexGuard<'_, HashMap<String, Secret<String>>> {
        // A panic elsewhere leaves whole entries behind: each change is one call of the map.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new("Secrets were asked to be kept in memory only.", "")
    }
}

#[async_trait::async_trait]
impl SecretStore for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Secret<String>>, SecretError> {
        Ok(self.values().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &Secret<String>) -> Result<(), SecretError> {
        self.values().insert(key.to_owned(), value.clone());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), SecretError> {
        self.values().remove(key);
        Ok(())
    }

    fn info(&self) -> StoreInfo {
        StoreInfo::ThisStartOnly {
            reason: self.reason.clone(),
            hint: self.hint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stores_replaces_and_forgets() {
        let store = MemoryStore::default();
        assert_eq!(store.get("a").await, Ok(None));
        store.set("a", &"one".into()).await.unwrap();
        store.set("a", &"two".into()).await.unwrap();
        assert_eq!(store.get("a").await, Ok(Some("two".into())));
        store.delete("a").await.unwrap();
        store.delete("a").await.unwrap();
        assert_eq!(store.get("a").await, Ok(None));
        assert!(!format!("{store:?}").contains("two"));
    }
}
