// One machine: whether it can move and who must do what for it, then everything that is known of it.
import { Button, Spinner, Tab, TabList } from "@fluentui/react-components";
import { DismissRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { bytes, dateTime, percent } from "../../design/format";
import type { Mark } from "../../design/mark";
import { StatusIcon } from "../../design/StatusIcon";
import { useHost } from "../../host";
import type { Disk } from "../../host/gen/Disk";
import type { ReplicationMethod } from "../../host/gen/ReplicationMethod";
import type { UiError } from "../../host/gen/UiError";
import type { Vm } from "../../host/gen/Vm";
import type { VmDetails } from "../../host/gen/VmDetails";
import type { VmEventView } from "../../host/gen/VmEventView";
import type { VmFindings } from "../../host/gen/VmFindings";
import { Facts, FindingList } from "./parts";
import { Readiness } from "./Readiness";
import { countOf, findingsOf, IMPORTED } from "./rows";
import { place, toolsVersion, usePower, useTools } from "./words";
import s from "./details.module.css";

const METHODS: ReplicationMethod[] = ["InMageRcm", "VMwareCbt"];

/** Why vCenter can't be asked. */
export type Silence = "noConnection" | "lost" | null;

type Props = {
  vm: Vm;
  judged: VmFindings | undefined;
  method: ReplicationMethod;
  /** Why details could not be read. */
  error: UiError | null;
  /** Why vCenter can't be asked for details; none when it can. */
  silent: Silence;
  /** Readiness was read or changed: it is to be judged again. */
  onRead: () => void;
  onClose: () => void;
};

export function Details({ vm, judged, method, error, silent, onRead, onClose }: Props) {
  const { t } = useTranslation();
  const power = usePower();
  return (
    <aside
      className={s.details}
      aria-label={vm.name}
      data-testid="vm-details"
      onKeyDown={(event) => event.key === "Escape" && onClose()}
    >
      <div className={s.head}>
        <div className={s.title}>
          <h2 className="cut" title={vm.name}>
            {vm.name}
          </h2>
          <p className={s.muted}>
            {power(vm.powerState)} · {vm.guestFullName ?? vm.guestId ?? t("inventory.unknown")}
          </p>
        </div>
        <Button
          appearance="subtle"
          size="small"
          icon={<DismissRegular />}
          aria-label={t("common.close")}
          data-testid="vm-close"
          onClick={onClose}
        />
      </div>
      <Findings judged={judged} method={method} read={vm.details !== null} />
      <Readiness vm={vm} ask={silent === null && !vm.moref.startsWith(IMPORTED)} onRead={onRead} />
      <Machine vm={vm} />
      {vm.details ? (
        <Hardware vm={vm} details={vm.details} />
      ) : (
        <div className={s.unread} data-testid="vm-unread">
          {silent !== null || vm.moref.startsWith(IMPORTED) ? (
            t(`inventory.silent.${silent ?? "noConnection"}`)
          ) : error ? (
            `${error.title}. ${error.hint}`
          ) : (
            <>
              <Spinner size="extra-tiny" /> {t("inventory.readingDetails")}
            </>
          )}
        </div>
      )}
      {silent === null && !vm.moref.startsWith(IMPORTED) ? <History moref={vm.moref} /> : null}
    </aside>
  );
}

/** Who did what to the machine, asked of vCenter when somebody wants to know. */
function History({ moref }: { moref: string }) {
  const { t } = useTranslation();
  const host = useHost();
  const { path } = useProject();
  const [open, setOpen] = useState(false);
  const events = useQuery<VmEventView[], UiError>({
    queryKey: ["vm-events", path, moref],
    queryFn: () => host.call("vm_events", { project: path ?? "", moref }),
    enabled: open && path !== null,
    staleTime: 0,
  });
  return (
    <details className={s.notes} data-testid="vm-history" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("inventory.history")}</summary>
      {open && events.isPending ? <Spinner size="tiny" label={t("inventory.readingHistory")} /> : null}
      {events.error ? <ErrorCard error={events.error} onRetry={() => void events.refetch()} /> : null}
      {events.data?.length === 0 ? <p className={s.muted}>{t("inventory.noHistory")}</p> : null}
      {events.data && events.data.length > 0 ? (
        <ul className={s.things}>
          {events.data.map((event) => (
            <li key={event.key}>
              <p>{event.message || event.kind}</p>
              <p className={s.muted}>
                {dateTime(event.at)} · {event.user || t("inventory.byVcenter")}
              </p>
            </li>
          ))}
        </ul>
      ) : null}
    </details>
  );
}

