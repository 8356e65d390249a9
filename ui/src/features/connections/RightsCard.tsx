// Roles and rights in vCenter before anything is changed: what the plan will do there and whether Rehost's account may, the
// role that the appliance's account needs, made here after a look at what would change, or by an administrator with a script.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Spinner,
} from "@fluentui/react-components";
import { ChevronRightRegular, CopyRegular, SaveRegular } from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { use, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { StatusIcon, StatusPill } from "../../design/StatusIcon";
import { useCopy } from "../../design/useCopy";
import { useCommand, useHost } from "../../host";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { RightsScript } from "../../host/gen/RightsScript";
import type { RightsView } from "../../host/gen/RightsView";
import type { RoleView } from "../../host/gen/RoleView";
import type { UiError } from "../../host/gen/UiError";
import { Fixed } from "./fields";
import { missingIn, type StepRights, stepsOf } from "./rights";
import s from "./rights.module.css";
import c from "./connections.module.css";

export function RightsCard({ project }: { project: ProjectView }) {
  const { t } = useTranslation();
  const host = useHost();
  const { vcenter } = project.connections.connections;
  const ready = vcenter.url !== "" && vcenter.user !== "" && project.connections.vcenterPasswordStored;
  const [asked, setAsked] = useState(false);
  const query = useQuery<RightsView, UiError>({
    queryKey: ["rights", project.path, vcenter],
    queryFn: () => host.call("vcenter_rights", { project: project.path }),
    // It signs in to vCenter: only when somebody wants to know.
    enabled: asked && ready,
    staleTime: Infinity,
    retry: false,
  });
  const { data } = query;
  const look = () => (asked ? void query.refetch() : setAsked(true));
  const missing = data ? missingIn(data) : 0;
  const open = data ? data.changes.length + data.obstacles.length : 0;
  return (
    <section className={c.card} aria-labelledby="rights-title" aria-busy={query.isFetching} data-testid="rights">
      <div className={c.cardHead}>
        <h2 id="rights-title">{t("connect.rights.title")}</h2>
        {data && !query.isFetching ? (
          <StatusPill mark={missing > 0 ? "failed" : open > 0 ? "ready" : "done"}>
            {missing > 0
              ? t("connect.rights.missing", { count: missing })
              : t(open > 0 ? "connect.rights.open" : "connect.rights.complete")}
          </StatusPill>
        ) : null}
        <span className={c.atEnd}>
          {query.isFetching ? (
            <Spinner size="tiny" label={t("connect.rights.looking")} />
          ) : (
            <Button data-testid="rights-look" disabledFocusable={!ready} onClick={() => ready && look()}>
              {t(data ? "connect.rights.again" : "connect.rights.look")}
            </Button>
          )}
        </span>
      </div>
      <p className={c.note}>{t(ready ? "connect.rights.text" : "connect.rights.first")}</p>
      {query.error && !query.isFetching ? <ErrorCard error={query.error} onRetry={look} /> : null}
      {data ? (
        <div className={s.parts}>
          <OwnAccount project={project.path} rights={data} />
          <ApplianceAccount project={project.path} rights={data} queryKey={["rights", project.path, vcenter]} />
        </div>
      ) : null}
    </section>
  );
}

function OwnAccount({ project, rights }: { project: string; rights: RightsView }) {
  const { t } = useTranslation();
  const steps = stepsOf(rights);
  const lacking = rights.own.filter((right) => right.missing.length > 0).length;
  return (
    <section className={s.part} aria-labelledby="rights-own" data-testid="rights-own" data-lacking={lacking}>
      <h3 id="rights-own">
        {t("connect.rights.own")} <span>{rights.user}</span>
      </h3>
      {rights.lacking === null ? (
        <p>{t("connect.rights.ownAll", { n: rights.own.length })}</p>
      ) : (
        <Notice title={t("connect.rights.ownLacks", { n: lacking, all: rights.own.length })}>
          <p>{rights.lacking}</p>
        </Notice>
      )}
      <table className={s.table} aria-label={t("connect.rights.table", { user: rights.user })}>
        <thead>
          <tr>
            <th scope="col">{t("connect.rights.task")}</th>
            <th scope="col">{t("connect.rights.on")}</th>
            <th scope="col">{t("connect.rights.privileges")}</th>
            <th scope="col">{t("connect.rights.state")}</th>
          </tr>
        </thead>
        {steps.map((step) => (
          <StepRows key={step.number} step={step} />
        ))}
      </table>
      <Script project={project} which="own" text={rights.ownScript.text} account={rights.user} />
    </section>
  );
}

function StepRows({ step }: { step: StepRights }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(step.lacking > 0);
  return (
    <tbody data-step={step.number} data-open={open}>
      <tr>
        <th colSpan={3} scope="rowgroup">
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            <ChevronRightRegular aria-hidden />
            {t("connect.rights.step", { n: step.number, title: step.title })}
          </button>
        </th>
        <td>
          <span className={s.state}>
            <StatusIcon mark={step.lacking > 0 ? "failed" : "done"} size={16} quiet />
            {step.lacking > 0
              ? t("connect.rights.stepMissing", { n: step.lacking, all: step.rights.length })
              : t("connect.rights.stepGranted")}
          </span>
        </td>
      </tr>
      {open
        ? step.rights.map((right) => (
            <tr key={`${right.task} ${right.on} ${right.privileges[0] ?? ""}`} data-task={right.task}>
              <th scope="row">{right.title}</th>
              <td>
                {right.on}
                {right.seen ? null : <small>{t("connect.rights.unseen")}</small>}
              </td>
              <td>
                <Ids ids={right.privileges} marked={right.missing} />
              </td>
              <td>
                <span className={s.state}>
                  <StatusIcon mark={right.missing.length > 0 ? "failed" : "done"} size={16} quiet />
                  {t(right.missing.length > 0 ? "connect.rights.lacks" : "connect.rights.granted")}
                </span>
              </td>
            </tr>
          ))
        : null}
    </tbody>
  );
}

/** Longer lists are folded up. */
const SHORT = 6;

function Ids({ ids, marked = [] }: { ids: string[]; marked?: string[] }) {
  const { t } = useTranslation();
  const list = (some: string[]) => (
    <ul className={s.ids}>
      {some.map((id) => (
        <li key={id} data-missing={marked.includes(id)}>
          {id}
        </li>
      ))}
    </ul>
  );
  if (ids.length <= SHORT) return list(ids);
  const few = marked.length <= SHORT;
  return (
    <>
      {few ? list(marked) : null}
      <details className={c.more}>
        <summary>
          {few
            ? t("connect.rights.all", { n: ids.length })
            : t("connect.rights.allMissing", { n: marked.length, all: ids.length })}
        </summary>
        {list(ids)}
      </details>
    </>
  );
}

type ApplianceProps = { project: string; rights: RightsView; queryKey: unknown[] };

function ApplianceAccount({ project, rights, queryKey }: ApplianceProps) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const apply = useCommand("vcenter_roles_apply");
  const fixed = use(Fixed);
  const [asking, setAsking] = useState(false);
  const nothing = rights.changes.length === 0;
  const begin = () =>
    apply.mutate(
      { project, changes: rights.changes },
      {
        onSuccess: (after) => queries.setQueryData(queryKey, after),
        // Refused or out of date: what is there now must be looked at again.
        onError: () => void queries.invalidateQueries({ queryKey }),
        onSettled: () => setAsking(false),
      },
    );
  return (
    <section className={s.part} aria-labelledby="rights-appliance" data-testid="rights-appliance">
      <h3 id="rights-appliance">
        {t("connect.rights.appliance")} <span>{rights.principal}</span>
      </h3>
      <p>
        {t("connect.rights.method", { method: rights.method })}{" "}
        <span className={s.source}>{t("connect.rights.source", { source: rights.source })}</span>
      </p>
      {rights.roles.map((role) => (
        <Role key={role.name} role={role} known={rights.principalKnown} />
      ))}
      {rights.obstacles.map((obstacle) => (
        <p key={obstacle} className={s.obstacle} data-testid="rights-obstacle">
          <StatusIcon mark="overdue" size={16} quiet />
          <span>{obstacle}</span>
        </p>
      ))}
      {apply.error ? <ErrorCard error={apply.error} /> : null}
      <div className={c.actions}>
        <Button
          appearance="primary"
          data-testid="roles-apply"
          disabledFocusable={nothing || fixed || apply.isPending}
          onClick={() => {
            if (nothing || fixed || apply.isPending) return;
            apply.reset();
            setAsking(true);
          }}
        >
          {t("connect.rights.apply")}
        </Button>
        <span className={c.note} role="status">
          {apply.isSuccess
            ? t("connect.rights.done")
            : nothing && rights.obstacles.length === 0
              ? t("connect.rights.nothing")
              : ""}
        </span>
      </div>
      <p className={c.note}>{rights.passwordRule}</p>
      <Script project={project} which="roles" text={rights.rolesScript.text} account={rights.principal} />
      <Dialog open={asking} onOpenChange={(_, data) => data.open || apply.isPending || setAsking(false)}>
        <DialogSurface className={c.dialog}>
          <DialogBody>
            <DialogTitle>{t("connect.rights.previewTitle")}</DialogTitle>
            <DialogContent className={s.preview} data-testid="roles-preview">
              <p>{t("connect.rights.preview", { user: rights.user })}</p>
              <ul>
                {rights.changes.map((change) => (
                  <li key={change}>{change}</li>
                ))}
              </ul>
              <p className={c.note}>{t("connect.rights.previewElse")}</p>
              <p className={c.note}>{t("connect.rights.previewBack")}</p>
            </DialogContent>
            <DialogActions>
              <Button disabledFocusable={apply.isPending} onClick={() => apply.isPending || setAsking(false)}>
                {t("connect.rights.cancel")}
              </Button>
              <Button
                appearance="primary"
                data-testid="roles-confirm"
                disabledFocusable={apply.isPending}
                icon={apply.isPending ? <Spinner size="tiny" /> : null}
                onClick={() => apply.isPending || begin()}
              >
                {t("connect.rights.confirm")}
              </Button>
            </DialogActions>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </section>
  );
}

