//! The little of Blob Storage that a migration needs: what is in a container, and what a SAS may do there.

use crate::{
    ApiError, Arm, AzureError, clouds,
    error::Origin,
    sas,
    transport::{self, Answer, Call, http_date},
};
use bytes::Bytes;
use jiff::Timestamp;
use plan::Trace;
use reqwest::Method;
use secrets::Secret;
use serde::Deserialize;
use std::{collections::HashSet, sync::Arc};
use url::Url;
use uuid::Uuid;

/// A client of blob services, authorised by a SAS for each call. Shares connections and redaction with its [`Arm`]; no
/// token goes this way.
#[derive(Debug, Clone)]
pub struct Blobs {
    arm: Arm,
}

/// A blob in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobItem {
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub last_modified: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    blobs: BlobList,
    #[serde(default)]
    next_marker: Option<String>,
}

#[derive(Deserialize)]
struct BlobList {
    #[serde(rename = "Blob", default)]
    blobs: Vec<BlobEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlobEntry {
    name: BlobName,
    properties: BlobProperties,
}

#[derive(Deserialize)]
struct BlobName {
    /// Names with characters that XML can't hold are percent-encoded.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct BlobProperties {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    last_modified: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StorageError {
    code: String,
    #[serde(default)]
    message: String,
}

impl Blobs {
    /// Prepares a client. No I/O.
    pub fn new(arm: &Arm) -> Self {
        Self { arm: arm.clone() }
    }

    /// Returns the same client, whose exchanges go to `trace`.
    #[must_use]
    pub fn traced(&self, trace: Arc<dyn Trace>) -> Self {
        Self {
            arm: self.arm.traced(trace),
        }
    }

    /// Lists the blobs of a container, or of a folder in it (`container/folder`), by their names below it, whose names
    /// start with `prefix` (empty = all), page by page.
    ///
    /// # Errors
    /// Fails when the service refuses (403: what the SAS allows) or can't be understood.
    pub async fn list(
        &self,
        account: &str,
        container: &str,
        prefix: &str,
        sas: &Secret<String>,
    ) -> Result<Vec<BlobItem>, AzureError> {
        let (container, folder) = container.split_once('/').unwrap_or((container, ""));
        let folder = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let prefix = format!("{folder}{prefix}");
        let mut all: Vec<BlobItem> = Vec::new();
        let mut marker: Option<String> = None;
        let mut seen = HashSet::new();
        loop {
            let mut url = self.url(account, &[container], sas)?;
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("restype", "container").append_pair("comp", "list");
                if !prefix.is_empty() {
                    query.append_pair("prefix", &prefix);
                }
                if let Some(marker) = &marker {
                    query.append_pair("marker", marker);
                }
            }
            let answer = self.send(Method::GET, url.clone(), sas, &[], None).await?;
            let page = self.judged("GET", &url, &answer, |origin| {
                if !answer.is_success() {
                    return Err(refusal(&answer, origin));
                }
                let text = std::str::from_utf8(&answer.body)
                    .unwrap_or_default()
                    .trim_start_matches('\u{feff}');
                let page: Listing = quick_xml::de::from_str(text).map_err(|e| {
                    origin.parse_error(String::new(), format!("the answer is not a list of blobs: {e}"))
                })?;
                let blobs = page
                    .blobs
                    .blobs
                    .into_iter()
                    .map(|b| b.item(origin))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok((blobs, page.next_marker.filter(|m| !m.is_empty())))
            })?;
            all.extend(page.0.into_iter().filter_map(|mut b| {
                b.name = b.name.strip_prefix(&folder)?.to_owned();
                Some(b)
            }));
            match page.1 {
                None => return Ok(all),
                Some(next) if seen.insert(next.clone()) => marker = Some(next),
                Some(_) => {
                    return self.judged("GET", &url, &answer, |o| {
                        Err(o.parse_error(
                            "NextMarker".into(),
                            "the list's pages lead back to one that was read already",
                        ))
                    });
                }
            }
        }
    }

    /// Tries to write a block blob: proves what a SAS may (not) do.
    ///
    /// # Errors
    /// Fails with status 403 when the SAS doesn't allow it.
    pub async fn try_put(
        &self,
        account: &str,
        container: &str,
        name: &str,
        bytes: impl Into<Bytes> + Send,
        sas: &Secret<String>,
    ) -> Result<(), AzureError> {
        let url = self.url(account, &[container, name], sas)?;
        let kind = [("x-ms-blob-type", "BlockBlob")];
        let answer = self
            .send(Method::PUT, url.clone(), sas, &kind, Some(bytes.into()))
            .await?;
        self.judged("PUT", &url, &answer, |origin| {
            if answer.is_success() {
                Ok(())
            } else {
                Err(refusal(&answer, origin))
            }
        })
    }

