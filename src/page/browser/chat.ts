import { element } from "./elements.ts";

/** The messages of both sides. */
export class Chat {
  private readonly messages = element("messages", HTMLOListElement);
  private readonly form = element("say", HTMLFormElement);
  private readonly field = element("text", HTMLInputElement);

  /** `send` answers which way a message takes. */
  constructor(send: (text: string) => "direct" | "mail") {
    // So that the arrow keys scroll it.
    this.messages.tabIndex = 0;
    this.form.onsubmit = (event) => {
      event.preventDefault();
      const text = this.field.value.trim();
      if (text === "") return;
      this.field.value = "";
      this.add(text, true, send(text) === "mail");
    };
  }

  received(text: string, byMail: boolean): void {
    this.add(text, false, byMail);
  }

  clear(): void {
    this.messages.replaceChildren();
  }

  private add(text: string, mine: boolean, byMail: boolean): void {
    const item = document.createElement("li");
    item.classList.toggle("mine", mine);
    const who = document.createElement("span");
    who.className = "hidden";
    who.textContent = mine ? "You: " : "They: ";
    item.append(who, text);
    if (byMail) {
      const note = document.createElement("small");
      note.textContent = mine ? "Left in their mailbox" : "From your mailbox";
      item.append(note);
    }
    this.messages.append(item);
    this.messages.scrollTop = this.messages.scrollHeight;
  }
}
