//! What crosses the border to a window, a browser under test or a script. Types of `plan`, `engine` and `report` cross
//! as they are; these are the rest. All of it is generated into TypeScript.

pub use engine::{RunPhase, RunState, TaskState, TaskStatus};
use plan::{
    Address, BackupSource, Connections, DatabaseMethod, Deployment, Design, Finding, Plan, ReplicationMethod, Script,
    Template, Vm,
    appliance::DeploymentPlaces,
    changes::InventoryChanges,
    cost::Costs,
    design::{AzureConnection, PinnedCertificate},
    diagram::Diagram,
    guest::{Item, System},
    import::RefusedRow,
    sql::SqlInstance,
};
use serde::{Deserialize, Serialize};

/// An error as people see it. `code` is a closed set, see [`ErrorCode`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct UiError {
    pub code: ErrorCode,
    /// What happened, to what.
    pub title: String,
    /// Why.
    pub detail: String,
    /// Who can fix it, the exact command or click.
    pub hint: String,
    /// The task or thing it is about.
    pub address: Option<String>,
    pub retryable: bool,
    pub correlation_id: Option<String>,
}

/// Errors that a front end treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum ErrorCode {
    /// Bad input; nothing was changed.
    Invalid,
    NotFound,
    /// The project is open in another process.
    OpenElsewhere,
    /// Not a project file, or a damaged one, or of another version.
    ProjectFile,
    Disk,
    /// No keyring, or locked.
    Keyring,
    /// The server's certificate is not trusted yet, or has changed.
    Certificate,
    Unreachable,
    SignIn,
    Refused,
    /// The plan has blocking findings, or has changed since it was approved.
    Plan,
    /// Not possible in the run's present state.
    State,
    /// The person closed the dialog; not shown.
    Cancelled,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct AppInfo {
    pub version: String,
    pub secrets: SecretsInfo,
    /// Where new projects go.
    pub projects_folder: String,
    /// `light`, `dark` or `system`, as set last.
    pub theme: String,
    /// What the program was started for.
    pub start: Start,
}

/// What the window does first, by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "with", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Start {
    /// Shows the projects.
    Home,
    /// Rehearses the sample with these options.
    Rehearse { options: RehearsalOptions },
    /// Opens this project.
    Project { path: String },
}

/// What a person chooses before a rehearsal of the sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RehearsalOptions {
    /// Lab time per real time, 1 to 10,000.
    pub speed: u32,
    pub replication: ReplicationMethod,
    pub database_method: DatabaseMethod,
    /// Where Database Migration Service takes the backups from.
    pub backups: BackupSource,
    /// Rehost takes the backups; otherwise the rehearsal's database administrator does.
    #[serde(default)]
    pub by_rehost: bool,
    /// Two further databases are migrated along.
    #[serde(default)]
    pub several: bool,
    /// Id of the [`FaultScript`] to play; none = nothing goes wrong.
    pub fault: Option<String>,
}

/// Something that goes wrong in a rehearsal, by choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct FaultScript {
    /// `azure-throttled`; also what the command line takes.
    pub id: String,
    pub title: String,
    /// What goes wrong, where and for how long.
    pub happens: String,
    /// What the admin sees, and what to do.
    pub admin: String,
    /// True when Rehost gets over it alone; false when a person removes the cause and tries the task again.
    pub by_itself: bool,
    /// It can be played with this replication method only; none = with each.
    pub replication: Option<ReplicationMethod>,
    /// It can be played with these database methods only; empty = with each.
    pub database_methods: Vec<DatabaseMethod>,
    /// It can be played with backups from there only; none = from each.
    pub backups: Option<BackupSource>,
    /// Where its codes and words are from, and what of it is unverified.
    pub source: String,
}

