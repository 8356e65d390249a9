// Small plans, states and connections for tests; what a test does not name has a plain value.
import type { AzureConnection } from "./host/gen/AzureConnection";
import type { ConnectionsView } from "./host/gen/ConnectionsView";
import type { PlanView } from "./host/gen/PlanView";
import type { RunState } from "./host/gen/RunState";
import type { SignIn } from "./host/gen/SignIn";
import type { Task } from "./host/gen/Task";
import type { TaskState } from "./host/gen/TaskState";
import type { Vm } from "./host/gen/Vm";

export const START = "2026-11-21T19:00:00Z";
export const at = (seconds: number): string => new Date(Date.parse(START) + seconds * 1000).toISOString();

export function task(address: string, more: Partial<Task> = {}): Task {
  return {
    address,
    title: address,
    what: "It does something.",
    why: "It is needed.",
    actor: { who: "rehost" },
    action: { do: "checkVCenter", minVersion: "6.5" },
    after: [],
    rights: [],
    duration: { p50: 600, p95: 1200, source: "test" },
    cost: null,
    wayBack: "Nothing to take back.",
    noReturn: false,
    calls: [],
    nodes: [],
    ...more,
  };
}

export function state(address: string, more: Partial<TaskState> = {}): TaskState {
  return {
    address,
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
    ...more,
  };
}

export function plan(tasks: Task[]): PlanView {
  const numbers = [...new Set(tasks.map((t) => Number(t.address[5])))];
  return {
    hash: "ab".repeat(32),
    plan: {
      format: 1,
      application: "SmartHotel",
      rules: "current 2026-11",
      steps: numbers.map((number) => ({
        number,
        title: `Step ${number}`,
        tasks: tasks.filter((t) => t.address.startsWith(`step-${number}/`)),
      })),
      findings: [],
    },
    diagram: { nodes: [], edges: [] },
  };
}

export function run(tasks: TaskState[], more: Partial<RunState> = {}): RunState {
  return {
    run: "run-1",
    planHash: "ab".repeat(32),
    rehearsal: true,
    by: "anna",
    host: "ADMIN-07",
    phase: "running",
    started: START,
    ended: null,
    tasks,
    facts: {},
    seq: 1,
    ...more,
  };
}

export function azure(signIn: SignIn, more: Partial<AzureConnection> = {}): AzureConnection {
  return {
    cloud: "public",
    armUrl: "https://arm",
    audience: "",
    authorityUrl: "https://login",
    blobUrl: "",
    sqlSuffix: "",
    portalUrl: "",
    priceUrl: "",
    signIn,
    tenantId: "",
    clientId: "",
    subscriptionId: "",
    proxy: { use: "system" },
    caPem: "",
    ...more,
  };
}

export function connections(signIn: SignIn | AzureConnection, more: Partial<ConnectionsView> = {}): ConnectionsView {
  return {
    connections: {
      vcenter: { url: "", user: "", thumbprint: "", proxy: { use: "system" } },
      azure: typeof signIn === "string" ? azure(signIn) : signIn,
      sql: { server: "", signIn: "sql", user: "", encryption: "mandatory", thumbprint: "", browserPort: 0 },
      managed: { signIn: "administrator", reach: "private", address: "", thumbprint: "" },
    },
    vcenterPasswordStored: false,
    vcenterProxyPasswordStored: false,
    azureSecretStored: false,
    azureProxyPasswordStored: false,
    sqlPasswordStored: false,
    managedPasswordStored: false,
    dmsPasswordStored: false,
    sharePasswordStored: false,
    azureCertificate: null,
    azureAccount: null,
    ...more,
  };
}

export function machine(name: string, more: Partial<Vm> = {}): Vm {
  return {
    moref: `vm-${name}`,
    name,
    instanceUuid: null,
    powerState: "poweredOn",
    connectionState: null,
    guestId: null,
    guestFullName: "Microsoft Windows Server 2016 (64-bit)",
    hostName: null,
    ipAddress: null,
    cpus: 2,
    memoryMib: 4096,
    diskCount: 1,
    nicCount: 1,
    storageBytes: 1,
    firmware: null,
    secureBoot: null,
    toolsStatus: null,
    template: false,
    host: "contosohost1.contoso.com",
    cluster: null,
    datacenter: null,
    details: null,
    readiness: null,
    guest: null,
    ...more,
  };
}
