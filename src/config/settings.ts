import type { z } from "zod";
import { clients } from "./groups/clients.ts";
import { cluster } from "./groups/cluster.ts";
import { codes } from "./groups/codes.ts";
import { ice } from "./groups/ice.ts";
import { listening } from "./groups/listening.ts";
import { rooms } from "./groups/rooms.ts";
import { sockets } from "./groups/sockets.ts";
import { withoutMeaning } from "./groups/without-meaning.ts";
import type { Setting } from "./setting.ts";

/** The one table: everything an operator can set, in the order in which it is shown. */
const table = [
  ...listening,
  ...codes,
  ...rooms,
  ...sockets,
  ...clients,
  ...ice,
  ...cluster,
  ...withoutMeaning,
] as const satisfies readonly Setting[];

type Meaningful = Extract<(typeof table)[number], { readonly key: string }>;

/** What the operator has decided, checked. Names ending in `Ms` and `Bytes` tell their unit. */
export type Config = {
  readonly [S in Meaningful as S["key"]]: z.output<S["schema"]>;
};

export const settings: readonly Setting[] = table;

/** The same settings by what they are about; those without meaning stand in none. */
export const settingGroups: readonly SettingGroup[] = [
  { title: "Listening and telling", settings: listening },
  { title: "Codes", settings: codes },
  { title: "Rooms", settings: rooms },
  { title: "Sockets", settings: sockets },
  { title: "Clients", settings: clients },
  { title: "ICE servers", settings: ice },
  { title: "Several servers", settings: cluster },
];

export interface SettingGroup {
  readonly title: string;
  readonly settings: readonly Setting[];
}
