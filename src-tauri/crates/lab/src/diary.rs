//! The lab's diary: every request that changed something, with the lab time at which it came. The world depends on the
//! requests, the clock and the seed alone, so a lab that is started with the same diary comes back to where it was, and a
//! rehearsal goes on after the program was closed or killed. Time stands still in between.
//!
//! The file holds nothing of a real system: only what was sent to this lab, whose addresses, keys and passwords end here.

use crate::{
    LabError,
    arm::app_config,
    faults::Progress,
    gate::{Gate, Service, Struck},
    onprem::LabSession,
    tds::backups,
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, Uri, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tower::ServiceExt;

/// Version of the file's lines.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    seed: u64,
    /// Base addresses as they stand in the requests' bodies; another process has others.
    bases: Vec<String>,
}

/// One request that changed something.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    at: Timestamp,
    /// The world's number before the request, from which it makes ids.
    next: u64,
    service: Service,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    /// The body when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Otherwise, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    /// Rules of the fault script that struck it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    struck: Vec<usize>,
}

/// A batch that changed something on the managed instance.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub login: String,
    pub database: String,
    pub batch: String,
}

/// A statement that backed up a database of the datacenter, or changed who may use it, when it had its effect.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OnPremises {
    pub at: Timestamp,
    /// Which of the SQL Servers.
    pub place: usize,
    /// Without the SAS of a credential.
    pub sql: String,
}

/// One line after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Change(Box<Entry>),
    Statement(Statement),
    OnPremises(OnPremises),
    /// How the fault script goes.
    Trouble(Progress),
}

impl Entry {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        at: Timestamp,
        next: u64,
        service: Service,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
        struck: &[usize],
    ) -> Self {
        let headers = headers
            .iter()
            .filter(|(k, _)| **k == header::CONTENT_TYPE || k.as_str().starts_with("x-ms-"))
            .filter_map(|(k, v)| Some((k.to_string(), v.to_str().ok()?.to_owned())))
            .collect();
        let (text, bytes) = match std::str::from_utf8(body) {
            Ok(text) => (Some(without_passwords(text)), None),
            Err(_) => (None, Some(STANDARD.encode(body))),
        };
        let uri = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Self {
            at,
            next,
            service,
            method: method.to_string(),
            uri,
            headers,
            text,
            bytes,
            struck: struck.to_vec(),
        }
    }

    fn request(&self) -> Result<Request<Body>, String> {
        let body = match (&self.text, &self.bytes) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(bytes)) => STANDARD.decode(bytes).map_err(|e| e.to_string())?,
            (None, None) => vec![],
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.uri);
        for (k, v) in &self.headers {
            request = request.header(k, v);
        }
        if self.service == Service::VCenter {
            request = request.header(header::COOKIE, format!("vmware_soap_session=\"{SESSION}\""));
        }
        let mut request = request.body(Body::from(body)).map_err(|e| e.to_string())?;
        request.extensions_mut().insert(Struck(self.struck.clone()));
        Ok(request)
    }
}

/// Takes passwords out of a body: the world goes on without them.
fn without_passwords(body: &str) -> String {
    let Ok(mut json) = serde_json::from_str::<Value>(body) else {
        return without_guest_password(body);
    };
    let Some(properties) = json.get_mut("properties") else {
        return body.to_owned();
    };
    if let Some(password) = properties.get_mut("administratorLoginPassword") {
        *password = Value::from("Not-kept-in-the-diary-0");
    }
    for pointer in [
        "/privateBlob",
        "/certPassword",
        "/sourceSqlConnection/password",
        "/backupConfiguration/sourceLocation/fileShare/password",
        "/backupConfiguration/sourceLocation/azureBlob/accountKey",
        "/backupConfiguration/targetLocation/accountKey",
    ] {
        if let Some(secret) = properties.pointer_mut(pointer) {
            *secret = Value::from("Not-kept-in-the-diary-0");
        }
    }
    let protected = properties.get_mut("protectedParameters").and_then(Value::as_array_mut);
    for parameter in protected.into_iter().flatten() {
        let change = parameter["name"] == "Change";
        let Some(value) = parameter.get_mut("value") else {
            continue;
        };
        // Of a connection string, what finds the database; of anything else, nothing.
        let text = value.as_str().unwrap_or_default();
        if change {
            *value = Value::from(app_config::without_passwords(text));
            continue;
        }
        *value = Value::from(database_of(text));
    }
    json.to_string()
}

/// Of a connection string, what finds the database.
pub(crate) fn database_of(text: &str) -> String {
    let kept: Vec<_> = text
        .split(';')
        .filter(|part| {
            let key = part.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            matches!(key.as_str(), "server" | "data source" | "initial catalog" | "database")
        })
        .collect();
    kept.join(";")
}

/// Takes the password of a guest's account out of a call.
fn without_guest_password(body: &str) -> String {
    match (body.find("<password"), body.find("</password>")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}<password>Not-kept-in-the-diary-0{}", &body[..start], &body[end..])
        }
        _ => body.to_owned(),
    }
}

/// Key of the session in which vCenter calls are repeated.
const SESSION: &str = "diary";

/// An open diary.
pub(crate) struct Diary {
    path: PathBuf,
    file: Mutex<File>,
}

