// The dashboard's script: keeps the parts up to date, sends commands, asks the three sides.
"use strict";

const at = (id) => document.getElementById(id);
const say = (words) => { at("part-say").textContent = words; };

// Parts that the event stream replaces. Focus and opened details stay where they were.

function replace(name, text) {
  if (name === "title") { document.title = text; return; }
  const part = at(`part-${name}`);
  if (!part) return;
  if (name === "say") {
    if (part.textContent !== text) part.textContent = text;
    return;
  }
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? stops(part).indexOf(focused) : -1;
  const opened = [...part.querySelectorAll("details[open]")].map((one) => one.id);
  part.innerHTML = text; // drawn by the service, which escapes what is not its own
  for (const id of opened) { const one = id && at(id); if (one) one.open = true; }
  const again = focused && (at(focused.id) || stops(part)[place]);
  if (again) again.focus({ preventScroll: true });
}

// Where the keyboard can stop: tables and summaries have no names of their own.

function stops(part) {
  return [...part.querySelectorAll("a, button, input, summary, [tabindex]")];
}

const AGAIN = 1000; // milliseconds

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("parts", (event) => {
    at("lost").hidden = true;
    for (const [name, text] of Object.entries(JSON.parse(event.data))) replace(name, text);
  });
  events.onopen = () => { at("lost").hidden = true; };
  events.onerror = () => {
    at("lost").hidden = false;
    // A browser tries again by itself, except after an answer that is no stream: the refusal of
    // a service that is going down, or of one with too many readers.
    if (events.readyState === EventSource.CLOSED) setTimeout(comeBack, AGAIN);
  };
}

// A private service tells nothing to a browser whose session has ended: the page asks for a token.

async function comeBack() {
  const told = await send("GET", "/api/status");
  if (told.status === 401) location.reload();
  else listen();
}

// Requests. Every refusal has a sentence for people.

async function send(method, path, body) {
  const headers = { "X-Holdfast": "page" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method, headers, credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    return new Response(JSON.stringify({ detail: "The service does not answer." }), { status: 599 });
  }
}

async function words(response) {
  try {
    const told = await response.json();
    return told.detail || told.words || response.statusText;
  } catch {
    return response.statusText || "It was refused.";
  }
}

// Signing in: the token is sent once, and a cookie that scripts cannot read comes back.

let afterwards = null;

function askForToken(then) {
  afterwards = then || null;
  at("sign-wrong").textContent = "";
  at("token").value = "";
  at("sign-dialog").showModal();
  at("token").focus();
}

async function signIn(event) {
  event.preventDefault();
  const response = await send("POST", "/session", { token: at("token").value });
  if (!response.ok) {
    at("sign-wrong").textContent = await words(response);
    at("token").select();
    return;
  }
  at("token").value = "";
  at("sign-dialog").close();
  if (document.body.classList.contains("shut")) { location.reload(); return; }
  const { who } = await response.json();
  signedIn(who);
  if (afterwards) { const then = afterwards; afterwards = null; then(); }
}

function signedIn(who) {
  const place = document.querySelector(".who");
  place.replaceChildren();
  const name = document.createElement("span");
  name.className = "quiet"; name.id = "who"; name.textContent = `signed in by ${who}`;
  const out = document.createElement("button");
  out.type = "button"; out.id = "sign-out"; out.className = "link"; out.textContent = "Sign out";
  place.append(name, out);
}

async function signOut() {
  await send("DELETE", "/session");
  location.reload();
}

// Commands: told first what will happen, then asked.

let chosen = null;

function barred({ label, why }) {
  if (why) tell(`${label} is not possible now: ${why}.`, true);
  return Boolean(why);
}

function choose(button) {
  const { command, confirm, label, tells, stage, early } = button.dataset;
  if (barred(button.dataset)) return;
  chosen = { command, confirm, label, from: button.id };
  if (!confirm && command !== "plan") { carryOut({}); return; }
  const typed = command === "finish", staged = command === "stage";
  at("confirm-title").textContent = `${label}?`;
  at("confirm-tells").textContent = tells;
  at("confirm-do").textContent = label;
  at("confirm-do").classList.toggle("grave", command === "finish" || command === "roll-back");
  at("confirm-wrong").textContent = "";
  at("words").value = "";
  at("words-wanted").textContent = confirm;
  at("words-field").hidden = !typed;
  const leaves = staged || command === "cut-over" || command === "finish";
  offer("leave-behind", leaves && at("do-retry"));
  offer("early", early);
  at("stage-field").hidden = at("stage-field").disabled = !staged;
  if (staged) showStage(stage ? JSON.parse(stage) : { share: 0, tenants: [], where: {} });
  at("confirm-dialog").showModal();
  const first = typed ? at("words") : staged ? at("stage-share") : at("confirm-cancel");
  first.focus();
}

