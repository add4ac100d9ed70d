import { size, span } from "./amounts.ts";
import { element, setHidden, within } from "./elements.ts";
import { type FileHeader, type Progress, receiveFile, sendFile } from "./file-channel.ts";

/** How often numbers change on the screen. */
const showEveryMs = 200;

/** The list of files that are sent and received. */
export class Transfers {
  private readonly list = element("transfers", HTMLUListElement);
  private readonly empty = element("no-files", HTMLParagraphElement);
  private readonly template = element("transfer", HTMLTemplateElement);

  send(file: File, channel: RTCDataChannel): void {
    const row = this.add(file, "Sending", () => channel.close());
    sendFile(channel, file, row);
  }

  receive(channel: RTCDataChannel): void {
    receiveFile(channel, (header) => this.add(header, "Receiving", () => channel.close()));
  }

  clear(): void {
    for (const { href } of this.list.querySelectorAll("a")) URL.revokeObjectURL(href);
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  private add(header: FileHeader, doing: string, stop: () => void) {
    const item = this.template.content.cloneNode(true) as DocumentFragment;
    const row = new Row(within(item, "li", HTMLLIElement), header, doing, stop);
    this.list.prepend(item);
    this.empty.hidden = true;
    return row;
  }
}

/** One file: how much has arrived, how fast, and how it ended. */
class Row implements Progress {
  private readonly startedAt = performance.now();
  private shownAt = 0;
  private cancelled = false;

  constructor(
    private readonly item: HTMLLIElement,
    private readonly header: FileHeader,
    private readonly doing: string,
    stop: () => void,
  ) {
    within(item, ".name", HTMLElement).textContent = header.name;
    const bar = within(item, "progress", HTMLProgressElement);
    bar.setAttribute("aria-label", `${doing} ${header.name}`);
    const button = within(item, ".stop", HTMLButtonElement);
    button.setAttribute("aria-label", `Cancel ${header.name}`);
    button.onclick = () => {
      this.cancelled = true;
      stop();
    };
    this.show(0, doing, `0 of ${size(header.size)}`);
  }

  moved(bytes: number): void {
    const now = performance.now();
    if (now - this.shownAt < showEveryMs) return;
    this.shownAt = now;
    const perMs = bytes / Math.max(1, now - this.startedAt);
    const left = perMs > 0 ? `, ${span((this.header.size - bytes) / perMs)} left` : "";
    const words = `${this.doing} at ${size(perMs * 1000)}/s${left}`;
    this.show(bytes, words, `${size(bytes)} of ${size(this.header.size)}`);
  }

  done(file?: Blob): void {
    if (file) this.offer(file);
    const ms = performance.now() - this.startedAt;
    const speed = size((this.header.size / Math.max(1, ms)) * 1000);
    const done = this.doing === "Sending" ? "Sent" : "Received";
    this.end("done", `${done} in ${span(ms)}, ${speed}/s`);
    this.show(this.header.size, undefined, size(this.header.size));
  }

  failed(): void {
    this.end(
      "failed",
      this.cancelled ? "Cancelled" : "Cancelled there, or the connection was lost",
    );
  }

  private offer(file: Blob): void {
    const save = within(this.item, ".save", HTMLAnchorElement);
    save.href = URL.createObjectURL(file);
    save.download = this.header.name;
    save.setAttribute("aria-label", `Save ${this.header.name}`);
    save.hidden = false;
  }

  private end(state: "done" | "failed", words: string): void {
    this.item.dataset["state"] = state;
    within(this.item, ".state", HTMLElement).textContent = words;
    const save = within(this.item, ".save", HTMLAnchorElement);
    const next = save.hidden ? element("room-title", HTMLHeadingElement) : save;
    setHidden(within(this.item, ".stop", HTMLButtonElement), true, next);
  }

  private show(bytes: number, words: string | undefined, amount: string): void {
    const bar = within(this.item, "progress", HTMLProgressElement);
    bar.value = this.header.size === 0 ? 1 : bytes / this.header.size;
    within(this.item, ".amount", HTMLElement).textContent = amount;
    if (words !== undefined) within(this.item, ".state", HTMLElement).textContent = words;
  }
}
