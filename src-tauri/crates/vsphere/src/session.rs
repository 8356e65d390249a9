//! The session with one vCenter: one sign-in, one new sign-in when it has ended, a logout at the end. In between a session
//! that nobody uses is kept alive, since views, filters and leases end with it.

use crate::error::VsphereError;
use crate::network::Credentials;
use crate::soap::{Call, Endpoint, OLDEST, Received, Wire, action};
use crate::time::{SystemTime, Time};
use crate::xml::Node;
use jiff::{SignedDuration, Timestamp};
use plan::design::VCenterConnection;
use plan::exchange::NoTrace;
use plan::{Exchange, Trace};
use reqwest::header::HeaderValue;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use trust::{Trust, Verifier};

/// A session that was not used for so long is used once. vCenter ends idle ones after 30 minutes by default.
const KEEP_ALIVE: SignedDuration = SignedDuration::from_mins(10);

/// Who answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// `VMware vCenter Server 8.0.3 build-24022515`
    pub full_name: String,
    pub version: String,
    pub api_version: String,
    /// Unique id of this vCenter; a stand-alone ESXi host has none.
    pub instance_uuid: String,
    /// False for a stand-alone ESXi host.
    pub is_vcenter: bool,
}

/// Ids of the service's managed objects.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub root_folder: String,
    pub view_manager: String,
    pub authorization_manager: String,
    pub user_directory: String,
    pub event_manager: String,
    pub guest_operations_manager: String,
    pub ovf_manager: String,
    property_collector: String,
    session_manager: String,
}

/// A signed-in vCenter (or ESXi host). Clones share the session; the last one to go logs out.
#[derive(Clone)]
pub struct VCenter {
    shared: Arc<Shared>,
    trace: Arc<dyn Trace>,
    /// Given to the server with each call as its operation id, and kept in the record.
    correlation: Arc<str>,
}

struct Shared {
    wire: Wire,
    about: About,
    content: Content,
    user: String,
    credentials: Credentials,
    pub(crate) time: Arc<dyn Time>,
    session: Mutex<Session>,
    /// Held while signing in anew, so that many calls that find the session ended make one sign-in.
    renewing: tokio::sync::Mutex<()>,
    /// Where a machine was found by name: the next look asks for it directly.
    known: Mutex<HashMap<String, String>>,
    /// Properties that this server's version turned out not to have.
    unknown: Mutex<BTreeSet<String>>,
    /// Keeps the session alive; ends with it.
    keeper: Mutex<Option<tokio::task::AbortHandle>>,
}

#[derive(Default, Clone)]
struct Session {
    generation: u64,
    cookie: Option<HeaderValue>,
    key: String,
    /// When it was used last.
    used: Timestamp,
}

impl fmt::Debug for VCenter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "VCenter({})", self.server())
    }
}

/// Runs a read; when the session turns out to have ended, signs in once and runs it again from its beginning, since
/// views and tokens have ended with the session. That they are gone may be all one hears when somebody else has signed in
/// meanwhile.
macro_rules! renewing {
    ($vcenter:expr, $read:expr) => {{
        let generation = $vcenter.generation();
        match $read.await {
            Err(e) if e.session_ended() || $vcenter.generation() != generation => {
                $vcenter.sign_in_again(generation).await?;
                $read.await
            }
            outcome => outcome,
        }
    }};
}
pub(crate) use renewing;

impl VCenter {
    /// Signs in. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`VsphereError::Certificate`] when the certificate is not the pinned one, or without a pin not trusted by this
    /// computer; [`VsphereError::InvalidLogin`], [`VsphereError::Unreachable`], [`VsphereError::OldTls`] and the rest.
    pub async fn connect(
        connection: &VCenterConnection,
        credentials: impl Into<Credentials>,
        trace: Arc<dyn Trace>,
    ) -> Result<VCenter, VsphereError> {
        Self::connect_in(Arc::new(SystemTime), connection, credentials, trace).await
    }

