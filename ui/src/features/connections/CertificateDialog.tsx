// Trust on first use, said plainly: what the server shows; and when it is not what it was, both side by side and what differs.
// The safe choice is the first that can have the focus, so that the dialog gives it that.
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
import { day } from "../../design/format";
import { StatusIcon } from "../../design/StatusIcon";
import type { CertificateView } from "../../host/gen/CertificateView";
import type { PinnedCertificate } from "../../host/gen/PinnedCertificate";
import { compare, lines, type Part, PARTS, validity } from "./certificate";
import s from "./connections.module.css";

type Props = {
  certificate: CertificateView | null;
  busy: boolean;
  onTrust: (sha256: string) => void;
  onClose: () => void;
};

const LABEL = {
  sha256: "certificate.sha256",
  sha1: "certificate.sha1",
  subject: "certificate.subject",
  names: "certificate.names",
  issuer: "certificate.issuer",
  notBefore: "certificate.from",
  notAfter: "certificate.until",
} as const satisfies Record<Part, string>;

export function CertificateDialog({ certificate, busy, onTrust, onClose }: Props) {
  const { t } = useTranslation();
  const changed = certificate?.changedFrom ?? null;
  return (
    <Dialog open={certificate !== null} modalType="alert" onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={changed ? s.wideDialog : s.dialog}>
        {certificate ? (
          <DialogBody>
            <DialogTitle>{t(changed ? "certificate.changedTitle" : "certificate.title")}</DialogTitle>
            <DialogContent className={s.form} data-testid="certificate" data-changed={changed !== null}>
              {changed ? <Changed before={changed} now={certificate} /> : <Unknown certificate={certificate} />}
              <p className={s.note}>{t("certificate.how")}</p>
            </DialogContent>
            <DialogActions>
              <Button appearance={changed ? "primary" : "secondary"} onClick={onClose} data-testid="certificate-refuse">
                {t("certificate.refuse")}
              </Button>
              <Button
                appearance={changed ? "secondary" : "primary"}
                data-testid="certificate-trust"
                disabledFocusable={busy}
                onClick={() => busy || onTrust(certificate.sha256)}
              >
                {t(changed ? "certificate.trustNew" : "certificate.trust")}
              </Button>
            </DialogActions>
          </DialogBody>
        ) : null}
      </DialogSurface>
    </Dialog>
  );
}

function Unknown({ certificate }: { certificate: CertificateView }) {
  const { t } = useTranslation();
  return (
    <>
      <p>{t("certificate.text")}</p>
      <dl className={s.certificate}>
        {PARTS.map((part) => (
          <div key={part}>
            <dt>{t(LABEL[part])}</dt>
            <dd>
              <Value certificate={certificate} part={part} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Changed({ before, now }: { before: PinnedCertificate; now: CertificateView }) {
  const { t } = useTranslation();
  const { differs, like, unkept } = compare(before, now);
  const what = unkept.map((part) => t(LABEL[part]).toLowerCase()).join(", ");
  return (
    <>
      <p className={s.warning} data-mark="failed" role="alert" data-testid="certificate-changed">
        <StatusIcon mark="failed" quiet />
        <span>{t("certificate.changed")}</span>
      </p>
      <table className={s.compare}>
        <thead>
          <tr>
            <td />
            <th scope="col">{t("certificate.before")}</th>
            <th scope="col">{t("certificate.now")}</th>
          </tr>
        </thead>
        <tbody>
          {PARTS.map((part) => (
            <tr key={part} data-part={part} data-differs={differs.has(part)}>
              <th scope="row">
                {t(LABEL[part])}
                {like === "unknown" && part !== "sha256" ? null : (
                  <small>{t(differs.has(part) ? "certificate.other" : "certificate.same")}</small>
                )}
              </th>
              <td>
                <Value certificate={before} part={part} />
              </td>
              <td>
                <Value certificate={now} part={part} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p data-testid="certificate-like" data-like={like}>
        {like === "renewal" ? t("certificate.renewal") : null}
        {like === "unlike" ? t("certificate.unlike", { what }) : null}
        {like === "unknown" ? t("certificate.unknownBefore") : null}
      </p>
    </>
  );
}

function Value({ certificate, part }: { certificate: PinnedCertificate; part: Part }) {
  const { t } = useTranslation();
  // When the dialog was opened: it does not change while somebody reads.
  const [now] = useState(() => Date.now());
  const kept = certificate.notAfter !== "";
  if (part === "sha256" || (part === "sha1" && kept)) {
    return (
      <span className={s.print}>
        {lines(certificate[part]).map((line) => (
          <span key={line}>{line}</span>
        ))}
      </span>
    );
  }
  if (!kept) return <span className={s.absent}>{t("certificate.notKept")}</span>;
  if (part === "names") {
    return certificate.names.length > 0 ? (
      certificate.names.join(", ")
    ) : (
      <span className={s.absent}>{t("certificate.noNames")}</span>
    );
  }
  if (part !== "notBefore" && part !== "notAfter") return certificate[part];
  const state = validity(certificate, now);
  const wrong = (state === "expired" && part === "notAfter") || (state === "notYet" && part === "notBefore");
  return (
    <>
      {day(certificate[part])}
      {wrong ? <b className={s.wrong}> {t(`certificate.${state}`)}</b> : null}
    </>
  );
}
