import type { Socket } from "bun";

/** How a network ends a connection: in order, with a reset, or by saying nothing any more. */
export type Cut = "fin" | "reset" | "silent";
export type Direction = "toServer" | "toClient";

export interface Network extends AsyncDisposable {
  readonly http: string;
  readonly ws: string;
  readonly port: number;
  /** Those that are not at their end, oldest first. */
  readonly connections: readonly ProxiedConnection[];
  /** The one opened last. */
  latest(): ProxiedConnection;
  /** Cuts every connection, and lets nobody connect any more. */
  down(how: Cut): void;
  up(): void;
  /** Whoever connects from now on gets to this port. */
  redirect(port: number): void;
  /** Nothing comes from or goes to clients at this address any more, and nobody is told. */
  partition(address: string): void;
  /** Ends what fell silent, as a network does that has come back. */
  resetSilent(): void;
}

/** One end of a connection, and what waits to be written to it. */
interface End {
  socket: Socket<undefined> | undefined;
  waiting: Uint8Array[];
  /** Its other end has said that nothing follows. */
  ending: boolean;
}

/** A network between a client and the server, which misbehaves when told to. */
export class ProxiedConnection {
  silent = false;
  ended = false;
  private trap: { direction: Direction; how: Cut; sprung: () => void } | undefined;
  private readonly openedAt = performance.now();
  private readonly client = newEnd();
  private readonly server = newEnd();
  private readonly stalled = { toServer: false, toClient: false };

  constructor(
    private readonly onEnd: (connection: ProxiedConnection) => void,
    /** The client's address. */
    readonly clientAddress: string,
    private readonly delayMs: number,
  ) {}

  /** Both ends see it, or with `silent` neither does: what they send is swallowed. */
  cut(how: Cut): void {
    if (how === "silent") {
      this.silent = true;
      this.client.waiting = [];
      this.server.waiting = [];
      this.resume("toServer");
      this.resume("toClient");
      return;
    }
    const { client, server } = this;
    this.end();
    for (const { socket } of [client, server]) {
      if (how === "reset") socket?.terminate();
      else socket?.end();
    }
  }

  /**
   * Cuts when something is said next: half of it gets through to the server, nothing of it to the
   * client. Resolves when the connection is cut, or has ended before.
   */
  cutAtNext(direction: Direction, how: Cut): Promise<void> {
    return new Promise((resolve) => {
      this.trap = { direction, how, sprung: resolve };
      if (this.ended) resolve();
    });
  }

  /** Nothing is read from the sender in this direction: its own buffers fill. */
  stall(direction: Direction): void {
    this.stalled[direction] = true;
    this.from(direction).socket?.pause();
  }

  resume(direction: Direction): void {
    this.stalled[direction] = false;
    if (this.to(direction).waiting.length === 0) this.from(direction).socket?.resume();
  }

  /** Connects the client's socket with the server's. */
  handlers(side: "client" | "server") {
    const direction: Direction = side === "client" ? "toServer" : "toClient";
    return {
      open: (socket: Socket<undefined>) => {
        if (this.ended) return void socket.terminate();
        this[side].socket = socket;
        if (this.stalled[direction]) socket.pause();
        this.flush(side === "client" ? "toClient" : "toServer");
      },
      data: (_: Socket<undefined>, bytes: Uint8Array) => {
        if (this.silent) return;
        if (this.delayMs > 0) return this.later(direction, Uint8Array.from(bytes));
        const { trap } = this;
        const caught = trap?.direction === direction;
        const share = caught ? (direction === "toServer" ? bytes.length >> 1 : 0) : bytes.length;
        this.to(direction).waiting.push(Uint8Array.from(bytes.subarray(0, share)));
        this.flush(direction);
        if (!caught) return;
        this.cut(trap.how);
        trap.sprung();
      },
      drain: () => this.flush(side === "client" ? "toClient" : "toServer"),
      end: () => this.gone(direction),
      close: () => this.gone(direction),
      error: () => this.cut("reset"),
    };
  }

