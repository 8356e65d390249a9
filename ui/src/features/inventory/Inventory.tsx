// What vCenter has. Rows come as they are read; ten thousand of them scroll like ten.
import { Button, Input, Spinner, Skeleton, SkeletonItem } from "@fluentui/react-components";
import {
  ArrowClockwiseRegular,
  ArrowSortDownRegular,
  ArrowSortUpRegular,
  DismissRegular,
  SearchRegular,
} from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { bytes, count, dateTime } from "../../design/format";
import { ErrorCard } from "../../design/ErrorCard";
import { useHost } from "../../host";
import type { Inventory as InventoryData } from "../../host/gen/Inventory";
import type { InventoryMessage } from "../../host/gen/InventoryMessage";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import { COLUMNS, diskSize, filter, sort, type Sort } from "./rows";
import s from "./inventory.module.css";

const ROW = 36;

type Reading = {
  vcenter: string | null;
  vms: Vm[];
  done: { vms: number; millis: number } | null;
  error: UiError | null;
};

const NOTHING: Reading = { vcenter: null, vms: [], done: null, error: null };

function take(reading: Reading, message: InventoryMessage): Reading {
  switch (message.type) {
    case "connected":
      return { ...reading, vcenter: message.vcenterName };
    case "page": {
      // The second pass sends machines again, with their disks.
      const known = new Map(reading.vms.map((vm, i) => [vm.moref, i]));
      const vms = [...reading.vms];
      for (const vm of message.vms) {
        const at = known.get(vm.moref);
        if (at === undefined) vms.push(vm);
        else vms[at] = vm;
      }
      return { ...reading, vms };
    }
    case "done":
      return { ...reading, done: { vms: message.vms, millis: message.millis } };
    case "failed":
      return { ...reading, error: message.error };
  }
}

export default function Inventory() {
  const { t } = useTranslation();
  const host = useHost();
  const queries = useQueryClient();
  const { project, path, error: projectError, reload, go } = useProject();
  const stored = useQuery<InventoryData | null, UiError>({
    queryKey: ["inventory", path],
    queryFn: () => host.call("inventory_get", { project: path ?? "" }),
    enabled: path !== null,
  });
  const [reading, setReading] = useState<Reading | null>(null);
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), []);

  const read = useCallback(() => {
    if (path === null) return;
    stop.current?.();
    setReading(NOTHING);
    stop.current = host.stream(
      "inventory_read",
      { project: path },
      (message) => {
        setReading((before) => take(before ?? NOTHING, message));
        if (message.type === "done") {
          void queries.invalidateQueries({ queryKey: ["inventory", path] });
          void queries.invalidateQueries({ queryKey: ["project", path] });
          void queries.invalidateQueries({ queryKey: ["plan", path] });
          void queries.invalidateQueries({ queryKey: ["costs", path] });
        }
      },
      (error) => setReading((before) => ({ ...(before ?? NOTHING), error })),
    );
  }, [host, path, queries]);

  const busy = reading !== null && !reading.done && !reading.error;
  const vms = reading ? reading.vms : (stored.data?.vms ?? []);
  const failure = projectError ?? reading?.error ?? stored.error;
  const nothing = !stored.isPending && !busy && vms.length === 0;
  const summary = busy
    ? t("inventory.reading", { n: count(vms.length), vcenter: reading.vcenter ?? t("inventory.vcenter") })
    : reading?.done
      ? t("inventory.read", { n: count(reading.done.vms), seconds: (reading.done.millis / 1000).toFixed(1) })
      : stored.data?.readAt
        ? t("inventory.stored", { vcenter: stored.data.vcenterName, at: dateTime(stored.data.readAt) })
        : "";

  return (
    <div className={s.page} data-testid="inventory" data-busy={busy}>
      <Head busy={busy} onRead={read} summary={summary} />
      {failure ? (
        <div className={s.failure}>
          <ErrorCard error={failure} onRetry={projectError ? reload : read}>
            {failure.code === "certificate" ||
            failure.code === "signIn" ||
            failure.code === "unreachable" ||
            failure.code === "refused" ? (
              <Button size="small" onClick={() => go("connect")}>
                {t("inventory.toConnections")}
              </Button>
            ) : null}
          </ErrorCard>
        </div>
      ) : null}
      {nothing && !failure ? (
        <div className={s.empty} data-testid="inventory-empty">
          <h2>{t("inventory.emptyTitle")}</h2>
          <p>
            {t("inventory.emptyText", {
              vcenter: project?.connections.connections.vcenter.url || t("inventory.vcenter"),
            })}
          </p>
          <Button appearance="primary" data-testid="inventory-read-first" onClick={read}>
            {t("inventory.readNow")}
          </Button>
        </div>
      ) : stored.isPending && !reading ? (
        <Skeleton className={s.skeletons} aria-label={t("app.loading")}>
          {Array.from({ length: 12 }, (_, n) => (
            <SkeletonItem key={n} className={s.skeleton} />
          ))}
        </Skeleton>
      ) : nothing ? null : (
        <Table vms={vms} busy={busy} />
      )}
    </div>
  );
}

