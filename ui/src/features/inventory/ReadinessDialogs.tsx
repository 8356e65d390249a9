// What readiness asks a person: an account of the machine, a look at a fix before it is made, the output of a script.
import {
  Button,
  Checkbox,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Input,
  Spinner,
  Textarea,
} from "@fluentui/react-components";
import { CopyRegular } from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { useCopy } from "../../design/useCopy";
import { Words } from "../../design/Words";
import { useCommand, useHost } from "../../host";
import type { GuestFixPreview } from "../../host/gen/GuestFixPreview";
import type { GuestItem } from "../../host/gen/GuestItem";
import type { GuestView } from "../../host/gen/GuestView";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import s from "./readiness.module.css";

type Props = { vm: Vm; project: string; onRead: (view: GuestView) => void; onClose: () => void };

type FrameProps = { title: string; busy: boolean; onClose: () => void; children: React.ReactNode };

/** A dialog that stays while its command is under way: the machine is being worked in. */
function Frame({ title, busy, onClose, children }: FrameProps) {
  return (
    <Dialog open modalType="modal" onOpenChange={(_, data) => data.open || busy || onClose()}>
      <DialogSurface className={s.dialog}>
        <DialogBody>
          <DialogTitle>{title}</DialogTitle>
          {children}
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}

export function AccountDialog({ vm, project, guest, onRead, onClose }: Props & { guest: GuestView }) {
  const { t } = useTranslation();
  const { info } = useProject();
  const check = useCommand("guest_check");
  const [user, setUser] = useState(guest.account ?? "");
  const [password, setPassword] = useState("");
  const [remember, setRemember] = useState(guest.remembered);
  const ready = user.trim() !== "" && password !== "" && !check.isPending;
  const kept = info?.secrets.kept === "thisStartOnly" ? "readiness.rememberHere" : "readiness.remember";
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (!ready) return;
    const done = (view: GuestView) => {
      onRead(view);
      onClose();
    };
    check.mutate({ project, moref: vm.moref, user, password, remember }, { onSuccess: done });
  };
  return (
    <Frame title={t("readiness.accountTitle", { name: vm.name })} busy={check.isPending} onClose={onClose}>
      <DialogContent>
        <form id="guest-account" className={s.content} data-testid="guest-account" onSubmit={send}>
          <p>{t("readiness.accountText")}</p>
          <Field label={t("readiness.user")} required>
            <Input
              autoComplete="off"
              spellCheck={false}
              placeholder={guest.system === "linux" ? "root" : "CONTOSO\\Administrator"}
              data-testid="guest-user"
              value={user}
              onChange={(_, data) => setUser(data.value)}
            />
          </Field>
          <Field label={t("readiness.password")} required>
            <Input
              type="password"
              autoComplete="off"
              data-testid="guest-password"
              value={password}
              onChange={(_, data) => setPassword(data.value)}
            />
          </Field>
          <Checkbox
            label={t(kept)}
            data-testid="guest-remember"
            checked={remember}
            onChange={(_, data) => setRemember(data.checked === true)}
          />
          {check.isPending ? <Spinner className={s.busy} size="tiny" label={t("readiness.reading")} /> : null}
          {check.error ? <ErrorCard error={check.error} /> : null}
        </form>
      </DialogContent>
      <DialogActions>
        <Button disabledFocusable={check.isPending} onClick={() => check.isPending || onClose()}>
          {t("common.cancel")}
        </Button>
        <Button
          appearance="primary"
          type="submit"
          form="guest-account"
          data-testid="guest-check"
          disabledFocusable={!ready}
        >
          {t("readiness.check")}
        </Button>
      </DialogActions>
    </Frame>
  );
}

/** A script as it stands, with a way to copy it. */
function Script({ title, text, testId }: { title: string; text: string; testId: string }) {
  const { t } = useTranslation();
  const [copied, copy] = useCopy();
  return (
    <section>
      <div className={s.scriptHead}>
        <h3>{title}</h3>
        <Button size="small" icon={<CopyRegular />} data-testid={`copy-${testId}`} onClick={() => copy(text)}>
          {t(copied ? "task.copied" : "task.copy")}
        </Button>
      </div>
      <pre className={s.script} tabIndex={0} aria-label={title} data-testid={testId}>
        {text}
      </pre>
    </section>
  );
}

type FixProps = Props & { item: GuestItem; reachable: boolean; account: boolean };

