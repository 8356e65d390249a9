//! What can go wrong with a SQL Server, told apart as far as somebody would do something different about it.

use plan::rules::sql::SqlWay;
use std::fmt;
use trust::Certificate;

/// Why a server was not reached, or a statement not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    /// The connection's own data is wrong.
    #[error("{0}")]
    Config(String),
    /// No answer.
    #[error("no answer from {server}: {detail}")]
    Unreachable {
        server: String,
        kind: UnreachableKind,
        detail: String,
    },
    /// SQL Browser doesn't say where the instance is.
    #[error("SQL Browser on {host} does not tell the port of the instance {instance}: {}", kind.words())]
    Instance {
        host: String,
        instance: String,
        kind: InstanceKind,
    },
    /// Something answers there, but no SQL Server.
    #[error("what answers at {server} is no SQL Server: {detail}")]
    NotSqlServer { server: String, detail: String },
    /// The certificate is not the trusted one (`trusted_before`), or nobody has trusted it yet (none).
    #[error("{server} presents a certificate that is not trusted (SHA-256 {})", presented.sha256)]
    Certificate {
        server: String,
        presented: Box<Certificate>,
        trusted_before: Option<String>,
    },
    /// No common protocol, or none at all, or none that the client may take.
    #[error("{server} and Rehost find no way to encrypt the connection: {}", kind.words())]
    Encryption {
        server: String,
        kind: EncryptionKind,
        detail: String,
    },
    /// The server refused the login; the number says how.
    #[error("{server} refused the login of {user}: {message} (error {number}, state {state})")]
    Login {
        server: String,
        user: String,
        number: u32,
        state: u8,
        message: String,
    },
    /// The server refused a statement.
    #[error(
        "{message} (error {number}, level {class}, state {state}, line {line}{})",
        In(procedure)
    )]
    Statement {
        server: String,
        number: u32,
        state: u8,
        class: u8,
        line: u32,
        procedure: String,
        message: String,
    },
    /// The connection broke while something was under way: nobody knows whether it was carried out.
    #[error("the connection to {server} broke: {detail}")]
    Broken { server: String, detail: String },
    /// Somebody cancelled; the server has confirmed that the statement has ended.
    #[error("the statement on {server} was cancelled")]
    Cancelled { server: String },
    /// The server sends on from one address to the next without end.
    #[error("{server} sends on again and again, at last to {to}")]
    Redirects { server: String, to: String },
    /// SQL Server does not give a certificate with its private key, or gives what is none.
    #[error("the certificate {certificate} of {server} can't be read with its private key: {detail}")]
    PrivateKey {
        server: String,
        certificate: String,
        detail: String,
    },
    /// The answer is not what the protocol says.
    #[error("the answer of {server} can't be read: {detail}")]
    Protocol { server: String, detail: String },
}

struct In<'a>(&'a str);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            procedure => write!(f, " of {procedure}"),
        }
    }
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
    /// The connection broke before the login ended.
    Broken,
}

/// Why an instance has no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceKind {
    /// No answer: the service does not run, the instance is not there, or UDP 1434 is closed.
    Silent,
    /// It knows the instance, which does not listen on TCP.
    NoTcp,
}

impl InstanceKind {
    fn words(self) -> &'static str {
        match self {
            Self::Silent => "no answer came",
            Self::NoTcp => "the instance does not listen on TCP/IP",
        }
    }
}

/// Why a connection can't be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionKind {
    /// The server has no encryption at all.
    NotOffered,
    /// The server insists on what the connection's settings forbid.
    Forced,
    /// It does not speak TDS 8.
    Strict,
    /// It hangs up on everything but TDS 8, or is no SQL Server.
    StrictOnly,
    /// Its TLS is older than 1.2, or has no cipher that is still secure.
    Outdated,
    /// The certificate's key or form is too weak whatever one trusts.
    WeakCertificate,
}

