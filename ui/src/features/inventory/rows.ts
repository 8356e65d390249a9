// Keeping, filtering and sorting of thousands of machines. Pure; the table shows what comes out. Lists are kept in the order
// of their names, so that other orders need no second key and a change costs one pass.
import type { Finding } from "../../host/gen/Finding";
import type { FieldChange } from "../../host/gen/FieldChange";
import type { ReplicationMethod } from "../../host/gen/ReplicationMethod";
import type { Severity } from "../../host/gen/Severity";
import type { Vm } from "../../host/gen/Vm";
import type { VmFindings } from "../../host/gen/VmFindings";

export type Column = "name" | "power" | "os" | "cpu" | "memory" | "disks" | "ip" | "host" | "tools";
export type Sort = { column: Column; descending: boolean };

export const COLUMNS: Column[] = ["name", "power", "os", "cpu", "memory", "disks", "ip", "host", "tools"];

/** What stays beside an open panel. */
export const FEW_COLUMNS: Column[] = COLUMNS.filter((column) => column !== "host" && column !== "tools");

/** Morefs of machines that came from a file without them begin so; vCenter doesn't know them. */
export const IMPORTED = "import/";

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const addresses = (ip: string | null) => (ip ?? "").split(".").reduce((n, part) => n * 256 + (Number(part) || 0), 0);
const byName = (a: Vm, b: Vm) => names.compare(a.name, b.name);

const COMPARE: Record<Exclude<Column, "name">, (a: Vm, b: Vm) => number> = {
  power: (a, b) => names.compare(a.powerState, b.powerState),
  os: (a, b) => names.compare(a.guestFullName ?? "", b.guestFullName ?? ""),
  cpu: (a, b) => a.cpus - b.cpus,
  memory: (a, b) => a.memoryMib - b.memoryMib,
  disks: (a, b) => diskSize(a) - diskSize(b),
  ip: (a, b) => addresses(a.ipAddress) - addresses(b.ipAddress),
  host: (a, b) => names.compare(a.host ?? "", b.host ?? ""),
  tools: (a, b) => names.compare(a.toolsStatus ?? "", b.toolsStatus ?? ""),
};

/** Bytes of all disks; of the datastores where the capacities are not known yet. */
export function diskSize(vm: Vm): number {
  return vm.details ? vm.details.disks.reduce((sum, d) => sum + d.capacityBytes, 0) : vm.storageBytes;
}

/** A list in the order of names. */
export const inOrder = (vms: readonly Vm[]): Vm[] => [...vms].sort(byName);

/** A list in the order of names with these machines new or changed. */
export function upsert(list: readonly Vm[], vms: readonly Vm[]): Vm[] {
  const fresh = new Map(vms.map((vm) => [vm.moref, vm]));
  const kept = list.map((vm) => {
    const now = fresh.get(vm.moref);
    fresh.delete(vm.moref);
    return now ?? vm;
  });
  return [...kept, ...fresh.values()].sort(byName);
}

export function remove(list: readonly Vm[], morefs: readonly string[]): Vm[] {
  const gone = new Set(morefs);
  return list.filter((vm) => !gone.has(vm.moref));
}

/** What the filter looks at, made once for each machine. */
const hays = new WeakMap<Vm, string>();
function hay(vm: Vm): string {
  let text = hays.get(vm);
  if (text === undefined) {
    text =
      `${vm.name} ${vm.guestFullName ?? ""} ${vm.hostName ?? ""} ${vm.ipAddress ?? ""} ${vm.host ?? ""} ${vm.cluster ?? ""} ${vm.datacenter ?? ""} ${vm.powerState}`.toLowerCase();
    hays.set(vm, text);
  }
  return text;
}

/** Every word of the filter must occur somewhere in name, system, address, host, cluster or state. */
export function filter(vms: readonly Vm[], text: string): readonly Vm[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return vms;
  return vms.filter((vm) => words.every((word) => hay(vm).includes(word)));
}

/** Sorts a list that is in the order of names. */
export function sort(vms: readonly Vm[], { column, descending }: Sort): readonly Vm[] {
  if (column === "name") return descending ? vms.toReversed() : vms;
  const compare = COMPARE[column];
  return vms.toSorted(descending ? (a, b) => compare(b, a) : compare);
}

/** Whether somebody who looks at the table or the panel sees a difference. */
export function differs(a: Vm | undefined, b: Vm): boolean {
  const shown = (vm: Vm) => ({ ...vm, storageBytes: 0, details: vm.details && { ...vm.details, volumes: [] } });
  return a === undefined || JSON.stringify(shown(a)) !== JSON.stringify(shown(b));
}

export type Counts = Record<Severity, number>;

export function findingsOf(judged: VmFindings | undefined, method: ReplicationMethod): Finding[] {
  const order: Severity[] = ["blocking", "warning", "information"];
  const found = judged?.methods.find((m) => m.method === method)?.findings ?? [];
  return found.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

export function countOf(findings: readonly Finding[]): Counts {
  const counts: Counts = { blocking: 0, warning: 0, information: 0 };
  for (const finding of findings) counts[finding.severity] += 1;
  return counts;
}

/** A field's value as the window says it elsewhere; none = not known. */
export function fieldValue(change: FieldChange, value: string, power: (state: string) => string): string | null {
  if (value === "") return null;
  return change.field === "powerState" ? power(value) : value;
}
