//! A connection to a SQL Server: found by name, encrypted by our own trust, signed in by tiberius, followed when a managed
//! instance's gateway sends it on.
//!
//! There is no time-out on a statement: a BACKUP takes as long as it takes, and [`Client::run`] ends it when it is cancelled.

use crate::{
    error::{EncryptionKind, InstanceKind, SqlError, UnreachableKind},
    prelogin::{self, Line, Packed, Pipe, encrypt},
    target::Target,
};
use plan::design::{SqlConnection, SqlEncryption, SqlSignIn};
use rustls::pki_types::ServerName;
use secrets::Secret;
use std::{
    io::{Error as IoError, ErrorKind},
    sync::Arc,
    time::Duration,
};
use tds_protocol::{login7::Login7, prelogin::EncryptionLevel};
use tiberius::{AuthMethod, Config, Query, Row};
use tokio::{
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt},
    sync::CancellationToken,
};
use trust::{Trust, Verifier};

/// How long each step of a connection may take: name, TCP, TLS, login. Servers far away need a second.
const STEP: Duration = Duration::from_secs(15);
/// SQL Browser is asked three times: UDP gets lost.
const BROWSER: Duration = Duration::from_secs(1);
const BROWSER_PORT: u16 = 1434;
/// What `sys.dm_exec_sessions` shows as the program.
const APPLICATION: &str = "Rehost";
/// A gateway sends on once; a failover may do so once more.
const REDIRECTS: usize = 4;

/// Who signs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// A login of SQL Server itself.
    Sql { user: String, password: Secret<String> },
    /// A Windows account, `DOMAIN\user`, by NTLM.
    Windows { user: String, password: Secret<String> },
    /// Whoever is signed in to this Windows computer.
    Integrated,
    /// An access token of Entra for `https://database.windows.net/`.
    Token(Secret<String>),
}

impl Login {
    fn name(&self) -> &str {
        match self {
            Self::Sql { user, .. } | Self::Windows { user, .. } => user,
            Self::Integrated => "the signed-in Windows account",
            Self::Token(_) => "the Entra account",
        }
    }
}

/// Whether and how a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// TLS 1.2 inside of TDS 7.4: every server since 2016, older ones with their updates.
    #[default]
    Mandatory,
    /// TDS 8: TLS first, 1.2 or 1.3. SQL Server 2022 and later, managed instances.
    Strict,
    /// None: whoever listens reads all of it, the password too. Only for servers whose TLS is older than 1.2.
    Off,
}

/// Everything a connection needs.
#[derive(Debug, Clone)]
pub struct Options {
    pub target: Target,
    /// None = the login's own.
    pub database: Option<String>,
    pub login: Login,
    pub encryption: Encryption,
    pub trust: Trust,
    /// Where SQL Browser answers; 1434 everywhere but in tests.
    pub browser_port: u16,
}

impl Options {
    /// A connection with the platform's trust.
    pub fn new(target: Target, login: Login) -> Options {
        Options {
            target,
            database: None,
            login,
            encryption: Encryption::default(),
            trust: Trust::Platform,
            browser_port: BROWSER_PORT,
        }
    }

    /// A connection as a project has it. `password` is not needed for [`SqlSignIn::Integrated`].
    ///
    /// # Errors
    /// [`SqlError::Config`] when something is missing or can't be understood.
    pub fn of(connection: &SqlConnection, password: Option<Secret<String>>) -> Result<Options, SqlError> {
        let target = Target::parse(&connection.server).map_err(|e| SqlError::Config(e.to_string()))?;
        let user = connection.user.trim().to_owned();
        if connection.sign_in == SqlSignIn::Integrated {
            let login = Login::Integrated;
            return Self::new(target, login).with(connection);
        }
        if user.is_empty() {
            return Err(SqlError::Config("The user name is empty.".into()));
        }
        let password = password.ok_or_else(|| SqlError::Config(format!("No password of {user} is stored.")))?;
        let login = match connection.sign_in {
            SqlSignIn::Windows => Login::Windows { user, password },
            _ => Login::Sql { user, password },
        };
        Self::new(target, login).with(connection)
    }

