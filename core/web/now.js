// What happens now: the models, the requests under way, the machine, the servers' logs.

import { ask, askText, byId, cards, count, el, fill, mib, scroller, seconds, setText } from "./base.js";

const words = {
  off: ["not loaded", "cold"], loading: ["loading", "busy"], ready: ["ready", "good"],
  draining: ["finishing, then unloaded", "busy"], stopping: ["unloading", "busy"], failed: ["failed", "bad"],
  next: ["next, when there is room", "busy"],
};

const phases = {
  deciding: "choosing a model", waiting: "waits for its model", queued: "waits for a free slot", loading: "its model is being loaded",
  prompt: "reading the prompt", answering: "answering", reviewing: "its answer is being judged",
};

const fits = { fits: "fits now", "in place of others": "others must go", "too large": "too large for this machine" };

/** Asks for something. The button keeps the focus, which one that is disabled would lose. */
async function act(path, body, button) {
  if (button.getAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  try {
    await ask(path, body);
    setText(byId("refusal"), "");
  } catch (error) {
    setText(byId("refusal"), `${body.model}: ${error.message}`);
    button.removeAttribute("aria-disabled");
  }
}

function actions(p) {
  // Named by what it is for: its word changes under the focus.
  const button = (label, path, body, title, what = "load") => el("button", { title, "aria-label": `${label} ${p.id}`,
    "data-focus": `${what} ${p.id}`, onclick: (e) => act(path, body, e.currentTarget) }, label);
  const list = [];
  if (p.state === "off" || p.state === "failed")
    list.push(button("Load", "models/load", { model: p.id }, p.fit === "in place of others" ? "others must make room" : ""));
  if (p.state === "ready" || p.state === "loading") list.push(button("Unload", "models/unload", { model: p.id }, ""));
  list.push(button(p.pinned ? "Unpin" : "Pin", "api/pin", { model: p.id, on: !p.pinned },
    "a pinned model never has to make room for another", "pin"));
  return el("span.acts", {}, list);
}

function stateOf(p) {
  const [word, kind] = words[p.state === "off" && p.waiting ? "next" : p.state] || [p.state, ""];
  const cell = [el(`span.state.${kind}`, {}, word)];
  if (p.state === "loading" && p.progress > 0) {
    cell.push(" ", el("progress", { value: p.progress, max: 1, "aria-label": `${p.id} is loaded to` }),
      ` ${Math.round(p.progress * 100)} %`);
  } else if (p.state === "loading") {
    cell.push(el("small", {}, ` usually takes ${seconds(p.expected_load_ms * 1000)}`));
  }
  if (p.pinned) cell.push(el("small", {}, " pinned"));
  if (p.state === "failed") {
    const again = p.retry_in_s > 0 ? ` (not tried again for ${Math.ceil(p.retry_in_s)} s)` : "";
    cell.push(el("br"), el("small.bad.why", {}, `${p.reason}${again}`));
  }
  return cell;
}

function modelRow(p) {
  const need = p.need_mib.devices.filter((n) => n > 0);
  return el("tr", {},
    el("td", {}, el("strong", {}, p.id), p.name && p.name !== p.id ? ` ${p.name}` : "",
      p.description ? [el("br"), el("small", {}, p.description)] : null),
    el("td", {}, stateOf(p)),
    el("td.num", {}, p.state === "ready" || p.state === "draining" ? `${p.leases} of ${p.slots}` : "–"),
    el("td.num", {}, `${p.waiting}`, p.waiting ? [el("br"), el("small", {}, `about ${seconds(p.wait_s * 1e6)}`)] : null),
    el("td.num", {}, p.context ? count(p.context) : "–"),
    el("td.num", {}, p.output_tps ? p.output_tps.toFixed(0) : "–"),
    el("td.num", {}, need.length ? need.map(mib).join(" + ") : mib(p.need_mib.ram),
      p.state === "off" || p.state === "failed" ? [el("br"), el("small", {}, fits[p.fit] ?? p.fit)] : null),
    el("td", {}, actions(p)));
}

function modelTable(profiles, label) {
  return scroller(label, cards(el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Model"), el("th", { scope: "col" }, "State"),
      el("th.num", { scope: "col" }, "Slots in use"), el("th.num", { scope: "col" }, "Waiting"),
      el("th.num", { scope: "col" }, "Context"), el("th.num", { scope: "col" }, "Tokens/s"),
      el("th.num", { scope: "col" }, "Memory"), el("th", { scope: "col" }, "Actions"))),
    el("tbody", {}, profiles.map(modelRow)))));
}

export function showModels(status) {
  const usual = status.profiles.filter((p) => !p.bench);
  const bench = status.profiles.filter((p) => p.bench);
  const open = byId("models").querySelector("details")?.open;
  fill(byId("models"), el("h2", {}, "Models"),
    usual.length ? modelTable(usual, "Models") : el("p.dim", {}, "models.conf has no local model"),
    bench.length ? el("details", { open }, el("summary", { "data-focus": "bench" }, `${bench.length} for benchmarks`),
      modelTable(bench, "Models for benchmarks")) : null,
    status.clouds?.length ? el("p.dim", {}, "In the cloud: ", status.clouds.map((c) => c.id).join(", ")) : null);
}

