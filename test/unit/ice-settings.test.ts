import { expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";

function read(env: Record<string, string>) {
  const reading = readConfig(env);
  if ("problems" in reading) throw new Error(JSON.stringify(reading.problems));
  return reading.config;
}
function wrong(env: Record<string, string>) {
  const reading = readConfig(env);
  return "problems" in reading ? reading.problems.map(({ variable }) => variable) : [];
}

test("the page follows DEV unless DEMO says otherwise", () => {
  expect(read({}).demo).toBe(true);
  expect(read({ DEV: "false" }).demo).toBe(false);
  expect(read({ CORS_ORIGINS: "app.example.com" }).demo).toBe(false);
  expect(read({ DEV: "false", DEMO: "true" }).demo).toBe(true);
  expect(read({ DEMO: "false" }).demo).toBe(false);
});

test("ICE servers are read as a browser takes them", () => {
  const servers = [
    { urls: "stun:stun.example.com:3478" },
    {
      urls: ["turn:[::1]:3478?transport=udp", "turns:t.example.com"],
      username: "u",
      credential: "c",
    },
  ];
  expect(read({ ICE_SERVERS: JSON.stringify(servers) }).iceServers).toEqual(servers);
  expect(read({}).iceServers).toEqual([]);
});

test("a plain list of stun: URLs is one of ICE servers", () => {
  const { iceServers } = read({ ICE_SERVERS: "stun:a.example.com, stuns:b.example.com:443" });
  expect(iceServers).toEqual([{ urls: "stun:a.example.com" }, { urls: "stuns:b.example.com:443" }]);
});

test.each([
  ["stun:a.example.com,turn:b.example.com", "entry 2 is not a stun: URL"],
  ["{}", "it is not an array"],
  ['[{"urls":"stun:a.example.com"},]', "it is not valid JSON"],
  ['["stun:a.example.com"]', "entry 1 is not an object"],
  ['[{"urls":"https://x.example.com"}]', "entry 1 has a URL that is not a stun: or turn: URL"],
  ['[{"urls":[]}]', "entry 1 has no urls"],
  ['[{"urls":"turn:x.example.com"}]', "entry 1 has turn: URLs without username and credential"],
  [
    '[{"urls":"stun:x.example.com?transport=udp"}]',
    "entry 1 has a URL that is not a stun: or turn: URL",
  ],
  ['[{"url":"stun:x.example.com"}]', "entry 1 has no urls"],
  ['[{"urls":"stun:x.example.com","x":1}]', "entry 1 has other fields than urls, username"],
  ['[{"urls":"stun:x.example.com","username":""}]', "entry 1 has an empty username"],
])("ICE_SERVERS=%s is refused: %s", (text, fault) => {
  const reading = readConfig({ ICE_SERVERS: text });
  const [problem] = "problems" in reading ? reading.problems : [];
  expect(problem).toMatchObject({ variable: "ICE_SERVERS", value: "***" });
  expect(problem && "allowed" in problem ? problem.allowed : "").toContain(`; ${fault}`);
});

test("TURN needs both URLs and a secret", () => {
  const both = { TURN_URLS: "turn:a.example.com, turns:b.example.com:443", TURN_SECRET: "n, o" };
  expect(read(both)).toMatchObject({
    turnUrls: ["turn:a.example.com", "turns:b.example.com:443"],
    turnSecrets: ["n", "o"],
    turnTtlMs: 600_000,
    turnRooms: "redeemed",
  });
  expect(wrong({ TURN_SECRET: "n" })).toEqual(["TURN_URLS"]);
  expect(wrong({ TURN_URLS: "turn:a.example.com" })).toEqual(["TURN_SECRET"]);
  expect(wrong({ ...both, TURN_URLS: "stun:a.example.com" })).toEqual(["TURN_URLS"]);
  expect(wrong({ ...both, TURN_SECRET: "," })).toEqual(["TURN_SECRET"]);
  expect(wrong({ TURN_ROOMS: "all" })).toEqual(["TURN_ROOMS"]);
  expect(wrong({ TURN_TTL: "10s" })).toEqual(["TURN_TTL"]);
});

test("no problem shows a credential or a secret", () => {
  const reading = readConfig({
    ICE_SERVERS: '[{"urls":"turn:x","username":"u","credential":"hush"},]',
    TURN_SECRET: "hush",
  });
  expect(JSON.stringify(reading)).not.toContain("hush");
});
