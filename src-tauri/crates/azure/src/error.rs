//! What can go wrong between us and Azure, typed; and what the engine should do about it.

use crate::{
    redact::Known,
    transport::{Answer, content_type},
};
use serde::{Deserializer, de::DeserializeOwned};
use serde_json::Value;
use std::fmt;
use url::Url;

/// Everything that this crate fails with. Holds no secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AzureError {
    /// Azure answered, and refused; or an operation that it had accepted failed.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// No answer came.
    #[error("{method} {url}: {host} did not answer ({kind:?}): {message}")]
    Network {
        kind: NetworkKind,
        host: String,
        message: String,
        method: String,
        url: String,
    },
    /// Entra gave no token. `code` is `AADSTS…`, or Entra's short error when it names no number; `status` is the
    /// HTTP status, if any.
    #[error("no token ({code}): {message}")]
    Token {
        code: String,
        message: String,
        status: Option<u16>,
        retry_after: Option<u64>,
    },
    /// The answer can't be understood: not from Azure, cut off, or of another shape. `path` is where in the document.
    #[error("{method} {url}: {message}{}", if path.is_empty() { String::new() } else { format!(" (at {path})") })]
    Parse {
        method: String,
        url: String,
        path: String,
        message: String,
    },
    /// Azure, or something in between, points to another host. The token is not sent there.
    #[error("{method} {from}: points to {to}, which is not the resource manager")]
    Redirected { method: String, from: String, to: String },
    /// The connection's own settings are wrong.
    #[error("{field}: {message}")]
    Config { field: String, message: String },
}

/// The refusal, as Azure words it.
#[derive(Debug, Clone, PartialEq, Default, thiserror::Error)]
#[error("{method} {url}: {status} {code}: {message}")]
pub struct ApiError {
    /// HTTP status; of the poll's answer when an accepted operation failed later.
    pub status: u16,
    /// Azure's code, such as `AuthorizationFailed`; `HttpStatus…` when it gave none.
    pub code: String,
    pub message: String,
    pub target: Option<String>,
    pub details: Vec<Detail>,
    /// The assignments of Azure Policy that forbid the request, by their display names.
    pub policies: Vec<String>,
    /// Seconds after which Azure wants to be asked again.
    pub retry_after: Option<u64>,
    /// `x-ms-request-id`.
    pub request_id: Option<String>,
    /// `x-ms-correlation-request-id`: the id to quote to support.
    pub correlation_id: Option<String>,
    pub method: String,
    /// Redacted.
    pub url: String,
}

/// A part of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail {
    pub code: String,
    pub message: String,
    pub target: Option<String>,
}

/// What kept the answer from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    /// The name can't be resolved.
    Dns,
    /// Nothing listens there, or a firewall refuses.
    Refused,
    /// No encrypted connection: most often a certificate that is not trusted.
    Tls,
    Timeout,
    Other,
}

/// What the engine should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Azure wants a pause of so many seconds.
    Throttled(u64),
    /// Try again a little later.
    Transient,
    /// The sign-in is not valid (any more).
    Auth,
    /// Something else is at work on the resource; try again when it is done.
    Conflict,
    /// Trying again gives the same result.
    Permanent,
}

/// Pause when Azure throttles without naming one, in seconds. A bucket of 200 writes refills at 10 a second.
const DEFAULT_PAUSE: u64 = 30;

/// Codes that mean "wait for something else", whatever the status they come with.
const CONFLICTS: &[&str] = &[
    "AnotherOperationInProgress",
    "ReferencedResourceNotProvisioned",
    "RetryableError",
    "RetryableErrorDueToAnotherOperation",
    "InUseRetryable",
    "ConflictingDatabaseOperation",
    "ConflictingManagedInstanceOperation",
    "ConflictingServerOperation",
    "ConflictingSubscriptionOperation",
    "ConflictingSystemOperationInProgress",
    "ConflictingConcurrentWriteNotAllowed",
    "ConcurrentWriteConflict",
    "ManagedInstanceOperationInProgress",
    "ManagedInstanceUpdateSloInProgress",
    "ManagedInstanceIsBusy",
    "ManagedInstanceStarting",
    "ManagementServiceDatabaseBusy",
    "BackupRedundancyUpdateConflict",
    "InstanceNotReadyForBackupRedundancyUpdate",
    "InstanceRedundancyUpdateWhileBackupRedundancyUpdateInProgress",
    "ExternalBackupUpgradeInProgress",
    "TargetServerRestoreNotAllowed",
    "AzureSQLManagedInstanceNotReady",
    "2030",
    "CloudServiceRetryableError",
    "RunCommandExecutionInProgress",
    "OperationInterrupted",
    "OperationNotAllowedOnKindInProgress",
    "ResourceGroupBeingDeleted",
    "ResourceBeingDeleted",
    "StorageAccountOperationInProgress",
    "AccountIsBeingCreated",
    "ContainerBeingDeleted",
    "LeaseAlreadyPresent",
    "SubnetWithProvisioningInProgress",
    "VirtualNetworkGatewayNotProvisioned",
    "DeploymentActive",
];

