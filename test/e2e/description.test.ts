import { describe, expect, test } from "bun:test";
import SwaggerParser from "@apidevtools/swagger-parser";
import { Parser } from "@asyncapi/parser";
import { type Call, calls } from "../../src/http/calls.ts";
import { type FrameKind, fromClient, fromServer } from "../../src/http/description/asyncapi.ts";
import { problemCodes } from "../../src/http/problem.ts";
import { frameTypes, relayTypes, serverFrames } from "../../src/protocol/frames.ts";
import { type Frame, TestClient } from "../support/client.ts";
import { type TestServer, testServer } from "../support/server.ts";

const kinds: Readonly<Record<string, FrameKind>> = fromServer;

/** What the validator accepts. Its types are those of one version of the standard. */
type ApiDocument = Parameters<typeof SwaggerParser.validate>[0];

async function document(server: TestServer, path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(server.http + path);
  expect(answer.headers.get("content-type")).toBe("application/json");
  return (await answer.json()) as Record<string, unknown>;
}

/** The frame is of a kind that the document tells of, and has exactly the fields it tells. */
function isDescribed(frame: Frame): boolean {
  const kind = kinds[frame.type === "send" ? "deliver" : frame.type];
  return kind?.schema.safeParse(frame).success ?? false;
}

describe("/openapi.json", () => {
  test("is a valid OpenAPI 3.1 document that names every call", async () => {
    await using server = await testServer();
    const openApi = await document(server, "/openapi.json");
    expect(openApi["openapi"]).toBe("3.1.0");
    await SwaggerParser.validate(openApi as unknown as ApiDocument);
    expect(Object.keys(openApi["paths"] as object).toSorted()).toEqual([
      "/healthz",
      "/readyz",
      "/rendezvous/code",
      "/rendezvous/ice",
      "/rendezvous/redeem",
      "/rendezvous/whoami",
    ]);
  });

  test.each(calls)("$method $path is answered as described, each example sent", async (call) => {
    // Every code drawn is 2802, the one of the example.
    await using server = await testServer({}, { random: () => 2802 });
    const bodies = Object.values(call.examples ?? { none: undefined });
    for (const body of bodies) {
      if (call.id === "redeem") await server.mint();
      const answer = await send(server, call, body);
      expect(answer.status).toBe(200);
      call.answers[200]?.parse(await answer.json());
    }
  });

  test("each problem stands beside a call, but those of upgrades, paths and methods", async () => {
    await using server = await testServer();
    const text = JSON.stringify(await document(server, "/openapi.json"));
    const lists = [...text.matchAll(/"description":"([a-z_, ]+)"/g)].map(([, list = ""]) => list);
    const described = lists.flatMap((list) => list.split(", "));
    expect(problemCodes.filter((code) => !described.includes(code)).toSorted()).toEqual([
      ...["method_not_allowed", "not_found", "rooms_full", "sockets_full", "too_many_rooms"],
      ...["too_many_sockets", "unauthorized", "upgrade_required"],
    ] as never);
  });

  test("each refusal has a status and a code that the call names", async () => {
    await using server = await testServer({ TURN_URLS: "turn:127.0.0.1", TURN_SECRET: "x" });
    const { paths } = (await document(server, "/openapi.json")) as {
      paths: Record<string, Record<string, { responses: Record<string, { description: string }> }>>;
    };
    let seen = 0;
    for (const call of calls.filter(({ body }) => body?.fault)) {
      for (const body of [{ code: "0000" }, [], undefined, "x".repeat(5000)]) {
        const answer = await send(server, call, body);
        const { code } = (await answer.json()) as { code: string };
        const response = paths[call.path]?.[call.method]?.responses[answer.status];
        const told = response?.description;
        expect(answer.headers.has("retry-after")).toBe("headers" in (response ?? {}));
        expect(told?.split(", ")).toContain(code);
        seen++;
      }
    }
    expect(seen).toBeGreaterThan(0);
  });

  function send(server: TestServer, { method, path }: Call, body: unknown): Promise<Response> {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    return fetch(server.http + path, { method: method.toUpperCase(), headers, ...text });
  }
});

describe("/asyncapi.json", () => {
  test("is a valid AsyncAPI 3 document that names every frame", async () => {
    await using server = await testServer();
    const asyncApi = await document(server, "/asyncapi.json");
    const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(asyncApi));
    const errors = diagnostics.filter(({ severity }) => severity === 0);
    expect(errors).toEqual([]);
    expect(parsed?.version()).toBe("3.0.0");
    const names = parsed
      ?.allMessages()
      .all()
      .map((message) => message.name());
    const counted = frameTypes.filter((type) => type !== "other");
    expect(new Set(names)).toEqual(new Set([...counted, ...Object.keys(serverFrames)]));
  });

  test("the server finds no fault with the examples, and sends only what is described", async () => {
    await using server = await testServer({ ICE_SERVERS: '[{"urls":"stun:stun.example.com"}]' });
    const appId = crypto.randomUUID();
    const heard: Frame[] = [];
    const a = await TestClient.open(server.ws, appId, "A", { v2: true, sid: "a" });
    const b = await TestClient.open(server.ws, appId, "B", { v2: true });
    for (const [type, { examples }] of Object.entries(fromClient)) {
      if (type === "mint" || type === "redeem" || type === "join") continue;
      for (const example of examples) a.send(example);
    }
    heard.push(...(await roomRequests(server.ws)));
    heard.push(...(await a.settled()), ...(await b.settled()));
    a.send("{");
    a.send({ type: "hello", deliveredUpTo: "x" });
    await b.close();
    heard.push(...(await a.settled()));
    await a.close();

    const relayed: string[] = [...relayTypes];
    const own = heard.filter(({ type }) => !relayed.includes(type));
    expect(own.filter((frame) => !isDescribed(frame))).toEqual([]);
    expect(new Set(own.map(({ type }) => type))).toEqual(
      new Set([
        "minted",
        "redeemed",
        "welcome",
        "room_full",
        "peer_joined",
        "peer_left",
        "send",
        "deliver",
        "stored",
        "pong",
        "error",
      ]),
    );
    const faults = own.filter(({ type }) => type === "error").map((frame) => frame["code"]);
    expect(faults).toEqual(["bad_json", "bad_field"]);
    expect(heard.filter(({ type }) => relayed.includes(type)).map(({ type }) => type)).toEqual(
      relayed,
    );
  });

  test("the examples of what the server sends are of the kind they stand for", () => {
    for (const { examples } of Object.values(fromServer)) {
      expect(examples.filter((frame) => !isDescribed(frame))).toEqual([]);
    }
  });
});

/** What the examples of room requests are answered by, each on a socket of its own. */
async function roomRequests(ws: string): Promise<readonly Frame[]> {
  const heard: Frame[] = [];
  const open = () => TestClient.connect(`${ws}/ws`, { protocols: ["nt.v2"] });
  const examplesOf = (type: string) =>
    (fromClient[type]?.examples ?? []).map((example) => ({ ...(example as Frame) }));
  for (const example of [...examplesOf("mint"), ...examplesOf("join")]) {
    await using client = await open();
    client.send(example);
    heard.push(...(await client.settled()));
    const code = heard.at(0)?.["code"];
    for (const redeem of heard.length > 2 ? [] : examplesOf("redeem")) {
      await using other = await open();
      other.send({ ...redeem, code });
      heard.push(...(await other.settled()));
    }
  }
  return heard;
}
