import type { Account } from "../../src/base/account.ts";
import type { AppId, Side } from "../../src/base/ids.ts";
import { Connections } from "../../src/engine/connections.ts";
import { type EngineLimits, EngineUnreachable } from "../../src/engine/engine.ts";
import { run } from "../../src/engine/rules/rules.ts";
import type {
  Held,
  Holder,
  IdMemory,
  List,
  Message,
  Occupant,
  Room,
  SeatEvent,
  Shared,
  Stored,
  Sum,
  Turn,
} from "../../src/engine/rules/turn.ts";

interface State {
  room: Room | undefined;
  readonly mail: Record<Side, Stored[]>;
  readonly held: Record<Side, Held[]>;
  readonly ids: Record<Side, [id: string, seq: number][]>;
  readonly sums: Record<string, number>;
}

/** As a store in another process has it: all that comes and goes is text. */
const throughText = <T>(value: T): T =>
  value === undefined ? value : JSON.parse(JSON.stringify(value));

/**
 * A store of one room for several nodes that can go back in time. What a turn tells the asking node comes
 * with its answer, what it tells others waits until `deliver`.
 */
export class OlderStore {
  private state: State = {
    room: undefined,
    mail: { A: [], B: [] },
    held: { A: [], B: [] },
    ids: { A: [], B: [] },
    sums: {},
  };
  private readonly nodes = new Map<string, Connections>();
  private queues: [node: string, message: Message][] = [];
  /** Calls made from now on find no store. */
  isAway = false;
  time = 1_000_000;
  /** Nodes keep each other's clocks in step, with every lease: this never goes back. */
  private fresh = 0;

  constructor(
    private readonly appId: AppId,
    private readonly limits: EngineLimits,
  ) {}

  join(node: string): Connections {
    const connections = new Connections({
      node,
      isAlone: false,
      turn: async (_, verb, holder, ...args) => {
        await undefined;
        if (this.isAway) throw new EngineUnreachable("The store is away");
        const { answer, here } = this.turn(
          node,
          ++this.fresh,
          verb,
          plain(holder),
          throughText(args),
        );
        for (const message of here) connections.hear(throughText(message));
        return throughText(answer) as never;
      },
      send: (to, message) => void this.queues.push([to, message]),
      sweepIfDue() {},
      after(_, later) {
        queueMicrotask(later);
        return () => {};
      },
    });
    this.nodes.set(node, connections);
    return connections;
  }

  deliver(): void {
    const due = this.queues;
    this.queues = [];
    for (const [node, message] of due) this.nodes.get(node)?.hear(throughText(message));
  }

  /** What there is now, to go back to. */
  copy(): State {
    return structuredClone(this.state);
  }

  /** What was told meanwhile is forgotten, too. */
  goBackTo(copy: State): void {
    this.state = structuredClone(copy);
    this.queues = [];
  }

  /** What each node does when it finds that its store went back. */
  async look(): Promise<void> {
    for (const [node, connections] of this.nodes) {
      for (const seat of [...connections.held()]) await connections.recheck(seat, true);
      for (const side of ["A", "B"] as const) {
        const seat = this.occupant(side);
        if (seat?.node !== node) continue;
        const address = { appId: this.appId, side, token: seat.token };
        if (!connections.knows(address)) connections.disown(address);
      }
    }
  }

  occupant(side: Side): Occupant | undefined {
    return this.state.room?.[side].seat;
  }

  /** What is counted, and what there is to count. */
  sums(): { readonly counted: object; readonly found: object } {
    const { room, mail, held, ids, sums } = this.state;
    const places = room ? [room.A, room.B] : [];
    const found = {
      rooms: room ? 1 : 0,
      peers: places.filter(({ seat }) => seat).length,
      mailboxes: places.filter(({ box }) => box).length,
      mails: mail.A.length + mail.B.length,
      heldFrames: held.A.length + held.B.length,
      ids: ids.A.length + ids.B.length,
    };
    const idsCounted = places.reduce((sum, place) => sum + (place.ids?.count ?? 0), 0);
    const counted = Object.fromEntries(Object.keys(found).map((name) => [name, sums[name] ?? 0]));
    return { counted: { ...counted, ids: idsCounted }, found };
  }

  private turn(
    node: string,
    fresh: number,
    verb: string,
    holder: Holder | undefined,
    args: readonly unknown[],
  ) {
    const state = structuredClone(this.state);
    const here: Message[] = [];
    const away: [node: string, message: Message][] = [];
    const tellNode = (to: string, message: Message) => {
      if (to === node) here.push(message);
      else away.push([to, message]);
    };
    const turn = new PlainTurn(state, this.appId, this.limits, node, fresh, this.time, tellNode);
    const answer = run(turn, verb, holder, args[0], args[1]);
    this.state = state;
    this.queues.push(...away);
    return { answer, here };
  }
}

function plain(seat: Holder | undefined): Holder | undefined {
  if (seat === undefined) return undefined;
  const { side, token, isStarted, peer, known } = seat;
  return throughText({ side, token, isStarted, peer, known });
}

class PlainTurn implements Turn {
  constructor(
    private readonly state: State,
    readonly appId: AppId,
    readonly limits: EngineLimits,
    readonly node: string,
    readonly fresh: number,
    readonly now: number,
    private readonly tellNode: (node: string, message: Message) => void,
  ) {}

  get room(): Room | undefined {
    return this.state.room;
  }
  set room(room: Room | undefined) {
    this.state.room = room;
  }
  code(): undefined {}
  makeSpace(): void {}
  isAlive(): boolean {
    return true;
  }
  counted(sum: Sum): number {
    return this.state.sums[sum] ?? 0;
  }
  count(sum: Sum, amount: number): void {
    this.state.sums[sum] = this.counted(sum) + amount;
  }
  charged(what: Shared, { key }: Account): number {
    return this.state.sums[`${what} ${key}`] ?? 0;
  }
  charge(what: Shared, accounts: readonly Account[], amount: number): void {
    for (const account of accounts) {
      this.state.sums[`${what} ${account.key}`] = this.charged(what, account) + amount;
    }
  }
  mail(side: Side): List<Stored> {
    return listOver(this.state.mail, side);
  }
  held(side: Side): List<Held> {
    return listOver(this.state.held, side);
  }
  ids(side: Side): IdMemory {
    const ids = this.state.ids[side];
    return {
      seqOf: (id) => ids.find(([known]) => known === id)?.[1],
      put: (id, seq) => void ids.push([id, seq]),
      dropOldest: () => ids.shift()?.[0] ?? "",
      clear: () => void ids.splice(0),
    };
  }
  tell(side: Side, { node, token }: Occupant, event: SeatEvent): void {
    this.tellNode(node, { to: "seat", appId: this.appId, side, token, event });
  }
  tellWaiter({ node, name }: { node: string; name: string }, event: "vacant" | "displaced"): void {
    this.tellNode(node, { to: "waiter", name, event });
  }
  dropped(): void {}
}

function listOver<T>(lists: Record<Side, T[]>, side: Side) {
  return {
    push: (item: T) => void lists[side].push(item),
    slice: (from: number, count: number) => lists[side].slice(from, from + count),
    drop: (count: number) => void lists[side].splice(0, count),
    replace: (items: readonly T[]) => void lists[side].splice(0, lists[side].length, ...items),
  };
}