/// Codes that mean "try again", whatever the status: a failed operation has none of its own.
const TRANSIENT: &[&str] = &[
    "InternalServerError",
    "InternalError",
    "OperationTimedOut",
    "OperationPreempted",
    "RequestTimeout",
    "GatewayTimeout",
    "ServiceUnavailable",
    "ServerTimeout",
    "TransientError",
    "GatewayInternalServerError",
    "AlterDbDeactivatedNotSupported",
    "BlobStorageServerFailure",
    "DatabaseUnavailable",
];

/// Codes that throttle even though their status is not 429.
const THROTTLES: &[&str] = &[
    "TooManyRequests",
    "ServerBusy",
    "SubscriptionTooManyRequests",
    "SubscriptionTooManyCreateUpdateRequests",
    "OperationThrottled",
    "ActivateOrDeactivateWorkflowThrottling",
];

/// Codes of what somebody with more rights must do before it is worth another try.
const FOR_PEOPLE: &[&str] = &[
    "MissingSubscriptionRegistration",
    "SubscriptionNotRegistered",
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
    "RequestDisallowedByPolicy",
    "ScopeLocked",
    "MiDropFailedOnAuthLocks",
    "VnetSubnetIsLocked",
    "ReadOnlyDisabledSubscription",
    "SubscriptionDisabled",
    "ServerDisabled",
    "QuotaExceeded",
    "ResourceQuotaExceeded",
    "ServerQuotaExceeded",
    "ProvisioningDisabled",
    "RegionDoesNotAllowProvisioning",
    "ManagedInstanceStoppingOrStopped",
];

/// Codes of a provider that the subscription has not registered.
const UNREGISTERED: &[&str] = &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"];

/// Codes of a 404 that is about the question and not about the resource.
const OTHER_NOT_FOUND: &[&str] = &[
    "SubscriptionNotFound",
    "InvalidResourceNamespace",
    "InvalidResourceType",
    "NoRegisteredProviderFound",
    "TenantNotFound",
];

/// Entra's codes that pass by themselves: overloaded, temporarily unavailable, timeouts.
const ENTRA_TRANSIENT: &[&str] = &[
    "AADSTS90006",
    "AADSTS90012",
    "AADSTS90033",
    "AADSTS90024",
    "AADSTS90055",
    "AADSTS50196",
];

fn among(list: &[&str], code: &str) -> bool {
    list.iter().any(|c| c.eq_ignore_ascii_case(code))
}

impl AzureError {
    /// Azure's own code, `AADSTS…` of Entra, or ours: `NetworkDns`, `AnswerNotUnderstood`, `Redirected`, `BadConnection`.
    pub fn code(&self) -> &str {
        match self {
            Self::Api(e) => &e.code,
            Self::Network { kind, .. } => match kind {
                NetworkKind::Dns => "NetworkDns",
                NetworkKind::Refused => "NetworkRefused",
                NetworkKind::Tls => "NetworkTls",
                NetworkKind::Timeout => "NetworkTimeout",
                NetworkKind::Other => "NetworkOther",
            },
            Self::Token { code, .. } => code,
            Self::Parse { .. } => "AnswerNotUnderstood",
            Self::Redirected { .. } => "Redirected",
            Self::Config { .. } => "BadConnection",
        }
    }

