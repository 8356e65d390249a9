//! One HTTP request and its whole answer: limits, TLS, proxy, trace. Used by the resource manager's client, by the
//! sign-in and by the blobs, so that all three see the same network.

use crate::{AzureError, NetworkKind, clouds, redact::Known};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use plan::{Exchange, Trace};
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::{
    error::Error as _,
    io,
    time::{Duration, Instant},
};
use url::Url;

/// Azure answers most requests within a second, and a synchronous operation within a minute.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(180);
/// A page of Azure's longest lists has a few MiB. More is not an answer of Azure.
pub(crate) const ANSWER_LIMIT: usize = 32 * 1024 * 1024;

/// Builds the client for a host. Trusts what the operating system trusts, and the authorities in `ca_pem`; goes through
/// the system's proxy, except to this computer itself.
///
/// # Errors
/// Fails when `ca_pem` holds no certificate.
pub(crate) fn client(ca_pem: &str, host: &Url) -> Result<Client, AzureError> {
    let wrong = |message: String| AzureError::Config {
        field: "certificate authority".into(),
        message,
    };
    let mut builder = Client::builder()
        .user_agent(concat!("rehost/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .timeout(REQUEST_LIMIT)
        .redirect(reqwest::redirect::Policy::none());
    if !ca_pem.trim().is_empty() {
        let certificates = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes())
            .map_err(|e| wrong(format!("the text is not a PEM certificate: {e}")))?;
        if certificates.is_empty() {
            return Err(wrong(
                "the text holds no PEM certificate (-----BEGIN CERTIFICATE-----)".into(),
            ));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if clouds::is_loopback(host) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|e| wrong(format!("the HTTPS client could not be prepared: {}", cause(&e))))
}

/// One request.
pub(crate) struct Call {
    /// For the trace: `azure`, `blob`, `entra`.
    pub system: &'static str,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

impl Call {
    pub(crate) fn new(system: &'static str, method: Method, url: Url) -> Self {
        Self {
            system,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// Adds a header. A value that no header can hold is left out; ours are all ASCII.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Seconds of `Retry-After`. A date in it is compared with the server's own clock, when the server names it.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let value = self.header("retry-after")?.trim();
        value.parse().ok().or_else(|| {
            let then = http_date(value)?;
            let now = self.header("date").and_then(http_date).unwrap_or_else(Timestamp::now);
            Some(u64::try_from(then.as_second() - now.as_second()).unwrap_or(0))
        })
    }
}

/// Reads a date of HTTP, `Sat, 21 Nov 2026 19:00:00 GMT`.
pub(crate) fn http_date(value: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(value)
        .ok()
}

/// Sends one request and reads the whole answer, whatever its status.
///
/// # Errors
/// Fails when no whole answer came ([`AzureError::Network`]) or when it is longer than 32 MiB ([`AzureError::Parse`]).
pub(crate) async fn send(
    client: &Client,
    call: Call,
    known: &Known,
    trace: Option<&dyn Trace>,
) -> Result<Answer, AzureError> {
    let at = Timestamp::now();
    let started = Instant::now();
    let shown_url = known.url(&call.url);
    let method = call.method.to_string();
    let mut exchange = trace.map(|_| Exchange {
        at,
        system: call.system.into(),
        method: method.clone(),
        url: shown_url.clone(),
        status: None,
        millis: 0,
        request_headers: known.headers(pairs(&call.headers)),
        request_body: call
            .body
            .as_deref()
            .and_then(|b| known.body(b, content_type(&call.headers))),
        response_headers: vec![],
        response_body: None,
        error: None,
        correlation_id: call
            .headers
            .get("x-ms-correlation-request-id")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned),
    });

    let result = exchanged(client, call, known, &shown_url).await;

    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = result.as_ref().ok().map(|a| a.status);
    tracing::debug!(%method, url = %shown_url, ?status, millis, "exchange");
    if let (Some(trace), Some(mut exchange)) = (trace, exchange.take()) {
        exchange.millis = millis;
        match &result {
            Ok(answer) => {
                exchange.status = Some(answer.status);
                exchange.response_headers = known.headers(pairs(&answer.headers));
                exchange.response_body = known.body(&answer.body, content_type(&answer.headers));
                if let Some(id) = answer
                    .header("x-ms-correlation-request-id")
                    .or(answer.header("x-ms-request-id"))
                {
                    exchange.correlation_id = Some(id.to_owned());
                }
            }
            Err(e) => exchange.error = Some(e.to_string()),
        }
        trace.record(exchange);
    }
    result
}

async fn exchanged(client: &Client, call: Call, known: &Known, shown_url: &str) -> Result<Answer, AzureError> {
    let method = call.method.to_string();
    let host = host_of(&call.url);
    let failed = |e: &reqwest::Error| AzureError::Network {
        kind: kind(e),
        host: host.clone(),
        message: known.text(&cause(e)),
        method: method.clone(),
        url: shown_url.to_owned(),
    };
    let mut request = client.request(call.method, call.url).headers(call.headers);
    if let Some(body) = call.body {
        request = request.body(body);
    }
    let mut response = request.send().await.map_err(|e| failed(&e))?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(AzureError::Parse {
                method,
                url: shown_url.to_owned(),
                path: String::new(),
                message: format!("the answer is longer than {} MiB", ANSWER_LIMIT / 1024 / 1024),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        headers,
        body: body.freeze(),
    })
}

pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
}

/// `host:port` of a URL.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Finds out what failed from the chain of typed causes.
fn kind(error: &reqwest::Error) -> NetworkKind {
    if error.is_timeout() {
        return NetworkKind::Timeout;
    }
    if error.is_dns() {
        return NetworkKind::Dns;
    }
    let mut next = error.source();
    while let Some(e) = next {
        if e.is::<rustls::Error>() {
            return NetworkKind::Tls;
        }
        if let Some(e) = e.downcast_ref::<io::Error>()
            && let Some(kind) = io_kind(e)
        {
            return kind;
        }
        next = e.source();
    }
    NetworkKind::Other
}

/// An I/O error hides what it wraps from `source`, and the TLS connector wraps twice.
fn io_kind(error: &io::Error) -> Option<NetworkKind> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => return Some(NetworkKind::Refused),
        io::ErrorKind::TimedOut => return Some(NetworkKind::Timeout),
        _ => {}
    }
    let inner = error.get_ref()?;
    if inner.is::<rustls::Error>() {
        return Some(NetworkKind::Tls);
    }
    inner.downcast_ref::<io::Error>().and_then(io_kind)
}

/// The innermost cause in the library's words; the outer ones only repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        words = e.to_string();
        next = e.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()))
            .collect();
        Answer {
            status: 202,
            headers,
            body: Bytes::new(),
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_on_the_servers_clock() {
        assert_eq!(answer(&[("retry-after", "17")]).retry_after(), Some(17));
        let date = ("date", "Sat, 21 Nov 2026 19:00:00 GMT");
        assert_eq!(
            answer(&[date, ("retry-after", "Sat, 21 Nov 2026 19:01:30 GMT")]).retry_after(),
            Some(90)
        );
        assert_eq!(
            answer(&[date, ("retry-after", "Sat, 21 Nov 2026 18:00:00 GMT")]).retry_after(),
            Some(0)
        );
        assert_eq!(answer(&[("retry-after", "soon")]).retry_after(), None);
        assert_eq!(answer(&[]).retry_after(), None);
    }

    #[test]
    fn a_bad_authority_is_a_clear_error() {
        let host = Url::parse("https://a").unwrap();
        for pem in ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client(pem, &host), Err(AzureError::Config { .. })), "{pem}");
        }
        assert!(client("", &host).is_ok());
    }
}
