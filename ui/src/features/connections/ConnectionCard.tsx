// What all cards share: title and state, the form with its buttons, the result of the test.
import { Button, Spinner } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import { Words } from "../../design/Words";
import type { ConnectionKind } from "../../host/gen/ConnectionKind";
import type { ConnectionStep } from "../../host/gen/ConnectionStep";
import type { ConnectionTest } from "../../host/gen/ConnectionTest";
import type { UiError } from "../../host/gen/UiError";
import type { Connection } from "./useConnection";
import s from "./connections.module.css";

type Props<K extends ConnectionKind> = {
  connection: Connection<K>;
  /** Something else in the card is the next thing to do. */
  quiet?: boolean;
  /** More buttons, after those of every card. */
  actions?: React.ReactNode;
  children: React.ReactNode;
};

export function ConnectionCard<K extends ConnectionKind>({ connection: c, quiet, actions, children }: Props<K>) {
  const { t } = useTranslation();
  const { kind, test, changed, busy } = c;
  return (
    <section className={s.card} aria-labelledby={`${kind}-title`} data-testid={`${kind}-card`}>
      <div className={s.cardHead}>
        <h2 id={`${kind}-title`}>{t(`connect.${kind}.title`)}</h2>
        {test.data ? (
          <StatusPill mark={test.data.notYet ? "waiting" : test.data.ok ? "done" : "failed"}>
            {t(test.data.notYet ? "connect.notYet" : test.data.ok ? "connect.works" : "connect.fails")}
          </StatusPill>
        ) : null}
      </div>
      <p className={s.note}>{t(`connect.${kind}.text`)}</p>
      <form
        className={s.form}
        onSubmit={(event) => {
          event.preventDefault();
          c.saveThen();
        }}
      >
        {children}
        <div className={s.actions}>
          <Button
            appearance={quiet ? "secondary" : "primary"}
            data-testid={`${kind}-test`}
            disabledFocusable={busy}
            icon={test.isPending ? <Spinner size="tiny" /> : null}
            onClick={() => busy || c.saveThen(c.runTest)}
          >
            {t(changed ? "connect.saveAndTest" : "connect.test")}
          </Button>
          <Button type="submit" data-testid={`${kind}-save`} disabledFocusable={!changed || busy}>
            {t("connect.save")}
          </Button>
          {changed ? <span className={s.note}>{t("connect.unsaved")}</span> : null}
          {actions}
        </div>
      </form>
      <Result test={test.data} pending={test.isPending} error={c.error} />
    </section>
  );
}

/** What is to be done stands beside a step that failed, and beside one that works for now only. */
const markOf = (step: ConnectionStep, notYet: boolean) =>
  notYet ? "waiting" : step.ok ? (step.hint ? "overdue" : "done") : "failed";

type ResultProps = { test: ConnectionTest | undefined; pending: boolean; error: UiError | null };

function Result({ test, pending, error }: ResultProps) {
  const { t } = useTranslation();
  return (
    <div className={s.result} data-testid="test-result" data-ok={test?.ok} aria-live="polite">
      {error ? <ErrorCard error={error} /> : null}
      {pending ? <p className={s.note}>{t("connect.testing")}</p> : null}
      {!pending && !test && !error ? <p className={s.note}>{t("connect.notTested")}</p> : null}
      {test && !pending ? (
        <ol className={s.results}>
          {test.steps.map((step) => (
            <li key={step.title} data-ok={step.ok} data-hop={step.hop ?? undefined}>
              <StatusIcon mark={markOf(step, test.notYet)} />
              <div>
                <b>{step.title}</b>
                {step.detail ? <p>{step.detail}</p> : null}
                {step.hint ? (
                  <p className={s.hint}>
                    <Words text={step.hint} />
                  </p>
                ) : null}
              </div>
            </li>
          ))}
        </ol>
      ) : null}
    </div>
  );
}
