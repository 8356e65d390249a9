// A rehearsal with choices: how fast, with which methods, and what goes wrong in it.
import {
  Button,
  Checkbox,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Radio,
  RadioGroup,
  Skeleton,
  SkeletonItem,
  Spinner,
} from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { SPEEDS } from "../../app/speeds";
import { count, duration } from "../../design/format";
import { ErrorCard } from "../../design/ErrorCard";
import { useHost } from "../../host";
import type { FaultScript } from "../../host/gen/FaultScript";
import type { RehearsalOptions } from "../../host/gen/RehearsalOptions";
import type { UiError } from "../../host/gen/UiError";
import { BackupsChoice } from "../methods/BackupsChoice";
import { ByChoice } from "../methods/ByChoice";
import { MethodChoice } from "../methods/MethodChoice";
import { PARTS } from "../methods/methods";
import { choose, missing, USUAL } from "./options";
import s from "./home.module.css";

type Props = {
  open: boolean;
  busy: boolean;
  error: UiError | null;
  onRehearse: (options: RehearsalOptions) => void;
  onClose: () => void;
};

const NO_SCRIPTS: FaultScript[] = [];
const NOTHING = "nothing";

export function RehearseDialog({ open, busy, error, onRehearse, onClose }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const faults = useId();
  const [options, setOptions] = useState(USUAL);
  const query = useQuery<FaultScript[], UiError>({
    queryKey: ["faultScripts"],
    queryFn: () => host.call("fault_scripts", {}),
    staleTime: Infinity,
    enabled: open,
  });
  const scripts = query.data ?? NO_SCRIPTS;
  const set = (choice: Partial<RehearsalOptions>) => setOptions((now) => choose(now, choice, scripts));
  const chosen = scripts.find((script) => script.id === options.fault);
  const hour = duration(3600 / options.speed);
  return (
    <Dialog open={open} onOpenChange={(_, data) => data.open || onClose()}>
      <DialogSurface className={s.rehearse}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (!busy) onRehearse(options);
          }}
        >
          <DialogBody>
            <DialogTitle>{t("rehearse.title")}</DialogTitle>
            <DialogContent className={s.options} data-testid="rehearse-dialog">
              <div className={s.form}>
                <Field label={t("rehearse.speed")} hint={t("rehearse.speedHint", { hour })}>
                  <RadioGroup
                    layout="horizontal"
                    value={String(options.speed)}
                    onChange={(_, data) => set({ speed: Number(data.value) })}
                  >
                    {SPEEDS.map((n) => (
                      <Radio
                        key={n}
                        value={String(n)}
                        label={t("home.speed", { n: count(n) })}
                        data-testid={`speed-${n}`}
                      />
                    ))}
                  </RadioGroup>
                </Field>
                {PARTS.map((part) => (
                  <MethodChoice
                    key={part}
                    part={part}
                    value={options[part]}
                    onChange={(method) => set({ [part]: method })}
                  />
                ))}
                {options.databaseMethod === "LogReplay" ? null : (
                  <BackupsChoice value={options.backups} onChange={(backups) => set({ backups })} />
                )}
                <ByChoice value={options.byRehost} onChange={(byRehost) => set({ byRehost })} />
              </div>
              <div className={s.faults}>
                <h3 id={faults} className={s.faultsTitle}>
                  {t("rehearse.fault")}
                </h3>
                {query.error ? <ErrorCard error={query.error} onRetry={() => void query.refetch()} /> : null}
                <RadioGroup
                  className={s.faultList}
                  aria-labelledby={faults}
                  value={options.fault ?? NOTHING}
                  onChange={(_, data) => set({ fault: data.value === NOTHING ? null : data.value })}
                >
                  <Radio value={NOTHING} label={t("rehearse.nothing")} data-testid="fault-nothing" />
                  {query.isPending ? (
                    <Skeleton className={s.list} aria-label={t("app.loading")}>
                      {[0, 1, 2, 3, 4].map((n) => (
                        <SkeletonItem key={n} size={40} />
                      ))}
                    </Skeleton>
                  ) : null}
                  {scripts.map((script) => (
                    <Fault key={script.id} script={script} options={options} />
                  ))}
                </RadioGroup>
                <p className={s.faultAdmin} role="status">
                  {chosen ? t("rehearse.expect", { text: chosen.admin }) : t("rehearse.nothingText")}
                  {chosen ? <small>{t("plan.source", { source: chosen.source })}</small> : null}
                </p>
                <Field className={s.databases} label={t("rehearse.databases")} hint={t("rehearse.severalHint")}>
                  <Checkbox
                    label={t("rehearse.several")}
                    checked={options.several}
                    data-testid="rehearse-several"
                    onChange={(_, data) => set({ several: data.checked === true })}
                  />
                </Field>
              </div>
              {error ? (
                <div className={s.whole}>
                  <ErrorCard error={error} />
                </div>
              ) : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>{t("common.cancel")}</Button>
              <Button
                type="submit"
                appearance="primary"
                data-testid="rehearse-start"
                disabledFocusable={busy}
                icon={busy ? <Spinner size="tiny" /> : null}
              >
                {t(busy ? "home.rehearsing" : "rehearse.start")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}

const either = new Intl.ListFormat("en-GB", { type: "disjunction" });

function Fault({ script, options }: { script: FaultScript; options: RehearsalOptions }) {
  const { t } = useTranslation();
  const needed = missing(script, options);
  return (
    <Radio
      value={script.id}
      disabled={needed.length > 0}
      data-testid={`fault-${script.id}`}
      label={
        <span className={s.fault}>
          <b>{script.title}</b>
          <span>{script.happens}</span>
          <small data-by={needed.length === 0 && !script.byItself ? "person" : undefined}>
            {needed.length > 0
              ? t("rehearse.onlyWith", {
                  methods: either.format(
                    needed.map((m) => t(m === "Blob" || m === "Share" ? `dms.sourceName.${m}` : `methods.name.${m}`)),
                  ),
                })
              : t(script.byItself ? "rehearse.byItself" : "rehearse.byPerson")}
          </small>
        </span>
      }
    />
  );
}
