// The appliance from its template: file, review, place, network, values, summary, and the deployment itself. It goes on in the
// background when the dialog is closed; opened again, it shows where it stands.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Spinner,
} from "@fluentui/react-components";
import { CheckmarkRegular } from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import type { Mark } from "../../design/mark";
import { useCommand, useHost } from "../../host";
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { ImportCheck } from "../../host/gen/ImportCheck";
import type { PlacesView } from "../../host/gen/PlacesView";
import type { UiError } from "../../host/gen/UiError";
import { DeployStep, useDeployment } from "./DeployStep";
import { FileStep } from "./FileStep";
import { NetworkStep, SummaryStep, ValuesStep, WhereStep } from "./PlaceSteps";
import { ReviewStep } from "./ReviewStep";
import { complete, type Draft, emptyDraft, firstStep, forTemplate, isOver, type StepName, stepsOf } from "./model";
import s from "./appliance.module.css";

/** How the run stands with what comes after the deployment. */
export type Registration = { mark: Mark; text: string };

type Props = { project: string; registration: Registration | undefined; onClose: () => void };

export function ApplianceDialog({ project, registration, onClose }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const queries = useQueryClient();
  const key = ["appliance", project];
  const view = useQuery<ApplianceView, UiError>({
    queryKey: key,
    queryFn: () => host.call("appliance_get", { project }),
    staleTime: 0,
  });
  const settle = useCommand("appliance_settle");
  const tidy = () =>
    settle.mutate({ project }, { onSuccess: (settled) => queries.setQueryData(["appliance", project], settled) });
  const interrupted = view.data?.interrupted === true;
  useEffect(() => {
    if (interrupted && settle.isIdle) tidy();
  });
  const error = view.error ?? settle.error;
  return (
    <Dialog open modalType="modal" onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.dialog} data-testid="appliance-dialog">
        {view.data && !interrupted ? (
          <Wizard
            project={project}
            view={view.data}
            registration={registration}
            setView={(next) => queries.setQueryData(key, next)}
            reload={() => void view.refetch()}
            onClose={onClose}
          />
        ) : (
          <DialogBody>
            <DialogTitle>{t("appliance.title")}</DialogTitle>
            <DialogContent className={s.content}>
              {error ? (
                <ErrorCard error={error} onRetry={interrupted ? tidy : () => void view.refetch()} />
              ) : (
                <Spinner label={t(interrupted ? "appliance.settling" : "app.loading")} />
              )}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.close")}</Button>
            </DialogActions>
          </DialogBody>
        )}
      </DialogSurface>
    </Dialog>
  );
}

type WizardProps = Props & {
  view: ApplianceView;
  setView: (view: ApplianceView) => void;
  reload: () => void;
};

