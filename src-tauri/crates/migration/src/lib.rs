//! The eight steps: for each kind of task what it observes, does, waits for, verifies and undoes.
//!
//! Knows `plan` (what), `engine` (when), the clients `azure`, `vsphere`, `sqlserver` (how) and `appconfig` (where in a file). The engine asks
//! [`Migration`] for the [`engine::TaskKind`] of a task; each kind is a small struct in one of the modules below.
//!
//! Decisions: a task never sleeps or retries by itself but through [`engine::Ctx::sleep`] and the engine's retry
//! policy; a storage SAS is never stored but computed anew from the account's key and the recorded parameters; long
//! operations are followed without any time limit.
//!
//! Begin with [`arm`] (most tasks), then [`words`] (how failures are put into words).

mod arm;
mod around;
mod backup;
mod certificate;
mod checks;
mod cutover;
mod database;
mod dms;
mod ledger;
pub mod managed;
mod replication;
mod run_command;
mod service;
mod source;
mod storage;
mod switch;
mod template;
mod vcenter;
mod words;

use azure::Arm;
use engine::{Runner, TaskKind};
use plan::{
    Action, Task,
    design::{ManagedConnection, SqlConnection, VCenterConnection},
};
use secrets::Secret;
use std::sync::Arc;
use vsphere::{Credentials, VCenter};

pub use template::{fill_script, secret_names};

/// Finds a secret by the name used in `${secret:name}`.
pub type SecretLookup = Arc<dyn Fn(&str) -> Option<Secret<String>> + Send + Sync>;

/// The systems that the tasks of a run work on.
pub struct Systems {
    pub arm: Arm,
    pub vcenter: VCenterConnection,
    pub vcenter_credentials: Credentials,
    /// The source SQL Server; an empty address = people run scripts there.
    pub sql: SqlConnection,
    pub managed: ManagedConnection,
    /// Answers `${secret:…}` in bodies and parameters, and names the password of `sql`.
    pub secrets: SecretLookup,
}

/// Finds the kind for each task of a plan.
pub struct Migration {
    systems: Arc<Links>,
}

/// The systems, with the vCenter session opened when first needed.
pub(crate) struct Links {
    pub(crate) arm: Arm,
    pub(crate) secrets: SecretLookup,
    vcenter: VCenterConnection,
    credentials: Credentials,
    sql: SqlConnection,
    managed: ManagedConnection,
    session: tokio::sync::Mutex<Option<VCenter>>,
}

impl Links {
    /// Returns the vCenter session with exchanges going to the task's trace; signs in when there is none yet.
    pub(crate) async fn vcenter(&self, ctx: &engine::Ctx) -> Result<VCenter, engine::Failure> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref() {
            return Ok(open.traced(ctx.trace()));
        }
        let open = VCenter::connect(&self.vcenter, &self.credentials, ctx.trace())
            .await
            .map_err(words::vsphere)?;
        let traced = open.traced(ctx.trace());
        *session = Some(open);
        Ok(traced)
    }

    /// Whether there is a connection to the source SQL Server.
    pub(crate) fn has_sql(&self) -> bool {
        !self.sql.server.trim().is_empty()
    }

    /// Opens a connection to the source SQL Server.
    pub(crate) async fn sql(&self) -> Result<sqlserver::Client, engine::Failure> {
        self.connect().await.map_err(|e| words::sql(&e))
    }

    pub(crate) async fn connect(&self) -> Result<sqlserver::Client, sqlserver::SqlError> {
        let password = (self.secrets)(plan::design::SQL_DIRECT_SECRET);
        let options = sqlserver::Options::of(&self.sql, password)?;
        sqlserver::Client::connect(&options).await
    }

    pub(crate) fn arm(&self, ctx: &engine::Ctx) -> Arm {
        self.arm.traced(ctx.trace())
    }
}

impl Migration {
    /// Binds the tasks to the systems they work on. Makes no connection yet.
    pub fn new(systems: Systems) -> Self {
        Self {
            systems: Arc::new(Links {
                arm: systems.arm,
                secrets: systems.secrets,
                vcenter: systems.vcenter,
                credentials: systems.vcenter_credentials,
                sql: systems.sql,
                managed: systems.managed,
                session: tokio::sync::Mutex::new(None),
            }),
        }
    }

