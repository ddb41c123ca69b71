// Shops in the demo as a visitor would, in a real browser, and prints what was
// seen as one JSON line.
//
//   node demo.mjs BASE_URL [SCREENSHOT_FOLDER]
import { chromium } from 'playwright-core';

const [base, shots] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const left = new Set();
const errors = [];
const seen = {};
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  context.setDefaultTimeout(20000);
  await context.route('**', (route) => {
    const { hostname, protocol } = new URL(route.request().url());
    if (protocol.startsWith('http') && hostname !== '127.0.0.1') {
      left.add(hostname);
      return route.abort();
    }
    return route.continue();
  });
  context.on('weberror', (e) => errors.push(String(e.error())));

  const ids = (page, placement) => page.$$eval(`section[data-placement="${placement}"] article.card[data-id]`, (cards) => cards.map((c) => c.dataset.id));
  const shown = (page, placement) => page.waitForSelector(`section[data-placement="${placement}"] article.card[data-id]`);
  const changed = (page, placement, before) => page.waitForFunction(
    ([p, was]) => {
      const now = [...document.querySelectorAll(`section[data-placement="${p}"] article.card[data-id]`)].map((c) => c.dataset.id).join(' ');
      return now !== '' && now !== was;
    }, [placement, before.join(' ')]);
  const shoot = async (page, name) => shots && page.screenshot({ path: `${shots}/${name}.png` });

  let answer;
  const reasons = async (page, placement) => {
    const why = `section[data-placement="${placement}"] article.card[data-id] .why`;
    await page.waitForFunction(([at]) => [...document.querySelectorAll(at)].every((w) => w.textContent.startsWith('goes with')), [why], { timeout: 5000 }).catch(() => {});
    return page.$$eval(why, (all) => all.map((w) => w.textContent));
  };

  // The home page stays open, untouched, in one tab.
  const home = await context.newPage();
  await home.goto(`${base}/shop/`);
  await shown(home, 'for-you');
  await shown(home, 'trending');
  seen.before = await ids(home, 'for-you');
  await home.evaluate(() => { window.__mark = 1; }); // a page that is loaded anew has forgotten it
  await shoot(home, 'shop');

  // In another tab a product is viewed.
  const visit = await context.newPage();
  visit.on('response', async (r) => { // the newest answer about the cart
    if (new URL(r.url()).pathname === '/v1/decide') answer = (await r.json().catch(() => ({}))).placements?.cart ?? answer;
  });
  seen.product = (await ids(home, 'trending')).find((id) => id !== seen.before[0]);
  await visit.goto(`${base}/shop/product/${encodeURIComponent(seen.product)}`);
  await changed(home, 'for-you', seen.before);
  await shown(home, 'recently-viewed');
  seen.after = await ids(home, 'for-you');
  seen.recent = await ids(home, 'recently-viewed');
  seen.sameDocument = await home.evaluate(() => window.__mark === 1);
  await shoot(visit, 'shop-product');

  // It goes into the cart, and the accessories follow the cart.
  await visit.click('#add');
  await visit.click('#basket');
  await shown(visit, 'cart');
  seen.accessories = await ids(visit, 'cart');
  const second = seen.accessories[0];
  await visit.click(`section[data-placement="cart"] article.card[data-id="${second}"] a`);
  await visit.waitForSelector('#add');
  await visit.click('#add');
  await visit.click('#basket');
  await changed(visit, 'cart', seen.accessories);
  seen.accessoriesAfter = await ids(visit, 'cart');
  seen.why = await reasons(visit, 'cart');
  seen.fallback = answer?.fallback ?? '';
  seen.model = answer?.model ?? '';
  seen.second = second;
  await shoot(visit, 'shop-cart');

  // It is bought.
  await visit.click('#buy');
  await visit.click('#hood');
  const bought = visit.locator('[data-feature="recent_five_purchases"]');
  await visit.waitForFunction((id) => document.querySelector('[data-feature="recent_five_purchases"]')?.dataset.ids?.split(' ').includes(id), seen.product);
  seen.purchases = (await bought.getAttribute('data-ids')).split(' ');
  seen.latency = await visit.textContent('#latency');
  await visit.waitForTimeout(600); // the drawer slides in
  await shoot(visit, 'shop-drawer');
  console.log(JSON.stringify({ done: seen, left: [...left], errors }));
} finally {
  await browser.close();
}
