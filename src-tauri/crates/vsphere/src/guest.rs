//! Work inside a machine by way of VMware Tools: no network path to the guest and no agent are needed.
//!
//! A script goes into a temporary directory of the guest, a program runs it, its output is fetched from a file beside it, and
//! the directory is removed, also after a failure. Files don't travel over the session: vCenter hands out an address with a
//! ticket in it, at itself (`*`) or at the machine's ESXi host. There the certificate must be the one that vCenter knows the
//! host by, and the session is never sent.
//!
//! WinRM as a second way was left out. `winrm-rs` 1.1.2, the last for this compiler, trusts the public authorities or
//! everybody and can't pin a certificate, sends the first NTLM message unencrypted, and installs `ring` for the whole
//! process; Windows without its own certificate for WinRM, the usual case, could be reached only without trust. Where guest
//! operations don't work, a person runs the script and pastes its output.

use crate::error::VsphereError;
use crate::properties::VM;
use crate::session::{VCenter, renewing};
use crate::soap::{Call, Endpoint, Record, failure};
use crate::xml::{Node, escape};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use plan::Exchange;
use reqwest::Method;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrets::Secret;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;
use trust::{Trust, Verifier};
use url::Url;

/// Of an output; more is not read.
const MAX_FILE: usize = 1 << 20;
/// A program is looked at soon after its start, then less and less often.
const FIRST_LOOK: SignedDuration = SignedDuration::from_millis(250);
const LAST_LOOK: SignedDuration = SignedDuration::from_secs(5);
const POWERSHELL: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";

/// An account of the guest's operating system.
#[derive(Debug, Clone)]
pub struct GuestAccount {
    /// `CONTOSO\admin`, `root`
    pub user: String,
    pub password: Secret<String>,
}

/// What runs a script in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Windows PowerShell 2.0 and later.
    PowerShell,
    /// `/bin/sh`
    Sh,
}

/// A script that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestRun {
    pub exit_code: i32,
    /// What it printed, errors included.
    pub output: String,
}

/// The managers of guest operations.
struct Managers {
    auth: String,
    file: String,
    process: String,
}

/// One machine with who works in it.
struct Guest<'a> {
    vcenter: &'a VCenter,
    managers: Managers,
    moref: &'a str,
    account: &'a GuestAccount,
}

impl VCenter {
    /// Runs a script in a guest to its end, however long that takes, and returns what it printed. It is started once.
    ///
    /// # Errors
    /// Faults `InvalidGuestLogin`, `GuestOperationsUnavailable`, `GuestPermissionDenied` and others of the guest;
    /// [`VsphereError::NoPermission`] without the privileges `VirtualMachine.GuestOperations.*`;
    /// [`VsphereError::GuestTransfer`] when the ESXi host that hands over files can't be reached.
    pub async fn run_in_guest(
        &self,
        moref: &str,
        account: &GuestAccount,
        shell: Shell,
        script: &str,
    ) -> Result<GuestRun, VsphereError> {
        let guest = self.guest(moref, account).await?;
        guest.validate().await?;
        let directory = guest.create_directory().await?;
        let outcome = guest.run(&directory, shell, script).await;
        if let Err(e) = guest.delete_directory(&directory).await {
            tracing::warn!(error = %e, moref, directory, "a temporary directory stays in the guest");
        }
        outcome
    }

    async fn guest<'a>(&'a self, moref: &'a str, account: &'a GuestAccount) -> Result<Guest<'a>, VsphereError> {
        let kind = "GuestOperationsManager";
        let manager = self.content().guest_operations_manager.as_str();
        let paths = ["authManager", "fileManager", "processManager"];
        let read = renewing!(self, self.retrieve_one(kind, manager, &paths))?;
        let of = |path: &str| read.owned(path).ok_or_else(|| self.missing(path, manager));
        Ok(Guest {
            managers: Managers {
                auth: of("authManager")?,
                file: of("fileManager")?,
                process: of("processManager")?,
            },
            vcenter: self,
            moref,
            account,
        })
    }

    /// The certificate by which vCenter knows a machine's host, as its SHA-256.
    async fn host_certificate(&self, moref: &str) -> Result<Option<[u8; 32]>, VsphereError> {
        let machine = renewing!(self, self.retrieve_one(VM, moref, &["runtime.host"]))?;
        let Some(host) = machine.text("runtime.host") else {
            return Ok(None);
        };
        let read = renewing!(self, self.retrieve_one("HostSystem", host, &["config.certificate"]))?;
        let pem = read.node("config.certificate").and_then(bytes);
        let der = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
        Ok(der.map(|der| Sha256::digest(&der).into()))
    }
}

