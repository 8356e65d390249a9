//! The simulated datacenter and Azure: Contoso's vCenter, the resource manager, Entra's token endpoint, blob storage, the
//! people who do what only people can do, and a clock that runs up to 10,000 times as fast. A rehearsal is the same run as a
//! real one; only the addresses lead here.
//!
//! It may know nothing of the other crates: neither side must be able to agree with the other on anything but the wire.
//! HTTPS on 127.0.0.1 with an own certificate authority; in memory; deterministic from a seed.
//!
//! Begin reading at [`Lab::start`], then [`world`] (state and time), then `arm` (the resource manager).

pub mod clock;
pub mod entra;
pub mod faults;
pub mod guests;
pub mod onprem;
pub mod stats;
pub mod tds;
pub mod template;
pub mod world;

mod arm;
mod blob;
mod cloud;
mod control;
mod diary;
mod gate;
mod people;
mod prices;
mod state;
mod tls;
mod vsphere;

use axum::Router;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use arm::app_config::OLD_PASSWORD;
pub use clock::{ClockAnchor, LabClock};
pub use stats::{Mutation, Stats};

use gate::{Gate, Service};
use tds::{Service as SqlService, data::Spec};
use tls::{Authority, Conn, Identity, SqlIdentity, TlsListener};
use world::{Shared, World};

/// How a lab is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// The same seed gives the same ids, passwords and durations.
    pub seed: u64,
    /// Lab seconds per real second, 1 to 10,000.
    pub speed: u32,
    /// The clock jumps when all workers sleep and the next deadline is further away than this (lab time). None = never.
    pub skip_idle_over: Option<Duration>,
    /// Whether the lab plays the people: vCenter admin, DBA, VM admin.
    pub people: bool,
    /// Whether the DBA takes the backups; otherwise Rehost does.
    pub dba_backs_up: bool,
    /// Lab time at the start; by default Saturday, 21 November 2026, 19:00 UTC.
    pub start: Option<Timestamp>,
    pub ports: Ports,
    /// Keeps every request to the resource manager with its answer.
    pub record: bool,
    /// Id of the fault script to play, see [`faults::SCRIPTS`]; none = nothing goes wrong.
    pub fault: Option<String>,
    /// Where every change is written down. A lab that is started with an existing diary comes back to where it was.
    pub diary: Option<PathBuf>,
    /// The clock goes on at least here after the diary was repeated.
    pub resume_at: Option<Timestamp>,
    /// Whose time sign-ins live in.
    pub token_time: entra::TokenTime,
    /// A folder of this computer into which the source SQL Server can back up, by the same path; none = there is none.
    pub sql_folder: Option<PathBuf>,
    /// The databases that are migrated, SmartHotelDB among them; empty = that one alone, with its backups in no folder.
    pub databases: Vec<LabDatabase>,
}

/// A database that is migrated, and the folder of its backups in the container and on the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabDatabase {
    pub name: String,
    /// Empty = none of its own.
    pub folder: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 2018,
            speed: 1,
            skip_idle_over: None,
            people: true,
            dba_backs_up: true,
            start: None,
            ports: Ports::default(),
            record: false,
            fault: None,
            diary: None,
            resume_at: None,
            token_time: entra::TokenTime::Real,
            sql_folder: None,
            databases: vec![],
        }
    }
}

/// The ports on 127.0.0.1; 0 = any free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ports {
    pub arm: u16,
    pub authority: u16,
    pub blob: u16,
    pub vcenter: u16,
    pub control: u16,
    pub sql: u16,
    /// UDP, where SQL Browser answers.
    pub sql_browser: u16,
    /// The managed instance.
    pub sql_managed: u16,
}

impl Ports {
    /// Eight ports in a row.
    pub fn from_base(base: u16) -> Ports {
        Ports {
            arm: base,
            authority: base + 1,
            blob: base + 2,
            vcenter: base + 3,
            control: base + 4,
            sql: base + 5,
            sql_browser: base + 6,
            sql_managed: base + 7,
        }
    }
}

/// An account in a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestLogin {
    pub moref: String,
    pub user: String,
    pub password: String,
}

impl GuestLogin {
    fn of(vm: &onprem::LabVm) -> Self {
        Self {
            moref: vm.moref.clone(),
            user: vm.guest.user.clone(),
            password: vm.guest.password.clone(),
        }
    }
}

