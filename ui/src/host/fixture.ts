// Recorded data in place of a backend, for looking at every screen while designing it (`npm run fixture`). It is left
// out of every other build. A small simulation moves the SmartHotel plan's tasks by their usual durations.
// In the address: ?at=start|middle|gate|person|failed|paused|done, &secrets=memory, &empty, &close, &quota=low|closed,
// &real (no rehearsal), &dms, and those of fixture-appliance.ts, fixture-connections.ts, fixture-costs.ts, fixture-guest.ts,
// fixture-inventory.ts and fixture-rights.ts.
import { applianceHandlers, deployment, readTemplate } from "./fixture-appliance";
import { connectionHandlers, connections, signIn } from "./fixture-connections";
import { planCosts } from "./fixture-costs";
import { withDms } from "./fixture-dms";
import { guestHandlers } from "./fixture-guest";
import { inventoryHandlers, readInventory, summary, watchInventory } from "./fixture-inventory";
import { rightsHandlers } from "./fixture-rights";
import { readSql, sqlHandlers } from "./fixture-sql";
import sample from "./gen/sample.json";
import type { ApplianceMessage } from "./gen/ApplianceMessage";
import type { DeployState } from "./gen/DeployState";
import type { Design } from "./gen/Design";
import type { Exchange } from "./gen/Exchange";
import type { FaultScript } from "./gen/FaultScript";
import type { Failure } from "./gen/Failure";
import type { Finding } from "./gen/Finding";
import type { InventoryChange } from "./gen/InventoryChange";
import type { InventoryMessage } from "./gen/InventoryMessage";
import type { PlanView } from "./gen/PlanView";
import type { ProjectView } from "./gen/ProjectView";
import type { QuotaView } from "./gen/QuotaView";
import type { RunMessage } from "./gen/RunMessage";
import type { RunPhase } from "./gen/RunPhase";
import type { SignInMessage } from "./gen/SignInMessage";
import type { RunState } from "./gen/RunState";
import type { SqlMessage } from "./gen/SqlMessage";
import type { Task } from "./gen/Task";
import type { TaskState } from "./gen/TaskState";
import type { Commands, Host, Streams } from "./types";

// Made up: the sample itself has none.
/** A drawing in the place of a machine's screen. */
const SCREEN =
  "data:image/svg+xml," +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><rect width="640" height="480" fill="#104b8a"/><circle cx="320" cy="180" r="62" fill="#aec2d8"/><rect x="210" y="290" width="220" height="32" fill="#fff"/></svg>',
  );

const findings: Finding[] = [
  {
    rule: "sql-version",
    severity: "warning",
    about: "SQLVM",
    title: "SQLVM runs SQL Server 2016, whose extended support has ended",
    detail:
      "SQL Server 2016 left extended support on 14 July 2026. The managed instance takes its backups, but no fix will come for the source.",
    who: "Database administrator",
    command: "",
    source: "Microsoft Lifecycle, SQL Server 2016, read 2026-11",
  },
  {
    rule: "server-version",
    severity: "information",
    about: "step-4/check-vm/WEBVM",
    title: "WEBVM runs Windows Server 2016",
    detail:
      "Extended support ends on 12 January 2027. Replication supports it; plan an in-place upgrade after the migration.",
    who: "",
    command: "",
    source: "Microsoft Lifecycle, Windows Server 2016, read 2026-11",
  },
];
const { design: sampled, ...found } = sample;
const view = { ...found, plan: { ...found.plan, findings } } as unknown as PlanView;
const design = sampled as unknown as Design;
const planView = (): PlanView =>
  design.databaseMethod === "LogReplay" ? view : { ...view, diagram: withDms(view.diagram) };
const tasks: Task[] = view.plan.steps.flatMap((step) => step.tasks);
const query = new URLSearchParams(location.search);
const at = query.get("at") ?? "gate";
if (query.get("dms") !== null) design.databaseMethod = "DmsOnline";
const START = Date.parse("2026-11-21T19:00:00Z");
const PATH = "/home/admin/Documents/Rehost/SmartHotel.rehost";
const iso = (ms: number) => new Date(ms).toISOString();

