import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { Host } from "../../host/types";
import { ApplicationDialog } from "./ApplicationDialog";

it("saves where the configuration is and what the site shows", async () => {
  const call = vi.fn(() => Promise.resolve({}));
  const project = {
    path: "/p.rehost",
    design: { webConfig: "C:\\web.config", connectionStringName: "Main", siteText: "", switchedByPerson: false },
  } as unknown as ProjectView;
  const onClose = vi.fn();
  render(
    <FluentProvider theme={lightTheme}>
      <QueryClientProvider client={new QueryClient()}>
        <HostProvider value={{ call } as unknown as Host}>
          <ApplicationDialog project={project} onClose={onClose} />
        </HostProvider>
      </QueryClientProvider>
    </FluentProvider>,
  );
  const user = userEvent.setup();
  await user.clear(screen.getByTestId("application-name"));
  await user.type(screen.getByTestId("application-text"), "Welcome");
  await user.click(screen.getByTestId("application-by-person"));
  await user.click(screen.getByTestId("application-save"));
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(call).toHaveBeenCalledWith("application_save", {
    project: "/p.rehost",
    webConfig: "C:\\web.config",
    connectionStringName: "",
    siteText: "Welcome",
    byPerson: true,
  });
});
