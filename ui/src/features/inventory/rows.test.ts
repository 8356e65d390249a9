import { expect, it } from "vitest";
import type { Vm } from "../../host/gen/Vm";
import { filter, sort } from "./rows";

const vm = (name: string, more: Partial<Vm> = {}): Vm => ({
  moref: `vm-${name}`,
  name,
  instanceUuid: null,
  powerState: "poweredOn",
  connectionState: null,
  guestId: null,
  guestFullName: "Microsoft Windows Server 2016 (64-bit)",
  hostName: null,
  ipAddress: null,
  cpus: 2,
  memoryMib: 4096,
  diskCount: 1,
  nicCount: 1,
  storageBytes: 1,
  firmware: null,
  secureBoot: null,
  toolsStatus: null,
  template: false,
  host: "contosohost1.contoso.com",
  cluster: null,
  datacenter: null,
  details: null,
  readiness: null,
  ...more,
});
const vms = [
  vm("APP-10", { ipAddress: "10.0.0.10" }),
  vm("APP-2", { ipAddress: "10.0.0.9" }),
  vm("SQLVM", { cpus: 8 }),
];

it("finds machines by every word, in any field, ignoring case", () => {
  expect(filter(vms, "sqlvm 2016").map((v) => v.name)).toEqual(["SQLVM"]);
  expect(filter(vms, " ")).toHaveLength(3);
  expect(filter(vms, "linux")).toEqual([]);
});

it("sorts names and addresses as people count", () => {
  const names = (list: Vm[]) => list.map((v) => v.name);
  expect(names(sort(vms, { column: "name", descending: false }))).toEqual(["APP-2", "APP-10", "SQLVM"]);
  expect(names(sort(vms, { column: "ip", descending: true }))).toEqual(["APP-10", "APP-2", "SQLVM"]);
  expect(names(sort(vms, { column: "cpu", descending: true }))[0]).toBe("SQLVM");
});
