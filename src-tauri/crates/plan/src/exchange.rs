//! One request and its answer, secrets removed, as the window shows it and the project file keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A finished (or failed) exchange with a remote system. Every part is already redacted by the client that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Exchange {
    /// When the request left, UTC.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// `azure`, `blob`, `entra` or `vsphere`.
    pub system: String,
    /// HTTP method, or the SOAP method's name.
    pub method: String,
    /// Absolute URL, query allow-listed.
    pub url: String,
    /// HTTP status; none when no answer came.
    pub status: Option<u16>,
    /// Milliseconds from the first byte sent to the last byte read.
    pub millis: u64,
    /// Allow-listed request headers, as `name: value` lines.
    pub request_headers: Vec<String>,
    /// Redacted request body, cut at 16 KiB.
    pub request_body: Option<String>,
    /// Allow-listed answer headers.
    pub response_headers: Vec<String>,
    /// Redacted answer body, cut at 16 KiB.
    pub response_body: Option<String>,
    /// The error in words when no answer came.
    pub error: Option<String>,
    /// The id to quote to the provider's support.
    pub correlation_id: Option<String>,
}

/// Where clients report their exchanges. Must not block.
pub trait Trace: Send + Sync {
    /// Takes one exchange.
    fn record(&self, exchange: Exchange);
}

/// A [`Trace`] that forgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn record(&self, _: Exchange) {}
}
