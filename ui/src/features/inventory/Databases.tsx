// What the source SQL Server holds, and what stands against moving each database. The instance stands beside the list until
// a database is chosen.
import { Button, Skeleton, SkeletonItem, Spinner } from "@fluentui/react-components";
import { ArrowClockwiseRegular, DismissRegular } from "@fluentui/react-icons";
import type { TFunction } from "i18next";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { bytes, count, dateTime } from "../../design/format";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import { useCommand } from "../../host";
import type { Finding } from "../../host/gen/Finding";
import type { SqlDatabase } from "../../host/gen/SqlDatabase";
import type { SqlInstance } from "../../host/gen/SqlInstance";
import { Facts, FindingList } from "./parts";
import { countOf } from "./rows";
import { useDatabases } from "./useDatabases";
import d from "./details.module.css";
import s from "./databases.module.css";
import i from "./inventory.module.css";

const COLUMNS = ["name", "findings", "state", "recovery", "compatibility", "size", "backup"] as const;

export function Databases({ tabs }: { tabs: React.ReactNode }) {
  const { t } = useTranslation();
  const { project, go } = useProject();
  const { view, pending, error, reading, read } = useDatabases();
  const [chosen, setChosen] = useState<string | null>(null);
  const server = project?.connections.connections.sql.server ?? "";
  const instance = view?.instance ?? reading?.instance ?? null;
  const rows = (instance?.databases ?? []).filter((one) => one.id > 4);
  const system = (instance?.databases.length ?? 0) - rows.length;
  const findings = (name: string) => view?.databases.find((one) => one.database === name)?.findings ?? null;
  const database = rows.find((one) => one.name === chosen);
  const busy = reading?.busy ?? false;
  const first = project?.design.database.toLowerCase();
  const planned = new Set([first, ...(project?.design.furtherDatabases ?? []).map((name) => name.toLowerCase())]);
  const summary = busy
    ? reading?.instance
      ? t("databases.reading", { server, n: count(reading.looked), total: count(rows.length) })
      : t("databases.connecting", { server })
    : reading?.millis
      ? t("databases.read", { n: count(rows.length), seconds: (reading.millis / 1000).toFixed(1) })
      : view
        ? t("databases.stored", { server: view.instance.name, at: dateTime(view.readAt) })
        : "";
  return (
    <>
      <div className={i.head}>
        {tabs}
        <span className={`${i.summary} num`} aria-live="polite" data-testid="databases-summary">
          {busy ? <Spinner size="extra-tiny" /> : null}
          {summary}
        </span>
        {server && instance ? (
          <Button icon={<ArrowClockwiseRegular />} disabled={busy} data-testid="databases-read" onClick={read}>
            {t("databases.readAgain")}
          </Button>
        ) : null}
      </div>
      {error ? (
        <div className={i.failure}>
          <ErrorCard error={error} onRetry={read}>
            <Button size="small" onClick={() => go("connect")}>
              {t("inventory.toConnections")}
            </Button>
          </ErrorCard>
        </div>
      ) : null}
      {pending ? (
        <Skeleton className={i.skeletons} aria-label={t("app.loading")}>
          {Array.from({ length: 6 }, (_, n) => (
            <SkeletonItem key={n} className={i.skeleton} />
          ))}
        </Skeleton>
      ) : !instance ? (
        busy || error ? null : (
          <Empty server={server} onRead={read} onConnect={() => go("connect")} />
        )
      ) : (
        <div className={i.body}>
          <div className={i.left}>
            <Rows
              rows={rows}
              planned={planned}
              chosen={chosen}
              busy={busy}
              findings={findings}
              onChoose={(name) => setChosen(name)}
            />
            <p className={s.foot}>{t("databases.system", { count: system })}</p>
          </div>
          {database ? (
            <Details
              database={database}
              findings={findings(database.name)}
              planned={planned.has(database.name.toLowerCase())}
              first={database.name.toLowerCase() === first}
              onClose={() => setChosen(null)}
            />
          ) : (
            <Instance instance={instance} />
          )}
        </div>
      )}
    </>
  );
}

type EmptyProps = { server: string; onRead: () => void; onConnect: () => void };

function Empty({ server, onRead, onConnect }: EmptyProps) {
  const { t } = useTranslation();
  return (
    <div className={i.empty} data-testid="databases-empty">
      <h2>{t(server ? "databases.emptyTitle" : "databases.none")}</h2>
      <p>{server ? t("databases.emptyText", { server }) : t("databases.noneText")}</p>
      <Button appearance="primary" data-testid="databases-begin" onClick={server ? onRead : onConnect}>
        {t(server ? "databases.readNow" : "databases.toConnections")}
      </Button>
    </div>
  );
}

