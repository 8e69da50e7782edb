// The decision explorer: what would be picked for a prompt, and every reason for it. Nothing is sent to a model.

import { ask, byId, el, fill, scroller, seconds } from "./base.js";

/** Puts all names that can be asked for into a select; they change with the configuration. */
export async function fillNames(select) {
  let names = ["auto"];
  try {
    names = (await ask("v1/models")).data.map((m) => m.id);
  } catch { /* what is asked for next tells what is wrong */ }
  const picked = [select.value, "auto"].find((name) => names.includes(name));
  fill(select, names.map((name) => el("option", { value: name }, name)));
  if (picked) select.value = picked;
}

const samples = [
  ["A bug", "My Python function raises KeyError when the dict is empty. Fix it:\n```python\ndef first(d):\n    return d[next(iter(d))]\n```"],
  ["A poem", "Write a short poem about the sea at night."],
  ["A plan", "Plan the migration of our monolith to services: phases, risks, and how to roll back each step."],
  ["A sum", "A train leaves at 9:40 and arrives at 13:05 after two stops of 7 minutes. How long did it move?"],
];

function verdictText(v) {
  const parts = [];
  for (const [name, x] of Object.entries(v.intents || {})) parts.push(`${name} ${x.toFixed(2)}`);
  if (v.complexity !== undefined) parts.push(`complexity ${v.complexity.toFixed(2)}`);
  for (const [target, x] of Object.entries(v.prefer || {})) parts.push(`prefers ${target} by ${x.toFixed(2)}`);
  for (const [target, why] of Object.entries(v.veto || {})) parts.push(`rules out ${target}: ${why}`);
  for (const flag of ["insists", "holds", "abstained", "skipped", "failed"]) if (v[flag]) parts.push(flag);
  return parts.join("; ") || v.reason || "nothing";
}

function table(head, rows) {
  return scroller("Scores", el("table", {},
    el("thead", {}, el("tr", {}, head.map((h, i) => el(i ? "th.num" : "th", { scope: "col" }, h)))), el("tbody", {}, rows)));
}

function term(x) {
  return el("td.num", {}, x ? x.toFixed(3) : "0");
}

function decisionView(d) {
  const picked = d.target
    ? el("p", {}, el("strong.good", {}, d.target), ` would be picked by route ${d.route}: ${d.reason}`)
    : el("p.bad", {}, `Nothing can answer by route ${d.route}: ${d.reason}`);
  return el("div.panel", {},
    picked,
    d.attempts.length ? [el("h3", {}, "In the order to be tried"),
      table(["Target", "Score", "Benefit", "Waiting", "Leaving", "Price"], d.attempts.map((a) => el("tr", {},
        el("td", {}, a.target, a.fallback ? el("small", {}, " fallback") : null), term(a.score), term(a.terms.benefit),
        term(a.terms.waiting), term(a.terms.leaving), term(a.terms.price)))),
      el("p.dim", {}, "The score adds up what speaks for a target and against it: the benefit of what the " +
        "policies said, the wait for its model, a conversation's cache that is left, its price.")] : null,
    d.vetoes.length ? [el("h3", {}, "Ruled out"), el("ul", {}, d.vetoes.map((v) => el("li", {}, `${v.target}: ${v.reason}`)))] : null,
    d.policies.length ? [el("h3", {}, "What each policy said"), el("ul", {}, d.policies.map((p) =>
      el("li", {}, el("strong", {}, p.name), ` ${verdictText(p.verdict)} `, el("small.dim", {}, seconds(p.us)))))] : null,
    el("p.dim", {}, d.complexity !== null && d.complexity !== undefined ? `Complexity ${d.complexity.toFixed(2)}. ` : "",
      d.abstained ? "The policies were not sure. " : "", d.limit !== undefined ? `The strong side begins at ${d.limit.toFixed(2)}.` : ""));
}

async function decide(event) {
  event.preventDefault();
  const out = byId("decision");
  try {
    const body = { model: byId("decide-model").value, messages: [{ role: "user", content: byId("decide-prompt").value }] };
    if (byId("decide-system").value) body.messages.unshift({ role: "system", content: byId("decide-system").value });
    if (byId("decide-tools").checked)
      body.tools = [{ type: "function", function: { name: "read_file", description: "Reads a file", parameters: { type: "object" } } }];
    fill(out, decisionView(await ask("v1/route", body)));
  } catch (error) {
    fill(out, el("p.bad", { role: "alert" }, error.message));
  }
}

export async function startDecide() {
  const part = byId("decide");
  if (part.childNodes.length) {
    await fillNames(byId("decide-model"));
    return;
  }
  const pick = (text) => () => { byId("decide-prompt").value = text; byId("decide-form").requestSubmit(); };
  part.append(el("h2", { id: "decide-title" }, "What would be decided?"), el("div.columns", {},
    el("form.panel", { id: "decide-form", onsubmit: decide },
      el("label", { for: "decide-model" }, "Model that the client asks for"), el("select", { id: "decide-model" }),
      el("label", { for: "decide-prompt" }, "Prompt"), el("textarea", { id: "decide-prompt", rows: 8, required: true }),
      el("label", { for: "decide-system" }, "System prompt (may be empty)"), el("textarea", { id: "decide-system", rows: 2 }),
      el("p.check", {}, el("input", { type: "checkbox", id: "decide-tools" }),
        el("label", { for: "decide-tools" }, "The request carries tools, as an agent's does")),
      el("p.row", {}, el("button.main", {}, "Decide"),
        samples.map(([name, text]) => el("button", { type: "button", onclick: pick(text) }, name)))),
    el("div", { id: "decision", "aria-live": "polite" },
      el("p.dim", {}, "Type a prompt: the verdicts, the scores with their terms, and what is ruled out appear here. No model is asked."))));
  await fillNames(byId("decide-model"));
}
