//! The report as a value: ordered, counted, sealed with a digest. JSON of it is one of the two files; [`crate::html`]
//! lays the same value out for people, so the two can't disagree.

use crate::{
    ReportError,
    facts::{Chain, Decision, Evidence, Failure, Input, LedgerEntry, Moment, Outcome, Run, Status, TaskFacts},
    words,
};
use jiff::Timestamp;
use plan::{
    Actor, Address,
    around::{MEASURE_FACT, PROOF_FACT, Proof},
    task::Severity,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Version of the JSON's structure.
pub const FORMAT: u32 = 1;

/// A finished report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Report {
    pub format: u32,
    /// `REHEARSAL` or `REAL RUN`.
    pub mark: String,
    pub rehearsal: bool,
    pub project_id: String,
    pub project_name: String,
    pub application: String,
    /// The rule pack and its date.
    pub rules: String,
    pub plan_hash: String,
    pub run: Run,
    pub summary: Summary,
    pub steps: Vec<StepReport>,
    pub findings: Vec<FindingReport>,
    pub ledger: Vec<LedgerEntry>,
    /// Created and not removed, in the order of creation: what stands now.
    pub remaining: Vec<LedgerEntry>,
    #[ts(type = "Record<string, unknown>")]
    pub facts: BTreeMap<String, Value>,
    /// Each database on the source and on the target, compared; empty = none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    pub chain: Chain,
    pub made_by: String,
    #[ts(type = "string")]
    pub made_at: Timestamp,
    /// SHA-256 over this JSON with an empty digest, lower-case hex.
    pub digest: String,
}

/// The figures of the first page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportSummary")]
pub struct Summary {
    pub tasks: u32,
    pub done: u32,
    pub adopted: u32,
    pub skipped: u32,
    pub failed: u32,
    pub open: u32,
    pub by_people: u32,
    pub decisions: u32,
    pub attempts: u32,
    /// Attempts beyond the first of each task.
    pub repeated: u32,
    pub overdue: u32,
    pub points_of_no_return: u32,
    pub points_of_no_return_passed: u32,
    pub created: u32,
    pub removed: u32,
    /// Seconds from start to end, or to the report when it isn't ended.
    #[ts(type = "number | null")]
    pub elapsed_secs: Option<i64>,
}

/// One of the eight steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportStep")]
pub struct StepReport {
    pub number: u8,
    pub title: String,
    pub status: Status,
    #[ts(type = "string | null")]
    pub started: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub ended: Option<Timestamp>,
    pub tasks: Vec<TaskReport>,
}

/// One task: what the plan said and what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportTask")]
pub struct TaskReport {
    pub address: Address,
    pub title: String,
    pub what: String,
    pub why: String,
    /// `Rehost`, or the person's role.
    pub who: String,
    pub status: Status,
    pub overdue: bool,
    pub attempts: u32,
    #[ts(type = "string | null")]
    pub started: Option<Timestamp>,
    #[ts(type = "string | null")]
    pub ended: Option<Timestamp>,
    #[ts(type = "number | null")]
    pub elapsed_secs: Option<i64>,
    /// Usual duration in seconds, with the source of the figures.
    pub usual_p50: u32,
    pub usual_p95: u32,
    pub usual_source: String,
    pub no_return: bool,
    pub way_back: String,
    /// Why it was skipped, or what it waits for.
    pub reason: Option<String>,
    pub blocked_by: Vec<Address>,
    pub evidence: Vec<Evidence>,
    pub decision: Option<Decision>,
    /// The question that the decision answers.
    pub question: Option<String>,
    pub failures: Vec<Failure>,
}

/// What the plan said in advance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "ReportFinding")]
pub struct FindingReport {
    pub severity: Severity,
    pub about: String,
    pub title: String,
    pub detail: String,
    /// Who can cure it and how; empty where the detail says it.
    #[serde(default)]
    pub who: String,
    #[serde(default)]
    pub command: String,
    pub source: String,
}

