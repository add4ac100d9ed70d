import net from "node:net";
import type { Chance } from "../support/chance.ts";
import { within } from "../support/waiting.ts";
import { leakIn } from "./leaks.ts";
import { type RequestCase, requestCase } from "./requests.ts";

/** Requests on their way at a time. */
const atOnce = 48;
/** Addresses that callers come from. */
const hosts = 100;

/** Sends so many requests, each over a connection of its own. Throws what is wrong with an answer. */
export async function call(url: URL, chance: Chance, count: number): Promise<void> {
  const cases = Array.from({ length: count }, () => requestCase(chance));
  let next = 0;
  const caller = async (host: number) => {
    for (let one = cases[next++]; one !== undefined; one = cases[next++]) {
      const from = `127.0.2.${(next + host) % hosts}`;
      const answer = await within(`an answer to ${describe(one)}`, answerTo(url, one, from));
      const fault = faultOf(one, answer);
      if (fault !== undefined) throw new Error(`${fault}, for ${describe(one)}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, host) => caller(host)));
}

/** The server is full, or the runtime doesn't know the coding or version: no fault of either. */
const unwilling = [501, 503, 505];

/** All that comes back until the answer is complete or the connection is over. */
function answerTo(url: URL, request: RequestCase, localAddress: string): Promise<string> {
  const to = { host: url.hostname, port: Number(url.port), localAddress };
  return new Promise((resolve) => {
    let answer = "";
    const socket = net.connect(to, () => {
      socket.write(request.bytes);
      if (!request.whole) socket.end();
    });
    const done = () => {
      socket.resetAndDestroy();
      resolve(answer);
    };
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      answer = (answer + chunk).replace(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)+/, "");
      if (request.whole && isComplete(answer, request.head)) done();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

function isComplete(answer: string, headOnly: boolean): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const head = answer.slice(0, end);
  if (headOnly || /^HTTP\/1\.1 (?:101|204|304) /.test(head)) return true;
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  return length !== undefined && answer.length >= end + 4 + Number(length);
}

/** No answer at all is one too: the runtime hangs up on what is no HTTP. */
function faultOf(request: RequestCase, answer: string): string | undefined {
  if (answer === "") return undefined;
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
  if (Number.isNaN(status)) return `It answered ${JSON.stringify(answer.slice(0, 100))}`;
  if (status >= 500 && !unwilling.includes(status)) return `It answered ${status}`;
  if (request.hopeless && status >= 200 && status < 300) return `It answered ${status}`;
  const leak = status === 200 ? undefined : leakIn(answer);
  return leak === undefined ? undefined : `It told ${leak}`;
}

function describe({ what, bytes }: RequestCase): string {
  const start = JSON.stringify(bytes.subarray(0, 1_500).toString("latin1"));
  return `${what} (${bytes.length} bytes): ${start}`;
}
