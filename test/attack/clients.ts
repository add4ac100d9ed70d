import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Program } from "../support/program.ts";
import { RawClient } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { TestRedis } from "../support/redis.ts";
import { within } from "../support/waiting.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import { postJson, startTarget } from "./target.ts";

// What real clients meet, and what an operator would.

const { NT_SIGNAL_BINARY: server = join(import.meta.dir, "../../src/main.ts") } = process.env;

/** Receiver first, then sender; the sender's listener misses what shares the segment of its 101. */
async function lateListeners(): Promise<Verdict> {
  await using target = await startTarget();
  let alone = 0;
  let told = 0;
  const times = 15;
  for (let i = 0; i < times; i++) {
    const appId = crypto.randomUUID();
    await using receiver = await RawClient.open(target.ws, { appId, side: "B" });
    receiver.send('{"type":"hello","side":"B"}');
    await receiver.settled();
    await using sender = await RawClient.open(target.ws, { appId, listens: false });
    if (sender.besideUpgrade === 0) alone++;
    sender.send('{"type":"hello","side":"A"}');
    if ((await sender.settled()).some((text) => text.includes("room_full"))) told++;
  }
  return {
    measured: `${alone} of ${times} 101s alone, ${told} of ${times} senders heard room_full`,
    holds: alone === times && told === times,
  };
}

/** Who says nothing is told all the same, soon. */
async function quietNewcomer(): Promise<Verdict> {
  await using target = await startTarget();
  const appId = crypto.randomUUID();
  await using receiver = await RawClient.open(target.ws, { appId, side: "B" });
  await receiver.settled();
  const startedAt = performance.now();
  await using sender = await RawClient.open(target.ws, { appId, side: "A" });
  const text = await sender.nextText().catch(() => "nothing");
  const ms = performance.now() - startedAt;
  return {
    measured: `${text} after ${ms.toFixed(0)} ms`,
    holds: text.includes("room_full") && ms < 1_000,
  };
}

async function largeBodies(): Promise<Verdict> {
  await using target = await startTarget();
  const body = `{"code":"${"1".repeat(100_000)}"}`;
  const ask = (path: string) =>
    rawRequest(target.http, {
      method: "POST",
      target: `/rendezvous/${path}`,
      headers: { "Content-Type": "application/json" },
      body,
    });
  const redeem = await ask("redeem");
  const type = redeem.headers.get("content-type") ?? "no type";
  const code = await ask("code");
  return {
    measured: `redeem ${redeem.status} ${type}, code ${code.status}`,
    holds: redeem.status === 413 && type.includes("problem+json") && code.status === 200,
  };
}

async function brokenIds(): Promise<Verdict> {
  await using redis = await TestRedis.start();
  await using target = await startTarget({ REDIS_URL: redis.url });
  const appId = crypto.randomUUID();
  const headers = { "Sec-WebSocket-Protocol": "nt.v2" };
  await using a = await RawClient.open(target.ws, { appId, headers });
  await using b = await RawClient.open(target.ws, { appId, side: "B", headers });
  b.send('{"type":"hello"}');
  await b.settled();
  for (const id of ["\\ud800", "\\ud801"]) {
    a.send(`{"type":"send","to":"B","payload":"${id.slice(1)}","id":"${id}"}`);
  }
  // Redis answers in its own time, in order: by the third answer the first two are here.
  a.send('{"type":"send","to":"B","payload":"last","id":"last"}');
  const answers: string[] = [];
  while (!answers.at(-1)?.includes('"last"')) answers.push(await a.nextText());
  const mails: string[] = [];
  while (!mails.at(-1)?.includes('"last"')) mails.push(await b.nextText());
  const count = (texts: readonly string[], type: string) =>
    texts.filter((text) => text.includes(`"type":"${type}"`)).length;
  const stored = count(answers, "stored");
  const came = count(mails, "deliver") + count(mails, "send");
  return { measured: `${stored} stored, ${came} delivered`, holds: stored === came };
}