/// Where secrets are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "kept", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum SecretsInfo {
    /// The keyring is being asked; it is known within 5 seconds.
    Opening,
    Keyring {
        name: String,
    },
    /// No keyring, or a locked one: secrets last until the program ends. Must be visible.
    ThisStartOnly {
        reason: String,
        hint: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ProjectSummary {
    /// The file's path; also the project's handle in every command.
    pub path: String,
    pub name: String,
    pub application: String,
    pub rehearsal: bool,
    /// RFC 3339.
    pub opened: String,
    /// `no run yet`, `running, 41 of 84 tasks`, `done`, `stopped`…; none when the file can't be read.
    pub state: Option<String>,
    pub percent: Option<f64>,
    pub problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ProjectView {
    pub path: String,
    pub id: String,
    pub name: String,
    pub rehearsal: bool,
    pub rehearsal_speed: u32,
    /// Id of the [`FaultScript`] that a rehearsal plays; none = nothing goes wrong.
    pub rehearsal_fault: Option<String>,
    pub connections: ConnectionsView,
    pub design: Design,
    pub inventory: Option<InventorySummary>,
    /// The newest run, if any: its state when the project was opened.
    pub run: Option<RunState>,
    /// The run is being executed by this process now.
    pub live: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct InventorySummary {
    pub vcenter_name: String,
    pub read_at: String,
    pub vms: u32,
}

/// Connections without their secrets; only whether one is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ConnectionsView {
    pub connections: Connections,
    pub vcenter_password_stored: bool,
    pub vcenter_proxy_password_stored: bool,
    /// A client secret, for sign-in with [`plan::design::SignIn::ClientSecret`].
    pub azure_secret_stored: bool,
    pub azure_proxy_password_stored: bool,
    /// Password of [`plan::design::SqlConnection::user`].
    pub sql_password_stored: bool,
    /// Password of [`plan::design::ManagedInstanceDesign::admin_login`], entered or made by Rehost.
    pub managed_password_stored: bool,
    /// Password of [`plan::DmsDesign::sql_user`].
    pub dms_password_stored: bool,
    /// Password of [`plan::DmsDesign::share_user`].
    pub share_password_stored: bool,
    /// The stored client certificate; none when there is none.
    pub azure_certificate: Option<ClientCertificateView>,
    /// Who is signed in by browser or device code; none when nobody is.
    pub azure_account: Option<AccountView>,
}

/// The certificate with which an application signs in. Its private key never crosses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ClientCertificateView {
    pub subject: String,
    /// SHA-1, upper-case hex without colons, as the portal shows it.
    pub thumbprint: String,
    /// RFC 3339. A certificate past it is refused.
    pub not_after: String,
}

/// Who has signed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct AccountView {
    /// `admin@contoso.com`
    pub user: String,
    /// The tenant in which the account signed in.
    pub tenant_id: String,
}

/// Messages of a sign-in. The last one is `SignedIn` or `Failed`. To cancel, end the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum SignInMessage {
    /// The person signs in in the browser. `opened` is false when no browser could be opened: then the person copies
    /// `url` into a browser of this computer.
    Browser {
        url: String,
        opened: bool,
    },
    /// The person opens `url` in any browser, on any computer, and enters `code`.
    DeviceCode {
        url: String,
        code: String,
    },
    /// Once a second while the person is at it.
    Waiting {
        seconds_left: u32,
    },
    SignedIn {
        connections: Box<ConnectionsView>,
    },
    Failed {
        error: UiError,
    },
}

/// A tenant (directory) of the account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TenantView {
    pub id: String,
    pub name: String,
    /// `contoso.com`
    pub domain: String,
    /// Why its subscriptions can't be listed (multi-factor authentication, conditional access, consent…); none = they are.
    pub problem: Option<UiError>,
}

/// A subscription of the account, in any of its tenants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SubscriptionView {
    pub id: String,
    pub name: String,
    pub tenant_id: String,
    /// Azure's word: `Enabled`, `Warned`, `PastDue`, `Disabled`, `Deleted`.
    pub state: String,
    /// Only then can it be chosen.
    pub usable: bool,
    /// Why it can't be chosen, or a warning about one that can; empty = nothing to say.
    pub reason: String,
}

