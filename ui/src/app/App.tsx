// The frame of every screen: theme, top bar, rail, and the question when the window is closed during a run.
import { FluentProvider, Spinner } from "@fluentui/react-components";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { darkTheme, lightTheme, type ThemeChoice } from "../design/theme";
import { useCommand, useHost } from "../host";
import { ErrorBoundary } from "./ErrorBoundary";
import { CloseDialog } from "./CloseDialog";
import { ProjectContext, useProjectState } from "./project";
import { Rail } from "./Rail";
import { TopBar } from "./TopBar";
import { type Screen, useView } from "./view";
import s from "./app.module.css";

const screens = {
  projects: lazy(() => import("../features/home/Home")),
  connect: lazy(() => import("../features/connections/Connections")),
  inventory: lazy(() => import("../features/inventory/Inventory")),
  plan: lazy(() => import("../features/plan/PlanScreen")),
  run: lazy(() => import("../features/run/RunScreen")),
  report: lazy(() => import("../features/report/ReportScreen")),
} satisfies Record<Screen, unknown>;

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const subscribeDark = (changed: () => void) => {
  prefersDark.addEventListener("change", changed);
  return () => prefersDark.removeEventListener("change", changed);
};

const asChoice = (text: string | undefined | null): ThemeChoice =>
  text === "light" || text === "dark" ? text : "system";

export function App() {
  const { t } = useTranslation();
  const host = useHost();
  const queries = useQueryClient();
  const [view, setView] = useView();
  const info = useQuery({
    queryKey: ["app"],
    queryFn: () => host.call("app_info", {}),
    staleTime: Infinity,
    // A keyring that is being asked has answered within seconds.
    refetchInterval: (query) => (query.state.data?.secrets.kept === "opening" ? 1000 : false),
  });
  const saveTheme = useCommand("set_theme");
  const [chosen, setChosen] = useState<ThemeChoice | null>(null);
  const choice = chosen ?? asChoice(info.data?.theme ?? localStorage.getItem("theme"));
  const systemDark = useSyncExternalStore(subscribeDark, () => prefersDark.matches);
  const dark = choice === "dark" || (choice === "system" && systemDark);

  useEffect(() => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    localStorage.setItem("theme", choice === "system" ? "" : choice);
  }, [dark, choice]);

  const project = useProjectState(view.project);
  const Screen = screens[view.screen];
  const context = useMemo(
    () => ({
      ...project,
      go: (screen: Screen) => setView({ screen, project: view.project }),
      open: (path: string, screen: Screen) => {
        void queries.invalidateQueries({ queryKey: ["project", path] });
        setView({ screen, project: path });
      },
      close: () => setView({ screen: "projects", project: null }),
      info: info.data,
    }),
    [project, view.project, setView, queries, info.data],
  );

  return (
    <FluentProvider theme={dark ? darkTheme : lightTheme} className={s.provider}>
      <ProjectContext value={context}>
        <div className={s.app}>
          <TopBar
            view={view}
            dark={dark}
            onTheme={(next) => {
              setChosen(next);
              saveTheme.mutate({ theme: next });
            }}
          />
          <div className={s.below}>
            <Rail view={view} />
            <main className={s.main} aria-label={t(`screen.${view.screen}`)}>
              <ErrorBoundary key={view.screen}>
                <Suspense
                  fallback={
                    <div className={s.center}>
                      <Spinner size="small" label={t("app.loading")} />
                    </div>
                  }
                >
                  <Screen />
                </Suspense>
              </ErrorBoundary>
            </main>
          </div>
          <CloseDialog />
        </div>
      </ProjectContext>
    </FluentProvider>
  );
}
