import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { newAppId, type Side } from "../../src/base/ids.ts";
import { turnCredentials } from "../../src/rendezvous/ice.ts";

const now = 1_700_000_000_000;
const appId = newAppId();

function made(secret = "north", side: Side = "A", ttlMs = 600_000) {
  return turnCredentials(secret, appId, side, now + ttlMs);
}

test("the name begins with the second in which the credentials end", () => {
  expect(made().username).toMatch(/^1700000600:[0-9a-f]{32}$/);
  expect(made().expiresAt).toBe(1_700_000_600_000);
  expect(made("north", "A", 1).username).toStartWith("1700000001:");
});

test("the credential is the name signed with HMAC-SHA1, in base64", () => {
  const { username, credential } = made();
  expect(credential).toBe(createHmac("sha1", "north").update(username).digest("base64"));
  expect(made("south").credential).not.toBe(credential);
});

test("sides and rooms have names of their own, without the room's in them", () => {
  const other = turnCredentials("north", newAppId(), "A", now + 600_000);
  const names = [made("north", "A"), made("north", "B"), other].map(({ username }) => username);
  expect(new Set(names).size).toBe(3);
  expect(names.join()).not.toContain(appId);
});