impl EncryptionKind {
    fn words(self) -> &'static str {
        match self {
            Self::NotOffered => "the server offers no encryption",
            Self::Forced => "the server insists on encryption, which is switched off here",
            Self::Strict => "the server does not speak TDS 8 with strict encryption",
            Self::StrictOnly => {
                "the server hung up at the first word, as one does that takes TDS 8 with strict encryption only"
            }
            Self::Outdated => "the server offers no TLS version and cipher that is still secure",
            Self::WeakCertificate => "the server's certificate is too weak or malformed",
        }
    }
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
    /// It ended because somebody wanted so.
    Cancelled,
}

/// Words for a person: what happened, why, who can change it, and the next click or command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Advice {
    pub title: String,
    pub detail: String,
    pub hint: String,
}

impl SqlError {
    /// SQL Server's number of the error; none for what it did not say itself.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Login { number, .. } | Self::Statement { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// A short name of the error for reports, `Sql3201` for what the server said itself.
    pub fn code(&self) -> String {
        match self {
            Self::Config(_) => "SqlConfig".into(),
            Self::Unreachable { .. } => "SqlUnreachable".into(),
            Self::Instance { .. } => "SqlInstance".into(),
            Self::NotSqlServer { .. } => "SqlNotSqlServer".into(),
            Self::Certificate { .. } => "SqlCertificate".into(),
            Self::Encryption { .. } => "SqlEncryption".into(),
            Self::Redirects { .. } => "SqlRedirects".into(),
            Self::Broken { .. } => "SqlBroken".into(),
            Self::Cancelled { .. } => "SqlCancelled".into(),
            Self::PrivateKey { .. } => "SqlPrivateKey".into(),
            Self::Protocol { .. } => "SqlProtocol".into(),
            Self::Login { number, .. } | Self::Statement { number, .. } => format!("Sql{number}"),
        }
    }

    /// The operating system's code behind a backup file that could not be opened or written; none for other errors, and for
    /// blobs, of which the same codes say something else. The
    /// protocol has no field for it: the text has it, in every language as digits before a bracket, `5(Access is denied.)`.
    pub fn system_code(&self) -> Option<u32> {
        let Self::Statement {
            number: 3201 | 3202 | 3203 | 18_204 | 18_210,
            message,
            ..
        } = self
        else {
            return None;
        };
        if message.contains("https://") {
            return None;
        }
        // The device's own name comes first, and may hold brackets and digits too.
        let digits = |before: &str| {
            let start = before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            before[start..].parse().ok()
        };
        message.rmatch_indices('(').find_map(|(at, _)| digits(&message[..at]))
    }

    /// Notes what a failed connection tells of the way to the server, or a failed statement of the backups' place, for the
    /// rules.
    pub fn tells(&self, way: &mut SqlWay) {
        match self.system_code() {
            // ERROR_BAD_NETPATH, ERROR_NETNAME_DELETED, ERROR_SEM_TIMEOUT, the network and host that can't be reached.
            Some(53 | 64 | 121 | 1231 | 1232) => way.port_445 = Some(false),
            // The path, the share and its password, the sign-in.
            Some(3 | 67 | 86 | 1326 | 1385 | 1909) => way.share_reachable = Some(false),
            Some(5 | 19 | 1314) => way.share_writable = Some(false),
            _ => {}
        }
        match self {
            Self::Instance {
                kind: InstanceKind::NoTcp,
                ..
            } => way.tcp = Some(false),
            Self::Unreachable {
                kind: UnreachableKind::Refused | UnreachableKind::Timeout,
                ..
            } => way.port_1433 = Some(false),
            _ => {}
        }
    }

    /// True when an older version does not know a column (207), a table or view (208), or a function (195).
    pub fn is_unknown_here(&self) -> bool {
        matches!(self.number(), Some(195 | 207 | 208))
    }

