// The appliance's template, places and deployment, made up for looking at the wizard.
// In the address: &appliance=wrong (the file is another one), lacking, warned, sending, failed, done.
import type { ApplianceMessage } from "./gen/ApplianceMessage";
import type { ApplianceView } from "./gen/ApplianceView";
import type { DeployState } from "./gen/DeployState";
import type { TemplateView } from "./gen/TemplateView";
import type { Commands } from "./types";

const how = new URLSearchParams(location.search).get("appliance");
const GB = 1024 ** 3;
const template: TemplateView = {
  file: "MicrosoftAzureSiteRecoveryReplicationAppliance.ova",
  manifest: true,
  signed: true,
  uploadBytes: 12.4 * GB,
  thinBytes: 12.4 * GB,
  thickBytes: 700 * GB,
  template: {
    name: "ASR replication appliance",
    product: "Azure Site Recovery replication appliance",
    vendor: "Microsoft",
    version: "9.64.7432.1",
    description: "Discovers machines, receives their changes and sends them to Azure.",
    system: "Microsoft Windows Server 2022 (64-bit)",
    hardware: "vmx-13",
    cpus: 8,
    memoryMib: 16_384,
    files: [{ id: "file1", name: "appliance-disk1.vmdk", bytes: 12.4 * GB }],
    disks: [
      { id: "vmdisk1", file: "file1", capacityBytes: 80 * GB },
      { id: "vmdisk2", file: null, capacityBytes: 620 * GB },
    ],
    networks: [{ name: "Management", description: "Reaches vCenter, the ESXi hosts and Azure" }],
    properties: [
      {
        key: "vami.hostname.App",
        label: "Host name",
        description: "Its fixed name in DNS",
        kind: "string",
        value: "asr-appliance.contoso.com",
        password: false,
        userConfigurable: true,
        minLength: null,
        maxLength: null,
        values: [],
      },
      {
        key: "vami.password.App",
        label: "Administrator's password",
        description: "",
        kind: "string",
        value: "",
        password: true,
        userConfigurable: true,
        minLength: 12,
        maxLength: 72,
        values: [],
      },
      {
        key: "vami.mode.App",
        label: "Address",
        description: "How it gets its address",
        kind: "string",
        value: "static",
        password: false,
        userConfigurable: true,
        minLength: null,
        maxLength: null,
        values: ["static", "dhcp"],
      },
    ],
    options: [],
    eulas: [
      "MICROSOFT SOFTWARE LICENSE TERMS\n\nIF YOU LIVE IN (OR ARE A BUSINESS WITH A PRINCIPAL PLACE OF BUSINESS IN) THE UNITED STATES, PLEASE READ THE “BINDING ARBITRATION AND CLASS ACTION WAIVER” SECTION BELOW. IT AFFECTS HOW DISPUTES ARE RESOLVED.\n\nThese license terms are an agreement between you and Microsoft Corporation. They apply to the software named above and any Microsoft services or software updates.",
    ],
  },
};
const started = how === "sending" || how === "failed";
const view: ApplianceView = {
  name: "ASR-APPLIANCE",
  nameFixed: true,
  template: started ? template : null,
  checked: started,
  deployment:
    how === "done" || started
      ? {
          vm: "ASR-APPLIANCE",
          marker: "0c4bd1a6",
          file: template.file,
          product: template.template.product,
          version: template.template.version,
          begun: "2026-11-21T20:14:00Z",
          stage: how === "done" ? "running" : "sending",
          lease: null,
          moref: "vm-31",
        }
      : null,
  goesOn: started,
  interrupted: false,
  sample: true,
};
const done = (): ApplianceView => ({
  ...view,
  goesOn: false,
  deployment: view.deployment && { ...view.deployment, stage: "running" },
});

const datastore = (moref: string, name: string, free: number) => ({
  moref,
  name,
  kind: "VMFS",
  capacityBytes: 4096 * GB,
  freeBytes: free * GB,
  accessible: true,
  datacenter: "contoso-datacenter",
});
const network = (moref: string, name: string) => ({
  moref,
  name,
  kind: "DistributedVirtualPortgroup",
  accessible: true,
  datacenter: "contoso-datacenter",
});

