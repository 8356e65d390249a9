// What a new inventory changes: a line that says how much, and the list behind it. The import shows the same list.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
} from "@fluentui/react-components";
import { DismissRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { count } from "../../design/format";
import type { InventoryChanges } from "../../host/gen/InventoryChanges";
import type { VmName } from "../../host/gen/VmName";
import { fieldValue } from "./rows";
import { usePower } from "./words";
import s from "./changes.module.css";

/** Entries of one list; more of them nobody reads. */
const SHOWN = 200;

export function useChangeWords() {
  const { t } = useTranslation();
  return (changes: InventoryChanges) =>
    [
      ["added", changes.added.length] as const,
      ["removed", changes.removed.length] as const,
      ["changed", changes.changed.length] as const,
    ]
      .filter(([, n]) => n > 0)
      .map(([kind, n]) => t(`changes.short.${kind}`, { n: count(n) }))
      .join(", ") || t("changes.nothing");
}

type Props = { changes: InventoryChanges; onChoose: (moref: string) => void; onForget: () => void };

export function ChangesBanner({ changes, onChoose, onForget }: Props) {
  const { t } = useTranslation();
  const words = useChangeWords();
  const [open, setOpen] = useState(false);
  const some = changes.added.length + changes.removed.length + changes.changed.length > 0;
  return (
    <div className={s.banner} role="status" data-testid="changes-banner">
      <span>
        {t("changes.since")} <b>{words(changes)}</b>
      </span>
      {some ? (
        <Button size="small" data-testid="changes-show" onClick={() => setOpen(true)}>
          {t("changes.show")}
        </Button>
      ) : null}
      <Button
        appearance="subtle"
        size="small"
        icon={<DismissRegular />}
        aria-label={t("changes.forget")}
        title={t("changes.forget")}
        onClick={onForget}
      />
      <Dialog open={open} onOpenChange={(_, data) => setOpen(data.open)}>
        <DialogSurface className={s.dialog}>
          <DialogBody>
            <DialogTitle>{t("changes.title")}</DialogTitle>
            <DialogContent data-testid="changes">
              <ChangesList
                changes={changes}
                onChoose={(moref) => {
                  setOpen(false);
                  onChoose(moref);
                }}
              />
            </DialogContent>
            <DialogActions>
              <Button onClick={() => setOpen(false)}>{t("common.close")}</Button>
            </DialogActions>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </div>
  );
}

/** The three lists. A machine that is there can be chosen. */
export function ChangesList({ changes, onChoose }: { changes: InventoryChanges; onChoose?: (moref: string) => void }) {
  const { t } = useTranslation();
  const power = usePower();
  const name = (vm: VmName) =>
    onChoose ? (
      <button type="button" className={s.link} onClick={() => onChoose(vm.moref)}>
        {vm.name}
      </button>
    ) : (
      vm.name
    );
  const unknown = t("inventory.unknown");
  return (
    <div className={s.lists}>
      <Names title={t("changes.added", { n: count(changes.added.length) })} list={changes.added} name={name} />
      <Names
        title={t("changes.removed", { n: count(changes.removed.length) })}
        list={changes.removed}
        name={(vm) => vm.name}
      />
      {changes.changed.length > 0 ? (
        <section>
          <h3>{t("changes.changed", { n: count(changes.changed.length) })}</h3>
          <ul>
            {changes.changed.slice(0, SHOWN).map((vm) => (
              <li key={vm.moref}>
                {name(vm)}
                <ul className={s.fields}>
                  {vm.fields.map((f) => (
                    <li key={f.field}>
                      {t(`changes.field.${f.field}`)}: <s>{fieldValue(f, f.before, power) ?? unknown}</s>{" "}
                      <span aria-hidden>→</span> <b>{fieldValue(f, f.after, power) ?? unknown}</b>
                    </li>
                  ))}
                </ul>
              </li>
            ))}
          </ul>
          <More n={changes.changed.length} />
        </section>
      ) : null}
    </div>
  );
}

function Names({ title, list, name }: { title: string; list: VmName[]; name: (vm: VmName) => React.ReactNode }) {
  if (list.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul className={s.names}>
        {list.slice(0, SHOWN).map((vm) => (
          <li key={vm.moref}>{name(vm)}</li>
        ))}
      </ul>
      <More n={list.length} />
    </section>
  );
}

function More({ n }: { n: number }) {
  const { t } = useTranslation();
  return n > SHOWN ? <p className={s.muted}>{t("changes.more", { n: count(n - SHOWN) })}</p> : null;
}
