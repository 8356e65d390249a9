// Machines in place of a vCenter, see fixture.ts. In the address: &rows=10000, &live (changes come by themselves), &changed
// (a new reading finds changes), &lost (vCenter goes away), &unread (details never come), &refused (rows of an import).
import type { Finding } from "./gen/Finding";
import type { InventoryChange } from "./gen/InventoryChange";
import type { InventoryChanges } from "./gen/InventoryChanges";
import type { InventoryMessage } from "./gen/InventoryMessage";
import type { ReplicationMethod } from "./gen/ReplicationMethod";
import type { Severity } from "./gen/Severity";
import type { Vm } from "./gen/Vm";
import type { VmDetails } from "./gen/VmDetails";
import type { Commands } from "./types";

const query = new URLSearchParams(location.search);
const has = (name: string) => query.get(name) !== null;
const READ_AT = "2026-11-21T18:50:00Z";
const VCENTER = "VMware vCenter Server 7.0.3";
const GIB = 1024 ** 3;
const rows = Number(query.get("rows") ?? 2000);

const SYSTEMS: [id: string, name: string][] = [
  ["windows9Server64Guest", "Microsoft Windows Server 2016 (64-bit)"],
  ["windows2019srv_64Guest", "Microsoft Windows Server 2019 (64-bit)"],
  ["rhel8_64Guest", "Red Hat Enterprise Linux 8 (64-bit)"],
  ["windows8Server64Guest", "Microsoft Windows Server 2012 (64-bit)"],
];

const vm = (name: string, n: number, more: Partial<Vm> = {}): Vm => {
  const [guestId, guestFullName] = SYSTEMS[n % SYSTEMS.length] ?? ["", ""];
  return {
    moref: `vm-${n}`,
    name,
    instanceUuid: `5012c0de-0000-4000-8000-${String(n).padStart(12, "0")}`,
    powerState: n % 11 === 0 ? "poweredOff" : n % 37 === 0 ? "suspended" : "poweredOn",
    connectionState: "connected",
    guestId,
    guestFullName,
    hostName: `${name.toLowerCase()}.contoso.com`,
    ipAddress: n % 11 === 0 ? null : `10.10.${Math.floor(n / 250)}.${(n % 250) + 2}`,
    cpus: [2, 4, 8][n % 3] ?? 2,
    memoryMib: [4096, 8192, 16384, 32768][n % 4] ?? 4096,
    diskCount: (n % 3) + 1,
    nicCount: 1,
    storageBytes: (40 + (n % 17) * 12) * GIB,
    firmware: n % 5 === 0 ? "efi" : "bios",
    secureBoot: n % 5 === 0,
    toolsStatus: n % 11 === 0 ? "guestToolsNotRunning" : "guestToolsRunning",
    template: false,
    host: `contosohost${(n % 8) + 1}.contoso.com`,
    cluster: null,
    datacenter: "contoso-datacenter",
    details: null,
    readiness: null,
    guest: null,
    ...more,
  };
};

