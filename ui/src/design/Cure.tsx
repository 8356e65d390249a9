// Who does what about a finding; the command is copied as it stands.
import { Button } from "@fluentui/react-components";
import { CopyRegular } from "@fluentui/react-icons";
import { useTranslation } from "react-i18next";
import { useCopy } from "./useCopy";
import s from "./card.module.css";

export function Cure({ who, command }: { who: string; command: string }) {
  const { t } = useTranslation();
  const [copied, copy] = useCopy();
  const words = t(copied ? "cure.copied" : "cure.copy");
  return (
    <div className={s.cure}>
      <p>
        <b>{t("cure.who", { who })}</b> {command}
      </p>
      <Button
        appearance="subtle"
        size="small"
        icon={<CopyRegular />}
        aria-label={words}
        title={words}
        onClick={() => copy(command)}
      />
    </div>
  );
}
