//! Servers for tests: our own lab, and VMware's simulator with a certificate of its own, stopped afterwards.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use lab::{Lab, Options};
use plan::design::{Proxy, VCenterConnection};
use plan::{Exchange, Trace};
use secrets::Secret;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vsphere::{VCenter, VsphereError};

pub const USER: &str = "administrator@vsphere.local";
pub const PASSWORD: &str = "canary-Pa55&<word>";

/// Our own lab without people, and the client signed in to it. `speed`: lab seconds in a second.
pub async fn lab(speed: u32) -> (Lab, VCenterConnection, VCenter, Arc<Recorder>) {
    let options = Options {
        people: false,
        speed,
        ..Options::default()
    };
    let lab = Lab::start(options).await.expect("a lab");
    let a = lab.addresses();
    let connection = VCenterConnection {
        url: a.vcenter,
        user: a.vcenter_user,
        thumbprint: a.vcenter_thumbprint,
        ..VCenterConnection::default()
    };
    let recorder = Arc::new(Recorder::default());
    let vcenter = connect(&connection, &a.vcenter_password, recorder.clone())
        .await
        .expect("signed in");
    (lab, connection, vcenter, recorder)
}

/// A running simulator.
pub struct Vcsim {
    child: Child,
    /// `https://127.0.0.1:PORT/sdk`
    pub url: String,
    /// SHA-256 of its certificate.
    pub thumbprint: String,
    _files: tempfile::TempDir,
}

impl Vcsim {
    /// Starts one with flags such as `-vm 200`; see tests/vcsim/main.go.
    pub fn start(flags: &[&str]) -> Vcsim {
        let program = std::env::var_os("REHOST_VCSIM").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/vcsim")),
            PathBuf::from,
        );
        assert!(
            program.is_file(),
            "VMware's simulator is missing at {}: run cargo xtask test",
            program.display()
        );
        let files = tempfile::tempdir().expect("a temporary folder");
        let identity = identity("vcsim.contoso.com");
        let (cert, private) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        std::fs::write(&cert, identity.pem).expect("the certificate's file");
        std::fs::write(&private, identity.key_pem).expect("the key's file");

        let mut child = Command::new(&program)
            .arg("-tlscert")
            .arg(&cert)
            .arg("-tlskey")
            .arg(&private)
            .args(["-username", USER, "-password", PASSWORD])
            .args(flags)
            // The simulator ends when its input closes, so that it never outlives a killed test.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let url = lines
            .find_map(|l| l.ok()?.strip_prefix("ready ").map(str::to_owned))
            .expect("the simulator is ready");
        Vcsim {
            child,
            url,
            thumbprint: identity.thumbprint,
            _files: files,
        }
    }

    pub fn connection(&self) -> VCenterConnection {
        VCenterConnection {
            url: self.url.clone(),
            user: USER.into(),
            thumbprint: self.thumbprint.clone(),
            proxy: Proxy::System,
        }
    }

    pub async fn sign_in(&self) -> (VCenter, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let vcenter = connect(&self.connection(), PASSWORD, recorder.clone())
            .await
            .expect("signed in");
        (vcenter, recorder)
    }
}

impl Drop for Vcsim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate of a server's own.
pub struct Identity {
    pub pem: String,
    pub key_pem: String,
    /// SHA-256.
    pub thumbprint: String,
    pub config: Arc<rustls::ServerConfig>,
}

pub fn identity(name: &str) -> Identity {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a certificate");
    let thumbprint: Vec<String> = Sha256::digest(certificate.der())
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate");
    Identity {
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        thumbprint: thumbprint.join(":"),
        config: Arc::new(config),
    }
}

pub async fn connect(
    connection: &VCenterConnection,
    password: &str,
    recorder: Arc<Recorder>,
) -> Result<VCenter, VsphereError> {
    VCenter::connect(connection, &Secret::from(password), recorder).await
}

/// Keeps every exchange.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Exchange>>);

impl Trace for Recorder {
    fn record(&self, exchange: Exchange) {
        self.0.lock().expect("the record").push(exchange);
    }
}

impl Recorder {
    pub fn methods(&self) -> Vec<String> {
        self.0
            .lock()
            .expect("the record")
            .iter()
            .map(|e| e.method.clone())
            .collect()
    }

    pub fn count(&self, method: &str) -> usize {
        self.methods().iter().filter(|m| *m == method).count()
    }

    /// Everything that was recorded, as one text.
    pub fn text(&self) -> String {
        format!("{:?}", self.0.lock().expect("the record"))
    }
}

/// A proxy (`CONNECT`) that can be closed: it then cuts what goes through it, and refuses.
pub struct Gate {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    state: Arc<GateState>,
}

struct GateState {
    server: String,
    /// `Proxy-Authorization` that it wants.
    wanted: Option<String>,
    open: tokio::sync::watch::Sender<bool>,
    refused: AtomicUsize,
    passed: AtomicUsize,
}

impl Gate {
    /// A gate on the way to a server, `https://127.0.0.1:PORT/sdk`.
    pub async fn open(server: &str) -> Gate {
        Gate::guarded(server, None).await
    }

    /// One that wants this value of `Proxy-Authorization`.
    pub async fn guarded(server: &str, wanted: Option<&str>) -> Gate {
        let server = server
            .trim_start_matches("https://")
            .trim_end_matches("/sdk")
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let state = Arc::new(GateState {
            server,
            wanted: wanted.map(str::to_owned),
            open: tokio::sync::watch::Sender::new(true),
            refused: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
        });
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                tokio::spawn(pass(peer, shared.clone()));
            }
        });
        Gate { url, state }
    }

    pub fn close(&self) {
        self.state.open.send_replace(false);
    }

    pub fn reopen(&self) {
        self.state.open.send_replace(true);
    }

    /// How many connections were refused, and let pass.
    pub fn refused(&self) -> usize {
        self.state.refused.load(SeqCst)
    }

    pub fn passed(&self) -> usize {
        self.state.passed.load(SeqCst)
    }
}

async fn pass(mut peer: TcpStream, gate: Arc<GateState>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match peer.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let allowed = gate.wanted.as_ref().is_none_or(|wanted| {
        head.lines()
            .any(|l| l.eq_ignore_ascii_case(&format!("proxy-authorization: {wanted}")))
    });
    let mut open = gate.open.subscribe();
    if !*open.borrow() || !allowed || !head.starts_with(&format!("CONNECT {} ", gate.server)) {
        gate.refused.fetch_add(1, SeqCst);
        let status = if allowed {
            "403 Forbidden"
        } else {
            "407 Proxy Authentication Required"
        };
        let _ = peer
            .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
            .await;
        return;
    }
    gate.passed.fetch_add(1, SeqCst);
    let Ok(mut server) = TcpStream::connect(&gate.server).await else {
        return;
    };
    if peer
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await
        .is_err()
    {
        return;
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut peer, &mut server) => {}
        _ = open.wait_for(|open| !*open) => {}
    }
}
