import type { AttackCase } from "./attack-case.ts";
import { clients } from "./clients.ts";
import { guessing } from "./guessing.ts";
import { liveness } from "./liveness.ts";
import { memory } from "./memory.ts";
import { shares } from "./shares.ts";
import { work } from "./work.ts";

const byTheme = { guessing, memory, shares, work, liveness, clients };

export const cases: readonly AttackCase[] = Object.entries(byTheme).flatMap(([theme, attacks]) =>
  attacks.map((attack) => ({ ...attack, theme })),
);
