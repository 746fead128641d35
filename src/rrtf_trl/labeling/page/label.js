// The labelling page's keys. The page keeps no ranking: it sends actions to the server and shows the ranking in the reply.
// While the server does not answer, actions wait in a queue in the tab's storage; each has an id, so that none is lost or
// counted twice. The page is changed by elements and text, never by strings of HTML.
"use strict";

const setting = {
  get: (name, otherwise) => localStorage.getItem(`rrtf-label-${name}`) ?? otherwise,
  set: (name, value) => localStorage.setItem(`rrtf-label-${name}`, value),
};

// -- Theme: at once, before anything is painted ---------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];
document.documentElement.dataset.theme = setting.get("theme", "auto");

function nextTheme() {
  const now = document.documentElement.dataset.theme;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  document.documentElement.dataset.theme = next;
  setting.set("theme", next);
  nameTheme();
}

function nameTheme() {
  document.getElementById("theme").textContent = `Theme: ${document.documentElement.dataset.theme}`;
}

// -- Attention: time with the page in view, without the pauses ------------------------------------------------------

const LONGEST_PAUSE = 60_000;
let attended = 0;
let lastSign = performance.now();

function attend(counts = !document.hidden) {
  const now = performance.now();
  if (counts) attended += Math.min(now - lastSign, LONGEST_PAUSE);
  lastSign = now;
}

function secondsSinceLast() {
  attend();
  const seconds = attended / 1000;
  attended = 0;
  return Math.round(seconds * 100) / 100;
}

// -- Actions --------------------------------------------------------------------------------------------------------

const all = (selector) => [...document.querySelectorAll(selector)];
const queueName = `rrtf-label ${location.pathname}`;
let queue = JSON.parse(sessionStorage.getItem(queueName) ?? "[]");
let sending = false;
let leaving = false; // the item is done: no further action on it

function keepQueue() {
  sessionStorage.setItem(queueName, JSON.stringify(queue));
}

function act(what, more = {}) {
  if (leaving) return;
  leaving = ["submit", "skip", "open", "revisit"].includes(what);
  const item = document.body.dataset.item || null;
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  queue.push({ id, do: what, item, seconds: secondsSinceLast(), ...more });
  keepQueue();
  send();
}

async function send() {
  if (sending) return;
  sending = true;
  for (let pause = 250; queue.length; ) {
    let status = 0;
    let reply = {};
    try {
      const response = await fetch(document.body.dataset.act, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(queue[0]),
      });
      reply = response.headers.get("content-type")?.includes("json")
        ? await response.json()
        : { message: await response.text() };
      status = response.status; // only now: a reply that is cut off within its body counts as none
    } catch {
      reply.message = "The server does not answer";
    }
    if (status === 401 || status === 403 || status === 421) {
      setProblem(reply.message);
      break;
    }
    if (status === 0 || status >= 500) {
      const waiting = queue.length === 1 ? "One action waits" : `${queue.length} actions wait`;
      setProblem(`${reply.message || "The server has a problem"}. ${waiting} and will be saved when it answers again.`);
      await new Promise((done) => setTimeout(done, pause));
      pause = Math.min(2 * pause, 2000);
      continue;
    }
    setProblem("");
    pause = 250;
    queue.shift();
    if (status === 409 || reply.reload) queue = [];
    keepQueue();
    if (status === 409 || reply.reload) {
      await load();
      if (status === 409) setStatus(reply.message, true);
      break;
    }
    if (status === 200) {
      showRanking(reply.draft, reply.tie);
    } else {
      leaving = false;
    }
    if (reply.message) setStatus(reply.message, status !== 200);
  }
  sending = false;
}

