//! One SOAP call over HTTPS: envelope out, limited answer in, faults and TLS errors told apart, the exchange recorded.

use crate::error::{UnreachableKind, VsphereError};
use crate::network::Via;
use crate::xml::{self, Node, escape};
use jiff::Timestamp;
use plan::design::VCenterConnection;
use plan::{Exchange, Trace};
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE};
use secrets::Secret;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trust::{Trust, Verifier};
use url::Url;

/// One page of an inventory is below 1 MiB; the largest single answer, the privileges of all roles, too. Counted after
/// decompression.
const MAX_ANSWER: usize = 64 << 20;
/// What the trace keeps of a body.
const MAX_RECORDED: usize = 16 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two bytes; vCenter answers slowly when it is busy, but it answers.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// By which a connection is found dead on which nothing comes back for long.
const KEEPALIVE: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("Rehost/", env!("CARGO_PKG_VERSION"));

/// Where the web service is.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// `https://host/sdk`
    pub url: Url,
    /// `host` or `host:port`, for messages.
    pub server: String,
    /// None = directly.
    pub via: Option<Via>,
}

impl Endpoint {
    /// The server of a connection, through its proxy.
    pub fn of(
        connection: &VCenterConnection,
        proxy_password: Option<&Secret<String>>,
    ) -> Result<Endpoint, VsphereError> {
        let mut endpoint = Endpoint::parse(&connection.url)?;
        endpoint.via = Via::of(&connection.proxy, proxy_password, &endpoint.url)?;
        Ok(endpoint)
    }

