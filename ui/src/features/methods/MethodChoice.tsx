// The methods for one part of the application, all in sight with what each means.
import { Field, Radio, RadioGroup } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { METHODS, type Methods, type Part } from "./methods";
import s from "./methods.module.css";

type Props<P extends Part> = { part: P; value: Methods[P]; onChange: (method: Methods[P]) => void };

export function MethodChoice<P extends Part>({ part, value, onChange }: Props<P>) {
  const { t } = useTranslation();
  return (
    <Field label={t(`methods.part.${part}`)}>
      <RadioGroup value={value} onChange={(_, data) => onChange(data.value as Methods[P])}>
        {METHODS[part].map((method) => (
          <Radio
            key={method}
            value={method}
            data-testid={`method-${method}`}
            label={
              <span className={s.choice}>
                <b>{t(`methods.name.${method}`)}</b>
                <span>{t(`methods.text.${method}`)}</span>
              </span>
            }
          />
        ))}
      </RadioGroup>
    </Field>
  );
}
