import { describe, expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { type Credentials, noTurn, TurnServer } from "../support/turn-server.ts";

interface IceAnswer {
  readonly iceServers: readonly ({ readonly urls: string | string[] } & Partial<Credentials>)[];
  readonly expiresAt?: string;
}

const stun = { urls: "stun:stun.example.com" };
const turnEnv = {
  ICE_SERVERS: JSON.stringify([stun]),
  TURN_URLS: "turn:127.0.0.1:3478",
  TURN_SECRET: "north",
};

function ask(server: TestServer, body: unknown, headers = {}): Promise<Response> {
  return fetch(`${server.http}/rendezvous/ice`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function asked(server: TestServer, appID: string, side: string): Promise<IceAnswer> {
  const answer = await ask(server, { appID, side });
  expect(answer.status).toBe(200);
  return (await answer.json()) as IceAnswer;
}

/** A room whose code was redeemed; nobody is in it yet. */
async function redeemedRoom(server: TestServer): Promise<string> {
  const { code, appID } = await server.mint();
  await server.redeem(code);
  return appID;
}

describe("POST /rendezvous/ice", () => {
  test("gives a seated side of a redeemed room TURN credentials, and tells when they end", async () => {
    await using server = await testServer({ ...turnEnv, TURN_TTL: "1h" });
    const appID = await redeemedRoom(server);
    await using _a = await TestClient.open(server.ws, appID, "A");
    const { iceServers, expiresAt } = await asked(server, appID.toUpperCase(), "a");
    expect(iceServers).toEqual([
      stun,
      {
        urls: ["turn:127.0.0.1:3478"],
        username: expect.stringMatching(/^\d{10}:[0-9a-f]{32}$/),
        credential: expect.any(String),
      },
    ]);
    const seconds = Number(iceServers[1]?.username?.split(":")[0]);
    expect(Date.parse(expiresAt ?? "")).toBe(seconds * 1000);
    expect(seconds * 1000 - Date.now()).toBeGreaterThan(3_500_000);
    // Each side has a name of its own for the TURN server, which tells nobody the room.
    await using _b = await TestClient.open(server.ws, appID, "B");
    const names = [iceServers, (await asked(server, appID, "B")).iceServers].map((servers) =>
      servers[1]?.username?.split(":").at(-1),
    );
    expect(new Set(names).size).toBe(2);
    expect(names).not.toContain(appID.replaceAll("-", ""));
  });

  test("refuses a side without a seat and a room without a redeemed code, and says why", async () => {
    await using server = await testServer(turnEnv);
    const { code, appID } = await server.mint();
    await using _a = await TestClient.open(server.ws, appID, "A");
    const refused = async (side: string) => {
      const answer = await ask(server, { appID, side });
      expect(answer.status).toBe(403);
      return ((await answer.json()) as { code: string; detail: string }).detail;
    };
    expect(await refused("A")).toContain("code has not been redeemed");
    expect(await refused("B")).toContain("Open its WebSocket first");
    await server.redeem(code);
    expect((await ask(server, { appID, side: "A" })).status).toBe(200);
    expect(await server.metric('nt_refusals_total{reason="ice"}')).toBe(2);
  });

  test("gives a side no more than 4", async () => {
    await using server = await testServer(turnEnv);
    const appID = await redeemedRoom(server);
    await using _a = await TestClient.open(server.ws, appID, "A");
    for (let i = 0; i < 4; i++) await asked(server, appID, "A");
    expect(await (await ask(server, { appID, side: "A" })).json()).toMatchObject({
      status: 403,
      code: "ice_refused",
    });
  });

  test("gives a client no more than 30 in an hour, over all of its rooms", async () => {
    await using server = await testServer({ ...turnEnv, TURN_ROOMS: "any" });
    let granted = 0;
    for (let room = 0; room < 8; room++) {
      const appID = crypto.randomUUID();
      await using _a = await TestClient.open(server.ws, appID, "A");
      for (let i = 0; i < 4; i++) {
        const answer = await ask(server, { appID, side: "A" });
        if (answer.ok) granted++;
        else expect(answer.headers.get("retry-after")).toMatch(/^\d+$/);
      }
    }
    expect(granted).toBe(30);
  });

  test("with TURN_ROOMS=any a room of the clients' own is served", async () => {
    await using server = await testServer({ ...turnEnv, TURN_ROOMS: "any" });
    const appID = crypto.randomUUID();
    await using _a = await TestClient.open(server.ws, appID, "A");
    expect((await asked(server, appID, "A")).iceServers).toHaveLength(2);
  });

  test("answers with what there is where no TURN is set up", async () => {
    await using server = await testServer();
    expect(await asked(server, crypto.randomUUID(), "A")).toEqual({ iceServers: [] });
  });

  test("refuses what names no side of a room", async () => {
    await using server = await testServer(turnEnv);
    const appID = crypto.randomUUID();
    const statuses = [];
    for (const body of [
      "",
      "{",
      "[]",
      { appID },
      { appID: "x", side: "A" },
      { appID, side: "C" },
    ]) {
      statuses.push((await ask(server, body)).status);
    }
    expect(statuses).toEqual([400, 400, 400, 400, 400, 400]);
    const text = { "content-type": "text/plain" };
    expect((await ask(server, { appID, side: "A" }, text)).status).toBe(415);
    expect((await ask(server, " ".repeat(5000))).status).toBe(413);
    const get = await fetch(`${server.http}/rendezvous/ice`);
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
  });

  test("counts for HTTP_RATE_PER_MIN like its neighbours", async () => {
    await using server = await testServer({ HTTP_RATE_PER_MIN: "2" });
    const statuses = [];
    for (let i = 0; i < 3; i++) {
      statuses.push((await ask(server, { appID: crypto.randomUUID(), side: "A" })).status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });
});

describe("welcome", () => {
  test("has TURN in a redeemed room, and only what needs no credential before", async () => {
    await using server = await testServer(turnEnv);
    const { code, appID } = await server.mint();
    await using a = await TestClient.open(server.ws, appID, "A", { v2: true });
    expect(await a.next()).toMatchObject({ type: "welcome", peer: false, iceServers: [stun] });
    await server.redeem(code);
    await using b = await TestClient.open(server.ws, appID, "B", { v2: true });
    const welcome = await b.next();
    expect(welcome).toMatchObject({ type: "welcome", peer: true });
    expect(welcome["iceServers"]).toEqual([
      stun,
      {
        urls: ["turn:127.0.0.1:3478"],
        username: expect.any(String),
        credential: expect.any(String),
      },
    ]);
  });

  test("counts towards the 4 of a side", async () => {
    await using server = await testServer(turnEnv);
    const appID = await redeemedRoom(server);
    await using _b = await TestClient.open(server.ws, appID, "B", { v2: true });
    for (let i = 0; i < 3; i++) await asked(server, appID, "B");
    expect((await ask(server, { appID, side: "B" })).status).toBe(403);
  });
});

describe.skipIf(noTurn)("Debian's coturn", () => {
  test("believes the credentials, and those of another secret it doesn't", async () => {
    await using turn = await TurnServer.start("north");
    const credentialsOf = async (secrets: string) => {
      await using server = await testServer({ TURN_URLS: turn.url(), TURN_SECRET: secrets });
      const appID = await redeemedRoom(server);
      await using _a = await TestClient.open(server.ws, appID, "A");
      const [{ username = "", credential = "" } = {}] = (await asked(server, appID, "A"))
        .iceServers;
      return { username, credential };
    };
    const [good, bad] = await Promise.all([credentialsOf("north,old"), credentialsOf("old,north")]);
    const [believed, refused] = await Promise.all([turn.tryOut(good), turn.tryOut(bad)]);
    expect(believed).toContain("Total lost packets 0 ");
    await turn.logged(
      new RegExp(`user <${good.username}>: incoming packet ALLOCATE processed, success`),
    );
    expect(refused).toContain("Cannot complete Allocation");
  });
});
