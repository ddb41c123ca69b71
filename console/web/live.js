// Events as they come in, and those that were refused.
import { h, put, api, setup, clock, num, every, tabs, copier, loading, empty, failed } from "./dom.js";
import { json } from "./json.js";
import { connect } from "./snippets.js";

const kept = 500;

export function mount(el, [tab = "events"]) {
  const body = h("div");
  const pick = (id) => { location.hash = "#/live/" + id; };
  const row = tabs("Live events", [["events", "Events"], ["dead", "Dead letters"], ["connect", "Connect a source"]], tab, pick);
  put(el, h("div", { class: "top" }, h("h1", {}, "Live events")), h("section", { class: "card" }, row, body));
  const panes = { events, dead, connect: connectPane };
  let page = (panes[tab] || events)(body);
  return {
    change([next = "events"]) {
      page.close();
      row.select(next);
      page = (panes[next] || events)(body);
    },
    close() { page.close(); },
  };
}

function connectPane(el) {
  put(el, loading());
  setup().then((s) => put(el, connect(s)), (e) => put(el, failed(e)));
  return { close() {} };
}

function events(el) {
  const feed = h("ol", { class: "feed" });
  const wait = h("div", {}, loading("Connecting…"));
  const pause = h("button", { type: "button", class: "button quiet", "aria-pressed": "false" }, "Pause");
  const names = h("select", { "aria-label": "Event" }, h("option", { value: "" }, "All events"));
  const sources = h("select", { "aria-label": "Source" }, h("option", { value: "" }, "All sources"));
  const text = h("input", { type: "search", placeholder: "Filter by id or any text", "aria-label": "Filter by id or any text" });
  const count = h("span", { class: "soft num", role: "status" });
  const head = h("div", { class: "feed" }, h("div", { class: "row head" }, ["Time", "Source", "Event", "Who", "Properties"].map((t) => h("span", {}, t))));
  put(el, h("div", { class: "filters" }, names, sources, text, count, pause), head, wait, feed);
  head.hidden = true;

  let all = [], held = [], paused = false, queued = [], frame;
  const fits = (e) => (!names.value || e.on === names.value) && (!sources.value || e.source === sources.value) &&
    (!text.value || e.text.includes(text.value.toLowerCase()));
  const tally = () => {
    count.textContent = paused ? `${held.length} waiting` : names.value || sources.value || text.value ? `${all.filter(fits).length} of ${all.length}` : `newest ${all.length}`;
  };
  const choose = (select, value) => {
    if ([...select.options].some((o) => o.value === value)) return;
    const after = [...select.options].slice(1).find((o) => o.value > value);
    select.insertBefore(h("option", { value }, value), after || null);
  };
  const redraw = () => { put(feed, all.filter(fits).map((e) => rowOf(e))); nothing(); tally(); };
  const nothing = () => {
    head.hidden = !all.length;
    if (!all.length) return;
    put(wait, feed.children.length ? null : empty("Nothing fits the filter", `None of the newest ${all.length} events does.`));
  };
  const add = (list, fresh) => {
    for (const e of list) {
      e.text = JSON.stringify(e).toLowerCase();
      choose(names, e.on);
      choose(sources, e.source);
      all.unshift(e);
      if (fits(e)) feed.prepend(rowOf(e, fresh));
    }
    all = all.slice(0, kept);
    while (feed.children.length > kept) feed.lastChild.remove();
    nothing();
    tally();
  };
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    if (!paused) { add(held, true); held = []; }
    tally();
  });
  for (const c of [names, sources]) c.addEventListener("change", redraw);
  text.addEventListener("input", redraw);

  const began = performance.now();
  const flush = () => {
    frame = undefined;
    const list = queued;
    queued = [];
    if (paused) held = held.concat(list).slice(-kept);
    else add(list, performance.now() - began > 1500);
    tally();
  };
  let waiting;
  const empties = async () => {
    if (all.length || held.length || waiting) return;
    waiting = true;
    try {
      const s = await setup();
      if (!all.length) put(wait, empty("Waiting for the first event…", "Send one with any of these; it shows up here at once."), h("div", {}, connect(s)));
    } catch (e) { put(wait, failed(e)); }
  };
  const stream = new EventSource("/console/api/live");
  stream.addEventListener("hello", () => { all = []; put(feed); setTimeout(empties, 300); });
  stream.addEventListener("message", (m) => {
    queued.push(JSON.parse(m.data));
    frame ||= setTimeout(flush, 60);
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) put(wait, failed(new Error("The stream was closed. Load the page again.")));
  });
  return { close() { stream.close(); clearTimeout(frame); } };
}

