//! Staying below Azure's limits, so that nobody sees 429: not this run, and not the admin who works in the portal
//! beside it.
//!
//! Requests pass here before they are sent. There is room, or they wait in line: the polls of running operations before
//! new work, but never so long that new work starves, and each kind first come, first served. Nothing is retried here;
//! a request that waits was never sent, so dropping it changes nothing.
//!
//! Figures: Microsoft, "Understand how Azure Resource Manager throttles requests" (request-limits-and-throttling,
//! 28 May 2025). They are per region, which a client can't see: one bucket for all regions errs on the safe side. What
//! Azure itself says (`x-ms-ratelimit-remaining-*`, 429 with `Retry-After`) is believed when it leaves less than we
//! thought: others work with the same account, and trial subscriptions have lower limits.
//!
//! Time comes from [`Time`], because in a rehearsal a bucket refills as fast as the lab's clock runs.

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, header::HeaderMap};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, oneshot};

/// Where the limits take time from.
#[async_trait::async_trait]
pub trait Time: Send + Sync {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;
    /// Returns when `until` has come. Must be safe to drop.
    async fn sleep_until(&self, until: Timestamp);
}

/// The computer's clock.
struct RealTime;

#[async_trait::async_trait]
impl Time for RealTime {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        let left = until.duration_since(Timestamp::now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }
}

/// What Azure counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Reads,
    Writes,
    Deletes,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    /// Size of the bucket, and tokens that come back each second.
    fn bucket(self) -> (f64, f64) {
        match self {
            Self::Reads => (250.0, 25.0),
            Self::Writes | Self::Deletes => (200.0, 10.0),
        }
    }
}

/// A provider's own limit: so many requests of these kinds in so many seconds.
struct Row {
    provider: &'static str,
    kinds: &'static [Kind],
    count: usize,
    seconds: i64,
}

const WINDOWS: &[Row] = &[
    Row {
        provider: "microsoft.network",
        kinds: &[Kind::Writes, Kind::Deletes],
        count: 1_000,
        seconds: 300,
    },
    Row {
        provider: "microsoft.network",
        kinds: &[Kind::Reads],
        count: 10_000,
        seconds: 300,
    },
];

/// The share of a bucket that is left to others with the same account, and to requests that arrive closer together
/// than they were sent.
const RESERVE: f64 = 0.1;
/// Requests on their way at once. Azure answers within a second, so the buckets are the limit and not this.
const IN_FLIGHT: usize = 64;
/// After so many polls in a row, one request of new work goes first.
const POLLS_IN_A_ROW: u32 = 4;
/// Codes of the resource manager's own throttling; any other code is a provider's.
const OF_ARM: &[&str] = &[
    "SubscriptionRequestsThrottled",
    "TenantRequestsThrottled",
    "ResourceRequestsThrottled",
];

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Looks after an operation that Azure has accepted.
    Following,
    New,
}

/// What is left of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// The subscription's id, lower case; empty for requests about the tenant.
    pub subscription: String,
    pub kind: Kind,
    /// The provider whose own limit this is, lower case; none for the resource manager's.
    pub provider: Option<String>,
    /// The documented limit, in requests; as many as may be sent at once.
    pub limit: u32,
    /// Requests that may be sent now.
    pub remaining: u32,
    /// Requests that come back in a minute.
    pub per_minute: u32,
    /// Requests that wait in line.
    pub waiting: u32,
    /// Azure asked for a pause until then.
    pub closed_until: Option<Timestamp>,
}

/// The limits of one account at one resource manager. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    time: Arc<dyn Time>,
    state: Mutex<State>,
    /// Something changed that may let a request go.
    changed: Notify,
}

/// A subscription's id or a provider, lower case. Every request looks some of them up.
type Name = Arc<str>;

#[derive(Default)]
struct State {
    lanes: BTreeMap<(Name, Kind), Lane>,
    /// By subscription and row of [`WINDOWS`]: when the requests of the last seconds were sent.
    windows: HashMap<(Name, usize), VecDeque<Timestamp>>,
    /// A provider that asked for a pause.
    closed: HashMap<(Name, Name, Kind), Timestamp>,
    in_flight: usize,
    tickets: u64,
    driven: bool,
}

