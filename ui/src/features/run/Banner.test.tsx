import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ProjectContext, type ProjectContextValue } from "../../app/project";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { Host } from "../../host/types";
import { plan, run, state, task } from "../../testing";
import { Banner } from "./Banner";
import { GateDialog } from "./GateDialog";
import { recorded, type RunModel } from "./model";
import { Steps } from "./Steps";

const gate = task("step-1/gate/test", {
  title: "Is the test good?",
  action: {
    do: "gate",
    question: "Is the test good?",
    accept: "Go on",
    reject: "Stop",
    safeBecause: "Nothing has changed.",
  },
  after: ["step-1/vm/test"],
});
const view = plan([task("step-1/vm/test", { title: "The test VM runs" }), gate]);
const evidence = [{ at: "2026-11-21T19:00:00Z", text: "It answers HTTP 200" }];
const model = (...states: ReturnType<typeof state>[]) => recorded(view, run(states));
const waiting = () =>
  model(state("step-1/vm/test", { status: "done", evidence }), state(gate.address, { status: "needsPerson" }));

function framed(run: RunModel, node: React.ReactNode, call: Host["call"] = vi.fn()) {
  const host: Host = { call, stream: () => () => undefined, onCloseAsked: () => () => undefined };
  const project = {
    project: { path: "/p.rehost" },
    path: "/p.rehost",
    run,
    live: true,
  } as unknown as ProjectContextValue;
  return (
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={new QueryClient()}>
          <ProjectContext value={project}>{node}</ProjectContext>
        </QueryClientProvider>
      </HostProvider>
    </FluentProvider>
  );
}

const show = (...framing: Parameters<typeof framed>) => render(framed(...framing));

it("says what to decide, why it is safe, and offers exactly that", async () => {
  const decide = vi.fn();
  const m = waiting();
  show(m, <Banner run={m} live onShow={vi.fn()} onDecide={decide} />);
  expect(screen.getByTestId("banner")).toHaveTextContent("You decide: Is the test good? Nothing has changed.");
  await userEvent.click(screen.getByTestId("gate-review"));
  expect(decide).toHaveBeenCalledWith(gate.address);
});

it("leads to the instructions of what a person does before deciding", async () => {
  const onShow = vi.fn();
  const byHand = {
    ...gate,
    actor: { who: "person" as const, role: "web administrator", instructions: ["Run it"], script: null },
  };
  const m = recorded(plan([byHand]), run([state(gate.address, { status: "needsPerson" })]));
  show(m, <Banner run={m} live onShow={onShow} onDecide={vi.fn()} />);
  await userEvent.click(screen.getByRole("button", { name: "Show instructions" }));
  expect(onShow).toHaveBeenCalledWith(gate.address);
});

it("says that nothing is needed when nothing is", () => {
  const m = model(state("step-1/vm/test", { status: "running" }), state(gate.address));
  show(m, <Banner run={m} live onShow={vi.fn()} onDecide={vi.fn()} />);
  expect(screen.getByTestId("banner")).toHaveTextContent(
    "Nothing is needed from you now. The next time is at task 1.2",
  );
  expect(screen.queryByRole("button")).toBeNull();
});

it("shows the proofs, sends the decision with its note, and stays until the run shows it", async () => {
  const call = vi.fn().mockResolvedValue(null);
  const dialog = (m: RunModel) =>
    framed(
      m,
      <GateDialog run={m} project="/p.rehost" address={gate.address} onClose={vi.fn()} />,
      call as Host["call"],
    );
  const { rerender } = render(dialog(waiting()));
  expect(await screen.findByText("It answers HTTP 200")).toBeInTheDocument();
  await userEvent.type(screen.getByTestId("gate-note"), "CHG-1");
  await userEvent.click(screen.getByTestId("gate-reject"));
  expect(call).toHaveBeenCalledWith("gate_decide", {
    project: "/p.rehost",
    address: gate.address,
    accept: false,
    note: "CHG-1",
  });
  expect(screen.getByTestId("gate-accept")).toBeDisabled();
  rerender(dialog(model(state("step-1/vm/test", { status: "done" }), state(gate.address, { status: "rejected" }))));
  await waitFor(() => expect(screen.queryByTestId("gate-accept")).toBeNull());
});

it("walks the steps with the keyboard", async () => {
  const select = vi.fn();
  const m = waiting();
  show(m, <Steps run={m} selected={undefined} onSelect={select} />);
  const step = screen.getByTestId("step-1");
  expect(step).toHaveAttribute("aria-expanded", "true");
  expect(step).toHaveAttribute("data-status", "you");
  step.focus();
  await userEvent.keyboard("{ArrowDown}{ArrowDown}{Enter}");
  expect(select).toHaveBeenCalledWith(gate.address);
  await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
  expect(step).toHaveFocus();
  expect(step).toHaveAttribute("aria-expanded", "false");
});