function liveRow(r) {
  const tokens = r.output ? `${count(r.output)}${r.tps ? ` at ${r.tps.toFixed(0)}/s` : ""}` : "–";
  const wait = r.wait_s !== undefined ? `, about ${seconds(r.wait_s * 1e6)}` : "";
  return el("tr", {},
    el("td", {}, r.model || "–", el("br"), el("small", {}, r.route && r.route !== r.target ? `route ${r.route}` : "by its own name")),
    el("td", {}, r.target || "–"),
    el("td", {}, `${phases[r.phase] || r.phase}${wait}`, r.attempts > 1 ? el("small", {}, ` (attempt ${r.attempts})`) : null),
    el("td.num", {}, seconds(Math.round(r.elapsed_us / 1e5) * 1e5)),
    el("td.num", {}, tokens),
    el("td", {}, el("small", {}, r.reason || "")));
}

export function showLive(requests) {
  fill(byId("live"), el("h2", {}, requests.length ? `${requests.length} under way` : "Under way"),
    requests.length
      ? scroller("Requests under way", cards(el("table", {},
        el("thead", {}, el("tr", {}, ["Asked for", "Answered by", "Phase"].map((h) => el("th", { scope: "col" }, h)),
          el("th.num", { scope: "col" }, "For"), el("th.num", { scope: "col" }, "Tokens"),
          el("th", { scope: "col" }, "Why this one"))),
        el("tbody", {}, requests.map(liveRow)))))
      : el("p.dim", {}, "No request. Agents use this address with /v1 behind it; ", el("a", { href: "#chat" }, "try it here"), "."));
}

function meter(label, used, total, text) {
  return el("div.meter", {}, el("span", {}, label),
    el("span.bar", { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": total || 1, "aria-valuenow": used },
      el("i", { "width%": total ? (100 * used) / total : 0 })), el("span.num", {}, text));
}

function gpuMeter(g, i) {
  const used = g.total_mib - g.free_mib;
  const more = [g.use_percent !== undefined && `${g.use_percent} % busy`, g.power_w !== undefined && `${g.power_w} W`,
    g.temperature_c !== undefined && `${g.temperature_c} °C`].filter(Boolean).join(", ");
  return [meter(`GPU ${i}`, used, g.total_mib, `${mib(used)} of ${mib(g.total_mib)}`),
    el("p.dim", {}, g.name, more ? `: ${more}` : "")];
}

export function showMachine(status) {
  const m = status.machine;
  const used = m.ram_mib - m.ram_available_mib;
  const may = status.memory_mib.ram;
  const held = status.profiles.filter((p) => p.state !== "off" && p.state !== "failed");
  const taken = held.reduce((sum, p) => sum + p.need_mib.ram, 0);
  fill(byId("machine"), el("h2", {}, "Machine"),
    status.gpus.length ? status.gpus.map(gpuMeter) : el("p.dim", {}, "no GPU that tells its memory"),
    meter("Processors", m.cpu, 1, `${Math.round(m.cpu * 100)} % of ${m.cores}`),
    meter("Memory", used, m.ram_mib, `${mib(used)} of ${mib(m.ram_mib)}`),
    may > 0 ? meter("Models' part", taken, may, `${mib(taken)} of ${mib(may)}`) : null,
    m.swap_mib ? meter("Swap", m.swap_mib - m.swap_free_mib, m.swap_mib, `${mib(m.swap_mib - m.swap_free_mib)} of ${mib(m.swap_mib)}`) : null);
}

const LINES_MAX = 600;
let follow = true; // the end of the logs, until somebody scrolls up

/** A part that was hidden has lost its place. */
export function showNow() {
  const pre = byId("logs").querySelector("pre");
  if (pre && follow) pre.scrollTop = pre.scrollHeight;
}

/** The panel, with what the servers that run have written so far. */
export async function startLogs() {
  const panel = byId("logs");
  if (panel.querySelector("pre")) return;
  panel.append(el("h2", {}, "Servers' logs"),
    el("pre.mono", { tabindex: 0, role: "log", "aria-label": "Lines of the model servers", "aria-live": "off" },
      "Lines appear here as the servers write them."));
  const pre = panel.querySelector("pre");
  pre.addEventListener("scroll", () => {
    if (pre.clientHeight) follow = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 20;
  });
  try {
    const lines = (await askText("logs")).split("\n").filter(Boolean).slice(-LINES_MAX / 2);
    if (lines.length) showLog([...lines.map((text) => ["", text]), ["", "--- what follows comes now ---"]]);
  } catch { /* what follows will do */ }
}

export function showLog(lines) {
  const pre = byId("logs").querySelector("pre");
  if (!pre) return;
  if (!pre.querySelector("span")) pre.textContent = "";
  for (const [profile, text] of lines)
    pre.append(el(text.startsWith("--- ") ? "span.mark" : "span", {}, `${profile ? `${profile} │ ` : ""}${text}\n`));
  while (pre.childNodes.length > LINES_MAX) pre.firstChild.remove();
  if (follow) pre.scrollTop = pre.scrollHeight;
}
