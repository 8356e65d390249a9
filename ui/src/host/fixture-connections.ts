// Recorded connections: vCenter, and an Azure account with tenants and subscriptions. In the address: &changed (another
// certificate of vCenter), &signin=browser|deviceCode|azureCli|clientCertificate|managedIdentity, &account (somebody is
// signed in), &stuck (no browser opens), &refused (Entra refuses), &scope=slow|fail|none|many, &cloud=custom, &proxy,
// &hop=proxy (the test ends there), &works, &vcproxy (vCenter behind a proxy). Roles and rights: fixture-rights.ts.
import type { AccountScope } from "./gen/AccountScope";
import type { AccountView } from "./gen/AccountView";
import type { AzureConnection } from "./gen/AzureConnection";
import type { Cloud } from "./gen/Cloud";
import type { ClientCertificateView } from "./gen/ClientCertificateView";
import type { CloudView } from "./gen/CloudView";
import type { ConnectionStep } from "./gen/ConnectionStep";
import type { ConnectionTest } from "./gen/ConnectionTest";
import type { ConnectionsView } from "./gen/ConnectionsView";
import type { PinnedCertificate } from "./gen/PinnedCertificate";
import type { SignIn } from "./gen/SignIn";
import type { SignInMessage } from "./gen/SignInMessage";
import type { SubscriptionView } from "./gen/SubscriptionView";
import type { UiError } from "./gen/UiError";
import type { Commands } from "./types";

const query = new URLSearchParams(location.search);
const has = (name: string) => query.get(name) !== null;

const CONTOSO = "c0a3e4a8-5a0f-4f7e-8f63-6e3f3d1a7b20";
const FABRIKAM = "1f6a9c52-0b7e-4d6c-9b1e-7a52c1d0e944";
const TAILSPIN = "8d20b6e1-73f4-4f0e-8a6d-2c915b3e7a08";
const PRODUCTION = "5f3b6c0e-8a51-4c55-9d0a-2f6f1b7f0c11";

const address = (cloud: Cloud, arm: string, login: string, suffix: string, portal: string): CloudView["addresses"] => ({
  cloud,
  armUrl: arm,
  audience: "",
  authorityUrl: login,
  blobUrl: suffix && `https://{account}.blob.core.${suffix}`,
  sqlSuffix: suffix && `database.${suffix}`,
  portalUrl: portal,
  priceUrl: cloud === "public" ? "https://prices.azure.com" : "",
  signIn: "clientSecret",
  tenantId: "",
  clientId: "",
  subscriptionId: "",
  proxy: { use: "system" },
  caPem: "",
});
const PUBLIC = address(
  "public",
  "https://management.azure.com",
  "https://login.microsoftonline.com",
  "windows.net",
  "https://portal.azure.com",
);
const STACK = address(
  "custom",
  "https://management.local.azurestack.external",
  "https://adfs.local.azurestack.external/adfs",
  "local.azurestack.external",
  "https://portal.local.azurestack.external",
);
/** What a custom cloud says of itself. */
const { authorityUrl, blobUrl, sqlSuffix, portalUrl } = STACK;
const described = { authorityUrl, blobUrl, sqlSuffix, portalUrl, audience: "https://management.adfs.azurestack.local" };
const clouds: CloudView[] = [
  { name: "Azure", addresses: PUBLIC },
  {
    name: "Azure US Government",
    addresses: address(
      "usGovernment",
      "https://management.usgovcloudapi.net",
      "https://login.microsoftonline.us",
      "usgovcloudapi.net",
      "https://portal.azure.us",
    ),
  },
  {
    name: "Azure in China (21Vianet)",
    addresses: address(
      "china",
      "https://management.chinacloudapi.cn",
      "https://login.chinacloudapi.cn",
      "chinacloudapi.cn",
      "https://portal.azure.cn",
    ),
  },
  { name: "Another cloud", addresses: address("custom", "", "", "", "") },
];

