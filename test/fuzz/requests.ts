import type { Chance } from "../support/chance.ts";
import { anyValue, broken, nested, object } from "./json.ts";

/** One thing that a client may send to an HTTP port. */
export interface RequestCase {
  readonly what: string;
  readonly bytes: Buffer;
  /** A whole request: an answer is due. Of others the server may wait for the rest. */
  readonly whole: boolean;
  /** It asks for nothing that succeeds: a 2xx is wrong. */
  readonly hopeless: boolean;
  /** Its answer has no body. */
  readonly head: boolean;
}

const posts = ["/rendezvous/code", "/rendezvous/redeem", "/rendezvous/ice"] as const;
const gets = ["/", "/healthz", "/readyz", "/metrics", "/ws", "/openapi.json", "/nowhere"] as const;
const methods = "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT get PROPFIND X".split(" ");

/** Addresses as proxies and clients write them, and what is none. */
const addresses = [
  ..."203.0.113.1 203.0.113.2:80 198.51.100.3 10.0.0.4 127.0.0.1 unknown _hidden 256.1.1.1".split(
    " ",
  ),
  ..."2001:db8::1 [2001:db8::2]:443 ::ffff:203.0.113.5 ::1 fe80::1%eth0 [::1 1::2::3".split(" "),
  '"[2001:db8::3]"',
  '"',
  "",
  ",",
  "for=",
  "1.2.3.4, 5.6.7.8",
  "x".repeat(500),
];

export function requestCase(chance: Chance): RequestCase {
  const kind = chance.below(40);
  if (kind < 20) return posted(chance);
  if (kind < 24) return asked(chance);
  if (kind < 30) return upgrade(chance);
  if (kind < 34) return chunked(chance);
  if (kind < 38) return misframed(chance);
  if (kind < 39) return noise(chance);
  return chance.oneIn(20) ? tooMuch(chance) : cutOff(chance);
}

// ---- whole requests ----

function posted(chance: Chance): RequestCase {
  const path = chance.pick([...posts, ...posts, "/redeem", "/code", "/rendezvous", "/ws"]);
  const known = posts.some((post) => post === path);
  const what = `POST ${path}`;
  return whole(chance, what, "POST", path, bodyFor(chance, path), { hopeless: !known });
}

function bodyFor(chance: Chance, path: string): string {
  if (chance.oneIn(400)) return nested(chance);
  if (chance.oneIn(100)) return "x".repeat(4_000 + chance.below(200));
  const value = () => anyValue(chance);
  const code = chance.oneIn(2) ? `"${chance.below(10_000)}"` : value();
  const appId = `"00000000-0000-4000-8000-00000000000${chance.below(10)}"`;
  const right = path.endsWith("/ice")
    ? object([
        ["appID", chance.oneIn(2) ? appId : value()],
        ["side", chance.oneIn(2) ? '"A"' : value()],
      ])
    : object([
        [path.endsWith("/code") ? "ttl" : "code", code],
        [chance.pick(["x", "__proto__", "code"]), value()],
      ]);
  return chance.oneIn(3) ? broken(chance, right) : right;
}

function asked(chance: Chance): RequestCase {
  const path = chance.pick([...gets, ...posts]);
  const method = chance.pick(methods);
  const target = chance.pick([
    path,
    `${path}?${"a=%ff&".repeat(chance.below(20))}`,
    `http://example.com${path}`,
    `https://x:99999${path}`,
    `ftp://[::1]${path}`,
    `//evil.example${path}`,
    `${path}/../..${path}`,
    `${path}%00%2e%2e`,
    `${path}\u00e9\u4e2d`,
    "*",
    "example.com:443",
    `/${"a".repeat(chance.below(9_000))}`,
    "/%",
    "?",
    "#",
  ]);
  // Bun takes no other method for a request, and CONNECT and TRACE are its own affair.
  return whole(chance, `${method} ${target.slice(0, 60)}`, method, target, "", {});
}

