//! Starts VMware's own simulator for a test, with a certificate of its own, and stops it afterwards.
#![allow(dead_code, reason = "not every test binary uses all of it")]

use plan::design::{Proxy, VCenterConnection};
use plan::{Exchange, Trace};
use secrets::Secret;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use vsphere::{VCenter, VsphereError};

pub const USER: &str = "administrator@vsphere.local";
pub const PASSWORD: &str = "canary-Pa55&<word>";

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
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["vcsim.contoso.com".to_owned()]).expect("a name");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "vcsim.contoso.com");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (cert, private) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        std::fs::write(&cert, certificate.pem()).expect("the certificate's file");
        std::fs::write(&private, key.serialize_pem()).expect("the key's file");
        let thumbprint: Vec<String> = Sha256::digest(certificate.der())
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();

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
            thumbprint: thumbprint.join(":"),
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