    /// Trusts the one certificate with this SHA-256; empty = as the platform says.
    ///
    /// # Errors
    /// [`SqlError::Config`] when it is no thumbprint.
    pub fn pinned(self, thumbprint: &str) -> Result<Options, SqlError> {
        let trust = Trust::from_pin(thumbprint).map_err(SqlError::Config)?;
        Ok(Options { trust, ..self })
    }

    fn with(self, connection: &SqlConnection) -> Result<Options, SqlError> {
        Ok(Options {
            encryption: match connection.encryption {
                SqlEncryption::Mandatory => Encryption::Mandatory,
                SqlEncryption::Strict => Encryption::Strict,
                SqlEncryption::Off => Encryption::Off,
            },
            browser_port: match connection.browser_port {
                0 => BROWSER_PORT,
                port => port,
            },
            ..self.pinned(&connection.thumbprint)?
        })
    }
}

/// A signed-in connection.
pub struct Client {
    inner: tiberius::Client<Compat<Pipe>>,
    server: String,
    /// Major, minor and build, as the server said before the login.
    version: (u8, u8, u16),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Finds the server, encrypts, signs in, and follows redirects.
    ///
    /// # Errors
    /// Every kind of [`SqlError`] but those of statements.
    pub async fn connect(options: &Options) -> Result<Client, SqlError> {
        let mut target = options.target.clone();
        let port = match (&target.instance, target.port) {
            (_, Some(port)) => port,
            (Some(instance), None) => browse(&target.host, instance, options.browser_port).await?,
            (None, None) => 1433,
        };
        target.port = Some(port);
        for _ in 0..REDIRECTS {
            match establish(options, &target, target.port.unwrap_or(port)).await? {
                Reached::Here(client) => return Ok(*client),
                Reached::SentTo(host, port) => {
                    tracing::debug!(from = %target, %host, port, "redirected");
                    target = Target {
                        // An address like `host\instance` names the same host.
                        host: host.split('\\').next().unwrap_or_default().to_owned(),
                        instance: None,
                        port: Some(port),
                    };
                }
            }
        }
        Err(SqlError::Redirects {
            server: options.target.to_string(),
            to: target.to_string(),
        })
    }

    /// The server as it was reached, `host,port`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Major, minor and build of the server.
    pub fn version(&self) -> (u8, u8, u16) {
        self.version
    }

    /// Sends a batch and returns the rows of each of its results.
    ///
    /// # Errors
    /// [`SqlError::Statement`] with the first error of the batch, [`SqlError::Broken`].
    pub async fn query(&mut self, batch: &str) -> Result<Vec<Vec<Row>>, SqlError> {
        let sent = async { self.inner.simple_query(batch).await?.into_results().await };
        sent.await.map_err(|e| failure(&self.server, e))
    }

    /// Sends one statement with parameters `@P1`, `@P2`…
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_with(&mut self, statement: &str, parameters: &[&str]) -> Result<Vec<Row>, SqlError> {
        let mut query = Query::new(statement);
        parameters.iter().for_each(|p| query.bind(*p));
        let sent = async { query.query(&mut self.inner).await?.into_first_result().await };
        sent.await.map_err(|e| failure(&self.server, e))
    }

