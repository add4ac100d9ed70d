import { mint, redeem, type Side } from "../../client/client.ts";
import { faultInWords } from "./advice.ts";
import { readCode } from "./code.ts";
import { element } from "./elements.ts";
import { Room } from "./room.ts";
import { clockAheadMs, type Session, savedSession, saveSession } from "./session.ts";
import { Steps } from "./steps.ts";
import { Waiting } from "./waiting.ts";

/** The server that this page came from: whatever path it lies below, the page is all there is of it. */
const url = (location.origin + location.pathname).replace(/\/+$/, "");
const relayOnly = new URLSearchParams(location.search).has("relay");

const steps = new Steps();
const waiting = new Waiting();
const field = element("code-field", HTMLInputElement);
const file = element("file", HTMLInputElement);
const drop = element("drop", HTMLDivElement);
let room: Room | undefined;
/** What was begun last: what an earlier attempt comes to is of no use any more. */
let latest = 0;

element("where", HTMLParagraphElement).textContent = location.host;

// ---- one view at a time ----

function view(name: "start" | "waiting" | "room"): void {
  for (const id of ["start", "waiting", "room"]) {
    element(id, HTMLElement).hidden = id !== name;
  }
  element(`${name}-title`, HTMLHeadingElement).focus();
}

/** Back to the beginning; `why` when this was not the visitor's choice. */
function start(why = ""): void {
  latest++;
  room?.close();
  room = undefined;
  waiting.hide();
  saveSession(undefined);
  steps.reset();
  const notice = element("start-notice", HTMLParagraphElement);
  notice.hidden = why === "";
  notice.textContent = why;
  view("start");
}

function fault(words: string): void {
  element("start-error", HTMLParagraphElement).textContent = words;
  field.toggleAttribute("aria-invalid", words !== "");
}

// ---- from a code to a room ----

async function create(): Promise<Session> {
  steps.set("code", "active", "Asking for one");
  const { code, appID, expiresAt, answeredAt } = await mint(url);
  return { ...newSession(appID, "A", answeredAt), code, expiresAt };
}

async function join(code: string): Promise<Session> {
  steps.set("code", "active", "Redeeming it");
  const { appID, answeredAt } = await redeem(url, code);
  return newSession(appID, "B", answeredAt);
}

function enter(session: Session): void {
  saveSession(session);
  const { code, expiresAt, clockAheadMs: aheadMs = 0 } = session;
  const waits = code !== undefined && expiresAt !== undefined;
  steps.set("code", "done", waits ? "Made here" : session.side === "A" ? "Used" : "Redeemed here");
  room = new Room({ url, session, steps, relayOnly, paired, ended: start });
  if (!waits) return view("room");
  const link = `${url}/${relayOnly ? "?relay" : ""}#${code}`;
  waiting.show(code, link, Date.parse(expiresAt) + aheadMs, () =>
    start("Your code has expired. Create a new one."),
  );
  view("waiting");

  function paired(): void {
    waiting.hide();
    if (waits) steps.set("code", "done", "Redeemed there");
    const { code: _, expiresAt: __, ...rest } = savedSession() ?? session;
    saveSession(rest);
    view("room");
  }
}

/** Shows what goes wrong on the way, beside the field for a code. */
async function attempt(step: () => Promise<Session>): Promise<void> {
  fault("");
  const mine = ++latest;
  try {
    const session = await step();
    if (mine === latest) enter(session);
  } catch (error) {
    if (mine !== latest) return;
    steps.set("code", "failed", "Refused");
    fault(faultInWords(error));
    view("start");
    field.focus();
  }
}

/** Who this tab is, for as long as it is in the room. */
function newSession(appId: string, side: Side, answeredAt: number): Session {
  const random = crypto.getRandomValues(new Uint32Array(4));
  const sid = Array.from(random, (n) => n.toString(36)).join("");
  return { appId, side, sid, deliveredUpTo: 0, clockAheadMs: clockAheadMs(answeredAt) };
}

// ---- what people do ----

element("create", HTMLButtonElement).onclick = () => void attempt(create);
element("cancel", HTMLButtonElement).onclick = () => start();
element("leave", HTMLButtonElement).onclick = () => start();

element("enter", HTMLFormElement).onsubmit = (event) => {
  event.preventDefault();
  const code = readCode(field.value);
  if (code === undefined) {
    fault("A code has 4 to 8 digits.");
    return field.select();
  }
  field.value = "";
  void attempt(() => join(code));
};

element("choose", HTMLButtonElement).onclick = () => file.click();
file.onchange = () => {
  room?.sendFiles(file.files ?? []);
  file.value = "";
};

drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add("over");
};
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  room?.sendFiles(event.dataTransfer?.files ?? []);
};

// ---- where it begins ----

/** The code in the page's address, which then disappears from it. Undefined when it has none. */
function linkedCode(): string | undefined {
  const { hash, pathname, search } = location;
  if (hash !== "") history.replaceState(null, "", pathname + search);
  try {
    return readCode(decodeURIComponent(hash));
  } catch {
    return undefined;
  }
}

/** A link that is opened in this tab leads to another room, unless it is the one that was made here. */
addEventListener("hashchange", () => {
  const code = linkedCode();
  if (code === undefined || code === savedSession()?.code) return;
  start();
  void attempt(() => join(code));
});

const linked = linkedCode();
const saved = savedSession();
if (linked !== undefined) void attempt(() => join(linked));
else if (saved !== undefined) enter(saved);