    /// The HTTP status, when an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(e) => Some(e.status),
            Self::Token { status, .. } => *status,
            _ => None,
        }
    }

    /// The refusal as Azure words it.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(e) => Some(e),
            _ => None,
        }
    }

    /// True when the resource is not there. A subscription or a type that does not exist is something else.
    pub fn is_not_found(&self) -> bool {
        self.api()
            .is_some_and(|e| matches!(e.status, 204 | 404 | 410) && !among(OTHER_NOT_FOUND, &e.code))
    }

    /// True when somebody with more rights has to do something first: register a provider, give a role, remove a lock,
    /// exempt from a policy, raise a quota. Rehost does none of these unasked; [`AzureError::advice`] says who and how.
    pub fn needs_person(&self) -> bool {
        self.api().is_some_and(|e| among(FOR_PEOPLE, &e.code))
    }

    /// The provider that must be registered in the subscription first, such as `Microsoft.Sql`; none for other errors.
    pub fn unregistered_provider(&self) -> Option<&str> {
        let e = self.api().filter(|e| among(UNREGISTERED, &e.code))?;
        let of_details = e
            .details
            .iter()
            .find_map(|d| d.target.as_deref().filter(|t| t.contains('.')));
        of_details.or_else(|| {
            let path = e.url.split('?').next()?;
            let (_, after) = path.rsplit_once("/providers/")?;
            after.split('/').next()
        })
    }

    /// True when an answer to a poll is no word of Azure's about the operation: no answer, a proxy's page, a cut-off
    /// document, a pointer elsewhere. Then the operation goes on, and looking again is all there is to do.
    pub fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self::Network { .. } | Self::Parse { .. } | Self::Redirected { .. }
        )
    }

    /// The id to quote to Microsoft's support.
    pub fn correlation_id(&self) -> Option<&str> {
        self.api()
            .and_then(|e| e.correlation_id.as_deref().or(e.request_id.as_deref()))
    }

    /// What the engine should do.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api(e) => e.class(),
            Self::Network {
                kind: NetworkKind::Tls, ..
            } => ErrorClass::Permanent,
            Self::Network { .. } => ErrorClass::Transient,
            Self::Token {
                code,
                status,
                retry_after,
                ..
            } => match status {
                Some(429) => ErrorClass::Throttled(retry_after.unwrap_or(DEFAULT_PAUSE)),
                Some(408 | 500..) => ErrorClass::Transient,
                _ if among(ENTRA_TRANSIENT, code) => ErrorClass::Transient,
                _ => ErrorClass::Auth,
            },
            Self::Parse { .. } | Self::Redirected { .. } | Self::Config { .. } => ErrorClass::Permanent,
        }
    }

    /// Adds the correlation id of the request when Azure's answer named none.
    pub(crate) fn correlated(mut self, id: &str) -> Self {
        if let Self::Api(e) = &mut self
            && e.correlation_id.is_none()
        {
            e.correlation_id = Some(id.to_owned());
        }
        self
    }
}

impl ApiError {
    fn class(&self) -> ErrorClass {
        // The codes go first: Network answers 429 for a locked resource, and an operation that failed has status 200.
        let code = self.code.as_str();
        if among(CONFLICTS, code) {
            ErrorClass::Conflict
        } else if self.status == 429 || among(THROTTLES, code) {
            ErrorClass::Throttled(self.retry_after.unwrap_or(DEFAULT_PAUSE))
        } else if self.status == 401 {
            ErrorClass::Auth
        } else if matches!(self.status, 408 | 500 | 502..=504 | 506..) || among(TRANSIENT, code) {
            ErrorClass::Transient
        } else {
            ErrorClass::Permanent
        }
    }
}

/// Where an answer belongs, for the errors made from it.
pub(crate) struct Origin<'a> {
    pub method: &'a str,
    /// Made harmless when an error is made of it, which few answers need.
    pub url: &'a Url,
    pub known: &'a Known,
}

