// Gives the window its host, and React components the means to use it.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createContext, use } from "react";
import type { UiError } from "./gen/UiError";
import type { Command, Commands, Host } from "./types";

/** Loads the host that fits where the page runs. */
export async function loadHost(): Promise<Host> {
  if (import.meta.env.MODE === "fixture") return (await import("./fixture")).host;
  if ("__TAURI_INTERNALS__" in window) return (await import("./tauri")).host;
  return (await import("./web")).host;
}

const HostContext = createContext<Host | null>(null);
export const HostProvider = HostContext.Provider;

export function useHost(): Host {
  const host = use(HostContext);
  if (!host) throw new Error("HostProvider is missing");
  return host;
}

/** Which queries a finished command makes stale. */
const STALE: Partial<Record<Command, string[]>> = {
  project_new: ["projects"],
  project_open: ["projects"],
  project_forget: ["projects"],
  rehearse_sample: ["projects"],
  methods_set: ["project", "plan", "costs"],
  dms_save: ["project", "plan", "costs"],
  application_save: ["project", "plan"],
  around_save: ["project", "plan", "costs"],
  databases_save: ["project", "plan", "costs", "databases"],
  backups_save: ["project", "plan", "costs"],
  connection_save: ["project", "costs"],
  inventory_import: ["inventory", "project", "plan", "costs"],
  appliance_deploy: ["appliance", "project", "plan"],
  appliance_abort: ["appliance"],
  appliance_power_on: ["appliance"],
  certificate_trust: ["project"],
  client_certificate_choose: ["project"],
  sign_out: ["project"],
  run_start: ["project", "projects"],
  run_resume: ["project", "projects"],
  // These take a run up again that nobody executes.
  task_retry: ["project", "projects"],
  gate_decide: ["project"],
  set_theme: ["app"],
};

/** A command as a mutation: pending state, error, and refreshed queries. */
export function useCommand<C extends Command>(command: C) {
  const host = useHost();
  const queries = useQueryClient();
  return useMutation<Commands[C][1], UiError, Commands[C][0]>({
    mutationFn: (args) => host.call(command, args),
    onSuccess: () => {
      for (const key of STALE[command] ?? []) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}
