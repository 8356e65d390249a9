// The managed instance as Rehost itself reaches it. Needed only for what it moves beside the database, and for the proof.
import { Dropdown, Field, Input, Option } from "@fluentui/react-components";
import { use } from "react";
import { useTranslation } from "react-i18next";
import type { ManagedReach } from "../../host/gen/ManagedReach";
import type { ManagedSignIn } from "../../host/gen/ManagedSignIn";
import type { ProjectView } from "../../host/gen/ProjectView";
import { CertificateDialog } from "./CertificateDialog";
import { ConnectionCard } from "./ConnectionCard";
import { Fixed, SecretField, TextField } from "./fields";
import { useConnection } from "./useConnection";
import s from "./connections.module.css";

const SIGN_INS: ManagedSignIn[] = ["administrator", "entra"];
const REACHES: ManagedReach[] = ["private", "public"];

export function ManagedCard({ project }: { project: ProjectView }) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const c = useConnection("managed", project);
  const { draft } = c;
  const { around, prove, mi } = project.design;
  return (
    <>
      <ConnectionCard connection={c} quiet={!around && !prove}>
        <Field label={t("connect.managed.signInWith")} hint={t(`connect.managed.fits.${draft.signIn}`)}>
          <Dropdown
            inlinePopup
            disabled={fixed}
            data-testid="managed-sign-in-with"
            value={t(`connect.managed.method.${draft.signIn}`, { login: mi.adminLogin })}
            selectedOptions={[draft.signIn]}
            onOptionSelect={(_, data) => data.optionValue && c.set({ signIn: data.optionValue as ManagedSignIn })}
          >
            {SIGN_INS.map((method) => {
              const text = t(`connect.managed.method.${method}`, { login: mi.adminLogin });
              return (
                <Option key={method} value={method} text={text}>
                  {text}
                </Option>
              );
            })}
          </Dropdown>
        </Field>
        {draft.signIn === "administrator" ? (
          <SecretField
            key={c.saves}
            label={t("connect.managed.secret")}
            testId="managed-password"
            hint={t("connect.managed.secretHint")}
            stored={c.view.managedPasswordStored}
            value={c.secrets.secret}
            onChange={(secret) => c.setSecrets({ secret })}
          />
        ) : null}
        <Field label={t("connect.managed.reach")} hint={t(`connect.managed.reachText.${draft.reach}`)}>
          <Dropdown
            inlinePopup
            disabled={fixed || draft.address !== ""}
            data-testid="managed-reach"
            value={t(`connect.managed.reaches.${draft.reach}`)}
            selectedOptions={[draft.reach]}
            onOptionSelect={(_, data) => data.optionValue && c.set({ reach: data.optionValue as ManagedReach })}
          >
            {REACHES.map((reach) => (
              <Option key={reach} value={reach} text={t(`connect.managed.reaches.${reach}`)}>
                {t(`connect.managed.reaches.${reach}`)}
              </Option>
            ))}
          </Dropdown>
        </Field>
        <TextField
          label={t("connect.managed.address")}
          hint={t("connect.managed.addressHint", { name: mi.name })}
          testId="managed-address"
          example="127.0.0.1,14330"
          value={draft.address}
          onChange={(address) => c.set({ address })}
        />
        <Field label={t("connect.sql.thumbprint")} hint={t("connect.managed.thumbprintHint")}>
          <Input
            className={s.mono}
            readOnly
            data-testid="managed-thumbprint"
            value={draft.thumbprint || t("connect.vcenter.platform")}
          />
        </Field>
      </ConnectionCard>
      <CertificateDialog certificate={c.asked} busy={c.trusting} onClose={c.refuse} onTrust={c.trust} />
    </>
  );
}