struct Lane {
    left: f64,
    at: Timestamp,
    closed_until: Option<Timestamp>,
    in_flight: u32,
    lines: BTreeMap<(Priority, Name), VecDeque<Waiter>>,
    polls_in_a_row: u32,
}

struct Waiter {
    ticket: u64,
    go: oneshot::Sender<Pass>,
}

/// What a request is about.
#[derive(Clone)]
struct Subject {
    subscription: Name,
    provider: Name,
    kind: Kind,
}

/// Leave to send one request. Tell it the answer; dropped without one, it only stops counting as on its way.
pub(crate) struct Pass {
    limits: Option<Arc<Shared>>,
    subject: Subject,
}

/// When the next request may go.
enum Next {
    Nobody,
    At(Timestamp),
    /// When an answer has come.
    Answer,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Limits {
    /// Limits in the computer's time.
    fn default() -> Self {
        Self::new(Arc::new(RealTime))
    }
}

impl Limits {
    /// Full buckets.
    pub fn new(time: Arc<dyn Time>) -> Self {
        Self(Arc::new(Shared {
            time,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Tells what is left, for showing: of every limit that was used, and of the three of `subscription`.
    pub fn quota(&self, subscription: &str) -> Vec<Quota> {
        let now = self.0.time.now();
        let mut state = lock(&self.0.state);
        let subscription: Name = subscription.to_ascii_lowercase().into();
        for kind in [Kind::Reads, Kind::Writes, Kind::Deletes] {
            state.lane((subscription.clone(), kind), now);
        }
        let mut all: Vec<Quota> = state
            .lanes
            .iter_mut()
            .map(|((subscription, kind), lane)| {
                lane.refill(*kind, now);
                let (size, per_second) = kind.bucket();
                Quota {
                    subscription: subscription.to_string(),
                    kind: *kind,
                    provider: None,
                    limit: whole(size),
                    remaining: whole(lane.left),
                    per_minute: whole(per_second * 60.0),
                    waiting: u32::try_from(lane.lines.values().map(VecDeque::len).sum::<usize>()).unwrap_or(u32::MAX),
                    closed_until: lane.closed_until.filter(|t| *t > now),
                }
            })
            .collect();
        let mut windows: Vec<_> = state.windows.keys().cloned().collect();
        windows.sort();
        for (subscription, row) in windows {
            let Row {
                provider,
                kinds,
                count,
                seconds,
            } = &WINDOWS[row];
            let used = state.used(&subscription, row, now);
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            for kind in *kinds {
                let key = (subscription.clone(), Name::from(*provider), *kind);
                all.push(Quota {
                    subscription: subscription.to_string(),
                    kind: *kind,
                    provider: Some((*provider).to_owned()),
                    limit: number(*count),
                    remaining: number(count.saturating_sub(used)),
                    per_minute: number(count * 60 / usize::try_from(*seconds).unwrap_or(1)),
                    waiting: 0,
                    closed_until: state.closed.get(&key).copied().filter(|t| *t > now),
                });
            }
        }
        all
    }

    /// Waits until a request may be sent. Safe to drop.
    pub(crate) async fn admit(&self, priority: Priority, method: &Method, path: &str) -> Pass {
        let subject = Subject::of(method, path);
        loop {
            let go = {
                let now = self.0.time.now();
                let mut state = lock(&self.0.state);
                let lane = state.lane((subject.subscription.clone(), subject.kind), now);
                let nobody_waits = lane.lines.is_empty();
                if nobody_waits && state.ready(&subject, now).is_ok() {
                    state.take(&subject, now);
                    return Pass {
                        limits: Some(self.0.clone()),
                        subject,
                    };
                }
                let (go, come) = oneshot::channel();
                let ticket = state.tickets;
                state.tickets += 1;
                let line = (priority, subject.provider.clone());
                state
                    .lane((subject.subscription.clone(), subject.kind), now)
                    .lines
                    .entry(line)
                    .or_default()
                    .push_back(Waiter { ticket, go });
                if !std::mem::replace(&mut state.driven, true) {
                    tokio::spawn(drive(self.0.clone()));
                }
                come
            };
            self.0.changed.notify_one();
            // The driver ends without letting us go only with its runtime.
            if let Ok(pass) = go.await {
                return pass;
            }
        }
    }
}

/// Lets waiting requests go, one after the other, until nobody waits.
async fn drive(shared: Arc<Shared>) {
    // The runtime may end this task at any await.
    struct Ended(Arc<Shared>);
    impl Drop for Ended {
        fn drop(&mut self) {
            lock(&self.0.state).driven = false;
        }
    }
    let ended = Ended(shared.clone());
    loop {
        let next = {
            let mut state = lock(&shared.state);
            let next = state.grant(shared.time.now(), &shared);
            if matches!(next, Next::Nobody) {
                // Under the lock: whoever comes next starts another driver.
                state.driven = false;
                drop(state);
                std::mem::forget(ended);
                return;
            }
            next
        };
        match next {
            Next::At(until) => tokio::select! {
                () = shared.time.sleep_until(until) => {}
                () = shared.changed.notified() => {}
            },
            _ => shared.changed.notified().await,
        }
    }
}

impl State {
    fn lane(&mut self, key: (Name, Kind), now: Timestamp) -> &mut Lane {
        self.lanes.entry(key).or_insert_with_key(|(_, kind)| Lane {
            left: kind.bucket().0 * (1.0 - RESERVE),
            at: now,
            closed_until: None,
            in_flight: 0,
            lines: BTreeMap::new(),
            polls_in_a_row: 0,
        })
    }

    /// Counts the requests of a window, and forgets older ones.
    fn used(&mut self, subscription: &Name, row: usize, now: Timestamp) -> usize {
        let Some(sent) = self.windows.get_mut(&(subscription.clone(), row)) else {
            return 0;
        };
        let length = SignedDuration::from_secs(WINDOWS[row].seconds);
        while sent.front().is_some_and(|t| now.duration_since(*t) >= length) {
            sent.pop_front();
        }
        sent.len()
    }

    /// Tells whether a request may go now, or else when at the earliest.
    fn ready(&mut self, subject: &Subject, now: Timestamp) -> Result<(), Next> {
        if self.in_flight >= IN_FLIGHT {
            return Err(Next::Answer);
        }
        let lane = self.lane((subject.subscription.clone(), subject.kind), now);
        lane.ready(subject.kind, now).map_err(Next::At)?;
        self.provider_ready(subject, now).map_err(Next::At)
    }

    fn provider_ready(&mut self, subject: &Subject, now: Timestamp) -> Result<(), Timestamp> {
        let key = (subject.subscription.clone(), subject.provider.clone(), subject.kind);
        if let Some(until) = self.closed.get(&key).copied() {
            if until > now {
                return Err(until);
            }
            self.closed.remove(&key);
        }
        for (row, window) in WINDOWS.iter().enumerate() {
            if subject.is_in(window)
                && self.used(&subject.subscription, row, now) >= window.count
                && let Some(first) = self
                    .windows
                    .get(&(subject.subscription.clone(), row))
                    .and_then(VecDeque::front)
            {
                return Err(*first + SignedDuration::from_secs(window.seconds));
            }
        }
        Ok(())
    }

    fn take(&mut self, subject: &Subject, now: Timestamp) {
        self.in_flight += 1;
        let lane = self.lane((subject.subscription.clone(), subject.kind), now);
        lane.left -= 1.0;
        lane.in_flight += 1;
        for (row, window) in WINDOWS.iter().enumerate() {
            if subject.is_in(window) {
                let key = (subject.subscription.clone(), row);
                self.windows.entry(key).or_default().push_back(now);
            }
        }
    }

    /// Lets go who may, and tells when to look again.
    fn grant(&mut self, now: Timestamp, shared: &Arc<Shared>) -> Next {
        let keys: Vec<_> = self.lanes.keys().cloned().collect();
        let mut wake: Option<Timestamp> = None;
        let mut anybody = false;
        for (subscription, kind) in keys {
            while let Some(lane) = self.lanes.get_mut(&(subscription.clone(), kind)) {
                lane.lines.retain(|_, line| {
                    while line.pop_front_if(|w| w.go.is_closed()).is_some() {}
                    !line.is_empty()
                });
                if lane.lines.is_empty() {
                    break;
                }
                anybody = true;
                if self.in_flight >= IN_FLIGHT {
                    return Next::Answer;
                }
                let mut later = |t: Timestamp| wake = Some(wake.map_or(t, |w| w.min(t)));
                if let Err(until) = lane.ready(kind, now) {
                    later(until);
                    break;
                }
                let polls_first = lane.polls_in_a_row < POLLS_IN_A_ROW;
                let mut heads: Vec<(Priority, u64, Name)> = lane
                    .lines
                    .iter()
                    .filter_map(|((p, provider), line)| Some((*p, line.front()?.ticket, provider.clone())))
                    .collect();
                heads.sort_by_key(|(p, ticket, _)| ((*p == Priority::Following) != polls_first, *ticket));
                let chosen = heads.into_iter().find_map(|(priority, _, provider)| {
                    let subject = Subject {
                        subscription: subscription.clone(),
                        provider,
                        kind,
                    };
                    match self.provider_ready(&subject, now) {
                        Ok(()) => Some((priority, subject)),
                        Err(until) => {
                            later(until);
                            None
                        }
                    }
                });
                let Some((priority, subject)) = chosen else { break };
                let Some(lane) = self.lanes.get_mut(&(subscription.clone(), kind)) else {
                    break;
                };
                let line = lane.lines.get_mut(&(priority, subject.provider.clone()));
                let Some(waiter) = line.and_then(VecDeque::pop_front) else {
                    break;
                };
                let pass = Pass {
                    limits: Some(shared.clone()),
                    subject: subject.clone(),
                };
                match waiter.go.send(pass) {
                    Ok(()) => {
                        lane.polls_in_a_row = match priority {
                            Priority::Following => lane.polls_in_a_row + 1,
                            Priority::New => 0,
                        };
                        self.take(&subject, now);
                    }
                    // Gave up meanwhile. Its pass was never counted, and we hold the lock that its end would take.
                    Err(mut pass) => pass.limits = None,
                }
            }
        }
        match (anybody, wake) {
            (false, _) => Next::Nobody,
            (true, Some(at)) => Next::At(at),
            (true, None) => Next::Answer,
        }
    }
}

impl Lane {
    fn refill(&mut self, kind: Kind, now: Timestamp) {
        let (size, per_second) = kind.bucket();
        let passed = now.duration_since(self.at).as_secs_f64();
        if passed > 0.0 {
            // What is on its way may arrive all at once, after the bucket at the other side has long been full.
            let room = (size * (1.0 - RESERVE) - f64::from(self.in_flight)).max(0.0);
            self.left = (self.left + passed * per_second).min(room);
            self.at = now;
        }
    }

    fn ready(&mut self, kind: Kind, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.closed_until {
            if until > now {
                return Err(until);
            }
            self.closed_until = None;
        }
        self.refill(kind, now);
        if self.left >= 1.0 {
            return Ok(());
        }
        let seconds = (1.0 - self.left) / kind.bucket().1;
        Err(now + SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::from_secs(1)) + TICK)
    }
}

/// Rounding must not wake a sleeper a moment too early.
const TICK: SignedDuration = SignedDuration::from_micros(1);

impl Subject {
    /// Reads the subscription, and the provider that answers: the last one of the path.
    fn of(method: &Method, path: &str) -> Self {
        let mut segments = path.split('/').filter(|s| !s.is_empty());
        let (mut subscription, mut provider) = (String::new(), String::new());
        let mut first = true;
        while let Some(segment) = segments.next() {
            if first && segment.eq_ignore_ascii_case("subscriptions") {
                subscription = segments.next().unwrap_or_default().to_ascii_lowercase();
            } else if segment.eq_ignore_ascii_case("providers") {
                provider = segments.next().unwrap_or_default().to_ascii_lowercase();
            }
            first = false;
        }
        Self {
            subscription: subscription.into(),
            provider: provider.into(),
            kind: Kind::of(method),
        }
    }

    fn is_in(&self, window: &Row) -> bool {
        &*self.provider == window.provider && window.kinds.contains(&self.kind)
    }
}

impl Pass {
    /// Takes over what Azure says about its limits. `throttled`: the code of a refusal that throttles, and the seconds
    /// that it asks for.
    pub(crate) fn answered(mut self, headers: &HeaderMap, throttled: Option<(&str, u64)>) {
        let Some(shared) = self.limits.take() else { return };
        let now = shared.time.now();
        {
            let mut state = lock(&shared.state);
            state.returned(&self.subject);
            for (name, value) in headers {
                let remaining = value.to_str().ok().and_then(|v| v.trim().parse::<f64>().ok());
                if let (Some(kind), Some(remaining)) = (counted(name.as_str()), remaining) {
                    let lane = state.lane((self.subject.subscription.clone(), kind), now);
                    lane.refill(kind, now);
                    // What is on its way may not be counted yet.
                    let ours = remaining - f64::from(lane.in_flight) - kind.bucket().0 * RESERVE;
                    lane.left = lane.left.min(ours.max(0.0));
                }
            }
            if let Some((code, seconds)) = throttled {
                let until = now + SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0).min(LONGEST_PAUSE));
                let Subject {
                    subscription,
                    provider,
                    kind,
                } = self.subject.clone();
                if provider.is_empty() || code.starts_with("HttpStatus") || OF_ARM.contains(&code) {
                    let lane = state.lane((subscription, kind), now);
                    lane.closed_until = lane.closed_until.max(Some(until));
                    // After the pause it goes on at the pace at which tokens come back, not with a burst.
                    lane.left = 0.0;
                    lane.at = until;
                } else {
                    state.closed.insert((subscription, provider, kind), until);
                }
            }
        }
        shared.changed.notify_one();
    }
}

/// A pause that Azure asks for is believed up to a day, in seconds.
const LONGEST_PAUSE: i64 = 86_400;

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(shared) = self.limits.take() {
            lock(&shared.state).returned(&self.subject);
            shared.changed.notify_one();
        }
    }
}