const decided = new Map<string, { at: number; accepted: boolean; note: string }>();
const FAILED = "step-5/protect/WEBVM";
let phase: RunPhase = "running";
let retried = false;

/** Start and end of each task in milliseconds; a gate that nobody has decided ends never. */
function simulate(): Map<string, { from: number; to: number }> {
  const out = new Map<string, { from: number; to: number }>();
  const visit = (task: Task): { from: number; to: number } => {
    const known = out.get(task.address);
    if (known) return known;
    const from = Math.max(
      START,
      ...task.after.map((a) => {
        const before = tasks.find((t) => t.address === a);
        return before ? visit(before).to : START;
      }),
    );
    let to = from + Math.max(1, task.duration.p50) * 1000;
    if (task.action.do === "gate") to = decided.get(task.address)?.at ?? Infinity;
    if (task.address === FAILED && at === "failed" && !retried) to = Infinity;
    const span = { from, to };
    out.set(task.address, span);
    return span;
  };
  tasks.forEach(visit);
  return out;
}

const WORDS: Record<string, [string, string]> = {
  put: ["Azure is creating it", "The resource matches the plan; provisioning state Succeeded"],
  post: ["The Site Recovery job is in progress", "Job succeeded, all its tasks completed"],
  followLogReplay: ["Restoring SmartHotelDB_full.bak, file 1 of 7", "5 log backups restored, chain unbroken"],
  check: ["Replicating, 31 of 42 GB", "Looked at, as expected"],
  checkBlobs: ["Waiting for the backup in smarthotel-backup", "SmartHotelDB_full.bak has arrived, 41.8 GB"],
  issueSas: ["Proving the SAS", "SAS checked: exactly read and list. It expires 2026-11-29T08:00:00Z."],
  find: ["Looking every minute", "Found, and it is healthy"],
  runCommand: ["The command runs in WEBVM", "The script printed http=200"],
};

const failure: Failure = {
  class: { is: "permanent" },
  code: "95265",
  title: "The Mobility service could not be installed on WEBVM.",
  detail: "The process server could not connect to WEBVM with the account svc-mobility: access was denied (0x5).",
  hint: "On WEBVM, add CONTOSO\\svc-mobility to the local Administrators group, then choose Retry. Who: Windows administrator.",
  correlationId: "8f1c2f4e-77d0-4b6a-9a3e-5a0a61a3c2b4",
};

function stateAt(now: number): TaskState[] {
  const spans = simulate();
  return tasks.map((task) => {
    const { from, to } = spans.get(task.address) ?? { from: Infinity, to: Infinity };
    const words = WORDS[task.action.do] ?? ["Working", "Looked at, as expected"];
    const state: TaskState = {
      address: task.address,
      status: "blocked",
      blockedBy: [],
      overdue: false,
      attempts: 0,
      started: null,
      ended: null,
      percent: null,
      text: "",
      lastSign: null,
      retryAt: null,
      failure: null,
      evidence: [],
      reason: null,
      decision: null,
      inFlight: null,
      created: [],
    };
    if (from > now) {
      if (at === "failed" && !retried && dependsOn(task, FAILED)) state.blockedBy = [FAILED];
      return state;
    }
    state.started = iso(from);
    state.attempts = 1;
    if (task.action.do === "notNeeded") {
      return { ...state, status: "skipped", ended: iso(from), reason: task.action.reason };
    }
    const decision = decided.get(task.address);
    if (decision)
      state.decision = { at: iso(decision.at), accepted: decision.accepted, by: "anna", note: decision.note };
    if (to <= now) {
      const adopted = task.address.startsWith("step-1/group/ContosoNetworkingRG");
      return {
        ...state,
        status: adopted ? "adopted" : "done",
        ended: iso(to),
        percent: 100,
        lastSign: iso(to),
        evidence: task.action.do === "gate" ? [] : [{ at: iso(to), text: words[1] }],
      };
    }
    if (task.action.do === "gate") return { ...state, status: "needsPerson", text: task.action.question };
    if (task.address === FAILED && at === "failed" && !retried) {
      return now > from + 400_000
        ? { ...state, status: "failed", failure, attempts: 2, ended: iso(from + 400_000) }
        : { ...state, status: "running", text: words[0] };
    }
    if (task.actor.who === "person") return { ...state, status: "needsPerson", text: "", lastSign: iso(now - 12_000) };
    const long = task.duration.p50 > 20;
    return {
      ...state,
      status: long ? "waiting" : "running",
      text: words[0],
      percent: long ? Math.floor(((now - from) / (to - from)) * 1000) / 10 : null,
      lastSign: iso(now - 8_000),
      inFlight: long && task.action.do !== "check" ? { intentAt: iso(from), handle: {} } : null,
      evidence: long ? [{ at: iso(from + 4_000), text: "Accepted by Azure, operation 7c0f…d2" }] : [],
    };
  });
}