function Role({ role, known }: { role: RoleView; known: boolean }) {
  const { t } = useTranslation();
  const other = role.granted.is === "other" ? (role.granted.role ?? t("connect.rights.unlisted")) : "";
  const holds = role.granted.is === "covered" ? role.granted.role : other;
  const granted = role.granted.is === "yes" || role.granted.is === "covered";
  const whole = role.exists && role.missing.length === 0;
  return (
    <div className={s.role} data-testid="rights-role" data-exists={role.exists} data-granted={role.granted.is}>
      <h4>
        {role.name} <small>{role.place}</small>
      </h4>
      <ul>
        <Fact mark={whole ? "done" : "later"}>
          {!role.exists ? t("connect.rights.roleMissing") : null}
          {whole ? t("connect.rights.roleThere", { n: role.privileges.length }) : null}
          {role.exists && !whole ? t("connect.rights.roleLacks", { list: role.missing.join(", ") }) : null}
        </Fact>
        <Fact mark={granted ? "done" : role.granted.is === "other" ? "failed" : "later"}>
          {t(`connect.rights.is.${role.granted.is}`, { role: holds })}
        </Fact>
        {known && role.exists && role.lacks === null ? <Fact mark="later">{t("connect.rights.notTold")}</Fact> : null}
        {role.lacks !== null && granted ? (
          <Fact mark={role.lacks.length > 0 ? "failed" : "done"}>
            {role.lacks.length > 0
              ? t("connect.rights.provedNot", { list: role.lacks.join(", ") })
              : t("connect.rights.proved")}
          </Fact>
        ) : null}
        {role.unknown.length > 0 ? (
          <Fact mark="overdue">{t("connect.rights.unknown", { list: role.unknown.join(", ") })}</Fact>
        ) : null}
      </ul>
      <details className={c.more}>
        <summary>{t("connect.rights.all", { n: role.privileges.length })}</summary>
        <ul className={`${s.ids} ${s.columns}`}>
          {role.privileges.map((id) => (
            <li key={id}>{id}</li>
          ))}
        </ul>
      </details>
    </div>
  );
}

