//! The engine against a small made-up world, with a clock that jumps when nobody is awake.
#![allow(clippy::unwrap_used, clippy::panic)]

mod clock;
mod crash;
mod file;
mod fold;
mod random;
mod run;
mod world;

use crate::{Engine, Event, ProjectFile, Recorded, RunHandle, RunOptions};
use plan::{Action, Actor, Address, Plan, Step, Task, task::Duration};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;
use world::{Scripted, World};

/// Stops the engine dead after so many appended events, as a crash does.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    left: Mutex<Option<usize>>,
    burnt: Notify,
}

impl Fuse {
    pub(crate) async fn burn(&self, events: usize) {
        let burnt = {
            let mut left = self.left.lock().unwrap();
            if let Some(n) = left.as_mut() {
                *n = n.saturating_sub(events);
            }
            *left == Some(0)
        };
        if burnt {
            self.burnt.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

fn address(name: &str) -> Address {
    Address::new(1, "t", name)
}

fn task(name: &str, after: &[&str]) -> Task {
    Task {
        address: address(name),
        title: format!("Task {name}"),
        what: String::new(),
        why: String::new(),
        actor: Actor::Rehost,
        action: Action::RegisterProvider { namespace: name.into() },
        after: after.iter().map(|a| address(a)).collect(),
        rights: vec![],
        duration: Duration {
            p50: 10,
            p95: 3600,
            source: "test".into(),
        },
        cost: None,
        way_back: String::new(),
        no_return: false,
        calls: vec![],
        nodes: vec![],
    }
}

fn gate(name: &str, after: &[&str]) -> Task {
    let text = String::from;
    let action = Action::Gate {
        question: text("Go on?"),
        accept: text("Yes"),
        reject: text("No"),
        safe_because: text(""),
    };
    Task {
        action,
        ..task(name, after)
    }
}

fn skipped(name: &str, after: &[&str]) -> Task {
    Task {
        action: Action::NotNeeded {
            reason: "not today".into(),
        },
        ..task(name, after)
    }
}

fn person(name: &str, after: &[&str]) -> Task {
    let actor = Actor::Person {
        role: "database administrator".into(),
        instructions: vec![],
        script: None,
    };
    Task {
        actor,
        ..task(name, after)
    }
}

fn plan(tasks: Vec<Task>) -> Plan {
    let step = Step {
        number: 1,
        title: "Step".into(),
        tasks,
    };
    Plan {
        format: 1,
        application: "App".into(),
        rules: "test".into(),
        steps: vec![step],
        findings: vec![],
    }
}

fn project() -> plan::Project {
    plan::smarthotel::project("id", plan::Connections::default(), 1, 1)
}

fn options() -> RunOptions {
    RunOptions::new("Ann", "here", "1.0")
}

/// A run in its own folder, with everything a test looks at.
struct Bench {
    _folder: tempfile::TempDir,
    file: Arc<ProjectFile>,
    world: Arc<World>,
    run: RunHandle,
}

impl Bench {
    fn start(world: World, tasks: Vec<Task>) -> Self {
        Self::with(world, tasks, options())
    }

    fn with(world: World, tasks: Vec<Task>, options: RunOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Arc::new(ProjectFile::create(&folder.path().join("a.rehost"), &project()).unwrap());
        let world = Arc::new(world);
        let runner = Arc::new(Scripted(world.clone()));
        let run = Engine::start(file.clone(), Arc::new(plan(tasks)), runner, world.clock(), options).unwrap();
        Self {
            _folder: folder,
            file,
            world,
            run,
        }
    }

    fn journal(&self) -> Vec<Recorded> {
        self.file.journal(self.run.run()).unwrap()
    }

    fn events(&self) -> Vec<Event> {
        self.journal().into_iter().map(|r| r.event).collect()
    }

    fn status(&self, name: &str) -> crate::TaskStatus {
        self.run.with_state(|s| s.task(&address(name)).unwrap().status)
    }

    fn task(&self, name: &str) -> crate::TaskState {
        self.run.with_state(|s| s.task(&address(name)).unwrap().clone())
    }

    /// Returns when the state is as wanted.
    async fn until(&self, wanted: impl Fn(&crate::RunState) -> bool) {
        let (state, mut events) = self.run.follow();
        let mut there = wanted(&state);
        while !there {
            events.recv().await.unwrap();
            there = self.run.with_state(&wanted);
        }
    }

    async fn until_status(&self, name: &str, status: crate::TaskStatus) {
        self.until(|s| s.task(&address(name)).unwrap().status == status).await;
    }
}

fn open(path: &Path) -> Arc<ProjectFile> {
    Arc::new(ProjectFile::open(path).unwrap())
}
