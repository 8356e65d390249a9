// What is left of the run, and the buttons that steer it as a whole.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Menu,
  MenuDivider,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  Tooltip,
} from "@fluentui/react-components";
import { DismissCircleRegular, DocumentArrowDownRegular, MoreHorizontalRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { MOVING, markOf } from "../../design/mark";
import { duration } from "../../design/format";
import { useCommand } from "../../host";
import type { RunPhase } from "../../host/gen/RunPhase";
import type { Task } from "../../host/gen/Task";
import { remaining, schedule } from "./estimate";
import type { RunModel } from "./model";
import { Quota } from "./Quota";
import { useSaveReport } from "../report/useSaveReport";
import { useClock } from "./stream";
import s from "./run.module.css";

/** The run goes on only by trying a failed task again, or not at all. */
export const hasEnded = (phase: RunPhase): boolean => phase === "done" || phase === "cancelled" || phase === "stopped";

/** Until the end of this step the application is being moved; after it, only tidying is left. */
const CUTOVER_STEP = 7;

export function RunControls() {
  const { t } = useTranslation();
  const { project, run, live } = useProject();
  const now = useClock(run, live);
  const pause = useCommand("run_pause");
  const goOn = useCommand("run_continue");
  const resume = useCommand("run_resume");
  const report = useSaveReport();
  const [cancelling, setCancelling] = useState(false);
  if (!project || !run) return null;
  const { phase } = run.run;
  const args = { project: project.path };
  const over = hasEnded(phase);
  return (
    <div className={s.controls}>
      <Quota project={project.path} live={live && !over} />
      {over ? null : <Left run={run} now={now} />}
      {!over && !live ? (
        <Button
          appearance="primary"
          data-testid="resume"
          disabled={resume.isPending}
          onClick={() => resume.mutate(args)}
        >
          {t("run.resume")}
        </Button>
      ) : null}
      {live && phase === "running" ? (
        <Button data-testid="pause" disabled={pause.isPending} onClick={() => pause.mutate(args)}>
          {t("run.pause")}
        </Button>
      ) : null}
      {live && phase === "paused" ? (
        <Button appearance="primary" data-testid="continue" disabled={goOn.isPending} onClick={() => goOn.mutate(args)}>
          {t("run.continue")}
        </Button>
      ) : null}
      <Menu>
        <MenuTrigger disableButtonEnhancement>
          <Tooltip content={t("run.more")} relationship="label">
            <Button icon={<MoreHorizontalRegular />} data-testid="run-more" />
          </Tooltip>
        </MenuTrigger>
        <MenuPopover>
          <MenuList>
            <MenuItem
              icon={<DocumentArrowDownRegular />}
              data-testid="menu-save-report"
              onClick={() => report.save(project.path)}
            >
              {t("report.save")}
            </MenuItem>
            {live && !over ? (
              <>
                <MenuDivider />
                <MenuItem icon={<DismissCircleRegular />} data-testid="cancel-run" onClick={() => setCancelling(true)}>
                  {t("run.cancel")}
                </MenuItem>
              </>
            ) : null}
          </MenuList>
        </MenuPopover>
      </Menu>
      {report.dialog}
      <CancelDialog run={run} open={cancelling} project={project.path} onClose={() => setCancelling(false)} />
    </div>
  );
}

function Left({ run, now }: { run: RunModel; now: number }) {
  const { t } = useTranslation();
  const { steps } = run.plan.plan;
  const planned = schedule(
    steps.flatMap((step) => step.tasks),
    run.tasks,
    now,
  );
  const rest = remaining(
    planned,
    steps.filter((step) => step.number <= CUTOVER_STEP).flatMap((step) => step.tasks),
  );
  const words =
    rest.p95 > 0
      ? t("run.left", { p50: duration(rest.p50), p95: duration(rest.p95) })
      : t("run.leftCleanUp", {
          days: duration(
            remaining(
              planned,
              steps.flatMap((step) => step.tasks),
            ).p50,
          ),
        });
  return (
    <Tooltip content={`${words}. ${t("run.leftSource")}`} relationship="label">
      <span className={`${s.left} num cut`} role="note">
        {words}
      </span>
    </Tooltip>
  );
}

/** Tasks whose work goes on elsewhere when Rehost stops asking. */
export function goingOn(run: RunModel): Task[] {
  return run.plan.plan.steps.flatMap((step) =>
    step.tasks.filter((task) => {
      const state = run.tasks.get(task.address);
      return state !== undefined && state.inFlight !== null && MOVING.has(markOf(state));
    }),
  );
}

function CancelDialog({
  run,
  open,
  project,
  onClose,
}: {
  run: RunModel;
  open: boolean;
  project: string;
  onClose: () => void;
}) {
  const { t } = useTranslation();
  const cancel = useCommand("run_cancel");
  const tasks = open ? goingOn(run) : [];
  return (
    <Dialog open={open} modalType="alert" onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{t("cancel.title")}</DialogTitle>
          <DialogContent className={s.dialogText}>
            <p>{t("cancel.text")}</p>
            {tasks.length > 0 ? (
              <>
                <h3>{t("cancel.goesOn")}</h3>
                <ul className={s.bullets}>
                  {tasks.map((task) => (
                    <li key={task.address}>
                      {task.title}. {t("cancel.wayBack", { text: task.wayBack })}
                    </li>
                  ))}
                </ul>
              </>
            ) : (
              <p>{t("cancel.nothing")}</p>
            )}
          </DialogContent>
          <DialogActions>
            <Button appearance="primary" data-testid="cancel-keep" onClick={onClose}>
              {t("cancel.keep")}
            </Button>
            <Button
              data-testid="cancel-confirm"
              disabled={cancel.isPending}
              onClick={() => cancel.mutate({ project }, { onSuccess: onClose })}
            >
              {t("cancel.confirm")}
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