    /// Reads an address as people type it: the scheme and the path `/sdk` may be left out.
    pub fn parse(address: &str) -> Result<Endpoint, VsphereError> {
        let address = address.trim();
        let wrong = |why: &str| VsphereError::Config(format!("The vCenter address {address:?} {why}"));
        let full = if address.contains("://") {
            address.to_owned()
        } else {
            format!("https://{address}")
        };
        let mut url = Url::parse(&full).map_err(|e| wrong(&format!("is not a valid URL: {e}.")))?;
        if url.scheme() != "https" {
            return Err(wrong("must begin with https://: a password is sent there."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain a user name or password."));
        }
        if matches!(url.path(), "" | "/" | "/ui" | "/ui/" | "/sdk/") {
            url.set_path("/sdk");
        }
        url.set_query(None);
        url.set_fragment(None);
        let host = url.host_str().ok_or_else(|| wrong("has no host name."))?;
        let server = url.port().map_or_else(|| host.to_owned(), |p| format!("{host}:{p}"));
        Ok(Endpoint { url, server, via: None })
    }

    /// Another address on the same way.
    pub fn beside(&self, url: Url) -> Endpoint {
        let host = url.host_str().unwrap_or_default();
        Endpoint {
            server: url.port().map_or_else(|| host.to_owned(), |p| format!("{host}:{p}")),
            via: self.via.clone(),
            url,
        }
    }

    /// Decides on the server's certificate; a proxy of its own name is trusted as this computer does.
    pub fn verifier(&self, trust: Trust) -> Arc<Verifier> {
        let proxy = self.via.as_ref().and_then(Via::host);
        Verifier::new(trust, proxy.filter(|p| Some(*p) != self.url.host_str()))
    }

    /// An HTTP client that trusts as `verifier` says.
    pub fn client(&self, verifier: &Arc<Verifier>) -> Result<reqwest::Client, VsphereError> {
        self.build(verifier, reqwest::Client::builder().read_timeout(READ_TIMEOUT))
    }

    /// One for uploads, whose answer comes when all was sent, however long that takes.
    pub fn upload_client(&self, verifier: &Arc<Verifier>) -> Result<reqwest::Client, VsphereError> {
        self.build(
            verifier,
            reqwest::Client::builder().http1_only().tcp_keepalive(KEEPALIVE),
        )
    }

    fn build(
        &self,
        verifier: &Arc<Verifier>,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, VsphereError> {
        let mut builder = builder
            .tls_backend_preconfigured(
                verifier
                    .config(rustls::DEFAULT_VERSIONS)
                    .map_err(|e| VsphereError::Config(e.to_string()))?,
            )
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy();
        if let Some(via) = &self.via {
            builder = builder.proxy(via.proxy()?);
        }
        builder.build().map_err(|e| VsphereError::Config(e.to_string()))
    }
}

/// How a call is recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Record {
    /// Request and answer.
    Whole,
    /// Without the answer: it may hold secrets (a machine's `extraConfig`, the ticket of a guest's file).
    NoAnswer,
}

/// A request: the method and the XML inside its element.
#[derive(Debug)]
pub(crate) struct Call {
    pub method: &'static str,
    arguments: String,
    /// The same without secrets, when there are any.
    shown: Option<String>,
    record: Record,
}

impl Call {
    /// A call on the managed object `this`, given as type and id.
    pub fn new(method: &'static str, this: (&str, &str)) -> Call {
        let arguments = format!("<_this type=\"{}\">{}</_this>", escape(this.0), escape(this.1));
        Call {
            method,
            arguments,
            shown: None,
            record: Record::Whole,
        }
    }

    /// Adds a text, number or boolean argument.
    pub fn arg(mut self, name: &str, value: impl ToString) -> Call {
        self.push(&format!("<{name}>{}</{name}>", escape(&value.to_string())));
        self
    }

    /// Adds a reference.
    pub fn reference(mut self, name: &str, to: (&str, &str)) -> Call {
        self.push(&format!("<{name} type=\"{}\">{}</{name}>", escape(to.0), escape(to.1)));
        self
    }

    /// Adds a secret text, which the record does not show.
    pub fn secret(self, name: &str, value: &str) -> Call {
        self.hidden(
            &format!("<{name}>{}</{name}>", escape(value)),
            &format!("<{name}>(removed)</{name}>"),
        )
    }

    /// Adds ready XML with a secret in it, and what the record shows in its place.
    pub fn hidden(mut self, xml: &str, shown: &str) -> Call {
        let shown = format!("{}{shown}", self.shown.as_deref().unwrap_or(&self.arguments));
        self.push(xml);
        self.shown = Some(shown);
        self
    }

    /// Adds ready XML.
    pub fn xml(mut self, xml: &str) -> Call {
        self.push(xml);
        self
    }

    pub fn record(mut self, record: Record) -> Call {
        self.record = record;
        self
    }

    fn push(&mut self, xml: &str) {
        self.arguments.push_str(xml);
        if let Some(shown) = &mut self.shown {
            shown.push_str(xml);
        }
    }

    fn envelope(&self, arguments: &str, operation: &str) -> String {
        let method = self.method;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
             <soapenv:Header><operationID>{operation}</operationID></soapenv:Header>\
             <soapenv:Body><{method} xmlns=\"urn:vim25\">{arguments}</{method}></soapenv:Body></soapenv:Envelope>"
        )
    }
}

/// What came back: the `…Response` element, and the session cookie when one was set.
pub(crate) struct Answer {
    pub response: Node,
    pub cookie: Option<HeaderValue>,
}

/// The way to one server.
#[derive(Debug)]
pub(crate) struct Wire {
    pub endpoint: Endpoint,
    pub http: reqwest::Client,
    pub verifier: Arc<Verifier>,
    /// `urn:vim25/8.0.3.0`
    pub action: HeaderValue,
}

impl Wire {
    /// Sends one call. `each` gets every element called `record` of the answer.
    pub async fn send(
        &self,
        call: &Call,
        cookie: Option<HeaderValue>,
        trace: &dyn Trace,
        operation: &str,
        record: &str,
        each: impl FnMut(Node),
    ) -> Result<Answer, VsphereError> {
        let received = self.fetch(call, cookie, trace, operation).await?;
        let response = self.read(call.method, &received, record, each)?;
        Ok(Answer {
            response,
            cookie: received.cookie,
        })
    }

    /// Sends one call and returns the answer unread.
    pub async fn fetch(
        &self,
        call: &Call,
        cookie: Option<HeaderValue>,
        trace: &dyn Trace,
        operation: &str,
    ) -> Result<Received, VsphereError> {
        let shown = call.envelope(call.shown.as_deref().unwrap_or(&call.arguments), operation);
        let at = Timestamp::now();
        let begun = Instant::now();
        let outcome = self
            .exchange(call.envelope(&call.arguments, operation), cookie, call.method)
            .await;
        let (status, body, error) = match &outcome {
            Ok(received) => (Some(received.status), Some(received.body.as_str()), None),
            Err(e) => (None, None, Some(e.to_string())),
        };
        trace.record(Exchange {
            at,
            system: "vsphere".into(),
            method: call.method.into(),
            url: self.endpoint.url.to_string(),
            status,
            millis: begun.elapsed().as_millis() as u64,
            request_headers: vec![format!("SOAPAction: {}", self.action.to_str().unwrap_or_default())],
            request_body: Some(cut(&shown).to_owned()),
            response_headers: Vec::new(),
            response_body: match call.record {
                Record::Whole => body.map(|b| without_session_key(cut(b))),
                Record::NoAnswer => body.map(|b| format!("({} bytes, not recorded)", b.len())),
            },
            error,
            correlation_id: Some(operation.to_owned()),
        });
        outcome
    }

