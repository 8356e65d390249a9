//! Backups of the source that Rehost takes itself, instead of a person with a script.

use crate::address::ResourceId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
        /// A container, or a folder in it: `backups/reports`.
        container: String,
    },
    Folder {
        path: String,
        /// It is this database's own, and is made before the first backup.
        #[serde(default)]
        make: bool,
    },
}

/// Name of the folder that holds the backups of a database when several are migrated: small letters, digits and hyphens. What
/// is lost of the database's name is made up for by a hash of it, so that two databases never share a folder.
pub fn folder_of(database: &str) -> String {
    let lower = database.to_lowercase();
    let plain = lower.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    if plain == lower && plain.len() <= 40 {
        return plain;
    }
    let words: String = plain.split('-').filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-");
    let hash = hex::encode(&Sha256::digest(&lower)[..4]);
    let kept: String = words.chars().take(31).collect();
    [kept.trim_matches('-'), &hash].join("-").trim_matches('-').to_owned()
}

/// A file or folder below a folder, a share or an address, with the slash that is used there.
pub fn joined(folder: &str, name: &str) -> String {
    let slash = if folder.contains('\\') { '\\' } else { '/' };
    format!("{}{slash}{name}", folder.trim_end_matches(['/', '\\']))
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
    fn every_database_has_a_folder_of_its_own() {
        assert_eq!(folder_of("Reports2"), "reports2");
        let odd = [
            "My Db",
            "my_db",
            "my-db",
            "My]Db",
            "Zürich",
            "Кино",
            "кино2",
            &"x".repeat(90),
            &"x".repeat(91),
        ];
        let folders: std::collections::BTreeSet<String> = odd.iter().map(|n| folder_of(n)).collect();
        assert_eq!(folders.len(), odd.len(), "{folders:?}");
        for f in &folders {
            assert!(
                f.len() <= 40 && f.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "{f}"
            );
            assert!(f.starts_with(|c: char| c.is_ascii_alphanumeric()), "{f}");
        }
        assert_eq!(folder_of("MY DB"), folder_of("my db"), "SQL Server ignores case");
        assert_eq!(joined(r"\\F\s\", "a"), r"\\F\s\a");
        assert_eq!(joined("/tmp/x", "a"), "/tmp/x/a");
    }

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
