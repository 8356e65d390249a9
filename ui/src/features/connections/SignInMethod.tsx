// How Rehost signs in: one choice, a sentence on when it fits, what must be prepared in Entra, and only its own fields.
import { Button, Dropdown, Field, Option } from "@fluentui/react-components";
import { CertificateRegular, CopyRegular } from "@fluentui/react-icons";
import { use, useState } from "react";
import { useTranslation } from "react-i18next";
import { day } from "../../design/format";
import { ErrorCard } from "../../design/ErrorCard";
import { useCopy } from "../../design/useCopy";
import { Words } from "../../design/Words";
import { useCommand } from "../../host";
import type { SignIn } from "../../host/gen/SignIn";
import { Fixed, SecretField, TextField } from "./fields";
import { commands, needOf, SIGN_INS } from "./signIn";
import type { Connection } from "./useConnection";
import s from "./connections.module.css";

export function SignInMethod({ connection: c }: { connection: Connection<"azure"> }) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const { signIn, tenantId, clientId } = c.draft;
  const need = (field: Parameters<typeof needOf>[1]) => needOf(signIn, field);
  const tenant = (
    <TextField
      label={t("connect.azure.tenant")}
      hint={need("tenant") === "may" ? t("connect.azure.tenantOwn") : undefined}
      testId="azure-tenant"
      required={need("tenant") === "must"}
      value={tenantId}
      onChange={(next) => c.set({ tenantId: next })}
    />
  );
  const client = (
    <TextField
      label={t("connect.azure.client")}
      hint={
        need("client") === "may"
          ? t(signIn === "managedIdentity" ? "connect.azure.identityOwn" : "connect.azure.clientOwn")
          : undefined
      }
      testId="azure-client"
      required={need("client") === "must"}
      value={clientId}
      onChange={(next) => c.set({ clientId: next })}
    />
  );
  return (
    <>
      <Field label={t("connect.azure.signInWith")} hint={t(`connect.azure.fits.${signIn}`)}>
        <Dropdown
          inlinePopup
          disabled={fixed}
          listbox={{ className: s.list }}
          data-testid="azure-sign-in-with"
          value={t(`connect.azure.method.${signIn}`)}
          selectedOptions={[signIn]}
          onOptionSelect={(_, data) => data.optionValue && c.set({ signIn: data.optionValue as SignIn })}
        >
          {SIGN_INS.map((method) => (
            <Option
              key={method}
              value={method}
              text={t(`connect.azure.method.${method}`)}
              data-testid={`sign-in-with-${method}`}
            >
              <span className={s.option}>
                <span>{t(`connect.azure.method.${method}`)}</span>
                <span>{t(`connect.azure.fits.${method}`)}</span>
              </span>
            </Option>
          ))}
        </Dropdown>
      </Field>
      {need("tenant") === "must" ? tenant : null}
      {need("client") === "must" ? client : null}
      {need("secret") ? (
        <SecretField
          key={c.saves}
          label={t("connect.azure.secret")}
          testId="azure-secret"
          required
          stored={c.view.azureSecretStored}
          value={c.secrets.secret}
          onChange={(secret) => c.setSecrets({ secret })}
        />
      ) : null}
      {need("certificate") ? <ClientCertificate connection={c} /> : null}
      <details className={s.more}>
        <summary>{t("connect.azure.prepare")}</summary>
        <Prepare connection={c} />
        <div className={s.form}>
          {need("tenant") === "may" ? tenant : null}
          {need("client") === "may" ? client : null}
        </div>
      </details>
    </>
  );
}

/** The steps; where a command does the same, the last line leads over to it. */
function Prepare({ connection: c }: { connection: Connection<"azure"> }) {
  const { t } = useTranslation();
  const lines = commands(c.draft);
  const steps = t(`connect.azure.steps.${c.draft.signIn}`).split("\n");
  const lead = lines.length > 0 ? steps.pop() : undefined;
  return (
    <div className={s.prepare}>
      {steps.length > 0 ? (
        <ol className={s.numbered}>
          {steps.map((line) => (
            <li key={line}>
              <Words text={line} />
            </li>
          ))}
        </ol>
      ) : null}
      {lead ? <p>{lead}</p> : null}
      {lines.length > 0 ? <CommandLines lines={lines} /> : null}
    </div>
  );
}

function CommandLines({ lines }: { lines: string[] }) {
  const { t } = useTranslation();
  const [copied, copy] = useCopy();
  const text = lines.join("\n");
  return (
    <div className={s.command}>
      <pre tabIndex={0}>{text}</pre>
      <Button size="small" icon={<CopyRegular />} onClick={() => copy(text)}>
        {t(copied ? "task.copied" : "task.copy")}
      </Button>
    </div>
  );
}

function ClientCertificate({ connection: c }: { connection: Connection<"azure"> }) {
  const { t } = useTranslation();
  const fixed = use(Fixed);
  const choose = useCommand("client_certificate_choose");
  const [password, setPassword] = useState("");
  const stored = c.view.azureCertificate;
  const pick = () => {
    if (choose.isPending) return;
    choose.mutate(
      { project: c.path, password: password || null },
      {
        onSuccess: (view) => {
          if (!view) return;
          c.take(view);
          setPassword("");
        },
      },
    );
  };
  return (
    <>
      {stored ? null : (
        <SecretField
          label={t("connect.azure.filePassword")}
          hint={t("connect.azure.filePasswordHint")}
          testId="azure-file-password"
          stored={false}
          value={password}
          onChange={setPassword}
        />
      )}
      <Field label={t("connect.azure.certificate")} required>
        <div className={s.stored} data-empty={stored === null || undefined} data-testid="azure-certificate">
          <CertificateRegular fontSize={18} aria-hidden />
          <span className="cut" title={stored?.subject}>
            {stored ? stored.subject : t("connect.azure.noCertificate")}
          </span>
          {fixed ? null : (
            <Button
              size="small"
              appearance={stored ? "subtle" : "secondary"}
              data-testid="certificate-choose"
              disabledFocusable={choose.isPending}
              onClick={pick}
            >
              {t(stored ? "connect.replace" : "connect.azure.chooseFile")}
            </Button>
          )}
        </div>
      </Field>
      {stored ? (
        <p className={s.note}>
          {t("connect.azure.certificateUntil", { at: day(stored.notAfter) })} <code>{stored.thumbprint}</code>
        </p>
      ) : null}
      {choose.error ? <ErrorCard error={choose.error} /> : null}
    </>
  );
}
