import { generate } from "lean-qr";
import { minutes } from "./amounts.ts";
import { element } from "./elements.ts";

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
    // A phone that scans localhost looks for the page on itself.
    const far = isNear ? lanLink(link) : link;
    const qr = element("qr", HTMLDivElement);
    qr.hidden = far === undefined;
    element("no-qr", HTMLParagraphElement).hidden = far !== undefined;
    element("lan", HTMLParagraphElement).hidden = far === undefined || far === link;
    element("lan-link", HTMLSpanElement).textContent = far ?? "";
    if (far !== undefined) qr.replaceChildren(qrCode(far));
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

/** The link by this machine's address in its network; undefined where the server told none. */
function lanLink(link: string): string | undefined {
  const host = document.querySelector("meta[name=lan]")?.getAttribute("content");
  if (!host) return undefined;
  const url = new URL(link);
  url.hostname = host;
  return url.href;
}

const svgNamespace = "http://www.w3.org/2000/svg";

/** The text as a QR code (ISO/IEC 18004) that scales: one path of a row's runs, in `currentColor`. */
function qrCode(text: string): SVGSVGElement {
  const code = generate(text);
  const path = document.createElementNS(svgNamespace, "path");
  path.setAttribute(
    "d",
    runs(code.size, (x, y) => code.get(x, y)),
  );
  path.setAttribute("fill", "currentColor");
  const svg = document.createElementNS(svgNamespace, "svg");
  svg.setAttribute("viewBox", `0 0 ${code.size} ${code.size}`);
  svg.setAttribute("shape-rendering", "crispEdges");
  svg.append(path);
  return svg;
}

function runs(size: number, isDark: (x: number, y: number) => boolean): string {
  let path = "";
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (!isDark(x, y)) continue;
      const start = x;
      while (x < size && isDark(x, y)) x++;
      path += `M${start} ${y}h${x - start}v1H${start}z`;
    }
  }
  return path;
}