/// What the account sees: all its tenants, and the subscriptions of all of them, the usable ones first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct AccountScope {
    pub tenants: Vec<TenantView>,
    pub subscriptions: Vec<SubscriptionView>,
}

/// A cloud to choose from, with a connection that holds its addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct CloudView {
    pub name: String,
    /// Only `cloud` and the addresses are filled in; of a custom cloud, only `cloud`.
    pub addresses: AzureConnection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum ConnectionKind {
    Vcenter,
    Azure,
    /// The source SQL Server; optional.
    Sql,
    /// The managed instance; needed only for what Rehost moves beside the database, and for the proof.
    Managed,
}

/// Result of the Test button: the steps in order, up to and including the first that failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ConnectionTest {
    pub ok: bool,
    /// What is to be reached is made by the run and isn't there yet: nothing is wrong, and nothing is proved.
    pub not_yet: bool,
    pub steps: Vec<ConnectionStep>,
    /// Present when the person must decide whether to trust the server.
    pub certificate: Option<CertificateView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ConnectionStep {
    /// Which hop on the way to Azure; none for vCenter.
    pub hop: Option<Hop>,
    /// `Reach vcenter.contoso.com:443`, `Check the certificate`, `Sign in`…
    pub title: String,
    pub ok: bool,
    pub detail: String,
    /// What to do when it failed.
    pub hint: String,
}

/// A hop on the way to Azure, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum Hop {
    /// What is entered, and what is in the keyring.
    Settings,
    /// The name of the proxy, or without one that of Azure, is found.
    Dns,
    /// The proxy lets the connection pass.
    Proxy,
    /// The network connection itself, without a proxy.
    Tcp,
    /// The encrypted connection and its certificate.
    Tls,
    /// Azure Resource Manager answers.
    ResourceManager,
    /// Entra gives a token.
    SignIn,
    Subscription,
    Rights,
}

/// The source SQL Server as it was read last, and what stands against moving its databases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlView {
    /// RFC 3339.
    pub read_at: String,
    pub instance: SqlInstance,
    pub databases: Vec<SqlFindings>,
}

/// One database, judged as if the plan moved it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SqlFindings {
    pub database: String,
    pub findings: Vec<Finding>,
}

/// Messages of reading a SQL Server. The last one is `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum SqlMessage {
    /// The instance with its databases, none of them looked into.
    Instance {
        instance: Box<SqlInstance>,
    },
    /// This many databases were looked into.
    Looked {
        databases: u32,
    },
    Done {
        view: Box<SqlView>,
        millis: u32,
    },
    Failed {
        error: UiError,
    },
}

/// Roles and rights in vCenter, as they are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RightsView {
    /// Rehost's own account.
    pub user: String,
    /// Each thing that the plan does in vCenter, in its order.
    pub own: Vec<OwnRights>,
    /// What a vCenter administrator does about what lacks; none when nothing does.
    pub lacking: Option<String>,
    /// Gives Rehost's own account a role of what the plan needs.
    pub own_script: Script,
    /// The appliance's account, and whether vCenter's directory knows it.
    pub principal: String,
    pub principal_known: bool,
    /// What it needs the roles for, and who says so when.
    pub method: String,
    pub source: String,
    pub roles: Vec<RoleView>,
    /// What making and granting them would change, in words; empty: nothing is left to do.
    pub changes: Vec<String>,
    /// What stays undone, why, and who changes that.
    pub obstacles: Vec<String>,
    /// Makes the roles and grants them.
    pub roles_script: Script,
    /// What the account's password must not hold.
    pub password_rule: String,
}

