//! A world in memory, and task kinds that are scripted by the task's name.

use super::address;
use crate::{Clock, Ctx, Failure, FailureClass, Handle, Observed, Runner, TaskKind, clock::JumpingClock};
use jiff::{SignedDuration, Timestamp};
use plan::{Address, Exchange, Task};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// What a task of this name is like.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// Seconds for which its operation runs; 0 = it is there at once, without a handle.
    pub takes: i64,
    pub only_checks: bool,
    /// Seconds after the world's beginning before which a look says "not yet".
    pub not_before: i64,
    pub not_needed: bool,
    pub system: Option<&'static str>,
    /// What the next calls of each method answer instead.
    pub observe_fails: VecDeque<FailureClass>,
    pub apply_fails: VecDeque<FailureClass>,
    pub settle_fails: VecDeque<FailureClass>,
    pub verify_fails: VecDeque<FailureClass>,
    pub undo_fails: VecDeque<FailureClass>,
    pub panics: bool,
    /// The task whose thing it needs.
    pub needs: Option<&'static str>,
    /// Progress reports in `verify`.
    pub chatter: u32,
}

#[derive(Debug, Default)]
struct Things {
    /// What is there, and since when it is finished.
    there: BTreeMap<Address, Timestamp>,
    applied: BTreeMap<Address, u32>,
    changes: usize,
    /// Dies before or after this change.
    dies: Option<(usize, bool)>,
    busy: BTreeMap<&'static str, (usize, usize)>,
}

pub(super) struct World {
    scripts: Mutex<BTreeMap<String, Script>>,
    things: Mutex<Things>,
    clock: Mutex<JumpingClock>,
    pub died: Notify,
}

pub(super) fn beginning() -> Timestamp {
    "2026-11-21T19:00:00Z".parse().unwrap()
}

impl World {
    pub fn new(scripts: &[(&str, Script)]) -> Self {
        Self {
            scripts: Mutex::new(scripts.iter().map(|(n, s)| ((*n).to_owned(), s.clone())).collect()),
            things: Mutex::default(),
            clock: Mutex::new(JumpingClock::new(beginning())),
            died: Notify::new(),
        }
    }

    pub fn clock(&self) -> Arc<JumpingClock> {
        Arc::new(self.clock.lock().unwrap().clone())
    }

    /// A new process has a new clock, at the same time.
    pub fn new_process(&self) {
        let mut clock = self.clock.lock().unwrap();
        let now = clock.now();
        *clock = JumpingClock::new(now);
        let mut things = self.things.lock().unwrap();
        things.dies = None;
        things.busy.clear();
    }

    /// Dies at the `n`-th change from now (1, 2, …): just before or just after it.
    pub fn dies_at(&self, n: usize, after: bool) {
        let mut t = self.things.lock().unwrap();
        t.dies = Some((t.changes + n, after));
    }

    pub fn change<T>(&self, name: &str, f: impl FnOnce(&mut Script) -> T) -> T {
        f(self.scripts.lock().unwrap().entry(name.into()).or_default())
    }

    pub fn put(&self, name: &str) {
        self.things.lock().unwrap().there.insert(address(name), beginning());
    }

    /// Somebody else takes away what a task has made.
    pub fn lose(&self, name: &str) {
        self.things.lock().unwrap().there.remove(&address(name));
    }

    pub fn there(&self) -> Vec<Address> {
        self.things.lock().unwrap().there.keys().cloned().collect()
    }

    pub fn changes(&self) -> usize {
        self.things.lock().unwrap().changes
    }

    pub fn applied(&self, name: &str) -> u32 {
        self.things
            .lock()
            .unwrap()
            .applied
            .get(&address(name))
            .copied()
            .unwrap_or_default()
    }

    /// The tasks whose change was made more than once.
    pub fn repeated(&self) -> Vec<Address> {
        let things = self.things.lock().unwrap();
        things
            .applied
            .iter()
            .filter(|(_, n)| **n > 1)
            .map(|(a, _)| a.clone())
            .collect()
    }

    /// How many were busy with a system at most.
    pub fn most_busy(&self, system: &str) -> usize {
        self.things
            .lock()
            .unwrap()
            .busy
            .get(system)
            .map_or(0, |(_, most)| *most)
    }

    async fn before_change(&self) {
        let dies = {
            let mut t = self.things.lock().unwrap();
            t.changes += 1;
            t.dies == Some((t.changes, false))
        };
        self.die_if(dies).await;
    }

    async fn after_change(&self) {
        let dies = {
            let t = self.things.lock().unwrap();
            t.dies == Some((t.changes, true))
        };
        self.die_if(dies).await;
    }

