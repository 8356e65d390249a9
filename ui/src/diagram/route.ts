// How edges run: at right angles, in the gutters, never through a node, and not on top of one another where there is
// room. A* over a coarse grid; about a dozen edges on a few thousand cells, some milliseconds in all. Deterministic.
import type { Diagram } from "../host/gen/Diagram";
import type { Edge } from "../host/gen/Edge";
import { GRID, type Layout, type Placed, type Rect } from "./layout";

export type Point = { x: number; y: number };
export type Routed = { edge: Edge; points: Point[] };
export type Label = Point & { w: number; text: string };

const BEND = 7;
const SHARED = 26;
const CROSSED = 5;
const BESIDE = 0.6;
const CLEAR = 6;
/** So far an edge runs straight out of its node, and straight into it, where its arrow is. */
const STUB = CLEAR + 1;
const ARROW_STUB = 15;
const LABEL_HEIGHT = 22;
const TITLE_HEIGHT = 24;

// Right, down, left, up.
const DX = [1, 0, -1, 0];
const DY = [0, 1, 0, -1];

type Port = { cx: number; cy: number; dir: number; on: Point; cost: number };

export function route(diagram: Diagram, l: Layout): Routed[] {
  const cols = Math.floor(l.width / GRID) + 1;
  const lines = Math.floor(l.height / GRID) + 1;
  const used = new Map<number, number>();
  const usedPorts = new Map<string, number>();
  const out: Routed[] = [];
  // Short edges first: they have the least choice.
  const order = diagram.edges
    .flatMap((edge) => {
      const from = l.placed.get(edge.from);
      const to = l.placed.get(edge.to);
      return from && to ? [{ edge, from, to, far: distance(from, to) }] : [];
    })
    .sort((a, b) => a.far - b.far || (a.edge.id < b.edge.id ? -1 : 1));
  for (const { edge, from, to } of order) {
    const cost = terrain(l, from, to, cols, lines);
    const points = search(
      ports(from, STUB, usedPorts, cost, cols, lines),
      ports(to, edge.kind === "flow" ? ARROW_STUB : STUB, usedPorts, cost, cols, lines),
      cost,
      used,
      cols,
      lines,
    );
    if (!points) continue;
    claim(points.cells, used, cols);
    for (const key of [points.start, points.end]) usedPorts.set(key, (usedPorts.get(key) ?? 0) + 1);
    out.push({ edge, points: simplify(points.line) });
  }
  return diagram.edges.flatMap((edge) => out.find((r) => r.edge === edge) ?? []);
}

function distance(a: Rect, b: Rect): number {
  return Math.abs(a.x + a.w / 2 - b.x - b.w / 2) + Math.abs(a.y + a.h / 2 - b.y - b.h / 2);
}

const inside = (outer: Rect, p: Rect) =>
  p.x >= outer.x && p.y >= outer.y && p.x + p.w <= outer.x + outer.w && p.y + p.h <= outer.y + outer.h;

/** Cost of each cell: infinite in nodes and in groups that the edge has nothing to do with. */
function terrain(l: Layout, from: Placed, to: Placed, cols: number, lines: number): Float32Array {
  const cost = new Float32Array(cols * lines).fill(1);
  const block = (r: Rect, clear: number) => paint(r, clear, (i) => (cost[i] = Infinity));
  const paint = (r: Rect, clear: number, set: (index: number) => void) => {
    const x1 = Math.min(cols - 1, Math.floor((r.x + r.w + clear) / GRID));
    const y1 = Math.min(lines - 1, Math.floor((r.y + r.h + clear) / GRID));
    for (let y = Math.max(0, Math.ceil((r.y - clear) / GRID)); y <= y1; y++) {
      for (let x = Math.max(0, Math.ceil((r.x - clear) / GRID)); x <= x1; x++) set(y * cols + x);
    }
  };
  for (const p of l.placed.values()) {
    if (p.group && p.depth === 0) {
      // Along the border of a site nothing runs; across it, everything may.
      for (const r of border(p)) paint(r, 1, (i) => (cost[i] = Math.max(cost[i] ?? 1, 3)));
      block({ x: p.x, y: p.y, w: p.w * 0.75, h: TITLE_HEIGHT }, 0);
      continue;
    }
    if (!p.group) {
      block(p, CLEAR);
      continue;
    }
    const mine = (end: Placed) => end !== p && inside(p, end);
    if (mine(from) || mine(to)) {
      block({ x: p.x, y: p.y, w: p.w * 0.8, h: TITLE_HEIGHT }, 0);
      for (const r of border(p)) paint(r, 1, (i) => (cost[i] = Math.max(cost[i] ?? 1, 2)));
    } else {
      block(p, CLEAR);
    }
  }
  for (let x = 0; x < cols; x++) {
    for (const y of [0, lines - 1]) cost[y * cols + x] = Infinity;
  }
  for (let y = 0; y < lines; y++) {
    for (const x of [0, cols - 1]) cost[y * cols + x] = Infinity;
  }
  // The middle of a gutter is a little cheaper than its edge.
  const plain = cost.slice();
  for (let y = 1; y < lines - 1; y++) {
    for (let x = 1; x < cols - 1; x++) {
      const i = y * cols + x;
      if (plain[i] === Infinity) continue;
      const beside = [i - 1, i + 1, i - cols, i + cols].some((n) => plain[n] === Infinity);
      if (beside) cost[i] = (cost[i] ?? 1) + BESIDE;
    }
  }
  return cost;
}

