//! The project file, `NAME.rehost`: one SQLite database with project, inventory, plans, journal and exchanges.
//!
//! The journal is append-only (triggers refuse anything else) and a hash chain: the hash of line *n* is SHA-256 over
//! the hash of line *n - 1* (64 zeros before the first) followed by the line's canonical JSON as [`line`] writes it.
//! The head of the chain is kept beside it, so that a line missing at the end shows too.
//!
//! One process at a time: a lock on `NAME.rehost-lock`, which the operating system releases even after a crash. The
//! lock file stays behind, empty: removing it would let two processes hold two locks.

use crate::{
    event::{Event, Outcome, Recorded},
    kind::Created,
    state::RunState,
};
use fs4::fs_std::FileExt;
use jiff::Timestamp;
use plan::{Address, Exchange, Inventory, Plan, Project, Vm, sql::SqlRead};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

/// `RHST`: tells a project file from other SQLite databases.
const APPLICATION_ID: i32 = 0x5248_5354;
/// The first bytes of each SQLite database, and the length of its header.
const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: u64 = 100;
/// Version of the tables below.
const FORMAT: i32 = 1;
/// How many exchanges are kept for each task of a run: the newest.
const EXCHANGES_PER_TASK: u32 = 60;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE project (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL) STRICT;
CREATE TABLE inventory (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL) STRICT;
CREATE TABLE plan (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, json TEXT NOT NULL) STRICT;
CREATE TABLE journal (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL, event TEXT NOT NULL,
                      hash TEXT NOT NULL) STRICT;
CREATE INDEX journal_run ON journal (run, seq);
CREATE TRIGGER journal_keeps_lines BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_keeps_words BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TABLE exchange (id INTEGER PRIMARY KEY, run TEXT NOT NULL, task TEXT NOT NULL, json TEXT NOT NULL) STRICT;
CREATE INDEX exchange_task ON exchange (run, task, id);
";

/// The inventory's machines: they may be many, and change one by one. Files of earlier versions hold them in the inventory
/// until one changes.
const MACHINES: &str = "CREATE TABLE IF NOT EXISTS machine (id INTEGER PRIMARY KEY, moref TEXT NOT NULL UNIQUE, json TEXT NOT NULL) STRICT";

/// Why a project file can't be used, in words a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("There is no project file {}.", path.display())]
    NotFound { path: PathBuf },
    #[error("{} exists already, and nothing of it was changed.", path.display())]
    Exists { path: PathBuf },
    #[error("{} is not a Rehost project: it is not even a database.", path.display())]
    NotSqlite { path: PathBuf },
    #[error("{} is a database of another program, not a Rehost project.", path.display())]
    NotAProject { path: PathBuf },
    #[error("{} was written by a newer Rehost: it has format {found}, and this one reads format {FORMAT}.", path.display())]
    NewerFormat { path: PathBuf, found: i32 },
    #[error("{} was written by an older Rehost: it has format {found}, and this one reads format {FORMAT}.", path.display())]
    OlderFormat { path: PathBuf, found: i32 },
    #[error("{} is damaged or was cut off: {detail}.", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("{} is open in {by}.", path.display())]
    OpenElsewhere { path: PathBuf, by: String },
    #[error("The disk that holds {} is full. Nothing that was recorded before is lost.", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} can't be written: it, its folder or its disk is read-only.", path.display())]
    ReadOnly { path: PathBuf },
    #[error("The journal of {} was changed after it was written: line {seq} does not follow from the one before.", path.display())]
    ChainBroken { path: PathBuf, seq: u64 },
    #[error("{} can't be read or written: {detail}.", path.display())]
    Disk { path: PathBuf, detail: String },
}

