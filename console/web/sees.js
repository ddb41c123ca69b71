// What somebody would see in a placement, and why. Asking is not logged.
import { h, put, api, setup, num, ms, short, loading, empty, failed } from "./dom.js";
import { json } from "./json.js";

export function sees(el, key) {
  put(el, loading());
  let over = false, ask = () => {};
  setup().then((s) => { if (!over) ask = form(el, key, s); }, (e) => put(el, failed(e)));
  return { again: () => ask(), close() { over = true; } };
}

function form(el, key, s) {
  const names = s.placements;
  const placement = h("select", {}, names.map((n) => h("option", { value: n, selected: n === (names.includes("for-you") ? "for-you" : names[0]) }, n)));
  const item = h("input", { placeholder: "sku-1", size: 10, "aria-label": "Item the page is about" });
  const query = h("input", { placeholder: "red shoes", size: 10, "aria-label": "Search text" });
  const limit = h("input", { type: "number", min: 1, max: 200, placeholder: "10", "aria-label": "How many items" });
  const out = h("div", {}, loading());
  put(el, h("div", { class: "filters" }, h("label", { class: "field" }, "Placement", placement), h("label", { class: "field" }, "Item", item),
    h("label", { class: "field" }, "Query", query), h("label", { class: "field" }, "Limit", limit)), out);
  let asked = 0, typed;
  const run = async () => {
    const mine = ++asked;
    try {
      const got = await api("people/" + encodeURIComponent(key) + "/decide",
        { id: placement.value, item: item.value.trim(), query: query.value.trim(), limit: Math.min(200, Math.max(0, Math.floor(Number(limit.value) || 0))) });
      if (mine === asked) put(out, shelf(got.answer, got.micros), why(got.answer));
    } catch (e) {
      if (mine === asked) put(out, failed(e, run));
    }
  };
  placement.addEventListener("change", run);
  for (const i of [item, query, limit]) i.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(run, 200); });
  run();
  return run;
}

function shelf(a, micros) {
  const line = h("p", { class: "pad pills" }, h("span", { class: "pill" }, a.model), h("span", { class: "pill" }, (a.items.length === 1 ? "1 item" : num(a.items.length) + " items") + " in " + ms(micros / 1000) + ", with the explanation below"),
    a.fallback && h("span", { class: "pill warn" }, "fallback: " + a.fallback));
  if (!a.items.length) return [line, empty("Nothing to show", "No generator had candidates, and the fallbacks neither.")];
  return [line, h("ol", { class: "shelf" }, a.items.map((it, i) => {
    const at = it.attributes || {};
    return h("li", {}, h("div", { class: "cover" }, picture(at) || String(at.name || it.id).slice(0, 1).toUpperCase(), h("em", {}, i + 1)),
      h("b", { title: at.name || it.id }, at.name || it.id), h("div", { class: "mono" }, h("span", {}, it.id), h("span", {}, short(it.score))), h("p", {}, it.reason || ""));
  }))];
}

// picture shows covers of this site only: an event may name any address, and
// the console asks nothing of strangers.
function picture(at) {
  if (typeof at.image_url !== "string" || !at.image_url) return null;
  let url;
  try { url = new URL(at.image_url, location.origin); } catch { return null; }
  if (url.origin !== location.origin) return null;
  const img = h("img", { src: url.pathname + url.search, alt: "", loading: "lazy" });
  img.addEventListener("error", () => img.replaceWith(String(at.name || "?").slice(0, 1).toUpperCase()));
  return img;
}

function why(a) {
  const x = a.explain;
  if (!x) return null;
  const order = (x.generators || []).filter((g) => !g.name.startsWith("fallback ")).map((g) => g.name);
  const colour = (name) => `c${(Math.max(0, order.indexOf(name)) % 6) + 1}`;
  return [
    h("h2", { class: "pad" }, "Why"),
    h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Generator"), ["Weight", "Candidates", "Time"].map((t) => h("th", { class: "num" }, t)), h("th", {}, ""))),
      h("tbody", {}, (x.generators || []).map((g) => h("tr", {}, h("td", {}, h("span", { class: "key " + (order.includes(g.name) ? colour(g.name) : "") }, h("i", { class: "swatch" }), g.name)),
        h("td", { class: "num" }, g.weight ? short(g.weight) : "–"), h("td", { class: "num" }, num(g.candidates)), h("td", { class: "num" }, g.micros + " µs"),
        h("td", { class: "soft" }, g.skipped || "")))))),
    h("div", { class: "pad two" },
      h("div", {}, h("h3", {}, "Filtered out"), Object.keys(x.filtered || {}).length
        ? h("p", { class: "pills" }, Object.entries(x.filtered).map(([k, n]) => h("span", { class: "pill" }, `${k} ${n}`))) : h("p", { class: "soft" }, "nothing"),
        h("h3", {}, "Versions"), h("p", { class: "soft" }, Object.entries(x.versions || {}).map(([k, n]) => `${k} ${n}`).join(" · "))),
      h("div", {}, h("h3", {}, "Inputs"), Object.keys(x.inputs || {}).length ? json(x.inputs) : h("p", { class: "soft" }, "nothing of her was read"))),
    candidates(x.candidates || [], colour),
  ];
}

const listed = 20;

// candidates lists what was scored, best first: how much each generator gave,
// in the colours of the table above.
function candidates(all, colour) {
  if (!all.length) return null;
  const most = Math.max(...all.map((c) => Object.values(c.from || {}).reduce((s, v) => s + v, 0)), 1e-9);
  const row = (c) => {
    const parts = Object.entries(c.from || {}).sort((a, b) => b[1] - a[1]);
    const mix = h("div", { class: "mix" }, parts.map(([name, v]) => {
      const part = h("i", { class: colour(name), title: name });
      part.style.width = (100 * v) / most + "%";
      return part;
    }));
    return h("tr", {}, h("td", { class: "mono name" }, c.id), h("td", { class: "num" }, c.score.toFixed(3)), h("td", {}, mix),
      h("td", {}, h("span", { class: "parts" }, parts.map(([name, v]) => h("span", { class: colour(name), title: name }, h("i", { class: "swatch" }), v.toFixed(3))),
        c.boost && h("span", { class: "pill" }, "boost × " + short(c.boost)))), h("td", {}, c.reason || ""));
  };
  const body = h("tbody", {}, all.slice(0, listed).map(row));
  const more = all.length > listed && h("p", { class: "pad" }, h("button", { type: "button", class: "button quiet small", onclick: () => {
    body.append(...all.slice(listed).map(row));
    more.remove();
  } }, `Show ${num(all.length - listed)} more`));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, `Candidates (${num(all.length)})`), h("th", { class: "num" }, "Score"),
    h("th", {}, ""), h("th", {}, "From"), h("th", {}, "Reason"))), body), more);
}
