import { expect, test } from "bun:test";
import { type Attempt, advice, noCandidates } from "../../src/page/browser/advice.ts";

const host = { ...noCandidates, host: 2 };
const failed: Attempt = { iceUrls: [], relayOnly: false, local: host, remote: host, errors: [] };
const turn = "turn:turn.example.com:3478";

test.each([
  ["no own address", { local: noCandidates }, "keep WebRTC off"],
  ["?relay without TURN", { relayOnly: true, local: noCandidates }, "Open it without ?relay"],
  ["no address from the other side", { remote: noCandidates }, "from the other side"],
  ["no ICE server", {}, "No ICE server configured: two networks need STUN or TURN"],
  ["STUN alone", { iceUrls: ["stun:stun.example.com"] }, "a TURN server is needed"],
  [
    "wrong secret",
    { iceUrls: [turn], errors: [{ url: turn, code: 401 }] },
    "refused the credentials",
  ],
  [
    "wrong secret on both sides, with ?relay",
    {
      iceUrls: [turn],
      relayOnly: true,
      local: noCandidates,
      remote: noCandidates,
      errors: [{ url: turn, code: 401 }],
    },
    "refused the credentials",
  ],
  [
    "TURN unreachable on both sides, with ?relay",
    { iceUrls: [turn], relayOnly: true, local: noCandidates, remote: noCandidates },
    "gave no address",
  ],
  ["TURN unreachable", { iceUrls: [turn], errors: [{ url: turn, code: 701 }] }, "gave no address"],
  ["relay ports shut", { iceUrls: [turn], local: { ...host, relay: 1 } }, "relay ports"],
])("who fails for %s is told what helps", (_, attempt, words) => {
  expect(advice({ ...failed, ...attempt })).toContain(words);
});
