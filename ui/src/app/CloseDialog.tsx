// Asked by the shell when the window is closed while a run goes on.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
} from "@fluentui/react-components";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useCommand, useHost } from "../host";
import type { CloseQuestion } from "../host/gen/CloseQuestion";
import s from "./app.module.css";

export function CloseDialog() {
  const { t } = useTranslation();
  const host = useHost();
  const [question, setQuestion] = useState<CloseQuestion | null>(null);
  const closeWindow = useCommand("close_window");
  useEffect(() => host.onCloseAsked(setQuestion), [host]);
  return (
    <Dialog open={question !== null} modalType="alert" onOpenChange={(_, { open }) => open || setQuestion(null)}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{t("close.title")}</DialogTitle>
          <DialogContent>
            <p>{t("close.text")}</p>
            {question && question.goesOn.length > 0 ? (
              <>
                <p className={s.lead}>{t("close.goesOn")}</p>
                <ul className={s.bullets}>
                  {question.goesOn.map((line) => (
                    <li key={line}>{line}</li>
                  ))}
                </ul>
              </>
            ) : null}
          </DialogContent>
          <DialogActions>
            <Button appearance="primary" data-testid="close-keep" onClick={() => setQuestion(null)}>
              {t("close.keep")}
            </Button>
            <Button data-testid="close-now" disabled={closeWindow.isPending} onClick={() => closeWindow.mutate({})}>
              {t("close.now")}
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
