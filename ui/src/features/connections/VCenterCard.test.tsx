import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { CertificateView } from "../../host/gen/CertificateView";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { RightsView } from "../../host/gen/RightsView";
import type { UiError } from "../../host/gen/UiError";
import type { Host } from "../../host/types";
import { connections } from "../../testing";
import { RightsCard } from "./RightsCard";
import { VCenterCard } from "./VCenterCard";

const certificate: CertificateView = {
  sha256: Array(32).fill("AB").join(":"),
  sha1: Array(20).fill("CD").join(":"),
  subject: "CN=vcenter",
  names: ["vcenter.contoso.com"],
  issuer: "CN=CA",
  notBefore: "2026-01-01T00:00:00Z",
  notAfter: "2028-01-01T00:00:00Z",
  changedFrom: null,
};

const rights = (more: Partial<RightsView> = {}): RightsView => ({
  user: "rehost@vsphere.local",
  own: [
    {
      step: 7,
      stepTitle: "Migrate",
      task: "step-7/shutdown/SQLVM",
      title: "Shut down SQLVM",
      on: "SQLVM",
      seen: true,
      privileges: ["VirtualMachine.Interact.PowerOff"],
      missing: ["VirtualMachine.Interact.PowerOff"],
    },
    {
      step: 4,
      stepTitle: "Prepare VMware",
      task: "step-4/check-vm/WEBVM",
      title: "WEBVM can be replicated",
      on: "WEBVM",
      seen: true,
      privileges: ["System.Read"],
      missing: [],
    },
  ],
  lacking: "A vCenter administrator adds them.",
  ownScript: { language: "powershell", runOn: "VMware PowerCLI", text: "Set-Role 'Rehost'" },
  principal: "CONTOSO\\svc-asr",
  principalKnown: true,
  method: "Site Recovery modernized",
  source: "a page",
  roles: [
    {
      name: "Azure_Site_Recovery",
      place: "datacenter dc",
      privileges: ["Datastore.Browse"],
      unknown: [],
      exists: false,
      missing: [],
      granted: { is: "no" },
      lacks: null,
    },
  ],
  changes: ["Make the role.", "Grant it."],
  obstacles: [],
  rolesScript: { language: "powershell", runOn: "VMware PowerCLI", text: "Set-Role 'Azure_Site_Recovery'" },
  passwordRule: "No quotes.",
  ...more,
});

function show(answers: Record<string, (args: never) => unknown>) {
  const stored = connections("clientSecret", { vcenterPasswordStored: true });
  stored.connections.vcenter = {
    url: "https://vcenter.contoso.com",
    user: "rehost@vsphere.local",
    thumbprint: "",
    proxy: { use: "system" },
  };
  const call = vi.fn(async (command: string, args: object) => {
    const answer = answers[command];
    return answer ? answer(args as never) : structuredClone(stored);
  });
  const host = { call, stream: () => () => undefined, onCloseAsked: () => () => undefined } as unknown as Host;
  const project = { path: "/p.rehost", connections: stored, live: false } as unknown as ProjectView;
  render(
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={new QueryClient()}>
          <ProjectContext value={{ project } as unknown as ProjectContextValue}>
            <VCenterCard project={project} />
            <RightsCard project={project} />
          </ProjectContext>
        </QueryClientProvider>
      </HostProvider>
    </FluentProvider>,
  );
  return call;
}

const tested = (shown: CertificateView) => ({ connection_test: () => ({ ok: false, steps: [], certificate: shown }) });

it("trusts what was shown, and only when asked to", async () => {
  const call = show(tested(certificate));
  await userEvent.click(screen.getByTestId("vcenter-test"));
  await userEvent.click(await screen.findByTestId("certificate-refuse"));
  await waitFor(() => expect(screen.queryByTestId("certificate")).toBeNull());
  expect(call).not.toHaveBeenCalledWith("certificate_trust", expect.anything());
  await userEvent.click(screen.getByTestId("vcenter-test"));
  await userEvent.click(await screen.findByTestId("certificate-trust"));
  expect(call).toHaveBeenCalledWith("certificate_trust", {
    project: "/p.rehost",
    kind: "vcenter",
    sha256: certificate.sha256,
  });
});

