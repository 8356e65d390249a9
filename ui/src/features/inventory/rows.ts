// Filtering and sorting of thousands of machines. Pure; the table shows what comes out.
import type { Vm } from "../../host/gen/Vm";

export type Column = "name" | "power" | "os" | "cpu" | "memory" | "disks" | "ip" | "host" | "tools";
export type Sort = { column: Column; descending: boolean };

export const COLUMNS: Column[] = ["name", "power", "os", "cpu", "memory", "disks", "ip", "host", "tools"];

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const addresses = (ip: string | null) => (ip ?? "").split(".").reduce((n, part) => n * 256 + (Number(part) || 0), 0);

const COMPARE: Record<Column, (a: Vm, b: Vm) => number> = {
  name: (a, b) => names.compare(a.name, b.name),
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

/** Every word of the filter must occur somewhere in name, system, address, host, cluster or state. */
export function filter(vms: readonly Vm[], text: string): Vm[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...vms];
  return vms.filter((vm) => {
    const hay =
      `${vm.name} ${vm.guestFullName ?? ""} ${vm.hostName ?? ""} ${vm.ipAddress ?? ""} ${vm.host ?? ""} ${vm.cluster ?? ""} ${vm.datacenter ?? ""} ${vm.powerState}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

export function sort(vms: readonly Vm[], { column, descending }: Sort): Vm[] {
  const compare = COMPARE[column];
  const sign = descending ? -1 : 1;
  return [...vms].sort((a, b) => sign * compare(a, b) || names.compare(a.name, b.name));
}