export const applianceHandlers: Pick<
  { [C in keyof Commands]: (args: Commands[C][0]) => Commands[C][1] },
  | "appliance_get"
  | "appliance_places"
  | "appliance_check"
  | "appliance_deploy"
  | "appliance_abort"
  | "appliance_settle"
  | "appliance_power_on"
> = {
  appliance_get: () => structuredClone(view),
  appliance_places: () => ({
    places: {
      computes: [
        {
          moref: "domain-c8",
          name: "contoso-cluster1",
          cluster: true,
          datacenter: "contoso-datacenter",
          pool: "resgroup-10",
          hosts: [
            { moref: "host-9", name: "contosohost1.contoso.com" },
            { moref: "host-12", name: "contosohost2.contoso.com" },
          ],
          datastores: [datastore("datastore-11", "contoso-ds1", 1874), datastore("datastore-14", "contoso-ds2", 310)],
          networks: [network("dvportgroup-21", "Management 10.245.48"), network("dvportgroup-22", "Servers 10.245.56")],
        },
      ],
      folders: [
        { moref: "group-v3", path: "", datacenter: "contoso-datacenter" },
        { moref: "group-v7", path: "Infrastructure/Appliances", datacenter: "contoso-datacenter" },
      ],
    },
    missing: how === "lacking" ? ["VApp.Import", "VirtualMachine.Inventory.Delete"] : [],
    lacking:
      how === "lacking"
        ? "A vCenter administrator adds VApp.Import and VirtualMachine.Inventory.Delete to the account's role on datacenter contoso-datacenter: vSphere Client, Administration, Access Control, Roles."
        : null,
  }),
  appliance_check: () => ({
    warnings:
      how === "warned" ? ["The operating system identifier is not supported by the host; Other (64-bit) is used."] : [],
    errors: [],
    bytes: template.uploadBytes,
  }),
  appliance_deploy: () => {
    view.goesOn = true;
    return null;
  },
  appliance_abort: () => {
    view.goesOn = false;
    view.deployment = null;
    return structuredClone(view);
  },
  appliance_settle: () => structuredClone(view),
  appliance_power_on: done,
};

export function readTemplate(send: (message: ApplianceMessage) => void): () => void {
  const total = template.uploadBytes;
  const steps: ApplianceMessage[] = [
    { type: "read", template },
    { type: "checking", done: total * 0.3, total },
    { type: "checking", done: total * 0.7, total },
    how === "wrong"
      ? {
          type: "failed",
          error: {
            code: "invalid",
            title: "The template is not what it says",
            detail:
              "appliance-disk1.vmdk is not what the template says: its Sha256 is 5f2b…91c0, and the manifest says 83aa…07de.",
            hint: "Don't use this file. Download it again from where Microsoft offers it; if that is refused, too, report it to Microsoft.",
            address: null,
            retryable: false,
            correlationId: null,
          },
        }
      : { type: "checked" },
  ];
  const timers = steps.map((message, i) =>
    setTimeout(
      () => {
        if (message.type === "read") view.template = message.template;
        if (message.type === "checked") view.checked = true;
        send(message);
      },
      60 * (i + 1),
    ),
  );
  return () => timers.forEach(clearTimeout);
}

export function deployment(send: (state: DeployState) => void): () => void {
  const state: DeployState = {
    vm: "ASR-APPLIANCE",
    phase: { is: "sending" },
    file: "appliance-disk1.vmdk",
    sent: 5.1 * GB,
    total: template.uploadBytes,
    rate: 96 * 1024 ** 2,
    secondsLeft: 78,
  };
  const timer = setTimeout(() => {
    if (how !== "failed") return send(state);
    view.goesOn = false;
    view.deployment = null;
    send({
      ...state,
      phase: {
        is: "failed",
        error: {
          code: "refused",
          title: "The host refused a disk",
          detail: "contosohost1.contoso.com did not take appliance-disk1.vmdk: HTTP status 500",
          hint: "Look at the host's own messages (vSphere Client, the host, Monitor, Events), and whether the datastore has free space. Then start again.",
          address: null,
          retryable: true,
          correlationId: null,
        },
      },
    });
  }, 60);
  return () => clearTimeout(timer);
}
