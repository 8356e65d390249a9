// The whole plan before anything is changed: each task with its why, rights, time, cost and way back. What is approved
// here, and its hash, is exactly what runs.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Skeleton,
  SkeletonItem,
  Tab,
  TabList,
} from "@fluentui/react-components";
import { DismissRegular, PersonRegular, PlayRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { duration, range } from "../../design/format";
import { Cure } from "../../design/Cure";
import { ErrorCard } from "../../design/ErrorCard";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import { useCommand, useHost } from "../../host";
import type { Finding } from "../../host/gen/Finding";
import type { Plan } from "../../host/gen/Plan";
import type { PlanView } from "../../host/gen/PlanView";
import type { Severity } from "../../host/gen/Severity";
import type { Task } from "../../host/gen/Task";
import type { UiError } from "../../host/gen/UiError";
import { CostFigures, Costs, CostsSum } from "../costs/Costs";
import { MethodStrip } from "../methods/MethodStrip";
import { DiagramPane } from "../run/DiagramPane";
import { hasEnded } from "../run/RunControls";
import { remaining, schedule } from "../run/estimate";
import { numberOf, taskOf } from "../run/model";
import s from "./plan.module.css";

const SEVERITY_MARK: Record<Severity, Mark> = { information: "ready", warning: "overdue", blocking: "failed" };
const HASH_SHOWN = 12;
type View = "tasks" | "findings" | "costs" | "picture";

export default function PlanScreen() {
  const { t } = useTranslation();
  const host = useHost();
  const { project, path, error: projectError, reload, go } = useProject();
  const [view, setView] = useState<View>("tasks");
  const [chosen, setChosen] = useState<string | null>(null);
  const [approving, setApproving] = useState(false);
  const query = useQuery<PlanView, UiError>({
    queryKey: ["plan", path],
    queryFn: () => host.call("plan_get", { project: path ?? "" }),
    enabled: path !== null,
  });
  const error = projectError ?? query.error;
  if (error) {
    return (
      <div className={s.message}>
        <ErrorCard error={error} onRetry={projectError ? reload : () => void query.refetch()}>
          <Button size="small" onClick={() => go("inventory")}>
            {t("plan.toInventory")}
          </Button>
        </ErrorCard>
      </div>
    );
  }
  if (!query.data || !project) {
    return (
      <Skeleton className={s.message} aria-label={t("app.loading")}>
        {Array.from({ length: 10 }, (_, n) => (
          <SkeletonItem key={n} className={s.skeleton} />
        ))}
      </Skeleton>
    );
  }
  const { plan, hash } = query.data;
  const active = project.live || (project.run !== null && !hasEnded(project.run.phase));
  const blocking = plan.findings.filter((f) => f.severity === "blocking").length;
  const found = chosen === null ? undefined : taskOf(plan, chosen);
  return (
    <div className={s.page} data-testid="plan" data-hash={hash}>
      <div className={s.head}>
        <div className={s.headWords}>
          <h1>{t("plan.title", { application: plan.application })}</h1>
          <Totals plan={plan} hash={hash} project={project.path} />
        </div>
        {active ? (
          <Button appearance="primary" onClick={() => go("run")}>
            {t("plan.toRun")}
          </Button>
        ) : (
          <Button
            appearance="primary"
            icon={<PlayRegular />}
            data-testid="plan-approve"
            disabledFocusable={blocking > 0}
            title={blocking > 0 ? t("plan.blocked", { count: blocking }) : undefined}
            onClick={() => blocking === 0 && setApproving(true)}
          >
            {t("plan.approve")}
          </Button>
        )}
      </div>
      <MethodStrip project={project} computing={query.isFetching} />
      <TabList selectedValue={view} onTabSelect={(_, data) => setView(data.value as View)} className={s.tabs}>
        <Tab value="tasks">{t("plan.tasks")}</Tab>
        <Tab value="findings" data-testid="plan-findings">
          {t("plan.findings", { n: plan.findings.length })}
        </Tab>
        <Tab value="costs" data-testid="plan-costs">
          {t("plan.costs")}
        </Tab>
        <Tab value="picture">{t("plan.picture")}</Tab>
      </TabList>
      <div className={s.body}>
        {view === "tasks" ? <Tasks plan={plan} chosen={chosen} onChoose={setChosen} /> : null}
        {view === "findings" ? (
          <Findings
            plan={plan}
            onChoose={(address) => {
              setView("tasks");
              setChosen(address);
            }}
          />
        ) : null}
        {view === "costs" ? (
          <div className={s.costs} tabIndex={0} role="region" aria-label={t("plan.costs")}>
            <Costs project={project.path} />
          </div>
        ) : null}
        {view === "picture" ? (
          <DiagramPane plan={query.data} tasks={undefined} selected={chosen ?? undefined} onSelect={setChosen} />
        ) : null}
        {found && (view === "tasks" || view === "picture") ? (
          <Details
            project={project.path}
            plan={plan}
            task={found.task}
            onChoose={setChosen}
            onClose={() => setChosen(null)}
          />
        ) : null}
      </div>
      <Approve open={approving} plan={plan} hash={hash} project={project.path} onClose={() => setApproving(false)} />
    </div>
  );
}

const tasksOf = (plan: Plan): Task[] => plan.steps.flatMap((step) => step.tasks);
const byPeople = (plan: Plan): Task[] =>
  tasksOf(plan).filter((t) => t.actor.who === "person" || t.action.do === "gate");
const points = (plan: Plan): Task[] => tasksOf(plan).filter((t) => t.noReturn);

function Totals({ plan, hash, project }: { plan: Plan; hash: string; project: string }) {
  const { t } = useTranslation();
  const time = useMemo(() => {
    const tasks = plan.steps.filter((step) => step.number < 8).flatMap((step) => step.tasks);
    return remaining(schedule(tasks, new Map(), 0), tasks);
  }, [plan]);
  return (
    <p className={s.totals}>
      <span>{t("run.tasks", { count: tasksOf(plan).length })}</span>
      <span title={t("run.leftSource")}>{t("plan.time", { p50: duration(time.p50), p95: duration(time.p95) })}</span>
      <CostsSum project={project} />
      <span>{t("plan.people", { n: byPeople(plan).length })}</span>
      <span>{t("plan.points", { count: points(plan).length })}</span>
      <span>{t("plan.rules", { rules: plan.rules })}</span>
      <span title={hash} className={s.hash}>
        {t("plan.hash", { hash: hash.slice(0, HASH_SHOWN) })}
      </span>
    </p>
  );
}

function Tasks({ plan, chosen, onChoose }: { plan: Plan; chosen: string | null; onChoose: (address: string) => void }) {
  const { t } = useTranslation();
  return (
    <div className={s.scroller} tabIndex={0} role="region" aria-label={t("plan.tasks")}>
      <table className={s.table}>
        <thead>
          <tr>
            <th scope="col">{t("plan.task")}</th>
            <th scope="col">{t("plan.why")}</th>
            <th scope="col">{t("plan.who")}</th>
            <th scope="col">{t("plan.usually")}</th>
            <th scope="col">{t("plan.cost")}</th>
            <th scope="col">{t("plan.rights")}</th>
          </tr>
        </thead>
        {plan.steps.map((step) => (
          <tbody key={step.number}>
            <tr className={s.stepRow}>
              <th scope="colgroup" colSpan={6}>
                {step.number}. {step.title}
                <span>{t("run.tasks", { count: step.tasks.length })}</span>
              </th>
            </tr>
            {step.tasks.map((task, index) => (
              <tr
                key={task.address}
                data-address={task.address}
                aria-selected={chosen === task.address}
                onClick={() => onChoose(task.address)}
              >
                <th scope="row">
                  <span className={s.number}>
                    {step.number}.{index + 1}
                  </span>
                  <button
                    type="button"
                    className={`${s.name} cut`}
                    title={task.title}
                    onClick={() => onChoose(task.address)}
                  >
                    {task.title}
                  </button>
                  {task.noReturn ? (
                    <span role="img" aria-label={t("run.noReturn")} title={t("run.noReturn")}>
                      ◆
                    </span>
                  ) : null}
                </th>
                <td className="cut" title={task.why}>
                  {task.why}
                </td>
                <td className="cut" title={who(t, task)}>
                  {task.actor.who === "person" || task.action.do === "gate" ? (
                    <PersonRegular className={s.person} fontSize={14} aria-hidden />
                  ) : null}
                  {who(t, task)}
                </td>
                <td className="num cut" title={task.duration.source}>
                  {task.duration.p95 > 0 ? range(task.duration.p50, task.duration.p95) : t("plan.none")}
                </td>
                <td className="cut" title={task.cost ?? t("task.noCost")}>
                  {task.cost ?? t("plan.none")}
                </td>
                <td className="num" title={task.rights.join("\n")}>
                  {task.rights.length > 0 ? task.rights.length : t("plan.none")}
                </td>
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}

function who(t: TFunction, task: Task): string {
  if (task.actor.who === "person") return task.actor.role;
  return t(task.action.do === "gate" ? "plan.youDecide" : "plan.rehost");
}

function Findings({ plan, onChoose }: { plan: Plan; onChoose: (address: string) => void }) {
  const { t } = useTranslation();
  const order: Severity[] = ["blocking", "warning", "information"];
  const sorted = plan.findings.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  const about = (finding: Finding) => {
    const found = taskOf(plan, finding.about);
    return found ? (
      <button type="button" className={s.link} onClick={() => onChoose(finding.about)}>
        {numberOf(plan, finding.about)} {found.task.title}
      </button>
    ) : (
      finding.about
    );
  };
  return (
    <ul className={s.findings}>
      {sorted.length === 0 ? <li className={s.muted}>{t("plan.noFindings")}</li> : null}
      {sorted.map((finding) => (
        <li key={`${finding.rule} ${finding.about}`} data-severity={finding.severity}>
          <StatusIcon mark={SEVERITY_MARK[finding.severity]} quiet />
          <div>
            <h2>
              {finding.title} <span className={s.severity}>{t(`severity.${finding.severity}`)}</span>
            </h2>
            <p>{finding.detail}</p>
            {finding.command ? <Cure who={finding.who} command={finding.command} /> : null}
            <p className={s.muted}>
              {about(finding)} · {t("plan.source", { source: finding.source })}
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}

type DetailsProps = {
  project: string;
  plan: Plan;
  task: Task;
  onChoose: (address: string) => void;
  onClose: () => void;
};

function Details({ project, plan, task, onChoose, onClose }: DetailsProps) {
  const { t } = useTranslation();
  const { actor } = task;
  return (
    <aside className={s.details} aria-label={task.title} data-testid="plan-details">
      <div className={s.detailsHead}>
        <span className={`${s.muted} num`}>{t("task.number", { number: numberOf(plan, task.address) })}</span>
        <Button
          appearance="subtle"
          size="small"
          icon={<DismissRegular />}
          aria-label={t("common.close")}
          onClick={onClose}
        />
      </div>
      <h2>
        {task.title}
        {task.noReturn ? ` ◆` : ""}
      </h2>
      {task.noReturn ? <p className={s.noReturn}>{t("run.noReturn")}</p> : null}
      <p>{task.what}</p>
      <h3>{t("plan.why")}</h3>
      <p>{task.why}</p>
      {actor.who === "person" ? (
        <>
          <h3>{t("plan.byPerson", { role: actor.role })}</h3>
          <ol className={s.ordered}>
            {actor.instructions.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ol>
          {actor.script ? <pre tabIndex={0}>{actor.script.text}</pre> : null}
        </>
      ) : null}
      <h3>{t("plan.usually")}</h3>
      <p className="num">{task.duration.p95 > 0 ? range(task.duration.p50, task.duration.p95) : t("plan.none")}</p>
      <p className={s.muted}>{t("plan.source", { source: task.duration.source })}</p>
      <h3>{t("task.wayBack")}</h3>
      <p>{task.wayBack}</p>
      <h3>{t("plan.cost")}</h3>
      <p>{task.cost ?? t("task.noCost")}</p>
      <CostFigures project={project} address={task.address} />
      {task.after.length > 0 ? (
        <>
          <h3>{t("plan.after")}</h3>
          <ul>
            {task.after.map((address) => (
              <li key={address}>
                <button type="button" className={s.link} onClick={() => onChoose(address)}>
                  {numberOf(plan, address)} {taskOf(plan, address)?.task.title ?? address}
                </button>
              </li>
            ))}
          </ul>
        </>
      ) : null}
      <h3>{t("plan.rights")}</h3>
      <Codes list={task.rights} none={t("task.noRights")} />
      <h3>{t("plan.calls")}</h3>
      <Codes list={task.calls} none={t("plan.noCalls")} />
    </aside>
  );
}

function Codes({ list, none }: { list: string[]; none: string }) {
  if (list.length === 0) return <p className={s.muted}>{none}</p>;
  return (
    <ul className={s.codes}>
      {list.map((line) => (
        <li key={line}>
          <code>{line}</code>
        </li>
      ))}
    </ul>
  );
}

type ApproveProps = { open: boolean; plan: Plan; hash: string; project: string; onClose: () => void };

function Approve({ open, plan, hash, project, onClose }: ApproveProps) {
  const { t } = useTranslation();
  const { go } = useProject();
  const start = useCommand("run_start");
  const close = () => {
    start.reset();
    onClose();
  };
  return (
    <Dialog open={open} modalType="alert" onOpenChange={(_, data) => data.open || close()}>
      <DialogSurface className={s.dialog}>
        <DialogBody>
          <DialogTitle>{t("plan.approveTitle")}</DialogTitle>
          <DialogContent className={s.dialogBody} tabIndex={0}>
            <p>{t("plan.approveText", { count: tasksOf(plan).length })}</p>
            <h3>{t("plan.approvePoints")}</h3>
            <ul className={s.bullets}>
              {points(plan).map((task) => (
                <li key={task.address}>
                  {numberOf(plan, task.address)} {task.title}. {t("cancel.wayBack", { text: task.wayBack })}
                </li>
              ))}
            </ul>
            <Costs project={project} brief />
            <h3>{t("plan.approvePeople")}</h3>
            <ul className={s.bullets}>
              {byPeople(plan).map((task) => (
                <li key={task.address}>
                  {numberOf(plan, task.address)} {task.title} · {who(t, task)}
                </li>
              ))}
            </ul>
            <p className={s.print}>{hash}</p>
            {start.error ? <ErrorCard error={start.error} /> : null}
          </DialogContent>
          <DialogActions>
            <Button onClick={close}>{t("common.cancel")}</Button>
            <Button
              appearance="primary"
              data-testid="plan-start"
              disabled={start.isPending}
              onClick={() =>
                start.mutate(
                  { project, planHash: hash },
                  {
                    onSuccess: () => {
                      close();
                      go("run");
                    },
                  },
                )
              }
            >
              {t("plan.start")}
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
