// Takes the pictures of the docs from a running demonstration: the shop before
// and after a view, its cart and drawer, and every page of the console, in light
// and in dark. Fails when a page logs an error or asks another site.
//
//   attune demo --traffic --rate 60     # and wait five minutes, so that the plots are full
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

async function context(more = {}) {
  const c = await browser.newContext({ viewport: { width: Number(width), height: 800 }, ...more });
  c.setDefaultTimeout(20_000);
  c.on("page", (page) => {
    page.on("console", (m) => { if (m.type() === "error" && !m.location().url.includes("/api/decision/")) faults.push(m.text()); });
    page.on("pageerror", (e) => faults.push(String(e)));
    page.on("request", (r) => { if (/^https?:/.test(r.url()) && !r.url().startsWith(base)) faults.push("a request left the site: " + r.url()); });
  });
  return c;
}

await mkdir(out, { recursive: true });
const shoot = (page, name) => page.screenshot({ path: path.join(out, name + ".png") });
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

// ---- who the pictures are of ----

const ada = "16438"; // a customer of the slice
async function send(key, call) {
  const r = await fetch(`${base}/v1/${call.type ?? "track"}`, { method: "POST", headers: { Authorization: "Basic " + Buffer.from(key + ":").toString("base64") }, body: JSON.stringify(call) });
  return r.status;
}
await send(secret, { type: "identify", userId: ada, traits: { name: "Ada", email: "ada@example.com", plan: "gold", newsletter: true, address: { city: "Leeds", country: "United Kingdom" } } });
// What a page with a mistake sends, and is told.
await send("dev", { type: "track", anonymousId: "2f1c7c1e-6a53-4b5e-9f0e-0d6a2f0b9b11", properties: { product_id: "85099B" } });
await send("dev", { type: "track", event: "Product Viewed", userId: "undefined", properties: { product_id: "85099B", name: "JUMBO BAG RED RETROSPOT" } });
await send("dev", { type: "track", event: "Order Completed", userId: "u-7", properties: "order 5512" });

// ---- the shop ----

const section = (placement) => `section[data-placement="${placement}"]`;
const card = (placement) => `${section(placement)} article.card[data-id]`;
const ids = (page, placement) => page.$$eval(card(placement), (all) => all.map((c) => c.dataset.id).join(" "));
const changed = (page, placement, was) => page.waitForFunction(([s, w]) => {
  const now = [...document.querySelectorAll(s)].map((c) => c.dataset.id).join(" ");
  return now && now !== w;
}, [card(placement), was]);
// drawn waits for the covers, but not for one that the browser puts off.
const drawn = (page) => page.waitForFunction(() => [...document.images].every((i) => {
  const at = i.getBoundingClientRect();
  return !at.width || at.top > innerHeight || at.right > innerWidth || i.complete;
}), undefined, { timeout: 5000 }).catch(() => {});

const shopping = await context({ viewport: { width: Number(width), height: 860 } });
const home = await shopping.newPage();
await home.goto(base + "/shop/");
await home.waitForSelector(card("for-you"));
await home.waitForSelector(card("trending"));
await home.waitForTimeout(1200);
await drawn(home);
await shoot(home, "shop");
const piece = async (placement) => (await home.locator(section(placement)).screenshot()).toString("base64");
const before = await piece("for-you"), was = await ids(home, "for-you");

const visit = await shopping.newPage();
await visit.goto(base + "/shop/product/85099B");
await visit.waitForSelector("#add");
await changed(home, "for-you", was);
await home.waitForSelector(card("recently-viewed"));
await home.waitForTimeout(500);
const after = await piece("for-you");
await visit.waitForTimeout(1200);
await drawn(visit);
await shoot(visit, "shop-product");

const pair = await (await context({ viewport: { width: Number(width), height: 400 } })).newPage();
await pair.setContent(`<style>body{margin:0;padding:26px 34px;background:#fbf8f3;font:500 17px system-ui,"Liberation Sans",sans-serif;color:#2d2a26}p{margin:0 0 14px;color:#5d564d}img{width:100%;display:block}b{color:#2d2a26}hr{border:0;border-top:1px solid #ddd2c3;margin:30px 0 24px}</style>
  <p><b>Before.</b> Nobody knows this visitor.</p><img src="data:image/png;base64,${before}"><hr>
  <p><b>After.</b> In another tab she opened Jumbo Bag Red Retrospot. The open page followed by itself, without a reload.</p><img src="data:image/png;base64,${after}">`);
await pair.waitForTimeout(300);
await pair.screenshot({ path: path.join(out, "shop-before-after.png"), fullPage: true });

await visit.click("#add");
await visit.click("#basket");
await visit.waitForSelector(card("cart"));
const goes = (await ids(visit, "cart")).split(" ")[0];
await visit.click(`${section("cart")} article.card[data-id="${goes}"] a`);
await visit.waitForSelector("#add");
await visit.click("#add");
const wasInCart = await ids(visit, "cart").catch(() => "");
await visit.click("#basket");
await changed(visit, "cart", wasInCart);
await visit.waitForTimeout(4500); // the note at the foot goes
await drawn(visit);
await shoot(visit, "shop-cart");

await visit.click("#buy");
await visit.click("#hood");
await visit.waitForFunction(() => document.querySelector('[data-feature="recent_five_purchases"]')?.dataset.ids?.includes("85099B"));
await visit.waitForTimeout(1500);
await drawn(visit);
await shoot(visit, "shop-drawer");

// Ada, on two devices.
for (const product of ["22784", "84946"]) {
  const c = await context();
  const page = await c.newPage();
  await page.goto(base + "/shop/");
  await page.click("#who");
  await page.click(`[data-person="${ada}"]`);
  await page.waitForSelector(card("for-you"));
  await page.goto(base + "/shop/product/" + product);
  await page.waitForSelector("#add");
  await page.waitForTimeout(800);
  await c.close();
}

// ---- the console ----

async function logIn(page) {
  await page.fill("#secret", secret);
  await page.click("button[type=submit]");
  await page.waitForSelector("#nav a");
}

// settle waits until nothing is being loaded any more.
async function settle(page) {
  await page.waitForFunction(() => !document.querySelector(".spin"));
  await page.waitForTimeout(900);
}

const page = await (await context({ colorScheme: "light" })).newPage();
await page.goto(base + "/console");
await shoot(page, "console-login");
await logIn(page);

async function look(hash, name) {
  await page.goto(base + "/console/#/" + hash);
  await settle(page);
  await shoot(page, name);
}

await look("overview", "console-overview");
await look("live", "console-live");
await page.click("ol.feed .row >> nth=2");
await page.click('button:has-text("Pause")');
await shoot(page, "console-live-event");
await page.goto(base + "/console/#/live/dead");
await settle(page);
await page.click("ol.feed.dead .row >> nth=0");
await shoot(page, "console-dead-letters");
await look("live/connect", "console-connect");
for (const tab of ["timeline", "traits", "features", "devices", "sees"]) await look(`people/${encodeURIComponent("u:" + ada)}/${tab}`, "console-person-" + tab);
await look("readiness", "console-readiness");
await look("segments", "console-segments");

const dark = await (await context({ colorScheme: "dark" })).newPage();
await dark.goto(base + "/console");
await logIn(dark);
await settle(dark);
await pause(500);
await shoot(dark, "console-overview-dark");

await browser.close();
if (faults.length) {
  console.error(faults.join("\n"));
  process.exit(1);
}
