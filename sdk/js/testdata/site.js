// A real HTTP server that speaks the wire the SDK speaks, records what it gets
// and can be told to answer otherwise; and a real browser to load pages in.
import { createServer } from "node:http";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const source = readFileSync(new URL("../attune.js", import.meta.url));

export async function startSite() {
  const site = { requests: [], streams: new Set(), refuse: [], visitor: { id: 0 }, pages: {} };
  const server = createServer((req, res) => {
    let text = "";
    req.on("data", (c) => (text += c));
    req.on("end", () => answer(site, req, res, text));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  site.url = "http://127.0.0.1:" + server.address().port;
  site.events = () => site.requests.filter((r) => r.path === "/v1/b" && r.status === 200).flatMap((r) => r.json.batch);
  site.of = (path) => site.requests.filter((r) => r.path === path);
  site.push = (data, id) => site.streams.forEach((s) => s.write(`id: ${id}\nevent: decision\ndata: ${JSON.stringify(data)}\n\n`));
  site.stop = () => { site.streams.forEach((s) => s.end()); server.closeAllConnections(); return new Promise((done) => server.close(done)); };
  return site;
}

function answer(site, req, res, text) {
  const url = new URL(req.url, site.url);
  const r = { method: req.method, url: req.url, path: url.pathname, query: Object.fromEntries(url.searchParams), headers: req.headers, text, status: 200 };
  const reply = (status, body, headers = {}) => {
    r.status = status;
    res.writeHead(status, { "Content-Type": "application/json", ...headers });
    res.end(typeof body === "string" ? body : JSON.stringify(body));
  };
  if (url.pathname === "/attune.js") return void res.writeHead(200, { "Content-Type": "text/javascript" }).end(source);
  if (!url.pathname.startsWith("/v1/")) return void res.writeHead(200, { "Content-Type": "text/html" }).end(site.pages[url.pathname] ?? "<!doctype html><title>t</title>");
  try { r.json = JSON.parse(text); } catch { r.json = undefined; }
  site.requests.push(r);
  const no = site.refuse.find((f) => f.path === url.pathname);
  if (no) {
    site.refuse.splice(site.refuse.indexOf(no), 1);
    return no.status ? reply(no.status, {}, no.headers) : void (r.status = 0, req.socket.destroy());
  }
  switch (url.pathname) {
    case "/v1/b": return reply(200, { accepted: r.json.batch.length }, { "X-Attune-Token": "token-" + site.of("/v1/b").length });
    case "/v1/visitor": return reply(200, { anonymous_id: r.json.anonymous_id, visitor_token: "visitor-" + ++site.visitor.id });
    case "/v1/decide": return reply(200, { decision_id: "d1", profile_version: 1, stale: false, placements: Object.fromEntries(r.json.placements.map((p) => [p.id, { items: [], model: "m", fallback: "" }])) });
    case "/v1/stream":
      res.writeHead(200, { "Content-Type": "text/event-stream" }).write(": hello\n\n");
      site.streams.add(res);
      return void res.on("close", () => site.streams.delete(res));
    default: return reply(404, {});
  }
}

// startBrowser returns a Chromium, or the reason why there is none.
export async function startBrowser() {
  let core;
  for (const from of [import.meta.url, new URL("../../../e2e/package.json", import.meta.url)]) {
    try { core ??= createRequire(from)("playwright-core"); } catch {}
  }
  if (!core) return { missing: "playwright-core is not installed; run e2e/install.sh" };
  const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  if (!executablePath) return { missing: "no Chromium found; set CHROMIUM to one, or run e2e/install.sh" };
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return { browser: await core.chromium.launch({ executablePath, args }) };
}

// until waits for a condition; a condition that never comes fails by the
// runner's own limit, not by a clock in here.
export async function until(condition) {
  for (;;) {
    const v = await condition();
    if (v) return v;
    await new Promise((done) => setTimeout(done, 20));
  }
}
