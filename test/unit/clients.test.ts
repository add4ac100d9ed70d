import { expect, test } from "bun:test";
import fc from "fast-check";
import { Clients } from "../../src/admission/clients.ts";
import { parseAddressSet } from "../../src/base/address.ts";

interface Settings {
  readonly trust?: string;
  readonly clientIpHeader?: string;
}

/** Clients as an operator would set them up, and whom they told to be shared. */
function known({ trust = "loopback", clientIpHeader = "" }: Settings = {}) {
  const trusted = parseAddressSet(trust);
  if (trusted === undefined) throw new Error(`"${trust}" is no set of addresses`);
  const shared: string[] = [];
  const options: ConstructorParameters<typeof Clients>[0] = {
    trusted,
    ignoreHeaders: trust === "none",
    clientIpHeader,
    onShared: (address) => shared.push(address),
  };
  const all = new Clients(options);
  return {
    shared,
    sharedCount: () => all.sharedCount(),
    of(address: string, headers: Record<string, string> = {}) {
      const client = all.of(address, new Headers(headers));
      return { ...client, key: client.accounts[0]?.key };
    },
  };
}

const xff = (value: string) => ({ "X-Forwarded-For": value });
const forwarded = (value: string) => ({ Forwarded: value });

test("without a proxy the client is the socket's own address", () => {
  expect(known().of("203.0.113.7")).toMatchObject({
    address: "203.0.113.7",
    header: undefined,
    shared: false,
    fault: undefined,
    accounts: [{ key: "203.0.113.7", kind: "client" }],
  });
});

test("an IPv4 client has one name, on whichever listener it came in", () => {
  expect(known().of("::ffff:203.0.113.7")).toEqual(known().of("203.0.113.7"));
});

test("an IPv6 client counts by its /64, its customer by the /56, its site by the /48", () => {
  expect(known().of("2001:db8:1:ab02:3:4:5:6")).toMatchObject({
    address: "2001:db8:1:ab02:3:4:5:6",
    accounts: [
      { key: "2001:db8:1:ab02::/64", kind: "client" },
      { key: "2001:db8:1:ab00::/56", kind: "customer" },
      { key: "2001:db8:1::/48", kind: "site" },
    ],
  });
});

test("a socket whose address is not known is somebody, and nobody in particular", () => {
  expect(known().of("", xff("1.2.3.4"))).toMatchObject({ key: "", shared: false });
});

test("a public peer's headers are not believed, and never make it shared", () => {
  const { of, shared, sharedCount } = known();
  for (const headers of [
    xff("1.2.3.4"),
    forwarded("for=1.2.3.4"),
    { "CF-Connecting-IP": "1.2.3.4" },
  ]) {
    for (const address of ["203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"]) {
      expect(of(address, headers)).toEqual(of(address));
      expect(of(address, headers).shared).toBe(false);
    }
  }
  expect(shared).toEqual([]);
  expect(sharedCount()).toBe(0);
});

test("a trusted proxy tells its clients apart", () => {
  const { of } = known();
  expect(of("127.0.0.1", xff("203.0.113.7"))).toMatchObject({
    key: "203.0.113.7",
    header: "X-Forwarded-For",
    shared: false,
  });
  expect(of("::1", xff("203.0.113.8")).key).toBe("203.0.113.8");
  expect(of("::ffff:127.0.0.1", xff("2001:db8:1:2::9")).key).toBe("2001:db8:1:2::/64");
  expect(of("127.0.0.1")).toMatchObject({ key: "127.0.0.1", header: undefined });
});

test("what stands left of the first address that is not trusted is only its word", () => {
  const { of } = known();
  expect(of("127.0.0.1", xff("1.2.3.4, 5.6.7.8, 203.0.113.7")).key).toBe("203.0.113.7");
  expect(of("127.0.0.1", xff("127.0.0.1, 203.0.113.7")).key).toBe("203.0.113.7");
  expect(of("127.0.0.1", forwarded("for=1.2.3.4, for=203.0.113.7")).key).toBe("203.0.113.7");
});

test("the walk goes over all trusted hops, from the right", () => {
  const { of } = known({ trust: "loopback,10.0.0.0/8,2001:db8:ffff::/48" });
  const chain = "1.2.3.4, 203.0.113.7, 10.0.0.2, 2001:db8:ffff::1, 10.1.2.3";
  expect(of("127.0.0.1", xff(chain)).key).toBe("203.0.113.7");
  expect(of("10.9.9.9", xff(chain)).key).toBe("203.0.113.7");
  expect(of("203.0.113.99", xff(chain)).key).toBe("203.0.113.99");
});

