// Where the application's configuration is in the machine, and by what one sees that the site works.
import {
  Button,
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
} from "@fluentui/react-components";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { ProjectView } from "../../host/gen/ProjectView";
import s from "./methods.module.css";

export function ApplicationDialog({ project, onClose }: { project: ProjectView; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useCommand("application_save");
  const { design } = project;
  const [webConfig, setWebConfig] = useState(design.webConfig);
  const [connectionStringName, setName] = useState(design.connectionStringName);
  const [siteText, setSiteText] = useState(design.siteText);
  const [byPerson, setByPerson] = useState(design.switchedByPerson);
  return (
    <Dialog open onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.dialog}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (save.isPending) return;
            save.mutate(
              { project: project.path, webConfig, connectionStringName, siteText, byPerson },
              { onSuccess: onClose },
            );
          }}
        >
          <DialogBody>
            <DialogTitle>{t("application.title")}</DialogTitle>
            <DialogContent className={s.dialogBody} data-testid="application-dialog">
              <p className={s.text}>{t("application.text")}</p>
              <Field label={t("application.config")} required>
                <Input
                  spellCheck={false}
                  data-testid="application-config"
                  value={webConfig}
                  onChange={(_, data) => setWebConfig(data.value)}
                />
              </Field>
              <Field label={t("application.name")} hint={t("application.nameHint")}>
                <Input
                  spellCheck={false}
                  data-testid="application-name"
                  value={connectionStringName}
                  onChange={(_, data) => setName(data.value)}
                />
              </Field>
              <Field label={t("application.siteText")} hint={t("application.siteTextHint")}>
                <Input
                  data-testid="application-text"
                  value={siteText}
                  onChange={(_, data) => setSiteText(data.value)}
                />
              </Field>
              <Field
                label={t("application.by")}
                hint={t(byPerson ? "application.personText" : "application.rehostText")}
              >
                <RadioGroup
                  layout="horizontal"
                  value={byPerson ? "person" : "rehost"}
                  onChange={(_, data) => setByPerson(data.value === "person")}
                >
                  <Radio value="rehost" label={t("backups.rehost")} />
                  <Radio value="person" label={t("backups.person")} data-testid="application-by-person" />
                </RadioGroup>
              </Field>
              {save.error ? <ErrorCard error={save.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.cancel")}</Button>
              <Button
                type="submit"
                appearance="primary"
                data-testid="application-save"
                disabledFocusable={save.isPending}
              >
                {t("connect.save")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
