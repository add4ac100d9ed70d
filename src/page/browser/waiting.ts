import { minutes } from "./amounts.ts";
import { element } from "./elements.ts";
import { qrCode } from "./qr.ts";

/** The code to tell, with its link and the time it has left. */
export class Waiting {
  private readonly left = element("time-left", HTMLSpanElement);
  private timer: ReturnType<typeof setInterval> | undefined;

  /** `expiresAt` is by this device's clock; `expired` is called once, at that time. */
  show(code: string, link: string, expiresAt: number, expired: () => void): void {
    const output = element("code", HTMLOutputElement);
    output.textContent = code;
    output.classList.toggle("long", code.length > 5);
    // A screen reader says digits, not a number.
    output.setAttribute("aria-label", code.split("").join(" "));
    const anchor = element("link", HTMLAnchorElement);
    anchor.href = link;
    anchor.textContent = link.replace(/^https?:\/\//, "");
    const isNear = /^(?:(?:.+\.)?localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);
    const qr = element("qr", HTMLDivElement);
    // A phone that scans localhost looks for the page on itself.
    qr.hidden = isNear;
    element("no-qr", HTMLParagraphElement).hidden = !isNear;
    if (!isNear) qr.replaceChildren(qrCode(link));
    const copy = element("copy", HTMLButtonElement);
    copy.textContent = "Copy link";
    // Pages that came over plain HTTP may not write to the clipboard.
    copy.hidden = navigator.clipboard === undefined;
    copy.onclick = async () => {
      await navigator.clipboard.writeText(link);
      copy.textContent = "Copied";
    };
    this.hide();
    const tick = () => {
      const leftMs = expiresAt - Date.now();
      this.left.textContent = `Good for ${minutes(leftMs)} more, and once`;
      if (leftMs > 0) return;
      this.hide();
      expired();
    };
    this.timer = setInterval(tick, 1_000);
    tick();
  }

  hide(): void {
    clearInterval(this.timer);
  }
}
