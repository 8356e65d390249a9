// Pictures of every screen from recorded data, light and dark, in three sizes: `npm run shots -- [name…] [@size]`.
// Also says what the console complained about, what axe found, and whether anything scrolls sideways.
import axe from "axe-core";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { preview } from "vite";

const OUT = "screens";
const PROJECT = encodeURIComponent("/home/admin/Documents/Rehost/SmartHotel.rehost");

const on = (screen) => `#/${screen}?project=${PROJECT}`;
const click = (id) => (page) => page.click(`[data-testid="${id}"]`);
/** The wizard of the appliance, with so many steps behind it. */
const wizard = (steps) => async (p) => {
  await click("step-5")(p);
  await p.click('[data-address="step-5/person/deploy-appliance"]');
  await click("deploy-here")(p);
  await p.waitForSelector('[data-testid="appliance-dialog"] h3');
  if (steps === null) return p.waitForTimeout(300);
  await click("appliance-choose")(p);
  await p.waitForTimeout(500);
  const fill = [
    async () => {},
    click("appliance-accept"),
    (page) => page.waitForSelector('[data-testid="appliance-datastore"]'),
    (page) => page.selectOption('[data-testid="appliance-network-Management"]', { index: 1 }),
    (page) => page.fill('[data-testid="appliance-value-vami.password.App"]', "Correct-horse-1"),
  ];
  for (const step of fill.slice(0, steps)) {
    await step(p);
    await click("appliance-next")(p);
  }
  await p.waitForTimeout(300);
};
const rights = async (page) => {
  await page.click('[data-testid="rights-look"]');
  await page.waitForSelector('[data-testid="rights-own"]');
  await page.locator('[data-testid="rights"]').evaluate((e) => e.scrollIntoView());
};
const shots = [
  { name: "home", screen: "#/projects" },
  { name: "home-empty", query: "empty&secrets=memory", screen: "#/projects" },
  {
    name: "rehearse",
    screen: "#/projects",
    act: async (p) => {
      await click("rehearse-options")(p);
      await click("method-DmsOnline")(p);
      await click("fault-azure-throttled")(p);
    },
  },
  {
    name: "connect",
    query: "empty&secrets=memory&works&scope=slow",
    screen: on("connect"),
    act: async (p) => {
      await click("vcenter-test")(p);
      await click("azure-test")(p);
      await p.waitForTimeout(300);
    },
  },
  {
    name: "connect-sql",
    query: "empty&works",
    screen: on("connect"),
    act: async (p) => {
      await click("sql-test")(p);
      await p.waitForTimeout(300);
      await p.locator('[data-testid="sql-card"]').evaluate((e) => e.scrollIntoView());
    },
  },
  { name: "databases-none", query: "nosql", screen: on("inventory"), act: click("inventory-databases") },
  { name: "databases-empty", screen: on("inventory"), act: click("inventory-databases") },
  {
    name: "databases",
    query: "sql=read",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-databases")(p);
      await p.click('[data-name="SmartHotelDB"]');
    },
  },
  {
    name: "databases-along",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-databases")(p);
      await click("databases-begin")(p);
      await p.getByText("SmartHotelReports").first().click();
      await click("database-along")(p);
    },
  },
  {
    name: "databases-instance",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-databases")(p);
      await click("databases-begin")(p);
      await p.waitForTimeout(1500);
    },
  },
  {
    name: "databases-refused",
    query: "sql=refused",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-databases")(p);
      await click("databases-begin")(p);
      await p.waitForTimeout(400);
    },
  },
  { name: "connect-fails", query: "empty", screen: on("connect"), act: click("azure-test") },
  { name: "connect-method", query: "empty", screen: on("connect"), act: click("azure-sign-in-with") },
  { name: "connect-live", query: "signin=browser&account", screen: on("connect"), act: click("azure-test") },
  { name: "connect-out", query: "empty&signin=browser", screen: on("connect") },
  {
    name: "connect-in",
    query: "empty&signin=browser&account",
    screen: on("connect"),
    act: async (p) => {
      await click("azure-subscription")(p);
      await p.keyboard.press("ArrowDown");
    },
  },
  {
    name: "connect-search",
    query: "empty&signin=browser&account&scope=many",
    screen: on("connect"),
    act: async (p) => {
      await click("azure-subscription")(p);
      await p.keyboard.type("landing 1");
      await p.waitForSelector('[data-testid^="subscription-"]');
    },
  },
  {
    name: "connect-tenant",
    query: "empty&signin=browser&account",
    screen: on("connect"),
    act: async (p) => {
      await click("azure-directory")(p);
      await p.click('[role="option"]:last-of-type');
    },
  },
  { name: "connect-list-fails", query: "empty&signin=browser&account&scope=fail", screen: on("connect") },
  {
    name: "connect-none",
    query: "empty&signin=azureCli&scope=none",
    screen: on("connect"),
    act: async (p) => {
      await p.click("summary");
      await click("azure-subscription")(p);
      await p.fill('[data-testid="azure-subscription"]', "");
    },
  },
  {
    name: "connect-certificate",
    query: "empty&signin=clientCertificate&account",
    screen: on("connect"),
    act: (p) => p.click("summary"),
  },
  {
    name: "connect-file",
    query: "empty&signin=clientCertificate&refused",
    screen: on("connect"),
    act: click("certificate-choose"),
  },
  {
    name: "connect-identity",
    query: "empty&signin=managedIdentity",
    screen: on("connect"),
    act: (p) => p.click("summary"),
  },
  {
    name: "connect-network",
    query: "empty&cloud=custom&proxy&hop=proxy",
    screen: on("connect"),
    act: async (p) => {
      await p.click('[data-testid="azure-network"] > summary');
      await click("cloud-read")(p);
      await click("azure-test")(p);
      await p.locator('[data-testid="azure-network"]').scrollIntoViewIfNeeded();
    },
  },
  {
    name: "sign-in-browser",
    query: "empty&signin=browser&still",
    screen: on("connect"),
    act: click("sign-in-begin"),
  },
  {
    name: "sign-in-stuck",
    query: "empty&signin=browser&still&stuck",
    screen: on("connect"),
    act: click("sign-in-begin"),
  },
  {
    name: "sign-in-code",
    query: "empty&signin=deviceCode&still",
    screen: on("connect"),
    act: click("sign-in-begin"),
  },
  {
    name: "sign-in-refused",
    query: "empty&signin=deviceCode&refused",
    screen: on("connect"),
    act: async (p) => {
      await click("sign-in-begin")(p);
      await p.waitForSelector('[data-testid="error-card"]');
    },
  },
  ...["", "first", "other", "print"].map((how) => ({
    name: how ? `certificate-${how}` : "certificate",
    query: `empty&changed=${how}`,
    screen: on("connect"),
    act: async (p) => {
      await click("vcenter-test")(p);
      await p.waitForSelector('[data-testid="certificate"]');
      await p.waitForFunction(() => document.activeElement?.dataset.testid === "certificate-refuse");
    },
  })),
  {
    name: "connect-vcenter-proxy",
    query: "empty&vcproxy&works",
    screen: on("connect"),
    act: (p) => p.click('[data-testid="vcenter-network"] > summary'),
  },
  { name: "rights", query: "empty", screen: on("connect"), act: rights },
  { name: "rights-lacking", query: "empty&lacking&nobody", screen: on("connect"), act: rights },
  {
    name: "rights-preview",
    query: "empty",
    screen: on("connect"),
    act: async (p) => {
      await rights(p);
      await click("roles-apply")(p);
    },
  },
  {
    name: "rights-done",
    query: "empty",
    screen: on("connect"),
    act: async (p) => {
      await rights(p);
      await click("roles-apply")(p);
      await click("roles-confirm")(p);
      await p.waitForSelector('[data-testid="rights-role"][data-exists="true"]');
      await p.locator('[data-testid="rights-role"] summary').click();
      await p.locator('[data-testid="script-roles"] summary').click();
      await click("save-roles")(p);
      await p.locator('[data-testid="rights-appliance"]').evaluate((e) => e.scrollIntoView());
    },
  },
  {
    name: "rights-refused",
    query: "empty&rights=fail",
    screen: on("connect"),
    act: async (p) => {
      await rights(p);
      await click("roles-apply")(p);
      await click("roles-confirm")(p);
      await p.waitForSelector('[data-testid="rights"] [data-testid="error-card"]');
      await p.locator('[data-testid="rights-appliance"]').evaluate((e) => e.scrollIntoView());
    },
  },
  {
    name: "rights-other",
    query: "empty&rights=other",
    screen: on("connect"),
    act: async (p) => {
      await rights(p);
      await p.locator('[data-testid="rights-appliance"]').evaluate((e) => e.scrollIntoView());
    },
  },
  {
    name: "inventory",
    screen: on("inventory"),
    act: async (p) => {
      await p.waitForSelector('[data-testid="vm-row"]');
      await p.fill('[data-testid="inventory-filter"]', "contosohost1");
      await p.click('[data-name="APP-0036"]');
      await p.waitForSelector('[data-testid="vm-findings"] [data-rule]');
    },
  },
  {
    name: "inventory-machine",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "sqlvm");
      await p.click('[data-name="SQLVM"]');
      await p.click('[data-testid="findings-VMwareCbt"]');
      await p.waitForSelector('[data-rule="vm-independent"]');
      await p.locator('[data-testid="vm-details"]').evaluate((e) => e.scrollTo(0, 560));
    },
  },
  {
    name: "readiness-unread",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "webvm");
      await p.click('[data-name="WEBVM"]');
      await p.waitForSelector('[data-testid="readiness-check"]');
    },
  },
  {
    name: "readiness",
    query: "guest=checked",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "webvm");
      await p.click('[data-name="WEBVM"]');
      await p.click('[data-item="updates"] summary');
      await p.locator('[data-testid="vm-details"]').evaluate((e) => e.scrollTo(0, 140));
    },
  },
  {
    name: "readiness-account",
    query: "guest=refused",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "webvm");
      await p.click('[data-name="WEBVM"]');
      await click("readiness-check")(p);
      await p.fill('[data-testid="guest-user"]', "CONTOSO\\anna");
      await p.fill('[data-testid="guest-password"]', "not this one");
      await click("guest-check")(p);
      await p.waitForSelector('[data-testid="error-card"]');
    },
  },
  {
    name: "readiness-fix",
    query: "guest=checked",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "webvm");
      await p.click('[data-name="WEBVM"]');
      await click("preview-rdp")(p);
      await p.waitForSelector('[data-testid="fix-undo"]');
    },
  },
  {
    name: "readiness-paste",
    query: "guest=notools",
    screen: on("inventory"),
    act: async (p) => {
      await p.fill('[data-testid="inventory-filter"]', "webvm");
      await p.click('[data-name="WEBVM"]');
      await click("readiness-by-hand")(p);
      await p.fill('[data-testid="paste-output"]', "readiness=1\nos=windows\nrdp.deny=1");
      await click("paste")(p);
      await p.waitForSelector('[data-testid="error-card"]');
    },
  },
  {
    name: "inventory-history",
    screen: on("inventory"),
    act: async (p) => {
      await p.click('[data-name="APP-0001"]');
      await p.click('[data-testid="vm-history"] summary');
      await p.locator('[data-testid="vm-history"]').evaluate((e) => e.scrollIntoView());
    },
  },
  {
    name: "inventory-changed",
    query: "changed&live",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-read")(p);
      await p.waitForSelector('[data-testid="changes-banner"]');
      await p.waitForSelector("[data-touched]");
    },
  },
  {
    name: "inventory-changes",
    query: "changed",
    screen: on("inventory"),
    act: async (p) => {
      await click("inventory-read")(p);
      await click("changes-show")(p);
    },
  },
  {
    name: "inventory-lost",
    query: "lost&unread",
    screen: on("inventory"),
    act: (p) => p.click('[data-name="APP-0002"]'),
  },
  {
    name: "import",
    query: "refused",
    screen: on("inventory"),
    act: async (p) => {
      await click("import")(p);
      await p.waitForSelector('[data-testid="import-preview"]');
    },
  },
  { name: "inventory-empty", query: "empty", screen: on("inventory") },
  {
    name: "plan",
    query: "empty",
    screen: on("plan"),
    act: (p) => p.click('[data-address="step-1/managed-instance/contoso-sqlmi"]'),
  },
  { name: "plan-findings", query: "empty", screen: on("plan"), act: click("plan-findings") },
  { name: "plan-costs", query: "empty", screen: on("plan"), act: click("plan-costs") },
  { name: "plan-costs-lacking", query: "empty&prices=lacking", screen: on("plan"), act: click("plan-costs") },
  { name: "plan-costs-none", query: "empty&prices=none", screen: on("plan"), act: click("plan-costs") },
  { name: "plan-costs-fail", query: "empty&prices=fail", screen: on("plan"), act: click("plan-costs") },
  { name: "plan-costs-slow", query: "empty&prices=slow", screen: on("plan"), act: click("plan-costs") },
  {
    name: "plan-costs-euros",
    query: "empty",
    screen: on("plan"),
    act: async (p) => {
      await click("plan-costs")(p);
      await click("costs-currency")(p);
      await click("currency-EUR")(p);
    },
  },
  {
    name: "plan-around",
    query: "empty",
    screen: on("plan"),
    act: async (p) => {
      await click("around-settings")(p);
      await p.waitForSelector('[data-testid="around-dialog"]');
      await click("around-certificate")(p);
      await click("around-all")(p);
      await click("around-look")(p);
      await p.waitForTimeout(500);
    },
  },
  {
    name: "plan-application",
    query: "empty",
    screen: on("plan"),
    act: async (p) => {
      await click("application-settings")(p);
      await click("application-by-person")(p);
    },
  },
  {
    name: "plan-backups",
    query: "empty",
    screen: on("plan"),
    act: async (p) => {
      await click("backups-settings")(p);
      await click("backups-by-rehost")(p);
    },
  },
  { name: "plan-methods", query: "empty", screen: on("plan"), act: click("methods-databaseMethod") },
  {
    name: "plan-dms",
    query: "empty&dms",
    screen: on("plan"),
    act: async (p) => {
      await click("dms-settings")(p);
      await click("dms-from-Share")(p);
    },
  },
  { name: "plan-fixed", screen: on("plan") },
  { name: "plan-picture", query: "empty", screen: on("plan"), act: (p) => p.click('button[role="tab"]:last-of-type') },
  { name: "approve", query: "empty", screen: on("plan"), act: click("plan-approve") },
  { name: "run-start", query: "still&at=start", screen: on("run") },
  { name: "run-person", query: "still&at=person", screen: on("run"), act: click("show-instructions") },
  { name: "run-middle", query: "still&at=middle", screen: on("run") },
  { name: "run-dms", query: "still&at=middle&dms", screen: on("run") },
  { name: "run-quota", query: "still&at=middle&quota=low", screen: on("run"), act: click("quota") },
  { name: "run-quota-closed", query: "still&at=middle&quota=closed", screen: on("run") },
  { name: "run-gate", query: "still", screen: on("run") },
  {
    name: "run-task",
    query: "still&at=middle",
    screen: on("run"),
    act: (p) => p.click('[data-address="step-6/restore/full"]'),
  },
  {
    name: "run-by-hand",
    query: "still&at=start",
    screen: on("run"),
    act: async (p) => {
      await p.click('[data-address="step-4/permission/contoso-datacenter"]');
      await p.click('[data-testid="by-hand"] summary');
      await p.waitForSelector('[data-testid="copy-by-hand"]');
    },
  },
  {
    name: "run-cost",
    query: "still&at=middle",
    screen: on("run"),
    act: async (p) => {
      await p.click('[data-testid="step-1"]');
      await p.click('[data-address="step-1/managed-instance/contoso-sqlmi"]');
      await p.click('[data-testid="task-panel"] button[role="tab"]:last-of-type');
    },
  },
  { name: "appliance-file", query: "still&at=start", screen: on("run"), act: wizard(null) },
  { name: "appliance-chosen", query: "still&at=start", screen: on("run"), act: wizard(0) },
  { name: "appliance-wrong", query: "still&at=start&appliance=wrong", screen: on("run"), act: wizard(0) },
  { name: "appliance-review", query: "still&at=start", screen: on("run"), act: wizard(1) },
  { name: "appliance-where", query: "still&at=start", screen: on("run"), act: wizard(2) },
  { name: "appliance-lacking", query: "still&at=start&appliance=lacking", screen: on("run"), act: wizard(2) },
  { name: "appliance-network", query: "still&at=start", screen: on("run"), act: wizard(3) },
  { name: "appliance-values", query: "still&at=start", screen: on("run"), act: wizard(4) },
  { name: "appliance-summary", query: "still&at=start&appliance=warned", screen: on("run"), act: wizard(5) },
  { name: "appliance-sending", query: "still&at=start&appliance=sending", screen: on("run"), act: wizard(null) },
  { name: "appliance-failed", query: "still&at=start&appliance=failed", screen: on("run"), act: wizard(null) },
  { name: "appliance-done", query: "still&at=start&appliance=done", screen: on("run"), act: wizard(null) },
  { name: "gate", query: "still", screen: on("run"), act: click("gate-review") },
  {
    name: "run-failed",
    query: "still&at=failed",
    screen: on("run"),
    act: (p) => p.click('[data-address="step-5/protect/WEBVM"]'),
  },
  { name: "run-paused", query: "still&at=paused", screen: on("run") },
  { name: "run-done", query: "still&at=done", screen: on("run") },
  { name: "run-table", query: "still", screen: on("run"), act: click("diagram-table") },
  { name: "run-after", query: "still", screen: on("run"), act: click("moment-after") },
  {
    name: "cancel",
    query: "still&at=middle",
    screen: on("run"),
    act: async (p) => {
      await click("run-more")(p);
      await click("cancel-run")(p);
    },
  },
  {
    name: "exchange",
    query: "still&at=done",
    screen: on("run"),
    act: async (p) => {
      await p.click('[data-testid="step-1"]');
      await p.click('[data-address="step-1/vnet/VNET-SQLMI-EUS2"]');
      await p.click('[data-testid="task-panel"] button[title^="PUT"]');
    },
  },
  { name: "close", query: "still&close", screen: on("run"), act: (p) => p.waitForTimeout(500) },
  { name: "report", query: "still&at=done", screen: on("report") },
];

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith("@"));
const only = process.argv.find((arg) => arg.startsWith("@"))?.slice(1);
const sizes = [
  { width: 1440, height: 900, tag: "-wide" },
  { width: 1280, height: 800, tag: "-laptop" },
  { width: 1000, height: 700, tag: "-narrow" },
].filter(({ tag }) => !only || tag === `-${only}`);
mkdirSync(OUT, { recursive: true });
const server = await preview({
  mode: "fixture",
  build: { outDir: "dist-fixture" },
  preview: { port: 4174, strictPort: true },
});
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
let complaints = 0;
const complain = (text) => {
  complaints += 1;
  console.log(text);
};
for (const shot of shots.filter(
  (s) =>
    wanted.length === 0 || wanted.some((w) => s.name === w || (w.endsWith("*") && s.name.startsWith(w.slice(0, -1)))),
)) {
  for (const theme of ["light", "dark"]) {
    for (const size of sizes) {
      const name = `${shot.name}-${theme}${size.tag}`;
      const page = await browser.newPage({ viewport: size, colorScheme: theme, timezoneId: "UTC" });
      page.setDefaultTimeout(5000);
      page.on(
        "console",
        (m) => (m.type() === "error" || m.type() === "warning") && complain(`${name}: console ${m.text()}`),
      );
      page.on("pageerror", (e) => complain(`${name}: error ${e.message}`));
      try {
        await page.goto(`http://localhost:4174/?${shot.query ?? ""}&theme=${theme}${shot.screen}`);
        await page.waitForSelector("main");
        await page.waitForTimeout(400);
        await shot.act?.(page);
        await page.waitForTimeout(350);
        await page.screenshot({ path: `${OUT}/${name}.png` });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        if (wide) complain(`${name}: the page is wider than the window`);
        await page.evaluate(axe.source);
        const found = await page.evaluate(() =>
          window.axe.run({ exclude: ["[data-tabster-dummy]"] }, { resultTypes: ["violations"] }),
        );
        for (const v of found.violations)
          complain(
            `${name}: axe ${v.id} (${v.impact}) ${v.nodes.length}× ${v.nodes[0]?.html.slice(0, 160)} ${v.nodes[0]?.any[0]?.message ?? ""}`,
          );
      } catch (error) {
        complain(`${name}: ${String(error).split("\n")[0]}`);
      }
      await page.close();
    }
  }
}
await browser.close();
await server.close();
console.log(`${complaints} complaints`);
process.exit(complaints > 0 ? 1 : 0);
