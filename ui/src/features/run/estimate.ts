// Estimates: the end of one task from what was measured, the rest of the run from the plan's figures. Pure.
import type { Task } from "../../host/gen/Task";
import type { TaskState } from "../../host/gen/TaskState";
import { SETTLED, markOf } from "../../design/mark";

/** A percentage at a time, in milliseconds. */
export type Sample = { at: number; percent: number };

export type Finish = { at: number; plusMinus: number; samples: number };

/** Fewer measurements than this make no estimate: it is "not yet known". */
const MIN_SAMPLES = 4;

/**
 * The end of a task by a line through its samples; `plusMinus` is the spread of the samples around the line, in
 * milliseconds. Nothing when there are too few samples or no progress.
 */
export function finish(samples: readonly Sample[]): Finish | null {
  if (samples.length < MIN_SAMPLES) return null;
  const n = samples.length;
  const meanAt = samples.reduce((sum, s) => sum + s.at, 0) / n;
  const meanPercent = samples.reduce((sum, s) => sum + s.percent, 0) / n;
  let covariance = 0;
  let variance = 0;
  for (const s of samples) {
    covariance += (s.at - meanAt) * (s.percent - meanPercent);
    variance += (s.at - meanAt) ** 2;
  }
  if (variance === 0 || covariance <= 0) return null;
  const slope = covariance / variance;
  const at = meanAt + (100 - meanPercent) / slope;
  const spread = samples.reduce((sum, s) => sum + Math.abs(s.percent - (meanPercent + slope * (s.at - meanAt))), 0) / n;
  return { at, plusMinus: Math.max(60_000, (2 * spread) / slope), samples: n };
}

export type Remaining = { p50: number; p95: number };
export type Planned = Remaining & { own: number };

/**
 * For each task the seconds until it is done, along the longest chain of what is still open before it, by the plan's
 * usual durations; what has run already is taken off, but an overdue task still counts a little. People count at their usual
 * pace: their P95 is "when they come back", which says nothing about the work. `own` is the task's own part.
 */
export function schedule(
  tasks: readonly Task[],
  states: ReadonlyMap<string, TaskState>,
  now: number,
): Map<string, Planned> {
  const byAddress = new Map(tasks.map((task) => [task.address, task]));
  const out = new Map<string, Planned>();
  const settled: Planned = { p50: 0, p95: 0, own: 0 };
  const visit = (address: string): Planned => {
    const known = out.get(address);
    if (known) return known;
    const task = byAddress.get(address);
    const state = states.get(address);
    if (!task || (state && SETTLED.has(markOf(state)))) return settled;
    out.set(address, settled);
    const before = task.after.map(visit);
    const ran = state?.started && !state.ended ? (now - Date.parse(state.started)) / 1000 : 0;
    const left = (usual: number) => (ran > 0 ? Math.max(usual - ran, usual * 0.05) : usual);
    const own = left(task.duration.p50);
    const value = {
      p50: Math.max(0, ...before.map((b) => b.p50)) + own,
      p95: Math.max(0, ...before.map((b) => b.p95)) + (byPeople(task) ? own : left(task.duration.p95)),
      own,
    };
    out.set(address, value);
    return value;
  };
  for (const task of tasks) visit(task.address);
  return out;
}

export const byPeople = (task: Task): boolean => task.actor.who === "person" || task.action.do === "gate";

/** Seconds until the last of `wanted` is done. */
export function remaining(planned: ReadonlyMap<string, Planned>, wanted: readonly Task[]): Remaining {
  const all = wanted.map((task) => planned.get(task.address) ?? { p50: 0, p95: 0 });
  return { p50: Math.max(0, ...all.map((a) => a.p50)), p95: Math.max(0, ...all.map((a) => a.p95)) };
}
