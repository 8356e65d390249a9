//! Where the engine takes time from. Nothing in it calls the system clock directly, so that Retry-After headers,
//! usual durations and 30-day waits are honoured in whatever time the connected systems live in.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

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
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default().min(Duration::from_secs(60))).await;
        }
    }
}
