//! One HTTP request and its whole answer: limits, TLS, proxy, trace. Used by the resource manager's client, by the
//! sign-in and by the blobs, so that all three see the same network.

use crate::{AzureError, NetworkKind, clouds, redact::Known};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use plan::{
    Exchange, Trace,
    design::{AzureConnection, Proxy},
};
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrets::Secret;
use std::{
    error::Error as _,
    fmt, io,
    sync::LazyLock,
    time::{Duration, Instant},
};
use url::Url;

/// Azure answers most requests within a second, and a synchronous operation within a minute.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const REQUEST_LIMIT: Duration = Duration::from_secs(180);
/// A page of Azure's longest lists has a few MiB. More is not an answer of Azure.
pub(crate) const ANSWER_LIMIT: usize = 32 * 1024 * 1024;

/// How this computer reaches Azure: the proxy, and whom it trusts. The operating system's trust store always counts; the
/// connection's authorities are added to it.
#[derive(Clone)]
pub struct Network {
    proxy: Proxy,
    /// Of an explicit proxy with a user name.
    password: Option<Secret<String>>,
    ca_pem: String,
}

/// A proxy on the way to a host.
pub(crate) struct Via {
    pub url: Url,
    /// Value of `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Who says so, for people.
    pub source: &'static str,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Takes proxy and authorities of a connection, and the explicit proxy's password. No I/O.
    ///
    /// # Errors
    /// Fails when the proxy's address is none.
    pub fn of(c: &AzureConnection, proxy_password: Option<Secret<String>>) -> Result<Self, AzureError> {
        if let Proxy::Explicit { url, .. } = &c.proxy {
            proxy_url(url)?;
        }
        Ok(Self {
            proxy: c.proxy.clone(),
            password: proxy_password,
            ca_pem: c.ca_pem.clone(),
        })
    }