/** The second pass of a machine, as its first pass and its number tell. */
function whole(of: Vm): Vm {
  const n = Number(of.moref.replace("vm-", ""));
  const mac = `00:50:56:b1:${String(n % 100).padStart(2, "0")}:01`;
  const details: VmDetails = {
    disks: Array.from({ length: of.diskCount }, (_, i) => ({
      key: 2000 + i,
      label: `Hard disk ${i + 1}`,
      capacityBytes: (i === 0 ? 60 : 200) * GIB,
      controller: i === 0 ? "VirtualLsiLogicSASController" : "ParaVirtualSCSIController",
      bus: i === 0 ? 0 : 1,
      unit: i,
      file: `[contoso-ds1] ${of.name}/${of.name}${i === 0 ? "" : `_${i}`}.vmdk`,
      mode: i > 0 && n % 2 === 0 ? "independent_persistent" : "persistent",
      sharing: "sharingNone",
      busSharing: "noSharing",
      raw: null,
      thin: i === 0,
      encrypted: false,
    })),
    nics: [
      {
        key: 4000,
        label: "Network adapter 1",
        kind: "VirtualVmxnet3",
        mac,
        network: "VM Network",
        connected: of.powerState === "poweredOn",
      },
    ],
    addresses: of.ipAddress
      ? [
          { ip: of.ipAddress, prefix: 24, origin: n % 3 === 0 ? "dhcp" : "manual", mac },
          { ip: "fe80::250:56ff:feb1:1", prefix: 64, origin: "linklayer", mac },
        ]
      : [],
    volumes:
      of.powerState === "poweredOn"
        ? [
            { path: "C:\\", capacityBytes: 59 * GIB, freeBytes: (n % 7 === 2 ? 0.3 : 31) * GIB },
            ...(of.diskCount > 1 ? [{ path: "D:\\", capacityBytes: 200 * GIB, freeBytes: 88 * GIB }] : []),
          ]
        : [],
    snapshots: n % 6 === 2 ? [{ moref: "snapshot-7", name: "Before the patch", created: "2026-10-14T20:05:00Z" }] : [],
    consolidationNeeded: false,
    vtpm: false,
    encrypted: false,
    passthrough: 0,
    hardware: "vmx-13",
    cbtSupported: true,
    cbtEnabled: false,
    toolsVersion: n % 4 === 3 ? "10282" : "11297",
    toolsVersionStatus: "guestToolsCurrent",
    guestOperationsReady: true,
    annotation: n === 2 ? "Owner: K. Meyer. Patched on the second Tuesday." : null,
  };
  return { ...of, details };
}

let vms: Vm[] = [
  vm("WEBVM", 1, {
    guestId: "windows9Server64Guest",
    guestFullName: SYSTEMS[0]?.[1] ?? null,
    cpus: 4,
    memoryMib: 8192,
    host: "contosohost1.contoso.com",
    diskCount: 1,
    readiness: "script=1;rdp=1;firewall=domain,private,public;san=OnlineAll;updates=0;reboot=0",
  }),
  vm("SQLVM", 2, {
    guestId: "windows9Server64Guest",
    guestFullName: SYSTEMS[0]?.[1] ?? null,
    cpus: 8,
    memoryMib: 32768,
    host: "contosohost1.contoso.com",
    diskCount: 2,
    firmware: "efi",
    secureBoot: true,
  }),
  vm("contosodc1", 3, { host: "contosohost1.contoso.com" }),
  vm("vcenter", 4, {
    guestId: "vmwarePhoton64Guest",
    guestFullName: "VMware Photon OS (64-bit)",
    host: "contosohost1.contoso.com",
  }),
  ...Array.from({ length: rows - 4 }, (_, i) => vm(`APP-${String(i + 1).padStart(4, "0")}`, i + 5)),
];

export const summary = { vcenterName: VCENTER, readAt: READ_AT, vms: rows };

const inventory = () => ({
  vcenterUuid: "0f6c1d52-6d9b-4a67-9a0a-4f0f9a1c7d11",
  vcenterName: VCENTER,
  apiVersion: "7.0.3.0",
  readAt: READ_AT,
  vms,
  datacenters: [],
  clusters: [],
  hosts: [],
  datastores: [],
  networks: [],
});

const SR = "learn.microsoft.com: VMware to Azure support matrix (2025-08-29)";
const AM = "learn.microsoft.com: Azure Migrate, support matrix for VMware migration (2024-10-16)";

