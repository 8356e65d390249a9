//! Fault scripts: what can be made to go wrong in a rehearsal, by choice. A script is data (`faults.json`): rules that say
//! which requests they are about, what happens to them, and when it ends. The gate and the resource manager play them.
//!
//! Decisions:
//! * A cause that a person must remove ends by itself some lab minutes after it was first met, as if somebody had done it
//!   meanwhile; [`crate::Lab::cure`] ends it at once.
//! * A rule counts requests, and ends at a lab time: the same script, seed and requests give the same rehearsal. What was
//!   struck is noted in the diary, so that a rehearsal that is opened again goes on with the script where it stood.
//! * An operation that a script lets fail is rolled back: what it made or changed is as before, or left `Failed` where the
//!   script says so.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    LabError,
    arm::{Refusal, app_config::File, datamigration, last, migration_items, protected::Item, set_state},
    gate::Service,
    onprem::Power,
    tds::defects::Defect,
    world::{World, plus},
};

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    pub id: String,
    pub title: String,
    /// What goes wrong, where and for how long.
    pub happens: String,
    /// What the admin sees, and what to do.
    pub admin: String,
    pub end: End,
    #[serde(default)]
    pub with: With,
    /// Where codes, words and figures are from.
    pub source: String,
    rules: Vec<Rule>,
}

/// How a run under a script ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// The client gets over it alone.
    ByItself,
    /// The same, but a task is skipped; its reason contains these words.
    Skips { task: String, reason: String },
    /// A task fails with this code; its hint to the person contains these words. When the cause is removed and the task
    /// tried again, the run ends well.
    Person { task: String, code: String, hint: String },
}

/// The methods with which a script can be played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum With {
    #[default]
    All,
    InMageRcm,
    VMwareCbt,
    LogReplay,
    DmsOnline,
    DmsOffline,
    /// Database Migration Service online, with backups from a share and the integration runtime that reads it.
    DmsFromShare,
    /// Log Replay Service, and the proof that the database arrived.
    Proof,
}

/// All scripts, in the order in which an admin meets what they are about.
pub static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("faults.json")).unwrap_or_else(|e| {
        tracing::error!(error = %e, "the fault scripts can't be read");
        vec![]
    })
});

/// The script with this id.
///
/// # Errors
/// Fails when there is none.
pub fn script(id: &str) -> Result<&'static Script, LabError> {
    SCRIPTS
        .iter()
        .find(|s| s.id == id)
        .ok_or_else(|| LabError::Fault(id.into()))
}

