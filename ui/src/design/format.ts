// Numbers, times and sizes as people read them. Pure; the language is the window's.
import i18n from "i18next";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Seconds as `12 s`, `4 min`, `1 h 20 min`, `30 days`: two units at most. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < MINUTE) return i18n.t("time.seconds", { n: s });
  if (s < HOUR) return i18n.t("time.minutes", { n: Math.round(s / MINUTE) });
  if (s < DAY) {
    const minutes = Math.round((s % HOUR) / MINUTE);
    const hours = Math.floor(s / HOUR) + (minutes === 60 ? 1 : 0);
    const h = i18n.t("time.hours", { n: hours });
    return minutes === 0 || minutes === 60 ? h : `${h} ${i18n.t("time.minutes", { n: minutes })}`;
  }
  const hours = Math.round((s % DAY) / HOUR);
  const days = Math.floor(s / DAY) + (hours === 24 ? 1 : 0);
  const d = i18n.t("time.days", { count: days });
  return hours === 0 || hours === 24 || days >= 7 ? d : `${d} ${i18n.t("time.hours", { n: hours })}`;
}

/** Two durations as a range in one unit where possible: `35 to 60 min`. */
export function range(p50: number, p95: number): string {
  const from = duration(p50);
  const to = duration(p95);
  if (from === to) return from;
  const unit = (text: string) => text.replace(/^[\d.,]+\s*/, "");
  const short =
    unit(from) === unit(to) && !/\d/.test(unit(from)) ? from.slice(0, from.length - unit(from).length).trim() : from;
  return i18n.t("time.range", { from: short, to });
}

/** How long ago, at most to the second: `8 s ago`. */
export function ago(then: string, now: number): string {
  const seconds = (now - Date.parse(then)) / 1000;
  return seconds < 1 ? i18n.t("time.now") : i18n.t("time.ago", { duration: duration(seconds) });
}

const parts = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const withDay = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** `22:47`, local time. */
export const clock = (at: number | string): string => parts.format(new Date(at));

/** `Sat 22:47`, local time. */
export const dayClock = (at: number | string): string => `${withDay.format(new Date(at))} ${clock(at)}`;

/** `21 Nov 2026`, local time. */
export const day = (at: number | string): string => date.format(new Date(at));

/** `21 Nov 2026, 22:47`, local time. */
export const dateTime = (at: number | string): string => `${day(at)}, ${clock(at)}`;

/** Bytes in binary units: `42 GB`. */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : Math.round(value * 10) / 10} ${units[unit]}`;
}

/** `86 %`. */
export const percent = (n: number): string => `${Math.floor(n)} %`;

/** `US$1,234.50`; `digits`: places after the point, at most. */
export const money = (amount: number, currency: string, digits = 2): string =>
  new Intl.NumberFormat("en-GB", { style: "currency", currency, maximumFractionDigits: digits }).format(amount);

/** `2,000`. */
export const count = (n: number): string => new Intl.NumberFormat("en-GB").format(n);
