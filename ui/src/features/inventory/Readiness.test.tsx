import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { GuestItemView } from "../../host/gen/GuestItemView";
import type { GuestView } from "../../host/gen/GuestView";
import type { UiError } from "../../host/gen/UiError";
import type { Host } from "../../host/types";
import { machine } from "../../testing";
import { Readiness } from "./Readiness";

const script = (text: string) => ({ language: "powershell", runOn: "the machine itself", text });
const rdp: GuestItemView = {
  item: "rdp",
  rule: "guest-rdp",
  state: "wrong",
  found: "It is switched off",
  fixable: true,
  person: null,
  undoableSince: null,
};
const updates: GuestItemView = {
  ...rdp,
  item: "updates",
  rule: "guest-updates",
  found: "2 are pending",
  fixable: false,
  person: { who: "Windows administrator", steps: ["Install them.", "Restart."] },
};
const UNREAD: GuestView = {
  moref: "vm-WEBVM",
  system: "windows",
  readAt: null,
  pasted: false,
  version: "",
  admin: null,
  account: null,
  accountReady: false,
  remembered: false,
  toolsRunning: true,
  script: script("# rehost-readiness 1 windows"),
  items: [],
};
const READ: GuestView = { ...UNREAD, readAt: "2026-11-21T18:56:00Z", accountReady: true, items: [rdp, updates] };
const refusal = (title: string): UiError => ({
  code: "refused",
  title,
  detail: "",
  hint: "",
  address: null,
  retryable: false,
  correlationId: null,
});

type Answers = Partial<Record<string, (args: Record<string, unknown>) => unknown>>;

function show(first: GuestView, answers: Answers = {}, ask = true) {
  const calls: [string, Record<string, unknown>][] = [];
  const onRead = vi.fn();
  const host = {
    call: async (command: string, args: Record<string, unknown>) => {
      calls.push([command, args]);
      return command === "guest_get" ? first : answers[command]?.(args);
    },
    onCloseAsked: () => () => undefined,
  } as unknown as Host;
  const value = { path: "/p.rehost", info: null } as unknown as ProjectContextValue;
  render(
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={new QueryClient()}>
          <ProjectContext value={value}>
            <Readiness vm={machine("WEBVM")} ask={ask} onRead={onRead} />
          </ProjectContext>
        </QueryClientProvider>
      </HostProvider>
    </FluentProvider>,
  );
  const of = (command: string) => calls.filter(([name]) => name === command).map(([, args]) => args);
  return { of, onRead, user: userEvent.setup() };
}

it("asks for an account first, says a refusal in the dialog, and remembers only by choice", async () => {
  let refused = true;
  const { of, onRead, user } = show(UNREAD, {
    guest_check: () => {
      if (!refused) return READ;
      refused = false;
      throw refusal("The guest refused the user name or the password");
    },
  });
  expect(await screen.findByTestId("readiness-unread")).toBeVisible();
  await user.click(screen.getByTestId("readiness-check"));
  const dialog = await screen.findByTestId("guest-account");
  expect(of("guest_check")).toEqual([]);
  await user.type(within(dialog).getByTestId("guest-user"), "Administrator");
  await user.type(within(dialog).getByTestId("guest-password"), "pw");
  await user.click(screen.getByTestId("guest-check"));
  expect(await within(dialog).findByText("The guest refused the user name or the password")).toBeVisible();
  expect(onRead).not.toHaveBeenCalled();
  await user.click(within(dialog).getByTestId("guest-remember"));
  await user.click(screen.getByTestId("guest-check"));
  await waitFor(() => expect(screen.queryByTestId("guest-account")).toBeNull());
  expect(of("guest_check").map((a) => [a.user, a.password, a.remember])).toEqual([
    ["Administrator", "pw", false],
    ["Administrator", "pw", true],
  ]);
  expect(onRead).toHaveBeenCalledTimes(1);
  expect(screen.getByText("It is switched off")).toBeVisible();
});

it("shows what a fix changes before it is made, and takes it back", async () => {
  const fixed = { ...rdp, state: "right" as const, found: "On, port 3389", fixable: false, undoableSince: READ.readAt };
  const { of, onRead, user } = show(READ, {
    guest_fix_preview: () => ({
      item: "rdp",
      changes: ["fDenyTSConnections: from 1 to 0"],
      script: script("do"),
      undo: script("undo"),
      notes: ["A policy comes back."],
    }),
    guest_fix: () => ({ ...READ, items: [fixed, updates] }),
    guest_undo: () => READ,
  });
  await user.click(await screen.findByRole("button", { name: "Preview the fix: Remote Desktop" }));
  const preview = await screen.findByTestId("fix-preview");
  expect(await within(preview).findByText("fDenyTSConnections: from 1 to 0")).toBeVisible();
  expect(within(preview).getByTestId("fix-script")).toHaveTextContent("do");
  expect(within(preview).getByTestId("fix-undo")).toHaveTextContent("undo");
  expect(preview).toHaveTextContent("A policy comes back.");
  expect(of("guest_fix")).toEqual([]);
  await user.click(screen.getByTestId("fix"));
  await waitFor(() => expect(screen.queryByTestId("fix-preview")).toBeNull());
  expect(of("guest_fix")).toEqual([{ project: "/p.rehost", moref: "vm-WEBVM", item: "rdp" }]);
  await user.click(screen.getByTestId("undo-rdp"));
  expect(await screen.findByText("It is switched off")).toBeVisible();
  expect(of("guest_undo")).toHaveLength(1);
  expect(onRead).toHaveBeenCalledTimes(2);
});

it("says who does what no script can", async () => {
  const { user } = show(READ);
  const row = (await screen.findByText("Windows updates")).closest("li") as HTMLElement;
  expect(within(row).queryByRole("button")).toBeNull();
  await user.click(within(row).getByText("Windows administrator does this"));
  expect(within(row).getByText("Restart.")).toBeVisible();
});

it("takes a pasted output where vCenter can't work in the machine", async () => {
  const { of, user } = show(
    { ...UNREAD, toolsRunning: false },
    {
      guest_paste: ({ output }) => {
        if (output === "half") throw refusal("This is not the whole output of the script");
        return { ...READ, pasted: true };
      },
    },
  );
  expect(await screen.findByText(/VMware Tools don't run/)).toBeVisible();
  await user.click(screen.getByTestId("readiness-check"));
  expect(of("guest_check")).toEqual([]);
  expect(screen.queryByTestId("guest-account")).toBeNull();
  await user.click(screen.getByTestId("readiness-by-hand"));
  const dialog = await screen.findByTestId("paste-dialog");
  expect(within(dialog).getByTestId("readiness-script")).toHaveTextContent("rehost-readiness");
  await user.type(within(dialog).getByTestId("paste-output"), "half");
  await user.click(screen.getByTestId("paste"));
  expect(await within(dialog).findByText("This is not the whole output of the script")).toBeVisible();
  await user.type(within(dialog).getByTestId("paste-output"), " and the rest");
  expect(within(dialog).queryByTestId("error-card")).toBeNull();
  await user.click(screen.getByTestId("paste"));
  expect(await screen.findByText(/^Pasted /)).toBeVisible();
});