    /// True when the account may not see or do it.
    pub fn is_denied(&self) -> bool {
        matches!(self.number(), Some(229 | 230 | 262 | 297 | 300 | 371 | 916 | 15247))
    }

    /// What a caller may do.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Cancelled { .. } => ErrorClass::Cancelled,
            Self::Unreachable { .. } | Self::Broken { .. } => ErrorClass::Transient,
            Self::Certificate { .. } | Self::Login { .. } | Self::PrivateKey { .. } => ErrorClass::Auth,
            Self::Statement { number, .. } => match number {
                // Deadlock, lock time-out, starting, resources of Azure, failed over.
                1205 | 1222 | 6005 | 10928 | 10929 | 40197 | 40501 | 40613 | 49918..=49920 => ErrorClass::Transient,
                // In use, being restored, backed up or changed right now.
                3023 | 3101 | 3702 | 927 | 5061 => ErrorClass::Conflict,
                _ if self.is_denied() => ErrorClass::Auth,
                _ => ErrorClass::Permanent,
            },
            _ => ErrorClass::Permanent,
        }
    }

    /// Words for the person who can change it.
    pub fn advice(&self) -> Advice {
        let (title, hint) = match self {
            Self::Config(_) => (
                "The connection to SQL Server is not complete",
                "Correct it in Connections.".to_owned(),
            ),
            Self::Unreachable { server, kind, .. } => (
                "SQL Server can't be reached",
                match kind {
                    UnreachableKind::Dns => format!("The name in {server} has no address. Check the spelling, the VPN and the DNS server."),
                    UnreachableKind::Refused => format!("The computer is there, but nothing listens at {server}. The Windows administrator of that computer opens SQL Server Configuration Manager > SQL Server Network Configuration, enables TCP/IP (Express and Developer come with it disabled), reads the port under IP Addresses > IPAll, and restarts the service."),
                    UnreachableKind::Timeout => format!("Nothing comes back from {server}. Check the VPN, and let the network administrator open this TCP port; on the server itself: New-NetFirewallRule -DisplayName 'SQL Server' -Direction Inbound -Protocol TCP -LocalPort 1433 -Action Allow"),
                    UnreachableKind::Broken => format!("{server} ended the connection before the login (Windows calls this 10054). It may be starting, have reached its limit of connections, or refuse this TLS version; its ERRORLOG says which. Then try again."),
                },
            ),
            Self::Instance { host, instance, kind } => (
                "The instance can't be found",
                match kind {
                    InstanceKind::Silent => format!(r"On {host} the Windows administrator starts the service: Set-Service SQLBrowser -StartupType Automatic; Start-Service SQLBrowser, and opens UDP 1434. Check that the instance {instance} exists: Get-Service 'MSSQL$*'. Or write its port behind a comma: {host},1433."),
                    InstanceKind::NoTcp => format!("The instance {instance} runs without TCP/IP, as Express and Developer are installed. On {host} the Windows administrator opens SQL Server Configuration Manager > SQL Server Network Configuration > Protocols for {instance}, enables TCP/IP, and restarts the service."),
                },
            ),
            Self::NotSqlServer { server, .. } => (
                "This is not a SQL Server",
                format!("Check the port in {server}; 1433 is the default instance's. A proxy or load balancer may answer for it."),
            ),
            Self::Certificate { trusted_before: Some(before), presented, .. } => (
                "The server's certificate has changed",
                format!("Trusted: SHA-256 {before}. Presented: {}. SQL Server makes itself a new certificate at every start of the service unless one is installed. Ask the database administrator whether it was restarted. If it was, trust the new one in Connections; if not, somebody may be listening in.", presented.sha256),
            ),
            Self::Certificate { presented, .. } => (
                "The server's certificate is not known",
                format!("Compare its SHA-256 {} with what the database administrator sees (SQL Server Configuration Manager > Protocols > Properties > Certificate), then choose Trust in Connections; or add the authority that signed it.", presented.sha256),
            ),
            Self::Encryption { server, kind, .. } => (
                "The connection can't be encrypted",
                match kind {
                    EncryptionKind::NotOffered | EncryptionKind::Outdated => format!("{server} needs TLS 1.2: SQL Server 2016 and later have it; 2008 to 2014 need the update of KB3135244 and Windows with TLS 1.2 enabled. Until then the database administrator can allow a connection without encryption in Connections, on a network where nobody listens."),
                    EncryptionKind::Forced => "Choose Mandatory under Encryption in Connections.".to_owned(),
                    EncryptionKind::Strict => "Choose Mandatory in place of Strict under Encryption in Connections; only SQL Server 2022 and later speak TDS 8.".to_owned(),
                    EncryptionKind::StrictOnly => format!("If the server has Force Strict Encryption on, choose Strict under Encryption in Connections. If not, check the port in {server}: what answers there may be no SQL Server."),
                    EncryptionKind::WeakCertificate => "The database administrator installs a certificate with an RSA key of at least 2,048 bits, X.509 version 3 (SQL Server Configuration Manager > Protocols > Properties > Certificate), and restarts the service.".to_owned(),
                },
            ),
            Self::Login { user, number, message, .. } => login_advice(user, *number, message),
            Self::Statement { number, server, .. } => {
                let hint = STATEMENTS.iter().find(|(numbers, _)| numbers.contains(number)).map_or_else(
                    || format!("The ERRORLOG of {server} may say more: EXEC sp_readerrorlog"),
                    |(_, hint)| (*hint).to_owned(),
                );
                ("SQL Server refused the statement", hint)
            }
            Self::Broken { server, .. } => (
                "The connection to SQL Server broke",
                format!("{server} was restarted, failed over, or the network between broke (Windows calls this 10054). Rehost looks whether the statement was carried out before it sends it again."),
            ),
            Self::Cancelled { .. } => ("Cancelled", "Nothing runs on the server any more.".to_owned()),
            Self::Redirects { .. } => (
                "The server sends on without end",
                "Ask the administrator of the managed instance for its connection type; with Proxy it answers at its own address.".to_owned(),
            ),
            Self::PrivateKey { certificate, .. } => (
                "The certificate can't be brought",
                format!("The database administrator gives the login of Connections the right: GRANT CONTROL ON CERTIFICATE::{0} TO … in master (unverified), or membership in sysadmin. Or by hand: BACKUP CERTIFICATE {0} TO FILE = '…' WITH PRIVATE KEY (FILE = '…', ENCRYPTION BY PASSWORD = '…'); make a .pfx of it; Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate; and take the choice away in Plan, Beside the database.", crate::quote::identifier(certificate).unwrap_or_default()),
            ),
            Self::Protocol { server, .. } => (
                "SQL Server's answer can't be read",
                format!("Look whether a proxy stands between here and {server}. If not, save the support bundle under Help and report it."),
            ),
        };
        Advice {
            title: title.to_owned(),
            detail: self.to_string(),
            hint,
        }
    }
}

