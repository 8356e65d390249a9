//! Signing in to Entra.
//!
//! `azure_identity` asks for and keeps the tokens; we give it our own transport, for three reasons: the proxy and the
//! certificate authorities of the connection, the trace, and the errors (its parser refuses Entra's real refusals,
//! whose descriptions hold escaped line breaks, and with them the `AADSTS` code).

use crate::{
    AzureError, TokenCredential, clouds,
    error::read,
    redact::Known,
    transport::{self, Call},
};
use azure_core::{
    cloud::CustomConfiguration,
    credentials::{AccessToken, TokenRequestOptions},
    error::ErrorKind,
    http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport, headers::Headers},
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use plan::{Trace, design::AzureConnection};
use reqwest::{Client, Method};
use secrets::Secret;
use serde_json::Value;
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// What the caller of a credential knows and the credential's interface has no room for.
#[derive(Clone, Default)]
pub(crate) struct Context {
    pub trace: Option<Arc<dyn Trace>>,
    /// A token that Azure refused although it should be valid.
    pub refused: Option<Secret<String>>,
}

tokio::task_local! {
    pub(crate) static CONTEXT: Context;
}

/// Makes the credential of an application with a client secret. No I/O; tokens are kept in memory and renewed five
/// minutes before they end.
///
/// # Errors
/// Fails when tenant, application or secret are missing, or an address of the connection is unusable.
pub fn client_secret(c: &AzureConnection, secret: Secret<String>) -> Result<Arc<dyn TokenCredential>, AzureError> {
    let connection = clouds::complete(c);
    let authority = clouds::address("sign-in address", &connection.authority_url)?;
    for (field, value) in [
        ("tenant ID", connection.tenant_id.as_str()),
        ("client ID", &connection.client_id),
        ("client secret", secret.expose()),
    ] {
        if value.trim().is_empty() {
            return Err(AzureError::Config {
                field: field.into(),
                message: "it is empty".into(),
            });
        }
    }
    let entra = Arc::new(Entra {
        http: crate::Network::of(&connection, None)?.client(&authority)?,
        known: Known::default(),
    });
    entra.known.learn(secret.expose());
    let mut kept = Kept {
        connection,
        secret,
        entra,
        inner: RwLock::default(),
    };
    kept.inner = RwLock::new(Some(kept.credential()?));
    Ok(Arc::new(kept))
}

/// The library's credential, which can be replaced to make it forget its token.
struct Kept {
    connection: AzureConnection,
    secret: Secret<String>,
    entra: Arc<Entra>,
    inner: RwLock<Option<Arc<ClientSecretCredential>>>,
}

impl Kept {
    fn credential(&self) -> Result<Arc<ClientSecretCredential>, AzureError> {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.connection.authority_url);
        let client_options = ClientOptions {
            cloud: Some(Arc::new(cloud.into())),
            transport: Some(Transport::new(self.entra.clone())),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        };
        ClientSecretCredential::new(
            self.connection.tenant_id.trim(),
            self.connection.client_id.trim().to_owned(),
            azure_core::credentials::Secret::new(self.secret.expose().clone()),
            Some(ClientSecretCredentialOptions { client_options }),
        )
        .map_err(|e| AzureError::Config {
            field: "sign-in".into(),
            message: e.to_string(),
        })
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret")
            .field("client_id", &self.connection.client_id)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenCredential for Kept {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let current = || self.inner.read().unwrap_or_else(PoisonError::into_inner).clone();
        let missing = || azure_core::Error::with_message(ErrorKind::Credential, "no credential");
        let credential = current().ok_or_else(missing)?;
        let token = credential.get_token(scopes, options.clone()).await?;
        let refused = CONTEXT.try_with(|c| c.refused.as_ref().is_some_and(|r| r.expose() == token.token.secret()));
        if !refused.unwrap_or(false) {
            return Ok(token);
        }
        {
            // Of several tasks that were refused at once, the first replaces.
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            if inner.as_ref().is_some_and(|i| Arc::ptr_eq(i, &credential)) {
                *inner = Some(self.credential().map_err(wrapped)?);
            }
        }
        current().ok_or_else(missing)?.get_token(scopes, options).await
    }
}

/// Our HTTP client as the library's transport.
struct Entra {
    http: Client,
    known: Known,
}

