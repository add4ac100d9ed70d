/** Why the server cannot start with what it was given. */
export type SettingError = WrongValue | WrongArgument;

/** A setting whose value cannot be used. */
export interface WrongValue {
  /** The name the operator used: the variable's, one of its aliases, or a flag. */
  readonly variable: string;
  /** As it was given. Undefined when it was not; three asterisks for a secret. */
  readonly value: string | undefined;
  /** What would have been right, in words that follow "must be". */
  readonly allowed: string;
}

/** Something on the command line that cannot be understood. */
export interface WrongArgument {
  /** As it was written, but without a value. */
  readonly variable: string;
  /** What is wrong with it and what to do, without a full stop. */
  readonly fault: string;
}

/** The problem on one line: `PORT="abc": a whole number from 0 to 65535`. */
export function describeProblem(problem: SettingError): string {
  if ("fault" in problem) return `${problem.variable}: ${problem.fault}`;
  const { variable, value, allowed } = problem;
  return value === undefined
    ? `${variable} (not set): ${allowed}`
    : `${variable}=${JSON.stringify(value)}: ${allowed}`;
}
