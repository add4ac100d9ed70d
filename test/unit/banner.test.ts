import { expect, test } from "bun:test";
import type { NetworkInterfaceInfo } from "node:os";
import { lanAddresses } from "../../src/base/network.ts";
import { version } from "../../src/base/version.ts";
import { type BannerFacts, banner } from "../../src/cli/banner.ts";
import { type Env, readConfig } from "../../src/config/config.ts";

function facts(env: Env = {}, rest: Partial<BannerFacts> = {}): BannerFacts {
  const reading = readConfig({ DEV: "false", ...env });
  if ("problems" in reading) throw new Error(JSON.stringify(reading.problems));
  const { config, warnings } = reading;
  const defaults = { protocol: "http:", port: 1234, lanAddresses: [] };
  return { ...defaults, config, warnings, ...rest };
}

test("it tells version, URLs, engine and limits, and nothing else", () => {
  expect(banner(facts({}, { lanAddresses: ["192.0.2.7"] }))).toBe(`nt-signal ${version}

  http://localhost:1234  ws://localhost:1234/ws
  http://192.0.2.7:1234  ws://192.0.2.7:1234/ws

  Engine  memory
  Codes   4 to 8 digits, for 10m
  Rooms   up to 100,000, messages up to 1 MiB

Stop it with Ctrl+C.
`);
});

test("with Redis it says so", () => {
  const told = banner(facts({ REDIS_URL: "redis://:hush@127.0.0.1" }));
  expect(told).toContain("  Engine  Redis\n");
  expect(told).not.toContain("hush");
});

test("with TLS and a base path the URLs say so", () => {
  const env = { BASE_PATH: "/signal", HOST: "::1" };
  const told = banner(facts(env, { protocol: "https:", port: 8443 }));
  expect(told).toContain("  https://[::1]:8443/signal  wss://[::1]:8443/signal/ws\n");
});

test("where there is a page, it invites to try it by an address that a phone reaches", () => {
  const told = banner(facts({ DEMO: "true" }, { lanAddresses: ["192.0.2.7"] }));
  expect(told).toContain(
    "  Try it: open http://192.0.2.7:1234 in two browsers, here or on a phone.\n",
  );
  const alone = banner(facts({ DEMO: "true", HOST: "127.0.0.1" }));
  expect(alone).toContain("  Try it: open http://127.0.0.1:1234 in two browsers.\n");
});

test("warnings are told", () => {
  expect(banner(facts({ DEV: "true" }))).toContain("  ! Any web page may connect");
});

function address(text: string, internal = false): NetworkInterfaceInfo {
  const family = text.includes(":") ? "IPv6" : "IPv4";
  const rest = { netmask: "", mac: "", cidr: null, scopeid: 0 };
  return { ...rest, address: text, family, internal } as NetworkInterfaceInfo;
}

const interfaces = {
  lo: [address("127.0.0.1", true), address("::1", true)],
  eth0: [address("192.0.2.7"), address("2001:db8::7"), address("fe80::7")],
};

test.each([
  ["0.0.0.0", ["192.0.2.7"]],
  ["::", ["192.0.2.7", "2001:db8::7"]],
  ["127.0.0.1", []],
])("a server on %s is found in the network at %p", (host, addresses) => {
  expect(lanAddresses(host, interfaces)).toEqual(addresses);
});
