import { expect, it } from "vitest";
import type { CertificateView } from "../../host/gen/CertificateView";
import { compare, lines, validity } from "./certificate";

const now: CertificateView = {
  sha256: "AA:BB",
  sha1: "CC",
  subject: "CN=vcenter",
  names: ["vcenter", "10.0.0.5"],
  issuer: "CN=CA",
  notBefore: "2026-11-20T00:00:00Z",
  notAfter: "2028-11-19T00:00:00Z",
  changedFrom: null,
};
const before = {
  ...now,
  sha256: "AA:00",
  sha1: "00",
  notBefore: "2024-11-20T00:00:00Z",
  notAfter: "2026-12-19T00:00:00Z",
};

it("tells a renewal from another certificate", () => {
  const renewal = compare({ ...before, names: ["10.0.0.5", "vcenter"] }, now);
  expect(renewal.like).toBe("renewal");
  expect([...renewal.differs]).toEqual(["sha256", "sha1", "notBefore", "notAfter"]);
  const other = compare({ ...before, issuer: "CN=Other", names: ["vcenter"] }, now);
  expect([other.like, other.unkept]).toEqual(["unlike", ["names", "issuer"]]);
  // An older one is no renewal, whatever it says of itself.
  const older = compare({ ...before, notAfter: "2030-01-01T00:00:00Z" }, now);
  expect([older.like, older.unkept]).toEqual(["unlike", ["notAfter"]]);
  const print = { sha256: "AA:00", sha1: "", subject: "", names: [], issuer: "", notBefore: "", notAfter: "" };
  expect([...compare(print, now).differs]).toEqual(["sha256"]);
  expect(compare(print, now).like).toBe("unknown");
});

it("knows whose time has passed", () => {
  expect(validity(now, Date.parse("2027-01-01"))).toBe("valid");
  expect(validity(now, Date.parse("2029-01-01"))).toBe("expired");
  expect(validity(now, Date.parse("2025-01-01"))).toBe("notYet");
});

it("breaks fingerprints after eight bytes", () => {
  expect(lines(Array(20).fill("AB").join(":"))).toEqual(["AB:".repeat(8), "AB:".repeat(8), "AB:AB:AB:AB"]);
  expect(lines("")).toEqual([]);
});
