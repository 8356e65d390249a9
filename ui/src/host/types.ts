// The seam between the window and whatever executes its commands: Tauri, the development harness, or recorded data.
// Nothing outside src/host knows which of them it talks to.
import type { AroundDesign } from "./gen/AroundDesign";
import type { BackupDesign } from "./gen/BackupDesign";
import type { AroundObject } from "./gen/AroundObject";
import type { AccountScope } from "./gen/AccountScope";
import type { AppInfo } from "./gen/AppInfo";
import type { ApplianceMessage } from "./gen/ApplianceMessage";
import type { ApplianceView } from "./gen/ApplianceView";
import type { DeployState } from "./gen/DeployState";
import type { ImportCheck } from "./gen/ImportCheck";
import type { Placement } from "./gen/Placement";
import type { PlacesView } from "./gen/PlacesView";
import type { AzureConnection } from "./gen/AzureConnection";
import type { CloseQuestion } from "./gen/CloseQuestion";
import type { CloudView } from "./gen/CloudView";
import type { ConnectionKind } from "./gen/ConnectionKind";
import type { Connections } from "./gen/Connections";
import type { ConnectionsView } from "./gen/ConnectionsView";
import type { ConnectionTest } from "./gen/ConnectionTest";
import type { CostsView } from "./gen/CostsView";
import type { Exchange } from "./gen/Exchange";
import type { DatabaseMethod } from "./gen/DatabaseMethod";
import type { DmsDesign } from "./gen/DmsDesign";
import type { FaultScript } from "./gen/FaultScript";
import type { FilledScript } from "./gen/FilledScript";
import type { ImportPreview } from "./gen/ImportPreview";
import type { GuestFixPreview } from "./gen/GuestFixPreview";
import type { GuestItem } from "./gen/GuestItem";
import type { GuestView } from "./gen/GuestView";
import type { Inventory } from "./gen/Inventory";
import type { InventoryChange } from "./gen/InventoryChange";
import type { InventoryMessage } from "./gen/InventoryMessage";
import type { PlanView } from "./gen/PlanView";
import type { ProjectSummary } from "./gen/ProjectSummary";
import type { ProjectView } from "./gen/ProjectView";
import type { ProveDesign } from "./gen/ProveDesign";
import type { QuotaView } from "./gen/QuotaView";
import type { RehearsalOptions } from "./gen/RehearsalOptions";
import type { ReplicationMethod } from "./gen/ReplicationMethod";
import type { RightsScript } from "./gen/RightsScript";
import type { RightsView } from "./gen/RightsView";
import type { RunMessage } from "./gen/RunMessage";
import type { RunState } from "./gen/RunState";
import type { SavedReport } from "./gen/SavedReport";
import type { Screenshot } from "./gen/Screenshot";
import type { SignInMessage } from "./gen/SignInMessage";
import type { SqlMessage } from "./gen/SqlMessage";
import type { SqlView } from "./gen/SqlView";
import type { UiError } from "./gen/UiError";
import type { Vm } from "./gen/Vm";
import type { VmEventView } from "./gen/VmEventView";
import type { VmFindings } from "./gen/VmFindings";

type InProject = { project: string };
type OfMachine = InProject & { moref: string };
type OfTask = InProject & { address: string };
type Nothing = Record<string, never>;