/// What Rehost's own account needs for one task on one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct OwnRights {
    pub step: u8,
    pub step_title: String,
    pub task: Address,
    pub title: String,
    /// `datacenter contoso-datacenter`
    pub on: String,
    /// False when the object does not exist, or the account does not see it.
    pub seen: bool,
    pub privileges: Vec<String>,
    pub missing: Vec<String>,
}

/// A role of the appliance's account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RoleView {
    pub name: String,
    /// Where it is granted, in words.
    pub place: String,
    /// As this version of vSphere has them.
    pub privileges: Vec<String>,
    /// What this version of vSphere does not have.
    pub unknown: Vec<String>,
    pub exists: bool,
    /// What it lacks when it exists.
    pub missing: Vec<String>,
    /// What the account has there itself.
    pub granted: RoleGrant,
    /// What vCenter says that the account lacks there now, its groups and all; none when it does not tell.
    pub lacks: Option<Vec<String>>,
}

/// What the appliance's account has on an object beside the role that it should have there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum RoleGrant {
    No,
    Yes,
    /// Another role that holds as much.
    Covered {
        role: String,
    },
    /// The role, but not for what is below.
    NotPropagated,
    /// Another role that is not enough; none: one that is not listed.
    Other {
        role: Option<String>,
    },
}

/// A script for a vCenter administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum RightsScript {
    /// A role for Rehost's own account.
    Own,
    /// The roles of the appliance's account.
    Roles,
}

/// A line of a machine's history in vCenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct VmEventView {
    pub key: i32,
    /// RFC 3339.
    pub at: String,
    /// `VmPoweredOffEvent`
    pub kind: String,
    /// Empty for what vCenter does by itself.
    pub user: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct CertificateView {
    pub sha256: String,
    pub sha1: String,
    pub subject: String,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
    pub issuer: String,
    pub not_before: String,
    pub not_after: String,
    /// The one that was trusted before, when it has changed. Only `sha256` is filled in where no more was kept of it.
    pub changed_from: Option<PinnedCertificate>,
}

/// Messages of a streamed discovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum InventoryMessage {
    Connected {
        vcenter_name: String,
        api_version: String,
    },
    Page {
        vms: Vec<Vm>,
    },
    /// `changes` against the inventory that was kept before; none when there was none.
    Done {
        vms: u32,
        millis: u32,
        changes: Option<InventoryChanges>,
    },
    Failed {
        error: UiError,
    },
}

/// What importing a file would do. Nothing is kept yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ImportPreview {
    /// The file's name.
    pub file: String,
    /// An export of RVTools; otherwise another table.
    pub rvtools: bool,
    /// Machines that were read.
    pub machines: u32,
    /// The kept inventory is of another vCenter, or empty, and would be replaced.
    pub replaces: bool,
    pub changes: InventoryChanges,
    /// The first rows that can't be read, and how many there are.
    pub refused: Vec<RefusedRow>,
    pub refused_count: u32,
}

/// What the support rules say of one machine, by method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct VmFindings {
    pub moref: String,
    pub methods: Vec<MethodFindings>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct MethodFindings {
    pub method: ReplicationMethod,
    pub findings: Vec<Finding>,
}

/// Readiness of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct GuestView {
    pub moref: String,
    /// None for systems that no script is for.
    pub system: Option<System>,
    /// RFC 3339; none = it was never read.
    pub read_at: Option<String>,
    /// A person has pasted the output.
    pub pasted: bool,
    /// `10.0.14393.0`
    pub version: String,
    /// The script ran with an administrator's rights; none = not known.
    pub admin: Option<bool>,
    /// Name of the guest's account that was used last, or that the keyring remembers.
    pub account: Option<String>,
    /// Its password is known, in the keyring or for this start.
    pub account_ready: bool,
    pub remembered: bool,
    /// Without VMware Tools only a person can run the script.
    pub tools_running: bool,
    /// The script to run by hand; it changes nothing.
    pub script: Option<Script>,
    pub items: Vec<GuestItemView>,
}

