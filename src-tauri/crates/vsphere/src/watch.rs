//! Watching machines: what changes is told, and the connection is taken up again when it breaks.
//!
//! The server keeps a filter over a view of all machines with the properties of the first pass, and a call waits for news.
//! The first answers hold everything; it is compared with what the caller has, and so is what comes after a new sign-in, a
//! restart of the server or a version that it has forgotten: nothing is missed meanwhile, and nothing is told twice.
//!
//! A machine that was modified is read anew by the first pass: an update tells single properties, and a machine's fields come
//! from several. Its places are read when they are new; that a host or cluster is renamed shows at the next start.
//! Errors that a person must remove end the watch, since wrong passwords lock accounts; others are met with patience.

use crate::error::{ErrorClass, VsphereError};
use crate::inventory::{PATHS, Places};
use crate::properties::{Object, Of, Paths, Reference, VM, filter_spec, object};
use crate::session::{VCenter, renewing};
use crate::soap::{Call, READ_TIMEOUT, Record};
use futures::{Stream, StreamExt, stream};
use jiff::SignedDuration;
use plan::Vm;
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc;

/// Seconds that the server may keep a call without news. Short enough to notice a dead connection, and for proxies.
const WAIT_SECS: u64 = 45;
const _: () = assert!(WAIT_SECS * 2 < READ_TIMEOUT.as_secs());

/// Before trying again: the first time, and at most.
const PATIENCE: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_secs(60));

const WATCHED: Paths = &[(VM, PATHS)];

/// What happened.
#[derive(Debug, Clone)]
pub enum Change {
    /// Machines that are new or not as they were; first pass only.
    Upserted(Vec<Vm>),
    /// References of machines that are gone.
    Removed(Vec<String>),
    /// The connection is lost and is being taken up again; or the stream ends, because a person must do something first.
    Lost(VsphereError),
    /// The connection is there again, and all that changed meanwhile was told.
    Back,
    /// All is told: after the first comparison, and as a sign of life in between.
    Quiet,
}

impl VCenter {
    /// Tells how the machines differ from `known`, and then what changes. Ends when the stream is dropped, or after
    /// [`Change::Lost`] with an error that a person must remove. Needs a tokio runtime.
    pub fn watch(&self, known: Vec<Vm>) -> impl Stream<Item = Change> + Send + use<> {
        let vcenter = self.clone();
        stream::once(async move {
            let (to, received) = mpsc::channel(8);
            let known = known
                .into_iter()
                .map(first_pass)
                .map(|v| (v.moref.clone(), v))
                .collect();
            let watcher = Watcher {
                vcenter,
                to,
                known,
                lost: false,
                old: None,
            };
            tokio::spawn(watcher.run());
            stream::unfold(received, async |mut r| r.recv().await.map(|change| (change, r)))
        })
        .flatten()
        .boxed()
    }
}

/// A machine without what the first pass does not read.
fn first_pass(vm: Vm) -> Vm {
    Vm {
        details: None,
        readiness: None,
        guest: None,
        ..vm
    }
}

/// Nobody listens any more.
struct Unheard;

struct Watcher {
    vcenter: VCenter,
    to: mpsc::Sender<Change>,
    known: HashMap<String, Vm>,
    lost: bool,
    old: Option<Filter>,
}

/// What the server keeps for one watch.
struct Filter {
    generation: u64,
    view: String,
    collector: String,
}

/// One answer with news.
struct Updates {
    version: String,
    /// More is ready.
    truncated: bool,
    entered: Vec<Object>,
    modified: Vec<Reference>,
    left: Vec<String>,
}

impl Watcher {
    async fn run(mut self) {
        let mut patience = PATIENCE.0;
        loop {
            let Err(e) = self.follow().await else { return };
            let by_person = e.class() == ErrorClass::Auth;
            if !self.lost {
                patience = PATIENCE.0;
            }
            if by_person || !self.lost {
                let unheard = self.tell(Change::Lost(e)).await.is_err();
                if by_person || unheard {
                    return;
                }
            }
            self.lost = true;
            let time = self.vcenter.time().clone();
            tokio::select! {
                () = self.to.closed() => return,
                () = time.sleep_until(time.now() + patience) => {}
            }
            patience = (patience * 2).min(PATIENCE.1);
        }
    }

    async fn tell(&self, change: Change) -> Result<(), Unheard> {
        self.to.send(change).await.map_err(|_| Unheard)
    }

    /// Watches until nobody listens, over as many sessions as it takes.
    async fn follow(&mut self) -> Result<(), VsphereError> {
        loop {
            let vcenter = self.vcenter.clone();
            let filter = renewing!(vcenter, Filter::create(&vcenter))?;
            // Of the same session, behind a connection that broke.
            if let Some(old) = self.old.take()
                && old.generation == filter.generation
            {
                old.remove(&vcenter).await;
            }
            match self.follow_filter(&filter).await {
                Ok(()) => {
                    filter.remove(&vcenter).await;
                    return Ok(());
                }
                Err(e) if e.session_ended() || vcenter.generation() != filter.generation => {
                    vcenter.sign_in_again(filter.generation).await?;
                }
                Err(e) => {
                    self.old = Some(filter);
                    return Err(e);
                }
            }
        }
    }

