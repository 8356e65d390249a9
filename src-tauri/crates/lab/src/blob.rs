//! Blob storage, path style (`/{account}/{container}/{blob}`), for clients that hold a service SAS of a container. The
//! signature is checked with the account's present keys, so regenerating a key ends every SAS made with it.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use std::collections::BTreeMap;

use crate::{
    cloud::{Account, Blob},
    world::{Shared, World},
};

/// The fields of a service SAS; empty = absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sas {
    pub permissions: String,
    pub start: String,
    pub expiry: String,
    pub ip: String,
    pub protocol: String,
    pub version: String,
    /// `c` for a container.
    pub resource: String,
    /// A stored access policy's name.
    pub identifier: String,
}

/// Why a SAS isn't good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SasError {
    Missing,
    Signature,
    NotYetValid,
    Expired,
    Permission,
    Protocol,
}

impl Sas {
    pub fn parse(query: &str) -> (Sas, String) {
        let mut sas = Sas::default();
        let mut signature = String::new();
        for (k, v) in url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes()) {
            let v = v.into_owned();
            match k.as_ref() {
                "sp" => sas.permissions = v,
                "st" => sas.start = v,
                "se" => sas.expiry = v,
                "sip" => sas.ip = v,
                "spr" => sas.protocol = v,
                "sv" => sas.version = v,
                "sr" => sas.resource = v,
                "si" => sas.identifier = v,
                "sig" => signature = v,
                _ => {}
            }
        }
        (sas, signature)
    }

    /// The string to sign of version 2020-12-06 and later: sixteen lines.
    fn signature(&self, account: &str, container: &str, key: &[u8]) -> Option<String> {
        let resource = format!("/blob/{account}/{container}");
        let lines = [
            &self.permissions,
            &self.start,
            &self.expiry,
            &resource,
            &self.identifier,
            &self.ip,
            &self.protocol,
            &self.version,
            &self.resource,
            "",
            "",
            "",
            "",
            "",
            "",
            "",
        ];
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(lines.join("\n").as_bytes());
        Some(STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The token without a leading question mark.
    pub fn sign(&self, account: &str, container: &str, key: &[u8]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (k, v) in [
            ("sv", &self.version),
            ("st", &self.start),
            ("se", &self.expiry),
            ("sr", &self.resource),
            ("sp", &self.permissions),
            ("sip", &self.ip),
            ("spr", &self.protocol),
            ("si", &self.identifier),
        ] {
            if !v.is_empty() {
                query.append_pair(k, v);
            }
        }
        query.append_pair("sig", &self.signature(account, container, key).unwrap_or_default());
        query.finish()
    }
}

/// Checks a SAS for a container: the signature by either present key, and the time.
pub(crate) fn check(world: &World, account: &str, container: &str, token: &str, need: char) -> Result<Sas, SasError> {
    let (sas, signature) = Sas::parse(token);
    if signature.is_empty() {
        return Err(SasError::Missing);
    }
    let signed = (0..2)
        .filter_map(|i| STANDARD.decode(world.cloud.account_key(account, i)?).ok())
        .any(|key| sas.signature(account, container, &key).is_some_and(|s| s == signature));
    if !signed || sas.resource != "c" || !sas.identifier.is_empty() {
        return Err(SasError::Signature);
    }
    let now = world.now();
    if !sas.start.is_empty() && time(&sas.start).is_none_or(|t| t > now) {
        return Err(SasError::NotYetValid);
    }
    if time(&sas.expiry).is_none_or(|t| t <= now) {
        return Err(SasError::Expired);
    }
    if !matches!(sas.protocol.as_str(), "" | "https" | "https,http") {
        return Err(SasError::Protocol);
    }
    if need != ' ' && !sas.permissions.contains(need) {
        return Err(SasError::Permission);
    }
    Ok(sas)
}

/// A SAS time: a full time, one without seconds, or a date.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(t) = text.parse() {
        return Some(t);
    }
    let plain = text.trim_end_matches('Z');
    if let Ok(t) = format!("{plain}:00Z").parse() {
        return Some(t);
    }
    format!("{plain}T00:00:00Z").parse().ok()
}

pub(crate) fn router(world: Shared) -> Router {
    Router::new().fallback(handle).with_state(world)
}

