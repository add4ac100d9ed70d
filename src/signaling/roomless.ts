import type { Client } from "../admission/clients.ts";
import type { Cancel } from "../base/clock.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { type FrameType, isRoomRequest, serverFrame } from "../protocol/frames.ts";
import type { NoSeat } from "./arrival.ts";
import type { Entered, RefusedRoom } from "./context.ts";
import { type Fields, type FrameOutcome, type Sender, tell, tellFault } from "./seat-frames.ts";

/** A refused room request costs as much as this many frames. */
const refusedRoomFrames = 20;

interface RoomlessOutcome extends Sender {
  readonly client: Client;
  /** It got a room. Not called after `end`. */
  enter(entered: Entered): MaybePromise<FrameOutcome>;
  charge(frames: number): void;
  /** It did not ask for a room in time. */
  refuse(reason: "no_room"): void;
}

/** A connection without a room. One of its frames has to ask for a room in time. */
export class Roomless {
  private isOver = false;
  private readonly cancel: Cancel;

  constructor(private readonly peer: RoomlessOutcome) {
    const { clock, tally, roomTtlMs } = peer.context;
    tally.roomlessSockets++;
    this.cancel = clock.after(roomTtlMs, () => peer.refuse("no_room"));
  }

  /** It got a room, or is closed. */
  end(): void {
    this.isOver = true;
    this.cancel();
    this.peer.context.tally.roomlessSockets--;
  }

  use(type: FrameType, frame: Fields): MaybePromise<FrameOutcome> {
    const { peer } = this;
    if (!isRoomRequest(type)) {
      tellFault(peer, "no_room", "This socket has no room yet: mint, redeem or join first.");
      return "ignored";
    }
    return andThen(
      peer.context.askForRoom(type, frame, peer.client),
      (answer) => {
        if (!("identity" in answer)) return this.refuse(answer);
        return this.isOver ? "replaced" : peer.enter(answer);
      },
      () => this.findsNoSeat("unreachable"),
    );
  }

  /** It got a room but no seat. The client may ask again, for this room or another. */
  findsNoSeat(why: NoSeat): FrameOutcome {
    return this.refuse(this.peer.context.describeNoSeat(why, this.peer.client));
  }

  private refuse({ code, detail, retryAfterMs }: RefusedRoom): FrameOutcome {
    this.peer.charge(refusedRoomFrames);
    tell(this.peer, () => serverFrame("error", { code, detail, retryAfterMs }));
    return "ignored";
  }
}
