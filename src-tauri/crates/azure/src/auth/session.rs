//! What one connection's sign-in knows: how to get a token, and the tokens it has.

use super::{
    BrowserSignIn, CONTEXT, ClientCertificate, Context, DEVELOPER_CLIENT, DeviceSignIn, Time, entra::Entra, outside,
    token_error,
};
use crate::{AzureError, ErrorClass, Network, TokenCredential, clouds};
use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    error::ErrorKind,
    time::OffsetDateTime,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use plan::{
    Trace,
    design::{AzureConnection, SignIn},
};
use secrets::{Secret, SecretError, SecretStore};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A token is renewed so long before its end. Entra's live for an hour or more.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// An old token still serves for a request when Entra can't give a new one, if it lasts at least so long.
const ENOUGH: SignedDuration = SignedDuration::from_secs(30);
/// Where a person signs in whose tenant is not known yet: work and school accounts of any tenant.
const ANY_TENANT: &str = "organizations";

/// How a sign-in proves who it is.
pub enum Means {
    /// A person. What keeps the person signed in is kept in the store under this key.
    Person {
        store: Arc<dyn SecretStore>,
        key: String,
    },
    ClientSecret(Secret<String>),
    ClientCertificate(ClientCertificate),
    AzureCli,
    ManagedIdentity,
}

/// A person who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `admin@contoso.com`
    pub user: String,
    /// The tenant in which the person signed in.
    pub tenant_id: String,
}

/// A connection's sign-in. All credentials made from it share tokens and locks.
pub struct Session {
    pub(super) connection: AzureConnection,
    means: Means,
    network: Network,
    pub(super) time: Arc<dyn Time>,
    pub(super) entra: Entra,
    /// The tokens by tenant and scope, each behind its own lock: who needs a new one waits for the one request.
    tokens: Mutex<HashMap<(String, String), Slot>>,
    /// Refresh tokens rotate: one request at a time uses and replaces it, whatever its tenant.
    grant: tokio::sync::Mutex<Grant>,
}

/// The token of a tenant and scope; who holds the lock renews it.
type Slot = Arc<tokio::sync::Mutex<Kept>>;

#[derive(Default)]
struct Kept {
    held: Option<Held>,
    /// What Azure demanded when it refused the token, until there is one that was asked for with it.
    demanded: Option<Secret<String>>,
}

#[derive(Clone)]
struct Held {
    token: Arc<Secret<String>>,
    ends: Timestamp,
    renew: Timestamp,
}

/// What keeps a person signed in.
enum Grant {
    /// The store was not asked yet.
    Unread,
    None,
    Held {
        account: Account,
        refresh: Secret<String>,
    },
    /// Entra refused it for good: everybody gets the reason without asking again.
    Refused {
        account: Account,
        refresh: Secret<String>,
        why: AzureError,
    },
}

/// What the secret store keeps of a person's sign-in.
struct Stored {
    account: Account,
    refresh: Secret<String>,
    demanded: Option<Secret<String>>,
}

impl Stored {
    fn held(self) -> Grant {
        Grant::Held {
            account: self.account,
            refresh: self.refresh,
        }
    }
}

/// Tokens as Entra gives them.
struct Given {
    access: Secret<String>,
    seconds: i64,
    refresh: Option<Secret<String>>,
    account: Option<Account>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("sign_in", &self.connection.sign_in)
            .field("client_id", &self.connection.client_id)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Prepares a sign-in. No I/O.
    ///
    /// # Errors
    /// Fails when a part that this way of signing in needs is missing, or an address is unusable.
    pub fn new(
        c: &AzureConnection,
        means: Means,
        network: Network,
        time: Arc<dyn Time>,
    ) -> Result<Arc<Self>, AzureError> {
        let mut connection = clouds::complete(c);
        for id in [&mut connection.tenant_id, &mut connection.client_id] {
            *id = id.trim().to_owned();
        }
        let entra = Entra::new(&connection.authority_url, &network)?;
        let empty = |field: &str| AzureError::Config {
            field: field.into(),
            message: "it is empty".into(),
        };
        let application = matches!(means, Means::ClientSecret(_) | Means::ClientCertificate(_));
        if application && connection.client_id.is_empty() {
            return Err(empty("client ID"));
        }
        if application || !connection.tenant_id.is_empty() {
            entra.endpoint(&connection.tenant_id, "token")?;
        }
        if let Means::ClientSecret(secret) = &means {
            if secret.expose().trim().is_empty() {
                return Err(empty("client secret"));
            }
            entra.known.learn(secret.expose());
        }
        if matches!(means, Means::Person { .. }) && connection.client_id.is_empty() {
            connection.client_id = DEVELOPER_CLIENT.into();
        }
        connection.sign_in = match (&means, connection.sign_in) {
            (Means::Person { .. }, SignIn::DeviceCode) => SignIn::DeviceCode,
            (Means::Person { .. }, _) => SignIn::Browser,
            (Means::ClientSecret(_), _) => SignIn::ClientSecret,
            (Means::ClientCertificate(_), _) => SignIn::ClientCertificate,
            (Means::AzureCli, _) => SignIn::AzureCli,
            (Means::ManagedIdentity, _) => SignIn::ManagedIdentity,
        };
        Ok(Arc::new(Self {
            connection,
            means,
            network,
            time,
            entra,
            tokens: Mutex::default(),
            grant: tokio::sync::Mutex::new(Grant::Unread),
        }))
    }

