// The two systems of a migration, each with its fields, its secret, and a test that says step by step what works.
import {
  Button,
  Field,
  Input,
  type InputProps,
  Skeleton,
  SkeletonItem,
  Spinner,
  Textarea,
} from "@fluentui/react-components";
import { ArrowRightRegular, ShieldLockRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import { useCommand } from "../../host";
import type { AzureConnection } from "../../host/gen/AzureConnection";
import type { CertificateView } from "../../host/gen/CertificateView";
import type { ConnectionKind } from "../../host/gen/ConnectionKind";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { ConnectionTest } from "../../host/gen/ConnectionTest";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { UiError } from "../../host/gen/UiError";
import type { VCenterConnection } from "../../host/gen/VCenterConnection";
import { CertificateDialog } from "./CertificateDialog";
import s from "./connections.module.css";

export default function Connections() {
  const { t } = useTranslation();
  const { project, error, reload, info, go } = useProject();
  if (error) {
    return (
      <div className={s.page}>
        <ErrorCard error={error} onRetry={reload} />
      </div>
    );
  }
  return (
    <div className={s.page} data-testid="connections">
      <div className={s.inner}>
        <div className={s.head}>
          <div>
            <h1>{t("connect.title")}</h1>
            <p>{t("connect.text")}</p>
          </div>
          <Button iconPosition="after" icon={<ArrowRightRegular />} onClick={() => go("inventory")}>
            {t("connect.next")}
          </Button>
        </div>
        {info?.secrets.kept === "thisStartOnly" ? (
          <Notice title={t("secrets.thisStart")}>
            <p data-testid="secrets-notice">
              {info.secrets.reason} {info.secrets.hint}
            </p>
          </Notice>
        ) : null}
        {project?.rehearsal ? <p className={s.note}>{t("connect.rehearsal")}</p> : null}
        {project ? (
          <div className={s.cards}>
            <Card key={`vcenter ${project.path}`} kind="vcenter" project={project} />
            <Card key={`azure ${project.path}`} kind="azure" project={project} />
          </div>
        ) : (
          <Skeleton className={s.cards} aria-label={t("app.loading")}>
            <SkeletonItem className={s.skeleton} />
            <SkeletonItem className={s.skeleton} />
          </Skeleton>
        )}
      </div>
    </div>
  );
}

function Card({ kind, project }: { kind: ConnectionKind; project: ProjectView }) {
  const { t } = useTranslation();
  const { info } = useProject();
  const [view, setView] = useState<ConnectionsView>(project.connections);
  const [draft, setDraft] = useState(view.connections);
  const [secret, setSecret] = useState("");
  const [replacing, setReplacing] = useState(false);
  const [asked, setAsked] = useState<CertificateView | null>(null);
  const save = useCommand("connection_save");
  const test = useCommand("connection_test");
  const trust = useCommand("certificate_trust");
  const stored = kind === "vcenter" ? view.vcenterPasswordStored : view.azureSecretStored;
  const changed = secret !== "" || JSON.stringify(draft[kind]) !== JSON.stringify(view.connections[kind]);
  const busy = save.isPending || test.isPending;

  const accept = (next: ConnectionsView) => {
    setView(next);
    setDraft((d) => ({ ...d, [kind]: next.connections[kind] }));
    setSecret("");
    setReplacing(false);
  };
  const runTest = () =>
    test.mutate({ project: project.path, kind }, { onSuccess: (result) => setAsked(result.certificate) });
  const saveThen = (then?: () => void) => {
    test.reset();
    if (!changed) return then?.();
    save.mutate(
      {
        project: project.path,
        kind,
        connections: { ...view.connections, [kind]: draft[kind] },
        secret: secret || null,
      },
      {
        onSuccess: (next) => {
          accept(next);
          then?.();
        },
      },
    );
  };
  const set = (patch: Partial<VCenterConnection> | Partial<AzureConnection>) =>
    setDraft((d) => ({ ...d, [kind]: { ...d[kind], ...patch } }));

  const secretField = (
    <Field
      label={t(`connect.${kind}.secret`)}
      hint={
        stored && !replacing
          ? ""
          : t(info?.secrets.kept === "thisStartOnly" ? "connect.secretHere" : "connect.secretKeyring")
      }
    >
      {stored && !replacing ? (
        <div className={s.stored} data-testid={`${kind}-secret-stored`}>
          <ShieldLockRegular fontSize={18} aria-hidden />
          <span>{t(info?.secrets.kept === "thisStartOnly" ? "connect.storedHere" : "connect.stored")}</span>
          <Button size="small" appearance="subtle" onClick={() => setReplacing(true)}>
            {t("connect.replace")}
          </Button>
        </div>
      ) : (
        <Input
          type="password"
          autoComplete="off"
          data-testid={kind === "vcenter" ? "vcenter-password" : "azure-secret"}
          value={secret}
          onChange={(_, data) => setSecret(data.value)}
        />
      )}
    </Field>
  );
  const text = (
    label: string,
    id: string,
    value: string,
    change: (v: string) => void,
    more: Partial<InputProps> = {},
  ) => (
    <Field label={label}>
      <Input
        {...more}
        type="text"
        spellCheck={false}
        autoComplete="off"
        data-testid={`${kind}-${id}`}
        value={value}
        onChange={(_, data) => change(data.value)}
      />
    </Field>
  );

  return (
    <section className={s.card} aria-labelledby={`${kind}-title`} data-testid={`${kind}-card`}>
      <div className={s.cardHead}>
        <h2 id={`${kind}-title`}>{t(`connect.${kind}.title`)}</h2>
        {test.data ? (
          <StatusPill mark={test.data.ok ? "done" : "failed"}>
            {t(test.data.ok ? "connect.works" : "connect.fails")}
          </StatusPill>
        ) : null}
      </div>
      <p className={s.note}>{t(`connect.${kind}.text`)}</p>
      <form
        className={s.form}
        onSubmit={(event) => {
          event.preventDefault();
          saveThen();
        }}
      >
        {kind === "vcenter" ? (
          <>
            {text(t("connect.vcenter.url"), "url", draft.vcenter.url, (url) => set({ url }), {
              placeholder: "https://vcenter.contoso.com",
            })}
            {text(t("connect.vcenter.user"), "user", draft.vcenter.user, (user) => set({ user }), {
              placeholder: "rehost@vsphere.local",
            })}
            {secretField}
            <Field label={t("connect.vcenter.thumbprint")} hint={t("connect.vcenter.thumbprintHint")}>
              <Input
                className={s.mono}
                readOnly
                data-testid="vcenter-thumbprint"
                value={draft.vcenter.thumbprint || t("connect.vcenter.platform")}
              />
            </Field>
          </>
        ) : (
          <>
            {text(t("connect.azure.tenant"), "tenant", draft.azure.tenantId, (tenantId) => set({ tenantId }))}
            {text(t("connect.azure.subscription"), "subscription", draft.azure.subscriptionId, (subscriptionId) =>
              set({ subscriptionId }),
            )}
            {text(t("connect.azure.client"), "client", draft.azure.clientId, (clientId) => set({ clientId }))}
            {secretField}
            <details className={s.more}>
              <summary>{t("connect.azure.addresses")}</summary>
              <div className={s.form}>
                {text(t("connect.azure.arm"), "arm", draft.azure.armUrl, (armUrl) => set({ armUrl }))}
                {text(t("connect.azure.authority"), "authority", draft.azure.authorityUrl, (authorityUrl) =>
                  set({ authorityUrl }),
                )}
                {text(t("connect.azure.blob"), "blob", draft.azure.blobUrl, (blobUrl) => set({ blobUrl }))}
                <Field label={t("connect.azure.ca")} hint={t("connect.azure.caHint")}>
                  <Textarea
                    className={s.mono}
                    rows={3}
                    spellCheck={false}
                    data-testid="azure-ca"
                    value={draft.azure.caPem}
                    onChange={(_, data) => set({ caPem: data.value })}
                  />
                </Field>
              </div>
            </details>
          </>
        )}
        <div className={s.actions}>
          <Button
            appearance="primary"
            data-testid={`${kind}-test`}
            disabledFocusable={busy}
            icon={test.isPending ? <Spinner size="tiny" /> : null}
            onClick={() => busy || saveThen(runTest)}
          >
            {t(changed ? "connect.saveAndTest" : "connect.test")}
          </Button>
          <Button type="submit" data-testid={`${kind}-save`} disabledFocusable={!changed || busy}>
            {t("connect.save")}
          </Button>
          {changed ? <span className={s.note}>{t("connect.unsaved")}</span> : null}
        </div>
      </form>
      <Result test={test.data} pending={test.isPending} error={save.error ?? test.error ?? trust.error} />
      <CertificateDialog
        certificate={asked}
        busy={trust.isPending}
        onClose={() => setAsked(null)}
        onTrust={(sha256) =>
          trust.mutate(
            { project: project.path, sha256 },
            {
              onSuccess: (next) => {
                setAsked(null);
                accept(next);
                runTest();
              },
            },
          )
        }
      />
    </section>
  );
}

function Result({
  test,
  pending,
  error,
}: {
  test: ConnectionTest | undefined;
  pending: boolean;
  error: UiError | null;
}) {
  const { t } = useTranslation();
  return (
    <div className={s.result} data-testid="test-result" data-ok={test?.ok} aria-live="polite">
      {error ? <ErrorCard error={error} /> : null}
      {pending ? <p className={s.note}>{t("connect.testing")}</p> : null}
      {!pending && !test && !error ? <p className={s.note}>{t("connect.notTested")}</p> : null}
      {test && !pending ? (
        <ol className={s.results}>
          {test.steps.map((step) => (
            <li key={step.title} data-ok={step.ok}>
              <StatusIcon mark={step.ok ? "done" : "failed"} />
              <div>
                <b>{step.title}</b>
                {step.detail ? <p>{step.detail}</p> : null}
                {!step.ok && step.hint ? <p className={s.hint}>{step.hint}</p> : null}
              </div>
            </li>
          ))}
        </ol>
      ) : null}
    </div>
  );
}