const ACCOUNT: AccountView = { user: "anna.berg@contoso.com", tenantId: CONTOSO };
const CERTIFICATE: ClientCertificateView = {
  subject: "CN=rehost.contoso.com, O=Contoso",
  thumbprint: "9D420F6BA1C8735ED4029BF716883CE570AD4F21",
  notAfter: "2027-11-19T00:00:00Z",
};
const method = (query.get("signin") as SignIn | null) ?? "clientSecret";
const person = method === "browser" || method === "deviceCode";
const azure: AzureConnection = {
  ...(query.get("cloud") === "custom" ? STACK : PUBLIC),
  signIn: method,
  tenantId: person || method === "managedIdentity" ? "" : CONTOSO,
  clientId: method === "clientSecret" || method === "clientCertificate" ? "7d1e4b0c-91f2-4a35-9f0c-2f6f4d0e8c11" : "",
  subscriptionId: person && !has("account") ? "" : PRODUCTION,
  proxy: has("proxy")
    ? { use: "explicit", url: "http://proxy.contoso.com:8080", user: "CONTOSO\\svc-rehost" }
    : { use: "system" },
};

export const connections: ConnectionsView = {
  connections: {
    vcenter: {
      url: "https://vcenter.contoso.com",
      user: "rehost@vsphere.local",
      thumbprint: "5A:0C:91:E4:7B:33:D2:60:18:AF:4E:9B:C7:25:F1:8D:06:B9:72:3C:EE:51:94:0A:D8:67:2F:B3:19:84:C6:7D",
      proxy: has("vcproxy")
        ? { use: "explicit", url: "http://proxy.contoso.com:8080", user: "CONTOSO\\svc-rehost" }
        : { use: "system" },
    },
    azure,
    sql: {
      server: has("nosql") ? "" : "SQLVM.contoso.com",
      signIn: "sql",
      user: has("nosql") ? "" : "svc-rehost",
      encryption: "mandatory",
      thumbprint: "",
      browserPort: 0,
    },
    managed: { signIn: "administrator", reach: "private", address: "", thumbprint: "" },
  },
  vcenterPasswordStored: true,
  vcenterProxyPasswordStored: false,
  azureSecretStored: method === "clientSecret",
  azureProxyPasswordStored: has("proxy"),
  sqlPasswordStored: !has("nosql"),
  managedPasswordStored: false,
  dmsPasswordStored: false,
  sharePasswordStored: false,
  azureCertificate: method === "clientCertificate" && has("account") ? CERTIFICATE : null,
  azureAccount: has("account") ? ACCOUNT : null,
};

const error = (code: UiError["code"], title: string, detail: string, hint: string): UiError => ({
  code,
  title,
  detail,
  hint,
  address: null,
  retryable: true,
  correlationId: "0d5f2a3e-1c7b-4c1e-8d4e-5a7a9b0c3f21",
});

const subscription = (
  name: string,
  n: number,
  tenantId: string,
  state = "Enabled",
  reason = "",
  usable = true,
): SubscriptionView => ({
  id: n === 0 ? PRODUCTION : `${(0x3a41b07c + n * 7919).toString(16)}-6b1d-4f0a-9c3e-${String(n).padStart(12, "0")}`,
  name,
  tenantId,
  state,
  usable,
  reason,
});

