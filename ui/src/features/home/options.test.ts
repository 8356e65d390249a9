import { expect, it } from "vitest";
import type { FaultScript } from "../../host/gen/FaultScript";
import { choose, missing, USUAL } from "./options";

const script = (id: string, more: Partial<FaultScript> = {}): FaultScript => ({
  id,
  title: id,
  happens: "",
  admin: "",
  byItself: true,
  replication: null,
  databaseMethods: [],
  backups: null,
  source: "",
  ...more,
});
const any = script("any");
const cbt = script("cbt", { replication: "VMwareCbt" });
const dms = script("dms", { databaseMethods: ["DmsOffline", "DmsOnline"] });
const share = script("share", { databaseMethods: ["DmsOnline"], backups: "Share" });

it("says which methods a script would need", () => {
  expect(missing(any, USUAL)).toEqual([]);
  expect(missing(cbt, USUAL)).toEqual(["VMwareCbt"]);
  expect(missing(dms, USUAL)).toEqual(["DmsOffline", "DmsOnline"]);
  expect(missing(dms, { ...USUAL, databaseMethod: "DmsOnline" })).toEqual([]);
  expect(missing(share, USUAL)).toEqual(["DmsOnline"]);
  expect(missing(share, { ...USUAL, databaseMethod: "DmsOnline" })).toEqual(["Share"]);
  expect(missing(share, { ...USUAL, databaseMethod: "DmsOnline", backups: "Share" })).toEqual([]);
});

it("drops a script that the chosen methods leave without its object", () => {
  const withDms = { ...USUAL, databaseMethod: "DmsOnline", fault: "dms" } as const;
  expect(choose(withDms, { databaseMethod: "DmsOffline" }, [dms]).fault).toBe("dms");
  expect(choose(withDms, { databaseMethod: "LogReplay" }, [dms])).toEqual({ ...USUAL, fault: null });
  expect(choose(withDms, { speed: 60 }, [dms]).fault).toBe("dms");
});
