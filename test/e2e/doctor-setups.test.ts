import { expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import type { OptionalSteps } from "../../src/cli/doctor/examination.ts";
import { selfSigned } from "../support/certificate.ts";
import { type Examination, examination } from "../support/examination.ts";
import { nginxMissing, startNginx } from "../support/nginx.ts";
import { freePort } from "../support/program.ts";
import { testServer } from "../support/server.ts";
import { noTurn, TurnServer } from "../support/turn-server.ts";

const behindNginx = test.skipIf(nginxMissing);
const withTurn = test.skipIf(noTurn);

interface Setup {
  readonly name: string;
  /** Changes to the example of nginx's configuration that we ship. */
  readonly nginx?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly optional?: OptionalSteps;
  /** In front of a port on which nothing listens. */
  readonly down?: true;
  /** Asked for over plain HTTP. */
  readonly plainly?: true;
}

interface BrokenSetup extends Setup {
  /** The step that fails, and words of what is found and of the remedy. */
  readonly step: string;
  readonly found: string;
  readonly remedy: string;
}

const withoutHost = { "proxy_set_header Host $http_host;": "" };
const ownOrigin = { TRUST_PROXY: "127.0.0.1", DEV: "false" };
const metricsClosed = "location = /metrics {\n        return 404;\n    }";
const separateSocket = `location = /ws {
  proxy_pass http://nt_signal; proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $nt_signal_connection;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
}`;

const broken: readonly BrokenSetup[] = [
  {
    name: "nginx drops Host",
    nginx: withoutHost,
    env: ownOrigin,
    step: "Host",
    found: "the server refuses pages of its own",
    remedy: "proxy_set_header Host $http_host",
  },
  {
    name: "nginx passes Host on without its port",
    nginx: { "Host $http_host": "Host $host" },
    env: ownOrigin,
    step: "Host",
    found: "the server refuses pages of its own",
    remedy: "with its port",
  },
  {
    name: "nginx drops Host for WebSockets alone",
    nginx: { "location / {": `${separateSocket}\n location / {` },
    env: ownOrigin,
    step: "Host",
    found: "WebSockets of the server's own pages are refused",
    remedy: "/ws",
  },
  {
    name: "nginx has a short read timeout",
    nginx: { "proxy_read_timeout 60s": "proxy_read_timeout 1s" },
    optional: { idleMs: 10_000 },
    step: "Idle",
    found: "an idle connection is cut after",
    remedy: "proxy_read_timeout 60s",
  },
  {
    name: "the page's origin is not listed",
    env: { ...ownOrigin, CORS_ORIGINS: "https://app.example.com" },
    optional: { origin: "https://www.example.com" },
    step: "Origin",
    found: "pages of https://www.example.com are refused",
    remedy: "Add https://www.example.com to CORS_ORIGINS",
  },
  {
    name: "nginx answers preflights itself",
    nginx: { "location / {": "location / {\n if ($request_method = OPTIONS) { return 204; }" },
    optional: { origin: "https://app.example.com" },
    step: "Origin",
    found: "keep pages of https://app.example.com from redeeming",
    remedy: "OPTIONS",
  },
  {
    name: "nginx adds CORS headers of its own",
    nginx: { "location / {": "location / {\n add_header Access-Control-Allow-Origin *;" },
    optional: { origin: "https://app.example.com" },
    step: "Origin",
    found: "Access-Control-Allow-Origin: https://app.example.com, *",
    remedy: "CORS headers of its own",
  },
  {
    name: "nginx does not pass the upgrade on",
    nginx: { "proxy_set_header Upgrade $http_upgrade;": "" },
    step: "Socket A",
    found: "instead of 101",
    remedy: "headers Upgrade and Connection",
  },
  {
    name: "nginx drops the subprotocol",
    nginx: { "location / {": `location / {\n proxy_set_header Sec-WebSocket-Protocol "";` },
    step: "One socket",
    found: "without appID is refused (400)",
    remedy: "Sec-WebSocket-Protocol",
  },
  {
    name: "nginx does not send the client's address",
    nginx: { "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;": "" },
    step: "Address",
    found: "which is a proxy's address",
    remedy: "X-Forwarded-For",
  },
  {
    name: "nginx sends an address that cannot be read",
    nginx: {
      "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;":
        "proxy_set_header X-Forwarded-For unknown;",
    },
    step: "Address",
    found: "X-Forwarded-For is unreadable, and all clients count as one",
    remedy: "X-Forwarded-For",
  },
  {
    name: "nginx does not send the header that CLIENT_IP_HEADER names",
    env: { TRUST_PROXY: "127.0.0.1", CLIENT_IP_HEADER: "X-Client" },
    step: "Address",
    found: "is missing, and all clients count as one",
    remedy: "CLIENT_IP_HEADER",
  },
  {
    name: "nginx is not trusted",
    env: { TRUST_PROXY: "10.0.0.1" },
    step: "Address",
    found: "and all other clients too",
    remedy: "TRUST_PROXY",
  },
  {
    name: "nginx has no server behind it",
    down: true,
    step: "Ready",
    found: "answered 502",
    remedy: "upstream",
  },
  {
    name: "nginx takes a folder off that BASE_PATH names",
    nginx: { "proxy_pass http://nt_signal;": "proxy_pass http://nt_signal/elsewhere/;" },
    step: "Ready",
    found: "answered 404",
    remedy: "base path",
  },
  {
    name: "plain HTTP is asked of nginx's TLS port",
    plainly: true,
    step: "Ready",
    found: "speaks TLS, not plain HTTP",
    remedy: "Try https://127.0.0.1:",
  },
];

async function examined(setup: Setup): Promise<Examination> {
  const { nginx: changes = {}, env = { TRUST_PROXY: "127.0.0.1" } } = setup;
  await using server = await testServer(env);
  const upstream = setup.down ? await freePort() : server.port;
  await using nginx = await startNginx(upstream, changes);
  const url = setup.plainly ? nginx.https.replace("https:", "http:") : nginx.https;
  return await examination(url, true, systemClock, setup.optional);
}

behindNginx.each(broken.map((setup) => [setup.name, setup] as const))(
  "the doctor finds out that %s",
  async (_, setup) => {
    const { sound, failure } = await examined(setup);
    expect(failure).toStartWith(`${setup.step}: `);
    expect(failure).toContain(setup.found);
    expect(failure).toContain(setup.remedy);
    expect(sound).toBe(false);
  },
);

const sound: readonly Setup[] = [
  { name: "as we ship it", env: ownOrigin },
  { name: "for a page of a listed origin", env: { CORS_ORIGINS: "https://app.example.com" } },
];

behindNginx.each(sound.map((setup) => [setup.name, setup] as const))(
  "nginx %s is fine",
  async (_, setup) => {
    const optional = { origin: "https://app.example.com" };
    const asked = setup.env && "CORS_ORIGINS" in setup.env ? { ...setup, optional } : setup;
    const { failure, warnings, output } = await examined(asked);
    expect(failure).toBe("");
    expect(output).toContain("the server sees you as 127.0.0.1 through X-Forwarded-For\n");
    expect(warnings).not.toContain("Host");
    expect(warnings).not.toContain("Metrics");
  },
);

behindNginx(
  "metrics that a proxy shows to everybody are reported, if it does not say that it is a proxy",
  async () => {
    const open = { [metricsClosed]: "" };
    const unmarked = {
      ...open,
      "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;": "",
    };
    const { warnings } = await examined({ name: "", nginx: unmarked });
    expect(warnings).toContain("Metrics: Everybody who reaches this address can read them");
    for (const nginx of [open, unmarked]) {
      const env = {
        TRUST_PROXY: "127.0.0.1",
        ...(nginx === open ? {} : { METRICS_TOKEN: "hush" }),
      };
      const kept = await examined({ name: "", nginx, env });
      expect(kept.warnings).not.toContain("Metrics");
    }
  },
);

behindNginx("a dropped Host is reported although it does no harm yet", async () => {
  const { sound, warnings } = await examined({ name: "", nginx: withoutHost });
  expect(sound).toBe(true);
  expect(warnings).toContain("Host: The server recognises its own pages by the Host header");
});

test("plain HTTP on the server's TLS port is recognised", async () => {
  await using certificate = await selfSigned();
  const { certFile: TLS_CERT_FILE, keyFile: TLS_KEY_FILE } = certificate;
  await using server = await testServer({ TLS_CERT_FILE, TLS_KEY_FILE });
  const { failure } = await examination(server.http.replace("https:", "http:"));
  expect(failure).toContain("speaks TLS, not plain HTTP");
  expect(failure).toContain(`Try ${server.http}`);
});

behindNginx("two servers that share nothing behind one address are found out", async () => {
  await using one = await testServer({ TRUST_PROXY: "127.0.0.1" });
  await using other = await testServer({ TRUST_PROXY: "127.0.0.1" });
  await using nginx = await startNginx(one.port, {
    "keepalive 32;": `server 127.0.0.1:${other.port};`,
  });
  const { failure } = await examination(nginx.https, true);
  expect(failure).toStartWith("Redeem: the new code is not known");
  expect(failure).toContain("Several servers may share this address");
});

for (const transport of ["udp", "tcp"] as const) {
  withTurn(`a TURN server that relays over ${transport} is recognised`, async () => {
    await using turn = await TurnServer.start("right");
    await using server = await testServer({
      TURN_URLS: turn.url(transport),
      TURN_SECRET: "right",
      ICE_SERVERS: `[{"urls":"stun:127.0.0.1:${turn.port}"}]`,
    });
    const { failure, warnings, output } = await examination(server.http);
    expect({ failure, warnings }).toEqual({ failure: "", warnings: "" });
    expect(output).toContain(`TURN: ${turn.url(transport)} relays\n`);
    expect(output).toContain(`STUN: stun:127.0.0.1:${turn.port} answers with an address\n`);
    await turn.logged(/refreshed.*lifetime=0/);
  });
}

withTurn("a TURN server with another secret is found out, and no secret is shown", async () => {
  await using turn = await TurnServer.start("right");
  await using server = await testServer({ TURN_URLS: turn.url(), TURN_SECRET: "wrong" });
  const { failure, output } = await examination(server.http);
  expect(failure).toStartWith(`TURN: ${turn.url()} refuses with 401`);
  expect(failure).toContain("TURN_SECRET");
  expect(output).not.toContain("wrong");
});

test("a TURN server that is not there is found out", async () => {
  const url = `turn:127.0.0.1:${await freePort()}?transport=tcp`;
  await using server = await testServer({ TURN_URLS: url, TURN_SECRET: "any" });
  const { failure } = await examination(server.http);
  expect(failure).toStartWith(`TURN: ${url} does not answer`);
  expect(failure).toContain("open for TCP");
});
