import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { parseTarget } from "../../src/cli/doctor/target.ts";
import { selfSigned } from "../support/certificate.ts";
import { fakeClock } from "../support/clock.ts";
import { examination } from "../support/examination.ts";
import { freePort, Program } from "../support/program.ts";
import { testServer } from "../support/server.ts";

const allSteps = [
  "Name",
  "Ready",
  "Mint",
  "Redeem",
  "No cache",
  "Socket A",
  "Socket B",
  "Room",
  "Relay",
  "Round trip",
  "One socket",
  "ICE servers",
  "Address",
  "Host",
  "Metrics",
];

test("a sound server passes every step, and the program exits with 0", async () => {
  await using server = await testServer();
  await using doctor = await Program.start({}, "doctor", server.http);
  expect({ exit: await doctor.exit(), stderr: doctor.stderr }).toEqual({ exit: 0, stderr: "" });
  const lines = doctor.stdout.trimEnd().split("\n");
  const steps = lines.slice(0, -2).filter((line) => !line.includes("→"));
  expect(steps.map((line) => /^✓ (.{11}) \S/.exec(line)?.[1]?.trim())).toEqual(allSteps);
  expect(lines.at(-1)).toStartWith("It works; see the remark above. Not tried: ");
  expect(doctor.stdout).toContain("Without TURN");
  expect(doctor.stdout).toContain("the server sees you as 127.0.0.1\n");
  expect(doctor.stdout).not.toMatch(/code (?:is )?\d{4}/);
});

describe("a certificate", () => {
  test("that vouches for itself ends the examination, unless --insecure", async () => {
    await using certificate = await selfSigned();
    await using server = await testServer({
      TLS_CERT_FILE: certificate.certFile,
      TLS_KEY_FILE: certificate.keyFile,
    });
    const wary = await examination(server.http);
    expect(wary).toMatchObject({ sound: false, steps: ["Name", "Certificate"] });
    expect(wary.failure).toContain("self-signed");
    expect(wary.failure).toContain("--insecure");

    const bold = await examination(server.http, true);
    expect({ sound: bold.sound, failure: bold.failure }).toEqual({ sound: true, failure: "" });
    expect(bold.steps).toEqual(allSteps.toSpliced(1, 0, "Certificate"));
    expect(bold.warnings).toContain("Other clients would refuse it");
  });

  test("that has expired is recognised", async () => {
    await using certificate = await selfSigned();
    await using server = await testServer({
      TLS_CERT_FILE: certificate.certFile,
      TLS_KEY_FILE: certificate.keyFile,
    });
    const nextYear = fakeClock(Date.now() + 366 * 86_400_000);
    const { failure } = await examination(server.http, true, nextYear);
    expect(failure).toContain("the certificate expired on");
  });
});

test("where nothing listens the examination ends with the cause", async () => {
  const { steps, failure } = await examination(`http://127.0.0.1:${await freePort()}`);
  expect(steps).toEqual(["Name", "Ready"]);
  expect(failure).toContain("connection refused");
  expect(failure).toContain("Is the server running");
});

test("a name without an address ends the examination", async () => {
  const { steps, failure } = await examination("http://no-such-host.invalid");
  expect(steps).toEqual(["Name"]);
  expect(failure).toContain("has no address");
});

test("a server without TLS is recognised", async () => {
  await using server = await testServer();
  const { failure } = await examination(server.http.replace("http:", "https:"));
  expect(failure).toStartWith("Certificate: ");
  expect(failure).toContain("try http://");
});

/** A proxy in front of the server, which answers some requests in its own way. */
async function behind(
  server: { readonly http: string },
  own: (path: string, request: Request) => Response | undefined,
): Promise<{ readonly url: string } & AsyncDisposable> {
  const proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const answer = own(pathname, request);
      if (answer !== undefined) return answer;
      const { method } = request;
      const body = method === "POST" ? await request.text() : null;
      const headers = { "content-type": request.headers.get("content-type") ?? "text/plain" };
      return fetch(`${server.http}${pathname}${search}`, { method, headers, body });
    },
  });
  return {
    url: `http://127.0.0.1:${proxy.port}`,
    [Symbol.asyncDispose]: () => proxy.stop(true),
  };
}

