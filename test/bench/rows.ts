import type { Work } from "./workloads/job.ts";

/** A line of the table: one figure of some work, of this server and of the floor. */
export interface Row {
  readonly name: string;
  readonly title: string;
  readonly figure: string;
  readonly unit: "µs" | "ms" | "bytes" | "MiB" | "trips";
  readonly aim: Aim;
}

/** `ratio`: at most so many times the floor. `most`: at most so much, in the row's unit. */
export type Aim =
  | { readonly kind: "ratio"; readonly limit: number }
  | { readonly kind: "most"; readonly limit: number };

/** Work that is done to a server, and the rows that come of it. */
export interface Experiment {
  readonly work: Work;
  /** For a run that only proves that it runs. */
  readonly quick: Work;
  /** The server's settings. */
  readonly env?: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

const ratio = (limit: number): Aim => ({ kind: "ratio", limit });
export const most = (limit: number): Aim => ({ kind: "most", limit });

function relay(rooms: number, bytes: number, window: number, rows: readonly Row[]): Experiment {
  const work = { kind: "relay", rooms, bytes, window, pingPong: rooms === 1 } as const;
  return { work, quick: { ...work, rooms: Math.min(rooms, 100) }, rows };
}

const marks = [2_000, 8_000, 19_000] as const;
const sockets = { kind: "sockets", marks, holdSeconds: 1, again: 8_000 } as const;
const mail = { kind: "mail", rooms: 50, bytes: 256, window: 4 } as const;
const codes = { kind: "codes", connections: 16, live: 0 } as const;
const crowd = { ...codes, live: 200_000 } as const;
const sessions = { kind: "sessions", slots: 16 } as const;
const memory = { kind: "memory", slots: 64, sessions: 20_000, settleSeconds: 6 } as const;

export const experiments: readonly Experiment[] = [
  relay(100, 256, 1, [
    {
      name: "relay",
      title: "relay 256 B, 100 rooms: CPU a frame",
      figure: "cpu",
      unit: "µs",
      aim: ratio(1.15),
    },
  ]),
  relay(100, 4_096, 1, [
    {
      name: "relay-4k",
      title: "relay 4 KB (a session description): CPU a frame",
      figure: "cpu",
      unit: "µs",
      aim: ratio(1.25),
    },
  ]),
  relay(100, 256, 16, [
    {
      name: "relay-bursts",
      title: "relay in bursts of 16: CPU a frame",
      figure: "cpu",
      unit: "µs",
      aim: ratio(1.25),
    },
  ]),
  relay(1, 256, 1, [
    {
      name: "ping-pong-p50",
      title: "one room, ping-pong: p50",
      figure: "p50",
      unit: "µs",
      aim: ratio(1.1),
    },
    {
      name: "ping-pong-p99",
      title: "one room, ping-pong: p99",
      figure: "p99",
      unit: "µs",
      aim: ratio(1.1),
    },
  ]),
  relay(2_000, 256, 1, [
    {
      name: "relay-rooms",
      title: "relay 256 B, 2,000 rooms: CPU a frame",
      figure: "cpu",
      unit: "µs",
      aim: ratio(1.15),
    },
  ]),
  {
    work: sockets,
    quick: { ...sockets, marks: [50, 100, 200], holdSeconds: 0.1, again: 100 },
    rows: [
      {
        name: "open",
        title: "open a socket (of the first 8,000): CPU each",
        figure: "cpu1",
        unit: "µs",
        aim: ratio(1.9),
      },
      {
        name: "open-warm",
        title: "open a socket (of 8,000, after 19,000 others): CPU each",
        figure: "cpuAgain",
        unit: "µs",
        aim: ratio(1.4),
      },
      ...marks.map((mark, i): Row => {
        return {
          name: `idle-${mark}`,
          title: `idle socket, ${mark.toLocaleString("en-US")} in rooms of two: memory each`,
          figure: `rss${i}`,
          unit: "bytes",
          aim: most(4_096),
        };
      }),
    ],
  },
  {
    work: codes,
    quick: codes,
    rows: [
      {
        name: "codes",
        title: "mint or redeem: CPU a request",
        figure: "cpu",
        unit: "µs",
        aim: ratio(1.45),
      },
      ...(["mint", "redeem"] as const).flatMap((verb) =>
        (["P50", "P99"] as const).map((quantile): Row => {
          return {
            name: `${verb}-${quantile.toLowerCase()}`,
            title: `${verb}: ${quantile.toLowerCase()}`,
            figure: verb + quantile,
            unit: "ms",
            aim: most(1.5),
          };
        }),
      ),
    ],
  },
  {
    work: codes,
    quick: codes,
    env: { BUN_JSC_useConcurrentGC: "0" },
    rows: (["mint", "redeem"] as const).map((verb): Row => {
      return {
        name: `${verb}-p99-image`,
        title: `${verb}: p99, with the image's BUN_JSC_useConcurrentGC=0`,
        figure: `${verb}P99`,
        unit: "ms",
        aim: most(0.93),
      };
    }),
  },
  {
    work: crowd,
    quick: { ...crowd, live: 100 },
    rows: [
      {
        name: "codes-crowd",
        title: "mint or redeem among 200,000 live codes: CPU a request",
        figure: "cpu",
        unit: "µs",
        aim: ratio(1.45),
      },
    ],
  },
  {
    work: sessions,
    quick: sessions,
    rows: [
      {
        name: "sessions",
        title: "whole session (mint, redeem, two sockets, offer, answer, 20 ice, close): CPU",
        figure: "cpu",
        unit: "µs",
        aim: most(216),
      },
    ],
  },
  {
    work: mail,
    quick: mail,
    rows: [
      {
        name: "mail",
        title: "mail stored, delivered, acknowledged: CPU each",
        figure: "cpu",
        unit: "µs",
        aim: most(14.4),
      },
    ],
  },
  {
    work: memory,
    quick: { ...memory, sessions: 200, settleSeconds: 0.1 },
    env: { ROOM_TTL: "1s", RELAY_HOLD: "1s" },
    rows: [
      {
        name: "memory",
        title: "memory more than at the start, after 20,000 sessions",
        figure: "growth",
        unit: "MiB",
        aim: most(20),
      },
    ],
  },
];
