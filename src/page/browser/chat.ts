import { element } from "./elements.ts";

/** A message of this side that was sent directly, until the other side confirms it. */
export interface Sent {
  delivered(isDelivered: boolean): void;
}

/** The messages of both sides. */
export class Chat {
  private readonly messages = element("messages", HTMLOListElement);
  private readonly form = element("say", HTMLFormElement);
  private readonly field = element("text", HTMLInputElement);

  /** `send` returns how the message is sent, and calls `sent` later. */
  constructor(send: (text: string, sent: Sent) => "direct" | "mail") {
    // So that the arrow keys can scroll it.
    this.messages.tabIndex = 0;
    this.form.onsubmit = (event) => {
      event.preventDefault();
      const text = this.field.value.trim();
      if (text === "") return;
      this.field.value = "";
      const item = this.add(text, true);
      const sent: Sent = {
        delivered: (isDelivered) => note(item, isDelivered ? "" : "Not delivered"),
      };
      if (send(text, sent) === "mail") note(item, "Left in their mailbox");
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
