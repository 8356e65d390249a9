//! Secrets in the operating system's keyring: Credential Manager, Keychain, or the Secret Service.
//!
//! Windows takes 2,560 bytes per entry, and Entra's refresh tokens are longer. A longer value is therefore cut into
//! parts of 2,000 bytes under `KEY#GENERATION.NUMBER`, and the entry KEY holds a manifest: a NUL byte (which no
//! password starts with), the generation, the number of parts and the length. A replacement writes parts of a new
//! generation before the manifest, so a crash in between leaves the earlier value readable. What a crash leaves behind is
//! of the generation before or after the manifest's: the next change sweeps both. Parts are written upwards and removed
//! downwards, so what is left of a generation always begins with its part 0. Values are stored as bytes: as UTF-16, which
//! the library's passwords are on Windows, only half as much would fit.

use crate::{Secret, SecretError, SecretStore, StoreInfo};
use keyring_core::{CredentialStore, Entry, Error};
use std::{sync::Arc, time::Duration};
use zeroize::{Zeroize, Zeroizing};

const SERVICE: &str = "rehost";
/// Windows' limit is 2,560 bytes; the rest is reserve for what a store adds.
const PART: usize = 2_000;
/// A keyring may ask the person for a password, and that takes a while; after this the call is given up.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// The operating system's keyring, service `rehost`.
#[derive(Clone, Default)]
pub struct KeyringStore {
    /// None = the platform's own.
    store: Option<Arc<CredentialStore>>,
}

impl KeyringStore {
    /// Takes the platform's keyring. Nothing is read yet; use [`crate::open`] to be sure that it works.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a given credential store, such as `keyring_core`'s mock.
    pub fn with_store(store: Arc<CredentialStore>) -> Self {
        Self { store: Some(store) }
    }

    /// Runs a blocking call on a thread of its own. Not on the runtime's blocking pool: a runtime waits for that pool
    /// when it ends, and a keyring that asks a question nobody answers would keep the program from ending.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, SecretError> {
        let (done, result) = tokio::sync::oneshot::channel();
        let this = self.clone();
        std::thread::Builder::new()
            .name("keyring".into())
            .spawn(move || {
                // The caller may have stopped waiting.
                let _ = done.send(work(&this));
            })
            .map_err(|_| SecretError::Refused)?;
        match tokio::time::timeout(CALL_LIMIT, result).await {
            Ok(answer) => answer.unwrap_or(Err(SecretError::Refused)),
            Err(_) => Err(SecretError::NoAnswer {
                seconds: CALL_LIMIT.as_secs(),
            }),
        }
    }

    fn entry(&self, key: &str) -> Result<Entry, SecretError> {
        match &self.store {
            Some(store) => store.build(SERVICE, key, None),
            None => keyring::Entry::new(SERVICE, key).map(|e| e.inner),
        }
        .map_err(|e| worded(key, e))
    }

    fn read(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
        match self.entry(key)?.get_secret() {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(e) => Err(worded(key, e)),
        }
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<(), SecretError> {
        self.entry(key)?.set_secret(bytes).map_err(|e| worded(key, e))
    }

    fn remove(&self, key: &str) -> Result<(), SecretError> {
        match self.entry(key)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(e) => Err(worded(key, e)),
        }
    }

    /// Removes what there is of a generation, from part `first` on.
    fn sweep(&self, key: &str, generation: u32, first: usize) -> Result<(), SecretError> {
        let mut end = first;
        while self.read(&part(key, generation, end))?.is_some() {
            end += 1;
        }
        (first..end)
            .rev()
            .try_for_each(|n| self.remove(&part(key, generation, n)))
    }
}

struct Manifest {
    generation: u32,
    parts: usize,
    length: usize,
}

fn part(key: &str, generation: u32, number: usize) -> String {
    format!("{key}#{generation}.{number}")
}

impl Manifest {
    fn to_bytes(&self) -> Vec<u8> {
        format!("\0{} {} {}", self.generation, self.parts, self.length).into_bytes()
    }

    /// Returns none for a value that is stored whole.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes.strip_prefix(b"\0")?).ok()?;
        let mut fields = text.split(' ');
        let manifest = Self {
            generation: fields.next()?.parse().ok()?,
            parts: fields.next()?.parse().ok()?,
            length: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(manifest)
    }
}

