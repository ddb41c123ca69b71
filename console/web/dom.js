// What every page builds with: elements, numbers as people read them, the API.

// h makes an element. Children are nodes, strings or nested lists; null and
// false are left out. Text is always text: nothing here parses HTML.
export function h(tag, attrs, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "class") el.className = value;
    else if (value === true) el.setAttribute(name, "");
    else el.setAttribute(name, value);
  }
  for (const c of children.flat(Infinity)) {
    if (c === null || c === undefined || c === false) continue;
    el.append(c instanceof Node ? c : String(c));
  }
  return el;
}

// put replaces what el holds.
export function put(el, ...children) {
  el.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
}

const whole = new Intl.NumberFormat("en");

// num writes a count: 1,234, 56.7 k, 8.9 M.
export function num(n) {
  if (n === null || n === undefined || n < 0) return "–";
  if (n >= 1e7) return (n / 1e6).toFixed(1) + " M";
  if (n >= 1e5) return (n / 1e3).toFixed(1) + " k";
  return whole.format(Math.round(n));
}

// short writes a value of an axis or a feature.
export function short(n) {
  const a = Math.abs(n);
  if (a >= 1e6) return trim(n / 1e6) + "M";
  if (a >= 1e4) return trim(n / 1e3) + "k";
  if (a >= 100 || Number.isInteger(n)) return whole.format(Math.round(n));
  return String(Number(n.toPrecision(3)));
}
const trim = (n) => String(Number(n.toPrecision(3)));

export function bytes(n) {
  if (n < 0) return "–";
  for (const [unit, size] of [["GB", 2 ** 30], ["MB", 2 ** 20], ["KB", 2 ** 10]]) {
    if (n >= size) return trim(n / size) + " " + unit;
  }
  return n + " B";
}

export function ms(n) {
  if (n === null || n === undefined) return "–";
  if (n >= 1000) return trim(n / 1000) + " s";
  return n >= 1 ? trim(n) + " ms" : Math.round(n * 1000) + " µs";
}

export function percent(share) {
  return (share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 1) + " %";
}

export function span(millis) {
  const s = Math.max(0, Math.floor(millis / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " m " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " m";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

// ago says how long before now an instant was. The clock is the server's (see
// api), which may stand elsewhere than this one.
export function ago(at) {
  if (!at) return "never";
  const d = now() - at;
  if (d < 2000) return "just now";
  if (d < 60e3) return Math.floor(d / 1000) + " s ago";
  if (d < 3600e3) return Math.floor(d / 60e3) + " min ago";
  if (d < 86400e3) return Math.floor(d / 3600e3) + " h ago";
  return Math.floor(d / 86400e3) + " d ago";
}

export function clock(at, fraction = true) {
  const d = new Date(at);
  const t = d.toTimeString().slice(0, 8);
  return fraction ? t + "." + String(d.getMilliseconds()).padStart(3, "0") : t;
}

export function stamp(at) {
  if (!at) return "–";
  const d = new Date(at);
  return d.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" }) + " " + clock(at, false);
}

let skew = 0;
export const now = () => Date.now() + skew;
export const setClock = (server) => { skew = server - Date.now(); };

// api asks the console's API. A session that ended leads back to the login.
export async function api(path, body) {
  const res = await fetch("/console/api/" + path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => { throw new Error("The node does not answer. Is it running?"); });
  if (res.status === 401) {
    location.reload();
    throw new Error("The session ended. Log in again.");
  }
  const answer = await res.json().catch(() => null);
  if (!res.ok) throw Object.assign(new Error(answer?.error?.message || "The node answered " + res.status), { status: res.status });
  return answer;
}

let known;
// setup is asked for once; a failure is tried again at the next page.
export function setup() {
  known ||= api("setup").catch((e) => { known = undefined; throw e; });
  return known;
}

export const loading = (text = "Loading…") => h("div", { class: "state", role: "status" }, h("span", { class: "spin" }), h("p", {}, text));
export const empty = (title, ...text) => h("div", { class: "state" }, h("b", {}, title), text);
export const failed = (error, again) => h("div", { class: "state bad", role: "alert" },
  h("b", {}, "This did not load"), h("p", {}, error.message),
  again && h("p", { class: "pad" }, h("button", { class: "button quiet", onclick: again }, "Try again")));

// copier is a button that copies what text returns.
export function copier(text, label = "Copy") {
  const b = h("button", { type: "button", class: "button quiet small" }, label);
  b.addEventListener("click", async (e) => {
    e.stopPropagation();
    try {
      await navigator.clipboard.writeText(text());
      b.textContent = "Copied";
    } catch {
      b.textContent = "Select and copy by hand";
    }
    setTimeout(() => { b.textContent = label; }, 1600);
  });
  return b;
}

// tabs is a row of tabs: [[id, label]], the chosen one, and what to do.
export function tabs(label, all, chosen, pick) {
  const row = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  const select = (id) => {
    for (const b of row.children) {
      b.setAttribute("aria-selected", String(b.dataset.id === id));
      b.tabIndex = b.dataset.id === id ? 0 : -1;
    }
  };
  for (const [id, name] of all) {
    const b = h("button", { type: "button", role: "tab" }, name);
    b.dataset.id = id;
    b.addEventListener("click", () => { select(id); pick(id); });
    row.append(b);
  }
  row.addEventListener("keydown", arrows);
  select(chosen);
  row.select = select;
  return row;
}

// arrows moves between tabs by keyboard.
export function arrows(e) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
  if (!step) return;
  const all = [...e.currentTarget.querySelectorAll("[role=tab]")];
  const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
  next.focus();
  next.click();
  e.preventDefault();
}

// every runs fn now and again after each pause, one at a time, while the page
// is looked at; it returns what ends it.
export function every(pause, fn) {
  let timer, over = false;
  const run = async () => {
    clearTimeout(timer);
    if (!document.hidden) await fn();
    if (!over) timer = setTimeout(run, pause);
  };
  const seen = () => { if (!document.hidden) run(); };
  document.addEventListener("visibilitychange", seen);
  run();
  return () => { over = true; clearTimeout(timer); document.removeEventListener("visibilitychange", seen); };
}
