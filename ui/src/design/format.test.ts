import { expect, it } from "vitest";
import { ago, bytes, clock, duration, range } from "./format";

it("writes durations in at most two units", () => {
  expect([0, 59, 60, 3599, 3600, 4800, 86_400, 100_000, 2_592_000].map(duration)).toEqual([
    "0 s",
    "59 s",
    "1 min",
    "60 min",
    "1 h",
    "1 h 20 min",
    "1 day",
    "1 day 4 h",
    "30 days",
  ]);
});

it("names the unit of a range once where both ends share it", () => {
  expect(range(2100, 3540)).toBe("35 to 59 min");
  expect(range(40, 180)).toBe("40 s to 3 min");
  expect(range(60, 60)).toBe("1 min");
});

it("tells how long ago something was", () => {
  const now = Date.parse("2026-11-21T19:00:10Z");
  expect(ago("2026-11-21T19:00:02Z", now)).toBe("8 s ago");
  expect(ago("2026-11-21T19:00:12Z", now)).toBe("now");
});

it("writes sizes and times", () => {
  expect(bytes(42 * 1024 ** 3)).toBe("42 GB");
  expect(bytes(1536)).toBe("1.5 kB");
  expect(clock("2026-11-21T19:05:00Z")).toMatch(/^\d\d:05$/);
});
