// The target: how Rehost signs in, who is signed in, which subscription, and the way there.
import { Button } from "@fluentui/react-components";
import { PersonRegular } from "@fluentui/react-icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand, useHost } from "../../host";
import type { AccountScope } from "../../host/gen/AccountScope";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { UiError } from "../../host/gen/UiError";
import { CloudAndNetwork } from "./CloudAndNetwork";
import { ConnectionCard } from "./ConnectionCard";
import { canList, isPerson, needOf } from "./signIn";
import { SignInDialog } from "./SignInDialog";
import { SignInMethod } from "./SignInMethod";
import { SubscriptionPicker } from "./SubscriptionPicker";
import { useConnection } from "./useConnection";
import { useSignIn } from "./useSignIn";
import s from "./connections.module.css";

export function AzureCard({ project }: { project: ProjectView }) {
  const { t } = useTranslation();
  const host = useHost();
  const c = useConnection("azure", project);
  const signIn = useSignIn(project.path, c.accept);
  const signOut = useCommand("sign_out");
  const [asked, setAsked] = useState(false);
  const { draft, view } = c;
  const person = isPerson(draft.signIn);
  const account = person ? view.azureAccount : null;
  const { subscriptionId: _, ...stored } = view.connections.azure;
  const scope = useQuery<AccountScope, UiError>({
    queryKey: ["accountScope", project.path, stored, view.azureAccount],
    queryFn: () => host.call("account_scope", { project: project.path }),
    // What is stored is what is asked with: not while another way to sign in is being filled in.
    enabled: draft.signIn === stored.signIn && (asked || canList(view)),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    retry: false,
  });
  const refused =
    scope.error?.code === "signIn" || (c.test.data?.steps.some((step) => step.hop === "signIn" && !step.ok) ?? false);
  const begin = () => c.saveThen(signIn.begin);
  const keepsSecret =
    (needOf(draft.signIn, "secret") && view.azureSecretStored) ||
    (needOf(draft.signIn, "certificate") && view.azureCertificate);
  const tenantName = scope.data?.tenants.find((one) => one.id === account?.tenantId)?.name ?? account?.tenantId;
  const leave = (
    <Button
      appearance="subtle"
      className={s.quiet}
      data-testid="sign-out"
      disabledFocusable={project.live || signOut.isPending}
      title={project.live ? t("connect.azure.staysIn") : undefined}
      onClick={() => {
        if (project.live || signOut.isPending) return;
        signIn.forget();
        signOut.mutate({ project: project.path }, { onSuccess: c.accept });
      }}
    >
      {t("connect.azure.signOut")}
    </Button>
  );
  return (
    <>
      <ConnectionCard
        connection={c}
        quiet={person && (account === null || refused)}
        actions={keepsSecret ? <span className={s.atEnd}>{leave}</span> : null}
      >
        <SignInMethod connection={c} />
        {person ? (
          <div className={s.account} data-testid="azure-account" data-in={account !== null || undefined}>
            <PersonRegular fontSize={20} aria-hidden />
            <div className={s.accountWords} role="status">
              {account ? (
                <>
                  <b className="cut" title={account.user}>
                    {account.user}
                  </b>
                  <span className="cut" title={account.tenantId}>
                    {t("connect.azure.signedIn", { tenant: tenantName })}
                  </span>
                </>
              ) : (
                <span>{t("connect.azure.nobody")}</span>
              )}
            </div>
            {account ? leave : null}
            {account === null || refused ? (
              <Button
                appearance="primary"
                data-testid="sign-in-begin"
                disabledFocusable={c.busy || signIn.progress !== null}
                onClick={() => c.busy || begin()}
              >
                {t(account ? "connect.azure.signInAgain" : "connect.azure.signIn")}
              </Button>
            ) : null}
          </div>
        ) : null}
        {signIn.error ? <ErrorCard error={signIn.error} /> : null}
        {signOut.error ? <ErrorCard error={signOut.error} /> : null}
        <SubscriptionPicker
          azure={draft}
          tenants={needOf(draft.signIn, "tenant") !== "must"}
          scope={scope}
          hint={t(person ? "connect.azure.afterSignIn" : "connect.azure.afterSave")}
          onAsk={() => setAsked(!person || account !== null)}
          onChange={c.set}
          onSignInTo={(tenant) => c.saveThen(person ? signIn.begin : undefined, { tenantId: tenant.id })}
        />
        <CloudAndNetwork connection={c} />
      </ConnectionCard>
      <SignInDialog project={project.path} progress={signIn.progress} onCancel={signIn.cancel} />
    </>
  );
}
