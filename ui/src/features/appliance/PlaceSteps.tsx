// Where the appliance goes, in which networks, what it is told, and all of it once more before it begins.
import { Checkbox, Field, Input, Radio, RadioGroup, Select, Spinner } from "@fluentui/react-components";
import type { UseQueryResult } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { bytes } from "../../design/format";
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { ImportCheck } from "../../host/gen/ImportCheck";
import type { Placement } from "../../host/gen/Placement";
import type { PlacesView } from "../../host/gen/PlacesView";
import type { Provisioning } from "../../host/gen/Provisioning";
import type { TemplateProperty } from "../../host/gen/TemplateProperty";
import type { UiError } from "../../host/gen/UiError";
import { asked, atCompute, computeOf, type Draft, needed, tooLong, valueOf } from "./model";
import s from "./appliance.module.css";

type Props = {
  project: string;
  view: ApplianceView;
  draft: Draft;
  setDraft: (draft: Draft) => void;
  places: UseQueryResult<PlacesView, UiError>;
};

type Check = UseQueryResult<ImportCheck, UiError>;

const PROVISIONING: Provisioning[] = ["thin", "thick", "eagerZeroedThick"];

type Option = { value: string; label: string };

type ChoiceProps = {
  label: string;
  testId: string;
  value: string;
  options: Option[];
  onChange: (value: string) => void;
  empty?: string | undefined;
  error?: string | undefined;
  hint?: string | undefined;
};

function Choice({ label, testId, value, options, onChange, empty, error, hint }: ChoiceProps) {
  return (
    <Field label={label} hint={hint} {...(error ? { validationMessage: error, validationState: "error" } : {})}>
      <Select value={value} data-testid={testId} onChange={(_, data) => onChange(data.value)}>
        {empty === undefined ? null : <option value="">{empty}</option>}
        {options.map((o) => (
          <option key={o.value} value={o.value}>
            {o.label}
          </option>
        ))}
      </Select>
    </Field>
  );
}

