//! Talks to the control endpoint of a lab in another process.

use crate::wire::UiError;
use jiff::Timestamp;
use lab::{Addresses, ClockAnchor};
use serde_json::json;

/// A lab's control endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    url: String,
    http: reqwest::Client,
}

impl Control {
    /// Takes the endpoint's address and the lab's certificate authority (PEM). Makes no connection yet.
    pub(crate) fn new(url: &str, ca_pem: &str) -> Result<Self, UiError> {
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).map_err(|e| {
            UiError::invalid(
                "The lab's certificate authority can't be read",
                e.to_string(),
                "Give --lab-ca the file that `rehost-cli lab` named as caFile.",
            )
        })?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .build()
            .map_err(UiError::internal)?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            http,
        })
    }

    pub(crate) async fn addresses(&self) -> Result<Addresses, UiError> {
        self.read(self.http.get(format!("{}/addresses", self.url))).await
    }

    pub(crate) async fn advance_to(&self, to: Timestamp) -> Result<ClockAnchor, UiError> {
        self.read(
            self.http
                .post(format!("{}/clock", self.url))
                .json(&json!({ "advanceTo": to })),
        )
        .await
    }

    pub(crate) async fn set_speed(&self, speed: u32) -> Result<ClockAnchor, UiError> {
        self.read(
            self.http
                .post(format!("{}/clock", self.url))
                .json(&json!({ "speed": speed })),
        )
        .await
    }

    /// The lab's people remove the cause of what goes wrong. False when there is none, or none any more.
    pub(crate) async fn cure(&self) -> Result<bool, UiError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            cured: bool,
        }
        let answer: Answer = self.read(self.http.post(format!("{}/cure", self.url))).await?;
        Ok(answer.cured)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, UiError> {
        let unreachable = |e: reqwest::Error| UiError::lab_unreachable(&self.url, &e);
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(unreachable)?;
        answer.json().await.map_err(unreachable)
    }
}