function Head({ busy, onRead, summary }: { busy: boolean; onRead: () => void; summary: string }) {
  const { t } = useTranslation();
  return (
    <div className={s.head}>
      <h1>{t("inventory.title")}</h1>
      <span className={`${s.summary} num`} aria-live="polite" data-testid="inventory-summary">
        {busy ? <Spinner size="extra-tiny" /> : null}
        {summary}
      </span>
      <Button icon={<ArrowClockwiseRegular />} disabled={busy} data-testid="inventory-read" onClick={onRead}>
        {t("inventory.readAgain")}
      </Button>
    </div>
  );
}

function Table({ vms, busy }: { vms: readonly Vm[]; busy: boolean }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const [order, setOrder] = useState<Sort>({ column: "name", descending: false });
  const [chosen, setChosen] = useState<string | null>(null);
  const [cursor, setCursor] = useState(0);
  const wanted = useDeferredValue(text);
  const rows = useMemo(() => sort(filter(vms, wanted), order), [vms, wanted, order]);
  const scroller = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- the virtualizer's result is used in this component only
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    scrollPaddingStart: ROW,
  });
  const vm = chosen === null ? undefined : vms.find((v) => v.moref === chosen);

  const move = (to: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setCursor(next);
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus());
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? ROW) / ROW) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const step = steps[event.key];
    if (step !== undefined) move(cursor + step);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(rows.length - 1);
    else if (event.key === "Enter" || event.key === " ") setChosen(rows[cursor]?.moref ?? null);
    else if (event.key === "Escape") setChosen(null);
    else return;
    event.preventDefault();
  };

  return (
    <div className={s.body}>
      <div className={s.left}>
        <div className={s.bar}>
          <Input
            className={s.filter}
            contentBefore={<SearchRegular />}
            placeholder={t("inventory.filter")}
            aria-label={t("inventory.filter")}
            data-testid="inventory-filter"
            value={text}
            onChange={(_, data) => {
              setText(data.value);
              setCursor(0);
            }}
          />
          <span
            className={`${s.summary} num`}
            data-testid="inventory-count"
            data-count={rows.length}
            aria-live="polite"
          >
            {rows.length === vms.length
              ? t("inventory.count", { n: count(vms.length) })
              : t("inventory.countOf", { n: count(rows.length), total: count(vms.length) })}
          </span>
        </div>
        <div
          className={s.table}
          role="grid"
          aria-label={t("inventory.title")}
          aria-rowcount={rows.length + 1}
          aria-colcount={COLUMNS.length}
          aria-busy={busy}
        >
          <div className={s.scroller} ref={scroller} role="presentation">
            <div role="rowgroup">
              <div className={`${s.row} ${s.header}`} role="row" aria-rowindex={1}>
                {COLUMNS.map((column) => (
                  <div
                    key={column}
                    role="columnheader"
                    data-column={column}
                    aria-sort={order.column === column ? (order.descending ? "descending" : "ascending") : "none"}
                  >
                    <button
                      type="button"
                      className={s.sort}
                      onClick={() => setOrder({ column, descending: order.column === column && !order.descending })}
                    >
                      {t(`inventory.columns.${column}`)}
                      {order.column === column ? (
                        order.descending ? (
                          <ArrowSortDownRegular fontSize={14} aria-hidden />
                        ) : (
                          <ArrowSortUpRegular fontSize={14} aria-hidden />
                        )
                      ) : null}
                    </button>
                  </div>
                ))}
              </div>
            </div>
            <div role="rowgroup" onKeyDown={onKeyDown}>
              {rows.length === 0 && !busy ? <p className={s.none}>{t("inventory.noMatch")}</p> : null}
              <div style={{ height: virtual.getTotalSize(), position: "relative" }} role="presentation">
                {virtual.getVirtualItems().map((item) => {
                  const row = rows[item.index];
                  if (!row) return null;
                  return (
                    <div
                      key={row.moref}
                      role="row"
                      aria-rowindex={item.index + 2}
                      aria-selected={row.moref === chosen}
                      tabIndex={item.index === Math.min(cursor, rows.length - 1) ? 0 : -1}
                      data-index={item.index}
                      data-testid="vm-row"
                      data-name={row.name}
                      className={s.row}
                      style={{
                        transform: `translateY(${item.start}px)`,
                        position: "absolute",
                        top: 0,
                        left: 0,
                        right: 0,
                      }}
                      onClick={() => {
                        setCursor(item.index);
                        setChosen(row.moref);
                      }}
                    >
                      <Cells vm={row} />
                    </div>
                  );
                })}
              </div>
            </div>
          </div>
        </div>
      </div>
      {vm ? <Details vm={vm} onClose={() => setChosen(null)} /> : null}
    </div>
  );
}

