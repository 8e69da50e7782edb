// A chat box, to try routes: each answer tells who gave it, why, and how fast.

import { byId, el, events, Refused, seconds, setText } from "./base.js";
import { fillNames } from "./decide.js";

let messages = [];
let under = null; // the AbortController of the answer under way

function bubble(who, text) {
  const content = el("div", {}, text);
  const title = el("h3", {}, who);
  byId("chat-log").append(el(who === "You" ? "div.says.me" : "div.says", {}, title, content));
  return { title, content };
}

function setBusy(busy) {
  byId("chat-send").disabled = busy;
  byId("chat-stop").disabled = !busy;
}

async function answer(model) {
  const started = performance.now();
  const { title, content } = bubble("…", "");
  let text = "", tokens = 0, first = 0, headers = null, whole = false;
  content.setAttribute("aria-busy", "true");
  const body = { model, messages, stream: true, stream_options: { include_usage: true } };
  for await (const data of events("v1/chat/completions", body, under.signal, (h) => { headers = h; })) {
    if (data === "[DONE]") {
      whole = true;
      break;
    }
    const event = JSON.parse(data);
    if (event.error) throw new Refused(502, event.error.message);
    const delta = event.choices?.[0]?.delta?.content;
    if (delta) {
      first ||= performance.now();
      text += delta;
      content.append(delta);
      tokens += 1;
    }
    tokens = event.usage?.completion_tokens || tokens;
    const told = ["x-pointsman-target", "x-pointsman-reason"].map((name) => headers.get(name));
    setText(title, told.filter(Boolean).join(" · "));
  }
  content.removeAttribute("aria-busy");
  content.normalize();
  if (!whole) throw new Error("the answer broke off");
  const rate = first && performance.now() > first ? (tokens * 1000) / (performance.now() - first) : 0;
  title.textContent += ` · first token after ${seconds(((first || performance.now()) - started) * 1000)}, ${tokens} tokens` +
    (rate ? `, ${rate.toFixed(0)}/s` : "");
  messages.push({ role: "assistant", content: text });
}

async function send(event) {
  event.preventDefault();
  const field = byId("chat-text");
  const text = field.value.trim();
  if (!text || under) return;
  const mine = messages;
  bubble("You", text);
  mine.push({ role: "user", content: text });
  field.value = "";
  under = new AbortController();
  setBusy(true);
  try {
    await answer(byId("chat-model").value);
  } catch (error) {
    const stopped = error.name === "AbortError";
    if (mine === messages) { // and no new conversation
      const { content } = bubble("Pointsman", `${stopped ? "Stopped" : error.message}: not part of the conversation`);
      content.className = stopped ? "dim" : "bad";
    }
    mine.pop();
  }
  under = null;
  setBusy(false);
  field.focus();
}

function clear() {
  under?.abort();
  messages = [];
  byId("chat-log").replaceChildren();
}

export async function startChat() {
  const part = byId("chat");
  if (part.childNodes.length) {
    await fillNames(byId("chat-model"));
    return;
  }
  part.append(el("h2", { id: "chat-title" }, "Try a route"),
    el("div", { id: "chat-log", role: "log", "aria-label": "The conversation" }),
    el("form.panel", { onsubmit: send },
      el("label", { for: "chat-model" }, "Model"), el("select", { id: "chat-model" }),
      el("label", { for: "chat-text" }, "What do you want to ask? Ctrl+Enter sends."),
      el("textarea", { id: "chat-text", rows: 3, required: true, onkeydown: (e) => {
        if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) e.target.form.requestSubmit();
      } }),
      el("p.row", {}, el("button.main", { id: "chat-send" }, "Send"),
        el("button", { id: "chat-stop", type: "button", disabled: true, onclick: () => under?.abort() }, "Stop"),
        el("button", { type: "button", onclick: clear }, "New conversation"))));
  await fillNames(byId("chat-model"));
}
