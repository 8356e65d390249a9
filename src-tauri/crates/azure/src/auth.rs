//! Signing in to Entra: six ways, each a `TokenCredential`, and one [`Session`] behind them that keeps the tokens.
//!
//! A person signs in with the browser ([`BrowserSignIn`]) or with a device code ([`DeviceSignIn`]); what keeps the person
//! signed in, the refresh token, lives in a secret store. An application signs in with a secret or a certificate
//! ([`ClientCertificate`]). The Azure CLI and managed identities are left to `azure_identity`.
//!
//! Decisions. The requests to Entra are ours and not a library's (`oauth2`, and `azure_identity` for the secret): they are
//! one form and one JSON each, and ours go through the connection's proxy and authorities, leave a trace without secrets,
//! keep Entra's `AADSTS` numbers (`azure_identity`'s parser refuses descriptions with escaped line breaks), and take
//! the time from [`Time`], so that a run of days can be proved in seconds. `azure_identity` reads the computer's clock.
//! Access tokens are in memory only. Each is renewed five minutes before it ends, by one request at a time for a tenant
//! and scope, while the old one still serves if Entra is down. What Azure demands of a token beyond that is answered, see
//! [`claims`].
//!
//! Begin with [`Session`].

pub(crate) mod advice;
mod browser;
mod certificate;
pub(crate) mod claims;
mod device;
mod entra;
mod outside;
mod session;

pub use browser::BrowserSignIn;
pub use certificate::ClientCertificate;
pub use device::DeviceSignIn;
pub use session::{Account, Means, Session};

use crate::{AzureError, Network, TokenCredential, arm::Bearer, redact::Known};
use jiff::{SignedDuration, Timestamp};
use plan::{Trace, design::AzureConnection};
use secrets::Secret;
use std::{sync::Arc, time::Duration};

/// The public client with which a person signs in when the connection names no application of its own: the one that
/// Microsoft's SDKs and command line use for development (`azure-identity`, `DEVELOPER_SIGN_ON_CLIENT_ID`). It is known in
/// every tenant, so nobody has to register an application first; a tenant may block it.
pub const DEVELOPER_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// What the caller of a credential knows and the credential's interface has no room for.
#[derive(Clone, Default)]
pub(crate) struct Context {
    pub trace: Option<Arc<dyn Trace>>,
    /// A token that Azure refused although it should be valid.
    pub refused: Option<Arc<Bearer>>,
    /// What Azure demanded when it refused the token.
    pub demanded: Option<Secret<String>>,
}

tokio::task_local! {
    pub(crate) static CONTEXT: Context;
}

/// Where the sign-in takes the time from: the computer's clock, or that of a rehearsal.
#[async_trait::async_trait]
pub trait Time: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Returns when `until` has come. Cancel-safe.
    async fn sleep_until(&self, until: Timestamp);
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct ComputerTime;

#[async_trait::async_trait]
impl Time for ComputerTime {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        let left = until.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }
}

/// Makes the credential of an application with a client secret, on the computer's clock. No I/O.
///
/// # Errors
/// Fails when tenant, application or secret are missing, or an address of the connection is unusable.
pub fn client_secret(c: &AzureConnection, secret: Secret<String>) -> Result<Arc<dyn TokenCredential>, AzureError> {
    let network = Network::of(c, None)?;
    Ok(Session::new(c, Means::ClientSecret(secret), network, Arc::new(ComputerTime))?.credential())
}

impl AzureError {
    /// Nobody has signed in yet, or somebody signed out.
    pub fn not_signed_in() -> Self {
        token_error("NotSignedIn", "nobody is signed in")
    }

    /// What a credential's failure means: ours comes back out of the library's error.
    pub fn of_credential(error: &azure_core::Error) -> Self {
        explained(error, &Known::default())
    }
}

/// A refusal with a code of our own.
pub(crate) fn token_error(code: &str, message: impl Into<String>) -> AzureError {
    AzureError::Token {
        code: code.into(),
        message: message.into(),
        status: None,
        retry_after: None,
    }
}

/// Finds our error inside the library's again; what comes from another credential (the Azure CLI, say) is kept in its
/// own words.
pub(crate) fn explained(error: &azure_core::Error, known: &Known) -> AzureError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(ours) = e.downcast_ref::<AzureError>() {
            return ours.clone();
        }
        next = e.source();
    }
    token_error("NoToken", known.text(&error.to_string()))
}

/// Random bytes for what nobody may guess: 256 bits in 43 characters.
fn unguessable() -> Result<Secret<String>, AzureError> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| AzureError::Config {
        field: "sign-in".into(),
        message: "this computer gives no random numbers".into(),
    })?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}
