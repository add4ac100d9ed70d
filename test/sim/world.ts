import type { Side } from "../../src/base/ids.ts";
import type { Config } from "../../src/config/config.ts";
import { type Chance, chance } from "../support/chance.ts";
import { Alone } from "./alone.ts";
import { Checks, clock, type Failure, parsed, type Room } from "./checks.ts";
import {
  isZombie,
  type Kind,
  kinds,
  newParty,
  type Party,
  type Surroundings,
  secret,
} from "./clients.ts";
import { Cluster } from "./cluster.ts";
import { drawFaults, type Fault, playFault } from "./faults.ts";
import { type ClientSocket, Conn, type Dial } from "./network.ts";
import { type Arrangement, drawConfig, engineLimits } from "./nodes.ts";
import { strangers } from "./strangers.ts";
import { Time, withVirtualGlobals } from "./time.ts";

/** A plan of a simulation. The same plan always has the same outcome. */
export interface Plan {
  readonly seed: number;
  readonly engine: "memory" | "redis";
  /** Numbers of the faults to leave out, to find those that cause a failure. */
  readonly withoutFaults?: ReadonlySet<number>;
  /** The same for rooms. */
  readonly withoutRooms?: ReadonlySet<number>;
  /** Only these kinds of faults of nodes and Redis; undefined: all kinds. */
  readonly onlyFaults?: readonly string[];
}

export interface Outcome {
  readonly failure:
    | (Failure & { readonly at: string; readonly history: readonly string[] })
    | undefined;
  /** Hash of all frames on the wire. */
  readonly hash: number;
  readonly simulatedMs: number;
  readonly events: number;
  readonly frames: number;
  readonly faults: readonly Fault[];
  readonly rooms: number;
}

/** First phase: faults happen. */
const playMs = 25 * 60_000;
/** Second phase: no more faults, so everything must recover. */
const settleMs = 120_000;
/** Third phase: clients send nothing. Afterwards nothing may be paused or unsent. */
const quietMs = 40_000;
const roomCount = 10;
/** Several times the number of events in a correct simulation. */
const mostEvents = 1_000_000;

/** A separate seed for each name. So leaving something out does not change the rest. */
function seedFor(seed: number, name: string): number {
  return Bun.hash.xxHash32(name, seed);
}

export function simulate(plan: Plan): Outcome {
  const time = new Time();
  return withVirtualGlobals(time, plan.seed, () => new World(plan, time).play());
}

export class World implements Surroundings {
  readonly url = "http://sim";
  readonly maxFrameBytes: number;
  readonly checks: Checks;
  readonly arrangement: Arrangement;
  readonly parties = new Set<Party>();
  readonly maxRoomMs: number;
  readonly config: Config;
  isQuiet = false;
  private isWinding = false;

  constructor(
    readonly plan: Plan,
    readonly time: Time,
  ) {
    const draws = this.draws("world");
    this.config = drawConfig(draws);
    this.maxFrameBytes = this.config.wsMaxMsgBytes;
    this.maxRoomMs = 3 * this.config.roomTtlMs + this.config.redeemWindowMs * 2 + 60_000;
    this.checks = new Checks(time, engineLimits(this.config), plan.engine === "memory");
    const ground = { time, config: this.config, draws: this.draws("nodes"), checks: this.checks };
    this.arrangement = plan.engine === "memory" ? new Alone(ground) : new Cluster(ground);
    time.uncaught = (error) => this.checks.fail("uncaught error", describe(error));
  }

  draws(name: string): Chance {
    return chance(seedFor(this.plan.seed, name));
  }

