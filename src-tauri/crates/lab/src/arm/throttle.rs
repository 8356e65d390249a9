//! How many requests Azure takes, in lab time.
//!
//! The resource manager: token buckets per subscription, principal and kind of operation, reads 250 refilled by 25 a second,
//! writes and deletes 200 refilled by 10 a second; the same for a tenant; and for all principals of a subscription together
//! 15 times as much. A request that comes before `Retry-After` isn't processed and gets a new value. (Microsoft,
//! request-limits-and-throttling, 05/28/2025. The buckets are per region; the lab is one region's entrance.)
//!
//! The network provider: 1,000 PUT and DELETE and 10,000 GET in 5 minutes for a subscription (same page).

use axum::http::{Method, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Refusal, Req, Resp};
use crate::world::{World, plus};

/// All principals together may ask so many times as often as one.
const GLOBAL: f64 = 15.0;
const NETWORK_WINDOW: SignedDuration = SignedDuration::from_mins(5);
const NETWORK_READS: u32 = 10_000;
const NETWORK_CHANGES: u32 = 1_000;

/// Kinds of operations, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Reads,
    Writes,
    Deletes,
}

impl Kind {
    fn of(method: &Method) -> Kind {
        match *method {
            Method::GET | Method::HEAD => Kind::Reads,
            Method::DELETE => Kind::Deletes,
            _ => Kind::Writes,
        }
    }

    /// Size, and refill by the second.
    fn limits(self) -> (f64, f64) {
        match self {
            Kind::Reads => (250.0, 25.0),
            Kind::Writes | Kind::Deletes => (200.0, 10.0),
        }
    }
}

/// Whose requests are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// A principal's in the subscription.
    Subscription(String),
    /// A principal's outside of subscriptions.
    Tenant(String),
    /// Everybody's in the subscription.
    Global,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    size: f64,
    per_second: f64,
    left: f64,
    at: Timestamp,
    /// Who comes earlier is refused, whatever has been refilled.
    closed_until: Option<Timestamp>,
}

impl Bucket {
    fn new(kind: Kind, times: f64, now: Timestamp) -> Bucket {
        let (size, per_second) = kind.limits();
        Bucket {
            size: size * times,
            per_second: per_second * times,
            left: size * times,
            at: now,
            closed_until: None,
        }
    }

    /// Refills, and tells for how many seconds there is nothing to take.
    fn wait(&mut self, now: Timestamp) -> Option<u64> {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.left = (self.left + passed * self.per_second).min(self.size);
        self.at = now;
        self.closed_until = self.closed_until.filter(|until| *until > now);
        if self.closed_until.is_none() && self.left < 1.0 {
            let seconds = ((1.0 - self.left) / self.per_second).ceil().max(1.0);
            self.closed_until = Some(plus(now, SignedDuration::from_secs(seconds as i64)));
        }
        let left = self.closed_until?.duration_since(now).as_secs_f64();
        Some(left.ceil().max(1.0) as u64)
    }
}

/// Requests to the network provider since a moment.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    count: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    buckets: BTreeMap<(Whose, Kind), Bucket>,
    network: BTreeMap<bool, Window>,
}

impl Buckets {
    fn bucket(&mut self, whose: Whose, kind: Kind, now: Timestamp) -> &mut Bucket {
        let times = if whose == Whose::Global { GLOBAL } else { 1.0 };
        self.buckets
            .entry((whose, kind))
            .or_insert_with(|| Bucket::new(kind, times, now))
    }
}

