// The architecture as a picture: nodes are buttons over an SVG of edges. The same content is in DiagramTable.
import {
  BuildingRegular,
  DatabaseArrowRightRegular,
  DatabaseRegular,
  DesktopRegular,
  GlobeRegular,
  HardDriveRegular,
  PeopleTeamRegular,
  RouterRegular,
  ServerRegular,
  ShieldCheckmarkRegular,
  StorageRegular,
  VirtualNetworkRegular,
  WindowDevToolsRegular,
} from "@fluentui/react-icons";
import { memo, useCallback, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { type Mark, MOVING } from "../design/mark";
import { StatusIcon } from "../design/StatusIcon";
import type { Diagram } from "../host/gen/Diagram";
import type { Node } from "../host/gen/Node";
import type { NodeKind } from "../host/gen/NodeKind";
import { layout, type Placed } from "./layout";
import { headOf, labelWidth, pathOf, placeLabels, route } from "./route";
import { edgeText, type Moment, type Thing, visible } from "./state";
import s from "./diagram.module.css";

const ICONS: Record<NodeKind, typeof ServerRegular> = {
  site: BuildingRegular,
  host: ServerRegular,
  network: VirtualNetworkRegular,
  vCenter: WindowDevToolsRegular,
  vm: DesktopRegular,
  appliance: HardDriveRegular,
  domainController: PeopleTeamRegular,
  vpnDevice: RouterRegular,
  gateway: RouterRegular,
  subnet: VirtualNetworkRegular,
  managedInstance: DatabaseRegular,
  storage: StorageRegular,
  migrationService: DatabaseArrowRightRegular,
  vault: ShieldCheckmarkRegular,
  dns: GlobeRegular,
};

/** Below this scale text is hard to read: the picture scrolls instead of shrinking further. */
const MIN_SCALE = 0.72;
export const ZOOM_STEP = 1.2;

type Props = {
  diagram: Diagram;
  things: ReadonlyMap<string, Thing>;
  moment: Moment;
  /** States are shown (a run exists). */
  live: boolean;
  selectedTask: string | undefined;
  onSelect: (address: string) => void;
  /** 1 = fit. */
  zoom: number;
};

export const DiagramView = memo(function DiagramView({
  diagram,
  things,
  moment,
  live,
  selectedTask,
  onSelect,
  zoom,
}: Props) {
  const { t } = useTranslation();
  const [frame, size] = useSize();
  const width = Math.round(size.width / 16) * 16;
  const place = useMemo(() => layout(diagram, width), [diagram, width]);
  const routed = useMemo(() => route(diagram, place), [diagram, place]);
  const shown = useMemo(() => visible(diagram, moment), [diagram, moment]);
  const showState = live && moment === "now";
  const texts = diagram.edges.map((e) => edgeText(e, things.get(e.id), showState)).join("\n");
  const hidden = ` ${
    showState
      ? diagram.edges
          .filter((e) => things.get(e.id)?.gone)
          .map((e) => e.id)
          .join("  ")
      : ""
  } `;
  const labels = useMemo(() => {
    const list = texts.split("\n");
    return placeLabels(
      routed.filter((r) => shown.edges.has(r.edge.id) && !hidden.includes(` ${r.edge.id} `)),
      place,
      (edge) => list[diagram.edges.indexOf(edge)] ?? "",
    );
  }, [routed, place, shown, texts, hidden, diagram]);

  const fit = Math.min(1, size.width / place.width, size.height / place.height);
  const scale = Math.max(Math.min(fit, 1), MIN_SCALE) * zoom;
  const state = (id: string): Mark | undefined => (showState ? things.get(id)?.mark : undefined);

  return (
    <div className={s.frame} ref={frame} data-testid="diagram" role="group" aria-label={t("diagram.title")}>
      <div className={s.sheet} style={{ width: place.width * scale, height: place.height * scale }}>
        <div className={s.paper} style={{ width: place.width, height: place.height, transform: `scale(${scale})` }}>
          {[...place.placed.values()]
            .filter((p) => p.group && shown.nodes.has(p.node.id))
            .map((p) => (
              <div
                key={p.node.id}
                className={s.group}
                data-kind={p.node.kind}
                data-target={isTarget(p, place.placed) || undefined}
                style={rect(p)}
              >
                <span className={`${s.groupTitle} cut`} title={titleOf(p.node)}>
                  {titleOf(p.node)}
                </span>
              </div>
            ))}
          <svg className={s.edges} width={place.width} height={place.height} aria-hidden>
            {routed
              .filter((r) => shown.edges.has(r.edge.id) && !(showState && things.get(r.edge.id)?.gone))
              .map((r) => {
                const mark = state(r.edge.id);
                return (
                  <g
                    key={r.edge.id}
                    className={s.edge}
                    data-kind={r.edge.kind}
                    data-mark={mark}
                    data-moving={(mark && MOVING.has(mark)) || undefined}
                  >
                    <path className={s.halo} d={pathOf(r.points)} />
                    <path className={s.line} d={pathOf(r.points)}>
                      <title>{things.get(r.edge.id)?.detail ?? r.edge.label}</title>
                    </path>
                    {r.edge.kind === "flow" ? <path className={s.head} d={headOf(r.points)} /> : null}
                  </g>
                );
              })}
          </svg>
          {[...place.placed.values()]
            .filter((p) => !p.group && shown.nodes.has(p.node.id))
            .map((p) => (
              <NodeBox
                key={p.node.id}
                placed={p}
                thing={things.get(p.node.id)}
                mark={state(p.node.id)}
                planned={showState && !p.node.before && things.get(p.node.id)?.mark === "later"}
                gone={showState && (things.get(p.node.id)?.gone ?? false)}
                detail={showState ? things.get(p.node.id)?.detail : p.node.detail}
                selected={selectedTask !== undefined && things.get(p.node.id)?.task?.address === selectedTask}
                onSelect={onSelect}
              />
            ))}
          {[...labels].map(([id, label]) => (
            <span
              key={id}
              className={s.label}
              data-mark={state(id)}
              title={things.get(id)?.detail}
              style={{ left: label.x - label.w / 2, top: label.y - 11, width: labelWidth(label.text) }}
            >
              {label.text}
            </span>
          ))}
        </div>
      </div>
    </div>
  );
});

function titleOf(node: Node): string {
  return node.detail ? `${node.label} · ${node.detail}` : node.label;
}

const rect = (p: Placed) => ({ left: p.x, top: p.y, width: p.w, height: p.h });

function isTarget(p: Placed, all: ReadonlyMap<string, Placed>): boolean {
  return p.depth === 0 && [...all.values()].some((other) => other.depth === 0 && other.x < p.x);
}

type NodeProps = {
  placed: Placed;
  thing: Thing | undefined;
  mark: Mark | undefined;
  planned: boolean;
  gone: boolean;
  detail: string | undefined;
  selected: boolean;
  onSelect: (address: string) => void;
};

function NodeBox({ placed, thing, mark, planned, gone, detail, selected, onSelect }: NodeProps) {
  const { t } = useTranslation();
  const { node } = placed;
  const Icon = ICONS[node.kind];
  const task = thing?.task;
  return (
    <button
      type="button"
      className={s.node}
      data-testid={`node-${node.id}`}
      data-kind={node.kind}
      data-mark={mark}
      data-planned={planned || gone || undefined}
      data-selected={selected || undefined}
      style={rect(placed)}
      title={detail ? `${node.label} · ${detail}` : node.label}
      disabled={!task}
      onClick={() => task && onSelect(task.address)}
    >
      {mark ? <StatusIcon mark={mark} size={17} quiet /> : <Icon className={s.kind} fontSize={18} aria-hidden />}
      <span className={s.words}>
        <span className={`${s.name} cut`}>{node.label}</span>
        {gone ? (
          <span className={s.detail}>{t("diagram.gone")}</span>
        ) : detail ? (
          <span className={`${s.detail} cut`}>{detail}</span>
        ) : null}
      </span>
      {mark ? <span className="hidden">{t(`mark.${mark}`)}</span> : null}
    </button>
  );
}

function useSize() {
  const size = useRef({ width: 720, height: 560 });
  const [element, setElement] = useState<HTMLDivElement | null>(null);
  const subscribe = useCallback(
    (changed: () => void) => {
      if (!element || typeof ResizeObserver === "undefined") return () => undefined;
      const observer = new ResizeObserver(([entry]) => {
        if (!entry) return;
        const { width, height } = entry.contentRect;
        size.current = { width: Math.floor(width), height: Math.floor(height) };
        changed();
      });
      observer.observe(element);
      return () => observer.disconnect();
    },
    [element],
  );
  const value = useSyncExternalStore(subscribe, () => size.current);
  return [setElement, value] as const;
}