/** Every command with its arguments and its answer, as `api` declares them. */
export type Commands = {
  app_info: [Nothing, AppInfo];
  set_theme: [{ theme: string }, null];
  projects_list: [Nothing, ProjectSummary[]];
  project_new: [{ name: string }, ProjectView];
  project_open: [{ path: string | null }, ProjectView];
  project_forget: [{ path: string }, null];
  project_get: [InProject, ProjectView];
  project_close: [InProject, null];
  fault_scripts: [Nothing, FaultScript[]];
  rehearse_sample: [{ options: RehearsalOptions }, ProjectView];
  methods_set: [InProject & { replication: ReplicationMethod; databaseMethod: DatabaseMethod }, ProjectView];
  dms_save: [InProject & { dms: DmsDesign; sqlPassword: string | null; sharePassword: string | null }, ProjectView];
  around_look: [InProject & { around: AroundDesign }, AroundObject[]];
  application_save: [
    InProject & { webConfig: string; connectionStringName: string; siteText: string; byPerson: boolean },
    ProjectView,
  ];
  databases_save: [InProject & { further: string[] }, ProjectView];
  backups_save: [InProject & { backups: BackupDesign | null }, ProjectView];
  around_save: [
    InProject & { around: AroundDesign | null; prove: ProveDesign | null; certificate: boolean },
    ProjectView,
  ];
  connection_save: [
    InProject & {
      kind: ConnectionKind;
      connections: Connections;
      secret: string | null;
      proxyPassword?: string | null;
    },
    ConnectionsView,
  ];
  connection_test: [InProject & { kind: ConnectionKind }, ConnectionTest];
  vcenter_rights: [InProject, RightsView];
  /** Does exactly what `changes` of the view said, and looks again. */
  vcenter_roles_apply: [InProject & { changes: string[] }, RightsView];
  /** Asks where it goes; null when the dialog was closed. */
  vcenter_script_save: [InProject & { script: RightsScript }, string | null];
  certificate_trust: [InProject & { kind: ConnectionKind; sha256: string }, ConnectionsView];
  clouds_list: [Nothing, CloudView[]];
  /** Fills the empty addresses of a custom cloud from what its resource manager says; saves nothing. */
  cloud_read: [InProject & { connection: AzureConnection }, AzureConnection];
  /** Asks for a PEM or PFX file; null when the dialog was closed. */
  client_certificate_choose: [InProject & { password: string | null }, ConnectionsView | null];
  /** Opens the page of the sign-in that goes on once more. */
  sign_in_page: [InProject, null];
  sign_out: [InProject, ConnectionsView];
  account_scope: [InProject, AccountScope];
  inventory_get: [InProject, Inventory | null];
  /** Reads these machines whole. */
  inventory_details: [InProject & { morefs: string[] }, Vm[]];
  /** The last lines of a machine's history in vCenter, the newest first. */
  vm_events: [OfMachine, VmEventView[]];
  /** Judges machines of the kept inventory by both methods. */
  inventory_findings: [InProject & { morefs: string[] }, VmFindings[]];
  /** What is known of readiness inside a machine. */
  guest_get: [OfMachine, GuestView];
  /** Reads it by way of vCenter; user and password null = as known. */
  guest_check: [OfMachine & { user: string | null; password: string | null; remember: boolean }, GuestView];
  guest_fix_preview: [OfMachine & { item: GuestItem }, GuestFixPreview];
  guest_fix: [OfMachine & { item: GuestItem }, GuestView];
  guest_undo: [OfMachine & { item: GuestItem }, GuestView];
  /** Takes what the script printed to the person who ran it. */
  guest_paste: [OfMachine & { output: string }, GuestView];
  /** Asks for a file and tells what it would change; null when the dialog was closed. */
  inventory_import_preview: [InProject, ImportPreview | null];
  /** Keeps what the last preview showed. */
  inventory_import: [InProject, null];
  /** What was read of the source SQL Server last; null when nothing was. */
  sql_get: [InProject, SqlView | null];
  appliance_get: [InProject, ApplianceView];
  /** Where the chosen template can go, and what Rehost's account lacks for it. */
  appliance_places: [InProject, PlacesView];
  /** Asks vCenter what it would make of it; changes nothing. */
  appliance_check: [InProject & { placement: Placement; secrets: Record<string, string> }, ImportCheck];
  /** Begins; `appliance_progress` tells the rest. */
  appliance_deploy: [InProject & { placement: Placement; secrets: Record<string, string>; powerOn: boolean }, null];
  /** Stops the deployment and answers when nothing of it is left. */
  appliance_abort: [InProject, ApplianceView];
  /** Adopts or removes what an interrupted deployment has left. */
  appliance_settle: [InProject, ApplianceView];
  appliance_power_on: [InProject, ApplianceView];
  plan_get: [InProject, PlanView];
  /** Reads the price list. A currency is remembered; null = as remembered. */
  plan_costs: [InProject & { currency: string | null }, CostsView];
  run_start: [InProject & { planHash: string }, RunState];
  run_pause: [InProject, null];
  run_continue: [InProject, null];
  run_cancel: [InProject, null];
  run_resume: [InProject, null];
  task_retry: [OfTask, null];
  gate_decide: [OfTask & { accept: boolean; note: string }, null];
  task_exchanges: [OfTask, Exchange[]];
  task_script: [OfTask, FilledScript];
  /** What the machine shows whose start this task looks at. */
  vm_screenshot: [OfTask, Screenshot];
  azure_quota: [InProject, QuotaView[]];
  set_speed: [InProject & { speed: number }, null];
  report_save: [InProject, SavedReport | null];
  close_question: [Nothing, CloseQuestion];
  close_window: [Nothing, null];
};

/** Commands that answer with a stream of messages. */
export type Streams = {
  /** Asks for a template, or takes the rehearsal's, reads it and compares it with its manifest. */
  appliance_read: [InProject & { sample: boolean }, ApplianceMessage];
  /** As the deployment is now, then each change, until its end. */
  appliance_progress: [InProject, DeployState];
  inventory_read: [InProject, InventoryMessage];
  /** Reads instance and databases of the source SQL Server, and keeps them. */
  sql_read: [InProject, SqlMessage];
  /** Tells how machines change, beginning with what has changed since they were read. */
  inventory_watch: [InProject, InventoryChange];
  /** Signs in as the saved connection says. Ending the stream cancels it. */
  sign_in: [InProject, SignInMessage];
  run_subscribe: [InProject, RunMessage];
};

export type Command = keyof Commands;
export type StreamName = keyof Streams;

export interface Host {
  /** Runs a command. Rejects with a `UiError` and with nothing else. */
  call<C extends Command>(command: C, args: Commands[C][0]): Promise<Commands[C][1]>;
  /** Starts a stream and returns a function that ends it. `onEnd` gets the error when the stream breaks. */
  stream<S extends StreamName>(
    stream: S,
    args: Streams[S][0],
    onMessage: (message: Streams[S][1]) => void,
    onEnd?: (error: UiError) => void,
  ): () => void;
  /** Calls back when the person closes the window while a run goes on. */
  onCloseAsked(listener: (question: CloseQuestion) => void): () => void;
}

/** Turns anything thrown into a `UiError`; what is not one already is a fault of ours. */
export function toUiError(thrown: unknown): UiError {
  if (typeof thrown === "object" && thrown !== null && "code" in thrown && "title" in thrown) return thrown as UiError;
  return {
    code: "internal",
    title: "Rehost could not finish this.",
    detail: thrown instanceof Error ? thrown.message : String(thrown),
    hint: "Try again. If it happens again, restart Rehost; the project file is safe.",
    address: null,
    retryable: true,
    correlationId: null,
  };
}
