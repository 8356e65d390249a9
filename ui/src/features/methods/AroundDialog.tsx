// What is moved beside the database, and how it is proved that the database arrived.
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
  Radio,
  RadioGroup,
  Textarea,
} from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { AroundKind } from "../../host/gen/AroundKind";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { RowCount } from "../../host/gen/RowCount";
import s from "./methods.module.css";

/** In the order in which they are made. */
const KINDS: AroundKind[] = ["logins", "roles", "credentials", "linkedServers", "users", "jobs"];
const COUNTS: RowCount[] = ["counted", "metadata"];

/** A list as lines of text, and back: names may hold everything else. */
const lines = (all: string[]) => all.join("\n");
const list = (text: string) =>
  text
    .split("\n")
    .map((part) => part.trim())
    .filter((part) => part !== "");
const pairs = (text: string) =>
  Object.fromEntries(
    list(text)
      .map((pair) => pair.split("=").map((part) => part.trim()))
      .filter(([domain, entra]) => domain && entra),
  ) as Record<string, string>;

type LinesProps = { label: string; example: string; testId: string; value: string; onChange: (value: string) => void };

function Lines({ label, example, testId, value, onChange }: LinesProps) {
  const { t } = useTranslation();
  return (
    <Field label={label} hint={t("around.lines")}>
      <Textarea
        placeholder={example}
        spellCheck={false}
        data-testid={testId}
        value={value}
        onChange={(_, data) => onChange(data.value)}
      />
    </Field>
  );
}

type Props = { project: ProjectView; onClose: () => void; onConnect: () => void };

