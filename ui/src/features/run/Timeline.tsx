// What ran and runs when, one line for each step; hatched is planned. Long silences are folded.
import { memo, useMemo } from "react";
import { useTranslation } from "react-i18next";
import { clock, dayClock, dateTime, duration } from "../../design/format";
import type { RunModel } from "./model";
import { axis, rows } from "./timeline";
import s from "./run.module.css";

/** The bars are drawn anew when the clock has moved by this (milliseconds of the run's time). */
const REDRAW = 15_000;
const TRACK_WIDTH = 560;

export const Timeline = memo(function Timeline({ run, now }: { run: RunModel; now: number }) {
  const { t } = useTranslation();
  const at = Math.round(now / REDRAW) * REDRAW;
  const data = useMemo(() => rows(run, at), [run, at]);
  const scale = useMemo(
    () =>
      axis(
        data.flatMap((row) => row.bars),
        at,
        TRACK_WIDTH,
      ),
    [data, at],
  );
  const pct = (x: number) => `${(x * 100).toFixed(3)}%`;
  return (
    <section className={s.timeline} aria-label={t("timeline.title")} tabIndex={0}>
      <div className={s.axis}>
        <h2 className={s.rowName}>{t("timeline.title")}</h2>
        <div className={s.track}>
          {scale.ticks.map((tick) => (
            <span
              key={tick.at}
              className={`${s.tick} num`}
              data-last={tick.x > 0.95 || undefined}
              style={{ left: pct(tick.x) }}
            >
              {tick.day ? dayClock(tick.at) : clock(tick.at)}
            </span>
          ))}
        </div>
      </div>
      <ul>
        {data.map((row) => (
          <li key={row.number} className={s.row}>
            <span className={`${s.rowName} cut`} title={row.title}>
              {row.number}. {row.title}
            </span>
            <div className={s.track} data-row>
              {scale.breaks.map((b) => (
                <span
                  key={b.from}
                  className={s.break}
                  title={t("timeline.folded", { duration: duration((b.to - b.from) / 1000) })}
                  style={{ left: pct(b.x), width: pct(b.width) }}
                />
              ))}
              {row.bars.map((bar) => {
                const from = scale.x(bar.from);
                const words = t("timeline.bar", {
                  state: t(bar.planned ? "timeline.planned" : `mark.${bar.mark}`),
                  from: dateTime(bar.from),
                  to: dateTime(bar.to),
                  duration: duration((bar.to - bar.from) / 1000),
                });
                return (
                  <span
                    key={`${bar.from}-${bar.mark}`}
                    role="img"
                    aria-label={words}
                    title={words}
                    className={s.bar}
                    data-mark={bar.mark}
                    data-planned={bar.planned || undefined}
                    style={{ left: pct(from), width: `max(3px, ${pct(scale.x(bar.to) - from)})` }}
                  />
                );
              })}
            </div>
          </li>
        ))}
      </ul>
      <div className={s.nowLayer} aria-hidden>
        <span className={s.now} style={{ left: pct(scale.x(at)) }} />
      </div>
    </section>
  );
});