    /// Like [`Client::query`], until `cancel`: then the server is told, and its confirmation awaited.
    ///
    /// # Errors
    /// [`SqlError::Cancelled`], and those of [`Client::query`].
    pub async fn run(&mut self, batch: &str, cancel: &CancellationToken) -> Result<Vec<Vec<Row>>, SqlError> {
        let ended = {
            let sent = async { self.inner.simple_query(batch).await?.into_results().await };
            tokio::select! {
                ended = sent => Some(ended),
                () = cancel.cancelled() => None,
            }
        };
        match ended {
            Some(ended) => ended.map_err(|e| failure(&self.server, e)),
            None => {
                let server = self.server.clone();
                match self.inner.cancel_query().await {
                    Ok(()) => Err(SqlError::Cancelled { server }),
                    Err(e) => Err(failure(&server, e)),
                }
            }
        }
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub async fn close(self) -> Result<(), SqlError> {
        let server = self.server;
        self.inner.close().await.map_err(|e| failure(&server, e))
    }
}

enum Reached {
    Here(Box<Client>),
    SentTo(String, u16),
}

async fn establish(options: &Options, target: &Target, port: u16) -> Result<Reached, SqlError> {
    let server = target.to_string();
    let federated = matches!(options.login, Login::Token(_));
    let tcp = dial(&server, &target.host, port).await?;
    let verifier = Verifier::new(options.trust.clone(), None);
    let (mut line, answer) = match options.encryption {
        Encryption::Strict => {
            // TLS 1.3 is for TDS 8 alone ([MS-TDS] 1.7): inside of TDS 7 its tickets would come in the middle.
            let mut config = verifier
                .config(rustls::DEFAULT_VERSIONS)
                .map_err(|e| outdated(&server, &e.to_string()))?;
            config.alpn_protocols = vec![b"tds/8.0".to_vec()];
            let connector = TlsConnector::from(Arc::new(config));
            let mut tls = step(&server, connector.connect(name(&target.host)?, tcp))
                .await?
                .map_err(|e| handshake(&server, &verifier, &e, EncryptionKind::Strict))?;
            let asked = prelogin::exchange(&mut tls, EncryptionLevel::On, "", federated);
            let answer = step(&server, asked).await?.map_err(|e| greeting(&server, &e))?;
            (Line::Around(Box::new(tls)), answer)
        }
        wish => {
            let mut tcp = tcp;
            let instance = options.target.instance.as_deref().unwrap_or_default();
            let level = if wish == Encryption::Off {
                EncryptionLevel::NotSupported
            } else {
                EncryptionLevel::On
            };
            let asked = prelogin::exchange(&mut tcp, level, instance, federated);
            let answer = step(&server, asked).await?.map_err(|e| greeting(&server, &e))?;
            let refused = |kind| SqlError::Encryption {
                server: server.clone(),
                kind,
                detail: format!("it answered {} to PRELOGIN", answer.encryption()),
            };
            match (wish, answer.encryption()) {
                (Encryption::Off, encrypt::NOT_SUPPORTED) => (Line::Plain(tcp), answer),
                (Encryption::Off, _) => return Err(refused(EncryptionKind::Forced)),
                (_, encrypt::ON | encrypt::REQUIRED) => {
                    let config = verifier
                        .config(&[&rustls::version::TLS12])
                        .map_err(|e| outdated(&server, &e.to_string()))?;
                    let connector = TlsConnector::from(Arc::new(config));
                    let mut tls = step(&server, connector.connect(name(&target.host)?, Packed::new(tcp)))
                        .await?
                        .map_err(|e| handshake(&server, &verifier, &e, EncryptionKind::Outdated))?;
                    tls.get_mut().0.handshaking = false;
                    (Line::Inside(Box::new(tls)), answer)
                }
                (_, encrypt::OFF | _) => return Err(refused(EncryptionKind::NotOffered)),
            }
        }
    };
    if answer.wrong_instance {
        return Err(SqlError::Instance {
            host: target.host.clone(),
            instance: options.target.instance.clone().unwrap_or_default(),
            kind: InstanceKind::Silent,
        });
    }
    let version = answer.version.unwrap_or_default();
    let config = config(options, target, port)?;
    let signed_in = match &options.login {
        Login::Windows { user, password } => {
            let asked = windows(&mut line, options, target, port, user, password);
            let answer = step(&server, asked).await?;
            Some(answer.map_err(|e| broken_login(&server, &e))?)
        }
        _ => None,
    };
    let pipe = Pipe::new(line, answer, signed_in).compat();
    match tiberius::Client::connect(config, pipe).await {
        Ok(inner) => Ok(Reached::Here(Box::new(Client { inner, server, version }))),
        Err(tiberius::error::Error::Routing { host, port }) => Ok(Reached::SentTo(host, port)),
        Err(tiberius::error::Error::Server(e)) => Err(SqlError::Login {
            server,
            user: options.login.name().to_owned(),
            number: e.code(),
            state: e.state(),
            message: e.message().to_owned(),
        }),
        Err(tiberius::error::Error::Io { message, .. }) => Err(broken_login(&server, &IoError::other(message))),
        Err(e) => Err(failure(&server, e)),
    }
}

fn broken_login(server: &str, e: &IoError) -> SqlError {
    SqlError::Unreachable {
        server: server.to_owned(),
        kind: UnreachableKind::Broken,
        detail: e.to_string(),
    }
}

async fn windows(
    line: &mut Line,
    options: &Options,
    target: &Target,
    port: u16,
    user: &str,
    password: &Secret<String>,
) -> std::io::Result<Vec<u8>> {
    let account = match user.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        // `user@domain` is a name that holds its domain.
        None => (None, user),
    };
    let login = Login7::new()
        .with_database(options.database.clone().unwrap_or_default())
        .with_app_name(APPLICATION)
        .with_server_name(&target.host)
        .with_packet_size(4096);
    let service = format!("MSSQLSvc/{}:{port}", target.host);
    prelogin::ntlm(line, login, account, password.expose(), service).await
}