function border(r: Rect): Rect[] {
  return [
    { x: r.x, y: r.y, w: r.w, h: 0 },
    { x: r.x, y: r.y + r.h, w: r.w, h: 0 },
    { x: r.x, y: r.y, w: 0, h: r.h },
    { x: r.x + r.w, y: r.y, w: 0, h: r.h },
  ];
}

/** Places where an edge may leave or enter a node: along each side, best in the middle. */
function ports(
  p: Placed,
  reach: number,
  used: Map<string, number>,
  cost: Float32Array,
  cols: number,
  lines: number,
): Port[] {
  const out: Port[] = [];
  const add = (cx: number, cy: number, dir: number, on: Point, off: number) => {
    if (cx < 0 || cy < 0 || cx >= cols || cy >= lines || cost[cy * cols + cx] === Infinity) return;
    const near = used.get(key(on)) ?? 0;
    out.push({ cx, cy, dir, on, cost: off * 0.35 + near * 60 });
  };
  const yMid = p.y + p.h / 2;
  const xMid = p.x + p.w / 2;
  for (let y = Math.ceil((p.y + 12) / GRID); y <= Math.floor((p.y + p.h - 12) / GRID); y++) {
    const off = Math.abs(y * GRID - yMid) / GRID;
    add(Math.ceil((p.x + p.w + reach) / GRID), y, 0, { x: p.x + p.w, y: y * GRID }, off);
    add(Math.floor((p.x - reach) / GRID), y, 2, { x: p.x, y: y * GRID }, off);
  }
  for (let x = Math.ceil((p.x + 16) / GRID); x <= Math.floor((p.x + p.w - 16) / GRID); x++) {
    const off = Math.abs(x * GRID - xMid) / GRID;
    add(x, Math.ceil((p.y + p.h + reach) / GRID), 1, { x: x * GRID, y: p.y + p.h }, off);
    add(x, Math.floor((p.y - reach) / GRID), 3, { x: x * GRID, y: p.y }, off);
  }
  return out;
}

const key = (p: Point) => `${p.x},${p.y}`;

type Found = { line: Point[]; cells: number[]; start: string; end: string };

