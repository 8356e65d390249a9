import { describe, expect, it } from "vitest";
import type { RunMessage } from "../../host/gen/RunMessage";
import { at, plan, run, state, task } from "../../testing";
import { countTasks, focusTask, fold, needs, numberOf, recorded, summarize, waitsFor } from "./model";

const gate = task("step-2/gate/test", {
  action: { do: "gate", question: "Good?", accept: "Go on", reject: "Stop", safeBecause: "Nothing has changed." },
  after: ["step-1/vnet/A"],
});
const view = plan([task("step-1/vnet/A"), task("step-1/vnet/B"), gate]);
const clock = { now: at(100), speed: 500 };
const snapshot = (tasks = [state("step-1/vnet/A"), state("step-1/vnet/B"), state("step-2/gate/test")]): RunMessage => ({
  type: "snapshot",
  plan: view,
  state: run(tasks),
  clock,
});

function model(...tasks: ReturnType<typeof state>[]) {
  const m = fold(null, [snapshot(tasks)], 0);
  if (!m) throw new Error("no model");
  return m;
}

describe("folding messages", () => {
  it("takes the snapshot first and drops what comes before it", () => {
    const early: RunMessage = { type: "task", seq: 1, task: state("step-1/vnet/A", { status: "done" }), clock };
    expect(fold(null, [early], 0)).toBeNull();
    expect(fold(null, [early, snapshot()], 0)?.tasks.get("step-1/vnet/A")?.status).toBe("blocked");
  });

  it("replaces tasks, keeps the tasks when only the phase changes, and leaves the old model alone", () => {
    const before = model(state("step-1/vnet/A"));
    const after = fold(
      before,
      [
        { type: "task", seq: 2, task: state("step-1/vnet/A", { status: "running", percent: 10 }), clock },
        { type: "run", seq: 3, state: run([], { phase: "paused" }), clock: { ...clock, now: at(200) } },
      ],
      7,
    );
    expect(after?.tasks.get("step-1/vnet/A")?.status).toBe("running");
    expect(after?.run.phase).toBe("paused");
    expect(after?.clock).toEqual({ at: Date.parse(at(200)), seen: 7, speed: 500 });
    expect(before.tasks.get("step-1/vnet/A")?.status).toBe("blocked");
  });

  it("collects samples and forgets them when a task starts over", () => {
    let m: ReturnType<typeof model> | null = model(state("step-1/vnet/A"));
    for (const [seconds, percent] of [
      [1, 10],
      [2, 20],
      [3, 20],
      [4, 5],
    ] as const) {
      const message: RunMessage = {
        type: "task",
        seq: seconds,
        task: state("step-1/vnet/A", { status: "running", percent }),
        clock: { now: at(seconds), speed: 1 },
      };
      m = fold(m, [message], 0);
      if (seconds === 3) expect(m?.samples.get("step-1/vnet/A")).toHaveLength(2);
    }
    expect(m?.samples.get("step-1/vnet/A")?.map((s) => s.percent)).toEqual([5]);
  });
});

describe("what a person must do", () => {
  it("asks for the decision and for nothing when nothing is open", () => {
    const waiting = model(
      state("step-1/vnet/A", { status: "done" }),
      state("step-2/gate/test", { status: "needsPerson" }),
    );
    expect(needs(waiting, true)[0]).toMatchObject({ kind: "gate", task: gate });
    const quiet = model(state("step-1/vnet/A", { status: "running" }), state("step-2/gate/test"));
    expect(needs(quiet, true)).toEqual([{ kind: "none", moving: 1, next: gate }]);
  });

  it("tells a failure before a decision, and that a run rests before either", () => {
    const m = model(state("step-1/vnet/A", { status: "failed" }), state("step-2/gate/test", { status: "needsPerson" }));
    expect(needs(m, true).map((n) => n.kind)).toEqual(["failed", "gate"]);
    expect(needs(m, false)[0]?.kind).toBe("reopen");
    expect(needs({ ...m, run: { ...m.run, phase: "stopped" } }, true)[0]?.kind).toBe("stopped");
    expect(needs({ ...m, run: { ...m.run, phase: "done" } }, false)).toEqual([{ kind: "done" }]);
  });
});

describe("steps", () => {
  it("summarizes: state, how many, and how long without counting parallel time twice", () => {
    const m = model(
      state("step-1/vnet/A", { status: "done", started: at(0), ended: at(100) }),
      state("step-1/vnet/B", { status: "done", started: at(50), ended: at(150) }),
      state("step-2/gate/test", { status: "needsPerson" }),
    );
    const [first, second] = m.plan.plan.steps.map((step) => summarize(m, step));
    expect(first).toMatchObject({ mark: "done", settled: 2, took: 150, focus: undefined });
    expect(second).toMatchObject({ mark: "you", settled: 0, took: undefined });
    expect(countTasks(m)).toEqual({ total: 3, settled: 2, moving: 0 });
    expect(focusTask(m)).toBe("step-2/gate/test");
    expect(numberOf(m.plan.plan, "step-1/vnet/B")).toBe("1.2");
    expect(waitsFor(m, gate)).toEqual([]);
  });
});

it("shows a recorded run at the time of its last sign of life", () => {
  const m = recorded(view, run([state("step-1/vnet/A", { status: "waiting", lastSign: at(42) })]));
  expect(m.clock.at).toBe(Date.parse(at(42)));
});