export function WhereStep({ view, draft, setDraft, places }: Props) {
  const { t } = useTranslation();
  const found = places.data?.places;
  const template = view.template;
  const first = found?.computes[0]?.moref;
  const chosen = draft.placement.compute;
  useEffect(() => {
    if (found && template && first && !found.computes.some((c) => c.moref === chosen))
      setDraft(atCompute(draft, found, first, template.template));
  });
  if (!template) return null;
  if (places.error) return <ErrorCard error={places.error} onRetry={() => void places.refetch()} />;
  if (!found || !places.data) return <Spinner label={t("appliance.readingPlaces")} />;
  const compute = computeOf(found, draft);
  const set = (patch: Partial<Placement>) => setDraft({ ...draft, placement: { ...draft.placement, ...patch } });
  const store = compute?.datastores.find((d) => d.moref === draft.placement.datastore);
  const space = needed(template, draft);
  const folders = found.folders.filter((f) => f.datacenter === compute?.datacenter);
  return (
    <>
      {places.data.lacking ? (
        <Notice title={t("appliance.lacking", { list: places.data.missing.join(", ") })}>
          <p>{places.data.lacking}</p>
        </Notice>
      ) : null}
      {found.computes.length === 0 ? (
        <Notice title={t("appliance.noPlaces")}>
          <p>{t("appliance.noPlacesText")}</p>
        </Notice>
      ) : null}
      <div className={s.pairs}>
        <Field label={t("appliance.name")} hint={t(view.nameFixed ? "appliance.nameFixed" : "appliance.nameText")}>
          <Input
            value={draft.placement.name}
            readOnly={view.nameFixed}
            spellCheck={false}
            autoComplete="off"
            data-testid="appliance-name"
            onChange={(_, data) => set({ name: data.value })}
          />
        </Field>
        <Choice
          label={t("appliance.folder")}
          testId="appliance-folder"
          value={draft.placement.folder}
          options={folders.map((f) => ({
            value: f.moref,
            label: f.path || t("appliance.ownFolder", { dc: f.datacenter }),
          }))}
          onChange={(folder) => set({ folder })}
        />
        <Choice
          label={t("appliance.compute")}
          testId="appliance-compute"
          value={chosen}
          options={found.computes.map((c) => ({ value: c.moref, label: `${c.name} (${c.datacenter})` }))}
          onChange={(moref) => setDraft(atCompute(draft, found, moref, template.template))}
        />
        <Choice
          label={t("appliance.host")}
          testId="appliance-host"
          value={draft.placement.host ?? ""}
          empty={t("appliance.anyHost")}
          options={(compute?.hosts ?? []).map((h) => ({ value: h.moref, label: h.name }))}
          onChange={(host) => set({ host: host || null })}
        />
        <Choice
          label={t("appliance.datastore")}
          testId="appliance-datastore"
          value={draft.placement.datastore}
          options={(compute?.datastores ?? []).map((d) => ({
            value: d.moref,
            label: t("appliance.free", { name: d.name, free: bytes(d.freeBytes) }),
          }))}
          error={store && store.freeBytes < space ? t("appliance.noSpace", { needed: bytes(space) }) : undefined}
          hint={t("appliance.needs", { needed: bytes(space) })}
          onChange={(datastore) => set({ datastore })}
        />
        {template.template.options.length > 0 ? (
          <Choice
            label={t("appliance.option")}
            testId="appliance-option"
            value={draft.placement.option ?? ""}
            options={template.template.options.map((o) => ({ value: o.id, label: o.label }))}
            hint={template.template.options.find((o) => o.id === draft.placement.option)?.description}
            onChange={(option) => set({ option })}
          />
        ) : null}
      </div>
      <Field label={t("appliance.provisioning")}>
        <RadioGroup
          layout="horizontal"
          value={draft.placement.provisioning}
          onChange={(_, data) => set({ provisioning: data.value as Provisioning })}
        >
          {PROVISIONING.map((p) => (
            <Radio key={p} value={p} label={t(`appliance.provision.${p}`)} />
          ))}
        </RadioGroup>
      </Field>
    </>
  );
}

export function NetworkStep({ view, draft, setDraft, places }: Props) {
  const { t } = useTranslation();
  const networks = (places.data && computeOf(places.data.places, draft)?.networks) ?? [];
  const set = (name: string, moref: string) =>
    setDraft({
      ...draft,
      placement: { ...draft.placement, networks: { ...draft.placement.networks, [name]: moref } },
    });
  return (
    <>
      <p>{t("appliance.networkText")}</p>
      {view.template?.template.networks.map((n) => (
        <Choice
          key={n.name}
          label={n.name}
          testId={`appliance-network-${n.name}`}
          value={draft.placement.networks[n.name] ?? ""}
          empty={t("appliance.chooseNetwork")}
          options={networks.map((network) => ({ value: network.moref, label: network.name }))}
          hint={n.description}
          onChange={(moref) => set(n.name, moref)}
        />
      ))}
    </>
  );
}

