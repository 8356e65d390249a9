//! What can go wrong with a vCenter, told apart as far as somebody would do something different about it.

use crate::tls::Certificate;

/// An answer that is not the one asked for, or none at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VsphereError {
    /// A fault of the server; `kind` is its type, for example `AlreadyExists`.
    #[error("{method} failed: {kind}{}{message}", if message.is_empty() { "" } else { ": " })]
    Fault {
        method: String,
        kind: String,
        message: String,
    },
    /// The server's version does not know a property.
    #[error("{method} failed: this server does not know the property {property}")]
    UnknownProperty { method: String, property: String },
    /// Wrong user name or password.
    #[error("{server} refused the user name or the password of {user}")]
    InvalidLogin { server: String, user: String },
    /// Signed in, but without the right.
    #[error("{method} needs the privilege {privilege} on {object}")]
    NoPermission {
        method: String,
        privilege: String,
        object: String,
    },
    /// The session had ended; a new one has been opened, and a change was not sent again.
    #[error("the session with {server} had ended before {method}")]
    SessionEnded { server: String, method: String },
    /// The certificate is not the trusted one (`trusted_before`), or nobody has trusted it yet (none).
    #[error("{server} presents a certificate that is not trusted (SHA-256 {})", presented.sha256)]
    Certificate {
        server: String,
        presented: Box<Certificate>,
        trusted_before: Option<String>,
    },
    /// No common protocol: this client needs TLS 1.2 with ECDHE and AES-GCM, or 1.3.
    #[error("{server} offers no TLS version and cipher that is still secure: {detail}")]
    OldTls { server: String, detail: String },
    /// The certificate's key or form is too weak whatever one trusts (RSA below 2,048 bits, X.509 v1).
    #[error("{server} has a certificate that is too weak or malformed: {detail}")]
    WeakCertificate { server: String, detail: String },
    /// No answer.
    #[error("no answer from {server}: {detail}")]
    Unreachable {
        server: String,
        kind: UnreachableKind,
        detail: String,
    },
    /// Something answers there, but not a vSphere server.
    #[error("{server} answered {method} with HTTP status {status} and no SOAP answer")]
    Http {
        server: String,
        method: String,
        status: u16,
    },
    /// The answer is not what the protocol says.
    #[error("the answer of {server} to {method} can't be read: {detail}")]
    Parse {
        server: String,
        method: String,
        detail: String,
    },
    /// A file could not be moved into or out of a guest, by way of this host.
    #[error("a file of the guest can't be moved by way of {host}: {source}")]
    GuestTransfer { host: String, source: Box<VsphereError> },
    /// The connection's own data is wrong.
    #[error("{0}")]
    Config(String),
}

/// Why nothing answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreachableKind {
    /// The name can't be resolved.
    Dns,
    /// Nothing listens on the port.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// The proxy did not connect.
    Proxy,
}

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// May go away by itself: look again, then try again.
    Transient,
    /// Credentials, rights or trust: a person changes them.
    Auth,
    /// The object's state does not allow it now.
    Conflict,
    /// Will fail the same way again.
    Permanent,
}

/// Words for a person: what happened, why, and the next click or command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Advice {
    pub title: String,
    pub detail: String,
    pub hint: String,
}

impl VsphereError {
    /// The fault's type, or a stable word for what is not a fault.
    pub fn code(&self) -> &str {
        match self {
            Self::Fault { kind, .. } => kind,
            Self::UnknownProperty { .. } => "InvalidProperty",
            Self::InvalidLogin { .. } => "InvalidLogin",
            Self::NoPermission { .. } => "NoPermission",
            Self::SessionEnded { .. } => "NotAuthenticated",
            Self::Certificate {
                trusted_before: Some(_),
                ..
            } => "CertificateChanged",
            Self::Certificate { .. } => "CertificateUnknown",
            Self::OldTls { .. } => "OldTls",
            Self::WeakCertificate { .. } => "WeakCertificate",
            Self::Unreachable { .. } => "Unreachable",
            Self::Http { .. } if self.is_starting() => "ServiceUnavailable",
            Self::Http { .. } => "NotVsphere",
            Self::Parse { .. } => "Parse",
            Self::GuestTransfer { source, .. } => source.code(),
            Self::Config(_) => "Config",
        }
    }