function scope(): AccountScope {
  if (query.get("scope") === "fail") {
    throw error(
      "signIn",
      "Entra does not let the application sign in.",
      "AADSTS53003: a conditional access policy blocks the access from this place.",
      "Who: an administrator of conditional access. Microsoft Entra admin center > Entra ID > Conditional Access > Sign-in logs names the policy. Or sign in with another account: `az login --tenant contoso.com`.",
    );
  }
  const many = Array.from({ length: query.get("scope") === "many" ? 240 : 0 }, (_, i) =>
    subscription(`Landing zone ${String(i + 1).padStart(3, "0")}`, i + 20, CONTOSO),
  );
  return {
    tenants: [
      { id: CONTOSO, name: "Contoso", domain: "contoso.com", problem: null },
      { id: FABRIKAM, name: "Fabrikam Residences", domain: "fabrikam.com", problem: null },
      {
        id: TAILSPIN,
        name: "Tailspin Toys",
        domain: "tailspintoys.com",
        problem: error(
          "signIn",
          "Tailspin Toys asks for multi-factor authentication.",
          "AADSTS50076: the account has not done it in this tenant.",
          "Who: you. Choose Sign in to Tailspin Toys, and confirm in the Authenticator app.",
        ),
      },
    ],
    subscriptions:
      query.get("scope") === "none"
        ? []
        : [
            subscription("Contoso production", 0, CONTOSO),
            subscription("Contoso test", 1, CONTOSO),
            subscription("Fabrikam hotels", 2, FABRIKAM),
            subscription(
              "Contoso sandbox",
              3,
              CONTOSO,
              "Warned",
              "A payment is open: Azure disables it soon. Who: the billing administrator, at Cost Management + Billing.",
            ),
            ...many,
            subscription(
              "Contoso 2019",
              4,
              CONTOSO,
              "Disabled",
              "It is disabled: nothing can be created in it. Who: its account administrator reactivates it in the portal.",
              false,
            ),
            subscription(
              "Fabrikam archive",
              5,
              FABRIKAM,
              "PastDue",
              "A payment is overdue: nothing can be created in it until the billing administrator pays.",
              false,
            ),
          ],
  };
}

const step = (title: string, detail: string, more: Partial<ConnectionStep> = {}): ConnectionStep => ({
  hop: null,
  title,
  ok: true,
  detail,
  hint: "",
  ...more,
});

const NAMED = {
  names: ["vcenter.contoso.com", "10.10.0.5"],
  subject: "C=US, CN=vcenter.contoso.com, O=Contoso",
  issuer: "CN=CA, DC=vsphere, DC=local, C=US, O=vcenter.contoso.com, OU=VMware Engineering",
};

/** What was trusted before: `&changed=first` nothing, `&changed=other` of another issuer, `&changed=print` the print alone. */
function changedFrom(): PinnedCertificate | null {
  const how = query.get("changed");
  const sha256 = connections.connections.vcenter.thumbprint;
  if (how === "first") return null;
  if (how === "print") {
    return { sha256, sha1: "", subject: "", names: [], issuer: "", notBefore: "", notAfter: "" };
  }
  return {
    sha256,
    sha1: "0B:6E:93:C4:1F:D8:25:7A:60:B9:4C:E3:88:12:F7:5D:A4:39:CE:06",
    ...NAMED,
    ...(how === "other"
      ? { issuer: "CN=Contoso Issuing CA 2, DC=contoso, DC=com", names: ["vcenter.contoso.com"] }
      : {}),
    notBefore: "2024-11-25T08:00:00Z",
    notAfter: "2026-11-25T08:00:00Z",
  };
}

const vcenterTest = (): ConnectionTest =>
  has("changed")
    ? {
        ok: false,
        notYet: false,
        steps: [
          step("Reach vcenter.contoso.com:443", "TLS 1.3, 18 ms"),
          step("Check the certificate", "The server shows another certificate than the trusted one.", {
            ok: false,
            hint: "Compare the fingerprint with your VMware administrator.",
          }),
        ],
        certificate: {
          sha256: "C1:9E:3A:77:52:0B:F4:6D:88:21:9C:E0:47:B5:1F:A3:6E:D9:04:72:CB:38:90:5D:E6:13:AF:28:7C:B4:F0:59",
          sha1: "9D:42:0F:6B:A1:C8:73:5E:D4:02:9B:F7:16:88:3C:E5:70:AD:4F:21",
          ...NAMED,
          notBefore: "2026-11-20T08:00:00Z",
          notAfter: "2028-11-19T08:00:00Z",
          changedFrom: changedFrom(),
        },
      }
    : {
        ok: true,
        notYet: false,
        steps: [
          step("Reach vcenter.contoso.com:443", "TLS 1.3, 18 ms"),
          step("Check the certificate", "It is the one that was trusted."),
          step("Sign in as rehost@vsphere.local", "vCenter Server 7.0.3, API 7.0.3.0"),
          step("Read privileges", "All 24 that the plan needs are granted."),
        ],
        certificate: null,
      };