    /// The same in another time.
    ///
    /// # Errors
    /// See [`VCenter::connect`].
    pub async fn connect_in(
        time: Arc<dyn Time>,
        connection: &VCenterConnection,
        credentials: impl Into<Credentials>,
        trace: Arc<dyn Trace>,
    ) -> Result<VCenter, VsphereError> {
        let credentials = credentials.into();
        let endpoint = Endpoint::of(connection, credentials.proxy_password.as_ref())?;
        let verifier = endpoint.verifier(Trust::from_pin(&connection.thumbprint).map_err(VsphereError::Config)?);
        let http = endpoint.client(&verifier)?;
        let mut wire = Wire {
            endpoint,
            http,
            verifier,
            action: action(OLDEST),
        };
        wire.negotiate().await?;

        let correlation: Arc<str> = new_correlation();
        let call = Call::new("RetrieveServiceContent", ("ServiceInstance", "ServiceInstance"));
        let answer = wire.send(&call, None, &*trace, &correlation, "\0", |_| {}).await?;
        let (about, content) = service_content(&wire, &answer.response)?;
        let vcenter = VCenter {
            shared: Arc::new(Shared {
                wire,
                about,
                content,
                user: connection.user.clone(),
                credentials,
                time,
                session: Mutex::default(),
                renewing: tokio::sync::Mutex::new(()),
                known: Mutex::default(),
                unknown: Mutex::default(),
                keeper: Mutex::default(),
            }),
            trace,
            correlation,
        };
        vcenter.login(answer.cookie).await?;
        let keeper = tokio::spawn(keep_alive(Arc::downgrade(&vcenter.shared)));
        *lock(&vcenter.shared.keeper) = Some(keeper.abort_handle());
        Ok(vcenter)
    }

    /// The same session, with its exchanges recorded elsewhere under a new operation id.
    pub fn traced(&self, trace: Arc<dyn Trace>) -> VCenter {
        VCenter {
            shared: self.shared.clone(),
            trace,
            correlation: new_correlation(),
        }
    }

    /// Whether both are the same session.
    pub fn is(&self, other: &VCenter) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Who answers.
    pub fn about(&self) -> &About {
        &self.shared.about
    }

    /// Type and id of the root folder, on which rights on the vCenter itself are given.
    pub fn root(&self) -> (&str, &str) {
        ("Folder", &self.shared.content.root_folder)
    }

    /// Logs out now. Later calls sign in again.
    pub async fn logout(&self) {
        let ended = std::mem::take(&mut self.session_mut().cookie);
        if ended.is_some() {
            let call = self.logout_call();
            let sent = self
                .shared
                .wire
                .send(&call, ended, &*self.trace, &self.correlation, "\0", |_| {})
                .await;
            if let Err(e) = sent {
                tracing::debug!(error = %e, "logout failed; the session ends by itself when idle");
            }
        }
    }

    fn logout_call(&self) -> Call {
        self.shared.logout_call()
    }

    pub(crate) fn server(&self) -> &str {
        &self.shared.wire.endpoint.server
    }

    /// How the server is reached and trusted.
    pub(crate) fn way(&self) -> (&Endpoint, &Arc<Verifier>, &reqwest::Client) {
        let wire = &self.shared.wire;
        (&wire.endpoint, &wire.verifier, &wire.http)
    }

    /// Keeps an exchange that was none of SOAP.
    pub(crate) fn record(&self, exchange: Exchange) {
        self.trace.record(Exchange {
            correlation_id: Some(self.correlation.to_string()),
            ..exchange
        });
    }

    pub(crate) fn user(&self) -> &str {
        &self.shared.user
    }

    pub(crate) fn content(&self) -> &Content {
        &self.shared.content
    }

    pub(crate) fn collector(&self) -> (&str, &str) {
        ("PropertyCollector", &self.shared.content.property_collector)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.wire.endpoint
    }