function Fact({
  mark,
  children,
}: {
  mark: React.ComponentProps<typeof StatusIcon>["mark"];
  children: React.ReactNode;
}) {
  return (
    <li>
      <StatusIcon mark={mark} size={16} quiet />
      <span>{children}</span>
    </li>
  );
}

type ScriptProps = { project: string; which: RightsScript; text: string; account: string };

function Script({ project, which, text, account }: ScriptProps) {
  const { t } = useTranslation();
  const save = useCommand("vcenter_script_save");
  const [copied, copyText] = useCopy();
  return (
    <details className={c.more} data-testid={`script-${which}`}>
      <summary>{t("connect.rights.script")}</summary>
      <div className={s.script}>
        <div className={s.scriptHead}>
          <span>{t(which === "own" ? "connect.rights.scriptOwn" : "connect.rights.scriptRoles", { account })}</span>
          <Button size="small" icon={<CopyRegular />} data-testid={`copy-${which}`} onClick={() => copyText(text)}>
            {t(copied ? "connect.rights.copied" : "connect.rights.copy")}
          </Button>
          <Button
            size="small"
            icon={<SaveRegular />}
            data-testid={`save-${which}`}
            disabledFocusable={save.isPending}
            onClick={() => save.isPending || save.mutate({ project, script: which })}
          >
            {t("connect.rights.save")}
          </Button>
        </div>
        <pre tabIndex={0} aria-label={t("connect.rights.script")}>
          {text}
        </pre>
        {save.data ? (
          <p className={c.note} role="status">
            {t("connect.rights.saved", { path: save.data })}
          </p>
        ) : null}
        {save.error ? <ErrorCard error={save.error} /> : null}
      </div>
    </details>
  );
}
