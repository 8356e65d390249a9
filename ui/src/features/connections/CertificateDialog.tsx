// Trust on first use, said plainly: what the server shows, and a warning when it is not what it was.
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
import { StatusIcon } from "../../design/StatusIcon";
import type { CertificateView } from "../../host/gen/CertificateView";
import s from "./connections.module.css";

type Props = {
  certificate: CertificateView | null;
  busy: boolean;
  onTrust: (sha256: string) => void;
  onClose: () => void;
};

export function CertificateDialog({ certificate, busy, onTrust, onClose }: Props) {
  const { t } = useTranslation();
  const changed = certificate?.changedFrom ?? null;
  return (
    <Dialog open={certificate !== null} modalType="alert" onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.dialog}>
        {certificate ? (
          <DialogBody>
            <DialogTitle>{t(changed ? "certificate.changedTitle" : "certificate.title")}</DialogTitle>
            <DialogContent className={s.form} data-testid="certificate">
              {changed ? (
                <p className={s.warning} data-mark="failed" role="alert" data-testid="certificate-changed">
                  <StatusIcon mark="failed" quiet />
                  <span>{t("certificate.changed")}</span>
                </p>
              ) : (
                <p>{t("certificate.text")}</p>
              )}
              <dl className={s.certificate}>
                <dt>{t("certificate.sha256")}</dt>
                <dd className={s.print}>{certificate.sha256}</dd>
                {changed ? (
                  <>
                    <dt>{t("certificate.before")}</dt>
                    <dd className={s.print}>{changed}</dd>
                  </>
                ) : null}
                <dt>{t("certificate.sha1")}</dt>
                <dd className={s.print}>{certificate.sha1}</dd>
                <dt>{t("certificate.subject")}</dt>
                <dd>{certificate.subject}</dd>
                <dt>{t("certificate.issuer")}</dt>
                <dd>{certificate.issuer}</dd>
                <dt>{t("certificate.valid")}</dt>
                <dd>{t("certificate.dates", { from: certificate.notBefore, to: certificate.notAfter })}</dd>
              </dl>
              <p className={s.note}>{t("certificate.how")}</p>
            </DialogContent>
            <DialogActions>
              <Button appearance={changed ? "primary" : "secondary"} onClick={onClose} data-testid="certificate-refuse">
                {t("certificate.refuse")}
              </Button>
              <Button
                appearance={changed ? "secondary" : "primary"}
                data-testid="certificate-trust"
                disabled={busy}
                onClick={() => onTrust(certificate.sha256)}
              >
                {t("certificate.trust")}
              </Button>
            </DialogActions>
          </DialogBody>
        ) : null}
      </DialogSurface>
    </Dialog>
  );
}