    /// Reads a blob's size and time; none when it is not there.
    ///
    /// # Errors
    /// Fails when the service refuses (403: what the SAS allows) or can't be understood.
    pub async fn head(
        &self,
        account: &str,
        container: &str,
        name: &str,
        sas: &Secret<String>,
    ) -> Result<Option<BlobItem>, AzureError> {
        let url = self.url(account, &[container, name], sas)?;
        let answer = self.send(Method::HEAD, url.clone(), sas, &[], None).await?;
        self.judged("HEAD", &url, &answer, |origin| match answer.status {
            404 => Ok(None),
            200 => {
                let missing = |what: &str| origin.parse_error(what.into(), "the answer lacks this header");
                Ok(Some(BlobItem {
                    name: name.to_owned(),
                    size: answer
                        .header("content-length")
                        .and_then(|l| l.parse().ok())
                        .ok_or_else(|| missing("Content-Length"))?,
                    last_modified: answer
                        .header("last-modified")
                        .and_then(http_date)
                        .ok_or_else(|| missing("Last-Modified"))?,
                }))
            }
            _ => Err(refusal(&answer, origin)),
        })
    }

    /// Reads what an address leads to that brings its own SAS, as Azure hands them out.
    ///
    /// # Errors
    /// Fails when it is no address, and when the service refuses (403: the SAS has expired).
    pub async fn read(&self, address: &Secret<String>) -> Result<Bytes, AzureError> {
        let url = Url::parse(address.expose()).ok().filter(|u| u.scheme() == "https");
        let url = url.ok_or_else(|| AzureError::Config {
            field: "blob address".into(),
            message: "Azure's answer holds no valid address".into(),
        })?;
        let sas = Secret::new(url.query().unwrap_or_default().to_owned());
        let answer = self.send(Method::GET, url.clone(), &sas, &[], None).await?;
        self.judged("GET", &url, &answer, |origin| {
            if answer.is_success() {
                Ok(answer.body.clone())
            } else {
                Err(refusal(&answer, origin))
            }
        })
    }

    pub(crate) fn url(&self, account: &str, path: &[&str], sas: &Secret<String>) -> Result<Url, AzureError> {
        let mut url = clouds::blob_service(self.arm.connection(), account)?;
        url.path_segments_mut()
            .map_err(|()| AzureError::Config {
                field: "blob address".into(),
                message: "it has no path".into(),
            })?
            .pop_if_empty()
            .extend(path.iter().flat_map(|p| p.split('/')));
        url.set_query(Some(sas.expose().trim_start_matches('?')));
        Ok(url)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        sas: &Secret<String>,
        headers: &[(&'static str, &str)],
        body: Option<Bytes>,
    ) -> Result<Answer, AzureError> {
        for (name, value) in url::form_urlencoded::parse(sas.expose().as_bytes()) {
            if name == "sig" {
                self.arm.known().learn(&value);
            }
        }
        let mut call = Call::new("blob", method, url)
            .header("x-ms-version", sas::VERSION)
            .header("x-ms-client-request-id", &Uuid::new_v4().to_string());
        for (name, value) in headers {
            call = call.header(name, value);
        }
        if let Some(body) = body {
            call = call
                .header("content-type", "application/octet-stream")
                .header("content-length", &body.len().to_string());
            call.body = Some(body);
        }
        transport::send(self.arm.http(), call, self.arm.known(), self.arm.trace()).await
    }

    pub(crate) fn judged<T>(
        &self,
        method: &str,
        url: &Url,
        answer: &Answer,
        judge: impl FnOnce(&Origin<'_>) -> Result<T, AzureError>,
    ) -> Result<T, AzureError> {
        let named = answer.header("x-ms-request-id").unwrap_or(self.arm.correlation());
        judge(&Origin {
            method,
            url,
            known: self.arm.known(),
        })
        .map_err(|e| e.correlated(named))
    }
}

impl BlobEntry {
    fn item(self, origin: &Origin<'_>) -> Result<BlobItem, AzureError> {
        let name = if self.name.encoded {
            percent_encoding::percent_decode_str(&self.name.text)
                .decode_utf8_lossy()
                .into_owned()
        } else {
            self.name.text
        };
        let last_modified = http_date(&self.properties.last_modified)
            .ok_or_else(|| origin.parse_error("Last-Modified".into(), "the blob's time is no date"))?;
        Ok(BlobItem {
            name,
            size: self.properties.size,
            last_modified,
        })
    }
}

/// Blob services refuse in XML, and name the code in a header too (a HEAD has no body).
pub(crate) fn refusal(answer: &Answer, origin: &Origin<'_>) -> AzureError {
    let text = std::str::from_utf8(&answer.body)
        .unwrap_or_default()
        .trim_start_matches('\u{feff}');
    let stated: Option<StorageError> = quick_xml::de::from_str(text).ok();
    let header = answer.header("x-ms-error-code").map(str::to_owned);
    match (stated, header) {
        (None, None) if !answer.body.is_empty() => origin.refusal(answer),
        (stated, header) => {
            let (code, message) = stated.map_or((None, String::new()), |s| (Some(s.code), s.message));
            AzureError::Api(Box::new(ApiError {
                status: answer.status,
                code: code
                    .or(header)
                    .unwrap_or_else(|| format!("HttpStatus{}", answer.status)),
                message: origin.known.text(message.lines().next().unwrap_or_default()),
                retry_after: answer.retry_after(),
                request_id: answer.header("x-ms-request-id").map(str::to_owned),
                method: origin.method.into(),
                url: origin.shown(),
                ..ApiError::default()
            }))
        }
    }
}
