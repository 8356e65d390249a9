// Who takes the backups of the source, where they are written, and what the last of them leaves behind.
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
  Radio,
  RadioGroup,
  SpinButton,
} from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { BackupDesign } from "../../host/gen/BackupDesign";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { SourceAfter } from "../../host/gen/SourceAfter";
import { ByChoice } from "./ByChoice";
import s from "./methods.module.css";

const USUAL: BackupDesign = { files: 1, differential: false, folder: "", sourceAfter: "restoring" };
const AFTER: SourceAfter[] = ["restoring", "readOnly"];
const MOST_FILES = 64;

export function BackupsDialog({ project, onClose }: { project: ProjectView; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useCommand("backups_save");
  const { backups, databaseMethod, dms } = project.design;
  const [byRehost, setByRehost] = useState(backups !== null);
  const [design, setDesign] = useState(backups ?? USUAL);
  const set = (patch: Partial<BackupDesign>) => setDesign((now) => ({ ...now, ...patch }));
  const connected = project.connections.connections.sql.server !== "";
  const fromShare = databaseMethod !== "LogReplay" && dms.source === "Share";
  return (
    <Dialog open onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.dialog}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (save.isPending) return;
            save.mutate({ project: project.path, backups: byRehost ? design : null }, { onSuccess: onClose });
          }}
        >
          <DialogBody>
            <DialogTitle>{t("backups.title")}</DialogTitle>
            <DialogContent className={s.dialogBody} data-testid="backups-dialog">
              <ByChoice value={byRehost} onChange={setByRehost} />
              {byRehost ? (
                <>
                  {connected ? null : <p className={s.text}>{t("backups.needs")}</p>}
                  {fromShare ? (
                    <p className={s.text}>{t("backups.share", { path: dms.sharePath })}</p>
                  ) : (
                    <Field label={t("backups.folder")} hint={t("backups.folderHint")}>
                      <Input
                        placeholder={"\\\\SERVER\\share\\folder"}
                        spellCheck={false}
                        data-testid="backups-folder"
                        value={design.folder}
                        onChange={(_, data) => set({ folder: data.value })}
                      />
                    </Field>
                  )}
                  <Field label={t("backups.files")} hint={t("backups.filesHint")}>
                    <SpinButton
                      className={s.number}
                      min={1}
                      max={MOST_FILES}
                      data-testid="backups-files"
                      value={design.files}
                      onChange={(_, data) => {
                        const files = data.value ?? Number(data.displayValue);
                        if (Number.isInteger(files)) set({ files: Math.min(MOST_FILES, Math.max(1, files)) });
                      }}
                    />
                  </Field>
                  <Checkbox
                    label={t("backups.differential")}
                    data-testid="backups-differential"
                    checked={design.differential}
                    onChange={(_, data) => set({ differential: data.checked === true })}
                  />
                  <Field label={t("backups.after")}>
                    <RadioGroup
                      layout="horizontal"
                      value={design.sourceAfter}
                      onChange={(_, data) => set({ sourceAfter: data.value as SourceAfter })}
                    >
                      {AFTER.map((after) => (
                        <Radio
                          key={after}
                          value={after}
                          label={t(`backups.${after}`)}
                          data-testid={`backups-${after}`}
                        />
                      ))}
                    </RadioGroup>
                  </Field>
                </>
              ) : null}
              {save.error ? <ErrorCard error={save.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.cancel")}</Button>
              <Button type="submit" appearance="primary" data-testid="backups-save" disabledFocusable={save.isPending}>
                {t("connect.save")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