function search(
  starts: Port[],
  ends: Port[],
  cost: Float32Array,
  used: Map<number, number>,
  cols: number,
  lines: number,
): Found | null {
  const size = cols * lines * 4;
  const best = new Float64Array(size).fill(Infinity);
  const cameFrom = new Int32Array(size).fill(-1);
  const startAt = new Map<number, Port>();
  const goal = new Map<number, Port[]>();
  for (const e of ends) goal.set(e.cy * cols + e.cx, [...(goal.get(e.cy * cols + e.cx) ?? []), e]);
  const guess = (cell: number) => {
    const x = cell % cols;
    const y = Math.floor(cell / cols);
    let least = Infinity;
    for (const e of ends) least = Math.min(least, Math.abs(e.cx - x) + Math.abs(e.cy - y));
    return least;
  };
  const heap = new Heap();
  for (const s of starts) {
    const state = (s.cy * cols + s.cx) * 4 + s.dir;
    if (s.cost >= (best[state] ?? Infinity)) continue;
    best[state] = s.cost;
    startAt.set(state, s);
    heap.push(s.cost + guess(s.cy * cols + s.cx), state);
  }
  let done: { state: number; end: Port } | null = null;
  let doneCost = Infinity;
  for (let state = heap.pop(); state !== undefined; state = heap.pop()) {
    const g = best[state] ?? Infinity;
    if (g >= doneCost) break;
    const cell = state >> 2;
    const dir = state & 3;
    for (const end of goal.get(cell) ?? []) {
      // Entering goes against the direction in which the port looks.
      const turn = dir === (end.dir + 2) % 4 ? 0 : dir === end.dir ? Infinity : BEND;
      const total = g + end.cost + turn;
      if (total < doneCost) {
        doneCost = total;
        done = { state, end };
      }
    }
    const x = cell % cols;
    const y = Math.floor(cell / cols);
    for (let d = 0; d < 4; d++) {
      if (d === (dir + 2) % 4) continue;
      const nx = x + (DX[d] ?? 0);
      const ny = y + (DY[d] ?? 0);
      if (nx < 0 || ny < 0 || nx >= cols || ny >= lines) continue;
      const nextCell = ny * cols + nx;
      const ground = cost[nextCell] ?? Infinity;
      if (ground === Infinity) continue;
      const use = used.get(nextCell) ?? 0;
      const axis = d % 2 === 0 ? 1 : 2;
      const sharing = use === 0 ? 0 : (use & axis) !== 0 ? SHARED : CROSSED;
      const total = g + ground + sharing + (d === dir ? 0 : BEND);
      const next = nextCell * 4 + d;
      if (total >= (best[next] ?? Infinity)) continue;
      best[next] = total;
      cameFrom[next] = state;
      heap.push(total + guess(nextCell), next);
    }
  }
  if (!done) return null;
  const states: number[] = [];
  for (let s = done.state; s >= 0; s = cameFrom[s] ?? -1) states.push(s);
  states.reverse();
  const first = startAt.get(states[0] ?? -1);
  if (!first) return null;
  const cells = states.map((s) => s >> 2);
  const line = [first.on, ...cells.map((c) => ({ x: (c % cols) * GRID, y: Math.floor(c / cols) * GRID })), done.end.on];
  return { line, cells, start: key(first.on), end: key(done.end.on) };
}

/** Marks the cells of a path, and those beside it, as used along its direction. */
function claim(cells: readonly number[], used: Map<number, number>, cols: number): void {
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i] ?? 0;
    const next = cells[i + 1] ?? cells[i - 1] ?? cell;
    const axis = Math.abs(next - cell) === 1 ? 1 : 2;
    const corner = i > 0 && i < cells.length - 1 && Math.abs((cells[i - 1] ?? 0) - cell) !== Math.abs(next - cell);
    used.set(cell, (used.get(cell) ?? 0) | (corner ? 3 : axis));
    for (const beside of axis === 1 ? [cell - cols, cell + cols] : [cell - 1, cell + 1]) {
      if (!used.has(beside)) used.set(beside, 0);
    }
  }
}

/** Keeps the first, the last and the corners. */
export function simplify(points: readonly Point[]): Point[] {
  return points.filter((p, i) => {
    const a = points[i - 1];
    const b = points[i + 1];
    if (!a || !b) return true;
    return !((a.x === p.x && p.x === b.x) || (a.y === p.y && p.y === b.y));
  });
}

export const labelWidth = (text: string): number => Math.ceil(text.length * 6.1) + 24;

const overlaps = (a: Rect, b: Rect, by: number) =>
  a.x - by < b.x + b.w && b.x - by < a.x + a.w && a.y - by < b.y + b.h && b.y - by < a.y + a.h;

/** Where the texts of flows stand; a text that finds no free place is left to the table and the tooltip. */
export function placeLabels(routed: readonly Routed[], l: Layout, textOf: (edge: Edge) => string): Map<string, Label> {
  const out = new Map<string, Label>();
  const taken: Rect[] = [];
  for (const { edge, points } of routed) {
    const text = edge.kind === "flow" ? textOf(edge) : "";
    const others = routed.filter((r) => r.edge !== edge).flatMap((r) => segments(r.points));
    const place = text ? placeLabel(points, text, l, taken, others) : undefined;
    if (place) out.set(edge.id, { ...place, text });
  }
  return out;
}

function segments(points: readonly Point[]): Rect[] {
  return points.slice(1).flatMap((b, i) => {
    const a = points[i];
    return a ? [{ x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), w: Math.abs(a.x - b.x), h: Math.abs(a.y - b.y) }] : [];
  });
}

