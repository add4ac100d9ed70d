export async function runMutants(_only: string | undefined, _say: (text: string) => void) {
  return { caught: 0, mutants: 0 };
}
