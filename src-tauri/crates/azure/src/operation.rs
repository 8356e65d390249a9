//! Long-running operations as data.
//!
//! An [`Operation`] is written into the journal when Azure accepts a request, so that a later process can follow it.
//! It holds paths, never hosts: by construction a token can't follow it to a foreign host. This module decides and
//! does no I/O; `Arm::poll` sends the one request that [`Operation::poll_url`] names.
//!
//! The rules (azure-resource-manager/management/async-operations.md, and the poller of Microsoft's Python SDK):
//! `Azure-AsyncOperation` first, else `Location`, else the resource's own `provisioningState`; states compare without
//! case; a missing `provisioningState` means succeeded; the newest URLs win; PUT and PATCH end with a GET of the
//! resource, POST with a GET of `Location` when there was one, DELETE with nothing. Site Recovery sends the header on
//! plain GETs too, so the header alone starts nothing.

use crate::{
    ApiError, AzureError,
    error::{Origin, read},
    transport::Answer,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::{Host, Position, Url};

/// Seconds between polls when Azure names none. Network, SQL and Storage all answer within that.
const DEFAULT_WAIT: u64 = 10;
/// A server that names more is asked again after an hour all the same.
const LONGEST_WAIT: u64 = 3_600;

/// How the next poll reads its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Phase {
    /// `Azure-AsyncOperation`: a document with `status`.
    Status,
    /// `Location`: 202 while it runs.
    Location,
    /// The resource's own `properties.provisioningState`.
    Resource,
    /// A deletion without headers: gone when 404.
    Gone,
    /// It succeeded; the next request reads the result.
    Result,
}

/// A long operation that Azure accepted. Serializable; valid in a later process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    method: String,
    phase: Phase,
    /// Path and query of the next request.
    poll_url: String,
    /// Path and query that gives the result, when one is read after success.
    final_url: Option<String>,
    /// Path and query of the resource itself.
    resource_url: String,
    name: Option<String>,
    /// Seconds.
    retry_after: u64,
}

/// What one poll says.
#[derive(Debug, Clone, PartialEq)]
pub enum Polled {
    /// Goes on: poll `operation` (it holds the newest URLs) after `retry_after` seconds.
    Running {
        operation: Operation,
        status: String,
        percent: Option<f64>,
        retry_after: u64,
    },
    /// Succeeded. The body is the resource or the action's result, when there is one.
    Done { body: Option<Value> },
    /// The operation itself failed or was cancelled. (A poll that failed is an `Err` of `Arm::poll` instead, and ends
    /// nothing.)
    Failed(AzureError),
}

#[derive(Deserialize)]
struct Status {
    status: Option<String>,
    #[serde(rename = "percentComplete")]
    percent: Option<Value>,
    properties: Option<Value>,
}

impl Operation {
    /// Seconds to wait before the next poll.
    pub fn retry_after(&self) -> u64 {
        self.retry_after
    }

    /// Path and query of the next poll.
    pub fn poll_url(&self) -> &str {
        &self.poll_url
    }

