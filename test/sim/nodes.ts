import type { Clock, Random } from "../../src/base/clock.ts";
import { andThen } from "../../src/base/maybe-promise.ts";
import type { Config } from "../../src/config/config.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Engine, EngineLimits } from "../../src/engine/engine.ts";
import { buildParts, type Core, type Parts } from "../../src/server/parts.ts";
import { createLog, type Log } from "../../src/telemetry/log.ts";
// The server loads this module late. Here it has to be loaded in advance, since a turn cannot wait.
import "../../src/telemetry/metrics.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import type { Chance } from "../support/chance.ts";
import type { Checks } from "./checks.ts";
import { secret } from "./clients.ts";
import { FakeServer, type Host } from "./network.ts";
import { epoch, type Process, type Time } from "./time.ts";
import { describe } from "./world.ts";

/** Draws the settings of one simulation. Some are small, so that their bounds are reached. */
export function drawConfig(draws: Chance): Config {
  const small = draws.oneIn(3);
  const maxFrame = draws.pick([2_048, 4_096, 4_096, 20_000]);
  const read = readConfig({
    DEMO: "false",
    LOG_LEVEL: draws.oneIn(4) ? "trace" : "info",
    REDEEM_WINDOW: "120s",
    ROOM_TTL: draws.pick(["40s", "60s", "120s"]),
    HEARTBEAT: draws.oneIn(6) ? "8s" : "20s",
    RELAY_HOLD: draws.pick(["10s", "10s", "3s"]),
    WS_MAX_MSG: String(maxFrame),
    WS_BUFFER: small ? "16384" : "65536",
    SLOW_PEER_TIMEOUT: draws.pick(["30s", "10s"]),
    MAILBOX_MAX_MAILS: small ? "12" : "200",
    MAILBOX_MAX_BYTES: String(maxFrame * (small ? 2 : 20)),
    MAIL_TOTAL_BYTES: small ? "100000" : "8388608",
    FRAMES_PER_SEC: draws.pick(["1000", "1000", "40"]),
    REDIS_TIMEOUT: draws.pick(["2s", "6s", "6s"]),
    MAX_ROOMS: "120",
    MAX_SOCKETS: "1000",
  });
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.config;
}

export function engineLimits(config: Config) {
  return { ...config, holdMaxFrames: 128, holdMaxBytes: 262_144 };
}

/** What all parts of a simulation share. */
export interface Ground {
  readonly time: Time;
  readonly config: Config;
  readonly draws: Chance;
  readonly checks: Checks;
}

/** State that outlives a process. */
export interface Machine {
  /** How far its clock is set wrong, ms. */
  clockOffset: number;
}

/** A process before it serves. */
export class Base {
  readonly process: Process = { dead: false, stoppedUntil: 0 };
  readonly tally = new Tally();
  readonly clock: Clock;
  readonly config: Config;
  readonly random: Random;
  readonly log: Log;

  constructor(
    readonly ground: Ground,
    machine: Machine,
    readonly name?: string,
  ) {
    const { time, config, draws, checks } = ground;
    const startedAt = time.now - draws.below(1_000_000);
    this.config = config;
    this.random = draws.below;
    this.clock = {
      now: () => epoch + time.now + machine.clockOffset,
      monotonicMs: () => time.now - startedAt,
      after: (ms, run) => time.after(ms, run, this.process),
      every: (ms, run) => time.every(ms, run, this.process),
    };
    const write = (line: string) => {
      if (line.includes(secret)) checks.fail("secret in the log", line);
      if (line.includes('"level":"error"')) checks.fail("error logged", line);
    };
    this.log = createLog({ level: config.logLevel, write, now: this.clock.now });
  }

  get limits(): EngineLimits {
    return engineLimits(this.config);
  }

  readonly dropped = (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => {
    this.tally.drops[reason] += count;
  };
}

/** One server process. */
export class Node implements Host {
  readonly process: Process;
  readonly tally: Tally;
  readonly server = new FakeServer();
  readonly core: Core;
  readonly parts: Parts;
  isListening = true;
  /** When the last fault of this node ended. */
  disturbedUntil = 0;

  constructor(
    private readonly base: Base,
    engine: Engine,
  ) {
    const { process, tally, clock, config, random, log, name: node } = base;
    this.process = process;
    this.tally = tally;
    this.core = {
      ...{ config, log, clock, random, tally, engine, node, metricsAgeMs: 0, draining: false },
      onError: (error) => base.ground.checks.fail("internal error", describe(error)),
    };
    this.parts = buildParts(this.core);
    this.server.serve(this.parts);
    // A sweep may run at any time. With Redis it runs less often: it would take half of the simulation's time.
    const sweepMs = node === undefined ? 1_000 : 5_000;
    clock.every(sweepMs, () => andThen(engine.sweep(), this.parts.watchGuessing));
  }

  get isDraining(): boolean {
    return this.core.draining;
  }

  disturb(ms: number): void {
    this.disturbedUntil = Math.max(this.disturbedUntil, this.base.ground.time.now + ms);
  }

  /** Stops the process for a while, as SIGSTOP and SIGCONT do. */
  stop(ms: number): void {
    const until = this.base.ground.time.now + ms;
    this.process.stoppedUntil = Math.max(this.process.stoppedUntil, until);
    this.disturb(ms);
  }

  crash(isToldToClients: boolean): void {
    this.process.dead = true;
    this.isListening = false;
    this.server.crash(isToldToClients);
  }

  /** Drains as `server.ts` does after SIGTERM. */
  async drain(spreadMs: number): Promise<void> {
    this.core.draining = true;
    const pass = (ms: number) =>
      new Promise<void>((resolve) => void this.base.clock.after(ms, () => resolve()));
    await this.parts.sockets.drain(spreadMs, pass);
    for (let ms = 0; this.server.pendingRequests > 0 && ms < 2_000; ms += 10) await pass(10);
    this.isListening = false;
    this.parts.sockets.stop();
  }

  /** Resources that it still holds, by name. All must be 0 once all clients are gone. */
  held(): Readonly<Record<string, number>> {
    const { tally, parts, core } = this;
    const closes = Object.values(tally.closes).reduce((sum, count) => sum + count, 0);
    return {
      ...core.engine.sizes(),
      unclosed: tally.connections - closes,
      bufferedBytes: tally.bufferedBytes,
      pausedSockets: tally.pausedSockets,
      parkedSockets: tally.parkedSockets,
      openSockets: parts.openSockets(),
    };
  }
}

/** The nodes and stores of a simulation, and their faults. */
export interface Arrangement {
  /** The nodes that are running. */
  readonly nodes: readonly Node[];
  /** The node that a new connection or request comes to. */
  route(draws: Chance): Node | undefined;
  readonly faults: Readonly<Record<string, (draws: Chance) => void>>;
  /** Resources that are still held after all clients are gone. */
  leftovers(): string[];
}

/** The resources that are not 0. */
export function notZero(held: Readonly<Record<string, number>>): string[] {
  return Object.entries(held)
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name} ${value}`);
}
