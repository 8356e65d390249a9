//! What the lab counts: requests, and requests that change something, so that a test can prove that a client which was
//! killed and started again repeated nothing without need.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a client has asked of the lab so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// All requests to Azure, Entra, blob storage and vCenter.
    pub requests: u64,
    /// Access tokens that were given.
    pub tokens: u64,
    /// Requests with a token that had expired.
    pub expired_tokens: u64,
    /// Accepted requests that change something, by method and path without the query (vCenter: the SOAP method,
    /// its object and first argument).
    pub mutations: Vec<Mutation>,
    /// Those that were accepted more than once.
    pub repeated: Vec<Mutation>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mutation {
    pub method: String,
    pub path: String,
    pub count: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub requests: u64,
    pub tokens: u64,
    pub expired_tokens: u64,
    pub mutations: BTreeMap<(String, String), u64>,
}

impl Counters {
    pub fn mutation(&mut self, method: &str, path: &str) {
        *self.mutations.entry((method.to_owned(), path.to_owned())).or_default() += 1;
    }

    pub fn stats(&self) -> Stats {
        let mutations: Vec<Mutation> = self
            .mutations
            .iter()
            .map(|((method, path), count)| Mutation {
                method: method.clone(),
                path: path.clone(),
                count: *count,
            })
            .collect();
        let repeated = mutations.iter().filter(|m| m.count > 1).cloned().collect();
        Stats {
            requests: self.requests,
            tokens: self.tokens,
            expired_tokens: self.expired_tokens,
            mutations,
            repeated,
        }
    }
}