    async fn exchange(
        &self,
        envelope: String,
        cookie: Option<HeaderValue>,
        method: &str,
    ) -> Result<Received, VsphereError> {
        let mut request = self
            .http
            .post(self.endpoint.url.clone())
            .header(CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", self.action.clone())
            .body(envelope);
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) => return Err(failure(&self.endpoint, &self.verifier, method, &e).await),
        };
        let status = response.status().as_u16();
        let cookie = session_cookie(&response);
        let body = limited_text(response, &self.endpoint, &self.verifier, method).await?;
        Ok(Received { status, cookie, body })
    }

    /// Reads an answer; see [`Wire::send`].
    pub fn read(
        &self,
        method: &str,
        received: &Received,
        record: &str,
        each: impl FnMut(Node),
    ) -> Result<Node, VsphereError> {
        let server = || self.endpoint.server.clone();
        let unreadable = |detail: String| match received.status {
            200 => VsphereError::Parse {
                server: server(),
                method: method.into(),
                detail,
            },
            status => VsphereError::Http {
                server: server(),
                method: method.into(),
                status,
            },
        };
        let document = xml::parse(&received.body, record, each).map_err(unreadable)?;
        let body = document.children.into_iter().find(|c| c.name == "Body");
        let content = body
            .and_then(|b| b.children.into_iter().next())
            .ok_or_else(|| unreadable("no SOAP body".into()))?;
        if content.name == "Fault" {
            return Err(self.fault(method, &content));
        }
        if received.status != 200 || content.name.strip_suffix("Response") != Some(method) {
            return Err(unreadable(format!("unexpected element {:.60}", content.name)));
        }
        Ok(content)
    }

    fn fault(&self, method: &str, fault: &Node) -> VsphereError {
        let detail = fault.child("detail").and_then(|d| d.children.first());
        let kind = detail.and_then(|d| {
            d.kind
                .as_deref()
                .or_else(|| d.name.strip_suffix("Fault"))
                .map(str::to_owned)
        });
        typed_fault(
            &self.endpoint.server,
            method,
            kind.as_deref().unwrap_or("SystemError"),
            fault.text_of("faultstring").unwrap_or_default(),
            detail,
        )
    }

    /// The highest version that both sides know, as the server lists it.
    pub async fn negotiate(&mut self) -> Result<(), VsphereError> {
        let mut url = self.endpoint.url.clone();
        url.set_path(&format!("{}/vimServiceVersions.xml", url.path().trim_end_matches('/')));
        let method = "vimServiceVersions.xml";
        let response = match self.http.get(url).send().await {
            Ok(response) => response,
            Err(e) => return Err(failure(&self.endpoint, &self.verifier, method, &e).await),
        };
        if response.status() == 404 {
            return Ok(());
        }
        if !response.status().is_success() {
            let (server, status) = (self.endpoint.server.clone(), response.status().as_u16());
            return Err(VsphereError::Http {
                server,
                method: method.into(),
                status,
            });
        }
        let body = limited_text(response, &self.endpoint, &self.verifier, method).await?;
        let document = xml::parse(&body, "\0", |_| {}).map_err(|detail| VsphereError::Parse {
            server: self.endpoint.server.clone(),
            method: method.into(),
            detail,
        })?;
        if let Some(version) = newest_common(&document) {
            self.action = action(&version);
        }
        Ok(())
    }
}

/// An answer as it came.
pub(crate) struct Received {
    status: u16,
    cookie: Option<HeaderValue>,
    pub body: String,
}

/// The newest API whose answers this client was written for.
const NEWEST: &str = "8.0.3.0";
/// Spoken when a server lists no versions: every server that migrations support understands it.
pub(crate) const OLDEST: &str = "6.5";

