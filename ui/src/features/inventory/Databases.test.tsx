import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import { readSql } from "../../host/fixture-sql";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { SqlMessage } from "../../host/gen/SqlMessage";
import type { Host } from "../../host/types";
import { connections } from "../../testing";
import { Databases } from "./Databases";

/** The screen with a server that is played by `stream`; nothing was read before. */
function show(server: string, stream: (send: (message: SqlMessage) => void) => () => void, call = vi.fn()) {
  const view = connections("browser");
  view.connections.sql.server = server;
  const go = vi.fn();
  const host: Partial<Host> = {
    call: ((...args: unknown[]) => Promise.resolve(call(...args) ?? null)) as unknown as Host["call"],
    stream: ((_: string, __: unknown, send: (message: SqlMessage) => void) => stream(send)) as Host["stream"],
  };
  const project = { path: "/p.rehost", connections: view, design: { database: "smarthoteldb", furtherDatabases: [] } };
  const value = { project: project as unknown as ProjectView, path: "/p.rehost", go } as unknown as ProjectContextValue;
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={new QueryClient()}>
        <HostProvider value={host as Host}>
          <ProjectContext value={value}>
            <Databases tabs={null} />
          </ProjectContext>
        </HostProvider>
      </QueryClientProvider>
    </FluentProvider>,
  );
  return go;
}

/** What axe finds; colours need a browser, and are looked at there. */
const flaws = async () =>
  (await axe.run(document.body, { rules: { "color-contrast": { enabled: false }, region: { enabled: false } } }))
    .violations;

it("leads to the connection while there is none", async () => {
  const go = show("", () => () => undefined);
  await screen.findByTestId("databases-begin");
  expect(await flaws()).toEqual([]);
  await userEvent.click(await screen.findByTestId("databases-begin"));
  expect(go).toHaveBeenCalledWith("connect");
});

it("reads, judges, and tells of each database by keyboard alone", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  const person = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
  show("SQLVM", readSql);
  await person.click(await screen.findByTestId("databases-begin"));
  await vi.advanceTimersByTimeAsync(300);
  expect(screen.getByTestId("databases-summary")).toHaveTextContent("Reading SQLVM: 1 of 4");
  await vi.advanceTimersByTimeAsync(2000);
  expect(screen.getByTestId("databases-summary")).toHaveTextContent("4 databases in 0.7 s");
  expect(screen.getByTestId("instance-details")).toHaveTextContent("msdb.dbo.sysjobs: the login may not see it");
  const rows = within(screen.getByTestId("databases"));
  const first = rows.getByRole("row", { name: /SmartHotelDB/ });
  expect(first).toHaveTextContent("in the plan");
  first.focus();
  await person.keyboard("{ArrowDown}{Enter}");
  const details = screen.getByTestId("database-details");
  expect(details).toHaveTextContent("not in the FULL recovery model");
  vi.useRealTimers();
  expect(await flaws()).toEqual([]);
  await userEvent.keyboard("{Escape}");
  expect(screen.queryByTestId("database-details")).toBeNull();
});

it("takes a database along, and leaves the application's own in the plan", async () => {
  const call = vi.fn();
  show("SQLVM", readSql, call);
  await userEvent.click(await screen.findByTestId("databases-begin"));
  const rows = within(await screen.findByTestId("databases"));
  await userEvent.click(await rows.findByRole("row", { name: /SmartHotelDB/ }));
  expect(screen.getByTestId("database-details")).toHaveTextContent("always in the plan");
  expect(screen.queryByTestId("database-along")).toBeNull();
  await userEvent.click(rows.getByRole("row", { name: /SmartHotelReports/ }));
  await userEvent.click(screen.getByTestId("database-along"));
  expect(call).toHaveBeenCalledWith("databases_save", { project: "/p.rehost", further: ["SmartHotelReports"] });
});

it("says why a server can't be read, and leads to the connection", async () => {
  const error = {
    code: "signIn" as const,
    title: "SQL Server refused the login",
    detail: "18456",
    hint: "Enter the password.",
    address: null,
    retryable: true,
    correlationId: null,
  };
  const go = show("SQLVM", (send) => {
    send({ type: "failed", error });
    return () => undefined;
  });
  await userEvent.click(await screen.findByTestId("databases-begin"));
  expect(await screen.findByText("SQL Server refused the login")).toBeInTheDocument();
  await userEvent.click(screen.getByRole("button", { name: "To the connections" }));
  expect(go).toHaveBeenCalledWith("connect");
});
