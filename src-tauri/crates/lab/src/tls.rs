//! TLS on the loopback interface: the lab's own certificate authority and a listener for axum whose connections can be cut,
//! because a client must survive a request that was carried out but never answered.

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::LabError;

/// The lab's certificate authority; it lives as long as the process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A server's certificate, ready for use.
pub struct Identity {
    pub config: Arc<rustls::ServerConfig>,
    /// SHA-256 of the certificate, upper-case hex with colons, as VMware's tools show it.
    pub thumbprint: String,
}

/// A SQL Server's certificate for its two ways of speaking TLS.
pub struct SqlIdentity {
    /// Inside of TDS, up to 7.4: no version above 1.2 is specified for it.
    pub inside: Arc<rustls::ServerConfig>,
    /// Around TDS 8.
    pub strict: Arc<rustls::ServerConfig>,
    pub thumbprint: String,
}

impl Authority {
    pub fn new() -> Result<Authority, LabError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Rehost lab certificate authority");
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Issues a certificate for `name`, localhost and 127.0.0.1.
    pub fn issue(&self, name: &str) -> Result<Identity, LabError> {
        let (certificate, key) = self.signed(name)?;
        let thumbprint = thumbprint(&certificate);
        let config = config(certificate, key, rustls::DEFAULT_VERSIONS, Some(b"http/1.1"))?;
        Ok(Identity { config, thumbprint })
    }

    /// Issues a certificate for a SQL Server.
    pub fn issue_sql(&self, name: &str) -> Result<SqlIdentity, LabError> {
        let (certificate, key) = self.signed(name)?;
        Ok(SqlIdentity {
            thumbprint: thumbprint(&certificate),
            inside: config(certificate.clone(), key.clone_key(), &[&rustls::version::TLS12], None)?,
            strict: config(certificate, key, rustls::DEFAULT_VERSIONS, Some(b"tds/8.0"))?,
        })
    }

    fn signed(&self, name: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), LabError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Strict clients (Python since 3.13) want to read which authority signed it.
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok((certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

fn thumbprint(certificate: &CertificateDer) -> String {
    let digest = Sha256::digest(certificate.as_ref());
    digest.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

fn config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocol: Option<&[u8]>,
) -> Result<Arc<rustls::ServerConfig>, LabError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Arc::new(config))
}

/// Accepts TCP and TLS in the background, so that a slow handshake holds nobody up.
pub struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(Stream, SocketAddr)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsListener {
    /// Binds `127.0.0.1:port` (0 = any free one).
    pub async fn bind(
        service: &'static str,
        port: u16,
        config: Arc<rustls::ServerConfig>,
    ) -> Result<TlsListener, LabError> {
        let tcp = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => LabError::PortInUse { service, port },
                _ => LabError::Bind { service, port, source },
            })?;
        let local = tcp
            .local_addr()
            .map_err(|source| LabError::Bind { service, port, source })?;
        let (send, ready) = mpsc::channel(64);
        let acceptor = TlsAcceptor::from(config);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, peer)) = tcp.accept().await else {
                    // Out of file handles or a connection that broke at once: give others a moment to close theirs.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let (acceptor, send) = (acceptor.clone(), send.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await {
                        Ok(Ok(tls)) => {
                            let _ = send
                                .send((
                                    Stream {
                                        tls,
                                        conn: Conn::default(),
                                    },
                                    peer,
                                ))
                                .await;
                        }
                        Ok(Err(e)) => tracing::debug!(service, error = %e, "TLS handshake failed"),
                        Err(_) => tracing::debug!(service, "TLS handshake timed out"),
                    }
                });
            }
        });
        Ok(TlsListener {
            local,
            ready,
            accepting,
        })
    }

    pub fn port(&self) -> u16 {
        self.local.port()
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// A handle to cut a connection: whatever is written afterwards never reaches the client.
#[derive(Debug, Clone, Default)]
pub struct Conn(Arc<AtomicBool>);

impl Conn {
    pub fn cut(&self) {
        self.0.store(true, SeqCst);
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Conn {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Conn {
        stream.io().conn.clone()
    }
}

pub struct Stream {
    tls: TlsStream<TcpStream>,
    conn: Conn,
}

impl Stream {
    fn check(&self) -> io::Result<()> {
        if self.conn.0.load(SeqCst) {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
