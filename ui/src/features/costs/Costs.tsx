// What the plan costs by the month: each line with its price, the sum, and what the sum lacks. No figure is shown whose
// source, date and currency are not beside it.
import { Button, Dropdown, Option, Spinner } from "@fluentui/react-components";
import { ArrowClockwiseRegular } from "@fluentui/react-icons";
import { useId } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { dateTime, money } from "../../design/format";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import type { CostLine } from "../../host/gen/CostLine";
import type { CostPrice } from "../../host/gen/CostPrice";
import type { CostsView } from "../../host/gen/CostsView";
import { useCosts, useCurrency } from "./useCosts";
import s from "./costs.module.css";

type Props = { project: string; brief?: boolean };

/** `brief`: for a dialog, the figures alone. */
export function Costs({ project, brief = false }: Props) {
  const { t } = useTranslation();
  const query = useCosts(project);
  const chosen = useCurrency(project);
  const title = useId();
  const { data } = query;
  const Heading = brief ? "h3" : "h2";
  const error = query.error ?? chosen.error;
  const busy = query.isFetching || chosen.isPending;
  return (
    <section className={s.panel} aria-labelledby={title} aria-busy={busy} data-testid="costs">
      <div className={s.head}>
        <Heading id={title}>{t("costs.title")}</Heading>
        {busy ? (
          <span role="status" className={s.busy}>
            <Spinner size="extra-tiny" label={t("costs.reading")} />
          </span>
        ) : null}
        {data?.source && !brief ? (
          <>
            <Dropdown
              size="small"
              className={s.currency}
              listbox={{ className: s.list }}
              inlinePopup
              aria-label={t("costs.currency")}
              data-testid="costs-currency"
              value={data.currency}
              selectedOptions={[data.currency]}
              onOptionSelect={(_, option) => {
                if (option.optionValue && option.optionValue !== data.currency) chosen.mutate(option.optionValue);
              }}
            >
              {data.currencies.map((currency) => (
                <Option key={currency} value={currency} data-testid={`currency-${currency}`}>
                  {currency}
                </Option>
              ))}
            </Dropdown>
            <Button
              size="small"
              icon={<ArrowClockwiseRegular />}
              disabledFocusable={busy}
              data-testid="costs-again"
              onClick={() => !busy && void query.refetch()}
            >
              {t("costs.again")}
            </Button>
          </>
        ) : null}
      </div>
      {error && !busy ? (
        <>
          <p>{t("costs.failed")}</p>
          <ErrorCard
            error={error}
            onRetry={() => {
              chosen.reset();
              void query.refetch();
            }}
          />
        </>
      ) : null}
      {/* After a failed reading the figures of the one before are not shown as if they were of today. */}
      {data && !query.error ? (
        data.source === null ? (
          <Unlisted view={data} />
        ) : (
          <Bill view={data} source={data.source} brief={brief} />
        )
      ) : null}
    </section>
  );
}

/** What would be charged, where nobody says for how much. */
function Unlisted({ view }: { view: CostsView }) {
  const { t } = useTranslation();
  return (
    <>
      <Notice title={t("costs.noList", { cloud: view.cloud })}>
        <p>{t("costs.noListText")}</p>
      </Notice>
      <Bullets title={t("costs.byTime")} list={view.costs.lines.map((line) => line.what)} />
      <Bullets title={t("costs.byUse")} list={view.costs.byUse} />
    </>
  );
}

function Bullets({ title, list }: { title: string; list: string[] }) {
  if (list.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul className={s.bullets}>
        {list.map((words) => (
          <li key={words}>{words}</li>
        ))}
      </ul>
    </>
  );
}