/// SQL Server tells a client state 1 whatever the reason, so that nobody learns which names exist; the true state stands in
/// its own log.
fn login_advice(user: &str, number: u32, message: &str) -> (&'static str, String) {
    match number {
        4060 | 4064 => (
            "The database can't be opened",
            format!("The login {user} is right, but the database is not there, is offline or being restored, or has no user for it. The database administrator looks at its state: SELECT name, state_desc FROM sys.databases; and maps the login: CREATE USER {0} FOR LOGIN {0}.", crate::quote::identifier(user).unwrap_or_default()),
        ),
        18452 => (
            "The Windows account is not trusted",
            "The server does not know the account's domain, or the password is wrong. Write DOMAIN\\user; if the server is in another domain, use a SQL login, or an account that exists with the same password on the server.".to_owned(),
        ),
        18470 => (
            "The login is disabled",
            format!("The database administrator enables it: ALTER LOGIN {} ENABLE", crate::quote::identifier(user).unwrap_or_default()),
        ),
        18486 => (
            "The login is locked",
            format!("After several wrong passwords it was locked. The database administrator unlocks it: ALTER LOGIN {} WITH PASSWORD = '…' UNLOCK", crate::quote::identifier(user).unwrap_or_default()),
        ),
        18487 | 18488 => (
            "The login's password must be changed",
            format!("It has expired, or must be changed at the first login. Change it with SQL Server Management Studio, or the database administrator does: ALTER LOGIN {} WITH PASSWORD = '…'; then store the new one in Connections.", crate::quote::identifier(user).unwrap_or_default()),
        ),
        40615 | 40914 => (
            "The server's firewall refuses this computer",
            format!("{message} The Azure administrator adds the address under Networking of the server, or connects through its private endpoint."),
        ),
        _ if user.contains('\\') => (
            "SQL Server refused the Windows account",
            format!("The account was recognised, but has no login. The database administrator adds it: CREATE LOGIN {} FROM WINDOWS. The reason stands in the server's ERRORLOG beside error 18456 (state 11 or 12: no access; 38 or 46: the database; 58: only Windows accounts may sign in).", crate::quote::identifier(user).unwrap_or_default()),
        ),
        _ => (
            "SQL Server refused the sign-in",
            "Check the user and the password in Connections. The server tells a client no reason; the database administrator finds it in the ERRORLOG beside error 18456: EXEC sp_readerrorlog 0, 1, N'18456'. State 2 or 5: no such login. 7: disabled and wrong password. 8: wrong password. 38 or 40: the database. 58: only Windows accounts may sign in (server properties > Security, then restart).".to_owned(),
        ),
    }
}

