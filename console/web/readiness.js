// What placements and features need, whether it came in, and what to send.
import { h, put, api, setup, num, ago, stamp, every, copier, loading, empty, failed } from "./dom.js";
import { send } from "./snippets.js";

export function mount(el) {
  const body = h("div", { class: "stack" }, h("section", { class: "card" }, loading()));
  put(el, h("div", { class: "top" }, h("h1", {}, "Readiness"), h("p", {}, "What each placement and feature needs, and whether it came in")), body);
  let last;
  const stop = every(3000, async () => {
    try {
      const [r, s] = await Promise.all([api("readiness"), setup()]);
      const text = JSON.stringify(r);
      if (text === last || body.contains(document.activeElement) && last) return;
      last = text;
      const open = new Set([...body.querySelectorAll("details[open]")].map((d) => d.dataset.name));
      put(body, draw(r, s));
      for (const d of body.querySelectorAll("details")) d.open = open.has(d.dataset.name);
    } catch (e) {
      last = undefined;
      put(body, h("section", { class: "card" }, failed(e)));
    }
  });
  return { close: stop };
}

function draw(r, s) {
  const seen = new Map(r.events.map((e) => [e.name, e]));
  const total = r.events.reduce((n, e) => n + e.seen, 0);
  const count = (name) => (name === "*" ? total : seen.get(name)?.seen || 0);
  const ready = (g) => !g.events.length || (g.all ? g.events.every(count) : g.events.some(count));
  return [
    missing(r, s, count, ready),
    h("section", { class: "card" }, h("h2", {}, "Placements", h("small", {}, r.since ? `of the newest events: those that were received since ${stamp(r.since)}` : "no event came in yet")), placements(r, seen, count, ready)),
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", {}, "Features"), features(r, seen, count)),
      h("div", { class: "stack" }, h("section", { class: "card" }, h("h2", {}, "Catalog"), catalog(r.catalog)),
        h("section", { class: "card" }, h("h2", {}, "Identity"), identity(r.identity)),
        h("section", { class: "card" }, h("h2", {}, "Events seen"), seenTable(r.events)))),
  ];
}

// missing lists the events nothing was seen of, with what waits for them.
function missing(r, s, count, ready) {
  const wants = new Map();
  const want = (name, who) => {
    if (name === "*" || count(name)) return;
    if (!wants.has(name)) wants.set(name, new Set());
    wants.get(name).add(who);
  };
  for (const p of r.placements) for (const g of p.generators) if (!ready(g)) g.events.forEach((e) => want(e, p.name));
  for (const f of r.features) if (!f.events.some(count)) f.events.forEach((e) => want(e, f.name));
  want("Recommendation Viewed", "click-through");
  want("Recommendation Clicked", "click-through");
  const all = [...wants].sort((a, b) => b[1].size - a[1].size);
  if (!all.length) return h("section", { class: "card" }, empty("Everything is fed", "Every placement and feature has seen what it needs."));
  return h("section", { class: "card" }, h("h2", {}, "What to send next", h("small", {}, "open one for an example")), all.map(([name, who]) => {
    const code = send(s, name);
    const d = h("details", { class: "need" }, h("summary", {}, h("b", {}, name), ": none seen. ", h("span", { class: "soft" }, "Needed by ", [...who].join(", "))),
      h("div", { class: "code-head" }, h("p", {}, "For example:"), copier(() => code)), h("pre", { class: "code" }, code));
    d.dataset.name = name;
    return d;
  }));
}

function pill(name, seen, n) {
  const last = seen.get(name)?.last;
  return h("span", { class: "pill " + (n ? "good" : "warn"), title: last ? "last " + stamp(last) : "" }, name === "*" ? "any event" : name, n ? ` ${num(n)}` : ": none seen");
}

