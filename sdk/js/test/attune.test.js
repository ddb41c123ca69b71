import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { startBrowser, startSite, until } from "../testdata/site.js";

test("the served file is under 4 KB gzipped", (t) => {
  const size = gzipSync(readFileSync(new URL("../attune.js", import.meta.url)), { level: 9 }).length;
  t.diagnostic(`attune.js: ${size} bytes gzipped`);
  assert.ok(size < 4096, `attune.js is ${size} bytes gzipped, want under 4096`);
});

test("the module version is the package's", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));
  assert.match(readFileSync(new URL("../attune.js", import.meta.url), "utf8"), new RegExp(`version = "${version}"`));
});

const { browser, missing } = await startBrowser();

describe("in Chromium", { skip: missing, timeout: 300000 }, () => {
  let site, context, page;
  after(() => browser?.close());
  beforeEach(async () => {
    site = await startSite();
    context = await browser.newContext();
    page = await context.newPage();
  });
  afterEach(async () => {
    await context.close();
    await site.stop();
  });
  // run opens an address and runs body there with `attune` made from options.
  const open = async (options = {}, path = "/?utm_source=mail&utm_campaign=spring") => {
    await page.goto(site.url + path);
    await page.evaluate(async (o) => {
      const { createAttune } = await import("/attune.js");
      window.attune = createAttune({ writeKey: "dev", ...o });
    }, options);
  };

  test("events have what Segment's have, and go without a preflight", async () => {
    await open({ consent: { personalization: true } });
    const ids = await page.evaluate(() => [attune.page("Home"), attune.track("Product Viewed", { product_id: "a" }), attune.identify("u1", { plan: "pro" })]);
    await until(() => site.events().length === 3);
    const [p, t, i] = site.events();
    assert.deepEqual([p.messageId, t.messageId, i.messageId], ids);
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual([p.type, p.name, p.properties.path], ["page", "Home", "/"]);
    assert.deepEqual([t.type, t.event, t.properties.product_id, t.userId], ["track", "Product Viewed", "a", undefined]);
    assert.deepEqual([i.type, i.userId, i.traits.plan], ["identify", "u1", "pro"]);
    assert.match(t.anonymousId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(i.anonymousId, t.anonymousId);
    assert.deepEqual(t.context.library, { name: "attune.js", version: "0.1.0" });
    assert.deepEqual(t.context.campaign, { source: "mail", name: "spring" });
    assert.deepEqual(t.context.consent, { categoryPreferences: { personalization: true } });
    assert.ok(t.context.page.url && t.context.locale && t.context.userAgent);
    const [r] = site.of("/v1/b");
    assert.equal(r.query.writeKey, "dev");
    assert.match(r.headers["content-type"], /^text\/plain/);
    assert.ok(r.json.sentAt >= t.timestamp);
    assert.equal(site.requests.filter((x) => x.method === "OPTIONS").length, 0);
  });

  test("a decide names the acknowledgement of what was tracked before it", async () => {
    await open({ userToken: "ut" });
    const d = await page.evaluate(() => {
      attune.track("Product Viewed", { product_id: "a" });
      return attune.decide({ placements: [{ id: "home" }], context: { theme: "dark" }, deadline_ms: 40 });
    });
    assert.equal(d.decision_id, "d1");
    const [r] = site.of("/v1/decide");
    assert.equal(r.json.after, "token-1");
    assert.equal(r.json.deadline_ms, 40);
    assert.equal(r.json.context.theme, "dark");
    assert.equal(r.headers["x-attune-visitor"], "visitor-1");
    assert.equal(r.headers["x-attune-user"], "ut");
    assert.equal(r.json.anonymous_id, site.events()[0].anonymousId);
  });

  test("the visitor token is asked for once and kept; one that is refused is renewed", async () => {
    await open();
    const ask = () => page.evaluate(() => attune.decide({ placements: [{ id: "home" }] }));
    await Promise.all([ask(), ask()]);
    await open();
    await ask();
    assert.equal(site.of("/v1/visitor").length, 1);
    site.refuse.push({ path: "/v1/decide", status: 403 });
    await ask();
    assert.equal(site.of("/v1/visitor").length, 2);
    assert.equal(site.of("/v1/decide").at(-1).headers["x-attune-visitor"], "visitor-2");
  });

  test("a device whose token was lost goes on as a new one", async () => {
    await open();
    const old = await page.evaluate(() => attune.anonymousId());
    site.refuse.push({ path: "/v1/visitor", status: 409 });
    await page.evaluate(() => attune.decide({ placements: [{ id: "home" }] }));
    const r = site.of("/v1/decide")[0];
    assert.equal(r.headers["x-attune-visitor"], "visitor-1");
    assert.notEqual(r.json.anonymous_id, old);
    assert.equal(site.of("/v1/visitor")[1].json.anonymous_id, r.json.anonymous_id);
  });

  test("several placements share one stream", async () => {
    await open();
    await page.evaluate(() => void attune.subscribe(["a b", "c"], {}, (_, d) => (window.got = Object.keys(d.placements))));
    await until(() => site.streams.size === 1);
    assert.match(site.of("/v1/stream")[0].url, /&placement=a%20b&placement=c$/);
    site.push({ decision_id: "d7", placements: { "a b": { items: [] }, c: { items: [] } } }, 7);
    assert.deepEqual(await until(() => page.evaluate(() => window.got)), ["a b", "c"]);
  });

  test("a refused decide rejects with its status", async () => {
    await open();
    site.refuse.push({ path: "/v1/decide", status: 500 });
    const got = await page.evaluate(() => attune.decide({ placements: [{ id: "home" }] }).catch((e) => [e.message, e.status]));
    assert.deepEqual(got, ["attune: decide: 500 {}", 500]);
  });

  for (const [name, refusal] of [["503", { status: 503 }], ["429", { status: 429 }], ["a cut connection", {}]]) {
    test(`${name} is tried again with the same messageId`, async () => {
      await open();
      site.refuse.push({ path: "/v1/b", ...refusal }, { path: "/v1/b", ...refusal });
      const id = await page.evaluate(() => attune.track("A"));
      await until(() => site.events().length === 1);
      assert.deepEqual(site.of("/v1/b").map((r) => r.json.batch[0].messageId), [id, id, id]);
    });
  }

  test("Retry-After is honoured, and what comes meanwhile waits too, in order", async () => {
    await open();
    site.refuse.push({ path: "/v1/b", status: 429, headers: { "Retry-After": "1" } });
    await page.evaluate(() => attune.track("A"));
    await until(() => site.of("/v1/b").length === 1);
    await page.evaluate(() => attune.track("B"));
    await until(() => site.events().length === 2);
    const [first, second] = site.of("/v1/b");
    assert.deepEqual(first.json.batch.map((e) => e.event), ["A"]);
    assert.deepEqual(second.json.batch.map((e) => e.event), ["A", "B"]);
  });

  test("400 is dropped, 413 is halved", async () => {
    await open();
    site.refuse.push({ path: "/v1/b", status: 400 });
    await page.evaluate(() => attune.track("bad"));
    await until(() => site.of("/v1/b").length === 1);
    site.refuse.push({ path: "/v1/b", status: 413 });
    await page.evaluate(() => ["A", "B", "C", "D"].forEach((n) => attune.track(n)));
    await until(() => site.events().length === 4);
    assert.deepEqual(site.events().map((e) => e.event), ["A", "B", "C", "D"]);
    assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((k) => k.includes("q:")).length), 0);
  });

  test("batches are bounded in number and bytes, and the queue in number", async () => {
    await open();
    await page.evaluate(() => { for (let i = 0; i < 700; i++) attune.track("E" + i, { text: "é".repeat(200) }); });
    await until(() => site.events().at(-1)?.event === "E699");
    assert.deepEqual(site.events().map((e) => e.event), Array.from({ length: 500 }, (_, i) => "E" + (i + 200)));
    for (const r of site.of("/v1/b")) {
      assert.ok(r.json.batch.length <= 100 && Buffer.byteLength(r.text) < 64 * 1024, `${r.json.batch.length} events, ${Buffer.byteLength(r.text)} bytes`);
    }
  });

  test("unsent events survive the page", async () => {
    await open();
    site.refuse.push({ path: "/v1/b", status: 503, headers: { "Retry-After": "600" } });
    const id = await page.evaluate(() => attune.track("A"));
    await until(() => site.of("/v1/b").length === 1);
    await page.goto("about:blank"); // pagehide: a beacon
    await until(() => site.events().length === 1);
    assert.equal(site.events()[0].messageId, id);
    await open(); // nobody heard of the beacon's fate, so it comes once more
    await until(() => site.events().length === 2);
    assert.equal(site.events()[1].messageId, id);
    await until(() => page.evaluate(() => !Object.keys(localStorage).some((k) => k.includes("q:"))));
  });

  test("broken storage costs persistence only", async () => {
    await page.addInitScript(() => Object.defineProperty(window, "localStorage", { get() { throw new Error("no"); } }));
    await open();
    await page.evaluate(() => { attune.identify("u1"); attune.track("A"); });
    await until(() => site.events().length === 2);
    const [a, b] = site.events();
    assert.equal(a.anonymousId, b.anonymousId);
    assert.equal(b.userId, "u1");
  });

  test("reset is a log-out", async () => {
    await open();
    await page.evaluate(() => { attune.identify("u1", {}, "ut"); attune.track("A"); attune.reset(); attune.track("B"); });
    await until(() => site.events().length === 3);
    const [, a, b] = site.events();
    assert.notEqual(a.anonymousId, b.anonymousId);
    assert.deepEqual([a.userId, b.userId], ["u1", undefined]);
    await page.evaluate(() => attune.decide({ placements: [{ id: "home" }] }));
    const r = site.of("/v1/decide")[0];
    assert.equal(r.headers["x-attune-user"], undefined);
    assert.equal(r.json.user_id, undefined);
  });

  test("a subscription calls back, comes again with Last-Event-ID, follows identify and ends", async () => {
    await open();
    await page.evaluate(() => { window.got = []; window.stop = attune.subscribe("similar", { item: "a", limit: 4 }, (answer, d) => got.push([answer.model, d.decision_id])); });
    await until(() => site.streams.size === 1);
    const q = site.of("/v1/stream")[0].query;
    assert.deepEqual([q.placement, q.item, q.limit, q.writeKey, q.visitor, q.user_id], ["similar", "a", "4", "dev", "visitor-1", undefined]);
    site.push({ decision_id: "d7", placements: { similar: { model: "m7", items: [] } } }, 7);
    await until(() => page.evaluate(() => got.length === 1));
    assert.deepEqual(await page.evaluate(() => got), [["m7", "d7"]]);
    site.streams.forEach((s) => s.end());
    await until(() => site.of("/v1/stream").length === 2);
    assert.equal(site.of("/v1/stream")[1].headers["last-event-id"], "7");
    await page.evaluate(() => attune.identify("u1", {}, "ut"));
    await until(() => site.of("/v1/stream").length === 3 && site.streams.size === 1);
    const again = site.of("/v1/stream")[2].query;
    assert.deepEqual([again.user_id, again.user_token, again.last_event_id], ["u1", "ut", "7"]);
    await page.evaluate(() => stop());
    await until(() => site.streams.size === 0);
  });

  test("a refused stream is opened again", async () => {
    await open();
    site.refuse.push({ path: "/v1/stream", status: 503 });
    await page.evaluate(() => void attune.subscribe("home", {}, () => {}));
    await until(() => site.streams.size === 1);
    assert.equal(site.of("/v1/stream").length, 2);
  });

  test("an impression is what was half visible for a second, in one event a decision", async () => {
    site.pages["/long"] = '<!doctype html><style>div{height:100px}#far{margin-top:3000px}</style><div id=a></div><div id=b></div><div id=gone></div><div id=far></div>';
    await open({}, "/long");
    await page.evaluate(() => {
      ["a", "b", "gone", "far"].forEach((id, i) => attune.observe(document.getElementById(id), { decision_id: "d1", placement: "home", product_id: id, position: i + 1 }));
      document.getElementById("gone").remove();
    });
    await until(() => site.events().length === 1);
    const shown = (i) => site.events()[i].properties;
    assert.equal(site.events()[0].event, "Recommendation Viewed");
    assert.deepEqual(shown(0), { decision_id: "d1", placement: "home", products: [{ product_id: "a", position: 1 }, { product_id: "b", position: 2 }] });
    await page.evaluate(() => { scrollTo(0, 9999); attune.click({ decision_id: "d1", placement: "home", product_id: "a", position: 1 }); });
    await until(() => site.events().length === 3);
    assert.deepEqual([site.events()[1].event, shown(1).product_id], ["Recommendation Clicked", "a"]);
    assert.deepEqual(shown(2).products, [{ product_id: "far", position: 4 }]);
  });

  for (const lib of ["rudderanalytics", "analytics"]) {
    test(`plug reads the ids of window.${lib} and reports through it`, async () => {
      await page.goto(site.url + "/");
      const got = await page.evaluate(async (lib) => {
        const { plug } = await import("/attune.js");
        const waiting = plug({ writeKey: "dev" });
        const told = [], track = (e, p) => told.push([e, p.product_id]);
        window[lib] = lib === "analytics"
          ? { user: () => ({ anonymousId: () => "anon-9", id: () => null }), track }
          : { getAnonymousId: () => "anon-9", getUserId: () => "", track };
        const attune = await waiting;
        attune.click({ decision_id: "d", placement: "p", product_id: "x", position: 1 });
        await attune.decide({ placements: [{ id: "home" }] });
        return { told, keys: Object.keys(attune), anonymousId: attune.anonymousId(), userId: attune.userId() };
      }, lib);
      assert.deepEqual(got, { told: [["Recommendation Clicked", "x"]], keys: ["decide", "subscribe", "observe", "click", "anonymousId", "userId"], anonymousId: "anon-9", userId: undefined });
      assert.equal(site.of("/v1/visitor")[0].json.anonymous_id, "anon-9");
      assert.equal(site.of("/v1/decide")[0].json.anonymous_id, "anon-9");
      assert.equal(site.events().length, 0);
    });
  }
});
