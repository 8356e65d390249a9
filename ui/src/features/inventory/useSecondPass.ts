// What costs too much for all machines at once: devices and guest, and what the support rules make of them. It is read for the
// rows on screen when scrolling rests, and for the chosen machine. Findings belong to a machine as it was judged: when it
// changes, it is judged again.
import { useEffect, useRef, useState } from "react";
import { useProject } from "../../app/project";
import { useHost } from "../../host";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import type { VmFindings } from "../../host/gen/VmFindings";
import { toUiError } from "../../host/types";
import { IMPORTED, upsert } from "./rows";

/** Milliseconds for which the rows must rest. */
const REST = 200;

type Props = {
  /** The machines on screen, and the chosen one. */
  shown: readonly Vm[];
  /** Whether vCenter can be asked. */
  ask: boolean;
  patch: (change: (vms: readonly Vm[]) => Vm[]) => void;
};

export function useSecondPass({ shown, ask, patch }: Props) {
  const host = useHost();
  const { path } = useProject();
  const asked = useRef(new Set<string>());
  const [judged, setJudged] = useState<ReadonlyMap<Vm, VmFindings>>(new Map());
  const [error, setError] = useState<UiError | null>(null);
  useEffect(() => {
    if (path === null) return undefined;
    let current = true;
    const rest = async () => {
      const unread = shown.filter(
        (vm) => ask && !vm.details && !vm.moref.startsWith(IMPORTED) && !asked.current.has(vm.moref),
      );
      if (unread.length > 0) {
        const morefs = unread.map((vm) => vm.moref);
        morefs.forEach((moref) => asked.current.add(moref));
        try {
          const vms = await host.call("inventory_details", { project: path, morefs });
          setError(null);
          patch((list) => upsert(list, vms));
        } catch (thrown) {
          // They may be asked for again, when the rows come back or the machine is chosen anew.
          morefs.forEach((moref) => asked.current.delete(moref));
          if (current) setError(toUiError(thrown));
        }
      }
      const open = shown.filter((vm) => !judged.has(vm));
      if (!current || open.length === 0) return;
      const found = await host
        .call("inventory_findings", { project: path, morefs: open.map((vm) => vm.moref) })
        .catch(() => []);
      const by = new Map(found.map((f) => [f.moref, f]));
      if (!current) return;
      setJudged((now) => {
        const next = new Map<Vm, VmFindings>();
        for (const vm of shown) {
          // One that the project doesn't hold yet is judged when it does: it comes again then.
          next.set(vm, now.get(vm) ?? by.get(vm.moref) ?? { moref: vm.moref, methods: [] });
        }
        return next;
      });
    };
    const timer = setTimeout(() => void rest(), REST);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [host, path, shown, ask, patch, judged]);
  return { judged, error };
}
