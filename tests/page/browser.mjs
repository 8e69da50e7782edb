// A browser that is told what to do, one JSON object a line: {"n": 1, "do": "click", "page": 0, "with": [...]}.
// Each is answered by a line {"n": 1, "gives": ...} or {"n": 1, "fails": "why"}. Its end is the end of stdin.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// Chromium by itself asks for updates, lists and time: nothing here may leave the machine.
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
const PATIENCE = 10_000;

const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS });
const pages = [];

/** What no page may do, written down as it happens. */
function watch(page) {
  const noted = { errors: [], requests: [] };
  page.on("console", (m) => {
    if (!["error", "warning"].includes(m.type())) return;
    noted.errors.push(`${m.type()}: ${m.text()} ${m.location()?.url ?? ""}`);
  });
  page.on("pageerror", (e) => noted.errors.push(`uncaught: ${e.stack || e}`));
  page.on("request", (r) => noted.requests.push(r.url()));
  return noted;
}

const describe = () => {
  const e = document.activeElement;
  const box = e.getBoundingClientRect();
  const name = (e.getAttribute("aria-label") || e.textContent || "").trim().slice(0, 60);
  return { tag: e.tagName.toLowerCase(), id: e.id, name, visible: box.width > 0 && box.height > 0,
    outline: getComputedStyle(e).outlineStyle };
};

const acts = {
  async open(_, { axe = false, at = 1, ...how } = {}) {
    const usual = { viewport: { width: 1280, height: 900 }, deviceScaleFactor: at, reducedMotion: "reduce" };
    const context = await browser.newContext({ ...usual, ...how });
    context.setDefaultTimeout(PATIENCE);
    // Put in by the debugger, as the page's own policy lets in no script of others.
    if (axe) await context.addInitScript({ content: AXE });
    const page = await context.newPage();
    pages.push({ page, noted: watch(page), context });
    return pages.length - 1;
  },
  close: ({ context }) => context.close(),
  goto: async ({ page }, url) => (await page.goto(url, { waitUntil: "domcontentloaded" }))?.status(),
  reload: ({ page }) => page.reload({ waitUntil: "domcontentloaded" }).then(() => null),
  wait: ({ page }, selector, state = "visible", timeout = PATIENCE) =>
    page.locator(selector).first().waitFor({ state, timeout }),
  click: ({ page }, selector) => page.locator(selector).first().click(),
  focus: ({ page }, selector) => page.locator(selector).first().focus(),
  fill: ({ page }, selector, text) => page.locator(selector).first().fill(text),
  select: ({ page }, selector, value) => page.locator(selector).selectOption(value).then(() => null),
  press: ({ page }, key) => page.keyboard.press(key),
  down: ({ page }, key) => page.keyboard.down(key),
  up: ({ page }, key) => page.keyboard.up(key),
  texts: ({ page }, selector) => page.locator(selector).allInnerTexts(),
  count: ({ page }, selector) => page.locator(selector).count(),
  value: ({ page }, selector) => page.locator(selector).inputValue(),
  attribute: ({ page }, selector, name) => page.locator(selector).first().getAttribute(name),
  focused: ({ page }) => page.evaluate(describe),
  evaluate: ({ page }, code) => page.evaluate(`(${code})()`),
  emulate: ({ page }, what) => page.emulateMedia(what),
  resize: ({ page }, width, height) => page.setViewportSize({ width, height }),
  shot: ({ page }, path) => page.screenshot({ path, fullPage: true, animations: "disabled" }).then(() => null),
  noted: ({ noted }) => noted,
  async axe({ page }) {
    const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    return result.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help,
      nodes: v.nodes.map((n) => `${n.target.join(" ")}: ${n.failureSummary}`.slice(0, 300)) }));
  },
};

async function obey(line) {
  const { n, do: act, page = 0, with: words = [] } = JSON.parse(line);
  try {
    return { n, gives: (await acts[act](pages[page], ...words)) ?? null };
  } catch (error) {
    return { n, fails: `${act} ${JSON.stringify(words).slice(0, 200)}: ${error.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await obey(line)));
await browser.close();