/// An array of bytes: an element with a number from -128 to 127 for each, or one with the whole text.
fn bytes(node: &Node) -> Option<Vec<u8>> {
    if let [only] = &*node.children
        && only.text.len() > 4
    {
        return Some(only.text.as_bytes().to_vec());
    }
    let numbers = node.children.iter().map(|b| b.text.parse::<i8>().ok());
    numbers.map(|n| n.map(i8::cast_unsigned)).collect()
}

/// Quotes a path for PowerShell or a shell.
fn quoted(shell: Shell, path: &str) -> String {
    match shell {
        Shell::PowerShell => plan::scripts::ps(path),
        Shell::Sh => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

impl Guest<'_> {
    fn call(&self, method: &'static str, manager: (&str, &str)) -> Call {
        let auth = |password: &str| {
            format!(
                "<auth xsi:type=\"NamePasswordAuthentication\"><interactiveSession>false</interactiveSession>\
                 <username>{}</username><password>{}</password></auth>",
                escape(&self.account.user),
                escape(password)
            )
        };
        Call::new(method, manager)
            .reference("vm", (VM, self.moref))
            .hidden(&auth(self.account.password.expose()), &auth("(removed)"))
    }

    fn files(&self, method: &'static str) -> Call {
        self.call(method, ("GuestFileManager", &self.managers.file))
    }

    fn processes(&self, method: &'static str) -> Call {
        self.call(method, ("GuestProcessManager", &self.managers.process))
    }

    async fn validate(&self) -> Result<(), VsphereError> {
        let call = self.call("ValidateCredentialsInGuest", ("GuestAuthManager", &self.managers.auth));
        renewing!(self.vcenter, self.vcenter.send(&call)).map(drop)
    }

    async fn create_directory(&self) -> Result<String, VsphereError> {
        let call = self.files("CreateTemporaryDirectoryInGuest");
        let call = call.arg("prefix", "rehost").arg("suffix", "");
        self.text(&call).await
    }

    async fn delete_directory(&self, path: &str) -> Result<(), VsphereError> {
        let call = self.files("DeleteDirectoryInGuest");
        let call = call.arg("directoryPath", path).arg("recursive", true);
        self.vcenter.change(&call).await.map(drop)
    }

    /// A change that answers with a text.
    async fn text(&self, call: &Call) -> Result<String, VsphereError> {
        let answer = self.vcenter.change(call).await?;
        answer
            .text_of("returnval")
            .map(str::to_owned)
            .ok_or_else(|| self.unreadable(call.method, "nothing came back"))
    }

    fn unreadable(&self, method: &str, detail: &str) -> VsphereError {
        VsphereError::Parse {
            server: self.vcenter.server().to_owned(),
            method: method.to_owned(),
            detail: detail.to_owned(),
        }
    }

    async fn run(&self, directory: &str, shell: Shell, script: &str) -> Result<GuestRun, VsphereError> {
        let separator = if shell == Shell::PowerShell { '\\' } else { '/' };
        let [file, out] = ["script", "output"].map(|name| format!("{directory}{separator}{name}"));
        let (in_file, program, arguments) = match shell {
            // Encoded, and read from the file: no policy about script files stands in the way, and nothing is quoted twice.
            Shell::PowerShell => {
                let command = format!(
                    "$c = 0; $o = @(); try {{ & ([ScriptBlock]::Create([IO.File]::ReadAllText({}))) 2>&1 | \
                     ForEach-Object {{ $o += \"$_\" }} }} catch {{ $o += \"$_\"; $c = 1 }}; \
                     [IO.File]::WriteAllText({}, ($o -join \"`r`n\")); exit $c",
                    quoted(shell, &file),
                    quoted(shell, &out)
                );
                let utf16: Vec<u8> = command.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let encoded = STANDARD.encode(utf16);
                let options = "-NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand";
                (script.to_owned(), POWERSHELL, format!("{options} {encoded}"))
            }
            Shell::Sh => (
                format!("exec >{} 2>&1\n{script}", quoted(shell, &out)),
                "/bin/sh",
                quoted(shell, &file),
            ),
        };
        self.put(&file, in_file).await?;
        let exit_code = self.wait(self.start(program, &arguments).await?).await?;
        let output = self.get(&out).await?;
        Ok(GuestRun { exit_code, output })
    }

    async fn start(&self, program: &str, arguments: &str) -> Result<i64, VsphereError> {
        let call = self.processes("StartProgramInGuest").xml(&format!(
            "<spec xsi:type=\"GuestProgramSpec\"><programPath>{}</programPath><arguments>{}</arguments></spec>",
            escape(program),
            escape(arguments)
        ));
        let pid = self.text(&call).await?;
        pid.parse()
            .map_err(|_| self.unreadable(call.method, "the process id is no number"))
    }

    /// Waits until a process has ended; its exit code. The guest remembers it for five minutes.
    async fn wait(&self, pid: i64) -> Result<i32, VsphereError> {
        let call = self.processes("ListProcessesInGuest").arg("pids", pid);
        let time = self.vcenter.time();
        let mut pause = FIRST_LOOK;
        loop {
            time.sleep_until(time.now() + pause).await;
            pause = (pause * 2).min(LAST_LOOK);
            let answer = renewing!(self.vcenter, self.vcenter.send(&call))?;
            let process = answer
                .all("returnval")
                .find(|p| p.text_of("pid").and_then(|t| t.parse().ok()) == Some(pid));
            let Some(process) = process else {
                return Err(VsphereError::Fault {
                    method: call.method.into(),
                    kind: "GuestProcessNotFound".into(),
                    message: format!("The guest knows nothing of process {pid} any more."),
                });
            };
            if process.text_of("endTime").is_some() {
                // A server that is written in Go leaves zeros out.
                let code = process.text_of("exitCode").unwrap_or("0");
                return code
                    .parse()
                    .map_err(|_| self.unreadable(call.method, "the exit code is no number"));
            }
        }
    }

    async fn put(&self, path: &str, content: String) -> Result<(), VsphereError> {
        let call = self
            .files("InitiateFileTransferToGuest")
            .arg("guestFilePath", path)
            .xml("<fileAttributes xsi:type=\"GuestFileAttributes\"/>")
            .arg("fileSize", content.len())
            .arg("overwrite", true)
            .record(Record::NoAnswer);
        let address = self.text(&call).await?;
        self.transfer(Method::PUT, &address, content).await.map(drop)
    }

    async fn get(&self, path: &str) -> Result<String, VsphereError> {
        let call = self
            .files("InitiateFileTransferFromGuest")
            .arg("guestFilePath", path)
            .record(Record::NoAnswer);
        let answer = renewing!(self.vcenter, self.vcenter.send(&call))?;
        let address = answer.at(&["returnval", "url"]).map(|u| u.text.clone());
        let address = address.ok_or_else(|| self.unreadable(call.method, "no address came back"))?;
        self.transfer(Method::GET, &address, String::new()).await
    }

    /// Moves a file to or from the address that the server has given. The address is a key to the file: no error and no
    /// record repeats what is behind its path.
    async fn transfer(&self, method: Method, address: &str, content: String) -> Result<String, VsphereError> {
        let (endpoint, verifier, http) = self.way(address).await?;
        let (at, begun) = (Timestamp::now(), Instant::now());
        let mut shown = endpoint.url.clone();
        shown.set_query(None);
        let recorded = (method == Method::PUT).then(|| content.clone());
        let outcome = async {
            let request = http.request(method.clone(), endpoint.url.clone()).body(content);
            let mut response = match request.send().await {
                Ok(response) => response,
                Err(e) => return Err(failure(&endpoint, &verifier, "the guest's file", &e).await),
            };
            let status = response.status().as_u16();
            if status != 200 {
                return Err(VsphereError::Http {
                    server: endpoint.server.clone(),
                    method: format!("{method} of a guest's file"),
                    status,
                });
            }
            let mut body = Vec::new();
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) if body.len() + chunk.len() > MAX_FILE => {
                        return Err(self.unreadable("the guest's file", "it is larger than 1 MiB"));
                    }
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => return Ok(String::from_utf8_lossy(&body).into_owned()),
                    Err(e) => return Err(failure(&endpoint, &verifier, "the guest's file", &e).await),
                }
            }
        }
        .await;
        let outcome = outcome.map_err(|e| VsphereError::GuestTransfer {
            host: endpoint.server.clone(),
            source: Box::new(e),
        });
        self.vcenter.record(Exchange {
            at,
            system: "vsphere".into(),
            method: method.to_string(),
            url: shown.to_string(),
            status: outcome.is_ok().then_some(200),
            millis: begun.elapsed().as_millis() as u64,
            request_headers: vec![],
            request_body: recorded,
            response_headers: vec![],
            response_body: outcome.as_ref().ok().cloned(),
            error: outcome.as_ref().err().map(ToString::to_string),
            correlation_id: None,
        });
        outcome
    }

    /// The way to a file's address: the connection's own, or one that trusts the machine's ESXi host and nobody else.
    async fn way(&self, address: &str) -> Result<(Endpoint, Arc<Verifier>, reqwest::Client), VsphereError> {
        let (own, verifier, http) = self.vcenter.way();
        // `*` is no host name: it stands for the server that was asked.
        let whole = address.replacen("//*", "//host.invalid", 1);
        let wrong = || self.unreadable("the guest's file", "its address is no https address");
        let mut url = Url::parse(&whole).map_err(|_| wrong())?;
        if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        if whole != address {
            url.set_host(own.url.host_str()).map_err(|_| wrong())?;
            url.set_port(own.url.port()).map_err(|()| wrong())?;
        }
        if url.host_str() == own.url.host_str() {
            let endpoint = Endpoint { url, ..own.clone() };
            return Ok((endpoint, verifier.clone(), http.clone()));
        }
        let host = url.host_str().unwrap_or_default();
        let server = url.port().map_or_else(|| host.to_owned(), |p| format!("{host}:{p}"));
        let Some(pin) = self.vcenter.host_certificate(self.moref).await? else {
            return Err(VsphereError::GuestTransfer {
                source: Box::new(VsphereError::Config(
                    "vCenter does not tell this host's certificate, so nothing was sent there.".into(),
                )),
                host: server,
            });
        };
        let endpoint = Endpoint {
            url,
            server,
            via: own.via.clone(),
        };
        let verifier = endpoint.verifier(Trust::Pin(pin));
        let http = endpoint.client(&verifier)?;
        Ok((endpoint, verifier, http))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_their_shell() {
        assert_eq!(quoted(Shell::PowerShell, r"C:\it's"), r"'C:\it''s'");
        assert_eq!(quoted(Shell::Sh, "/tmp/it's $(x)"), r"'/tmp/it'\''s $(x)'");
    }

    #[test]
    fn bytes_are_read_signed_or_as_text() {
        let node = |text: &str| Node {
            text: text.into(),
            ..Node::default()
        };
        let list = Node {
            children: vec![node("45"), node("-1")],
            ..Node::default()
        };
        assert_eq!(bytes(&list), Some(vec![45, 255]));
        let text = Node {
            children: vec![node("-----BEGIN")],
            ..Node::default()
        };
        assert_eq!(bytes(&text), Some(b"-----BEGIN".to_vec()));
        let bad = Node {
            children: vec![node("300")],
            ..Node::default()
        };
        assert_eq!(bytes(&bad), None);
    }
}