    /// The operation's id, the last segment of the URL that Azure named: for Site Recovery the name of the job.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Reads the answer to a request that changes something.
    ///
    /// # Errors
    /// Fails when the answer names a URL on another host than `base`.
    pub(crate) fn start(
        method: &str,
        resource_url: &str,
        base: &Url,
        answer: &Answer,
        origin: &Origin<'_>,
    ) -> Result<Option<Self>, AzureError> {
        let creates = matches!(method, "PUT" | "PATCH");
        let body = read::<Value>(&answer.body).ok();
        let state = body.as_ref().and_then(provisioning_state);
        let accepted = match answer.status {
            202 => true,
            201 => !(creates && state.is_some_and(succeeded) && answer.header("azure-asyncoperation").is_none()),
            // Nothing but a body that says "not yet" makes a 200 long-running, or a header without such a body.
            200 if creates => state.map_or(answer.header("azure-asyncoperation").is_some(), |s| !succeeded(s)),
            _ => false,
        };
        if !accepted {
            return Ok(None);
        }
        let named = |header: &str| answer.header(header).map(|url| relative(url, base, origin)).transpose();
        let (status_url, location) = (named("azure-asyncoperation")?, named("location")?);
        let (phase, poll_url) = match (status_url, &location, method) {
            (Some(url), ..) => (Phase::Status, url),
            (None, Some(url), _) => (Phase::Location, url.clone()),
            (None, None, "DELETE") => (Phase::Gone, resource_url.to_owned()),
            (None, None, _) if creates => {
                // 201 with a complete resource: nothing is pending.
                if answer.status == 201 && state.is_none() {
                    return Ok(None);
                }
                (Phase::Resource, resource_url.to_owned())
            }
            // An accepted action that names nothing to follow is done as far as anybody can tell.
            _ => return Ok(None),
        };
        let final_url = match method {
            "PUT" | "PATCH" => Some(resource_url.to_owned()),
            "POST" => location,
            _ => None,
        };
        let name = matches!(phase, Phase::Status | Phase::Location)
            .then(|| last_segment(&poll_url))
            .flatten();
        Ok(Some(Self {
            method: method.to_owned(),
            phase,
            poll_url,
            final_url,
            resource_url: resource_url.to_owned(),
            name,
            retry_after: wait(answer),
        }))
    }

    /// Reads the answer to a poll.
    ///
    /// # Errors
    /// Fails when this poll failed (throttled, 5xx, token, rights, another host, not understood). The operation goes on
    /// and can be polled again.
    pub(crate) fn judge(&self, base: &Url, answer: &Answer, origin: &Origin<'_>) -> Result<Polled, AzureError> {
        let missing = !answer.is_success() && origin.refusal(answer).is_not_found();
        if !answer.is_success() && !missing {
            let error = origin.refusal(answer);
            let ends = matches!(self.phase, Phase::Location)
                && (400..500).contains(&answer.status)
                && !matches!(answer.status, 401 | 403 | 408 | 429)
                && matches!(error, AzureError::Api(_));
            // Behind `Location` the refusal is the operation's result.
            return if ends {
                Ok(Polled::Failed(self.owned(error)))
            } else {
                Err(error)
            };
        }
        match self.phase {
            Phase::Status if missing => Ok(self.forgotten(origin, answer)),
            Phase::Location if missing => Ok(self.forgotten(origin, answer)),
            Phase::Status => self.judge_status(base, answer, origin),
            Phase::Location => {
                if answer.status == 202 {
                    return self.goes_on(
                        base,
                        answer,
                        origin,
                        "InProgress".into(),
                        percent_of(&read(&answer.body).ok()),
                    );
                }
                let body: Option<Value> = read(&answer.body).ok();
                Ok(match body {
                    Some(body) => Polled::Done { body: Some(body) },
                    None if self.method == "PUT" || self.method == "PATCH" => self.succeeded(),
                    None => Polled::Done { body: None },
                })
            }
            Phase::Resource if missing => Ok(Polled::Failed(self.owned(origin.refusal(answer)))),
            Phase::Resource => {
                let body: Value = origin.json(answer)?;
                match provisioning_state(&body).map(str::to_owned) {
                    Some(state) if failed(&state) => Ok(Polled::Failed(self.failure(&body, &state, origin, answer))),
                    Some(state) if !succeeded(&state) => self.goes_on(base, answer, origin, state, None),
                    _ => Ok(Polled::Done { body: Some(body) }),
                }
            }
            Phase::Gone if missing || answer.status == 204 => Ok(Polled::Done { body: None }),
            Phase::Gone => {
                let body: Option<Value> = read(&answer.body).ok();
                match body.as_ref().and_then(provisioning_state).map(str::to_owned) {
                    Some(state) if failed(&state) => Ok(Polled::Failed(self.failure(
                        &body.unwrap_or_default(),
                        &state,
                        origin,
                        answer,
                    ))),
                    state => self.goes_on(base, answer, origin, state.unwrap_or_else(|| "Deleting".into()), None),
                }
            }
            Phase::Result if missing && self.method != "POST" => Ok(Polled::Failed(self.owned(origin.refusal(answer)))),
            Phase::Result if missing => Ok(Polled::Done { body: None }),
            Phase::Result => Ok(Polled::Done {
                body: read(&answer.body).ok(),
            }),
        }
    }

