//! Where the client takes its time from, so that tests need not wait.

use futures::future::{BoxFuture, FutureExt};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A source of time.
pub trait Time: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Returns when `until` has come. May be dropped before.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'_, ()>;
}

/// The computer's clock. Sessions end by real time, in a rehearsal, too, since a busy lab keeps them alive.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTime;

impl Time for SystemTime {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            // A sleep can end late after the computer slept, never early: look again.
            loop {
                let left = until.duration_since(Timestamp::now());
                if left <= SignedDuration::ZERO {
                    return;
                }
                let left = Duration::try_from(left).unwrap_or_default();
                tokio::time::sleep(left.min(Duration::from_secs(60))).await;
            }
        }
        .boxed()
    }
}
