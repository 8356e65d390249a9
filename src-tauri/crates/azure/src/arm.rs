//! The client of Azure Resource Manager.

use crate::{
    AzureError, ErrorClass, Network, Operation, Polled, TokenCredential,
    auth::{self, claims},
    clouds,
    error::{Origin, read, typed},
    limits::{Limits, Priority, Quota},
    model::Page,
    operation::{relative, resolved},
    redact::Known,
    transport::{self, Answer, Call},
    versions,
};
use bytes::Bytes;
use plan::{ResourceId, Trace, design::AzureConnection};
use reqwest::{
    Client, Method,
    header::{AUTHORIZATION, HeaderValue},
};
use secrets::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use url::Url;
use uuid::Uuid;

/// A client of one subscription's resource manager. Cheap to clone; all clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Arm {
    shared: Arc<Shared>,
    limits: Limits,
    priority: Priority,
    trace: Option<Arc<dyn Trace>>,
    correlation: String,
}

struct Shared {
    http: Client,
    connection: AzureConnection,
    base: Url,
    scope: String,
    credential: Arc<dyn TokenCredential>,
    known: Known,
    /// The token that requests bring along, nearly always the same.
    bearer: Mutex<Option<Arc<Bearer>>>,
    /// The token that Azure refused last: a credential that keeps tokens is asked for another one.
    refused: Mutex<Option<Arc<Bearer>>>,
}

/// A token, and the header that carries it.
pub(crate) struct Bearer {
    pub token: Secret<String>,
    header: HeaderValue,
}

/// An accepted request that changes something.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// HTTP status.
    pub status: u16,
    /// The resource or result, when Azure sent one.
    pub body: Option<Value>,
    /// What to follow; none when the change is complete.
    pub operation: Option<Operation>,
    pub correlation_id: Option<String>,
}

