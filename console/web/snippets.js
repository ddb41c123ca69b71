// How events get here: a piece of code for each SDK, with this node's own
// address and write key, and an example of every event the engine knows.
import { h, put, copier, arrows } from "./dom.js";

export function connect(setup) {
  const all = snippets(setup);
  const panel = h("div", { role: "tabpanel", id: "snippet", tabindex: "0" });
  const list = h("div", { role: "tablist", "aria-label": "SDKs", "aria-orientation": "vertical" });
  const pick = (s) => {
    for (const b of list.children) {
      b.setAttribute("aria-selected", String(b.textContent === s.name));
      b.tabIndex = b.textContent === s.name ? 0 : -1;
    }
    put(panel, h("div", { class: "code-head" }, h("p", {}, s.note), copier(() => s.code)), h("pre", { class: "code" }, s.code),
      s.answer && [h("div", { class: "code-head pad-top" }, h("p", {}, s.asked)), h("pre", { class: "code" }, s.answer)]);
  };
  for (const s of all) list.append(h("button", { type: "button", role: "tab", "aria-controls": "snippet", onclick: () => pick(s) }, s.name));
  list.addEventListener("keydown", arrows);
  pick(all[0]);
  return h("div", { class: "connect" }, list, panel);
}

export const host = () => location.origin;
export const keyOf = (setup) => setup.sources[0]?.write_key || "<write key>";

// send is a curl of one event by the name rules know it by.
export function send(setup, name) {
  const call = example(name);
  return `curl ${host()}/v1/${call.type} -u ${keyOf(setup)}: -H 'Content-Type: application/json' -d '${JSON.stringify(call.body).replaceAll("'", "'\\''")}'`;
}

const product = { product_id: "sku-1", name: "Heart lantern", category: "Lighting", price: 3.39, currency: "EUR", image_url: "/img/sku-1.jpg" };

function example(name) {
  const who = { userId: "u-1" };
  const track = (properties) => ({ type: "track", body: { ...who, event: name, properties } });
  switch (name) {
    case "identify": return { type: "identify", body: { ...who, traits: { email: "ada@example.com", plan: "gold" } } };
    case "page": return { type: "page", body: { ...who, name: "Home" } };
    case "Order Completed":
    case "Order Refunded":
    case "Order Cancelled":
      return track({ order_id: "o-1", revenue: 6.78, currency: "EUR", products: [{ ...product, quantity: 2 }, { product_id: "sku-2", name: "Tea set", price: 9.5, quantity: 1 }] });
    case "Products Searched": return track({ query: "lantern" });
    case "Recommendation Viewed":
    case "Recommendation Clicked":
      return track({ placement: "for-you", product_id: "sku-1", position: 1 });
    default: return track(name.startsWith("Product") ? product : {});
  }
}

function snippets(setup) {
  const key = keyOf(setup), at = host();
  return [
    { name: "curl", note: "One event from a shell.", code: send(setup, "Product Viewed").replaceAll(" -", " \\\n  -") },
    { name: "attune.js", note: "The SDK of this node, under 4 KB. It also asks for decisions.", code:
`<script type="module">
  import { createAttune } from "${at}/sdk/attune.js";
  const attune = createAttune({ host: "${at}", writeKey: "${key}" });

  attune.page();
  attune.track("Product Viewed", { product_id: "sku-1", name: "Heart lantern", category: "Lighting", price: 3.39 });
</script>` },
    { name: "Segment, browser", note: "npm install @segment/analytics-next. Only cdnURL is new: the node's settings then send events here.", code:
`import { AnalyticsBrowser } from "@segment/analytics-next";

const analytics = AnalyticsBrowser.load({ writeKey: "${key}", cdnURL: "${at}" });
analytics.track("Product Viewed", { product_id: "sku-1", name: "Heart lantern", category: "Lighting", price: 3.39 });`,
      asked: `The SDK first asks GET ${at}/v1/projects/${key}/settings, which answers:`,
      answer: JSON.stringify({ integrations: { "Segment.io": { apiKey: key, apiHost: location.host + "/v1", protocol: location.protocol.slice(0, -1) } } }, null, 2) },
    { name: "RudderStack, browser", note: "npm install @rudderstack/analytics-js. The bundled build fetches no plugin from elsewhere.", code:
`import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

const rudder = new RudderAnalytics();
rudder.load("${key}", "${at}", { configUrl: "${at}" });
rudder.track("Product Viewed", { product_id: "sku-1", name: "Heart lantern", category: "Lighting", price: 3.39 });` },
    { name: "Segment, Node", note: "npm install @segment/analytics-node", code:
`import { Analytics } from "@segment/analytics-node";

const analytics = new Analytics({ writeKey: "${key}", host: "${at}" });
analytics.track({ userId: "u-1", event: "Product Viewed", properties: { product_id: "sku-1", name: "Heart lantern" } });
await analytics.closeAndFlush();` },
    { name: "RudderStack, Node", note: "npm install @rudderstack/rudder-sdk-node", code:
`import RudderAnalytics from "@rudderstack/rudder-sdk-node";

const rudder = new RudderAnalytics("${key}", { dataPlaneUrl: "${at}" });
rudder.track({ userId: "u-1", event: "Product Viewed", properties: { product_id: "sku-1", name: "Heart lantern" } });
rudder.flush();` },
  ];
}
