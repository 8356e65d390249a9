// How the certificate that a vCenter presents compares with the one that was trusted before. Pure.
import type { CertificateView } from "../../host/gen/CertificateView";
import type { PinnedCertificate } from "../../host/gen/PinnedCertificate";

/** What of a certificate is compared, in the order in which it is shown. */
export const PARTS = ["sha256", "sha1", "subject", "names", "issuer", "notBefore", "notAfter"] as const;
export type Part = (typeof PARTS)[number];

/** What a renewal by the same authority keeps. */
const KEPT: readonly Part[] = ["subject", "names", "issuer"];

const text = (certificate: PinnedCertificate, part: Part): string => {
  const value = certificate[part];
  return typeof value === "string" ? value : value.toSorted().join(", ");
};

export type Comparison = {
  differs: ReadonlySet<Part>;
  /** `renewal`: only what a renewal changes. `unlike`: more than that. `unknown`: only the fingerprint was kept. */
  like: "renewal" | "unlike" | "unknown";
  /** What a renewal would have kept, and did not. */
  unkept: Part[];
};

export function compare(before: PinnedCertificate, now: CertificateView): Comparison {
  if (before.notAfter === "") return { differs: new Set(["sha256"]), like: "unknown", unkept: [] };
  const presented: PinnedCertificate = now;
  const differs = new Set(PARTS.filter((part) => text(before, part) !== text(presented, part)));
  const unkept = KEPT.filter((part) => differs.has(part));
  const later = Date.parse(now.notAfter) > Date.parse(before.notAfter);
  return {
    differs,
    like: unkept.length === 0 && later ? "renewal" : "unlike",
    unkept: later ? unkept : [...unkept, "notAfter"],
  };
}

/** Whether a certificate's time has passed, or has not come yet. */
export function validity(certificate: PinnedCertificate, now: number): "valid" | "expired" | "notYet" {
  if (Date.parse(certificate.notAfter) < now) return "expired";
  return Date.parse(certificate.notBefore) > now ? "notYet" : "valid";
}

/** A fingerprint in lines of eight bytes, so that two of them can be compared by eye. */
export const lines = (print: string): string[] => print.match(/(?:[^:]+:?){1,8}/g) ?? [];
