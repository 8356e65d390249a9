// One task: what it does, how far it is, its last sign of life, what it waits for, its proofs, the way back; and one
// click away its requests, rights and costs.
import { Button, Spinner, Tab, TabList, Tooltip } from "@fluentui/react-components";
import { CopyRegular, DismissRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ago, clock, dateTime, dayClock, duration, percent, range } from "../../design/format";
import { markOf, MOVING, SETTLED } from "../../design/mark";
import { ErrorCard } from "../../design/ErrorCard";
import { useCopy } from "../../design/useCopy";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import { useCommand, useHost } from "../../host";
import type { Exchange } from "../../host/gen/Exchange";
import type { Task } from "../../host/gen/Task";
import type { TaskState } from "../../host/gen/TaskState";
import type { UiError } from "../../host/gen/UiError";
import { ApplianceDialog } from "../appliance/ApplianceDialog";
import { CostFigures } from "../costs/Costs";
import { ExchangeDialog } from "./ExchangeDialog";
import { byPeople, finish } from "./estimate";
import { numberOf, type RunModel, taskOf, waitsFor } from "./model";
import { Screenshot } from "./Screenshot";
import s from "./run.module.css";

type Props = {
  run: RunModel;
  live: boolean;
  now: number;
  project: string;
  address: string;
  onSelect: (address: string) => void;
  onDecide: (address: string) => void;
  onClose: (() => void) | undefined;
};

type TabName = "requests" | "rights" | "cost";

export function TaskPanel({ run, live, now, project, address, onSelect, onDecide, onClose }: Props) {
  const { t } = useTranslation();
  const found = taskOf(run.plan.plan, address);
  const state = run.tasks.get(address);
  const retry = useCommand("task_retry");
  // Read on request: a test machine that was cleaned up has no screen any more.
  const [screenOf, setScreenOf] = useState<string | null>(null);
  if (!found || !state) return <aside className={s.panel} aria-label={t("task.title")} />;
  const { task } = found;
  const mark = markOf(state);
  const moving = MOVING.has(mark);
  const mayRetry = run.run.phase !== "done" && run.run.phase !== "cancelled";
  return (
    <aside className={s.panel} aria-label={t("task.title")} data-testid="task-panel" data-panel={address} tabIndex={-1}>
      <div className={s.panelHead}>
        <StatusPill mark={mark} />
        <span className={`${s.panelNumber} num`}>{t("task.number", { number: numberOf(run.plan.plan, address) })}</span>
        {onClose ? (
          <Button
            appearance="subtle"
            size="small"
            icon={<DismissRegular />}
            aria-label={t("common.close")}
            onClick={onClose}
          />
        ) : null}
      </div>
      <h2 className={s.panelTitle}>
        {task.title}
        {task.noReturn ? (
          <span className={s.diamond} role="img" aria-label={t("run.noReturn")} title={t("run.noReturn")}>
            ◆
          </span>
        ) : null}
      </h2>
      <p className={s.what}>{task.what}</p>
      <div
        className={s.progress}
        role="progressbar"
        aria-label={t("task.progress")}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={barValue(state)}
        data-mark={mark}
        data-unknown={(moving && state.percent === null) || undefined}
      >
        <span style={{ width: `${barValue(state)}%` }} />
      </div>

      {state.failure && mark !== "done" ? (
        <ErrorCard
          error={state.failure}
          busy={retry.isPending}
          onRetry={mayRetry && state.status === "failed" ? () => retry.mutate({ project, address }) : undefined}
        />
      ) : null}
      {state.status === "rejected" && mayRetry ? (
        <Button data-testid="retry" disabled={retry.isPending} onClick={() => retry.mutate({ project, address })}>
          {t("banner.decideAgain")}
        </Button>
      ) : null}
      {task.action.do === "gate" && state.status === "needsPerson" && live ? (
        <Button appearance="primary" onClick={() => onDecide(address)}>
          {t("banner.review")}
        </Button>
      ) : null}

      <Facts run={run} task={task} state={state} now={now} onSelect={onSelect} />
      {task.actor.who === "person" && !SETTLED.has(mark) ? (
        <Instructions run={run} task={task} project={project} ready={state.status === "needsPerson"} />
      ) : null}
      {BY_HAND.has(task.action.do) && !SETTLED.has(mark) ? <ByHand task={task} project={project} /> : null}
      {state.decision ? (
        <section>
          <h3>{t("task.decision")}</h3>
          <p className={s.back}>
            {t(state.decision.accepted ? "task.accepted" : "task.refused", {
              by: state.decision.by,
              at: dateTime(state.decision.at),
            })}
            {state.decision.note ? ` ${t("task.note", { note: state.decision.note })}` : ""}
          </p>
        </section>
      ) : null}
      <EvidenceList state={state} moving={moving} />
      {live && task.action.do === "checkBoot" && state.status === "done" ? (
        <section>
          {screenOf === address ? (
            <Screenshot project={project} address={task.address} />
          ) : (
            <Button size="small" onClick={() => setScreenOf(address)} data-testid="screenshot-show">
              {t("screenshot.show")}
            </Button>
          )}
        </section>
      ) : null}
      <section>
        <h3>{t("task.wayBack")}</h3>
        <p className={s.back}>{task.wayBack}</p>
      </section>
      <Behind project={project} task={task} state={state} />
    </aside>
  );
}