    fn judge_status(&self, base: &Url, answer: &Answer, origin: &Origin<'_>) -> Result<Polled, AzureError> {
        if answer.status == 204 {
            return Ok(self.succeeded());
        }
        if answer.body.is_empty() && answer.status == 202 {
            return self.goes_on(base, answer, origin, "InProgress".into(), None);
        }
        let body: Value = origin.json(answer)?;
        let document: Status = read(&answer.body).map_err(|(path, message)| origin.parse_error(path, message))?;
        // Some services answer with the resource itself.
        let inner = document
            .properties
            .as_ref()
            .and_then(|p| p.get("provisioningState")?.as_str().map(str::to_owned));
        match document.status.or(inner) {
            // An action that names no place for its result has it here.
            Some(state) if succeeded(&state) && self.method == "POST" && self.final_url.is_none() => Ok(Polled::Done {
                body: document.properties,
            }),
            Some(state) if succeeded(&state) => Ok(self.succeeded()),
            Some(state) if failed(&state) => Ok(Polled::Failed(self.failure(&body, &state, origin, answer))),
            Some(state) => self.goes_on(base, answer, origin, state, number(document.percent.as_ref())),
            None if answer.status == 202 => self.goes_on(
                base,
                answer,
                origin,
                "InProgress".into(),
                number(document.percent.as_ref()),
            ),
            None => Err(origin.parse_error("status".into(), "the operation's answer names no status")),
        }
    }

    /// It succeeded: done, or one more request for the result. That one is a poll of its own, so that it too survives
    /// a crash and a throttled answer.
    fn succeeded(&self) -> Polled {
        match &self.final_url {
            None => Polled::Done { body: None },
            Some(url) => Polled::Running {
                operation: Self {
                    phase: Phase::Result,
                    poll_url: url.clone(),
                    retry_after: 0,
                    ..self.clone()
                },
                status: "Succeeded".into(),
                percent: Some(100.0),
                retry_after: 0,
            },
        }
    }

    /// Azure no longer knows the operation (it forgets after some days, or the caller came too early). What the
    /// resource says is then the truth; an action without a resource is lost.
    fn forgotten(&self, origin: &Origin<'_>, answer: &Answer) -> Polled {
        let phase = match self.method.as_str() {
            "PUT" | "PATCH" => Phase::Resource,
            "DELETE" => Phase::Gone,
            _ => return Polled::Failed(self.owned(origin.refusal(answer))),
        };
        Polled::Running {
            operation: Self {
                phase,
                poll_url: self.resource_url.clone(),
                retry_after: DEFAULT_WAIT,
                ..self.clone()
            },
            status: "Unknown".into(),
            percent: None,
            retry_after: DEFAULT_WAIT,
        }
    }

    fn goes_on(
        &self,
        base: &Url,
        answer: &Answer,
        origin: &Origin<'_>,
        status: String,
        percent: Option<f64>,
    ) -> Result<Polled, AzureError> {
        let named = |header: &str| answer.header(header).map(|url| relative(url, base, origin)).transpose();
        let mut operation = Self {
            retry_after: wait(answer),
            ..self.clone()
        };
        match self.phase {
            Phase::Status => {
                if let Some(url) = named("azure-asyncoperation")? {
                    operation.poll_url = url;
                }
                if let (Some(url), "POST") = (named("location")?, self.method.as_str()) {
                    operation.final_url = Some(url);
                }
            }
            Phase::Location => {
                if let Some(url) = named("location")? {
                    operation.poll_url = url;
                }
            }
            _ => {}
        }
        let retry_after = operation.retry_after;
        Ok(Polled::Running {
            operation,
            status,
            percent,
            retry_after,
        })
    }

