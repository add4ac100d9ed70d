/** One thing a stranger does to a server, and what may come of it. */
export interface Attack {
  readonly name: string;
  /** What is done, in a few words for the table. */
  readonly tries: string;
  /** What must hold, with its figure. */
  readonly bound: string;
  /** Quick enough for every test run. */
  readonly short?: true;
  /** Programs it cannot do without; where one is missing it is left out, and says so. */
  readonly needs?: readonly string[];
  /** Source addresses that it comes from, beyond loopback: it gets a network of its own with them. */
  readonly addresses?: readonly string[];
  run(): Promise<Verdict>;
}

export interface AttackCase extends Attack {
  /** The file it stands in. */
  readonly theme: string;
}

export interface Verdict {
  /** In the words of the bound. */
  readonly measured: string;
  readonly holds: boolean;
}
