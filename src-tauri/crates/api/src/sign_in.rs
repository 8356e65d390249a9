//! Signing in to Azure, and what an account may choose from.
//!
//! An open project has one [`Session`]: its run, the test of its connection and the pickers share the tokens, so that a
//! refresh token is used by one request at a time. A sign-in during a run goes into the session that the run uses: that is
//! how a run of days goes on when an organisation's policy ended the sign-in.

use crate::{
    App, Open, Sink, Typed,
    app::lock,
    connections::{self, SecretName},
    host::FileQuestion,
    rehearsal,
    wire::{
        AccountScope, AccountView, ClientCertificateView, CloudView, ConnectionsView, SignInMessage, SubscriptionView,
        TenantView, UiError,
    },
};
use azure::{
    AzureError, Network, Session,
    auth::{Account, ClientCertificate, ComputerTime, Means},
};
use jiff::Timestamp;
use plan::design::{AzureConnection, SignIn};
use secrets::{Secret, SecretError};
use std::{pin::Pin, sync::Arc, time::Duration};

/// How often the front end hears that the person is still waited for; and how soon a cancelled sign-in ends.
const TICK: Duration = Duration::from_secs(1);
/// Certificates have some KiB.
const FILE_LIMIT: u64 = 1 << 20;

/// The clouds to choose from.
///
/// # Errors
/// Never fails.
pub async fn clouds_list(_app: &Arc<App>) -> Result<Vec<CloudView>, UiError> {
    Ok(azure::clouds::ALL
        .into_iter()
        .map(|cloud| CloudView {
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
    let network = Network::of(&connection, app.secret(&open, SecretName::AzureProxy).await?)?;
    Ok(azure::clouds::discover(&connection, &network, None).await?)
}

/// Asks for a PEM or PFX file with certificate and private key, and keeps it in the keyring. None when the dialog was
/// closed.
///
/// # Errors
/// Fails when the file holds no certificate with its key, or is encrypted with another password; and during a live run.
pub async fn client_certificate_choose(
    app: &Arc<App>,
    project: String,
    password: Option<Typed>,
) -> Result<Option<ConnectionsView>, UiError> {
    let open = app.opened(&project)?;
    open.not_live("The certificate can't be changed")?;
    let folder = app.folders.projects.clone();
    let Some(path) = app.host().choose(FileQuestion::ClientCertificate { folder }).await? else {
        return Ok(None);
    };
    let read = || {
        let length = std::fs::metadata(&path)?.len();
        if length > FILE_LIMIT {
            return Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                "it is no certificate",
            ));
        }
        std::fs::read(&path).map(Secret::new)
    };
    let file = read().map_err(|e| UiError::disk("read", &path, &e))?;
    let password = password.map(|Typed(password)| password);
    let certificate = ClientCertificate::read(file.expose(), password.as_ref())?;
    let key = SecretName::AzureCertificate.key(&open.project().id);
    app.store_of(&open).await.set(&key, &certificate.to_pem()?).await?;
    open.forget_session().await;
    connections::view(app, &open).await.map(Some)
}

/// Signs in as the saved connection says, and tells how it goes. A person is waited for; applications and machines are
/// asked for a token at once.
///
/// # Errors
/// Fails only when the project isn't open; a sign-in that doesn't work is a message.
pub async fn sign_in(app: &Arc<App>, project: String, sink: Sink<SignInMessage>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let ended = attempt(app, &open, &sink).await;
    lock(&open.page).take();
    match ended {
        Ok(true) => sink(SignInMessage::SignedIn {
            connections: connections::view(app, &open).await?,
        }),
        // Nobody listens any more.
        Ok(false) => false,
        Err(error) => sink(SignInMessage::Failed { error }),
    };
    Ok(())
}

type Finish = Pin<Box<dyn Future<Output = Result<Account, AzureError>> + Send>>;

/// True when somebody signed in, false when it was cancelled.
async fn attempt(app: &Arc<App>, open: &Arc<Open>, sink: &Sink<SignInMessage>) -> Result<bool, UiError> {
    let session = session(app, open).await?;
    let (ends, mut finish): (Timestamp, Finish) = match session.connection().sign_in {
        SignIn::Browser => {
            let started = session.browser(None).await?;
            let url = started.url().to_string();
            *lock(&open.page) = Some(url.clone());
            let opened = visit(app, open, &url).await.is_ok();
            sink(SignInMessage::Browser { url, opened });
            (started.ends(), Box::pin(started.finish()))
        }
        SignIn::DeviceCode => {
            let started = session.device_code(None).await?;
            let (url, code) = (started.url().to_owned(), started.user_code().to_owned());
            *lock(&open.page) = Some(url.clone());
            sink(SignInMessage::DeviceCode { url, code });
            (started.ends(), Box::pin(started.finish()))
        }
        _ => {
            let scope = azure::clouds::scope(session.connection());
            let asked = session.credential().get_token(&[&scope], None).await;
            asked.map_err(|e| AzureError::of_credential(&e))?;
            return Ok(true);
        }
    };
    let account = loop {
        tokio::select! {
            account = &mut finish => break account?,
            () = open.closed.cancelled() => return Ok(false),
            () = tokio::time::sleep(TICK) => {
                let left = ends.duration_since(Timestamp::now()).as_secs().max(0);
                let seconds_left = u32::try_from(left).unwrap_or(u32::MAX);
                if !sink(SignInMessage::Waiting { seconds_left }) {
                    return Ok(false);
                }
            }
        }
    };
    // A run works with what was approved, and with this session.
    if open.live().is_none() && open.project().connections.azure.tenant_id.is_empty() {
        open.change(|p| p.connections.azure.tenant_id = account.tenant_id)?;
        open.forget_session().await;
    }
    Ok(true)
}

/// Opens the page of the sign-in that goes on once more.
///
/// # Errors
/// Fails when no sign-in goes on, or when no browser can be opened.
pub async fn sign_in_page(app: &Arc<App>, project: String) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let page = lock(&open.page).clone().ok_or_else(|| {
        UiError::state(
            "No sign-in goes on",
            "It has ended, or was cancelled.",
            "Choose Sign in in Connections > Azure.",
        )
    })?;
    visit(app, &open, &page).await
}