/** The middle of the longest piece where the label covers no node, no title and no other label. */
function placeLabel(
  points: readonly Point[],
  text: string,
  l: Layout,
  taken: Rect[],
  others: readonly Rect[],
): (Point & { w: number }) | undefined {
  const w = labelWidth(text);
  const pieces = points.slice(1).flatMap((b, i) => {
    const a = points[i];
    if (!a) return [];
    const length = Math.abs(a.x - b.x) + Math.abs(a.y - b.y);
    const flat = a.y === b.y;
    return [{ a, b, flat, length, fits: flat ? length >= w + 24 : length >= LABEL_HEIGHT + 28 }];
  });
  pieces.sort((p, q) => Number(q.fits) - Number(p.fits) || Number(q.flat) - Number(p.flat) || q.length - p.length);
  const solid = [...l.placed.values()].flatMap((p) =>
    p.group ? [{ x: p.x, y: p.y, w: p.w * 0.7, h: TITLE_HEIGHT }] : [p],
  );
  // A place on no other edge is best; where there is none, covering one is better than no words.
  for (const { a, b, avoid } of [true, false].flatMap((avoid) =>
    pieces.filter((p) => p.fits).map((p) => ({ ...p, avoid })),
  )) {
    for (const part of [0.5, 0.35, 0.65, 0.2, 0.8]) {
      const x = a.x + (b.x - a.x) * part;
      const y = a.y + (b.y - a.y) * part;
      const r = { x: x - w / 2, y: y - LABEL_HEIGHT / 2, w, h: LABEL_HEIGHT };
      if (r.x < 4 || r.x + r.w > l.width - 4) continue;
      if (solid.some((s) => overlaps(r, s, 3)) || taken.some((s) => overlaps(r, s, 6))) continue;
      if (avoid && others.some((s) => overlaps(r, s, 4))) continue;
      taken.push(r);
      return { x, y, w };
    }
  }
  return undefined;
}

/** The two strokes of an arrow's head at the end of a line. */
export function headOf(points: readonly Point[], size = 7): string {
  const tip = points.at(-1);
  const before = points.at(-2);
  if (!tip || !before) return "";
  const dx = Math.sign(tip.x - before.x);
  const dy = Math.sign(tip.y - before.y);
  const end = { x: tip.x - dx * 2, y: tip.y - dy * 2 };
  const wing = (side: number) =>
    `${end.x - dx * size + dy * side * size * 0.7} ${end.y - dy * size + dx * side * size * 0.7}`;
  return `M${wing(1)}L${end.x} ${end.y}L${wing(-1)}`;
}

/** An SVG path with rounded corners. */
export function pathOf(points: readonly Point[], radius = 8): string {
  const first = points[0];
  if (!first) return "";
  let d = `M${first.x} ${first.y}`;
  for (let i = 1; i < points.length; i++) {
    const p = points[i];
    const before = points[i - 1];
    const after = points[i + 1];
    if (!p || !before) continue;
    if (!after) {
      d += `L${p.x} ${p.y}`;
      continue;
    }
    const r = Math.min(radius, dist(before, p) / 2, dist(p, after) / 2);
    const from = toward(p, before, r);
    const to = toward(p, after, r);
    d += `L${from.x} ${from.y}Q${p.x} ${p.y} ${to.x} ${to.y}`;
  }
  return d;
}

const dist = (a: Point, b: Point) => Math.abs(a.x - b.x) + Math.abs(a.y - b.y);
const toward = (from: Point, to: Point, by: number): Point => ({
  x: from.x + Math.sign(to.x - from.x) * by,
  y: from.y + Math.sign(to.y - from.y) * by,
});

/** A binary heap by cost; equal costs come out in the order they went in, so that the result is always the same. */
class Heap {
  private readonly items: { cost: number; order: number; state: number }[] = [];
  private order = 0;

  push(cost: number, state: number): void {
    const { items } = this;
    items.push({ cost, order: this.order++, state });
    let i = items.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.less(i, parent)) break;
      this.swap(i, parent);
      i = parent;
    }
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (!top || !last) return undefined;
    if (items.length > 0) {
      items[0] = last;
      let i = 0;
      for (;;) {
        const l = 2 * i + 1;
        const r = l + 1;
        let least = i;
        if (l < items.length && this.less(l, least)) least = l;
        if (r < items.length && this.less(r, least)) least = r;
        if (least === i) break;
        this.swap(i, least);
        i = least;
      }
    }
    return top.state;
  }

  private less(i: number, j: number): boolean {
    const a = this.items[i];
    const b = this.items[j];
    return a !== undefined && b !== undefined && (a.cost < b.cost || (a.cost === b.cost && a.order < b.order));
  }

  private swap(i: number, j: number): void {
    const a = this.items[i];
    const b = this.items[j];
    if (a && b) {
      this.items[i] = b;
      this.items[j] = a;
    }
  }
}
