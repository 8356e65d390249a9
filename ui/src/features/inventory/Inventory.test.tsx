import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { ImportPreview } from "../../host/gen/ImportPreview";
import type { Inventory as InventoryData } from "../../host/gen/Inventory";
import type { InventoryChange } from "../../host/gen/InventoryChange";
import type { InventoryMessage } from "../../host/gen/InventoryMessage";
import type { VmFindings } from "../../host/gen/VmFindings";
import type { Host } from "../../host/types";
import { connections, machine } from "../../testing";
import Inventory from "./Inventory";

// jsdom lays nothing out; the table needs a height to have rows.
Object.defineProperties(Element.prototype, {
  clientHeight: { configurable: true, get: () => 600 },
  clientWidth: { configurable: true, get: () => 1200 },
});

const NONE = { added: [], removed: [], changed: [] };
const details = {
  disks: [],
  nics: [],
  addresses: [],
  volumes: [],
  snapshots: [{ moref: "snapshot-1", name: "Before the patch", created: null }],
  consolidationNeeded: null,
  vtpm: false,
  encrypted: false,
  passthrough: 0,
  hardware: "vmx-13",
  cbtSupported: null,
  cbtEnabled: null,
  toolsVersion: "11297",
  toolsVersionStatus: null,
  guestOperationsReady: null,
  annotation: null,
};
const judged = (moref: string): VmFindings => ({
  moref,
  methods: [
    { method: "InMageRcm", findings: [] },
    {
      method: "VMwareCbt",
      findings: [
        {
          rule: "vm-snapshots",
          severity: "warning",
          about: "WEBVM",
          title: "WEBVM has snapshots",
          detail: "It has one.",
          who: "vCenter administrator",
          command: "Get-Snapshot -VM 'WEBVM' | Remove-Snapshot",
          source: "a test",
        },
      ],
    },
  ],
});

function show(preview: ImportPreview | null = null) {
  let stored: InventoryData = {
    vcenterUuid: "vc",
    vcenterName: "vCenter 7",
    apiVersion: "7.0",
    readAt: "2026-11-21T18:50:00Z",
    vms: [machine("WEBVM"), machine("SQLVM")],
    datacenters: [],
    clusters: [],
    hosts: [],
    datastores: [],
    networks: [],
  };
  const calls: [string, string[]][] = [];
  const streams: Record<string, (message: InventoryMessage | InventoryChange) => void> = {};
  const host = {
    call: async (command: string, args: { morefs?: string[] }) => {
      const morefs = args.morefs ?? [];
      calls.push([command, morefs]);
      if (command === "inventory_get") return structuredClone(stored);
      if (command === "inventory_import_preview") return preview;
      if (command === "inventory_findings") return morefs.map(judged);
      if (command === "vm_events") {
        const about = { key: 1, at: "2026-11-21T18:12:40Z", kind: "VmPoweredOffEvent", user: "" };
        return [{ ...about, message: "WEBVM is powered off" }];
      }
      if (command === "guest_get") throw new Error("not asked here");
      if (command !== "inventory_details") return null;
      const vms = stored.vms.map((vm) => (morefs.includes(vm.moref) ? { ...vm, details } : vm));
      stored = { ...stored, vms };
      return structuredClone(vms.filter((vm) => morefs.includes(vm.moref)));
    },
    stream: (stream: string, _args: object, onMessage: (typeof streams)[string]) => {
      streams[stream] = onMessage;
      return () => undefined;
    },
    onCloseAsked: () => () => undefined,
  } as unknown as Host;
  const project = {
    path: "/p.rehost",
    connections: connections("browser", { vcenterPasswordStored: true }),
    design: { replication: "VMwareCbt" },
  };
  const value = { project, path: "/p.rehost", error: null, go: () => undefined } as unknown as ProjectContextValue;
  render(
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={new QueryClient()}>
          <ProjectContext value={value}>
            <Inventory />
          </ProjectContext>
        </QueryClientProvider>
      </HostProvider>
    </FluentProvider>,
  );
  const send = (stream: string, message: InventoryMessage | InventoryChange) =>
    act(async () => streams[stream]?.(message));
  const count = (command: string) => calls.filter(([name]) => name === command).length;
  return { calls, count, send };
}

it("reads what is on screen whole, once, and says whether it can move", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const { calls, count } = show();
  expect(await screen.findAllByLabelText("1 warning for Azure Migrate")).toHaveLength(2);
  expect(calls.find(([name]) => name === "inventory_details")?.[1]).toEqual(["vm-SQLVM", "vm-WEBVM"]);
  // It rests: nothing is asked again and again.
  await act(() => vi.advanceTimersByTimeAsync(5000));
  expect(count("inventory_details")).toBe(1);
  expect(count("inventory_findings")).toBeLessThanOrEqual(2);
  vi.useRealTimers();
});