export function AroundDialog({ project, onClose, onConnect }: Props) {
  const { t } = useTranslation();
  const save = useCommand("around_save");
  const { around, prove } = project.design;
  const [certificate, setCertificate] = useState(project.design.certificate);
  const [kinds, setKinds] = useState<AroundKind[]>(around?.kinds ?? []);
  const [leaveOut, setLeaveOut] = useState(lines(around?.leaveOut ?? []));
  const [domains, setDomains] = useState(
    lines(Object.entries(around?.domains ?? {}).map(([domain, entra]) => `${domain}=${entra}`)),
  );
  const [proved, setProved] = useState(prove !== null);
  const [rows, setRows] = useState<RowCount>(prove?.rows ?? "counted");
  const [checksums, setChecksums] = useState(lines(prove?.checksums ?? []));
  const [checkdb, setCheckdb] = useState(prove?.checkdb ?? false);
  const look = useCommand("around_look");
  const chosen = { kinds, leaveOut: list(leaveOut), domains: pairs(domains) };
  const { sql, managed } = project.connections.connections;
  const connected = sql.server !== "";
  const toConnections = (
    <div>
      <Button size="small" data-testid="around-connect" onClick={onConnect}>
        {t("around.connect")}
      </Button>
    </div>
  );
  return (
    <Dialog open onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.dialog}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (save.isPending) return;
            save.mutate(
              {
                project: project.path,
                around: kinds.length ? chosen : null,
                prove: proved ? { rows, checksums: list(checksums), checkdb } : null,
                certificate,
              },
              { onSuccess: onClose },
            );
          }}
        >
          <DialogBody>
            <DialogTitle>{t("around.title")}</DialogTitle>
            <DialogContent className={s.dialogBody} data-testid="around-dialog">
              {connected ? (
                <>
                  <p className={s.text}>{t("around.text")}</p>
                  <p className={s.text} data-testid="around-servers">
                    {t(`around.signsIn.${managed.signIn}`, {
                      server: sql.server,
                      instance: project.design.mi.name,
                      login: project.design.mi.adminLogin,
                    })}
                  </p>
                  {toConnections}
                  <Field hint={t("around.certificateText", { instance: project.design.mi.name })}>
                    <Checkbox
                      label={t("around.certificate")}
                      data-testid="around-certificate"
                      checked={certificate}
                      onChange={(_, data) => setCertificate(data.checked === true)}
                    />
                  </Field>
                </>
              ) : (
                <Notice title={t("around.missing")}>
                  <p data-testid="around-missing">{t("around.needs")}</p>
                  {toConnections}
                </Notice>
              )}
              <Checkbox
                label={t("around.move")}
                data-testid="around-all"
                checked={kinds.length === KINDS.length ? true : kinds.length > 0 ? "mixed" : false}
                onChange={(_, data) => setKinds(data.checked === true ? KINDS : [])}
              />
              {kinds.length ? (
                <>
                  <div className={s.pairs}>
                    {KINDS.map((kind) => (
                      <Checkbox
                        key={kind}
                        label={t(`around.kind.${kind}`)}
                        data-testid={`around-${kind}`}
                        checked={kinds.includes(kind)}
                        onChange={(_, data) =>
                          setKinds(KINDS.filter((k) => (k === kind ? data.checked === true : kinds.includes(k))))
                        }
                      />
                    ))}
                  </div>
                  {connected ? (
                    <Button
                      size="small"
                      className={s.more}
                      data-testid="around-look"
                      disabledFocusable={look.isPending}
                      onClick={() => look.mutate({ project: project.path, around: chosen })}
                    >
                      {t("around.look")}
                    </Button>
                  ) : null}
                  {look.error ? <ErrorCard error={look.error} /> : null}
                  {look.data ? (
                    <ul className={s.objects} data-testid="around-objects">
                      {look.data.length === 0 ? <li>{t("around.none")}</li> : null}
                      {look.data.map((o) => (
                        <li key={o.id}>
                          {o.whyNot ? (
                            <b>{o.id}</b>
                          ) : (
                            <Checkbox
                              label={o.id}
                              checked={kinds.includes(o.kind) && !chosen.leaveOut.includes(o.id)}
                              disabled={!kinds.includes(o.kind)}
                              onChange={(_, data) =>
                                setLeaveOut(
                                  lines([
                                    ...chosen.leaveOut.filter((id) => id !== o.id),
                                    ...(data.checked === true ? [] : [o.id]),
                                  ]),
                                )
                              }
                            />
                          )}
                          {[o.whyNot, ...o.remarks].map((text) => (text ? <span key={text}>{text}</span> : null))}
                          {o.statement ? <code>{o.statement}</code> : null}
                        </li>
                      ))}
                    </ul>
                  ) : null}
                  <Lines
                    label={t("around.leaveOut")}
                    example={lines(["logins/svc-old", "jobs/Nightly report"])}
                    testId="around-leave-out"
                    value={leaveOut}
                    onChange={setLeaveOut}
                  />
                  <Lines
                    label={t("around.domains")}
                    example="CONTOSO=contoso.com"
                    testId="around-domains"
                    value={domains}
                    onChange={setDomains}
                  />
                </>
              ) : null}
              <Checkbox
                label={t("around.prove")}
                data-testid="around-prove"
                checked={proved}
                onChange={(_, data) => setProved(data.checked === true)}
              />
              {proved ? (
                <>
                  <Field label={t("around.count")} hint={t(`around.${rows}Text`)}>
                    <RadioGroup
                      layout="horizontal"
                      value={rows}
                      onChange={(_, data) => setRows(data.value as RowCount)}
                    >
                      {COUNTS.map((count) => (
                        <Radio key={count} value={count} label={t(`around.${count}`)} data-testid={`around-${count}`} />
                      ))}
                    </RadioGroup>
                  </Field>
                  <Lines
                    label={t("around.checksums")}
                    example={lines(["dbo.Hotels", "dbo.Bookings"])}
                    testId="around-checksums"
                    value={checksums}
                    onChange={setChecksums}
                  />
                  <Checkbox
                    label={t("around.checkdb")}
                    data-testid="around-checkdb"
                    checked={checkdb}
                    onChange={(_, data) => setCheckdb(data.checked === true)}
                  />
                </>
              ) : null}
              {save.error ? <ErrorCard error={save.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.cancel")}</Button>
              <Button type="submit" appearance="primary" data-testid="around-save" disabledFocusable={save.isPending}>
                {t("connect.save")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
