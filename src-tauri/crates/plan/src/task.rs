//! What a plan is made of. A plan is a value: it can be shown, hashed, saved, compared and approved.

use crate::{
    address::{Address, ResourceId},
    around::{AroundDesign, AroundKind, ProveDesign},
    backup::{BackupKind, BackupPlace, SourceAfter},
    design::{DatabaseMethod, ReplicationMethod},
    privileges::RightNeed,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A computed plan: eight steps of tasks. The same input gives the same plan and the same [`Plan::hash`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Plan {
    /// Version of this structure.
    pub format: u32,
    pub application: String,
    /// The rule pack and its date, `current 2026-11`.
    pub rules: String,
    pub steps: Vec<Step>,
    /// What the admin should know before approving; none of them stops the plan.
    pub findings: Vec<Finding>,
}

/// One of the eight steps, in the order of the screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Step {
    /// 1 to 8.
    pub number: u8,
    pub title: String,
    pub tasks: Vec<Task>,
}

/// Something worth knowing about one thing of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Finding {
    /// Id of the rule, `mi-subnet-size`.
    pub rule: String,
    pub severity: Severity,
    /// What it is about: a task address or a resource's name.
    pub about: String,
    pub title: String,
    pub detail: String,
    /// Who can cure it; empty where the detail says what to do in Design.
    #[serde(default)]
    pub who: String,
    /// The exact command, or where to click.
    #[serde(default)]
    pub command: String,
    /// Where the rule comes from, with its date.
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum Severity {
    Information,
    Warning,
    /// The plan can't be approved while it stands.
    Blocking,
}

/// One unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Task {
    pub address: Address,
    pub title: String,
    /// One sentence: what it does.
    pub what: String,
    /// One sentence: why it is needed.
    pub why: String,
    pub actor: Actor,
    pub action: Action,
    /// All of these must be done (or skipped) before this one starts.
    pub after: Vec<Address>,
    /// Rights it needs, as `azure:Microsoft.Network/virtualNetworks/write` or `vcenter:Authorization.ModifyRoles`.
    pub rights: Vec<String>,
    pub duration: Duration,
    /// What it costs, in words with source; none = nothing.
    pub cost: Option<String>,
    /// How to get back, in words.
    pub way_back: String,
    /// True when there is no simple way back after this task.
    pub no_return: bool,
    /// The calls it will make, as `PUT Microsoft.Network/virtualNetworks/VNET-SQLMI-EUS2`.
    pub calls: Vec<String>,
    /// Ids of the nodes and edges of the architecture diagram that this task changes (`vm/WEBVM`, `mi/contoso-sqlmi`…).
    pub nodes: Vec<String>,
}

/// Usual duration in seconds of (lab or real) time, with where the figures come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Duration {
    pub p50: u32,
    pub p95: u32,
    pub source: String,
}

