import { describe, expect, it } from "vitest";
import { at, state, task } from "../../testing";
import { finish, remaining, schedule } from "./estimate";

describe("the end of a task", () => {
  const line = (n: number) => Array.from({ length: n }, (_, i) => ({ at: i * 60_000, percent: i * 10 }));

  it("is not known from few samples or without progress", () => {
    expect(finish(line(3))).toBeNull();
    expect(finish(line(5).map((s) => ({ ...s, percent: 20 })))).toBeNull();
  });

  it("follows the line through the samples", () => {
    const end = finish(line(5));
    expect(end?.at).toBeCloseTo(600_000);
    expect(end?.samples).toBe(5);
    expect(end?.plusMinus).toBeGreaterThanOrEqual(60_000);
  });
});

describe("what is left of a run", () => {
  const a = task("step-1/a/a");
  const b = task("step-1/b/b", { after: [a.address] });
  const c = task("step-1/c/c");
  const person = task("step-1/d/d", {
    after: [b.address],
    actor: { who: "person", role: "DBA", instructions: [], script: null },
    duration: { p50: 60, p95: 86_400, source: "test" },
  });
  const now = Date.parse(at(300));

  it("goes along the longest chain, less what has run", () => {
    const states = new Map([[a.address, state(a.address, { status: "running", started: at(0) })]]);
    expect(remaining(schedule([a, b, c], states, now), [a, b, c])).toEqual({ p50: 900, p95: 2100 });
  });

  it("counts people at their usual pace, and nothing that is done", () => {
    const done = new Map([a, b, c].map((t) => [t.address, state(t.address, { status: "done" })]));
    expect(remaining(schedule([a, b, c, person], done, now), [person])).toEqual({ p50: 60, p95: 60 });
  });
});
