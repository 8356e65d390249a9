// Which screen of which project is shown. It lives in the address after the #, so that a reload keeps its place.
import { useSyncExternalStore } from "react";

export const SCREENS = ["projects", "connect", "inventory", "plan", "run", "report"] as const;
export type Screen = (typeof SCREENS)[number];
export type View = { screen: Screen; project: string | null };

export function parse(hash: string): View {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const project = new URLSearchParams(query ?? "").get("project");
  const screen = SCREENS.find((s) => s === path) ?? "projects";
  return project || screen === "projects" ? { screen, project } : { screen: "projects", project: null };
}

export function format({ screen, project }: View): string {
  return `#/${screen}${project ? `?${new URLSearchParams({ project })}` : ""}`;
}

const subscribe = (changed: () => void) => {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
};

export function useView(): [View, (view: View) => void] {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  return [
    parse(hash),
    (view) => {
      location.hash = format(view);
    },
  ];
}
