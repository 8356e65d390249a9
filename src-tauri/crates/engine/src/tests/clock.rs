use super::world::beginning;
use crate::clock::{Clock, JumpingClock, doze};
use jiff::{SignedDuration, Timestamp};

fn after(secs: i64) -> Timestamp {
    beginning() + SignedDuration::from_secs(secs)
}

#[tokio::test]
async fn jumps_when_all_sleep_and_not_before() {
    let clock = JumpingClock::new(beginning());
    let guard = clock.awake();
    let sleeper = tokio::spawn({
        let clock = clock.clone();
        async move { clock.sleep_until(after(100)).await }
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clock.now(), beginning());
    let guard = doze(&clock, after(30), guard).await;
    assert_eq!(clock.now(), after(30), "the nearest deadline comes first");
    drop(guard);
    sleeper.await.unwrap();
    assert_eq!(clock.now(), after(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_wake_at_their_own_time_on_many_threads() {
    let clock = JumpingClock::new(beginning());
    // All are awake before the first one sleeps.
    let guards: Vec<_> = (1..=40).map(|i| (i, clock.awake())).collect();
    let sleepers: Vec<_> = guards
        .into_iter()
        .map(|(i, mut guard)| {
            let clock = clock.clone();
            tokio::spawn(async move {
                for n in 1..=5 {
                    guard = doze(&clock, after(i * 7 * n), guard).await;
                    assert!(clock.now() >= after(i * 7 * n));
                }
                drop(guard);
            })
        })
        .collect();
    for s in sleepers {
        s.await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_sleep_is_forgotten() {
    let clock = JumpingClock::new(beginning());
    let guard = clock.awake();
    let mut long = Box::pin(clock.sleep_until(after(10)));
    assert!(futures::poll!(long.as_mut()).is_pending());
    drop(long);
    doze(&clock, after(50), guard).await;
    assert_eq!(clock.now(), after(50));
}
