// The same content as the picture, as a table: for screen readers, and for whoever prefers rows.
import { useTranslation } from "react-i18next";
import { StatusPill } from "../design/StatusIcon";
import type { Diagram } from "../host/gen/Diagram";
import { type Moment, type Thing, visible } from "./state";
import s from "./diagram.module.css";

type Props = {
  diagram: Diagram;
  things: ReadonlyMap<string, Thing>;
  moment: Moment;
  live: boolean;
  onSelect: (address: string) => void;
};

export function DiagramTable({ diagram, things, moment, live, onSelect }: Props) {
  const { t } = useTranslation();
  const shown = visible(diagram, moment);
  const label = (id: string | null) => diagram.nodes.find((n) => n.id === id)?.label ?? "";
  const where = (id: string | null): string => {
    const node = diagram.nodes.find((n) => n.id === id);
    if (!node) return "";
    const outer = where(node.parent);
    return outer ? `${outer} › ${node.label}` : node.label;
  };
  const showState = live && moment === "now";
  const button = (id: string, words: string) => {
    const task = things.get(id)?.task;
    return task ? (
      <button type="button" className={s.link} onClick={() => onSelect(task.address)}>
        {words}
      </button>
    ) : (
      words
    );
  };
  const mark = (id: string) => {
    const value = things.get(id)?.mark;
    return showState && value ? <StatusPill mark={value} /> : null;
  };
  return (
    <div className={s.tables} tabIndex={0} role="region" aria-label={t("diagram.table")}>
      <table className={s.table}>
        <caption>{t("diagram.nodes")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("diagram.name")}</th>
            <th scope="col">{t("diagram.state")}</th>
            <th scope="col">{t("diagram.detail")}</th>
            <th scope="col">{t("diagram.where")}</th>
          </tr>
        </thead>
        <tbody>
          {diagram.nodes
            .filter((n) => n.kind !== "site" && shown.nodes.has(n.id))
            .map((n) => (
              <tr key={n.id}>
                <th scope="row">{button(n.id, n.label)}</th>
                <td>{mark(n.id)}</td>
                <td>{showState ? things.get(n.id)?.detail : n.detail}</td>
                <td>{where(n.parent)}</td>
              </tr>
            ))}
        </tbody>
      </table>
      <table className={s.table}>
        <caption>{t("diagram.edges")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("diagram.fromTo")}</th>
            <th scope="col">{t("diagram.state")}</th>
            <th scope="col">{t("diagram.detail")}</th>
            <th scope="col">{t("diagram.kind")}</th>
          </tr>
        </thead>
        <tbody>
          {diagram.edges
            .filter((e) => shown.edges.has(e.id))
            .map((e) => (
              <tr key={e.id}>
                <th scope="row">{button(e.id, `${label(e.from)} → ${label(e.to)}`)}</th>
                <td>{mark(e.id)}</td>
                <td>{showState ? things.get(e.id)?.detail : e.label}</td>
                <td>{t(`diagram.${e.kind}`)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
