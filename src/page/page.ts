import { bundle } from "./bundle.ts" with { type: "macro" };

const { html, css, js, client, peer } = bundle();

/**
 * The page in one document. Its policy forbids everything, then allows this script and this style by
 * their hash (CSP Level 3, section 6.7.3.3): nothing else can load or run. `connect-src 'self'` covers
 * the server's WebSocket too. `client` and `peer` are modules that other pages can import.
 */
export const page = {
  client,
  peer,
  html: html
    .replace("<!-- style -->", () => `<style>${css}</style>`)
    .replace("<!-- script -->", () => `<script type="module">${js}</script>`),
  policy: [
    "default-src 'none'",
    `script-src '${sha256(js)}'`,
    `style-src '${sha256(css)}'`,
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
};

function sha256(text: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
