// The page: which part is shown, and the stream of what happens that all parts live on.

import { byId, el, events, fill, Refused, setKey } from "./base.js";
import { startChat } from "./chat.js";
import { startDecide } from "./decide.js";
import { showLive, showLog, showMachine, showModels, startLogs } from "./now.js";
import { addRequest, startRequests } from "./requests.js";
import { showUsage } from "./usage.js";

const parts = ["now", "requests", "decide", "usage", "chat"];
const shown = { requests: startRequests, decide: startDecide, usage: showUsage, chat: startChat };
let status = null;
let unlocked = false;

function show() {
  const part = parts.includes(location.hash.slice(1)) ? location.hash.slice(1) : "now";
  for (const name of parts) byId(name).hidden = name !== part || !unlocked;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${part}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${part[0].toUpperCase()}${part.slice(1)} · Pointsman`;
  if (unlocked) shown[part]?.(() => status);
}

function setLink(text, down) {
  const link = byId("link");
  link.textContent = text;
  link.className = down ? "down" : "";
}

function showAlerts() {
  const alerts = [];
  if (status?.config_error) alerts.push(["The newest configuration is not in use", status.config_error]);
  if (status?.usage?.error) alerts.push(["Usage is not recorded", status.usage.error]);
  if (status && !status.workers.some((w) => w.state === "ready")) alerts.push(["No worker is ready", "requests wait for one"]);
  fill(byId("alerts"), alerts.map(([title, text]) => el("div.alert", {}, el("strong", {}, title), `: ${text}`)));
}

function onStatus(event) {
  status = event;
  setLink(`connected · version ${event.version} · configuration ${event.generation}`, false);
  showAlerts();
  showModels(event);
  showMachine(event);
}

const handlers = {
  status: onStatus,
  live: (event) => showLive(event.requests, status),
  request: (event) => addRequest(event.request),
  log: (event) => showLog(event.lines),
};

function setUnlocked(value) {
  byId("login").hidden = value;
  if (value === unlocked) return;
  unlocked = value;
  show();
}

/** Listens for ever: the gateway may be restarted, and its workers are replaced with each new configuration. */
async function listen() {
  for (let pause = 300; ; pause = Math.min(pause * 2, 5000)) {
    try {
      for await (const data of events("api/events?logs=yes", undefined, undefined, () => {
        pause = 300;
        setUnlocked(true);
        startLogs();
      })) {
        const event = JSON.parse(data);
        handlers[event.type]?.(event);
      }
      setLink("the stream has ended: connecting again", true);
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        setUnlocked(false);
        setLink("locked", true);
        byId("login-error").textContent = sessionStorage.length ? error.message : "";
        await new Promise((resolve) => byId("login").addEventListener("submit", resolve, { once: true }));
        continue;
      }
      setLink("the gateway does not answer: trying again", true);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim());
  byId("key").value = "";
});
addEventListener("hashchange", show);
show();
byId("login").hidden = true;
listen();