struct Wrong(u16, &'static str, String);

async fn handle(State(world): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let segs: Vec<String> = uri
        .path()
        .trim_start_matches('/')
        .splitn(3, '/')
        .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
        .collect();
    let query = uri.query().unwrap_or("");
    let mut world = world.lock();
    let id = world.new_guid().to_string();
    let date = world.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = serve(&mut world, &method, &segs, query, &headers, &body);
    drop(world);
    let builder = Response::builder()
        .header("x-ms-request-id", &id)
        .header("x-ms-version", "2021-12-02")
        .header(header::DATE, date)
        .header(header::SERVER, "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
    let done = match answer {
        Ok((status, kind, extra, bytes)) => {
            let mut builder = builder.status(status);
            if let Some(kind) = kind {
                builder = builder.header(header::CONTENT_TYPE, kind);
            }
            for (k, v) in extra {
                builder = builder.header(k, v);
            }
            if method == Method::HEAD {
                // The length of what a GET would bring; the body itself stays away.
                builder.header(header::CONTENT_LENGTH, bytes.len()).body(Body::empty())
            } else {
                builder.body(Body::from(bytes))
            }
        }
        Err(Wrong(status, code, message)) => {
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{}\nRequestId:{id}</Message></Error>",
                escape(&message)
            );
            builder
                .status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST))
                .header("x-ms-error-code", code)
                .header(header::CONTENT_TYPE, "application/xml")
                .body(Body::from(xml))
        }
    };
    done.unwrap_or_default()
}

/// A console that asks for a user: a picture of 640 by 480 points, as a bitmap of 8 bits with four colours.
fn sign_in_screen() -> Vec<u8> {
    const WIDTH: i32 = 640;
    const HEIGHT: i32 = 480;
    const COLOURS: [[u8; 4]; 4] = [
        [0x8a, 0x4b, 0x10, 0],
        [0xd8, 0xc2, 0xae, 0],
        [0xff, 0xff, 0xff, 0],
        [0x5e, 0x33, 0x0a, 0],
    ];
    let point = |x: i32, y: i32| -> u8 {
        let (dx, dy) = (x - WIDTH / 2, y - 180);
        let head = dx * dx + (dy + 14) * (dy + 14) < 22 * 22;
        let shoulders = dx * dx + (dy - 46) * (dy - 46) < 40 * 40 && dy < 42;
        match (x, y) {
            _ if dx * dx + dy * dy < 62 * 62 => {
                if head || shoulders {
                    0
                } else {
                    1
                }
            }
            (210..430, 290..322) => {
                if (212..428).contains(&x) && (292..320).contains(&y) {
                    2
                } else {
                    3
                }
            }
            (250..390, 262..270) => 1,
            _ => 0,
        }
    };
    let (head, size) = (54 + 4 * COLOURS.len(), WIDTH.unsigned_abs() * HEIGHT.unsigned_abs());
    let head = u32::try_from(head).unwrap_or_default();
    let mut bytes = b"BM".to_vec();
    let fields = [
        head + size,
        0,
        head,
        40,
        WIDTH.unsigned_abs(),
        HEIGHT.unsigned_abs(),
        1 | 8 << 16,
        0,
        size,
        2835,
        2835,
        4,
        4,
    ];
    bytes.extend(fields.iter().flat_map(|f| f.to_le_bytes()));
    bytes.extend(COLOURS.concat());
    // Rows go upwards.
    bytes.extend(
        (0..HEIGHT)
            .rev()
            .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
            .map(|(x, y)| point(x, y)),
    );
    bytes
}

type Served = (StatusCode, Option<&'static str>, Vec<(&'static str, String)>, Vec<u8>);

