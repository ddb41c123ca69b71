// The console: a page a hash, one at a time.
import { h, put, failed } from "./dom.js";
import * as overview from "./overview.js";
import * as live from "./live.js";
import * as people from "./people.js";
import * as readiness from "./readiness.js";
import * as segments from "./segments.js";

const pages = [
  ["overview", "Overview", overview], ["live", "Live events", live], ["people", "People", people],
  ["readiness", "Readiness", readiness], ["segments", "Segments", segments],
];
const main = document.getElementById("main");
const nav = document.getElementById("nav");
for (const [id, name] of pages) nav.append(h("a", { href: "#/" + id }, name));

let shown, leave;

// A page gets its element and the rest of the hash. When the hash changes and
// the page stays, it is told; what it returned is told when it is left.
function route() {
  const [id, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  const [name, title, page] = pages.find((p) => p[0] === id) || pages[0];
  [...nav.children].forEach((a, i) => (pages[i][0] === name ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current")));
  document.title = title + " · Attune";
  if (shown === name && leave?.change) {
    leave.change(rest);
    return;
  }
  leave?.close();
  shown = name;
  const el = h("div");
  put(main, el);
  try {
    leave = page.mount(el, rest);
  } catch (e) {
    leave = undefined;
    put(el, failed(e));
  }
  if (document.activeElement !== document.body) main.focus();
}

document.getElementById("skip").addEventListener("click", (e) => { e.preventDefault(); main.focus(); });
addEventListener("hashchange", route);
route();

const link = document.getElementById("link");
async function alive() {
  let ok = false;
  try { ok = (await fetch("/healthz", { cache: "no-store" })).ok; } catch { /* it is said below */ }
  link.className = ok ? "" : "off";
  link.textContent = ok ? "Connected" : "No answer";
  setTimeout(alive, 5000);
}
alive();