/// Numbers and what to do.
const STATEMENTS: &[(&[u32], &str)] = &[
    (
        &[229, 230, 262, 371, 15247],
        "The login lacks this right. The database administrator adds it to the role sysadmin for the time of the migration: ALTER SERVER ROLE sysadmin ADD MEMBER …, or on 2008: EXEC sp_addsrvrolemember '…', 'sysadmin'.",
    ),
    (
        &[297, 300],
        "The login may not see the server's state. The database administrator grants it: GRANT VIEW SERVER STATE TO …",
    ),
    (
        &[916],
        "The login has no user in that database. The database administrator makes one: CREATE USER … FOR LOGIN …, or adds the login to sysadmin.",
    ),
    (
        &[195, 207, 208],
        "This version of SQL Server does not know what was asked for.",
    ),
    (
        &[911],
        "There is no database of that name any more. Read the facts again.",
    ),
    (
        &[3201, 3202, 18204, 18210],
        "SQL Server can't open or write the backup's place. Its service account, not yours, needs the right to write there; for a share write \\\\SERVER\\share\\… and grant the computer account, for a URL look at the credential's SAS. Operating system error 5 is access denied, 53 no such path, 112 disk full.",
    ),
    (
        &[3013],
        "The line before this one says why the backup or restore ended.",
    ),
    (
        &[3035],
        "A differential backup needs a full one first: run a full backup, not COPY_ONLY.",
    ),
    (
        &[4208, 4214],
        "The database's log can't be backed up: set it to the full recovery model and take a full backup: ALTER DATABASE … SET RECOVERY FULL.",
    ),
    (
        &[3023],
        "Another backup or change of the same database is running. Wait for it: SELECT session_id, command, percent_complete FROM sys.dm_exec_requests.",
    ),
    (
        &[9002],
        "The transaction log is full. Back it up, or give it room: SELECT log_reuse_wait_desc FROM sys.databases.",
    ),
    (&[1105], "The file group is full. Give the data file or its disk room."),
    (
        &[33111],
        "The certificate that encrypts this database is not on this server. Export it on the source with its private key, and import it here first.",
    ),
    (&[1205], "The statement lost against another one (deadlock). Try again."),
    (
        &[927],
        "The database is being restored; nobody can use it until that has ended.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(number: u32) -> SqlError {
        SqlError::Statement {
            server: "SQLVM".into(),
            number,
            state: 1,
            class: 16,
            line: 1,
            procedure: String::new(),
            message: "It failed.".into(),
        }
    }

    #[test]
    fn a_place_that_can_not_be_used_tells_why() {
        let said = |number: u32, text: &str| match statement(number) {
            SqlError::Statement {
                server,
                number,
                state,
                class,
                line,
                procedure,
                ..
            } => SqlError::Statement {
                server,
                number,
                state,
                class,
                line,
                procedure,
                message: text.into(),
            },
            other => other,
        };
        let open = |system: &str| {
            said(
                3201,
                &format!(r"Cannot open backup device '\\F(1)\2(x)\a.bak'. Operating system error {system}."),
            )
        };
        let told = |e: &SqlError| {
            let mut way = SqlWay::default();
            e.tells(&mut way);
            way
        };
        let is = |e: &SqlError, code: u32| assert_eq!(e.system_code(), Some(code), "{e}");
        is(&open("53(The network path was not found.)"), 53);
        // As a German server says it.
        let german = said(
            3201,
            r"Das Sicherungsmedium '\\F\a.bak' kann nicht geöffnet werden. Betriebssystemfehler 5(Zugriff verweigert).",
        );
        is(&german, 5);
        let full = said(
            3202,
            r"Write on '\\F\a.bak' failed: 112(There is not enough space on the disk.)",
        );
        is(&full, 112);
        assert_eq!(
            told(&open("64(The specified network name is no longer available.)")).port_445,
            Some(false)
        );
        assert_eq!(
            told(&open("67(The network name cannot be found.)")).share_reachable,
            Some(false)
        );
        assert_eq!(told(&german).share_writable, Some(false));
        // A file that is not there yet says that its folder is.
        assert_eq!(
            told(&open("2(The system cannot find the file specified.)")),
            SqlWay::default()
        );
        assert_eq!(statement(229).system_code(), None);
        let blob = said(
            3201,
            "Cannot open backup device 'https://a/b/c.bak'. Operating system error 5(Access is denied.).",
        );
        assert_eq!(blob.system_code(), None);
    }

    #[test]
    fn every_error_has_words_for_a_person() {
        let login = |number, user: &str| SqlError::Login {
            server: "SQLVM".into(),
            user: user.into(),
            number,
            state: 1,
            message: "Login failed.".into(),
        };
        let mut all: Vec<SqlError> = STATEMENTS
            .iter()
            .flat_map(|(n, _)| n.iter())
            .map(|n| statement(*n))
            .collect();
        all.extend([4060, 18452, 18456, 18470, 18486, 18488, 40615].map(|n| login(n, "u]x")));
        all.push(login(18456, r"CONTOSO\x"));
        all.push(statement(1));
        for e in all {
            let a = e.advice();
            assert!(
                a.hint.len() > 20 && a.hint.ends_with(['.', ')', ';'])
                    || a.hint.contains("EXEC ")
                    || a.hint.contains("ALTER ")
                    || a.hint.contains("GRANT ")
                    || a.hint.contains("SELECT "),
                "{}",
                a.hint
            );
            assert!(!a.title.ends_with('.') && !a.detail.is_empty());
        }
        assert!(login(18470, "u]x").advice().hint.contains("ALTER LOGIN [u]]x] ENABLE"));
    }

    #[test]
    fn classes_follow_the_numbers() {
        use ErrorClass::*;
        for (number, class) in [
            (1205, Transient),
            (3023, Conflict),
            (229, Auth),
            (3201, Permanent),
            (207, Permanent),
        ] {
            assert_eq!(statement(number).class(), class, "{number}");
        }
        assert!(statement(207).is_unknown_here() && !statement(229).is_unknown_here());
    }
}
