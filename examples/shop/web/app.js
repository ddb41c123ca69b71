// The shop: pages, cart, who is logged in, and what each step tells Attune.
import { createAttune } from "./attune.js";
import { Drawer } from "./drawer.js";
import { base, cover, h, nameOf, price, productURL, Rail } from "./view.js";

const { host, writeKey, categories, people } = window.SHOP;
const $ = (id) => document.getElementById(id);
const main = $("main");
const LIMIT = 12, LIVE = ["for-you", "recently-viewed"];

// What this browser keeps for the shop itself: the cart, and who is logged in.
const keep = {
  get(k, or) { try { return JSON.parse(localStorage.getItem("shop:" + k)) ?? or; } catch { return or; } },
  set(k, v) { try { localStorage.setItem("shop:" + k, JSON.stringify(v)); } catch { /* without storage it lasts as long as the page */ } },
};
let cart = keep.get("cart", []);
let person = people.find((p) => p.id === keep.get("person"));
const known = new Map(); // id → item, as decisions told
const live = new Map(); // placement → [answer, decision] as last pushed
let rails = [], turn = 0;

const attune = createAttune({ host, writeKey, userToken: person?.token });
const drawer = new Drawer($("drawer"), { attune, known });

const learn = (decision) => Object.values(decision.placements ?? {}).forEach((a) => a?.items?.forEach((i) => i.attributes && known.set(i.id, i)));
const facts = ({ id, attributes: a = {} }, more) => ({
  product_id: id, name: a.name, category: a.category, price: a.price, currency: a.currency ?? "GBP", image_url: a.image_url, url: a.url ?? productURL(id), ...more,
});

// tell tracks an event, asks again for every rail of the page, and takes the
// time until a decision reflects the event.
function tell(event, properties) {
  const entry = drawer.event(event, properties, attune.track(event, properties));
  return ask(entry);
}

// ask decides every rail of the page in one request.
async function ask(entry) {
  const now = turn, asked = rails.filter((r) => r.ask);
  if (!asked.length && !entry) return;
  const placements = asked.length ? asked.map((r) => r.ask()) : [{ id: "for-you", limit: LIMIT }];
  try {
    const d = await attune.decide({ placements, deadline_ms: 200 });
    learn(d);
    drawer.decision(d, entry);
    if (now !== turn) return;
    // What was pushed meanwhile is at least as new as what was asked for before it.
    for (const r of asked) if (!(r.pushed > d.profile_version)) r.show(d.placements[r.placement], d.decision_id);
  } catch (err) {
    if (now === turn) asked.forEach((r) => r.show(undefined));
    drawer.fault(err, entry);
  }
}

// One stream, and only while the page is seen: a browser has six connections
// for all tabs of a host, and a stream holds one.
let end;
function listen() {
  end?.();
  end = document.hidden ? undefined : attune.subscribe(LIVE, { limit: LIMIT }, (_, decision) => {
    learn(decision);
    drawer.pushed(decision);
    for (const [placement, answer] of Object.entries(decision.placements)) {
      live.set(placement, [answer, decision]);
      for (const r of rails.filter((r) => r.placement === placement)) {
        r.pushed = decision.profile_version;
        r.show(answer, decision.decision_id);
      }
    }
  });
}
document.addEventListener("visibilitychange", listen);

// ---- cart ----

const total = () => cart.reduce((sum, l) => sum + (l.item.attributes?.price ?? 0) * l.quantity, 0);

function saveCart() {
  keep.set("cart", cart);
  $("count").textContent = cart.reduce((n, l) => n + l.quantity, 0);
}

function add(item) {
  const line = cart.find((l) => l.item.id === item.id);
  if (line) line.quantity++;
  else cart.push({ item: { id: item.id, attributes: item.attributes }, quantity: 1 });
  saveCart();
  toast(nameOf(item) + " is in your cart", h("a", { href: base + "cart" }, "See the cart"));
  if (location.pathname === base + "cart") drawLines();
  return tell("Product Added", facts(item, { quantity: 1 }));
}

function change(line, by) {
  line.quantity += by;
  if (line.quantity < 1) cart = cart.filter((l) => l !== line);
  saveCart();
  drawLines();
  return tell(by > 0 ? "Product Added" : "Product Removed", facts(line.item, { quantity: 1 }));
}