/// Who asks: the token's object id. The token was checked before.
fn principal(req: &Req) -> String {
    let claims = || -> Option<Value> {
        let token = req.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&claims).ok()
    };
    claims()
        .and_then(|c| c["oid"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn of_subscription(req: &Req) -> bool {
    req.low.first().map(String::as_str) == Some("subscriptions") && req.low.len() > 1
}

fn whose(req: &Req) -> Whose {
    if of_subscription(req) {
        Whose::Subscription(principal(req))
    } else {
        Whose::Tenant(principal(req))
    }
}

fn refusal(world: &World, seconds: u64) -> Refusal {
    let mut refusal = Refusal::new(
        429,
        "SubscriptionRequestsThrottled",
        format!(
            "Number of requests for subscription '{}' exceeded the limit. Please try again after '{seconds}' seconds.",
            world.cloud.subscription
        ),
    );
    refusal.headers.push(("retry-after", seconds.to_string()));
    refusal
}

/// Takes a token for a request from each bucket that it counts for, or from none.
pub(crate) fn take(world: &mut World, req: &Req) -> Result<(), Refusal> {
    let now = world.now();
    let kind = Kind::of(&req.method);
    let mut counted = vec![whose(req)];
    if of_subscription(req) {
        counted.push(Whose::Global);
    }
    let buckets = &mut world.cloud.buckets;
    let waits = counted
        .iter()
        .filter_map(|w| buckets.bucket(w.clone(), kind, now).wait(now));
    if let Some(seconds) = waits.max() {
        return Err(refusal(world, seconds));
    }
    network(world, req)?;
    for w in counted {
        world.cloud.buckets.bucket(w, kind, now).left -= 1.0;
    }
    Ok(())
}

/// Counts a request to the network provider.
fn network(world: &mut World, req: &Req) -> Result<(), Refusal> {
    let reads = req.method == Method::GET;
    let asked = req.low.iter().any(|s| s == "microsoft.network");
    if !asked || !(reads || req.method == Method::PUT || req.method == Method::DELETE) {
        return Ok(());
    }
    let now = world.now();
    let window = world
        .cloud
        .buckets
        .network
        .entry(reads)
        .or_insert(Window { since: now, count: 0 });
    let ends = plus(window.since, NETWORK_WINDOW);
    if ends <= now {
        *window = Window { since: now, count: 0 };
    }
    if window.count < if reads { NETWORK_READS } else { NETWORK_CHANGES } {
        window.count += 1;
        return Ok(());
    }
    let seconds = ends.duration_since(now).as_secs_f64().ceil().max(1.0) as u64;
    let mut refusal = Refusal::new(
        429,
        "TooManyRequests",
        format!("The request rate of the network provider is exceeded. Please try again after '{seconds}' seconds."),
    );
    refusal.headers.push(("retry-after", seconds.to_string()));
    Err(refusal)
}

/// Empties the bucket that a request counts for, for so many seconds.
pub(crate) fn close(world: &mut World, req: &Req, seconds: u64) -> Refusal {
    let now = world.now();
    let bucket = world.cloud.buckets.bucket(whose(req), Kind::of(&req.method), now);
    bucket.left = 0.0;
    let wait = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(3600).min(3600));
    bucket.closed_until = Some(plus(now, wait));
    refusal(world, seconds)
}

/// Tells how many requests are left.
pub(crate) fn stamp(world: &mut World, req: &Req, resp: Resp) -> Resp {
    let (now, kind) = (world.now(), Kind::of(&req.method));
    let mut left = |whose: Whose| {
        let left = world.cloud.buckets.bucket(whose, kind, now).left;
        (left.max(0.0) as u64).to_string()
    };
    let headers = match whose(req) {
        Whose::Tenant(p) => vec![(header(false, false, kind), left(Whose::Tenant(p)))],
        own => vec![
            (header(true, false, kind), left(own)),
            (header(true, true, kind), left(Whose::Global)),
        ],
    };
    resp.with(headers)
}

fn header(subscription: bool, global: bool, kind: Kind) -> &'static str {
    match (subscription, global, kind) {
        (false, _, Kind::Reads) => "x-ms-ratelimit-remaining-tenant-reads",
        (false, _, Kind::Writes) => "x-ms-ratelimit-remaining-tenant-writes",
        (false, _, Kind::Deletes) => "x-ms-ratelimit-remaining-tenant-deletes",
        (true, false, Kind::Reads) => "x-ms-ratelimit-remaining-subscription-reads",
        (true, false, Kind::Writes) => "x-ms-ratelimit-remaining-subscription-writes",
        (true, false, Kind::Deletes) => "x-ms-ratelimit-remaining-subscription-deletes",
        (true, true, Kind::Reads) => "x-ms-ratelimit-remaining-subscription-global-reads",
        (true, true, Kind::Writes) => "x-ms-ratelimit-remaining-subscription-global-writes",
        (true, true, Kind::Deletes) => "x-ms-ratelimit-remaining-subscription-global-deletes",
    }
}
