//! Drives a run to its end: prints what happens, makes or asks for the decisions, writes the report.

use crate::{End, say::Say};
use api::{
    App,
    wire::{RunMessage, RunPhase, RunState, SavedReport, TaskState, TaskStatus, UiError},
};
use clap::ValueEnum;
use plan::{Action, Actor, Address, Plan};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, IsTerminal},
    path::Path,
    sync::Arc,
    time::Instant,
};
use tokio::sync::mpsc;

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gates {
    /// Accept all.
    Accept,
    /// Ask on the terminal.
    Ask,
}

/// How a run ended, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    project: String,
    run: String,
    /// `done`, `stopped`, `cancelled`, or `running` when it waits for a person.
    outcome: RunPhase,
    plan_hash: String,
    tasks: usize,
    /// Tasks by status.
    statuses: HashMap<&'static str, usize>,
    failed: Vec<Trouble>,
    /// Wall-clock seconds of this process's part.
    seconds: f64,
    /// Highest resident memory of this process, with the lab when it is inside; none where the system doesn't tell.
    peak_memory_mib: Option<f64>,
    report: Option<SavedReport>,
}

#[derive(Debug, Serialize)]
struct Trouble {
    task: Address,
    code: String,
    title: String,
    detail: String,
    hint: String,
}

/// Follows the project's live run until it ends or only a person who can't be asked could go on.
pub(crate) async fn to_the_end(
    app: &Arc<App>,
    project: &str,
    gates: Gates,
    report: Option<&Path>,
    say: Say,
) -> Result<End, UiError> {
    let begun = Instant::now();
    let (to, mut messages) = mpsc::unbounded_channel();
    let mut subscription = {
        let (app, project) = (app.clone(), project.to_owned());
        tokio::spawn(async move {
            let sink = Arc::new(move |message| to.send(message).is_ok());
            api::run::run_subscribe(&app, project, sink).await
        })
    };
    let mut view = View {
        app,
        project,
        gates,
        say,
        plan: None,
        statuses: HashMap::new(),
        asked: HashSet::new(),
    };
    let mut waits_for_person = false;
    let interrupted = crate::terminated();
    tokio::pin!(interrupted);
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = &mut interrupted => {
                say.progress("Stopping at the next safe point. What runs in Azure goes on; `rehost-cli run` takes it up again.");
                break;
            }
        };
        let Some(message) = message else {
            // It ends by itself only when the project is closed or the run can't go on.
            (&mut subscription).await.map_err(UiError::internal)??;
            break;
        };
        match view.take(message).await? {
            Next::Goes => {}
            // What ended may go on already, after a retry.
            Next::Ended if !ended(api::run::state(app, project).await?.phase) => {}
            Next::Ended if gates == Gates::Accept && helped(app, project, say).await? => {}
            Next::Ended => break,
            Next::NobodyToAsk => {
                waits_for_person = true;
                break;
            }
        }
    }
    subscription.abort();
    let state = api::run::state(app, project).await?;
    let saved = match report {
        Some(folder) => Some(api::saved::write_report(app, project, folder).await?),
        None => None,
    };
    app.close().await;
    let ended = view.summary(&state, begun, saved);
    say.result(&ended, &sentence(&ended));
    Ok(match state.phase {
        RunPhase::Done => End::Done,
        _ if waits_for_person => End::WaitsForPerson,
        _ => End::NotDone,
    })
}

enum Next {
    Goes,
    Ended,
    NobodyToAsk,
}

struct View<'a> {
    app: &'a Arc<App>,
    project: &'a str,
    gates: Gates,
    say: Say,
    plan: Option<Plan>,
    statuses: HashMap<Address, TaskStatus>,
    /// Decisions made or asked for; a gate is asked once.
    asked: HashSet<Address>,
}

