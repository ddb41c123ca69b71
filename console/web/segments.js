// The audiences, and how many users are in each at this moment.
import { h, put, api, num, every, loading, empty, failed } from "./dom.js";

const example = `segments:
  - name: big-spenders
    description: More than 200 in a month
    when: features.revenue_30d > 200.0`;

export function mount(el) {
  const body = h("section", { class: "card" }, loading());
  put(el, h("div", { class: "top" }, h("h1", {}, "Segments"), h("p", {}, "Evaluated as events come in and as windows pass")), body);
  const stop = every(2000, async () => {
    try {
      const { segments } = await api("segments");
      put(body, segments.length ? table(segments) : [
        empty("No segments are defined", "A segment is a condition over traits, features and other segments. In the configuration:"),
        h("div", { class: "pad" }, h("pre", { class: "code" }, example))]);
    } catch (e) {
      put(body, failed(e));
    }
  });
  return { close: stop };
}

function table(segments) {
  const most = Math.max(1, ...segments.map((s) => s.members));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Segment"), h("th", {}, "When"), h("th", { class: "num" }, "Users now"), h("th", {}, ""))),
    h("tbody", {}, segments.map((s) => h("tr", {}, h("td", {}, h("b", {}, s.name), s.description && h("div", { class: "soft" }, s.description)),
      h("td", { class: "mono" }, s.when), h("td", { class: "num" }, num(s.members)),
      h("td", { class: "bar" }, h("meter", { min: 0, max: most, value: s.members, "aria-label": s.name + ": " + s.members })))))));
}
