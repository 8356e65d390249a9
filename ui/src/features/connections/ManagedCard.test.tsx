import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { ConnectionTest } from "../../host/gen/ConnectionTest";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { Host } from "../../host/types";
import { connections } from "../../testing";
import { ManagedCard } from "./ManagedCard";

const NOT_YET: ConnectionTest = {
  ok: true,
  notYet: true,
  certificate: null,
  steps: [{ hop: null, title: "Ask Azure", ok: true, detail: "The run makes it.", hint: "Test again." }],
};

function show() {
  const call = vi.fn((command: string, args: { connections: ConnectionsView["connections"] }) =>
    Promise.resolve(
      command === "connection_test"
        ? NOT_YET
        : { ...connections("azureCli"), connections: args.connections, managedPasswordStored: true },
    ),
  );
  const design = { around: null, prove: null, mi: { name: "contoso-sqlmi", adminLogin: "contosoadmin" } };
  const project = { path: "/p.rehost", design, connections: connections("azureCli") } as unknown as ProjectView;
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={new QueryClient()}>
        <ProjectContext value={{ info: undefined } as unknown as ProjectContextValue}>
          <HostProvider value={{ call } as unknown as Host}>
            <ManagedCard project={project} />
          </HostProvider>
        </ProjectContext>
      </QueryClientProvider>
    </FluentProvider>,
  );
  return call;
}

it("says that an instance is not there yet, and that nothing is wrong", async () => {
  const call = show();
  await userEvent.setup().click(screen.getByTestId("managed-test"));
  expect(await screen.findByText("Not there yet")).toBeVisible();
  expect(screen.queryByText("Works")).toBeNull();
  expect(call).toHaveBeenCalledWith("connection_test", { project: "/p.rehost", kind: "managed" });
});

it("keeps the password apart, and asks for none when Entra signs in", async () => {
  const call = show();
  const user = userEvent.setup();
  await user.type(screen.getByTestId("managed-password"), "p;w'}d");
  await user.type(screen.getByTestId("managed-address"), "127.0.0.1,14330");
  expect(screen.getByTestId("managed-reach")).toBeDisabled();
  await user.click(screen.getByTestId("managed-save"));
  expect(await screen.findByTestId("managed-password-stored")).toBeVisible();
  const [, saved] = call.mock.calls[0] ?? [];
  expect(saved).toMatchObject({
    kind: "managed",
    secret: "p;w'}d",
    connections: { managed: { signIn: "administrator", reach: "private", address: "127.0.0.1,14330" } },
  });
  expect(JSON.stringify(saved?.connections)).not.toContain("p;w");
  await user.click(screen.getByTestId("managed-sign-in-with"));
  await user.click(await within(screen.getByTestId("managed-card")).findByRole("option", { name: /Entra/ }));
  await waitFor(() => expect(screen.queryByTestId("managed-password-stored")).toBeNull());
  expect(screen.getByTestId("managed-save")).toBeEnabled();
});
