//! Signing in with a code that the person enters in any browser, on any computer (RFC 8628): for jump hosts without one.

use super::{Account, Session, token_error};
use crate::{AzureError, ErrorClass};
use jiff::{SignedDuration, Timestamp};
use plan::Trace;
use secrets::Secret;
use serde_json::Value;
use std::sync::Arc;

/// Seconds between questions when Entra names none, and what `slow_down` adds (RFC 8628, 3.5).
const INTERVAL: i64 = 5;

/// A sign-in that waits for the person. Dropping it ends it.
pub struct DeviceSignIn {
    session: Arc<Session>,
    trace: Option<Arc<dyn Trace>>,
    /// What we ask with; secret.
    device_code: Secret<String>,
    user_code: String,
    url: String,
    interval: i64,
    ends: Timestamp,
    demanded: Option<Secret<String>>,
}

impl DeviceSignIn {
    pub(super) async fn begin(session: Arc<Session>, trace: Option<Arc<dyn Trace>>) -> Result<Self, AzureError> {
        let demanded = session.demanded().await;
        let form = [
            ("client_id", session.connection.client_id.as_str()),
            ("scope", &session.person_scope()),
        ];
        let answer = session
            .entra
            .ask(
                session.sign_in_tenant(),
                "devicecode",
                &form,
                demanded.as_ref(),
                trace.as_deref(),
            )
            .await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let seconds = |key: &str, otherwise: i64| answer.get(key).and_then(Value::as_i64).unwrap_or(otherwise);
        let (device_code, user_code, url) = (text("device_code"), text("user_code"), text("verification_uri"));
        if device_code.is_empty() || user_code.is_empty() || url.is_empty() {
            return Err(token_error("NoDeviceCode", "Entra's answer holds no code"));
        }
        let now = session.time.now();
        Ok(Self {
            device_code: Secret::new(device_code),
            user_code,
            url,
            interval: seconds("interval", INTERVAL).max(1),
            // Entra's codes live for 15 minutes.
            ends: now
                .saturating_add(SignedDuration::from_secs(seconds("expires_in", 900)))
                .unwrap_or(now),
            demanded,
            session,
            trace,
        })
    }

    /// The page on which the person enters the code.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the person enters there.
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// When the code expires.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Asks as often as Entra wants until the person has signed in.
    ///
    /// # Errors
    /// Fails when the person declines, when the code expires, or when Entra refuses.
    pub async fn finish(self) -> Result<Account, AzureError> {
        let mut interval = self.interval;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", self.session.connection.client_id.as_str()),
            ("device_code", self.device_code.expose()),
        ];
        loop {
            let now = self.session.time.now();
            if now >= self.ends {
                return Err(token_error("expired_token", "nobody entered the code in time"));
            }
            let next = now
                .saturating_add(SignedDuration::from_secs(interval))
                .unwrap_or(self.ends);
            self.session.time.sleep_until(next.min(self.ends)).await;
            let asked = self
                .session
                .entra
                .ask(
                    self.session.sign_in_tenant(),
                    "token",
                    &form,
                    self.demanded.as_ref(),
                    self.trace.as_deref(),
                )
                .await;
            match asked {
                Ok(answer) => return self.session.signed_in(&answer).await,
                Err(e) if e.code() == "authorization_pending" => {}
                Err(e) if e.code() == "slow_down" => interval += INTERVAL,
                // A network that fails for a moment ends nothing; it is asked less often (RFC 8628, 3.5).
                Err(e) => match e.class() {
                    ErrorClass::Transient => interval = (interval * 2).min(60),
                    ErrorClass::Throttled(seconds) => interval = interval.max(seconds.min(60).cast_signed()),
                    _ => return Err(e),
                },
            }
        }
    }
}
