//! The property collector's filters: what has changed since a client was told last.
//!
//! Nothing is noted when something changes: a look compares what the filters select now with what was told, and tells at
//! most [`PAGE`] objects at once. A call that waits looks again whenever the world may have changed, and lets go of it in
//! between. It waits in real time, as its client's HTTP connection does, and counts as activity of its session.

use super::{
    Context, Open, Outcome, Service,
    collector::PAGE,
    wire::{Element, Fault, Val, reference},
};
use quick_xml::escape::escape;
use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, Instant},
};

/// Real time between two looks of a call that waits: how late lab time that passes by itself is noticed at most, and how
/// often at most what happens is looked at.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A property collector of one session.
#[derive(Default)]
pub(super) struct Watcher {
    pub session: String,
    filters: BTreeMap<String, Filter>,
    version: u64,
    cancelled: bool,
}

struct Filter {
    spec: Element,
    /// Objects with their properties as they were told.
    told: BTreeMap<(String, String), BTreeMap<String, String>>,
}

/// The key of a collector: each session has the service's own one for itself.
fn key(session: Option<&str>, moref: &str) -> String {
    match moref {
        "propertyCollector" => format!("{}/{moref}", session.unwrap_or_default()),
        own => own.to_owned(),
    }
}

pub(super) fn exists(open: &Open, session: Option<&str>, kind: &str, moref: &str) -> bool {
    let mut own = open
        .watchers
        .iter()
        .filter(|(_, w)| Some(w.session.as_str()) == session);
    match kind {
        "PropertyCollector" => own.any(|(id, _)| id == moref),
        _ => own.any(|(_, w)| w.filters.contains_key(moref)),
    }
}

/// References of a collector's filters.
pub(super) fn filters(open: &Open, session: Option<&str>, moref: &str) -> Val {
    let watcher = open.watchers.get(&key(session, moref));
    let ids = watcher.into_iter().flat_map(|w| w.filters.keys());
    Val::refs(ids.map(|id| ("PropertyFilter".to_owned(), id.clone())))
}

/// When a call that waits must answer at the latest; none = it is no such call.
pub(super) fn deadline(request: &Element) -> Option<Instant> {
    // Without a limit the server waits until something happens.
    const LONG: u64 = 24 * 3600;
    let seconds = match request.name.as_str() {
        "WaitForUpdates" => LONG,
        "WaitForUpdatesEx" => request
            .child("options")
            .and_then(|o| o.text("maxWaitSeconds"))
            .map_or(LONG, |s| s.parse().unwrap_or(0)),
        _ => return None,
    };
    Some(Instant::now() + Duration::from_secs(seconds.min(LONG)))
}

/// Returns when there may be news, at `until` at the latest.
pub(super) async fn news(service: &Service, changed: &mut tokio::sync::watch::Receiver<u64>, until: Instant) {
    let mut moved = service.clock.moved();
    let soon = {
        let world = service.world.lock();
        world.next_event().map_or(LOOK.1, |at| {
            let left = Duration::try_from(at.duration_since(service.clock.now())).unwrap_or_default();
            left / service.clock.speed()
        })
    };
    let soon = soon
        .clamp(LOOK.0, LOOK.1)
        .min(until.saturating_duration_since(Instant::now()));
    tokio::select! {
        _ = changed.changed() => {}
        _ = moved.changed() => {}
        () = tokio::time::sleep(soon) => {}
    }
}