impl fmt::Debug for Entra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entra")
    }
}

#[async_trait::async_trait]
impl HttpClient for Entra {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let trace = CONTEXT.try_with(|c| c.trace.clone()).ok().flatten();
        let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or(Method::POST);
        let mut call = Call::new("entra", method, request.url().clone())
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Body::Bytes(bytes) = request.body() {
            call.body = Some(bytes.clone());
        }
        let answer = transport::send(&self.http, call, &self.known, trace.as_deref())
            .await
            .map_err(wrapped)?;
        let body = read::<Value>(&answer.body);
        match &body {
            Ok(body) if answer.is_success() && body.get("access_token").is_some_and(Value::is_string) => Ok(
                AsyncRawResponse::from_bytes(answer.status.into(), Headers::default(), answer.body),
            ),
            Ok(body) => Err(wrapped(refusal(answer.status, answer.retry_after(), body, &self.known))),
            Err(_) if matches!(answer.status, 408 | 429 | 500..) => Err(wrapped(refusal(
                answer.status,
                answer.retry_after(),
                &Value::Null,
                &self.known,
            ))),
            Err((path, message)) => Err(wrapped(AzureError::Parse {
                method: "POST".into(),
                url: self.known.url(request.url()),
                path: path.clone(),
                message: format!(
                    "the sign-in's answer ({}) is not Entra's: {}",
                    answer.status,
                    self.known.text(message)
                ),
            })),
        }
    }
}

/// Reads Entra's refusal: `{"error", "error_description", "error_codes": [7000215], …}`.
fn refusal(status: u16, retry_after: Option<u64>, body: &Value, known: &Known) -> AzureError {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = body.pointer("/error_codes/0").and_then(Value::as_u64);
    let code = number.map_or_else(|| text("error").to_owned(), |n| format!("AADSTS{n}"));
    // The first line is the reason; trace id and time follow.
    let message = text("error_description").lines().next().unwrap_or_default();
    let message = if message.is_empty() {
        format!("HTTP status {status}")
    } else {
        known.text(message)
    };
    AzureError::Token {
        code,
        message,
        status: Some(status),
        retry_after,
    }
}

/// Sends our error through the library. Its kind is none that the library would retry.
fn wrapped(error: AzureError) -> azure_core::Error {
    let message = error.to_string();
    azure_core::Error::with_error(ErrorKind::Credential, error, message)
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
    AzureError::Token {
        code: "NoToken".into(),
        message: known.text(&error.to_string()),
        status: None,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorClass;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    /// Asks a scripted Entra, the way the library does.
    async fn refused(template: ResponseTemplate) -> AzureError {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(template).mount(&server).await;
        let url = azure_core::http::Url::parse(&server.uri()).unwrap();
        let entra = Entra {
            http: crate::Network::of(&AzureConnection::default(), None)
                .unwrap()
                .client(&url)
                .unwrap(),
            known: Known::default(),
        };
        entra.known.learn("CANARY-secret");
        let mut request = Request::new(url, azure_core::http::Method::Post);
        request.set_body("client_id=c&client_secret=CANARY-secret");
        let e = entra.execute_request(&request).await.unwrap_err();
        explained(&e.with_context("the library's own words"), &Known::default())
    }

    /// As Entra words it: the line breaks are what the library's parser stumbles over.
    #[tokio::test]
    async fn entras_code_comes_through() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: CANARY-secret.\r\nTrace ID: 1","error_codes":[7000215]}"#;
        let e = refused(ResponseTemplate::new(401).set_body_raw(body, "application/json")).await;
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
        assert!(matches!(refused(page).await, AzureError::Parse { .. }));
        let busy = ResponseTemplate::new(503).set_body_raw("<html>", "text/html");
        assert_eq!(refused(busy).await.class(), ErrorClass::Transient);
        let throttled = ResponseTemplate::new(429).insert_header("Retry-After", "4");
        assert_eq!(refused(throttled).await.class(), ErrorClass::Throttled(4));
    }

    #[test]
    fn incomplete_connections_are_refused_before_any_request() {
        let whole = AzureConnection {
            tenant_id: "t".into(),
            client_id: "c".into(),
            ..clouds::public()
        };
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
}