  play(): Outcome {
    const { time, checks, plan } = this;
    const goesOn = () => checks.failure === undefined;
    for (let slot = 0; slot < roomCount; slot++) {
      if (plan.withoutRooms?.has(slot)) continue;
      time.after(slot * 400, () => this.session(slot, 1));
    }
    const known = Object.keys(this.arrangement.faults);
    const kinds = plan.onlyFaults ?? known;
    const unknown = kinds.find((kind) => !known.includes(kind));
    if (unknown !== undefined) throw new Error(`No fault "${unknown}": ${known.join(", ")}`);
    const faults = drawFaults(this.draws("faults"), playMs, kinds);
    faults.forEach((fault, number) => {
      if (plan.withoutFaults?.has(number)) return;
      time.after(fault.atMs, () => playFault(this, fault));
    });
    for (const stranger of strangers) stranger(this, playMs);
    time.every(5_000, () => {
      checks.audit(this.arrangement.nodes);
      if (time.events > mostEvents) checks.fail("never at rest", `${time.events} events`);
    });
    time.run(playMs, goesOn);
    this.heal();
    time.run(playMs + settleMs, goesOn);
    this.isQuiet = true;
    time.run(playMs + settleMs + quietMs, goesOn);
    checks.auditQuiet(this.arrangement.nodes);
    this.isWinding = true;
    for (const party of this.parties) party.leave();
    time.run(playMs + settleMs + quietMs + this.maxRoomMs, goesOn);
    if (goesOn()) {
      const left = this.arrangement.leftovers();
      if (left.length > 0) checks.fail("not returned", left.join(", "));
      const isWhole = !plan.withoutFaults?.size && !plan.withoutRooms?.size;
      if (isWhole && checks.frames < 5_000) checks.fail("nobody meets", `${checks.frames} frames`);
    }
    return this.outcome(faults);
  }

  private outcome(faults: readonly Fault[]): Outcome {
    const { checks, time } = this;
    const { failure, hash, frames } = checks;
    const room = checks.rooms.get(failure?.appId ?? "");
    return {
      failure: failure && { ...failure, at: clock(failure.atMs), history: room?.report() ?? [] },
      ...{ hash, frames, faults, rooms: roomCount },
      simulatedMs: time.now,
      events: time.events,
    };
  }

  /** Ends all faults. Users reload clients that cannot recover by themselves. */
  private heal(): void {
    this.checks.disturb(10_000);
    for (const party of this.parties) {
      party.process.stoppedUntil = 0;
      if (!isZombie(party)) continue;
      party.vanish(false);
      this.replace(party, party.sid);
    }
  }

  // ---- rooms ----

  /** Two people meet, talk for a while, and leave; then the next two. */
  private session(slot: number, number: number): void {
    if (this.isWinding || this.time.now > playMs) return;
    const name = `r${slot}.${number}`;
    const draws = this.draws(name);
    const next = () =>
      void this.time.after(draws.below(8_000), () => this.session(slot, number + 1));
    const meet = (appId: string, isMinted: boolean) =>
      this.meet(this.checks.newRoom(appId, isMinted), name, draws, next);
    if (draws.oneIn(4)) return meet(crypto.randomUUID(), false);
    this.mint(draws, addressOf(name, "A"), (code, appId) => {
      if (code === undefined) return next();
      this.time.after(500 + draws.below(6_000), () => {
        this.redeem(draws, addressOf(name, "B"), code, name, (isFound) => {
          if (isFound) meet(appId, true);
          else next();
        });
      });
    });
  }

  private meet(room: Room, name: string, draws: Chance, next: () => void): void {
    const kindOfRoom = draws.pick(kinds);
    const mixed = draws.oneIn(3);
    const parties = (["A", "B"] as const).map((side) => {
      const kind = mixed ? draws.pick(kinds) : kindOfRoom;
      return { side, kind, afterMs: draws.below(draws.oneIn(3) ? 3_000 : 300) };
    });
    for (const { side, kind, afterMs } of parties) {
      this.time.after(afterMs, () => this.join(room, `${name}.${side}`, side, kind));
    }
    this.time.after(30_000 + draws.below(240_000), () => {
      if (this.time.now > playMs) return;
      room.isOver = true;
      for (const party of room.parties) this.time.after(draws.below(3_000), () => party.leave());
      this.time.after(this.config.roomTtlMs * 3, () => this.forget(room));
      next();
    });
  }

  private forget(room: Room): void {
    for (const party of room.parties) this.parties.delete(party);
    this.checks.over(room);
  }

