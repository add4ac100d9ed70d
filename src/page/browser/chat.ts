import { element } from "./elements.ts";

/** Puts a note below a message; an empty text removes it. */
export type Mark = (note: string) => void;

/** The messages of both sides. */
export class Chat {
  private readonly messages = element("messages", HTMLOListElement);
  private readonly form = element("say", HTMLFormElement);
  private readonly field = element("text", HTMLInputElement);

  constructor(send: (text: string, mark: Mark) => void) {
    // So that the arrow keys can scroll it.
    this.messages.tabIndex = 0;
    this.form.onsubmit = (event) => {
      event.preventDefault();
      const text = this.field.value.trim();
      if (text === "") return;
      this.field.value = "";
      const item = this.add(text, true);
      send(text, (words) => note(item, words));
    };
  }

  received(text: string, byMail: boolean): void {
    note(this.add(text, false), byMail ? "From your mailbox" : "");
  }

  /** Whether messages can be written. */
  set enabled(enabled: boolean) {
    this.field.disabled = !enabled;
    element("send", HTMLButtonElement).disabled = !enabled;
  }

  clear(): void {
    this.messages.replaceChildren();
  }

  private add(text: string, mine: boolean): HTMLLIElement {
    const item = document.createElement("li");
    item.classList.toggle("mine", mine);
    const who = document.createElement("span");
    who.className = "hidden";
    who.textContent = mine ? "You: " : "They: ";
    item.append(who, text);
    this.messages.append(item);
    this.messages.scrollTop = this.messages.scrollHeight;
    return item;
  }
}

function note(item: HTMLLIElement, text: string): void {
  item.querySelector("small")?.remove();
  if (text === "") return;
  const small = document.createElement("small");
  small.textContent = text;
  item.append(small);
}
