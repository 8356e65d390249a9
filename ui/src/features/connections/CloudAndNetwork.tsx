// Which Azure, and the way there: rarely touched, so it is folded away under a line that says how it stands.
import { Button, Dropdown, Field, Option, Spinner, Textarea } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { use } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand, useHost } from "../../host";
import type { AzureConnection } from "../../host/gen/AzureConnection";
import type { CloudView } from "../../host/gen/CloudView";
import type { UiError } from "../../host/gen/UiError";
import { Fixed, TextField } from "./fields";
import { ProxyFields } from "./ProxyFields";
import { addressesOf } from "./signIn";
import type { Connection } from "./useConnection";
import s from "./connections.module.css";

type Props = { connection: Connection<"azure"> };

export function CloudAndNetwork({ connection: c }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const fixed = use(Fixed);
  const { draft } = c;
  const clouds = useQuery<CloudView[], UiError>({
    queryKey: ["clouds"],
    queryFn: () => host.call("clouds_list", {}),
    staleTime: Infinity,
  });
  const cloudName = clouds.data?.find((one) => one.addresses.cloud === draft.cloud)?.name ?? t("app.loading");
  return (
    <details className={s.more} data-testid="azure-network">
      <summary>
        {t("connect.azure.network", { cloud: cloudName, proxy: t(`connect.proxy.short.${draft.proxy.use}`) })}
      </summary>
      <div className={s.form}>
        {clouds.error ? <ErrorCard error={clouds.error} onRetry={() => void clouds.refetch()} /> : null}
        <Field label={t("connect.azure.cloud")}>
          <Dropdown
            inlinePopup
            disabled={fixed}
            listbox={{ className: s.list }}
            data-testid="azure-cloud"
            value={cloudName}
            selectedOptions={[draft.cloud]}
            onOptionSelect={(_, data) => {
              const chosen = clouds.data?.find((one) => one.addresses.cloud === data.optionValue);
              if (chosen && chosen.addresses.cloud !== draft.cloud) c.set(addressesOf(chosen.addresses));
            }}
          >
            {clouds.data?.map(({ name, addresses }) => (
              <Option
                key={addresses.cloud}
                value={addresses.cloud}
                text={name}
                data-testid={`cloud-${addresses.cloud}`}
              >
                <span className={s.option}>
                  <span>{name}</span>
                  <span>{addresses.armUrl || t("connect.azure.ownAddress")}</span>
                </span>
              </Option>
            ))}
          </Dropdown>
        </Field>
        {draft.cloud === "custom" ? <CustomCloud connection={c} /> : null}
        <ProxyFields
          testId="proxy"
          proxy={draft.proxy}
          onChange={(proxy) => c.set({ proxy })}
          password={c.secrets.proxyPassword}
          onPassword={(proxyPassword) => c.setSecrets({ proxyPassword })}
          passwordStored={c.view.azureProxyPasswordStored}
          saves={c.saves}
        />
        <Field label={t("connect.azure.ca")} hint={t("connect.azure.caHint")}>
          <Textarea
            className={s.mono}
            rows={3}
            readOnly={fixed}
            spellCheck={false}
            data-testid="azure-ca"
            value={draft.caPem}
            onChange={(_, data) => c.set({ caPem: data.value })}
          />
        </Field>
      </div>
    </details>
  );
}

function CustomCloud({ connection: c }: Props) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const read = useCommand("cloud_read");
  const { draft, set } = c;
  const ready = !fixed && !read.isPending && draft.armUrl.trim() !== "";
  const own = (id: string, field: "authorityUrl" | "audience" | "blobUrl" | "sqlSuffix" | "portalUrl" | "priceUrl") => (
    <TextField
      label={t(`connect.azure.address.${field}`)}
      testId={`azure-${id}`}
      value={draft[field]}
      onChange={(value) => set({ [field]: value })}
    />
  );
  return (
    <>
      <div className={s.withButton}>
        <TextField
          label={t("connect.azure.arm")}
          testId="azure-arm"
          example="https://management.local.azurestack.external"
          value={draft.armUrl}
          onChange={(armUrl) => set({ armUrl })}
        />
        <Button
          data-testid="cloud-read"
          icon={read.isPending ? <Spinner size="tiny" /> : null}
          disabledFocusable={!ready}
          onClick={() => {
            if (!ready) return;
            read.mutate(
              { project: c.path, connection: { ...draft, ...FORGOTTEN } },
              { onSuccess: (whole) => set(addressesOf(whole)) },
            );
          }}
        >
          {t("connect.azure.readCloud")}
        </Button>
      </div>
      {read.error ? <ErrorCard error={read.error} /> : null}
      <div className={s.pairs}>
        {own("authority", "authorityUrl")}
        {own("audience", "audience")}
        {own("blob", "blobUrl")}
        {own("sql", "sqlSuffix")}
        {own("portal", "portalUrl")}
        {own("prices", "priceUrl")}
      </div>
    </>
  );
}

/** The cloud says all but its own address and where its prices are; what stands there may be another cloud's. */
const FORGOTTEN: Partial<AzureConnection> = {
  authorityUrl: "",
  audience: "",
  blobUrl: "",
  sqlSuffix: "",
  portalUrl: "",
};
