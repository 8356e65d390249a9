import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { Host } from "../../host/types";
import { connections } from "../../testing";
import { AroundDialog } from "./AroundDialog";

function show(project: ProjectView, call: unknown, onClose: () => void, onConnect: () => void) {
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={new QueryClient()}>
        <HostProvider value={{ call } as unknown as Host}>
          <AroundDialog project={project} onClose={onClose} onConnect={onConnect} />
        </HostProvider>
      </QueryClientProvider>
    </FluentProvider>,
  );
}

const design = {
  around: null,
  prove: null,
  certificate: false,
  mi: { name: "contoso-sqlmi", adminLogin: "contosoadmin" },
};

it("leads to the connections when one is missing", async () => {
  const project = { path: "/p.rehost", design, connections: connections("azureCli") } as unknown as ProjectView;
  const onConnect = vi.fn();
  show(project, vi.fn(), vi.fn(), onConnect);
  expect(screen.getByTestId("around-missing")).toBeVisible();
  expect(screen.queryByTestId("around-servers")).toBeNull();
  expect(screen.queryByTestId("around-certificate")).toBeNull();
  await userEvent.setup().click(screen.getByTestId("around-connect"));
  expect(onConnect).toHaveBeenCalled();
});

it("saves what is moved and how it is proved", async () => {
  const object = { kind: "roles", there: false, statement: "GRANT x", whyNot: null, remarks: [], chosen: true };
  const call = vi.fn((command: string) =>
    Promise.resolve(command === "around_look" ? [{ ...object, id: "roles/y", name: "y" }] : {}),
  );
  const project = {
    path: "/p.rehost",
    design,
    connections: (() => {
      const known = connections("azureCli");
      known.connections.sql.server = "SQLVM";
      return known;
    })(),
  } as unknown as ProjectView;
  const onClose = vi.fn();
  show(project, call, onClose, vi.fn());
  expect(screen.getByTestId("around-servers")).toHaveTextContent("contoso-sqlmi as its administrator contosoadmin");
  const user = userEvent.setup();
  await user.click(screen.getByTestId("around-certificate"));
  await user.click(screen.getByTestId("around-all"));
  await user.click(screen.getByTestId("around-jobs"));
  await user.type(screen.getByTestId("around-leave-out"), "logins/a=b; c{enter}  {enter}roles/x");
  await user.click(screen.getByTestId("around-look"));
  await user.click(await screen.findByRole("checkbox", { name: "roles/y" }));
  await user.type(screen.getByTestId("around-domains"), "CONTOSO = contoso.com{enter}nonsense");
  await user.click(screen.getByTestId("around-prove"));
  await user.click(screen.getByTestId("around-metadata"));
  await user.type(screen.getByTestId("around-checksums"), "dbo.Hotels");
  await user.click(screen.getByTestId("around-checkdb"));
  await user.click(screen.getByTestId("around-save"));
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(call).toHaveBeenCalledWith("around_save", {
    project: "/p.rehost",
    around: {
      kinds: ["logins", "roles", "credentials", "linkedServers", "users"],
      leaveOut: ["logins/a=b; c", "roles/x", "roles/y"],
      domains: { CONTOSO: "contoso.com" },
    },
    prove: { rows: "metadata", checksums: ["dbo.Hotels"], checkdb: true },
    certificate: true,
  });
});
