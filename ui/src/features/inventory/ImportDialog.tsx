// An inventory from a file: first what was read and what it would change, then the decision.
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
import { count } from "../../design/format";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { ImportPreview } from "../../host/gen/ImportPreview";
import { ChangesList, useChangeWords } from "./Changes";
import s from "./changes.module.css";

type Props = { project: string; preview: ImportPreview | null; onClose: () => void };

export function ImportDialog({ project, preview, onClose }: Props) {
  const { t } = useTranslation();
  const words = useChangeWords();
  const keep = useCommand("inventory_import");
  const close = () => {
    keep.reset();
    onClose();
  };
  return (
    <Dialog open={preview !== null} modalType="alert" onOpenChange={(_, data) => data.open || close()}>
      <DialogSurface className={s.dialog}>
        {preview ? (
          <DialogBody>
            <DialogTitle>{t("import.title", { file: preview.file })}</DialogTitle>
            <DialogContent className={s.content} data-testid="import-preview">
              <p>
                {t(preview.rvtools ? "import.rvtools" : "import.table", { n: count(preview.machines) })}{" "}
                {t("import.changes", { changes: words(preview.changes) })}
              </p>
              {preview.replaces && preview.changes.removed.length > 0 ? (
                <Notice title={t("import.replaces")}>
                  <p>{t("import.replacesText")}</p>
                </Notice>
              ) : null}
              {preview.refused.length > 0 ? (
                <section className={s.refused} data-testid="import-refused">
                  <h3>{t("import.refused", { count: preview.refusedCount })}</h3>
                  <ul>
                    {preview.refused.map((row) => (
                      <li key={`${row.sheet} ${row.line}`}>
                        <b>{t("import.line", { sheet: row.sheet, line: row.line })}</b> {row.reason}
                      </li>
                    ))}
                  </ul>
                  {preview.refusedCount > preview.refused.length ? (
                    <p className={s.muted}>
                      {t("changes.more", { n: count(preview.refusedCount - preview.refused.length) })}
                    </p>
                  ) : null}
                </section>
              ) : null}
              <ChangesList changes={preview.changes} />
              {keep.error ? <ErrorCard error={keep.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={close}>{t("common.cancel")}</Button>
              <Button
                appearance="primary"
                data-testid="import-keep"
                disabled={keep.isPending || preview.machines === 0}
                onClick={() => keep.mutate({ project }, { onSuccess: close })}
              >
                {t("import.keep", { n: count(preview.machines) })}
              </Button>
            </DialogActions>
          </DialogBody>
        ) : null}
      </DialogSurface>
    </Dialog>
  );
}
