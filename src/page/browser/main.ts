import { mint, redeem, type Side } from "../../client/client.ts";
import { faultInWords } from "./advice.ts";
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

element("where", HTMLParagraphElement).textContent = location.host;

// ---- one view at a time ----

function view(name: "start" | "waiting" | "room"): void {
  for (const id of ["start", "waiting", "room"]) {
    element(id, HTMLElement).hidden = id !== name;
  }
  if (name === "waiting") element("waiting-title", HTMLHeadingElement).focus();
  if (name === "room") element("room-title", HTMLHeadingElement).focus();
}

/** Back to the beginning; `why` when this was not the visitor's choice. */
function start(why = ""): void {
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

async function create(): Promise<void> {
  steps.set("code", "active", "Asking for one");
  const { code, appID, expiresAt, answeredAt } = await mint(url);
  enter({ ...newSession(appID, "A", answeredAt), code, expiresAt });
}

async function join(code: string): Promise<void> {
  steps.set("code", "active", "Redeeming it");
  const { appID, answeredAt } = await redeem(url, code);
  enter(newSession(appID, "B", answeredAt));
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
async function attempt(step: () => Promise<void>): Promise<void> {
  fault("");
  try {
    await step();
  } catch (error) {
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
  const code = field.value.replaceAll(/\s/g, "");
  field.value = "";
  if (/^[0-9]{4,8}$/.test(code)) return void attempt(() => join(code));
  fault("A code has 4 to 8 digits.");
  field.focus();
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

const linked = /^#([0-9]{4,8})$/.exec(location.hash)?.[1];
if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
const saved = savedSession();
if (linked !== undefined) void attempt(() => join(linked));
else if (saved !== undefined) enter(saved);
