import { on, once } from "node:events";
import { formatDuration } from "../../base/duration.ts";
import type { Side } from "../../base/ids.ts";
import { parseObject, v2 } from "../../protocol/frames.ts";
import { type Answer, askUpgrade, remedyOf, severalServers, timeoutMs } from "./ask.ts";
import {
  type DoctorSocket,
  type Examination,
  failed,
  passed,
  type Verdict,
} from "./examination.ts";
import type { Target } from "./target.ts";

const roundTrips = 5;

/** Opens one side of the room, or finds out why it does not open. */
export async function opensSocket(it: Examination, side: Side): Promise<Verdict> {
  const path = `/ws?appID=${it.room.appId}&side=${side}`;
  const socket = await openSocket(it, path);
  if (socket === undefined) return refusedUpgrade(await askUpgrade(it.target, path), it.target);
  it[side === "A" ? "a" : "b"] = socket;
  return passed(`side ${side} is open`);
}

/** Undefined when the socket does not open in time. */
async function openSocket(
  { target, clock, sockets }: Examination,
  path: string,
  protocols: string[] = [],
): Promise<DoctorSocket | undefined> {
  const options = { protocols, tls: { rejectUnauthorized: !target.insecure } };
  const socket = new WebSocket(`${target.ws}${path}`, options as never);
  const endWhenLate = () => clock.after(timeoutMs, () => socket.terminate());
  const frames = on(socket as never, "message", { close: ["close"] });
  const closed = once(socket, "close").then(() => {});
  await Promise.race([once(socket, "open"), closed]).finally(endWhenLate());
  if (socket.readyState !== WebSocket.OPEN) return undefined;
  const opened: DoctorSocket = {
    send: (text) => socket.send(text),
    async next(...types) {
      const cancel = endWhenLate();
      for (;;) {
        const { value, done } = await frames.next();
        const text = done ? undefined : String(value[0].data);
        const type = parseObject(text ?? "")?.["type"];
        if (text !== undefined && !types.includes(String(type))) continue;
        cancel();
        return text;
      }
    },
    closed,
    close: () => socket.close(1000),
  };
  sockets.push(opened);
  return opened;
}

function refusedUpgrade(answer: Answer | undefined, target: Target): Verdict {
  if (answer === undefined) {
    return failed(
      "the WebSocket does not open, and nothing is answered",
      "Something on the way drops WebSocket connections: a firewall, or a proxy that waits for a body.",
    );
  }
  const { status } = answer;
  if (status === 101) {
    return failed(
      "the WebSocket opens and is closed at once",
      "A proxy may pass on the upgrade but not what follows: let it pass both directions on, unbuffered.",
    );
  }
  const found = `the WebSocket upgrade is answered ${status} instead of 101`;
  if ([200, 400, 426, 502].includes(status)) {
    return failed(
      found,
      "A proxy in between does not pass on the upgrade. nginx needs proxy_http_version 1.1 and the headers Upgrade and Connection; others have a switch for WebSockets.",
    );
  }
  const { basePath } = target;
  const otherRoute = `The proxy does not pass ${basePath}/ws on to the server: give it the same route as ${basePath}/rendezvous/.`;
  return failed(found, status === 404 ? otherRoute : remedyOf(answer, target));
}

/** Whether each side hears that the other is there. */
export async function announcesRoom({ a, b }: Pick<Examination, "a" | "b">): Promise<Verdict> {
  const frames = await Promise.all([a.next("room_full"), b.next("room_full")]);
  if (!frames.includes(undefined)) return passed("each side hears that the other is there");
  return failed("the sides do not hear of each other", severalServers);
}

const messagesAreInspected =
  "Something between the peers and the server inspects WebSocket messages. Switch that off for this route.";

/** Odd spacing, order and escapes: parsing and serialising it would change something. */
const odd = '{ "sdp":"v=0\\r\\n\\u00e9 \u00e9",  "type":"offer","n":1.0 }';

/** Sends a frame from A to B, then from B to A. Undefined if both arrive as sent, else what came instead. */
async function exchange({ a, b }: Examination, frame: string, type: string) {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.send(frame);
    const got = await to.next(type);
    if (got !== frame) return got === undefined ? "nothing" : "another frame";
  }
  return undefined;
}

export async function relaysBytes(it: Examination): Promise<Verdict> {
  const wrong = await exchange(it, odd, "offer");
  if (wrong === undefined) return passed("frames arrive byte for byte, both ways");
  return failed(
    wrong === "nothing" ? "a frame does not arrive" : "a frame is changed on its way",
    messagesAreInspected,
  );
}

/** From A to B and back: both ways through the server. */
export async function measuresRoundTrip(it: Examination): Promise<Verdict> {
  const times: number[] = [];
  for (let trip = 0; trip < roundTrips; trip++) {
    const startedAt = it.clock.monotonicMs();
    if ((await exchange(it, `{"type":"ice","trip":${trip}}`, "ice")) !== undefined) {
      return failed(
        "frames stop arriving",
        "Something between the peers and the server ends or delays the connection: see its limits.",
      );
    }
    times.push(it.clock.monotonicMs() - startedAt);
  }
  const median = times.toSorted((x, y) => x - y)[Math.floor(roundTrips / 2)] ?? 0;
  return passed(`${median.toFixed(1)} ms from side to side and back (median of ${roundTrips})`);
}

/** Whether two clients meet that ask for their room by a frame of `nt.v2`, not by their URL. */
export async function pairsByFrames(it: Examination): Promise<Verdict> {
  const [a, b] = [await openSocket(it, "/ws", [v2]), await openSocket(it, "/ws", [v2])];
  if (a === undefined || b === undefined) {
    const answer = await askUpgrade(it.target, "/ws", { "sec-websocket-protocol": v2 });
    if (answer?.status !== 400) return refusedUpgrade(answer, it.target);
    return failed(
      `a WebSocket with the subprotocol ${v2} and without appID is refused (400)`,
      "A proxy in between drops the header Sec-WebSocket-Protocol: let it pass it on. Only clients that name their room in the URL work without it.",
    );
  }
  a.send('{"type":"mint","ttl":60}');
  const minted = parseObject((await a.next("minted", "error")) ?? "");
  if (minted?.["type"] !== "minted") return refusedRoom("mint", minted);
  b.send(JSON.stringify({ type: "redeem", code: minted["code"] }));
  const redeemed = parseObject((await b.next("redeemed", "error")) ?? "");
  if (redeemed?.["type"] !== "redeemed") return refusedRoom("redeem", redeemed);
  const meeting = await announcesRoom({ a, b });
  if (!meeting.ok) return meeting;
  return passed("two clients meet by a code, with one socket each and no appID in its URL");
}

/** `error` is undefined if nothing came. */
function refusedRoom(
  request: string,
  error: Readonly<Record<string, unknown>> | undefined,
): Verdict {
  const { code, detail } = error ?? {};
  if (error === undefined)
    return failed(`the frame ${request} is not answered`, messagesAreInspected);
  return failed(
    `the frame ${request} is refused (${code})`,
    code === "code_gone" ? severalServers : String(detail),
  );
}

/** Whether a connection without any frame stays open. */
export async function staysOpen(it: Examination): Promise<Verdict | readonly []> {
  const { a, b, clock } = it;
  const { idleMs } = it.optional;
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
