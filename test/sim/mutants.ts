import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan } from "./world.ts";

/** A fault to plant in the source: `from`, which occurs there exactly once, is replaced by `to`. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly engine: Plan["engine"];
  /** The simulated faults that reveal it. They are too rare in a usual simulation. */
  readonly faults?: string;
}

const memory = (name: string, file: string, from: string, to: string): Mutant => ({
  ...{ name, file: `src/${file}`, from, to },
  engine: "memory",
});
type Planted = Parameters<typeof memory>;
const redis = (...[name, file, from, to, faults]: [...Planted, faults?: string]): Mutant => ({
  ...memory(name, file, from, to),
  engine: "redis",
  ...(faults && { faults }),
});

const root = join(import.meta.dir, "../..");
const relay = "engine/rules/relay.ts";
const mail = "engine/rules/mail.ts";
const seats = "engine/rules/seats.ts";
const room = "engine/rules/room.ts";
const codes = "engine/rules/codes.ts";

const mutants: readonly Mutant[] = [
  memory("a drop is not counted", relay, "turn.dropped(why, all.length - kept.length);", ""),
  memory(
    "held frames are delivered a second time",
    relay,
    "for (const held of all) countHeld(turn, place, held, -1);\n  turn.held(side).replace([]);\n  turn.tell",
    "place.hold = undefined;\n  turn.tell",
  ),
  memory("held frames come in reverse", relay, "held: all.map(", "held: all.reverse().map("),
  memory(
    "frames go back to their sender",
    relay,
    'place = room?.[other];\n  if (place === undefined) return "no_peer";',
    'place = room?.[side];\n  if (place === undefined) return "no_peer";',
  ),
  memory(
    "the share of a held frame is not given back",
    relay,
    "if (held.from !== butFrom) countHeld(turn, place, held, -1);",
    "if (held.from !== butFrom) place.hold = undefined;",
  ),
  memory(
    "an acknowledgement drops one mail more",
    mail,
    "const count = Math.min(upTo, box.last) - box.before;",
    "const count = Math.min(upTo + 1, box.last) - box.before;",
  ),
  memory(
    "an id that is known is stored again",
    mail,
    "if (known !== undefined) {",
    "if (known === 0) {",
  ),
  memory(
    "the wake-up of a reader is lost",
    mail,
    "if (place.seat !== undefined) turn.tell(to, place.seat, mailEvent);",
    "if (place.seat !== undefined && seq % 8 !== 0) turn.tell(to, place.seat, mailEvent);",
  ),
  memory(
    "a mailbox takes one mail too many",
    mail,
    "mails >= mailboxMaxMails ||",
    "mails > mailboxMaxMails ||",
  ),
  redis(
    "mail is not given back to its sender's share",
    mail,
    'turn.charge("bytes", mail.accounts, cost);\n}',
    'if (times > 0) turn.charge("bytes", mail.accounts, cost);\n}',
  ),
  memory(
    "a hello of another life drops what is stored",
    mail,
    "const moved = upTo - box.before;",
    "acknowledge(turn, seat.side, box, upTo);\n  const moved = upTo - box.before;",
  ),
  memory(
    "whoever comes with any sid takes over",
    seats,
    'if (sid === "" || sid !== place.sid)',
    'if (sid === "")',
  ),
  memory(
    "a takeover is not told to the other side",
    seats,
    'tellOther(turn, room, side, { kind: "joined", peer: place.seat as Occupant });',
    'if (place.lastToken === token && room.tokens % 3 !== 0) tellOther(turn, room, side, { kind: "joined", peer: place.seat as Occupant });',
  ),
  memory(
    "the occupant is not told that it was replaced",
    seats,
    'turn.tell(side, place.seat, { kind: "replaced", why });',
    "",
  ),
  memory("who leaves is still counted", room, 'turn.count("peers", -1);', ""),
  memory(
    "who waits for a seat does not hear that it is free",
    room,
    'if (waiter !== undefined) turn.tellWaiter(waiter, "vacant");',
    "",
  ),
  memory(
    "an empty room is kept for ever",
    room,
    "if (room.emptyAt !== undefined && overAt(turn, room, room.emptyAt) <= turn.now)",
    "if (room.emptyAt !== undefined && overAt(turn, room, room.emptyAt) < 0)",
  ),
  memory(
    "a room with mail is forgotten too soon",
    room,
    "if (room.redeemed || mailWaits(room)) return",
    "if (room.redeemed) return",
  ),
  memory(
    "all mail together passes its bound",
    "engine/rules/counting.ts",
    'if (used + bytes > max) return "full";',
    "",
  ),
  memory(
    "a code is given twice",
    codes,
    "record === undefined || record.isUsed || now",
    "record === undefined || now",
  ),
  memory(
    "a guesser is never locked",
    codes,
    "if (lockedUntil > now) return",
    "if (lockedUntil < 0) return",
  ),
  memory(
    "a code that lives is minted again",
    codes,
    "if (turn.code(code) !== undefined) continue;",
    "",
  ),
  memory(
    "a sender is never told that its peer has room again",
    "engine/connections.ts",
    'if (own(seat).isHeld) this.tellPeer(own(seat), { kind: "drained" });',
    "",
  ),
  memory(
    "a resumed socket stays paused",
    "ws/flow.ts",
    "    if (!socket.turn) socket.ws?.resume();\n    socket.turn = false;\n  }\n\n  readForATurn",
    "    socket.turn = false;\n  }\n\n  readForATurn",
  ),
  memory(
    "a pong is no sign of life",
    "ws/sockets.ts",
    "    socket.heardAt = clock.monotonicMs();\n    fairQueue.control",
    "    fairQueue.control",
  ),
  memory(
    "a dead socket is never cut",
    "ws/heartbeat.ts",
    'if (silent) socket.terminate("dead");\n  else',
    "if (!silent)",
  ),
  memory(
    "a client is told before it listens",
    "ws/sockets.ts",
    "    if (socket.isBrowser) socket.heard();",
    "    if (socket.quiet) socket.heard();",
  ),
  memory(
    "what waited for a client's first frame is lost",
    "ws/peer-socket.ts",
    "for (const text of known) this.write(text);",
    'for (const text of known) if (!text.includes("ice")) this.write(text);',
  ),
  memory(
    "a socket that is gone still counts",
    "ws/sockets.ts",
    "    this.socketLedger.add(socket.client.accounts, -1);\n",
    "    if (code !== 1001) this.socketLedger.add(socket.client.accounts, -1);\n",
  ),
  memory(
    "a queued frame is skipped",
    "signaling/inbox.ts",
    "      this.head++;\n",
    "      this.head += this.head % 40 === 39 ? 2 : 1;\n",
  ),
  memory(
    "mail is sent twice on one connection",
    "signaling/pump.ts",
    "        this.sentUpTo = seq;\n",
    "        if (seq % 50 !== 0) this.sentUpTo = seq;\n",
  ),
  memory(
    "who finds its occupant dead does not ask again",
    "signaling/arrival.ts",
    "this.dead = occupant;\n        this.tryAgain();",
    "this.dead = occupant;",
  ),
  memory(
    "a restart forgets mail",
    "engine/memory/snapshot.ts",
    "for (const [index, mail] of mails.entries()) {",
    "for (const [index, mail] of mails.slice(1).entries()) {",
  ),
  memory(
    "the log tells a sid",
    "telemetry/connection-log.ts",
    "side: place.side }",
    "side: place.side, sid: (place as { sid?: string }).sid }",
  ),
  memory(
    "the client sends mail again under another id",
    "client/client.ts",
    "if (this.transmitMail(id, payload)) return;",
    "if (this.transmitMail(newId(), payload)) return;",
  ),
  redis(
    "a replica's age is not healed",
    "engine/redis/redis.ts",
    "if (isAnother) this.lapsed();",
    "",
    "failover",
  ),
  redis(
    "frames that were lost with the store are not told",
    "engine/redis/redis.ts",
    "this.seats.recheck(seat, true)",
    "this.seats.recheck(seat)",
  ),
  redis(
    "a seq that a client knows is given out again",
    mail,
    "  goOnFrom(turn, turn.room?.A, storedA);\n  goOnFrom(turn, turn.room?.B, storedB);\n",
    "",
  ),
  redis(
    "seats of a node that died stay taken",
    room,
    "!turn.isAlive(place.seat.node)",
    "turn.now < 0",
  ),
  redis(
    "an entry of the stream is read again",
    "engine/redis/membership.ts",
    "        this.read = id;\n",
    "        if (this.bytes % 7 !== 3) this.read = id;\n",
  ),
  redis(
    "a call is carried out too late",
    "engine/redis/inside/present.ts",
    "if (real >= (number(deadline) ?? 0)) return false;",
    "",
    "redis stop",
  ),
  redis(
    "a token of another node passes",
    "engine/rules/turn.ts",
    "place?.seat?.token === token && place.seat.node === node",
    "place?.seat?.token !== undefined",
    "node stop",
  ),
  redis(
    "a code is lost with a lost answer",
    "engine/redis/inside/codes.ts",
    "if (done !== false) return parse<CodesReply<T>>(done);",
    "",
    "node cut from redis",
  ),
];