describe("a proxy", () => {
  test.each([
    [404, "does not pass /ws on"],
    [426, "does not pass on the upgrade"],
    [403, "forbids"],
    [429, "WS_RATE_PER_MIN"],
    [503, "MAX_SOCKETS"],
  ] as const)("that answers the upgrade with %i is found out", async (status, remedy) => {
    await using server = await testServer();
    await using proxy = await behind(server, (path) =>
      path === "/ws" ? new Response("", { status }) : undefined,
    );
    const { sound, steps, failure } = await examination(proxy.url);
    expect(sound).toBe(false);
    expect(failure).toStartWith("Socket A: ");
    expect(failure).toContain(`answered ${status} instead of 101`);
    expect(failure).toContain(remedy);
    expect(steps).toEqual([
      ...allSteps.slice(0, 6),
      ...allSteps.slice(allSteps.indexOf("Address")),
    ]);
  });

  test.each([
    [403, "forbids"],
    [404, "There is no nt-signal at this path"],
    [429, "TRUST_PROXY"],
    [502, "upstream"],
    [503, "Try again later"],
  ] as const)("that answers minting with %i is found out", async (status, remedy) => {
    await using server = await testServer();
    await using proxy = await behind(server, (path) =>
      path === "/rendezvous/code" ? new Response("", { status }) : undefined,
    );
    const { steps, failure } = await examination(proxy.url);
    expect(steps.at(-1)).toBe("Mint");
    expect(failure).toContain(`answered ${status}. `);
    expect(failure).toContain(remedy);
  });

  test("that redirects is found out", async () => {
    await using server = await testServer();
    await using proxy = await behind(server, () =>
      Response.redirect("https://elsewhere.example/", 301),
    );
    expect((await examination(proxy.url)).failure).toContain("https://elsewhere.example/");
  });

  test("with another program behind it is found out", async () => {
    await using server = await testServer();
    await using proxy = await behind(server, () => new Response("<html>"));
    const { steps, failure } = await examination(proxy.url);
    expect(steps).toEqual(["Name", "Ready"]);
    expect(failure).toContain("Something other than nt-signal");
  });

  test("that shares an address between two servers is found out", async () => {
    await using server = await testServer();
    await using proxy = await behind(server, (path) =>
      path === "/rendezvous/redeem" ? new Response("", { status: 410 }) : undefined,
    );
    const { steps, failure } = await examination(proxy.url);
    expect(steps.at(-1)).toBe("Redeem");
    expect(failure).toContain("Several servers");
  });

  test("that answers every redeem from a cache is found out", async () => {
    await using server = await testServer();
    let appID = "";
    await using proxy = await behind(server, (path) => {
      if (path === "/rendezvous/code") {
        appID = crypto.randomUUID();
        return Response.json({ code: "98761234", appID });
      }
      return path === "/rendezvous/redeem" ? Response.json({ appID }) : undefined;
    });
    const { failure, output } = await examination(proxy.url);
    expect(failure).toContain("an invalid code was redeemed");
    expect(failure).toContain("cache");
    expect(output + failure).not.toContain("98761234");
  });

  test("that names no client is found out", async () => {
    const whoami = { address: "127.0.0.1", header: null, shared: false };
    await using server = await testServer();
    await using proxy = await behind(server, (path) =>
      path === "/rendezvous/whoami"
        ? Response.json(whoami, { headers: { server: "nginx" } })
        : undefined,
    );
    const { output } = await examination(proxy.url);
    expect(output).toContain("which is a proxy's address");
  });
});

test("a wrong base path is named", async () => {
  await using server = await testServer();
  const { failure, warnings } = await examination(`${server.http}/signal`);
  expect(warnings).toBe("");
  expect(failure).toStartWith("Mint: answered 404. ");
  expect(failure).toContain("The base path /signal may be wrong");
});