/// Who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "who", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Actor {
    Rehost,
    /// A person; the task's action is then a check that detects that it was done, repeated until it holds.
    Person {
        /// `vCenter administrator`, `database administrator`…
        role: String,
        /// Exact steps, one per line.
        instructions: Vec<String>,
        /// A script to run, with `${secret:…}` placeholders that are filled only when the person copies it.
        script: Option<Script>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Script {
    /// `powershell`, `sql` or `sh`.
    pub language: String,
    /// Where to run it.
    pub run_on: String,
    pub text: String,
}

/// What a task does. Texts, ids, bodies and the conditions of checks may hold `${name}` placeholders: facts that earlier
/// tasks recorded (`${asr.fabric}`), or `${secret:name}`, which is resolved at the last moment and never recorded. Three
/// functions make names that a service or a repetition finds again: `${last:…}` is the last segment of an id,
/// `${hash:…}` Java's string hash without its sign, `${guid:…}` a UUID that is always the same for the same text; what
/// stands in them may hold placeholders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Action {
    /// Is in the seed, and not needed today or with the chosen method. Ends as Skipped with this reason.
    NotNeeded {
        reason: String,
    },
    /// Registers a resource provider for the subscription.
    RegisterProvider {
        namespace: String,
    },
    /// Creates or adopts an ARM resource: GET, compare `body` as a subset, PUT, follow, verify. Records `facts` from
    /// the final resource.
    Put {
        id: ResourceId,
        #[ts(type = "unknown")]
        body: Value,
        #[serde(default)]
        facts: Vec<Fact>,
        /// How its progress is read.
        #[serde(default)]
        follow: Follow,
    },
    /// Calls a POST action that must not be repeated: `done` and `running` tell from a GET of `observe` what happened.
    Post {
        id: ResourceId,
        verb: String,
        #[ts(type = "unknown")]
        body: Option<Value>,
        observe: ResourceId,
        /// Holds when the action's effect is there. Empty: the effect is that `observe` is gone.
        done: Condition,
        /// Holds while it is in progress.
        #[serde(default)]
        running: Option<Condition>,
        /// Must hold before the call is made (allowedOperations and the like).
        #[serde(default)]
        allowed: Option<Condition>,
        #[serde(default)]
        facts: Vec<Fact>,
        #[serde(default)]
        follow: Follow,
    },
    /// Deletes a resource when it is there and this project created it (or `always`).
    Delete {
        id: ResourceId,
        always: bool,
    },
    /// Reads one resource and judges it. A person's task repeats it until it holds; `wait` does the same for Rehost's
    /// own (waiting for a service). Otherwise it must hold at once.
    Check {
        id: ResourceId,
        condition: Condition,
        /// The resource must be absent; `condition` is then ignored.
        #[serde(default)]
        absent: bool,
        wait: bool,
        #[serde(default)]
        facts: Vec<Fact>,
        #[serde(default)]
        follow: Follow,
        /// What to tell when it doesn't hold: who does what.
        otherwise: String,
    },
    /// Lists a collection (all pages) and judges its elements: one must match `condition`; facts come from that one.
    Find {
        list: ResourceId,
        condition: Condition,
        wait: bool,
        #[serde(default)]
        facts: Vec<Fact>,
        otherwise: String,
    },
    /// The name must be free, or the resource ours already.
    CheckName {
        id: ResourceId,
    },
    /// No lock may forbid what the plan changes; `changes` are all resources that the plan puts.
    CheckLocks {
        changes: Vec<ResourceId>,
    },
    /// The VM size must be offered in the region without restriction, and the quota must suffice.
    CheckSize {
        location: String,
        size: String,
        vcpus: u32,
    },
    /// The region must offer the managed instance's SKU, cores and storage, and its quota must have room for it.
    CheckSqlCapability {
        location: String,
        sku: String,
        vcores: u16,
        storage_gib: u32,
        /// Needs no room in the quota when it is there.
        #[serde(default)]
        instance: Option<ResourceId>,
    },
    /// Computes a service SAS for the container, proves that it does what it must and no more, and records only its
    /// parameters (start, expiry, permissions): it is computed anew where needed.
    IssueSas {
        name: String,
        account: ResourceId,
        container: String,
        permissions: String,
        days: u16,
    },
    /// Blobs whose names match must be in the container: a person's backup has arrived.
    CheckBlobs {
        account: ResourceId,
        container: String,
        suffix: String,
        min: u32,
        fact: String,
    },
    /// Takes a backup of the source through [`crate::design::Connections::sql`]. Its files get names of their own. `fact`
    /// gets the name of the last of them, `fact`.files all.
    BackUp {
        database: String,
        kind: BackupKind,
        to: BackupPlace,
        files: u8,
        /// Of the tail alone.
        source_after: SourceAfter,
        fact: String,
    },
    /// Drops the container's credential on the source SQL Server, if Rehost made it.
    ForgetCredential {
        account: ResourceId,
        container: String,
    },
    /// Uploads the files of a backup from the folder into the container.
    UploadBackup {
        folder: String,
        account: ResourceId,
        container: String,
        fact: String,
    },
    /// Starts Log Replay Service in continuous mode on a database that does not exist yet.
    StartLogReplay {
        database: ResourceId,
        location: String,
        account: ResourceId,
        container: String,
        sas: String,
    },
    /// Follows the restore until the file named by the fact (or any full backup when empty) is restored.
    FollowLogReplay {
        database: ResourceId,
        until_fact: String,
    },
    /// Ends Log Replay Service, once nothing is a reason against it (see [`crate::cutover`]): the last backup file (named by
    /// the fact) is restored, and `application` is off in vCenter or can't write.
    CompleteLogReplay {
        database: ResourceId,
        last_file_fact: String,
        #[serde(default)]
        application: String,
    },
    /// Regenerates a storage key that has signed a SAS or was handed to a service; the old one must be refused
    /// afterwards.
    RotateKey {
        account: ResourceId,
        container: String,
        key: String,
    },
    /// Looks for instances of the retired Azure Database Migration Service (classic). They are named, and left alone.
    CheckClassicDms,
    /// The integration runtime of a database migration service is online.
    CheckRuntime {
        service: ResourceId,
    },
    /// Takes the integration runtime's computers out of the service.
    RemoveRuntime {
        service: ResourceId,
    },
    /// Keeps what scripts on the machine have published so far.
    NoteReports {
        vm: String,
    },
    /// A script on the machine has published `key` with another value than the one that was noted.
    CheckReported {
        vm: String,
        key: String,
    },
    /// Starts a migration by Azure Database Migration Service. `body` may hold `${secret:account-key}`, the first key
    /// of `account`.
    StartDms {
        migration: ResourceId,
        account: ResourceId,
        #[ts(type = "unknown")]
        body: Value,
    },
    /// Follows the migration.
    FollowDms {
        migration: ResourceId,
        until: DmsUntil,
    },
    /// Cuts over an online migration, once nothing is a reason against it, as [`Action::CompleteLogReplay`].
    CutOverDms {
        migration: ResourceId,
        last_file: String,
        #[serde(default)]
        application: String,
    },
    /// vCenter answers, and its version is supported.
    CheckVCenter {
        min_version: String,
    },
    /// Our own account has, before anything is changed, the rights in vCenter that each task of the plan needs.
    CheckVCenterRights {
        needs: Vec<RightNeed>,
    },
    /// A machine of the inventory meets the rule pack's support rules for this method and size of Azure VM.
    CheckVm {
        vm: String,
        #[serde(default)]
        method: ReplicationMethod,
        #[serde(default)]
        size: String,
    },
    /// Creates or completes a vCenter role.
    EnsureRole {
        role: String,
        privileges: Vec<String>,
    },
    RemoveRole {
        role: String,
    },
    /// The principal exists in vCenter's directories.
    CheckPrincipal {
        principal: String,
    },
    /// Grants the role on the datacenter, propagated; on the vCenter itself when none is named, not propagated.
    GrantRole {
        role: String,
        principal: String,
        datacenter: Option<String>,
    },
    /// Takes back what [`Action::GrantRole`] has granted.
    RevokeRole {
        role: String,
        principal: String,
        datacenter: Option<String>,
    },
    /// A machine with this name exists and is powered on.
    CheckVmRuns {
        vm: String,
    },
    /// `guestinfo.rehost.readiness` of the machine says `key=value` (published by the readiness script).
    CheckReadiness {
        vm: String,
        key: String,
        value: String,
    },
    /// Shuts the guest down (through VMware Tools), powers off when that does not help.
    ShutDownVm {
        vm: String,
        /// Only when this project created that resource: an appliance may serve others.
        #[serde(default)]
        made_for: Option<ResourceId>,
    },
    CheckPower {
        vm: String,
        state: String,
    },
    RenameVm {
        vm: String,
        to: String,
    },
    /// Adds a line to the machine's notes; what stands there stays.
    AnnotateVm {
        vm: String,
        text: String,
    },
    /// Creates a folder for machines in the datacenter, or uses the one that is there.
    EnsureFolder {
        folder: String,
        datacenter: String,
    },
    /// Moves the machine into that folder; its files stay where they are.
    MoveVm {
        vm: String,
        folder: String,
        datacenter: String,
    },
    /// Unregisters and deletes a machine with its disks. No return.
    DestroyVm {
        vm: String,
        /// As in [`Action::ShutDownVm`]: only when this run has shut it down.
        #[serde(default)]
        made_for: Option<ResourceId>,
    },
    /// The VM's boot diagnostics hold a screenshot and a serial log.
    CheckBoot {
        vm: ResourceId,
    },
    /// A managed run command on an Azure VM; the script prints `key=value` lines, and all of `expect` must be among
    /// them.
    RunCommand {
        vm: ResourceId,
        name: String,
        location: String,
        script: String,
        parameters: Vec<Parameter>,
        expect: Vec<String>,
    },
    /// Reads the application's configuration in a VM by a managed run command and shows how its connection strings are to
    /// be changed; with `write`, changes them. The script knows `-Does read`, `switch` and `restore`.
    SwitchConfig {
        vm: ResourceId,
        location: String,
        script: String,
        /// Run commands are called by what they do and this: `rehost-read-config-smarthotel`.
        suffix: String,
        path: String,
        /// The connection string that must be among them; empty = any.
        connection: String,
        /// Names of the source SQL Server.
        sources: Vec<String>,
        /// The databases that are moved; a string that leads to any of them is switched.
        databases: Vec<String>,
        write: bool,
    },
    /// A person decides; accepting goes on, rejecting stops everything that depends on it.
    Gate {
        question: String,
        accept: String,
        reject: String,
        safe_because: String,
    },
    /// Waits until `days` after the task at `since` was done.
    WaitDays {
        since: Address,
        days: u16,
    },
    /// Compares the ledger of created things with what is still there.
    CheckLedger {
        keep: Vec<ResourceId>,
    },
    /// Changes parts of a resource that a service made for this project: GET, compare `body` as a subset, PATCH, follow,
    /// verify.
    Patch {
        id: ResourceId,
        #[ts(type = "unknown")]
        body: Value,
    },
    /// Calls a POST action that does no harm when it is repeated, and follows it to its end.
    Call {
        id: ResourceId,
        verb: String,
        #[serde(default)]
        follow: Follow,
    },
    /// Removes what a service made by itself for a resource of this project; when that resource is somebody else's, or
    /// was there before, nothing is removed.
    Remove {
        id: ResourceId,
        /// The POST action that removes it; none = DELETE.
        verb: Option<String>,
        #[ts(type = "unknown")]
        body: Option<Value>,
        made_for: ResourceId,
        #[serde(default)]
        follow: Follow,
    },
    /// Looks for retired generations of replication in the subscription and explains them. Nothing is ever started
    /// there; only when one of them still replicates this machine must a person end it.
    CheckRetired {
        vm: String,
    },
    /// Reads what the service itself says about a replicated machine: health, its errors, events, failed jobs. Critical
    /// health needs a person.
    CheckReplication {
        item: ResourceId,
        vault: ResourceId,
    },
    /// Measures the database on the source: rows, objects, checksums. Kept as the fact [`crate::around::MEASURE_FACT`].
    MeasureDatabase {
        database: String,
        prove: ProveDesign,
    },
    /// Measures the database on the managed instance, as its administrator, and compares it with the source. Kept as the
    /// fact [`crate::around::PROOF_FACT`]; a difference needs a person.
    ProveDatabase {
        instance: ResourceId,
        admin: String,
        database: String,
        prove: ProveDesign,
    },
    /// Both servers answer and let us in with what is needed later, and what can't be moved is said. Without `around` only the
    /// former.
    CheckServers {
        instance: ResourceId,
        admin: String,
        database: String,
        around: Option<AroundDesign>,
    },
    /// Reads source, way and target anew and judges them by the rules of the pack; what blocks needs a person. Without
    /// [`crate::design::Connections::sql`] only what Azure tells is judged. Changes nothing.
    CheckSource {
        instance: ResourceId,
        admin: String,
        /// What the instance will have while it is not there yet.
        storage_gib: u32,
        account: ResourceId,
        container: String,
        /// The managed instance's, which the account's firewall must admit.
        subnet: ResourceId,
        /// `\\SERVER\share\folder`; empty = the backups go into the container.
        share: String,
        database: String,
        /// Databases that are moved along, and need room as well.
        along: Vec<String>,
        method: DatabaseMethod,
        pack: String,
        /// The backups that are there are judged as well, and the SAS by which Log Replay Service reads them.
        backups: bool,
        /// [`Action::BringCertificate`] comes before the restore.
        #[serde(default)]
        certificate: bool,
    },
    /// Brings the certificate that encrypts the database, with its private key, from the source to the managed instance. Both
    /// are in memory only: no file, fact or report ever holds them. Not needed where the database is not encrypted.
    BringCertificate {
        instance: ResourceId,
        database: String,
    },
    /// Makes on the managed instance, as its administrator, what of one kind stands around the database on the source. On
    /// the source it only reads.
    MoveAround {
        kind: AroundKind,
        instance: ResourceId,
        admin: String,
        database: String,
        around: AroundDesign,
    },
    /// Lists what is left in a resource group, for the report.
    ListGroup {
        group: ResourceId,
    },
}