function azureTest(): ConnectionTest {
  const good = [
    step("Find proxy.contoso.com", "10.10.0.8", { hop: "dns" }),
    step("Pass the proxy proxy.contoso.com:8080", "It lets management.azure.com:443 pass, 22 ms", { hop: "proxy" }),
    step(
      "Encrypt the connection to management.azure.com",
      "TLS 1.3; certificate of Microsoft Azure RSA TLS Issuing CA 04",
      {
        hop: "tls",
      },
    ),
    step("Ask the resource manager", "41 ms", { hop: "resourceManager" }),
    step("Sign in to Contoso", "A token until 22:58", {
      hop: "signIn",
      hint: has("works") ? "The client secret expires on 2 Dec 2026, before the clean-up. Make a new one in time." : "",
    }),
    step("Find the subscription Contoso production", "Enabled", { hop: "subscription" }),
    step("Read the rights", "Owner", { hop: "rights" }),
  ];
  if (has("works")) return { ok: true, notYet: false, steps: good, certificate: null };
  if (query.get("hop") === "proxy") {
    return {
      ok: false,
      notYet: false,
      certificate: null,
      steps: [
        ...good.slice(0, 1),
        step("Pass the proxy proxy.contoso.com:8080", "407: the proxy asks for a sign-in.", {
          hop: "proxy",
          ok: false,
          hint: "Enter user and password at Cloud and network > Proxy. Who else: the network administrator, who can allow management.azure.com without one.",
        }),
      ],
    };
  }
  return {
    ok: false,
    notYet: false,
    certificate: null,
    steps: [
      step("Reach management.azure.com:443", "41 ms", { hop: "tcp" }),
      step("Sign in to tenant c0a3e4a8-5a0f-4f7e-8f63-6e3f3d1a7b20", "AADSTS7000222: the client secret has expired.", {
        hop: "signIn",
        ok: false,
        hint: "Who: an owner of the application. Microsoft Entra admin center > App registrations > Certificates & secrets > New client secret; then paste it here. Or `az ad app credential reset --id 7d1e4b0c-91f2-4a35-9f0c-2f6f4d0e8c11`.",
      }),
    ],
  };
}

const sqlTest = (): ConnectionTest =>
  has("works")
    ? {
        ok: true,
        notYet: false,
        certificate: null,
        steps: [
          step("Reach SQLVM.contoso.com", "Connected to SQLVM.contoso.com,1433."),
          step("Sign in", "SQLVM 13.0.6300.2, Standard Edition (64-bit). Signed in as svc-rehost."),
          step("Rights of the login", "It is a member of sysadmin."),
        ],
      }
    : {
        ok: false,
        notYet: false,
        certificate: null,
        steps: [
          step("Reach SQLVM.contoso.com", "SQL Server can't be reached. No answer came within 15 s.", {
            ok: false,
            hint: "Nothing comes back from SQLVM.contoso.com. Check the VPN, and let the network administrator open this TCP port; on the server itself: New-NetFirewallRule -DisplayName 'SQL Server' -Direction Inbound -Protocol TCP -LocalPort 1433 -Action Allow",
          }),
        ],
      };

/** As before the run, unless `&managed`: then the instance is there. */
const managedTest = (): ConnectionTest => {
  const ask = "Ask Azure for contoso-sqlmi";
  if (!has("managed")) {
    return {
      ok: true,
      notYet: true,
      certificate: null,
      steps: [
        step(ask, "contoso-sqlmi does not exist yet: the run makes it in step 1.", {
          hint: "Nothing is to be done. Test again when it is there; the run does so by itself, before the change window.",
        }),
      ],
    };
  }
  const host = "contoso-sqlmi.8c0d9f1e2a3b.database.windows.net,1433";
  return {
    ok: true,
    notYet: false,
    certificate: null,
    steps: [
      step(ask, `It is there, and is reached at ${host}.`),
      step(`Reach ${host}`, `Connected to ${host}.`),
      step("Sign in", "contoso-sqlmi 12.0.2000.8, SQL Azure. Signed in as contosoadmin."),
      step("Rights of the login", "It is a member of sysadmin."),
    ],
  };
};

