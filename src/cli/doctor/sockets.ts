import type { Clock } from "../../base/clock.ts";
import type { Side } from "../../base/ids.ts";
import { fieldOf } from "./ask.ts";
import { type DoctorSocket, openSocket } from "./socket.ts";
import type { Target } from "./target.ts";
import { upgradeStatus } from "./upgrade-probe.ts";
import { type Failed, failed, passed, type Verdict } from "./verdict.ts";

/** Both sides of one room. */
export interface Pair {
  readonly a: DoctorSocket;
  readonly b: DoctorSocket;
}

const timeoutMs = 10_000;
const roundTrips = 5;

/** Opens one side of the room, and where that fails finds out why. */
export async function opensSocket(
  target: Target,
  appId: string,
  side: Side,
  clock: Clock,
): Promise<Verdict<DoctorSocket>> {
  const path = `/ws?appID=${appId}&side=${side}`;
  const socket = await openSocket(target, path, clock, timeoutMs);
  if (socket !== undefined) return { ...passed(`side ${side} is open`), value: socket };
  const status = await upgradeStatus(target, path, clock, timeoutMs);
  return refusedUpgrade(status, target);
}

function refusedUpgrade(status: number | undefined, { basePath }: Target): Failed {
  if (status === undefined) {
    return failed(
      "the WebSocket does not open, and nothing is answered",
      "Something on the way drops WebSocket connections: a firewall, or a proxy that waits for a body.",
    );
  }
  const told = `the WebSocket upgrade is answered ${status} instead of 101`;
  switch (status) {
    case 101:
      return failed(
        "the WebSocket opens and is closed at once",
        "A proxy may pass the upgrade on but not what follows: let it hand both directions through, unbuffered.",
      );
    case 403:
      return failed(
        told,
        "A rule of a proxy or firewall forbids it: without an Origin header nt-signal lets everyone in.",
      );
    case 404:
      return failed(
        told,
        `The proxy does not pass ${basePath}/ws on to the server: give it the same route as ${basePath}/rendezvous/.`,
      );
    case 429:
      return failed(
        told,
        "Too many upgrades for one client: see WS_RATE_PER_MIN, SOCKETS_PER_CLIENT.",
      );
    case 503:
      return failed(
        told,
        "The server is full or stopping: see MAX_ROOMS, MAX_SOCKETS and its log.",
      );
    case 200:
    case 400:
    case 426:
    case 502:
      return failed(
        told,
        "A proxy in between does not pass on the upgrade. nginx needs proxy_http_version 1.1 and the headers Upgrade and Connection; others have a switch for WebSockets.",
      );
    default:
      return failed(told, "See the log of the server and of whatever proxy stands in front of it.");
  }
}

/** Whether both sides are told that the other is there. */
export async function announcesRoom({ a, b }: Pair): Promise<Verdict> {
  const frames = await Promise.all([a, b].map((side) => side.next(isOfType("room_full"))));
  if (frames.every((frame) => frame !== undefined)) return passed("each side hears of the other");
  return failed(
    "the sides do not hear of each other",
    "Both sockets may have reached different servers: run one behind this address, or give all of them the same store.",
  );
}

/** Odd spacing, order and escapes: whoever parses and writes it anew changes something. */
const odd = '{ "sdp":"v=0\\r\\n\\u00e9 \u00e9",  "type":"offer","n":1.0 }';

export async function relaysBytes({ a, b }: Pair): Promise<Verdict> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.send(odd);
    const got = await to.next(isOfType("offer"));
    if (got === odd) continue;
    return failed(
      got === undefined ? "a frame does not arrive" : "a frame is changed on its way",
      "Something between the peers and the server looks into WebSocket messages. Switch that off for this route.",
    );
  }
  return passed("frames arrive byte for byte, both ways");
}

/** From A to B and back: both ways through the server. */
export async function measuresRoundTrip({ a, b }: Pair): Promise<Verdict> {
  const times: number[] = [];
  for (let trip = 0; trip < roundTrips; trip++) {
    const startedAt = performance.now();
    a.send(`{"type":"ice","trip":${trip}}`);
    if ((await b.next(isOfType("ice"))) === undefined) break;
    b.send(`{"type":"ice","trip":${trip}}`);
    if ((await a.next(isOfType("ice"))) === undefined) break;
    times.push(performance.now() - startedAt);
  }
  if (times.length < roundTrips) {
    return failed(
      "frames stop arriving",
      "Something between the peers and the server ends or delays the connection: see its limits.",
    );
  }
  const median = times.toSorted((x, y) => x - y)[Math.floor(roundTrips / 2)] ?? 0;
  return passed(`${median.toFixed(1)} ms from side to side and back (median of ${roundTrips})`);
}

function isOfType(type: string): (text: string) => boolean {
  return (text) => {
    try {
      return fieldOf(JSON.parse(text), "type") === type;
    } catch {
      return false;
    }
  };
}