    /// True when the object that was asked for does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(self.code(), "ManagedObjectNotFound" | "NotFound")
    }

    /// True when the session had ended.
    pub(crate) fn session_ended(&self) -> bool {
        matches!(self, Self::SessionEnded { .. })
    }

    /// True when a web server answers in place of vCenter's service, which starts, stops or is overloaded.
    fn is_starting(&self) -> bool {
        matches!(
            self,
            Self::Http {
                status: 429 | 500..,
                ..
            }
        )
    }

    /// What a caller may do.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::SessionEnded { .. } | Self::Unreachable { .. } => ErrorClass::Transient,
            Self::Http { .. } if self.is_starting() => ErrorClass::Transient,
            Self::InvalidLogin { .. } | Self::NoPermission { .. } | Self::Certificate { .. } => ErrorClass::Auth,
            Self::GuestTransfer { source, .. } => source.class(),
            Self::Fault { kind, .. } => match kind.as_str() {
                "AlreadyExists"
                | "DuplicateName"
                | "TaskInProgress"
                | "InvalidPowerState"
                | "InvalidState"
                | "ToolsUnavailable"
                | "GuestOperationsUnavailable"
                | "ResourceInUse"
                | "ConcurrentAccess"
                | "FileAlreadyExists" => ErrorClass::Conflict,
                "HostCommunication"
                | "HostNotConnected"
                | "HostNotReachable"
                | "RequestCanceled"
                | "Timedout"
                | "InvalidCollectorVersion"
                | "TooManySessions" => ErrorClass::Transient,
                "InvalidGuestLogin" => ErrorClass::Auth,
                _ => ErrorClass::Permanent,
            },
            _ => ErrorClass::Permanent,
        }
    }

    /// Words for the person who can change it.
    pub fn advice(&self) -> Advice {
        let (title, hint) = match self {
            Self::InvalidLogin { .. } => (
                "vCenter refused the sign-in",
                "Check the user name with its domain (administrator@vsphere.local) and the password in Connections. After several wrong passwords vCenter locks the account for some minutes.".to_owned(),
            ),
            Self::NoPermission { privilege, object, .. } => (
                "The account lacks a right in vCenter",
                format!("In the vSphere Client a vCenter administrator adds the privilege {privilege} to the account's role on {object}: Administration > Access Control > Roles."),
            ),
            Self::SessionEnded { .. } => {
                ("The vCenter session had ended", "Rehost has signed in again. Try once more.".to_owned())
            }
            Self::Certificate { trusted_before: Some(before), presented, .. } => (
                "vCenter's certificate has changed",
                format!("Trusted: SHA-256 {before}. Presented: {}. Ask the vCenter administrator whether it was renewed. If it was, trust the new one in Connections; if not, somebody may be listening in.", presented.sha256),
            ),
            Self::Certificate { presented, .. } => (
                "vCenter's certificate is not known",
                format!("Compare its SHA-256 {} with the one that the vCenter administrator sees, then choose Trust in Connections.", presented.sha256),
            ),
            Self::OldTls { .. } => (
                "The server speaks only outdated TLS",
                "Update it, or enable TLS 1.2 with ECDHE and AES-GCM on it. vCenter 6.0 U3 and later offer it.".to_owned(),
            ),
            Self::WeakCertificate { .. } => (
                "The server's certificate is too weak",
                "Renew it with an RSA key of at least 2,048 bits: vSphere Client > Administration > Certificates.".to_owned(),
            ),
            Self::Unreachable { server, kind, .. } => (
                "vCenter can't be reached",
                match kind {
                    UnreachableKind::Dns => format!("The name in {server} has no address. Check the spelling, the VPN and the DNS server."),
                    UnreachableKind::Refused => format!("The machine is there, but nothing listens at {server}. Check the port and whether vCenter's services run."),
                    UnreachableKind::Timeout => format!("Nothing comes back from {server}. Check VPN, firewall and proxy for this address."),
                    UnreachableKind::Proxy => "Check the proxy's address, user and password in Connections > vCenter > Proxy, and let its administrator allow the way to this server. Choose None there if vCenter is in your own network.".to_owned(),
                    UnreachableKind::Broken => format!("The connection to {server} broke. Check VPN, firewall and proxy; then try again."),
                },
            ),
            Self::Http { server, .. } if self.is_starting() => (
                "vCenter's services are not ready",
                format!("They start for some minutes after a restart, or are overloaded. Wait and try again. If it stays, a vCenter administrator looks at the services in the appliance's management page, port 5480 of {server}."),
            ),
            Self::Http { server, .. } | Self::Parse { server, .. } => (
                "This is not a vCenter answer",
                format!("Check that {server} is a vCenter Server or ESXi host, and that no proxy answers for it."),
            ),
            Self::GuestTransfer { host, source } => (
                "A file can't be moved between Rehost and the guest",
                format!("Files of guests are handed over at {host}, on port 443 of the ESXi host: this computer needs a way to it. Otherwise run the script yourself and paste its output. {}", source.advice().hint),
            ),
            Self::Config(_) => ("The vCenter connection is not complete", "Correct it in Connections.".to_owned()),
            Self::UnknownProperty { .. } => return self.fault_advice("InvalidProperty"),
            Self::Fault { kind, .. } => return self.fault_advice(kind),
        };
        Advice {
            title: title.to_owned(),
            detail: self.to_string(),
            hint,
        }
    }

    fn fault_advice(&self, kind: &str) -> Advice {
        let hint = FAULTS.iter().find(|(k, ..)| *k == kind).map_or(
            "The vSphere Client shows the same fault under Monitor > Tasks and Events.",
            |(_, hint)| hint,
        );
        let of_guest = GUEST_TITLES.iter().find(|(k, _)| *k == kind);
        Advice {
            title: of_guest.map_or_else(|| format!("vCenter reports {kind}"), |(_, title)| (*title).to_owned()),
            detail: self.to_string(),
            hint: hint.to_owned(),
        }
    }
}

