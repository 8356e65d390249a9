// How the machine and the database get to Azure in this plan. It can be changed until a run was started: what a run has
// made in Azure belongs to its methods.
import { Button, Dropdown, Option, Spinner } from "@fluentui/react-components";
import { LockClosedRegular } from "@fluentui/react-icons";
import { useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard } from "../../design/ErrorCard";
import { useCommand } from "../../host";
import type { ProjectView } from "../../host/gen/ProjectView";
import { ApplicationDialog } from "./ApplicationDialog";
import { AroundDialog } from "./AroundDialog";
import { BackupsDialog } from "./BackupsDialog";
import { DmsDialog } from "./DmsDialog";
import { METHODS, type Method, type Methods, type Part, PARTS } from "./methods";
import s from "./methods.module.css";

/** `computing`: the plan that follows from the methods is on its way. */
export function MethodStrip({ project, computing }: { project: ProjectView; computing: boolean }) {
  const { t } = useTranslation();
  const { go } = useProject();
  const set = useCommand("methods_set");
  const fixed = project.run !== null || project.live;
  const { replication, databaseMethod } = project.design;
  const now: Methods = set.isPending ? set.variables : { replication, databaseMethod };
  const [settings, setSettings] = useState<"dms" | "backups" | "around" | "application" | null>(null);
  const busy = set.isPending || computing;
  return (
    <section className={s.strip} aria-label={t("methods.title")} data-testid="methods" data-fixed={fixed || undefined}>
      <div className={s.parts}>
        {PARTS.map((part) => (
          <MethodOf
            key={part}
            part={part}
            value={now[part]}
            fixed={fixed}
            more={
              part === "replication" && !fixed ? (
                <Button
                  size="small"
                  appearance="subtle"
                  className={s.more}
                  data-testid="application-settings"
                  onClick={() => setSettings("application")}
                >
                  {t("application.settings")}
                </Button>
              ) : part === "databaseMethod" && !fixed ? (
                <>
                  {databaseMethod === "LogReplay" ? null : (
                    <Button
                      size="small"
                      appearance="subtle"
                      className={s.more}
                      data-testid="dms-settings"
                      onClick={() => setSettings("dms")}
                    >
                      {t("dms.settings")}
                    </Button>
                  )}
                  <Button
                    size="small"
                    appearance="subtle"
                    className={s.more}
                    data-testid="backups-settings"
                    onClick={() => setSettings("backups")}
                  >
                    {t("backups.settings")}
                  </Button>
                  <Button
                    size="small"
                    appearance="subtle"
                    className={s.more}
                    data-testid="around-settings"
                    onClick={() => setSettings("around")}
                  >
                    {t("around.settings")}
                  </Button>
                </>
              ) : null
            }
            onChange={(method) => {
              if (!busy && method !== now[part]) set.mutate({ project: project.path, ...now, [part]: method });
            }}
          />
        ))}
        <p className={s.state} role="status">
          {fixed ? (
            <>
              <LockClosedRegular fontSize={14} aria-hidden />
              {t("methods.fixed")}
            </>
          ) : busy ? (
            <Spinner size="extra-tiny" label={t("methods.computing")} />
          ) : (
            t("methods.open")
          )}
        </p>
      </div>
      {settings === "dms" ? <DmsDialog project={project} onClose={() => setSettings(null)} /> : null}
      {settings === "application" ? <ApplicationDialog project={project} onClose={() => setSettings(null)} /> : null}
      {settings === "backups" ? <BackupsDialog project={project} onClose={() => setSettings(null)} /> : null}
      {settings === "around" ? (
        <AroundDialog project={project} onClose={() => setSettings(null)} onConnect={() => go("connect")} />
      ) : null}
      {set.error ? <ErrorCard error={set.error} /> : null}
    </section>
  );
}

type MethodProps = {
  part: Part;
  value: Method;
  fixed: boolean;
  more: React.ReactNode;
  onChange: (method: Method) => void;
};

function MethodOf({ part, value, fixed, more, onChange }: MethodProps) {
  const { t } = useTranslation();
  const id = useId();
  return (
    <div className={s.part}>
      <span className={s.label} id={id}>
        {t(`methods.part.${part}`)}
      </span>
      {fixed ? (
        <b className={s.name}>{t(`methods.name.${value}`)}</b>
      ) : (
        <span className={s.choose}>
          <Dropdown
            size="small"
            className={s.box}
            inlinePopup
            listbox={{ className: s.list }}
            aria-labelledby={id}
            data-testid={`methods-${part}`}
            value={t(`methods.name.${value}`)}
            selectedOptions={[value]}
            onOptionSelect={(_, data) => data.optionValue && onChange(data.optionValue as Method)}
          >
            {METHODS[part].map((method) => (
              <Option key={method} value={method} text={t(`methods.name.${method}`)} data-testid={`method-${method}`}>
                <span className={s.choice}>
                  <b>{t(`methods.name.${method}`)}</b>
                  <span>{t(`methods.text.${method}`)}</span>
                </span>
              </Option>
            ))}
          </Dropdown>
        </span>
      )}
      <p className={s.text}>{t(`methods.text.${value}`)}</p>
      {more ? <div className={s.mores}>{more}</div> : null}
    </div>
  );
}