/// What happens to the requests that fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    service: Service,
    /// HTTP methods, `PUT|DELETE` (of vCenter: names of SOAP methods); all when absent.
    #[serde(default)]
    method: Option<String>,
    /// The end of the path, ignoring case; `*` stands for one segment. With a slash at the end: a part of the path.
    #[serde(default)]
    path: String,
    /// Lets so many requests pass first.
    #[serde(default)]
    skip: u32,
    /// Only after the script's rule at this place (0, 1, …) has struck.
    #[serde(default)]
    after: Option<usize>,
    /// A run need not meet it: it is for who looks by other ways.
    #[serde(default)]
    optional: bool,
    ends: Ends,
    pub effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Ends {
    /// After so many requests.
    Hits(u32),
    /// So many lab minutes after a rule of the script that ends so was first met.
    Minutes(i64),
    /// When somebody removes the cause: it stands from the start.
    Cured,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Effect {
    /// An error answer; the request isn't carried out. In all texts `{subscription}`, `{scope}`, `{name}`, `{type}`,
    /// `{action}`, `{client}` and `{principal}` stand for what the request is about.
    Refuse {
        status: u16,
        code: String,
        message: String,
        #[serde(default)]
        retry_after: Option<u64>,
        /// `additionalInfo` of the error.
        #[serde(default)]
        info: Option<Value>,
        /// The whole body instead: of Entra's shape, or a gateway's page.
        #[serde(default)]
        body: Option<Value>,
    },
    /// The subscription's bucket for this kind of request is empty, for so many seconds.
    Throttle { seconds: u64 },
    /// The request is carried out, then the gateway answers 504.
    LostAnswer,
    /// The request is carried out, then the connection breaks.
    CutAfter,
    /// The connection breaks before the request is carried out.
    CutBefore,
    /// The token that came with the request, and with it every request that brings it again, is refused as expired.
    ExpireToken,
    /// The session is revoked: the token that came with the request, and all that are as old, are refused with a challenge
    /// (continuous access evaluation).
    RevokeSession,
    /// All sessions with vCenter end before the request.
    EndSessions,
    /// The long-running operation that the request starts ends badly.
    FailOperation {
        code: String,
        message: String,
        /// What a job of Site Recovery says about it: possible causes and recommended action.
        #[serde(default)]
        causes: String,
        #[serde(default)]
        action: String,
        /// Leaves the resource behind as `Failed`, instead of rolling it back.
        #[serde(default)]
        leaves_failed: bool,
    },
    /// The migration of Database Migration Service that the request starts ends badly on its way, with this code.
    FailMigration { code: u32 },
    /// The long-running operation that the request starts stands still half-way for so many minutes.
    StandStill { minutes: i64 },
    /// The answer shows other values: by path (`/value/*/properties/health`, `/value/name.value=cores/limit`).
    Show(BTreeMap<String, Value>),
    /// Somebody has locked this scope (below the subscription).
    Lock {
        scope: String,
        level: String,
        notes: String,
    },
    /// VMware Tools don't run in this machine.
    StopTools { vm: String },
    /// The computers of the integration runtimes are off.
    RuntimeOffline,
    /// Somebody has replaced a text in `web.config` of the machines in Azure.
    EditConfig { find: String, put: String },
    /// The connection strings in `web.config` of the machines in Azure are encrypted.
    EncryptConfig,
    /// Something is wrong in the datacenter from the start.
    Defect(Defect),
    /// The last row of this table, `dbo.Bookings`, does not arrive on the managed instance.
    LoseRow { table: String },
}

/// How a script goes, for the diary and for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    /// Requests that fitted each rule.
    met: Vec<u32>,
    /// Requests that each rule has struck.
    pub struck: Vec<u32>,
    first: Option<Timestamp>,
    cured: bool,
}

/// The script that a lab plays.
#[derive(Default)]
pub(crate) struct Trouble {
    rules: Vec<Rule>,
    pub progress: Progress,
    /// The token that counts as expired.
    pub expired: Option<String>,
    /// What awaits the operation that the request at hand starts.
    pub doom: Option<Doom>,
}

/// What will happen to an operation.
pub(crate) enum Doom {
    Fail(Box<Fail>),
    StandStill(SignedDuration),
}

/// How an operation will fail, and what it may have changed, as it was.
pub(crate) struct Fail {
    code: String,
    message: String,
    causes: String,
    action: String,
    leaves_failed: bool,
    resources: BTreeMap<String, Value>,
    items: BTreeMap<String, Item>,
    migrations: BTreeMap<String, migration_items::Item>,
}

impl Trouble {
    pub fn play(rules: Vec<Rule>) -> Self {
        let n = rules.len();
        Self {
            rules,
            progress: Progress {
                met: vec![0; n],
                struck: vec![0; n],
                ..Progress::default()
            },
            ..Self::default()
        }
    }

    pub fn of(script: &Script) -> Self {
        Self::play(script.rules.clone())
    }

    /// The rules that a run must meet and has not met.
    pub fn unmet(&self) -> Vec<usize> {
        let met = self.rules.iter().zip(&self.progress.struck).enumerate();
        met.filter(|(_, (r, n))| !r.optional && **n == 0)
            .map(|(i, _)| i)
            .collect()
    }

    fn defects(&self) -> Vec<Defect> {
        let of = |r: &Rule| match r.effect {
            Effect::Defect(defect) => Some(defect),
            _ => None,
        };
        self.rules.iter().filter_map(of).collect()
    }

    /// The defects that stand from now on.
    pub fn begin_defects(&mut self) -> Vec<Defect> {
        if self.progress.cured {
            return vec![];
        }
        for (rule, struck) in self.rules.iter().zip(&mut self.progress.struck) {
            if matches!(rule.effect, Effect::Defect(_)) {
                *struck = 1;
            }
        }
        self.defects()
    }

    pub fn effect(&self, rule: usize) -> Option<&Effect> {
        self.rules.get(rule).map(|r| &r.effect)
    }

