import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { AccountScope } from "../../host/gen/AccountScope";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { SignIn } from "../../host/gen/SignIn";
import type { SignInMessage } from "../../host/gen/SignInMessage";
import type { Host } from "../../host/types";
import { connections } from "../../testing";
import { AzureCard } from "./AzureCard";

const PRODUCTION = "5f3b6c0e-8a51-4c55-9d0a-2f6f1b7f0c11";
const OLD = "5f3b6c0e-8a51-4c55-9d0a-2f6f1b7f0c12";
const scope: AccountScope = {
  tenants: [{ id: "t-1", name: "Contoso", domain: "contoso.com", problem: null }],
  subscriptions: [
    { id: PRODUCTION, name: "Production", tenantId: "t-1", state: "Enabled", usable: true, reason: "" },
    { id: OLD, name: "Old", tenantId: "t-1", state: "Disabled", usable: false, reason: "It is disabled." },
  ],
};

/** A host that keeps what is saved, and lets the test play the messages of a sign-in. */
function show(signIn: SignIn, account: ConnectionsView["azureAccount"] = null) {
  const stored = connections(signIn, { azureAccount: account });
  const saved = vi.fn();
  const stopped = vi.fn();
  let send: (message: SignInMessage) => void = () => undefined;
  const host = {
    call: async (command: string, args: { connections: ConnectionsView["connections"] }) => {
      if (command === "clouds_list") return [{ name: "Azure", addresses: stored.connections.azure }];
      if (command === "account_scope") return scope;
      if (command === "connection_save") {
        saved(args.connections.azure);
        stored.connections = args.connections;
      }
      return structuredClone(stored);
    },
    stream: (_stream: string, _args: object, onMessage: typeof send) => {
      send = onMessage;
      return stopped;
    },
    onCloseAsked: () => () => undefined,
  } as unknown as Host;
  const project = { path: "/p.rehost", connections: stored, live: false } as unknown as ProjectView;
  render(
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={new QueryClient()}>
          <ProjectContext value={{ project } as unknown as ProjectContextValue}>
            <AzureCard project={project} />
          </ProjectContext>
        </QueryClientProvider>
      </HostProvider>
    </FluentProvider>,
  );
  return { saved, stopped, stored, say: (message: SignInMessage) => act(() => send(message)) };
}

it("shows the code while it waits, and ends the sign-in when it is cancelled", async () => {
  const { say, stopped } = show("deviceCode");
  expect(screen.getByTestId("azure-account")).toHaveTextContent("Nobody is signed in.");
  await userEvent.click(screen.getByTestId("sign-in-begin"));
  say({ type: "deviceCode", url: "https://microsoft.com/devicelogin", code: "F4QK9Z2LM" });
  say({ type: "waiting", secondsLeft: 65 });
  expect(screen.getByTestId("device-code")).toHaveTextContent("F4QK 9Z2LM");
  expect(screen.getByTestId("sign-in")).toHaveTextContent("1:05 left");
  await userEvent.keyboard("{Escape}");
  expect(stopped).toHaveBeenCalledOnce();
  await waitFor(() => expect(screen.queryByTestId("sign-in")).toBeNull());
});

it("says who is signed in, and why not", async () => {
  const { say, stored } = show("browser");
  await userEvent.click(screen.getByTestId("sign-in-begin"));
  const error = { code: "signIn", title: "Contoso asks for consent.", detail: "", hint: "", address: null } as const;
  say({ type: "failed", error: { ...error, retryable: true, correlationId: null } });
  expect(screen.getByTestId("error-card")).toHaveTextContent("Contoso asks for consent.");
  await waitFor(() => expect(screen.queryByTestId("sign-in")).toBeNull());
  await userEvent.click(screen.getByTestId("sign-in-begin"));
  expect(screen.queryByTestId("error-card")).toBeNull();
  say({ type: "signedIn", connections: { ...stored, azureAccount: { user: "anna@contoso.com", tenantId: "t-1" } } });
  expect(screen.getByTestId("azure-account")).toHaveTextContent("anna@contoso.com");
  expect(await screen.findByText("Signed in to Contoso")).toBeInTheDocument();
});

it("takes tenant and subscription together, and only one that can be used", async () => {
  const { saved } = show("browser", { user: "anna@contoso.com", tenantId: "t-1" });
  await screen.findByText("Signed in to Contoso");
  await userEvent.click(screen.getByTestId("azure-subscription"));
  await userEvent.click(screen.getByTestId(`subscription-${OLD}`));
  expect(screen.getByTestId("azure-save")).toHaveAttribute("aria-disabled", "true");
  await userEvent.click(screen.getByTestId(`subscription-${PRODUCTION}`));
  await userEvent.click(screen.getByTestId("azure-save"));
  expect(saved).toHaveBeenCalledWith(expect.objectContaining({ subscriptionId: PRODUCTION, tenantId: "t-1" }));
});

it("saves what is typed before it signs in", async () => {
  const { saved } = show("browser");
  await userEvent.click(screen.getByText("What must be prepared"));
  await userEvent.type(screen.getByTestId("azure-client"), "my-app");
  await userEvent.click(screen.getByTestId("sign-in-begin"));
  expect(saved).toHaveBeenCalledWith(expect.objectContaining({ clientId: "my-app" }));
  expect(await screen.findByTestId("sign-in")).toBeInTheDocument();
});