function dependsOn(task: Task, address: string, seen = new Set<string>()): boolean {
  return task.after.some((a) => {
    if (a === address) return true;
    if (seen.has(a)) return false;
    seen.add(a);
    const before = tasks.find((t) => t.address === a);
    return before ? dependsOn(before, address, seen) : false;
  });
}

const spanOf = (address: string) => simulate().get(address)?.from ?? START;

/** Where the recording stands: the time of the run, with the decisions that led there. */
function moment(): number {
  switch (at) {
    case "start":
      return START + 150_000;
    case "person":
      return spanOf("step-5/person/deploy-appliance") + 300_000;
    case "middle":
      return spanOf("step-6/restore/full") + 1_000_000;
    case "failed":
      return spanOf("step-5/protect/WEBVM") + 900_000;
    case "done": {
      for (;;) {
        const spans = simulate();
        const gate = tasks.find((t) => t.action.do === "gate" && !decided.has(t.address));
        if (!gate) return Math.max(...[...spans.values()].map((s) => s.to)) + 1000;
        decided.set(gate.address, {
          at: (spans.get(gate.address)?.from ?? START) + 420_000,
          accepted: true,
          note: gate.address.includes("test") ? "CHG-20418, checked with K. Meyer: sign-in works." : "",
        });
      }
    }
    default:
      return spanOf("step-7/gate/test") + 240_000;
  }
}

let now = moment();
let speed = 500;
let fault: string | null = null;
if (at === "done") phase = "done";
if (at === "paused") phase = "paused";

const run = (): RunState => ({
  run: "0199a1c2-3f77-7c31-8d11-0d2f6a1b9e55",
  planHash: view.hash,
  rehearsal: true,
  by: "anna",
  host: "ADMIN-07",
  phase,
  started: iso(START),
  ended: phase === "done" ? iso(now) : null,
  tasks: stateAt(now),
  facts: { "sas.restore": { permissions: "rl", start: iso(START), expiry: "2026-11-29T08:00:00Z" } },
  seq: 400,
});

const hasRun = query.get("empty") === null;
const project = (): ProjectView => ({
  path: PATH,
  id: "0199a1c2",
  name: "SmartHotel",
  rehearsal: query.get("real") === null,
  rehearsalSpeed: speed,
  rehearsalFault: fault,
  connections,
  design,
  inventory: summary,
  run: hasRun ? run() : null,
  live: hasRun && phase !== "done",
});

