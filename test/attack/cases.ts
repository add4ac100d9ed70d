import type { AttackCase } from "./attack-case.ts";
import { guessing } from "./guessing.ts";
import { memory } from "./memory.ts";
import { shares } from "./shares.ts";
import { work } from "./work.ts";

const byTheme = { guessing, memory, shares, work };

export const cases: readonly AttackCase[] = Object.entries(byTheme).flatMap(([theme, attacks]) =>
  attacks.map((attack) => ({ ...attack, theme })),
);
