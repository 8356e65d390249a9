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
import { BackupsDialog } from "./BackupsDialog";

function open(databaseMethod: string, server: string, backups: unknown) {
  const call = vi.fn(() => Promise.resolve({}));
  const known = connections("azureCli");
  known.connections.sql.server = server;
  const dms = { source: "Share", sharePath: "\\\\FILES01\\backups" };
  const project = { path: "/p.rehost", design: { backups, databaseMethod, dms }, connections: known };
  const onClose = vi.fn();
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={new QueryClient()}>
        <HostProvider value={{ call } as unknown as Host}>
          <BackupsDialog project={project as unknown as ProjectView} onClose={onClose} />
        </HostProvider>
      </QueryClientProvider>
    </FluentProvider>,
  );
  return { call, onClose, user: userEvent.setup() };
}

it("saves where Rehost backs up to and what becomes of the source", async () => {
  const { call, onClose, user } = open("LogReplay", "SQLVM", null);
  await user.click(screen.getByTestId("backups-by-rehost"));
  await user.type(screen.getByTestId("backups-folder"), "\\\\FILES01\\sql");
  const files = screen.getByTestId("backups-files");
  await user.clear(files);
  await user.type(files, "4{enter}");
  await user.click(screen.getByTestId("backups-differential"));
  await user.click(screen.getByTestId("backups-readOnly"));
  await user.click(screen.getByTestId("backups-save"));
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(call).toHaveBeenCalledWith("backups_save", {
    project: "/p.rehost",
    backups: { files: 4, differential: true, folder: "\\\\FILES01\\sql", sourceAfter: "readOnly" },
  });
});

it("leaves them to a person again, and says what a share and a missing connection mean", async () => {
  const { call, user } = open("DmsOnline", "", { files: 1, differential: false, folder: "", sourceAfter: "restoring" });
  expect(screen.queryByTestId("backups-folder")).toBeNull();
  expect(screen.getByText(/FILES01/)).toBeTruthy();
  expect(screen.getByText(/Needs a connection/)).toBeTruthy();
  await user.click(screen.getByTestId("backups-by-person"));
  await user.click(screen.getByTestId("backups-save"));
  expect(call).toHaveBeenCalledWith("backups_save", { project: "/p.rehost", backups: null });
});
