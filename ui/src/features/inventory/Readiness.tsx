// Readiness inside one machine: what was read, what is wrong, who or what puts it right, and the way back.
import { Button, Spinner } from "@fluentui/react-components";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { dateTime } from "../../design/format";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import { Words } from "../../design/Words";
import { useCommand, useHost } from "../../host";
import type { GuestItem } from "../../host/gen/GuestItem";
import type { GuestItemState } from "../../host/gen/GuestItemState";
import type { GuestItemView } from "../../host/gen/GuestItemView";
import type { GuestView } from "../../host/gen/GuestView";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import { AccountDialog, FixDialog, PasteDialog } from "./ReadinessDialogs";
import d from "./details.module.css";
import s from "./readiness.module.css";

const MARK: Record<GuestItemState, Mark> = { right: "done", wrong: "overdue", unknown: "later" };

type Props = {
  vm: Vm;
  /** Whether vCenter can be asked. */
  ask: boolean;
  /** Something was read or changed: the machine is judged again. */
  onRead: () => void;
};

export function Readiness({ vm, ask, onRead }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const queries = useQueryClient();
  const { path } = useProject();
  const project = path ?? "";
  const key = ["guest", path, vm.moref];
  const guest = useQuery<GuestView, UiError>({
    queryKey: key,
    queryFn: () => host.call("guest_get", { project, moref: vm.moref }),
    enabled: path !== null,
    retry: false,
  });
  const check = useCommand("guest_check");
  const undo = useCommand("guest_undo");
  const [asked, setAsked] = useState<"account" | "paste" | GuestItem | null>(null);
  const take = (view: GuestView) => {
    queries.setQueryData(key, view);
    onRead();
  };
  const close = () => setAsked(null);
  const view = guest.data;
  if (guest.error) return <p className={`${d.section} ${d.muted}`}>{guest.error.title}</p>;
  if (!view) return null;
  const busy = check.isPending || undo.isPending;
  const reachable = ask && view.toolsRunning;
  const look = () => {
    undo.reset();
    if (!view.accountReady) return setAsked("account");
    check.mutate({ project, moref: vm.moref, user: null, password: null, remember: false }, { onSuccess: take });
  };
  const takeBack = (item: GuestItem) => {
    check.reset();
    undo.mutate({ project, moref: vm.moref, item }, { onSuccess: take });
  };
  const error = check.error ?? undo.error;
  return (
    <section className={d.section} aria-label={t("readiness.title")} data-testid="readiness">
      <h3>{t("readiness.title")}</h3>
      {view.system === null ? <p className={d.muted}>{t("readiness.noSystem")}</p> : null}
      {view.system !== null && view.readAt === null ? (
        <p className={d.muted} data-testid="readiness-unread">
          {t("readiness.unread")}
        </p>
      ) : null}
      {view.readAt !== null ? (
        <>
          <p className={d.muted}>
            {t(view.pasted ? "readiness.pastedAt" : "readiness.readAt", { at: dateTime(view.readAt) })}
            {view.account && !view.pasted ? ` · ${view.account}` : null}
          </p>
          {view.admin === false ? <p className={s.note}>{t("readiness.notAdmin")}</p> : null}
          <ul className={s.items}>
            {view.items.map((item) => (
              <Row
                key={item.item}
                row={item}
                busy={busy}
                reachable={reachable}
                onPreview={() => setAsked(item.item)}
                onUndo={() => takeBack(item.item)}
              />
            ))}
          </ul>
        </>
      ) : null}
      {view.system !== null && !reachable ? (
        <p className={s.note}>{t(ask ? "readiness.noTools" : "readiness.noVcenter")}</p>
      ) : null}
      <div role="status">
        {busy ? (
          <Spinner
            className={s.busy}
            size="tiny"
            labelPosition="after"
            label={t(undo.isPending ? "readiness.undoing" : "readiness.reading")}
          />
        ) : null}
      </div>
      {error && asked === null ? <ErrorCard error={error} /> : null}
      {view.system !== null ? (
        <div className={s.actions}>
          <Button
            size="small"
            appearance={view.readAt === null ? "primary" : "secondary"}
            data-testid="readiness-check"
            disabledFocusable={busy || !reachable}
            onClick={() => busy || !reachable || look()}
          >
            {t(view.readAt === null ? "readiness.check" : "readiness.checkAgain")}
          </Button>
          <Button size="small" data-testid="readiness-by-hand" onClick={() => setAsked("paste")}>
            {t("readiness.byHand")}
          </Button>
          {view.accountReady && reachable ? (
            <Button
              size="small"
              appearance="subtle"
              data-testid="readiness-account"
              disabledFocusable={busy}
              onClick={() => busy || setAsked("account")}
            >
              {t("readiness.otherAccount")}
            </Button>
          ) : null}
        </div>
      ) : null}
      {asked === "account" ? (
        <AccountDialog vm={vm} project={project} guest={view} onRead={take} onClose={close} />
      ) : asked === "paste" ? (
        <PasteDialog vm={vm} project={project} guest={view} onRead={take} onClose={close} />
      ) : asked !== null ? (
        <FixDialog
          vm={vm}
          project={project}
          item={asked}
          reachable={reachable}
          account={view.accountReady}
          onRead={take}
          onClose={close}
        />
      ) : null}
    </section>
  );
}

type RowProps = {
  row: GuestItemView;
  busy: boolean;
  reachable: boolean;
  onPreview: () => void;
  onUndo: () => void;
};

function Row({ row, busy, reachable, onPreview, onUndo }: RowProps) {
  const { t } = useTranslation();
  const name = t(`readiness.item.${row.item}`);
  const mark = MARK[row.state];
  return (
    <li data-item={row.item} data-state={row.state} data-mark={mark}>
      <StatusIcon mark={mark} size={16} quiet />
      <div>
        <h4>
          {name} <span className="hidden">{t(`readiness.state.${row.state}`)}</span>
        </h4>
        <p className={d.muted}>{row.found ?? t("readiness.untold")}</p>
        {row.undoableSince ? (
          <p className={d.muted}>{t("readiness.changed", { at: dateTime(row.undoableSince) })}</p>
        ) : null}
        {row.person && !row.fixable ? (
          <details className={s.person}>
            <summary>{t("readiness.person", { who: row.person.who })}</summary>
            <ol>
              {row.person.steps.map((step) => (
                <li key={step}>
                  <Words text={step} />
                </li>
              ))}
            </ol>
          </details>
        ) : null}
        {row.fixable || row.undoableSince ? (
          <div className={s.rowActions}>
            {row.fixable ? (
              <Button
                size="small"
                data-testid={`preview-${row.item}`}
                aria-label={t("readiness.previewOf", { name })}
                onClick={onPreview}
              >
                {t("readiness.preview")}
              </Button>
            ) : null}
            {row.undoableSince ? (
              <Button
                size="small"
                data-testid={`undo-${row.item}`}
                aria-label={t("readiness.undoOf", { name })}
                disabledFocusable={busy || !reachable}
                onClick={() => busy || !reachable || onUndo()}
              >
                {t("readiness.undo")}
              </Button>
            ) : null}
          </div>
        ) : null}
      </div>
    </li>
  );
}
