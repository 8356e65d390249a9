// What the diagram says about a run: the state of each node and edge, and the live words on them. Pure.
import type { Diagram } from "../host/gen/Diagram";
import type { Edge } from "../host/gen/Edge";
import type { Plan } from "../host/gen/Plan";
import type { Task } from "../host/gen/Task";
import type { TaskState } from "../host/gen/TaskState";
import { type Mark, markOf, MOVING, rollUpThing, SETTLED } from "../design/mark";
import { percent } from "../design/format";

export type Moment = "before" | "now" | "after";

export type Thing = {
  mark: Mark | undefined;
  /** The live line, when something is going on; else the node's own. */
  detail: string;
  /** The task to show when it is chosen: the one going on, else the last one done, else the first to come. */
  task: Task | undefined;
  /** It was removed in the course of the run. */
  gone: boolean;
};

const LIVE: ReadonlySet<Mark> = new Set(["failed", "rejected", "you", "overdue", "running", "waiting", "undoing"]);
const URGENT: Mark[] = ["failed", "rejected", "you", "overdue", "running", "undoing", "waiting"];

export function things(
  diagram: Diagram,
  plan: Plan,
  states: ReadonlyMap<string, TaskState> | undefined,
): Map<string, Thing> {
  const byThing = new Map<string, Task[]>();
  for (const step of plan.steps) {
    for (const task of step.tasks) {
      for (const id of task.nodes) byThing.set(id, [...(byThing.get(id) ?? []), task]);
    }
  }
  const out = new Map<string, Thing>();
  const add = (id: string, detail: string, tasks: readonly Task[], before: boolean, after: boolean) => {
    if (!states) {
      out.set(id, { mark: undefined, detail, task: tasks[0], gone: false });
      return;
    }
    const marked = tasks.flatMap((task) => {
      const state = states.get(task.address);
      return state ? [{ task, state, mark: markOf(state) }] : [];
    });
    // A look at whether something can be made does not make it.
    const made = before || marked.some((m) => SETTLED.has(m.mark) && makes(m.task));
    const mark = rollUpThing(
      marked.filter((m) => made || !SETTLED.has(m.mark)).map((m) => m.mark),
      before,
    );
    // What neither was there before nor stays: all its tasks done means that the last one has removed it.
    const gone = !after && marked.length > 0 && marked.every((m) => SETTLED.has(m.mark));
    const live = marked
      .filter((m) => LIVE.has(m.mark))
      .sort((a, b) => URGENT.indexOf(a.mark) - URGENT.indexOf(b.mark))[0];
    const focus = live ?? marked.findLast((m) => SETTLED.has(m.mark)) ?? marked[0];
    out.set(id, {
      mark: gone ? "later" : mark,
      detail: live ? (liveLine(live.state, live.mark) ?? detail) : detail,
      task: focus?.task,
      gone,
    });
  };
  for (const node of diagram.nodes) add(node.id, node.detail, byThing.get(node.id) ?? [], node.before, node.after);
  for (const edge of diagram.edges) {
    // An edge that no task names goes with the tasks that name both of its ends, or with the ends themselves.
    const own = byThing.get(edge.id) ?? (byThing.get(edge.from) ?? []).filter((t) => byThing.get(edge.to)?.includes(t));
    const ends = [edge.from, edge.to].map((id) => ({
      node: diagram.nodes.find((n) => n.id === id),
      thing: out.get(id),
    }));
    add(
      edge.id,
      edge.label,
      own,
      ends.every((end) => end.node?.before),
      true,
    );
    const thing = out.get(edge.id);
    if (!thing || !states) continue;
    if (ends.some((end) => end.thing?.gone)) out.set(edge.id, { ...thing, gone: true });
    else if (own.length === 0 && edge.kind === "link" && ends.every((end) => end.node?.before)) {
      out.set(edge.id, { ...thing, mark: "done" });
    }
  }
  return out;
}

const makes = (task: Task): boolean =>
  task.actor.who === "person" ||
  !(task.action.do.startsWith("check") || task.action.do === "find" || task.action.do === "gate");

function liveLine(state: TaskState, mark: Mark): string | undefined {
  if (!MOVING.has(mark)) return undefined;
  const words = state.text.split(/[.;\n](?:\s|$)/)[0]?.trim() ?? "";
  if (state.percent === null || words.includes("%")) return words || undefined;
  return words ? `${percent(state.percent)} · ${words}` : percent(state.percent);
}

export function visible(diagram: Diagram, moment: Moment): { nodes: Set<string>; edges: Set<string> } {
  const shown = (n: { before: boolean; after: boolean }) =>
    moment === "before" ? n.before : moment === "after" ? n.after : true;
  const nodes = new Set(diagram.nodes.filter((n) => n.kind === "site" || shown(n)).map((n) => n.id));
  const edges = new Set(
    diagram.edges
      .filter((e) => nodes.has(e.from) && nodes.has(e.to) && (moment === "now" || e.kind === "link"))
      .map((e) => e.id),
  );
  return { nodes, edges };
}

/** Longest text on an edge; more is in its tooltip. */
const EDGE_TEXT = 26;

export function edgeText(edge: Edge, thing: Thing | undefined, live: boolean): string {
  const text = live && thing ? thing.detail : edge.label;
  if (text.length <= EDGE_TEXT) return text;
  const figure = /^\d+ %/.exec(text)?.[0];
  return figure ? `${edge.label} · ${figure}` : edge.label;
}
