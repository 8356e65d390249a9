//! The run report: what a change board reads, signs and files.
//!
//! [`facts::Input`] is handed in, in words of its own, so that this crate knows `plan`'s nouns and nothing of the engine
//! that produced the facts. [`Report::new`] orders them and computes the figures; [`html::render`] makes one
//! self-contained page of it, and the JSON of the same [`Report`] is for machines. Both carry the same digest, so that a
//! changed copy is noticed ([`Report::verify`]).
//!
//! Begin with [`facts`], then [`document`].

pub mod document;
pub mod facts;
pub mod html;
mod words;

pub use document::Report;
pub use facts::{Chain, Decision, Evidence, Failure, Input, LedgerEntry, Moment, Outcome, Run, Status, TaskFacts};
pub use html::render;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Why a report could not be made, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The built-in template and the report's structure don't fit: a defect of this program.
    #[error("The report's page could not be laid out: {0}. This is a defect of Rehost; the JSON report is complete.")]
    Template(#[from] minijinja::Error),
    #[error("The report could not be encoded or read as JSON: {0}.")]
    Json(#[from] serde_json::Error),
    #[error("The report could not be written to {}: {source}. Choose another folder, or free space, and save it again.", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(
        "The report was changed after it was made: its digest is {found}, and it says {stated}. Ask for a new report: rehost-cli report PROJECT --report DIR."
    )]
    Changed { stated: String, found: String },
}

/// The two files of a saved report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub html: PathBuf,
    pub json: PathBuf,
}

/// Writes `{stem}.html` and `{stem}.json` into the folder, which is created when missing. An older report of the same
/// name is replaced only when the new one is completely on disk.
///
/// # Errors
/// [`ReportError::Write`] names the file that could not be written.
pub fn save(report: &Report, folder: &Path, stem: &str) -> Result<Saved, ReportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let write = |extension: &str, text: &str| -> Result<PathBuf, ReportError> {
        let path = folder.join(format!("{stem}.{extension}"));
        let part = folder.join(format!(".{stem}.{extension}.part"));
        let written = std::fs::File::create(&part)
            .and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()))
            .and_then(|()| std::fs::rename(&part, &path));
        written.map_err(|source| {
            // What is half written is of no use to anybody.
            let _ = std::fs::remove_file(&part);
            ReportError::Write {
                path: path.clone(),
                source,
            }
        })?;
        Ok(path)
    };
    Ok(Saved {
        html: write("html", &render(report)?)?,
        json: write("json", &report.to_json()?)?,
    })
}
