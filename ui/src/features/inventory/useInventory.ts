// The inventory of the open project: as stored, as it comes while it is read, and as it changes while somebody looks.
// The query's cache holds the one list; the streams and the second pass change it there.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useProject } from "../../app/project";
import { useHost } from "../../host";
import type { Inventory } from "../../host/gen/Inventory";
import type { InventoryChanges } from "../../host/gen/InventoryChanges";
import type { InventoryMessage } from "../../host/gen/InventoryMessage";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import { differs, inOrder, remove, upsert } from "./rows";

/** How long a changed row stands out, in milliseconds. */
const FLASH = 2500;

type Reading = {
  vcenter: string | null;
  /** None once the stored list holds them. */
  vms: Vm[] | null;
  done: { vms: number; millis: number } | null;
  error: UiError | null;
};

const NOTHING: Reading = { vcenter: null, vms: [], done: null, error: null };

function take(reading: Reading, message: InventoryMessage): Reading {
  switch (message.type) {
    case "connected":
      return { ...reading, vcenter: message.vcenterName };
    case "page":
      return { ...reading, vms: upsert(reading.vms ?? [], message.vms) };
    case "done":
      return { ...reading, done: { vms: message.vms, millis: message.millis } };
    case "failed":
      return { ...reading, error: message.error };
  }
}

export type Watch = "off" | "live" | "lost";

export function useInventory() {
  const host = useHost();
  const queries = useQueryClient();
  const { project, path } = useProject();
  const stored = useQuery<Inventory | null, UiError>({
    queryKey: ["inventory", path],
    queryFn: async () => {
      const found = await host.call("inventory_get", { project: path ?? "" });
      return found && { ...found, vms: inOrder(found.vms) };
    },
    enabled: path !== null,
  });
  const changes = useQuery<InventoryChanges | null>({
    queryKey: ["inventory-changes", path],
    queryFn: () => null,
    enabled: false,
    initialData: null,
  });
  const [reading, setReading] = useState<Reading | null>(null);
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), []);

  const patch = useCallback(
    (change: (vms: readonly Vm[]) => Vm[]) =>
      queries.setQueryData<Inventory | null>(["inventory", path], (now) => now && { ...now, vms: change(now.vms) }),
    [queries, path],
  );

  const read = useCallback(() => {
    if (path === null) return;
    stop.current?.();
    setReading(NOTHING);
    stop.current = host.stream(
      "inventory_read",
      { project: path },
      (message) => {
        setReading((before) => take(before ?? NOTHING, message));
        if (message.type !== "done") return;
        queries.setQueryData(["inventory-changes", path], message.changes);
        void queries.invalidateQueries({ queryKey: ["project", path] });
        void queries.invalidateQueries({ queryKey: ["plan", path] });
        void queries.invalidateQueries({ queryKey: ["costs", path] });
        void queries
          .invalidateQueries({ queryKey: ["inventory", path] })
          .then(() => setReading((now) => now && { ...now, vms: null }));
      },
      (error) => setReading((before) => ({ ...(before ?? NOTHING), error })),
    );
  }, [host, path, queries]);

  const [watch, setWatch] = useState<Watch>("off");
  const [lost, setLost] = useState<UiError | null>(null);
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  const [told, setTold] = useState<{ names: string[]; gone: number } | null>(null);
  const connected = project?.connections.vcenterPasswordStored === true;
  const of = stored.data?.vcenterUuid;
  useEffect(() => {
    if (path === null || !connected || !of) return undefined;
    const timers = new Set<ReturnType<typeof setTimeout>>();
    const flash = (morefs: string[]) => {
      setTouched((now) => new Set([...now, ...morefs]));
      const timer = setTimeout(() => {
        timers.delete(timer);
        setTouched((now) => new Set([...now].filter((m) => !morefs.includes(m))));
      }, FLASH);
      timers.add(timer);
    };
    const end = host.stream(
      "inventory_watch",
      { project: path },
      (message) => {
        if (message.type === "lost") {
          setWatch("lost");
          setLost(message.error);
          return;
        }
        setWatch("live");
        setLost(null);
        if (message.type === "upserted") {
          const known = new Map(
            queries.getQueryData<Inventory | null>(["inventory", path])?.vms.map((vm) => [vm.moref, vm]),
          );
          const seen = message.vms.filter((vm) => differs(known.get(vm.moref), vm));
          patch((vms) => upsert(vms, message.vms));
          if (seen.length > 0) {
            flash(seen.map((vm) => vm.moref));
            setTold({ names: seen.map((vm) => vm.name), gone: 0 });
          }
        } else if (message.type === "removed") {
          patch((vms) => remove(vms, message.morefs));
          setTold({ names: [], gone: message.morefs.length });
        }
      },
      (error) => {
        setWatch("off");
        // An inventory from a file has no vCenter that could be watched.
        setLost(error.code === "state" ? null : error);
      },
    );
    return () => {
      end();
      timers.forEach(clearTimeout);
      setWatch("off");
    };
  }, [host, queries, path, connected, of, patch]);

  return {
    stored: stored.data ?? null,
    pending: stored.isPending,
    error: reading?.error ?? stored.error,
    vms: reading?.vms ?? stored.data?.vms ?? EMPTY,
    reading,
    busy: reading !== null && !reading.done && !reading.error,
    read,
    patch,
    connected,
    changes: changes.data,
    forgetChanges: () => queries.setQueryData(["inventory-changes", path], null),
    watch,
    lost,
    touched,
    told,
  };
}

const EMPTY: Vm[] = [];
