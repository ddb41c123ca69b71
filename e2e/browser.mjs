// Runs one page in a real browser and prints, as one JSON line, what the page
// returned, every host it asked for beside this machine, and its errors.
//
//   node browser.mjs PAGE_URL [SCREENSHOT.png]
//
// The page is done when it sets window.done to a value.
import { chromium } from 'playwright-core';

const [url, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const left = new Set();
const errors = [];
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.route('**', (route) => {
    const { hostname, protocol } = new URL(route.request().url());
    if (protocol.startsWith('http') && hostname !== '127.0.0.1') {
      left.add(hostname);
      return route.abort();
    }
    return route.continue();
  });
  page.on('pageerror', (e) => errors.push(String(e)));
  await page.goto(url);
  await page.waitForFunction(() => window.done !== undefined, undefined, { timeout: 45000 });
  if (screenshot) await page.screenshot({ path: screenshot });
  console.log(JSON.stringify({ done: await page.evaluate(() => window.done), left: [...left], errors }));
} finally {
  await browser.close();
}
