// How many requests Azure still takes from this subscription: quiet while there are many, and in words when few are left.
import { Popover, PopoverSurface, PopoverTrigger } from "@fluentui/react-components";
import { GaugeRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { clock, count } from "../../design/format";
import { useHost } from "../../host";
import type { QuotaKind } from "../../host/gen/QuotaKind";
import type { QuotaView } from "../../host/gen/QuotaView";
import type { UiError } from "../../host/gen/UiError";
import { type QuotaSummary, summarize } from "./quota";
import s from "./run.module.css";

const POLL_MS = 5000;
const KINDS: QuotaKind[] = ["reads", "writes", "deletes"];

export function Quota({ project, live }: { project: string; live: boolean }) {
  const { t } = useTranslation();
  const host = useHost();
  const query = useQuery<QuotaView[], UiError>({
    queryKey: ["quota", project],
    queryFn: () => host.call("azure_quota", { project }),
    enabled: live,
    refetchInterval: POLL_MS,
    retry: false,
  });
  const quotas = query.data ?? [];
  const summary = live ? summarize(quotas) : null;
  if (!summary) return null;
  const loud = summary.state === "plenty" ? "" : alarm(t, summary);
  const left = KINDS.filter((kind) => summary.kinds.has(kind)).map((kind) =>
    t(`quota.left.${kind}`, { n: count(summary.kinds.get(kind)?.remaining ?? 0) }),
  );
  const words = loud || t("quota.words", { left: left.join(" · ") });
  return (
    <>
      <Popover withArrow positioning="below-end" trapFocus>
        <PopoverTrigger disableButtonEnhancement>
          <button
            type="button"
            className={`${s.quota} num`}
            title={t("quota.tip")}
            data-testid="quota"
            data-state={summary.state}
          >
            <GaugeRegular fontSize={16} aria-hidden />
            <span className="hidden">{t("quota.title")}: </span>
            <span className={loud ? undefined : s.quotaWords}>{words}</span>
          </button>
        </PopoverTrigger>
        <PopoverSurface aria-label={t("quota.title")}>
          <Details quotas={quotas} waiting={summary.waiting} />
        </PopoverSurface>
      </Popover>
      <span className="hidden" role="status">
        {loud}
      </span>
    </>
  );
}

function alarm(t: TFunction, { state, scarcest }: QuotaSummary): string {
  const { kind, closedUntil } = scarcest;
  if (state === "paused" && closedUntil) return t("quota.paused", { at: clock(closedUntil) });
  return t(`quota.low.${kind}`, { n: count(scarcest.remaining) });
}

function Details({ quotas, waiting }: { quotas: QuotaView[]; waiting: number }) {
  const { t } = useTranslation();
  return (
    <div className={s.quotaDetails} data-testid="quota-details">
      <h2>{t("quota.title")}</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("quota.what")}</th>
            <th scope="col">{t("quota.remaining")}</th>
            <th scope="col">{t("quota.back")}</th>
          </tr>
        </thead>
        <tbody>
          {quotas.map((quota) => (
            <tr
              key={`${quota.subscription} ${quota.provider} ${quota.kind}`}
              data-closed={quota.closedUntil !== null || undefined}
            >
              <th scope="row" title={quota.subscription || t("quota.tenant")}>
                {t(`quota.kind.${quota.kind}`)}
                <span>{quota.provider ?? (quota.subscription ? t("quota.subscription") : t("quota.tenant"))}</span>
              </th>
              <td>
                {quota.closedUntil
                  ? t("quota.closed", { at: clock(quota.closedUntil) })
                  : t("quota.of", { n: count(quota.remaining), limit: count(quota.limit) })}
              </td>
              <td>{t("quota.perMinute", { n: count(quota.perMinute) })}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>
        {waiting > 0 ? `${t("quota.waiting", { count: waiting })} ` : ""}
        {t("quota.text")}
      </p>
    </div>
  );
}
