//! Connections: saved with the project, their secrets in the secret store; tested step by step.

use crate::{
    App, Open, Typed,
    app::lock,
    managed, rights, sign_in, sql,
    wire::{CertificateView, ConnectionKind, ConnectionStep, ConnectionTest, ConnectionsView, Hop, UiError},
};
use plan::{
    Connections,
    design::{PinnedCertificate, SignIn, VCenterConnection},
    exchange::NoTrace,
    privileges,
};
use secrets::{Secret, SecretError};
use std::sync::Arc;
use vsphere::Credentials;

/// The secrets of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretName {
    Vcenter,
    /// Of an explicit proxy on the way to vCenter.
    VcenterProxy,
    /// The application's client secret.
    Azure,
    /// The application's certificate with its private key, PEM.
    AzureCertificate,
    /// What keeps a person signed in.
    AzureAccount,
    /// Of an explicit proxy.
    AzureProxy,
    /// Password of the managed instance's administrator; made by Rehost, or entered for an instance that is there.
    MiAdmin,
    /// Of the login with which Rehost itself looks at the source SQL Server.
    Sql,
    /// Of the login with which Database Migration Service looks at the source SQL Server.
    SqlSource,
    /// Of the account with which the integration runtime reads the backup share.
    BackupShare,
}

impl SecretName {
    /// The key in the secret store.
    pub(crate) fn key(self, project_id: &str) -> String {
        let name = match self {
            Self::Vcenter => "vcenter",
            Self::VcenterProxy => "vcenter-proxy",
            Self::Azure => "azure",
            Self::AzureCertificate => "azure-certificate",
            Self::AzureAccount => "azure-account",
            Self::AzureProxy => "azure-proxy",
            Self::MiAdmin => plan::design::MI_SECRET,
            Self::Sql => plan::design::SQL_DIRECT_SECRET,
            Self::SqlSource => plan::design::SQL_SECRET,
            Self::BackupShare => plan::design::SHARE_SECRET,
        };
        format!("{project_id}/{name}")
    }
}

impl From<ConnectionKind> for SecretName {
    fn from(kind: ConnectionKind) -> Self {
        match kind {
            ConnectionKind::Vcenter => Self::Vcenter,
            ConnectionKind::Azure => Self::Azure,
            ConnectionKind::Sql => Self::Sql,
            ConnectionKind::Managed => Self::MiAdmin,
        }
    }
}

/// Saves one kind of connection. The other kinds stay as they are. `secret` (a password, the client secret) and
/// `proxy_password`: none = leave as stored, empty = forget.
///
/// # Errors
/// Fails for an address that is none, during a live run, or when the file or the keyring refuses.
pub async fn connection_save(
    app: &Arc<App>,
    project: String,
    kind: ConnectionKind,
    connections: Connections,
    secret: Option<Typed>,
    proxy_password: Option<Typed>,
) -> Result<ConnectionsView, UiError> {
    let open = app.opened(&project)?;
    open.not_live("The connections can't be changed")?;
    let checked = match kind {
        ConnectionKind::Vcenter => check_vcenter(connections),
        ConnectionKind::Azure => check_azure(connections),
        ConnectionKind::Sql => sql::check(connections),
        ConnectionKind::Managed => managed::check(connections),
    }?;
    open.change(|p| match kind {
        ConnectionKind::Vcenter => {
            let before = std::mem::replace(&mut p.connections.vcenter, checked.vcenter);
            let now = &mut p.connections.vcenter;
            // What was trusted of another server says nothing about this one: it is unknown, not changed.
            if now.url != before.url && now.thumbprint == before.thumbprint {
                now.thumbprint.clear();
            }
        }
        ConnectionKind::Azure => p.connections.azure = checked.azure,
        ConnectionKind::Sql => {
            let before = std::mem::replace(&mut p.connections.sql, checked.sql);
            let now = &mut p.connections.sql;
            if now.server != before.server && now.thumbprint == before.thumbprint {
                now.thumbprint.clear();
            }
        }
        ConnectionKind::Managed => {
            let before = std::mem::replace(&mut p.connections.managed, checked.managed);
            let now = &mut p.connections.managed;
            let moved = now.address != before.address || now.reach != before.reach;
            if moved && now.thumbprint == before.thumbprint {
                now.thumbprint.clear();
            }
        }
    })?;
    let proxy = match kind {
        ConnectionKind::Vcenter => Some(SecretName::VcenterProxy),
        ConnectionKind::Azure => Some(SecretName::AzureProxy),
        // TDS goes through no proxy.
        ConnectionKind::Sql | ConnectionKind::Managed => None,
    };
    for (name, typed) in [(Some(SecretName::from(kind)), secret), (proxy, proxy_password)] {
        let Some((name, Typed(secret))) = name.zip(typed) else {
            continue;
        };
        let store = app.store_of(&open).await;
        let key = name.key(&open.project().id);
        if secret.expose().is_empty() {
            store.delete(&key).await?;
        } else {
            store.set(&key, &secret).await?;
        }
    }
    open.forget_session().await;
    view(app, &open).await
}

