// One of the connections as it is being edited: what is stored, what is typed, and how it is saved and tested.
import { useState } from "react";
import { useCommand } from "../../host";
import type { CertificateView } from "../../host/gen/CertificateView";
import type { ConnectionKind } from "../../host/gen/ConnectionKind";
import type { Connections } from "../../host/gen/Connections";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { ProjectView } from "../../host/gen/ProjectView";

export type Secrets = { secret: string; proxyPassword: string };
const NONE: Secrets = { secret: "", proxyPassword: "" };

export function useConnection<K extends ConnectionKind>(kind: K, project: ProjectView) {
  const [view, setView] = useState<ConnectionsView>(project.connections);
  const [draft, setDraft] = useState<Connections[K]>(view.connections[kind]);
  const [secrets, setSecrets] = useState(NONE);
  const [saves, setSaves] = useState(0);
  const [asked, setAsked] = useState<CertificateView | null>(null);
  const save = useCommand("connection_save");
  const test = useCommand("connection_test");
  const trust = useCommand("certificate_trust");
  const differs = (wanted: Connections[K]) =>
    secrets.secret !== "" ||
    secrets.proxyPassword !== "" ||
    JSON.stringify(wanted) !== JSON.stringify(view.connections[kind]);
  const changed = differs(draft);

  /** Takes over what the host says is stored now. */
  const accept = (next: ConnectionsView) => {
    setView(next);
    setDraft(next.connections[kind]);
    setSecrets(NONE);
    setSaves((n) => n + 1);
  };
  const runTest = () =>
    test.mutate({ project: project.path, kind }, { onSuccess: (result) => setAsked(result.certificate) });
  /** Saves what is typed, with one more change if there is one, and goes on when it is stored. */
  const saveThen = (then?: () => void, patch: Partial<Connections[K]> = {}) => {
    const wanted = { ...draft, ...patch };
    test.reset();
    if (!differs(wanted)) return then?.();
    save.mutate(
      {
        project: project.path,
        kind,
        connections: { ...view.connections, [kind]: wanted },
        secret: secrets.secret || null,
        proxyPassword: secrets.proxyPassword || null,
      },
      {
        onSuccess: (next) => {
          accept(next);
          then?.();
        },
      },
    );
  };
  return {
    kind,
    path: project.path,
    view,
    draft,
    set: (patch: Partial<Connections[K]>) => setDraft((d) => ({ ...d, ...patch })),
    secrets,
    setSecrets: (patch: Partial<Secrets>) => setSecrets((now) => ({ ...now, ...patch })),
    /** Grows with each save: fields for secrets begin anew. */
    saves,
    changed,
    busy: save.isPending || test.isPending,
    accept,
    /** Takes over what is stored now, and leaves what is being typed. */
    take: setView,
    saveThen,
    runTest,
    test,
    asked,
    refuse: () => setAsked(null),
    trusting: trust.isPending,
    trust: (sha256: string) =>
      trust.mutate(
        { project: project.path, kind, sha256 },
        {
          onSuccess: (next) => {
            setAsked(null);
            accept(next);
            runTest();
          },
        },
      ),
    error: save.error ?? test.error ?? trust.error,
  };
}

export type Connection<K extends ConnectionKind> = ReturnType<typeof useConnection<K>>;