type RowsProps = {
  rows: readonly SqlDatabase[];
  planned: ReadonlySet<string | undefined>;
  chosen: string | null;
  busy: boolean;
  findings: (name: string) => readonly Finding[] | null;
  onChoose: (name: string | null) => void;
};

function Rows({ rows, planned, chosen, busy, findings, onChoose }: RowsProps) {
  const { t } = useTranslation();
  const [cursor, setCursor] = useState(0);
  const table = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: React.KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -rows.length, End: rows.length };
    const step = steps[event.key];
    if (step !== undefined) {
      const next = Math.max(0, Math.min(rows.length - 1, cursor + step));
      setCursor(next);
      table.current?.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") onChoose(rows[cursor]?.name ?? null);
    else if (event.key === "Escape") onChoose(null);
    else return;
    event.preventDefault();
  };
  return (
    <div
      className={s.table}
      ref={table}
      role="grid"
      aria-label={t("databases.tab")}
      aria-rowcount={rows.length + 1}
      aria-busy={busy}
      data-testid="databases"
    >
      <div role="rowgroup">
        <div className={`${s.row} ${s.header}`} role="row">
          {COLUMNS.map((column) => (
            <div key={column} role="columnheader" data-column={column}>
              {t(`databases.columns.${column}`)}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" onKeyDown={onKeyDown}>
        {rows.map((one, index) => (
          <div
            key={one.name}
            className={s.row}
            role="row"
            aria-selected={one.name === chosen}
            tabIndex={index === cursor ? 0 : -1}
            data-index={index}
            data-name={one.name}
            onClick={() => {
              setCursor(index);
              onChoose(one.name);
            }}
          >
            <div role="gridcell" className={s.name}>
              <span className="cut" title={one.name}>
                {one.name}
              </span>
              {planned.has(one.name.toLowerCase()) ? <span className={s.badge}>{t("databases.planned")}</span> : null}
            </div>
            <div role="gridcell">
              <Count findings={findings(one.name)} />
            </div>
            <div role="gridcell" className="cut" title={one.state}>
              {words(one.state)}
            </div>
            <div role="gridcell">{words(one.recovery)}</div>
            <div role="gridcell" className="num">
              {one.compatibility}
            </div>
            <div role="gridcell" className="num">
              {bytes(one.dataBytes)}
            </div>
            <div role="gridcell" className={`num cut`}>
              {backup(one, t)}
            </div>
          </div>
        ))}
      </div>
    </div>
  );
}

const markFor = (findings: readonly Finding[]): Mark => {
  const counts = countOf(findings);
  return counts.blocking > 0 ? "failed" : counts.warning > 0 ? "overdue" : "done";
};

function Count({ findings }: { findings: readonly Finding[] | null }) {
  const { t } = useTranslation();
  if (!findings) return <span aria-hidden>–</span>;
  const counts = countOf(findings);
  const n = counts.blocking + counts.warning;
  return (
    <span className={s.count} data-mark={markFor(findings)}>
      <StatusIcon mark={markFor(findings)} size={16} quiet />
      {n > 0 ? <span aria-hidden>{n}</span> : null}
      <span className="hidden">{t("inventory.counts", { blocking: counts.blocking, warning: counts.warning })}</span>
    </span>
  );
}

type DetailsProps = {
  database: SqlDatabase;
  findings: readonly Finding[] | null;
  planned: boolean;
  /** It is the application's own, which stays in the plan. */
  first: boolean;
  onClose: () => void;
};

function Details({ database: one, findings, planned, first, onClose }: DetailsProps) {
  const { t } = useTranslation();
  const matters = findings?.filter((f) => f.severity !== "information") ?? [];
  const notes = findings?.filter((f) => f.severity === "information") ?? [];
  const users = one.details?.users.map((u) => u.name) ?? [];
  const uses = one.details?.uses.map((u) => (u.server ? `${u.server}.${u.database}` : u.database)) ?? [];
  return (
    <aside
      className={d.details}
      aria-label={one.name}
      data-testid="database-details"
      onKeyDown={(event) => event.key === "Escape" && onClose()}
    >
      <div className={d.head}>
        <div className={d.title}>
          <h2 className="cut" title={one.name}>
            {one.name}
          </h2>
          <p className={d.muted}>
            {words(one.state)}
            {planned ? ` · ${t("databases.planned")}` : ""}
          </p>
        </div>
        <Button
          appearance="subtle"
          size="small"
          icon={<DismissRegular />}
          aria-label={t("common.close")}
          onClick={onClose}
        />
      </div>
      <Along name={one.name} planned={planned} first={first} />
      <section className={d.section} aria-label={t("inventory.findings")}>
        {findings && matters.length === 0 ? (
          <p className={d.fit} data-mark="done">
            <StatusIcon mark="done" size={16} quiet /> {t("databases.fit")}
          </p>
        ) : null}
        <FindingList findings={matters} />
        {notes.length > 0 ? (
          <details className={d.notes}>
            <summary>{t("inventory.notes", { count: notes.length })}</summary>
            <FindingList findings={notes} />
          </details>
        ) : null}
      </section>
      <Facts
        title={t("databases.columns.name")}
        rows={[
          [t("databases.columns.recovery"), words(one.recovery)],
          [t("databases.columns.compatibility"), String(one.compatibility)],
          [t("databases.facts.collation"), one.collation ?? t("inventory.unknown")],
          [t("databases.facts.owner"), one.owner ?? t("inventory.unknown")],
          [t("databases.columns.size"), bytes(one.dataBytes)],
          [t("databases.columns.log"), bytes(one.logBytes)],
          [t("databases.columns.backup"), backup(one, t)],
          [t("databases.facts.chain"), String(one.backups.after.filter((b) => b.kind === "log").length)],
          ...row(t("databases.facts.encrypted"), one.encrypted ? t("databases.facts.yes") : ""),
          ...row(t("databases.facts.users"), users.join(", ")),
          ...row(t("databases.facts.uses"), uses.join(", ")),
        ]}
      />
    </aside>
  );
}

/** Takes a database into the plan beside the application's, or out of it. */
function Along({ name, planned, first }: { name: string; planned: boolean; first: boolean }) {
  const { t } = useTranslation();
  const { project } = useProject();
  const save = useCommand("databases_save");
  if (!project) return null;
  const further = project.design.furtherDatabases;
  const others = further.filter((one) => one.toLowerCase() !== name.toLowerCase());
  return (
    <section className={s.along} aria-label={t("databases.planned")}>
      <p>{t(first ? "databases.first" : "databases.alongText")}</p>
      {first ? null : (
        <Button
          size="small"
          data-testid="database-along"
          disabledFocusable={save.isPending}
          onClick={() =>
            !save.isPending && save.mutate({ project: project.path, further: planned ? others : [...further, name] })
          }
        >
          {t(planned ? "databases.leaveOut" : "databases.along")}
        </Button>
      )}
      {save.error ? <ErrorCard error={save.error} /> : null}
    </section>
  );
}

function Instance({ instance: one }: { instance: SqlInstance }) {
  const { t } = useTranslation();
  return (
    <aside className={d.details} aria-label={t("databases.instance")} data-testid="instance-details">
      <div className={d.head}>
        <div className={d.title}>
          <h2 className="cut" title={one.name}>
            {one.name}
          </h2>
          <p className={d.muted}>{one.edition}</p>
        </div>
      </div>
      <Facts
        title={t("databases.instance")}
        rows={[
          [t("databases.facts.version"), one.version],
          [t("databases.facts.collation"), one.collation ?? t("inventory.unknown")],
          [t("databases.facts.login"), one.sysadmin ? t("databases.facts.sysadmin", { login: one.login }) : one.login],
          [t("databases.facts.logins"), count(one.logins.length)],
          ...row(t("databases.facts.jobs"), one.jobs.map((j) => j.name).join(", ")),
          ...row(t("databases.facts.linked"), one.linkedServers.map((l) => l.name).join(", ")),
          ...row(t("databases.facts.credentials"), one.credentials.join(", ")),
          ...row(t("databases.facts.certificates"), one.certificates.map((c) => c.name).join(", ")),
        ]}
      />
      {one.unread.length > 0 ? (
        <section className={d.section}>
          <h3>{t("databases.facts.unread")}</h3>
          <ul className={s.unread}>
            {one.unread.map((u) => (
              <li key={`${u.database} ${u.what}`}>
                {t(`databases.unread.${u.reason}`, {
                  what: u.database ? `${u.database}: ${u.what}` : u.what,
                  detail: u.detail,
                })}
              </li>
            ))}
          </ul>
        </section>
      ) : null}
    </aside>
  );
}

const row = (name: string, value: string): [string, string][] => (value ? [[name, value]] : []);

/** `BULK_LOGGED` as people write it. */
const words = (state: string) => state.charAt(0) + state.slice(1).toLowerCase().replaceAll("_", "-");

const backup = (one: SqlDatabase, t: TFunction) =>
  one.backups.full ? dateTime(one.backups.full.finished) : t("databases.facts.noBackup");
