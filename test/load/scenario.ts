export interface ScenarioOptions {
  /** A few seconds' worth, for tests. */
  readonly short: boolean;
  readonly seed: number;
  readonly say: (line: string) => void;
}

/** Puts a server of its own to the test. Throws what is wrong; says what was seen. */
export type Scenario = (options: ScenarioOptions) => Promise<void>;