function placements(r, seen, count, ready) {
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Placement"), h("th", {}, "Generator"), h("th", { class: "num" }, "Weight"), h("th", {}, "Needs"), h("th", {}, "Last seen"), h("th", {}, "State"))),
    h("tbody", {}, r.placements.flatMap((p) => p.generators.map((g, i) => {
      const last = Math.max(0, ...g.events.map((e) => seen.get(e)?.last || 0));
      return h("tr", {}, h("td", { class: "mono name" }, i ? "" : p.name), h("td", { class: "mono" }, g.name.replace(" of features.", " of ")), h("td", { class: "num" }, g.weight),
        h("td", {}, h("span", { class: "pills" }, g.events.flatMap((e, k) => [k > 0 && h("span", { class: "soft" }, g.all ? "and" : "or"), pill(e, seen, count(e))]).filter(Boolean),
          g.note && h("span", { class: "soft" }, (g.events.length ? "and " : "") + g.note))),
        h("td", { class: "soft" }, last ? ago(last) : "–"),
        h("td", {}, h("span", { class: "pill " + (ready(g) ? "good" : "warn") }, ready(g) ? "ready" : "waiting")));
    })))));
}

function features(r, seen, count) {
  if (!r.features.length) return empty("No features", "The configuration defines none.");
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Feature"), h("th", {}, "Kind"), h("th", {}, "From"))),
    h("tbody", {}, r.features.map((f) => h("tr", {}, h("td", { class: "mono name" }, f.name), h("td", { class: "soft" }, f.kind),
      h("td", {}, h("span", { class: "pills" }, f.events.map((e) => pill(e, seen, count(e)))), f.where && h("div", { class: "mono soft" }, "where " + f.where)))))));
}

function share(name, lack, all, hint) {
  const good = all ? (all - lack) / all : 0;
  return h("tr", {}, h("td", {}, name), h("td", { class: "bar" }, h("meter", { min: 0, max: 1, low: 0.5, high: 0.9, optimum: 1, value: good, "aria-label": name })),
    h("td", { class: "num name" }, lack ? num(lack) + " without" : "all"), h("td", { class: "soft" }, lack ? hint : ""));
}

function catalog(c) {
  if (!c.items) return empty("No items yet", "They are learnt from events that name products, or put with PUT /v1/items/{id}.");
  const n = c.looked;
  return [h("p", { class: "pad soft" }, `${num(c.items)} items, ${num(c.available)} can be shown now` + (n < c.items ? `; the first ${num(n)} were looked at` : "")),
    h("table", {}, h("tbody", {}, share("name", c.no_name, n, "reasons show ids"), share("category", c.no_category, n, "no affinity"),
      share("price", c.no_price, n, "no rules on price"), share("image_url", c.no_image, n, "no covers")))];
}

function identity(i) {
  const all = i.anonymous + i.known + i.both;
  if (!all && !i.no_id) return empty("No events yet", "Ids are counted as they come in.");
  const row = (name, n, note, kind) => h("tr", {}, h("td", { class: "name" }, name), h("td", { class: "num" }, num(n)), h("td", { class: "soft" }, kind && n ? h("span", { class: "pill " + kind }, note) : note));
  return h("table", {}, h("tbody", {}, row("An anonymousId alone", i.anonymous, "visitors who did not log in"), row("A userId alone", i.known, "servers, mostly"),
    row("Both", i.both, i.both ? "these link devices to users" : "nothing links devices to users", i.both ? "" : "warn"),
    row("No usable id", i.no_id, i.no_id ? "refused: see dead letters" : "none was refused", "bad"),
    row("Bots", i.bots, "journaled, not counted"), row("Consent denied", i.denied, "only the consent is kept")));
}

function seenTable(events) {
  if (!events.length) return empty("None yet", h("a", { href: "#/live/connect" }, "Connect a source"));
  return h("table", {}, h("tbody", {}, events.slice(0, 30).map((e) => h("tr", {}, h("td", {}, e.name), h("td", { class: "num" }, num(e.seen)), h("td", { class: "soft" }, ago(e.last))))));
}
