// The fields of all connections.
import { Button, Field, Input } from "@fluentui/react-components";
import { ShieldLockRegular } from "@fluentui/react-icons";
import { createContext, use, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import s from "./connections.module.css";

/** Nothing may be changed: a run works with what was approved. */
export const Fixed = createContext(false);

type TextProps = {
  label: string;
  hint?: string | undefined;
  /** What such a value looks like. */
  example?: string;
  required?: boolean;
  value: string;
  onChange: (value: string) => void;
  testId: string;
};

export function TextField({ label, hint, example, required = false, value, onChange, testId }: TextProps) {
  const fixed = use(Fixed);
  return (
    <Field label={label} hint={hint} required={required}>
      <Input
        type="text"
        readOnly={fixed}
        placeholder={example}
        spellCheck={false}
        autoComplete="off"
        data-testid={testId}
        value={value}
        onChange={(_, data) => onChange(data.value)}
      />
    </Field>
  );
}

type SecretProps = {
  label: string;
  stored: boolean;
  value: string;
  onChange: (value: string) => void;
  testId: string;
  required?: boolean;
  /** Where it goes; the usual: where secrets are kept. */
  hint?: string;
};

/** A secret goes in and never comes back: when one is stored, only that is shown. */
export function SecretField({ label, stored, value, onChange, testId, required = false, hint }: SecretProps) {
  const { t } = useTranslation();
  const { info } = useProject();
  const fixed = use(Fixed);
  const [replacing, setReplacing] = useState(false);
  const here = info?.secrets.kept === "thisStartOnly";
  const shown = stored && !replacing;
  return (
    <Field
      label={label}
      required={required}
      hint={shown ? "" : (hint ?? t(here ? "connect.secretHere" : "connect.secretKeyring"))}
    >
      {shown ? (
        <div className={s.stored} data-testid={`${testId}-stored`}>
          <ShieldLockRegular fontSize={18} aria-hidden />
          <span>{t(here ? "connect.storedHere" : "connect.stored")}</span>
          {fixed ? null : (
            <Button size="small" appearance="subtle" onClick={() => setReplacing(true)}>
              {t("connect.replace")}
            </Button>
          )}
        </div>
      ) : (
        <Input
          type="password"
          readOnly={fixed}
          autoComplete="off"
          data-testid={testId}
          value={value}
          onChange={(_, data) => onChange(data.value)}
        />
      )}
    </Field>
  );
}
