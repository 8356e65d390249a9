// What is on-premises: the machines of vCenter, whose rows come as they are read and change as vCenter does while somebody
// looks, and the databases of the source SQL Server.
import { Button, Skeleton, SkeletonItem, Spinner, Tab, TabList } from "@fluentui/react-components";
import { ArrowClockwiseRegular, ArrowImportRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { count, dateTime } from "../../design/format";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { ImportPreview } from "../../host/gen/ImportPreview";
import { ChangesBanner } from "./Changes";
import { Databases } from "./Databases";
import { ImportDialog } from "./ImportDialog";
import { Table } from "./Table";
import { useInventory, type Watch } from "./useInventory";
import s from "./inventory.module.css";

type Kind = "machines" | "databases";

export default function Inventory() {
  const { t } = useTranslation();
  const [kind, setKind] = useState<Kind>("machines");
  const tabs = (
    <>
      <h1>{t("inventory.title")}</h1>
      <TabList selectedValue={kind} onTabSelect={(_, data) => setKind(data.value as Kind)}>
        <Tab value="machines" data-testid="inventory-machines">
          {t("databases.machines")}
        </Tab>
        <Tab value="databases" data-testid="inventory-databases">
          {t("databases.tab")}
        </Tab>
      </TabList>
    </>
  );
  return kind === "machines" ? (
    <Machines tabs={tabs} />
  ) : (
    <div className={s.page} data-testid="inventory">
      <Databases tabs={tabs} />
    </div>
  );
}

function Machines({ tabs }: { tabs: React.ReactNode }) {
  const { t } = useTranslation();
  const { project, path, error: projectError, reload, go } = useProject();
  const inventory = useInventory();
  const { stored, vms, reading, busy, read } = inventory;
  const look = useCommand("inventory_import_preview");
  const [preview, setPreview] = useState<ImportPreview | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);

  const ask = () => {
    if (path !== null) look.mutate({ project: path }, { onSuccess: setPreview });
  };
  const failure = projectError ?? inventory.error ?? look.error;
  const nothing = !inventory.pending && !busy && vms.length === 0;
  const summary = busy
    ? t("inventory.reading", { n: count(vms.length), vcenter: reading?.vcenter ?? t("inventory.vcenter") })
    : reading?.done
      ? t("inventory.read", { n: count(reading.done.vms), seconds: (reading.done.millis / 1000).toFixed(1) })
      : stored?.readAt
        ? t("inventory.stored", { vcenter: stored.vcenterName, at: dateTime(stored.readAt) })
        : "";

  return (
    <div className={s.page} data-testid="inventory" data-busy={busy}>
      <div className={s.head}>
        {tabs}
        <span className={`${s.summary} num`} aria-live="polite" data-testid="inventory-summary">
          {busy ? <Spinner size="extra-tiny" /> : null}
          {summary}
        </span>
        <Live watch={inventory.watch} />
        <Button icon={<ArrowImportRegular />} disabled={busy || look.isPending} data-testid="import" onClick={ask}>
          {t("import.button")}
        </Button>
        <Button icon={<ArrowClockwiseRegular />} disabled={busy} data-testid="inventory-read" onClick={read}>
          {t("inventory.readAgain")}
        </Button>
      </div>
      <Told told={inventory.told} />
      {failure ? (
        <div className={s.failure}>
          <ErrorCard error={failure} onRetry={projectError ? reload : look.error ? ask : read}>
            {failure.code === "certificate" ||
            failure.code === "signIn" ||
            failure.code === "unreachable" ||
            failure.code === "refused" ? (
              <Button size="small" onClick={() => go("connect")}>
                {t("inventory.toConnections")}
              </Button>
            ) : null}
          </ErrorCard>
        </div>
      ) : null}
      {inventory.lost && !failure ? (
        <div className={s.failure} data-testid="watch-lost">
          <Notice title={inventory.lost.title}>
            <p>{inventory.watch === "lost" ? t("inventory.lost") : inventory.lost.hint}</p>
          </Notice>
        </div>
      ) : null}
      {inventory.changes && !busy ? (
        <ChangesBanner changes={inventory.changes} onChoose={setChosen} onForget={inventory.forgetChanges} />
      ) : null}
      {nothing && !failure ? (
        <div className={s.empty} data-testid="inventory-empty">
          <h2>{t("inventory.emptyTitle")}</h2>
          <p>
            {t("inventory.emptyText", {
              vcenter: project?.connections.connections.vcenter.url || t("inventory.vcenter"),
            })}
          </p>
          <Button appearance="primary" data-testid="inventory-read-first" onClick={read}>
            {t("inventory.readNow")}
          </Button>
        </div>
      ) : inventory.pending && !reading ? (
        <Skeleton className={s.skeletons} aria-label={t("app.loading")}>
          {Array.from({ length: 12 }, (_, n) => (
            <SkeletonItem key={n} className={s.skeleton} />
          ))}
        </Skeleton>
      ) : nothing ? null : (
        <Table
          vms={vms}
          busy={busy}
          silent={!inventory.connected ? "noConnection" : inventory.watch === "lost" ? "lost" : null}
          touched={inventory.touched}
          patch={inventory.patch}
          chosen={chosen}
          onChoose={setChosen}
        />
      )}
      <ImportDialog project={path ?? ""} preview={preview} onClose={() => setPreview(null)} />
    </div>
  );
}

function Live({ watch }: { watch: Watch }) {
  const { t } = useTranslation();
  if (watch === "off") return null;
  return (
    <span className={s.live} data-watch={watch} data-testid="inventory-live" title={t(`inventory.watch.${watch}Text`)}>
      <span aria-hidden />
      {t(`inventory.watch.${watch}`)}
    </span>
  );
}

/** Says what changed to those who don't see the row. */
function Told({ told }: { told: { names: string[]; gone: number } | null }) {
  const { t } = useTranslation();
  const words = !told
    ? ""
    : told.gone > 0
      ? t("inventory.toldGone", { count: told.gone })
      : told.names.length === 1
        ? t("inventory.toldOne", { name: told.names[0] })
        : t("inventory.toldMany", { n: count(told.names.length) });
  return (
    <span className="hidden" role="status" data-testid="inventory-told">
      {words}
    </span>
  );
}