async function buy() {
  const products = cart.map((l) => facts(l.item, { quantity: l.quantity }));
  const revenue = Math.round(total() * 100) / 100;
  const order_id = "shop-" + Date.now().toString(36) + "-" + Math.random().toString(36).slice(2, 8);
  const bought = cart;
  cart = [];
  saveCart();
  go(base + "thanks", () => thanks(order_id, bought, revenue));
  await tell("Order Completed", { order_id, revenue, total: revenue, currency: "GBP", products });
}

// ---- pages ----

const rail = (placement, head, note, ask, more) => {
  const r = new Rail({ placement, head, note, attune, ...more });
  r.ask = () => ({ id: placement, limit: LIMIT, ...ask?.() });
  rails.push(r);
  if (!ask && live.has(placement)) {
    const [answer, decision] = live.get(placement);
    r.pushed = decision.profile_version;
    r.show(answer, decision.decision_id);
  }
  return r.el;
};

// Until something is known of the visitor, for-you is what sells best,
// and says so.
const yours = (items, r) => {
  const rest = rails.find((x) => x.placement === "trending");
  if (r.ids === undefined && rest?.last) queueMicrotask(() => rest.show(...rest.last));
  r.quiet = items.every((i) => i.reason === "popular now"); // what sells changes by itself
  if (r.quiet && items.length) r.say("Loved in every corner", "the shop's favourites; open one, and this shelf becomes yours");
  else r.say("For you", "changes with every click");
};

// What is on the page already is not shown twice.
const others = (items) => {
  const own = rails.find((r) => r.placement === "for-you");
  return items.filter((i) => !own?.cards.has(i.id)).slice(0, LIMIT);
};

const chips = (now) => h("nav", { class: "chips", "aria-label": "Categories" },
  categories.map((c) => h("a", { href: base + "category/" + encodeURIComponent(c), "aria-current": c === now && "page" }, c)));

function home() {
  const hero = h("div", { class: "collage", "aria-hidden": "true" });
  const draw = (d) => hero.replaceChildren(...(d?.placements.popular?.items ?? []).slice(0, 3).map((i) => h("a", { href: productURL(i.id), tabindex: "-1" }, cover(i))));
  main.replaceChildren(
    h("section", { class: "hero" },
      h("div", {},
        h("p", { class: "eyebrow" }, person ? "Welcome back, " + person.name : "The gift shop that listens"),
        h("h1", {}, "Small gifts, ", h("em", {}, "well chosen.")),
        h("p", { class: "lead" }, "Open anything you like. These shelves rearrange themselves around you while you watch, and the drawer tells how long it took."),
        h("p", {}, h("a", { class: "button", href: base + "search?q=heart" }, "Find a gift"), h("button", { class: "button quiet", type: "button", onclick: () => drawer.toggle(true) }, "See how it decides"))),
      hero),
    chips(),
    rail("for-you", "For you", "", undefined, { pick: yours }),
    rail("recently-viewed", "Recently viewed", "", undefined, { empty: true }),
    rail("trending", "Trending now", "what everyone is looking at", () => ({ limit: 2 * LIMIT }), { pick: others }));
  attune.page("Home");
  ask();
  attune.decide({ placements: [{ id: "popular", limit: 3 }] }).then((d) => { learn(d); draw(d); }, () => {});
}

async function find(id) {
  const item = known.get(id) ?? cart.find((l) => l.item.id === id)?.item;
  if (item?.attributes?.name) return item;
  const r = await fetch(base + "api/item/" + encodeURIComponent(id)).catch(() => undefined);
  if (r?.ok) return r.json();
  const d = await attune.decide({ placements: [{ id: "search", items: [id], limit: 1 }] }).catch(() => undefined);
  return d?.placements.search?.items.find((i) => i.id === id);
}

