// What Azure Database Migration Service needs to know: where the backups are, and how it reads them.
import {
  Button,
  Checkbox,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
} from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { DmsDesign } from "../../host/gen/DmsDesign";
import type { ProjectView } from "../../host/gen/ProjectView";
import { SecretField, TextField } from "../connections/fields";
import { BackupsChoice } from "./BackupsChoice";
import s from "./methods.module.css";

type TextName = { [K in keyof DmsDesign]: DmsDesign[K] extends string ? K : never }[keyof DmsDesign];

export function DmsDialog({ project, onClose }: { project: ProjectView; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useCommand("dms_save");
  const [dms, setDms] = useState(project.design.dms);
  const [sqlPassword, setSqlPassword] = useState("");
  const [sharePassword, setSharePassword] = useState("");
  const set = (patch: Partial<DmsDesign>) => setDms((now) => ({ ...now, ...patch }));
  const text = (name: Exclude<TextName, "source">, example?: string) => (
    <TextField
      label={t(`dms.${name}`)}
      testId={`dms-${name}`}
      {...(example ? { example } : {})}
      value={dms[name]}
      onChange={(value) => set({ [name]: value })}
    />
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
                dms,
                sqlPassword: sqlPassword || null,
                sharePassword: sharePassword || null,
              },
              { onSuccess: onClose },
            );
          }}
        >
          <DialogBody>
            <DialogTitle>{t("dms.title")}</DialogTitle>
            <DialogContent className={s.dialogBody} data-testid="dms-dialog">
              {text("service")}
              <BackupsChoice value={dms.source} onChange={(source) => set({ source })} />
              {dms.source === "Blob" ? (
                <>
                  {text("identity")}
                  {dms.identity ? text("identityPrincipal") : null}
                </>
              ) : (
                <>
                  <div className={s.pairs}>
                    {text("sharePath", "\\\\SERVER\\share\\folder")}
                    {text("runtimeHost")}
                    {text("shareUser", "DOMAIN\\user")}
                    <SecretField
                      label={t("dms.sharePassword")}
                      testId="dms-share-password"
                      stored={project.connections.sharePasswordStored}
                      value={sharePassword}
                      onChange={setSharePassword}
                    />
                    {text("sqlServer")}
                    {text("sqlUser")}
                    <SecretField
                      label={t("dms.sqlPassword")}
                      testId="dms-sql-password"
                      stored={project.connections.dmsPasswordStored}
                      value={sqlPassword}
                      onChange={setSqlPassword}
                    />
                  </div>
                  <Checkbox
                    label={t("dms.sqlTrustCertificate")}
                    checked={dms.sqlTrustCertificate}
                    onChange={(_, data) => set({ sqlTrustCertificate: data.checked === true })}
                  />
                </>
              )}
              {save.error ? <ErrorCard error={save.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.cancel")}</Button>
              <Button type="submit" appearance="primary" data-testid="dms-save" disabledFocusable={save.isPending}>
                {t("connect.save")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
