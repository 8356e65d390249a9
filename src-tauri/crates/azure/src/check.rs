//! Tests a connection hop by hop, so that a person sees which hop failed: name, proxy or network connection, encryption,
//! resource manager, sign-in, subscription, rights.
//!
//! The first hops are made by hand, because a client of HTTP tells only that it did not get through. A proxy is asked for
//! the tunnel as the client would ask, so its own answer (407, 403) can be named.

use crate::{
    Arm, AzureError, Network, NetworkKind, TokenCredential, authorization, clouds, rights,
    transport::{self, Call, Via, host_of, http_date},
};
use jiff::Timestamp;
use plan::{
    ResourceId, Trace,
    design::{AzureConnection, SignIn},
};
use reqwest::Method;
use serde_json::Value;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

/// The hops, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    Settings,
    Dns,
    Proxy,
    Tcp,
    Tls,
    ResourceManager,
    SignIn,
    Subscription,
    Rights,
}

/// One hop. `hint` is what to do; a hint beside `ok` is a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub hop: Hop,
    pub title: String,
    pub ok: bool,
    pub detail: String,
    pub hint: String,
}

/// A SAS starts 15 minutes in the past; a clock that is further off makes signatures that are not valid yet.
const CLOCK_TOLERANCE: i64 = 300;
/// For a name, a connection, and a proxy's answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The head of a proxy's answer.
const HEAD_LIMIT: usize = 16 * 1024;

/// Tests a connection. Returns the steps up to and including the first that failed.
pub async fn check_connection(
    c: &AzureConnection,
    network: &Network,
    credential: Arc<dyn TokenCredential>,
    trace: Arc<dyn Trace>,
) -> Vec<Step> {
    let mut steps = Steps(vec![]);
    match Arm::through(network, c, credential) {
        Ok(arm) => {
            let arm = arm.traced(trace);
            // Ends at the first hop that failed: the ones after it would only fail for the same reason.
            let _ = hops(&arm, network, &mut steps).await;
        }
        Err(e) => steps.refused(Hop::Settings, "Read the connection's settings", &e),
    }
    steps.0
}

/// The steps so far.
struct Steps(Vec<Step>);

impl Steps {
    fn push(
        &mut self,
        hop: Hop,
        ok: bool,
        title: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.0.push(Step {
            hop,
            title: title.into(),
            ok,
            detail: detail.into(),
            hint: hint.into(),
        });
    }

    fn refused(&mut self, hop: Hop, title: impl Into<String>, error: &AzureError) {
        let advice = error.advice();
        let detail = format!("{}. {}", advice.title.trim_end_matches('.'), advice.detail);
        self.push(hop, false, title, detail, advice.hint);
    }

    /// Returns the value, or records the failed step.
    fn kept<T>(&mut self, hop: Hop, title: &str, result: Result<T, AzureError>) -> Option<T> {
        result.map_err(|e| self.refused(hop, title, &e)).ok()
    }
}