async function product(id) {
  const now = turn, item = await find(id);
  if (now !== turn) return;
  if (!item) return missing("We could not find that item.");
  known.set(id, item);
  const a = item.attributes ?? {};
  document.title = nameOf(item) + " — Attune & Co.";
  const out = a.in_stock === false;
  main.replaceChildren(
    h("nav", { class: "crumbs", "aria-label": "You are here" }, h("a", { href: base }, "Shop"), a.category && h("a", { href: base + "category/" + encodeURIComponent(a.category) }, a.category), h("span", {}, nameOf(item))),
    h("section", { class: "product" },
      h("div", { class: "cover" }, cover(item)),
      h("div", {},
        h("p", { class: "eyebrow" }, a.category ?? "Gift"),
        h("h1", {}, nameOf(item)),
        h("p", { class: "price" }, price(a.price, a.currency)),
        h("p", { class: "lead" }, "A small thing with a long life, picked for our " + (a.category ?? "gift").toLowerCase() + " shelf and wrapped by hand."),
        h("p", {}, h("button", { class: "button", id: "add", type: "button", disabled: out, onclick: () => add(item) }, out ? "Out of stock" : "Add to cart")),
        h("ul", { class: "facts" }, h("li", {}, "Sent within a day"), h("li", {}, "Thirty days to change your mind"), h("li", {}, "Item " + id)))),
    rail("also-bought", "Often bought together", "from real baskets", () => ({ item: id, items: cart.map((l) => l.item.id) }), { onadd: add }),
    rail("similar", "Similar", "viewed by the same people", () => ({ item: id })));
  attune.page("Product");
  tell("Product Viewed", facts(item));
}

function drawLines() {
  const box = $("lines");
  if (!box) return;
  $("sum").textContent = price(total());
  $("buy").disabled = !cart.length;
  box.replaceChildren(...(cart.length ? cart.map((l) => h("li", { "data-id": l.item.id },
    h("a", { href: productURL(l.item.id), class: "cover" }, cover(l.item)),
    h("div", {}, h("a", { href: productURL(l.item.id) }, nameOf(l.item)), h("span", {}, l.item.attributes?.category ?? "")),
    h("div", { class: "steps" },
      h("button", { type: "button", "aria-label": "One less of " + nameOf(l.item), onclick: () => change(l, -1) }, "−"),
      h("b", {}, String(l.quantity)),
      h("button", { type: "button", "aria-label": "One more of " + nameOf(l.item), onclick: () => change(l, 1) }, "+")),
    h("b", {}, price((l.item.attributes?.price ?? 0) * l.quantity)))) : [h("li", { class: "none" }, "Your cart is empty. The shelves below know where to start.")]));
}

function cartPage() {
  main.replaceChildren(
    h("h1", { class: "page" }, "Your cart"),
    h("section", { class: "cart" },
      h("ul", { id: "lines" }),
      h("div", { class: "summary" },
        h("p", {}, "Delivery", h("span", {}, "Free")),
        h("p", { class: "big" }, "Total", h("b", { id: "sum" })),
        h("button", { class: "button", id: "buy", type: "button", onclick: buy }, "Buy"),
        h("small", {}, "It is a demonstration: nothing is charged, nothing is sent."))),
    rail("cart", "Goes well with your cart", "complements what is in it", () => ({ items: cart.map((l) => l.item.id) }), { onadd: add }));
  drawLines();
  attune.page("Cart");
  tell("Cart Viewed", { products: cart.map((l) => facts(l.item, { quantity: l.quantity })) });
}

function thanks(order, bought, revenue) {
  main.replaceChildren(
    h("section", { class: "thanks" },
      h("div", { class: "pile", "aria-hidden": "true" }, bought.slice(0, 5).map((l) => cover(l.item))),
      h("p", { class: "eyebrow" }, "Order " + order),
      h("h1", {}, "Thank you."),
      h("p", { class: "lead" }, `${bought.length === 1 ? "One item" : bought.length + " items"}, ${price(revenue)}. Your purchases already count: the shelves below leave them out.`),
      h("p", {}, h("a", { class: "button", href: base }, "Keep looking"), h("button", { class: "button quiet", type: "button", onclick: () => drawer.toggle(true) }, "See your profile"))),
    rail("for-you", "For you, after your order", ""),
    rail("trending", "Trending now", "", () => ({})));
}

// A category is the whole shelf, put in the visitor's order by Attune.
async function category(name) {
  const now = turn;
  const r = await fetch(base + "api/category/" + encodeURIComponent(name)).catch(() => undefined);
  const items = r?.ok ? (await r.json()).ids : [];
  if (now === turn) list(name, "The whole shelf, in your order.", items.length ? { items } : { query: name }, ["Product List Viewed", { list_id: name, category: name }]);
}