/// Tests one connection as saved: each step in order, to the first that fails.
///
/// # Errors
/// Fails only when the project can't be read; a connection that doesn't work is a result.
pub async fn connection_test(app: &Arc<App>, project: String, kind: ConnectionKind) -> Result<ConnectionTest, UiError> {
    let open = app.opened(&project)?;
    match kind {
        ConnectionKind::Vcenter => {
            let password = app.secret(&open, SecretName::Vcenter).await;
            let proxy = app.secret(&open, SecretName::VcenterProxy).await?;
            Ok(test_vcenter(&open, password, proxy).await)
        }
        ConnectionKind::Azure => Ok(test_azure(app, &open).await),
        ConnectionKind::Sql => Ok(sql::test(app, &open).await),
        ConnectionKind::Managed => Ok(managed::test(app, &open).await),
    }
}

/// Trusts the vCenter, SQL Server or managed instance whose certificate has this SHA-256. The person has compared it. What the last test saw of
/// that certificate is kept with it, so that a changed one can be compared.
///
/// # Errors
/// Fails when it is no thumbprint, for Azure, whose certificates are judged by authorities, or when the file refuses.
pub async fn certificate_trust(
    app: &Arc<App>,
    project: String,
    kind: ConnectionKind,
    sha256: String,
) -> Result<ConnectionsView, UiError> {
    let open = app.opened(&project)?;
    let digits: String = sha256.chars().filter(char::is_ascii_hexdigit).collect();
    if digits.len() != 64 {
        return Err(UiError::invalid(
            "This is no SHA-256 thumbprint",
            format!("It has {} hexadecimal digits; a SHA-256 has 64.", digits.len()),
            "Test the connection again and trust the certificate that is shown.",
        ));
    }
    let bytes: Vec<&str> = (0..64).step_by(2).map(|i| &digits[i..i + 2]).collect();
    let thumbprint = bytes.join(":").to_ascii_uppercase();
    let seen = lock(&open.presented).clone().filter(|c| c.sha256 == thumbprint);
    match kind {
        ConnectionKind::Vcenter => open.change(|p| {
            p.connections.vcenter.thumbprint = thumbprint;
            p.vcenter_certificate = seen;
        })?,
        ConnectionKind::Sql => open.change(|p| {
            p.connections.sql.thumbprint = thumbprint;
            p.sql_certificate = seen;
        })?,
        ConnectionKind::Managed => open.change(|p| {
            p.connections.managed.thumbprint = thumbprint;
            p.managed_certificate = seen;
        })?,
        ConnectionKind::Azure => {
            return Err(UiError::invalid(
                "Certificates of Azure aren't trusted one by one",
                "They change often; an authority vouches for them.",
                "In Connections, Network, give the PEM of the authority that signs them.",
            ));
        }
    }
    view(app, &open).await
}

