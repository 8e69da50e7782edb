// Small things that every part of the page uses: elements, numbers for people, requests to the gateway.

/** An element: el("td.num", {title: "x"}, "text", child...). Texts are always text, never markup. */
export function el(what, attributes, ...children) {
  const [name, ...classes] = what.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "width%") node.style.width = `${Math.max(0, Math.min(100, value))}%`;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** A table whose rows become cards where there is little room. */
export function cards(table) {
  const heads = [...table.querySelectorAll("thead th")].map((th) => th.textContent);
  table.classList.add("cards");
  for (const row of table.querySelectorAll("tbody > tr")) labelCells(row, heads);
  return table;
}

export function labelCells(row, heads) {
  [...row.cells].forEach((cell, i) => { if (heads[i]) cell.dataset.label = heads[i]; });
}

export const byId = (id) => document.getElementById(id);

/** A text that is the same already is left alone: whoever has it read aloud would hear it again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A click is lost when its button is replaced between press and release.
let pressed = null;
for (const start of ["pointerdown", "keydown"]) addEventListener(start, (event) => { pressed = event.target; });
for (const end of ["pointerup", "pointercancel", "keyup", "blur"])
  addEventListener(end, () => setTimeout(() => { pressed = null; }));

/** Replaces the content, unless it would be the same: focus, selection and what is scrolled stay where they are.
 * What can have the focus or be scrolled has a name in data-focus. */
export function fill(node, ...children) {
  if (pressed && node.contains(pressed)) return;
  const next = el("div", {}, ...children);
  if (node.innerHTML === next.innerHTML) return;
  const focus = node.contains(document.activeElement) && document.activeElement.dataset.focus;
  const scrolled = new Map([...node.querySelectorAll(".scroll[data-focus]")].map((n) => [n.dataset.focus, n.scrollLeft]));
  node.replaceChildren(...next.childNodes);
  for (const named of node.querySelectorAll("[data-focus]")) {
    if (scrolled.get(named.dataset.focus)) named.scrollLeft = scrolled.get(named.dataset.focus);
    if (focus && named.dataset.focus === focus) named.focus({ preventScroll: true });
  }
}

/** What is wider than its room is moved by keys, too. */
export function scroller(label, ...children) {
  const named = { "aria-label": label, "data-focus": `scroll ${label}` };
  return el("div.scroll", { tabindex: 0, role: "region", ...named }, ...children);
}

export function count(n) {
  if (n === undefined || n === null) return "–";
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (Math.abs(n) >= size) {
      const scaled = n / (unit === "k" ? 1e3 : size);
      return `${scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${unit}`;
    }
  }
  return `${Math.round(n)}`;
}

export function seconds(us) {
  if (us === undefined || us === null) return "–";
  if (us < 1e3) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms`;
  if (us < 6e7) return `${(us / 1e6).toFixed(1)} s`;
  return `${Math.floor(us / 6e7)} min ${Math.round((us % 6e7) / 1e6)} s`;
}

export const mib = (n) => (n >= 10240 ? `${(n / 1024).toFixed(0)} GiB` : n >= 1024 ? `${(n / 1024).toFixed(1)} GiB` : `${n} MiB`);
export const money = (n) => (n ? n.toFixed(n < 0.1 ? 4 : 2) : "0");

/** The time of day; with the day where that is another one. */
export function clockTime(ms) {
  const at = new Date(ms);
  return at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString()
    : at.toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

export const dayTime = (ms) => new Date(ms).toLocaleString();

/** An error with the gateway's own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const KEY = "pointsman-key";
export const setKey = (key) => sessionStorage.setItem(KEY, key);

function headers(more) {
  const key = sessionStorage.getItem(KEY);
  return { ...more, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function refusal(response) {
  let message = `${response.status} ${response.statusText}`;
  try {
    const body = await response.json();
    message = body.error?.message || message;
  } catch { /* not JSON: the status must do */ }
  return new Refused(response.status, message);
}

/** GET, or POST when there is a body; the answer's JSON. Throws Refused. */
export async function ask(path, body) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function askText(path) {
  const response = await fetch(path, { headers: headers({}) });
  if (!response.ok) throw await refusal(response);
  return response.text();
}

/** The `data:` of each event of a stream, and the response's headers first. Ends with the stream; throws Refused. */
export async function* events(path, body, signal, onHeaders) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  onHeaders?.(response.headers);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
        if (data.length) yield data.join("\n");
      }
    }
  } finally {
    // Who stops listening leaves no connection behind: a browser has six for a host.
    reader.cancel().catch(() => {});
  }
}
