// Forgets the account or the application's secret. While a run goes on that is asked about first: the run needs it.
import {
  Button,
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
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { ProjectView } from "../../host/gen/ProjectView";
import s from "./connections.module.css";

type Props = { project: ProjectView; onOut: (connections: ConnectionsView) => void };

export function SignOut({ project, onOut }: Props) {
  const { t } = useTranslation();
  const [asking, setAsking] = useState(false);
  const signOut = useCommand("sign_out");
  const close = () => {
    setAsking(false);
    signOut.reset();
  };
  const leave = () => {
    if (signOut.isPending) return;
    signOut.mutate(
      { project: project.path },
      {
        onSuccess: (next) => {
          close();
          onOut(next);
        },
        // Its error has its place in the dialog.
        onError: () => setAsking(true),
      },
    );
  };
  return (
    <>
      <Button
        appearance="subtle"
        className={s.quiet}
        data-testid="sign-out"
        disabledFocusable={signOut.isPending}
        onClick={() => (project.live ? setAsking(true) : leave())}
      >
        {t("connect.azure.signOut")}
      </Button>
      <Dialog open={asking} modalType="alert" onOpenChange={(_, data) => data.open || close()}>
        <DialogSurface>
          <DialogBody>
            <DialogTitle>{t(project.live ? "signOut.title" : "connect.azure.signOut")}</DialogTitle>
            <DialogContent className={s.signInBody}>
              {project.live ? <p>{t("signOut.text")}</p> : null}
              {signOut.error ? <ErrorCard error={signOut.error} /> : null}
            </DialogContent>
            <DialogActions>
              <Button appearance="primary" data-testid="sign-out-stay" onClick={close}>
                {t("signOut.stay")}
              </Button>
              <Button data-testid="sign-out-confirm" disabledFocusable={signOut.isPending} onClick={leave}>
                {t("connect.azure.signOut")}
              </Button>
            </DialogActions>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </>
  );
}