const exchange = (task: Task, i: number): Exchange => ({
  at: iso(START + i * 4000),
  system: "azure",
  method: i === 1 ? "PUT" : "GET",
  url: `https://management.azure.com${"id" in task.action ? task.action.id : "/subscriptions"}?api-version=2024-05-01`,
  status: i === 0 ? 404 : i === 1 ? 201 : 200,
  millis: 84 + i * 13,
  requestHeaders: ["accept: application/json", "x-ms-client-request-id: 6a2f7d0e-1111-4c3a-9df1-6f1f3a6b0c77"],
  requestBody:
    i === 1 ? '{"location":"eastus2","properties":{"addressSpace":{"addressPrefixes":["10.235.0.0/24"]}}}' : null,
  responseHeaders: [
    "retry-after: 10",
    "azure-asyncoperation: https://management.azure.com/subscriptions/5f3b6c0e/providers/Microsoft.Network/locations/eastus2/operations/7c0f41d2",
  ],
  responseBody:
    i === 0
      ? '{"error":{"code":"ResourceNotFound","message":"The resource was not found."}}'
      : '{"properties":{"provisioningState":"Succeeded"}}',
  error: null,
  correlationId: "1b7f6d3c-52c1-4f6e-a1d8-3f0a7a8cfe21",
});

const script = (id: string, title: string, happens: string, admin: string, more: Partial<FaultScript> = {}) => ({
  id,
  title,
  happens,
  admin,
  byItself: true,
  replication: null,
  databaseMethods: [],
  backups: null,
  source: "Made up for the window without a program.",
  ...more,
});
const faultScripts: FaultScript[] = [
  script(
    "azure-throttled",
    "Azure throttles the subscription",
    "Five times a request that changes something is refused with 429 for a minute, as if other programs used up the subscription's requests.",
    "Nothing. The task says when Rehost asks again.",
  ),
  script(
    "lost-answers",
    "Azure accepts, and the answer is lost",
    "Twice the gateway answers 504 although the request was carried out, then twice the connection breaks after it.",
    "Nothing. Rehost looks before it asks again, and adopts what is there.",
  ),
  script(
    "token-expires",
    "The sign-in expires during the night",
    "Entra refuses the refresh token after nine hours.",
    "Sign in again at Connect; the run goes on by itself.",
    { byItself: false },
  ),
  script(
    "quota",
    "No quota for the managed instance",
    "The subscription has no vCores left in East US 2.",
    "Ask for quota in the portal, then try the task again.",
    { byItself: false },
  ),
  script(
    "appliance-down",
    "The replication appliance is down",
    "The appliance sends no heartbeat for 40 minutes while WEBVM replicates.",
    "Restart the appliance's VM; replication goes on where it was.",
    { byItself: false, replication: "InMageRcm" },
  ),
  script(
    "snapshot-fails",
    "vSphere can't take a snapshot of WEBVM",
    "Two delta cycles fail because the datastore is full.",
    "Free space on the datastore; the next cycle is taken by itself.",
    { byItself: false, replication: "VMwareCbt" },
  ),
  script(
    "restore-blocked",
    "A backup file can't be restored",
    "The third log backup is damaged; the restore waits for a good one.",
    "Take the log backup again with CHECKSUM, then try the task again.",
    { byItself: false, databaseMethods: ["LogReplay"] },
  ),
  script(
    "runtime-offline",
    "The integration runtime goes offline",
    "The self-hosted integration runtime can't reach the share for ten minutes.",
    "Nothing. DMS goes on uploading when it is back.",
    { databaseMethods: ["DmsOffline", "DmsOnline"], backups: "Share" },
  ),
];

const quota = (
  kind: QuotaView["kind"],
  provider: string | null,
  limit: number,
  remaining: number,
  perMinute: number,
): QuotaView => ({
  subscription: connections.connections.azure.subscriptionId,
  kind,
  provider,
  limit,
  remaining,
  perMinute,
  waiting: 0,
  closedUntil: null,
});

const listeners = new Set<(message: RunMessage) => void>();
const clock = () => ({ now: iso(now), speed });
const tellPhase = () =>
  listeners.forEach((l) => l({ type: "run", seq: 500, state: { ...run(), tasks: [] }, clock: clock() }));

function tell(): void {
  for (const task of stateAt(now)) listeners.forEach((l) => l({ type: "task", seq: 501, task, clock: clock() }));
}

const later = <T>(value: T, ms = 60): Promise<T> =>
  new Promise((done) => setTimeout(() => done(structuredClone(value)), ms));

