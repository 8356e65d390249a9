import { expect, it } from "vitest";
import type { QuotaView } from "../../host/gen/QuotaView";
import { summarize } from "./quota";

const quota = (kind: QuotaView["kind"], remaining: number, more: Partial<QuotaView> = {}): QuotaView => ({
  subscription: "s",
  kind,
  provider: null,
  limit: 200,
  remaining,
  perMinute: 600,
  waiting: 0,
  closedUntil: null,
  ...more,
});

it("shows nothing while nothing was sent", () => {
  expect(summarize([])).toBeNull();
});

it("is quiet when plentiful and speaks for the scarcest limit when not", () => {
  expect(summarize([quota("reads", 200), quota("writes", 50)])?.state).toBe("plenty");
  const low = summarize([
    quota("reads", 200),
    quota("writes", 49, { waiting: 2 }),
    quota("deletes", 180, { waiting: 1 }),
  ]);
  expect(low).toMatchObject({ state: "low", waiting: 3, scarcest: { kind: "writes" } });
});

it("takes a limit that Azure has closed before any that is only low", () => {
  const closed = quota("writes", 900, {
    provider: "Microsoft.Network",
    limit: 1000,
    closedUntil: "2026-11-21T19:00:40Z",
  });
  expect(summarize([quota("reads", 0), closed])).toMatchObject({ state: "paused", scarcest: closed });
});

it("counts the resource manager's own limits, in the scarcest subscription", () => {
  const kinds = summarize([
    quota("reads", 150, { subscription: "a" }),
    quota("reads", 20, { subscription: "b" }),
    quota("reads", 1, { provider: "Microsoft.Compute" }),
  ])?.kinds;
  expect([...(kinds?.values() ?? [])].map((q) => q.remaining)).toEqual([20]);
});