/** A server that answers with what moves a terminal's cursor. */
async function doctorEscapes(): Promise<Verdict> {
  const moves = "\u001b[2J\u001b]0;owned\u0007";
  const answer = () =>
    new Response(
      JSON.stringify({
        code: moves,
        appID: moves,
        detail: moves,
        title: moves,
        reason: moves,
      }),
      { status: 503, headers: { "content-type": "application/json" } },
    );
  using hostile = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  using moved = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      new Response(null, { status: 302, headers: { location: "/\u009b2J\u009d0;owned\u009c" } }),
  });
  let found = 0;
  for (const { port } of [hostile, moved]) {
    await using doctor = await Program.start(
      { NO_COLOR: "1" },
      "doctor",
      `http://127.0.0.1:${port}`,
    );
    await within("the doctor", doctor.exited, 60_000);
    const said = doctor.stdout + doctor.stderr;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
    found += said.match(/[\u0007\u001b\u0080-\u009f]/g)?.length ?? 0;
  }
  return { measured: `${found} control characters printed`, holds: found === 0 };
}

async function lostState(): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-attack-"));
  await using target = await startTarget({ STATE_FILE: join(folder, "state") });
  await postJson(target, "code", {});
  const lock = Bun.spawnSync([
    "find",
    folder,
    "-name",
    "*.lock",
    "-printf",
    "%m",
  ]).stdout.toString();
  await rm(folder, { recursive: true });
  target.program.signal("SIGTERM");
  const code = await target.program.exit();
  return {
    measured: `exit ${code}, lock of mode ${lock || "none"}`,
    holds: code !== 0 && (lock === "" || lock === "600"),
  };
}

/** Only of a checkout: a binary is started without npm. */
async function npmStart(): Promise<Verdict> {
  if (!server.endsWith(".ts")) return { measured: "no checkout: nothing to start", holds: true };
  const npm = Bun.spawn(["npm", "start"], {
    cwd: dirname(dirname(resolve(server))),
    env: { ...process.env, PORT: "0", HOST: "127.0.0.1", LOG_FORMAT: "json" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  let said = "";
  let port: string | undefined;
  for await (const chunk of npm.stdout) {
    said += Buffer.from(chunk).toString();
    port = /"url":"http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
    if (port !== undefined) break;
  }
  const started = descendants(npm.pid);
  npm.kill("SIGTERM");
  await npm.exited;
  let left = started;
  for (const until = performance.now() + 5_000; performance.now() < until; ) {
    left = started.filter(isAlive);
    if (left.length === 0) break;
    await Bun.sleep(50);
  }
  for (const pid of left) process.kill(pid, "SIGKILL");
  return {
    measured: port === undefined ? "it did not start" : `${left.length} processes left behind`,
    holds: port !== undefined && left.length === 0,
  };
}

function descendants(pid: number): readonly number[] {
  const found = Bun.spawnSync(["ps", "-o", "pid=", "--ppid", String(pid)]).stdout.toString();
  const children = found.trim().split(/\s+/).filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export const clients: readonly Attack[] = [
  {
    name: "client-that-listens-late",
    tries: "receiver first, then a sender that misses what shares the segment of its 101",
    bound: "nothing follows the 101 in its segment; 15 of 15 hear room_full",
    short: true,
    run: lateListeners,
  },
  {
    name: "client-that-says-nothing",
    tries: "a sender that sends no frame",
    bound: "it hears room_full within 1 s",
    short: true,
    run: quietNewcomer,
  },
  {
    name: "large-bodies",
    tries: "bodies of 100 kB",
    bound: "redeem answers problem+json 413, mint ignores it",
    short: true,
    run: largeBodies,
  },
  {
    name: "broken-ids",
    tries: "two mails whose ids differ by an unpaired surrogate, with Redis",
    bound: "every mail answered stored is delivered",
    needs: ["redis-server"],
    run: brokenIds,
  },
  {
    name: "doctor-and-escapes",
    tries: "doctor asks a server that answers with control characters",
    bound: "none reaches the terminal",
    short: true,
    run: doctorEscapes,
  },
  {
    name: "state-that-cannot-be-written",
    tries: "the folder of STATE_FILE is removed before SIGTERM",
    bound: "the exit code is not 0; the lock had mode 600",
    short: true,
    run: lostState,
  },
  {
    name: "npm-start-and-sigterm",
    tries: "npm start, SIGTERM to npm",
    bound: "no process is left behind after 5 s",
    needs: ["npm", "ps"],
    run: npmStart,
  },
];
