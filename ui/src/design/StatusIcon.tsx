// One icon for each state: a shape of its own, so that colour is never the only sign.
import { useTranslation } from "react-i18next";
import type { Mark } from "./mark";
import s from "./status.module.css";

const ring = <circle cx="9" cy="9" r="7.25" />;

const SHAPES: Record<Mark, React.ReactNode> = {
  done: (
    <>
      {ring}
      <path d="m5.8 9.2 2.2 2.2 4.3-4.6" />
    </>
  ),
  adopted: (
    <>
      <rect x="1.9" y="1.9" width="14.2" height="14.2" rx="3.4" />
      <path d="m5.8 9.2 2.2 2.2 4.3-4.6" />
    </>
  ),
  skipped: (
    <>
      {ring}
      <path d="M6 6.2 9 9l-3 2.8M9.6 6.2l3 2.8-3 2.8" />
    </>
  ),
  running: (
    <>
      <circle cx="9" cy="9" r="7.25" className={s.track} />
      <path d="M9 1.75A7.25 7.25 0 0 1 16.25 9" className={s.spin} strokeWidth="2" />
    </>
  ),
  waiting: (
    <>
      {ring}
      <path d="M9 4.9V9l2.7 1.6" />
    </>
  ),
  overdue: (
    <>
      <path d="M9 1.9 16.6 15.6H1.4Z" />
      <path d="M9 6.8v4M9 13.2v.1" strokeWidth="1.7" />
    </>
  ),
  you: (
    <>
      {ring}
      <circle cx="9" cy="7.1" r="2" fill="currentColor" stroke="none" />
      <path d="M5.6 12.7c.5-1.9 1.8-2.7 3.4-2.7s2.9.8 3.4 2.7Z" fill="currentColor" stroke="none" />
    </>
  ),
  ready: (
    <>
      {ring}
      <path d="M7.4 6v6l4.4-3Z" fill="currentColor" stroke="none" />
    </>
  ),
  later: <circle cx="9" cy="9" r="7.25" strokeDasharray="2.3 2.25" />,
  blocked: (
    <>
      <circle cx="9" cy="9" r="7.25" strokeDasharray="2.3 2.25" />
      <path d="M6 9h6" strokeWidth="1.8" />
    </>
  ),
  failed: (
    <>
      <path d="M5.9 1.8h6.2l4.1 4.1v6.2l-4.1 4.1H5.9l-4.1-4.1V5.9Z" />
      <path d="m6.6 6.6 4.8 4.8m0-4.8-4.8 4.8" />
    </>
  ),
  rejected: (
    <>
      {ring}
      <path d="m4 4 10 10" />
    </>
  ),
  undoing: (
    <>
      <path d="M3.4 6.2A6.6 6.6 0 1 1 2.6 11" />
      <path d="M3 2.6v3.8h3.8" />
    </>
  ),
  undone: (
    <>
      <path d="M3.4 6.2A6.6 6.6 0 1 1 2.6 11" strokeDasharray="2.3 2.25" />
      <path d="M3 2.6v3.8h3.8" />
    </>
  ),
};

/** The icon; its word is read aloud unless `quiet` (when the word stands beside it). */
export function StatusIcon({ mark, size = 18, quiet = false }: { mark: Mark; size?: number; quiet?: boolean }) {
  const { t } = useTranslation();
  const word = t(`mark.${mark}`);
  return (
    <svg
      className={s.icon}
      data-mark={mark}
      width={size}
      height={size}
      viewBox="0 0 18 18"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      role={quiet ? undefined : "img"}
      aria-label={quiet ? undefined : word}
      aria-hidden={quiet || undefined}
      focusable="false"
    >
      {quiet ? null : <title>{word}</title>}
      {SHAPES[mark]}
    </svg>
  );
}

/** A state as a word in a pill. */
export function StatusPill({ mark, children }: { mark: Mark; children?: React.ReactNode }) {
  const { t } = useTranslation();
  return (
    <span className={s.pill} data-mark={mark}>
      {children ?? t(`mark.${mark}`)}
    </span>
  );
}
