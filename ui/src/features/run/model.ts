// The run as the window knows it: the snapshot and the messages after it, folded. Pure; the hook in `stream.ts` feeds it.
import type { ClockView } from "../../host/gen/ClockView";
import type { Plan } from "../../host/gen/Plan";
import type { PlanView } from "../../host/gen/PlanView";
import type { RunMessage } from "../../host/gen/RunMessage";
import type { RunState } from "../../host/gen/RunState";
import type { Step } from "../../host/gen/Step";
import type { Task } from "../../host/gen/Task";
import type { TaskState } from "../../host/gen/TaskState";
import { type Mark, markOf, MOVING, rollUp, SETTLED } from "../../design/mark";
import type { Sample } from "./estimate";

/** The clock as it was when a message came, and when that was on this computer, in milliseconds. */
export type Clock = { at: number; seen: number; speed: number };

export type RunModel = {
  plan: PlanView;
  run: Omit<RunState, "tasks">;
  tasks: ReadonlyMap<string, TaskState>;
  clock: Clock;
  /** Percentages seen so far, for estimates. */
  samples: ReadonlyMap<string, readonly Sample[]>;
};

/** Samples kept for each task: enough for a line, few enough to forget a slow start. */
const KEPT_SAMPLES = 12;

const clockOf = (clock: ClockView, seen: number): Clock => ({ at: Date.parse(clock.now), seen, speed: clock.speed });

/** Folds a batch of messages. `seen` is this computer's time in milliseconds. */
export function fold(model: RunModel | null, messages: readonly RunMessage[], seen: number): RunModel | null {
  let next = model;
  let tasks: Map<string, TaskState> | undefined;
  let samples: Map<string, readonly Sample[]> | undefined;
  for (const message of messages) {
    if (message.type === "snapshot") {
      const { tasks: list, ...run } = message.state;
      tasks = new Map(list.map((task) => [task.address, task]));
      samples = new Map();
      next = { plan: message.plan, run, tasks, clock: clockOf(message.clock, seen), samples };
      continue;
    }
    if (next === null) continue;
    const clock = clockOf(message.clock, seen);
    if (message.type === "run") {
      const { tasks: _, ...run } = message.state;
      next = { ...next, run, clock };
      continue;
    }
    const { task } = message;
    tasks ??= new Map(next.tasks);
    tasks.set(task.address, task);
    if (task.percent !== null) {
      samples ??= new Map(next.samples);
      const before = samples.get(task.address) ?? [];
      const last = before.at(-1);
      if (!last || task.percent !== last.percent) {
        const fresh = last && task.percent < last.percent ? [] : before;
        samples.set(task.address, [...fresh, { at: clock.at, percent: task.percent }].slice(-KEPT_SAMPLES));
      }
    }
    next = { ...next, clock };
  }
  if (next === null || next === model) return next;
  return { ...next, tasks: tasks ?? next.tasks, samples: samples ?? next.samples };
}

/** A run that is not live, from the project's own record. */
export function recorded(plan: PlanView, state: RunState): RunModel {
  const { tasks, ...run } = state;
  const at = Date.parse(state.ended ?? lastSign(tasks) ?? state.started ?? new Date(0).toISOString());
  return {
    plan,
    run,
    tasks: new Map(tasks.map((task) => [task.address, task])),
    clock: { at, seen: 0, speed: 0 },
    samples: new Map(),
  };
}

function lastSign(tasks: readonly TaskState[]): string | undefined {
  let last: string | undefined;
  for (const task of tasks) {
    for (const at of [task.lastSign, task.ended]) if (at && (!last || at > last)) last = at;
  }
  return last;
}

export type StepSummary = {
  step: Step;
  mark: Mark;
  settled: number;
  /** The state of the task that matters most now. */
  focus: { task: Task; state: TaskState; mark: Mark } | undefined;
  /** Seconds from the first start to the last end, when all are settled. */
  took: number | undefined;
  people: number;
};

const stateMark = (model: RunModel, address: string): Mark => {
  const state = model.tasks.get(address);
  return state ? markOf(state) : "later";
};

/** What the list of steps shows of one step. */
export function summarize(model: RunModel, step: Step): StepSummary {
  const marks = step.tasks.map((task) => stateMark(model, task.address));
  const settled = marks.filter((m) => SETTLED.has(m)).length;
  let mark = rollUp(marks);
  if (mark === "ready" || mark === "later") mark = settled > 0 && mark === "ready" ? "ready" : "later";
  const focusIndex = marks.findIndex((m) => m === mark);
  const task = focusIndex >= 0 ? step.tasks[focusIndex] : undefined;
  const state = task && model.tasks.get(task.address);
  const all = settled === marks.length && marks.length > 0;
  return {
    step,
    mark,
    settled,
    focus: task && state && !all ? { task, state, mark } : undefined,
    took: all ? busySeconds(step.tasks.flatMap((t) => model.tasks.get(t.address) ?? [])) : undefined,
    people: step.tasks.filter((t) => t.actor.who === "person").length,
  };
}