/// Opens a page in the person's browser. In a rehearsal the lab's person does it: nobody else could sign in there.
async fn visit(app: &Arc<App>, open: &Open, page: &str) -> Result<(), UiError> {
    if let Some(world) = rehearsal::world_of(app, open)? {
        return world.visit(page);
    }
    // The address of a device's page comes from outside: only a web page is handed to the operating system.
    let url = url::Url::parse(page).map_err(UiError::internal)?;
    if url.scheme() != "https" {
        return Err(UiError::refused(
            "The sign-in page can't be opened",
            format!("{} is no encrypted web page.", url.host_str().unwrap_or("It")),
            "Check the addresses in Connections > Azure.",
        ));
    }
    app.host().open_page(page).await
}

/// Forgets everything with which Rehost could sign in to Azure for this project.
///
/// # Errors
/// Fails during a live run, and when the keyring refuses.
pub async fn sign_out(app: &Arc<App>, project: String) -> Result<ConnectionsView, UiError> {
    let open = app.opened(&project)?;
    open.not_live("Nobody can sign out")?;
    // Tokens in memory first: whoever still holds the session can do nothing with it.
    let session = open.azure.lock().await.take();
    if let Some(session) = session {
        session.sign_out().await?;
    }
    let (store, id) = (app.store_of(&open).await, open.project().id);
    for name in [
        SecretName::Azure,
        SecretName::AzureCertificate,
        SecretName::AzureAccount,
    ] {
        store.delete(&name.key(&id)).await?;
    }
    connections::view(app, &open).await
}