export function ValuesStep({ view, draft, setDraft }: Props) {
  const { t } = useTranslation();
  const set = (p: TemplateProperty, value: string) =>
    p.password
      ? setDraft({ ...draft, secrets: { ...draft.secrets, [p.key]: value } })
      : setDraft({
          ...draft,
          placement: { ...draft.placement, properties: { ...draft.placement.properties, [p.key]: value } },
        });
  return (
    <>
      <p>{t("appliance.valuesText")}</p>
      {asked(view.template?.template ?? ({ properties: [] } as never)).map((p) => {
        const value = valueOf(draft, p);
        if (p.values.length > 0)
          return (
            <Choice
              key={p.key}
              label={p.label}
              testId={`appliance-value-${p.key}`}
              value={value}
              options={p.values.map((v) => ({ value: v, label: v }))}
              hint={p.description}
              onChange={(v) => set(p, v)}
            />
          );
        if (p.kind === "boolean")
          return (
            <Checkbox
              key={p.key}
              label={p.label}
              checked={value.toLowerCase() === "true"}
              onChange={(_, data) => set(p, data.checked === true ? "True" : "False")}
            />
          );
        const wrong = value !== "" && tooLong(p, value);
        const limits = { min: p.minLength ?? 0, max: p.maxLength ?? 0 };
        const words = t(p.maxLength === null ? "appliance.atLeast" : "appliance.between", limits);
        const hint = [p.description, p.minLength !== null || p.maxLength !== null ? words : ""];
        return (
          <Field
            key={p.key}
            label={p.label}
            required={(p.minLength ?? 0) > 0}
            hint={[...hint, p.password ? t("appliance.secret") : ""].filter(Boolean).join(" ")}
            {...(wrong ? { validationMessage: words, validationState: "error" } : {})}
          >
            <Input
              type={p.password ? "password" : "text"}
              autoComplete="off"
              spellCheck={false}
              value={value}
              data-testid={`appliance-value-${p.key}`}
              onChange={(_, data) => set(p, data.value)}
            />
          </Field>
        );
      })}
    </>
  );
}

/** `check`: what vCenter would make of it. */
export function SummaryStep({ view, draft, setDraft, places, check }: Props & { check: Check }) {
  const { t } = useTranslation();
  const { placement, secrets } = draft;
  const template = view.template;
  if (!template || !places.data) return null;
  const compute = computeOf(places.data.places, draft);
  const name = (list: { moref: string; name: string }[] | undefined, moref: string | null) =>
    list?.find((x) => x.moref === moref)?.name ?? "";
  const folder = places.data.places.folders.find((f) => f.moref === placement.folder);
  const networks = Object.entries(placement.networks);
  const rows: [string, string][] = [
    [t("appliance.product"), `${template.template.product} ${template.template.version}`.trim()],
    [t("appliance.file"), t("appliance.fileSize", { file: template.file, size: bytes(template.uploadBytes) })],
    [t("appliance.name"), placement.name],
    [t("appliance.compute"), compute?.name ?? ""],
    [t("appliance.host"), placement.host ? name(compute?.hosts, placement.host) : t("appliance.anyHost")],
    [t("appliance.folder"), folder?.path || t("appliance.ownFolder", { dc: folder?.datacenter ?? "" })],
    [
      t("appliance.datastore"),
      `${name(compute?.datastores, placement.datastore)}, ${t(`appliance.provision.${placement.provisioning}`)}`,
    ],
    ...networks.map(([n, moref]): [string, string] => [
      t("appliance.networkOf", { name: n }),
      name(compute?.networks, moref),
    ]),
    ...asked(template.template).map((p): [string, string] => [
      p.label,
      p.password ? (secrets[p.key] ? "••••••••" : "–") : placement.properties[p.key] || "–",
    ]),
  ];
  return (
    <>
      <dl className={s.facts}>
        {rows.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Checkbox
        label={t("appliance.powerOn")}
        checked={draft.powerOn}
        onChange={(_, data) => setDraft({ ...draft, powerOn: data.checked === true })}
      />
      {check.isFetching ? <Spinner size="tiny" label={t("appliance.asking")} labelPosition="after" /> : null}
      {check.error ? <ErrorCard error={check.error} onRetry={() => void check.refetch()} /> : null}
      {check.data?.errors.map((text) => (
        <ErrorCard
          key={text}
          error={{
            code: "refused",
            title: t("appliance.refused"),
            detail: text,
            hint: t("appliance.refusedHint"),
            correlationId: null,
          }}
        />
      ))}
      {check.data?.warnings.map((text) => (
        <Notice key={text} title={t("appliance.warning")}>
          <p>{text}</p>
        </Notice>
      ))}
      {check.data && check.data.errors.length === 0 && check.data.warnings.length === 0 ? (
        <p className={s.muted}>{t("appliance.fine")}</p>
      ) : null}
    </>
  );
}
