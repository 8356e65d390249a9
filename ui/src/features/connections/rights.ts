// Rights as the table shows them: by step, with how much is missing. Pure.
import type { OwnRights } from "../../host/gen/OwnRights";
import type { RightsView } from "../../host/gen/RightsView";

export type StepRights = {
  number: number;
  title: string;
  rights: OwnRights[];
  /** How many of them lack something. */
  lacking: number;
};

/** The steps that do something in vCenter, in their order. */
export function stepsOf(view: RightsView): StepRights[] {
  const steps = new Map<number, StepRights>();
  for (const right of view.own) {
    const step = steps.get(right.step) ?? { number: right.step, title: right.stepTitle, rights: [], lacking: 0 };
    step.rights.push(right);
    if (right.missing.length > 0) step.lacking += 1;
    steps.set(right.step, step);
  }
  return [...steps.values()].toSorted((a, b) => a.number - b.number);
}

/** How many different rights Rehost's account lacks: the same privilege on two objects is two. */
export const missingIn = (view: RightsView): number =>
  new Set(view.own.flatMap((right) => right.missing.map((id) => `${right.on} ${id}`))).size;