    /// Ends the vCenter session, if one was opened.
    pub async fn close(&self) {
        if let Some(open) = self.systems.session.lock().await.take() {
            open.logout().await;
        }
    }
}

impl Runner for Migration {
    fn kind(&self, task: &Task) -> Arc<dyn TaskKind> {
        let links = self.systems.clone();
        match &task.action {
            Action::RegisterProvider { .. } => Arc::new(arm::Register(links)),
            Action::Put { .. } => Arc::new(arm::Put(links)),
            Action::Post { .. } => Arc::new(arm::Post(links)),
            Action::Delete { .. } => Arc::new(arm::Delete(links)),
            Action::Check { .. } | Action::Find { .. } => Arc::new(checks::Check(checks::Judge(links))),
            Action::CheckName { .. }
            | Action::CheckLocks { .. }
            | Action::CheckSize { .. }
            | Action::CheckSqlCapability { .. } => Arc::new(checks::Check(checks::Offer(links))),
            Action::IssueSas { .. } | Action::RotateKey { .. } | Action::CheckBlobs { .. } => {
                Arc::new(storage::Storage::new(links))
            }
            Action::StartLogReplay { .. } | Action::FollowLogReplay { .. } | Action::CompleteLogReplay { .. } => {
                Arc::new(database::LogReplay(links))
            }
            Action::BackUp { .. } => Arc::new(backup::BackUp::new(links)),
            Action::ForgetCredential { .. } => Arc::new(backup::Forget(links)),
            Action::UploadBackup { .. } => Arc::new(backup::Upload(links)),
            Action::StartDms { .. } => Arc::new(dms::Start(links)),
            Action::CutOverDms { .. } => Arc::new(dms::CutOver(links)),
            Action::RemoveRuntime { .. } => Arc::new(dms::RemoveRuntime(links)),
            Action::FollowDms { .. } | Action::CheckRuntime { .. } | Action::CheckClassicDms => {
                Arc::new(checks::Check(dms::Watch(links)))
            }
            Action::RunCommand { .. } => Arc::new(run_command::RunCommand(links)),
            Action::SwitchConfig { .. } => Arc::new(switch::SwitchConfig(links)),
            Action::CheckBoot { .. } => Arc::new(checks::Check(run_command::Boot(links))),
            Action::CheckLedger { .. } => Arc::new(checks::Check(ledger::Ledger(links))),
            Action::ListGroup { .. } => Arc::new(checks::Check(ledger::Left(links))),
            Action::Patch { .. } => Arc::new(service::Patch(links)),
            Action::Call { .. } => Arc::new(service::Call(links)),
            Action::Remove { .. } => Arc::new(service::Remove(links)),
            Action::CheckRetired { .. } => Arc::new(checks::Check(replication::Retired(links))),
            Action::CheckServers { .. } | Action::MeasureDatabase { .. } | Action::ProveDatabase { .. } => {
                Arc::new(checks::Check(around::Prove(links)))
            }
            Action::CheckSource { .. } => Arc::new(checks::Check(source::Source(links))),
            Action::BringCertificate { .. } => Arc::new(certificate::Bring(links)),
            Action::MoveAround { .. } => Arc::new(around::Move(links)),
            Action::CheckReplication { .. } => Arc::new(checks::Check(replication::Health(links))),
            Action::EnsureRole { .. }
            | Action::RemoveRole { .. }
            | Action::GrantRole { .. }
            | Action::RevokeRole { .. }
            | Action::ShutDownVm { .. }
            | Action::RenameVm { .. }
            | Action::AnnotateVm { .. }
            | Action::EnsureFolder { .. }
            | Action::MoveVm { .. }
            | Action::DestroyVm { .. } => Arc::new(vcenter::OnPremises(links, vcenter::Does::Change)),
            // Gates, waits and what isn't needed are the engine's own; it never asks for their kind.
            _ => Arc::new(vcenter::OnPremises(links, vcenter::Does::Look)),
        }
    }
}
