import { expect, test } from "bun:test";
import { listenFault } from "../../src/server/listeners.ts";

/** The error of a listener that cannot start. */
function listenError(host: string, port: number, tls?: { cert: string; key: string }): unknown {
  try {
    const options = { hostname: host, port, fetch: () => new Response() };
    const server = Bun.serve(tls === undefined ? options : { ...options, tls });
    void server.stop(true);
  } catch (error) {
    return error;
  }
  throw new Error(`${host}:${port} can be listened on: no error to look at`);
}

function message(error: unknown, host: string, port: number): string | undefined {
  return listenFault(error, { host, port })?.message;
}

test.each([
  ["ENOTFOUND", "getaddrinfo"],
  ["EINVAL", "listen"],
  ["ENOTTY", "listen"],
])("a name that does not resolve is named, though Bun calls it %s in %s", (code, syscall) => {
  const unresolved = Object.assign(new Error(code), { code, syscall });
  expect(message(unresolved, "no-such-host", 0)).toContain('HOST="no-such-host"');
});

test("a port only root may use is named, with the ways out", () => {
  const denied = Object.assign(new Error("denied"), { code: "EACCES", syscall: "listen" });
  const told = message(denied, "0.0.0.0", 443);
  expect(told).toContain("port 443");
  expect(told).toContain("CAP_NET_BIND_SERVICE");
});

test("a certificate the runtime cannot use is the fault of the TLS settings", () => {
  const error = listenError("127.0.0.1", 0, { cert: "hello", key: "hello" });
  expect(message(error, "127.0.0.1", 0)).toContain("TLS_CERT_FILE");
});

test("anything else is no fault of the settings", () => {
  for (const error of [new Error("bug"), new TypeError("no function"), "text", undefined, null]) {
    expect(listenFault(error, { host: "::", port: 1 })).toBeUndefined();
  }
});