impl Origin<'_> {
    /// The URL as it may be shown.
    pub(crate) fn shown(&self) -> String {
        self.known.url(self.url)
    }

    pub(crate) fn parse_error(&self, path: String, message: impl Into<String>) -> AzureError {
        AzureError::Parse {
            method: self.method.into(),
            url: self.shown(),
            path,
            message: self.known.text(&message.into()),
        }
    }

    /// Reads a JSON answer.
    ///
    /// # Errors
    /// Fails, with words, for an empty answer, one that isn't JSON (a proxy's page, say), and one of another shape.
    pub(crate) fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, AzureError> {
        if answer.body.is_empty() {
            return Err(self.parse_error(String::new(), format!("the answer ({}) is empty", answer.status)));
        }
        if let Some(other) = not_json(answer) {
            return Err(self.parse_error(
                String::new(),
                format!("the answer ({}) is {other}, not JSON", answer.status),
            ));
        }
        read(&answer.body).map_err(|(path, message)| self.parse_error(path, message))
    }

    /// Makes the error of an answer that is no success.
    pub(crate) fn refusal(&self, answer: &Answer) -> AzureError {
        let header = |name: &str| answer.header(name).map(str::to_owned);
        if (300..400).contains(&answer.status) {
            let to = header("location").unwrap_or_else(|| "nowhere".into());
            return AzureError::Redirected {
                method: self.method.into(),
                from: self.shown(),
                to: self.known.text(&to),
            };
        }
        let mut error = ApiError {
            status: answer.status,
            retry_after: answer.retry_after(),
            request_id: header("x-ms-request-id"),
            correlation_id: header("x-ms-correlation-request-id"),
            method: self.method.into(),
            url: self.shown(),
            ..ApiError::default()
        };
        match read::<Value>(&answer.body) {
            Ok(body) => error.fill(&body, self.known),
            // A page of a proxy or gateway. Its 5xx are worth another try; anything else did not come from Azure.
            Err(_) if answer.body.is_empty() || answer.status >= 500 || matches!(answer.status, 401 | 408 | 429) => {}
            Err(_) => {
                let what = not_json(answer).unwrap_or_else(|| "not readable".into());
                return self.parse_error(
                    String::new(),
                    format!(
                        "the answer ({}) is {what}: it seems to come from a proxy, not from Azure",
                        answer.status
                    ),
                );
            }
        }
        if error.code.is_empty() {
            error.code = header("x-ms-error-code").unwrap_or_else(|| format!("HttpStatus{}", answer.status));
        }
        if error.message.is_empty() {
            error.message = format!("HTTP status {} without an explanation", answer.status);
        }
        AzureError::Api(Box::new(error))
    }
}

impl ApiError {
    /// Takes code, message and details from any of the shapes in use: `{"error": {…}}`, the bare inner object, OData's
    /// `{"odata.error": {"code", "message": {"value"}}}`, and Entra's `{"error": "…", "error_description": "…"}`.
    pub(crate) fn fill(&mut self, body: &Value, known: &Known) {
        let error = match body.get("error").or_else(|| body.get("odata.error")) {
            Some(inner @ Value::Object(_)) => inner,
            _ => body,
        };
        let text = |of: &Value, names: &[&str]| {
            let found = names.iter().find_map(|name| {
                let value = of.get(name)?;
                value.as_str().or_else(|| value.get("value")?.as_str())
            });
            found.filter(|t| !t.is_empty()).map(|t| known.text(t))
        };
        let code = |of: &Value| {
            text(of, &["code", "Code", "errorCode"])
                .or_else(|| of.get("code").filter(|c| c.is_number()).map(Value::to_string))
        };
        self.code = code(error).or_else(|| text(error, &["error"])).unwrap_or_default();
        self.message = text(error, &["message", "Message", "errorMessage", "error_description"]).unwrap_or_default();
        self.target = text(error, &["target"]);
        let parts = error.get("details").and_then(Value::as_array).into_iter().flatten();
        self.details = parts
            .map(|d| Detail {
                code: code(d).unwrap_or_default(),
                message: text(d, &["message", "Message"]).unwrap_or_default(),
                target: text(d, &["target"]),
            })
            .filter(|d| !(d.code.is_empty() && d.message.is_empty()))
            .collect();
        let more = error
            .get("additionalInfo")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut policies: Vec<String> = more
            .filter(|i| text(i, &["type"]).is_some_and(|t| t.eq_ignore_ascii_case("PolicyViolation")))
            .filter_map(|i| {
                let info = i.get("info")?;
                text(
                    info,
                    &[
                        "policyAssignmentDisplayName",
                        "policyDefinitionDisplayName",
                        "policyAssignmentName",
                    ],
                )
            })
            .collect();
        policies.dedup();
        self.policies = policies;
    }
}

/// Names what an answer is when it can't be JSON.
fn not_json(answer: &Answer) -> Option<String> {
    let kind = content_type(&answer.headers);
    let first = answer.body.iter().find(|b| !b.is_ascii_whitespace())?;
    match first {
        b'{' | b'[' | b'"' => None,
        b'<' => Some("a web page (HTML or XML)".into()),
        _ if kind.is_empty() || kind.contains("json") => None,
        _ => Some(format!("of type {kind}")),
    }
}

