// Who people are: a search, what is known of one, and what she would see.
import { h, put, api, ago, stamp, clock, num, short, every, tabs, loading, empty, failed } from "./dom.js";
import { json } from "./json.js";
import { unfold, pane, title, gist } from "./live.js";
import { sees } from "./sees.js";

const path = (key, tab) => "#/people/" + encodeURIComponent(key) + (tab ? "/" + tab : "");

export function mount(el, [key, tab]) {
  const input = h("input", { type: "search", placeholder: "User or anonymous id", "aria-label": "Search by the beginning of a user id or anonymous id" });
  const list = h("ul", {}, h("li", {}, loading()));
  const detail = h("div");
  put(el, h("div", { class: "people" }, h("section", { class: "card list", "aria-label": "People" }, h("div", { class: "pad" }, input), list), detail));

  let asked = 0, open, shown;
  const mark = () => { for (const a of list.querySelectorAll("a")) a.dataset.key === shown ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current"); };
  const search = async () => {
    const mine = ++asked, q = input.value.trim();
    try {
      const { people } = await api("people?q=" + encodeURIComponent(q));
      if (mine !== asked) return;
      put(list, people.length ? people.map(entry) : h("li", {}, q ? empty("Nobody", `No id begins with “${q}”.`) : empty("Nobody yet", "People show up here with their first event.")));
      mark();
      if (!shown && !q && people.length) location.replace(path(people[0].key));
    } catch (e) {
      if (mine === asked) put(list, h("li", {}, failed(e, search)));
    }
  };
  let typed;
  input.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(search, 150); });
  // Enter opens whoever it names: the id itself, else the first that begins so.
  input.addEventListener("keydown", async (e) => {
    if (e.key !== "Enter") return;
    clearTimeout(typed);
    await search();
    const all = [...list.querySelectorAll("a")], q = input.value.trim();
    const hit = all.find((a) => a.dataset.key.slice(2) === q) || all[0];
    if (q && hit) location.hash = path(hit.dataset.key);
  });
  const stop = every(4000, async () => { if (!list.contains(document.activeElement)) await search(); });

  const show = (k, t = "timeline") => {
    if (open && shown === k) { open.change(t); return; }
    open?.close();
    open = undefined;
    shown = k;
    mark();
    if (k) open = person(detail, k, t);
    else put(detail, h("section", { class: "card" }, empty("Choose somebody", "Search by the beginning of an id, or pick who was here last.")));
  };
  show(key, tab);
  return { change([k, t]) { show(k, t); }, close() { stop(); clearTimeout(typed); open?.close(); } };
}

function entry(k) {
  const a = h("a", { href: path(k.key), title: k.key }, h("b", {}, k.key.slice(2)),
    h("small", {}, k.key.startsWith("u:") ? "user" : "device", k.last_seen ? ` · ${ago(k.last_seen)} · ${k.last}` : ""));
  a.dataset.key = k.key;
  return h("li", {}, a);
}

function person(el, key, tab) {
  put(el, h("section", { class: "card" }, loading()));
  const head = h("div"), body = h("div");
  const names = [["timeline", "Timeline"], ["traits", "Traits"], ["features", "Features"], ["segments", "Segments"], ["devices", "Devices"], ["sees", "What would she see"]];
  const row = tabs("Person", names, tab, (id) => { location.hash = path(key, id); });
  const panes = { timeline, traits, features, segments, devices, sees: (x, p) => sees(x, p.key) };
  let current, version, pane_, now = tab in panes ? tab : "timeline";
  const draw = () => {
    pane_?.close?.();
    pane_ = panes[now](body, current);
  };
  const stop = every(2000, async () => {
    try {
      const p = await api("people/" + encodeURIComponent(key));
      const first = !current;
      current = p;
      if (first) put(el, h("div", { class: "stack" }, h("section", { class: "card" }, head, row, body)));
      if (first || version !== p.version) put(head, header(p));
      // What she would see follows by itself, and a form is not drawn away.
      if (first || (version !== p.version && now !== "sees")) draw();
      else if (version !== p.version) pane_?.again?.();
      version = p.version;
    } catch (e) {
      if (!current) put(el, h("section", { class: "card" }, e.status === 404 ? empty("Not known", e.message + ".") : failed(e)));
    }
  });
  return {
    change(t) { now = t in panes ? t : "timeline"; row.select(now); if (current) draw(); },
    close() { stop(); pane_?.close?.(); },
  };
}