// The server's page is the only HTML that is parsed here; DOMParser runs no script in it.
const page = globalThis.trustedTypes?.createPolicy("page", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

/** Load the page again without navigation, since the browser's own error page would replace it if the server is down. */
async function load() {
  for (;;) {
    try {
      const response = await fetch(location.href);
      if (response.ok) {
        const fresh = new DOMParser().parseFromString(page.createHTML(await response.text()), "text/html");
        document.title = fresh.title;
        document.body.replaceWith(document.adoptNode(fresh.body));
        scrollTo(0, 0);
        begin();
        return;
      }
      setProblem(await response.text());
    } catch {
      setProblem("Saved. The server does not answer; the next item is shown when it answers again.");
    }
    await new Promise((done) => setTimeout(done, 500));
  }
}

// -- What is shown --------------------------------------------------------------------------------------------------

function setStatus(message, refused = false) {
  const status = document.getElementById("status");
  status.textContent = message;
  status.classList.toggle("refused", refused);
}

function setProblem(message) {
  const line = document.getElementById("away");
  line.hidden = !message;
  if (line.textContent !== message) line.textContent = message;
}

const PLACES = ["", "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];

function showRanking(draft, tie) {
  const candidates = all(".answer");
  if (!candidates.length) return;
  const place = new Map(draft.flatMap((group, index) => group.map((position) => [position, index + 1])));
  const left = candidates.map((candidate) => Number(candidate.dataset.position)).filter((position) => !place.has(position));
  const implied = left.length === 1 ? draft.length + (tie ? 0 : 1) : 0;
  for (const candidate of candidates) {
    const position = Number(candidate.dataset.position);
    const rank = place.get(position) ?? (implied || 0);
    const tied = (draft[rank - 1]?.length ?? 0) + (left.length === 1 && rank === implied && tie ? 1 : 0) > 1;
    candidate.classList.toggle("ranked", place.has(position));
    candidate.classList.toggle("best", rank === 1 && place.has(position));
    candidate.classList.toggle("implied", !place.has(position) && implied > 0);
    candidate.querySelector(".rank").textContent = rank ? PLACES[rank] + (tied ? ", tied" : "") : "";
    candidate.querySelector(".pick").setAttribute("aria-pressed", String(place.has(position)));
  }
  const done = draft.map((group) => group.join(" = ")).join(" > ") + (tie ? " = …" : "");
  const open = draft.length ? `   left: ${left.join(" ")}` : "Press the number of the best candidate";
  const order = document.querySelector(".order");
  order.replaceChildren(element("span", "", done), element("span", "left", left.length ? open : ""));
  document.querySelector("[data-do=tie]").setAttribute("aria-pressed", String(tie));
  document.querySelector("[data-do=submit]").classList.toggle("ready", left.length < 2);
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

let base = 0; // the position of the candidate that all are compared with; 0 for none
let diffs = [];

async function compare(position) {
  const candidates = all(".answer");
  if (position > 0 && !diffs[position]) {
    try {
      const { diff, item } = document.body.dataset;
      const response = await fetch(`${diff}${position}?item=${encodeURIComponent(item)}`);
      if (!response.ok) throw new Error((await response.json()).message);
      diffs[position] = await response.json();
    } catch {
      return setStatus("No comparison: the server does not answer", true);
    }
    if (base === 0) look("diff");
  }
  base = position;
  document.body.classList.toggle("comparing", base > 0);
  document.querySelector("[data-do=diff]").setAttribute("aria-pressed", String(base > 0));
  for (const [index, candidate] of candidates.entries()) {
    const shown = candidate.querySelector(".diff");
    const compared = base > 0 && index + 1 !== base;
    candidate.classList.toggle("base", base === index + 1);
    candidate.querySelector(".code").hidden = compared;
    shown.hidden = !compared;
    if (compared) shown.replaceChildren(difference(diffs[base][index]));
  }
  setStatus(base ? `All compared with candidate ${base}. d: the next one, Esc: end` : "No comparison");
}

function difference(lines) {
  const pre = element("pre", "lines");
  for (const { op, parts } of lines) {
    const line = element("span", op === "+" ? "line added" : op === "-" ? "line removed" : "line");
    line.append(element("span", "op", op === " " ? "  " : `${op} `));
    for (const [changed, text] of parts) line.append(element(changed ? (op === "+" ? "ins" : "del") : "span", "", text));
    line.append("\n");
    pre.append(line);
  }
  if (lines.every(({ op }) => op === " ")) pre.append(element("span", "muted", "no difference"));
  return pre;
}

const looked = new Set();

function look(what) {
  if (looked.has(what)) return;
  looked.add(what);
  act("look", { what });
}

function toggle(what) {
  const shown = all(`.${what}`);
  if (!shown.length) return setStatus("This item has none", true);
  const hide = !shown[0].hidden;
  for (const part of shown) part.hidden = hide;
  document.querySelector(`[data-do=${what}]`).setAttribute("aria-pressed", String(!hide));
  if (!hide) look(what);
}

// -- Keys and buttons -----------------------------------------------------------------------------------------------

const KEYS = {
  "=": "tie", 0: "rest", u: "undo", s: "skip", d: "diff", t: "tests", w: "response", r: "revisit", "?": "help",
  Enter: "submit", Escape: "leave",
};

function run(what, position) {
  const onItem = Boolean(document.body.dataset.item);
  const help = document.getElementById("help");
  if (what === "theme") nextTheme();
  else if (what === "help") help?.open ? help.close() : help?.showModal();
  else if (what === "undo") act("undo");
  else if (!onItem && (what === "open" || what === "submit") && document.querySelector("[data-do=open]")) act("open");
  else if (!onItem && what === "revisit" && document.querySelector("[data-do=revisit]")) act("revisit");
  else if (!onItem) return;
  else if (what === "rank") act("rank", { position });
  else if (["tie", "rest", "skip", "submit"].includes(what)) act(what);
  else if (what === "diff") compare(base >= all(".answer").length ? 0 : base + 1);
  else if (what === "leave" && base > 0) compare(0);
  else if (what === "tests" || what === "response") toggle(what);
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (!document.body.dataset.act || event.target.closest("input, textarea, select")) return;
  const help = document.getElementById("help");
  if (help?.open) {
    if (event.key === "?") help.close();
    return;
  }
  if (setting.get("single", "on") === "off") return;
  // A button that Tab has focused gets Enter.
  if (event.key === "Enter" && document.activeElement?.matches("button:focus-visible, a:focus-visible")) return;
  const digit = /^[1-9]$/.test(event.key)
    ? Number(event.key)
    : !event.shiftKey && !(event.key in KEYS) && /^(Digit|Numpad)[1-9]$/.test(event.code) // AZERTY's unshifted digits
      ? Number(event.code.at(-1))
      : 0;
  const what = digit ? "rank" : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!what) return;
  event.preventDefault();
  if (!event.repeat) run(what, digit);
}

/** Prepare the current page for keys. */
function begin() {
  leaving = false;
  base = 0;
  diffs = [];
  looked.clear();
  nameTheme();
  if (!document.body.dataset.act) return;
  const single = document.getElementById("single");
  if (single) {
    single.checked = setting.get("single", "on") === "on";
    single.addEventListener("change", () => setting.set("single", single.checked ? "on" : "off"));
  }
  if (document.body.dataset.draft) showRanking(JSON.parse(document.body.dataset.draft), "tie" in document.body.dataset);
  document.querySelector("h1").focus({ preventScroll: true });
}

function start() {
  for (const sign of ["keydown", "pointerdown", "pointermove", "wheel", "scroll"]) {
    addEventListener(sign, () => attend(), { capture: true, passive: true });
  }
  document.addEventListener("visibilitychange", () => attend(document.hidden));
  document.addEventListener("keydown", key);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    run(button.dataset.do, Number(button.dataset.position));
    if (event.detail) button.blur(); // after a mouse click, Enter still submits
  });
  begin();
  if (queue.length) send();
}

document.addEventListener("DOMContentLoaded", start);
