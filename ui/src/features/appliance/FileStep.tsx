// The template's file: chosen, read, and compared with its manifest.
import { Button, ProgressBar } from "@fluentui/react-components";
import { DocumentRegular, FolderOpenRegular } from "@fluentui/react-icons";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { bytes } from "../../design/format";
import { StatusIcon } from "../../design/StatusIcon";
import { useHost } from "../../host";
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { TemplateView } from "../../host/gen/TemplateView";
import type { UiError } from "../../host/gen/UiError";
import s from "./appliance.module.css";

type Props = {
  project: string;
  view: ApplianceView;
  onRead: (template: TemplateView) => void;
  onChecked: () => void;
};

type Reading = { done: number; total: number };

export function FileStep({ project, view, onRead, onChecked }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const [reading, setReading] = useState<Reading | null>(null);
  const [error, setError] = useState<UiError | null>(null);
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), []);
  const read = (sample: boolean) => {
    stop.current?.();
    setError(null);
    setReading({ done: 0, total: 0 });
    stop.current = host.stream(
      "appliance_read",
      { project, sample },
      (message) => {
        if (message.type === "read") onRead(message.template);
        else if (message.type === "checking") setReading({ done: message.done, total: message.total });
        else {
          setReading(null);
          if (message.type === "failed") setError(message.error);
          if (message.type === "checked") onChecked();
        }
      },
      (broken) => {
        setReading(null);
        setError(broken);
      },
    );
  };
  const { template } = view;
  const share = reading && reading.total > 0 ? reading.done / reading.total : undefined;
  return (
    <>
      <p>{t("appliance.fileText")}</p>
      <div className={s.row}>
        <Button
          icon={<FolderOpenRegular />}
          appearance={template ? "secondary" : "primary"}
          disabled={reading !== null}
          onClick={() => read(false)}
          data-testid="appliance-choose"
        >
          {t(template ? "appliance.chooseOther" : "appliance.choose")}
        </Button>
        {view.sample ? (
          <Button disabled={reading !== null} onClick={() => read(true)} data-testid="appliance-sample">
            {t("appliance.sample")}
          </Button>
        ) : null}
      </div>
      {view.sample ? <p className={s.muted}>{t("appliance.sampleText")}</p> : null}
      {template && !error ? (
        <div className={s.file} data-testid="appliance-file-card">
          <DocumentRegular fontSize={24} aria-hidden />
          <div>
            <b>{template.file}</b>
            <span className={s.muted}>
              {template.template.product} {template.template.version} · {bytes(template.uploadBytes)}
            </span>
          </div>
        </div>
      ) : null}
      {reading ? (
        <div role="status" className={s.checking}>
          <ProgressBar value={share} max={1} thickness="large" aria-label={t("appliance.checking")} />
          <span className="num">
            {t("appliance.checking")}
            {reading.total > 0
              ? ` ${t("appliance.of", { done: bytes(reading.done), total: bytes(reading.total) })}`
              : ""}
          </span>
        </div>
      ) : null}
      {template && view.checked && !reading && !error ? <Checks template={template} /> : null}
      {error ? <ErrorCard error={error} onRetry={() => read(false)} retryLabel={t("appliance.chooseOther")} /> : null}
    </>
  );
}

/** What was compared, in one line. */
export function Checks({ template }: { template: TemplateView }) {
  const { t } = useTranslation();
  return (
    <p className={s.checked} data-mark={template.manifest ? "done" : "overdue"}>
      <StatusIcon mark={template.manifest ? "done" : "overdue"} size={17} quiet />
      <span>
        {t(template.manifest ? "appliance.manifest" : "appliance.noManifest")}
        {template.signed ? ` ${t("appliance.signed")}` : ""}
      </span>
    </p>
  );
}