    /// The credential for the connection's tenant.
    pub fn credential(self: &Arc<Self>) -> Arc<dyn TokenCredential> {
        self.credential_in(&self.connection.tenant_id)
    }

    /// The credential for another tenant of the same account.
    pub fn credential_in(self: &Arc<Self>, tenant: &str) -> Arc<dyn TokenCredential> {
        Arc::new(InTenant {
            session: self.clone(),
            tenant: tenant.trim().to_lowercase(),
        })
    }

    /// The network that the sign-in goes through.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The connection, its addresses filled in.
    pub fn connection(&self) -> &AzureConnection {
        &self.connection
    }

    /// Begins a sign-in with the browser of this computer.
    ///
    /// # Errors
    /// Fails when this computer lets no program listen on its loopback address.
    pub async fn browser(self: &Arc<Self>, trace: Option<Arc<dyn Trace>>) -> Result<BrowserSignIn, AzureError> {
        BrowserSignIn::begin(self.clone(), trace).await
    }

    /// Begins a sign-in with a code that is entered in any browser.
    ///
    /// # Errors
    /// Fails when Entra gives no code.
    pub async fn device_code(self: &Arc<Self>, trace: Option<Arc<dyn Trace>>) -> Result<DeviceSignIn, AzureError> {
        DeviceSignIn::begin(self.clone(), trace).await
    }

    /// Who is signed in; none when nobody is. Only for persons.
    ///
    /// # Errors
    /// Fails when the secret store can't be read.
    pub async fn account(&self) -> Result<Option<Account>, AzureError> {
        let mut grant = self.grant.lock().await;
        self.read(&mut grant).await?;
        Ok(match &*grant {
            Grant::Held { account, .. } | Grant::Refused { account, .. } => Some(account.clone()),
            Grant::Unread | Grant::None => None,
        })
    }

    /// Forgets all tokens, here and in the secret store.
    ///
    /// # Errors
    /// Fails when the secret store refuses.
    pub async fn sign_out(&self) -> Result<(), AzureError> {
        let mut grant = self.grant.lock().await;
        *grant = Grant::None;
        // Slots stay: who waits for one of them asks again, and is told that nobody is signed in.
        let slots: Vec<_> = self.slots().values().cloned().collect();
        for slot in slots {
            *slot.lock().await = Kept::default();
        }
        match &self.means {
            Means::Person { store, key } => store.delete(key).await.map_err(|e| unkept(&e)),
            _ => Ok(()),
        }
    }

    /// The tenant that a person signs in to.
    pub(super) fn sign_in_tenant(&self) -> &str {
        match self.connection.tenant_id.as_str() {
            "" => ANY_TENANT,
            tenant => tenant,
        }
    }

    /// The scopes of a person's sign-in: the resource manager, who it is, and to stay signed in.
    pub(super) fn person_scope(&self) -> String {
        format!("{} openid profile offline_access", clouds::scope(&self.connection))
    }

    /// Takes what Entra gave for a person who has just signed in.
    pub(super) async fn signed_in(&self, answer: &Value) -> Result<Account, AzureError> {
        let given = given(answer)?;
        let (Some(account), Some(refresh)) = (given.account.clone(), given.refresh.clone()) else {
            return Err(token_error(
                "NoRefreshToken",
                "the answer names no account, or holds nothing to stay signed in with",
            ));
        };
        let held = self.held(&given);
        let scope = clouds::scope(&self.connection);
        {
            let mut grant = self.grant.lock().await;
            self.keep(&account, &refresh, None).await?;
            *grant = Grant::Held {
                account: account.clone(),
                refresh,
            };
        }
        // Tokens of whoever was signed in before must not serve the new one.
        let old: Vec<_> = self.slots().values().cloned().collect();
        for slot in old {
            *slot.lock().await = Kept::default();
        }
        for tenant in [&self.connection.tenant_id, &account.tenant_id] {
            self.slot(&tenant.to_lowercase(), &scope).lock().await.held = Some(held.clone());
        }
        Ok(account)
    }

