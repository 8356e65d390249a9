//! vCenter's SOAP service over the datacenter in [`crate::onprem`].
//!
//! It speaks the protocol of a vCenter 7.0 as far as inventory, rights, power and tasks go, with the server's own limits:
//! pages of 100 objects, sessions that end after 30 idle minutes of lab time (a read then answers with every property
//! missing), faults where the real one has them. Foreign clients (pyvmomi) judge it.
//!
//! `wire` reads requests and writes values, `objects` describes what stands in the datacenter, `collector` answers property
//! reads, `updates` tells changes, `guest` works inside machines, `access` and `machines` carry out the rest.

mod access;
mod collector;
mod devices;
mod events;
mod folders;
mod guest;
pub(crate) mod imports;
mod machines;
mod objects;
mod updates;
mod wire;

use crate::{
    clock::LabClock,
    onprem::LabSession,
    world::{Shared, World},
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use jiff::SignedDuration;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use wire::{Element, Fault, Val, reference};

/// Idle sessions of a vCenter end after this long; at high speed never before [`IDLE_REAL_SECS`] of real time, or a session
/// would end between two requests of a busy computer.
const IDLE: SignedDuration = SignedDuration::from_mins(30);
const IDLE_REAL_SECS: i64 = 5;

/// The service of the vCenter port.
pub fn router(world: Shared, clock: Arc<LabClock>) -> Router {
    let service = Arc::new(Service {
        world,
        clock,
        open: Mutex::default(),
    });
    Router::new()
        .route("/sdk", post(call))
        .route("/sdk/", post(call))
        .route("/sdk/vimServiceVersions.xml", get(versions))
        .route("/guestFile", get(guest::file).put(guest::file))
        .route("/nfc/{lease}/{file}", any(imports::upload))
        .with_state(service)
}

struct Service {
    world: Shared,
    clock: Arc<LabClock>,
    open: Mutex<Open>,
}

/// What sessions have open; all of it ends with them.
#[derive(Default)]
struct Open {
    next: u64,
    views: BTreeMap<String, View>,
    reads: BTreeMap<String, collector::Reading>,
    watchers: BTreeMap<String, updates::Watcher>,
    collectors: BTreeMap<String, events::Collector>,
}

impl Open {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn end(&mut self, session: &str) {
        self.views.retain(|_, v| v.session != session);
        self.reads.retain(|_, r| r.session != session);
        self.watchers.retain(|_, w| w.session != session);
        self.collectors.retain(|_, c| c.session != session);
    }
}

/// A `ContainerView`.
#[derive(Debug, Clone)]
struct View {
    session: String,
    container: (String, String),
    types: Vec<String>,
    recursive: bool,
}

/// One request on its way.
struct Context<'a> {
    w: &'a mut World,
    open: &'a mut Open,
    /// Key of the live session; none before Login and after expiry.
    session: Option<String>,
    user: String,
    set_cookie: Option<String>,
    /// What a busy client can't miss: nothing is forgotten sooner, however fast the clock runs.
    patience: SignedDuration,
    /// The call has looked before, and waits.
    again: bool,
    /// There is nothing to tell yet.
    pending: bool,
}

/// What a method answers: the content of its `…Response` element.
type Outcome = Result<String, Fault>;

async fn versions(State(service): State<Arc<Service>>) -> Response {
    let newest = service.world.lock().onprem.about.api_version.clone();
    let prior: String = [
        "7.0.2.0", "7.0.1.0", "7.0.0.0", "6.9.1", "6.8.7", "6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0", "5.5",
    ]
    .map(|v| format!("<version>{v}</version>"))
    .concat();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\"><namespace><name>urn:vim25</name>\
         <version>{newest}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>"
    );
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

async fn call(State(service): State<Arc<Service>>, headers: HeaderMap, body: String) -> Response {
    let request = wire::request(&body);
    let Some(until) = request.as_ref().ok().and_then(updates::deadline) else {
        return answer(&service, &headers, &request, false).0;
    };
    let mut changed = service.world.lock().changes();
    let mut again = false;
    loop {
        changed.mark_unchanged();
        let (response, pending) = answer(&service, &headers, &request, again);
        if !pending || Instant::now() >= until {
            return response;
        }
        updates::news(&service, &mut changed, until).await;
        again = true;
    }
}

