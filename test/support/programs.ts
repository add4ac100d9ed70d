/**
 * Where a program that a test needs lies. Where it is missing the test is skipped and says so;
 * where CI is true that is an error, so that no test is silently left out there.
 */
export function requireProgram(name: string): { readonly path: string; readonly missing: boolean } {
  const path = Bun.which(name);
  if (path !== null) return { path, missing: false };
  if (process.env["CI"] === "true")
    throw new Error(`${name} is not installed: .ci/run installs it`);
  process.stderr.write(`Tests are skipped: they need ${name}, which is not installed.\n`);
  return { path: name, missing: true };
}
