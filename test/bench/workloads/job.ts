/** What the generator is asked to do to one server. */
export interface Job {
  readonly port: number;
  /** The server's process. */
  readonly pid: number;
  /** It has the whole protocol, and is no bare relay. */
  readonly whole: boolean;
  readonly warmSeconds: number;
  readonly seconds: number;
  readonly work: Work;
}

export type Work =
  | {
      readonly kind: "relay";
      readonly rooms: number;
      readonly bytes: number;
      /** Frames of a room that are under way at a time. */
      readonly window: number;
      /** Each side answers the other; else A sends and B listens. */
      readonly pingPong: boolean;
    }
  | {
      readonly kind: "sockets";
      /** Ascending: at each of these it stops and looks at the memory. */
      readonly marks: readonly number[];
      readonly holdSeconds: number;
      /** When all of them have gone, so many are opened once more. */
      readonly again: number;
    }
  | {
      readonly kind: "codes";
      readonly connections: number;
      /** Codes that are minted first and live while it is measured. */
      readonly live: number;
    }
  | { readonly kind: "sessions"; readonly slots: number }
  | {
      readonly kind: "memory";
      readonly slots: number;
      readonly sessions: number;
      readonly settleSeconds: number;
    }
  | {
      readonly kind: "mail";
      readonly rooms: number;
      readonly bytes: number;
      readonly window: number;
    };

/** By name; times in µs, memory in bytes. */
export type Figures = Readonly<Record<string, number>>;