impl ProjectError {
    /// Who can fix it and how.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "Check the path, or choose Open and look for the file.",
            Self::Exists { .. } => "Choose another name, or open the file that is there.",
            Self::NotSqlite { .. } | Self::NotAProject { .. } => "Choose a file whose name ends in .rehost.",
            Self::NewerFormat { .. } => "Update Rehost on this computer, then open it again.",
            Self::OlderFormat { .. } => "Open it with the Rehost that wrote it.",
            Self::Damaged { .. } => {
                "Restore the file from a backup. Resources in Azure are not affected: a new run finds and adopts them."
            }
            Self::OpenElsewhere { .. } => "Close it there, then open it again. To look at it only, open it read-only.",
            Self::DiskFull { .. } => "Free some space on that disk, then continue the run.",
            Self::ReadOnly { .. } => "Copy the file to a folder you may write to, or ask for write permission.",
            Self::ChainBroken { .. } => {
                "Don't use this file as evidence. Restore it from a backup, and find out who or what changed it."
            }
            Self::Disk { .. } => "Check that the disk or network share is there, then try again.",
        }
    }
}

/// The last line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// 0 when the journal is empty.
    pub seq: u64,
    /// Lower-case hex; 64 zeros when the journal is empty.
    pub hash: String,
}

/// A run of the journal, in short.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    pub run: String,
    pub plan_hash: String,
    pub by: String,
    pub host: String,
    pub version: String,
    pub rehearsal: bool,
    pub started: Timestamp,
    /// The last event's time.
    pub last: Timestamp,
    /// None = not ended: it can be resumed.
    pub outcome: Option<Outcome>,
}

/// An open project file. All methods may be called from any thread; each write is on disk when it returns.
#[derive(Debug)]
pub struct ProjectFile {
    // Closed before the lock goes.
    db: Mutex<Open>,
    path: PathBuf,
    read_only: bool,
    engine: AtomicBool,
    #[cfg(test)]
    pub(crate) fuse: crate::tests::Fuse,
    _lock: Option<Lock>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    head: ChainHead,
}

/// The lock of one process; the file is emptied when it is given back.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The words in it are a courtesy; the lock itself goes with the file handle.
        let _ = self.0.set_len(0);
    }
}

impl ProjectFile {
    /// Creates a file with this project in it and opens it.
    ///
    /// # Errors
    /// `Exists`, `ReadOnly`, `DiskFull`, `OpenElsewhere`, `Disk`.
    pub fn create(path: &Path, project: &Project) -> Result<Self, ProjectError> {
        if path.exists() {
            return Err(ProjectError::Exists { path: path.into() });
        }
        let lock = take_lock(path)?;
        match create_tables(path, project) {
            Ok(connection) => Self::with(path, connection, Some(lock)),
            Err(e) => {
                // Nothing of the person's is in it yet.
                let _ = fs::remove_file(path);
                Err(e)
            }
        }
    }

