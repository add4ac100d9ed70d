import { describe, expect, test } from "bun:test";
import { originRule, reportingRule } from "../../src/admission/origin.ts";

const host = "signal.example.net:1234";
const listing = (...corsOrigins: string[]) =>
  originRule({ dev: false, corsOrigins, serverNames: [] });

test("a request without an Origin is allowed, for no browser sent it", () => {
  expect(listing()(null, host)).toBe(true);
  expect(listing()(null, null)).toBe(true);
});

test("the server's own origin is allowed", () => {
  const allows = listing();
  expect(allows("http://signal.example.net:1234", host)).toBe(true);
  expect(allows("HTTP://Signal.Example.NET:1234", host)).toBe(true);
  expect(allows("http://[::1]:1234", "[::1]:1234")).toBe(true);
});

test("an own origin may leave out its scheme's default port, and so may Host", () => {
  const allows = listing();
  expect(allows("https://a.example", "a.example")).toBe(true);
  expect(allows("https://a.example", "a.example:443")).toBe(true);
  expect(allows("https://a.example:443", "a.example")).toBe(true);
  expect(allows("http://a.example", "a.example:80")).toBe(true);
  expect(allows("https://a.example", "a.example:80")).toBe(false);
  expect(allows("http://a.example:8080", "a.example")).toBe(false);
});

test("without a list every other origin is refused", () => {
  const allows = listing();
  expect(allows("http://signal.example.net:1235", host)).toBe(false);
  expect(allows("https://evil.example", host)).toBe(false);
  expect(allows("https://evil.example", null)).toBe(false);
});

test("a full origin allows exactly its scheme, host and port", () => {
  const allows = listing("https://app.example.com", "http://localhost:5173");
  expect(allows("https://app.example.com", host)).toBe(true);
  expect(allows("https://APP.example.com:443", host)).toBe(true);
  expect(allows("http://localhost:5173", host)).toBe(true);
  expect(allows("http://app.example.com", host)).toBe(false);
  expect(allows("https://app.example.com:8443", host)).toBe(false);
  expect(allows("https://app.example.com.evil.example", host)).toBe(false);
  expect(allows("http://localhost", host)).toBe(false);
});

test("a bare hostname allows any scheme and port of that host alone", () => {
  const allows = listing("example.com", "[::1]");
  expect(allows("https://example.com", host)).toBe(true);
  expect(allows("http://Example.com:8080", host)).toBe(true);
  expect(allows("capacitor://example.com", host)).toBe(true);
  expect(allows("http://[::1]:3000", host)).toBe(true);
  expect(allows("https://www.example.com", host)).toBe(false);
  expect(allows("https://notexample.com", host)).toBe(false);
});

test("a wildcard allows subdomains of any depth but not the domain itself", () => {
  const allows = listing("*.example.com");
  expect(allows("https://app.example.com", host)).toBe(true);
  expect(allows("http://a.b.example.com:81", host)).toBe(true);
  expect(allows("https://example.com", host)).toBe(false);
  expect(allows("https://.example.com", host)).toBe(false);
  expect(allows("https://evilexample.com", host)).toBe(false);
});

const opaque = ["null", "", "garbage", "https://", "https://a b", "https://a/path", "//a.example"];

test("an opaque or malformed Origin is refused, whatever is listed", () => {
  const allows = listing("example.com", "null", "garbage");
  for (const origin of [...opaque, "https://user@example.com", "https://example.com#x"]) {
    expect(allows(origin, host)).toBe(false);
  }
});

test("file:// allows pages opened from a file, and a scheme alone all pages of its apps", () => {
  const allows = listing("file://", "app://", "capacitor://localhost");
  for (const origin of [
    "null",
    "file://",
    "app://",
    "app://-",
    "App://Shell.Example",
    "capacitor://localhost",
  ]) {
    expect([origin, allows(origin, host)]).toEqual([origin, true]);
  }
  for (const origin of [
    "tauri://localhost",
    "capacitor://elsewhere",
    "application://a",
    "https://app",
  ]) {
    expect([origin, allows(origin, host)]).toEqual([origin, false]);
  }
  expect(listing("app://")("null", host)).toBe(false);
});

test("a star and dev mode allow every Origin, even an opaque one", () => {
  for (const allows of [
    listing("*"),
    originRule({ dev: true, corsOrigins: ["a.example"], serverNames: [] }),
  ]) {
    for (const origin of [...opaque, "https://evil.example"]) {
      expect(allows(origin, host)).toBe(true);
    }
  }
});

test("a page whose name was made to lead here is not the server's own, once its names are told", () => {
  const rebound = ["http://evil.example:1234", "evil.example:1234"] as const;
  expect(listing("https://app.example")(...rebound)).toBe(true);
  const allows = originRule({
    dev: false,
    corsOrigins: ["https://app.example"],
    serverNames: ["signal.example.net", "signal"],
  });
  expect(allows(...rebound)).toBe(false);
  for (const own of [host, "signal:1234", "127.0.0.1:1", "[::1]:1", "192.0.2.7", "localhost:80"]) {
    expect([own, allows(`http://${own}`, own)]).toEqual([own, true]);
  }
  for (const other of ["x.signal.example.net", "signal.example.net.", "localhost.evil.example"]) {
    expect([other, allows(`http://${other}`, other)]).toEqual([other, false]);
  }
  expect(allows("https://app.example", "evil.example:1234")).toBe(true);
});

describe("refused origins are reported", () => {
  /** What a rule that refuses all reports, and a clock to move. */
  function reports() {
    const time = { ms: 0 };
    const reported: string[] = [];
    const rule = reportingRule(
      listing(),
      () => time.ms,
      (origin) => reported.push(origin),
    );
    return { time, reported, allows: (origin: string) => rule(origin, host) };
  }

  test("each once a minute, and those that are allowed never", () => {
    const { time, reported, allows } = reports();
    expect(allows("https://a.example")).toBe(false);
    expect(allows("https://a.example")).toBe(false);
    expect(allows("https://b.example")).toBe(false);
    expect(allows(`http://${host}`)).toBe(true);
    expect(reported).toEqual(["https://a.example", "https://b.example"]);
    time.ms = 59_999;
    allows("https://a.example");
    expect(reported).toHaveLength(2);
    time.ms = 60_000;
    allows("https://a.example");
    expect(reported).toEqual(["https://a.example", "https://b.example", "https://a.example"]);
  });

  test("20 a minute, however many there are", () => {
    const { time, reported, allows } = reports();
    for (let n = 0; n < 1_000; n++) allows(`https://${n}.example`);
    expect(reported).toHaveLength(20);
    time.ms = 60_000;
    allows("https://999.example");
    expect(reported.at(-1)).toBe("https://999.example");
  });

  test("cut, and with nothing in them that a terminal would obey", () => {
    const { reported, allows } = reports();
    allows("https://\u001b[31m\u202eevil\u2028.example");
    allows("x".repeat(10_000));
    expect(reported).toEqual(["https://\\u001b[31m\\u202eevil\\u2028.example", "x".repeat(200)]);
  });
});