    pub(crate) fn verifier(&self) -> &Arc<Verifier> {
        &self.shared.wire.verifier
    }

    /// The session's cookie; for this server only.
    pub(crate) fn cookie(&self) -> Option<HeaderValue> {
        self.session_mut().cookie.clone()
    }

    pub(crate) fn session_key(&self) -> String {
        self.session_mut().key.clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.session_mut().generation
    }

    pub(crate) fn time(&self) -> &Arc<dyn Time> {
        &self.shared.time
    }

    pub(crate) fn known(&self, name: &str) -> Option<String> {
        lock(&self.shared.known).get(&name.to_lowercase()).cloned()
    }

    /// Properties that this server does not have; they are not asked for again.
    pub(crate) fn unknown(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.shared.unknown)
    }

    pub(crate) fn learn(&self, name: &str, moref: Option<&str>) {
        let mut known = lock(&self.shared.known);
        match moref {
            Some(moref) => known.insert(name.to_lowercase(), moref.to_owned()),
            None => known.remove(&name.to_lowercase()),
        };
    }

    fn session_mut(&self) -> MutexGuard<'_, Session> {
        lock(&self.shared.session)
    }

    /// One call in the session; no retry.
    pub(crate) async fn send(&self, call: &Call) -> Result<Node, VsphereError> {
        self.send_records(call, "\0", |_| {}).await
    }

    pub(crate) async fn send_records(
        &self,
        call: &Call,
        record: &str,
        each: impl FnMut(Node),
    ) -> Result<Node, VsphereError> {
        let received = self.fetch(call).await?;
        self.read_records(call.method, &received, record, each)
    }

    /// One call in the session, its answer unread.
    pub(crate) async fn fetch(&self, call: &Call) -> Result<Received, VsphereError> {
        let cookie = self.session_mut().cookie.clone();
        let wire = &self.shared.wire;
        let received = wire.fetch(call, cookie, &*self.trace, &self.correlation).await?;
        self.session_mut().used = self.shared.time.now();
        Ok(received)
    }

    pub(crate) fn read_records(
        &self,
        method: &str,
        received: &Received,
        record: &str,
        each: impl FnMut(Node),
    ) -> Result<Node, VsphereError> {
        self.shared.wire.read(method, received, record, each)
    }

    /// One changing call: when the session has ended, signs in and says so instead of sending it twice. The caller looks
    /// at the object and decides.
    pub(crate) async fn change(&self, call: &Call) -> Result<Node, VsphereError> {
        let generation = self.generation();
        let outcome = self.send(call).await;
        if outcome.as_ref().is_err_and(VsphereError::session_ended) {
            self.sign_in_again(generation).await?;
        }
        outcome
    }

    /// Opens a new session unless somebody else has done so since `generation`.
    pub(crate) async fn sign_in_again(&self, generation: u64) -> Result<(), VsphereError> {
        let _one_at_a_time = self.shared.renewing.lock().await;
        if self.generation() == generation {
            tracing::info!(
                server = self.server(),
                "the vCenter session had ended; signing in again"
            );
            self.login(None).await?;
        }
        Ok(())
    }

    async fn login(&self, first_contact: Option<HeaderValue>) -> Result<(), VsphereError> {
        let call = Call::new("Login", ("SessionManager", &self.shared.content.session_manager))
            .arg("userName", &self.shared.user)
            .secret("password", self.shared.credentials.password.expose())
            .arg("locale", "en");
        let sent = self
            .shared
            .wire
            .send(
                &call,
                first_contact.clone(),
                &*self.trace,
                &self.correlation,
                "\0",
                |_| {},
            )
            .await;
        let answer = match sent {
            Err(VsphereError::Fault { kind, .. }) if kind == "InvalidLogin" => {
                return Err(VsphereError::InvalidLogin {
                    server: self.server().into(),
                    user: self.shared.user.clone(),
                });
            }
            sent => sent?,
        };
        let key = answer
            .response
            .at(&["returnval", "key"])
            .map(|k| k.text.to_string())
            .unwrap_or_default();
        let mut session = self.session_mut();
        *session = Session {
            generation: session.generation + 1,
            cookie: answer.cookie.or(first_contact),
            key,
            used: self.shared.time.now(),
        };
        Ok(())
    }
}