    /// Opens a file for work. No other process can meanwhile.
    ///
    /// # Errors
    /// All of [`ProjectError`] but `Exists` and `ChainBroken`.
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        look_at_header(path)?;
        let lock = take_lock(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| wrong(path, e))?;
        check(path, &connection)?;
        prepare(&connection).map_err(|e| wrong(path, e))?;
        Self::with(path, connection, Some(lock))
    }

    /// Opens a file to look at it, also while another process works on it.
    ///
    /// # Errors
    /// Like [`ProjectFile::open`], without `OpenElsewhere`.
    pub fn open_read_only(path: &Path) -> Result<Self, ProjectError> {
        look_at_header(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| wrong(path, e))?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .map_err(|e| wrong(path, e))?;
        check(path, &connection)?;
        Self::with(path, connection, None)
    }

    fn with(path: &Path, connection: Connection, lock: Option<Lock>) -> Result<Self, ProjectError> {
        let head = connection
            .query_row("SELECT value FROM meta WHERE key = 'head'", [], |r| {
                r.get::<_, String>(0)
            })
            .map_err(|e| wrong(path, e))?;
        let head = parse(path, &head)?;
        Ok(Self {
            db: Mutex::new(Open { connection, head }),
            path: path.into(),
            read_only: lock.is_none(),
            engine: AtomicBool::new(false),
            #[cfg(test)]
            fuse: Default::default(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was opened to look only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The project.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn project(&self) -> Result<Project, ProjectError> {
        match self.one("SELECT json FROM project", &[])? {
            Some(project) => Ok(project),
            None => Err(self.damaged("there is no project in it")),
        }
    }

    /// Replaces the project.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn save_project(&self, project: &Project) -> Result<(), ProjectError> {
        let json = self.json(project)?;
        self.write(|t, _| {
            t.execute("INSERT OR REPLACE INTO project VALUES (1, ?1)", [json])
                .map(drop)
        })
    }

    /// What was discovered last.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn inventory(&self) -> Result<Option<Inventory>, ProjectError> {
        let Some(mut inventory) = self.places()? else {
            return Ok(None);
        };
        if inventory.vms.is_empty() {
            inventory.vms = self.machines()?;
        }
        Ok(Some(inventory))
    }

    /// What machines stand on, without them.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn places(&self) -> Result<Option<Inventory>, ProjectError> {
        self.one("SELECT json FROM inventory", &[])
    }

    /// How many machines were discovered.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn machine_count(&self) -> Result<usize, ProjectError> {
        let rows: Option<usize> = self.one("SELECT CAST(count(*) AS TEXT) FROM machine", &[])?;
        match rows {
            Some(n @ 1..) => Ok(n),
            _ => Ok(self.places()?.map(|i| i.vms.len()).unwrap_or_default()),
        }
    }

    /// The discovered machine with this reference.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn machine(&self, moref: &str) -> Result<Option<Vm>, ProjectError> {
        self.one("SELECT json FROM machine WHERE moref = ?1", &[moref])
    }

    /// Replaces the inventory.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn save_inventory(&self, inventory: &Inventory) -> Result<(), ProjectError> {
        let places = Inventory {
            vms: vec![],
            ..inventory.clone()
        };
        let (json, machines) = (self.json(&places)?, self.rows(&inventory.vms)?);
        self.write(|t, _| {
            t.execute("INSERT OR REPLACE INTO inventory VALUES (1, ?1)", [json])?;
            t.execute("DELETE FROM machine", [])?;
            upsert(t, &machines)
        })
    }

    /// Changes some machines of the inventory: those that are new or not as they were, and those that are gone.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn change_machines(&self, upserted: &[Vm], removed: &[String]) -> Result<(), ProjectError> {
        if let Some(old) = self.places()?.filter(|i| !i.vms.is_empty()) {
            self.save_inventory(&old)?;
        }
        let machines = self.rows(upserted)?;
        self.write(|t, _| {
            for moref in removed {
                t.execute("DELETE FROM machine WHERE moref = ?1", [moref])?;
            }
            upsert(t, &machines)
        })
    }

    /// What was read of the source SQL Server last.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn sql(&self) -> Result<Option<SqlRead>, ProjectError> {
        self.one("SELECT value FROM meta WHERE key = 'sql'", &[])
    }

    /// Replaces what was read of the source SQL Server.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn save_sql(&self, read: &SqlRead) -> Result<(), ProjectError> {
        let json = self.json(read)?;
        self.write(|t, _| {
            t.execute("INSERT OR REPLACE INTO meta VALUES ('sql', ?1)", [json])
                .map(drop)
        })
    }

    fn rows(&self, vms: &[Vm]) -> Result<Vec<(String, String)>, ProjectError> {
        vms.iter().map(|vm| Ok((vm.moref.clone(), self.json(vm)?))).collect()
    }

    fn machines(&self) -> Result<Vec<Vm>, ProjectError> {
        let db = self.open_db();
        let sql = "SELECT json FROM machine ORDER BY id";
        let mut q = db.connection.prepare_cached(sql).map_err(|e| wrong(&self.path, e))?;
        let mut rows = q.query([]).map_err(|e| wrong(&self.path, e))?;
        let mut vms = vec![];
        while let Some(row) = rows.next().map_err(|e| wrong(&self.path, e))? {
            let json = row.get_ref(0).map_err(|e| wrong(&self.path, e))?;
            vms.push(parse(&self.path, json.as_str().unwrap_or_default())?);
        }
        Ok(vms)
    }

    /// Saves a plan as the latest one and returns its hash.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn save_plan(&self, plan: &Plan) -> Result<String, ProjectError> {
        let (hash, json) = (plan.hash(), self.json(plan)?);
        self.write(|t, _| {
            t.execute("DELETE FROM plan WHERE hash = ?1", [&hash])?;
            let id = "SELECT coalesce(max(id), 0) + 1 FROM plan";
            t.execute(&format!("INSERT INTO plan VALUES (({id}), ?1, ?2)"), [&hash, &json])
                .map(drop)
        })?;
        Ok(hash)
    }

    /// The plan with this hash.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn plan(&self, hash: &str) -> Result<Option<Plan>, ProjectError> {
        self.one("SELECT json FROM plan WHERE hash = ?1", &[hash])
    }

    /// The plan saved last.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn latest_plan(&self) -> Result<Option<Plan>, ProjectError> {
        self.one("SELECT json FROM plan ORDER BY id DESC LIMIT 1", &[])
    }

    /// Appends one event to the journal. It is on disk when this returns.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`; then nothing was appended.
    pub fn append(&self, run: &str, at: Timestamp, event: Event) -> Result<Recorded, ProjectError> {
        let mut recorded = self.commit(run, vec![(at, event)], &[])?;
        recorded
            .pop()
            .ok_or_else(|| self.damaged("the journal did not take a line"))
    }

    /// Appends events in one transaction: all or nothing.
    ///
    /// # Errors
    /// Like [`ProjectFile::append`].
    pub fn append_all(&self, run: &str, events: Vec<(Timestamp, Event)>) -> Result<Vec<Recorded>, ProjectError> {
        self.commit(run, events, &[])
    }

    /// Keeps exchanges, whose makers removed all secrets; of each task the newest 60.
    ///
    /// # Errors
    /// `DiskFull`, `ReadOnly`, `Disk`.
    pub fn save_exchanges(&self, run: &str, exchanges: &[(Address, Exchange)]) -> Result<(), ProjectError> {
        self.commit(run, vec![], exchanges).map(drop)
    }

    /// Events and exchanges in one transaction.
    pub(crate) fn commit(
        &self,
        run: &str,
        events: Vec<(Timestamp, Event)>,
        exchanges: &[(Address, Exchange)],
    ) -> Result<Vec<Recorded>, ProjectError> {
        let exchanges: Vec<(&Address, String)> = exchanges
            .iter()
            .map(|(task, e)| Ok((task, self.json(e)?)))
            .collect::<Result<_, ProjectError>>()?;
        let events: Vec<(Timestamp, Event, String)> = events
            .into_iter()
            .map(|(at, event)| {
                let json = self.json(&event)?;
                Ok((at, event, json))
            })
            .collect::<Result<_, ProjectError>>()?;
        self.write(|t, head| {
            let mut recorded = Vec::with_capacity(events.len());
            let mut insert = t.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (at, event, json) in events {
                let (seq, at_text) = (head.seq + 1, at.to_string());
                let hash = follow(&head.hash, &line(seq, &at_text, run, &json));
                insert.execute(params![
                    i64::try_from(seq).unwrap_or(i64::MAX),
                    at_text,
                    run,
                    json,
                    hash
                ])?;
                *head = ChainHead {
                    seq,
                    hash: hash.clone(),
                };
                recorded.push(Recorded {
                    seq,
                    at,
                    run: run.to_owned(),
                    event,
                    hash,
                });
            }
            if !recorded.is_empty() {
                let json = serde_json::to_string(head).unwrap_or_default();
                t.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'head'")?
                    .execute([json])?;
            }
            let mut insert = t.prepare_cached("INSERT INTO exchange (run, task, json) VALUES (?1, ?2, ?3)")?;
            let mut drop_old = t.prepare_cached(
                "DELETE FROM exchange WHERE run = ?1 AND task = ?2 AND id <=
                 (SELECT id FROM exchange WHERE run = ?1 AND task = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
            )?;
            for (task, json) in exchanges {
                insert.execute([run, task.as_str(), &json])?;
                drop_old.execute(params![run, task.as_str(), EXCHANGES_PER_TASK])?;
            }
            Ok(recorded)
        })
    }

    /// The journal of one run, in order.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn journal(&self, run: &str) -> Result<Vec<Recorded>, ProjectError> {
        self.lines(
            "SELECT seq, at, run, event, hash FROM journal WHERE run = ?1 ORDER BY seq",
            &[run],
        )?
        .into_iter()
        .map(|l| self.recorded(l))
        .collect()
    }

    /// All runs, the oldest first.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn runs(&self) -> Result<Vec<RunInfo>, ProjectError> {
        let mut runs: Vec<RunInfo> = vec![];
        for Recorded { at, run, event, .. } in self.all()? {
            match runs.iter_mut().find(|r| r.run == run) {
                Some(r) => {
                    r.last = at;
                    match event {
                        Event::RunEnded { outcome } => r.outcome = Some(outcome),
                        Event::RunReopened { .. } => r.outcome = None,
                        _ => {}
                    }
                }
                None => {
                    if let Event::RunStarted {
                        plan_hash,
                        by,
                        host,
                        rehearsal,
                        version,
                    } = event
                    {
                        let (started, last) = (at, at);
                        runs.push(RunInfo {
                            run,
                            plan_hash,
                            by,
                            host,
                            version,
                            rehearsal,
                            started,
                            last,
                            outcome: None,
                        });
                    }
                }
            }
        }
        Ok(runs)
    }

    /// The state of a run, folded from its journal; none when there is no such run.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn run_state(&self, run: &str) -> Result<Option<RunState>, ProjectError> {
        let journal = self.journal(run)?;
        let Some(Event::RunStarted { plan_hash, .. }) = journal.first().map(|r| &r.event) else {
            return Ok(None);
        };
        let Some(plan) = self.plan(plan_hash)? else {
            return Err(self.damaged("the plan of the run is missing"));
        };
        Ok(Some(RunState::replay(run, &plan, &journal)))
    }

    /// Everything that runs of this project created and did not remove.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn ledger(&self) -> Result<Vec<Created>, ProjectError> {
        let mut ledger = vec![];
        for r in self.all()? {
            note(&mut ledger, &r.event);
        }
        Ok(ledger)
    }

    /// Proves that no line of the journal was changed, removed or inserted.
    ///
    /// # Errors
    /// `ChainBroken` with the first line that does not follow; `Disk`.
    pub fn verify_chain(&self) -> Result<ChainHead, ProjectError> {
        let known = self.open_db().head.clone();
        let mut head = ChainHead::default();
        for l in self.lines("SELECT seq, at, run, event, hash FROM journal ORDER BY seq", &[])? {
            let seq = head.seq + 1;
            let hash = follow(&head.hash, &line(l.seq, &l.at, &l.run, &l.event));
            if l.seq != seq || l.hash != hash {
                return Err(ProjectError::ChainBroken {
                    path: self.path.clone(),
                    seq,
                });
            }
            head = ChainHead { seq, hash };
        }
        // A reader may see lines that another process wrote since; a missing one is a break.
        if head.seq < known.seq || (head.seq == known.seq && head != known) {
            return Err(ProjectError::ChainBroken {
                path: self.path.clone(),
                seq: head.seq + 1,
            });
        }
        Ok(head)
    }

    /// The exchanges kept for a task of a run, the oldest first.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn exchanges(&self, run: &str, task: &Address) -> Result<Vec<Exchange>, ProjectError> {
        let texts: Vec<String> = {
            let db = self.open_db();
            let mut q = db
                .connection
                .prepare_cached("SELECT json FROM exchange WHERE run = ?1 AND task = ?2 ORDER BY id")
                .map_err(|e| wrong(&self.path, e))?;
            let rows = q
                .query_map([run, task.as_str()], |r| r.get(0))
                .map_err(|e| wrong(&self.path, e))?;
            rows.collect::<Result<_, _>>().map_err(|e| wrong(&self.path, e))?
        };
        texts.iter().map(|t| parse(&self.path, t)).collect()
    }

    /// Lets one engine at a time work on this file. Returns false when one does already.
    pub(crate) fn claim(&self) -> bool {
        !self.engine.swap(true, SeqCst)
    }

    pub(crate) fn unclaim(&self) {
        self.engine.store(false, SeqCst);
    }

    fn open_db(&self) -> MutexGuard<'_, Open> {
        // A panic elsewhere can't leave a transaction open: it rolls back when dropped.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(
        &self,
        f: impl FnOnce(&Transaction<'_>, &mut ChainHead) -> rusqlite::Result<T>,
    ) -> Result<T, ProjectError> {
        if self.read_only {
            return Err(ProjectError::ReadOnly {
                path: self.path.clone(),
            });
        }
        let mut db = self.open_db();
        let mut head = db.head.clone();
        let done = db.connection.transaction().and_then(|t| {
            let done = f(&t, &mut head)?;
            t.commit()?;
            Ok(done)
        });
        let done = done.map_err(|e| wrong(&self.path, e))?;
        db.head = head;
        Ok(done)
    }

    fn one<T: DeserializeOwned>(&self, sql: &str, arguments: &[&str]) -> Result<Option<T>, ProjectError> {
        let text: Option<String> = {
            let db = self.open_db();
            let mut q = db.connection.prepare_cached(sql).map_err(|e| wrong(&self.path, e))?;
            q.query_row(rusqlite::params_from_iter(arguments), |r| r.get(0))
                .optional()
                .map_err(|e| wrong(&self.path, e))?
        };
        text.map(|t| parse(&self.path, &t)).transpose()
    }

    fn all(&self) -> Result<Vec<Recorded>, ProjectError> {
        self.lines("SELECT seq, at, run, event, hash FROM journal ORDER BY seq", &[])?
            .into_iter()
            .map(|l| self.recorded(l))
            .collect()
    }

    fn lines(&self, sql: &str, arguments: &[&str]) -> Result<Vec<Line>, ProjectError> {
        let db = self.open_db();
        let mut q = db.connection.prepare_cached(sql).map_err(|e| wrong(&self.path, e))?;
        let rows = q
            .query_map(rusqlite::params_from_iter(arguments), |r| {
                Ok(Line {
                    seq: u64::try_from(r.get::<_, i64>(0)?).unwrap_or_default(),
                    at: r.get(1)?,
                    run: r.get(2)?,
                    event: r.get(3)?,
                    hash: r.get(4)?,
                })
            })
            .map_err(|e| wrong(&self.path, e))?;
        rows.collect::<Result<_, _>>().map_err(|e| wrong(&self.path, e))
    }

    fn recorded(&self, l: Line) -> Result<Recorded, ProjectError> {
        let at =
            l.at.parse()
                .map_err(|_| self.damaged("a line of the journal has no valid time"))?;
        Ok(Recorded {
            seq: l.seq,
            at,
            run: l.run,
            event: parse(&self.path, &l.event)?,
            hash: l.hash,
        })
    }

    fn json(&self, value: &impl Serialize) -> Result<String, ProjectError> {
        serde_json::to_string(value).map_err(|e| ProjectError::Disk {
            path: self.path.clone(),
            detail: format!("can't be written as JSON: {e}"),
        })
    }

    fn damaged(&self, detail: &str) -> ProjectError {
        ProjectError::Damaged {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }
}

