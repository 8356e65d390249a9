//! Everything the lab knows, in one place behind one lock. Nothing in it runs by itself: what will happen at a later lab
//! time is an event in a queue, and every request first advances the world to now. So the lab costs nothing while nobody
//! asks, and its state depends on the requests, the clock and the seed alone.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{cloud::Cloud, entra::Directory, faults::Trouble, onprem::OnPrem, people::People, stats::Counters};

/// The world as the services share it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(world: World) -> Shared {
        Shared(Arc::new(Mutex::new(world)))
    }

    /// Locks the world. Never hold the guard across an `.await`.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that happens at a later lab time.
pub type Effect = Box<dyn FnOnce(&mut World) + Send>;

pub struct World {
    now: Timestamp,
    started: Timestamp,
    seed: u64,
    next: u64,
    /// Events and answers are numbered apart: what is only read or due must not shift the ids of what is changed.
    due: u64,
    answered: u64,
    events: BTreeMap<(Timestamp, u64), Effect>,
    pub onprem: OnPrem,
    /// The next migration by Database Migration Service that gets so far fails with this code: 2007, 2009, 2012, 2030,
    /// 2033, 2043, 2049 or 2056.
    pub dms_trouble: Option<u32>,
    /// The managed instance on the wire.
    pub managed: crate::tds::managed::Managed,
    pub(crate) cloud: Cloud,
    pub entra: Directory,
    pub(crate) people: People,
    pub(crate) counters: Counters,
    pub(crate) trouble: Trouble,
    /// The diary is being repeated: nobody signs in again.
    pub(crate) replaying: bool,
    /// Counts what may interest those who wait for changes.
    changes: watch::Sender<u64>,
}

impl World {
    /// How many restores were ever asked for and not deleted, whoever carries them out. For tests.
    pub fn restores(&self) -> usize {
        self.cloud.restores.len() + self.cloud.database_migrations.len()
    }

    /// Puts a resource there that is older than the lab, as its `id` says.
    pub fn place(&mut self, resource: serde_json::Value) {
        self.cloud.store(resource);
    }

    pub fn new(seed: u64, start: Timestamp, people: bool) -> World {
        let cloud = Cloud::contoso(seed);
        let mut world = World {
            now: start,
            started: start,
            seed,
            next: 0,
            due: 0,
            answered: 0,
            events: BTreeMap::new(),
            onprem: OnPrem::smarthotel(seed),
            dms_trouble: None,
            managed: crate::tds::managed::Managed::default(),
            entra: Directory::contoso(seed, &cloud.tenant),
            cloud,
            people: People::new(people),
            counters: Counters::default(),
            trouble: Trouble::default(),
            replaying: false,
            changes: watch::Sender::new(0),
        };
        crate::people::look(&mut world);
        world
    }

    /// The lab's time as of the last advance.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the lab was started, lab time.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Lets everything happen that is due until `now`, in order. People look around after each event.
    pub fn advance(&mut self, now: Timestamp) {
        crate::people::look(self);
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= now
        {
            let ((at, _), effect) = entry.remove_entry();
            self.now = self.now.max(at);
            effect(self);
            crate::people::look(self);
            self.touch();
        }
        self.now = self.now.max(now);
    }

    /// When the next event is due.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes those who wait for changes.
    pub fn touch(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Schedules `effect` at a lab time; one that is past happens at the next advance.
    pub fn at(&mut self, when: Timestamp, effect: impl FnOnce(&mut World) + Send + 'static) {
        self.due += 1;
        self.events.insert((when, self.due), Box::new(effect));
    }

    /// Schedules `effect` after a while.
    pub fn after(&mut self, wait: SignedDuration, effect: impl FnOnce(&mut World) + Send + 'static) {
        self.at(plus(self.now, wait), effect);
    }

    /// A new number, 1, 2, 3…
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Begins a change with numbers of its own, and returns from where they go on.
    pub(crate) fn begin_change(&mut self) -> u64 {
        const BLOCK: u64 = 1 << 20;
        self.next = (self.next / BLOCK + 1) * BLOCK;
        self.next
    }

    /// The id of an answer.
    pub(crate) fn answer_id(&mut self) -> Uuid {
        self.answered += 1;
        guid(self.seed, &format!("answer {}", self.answered))
    }

    /// Goes on counting from here.
    pub(crate) fn set_number(&mut self, next: u64) {
        self.next = next;
    }

    /// The id that belongs to `label` in this seed's world.
    pub fn guid(&self, label: &str) -> Uuid {
        guid(self.seed, label)
    }

    /// A new id.
    pub fn new_guid(&mut self) -> Uuid {
        let n = self.number();
        guid(self.seed, &format!("#{n}"))
    }

    /// `secs` with the seed's jitter of up to ten per cent either way; the same for the same label.
    pub fn about(&self, secs: i64, label: &str) -> SignedDuration {
        let h = Sha256::digest(format!("{}/jitter/{label}", self.seed));
        let permille = i64::from(u16::from_le_bytes([h[0], h[1]])) * 200 / 65_535 - 100;
        SignedDuration::from_millis(secs * (1000 + permille))
    }
}

/// A time plus a duration, saturating.
pub fn plus(t: Timestamp, d: SignedDuration) -> Timestamp {
    t.saturating_add(d).unwrap_or(t)
}

/// The id that belongs to `label` in the world of `seed`.
pub fn guid(seed: u64, label: &str) -> Uuid {
    Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        format!("https://lab.invalid/{seed}/{label}").as_bytes(),
    )
}
