import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { ApplianceMessage } from "../../host/gen/ApplianceMessage";
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { DeployState } from "../../host/gen/DeployState";
import type { TemplateView } from "../../host/gen/TemplateView";
import type { Host } from "../../host/types";
import { ApplianceDialog } from "./ApplianceDialog";

const property = (key: string, more: object) => ({
  key,
  label: key,
  description: "",
  kind: "string",
  value: "",
  password: false,
  userConfigurable: true,
  minLength: null,
  maxLength: null,
  values: [],
  ...more,
});
const template: TemplateView = {
  file: "appliance.ova",
  manifest: true,
  signed: false,
  uploadBytes: 1024,
  thinBytes: 1024,
  thickBytes: 5000,
  template: {
    name: "appliance",
    product: "Replication appliance",
    vendor: "Contoso",
    version: "1",
    description: "",
    system: "",
    hardware: "vmx-13",
    cpus: 8,
    memoryMib: 1024,
    files: [],
    disks: [],
    networks: [{ name: "Lan", description: "" }],
    properties: [
      property("host", { value: "a.contoso.com" }),
      property("password", { password: true, minLength: 8 }),
      property("hidden", { userConfigurable: false }),
    ],
    options: [],
    eulas: ["Terms"],
  },
};
const NOTHING: ApplianceView = {
  name: "ASR-APPLIANCE",
  nameFixed: true,
  template: null,
  checked: false,
  deployment: null,
  goesOn: false,
  interrupted: false,
  sample: false,
};
const deployed = (stage: "imported" | "running"): ApplianceView["deployment"] => ({
  vm: "ASR-APPLIANCE",
  marker: "m",
  file: "appliance.ova",
  product: "",
  version: "",
  begun: "2026-11-21T20:00:00Z",
  stage,
  lease: null,
  moref: "vm-1",
});
const place = (moref: string) => ({ moref, name: moref, kind: "", accessible: true, datacenter: "dc" });
const store = (moref: string, free: number) => ({ ...place(moref), capacityBytes: 9999, freeBytes: free });
const places = {
  places: {
    computes: [
      {
        moref: "domain-1",
        name: "cluster",
        cluster: true,
        datacenter: "dc",
        pool: "pool",
        hosts: [{ moref: "host-1", name: "host-1" }],
        datastores: [store("large", 4000), store("small", 10)],
        networks: [place("net-1"), place("net-2")],
      },
    ],
    folders: [{ moref: "folder", path: "", datacenter: "dc" }],
  },
  missing: [],
  lacking: null,
};

function show(first: Partial<ApplianceView> = {}, errors: string[] = []) {
  let view: ApplianceView = { ...NOTHING, ...first };
  const calls: [string, Record<string, unknown>][] = [];
  const streams: Record<string, (message: ApplianceMessage | DeployState) => void> = {};
  const host = {
    call: async (command: string, args: Record<string, unknown>) => {
      calls.push([command, args]);
      if (command === "appliance_settle") view = { ...view, interrupted: false, deployment: null };
      if (command === "appliance_power_on") view = { ...view, deployment: deployed("running") };
      if (command === "appliance_places") return places;
      if (command === "appliance_check") return { warnings: [], errors, bytes: 1024 };
      if (command === "appliance_deploy") view = { ...view, goesOn: true };
      return structuredClone(view);
    },
    stream: (stream: string, _args: unknown, send: (message: ApplianceMessage | DeployState) => void) => {
      streams[stream] = send;
      return () => undefined;
    },
  } as unknown as Host;
  const onClose = vi.fn();
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={client}>
        <HostProvider value={host}>
          <ApplianceDialog project="p" registration={{ mark: "waiting", text: "Not yet" }} onClose={onClose} />
        </HostProvider>
      </QueryClientProvider>
    </FluentProvider>,
  );
  const tell = (stream: string, message: ApplianceMessage | DeployState) => act(() => streams[stream]?.(message));
  // Only a stream that was asked for can tell something.
  const opened = (stream: string) => waitFor(() => expect(streams[stream]).toBeDefined());
  return {
    opened,
    calls,
    tell,
    onClose,
    set: (next: Partial<ApplianceView>) => (view = { ...view, ...next }),
    named: (command: string) => calls.filter(([c]) => c === command).map(([, args]) => args),
  };
}

const sending = (more: Partial<DeployState> = {}): DeployState => ({
  vm: "ASR-APPLIANCE",
  phase: { is: "sending" },
  file: "disk1.vmdk",
  sent: 0,
  total: 2048,
  rate: null,
  secondsLeft: null,
  ...more,
});

