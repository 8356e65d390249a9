// What is in the template, and its licence terms.
import { Checkbox } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { bytes } from "../../design/format";
import type { TemplateView } from "../../host/gen/TemplateView";
import { Checks } from "./FileStep";
import type { Draft } from "./model";
import s from "./appliance.module.css";

type Props = { template: TemplateView; draft: Draft; setDraft: (draft: Draft) => void };

export function ReviewStep({ template, draft, setDraft }: Props) {
  const { t } = useTranslation();
  const of = template.template;
  const rows: [string, string][] = [
    [t("appliance.product"), [of.product, of.version].filter(Boolean).join(" ")],
    [t("appliance.vendor"), of.vendor],
    [t("appliance.system"), of.system],
    [
      t("appliance.hardware"),
      t("appliance.hardwareText", { cpus: of.cpus, memory: bytes(of.memoryMib * 1024 * 1024) }),
    ],
    [t("appliance.disks"), of.disks.map((d) => bytes(d.capacityBytes)).join(", ")],
    [t("appliance.download"), bytes(template.uploadBytes)],
    [t("appliance.about"), of.description],
  ];
  return (
    <>
      <Checks template={template} />
      <dl className={s.facts}>
        {rows
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      {of.eulas.length > 0 ? (
        <section className={s.terms}>
          <h4>{t("appliance.eula")}</h4>
          <pre tabIndex={0} aria-label={t("appliance.eula")}>
            {of.eulas.join("\n\n")}
          </pre>
          <Checkbox
            label={t("appliance.accept")}
            checked={draft.placement.eulasAccepted}
            data-testid="appliance-accept"
            onChange={(_, data) =>
              setDraft({ ...draft, placement: { ...draft.placement, eulasAccepted: data.checked === true } })
            }
          />
        </section>
      ) : null}
    </>
  );
}