async fn hops(arm: &Arm, network: &Network, steps: &mut Steps) -> Option<()> {
    let c = arm.connection().clone();
    let base = clouds::address("resource manager address", &c.arm_url).ok()?;
    path(network, &base, steps).await?;

    let title = format!("Reach Azure Resource Manager at {}", host_of(&base));
    let encrypt = format!("Encrypt the connection to {}", host_of(&base));
    let (detail, hint) = match reach(arm, &base).await {
        Ok(reached) => {
            if base.scheme() == "https" {
                steps.push(Hop::Tls, true, encrypt, "The certificate is trusted.", "");
            }
            reached
        }
        Err(e) if tls(&e) => {
            steps.refused(Hop::Tls, encrypt, &e);
            return None;
        }
        Err(e) => {
            steps.refused(Hop::ResourceManager, title, &e);
            return None;
        }
    };
    steps.push(Hop::ResourceManager, true, title, detail, hint);

    let login = clouds::address("sign-in address", &c.authority_url);
    let title = match &login {
        Ok(login) => format!("Sign in at {}", host_of(login)),
        Err(_) => "Sign in".to_owned(),
    };
    match (arm.token(None, None).await, login) {
        (Ok(_), _) => steps.push(
            Hop::SignIn,
            true,
            title,
            format!("There is a token for {}.", who(&c)),
            "",
        ),
        // Which hop on the way to Entra it is, is looked for as on the way to the resource manager.
        (Err(e @ AzureError::Network { .. }), Ok(login)) => {
            let before = steps.0.len();
            if path(network, &login, steps).await.is_some() {
                steps.0.truncate(before);
                let (hop, title) = if tls(&e) {
                    (Hop::Tls, format!("Encrypt the connection to {}", host_of(&login)))
                } else {
                    (Hop::SignIn, title)
                };
                steps.refused(hop, title, &e);
            }
            return None;
        }
        (Err(e), _) => {
            steps.refused(Hop::SignIn, title, &e);
            return None;
        }
    }

    let title = format!("Find subscription {}", c.subscription_id);
    if c.subscription_id.trim().is_empty() {
        let error = AzureError::Config {
            field: "subscription ID".into(),
            message: "it is empty".into(),
        };
        steps.refused(Hop::Subscription, title, &error);
        return None;
    }
    let id = ResourceId::new(format!("/subscriptions/{}", c.subscription_id));
    let subscription = steps.kept(Hop::Subscription, &title, arm.get(&id).await)?;
    let text = |key: &str| {
        subscription
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned()
    };
    let (name, state) = (text("displayName"), text("state"));
    let (usable, words) = crate::subscriptions::judged(&state);
    steps.push(Hop::Subscription, usable, title, format!("{name} is {state}."), words);
    if !usable {
        return None;
    }

    let title = "Read the rights in the subscription".to_owned();
    let permissions = authorization::permissions(arm, &id).await;
    let permissions = steps.kept(Hop::Rights, &title, permissions)?;
    let can = |action: &str| rights::allows(&permissions, action);
    let (read, write) = (
        can("Microsoft.Resources/subscriptions/resourceGroups/read"),
        can("Microsoft.Resources/subscriptions/resourceGroups/write"),
    );
    let (detail, hint) = match (read, write) {
        (_, true) => (
            "It may read the subscription and create resource groups in it.",
            String::new(),
        ),
        (true, false) => (
            "It may read the subscription, but not create resource groups in it. Rights on single groups are checked before a run.",
            grant(&c),
        ),
        (false, false) => (
            "It has no role in this subscription that lets it read resource groups.",
            grant(&c),
        ),
    };
    steps.push(Hop::Rights, read || write, title, detail, hint);
    Some(())
}

fn tls(e: &AzureError) -> bool {
    matches!(
        e,
        AzureError::Network {
            kind: NetworkKind::Tls,
            ..
        }
    )
}

/// Who signs in, in the middle of a sentence.
fn who(c: &AzureConnection) -> String {
    match c.sign_in {
        SignIn::Browser | SignIn::DeviceCode => "the account that is signed in".into(),
        SignIn::AzureCli => "the account of the Azure CLI".into(),
        SignIn::ManagedIdentity => "the identity of this machine".into(),
        SignIn::ClientSecret | SignIn::ClientCertificate => {
            format!("application {} of tenant {}", c.client_id, c.tenant_id)
        }
    }
}

fn grant(c: &AzureConnection) -> String {
    let assignee = match c.sign_in {
        SignIn::ClientSecret | SignIn::ClientCertificate => c.client_id.as_str(),
        SignIn::Browser | SignIn::DeviceCode | SignIn::AzureCli => "USER@DOMAIN",
        SignIn::ManagedIdentity => "IDENTITY_OBJECT_ID",
    };
    format!(
        "An owner of the subscription gives {} a role: az role assignment create --assignee {assignee} --role Contributor --scope /subscriptions/{}",
        who(c),
        c.subscription_id
    )
}

/// The way to a host below HTTP: its name or that of the proxy, then the proxy's tunnel or the connection.
async fn path(network: &Network, host: &Url, steps: &mut Steps) -> Option<()> {
    let via = network.via(host);
    let first = via.as_ref().map_or(host, |v| &v.url);
    let title = format!("Find {}", first.host_str().unwrap_or_default());
    let addresses = match found(first).await {
        Ok(addresses) => addresses,
        Err(e) => {
            let hint = match &via {
                Some(_) => "Check the proxy's address in Connections > Azure > Proxy, and this computer's DNS.",
                None => {
                    "Check the address in Connections > Azure, and this computer's network and DNS: nslookup the name. Where only a proxy finds names outside, enter it in Connections > Azure > Proxy."
                }
            };
            steps.push(
                Hop::Dns,
                false,
                title,
                format!("The name can't be resolved: {e}."),
                hint,
            );
            return None;
        }
    };
    let shown: Vec<String> = addresses.iter().take(3).map(|a| a.ip().to_string()).collect();
    steps.push(Hop::Dns, true, title, shown.join(", "), "");
    let Some(via) = via else {
        let title = format!("Connect to {}", host_of(host));
        return match connected(&addresses).await {
            Ok(_) => {
                steps.push(Hop::Tcp, true, title, "Connected, without a proxy.", "");
                Some(())
            }
            Err(e) => {
                let hint = format!(
                    "Let the firewall's administrator allow outbound HTTPS to {}. Where the network demands a proxy, enter it in Connections > Azure > Proxy.",
                    host_of(host)
                );
                steps.push(Hop::Tcp, false, title, format!("No connection: {e}."), hint);
                None
            }
        };
    };
    let title = format!("Pass the proxy {}", host_of(&via.url));
    match tunnel(&via, host, &addresses).await {
        Ok(()) => {
            steps.push(
                Hop::Proxy,
                true,
                title,
                format!("It lets {} pass; used {}.", host_of(host), via.source),
                "",
            );
            Some(())
        }
        Err((detail, hint)) => {
            steps.push(Hop::Proxy, false, title, detail, hint);
            None
        }
    }
}

