//! `rehost-cli`: the use cases of [`api`] without a window. Results go to the standard output, for people or with
//! `--json` for programs; progress and errors go to the standard error.
//!
//! Begin with [`Command`]; `follow` drives a run to its end.

mod follow;
mod say;

use api::{
    App,
    host::FolderHost,
    rehearsal::{LabOptions, Rehearsal},
    settings::Folders,
    wire::{CostsView, ErrorCode, ProjectView, RehearsalOptions, SignInMessage, Start, UiError},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use follow::Gates;
use plan::{BackupSource, DatabaseMethod, ReplicationMethod};
use say::Say;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

/// Moves an on-premises application to Azure, without a window.
#[derive(Parser)]
#[command(name = "rehost-cli", version, after_help = EXIT_CODES)]
struct Cli {
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the run failed, was stopped or cancelled; or an unexpected error
  2  wrong usage or input; nothing was changed
  3  a system can't be reached, isn't trusted, or refuses the sign-in
  4  the project file can't be used
  5  the journal's hash chain is broken
  6  the run waits for a person's decision and nobody could be asked";

/// How the machine and the database get to Azure.
#[derive(Debug, Clone, Copy, Args)]
struct Methods {
    /// How the virtual machine gets to Azure [default: inmage-rcm].
    #[arg(long, value_enum, value_name = "METHOD")]
    replication: Option<Replication>,
    /// How the database gets to the managed instance [default: log-replay].
    #[arg(long, value_enum, value_name = "METHOD")]
    database: Option<Database>,
    /// Where Database Migration Service takes the backups from [default: container].
    #[arg(long, value_enum, value_name = "SOURCE")]
    backups: Option<Backups>,
    /// Who takes the backups [default: person].
    #[arg(long, value_enum, value_name = "WHO")]
    backups_by: Option<BackupsBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackupsBy {
    /// The database administrator, with the plan's scripts.
    Person,
    /// Rehost itself, through the connection to SQL Server.
    Rehost,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Replication {
    /// Site Recovery: replication appliance and Mobility service.
    #[value(name = "inmage-rcm", alias = "in-mage-rcm")]
    InMageRcm,
    /// Azure Migrate, agentless.
    #[value(name = "vmware-cbt", alias = "v-mware-cbt")]
    VMwareCbt,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Database {
    /// Log Replay Service.
    LogReplay,
    /// Database Migration Service, offline.
    DmsOffline,
    /// Database Migration Service, online.
    DmsOnline,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Backups {
    /// The backup account's container, into which SQL Server writes them itself.
    Container,
    /// A share on-premises, from which a self-hosted integration runtime uploads them.
    Share,
}

impl Methods {
    /// What was chosen, and for what was not, what is there.
    fn over(
        self,
        replication: ReplicationMethod,
        database: DatabaseMethod,
        backups: BackupSource,
    ) -> (ReplicationMethod, DatabaseMethod, BackupSource) {
        let replication = match self.replication {
            None => replication,
            Some(Replication::InMageRcm) => ReplicationMethod::InMageRcm,
            Some(Replication::VMwareCbt) => ReplicationMethod::VMwareCbt,
        };
        let database = match self.database {
            None => database,
            Some(Database::LogReplay) => DatabaseMethod::LogReplay,
            Some(Database::DmsOffline) => DatabaseMethod::DmsOffline,
            Some(Database::DmsOnline) => DatabaseMethod::DmsOnline,
        };
        let backups = match self.backups {
            None => backups,
            Some(Backups::Container) => BackupSource::Blob,
            Some(Backups::Share) => BackupSource::Share,
        };
        (replication, database, backups)
    }
}

/// Against what a project is opened.
#[derive(Debug, Clone, Args)]
struct AtLab {
    /// Rehearse against a lab that runs separately: its control address, as `rehost-cli lab` prints it. The project is
    /// created when it isn't there.
    #[arg(long, value_name = "URL", requires = "lab_ca")]
    lab: Option<String>,
    /// The lab's certificate authority (PEM file), as `rehost-cli lab` names it.
    #[arg(long, value_name = "FILE", requires = "lab")]
    lab_ca: Option<PathBuf>,
}

impl AtLab {
    async fn open(self, app: &Arc<App>, project: &Path) -> Result<ProjectView, UiError> {
        match (self.lab, self.lab_ca) {
            (Some(url), Some(ca)) => api::rehearsal::attach(app, project, &url, &ca).await,
            _ => api::projects::open_file(app, project).await,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Rehearse the SmartHotel sample against a simulated datacenter and Azure.
    Rehearse {
        /// Lab time per real time, 1 to 10000. At 10000 the clock also jumps over idle time.
        #[arg(long, default_value_t = api::rehearsal::FULL_SPEED, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        speed: u32,
        /// Makes the lab's ids and durations; the same seed gives the same rehearsal.
        #[arg(long, default_value_t = api::rehearsal::USUAL_SEED)]
        seed: u64,
        #[command(flatten)]
        methods: Methods,
        /// Migrate two further databases along.
        #[arg(long)]
        several: bool,
        /// Let something go wrong; `rehost-cli faults` lists what.
        #[arg(long, value_name = "NAME")]
        fault: Option<String>,
        /// Write the report (HTML and JSON) into this folder.
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
        /// The project file to create [default: a new one in the projects folder].
        #[arg(long, value_name = "FILE")]
        project: Option<PathBuf>,
        /// How decisions are made.
        #[arg(long, value_enum, default_value_t = Gates::Accept)]
        gates: Gates,
        /// Accept all decisions (the default of a rehearsal).
        #[arg(long, conflicts_with = "gates")]
        yes: bool,
    },
    /// Run a project's plan, or take its run up again.
    Run {
        #[arg(long, value_name = "FILE")]
        project: PathBuf,
        #[command(flatten)]
        lab: AtLab,
        #[command(flatten)]
        methods: Methods,
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
        /// How decisions are made [default: accept in a rehearsal, ask otherwise].
        #[arg(long, value_enum)]
        gates: Option<Gates>,
    },
    /// Serve a lab until ctrl-c, and print its addresses as JSON.
    Lab {
        #[arg(long, default_value_t = api::rehearsal::FULL_SPEED, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        speed: u32,
        #[arg(long, default_value_t = api::rehearsal::USUAL_SEED)]
        seed: u64,
        /// Keep every Azure exchange for conformance checks.
        #[arg(long)]
        record: bool,
        /// First of five consecutive ports [default: any free ones].
        #[arg(long, value_name = "PORT")]
        port_base: Option<u16>,
        /// Nobody plays the people: a script or a foreign client does their part.
        #[arg(long)]
        no_people: bool,
        /// The lab's database administrator takes no backups: Rehost does.
        #[arg(long)]
        no_dba: bool,
        /// Let something go wrong; `rehost-cli faults` lists what.
        #[arg(long, value_name = "NAME")]
        fault: Option<String>,
        /// Write the certificate authority here [default: a new file in the temporary folder].
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// List what can go wrong in a rehearsal, by choice, and what to do about it.
    Faults,
    /// List the virtual machines of a vCenter. The password comes from the standard input, or from a project's keyring
    /// entry.
    Discover {
        #[arg(long, value_name = "URL")]
        vcenter: String,
        #[arg(long)]
        user: String,
        /// SHA-256 of the server's certificate; without it the certificate must be trusted by this computer.
        #[arg(long, default_value = "")]
        thumbprint: String,
        /// Keep the result in this project, and take the password from its keyring entry.
        #[arg(long, value_name = "FILE")]
        project: Option<PathBuf>,
    },
    /// Sign in to Azure for a project, as its connection says: with the browser, or with a code for any browser.
    SignIn {
        #[arg(long, value_name = "FILE")]
        project: PathBuf,
    },
    /// Say what a project's plan costs by the month, by Azure's retail price list.
    Costs {
        #[arg(long, value_name = "FILE")]
        project: PathBuf,
        /// Currency of the prices, such as EUR [default: the one asked for last, USD at first].
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
        #[command(flatten)]
        lab: AtLab,
    },
    /// Write the report of a project's newest run.
    Report {
        file: PathBuf,
        #[arg(long, value_name = "DIR")]
        report: PathBuf,
    },
    /// Check the hash chain of a project's journal.
    Verify { file: PathBuf },
}

/// How a command ended when not by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    NotDone,
    BrokenChain,
    WaitsForPerson,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("REHOST_LOG").unwrap_or_else(|_| api::redact::LOG_QUIET.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| api::redact::Scrubbed(std::io::stderr()))
        .init();
    let say = Say { json: cli.json };
    match act(cli.command, say).await {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::NotDone) => ExitCode::from(1),
        Ok(End::BrokenChain) => ExitCode::from(5),
        Ok(End::WaitsForPerson) => ExitCode::from(6),
        Err(error) => {
            say.error(&error);
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &UiError) -> u8 {
    match error.code {
        ErrorCode::Invalid | ErrorCode::NotFound | ErrorCode::Cancelled => 2,
        ErrorCode::Certificate
        | ErrorCode::Unreachable
        | ErrorCode::SignIn
        | ErrorCode::Refused
        | ErrorCode::Keyring => 3,
        ErrorCode::OpenElsewhere | ErrorCode::ProjectFile | ErrorCode::Disk => 4,
        ErrorCode::Plan | ErrorCode::State | ErrorCode::Internal => 1,
    }
}

async fn act(command: Command, say: Say) -> Result<End, UiError> {
    let app = || {
        let folders = Folders::of_user();
        let dialogs = Arc::new(FolderHost(folders.projects.clone()));
        App::new(folders, dialogs, Start::Home)
    };
    match command {
        Command::Rehearse {
            speed,
            seed,
            methods,
            several,
            fault,
            report,
            project,
            gates,
            yes: _,
        } => {
            let app = app();
            let usual = RehearsalOptions::default();
            let (replication, database_method, backups) =
                methods.over(usual.replication, usual.database_method, usual.backups);
            let rehearsal = Rehearsal {
                options: RehearsalOptions {
                    speed,
                    replication,
                    database_method,
                    backups,
                    by_rehost: methods.backups_by == Some(BackupsBy::Rehost),
                    several,
                    fault,
                },
                seed,
                file: project,
                full_speed: speed == api::rehearsal::FULL_SPEED,
                accept_gates: gates == Gates::Accept,
            };
            let view = api::rehearsal::rehearse(&app, rehearsal).await?;
            follow::to_the_end(&app, &view.path, gates, report.as_deref(), say).await
        }
        Command::Run {
            project,
            lab,
            methods,
            report,
            gates,
        } => {
            let app = app();
            let view = lab.open(&app, &project).await?;
            let mut dms = view.design.dms;
            let (replication, database, backups) =
                methods.over(view.design.replication, view.design.database_method, dms.source);
            if dms.source != backups {
                dms.source = backups;
                api::projects::dms_save(&app, view.path.clone(), dms, None, None).await?;
            }
            if let Some(by) = methods.backups_by {
                let backups = (by == BackupsBy::Rehost).then(|| view.design.backups.clone().unwrap_or_default());
                api::projects::backups_save(&app, view.path.clone(), backups).await?;
            }
            let view = api::projects::methods_set(&app, view.path, replication, database).await?;
            let gates = gates.unwrap_or(if view.rehearsal { Gates::Accept } else { Gates::Ask });
            api::run::start_or_resume(&app, &view.path, gates == Gates::Accept).await?;
            follow::to_the_end(&app, &view.path, gates, report.as_deref(), say).await
        }
        Command::Lab {
            speed,
            seed,
            record,
            port_base,
            no_people,
            no_dba,
            fault,
            ca_file,
        } => {
            let options = LabOptions {
                speed,
                seed,
                record,
                port_base,
                people: !no_people,
                dba_backs_up: !no_dba,
                fault,
                ca_file,
            };
            let lab = api::rehearsal::serve_lab(options).await?;
            say.line(&lab.addresses());
            terminated().await;
            lab.stop().await;
            Ok(End::Done)
        }
        Command::Faults => {
            let scripts = api::rehearsal::scripts();
            let text: Vec<_> = scripts
                .iter()
                .map(|s| format!("{}\n  {}\n  {}\n  {}\n", s.id, s.title, s.happens, s.admin))
                .collect();
            say.result(&scripts, text.join("\n").trim_end());
            Ok(End::Done)
        }
        Command::Discover {
            vcenter,
            user,
            thumbprint,
            project,
        } => discover(&app(), vcenter, user, thumbprint, project, say).await,
        Command::SignIn { project } => {
            let app = app();
            let view = api::projects::open_file(&app, &project).await?;
            sign_in(&app, view.path, say).await
        }
        Command::Costs { project, currency, lab } => {
            let app = app();
            let view = lab.open(&app, &project).await?;
            let costs = api::costs::plan_costs(&app, view.path, currency).await?;
            say.result(&costs, &bill(&costs));
            Ok(End::Done)
        }
        Command::Report { file, report } => {
            let saved = api::saved::write_report_of(&file, &report).await?;
            say.result(&saved, &format!("{}\n{}", saved.html, saved.json));
            Ok(End::Done)
        }
        Command::Verify { file } => {
            let verified = api::projects::verify(&file).await?;
            say.result(&verified, &verified.sentence());
            Ok(if verified.ok { End::Done } else { End::BrokenChain })
        }
    }
}

async fn discover(
    app: &Arc<App>,
    url: String,
    user: String,
    thumbprint: String,
    project: Option<PathBuf>,
    say: Say,
) -> Result<End, UiError> {
    let connection = plan::design::VCenterConnection {
        url,
        user,
        thumbprint,
        ..Default::default()
    };
    // A person at a terminal would not see that a password is asked for without a word.
    let typed = if std::io::stdin().is_terminal() && project.is_some() {
        None
    } else {
        Some(password()?)
    };
    let found = api::inventory::discover(app, connection, typed, project.as_deref(), |vms| {
        say.progress(&format!("{vms} machines"))
    })
    .await?;
    let lines: Vec<String> = found
        .vms
        .iter()
        .map(|vm| format!("{}\t{}\t{}\t{}", vm.name, vm.power_state, vm.cpus, vm.memory_mib))
        .collect();
    say.result(&found, &lines.join("\n"));
    Ok(End::Done)
}

async fn sign_in(app: &Arc<App>, project: String, say: Say) -> Result<End, UiError> {
    let last = Arc::new(Mutex::new(None));
    let ended = last.clone();
    let tell = move |message| {
        match &message {
            SignInMessage::Browser { url, .. } => say.progress(&format!("Open in a browser of this computer: {url}")),
            SignInMessage::DeviceCode { url, code } => say.progress(&format!("Open {url} and enter {code}")),
            _ => {}
        }
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        true
    };
    api::sign_in::sign_in(app, project, Arc::new(tell)).await?;
    let last = last.lock().unwrap_or_else(PoisonError::into_inner).take();
    match last {
        Some(SignInMessage::SignedIn { connections }) => {
            let account = connections.azure_account.as_ref();
            let who = account.map_or("the application", |a| a.user.as_str());
            say.result(&connections, &format!("{who} is signed in"));
            Ok(End::Done)
        }
        Some(SignInMessage::Failed { error }) => Err(error),
        _ => Err(UiError::cancelled()),
    }
}

/// What a plan costs, line by line, for people.
fn bill(view: &CostsView) -> String {
    let costs = &view.costs;
    let row = |amount: Option<f64>, what: &str| match amount {
        Some(amount) => format!("{amount:>12.2}  {what}"),
        None => format!("{:>12}  {what}", "-"),
    };
    let mut text = vec![match (&view.source, &view.read_at) {
        (Some(source), Some(at)) => format!("{} a month by {source}, read {at}:", view.currency),
        _ => format!("No price list is known for this cloud ({}).", view.cloud),
    }];
    let lasting = |lasts: bool| costs.lines.iter().filter(move |l| l.lasts == lasts);
    let line = |l: &plan::cost::Line| match (&l.price, &l.missing) {
        (Some(p), _) => row(
            Some(p.per_month),
            &format!("{} ({} x {} for {})", l.what, p.quantity, p.unit_price, p.unit),
        ),
        (None, why) => row(None, &format!("{}. {}", l.what, why.as_deref().unwrap_or_default())),
    };
    text.extend(lasting(true).map(line));
    text.push(row(costs.per_month, "in all, without tax, discounts and reservations"));
    if !costs.missing.is_empty() {
        text.push(format!("Not in it, for want of a price: {}.", costs.missing.join("; ")));
    }
    if lasting(false).next().is_some() {
        text.push("Until the migration has ended:".into());
        text.extend(lasting(false).map(line));
    }
    text.push("Charged by use, and not in it:".into());
    text.extend(costs.by_use.iter().map(|words| row(None, words)));
    text.join("\n")
}

fn password() -> Result<secrets::Secret<String>, UiError> {
    if std::io::stdin().is_terminal() {
        Say { json: false }.progress("Password, then Enter (it is shown; pipe it in to hide it):");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(UiError::internal)?;
    let kept = line.trim_end_matches(['\r', '\n']).to_owned();
    if kept.is_empty() {
        return Err(UiError::invalid(
            "No password was given",
            "The standard input is empty.",
            "Pipe the password in: printf %s \"$PASSWORD\" | rehost-cli discover …",
        ));
    }
    Ok(secrets::Secret::new(kept))
}

/// Returns when the process is asked to end.
pub(crate) async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