    async fn token(&self, tenant: &str, scope: &str) -> Result<Held, AzureError> {
        let context = CONTEXT.try_with(Context::clone).unwrap_or_default();
        let slot = self.slot(tenant, scope);
        let mut slot = slot.lock().await;
        let now = self.time.now();
        let refused = |h: &Held| context.refused.as_ref().is_some_and(|r| r.token == *h.token);
        // A request that was slower than others brings the demand on a token that was replaced already.
        if context.demanded.is_some() && slot.held.as_ref().is_none_or(refused) {
            slot.demanded = context.demanded.clone();
        }
        let valid = slot.held.clone().filter(|h| !refused(h));
        if let Some(held) = &valid
            && now < held.renew
        {
            return Ok(held.clone());
        }
        match self
            .ask(tenant, scope, slot.demanded.as_ref(), context.trace.as_deref())
            .await
        {
            Ok(given) => {
                let held = self.held(&given);
                *slot = Kept {
                    held: Some(held.clone()),
                    demanded: None,
                };
                Ok(held)
            }
            Err(e) => {
                let passing = matches!(e.class(), ErrorClass::Transient | ErrorClass::Throttled(_));
                match valid.filter(|h| passing && h.ends.duration_since(now) > ENOUGH) {
                    Some(held) => {
                        tracing::warn!(
                            code = e.code(),
                            "the token could not be renewed yet; the old one still serves"
                        );
                        Ok(held)
                    }
                    None => Err(e),
                }
            }
        }
    }

    /// Gets a new token.
    async fn ask(
        &self,
        tenant: &str,
        scope: &str,
        demanded: Option<&Secret<String>>,
        trace: Option<&dyn Trace>,
    ) -> Result<Given, AzureError> {
        let client = self.connection.client_id.as_str();
        let application = ("grant_type", "client_credentials");
        match &self.means {
            Means::Person { .. } => self.refresh(tenant, scope, demanded, trace).await,
            Means::ClientSecret(secret) => {
                let form = [
                    application,
                    ("client_id", client),
                    ("client_secret", secret.expose()),
                    ("scope", scope),
                ];
                given(&self.entra.ask(tenant, "token", &form, demanded, trace).await?)
            }
            Means::ClientCertificate(certificate) => {
                let audience = self.entra.endpoint(tenant, "token")?;
                let assertion = certificate.assertion(client, audience.as_str(), self.time.now())?;
                self.entra.known.learn(assertion.expose());
                let form = [
                    application,
                    ("client_id", client),
                    (
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ),
                    ("client_assertion", assertion.expose()),
                    ("scope", scope),
                ];
                given(&self.entra.ask(tenant, "token", &form, demanded, trace).await?)
            }
            Means::AzureCli => self.foreign(outside::azure_cli(tenant, scope, &self.entra.known).await?),
            Means::ManagedIdentity => self.foreign(outside::managed_identity(client, scope, &self.entra.known).await?),
        }
    }

    fn foreign(&self, token: AccessToken) -> Result<Given, AzureError> {
        let ends = token.expires_on.unix_timestamp();
        Ok(Given {
            seconds: ends.saturating_sub(self.time.now().as_second()),
            access: Secret::from(token.token.secret()),
            refresh: None,
            account: None,
        })
    }