fn config(options: &Options, target: &Target, port: u16) -> Result<Config, SqlError> {
    let mut config = Config::new();
    // By these the service principal's name is made.
    config.host(&target.host);
    config.port(port);
    if let Some(database) = &options.database {
        config.database(database);
    }
    config.application_name(APPLICATION);
    config.encryption(tiberius::EncryptionLevel::NotSupported);
    config.handshake_timeout(Some(STEP));
    config.command_timeout(None);
    config.authentication(match &options.login {
        Login::Sql { user, password } => AuthMethod::sql_server(user, password.expose()),
        // Signed in already, see `windows`.
        Login::Windows { user, .. } => AuthMethod::sql_server(user, ""),
        Login::Token(token) => AuthMethod::aad_token(token.expose()),
        #[cfg(windows)]
        Login::Integrated => AuthMethod::Integrated,
        #[cfg(not(windows))]
        Login::Integrated => {
            return Err(SqlError::Config(
                "Signing in as whoever uses this computer works on Windows only. Write a Windows account as DOMAIN\\user with its password, or a login of SQL Server.".into(),
            ));
        }
    });
    Ok(config)
}

/// Asks SQL Browser for an instance's port ([MC-SQLR]).
async fn browse(host: &str, instance: &str, port: u16) -> Result<u16, SqlError> {
    let unknown = |kind| SqlError::Instance {
        host: host.to_owned(),
        instance: instance.to_owned(),
        kind,
    };
    let at = resolve(host, host, port).await?;
    let mut asked = vec![4];
    asked.extend(instance.bytes());
    asked.push(0);
    for to in at.iter().cycle().take(at.len().max(3)) {
        let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let exchange = async {
            let socket = UdpSocket::bind(local).await?;
            // Only this server's answers, and its refusals, are heard.
            socket.connect(to).await?;
            socket.send(&asked).await?;
            let mut answer = vec![0; 65_536];
            let length = socket.recv(&mut answer).await?;
            answer.truncate(length);
            Ok::<_, IoError>(answer)
        };
        let Ok(Ok(answer)) = timeout(BROWSER, exchange).await else {
            continue;
        };
        return instance_port(&answer).ok_or_else(|| unknown(InstanceKind::NoTcp));
    }
    Err(unknown(InstanceKind::Silent))
}

/// `ServerName;…;tcp;50123;;` behind three bytes.
fn instance_port(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer.get(3..)?).into_owned();
    let mut fields = text.split(';');
    while let Some(field) = fields.next() {
        if field == "tcp" {
            return fields.next()?.parse().ok();
        }
    }
    None
}

async fn resolve(server: &str, host: &str, port: u16) -> Result<Vec<std::net::SocketAddr>, SqlError> {
    let unknown = |detail: String| SqlError::Unreachable {
        server: server.to_owned(),
        kind: UnreachableKind::Dns,
        detail,
    };
    match step(server, lookup_host((host, port))).await? {
        Ok(found) => {
            let found: Vec<_> = found.collect();
            (!found.is_empty())
                .then_some(found)
                .ok_or_else(|| unknown("the name has no address".into()))
        }
        Err(e) => Err(unknown(e.to_string())),
    }
}