function upgrade(chance: Chance): RequestCase {
  const appId = chance.pick([
    `00000000-0000-4000-8000-0000000000${chance.below(90) + 10}`,
    "{00000000-0000-4000-8000-000000000007}",
    "urn:uuid:00000000-0000-4000-8000-000000000007",
    "not-a-uuid",
    "%00",
    "%F0%9F%98%80",
    "",
    "0".repeat(5_000),
  ]);
  const side = chance.pick(["A", "b", "C", "", "__proto__", "A&side=B"]);
  const sid = chance.pick(["", "&sid=", "&sid=%ff", `&sid=${"s".repeat(300)}`, "&sid=a&sid=b"]);
  const headers = [
    chance.pick(["Upgrade: websocket", "Upgrade: WebSocket", "Upgrade: h2c", "X: y"]),
    chance.pick(["Connection: Upgrade", "Connection: keep-alive, Upgrade", "Connection: close"]),
    chance.pick(["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "X: y"]),
    chance.pick([
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Key: short",
      "Sec-WebSocket-Key:",
      "X: y",
    ]),
    chance.pick([
      "Sec-WebSocket-Protocol: nt.v2",
      "Sec-WebSocket-Protocol: ,,nt.v2,nt.v2, ",
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
      "X: y",
    ]),
    ...someHeaders(chance),
  ];
  const method = chance.oneIn(20) ? "POST" : "GET";
  const target = `/ws?appID=${appId}&side=${side}${sid}`;
  return {
    what: `an upgrade of ${target.slice(0, 80)}`,
    bytes: Buffer.from(`${method} ${target} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`, "latin1"),
    whole: true,
    hopeless: true,
    head: false,
  };
}

interface Options {
  readonly hopeless?: boolean;
}

function whole(
  chance: Chance,
  what: string,
  method: string,
  target: string,
  body: string,
  { hopeless = false }: Options,
): RequestCase {
  const types = ["application/json", "application/json;charset=x", "text/plain", "a/b;;="];
  const headers = [
    `Content-Type: ${chance.oneIn(3) ? chance.pick(types) : types[0]}`,
    ...someHeaders(chance),
    ...(body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    "Connection: close",
  ];
  const version = chance.oneIn(30) ? chance.pick(["HTTP/1.0", "HTTP/1.1"]) : "HTTP/1.1";
  const head = `${method} ${target} ${version}\r\n${headers.join("\r\n")}\r\n\r\n`;
  const bytes = Buffer.concat([Buffer.from(head), Buffer.from(body)]);
  return { what, bytes, whole: true, hopeless, head: method === "HEAD" };
}

function someHeaders(chance: Chance): string[] {
  const headers = [
    chance.oneIn(10)
      ? chance.pick(["Host: a b:c/d", "Host:", "Host: [::1", "Host: x, y", "X-No: host"])
      : "Host: 127.0.0.1",
  ];
  const address = () => chance.pick(addresses);
  if (chance.oneIn(4)) headers.push(`X-Forwarded-For: ${address()}, ${address()}`);
  if (chance.oneIn(6)) headers.push(`X-Forwarded-For: ${address()}`);
  if (chance.oneIn(6))
    headers.push(`Forwarded: for=${address()};proto=${address()}, for=${address()}`);
  if (chance.oneIn(8)) {
    const origins = ["null", "http://127.0.0.1", "https://evil.example", "x", "http://[::1]:99999"];
    headers.push(`Origin: ${chance.pick(origins)}`);
  }
  if (chance.oneIn(12)) headers.push("Access-Control-Request-Method: POST");
  if (chance.oneIn(12)) headers.push(`X-Long: ${"h".repeat(chance.below(6_000))}`);
  if (chance.oneIn(12)) headers.push(`__proto__: ${chance.below(99)}`, "Expect: 100-continue");
  return headers;
}

// ---- bodies in chunks, and framing that is wrong ----

function chunked(chance: Chance): RequestCase {
  const path = chance.pick(posts);
  const body = bodyFor(chance, path);
  const size = Buffer.byteLength(body).toString(16);
  const [what, chunks, isWhole] = chance.pick([
    ["in chunks", `${size}\r\n${body}\r\n0\r\n\r\n`, true],
    ["in chunks with extensions", `${size};a="b"\r\n${body}\r\n0\r\nX: y\r\n\r\n`, false],
    ["in chunks without an end", `${size}\r\n${body}\r\n`, false],
    ["with a chunk size that is none", `xyz\r\n${body}\r\n0\r\n\r\n`, false],
    ["with a chunk size of 2⁶⁴", `ffffffffffffffff\r\n${body}\r\n0\r\n\r\n`, false],
    ["with a chunk shorter than told", `fff\r\n${body}\r\n0\r\n\r\n`, false],
  ] as const);
  const head = [
    `POST ${path} HTTP/1.1`,
    "Content-Type: application/json",
    ...someHeaders(chance),
    "Transfer-Encoding: chunked",
    "Connection: close",
  ];
  const bytes = Buffer.from(`${head.join("\r\n")}\r\n\r\n${chunks}`);
  // Without a body in it, an empty chunk comes first and the rest is none of this request.
  const complete = isWhole && body !== "";
  return { what: `a body ${what}`, bytes, whole: complete, hopeless: false, head: false };
}

function misframed(chance: Chance): RequestCase {
  const path = chance.pick(posts);
  const body = bodyFor(chance, path);
  const length = Buffer.byteLength(body);
  const [what, lines] = chance.pick([
    ["CL and TE", [`Content-Length: ${length}`, "Transfer-Encoding: chunked"]],
    ["TE and CL", ["Transfer-Encoding: chunked", `Content-Length: ${length}`]],
    ["two lengths", [`Content-Length: ${length}`, "Content-Length: 5"]],
    ["a negative length", ["Content-Length: -1"]],
    ["a length that is none", ["Content-Length: 0x10"]],
    ["a length of 2⁶⁴", ["Content-Length: 18446744073709551616"]],
    ["an unknown coding", ["Transfer-Encoding: xchunked"]],
    ["chunked twice", ["Transfer-Encoding: chunked, chunked"]],
    ["a header without a colon", ["nonsense"]],
    ["a folded header", ["X: a", " b"]],
    ["a NUL in a header", ["X: a\0b"]],
    ["a space before the colon", [`Content-Length : ${length}`]],
    ["a bare CR", ["X: a\rY: b"]],
    ["headers too long", [`X: ${"h".repeat(20_000)}`]],
    ["headers without end", Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}`)],
  ] as const);
  const line = chance.oneIn(5)
    ? chance.pick(["POST", "POST /", `POST ${path} HTTP/9.9`, `${path}`, "\0", " POST / HTTP/1.1"])
    : `POST ${path} HTTP/1.1`;
  const text = [line, "Host: x", ...lines, "", body].join("\r\n");
  return { what, bytes: Buffer.from(text), whole: false, hopeless: false, head: false };
}

/** A client that goes away in the midst of its request. */
function cutOff(chance: Chance): RequestCase {
  const { what, bytes } = posted(chance);
  const cut = bytes.subarray(0, chance.below(bytes.length));
  return { what: `a part of ${what}`, bytes: cut, whole: false, hopeless: false, head: false };
}

/** 10 MB, announced or in chunks. */
function tooMuch(chance: Chance): RequestCase {
  const path = chance.pick(posts);
  const body = Buffer.alloc(10_485_760, "1");
  const announced = chance.oneIn(2);
  const framing = announced ? `Content-Length: ${body.length}` : "Transfer-Encoding: chunked";
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`;
  const parts = announced
    ? [body]
    : [Buffer.from("a00000\r\n"), body, Buffer.from("\r\n0\r\n\r\n")];
  const bytes = Buffer.concat([Buffer.from(head), ...parts]);
  return { what: "a body of 10 MB", bytes, whole: false, hopeless: false, head: false };
}

function noise(chance: Chance): RequestCase {
  const [what, bytes] = chance.pick([
    ["random bytes", chance.bytes(1 + chance.below(500))],
    ["a TLS greeting", Buffer.from("16030100c8010000c40303".padEnd(400, "0"), "hex")],
    ["an HTTP/2 preface", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
    ["a PROXY line", Buffer.from("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n")],
    ["line ends", Buffer.from("\r\n".repeat(100))],
  ] as const);
  return { what, bytes, whole: false, hopeless: true, head: false };
}