function Bill({ view, source, brief }: { view: CostsView; source: string; brief: boolean }) {
  const { t } = useTranslation();
  const { costs, currency } = view;
  const ending = costs.lines.filter((line) => !line.lasts);
  const amount = (n: number | null | undefined) =>
    n === null || n === undefined ? t("costs.none") : money(n, currency);
  const rows = (lines: CostLine[]) =>
    lines.map((line) => (
      <tr key={line.what} data-testid="cost-line">
        <th scope="row">
          {line.what}
          {line.missing ? <span className={s.missing}>{line.missing}</span> : null}
          {line.note && !brief ? <span>{line.note}</span> : null}
        </th>
        {brief ? null : (
          <td title={line.price?.meter}>{line.price ? charged(t, line.price, currency) : t("costs.none")}</td>
        )}
        <td>{amount(line.price?.perHour)}</td>
        <td>{amount(line.price?.perMonth)}</td>
      </tr>
    ));
  const columns = brief ? 3 : 4;
  return (
    <>
      <table className={s.table}>
        <thead>
          <tr>
            <th scope="col">{t("costs.what")}</th>
            {brief ? null : <th scope="col">{t("costs.charged")}</th>}
            <th scope="col">{t("costs.hour")}</th>
            <th scope="col">{t("costs.month")}</th>
          </tr>
        </thead>
        <tbody>{rows(costs.lines.filter((line) => line.lasts))}</tbody>
        <tbody className={s.sum}>
          <tr data-testid="costs-sum">
            <th scope="row" colSpan={columns - 1}>
              {t("costs.sum")}
              {costs.missing.length > 0 ? (
                <span className={s.missing}>{t("costs.lacks", { what: costs.missing.join("; ") })}</span>
              ) : null}
            </th>
            <td>{amount(costs.perMonth)}</td>
          </tr>
        </tbody>
        {ending.length > 0 && !brief ? (
          <tbody>
            <tr className={s.group}>
              <th scope="colgroup" colSpan={columns}>
                {t("costs.ending")}
              </th>
            </tr>
            {rows(ending)}
          </tbody>
        ) : null}
      </table>
      {brief ? null : <Bullets title={t("costs.byUseNot")} list={costs.byUse} />}
      <p className={s.source} data-testid="costs-source">
        {t("costs.source", { source, at: dateTime(view.readAt ?? "") })}
        {currency === "USD" ? "" : ` ${t("costs.converted")}`}
      </p>
    </>
  );
}

/** The units of the list that have words; others are shown as they are. */
const UNITS: Record<string, "hour" | "gb" | "month"> = { "1 Hour": "hour", "1 GB/Month": "gb", "1/Month": "month" };

/** `8 × US$0.11 an hour`. */
function charged(t: TFunction, price: CostPrice, currency: string) {
  const each = { count: price.quantity, price: money(price.unitPrice, currency, 6) };
  const unit = UNITS[price.unit];
  return unit ? t(`costs.times.${unit}`, each) : t("costs.timesUnit", { ...each, unit: price.unit });
}

/** The figures for one task, to stand beside its words on cost; nothing when there are none. */
export function CostFigures({ project, address }: { project: string; address: string }) {
  const { t } = useTranslation();
  const { data } = useCosts(project);
  const lines = data?.costs.lines.filter((line) => line.tasks.includes(address)) ?? [];
  if (!data || lines.length === 0) return null;
  return (
    <div data-testid="cost-figures">
      <ul className={s.figures}>
        {lines.map(({ what, price, missing }) => (
          <li key={what}>
            <span>{what}</span>
            <b className="num">
              {price === null
                ? missing
                : price.perHour === null
                  ? t("costs.aMonth", { month: money(price.perMonth, data.currency) })
                  : t("costs.anHour", {
                      hour: money(price.perHour, data.currency),
                      month: money(price.perMonth, data.currency),
                    })}
            </b>
          </li>
        ))}
      </ul>
      {data.source !== null && data.readAt !== null ? (
        <p className={s.source}>{t("plan.source", { source: `${data.source}, ${dateTime(data.readAt)}` })}</p>
      ) : null}
    </div>
  );
}

/** The sum in a few words, for the head of the plan; nothing while it is not known. */
export function CostsSum({ project }: { project: string }) {
  const { t } = useTranslation();
  const { data, error } = useCosts(project);
  if (error || !data || data.costs.perMonth === null) return null;
  const key = data.costs.missing.length > 0 ? "costs.headLacking" : "costs.head";
  const source =
    data.source === null || data.readAt === null
      ? undefined
      : t("costs.source", { source: data.source, at: dateTime(data.readAt) });
  return (
    <span data-testid="costs-head" title={source}>
      {t(key, { month: money(data.costs.perMonth, data.currency) })}
    </span>
  );
}