function Wizard({ project, view, registration, setView, reload, onClose }: WizardProps) {
  const { t } = useTranslation();
  const host = useHost();
  const [step, setStep] = useState<StepName>(() => firstStep(view));
  const [draft, setDraft] = useState<Draft>(() =>
    view.template ? forTemplate(emptyDraft(view.name), view.template.template) : emptyDraft(view.name),
  );
  const [started, setStarted] = useState(view.goesOn ? 1 : 0);
  const heading = useRef<HTMLHeadingElement>(null);
  const deploy = useCommand("appliance_deploy");
  const deployment = useDeployment(project, started, reload);
  const template = view.template;
  const steps = stepsOf(template?.template ?? null);
  const at = steps.indexOf(step);
  const places = useQuery<PlacesView, UiError>({
    queryKey: ["appliance-places", project],
    queryFn: () => host.call("appliance_places", { project }),
    enabled: at >= 2 && step !== "deploy",
    staleTime: 60_000,
  });
  const { placement, secrets } = draft;
  const check = useQuery<ImportCheck, UiError>({
    // Not the secrets: what identifies an answer is kept for long.
    queryKey: ["appliance-check", project, placement, Object.keys(secrets)],
    queryFn: () => host.call("appliance_check", { project, placement, secrets }),
    enabled: step === "summary",
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const refused = check.error !== null || check.data === undefined || check.data.errors.length > 0;
  const go = (to: StepName | undefined) => {
    if (!to) return;
    setStep(to);
    // Whoever doesn't see the page hears where it is now.
    requestAnimationFrame(() => heading.current?.focus());
  };
  const ready = complete(step, view, draft, places.data?.places);
  const begin = () =>
    deploy.mutate(
      { project, placement: draft.placement, secrets: draft.secrets, powerOn: draft.powerOn },
      {
        onSuccess: () => {
          setDraft((now) => ({ ...now, secrets: {} }));
          setStarted((n) => n + 1);
          go("deploy");
        },
      },
    );
  const props = { project, view, draft, setDraft, places };
  const running = step === "deploy" && (started > 0 ? !isOver(deployment) : view.goesOn);
  return (
    <DialogBody className={s.body}>
      <DialogTitle>{t("appliance.title")}</DialogTitle>
      <DialogContent className={s.columns}>
        <ol className={s.steps} aria-label={t("appliance.steps")}>
          {steps.map((name, i) => (
            <li
              key={name}
              className={s.step}
              data-state={name === step ? "now" : i < at ? "done" : "later"}
              aria-current={name === step ? "step" : undefined}
            >
              <span className={s.dot} aria-hidden>
                {i < at ? <CheckmarkRegular fontSize={12} /> : i + 1}
              </span>
              {t(`appliance.step.${name}`)}
              {i < at ? <span className="hidden">{t("appliance.stepDone")}</span> : null}
            </li>
          ))}
        </ol>
        <section className={s.page} data-testid={`appliance-${step}`} aria-labelledby="appliance-heading">
          <h3 id="appliance-heading" ref={heading} tabIndex={-1} className={s.heading}>
            {t(`appliance.heading.${step}`)}
          </h3>
          {step === "file" ? (
            <FileStep
              project={project}
              view={view}
              onRead={(read) => {
                setView({ ...view, template: read, checked: false });
                setDraft((now) => forTemplate(now, read.template));
              }}
              onChecked={reload}
            />
          ) : null}
          {step === "review" && template ? <ReviewStep template={template} draft={draft} setDraft={setDraft} /> : null}
          {step === "where" ? <WhereStep {...props} /> : null}
          {step === "network" ? <NetworkStep {...props} /> : null}
          {step === "values" ? <ValuesStep {...props} /> : null}
          {step === "summary" ? <SummaryStep {...props} check={check} /> : null}
          {step === "deploy" ? (
            <DeployStep
              project={project}
              view={view}
              state={deployment}
              registration={registration}
              setView={setView}
              onAgain={() => {
                setStarted(0);
                go(template && view.checked ? "summary" : "file");
              }}
            />
          ) : null}
          {step === "summary" && deploy.error ? <ErrorCard error={deploy.error} /> : null}
        </section>
      </DialogContent>
      <DialogActions className={s.actions}>
        {running ? <span className={s.goesOn}>{t("appliance.goesOnClosed")}</span> : null}
        <Button onClick={onClose}>{t(step === "deploy" ? "common.close" : "common.cancel")}</Button>
        {step === "deploy" ? null : (
          <>
            <Button disabled={at === 0} onClick={() => go(steps[at - 1])} data-testid="appliance-back">
              {t("appliance.back")}
            </Button>
            {step === "summary" ? (
              <Button
                appearance="primary"
                disabled={deploy.isPending || check.isFetching || refused}
                onClick={begin}
                data-testid="appliance-deploy-now"
              >
                {t("appliance.deploy")}
              </Button>
            ) : (
              <Button
                appearance="primary"
                disabled={!ready}
                onClick={() => go(steps[at + 1])}
                data-testid="appliance-next"
              >
                {t("appliance.next")}
              </Button>
            )}
          </>
        )}
      </DialogActions>
    </DialogBody>
  );
}