/// Faults of the guest rather than of vCenter.
const GUEST_TITLES: &[(&str, &str)] = &[
    ("InvalidGuestLogin", "The guest refused the user name or the password"),
    ("GuestOperationsUnavailable", "The guest can't be worked in now"),
    ("GuestPermissionDenied", "The guest's account may not do this"),
    ("GuestComponentsOutOfDate", "VMware Tools in the guest are too old"),
    ("GuestProcessNotFound", "The guest has lost the script"),
    ("OperationDisabledByGuest", "The guest does not allow this"),
    ("OperationNotSupportedByGuest", "The guest does not support this"),
    ("FileNotFound", "A file is missing in the guest"),
    ("CannotAccessFile", "A file in the guest can't be used"),
];

/// Fault type -> what to do.
const FAULTS: &[(&str, &str)] = &[
    (
        "AlreadyExists",
        "Something with this name exists already. Use it, or choose another name.",
    ),
    (
        "DuplicateName",
        "Another object in the same folder has this name. Rename one of them.",
    ),
    (
        "FileAlreadyExists",
        "A file of this name lies in the datastore. Remove or rename it.",
    ),
    (
        "ManagedObjectNotFound",
        "The object was removed in vCenter. Read the inventory again.",
    ),
    (
        "InvalidPowerState",
        "The machine's power state does not allow this. Look at it in the vSphere Client.",
    ),
    (
        "InvalidState",
        "The object's state does not allow this now. Wait for its running task.",
    ),
    (
        "TaskInProgress",
        "Another task works on this object. Wait until it has ended.",
    ),
    (
        "ToolsUnavailable",
        "VMware Tools do not run in this machine. Start or install them, or shut the guest down by hand.",
    ),
    (
        "InvalidGuestLogin",
        "Enter an account of the machine's own operating system that is an administrator there: NAME or DOMAIN\\NAME for Windows, root for Linux. It is not the account of vCenter. Several wrong passwords may lock it.",
    ),
    (
        "GuestOperationsUnavailable",
        "VMware Tools must run in the machine, and the machine must be switched on and up. Start them (services.msc: VMware Tools; Linux: systemctl start vmtoolsd), wait a minute, and try again; or run the script yourself and paste its output.",
    ),
    (
        "GuestPermissionDenied",
        "Use an account that is an administrator of this machine. For a local account other than Administrator, User Account Control takes the rights away unless LocalAccountTokenFilterPolicy is 1; use a domain account, or run the script yourself.",
    ),
    (
        "GuestComponentsOutOfDate",
        "Upgrade VMware Tools: Guest OS > Upgrade VMware Tools; or run the script yourself and paste its output.",
    ),
    (
        "GuestProcessNotFound",
        "VMware Tools or the machine were restarted while the script ran. Look at the machine, then check again.",
    ),
    (
        "OperationDisabledByGuest",
        "Guest operations are switched off in the configuration of VMware Tools in this machine. Its administrator allows them in tools.conf, or runs the script by hand.",
    ),
    (
        "OperationNotSupportedByGuest",
        "Run the script yourself in the machine and paste its output.",
    ),
    (
        "FileNotFound",
        "The script may not have started: a virus scanner or a policy of the guest can stop PowerShell. Run the script yourself and paste its output.",
    ),
    (
        "CannotAccessFile",
        "Look whether the guest's disk is full and whether a virus scanner holds the file. Then try again.",
    ),
    (
        "UserNotFound",
        "The user or group does not exist in vCenter's identity sources. Create it, or correct its name.",
    ),
    ("NotSupported", "This vCenter does not support the operation."),
    ("MethodNotFound", "This vCenter is too old for the operation."),
    ("InvalidProperty", "This vCenter is too old for what was asked."),
    (
        "RestrictedVersion",
        "The licence of this host does not allow changes by the API.",
    ),
    (
        "InvalidArgument",
        "vCenter does not accept a value of the request; the recorded exchange shows it.",
    ),
];