  /** What a client sends at once would have waited for the handshake of TCP, a round trip. */
  private later(direction: Direction, bytes: Uint8Array): void {
    const handshakeMs = Math.max(0, this.openedAt + 2 * this.delayMs - performance.now());
    setTimeout(() => {
      this.to(direction).waiting.push(bytes);
      this.flush(direction);
    }, this.delayMs + handshakeMs);
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.trap?.sprung();
    this.onEnd(this);
  }

  /** Writes what waits; reads on only when nothing does, so that pressure goes through. */
  private flush(direction: Direction): void {
    const to = this.to(direction);
    while (to.socket !== undefined && to.waiting.length > 0) {
      const bytes = to.waiting[0] as Uint8Array;
      const written = Math.max(0, to.socket.write(bytes));
      if (written < bytes.length) {
        to.waiting[0] = bytes.subarray(written);
        this.from(direction).socket?.pause();
        return;
      }
      to.waiting.shift();
    }
    if (to.socket === undefined || to.waiting.length > 0) return;
    if (to.ending) return this.cut("fin");
    if (!this.stalled[direction]) this.from(direction).socket?.resume();
  }

  private gone(direction: Direction): void {
    if (this.silent || this.ended) return;
    const end = () => {
      this.to(direction).ending = true;
      this.flush(direction);
    };
    if (this.delayMs > 0) setTimeout(end, this.delayMs);
    else end();
  }

  private from(direction: Direction): End {
    return direction === "toServer" ? this.client : this.server;
  }

  private to(direction: Direction): End {
    return direction === "toServer" ? this.server : this.client;
  }
}

/** A proxy in front of `port`, on a free one of its own. Bytes take `delayMs` either way, and so does TCP's handshake. */
export function startProxy(port: number, delayMs = 0): Network {
  let target = port;
  const connections: ProxiedConnection[] = [];
  const cutOff = new Set<string>();
  let isDown = false;
  const forget = (connection: ProxiedConnection) => {
    connections.splice(connections.indexOf(connection), 1);
  };
  const byClient = new WeakMap<Socket<undefined>, ReturnType<ProxiedConnection["handlers"]>>();

  const listener = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        if (isDown || cutOff.has(socket.remoteAddress)) return void socket.terminate();
        const connection = new ProxiedConnection(forget, socket.remoteAddress, delayMs);
        connections.push(connection);
        const handlers = connection.handlers("client");
        byClient.set(socket, handlers);
        handlers.open(socket);
        Bun.connect<undefined>({
          hostname: "127.0.0.1",
          port: target,
          socket: connection.handlers("server"),
        }).catch(() => connection.cut("reset"));
      },
      data: (socket, bytes) => byClient.get(socket)?.data(socket, bytes),
      drain: (socket) => byClient.get(socket)?.drain(),
      end: (socket) => byClient.get(socket)?.end(),
      close: (socket) => byClient.get(socket)?.close(),
      error: (socket) => byClient.get(socket)?.error(),
    },
  });

  return {
    http: `http://127.0.0.1:${listener.port}`,
    ws: `ws://127.0.0.1:${listener.port}`,
    port: listener.port,
    connections,
    latest() {
      const connection = connections.at(-1);
      if (connection === undefined) throw new Error("Nobody is connected through the proxy");
      return connection;
    },
    down(how) {
      isDown = true;
      for (const connection of [...connections]) connection.cut(how);
    },
    partition(address) {
      cutOff.add(address);
      for (const connection of [...connections]) {
        if (connection.clientAddress === address) connection.cut("silent");
      }
    },
    redirect(to) {
      target = to;
    },
    up() {
      isDown = false;
      cutOff.clear();
    },
    resetSilent() {
      for (const connection of [...connections]) if (connection.silent) connection.cut("reset");
    },
    async [Symbol.asyncDispose]() {
      listener.stop();
      for (const connection of [...connections]) connection.cut("reset");
    },
  };
}

function newEnd(): End {
  return { socket: undefined, waiting: [], ending: false };
}