type FindingsProps = { judged: VmFindings | undefined; method: ReplicationMethod; read: boolean };

function Findings({ judged, method, read }: FindingsProps) {
  const { t } = useTranslation();
  const [shown, setShown] = useState<ReplicationMethod>(method);
  const found = findingsOf(judged, shown);
  const notes = found.filter((f) => f.severity === "information");
  const matters = found.filter((f) => f.severity !== "information");
  // A machine whose disks are unknown is never called fit.
  const fit: Mark = read ? "done" : "later";
  return (
    <section className={s.section} aria-label={t("inventory.findings")} data-testid="vm-findings">
      <TabList
        size="small"
        selectedValue={shown}
        onTabSelect={(_, data) => setShown(data.value as ReplicationMethod)}
        className={s.methods}
      >
        {METHODS.map((each) => {
          const counts = countOf(findingsOf(judged, each));
          const mark: Mark = counts.blocking > 0 ? "failed" : counts.warning > 0 ? "overdue" : fit;
          return (
            <Tab key={each} value={each} data-testid={`findings-${each}`}>
              <span className={s.method} data-mark={mark}>
                {judged ? <StatusIcon mark={mark} size={14} quiet /> : null}
                {t(`inventory.service.${each}`)}
                <span className="hidden">
                  {t("inventory.counts", { blocking: counts.blocking, warning: counts.warning })}
                </span>
              </span>
            </Tab>
          );
        })}
      </TabList>
      {!judged ? <p className={s.muted}>{t("inventory.judging")}</p> : null}
      {judged && matters.length === 0 ? (
        <p className={s.fit} data-mark={fit}>
          <StatusIcon mark={fit} size={16} quiet /> {t(read ? "inventory.fit" : "inventory.fitSoFar")}
        </p>
      ) : null}
      <FindingList findings={matters} />
      {notes.length > 0 ? (
        <details className={s.notes}>
          <summary>{t("inventory.notes", { count: notes.length })}</summary>
          <FindingList findings={notes} />
        </details>
      ) : null}
    </section>
  );
}

function Machine({ vm }: { vm: Vm }) {
  const { t } = useTranslation();
  const tools = useTools();
  const unknown = t("inventory.unknown");
  const version = toolsVersion(vm.details?.toolsVersion ?? null);
  return (
    <Facts
      title={t("inventory.machine")}
      rows={[
        [t("inventory.hostName"), vm.hostName ?? unknown],
        [t("inventory.columns.ip"), vm.ipAddress ?? unknown],
        [t("inventory.columns.cpu"), String(vm.cpus)],
        [t("inventory.columns.memory"), bytes(vm.memoryMib * 1024 * 1024)],
        [t("inventory.firmware"), firmware(vm, t("inventory.secureBoot")) ?? unknown],
        [t("inventory.columns.tools"), version ? `${tools(vm.toolsStatus)}, ${version}` : tools(vm.toolsStatus)],
        [t("inventory.readiness"), vm.readiness?.replaceAll(";", " · ") ?? t("inventory.noReadiness")],
        [t("inventory.columns.host"), vm.host ?? unknown],
        [t("inventory.cluster"), vm.cluster ?? t("inventory.none")],
        [t("inventory.datacenter"), vm.datacenter ?? unknown],
        [t("inventory.moref"), vm.moref.startsWith(IMPORTED) ? t("inventory.none") : vm.moref],
        [t("inventory.uuid"), vm.instanceUuid ?? unknown],
      ]}
    />
  );
}

function firmware(vm: Vm, secureBoot: string): string | null {
  if (!vm.firmware) return null;
  return `${vm.firmware.toUpperCase()}${vm.secureBoot ? ` · ${secureBoot}` : ""}`;
}