impl Default for ChainHead {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: "0".repeat(64),
        }
    }
}

/// Writes an event's effect on the ledger into it.
pub(crate) fn note(ledger: &mut Vec<Created>, event: &Event) {
    match event {
        Event::Created { task, resource } if !ledger.iter().any(|c| c.resource.eq_ignore_ascii_case(resource)) => {
            ledger.push(Created {
                task: task.clone(),
                resource: resource.clone(),
            });
        }
        Event::Removed { resource, .. } => ledger.retain(|c| !c.resource.eq_ignore_ascii_case(resource)),
        _ => {}
    }
}

struct Line {
    seq: u64,
    at: String,
    run: String,
    event: String,
    hash: String,
}

/// The canonical JSON of a journal line, without its hash. `event` is the JSON exactly as stored.
fn line(seq: u64, at: &str, run: &str, event: &str) -> String {
    let quoted = |s: &str| serde_json::Value::from(s).to_string();
    format!(
        r#"{{"seq":{seq},"at":{},"run":{},"event":{event}}}"#,
        quoted(at),
        quoted(run)
    )
}

fn follow(previous: &str, line: &str) -> String {
    hex::encode(Sha256::new().chain_update(previous).chain_update(line).finalize())
}

fn create_tables(path: &Path, project: &Project) -> Result<Connection, ProjectError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let json = serde_json::to_string(project).map_err(|e| ProjectError::Disk {
        path: path.into(),
        detail: format!("can't be written as JSON: {e}"),
    })?;
    let head = serde_json::to_string(&ChainHead::default()).unwrap_or_default();
    let make = || -> rusqlite::Result<Connection> {
        let mut c = Connection::open_with_flags(path, flags)?;
        c.pragma_update(None, "application_id", APPLICATION_ID)?;
        c.pragma_update(None, "user_version", FORMAT)?;
        let t = c.transaction()?;
        t.execute_batch(SCHEMA)?;
        t.execute("INSERT INTO project VALUES (1, ?1)", [json])?;
        t.execute("INSERT INTO meta VALUES ('head', ?1)", [head])?;
        t.commit()?;
        prepare(&c)?;
        Ok(c)
    };
    make().map_err(|e| wrong(path, e))
}

