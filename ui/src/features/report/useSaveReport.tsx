// Saving the report: the native dialog asks where; afterwards the window says what was written.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
} from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import s from "./report.module.css";

export function useSaveReport() {
  const { t } = useTranslation();
  const save = useCommand("report_save");
  const failed = save.error && save.error.code !== "cancelled" ? save.error : null;
  const saved = save.data ?? null;
  const dialog = (
    <Dialog open={saved !== null || failed !== null} onOpenChange={(_, data) => data.open || save.reset()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{t(failed ? "report.notSaved" : "report.saved")}</DialogTitle>
          <DialogContent>
            {failed ? <ErrorCard error={failed} /> : null}
            {saved ? (
              <dl className={s.files} data-testid="report-saved">
                <dt>{t("report.html")}</dt>
                <dd>{saved.html}</dd>
                <dt>{t("report.json")}</dt>
                <dd>{saved.json}</dd>
              </dl>
            ) : null}
          </DialogContent>
          <DialogActions>
            <Button appearance="primary" data-testid="report-close" onClick={() => save.reset()}>
              {t("common.close")}
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
  return { save: (project: string) => save.mutate({ project }), saving: save.isPending, dialog };
}