/// Reads JSON; the failure is the path inside the document and what was expected there.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (String, String)> {
    // Where it went wrong costs as much again as reading, so only who went wrong is asked.
    serde_json::from_slice(bytes).or_else(|_| {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = at_path(&mut json)?;
        json.end().map_err(|e| (String::new(), unlike(&e)))?;
        Ok(value)
    })
}

/// Reads a document as a type; the failure is as that of [`read`].
pub(crate) fn typed<T: DeserializeOwned>(document: Value) -> Result<T, (String, String)> {
    at_path(document)
}

fn at_path<'de, T, D>(json: D) -> Result<T, (String, String)>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    serde_path_to_error::deserialize(json).map_err(|e| {
        let path = e.path().to_string();
        (if path == "." { String::new() } else { path }, unlike(e.inner()))
    })
}

fn unlike(e: &impl fmt::Display) -> String {
    format!("the answer is not what it should be: {e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Page;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    fn refused(status: u16, headers: &[(&'static str, &str)], body: &str) -> AzureError {
        let headers: HeaderMap = headers
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()))
            .collect();
        let answer = Answer {
            status,
            headers,
            body: body.to_owned().into(),
        };
        Origin {
            method: "PUT",
            url: &Url::parse("https://h/x").unwrap(),
            known: &Known::default(),
        }
        .refusal(&answer)
    }

    fn coded(status: u16, code: &str) -> AzureError {
        refused(
            status,
            &[],
            &format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#),
        )
    }

    #[test]
    fn both_shapes_and_entras_are_read() {
        let wrapped = r#"{"error":{"code":"C","message":"M","target":"T","details":[{"code":"d","message":"dm"},{}]}}"#;
        for (body, code, message) in [
            (wrapped, "C", "M"),
            (r#"{"code":"C","message":"M"}"#, "C", "M"),
            (r#"{"Code":"C","Message":"M"}"#, "C", "M"),
            (r#"{"error":{"code":2007,"message":"M"}}"#, "2007", "M"),
            (
                r#"{"odata.error":{"code":"C","message":{"lang":"en-US","value":"M"}}}"#,
                "C",
                "M",
            ),
            (
                r#"{"error":"invalid_client","error_description":"M"}"#,
                "invalid_client",
                "M",
            ),
            ("", "HttpStatus400", "HTTP status 400 without an explanation"),
        ] {
            let AzureError::Api(e) = refused(400, &[], body) else {
                unreachable!("{body}")
            };
            assert_eq!((e.code.as_str(), e.message.as_str()), (code, message), "{body}");
        }
        let AzureError::Api(e) = refused(400, &[], wrapped) else {
            unreachable!()
        };
        assert_eq!(
            e.details,
            [Detail {
                code: "d".into(),
                message: "dm".into(),
                target: None
            }]
        );
    }

    #[test]
    fn classes() {
        use ErrorClass::*;
        for (status, code, class) in [
            (429, "TooManyRequests", Throttled(30)),
            (429, "SubscriptionRequestsThrottled", Throttled(30)),
            (503, "TooManyRequests", Throttled(30)),
            (429, "RetryableErrorDueToAnotherOperation", Conflict),
            (429, "ConflictingSubscriptionOperation", Conflict),
            (409, "AnotherOperationInProgress", Conflict),
            (400, "ReferencedResourceNotProvisioned", Conflict),
            (409, "retryableerror", Conflict),
            (409, "MissingSubscriptionRegistration", Permanent),
            (409, "StorageAccountAlreadyTaken", Permanent),
            (400, "VnetConfigHasNoUdr", Permanent),
            (401, "ExpiredAuthenticationToken", Auth),
            (403, "AuthorizationFailed", Permanent),
            (404, "ResourceNotFound", Permanent),
            (408, "x", Transient),
            (500, "x", Transient),
            (501, "NotImplemented", Permanent),
            (503, "x", Transient),
            (504, "RequestTimeout", Transient),
            // Failed operations come with the poll's status.
            (200, "OperationTimedOut", Transient),
            (200, "VnetSubnetIsInUse", Permanent),
        ] {
            assert_eq!(coded(status, code).class(), class, "{status} {code}");
        }
        assert_eq!(refused(429, &[("retry-after", "7")], "").class(), Throttled(7));
        assert_eq!(
            refused(502, &[("content-type", "text/html")], "<html>").class(),
            Transient
        );
        let token = |code: &str, status| AzureError::Token {
            code: code.into(),
            message: String::new(),
            status,
            retry_after: None,
        };
        assert_eq!(token("AADSTS7000215", Some(401)).class(), Auth);
        assert_eq!(token("AADSTS90033", Some(400)).class(), Transient);
        assert_eq!(token("", Some(503)).class(), Transient);
        let network = |kind| AzureError::Network {
            kind,
            host: String::new(),
            message: String::new(),
            method: String::new(),
            url: String::new(),
        };
        assert_eq!(network(NetworkKind::Dns).class(), Transient);
        assert_eq!(network(NetworkKind::Tls).class(), Permanent);
    }

    #[test]
    fn what_only_people_can_do_is_told_apart() {
        let body = r#"{"error":{"code":"MissingSubscriptionRegistration","message":"m","details":[{"code":"MissingSubscriptionRegistration","target":"Microsoft.DataMigration","message":"m"}]}}"#;
        let e = refused(409, &[], body);
        assert_eq!(e.unregistered_provider(), Some("Microsoft.DataMigration"));
        assert!(e.needs_person());
        assert!(
            e.advice()
                .hint
                .contains("az provider register --namespace Microsoft.DataMigration")
        );
        let bare = AzureError::Api(Box::new(ApiError {
            code: "MissingSubscriptionRegistration".into(),
            url: "https://h/subscriptions/s/providers/Microsoft.Sql/locations/x?api-version=1".into(),
            ..ApiError::default()
        }));
        assert_eq!(bare.unregistered_provider(), Some("Microsoft.Sql"));
        assert_eq!(coded(409, "Conflict").unregistered_provider(), None);
        assert!(!coded(409, "Conflict").needs_person());
    }

    #[test]
    fn policies_are_named() {
        let body = r#"{"error":{"code":"RequestDisallowedByPolicy","target":"vnet1","message":"m","additionalInfo":[
            {"type":"PolicyViolation","info":{"policyDefinitionDisplayName":"Allowed locations","policyAssignmentName":"a1","policyAssignmentDisplayName":"Only Europe"}},
            {"type":"Other","info":{}}]}}"#;
        let e = refused(403, &[], body);
        assert_eq!(
            e.api().map(|a| a.policies.clone()),
            Some(vec!["Only Europe".to_owned()])
        );
        assert!(e.advice().detail.contains("Policies: Only Europe."), "{:?}", e.advice());
        assert!(e.needs_person());
    }

    #[test]
    fn not_found_is_about_the_resource() {
        assert!(coded(404, "ResourceNotFound").is_not_found());
        assert!(refused(404, &[], "").is_not_found());
        assert!(!coded(404, "SubscriptionNotFound").is_not_found());
        assert!(!coded(400, "ResourceNotFound").is_not_found());
        assert!(!refused(404, &[("content-type", "text/html")], "<html>no such page").is_not_found());
    }

    #[test]
    fn answers_that_are_not_azures_are_named() {
        let known = Known::default();
        let origin = Origin {
            method: "GET",
            url: &Url::parse("https://h/x").unwrap(),
            known: &known,
        };
        let parsed = |body: &str, kind: &str| {
            let headers = [(
                HeaderName::from_static("content-type"),
                HeaderValue::from_str(kind).unwrap(),
            )]
            .into_iter()
            .collect();
            origin.json::<Page<Value>>(&Answer {
                status: 200,
                headers,
                body: body.to_owned().into(),
            })
        };
        for (body, kind, words) in [
            ("", "application/json", "is empty"),
            ("<html>login</html>", "text/html", "a web page"),
            ("ok", "text/plain", "of type text/plain"),
            ("{\"value\":[", "application/json", "EOF"),
            ("{\"value\":{}}", "application/json", "expected a sequence"),
        ] {
            let Err(AzureError::Parse { message, .. }) = parsed(body, kind) else {
                unreachable!("{body}")
            };
            assert!(message.contains(words), "{message}");
        }
        let Err(AzureError::Parse { path, .. }) = parsed("{\"value\":{}}", "") else {
            unreachable!()
        };
        assert_eq!(path, "value");
        let redirected = refused(302, &[("location", "https://login.proxy/?sig=CANARY")], "");
        assert!(matches!(&redirected, AzureError::Redirected { to, .. } if !to.contains("CANARY")));
    }
}