function judge(of: Vm, method: ReplicationMethod): Finding[] {
  const found: Finding[] = [];
  const agent = method === "InMageRcm";
  const add = (
    rule: string,
    severity: Severity,
    title: string,
    detail: string,
    who: string,
    command: string,
    source = agent ? SR : AM,
  ) => found.push({ rule, severity, about: of.name, title: `${of.name} ${title}`, detail, who, command, source });
  const admin = "vCenter administrator";
  if (of.powerState === "suspended")
    add("vm-suspended", "blocking", "is suspended", "A machine that sleeps runs no agent.", admin, "Power, Power On.");
  if (of.powerState === "poweredOff" && agent)
    add(
      "vm-power",
      "blocking",
      "is powered off",
      "The Mobility service inside the machine replicates it, so the machine must run. Azure Migrate would do.",
      admin,
      `Power, Power On; or Start-VM -VM '${of.name}'`,
    );
  if (of.secureBoot && agent)
    add(
      "vm-secure-boot",
      "blocking",
      "has Secure Boot enabled",
      "Site Recovery supports UEFI only with Secure Boot off. Azure Migrate would do.",
      admin,
      "Shut it down, then Edit Settings, VM Options, Boot Options: clear Secure Boot.",
    );
  if (of.secureBoot && !agent)
    add(
      "vm-secure-boot",
      "warning",
      "has Secure Boot enabled",
      "It comes up in Azure without it.",
      "whoever designs the target",
      "After the migration turn on Trusted Launch: stop the VM, Configuration, Security type, Trusted launch.",
    );
  if (of.guestId === "windows8Server64Guest")
    add(
      "vm-support-ended",
      "warning",
      "runs a system out of its maker's support",
      `${of.guestFullName} ended on 2023-10-10. It moves as it is; without a contract for extended updates it gets no more of them in Azure.`,
      "administrator of the machine",
      "Decide before the move: upgrade, order extended updates, or accept it in the approval's note.",
      "The maker's life-cycle page (2026-11)",
    );
  if (of.guestId === "vmwarePhoton64Guest" && agent)
    add(
      "vm-guest",
      "blocking",
      "runs an operating system that Site Recovery doesn't replicate",
      "vCenter reports VMware Photon OS (64-bit), which is not in the list.",
      "administrator of the machine",
      "Leave it where it is.",
    );
  const independent = of.details?.disks.filter((d) => d.mode?.startsWith("independent")) ?? [];
  if (independent.length > 0 && !agent)
    add(
      "vm-independent",
      "blocking",
      "has independent disks",
      `${independent.map((d) => d.label).join(", ")}: a snapshot leaves them out, so they are not supported. Site Recovery would do.`,
      admin,
      "Shut it down, then Edit Settings, Hard disk, Disk Mode: Dependent.",
    );
  if (of.details && of.details.snapshots.length > 0)
    add(
      "vm-snapshots",
      agent ? "information" : "warning",
      "has snapshots",
      "It has one, Before the patch.",
      admin,
      `Get-Snapshot -VM '${of.name}' | Remove-Snapshot`,
      "Rehost's own caution; no list of Microsoft's names it (2026-11)",
    );
  if (!of.details)
    add("vm-details", "information", "was not read whole yet", "Its disks are unknown.", "you", "Choose the machine.");
  if (agent && of.powerState === "poweredOn")
    add(
      "vm-churn",
      "information",
      "writes an unknown amount",
      "Site Recovery follows at most 54 MB/s over all disks of a machine and, by kind of disk, 2 to 20 MB/s on each.",
      admin,
      `Get-Stat -Entity '${of.name}' -Stat virtualDisk.write.average -Start (Get-Date).AddDays(-7) | Measure-Object Value -Maximum`,
    );
  return found;
}

const CHANGES: InventoryChanges = {
  added: [
    { moref: "vm-7", name: "APP-0003" },
    { moref: "vm-8", name: "APP-0004" },
    { moref: "vm-9", name: "APP-0005" },
  ],
  removed: [{ moref: "vm-9001", name: "FILE-OLD" }],
  changed: [
    {
      moref: "vm-2",
      name: "SQLVM",
      fields: [
        { field: "memoryMib", before: "16384 MiB", after: "32768 MiB" },
        { field: "disks", before: "60.0 GiB", after: "60.0 GiB, 200.0 GiB" },
      ],
    },
    {
      moref: "vm-1",
      name: "WEBVM",
      fields: [
        { field: "powerState", before: "poweredOff", after: "poweredOn" },
        { field: "ipAddress", before: "", after: "10.10.0.3" },
      ],
    },
  ],
};

const METHODS: ReplicationMethod[] = ["InMageRcm", "VMwareCbt"];

