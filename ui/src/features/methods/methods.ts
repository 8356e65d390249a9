// The methods that a plan can use, in the order in which they are offered: the usual one first.
import type { DatabaseMethod } from "../../host/gen/DatabaseMethod";
import type { ReplicationMethod } from "../../host/gen/ReplicationMethod";

export type Method = ReplicationMethod | DatabaseMethod;
export type Methods = { replication: ReplicationMethod; databaseMethod: DatabaseMethod };
/** What a method is for. */
export type Part = keyof Methods;

export const METHODS = {
  replication: ["InMageRcm", "VMwareCbt"],
  databaseMethod: ["LogReplay", "DmsOffline", "DmsOnline"],
} as const satisfies { [P in Part]: readonly Methods[P][] };

export const PARTS = Object.keys(METHODS) as Part[];
