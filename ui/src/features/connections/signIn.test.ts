import { expect, it } from "vitest";
import type { AccountScope } from "../../host/gen/AccountScope";
import type { SubscriptionView } from "../../host/gen/SubscriptionView";
import { azure, connections as view } from "../../testing";
import { addressesOf, advance, BEGUN, canList, commands, countdown, halves, isId, matching, needOf } from "./signIn";

it("asks each method for its own fields only", () => {
  expect(needOf("browser", "secret")).toBeUndefined();
  expect(needOf("browser", "tenant")).toBe("may");
  expect(needOf("clientSecret", "tenant")).toBe("must");
  expect(needOf("clientCertificate", "secret")).toBeUndefined();
  expect(needOf("managedIdentity", "tenant")).toBeUndefined();
});

it("lists by itself only what needs neither a person nor a program", () => {
  const app = { tenantId: "t", clientId: "c" };
  const account = { user: "anna", tenantId: "t" };
  expect(canList(view(azure("browser")))).toBe(false);
  expect(canList(view(azure("browser"), { azureAccount: account }))).toBe(true);
  expect(canList(view(azure("azureCli"), { azureAccount: account }))).toBe(false);
  expect(canList(view(azure("clientSecret", app)))).toBe(false);
  expect(canList(view(azure("clientSecret", app), { azureSecretStored: true }))).toBe(true);
  expect(canList(view(azure("clientSecret", { clientId: "c" }), { azureSecretStored: true }))).toBe(false);
  expect(canList(view(azure("clientCertificate", app), { azureSecretStored: true }))).toBe(false);
});

const subscription = (name: string, n: number, tenantId: string): SubscriptionView => ({
  id: `${String(n).padStart(8, "0")}-0000-4000-8000-000000000000`,
  name,
  tenantId,
  state: "Enabled",
  usable: true,
  reason: "",
});
const scope = (subscriptions: SubscriptionView[]): AccountScope => ({ tenants: [], subscriptions });

it("finds subscriptions by words of their names, by id, and within a tenant", () => {
  const all = scope([
    subscription("Contoso production", 1, "a"),
    subscription("Contoso test", 2, "a"),
    subscription("Fabrikam test", 3, "b"),
  ]);
  const names = (tenant: string, text: string) => matching(all, tenant, text).shown.map((s) => s.name);
  expect(names("", "")).toHaveLength(3);
  expect(names("", "TEST con")).toEqual(["Contoso test"]);
  expect(names("", "00000003")).toEqual(["Fabrikam test"]);
  expect(names("b", "test")).toEqual(["Fabrikam test"]);
  expect(names("b", "production")).toEqual([]);
});

it("shows the first of very many and says how many more there are", () => {
  const many = scope(Array.from({ length: 130 }, (_, n) => subscription(`Zone ${n}`, n, "a")));
  const found = matching(many, "", "zone");
  expect([found.shown.length, found.more]).toEqual([100, 30]);
});

it("knows an id when it sees one", () => {
  expect(isId(" 5F3b6c0e-8a51-4c55-9d0a-2f6f1b7f0c11 ")).toBe(true);
  expect(isId("5f3b6c0e8a514c559d0a2f6f1b7f0c11")).toBe(false);
});

it("follows a sign-in from its first message to its end", () => {
  const url = "https://microsoft.com/devicelogin";
  const asked = advance(BEGUN, { type: "deviceCode", url, code: "F4QK9Z2LM" });
  expect(asked).toEqual({ at: { by: "deviceCode", url, code: "F4QK9Z2LM" }, secondsLeft: null });
  if (!("at" in asked)) throw new Error("it has not ended");
  expect(advance(asked, { type: "waiting", secondsLeft: 899 })).toEqual({ ...asked, secondsLeft: 899 });
  const connections = view(azure("deviceCode"));
  expect(advance(asked, { type: "signedIn", connections })).toEqual({ connections });
});

it("writes times and codes as they are read", () => {
  expect([countdown(899), countdown(65), countdown(9)]).toEqual(["14:59", "1:05", "0:09"]);
  expect([halves("F4QK9Z2LM"), halves("ABCD-EFGH"), halves("AB12")]).toEqual(["F4QK 9Z2LM", "ABCD-EFGH", "AB12"]);
});

it("gives the exact commands, for the chosen cloud and tenant", () => {
  expect(commands(azure("browser"))).toEqual([]);
  expect(commands(azure("azureCli"))).toEqual(["az login"]);
  expect(commands(azure("azureCli", { tenantId: "contoso.com", cloud: "usGovernment" }))).toEqual([
    "az cloud set --name AzureUSGovernment",
    "az login --tenant contoso.com",
  ]);
  expect(commands(azure("clientSecret", { subscriptionId: "s-1" }))[0]).toContain("--scopes /subscriptions/s-1");
});

it("takes over addresses without touching what belongs to the account", () => {
  expect(addressesOf(azure("browser", { tenantId: "t" }))).not.toHaveProperty("tenantId");
});
