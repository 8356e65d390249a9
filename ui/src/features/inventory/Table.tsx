// Ten thousand machines scroll like ten: only rows on screen exist, and only they are read whole and judged.
import { Input } from "@fluentui/react-components";
import { ArrowSortDownRegular, ArrowSortUpRegular, SearchRegular } from "@fluentui/react-icons";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { bytes, count } from "../../design/format";
import { StatusIcon } from "../../design/StatusIcon";
import type { ReplicationMethod } from "../../host/gen/ReplicationMethod";
import type { Vm } from "../../host/gen/Vm";
import type { VmFindings } from "../../host/gen/VmFindings";
import { Details, type Silence } from "./Details";
import { COLUMNS, countOf, FEW_COLUMNS, diskSize, filter, findingsOf, sort, type Sort } from "./rows";
import { useSecondPass } from "./useSecondPass";
import { usePower, useTools } from "./words";
import s from "./inventory.module.css";

const ROW = 36;

type Props = {
  vms: readonly Vm[];
  busy: boolean;
  /** Why vCenter can't be asked for details; none when it can. */
  silent: Silence;
  touched: ReadonlySet<string>;
  patch: (change: (vms: readonly Vm[]) => Vm[]) => void;
  chosen: string | null;
  onChoose: (moref: string | null) => void;
};

export function Table({ vms, busy, silent, touched, patch, chosen, onChoose }: Props) {
  const { t } = useTranslation();
  const { project } = useProject();
  const [text, setText] = useState("");
  const [order, setOrder] = useState<Sort>({ column: "name", descending: false });
  const [cursor, setCursor] = useState(0);
  const wanted = useDeferredValue(text);
  const sorted = useMemo(() => sort(vms, order), [vms, order]);
  const rows = useMemo(() => filter(sorted, wanted), [sorted, wanted]);
  const scroller = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- the virtualizer's result is used in this component only
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    scrollPaddingStart: ROW,
  });
  const items = virtual.getVirtualItems();
  const vm = useMemo(() => (chosen === null ? undefined : vms.find((v) => v.moref === chosen)), [vms, chosen]);
  const [first, last] = [items[0]?.index ?? 0, (items.at(-1)?.index ?? -1) + 1];
  const shown = useMemo(() => {
    const visible = rows.slice(first, last);
    return vm && !visible.includes(vm) ? [vm, ...visible] : visible;
  }, [rows, first, last, vm]);
  const second = useSecondPass({ shown, ask: silent === null && !busy, patch });
  const method = project?.design.replication ?? "InMageRcm";
  const columns = vm ? FEW_COLUMNS : COLUMNS;

  const focusRow = (index: number) =>
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus());
  const move = (to: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setCursor(next);
    virtual.scrollToIndex(next);
    focusRow(next);
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? ROW) / ROW) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const step = steps[event.key];
    if (step !== undefined) move(cursor + step);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(rows.length - 1);
    else if (event.key === "Enter" || event.key === " ") onChoose(rows[cursor]?.moref ?? null);
    else if (event.key === "Escape") onChoose(null);
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
          aria-colcount={columns.length + 1}
          data-few={vm !== undefined}
          aria-busy={busy}
        >
          <div className={s.scroller} ref={scroller} role="presentation">
            <div role="rowgroup">
              <div className={`${s.row} ${s.header}`} role="row" aria-rowindex={1}>
                {columns
                  .map((column, at) => (
                    <div
                      key={column}
                      role="columnheader"
                      data-column={column}
                      // The second column is that of the findings.
                      aria-colindex={at === 0 ? 1 : at + 2}
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
                  ))
                  .toSpliced(
                    1,
                    0,
                    <div key="support" role="columnheader" aria-colindex={2} className={s.supportHead}>
                      <span title={t("inventory.support.title", { service: t(`inventory.service.${method}`) })}>
                        {t("inventory.support.column")}
                      </span>
                    </div>,
                  )}
              </div>
            </div>
            <div role="rowgroup" onKeyDown={onKeyDown}>
              {rows.length === 0 && !busy ? <p className={s.none}>{t("inventory.noMatch")}</p> : null}
              <div style={{ height: virtual.getTotalSize(), position: "relative" }} role="presentation">
                {items.map((item) => {
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
                      data-power={row.powerState}
                      data-touched={touched.has(row.moref) || undefined}
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
                        onChoose(row.moref);
                      }}
                    >
                      <Cells vm={row} judged={second.judged.get(row)} method={method} few={vm !== undefined} />
                    </div>
                  );
                })}
              </div>
            </div>
          </div>
        </div>
      </div>
      {vm ? (
        <Details
          onRead={() => patch((list) => list.map((each) => (each.moref === vm.moref ? { ...each } : each)))}
          key={vm.moref}
          vm={vm}
          judged={second.judged.get(vm)}
          method={method}
          error={second.error}
          silent={silent}
          onClose={() => {
            onChoose(null);
            focusRow(cursor);
          }}
        />
      ) : null}
    </div>
  );
}

type CellsProps = { vm: Vm; judged: VmFindings | undefined; method: ReplicationMethod; few: boolean };

function Cells({ vm, judged, method, few }: CellsProps) {
  const { t } = useTranslation();
  const power = usePower();
  const tools = useTools();
  const disks = t("inventory.disks", { count: vm.diskCount, size: bytes(diskSize(vm)) });
  return (
    <>
      <Cell strong>{vm.name}</Cell>
      <div role="gridcell" className={s.support}>
        <Support judged={judged} method={method} read={vm.details !== null} />
      </div>
      <div role="gridcell" className={s.power} data-power={vm.powerState}>
        <span aria-hidden />
        {power(vm.powerState)}
      </div>
      <Cell>{vm.guestFullName ?? vm.guestId ?? t("inventory.unknown")}</Cell>
      <Cell number>{String(vm.cpus)}</Cell>
      <Cell number>{bytes(vm.memoryMib * 1024 * 1024)}</Cell>
      <Cell number>{disks}</Cell>
      <Cell number>{vm.ipAddress ?? t("inventory.none")}</Cell>
      {few ? null : (
        <>
          <Cell>{vm.host ?? t("inventory.none")}</Cell>
          <Cell>{tools(vm.toolsStatus)}</Cell>
        </>
      )}
    </>
  );
}

/** The worst of the findings, as a sign with a number; a machine whose disks are unknown is never called fit. */
function Support({
  judged,
  method,
  read,
}: {
  judged: VmFindings | undefined;
  method: ReplicationMethod;
  read: boolean;
}) {
  const { t } = useTranslation();
  if (!judged || judged.methods.length === 0) return null;
  const counts = countOf(findingsOf(judged, method));
  const service = t(`inventory.service.${method}`);
  const [mark, n, words] =
    counts.blocking > 0
      ? (["failed", counts.blocking, t("inventory.support.blocking", { count: counts.blocking, service })] as const)
      : counts.warning > 0
        ? (["overdue", counts.warning, t("inventory.support.warning", { count: counts.warning, service })] as const)
        : read
          ? (["done", 0, t("inventory.support.fit", { service })] as const)
          : (["later", 0, t("inventory.support.unread")] as const);
  return (
    <span className={s.mark} data-mark={mark} role="img" aria-label={words} title={words}>
      <StatusIcon mark={mark} size={16} quiet />
      {n > 0 ? n : null}
    </span>
  );
}

function Cell({ children, strong = false, number = false }: { children: string; strong?: boolean; number?: boolean }) {
  return (
    <div role="gridcell" className={`cut ${number ? "num" : ""} ${strong ? s.strong : ""}`} title={children}>
      {children}
    </div>
  );
}
