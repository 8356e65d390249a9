import { describe, expect, it } from "vitest";
import data from "../host/gen/sample.json";
import { withDms } from "../host/fixture-dms";
import type { Diagram } from "../host/gen/Diagram";
import type { Plan } from "../host/gen/Plan";
import { state } from "../testing";
import { layout, type Rect } from "./layout";
import { placeLabels, type Point, route, simplify } from "./route";
import { edgeText, things, visible } from "./state";

const diagram = data.diagram as Diagram;
const plan = data.plan as unknown as Plan;
const pictures = [640, 704, 800, 960].flatMap((width) => [
  { name: "the usual picture", width, diagram },
  { name: "the picture with a migration service", width, diagram: withDms(diagram) },
]);

const crosses = (a: Point, b: Point, r: Rect) =>
  Math.min(a.x, b.x) < r.x + r.w &&
  Math.max(a.x, b.x) > r.x &&
  Math.min(a.y, b.y) < r.y + r.h &&
  Math.max(a.y, b.y) > r.y;

describe.each(pictures)("$name at a width of $width", ({ width, diagram }) => {
  const place = layout(diagram, width);
  const routed = route(diagram, place);

  it("places every node inside its parent, and no two on one another", () => {
    expect(place.placed.size).toBe(diagram.nodes.length);
    for (const p of place.placed.values()) {
      const parent = p.node.parent ? place.placed.get(p.node.parent) : undefined;
      if (parent) {
        expect(p.x).toBeGreaterThanOrEqual(parent.x);
        expect(p.x + p.w).toBeLessThanOrEqual(parent.x + parent.w);
        expect(p.y + p.h).toBeLessThanOrEqual(parent.y + parent.h);
      }
      for (const q of place.placed.values()) {
        if (p === q || p.node.parent !== q.node.parent) continue;
        expect(p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y).toBe(true);
      }
    }
  });

  it("routes every edge, at right angles and through no node", () => {
    expect(routed.map((r) => r.edge.id)).toEqual(diagram.edges.map((e) => e.id));
    for (const { edge, points } of routed) {
      points.slice(1).forEach((b, i) => {
        const a = points[i] ?? b;
        expect(a.x === b.x || a.y === b.y).toBe(true);
        for (const p of place.placed.values()) {
          if (p.group || p.node.id === edge.from || p.node.id === edge.to) continue;
          expect(crosses(a, b, p), `${edge.id} crosses ${p.node.id}`).toBe(false);
        }
      });
    }
  });

  it("is the same every time", () => {
    expect(route(diagram, layout(diagram, width))).toEqual(routed);
  });

  it("puts labels on nothing else", () => {
    for (const label of placeLabels(routed, place, (e) => e.label).values()) {
      const r = { x: label.x - label.w / 2, y: label.y - 11, w: label.w, h: 22 };
      for (const p of place.placed.values()) {
        if (!p.group) expect(r.x < p.x + p.w && p.x < r.x + r.w && r.y < p.y + p.h && p.y < r.y + r.h).toBe(false);
      }
    }
  });
});

it("keeps only the corners of a line", () => {
  const corner = { x: 8, y: 0 };
  expect(simplify([{ x: 0, y: 0 }, { x: 4, y: 0 }, corner, { x: 8, y: 8 }])).toEqual([
    { x: 0, y: 0 },
    corner,
    { x: 8, y: 8 },
  ]);
});

describe("states in the picture", () => {
  const all = plan.steps.flatMap((s) => s.tasks);
  const states = (of: (address: string) => Parameters<typeof state>[1]) =>
    new Map(all.map((t) => [t.address, state(t.address, of(t.address))]));

  it("does not call a machine done because its size was looked up", () => {
    const known = things(
      diagram,
      plan,
      states((a) => (a.startsWith("step-3/check-size/") ? { status: "done" } : {})),
    );
    expect(known.get("azvm/WEBVM")?.mark).toBe("later");
  });

  it("says what is going on, with its figure first", () => {
    const known = things(
      diagram,
      plan,
      states((a) =>
        a === "step-6/restore/full" ? { status: "running", percent: 41.7, text: "Restoring file 1 of 7" } : {},
      ),
    );
    expect(known.get("mi/contoso-sqlmi")).toMatchObject({ mark: "running", detail: "41 % · Restoring file 1 of 7" });
    const edge = diagram.edges.find((e) => e.id === "flow/restore");
    expect(edge && edgeText(edge, known.get("flow/restore"), true)).toBe("restore · 41 %");
  });

  it("shows what was removed as gone at the end, and what stays as done", () => {
    const known = things(
      diagram,
      plan,
      states(() => ({ status: "done" })),
    );
    expect(known.get("vm/WEBVM")?.gone).toBe(true);
    expect(known.get("vault/ContosoMigrationVault")?.gone).toBe(true);
    expect(known.get("azvm/WEBVM")).toMatchObject({ gone: false, mark: "done" });
  });

  it("shows flows only while they matter", () => {
    expect(visible(diagram, "before").nodes.has("mi/contoso-sqlmi")).toBe(false);
    expect([...visible(diagram, "after").edges].every((id) => id.startsWith("link/"))).toBe(true);
    expect(visible(diagram, "now").edges.size).toBe(diagram.edges.length);
  });
});