/// Writes machines by their references; one that is there keeps its place.
fn upsert(t: &Transaction<'_>, machines: &[(String, String)]) -> rusqlite::Result<()> {
    let mut q = t.prepare_cached(
        "INSERT INTO machine (moref, json) VALUES (?1, ?2) ON CONFLICT (moref) DO UPDATE SET json = excluded.json",
    )?;
    for (moref, json) in machines {
        q.execute([moref, json])?;
    }
    Ok(())
}

/// Settings of a connection that writes.
fn prepare(c: &Connection) -> rusqlite::Result<()> {
    c.busy_timeout(Duration::from_secs(5))?;
    c.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    c.pragma_update(None, "synchronous", "FULL")?;
    c.pragma_update(None, "foreign_keys", true)?;
    c.execute_batch(MACHINES)
}

/// What can be told before SQLite touches the file.
fn look_at_header(path: &Path) -> Result<(), ProjectError> {
    let file = File::open(path).map_err(|e| failed(path, &e))?;
    let metadata = file.metadata().map_err(|e| failed(path, &e))?;
    if metadata.is_dir() {
        return Err(ProjectError::NotSqlite { path: path.into() });
    }
    let length = metadata.len();
    let mut header = vec![];
    file.take(HEADER)
        .read_to_end(&mut header)
        .map_err(|e| failed(path, &e))?;
    if !MAGIC.starts_with(&header[..header.len().min(MAGIC.len())]) {
        return Err(ProjectError::NotSqlite { path: path.into() });
    }
    // The header says how long the file must be, unless newer pages still wait in the write-ahead log.
    let number = |at: usize, n: usize| {
        header
            .get(at..at + n)
            .map(|b| b.iter().fold(0, |v, b| v << 8 | u64::from(*b)))
    };
    let missing = match (number(16, 2), number(28, 4)) {
        (Some(page), Some(pages)) => (pages * if page == 1 { 65_536 } else { page }).saturating_sub(length),
        _ => HEADER,
    };
    if missing > 0 && !beside(path, "-wal").exists() {
        return Err(ProjectError::Damaged {
            path: path.into(),
            detail: format!("{missing} bytes are missing at its end"),
        });
    }
    Ok(())
}