impl Shared {
    fn logout_call(&self) -> Call {
        Call::new("Logout", ("SessionManager", &self.content.session_manager))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uses the session when nobody else has for a while. A session that has ended all the same is left to the next call.
async fn keep_alive(shared: Weak<Shared>) {
    let call = Call::new("CurrentTime", ("ServiceInstance", "ServiceInstance"));
    loop {
        let Some(held) = shared.upgrade() else { return };
        let (time, due) = (held.time.clone(), lock(&held.session).used + KEEP_ALIVE);
        drop(held);
        time.sleep_until(due).await;
        let Some(held) = shared.upgrade() else { return };
        let cookie = {
            let mut session = lock(&held.session);
            if session.used + KEEP_ALIVE > time.now() {
                continue;
            }
            session.used = time.now();
            session.cookie.clone()
        };
        if cookie.is_some()
            && let Err(e) = held
                .wire
                .send(&call, cookie, &NoTrace, "keep-alive", "\0", |_| {})
                .await
        {
            tracing::debug!(error = %e, "the vCenter session could not be kept alive");
        }
    }
}

impl Drop for Shared {
    /// Orphan sessions pile up on a vCenter until it refuses new ones, so the last clone logs out if it still can.
    fn drop(&mut self) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.abort();
        }
        let cookie = lock(&self.session).cookie.take();
        if let (Some(cookie), Ok(runtime)) = (cookie, tokio::runtime::Handle::try_current()) {
            let call = self.logout_call();
            let (http, action) = (self.wire.http.clone(), self.wire.action.clone());
            let (endpoint, verifier) = (self.wire.endpoint.clone(), self.wire.verifier.clone());
            runtime.spawn(async move {
                let wire = Wire {
                    endpoint,
                    http,
                    verifier,
                    action,
                };
                let _ = wire.send(&call, Some(cookie), &NoTrace, "logout", "\0", |_| {}).await;
            });
        }
    }
}

fn new_correlation() -> Arc<str> {
    format!("rehost-{}", uuid::Uuid::new_v4().simple()).into()
}

fn service_content(wire: &Wire, response: &Node) -> Result<(About, Content), VsphereError> {
    let missing = |what: &str| VsphereError::Parse {
        server: wire.endpoint.server.clone(),
        method: "RetrieveServiceContent".into(),
        detail: format!("{what} is missing"),
    };
    let content = response.child("returnval").ok_or_else(|| missing("the content"))?;
    let about = content.child("about").ok_or_else(|| missing("about"))?;
    let of = |name: &str| about.text_of(name).unwrap_or_default().to_owned();
    let of_content = |name: &str| content.text_of(name).unwrap_or_default().to_owned();
    let object = |name: &str| content.text_of(name).map(str::to_owned).ok_or_else(|| missing(name));
    Ok((
        About {
            full_name: of("fullName"),
            version: of("version"),
            api_version: of("apiVersion"),
            instance_uuid: of("instanceUuid"),
            is_vcenter: about.text_of("apiType") == Some("VirtualCenter"),
        },
        Content {
            root_folder: object("rootFolder")?,
            view_manager: object("viewManager")?,
            authorization_manager: object("authorizationManager")?,
            user_directory: object("userDirectory")?,
            event_manager: of_content("eventManager"),
            guest_operations_manager: of_content("guestOperationsManager"),
            ovf_manager: of_content("ovfManager"),
            property_collector: object("propertyCollector")?,
            session_manager: object("sessionManager")?,
        },
    ))
}
