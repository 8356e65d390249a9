// What the details of a machine and of a database share.
import { useTranslation } from "react-i18next";
import { Cure } from "../../design/Cure";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import type { Finding } from "../../host/gen/Finding";
import type { Severity } from "../../host/gen/Severity";
import s from "./details.module.css";

const MARK: Record<Severity, Mark> = { blocking: "failed", warning: "overdue", information: "ready" };

export function FindingList({ findings }: { findings: readonly Finding[] }) {
  const { t } = useTranslation();
  if (findings.length === 0) return null;
  return (
    <ul className={s.findings}>
      {findings.map((finding) => (
        <li key={finding.rule} data-rule={finding.rule} data-severity={finding.severity}>
          <StatusIcon mark={MARK[finding.severity]} size={16} quiet />
          <div>
            <h3>
              {finding.title} <span className="hidden">{t(`severity.${finding.severity}`)}</span>
            </h3>
            <p>{finding.detail}</p>
            {finding.command ? <Cure who={finding.who} command={finding.command} /> : null}
            <p className={s.source}>{t("plan.source", { source: finding.source })}</p>
          </div>
        </li>
      ))}
    </ul>
  );
}

export function Facts({ title, rows }: { title: string; rows: [string, string][] }) {
  return (
    <section className={s.section}>
      <h3>{title}</h3>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