/// Answers a call; true when it may wait for something to tell.
fn answer(service: &Service, headers: &HeaderMap, request: &Result<Element, String>, again: bool) -> (Response, bool) {
    let mut world = service.world.lock();
    world.advance(service.clock.now());
    let mut open = service.open.lock().unwrap_or_else(PoisonError::into_inner);
    let patience = SignedDuration::from_secs(IDLE_REAL_SECS * i64::from(service.clock.speed()));
    let idle = IDLE.max(patience);
    let key = cookie(headers).filter(|key| renew(&mut world, &mut open, key, idle));
    let user = key
        .as_ref()
        .and_then(|k| world.onprem.sessions.get(k))
        .map(|s| s.user.clone())
        .unwrap_or_default();
    let mut context = Context {
        w: &mut world,
        open: &mut open,
        session: key,
        user,
        set_cookie: None,
        patience,
        again,
        pending: false,
    };
    let (method, outcome) = match request {
        Ok(request) => (request.name.as_str(), context.dispatch(request)),
        Err(why) => ("", Err(Fault::new("InvalidRequest", why))),
    };
    let pending = context.pending;
    let set_cookie = context.set_cookie.take();
    let (status, body) = match outcome {
        Ok(content) => (
            StatusCode::OK,
            format!("<{method}Response xmlns=\"urn:vim25\">{content}</{method}Response>"),
        ),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.xml()),
    };
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "text/xml; charset=utf-8")],
        wire::envelope(&body),
    )
        .into_response();
    if let Some(value) = set_cookie.and_then(|c| c.parse().ok()) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    (response, pending)
}

/// The session key in the cookie; a vCenter puts it in double quotes.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|h| h.to_str().ok())
        .flat_map(|h| h.split(';'));
    pairs
        .filter_map(|pair| pair.trim().strip_prefix("vmware_soap_session="))
        .map(|value| value.trim_matches('"').to_owned())
        .next()
}

/// True when the session was used within `idle`; it then lives as long again.
fn renew(w: &mut World, open: &mut Open, key: &str, idle: SignedDuration) -> bool {
    let now = w.now();
    match w.onprem.sessions.get_mut(key) {
        Some(session) if now.duration_since(session.last_active) <= idle => {
            session.last_active = now;
            true
        }
        Some(_) => {
            w.onprem.sessions.remove(key);
            w.end_leases(key);
            open.end(key);
            false
        }
        None => false,
    }
}

