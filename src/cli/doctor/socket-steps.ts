import type { Clock } from "../../base/clock.ts";
import { formatDuration } from "../../base/duration.ts";
import type { Side } from "../../base/ids.ts";
import { parseObject, seeLogs, timeoutMs, upgradeStatus } from "./ask.ts";
import { type Examination, failed, passed, type Verdict } from "./examination.ts";
import type { Target } from "./target.ts";

/** One side of the room. */
export interface DoctorSocket {
  send(text: string): void;
  /** The next frame of this type; others are skipped. Undefined when it is late: then no more is read. */
  next(type: string): Promise<string | undefined>;
  readonly closed: Promise<void>;
  close(): void;
}

const roundTrips = 5;

/** Opens one side of the room, or finds out why it does not open. */
export async function opensSocket(it: Examination, side: Side): Promise<Verdict> {
  const path = `/ws?appID=${it.room.appId}&side=${side}`;
  const socket = await openSocket(it.target, path, it.clock);
  if (socket === undefined) return refusedUpgrade(await upgradeStatus(it.target, path), it.target);
  it[side === "A" ? "a" : "b"] = socket;
  return passed(`side ${side} is open`);
}

/** Undefined when the socket does not open in time. */
async function openSocket(
  target: Target,
  path: string,
  clock: Clock,
): Promise<DoctorSocket | undefined> {
  const options = { tls: { rejectUnauthorized: !target.insecure } };
  const socket = new WebSocket(`${target.ws}${path}`, options as never);
  const opened = new Promise<boolean>((resolve) => {
    socket.addEventListener("open", () => resolve(true));
    socket.addEventListener("close", () => resolve(false));
  });
  const closed = new Promise<void>((resolve) => {
    socket.addEventListener("close", () => resolve());
  });
  const frames = new ReadableStream<string>({
    start(controller) {
      socket.addEventListener("message", ({ data }) => controller.enqueue(String(data)));
      void closed.then(() => controller.close());
    },
  }).getReader();

  const cancel = clock.after(timeoutMs, () => socket.close());
  if (!(await opened.finally(cancel))) return undefined;
  return {
    send: (text) => socket.send(text),
    async next(type) {
      const cancel = clock.after(timeoutMs, () => socket.terminate());
      try {
        for (;;) {
          const { value } = await frames.read();
          if (value === undefined || parseObject(value)["type"] === type) return value;
        }
      } finally {
        cancel();
      }
    },
    closed,
    close: () => socket.close(1000),
  };
}

function refusedUpgrade(status: number | undefined, { basePath }: Target): Verdict {
  const found = `the WebSocket upgrade is answered ${status} instead of 101`;
  switch (status) {
    case undefined:
      return failed(
        "the WebSocket does not open, and nothing is answered",
        "Something on the way drops WebSocket connections: a firewall, or a proxy that waits for a body.",
      );
    case 101:
      return failed(
        "the WebSocket opens and is closed at once",
        "A proxy may pass on the upgrade but not what follows: let it pass both directions on, unbuffered.",
      );
    case 404:
      return failed(
        found,
        `The proxy does not pass ${basePath}/ws on to the server: give it the same route as ${basePath}/rendezvous/.`,
      );
    default:
      return failed(found, upgradeRemedies[status] ?? seeLogs);
  }
}

const notPassedOn =
  "A proxy in between does not pass on the upgrade. nginx needs proxy_http_version 1.1 and the headers Upgrade and Connection; others have a switch for WebSockets.";

const upgradeRemedies: Readonly<Record<number, string>> = {
  200: notPassedOn,
  400: notPassedOn,
  403: "A rule of a proxy or firewall forbids it: nt-signal admits all upgrades without an Origin header.",
  426: notPassedOn,
  429: "Too many upgrades for one client: see WS_RATE_PER_MIN, SOCKETS_PER_CLIENT.",
  502: notPassedOn,
  503: "The server is full or stopping: see MAX_ROOMS, MAX_SOCKETS and its log.",
};

/** Whether each side hears that the other is there. */
export async function announcesRoom({ a, b }: Examination): Promise<Verdict> {
  const frames = await Promise.all([a.next("room_full"), b.next("room_full")]);
  if (!frames.includes(undefined)) return passed("each side hears that the other is there");
  return failed(
    "the sides do not hear of each other",
    "Both sockets may have reached different servers: run one behind this address, or give all of them the same store.",
  );
}

/** Odd spacing, order and escapes: parsing and serialising it would change something. */
const odd = '{ "sdp":"v=0\\r\\n\\u00e9 \u00e9",  "type":"offer","n":1.0 }';

export async function relaysBytes({ a, b }: Examination): Promise<Verdict> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.send(odd);
    const got = await to.next("offer");
    if (got === odd) continue;
    return failed(
      got === undefined ? "a frame does not arrive" : "a frame is changed on its way",
      "Something between the peers and the server inspects WebSocket messages. Switch that off for this route.",
    );
  }
  return passed("frames arrive byte for byte, both ways");
}

/** From A to B and back: both ways through the server. */
export async function measuresRoundTrip({ a, b, clock }: Examination): Promise<Verdict> {
  const times: number[] = [];
  for (let trip = 0; trip < roundTrips; trip++) {
    const startedAt = clock.monotonicMs();
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.send(`{"type":"ice","trip":${trip}}`);
      if ((await to.next("ice")) !== undefined) continue;
      return failed(
        "frames stop arriving",
        "Something between the peers and the server ends or delays the connection: see its limits.",
      );
    }
    times.push(clock.monotonicMs() - startedAt);
  }
  const median = times.toSorted((x, y) => x - y)[Math.floor(roundTrips / 2)] ?? 0;
  return passed(`${median.toFixed(1)} ms from side to side and back (median of ${roundTrips})`);
}

/** Whether a connection without any frame stays open. */
export async function staysOpen(it: Examination): Promise<Verdict | readonly []> {
  const { a, b, clock, idleMs } = it;
  if (idleMs === undefined) return [];
  const startedAt = clock.monotonicMs();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const cancel = clock.after(idleMs, () => resolve(true));
  void Promise.race([a.closed, b.closed]).then(() => resolve(false));
  const stayed = await promise.finally(cancel);
  if (!stayed) {
    const seconds = Math.ceil((clock.monotonicMs() - startedAt) / 1_000);
    return failed(
      `an idle connection is cut after ${formatDuration(seconds * 1_000)}`,
      "A proxy or balancer ends connections that are silent. Let it wait longer than HEARTBEAT (20s by default): in nginx, proxy_read_timeout 60s.",
    );
  }
  const silence = formatDuration(Math.ceil(idleMs));
  a.send(odd);
  if ((await b.next("offer")) === odd) return passed(`idle connections last for ${silence}`);
  return failed(
    `after ${silence} of silence a frame does not arrive`,
    "A firewall, NAT or balancer forgets connections that are silent. Let it remember them longer than HEARTBEAT (20s by default).",
  );
}