/// The path of a companion file: the project file's name with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Is it ours, of our format, and whole?
fn check(path: &Path, c: &Connection) -> Result<(), ProjectError> {
    let pragma = |name| {
        c.pragma_query_value(None, name, |r| r.get::<_, i32>(0))
            .map_err(|e| wrong(path, e))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(ProjectError::NotAProject { path: path.into() });
    }
    match pragma("user_version")? {
        FORMAT => {}
        found if found > FORMAT => {
            return Err(ProjectError::NewerFormat {
                path: path.into(),
                found,
            });
        }
        found => {
            return Err(ProjectError::OlderFormat {
                path: path.into(),
                found,
            });
        }
    }
    let found: String = c
        .pragma_query_value(None, "quick_check", |r| r.get(0))
        .map_err(|e| wrong(path, e))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(ProjectError::Damaged {
            path: path.into(),
            detail: found,
        })
    }
}

/// Takes the lock and writes who holds it into the lock file.
fn take_lock(path: &Path) -> Result<Lock, ProjectError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(beside(path, "-lock"))
        .map_err(|e| failed(path, &e))?;
    if !file.try_lock_exclusive().map_err(|e| failed(path, &e))? {
        let mut by = String::new();
        // Where locks are mandatory the words can't be read; then it stays "another program".
        let read = file.read_to_string(&mut by);
        let by = if read.is_err() || by.trim().is_empty() {
            "another program".into()
        } else {
            by.trim().to_owned()
        };
        return Err(ProjectError::OpenElsewhere { path: path.into(), by });
    }
    let who = format!("process {} of {} on {}\n", std::process::id(), user(), host());
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(who.as_bytes()));
    written.map_err(|e| failed(path, &e))?;
    Ok(Lock(file))
}

