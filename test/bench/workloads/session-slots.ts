import { closeFrame, description, padded, repeated, textFrame } from "../frames.ts";
import { HttpSocket, member } from "../http-socket.ts";
import { LoadSocket } from "../load-socket.ts";
import { mintRequest, redeemRequest } from "./codes.ts";
import { roomFullBytes } from "./pairs.ts";

/** What two browsers say: session descriptions of 1,500 bytes, ten candidates each. */
const [offerBytes, answerBytes, iceBytes] = [1_500, 1_501, 180];
const candidates = 10;
const hello = textFrame('{"type":"hello"}');
const offer = textFrame(description("offer", offerBytes));
const answer = textFrame(description("answer", answerBytes));
const ice = repeated(textFrame(padded('{"type":"ice","candidate":"', iceBytes)), candidates);

export interface SessionSlots {
  /** Sessions that went as they should. */
  done(): number;
  failure(): Error | undefined;
  /** No new ones begin. Resolves when those under way are over. */
  end(): Promise<void>;
}

export interface SessionSlotsOptions {
  readonly port: number;
  /** Where side B connects, if that is another node. */
  readonly portOfB?: number;
  /** It hears a hello, and a code leads to one room. */
  readonly whole: boolean;
  readonly slots: number;
  /** Begin no more than so many. */
  readonly most?: number;
}

/**
 * Sessions from beginning to end, one after the other in each slot: mint, redeem, two sockets, hello,
 * offer, answer, candidates both ways, close.
 */
export async function sessionSlots(options: SessionSlotsOptions): Promise<SessionSlots> {
  const { port, portOfB = port, whole, slots, most = Number.POSITIVE_INFINITY } = options;
  let begun = 0;
  let done = 0;
  let ending = false;
  let failed: Error | undefined;
  let idle = 0;
  let allIdle: () => void = () => {};

  function fail(why: string): void {
    failed ??= new Error(why);
  }

  async function slot(): Promise<void> {
    let room = "";
    let ready = 0;
    let heard = { A: 0, B: 0 };
    let closed = 0;
    let pair: LoadSocket[] = [];

    function begin(): void {
      if (ending || begun >= most || failed !== undefined) {
        if (++idle === slots) allIdle();
        return;
      }
      begun++;
      room = "";
      ready = 0;
      closed = 0;
      heard = { A: 0, B: 0 };
      http.post(mintRequest);
    }

    const http = new HttpSocket((status, body) => {
      if (status !== 200) return fail(`${status} ${body}`);
      const appId = member(body, "appID");
      if (room === "") {
        room = appId;
        http.post(redeemRequest(member(body, "code")));
        return;
      }
      if (whole && appId !== room) fail(`${appId} was redeemed, not ${room}`);
      pair = (["A", "B"] as const).map((side) => {
        return new LoadSocket({ port: side === "A" ? port : portOfB, appId: room, side }, hearing);
      });
      for (const socket of pair) socket.connect();
    });

    function oneReady(): void {
      if (++ready === 2) pair[0]?.send(offer);
    }

    const hearing = {
      opened(socket: LoadSocket) {
        // As real clients do: who says nothing waits 50 ms until it is told anything.
        if (whole) socket.send(hello);
        else oneReady();
      },
      text(socket: LoadSocket, _: Buffer, start: number, end: number) {
        const length = end - start;
        if (length === roomFullBytes) return oneReady();
        heard[socket.side]++;
        if (length === offerBytes) {
          socket.send(answer);
          socket.send(ice);
        } else if (length === answerBytes) {
          socket.send(ice);
        } else if (length !== iceBytes) {
          fail(`A frame of ${length} bytes came`);
        }
        if (heard.A + heard.B < 2 * (candidates + 1)) return;
        for (const peer of pair) peer.send(closeFrame);
      },
      closed(socket: LoadSocket, clean: boolean) {
        if (!clean || heard[socket.side] !== candidates + 1) {
          fail(`A session ended after ${heard.A} and ${heard.B} frames`);
        }
        if (++closed < 2) return;
        done++;
        begin();
      },
    };
    await http.connect(port);
    begin();
  }

  await Promise.all(Array.from({ length: slots }, slot));
  return {
    done: () => done,
    failure: () => failed,
    async end() {
      ending = true;
      const rest = new Promise<void>((resolve) => {
        allIdle = resolve;
      });
      if (idle < slots) await rest;
    },
  };
}
