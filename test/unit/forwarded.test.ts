import { expect, test } from "bun:test";
import fc from "fast-check";
import { hopsOfForwarded, hopsOfXForwardedFor } from "../../src/admission/clients.ts";

test.each([
  ["192.0.2.1", ["192.0.2.1"]],
  ["192.0.2.1, 198.51.100.2,203.0.113.3", ["192.0.2.1", "198.51.100.2", "203.0.113.3"]],
  ["192.0.2.1:8080", ["192.0.2.1"]],
  ["2001:db8::1", ["2001:db8:0:0:0:0:0:1"]],
  ["[2001:db8::1]", ["2001:db8:0:0:0:0:0:1"]],
  ["[2001:db8::1]:443", ["2001:db8:0:0:0:0:0:1"]],
  ["::ffff:192.0.2.1", ["192.0.2.1"]],
  ["unknown", [undefined]],
  ["192.0.2.1, , 203.0.113.3", ["192.0.2.1", undefined, "203.0.113.3"]],
  ["", [undefined]],
  ["192.0.2.1:", [undefined]],
  ["[192.0.2.1", [undefined]],
  ["192.0.2.1;203.0.113.3", [undefined]],
])("X-Forwarded-For: %s", (value, hops) => {
  expect([...hopsOfXForwardedFor(value)]).toEqual(hops.toReversed());
});

// The first five are from RFC 7239, sections 4 and 7.
test.each([
  ['for="_gazonk"', [undefined]],
  ['For="[2001:db8:cafe::17]:4711"', ["2001:db8:cafe:0:0:0:0:17"]],
  ["for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]],
  ["for=192.0.2.43, for=198.51.100.17", ["192.0.2.43", "198.51.100.17"]],
  [
    'for=192.0.2.43, for="[2001:db8:cafe::17]",for=unknown',
    ["192.0.2.43", "2001:db8:cafe:0:0:0:0:17", undefined],
  ],
  ["by=203.0.113.43;FOR=192.0.2.60", ["192.0.2.60"]],
  ['for="192.0.2.60:1234"', ["192.0.2.60"]],
  ['for="192.0.2.\\60"', ["192.0.2.60"]],
  ["proto=http", [undefined]],
  ["proto=http, for=192.0.2.60", [undefined, "192.0.2.60"]],
  ['host="a,b;for=1.2.3.4";for=192.0.2.60', ["192.0.2.60"]],
  ['host="a\\",for=1.2.3.4";for=192.0.2.60', ["192.0.2.60"]],
  ["for=192.0.2.60:_port", ["192.0.2.60"]],
  ['for=""', [undefined]],
  ["for=", [undefined]],
  ["", [undefined]],
  ["nonsense", [undefined]],
])("Forwarded: %s", (value, hops) => {
  expect([...hopsOfForwarded(value)]).toEqual(hops.toReversed());
});

test.each(["for=203.0.113.9", 'for="[2001:db8::9]"', 'for="[2001:db8::9]:80";proto=https'])(
  "whatever a client wrote before it, it cannot swallow the hop that a proxy appends: %s",
  (appended) => {
    const [truth] = hopsOfForwarded(appended);
    const sly = fc.stringMatching(/^[for=12.",;\\ _x]{0,40}$/);
    const crafted = fc.constantFrom(
      'for=1.2.3.4;x="',
      'for=1.2.3.4;x="\\',
      'for="1.2.3.4',
      '"',
      "\\",
    );
    fc.assert(
      fc.property(fc.oneof(sly, crafted), (written) => {
        const [hop] = hopsOfForwarded(`${written}, ${appended}`);
        expect(hop).toBe(truth);
      }),
      { numRuns: 500 },
    );
  },
);

test.each([
  ["X-Forwarded-For", hopsOfXForwardedFor, "10.0.0.1,", "10.0.0.2", "10.0.0.2"],
  ["Forwarded", hopsOfForwarded, "for=10.0.0.1,", "for=10.0.0.2", "10.0.0.2"],
  ["Forwarded, with quotes", hopsOfForwarded, 'for="",', 'for="10.0.0.2"', "10.0.0.2"],
] as const)(
  "%s is read from the right, whatever stands left of it",
  (_, hopsOf, unit, last, hop) => {
    for (const value of [last, unit + last, unit.repeat(50_000) + last]) {
      expect(hopsOf(value).next().value).toBe(hop);
    }
  },
);

test("however a header is made up, reading all of it takes no more steps than it is long", () => {
  for (const unit of ['"\\', '\\"', '"', '""\\', "for=", ",", ";", '="', "\\"]) {
    const value = unit.repeat(50_000 / unit.length);
    expect([...hopsOfForwarded(value)]).toBeArray();
    expect([...hopsOfForwarded(`"${value}`)]).toBeArray();
    expect([...hopsOfForwarded(`${value}"`)]).toBeArray();
  }
});
