import { type Clock, steadyNow } from "../../src/base/clock.ts";
import { andThen } from "../../src/base/maybe-promise.ts";
import type { Config } from "../../src/config/config.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Engine, EngineLimits } from "../../src/engine/engine.ts";
import { type MemoryEngine, memoryEngine } from "../../src/engine/memory/memory.ts";
import { recordSchema } from "../../src/engine/memory/snapshot.ts";
import { buildParts, type Core, type Parts } from "../../src/server/parts.ts";
import { createLog } from "../../src/telemetry/log.ts";
// The server loads it when it is first asked for: here that has to be in the same turn.
import "../../src/telemetry/metrics.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import type { Chance } from "../support/chance.ts";
import type { Checks } from "./checks.ts";
import { secret } from "./clients.ts";
import { FakeServer, type Host } from "./network.ts";
import { epoch, type Process, type Time } from "./time.ts";
import { describe } from "./world.ts";

/** Settings of one simulation, drawn: some are so small that their bounds are met. */
export function drawConfig(draws: Chance): Config {
  const small = draws.oneIn(3);
  const maxFrame = draws.pick([2_048, 4_096, 4_096, 20_000]);
  const read = readConfig({
    DEMO: "false",
    LOG_LEVEL: draws.oneIn(4) ? "trace" : "info",
    REDEEM_WINDOW: "120s",
    ROOM_TTL: draws.pick(["40s", "60s", "120s"]),
    HEARTBEAT: draws.pick(["20s", "20s", "8s"]),
    RELAY_HOLD: draws.pick(["10s", "10s", "3s"]),
    WS_MAX_MSG: String(maxFrame),
    WS_BUFFER: small ? "16384" : "65536",
    SLOW_PEER_TIMEOUT: draws.pick(["30s", "10s"]),
    MAILBOX_MAX_MAILS: small ? "12" : "200",
    MAILBOX_MAX_BYTES: String(maxFrame * (small ? 2 : 20)),
    MAIL_TOTAL_BYTES: "8388608",
    FRAMES_PER_SEC: draws.pick(["1000", "1000", "40"]),
    MAX_ROOMS: "300",
    MAX_SOCKETS: "1000",
  });
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.config;
}

/** What outlives a process. */
interface Machine {
  /** How far its clock is set wrong, ms. */
  clockOffset: number;
}

/** One process that serves. */
export class Node implements Host {
  readonly process: Process = { dead: false, stoppedUntil: 0 };
  readonly server = new FakeServer();
  readonly tally = new Tally();
  readonly clock: Clock;
  readonly core: Core;
  readonly parts: Parts;
  isListening = true;

  get isDraining(): boolean {
    return this.core.draining;
  }

  constructor(
    readonly name: string,
    private readonly time: Time,
    config: Config,
    draws: Chance,
    private readonly checks: Checks,
    machine: Machine,
    engineOf: (base: Omit<Core, "engine">) => Engine,
  ) {
    const startedAt = time.now - draws.below(1_000_000);
    this.clock = {
      now: () => epoch + time.now + machine.clockOffset,
      monotonicMs: () => time.now - startedAt,
      after: (ms, run) => time.after(ms, run, this.process),
      every: (ms, run) => time.every(ms, run, this.process),
    };
    const log = createLog({
      level: config.logLevel,
      write: (line) => this.logged(line),
      now: this.clock.now,
    });
    const base = {
      ...{ config, log, clock: this.clock, tally: this.tally, node: undefined },
      ...{ random: draws.below, metricsAgeMs: 0, draining: false },
      onError: (error: unknown) => {
        checks.fail("internal error", describe(error));
      },
    };
    this.core = { ...base, engine: engineOf(base) };
    this.parts = buildParts(this.core);
    this.server.serve(this.parts);
    this.clock.every(1_000, () => andThen(this.core.engine.sweep(), this.parts.watchGuessing));
  }

  private logged(line: string): void {
    if (line.includes(secret)) this.checks.fail("secret in the log", line);
    if (line.includes('"level":"error"')) this.checks.fail("error logged", line);
  }

  /** Stopped and continued, as by SIGSTOP. */
  stop(ms: number): void {
    this.process.stoppedUntil = Math.max(this.process.stoppedUntil, this.time.now + ms);
  }

