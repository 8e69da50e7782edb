// The page: which part is shown, and the stream of what happens that all parts live on.

import { byId, el, events, fill, Refused, setKey, setText } from "./base.js";
import { startChat } from "./chat.js";
import { startDecide } from "./decide.js";
import { showLive, showLog, showMachine, showModels, showNow, startLogs } from "./now.js";
import { addMissed, addRequest, startRequests } from "./requests.js";
import { showUsage } from "./usage.js";

const parts = ["now", "requests", "decide", "usage", "chat"];
const shown = { now: showNow, requests: startRequests, decide: startDecide, usage: showUsage, chat: startChat };
let status = null;
let unlocked = false;

function show() {
  if (location.hash === "#main") return; // the skip link: the same part
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
  setText(link, text);
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
  const login = byId("login");
  if (!value && login.hidden) setTimeout(() => byId("key").focus());
  login.hidden = value;
  if (value === unlocked) return;
  unlocked = value;
  show();
}

/** A mistake of ours in showing one event must not look like a gateway that is away. */
function handle(event) {
  try {
    handlers[event.type]?.(event);
  } catch (error) {
    console.error(error);
  }
}

// The gateway says something every ten seconds: a connection that is silent for longer is lost (after sleep, say).
const SILENCE = 30000;
let heard = 0;
let hush = () => {};
setInterval(() => { if (heard && Date.now() - heard > SILENCE) hush(); }, 5000);

/** Listens for ever: the gateway may be restarted, and its workers are replaced with each new configuration. */
async function listen() {
  for (let pause = 300; ; pause = Math.min(pause * 2, 5000)) {
    try {
      const silence = new AbortController();
      heard = Date.now();
      hush = () => silence.abort();
      for await (const data of events("api/events?logs=yes", undefined, silence.signal, () => {
        pause = 300;
        setUnlocked(true);
        startLogs();
        addMissed();
      })) {
        heard = Date.now();
        handle(JSON.parse(data));
      }
      setLink("the stream has ended: connecting again", true);
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        setUnlocked(false);
        setLink("locked", true);
        setText(byId("login-error"), sessionStorage.length ? error.message : "");
        await new Promise((resolve) => byId("login").addEventListener("submit", resolve, { once: true }));
        continue;
      }
      // A worker that leaves says so once on each connection that the browser has kept with it.
      if (error instanceof Refused && error.status === 503) pause = 150;
      setLink("the gateway does not answer: trying again", true);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  byId("key").value = "";
  if (/[^\x21-\x7e]/.test(key)) {
    // No header can carry it: the stream need not be tried with it.
    setText(byId("login-error"), "That is no key: they have letters of English, digits and signs alone");
    event.stopImmediatePropagation();
    return;
  }
  setKey(key);
});
addEventListener("hashchange", show);
show();
byId("login").hidden = true;
listen();