/// The connections with whether their secrets are stored. A keyring that doesn't answer counts as not stored.
pub(crate) async fn view(app: &App, open: &Open) -> Result<ConnectionsView, UiError> {
    let stored = async |name| matches!(app.secret(open, name).await, Ok(Some(_)));
    Ok(ConnectionsView {
        vcenter_password_stored: stored(SecretName::Vcenter).await,
        vcenter_proxy_password_stored: stored(SecretName::VcenterProxy).await,
        azure_secret_stored: stored(SecretName::Azure).await,
        azure_proxy_password_stored: stored(SecretName::AzureProxy).await,
        sql_password_stored: stored(SecretName::Sql).await,
        managed_password_stored: stored(SecretName::MiAdmin).await,
        dms_password_stored: stored(SecretName::SqlSource).await,
        share_password_stored: stored(SecretName::BackupShare).await,
        azure_certificate: sign_in::certificate(app.secret(open, SecretName::AzureCertificate).await),
        azure_account: sign_in::account(app, open).await,
        connections: open.project().connections,
    })
}

fn check_vcenter(mut connections: Connections) -> Result<Connections, UiError> {
    let c = &mut connections.vcenter;
    c.user = c.user.trim().to_owned();
    c.url = address("vCenter address", &c.url, "https://vcenter.contoso.com")?;
    Ok(connections)
}

fn check_azure(mut connections: Connections) -> Result<Connections, UiError> {
    connections.azure = azure::clouds::settled(connections.azure);
    let c = &mut connections.azure;
    let public = azure::clouds::public();
    c.arm_url = address("Resource manager address", &c.arm_url, &public.arm_url)?;
    c.authority_url = address("Sign-in address", &c.authority_url, &public.authority_url)?;
    c.price_url = address("Price list address", &c.price_url, &public.price_url)?;
    // The placeholder is no valid host name: check the address with an account in its place.
    let blob = c.blob_url.trim().trim_end_matches('/').to_owned();
    address("Blob address", &blob.replace("{account}", "account"), &public.blob_url)?;
    c.blob_url = blob;
    for (name, id) in [
        ("Directory (tenant) ID", &mut c.tenant_id),
        ("Application (client) ID", &mut c.client_id),
        ("Subscription ID", &mut c.subscription_id),
    ] {
        *id = id.trim().to_owned();
        if !id.is_empty() && uuid::Uuid::parse_str(id).is_err() {
            return Err(UiError::invalid(
                format!("The {name} is no GUID"),
                format!("`{id}` should look like 00000000-0000-0000-0000-000000000000."),
                "Copy it from the Azure portal: Microsoft Entra ID > App registrations, or Subscriptions.",
            ));
        }
    }
    Ok(connections)
}

/// Returns an HTTPS address without trailing slash; empty stays empty.
fn address(name: &str, given: &str, example: &str) -> Result<String, UiError> {
    let trimmed = given.trim();
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let complete = if trimmed.contains("://") {
        trimmed.to_owned()
    } else {
        format!("https://{trimmed}")
    };
    let good = url::Url::parse(&complete).is_ok_and(|u| {
        u.scheme() == "https" && u.host().is_some() && u.username().is_empty() && u.password().is_none()
    });
    if good {
        return Ok(complete.trim_end_matches('/').to_owned());
    }
    Err(UiError::invalid(
        format!("The {name} can't be used"),
        format!(
            "`{}` is no https address without user name.",
            crate::redact::scrub(trimmed)
        ),
        format!("Enter it like {example}."),
    ))
}

pub(crate) type Stored = Result<Option<Secret<String>>, SecretError>;

pub(crate) fn failed(title: &str, detail: impl Into<String>, hint: impl Into<String>) -> ConnectionStep {
    ConnectionStep {
        hop: None,
        title: title.into(),
        ok: false,
        detail: detail.into(),
        hint: hint.into(),
    }
}