function Hardware({ vm, details: d }: { vm: Vm; details: VmDetails }) {
  const { t } = useTranslation();
  const byMac = (mac: string | null) => d.addresses.filter((a) => mac !== null && a.mac === mac);
  const homeless = d.addresses.filter((a) => !d.nics.some((n) => n.mac !== null && n.mac === a.mac));
  const address = (a: (typeof d.addresses)[number]) =>
    `${a.ip}${a.prefix === null ? "" : `/${a.prefix}`}${a.origin ? ` (${origin(a.origin)})` : ""}`;
  const origin = (word: string) => (word === "manual" || word === "dhcp" ? t(`inventory.origin.${word}`) : word);
  return (
    <>
      <Things title={t("inventory.diskList", { count: d.disks.length })} none={t("inventory.noDisks")}>
        {d.disks.map((disk) => (
          <Thing
            key={disk.key || disk.label}
            name={disk.label}
            value={bytes(disk.capacityBytes)}
            notes={[
              place(disk.controller, disk.bus, disk.unit),
              disk.thin === null ? null : t(disk.thin ? "inventory.disk.thin" : "inventory.disk.thick"),
              ...peculiar(disk).map((word) => t(`inventory.disk.${word}`)),
            ]}
            path={disk.file}
          />
        ))}
      </Things>
      <Things title={t("inventory.nicList", { count: d.nics.length })} none={t("inventory.noNics")}>
        {d.nics.map((nic) => (
          <Thing
            key={nic.key || nic.label}
            name={nic.label}
            value={nic.network ?? t("inventory.unknown")}
            notes={[
              nic.kind.replace(/^Virtual/, ""),
              nic.mac,
              nic.connected === false ? t("inventory.disconnected") : null,
              ...byMac(nic.mac).map(address),
            ]}
          />
        ))}
        {homeless.length > 0 ? <Thing name={t("inventory.addresses")} value="" notes={homeless.map(address)} /> : null}
      </Things>
      <Things title={t("inventory.volumes")} none={t("inventory.noVolumes")}>
        {d.volumes.map((volume) => (
          <Thing
            key={volume.path}
            name={volume.path}
            value={bytes(volume.capacityBytes)}
            notes={[
              t("inventory.free", {
                free: bytes(volume.freeBytes),
                percent: percent((volume.freeBytes / Math.max(1, volume.capacityBytes)) * 100),
              }),
            ]}
          />
        ))}
      </Things>
      <Things title={t("inventory.snapshots")} none={t("inventory.noSnapshots")}>
        {d.snapshots.map((snapshot) => (
          <Thing
            key={snapshot.moref || snapshot.name}
            name={snapshot.name}
            value={snapshot.created ? dateTime(snapshot.created) : ""}
            notes={[]}
          />
        ))}
      </Things>
      <Facts
        title={t("inventory.more")}
        rows={[
          [t("inventory.hardware"), d.hardware ?? t("inventory.unknown")],
          [t("inventory.cbt"), cbt(d, t)],
          [t("inventory.vtpm"), t(d.vtpm ? "inventory.yes" : "inventory.no")],
          [t("inventory.encrypted"), t(d.encrypted ? "inventory.yes" : "inventory.no")],
          [t("inventory.passthrough"), String(d.passthrough)],
          [t("inventory.used"), bytes(vm.storageBytes)],
          ...(d.annotation ? [[t("inventory.annotation"), d.annotation] as [string, string]] : []),
        ]}
      />
    </>
  );
}

function cbt(d: VmDetails, t: TFunction): string {
  if (d.cbtSupported === false) return t("inventory.cbtImpossible");
  if (d.cbtEnabled === null) return t("inventory.unknown");
  return t(d.cbtEnabled ? "inventory.cbtOn" : "inventory.cbtOff");
}

/** What is unusual about a disk, in words of the support rules. */
function peculiar(disk: Disk) {
  const words: ("independent" | "shared" | "multiWriter" | "raw" | "encrypted")[] = [];
  if (disk.mode?.startsWith("independent")) words.push("independent");
  if (disk.busSharing !== null && disk.busSharing !== "noSharing") words.push("shared");
  if (disk.sharing === "sharingMultiWriter") words.push("multiWriter");
  if (disk.raw !== null) words.push("raw");
  if (disk.encrypted) words.push("encrypted");
  return words;
}

function Things({ title, none, children }: { title: string; none: string; children: React.ReactNode }) {
  const empty = Array.isArray(children) ? children.flat().filter(Boolean).length === 0 : !children;
  return (
    <section className={s.section}>
      <h3>{title}</h3>
      {empty ? <p className={s.muted}>{none}</p> : <ul className={s.things}>{children}</ul>}
    </section>
  );
}

type ThingProps = { name: string; value: string; notes: (string | null)[]; path?: string | null };

function Thing({ name, value, notes, path = null }: ThingProps) {
  return (
    <li>
      <p className={s.thing}>
        <span>{name}</span>
        <span className="num">{value}</span>
      </p>
      <p className={s.muted}>{notes.filter(Boolean).join(" · ")}</p>
      {path ? <p className={s.path}>{path}</p> : null}
    </li>
  );
}
