// Where the nodes of the architecture lie: source site left, target site right; in the target the networks in one
// column and the services beside them. Deterministic: the same diagram and width give the same picture, and all
// moments (before, now, after) share it, so that nothing moves when one is chosen.
import type { Diagram } from "../host/gen/Diagram";
import type { Node } from "../host/gen/Node";

export type Rect = { x: number; y: number; w: number; h: number };
export type Placed = Rect & { node: Node; group: boolean; depth: number };
export type Layout = { width: number; height: number; placed: Map<string, Placed> };

// All are multiples of the router's grid, so that the middle of a side lies on it.
export const GRID = 8;
const MARGIN = 8;
const GUTTER = 40;
/** Inside a group that lies in a site. */
const INSET = 8;
const LANE = 32;
const PAD = 16;
const GAP = 8;
const BETWEEN = 24;
const HEAD = 32;
const THING = 48;
const SLIM = 32;
const STRETCH = 56;
const MIN_WIDTH = 640;
const MAX_WIDTH = 960;

const GROUPS = new Set(["site", "host", "network"]);
const SERVICES = new Set(["vault", "storage", "migrationService"]);

const snap = (n: number) => Math.round(n / GRID) * GRID;
export const isGroup = (node: Node) => GROUPS.has(node.kind);
const slim = (node: Node) => node.kind === "subnet";

type Box = { node: Node; h: number; children: Box[] };

export function layout(diagram: Diagram, available: number): Layout {
  const width = snap(Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, available)));
  const childrenOf = (id: string | null) => diagram.nodes.filter((n) => n.parent === id);
  const box = (node: Node): Box => {
    const children = isGroup(node) ? childrenOf(node.id).map(box) : [];
    const inner = children.reduce((sum, c) => sum + c.h, 0) + GAP * Math.max(0, children.length - 1);
    const h = isGroup(node) ? HEAD + Math.max(inner, GAP) + GAP : slim(node) ? SLIM : THING;
    return { node, h, children };
  };

  const sites = childrenOf(null).filter((n) => n.kind === "site");
  const isSource = (site: Node) =>
    diagram.nodes.some((n) => n.parent === site.id && (n.kind === "vCenter" || n.kind === "host"));
  const source = sites.find(isSource) ?? sites[0];
  const target = sites.find((s) => s !== source);
  const placed = new Map<string, Placed>();
  const put = (b: Box, r: Rect, depth: number) =>
    placed.set(b.node.id, { ...r, node: b.node, group: isGroup(b.node), depth });

  const inner = width - 2 * MARGIN - GUTTER;
  const left = target ? snap(Math.min(304, Math.max(224, inner * 0.335))) : inner;
  const right = inner - left;
  const service = snap(Math.min(184, Math.max(136, right * 0.34)));

  const sourceBoxes = source ? childrenOf(source.id).map(box) : [];
  const targetAll = target ? childrenOf(target.id).map(box) : [];
  // Networks that nothing is connected to stand last, so that those which are have short ways.
  const members = (b: Box): string[] => [b.node.id, ...b.children.flatMap(members)];
  const alone = (b: Box) => {
    const ids = new Set(members(b));
    return b.node.kind === "network" && !diagram.edges.some((e) => ids.has(e.from) || ids.has(e.to));
  };
  const rank = (b: Box) => (b.node.kind !== "network" ? 2 : alone(b) ? 1 : 0);
  const main = targetAll.filter((b) => !SERVICES.has(b.node.kind)).sort((a, b) => rank(a) - rank(b));
  const services = targetAll.filter((b) => SERVICES.has(b.node.kind));

  const stack = (boxes: Box[], between: number) =>
    boxes.reduce((sum, b) => sum + b.h, 0) + between * Math.max(0, boxes.length - 1);
  const body = Math.max(stack(sourceBoxes, BETWEEN - GAP), stack(main, BETWEEN), stack(services, BETWEEN));
  const siteHeight = HEAD + body + PAD;

  const fill = (b: Box, x: number, y: number, w: number, depth: number, gap = GAP) => {
    put(b, { x, y, w, h: b.h }, depth);
    let at = y + HEAD;
    for (const child of b.children) {
      fill(child, x + INSET, at, w - 2 * INSET, depth + 1);
      at += child.h + gap;
    }
  };

  if (source) {
    put({ node: source, h: siteHeight, children: [] }, { x: MARGIN, y: MARGIN, w: left, h: siteHeight }, 0);
    let spare = snap(body - stack(sourceBoxes, BETWEEN - GAP) - 4);
    let y = MARGIN + HEAD;
    sourceBoxes.forEach((b, index) => {
      let gap = GAP;
      if (b.node.kind === "host" && b.children.length > 1 && spare > 0) {
        const gaps = b.children.length - 1;
        const add = Math.min(STRETCH, Math.floor(spare / gaps / GRID) * GRID);
        gap += add;
        b.h += add * gaps;
        spare -= add * gaps;
      }
      if (index === sourceBoxes.length - 1 && spare > 0) y += spare;
      fill(b, MARGIN + PAD, y, left - 2 * PAD, 1, gap);
      y += b.h + BETWEEN - GAP;
    });
  }

  if (target) {
    const x = MARGIN + left + GUTTER;
    put({ node: target, h: siteHeight, children: [] }, { x, y: MARGIN, w: right, h: siteHeight }, 0);
    const mainWidth = right - 2 * PAD - (services.length > 0 ? service + LANE : 0);
    const spare = body - stack(main, BETWEEN);
    const add = main.length > 1 ? Math.min(24, Math.floor(spare / (main.length - 1) / GRID) * GRID) : 0;
    let y = MARGIN + HEAD;
    main.forEach((b) => {
      fill(b, x + PAD, y, mainWidth, 1);
      y += b.h + BETWEEN + add;
    });
    placeServices(services, diagram, placed, {
      x: x + right - PAD - service,
      y: MARGIN + HEAD,
      w: service,
      h: body,
    });
  }
  return { width, height: siteHeight + 2 * MARGIN, placed };

  function placeServices(boxes: Box[], d: Diagram, at: Map<string, Placed>, area: Rect) {
    // Each service stands beside what it is connected to in the target; without such a thing, in its order.
    const wanted = boxes.map((b, index) => {
      const partners = d.edges.flatMap((e) => {
        const other = e.from === b.node.id ? e.to : e.to === b.node.id ? e.from : undefined;
        const place = other === undefined ? undefined : at.get(other);
        return place && place.x > area.x - 600 && inTarget(other, d) ? [place.y + place.h / 2] : [];
      });
      const y = partners[0] === undefined ? area.y + index * (THING + BETWEEN) : partners[0] - b.h / 2;
      return { b, y };
    });
    wanted.sort((p, q) => p.y - q.y);
    let floor = area.y;
    const room = wanted.map((_, i) => wanted.slice(i).reduce((sum, w) => sum + w.b.h + BETWEEN, -BETWEEN));
    wanted.forEach(({ b, y }, i) => {
      const top = Math.min(Math.max(snap(y), floor), Math.max(floor, area.y + area.h - (room[i] ?? 0)));
      put(b, { x: area.x, y: snap(top), w: area.w, h: b.h }, 1);
      floor = snap(top) + b.h + BETWEEN;
    });
  }

  function inTarget(id: string | undefined, d: Diagram): boolean {
    let node = d.nodes.find((n) => n.id === id);
    while (node?.parent) {
      const parent: string = node.parent;
      node = d.nodes.find((n) => n.id === parent);
    }
    return node?.id === target?.id;
  }
}