  crash(isToldToClients: boolean): void {
    this.process.dead = true;
    this.isListening = false;
    this.server.crash(isToldToClients);
  }

  /** As `server.ts` does it after SIGTERM. */
  async drain(spreadMs: number): Promise<void> {
    this.core.draining = true;
    const pass = (ms: number) =>
      new Promise<void>((resolve) => void this.clock.after(ms, () => resolve()));
    await this.parts.sockets.drain(spreadMs, pass);
    for (let ms = 0; this.server.pendingRequests > 0 && ms < 2_000; ms += 10) await pass(10);
    this.isListening = false;
    this.parts.sockets.stop();
  }
}

/** How nodes and stores are put together, and what can befall them. */
export interface Arrangement {
  readonly nodes: readonly Node[];
  /** The node that a new connection or request of this client comes to. */
  route(draws: Chance): Node | undefined;
  readonly faults: Readonly<Record<string, (draws: Chance) => void>>;
  /** What is still held although everybody is gone. */
  leftovers(): string[];
}

/** One node with everything in its memory, and a state file. */
export class MemoryArrangement implements Arrangement {
  nodes: readonly Node[] = [];
  private readonly machine: Machine = { clockOffset: 0 };
  private engine!: MemoryEngine;
  private starts = 0;

  constructor(
    private readonly time: Time,
    private readonly config: Config,
    private readonly draws: Chance,
    private readonly checks: Checks,
  ) {
    this.start([]);
  }

  /** `state`: the lines of a state file. */
  private start(state: readonly string[]): void {
    const limits: EngineLimits = { ...this.config, holdMaxFrames: 128, holdMaxBytes: 262_144 };
    const name = `node${++this.starts}`;
    const node = new Node(
      name,
      this.time,
      this.config,
      this.draws,
      this.checks,
      this.machine,
      (base) => {
        this.engine = memoryEngine({
          ...{ now: steadyNow(base.clock), limits },
          dropped(reason, count) {
            base.tally.drops[reason] += count;
          },
        });
        for (const line of state) this.engine.restore(recordSchema.parse(JSON.parse(line)));
        return this.engine;
      },
    );
    this.nodes = [node];
  }

  get node(): Node {
    return this.nodes[0] as Node;
  }

  route(): Node | undefined {
    return this.node.isListening ? this.node : undefined;
  }

  readonly faults = {
    crash: (draws: Chance) => {
      if (!this.node.isListening) return;
      this.node.crash(!draws.oneIn(3));
      this.checks.stateLost();
      this.comesBackIn(200 + draws.below(4_000), []);
    },
    restart: (draws: Chance) => {
      const { node, engine } = this;
      if (!node.isListening || node.core.draining) return;
      this.time.as(node.process, () => {
        void node.drain(200).then(() => {
          const state = [...engine.snapshot()].map((record) => JSON.stringify(record));
          node.crash(true);
          // Misses of clients are not in the state.
          this.checks.forgottenAt = this.time.now;
          this.comesBackIn(50 + draws.below(1_000), state);
        });
      });
    },
    stop: (draws: Chance) => this.node.stop(100 + draws.below(draws.oneIn(4) ? 30_000 : 3_000)),
    clock: (draws: Chance) => {
      this.machine.clockOffset = draws.below(7_200_000) - 3_600_000;
      this.checks.clockSet();
    },
  };

  private comesBackIn(ms: number, state: readonly string[]): void {
    const savedAt = this.engine.now() - epoch - this.time.now;
    this.checks.disturb(ms + 8_000);
    this.time.as({ dead: false, stoppedUntil: 0 }, () => {
      this.time.after(ms, () => {
        // What was saved in a future of the clock would live longer by that.
        this.machine.clockOffset = Math.max(savedAt, this.machine.clockOffset);
        this.start(state);
      });
    });
  }

  leftovers(): string[] {
    const { tally, parts } = this.node;
    const closes = Object.values(tally.closes).reduce((sum, count) => sum + count, 0);
    const held = {
      ...this.engine.sizes(),
      unclosed: tally.connections - closes,
      bufferedBytes: tally.bufferedBytes,
      pausedSockets: tally.pausedSockets,
      parkedSockets: tally.parkedSockets,
      openSockets: parts.openSockets(),
    };
    return Object.entries(held)
      .filter(([, value]) => value !== 0)
      .map(([name, value]) => `${name} ${value}`);
  }
}
