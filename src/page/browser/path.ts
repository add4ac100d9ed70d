/** The way that data takes between the peers. */
export interface Path {
  readonly relayed: boolean;
  /** Types of both ends: `host`, `srflx`, `prflx` or `relay`. */
  readonly local: string;
  readonly remote: string;
  readonly roundTripMs: number | undefined;
}

interface Stats {
  readonly type: string;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly candidateType?: string;
  readonly currentRoundTripTime?: number;
  readonly nominated?: boolean;
  readonly state?: string;
}

/** Reads the way from the connection's statistics; undefined while there is none. */
export async function pathOf(connection: RTCPeerConnection): Promise<Path | undefined> {
  const stats = new Map<string, Stats>();
  (await connection.getStats()).forEach((entry: Stats & { id: string }) => {
    stats.set(entry.id, entry);
  });
  const pair = chosenPair(stats);
  const local = stats.get(pair?.localCandidateId ?? "")?.candidateType;
  const remote = stats.get(pair?.remoteCandidateId ?? "")?.candidateType;
  if (pair === undefined || local === undefined || remote === undefined) return undefined;
  const seconds = pair.currentRoundTripTime;
  return {
    relayed: local === "relay" || remote === "relay",
    local,
    remote,
    roundTripMs: seconds === undefined ? undefined : seconds * 1000,
  };
}

/** Firefox names no transport: there, the pair that is nominated and works. */
function chosenPair(stats: ReadonlyMap<string, Stats>): Stats | undefined {
  const all = [...stats.values()];
  const transport = all.find(({ selectedCandidatePairId: id }) => id !== undefined);
  if (transport !== undefined) return stats.get(transport.selectedCandidatePairId ?? "");
  return all.find(
    ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded",
  );
}