impl State {
    fn returned(&mut self, subject: &Subject) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&(subject.subscription.clone(), subject.kind)) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }
}

/// Tells what `x-ms-ratelimit-remaining-subscription-reads` and its like count. Providers' own counters have other
/// units; the global ones are fifteen times the account's.
fn counted(header: &str) -> Option<Kind> {
    let what = header.strip_prefix("x-ms-ratelimit-remaining-")?;
    match what.strip_prefix("subscription-").or(what.strip_prefix("tenant-"))? {
        "reads" => Some(Kind::Reads),
        "writes" => Some(Kind::Writes),
        "deletes" => Some(Kind::Deletes),
        _ => None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests, never negative and below a few thousand"
)]
fn whole(n: f64) -> u32 {
    n.max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    /// Stands still until somebody sleeps, then is there.
    struct Jumps(Mutex<Timestamp>);

    #[async_trait::async_trait]
    impl Time for Jumps {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
        async fn sleep_until(&self, until: Timestamp) {
            // Whoever can still do something does it first.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let mut now = self.0.lock().unwrap();
            *now = until.max(*now);
        }
    }

    const SUBSCRIPTION: &str = "/subscriptions/S/resourceGroups/g";
    const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
    const SQL: &str = "/subscriptions/s/providers/Microsoft.Sql/managedInstances";

    fn limits() -> (Limits, Arc<Jumps>) {
        let time = Arc::new(Jumps(Mutex::new(Timestamp::UNIX_EPOCH)));
        (Limits::new(time.clone()), time)
    }

    fn seconds(time: &Jumps) -> f64 {
        time.now().duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
    }

    async fn send(limits: &Limits, method: Method, path: &str) {
        let none = HeaderMap::new();
        limits.admit(Priority::New, &method, path).await.answered(&none, None);
    }

    fn quota(limits: &Limits, kind: Kind) -> Quota {
        limits
            .quota("s")
            .into_iter()
            .find(|q| q.subscription == "s" && q.kind == kind && q.provider.is_none())
            .unwrap()
    }

    #[tokio::test]
    async fn a_burst_then_the_pace_of_the_refill() {
        for (method, burst, per_second) in [
            (Method::GET, 225, 25.0),
            (Method::PUT, 180, 10.0),
            (Method::DELETE, 180, 10.0),
        ] {
            let (limits, time) = limits();
            for _ in 0..burst {
                send(&limits, method.clone(), SUBSCRIPTION).await;
            }
            assert_eq!(seconds(&time), 0.0, "{method}: the bucket's size goes at once");
            for _ in 0..100 {
                send(&limits, method.clone(), SUBSCRIPTION).await;
            }
            assert!(
                (seconds(&time) - 100.0 / per_second).abs() < 0.1,
                "{method}: {}",
                seconds(&time)
            );
        }
    }

    #[tokio::test]
    async fn each_subscription_and_kind_has_its_own_bucket() {
        let (limits, time) = limits();
        for _ in 0..180 {
            send(&limits, Method::PUT, SUBSCRIPTION).await;
        }
        send(&limits, Method::DELETE, SUBSCRIPTION).await;
        send(&limits, Method::GET, SUBSCRIPTION).await;
        send(&limits, Method::PUT, "/subscriptions/other").await;
        send(&limits, Method::GET, "/tenants").await;
        assert_eq!(seconds(&time), 0.0);
        assert_eq!(quota(&limits, Kind::Writes).remaining, 0);
        assert_eq!(quota(&limits, Kind::Reads).remaining, 224);
    }

    #[tokio::test]
    async fn networks_own_limit_holds_back_network_only() {
        let (limits, time) = limits();
        // At ten a second the window of five minutes is used up after 82 seconds.
        for _ in 0..1_000 {
            send(&limits, Method::PUT, NETWORK).await;
        }
        assert!(seconds(&time) < 90.0);
        let of_network = limits
            .quota("s")
            .into_iter()
            .find(|q| q.provider.is_some() && q.kind == Kind::Writes);
        assert_eq!(of_network.map(|q| (q.limit, q.remaining)), Some((1_000, 0)));
        let network = {
            let limits = limits.clone();
            tokio::spawn(async move { send(&limits, Method::DELETE, NETWORK).await })
        };
        tokio::task::yield_now().await;
        send(&limits, Method::PUT, SQL).await;
        assert!(seconds(&time) < 90.0, "another provider isn't held back");
        network.await.unwrap();
        assert!(seconds(&time) >= 300.0, "{}", seconds(&time));
    }

    #[tokio::test]
    async fn azure_is_believed_when_it_leaves_less() {
        let (limits, _) = limits();
        let header = |n: &'static str, v: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(n), HeaderValue::from_static(v))])
        };
        let answer = async |headers: HeaderMap| {
            limits
                .admit(Priority::New, &Method::GET, SQL)
                .await
                .answered(&headers, None);
            quota(&limits, Kind::Reads).remaining
        };
        assert_eq!(
            answer(header("x-ms-ratelimit-remaining-subscription-reads", "40")).await,
            15
        );
        assert_eq!(
            answer(header("x-ms-ratelimit-remaining-subscription-reads", "249")).await,
            14
        );
        assert_eq!(
            answer(header("x-ms-ratelimit-remaining-subscription-global-reads", "1")).await,
            13
        );
        assert_eq!(
            answer(header("x-ms-ratelimit-remaining-subscription-reads", "3")).await,
            0
        );
    }

    #[tokio::test]
    async fn nothing_is_sent_before_azure_wants_it() {
        let (limits, time) = limits();
        let none = HeaderMap::new();
        let pass = limits.admit(Priority::New, &Method::GET, SQL).await;
        pass.answered(&none, Some(("SubscriptionRequestsThrottled", 17)));
        assert_eq!(
            quota(&limits, Kind::Reads).closed_until,
            Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(17))
        );
        send(&limits, Method::PUT, SQL).await;
        assert_eq!(seconds(&time), 0.0, "writes are another bucket");
        send(&limits, Method::GET, NETWORK).await;
        assert!((17.0..17.2).contains(&seconds(&time)), "{}", seconds(&time));
        // A provider's refusal holds back that provider only.
        let pass = limits.admit(Priority::New, &Method::PUT, SQL).await;
        pass.answered(&none, Some(("SubscriptionTooManyCreateUpdateRequests", 60)));
        send(&limits, Method::PUT, NETWORK).await;
        assert!(seconds(&time) < 18.0);
        send(&limits, Method::PUT, SQL).await;
        assert!(seconds(&time) >= 77.0);
    }

    #[tokio::test]
    async fn polls_go_first_and_new_work_never_starves() {
        let (limits, _) = limits();
        for _ in 0..225 {
            send(&limits, Method::GET, SQL).await;
        }
        let order = Arc::new(Mutex::new(vec![]));
        let mut tasks = vec![];
        for i in 0..10 {
            for priority in [Priority::New, Priority::Following] {
                let (limits, order) = (limits.clone(), order.clone());
                tasks.push(tokio::spawn(async move {
                    let pass = limits.admit(priority, &Method::GET, SQL).await;
                    order.lock().unwrap().push((priority == Priority::Following, i));
                    drop(pass);
                }));
            }
        }
        // One that gives up costs nobody a turn.
        let given_up = tokio::spawn({
            let limits = limits.clone();
            async move { drop(limits.admit(Priority::Following, &Method::GET, SQL).await) }
        });
        tokio::task::yield_now().await;
        given_up.abort();
        for t in tasks {
            t.await.unwrap();
        }
        let order = order.lock().unwrap();
        let polls: Vec<_> = order.iter().filter(|o| o.0).map(|o| o.1).collect();
        let works: Vec<_> = order.iter().filter(|o| !o.0).map(|o| o.1).collect();
        assert_eq!(
            (polls, works),
            ((0..10).collect(), (0..10).collect()),
            "first come, first served"
        );
        let first_works: Vec<_> = order
            .iter()
            .enumerate()
            .filter(|(_, o)| !o.0)
            .map(|(i, _)| i)
            .take(2)
            .collect();
        assert_eq!(first_works, [4, 9], "one in five is new work while polls wait");
    }

    /// The network stalls for a minute with requests on their way: they and the next burst together fit the bucket.
    #[tokio::test]
    async fn what_is_on_its_way_counts() {
        let (limits, time) = limits();
        let mut held = vec![];
        for _ in 0..50 {
            held.push(limits.admit(Priority::New, &Method::GET, SQL).await);
        }
        time.sleep_until(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60))
            .await;
        assert_eq!(quota(&limits, Kind::Reads).remaining, 175);
        held.clear();
        time.sleep_until(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(62))
            .await;
        assert_eq!(quota(&limits, Kind::Reads).remaining, 225);
    }

    #[tokio::test]
    async fn few_are_on_their_way_at_once() {
        let (limits, _) = limits();
        let mut held = vec![];
        for _ in 0..IN_FLIGHT {
            held.push(limits.admit(Priority::New, &Method::GET, SQL).await);
        }
        let next = tokio::spawn({
            let limits = limits.clone();
            async move { limits.admit(Priority::New, &Method::GET, SQL).await }
        });
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished());
        assert_eq!(quota(&limits, Kind::Reads).waiting, 1);
        held.pop();
        drop(next.await.unwrap());
    }
}
