//! Signing in with the browser of this computer: authorization code with PKCE (RFC 7636, S256) on a loopback port
//! (RFC 8252, part 7.3).
//!
//! The browser comes back to `http://localhost:PORT`, which is what an application's registration names (platform
//! "Mobile and desktop applications", `http://localhost`; Entra ignores the port). It is answered only after the code was
//! exchanged, so that the page tells how the sign-in ended.

use super::{Account, Session, claims, entra::refused, token_error, unguessable};
use crate::AzureError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use plan::Trace;
use secrets::Secret;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use url::Url;

/// How long a person may take: a second factor and a forgotten password fit in.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// The head of a browser's request; a code has about 1.5 KB.
const HEAD_LIMIT: usize = 16 * 1024;
/// Browsers open connections in advance and leave them idle.
const IDLE: Duration = Duration::from_secs(60);

/// A sign-in that waits for the browser. Dropping it ends it.
pub struct BrowserSignIn {
    session: Arc<Session>,
    trace: Option<Arc<dyn Trace>>,
    listeners: Vec<TcpListener>,
    url: Url,
    redirect: String,
    state: Secret<String>,
    verifier: Secret<String>,
    demanded: Option<Secret<String>>,
    ends: Timestamp,
}

/// What the browser brought, and the connection that waits for a page.
struct Visit {
    query: HashMap<String, Secret<String>>,
    stream: TcpStream,
}

impl BrowserSignIn {
    pub(super) async fn begin(session: Arc<Session>, trace: Option<Arc<dyn Trace>>) -> Result<Self, AzureError> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|e| no_port(&e))?;
        let port = v4.local_addr().map_err(|e| no_port(&e))?.port();
        let mut listeners = vec![v4];
        // `localhost` is ::1 to some browsers first. Where it can't be had, they fall back to 127.0.0.1.
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            listeners.push(v6);
        }
        let redirect = format!("http://localhost:{port}");
        let (state, verifier) = (unguessable()?, unguessable()?);
        for secret in [&state, &verifier] {
            session.entra.known.learn(secret.expose());
        }
        let demanded = session.demanded().await;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()));
        let mut url = session.entra.endpoint(session.sign_in_tenant(), "authorize")?;
        url.query_pairs_mut().extend_pairs([
            ("client_id", session.connection.client_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &redirect),
            ("response_mode", "query"),
            ("scope", &session.person_scope()),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("prompt", "select_account"),
            ("claims", &claims::asked(demanded.as_ref())),
        ]);
        let now = session.time.now();
        Ok(Self {
            ends: now.saturating_add(PATIENCE).unwrap_or(now),
            session,
            trace,
            listeners,
            url,
            redirect,
            state,
            verifier,
            demanded,
        })
    }

    /// The page to open. It belongs to the person at this computer: log it nowhere.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// When the wait ends.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Waits for the browser and exchanges its code.
    ///
    /// # Errors
    /// Fails when the person cancels or takes longer than 15 minutes, when the answer belongs to another sign-in, or when
    /// Entra refuses.
    pub async fn finish(self) -> Result<Account, AzureError> {
        let (found, mut visits) = mpsc::channel(1);
        // Ends with this function, and with it all that still listens.
        let mut listening = JoinSet::new();
        for listener in self.listeners {
            listening.spawn(listen(listener, found.clone()));
        }
        let late = self.session.time.sleep_until(self.ends);
        let visit = tokio::select! {
            visit = visits.recv() => visit,
            () = late => None,
        };
        let Some(Visit { query, mut stream }) = visit else {
            return Err(token_error(
                "SignInTimedOut",
                "the browser did not come back within 15 minutes",
            ));
        };
        let result = answered(
            &self.session,
            &query,
            &self.state,
            &self.verifier,
            &self.redirect,
            self.demanded.as_ref(),
            self.trace,
        )
        .await;
        let page = page(result.as_ref());
        // The browser may be gone already; the sign-in has ended either way.
        let _ = stream.write_all(page.as_bytes()).await;
        let _ = stream.shutdown().await;
        result
    }
}

