// A plot of the last five minutes, a point a second: lines on a canvas, crisp
// at every pixel ratio, with axes, units, and the values under the pointer.
import { h, short, clock } from "./dom.js";

const pad = { left: 38, right: 6, top: 6, bottom: 18 };

export class Plot {
  // series: [{name, get(point) → number|null}], in the order of their colours;
  // format writes a value with its unit. The value axis ends at most when that
  // is given; log makes it one of powers of ten, for latencies, and whole does so
  // with a 0 below them, for what is known in whole units.
  constructor({ title, note, series, format, most, log = false, whole = false, window = 300_000 }) {
    Object.assign(this, { series, format, most, log, whole, window, points: [] });
    this.canvas = h("canvas", { role: "img", "aria-label": title });
    this.tip = h("div", { class: "tip", hidden: true });
    this.keys = h("span", { class: "pills" });
    this.el = h("figure", { class: "plot card" },
      h("figcaption", {}, h("b", {}, title, " ", h("small", {}, note)), this.keys), this.canvas, this.tip);
    this.canvas.addEventListener("pointermove", (e) => { this.at = e.offsetX; this.draw(); });
    this.canvas.addEventListener("pointerleave", () => { this.at = undefined; this.draw(); });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.themed = () => this.draw();
    this.theme.addEventListener("change", this.themed);
  }

  close() {
    this.resized.disconnect();
    this.theme.removeEventListener("change", this.themed);
  }

  show(points, series = this.series) {
    this.points = points;
    this.series = series;
    this.draw();
  }

  // axis returns the ticks of the value axis, the lowest first, and where a
  // value is on it: 0 at its foot, 1 at its top.
  axis() {
    let most = 0, least = Infinity;
    for (const p of this.points) {
      for (const s of this.series) {
        const v = s.get(p) ?? 0;
        most = Math.max(most, v);
        if (v > 0) least = Math.min(least, v);
      }
    }
    if (this.whole) {
      const high = Math.max(1, Math.ceil(Math.log10(most || 1)));
      const ticks = [0, ...Array.from({ length: high + 1 }, (_, i) => 10 ** i)];
      return { ticks, at: (v) => (v < 1 ? v : 1 + Math.log10(v)) / (high + 1) };
    }
    if (this.log) {
      const low = most ? Math.floor(Math.log10(least)) : 0;
      const high = Math.max(low + 1, most ? Math.ceil(Math.log10(most)) : 1);
      const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
      return { ticks, at: (v) => Math.max(0, (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low)) };
    }
    const unit = 10 ** Math.floor(Math.log10(most || 1));
    const high = this.most || (most ? [1, 2, 3, 4, 5, 6, 8, 10, 12].map((f) => f * unit).find((t) => t >= most * 1.02) || most : 1);
    return { ticks: [0, high / 2, high], at: (v) => v / high };
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    const style = getComputedStyle(this.canvas);
    const ink = (name) => style.getPropertyValue(name).trim();
    const last = this.points.at(-1)?.t ?? Date.now();
    const { ticks, at: share } = this.axis();
    this.x = (t) => pad.left + (width - pad.left - pad.right) * (1 - (last - t) / this.window);
    const y = (v) => pad.top + (height - pad.top - pad.bottom) * (1 - share(v));

    g.font = "11px " + style.getPropertyValue("--sans");
    g.fillStyle = ink("--soft");
    g.strokeStyle = ink("--rule");
    g.lineWidth = 1;
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (const v of ticks) {
      const at = Math.round(y(v)) + 0.5;
      line(g, [[pad.left, at], [width - pad.right, at]]);
      g.fillText(short(v), pad.left - 6, at);
    }
    g.textBaseline = "alphabetic";
    for (let minute = 0; minute <= 5; minute++) {
      const at = this.x(last - minute * 60_000);
      g.textAlign = minute === 0 ? "right" : minute === 5 ? "left" : "center";
      g.fillText(minute === 0 ? "now" : minute === 5 ? "−5 min" : `−${minute}`, minute === 0 ? width - pad.right : at, height - 4);
    }
    this.series.forEach((s, i) => this.line(g, s, y, ink(`--s${(i % 6) + 1}`)));
    this.hover(g, y, ink, width);
    this.legend();
  }

  // line joins neighbours; a second on its own is a dot.
  line(g, s, y, colour) {
    g.strokeStyle = g.fillStyle = colour;
    g.lineWidth = 1.5;
    g.lineJoin = "round";
    let run = [];
    const flush = () => {
      if (run.length > 1) line(g, run);
      else if (run.length) { g.beginPath(); g.arc(run[0][0], run[0][1], 1.8, 0, 7); g.fill(); }
      run = [];
    };
    let before;
    for (const p of this.points) {
      const v = s.get(p);
      if (v === null || v === undefined || (before && p.t - before > 2500)) flush();
      if (v !== null && v !== undefined && this.x(p.t) >= pad.left) run.push([this.x(p.t), y(v)]);
      before = p.t;
    }
    flush();
  }

  hover(g, y, ink, width) {
    const near = this.at === undefined ? undefined : this.nearest(this.at);
    this.tip.hidden = !near;
    if (!near) return;
    const at = Math.round(this.x(near.t)) + 0.5;
    g.strokeStyle = ink("--faint");
    g.lineWidth = 1;
    line(g, [[at, pad.top], [at, this.canvas.clientHeight - pad.bottom]]);
    this.tip.replaceChildren(h("div", {}, clock(near.t, false)), ...this.series.map((s, i) => h("div", { class: `c${(i % 6) + 1}` },
      h("i"), h("span", {}, s.name), h("span", {}, this.write(s.get(near))))));
    const left = at + 12 + this.tip.offsetWidth > width ? at - this.tip.offsetWidth : at + 22;
    this.tip.style.left = Math.max(0, left) + "px";
    this.tip.style.top = this.canvas.offsetTop + 4 + "px";
  }

  nearest(px) {
    let best;
    for (const p of this.points) {
      const d = Math.abs(this.x(p.t) - px);
      if (!best || d < best.d) best = { p, d };
    }
    return best && best.d < 12 ? best.p : undefined;
  }

  write(v) { return v === null || v === undefined ? "–" : this.format(v); }

  // legend names each series with its newest value.
  legend() {
    this.keys.replaceChildren(...this.series.map((s, i) => {
      let v = null;
      for (let k = this.points.length - 1; k >= Math.max(0, this.points.length - 10) && (v === null || v === undefined); k--) v = s.get(this.points[k]);
      return h("span", { class: `key c${(i % 6) + 1}` }, h("i"), s.name, " ", h("span", {}, this.write(v)));
    }));
  }
}

function line(g, points) {
  g.beginPath();
  points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
  g.stroke();
}
