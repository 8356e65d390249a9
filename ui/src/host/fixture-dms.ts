// The recorded architecture with Azure Database Migration Service that takes backups from a share: the fullest picture.
import type { Diagram } from "./gen/Diagram";
import type { Edge } from "./gen/Edge";
import type { Node } from "./gen/Node";

const node = (id: string, kind: Node["kind"], label: string, detail: string, parent: string, stays = false): Node => ({
  id,
  kind,
  label,
  detail,
  parent,
  before: stays,
  after: stays,
});
const edge = (id: string, from: string, to: string, kind: Edge["kind"], label: string): Edge => ({
  id,
  from,
  to,
  kind,
  label,
});

export function withDms({ nodes, edges }: Diagram): Diagram {
  const share = node(
    "share/backups",
    "storage",
    "Backup share",
    "\\\\FILES01\\backups\\SmartHotelDB",
    "site/onprem",
    true,
  );
  const runtime = node("runtime/SHIR01", "appliance", "Integration runtime", "SHIR01", "site/onprem");
  const service = node(
    "dms/contoso-dms",
    "migrationService",
    "Database Migration Service",
    "contoso-dms",
    "site/azure",
  );
  const after = (id: string) => nodes.findIndex((n) => n.id === id) + 1;
  const backup = edges.findIndex((e) => e.id === "flow/backup");
  const { from = "", to = "" } = edges[backup] ?? {};
  return {
    nodes: nodes
      .toSpliced(after("storage/contosobackup20180528"), 0, service)
      .toSpliced(after("appliance/ASR-APPLIANCE"), 0, share, runtime),
    edges: edges.toSpliced(
      backup,
      1,
      edge("flow/backup", from, share.id, "flow", "backups"),
      edge("flow/share", share.id, runtime.id, "flow", "backups"),
      edge("flow/upload", runtime.id, to, "flow", "upload"),
      edge("link/dms", service.id, "mi/contoso-sqlmi", "link", "steers the restore"),
    ),
  };
}
