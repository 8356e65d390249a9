//! Every error of the crates below becomes a [`UiError`] here and nowhere else: what happened, to what, why, who can fix
//! it, and the exact click.

use crate::wire::{ErrorCode, UiError};
use secrets::SecretError;
use std::{fmt::Display, path::Path};

impl UiError {
    fn of(code: ErrorCode, title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            title: title.into(),
            detail: detail.into(),
            hint: hint.into(),
            address: None,
            retryable: false,
            correlation_id: None,
        }
    }

    /// Bad input; nothing was changed.
    pub fn invalid(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorCode::Invalid, title, detail, hint)
    }

    /// What was asked for isn't there.
    pub fn not_found(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorCode::NotFound, title, detail, hint)
    }

    /// Not possible in the present state.
    pub fn state(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorCode::State, title, detail, hint)
    }

    /// The plan can't be run as it is.
    pub fn plan(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorCode::Plan, title, detail, hint)
    }

    /// The other side refused.
    pub fn refused(title: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(ErrorCode::Refused, title, detail, hint)
    }

    /// A page can't be opened.
    pub fn no_browser(why: impl Display) -> Self {
        Self::refused(
            "No browser could be opened",
            why.to_string(),
            "Copy the address into a browser of this computer.",
        )
    }

    /// The person closed a dialog.
    pub fn cancelled() -> Self {
        Self::of(
            ErrorCode::Cancelled,
            "Nothing was changed",
            "The dialog was closed.",
            "",
        )
    }

    /// A fault of ours.
    pub fn internal(e: impl Display) -> Self {
        let shown = crate::redact::scrub(&e.to_string());
        tracing::error!(error = %shown, "unexpected");
        Self::of(
            ErrorCode::Internal,
            "Rehost has met an error of its own",
            shown,
            "Try again; when it stays, report it with the newest file of the log folder.",
        )
    }

    /// A file or folder that can't be read or written.
    pub fn disk(action: &str, path: &Path, e: &std::io::Error) -> Self {
        let hint = match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
                "Free some space on this disk, then try again. Nothing that was saved is lost.".to_owned()
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                format!(
                    "Choose another folder, or give yourself the right to write there: {}",
                    path.display()
                )
            }
            std::io::ErrorKind::NotFound => "Check the path; the disk may not be connected.".to_owned(),
            _ => "Check the disk, then try again.".to_owned(),
        };
        let mut error = Self::of(
            ErrorCode::Disk,
            format!("{} can't be {action}", path.display()),
            e.to_string(),
            hint,
        );
        error.retryable = true;
        error
    }

    /// The lab in another process doesn't answer.
    pub(crate) fn lab_unreachable(url: &str, e: &reqwest::Error) -> Self {
        let detail = format!("{url}: {}", sources(e));
        Self::of(
            ErrorCode::Unreachable,
            "The lab doesn't answer",
            detail,
            "Start it with `rehost-cli lab`, and give its control address to --lab and its caFile to --lab-ca.",
        )
        .retryable(true)
    }

    /// The same error, about this.
    #[must_use]
    pub fn about(mut self, address: impl Display) -> Self {
        self.address = Some(address.to_string());
        self
    }

    #[must_use]
    fn retryable(mut self, yes: bool) -> Self {
        self.retryable = yes;
        self
    }
}

impl From<SecretError> for UiError {
    fn from(e: SecretError) -> Self {
        Self::of(
            ErrorCode::Keyring,
            "A secret can't be kept or read",
            e.to_string(),
            e.hint(),
        )
        .retryable(true)
    }
}

impl From<sqlserver::SqlError> for UiError {
    fn from(e: sqlserver::SqlError) -> Self {
        use sqlserver::SqlError as E;
        let advice = e.advice();
        let code = match &e {
            E::Config(_) => ErrorCode::Invalid,
            E::Login { .. } => ErrorCode::SignIn,
            E::Certificate { .. } | E::Encryption { .. } => ErrorCode::Certificate,
            E::Statement { .. } => ErrorCode::Refused,
            E::Cancelled { .. } => ErrorCode::Cancelled,
            _ => ErrorCode::Unreachable,
        };
        Self::of(code, advice.title, advice.detail, advice.hint)
    }
}

