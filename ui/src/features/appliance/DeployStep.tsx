// The deployment: how far it is, a way to stop it, and what comes after it.
import { Button, ProgressBar } from "@fluentui/react-components";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { bytes, duration } from "../../design/format";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import { useCommand, useHost } from "../../host";
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { DeployState } from "../../host/gen/DeployState";
import type { UiError } from "../../host/gen/UiError";
import type { Registration } from "./ApplianceDialog";
import { isOver } from "./model";
import s from "./appliance.module.css";

/** Follows the deployment that goes on; `started` counts those begun here, and 0 is none. */
export function useDeployment(project: string, started: number, onEnd: () => void): DeployState | null {
  const host = useHost();
  const [heard, setHeard] = useState<{ of: number; state: DeployState } | null>(null);
  useEffect(() => {
    if (started === 0) return;
    return host.stream("appliance_progress", { project }, (state) => {
      setHeard({ of: started, state });
      if (isOver(state)) onEnd();
    });
    // `onEnd` is another function each time, and always does the same.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [host, project, started]);
  return heard?.of === started ? heard.state : null;
}

type Props = {
  project: string;
  view: ApplianceView;
  state: DeployState | null;
  registration: Registration | undefined;
  setView: (view: ApplianceView) => void;
  onAgain: () => void;
};

export function DeployStep({ project, view, state, registration, setView, onAgain }: Props) {
  const { t } = useTranslation();
  const abort = useCommand("appliance_abort");
  const start = useCommand("appliance_power_on");
  const phase = state?.phase;
  if (phase?.is === "failed") return <Failed error={phase.error} onAgain={onAgain} />;
  if (phase?.is === "stopped")
    return (
      <>
        <Notice title={t("appliance.stopped")}>
          <p>{t("appliance.stoppedText")}</p>
        </Notice>
        <Again onAgain={onAgain} />
      </>
    );
  const deployed = view.deployment;
  if (phase?.is === "done" || (!state && deployed && !view.goesOn)) {
    const on = deployed?.stage === "running";
    return (
      <div className={s.done} data-testid="appliance-done">
        <p className={s.checked} data-mark="done">
          <StatusIcon mark="done" size={20} quiet />
          <span>{t("appliance.deployed", { name: deployed?.vm ?? state?.vm ?? view.name })}</span>
        </p>
        {on ? (
          <p className={s.checked} data-mark="done">
            <StatusIcon mark="done" size={20} quiet />
            <span>{t("appliance.runs")}</span>
          </p>
        ) : (
          <>
            <p>{t("appliance.off")}</p>
            {start.error ? <ErrorCard error={start.error} /> : null}
            <Button
              appearance="primary"
              disabled={start.isPending}
              data-testid="appliance-power-on"
              onClick={() => start.mutate({ project }, { onSuccess: setView })}
            >
              {t("appliance.powerOnNow")}
            </Button>
          </>
        )}
        {on ? (
          <div className={s.registration} data-testid="appliance-registration">
            <StatusPill mark={registration?.mark ?? "later"} />
            <span>
              {t(
                registration?.mark === "done" || registration?.mark === "adopted"
                  ? "appliance.registered"
                  : "appliance.register",
              )}
              {registration?.text ? <span className={s.muted}> {registration.text}</span> : null}
            </span>
          </div>
        ) : null}
      </div>
    );
  }
  const share = state && state.total > 0 ? state.sent / state.total : undefined;
  const sending = phase?.is === "sending";
  return (
    <>
      <p>{t(`appliance.phase.${phase?.is ?? "preparing"}`, { name: state?.vm ?? view.name })}</p>
      <ProgressBar
        value={sending ? share : undefined}
        max={1}
        thickness="large"
        aria-label={t("appliance.heading.deploy")}
        aria-valuetext={sending && share !== undefined ? `${Math.floor(share * 100)} %` : undefined}
      />
      {state && sending ? (
        <dl className={s.meter}>
          <div>
            <dt>{t("appliance.sent")}</dt>
            <dd className="num">{t("appliance.of", { done: bytes(state.sent), total: bytes(state.total) })}</dd>
          </div>
          <div>
            <dt>{t("appliance.rate")}</dt>
            <dd className="num">
              {state.rate === null ? t("appliance.notKnown") : t("appliance.perSecond", { rate: bytes(state.rate) })}
            </dd>
          </div>
          <div>
            <dt>{t("appliance.left")}</dt>
            <dd className="num">
              {state.secondsLeft === null ? t("appliance.notKnown") : duration(state.secondsLeft)}
            </dd>
          </div>
          <div>
            <dt>{t("appliance.file")}</dt>
            <dd className="cut" title={state.file}>
              {state.file}
            </dd>
          </div>
        </dl>
      ) : null}
      {abort.error ? <ErrorCard error={abort.error} /> : null}
      <div className={s.row}>
        <Button
          disabled={abort.isPending || phase?.is === "poweringOn"}
          data-testid="appliance-stop"
          onClick={() => abort.mutate({ project })}
        >
          {t(abort.isPending ? "appliance.stopping" : "appliance.stop")}
        </Button>
        <span className={s.muted}>{t("appliance.stopText")}</span>
      </div>
    </>
  );
}

function Failed({ error, onAgain }: { error: UiError; onAgain: () => void }) {
  return (
    <>
      <ErrorCard error={error} />
      <Again onAgain={onAgain} />
    </>
  );
}

function Again({ onAgain }: { onAgain: () => void }) {
  const { t } = useTranslation();
  return (
    <div className={s.row}>
      <Button appearance="primary" onClick={onAgain} data-testid="appliance-again">
        {t("appliance.again")}
      </Button>
    </div>
  );
}