/// How far a migration by Azure Database Migration Service must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum DmsUntil {
    /// The full backup is restored.
    FullBackup,
    /// A log backup is restored as well, and none waits.
    LogBackup,
    /// This file is restored, and none waits.
    File { name: String },
    /// The migration has succeeded.
    Succeeded,
}

/// A parameter of a run command; protected ones are never shown by Azure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Parameter {
    pub name: String,
    /// May be `${secret:…}` or hold facts.
    pub value: String,
    pub protected: bool,
}

/// Records the value at a JSON pointer of an answer under a run-wide name. Of several facts with one name the first that
/// is there counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Fact {
    pub name: String,
    /// Pointer into the resource as [`lookup`] reads it, `/properties/fullyQualifiedDomainName`.
    pub pointer: String,
}

/// Where the progress of a long operation can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Follow {
    #[default]
    Operation,
    /// `{id}/operations` of a managed instance: named steps.
    InstanceSteps,
    /// The Site Recovery job whose name ends the operation's URL: tasks, errors.
    Job { vault: ResourceId },
    /// A percentage and texts in the resource itself.
    Resource { percent: String, text: Vec<String> },
    /// The migration item of Azure Migrate: seeding progress, the appliance's upload speed and time left, health errors.
    Gateway,
}

/// All expectations hold.
pub type Condition = Vec<Expect>;