test("where everybody is trusted, the client is the furthest", () => {
  const { of } = known({ trust: "private" });
  expect(of("127.0.0.1", xff("192.168.1.7, 10.0.0.2")).key).toBe("192.168.1.7");
});

test("all whom a trusted hop names by no address are shared, behind that hop", () => {
  const { of } = known({ trust: "loopback,10.0.0.0/8" });
  const behind = (address: string) => ({ shared: true, fault: "unreadable", address });
  expect(of("127.0.0.1", xff("203.0.113.7, unknown, 10.0.0.2"))).toMatchObject(behind("10.0.0.2"));
  for (const headers of [
    forwarded("for=203.0.113.7, for=_hidden"),
    forwarded("for=203.0.113.7, proto=https"),
    forwarded('for="203.0.113.7'),
    xff(""),
    xff(" , "),
  ]) {
    expect(of("127.0.0.1", headers)).toMatchObject(behind("127.0.0.1"));
  }
});

test.each([
  "198.51.100.10:46532",
  "[198.51.100.10]:46532",
  '"198.51.100.10:46532"',
  "::ffff:198.51.100.10",
  "[::ffff:198.51.100.10]:46532",
  "::ffff:198.51.100.10:46532",
  "::ffff:c633:640a",
  "1.2.3.4, 198.51.100.10",
  "1.2.3.4, 198.51.100.10:46532",
])("a client is found in %s, in whichever header it stands", (value) => {
  for (const header of ["X-Forwarded-For", "CF-Connecting-IP"]) {
    const { of } = known({ clientIpHeader: header });
    expect(of("127.0.0.1", { [header]: value })).toMatchObject({
      key: "198.51.100.10",
      shared: false,
    });
  }
});

test.each([
  "2001:db8:0:1::7",
  "[2001:db8:0:1::7]",
  "[2001:db8:0:1::7]:46532",
  '"[2001:db8:0:1::7]:46532"',
  "[2001:db8:0:1::7%eth0]:46532",
  "2001:DB8:0:1::7%eth0",
  "2001:db8:0:1::7:46532",
  "2001:0db8:0000:0001:0000:0000:0000:0007:443",
])("a client of IPv6 is found in %s, in whichever header it stands", (value) => {
  const headers = [xff(value), forwarded(`for="${value.replaceAll('"', "")}"`)];
  for (const header of headers) {
    expect(known().of("127.0.0.1", header).key).toBe("2001:db8:0:1::/64");
  }
  const { of } = known({ clientIpHeader: "True-Client-IP" });
  expect(of("127.0.0.1", { "true-client-ip": value }).key).toBe("2001:db8:0:1::/64");
});

test("Forwarded counts where there is no X-Forwarded-For", () => {
  const { of } = known();
  const both = { ...xff("203.0.113.7"), ...forwarded("for=203.0.113.8") };
  expect(of("127.0.0.1", both)).toMatchObject({ key: "203.0.113.7", header: "X-Forwarded-For" });
  expect(of("127.0.0.1", forwarded('for="[2001:db8:1:2::9]:80"'))).toMatchObject({
    key: "2001:db8:1:2::/64",
    header: "Forwarded",
  });
});

test("whatever a client sends on through a trusted proxy, it stays who it is", () => {
  const { of } = known();
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii", maxLength: 60 }), (sent) => {
      const written = sent.replaceAll(/[^\x20-\x7e]/g, " ");
      expect(of("127.0.0.1", xff(`${written}, 203.0.113.7`)).key).toBe("203.0.113.7");
    }),
  );
});

test("CLIENT_IP_HEADER is the one header that counts", () => {
  const { of } = known({ clientIpHeader: "CF-Connecting-IP" });
  const headers = { "cf-connecting-ip": " 203.0.113.7 ", ...xff("203.0.113.8") };
  expect(of("127.0.0.1", headers)).toMatchObject({
    key: "203.0.113.7",
    header: "cf-connecting-ip",
  });
  expect(of("127.0.0.1", xff("203.0.113.8"))).toMatchObject({ shared: true, fault: "missing" });
  const nonsense = { "cf-connecting-ip": "nonsense" };
  expect(of("127.0.0.1", nonsense)).toMatchObject({ shared: true, fault: "unreadable" });
  expect(of("203.0.113.9", headers).key).toBe("203.0.113.9");
});