it("shows a machine with who must do what, and closes by Escape", async () => {
  const { count } = show();
  const user = userEvent.setup();
  await user.click(await screen.findByText("WEBVM"));
  const panel = screen.getByTestId("vm-details");
  expect(await within(panel).findByText("Before the patch")).toBeVisible();
  expect(await within(panel).findByText("vCenter administrator:")).toBeVisible();
  // History is asked for by whoever wants it.
  expect(count("vm_events")).toBe(0);
  await user.click(within(panel).getByText("History in vCenter"));
  expect(await within(panel).findByText("WEBVM is powered off")).toBeVisible();
  expect(count("vm_events")).toBe(1);
  await user.click(within(panel).getByTestId("findings-InMageRcm"));
  expect(within(panel).getByText("Nothing stands against it.")).toBeVisible();
  await user.keyboard("{Escape}");
  expect(screen.queryByTestId("vm-details")).toBeNull();
});

it("follows changes and tells them politely", async () => {
  const { send } = show();
  await screen.findByText("WEBVM");
  await send("inventory_watch", { type: "quiet" });
  expect(screen.getByTestId("inventory-live")).toHaveTextContent("Live");
  await send("inventory_watch", { type: "upserted", vms: [machine("WEBVM", { powerState: "poweredOff" })] });
  expect(screen.getByTestId("inventory-told")).toHaveTextContent("WEBVM has changed.");
  const row = screen.getAllByTestId("vm-row").find((r) => r.dataset.name === "WEBVM");
  expect(row).toHaveAttribute("data-touched", "true");
  expect(row).toHaveTextContent("Off");
  await send("inventory_watch", { type: "removed", morefs: ["vm-SQLVM"] });
  expect(screen.getByTestId("inventory-told")).toHaveTextContent("1 machine is gone.");
  expect(screen.getAllByTestId("vm-row")).toHaveLength(1);
  const error = {
    code: "unreachable" as const,
    title: "vCenter doesn't answer",
    detail: "",
    hint: "",
    address: null,
    retryable: true,
    correlationId: null,
  };
  await send("inventory_watch", { type: "lost", error });
  expect(screen.getByTestId("watch-lost")).toHaveTextContent("vCenter doesn't answer");
  await send("inventory_watch", { type: "back" });
  expect(screen.queryByTestId("watch-lost")).toBeNull();
});

it("says after a reading what has changed, with the list behind it", async () => {
  const { send } = show();
  const user = userEvent.setup();
  await user.click(await screen.findByTestId("inventory-read"));
  const changes = {
    added: [{ moref: "vm-NEW", name: "NEW" }],
    removed: [],
    changed: [
      {
        moref: "vm-WEBVM",
        name: "WEBVM",
        fields: [{ field: "powerState" as const, before: "poweredOn", after: "poweredOff" }],
      },
    ],
  };
  await send("inventory_read", { type: "page", vms: [machine("WEBVM"), machine("NEW")] });
  await send("inventory_read", { type: "done", vms: 2, millis: 100, changes });
  expect(screen.getByTestId("changes-banner")).toHaveTextContent("1 new, 1 changed");
  await user.click(screen.getByTestId("changes-show"));
  const list = await screen.findByTestId("changes");
  expect(list).toHaveTextContent("Power: On → Off");
  await user.click(within(list).getByText("WEBVM"));
  await waitFor(() => expect(screen.getByTestId("vm-details")).toBeVisible());
});

it("keeps an import only after it was looked at", async () => {
  const refused = [{ sheet: "vInfo", line: 4, reason: "CPUs: `two` is not a number." }];
  const { count } = show({
    file: "export.xlsx",
    rvtools: true,
    machines: 2,
    replaces: true,
    changes: { ...NONE, removed: [{ moref: "vm-SQLVM", name: "SQLVM" }] },
    refused,
    refusedCount: 1,
  });
  const user = userEvent.setup();
  await screen.findByText("WEBVM");
  await user.click(screen.getByTestId("import"));
  const shown = await screen.findByTestId("import-preview");
  expect(shown).toHaveTextContent("1 row can't be read and is left out");
  expect(shown).toHaveTextContent("vInfo, line 4: CPUs: `two` is not a number.");
  expect(shown).toHaveTextContent("It replaces the inventory");
  expect(count("inventory_import")).toBe(0);
  await user.click(screen.getByTestId("import-keep"));
  await waitFor(() => expect(screen.queryByTestId("import-preview")).toBeNull());
  expect(count("inventory_import")).toBe(1);
});