    /// Builds the client for a host.
    ///
    /// # Errors
    /// Fails when the authority's PEM holds no certificate, or the proxy's address is none.
    pub(crate) fn client(&self, host: &Url) -> Result<Client, AzureError> {
        let wrong = |message: String| AzureError::Config {
            field: "certificate authority".into(),
            message,
        };
        let mut builder = Client::builder()
            .user_agent(concat!("rehost/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .redirect(reqwest::redirect::Policy::none());
        if !self.ca_pem.trim().is_empty() {
            let certificates = reqwest::Certificate::from_pem_bundle(self.ca_pem.as_bytes())
                .map_err(|e| wrong(format!("the text is not a PEM certificate: {e}")))?;
            if certificates.is_empty() {
                return Err(wrong(
                    "the text holds no PEM certificate (-----BEGIN CERTIFICATE-----)".into(),
                ));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        match &self.proxy {
            // What the operating system says about proxies is not meant for this computer itself.
            Proxy::System if clouds::is_loopback(host) => builder = builder.no_proxy(),
            Proxy::System => {}
            Proxy::Direct => builder = builder.no_proxy(),
            Proxy::Explicit { url, user } => {
                let url = proxy_url(url)?;
                let mut proxy = reqwest::Proxy::all(url).map_err(|e| no_proxy(cause(&e)))?;
                if !user.is_empty() {
                    proxy = proxy.basic_auth(user, self.password.as_ref().map_or("", |p| p.expose()));
                }
                builder = builder.proxy(proxy);
            }
        }
        builder
            .build()
            .map_err(|e| wrong(format!("the HTTPS client could not be prepared: {}", cause(&e))))
    }

    /// The proxy on the way to a host, if any: the one that [`Self::client`] goes through.
    pub(crate) fn via(&self, host: &Url) -> Option<Via> {
        match &self.proxy {
            Proxy::Direct => None,
            Proxy::System if clouds::is_loopback(host) => None,
            Proxy::System => {
                let found = Matcher::from_system().intercept(&host.as_str().parse().ok()?)?;
                Some(Via {
                    url: Url::parse(&found.uri().to_string()).ok()?,
                    authorization: found.basic_auth().cloned(),
                    source: "as this computer's settings say",
                })
            }
            Proxy::Explicit { url, user } => {
                let password = self.password.as_ref().map_or("", |p| p.expose());
                let mut basic =
                    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).ok()?;
                basic.set_sensitive(true);
                Some(Via {
                    url: proxy_url(url).ok()?,
                    authorization: (!user.is_empty()).then_some(basic),
                    source: "as the connection says",
                })
            }
        }
    }
}

fn no_proxy(message: String) -> AzureError {
    AzureError::Config {
        field: "proxy".into(),
        message,
    }
}

/// Reads a proxy's address: `http://proxy.contoso.com:8080`.
fn proxy_url(value: &str) -> Result<Url, AzureError> {
    let url = Url::parse(value.trim()).map_err(|e| no_proxy(format!("`{value}` is not a web address: {e}")))?;
    let good = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if good && url.username().is_empty() && url.password().is_none() {
        return Ok(url);
    }
    // A password may stand in it: it is not repeated.
    Err(no_proxy(
        "it must be an address like http://proxy.contoso.com:8080; user and password have fields of their own".into(),
    ))
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
    let started = Instant::now();
    let (method, url) = (call.method.clone(), call.url.clone());
    // Most exchanges of a program that writes no trace are shown to nobody.
    let shown_url = LazyLock::new(|| known.url(&url));
    let mut exchange = trace.map(|_| Exchange {
        at: Timestamp::now(),
        system: call.system.into(),
        method: method.to_string(),
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

    let result = exchanged(client, call, known, &url).await;

    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = result.as_ref().ok().map(|a| a.status);
    tracing::debug!(%method, url = %*shown_url, ?status, millis, "exchange");
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

async fn exchanged(client: &Client, call: Call, known: &Known, url: &Url) -> Result<Answer, AzureError> {
    let method = call.method.clone();
    let failed = |e: &reqwest::Error| AzureError::Network {
        kind: kind(e),
        host: host_of(url),
        message: known.text(&cause(e)),
        method: method.to_string(),
        url: known.url(url),
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
                method: method.to_string(),
                url: known.url(url),
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

    fn network(c: AzureConnection) -> Result<Network, AzureError> {
        Network::of(&c, Some("CANARY-proxy-password".into()))
    }

    #[test]
    fn a_bad_authority_is_a_clear_error() {
        let host = Url::parse("https://a").unwrap();
        let client = |pem: &str| {
            network(AzureConnection {
                ca_pem: pem.into(),
                ..AzureConnection::default()
            })
            .unwrap()
            .client(&host)
        };
        for pem in ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client(pem), Err(AzureError::Config { .. })), "{pem}");
        }
        assert!(client("").is_ok());
    }

    #[test]
    fn the_proxy_is_the_one_that_was_chosen() {
        let through = |proxy: Proxy| {
            network(AzureConnection {
                proxy,
                ..AzureConnection::default()
            })
        };
        let explicit = |url: &str| Proxy::Explicit {
            url: url.into(),
            user: "u".into(),
        };
        let host = Url::parse("https://127.0.0.1:1/").unwrap();
        assert!(through(Proxy::Direct).unwrap().via(&host).is_none());
        assert!(through(Proxy::System).unwrap().via(&host).is_none());
        let chosen = through(explicit(" http://proxy:8080 ")).unwrap();
        let via = chosen.via(&host).unwrap();
        assert_eq!(
            (host_of(&via.url).as_str(), via.authorization.is_some()),
            ("proxy:8080", true)
        );
        assert!(!format!("{chosen:?} {:?}", via.authorization).contains("CANARY"));
        for bad in ["proxy:8080", "socks5://proxy", "", "http://u:CANARY@proxy"] {
            let e = through(explicit(bad)).unwrap_err();
            assert!(!e.to_string().contains("CANARY"), "{e}");
        }
    }
}