pub(crate) fn action(version: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("urn:vim25/{version}")).unwrap_or(HeaderValue::from_static("urn:vim25/6.5"))
}

fn newest_common(document: &Node) -> Option<String> {
    let numbers = |v: &str| v.split('.').map(|p| p.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let namespace = document
        .all("namespace")
        .find(|n| n.text_of("name") == Some("urn:vim25"))?;
    let prior = namespace
        .child("priorVersions")
        .into_iter()
        .flat_map(|p| p.all("version"));
    namespace
        .all("version")
        .chain(prior)
        .filter_map(|v| Some((numbers(v.text.trim())?, v.text.trim())))
        .filter(|(n, _)| numbers(NEWEST).is_some_and(|newest| *n <= newest))
        .max()
        .map(|(_, version)| version.to_owned())
}

/// A fault as an error; also used for faults inside answers (`missingSet`).
pub(crate) fn typed_fault(
    server: &str,
    method: &str,
    kind: &str,
    message: &str,
    detail: Option<&Node>,
) -> VsphereError {
    match kind {
        "NotAuthenticated" => VsphereError::SessionEnded {
            server: server.into(),
            method: method.into(),
        },
        "NoPermission" => VsphereError::NoPermission {
            method: method.into(),
            privilege: detail
                .and_then(|d| d.text_of("privilegeId"))
                .unwrap_or("(not named)")
                .into(),
            object: detail
                .and_then(|d| d.child("object"))
                .map(|o| format!("{} {}", o.reference.as_deref().unwrap_or("object"), o.text))
                .unwrap_or_else(|| "the object".into()),
        },
        _ => {
            let property = detail.and_then(|d| d.text_of("invalidProperty").or_else(|| d.text_of("name")));
            if let ("InvalidProperty", Some(property)) = (kind, property) {
                return VsphereError::UnknownProperty {
                    method: method.into(),
                    property: property.into(),
                };
            }
            let message = match (message, property) {
                ("", Some(property)) => property.to_owned(),
                (message, Some(property)) if !message.contains(property) => format!("{message} ({property})"),
                (message, _) => message.to_owned(),
            };
            VsphereError::Fault {
                method: method.into(),
                kind: kind.into(),
                message,
            }
        }
    }
}

/// Sorts a failed request by its cause, never by its words.
pub(crate) async fn failure(
    endpoint: &Endpoint,
    verifier: &Verifier,
    method: &str,
    error: &reqwest::Error,
) -> VsphereError {
    let server = endpoint.server.clone();
    let (mut tls, mut io, mut words) = (None, None, error.to_string());
    let mut cause = error.source();
    while let Some(e) = cause {
        words = e.to_string();
        tls = tls.or(e.downcast_ref::<rustls::Error>());
        cause = match e.downcast_ref::<std::io::Error>() {
            Some(inner) => {
                io = Some(inner.kind());
                // An I/O error hides the error that it carries from `source`.
                inner.get_ref().map(|i| i as &(dyn std::error::Error + 'static))
            }
            None => e.source(),
        };
    }
    if let Some(tls) = tls {
        use rustls::{AlertDescription as Alert, Error as E};
        return match tls {
            E::InvalidCertificate(reason) => match verifier.refused() {
                Some(presented) => VsphereError::Certificate {
                    server,
                    presented: Box::new(presented),
                    trusted_before: verifier.pin(),
                },
                None => VsphereError::WeakCertificate {
                    server,
                    detail: reason.to_string(),
                },
            },
            E::PeerIncompatible(_)
            | E::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity) => {
                VsphereError::OldTls {
                    server,
                    detail: tls.to_string(),
                }
            }
            _ => VsphereError::Unreachable {
                server,
                kind: UnreachableKind::Broken,
                detail: tls.to_string(),
            },
        };
    }
    // Compressed data that is none; anything else that ends an answer is a broken connection.
    let data = [std::io::ErrorKind::InvalidData, std::io::ErrorKind::InvalidInput];
    if error.is_decode() && io.is_some_and(|kind| data.contains(&kind)) {
        return VsphereError::Parse {
            server,
            method: method.into(),
            detail: words,
        };
    }
    let host = endpoint.url.host_str().unwrap_or_default();
    let port = endpoint.url.port_or_known_default().unwrap_or(443);
    if let Some(via) = endpoint.via.as_ref().filter(|_| error.is_connect()) {
        words = format!("{words}, through the proxy {}", via.name());
    }
    let kind = match io {
        _ if error.is_connect() && endpoint.via.is_some() => UnreachableKind::Proxy,
        _ if error.is_timeout() => UnreachableKind::Timeout,
        Some(std::io::ErrorKind::ConnectionRefused) => UnreachableKind::Refused,
        Some(std::io::ErrorKind::TimedOut) => UnreachableKind::Timeout,
        _ if error.is_connect() && tokio::net::lookup_host((host, port)).await.is_err() => UnreachableKind::Dns,
        _ => UnreachableKind::Broken,
    };
    VsphereError::Unreachable {
        server,
        kind,
        detail: words,
    }
}

async fn limited_text(
    mut response: reqwest::Response,
    endpoint: &Endpoint,
    verifier: &Verifier,
    method: &str,
) -> Result<String, VsphereError> {
    let unreadable = |detail: &str| VsphereError::Parse {
        server: endpoint.server.clone(),
        method: method.into(),
        detail: detail.into(),
    };
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => return Err(unreadable("larger than 64 MiB")),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(e) => return Err(failure(endpoint, verifier, method, &e).await),
        }
    }
    String::from_utf8(body).map_err(|_| unreadable("not UTF-8"))
}

