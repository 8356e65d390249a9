// Recorded costs; the figures are invented. In the address: &prices=none (a cloud without a list), &prices=lacking (a
// price is missing), &prices=fail (the list can't be read), &prices=slow.
import type { CostLine } from "./gen/CostLine";
import type { CostsView } from "./gen/CostsView";
import type { UiError } from "./gen/UiError";

const prices = new URLSearchParams(location.search).get("prices");
const CURRENCIES = ["USD", "AUD", "CHF", "EUR", "GBP", "JPY"];
const NO_LIST = "There is no price list for this cloud.";
let currency = "USD";

const line = (
  what: string,
  tasks: string[],
  meter: string,
  [quantity, unitPrice, unit]: [number, number, string],
  more: Partial<CostLine> = {},
): CostLine => {
  const each = unitPrice * (currency === "USD" ? 1 : 0.875);
  const perHour = unit === "1 Hour" ? quantity * each : null;
  const perMonth = Math.round((perHour === null ? quantity * each : perHour * 730) * 100) / 100;
  const price = { quantity, unitPrice: each, unit, perHour, perMonth, meter };
  if (prices === "none") return { what, tasks, note: "", lasts: true, price: null, missing: NO_LIST, ...more };
  return { what, tasks, note: "", lasts: true, price, missing: null, ...more };
};

export function planCosts(chosen: string | null): CostsView {
  if (prices === "fail") throw failed;
  currency = chosen ?? currency;
  const mi = ["step-1/managed-instance/contoso-sqlmi"];
  const protect = "step-5/protect/WEBVM";
  const lines = [
    line(
      "contoso-sqlmi: 8 vCores, General Purpose, Gen5",
      mi,
      "SQL Managed Instance General Purpose - Compute Gen5 · 8 vCore · vCore",
      [1, 1.04, "1 Hour"],
    ),
    line(
      "contoso-sqlmi: SQL Server licence for 8 vCores",
      mi,
      "SQL Managed Instance General Purpose - SQL License · vCore · vCore",
      [8, 0.11, "1 Hour"],
      { note: "With licences of your own (Azure Hybrid Benefit) it is not charged." },
    ),
    line(
      "contoso-sqlmi: 128 GB of storage",
      mi,
      "SQL Managed Instance General Purpose - Storage · General Purpose · General Purpose Data Stored",
      [96, 0.12, "1 GB/Month"],
      { note: "The first 32 GB are included, as far as is known; the price list does not say so." },
    ),
    line(
      "WEBVM: Standard_D4s_v5, with Windows",
      ["step-7/test-failover/WEBVM", "step-7/failover/WEBVM"],
      "Virtual Machines Dsv5 Series Windows · D4s v5 · D4s v5",
      [1, 0.38, "1 Hour"],
      { note: "The copy of a test costs as much by the hour while it runs." },
    ),
    line(
      "WEBVM: 1 disk P6, Premium SSD of 64 GiB",
      [protect],
      "Premium SSD Managed Disks · P6 LRS · P6 LRS Disk",
      [1, 10.24, "1/Month"],
      {
        note: "Charged from the first replication on.",
        ...(prices === "lacking" ? { price: null, missing: "It was not found in the price list." } : {}),
      },
    ),
    line(
      "WEBVM: Site Recovery while it replicates",
      ["step-3/vault/ContosoMigrationVault", protect],
      "Azure Site Recovery · Azure · VM Replicated to Azure",
      [1, 24, "1/Month"],
      { lasts: false, note: "The first 31 days of a machine are free; the replication ends in step 8." },
    ),
  ];
  const lasting = lines.filter((l) => l.lasts);
  const amounts = lasting.flatMap((l) => l.price?.perMonth ?? []);
  const known = prices !== "none";
  return {
    costs: {
      lines,
      perMonth: amounts.length > 0 ? Math.round(amounts.reduce((a, b) => a + b, 0) * 100) / 100 : null,
      missing: lasting.filter((l) => l.price === null).map((l) => l.what),
      byUse: [
        "Traffic over a peering is charged by the GB in both directions.",
        "Storage and transactions while the backups are kept.",
        "Storage and transactions while the VM replicates.",
      ],
    },
    currency,
    currencies: CURRENCIES,
    cloud: known ? "Azure" : "Azure US Government",
    source: known ? "prices.azure.com" : null,
    readAt: known ? "2026-11-21T18:42:00Z" : null,
  };
}

const failed: UiError = {
  code: "unreachable",
  title: "prices.azure.com can't be reached",
  detail: "The name prices.azure.com was not found.",
  hint: "Check this computer's network, or the proxy in Connect; then try again.",
  address: null,
  retryable: true,
  correlationId: null,
};
