// What the wizard knows: its steps, what a person has chosen, and what still lacks. Pure.
import type { ApplianceView } from "../../host/gen/ApplianceView";
import type { ComputePlace } from "../../host/gen/ComputePlace";
import type { DeployState } from "../../host/gen/DeployState";
import type { DeploymentPlaces } from "../../host/gen/DeploymentPlaces";
import type { Placement } from "../../host/gen/Placement";
import type { Template } from "../../host/gen/Template";
import type { TemplateProperty } from "../../host/gen/TemplateProperty";
import type { TemplateView } from "../../host/gen/TemplateView";

export type StepName = "file" | "review" | "where" | "network" | "values" | "summary" | "deploy";

export type Draft = { placement: Placement; secrets: Record<string, string>; powerOn: boolean };

export const asked = (template: Template): TemplateProperty[] => template.properties.filter((p) => p.userConfigurable);

/** The steps for a template; one without networks or values has no step for them. */
export function stepsOf(template: Template | null): StepName[] {
  const steps: StepName[] = ["file", "review", "where"];
  if (!template || template.networks.length > 0) steps.push("network");
  if (!template || asked(template).length > 0) steps.push("values");
  return [...steps, "summary", "deploy"];
}

/** Where the wizard opens. */
export function firstStep(view: ApplianceView): StepName {
  if (view.goesOn || view.deployment) return "deploy";
  return view.template && view.checked ? "review" : "file";
}

export const emptyDraft = (name: string): Draft => ({
  placement: {
    name,
    compute: "",
    host: null,
    datastore: "",
    folder: "",
    networks: {},
    properties: {},
    option: null,
    provisioning: "thin",
    eulasAccepted: false,
  },
  secrets: {},
  powerOn: true,
});

/** The draft for another template: its own values, nothing of the last one. */
export function forTemplate(draft: Draft, template: Template): Draft {
  const properties = asked(template).filter((p) => !p.password);
  const option = template.options.find((o) => o.default) ?? template.options[0];
  return {
    ...draft,
    secrets: {},
    placement: {
      ...draft.placement,
      eulasAccepted: false,
      networks: {},
      properties: Object.fromEntries(properties.map((p) => [p.key, p.value])),
      option: option?.id ?? null,
    },
  };
}

export const computeOf = (places: DeploymentPlaces, draft: Draft): ComputePlace | undefined =>
  places.computes.find((c) => c.moref === draft.placement.compute);

/** Another cluster or host: its largest datastore, its datacenter's own folder, networks chosen anew when there is one only. */
export function atCompute(draft: Draft, places: DeploymentPlaces, moref: string, template: Template): Draft {
  const compute = places.computes.find((c) => c.moref === moref);
  const folders = places.folders.filter((f) => f.datacenter === compute?.datacenter);
  const only = compute?.networks.length === 1 ? compute.networks[0]?.moref : undefined;
  return {
    ...draft,
    placement: {
      ...draft.placement,
      compute: moref,
      host: null,
      datastore: compute?.datastores[0]?.moref ?? "",
      folder: (folders.find((f) => f.path === "") ?? folders[0])?.moref ?? "",
      networks: only ? Object.fromEntries(template.networks.map((n) => [n.name, only])) : {},
    },
  };
}

/** What the datastore must have free. */
export const needed = (template: TemplateView, draft: Draft): number =>
  draft.placement.provisioning === "thin" ? template.thinBytes : template.thickBytes;

export function tooLong(property: TemplateProperty, value: string): boolean {
  return value.length < (property.minLength ?? 0) || (property.maxLength !== null && value.length > property.maxLength);
}

export const valueOf = (draft: Draft, property: TemplateProperty): string =>
  (property.password ? draft.secrets[property.key] : draft.placement.properties[property.key]) ?? "";

/** Whether a step is complete, so that the next may come. */
export function complete(
  step: StepName,
  view: ApplianceView,
  draft: Draft,
  places: DeploymentPlaces | undefined,
): boolean {
  const template = view.template;
  if (!template) return false;
  const { placement } = draft;
  switch (step) {
    case "file":
      return view.checked;
    case "review":
      return template.template.eulas.length === 0 || placement.eulasAccepted;
    case "where": {
      const store = places && computeOf(places, draft)?.datastores.find((d) => d.moref === placement.datastore);
      return (
        !!store && placement.folder !== "" && placement.name.trim() !== "" && store.freeBytes >= needed(template, draft)
      );
    }
    case "network":
      return template.template.networks.every((n) => placement.networks[n.name]);
    case "values":
      return asked(template.template).every((p) => !tooLong(p, valueOf(draft, p)));
    default:
      return true;
  }
}

export const isOver = (state: DeployState | null): boolean =>
  !!state && (state.phase.is === "done" || state.phase.is === "stopped" || state.phase.is === "failed");