test("of a CLIENT_IP_HEADER that came twice the last counts: what a client sends stands before it", () => {
  const { of } = known({ clientIpHeader: "X-Real-IP" });
  expect(of("127.0.0.1", { "x-real-ip": "1.2.3.4, 203.0.113.7" }).key).toBe("203.0.113.7");
});

test("who comes from a trusted address and names nobody is itself only on loopback without a proxy's signs", () => {
  const { of } = known({ trust: "private" });
  expect(of("127.0.0.1")).toMatchObject({ shared: false, fault: undefined });
  for (const name of ["X-Real-IP", "X-Forwarded-Proto", "Via"]) {
    expect(of("127.0.0.1", { [name]: "x" })).toMatchObject({ shared: true, fault: "missing" });
  }
  expect(of("10.0.0.1")).toMatchObject({ shared: true, fault: "missing", address: "10.0.0.1" });
});

test.each([
  ["Forwarded", forwarded("for=203.0.113.7"), xff("1.2.3.4")],
  ["X-Forwarded-For", xff("203.0.113.7"), forwarded("for=1.2.3.4")],
])("CLIENT_IP_HEADER=%s takes the hops from it alone", (clientIpHeader, right, wrong) => {
  const { of } = known({ clientIpHeader });
  expect(of("127.0.0.1", { ...right, ...wrong }).key).toBe("203.0.113.7");
  expect(of("127.0.0.1", wrong)).toMatchObject({ shared: true, fault: "missing" });
});

test("with TRUST_PROXY=none no header counts and nobody is shared", () => {
  const { of, shared } = known({ trust: "none" });
  for (const address of ["127.0.0.1", "10.0.0.1", "203.0.113.7"]) {
    expect(of(address, xff("1.2.3.4"))).toMatchObject({ key: address, shared: false });
  }
  expect(shared).toEqual([]);
});

test("an untrusted private peer that tells of others is everybody at once from then on", () => {
  const { of, shared, sharedCount } = known();
  expect(of("172.17.0.1").shared).toBe(false);
  expect(of("172.17.0.1", xff("203.0.113.7"))).toMatchObject({
    address: "172.17.0.1",
    shared: true,
  });
  expect(of("172.17.0.1", forwarded("for=203.0.113.8")).shared).toBe(true);
  expect(of("172.17.0.1").shared).toBe(true);
  expect(of("172.17.0.2").shared).toBe(false);
  expect(shared).toEqual(["172.17.0.1"]);
  expect(sharedCount()).toBe(1);
});

test("each header that a proxy may use makes a private peer shared, another one does not", () => {
  const usual = known();
  expect(usual.of("10.0.0.1", forwarded("for=203.0.113.7")).shared).toBe(true);
  expect(usual.of("10.0.0.2", { "X-Real-IP": "203.0.113.7" }).shared).toBe(false);
  const own = known({ clientIpHeader: "X-Real-IP" });
  expect(own.of("10.0.0.1", { "X-Real-IP": "203.0.113.7" }).shared).toBe(true);
});

test("addresses remembered as shared are bounded; one that returns counts as shared again", () => {
  const { of, sharedCount } = known();
  for (let i = 0; i < 5_000; i++) of(`10.0.${i >> 8}.${i & 255}`, xff("1.2.3.4"));
  expect(sharedCount()).toBe(1_024);
  expect(of("10.0.19.135").shared).toBe(true);
  expect(of("10.0.0.0", xff("1.2.3.4")).shared).toBe(true);
});

test("of a header full of trusted hops no more than 16 are looked at", () => {
  const looked: string[] = [];
  const trusted = (address: string) => {
    looked.push(address);
    return true;
  };
  const options = { trusted, ignoreHeaders: false, clientIpHeader: "", onShared: () => {} };
  const all = new Clients(options);
  const hops = Array.from({ length: 1_300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  const { address } = all.of("10.1.0.1", new Headers(xff(hops.join(","))));
  expect(address).toBe(hops.at(-16) ?? "");
  expect(looked).toEqual(["10.1.0.1", ...hops.slice(-16).reverse()]);
});

test("addresses without end that count as shared fill neither memory nor log", () => {
  const { of, shared, sharedCount } = known();
  for (let i = 0; i < 3_000; i++) of(`10.0.${i >> 8}.${i & 255}`, xff("198.51.100.1"));
  expect(sharedCount()).toBe(1_024);
  expect(shared.length).toBeLessThanOrEqual(1_025);
});
