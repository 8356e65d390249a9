// The next thing a person must do, why it is safe, and exactly that as a button. When nothing is needed it says so,
// quietly and in the same place, so that the screen below never moves.
import { Button } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import { useCommand } from "../../host";
import { useProject } from "../../app/project";
import { useSaveReport } from "../report/useSaveReport";
import { goingOn } from "./RunControls";
import { countTasks, needs, numberOf, type RunModel } from "./model";
import s from "./run.module.css";

type Props = {
  run: RunModel;
  live: boolean;
  onShow: (address: string) => void;
  onDecide: (address: string) => void;
};

type Content = { mark: Mark; tone: string; title: string; text: string; actions?: React.ReactNode };

export function Banner({ run, live, onShow, onDecide }: Props) {
  const { t } = useTranslation();
  const { project } = useProject();
  const path = project?.path ?? "";
  const retry = useCommand("task_retry");
  const resume = useCommand("run_resume");
  const goOn = useCommand("run_continue");
  const report = useSaveReport();
  const all = needs(run, live);
  const [need] = all;
  if (!need) return null;
  const more = all.filter((n) => "task" in n).length - ("task" in need ? 1 : 0);
  const counts = countTasks(run);
  const saveButton = (
    <Button appearance="primary" data-testid="save-report" disabled={report.saving} onClick={() => report.save(path)}>
      {t("report.save")}
    </Button>
  );
  const content = ((): Content => {
    switch (need.kind) {
      case "gate": {
        const { action, address } = need.task;
        const gate = action.do === "gate" ? action : undefined;
        const evidence = need.task.after.findLast((a) => (run.tasks.get(a)?.evidence.length ?? 0) > 0);
        return {
          mark: "you",
          tone: "you",
          title: t("banner.decide", { question: gate?.question ?? need.task.title }),
          text: gate?.safeBecause ?? "",
          actions: (
            <>
              {evidence ? <Button onClick={() => onShow(evidence)}>{t("banner.evidence")}</Button> : null}
              {need.task.actor.who === "person" ? (
                <Button onClick={() => onShow(address)}>{t("banner.instructions")}</Button>
              ) : null}
              <Button appearance="primary" data-testid="gate-review" onClick={() => onDecide(address)}>
                {t("banner.review")}
              </Button>
            </>
          ),
        };
      }
      case "person": {
        const { actor } = need.task;
        const person = actor.who === "person" ? actor : undefined;
        return {
          mark: "you",
          tone: "you",
          title: t("banner.person", { role: capital(person?.role ?? t("mark.you")), title: need.task.title }),
          text: sentence(need.state.text || person?.instructions[0] || need.task.what),
          actions: (
            <Button appearance="primary" data-testid="show-instructions" onClick={() => onShow(need.task.address)}>
              {t("banner.instructions")}
            </Button>
          ),
        };
      }
      case "failed":
        return {
          mark: "failed",
          tone: "fail",
          title: need.state.failure?.title ?? t("banner.failed", { title: need.task.title }),
          text: need.state.failure?.hint ?? need.state.text,
          actions: (
            <>
              <Button onClick={() => onShow(need.task.address)}>{t("banner.show")}</Button>
              <Button
                appearance="primary"
                data-testid="banner-retry"
                disabled={retry.isPending}
                onClick={() => retry.mutate({ project: path, address: need.task.address })}
              >
                {t("error.retry")}
              </Button>
            </>
          ),
        };
      case "rejected":
        return {
          mark: "rejected",
          tone: "fail",
          title: t("banner.rejected", { title: need.task.title }),
          text: need.state.decision?.note ?? need.state.text,
          actions: (
            <>
              <Button onClick={() => onShow(need.task.address)}>{t("banner.show")}</Button>
              <Button
                appearance="primary"
                data-testid="banner-retry"
                disabled={retry.isPending}
                onClick={() => retry.mutate({ project: path, address: need.task.address })}
              >
                {t("banner.decideAgain")}
              </Button>
            </>
          ),
        };
      case "reopen":
        return {
          mark: "overdue",
          tone: "late",
          title: t("banner.reopen"),
          text: t("banner.reopenText", { settled: counts.settled, total: counts.total }),
          actions: (
            <Button
              appearance="primary"
              data-testid="banner-resume"
              disabled={resume.isPending}
              onClick={() => resume.mutate({ project: path })}
            >
              {t("run.resume")}
            </Button>
          ),
        };
      case "paused": {
        const tasks = goingOn(run);
        return {
          mark: "waiting",
          tone: "late",
          title: t("banner.paused"),
          text:
            tasks.length > 0
              ? t("banner.pausedGoesOn", { tasks: tasks.map((task) => task.title).join(", ") })
              : t("banner.pausedNothing"),
          actions: (
            <Button appearance="primary" disabled={goOn.isPending} onClick={() => goOn.mutate({ project: path })}>
              {t("run.continue")}
            </Button>
          ),
        };
      }
      case "done":
        return {
          mark: "done",
          tone: "done",
          title: t("banner.done", { application: run.plan.plan.application }),
          text: t("banner.doneText", { total: counts.total }),
          actions: saveButton,
        };
      case "stopped": {
        const cause = all.find((n) => n.kind === "failed" || n.kind === "rejected");
        return {
          mark: "failed",
          tone: "fail",
          title: t("banner.stopped"),
          text: t("banner.stoppedText", { settled: counts.settled, total: counts.total }),
          actions: (
            <>
              {cause && "task" in cause ? (
                <>
                  <Button onClick={() => onShow(cause.task.address)}>{t("banner.show")}</Button>
                  <Button
                    data-testid="banner-retry"
                    disabled={retry.isPending}
                    onClick={() => retry.mutate({ project: path, address: cause.task.address })}
                  >
                    {t(cause.kind === "failed" ? "error.retry" : "banner.decideAgain")}
                  </Button>
                </>
              ) : null}
              {saveButton}
            </>
          ),
        };
      }
      case "cancelled":
        return {
          mark: "rejected",
          tone: "late",
          title: t("banner.cancelled"),
          text: t("banner.cancelledText", { settled: counts.settled, total: counts.total }),
          actions: saveButton,
        };
      case "none":
        return {
          mark: "done",
          tone: "none",
          title: t("banner.none"),
          text: need.next
            ? t("banner.noneNext", { number: numberOf(run.plan.plan, need.next.address), title: need.next.title })
            : t("banner.noneLast"),
        };
    }
  })();
  return (
    <section
      className={s.banner}
      data-tone={content.tone}
      data-mark={content.mark}
      data-testid="banner"
      aria-live="polite"
    >
      <StatusIcon mark={content.mark} size={20} />
      <p className={s.bannerText} title={`${content.title} ${content.text}`}>
        <b>{content.title}</b> {content.text}
        {more > 0 ? <span className={s.more}> {t("banner.more", { count: more })}</span> : null}
      </p>
      <div className={s.bannerActions}>{content.actions}</div>
      {report.dialog}
    </section>
  );
}

/** A first letter in capitals, unless a name begins so: vCenter stays vCenter. */
const capital = (text: string): string =>
  /^[a-z][a-z ]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;

/** What the other side reports, as a sentence of its own. */
const sentence = (text: string): string => capital(/[.!?]$/.test(text) ? text : `${text}.`);
