// The source SQL Server as Rehost itself reaches it. Optional: without it people run scripts there.
import { Dropdown, Field, Input, Option } from "@fluentui/react-components";
import { use } from "react";
import { useTranslation } from "react-i18next";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { SqlEncryption } from "../../host/gen/SqlEncryption";
import type { SqlSignIn } from "../../host/gen/SqlSignIn";
import { CertificateDialog } from "./CertificateDialog";
import { ConnectionCard } from "./ConnectionCard";
import { Fixed, SecretField, TextField } from "./fields";
import { useConnection } from "./useConnection";
import s from "./connections.module.css";

const SIGN_INS: SqlSignIn[] = ["sql", "windows", "integrated"];
const ENCRYPTIONS: SqlEncryption[] = ["mandatory", "strict", "off"];

export function SqlCard({ project }: { project: ProjectView }) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const c = useConnection("sql", project);
  const { draft } = c;
  return (
    <>
      <ConnectionCard connection={c} quiet={draft.server === ""}>
        <TextField
          label={t("connect.sql.server")}
          hint={t("connect.sql.serverHint")}
          testId="sql-server"
          example="SQLVM.contoso.com"
          value={draft.server}
          onChange={(server) => c.set({ server })}
        />
        <Field label={t("connect.sql.signInWith")}>
          <Dropdown
            inlinePopup
            disabled={fixed}
            data-testid="sql-sign-in-with"
            value={t(`connect.sql.method.${draft.signIn}`)}
            selectedOptions={[draft.signIn]}
            onOptionSelect={(_, data) => data.optionValue && c.set({ signIn: data.optionValue as SqlSignIn })}
          >
            {SIGN_INS.map((method) => (
              <Option key={method} value={method} text={t(`connect.sql.method.${method}`)}>
                {t(`connect.sql.method.${method}`)}
              </Option>
            ))}
          </Dropdown>
        </Field>
        {draft.signIn === "integrated" ? null : (
          <>
            <TextField
              label={t(draft.signIn === "windows" ? "connect.sql.windowsUser" : "connect.sql.user")}
              testId="sql-user"
              example={draft.signIn === "windows" ? "CONTOSO\\svc-rehost" : "svc-rehost"}
              value={draft.user}
              onChange={(user) => c.set({ user })}
            />
            <SecretField
              key={c.saves}
              label={t("connect.sql.secret")}
              testId="sql-password"
              stored={c.view.sqlPasswordStored}
              value={c.secrets.secret}
              onChange={(secret) => c.setSecrets({ secret })}
            />
          </>
        )}
        <Field label={t("connect.sql.thumbprint")} hint={t("connect.sql.thumbprintHint")}>
          <Input
            className={s.mono}
            readOnly
            data-testid="sql-thumbprint"
            value={draft.thumbprint || t("connect.vcenter.platform")}
          />
        </Field>
        <details className={s.more} data-testid="sql-more">
          <summary>{t("connect.sql.more", { encryption: t(`connect.sql.encrypt.${draft.encryption}`) })}</summary>
          <div className={s.form}>
            <Field
              label={t("connect.sql.encryption")}
              validationState={draft.encryption === "off" ? "warning" : "none"}
              validationMessage={draft.encryption === "off" ? t("connect.sql.offText") : undefined}
            >
              <Dropdown
                inlinePopup
                disabled={fixed}
                data-testid="sql-encryption"
                value={t(`connect.sql.encrypt.${draft.encryption}`)}
                selectedOptions={[draft.encryption]}
                onOptionSelect={(_, data) =>
                  data.optionValue && c.set({ encryption: data.optionValue as SqlEncryption })
                }
              >
                {ENCRYPTIONS.map((one) => (
                  <Option key={one} value={one} text={t(`connect.sql.encrypt.${one}`)}>
                    {t(`connect.sql.encrypt.${one}`)}
                  </Option>
                ))}
              </Dropdown>
            </Field>
          </div>
        </details>
      </ConnectionCard>
      <CertificateDialog certificate={c.asked} busy={c.trusting} onClose={c.refuse} onTrust={c.trust} />
    </>
  );
}