  private join(room: Room, id: string, side: Side, kind: Kind): void {
    const address = addressOf(id, side);
    const sid = `${id}-${secret}`;
    newParty(this, { id, kind, appId: room.appId, side, address, draws: this.draws(id), sid });
  }

  /** Another process of the same user, on the same side. */
  replace(party: Party, sid: string, watermark = party.watermark): Party | undefined {
    const room = this.checks.rooms.get(party.appId);
    if (room === undefined || room.isOver || this.isWinding) return undefined;
    const { kind, appId, side, address } = party;
    let id = `${party.id}'`;
    while (room.parties.some((other) => other.id === id)) id += "'";
    return newParty(
      this,
      { id, kind, appId, side, address, sid, draws: this.draws(id) },
      watermark,
    );
  }

  // ---- connections to the servers ----

  dial(socket: ClientSocket, party: Party, dial: Dial): void {
    const room = this.checks.rooms.get(party.appId);
    if (!this.parties.has(party) && room !== undefined) {
      this.parties.add(party);
      this.checks.joins(room, party);
    }
    const conn = this.connect(socket, `${party.id}#${party.conns.length + 1}`, party, dial);
    if (conn === undefined || room === undefined) return;
    party.conns.push(conn);
    this.checks.dialled(conn, party, room);
  }

  /** Connects to a node. Undefined if none listens. */
  connect(
    socket: ClientSocket,
    id: string,
    { address, process }: Pick<Party, "address" | "process">,
    dial: Dial,
  ): Conn | undefined {
    const draws = this.draws(id);
    const host = this.arrangement.route(draws);
    if (host === undefined) {
      this.time.after(1 + draws.below(50), () => socket.fail(1006, ""), process);
      return undefined;
    }
    const conn = new Conn(id, this.time, draws, address, dial, host, this.checks, socket, process);
    socket.conn = conn;
    host.server.conns.add(conn);
    return conn;
  }

  /** Sends an HTTP request: a POST if it has a body, otherwise a GET. The status is 0 if no answer comes. */
  ask(
    draws: Chance,
    address: string,
    path: string,
    body: object | undefined,
    answered: (status: number, body: Record<string, unknown>, text: string) => void,
  ): void {
    const backMs = 1 + draws.below(40);
    const user = this.time.current;
    const node = this.arrangement.route(draws);
    if (node === undefined) return void this.time.after(backMs, () => answered(0, {}, ""));
    const headers = { "content-type": "application/json", host: "sim" };
    const post = { method: "POST", body: JSON.stringify(body) };
    const request = new Request(`${this.url}${path}`, { ...(body && post), headers });
    const arrive = () =>
      void node.server.fetch(request, address).then(async (response) => {
        const text = (await response?.text()) ?? "";
        const answer = parsed(text);
        this.time.after(backMs, () => answered(response?.status ?? 0, answer, text), user);
      });
    this.time.after(1 + draws.below(40), arrive, node.process);
  }

  private mint(
    draws: Chance,
    address: string,
    done: (code: string | undefined, appId: string) => void,
  ): void {
    const askedAtMs = this.time.now;
    this.ask(draws, address, "/rendezvous/code", {}, (status, answer) => {
      const [code, appId] = [String(answer["code"]), String(answer["appID"])];
      if (status === 200) this.checks.minted(code, appId, askedAtMs);
      else if (status !== 503 && status !== 0) this.checks.fail("mint refused", `${status}`);
      done(status === 200 ? code : undefined, appId);
    });
  }

  redeem(
    draws: Chance,
    address: string,
    code: string,
    who: string,
    done: (isFound: boolean, status: number) => void,
  ): void {
    const check = this.checks.redeems(code, who);
    this.ask(draws, address, "/rendezvous/redeem", { code }, (status, { appID }) => {
      check(status, String(appID));
      done(status === 200, status);
    });
  }
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The address of a client. Most have their own; all clients of every fifth room share one. */
function addressOf(name: string, side: Side): string {
  const slot = Number(/^r(\d+)/.exec(name)?.[1] ?? 0);
  if (slot % 5 === 4) return "198.51.100.7";
  return `203.0.113.${slot * 2 + (side === "A" ? 1 : 2)}`;
}
