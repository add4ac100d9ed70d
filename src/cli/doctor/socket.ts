import type { Cancel, Clock } from "../../base/clock.ts";
import type { Target } from "./target.ts";

/** One side of the room, kept until the examination is over. */
export interface DoctorSocket extends Disposable {
  send(text: string): void;
  /** The next frame that `wanted` accepts, others are skipped; undefined when none comes in time. */
  next(wanted: (text: string) => boolean): Promise<string | undefined>;
}

/** Undefined when the socket doesn't open within `timeoutMs`. */
export function openSocket(
  target: Target,
  path: string,
  clock: Clock,
  timeoutMs: number,
): Promise<DoctorSocket | undefined> {
  const options = { tls: { rejectUnauthorized: !target.insecure } };
  const socket = new WebSocket(`${target.ws}${path}`, options as never);
  const texts: string[] = [];
  let look: () => void = () => {};
  socket.addEventListener("message", ({ data }) => {
    texts.push(String(data));
    look();
  });

  const opened: DoctorSocket = {
    send: (text) => socket.send(text),
    next(wanted) {
      return new Promise((resolve) => {
        const end = (text: string | undefined) => {
          cancel();
          look = () => {};
          resolve(text);
        };
        const cancel: Cancel = clock.after(timeoutMs, () => end(undefined));
        look = () => {
          for (let text = texts.shift(); text !== undefined; text = texts.shift()) {
            if (wanted(text)) return end(text);
          }
          if (socket.readyState !== WebSocket.OPEN) end(undefined);
        };
        socket.addEventListener("close", () => look());
        look();
      });
    },
    [Symbol.dispose]: () => socket.close(1000),
  };
  return new Promise((resolve) => {
    const cancel = clock.after(timeoutMs, () => socket.close());
    socket.addEventListener("open", () => {
      cancel();
      resolve(opened);
    });
    socket.addEventListener("close", () => {
      cancel();
      resolve(undefined);
    });
  });
}
