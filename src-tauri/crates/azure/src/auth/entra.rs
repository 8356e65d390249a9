//! One request to Entra and its answer.

use super::claims;
use crate::{
    AzureError, Network, clouds,
    error::read,
    redact::Known,
    transport::{self, Call},
};
use bytes::Bytes;
use plan::Trace;
use reqwest::{Client, Method};
use secrets::Secret;
use serde_json::Value;
use url::Url;

/// The sign-in service of a cloud.
pub(super) struct Entra {
    http: Client,
    authority: Url,
    pub known: Known,
}

impl Entra {
    pub fn new(authority: &str, network: &Network) -> Result<Self, AzureError> {
        let authority = clouds::address("sign-in address", authority)?;
        Ok(Self {
            http: network.client(&authority)?,
            authority,
            known: Known::default(),
        })
    }

    /// The address of a tenant's endpoint: `authorize`, `token`, `devicecode`.
    pub fn endpoint(&self, tenant: &str, name: &str) -> Result<Url, AzureError> {
        let tenant = tenant.trim();
        let wrong = |message: String| AzureError::Config {
            field: "tenant ID".into(),
            message,
        };
        if tenant.is_empty() || !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(wrong(format!("`{tenant}` is neither a GUID nor a domain name")));
        }
        let base = self.authority.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{tenant}/oauth2/v2.0/{name}")).map_err(|e| wrong(e.to_string()))
    }

    /// Sends a form, with what is demanded of the tokens; returns the answer's JSON.
    ///
    /// # Errors
    /// Fails when Entra refuses or can't be reached, or when somebody else answers.
    pub async fn ask(
        &self,
        tenant: &str,
        endpoint: &str,
        form: &[(&str, &str)],
        demanded: Option<&Secret<String>>,
        trace: Option<&dyn Trace>,
    ) -> Result<Value, AzureError> {
        let url = self.endpoint(tenant, endpoint)?;
        let claims = claims::asked(demanded);
        if demanded.is_some() {
            self.known.learn(&claims);
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("claims", &claims)
            .finish();
        let mut call = Call::new("entra", Method::POST, url.clone())
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        call.body = Some(Bytes::from(body));
        let answer = transport::send(&self.http, call, &self.known, trace).await?;
        let body = read::<Value>(&answer.body);
        match body {
            Ok(body) if answer.is_success() && body.is_object() => {
                // Whatever is shown later must not hold what was just given.
                self.known.learn_from(&body);
                Ok(body)
            }
            Ok(body) => Err(refusal(answer.status, answer.retry_after(), &body, &self.known)),
            Err(_) if matches!(answer.status, 408 | 429 | 500..) => {
                Err(refusal(answer.status, answer.retry_after(), &Value::Null, &self.known))
            }
            Err((path, message)) => Err(AzureError::Parse {
                method: "POST".into(),
                url: self.known.url(&url),
                path,
                message: format!(
                    "the sign-in's answer ({}) is not Entra's: {}",
                    answer.status,
                    self.known.text(&message)
                ),
            }),
        }
    }
}

/// Reads Entra's refusal: `{"error", "error_description", "error_codes": [7000215], …}`. Entra's words for the device
/// code (`authorization_pending` and its like) are kept, for they say what to do next.
fn refusal(status: u16, retry_after: Option<u64>, body: &Value, known: &Known) -> AzureError {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = body.pointer("/error_codes/0").and_then(Value::as_u64);
    let code = match (text("error"), number) {
        (word @ ("authorization_pending" | "slow_down" | "authorization_declined" | "expired_token"), _) => {
            word.to_owned()
        }
        (_, Some(n)) => format!("AADSTS{n}"),
        (word, None) => word.to_owned(),
    };
    refused(code, text("error_description"), Some(status), retry_after, known)
}

/// A refusal in Entra's words: their first line is the reason; trace id and time follow.
pub(super) fn refused(
    code: String,
    description: &str,
    status: Option<u16>,
    retry_after: Option<u64>,
    known: &Known,
) -> AzureError {
    let first = description.lines().next().unwrap_or_default();
    let message = match (first, status) {
        ("", Some(status)) => format!("HTTP status {status}"),
        ("", None) => "no reason was given".into(),
        (first, _) => known.text(first),
    };
    AzureError::Token {
        code,
        message,
        status,
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorClass;
    use plan::design::AzureConnection;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    async fn answered(template: ResponseTemplate) -> AzureError {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(template).mount(&server).await;
        let network = Network::of(&AzureConnection::default(), None).unwrap();
        let entra = Entra::new(&server.uri(), &network).unwrap();
        entra.known.learn("CANARY-secret");
        let form = [("client_id", "c"), ("client_secret", "CANARY-secret")];
        entra.ask("t", "token", &form, None, None).await.unwrap_err()
    }

    /// As Entra words it, with escaped line breaks.
    #[tokio::test]
    async fn entras_code_comes_through() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: CANARY-secret.\r\nTrace ID: 1","error_codes":[7000215]}"#;
        let e = answered(ResponseTemplate::new(401).set_body_raw(body, "application/json")).await;
        assert_eq!(
            (e.code(), e.status(), e.class()),
            ("AADSTS7000215", Some(401), ErrorClass::Auth)
        );
        assert_eq!(e.advice().title, "The client secret is wrong");
        assert!(!format!("{e:?} {:?}", e.advice()).contains("CANARY"));
    }

    #[tokio::test]
    async fn other_answers_of_the_sign_in_are_named() {
        let page = ResponseTemplate::new(200).set_body_raw("<html>", "text/html");
        assert!(matches!(answered(page).await, AzureError::Parse { .. }));
        let busy = ResponseTemplate::new(503).set_body_raw("<html>", "text/html");
        assert_eq!(answered(busy).await.class(), ErrorClass::Transient);
        let throttled = ResponseTemplate::new(429).insert_header("Retry-After", "4");
        assert_eq!(answered(throttled).await.class(), ErrorClass::Throttled(4));
    }
}