async fn answered(
    session: &Session,
    query: &HashMap<String, Secret<String>>,
    state: &Secret<String>,
    verifier: &Secret<String>,
    redirect: &str,
    demanded: Option<&Secret<String>>,
    trace: Option<Arc<dyn Trace>>,
) -> Result<Account, AzureError> {
    let text = |key: &str| query.get(key).map_or("", |v| v.expose().as_str());
    // First of all: what comes with another state is not the answer to what we asked.
    if query.get("state") != Some(state) {
        return Err(token_error(
            "StateMismatch",
            "the browser brought the answer to another sign-in",
        ));
    }
    if let Some(error) = query.get("error") {
        // Here alone Entra names its number in the text only: `AADSTS65004: User declined…`.
        let description = text("error_description");
        let number = description
            .strip_prefix("AADSTS")
            .and_then(|rest| rest.split(':').next());
        let number = number.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let code = match (number, text("error_subcode")) {
            (Some(number), _) => format!("AADSTS{number}"),
            (None, "cancel") => "SignInCancelled".to_owned(),
            _ => error.expose().clone(),
        };
        return Err(refused(code, description, None, None, &session.entra.known));
    }
    let Some(code) = query.get("code") else {
        return Err(token_error("NoCode", "the browser brought neither a code nor a reason"));
    };
    session.entra.known.learn(code.expose());
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", session.connection.client_id.as_str()),
        ("code", code.expose()),
        ("redirect_uri", redirect),
        ("code_verifier", verifier.expose()),
        ("scope", &session.person_scope()),
    ];
    let answer = session
        .entra
        .ask(session.sign_in_tenant(), "token", &form, demanded, trace.as_deref())
        .await?;
    session.signed_in(&answer).await
}

/// Accepts browsers until one brings an answer. Each connection is a task of its own, for some stay idle.
async fn listen(listener: TcpListener, found: mpsc::Sender<Visit>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let found = found.clone();
                    open.spawn(async move {
                        if let Ok(Ok(Some(visit))) = tokio::time::timeout(IDLE, read(stream)).await {
                            // Only the first one counts.
                            let _ = found.try_send(visit);
                        }
                    });
                }
                // Out of handles, or a connection that broke at once: let the others have a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

/// Reads one request. Whatever is no answer of Entra (an icon, say) is told that there is nothing here.
async fn read(mut stream: TcpStream) -> io::Result<Option<Visit>> {
    let mut head = zeroize::Zeroizing::new(Vec::with_capacity(HEAD_LIMIT));
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() >= HEAD_LIMIT || stream.read_buf(&mut *head).await? == 0 {
            return Ok(None);
        }
    }
    let line = String::from_utf8_lossy(&head);
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let query = target.and_then(|t| t.strip_prefix("/?"));
    let query: HashMap<String, Secret<String>> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(k, v)| (k.into_owned(), Secret::new(v.into_owned())))
        .collect();
    if query.contains_key("code") || query.contains_key("error") {
        return Ok(Some(Visit { query, stream }));
    }
    stream
        .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await?;
    Ok(None)
}

/// The page that the browser shows at the end. Nothing from the request or from Entra's text stands in it.
fn page(result: Result<&Account, &AzureError>) -> String {
    let (status, title, text) = match result {
        Ok(_) => (
            "200 OK",
            "You are signed in".to_owned(),
            "You can close this page and go back to Rehost.".to_owned(),
        ),
        Err(e) => (
            "400 Bad Request",
            "The sign-in did not work".to_owned(),
            format!(
                "{}. You can close this page; Rehost says what to do.",
                e.advice().title.trim_end_matches('.')
            ),
        ),
    };
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>Rehost: {title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;\
         padding:0 1rem}}h1{{font-size:1.5rem}}</style><h1>{title}</h1><p>{text}</p></html>"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn no_port(e: &io::Error) -> AzureError {
    token_error(
        "NoLoopbackPort",
        format!("this computer lets no program listen on 127.0.0.1: {e}"),
    )
}