type Handlers = { [C in keyof Commands]: (args: Commands[C][0]) => Commands[C][1] };
const handlers: Handlers = {
  app_info: () => ({
    version: "0.1.0",
    secrets:
      query.get("secrets") === "memory"
        ? {
            kept: "thisStartOnly",
            reason: "No keyring answers on this computer.",
            hint: "Install and unlock a keyring such as gnome-keyring, then start Rehost again.",
          }
        : { kept: "keyring", name: "Secret Service" },
    projectsFolder: "/home/admin/Documents/Rehost",
    theme: query.get("theme") ?? "light",
    start: { with: "home" },
  }),
  set_theme: () => null,
  projects_list: () =>
    query.get("empty") !== null
      ? []
      : [
          {
            path: PATH,
            name: "SmartHotel",
            application: "SmartHotel",
            rehearsal: true,
            opened: iso(START + 13_000_000),
            state: "running, 76 of 112 tasks",
            percent: 67.8,
            problem: null,
          },
          {
            path: "/home/admin/Documents/Rehost/osTicket.rehost",
            name: "osTicket",
            application: "osTicket",
            rehearsal: false,
            opened: "2026-11-19T09:12:00Z",
            state: "no run yet",
            percent: null,
            problem: null,
          },
          {
            path: "/home/admin/Documents/Rehost/SmartHotel rehearsal 2.rehost",
            name: "SmartHotel rehearsal 2",
            application: "SmartHotel",
            rehearsal: true,
            opened: "2026-11-17T16:40:00Z",
            state: "done, 112 of 112 tasks",
            percent: 100,
            problem: null,
          },
          {
            path: "/mnt/share/migrations/Payroll.rehost",
            name: "Payroll",
            application: "",
            rehearsal: false,
            opened: "2026-11-12T08:03:00Z",
            state: null,
            percent: null,
            problem: "The file is cut off: 4,096 of 28,672 bytes are there. Copy it again from where it came.",
          },
        ],
  project_new: project,
  project_open: project,
  project_forget: () => null,
  project_get: project,
  project_close: () => null,
  fault_scripts: () => faultScripts,
  rehearse_sample: ({ options }) => {
    speed = options.speed;
    fault = options.fault;
    design.replication = options.replication;
    design.databaseMethod = options.databaseMethod;
    design.dms.source = options.backups;
    design.furtherDatabases = options.several ? ["SmartHotelReports", "SmartHotel Archive"] : [];
    design.backups = options.byRehost ? { files: 1, differential: false, folder: "", sourceAfter: "restoring" } : null;
    return project();
  },
  methods_set: ({ replication, databaseMethod }) => {
    design.replication = replication;
    design.databaseMethod = databaseMethod;
    return project();
  },
  dms_save: ({ dms, sqlPassword, sharePassword }) => {
    design.dms = dms;
    connections.dmsPasswordStored ||= !!sqlPassword;
    connections.sharePasswordStored ||= !!sharePassword;
    return project();
  },
  around_look: ({ around }) =>
    [
      ["logins", "smarthotel", "CREATE LOGIN [smarthotel] WITH PASSWORD = 0x… HASHED, SID = 0x4F1A", null] as const,
      ["jobs", "Nightly full backup", "", "Its step says TO DISK: a managed instance has no disk of its own."] as const,
    ].map(([kind, name, statement, whyNot]) => ({
      id: `${kind}/${name}`,
      kind,
      name,
      chosen: around.kinds.includes(kind) && !around.leaveOut.includes(`${kind}/${name}`),
      there: false,
      statement,
      whyNot,
      remarks: [],
    })),
  application_save: ({ webConfig, connectionStringName, siteText, byPerson }) => {
    Object.assign(design, { webConfig, connectionStringName, siteText, switchedByPerson: byPerson });
    return project();
  },
  databases_save: ({ further }) => {
    design.furtherDatabases = further;
    return project();
  },
  backups_save: ({ backups }) => {
    design.backups = backups;
    return project();
  },
  around_save: ({ around, prove, certificate }) => {
    design.certificate = certificate;
    design.around = around;
    design.prove = prove;
    return project();
  },
  ...connectionHandlers,
  ...inventoryHandlers,
  ...guestHandlers,
  ...sqlHandlers,
  ...applianceHandlers,
  ...rightsHandlers,
  plan_get: planView,
  plan_costs: ({ currency }) => planCosts(currency),
  run_start: run,
  run_pause: () => {
    phase = "paused";
    tellPhase();
    return null;
  },
  run_continue: () => {
    phase = "running";
    tellPhase();
    return null;
  },
  run_cancel: () => {
    phase = "cancelled";
    tellPhase();
    return null;
  },
  run_resume: () => null,
  task_retry: () => {
    retried = true;
    tell();
    return null;
  },
  gate_decide: ({ address, accept, note }) => {
    decided.set(address, { at: now, accepted: accept, note });
    tell();
    return null;
  },
  task_exchanges: ({ address }) => {
    const task = tasks.find((t) => t.address === address);
    return task ? Array.from({ length: 6 }, (_, i) => exchange(task, i)) : [];
  },
  task_script: ({ address }) => ({ address, language: "powershell", text: "Write-Output ready" }),
  vm_screenshot: () => ({ vm: "WEBVM-test", dataUrl: SCREEN }),
  azure_quota: () => {
    const low = query.get("quota") !== null;
    const closed = query.get("quota") === "closed";
    return [
      quota("reads", null, 250, 212, 1500),
      { ...quota("writes", null, 200, low ? 14 : 174, 600), waiting: closed ? 3 : 0 },
      quota("deletes", null, 200, 200, 600),
      {
        ...quota("writes", "Microsoft.Network", 1000, closed ? 0 : 985, 200),
        closedUntil: closed ? iso(now + 40_000) : null,
      },
    ];
  },
  set_speed: (args) => {
    speed = args.speed;
    tellPhase();
    return null;
  },
  report_save: () => ({
    html: "/home/admin/Documents/SmartHotel report 2026-11-21.html",
    json: "/home/admin/Documents/SmartHotel report 2026-11-21.json",
  }),
  close_question: () => ({ ask: true, goesOn: [] }),
  close_window: () => null,
};

