import { steadyNow } from "../../src/base/clock.ts";
import { type MemoryEngine, memoryEngine } from "../../src/engine/memory/memory.ts";
import type { Chance } from "../support/chance.ts";
import { type Arrangement, Base, type Ground, type Machine, Node, notZero } from "./nodes.ts";
import { newProcess } from "./time.ts";

/** One node with everything in its memory, and a state file. */
export class Alone implements Arrangement {
  nodes: readonly Node[] = [];
  private readonly machine: Machine = { clockOffset: 0 };
  private engine!: MemoryEngine;

  constructor(private readonly ground: Ground) {
    this.start([]);
  }

  /** `state`: the lines of a state file. */
  private start(state: readonly string[]): void {
    const base = new Base(this.ground, this.machine);
    const { clock, limits, dropped } = base;
    this.engine = memoryEngine({ now: steadyNow(clock), limits, dropped });
    for (const line of state) this.engine.restore(JSON.parse(line));
    this.nodes = [new Node(base, this.engine)];
  }

  private get node(): Node {
    return this.nodes[0] as Node;
  }

  route(): Node | undefined {
    return this.node.isListening ? this.node : undefined;
  }

  readonly faults = {
    crash: (draws: Chance) => {
      if (!this.node.isListening) return;
      this.node.crash(!draws.oneIn(3));
      this.ground.checks.stateLost();
      this.comesBackIn(200 + draws.below(4_000), []);
    },
    restart: (draws: Chance) => {
      const { node, engine, ground } = this;
      if (!node.isListening || node.isDraining) return;
      ground.time.as(node.process, () => {
        void node.drain(200).then(() => {
          const state = [...engine.snapshot()].map((record) => JSON.stringify(record));
          node.crash(true);
          // Misses of clients are not in the state.
          ground.checks.forgottenAt = ground.time.now;
          this.comesBackIn(50 + draws.below(1_000), state);
        });
      });
    },
    stop: (draws: Chance) => this.node.stop(100 + draws.below(draws.oneIn(4) ? 30_000 : 3_000)),
    clock: (draws: Chance) => {
      this.machine.clockOffset = draws.below(7_200_000) - 3_600_000;
      this.ground.checks.clockSet();
    },
  };

  private comesBackIn(ms: number, state: readonly string[]): void {
    const { time, checks } = this.ground;
    checks.disturb(ms + 8_000);
    time.after(ms, () => this.start(state), newProcess());
  }

  leftovers(): string[] {
    return notZero(this.node.held());
  }
}