export const inventoryHandlers: Pick<
  { [C in keyof Commands]: (args: Commands[C][0]) => Commands[C][1] },
  | "inventory_get"
  | "inventory_details"
  | "vm_events"
  | "inventory_findings"
  | "inventory_import_preview"
  | "inventory_import"
> = {
  inventory_get: () => (has("empty") ? null : inventory()),
  inventory_details: ({ morefs }) => {
    if (has("unread")) return [];
    vms = vms.map((of) => (morefs.includes(of.moref) ? whole(of) : of));
    return vms.filter((of) => morefs.includes(of.moref));
  },
  vm_events: () =>
    has("quiet")
      ? []
      : [
          {
            key: 3,
            at: "2026-11-21T18:12:40Z",
            kind: "VmPoweredOnEvent",
            user: "CONTOSO\\anna",
            message: "WEBVM on contosohost1.contoso.com in contoso-datacenter is powered on",
          },
          {
            key: 2,
            at: "2026-11-21T18:10:02Z",
            kind: "VmReconfiguredEvent",
            user: "CONTOSO\\anna",
            message: "Reconfigured WEBVM on contosohost1.contoso.com in contoso-datacenter",
          },
          {
            key: 1,
            at: "2026-11-20T03:00:11Z",
            kind: "VmMigratedEvent",
            user: "",
            message: "Migration of virtual machine WEBVM from contosohost2 to contosohost1 completed",
          },
        ],
  inventory_findings: ({ morefs }) =>
    vms
      .filter((of) => morefs.includes(of.moref))
      .map((of) => ({
        moref: of.moref,
        methods: METHODS.map((method) => ({ method, findings: judge(of, method) })),
      })),
  inventory_import_preview: () => ({
    file: "RVTools_export_2026-11-20.xlsx",
    rvtools: true,
    machines: 1987,
    replaces: false,
    changes: { ...CHANGES, removed: [] },
    refused: has("refused")
      ? [
          { sheet: "vInfo", line: 214, reason: "CPUs: `two` is not a number." },
          {
            sheet: "vInfo",
            line: 215,
            reason: "It belongs to another vCenter, east.contoso.com. Export one vCenter at a time.",
          },
          { sheet: "vDisk", line: 388, reason: "Capacity MiB: `?` is not a size." },
        ]
      : [],
    refusedCount: has("refused") ? 41 : 0,
  }),
  inventory_import: () => null,
};

export function readInventory(send: (message: InventoryMessage) => void): () => void {
  const timers = [setTimeout(() => send({ type: "connected", vcenterName: VCENTER, apiVersion: "7.0.3.0" }), 80)];
  for (let i = 0; i < vms.length; i += 250) {
    timers.push(setTimeout(() => send({ type: "page", vms: vms.slice(i, i + 250) }), 200 + i / 2));
  }
  timers.push(
    setTimeout(
      () => send({ type: "done", vms: vms.length, millis: 1240, changes: has("changed") ? CHANGES : null }),
      200 + vms.length / 2 + 100,
    ),
  );
  return () => timers.forEach(clearTimeout);
}

export function watchInventory(send: (message: InventoryChange) => void): () => void {
  const first = setTimeout(() => {
    if (!has("lost")) return send({ type: "quiet" });
    send({
      type: "lost",
      error: {
        code: "unreachable",
        title: "vCenter doesn't answer",
        detail: "vcenter.contoso.com:443: connection refused",
        hint: "Check that it is started, and that no firewall is between.",
        address: null,
        retryable: true,
        correlationId: null,
      },
    });
  }, 120);
  let n = 0;
  const live = has("live")
    ? setInterval(() => {
        n += 1;
        const at = n % 20;
        vms = vms.map((of, i) =>
          i === at ? { ...of, powerState: of.powerState === "poweredOn" ? "poweredOff" : "poweredOn" } : of,
        );
        const now = vms[at];
        if (now) send({ type: "upserted", vms: [now] });
      }, 1000)
    : undefined;
  return () => {
    clearTimeout(first);
    clearInterval(live);
  };
}
