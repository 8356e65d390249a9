// The diagram with its moments, its table and its zoom. Shared by Plan and Run: one picture at different moments.
import { Button, Tooltip } from "@fluentui/react-components";
import { AddRegular, SubtractRegular } from "@fluentui/react-icons";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { DiagramTable } from "../../diagram/DiagramTable";
import { DiagramView, ZOOM_STEP } from "../../diagram/DiagramView";
import { type Moment, things } from "../../diagram/state";
import type { PlanView } from "../../host/gen/PlanView";
import type { TaskState } from "../../host/gen/TaskState";
import s from "./run.module.css";

const MOMENTS: Moment[] = ["before", "now", "after"];
const MAX_ZOOM = 2;

type Props = {
  plan: PlanView;
  tasks: ReadonlyMap<string, TaskState> | undefined;
  selected: string | undefined;
  onSelect: (address: string) => void;
};

export function DiagramPane({ plan, tasks, selected, onSelect }: Props) {
  const { t } = useTranslation();
  const [moment, setMoment] = useState<Moment>("now");
  const [table, setTable] = useState(false);
  const [zoom, setZoom] = useState(1);
  const known = useMemo(() => things(plan.diagram, plan.plan, tasks), [plan, tasks]);
  const shared = { diagram: plan.diagram, things: known, moment, live: tasks !== undefined, onSelect };
  return (
    <section className={s.canvas} aria-label={t("diagram.title")}>
      <div className={s.tools}>
        <div className={s.segments} role="radiogroup" aria-label={t("diagram.moment")}>
          {MOMENTS.map((m) => (
            <button
              key={m}
              type="button"
              role="radio"
              aria-checked={moment === m}
              tabIndex={moment === m ? 0 : -1}
              data-testid={`moment-${m}`}
              onClick={() => setMoment(m)}
              onKeyDown={(event) => {
                const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
                const next = MOMENTS[(MOMENTS.indexOf(m) + step + MOMENTS.length) % MOMENTS.length];
                if (step === 0 || !next) return;
                setMoment(next);
                const sibling =
                  step > 0 ? event.currentTarget.nextElementSibling : event.currentTarget.previousElementSibling;
                (sibling as HTMLElement | null)?.focus();
              }}
            >
              {t(m === "now" && !tasks ? "diagram.during" : `diagram.${m}`)}
            </button>
          ))}
        </div>
        <span className={s.spring} />
        {table ? null : (
          <>
            <Tooltip content={t("diagram.smaller")} relationship="label">
              <Button
                size="small"
                icon={<SubtractRegular />}
                disabled={zoom <= 1}
                onClick={() => setZoom(Math.max(1, zoom / ZOOM_STEP))}
              />
            </Tooltip>
            <Tooltip content={t("diagram.larger")} relationship="label">
              <Button
                size="small"
                icon={<AddRegular />}
                disabled={zoom >= MAX_ZOOM}
                onClick={() => setZoom(Math.min(MAX_ZOOM, zoom * ZOOM_STEP))}
              />
            </Tooltip>
            <Button size="small" onClick={() => setZoom(1)}>
              {t("diagram.fit")}
            </Button>
          </>
        )}
        <Button size="small" data-testid="diagram-table" onClick={() => setTable(!table)}>
          {t(table ? "diagram.picture" : "diagram.table")}
        </Button>
      </div>
      {table ? <DiagramTable {...shared} /> : <DiagramView {...shared} selectedTask={selected} zoom={zoom} />}
    </section>
  );
}
