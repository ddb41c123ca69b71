// JSON as people read it: indented, coloured, never parsed as HTML.
import { h } from "./dom.js";

export function json(value) {
  const pre = h("pre", { class: "json" });
  const text = JSON.stringify(value, null, 2) ?? "null";
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;
  let at = 0;
  for (const m of text.matchAll(token)) {
    pre.append(text.slice(at, m.index));
    const kind = m[1] ? (m[2] ? "j-key" : "j-str") : m[3] ? "j-num" : "j-lit";
    pre.append(h("span", { class: kind }, m[1] || m[0]), m[2] || "");
    at = m.index + m[0].length;
  }
  pre.append(text.slice(at));
  return pre;
}
