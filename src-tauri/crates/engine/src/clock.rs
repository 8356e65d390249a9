//! Where the engine takes time from. Nothing in it calls the system clock directly, so that Retry-After headers,
//! usual durations and 30-day waits are honoured in whatever time the connected systems live in.
//!
//! # Who is awake
//! A clock that is not bound to real time may jump to the next deadline when everybody sleeps. So that it never jumps
//! while something is about to be done, the engine holds an [`Awake`] guard
//! * in each worker, from before it is spawned until its last message is handled, except while it sleeps in the clock;
//! * in each message to the scheduler, so that a message in flight counts;
//! * in the scheduler, while it handles messages, writes the journal and starts workers.
//!
//! Nobody holds one while only a person can go on (a gate, a paused run), so other sleepers go on.
//! A sleeper gives its guard back only after the clock knows its deadline, and takes a new one before the clock forgets
//! it ([`doze`]); a jumping clock must therefore register a deadline at the first poll of [`Clock::sleep_until`], keep
//! it until that future is ready or dropped, and not jump while a registered deadline has already come.

use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// A source of time.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;
    /// Returns when `until` has come. Cancel-safe.
    async fn sleep_until(&self, until: Timestamp);
    /// Tells the clock that one more worker is awake until the guard is dropped. A clock that is not bound to real
    /// time may go ahead when every worker sleeps; a real one ignores it.
    fn awake(&self) -> Awake {
        Awake(None)
    }
}

/// A guard from [`Clock::awake`].
pub struct Awake(pub Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Awake {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        // A sleep can end late after the computer slept, never early: look again.
        loop {
            let left = until.duration_since(Timestamp::now());
            if left <= SignedDuration::ZERO {
                return;
            }
            tokio::time::sleep(
                Duration::try_from(left)
                    .unwrap_or_default()
                    .min(Duration::from_secs(60)),
            )
            .await;
        }
    }
}

/// Sleeps, giving `guard` back to the clock exactly while asleep. Returns a guard again. Cancel-safe.
pub(crate) async fn doze(clock: &dyn Clock, until: Timestamp, guard: Awake) -> Awake {
    let mut sleep = clock.sleep_until(until);
    let mut guard = Some(guard);
    poll_fn(|cx| {
        // Only a sleeper whose time has come takes a guard: looking at the clock must not look like work.
        let held = guard.take().or_else(|| (clock.now() >= until).then(|| clock.awake()));
        sleep.as_mut().poll(cx).map(|()| held.unwrap_or_else(|| clock.awake()))
    })
    .await
}

/// A clock for tests: stands still while anybody is awake, and jumps to the next deadline when all sleep.
#[derive(Clone)]
pub struct JumpingClock(Arc<Mutex<Jumping>>);

struct Jumping {
    now: Timestamp,
    awake: usize,
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    next: u64,
}

impl JumpingClock {
    /// Makes a clock that starts at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Jumping {
            now: start,
            awake: 0,
            sleepers: BTreeMap::new(),
            next: 0,
        })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Jumping) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Jumping {
    fn settle(&mut self) {
        let Some((&(deadline, _), _)) = self.sleepers.first_key_value() else {
            return;
        };
        if self.awake == 0 && deadline > self.now {
            self.now = deadline;
        }
        for ((until, _), waker) in &self.sleepers {
            if *until > self.now {
                break;
            }
            waker.wake_by_ref();
        }
    }
}

struct Sleep {
    clock: JumpingClock,
    until: Timestamp,
    key: Option<u64>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (until, key) = (self.until, self.key);
        let (state, key) = self.clock.with(|c| {
            if c.now >= until {
                return (Poll::Ready(()), key);
            }
            let id = key.unwrap_or_else(|| {
                c.next += 1;
                c.next
            });
            c.sleepers.insert((until, id), cx.waker().clone());
            c.settle();
            (Poll::Pending, Some(id))
        });
        self.key = key;
        state
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.key {
            self.clock.with(|c| {
                c.sleepers.remove(&(self.until, id));
                c.settle();
            });
        }
    }
}

#[async_trait::async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.with(|c| c.now)
    }

    async fn sleep_until(&self, until: Timestamp) {
        Sleep {
            clock: self.clone(),
            until,
            key: None,
        }
        .await;
    }

    fn awake(&self) -> Awake {
        self.with(|c| c.awake += 1);
        let clock = self.clone();
        Awake(Some(Box::new(move || {
            clock.with(|c| {
                c.awake -= 1;
                c.settle();
            });
        })))
    }
}