    fn failure(&self, body: &Value, state: &str, origin: &Origin<'_>, answer: &Answer) -> AzureError {
        let mut error = ApiError {
            status: answer.status,
            request_id: answer.header("x-ms-request-id").map(str::to_owned),
            correlation_id: answer.header("x-ms-correlation-request-id").map(str::to_owned),
            method: origin.method.into(),
            url: origin.shown(),
            ..ApiError::default()
        };
        // An error beside the state, or the one some providers put below the properties.
        let holder = [body.get("error").map(|_| body), body.get("properties")]
            .into_iter()
            .flatten();
        for candidate in holder {
            if candidate.get("error").is_some_and(Value::is_object) {
                error.fill(candidate, origin.known);
                break;
            }
        }
        if error.code.is_empty() {
            error.code = if canceled(state) {
                "OperationCanceled".into()
            } else {
                "OperationFailed".into()
            };
        }
        if error.message.is_empty() {
            error.message = format!("The operation ended with state {state}. Azure gave no reason.");
        }
        self.owned(AzureError::Api(Box::new(error)))
    }

    /// An error of the operation speaks of the resource, not of the URL that was polled.
    fn owned(&self, error: AzureError) -> AzureError {
        match error {
            AzureError::Api(mut e) => {
                let origin = e
                    .url
                    .find("://")
                    .and_then(|i| e.url[i + 3..].find('/').map(|j| i + 3 + j))
                    .unwrap_or(0);
                e.url = format!("{}{}", &e.url[..origin], self.resource_url);
                e.method.clone_from(&self.method);
                AzureError::Api(e)
            }
            other => other,
        }
    }
}

fn wait(answer: &Answer) -> u64 {
    answer.retry_after().unwrap_or(DEFAULT_WAIT).clamp(1, LONGEST_WAIT)
}

fn succeeded(state: &str) -> bool {
    state.eq_ignore_ascii_case("Succeeded")
}

fn canceled(state: &str) -> bool {
    state.eq_ignore_ascii_case("Canceled") || state.eq_ignore_ascii_case("Cancelled")
}

fn failed(state: &str) -> bool {
    state.eq_ignore_ascii_case("Failed") || canceled(state)
}

fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState")?.as_str()
}

fn percent_of(body: &Option<Value>) -> Option<f64> {
    number(body.as_ref()?.get("percentComplete"))
}

/// Percentages come as numbers and as texts.
fn number(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    value
        .as_f64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|n| (0.0..=100.0).contains(n))
}

fn last_segment(path_and_query: &str) -> Option<String> {
    let path = path_and_query.split('?').next()?;
    path.rsplit('/').next().filter(|s| !s.is_empty()).map(str::to_owned)
}

/// Returns path and query of a URL, absolute or relative, on the resource manager's host.
///
/// # Errors
/// See [`resolved`].
pub(crate) fn relative(url: &str, base: &Url, origin: &Origin<'_>) -> Result<String, AzureError> {
    Ok(resolved(url, base, origin)?[Position::BeforePath..Position::AfterQuery].to_owned())
}