/// The secret, or the step that says why there is none.
pub(crate) fn need(stored: Stored, what: &str, field: &str) -> Result<Secret<String>, ConnectionStep> {
    let title = format!("Read the {what} from the keyring");
    match stored {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(failed(
            &title,
            format!("No {what} is stored for this project."),
            format!("Enter it in {field}, choose Save, and test again."),
        )),
        Err(e) => Err(failed(&title, e.to_string(), e.hint())),
    }
}

async fn test_vcenter(open: &Open, stored: Stored, proxy_password: Option<Secret<String>>) -> ConnectionTest {
    let project = open.project();
    let connection = &project.connections.vcenter;
    let mut test = ConnectionTest::default();
    if connection.url.is_empty() || connection.user.is_empty() {
        test.steps.push(failed(
            "Read the connection",
            "Address or user name is empty.",
            "Fill in both, choose Save, and test again.",
        ));
        return test;
    }
    let certificate = match vsphere::probe(connection, proxy_password.as_ref()).await {
        Ok(certificate) => certificate,
        Err(e) => {
            let advice = e.advice();
            let detail = format!("{}. {}.", advice.title, advice.detail.trim_end_matches('.'));
            test.steps
                .push(failed(&format!("Reach {}", connection.url), detail, advice.hint));
            return test;
        }
    };
    let pinned = !connection.thumbprint.is_empty();
    let trusted = if pinned {
        certificate.sha256.eq_ignore_ascii_case(&connection.thumbprint)
    } else {
        certificate.trusted
    };
    let presented = pinnable(&certificate);
    *lock(&open.presented) = Some(presented.clone());
    if !trusted {
        test.steps.push(ConnectionStep {
            hop: None,
            title: format!("Reach {}", connection.url),
            ok: true,
            detail: "It answers.".into(),
            hint: String::new(),
        });
        let (detail, hint) = if pinned {
            (
                "The certificate is not the one that was trusted before.",
                "Ask the vCenter administrator whether it was renewed. Trust the new one only then.",
            )
        } else {
            (
                "This computer doesn't trust the certificate.",
                "Compare its SHA-256 with the one that the vCenter administrator sees, then choose Trust.",
            )
        };
        test.steps.push(failed("Check the certificate", detail, hint));
        let kept = project.vcenter_certificate.clone();
        test.certificate = Some(question(presented, &connection.thumbprint, kept));
        return test;
    }
    // Of a pin that was typed, or kept by an earlier version, no more is known until it is seen.
    if pinned
        && project.vcenter_certificate.as_ref() != Some(&presented)
        && let Err(e) = open.change(|p| p.vcenter_certificate = Some(presented))
    {
        tracing::warn!(error = %e.detail, "the certificate can't be kept");
    }
    match need(stored, "vCenter password", "Password") {
        Err(step) => test.steps.push(step),
        Ok(password) => {
            let credentials = Credentials {
                password,
                proxy_password,
            };
            let needs = rights::own_needs(open);
            let steps = vsphere::check_connection(connection, &credentials, &needs, Arc::new(NoTrace)).await;
            test.steps.extend(steps.into_iter().map(|s| ConnectionStep {
                hop: None,
                title: s.title,
                ok: s.ok,
                detail: s.detail,
                hint: s.hint,
            }));
            // Of the appliance's account Rehost sees the password only when it is its own as well.
            let shared = rights::same_account(&connection.user, &project.design.vcenter_principal);
            if shared && !privileges::accepts_password(credentials.password.expose()) {
                test.steps.push(failed(
                    "Password for the appliance",
                    format!(
                        "The appliance will sign in with this account. {}",
                        privileges::PASSWORD_RULE
                    ),
                    "Give the account another password, or name another account for the appliance in Design.",
                ));
            }
            test.ok = test.steps.iter().all(|s| s.ok);
        }
    }
    test
}