/// The session cookie exactly as it came, quotes included: what it contains is the server's business.
fn session_cookie(response: &reqwest::Response) -> Option<HeaderValue> {
    response.headers().get_all(SET_COOKIE).iter().find_map(|header| {
        let pair = header.to_str().ok()?.split(';').next()?.trim();
        let mut value = pair
            .starts_with("vmware_soap_session=")
            .then(|| HeaderValue::from_str(pair).ok())
            .flatten()?;
        value.set_sensitive(true);
        Some(value)
    })
}

fn cut(body: &str) -> &str {
    &body[..body.floor_char_boundary(MAX_RECORDED)]
}

/// The session's key opens the session: it is not for the record.
fn without_session_key(body: &str) -> String {
    match (body.find("<key>"), body.find("</key>")) {
        (Some(start), Some(end)) if start < end && body.contains("<LoginResponse") => {
            format!("{}<key>(removed){}", &body[..start], &body[end..])
        }
        _ => body.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        for typed in [
            "vcenter.contoso.com",
            "https://vcenter.contoso.com",
            "https://vcenter.contoso.com/ui/#?extension",
            " https://vcenter.contoso.com/sdk/ ",
        ] {
            assert_eq!(
                Endpoint::parse(typed).unwrap().url.as_str(),
                "https://vcenter.contoso.com/sdk",
                "{typed}"
            );
        }
        assert_eq!(Endpoint::parse("10.1.2.3:8443").unwrap().server, "10.1.2.3:8443");
        for wrong in ["", "http://vcenter", "https://u:p@vcenter", "https://"] {
            assert_eq!(Endpoint::parse(wrong).unwrap_err().code(), "Config", "{wrong}");
        }
    }

    #[test]
    fn the_lower_of_both_newest_versions_is_spoken() {
        let document = |version: &str| {
            let xml = format!(
                "<namespaces><namespace><name>urn:vim2</name><version>2.0</version></namespace><namespace><name>urn:vim25</name>\
                 <version>{version}</version><priorVersions><version>6.7</version><version>8.0.2.0</version></priorVersions></namespace></namespaces>"
            );
            newest_common(&xml::parse(&xml, "\0", |_| {}).unwrap())
        };
        assert_eq!(document("9.1.0.0").as_deref(), Some("8.0.2.0"));
        assert_eq!(document("8.0.3.0").as_deref(), Some("8.0.3.0"));
    }

    #[test]
    fn secrets_stay_out_of_what_is_shown() {
        let call = Call::new("Login", ("SessionManager", "s"))
            .arg("userName", "a<b")
            .secret("password", "p&w")
            .arg("locale", "en");
        assert!(call.arguments.contains("<password>p&amp;w</password><locale>"));
        let shown = call.shown.unwrap();
        assert!(shown.contains("a&lt;b") && shown.contains("<locale>") && !shown.contains("p&"));
        let answer = "<LoginResponse><returnval><key>52-secret</key><userName>a</userName></returnval></LoginResponse>";
        assert_eq!(without_session_key(answer).find("secret"), None);
    }
}
