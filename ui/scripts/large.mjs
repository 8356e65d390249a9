// Ten thousand machines in Chromium: `npm run large`, part of `cargo xtask test`. What a filter or a scroll asks for must be
// painted within 100 ms of the event, also while vCenter tells changes; a sort, asked for seldom, may take somewhat longer.
// Says the median and the slowest of each; fails above the limit.
import { chromium } from "playwright-core";
import { preview } from "vite";

const ROWS = 10_000;
const LIMIT = 100;
const SORT_LIMIT = 250;
const TIMES = 12;
const project = encodeURIComponent("/home/admin/Documents/Rehost/SmartHotel.rehost");

const server = await preview({
  mode: "fixture",
  build: { outDir: "dist-fixture" },
  preview: { port: 4175, strictPort: true },
});
const browser = await chromium.launch({
  executablePath: process.env.REHOST_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
await page.goto(`http://localhost:4175/?rows=${ROWS}&live&still#/inventory?project=${project}`);
await page.waitForSelector(`[data-testid="inventory-count"][data-count="${ROWS}"]`);
await page.waitForTimeout(1500);

// Everything is timed in the page: from the event until the frame in which what was asked for is painted.
await page.evaluate(() => {
  window.timed = async (act, there) => {
    const begun = performance.now();
    act();
    for (;;) {
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      if (there()) return performance.now() - begun;
      if (performance.now() - begun > 5000) throw new Error("nothing was painted for five seconds");
    }
  };
});

const filter = (text) =>
  page.evaluate((text) => {
    const input = document.querySelector('[data-testid="inventory-filter"]');
    const shown = document.querySelector('[data-testid="inventory-count"]');
    const before = shown.dataset.count;
    return window.timed(
      () => {
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, text);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      },
      () => shown.dataset.count !== before,
    );
  }, text);
const scroll = (at) =>
  page.evaluate((at) => {
    const scroller = document.querySelector('[role="grid"] > [role="presentation"]');
    return window.timed(
      () => scroller.scrollTo(0, at * 36),
      () => document.querySelector(`[data-testid="vm-row"][data-index="${at + 5}"]`),
    );
  }, at);
const sortBy = (column) =>
  page.evaluate((column) => {
    const head = document.querySelector(`[data-column="${column}"]`);
    const before = head.getAttribute("aria-sort");
    return window.timed(
      () => head.querySelector("button").click(),
      () => head.getAttribute("aria-sort") !== before,
    );
  }, column);

const figures = {};
const note = (what, millis) => (figures[what] ??= []).push(millis);
for (let i = 0; i < TIMES; i += 1) {
  for (const text of ["app", "app-1", "app-12", "contosohost3 2016", ""]) note(`filter "${text}"`, await filter(text));
  note("scroll", await scroll(((i + 1) * 7919) % (ROWS - 100)));
  for (const column of ["memory", "ip", "os", "name"]) note(`sort by ${column}`, await sortBy(column));
}
await browser.close();
await server.close();

let slow = false;
for (const [what, times] of Object.entries(figures)) {
  const sorted = times.toSorted((a, b) => a - b);
  const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  console.log(`${what}: ${median.toFixed(0)} ms, slowest ${worst.toFixed(0)} ms of ${times.length}`);
  // The median is judged: what else the machine does is not.
  if (median > (what.startsWith("sort") ? SORT_LIMIT : LIMIT)) slow = true;
}
process.exit(slow ? 1 : 0);
