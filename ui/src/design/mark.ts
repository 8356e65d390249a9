// The words, shapes and colours of states. One table for tasks, steps, nodes, bars and reports: the same state looks
// and reads the same everywhere.
import type { TaskState } from "../host/gen/TaskState";

export type Mark =
  | "done"
  | "adopted"
  | "skipped"
  | "running"
  | "waiting"
  | "overdue"
  | "you"
  | "ready"
  | "later"
  | "blocked"
  | "failed"
  | "rejected"
  | "undoing"
  | "undone";

/** Which of several states is told first: what needs a person, then what moves, then what rests. */
const PRIORITY: Mark[] = [
  "failed",
  "rejected",
  "you",
  "overdue",
  "running",
  "undoing",
  "waiting",
  "blocked",
  "ready",
  "later",
  "undone",
  "done",
  "adopted",
  "skipped",
];

export const SETTLED: ReadonlySet<Mark> = new Set(["done", "adopted", "skipped"]);
export const MOVING: ReadonlySet<Mark> = new Set(["running", "waiting", "overdue", "undoing"]);

/**
 * The state of a task as people call it. "Waiting" in the engine covers both what the other side is working on and what
 * waits for a time, a retry or somebody; the first is running to an admin.
 */
export function markOf(task: Pick<TaskState, "status" | "overdue" | "blockedBy" | "inFlight" | "retryAt">): Mark {
  switch (task.status) {
    case "needsPerson":
      return "you";
    case "blocked":
      return task.blockedBy.length > 0 ? "blocked" : "later";
    case "running":
      return task.overdue ? "overdue" : "running";
    case "waiting":
      if (task.overdue) return "overdue";
      return task.inFlight !== null && task.retryAt === null ? "running" : "waiting";
    default:
      return task.status;
  }
}

/**
 * Rolls the states of several tasks up into one: the most urgent that is going on; when nothing is, done if all are
 * settled, else where it rests.
 */
export function rollUp(marks: readonly Mark[]): Mark {
  if (marks.length === 0) return "later";
  let best: Mark | undefined;
  for (const mark of marks) {
    if (best === undefined || PRIORITY.indexOf(mark) < PRIORITY.indexOf(best)) best = mark;
  }
  if (best === "done" || best === "adopted" || best === "skipped") {
    return marks.some((m) => m === "done") ? "done" : best;
  }
  return best ?? "later";
}

const RESTING: ReadonlySet<Mark> = new Set(["later", "ready", "blocked", "undone"]);

/**
 * The state of a thing in the diagram: as [`rollUp`], but a thing that exists already and rests between two tasks
 * counts as done, not as "later".
 */
export function rollUpThing(marks: readonly Mark[], exists: boolean): Mark | undefined {
  const active = marks.filter((m) => !SETTLED.has(m) && !RESTING.has(m));
  if (active.length > 0) return rollUp(active);
  if (marks.some((m) => SETTLED.has(m))) return "done";
  if (marks.length > 0) return exists ? undefined : marks.includes("blocked") ? "blocked" : "later";
  return undefined;
}
