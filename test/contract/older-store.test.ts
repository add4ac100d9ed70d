import { expect, test } from "bun:test";
import fc from "fast-check";
import { newAppId, otherSide, type Side } from "../../src/base/ids.ts";
import type { Connections } from "../../src/engine/connections.ts";
import { EngineUnreachable, type Seat } from "../../src/engine/engine.ts";
import { Pump } from "../../src/signaling/pump.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { FakeConnection } from "../support/fake-connection.ts";
import { OlderStore } from "../support/older-store.ts";
import { contractLimits } from "./engine-contract.ts";
import { RecordingListener } from "./listener.ts";

// What holds when a store comes back older than it was: a failover to a replica that lags, a crash without
// fsync. Two nodes and their clients go on with what they know.

const appId = newAppId();
const sides: readonly Side[] = ["A", "B"];

/** One connection of a client: what it was sent, each mail once and in order. */
class Socket extends RecordingListener {
  readonly received: { readonly seq: number; readonly payload: string }[] = [];
  readonly fake = new FakeConnection();
  seat: Seat | undefined;
  pump: Pump | undefined;
  isOpen = true;
  acked = 0;

  override mailStored(): void {
    this.pump?.mailStored();
  }
  override replaced(): void {
    this.isOpen = false;
  }
  override cutOff(): void {
    this.isOpen = false;
  }
}

/** A mailbox client: it says hello with the last seq that it has processed. */
class Client {
  socket: Socket | undefined;
  readonly sockets: Socket[] = [];
  private seen = 0;

  constructor(
    readonly side: Side,
    private readonly store: OlderStore,
    private readonly nodes: readonly Connections[],
  ) {}

  /** From another network, say: an earlier socket of its own is found dead. */
  async connect(at: number): Promise<void> {
    const node = this.nodes[at] as Connections;
    const socket = new Socket();
    const dead = this.store.occupant(this.side)?.token ?? 0;
    const { side } = this;
    const newcomer = { appId, side, sid: side, accounts: [], listener: socket };
    const taken = await node.seats.take(newcomer, { dead });
    if (taken.outcome !== "taken") return;
    if (this.socket) this.socket.isOpen = false;
    this.socket = socket;
    this.sockets.push(socket);
    const { seat } = taken;
    const pump = new Pump(node.mailboxes, seat, socket.fake, "deliver", new Tally());
    Object.assign(socket, { seat, pump, node });
    if (taken.held > 0) await node.relay.start(seat, false);
    if (taken.mailWaits) pump.mailStored();
    await pump.hello(this.seen);
  }

  async disconnect(): Promise<void> {
    const { socket } = this;
    this.socket = undefined;
    if (socket?.seat) await this.nodeOf(socket).seats.leave(socket.seat);
  }

  /** Takes in what has come. */
  process(): void {
    for (const socket of this.sockets) {
      for (const frame of socket.fake.sent.splice(0)) {
        const { seq, payload } = JSON.parse(frame);
        socket.received.push({ seq, payload });
        if (socket === this.socket) this.seen = seq;
      }
    }
  }

  async send(to: Side, payload: string): Promise<boolean> {
    const { socket } = this;
    if (!socket?.seat || !socket.isOpen) return false;
    const mail = { payload: JSON.stringify(payload), id: undefined, strict: false };
    const answer = await this.nodeOf(socket).mailboxes.append(socket.seat, to, mail);
    return answer.outcome === "stored";
  }

  async ack(): Promise<void> {
    const { socket } = this;
    const upTo = socket?.received.at(-1)?.seq ?? 0;
    if (!socket?.seat || upTo === 0) return;
    await this.nodeOf(socket).mailboxes.ack(socket.seat, upTo);
  }

  nodeOf(socket: Socket): Connections {
    return (socket as Socket & { readonly node: Connections }).node;
  }
}

const side = fc.constantFrom<Side>("A", "B");
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant("connect" as const), side, at: fc.nat(1) }) },
  fc.record({ do: fc.constant("disconnect" as const), side }),
  { weight: 5, arbitrary: fc.record({ do: fc.constant("send" as const), side, to: side }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("ack" as const), side }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("deliver" as const), side }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const steps = fc.array(step, { maxLength: 20, size: "max" });

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

class World {
  readonly store = new OlderStore(appId, contractLimits);
  readonly nodes = [this.store.join("one"), this.store.join("two")];
  readonly clients = {
    A: new Client("A", this.store, this.nodes),
    B: new Client("B", this.store, this.nodes),
  };
  private sent = 0;