test.each([
  [],
  [":1234"],
  ["http://a", "http://b"],
  ["http://a", "--origin", "app"],
  ["http://a", "--idle", "60"],
  ["http://a", "--idle"],
  ["http://a", "--fast"],
])("called with %p it says how it is used, and exits with 2", async (...args) => {
  await using doctor = await Program.start({}, "doctor", ...args);
  expect(await doctor.exit()).toBe(2);
  expect(doctor.stderr).toContain("Use it like: nt-signal doctor https://signal.example.com");
});

test.each([
  ["localhost:1234", "http://localhost:1234"],
  ["127.0.0.1", "http://127.0.0.1"],
  ["[::1]:1234/signal", "http://[::1]:1234/signal"],
  ["192.168.1.7:1234", "http://192.168.1.7:1234"],
  ["signal.example.com", "https://signal.example.com"],
  ["signal.example.com:8443/ws", "https://signal.example.com:8443"],
  ["wss://signal.example.com/ws/", "https://signal.example.com"],
  ["ws://signal.example.com/base/", "http://signal.example.com/base"],
])("%s is the server at %s", (text, http) => {
  expect(parseTarget(text, false)).toMatchObject({ http });
});

test("an examination costs its client no miss, however often it is done", async () => {
  await using server = await testServer({ REDEEM_FAILURES: "2" });
  for (let run = 0; run < 3; run++) expect((await examination(server.http)).failure).toBe("");
  expect((await server.redeem((await server.mint()).code)).status).toBe(200);
  expect(await server.metric('nt_refusals_total{reason="gone"}')).toBe(0);
});

test("why a socket gets no room is said, with what to do", async () => {
  await using server = await testServer({ CODES_PER_CLIENT: "1" });
  const { failure } = await examination(server.http);
  expect(failure).toStartWith("One socket: the frame mint is refused (client_full). ");
  expect(failure).toContain("holds as many codes as it may");
});

test("--idle reports a connection that stays open", async () => {
  await using server = await testServer();
  const { failure, output } = await examination(server.http, false, systemClock, { idleMs: 50 });
  expect(failure).toBe("");
  expect(output).toContain("Idle: idle connections last for 50ms\n");
});

test("of a name with several addresses each is asked, as the name", async () => {
  await using server = await testServer();
  const { port } = new URL(server.http);
  const asked: (string | null)[] = [];
  await using draining = Bun.serve({
    hostname: "127.0.0.2",
    port,
    fetch({ headers }) {
      asked.push(headers.get("host"));
      return Response.json({ ready: false, reason: "It drains." }, { status: 503 });
    },
  });
  const resolve = async () => ["127.0.0.1", "127.0.0.2", "127.0.0.3", "2001:db8::1"];
  const url = `http://localhost:${port}`;
  const { sound, steps, failure, output, warnings } = await examination(
    url,
    false,
    systemClock,
    {},
    resolve,
  );
  expect(sound).toBe(false);
  expect(steps).toEqual(allSteps.toSpliced(2, 0, ...Array<string>(4).fill("Each ready")));
  expect(output).toContain("Each ready: 127.0.0.1: the server accepts clients\n");
  expect(failure).toStartWith("Each ready: 127.0.0.2: answered 503");
  expect(failure).toContain("It drains.");
  expect(output).toContain("Each ready: 127.0.0.3: connection refused");
  expect(warnings).toContain("IPv6");
  expect(asked).toEqual([`localhost:${draining.port}`]);
});

test("a hostile server's words reach the terminal without their escape sequences", async () => {
  const hostile = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202eeman\nAll is well.";
  const words = JSON.stringify({ reason: hostile, detail: hostile, code: hostile, title: hostile });
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      request.url.endsWith("/readyz")
        ? Response.json({ ready: true })
        : new Response(words, { status: 503, headers: { "Content-Type": "application/json" } }),
  });
  await using unready = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(words, { status: 503 }),
  });
  for (const { url } of [server, unready]) {
    await using doctor = await Program.start({}, "doctor", url.origin);
    expect(await doctor.exit()).toBe(1);
    const lines = doctor.stdout.split("\n");
    expect(lines.join("")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(lines.join("")).toContain("\\u001b");
    expect(lines).not.toContain("All is well.");
  }
});