/// The certificate to ask a person about, beside the one that was trusted before, if any.
pub(crate) fn question(presented: PinnedCertificate, pin: &str, kept: Option<PinnedCertificate>) -> CertificateView {
    let before = || PinnedCertificate {
        sha256: pin.to_owned(),
        ..PinnedCertificate::default()
    };
    let kept = kept.filter(|c| c.sha256.eq_ignore_ascii_case(pin));
    CertificateView {
        changed_from: (!pin.is_empty()).then(|| kept.unwrap_or_else(before)),
        sha256: presented.sha256,
        sha1: presented.sha1,
        subject: presented.subject,
        names: presented.names,
        issuer: presented.issuer,
        not_before: presented.not_before,
        not_after: presented.not_after,
    }
}

pub(crate) fn pinnable(c: &vsphere::Certificate) -> PinnedCertificate {
    PinnedCertificate {
        sha256: c.sha256.clone(),
        sha1: c.sha1.clone(),
        subject: c.subject.clone(),
        names: c.names.clone(),
        issuer: c.issuer.clone(),
        not_before: c.not_before.to_string(),
        not_after: c.not_after.to_string(),
    }
}

async fn test_azure(app: &App, open: &Open) -> ConnectionTest {
    let connection = open.project().connections.azure;
    let mut test = ConnectionTest::default();
    let application = matches!(connection.sign_in, SignIn::ClientSecret | SignIn::ClientCertificate);
    let c = azure::clouds::complete(&connection);
    let empty: Vec<&str> = [
        ("resource manager address", &c.arm_url, true),
        ("sign-in address", &c.authority_url, true),
        ("tenant ID", &c.tenant_id, application),
        ("client ID", &c.client_id, application),
        ("subscription ID", &c.subscription_id, true),
    ]
    .into_iter()
    .filter(|(_, value, needed)| *needed && value.is_empty())
    .map(|(name, ..)| name)
    .collect();
    let settings = |title: &str, detail: String, hint: String| ConnectionStep {
        hop: Some(Hop::Settings),
        ..failed(title, detail, hint)
    };
    if !empty.is_empty() {
        test.steps.push(settings(
            "Read the connection",
            format!("Empty: {}.", empty.join(", ")),
            "Fill in all fields, choose Save, and test again.".into(),
        ));
        return test;
    }
    let session = match sign_in::session(app, open).await {
        Ok(session) => session,
        Err(e) => {
            let detail = format!("{}. {}", e.title, e.detail);
            test.steps.push(settings("Prepare the sign-in", detail, e.hint));
            return test;
        }
    };
    let steps = azure::check_connection(&connection, session.network(), session.credential(), Arc::new(NoTrace)).await;
    test.steps.extend(steps.into_iter().map(|s| ConnectionStep {
        hop: Some(hop(s.hop)),
        title: s.title,
        ok: s.ok,
        detail: s.detail,
        hint: s.hint,
    }));
    test.ok = test.steps.iter().all(|s| s.ok);
    test
}

fn hop(of: azure::Hop) -> Hop {
    match of {
        azure::Hop::Settings => Hop::Settings,
        azure::Hop::Dns => Hop::Dns,
        azure::Hop::Proxy => Hop::Proxy,
        azure::Hop::Tcp => Hop::Tcp,
        azure::Hop::Tls => Hop::Tls,
        azure::Hop::ResourceManager => Hop::ResourceManager,
        azure::Hop::SignIn => Hop::SignIn,
        azure::Hop::Subscription => Hop::Subscription,
        azure::Hop::Rights => Hop::Rights,
    }
}

/// The vCenter connection with its address completed.
pub(crate) fn checked(vcenter: VCenterConnection) -> Result<VCenterConnection, UiError> {
    check_vcenter(Connections {
        vcenter,
        ..Connections::default()
    })
    .map(|c| c.vcenter)
}