const barValue = (state: TaskState): number => (SETTLED.has(markOf(state)) ? 100 : Math.round(state.percent ?? 0));

type FactsProps = { run: RunModel; task: Task; state: TaskState; now: number; onSelect: (address: string) => void };

function Facts({ run, task, state, now, onSelect }: FactsProps) {
  const { t } = useTranslation();
  const mark = markOf(state);
  const moving = MOVING.has(mark);
  const settled = SETTLED.has(mark);
  const estimate = moving ? finish(run.samples.get(task.address) ?? []) : null;
  const waits = settled ? [] : waitsFor(run, task);
  const blockers = state.blockedBy.flatMap((a) => taskOf(run.plan.plan, a)?.task ?? []);
  const usual = task.duration;
  const expiries = expiriesOf(run, task);
  const took = state.started && state.ended ? (Date.parse(state.ended) - Date.parse(state.started)) / 1000 : undefined;
  const ran = state.started && !state.ended ? (now - Date.parse(state.started)) / 1000 : undefined;
  const rows: [string, React.ReactNode, string?][] = [];
  const words = [
    state.text,
    state.percent !== null && moving && !state.text.includes("%") ? percent(state.percent) : "",
  ];
  if (state.reason) rows.push([t("task.reason"), state.reason]);
  if (moving || (state.status === "needsPerson" && task.action.do !== "gate" && state.text))
    rows.push([t("task.progress"), words.filter(Boolean).join(" · ") || t(`mark.${mark}`)]);
  if (moving && state.lastSign) rows.push([t("task.lastSign"), ago(state.lastSign, now), dateTime(state.lastSign)]);
  if (took !== undefined && settled)
    rows.push([t("task.took"), t("task.tookAt", { duration: duration(took), at: dayClock(state.ended ?? "") })]);
  if (ran !== undefined && moving) rows.push([t("task.runsFor"), duration(ran)]);
  if (usual.p95 > 0) {
    rows.push([t("task.usually"), byPeople(task) ? duration(usual.p50) : range(usual.p50, usual.p95), usual.source]);
  }
  if (moving) {
    rows.push([
      t("task.finishes"),
      estimate
        ? t("task.finishAt", {
            at: sameDay(estimate.at, now) ? clock(estimate.at) : dayClock(estimate.at),
            spread: duration(estimate.plusMinus / 1000),
            n: estimate.samples,
          })
        : t(mark === "overdue" ? "task.overdue" : "task.notKnown"),
    ]);
  }
  if (state.retryAt && !settled) {
    rows.push([t("task.retryAt"), t("task.retryIn", { at: clock(state.retryAt), n: state.attempts + 1 })]);
  } else if (state.attempts > 1) rows.push([t("task.attempts"), String(state.attempts)]);
  const links = (tasks: Task[]) => (
    <ul className={s.links}>
      {tasks.slice(0, 4).map((w) => (
        <li key={w.address}>
          <button type="button" className={s.link} onClick={() => onSelect(w.address)}>
            {w.title}
          </button>{" "}
          <span className={s.muted}>{t("task.ofNumber", { number: numberOf(run.plan.plan, w.address) })}</span>
        </li>
      ))}
      {tasks.length > 4 ? <li className={s.muted}>{t("task.moreTasks", { count: tasks.length - 4 })}</li> : null}
    </ul>
  );
  if (blockers.length > 0) rows.push([t("task.blockedBy"), links(blockers)]);
  else if (waits.length > 0) rows.push([t("task.waitsFor"), links(waits)]);
  for (const [name, at] of expiries) {
    const left = (Date.parse(at) - now) / 1000;
    rows.push([t("task.expires", { name }), t("task.expiresAt", { at: dayClock(at), margin: duration(left) })]);
  }
  if (task.actor.who === "person") rows.push([t("task.who"), task.actor.role]);
  return (
    <dl className={s.facts}>
      {rows.map(([name, value, tip]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd title={tip}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const sameDay = (a: number, b: number) => new Date(a).toDateString() === new Date(b).toDateString();

/** When the SAS that the task uses ends: the fact `sas.NAME` holds how it was made, `expiry` among it. */
function expiriesOf(run: RunModel, task: Task): [string, string][] {
  const { action } = task;
  const name = action.do === "issueSas" ? action.name : "sas" in action ? action.sas : undefined;
  const made = name === undefined ? undefined : run.run.facts[`sas.${name}`];
  if (typeof made !== "object" || made === null || !("expiry" in made) || typeof made.expiry !== "string") return [];
  return [["SAS", made.expiry]];
}

function EvidenceList({ state, moving }: { state: TaskState; moving: boolean }) {
  const { t } = useTranslation();
  if (state.evidence.length === 0 && !moving) return null;
  return (
    <section>
      <h3>{t("task.evidence")}</h3>
      <ul className={s.evidence}>
        {state.evidence.map((e) => (
          <li key={`${e.at}${e.text}`}>
            <StatusIcon mark="done" size={17} quiet />
            <span>{e.text}</span>
            <time className="num" dateTime={e.at} title={dateTime(e.at)}>
              {clock(e.at)}
            </time>
          </li>
        ))}
        {moving ? (
          <li>
            <StatusIcon mark={markOf(state)} size={17} quiet />
            <span>{state.text || t("task.following")}</span>
            <time>{t("time.now")}</time>
          </li>
        ) : null}
      </ul>
    </section>
  );
}

type InstructionsProps = { run: RunModel; task: Task; project: string; ready: boolean };

function Instructions({ run, task, project, ready }: InstructionsProps) {
  const { t } = useTranslation();
  const script = useCommand("task_script");
  const [copied, copyText] = useCopy();
  if (task.actor.who !== "person") return null;
  const { instructions, script: text } = task.actor;
  const copy = () =>
    script.mutate({ project, address: task.address }, { onSuccess: (filled) => copyText(filled.text) });
  return (
    <section data-testid="instructions">
      <h3>{t("task.instructions")}</h3>
      <ol className={s.instructions}>
        {instructions.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ol>
      {task.action.do === "checkVmRuns" ? <DeployHere run={run} task={task} project={project} /> : null}
      {text ? (
        <>
          <div className={s.scriptHead}>
            <span className="cut" title={text.runOn}>
              {t("task.runOn", { where: text.runOn, language: text.language })}
            </span>
            <Tooltip content={t("task.copyTip")} relationship="description">
              <Button
                size="small"
                icon={<CopyRegular />}
                data-testid="copy-script"
                disabled={!ready || script.isPending}
                onClick={copy}
              >
                {t(copied ? "task.copied" : "task.copy")}
              </Button>
            </Tooltip>
          </div>
          <pre className={s.script} tabIndex={0}>
            {text.text}
          </pre>
          {script.error ? <ErrorCard error={script.error} /> : null}
        </>
      ) : null}
    </section>
  );
}

/** Rehost deploys what a person has downloaded; what comes after it is the next task of a person. */
function DeployHere({ run, task, project }: { run: RunModel; task: Task; project: string }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const all = run.plan.plan.steps.flatMap((step) => step.tasks);
  const next = all.find((other) => other.actor.who === "person" && other.after.includes(task.address));
  const state = next && run.tasks.get(next.address);
  return (
    <>
      <Button
        appearance="primary"
        size="small"
        className={s.deployHere}
        data-testid="deploy-here"
        onClick={() => setOpen(true)}
      >
        {t("appliance.open")}
      </Button>
      {open ? (
        <ApplianceDialog
          project={project}
          registration={state ? { mark: markOf(state), text: state.text } : undefined}
          onClose={() => setOpen(false)}
        />
      ) : null}
    </>
  );
}

/** What a vCenter administrator can do in Rehost's place, when Rehost's account may not. */
const BY_HAND: ReadonlySet<Task["action"]["do"]> = new Set(["checkVCenterRights", "ensureRole", "grantRole"]);

function ByHand({ task, project }: { task: Task; project: string }) {
  const { t } = useTranslation();
  const script = useCommand("task_script");
  const [copied, copyText] = useCopy();
  const read = () => script.mutate({ project, address: task.address });
  return (
    <details
      className={s.byHand}
      data-testid="by-hand"
      onToggle={(event) => event.currentTarget.open && script.isIdle && read()}
    >
      <summary>{t("task.byHand")}</summary>
      <p className={s.back}>{t(task.action.do === "checkVCenterRights" ? "task.byHandOwn" : "task.byHandRole")}</p>
      {script.isPending ? <Spinner size="tiny" label={t("task.byHandReading")} labelPosition="after" /> : null}
      {script.error ? <ErrorCard error={script.error} onRetry={read} /> : null}
      {script.data ? (
        <>
          <div className={s.scriptHead}>
            <span className="cut">{t("task.byHandWhere")}</span>
            <Button
              size="small"
              icon={<CopyRegular />}
              data-testid="copy-by-hand"
              onClick={() => copyText(script.data.text)}
            >
              {t(copied ? "task.copied" : "task.copy")}
            </Button>
          </div>
          <pre className={s.script} tabIndex={0}>
            {script.data.text}
          </pre>
        </>
      ) : null}
    </details>
  );
}

function Behind({ project, task, state }: { project: string; task: Task; state: TaskState }) {
  const { t } = useTranslation();
  const host = useHost();
  const [tab, setTab] = useState<TabName>("requests");
  const [shown, setShown] = useState<Exchange | null>(null);
  const exchanges = useQuery<Exchange[], UiError>({
    queryKey: ["exchanges", project, task.address, state.status, state.lastSign],
    queryFn: () => host.call("task_exchanges", { project, address: task.address }),
    placeholderData: (before) => before,
    enabled: state.attempts > 0 || state.started !== null,
  });
  const list = exchanges.data?.filter(() => state.started !== null) ?? [];
  const label = list.length > 0 ? t("task.requestsN", { n: list.length }) : t("task.requests");
  return (
    <section className={s.behind}>
      <TabList size="small" selectedValue={tab} onTabSelect={(_, data) => setTab(data.value as TabName)}>
        <Tab value="requests">{label}</Tab>
        <Tab value="rights">{t("task.rights")}</Tab>
        <Tab value="cost">{t("task.cost")}</Tab>
      </TabList>
      {tab === "requests" ? (
        <>
          {exchanges.error ? <ErrorCard error={exchanges.error} onRetry={() => void exchanges.refetch()} /> : null}
          {list.length > 0 ? (
            <ul className={s.exchanges}>
              {list.toReversed().map((x) => (
                <li key={`${x.at}${x.url}${x.method}`}>
                  <button
                    type="button"
                    className={s.exchange}
                    onClick={() => setShown(x)}
                    title={`${x.method} ${x.url}`}
                  >
                    <time className="num">{clock(x.at)}</time>
                    <b>{x.method}</b>
                    <span className="cut">{shortUrl(x)}</span>
                    <span className="num" data-mark={x.status === null || x.status >= 400 ? "failed" : "done"}>
                      {x.status ?? t("task.noAnswer")}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          ) : (
            <>
              <p className={s.muted}>{t(task.calls.length > 0 ? "task.noRequests" : "task.noCalls")}</p>
              <ul className={s.calls}>
                {task.calls.map((call) => (
                  <li key={call}>
                    <code>{call}</code>
                  </li>
                ))}
              </ul>
            </>
          )}
        </>
      ) : null}
      {tab === "rights" ? (
        task.rights.length > 0 ? (
          <ul className={s.calls}>
            {task.rights.map((right) => (
              <li key={right}>
                <code>{right}</code>
              </li>
            ))}
          </ul>
        ) : (
          <p className={s.muted}>{t("task.noRights")}</p>
        )
      ) : null}
      {tab === "cost" ? (
        <>
          <p className={s.back}>{task.cost ?? t("task.noCost")}</p>
          <CostFigures project={project} address={task.address} />
        </>
      ) : null}
      <ExchangeDialog exchange={shown} onClose={() => setShown(null)} />
    </section>
  );
}

/** The end of the path: what is asked for, without host, subscription and query. */
function shortUrl(x: Exchange): string {
  try {
    const path = new URL(x.url).pathname;
    const provider = path.split(/\/providers\//i).at(-1) ?? path;
    return provider.replace(/^\/?Microsoft\.\w+\//i, "");
  } catch {
    return x.url;
  }
}