    fn fits(&self, rule: usize, service: Service, method: &str, path: &str) -> bool {
        let r = &self.rules[rule];
        r.service == service
            && !matches!(r.effect, Effect::Defect(_))
            && r.method
                .as_deref()
                .is_none_or(|m| m.split('|').any(|m| m.eq_ignore_ascii_case(method)))
            && path_fits(&r.path, path)
    }
}

fn path_fits(pattern: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/').to_lowercase();
    let pattern = pattern.to_lowercase();
    if pattern.ends_with('/') {
        return format!("{path}/").contains(&pattern);
    }
    let mut have = path.rsplit('/');
    pattern
        .rsplit('/')
        .filter(|p| !p.is_empty())
        .all(|want| have.next().is_some_and(|h| want == "*" || want == h))
}

impl World {
    /// The rules that strike this request, in their order. Of those that take the request's place only the first counts.
    pub(crate) fn strike(&mut self, service: Service, method: &str, path: &str) -> Vec<usize> {
        if self.trouble.rules.is_empty() || self.trouble.progress.cured || self.replaying {
            return vec![];
        }
        let now = self.now();
        if let Some(first) = self.trouble.progress.first {
            let over = self.trouble.rules.iter().any(|r| match r.ends {
                Ends::Minutes(m) => plus(first, SignedDuration::from_mins(m)) <= now,
                Ends::Hits(_) | Ends::Cured => false,
            });
            if over {
                self.cure_timed();
            }
        }
        let mut struck = vec![];
        for i in 0..self.trouble.rules.len() {
            let begun = self.trouble.rules[i]
                .after
                .is_none_or(|a| self.trouble.progress.struck.get(a) > Some(&0));
            if !begun || !self.trouble.fits(i, service, method, path) {
                continue;
            }
            let (skip, ends) = (self.trouble.rules[i].skip, self.trouble.rules[i].ends);
            let p = &mut self.trouble.progress;
            p.met[i] += 1;
            if p.met[i] <= skip || matches!(ends, Ends::Hits(n) if p.struck[i] >= n) {
                continue;
            }
            p.struck[i] += 1;
            if matches!(ends, Ends::Minutes(_)) {
                p.first.get_or_insert(now);
            }
            struck.push(i);
        }
        for i in &struck {
            self.happen(*i);
        }
        struck
    }

    /// What a rule does to the world itself.
    pub(crate) fn happen(&mut self, rule: usize) {
        match self.trouble.effect(rule).cloned() {
            Some(Effect::Lock { scope, level, notes }) => {
                let scope = format!("/subscriptions/{}{scope}", self.cloud.subscription);
                self.cloud
                    .store(crate::arm::authorization::lock(&scope, "fault-script", &level, &notes));
            }
            Some(Effect::StopTools { vm }) => self.set_tools(&vm, false),
            Some(Effect::RuntimeOffline) => self.runtimes_offline(true),
            Some(Effect::LoseRow { table }) => self.managed.lose_row = Some(table),
            Some(Effect::EditConfig { find, put }) => self.each_config(|f| f.edit(&find, &put)),
            Some(Effect::EncryptConfig) => self.each_config(File::encrypt),
            Some(Effect::EndSessions) => self.onprem.sessions.clear(),
            _ => {}
        }
    }

    fn each_config(&mut self, change: impl Fn(&mut File)) {
        let files = self.cloud.guests.values_mut().flat_map(|g| &mut g.files);
        files
            .filter(|(path, _)| path.ends_with("web.config"))
            .for_each(|(_, f)| change(f));
    }

    fn set_tools(&mut self, name: &str, run: bool) {
        if let Some(vm) = self.onprem.vms.iter_mut().find(|v| v.name == name) {
            vm.tools_running = run && vm.power == Power::On;
        }
    }

    /// People remove the cause. False when there is none, or none any more.
    pub(crate) fn cure(&mut self) -> bool {
        if self.trouble.rules.is_empty() || self.trouble.progress.cured {
            return false;
        }
        self.cure_timed();
        for defect in self.trouble.defects() {
            if let Err(e) = self.defect(defect, false) {
                tracing::error!(error = %e, "a defect can't be cured");
            }
        }
        self.trouble.progress.cured = true;
        true
    }