fn serve(
    world: &mut World,
    method: &Method,
    segs: &[String],
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Served, Wrong> {
    let params: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let [account, container, ..] = segs else {
        return Err(Wrong(
            400,
            "InvalidUri",
            "The requested URI does not represent any resource on the server.".into(),
        ));
    };
    if account == "bootdiagnostics" {
        let vm = container.strip_suffix(".screenshot.bmp").filter(|_| query == "sig=lab");
        let there = |vm: &str| {
            let scope = format!("/subscriptions/{}", world.cloud.subscription);
            let mut all = world.cloud.of_type(&scope, "Microsoft.Compute/virtualMachines");
            all.any(|v| v["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(vm)))
        };
        return match vm.filter(|vm| there(vm)) {
            Some(_) => Ok((StatusCode::OK, Some("image/bmp"), vec![], sign_in_screen())),
            None => Err(Wrong(404, "BlobNotFound", "The specified blob does not exist.".into())),
        };
    }
    let blob = segs.get(2).map(String::as_str).filter(|s| !s.is_empty());
    if !world.cloud.accounts.contains_key(account) {
        return Err(Wrong(
            404,
            "ResourceNotFound",
            "The specified resource does not exist.".into(),
        ));
    }
    let listing = blob.is_none() && params.get("comp").map(String::as_str) == Some("list");
    let need = match *method {
        Method::GET | Method::HEAD if listing => 'l',
        Method::GET | Method::HEAD => 'r',
        Method::PUT => 'w',
        Method::DELETE => 'd',
        _ => {
            return Err(Wrong(
                405,
                "UnsupportedHttpVerb",
                "The resource doesn't support specified Http Verb.".into(),
            ));
        }
    };
    let sas = check(world, account, container, query, ' ').map_err(|e| {
        let why = match e {
            SasError::Missing => {
                return Wrong(401, "NoAuthenticationInformation", "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.".into());
            }
            SasError::NotYetValid => "Signature not valid in the specified time frame: it starts later.",
            SasError::Expired => "Signature not valid in the specified time frame: it has expired.",
            SasError::Protocol => "The protocol isn't allowed.",
            SasError::Signature | SasError::Permission => "Signature did not match.",
        };
        Wrong(403, "AuthenticationFailed", format!("Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature. {why}"))
    })?;
    // A new blob needs create or write; an existing one write.
    let there = blob.is_some_and(|b| {
        world.cloud.accounts[account]
            .containers
            .get(container)
            .is_some_and(|c| c.contains_key(b))
    });
    let allowed = sas.permissions.contains(need) || (need == 'w' && !there && sas.permissions.contains('c'));
    if !allowed {
        return Err(Wrong(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.".into(),
        ));
    }
    let now = world.now();
    let comp = params.get("comp").map(String::as_str);
    if let (Some(name), Some("block" | "blocklist"), true) = (
        blob,
        comp,
        world.cloud.accounts[account].containers.contains_key(container),
    ) && let Some(account) = world.cloud.accounts.get_mut(account)
    {
        return blocks(account, (container, name), method, &params, headers, body, now);
    }
    let missing = || {
        Wrong(
            404,
            "ContainerNotFound",
            "The specified container does not exist.".into(),
        )
    };
    let blobs = world
        .cloud
        .accounts
        .get_mut(account)
        .and_then(|a| a.containers.get_mut(container))
        .ok_or_else(missing)?;
    let no_blob = || Wrong(404, "BlobNotFound", "The specified blob does not exist.".into());
    match (method, blob) {
        (&Method::GET, None) if listing => Ok((
            StatusCode::OK,
            Some("application/xml"),
            vec![],
            list(account, container, &params, blobs).into_bytes(),
        )),
        (&Method::GET | &Method::HEAD, None) => Ok((
            StatusCode::OK,
            None,
            vec![("x-ms-lease-state", "available".into())],
            vec![],
        )),
        (&Method::GET | &Method::HEAD, Some(name)) => {
            let b = blobs.get(name).ok_or_else(no_blob)?;
            let extra = vec![
                ("x-ms-blob-type", "BlockBlob".into()),
                ("last-modified", http_date(b.modified)),
                ("etag", etag(b)),
            ];
            Ok((StatusCode::OK, Some("application/octet-stream"), extra, b.bytes.clone()))
        }
        (&Method::PUT, Some(name)) => {
            if !headers.contains_key("x-ms-blob-type") {
                return Err(Wrong(
                    400,
                    "MissingRequiredHeader",
                    "An HTTP header that's mandatory for this request is not specified: x-ms-blob-type.".into(),
                ));
            }
            let b = Blob {
                log: (0, 0),
                size: body.len() as u64,
                modified: now,
                bytes: body.to_vec(),
            };
            let extra = vec![("etag", etag(&b)), ("last-modified", http_date(now))];
            blobs.insert(name.to_owned(), b);
            Ok((StatusCode::CREATED, None, extra, vec![]))
        }
        (&Method::DELETE, Some(name)) => {
            blobs.remove(name).ok_or_else(no_blob)?;
            Ok((StatusCode::ACCEPTED, None, vec![], vec![]))
        }
        _ => Err(Wrong(
            400,
            "InvalidUri",
            "The requested URI does not represent any resource on the server.".into(),
        )),
    }
}

/// Put Block, Put Block List, Get Block List.
fn blocks(
    account: &mut Account,
    (container, name): (&str, &str),
    method: &Method,
    params: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Served, Wrong> {
    let there = account.containers.get(container).is_some_and(|c| c.contains_key(name));
    let key = (container.to_owned(), name.to_owned());
    let put = *method == Method::PUT;
    if put && let Some(id) = params.get("blockid") {
        let of = account.blocks.entry(key).or_default();
        of.waiting.insert(id.clone(), body.to_vec());
        return Ok((StatusCode::CREATED, None, vec![], vec![]));
    }
    if !put {
        let Some(of) = account.blocks.get(&key) else {
            return Err(Wrong(404, "BlobNotFound", "The specified blob does not exist.".into()));
        };
        let one = |id: &str, size: usize| format!("<Block><Name>{id}</Name><Size>{size}</Size></Block>");
        let committed: String = of.committed.iter().map(|(id, n)| one(id, *n)).collect();
        let waiting: String = of.waiting.iter().map(|(id, b)| one(id, b.len())).collect();
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks>{committed}</CommittedBlocks><UncommittedBlocks>{waiting}</UncommittedBlocks></BlockList>"
        );
        return Ok((StatusCode::OK, Some("application/xml"), vec![], xml.into_bytes()));
    }
    if there && headers.get("if-none-match").is_some_and(|v| v == "*") {
        return Err(Wrong(
            409,
            "BlobAlreadyExists",
            "The specified blob already exists.".into(),
        ));
    }
    let of = account.blocks.entry(key).or_default();
    let wanted = String::from_utf8_lossy(body);
    let (mut bytes, mut made) = (vec![], vec![]);
    for part in wanted.split("<Uncommitted>").skip(1) {
        let id = part.split('<').next().unwrap_or_default();
        let Some(block) = of.waiting.get(id) else {
            return Err(Wrong(
                400,
                "InvalidBlockList",
                "The specified block list is invalid.".into(),
            ));
        };
        bytes.extend_from_slice(block);
        made.push((id.to_owned(), block.len()));
    }
    of.committed = made;
    of.waiting.clear();
    let b = arrived(bytes, now);
    let extra = vec![("etag", etag(&b)), ("last-modified", http_date(now))];
    if let Some(blobs) = account.containers.get_mut(container) {
        blobs.insert(name.to_owned(), b);
    }
    Ok((StatusCode::CREATED, None, extra, vec![]))
}

/// First line of a backup file of the lab.
const BACKUP: &str = "REHOST LAB BACKUP";

/// What SQL Server writes into a folder of this computer: where the backup begins and ends in the log, and some bytes more,
/// so that there is something to upload.
pub(crate) fn backup_file((from, to): (u64, u64)) -> Vec<u8> {
    let mut bytes = format!("{BACKUP}\n{from} {to}\n").into_bytes();
    bytes.resize(64 << 10, b'.');
    bytes
}

/// A blob that a client has put; a backup file is known by its first lines.
fn arrived(bytes: Vec<u8>, modified: Timestamp) -> Blob {
    let size = bytes.len() as u64;
    let log = bytes
        .strip_prefix(BACKUP.as_bytes())
        .and_then(|rest| std::str::from_utf8(rest.get(1..64)?).ok())
        .and_then(|rest| rest.lines().next()?.split_once(' '))
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    Blob {
        size,
        modified,
        log: log.unwrap_or_default(),
        bytes: if log.is_some() { vec![] } else { bytes },
    }
}

fn list(account: &str, container: &str, params: &BTreeMap<String, String>, blobs: &BTreeMap<String, Blob>) -> String {
    let prefix = params.get("prefix").map_or("", String::as_str);
    let marker = params.get("marker").map_or("", String::as_str);
    let max = params
        .get("maxresults")
        .and_then(|m| m.parse().ok())
        .unwrap_or(5000usize)
        .clamp(1, 5000);
    let mut fitting = blobs
        .iter()
        .filter(|(n, _)| n.starts_with(prefix) && n.as_str() >= marker);
    let mut items = String::new();
    for (name, b) in fitting.by_ref().take(max) {
        items.push_str(&format!(
            "<Blob><Name>{}</Name><Properties><Creation-Time>{t}</Creation-Time><Last-Modified>{t}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties></Blob>",
            escape(name), escape(&etag(b)), b.size, t = http_date(b.modified)
        ));
    }
    let next = fitting.next().map_or(String::new(), |(n, _)| escape(n));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://127.0.0.1/{}\" ContainerName=\"{}\"><Prefix>{}</Prefix><MaxResults>{max}</MaxResults><Blobs>{items}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>",
        utf8_percent_encode(account, NON_ALPHANUMERIC),
        escape(container),
        escape(prefix)
    )
}

fn http_date(t: Timestamp) -> String {
    t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn etag(b: &Blob) -> String {
    format!("\"0x8D{:X}\"", b.modified.as_millisecond())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
