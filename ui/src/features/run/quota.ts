// How much is left of Azure's limits on requests, in one look. Pure.
import type { QuotaKind } from "../../host/gen/QuotaKind";
import type { QuotaView } from "../../host/gen/QuotaView";

/** From this share on there is nothing to look at. */
const PLENTY = 0.25;

export type QuotaState = "plenty" | "low" | "paused";

export type QuotaSummary = {
  state: QuotaState;
  /** Of the resource manager: what is left for each kind, in the scarcest subscription. */
  kinds: Map<QuotaKind, QuotaView>;
  /** The limit that is nearest to its end. */
  scarcest: QuotaView;
  /** Requests that wait in line, for whatever limit. */
  waiting: number;
};

const share = (quota: QuotaView): number => (quota.limit > 0 ? quota.remaining / quota.limit : 1);
/** A limit that is closed is scarcer than any that is only low. */
const scarcer = (a: QuotaView, b: QuotaView): number =>
  Number(b.closedUntil !== null) - Number(a.closedUntil !== null) || share(a) - share(b);

/** None while nothing was sent. */
export function summarize(quotas: QuotaView[]): QuotaSummary | null {
  const sorted = quotas.toSorted(scarcer);
  const [scarcest] = sorted;
  if (!scarcest) return null;
  const kinds = new Map<QuotaKind, QuotaView>();
  for (const quota of sorted) {
    if (quota.provider === null && !kinds.has(quota.kind)) kinds.set(quota.kind, quota);
  }
  return {
    state: scarcest.closedUntil !== null ? "paused" : share(scarcest) < PLENTY ? "low" : "plenty",
    kinds,
    scarcest,
    waiting: quotas.reduce((sum, quota) => sum + quota.waiting, 0),
  };
}
