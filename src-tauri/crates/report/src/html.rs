//! One self-contained page: no script, no font, no picture from elsewhere, so that it opens from a mail attachment on a
//! computer without network and prints the same in ten years. The template gets words and widths, and decides nothing.

use crate::{
    Report, ReportError,
    document::{StepReport, TaskReport},
    facts::{Outcome, Status},
    words,
};
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, Value, context, value::Serde};

const PAGE: &str = include_str!("page.html");

/// Lays the report out as HTML.
///
/// # Errors
/// [`ReportError::Template`], which is a defect of this crate.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.add_template("page", PAGE)?;
    let scale = Scale::new(report);
    let steps: Vec<_> = report.steps.iter().map(|s| step(s, &scale)).collect();
    let not_as_planned: Vec<_> = report
        .tasks()
        .flat_map(|t| t.failures.iter().map(move |f| (t, f)))
        .map(|(t, f)| {
            context! { address => t.address.as_str(), title => &t.title, at => words::time(f.at), failure => Serde(f),
            after => after_failure(t, f.attempt) }
        })
        .collect();
    let overdue: Vec<_> = report.tasks().filter(|t| t.overdue).map(|t| task(t, &scale)).collect();
    let skipped: Vec<_> = report
        .tasks()
        .filter(|t| t.status == Status::Skipped)
        .map(|t| task(t, &scale))
        .collect();
    let decisions: Vec<_> = report
        .tasks()
        .filter(|t| t.decision.is_some())
        .map(|t| task(t, &scale))
        .collect();
    let no_return: Vec<_> = report
        .tasks()
        .filter(|t| t.no_return)
        .map(|t| task(t, &scale))
        .collect();
    let ledger = |entries: &[crate::LedgerEntry]| -> Vec<Value> {
        entries
            .iter()
            .map(|l| {
                let (kind, name, place) = resource(&l.resource);
                context! { at => words::time(l.at), task => l.task.as_str(), created => l.created, kind, name, place,
                id => &l.resource }
            })
            .collect()
    };
    let facts: Vec<_> = report
        .facts
        .iter()
        .map(|(k, v)| context! { name => k, value => v.as_str().map_or_else(|| v.to_string(), str::to_owned) })
        .collect();
    let run = &report.run;
    let page = context! {
        r => Serde(report),
        foot => foot(report),
        outcome => words::outcome(run.outcome),
        tone => tone(run.outcome),
        verdict => verdict(report),
        elapsed => report.summary.elapsed_secs.map(words::span),
        started => run.started.map(words::time),
        ended => run.ended.map(words::time),
        made_at => words::time(report.made_at),
        moments => run.moments.iter().map(|m| context! { at => words::time(m.at), what => &m.what, by => &m.by }).collect::<Vec<_>>(),
        findings => report.findings.iter().map(|f| context! { f => Serde(f), severity => format!("{:?}", f.severity).to_lowercase() }).collect::<Vec<_>>(),
        proofs => report.proofs.iter().map(|p| context! { p => Serde(p), differ => p.rows.iter().filter(|r| !r.equal).count() }).collect::<Vec<_>>(),
        steps, decisions, no_return, not_as_planned, overdue, skipped, facts,
        ledger => ledger(&report.ledger),
        remaining => ledger(&report.remaining),
        ticks => scale.ticks(),
    };
    Ok(env.get_template("page")?.render(page)?)
}

/// Stands in a CSS string, where HTML's escapes mean nothing: only harmless characters go there.
fn foot(r: &Report) -> String {
    let plain = |s: &str| {
        s.chars()
            .filter(|c| c.is_alphanumeric() || " -_.".contains(*c))
            .collect::<String>()
    };
    let run: String = plain(&r.run.id).chars().take(8).collect();
    format!(
        "{} · run {run}{}",
        plain(&r.application),
        if r.rehearsal { " · REHEARSAL" } else { "" }
    )
}

