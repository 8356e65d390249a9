// The databases of the open project: as stored, and as they come while they are read.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { useProject } from "../../app/project";
import { useHost } from "../../host";
import type { SqlInstance } from "../../host/gen/SqlInstance";
import type { SqlMessage } from "../../host/gen/SqlMessage";
import type { SqlView } from "../../host/gen/SqlView";
import type { UiError } from "../../host/gen/UiError";

type Reading = {
  busy: boolean;
  instance: SqlInstance | null;
  looked: number;
  millis: number;
  error: UiError | null;
};

const BEGUN: Reading = { busy: true, instance: null, looked: 0, millis: 0, error: null };

function take(reading: Reading, message: SqlMessage): Reading {
  switch (message.type) {
    case "instance":
      return { ...reading, instance: message.instance };
    case "looked":
      return { ...reading, looked: message.databases };
    case "done":
      return { ...reading, busy: false, millis: message.millis };
    case "failed":
      return { ...reading, busy: false, error: message.error };
  }
}

export function useDatabases() {
  const host = useHost();
  const queries = useQueryClient();
  const { path } = useProject();
  const stored = useQuery<SqlView | null, UiError>({
    queryKey: ["databases", path],
    queryFn: () => host.call("sql_get", { project: path ?? "" }),
    enabled: path !== null,
  });
  const [reading, setReading] = useState<Reading | null>(null);
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), []);
  const read = useCallback(() => {
    if (path === null) return;
    stop.current?.();
    setReading(BEGUN);
    stop.current = host.stream(
      "sql_read",
      { project: path },
      (message) => {
        setReading((before) => take(before ?? BEGUN, message));
        if (message.type !== "done") return;
        queries.setQueryData<SqlView | null>(["databases", path], message.view);
        // What was found is in the plan from now on.
        void queries.invalidateQueries({ queryKey: ["plan"] });
      },
      (error) => setReading((before) => ({ ...(before ?? BEGUN), busy: false, error })),
    );
  }, [host, path, queries]);
  return {
    view: stored.data ?? null,
    pending: stored.isPending && path !== null,
    error: reading?.error ?? stored.error,
    reading,
    read,
  };
}
