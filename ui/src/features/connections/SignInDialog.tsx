// While a person signs in elsewhere: in the browser of this computer, or with a code in any other one.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Spinner,
} from "@fluentui/react-components";
import { CopyRegular, OpenRegular } from "@fluentui/react-icons";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useCopy } from "../../design/useCopy";
import { useCommand } from "../../host";
import { countdown, halves, type Progress } from "./signIn";
import s from "./connections.module.css";

type Props = { project: string; progress: Progress | null; onCancel: () => void };

export function SignInDialog({ project, progress, onCancel }: Props) {
  return (
    <Dialog open={progress !== null} modalType="modal" onOpenChange={(_, data) => data.open || onCancel()}>
      <DialogSurface className={s.signIn}>
        {progress ? <Body project={project} progress={progress} onCancel={onCancel} /> : null}
      </DialogSurface>
    </Dialog>
  );
}

function Body({ project, progress, onCancel }: Props & { progress: Progress }) {
  const { t } = useTranslation();
  const page = useCommand("sign_in_page");
  const [copied, copy] = useCopy();
  const { at, secondsLeft } = progress;
  const code = at?.by === "deviceCode" ? at.code : null;
  const stuck = at?.by === "browser" && !at.opened;
  return (
    <DialogBody>
      <DialogTitle>{t(code ? "signIn.codeTitle" : "signIn.title")}</DialogTitle>
      <DialogContent className={s.signInBody} data-testid="sign-in">
        {at === null ? (
          <p>{t("signIn.starting")}</p>
        ) : code ? (
          <>
            <p>{t("signIn.codeText")}</p>
            <p className={s.address}>{at.url}</p>
            <div className={s.code}>
              <output className={s.codeText} data-testid="device-code" aria-label={t("signIn.code")}>
                {halves(code)}
              </output>
              <Button icon={<CopyRegular />} data-testid="copy-code" onClick={() => copy(code)}>
                {t(copied ? "task.copied" : "signIn.copyCode")}
              </Button>
            </div>
          </>
        ) : (
          <>
            <p role={stuck ? "alert" : undefined}>{t(stuck ? "signIn.notOpened" : "signIn.text")}</p>
            {stuck ? (
              <p className={s.longAddress} tabIndex={0}>
                {at.url}
              </p>
            ) : null}
            <p className={s.note}>{t("signIn.safe")}</p>
          </>
        )}
        <div className={s.waiting}>
          <Spinner size="tiny" aria-hidden />
          <span>{t("signIn.waiting")}</span>
          {secondsLeft === null ? null : (
            <span className={`${s.timeLeft} num`} role="timer" aria-live="off">
              {t("signIn.left", { time: countdown(secondsLeft) })}
            </span>
          )}
        </div>
        {page.error ? <ErrorCard error={page.error} /> : null}
      </DialogContent>
      <DialogActions>
        <Button data-testid="sign-in-cancel" onClick={onCancel}>
          {t("common.cancel")}
        </Button>
        {at?.by === "browser" ? (
          <Button
            appearance={stuck ? "primary" : "secondary"}
            icon={<CopyRegular />}
            data-testid="copy-address"
            onClick={() => copy(at.url)}
          >
            {t(copied ? "task.copied" : "signIn.copyAddress")}
          </Button>
        ) : null}
        <Button
          appearance={code ? "primary" : "secondary"}
          icon={<OpenRegular />}
          data-testid="sign-in-page"
          disabledFocusable={at === null || page.isPending}
          onClick={() => at === null || page.isPending || page.mutate({ project })}
        >
          {t(code ? "signIn.open" : "signIn.openAgain")}
        </Button>
      </DialogActions>
    </DialogBody>
  );
}