async fn dial(server: &str, host: &str, port: u16) -> Result<TcpStream, SqlError> {
    let mut last = None;
    for address in resolve(server, host, port).await? {
        match timeout(STEP, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(e)) => last = Some(e),
            Err(_) => last = Some(ErrorKind::TimedOut.into()),
        }
    }
    let e = last.unwrap_or_else(|| ErrorKind::NotFound.into());
    let kind = match e.kind() {
        ErrorKind::ConnectionRefused => UnreachableKind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => UnreachableKind::Broken,
        _ => UnreachableKind::Timeout,
    };
    Err(SqlError::Unreachable {
        server: server.to_owned(),
        kind,
        detail: e.to_string(),
    })
}

/// Bounds one step of a connection.
async fn step<T>(server: &str, future: impl Future<Output = T>) -> Result<T, SqlError> {
    timeout(STEP, future).await.map_err(|_| SqlError::Unreachable {
        server: server.to_owned(),
        kind: UnreachableKind::Timeout,
        detail: format!("nothing came for {} seconds", STEP.as_secs()),
    })
}

fn name(host: &str) -> Result<ServerName<'static>, SqlError> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        SqlError::Config(format!(
            "{host} is no name of a computer that a certificate could be for."
        ))
    })
}

fn outdated(server: &str, detail: &str) -> SqlError {
    SqlError::Encryption {
        server: server.to_owned(),
        kind: EncryptionKind::Outdated,
        detail: detail.to_owned(),
    }
}

/// A server that hangs up on PRELOGIN wants TDS 8, or is none.
fn greeting(server: &str, e: &IoError) -> SqlError {
    match e.kind() {
        ErrorKind::InvalidData => SqlError::NotSqlServer {
            server: server.to_owned(),
            detail: e.to_string(),
        },
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => SqlError::Encryption {
            server: server.to_owned(),
            kind: EncryptionKind::StrictOnly,
            detail: "it hung up at the first word".into(),
        },
        _ => SqlError::Unreachable {
            server: server.to_owned(),
            kind: UnreachableKind::Broken,
            detail: e.to_string(),
        },
    }
}

/// Tells apart why a handshake failed. `hung_up` is what it means when the server just ends the connection.
fn handshake(server: &str, verifier: &Verifier, e: &IoError, hung_up: EncryptionKind) -> SqlError {
    let encryption = |kind| SqlError::Encryption {
        server: server.to_owned(),
        kind,
        detail: e.to_string(),
    };
    if let Some(presented) = verifier.refused() {
        return SqlError::Certificate {
            server: server.to_owned(),
            presented: Box::new(presented),
            trusted_before: verifier.pin(),
        };
    }
    match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => encryption(EncryptionKind::WeakCertificate),
        Some(rustls::Error::InvalidMessage(_)) => SqlError::NotSqlServer {
            server: server.to_owned(),
            detail: e.to_string(),
        },
        Some(_) => encryption(EncryptionKind::Outdated),
        None => encryption(hung_up),
    }
}

fn failure(server: &str, e: tiberius::error::Error) -> SqlError {
    let server = server.to_owned();
    match e {
        tiberius::error::Error::Server(e) => SqlError::Statement {
            number: e.code(),
            state: e.state(),
            class: e.class(),
            line: e.line(),
            procedure: e.procedure().to_owned(),
            message: e.message().to_owned(),
            server,
        },
        tiberius::error::Error::Io { message, .. } => SqlError::Broken {
            server,
            detail: message,
        },
        other => SqlError::Protocol {
            server,
            detail: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_browsers_answer() {
        let answer = |text: &str| [&[5, text.len() as u8, 0][..], text.as_bytes()].concat();
        let whole =
            "ServerName;SQLVM;InstanceName;X;IsClustered;No;Version;13.0.6300.0;np;\\\\SQLVM\\pipe\\x;tcp;50123;;";
        assert_eq!(instance_port(&answer(whole)), Some(50123));
        assert_eq!(instance_port(&answer("ServerName;SQLVM;InstanceName;X;;")), None);
        assert_eq!(instance_port(b"\x05"), None);
    }
}
