//! Sign-ins that others keep: the Azure CLI's, and the identity of an Azure machine. Both are `azure_identity`'s; ours are
//! the way the command is run, the network, and the words.

use super::{explained, token_error};
use crate::{
    AzureError, Network, TokenCredential,
    redact::Known,
    transport::{self, Call},
};
use azure_core::{
    credentials::AccessToken,
    http::{
        AsyncRawResponse, ClientOptions, HttpClient, Request, RetryOptions, Transport,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, Executor, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use plan::design::{AzureConnection, Proxy};
use reqwest::{Client, Method};
use std::{
    ffi::OsStr,
    fmt, io,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

/// `az` needs some seconds, and more when it asks Entra. After this it waits for something that nobody sees.
const CLI_LIMIT: Duration = Duration::from_secs(60);

/// Asks the Azure CLI for a token. An empty tenant is the CLI's own.
pub(super) async fn azure_cli(tenant: &str, scope: &str, known: &Known) -> Result<AccessToken, AzureError> {
    let options = AzureCliCredentialOptions {
        tenant_id: (!tenant.is_empty()).then(|| tenant.to_owned()),
        executor: Some(Arc::new(Quiet)),
        ..AzureCliCredentialOptions::default()
    };
    let asked = async { AzureCliCredential::new(Some(options))?.get_token(&[scope], None).await };
    // What the CLI says when it refuses is clear, and holds Entra's own text; it has no code.
    asked
        .await
        .map_err(|e| token_error("AzureCli", known.text(&e.to_string())))
}

/// Runs `az` without a console window, which Windows would show for a moment each time; and never waits for a keyboard.
#[derive(Debug)]
struct Quiet;

#[async_trait::async_trait]
impl Executor for Quiet {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut command = tokio::process::Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        #[cfg(windows)]
        {
            /// CREATE_NO_WINDOW of the Windows API.
            const NO_WINDOW: u32 = 0x0800_0000;
            command.creation_flags(NO_WINDOW);
        }
        tokio::time::timeout(CLI_LIMIT, command.output())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "`az` did not answer within 60 seconds"))?
    }
}

/// Asks the machine that Rehost runs on for its identity's token. `client` names a user-assigned one.
pub(super) async fn managed_identity(client: &str, scope: &str, known: &Known) -> Result<AccessToken, AzureError> {
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: (!client.is_empty()).then(|| UserAssignedId::ClientId(client.to_owned())),
        client_options: ClientOptions {
            transport: Some(Transport::new(Arc::new(Local(direct()?)))),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        },
    };
    let asked = async {
        ManagedIdentityCredential::new(Some(options))?
            .get_token(&[scope], None)
            .await
    };
    asked.await.map_err(|e| match explained(&e, known) {
        // Nobody listens at the address that every Azure machine has: this is none.
        AzureError::Network { message, .. } => token_error("NoManagedIdentity", message),
        AzureError::Token { message, .. } => token_error("ManagedIdentity", message),
        other => other,
    })
}

/// The library's transport: the machine's own address is never behind a proxy.
struct Local(Client);

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

#[async_trait::async_trait]
impl HttpClient for Local {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut call = Call::new("entra", Method::GET, request.url().clone());
        for (name, value) in request.headers().iter() {
            if let (Ok(name), Ok(value)) = (name.as_str().parse(), value.as_str().parse()) {
                call.headers.insert::<reqwest::header::HeaderName>(name, value);
            }
        }
        let trace = super::CONTEXT.try_with(|c| c.trace.clone()).ok().flatten();
        let answer = transport::send(&self.0, call, &Known::default(), trace.as_deref())
            .await
            .map_err(|e| {
                let message = e.to_string();
                azure_core::Error::with_error(azure_core::error::ErrorKind::Credential, e, message)
            })?;
        let mut headers = Headers::default();
        if let Some(kind) = answer.header("content-type") {
            headers.insert(
                HeaderName::from_static("content-type"),
                HeaderValue::from(kind.to_owned()),
            );
        }
        Ok(AsyncRawResponse::from_bytes(answer.status.into(), headers, answer.body))
    }
}

/// The client for this machine's own addresses.
fn direct() -> Result<Client, AzureError> {
    let c = AzureConnection {
        proxy: Proxy::Direct,
        ..AzureConnection::default()
    };
    let here = url::Url::parse("http://127.0.0.1").map_err(|e| token_error("ManagedIdentity", e.to_string()))?;
    Network::of(&c, None)?.client(&here)
}
