//! Backups of the source that Rehost takes itself, instead of a person with a script.

use crate::address::ResourceId;
use serde::{Deserialize, Serialize};

/// How Rehost backs up. Its log backups are two: one that proves the chain, and one when the change window begins, so that
/// little is left for the tail. Whoever keeps the log short meanwhile goes on doing so, into the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase", default)]
#[ts(export)]
pub struct BackupDesign {
    /// Files over which full and differential backup are striped, 1 to 64. A block blob holds about 195 GB.
    pub files: u8,
    /// A differential backup after the full one is restored: fewer logs to replay when weeks lie between.
    pub differential: bool,
    /// Folder or share, as SQL Server names it and as this computer reads it, from which Rehost uploads; empty = SQL Server
    /// writes into the container itself (2016 and later). Without meaning when the service fetches from a share.
    pub folder: String,
    pub source_after: SourceAfter,
}

impl Default for BackupDesign {
    fn default() -> Self {
        Self {
            files: 1,
            differential: false,
            folder: String::new(),
            source_after: SourceAfter::default(),
        }
    }
}

/// What the tail-log backup leaves of the source database. Nobody can write to either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum SourceAfter {
    /// `NORECOVERY`: nobody can read it either.
    #[default]
    Restoring,
    /// `STANDBY`: it can be read. Its undo file stands beside the database's own.
    ReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum BackupKind {
    Full,
    Differential,
    Log,
    Tail,
}

impl BackupKind {
    /// Part of the files' names, by which the order of restoring is told.
    pub fn part(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Differential => "diff",
            Self::Log => "log",
            Self::Tail => "tail",
        }
    }

    /// As a part of an address.
    pub fn id(self) -> &'static str {
        match self {
            Self::Differential => "differential",
            other => other.part(),
        }
    }

    /// For a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Full => "full backup",
            Self::Differential => "differential backup",
            Self::Log => "log backup",
            Self::Tail => "tail-log backup",
        }
    }
}

/// Where SQL Server writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "in", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum BackupPlace {
    /// By the SAS `backup`.
    Container {
        account: ResourceId,
        container: String,
    },
    Folder {
        path: String,
    },
}

/// Kind of a backup file by its name, in the order of restoring. The database's own name may hold any of these words, so the
/// last one counts.
fn rank(file: &str) -> u8 {
    let (name, end) = file.rsplit_once('.').unwrap_or((file, ""));
    let told = name.rsplit('_').find_map(|part| match part {
        "full" => Some(1),
        "diff" => Some(2),
        "log" => Some(3),
        "tail" => Some(4),
        _ => None,
    });
    match (end, told) {
        ("trn", Some(4)) => 4,
        ("trn", _) => 3,
        ("dif" | "diff", _) | (_, Some(2)) => 2,
        _ => 1,
    }
}

/// Whether `target` is restored when `last` was the newest restored file: the full backup comes first, then the differential
/// one, then logs in the order of their names, the tail last. Ignores folders and case.
pub fn restored(last: &str, target: &str) -> bool {
    let key = |f: &str| {
        let f = f.rsplit(['/', '\\']).next().unwrap_or(f).to_ascii_lowercase();
        (rank(&f), f)
    };
    !last.is_empty() && key(last) >= key(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_imply_earlier_ones() {
        let files = [
            "db_full_01.bak",
            "db_diff_20261121190000_01.dif",
            "db_log_001.trn",
            "db_log_20261121203000.trn",
            "db_tail_20261121220000.trn",
        ];
        for (i, last) in files.iter().enumerate() {
            assert!(!restored("", last));
            for (j, target) in files.iter().enumerate() {
                assert_eq!(restored(last, target), i >= j, "{last} {target}");
            }
        }
        assert!(restored("folder/DB_tail.trn", "db_log_999.trn"));
        assert!(restored("db_diff_1_01.bak", "db_full_9.bak"));
        assert!(!restored("my_tail_diff_full_01.bak", "my_tail_diff_diff_01.bak"));
    }
}
