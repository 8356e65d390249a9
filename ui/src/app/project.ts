// The open project and its run, shared by all screens: one subscription, however many look at it.
import { useQuery } from "@tanstack/react-query";
import { createContext, use, useMemo } from "react";
import { useRun } from "../features/run/stream";
import type { RunModel } from "../features/run/model";
import { useHost } from "../host";
import type { AppInfo } from "../host/gen/AppInfo";
import type { ProjectView } from "../host/gen/ProjectView";
import type { UiError } from "../host/gen/UiError";
import type { Screen } from "./view";

export type ProjectState = {
  path: string | null;
  project: ProjectView | undefined;
  error: UiError | null;
  /** None until the plan is there; also none when no run was started. */
  run: RunModel | null;
  /** The run is executed by this process now. */
  live: boolean;
  /** The stream of the run broke. */
  streamError: UiError | null;
  reload: () => void;
};

export type ProjectContextValue = ProjectState & {
  info: AppInfo | undefined;
  go: (screen: Screen) => void;
  open: (path: string, screen: Screen) => void;
  close: () => void;
};

export const ProjectContext = createContext<ProjectContextValue | null>(null);

export function useProject(): ProjectContextValue {
  const value = use(ProjectContext);
  if (!value) throw new Error("ProjectContext is missing");
  return value;
}

export function useProjectState(path: string | null): ProjectState {
  const host = useHost();
  const query = useQuery<ProjectView, UiError>({
    queryKey: ["project", path],
    queryFn: () => host.call("project_get", { project: path ?? "" }),
    enabled: path !== null,
  });
  const project = path === null ? undefined : query.data;
  const run = useRun(project);
  const { refetch } = query;
  return useMemo(
    () => ({
      path,
      project,
      error: path === null ? null : query.error,
      run: run.model,
      live: run.live,
      streamError: run.error,
      reload: () => void refetch(),
    }),
    [path, project, query.error, run, refetch],
  );
}
