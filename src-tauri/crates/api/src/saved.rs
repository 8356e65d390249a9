//! The report: from the journal to [`report::Input`], and to the files that a person chose.

use crate::{
    App, Open,
    host::FileQuestion,
    projects::file_name,
    wire::{ErrorCode, RunPhase, SavedReport, TaskStatus, UiError},
};
use engine::{
    Event, FailureClass, ProjectFile, TaskState,
    event::{Failure, Recorded},
};
use jiff::Timestamp;
use report::{
    Chain, Decision, Evidence, Input, LedgerEntry, Moment, Outcome, Report, ReportError, Run, Status, TaskFacts,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Asks where the report goes, and writes it there; none when the dialog was closed.
///
/// # Errors
/// Fails when there is no run yet, or the files can't be written.
pub async fn report_save(app: &Arc<App>, project: String) -> Result<Option<SavedReport>, UiError> {
    let open = app.opened(&project)?;
    // Made before the question: a person shouldn't choose a file for nothing.
    let report = report_of(&open.file, now(app, &open))?;
    let folder = open.path.parent().unwrap_or(Path::new("."));
    let suggested = folder.join(format!("{}.html", stem(&report)));
    let Some(chosen) = app.host().choose(FileQuestion::SaveReport { suggested }).await? else {
        return Ok(None);
    };
    let folder = chosen.parent().map_or_else(PathBuf::new, Path::to_owned);
    let name = chosen
        .file_stem()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_else(|| stem(&report));
    write(&report, &folder, &name).map(Some)
}

/// Writes the report of an open project's newest run into a folder.
///
/// # Errors
/// Fails when there is no run yet, or the files can't be written.
pub async fn write_report(app: &Arc<App>, project: &str, folder: &Path) -> Result<SavedReport, UiError> {
    let open = app.opened(project)?;
    let report = report_of(&open.file, now(app, &open))?;
    write(&report, folder, &stem(&report))
}

/// Writes the report of a project file's newest run into a folder, also while another process works on the file.
///
/// # Errors
/// Fails when the file can't be read, there is no run yet, or the files can't be written.
pub async fn write_report_of(file: &Path, folder: &Path) -> Result<SavedReport, UiError> {
    let file = ProjectFile::open_read_only(file)?;
    let last = file.runs()?.last().map(|r| r.last);
    let report = report_of(&file, last.unwrap_or_else(Timestamp::now))?;
    write(&report, folder, &stem(&report))
}

/// The run's own time.
fn now(app: &App, open: &Open) -> Timestamp {
    match crate::rehearsal::world_of(app, open) {
        Ok(Some(world)) => world.clock().now(),
        Ok(None) => Timestamp::now(),
        // The lab is gone, and its time with it: the last thing that happened.
        Err(_) => open
            .file
            .runs()
            .ok()
            .and_then(|r| r.last().map(|r| r.last))
            .unwrap_or_else(Timestamp::now),
    }
}

fn stem(report: &Report) -> String {
    file_name(&format!("{} report", report.project_name))
}

fn write(report: &Report, folder: &Path, stem: &str) -> Result<SavedReport, UiError> {
    let saved = report::save(report, folder, stem)?;
    Ok(SavedReport {
        html: saved.html.display().to_string(),
        json: saved.json.display().to_string(),
    })
}

fn report_of(file: &ProjectFile, made_at: Timestamp) -> Result<Report, UiError> {
    let none = || {
        UiError::state(
            "There is nothing to report yet",
            "No run of this project was started.",
            "Start the run in Run, then save the report.",
        )
    };
    let info = file.runs()?.pop().ok_or_else(none)?;
    let state = file.run_state(&info.run)?.ok_or_else(none)?;
    let plan = file.plan(&info.plan_hash)?.ok_or_else(none)?;
    let journal = file.journal(&info.run)?;
    let project = file.project()?;
    let chain = match file.verify_chain() {
        Ok(head) => Chain {
            events: head.seq,
            head: head.hash,
            valid: true,
        },
        // A report of a changed journal must say so, not be refused.
        Err(engine::ProjectError::ChainBroken { seq, .. }) => Chain {
            events: seq,
            head: String::new(),
            valid: false,
        },
        Err(e) => return Err(e.into()),
    };
    Ok(Report::new(Input {
        project_id: project.id,
        project_name: project.name,
        rehearsal: info.rehearsal,
        plan,
        plan_hash: info.plan_hash,
        run: Run {
            id: info.run,
            outcome: outcome(state.phase),
            by: info.by,
            host: info.host,
            version: info.version,
            started: state.started,
            ended: state.ended,
            moments: journal.iter().filter_map(moment).collect(),
        },
        tasks: state.tasks.iter().map(|t| facts(t, &journal)).collect(),
        ledger: journal.iter().filter_map(ledger).collect(),
        facts: state.facts.clone(),
        chain,
        made_by: format!("Rehost {}", env!("CARGO_PKG_VERSION")),
        made_at,
    })?)
}

fn outcome(phase: RunPhase) -> Outcome {
    match phase {
        RunPhase::Running => Outcome::Running,
        RunPhase::Paused => Outcome::Paused,
        RunPhase::Done => Outcome::Done,
        RunPhase::Stopped => Outcome::Stopped,
        RunPhase::Cancelled => Outcome::Cancelled,
    }
}

fn status(task: &TaskState) -> Status {
    match task.status {
        TaskStatus::Blocked if task.attempts == 0 && task.blocked_by.is_empty() => Status::NotStarted,
        TaskStatus::Blocked => Status::Blocked,
        TaskStatus::Ready => Status::NotStarted,
        TaskStatus::Running => Status::Running,
        TaskStatus::Waiting => Status::Waiting,
        TaskStatus::NeedsPerson => Status::NeedsPerson,
        TaskStatus::Done => Status::Done,
        TaskStatus::Adopted => Status::Adopted,
        TaskStatus::Skipped => Status::Skipped,
        TaskStatus::Failed => Status::Failed,
        TaskStatus::Rejected => Status::Rejected,
        TaskStatus::Undoing => Status::Undoing,
        TaskStatus::Undone => Status::Undone,
    }
}

fn facts(task: &TaskState, journal: &[Recorded]) -> TaskFacts {
    TaskFacts {
        address: task.address.clone(),
        status: status(task),
        overdue: task.overdue,
        attempts: task.attempts,
        started: task.started,
        ended: task.ended,
        evidence: task
            .evidence
            .iter()
            .map(|e| Evidence {
                at: e.at,
                text: e.text.clone(),
            })
            .collect(),
        decision: task.decision.as_ref().map(|d| Decision {
            at: d.at,
            accepted: d.accepted,
            by: d.by.clone(),
            note: d.note.clone(),
        }),
        reason: task
            .reason
            .clone()
            .or_else(|| (!task.status.is_settled() && !task.text.is_empty()).then(|| task.text.clone())),
        failures: journal
            .iter()
            .filter_map(|r| match &r.event {
                Event::AttemptFailed {
                    task: of,
                    attempt,
                    failure: f,
                    ..
                } if *of == task.address => Some(failed(r.at, *attempt, f)),
                _ => None,
            })
            .collect(),
        blocked_by: task.blocked_by.clone(),
    }
}

fn failed(at: Timestamp, attempt: u32, f: &Failure) -> report::Failure {
    let class = match f.class {
        FailureClass::Throttled { .. } => "throttled",
        FailureClass::Transient => "transient",
        FailureClass::Auth => "auth",
        FailureClass::Conflict => "conflict",
        FailureClass::Permanent => "permanent",
        FailureClass::NeedsPerson => "needs person",
    };
    report::Failure {
        at,
        attempt,
        class: class.into(),
        code: f.code.clone(),
        title: f.title.clone(),
        detail: f.detail.clone(),
        hint: f.hint.clone(),
        correlation_id: f.correlation_id.clone(),
    }
}

fn moment(r: &Recorded) -> Option<Moment> {
    let (what, by) = match &r.event {
        Event::RunStarted { by, .. } => ("Started", by),
        Event::RunReopened { by, .. } => ("Reopened after the program had ended", by),
        Event::RunPaused { by } => ("Paused", by),
        Event::RunContinued { by } => ("Continued", by),
        Event::RunCancelled { by } => ("Cancelled", by),
        _ => return None,
    };
    Some(Moment {
        at: r.at,
        what: what.into(),
        by: by.clone(),
    })
}

fn ledger(r: &Recorded) -> Option<LedgerEntry> {
    let (task, resource, created) = match &r.event {
        Event::Created { task, resource } => (task, resource, true),
        Event::Removed { task, resource } => (task, resource, false),
        _ => return None,
    };
    Some(LedgerEntry {
        at: r.at,
        task: task.clone(),
        resource: resource.clone(),
        created,
    })
}

impl From<ReportError> for UiError {
    fn from(e: ReportError) -> Self {
        match e {
            ReportError::Write { path, source } => Self::disk("written", &path, &source),
            ReportError::Changed { .. } => {
                let mut error = Self::invalid(
                    "The report was changed afterwards",
                    e.to_string(),
                    "Make a new one from the project.",
                );
                error.code = ErrorCode::ProjectFile;
                error
            }
            ReportError::Template(_) | ReportError::Json(_) => Self::internal(e),
        }
    }
}