impl Context<'_> {
    fn dispatch(&mut self, request: &Element) -> Outcome {
        let method = request.name.as_str();
        let this = request
            .child("_this")
            .map(|t| (t.kind.clone(), t.text.clone()))
            .unwrap_or_default();
        let free = matches!(
            method,
            "RetrieveServiceContent" | "Login" | "RetrievePropertiesEx" | "RetrieveProperties"
        ) || method == "Fetch" && matches!(this.0.as_str(), "ServiceInstance" | "SessionManager");
        if self.session.is_none() && !free {
            return Err(Fault::not_authenticated(&this));
        }
        if !self.exists(&this) {
            return Err(Fault::not_found(&this));
        }
        match method {
            "RetrieveServiceContent" => Ok(objects::service_content(self.w).element("returnval")),
            "CurrentTime" => Ok(Val::time(self.w.now()).element("returnval")),
            "Login" => self.login(request),
            "Logout" => self.logout(),
            "SessionIsActive" => {
                let key = request.text("sessionID").unwrap_or_default();
                Ok(Val::flag(self.w.onprem.sessions.contains_key(key)).element("returnval"))
            }
            "CreateContainerView" => self.create_view(request),
            "DestroyView" => {
                self.open.views.remove(&this.1);
                Ok(String::new())
            }
            "RetrievePropertiesEx" => self.retrieve(request),
            "RetrieveProperties" => self.retrieve_whole(request),
            "ContinueRetrievePropertiesEx" => self.continue_retrieve(request),
            "CancelRetrievePropertiesEx" => self.cancel_retrieve(request),
            "Fetch" => self.fetch(request, &this),
            "CreatePropertyCollector" => self.create_collector(),
            "DestroyPropertyCollector" => self.destroy_collector(&this.1),
            "CreateFilter" => self.create_filter(request, &this.1),
            "DestroyPropertyFilter" => self.destroy_filter(&this.1),
            "WaitForUpdates" | "WaitForUpdatesEx" => self.updates(request, &this.1),
            "CancelWaitForUpdates" => self.cancel_wait(&this.1),
            "FindByInventoryPath" | "FindByUuid" | "FindChild" => self.find(request),
            "AddAuthorizationRole" => self.add_role(request),
            "UpdateAuthorizationRole" => self.update_role(request),
            "RemoveAuthorizationRole" => self.remove_role(request),
            "SetEntityPermissions" => self.set_permissions(request),
            "RetrieveEntityPermissions" => self.entity_permissions(request),
            "RetrieveAllPermissions" => self.all_permissions(),
            "RetrieveRolePermissions" => self.role_permissions(request),
            "RemoveEntityPermission" => self.remove_permission(request),
            "HasPrivilegeOnEntities" => self.has_privileges(request),
            "HasUserPrivilegeOnEntities" => self.user_has_privileges(request),
            "FetchUserPrivilegeOnEntities" => self.fetch_privileges(request),
            "RetrieveUserGroups" => self.user_groups(request),
            _ if this.0 == "VirtualMachine" && machines::METHODS.contains(&method) => self.machine(request, &this.1),
            "RemoveSnapshot_Task" | "RevertToSnapshot_Task" => self.snapshot(request, &this.1),
            "CreateFolder" | "MoveIntoFolder_Task" | "Rename_Task" | "Destroy_Task" if this.0 == "Folder" => {
                self.folder(request, &this)
            }
            "ParseDescriptor" => self.parse_descriptor(request),
            "CreateImportSpec" => self.create_import_spec(request),
            "ImportVApp" if this.0 == "ResourcePool" => self.import_vapp(request, &this),
            "HttpNfcLeaseProgress" | "HttpNfcLeaseComplete" | "HttpNfcLeaseAbort" => self.lease(request, &this.1),
            "CancelTask" => self.cancel_task(&this.1),
            "QueryEvents" => self.query_events(request),
            "CreateCollectorForEvents" => self.collect_events(request),
            _ if let Some(privilege) = guest::privilege(&this.0, method) => self.guest_operation(request, &privilege),
            _ if this.0 == "EventHistoryCollector" => self.event_collector(request, &this.1),
            _ => Err(Fault::new("MethodNotFound", "The method is not supported by this lab.")
                .with("receiver", reference(&this.0, &this.1))
                .with("method", Val::text(method))),
        }
    }

    fn exists(&self, object: &(String, String)) -> bool {
        objects::exists(self.w, self.open, self.session.as_deref(), object)
    }

    fn login(&mut self, request: &Element) -> Outcome {
        let words = |name: &str| request.text(name).unwrap_or_default();
        let account = self.account(words("userName"), words("password"));
        let Some(user) = account.filter(|_| self.session.is_none()) else {
            let words = "Cannot complete login due to an incorrect user name or password.";
            return Err(Fault::new("InvalidLogin", words));
        };
        self.has_any_right(&user)?;
        let now = self.w.now();
        let key = self
            .w
            .guid(&format!("vcenter session {}", self.open.number()))
            .simple()
            .to_string();
        self.w.onprem.sessions.insert(
            key.clone(),
            LabSession {
                user,
                login: now,
                last_active: now,
            },
        );
        self.set_cookie = Some(format!("vmware_soap_session=\"{key}\"; Path=/; HttpOnly; Secure;"));
        self.session = Some(key.clone());
        Ok(objects::session(self.w, &key)
            .map(|s| s.element("returnval"))
            .unwrap_or_default())
    }

    fn logout(&mut self) -> Outcome {
        if let Some(key) = self.session.take() {
            self.w.onprem.sessions.remove(&key);
            self.w.end_leases(&key);
            self.open.end(&key);
        }
        Ok(String::new())
    }

    fn create_view(&mut self, request: &Element) -> Outcome {
        let container = request
            .object("container")
            .ok_or_else(|| Fault::argument("container"))?;
        if !self.exists(&container) {
            return Err(Fault::not_found(&container));
        }
        if !matches!(
            container.0.as_str(),
            "Folder" | "Datacenter" | "ComputeResource" | "HostSystem" | "ResourcePool"
        ) {
            return Err(Fault::argument("container"));
        }
        let id = format!(
            "session[{}]{}",
            self.session.as_deref().unwrap_or_default(),
            self.open.number()
        );
        let view = View {
            session: self.session.clone().unwrap_or_default(),
            container,
            types: request.texts("type"),
            recursive: request.text("recursive") == Some("true"),
        };
        self.open.views.insert(id.clone(), view);
        Ok(reference("ContainerView", &id).element("returnval"))
    }

    fn find(&mut self, request: &Element) -> Outcome {
        let named = |w: &World, path: &str| {
            let name = objects::decoded(path.rsplit('/').next().unwrap_or_default());
            let machine = w
                .onprem
                .vms
                .iter()
                .find(|v| v.name == name)
                .map(|v| ("VirtualMachine", v.moref.clone()));
            machine.or_else(|| {
                w.onprem
                    .entities
                    .iter()
                    .find(|e| e.name == name)
                    .map(|e| (e.kind, e.moref.clone()))
            })
        };
        let found = match request.name.as_str() {
            "FindByInventoryPath" => named(self.w, request.text("inventoryPath").unwrap_or_default()),
            "FindChild" => named(self.w, request.text("name").unwrap_or_default()),
            _ => {
                let instance = request.text("instanceUuid") == Some("true");
                let wanted = request.text("uuid").unwrap_or_default().to_lowercase();
                let id = |v: &crate::onprem::LabVm| if instance { v.instance_uuid } else { v.bios_uuid };
                let vm = self.w.onprem.vms.iter().find(|v| id(v).to_string() == wanted);
                vm.map(|v| ("VirtualMachine", v.moref.clone()))
            }
        };
        Ok(found
            .map(|(kind, moref)| reference(kind, &moref).element("returnval"))
            .unwrap_or_default())
    }
}