function usePower() {
  const { t } = useTranslation();
  return (state: string) =>
    state === "poweredOn" || state === "poweredOff" || state === "suspended" ? t(`inventory.power.${state}`) : state;
}

function useTools() {
  const { t } = useTranslation();
  return (state: string | null) =>
    state === "guestToolsRunning" || state === "guestToolsNotRunning" || state === "guestToolsExecutingScripts"
      ? t(`inventory.tools.${state}`)
      : (state ?? t("inventory.unknown"));
}

function Cells({ vm }: { vm: Vm }) {
  const { t } = useTranslation();
  const power = usePower();
  const tools = useTools();
  const disks = t("inventory.disks", { count: vm.diskCount, size: bytes(diskSize(vm)) });
  return (
    <>
      <Cell strong>{vm.name}</Cell>
      <div role="gridcell" className={s.power} data-power={vm.powerState}>
        <span aria-hidden />
        {power(vm.powerState)}
      </div>
      <Cell>{vm.guestFullName ?? vm.guestId ?? t("inventory.unknown")}</Cell>
      <Cell number>{String(vm.cpus)}</Cell>
      <Cell number>{bytes(vm.memoryMib * 1024 * 1024)}</Cell>
      <Cell number>{disks}</Cell>
      <Cell number>{vm.ipAddress ?? t("inventory.none")}</Cell>
      <Cell>{vm.host ?? t("inventory.none")}</Cell>
      <Cell>{tools(vm.toolsStatus)}</Cell>
    </>
  );
}

function Cell({ children, strong = false, number = false }: { children: string; strong?: boolean; number?: boolean }) {
  return (
    <div role="gridcell" className={`cut ${number ? "num" : ""} ${strong ? s.strong : ""}`} title={children}>
      {children}
    </div>
  );
}

function Details({ vm, onClose }: { vm: Vm; onClose: () => void }) {
  const { t } = useTranslation();
  const power = usePower();
  const tools = useTools();
  const unknown = t("inventory.unknown");
  const rows: [string, string][] = [
    [t("inventory.columns.power"), power(vm.powerState)],
    [t("inventory.columns.os"), vm.guestFullName ?? unknown],
    [t("inventory.hostName"), vm.hostName ?? unknown],
    [t("inventory.columns.ip"), vm.ipAddress ?? unknown],
    [t("inventory.columns.cpu"), String(vm.cpus)],
    [t("inventory.columns.memory"), bytes(vm.memoryMib * 1024 * 1024)],
    [
      t("inventory.columns.disks"),
      vm.details
        ? vm.details.disks.map((d) => bytes(d.capacityBytes)).join(" + ")
        : t("inventory.disks", { count: vm.diskCount, size: bytes(vm.storageBytes) }),
    ],
    [t("inventory.nics"), String(vm.nicCount)],
    [
      t("inventory.firmware"),
      vm.firmware ? `${vm.firmware.toUpperCase()}${vm.secureBoot ? ` · ${t("inventory.secureBoot")}` : ""}` : unknown,
    ],
    [t("inventory.columns.tools"), tools(vm.toolsStatus)],
    [t("inventory.columns.host"), vm.host ?? unknown],
    [t("inventory.cluster"), vm.cluster ?? t("inventory.none")],
    [t("inventory.datacenter"), vm.datacenter ?? unknown],
    [t("inventory.moref"), vm.moref],
    [t("inventory.uuid"), vm.instanceUuid ?? unknown],
    [t("inventory.readiness"), vm.readiness ?? t("inventory.noReadiness")],
  ];
  return (
    <aside className={s.details} aria-label={vm.name} data-testid="vm-details">
      <div className={s.detailsHead}>
        <h2 className="cut" title={vm.name}>
          {vm.name}
        </h2>
        <Button
          appearance="subtle"
          size="small"
          icon={<DismissRegular />}
          aria-label={t("common.close")}
          onClick={onClose}
        />
      </div>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </aside>
  );
}