/** Plants each fault in a copy of the source, and simulates until a check fails. */
export async function runMutants(
  isMeant: (mutant: Mutant) => boolean,
  hours: number,
  say: (text: string) => void,
): Promise<{ readonly caught: number; readonly mutants: number }> {
  let caught = 0;
  const chosen = mutants.filter(isMeant);
  for (const mutant of chosen) {
    const copy = mkdtempSync(join(tmpdir(), "sim-mutant-"));
    try {
      for (const part of ["src", "test", "package.json", "tsconfig.json"]) {
        cpSync(join(root, part), join(copy, part), { recursive: true });
      }
      symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
      plant(mutant, copy);
      const found = await search(copy, mutant, hours);
      if (found !== undefined) caught++;
      say(`${found === undefined ? "MISSED" : "caught"}  ${mutant.name}${found ?? ""}`);
    } finally {
      rmSync(copy, { recursive: true });
    }
  }
  say(`${caught} of ${chosen.length} faults caught within ${hours} simulated hours`);
  return { caught, mutants: chosen.length };
}

function plant({ file, from, to }: Mutant, copy: string): void {
  const path = join(copy, file);
  writeFileSync(path, readFileSync(path, "utf8").split(from).join(to));
}

/** The names of faults whose `from` does not occur exactly once in the source. */
export function misplaced(): readonly string[] {
  const places = ({ file, from }: Mutant) =>
    readFileSync(join(root, file), "utf8").split(from).length - 1;
  return mutants.filter((mutant) => places(mutant) !== 1).map(({ name }) => name);
}

