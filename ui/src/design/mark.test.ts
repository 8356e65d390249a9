import { describe, expect, it } from "vitest";
import { state } from "../testing";
import { markOf, rollUp, rollUpThing } from "./mark";

describe("the state of a task", () => {
  it("tells what the other side works on from what merely waits", () => {
    const inFlight = { intentAt: "2026-11-21T19:00:00Z", handle: {} };
    expect(markOf(state("a", { status: "waiting", inFlight }))).toBe("running");
    expect(markOf(state("a", { status: "waiting" }))).toBe("waiting");
    expect(markOf(state("a", { status: "waiting", inFlight, retryAt: "2026-11-21T19:05:00Z" }))).toBe("waiting");
    expect(markOf(state("a", { status: "waiting", inFlight, overdue: true }))).toBe("overdue");
  });

  it("tells a task whose turn has not come from one that a failure holds up", () => {
    expect(markOf(state("a"))).toBe("later");
    expect(markOf(state("a", { blockedBy: ["b"] }))).toBe("blocked");
  });
});

describe("rolling up", () => {
  it("puts what needs a person before what moves, and what moves before what rests", () => {
    expect(rollUp(["done", "running", "you", "later"])).toBe("you");
    expect(rollUp(["done", "waiting", "running"])).toBe("running");
    expect(rollUp(["you", "failed"])).toBe("failed");
    expect(rollUp(["done", "skipped", "adopted"])).toBe("done");
    expect(rollUp(["skipped", "skipped"])).toBe("skipped");
    expect(rollUp(["done", "later"])).toBe("later");
    expect(rollUp([])).toBe("later");
  });

  it("calls a thing done while it rests between two tasks, whatever is blocked later", () => {
    expect(rollUpThing(["done", "later"], false)).toBe("done");
    expect(rollUpThing(["done", "blocked"], true)).toBe("done");
    expect(rollUpThing(["later"], false)).toBe("later");
    expect(rollUpThing(["later"], true)).toBeUndefined();
    expect(rollUpThing(["done", "running", "later"], true)).toBe("running");
    expect(rollUpThing([], true)).toBeUndefined();
  });
});
