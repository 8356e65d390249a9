// The run: what a person must do on top, the steps left, the architecture in the middle, the timeline below it, one
// task right. On a narrow window the task lies over the picture and can be closed.
import { Button, Spinner } from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { Banner } from "./Banner";
import { DiagramPane } from "./DiagramPane";
import { GateDialog } from "./GateDialog";
import { focusTask } from "./model";
import { Steps } from "./Steps";
import { useClock } from "./stream";
import { TaskPanel } from "./TaskPanel";
import { Timeline } from "./Timeline";
import s from "./run.module.css";

export default function RunScreen() {
  const { t } = useTranslation();
  const { project, error, run, live, streamError, reload, go } = useProject();
  const now = useClock(run, live);
  const [chosen, setChosen] = useState<string | null>(null);
  const [drawer, setDrawer] = useState(false);
  const [deciding, setDeciding] = useState<string | null>(null);
  const [asked, setAsked] = useState(0);
  const decide = (address: string) => {
    setDeciding(address);
    setAsked(asked + 1);
  };

  if (error) {
    return (
      <div className={s.message}>
        <ErrorCard error={error} onRetry={reload} />
      </div>
    );
  }
  if (!project || (!run && (project.run || live) && !streamError)) {
    return (
      <div className={s.center}>
        <Spinner size="small" label={t("app.loading")} />
      </div>
    );
  }
  if (!run) {
    return (
      <div className={s.message}>
        {streamError ? (
          <ErrorCard error={streamError} onRetry={reload} />
        ) : (
          <div className={s.empty} data-testid="run-empty">
            <h2>{t("run.emptyTitle")}</h2>
            <p>{t("run.emptyText")}</p>
            <Button appearance="primary" onClick={() => go("plan")}>
              {t("run.emptyAction")}
            </Button>
          </div>
        )}
      </div>
    );
  }

  const address = chosen ?? focusTask(run);
  const select = (next: string) => {
    setChosen(next);
    setDrawer(true);
  };
  return (
    <div className={s.screen} data-testid="run-screen" data-phase={run.run.phase}>
      <h1 className="hidden">{t("run.title", { application: run.plan.plan.application })}</h1>
      <Banner run={run} live={live} onShow={select} onDecide={decide} />
      {streamError ? (
        <div className={s.streamError}>
          <ErrorCard error={streamError} onRetry={reload} />
        </div>
      ) : null}
      <div className={s.columns}>
        <Steps run={run} selected={address} onSelect={select} />
        <div className={s.middle}>
          <DiagramPane plan={run.plan} tasks={run.tasks} selected={chosen ?? undefined} onSelect={select} />
          <Timeline run={run} now={now} />
        </div>
        <div className={s.panelPlace} data-open={drawer || undefined}>
          {address ? (
            <TaskPanel
              key={address}
              run={run}
              live={live}
              now={now}
              project={project.path}
              address={address}
              onSelect={select}
              onDecide={decide}
              onClose={() => {
                setDrawer(false);
                setChosen(null);
              }}
            />
          ) : null}
        </div>
      </div>
      <GateDialog key={asked} run={run} project={project.path} address={deciding} onClose={() => setDeciding(null)} />
    </div>
  );
}
