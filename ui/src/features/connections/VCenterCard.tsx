// The source: vCenter with a user, the certificate that was trusted, and the way there.
import { Field, Input } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import type { ProjectView } from "../../host/gen/ProjectView";
import { CertificateDialog } from "./CertificateDialog";
import { ConnectionCard } from "./ConnectionCard";
import { SecretField, TextField } from "./fields";
import { ProxyFields } from "./ProxyFields";
import { useConnection } from "./useConnection";
import s from "./connections.module.css";

export function VCenterCard({ project }: { project: ProjectView }) {
  const { t } = useTranslation();
  const c = useConnection("vcenter", project);
  return (
    <>
      <ConnectionCard connection={c}>
        <TextField
          label={t("connect.vcenter.url")}
          testId="vcenter-url"
          example="https://vcenter.contoso.com"
          value={c.draft.url}
          onChange={(url) => c.set({ url })}
        />
        <TextField
          label={t("connect.vcenter.user")}
          testId="vcenter-user"
          example="rehost@vsphere.local"
          value={c.draft.user}
          onChange={(user) => c.set({ user })}
        />
        <SecretField
          key={c.saves}
          label={t("connect.vcenter.secret")}
          testId="vcenter-password"
          stored={c.view.vcenterPasswordStored}
          value={c.secrets.secret}
          onChange={(secret) => c.setSecrets({ secret })}
        />
        <Field label={t("connect.vcenter.thumbprint")} hint={t("connect.vcenter.thumbprintHint")}>
          <Input
            className={s.mono}
            readOnly
            data-testid="vcenter-thumbprint"
            value={c.draft.thumbprint || t("connect.vcenter.platform")}
          />
        </Field>
        <details className={s.more} data-testid="vcenter-network">
          <summary>{t("connect.vcenter.network", { proxy: t(`connect.proxy.short.${c.draft.proxy.use}`) })}</summary>
          <div className={s.form}>
            <ProxyFields
              testId="vcenter-proxy"
              hint={t("connect.vcenter.proxyHint")}
              proxy={c.draft.proxy}
              onChange={(proxy) => c.set({ proxy })}
              password={c.secrets.proxyPassword}
              onPassword={(proxyPassword) => c.setSecrets({ proxyPassword })}
              passwordStored={c.view.vcenterProxyPasswordStored}
              saves={c.saves}
            />
          </div>
        </details>
      </ConnectionCard>
      <CertificateDialog certificate={c.asked} busy={c.trusting} onClose={c.refuse} onTrust={c.trust} />
    </>
  );
}