    /// Uses the refresh token, and replaces it by the one that comes with the answer.
    async fn refresh(
        &self,
        tenant: &str,
        scope: &str,
        demanded: Option<&Secret<String>>,
        trace: Option<&dyn Trace>,
    ) -> Result<Given, AzureError> {
        let mut grant = self.grant.lock().await;
        self.read(&mut grant).await?;
        loop {
            let (account, refresh) = match &*grant {
                Grant::Held { account, refresh } => (account.clone(), refresh.clone()),
                Grant::Refused { refresh, why, .. } => match self.stored().await? {
                    Some(newer) if newer.refresh != *refresh => (newer.account, newer.refresh),
                    _ => return Err(why.clone()),
                },
                Grant::Unread | Grant::None => return Err(AzureError::not_signed_in()),
            };
            self.entra.known.learn(refresh.expose());
            let tenant = if tenant.is_empty() { &account.tenant_id } else { tenant };
            let scopes = format!("{scope} openid profile offline_access");
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", self.connection.client_id.as_str()),
                ("refresh_token", refresh.expose()),
                ("scope", &scopes),
            ];
            match self.entra.ask(tenant, "token", &form, demanded, trace).await {
                Ok(answer) => {
                    let given = given(&answer)?;
                    if let Some(next) = &given.refresh {
                        // The old one mostly still works: a store that refuses now must not end a run.
                        if let Err(e) = self.keep(&account, next, None).await {
                            tracing::warn!(error = %e, "the renewed sign-in could not be stored");
                        }
                    }
                    let refresh = given.refresh.clone().unwrap_or(refresh);
                    *grant = Grant::Held { account, refresh };
                    return Ok(given);
                }
                // What another session signed in to meanwhile (the person's, while a run waits) is tried before giving up.
                Err(why) if super::advice::ends_the_sign_in(why.code()) => {
                    *grant = Grant::Refused { account, refresh, why };
                }
                Err(why) if why.class() == ErrorClass::Auth => match self.stored().await {
                    Ok(Some(newer)) if newer.refresh != refresh => *grant = newer.held(),
                    _ => {
                        // Whoever signs in next, in whichever session, asks for it on Microsoft's page.
                        if demanded.is_some()
                            && let Err(e) = self.keep(&account, &refresh, demanded).await
                        {
                            tracing::warn!(error = %e, "what Azure demands of the next sign-in could not be stored");
                        }
                        return Err(why);
                    }
                },
                Err(why) => return Err(why),
            }
        }
    }

    /// Reads the grant from the store, once.
    async fn read(&self, grant: &mut Grant) -> Result<(), AzureError> {
        if matches!(grant, Grant::Unread) {
            *grant = self.stored().await?.map_or(Grant::None, Stored::held);
        }
        Ok(())
    }

    /// What Azure demanded, and no refresh gave: the next sign-in of the person asks for it.
    pub(super) async fn demanded(&self) -> Option<Secret<String>> {
        self.stored().await.ok()??.demanded
    }

    async fn stored(&self) -> Result<Option<Stored>, AzureError> {
        let Means::Person { store, key } = &self.means else {
            return Ok(None);
        };
        let stored = store.get(key).await.map_err(|e| unkept(&e))?;
        Ok(stored.and_then(|s| self.parse(s.expose())))
    }

    /// A stored grant counts only for the application and the authority that it was given for.
    fn parse(&self, stored: &str) -> Option<Stored> {
        let json: Value = serde_json::from_str(stored).ok()?;
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let ours = text("client")?.eq_ignore_ascii_case(&self.connection.client_id)
            && text("authority")? == self.connection.authority_url;
        let account = Account {
            user: text("user")?,
            tenant_id: text("tenant")?,
        };
        ours.then_some(Stored {
            account,
            refresh: Secret::new(text("refresh")?),
            demanded: text("claims").map(Secret::new),
        })
    }

    /// Keeps a grant, and what it could not give.
    async fn keep(
        &self,
        account: &Account,
        refresh: &Secret<String>,
        demanded: Option<&Secret<String>>,
    ) -> Result<(), AzureError> {
        let Means::Person { store, key } = &self.means else {
            return Ok(());
        };
        let stored = Secret::new(
            json!({
                "user": account.user, "tenant": account.tenant_id, "refresh": refresh.expose(),
                "client": self.connection.client_id, "authority": self.connection.authority_url,
                "claims": demanded.map(|d| d.expose()),
            })
            .to_string(),
        );
        store.set(key, &stored).await.map_err(|e| unkept(&e))
    }

    fn held(&self, given: &Given) -> Held {
        self.entra.known.learn(given.access.expose());
        let now = self.time.now();
        let life = SignedDuration::from_secs(given.seconds.max(0));
        let at = |d: SignedDuration| now.saturating_add(d).unwrap_or(now);
        Held {
            token: Arc::new(given.access.clone()),
            ends: at(life),
            // Of a token that lives shorter than ten minutes, half its life is used.
            renew: at((life - EARLY).max(life / 2)),
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Slot>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, tenant: &str, scope: &str) -> Slot {
        self.slots()
            .entry((tenant.to_owned(), scope.to_owned()))
            .or_default()
            .clone()
    }
}