fn step(s: &StepReport, scale: &Scale) -> Value {
    let count = |f: fn(Status) -> bool| s.tasks.iter().filter(|t| f(t.status)).count();
    context! {
        number => s.number,
        title => &s.title,
        status => words::status(s.status),
        class => class(s.status),
        tasks => s.tasks.iter().map(|t| task(t, scale)).collect::<Vec<_>>(),
        total => s.tasks.len(),
        over => count(|t| matches!(t, Status::Done | Status::Adopted | Status::Skipped)),
        started => s.started.map(words::time),
        ended => s.ended.map(words::time),
        elapsed => s.started.zip(s.ended).map(|(a, b)| words::span(b.duration_since(a).as_secs())),
    }
}

fn task(t: &TaskReport, scale: &Scale) -> Value {
    let bar = t.started.map(|s| {
        let (from, to) = (scale.at(s), scale.at(t.ended.unwrap_or(scale.end)));
        context! { left => format!("{from:.2}"), width => format!("{:.2}", (to - from).max(0.4)) }
    });
    // A gate or a person's task takes as long as the person takes: comparing that with a figure would be unfair.
    let judged = t.who == "Rehost" && t.question.is_none() && t.usual_p95 > 0 && t.status == Status::Done;
    let against = t.elapsed_secs.filter(|_| judged).map(|e| match e {
        e if e > i64::from(t.usual_p95) => "longer than usual",
        e if e * 2 < i64::from(t.usual_p50) => "shorter than usual",
        _ => "as usual",
    });
    context! {
        t => Serde(t),
        address => t.address.as_str(),
        status => words::status(t.status),
        class => class(t.status),
        started => t.started.map(words::time),
        ended => t.ended.map(words::time),
        elapsed => t.elapsed_secs.map(words::span),
        usual => (t.usual_p95 > 0).then(|| words::usual(t.usual_p50, t.usual_p95)),
        against,
        evidence => t.evidence.iter().map(|e| context! { at => words::time(e.at), text => &e.text }).collect::<Vec<_>>(),
        decision => t.decision.as_ref().map(|d| context! { at => words::time(d.at), accepted => d.accepted, by => &d.by, note => &d.note }),
        failures => t.failures.iter().map(|f| context! { at => words::time(f.at), f => Serde(f) }).collect::<Vec<_>>(),
        blocked_by => t.blocked_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
        bar,
    }
}

fn after_failure(t: &TaskReport, attempt: u32) -> String {
    match t.status {
        Status::Done | Status::Adopted if t.attempts > attempt => format!("done at attempt {}", t.attempts),
        s => words::status(s).to_lowercase(),
    }
}

fn verdict(r: &Report) -> String {
    let s = &r.summary;
    let over = s.done + s.adopted + s.skipped;
    let what = if r.rehearsal { "This rehearsal" } else { "This run" };
    match r.run.outcome {
        Outcome::Done => format!(
            "{what} completed all {} tasks of the approved plan. {}",
            s.tasks,
            if r.rehearsal {
                "Nothing outside the rehearsal lab was touched."
            } else {
                "The ledger below lists what it changed."
            }
        ),
        Outcome::Stopped => format!(
            "{what} stopped: {} of {} tasks are done, {} failed or were rejected, {} are open. What it created is listed in the ledger, with the way back at each task.",
            over, s.tasks, s.failed, s.open
        ),
        Outcome::Cancelled => format!(
            "{what} was cancelled by a person: {over} of {} tasks are done. What it created is listed in the ledger, with the way back at each task.",
            s.tasks
        ),
        Outcome::Paused | Outcome::Running => format!(
            "{what} is not finished: {over} of {} tasks are done. This report shows the state at the time it was made.",
            s.tasks
        ),
    }
}

fn tone(o: Outcome) -> &'static str {
    match o {
        Outcome::Done => "good",
        Outcome::Stopped => "bad",
        _ => "open",
    }
}

fn class(s: Status) -> &'static str {
    match s {
        Status::Done | Status::Adopted => "good",
        Status::Failed | Status::Rejected => "bad",
        Status::Skipped | Status::Undone | Status::NotStarted => "none",
        Status::Blocked | Status::Running | Status::Waiting | Status::NeedsPerson | Status::Undoing => "open",
    }
}

