// The drawer under the hood: what this page told Attune, who Attune takes the
// visitor for, what it decided and why, and how long that took.
import { base, calm, cover, h, nameOf, productURL } from "./view.js";

const KEPT = 40, PICTURED = [["recent_five_purchases", 5], ["last_viewed", 8]], SHOWN = 6;
const ms = (v) => (v < 10 ? v.toFixed(1) : Math.round(v)) + " ms";
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const svg = (tag, attrs) => {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attrs)) el.setAttribute(k, v);
  return el;
};

export class Drawer {
  constructor(el, { attune, known }) {
    Object.assign(this, { el, attune, known, events: [], times: [], tab: "" });
    this.time = h("b", { id: "latency" }, "–");
    this.split = h("ul", { id: "split" });
    // What of a time went by between a request and its answer.
    this.waits = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) if (/\/v1\/(visitor|b|decide)\b/.test(e.name)) this.waits.push(e);
      this.waits.splice(0, this.waits.length - 2 * KEPT);
    }).observe({ type: "resource", buffered: true });
    this.detail = h("span", { id: "latency-detail" }, "waiting for the first event");
    this.spark = svg("svg", { viewBox: "0 0 200 44", preserveAspectRatio: "none", role: "img", "aria-label": "Milliseconds of the last events" });
    this.feed = h("ol", { id: "feed" });
    this.person = h("div", { id: "person" });
    this.answer = h("div", { id: "decision" });
    el.append(
      h("div", { class: "top" }, h("h2", {}, "Under the hood"), h("button", { type: "button", class: "close", "aria-label": "Close the drawer", onclick: () => this.toggle(false) }, "×")),
      h("section", { class: "meter", "aria-label": "Speed" }, h("p", {}, "From event to the decision that reflects it"), h("div", {}, this.time, this.spark), this.split, this.detail),
      h("section", {}, h("h3", {}, "The person"), this.person),
      h("section", {}, h("h3", {}, "Latest decision"), this.answer),
      h("section", {}, h("h3", {}, "Events this page sent"), this.feed));
    this.drawPerson();
    this.drawAnswer();
    if (this.wanted()) this.toggle(true);
  }

  wanted() {
    try { return sessionStorage.getItem("shop:drawer") === "1"; } catch { return false; }
  }

  toggle(on = this.el.hidden) {
    this.el.hidden = !on;
    document.body.classList.toggle("open", on);
    const button = document.getElementById("hood");
    button.setAttribute("aria-expanded", String(on));
    try { sessionStorage.setItem("shop:drawer", on ? "1" : ""); } catch { /* it stays closed on the next page */ }
    if (on) {
      this.refresh();
      this.drawSpark();
    }
  }

  // event adds what was tracked; the entry it returns takes the times.
  event(name, properties, messageId) {
    const entry = { name, start: performance.now(), took: h("span", { class: "took" }, "…") };
    const about = nameOf({ id: properties.name ?? properties.query ?? properties.userId ?? properties.order_id ?? properties.category ?? "" }) || (properties.products ? properties.products.length + " in it" : "");
    const li = h("li", {}, h("details", {}, h("summary", {}, h("b", {}, name), h("span", {}, about), entry.took),
      h("pre", {}, JSON.stringify({ messageId, ...properties }, null, 1))));
    this.feed.prepend(li);
    while (this.feed.children.length > KEPT) this.feed.lastChild.remove();
    this.events.unshift(entry);
    this.events.length = Math.min(this.events.length, KEPT);
    return entry;
  }

  // decision shows d; entry is the event it was asked for after, if any.
  decision(d, entry) {
    this.last = d;
    if (entry && !d.stale) {
      this.measured(entry, performance.now() - entry.start);
      this.divide(entry, d.decision_id);
    }
    else if (entry) entry.took.textContent = "stale";
    this.drawAnswer();
    this.refresh();
  }

  // pushed shows an answer that came by itself. Only an answer that comes after
  // an event counts as that event's.
  pushed(d) {
    const entry = this.events[0];
    if (entry && !entry.push && performance.now() - entry.start < 2000) {
      entry.push = performance.now() - entry.start;
      this.meter(entry);
    }
    this.last = { ...d, placements: { ...this.last?.placements, ...d.placements } };
    this.drawAnswer();
    this.refresh();
  }

  fault(err, entry) {
    if (entry) entry.took.textContent = "no answer";
    this.detail.textContent = err.message;
  }

  measured(entry, took) {
    entry.decided = took;
    entry.took.textContent = ms(took);
    this.times.push(took);
    if (this.times.length > KEPT) this.times.shift();
    this.meter(entry);
    this.drawSpark();
  }

  // divide says where the time of entry went: deciding, which the server says
  // of itself, the rest of the wait for its answers, and this browser.
  async divide(entry, id) {
    let kept;
    for (let i = 0; !kept && i < 4; i++) { // a decision is kept a moment after its answer
      await new Promise((wake) => setTimeout(wake, 60 << i));
      const r = await fetch(base + "api/decision/" + encodeURIComponent(id)).catch(() => undefined);
      kept = r?.ok ? await r.json().catch(() => undefined) : undefined;
    }
    const wait = this.waits.filter((e) => e.startTime >= entry.start - 1 && e.responseEnd <= entry.start + entry.decided + 1 && e.requestStart > 0)
      .reduce((sum, e) => sum + e.responseStart - e.requestStart, 0);
    if (!wait || this.events[0] !== entry) return;
    const deciding = Math.min(kept?.micros ? kept.micros / 1000 : 0, wait);
    const rows = [["server, deciding", kept?.micros ? ms(deciding) : "not known"], ["server, storing, and the way", ms(wait - deciding)], ["this browser", ms(Math.max(0, entry.decided - wait))]];
    this.split.replaceChildren(...rows.map(([what, took]) => h("li", {}, h("i", { "aria-hidden": "true" }), h("span", {}, what), h("b", {}, took))));
    const last = document.getElementById("last");
    last.textContent = "server " + ms(wait);
    last.title = ms(entry.decided) + " in all, this browser's work counted";
  }

  meter(entry) {
    if (entry.decided) this.time.textContent = ms(entry.decided);
    this.detail.textContent = entry.name + (entry.push ? " · pushed to this page after " + ms(entry.push) : "") + (this.times.length ? " · median of " + this.times.length + ": " + ms(median(this.times)) : "");
  }

  drawSpark() {
    if (!this.times.length) return;
    const top = Math.max(...this.times, 1), step = 200 / Math.max(this.times.length - 1, 12);
    const points = this.times.map((t, i) => [2 + i * step * 0.97, 40 - (t / top) * 34]);
    const line = points.map((p) => p.map((n) => n.toFixed(1)).join(",")).join(" ");
    const end = points.at(-1);
    this.spark.replaceChildren(
      svg("polygon", { points: `2,44 ${line} ${end[0].toFixed(1)},44` }),
      svg("polyline", { points: line }),
      svg("line", { x1: end[0], x2: end[0], y1: end[1], y2: end[1] }));
  }

  drawAnswer() {
    const places = Object.entries(this.last?.placements ?? {}).filter(([, a]) => a?.items);
    if (!places.length) return void this.answer.replaceChildren(h("p", { class: "none" }, "No decision yet. Open an item."));
    if (!places.some(([p]) => p === this.tab)) this.tab = places[0][0];
    const a = this.last.placements[this.tab], top = Math.max(...a.items.map((i) => i.score), 1e-9);
    this.answer.replaceChildren(
      h("div", { class: "tabs", role: "group", "aria-label": "Placements" }, places.map(([p]) => h("button", { type: "button", "aria-pressed": String(p === this.tab), onclick: () => { this.tab = p; this.drawAnswer(); } }, p))),
      h("p", { class: "facts" }, [a.model || "no model", a.fallback ? "fallback " + a.fallback : "no fallback", "v" + (this.last.profile_version ?? "–"), this.last.stale ? "stale" : "fresh"].map((t) => h("code", {}, t))),
      h("ol", { class: "items" }, a.items.slice(0, 6).map((item) => {
        const bar = h("i", { "aria-hidden": "true" });
        bar.style.width = Math.max(2, (item.score / top) * 100) + "%";
        return h("li", {}, cover(item), h("div", {}, h("a", { href: productURL(item.id) }, nameOf(item)), h("span", {}, calm(item.reason) || "no reason given"), h("div", { class: "bar" }, bar)), h("code", {}, Number(item.score).toPrecision(3)));
      })));
  }

  // refresh reads the person, once however many ask for it at a time.
  refresh() {
    if (this.el.hidden) return;
    clearTimeout(this.soon);
    this.soon = setTimeout(async () => {
      const query = new URLSearchParams({ anonymous_id: this.attune.anonymousId() });
      if (this.attune.userId()) query.set("user_id", this.attune.userId());
      const r = await fetch(base + "api/me?" + query).catch(() => undefined);
      this.profile = r?.ok ? await r.json().catch(() => undefined) : undefined;
      this.drawPerson();
      if (await this.learn()) this.drawPerson();
    }, 60);
  }

  // learn asks for the items of the pictured lists that no decision told of.
  async learn() {
    const f = this.profile?.features ?? {}, asked = (this.asked ??= new Set());
    const ids = PICTURED.flatMap(([name, most]) => (Array.isArray(f[name]) ? f[name].slice(0, most) : [])).map(String).filter((id) => !this.known.has(id) && !asked.has(id));
    await Promise.all(ids.map(async (id) => {
      asked.add(id);
      const r = await fetch(base + "api/item/" + encodeURIComponent(id)).catch(() => undefined);
      if (r?.ok) this.known.set(id, await r.json());
    }));
    return ids.length > 0;
  }

  drawPerson() {
    const p = this.profile ?? {}, f = p.features ?? {};
    const known = [...PICTURED.map(([name]) => name), "category_affinity"];
    const rest = Object.entries(f).filter(([k, v]) => !known.includes(k) && v != null && v !== "" && !(Array.isArray(v) && !v.length));
    this.person.replaceChildren(
      h("p", { class: "facts" }, [this.attune.userId() ? "user " + this.attune.userId() : "not logged in", "device " + this.attune.anonymousId().slice(0, 8) + "…", p.version != null && "v" + p.version].filter(Boolean).map((t) => h("code", {}, t))),
      !this.profile ? h("p", { class: "none" }, "No profile to see yet.") : "",
      ...PICTURED.map(([name, most]) => this.thumbs(name, f[name], most)),
      this.affinity(f.category_affinity),
      ...[["traits", Object.entries(p.traits ?? {})], ["features", rest]].map(([name, list]) => (list.length ? h("dl", { "data-group": name }, list.flatMap(([k, v]) => [h("dt", {}, k), h("dd", { "data-name": k }, text(v))])) : "")),
      p.segments?.length ? h("p", { class: "facts" }, p.segments.map((s) => h("code", {}, "segment " + (s.name ?? s)))) : "");
  }

  thumbs(name, ids, most) {
    const list = Array.isArray(ids) ? ids : [];
    return h("div", { class: "thumbs", "data-feature": name, "data-ids": list.join(" ") }, h("code", {}, name),
      h("div", {}, list.length ? list.slice(0, most).map((id) => {
        const item = this.known.get(String(id)) ?? { id: String(id) };
        return h("a", { href: productURL(item.id), title: nameOf(item), "aria-label": nameOf(item) }, cover(item));
      }) : h("span", { class: "none" }, "none yet")));
  }

  affinity(map) {
    const list = Object.entries(map ?? {}).filter(([, v]) => v > 0).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5);
    const top = list[0]?.[1];
    return h("div", { class: "affinity", "data-feature": "category_affinity" }, h("code", {}, "category_affinity"),
      list.length ? h("ul", {}, list.map(([k, v]) => {
        const bar = h("i", { "aria-hidden": "true" });
        bar.style.width = (v / top) * 100 + "%";
        return h("li", {}, h("span", {}, k), h("div", { class: "bar" }, bar), h("b", {}, Number(v).toPrecision(2)));
      })) : h("span", { class: "none" }, "none yet"));
  }
}

function text(v) {
  if (Array.isArray(v)) return v.slice(0, SHOWN).map(text).join(", ") + (v.length > SHOWN ? " and " + (v.length - SHOWN) + " more" : "");
  if (/^\d{4}-\d\d-\d\dT/.test(v)) return new Date(v).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  if (v && typeof v === "object") return JSON.stringify(v);
  return typeof v === "number" && !Number.isInteger(v) ? v.toFixed(2) : String(v);
}
