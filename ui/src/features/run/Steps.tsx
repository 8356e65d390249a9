// The eight steps as a tree. A step opens by itself while something goes on in it; the person's choice wins.
import { useMemo, useRef, useState } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { duration, percent } from "../../design/format";
import { type Mark, markOf, MOVING } from "../../design/mark";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import type { Task } from "../../host/gen/Task";
import { byPeople } from "./estimate";
import { countTasks, numberOf, type RunModel, type StepSummary, summarize, waitsFor } from "./model";
import s from "./run.module.css";

const OPEN: ReadonlySet<Mark> = new Set(["failed", "rejected", "you", "overdue", "waiting", "running", "undoing"]);
const WITH_PILL: ReadonlySet<Mark> = new Set([
  "failed",
  "rejected",
  "you",
  "overdue",
  "waiting",
  "running",
  "blocked",
  "undoing",
]);

type Props = { run: RunModel; selected: string | undefined; onSelect: (address: string) => void };

export function Steps({ run, selected, onSelect }: Props) {
  const { t } = useTranslation();
  const summaries = useMemo(() => run.plan.plan.steps.map((step) => summarize(run, step)), [run]);
  const [choice, setChoice] = useState<ReadonlyMap<number, boolean>>(new Map());
  const [cursor, setCursor] = useState<string | null>(null);
  const tree = useRef<HTMLUListElement>(null);
  const counts = countTasks(run);
  const isOpen = (summary: StepSummary) => choice.get(summary.step.number) ?? OPEN.has(summary.mark);
  const toggle = (summary: StepSummary, open = !isOpen(summary)) =>
    setChoice((before) => new Map(before).set(summary.step.number, open));
  const stop = cursor ?? selected ?? "step-1";

  const onKeyDown = (event: React.KeyboardEvent) => {
    const items = [...(tree.current?.querySelectorAll<HTMLElement>("[data-item]") ?? [])];
    const index = items.findIndex((item) => item === document.activeElement);
    const current = items[index];
    if (!current) return;
    const focus = (item: HTMLElement | undefined) => {
      if (!item) return;
      setCursor(item.dataset.item ?? null);
      item.focus();
    };
    const step = summaries.find((x) => `step-${x.step.number}` === current.dataset.item);
    switch (event.key) {
      case "ArrowDown":
        focus(items[index + 1]);
        break;
      case "ArrowUp":
        focus(items[index - 1]);
        break;
      case "Home":
        focus(items[0]);
        break;
      case "End":
        focus(items.at(-1));
        break;
      case "ArrowRight":
        if (step && !isOpen(step)) toggle(step, true);
        else if (step) focus(items[index + 1]);
        break;
      case "ArrowLeft":
        if (step) toggle(step, false);
        else
          focus(
            items.slice(0, index).findLast((item) => item.dataset.item?.startsWith("step-") && !item.dataset.address),
          );
        break;
      case "Enter":
      case " ":
        current.click();
        break;
      default:
        return;
    }
    event.preventDefault();
  };

  return (
    <section className={s.steps} aria-labelledby="steps-title">
      <div className={s.stepsHead}>
        <h2 id="steps-title">{t("run.steps")}</h2>
        <span className="num" data-testid="counts">
          {t("run.counts", { settled: counts.settled, total: counts.total })}
          {counts.moving > 0 ? ` · ${t("run.moving", { n: counts.moving })}` : ""}
        </span>
      </div>
      <ul
        className={s.tree}
        role="tree"
        aria-labelledby="steps-title"
        data-testid="steps"
        ref={tree}
        onKeyDown={onKeyDown}
      >
        {summaries.map((summary) => {
          const { step, mark } = summary;
          const open = isOpen(summary);
          const id = `step-${step.number}`;
          return (
            <li key={step.number} role="none">
              <div
                role="treeitem"
                aria-expanded={open}
                aria-level={1}
                tabIndex={stop === id ? 0 : -1}
                data-item={id}
                data-testid={id}
                data-status={mark}
                data-open={open || undefined}
                className={s.step}
                onClick={() => toggle(summary)}
                onFocus={() => setCursor(id)}
              >
                <StatusIcon mark={mark} size={18} />
                <span className={s.stepWords}>
                  <span className={s.stepTitle}>
                    {step.number}. {step.title}
                  </span>
                  <span className={s.stepLine} title={stepLine(t, run, summary)}>
                    {stepLine(t, run, summary)}
                  </span>
                </span>
                {WITH_PILL.has(mark) ? <StatusPill mark={mark} /> : null}
              </div>
              {open ? (
                <ul role="group" className={s.tasks}>
                  {step.tasks.map((task) => (
                    <TaskRow
                      key={task.address}
                      run={run}
                      task={task}
                      selected={selected === task.address}
                      focusable={stop === task.address}
                      onSelect={() => onSelect(task.address)}
                      onFocus={() => setCursor(task.address)}
                    />
                  ))}
                </ul>
              ) : null}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

type RowProps = {
  run: RunModel;
  task: Task;
  selected: boolean;
  focusable: boolean;
  onSelect: () => void;
  onFocus: () => void;
};

function TaskRow({ run, task, selected, focusable, onSelect, onFocus }: RowProps) {
  const { t } = useTranslation();
  const state = run.tasks.get(task.address);
  const mark = state ? markOf(state) : "later";
  return (
    <li
      role="treeitem"
      aria-level={2}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      data-item={task.address}
      data-address={task.address}
      data-status={state?.status ?? "blocked"}
      className={s.task}
      onClick={onSelect}
      onFocus={onFocus}
    >
      <StatusIcon mark={mark} size={17} />
      <span className={`${s.taskTitle} cut`} title={task.title}>
        {task.title}
        {task.noReturn ? (
          <span className={s.diamond} role="img" aria-label={t("run.noReturn")} title={t("run.noReturn")}>
            ◆
          </span>
        ) : null}
      </span>
      <span className={`${s.taskEnd} num`}>{taskEnd(t, run, task)}</span>
    </li>
  );
}

/** One line of what matters now in a step. */
function stepLine(t: TFunction, run: RunModel, summary: StepSummary): string {
  const { step, mark, focus, took, settled } = summary;
  const tasks = t("run.tasks", { count: step.tasks.length });
  if (took !== undefined) {
    const people = summary.people > 0 ? ` · ${t("run.byYou", { n: summary.people })}` : "";
    return `${tasks} · ${duration(took)}${people}`;
  }
  if (mark === "later" && settled === 0) {
    const days = step.tasks.find((task) => task.action.do === "waitDays");
    if (days?.action.do === "waitDays") return `${tasks} · ${t("run.daysAfter", { count: days.action.days })}`;
    return tasks;
  }
  if (!focus) return tasks;
  if (mark === "later" || mark === "ready" || mark === "blocked") {
    const other = waitsFor(run, focus.task).find((w) => !w.address.startsWith(`step-${step.number}/`));
    const after = other ? ` · ${t("run.after", { number: numberOf(run.plan.plan, other.address) })}` : "";
    return `${t("run.counts", { settled, total: step.tasks.length })}${after}`;
  }
  if (mark === "failed") return focus.state.failure?.title ?? focus.task.title;
  if (mark === "you") return focus.task.title;
  if (focus.state.text) return focus.state.text;
  return focus.task.title;
}

/** The end of a task's row: how long it took, how far it is, or what it waits for. */
function taskEnd(t: TFunction, run: RunModel, task: Task): string {
  const state = run.tasks.get(task.address);
  const mark = state ? markOf(state) : "later";
  if (MOVING.has(mark)) return state?.percent != null ? percent(state.percent) : t(`mark.${mark}`);
  switch (mark) {
    case "done":
    case "adopted":
      return state?.started && state.ended
        ? duration((Date.parse(state.ended) - Date.parse(state.started)) / 1000)
        : "";
    case "you":
      return t("run.you");
    case "later":
    case "ready": {
      if (task.noReturn) return t("run.noReturnShort");
      const other = waitsFor(run, task).find((w) => !w.address.startsWith(`${task.address.split("/")[0]}/`));
      if (other) return t("run.after", { number: numberOf(run.plan.plan, other.address) });
      if (byPeople(task)) return t("run.you");
      return task.duration.p95 > 0 ? t("run.p95", { duration: duration(task.duration.p95) }) : "";
    }
    default:
      return t(`mark.${mark}`);
  }
}
