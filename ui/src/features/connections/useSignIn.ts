// A sign-in that goes on: the stream of its messages, how it stands, and how it ended.
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useHost } from "../../host";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { UiError } from "../../host/gen/UiError";
import { advance, BEGUN, type Progress } from "./signIn";

export function useSignIn(project: string, onSignedIn: (connections: ConnectionsView) => void) {
  const host = useHost();
  const queries = useQueryClient();
  const [progress, setProgress] = useState<Progress | null>(null);
  const [error, setError] = useState<UiError | null>(null);
  const stop = useRef<() => void>(undefined);
  const end = useCallback(() => {
    stop.current?.();
    stop.current = undefined;
    setProgress(null);
  }, []);
  // Whoever leaves the screen has given up.
  useEffect(() => () => stop.current?.(), []);

  const begin = () => {
    end();
    setError(null);
    let now: Progress = BEGUN;
    setProgress(now);
    const fail = (failed: UiError) => {
      end();
      setError(failed);
    };
    stop.current = host.stream(
      "sign_in",
      { project },
      (message) => {
        const next = advance(now, message);
        if ("error" in next) return fail(next.error);
        if ("connections" in next) {
          end();
          void queries.invalidateQueries({ queryKey: ["project"] });
          return onSignedIn(next.connections);
        }
        now = next;
        setProgress(now);
      },
      fail,
    );
  };
  return { progress, error, begin, cancel: end, forget: () => setError(null) };
}
