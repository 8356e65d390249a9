//! The lab's time as an [`engine::Clock`]: of a lab in this process, and of one in another; and a run's time for the
//! limits of Azure.

use engine::clock::{Awake, Clock};
use jiff::{SignedDuration, Timestamp};
use lab::{ClockAnchor, LabClock};
use std::{sync::Arc, time::Duration};

/// The clock of a lab in this process.
pub(crate) struct LocalTime(pub(crate) Arc<LabClock>);

#[async_trait::async_trait]
impl Clock for LocalTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }

    fn awake(&self) -> Awake {
        let guard = self.0.awake();
        Awake(Some(Box::new(move || drop(guard))))
    }
}

/// A run's clock as the time in which Azure's limits refill.
pub(crate) struct RunTime(pub(crate) Arc<dyn Clock>);

#[async_trait::async_trait]
impl azure::limits::Time for RunTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }
}

/// Farther apart than this, the lab is told to come along.
const APART: SignedDuration = SignedDuration::from_secs(1);

/// The clock of a lab in another process. When everyone here sleeps it jumps, and takes the lab's clock along.
pub(crate) struct RemoteTime {
    /// Ours; may be ahead.
    ours: Arc<LabClock>,
    /// What the lab's shows, as far as we know.
    theirs: LabClock,
    control: crate::control::Control,
}

impl RemoteTime {
    pub(crate) fn new(anchor: ClockAnchor, skip_idle: bool, control: crate::control::Control) -> Self {
        let theirs = LabClock::remote(anchor);
        let ours = Arc::new(LabClock::new(
            theirs.now(),
            anchor.speed,
            skip_idle.then_some(Duration::ZERO),
        ));
        Self { ours, theirs, control }
    }

    pub(crate) fn speed(&self) -> u32 {
        self.ours.speed()
    }

    pub(crate) fn control(&self) -> &crate::control::Control {
        &self.control
    }

    pub(crate) async fn set_speed(&self, speed: u32) -> Result<(), crate::wire::UiError> {
        let anchor = self.control.set_speed(speed).await?;
        self.ours.set_speed(speed);
        self.theirs.follow(anchor);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Clock for RemoteTime {
    fn now(&self) -> Timestamp {
        self.ours.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.ours.sleep_until(until).await;
        // Awake until the lab has come along: nobody here may jump again meanwhile.
        let _awake = self.ours.awake();
        let now = self.ours.now();
        if now.duration_since(self.theirs.now()) > APART {
            match self.control.advance_to(now).await {
                Ok(anchor) => self.theirs.follow(anchor),
                // The lab is gone: the next request to it says so, in better words.
                Err(e) => tracing::warn!(error = %e.detail, "the lab's clock can't be moved"),
            }
        }
    }

    fn awake(&self) -> Awake {
        let guard = self.ours.awake();
        Awake(Some(Box::new(move || drop(guard))))
    }
}
