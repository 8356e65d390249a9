// vSphere's words as people say them.
import { useTranslation } from "react-i18next";

export function usePower() {
  const { t } = useTranslation();
  return (state: string) =>
    state === "poweredOn" || state === "poweredOff" || state === "suspended" ? t(`inventory.power.${state}`) : state;
}

export function useTools() {
  const { t } = useTranslation();
  return (state: string | null) =>
    state === "guestToolsRunning" || state === "guestToolsNotRunning" || state === "guestToolsExecutingScripts"
      ? t(`inventory.tools.${state}`)
      : (state ?? t("inventory.unknown"));
}

/** `11297` as `11.1.1`: major × 1024 + minor × 32 + patch. Open VM Tools of a distribution tell no number. */
export function toolsVersion(text: string | null): string | null {
  const n = Number(text);
  if (!text || !Number.isInteger(n) || n <= 0 || n >= 2 ** 24) return null;
  return `${n >> 10}.${(n >> 5) & 31}.${n & 31}`;
}

const CONTROLLERS: Record<string, string> = {
  ParaVirtualSCSIController: "PVSCSI",
  VirtualLsiLogicSASController: "LSI Logic SAS",
  VirtualLsiLogicController: "LSI Logic",
  VirtualBusLogicController: "BusLogic",
  VirtualAHCIController: "SATA",
  VirtualNVMEController: "NVMe",
  VirtualIDEController: "IDE",
};

/** `LSI Logic SAS 0:1`: controller, bus and unit. */
export function place(controller: string, bus: number, unit: number): string {
  return `${CONTROLLERS[controller] ?? controller} ${bus}:${unit}`.trim();
}