impl fmt::Debug for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arm")
            .field("base", &self.shared.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Arm {
    /// Prepares a client. Empty addresses are those of the public cloud. No I/O.
    ///
    /// # Errors
    /// Fails when an address or the certificate authority of the connection is unusable.
    pub fn connect(c: &AzureConnection, credential: Arc<dyn TokenCredential>) -> Result<Self, AzureError> {
        Self::through(&Network::of(c, None)?, c, credential)
    }

    /// The same through a given network: for a proxy that wants a password.
    ///
    /// # Errors
    /// See [`Arm::connect`].
    pub fn through(
        network: &Network,
        c: &AzureConnection,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, AzureError> {
        let connection = clouds::complete(c);
        let base = clouds::address("resource manager address", &connection.arm_url)?;
        let shared = Shared {
            http: network.client(&base)?,
            scope: clouds::scope(&connection),
            base,
            connection,
            credential,
            known: Known::default(),
            bearer: Mutex::default(),
            refused: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            limits: Limits::default(),
            priority: Priority::New,
            trace: None,
            correlation: Uuid::new_v4().to_string(),
        })
    }

    /// Returns the same client with a correlation id of its own, whose exchanges go to `trace`.
    #[must_use]
    pub fn traced(&self, trace: Arc<dyn Trace>) -> Self {
        Self {
            trace: Some(trace),
            correlation: Uuid::new_v4().to_string(),
            ..self.clone()
        }
    }

    /// Returns the same client within these limits: those of another client of the same account, or limits in another
    /// time than the computer's.
    #[must_use]
    pub fn limited(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// Returns the same client for looking after running operations: its requests go before new work when requests have
    /// to wait. [`Arm::poll`] does so by itself.
    #[must_use]
    pub fn following(&self) -> Self {
        Self {
            priority: Priority::Following,
            ..self.clone()
        }
    }

    /// Tells what is left of Azure's limits.
    pub fn quota(&self) -> Vec<Quota> {
        self.limits.quota(self.shared.connection.subscription_id.trim())
    }

    /// Removes a secret from everything that this client (and its clones) shows from now on. Passwords in request
    /// bodies, keys in answers and tokens are found without this.
    pub fn protect(&self, secret: &Secret<String>) {
        self.shared.known.learn(secret.expose());
    }

    /// The connection, empty addresses filled in.
    pub fn connection(&self) -> &AzureConnection {
        &self.shared.connection
    }

    pub(crate) fn http(&self) -> &Client {
        &self.shared.http
    }

    pub(crate) fn known(&self) -> &Known {
        &self.shared.known
    }

    pub(crate) fn trace(&self) -> Option<&dyn Trace> {
        self.trace.as_deref()
    }

    pub(crate) fn correlation(&self) -> &str {
        &self.correlation
    }

    /// Reads a resource. The id may carry a query (`?$expand=instanceView`).
    ///
    /// # Errors
    /// Fails as all requests do; [`AzureError::is_not_found`] tells that it is not there.
    pub async fn get(&self, id: &ResourceId) -> Result<Value, AzureError> {
        self.read(id).await
    }

    /// Reads a resource that may be absent.
    ///
    /// # Errors
    /// Fails as all requests do, but not when the resource (or its group) is absent.
    pub async fn get_opt(&self, id: &ResourceId) -> Result<Option<Value>, AzureError> {
        self.read_opt(id).await
    }

    /// Reads a path with query, from `/`. The api-version of the path's type is added unless one is given.
    ///
    /// # Errors
    /// Fails as all requests do.
    pub async fn get_path(&self, path_and_query: &str) -> Result<Value, AzureError> {
        self.read_path(path_and_query).await
    }

    /// Reads a whole collection, page by page.
    ///
    /// # Errors
    /// Fails as all requests do; and when a page names a next one on another host, or one that was read already.
    pub async fn list(&self, collection: &ResourceId) -> Result<Vec<Value>, AzureError> {
        self.read_all(collection).await
    }

    /// Reads a resource as one of the types of this crate's provider modules.
    ///
    /// # Errors
    /// As [`Arm::get`]; and when the answer has another shape, with the place in the document.
    pub async fn read<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<T, AzureError> {
        self.read_path(id.as_str()).await
    }

    /// Reads a resource that may be absent as a type.
    ///
    /// # Errors
    /// As [`Arm::get_opt`]; and when the answer has another shape.
    pub async fn read_opt<T: DeserializeOwned>(&self, id: &ResourceId) -> Result<Option<T>, AzureError> {
        match self.read(id).await {
            Err(e) if e.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Reads a path with query as a type.
    ///
    /// # Errors
    /// As [`Arm::get_path`]; and when the answer has another shape.
    pub async fn read_path<T: DeserializeOwned>(&self, path_and_query: &str) -> Result<T, AzureError> {
        let url = self.url(path_and_query)?;
        let answer = self.send(&Method::GET, &url, None).await?;
        self.judged("GET", &url, &answer, |origin| {
            // Nothing there is said in two ways.
            if !answer.is_success() || answer.status == 204 {
                Err(origin.refusal(&answer))
            } else {
                origin.json(&answer)
            }
        })
    }

    /// Reads a whole collection, page by page, as a type.
    ///
    /// # Errors
    /// As [`Arm::list`]; and when an entry has another shape.
    pub async fn read_all<T: DeserializeOwned>(&self, collection: &ResourceId) -> Result<Vec<T>, AzureError> {
        let mut url = self.url(collection.as_str())?;
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        loop {
            seen.insert(url.as_str().to_owned());
            let answer = self.send(&Method::GET, &url, None).await?;
            let (page, next) = self.judged("GET", &url, &answer, |origin| {
                if !answer.is_success() {
                    return Err(origin.refusal(&answer));
                }
                let mut page: Page<T> = origin.json(&answer)?;
                let next = page.next_link.take().filter(|l| !l.is_empty());
                let next = next.map(|l| relative(&l, &self.shared.base, origin)).transpose()?;
                Ok((page, next))
            })?;
            all.extend(page.value);
            let Some(next) = next else { return Ok(all) };
            url = self.joined(&next)?;
            if seen.contains(url.as_str()) {
                return self.judged("GET", &url, &answer, |o| {
                    Err(o.parse_error(
                        "nextLink".into(),
                        "the list's pages lead back to one that was read already",
                    ))
                });
            }
        }
    }

    /// Calls an action that answers at once (`listKeys`, `checkNameAvailability` …) and reads its answer as a type.
    ///
    /// # Errors
    /// As [`Arm::post`]; and when the answer has another shape, or Azure made a long operation of it.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        id: &ResourceId,
        verb: &str,
        body: Option<&Value>,
    ) -> Result<T, AzureError> {
        let started = self.post(id, verb, body).await?;
        let url = self.joined(&format!("{id}/{verb}"))?;
        let origin = Origin {
            method: "POST",
            url: &url,
            known: &self.shared.known,
        };
        let answer = started
            .body
            .ok_or_else(|| origin.parse_error(String::new(), format!("the answer ({}) is empty", started.status)))?;
        typed(answer).map_err(|(path, message)| origin.parse_error(path, message))
    }

    /// Creates or replaces a resource.
    ///
    /// # Errors
    /// Fails as all requests do.
    pub async fn put(&self, id: &ResourceId, body: &Value) -> Result<Started, AzureError> {
        self.change(Method::PUT, self.url(id.as_str())?, Some(body)).await
    }

    /// Changes parts of a resource.
    ///
    /// # Errors
    /// Fails as all requests do.
    pub async fn patch(&self, id: &ResourceId, body: &Value) -> Result<Started, AzureError> {
        self.change(Method::PATCH, self.url(id.as_str())?, Some(body)).await
    }

    /// Deletes a resource. One that is not there counts as deleted.
    ///
    /// # Errors
    /// Fails as all requests do.
    pub async fn delete(&self, id: &ResourceId) -> Result<Started, AzureError> {
        match self.change(Method::DELETE, self.url(id.as_str())?, None).await {
            Err(e) if e.is_not_found() => Ok(Started {
                status: e.status().unwrap_or(404),
                body: None,
                operation: None,
                correlation_id: e.correlation_id().map(str::to_owned),
            }),
            other => other,
        }
    }

    /// Calls an action of a resource: `listKeys`, `testFailover`, `register` …
    ///
    /// # Errors
    /// Fails as all requests do.
    pub async fn post(&self, id: &ResourceId, verb: &str, body: Option<&Value>) -> Result<Started, AzureError> {
        // The version is the resource's: an action's name is no type. Only a provider's own actions, like
        // checkNameAvailability, have the provider's version; registering it is asked of the resource manager.
        let (path, query) = id.as_str().split_once('?').unwrap_or((id.as_str(), ""));
        let of_provider =
            id.resource_type().is_some_and(|t| !t.contains('/')) && !verb.eq_ignore_ascii_case("register");
        let versioned_as = if of_provider {
            format!("{path}/{verb}")
        } else {
            path.to_owned()
        };
        let versioned = self.url(&format!("{versioned_as}?{query}"))?;
        let mut url = self.joined(&format!("{path}/{verb}"))?;
        url.set_query(versioned.query().map(|q| q.trim_start_matches('&')));
        self.change(Method::POST, url, body).await
    }

    /// Asks once how an operation goes. Never waits: [`Polled::Running`] says when to ask again.
    ///
    /// # Errors
    /// Fails when *this poll* failed; the operation goes on, and the same value can be polled again. An operation that
    /// itself failed is [`Polled::Failed`].
    pub async fn poll(&self, operation: &Operation) -> Result<Polled, AzureError> {
        let url = self.joined(operation.poll_url())?;
        let answer = self.following().send(&Method::GET, &url, None).await?;
        let polled = self.judged("GET", &url, &answer, |origin| {
            operation.judge(&self.shared.base, &answer, origin)
        })?;
        Ok(match polled {
            Polled::Failed(e) => Polled::Failed(e.correlated(&self.correlation)),
            other => other,
        })
    }

    async fn change(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Started, AzureError> {
        let verb = method.as_str();
        let bytes = body.map(|b| Bytes::from(b.to_string()));
        if let Some(body) = body {
            // Before the request: the answer may quote what was sent.
            self.shared.known.learn_from(body);
        }
        let answer = self.send(&method, &url, bytes).await?;
        self.judged(verb, &url, &answer, |origin| {
            if !answer.is_success() {
                return Err(origin.refusal(&answer));
            }
            let resource = relative(url.as_str(), &self.shared.base, origin)?;
            let operation = Operation::start(verb, &resource, &self.shared.base, &answer, origin)?;
            let body = match &operation {
                // What an accepted request says beside its headers is not needed, so it may be anything.
                Some(_) => read(&answer.body).ok(),
                None if answer.body.is_empty() => None,
                None => Some(origin.json(&answer)?),
            };
            if let Some(body) = &body {
                self.shared.known.learn_from(body);
            }
            let named = answer
                .header("x-ms-correlation-request-id")
                .unwrap_or(&self.correlation);
            Ok(Started {
                status: answer.status,
                body,
                operation,
                correlation_id: Some(named.to_owned()),
            })
        })
    }

    /// Sends one request with a token. A token that Azure refuses is replaced once, by one that was asked for with what
    /// Azure demands.
    async fn send(&self, method: &Method, url: &Url, body: Option<Bytes>) -> Result<Answer, AzureError> {
        let (answer, bearer) = self.admitted(None, method, url, body.clone()).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let demanded = claims::demanded(&answer.headers);
        if let Some(demanded) = &demanded {
            self.shared.known.learn(demanded.expose());
        }
        let fresh = self.token(Some(bearer.clone()), demanded).await?;
        let answer = if fresh.token == bearer.token {
            answer
        } else {
            self.admitted(Some(fresh), method, url, body).await?.0
        };
        match claims::demanded(&answer.headers).filter(|_| answer.status == 401) {
            Some(demanded) => Err(claims::unmet(&self.shared.connection, &demanded)),
            None => Ok(answer),
        }
    }

    /// Waits for room in Azure's limits and sends one request. Thousands may wait: what a request needs, a token that is
    /// valid when it is sent among it, is made afterwards.
    async fn admitted(
        &self,
        bearer: Option<Arc<Bearer>>,
        method: &Method,
        url: &Url,
        body: Option<Bytes>,
    ) -> Result<(Answer, Arc<Bearer>), AzureError> {
        let pass = self.limits.admit(self.priority, method, url.path()).await;
        let exchange = async {
            let bearer = match bearer {
                Some(bearer) => bearer,
                None => self.token(None, None).await?,
            };
            let call = self.call(&bearer, method, url, body);
            let answer = transport::send(&self.shared.http, call, &self.shared.known, self.trace()).await?;
            Ok::<_, AzureError>((answer, bearer))
        };
        let (answer, bearer) = Box::pin(exchange).await?;
        let refusal = matches!(answer.status, 429 | 503).then(|| {
            let origin = Origin {
                method: method.as_str(),
                url,
                known: &self.shared.known,
            };
            origin.refusal(&answer)
        });
        let throttled = refusal.as_ref().and_then(|e| match e.class() {
            ErrorClass::Throttled(seconds) => Some((e.code(), seconds)),
            _ => None,
        });
        pass.answered(&answer.headers, throttled);
        Ok((answer, bearer))
    }

    fn call(&self, bearer: &Bearer, method: &Method, url: &Url, body: Option<Bytes>) -> Call {
        let mut call = Call::new("azure", method.clone(), url.clone())
            .header("accept", "application/json")
            // A new one for each request: Azure replays the earlier answer to a known one.
            .header("x-ms-client-request-id", &Uuid::new_v4().to_string())
            .header("x-ms-correlation-request-id", &self.correlation);
        if let Some(body) = body {
            call = call.header("content-type", "application/json");
            call.body = Some(body);
        } else if method == Method::POST {
            // Azure wants the length of an empty body too.
            call = call.header("content-length", "0");
        }
        call.headers.insert(AUTHORIZATION, bearer.header.clone());
        call
    }

    /// Gets a token for the SQL servers of this cloud, from the same sign-in.
    ///
    /// # Errors
    /// Fails when Entra gives none, or nobody is signed in.
    pub async fn sql_token(&self) -> Result<Secret<String>, AzureError> {
        let context = auth::Context {
            trace: self.trace.clone(),
            refused: None,
            demanded: None,
        };
        let scope = clouds::sql_scope(&self.shared.connection);
        let scopes = [scope.as_str()];
        let token = auth::CONTEXT
            .scope(context, self.shared.credential.get_token(&scopes, None))
            .await;
        let token = token.map_err(|e| auth::explained(&e, &self.shared.known))?;
        let token = Secret::from(token.token.secret());
        self.shared.known.learn(token.expose());
        Ok(token)
    }

    /// Gets a token. `refused`: the one that Azure has just refused, and what it demanded then.
    pub(crate) async fn token(
        &self,
        refused: Option<Arc<Bearer>>,
        demanded: Option<Secret<String>>,
    ) -> Result<Arc<Bearer>, AzureError> {
        let refused = {
            let mut last = lock(&self.shared.refused);
            if refused.is_some() {
                *last = refused;
            }
            last.clone()
        };
        let context = auth::Context {
            trace: self.trace.clone(),
            refused,
            demanded,
        };
        let scopes = [self.shared.scope.as_str()];
        let token = auth::CONTEXT
            .scope(context, self.shared.credential.get_token(&scopes, None))
            .await;
        let token = token.map_err(|e| auth::explained(&e, &self.shared.known))?;
        let token = token.token.secret();
        let mut last = lock(&self.shared.bearer);
        if let Some(same) = last.as_ref().filter(|b| b.token.expose() == token) {
            return Ok(same.clone());
        }
        self.shared.known.learn(token);
        let unusable = |_| auth::token_error("NoToken", "no header can hold the token");
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
        header.set_sensitive(true);
        let token = Secret::from(token);
        Ok(last.insert(Arc::new(Bearer { token, header })).clone())
    }

    /// Runs `judge` with the words that its errors need.
    fn judged<T>(
        &self,
        method: &str,
        url: &Url,
        answer: &Answer,
        judge: impl FnOnce(&Origin<'_>) -> Result<T, AzureError>,
    ) -> Result<T, AzureError> {
        let named = answer
            .header("x-ms-correlation-request-id")
            .unwrap_or(&self.correlation);
        judge(&Origin {
            method,
            url,
            known: &self.shared.known,
        })
        .map_err(|e| e.correlated(named))
    }

    /// Returns the URL of a path, with its api-version.
    fn url(&self, path_and_query: &str) -> Result<Url, AzureError> {
        let versioned = versions::versioned(path_and_query).ok_or_else(|| AzureError::Config {
            field: "api-version".into(),
            message: format!("none is known for {path_and_query}"),
        })?;
        self.joined(&versioned)
    }

    fn joined(&self, path_and_query: &str) -> Result<Url, AzureError> {
        let origin = Origin {
            method: "GET",
            url: &self.shared.base,
            known: &self.shared.known,
        };
        resolved(path_and_query, &self.shared.base, &origin)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
