// What the node is doing: figures of this moment, five minutes in plots, and
// what became of each placement's answers.
import { h, put, num, bytes, ms, span, percent, short, api, every, setClock, loading, failed } from "./dom.js";
import { Plot } from "./plot.js";

const rate = (v) => short(v) + "/s";
// An event's receipt is known to the millisecond, no finer.
const wholeMs = (v) => (v < 1 ? "< 1 ms" : ms(Math.round(v)));

export function mount(el) {
  const tiles = h("dl", { class: "card tiles" });
  const table = h("div", {}, loading());
  const bad = h("div");
  const plots = [
    new Plot({ title: "Events", note: "a second", format: rate, series: [
      { name: "accepted", get: (p) => p.accepted }, { name: "rejected", get: (p) => p.rejected }] }),
    new Plot({ title: "Event to decision", note: "in whole ms, from receipt", format: wholeMs, whole: true, series: [
      { name: "p50", get: (p) => p.reflect_p50 }, { name: "p99", get: (p) => p.reflect_p99 }] }),
    new Plot({ title: "Decision latency", note: "ms from request to answer", format: ms, log: true, series: [
      { name: "p50", get: (p) => p.decide_p50 }, { name: "p99", get: (p) => p.decide_p99 }] }),
    new Plot({ title: "Decisions", note: "placements answered a second", format: rate, series: [{ name: "decisions", get: (p) => p.decisions }] }),
    new Plot({ title: "Fallbacks", note: "% of answers, by what answered", most: 100, format: (v) => v.toFixed(1) + " %", series: [] }),
    new Plot({ title: "Pipeline lag", note: "records not folded yet", format: num, series: [{ name: "records", get: (p) => p.lag }] }),
  ];
  put(el,
    h("div", { class: "top" }, h("h1", {}, "Overview"), h("p", {}, "The last five minutes, second by second")),
    h("div", { class: "stack" }, bad, tiles, h("div", { class: "plots" }, plots.map((p) => p.el)),
      h("section", { class: "card" },
        h("h2", {}, "Placements", h("small", {}, "what was answered since this process started, and what became of all answers ever; rates are of impressions")), table)));

  let points = [];
  const stopSeries = every(1000, async () => {
    try {
      const answer = await api("series?since=" + (points.at(-1)?.t || 0));
      setClock(answer.now);
      points = points.concat(answer.points).slice(-answer.history_s);
      const reasons = [...new Set(points.flatMap((p) => Object.keys(p.fallbacks || {})))].sort().slice(0, 6);
      plots[4].series = reasons.map((name) => ({ name, get: (p) => (p.decisions ? (100 * (p.fallbacks?.[name] || 0)) / p.decisions : null) }));
      if (!reasons.length) plots[4].series = [{ name: "none", get: (p) => (p.decisions ? 0 : null) }];
      for (const p of plots) p.show(points);
      put(bad);
    } catch (e) {
      put(bad, h("div", { class: "card" }, failed(e)));
    }
  });
  const stopTotals = every(2000, async () => {
    try {
      const o = await api("overview");
      put(tiles, tilesOf(o));
      put(table, tableOf(o.placements));
    } catch (e) {
      // What was known stays; the fault is said above.
      if (!table.querySelector("table")) put(table, failed(e));
    }
  });
  return { close() { stopSeries(); stopTotals(); for (const p of plots) p.close(); } };
}

function tilesOf({ gauges: g, totals: t }) {
  const tile = (name, value, note) => h("div", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, note || "")));
  return [
    tile("People", num(g.users), num(g.devices) + " devices"),
    tile("Parts in memory", num(g.parts_memory), bytes(g.parts_bytes)),
    tile("Items", num(g.items)),
    tile("Accepted", num(t.accepted), "since the start"),
    tile("Rejected", num(t.rejected), t.refused ? num(t.refused) + " requests" : "see dead letters"),
    tile("Streams open", num(t.streams)),
    tile("Journal", bytes(g.journal_bytes), "profiles " + bytes(g.profile_bytes)),
    tile("Uptime", span(g.uptime_ms), g.corrupt ? num(g.corrupt) + " corrupt records" : ""),
  ];
}

function tableOf(rows) {
  return h("div", { class: "wide" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", {}, "Placement"),
      ["Decisions since start", "Impressions ever", "Clicks ever", "Clicks per impression", "Conversions ever", "Conversions per impression"].map((t) => h("th", { class: "num" }, t)))),
    h("tbody", {}, rows.map((p) => h("tr", {}, h("td", { class: "mono" }, p.placement),
      h("td", { class: "num" }, num(p.decisions)), h("td", { class: "num" }, num(p.impressions)), h("td", { class: "num" }, num(p.clicks)),
      h("td", { class: "num" }, p.impressions ? percent(p.ctr) : "–"), h("td", { class: "num" }, num(p.conversions)),
      h("td", { class: "num" }, p.impressions ? percent(p.conversion_rate) : "–"))))));
}