// rowOf is one event: a line, and what is behind it.
function rowOf(e, fresh) {
  const line = h("button", { type: "button", class: "row" + (fresh ? " fresh" : ""), "aria-expanded": "false" },
    h("time", {}, clock(e.received_at)), h("span", { class: "soft" }, e.source || "–"), title(e), h("span", { class: "mono" }, who(e)),
    h("span", { class: "soft" }, gist(e.raw)));
  const li = h("li", {}, line);
  line.addEventListener("click", () => unfold(line, li, () => {
    const { raw, text, enriched, ...parsed } = e;
    for (const k of ["time", "received_at", "sent_at", "original"]) if (parsed[k]) parsed[k] = new Date(parsed[k]).toISOString();
    return [pane("As it was sent", raw ?? null), pane("As it was understood", { ...parsed, enriched })];
  }));
  return li;
}

export function unfold(line, li, panes) {
  const open = line.getAttribute("aria-expanded") !== "true";
  line.setAttribute("aria-expanded", String(open));
  li.querySelector(".open")?.remove();
  if (!open) return;
  const all = panes();
  li.append(h("div", { class: "open" + (all.length === 1 ? " one" : "") }, all));
}

export function pane(name, value) {
  return h("div", {}, h("h3", {}, name, copier(() => JSON.stringify(value, null, 2))), json(value));
}

export function title(e) {
  if (e.type === "track") return h("b", {}, e.name || e.event || "track");
  const name = e.name && e.name !== e.type ? " · " + e.name : "";
  return h("b", {}, e.type, h("span", { class: "soft" }, name));
}

const who = (e) => (e.user_id ? "u:" + e.user_id : e.anonymous_id ? "a:" + e.anonymous_id : "–");

// plainly are the properties that say what they are without their name.
const plainly = ["product_id", "sku", "name", "category", "query", "email", "path", "url"];

// gist is what one wants to know of an event's properties at a glance.
export function gist(raw) {
  if (!raw || typeof raw !== "object") return "";
  const of = raw.properties || raw.traits || {};
  const lines = Array.isArray(of.products) ? [of.products.length === 1 ? "1 product" : `${of.products.length} products`] : [];
  const first = ["order_id", "name", "product_id", "sku", "query", "category", "price", "quantity", "revenue", "total", "placement", "position", "email", "path", "url"];
  const names = [...first.filter((k) => k in of), ...Object.keys(of).filter((k) => !first.includes(k) && k !== "products")];
  for (const k of names.slice(0, 6)) {
    const v = of[k];
    if (v === null || v === "") continue;
    if (plainly.includes(k)) lines.push(String(v));
    else lines.push(typeof v === "object" ? `${k} ${Array.isArray(v) ? v.length + " entries" : "{…}"}` : `${k} ${v}`);
  }
  return lines.join(" · ");
}

function dead(el) {
  put(el, loading());
  let last;
  const stop = every(3000, async () => {
    try {
      const { dead_letters: letters, total } = await api("dead-letters?limit=200");
      const mark = letters.length + ":" + (letters[0]?.time || 0) + ":" + total;
      if (mark === last) return;
      last = mark;
      if (!letters.length) {
        put(el, empty("No dead letters", "An event that is refused for good is kept here, with the reason."));
        return;
      }
      put(el, h("div", { class: "feed dead" }, h("div", { class: "row head" }, ["Time", "Source", "Reason", "As it was sent"].map((t) => h("span", {}, t)))),
        h("ol", { class: "feed dead" }, letters.map(letter)),
        h("p", { class: "pad soft" }, `The newest ${num(letters.length)}. ${num(total)} were refused since the start.`));
    } catch (e) {
      last = undefined;
      put(el, failed(e));
    }
  });
  return { close: stop };
}

function letter(d) {
  const line = h("button", { type: "button", class: "row", "aria-expanded": "false" }, h("time", {}, clock(d.time)),
    h("span", { class: "soft" }, d.source || "–"), h("span", {}, h("span", { class: "pill bad" }, d.code), " ", d.reason), h("span", { class: "mono soft" }, d.raw));
  const li = h("li", {}, line);
  line.addEventListener("click", () => unfold(line, li, () => {
    let raw = d.raw;
    try { raw = JSON.parse(d.raw); } catch { /* it was cut, or is not JSON: that may be why it is here */ }
    const { raw: _, ...rest } = d;
    return [pane("As it was sent", raw), pane("Why it is here", { ...rest, time: new Date(d.time).toISOString() })];
  }));
  return li;
}