export const host: Host = {
  call: async (command, args) =>
    later(
      (handlers[command] as (a: typeof args) => never)(args),
      query.get(command === "plan_costs" ? "prices" : "scope") === "slow" &&
        (command === "plan_costs" || command === "account_scope")
        ? 600_000
        : 60,
    ),
  stream(stream, _args, onMessage) {
    const send = onMessage as (message: Streams[keyof Streams][1]) => void;
    if (stream === "inventory_read") return readInventory(send as (message: InventoryMessage) => void);
    if (stream === "sql_read") return readSql(send as (message: SqlMessage) => void);
    if (stream === "inventory_watch") return watchInventory(send as (message: InventoryChange) => void);
    if (stream === "appliance_read") return readTemplate(send as (message: ApplianceMessage) => void);
    if (stream === "appliance_progress") return deployment(send as (message: DeployState) => void);
    if (stream === "sign_in") return signIn(send as (message: SignInMessage) => void);
    send({ type: "snapshot", plan: planView(), state: run(), clock: clock() });
    const listener = (message: RunMessage) => send(message);
    listeners.add(listener);
    const timer = setInterval(() => {
      if (phase !== "running" || query.get("still") !== null) return;
      now += 500 * speed * 0.2;
      tell();
    }, 500);
    return () => {
      clearInterval(timer);
      listeners.delete(listener);
    };
  },
  onCloseAsked(listener) {
    if (query.get("close") !== null) {
      setTimeout(
        () =>
          listener({
            ask: true,
            goesOn: [
              "Azure goes on creating the managed instance contoso-sqlmi.",
              "Site Recovery goes on replicating WEBVM.",
              "Log Replay Service goes on restoring SmartHotelDB.",
            ],
          }),
        300,
      );
    }
    return () => undefined;
  },
};