function offer(box, wanted) {
  at(`${box}-field`).hidden = !wanted;
  at(box).checked = false;
}

// Who reads the new side: as it is now, to be changed.

function showStage({ share, tenants, where }) {
  at("stage-share").value = share ? Number((100 * share).toPrecision(12)) : "";
  at("stage-tenants").value = tenants.join("\n");
  at("stage-where").value = Object.keys(where).length ? JSON.stringify(where) : "";
}

function typedStage() {
  const lines = at("stage-tenants").value.split("\n").map((line) => line.trim());
  const where = JSON.parse(at("stage-where").value.trim() || "{}");
  if (!where || typeof where !== "object" || Array.isArray(where)) throw new TypeError("no filter");
  const share = Number((Number(at("stage-share").value) / 100).toPrecision(12));
  return { share, tenants: lines.filter((line) => line), where };
}

const sent = new Set(); // commands that are not answered yet

async function confirmed(event) {
  event.preventDefault();
  const { command } = chosen;
  if (sent.has(command)) return; // a key was pressed twice
  const body = {
    confirm: chosen.command === "finish" ? at("words").value.trim() : chosen.confirm,
    leave_behind_quarantined: at("leave-behind").checked,
    early: at("early").checked,
  };
  try {
    if (chosen.command === "stage") Object.assign(body, typedStage());
  } catch {
    at("confirm-wrong").textContent = 'The filter has to be JSON, such as {"lang": "en"}.';
    at("stage-where").focus();
    return;
  }
  sent.add(command);
  await carryOut(body);
  sent.delete(command);
}

// The button that was pressed may have been drawn anew meanwhile, so the browser has lost it. This
// is told a moment after the dialog is shut: whoever has gone on by then is not called back.

function giveBack() {
  const here = document.activeElement;
  const lost = !here || here === document.body || at("confirm-dialog").contains(here);
  const back = lost && chosen && at(chosen.from);
  if (back) back.focus({ preventScroll: true });
}

async function carryOut(body) {
  const { command, label } = chosen;
  say(`${label} …`);
  const response = await send("POST", `/api/commands/${command}`, { wait: 60, ...body });
  if (response.status === 401) { at("confirm-dialog").close(); askForToken(() => carryOut(body)); return; }
  const told = await words(response);
  if (response.ok) {
    at("confirm-dialog").close();
  } else if (at("confirm-dialog").open) {
    at("confirm-wrong").textContent = told;
  }
  tell(told, response.ok);
}

function tell(told, well) {
  say(told);
  const place = at("told");
  place.textContent = told;
  place.className = well ? "note" : "fail";
}

async function throttle(event) {
  event.preventDefault();
  if (barred(at("do-throttle").dataset)) return;
  chosen = { command: "throttle", label: "Throttle", from: "rate" };
  await carryOut({ items_per_second: Number(at("rate").value) || 0 });
}

let asked = 0;

async function ask(event) {
  event.preventDefault();
  const place = at("answers"), turn = ++asked;
  place.setAttribute("aria-busy", "true");
  const response = await send("POST", "/compare", { text: at("question").value, k: 8 });
  const told = response.ok ? await response.text() : await words(response);
  if (turn !== asked) return; // another question was asked meanwhile
  if (response.ok) {
    place.innerHTML = told; // drawn by the service, as the parts are
  } else {
    const line = document.createElement("p");
    line.className = "fail";
    line.textContent = told;
    place.replaceChildren(line);
  }
  place.setAttribute("aria-busy", "false");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.command) choose(button);
  else if (button.dataset.close) at(button.dataset.close).close();
  else if (button.id === "sign-in") askForToken();
  else if (button.id === "sign-out") signOut();
});
at("sign-form").addEventListener("submit", signIn);
at("confirm-form").addEventListener("submit", confirmed);
at("confirm-dialog").addEventListener("close", giveBack);
if (document.body.classList.contains("shut")) {
  askForToken();
} else {
  at("throttle").addEventListener("submit", throttle);
  at("ask").addEventListener("submit", ask);
  listen();
}
