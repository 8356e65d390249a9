// Follows a live run. Messages come in bursts (up to ten a second for each task); they are folded together a few times
// a second, so that the window stays calm at any speed.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useHost } from "../../host";
import type { PlanView } from "../../host/gen/PlanView";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { RunMessage } from "../../host/gen/RunMessage";
import type { UiError } from "../../host/gen/UiError";
import { fold, recorded, type RunModel } from "./model";

const FOLD_EVERY = 80;

export type FollowedRun = { model: RunModel | null; live: boolean; error: UiError | null };

export function useRun(project: ProjectView | undefined): FollowedRun {
  const host = useHost();
  const queries = useQueryClient();
  const path = project?.path;
  const live = project?.live ?? false;
  const runId = project?.run?.run;
  const [followed, setFollowed] = useState<{ key: string; model: RunModel | null; error: UiError | null } | null>(null);
  const key = live && path ? `${path} ${runId ?? ""}` : null;

  useEffect(() => {
    if (!key || !path) return;
    let queue: RunMessage[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let model: RunModel | null = null;
    let ended = false;
    const flush = () => {
      timer = undefined;
      const batch = queue;
      queue = [];
      model = fold(model, batch, Date.now());
      setFollowed({ key, model, error: null });
      const phase = model?.run.phase;
      if (!ended && (phase === "done" || phase === "stopped" || phase === "cancelled")) {
        ended = true;
        void queries.invalidateQueries({ queryKey: ["project", path] });
        void queries.invalidateQueries({ queryKey: ["projects"] });
      }
    };
    const stop = host.stream(
      "run_subscribe",
      { project: path },
      (message) => {
        queue.push(message);
        if (message.type === "snapshot") {
          clearTimeout(timer);
          flush();
        } else timer ??= setTimeout(flush, FOLD_EVERY);
      },
      (error) => setFollowed({ key, model, error }),
    );
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [host, queries, key, path]);

  const plan = useQuery<PlanView, UiError>({
    queryKey: ["plan", path],
    queryFn: () => host.call("plan_get", { project: path ?? "" }),
    enabled: path !== undefined && !live && project?.run != null,
  });

  const state = project?.run;
  const latest = followed?.model;
  const known = followed?.key;
  const error = followed?.error ?? null;
  const view = plan.data;
  const planError = plan.error;
  return useMemo((): FollowedRun => {
    if (key) return known === key ? { model: latest ?? null, live, error } : { model: null, live, error: null };
    if (view && state) return { model: recorded(view, state), live: false, error: null };
    // Between the end of the stream and the project's own record the last picture stays.
    const last = path !== undefined && known?.startsWith(`${path} `) ? latest : undefined;
    return { model: last ?? null, live: false, error: planError };
  }, [key, known, latest, error, live, view, planError, state, path]);
}

/** At most this long (milliseconds) the clock is carried on without a message. */
const CARRY_ON = 2_000;

/** The run's clock now, in milliseconds: the lab's, carried on from the last message. Ticks while the run is live. */
export function useClock(model: RunModel | null, live: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  const clock = model?.clock;
  const moving = live && model?.run.phase === "running";
  useEffect(() => {
    if (!moving) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [moving]);
  if (!clock) return 0;
  return moving ? clock.at + Math.min(Math.max(0, now - clock.seen), CARRY_ON) * clock.speed : clock.at;
}