/// One row of readiness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct GuestItemView {
    pub item: Item,
    /// Id of the rule that judges it, `guest-rdp`.
    pub rule: String,
    pub state: GuestItemState,
    /// What was read, in words; none when the script could not tell.
    pub found: Option<String>,
    /// A script can put it right.
    pub fixable: bool,
    /// What a person does, instead of a script or after it.
    pub person: Option<GuestPersonView>,
    /// RFC 3339: when Rehost changed it; none = nothing to take back.
    pub undoable_since: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum GuestItemState {
    Right,
    Wrong,
    /// Not read, or the script could not tell.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct GuestPersonView {
    pub who: String,
    pub steps: Vec<String>,
}

/// What a fix would do. Nothing has been changed yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct GuestFixPreview {
    pub item: Item,
    /// Each change in words, with the value before it.
    pub changes: Vec<String>,
    pub script: Script,
    /// The way back, computed from what was read.
    pub undo: Script,
    /// What a person should know or do besides.
    pub notes: Vec<String>,
}

/// Messages while machines are watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum InventoryChange {
    /// Machines that are new or not as they were.
    Upserted { vms: Vec<Vm> },
    /// References of machines that are gone.
    Removed { morefs: Vec<String> },
    /// The connection is lost. It is being taken up again, unless the stream ends: then a person must do something first.
    Lost { error: UiError },
    /// The connection is there again, and what changed meanwhile was told.
    Back,
    /// A sign of life: all is told. At least once a minute while nothing happens.
    Quiet,
}

/// A template that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct TemplateView {
    /// The file's name.
    pub file: String,
    pub template: Template,
    /// A manifest with checksums comes with it.
    pub manifest: bool,
    /// The manifest is signed. The signature isn't verified.
    pub signed: bool,
    pub upload_bytes: u64,
    /// What the datastore needs at least, with thin disks and with thick ones.
    pub thin_bytes: u64,
    pub thick_bytes: u64,
}

/// Messages while a template is read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum ApplianceMessage {
    /// The dialog was closed.
    Closed,
    Read {
        template: Box<TemplateView>,
    },
    /// Bytes of which the checksums were computed.
    Checking {
        done: u64,
        total: u64,
    },
    /// Every file is what the manifest says, or there is no manifest.
    Checked,
    Failed {
        error: UiError,
    },
}

/// The appliance, as far as Rehost deploys it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ApplianceView {
    /// The machine's name in the plan.
    pub name: String,
    /// A run waits for a machine of this name.
    pub name_fixed: bool,
    pub template: Option<TemplateView>,
    /// It was compared with its manifest, if there is one.
    pub checked: bool,
    /// What was deployed, or is being deployed.
    pub deployment: Option<Deployment>,
    pub goes_on: bool,
    /// An earlier deployment ended in its middle; vCenter has to be looked at.
    pub interrupted: bool,
    /// The rehearsal has a template of its own.
    pub sample: bool,
}

/// Where a template can go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct PlacesView {
    pub places: DeploymentPlaces,
    /// Privileges that Rehost's account lacks for it in the plan's datacenter, and what an administrator does about it.
    pub missing: Vec<String>,
    pub lacking: Option<String>,
}

/// What vCenter says of a template and a place, in its own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ImportCheck {
    pub warnings: Vec<String>,
    /// With these it can't be deployed.
    pub errors: Vec<String>,
    pub bytes: u64,
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct DeployState {
    /// The machine's name.
    pub vm: String,
    pub phase: DeployPhase,
    /// The file that is being sent.
    pub file: String,
    pub sent: u64,
    pub total: u64,
    /// Bytes a second, and seconds left; none while there are no samples to compute them from.
    pub rate: Option<u64>,
    pub seconds_left: Option<u64>,
}