function header(p) {
  const name = p.traits.name || [p.traits.firstName || p.traits.first_name, p.traits.lastName || p.traits.last_name].filter(Boolean).join(" ") || p.traits.email || p.key.slice(2);
  const fact = (t, v, title) => h("div", { title }, h("dt", {}, t), h("dd", {}, v));
  const users = p.identities.filter((i) => i.type === "user_id"), devices = p.identities.filter((i) => i.type !== "user_id");
  return h("div", { class: "who" }, h("div", { class: "dot", "aria-hidden": "true" }, String(name).slice(0, 1).toUpperCase()),
    h("div", { class: "grow" }, h("h1", {}, String(name)), h("p", { class: "mono soft" }, p.key, p.canonical && "u:" + p.canonical !== p.key ? ` → u:${p.canonical}` : ""),
      h("dl", { class: "facts" },
        fact("First seen", stamp(p.first_seen)), fact("Last seen", stamp(p.last_seen)),
        users.length > 1 && fact("User ids", users.map((u) => u.id).join(", ")),
        fact("Devices", num(devices.length)),
        fact("Consent", !p.consent ? "nothing said" : p.consent.personalization ? h("span", { class: "pill good" }, "granted") : h("span", { class: "pill bad" }, "denied")),
        fact("As of record", p.version.toLocaleString("en"), "The place in the journal of the newest record that this profile counts. A decision names it as profile_version.")),
      p.segments.length > 0 && h("p", { class: "pills pad-top" }, p.segments.map((s) => h("span", { class: "pill good" }, s)))));
}

function timeline(el, p) {
  put(el, loading());
  let over = false;
  api("people/" + encodeURIComponent(p.key) + "/events?limit=200").then(({ events }) => {
    if (over) return;
    if (!events.length) { put(el, empty("No events to show", "The journal no longer holds any of hers.")); return; }
    let day;
    put(el, h("ol", { class: "feed person" }, events.map((e) => {
      const at = Date.parse(e.timestamp), date = new Date(at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
      const sep = date !== day && h("li", { class: "day" }, date);
      day = date;
      return [sep, moment(e, at)];
    })));
  }, (e) => { if (!over) put(el, failed(e, () => timeline(el, p))); });
  return { close() { over = true; } };
}

function moment(e, at) {
  const line = h("button", { type: "button", class: "row", "aria-expanded": "false" }, h("time", {}, clock(at)),
    title({ type: e.type, name: e.event || e.name }), h("span", { class: "soft" }, e._attune?.source || "–"), h("span", { class: "soft" }, gist(e)));
  const li = h("li", {}, line);
  line.addEventListener("click", () => unfold(line, li, () => {
    const { _attune, ...sent } = e;
    return [pane("The event", sent), pane("What the edge settled and added", _attune || {})];
  }));
  return li;
}

function traits(el, p) {
  const names = Object.keys(p.traits).sort();
  put(el, names.length ? h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Trait"), h("th", {}, "Value"))),
    h("tbody", {}, names.map((n) => h("tr", {}, h("td", { class: "mono name" }, n), h("td", {}, plain(p.traits[n]))))))
    : empty("No traits", "An identify call sets them."));
}

function plain(v) {
  if (v === null || typeof v !== "object") return h("span", { class: "mono" }, JSON.stringify(v));
  return json(v);
}

function features(el, p) {
  put(el, p.features.length ? h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Feature"), h("th", {}, "Kind"), h("th", {}, "Value"))),
    h("tbody", {}, p.features.map((f) => h("tr", {}, h("td", { class: "mono name" }, f.name), h("td", { class: "soft" }, f.kind), h("td", {}, reading(f.value))))))
    : empty("No features", "The configuration defines none."));
}

// reading shows a feature's value by its shape.
function reading(v) {
  if (v === null || (Array.isArray(v) && !v.length)) return h("span", { class: "soft" }, "nothing yet");
  if (Array.isArray(v)) return h("span", { class: "pills" }, v.map((x) => h("span", { class: "pill mono" }, String(x))));
  if (typeof v === "number") return h("span", { class: "mono" }, short(v));
  if (typeof v !== "object") return h("span", { class: "mono" }, String(v));
  const rows = Object.entries(v);
  if (!rows.every(([, n]) => typeof n === "number")) return json(v);
  rows.sort((a, b) => b[1] - a[1]);
  if (!rows.length) return h("span", { class: "soft" }, "nothing yet");
  const most = rows[0][1] || 1;
  return h("div", { class: "bars" }, rows.slice(0, 12).map(([k, n]) => h("div", {}, h("span", { title: k }, k),
    h("meter", { min: 0, max: most, value: n, "aria-label": k }), h("span", {}, short(n)))),
    rows.length > 12 && h("span", { class: "soft" }, `and ${rows.length - 12} more`));
}

function segments(el, p) {
  put(el, p.segments.length ? h("ul", { class: "pad pills" }, p.segments.map((s) => h("li", { class: "pill good" }, s)))
    : empty("In no segment", h("a", { href: "#/segments" }, "See what segments there are")));
}

function devices(el, p) {
  const rows = p.identities;
  put(el, rows.length ? h("table", {}, h("thead", {}, h("tr", {}, ["Id", "Kind", "Link", "Last seen"].map((t) => h("th", {}, t)))),
    h("tbody", {}, rows.map((i) => h("tr", {}, h("td", { class: "mono" }, h("a", { href: path((i.type === "user_id" ? "u:" : "a:") + i.id) }, i.id)),
      h("td", {}, i.type === "user_id" ? "user" : "device"),
      h("td", {}, h("span", { class: "pill " + (i.verified ? "good" : "") }, i.verified ? "verified" : "claimed")),
      h("td", { class: "soft" }, i.last_seen ? new Date(i.last_seen).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) : "–")))))
    : empty("No ids", "Nothing links her to a device."));
}
