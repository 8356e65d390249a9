// The costs of the open project's plan. The price list is read once, and again on request or when the plan changes.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useHost } from "../../host";
import type { CostsView } from "../../host/gen/CostsView";
import type { UiError } from "../../host/gen/UiError";

export function useCosts(path: string | null) {
  const host = useHost();
  return useQuery<CostsView, UiError>({
    queryKey: ["costs", path],
    queryFn: () => host.call("plan_costs", { project: path ?? "", currency: null }),
    enabled: path !== null,
    staleTime: Infinity,
  });
}

/** Reads the prices in another currency, which is remembered. */
export function useCurrency(path: string) {
  const host = useHost();
  const queries = useQueryClient();
  return useMutation<CostsView, UiError, string>({
    mutationFn: (currency) => host.call("plan_costs", { project: path, currency }),
    onSuccess: (view) => queries.setQueryData(["costs", path], view),
  });
}
