//! Lab time. It runs `speed` times as fast as real time from an anchor, and it may jump: when every worker of the
//! client sleeps and the nearest thing anyone waits for is further away than `skip_idle_over`, the clock goes there at once.
//! The engine takes its time from this clock, so Retry-After headers and hour-long operations are honoured in lab time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// A moment of lab time nailed to a moment of real time; enough to continue the clock in another process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockAnchor {
    /// Milliseconds since 1970 of this computer's clock.
    pub real_unix_ms: i64,
    /// The lab's time at that moment.
    pub lab: Timestamp,
    /// Lab seconds per real second.
    pub speed: u32,
}

/// How long all workers must have been asleep, in real time, before the clock jumps. A worker that has just been woken
/// needs this long at most to say that it is awake.
const SETTLE: Duration = Duration::from_millis(1);

struct Anchor {
    real: Instant,
    lab: Timestamp,
    speed: u32,
}

/// The lab's clock. Cheap to share; all methods take `&self`.
pub struct LabClock {
    anchor: Mutex<Anchor>,
    skip_idle_over: Option<SignedDuration>,
    sleepers: Mutex<BTreeSet<(Timestamp, u64)>>,
    awake: AtomicUsize,
    /// Counts everything that speaks against a jump: someone woke, fell asleep or made a request.
    activity: AtomicU64,
    next: AtomicU64,
    moved: watch::Sender<u64>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LabClock {
    /// Starts a clock at `start`. `skip_idle_over` is in lab time; `None` = never jumps.
    pub fn new(start: Timestamp, speed: u32, skip_idle_over: Option<Duration>) -> LabClock {
        LabClock {
            anchor: Mutex::new(Anchor {
                real: Instant::now(),
                lab: start,
                speed: speed.clamp(1, 10_000),
            }),
            skip_idle_over: skip_idle_over.map(|d| SignedDuration::try_from(d).unwrap_or(SignedDuration::MAX)),
            sleepers: Mutex::default(),
            awake: AtomicUsize::new(0),
            activity: AtomicU64::new(0),
            next: AtomicU64::new(0),
            moved: watch::Sender::new(0),
        }
    }

    /// The same clock in another process of this computer. It doesn't jump by itself.
    pub fn remote(anchor: ClockAnchor) -> LabClock {
        let clock = LabClock::new(anchor.lab, anchor.speed, None);
        clock.follow(anchor);
        clock
    }

    /// Takes over another anchor, for example after the lab was told to go ahead.
    pub fn follow(&self, anchor: ClockAnchor) {
        let age = unix_ms().saturating_sub(anchor.real_unix_ms).max(0);
        let lab = anchor
            .lab
            .saturating_add(scaled(SignedDuration::from_millis(age), anchor.speed))
            .unwrap_or(anchor.lab);
        *lock(&self.anchor) = Anchor {
            real: Instant::now(),
            lab,
            speed: anchor.speed.clamp(1, 10_000),
        };
        self.announce();
    }

    /// The lab's time.
    pub fn now(&self) -> Timestamp {
        let a = lock(&self.anchor);
        let real = SignedDuration::try_from(a.real.elapsed()).unwrap_or(SignedDuration::ZERO);
        a.lab.saturating_add(scaled(real, a.speed)).unwrap_or(a.lab)
    }

    /// Lab seconds per real second.
    pub fn speed(&self) -> u32 {
        lock(&self.anchor).speed
    }

    /// Changes the speed from now on; 1 to 10,000.
    pub fn set_speed(&self, speed: u32) {
        let lab = self.now();
        *lock(&self.anchor) = Anchor {
            real: Instant::now(),
            lab,
            speed: speed.clamp(1, 10_000),
        };
        self.announce();
    }

    /// Goes ahead to `to`; a time in the past changes nothing.
    pub fn advance_to(&self, to: Timestamp) {
        {
            let now = self.now();
            let mut a = lock(&self.anchor);
            if to <= now {
                return;
            }
            *a = Anchor {
                real: Instant::now(),
                lab: to,
                speed: a.speed,
            };
        }
        self.announce();
    }

    /// What another process needs to follow this clock.
    pub fn anchor(&self) -> ClockAnchor {
        ClockAnchor {
            real_unix_ms: unix_ms(),
            lab: self.now(),
            speed: self.speed(),
        }
    }

    /// One more worker is awake until the guard is dropped: the clock doesn't jump meanwhile.
    pub fn awake(self: &Arc<Self>) -> Awake {
        self.awake.fetch_add(1, SeqCst);
        self.activity.fetch_add(1, SeqCst);
        Awake(self.clone())
    }

    /// Returns when `until` has come. Cancel-safe.
    pub async fn sleep_until(&self, until: Timestamp) {
        let mut moved = self.moved.subscribe();
        let _entry = Sleeper::new(self, until);
        loop {
            moved.mark_unchanged();
            let left = until.duration_since(self.now());
            if left <= SignedDuration::ZERO {
                return;
            }
            let real = Duration::try_from(left).unwrap_or_default() / self.speed() + Duration::from_micros(1);
            let seen = self.activity.load(SeqCst);
            let wait = if self.may_jump().is_some() {
                real.min(SETTLE)
            } else {
                real.min(Duration::from_secs(60))
            };
            tokio::select! {
                _ = tokio::time::sleep(wait) => {}
                _ = moved.changed() => {}
            }
            if self.activity.load(SeqCst) == seen
                && let Some(to) = self.may_jump()
            {
                self.advance_to(to);
            }
        }
    }

    /// Like [`LabClock::sleep_until`], for somebody who waits while counting as awake, such as a request in line: on a
    /// clock that jumps over all idle time nobody else would move it. Goes no further at once than to the nearest
    /// deadline of those who sleep.
    pub async fn wait_until(&self, until: Timestamp) {
        if self.skip_idle_over != Some(SignedDuration::ZERO) {
            return self.sleep_until(until).await;
        }
        loop {
            let now = self.now();
            if now >= until {
                return;
            }
            // Who was woken last gets its turn first.
            tokio::time::sleep(SETTLE).await;
            let nearest = lock(&self.sleepers).iter().map(|(at, _)| *at).find(|at| *at > now);
            self.advance_to(nearest.map_or(until, |at| at.min(until)));
        }
    }

    /// The nearest deadline, if everyone sleeps and it is far enough away.
    fn may_jump(&self) -> Option<Timestamp> {
        let over = self.skip_idle_over?;
        if self.awake.load(SeqCst) > 0 {
            return None;
        }
        let (next, _) = *lock(&self.sleepers).first()?;
        (next.duration_since(self.now()) > over).then_some(next)
    }

    /// Hears when the clock jumps or its speed changes.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn announce(&self) {
        self.moved.send_modify(|n| *n += 1);
    }
}