async fn found(url: &Url) -> io::Result<Vec<SocketAddr>> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let found = timed(tokio::net::lookup_host((host, port))).await?.collect::<Vec<_>>();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(found)
}

async fn connected(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    timed(TcpStream::connect(addresses)).await
}

async fn timed<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 20 seconds"))?
}

/// Asks the proxy for a tunnel to the host. The failure is a detail and a hint.
async fn tunnel(via: &Via, host: &Url, addresses: &[SocketAddr]) -> Result<(), (String, String)> {
    let broke = |e: io::Error| {
        (
            format!("No connection to the proxy: {e}."),
            "Check the proxy's address and port in Connections > Azure > Proxy; its administrator knows them."
                .to_owned(),
        )
    };
    let mut stream = connected(addresses).await.map_err(broke)?;
    if via.url.scheme() != "http" {
        // An encrypted proxy is asked by the request itself.
        return Ok(());
    }
    let target = host_of(host);
    let mut ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(authorization) = &via.authorization {
        ask.extend_from_slice(b"Proxy-Authorization: ");
        ask.extend_from_slice(authorization.as_bytes());
        ask.extend_from_slice(b"\r\n");
    }
    ask.extend_from_slice(b"\r\n");
    let head = timed(async {
        stream.write_all(&ask).await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < HEAD_LIMIT {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        Ok(head)
    })
    .await
    .map_err(broke)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.get(..3))
        .and_then(|s| s.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err(wants_sign_in(&head, via.authorization.is_some())),
        Some(status) => Err((
            format!("The proxy refuses the way to {target} (HTTP status {status})."),
            format!("Let the proxy's administrator allow {target}."),
        )),
        None => Err((
            "What answers there is no HTTP proxy.".into(),
            "Check the proxy's address and port in Connections > Azure > Proxy.".into(),
        )),
    }
}

fn wants_sign_in(head: &str, given: bool) -> (String, String) {
    let schemes: Vec<&str> = head
        .lines()
        .filter_map(|l| l.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"))
        .filter_map(|(_, value)| value.split_whitespace().next())
        .collect();
    let basic = schemes.is_empty() || schemes.iter().any(|s| s.eq_ignore_ascii_case("basic"));
    match (basic, given) {
        (true, true) => (
            "The proxy refuses this user and password (HTTP status 407).".into(),
            "Enter them again in Connections > Azure > Proxy; the proxy's administrator can reset them.".into(),
        ),
        (true, false) => (
            "The proxy wants a user and a password (HTTP status 407).".into(),
            "Enter them in Connections > Azure > Proxy (choose Explicit), or let the proxy's administrator exempt this computer.".into(),
        ),
        (false, _) => (
            format!("The proxy wants a sign-in that Rehost does not speak (HTTP status 407: {}).", schemes.join(", ")),
            "Let the proxy's administrator exempt this computer or offer Basic; or run a local forwarder that signs in to it (px, cntlm) and enter its address in Connections > Azure > Proxy.".into(),
        ),
    }
}

/// Asks for the one thing that the resource manager tells to anybody. Whatever it answers, it was reached.
async fn reach(arm: &Arm, base: &Url) -> Result<(String, String), AzureError> {
    let url = clouds::metadata_url(base)?;
    let call = Call::new("azure", Method::GET, url).header("accept", "application/json");
    let answer = transport::send(arm.http(), call, arm.known(), arm.trace()).await?;
    let reached = format!("{} answered.", host_of(base));
    let off = answer
        .header("date")
        .and_then(http_date)
        .map(|t| Timestamp::now().as_second() - t.as_second());
    Ok(match off {
        Some(off) if off.abs() > CLOCK_TOLERANCE => (
            format!("{reached} This computer's clock is {} {} of Azure's.", minutes(off), if off > 0 { "ahead" } else { "behind" }),
            "Set this computer's clock: access to the backup container is signed with its time, and Azure refuses signatures of another time.".into(),
        ),
        _ => (reached, String::new()),
    })
}

fn minutes(seconds: i64) -> String {
    match seconds.abs() / 60 {
        m if m < 120 => format!("{m} minutes"),
        m if m < 48 * 60 => format!("{} hours", m / 60),
        m => format!("{} days", m / 60 / 24),
    }
}