it("leads from the file to the running machine, by keyboard alone", async () => {
  const user = userEvent.setup();
  const at = show();
  // Enter on what has the focus; nothing is clicked.
  const press = async (id: string) => {
    // The button of the step before may still be there: the one that is enabled counts.
    await waitFor(() => expect(screen.getByTestId(id)).toBeEnabled());
    screen.getByTestId(id).focus();
    await user.keyboard("{Enter}");
  };
  await screen.findByTestId("appliance-file");
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
  await press("appliance-choose");
  await at.opened("appliance_read");
  at.tell("appliance_read", { type: "read", template });
  at.tell("appliance_read", { type: "checking", done: 512, total: 1024 });
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
  at.set({ template, checked: true });
  at.tell("appliance_read", { type: "checked" });
  await press("appliance-next");

  // Whoever doesn't see the page hears the heading.
  await waitFor(() => expect(screen.getByRole("heading", { level: 3 })).toHaveFocus());
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
  screen.getByTestId("appliance-accept").focus();
  await user.keyboard(" ");
  await press("appliance-next");

  // The largest datastore is proposed; the small one is refused in words.
  const stores = await screen.findByTestId("appliance-datastore");
  await waitFor(() => expect(stores).toHaveValue("large"));
  expect(screen.getByTestId("appliance-name")).toHaveAttribute("readonly");
  await user.selectOptions(stores, "small");
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
  await user.selectOptions(stores, "large");
  await press("appliance-next");
  await user.selectOptions(await screen.findByTestId("appliance-network-Lan"), "net-2");
  await press("appliance-next");
  const secret = await screen.findByTestId("appliance-value-password");
  expect(secret).toHaveAttribute("type", "password");
  expect(screen.queryByTestId("appliance-value-hidden")).toBeNull();
  // The heading takes the focus of each new page.
  await waitFor(() => expect(screen.getByRole("heading", { level: 3 })).toHaveFocus());
  secret.focus();
  await user.keyboard("short");
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
  await user.keyboard("-no-more");
  await press("appliance-next");

  await screen.findByText("net-2");
  expect(screen.queryByText("short-no-more")).toBeNull();
  await press("appliance-deploy-now");
  await screen.findByTestId("appliance-deploy");
  expect(at.named("appliance_deploy")).toMatchObject([
    {
      placement: {
        name: "ASR-APPLIANCE",
        compute: "domain-1",
        datastore: "large",
        folder: "folder",
        networks: { Lan: "net-2" },
        properties: { host: "a.contoso.com" },
        eulasAccepted: true,
      },
      secrets: { password: "short-no-more" },
      powerOn: true,
    },
  ]);
  // Neither rate nor time left before there are samples.
  at.tell("appliance_progress", sending());
  expect(screen.getAllByText("not yet known")).toHaveLength(2);
  at.tell("appliance_progress", sending({ sent: 1024, rate: 512, secondsLeft: 90 }));
  expect(screen.getByText("512 B/s")).toBeInTheDocument();
  expect(screen.getByRole("progressbar")).toHaveAttribute("aria-valuetext", "50 %");
  at.set({ goesOn: false, deployment: deployed("running") });
  at.tell("appliance_progress", sending({ phase: { is: "done" } }));
  await screen.findByTestId("appliance-registration");
  expect(screen.getByText("Not yet")).toBeInTheDocument();
});

it("keeps a file out that is not what it says", async () => {
  const user = userEvent.setup();
  const at = show();
  await user.click(await screen.findByTestId("appliance-choose"));
  at.tell("appliance_read", { type: "read", template });
  const error = {
    code: "invalid" as const,
    title: "The template is not what it says",
    detail: "disk",
    hint: "Download it again",
    address: null,
    retryable: false,
    correlationId: null,
  };
  at.tell("appliance_read", { type: "failed", error });
  expect(screen.getByText(error.title)).toBeInTheDocument();
  expect(screen.getByTestId("appliance-next")).toBeDisabled();
});

it("stops, and says that nothing is left", async () => {
  const user = userEvent.setup();
  const at = show({ goesOn: true, template, checked: true });
  await user.click(await screen.findByTestId("appliance-stop"));
  expect(at.named("appliance_abort")).toHaveLength(1);
  at.set({ goesOn: false });
  at.tell("appliance_progress", sending({ phase: { is: "stopped" } }));
  await user.click(await screen.findByTestId("appliance-again"));
  await screen.findByTestId("appliance-summary");
});

it("tidies up after an interrupted deployment before anything else", async () => {
  const at = show({ interrupted: true, deployment: deployed("imported") });
  await screen.findByTestId("appliance-file");
  expect(at.named("appliance_settle")).toHaveLength(1);
});

it("powers on what was adopted without being on", async () => {
  const user = userEvent.setup();
  show({ deployment: deployed("imported") });
  await user.click(await screen.findByTestId("appliance-power-on"));
  await screen.findByTestId("appliance-registration");
});

it("shows what vCenter holds against it", async () => {
  const user = userEvent.setup();
  show({ template, checked: true }, ["No supported hardware versions."]);
  await user.click(await screen.findByTestId("appliance-accept"));
  const next = async () => {
    await waitFor(() => expect(screen.getByTestId("appliance-next")).toBeEnabled());
    await user.click(screen.getByTestId("appliance-next"));
  };
  await next();
  await screen.findByTestId("appliance-datastore");
  await next();
  await user.selectOptions(await screen.findByTestId("appliance-network-Lan"), "net-1");
  await next();
  await user.type(await screen.findByTestId("appliance-value-password"), "long enough");
  await next();
  await screen.findByText("No supported hardware versions.");
  expect(screen.getByTestId("appliance-deploy-now")).toBeDisabled();
});
