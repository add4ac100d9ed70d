import type { Side } from "../../base/ids.ts";
import { type Mailboxes, rememberedIds } from "../engine.ts";
import { ownSeat } from "./local-seats.ts";
import type { RedisNode } from "./node.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { numberAt, textAt } from "./store.ts";

/** Mailboxes in lists: an entry is the sender's letter, whom it counts to, a line feed, the payload. */
export function redisMailboxes(node: RedisNode): Mailboxes {
  const { limits } = node.options;
  const bounds = [limits.mailboxMaxMails, limits.mailboxMaxBytes, rememberedIds];

  return {
    async append(seat, to, { payload, id = "", strict }) {
      const args = [to, payload, id, strict ? 1 : 0, ...bounds];
      const reply = await node.runAsOwnerOrDrop(ownSeat(seat), roomScripts.append, args);
      switch (reply[0]) {
        case "stored":
          return { outcome: "stored", seq: numberAt(reply, 1) };
        case "full":
        case "share_full":
          return { outcome: reply[0] };
        default:
          return { outcome: "replaced" };
      }
    },

    async read(seat, after, maxBytes) {
      const own = ownSeat(seat);
      const reply = await node.runAsOwner(own, roomScripts.read, [after, maxBytes]);
      if (reply[0] !== "mails") return [];
      const before = numberAt(reply, 1);
      const mails = reply.slice(2).map((_, i) => {
        const entry = textAt(reply, i + 2);
        const payload = entry.slice(entry.indexOf("\n") + 1);
        return { seq: before + i + 1, from: entry.charAt(0) as Side, payload };
      });
      own.lastRead = Math.max(own.lastRead, mails.at(-1)?.seq ?? 0);
      return mails;
    },

    async ack(seat, upTo) {
      await node.runAsOwner(ownSeat(seat), roomScripts.ack, [upTo, 0]);
    },

    async hello(seat, upTo) {
      const own = ownSeat(seat);
      const reply = await node.runAsOwnerOrDrop(own, roomScripts.ack, [upTo, 1]);
      if (reply[0] !== "acked") return { moved: 0, before: 0 };
      const [moved, before] = [numberAt(reply, 1), numberAt(reply, 2)];
      own.lastRead = Math.max(own.lastRead, before);
      return { moved, before };
    },
  };
}
