// A real browser judges the window's page: `node page.mjs ORIGIN CHROMIUM RESULT.json`, ORIGIN being a harness.
//
// It rehearses the sample by clicks and on each screen, light and dark, asks axe-core for violations; it also collects what
// the console says, how much the layout jumped, and when the first screen could be used.

import fs from "node:fs";
import { createRequire } from "node:module";

const [, , origin, chromiumPath, resultFile] = process.argv;
if (!resultFile) {
  process.stderr.write("Usage: node page.mjs ORIGIN CHROMIUM RESULT.json\n");
  process.exit(2);
}
// The browser's driver and axe are the window's own development packages.
const require = createRequire(new URL("../../ui/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const result = { usableMillis: 0, screens: [], violations: [], console: [], jumps: [], sideways: [] };
const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.setDefaultTimeout(60_000);
page.on("console", (m) => ["error", "warning"].includes(m.type()) && result.console.push(`${m.type()}: ${m.text()}`));
page.on("pageerror", (e) => result.console.push(`error: ${e.message}`));
await page.addInitScript(() => {
  window.jumps = [];
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) {
      // A step that opens by itself when it begins moves those below it, on purpose.
      const step = e.sources?.some((s) => s.node?.closest?.('[data-testid="steps"]'));
      const nodes = e.sources?.map((s) => s.node?.outerHTML?.slice(0, 120) ?? "?");
      if (!step && !e.hadRecentInput) window.jumps.push({ value: e.value, nodes });
    }
  }).observe({ type: "layout-shift", buffered: true });
});

const id = (name) => `[data-testid="${name}"]`;
const there = (name) => page.waitForSelector(id(name));

/** Judges what is on screen now, in both themes. A dialog is opened in each of them and closed by its Escape key. */
const judge = async (screen, openDialog) => {
  for (const theme of ["dark", "light"]) {
    if ((await page.evaluate(() => document.documentElement.dataset.theme)) !== theme) await page.click(id("theme-toggle"));
    await openDialog?.();
    await page.mouse.move(720, 890);
    // Colours fade; axe would measure a contrast that nobody sees.
    await page.waitForTimeout(500);
    await page.evaluate(axe.source);
    const found = await page.evaluate(() =>
      // Focus guards of the component library, which are never seen or read out.
      window.axe.run({ exclude: ["[data-tabster-dummy]"] }, { resultTypes: ["violations"] }),
    );
    for (const v of found.violations) {
      const example = v.nodes[0];
      result.violations.push(
        `${screen} ${theme}: ${v.id} (${v.impact}) ${v.nodes.length}x ${example?.html.slice(0, 200)} ${example?.any[0]?.message ?? ""}`,
      );
    }
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (sideways) result.sideways.push(`${screen} ${theme}`);
    if (openDialog) {
      await page.keyboard.press("Escape");
      await page.waitForSelector('[role="dialog"]', { state: "detached" });
    }
  }
  for (const jump of await page.evaluate(() => window.jumps.splice(0))) result.jumps.push({ screen, ...jump });
  result.screens.push(screen);
};

process.on("uncaughtException", async (e) => {
  process.stderr.write(`${e.stack}\nThe page says:\n${await page.evaluate(() => document.body.innerText)}\n`);
  process.exit(1);
});

// The best of three: what else the machine does is not what is judged.
result.usableMillis = Infinity;
for (let i = 0; i < 3; i += 1) {
  const begun = Date.now();
  await page.goto(origin);
  await there("rehearse-sample");
  result.usableMillis = Math.min(result.usableMillis, Date.now() - begun);
}
await judge("home");

await judge("options", async () => {
  await page.click(id("rehearse-options"));
  await page.waitForSelector('[data-testid^="fault-"]:not([data-testid="fault-nothing"])');
});

await page.click(id("rehearse-options"));
await page.click(id("method-DmsOnline"));
await page.click(id("method-LogReplay"));
await page.click(id("speed-500"));
await page.click(id("rehearse-start"));
await there("steps");
await judge("run");
for (const [screen, sign] of [
  ["connect", "vcenter-url"],
  ["inventory", "vm-row"],
  ["plan", "nav-plan"],
  ["report", "nav-report"],
]) {
  await page.click(id(`nav-${screen}`));
  await there(sign);
  await judge(screen);
  if (screen !== "connect") continue;
  await page.click(id("rights-look"));
  await there("rights-own");
  await page.locator(`${id("rights-own")} tbody button`).nth(1).click();
  await judge("rights");
  await page.click(`${id("script-roles")} > summary`);
  await judge("script for the roles");
}

await page.click(id("nav-run"));
await page.click(id("speed-menu"));
await page.click(id("speed-10000"));
for (let gates = 0; ; ) {
  const next = await Promise.race([
    page.waitForSelector(id("gate-review")).then(() => "gate"),
    page.waitForSelector('[data-testid="run-screen"][data-phase="done"]').then(() => "done"),
    page.waitForSelector('[data-testid="run-screen"][data-phase="stopped"]').then(() => "stopped"),
  ]);
  if (next === "stopped") throw new Error("the rehearsal stopped");
  if (next === "done") break;
  if (gates === 0) await judge("gate");
  // The banner stands a moment longer than its question.
  const question = await page.textContent(id("banner"));
  await page.click(id("gate-review"));
  await page.click(id("gate-accept"));
  await page.waitForFunction((old) => document.querySelector('[data-testid="banner"]')?.textContent !== old, question);
  gates += 1;
}
await judge("done");
// Nothing of a connection can be changed before the run has ended.
await page.click(id("nav-connect"));
await judge("sign-in methods", () => page.click(id("azure-sign-in-with")));
await page.click(`${id("azure-network")} > summary`);
await judge("cloud and network");
await page.click(id("azure-sign-in-with"));
await page.click(id("sign-in-with-deviceCode"));
await judge("device code", async () => {
  await page.click(id("sign-in-begin"));
  await there("device-code");
});
await browser.close();
fs.writeFileSync(resultFile, JSON.stringify(result, null, 1));