  /** Answers the mail that was stored, by the side it is for. */
  async take(all: readonly Step[]): Promise<Record<Side, string[]>> {
    const stored: Record<Side, string[]> = { A: [], B: [] };
    for (const one of all) {
      this.store.time += 7;
      const client = this.clients[one.side];
      if (one.do === "connect") await client.connect(one.at);
      else if (one.do === "disconnect") await client.disconnect();
      else if (one.do === "ack") await client.ack();
      else if (one.do === "deliver") this.store.deliver();
      else {
        const payload = `${one.side} ${++this.sent}`;
        if (await client.send(one.to, payload)) stored[one.to].push(payload);
      }
      await this.settle();
    }
    return stored;
  }

  async settle(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await settled();
    for (const of of sides) this.clients[of].process();
  }

  /** Nothing is under way any more. */
  async rest(): Promise<void> {
    for (let turns = 0; turns < 6; turns++) {
      this.store.deliver();
      await this.settle();
    }
  }

  received(of: Side): readonly string[] {
    return this.clients[of].sockets.flatMap(({ received }) => received.map((mail) => mail.payload));
  }
}

function expectOncePerSocket({ sockets }: Client): void {
  for (const { received } of sockets) {
    const seqs = received.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => a - b));
    const payloads = received.map(({ payload }) => payload);
    expect(payloads).toEqual([...new Set(payloads)]);
  }
}

function expectSums({ store }: World): void {
  const { counted, found } = store.sums();
  expect(counted).toEqual(found);
}

test("after a store came back older, mail answered as stored comes, once a connection and in order; a seat has one holder, and pairs relay", async () => {
  await fc.assert(
    fc.asyncProperty(steps, steps, steps, steps, async (before, lost, early, late) => {
      const world = new World();
      const kept = await world.take([...before]);
      const copy = world.store.copy();
      await world.take(lost);
      world.store.goBackTo(copy);
      const stored = await world.take(early);
      await world.store.look();
      await world.rest();
      await expectOneHolder(world);
      const later = await world.take(late);

      for (const of of sides) {
        if (!world.clients[of].socket?.isOpen) await world.clients[of].connect(0);
      }
      await world.rest();
      for (const of of sides) {
        expectOncePerSocket(world.clients[of]);
        const received = world.received(of);
        expect(received).toEqual(expect.arrayContaining(kept[of]));
        for (const from of sides) {
          const expected = [...stored[of], ...later[of]].filter((mail) => mail.startsWith(from));
          const last = expected.map((mail) => received.lastIndexOf(mail));
          expect([expected, last.includes(-1)]).toEqual([expected, false]);
        }
      }
      await expectOneHolder(world);
      expectSums(world);
      for (const of of sides) await expectRelay(world, of);
    }),
    { numRuns: 200 },
  );
});

test("an ack that found no store is made up for with the next that is asked", async () => {
  for (const next of ["look", "disconnect"] as const) {
    const world = new World();
    const { store, clients } = world;
    await world.take([
      { do: "connect", side: "A", at: 0 },
      { do: "connect", side: "B", at: 1 },
      { do: "send", side: "A", to: "B" },
      { do: "send", side: "A", to: "B" },
    ]);
    await world.rest();
    store.isAway = true;
    await expect(clients.B.ack()).rejects.toBeInstanceOf(EngineUnreachable);
    store.isAway = false;
    if (next === "look") await store.look();
    else await clients.B.disconnect();
    expect([next, store.sums().found]).toEqual([next, expect.objectContaining({ mails: 0 })]);
    expectSums(world);
  }
});

/** Who has a seat by the store is the one connection that thinks so, and still open. */
async function expectOneHolder({ store, clients, nodes }: World): Promise<void> {
  for (const of of sides) {
    const held = nodes.flatMap((node) => [...node.held()].filter(({ side: at }) => at === of));
    expect(held.map(({ token }) => token)).toEqual(
      [store.occupant(of)?.token].filter((token) => token !== undefined),
    );
    const { socket } = clients[of];
    if (socket?.isOpen) expect(held.map(({ token }) => token)).toEqual([socket.seat?.token ?? 0]);
  }
}

async function expectRelay(world: World, from: Side): Promise<void> {
  const { socket } = world.clients[from];
  const other = world.clients[otherSide(from)].socket;
  if (!socket?.seat || !other) throw new Error("A side has no connection");
  const frame = `frame of ${from}`;
  const node = world.clients[from].nodeOf(socket);
  expect(await node.relay.publish(socket.seat, frame, "ice")).toBe("delivered");
  await world.rest();
  expect(await other.until(`relayed ${frame}`)).not.toContain(`relayed ${frame}`);
}
