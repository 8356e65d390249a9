// Which subscription of which tenant: searched by name or id among those that the account sees. An id can also be typed,
// for whoever may not list subscriptions.
import { Combobox, Dropdown, Field, Option, Spinner } from "@fluentui/react-components";
import type { UseQueryResult } from "@tanstack/react-query";
import { use, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import type { AccountScope } from "../../host/gen/AccountScope";
import type { AzureConnection } from "../../host/gen/AzureConnection";
import type { SubscriptionView } from "../../host/gen/SubscriptionView";
import type { TenantView } from "../../host/gen/TenantView";
import type { UiError } from "../../host/gen/UiError";
import { Fixed } from "./fields";
import { isId, matching } from "./signIn";
import s from "./connections.module.css";

type Props = {
  azure: AzureConnection;
  /** The tenant is chosen here; else it is a field of its own. */
  tenants: boolean;
  scope: UseQueryResult<AccountScope, UiError>;
  /** Why there is nothing to choose from yet. */
  hint: string;
  /** The person wants to choose: time to ask. */
  onAsk: () => void;
  onChange: (patch: Partial<AzureConnection>) => void;
  onSignInTo: (tenant: TenantView) => void;
};

const ALL = "all";
const nameOf = (one: TenantView) => (one.domain ? `${one.name} (${one.domain})` : one.name);

export function SubscriptionPicker({ azure, tenants, scope, hint, onAsk, onChange, onSignInTo }: Props) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const [within, setWithin] = useState("");
  const list = scope.data;
  const tenant = list?.tenants.find((one) => one.id === within);
  const [only] = list?.tenants.length === 1 ? list.tenants : [];
  const all = only ? nameOf(only) : t("connect.azure.allDirectories", { n: list?.tenants.length ?? 0 });
  return (
    <>
      {tenants && (list || scope.isFetching) ? (
        <Field label={t("connect.azure.directory")}>
          <Dropdown
            inlinePopup
            listbox={{ className: s.list }}
            data-testid="azure-directory"
            disabled={fixed || !list}
            value={list ? (tenant ? nameOf(tenant) : all) : t("connect.azure.readingDirectories")}
            selectedOptions={[within || only?.id || ALL]}
            onOptionSelect={(_, data) => {
              const id = data.optionValue === ALL ? "" : (data.optionValue ?? "");
              setWithin(id);
              const chosen = list?.subscriptions.find((one) => one.id === azure.subscriptionId);
              if (id && chosen && chosen.tenantId !== id) onChange({ subscriptionId: "" });
            }}
          >
            {only ? null : (
              <Option value={ALL} text={all}>
                {all}
              </Option>
            )}
            {list?.tenants.map((one) => (
              <Option key={one.id} value={one.id} text={nameOf(one)}>
                <span className={s.option}>
                  <span>{nameOf(one)}</span>
                  {one.problem ? <span className={s.optionWarn}>{one.problem.title}</span> : null}
                </span>
              </Option>
            ))}
          </Dropdown>
        </Field>
      ) : null}
      {tenant?.problem ? (
        <ErrorCard
          error={tenant.problem}
          retryLabel={t("connect.azure.signInTo", { tenant: tenant.name })}
          onRetry={() => onSignInTo(tenant)}
        />
      ) : null}
      <Subscriptions azure={azure} within={within} scope={scope} hint={hint} onAsk={onAsk} onChange={onChange} />
    </>
  );
}

type SubscriptionsProps = Pick<Props, "azure" | "scope" | "hint" | "onAsk" | "onChange"> & { within: string };

function Subscriptions({ azure, within, scope, hint, onAsk, onChange }: SubscriptionsProps) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  /** What is being typed; none = the chosen one is shown. */
  const [typed, setTyped] = useState<string | null>(null);
  const list = scope.data;
  const chosen = list?.subscriptions.find((one) => one.id.toLowerCase() === azure.subscriptionId.toLowerCase());
  const matches = list ? matching(list, within, typed ?? "") : { shown: [], more: 0 };
  const tenantOf = (one: SubscriptionView) =>
    list && list.tenants.length > 1 ? list.tenants.find((tenant) => tenant.id === one.tenantId)?.name : undefined;
  const unknown = list !== undefined && azure.subscriptionId !== "" && !chosen;
  return (
    <>
      <Field
        label={t("connect.azure.subscription")}
        hint={list ? (chosen ? chosen.id : "") : scope.isFetching ? t("connect.azure.reading") : hint}
        validationState={unknown || (chosen && (!chosen.usable || chosen.reason)) ? "warning" : "none"}
        validationMessage={unknown ? t("connect.azure.notSeen") : chosen?.reason || undefined}
      >
        <Combobox
          freeform
          inlinePopup
          disabled={fixed}
          listbox={{ className: s.list }}
          input={{ spellCheck: false, autoComplete: "off" }}
          data-testid="azure-subscription"
          placeholder={chosen?.name || azure.subscriptionId || t("connect.azure.search")}
          value={typed ?? chosen?.name ?? azure.subscriptionId}
          selectedOptions={chosen ? [chosen.id] : []}
          onOpenChange={(_, data) => {
            // The list opens whole, whatever is chosen.
            setTyped(data.open ? "" : null);
            if (data.open) onAsk();
          }}
          onChange={(event) => {
            const text = event.target.value;
            setTyped(text);
            if (isId(text)) onChange({ subscriptionId: text.trim() });
          }}
          onBlur={() => setTyped(null)}
          onOptionSelect={(_, data) => {
            // Also called without one, when the text that is typed no longer fits the chosen one.
            const one = list?.subscriptions.find((other) => other.id === data.optionValue);
            if (!one) return;
            setTyped(null);
            if (one.usable) onChange({ subscriptionId: one.id, tenantId: one.tenantId });
          }}
        >
          {matches.shown.map((one) => (
            <Option
              key={one.id}
              value={one.id}
              text={one.name}
              disabled={!one.usable}
              data-testid={`subscription-${one.id}`}
            >
              <span className={s.option}>
                <span className={s.optionName}>
                  <b>{one.name}</b>
                  {one.state === "Enabled" ? null : <small>{one.state}</small>}
                </span>
                <span>
                  {tenantOf(one) ? `${tenantOf(one)} · ` : ""}
                  {one.id}
                </span>
                {one.reason ? <span className={s.optionWarn}>{one.reason}</span> : null}
              </span>
            </Option>
          ))}
          {matches.shown.length === 0 || matches.more > 0 ? (
            <Option disabled value="" text="" checkIcon={null} className={s.nothing}>
              {scope.isFetching ? (
                <Spinner size="tiny" label={t("connect.azure.reading")} />
              ) : scope.error || !list ? (
                t("connect.azure.cantList")
              ) : matches.more > 0 ? (
                t("connect.azure.moreMatches", { n: matches.more })
              ) : list.subscriptions.length === 0 ? (
                t("connect.azure.noSubscription")
              ) : (
                t("connect.azure.noMatch")
              )}
            </Option>
          ) : null}
        </Combobox>
      </Field>
      {scope.error ? <ErrorCard error={scope.error} onRetry={() => void scope.refetch()} /> : null}
    </>
  );
}
