// What the Azure card decides without drawing: which fields a method needs, who is signed in, which subscriptions match,
// how a sign-in that goes on stands. Pure.
import type { AccountScope } from "../../host/gen/AccountScope";
import type { AzureConnection } from "../../host/gen/AzureConnection";
import type { Cloud } from "../../host/gen/Cloud";
import type { ConnectionsView } from "../../host/gen/ConnectionsView";
import type { Proxy } from "../../host/gen/Proxy";
import type { SignIn } from "../../host/gen/SignIn";
import type { SignInMessage } from "../../host/gen/SignInMessage";
import type { SubscriptionView } from "../../host/gen/SubscriptionView";
import type { UiError } from "../../host/gen/UiError";

/** Persons first, then programs: the order in which they are offered. */
export const SIGN_INS = [
  "browser",
  "deviceCode",
  "azureCli",
  "clientSecret",
  "clientCertificate",
  "managedIdentity",
] as const satisfies readonly SignIn[];

export type FieldName = "tenant" | "client" | "secret" | "certificate";
type Need = "must" | "may";

/** The fields of each method; `may` ones are out of sight until they are asked for. */
const FIELDS: Record<SignIn, Partial<Record<FieldName, Need>>> = {
  browser: { tenant: "may", client: "may" },
  deviceCode: { tenant: "may", client: "may" },
  azureCli: { tenant: "may" },
  clientSecret: { tenant: "must", client: "must", secret: "must" },
  clientCertificate: { tenant: "must", client: "must", certificate: "must" },
  managedIdentity: { client: "may" },
};

export const needOf = (method: SignIn, field: FieldName): Need | undefined => FIELDS[method][field];

/** As the Azure CLI calls the clouds; a custom one has the name that it was registered with. */
const CLI_CLOUD: Record<Cloud, string> = {
  public: "AzureCloud",
  usGovernment: "AzureUSGovernment",
  china: "AzureChinaCloud",
  custom: "CLOUD-NAME",
};

/** The commands of the Azure CLI that prepare a way to sign in; none where the portal alone can do it. */
export function commands({ signIn, cloud, tenantId, subscriptionId }: AzureConnection): string[] {
  const scope = `/subscriptions/${subscriptionId.trim() || "SUBSCRIPTION-ID"}`;
  const line = {
    browser: null,
    deviceCode: null,
    azureCli: `az login${tenantId.trim() ? ` --tenant ${tenantId.trim()}` : ""}`,
    clientSecret: `az ad sp create-for-rbac --name Rehost --role Contributor --scopes ${scope}`,
    clientCertificate: `az ad sp create-for-rbac --name Rehost --create-cert --role Contributor --scopes ${scope}`,
    managedIdentity: `az vm identity assign --resource-group GROUP --name VM --role Contributor --scope ${scope}`,
  }[signIn];
  if (line === null) return [];
  return cloud === "public" ? [line] : [`az cloud set --name ${CLI_CLOUD[cloud]}`, line];
}

/** A person signs in, in a browser here or elsewhere. */
export const isPerson = (method: SignIn): method is "browser" | "deviceCode" =>
  method === "browser" || method === "deviceCode";

/** What is asked for and not there yet; the connection can't be used before. */
export function lacking(view: ConnectionsView, azure: AzureConnection, secret: string): FieldName[] {
  const there: Record<FieldName, boolean> = {
    tenant: azure.tenantId.trim() !== "",
    client: azure.clientId.trim() !== "",
    secret: view.azureSecretStored || secret !== "",
    certificate: view.azureCertificate !== null,
  };
  return (Object.keys(there) as FieldName[]).filter((field) => needOf(azure.signIn, field) === "must" && !there[field]);
}

/** Tenants and subscriptions can be read with what is stored, without asking a person or starting a program. */
export function canList(view: ConnectionsView): boolean {
  const { azure } = view.connections;
  if (isPerson(azure.signIn)) return view.azureAccount !== null;
  return (needOf(azure.signIn, "secret") ?? needOf(azure.signIn, "certificate")) === "must"
    ? lacking(view, azure, "").length === 0
    : false;
}

/** How many subscriptions a list shows at once; who has more types a part of the name. */
const SHOWN = 100;

export type Matches = { shown: SubscriptionView[]; more: number };

/** The subscriptions of a tenant (all tenants when it is empty) whose name or id holds every word of the text. */
export function matching(scope: AccountScope, tenantId: string, text: string): Matches {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = scope.subscriptions.filter((s) => {
    const all = `${s.name} ${s.id}`.toLowerCase();
    return (tenantId === "" || s.tenantId === tenantId) && words.every((word) => all.includes(word));
  });
  return { shown: found.slice(0, SHOWN), more: Math.max(0, found.length - SHOWN) };
}

/** A subscription id as the portal shows it. */
export const isId = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text.trim());

/** A sign-in of a person that goes on. */
export type Progress = {
  /** Where the person signs in; none until the first message. */
  at: null | { by: "browser"; url: string; opened: boolean } | { by: "deviceCode"; url: string; code: string };
  secondsLeft: number | null;
};

export type Outcome = { connections: ConnectionsView } | { error: UiError };

export const BEGUN: Progress = { at: null, secondsLeft: null };

/** How the sign-in stands after a message, or how it ended. */
export function advance(now: Progress, message: SignInMessage): Progress | Outcome {
  switch (message.type) {
    case "browser":
      return { ...now, at: { by: "browser", url: message.url, opened: message.opened } };
    case "deviceCode":
      return { ...now, at: { by: "deviceCode", url: message.url, code: message.code } };
    case "waiting":
      return { ...now, secondsLeft: message.secondsLeft };
    case "signedIn":
      return { connections: message.connections };
    case "failed":
      return { error: message.error };
  }
}

/** `9:05`; the time that is left to sign in. */
export const countdown = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

/** `F4QK 9Z2LM`: a code in two halves is easier to read off; it is typed and copied without the space. */
export function halves(code: string): string {
  const middle = Math.floor(code.length / 2);
  return code.length < 8 || /[\s-]/.test(code) ? code : `${code.slice(0, middle)} ${code.slice(middle)}`;
}

export const PROXIES = ["system", "direct", "explicit"] as const satisfies readonly Proxy["use"][];

export const proxyOf = (use: Proxy["use"]): Proxy => (use === "explicit" ? { use, url: "", user: "" } : { use });

/** Only what says where a cloud is. */
export function addressesOf(azure: AzureConnection): Partial<AzureConnection> {
  const { cloud, armUrl, audience, authorityUrl, blobUrl, sqlSuffix, portalUrl, priceUrl } = azure;
  return { cloud, armUrl, audience, authorityUrl, blobUrl, sqlSuffix, portalUrl, priceUrl };
}
