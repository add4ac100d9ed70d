/** What one step of an examination found. `T` is what the steps after it need. */
export type Verdict<T = undefined> = Passed<T> | Failed;

export interface Passed<T> {
  readonly ok: true;
  readonly told: string;
  /** What is not wrong yet. */
  readonly warning?: string;
  readonly value: T;
}

export interface Failed {
  readonly ok: false;
  readonly told: string;
  /** The likely cause, and what to do. */
  readonly remedy: string;
}

export function passed(told: string, warning?: string): Passed<undefined> {
  return { ok: true, told, value: undefined, ...(warning === undefined ? {} : { warning }) };
}

export function failed(told: string, remedy: string): Failed {
  return { ok: false, told, remedy };
}