    async fn die_if(&self, dies: bool) {
        if dies {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The runner: its kinds hold the world.
pub(super) struct Scripted(pub Arc<World>);

impl Runner for Scripted {
    fn kind(&self, task: &Task) -> Arc<dyn TaskKind> {
        let name = task.address.name().to_owned();
        let script = self.0.scripts.lock().unwrap().get(&name).cloned().unwrap_or_default();
        Arc::new(Kind {
            name,
            world: self.0.clone(),
            script,
        })
    }
}

struct Kind {
    name: String,
    world: Arc<World>,
    script: Script,
}

fn failure(class: FailureClass) -> Failure {
    Failure::of(class, "Scripted", "It failed", "because it was told to", "Nothing")
}

impl Kind {
    fn fails(&self, of: impl Fn(&mut Script) -> &mut VecDeque<FailureClass>) -> Result<(), Failure> {
        self.world
            .change(&self.name, |s| of(s).pop_front())
            .map_or(Ok(()), |c| Err(failure(c)))
    }

    fn state(&self, ctx: &Ctx) -> Option<(bool, Handle)> {
        let until = *self.world.things.lock().unwrap().there.get(&ctx.task.address)?;
        Some((until <= ctx.clock.now(), Handle(json!({ "thing": self.name }))))
    }

    /// Is busy for a while: others get their turn, and the clock must stand still.
    async fn busy(&self, ctx: &Ctx) {
        let (system, began) = (self.system(), ctx.clock.now());
        {
            let mut t = self.world.things.lock().unwrap();
            let (now, most) = t.busy.entry(system).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        if let Some((now, _)) = self.world.things.lock().unwrap().busy.get_mut(system) {
            *now -= 1;
        }
        assert_eq!(ctx.clock.now(), began, "the clock jumped while {} was busy", self.name);
    }
}

#[async_trait::async_trait]
impl TaskKind for Kind {
    fn only_checks(&self) -> bool {
        self.script.only_checks
    }

    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        self.busy(ctx).await;
        self.fails(|s| &mut s.observe_fails)?;
        assert!(!self.script.panics, "told to");
        if let Some(needed) = self.script.needs
            && !self.world.things.lock().unwrap().there.contains_key(&address(needed))
        {
            return Err(failure(FailureClass::NeedsPerson).having_lost(format!("thing:{needed}")));
        }
        if self.script.not_needed {
            return Ok(Observed::NotNeeded("found out".into()));
        }
        let not_before = self.world.change(&self.name, |s| s.not_before);
        if ctx.clock.now() < beginning() + SignedDuration::from_secs(not_before) {
            return Ok(Observed::NotYet {
                text: "Not yet".into(),
                again_secs: 60,
            });
        }
        Ok(match self.state(ctx) {
            None if self.script.only_checks && self.script.not_before > 0 => Observed::Matches,
            None => Observed::Absent,
            Some((true, _)) => Observed::Matches,
            Some((false, handle)) => Observed::InFlight(handle),
        })
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        assert!(ctx.intent_at.is_some(), "no change without an Intent");
        self.busy(ctx).await;
        self.fails(|s| &mut s.apply_fails)?;
        self.world.before_change().await;
        {
            let mut t = self.world.things.lock().unwrap();
            let until = ctx.clock.now() + SignedDuration::from_secs(self.script.takes);
            t.there.insert(ctx.task.address.clone(), until);
            *t.applied.entry(ctx.task.address.clone()).or_default() += 1;
        }
        self.world.after_change().await;
        ctx.created(format!("thing:{}", self.name));
        self.busy(ctx).await;
        Ok((self.script.takes > 0).then(|| Handle(json!({ "thing": self.name }))))
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        assert_eq!(handle.0["thing"], self.name);
        loop {
            self.busy(ctx).await;
            self.fails(|s| &mut s.settle_fails)?;
            match self.state(ctx) {
                Some((true, _)) => return Ok(()),
                Some((false, _)) => ctx.progress(Some(50.0), "Going on"),
                None => return Err(Failure::permanent("Gone", "It is gone", "", "")),
            }
            ctx.sleep(15).await?;
        }
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        self.busy(ctx).await;
        for i in 0..self.script.chatter {
            ctx.progress(Some(f64::from(i)), "Chatter");
            tokio::task::yield_now().await;
        }
        self.fails(|s| &mut s.verify_fails)?;
        if ctx.intent_at.is_some() {
            ctx.created(format!("thing:{}", self.name));
        }
        ctx.set_fact(format!("{}.id", self.name), self.name.clone());
        assert_eq!(ctx.fact("a.id").is_some(), ctx.facts().contains_key("a.id"));
        ctx.evidence(format!("{} is there", self.name));
        ctx.trace().record(exchange(&self.name));
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        self.busy(ctx).await;
        self.fails(|s| &mut s.undo_fails)?;
        ctx.sleep(60).await?;
        self.world.things.lock().unwrap().there.remove(&ctx.task.address);
        if ctx.is_ours(&format!("thing:{}", self.name)) {
            ctx.removed(format!("thing:{}", self.name));
        }
        Ok(())
    }

    fn intent(&self, _: &Ctx) -> String {
        format!("PUT {}", self.name)
    }

    fn system(&self) -> &'static str {
        self.script.system.unwrap_or("azure")
    }
}

pub(super) fn exchange(url: &str) -> Exchange {
    Exchange {
        at: beginning(),
        system: "azure".into(),
        method: "GET".into(),
        url: url.into(),
        status: Some(200),
        millis: 1,
        request_headers: vec![],
        request_body: None,
        response_headers: vec![],
        response_body: None,
        error: None,
        correlation_id: None,
    }
}