/// Where a lab is and how to sign in to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    pub arm: String,
    pub authority: String,
    /// `https://127.0.0.1:PORT/{account}`
    pub blob: String,
    pub vcenter: String,
    pub control: String,
    /// The price list lies beside the resource manager.
    pub prices: String,
    pub ca_pem: String,
    /// Where the authority's certificate was written, if it was.
    pub ca_file: Option<String>,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub subscription_id: String,
    pub vcenter_user: String,
    pub vcenter_password: String,
    /// The source SQL Server, `127.0.0.1,PORT`, and where its SQL Browser answers on UDP.
    pub sql: String,
    pub sql_browser: u16,
    /// Where the managed instance answers once there is one, `127.0.0.1,PORT`.
    pub sql_managed: String,
    /// End of the host names of SQL servers, for whose cloud a token must be.
    pub sql_suffix: String,
    /// SHA-256 of the SQL Servers' certificate.
    pub sql_thumbprint: String,
    /// Accounts of the guests' own systems.
    pub guests: Vec<GuestLogin>,
    /// A login in the source SQL Server, `svc-dms`, and its password.
    pub sql_user: String,
    pub sql_password: String,
    /// Password of the account that reads the backup share, `CONTOSO\\svc-backup`.
    pub share_password: String,
    /// Id and object id of an identity that may be given the right to read backups.
    pub identity: String,
    pub identity_principal: String,
    /// SHA-256 of vCenter's certificate.
    pub vcenter_thumbprint: String,
    /// Id of the fault script that it plays.
    pub fault: Option<String>,
    pub clock: ClockAnchor,
}

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("there is no fault script {0}")]
    Fault(String),
    #[error(
        "port {port} for the lab's {service} is in use by another program; choose another port or 0 for any free one"
    )]
    PortInUse { service: &'static str, port: u16 },
    #[error("can't listen on 127.0.0.1:{port} for the lab's {service}")]
    Bind {
        service: &'static str,
        port: u16,
        source: std::io::Error,
    },
    #[error("can't make a certificate for the lab")]
    Certificate(#[from] rcgen::Error),
    #[error("can't set up TLS for the lab")]
    Tls(#[from] rustls::Error),
    #[error("can't write the lab's certificate authority to {path}")]
    CaFile { path: String, source: std::io::Error },
    #[error("the lab's diary {path} can't be used")]
    Diary { path: String, source: std::io::Error },
    #[error("the lab's SQL Server can't be filled")]
    Sql { source: rusqlite::Error },
    #[error("the lab can't be brought back to where it was: {request}: {why}")]
    Replay { request: String, why: String },
}

/// A running lab.
pub struct Lab {
    world: Shared,
    clock: Arc<LabClock>,
    gate: Arc<Gate>,
    addresses: Addresses,
    sql_identity: Arc<SqlIdentity>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl Lab {
    /// Starts all services and returns when they accept connections.
    pub async fn start(options: Options) -> Result<Lab, LabError> {
        let script = options.fault.as_deref().map(faults::script).transpose()?;
        let start = options.start.unwrap_or_else(default_start);
        // While the diary is repeated, time must not run ahead of it.
        let clock = Arc::new(LabClock::new(start, 1, options.skip_idle_over));
        let mut world = World::new(options.seed, start, options.people);
        world.people.backs_up = options.dba_backs_up;
        if let Some(script) = script {
            world.trouble = faults::Trouble::of(script);
        }
        let world = Shared::new(world);
        let authority = Authority::new()?;
        let (azure, vcenter) = (
            authority.issue("lab.contoso.com")?,
            authority.issue("vcenter.contoso.com")?,
        );
        let sql_identity = Arc::new(authority.issue_sql("sqlvm.contoso.com")?);
        let stop = CancellationToken::new();

        let bind = |service, port, id: &Identity| TlsListener::bind(service, port, id.config.clone());
        let p = options.ports;
        let arm = bind("resource manager", p.arm, &azure).await?;
        let entra = bind("token endpoint", p.authority, &azure).await?;
        let blob = bind("blob storage", p.blob, &azure).await?;
        let sdk = bind("vCenter", p.vcenter, &vcenter).await?;
        let ctl = bind("control endpoint", p.control, &azure).await?;

        let url = |l: &TlsListener| format!("https://127.0.0.1:{}", l.port());
        let mut addresses = {
            let mut w = world.lock();
            let (identity, identity_principal) = w.cloud.reader_identity(options.seed);
            w.entra.time = options.token_time;
            w.onprem.sql.folder = options.sql_folder.clone().unwrap_or_default();
            w.migrates(&options.databases);
            w.cloud.arm_url = url(&arm);
            w.cloud.authority_url = url(&entra);
            w.cloud.blob_url = url(&blob);
            Addresses {
                arm: url(&arm),
                authority: url(&entra),
                blob: format!("{}/{{account}}", url(&blob)),
                vcenter: url(&sdk),
                control: url(&ctl),
                prices: url(&arm),
                ca_pem: authority.pem.clone(),
                ca_file: None,
                tenant_id: w.cloud.tenant.clone(),
                client_id: w.cloud.client.clone(),
                client_secret: w.cloud.client_secret.clone(),
                subscription_id: w.cloud.subscription.clone(),
                vcenter_user: w.onprem.user.clone(),
                vcenter_password: w.onprem.password.clone(),
                guests: w.onprem.vms.iter().map(GuestLogin::of).collect(),
                sql_user: w.onprem.sql.user.clone(),
                sql_password: w.onprem.sql.password.clone(),
                share_password: w.onprem.sql.share_password.clone(),
                identity,
                identity_principal,
                vcenter_thumbprint: vcenter.thumbprint.clone(),
                sql: String::new(),
                sql_browser: 0,
                sql_managed: String::new(),
                sql_suffix: "database.windows.net".into(),
                sql_thumbprint: sql_identity.thumbprint.clone(),
                fault: options.fault.clone(),
                clock: clock.anchor(),
            }
        };

        let bases = [
            &addresses.arm,
            &addresses.authority,
            &addresses.blob,
            &addresses.vcenter,
        ];
        let bases = bases.map(|b| b.replace("/{account}", "")).to_vec();
        let (diary, entries) = match &options.diary {
            Some(path) => diary::Diary::open(path, options.seed, bases).map(|(d, e)| (Some(d), e))?,
            None => (None, vec![]),
        };
        let gate = Arc::new(Gate::new(
            world.clone(),
            clock.clone(),
            stop.clone(),
            options.record,
            diary,
        ));
        let services = [
            (arm, arm::router(gate.clone()), Service::Arm),
            (entra, entra::router(world.clone()), Service::Entra),
            (blob, blob::router(world.clone()), Service::Blob),
            (sdk, vsphere::router(world.clone(), clock.clone()), Service::VCenter),
        ];
        let find = |of: Service| services.iter().find(|s| s.2 == of).map(|s| s.1.clone());
        diary::replay(&gate, &entries, find).await?;
        if let Some(at) = options.resume_at {
            clock.advance_to(at);
        }
        clock.set_speed(options.speed);
        let scenario = {
            let world = world.lock();
            let sql = &world.onprem.sql;
            let windows = (sql.share_user.as_str(), sql.share_password.as_str());
            Spec::smarthotel((&sql.user, &sql.password), windows, options.seed).with_databases(&options.databases)
        };
        let service = SqlService {
            gate: gate.clone(),
            instance: 0,
            identity: sql_identity.clone(),
            stop: stop.clone(),
        };
        let managed = SqlService {
            instance: tds::managed::PLACE,
            ..service.clone()
        };
        let sql = tds::start(service, scenario, p.sql).await?;
        addresses.sql = format!("127.0.0.1,{sql}");
        let port = tds::start(managed, tds::managed::spec(), p.sql_managed).await?;
        addresses.sql_managed = format!("127.0.0.1,{port}");
        addresses.sql_browser = tds::browse(gate.clone(), p.sql_browser, stop.clone()).await?;
        let (listens, named) = world.lock().begin_defects()?;
        if let Some(named) = named {
            addresses.sql = format!(r"127.0.0.1\{named}");
        }
        if !listens {
            tds::closed(sql).await;
        }
        let mut servers: Vec<_> = services
            .into_iter()
            .map(|(listener, router, service)| {
                serve(listener, gate::layer(router, service, gate.clone()), stop.clone())
            })
            .collect();
        servers.push(serve(
            ctl,
            control::router(gate.clone(), addresses.clone()),
            stop.clone(),
        ));
        Ok(Lab {
            world,
            clock,
            gate,
            addresses,
            sql_identity,
            stop,
            servers,
        })
    }

    /// Where everything is; the clock's anchor is fresh.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            clock: self.clock.anchor(),
            ..self.addresses.clone()
        }
    }

    /// Writes the certificate authority as PEM for other programs, and names the file in [`Lab::addresses`].
    pub fn write_ca(&mut self, path: &Path) -> Result<(), LabError> {
        std::fs::write(path, &self.addresses.ca_pem).map_err(|source| LabError::CaFile {
            path: path.display().to_string(),
            source,
        })?;
        self.addresses.ca_file = Some(path.display().to_string());
        Ok(())
    }

    pub fn clock(&self) -> Arc<LabClock> {
        self.clock.clone()
    }

    /// What stands in the datacenter and in Azure, without times and without ids that depend on them.
    pub fn final_state(&self) -> serde_json::Value {
        self.gate.world().final_state()
    }

    /// The files of the application in a machine in Azure, by their paths.
    pub fn guest_files(&self, vm: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let world = self.gate.world();
        let end = format!("/{}", vm.to_lowercase());
        let guest = world.cloud.guests.iter().find(|(id, _)| id.ends_with(&end));
        let files = guest.into_iter().flat_map(|(_, g)| &g.files);
        files.map(|(path, f)| (path.clone(), f.bytes.clone())).collect()
    }

    /// Puts a file into a machine in Azure, as a person does.
    pub fn put_guest_file(&self, vm: &str, path: &str, bytes: Vec<u8>) {
        let file = arm::app_config::File::new(bytes);
        self.with_guest(vm, |g| drop(g.files.insert(path.to_owned(), file.clone())));
    }

    /// Encrypts the connection strings of the application in a machine in Azure.
    pub fn encrypt_guest_config(&self, vm: &str) {
        self.with_guest(vm, |g| {
            let files = g.files.iter_mut().filter(|(p, _)| p.ends_with("web.config"));
            files.for_each(|(_, f)| f.encrypt());
        });
    }

    fn with_guest(&self, vm: &str, change: impl Fn(&mut cloud::Guest)) {
        let end = format!("/{}", vm.to_lowercase());
        let mut world = self.gate.world();
        let guests = world.cloud.guests.iter_mut().filter(|(id, _)| id.ends_with(&end));
        guests.for_each(|(_, g)| change(g));
    }

    pub fn stats(&self) -> Stats {
        self.world.lock().counters.stats()
    }

    /// End of the source database's log, and how far the database on a managed instance has come in it (none: there is
    /// none). Equal at the end of a migration: no transaction was lost.
    pub fn log_positions(&self) -> (u64, Option<u64>) {
        self.log_positions_of(people::DATABASE)
    }

    /// The same of another database.
    pub fn log_positions_of(&self, database: &str) -> (u64, Option<u64>) {
        let world = self.gate.world();
        let named = |id: &str| arm::last(id).to_lowercase() == database.to_lowercase();
        let mut all = world.cloud.positions.iter().filter(|(id, _)| named(id));
        let target = all.next().map(|(_, at)| *at);
        (world.onprem.sql.position(database), target)
    }

    /// People remove the cause of what the fault script lets go wrong. False when there is none, or none any more.
    pub fn cure(&self) -> bool {
        self.gate.cure()
    }

    /// The rules of the fault script, by their place, that nothing has met yet.
    pub fn unmet(&self) -> Vec<usize> {
        self.world.lock().trouble.unmet()
    }

    /// Recorded exchanges with the resource manager, oldest first.
    pub fn exchanges(&self) -> Vec<serde_json::Value> {
        self.gate.exchanges()
    }

    /// Lets there be a managed instance with this administrator, onto which this database was restored, as the resource
    /// manager would have it after a migration. For tests of those who only speak TDS.
    pub fn restore_for_test(&self, admin: &str, password: &str, database: &str) {
        self.gate.world().put_managed_instance(admin, password, database);
    }

    /// Starts one more SQL Server and returns its place among them and its port.
    pub async fn start_sql(&self, spec: Spec) -> Result<(usize, u16), LabError> {
        let instance = self.world.lock().onprem.instances.len();
        let service = SqlService {
            gate: self.gate.clone(),
            instance,
            identity: self.sql_identity.clone(),
            stop: self.stop.clone(),
        };
        let port = tds::start(service, spec, 0).await?;
        Ok((instance, port))
    }

    /// A SQL Server comes back as another one at the same address: repaired, updated, or broken. Its connections are cut.
    pub fn replace_sql(&self, instance: usize, spec: Spec) -> Result<(), LabError> {
        let mut world = self.gate.world();
        let new = tds::data::Instance::new(spec, world.now())?;
        world.onprem.instances[instance].become_other(new);
        Ok(())
    }

    /// Cuts every connection to a SQL Server; new ones are taken.
    pub fn cut_sql(&self, instance: usize) {
        let cut = &mut self.world.lock().onprem.instances[instance].cut;
        std::mem::take(cut).cancel();
    }

    /// Somebody copies a backup from the source's own disk to where the others are.
    pub fn copy_backup(&self, name: &str) {
        let mut world = self.gate.world();
        tds::backups::copy(&mut world, name);
        world.touch();
    }

    /// Changes the world by hand, for tests.
    pub fn with_world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.gate.world();
        let done = change(&mut world);
        world.touch();
        done
    }

    /// Stops listening and ends all connections.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for mut server in std::mem::take(&mut self.servers) {
            if tokio::time::timeout(Duration::from_secs(2), &mut server).await.is_err() {
                server.abort();
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn serve(listener: TlsListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<Conn>();
    tokio::spawn(async move {
        let done = axum::serve(listener, service)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(e) = done {
            tracing::error!(error = %e, "a service of the lab ended");
        }
    })
}

fn default_start() -> Timestamp {
    // Saturday evening, when a change window begins: 2026-11-21T19:00:00Z.
    Timestamp::from_second(1_795_287_600).unwrap_or(Timestamp::UNIX_EPOCH)
}