impl View<'_> {
    async fn take(&mut self, message: RunMessage) -> Result<Next, UiError> {
        match message {
            RunMessage::Snapshot { plan, state, .. } => {
                self.plan = Some(plan.plan);
                for task in state.tasks {
                    if let Next::NobodyToAsk = self.task(task, "").await? {
                        return Ok(Next::NobodyToAsk);
                    }
                }
                Ok(after(state.phase))
            }
            RunMessage::Task { task, clock, .. } => self.task(task, &clock.now).await,
            RunMessage::Run { state, .. } => Ok(after(state.phase)),
        }
    }

    async fn task(&mut self, task: TaskState, now: &str) -> Result<Next, UiError> {
        let before = self.statuses.insert(task.address.clone(), task.status);
        if before == Some(task.status) {
            return Ok(Next::Goes);
        }
        self.tell(&task, now);
        if task.status != TaskStatus::NeedsPerson || task.decision.is_some() || !self.asked.insert(task.address.clone())
        {
            return Ok(Next::Goes);
        }
        let planned = self.plan.as_ref().and_then(|p| p.task(&task.address));
        let Some(planned) = planned else { return Ok(Next::Goes) };
        let Action::Gate {
            question,
            accept,
            reject,
            safe_because,
        } = &planned.action
        else {
            if let Actor::Person { role, instructions, .. } = &planned.actor {
                self.say
                    .progress(&format!("  {role}:\n    {}", instructions.join("\n    ")));
            }
            return Ok(Next::Goes);
        };
        if self.gates == Gates::Accept {
            // The engine accepts by itself.
            return Ok(Next::Goes);
        }
        self.say.progress(&format!(
            "{question}\n  {safe_because}\n  accept: {accept}\n  reject: {reject}\nType accept or reject, and a note:"
        ));
        let Some((accepted, note)) = asked().await else {
            return Ok(Next::NobodyToAsk);
        };
        api::run::gate_decide(self.app, self.project.to_owned(), task.address, accepted, note).await?;
        Ok(Next::Goes)
    }

    fn tell(&self, task: &TaskState, now: &str) {
        if matches!(task.status, TaskStatus::Blocked | TaskStatus::Ready) {
            return;
        }
        let words = match (&task.failure, &task.reason) {
            (Some(f), _) if task.status == TaskStatus::Failed => format!("{}: {} {}", f.code, f.title, f.detail),
            (_, Some(reason)) => reason.clone(),
            _ => task.text.clone(),
        };
        self.say
            .progress(&format!("{now:.19} {:11} {} {words}", word(task.status), task.address));
    }

    fn summary(&self, state: &RunState, begun: Instant, report: Option<SavedReport>) -> Ended {
        let mut statuses = HashMap::new();
        for task in &state.tasks {
            *statuses.entry(word(task.status)).or_default() += 1;
        }
        let failed = state
            .tasks
            .iter()
            .filter(|t| t.status == TaskStatus::Failed)
            .filter_map(|t| t.failure.as_ref().map(|f| (t, f)))
            .map(|(t, f)| Trouble {
                task: t.address.clone(),
                code: f.code.clone(),
                title: f.title.clone(),
                detail: f.detail.clone(),
                hint: f.hint.clone(),
            })
            .collect();
        Ended {
            project: self.project.to_owned(),
            run: state.run.clone(),
            outcome: state.phase,
            plan_hash: state.plan_hash.clone(),
            tasks: state.tasks.len(),
            statuses,
            failed,
            seconds: begun.elapsed().as_secs_f64(),
            peak_memory_mib: peak_memory_mib(),
            report,
        }
    }
}

fn after(phase: RunPhase) -> Next {
    if ended(phase) { Next::Ended } else { Next::Goes }
}

fn ended(phase: RunPhase) -> bool {
    match phase {
        RunPhase::Running | RunPhase::Paused => false,
        RunPhase::Done | RunPhase::Stopped | RunPhase::Cancelled => true,
    }
}

/// Plays the person whom a rehearsal's fault script needs, once: the cause is removed, and what failed is tried again.
async fn helped(app: &Arc<App>, project: &str, say: Say) -> Result<bool, UiError> {
    let state = api::run::state(app, project).await?;
    if state.phase != RunPhase::Stopped {
        return Ok(false);
    }
    let Some(what) = api::rehearsal::cure(app, project).await? else {
        return Ok(false);
    };
    say.progress(&format!("The rehearsal's people do their part. {what}"));
    for task in state.tasks.into_iter().filter(|t| t.status == TaskStatus::Failed) {
        say.progress(&format!("  trying again: {}", task.address));
        api::run::task_retry(app, project.to_owned(), task.address).await?;
    }
    Ok(true)
}

/// A line from the terminal: the decision and a note; none at the end of the input.
async fn asked() -> Option<(bool, String)> {
    tokio::task::spawn_blocking(|| {
        for line in std::io::stdin().lock().lines() {
            let line = line.ok()?;
            let (first, note) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match first {
                "accept" => return Some((true, note.to_owned())),
                "reject" => return Some((false, note.to_owned())),
                _ if std::io::stdin().is_terminal() => Say { json: false }.progress("accept or reject?"),
                _ => {}
            }
        }
        None
    })
    .await
    .ok()
    .flatten()
}

fn sentence(ended: &Ended) -> String {
    let mut text = format!("{:?}: {} tasks in {:.1} s", ended.outcome, ended.tasks, ended.seconds);
    if let Some(mib) = ended.peak_memory_mib {
        text.push_str(&format!(", at most {mib:.0} MiB"));
    }
    text.push_str(&format!("\nProject: {}", ended.project));
    for f in &ended.failed {
        text.push_str(&format!(
            "\nFailed: {} ({}) {} {} {}",
            f.task, f.code, f.title, f.detail, f.hint
        ));
    }
    if let Some(report) = &ended.report {
        text.push_str(&format!("\nReport: {}", report.html));
    }
    text
}

fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Blocked => "blocked",
        TaskStatus::Ready => "ready",
        TaskStatus::Running => "running",
        TaskStatus::Waiting => "waiting",
        TaskStatus::NeedsPerson => "person",
        TaskStatus::Done => "done",
        TaskStatus::Adopted => "adopted",
        TaskStatus::Skipped => "skipped",
        TaskStatus::Failed => "failed",
        TaskStatus::Rejected => "rejected",
        TaskStatus::Undoing => "undoing",
        TaskStatus::Undone => "undone",
    }
}

#[cfg(target_os = "linux")]
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<f64>()
        .ok()
        .map(|kib| kib / 1024.0)
}

#[cfg(not(target_os = "linux"))]
fn peak_memory_mib() -> Option<f64> {
    None
}