/// The name of the signed-in user, as the system tells it.
pub fn user() -> String {
    ["USER", "USERNAME", "LOGNAME"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|s| !s.is_empty()))
        .unwrap_or_else(|| "unknown user".into())
}

/// The name of this computer, as the system tells it.
pub fn host() -> String {
    ["COMPUTERNAME", "HOSTNAME"]
        .iter()
        .find_map(|v| std::env::var(v).ok())
        .or_else(|| fs::read_to_string("/etc/hostname").ok())
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty())
        .unwrap_or_else(|| "this computer".into())
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ProjectError> {
    serde_json::from_str(text).map_err(|e| ProjectError::Damaged {
        path: path.into(),
        detail: format!("a record can't be read: {e}"),
    })
}

fn wrong(path: &Path, e: rusqlite::Error) -> ProjectError {
    let path = path.to_owned();
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ProjectError::DiskFull { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ProjectError::ReadOnly { path },
        Some(ErrorCode::NotADatabase) => ProjectError::NotSqlite { path },
        Some(ErrorCode::DatabaseCorrupt) => ProjectError::Damaged {
            path,
            detail: e.to_string(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ProjectError::OpenElsewhere {
            path,
            by: "another program".into(),
        },
        Some(_) => ProjectError::Disk {
            path,
            detail: e.to_string(),
        },
        // A table, a row or a type that must be there is not.
        None => ProjectError::Damaged {
            path,
            detail: e.to_string(),
        },
    }
}

fn failed(path: &Path, e: &io::Error) -> ProjectError {
    let path = path.to_owned();
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ProjectError::NotFound { path },
        io::ErrorKind::IsADirectory => ProjectError::NotSqlite { path },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ProjectError::ReadOnly { path },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ProjectError::DiskFull { path },
        _ => ProjectError::Disk {
            path,
            detail: e.to_string(),
        },
    }
}

#[cfg(test)]
impl ProjectFile {
    /// Makes the disk look full.
    pub(crate) fn limit_to_present_size(&self) {
        let db = self.open_db();
        let pages: i64 = db
            .connection
            .pragma_query_value(None, "page_count", |r| r.get(0))
            .unwrap_or_default();
        let set = db
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        assert!(set.is_ok());
    }

    /// Takes that back.
    pub(crate) fn unlimit(&self) {
        let set = self
            .open_db()
            .connection
            .pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()));
        assert!(set.is_ok());
    }
}