impl From<vsphere::VsphereError> for UiError {
    fn from(e: vsphere::VsphereError) -> Self {
        use vsphere::VsphereError as E;
        let code = match &e {
            E::InvalidLogin { .. } => ErrorCode::SignIn,
            E::NoPermission { .. } => ErrorCode::Refused,
            E::Certificate { .. } | E::OldTls { .. } | E::WeakCertificate { .. } => ErrorCode::Certificate,
            E::Unreachable { .. } | E::Http { .. } | E::Parse { .. } | E::SessionEnded { .. } => ErrorCode::Unreachable,
            E::Config(_) => ErrorCode::Invalid,
            E::Fault { .. } | E::UnknownProperty { .. } => ErrorCode::Refused,
            E::GuestTransfer { .. } => ErrorCode::Unreachable,
        };
        let retryable = e.class() == vsphere::ErrorClass::Transient;
        let advice = e.advice();
        Self::of(code, advice.title, advice.detail, advice.hint).retryable(retryable)
    }
}

impl From<vsphere::OvfError> for UiError {
    fn from(e: vsphere::OvfError) -> Self {
        let code = match e {
            vsphere::OvfError::Disk { .. } => ErrorCode::Disk,
            _ => ErrorCode::Invalid,
        };
        let advice = e.advice();
        Self::of(code, advice.title, advice.detail, advice.hint)
    }
}

impl From<vsphere::ImportError> for UiError {
    fn from(e: vsphere::ImportError) -> Self {
        use vsphere::ImportError as E;
        let code = match e {
            E::Vsphere(e) => return e.into(),
            E::Template(e) => return e.into(),
            E::Refused(_) | E::Upload { .. } => ErrorCode::Refused,
            E::LeaseLost(_) => ErrorCode::Unreachable,
            E::Stopped => ErrorCode::Cancelled,
            E::Record(_) => ErrorCode::Disk,
        };
        let advice = e.advice();
        Self::of(code, advice.title, advice.detail, advice.hint).retryable(true)
    }
}

impl From<azure::AzureError> for UiError {
    fn from(e: azure::AzureError) -> Self {
        use azure::{AzureError as E, ErrorClass};
        let code = match (&e, e.class()) {
            (E::Token { .. }, _) => ErrorCode::SignIn,
            (E::Network { .. } | E::Redirected { .. }, _) => ErrorCode::Unreachable,
            (E::Config { .. }, _) => ErrorCode::Invalid,
            (_, _) if e.is_not_found() => ErrorCode::NotFound,
            (_, ErrorClass::Auth) if e.status() == Some(401) => ErrorCode::SignIn,
            (E::Parse { .. }, _) => ErrorCode::Internal,
            _ => ErrorCode::Refused,
        };
        let retryable = matches!(e.class(), ErrorClass::Transient | ErrorClass::Throttled(_));
        let correlation_id = e.correlation_id().map(str::to_owned);
        let advice = e.advice();
        let mut error = Self::of(code, advice.title, advice.detail, advice.hint).retryable(retryable);
        error.correlation_id = correlation_id;
        error
    }
}

impl From<engine::ProjectError> for UiError {
    fn from(e: engine::ProjectError) -> Self {
        Self::from_project(&e)
    }
}

impl UiError {
    pub(crate) fn from_project(e: &engine::ProjectError) -> Self {
        use engine::ProjectError as E;
        let (code, title, retryable) = match e {
            E::NotFound { .. } => (ErrorCode::NotFound, "The project is not there", false),
            E::Exists { .. } => (ErrorCode::Invalid, "A file of this name is there already", false),
            E::OpenElsewhere { .. } => (ErrorCode::OpenElsewhere, "The project is open elsewhere", true),
            E::NotSqlite { .. } | E::NotAProject { .. } => {
                (ErrorCode::ProjectFile, "This is not a Rehost project", false)
            }
            E::NewerFormat { .. } | E::OlderFormat { .. } => {
                (ErrorCode::ProjectFile, "The project is of another version", false)
            }
            E::Damaged { .. } => (ErrorCode::ProjectFile, "The project file is damaged", false),
            E::ChainBroken { .. } => (ErrorCode::ProjectFile, "The journal was changed afterwards", false),
            E::DiskFull { .. } => (ErrorCode::Disk, "The disk is full", true),
            E::ReadOnly { .. } => (ErrorCode::Disk, "The project can't be written", true),
            E::Disk { .. } => (ErrorCode::Disk, "The disk refuses", true),
        };
        Self::of(code, title, e.to_string(), e.hint()).retryable(retryable)
    }
}

/// An error with its causes, which reqwest leaves out of its own text.
fn sources(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
