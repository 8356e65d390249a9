// The one list of everything a front end may ask for. The router, the window's permissions and the build script are
// all made from it, so that no second list can drift. The build script `include!`s this file: keep it free of `use`.
//
// `command`: one answer. `stream`: messages until the work ends or the front end goes away.
// Every name is a function of this crate; arguments travel as camelCase JSON.
#[doc(hidden)]
#[macro_export]
macro_rules! commands {
    ($then:ident) => {
        $then! {
            command app_info() -> AppInfo;
            command set_theme(theme: String) -> ();
            command projects_list() -> Vec<ProjectSummary>;
            command project_new(name: String) -> ProjectView;
            command project_open(path: Option<String>) -> ProjectView;
            command project_forget(path: String) -> ();
            command project_get(project: String) -> ProjectView;
            command project_close(project: String) -> ();
            command fault_scripts() -> Vec<FaultScript>;
            command rehearse_sample(options: RehearsalOptions) -> ProjectView;
            command methods_set(project: String, replication: ReplicationMethod, database_method: DatabaseMethod) -> ProjectView;
            command dms_save(project: String, dms: DmsDesign, sql_password: Option<Typed>, share_password: Option<Typed>) -> ProjectView;
            command application_save(project: String, web_config: String, connection_string_name: String, site_text: String, by_person: bool) -> ProjectView;
            command databases_save(project: String, further: Vec<String>) -> ProjectView;
            command backups_save(project: String, backups: Option<BackupDesign>) -> ProjectView;
            command around_save(project: String, around: Option<AroundDesign>, prove: Option<ProveDesign>, certificate: bool) -> ProjectView;
            command around_look(project: String, around: AroundDesign) -> Vec<AroundObject>;
            command connection_save(project: String, kind: ConnectionKind, connections: Connections, secret: Option<Typed>, proxy_password: Option<Typed>) -> ConnectionsView;
            command connection_test(project: String, kind: ConnectionKind) -> ConnectionTest;
            command vcenter_rights(project: String) -> RightsView;
            command vcenter_roles_apply(project: String, changes: Vec<String>) -> RightsView;
            command vcenter_script_save(project: String, script: RightsScript) -> Option<String>;
            command certificate_trust(project: String, kind: ConnectionKind, sha256: String) -> ConnectionsView;
            command clouds_list() -> Vec<CloudView>;
            command cloud_read(project: String, connection: AzureConnection) -> AzureConnection;
            command client_certificate_choose(project: String, password: Option<Typed>) -> Option<ConnectionsView>;
            stream sign_in(project: String) -> SignInMessage;
            command sign_in_page(project: String) -> ();
            command sign_out(project: String) -> ConnectionsView;
            command account_scope(project: String) -> AccountScope;
            command inventory_get(project: String) -> Option<Inventory>;
            command vm_events(project: String, moref: String) -> Vec<VmEventView>;
            stream inventory_read(project: String) -> InventoryMessage;
            command inventory_details(project: String, morefs: Vec<String>) -> Vec<Vm>;
            stream inventory_watch(project: String) -> InventoryChange;
            command inventory_findings(project: String, morefs: Vec<String>) -> Vec<VmFindings>;
            command guest_get(project: String, moref: String) -> GuestView;
            command guest_check(project: String, moref: String, user: Option<String>, password: Option<Typed>, remember: bool) -> GuestView;
            command guest_fix_preview(project: String, moref: String, item: Item) -> GuestFixPreview;
            command guest_fix(project: String, moref: String, item: Item) -> GuestView;
            command guest_undo(project: String, moref: String, item: Item) -> GuestView;
            command guest_paste(project: String, moref: String, output: String) -> GuestView;
            command inventory_import_preview(project: String) -> Option<ImportPreview>;
            command inventory_import(project: String) -> ();
            command appliance_get(project: String) -> ApplianceView;
            stream appliance_read(project: String, sample: bool) -> ApplianceMessage;
            command appliance_places(project: String) -> PlacesView;
            command appliance_check(project: String, placement: Placement, secrets: BTreeMap<String, Typed>) -> ImportCheck;
            command appliance_deploy(project: String, placement: Placement, secrets: BTreeMap<String, Typed>, power_on: bool) -> ();
            stream appliance_progress(project: String) -> DeployState;
            command appliance_abort(project: String) -> ApplianceView;
            command appliance_settle(project: String) -> ApplianceView;
            command appliance_power_on(project: String) -> ApplianceView;
            command sql_get(project: String) -> Option<SqlView>;
            stream sql_read(project: String) -> SqlMessage;
            command plan_get(project: String) -> PlanView;
            command plan_costs(project: String, currency: Option<String>) -> CostsView;
            command run_start(project: String, plan_hash: String) -> RunState;
            command run_resume(project: String) -> RunState;
            stream run_subscribe(project: String) -> RunMessage;
            command run_pause(project: String) -> ();
            command run_continue(project: String) -> ();
            command run_cancel(project: String) -> ();
            command task_retry(project: String, address: Address) -> ();
            command gate_decide(project: String, address: Address, accept: bool, note: String) -> ();
            command task_exchanges(project: String, address: Address) -> Vec<Exchange>;
            command task_script(project: String, address: Address) -> FilledScript;
            command vm_screenshot(project: String, address: Address) -> Screenshot;
            command azure_quota(project: String) -> Vec<QuotaView>;
            command set_speed(project: String, speed: u32) -> ();
            command report_save(project: String) -> Option<SavedReport>;
            command close_question() -> CloseQuestion;
            command close_window() -> ();
        }
    };
}
