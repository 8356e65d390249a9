import { expect, it } from "vitest";
import type { Vm } from "../../host/gen/Vm";
import { machine } from "../../testing";
import { countOf, differs, filter, findingsOf, inOrder, remove, sort, upsert } from "./rows";

const vms = inOrder([
  machine("SQLVM", { cpus: 8 }),
  machine("APP-10", { ipAddress: "10.0.0.10" }),
  machine("APP-2", { ipAddress: "10.0.0.9" }),
]);
const names = (list: readonly Vm[]) => list.map((v) => v.name);

it("finds machines by every word, in any field, ignoring case", () => {
  expect(names(filter(vms, "sqlvm 2016"))).toEqual(["SQLVM"]);
  expect(filter(vms, " ")).toHaveLength(3);
  expect(filter(vms, "linux")).toEqual([]);
});

it("sorts names and addresses as people count, and what is equal by name", () => {
  expect(names(sort(vms, { column: "name", descending: false }))).toEqual(["APP-2", "APP-10", "SQLVM"]);
  expect(names(sort(vms, { column: "name", descending: true }))).toEqual(["SQLVM", "APP-10", "APP-2"]);
  expect(names(sort(vms, { column: "ip", descending: true }))).toEqual(["APP-10", "APP-2", "SQLVM"]);
  expect(names(sort(vms, { column: "cpu", descending: true }))).toEqual(["SQLVM", "APP-2", "APP-10"]);
});

it("keeps the order when machines come, change and go", () => {
  const more = upsert(vms, [machine("APP-3"), machine("SQLVM", { cpus: 16 })]);
  expect(names(more)).toEqual(["APP-2", "APP-3", "APP-10", "SQLVM"]);
  expect(more.at(-1)?.cpus).toBe(16);
  expect(more[0]).toBe(vms[0]);
  expect(names(remove(more, ["vm-APP-3", "vm-none"]))).toEqual(["APP-2", "APP-10", "SQLVM"]);
});

it("tells changes that people see from those that happen all the time", () => {
  const before = machine("A");
  expect(differs(before, { ...before, storageBytes: 7 })).toBe(false);
  expect(differs(before, { ...before, powerState: "poweredOff" })).toBe(true);
  expect(differs(undefined, before)).toBe(true);
});

it("puts what stops a method first, and counts by severity", () => {
  const finding = (rule: string, severity: "information" | "warning" | "blocking") => ({
    rule,
    severity,
    about: "A",
    title: rule,
    detail: "",
    who: "",
    command: "",
    source: "",
  });
  const judged = {
    moref: "vm-A",
    methods: [
      {
        method: "VMwareCbt" as const,
        findings: [finding("i", "information"), finding("b", "blocking"), finding("w", "warning")],
      },
    ],
  };
  const found = findingsOf(judged, "VMwareCbt");
  expect(found.map((f) => f.rule)).toEqual(["b", "w", "i"]);
  expect(countOf(found)).toEqual({ blocking: 1, warning: 1, information: 1 });
  expect(findingsOf(judged, "InMageRcm")).toEqual([]);
});