type Names =
  | "connection_save"
  | "connection_test"
  | "certificate_trust"
  | "clouds_list"
  | "cloud_read"
  | "client_certificate_choose"
  | "sign_in_page"
  | "sign_out"
  | "account_scope";

export const connectionHandlers: { [C in Names]: (args: Commands[C][0]) => Commands[C][1] } = {
  connection_save: ({ kind, connections: c, secret, proxyPassword }) => {
    connections.connections = c;
    if (secret && kind === "vcenter") connections.vcenterPasswordStored = true;
    if (secret && kind === "sql") connections.sqlPasswordStored = true;
    if (secret && kind === "managed") connections.managedPasswordStored = true;
    if (secret && kind === "azure") connections.azureSecretStored = true;
    if (proxyPassword && kind === "azure") connections.azureProxyPasswordStored = true;
    if (proxyPassword && kind === "vcenter") connections.vcenterProxyPasswordStored = true;
    return connections;
  },
  connection_test: ({ kind }) =>
    ({ vcenter: vcenterTest, azure: azureTest, sql: sqlTest, managed: managedTest })[kind](),
  certificate_trust: ({ kind, sha256 }) => {
    if (kind !== "azure") connections.connections[kind].thumbprint = sha256;
    return connections;
  },
  clouds_list: () => clouds,
  cloud_read: ({ connection }) => ({ ...connection, ...described }),
  client_certificate_choose: ({ password }) => {
    if (has("refused") && !password) {
      throw error(
        "invalid",
        "The file rehost.pfx is encrypted with another password.",
        "Its private key could not be read.",
        "Enter the password that was chosen when the file was made, then choose the file again.",
      );
    }
    connections.azureCertificate = CERTIFICATE;
    return connections;
  },
  sign_in_page: () => null,
  sign_out: () => {
    connections.azureAccount = null;
    connections.azureCertificate = null;
    connections.azureSecretStored = false;
    return connections;
  },
  account_scope: scope,
};

/** Plays a sign-in until it is stopped; it ends after some seconds unless `&still`. */
export function signIn(send: (message: SignInMessage) => void): () => void {
  const { signIn: by, tenantId } = connections.connections.azure;
  if (by === "browser") {
    const url = `https://login.microsoftonline.com/${tenantId || "organizations"}/oauth2/v2.0/authorize?client_id=04b07795-8ddb-461a-bbee-02f9e1bf7b46&response_type=code&code_challenge_method=S256`;
    send({ type: "browser", url, opened: !has("stuck") });
  }
  if (by === "deviceCode") {
    send({ type: "deviceCode", url: "https://microsoft.com/devicelogin", code: "F4QK9Z2LM" });
  }
  let left = by === "deviceCode" ? 899 : 299;
  send({ type: "waiting", secondsLeft: left });
  const second = setInterval(() => send({ type: "waiting", secondsLeft: (left -= 1) }), 1000);
  const end = setTimeout(
    () => {
      clearInterval(second);
      if (has("refused")) {
        send({
          type: "failed",
          error: error(
            "signIn",
            "Contoso does not allow this application.",
            "AADSTS65001: nobody has consented to it, and users may not consent by themselves.",
            "Who: a Cloud Application Administrator of Contoso. Microsoft Entra admin center > Entra ID > Enterprise apps > the application > Permissions > Grant admin consent.",
          ),
        });
        return;
      }
      connections.azureAccount = ACCOUNT;
      send({ type: "signedIn", connections: structuredClone(connections) });
    },
    has("refused") ? 400 : 6000,
  );
  if (has("still")) clearTimeout(end);
  return () => {
    clearInterval(second);
    clearTimeout(end);
  };
}
