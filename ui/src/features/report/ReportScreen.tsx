// What the report of this run will say, and the button that writes it.
import { Button, Skeleton, SkeletonItem } from "@fluentui/react-components";
import { DocumentArrowDownRegular } from "@fluentui/react-icons";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { dateTime, duration } from "../../design/format";
import { ErrorCard } from "../../design/ErrorCard";
import type { Mark } from "../../design/mark";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import type { RunPhase } from "../../host/gen/RunPhase";
import { countTasks, numberOf, summarize } from "../run/model";
import { useSaveReport } from "./useSaveReport";
import s from "./report.module.css";

const PHASE_MARK: Record<RunPhase, Mark> = {
  running: "running",
  paused: "waiting",
  done: "done",
  stopped: "failed",
  cancelled: "rejected",
};

export default function ReportScreen() {
  const { t } = useTranslation();
  const { project, error, reload, run, streamError, go } = useProject();
  const report = useSaveReport();
  const failure = error ?? streamError;
  if (failure) {
    return (
      <div className={s.page}>
        <ErrorCard error={failure} onRetry={reload} />
      </div>
    );
  }
  if (!project || (project.run && !run)) {
    return (
      <Skeleton className={s.page} aria-label={t("app.loading")}>
        <SkeletonItem className={s.skeleton} />
      </Skeleton>
    );
  }
  if (!run) {
    return (
      <div className={s.empty}>
        <h2>{t("report.emptyTitle")}</h2>
        <p>{t("report.emptyText")}</p>
        <Button appearance="primary" onClick={() => go("plan")}>
          {t("run.emptyAction")}
        </Button>
      </div>
    );
  }
  const counts = countTasks(run);
  const { plan } = run.plan;
  const tasks = plan.steps.flatMap((step) => step.tasks);
  const states = tasks.flatMap((task) => run.tasks.get(task.address) ?? []);
  const decisions = tasks.flatMap((task) => {
    const decision = run.tasks.get(task.address)?.decision;
    return decision ? [{ task, decision }] : [];
  });
  const created = states.reduce((n, state) => n + state.created.length, 0);
  const evidence = states.reduce((n, state) => n + state.evidence.length, 0);
  const { started, ended, by, host, phase } = run.run;
  return (
    <div className={s.page} data-testid="report">
      <div className={s.inner}>
        <div className={s.head}>
          <div className={s.headWords}>
            <h1>{t("report.title", { application: plan.application })}</h1>
            <p>{t("report.text")}</p>
          </div>
          <Button
            appearance="primary"
            icon={<DocumentArrowDownRegular />}
            data-testid="save-report"
            disabled={report.saving}
            onClick={() => report.save(project.path)}
          >
            {t("report.save")}
          </Button>
        </div>
        <dl className={s.facts}>
          <dt>{t("report.state")}</dt>
          <dd>
            <StatusPill mark={PHASE_MARK[phase]}>{t(`phase.${phase}`)}</StatusPill>
            {run.run.rehearsal ? <span className={s.badge}>{t("app.rehearsal")}</span> : null}
          </dd>
          <dt>{t("report.who")}</dt>
          <dd>{t("report.byOn", { by, host })}</dd>
          <dt>{t("report.when")}</dt>
          <dd className="num">
            {started ? dateTime(started) : t("report.notStarted")}
            {ended
              ? ` – ${dateTime(ended)} · ${duration((Date.parse(ended) - Date.parse(started ?? ended)) / 1000)}`
              : ""}
          </dd>
          <dt>{t("report.tasks")}</dt>
          <dd className="num">{t("run.counts", { settled: counts.settled, total: counts.total })}</dd>
          <dt>{t("report.evidence")}</dt>
          <dd className="num">{t("report.evidenceN", { evidence, created })}</dd>
          <dt>{t("report.planHash")}</dt>
          <dd className={s.print}>{run.run.planHash}</dd>
        </dl>
        <div className={s.two}>
          <section>
            <h2>{t("run.steps")}</h2>
            <ul className={s.rows}>
              {plan.steps.map((step) => {
                const summary = summarize(run, step);
                return (
                  <li key={step.number}>
                    <StatusIcon mark={summary.mark} />
                    <span className="cut" title={step.title}>
                      {step.number}. {step.title}
                    </span>
                    <span className="num">
                      {summary.took === undefined
                        ? t("run.counts", { settled: summary.settled, total: step.tasks.length })
                        : duration(summary.took)}
                    </span>
                  </li>
                );
              })}
            </ul>
          </section>
          <section>
            <h2>{t("report.decisions")}</h2>
            {decisions.length === 0 ? <p className={s.muted}>{t("report.noDecisions")}</p> : null}
            <ul className={s.decisions}>
              {decisions.map(({ task, decision }) => (
                <li key={task.address}>
                  <StatusIcon mark={decision.accepted ? "done" : "rejected"} />
                  <div>
                    <b>
                      {numberOf(plan, task.address)} {task.title}
                    </b>
                    <p>
                      {t(decision.accepted ? "task.accepted" : "task.refused", {
                        by: decision.by,
                        at: dateTime(decision.at),
                      })}
                      {decision.note ? ` ${t("task.note", { note: decision.note })}` : ""}
                    </p>
                  </div>
                </li>
              ))}
            </ul>
          </section>
        </div>
      </div>
      {report.dialog}
    </div>
  );
}