/// A guard from [`LabClock::awake`].
pub struct Awake(Arc<LabClock>);

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.activity.fetch_add(1, SeqCst);
        // The last one to fall asleep lets the sleepers look again whether the clock may jump.
        if self.0.awake.fetch_sub(1, SeqCst) == 1 && self.0.skip_idle_over.is_some() {
            self.0.announce();
        }
    }
}

/// An entry in the list of sleepers, also removed when the sleep is cancelled.
struct Sleeper<'a>(&'a LabClock, (Timestamp, u64));

impl<'a> Sleeper<'a> {
    fn new(clock: &'a LabClock, until: Timestamp) -> Self {
        let key = (until, clock.next.fetch_add(1, SeqCst));
        lock(&clock.sleepers).insert(key);
        clock.activity.fetch_add(1, SeqCst);
        Sleeper(clock, key)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        lock(&self.0.sleepers).remove(&self.1);
        self.0.activity.fetch_add(1, SeqCst);
    }
}

fn scaled(real: SignedDuration, speed: u32) -> SignedDuration {
    real.checked_mul(i32::try_from(speed).unwrap_or(1))
        .unwrap_or(SignedDuration::MAX)
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|d| d.as_millis() as i64)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        Timestamp::from_second(1_795_000_000).expect("valid")
    }

    #[tokio::test]
    async fn jumps_only_when_everyone_sleeps() {
        let clock = Arc::new(LabClock::new(start(), 1, Some(Duration::ZERO)));
        let day = start() + SignedDuration::from_hours(24);
        let guard = clock.awake();
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep_until(day).await })
        };
        // Another task works for a while: the sleeper must not take the clock away.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(clock.now() < day);
        drop(guard);
        sleeper.await.expect("slept");
        assert!(clock.now() >= day);
    }

    #[tokio::test]
    async fn wakes_sleepers_in_order() {
        let clock = Arc::new(LabClock::new(start(), 10_000, Some(Duration::ZERO)));
        let order = Arc::new(Mutex::new(vec![]));
        let tasks: Vec<_> = [3i64, 1, 2]
            .into_iter()
            .map(|h| {
                let (clock, order) = (clock.clone(), order.clone());
                tokio::spawn(async move {
                    clock.sleep_until(start() + SignedDuration::from_hours(h)).await;
                    lock(&order).push(h);
                })
            })
            .collect();
        for t in tasks {
            t.await.expect("slept");
        }
        assert_eq!(*lock(&order), [1, 2, 3]);
    }

    #[tokio::test]
    async fn somebody_in_line_does_not_stop_the_clock() {
        let clock = Arc::new(LabClock::new(start(), 1, Some(Duration::ZERO)));
        let _awake = clock.awake();
        let minute = |n| start() + SignedDuration::from_mins(n);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep_until(minute(2)).await;
                clock.now()
            })
        };
        clock.wait_until(minute(5)).await;
        assert!(clock.now() >= minute(5));
        assert!(sleeper.await.expect("slept") < minute(5), "woken on the way");
    }

    #[test]
    fn a_remote_clock_shows_the_same_time() {
        let clock = LabClock::new(start(), 1, None);
        let remote = LabClock::remote(clock.anchor());
        let apart = remote.now().duration_since(clock.now()).abs();
        assert!(apart < SignedDuration::from_millis(500), "{apart:?}");
    }
}
