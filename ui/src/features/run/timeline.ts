// The time axis of a run. Hours of work and weeks of waiting are on one line, so long silences are folded. Pure.
import type { RunModel } from "./model";
import { schedule } from "./estimate";
import { type Mark, markOf, SETTLED } from "../../design/mark";

export type Bar = { from: number; to: number; mark: Mark; planned: boolean; address: string };
export type Row = { number: number; title: string; bars: Bar[] };
export type Break = { from: number; to: number };
export type Tick = { at: number; x: number; day: boolean };
export type Axis = { x: (at: number) => number; ticks: Tick[]; breaks: (Break & { x: number; width: number })[] };

/** A silence longer than this (milliseconds) is folded. */
const FOLD_OVER = 8 * 3_600_000;
/** Share of the axis that one folded silence takes. */
const FOLD_SHARE = 0.035;
/** What is planned further ahead (seconds) is not drawn: keeping the sources for weeks is no bar. */
const PLAN_AHEAD = 36 * 3600;

/** One row for each step: what ran, what runs, and hatched what is planned from now on. */
export function rows(model: RunModel, now: number): Row[] {
  const { steps } = model.plan.plan;
  const over = model.run.phase === "done" || model.run.phase === "cancelled";
  const ends = schedule(
    steps.flatMap((step) => step.tasks),
    model.tasks,
    now,
  );
  return steps.map((step) => {
    const bars: Bar[] = [];
    for (const task of step.tasks) {
      const state = model.tasks.get(task.address);
      if (!state) continue;
      const mark = markOf(state);
      if (state.started && mark !== "skipped") {
        const from = Date.parse(state.started);
        const to = Math.max(from, state.ended ? Date.parse(state.ended) : now);
        bars.push({ from, to, mark, planned: false, address: task.address });
      }
      const rest = ends.get(task.address);
      if (over || SETTLED.has(mark) || !rest || rest.p50 < 60 || rest.p50 > PLAN_AHEAD) continue;
      const to = now + rest.p50 * 1000;
      bars.push({ from: to - rest.own * 1000, to, mark: "later", planned: true, address: task.address });
    }
    return { number: step.number, title: step.title, bars: merge(bars) };
  });
}

/** Joins bars of one state that touch or overlap, so that a step of many short tasks is one line. */
export function merge(bars: readonly Bar[]): Bar[] {
  const out: Bar[] = [];
  for (const bar of [...bars].sort((a, b) => a.from - b.from || a.to - b.to)) {
    const last = out.findLast((b) => b.mark === bar.mark && b.planned === bar.planned);
    if (last && bar.from - last.to < 120_000) last.to = Math.max(last.to, bar.to);
    else out.push({ ...bar });
  }
  return out;
}

const TICK_STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * 60_000);

/** An axis from 0 to 1 over all bars, with round ticks and folded silences. */
export function axis(bars: readonly { from: number; to: number }[], now: number, width: number): Axis {
  const points = [...new Set(bars.flatMap((b) => [b.from, b.to]).concat(now))].sort((a, b) => a - b);
  const first = points[0] ?? now;
  const last = Math.max(points.at(-1) ?? now, first + 3_600_000);
  if (points.at(-1) !== last) points.push(last);
  const spans: { from: number; to: number; folded: boolean }[] = [];
  for (let i = 1; i < points.length; i++) {
    const from = points[i - 1] ?? first;
    const to = points[i] ?? last;
    const folded =
      to - from > FOLD_OVER && !bars.some((b) => b.from <= from && b.to >= to && b.to - b.from < 2 * FOLD_OVER);
    const before = spans.at(-1);
    if (before && before.folded === folded) before.to = to;
    else spans.push({ from, to, folded });
  }
  const folds = spans.filter((s) => s.folded).length;
  const busy = spans.reduce((sum, s) => sum + (s.folded ? 0 : s.to - s.from), 0);
  const share = Math.max(0.2, 1 - folds * FOLD_SHARE);
  const fold = folds > 0 ? (1 - share) / folds : 0;
  const pieces: { from: number; to: number; x: number; width: number; folded: boolean }[] = [];
  let x = 0;
  for (const span of spans) {
    const w = span.folded ? fold : busy > 0 ? ((span.to - span.from) / busy) * share : 0;
    pieces.push({ ...span, x, width: w });
    x += w;
  }
  const toX = (at: number): number => {
    const piece = pieces.find((p) => at <= p.to) ?? pieces.at(-1);
    if (!piece) return 0;
    const part = piece.to > piece.from ? (at - piece.from) / (piece.to - piece.from) : 0;
    return Math.min(1, Math.max(0, piece.x + part * piece.width));
  };
  return { x: toX, ticks: ticks(pieces, width), breaks: pieces.filter((p) => p.folded) };
}

function ticks(
  pieces: readonly { from: number; to: number; x: number; width: number; folded: boolean }[],
  width: number,
): Tick[] {
  const busy = pieces.reduce((sum, p) => sum + (p.folded ? 0 : p.to - p.from), 0);
  const room = Math.max(2, Math.floor(width / 88));
  const step = TICK_STEPS.find((s) => busy / s <= room) ?? 10080 * 60_000;
  // The first moment is always told; the round ones follow where there is room.
  const out: Tick[] = pieces[0] ? [{ at: pieces[0].from, x: 0, day: false }] : [];
  for (const piece of pieces) {
    if (piece.folded) continue;
    const offset = new Date(piece.from).getTimezoneOffset() * 60_000;
    for (let at = Math.ceil((piece.from - offset) / step) * step + offset; at <= piece.to; at += step) {
      const part = piece.to > piece.from ? (at - piece.from) / (piece.to - piece.from) : 0;
      const x = piece.x + part * piece.width;
      const before = out.at(-1);
      if (before && (x - before.x) * width < 60) continue;
      out.push({ at, x, day: before ? new Date(before.at).getDate() !== new Date(at).getDate() : false });
    }
  }
  return out;
}
