// The requests that are over: the last ones from the records, then each as it ends. A row opens to its trace.

import { ask, byId, clockTime, count, dayTime, el, labelCells, money, scroller, seconds } from "./base.js";

const ROWS_MAX = 300;
const outcomes = { ok: "good", cached: "good", error: "bad", refused: "busy", cancelled: "cold" };
const outcomeWords = { ok: "answered", cached: "from what was kept", error: "failed", refused: "refused", cancelled: "caller left" };

const HEADS = ["When", "Asked for", "Answered by", "Outcome", "Prompt", "Output", "Time", "Time spent on"];

let body = null; // of the table
let seen = new Set();
let before = null; // where older ones begin
let newest = []; // that ended before this part was opened
let most = ROWS_MAX; // rows that are kept; more once somebody has asked for older ones

/** [class, label, microseconds] of the stretches of its time, in their order. */
export function stretches(r) {
  const load = Math.min(r.load_us || 0, r.queue_us || 0);
  const waited = (r.queue_us || 0) - load;
  const sent = r.sent_us ?? r.total_us;
  const own = Math.max(0, sent - waited - load);
  // A whole answer comes at once: the server's own clock tells its parts.
  let first = r.first_us ?? r.total_us;
  if (!r.stream && r.output_ms && r.first_us) first = Math.max(sent, r.first_us - r.output_ms * 1000);
  return [["wait", "waiting for its model or a slot", waited], ["load", "loading the model", load],
    ["wait", r.attempts > 1 ? "choosing and attempts in vain" : "choosing", own],
    ["read", "reading the prompt", Math.max(0, first - sent)], ["write", "answering", Math.max(0, r.total_us - first)]];
}

function timeline(r) {
  const all = stretches(r).filter(([, , us]) => us > 0);
  const text = all.map(([, label, us]) => `${label} ${seconds(us)}`).join(", ");
  return el("span.time", { role: "img", "aria-label": text, title: text },
    all.map(([kind, , us]) => el(`i.${kind}`, { "width%": (100 * us) / Math.max(1, r.total_us) })));
}

function number(x) {
  return (x ?? 0).toFixed(3);
}

function planTable(r) {
  const head = ["Target", "Score", "Benefit", "Waiting", "Leaving", "Price"];
  return scroller("In the order to be tried", el("table", {},
    el("thead", {}, el("tr", {}, head.map((h, i) => el(i ? "th.num" : "th", { scope: "col" }, h)))),
    el("tbody", {}, r.plan.map((c) => el("tr", {}, el("td", {}, c.target),
      ["score", "benefit", "waiting", "leaving", "price"].map((k) => el("td.num", {}, number(c[k]))))))));
}

export function trace(r) {
  const intents = Object.entries(r.intents || {}).map(([name, x]) => `${name} ${Number(x).toFixed(2)}`).join(", ");
  const vetoes = Object.entries(r.vetoes || {});
  const facts = [["Id", r.id], ["Asked for", r.model], ["Path", r.path], ["Key", r.key], ["Intents", intents],
    ["Complexity", r.complexity?.toFixed(2)], ["Attempts", r.attempts], ["What failed", r.failures],
    ["Prompt", r.prompt_text], ["Feedback", r.score !== undefined && r.score !== null ? `${r.score}${r.label ? ` (${r.label})` : ""}` : ""]];
  return el("div.trace", {},
    el("p", {}, stretches(r).filter(([, , us]) => us > 0).map(([, label, us]) => `${label} ${seconds(us)}`).join(", then "), "."),
    el("table", {}, el("tbody", {}, facts.filter(([, v]) => v !== undefined && v !== null && v !== "")
      .map(([k, v]) => el("tr", {}, el("th", { scope: "row" }, k), el("td", {}, `${v}`))))),
    r.policies?.length ? [el("h3", {}, "What the policies said"), el("ul", {}, r.policies.map((p) =>
      el("li", {}, el("strong", {}, p.name), ` ${p.reason || "nothing"} `, el("small.dim", {}, `${p.us.toFixed(0)} µs`))))] : null,
    r.plan?.length ? [el("h3", {}, "In the order to be tried"), planTable(r)] : null,
    vetoes.length ? [el("h3", {}, "Ruled out"), el("ul", {}, vetoes.map(([t, why]) => el("li", {}, `${t}: ${why}`)))] : null);
}