/// One expectation on a JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Expect {
    /// Pointer as [`lookup`] reads it.
    pub at: String,
    #[serde(flatten)]
    pub is: Is,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", content = "value", rename_all = "camelCase")]
#[ts(export)]
pub enum Is {
    /// Equal; texts ignore ASCII case.
    Equal(#[ts(type = "unknown")] Value),
    OneOf(#[ts(type = "unknown[]")] Vec<Value>),
    /// A number not below.
    AtLeast(f64),
    /// A text that starts so, ignoring ASCII case.
    StartsWith(String),
    EndsWith(String),
    Present,
    Absent,
}

impl Expect {
    /// Shorthand for [`Is::Equal`].
    pub fn equal(at: &str, value: impl Into<Value>) -> Self {
        Self {
            at: at.into(),
            is: Is::Equal(value.into()),
        }
    }

    /// Shorthand for [`Is::OneOf`].
    pub fn one_of(at: &str, values: &[&str]) -> Self {
        Self {
            at: at.into(),
            is: Is::OneOf(values.iter().map(|v| Value::from(*v)).collect()),
        }
    }

    /// Shorthand for [`Is::Present`].
    pub fn present(at: &str) -> Self {
        Self {
            at: at.into(),
            is: Is::Present,
        }
    }

    /// Tells whether the document meets this expectation.
    pub fn holds(&self, document: &Value) -> bool {
        let found = lookup(document, &self.at);
        match &self.is {
            Is::Absent => found.iter().all(|v| v.is_null()),
            Is::Present => found.iter().any(|v| !v.is_null()),
            Is::Equal(want) => found.iter().any(|v| same(v, want)),
            Is::OneOf(wants) => found.iter().any(|v| wants.iter().any(|w| same(v, w))),
            Is::AtLeast(min) => found.iter().any(|v| number(v).is_some_and(|n| n >= *min)),
            Is::StartsWith(s) => found.iter().any(|v| {
                v.as_str()
                    .is_some_and(|t| t.to_ascii_lowercase().starts_with(&s.to_ascii_lowercase()))
            }),
            Is::EndsWith(s) => found.iter().any(|v| {
                v.as_str()
                    .is_some_and(|t| t.to_ascii_lowercase().ends_with(&s.to_ascii_lowercase()))
            }),
        }
    }
}

/// Returns every value at a JSON pointer. A segment `*` stands for any element, `[key=value]` for the elements of an array
/// whose `key` is `value`, ignoring ASCII case.
pub fn lookup<'a>(document: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let mut now = vec![document];
    for segment in pointer.split('/').skip(1) {
        let key = segment.replace("~1", "/").replace("~0", "~");
        let chosen = key
            .strip_prefix('[')
            .and_then(|k| k.strip_suffix(']'))
            .and_then(|k| k.split_once('='));
        now = now
            .into_iter()
            .flat_map(|v| -> Vec<&Value> {
                match (v, chosen) {
                    (Value::Array(a), Some((k, wanted))) => a
                        .iter()
                        .filter(|e| {
                            let is = e.get(k).and_then(Value::as_str);
                            is.is_some_and(|is| is.eq_ignore_ascii_case(wanted))
                        })
                        .collect(),
                    (Value::Array(a), None) if key == "*" => a.iter().collect(),
                    (Value::Array(a), None) => key.parse::<usize>().ok().and_then(|i| a.get(i)).into_iter().collect(),
                    (Value::Object(o), None) if key == "*" => o.values().collect(),
                    (Value::Object(o), _) => o.get(&key).into_iter().collect(),
                    _ => vec![],
                }
            })
            .collect();
    }
    now
}

/// Returns the document with JSON that stands in texts as if it stood there itself: Azure Migrate keeps lists so.
#[must_use]
pub fn unfolded(document: Value) -> Value {
    match document {
        Value::String(s) if s.starts_with(['{', '[']) => serde_json::from_str(&s).unwrap_or(Value::String(s)),
        Value::Array(a) => a.into_iter().map(unfolded).collect(),
        Value::Object(o) => Value::Object(o.into_iter().map(|(k, v)| (k, unfolded(v))).collect()),
        other => other,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn number(v: &Value) -> Option<f64> {
    v.as_f64().or_else(|| v.as_str().and_then(|s| s.parse().ok()))
}

impl Plan {
    /// All tasks in the order of the screen.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.steps.iter().flat_map(|s| &s.tasks)
    }

    /// Finds a task by address.
    pub fn task(&self, address: &Address) -> Option<&Task> {
        self.tasks().find(|t| &t.address == address)
    }

    /// SHA-256 over the canonical JSON, lower-case hex.
    pub fn hash(&self) -> String {
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(canonical))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expectations_read_wildcards_case_and_numbers() {
        let d = json!({"a": [{"b": "Succeeded"}, {"b": "x"}], "n": "42", "e": null});
        assert!(Expect::equal("/a/*/b", "succeeded").holds(&d));
        assert!(!Expect::equal("/a/1/b", "succeeded").holds(&d));
        assert!(
            Expect {
                at: "/n".into(),
                is: Is::AtLeast(42.0)
            }
            .holds(&d)
        );
        assert!(
            Expect {
                at: "/e".into(),
                is: Is::Absent
            }
            .holds(&d)
        );
        assert!(
            Expect {
                at: "/zz".into(),
                is: Is::Absent
            }
            .holds(&d)
        );
        assert!(!Expect::present("/e").holds(&d));
    }

    #[test]
    fn elements_are_chosen_by_key_and_json_in_texts_is_read() {
        let d = unfolded(
            json!({ "v2": r#"[{"ApplianceName":"A","SiteId":"/a"},{"ApplianceName":"B","SiteId":"/b"}]"#,
            "v3": r#"{"A":{"SiteId":"/a3"}}"#, "text": "[not json" }),
        );
        assert_eq!(lookup(&d, "/v2/[ApplianceName=b]/SiteId"), [&json!("/b")]);
        assert_eq!(lookup(&d, "/v3/A/SiteId"), [&json!("/a3")]);
        assert!(lookup(&d, "/v2/[ApplianceName=C]/SiteId").is_empty());
        assert_eq!(d["text"], "[not json");
    }
}