    async fn follow_filter(&mut self, filter: &Filter) -> Result<(), VsphereError> {
        let mut places = self.vcenter.places().await?;
        let mut version = String::new();
        // Machines told of since the version was empty: at the end all there are.
        let mut seen = Some(HashSet::new());
        loop {
            let answer = tokio::select! {
                () = self.to.closed() => return Ok(()),
                answer = filter.wait(&self.vcenter, &version) => answer,
            };
            let told = match answer {
                Err(e) if e.code() == "InvalidCollectorVersion" && !version.is_empty() => {
                    (version, seen) = (String::new(), Some(HashSet::new()));
                    continue;
                }
                Err(e) => return Err(e),
                Ok(None) => self.tell(Change::Quiet).await,
                Ok(Some(mut updates)) => {
                    version = std::mem::take(&mut updates.version);
                    self.take(updates, &mut places, &mut seen).await?
                }
            };
            if told.is_err() {
                return Ok(());
            }
        }
    }

    /// Tells what is new in one answer.
    async fn take(
        &mut self,
        mut updates: Updates,
        places: &mut Places,
        seen: &mut Option<HashSet<String>>,
    ) -> Result<Result<(), Unheard>, VsphereError> {
        let modified = Of::Each(&updates.modified);
        if !updates.modified.is_empty() {
            let mut read = self.vcenter.retrieve_all(modified, WATCHED, Record::Whole).await?;
            updates.entered.append(&mut read);
        }
        self.vcenter.learn_places(places, &updates.entered).await?;
        let mut upserted = Vec::new();
        for object in &updates.entered {
            let vm = places.vm(object);
            if let Some(seen) = seen {
                seen.insert(vm.moref.clone());
            }
            if self.known.get(&vm.moref) != Some(&vm) {
                self.known.insert(vm.moref.clone(), vm.clone());
                upserted.push(vm);
            }
        }
        let mut gone = updates.left;
        let whole = if updates.truncated { None } else { seen.take() };
        if let Some(all) = &whole {
            gone.extend(self.known.keys().filter(|m| !all.contains(*m)).cloned());
        }
        gone.retain(|moref| self.known.remove(moref).is_some());
        let mut news = Vec::new();
        if !upserted.is_empty() {
            news.push(Change::Upserted(upserted));
        }
        if !gone.is_empty() {
            news.push(Change::Removed(gone));
        }
        if whole.is_some() {
            let back = std::mem::take(&mut self.lost);
            news.push(if back { Change::Back } else { Change::Quiet });
        }
        for change in news {
            if self.tell(change).await.is_err() {
                return Ok(Err(Unheard));
            }
        }
        Ok(Ok(()))
    }
}

impl Filter {
    async fn create(vcenter: &VCenter) -> Result<Filter, VsphereError> {
        let generation = vcenter.generation();
        let view = vcenter.create_view(&[VM]).await?;
        let of = |response: crate::xml::Node| response.text_of("returnval").unwrap_or_default().to_owned();
        let create = Call::new("CreatePropertyCollector", vcenter.collector());
        let filter = Filter {
            generation,
            view,
            collector: of(vcenter.send(&create).await?),
        };
        loop {
            let spec = filter_spec(Of::View(&filter.view), WATCHED, &vcenter.unknown());
            let create = filter
                .call("CreateFilter")
                .xml(&format!("<spec>{spec}</spec>"))
                .arg("partialUpdates", false);
            match vcenter.send(&create).await {
                Ok(_) => return Ok(filter),
                Err(e) if vcenter.lacks(WATCHED, &e) => {}
                Err(e) => {
                    filter.remove(vcenter).await;
                    return Err(e);
                }
            }
        }
    }

    fn call(&self, method: &'static str) -> Call {
        Call::new(method, ("PropertyCollector", &self.collector))
    }

    /// Waits for news since `version`; none when there are none.
    async fn wait(&self, vcenter: &VCenter, version: &str) -> Result<Option<Updates>, VsphereError> {
        let call = self.call("WaitForUpdatesEx").arg("version", version).xml(&format!(
            "<options><maxWaitSeconds>{WAIT_SECS}</maxWaitSeconds></options>"
        ));
        let (mut entered, mut modified, mut left) = (Vec::new(), Vec::new(), Vec::new());
        let mut ended = None;
        let response = vcenter
            .send_records(&call, "objectSet", |node| {
                let kind = node.text_of("kind").unwrap_or_default().to_owned();
                match (object(vcenter.server(), call.method, node), kind.as_str()) {
                    (Err(e), _) => ended = Some(e),
                    (Ok(None), _) => {}
                    // What came last counts.
                    (Ok(Some(o)), "enter") => {
                        left.retain(|moref| *moref != o.moref);
                        entered.push(o);
                    }
                    (Ok(Some(o)), "leave") => {
                        entered.retain(|e: &Object| e.moref != o.moref);
                        modified.retain(|(_, moref)| *moref != o.moref);
                        left.push(o.moref);
                    }
                    (Ok(Some(o)), _) => modified.push((o.kind, o.moref)),
                }
            })
            .await?;
        if let Some(e) = ended {
            return Err(e);
        }
        Ok(response.child("returnval").map(|set| Updates {
            version: set.text_of("version").unwrap_or_default().to_owned(),
            truncated: set.text_of("truncated") == Some("true"),
            entered,
            modified,
            left,
        }))
    }

    /// Ends the waiting call and takes everything away from the server.
    async fn remove(&self, vcenter: &VCenter) {
        for call in [self.call("CancelWaitForUpdates"), self.call("DestroyPropertyCollector")] {
            if let Err(e) = vcenter.send(&call).await {
                tracing::debug!(error = %e, "a watch could not be removed; it ends with the session");
            }
        }
        vcenter.destroy_view(&self.view).await;
    }
}
