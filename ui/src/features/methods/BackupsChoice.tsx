// Where Database Migration Service takes the backups from.
import { Field, Radio, RadioGroup } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import type { BackupSource } from "../../host/gen/BackupSource";

const SOURCES: BackupSource[] = ["Blob", "Share"];

type Props = { value: BackupSource; onChange: (source: BackupSource) => void };

export function BackupsChoice({ value, onChange }: Props) {
  const { t } = useTranslation();
  return (
    <Field label={t("dms.source")} hint={t(`dms.sourceText.${value}`)}>
      <RadioGroup layout="horizontal" value={value} onChange={(_, data) => onChange(data.value as BackupSource)}>
        {SOURCES.map((source) => (
          <Radio key={source} value={source} label={t(`dms.sourceName.${source}`)} data-testid={`dms-from-${source}`} />
        ))}
      </RadioGroup>
    </Field>
  );
}
