// The decision that only a person can make. Slow on purpose: the proofs first, then what each answer does.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Textarea,
} from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { clock } from "../../design/format";
import { ErrorCard } from "../../design/ErrorCard";
import { StatusIcon } from "../../design/StatusIcon";
import { useCommand } from "../../host";
import { markOf } from "../../design/mark";
import { numberOf, type RunModel, taskOf } from "./model";
import { Screenshot } from "./Screenshot";
import s from "./run.module.css";

/** Made anew (by its key) for each time that it is opened. */
type Props = { run: RunModel; project: string; address: string | null; onClose: () => void };

export function GateDialog({ run, project, address, onClose }: Props) {
  const { t } = useTranslation();
  const decide = useCommand("gate_decide");
  const [note, setNote] = useState("");
  const found = address === null ? undefined : taskOf(run.plan.plan, address);
  const gate = found?.task.action.do === "gate" ? found.task.action : undefined;
  // Open until the run shows the decision: before that the banner would ask for it again.
  const waits = address !== null && run.tasks.get(address)?.status === "needsPerson";
  const open = gate !== undefined && (waits || !decide.isSuccess);
  const busy = decide.isPending || decide.isSuccess;
  const answer = (accept: boolean) => {
    if (address !== null) decide.mutate({ project, address, accept, note });
  };
  const before = (found?.task.after ?? []).flatMap((a) => {
    const state = run.tasks.get(a);
    const task = taskOf(run.plan.plan, a)?.task;
    return state && task ? [{ task, state }] : [];
  });
  return (
    <Dialog open={open} modalType="alert" onOpenChange={(_, data) => data.open || busy || onClose()}>
      <DialogSurface className={s.wide}>
        {gate && found ? (
          <DialogBody>
            <DialogTitle>{gate.question}</DialogTitle>
            <DialogContent className={s.dialogText}>
              <p>{gate.safeBecause}</p>
              <h3>{t("gate.evidence")}</h3>
              <ul className={s.gateTasks}>
                {before.map(({ task, state }) => (
                  <li key={task.address}>
                    <div className={s.gateTask}>
                      <StatusIcon mark={markOf(state)} />
                      <b>
                        {numberOf(run.plan.plan, task.address)} {task.title}
                      </b>
                    </div>
                    <ul className={s.evidence}>
                      {state.evidence.map((e) => (
                        <li key={e.at + e.text}>
                          <span />
                          <span>{e.text}</span>
                          <time className="num">{clock(e.at)}</time>
                        </li>
                      ))}
                    </ul>
                    {task.action.do === "checkBoot" ? <Screenshot project={project} address={task.address} /> : null}
                  </li>
                ))}
              </ul>
              <dl className={s.answers}>
                <dt>{t("gate.ifAccept")}</dt>
                <dd>{gate.accept}</dd>
                <dt>{t("gate.ifReject")}</dt>
                <dd>{gate.reject}</dd>
                <dt>{t("task.wayBack")}</dt>
                <dd>{found.task.wayBack}</dd>
              </dl>
              <Field label={t("gate.note")} hint={t("gate.noteHint")}>
                <Textarea
                  data-testid="gate-note"
                  value={note}
                  maxLength={1000}
                  rows={2}
                  onChange={(_, data) => setNote(data.value)}
                />
              </Field>
              {decide.error ? <ErrorCard error={decide.error} /> : null}
            </DialogContent>
            <DialogActions fluid>
              <Button onClick={onClose} disabled={busy} data-testid="gate-later">
                {t("gate.later")}
              </Button>
              <Button data-testid="gate-reject" disabled={busy} onClick={() => answer(false)}>
                {t("gate.reject")}
              </Button>
              <Button appearance="primary" data-testid="gate-accept" disabled={busy} onClick={() => answer(true)}>
                {t("gate.accept")}
              </Button>
            </DialogActions>
          </DialogBody>
        ) : null}
      </DialogSurface>
    </Dialog>
  );
}