function toggle(r, row, button) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", `${!open}`);
  row.classList.toggle("open", !open);
  if (open) row.nextSibling.remove();
  else row.after(el("tr.detail", {}, el("td", { colspan: 8 }, trace(r))));
}

function requestRow(r) {
  const when = clockTime(r.at);
  const button = el("button", { "aria-expanded": "false", "aria-label": `${when}, details of ${r.id}` }, when);
  button.title = dayTime(r.at);
  const failed = (r.failures || "").split(":")[0];
  const row = el("tr", { "data-id": r.id },
    el("td", {}, button),
    el("td", {}, r.model || "–", el("br"), el("small", {}, r.reason || "")),
    el("td", {}, r.target || "–", r.kind && r.kind !== "local" ? el("small", {}, " cloud") : null,
      r.target && failed && failed !== r.target ? [el("br"), el("small.busy", {}, `as ${failed} failed`)]
        : r.attempts > 1 ? el("small", {}, ` after ${r.attempts} attempts`) : null),
    el(`td.${outcomes[r.outcome] || "dim"}`, {}, outcomeWords[r.outcome] || r.outcome, r.status >= 400 ? ` ${r.status}` : ""),
    el("td.num", {}, count(r.prompt), r.cached ? el("small", {}, ` (${count(r.cached)} cached)`) : null),
    el("td.num", {}, count(r.output)),
    el("td.num", {}, seconds(r.total_us), r.cost ? [el("br"), el("small", {}, `cost ${money(r.cost)}`)] : null),
    el("td", {}, timeline(r)));
  button.addEventListener("click", () => toggle(r, row, button));
  labelCells(row, HEADS);
  return row;
}

/** One that has just ended. */
export function addRequest(r) {
  if (!body) {
    newest = [r, ...newest].slice(0, ROWS_MAX);
    return;
  }
  if (seen.has(r.id)) return;
  seen.add(r.id);
  body.prepend(requestRow(r));
  while (body.rows.length > most) cutLast();
  byId("no-requests").hidden = true;
}

/** Forgets the oldest row. It can be asked for again, and then the list of older ones begins anew. */
function cutLast() {
  if (body.lastChild.classList.contains("detail")) body.lastChild.remove();
  seen.delete(body.lastChild.dataset.id);
  body.lastChild.remove();
  before = null;
  byId("older").hidden = false;
}

/** What ended while the stream was away. */
export async function addMissed() {
  if (!body) return;
  try {
    const { requests } = await ask("api/requests?limit=300");
    for (const r of requests.reverse()) addRequest(r);
  } catch { /* said where older ones are asked for */ }
}

async function older() {
  const button = byId("older");
  button.disabled = true;
  try {
    let added = 0;
    do {
      const answer = await ask(`api/requests?limit=50${before ? `&before=${before}` : ""}`);
      for (const r of answer.requests) {
        if (seen.has(r.id)) continue;
        seen.add(r.id);
        body.append(requestRow(r));
        added += 1;
      }
      before = answer.before;
    } while (!added && before);
    most = Math.max(most, body.rows.length + ROWS_MAX);
    button.hidden = !before;
    byId("requests-error").textContent = "";
  } catch (error) {
    byId("requests-error").textContent = `Older requests cannot be told: ${error.message}`;
  }
  button.disabled = false;
  byId("no-requests").hidden = body.rows.length > 0;
}

export function startRequests() {
  if (body) return;
  body = el("tbody");
  seen = new Set();
  const legend = [["wait", "waiting"], ["load", "loading the model"], ["read", "reading the prompt"], ["write", "answering"]];
  byId("requests").replaceChildren(el("div.panel", {},
    el("h2", { id: "requests-title" }, "Requests"),
    el("p.legend", {}, legend.map(([kind, text]) => el("span", {}, el(`i.${kind}`), text))),
    scroller("Requests that are over", el("table.cards", {},
      el("thead", {}, el("tr", {}, HEADS.map((h, i) => el(i >= 4 && i <= 6 ? "th.num" : "th", { scope: "col" }, h)))),
      body)),
    el("p.dim", { id: "no-requests" }, "None yet."),
    el("p.bad", { id: "requests-error", role: "alert" }),
    el("button", { id: "older", onclick: older }, "Older ones")));
  for (const r of newest.reverse()) addRequest(r);
  newest = [];
  older();
}