impl Report {
    /// Orders the facts along the plan, counts, and seals the result.
    ///
    /// # Errors
    /// [`ReportError::Json`] when a recorded fact can't be written as JSON.
    pub fn new(input: Input) -> Result<Self, ReportError> {
        let mut known: HashMap<Address, TaskFacts> = input.tasks.into_iter().map(|t| (t.address.clone(), t)).collect();
        let steps: Vec<StepReport> = input
            .plan
            .steps
            .iter()
            .map(|s| {
                let tasks = s.tasks.iter().map(|t| {
                    let facts = known
                        .remove(&t.address)
                        .unwrap_or_else(|| TaskFacts::not_started(t.address.clone()));
                    task(t, facts)
                });
                step(s.number, &s.title, tasks.collect())
            })
            .collect();
        let mut facts: BTreeMap<String, Value> = input.facts.into_iter().map(|(k, v)| (k, scrub(v))).collect();
        // The proof has a table of its own; what it was computed from stands in it.
        facts.retain(|name, _| !name.starts_with(MEASURE_FACT));
        let proofs = facts
            .extract_if(PROOF_FACT.to_owned().., |name, _| name.starts_with(PROOF_FACT))
            .filter_map(|(_, p)| serde_json::from_value(p).ok())
            .collect();
        let remaining = remaining(&input.ledger);
        let end = input.run.ended.unwrap_or(input.made_at);
        let summary = Summary {
            elapsed_secs: input.run.started.map(|s| seconds(s, end)),
            created: count(input.ledger.iter().filter(|l| l.created).count()),
            removed: count(input.ledger.iter().filter(|l| !l.created).count()),
            ..summary(&steps)
        };
        let mut report = Self {
            format: FORMAT,
            mark: if input.rehearsal { "REHEARSAL" } else { "REAL RUN" }.to_owned(),
            rehearsal: input.rehearsal,
            project_id: input.project_id,
            project_name: input.project_name,
            application: input.plan.application.clone(),
            rules: input.plan.rules.clone(),
            plan_hash: input.plan_hash,
            run: run(input.run),
            summary,
            steps,
            findings: input.plan.findings.iter().map(finding).collect(),
            ledger: input.ledger,
            remaining,
            facts,
            proofs,
            chain: input.chain,
            made_by: input.made_by,
            made_at: input.made_at,
            digest: String::new(),
        };
        report.digest = report.compute_digest()?;
        Ok(report)
    }

    /// All tasks in the order of the plan.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskReport> {
        self.steps.iter().flat_map(|s| &s.tasks)
    }

    /// Returns the JSON file's content.
    ///
    /// # Errors
    /// [`ReportError::Json`].
    pub fn to_json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads a JSON report and recomputes its digest.
    ///
    /// # Errors
    /// [`ReportError::Json`] when it is no report, [`ReportError::Changed`] when somebody edited it.
    pub fn verify(json: &str) -> Result<Self, ReportError> {
        let report: Self = serde_json::from_str(json)?;
        let found = report.compute_digest()?;
        if found == report.digest {
            Ok(report)
        } else {
            Err(ReportError::Changed {
                stated: report.digest,
                found,
            })
        }
    }

    fn compute_digest(&self) -> Result<String, ReportError> {
        let unsealed = Self {
            digest: String::new(),
            ..self.clone()
        };
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(&unsealed)?)))
    }
}

fn task(t: &plan::Task, f: TaskFacts) -> TaskReport {
    let elapsed_secs = f.started.zip(f.ended).map(|(s, e)| seconds(s, e));
    TaskReport {
        address: t.address.clone(),
        title: t.title.clone(),
        what: t.what.clone(),
        why: t.why.clone(),
        who: match &t.actor {
            Actor::Rehost => "Rehost".to_owned(),
            Actor::Person { role, .. } => role.clone(),
        },
        status: f.status,
        overdue: f.overdue,
        attempts: f.attempts,
        started: f.started,
        ended: f.ended,
        elapsed_secs,
        usual_p50: t.duration.p50,
        usual_p95: t.duration.p95,
        usual_source: t.duration.source.clone(),
        no_return: t.no_return,
        way_back: t.way_back.clone(),
        reason: f.reason.map(|r| words::scrub(&r)),
        blocked_by: f.blocked_by,
        evidence: f
            .evidence
            .into_iter()
            .map(|e| Evidence {
                text: words::scrub(&e.text),
                ..e
            })
            .collect(),
        decision: f.decision.map(|d| Decision {
            note: words::scrub(&d.note),
            ..d
        }),
        question: match &t.action {
            plan::Action::Gate { question, .. } => Some(question.clone()),
            _ => None,
        },
        failures: f
            .failures
            .into_iter()
            .map(|x| Failure {
                title: words::scrub(&x.title),
                detail: words::scrub(&x.detail),
                hint: words::scrub(&x.hint),
                ..x
            })
            .collect(),
    }
}