impl Diary {
    /// Opens the diary and returns what it holds, rebased to this lab's addresses; makes a new one when there is none.
    pub fn open(path: &Path, seed: u64, bases: Vec<String>) -> Result<(Self, Vec<Line>), LabError> {
        let disk = |source| LabError::Diary {
            path: path.display().to_string(),
            source,
        };
        let unreadable = |why: String| disk(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        let mut entries = Vec::new();
        match fs::read_to_string(path) {
            Ok(text) => {
                let mut lines = text.lines();
                let head: Head =
                    serde_json::from_str(lines.next().unwrap_or_default()).map_err(|e| unreadable(e.to_string()))?;
                if head.format != FORMAT || head.seed != seed || head.bases.len() != bases.len() {
                    return Err(unreadable("it belongs to another lab or version".into()));
                }
                for line in lines {
                    // The last line may be cut off by a kill: its request got no answer.
                    let Ok(mut line) = serde_json::from_str::<Line>(line) else {
                        break;
                    };
                    for (old, new) in head.bases.iter().zip(&bases) {
                        match &mut line {
                            Line::Change(entry) => {
                                entry.text = entry.text.take().map(|t| t.replace(old.as_str(), new));
                            }
                            Line::OnPremises(s) => s.sql = s.sql.replace(old.as_str(), new),
                            Line::Statement(_) | Line::Trouble(_) => {}
                        }
                    }
                    entries.push(line);
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(disk(e)),
        }
        let head = Head {
            format: FORMAT,
            seed,
            bases,
        };
        let mut text = serde_json::to_string(&head).map_err(|e| unreadable(e.to_string()))?;
        for entry in &entries {
            text.push('\n');
            text.push_str(&serde_json::to_string(entry).map_err(|e| unreadable(e.to_string()))?);
        }
        text.push('\n');
        let fresh = path.with_extension("rehost-lab-new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(disk)?;
        let file = OpenOptions::new().append(true).open(path).map_err(disk)?;
        Ok((
            Self {
                path: path.to_owned(),
                file: Mutex::new(file),
            },
            entries,
        ))
    }

    /// Writes one request down, before its answer leaves: what the client knows is in the diary.
    pub fn write(&self, entry: &Entry) {
        self.line(entry);
    }

    /// Writes down a batch that changed something on the managed instance.
    pub fn state(&self, statement: &Statement) {
        self.line(statement);
    }

    /// Writes down a statement on a SQL Server of the datacenter.
    pub fn backed_up(&self, statement: &OnPremises) {
        self.line(statement);
    }

    /// Writes down how the fault script goes.
    pub fn note(&self, progress: &Progress) {
        self.line(progress);
    }

    fn line(&self, line: &impl Serialize) {
        let Ok(mut line) = serde_json::to_string(line) else {
            return;
        };
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = file.write_all(line.as_bytes()) {
            tracing::warn!(error = %e, path = %self.path.display(), "the lab's diary can't be written");
        }
    }
}

/// Brings the world to where the entries leave it.
pub(crate) async fn replay(
    gate: &Gate,
    lines: &[Line],
    router: impl Fn(Service) -> Option<Router>,
) -> Result<(), LabError> {
    let failed = |entry: &Entry, why: String| LabError::Replay {
        request: format!("{} {}", entry.method, entry.uri),
        why,
    };
    gate.world().replaying = true;
    let mut progress = None;
    for line in lines {
        let entry = match line {
            Line::Change(entry) => entry,
            Line::Statement(s) => {
                let s = (s.login.clone(), s.database.clone(), s.batch.clone());
                gate.world().managed.later.push(s);
                continue;
            }
            Line::OnPremises(s) => {
                gate.clock.advance_to(s.at);
                backups::repeat(&mut gate.world(), s.place, &s.sql);
                continue;
            }
            Line::Trouble(p) => {
                progress = Some(p.clone());
                continue;
            }
        };
        gate.clock.advance_to(entry.at);
        {
            let mut world = gate.world();
            world.set_number(entry.next);
            let now = world.now();
            let user = "VSPHERE.LOCAL\\Administrator".to_owned();
            world.onprem.sessions.insert(
                SESSION.into(),
                LabSession {
                    user,
                    login: now,
                    last_active: now,
                },
            );
        }
        let router = router(entry.service).ok_or_else(|| failed(entry, "nothing serves it".into()))?;
        let request = entry.request().map_err(|e| failed(entry, e))?;
        let Ok(answer) = router.oneshot(request).await;
        if !answer.status().is_success() {
            return Err(failed(entry, format!("it was answered {}", answer.status())));
        }
    }
    let mut world = gate.world();
    world.replaying = false;
    world.onprem.sessions.remove(SESSION);
    if let Some(progress) = progress {
        world.resume_trouble(progress);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        let body = r#"{"location":"eastus2","properties":{"administratorLoginPassword":"S3cret","protectedParameters":[
            {"name":"c","value":"Server=tcp:mi,1433;Initial Catalog=db;User ID=u;Password=\"S3cret;x\";Encrypt=True;"}]}}"#;
        let kept = without_passwords(body);
        assert!(!kept.contains("S3cret"), "{kept}");
        assert!(kept.contains("Server=tcp:mi,1433;Initial Catalog=db"), "{kept}");
        let upload = r#"{"properties":{"privateBlob":"S3cret+Blob","certPassword":"S3cret-Passw0rd"}}"#;
        assert!(!without_passwords(upload).contains("S3cret"));
        assert_eq!(without_passwords("<xml/>"), "<xml/>");
        let call = "<a><username>u</username><password xsi:type=\"xsd:string\">S3cret</password></a>";
        let kept = without_passwords(call);
        assert_eq!(
            kept,
            "<a><username>u</username><password>Not-kept-in-the-diary-0</password></a>"
        );
    }
}
