// Elements, names, prices, cards and rails.

// h makes an element. An attribute that starts with "on" is a listener; null
// and false leave an attribute or a child out. Text is never read as HTML.
export function h(tag, attrs = {}, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (v == null || v === false) continue;
    if (k.startsWith("on")) el.addEventListener(k.slice(2), v);
    else el.setAttribute(k, v === true ? "" : v);
  }
  el.append(...children.flat().filter((c) => c != null && c !== false));
  return el;
}

export const base = window.SHOP.base;
export const productURL = (id) => base + "product/" + encodeURIComponent(id);

export function title(name = "") {
  if (name !== name.toUpperCase()) return name.trim();
  return name.trim().toLowerCase().replace(/(^|[^\p{L}'])(\p{L})/gu, (_, a, b) => a + b.toUpperCase());
}

// calm sets the shouted names inside a sentence in title case.
export const calm = (text = "") => text.replace(/[\p{Lu}\d][\p{Lu}\d'’&+/.,-]+(?:\s+[\p{Lu}\d'’&+/.,-]+)+|\p{Lu}{3,}/gu, (m) => title(m));

export function price(value, currency = "GBP") {
  if (value == null || isNaN(value)) return "";
  try {
    return new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(value);
  } catch {
    return value + " " + currency;
  }
}

export function cover(item) {
  const a = item.attributes ?? {};
  const own = base + "cover/" + encodeURIComponent(item.id) + ".svg?" + new URLSearchParams({ name: a.name ?? item.id, category: a.category ?? "" });
  const src = a.image_url?.startsWith("/") || a.image_url?.startsWith("https:") ? a.image_url : own;
  return h("img", { src, alt: "", width: 400, height: 400, loading: "lazy", decoding: "async" });
}

export const nameOf = (item) => title(item.attributes?.name || item.id);

export function card(item, { onopen, extra } = {}) {
  const a = item.attributes ?? {};
  return h("article", { class: "card", "data-id": item.id },
    h("a", { href: productURL(item.id), onclick: onopen },
      h("span", { class: "cover" }, cover(item)),
      h("span", { class: "name" }, nameOf(item)),
      h("span", { class: "line" }, h("b", {}, price(a.price, a.currency)), h("span", { class: "cat" }, a.category ?? "")),
      item.reason && h("span", { class: "why" }, calm(item.reason))),
    extra);
}

// A Rail is one placement on the page. show replaces its items: those that stay
// glide to their new place, those that come fade in.
export class Rail {
  constructor({ placement, head, note, attune, onadd, grid, empty, pick }) {
    Object.assign(this, { placement, attune, onadd, empty, pick, cards: new Map(), ends: [] });
    this.list = h("div", { class: grid ? "grid" : "row", role: "list" });
    this.badge = h("span", { class: "fresh", "aria-hidden": "true" }, "just changed");
    this.el = h("section", { class: "rail", "data-placement": placement, "aria-label": head },
      h("div", { class: "head" }, (this.head = h("h2", {}, head)), (this.note = h("p", {}, note ?? "")), this.badge, !grid && h("div", { class: "turn" }, this.turn("‹", -1, "Back on the shelf"), this.turn("›", 1, "Further on the shelf"))), this.list);
    for (let i = 0; i < (grid ? 8 : 6); i++) this.list.append(h("div", { class: "card ghost", "aria-hidden": "true" }, h("span", { class: "cover" })));
  }

  // turn is a button that shows the next or the previous cards of the row.
  turn(sign, by, label) {
    return h("button", { type: "button", "aria-label": label, onclick: () => this.list.scrollBy({ left: by * this.list.clientWidth, behavior: "smooth" }) }, sign);
  }

  // pick may leave items out of an answer, and say above what is left.
  show(answer, decisionID) {
    this.last = [answer, decisionID];
    const items = this.pick?.(answer?.items ?? [], this) ?? answer?.items ?? [];
    const ids = items.map((i) => i.id).join("\n");
    const hidden = this.empty && (answer?.fallback || !items.length);
    this.el.hidden = Boolean(hidden);
    if (ids === this.ids) return;
    const first = this.ids === undefined;
    this.ids = ids;
    const was = new Map([...this.cards].map(([id, el]) => [id, el.getBoundingClientRect()]));
    this.stop();
    this.cards = new Map(items.map((item, i) => [item.id, this.place(item, i, decisionID)]));
    this.list.replaceChildren(...this.cards.values());
    if (!items.length) this.list.append(h("p", { class: "none" }, "Nothing to show yet."));
    if (first || this.quiet) return;
    this.el.classList.remove("changed");
    void this.el.offsetWidth; // starts the animation of .changed again
    this.el.classList.add("changed");
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const [id, el] of this.cards) {
      const from = was.get(id), to = el.getBoundingClientRect();
      if (!from) el.animate([{ opacity: 0, transform: "translateY(10px) scale(.96)" }, {}], { duration: 420, easing: "ease-out" });
      else if (from.left !== to.left || from.top !== to.top) el.animate([{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, {}], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }

  place(item, i, decision_id) {
    const shown = { decision_id, placement: this.placement, product_id: item.id, position: i + 1 };
    const add = this.onadd && h("button", { class: "add", type: "button", "aria-label": "Add " + nameOf(item) + " to the cart", onclick: () => { this.attune.click(shown); this.onadd(item); } }, "+");
    const el = card(item, { onopen: () => this.attune.click(shown), extra: add });
    el.setAttribute("role", "listitem");
    this.ends.push(this.attune.observe(el, shown));
    return el;
  }

  say(head, note) {
    this.head.textContent = head;
    this.note.textContent = note;
  }

  stop() {
    this.ends.splice(0).forEach((end) => end());
  }
}