    /// Ends what ends by somebody's doing.
    fn cure_timed(&mut self) {
        let effects: Vec<Effect> = self.trouble.rules.iter().map(|r| r.effect.clone()).collect();
        for (i, effect) in effects.into_iter().enumerate() {
            if self.trouble.progress.struck[i] == 0 || !matches!(self.trouble.rules[i].ends, Ends::Minutes(_)) {
                continue;
            }
            match effect {
                Effect::Lock { scope, .. } => {
                    let scope = format!("/subscriptions/{}{scope}", self.cloud.subscription);
                    self.cloud
                        .remove(&crate::arm::authorization::lock_id(&scope, "fault-script"));
                }
                Effect::StopTools { vm } => self.set_tools(&vm, true),
                Effect::RuntimeOffline => self.runtimes_offline(false),
                Effect::EditConfig { find, put } => self.each_config(|f| f.edit(&put, &find)),
                Effect::LoseRow { .. } => {
                    self.managed.lose_row = None;
                    self.managed.again = true;
                }
                _ => {}
            }
        }
        // From now on they count as used up.
        for rule in &mut self.trouble.rules {
            if matches!(rule.ends, Ends::Minutes(_)) {
                rule.ends = Ends::Hits(0);
            }
        }
    }

    /// Takes up a script where an earlier lab left it.
    pub(crate) fn resume_trouble(&mut self, progress: Progress) {
        if progress.struck.len() != self.trouble.rules.len() {
            return;
        }
        self.trouble.progress = progress;
        for i in 0..self.trouble.rules.len() {
            let stands = matches!(
                self.trouble.effect(i),
                Some(Effect::Lock { .. } | Effect::StopTools { .. } | Effect::RuntimeOffline | Effect::LoseRow { .. })
            );
            if stands && self.trouble.progress.struck[i] > 0 && !self.trouble.progress.cured {
                self.happen(i);
            }
        }
    }

    /// Prepares what awaits the operation that this request starts.
    pub(crate) fn foredoom(&mut self, rule: usize) {
        self.trouble.doom = match self.trouble.effect(rule).cloned() {
            Some(Effect::FailOperation {
                code,
                message,
                causes,
                action,
                leaves_failed,
            }) => Some(Doom::Fail(Box::new(Fail {
                code,
                message,
                causes,
                action,
                leaves_failed,
                resources: self.cloud.resources.clone(),
                items: self.cloud.items.clone(),
                migrations: self.cloud.migrations.clone(),
            }))),
            Some(Effect::FailMigration { code }) => {
                self.dms_trouble = Some(code);
                return;
            }
            Some(Effect::StandStill { minutes }) => Some(Doom::StandStill(SignedDuration::from_mins(minutes))),
            _ => return,
        };
    }

    /// Lets an operation fail: takes back what it did to its resource and to the machines that it works on.
    pub(crate) fn fail(&mut self, operation: &str, resource: Option<&str>, fail: Fail) -> Refusal {
        if let Some(job) = self.cloud.jobs.iter_mut().find(|j| j.name == operation)
            && !fail.action.is_empty()
        {
            job.advice = Some((fail.causes.into(), fail.action.into()));
        }
        roll_back(&mut self.cloud.items, &fail.items, |i| on(&i.job, operation));
        roll_back(&mut self.cloud.migrations, &fail.migrations, |i| on(&i.job, operation));
        datamigration::cutover_failed(self, operation);
        match resource {
            Some(id) if fail.leaves_failed => {
                if let Some(r) = self.cloud.get_mut(id) {
                    set_state(r, "Failed");
                }
            }
            Some(id) => match fail.resources.get(&id.to_lowercase()) {
                Some(was) => self.cloud.store(was.clone()),
                None => crate::arm::forget(self, id),
            },
            None => {}
        }
        Refusal::conflict(&fail.code, fail.message)
    }
}

