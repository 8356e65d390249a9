// What can be chosen before the sample is rehearsed, and which faults can be played with the choice. Pure.
import { DEFAULT_SPEED } from "../../app/speeds";
import type { BackupSource } from "../../host/gen/BackupSource";
import type { FaultScript } from "../../host/gen/FaultScript";
import type { RehearsalOptions } from "../../host/gen/RehearsalOptions";
import { METHODS, type Method } from "../methods/methods";

/** What the one click takes. */
export const USUAL: RehearsalOptions = {
  speed: DEFAULT_SPEED,
  replication: METHODS.replication[0],
  databaseMethod: METHODS.databaseMethod[0],
  backups: "Blob",
  byRehost: false,
  several: false,
  fault: null,
};

/** The methods, or the place of the backups, of which one would have to be chosen for the script to be played; empty = it
 * can be played. */
export function missing(script: FaultScript, options: RehearsalOptions): (Method | BackupSource)[] {
  if (script.replication && script.replication !== options.replication) return [script.replication];
  const { databaseMethods, backups } = script;
  if (databaseMethods.length > 0 && !databaseMethods.includes(options.databaseMethod)) return databaseMethods;
  return backups && backups !== options.backups ? [backups] : [];
}

/** The options after one more choice; a fault that can't be played with it any more is dropped. */
export function choose(
  options: RehearsalOptions,
  choice: Partial<RehearsalOptions>,
  scripts: FaultScript[],
): RehearsalOptions {
  const next = { ...options, ...choice };
  const script = scripts.find((s) => s.id === next.fault);
  return script && missing(script, next).length > 0 ? { ...next, fault: null } : next;
}