/// Returns a URL, absolute or relative, on the resource manager's host. A regional host of the same resource manager
/// (`REGION.HOST`) means the same thing; the request goes to the host that we know all the same.
///
/// # Errors
/// Fails when it is on another host, or no URL.
pub(crate) fn resolved(url: &str, base: &Url, origin: &Origin<'_>) -> Result<Url, AzureError> {
    let redirected = || AzureError::Redirected {
        method: origin.method.into(),
        from: origin.shown(),
        to: Url::parse(url).map_or_else(|_| origin.known.text(url), |u| origin.known.url(&u)),
    };
    let mut found = base.join(url).map_err(|_| redirected())?;
    if found.scheme() != base.scheme() || found.port() != base.port() {
        return Err(redirected());
    }
    if found.host() != base.host() {
        let (Some(Host::Domain(host)), Some(Host::Domain(ours))) = (found.host(), base.host()) else {
            return Err(redirected());
        };
        if !host.strip_suffix(ours).is_some_and(|region| region.ends_with('.')) {
            return Err(redirected());
        }
        found.set_host(base.host_str()).map_err(|_| redirected())?;
    }
    found.set_fragment(None);
    // Both fail only for addresses that can't hold a user, which is what we want.
    let _ = found.set_username("");
    let _ = found.set_password(None);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Known;
    use bytes::Bytes;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    const RESOURCE: &str = "/subscriptions/s/x?api-version=1";
    const ASYNC: (&str, &str) = ("azure-asyncoperation", "https://arm/op/job-1?api-version=1");
    const LOCATION: (&str, &str) = ("location", "/results/job-1?api-version=1");

    fn answer(status: u16, headers: &[(&'static str, &str)], body: Option<Value>) -> Answer {
        Answer {
            status,
            headers: headers
                .iter()
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()))
                .collect(),
            body: body.map_or_else(Bytes::new, |b| b.to_string().into()),
        }
    }

    fn state(s: &str) -> Option<Value> {
        Some(json!({"properties": {"provisioningState": s}}))
    }

    fn base() -> Url {
        Url::parse("https://arm/").unwrap()
    }

    fn started(method: &str, a: &Answer) -> Result<Option<Operation>, AzureError> {
        let known = Known::default();
        Operation::start(
            method,
            RESOURCE,
            &base(),
            a,
            &Origin {
                method,
                url: &base().join("/subscriptions/s/x").unwrap(),
                known: &known,
            },
        )
    }

    fn polled(operation: &Operation, a: &Answer) -> Result<Polled, AzureError> {
        let known = Known::default();
        operation.judge(
            &base(),
            a,
            &Origin {
                method: "GET",
                url: &base().join("/op/job-1").unwrap(),
                known: &known,
            },
        )
    }

    #[test]
    fn what_starts_an_operation() {
        use Phase::*;
        for (method, a, wanted) in [
            ("PUT", answer(201, &[ASYNC, LOCATION], state("Updating")), Some(Status)),
            ("PUT", answer(202, &[ASYNC], None), Some(Status)),
            ("PUT", answer(202, &[LOCATION], None), Some(Location)),
            ("PUT", answer(202, &[], None), Some(Resource)),
            ("PUT", answer(200, &[], state("creating")), Some(Resource)),
            ("PUT", answer(200, &[ASYNC], state("Updating")), Some(Status)),
            ("PUT", answer(200, &[ASYNC], state("succeeded")), None),
            ("PUT", answer(200, &[ASYNC], Some(json!({}))), Some(Status)),
            ("PUT", answer(200, &[LOCATION], Some(json!({"id": "x"}))), None),
            ("PUT", answer(201, &[], Some(json!({"id": "x"}))), None),
            ("PUT", answer(201, &[LOCATION], state("Succeeded")), None),
            ("PUT", answer(201, &[ASYNC], state("Succeeded")), Some(Status)),
            ("PUT", answer(201, &[], state("Failed")), Some(Resource)),
            ("PATCH", answer(202, &[ASYNC], None), Some(Status)),
            ("POST", answer(200, &[ASYNC], Some(json!({"keys": []}))), None),
            ("POST", answer(202, &[ASYNC, LOCATION], None), Some(Status)),
            ("POST", answer(202, &[LOCATION], None), Some(Location)),
            ("POST", answer(202, &[], None), None),
            ("POST", answer(204, &[ASYNC], None), None),
            ("DELETE", answer(202, &[LOCATION], None), Some(Location)),
            ("DELETE", answer(202, &[], None), Some(Gone)),
            ("DELETE", answer(200, &[ASYNC], None), None),
            ("DELETE", answer(204, &[], None), None),
        ] {
            let operation = started(method, &a).unwrap();
            assert_eq!(operation.as_ref().map(|o| o.phase), wanted, "{method} {a:?}");
            // A later process reads the same operation.
            if let Some(o) = operation {
                assert_eq!(
                    serde_json::from_str::<Operation>(&serde_json::to_string(&o).unwrap()).unwrap(),
                    o
                );
                assert!(o.poll_url().starts_with('/'));
            }
        }
    }

    #[test]
    fn urls_stay_on_the_resource_managers_host() {
        let o = started("POST", &answer(202, &[ASYNC, LOCATION, ("retry-after", "17")], None))
            .unwrap()
            .unwrap();
        assert_eq!(
            (o.poll_url(), o.name(), o.retry_after()),
            ("/op/job-1?api-version=1", Some("job-1"), 17)
        );
        for foreign in [
            "https://evil/op/1",
            "//evil/op/1",
            "http://arm/op/1",
            "https://arm:444/op",
            "https://notarm/op",
            "http://eastus2.arm/op",
        ] {
            let e = started("PUT", &answer(202, &[("azure-asyncoperation", foreign)], None)).unwrap_err();
            assert!(matches!(e, AzureError::Redirected { .. }), "{foreign}");
            let e = polled(
                &o,
                &answer(
                    200,
                    &[("azure-asyncoperation", foreign)],
                    Some(json!({"status": "InProgress"})),
                ),
            );
            assert!(matches!(e, Err(AzureError::Redirected { .. })), "{foreign}");
        }
    }

    #[test]
    fn a_regional_host_is_asked_through_the_one_we_know() {
        let regional = ("azure-asyncoperation", "https://eastus2.arm/op/1?api-version=1");
        let o = started("PUT", &answer(202, &[regional], None)).unwrap().unwrap();
        assert_eq!(o.poll_url(), "/op/1?api-version=1");
    }

    #[test]
    fn an_action_without_a_place_for_its_result_has_it_in_the_status() {
        let o = started("POST", &answer(202, &[ASYNC], None)).unwrap().unwrap();
        let body = json!({"status": "Succeeded", "properties": {"output": "x"}});
        let done = polled(&o, &answer(200, &[], Some(body)));
        assert_eq!(
            done,
            Ok(Polled::Done {
                body: Some(json!({"output": "x"}))
            })
        );
    }

    #[test]
    fn a_status_document_is_followed_to_the_result() {
        let o = started("POST", &answer(202, &[ASYNC, LOCATION], None))
            .unwrap()
            .unwrap();
        let next = ("azure-asyncoperation", "/op/job-1?api-version=1&t=2");
        let body = json!({"status": "Preparing", "percentComplete": 12.5});
        let Ok(Polled::Running {
            operation,
            status,
            percent,
            retry_after,
        }) = polled(&o, &answer(200, &[next, ("retry-after", "5")], Some(body)))
        else {
            unreachable!()
        };
        assert_eq!((status.as_str(), percent, retry_after), ("Preparing", Some(12.5), 5));
        assert_eq!(operation.poll_url(), "/op/job-1?api-version=1&t=2");
        assert_eq!(operation.name(), Some("job-1"));
        let Ok(Polled::Running {
            operation,
            retry_after: 0,
            ..
        }) = polled(&operation, &answer(200, &[], Some(json!({"status": "SUCCEEDED"}))))
        else {
            unreachable!()
        };
        assert_eq!(operation.poll_url(), "/results/job-1?api-version=1");
        let done = polled(&operation, &answer(200, &[], Some(json!({"a": 1}))));
        assert_eq!(
            done,
            Ok(Polled::Done {
                body: Some(json!({"a": 1}))
            })
        );
        assert_eq!(
            polled(&operation, &answer(204, &[], None)),
            Ok(Polled::Done { body: None })
        );
    }

    #[test]
    fn a_put_ends_with_the_resource_and_a_delete_with_nothing() {
        let put = started("PUT", &answer(202, &[ASYNC, LOCATION], None)).unwrap().unwrap();
        let Ok(Polled::Running { operation, .. }) =
            polled(&put, &answer(200, &[], Some(json!({"status": "Succeeded"}))))
        else {
            unreachable!()
        };
        assert_eq!(operation.poll_url(), RESOURCE);
        let delete = started("DELETE", &answer(202, &[ASYNC, LOCATION], None))
            .unwrap()
            .unwrap();
        let done = polled(&delete, &answer(200, &[], Some(json!({"status": "Succeeded"}))));
        assert_eq!(done, Ok(Polled::Done { body: None }));
        let gone = started("DELETE", &answer(202, &[], None)).unwrap().unwrap();
        assert!(matches!(
            polled(&gone, &answer(200, &[], state("Deleting"))),
            Ok(Polled::Running { .. })
        ));
        assert_eq!(polled(&gone, &answer(404, &[], None)), Ok(Polled::Done { body: None }));
    }

    #[test]
    fn failures_of_the_operation_speak_of_the_resource() {
        let o = started("PUT", &answer(202, &[ASYNC], None)).unwrap().unwrap();
        let body = json!({"status": "Failed", "error": {"code": "VnetSubnetIsInUse", "message": "m"}});
        let Ok(Polled::Failed(e)) = polled(&o, &answer(200, &[], Some(body))) else {
            unreachable!()
        };
        assert_eq!(e.code(), "VnetSubnetIsInUse");
        assert_eq!(
            e.to_string(),
            format!("PUT https://arm{RESOURCE}: 200 VnetSubnetIsInUse: m")
        );
        for (body, code) in [
            (json!({"status": "canceled"}), "OperationCanceled"),
            (json!({"status": "Failed"}), "OperationFailed"),
            (json!({"status": "Failed", "properties": {"error": {"code": "X"}}}), "X"),
        ] {
            let Ok(Polled::Failed(e)) = polled(&o, &answer(200, &[], Some(body))) else {
                unreachable!()
            };
            assert_eq!(e.code(), code);
        }
        let location = started("POST", &answer(202, &[LOCATION], None)).unwrap().unwrap();
        let refusal = Some(json!({"error": {"code": "Boom", "message": "m"}}));
        assert!(matches!(
            polled(&location, &answer(409, &[], refusal)),
            Ok(Polled::Failed(_))
        ));
    }

    #[test]
    fn a_failing_poll_ends_nothing() {
        for headers in [[ASYNC], [LOCATION]] {
            let o = started("PUT", &answer(202, &headers, None)).unwrap().unwrap();
            for status in [401, 403, 408, 429, 500, 502, 503, 504] {
                assert!(polled(&o, &answer(status, &[], None)).is_err(), "{status}");
            }
        }
        let o = started("PUT", &answer(202, &[ASYNC], None)).unwrap().unwrap();
        assert!(matches!(
            polled(&o, &answer(200, &[], Some(json!({"x": 1})))),
            Err(AzureError::Parse { .. })
        ));
    }

    #[test]
    fn a_forgotten_operation_is_judged_by_the_resource() {
        let put = started("PUT", &answer(202, &[ASYNC], None)).unwrap().unwrap();
        let Ok(Polled::Running { operation, .. }) = polled(&put, &answer(404, &[], None)) else {
            unreachable!()
        };
        assert_eq!((operation.phase, operation.poll_url()), (Phase::Resource, RESOURCE));
        assert!(matches!(
            polled(&operation, &answer(200, &[], state("Updating"))),
            Ok(Polled::Running { .. })
        ));
        assert!(matches!(
            polled(&operation, &answer(200, &[], Some(json!({"id": "x"})))),
            Ok(Polled::Done { .. })
        ));
        assert!(matches!(
            polled(&operation, &answer(200, &[], state("Failed"))),
            Ok(Polled::Failed(_))
        ));
        let post = started("POST", &answer(202, &[ASYNC], None)).unwrap().unwrap();
        assert!(matches!(polled(&post, &answer(404, &[], None)), Ok(Polled::Failed(_))));
    }

    #[test]
    fn location_is_followed_until_it_is_no_longer_accepted() {
        let o = started("PUT", &answer(202, &[LOCATION], None)).unwrap().unwrap();
        let next = ("location", "https://arm/results/other?api-version=1");
        let Ok(Polled::Running { operation, .. }) = polled(&o, &answer(202, &[next], None)) else {
            unreachable!()
        };
        assert_eq!(operation.poll_url(), "/results/other?api-version=1");
        assert_eq!(
            polled(&operation, &answer(200, &[], Some(json!({"a": 1})))),
            Ok(Polled::Done {
                body: Some(json!({"a": 1}))
            })
        );
        let Ok(Polled::Running { operation, .. }) = polled(&operation, &answer(204, &[], None)) else {
            unreachable!()
        };
        assert_eq!(operation.poll_url(), RESOURCE);
    }
}
