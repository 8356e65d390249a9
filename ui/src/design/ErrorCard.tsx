// An error as people need it: what happened, to what, why, who can fix it and how; the id for support; a way to retry.
import { Button } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import type { UiError } from "../host/gen/UiError";
import { StatusIcon } from "./StatusIcon";
import { Words } from "./Words";
import s from "./card.module.css";

type Props = {
  error: Pick<UiError, "title" | "detail" | "hint" | "correlationId"> & { code: string };
  onRetry?: (() => void) | undefined;
  retryLabel?: string | undefined;
  busy?: boolean | undefined;
  children?: React.ReactNode;
};

export function ErrorCard({ error, onRetry, retryLabel, busy = false, children }: Props) {
  const { t } = useTranslation();
  return (
    <section className={s.error} data-testid="error-card" data-mark="failed" role="alert">
      <StatusIcon mark="failed" quiet />
      <div className={s.errorBody}>
        <p className={s.errorTitle}>{error.title}</p>
        {error.detail ? (
          <p>
            <Words text={error.detail} />
          </p>
        ) : null}
        {error.hint ? (
          <p className={s.hint}>
            <b>{t("error.hint")}</b> <Words text={error.hint} />
          </p>
        ) : null}
        <p className={s.small}>
          {t("error.code", { code: error.code })}
          {error.correlationId ? <> · {t("error.correlation", { id: error.correlationId })}</> : null}
        </p>
        {onRetry || children ? (
          <div className={s.actions}>
            {onRetry ? (
              <Button appearance="primary" size="small" onClick={onRetry} disabled={busy} data-testid="retry">
                {retryLabel ?? t("error.retry")}
              </Button>
            ) : null}
            {children}
          </div>
        ) : null}
      </div>
    </section>
  );
}

/** A fact that people must know and that is no error. */
export function Notice({ title, children }: { title: string; children?: React.ReactNode }) {
  return (
    <section className={s.notice} data-mark="overdue" role="status">
      <StatusIcon mark="overdue" quiet />
      <div className={s.errorBody}>
        <p className={s.errorTitle}>{title}</p>
        {children}
      </div>
    </section>
  );
}