fn step(number: u8, title: &str, tasks: Vec<TaskReport>) -> StepReport {
    // Some tasks of a step can be over while others never started: the step has ended only when all of them have.
    let over = tasks.iter().all(|t| is_over(t.status));
    StepReport {
        number,
        title: title.to_owned(),
        status: roll_up(tasks.iter().map(|t| t.status)),
        started: tasks.iter().filter_map(|t| t.started).min(),
        ended: if over {
            tasks.iter().filter_map(|t| t.ended).max()
        } else {
            None
        },
        tasks,
    }
}

fn is_over(s: Status) -> bool {
    matches!(
        s,
        Status::Done | Status::Adopted | Status::Skipped | Status::Failed | Status::Rejected | Status::Undone
    )
}

/// The state of a step is the one of its tasks that a person should know first; the window uses the same order.
fn roll_up(states: impl Iterator<Item = Status>) -> Status {
    const WORST_FIRST: [Status; 9] = [
        Status::Failed,
        Status::Rejected,
        Status::NeedsPerson,
        Status::Undoing,
        Status::Running,
        Status::Waiting,
        Status::Blocked,
        Status::Undone,
        Status::NotStarted,
    ];
    let states: Vec<Status> = states.collect();
    let finished = states.iter().any(|s| matches!(s, Status::Done | Status::Adopted));
    match WORST_FIRST.into_iter().find(|w| states.contains(w)) {
        Some(Status::NotStarted) if finished => Status::Waiting,
        Some(worst) => worst,
        None if finished => Status::Done,
        None => Status::Skipped,
    }
}

fn summary(steps: &[StepReport]) -> Summary {
    let mut s = Summary::default();
    for t in steps.iter().flat_map(|s| &s.tasks) {
        s.tasks += 1;
        match t.status {
            Status::Done => s.done += 1,
            Status::Adopted => s.adopted += 1,
            Status::Skipped => s.skipped += 1,
            Status::Failed | Status::Rejected => s.failed += 1,
            _ => s.open += 1,
        }
        s.by_people += u32::from(t.who != "Rehost");
        s.decisions += u32::from(t.decision.is_some());
        s.attempts += t.attempts;
        s.repeated += t.attempts.saturating_sub(1);
        s.overdue += u32::from(t.overdue);
        s.points_of_no_return += u32::from(t.no_return);
        s.points_of_no_return_passed += u32::from(t.no_return && t.status == Status::Done);
    }
    s
}

/// Azure's ids differ in case between answers, so what was removed is looked up without it.
fn remaining(ledger: &[LedgerEntry]) -> Vec<LedgerEntry> {
    let mut standing: Vec<&LedgerEntry> = vec![];
    for l in ledger {
        standing.retain(|s| !s.resource.eq_ignore_ascii_case(&l.resource));
        if l.created {
            standing.push(l);
        }
    }
    standing.into_iter().cloned().collect()
}

fn run(r: Run) -> Run {
    Run {
        moments: r
            .moments
            .into_iter()
            .map(|m| Moment {
                what: words::scrub(&m.what),
                ..m
            })
            .collect(),
        ..r
    }
}

fn finding(f: &plan::task::Finding) -> FindingReport {
    FindingReport {
        severity: f.severity,
        about: f.about.clone(),
        title: f.title.clone(),
        detail: f.detail.clone(),
        who: f.who.clone(),
        command: f.command.clone(),
        source: f.source.clone(),
    }
}

fn scrub(v: Value) -> Value {
    match v {
        Value::String(s) => Value::String(words::scrub(&s)),
        Value::Array(a) => Value::Array(a.into_iter().map(scrub).collect()),
        Value::Object(o) => Value::Object(o.into_iter().map(|(k, v)| (k, scrub(v))).collect()),
        other => other,
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Outcome {
    /// True when nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Cancelled)
    }
}
