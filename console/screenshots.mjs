// Takes a screenshot of every page of a running console, in light and in dark,
// and fails when a page logs an error. The docs show these.
//
//   node console/screenshots.mjs http://127.0.0.1:8080 dev-secret docs/screenshots
import { createRequire } from "node:module";
import { mkdir } from "node:fs/promises";
import path from "node:path";

const { chromium } = createRequire(new URL("../e2e/", import.meta.url))("playwright-core");
const [base, secret, out, width = "1280"] = process.argv.slice(2);
if (!out) {
  console.error("usage: node console/screenshots.mjs BASE_URL SERVER_SECRET OUT_DIR [WIDTH]");
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const faults = [];

async function open(colorScheme) {
  const context = await browser.newContext({ viewport: { width: Number(width), height: 800 }, colorScheme });
  const page = await context.newPage();
  page.on("console", (m) => { if (m.type() === "error") faults.push(m.text()); });
  page.on("pageerror", (e) => faults.push(String(e)));
  page.on("request", (r) => { if (!r.url().startsWith(base)) faults.push("a request left the site: " + r.url()); });
  return page;
}

async function logIn(page) {
  await page.fill("#secret", secret);
  await page.click("button[type=submit]");
  await page.waitForSelector("#nav a");
}

// settle waits until nothing is being loaded any more.
async function settle(page) {
  await page.waitForFunction(() => !document.querySelector(".spin"));
  await page.waitForTimeout(600);
}

await mkdir(out, { recursive: true });
const shoot = (page, name) => page.screenshot({ path: path.join(out, name + ".png") });

const page = await open("light");
await page.goto(base + "/console");
await shoot(page, "console-login");
await logIn(page);

async function visit(hash, name) {
  await page.goto(base + "/console/#/" + hash);
  await settle(page);
  await shoot(page, name);
}

await visit("overview", "console-overview");
await visit("live", "console-live");
if (await page.locator("ol.feed .row").count()) {
  await page.locator("ol.feed .row").nth(2).click();
  await shoot(page, "console-live-event");
}
await visit("live/dead", "console-dead-letters");
await visit("live/connect", "console-connect");
await page.goto(base + "/console/#/people");
await settle(page);
// Of those that were here last, a user has more to show than a visitor.
const links = await page.locator(".people .list a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
const person = (links.find((l) => l.includes("u%3A")) || links[0])?.match(/^#\/people\/([^/]+)/)?.[1];
if (person) {
  for (const tab of ["timeline", "traits", "features", "devices", "sees"]) await visit(`people/${person}/${tab}`, "console-person-" + tab);
}
await visit("readiness", "console-readiness");
await visit("segments", "console-segments");

const dark = await open("dark");
await dark.goto(base + "/console");
await logIn(dark);
await settle(dark);
await shoot(dark, "console-overview-dark");

await browser.close();
if (faults.length) {
  console.error(faults.join("\n"));
  process.exit(1);
}
