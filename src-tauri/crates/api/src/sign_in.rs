//! Signing in to Azure, and what an account may choose from.

use crate::{
    App, Sink, Typed, connections,
    wire::{AccountScope, CloudView, ConnectionsView, SignInMessage, UiError},
};
use plan::design::{AzureConnection, Cloud};
use std::sync::Arc;

/// The clouds to choose from.
///
/// # Errors
/// Never fails.
pub async fn clouds_list(_app: &Arc<App>) -> Result<Vec<CloudView>, UiError> {
    Ok(azure::clouds::ALL
        .into_iter()
        .map(|cloud: Cloud| CloudView {
            name: azure::clouds::name(cloud).into(),
            addresses: azure::clouds::of(cloud),
        })
        .collect())
}

/// Fills the empty addresses of a custom cloud from what its resource manager says. Saves nothing.
///
/// # Errors
/// Fails when the resource manager can't be reached or describes no cloud.
pub async fn cloud_read(
    app: &Arc<App>,
    project: String,
    connection: AzureConnection,
) -> Result<AzureConnection, UiError> {
    let open = app.opened(&project)?;
    let password = app.secret(&open, connections::SecretName::AzureProxy).await?;
    let network = azure::Network::of(&connection, password)?;
    Ok(azure::clouds::discover(&connection, &network, None).await?)
}

/// Asks for a PEM or PFX file with certificate and private key, and keeps it in the keyring. None when the dialog was
/// closed.
///
/// # Errors
/// Fails when the file holds no certificate with its key, or is encrypted with another password.
pub async fn client_certificate_choose(
    app: &Arc<App>,
    project: String,
    _password: Option<Typed>,
) -> Result<Option<ConnectionsView>, UiError> {
    app.opened(&project)?;
    Err(unfinished())
}

/// Signs in as the saved connection says, and tells how it goes.
///
/// # Errors
/// Fails only when the project isn't open; a sign-in that doesn't work is a message.
pub async fn sign_in(app: &Arc<App>, project: String, sink: Sink<SignInMessage>) -> Result<(), UiError> {
    app.opened(&project)?;
    sink(SignInMessage::Failed { error: unfinished() });
    Ok(())
}

/// Opens the page of the sign-in that goes on once more.
///
/// # Errors
/// Fails when no sign-in goes on, or when no browser can be opened.
pub async fn sign_in_page(app: &Arc<App>, project: String) -> Result<(), UiError> {
    app.opened(&project)?;
    Err(unfinished())
}

/// Forgets everything with which Rehost could sign in to Azure for this project.
///
/// # Errors
/// Fails during a live run, and when the keyring refuses.
pub async fn sign_out(app: &Arc<App>, project: String) -> Result<ConnectionsView, UiError> {
    let open = app.opened(&project)?;
    connections::view(app, &open).await
}

/// All tenants of the account, and the subscriptions of all of them.
///
/// # Errors
/// Fails when there is no sign-in, or when the tenants can't be listed.
pub async fn account_scope(app: &Arc<App>, project: String) -> Result<AccountScope, UiError> {
    app.opened(&project)?;
    Err(unfinished())
}

fn unfinished() -> UiError {
    UiError::state(
        "This is being written",
        "It comes with the next merge of this branch.",
        "Wait for it.",
    )
}
