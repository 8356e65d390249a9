//! Whether the database may be cut over: the gate is closed as long as any reason stands, and says which.
//!
//! Decisions: what is not known counts as a reason; a machine that is off, and a database that nobody can write to, are equally
//! good; the newest restored file must be the last backup itself, not one that sorts behind it.

use std::fmt;

/// What is known of the restore and of the source, whichever service restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutover<'a> {
    pub full_restored: bool,
    /// Newest restored file; empty = none yet.
    pub last: &'a str,
    /// The last backup of the source.
    pub wanted: &'a str,
    /// Files that the service has seen and not restored.
    pub pending: u64,
    /// Why the service can't go on, in its words; empty = it can.
    pub blocked: &'a str,
    pub application: Application<'a>,
}

/// Whether anybody can write to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application<'a> {
    /// Its machine is off.
    Stopped,
    /// The source database is restoring, or read-only.
    ReadOnly,
    /// This machine is on, or not in vCenter.
    Runs(&'a str),
}

/// Why the gate is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Blocked(String),
    FullMissing,
    LastMissing { last: String, wanted: String },
    Pending(u64),
    ApplicationRuns(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Blocked(why) => write!(f, "the restore is blocked: {}", why.trim_end_matches('.')),
            Reason::FullMissing => f.write_str("the full backup is not restored"),
            Reason::LastMissing { last, wanted } if last.is_empty() => write!(f, "{wanted} is not restored"),
            Reason::LastMissing { last, wanted } => write!(f, "{wanted} is not restored, the newest is {last}"),
            Reason::Pending(1) => f.write_str("1 backup waits to be restored"),
            Reason::Pending(n) => write!(f, "{n} backups wait to be restored"),
            Reason::ApplicationRuns(vm) => {
                write!(f, "{vm} is not off, and the source database can be written to")
            }
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

impl Cutover<'_> {
    /// Every reason that stands; empty = the gate is open.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut all = vec![];
        if !self.blocked.is_empty() {
            all.push(Reason::Blocked(self.blocked.to_owned()));
        }
        if !self.full_restored {
            all.push(Reason::FullMissing);
        }
        let (last, wanted) = (file_name(self.last), file_name(self.wanted));
        if wanted.is_empty() || !last.eq_ignore_ascii_case(wanted) {
            all.push(Reason::LastMissing {
                last: last.to_owned(),
                wanted: if wanted.is_empty() { "the last backup" } else { wanted }.to_owned(),
            });
        }
        if self.pending > 0 {
            all.push(Reason::Pending(self.pending));
        }
        if let Application::Runs(vm) = self.application {
            all.push(Reason::ApplicationRuns(vm.to_owned()));
        }
        all
    }

    /// The reasons in one sentence; none = the gate is open.
    pub fn closed(&self) -> Option<String> {
        let all: Vec<String> = self.reasons().iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| format!("the cutover waits: {}", all.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: [(&str, bool); 5] = [
        ("", false),
        ("db_log_001.trn", false),
        // Sorts behind the wanted one, and is another file all the same.
        ("db_tail_2.trn", false),
        ("db_tail.trn", true),
        ("folder/DB_tail.trn", true),
    ];

    /// Every combination of what can be known.
    #[test]
    fn the_gate_opens_only_when_no_reason_stands() {
        let applications = [
            (Application::Stopped, true),
            (Application::ReadOnly, true),
            (Application::Runs("WEBVM"), false),
        ];
        let (mut rows, mut open) = (0, 0);
        for full_restored in [false, true] {
            for (last, arrived) in LASTS {
                for pending in [0, 1, 7] {
                    for blocked in ["", "Gap in the log chain."] {
                        for (application, quiet) in applications {
                            let now = Cutover {
                                full_restored,
                                last,
                                wanted: "db_tail.trn",
                                pending,
                                blocked,
                                application,
                            };
                            let reasons = now.reasons();
                            let wanted = [!blocked.is_empty(), !full_restored, !arrived, pending > 0, !quiet];
                            let of = |at: usize| {
                                reasons.iter().any(|r| {
                                    at == match r {
                                        Reason::Blocked(_) => 0,
                                        Reason::FullMissing => 1,
                                        Reason::LastMissing { .. } => 2,
                                        Reason::Pending(_) => 3,
                                        Reason::ApplicationRuns(_) => 4,
                                    }
                                })
                            };
                            for (at, stands) in wanted.iter().enumerate() {
                                assert_eq!(of(at), *stands, "{now:?}: {reasons:?}");
                            }
                            assert_eq!(reasons.len(), wanted.iter().filter(|w| **w).count());
                            assert_eq!(now.closed().is_none(), reasons.is_empty());
                            (rows, open) = (rows + 1, open + usize::from(reasons.is_empty()));
                        }
                    }
                }
            }
        }
        // Two ways to be quiet, and two to write the name of the last file.
        assert_eq!((rows, open), (180, 4));
    }

    #[test]
    fn all_reasons_are_said() {
        let now = Cutover {
            full_restored: true,
            last: "db_log_001.trn",
            wanted: "db_tail.trn",
            pending: 2,
            blocked: "",
            application: Application::Runs("WEBVM"),
        };
        assert_eq!(
            now.closed().unwrap(),
            "the cutover waits: db_tail.trn is not restored, the newest is db_log_001.trn; 2 backups wait to be restored; \
             WEBVM is not off, and the source database can be written to"
        );
        let unknown = Cutover {
            last: "",
            wanted: "",
            pending: 0,
            application: Application::Stopped,
            ..now
        };
        assert_eq!(
            unknown.closed().unwrap(),
            "the cutover waits: the last backup is not restored"
        );
    }
}
