import { generate } from "lean-qr";

const svgNamespace = "http://www.w3.org/2000/svg";

/** The text as a QR code (ISO/IEC 18004) that scales: one path of a row's runs, in `currentColor`. */
export function qrCode(text: string): SVGSVGElement {
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
