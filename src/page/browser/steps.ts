import { element } from "./elements.ts";

const titles = {
  code: "Code",
  seat: "Room",
  peer: "Other side",
  offer: "Offer",
  answer: "Answer",
  candidates: "ICE candidates",
  ice: "ICE checks",
  path: "Path",
  roundTrip: "Round trip",
} as const;

/** Read aloud: the dots cannot be heard. */
const words = { waiting: "not yet", active: "under way", done: "done", failed: "failed" };

type Name = keyof typeof titles;
export type Step = readonly [state: keyof typeof words, detail?: string];
/** How far each step between a code and a connection got. */
export type Steps = Readonly<Record<Name, Step>>;

const names = Object.keys(titles) as Name[];
const items = new Map(names.map((name) => [name, newItem(titles[name])]));
element("steps", HTMLOListElement).append(...Array.from(items.values(), ({ item }) => item));

/** Shows these steps in the panel; the others stay as they are. */
export function showSteps(steps: Partial<Steps>): void {
  for (const name of names) {
    const found = items.get(name);
    const step = steps[name];
    if (found === undefined || step === undefined) continue;
    const [state, detail = ""] = step;
    found.item.dataset["state"] = state;
    found.state.textContent = `: ${words[state]}`;
    found.detail.textContent = detail;
    if (state === "active" || state === "failed") found.item.setAttribute("aria-current", "step");
    else found.item.removeAttribute("aria-current");
  }
}

export function resetSteps(): void {
  showSteps(Object.fromEntries(names.map((name) => [name, ["waiting"]])));
}

function newItem(title: string) {
  const item = document.createElement("li");
  item.className = "step";
  const part = (className: string, text = "") => {
    const span = document.createElement("span");
    span.className = className;
    span.textContent = text;
    item.append(span);
    return span;
  };
  part("title", title);
  return { item, state: part("hidden"), detail: part("detail") };
}
