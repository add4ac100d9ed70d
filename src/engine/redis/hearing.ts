import type { Waiter } from "../engine.ts";
import type { Keys } from "./keys.ts";
import { parseMessage, type SeatAddress, type SeatMessage } from "./messages.ts";
import type { Questions } from "./questions.ts";
import type { RedisRelay } from "./relay.ts";
import type { LocalSeat } from "./seat.ts";
import type { SeatBook } from "./seat-book.ts";
import type { Store } from "./store.ts";
import type { Tenancy } from "./tenancy.ts";

export interface MessageHandlerOptions {
  readonly store: Pick<Store, "tell">;
  readonly keys: Keys;
  readonly book: SeatBook;
  readonly waiters: Map<string, Waiter>;
  readonly questions: Questions;
  readonly tenancy: Tenancy;
  readonly relay: Pick<RedisRelay, "begun" | "came">;
}

export interface MessageHandler {
  /** A message came on the node's channel. */
  heard(text: string): void;
  /** A message for a seat whose taker has its answer. */
  handle(seat: LocalSeat, message: SeatMessage): void;
}

/** What this node does about what it is told. */
export function messageHandler(options: MessageHandlerOptions): MessageHandler {
  const { store, keys, book, waiters, questions, tenancy, relay } = options;

  function handle(seat: LocalSeat, message: SeatMessage): void {
    const { listener } = seat;
    if (message.kind === "probe") return void asked(message, seat);
    if (!seat.isHeld) return;
    switch (message.kind) {
      case "joined":
        seat.peerNews++;
        if (seat.peer?.token === message.peerToken) return;
        seat.peer = { token: message.peerToken, node: message.peerNode };
        return listener.peerJoined();
      case "left":
        seat.peerNews++;
        if (seat.peer?.token !== message.peerToken) return;
        seat.peer = undefined;
        return listener.peerLeft();
      case "mail":
        return listener.mailStored();
      case "congested":
        return listener.peerCongested();
      case "drained":
        return listener.peerDrained();
      case "replaced":
        return tenancy.replaced(seat, message.why);
      case "begun":
        return relay.begun(seat, message.after);
      case "frame":
        return relay.came(seat, message);
      default:
        return message satisfies never;
    }
  }

  /** Another node asks whether an occupant lives. One that nobody here knows of does not. */
  async function asked(
    { question, node }: SeatMessage & { readonly kind: "probe" },
    seat: LocalSeat | undefined,
  ): Promise<void> {
    const answer = (word: string) =>
      store.tell(keys.node(node), `answer ${question} ${word}`).catch(() => {});
    if (!seat?.isHeld) return answer("dead");
    void answer("asking");
    await answer((await seat.listener.probed()) ? "alive" : "dead");
  }

  function forSeat(address: SeatAddress, message: SeatMessage): void {
    const seat = book.find(address);
    if (seat) seat.tell(message, (due) => handle(seat, due));
    else if (!book.keepEarly(address, message) && message.kind === "probe") {
      void asked(message, undefined);
    }
  }

  return {
    handle,
    heard(text) {
      const message = parseMessage(text);
      switch (message?.to) {
        case "seat":
          return forSeat(message.seat, message.message);
        case "waiter": {
          const waiter = waiters.get(message.waiter);
          return message.kind === "vacant" ? waiter?.vacant() : waiter?.displaced();
        }
        case "asker":
          return questions.answered(message.question, message.answer);
        case undefined:
          return;
        default:
          return message satisfies never;
      }
    },
  };
}