/// All tenants of the account, and the subscriptions of all of them.
///
/// # Errors
/// Fails when there is no sign-in, or when the tenants can't be listed.
pub async fn account_scope(app: &Arc<App>, project: String) -> Result<AccountScope, UiError> {
    let open = app.opened(&project)?;
    let session = session(app, &open).await?;
    let (tenants, subscriptions) = azure::account_scope(&session).await?;
    Ok(AccountScope {
        tenants: tenants
            .into_iter()
            .map(|t| TenantView {
                id: t.id,
                name: t.name,
                domain: t.domain,
                problem: t.problem.map(UiError::from),
            })
            .collect(),
        subscriptions: subscriptions
            .into_iter()
            .map(|s| SubscriptionView {
                id: s.id,
                name: s.name,
                tenant_id: s.tenant_id,
                state: s.state,
                usable: s.usable,
                reason: s.reason,
            })
            .collect(),
    })
}

/// The project's sign-in, made from the saved connection and what is in the keyring.
///
/// # Errors
/// Fails when the secret or certificate that the connection needs is not stored, or an address is unusable.
pub(crate) async fn session(app: &App, open: &Open) -> Result<Arc<Session>, UiError> {
    let mut made = open.azure.lock().await;
    if let Some(session) = &*made {
        return Ok(session.clone());
    }
    let project = open.project();
    let connection = project.connections.azure;
    let need = async |name, what| app.secret(open, name).await?.ok_or_else(|| missing(what));
    let means = match connection.sign_in {
        SignIn::Browser | SignIn::DeviceCode => Means::Person {
            store: app.store_of(open).await,
            key: SecretName::AzureAccount.key(&project.id),
        },
        SignIn::ClientSecret => Means::ClientSecret(need(SecretName::Azure, "Azure client secret").await?),
        SignIn::ClientCertificate => {
            let pem = need(SecretName::AzureCertificate, "client certificate").await?;
            Means::ClientCertificate(ClientCertificate::read(pem.expose().as_bytes(), None)?)
        }
        SignIn::AzureCli => Means::AzureCli,
        SignIn::ManagedIdentity => Means::ManagedIdentity,
    };
    let network = Network::of(&connection, app.secret(open, SecretName::AzureProxy).await?)?;
    let session = Session::new(&connection, means, network, Arc::new(ComputerTime))?;
    *made = Some(session.clone());
    Ok(session)
}

/// The project's sign-in for a run, which must not find out after hours that nobody is signed in.
///
/// # Errors
/// As [`session`]; and when the connection is for a person, and nobody is signed in.
pub(crate) async fn ready(app: &App, open: &Open) -> Result<Arc<Session>, UiError> {
    let session = session(app, open).await?;
    let person = matches!(session.connection().sign_in, SignIn::Browser | SignIn::DeviceCode);
    if person && session.account().await?.is_none() {
        return Err(AzureError::not_signed_in().into());
    }
    Ok(session)
}

/// Who is signed in; none when nobody is, or when the connection is not for persons.
pub(crate) async fn account(app: &App, open: &Open) -> Option<AccountView> {
    let session = session(app, open).await.ok()?;
    let account = session.account().await.ok()??;
    Some(AccountView {
        user: account.user,
        tenant_id: account.tenant_id,
    })
}

/// The stored client certificate.
pub(crate) fn certificate(stored: Result<Option<Secret<String>>, SecretError>) -> Option<ClientCertificateView> {
    let certificate = ClientCertificate::read(stored.ok()??.expose().as_bytes(), None).ok()?;
    Some(ClientCertificateView {
        subject: certificate.subject().to_owned(),
        thumbprint: certificate.thumbprint(),
        not_after: certificate.not_after().to_string(),
    })
}

/// A secret that is needed and not there.
pub(crate) fn missing(what: &str) -> UiError {
    UiError::invalid(
        format!("The {what} is not stored"),
        "Secrets stay in the keyring of the computer and user that entered them.",
        "Open Connect, enter it, choose Save, and start again.",
    )
}