function list(head, note, what, event, pick) {
  main.replaceChildren(h("div", { class: "listhead" }, h("h1", { class: "page" }, head), h("p", { id: "note" }, note)), chips(head), rail("search", head, "", () => ({ ...what, limit: 24 }), { grid: true, onadd: add, pick }));
  attune.page(event[0]);
  tell(...event);
}

// A search shows what was found. When nothing was, it says what it shows instead.
const hits = (q) => (items) => {
  const low = q.toLowerCase();
  const found = items.filter((i) => i.id.toLowerCase() === low || (i.attributes?.name ?? "").toLowerCase().includes(low));
  $("note").textContent = found.length ? "Found for you, in your order." : `Nothing is called “${q}” here. ${items.length ? "What others like instead:" : ""}`;
  return found.length ? found : items;
};

function missing(text) {
  main.replaceChildren(h("section", { class: "thanks" }, h("h1", {}, "Not here"), h("p", { class: "lead" }, text), h("p", {}, h("a", { class: "button", href: base }, "Back to the shop"))), rail("trending", "Trending now", "", () => ({})));
  ask();
}

function show() {
  turn++;
  rails.forEach((r) => r.stop());
  rails = [];
  document.title = "Attune & Co. — small gifts, well chosen";
  const [page, ...rest] = location.pathname.slice(base.length).split("/");
  let arg = rest.join("/");
  try { arg = decodeURIComponent(arg); } catch { /* as it is */ }
  const q = new URLSearchParams(location.search).get("q") ?? "";
  $("q").value = page === "search" ? q : "";
  if (page === "") return home();
  if (page === "product" && arg) return product(arg);
  if (page === "cart") return cartPage();
  if (page === "category" && arg) return category(arg);
  if (page === "search" && q) return list("“" + q + "”", "Looking…", { query: q }, ["Products Searched", { query: q }], hits(q));
  return missing("There is no such page in this shop.");
}

function go(url, draw = show) {
  history.pushState(null, "", url);
  $("toast").classList.remove("on");
  scrollTo(0, 0);
  if (draw !== show) { turn++; rails.forEach((r) => r.stop()); rails = []; }
  draw();
  main.focus({ preventScroll: true });
}

document.addEventListener("click", (e) => {
  const a = e.target.closest("a[href]");
  if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const url = new URL(a.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(base) || url.hash) return;
  e.preventDefault();
  go(url.href);
});
addEventListener("popstate", () => show());
$("search").addEventListener("submit", (e) => {
  e.preventDefault();
  const q = $("q").value.trim();
  if (q) go(base + "search?" + new URLSearchParams({ q }));
});

// ---- who ----

function drawPeople() {
  $("account").hidden = !people.length;
  $("who").textContent = person ? person.name : "Log in";
  $("people").replaceChildren(...[h("p", {}, person ? "You are " + person.name + "." : "Try the shop as somebody:"),
    ...people.map((p) => h("button", { type: "button", "data-person": p.id, "aria-pressed": String(p === person), onclick: () => logIn(p) }, h("b", {}, p.name), h("span", {}, p.about))),
    person && h("button", { type: "button", id: "logout", onclick: logOut }, "Log out")].filter(Boolean));
}

function switched(text) {
  keep.set("person", person?.id ?? null);
  live.clear();
  $("account").open = false;
  drawPeople();
  toast(text);
  listen();
}

function logIn(p) {
  if (person && person !== p) attune.reset(); // another person is another browser's history
  person = p;
  const traits = { name: p.name };
  drawer.event("identify", { userId: p.id, traits }, attune.identify(p.id, traits, p.token || undefined));
  switched("Hello, " + p.name);
  show();
}

function logOut() {
  attune.reset();
  person = undefined;
  switched("You are logged out, and nobody in particular");
  show();
}

let fading;
function toast(...text) {
  clearTimeout(fading);
  $("toast").replaceChildren(...text);
  $("toast").classList.add("on");
  fading = setTimeout(() => $("toast").classList.remove("on"), 3500);
}

$("hood").addEventListener("click", () => drawer.toggle());
addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  if ($("account").open) $("account").open = false;
  else drawer.toggle(false);
});
document.addEventListener("click", (e) => { if (!$("account").contains(e.target)) $("account").open = false; });

saveCart();
drawPeople();
listen();
show();
