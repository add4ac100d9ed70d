import { generate } from "lean-qr";
import { toSvg } from "lean-qr/extras/svg";
import { minutes } from "./amounts.ts";
import { element } from "./elements.ts";

let timer: ReturnType<typeof setInterval> | undefined;

/**
 * Shows the code for the other side, with its link and the time it has left. `expiresAtMs` is by this
 * device's clock; `expired` is called once, at that time.
 */
export function showCode(
  code: string,
  link: string,
  expiresAtMs: number,
  expired: () => void,
): void {
  const output = element("code", HTMLOutputElement);
  output.textContent = code;
  output.classList.toggle("long", code.length > 5);
  // A screen reader says digits, not a number.
  output.setAttribute("aria-label", code.split("").join(" "));
  const anchor = element("link", HTMLAnchorElement);
  anchor.href = link;
  anchor.textContent = link.replace(/^https?:\/\//, "");
  const isLocal = /^(?:(?:.+\.)?localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);
  // A phone that scans localhost looks for the page on itself.
  const scanned = isLocal ? lanLink(link) : link;
  const qr = element("qr", HTMLDivElement);
  qr.hidden = scanned === undefined;
  element("no-qr", HTMLParagraphElement).hidden = scanned !== undefined;
  element("lan", HTMLParagraphElement).hidden = scanned === undefined || scanned === link;
  element("lan-link", HTMLSpanElement).textContent = scanned ?? "";
  if (scanned !== undefined) {
    qr.replaceChildren(toSvg(generate(scanned), document, { on: "currentColor", pad: 0 }));
  }
  const copy = element("copy", HTMLButtonElement);
  copy.textContent = "Copy link";
  // Pages that came over plain HTTP may not write to the clipboard.
  copy.hidden = navigator.clipboard === undefined;
  copy.onclick = async () => {
    await navigator.clipboard.writeText(link);
    copy.textContent = "Copied";
  };
  hideCode();
  const tick = () => {
    const leftMs = expiresAtMs - Date.now();
    const words = `Expires in ${minutes(leftMs)}. Works once.`;
    element("time-left", HTMLSpanElement).textContent = words;
    if (leftMs > 0) return;
    hideCode();
    expired();
  };
  timer = setInterval(tick, 1_000);
  tick();
}

/** Its time does not matter any more. */
export function hideCode(): void {
  clearInterval(timer);
}

/** The link by this machine's address in its network; undefined unless the server gave that address. */
function lanLink(link: string): string | undefined {
  const host = document.querySelector("meta[name=lan]")?.getAttribute("content");
  if (!host) return undefined;
  const url = new URL(link);
  url.hostname = host;
  return url.href;
}