/** Seconds during which at least one of the tasks was at work. */
export function busySeconds(states: readonly TaskState[]): number {
  const spans = states
    .flatMap((t) => (t.started && t.ended ? [[Date.parse(t.started), Date.parse(t.ended)] as const] : []))
    .sort((a, b) => a[0] - b[0]);
  let total = 0;
  let reach = -Infinity;
  for (const [from, to] of spans) {
    if (to <= reach) continue;
    total += to - Math.max(from, reach);
    reach = to;
  }
  return total / 1000;
}

export type Counts = { total: number; settled: number; moving: number };

export function countTasks(model: RunModel): Counts {
  const counts = { total: 0, settled: 0, moving: 0 };
  for (const step of model.plan.plan.steps) {
    for (const task of step.tasks) {
      const mark = stateMark(model, task.address);
      counts.total += 1;
      if (SETTLED.has(mark)) counts.settled += 1;
      else if (MOVING.has(mark)) counts.moving += 1;
    }
  }
  return counts;
}

export type Need =
  | { kind: "gate" | "person" | "failed" | "rejected"; task: Task; state: TaskState }
  | { kind: "reopen" | "paused" | "done" | "stopped" | "cancelled" }
  | { kind: "none"; moving: number; next: Task | undefined };

/** What a person must do next, and everything else that waits for a person. The first is told in the banner. */
export function needs(model: RunModel, live: boolean): Need[] {
  const { phase } = model.run;
  if (phase === "done" || phase === "cancelled") return [{ kind: phase }];
  const found: Need[] = [];
  const failed: Need[] = [];
  const tasks = model.plan.plan.steps.flatMap((step) => step.tasks);
  for (const task of tasks) {
    const state = model.tasks.get(task.address);
    if (!state) continue;
    if (state.status === "failed" || state.status === "rejected") failed.push({ kind: state.status, task, state });
    else if (state.status === "needsPerson") {
      found.push({ kind: task.action.do === "gate" ? "gate" : "person", task, state });
    }
  }
  const all = [...failed, ...found];
  if (phase === "stopped") return [{ kind: "stopped" }, ...all];
  if (!live) return [{ kind: "reopen" }, ...all];
  if (phase === "paused") return [{ kind: "paused" }, ...all];
  if (all.length > 0) return all;
  const next = tasks.find(
    (task) =>
      (task.action.do === "gate" || task.actor.who === "person") && !SETTLED.has(stateMark(model, task.address)),
  );
  return [{ kind: "none", moving: countTasks(model).moving, next }];
}

/** Tasks that must be settled before this one and are not. */
export function waitsFor(model: RunModel, task: Task): Task[] {
  const open = new Set(task.after.filter((address) => !SETTLED.has(stateMark(model, address))));
  return model.plan.plan.steps.flatMap((step) => step.tasks.filter((t) => open.has(t.address)));
}

/** `7.6`: the number of a task as people call it. */
export function numberOf(plan: Plan, address: string): string {
  for (const step of plan.steps) {
    const index = step.tasks.findIndex((task) => task.address === address);
    if (index >= 0) return `${step.number}.${index + 1}`;
  }
  return "";
}

export function taskOf(plan: Plan, address: string): { step: Step; task: Task } | undefined {
  for (const step of plan.steps) {
    const task = step.tasks.find((t) => t.address === address);
    if (task) return { step, task };
  }
  return undefined;
}

/** The task to show when the person has chosen none: what needs someone, else what moves, else the next or last one. */
export function focusTask(model: RunModel): string | undefined {
  let best: { address: string; rank: number } | undefined;
  const rank: Partial<Record<Mark, number>> = {
    failed: 0,
    rejected: 0,
    you: 1,
    overdue: 2,
    running: 3,
    waiting: 4,
    undoing: 4,
    ready: 5,
    blocked: 6,
    later: 7,
  };
  for (const step of model.plan.plan.steps) {
    for (const task of step.tasks) {
      const r = rank[stateMark(model, task.address)] ?? 8;
      if (!best || r < best.rank || (r === 8 && best.rank === 8)) best = { address: task.address, rank: r };
    }
  }
  return best?.address;
}
