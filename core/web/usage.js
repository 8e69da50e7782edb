// What was used: sums by day or hour, route, target or key, as charts with their numbers beneath.

import { ask, byId, cards, count, el, fill, money, scroller, svg } from "./base.js";

const spans = [["24 hours", 1, "hour"], ["7 days", 7, "day"], ["30 days", 30, "day"], ["90 days", 90, "day"]];
const WIDTH = 400;
const HEIGHT = 170;
const STEP = { day: 864e5, hour: 36e5 };
let span = 1;
let by = "target";

/** The rows of each day or hour from the first to the last, with those in which nothing happened. */
function withGaps(rows, unit) {
  const at = (name) => Date.parse(`${name.replace(" ", "T")}${unit === "day" ? "T00:00" : ""}Z`);
  const known = new Map(rows.map((row) => [at(row.name), row]));
  const out = [];
  for (let t = at(rows[0].name); t <= at(rows.at(-1).name); t += STEP[unit]) {
    const name = new Date(t).toISOString().slice(0, unit === "day" ? 10 : 16).replace("T", " ");
    out.push(known.get(t) ?? { name, requests: 0, prompt: 0, output: 0, cost: 0 });
  }
  return out.length ? out : rows;
}

/** The next of 1, 2, 5, 10, 20 ...: its half is a short number, too. */
function roundUp(x) {
  const ten = 10 ** Math.floor(Math.log10(x || 1));
  return [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= x * 0.9999);
}

function columns(rows, value, label) {
  const most = roundUp(Math.max(...rows.map(value), 0));
  const step = (WIDTH - 62) / Math.max(rows.length, 1);
  const base = HEIGHT - 22;
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": label });
  chart.append(svg("line", { x1: 58, y1: base, x2: WIDTH, y2: base, class: "axis" }));
  for (const part of [0.5, 1]) {
    const y = base - part * (base - 12);
    chart.append(svg("line", { x1: 58, y1: y, x2: WIDTH, y2: y, class: "axis" }),
      svg("text", { x: 54, y: y + 4, "text-anchor": "end" }, most < 10 ? `${Number((most * part).toPrecision(2))}` : count(most * part)));
  }
  rows.forEach((row, i) => {
    const height = (value(row) / most) * (base - 12);
    const width = Math.max(1, Math.min(step * 0.8, 60));
    const middle = 60 + (i + 0.5) * step;
    const bar = svg("rect", { x: middle - width / 2, y: base - height, width, height, class: "s0" });
    bar.append(svg("title", {}, `${row.name}: ${count(value(row))}`));
    chart.append(bar);
    if (i % Math.ceil(rows.length / 7) === 0)
      chart.append(svg("text", { x: middle, y: HEIGHT - 6, "text-anchor": "middle" }, `${row.name}`.slice(5).replace(/^\d\d-\d\d (?=\d)/, "")));
  });
  return chart;
}

function tile(label, value, note) {
  return el("div.tile", {}, label, el("b", {}, value), el("small.dim", {}, note || ""));
}

function tiles(t) {
  const part = t.prompt ? `${Math.round((100 * t.cached) / t.prompt)} % of it from a cache` : "";
  return el("div.tiles", {},
    tile("Requests", count(t.requests), `${count(t.cloud || 0)} in the cloud`),
    tile("Failed", count(t.errors || 0), `${count(t.refused || 0)} refused, ${count(t.cancelled || 0)} left`),
    tile("Prompt tokens", count(t.prompt), part),
    tile("Output tokens", count(t.output), ""),
    tile("Cost", money(t.cost), "in the currency of PRICE_IN and PRICE_OUT"),
    tile("First token", t.first_ms ? `${Math.round(t.first_ms)} ms` : "–", "on average"));
}

function sumTable(rows) {
  const head = ["Requests", "Failed", "Prompt", "Cached", "Output", "Cost", "First token", "Feedback"];
  return scroller("Sums", cards(el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, by), head.map((h) => el("th.num", { scope: "col" }, h)))),
    el("tbody", {}, rows.map((r) => el("tr", {}, el("td", {}, r.name ?? "none"),
      [count(r.requests), count(r.errors), count(r.prompt), count(r.cached), count(r.output), money(r.cost),
        r.first_ms ? `${Math.round(r.first_ms)} ms` : "–", r.score !== undefined ? r.score.toFixed(2) : "–"]
        .map((text) => el("td.num", {}, text))))))));
}

async function update() {
  const [, days, unit] = spans[span];
  const since = Date.now() - days * 24 * 3600 * 1000;
  const out = byId("usage-out");
  try {
    const [times, groups] = await Promise.all([ask(`api/usage?by=${unit}&since=${since}`), ask(`api/usage?by=${by}&since=${since}`)]);
    const columnsOf = times.rows.length ? withGaps(times.rows, unit) : [];
    fill(out, tiles(times.total),
      times.rows.length ? el("div.columns", {},
        el("div.panel", {}, el("h3", {}, `Requests by ${unit}`), columns(columnsOf, (r) => r.requests, `Requests by ${unit}`)),
        el("div.panel", {}, el("h3", {}, `Tokens by ${unit}`), columns(columnsOf, (r) => r.prompt + r.output, `Tokens by ${unit}`)),
        times.total.cost ? el("div.panel", {}, el("h3", {}, `Cost by ${unit}`), columns(columnsOf, (r) => r.cost, `Cost by ${unit}`)) : null)
        : el("p.dim", {}, "Nothing was recorded in that time."),
      el("div.panel", {}, el("h3", {}, `By ${by}`), sumTable(groups.rows)));
  } catch (error) {
    fill(out, el("p.bad", { role: "alert" }, error.message));
  }
}

function choice(id, label, values, now, set) {
  return el("span", {}, el("label", { for: id }, label),
    el("select", { id, onchange: (e) => { set(e.target.value); update(); } },
      values.map(([value, text]) => el("option", { value, selected: `${value}` === `${now}` }, text))));
}

export function showUsage() {
  const part = byId("usage");
  if (!part.childNodes.length) {
    part.append(el("h2", { id: "usage-title" }, "Usage"),
      el("p.row", {},
        choice("usage-span", "Of the last", spans.map(([text], i) => [i, text]), span, (v) => { span = Number(v); }),
        choice("usage-by", "Added up by", ["target", "route", "model", "key", "intent", "outcome", "status"].map((v) => [v, v]), by,
          (v) => { by = v; })),
      el("div", { id: "usage-out" }));
  }
  update();
}