/** Which check failed and when; undefined: none did. A failure of the unchanged source does not count. */
async function search(
  copy: string,
  { engine, faults }: Mutant,
  hours: number,
): Promise<string | undefined> {
  const world = ["--engine", engine, ...(faults === undefined ? [] : ["--faults", faults])];
  let simulated = 0;
  for (let seed = 1; simulated < hours; ) {
    const asked = ["--seed", `${seed}`, "--hours", `${hours - simulated}`, ...world];
    const found = await simulateIn(copy, asked);
    simulated += found.hours;
    if (found.broken === undefined) return undefined;
    const same = await simulateIn(root, ["--seed", `${found.seed}`, ...world]);
    if (same.broken !== found.broken) return `  (${simulated.toFixed(1)} h: ${found.broken})`;
    seed = found.seed + 1;
  }
  return undefined;
}

async function simulateIn(
  copy: string,
  args: readonly string[],
): Promise<{ readonly hours: number; readonly seed: number; readonly broken: string | undefined }> {
  const command = [process.execPath, "test/sim/sim.ts", ...args];
  const child = Bun.spawn(command, { cwd: copy, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const [, hours = "0", seed = "0"] = /^([\d.]+) h in .* up to seed (\d+)$/m.exec(out) ?? [];
  const said = /^BROKEN: (.*)/m.exec(err)?.[1] ?? err.split("\n").find((line) => line !== "");
  const isWell = (await child.exited) === 0;
  return { hours: Number(hours), seed: Number(seed), broken: isWell ? undefined : said };
}