#[async_trait::async_trait]
impl SecretStore for KeyringStore {
    async fn get(&self, key: &str) -> Result<Option<Secret<String>>, SecretError> {
        let key = key.to_owned();
        self.blocking(move |this| {
            let Some(mut bytes) = this.read(&key)? else {
                return Ok(None);
            };
            let damaged = || SecretError::Damaged { key: key.clone() };
            if let Some(manifest) = Manifest::parse(&bytes) {
                let mut whole = Zeroizing::new(Vec::new());
                for n in 0..manifest.parts {
                    let part = this.read(&part(&key, manifest.generation, n))?.ok_or_else(damaged)?;
                    whole.extend_from_slice(&part);
                }
                if whole.len() != manifest.length {
                    return Err(damaged());
                }
                bytes = whole;
            }
            let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|e| {
                e.into_bytes().zeroize();
                damaged()
            })?;
            Ok(Some(Secret::new(text)))
        })
        .await
    }

    async fn set(&self, key: &str, value: &Secret<String>) -> Result<(), SecretError> {
        let (key, value) = (key.to_owned(), value.clone());
        self.blocking(move |this| {
            let before = this.read(&key)?.and_then(|b| Manifest::parse(&b));
            let bytes = value.expose().as_bytes();
            // Once in parts, always in parts: the manifest is what remembers the generation.
            if before.is_none() && bytes.len() <= PART && !bytes.starts_with(b"\0") {
                this.write(&key, bytes)?;
                return this.sweep(&key, 0, 0);
            }
            let manifest = Manifest {
                generation: before.as_ref().map_or(0, |m| m.generation.wrapping_add(1)),
                parts: bytes.len().div_ceil(PART),
                length: bytes.len(),
            };
            for (n, chunk) in bytes.chunks(PART).enumerate() {
                this.write(&part(&key, manifest.generation, n), chunk)?;
            }
            this.write(&key, &manifest.to_bytes())?;
            this.sweep(&key, manifest.generation, manifest.parts)?;
            for earlier in [1, 2] {
                if before.is_some() {
                    this.sweep(&key, manifest.generation.wrapping_sub(earlier), 0)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), SecretError> {
        let key = key.to_owned();
        self.blocking(move |this| {
            // The manifest last: as long as it is there, what is left can be found.
            let generation = this
                .read(&key)?
                .and_then(|b| Manifest::parse(&b))
                .map_or(0, |m| m.generation);
            for near in [generation.wrapping_add(1), generation, generation.wrapping_sub(1)] {
                this.sweep(&key, near, 0)?;
            }
            this.remove(&key)
        })
        .await
    }

    fn info(&self) -> StoreInfo {
        let name = if cfg!(target_os = "windows") {
            "Windows Credential Manager"
        } else if cfg!(target_os = "macos") {
            "macOS Keychain"
        } else {
            "Secret Service (GNOME Keyring, KWallet or another)"
        };
        StoreInfo::Keyring { name: name.into() }
    }
}

/// Turns the library's error into ours. The platform's own text goes to the log, never to the person; an error that
/// carries the secret's bytes is wiped and not logged.
fn worded(key: &str, error: Error) -> SecretError {
    let key = key.to_owned();
    match error {
        Error::NoDefaultStore => SecretError::NoKeyring,
        Error::NoStorageAccess(e) => {
            tracing::debug!(error = %e, "keyring locked");
            SecretError::Locked
        }
        Error::BadEncoding(mut bytes) | Error::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            SecretError::Damaged { key }
        }
        Error::Ambiguous(_) => SecretError::Ambiguous { key },
        Error::PlatformFailure(e) => {
            tracing::debug!(error = %e, "keyring failed");
            SecretError::Refused
        }
        other => {
            tracing::debug!(error = %other, "keyring refused");
            SecretError::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::choose;
    use keyring_core::{
        CredentialPersistence,
        api::{CredentialApi, CredentialStoreApi},
        mock,
    };
    use std::{
        any::Any,
        collections::{BTreeMap, HashMap},
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    fn mocked() -> (KeyringStore, Arc<CredentialStore>) {
        let store: Arc<CredentialStore> = mock::Store::new().unwrap();
        (KeyringStore::with_store(store.clone()), store)
    }

    fn fail_next(store: &Arc<CredentialStore>, key: &str, error: Error) {
        let entry = store.build(SERVICE, key, None).unwrap();
        entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(error);
    }

    #[tokio::test]
    async fn short_and_long_values_come_back_and_leave_nothing_behind() {
        let (keyring, store) = mocked();
        let raw = |key: &str| store.build(SERVICE, key, None).unwrap().get_secret();
        assert_eq!(keyring.get("k").await, Ok(None));
        for length in [0, 1, PART, PART + 1, 3 * PART + 7, 5_000, 12] {
            let value = Secret::new("ü".repeat(length / 2) + &"x".repeat(length % 2));
            keyring.set("k", &value).await.unwrap();
            assert_eq!(keyring.get("k").await, Ok(Some(value)), "length {length}");
        }
        assert!(
            matches!(raw("k#2.0"), Err(Error::NoEntry)),
            "parts of replaced values must be gone"
        );
        keyring.set("k", &Secret::new("y".repeat(PART * 2))).await.unwrap();
        keyring.delete("k").await.unwrap();
        keyring.delete("k").await.unwrap();
        assert_eq!(keyring.get("k").await, Ok(None));
        assert!(matches!(raw("k#0.1"), Err(Error::NoEntry)));
    }

    #[tokio::test]
    async fn a_missing_part_is_damage_and_not_a_shorter_secret() {
        let (keyring, store) = mocked();
        keyring.set("k", &Secret::new("y".repeat(PART * 2))).await.unwrap();
        store
            .build(SERVICE, "k#0.1", None)
            .unwrap()
            .delete_credential()
            .unwrap();
        assert_eq!(keyring.get("k").await, Err(SecretError::Damaged { key: "k".into() }));
    }

    #[tokio::test]
    async fn an_interrupted_replacement_keeps_the_earlier_value() {
        let (keyring, store) = mocked();
        let before = Secret::new("y".repeat(PART * 2));
        keyring.set("k", &before).await.unwrap();
        fail_next(&store, "k#1.1", Error::NoStorageAccess("locked".into()));
        assert_eq!(
            keyring.set("k", &Secret::new("z".repeat(PART * 2))).await,
            Err(SecretError::Locked)
        );
        assert_eq!(keyring.get("k").await, Ok(Some(before)));
    }

    #[tokio::test]
    async fn a_working_keyring_is_chosen() {
        let (keyring, _) = mocked();
        assert!(matches!(choose(keyring).await.info(), StoreInfo::Keyring { .. }));
    }

    #[tokio::test]
    async fn a_locked_keyring_is_replaced_visibly_and_in_plain_words() {
        let (keyring, store) = mocked();
        let raw = "org.freedesktop.DBus.Error.ServiceUnknown: no such name";
        fail_next(
            &store,
            &format!("probe-{}", std::process::id()),
            Error::NoStorageAccess(raw.into()),
        );
        let chosen = choose(keyring).await;
        let StoreInfo::ThisStartOnly { reason, hint } = chosen.info() else {
            unreachable!("must not be the keyring")
        };
        assert_eq!(reason, "The keyring is locked.");
        assert!(!hint.is_empty() && !hint.contains("org.freedesktop"));
        chosen.set("k", &"v".into()).await.unwrap();
        assert_eq!(chosen.get("k").await, Ok(Some("v".into())));
    }

    /// A keyring like Windows': 2,560 bytes in an entry. After `left` changes the program is dead.
    #[derive(Debug)]
    struct Small {
        entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
        left: Arc<AtomicUsize>,
    }
    #[derive(Debug)]
    struct SmallEntry {
        key: String,
        entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
        left: Arc<AtomicUsize>,
    }
    impl SmallEntry {
        fn lives(&self) -> keyring_core::Result<()> {
            let spend = self.left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
            spend.map(|_| ()).map_err(|_| Error::NoStorageAccess("dead".into()))
        }
    }
    impl CredentialApi for SmallEntry {
        fn set_secret(&self, secret: &[u8]) -> keyring_core::Result<()> {
            self.lives()?;
            if secret.len() > 2_560 {
                return Err(Error::TooLong("secret".into(), 2_560));
            }
            self.entries.lock().unwrap().insert(self.key.clone(), secret.to_vec());
            Ok(())
        }
        fn get_secret(&self) -> keyring_core::Result<Vec<u8>> {
            self.entries
                .lock()
                .unwrap()
                .get(&self.key)
                .cloned()
                .ok_or(Error::NoEntry)
        }
        fn delete_credential(&self) -> keyring_core::Result<()> {
            self.lives()?;
            let gone = self.entries.lock().unwrap().remove(&self.key);
            gone.map(|_| ()).ok_or(Error::NoEntry)
        }
        fn get_credential(&self) -> keyring_core::Result<Option<Arc<keyring_core::Credential>>> {
            Ok(None)
        }
        fn get_specifiers(&self) -> Option<(String, String)> {
            None
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    impl CredentialStoreApi for Small {
        fn vendor(&self) -> String {
            "test".into()
        }
        fn id(&self) -> String {
            "test".into()
        }
        fn build(&self, _: &str, key: &str, _: Option<&HashMap<&str, &str>>) -> keyring_core::Result<Entry> {
            Ok(Entry::new_with_credential(Arc::new(SmallEntry {
                key: key.to_owned(),
                entries: self.entries.clone(),
                left: self.left.clone(),
            })))
        }
        fn persistence(&self) -> CredentialPersistence {
            CredentialPersistence::ProcessOnly
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    /// A refresh token is replaced, and the program dies after any number of changes: either the old or the new one is
    /// there, whole; a later start goes on; and after signing out nothing at all is left.
    #[tokio::test]
    async fn a_crash_at_any_change_loses_no_sign_in_and_leaves_no_rest() {
        let value = |letter: &str, length: usize| Secret::new(letter.repeat(length));
        for (old, new) in [(6_500, 6_500), (6_500, 2_100), (2_100, 6_500), (6_500, 12), (12, 6_500)] {
            let (old, new) = (value("o", old), value("n", new));
            for dies_after in 0..20 {
                let (entries, left) = (Arc::default(), Arc::new(AtomicUsize::new(usize::MAX)));
                let small = Small {
                    entries: Arc::clone(&entries),
                    left: left.clone(),
                };
                let keyring = KeyringStore::with_store(Arc::new(small));
                keyring.set("k", &old).await.unwrap();
                left.store(dies_after, SeqCst);
                let replaced = keyring.set("k", &new).await;
                left.store(usize::MAX, SeqCst);
                let found = keyring.get("k").await.unwrap().unwrap();
                assert!(found == new || (found == old && replaced.is_err()), "{dies_after}");
                for length in [5_000, 30] {
                    keyring.set("k", &value("l", length)).await.unwrap();
                    assert_eq!(keyring.get("k").await, Ok(Some(value("l", length))));
                }
                left.store(dies_after / 4, SeqCst);
                let _ = keyring.delete("k").await;
                left.store(usize::MAX, SeqCst);
                keyring.delete("k").await.unwrap();
                assert_eq!(keyring.get("k").await, Ok(None));
                let rest: Vec<String> = entries.lock().unwrap().keys().cloned().collect();
                assert!(rest.is_empty(), "{dies_after}: {rest:?}");
            }
        }
    }

    /// A keyring that asks a question nobody answers.
    #[derive(Debug)]
    struct Hanging;
    impl CredentialApi for Hanging {
        fn set_secret(&self, _: &[u8]) -> keyring_core::Result<()> {
            loop {
                std::thread::park();
            }
        }
        fn get_secret(&self) -> keyring_core::Result<Vec<u8>> {
            Err(Error::NoEntry)
        }
        fn delete_credential(&self) -> keyring_core::Result<()> {
            Ok(())
        }
        fn get_credential(&self) -> keyring_core::Result<Option<Arc<keyring_core::Credential>>> {
            Ok(None)
        }
        fn get_specifiers(&self) -> Option<(String, String)> {
            None
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    impl CredentialStoreApi for Hanging {
        fn vendor(&self) -> String {
            "test".into()
        }
        fn id(&self) -> String {
            "test".into()
        }
        fn build(&self, _: &str, _: &str, _: Option<&HashMap<&str, &str>>) -> keyring_core::Result<Entry> {
            Ok(Entry::new_with_credential(Arc::new(Hanging)))
        }
        fn persistence(&self) -> CredentialPersistence {
            CredentialPersistence::ProcessOnly
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_keyring_that_does_not_answer_is_given_up_after_five_seconds() {
        let chosen = choose(KeyringStore::with_store(Arc::new(Hanging))).await;
        let StoreInfo::ThisStartOnly { reason, .. } = chosen.info() else {
            unreachable!("must not be the keyring")
        };
        assert_eq!(reason, "The keyring did not answer within 5 seconds.");
    }
}
