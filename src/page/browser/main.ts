import { faultInWords } from "./advice.ts";
import { element } from "./elements.ts";
import { type Entrance, Room } from "./room.ts";
import { type Session, savedSession, saveSession } from "./session.ts";
import { resetSteps, type Step, showSteps } from "./steps.ts";
import { hideCode, showCode } from "./waiting.ts";

/** The server that this page came from, with the path that it is below. */
const url = (location.origin + location.pathname).replace(/\/+$/, "");
const relayOnly = new URLSearchParams(location.search).has("relay");

const field = element("code-field", HTMLInputElement);
const file = element("file", HTMLInputElement);
const drop = element("drop", HTMLDivElement);
let room: Room | undefined;
/** Counts attempts to enter a room: the result of an earlier one is ignored. */
let latest = 0;

element("where", HTMLParagraphElement).textContent = location.host;
resetSteps();

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
  hideCode();
  saveSession(undefined);
  resetSteps();
  const notice = element("start-notice", HTMLParagraphElement);
  notice.hidden = why === "";
  notice.textContent = why;
  view("start");
}

/** The first step of the panel. */
function codeStep(...code: Step): void {
  showSteps({ code });
}

function fault(words: string): void {
  element("start-error", HTMLParagraphElement).textContent = words;
  field.toggleAttribute("aria-invalid", words !== "");
}

// ---- from a code to a room ----

/** A failure is shown beside the field for a code. */
async function enter(entrance: Entrance): Promise<void> {
  fault("");
  const mine = ++latest;
  room?.close();
  const entered = new Room({ url, relayOnly, paired, ended: start });
  room = entered;
  const isNew = !("session" in entrance);
  if (isNew) codeStep("active", entrance.code ? "Redeeming it" : "Asking for one");
  else show(entrance.session);
  try {
    const session = await entered.enter(entrance);
    if (mine === latest && isNew) show(session);
  } catch (error) {
    if (mine !== latest) return;
    start();
    codeStep("failed", "Refused");
    fault(faultInWords(error));
    field.focus();
  }
}

/** The room, or the code of one that waits for the other side. */
function show(session: Session): void {
  saveSession(session);
  const { code, expiresAtMs, side } = session;
  if (code === undefined || expiresAtMs === undefined) {
    codeStep("done", side === "A" ? "Used" : "Redeemed here");
    return view("room");
  }
  codeStep("done", "Made here");
  const link = `${url}/${relayOnly ? "?relay" : ""}#${code}`;
  showCode(code, link, expiresAtMs, () => start("Your code has expired. Create a new one."));
  view("waiting");
}

function paired(): void {
  const session = savedSession();
  if (session?.code === undefined) return;
  hideCode();
  const { code: _, expiresAtMs: __, ...rest } = session;
  show(rest);
  codeStep("done", "Redeemed there");
}

/** Invisible characters, blanks and dashes; U+2212 is the minus, U+30FC is on Japanese keyboards. */
const filler =
  /[\s\p{Cc}\p{Cf}\p{M}\p{Pd}\p{Default_Ignorable_Code_Point}\u2212\u2800\u30fc\uff70]/gu;

/**
 * The code in a text that was typed or pasted: 4 to 8 digits of any script, perhaps in groups or at the
 * end of a link to this page. Undefined for anything else.
 */
function readCode(text: string): string | undefined {
  const written = /^\s*\S*#([^#]*)$/u.exec(text)?.[1] ?? text;
  const code = written.replaceAll(filler, "").replaceAll(/\p{Nd}/gu, digitValue);
  return /^[0-9]{4,8}$/.test(code) ? code : undefined;
}

/** Each script has its ten digits in one row, also where rows touch (Unicode, section 4.6). */
function digitValue(digit: string): string {
  const at = digit.codePointAt(0) ?? 0;
  let first = at;
  while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--;
  return String((at - first) % 10);
}

// ---- buttons and fields ----

element("create", HTMLButtonElement).onclick = () => void enter({});
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
  void enter({ code });
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

// ---- start ----

/** Takes the code out of the page's address. Undefined when it has none. */
function linkedCode(): string | undefined {
  const { hash, pathname, search } = location;
  if (hash !== "") history.replaceState(null, "", pathname + search);
  try {
    return readCode(decodeURIComponent(hash));
  } catch {
    return undefined;
  }
}

/** A link that is opened in this tab leads to another room, unless its code was made here. */
addEventListener("hashchange", () => {
  const code = linkedCode();
  if (code === undefined || code === savedSession()?.code) return;
  start();
  void enter({ code });
});

const linked = linkedCode();
const saved = savedSession();
if (linked !== undefined) void enter({ code: linked });
else if (saved !== undefined) void enter({ session: saved });