/// Splits a ledger entry into kind, name and place, because whole resource ids can't be read in a table.
fn resource(id: &str) -> (String, String, String) {
    if id.starts_with('/') {
        let r = plan::ResourceId::new(id);
        let kind = r
            .resource_type()
            .unwrap_or_else(|| "Microsoft.Resources/resourceGroups".to_owned());
        let place = r.part("resourceGroups").filter(|g| *g != r.name()).unwrap_or_default();
        return (kind, r.name().to_owned(), place.to_owned());
    }
    let mut parts = id.splitn(3, [':', '/']);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(system), Some(kind), Some(name)) => (format!("{system} {kind}"), name.to_owned(), String::new()),
        (Some(system), Some(name), None) => (system.to_owned(), name.to_owned(), String::new()),
        _ => (String::new(), id.to_owned(), String::new()),
    }
}

/// Where a moment lies on the timeline, 0 to 100. Long gaps (the 30 days for which the source is kept) are cut, or the
/// hours of the work itself would be a hair's breadth.
struct Scale {
    /// Stretches of work: real start, real end, offset of the start in shown seconds.
    stretches: Vec<(Timestamp, Timestamp, i64)>,
    shown: i64,
    end: Timestamp,
}

/// Seconds without any start or end of a task after which the timeline is cut.
const CUT_AFTER: i64 = 6 * 3600;

impl Scale {
    fn new(report: &Report) -> Self {
        let mut moments: Vec<Timestamp> = report
            .tasks()
            .flat_map(|t| [t.started, t.ended])
            .flatten()
            .chain(report.run.started)
            .collect();
        moments.sort_unstable();
        let end = report.run.ended.unwrap_or(report.made_at);
        let mut stretches: Vec<(Timestamp, Timestamp, i64)> = vec![];
        for m in moments {
            match stretches.last_mut() {
                Some(last) if m.duration_since(last.1).as_secs() <= CUT_AFTER => last.1 = m,
                last => {
                    let offset = last.map_or(0, |l| l.2 + l.1.duration_since(l.0).as_secs() + 1);
                    stretches.push((m, m, offset));
                }
            }
        }
        // Each cut gets a little room, so that what comes after it can be seen.
        let total: i64 = stretches.iter().map(|s| s.1.duration_since(s.0).as_secs()).sum();
        let room = total / 40 + 1;
        for (i, s) in (0_i64..).zip(&mut stretches) {
            s.2 += i * room;
        }
        let shown = stretches
            .last()
            .map_or(1, |s| s.2 + s.1.duration_since(s.0).as_secs())
            .max(1);
        Self { stretches, shown, end }
    }

    #[allow(clippy::cast_precision_loss, reason = "widths on paper")]
    fn at(&self, t: Timestamp) -> f64 {
        let mut seconds = 0;
        for (from, to, offset) in &self.stretches {
            if t >= *from {
                seconds = offset + t.min(*to).duration_since(*from).as_secs();
            }
        }
        seconds as f64 * 100.0 / self.shown as f64
    }

    /// Labels: start of each stretch and end of the last, with the day where it changes.
    fn ticks(&self) -> Vec<Value> {
        let mut all: Vec<(f64, Timestamp, bool)> = vec![];
        for (i, (from, to, _)) in self.stretches.iter().enumerate() {
            all.push((self.at(*from), *from, i > 0));
            let hours = to.duration_since(*from).as_secs() / 3600;
            let every = (hours / 6).max(1);
            for h in 1..=hours / every {
                let t = *from + jiff::SignedDuration::from_hours(h * every);
                all.push((self.at(t), t, false));
            }
        }
        let mut last = -100.0;
        let mut shown = vec![];
        for (left, t, cut) in all {
            let dated = cut || shown.is_empty();
            if left - last < 8.0 || left > 94.0 {
                continue;
            }
            // A label with its day takes twice the room.
            last = left + if dated { 9.0 } else { 0.0 };
            let text = words::time(t);
            let label = if dated {
                format!("{} {}", &text[5..10], &text[11..16])
            } else {
                text[11..16].to_owned()
            };
            shown.push(context! { left => format!("{left:.2}"), label => label });
        }
        shown
    }
}