export function FixDialog({ vm, project, item, reachable, account, onRead, onClose }: FixProps) {
  const { t } = useTranslation();
  const host = useHost();
  const fix = useCommand("guest_fix");
  const queries = useQueryClient();
  const preview = useQuery<GuestFixPreview, UiError>({
    queryKey: ["guest-fix", project, vm.moref, item],
    queryFn: () => host.call("guest_fix_preview", { project, moref: vm.moref, item }),
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const shown = preview.data;
  const ready = shown !== undefined && reachable && account && !fix.isPending && !preview.isFetching;
  const done = (view: GuestView) => {
    onRead(view);
    onClose();
  };
  // The machine was read anew before the fix was refused: what is shown, here too, follows.
  const seen = () => {
    for (const of of ["guest", "guest-fix"]) void queries.invalidateQueries({ queryKey: [of, project, vm.moref] });
  };
  const name = t(`readiness.item.${item}`);
  return (
    <Frame title={t("readiness.fixTitle", { item: name, name: vm.name })} busy={fix.isPending} onClose={onClose}>
      <DialogContent className={s.content} data-testid="fix-preview">
        {preview.error ? <ErrorCard error={preview.error} /> : null}
        {shown ? (
          <>
            <section>
              <h3>{t("readiness.changes")}</h3>
              <ul className={s.changes}>
                {shown.changes.map((change) => (
                  <li key={change}>{change}</li>
                ))}
              </ul>
            </section>
            {shown.notes.length > 0 ? (
              <section>
                <h3>{t("readiness.notes")}</h3>
                <ul className={s.changes}>
                  {shown.notes.map((note) => (
                    <li key={note}>
                      <Words text={note} />
                    </li>
                  ))}
                </ul>
              </section>
            ) : null}
            <Script title={t("readiness.script")} text={shown.script.text} testId="fix-script" />
            <Script title={t("readiness.wayBack")} text={shown.undo.text} testId="fix-undo" />
            {!account && reachable ? <p className={s.note}>{t("readiness.needsAccount")}</p> : null}
            {!reachable ? <p className={s.note}>{t("readiness.fixByHand")}</p> : null}
          </>
        ) : null}
        {fix.isPending ? <Spinner className={s.busy} size="tiny" label={t("readiness.fixing")} /> : null}
        {fix.error ? <ErrorCard error={fix.error} /> : null}
      </DialogContent>
      <DialogActions>
        <Button disabledFocusable={fix.isPending} onClick={() => fix.isPending || onClose()}>
          {t("common.cancel")}
        </Button>
        <Button
          appearance="primary"
          data-testid="fix"
          disabledFocusable={!ready}
          onClick={() => ready && fix.mutate({ project, moref: vm.moref, item }, { onSuccess: done, onError: seen })}
        >
          {t("readiness.fix")}
        </Button>
      </DialogActions>
    </Frame>
  );
}

export function PasteDialog({ vm, project, guest, onRead, onClose }: Props & { guest: GuestView }) {
  const { t } = useTranslation();
  const paste = useCommand("guest_paste");
  const [output, setOutput] = useState("");
  const ready = output.trim() !== "" && !paste.isPending;
  const done = (view: GuestView) => {
    onRead(view);
    onClose();
  };
  return (
    <Frame title={t("readiness.pasteTitle", { name: vm.name })} busy={paste.isPending} onClose={onClose}>
      <DialogContent className={s.content} data-testid="paste-dialog">
        <p>{t(guest.system === "linux" ? "readiness.pasteLinux" : "readiness.pasteWindows", { name: vm.name })}</p>
        {guest.script ? (
          <Script title={t("readiness.script")} text={guest.script.text} testId="readiness-script" />
        ) : null}
        <Field label={t("readiness.output")} hint={t("readiness.outputHint")}>
          <Textarea
            rows={5}
            spellCheck={false}
            resize="vertical"
            className={s.output}
            data-testid="paste-output"
            value={output}
            onChange={(_, data) => {
              paste.reset();
              setOutput(data.value);
            }}
          />
        </Field>
        {paste.error ? <ErrorCard error={paste.error} /> : null}
      </DialogContent>
      <DialogActions>
        <Button onClick={onClose}>{t("common.cancel")}</Button>
        <Button
          appearance="primary"
          data-testid="paste"
          disabledFocusable={!ready}
          onClick={() => ready && paste.mutate({ project, moref: vm.moref, output }, { onSuccess: done })}
        >
          {t("readiness.paste")}
        </Button>
      </DialogActions>
    </Frame>
  );
}