impl Context<'_> {
    pub(super) fn create_collector(&mut self) -> Outcome {
        let session = self.session.clone().unwrap_or_default();
        let id = format!("session[{session}]{}", self.open.number());
        let watcher = Watcher {
            session,
            ..Watcher::default()
        };
        self.open.watchers.insert(id.clone(), watcher);
        Ok(reference("PropertyCollector", &id).element("returnval"))
    }

    pub(super) fn destroy_collector(&mut self, moref: &str) -> Outcome {
        self.open.watchers.remove(moref);
        self.w.touch();
        Ok(String::new())
    }

    pub(super) fn create_filter(&mut self, request: &Element, collector: &str) -> Outcome {
        let spec = request.child("spec").ok_or_else(|| Fault::argument("spec"))?;
        // What it can't select or read is refused now.
        for (object, fitting) in self.select(spec)? {
            self.values(&object, &fitting)?;
        }
        let session = self.session.clone().unwrap_or_default();
        let id = format!("session[{session}]{}", self.open.number());
        let filter = Filter {
            spec: spec.clone(),
            told: BTreeMap::new(),
        };
        let watcher = self.open.watchers.entry(key(Some(&session), collector)).or_default();
        watcher.session = session;
        watcher.filters.insert(id.clone(), filter);
        Ok(reference("PropertyFilter", &id).element("returnval"))
    }

    pub(super) fn destroy_filter(&mut self, moref: &str) -> Outcome {
        for watcher in self.open.watchers.values_mut() {
            watcher.filters.remove(moref);
        }
        Ok(String::new())
    }

    pub(super) fn cancel_wait(&mut self, collector: &str) -> Outcome {
        let key = key(self.session.as_deref(), collector);
        if let Some(watcher) = self.open.watchers.get_mut(&key) {
            watcher.cancelled = true;
            self.w.touch();
        }
        Ok(String::new())
    }

    /// Tells what is new since the version; sets `pending` when that is nothing.
    pub(super) fn updates(&mut self, request: &Element, collector: &str) -> Outcome {
        let key = key(self.session.as_deref(), collector);
        let session = self.session.clone().unwrap_or_default();
        let watcher = self.open.watchers.entry(key.clone()).or_default();
        watcher.session = session;
        let version = request.text("version").unwrap_or_default();
        if self.again {
            if std::mem::take(&mut watcher.cancelled) {
                return Err(Fault::new("RequestCanceled", "The request was canceled."));
            }
        } else {
            watcher.cancelled = false;
            match version {
                "" => watcher.filters.values_mut().for_each(|f| f.told.clear()),
                v if v == watcher.version.to_string() => {}
                _ => return Err(Fault::new("InvalidCollectorVersion", "")),
            }
        }
        let asked = request.child("options").and_then(|o| o.text("maxObjectUpdates"));
        let mut room = asked
            .and_then(|n| n.parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(PAGE)
            .min(PAGE);
        let ids: Vec<String> = watcher.filters.keys().cloned().collect();
        let (mut sets, mut truncated) = (String::new(), false);
        for id in ids {
            let Some(filter) = self.open.watchers.get_mut(&key).and_then(|w| w.filters.remove(&id)) else {
                continue;
            };
            let outcome = self.compare(filter, room);
            let (filter, objects, told, more) = outcome?;
            truncated |= more;
            room -= told;
            if let Some(watcher) = self.open.watchers.get_mut(&key) {
                watcher.filters.insert(id.clone(), filter);
            }
            if !objects.is_empty() {
                let of = reference("PropertyFilter", &id).element("filter");
                let _ = write!(sets, "<filterSet>{of}{objects}</filterSet>");
            }
        }
        if sets.is_empty() {
            self.pending = true;
            return Ok(String::new());
        }
        let watcher = self.open.watchers.entry(key).or_default();
        watcher.version += 1;
        let more = if truncated { "<truncated>true</truncated>" } else { "" };
        Ok(format!(
            "<returnval><version>{}</version>{sets}{more}</returnval>",
            watcher.version
        ))
    }

    /// At most `room` objects that are not as they were told; how many; whether there are more.
    fn compare(&self, mut filter: Filter, room: usize) -> Result<(Filter, String, usize, bool), Fault> {
        let (mut out, mut told, mut more) = (String::new(), 0, false);
        let selected = match self.select(&filter.spec) {
            Ok(selected) => selected,
            // The view was destroyed.
            Err(_) => return Ok((filter, out, told, more)),
        };
        let mut gone: Vec<(String, String)> = filter.told.keys().cloned().collect();
        for (object, specs) in selected {
            gone.retain(|o| *o != object);
            let now: BTreeMap<String, String> = self.values(&object, &specs)?.0.into_iter().collect();
            let before = filter.told.get(&object);
            if before == Some(&now) {
                continue;
            }
            if told == room {
                more = true;
                continue;
            }
            told += 1;
            let kind = if before.is_some() { "modify" } else { "enter" };
            let _ = write!(
                out,
                "<objectSet><kind>{kind}</kind>{}",
                reference(&object.0, &object.1).element("obj")
            );
            let old = before.cloned().unwrap_or_default();
            let paths = now.keys().chain(old.keys().filter(|p| !now.contains_key(*p)));
            for path in paths.filter(|p| now.get(*p) != old.get(*p)) {
                let value = now.get(path).map(String::as_str).unwrap_or_default();
                let name = escape(path.as_str());
                let _ = write!(out, "<changeSet><name>{name}</name><op>assign</op>{value}</changeSet>");
            }
            out.push_str("</objectSet>");
            filter.told.insert(object, now);
        }
        for object in gone {
            if told == room {
                more = true;
                break;
            }
            told += 1;
            let of = reference(&object.0, &object.1).element("obj");
            let _ = write!(out, "<objectSet><kind>leave</kind>{of}</objectSet>");
            filter.told.remove(&object);
        }
        Ok((filter, out, told, more))
    }
}
