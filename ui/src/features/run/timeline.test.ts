import { describe, expect, it } from "vitest";
import { at, plan, run, state, task } from "../../testing";
import { recorded } from "./model";
import { axis, merge, rows } from "./timeline";

const ms = (seconds: number) => Date.parse(at(seconds));
const bar = (from: number, to: number) => ({
  from: ms(from),
  to: ms(to),
  mark: "done" as const,
  planned: false,
  address: "",
});

describe("the time axis", () => {
  it("runs from 0 to 1 with round ticks that do not touch", () => {
    const bars = [bar(0, 3600), bar(3600, 4 * 3600)];
    const scale = axis(bars, ms(4 * 3600), 560);
    expect(scale.x(ms(0))).toBe(0);
    expect(scale.x(ms(4 * 3600))).toBeCloseTo(1);
    expect(scale.breaks).toEqual([]);
    expect(scale.ticks.length).toBeGreaterThan(2);
    scale.ticks.slice(1).forEach((t, i) => expect((t.x - (scale.ticks[i]?.x ?? 0)) * 560).toBeGreaterThanOrEqual(60));
  });

  it("folds weeks of keeping the sources, and keeps the order of time", () => {
    const month = 30 * 86_400;
    const bars = [bar(0, 3600), bar(3600, 3600 + month), bar(3600 + month, 7200 + month)];
    const scale = axis(bars, ms(7200 + month), 560);
    expect(scale.breaks).toHaveLength(1);
    expect(scale.x(ms(3600))).toBeGreaterThan(0.4);
    expect(scale.x(ms(3600 + month))).toBeLessThan(0.6);
    expect(scale.x(ms(1800))).toBeLessThan(scale.x(ms(5000)));
  });
});

it("joins bars of one state that touch", () => {
  expect(merge([bar(0, 10), bar(5, 60), bar(3600, 3700)])).toHaveLength(2);
});

it("draws what ran, what runs, and hatched what is planned", () => {
  const a = task("step-1/a/a");
  const b = task("step-1/b/b", { after: [a.address] });
  const model = recorded(
    plan([a, b]),
    run([state(a.address, { status: "waiting", started: at(0), lastSign: at(100) }), state(b.address)]),
  );
  const [row] = rows(model, ms(100));
  expect(row?.bars.filter((x) => !x.planned)).toMatchObject([{ from: ms(0), to: ms(100), mark: "waiting" }]);
  const planned = row?.bars.filter((x) => x.planned) ?? [];
  expect(Math.max(...planned.map((x) => x.to))).toBe(ms(100 + 500 + 600));
});