impl DeployState {
    pub(crate) fn begun(vm: &str, total: u64) -> Self {
        Self {
            vm: vm.to_owned(),
            phase: DeployPhase::Preparing,
            file: String::new(),
            sent: 0,
            total,
            rate: None,
            seconds_left: None,
        }
    }
}

/// What a deployment is at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum DeployPhase {
    /// vCenter makes the machine.
    Preparing,
    Sending,
    /// vCenter has all files.
    Finishing,
    PoweringOn,
    Done,
    /// A person stopped it, and nothing is left.
    Stopped,
    Failed {
        error: UiError,
    },
}

impl DeployPhase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed { .. })
    }
}

/// A plan with what the window needs to show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct PlanView {
    pub hash: String,
    pub plan: Plan,
    pub diagram: Diagram,
}

/// What a plan costs, by the retail price list: without tax, discounts and reservations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct CostsView {
    pub costs: Costs,
    /// Of all amounts, `USD`.
    pub currency: String,
    /// Those to choose from.
    pub currencies: Vec<String>,
    /// The cloud's name.
    pub cloud: String,
    /// Where the prices are from; none = no price list is known for this cloud.
    pub source: Option<String>,
    /// RFC 3339; none without a price list.
    pub read_at: Option<String>,
}

/// The lab's clock, in a rehearsal, or the computer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct ClockView {
    /// RFC 3339.
    pub now: String,
    /// 1 in a real run.
    pub speed: u32,
}

/// Messages of a run: the snapshot first, then what changed, at most 10 a second for each task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum RunMessage {
    Snapshot {
        plan: PlanView,
        state: RunState,
        clock: ClockView,
    },
    Task {
        #[ts(type = "number")]
        seq: u64,
        task: TaskState,
        clock: ClockView,
    },
    /// Phase or facts changed; `state.tasks` is left empty.
    Run {
        #[ts(type = "number")]
        seq: u64,
        state: RunState,
        clock: ClockView,
    },
}

/// What Azure counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum QuotaKind {
    Reads,
    Writes,
    Deletes,
}

/// What is left of one of Azure's limits on requests. Rehost keeps below them by itself; this is for showing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct QuotaView {
    /// Subscription id; empty for requests about the tenant.
    pub subscription: String,
    pub kind: QuotaKind,
    /// The provider whose own limit this is; null for the resource manager's.
    pub provider: Option<String>,
    /// The documented limit: requests that may be sent at once.
    pub limit: u32,
    /// Requests that may be sent now.
    pub remaining: u32,
    /// Requests that come back in a minute.
    pub per_minute: u32,
    /// Requests that wait in line.
    pub waiting: u32,
    /// RFC 3339, in the run's time: Azure asked for a pause until then.
    pub closed_until: Option<String>,
}

impl From<azure::Quota> for QuotaView {
    fn from(q: azure::Quota) -> Self {
        Self {
            subscription: q.subscription,
            kind: match q.kind {
                azure::limits::Kind::Reads => QuotaKind::Reads,
                azure::limits::Kind::Writes => QuotaKind::Writes,
                azure::limits::Kind::Deletes => QuotaKind::Deletes,
            },
            provider: q.provider,
            limit: q.limit,
            remaining: q.remaining,
            per_minute: q.per_minute,
            waiting: q.waiting,
            closed_until: q.closed_until.map(|t| t.to_string()),
        }
    }
}

/// A saved file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct SavedReport {
    pub html: String,
    pub json: String,
}

/// What closing the window would mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct CloseQuestion {
    /// True when a run is live.
    pub ask: bool,
    /// What goes on in Azure and vCenter without us, as sentences.
    pub goes_on: Vec<String>,
}

/// What a machine shows on its console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Screenshot {
    pub vm: String,
    /// A `data:` address.
    pub data_url: String,
}

/// A person's script with its secrets filled in; shown or copied on request only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct FilledScript {
    pub address: Address,
    pub language: String,
    pub text: String,
}
