// One request and its answer as they were on the wire, secrets removed by the client that made it.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
} from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { dateTime } from "../../design/format";
import type { Exchange } from "../../host/gen/Exchange";
import s from "./run.module.css";

export function ExchangeDialog({ exchange, onClose }: { exchange: Exchange | null; onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Dialog open={exchange !== null} onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.wide}>
        {exchange ? (
          <DialogBody>
            <DialogTitle>
              {t("exchange.title", { method: exchange.method, status: exchange.status ?? t("task.noAnswer") })}
            </DialogTitle>
            <DialogContent className={s.wire} data-testid="exchange">
              <p className={s.muted}>
                {dateTime(exchange.at)} · {t("exchange.millis", { n: exchange.millis })} · {exchange.system}
                {exchange.correlationId ? ` · ${t("error.correlation", { id: exchange.correlationId })}` : ""}
              </p>
              <p className={s.muted}>{t("exchange.redacted")}</p>
              <h3>{t("exchange.request")}</h3>
              <pre tabIndex={0}>{[`${exchange.method} ${exchange.url}`, ...exchange.requestHeaders].join("\n")}</pre>
              {exchange.requestBody ? <pre tabIndex={0}>{pretty(exchange.requestBody)}</pre> : null}
              <h3>{t("exchange.response")}</h3>
              {exchange.error ? <p>{exchange.error}</p> : null}
              {exchange.responseHeaders.length > 0 ? (
                <pre tabIndex={0}>{exchange.responseHeaders.join("\n")}</pre>
              ) : null}
              {exchange.responseBody ? <pre tabIndex={0}>{pretty(exchange.responseBody)}</pre> : null}
            </DialogContent>
            <DialogActions>
              <Button appearance="primary" onClick={onClose}>
                {t("common.close")}
              </Button>
            </DialogActions>
          </DialogBody>
        ) : null}
      </DialogSurface>
    </Dialog>
  );
}

function pretty(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