/// Reads Entra's tokens. Whose they are stands in the id token, which came from Entra itself over TLS, so its signature
/// needs no check (OpenID Connect Core 3.1.3.7).
fn given(answer: &Value) -> Result<Given, AzureError> {
    let secret = |key: &str| answer.get(key).and_then(Value::as_str).map(Secret::from);
    let access =
        secret("access_token").ok_or_else(|| token_error("NoToken", "Entra's answer holds no access token"))?;
    let seconds = match answer.get("expires_in") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_i64(),
        None => None,
    };
    let account = secret("id_token").and_then(|token| {
        let claims = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let text = |key: &str| claims.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Account {
            user: text("preferred_username").or_else(|| text("name"))?,
            tenant_id: text("tid")?,
        })
    });
    Ok(Given {
        access,
        // Without a word about it, as short as no token of Entra is.
        seconds: seconds.unwrap_or(600),
        refresh: secret("refresh_token"),
        account,
    })
}

fn unkept(e: &SecretError) -> AzureError {
    token_error("SecretStore", format!("{e} {}", e.hint()))
}

/// A session seen from one tenant.
#[derive(Debug)]
struct InTenant {
    session: Arc<Session>,
    tenant: String,
}

#[async_trait::async_trait]
impl TokenCredential for InTenant {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let wrapped = |error: AzureError| {
            let message = error.to_string();
            azure_core::Error::with_error(ErrorKind::Credential, error, message)
        };
        let [scope] = scopes else {
            return Err(wrapped(token_error("NoToken", "one scope at a time")));
        };
        let held = self.session.token(&self.tenant, scope).await.map_err(wrapped)?;
        let ends = OffsetDateTime::from_unix_timestamp(held.ends.as_second());
        Ok(AccessToken::new(
            azure_core::credentials::Secret::new(held.token.expose().clone()),
            ends.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ComputerTime, client_secret};
    use secrets::MemoryStore;

    fn connection() -> AzureConnection {
        AzureConnection {
            tenant_id: "t".into(),
            client_id: "c".into(),
            ..clouds::public()
        }
    }

    #[test]
    fn incomplete_connections_are_refused_before_any_request() {
        let whole = connection();
        assert!(client_secret(&whole, "s".into()).is_ok());
        for c in [
            AzureConnection {
                tenant_id: String::new(),
                ..whole.clone()
            },
            AzureConnection {
                tenant_id: "a/b".into(),
                ..whole.clone()
            },
            AzureConnection {
                client_id: " ".into(),
                ..whole.clone()
            },
            AzureConnection {
                authority_url: "http://login.example".into(),
                ..whole.clone()
            },
        ] {
            assert!(
                matches!(client_secret(&c, "s".into()), Err(AzureError::Config { .. })),
                "{c:?}"
            );
        }
        assert!(client_secret(&whole, "".into()).is_err());
    }

    #[tokio::test]
    async fn a_stored_sign_in_counts_for_its_application_and_cloud_only() {
        let store = Arc::new(MemoryStore::default());
        let session = |c: &AzureConnection| {
            let means = Means::Person {
                store: store.clone(),
                key: "p/azure-account".into(),
            };
            Session::new(c, means, Network::of(c, None).unwrap(), Arc::new(ComputerTime)).unwrap()
        };
        let c = connection();
        let account = Account {
            user: "admin@contoso.com".into(),
            tenant_id: "t".into(),
        };
        session(&c).keep(&account, &"r".into(), None).await.unwrap();
        assert_eq!(session(&c).account().await.unwrap(), Some(account));
        for other in [
            AzureConnection {
                client_id: "d".into(),
                ..c.clone()
            },
            AzureConnection {
                authority_url: "https://login.local".into(),
                ..c.clone()
            },
        ] {
            assert_eq!(session(&other).account().await.unwrap(), None);
        }
        session(&c).sign_out().await.unwrap();
        assert_eq!(store.get("p/azure-account").await, Ok(None));
    }

    #[test]
    fn a_token_is_renewed_early_but_not_at_once() {
        let c = connection();
        let network = Network::of(&c, None).unwrap();
        let session = Session::new(&c, Means::AzureCli, network, Arc::new(ComputerTime)).unwrap();
        for (life, left) in [(3600, 300), (600, 300), (300, 150), (0, 0)] {
            let held = session.held(&Given {
                access: "a".into(),
                seconds: life,
                refresh: None,
                account: None,
            });
            assert_eq!(held.ends.duration_since(held.renew).as_secs(), left, "{life}");
        }
    }
}