/// Whether a machine's job is this operation.
fn on(job: &Option<(&'static str, String, Timestamp)>, operation: &str) -> bool {
    job.as_ref().is_some_and(|(_, name, _)| name == operation)
}

fn roll_back<T: Clone>(now: &mut BTreeMap<String, T>, before: &BTreeMap<String, T>, changed: impl Fn(&T) -> bool) {
    let keys: Vec<String> = now.iter().filter(|(_, i)| changed(i)).map(|(k, _)| k.clone()).collect();
    for key in keys {
        match before.get(&key) {
            Some(item) => now.insert(key, item.clone()),
            None => now.remove(&key),
        };
    }
}

/// Shows other values in an answer.
pub(crate) fn show(body: &mut Value, values: &BTreeMap<String, Value>) {
    for (path, value) in values {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        put(body, &parts, value);
    }
}

fn put(at: &mut Value, path: &[&str], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value.clone();
        return;
    };
    match at {
        Value::Array(all) if *first == "*" => all.iter_mut().for_each(|v| put(v, rest, value)),
        Value::Array(all) => {
            // `name.value=cores`: the elements that are so.
            if let Some((key, wanted)) = first.split_once('=') {
                let pointer = format!("/{}", key.replace('.', "/"));
                all.iter_mut()
                    .filter(|v| v.pointer(&pointer).and_then(Value::as_str) == Some(wanted))
                    .for_each(|v| put(v, rest, value));
            } else if let Some(v) = first.parse::<usize>().ok().and_then(|i| all.get_mut(i)) {
                put(v, rest, value);
            }
        }
        Value::Object(map) => put(map.entry(*first).or_insert(Value::Null), rest, value),
        Value::Null => {
            let mut map = Map::new();
            let mut inner = Value::Null;
            put(&mut inner, rest, value);
            map.insert((*first).to_owned(), inner);
            *at = Value::Object(map);
        }
        _ => {}
    }
}

/// Fills in what a request is about.
pub(crate) fn fill(world: &World, method: &str, path: &str, text: &str) -> String {
    let segs: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let kind = crate::arm::resource_type(&segs).unwrap_or_default();
    let verb = match method {
        "GET" | "HEAD" => "read",
        "DELETE" => "delete",
        "POST" => "action",
        _ => "write",
    };
    text.replace("{subscription}", &world.cloud.subscription)
        .replace("{scope}", path)
        .replace("{name}", last(path))
        .replace("{type}", &kind)
        .replace("{action}", &format!("{kind}/{verb}"))
        .replace("{client}", &world.cloud.client)
        .replace("{principal}", &world.cloud.principal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn every_script_is_whole_and_unique() {
        let all: Vec<Script> = serde_json::from_str(include_str!("faults.json")).unwrap();
        assert!(all.len() >= 25, "{}", all.len());
        let mut seen = HashSet::new();
        for s in &all {
            assert!(seen.insert(&s.id) && !s.rules.is_empty(), "{}", s.id);
            assert!(s.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", s.id);
            for text in [&s.happens, &s.admin, &s.source] {
                assert!(text.ends_with('.'), "{}: {text}", s.id);
            }
            assert!(!s.title.ends_with('.'), "{}", s.id);
            let cured = s.rules.iter().any(|r| matches!(r.ends, Ends::Minutes(_) | Ends::Cured));
            assert!(
                cured || !matches!(s.end, End::Person { .. }) || s.rules.iter().all(|r| r.ends == Ends::Hits(1)),
                "{}",
                s.id
            );
        }
    }

    #[test]
    fn paths_fit_from_their_end() {
        let mi = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/managedInstances/contoso-sqlmi";
        assert!(path_fits("managedinstances/*", mi) && path_fits("", mi) && path_fits("/resourceGroups/G/", mi));
        assert!(!path_fits("managedInstances/*", &format!("{mi}/databases/d")));
        assert!(path_fits("managedInstances/", &format!("{mi}/databases/d")));
        assert!(!path_fits("managedInstances/other", mi));
    }

    #[test]
    fn other_values_are_shown() {
        let mut body =
            json!({"value": [{"name": {"value": "cores"}, "limit": 9}, {"name": {"value": "x"}, "limit": 9}]});
        show(
            &mut body,
            &BTreeMap::from([("/value/name.value=cores/limit".into(), json!(0))]),
        );
        assert_eq!(
            (&body["value"][0]["limit"], &body["value"][1]["limit"]),
            (&json!(0), &json!(9))
        );
        show(&mut body, &BTreeMap::from([("/value/*/p/state".into(), json!("Bad"))]));
        assert_eq!(body["value"][1]["p"]["state"], "Bad");
    }
}
