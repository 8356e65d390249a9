// Who takes the backups.
import { Field, Radio, RadioGroup } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";

const WHO = ["person", "rehost"] as const;

type Props = { value: boolean; onChange: (byRehost: boolean) => void };

export function ByChoice({ value, onChange }: Props) {
  const { t } = useTranslation();
  const now = WHO[value ? 1 : 0];
  return (
    <Field label={t("backups.by")} hint={t(value ? "backups.rehostText" : "backups.personText")}>
      <RadioGroup layout="horizontal" value={now} onChange={(_, data) => onChange(data.value === "rehost")}>
        {WHO.map((who) => (
          <Radio key={who} value={who} label={t(`backups.${who}`)} data-testid={`backups-by-${who}`} />
        ))}
      </RadioGroup>
    </Field>
  );
}
