// The way to a server: the computer's proxy, none, or one of its own with user and password. Of both connections.
import { Field, Radio, RadioGroup } from "@fluentui/react-components";
import { use } from "react";
import { useTranslation } from "react-i18next";
import type { Proxy } from "../../host/gen/Proxy";
import { Fixed, SecretField, TextField } from "./fields";
import { PROXIES, proxyOf } from "./signIn";
import s from "./connections.module.css";

type Props = {
  proxy: Proxy;
  onChange: (proxy: Proxy) => void;
  password: string;
  onPassword: (password: string) => void;
  passwordStored: boolean;
  /** Grows with each save: the password's field begins anew. */
  saves: number;
  hint?: string;
  /** What the names of the fields for tests begin with. */
  testId: string;
};

export function ProxyFields({ proxy, onChange, password, onPassword, passwordStored, saves, hint, testId }: Props) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  return (
    <>
      <Field label={t("connect.proxy.title")} hint={hint}>
        <RadioGroup
          layout="horizontal"
          disabled={fixed}
          value={proxy.use}
          onChange={(_, data) => onChange(proxyOf(data.value as Proxy["use"]))}
        >
          {PROXIES.map((use) => (
            <Radio key={use} value={use} label={t(`connect.proxy.use.${use}`)} data-testid={`${testId}-${use}`} />
          ))}
        </RadioGroup>
      </Field>
      {proxy.use === "explicit" ? (
        <div className={s.pairs}>
          <TextField
            label={t("connect.proxy.url")}
            testId={`${testId}-url`}
            example="http://proxy.contoso.com:8080"
            required
            value={proxy.url}
            onChange={(url) => onChange({ ...proxy, url })}
          />
          <TextField
            label={t("connect.proxy.user")}
            hint={t("connect.proxy.userHint")}
            testId={`${testId}-user`}
            value={proxy.user}
            onChange={(user) => onChange({ ...proxy, user })}
          />
          {proxy.user ? (
            <SecretField
              key={saves}
              label={t("connect.proxy.password")}
              testId={`${testId}-password`}
              stored={passwordStored}
              value={password}
              onChange={onPassword}
            />
          ) : null}
        </div>
      ) : null}
    </>
  );
}