it("says what of a changed certificate differs", async () => {
  const before = { ...certificate, sha256: Array(32).fill("00").join(":"), issuer: "CN=Other" };
  show(tested({ ...certificate, notAfter: "2030-01-01T00:00:00Z", changedFrom: before }));
  await userEvent.click(screen.getByTestId("vcenter-test"));
  const dialog = await screen.findByTestId("certificate");
  expect(within(dialog).getByTestId("certificate-changed")).toBeVisible();
  const differs = [...dialog.querySelectorAll('[data-differs="true"]')].map((row) => row.getAttribute("data-part"));
  expect(differs).toEqual(["sha256", "issuer", "notAfter"]);
  expect(within(dialog).getByTestId("certificate-like")).toHaveTextContent("issuer");
});

it("saves a proxy with its password", async () => {
  const call = show({});
  await userEvent.click(screen.getByText(/^Network/));
  await userEvent.click(screen.getByTestId("vcenter-proxy-explicit"));
  await userEvent.type(screen.getByTestId("vcenter-proxy-url"), "http://proxy:8080");
  await userEvent.type(screen.getByTestId("vcenter-proxy-user"), "svc");
  await userEvent.type(screen.getByTestId("vcenter-proxy-password"), "secret");
  await userEvent.click(screen.getByTestId("vcenter-save"));
  const saved = call.mock.calls.find(([command]) => command === "connection_save")?.[1];
  expect(saved).toMatchObject({
    kind: "vcenter",
    connections: { vcenter: { proxy: { use: "explicit", url: "http://proxy:8080", user: "svc" } } },
    proxyPassword: "secret",
  });
});

it("shows rights by step with what lacks open, and does what the preview said", async () => {
  const done = rights({ changes: [] });
  const call = show({ vcenter_rights: () => rights(), vcenter_roles_apply: () => done });
  await userEvent.click(screen.getByTestId("rights-look"));
  const own = await screen.findByTestId("rights-own");
  const steps = [...own.querySelectorAll("tbody")].map((step) => [step.dataset.step, step.dataset.open]);
  expect(steps).toEqual([
    ["4", "false"],
    ["7", "true"],
  ]);
  expect(own.querySelector('[data-missing="true"]')).toHaveTextContent("VirtualMachine.Interact.PowerOff");
  await userEvent.click(screen.getByTestId("roles-apply"));
  const preview = await screen.findByTestId("roles-preview");
  expect(within(preview).getByText("Make the role.")).toBeVisible();
  expect(call).not.toHaveBeenCalledWith("vcenter_roles_apply", expect.anything());
  await userEvent.click(screen.getByTestId("roles-confirm"));
  await waitFor(() => expect(screen.queryByTestId("roles-preview")).toBeNull());
  expect(call).toHaveBeenCalledWith("vcenter_roles_apply", {
    project: "/p.rehost",
    changes: ["Make the role.", "Grant it."],
  });
  expect(screen.getByTestId("roles-apply")).toHaveAttribute("aria-disabled", "true");
});

it("says in words why a role could not be made", async () => {
  const error: UiError = {
    code: "refused",
    title: "The account lacks a right in vCenter",
    detail: "It needs Authorization.ModifyRoles.",
    hint: "A vCenter administrator adds it.",
    address: null,
    retryable: false,
    correlationId: null,
  };
  show({
    vcenter_rights: () => rights(),
    vcenter_roles_apply: () => Promise.reject(error),
    vcenter_script_save: () => "/home/me/Rehost-roles.ps1",
  });
  await userEvent.click(screen.getByTestId("rights-look"));
  await userEvent.click(await screen.findByTestId("roles-apply"));
  await userEvent.click(await screen.findByTestId("roles-confirm"));
  expect(await screen.findByText(error.title)).toBeVisible();
  const script = screen.getByTestId("script-roles");
  await userEvent.click(within(script).getByText(/^PowerCLI/));
  await userEvent.click(screen.getByTestId("save-roles"));
  expect(await within(script).findByText(/Rehost-roles\.ps1/)).toBeVisible();
});
